"""Checksums of local features."""

import zlib

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ROWS = 1_000


def upgrade() -> None:
    op.add_column("local_features", sa.Column("checksum", sa.BigInteger(), nullable=False, server_default="0"))
    connection = op.get_bind()
    table = sa.table(
        "local_features",
        sa.column("image_id", sa.BigInteger()),
        sa.column("record", sa.LargeBinary()),
        sa.column("checksum"),
    )
    stored = sa.select(table.c.image_id, table.c.record).order_by(table.c.image_id).limit(_ROWS)
    note = sa.update(table).where(table.c.image_id == sa.bindparam("row")).values(checksum=sa.bindparam("sum"))
    last = 0
    while rows := connection.execute(stored.where(table.c.image_id > last)).all():
        connection.execute(note, [{"row": id_, "sum": zlib.crc32(record)} for id_, record in rows])
        last = rows[-1].image_id
