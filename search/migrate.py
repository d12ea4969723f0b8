"""A catalog of an older release -> the same under the newest schema, in one transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from search.database import Database

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(database: Database, *, to: str = "head") -> None:
    """Run the missing migrations. Whatever ends this before its end, the catalog is as it was."""
    with database.migrating() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, to)
