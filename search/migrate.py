"""A catalog of an older release -> the same under the newest schema, in one transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy.exc import DatabaseError

from search.database import Database
from search.errors import CollectionError

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(database: Database, *, to: str = "head") -> None:
    """Run the missing migrations. Whatever ends this before its end, the catalog is as it was.

    Raises CollectionError where its tables are not those of the schema that it says it has.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with database.migrating() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
    except (CommandError, DatabaseError) as error:
        reason = error.orig if isinstance(error, DatabaseError) else error
        raise CollectionError(
            f"{database} is damaged, its tables are not those of the schema that it names ({reason}): restore "
            "a snapshot with python -m indexer import, or build a new one"
        ) from error
