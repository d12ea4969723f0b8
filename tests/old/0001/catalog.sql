BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE failures (
	path VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	mtime_ns BIGINT NOT NULL, 
	max_pixels BIGINT NOT NULL, 
	reason VARCHAR NOT NULL, 
	failed_at DATETIME NOT NULL, 
	PRIMARY KEY (path)
);
INSERT INTO "failures" VALUES('/photos/broken.jpg',10,6000000000,128000000,'not a picture of a known format','2026-11-21 18:25:08.324991');
CREATE TABLE images (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	path VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	mtime_ns BIGINT NOT NULL, 
	captions_stamp BIGINT NOT NULL, 
	digest BLOB NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	format VARCHAR NOT NULL, 
	taken_at DATETIME, 
	camera VARCHAR, 
	lens VARCHAR, 
	latitude DOUBLE, 
	longitude DOUBLE, 
	caption VARCHAR, 
	vector BLOB NOT NULL, 
	UNIQUE (path)
);
INSERT INTO "images" VALUES(1,'/photos/blue.png',85,3000000000,0,X'64B8DCA2696F85D220A4A0F9355EE04B16088A3F197CB690775E9ACEB8B9462F',24,16,'PNG',NULL,NULL,NULL,NULL,NULL,NULL,X'00000000D83B4732');
INSERT INTO "images" VALUES(2,'/photos/green.png',84,2000000000,0,X'A8E8FBB1E1FD99B3F94F3480E19B4B4B400D8ACBE0B27938B11C726375CBA353',24,16,'PNG',NULL,NULL,NULL,NULL,NULL,NULL,X'0000D83B00004732');
INSERT INTO "images" VALUES(3,'/photos/red.png',83,1000000000,5000000000,X'78A96B9FB97057057671F92F827D347A24C95BAD1386B5E92B975641E7E1087E',24,16,'PNG',NULL,NULL,NULL,NULL,NULL,NULL,X'D83B000000004732');
CREATE TABLE roots (
	path VARCHAR NOT NULL, 
	exclude JSON NOT NULL, 
	include_hidden BOOLEAN NOT NULL, 
	PRIMARY KEY (path)
);
INSERT INTO "roots" VALUES('/photos','[]',0);
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	report JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES(1,'2026-11-21 18:25:08.263303','{"new": 3, "changed": 0, "moved": 0, "copied": 0, "recaptioned": 0, "unchanged": 0, "removed": 0, "failed": 1, "encoded": 3, "seconds": 0.11939020699901448, "decode_seconds": 0.09679720000167436, "wait_seconds": 0.0, "encode_seconds": 0.05552288099897851, "write_seconds": 0.003719608001119923, "interrupted": false, "unreadable": {}, "bad_captions": [], "images_per_second": 25.127689074404266}');
CREATE TABLE state (
	id INTEGER NOT NULL, 
	encoder VARCHAR NOT NULL, 
	changes INTEGER NOT NULL, 
	generation INTEGER NOT NULL, 
	published_changes INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "state" VALUES(1,'{"architecture": "mean color", "dim": 4, "model": "colors", "preprocessing": "8x8, squash", "weights_digest": "0000000000000000000000000000000000000000000000000000000000000000"}',1,1,1);
CREATE TABLE texts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	image_id INTEGER NOT NULL, 
	text VARCHAR NOT NULL, 
	vector BLOB NOT NULL, 
	FOREIGN KEY(image_id) REFERENCES images (id) ON DELETE CASCADE
);
INSERT INTO "texts" VALUES(1,3,'a red thing',X'D83B000000004732');
INSERT INTO "texts" VALUES(2,3,'red and white',X'723A723672362831');
CREATE INDEX images_stamp ON images (path, size_bytes, mtime_ns, captions_stamp);
CREATE INDEX ix_images_digest ON images (digest);
CREATE INDEX ix_texts_text ON texts (text);
CREATE INDEX ix_texts_image_id ON texts (image_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('images',3);
INSERT INTO "sqlite_sequence" VALUES('texts',2);
COMMIT;
