"""Checksums of vectors; and what is known of the live indexes, which was in a file beside them."""

import json
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for table in ("images", "texts"):
        op.add_column(table, sa.Column("checksum", sa.BigInteger(), nullable=False, server_default="0"))
        op.execute(f"UPDATE {table} SET checksum = crc32(vector)")
    op.add_column("state", sa.Column("publication", sa.JSON(none_as_null=True)))
    state = sa.table("state", sa.column("generation"), sa.column("publication", sa.JSON(none_as_null=True)))
    connection = op.get_bind()
    generation = connection.execute(sa.select(state.c.generation)).scalar() or 0
    file = Path(connection.engine.url.database or "").with_name(f"published-{generation:08d}.json")
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return  # nothing was published, or what was noted of it is lost
    connection.execute(sa.update(state).values(publication=known))
