"""Rows in bulk to and from PostgreSQL: COPY takes 0.7 of the time of INSERTs, vectors as bytes half of that as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.pq import Format
from sqlalchemy import Connection, Table, func, select
from sqlalchemy.engine import ExecutionContext

from search.schema import IN_BYTES

_ROWS = "copied_rows"


def next_ids(connection: Connection, table: Table, count: int) -> Sequence[int]:
    """New ids for `table`, ascending; they are not given again, whatever becomes of the transaction."""
    each = func.generate_series(1, count)
    return connection.execute(select(func.nextval(f"{table.name}_id_seq")).select_from(each)).scalars().all()


def copy_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, of which each says the same of itself as the first, by COPY."""
    columns = [table.c[name] for name in rows[0]]
    dialect = connection.dialect
    processors = [column.type.bind_processor(dialect) for column in columns]
    values = [
        [
            processor(row[column.name]) if processor else row[column.name]
            for column, processor in zip(columns, processors, strict=True)
        ]
        for row in rows
    ]
    types = [column.type.compile(dialect).partition(" COLLATE")[0].lower() for column in columns]
    names = ", ".join(column.name for column in columns)
    statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)"
    connection.exec_driver_sql(statement, execution_options={_ROWS: (types, values)})


def execute(cursor: psycopg.Cursor[Any], statement: str, _parameters: Any, context: ExecutionContext) -> bool:
    """Listens for "do_execute": what goes wrong is then treated as with any statement. Whether it was done here."""
    if context.execution_options.get(IN_BYTES):
        cursor.format = Format.BINARY
    if not (asked := context.execution_options.get(_ROWS)):
        return False
    types, rows = asked
    with cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
    return True
