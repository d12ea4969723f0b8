"""Vectors in float32, where they were in float16: neighbours that lie close together keep their order."""

import json

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ROWS = 10_000


def upgrade() -> None:
    connection = op.get_bind()
    encoder = connection.execute(sa.text("SELECT encoder FROM state")).scalar()
    if encoder is None:
        return
    size_bytes = 2 * json.loads(encoder)["dim"]
    for name in ("images", "texts"):
        table = sa.table(name, sa.column("id", sa.Integer()), sa.column("vector", sa.LargeBinary()))
        columns = sa.select(table.c.id, table.c.vector).order_by(table.c.id).limit(_ROWS)
        widen = sa.update(table).where(table.c.id == sa.bindparam("row")).values(vector=sa.bindparam("wide"))
        last = 0
        while rows := connection.execute(columns.where(table.c.id > last)).all():
            whole = [
                {"row": row, "wide": np.frombuffer(vector, "<f2").astype("<f4").tobytes()}
                for row, vector in rows
                if len(vector) == size_bytes  # a damaged one stays for `verify` to find
            ]
            if whole:
                connection.execute(widen, whole)
            last = rows[-1].id
