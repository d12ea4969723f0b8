"""Rows and vectors in SQL: every method is one short transaction. SQL is the truth; the index is made from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Executable, String, cast, delete, func, insert, select, update

from search import records, statements
from search.apply import apply, insert_all
from search.bulk import Bulk, parts, vector_of
from search.changes import Changes, StoredVector
from search.database import Database, Place, database_at, schema_version
from search.errors import SchemaTooNew
from search.feature_records import FeatureRecords
from search.filters import Filter, at_or_under, matching, matching_among
from search.records import Choices, ImageRecord, KnownFailure, KnownFile, Original, State, StoredRow, TextRecord
from search.schema import SCHEMA_VERSION, failures, images, roots, runs, state, texts
from search.sqlite import reading
from search.tags import Tags
from search.types import EncoderIdentity, Facts, Root, Target


class Catalog:
    """The SQL side of one collection. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine: Engine = database.engine
        self.tags, self.features, self.bulk = Tags(self._engine), FeatureRecords(self._engine), Bulk(self._engine)

    @staticmethod
    def create(place: Place, identity: EncoderIdentity) -> None:
        """Write an empty catalog in a file or at the URL of a database, all or nothing."""
        database_at(place).create(identity.to_json())

    @classmethod
    def open(cls, place: Place) -> Catalog:
        """Open the catalog in a file or at a URL, migrated first where an older release wrote it.

        Raises SchemaTooNew for a newer release's and CollectionError for what is no catalog.
        """
        database = database_at(place)
        version = schema_version(database)
        if version > SCHEMA_VERSION:
            database.engine.dispose()
            raise SchemaTooNew(
                f"{place} has schema {version}, this release knows {SCHEMA_VERSION}: upgrade the package"
            )
        if version < SCHEMA_VERSION:
            from search.migrate import upgrade  # Alembic is slow to import and needed once a release

            upgrade(database)
        return cls(database)

    def close(self) -> None:
        self._engine.dispose()

    # What a build compares with

    def known_files(self, folder: str) -> dict[str, KnownFile]:
        """The files at or under `folder`, by path."""
        columns = (images.c.path, images.c.id, images.c.size_bytes, images.c.mtime_ns, images.c.captions_stamp)
        rows = self._rows(select(*columns).where(at_or_under(images.c.path, folder)))
        return {path: KnownFile(*known) for path, *known in rows}

    def known_failures(self, folder: str) -> dict[str, KnownFailure]:
        by_decoder = failures.c.reason.startswith(records.DECODER)
        columns = (failures.c.path, failures.c.size_bytes, failures.c.mtime_ns, failures.c.max_pixels)
        rows = self._rows(select(*columns, by_decoder).where(at_or_under(failures.c.path, folder)))
        return {path: KnownFailure(*known) for path, *known in rows}

    def known_digests(self) -> set[bytes]:
        return set(self._column(select(images.c.digest)))

    def originals(self, digests: Sequence[bytes]) -> dict[bytes, list[Original]]:
        """The rows that have one of these contents, oldest first."""
        columns = select(images.c.digest, images.c.id, images.c.path, *statements.VECTOR["images"], *statements.FACTS)
        found: dict[bytes, list[Original]] = {}
        for digest, row_id, path, vector, checksum, *facts in self._rows(
            columns.where(images.c.digest.in_(digests)).order_by(images.c.id)
        ):
            original = Original(row_id, path, Facts(*facts), vector_of(vector, checksum, path))
            found.setdefault(digest, []).append(original)
        return found

    def digest(self, image_id: int) -> bytes | None:
        """The digest of an image's file, None without such a row."""
        return next(iter(self._column(select(images.c.digest).where(images.c.id == image_id))), None)

    def captions(self, image_ids: Sequence[int]) -> dict[int, list[str]]:
        """The captions of each of these images that has any, in their order."""
        found: dict[int, list[str]] = {}
        for image_id, text in self._of_ids(statements.CAPTIONS, image_ids):
            found.setdefault(image_id, []).append(text)
        return found

    def text_vectors(self, asked: Sequence[str]) -> dict[str, StoredVector]:
        """The vectors of those texts that some image already carries."""
        columns = select(texts.c.text, *statements.VECTOR["texts"])
        found: dict[str, StoredVector] = {}
        for some in parts(asked):
            rows = self._rows(columns.where(texts.c.text.in_(some)))
            found.update({text: vector_of(vector, checksum, text) for text, vector, checksum in rows})
        return found

    # What a search needs

    @reading()
    def identity(self) -> EncoderIdentity:
        return EncoderIdentity.from_json(self._scalar(select(state.c.encoder)))

    @reading()
    def state(self) -> State:
        rows = self._rows(statements.STATE)
        (own,) = {tuple(row[:4]) for row in rows}
        known = sorted(row[4:] for row in rows if row.path is not None)
        return State._make((*own, tuple(Root(path, tuple(exclude), hidden) for path, exclude, hidden in known)))

    @reading()
    def publication(self) -> tuple[int, dict[str, Any] | None]:
        """The live generation and what was noted with it."""
        ((generation, known),) = self._rows(select(state.c.generation, state.c.publication))
        return generation, known

    def images(self, ids: Sequence[int]) -> dict[int, ImageRecord]:
        """The rows of those ids that exist."""
        rows = self._of_ids(statements.IMAGES, ids)
        return {row_id: ImageRecord(path, Facts(*facts)) for row_id, path, *facts in rows}

    def texts(self, ids: Sequence[int]) -> dict[int, TextRecord]:
        return {row_id: TextRecord(*text) for row_id, *text in self._of_ids(statements.TEXTS, ids)}

    def stored(self, target: Target, ids: Sequence[int]) -> dict[int, StoredVector]:
        """The vectors, (dim,), of those ids that exist. CollectionError for one that is damaged."""
        return {row_id: row.vector for row_id, row in self.rows(target, ids).items()}

    def rows(self, target: Target, ids: Sequence[int]) -> dict[int, StoredRow]:
        """The rows of those ids that exist, with their vectors. CollectionError for one that is damaged."""
        return {
            row_id: StoredRow(vector_of(vector, checksum, f"id:{row_id}"), image_id, text, path, Facts(*facts))
            for row_id, vector, checksum, image_id, text, path, *facts in self._of_ids(statements.ROWS[target], ids)
        }

    def matching(self, where: Filter, target: Target) -> NDArray[np.int64]:
        """The ids, ascending, that satisfy `where`. BadFilter for an unknown tag."""
        self.tags.require(where.tags)
        found = matching(where, target, self.roots()).subquery()
        ids = select(func.aggregate_strings(cast(found.c[0], String), ","))  # a row each would take seven times as long
        return np.sort(np.fromstring(self._scalar(ids) or "", np.int64, sep=","))

    def matching_among(
        self, where: Filter, target: Target, roots: tuple[Root, ...], ids: Sequence[int]
    ) -> frozenset[int]:
        """Those of some ids, while `roots` are followed; an unknown tag has no image."""
        return frozenset(id_ for (id_,) in self._of_ids(matching_among(where, target, roots), ids))

    def choices(self) -> Choices:
        """What a filter may ask for."""
        formats, cameras = (
            tuple(self._column(select(column).where(column > "").distinct().order_by(column)))
            for column in (images.c.format, images.c.camera)
        )
        times, places = (self._scalar(select(func.count(column))) for column in (images.c.taken_at, images.c.latitude))
        return Choices(formats, cameras, times > 0, places > 0, *self.tags.choices())

    # What status and verify ask

    def counts(self) -> dict[str, int]:
        tables = (images, texts, failures)
        return {table.name: self._scalar(select(func.count()).select_from(table)) for table in tables}

    def roots(self) -> list[Root]:
        """The followed folders, by path."""
        return list(self.state().roots)

    def failures(self) -> list[tuple[str, str, datetime]]:
        """Path, reason and when, by path."""
        columns = (failures.c.path, failures.c.reason, failures.c.failed_at)
        return [(path, reason, when) for path, reason, when in self._rows(select(*columns).order_by(failures.c.path))]

    def last_runs(self, count: int) -> list[tuple[datetime, dict[str, Any]]]:
        """When it started and what it reported, the last run first."""
        columns = select(runs.c.started_at, runs.c.report).order_by(runs.c.id.desc()).limit(count)
        return [(started_at, report) for started_at, report in self._rows(columns)]

    def paths(self) -> list[str]:
        """The path of every image, sorted."""
        return self._column(select(images.c.path).order_by(images.c.path))

    def damage(self) -> list[str]:
        """What the database itself finds wrong."""
        return self._database.damage()

    def size_bytes(self) -> int:
        return self._database.size_bytes()

    # What a build writes

    def writing(self) -> AbstractContextManager[None]:
        """Hold the catalog for writing; raises CollectionBusy when a process on another machine does."""
        return self._database.sole_writer()

    def apply(self, changes: Changes) -> None:
        """Do all of `changes` or nothing."""
        with self._engine.begin() as connection:
            apply(connection, changes)

    def publish(self, generation: int, covers: int, publication: dict[str, Any]) -> None:
        """Name `generation` as live; its indexes hold the vectors as they were after `covers` changes."""
        self._write(update(state).values(generation=generation, published_changes=covers, publication=publication))

    def adopt(self, identity: EncoderIdentity) -> None:
        """Make `identity` that of the collection's encoder."""
        self._write(update(state).values(encoder=identity.to_json()))

    def follow(self, folders: Sequence[Root]) -> None:
        """Make `folders` those that this collection follows."""
        with self._engine.begin() as connection:
            connection.execute(delete(roots))
            insert_all(connection, roots, [asdict(folder) for folder in folders])

    def record_run(self, started_at: datetime, report: dict[str, Any]) -> None:
        self._write(insert(runs).values(started_at=started_at, report=report))

    def _write(self, statement: Executable) -> None:
        with self._engine.begin() as connection:
            connection.execute(statement)

    def _rows(self, query: Executable, **values: Any) -> Sequence[Any]:
        with reading(), self._engine.connect() as connection:
            return connection.execute(query, values).all()

    def _of_ids(self, query: Executable, ids: Sequence[int]) -> list[Any]:
        """The rows of some ids: many more than wanted where as many vectors are the same."""
        return [row for some in parts(ids) for row in self._rows(query, ids=some)]

    def _column(self, query: Executable) -> list[Any]:
        return [value for (value,) in self._rows(query)]

    @reading()
    def _scalar(self, query: Executable) -> Any:
        ((value,),) = self._rows(query)
        return value
