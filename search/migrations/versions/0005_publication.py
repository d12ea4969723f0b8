"""Checksums of vectors; and what is known of the live indexes, which was in a file beside them."""

import json
import zlib
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ROWS = 10_000


def upgrade() -> None:
    connection = op.get_bind()
    for name in ("images", "texts"):
        op.add_column(name, sa.Column("checksum", sa.BigInteger(), nullable=False, server_default="0"))
        _add_checksums(connection, name)
    op.add_column("state", sa.Column("publication", sa.JSON(none_as_null=True)))
    state = sa.table("state", sa.column("generation"), sa.column("publication", sa.JSON(none_as_null=True)))
    generation = connection.execute(sa.select(state.c.generation)).scalar()
    if not generation:
        return
    file = Path(connection.engine.url.database or "").with_name(f"published-{generation:08d}.json")
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return  # what was noted of it is lost
    connection.execute(sa.update(state).values(publication=known))


def _add_checksums(connection: sa.Connection, name: str) -> None:
    table = sa.table(
        name, sa.column("id", sa.BigInteger()), sa.column("vector", sa.LargeBinary()), sa.column("checksum")
    )
    stored = sa.select(table.c.id, table.c.vector).order_by(table.c.id).limit(_ROWS)
    note = sa.update(table).where(table.c.id == sa.bindparam("row")).values(checksum=sa.bindparam("sum"))
    last = 0
    while rows := connection.execute(stored.where(table.c.id > last)).all():
        connection.execute(note, [{"row": id_, "sum": zlib.crc32(vector)} for id_, vector in rows])
        last = rows[-1].id
