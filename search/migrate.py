"""A catalog of an older release -> the same under the newest schema, in one transaction, with a copy before it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from search.files import replacing
from search.sqlite import copy, writing_alone

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(engine: Engine, file: Path, *, to: str = "head") -> None:
    """Run the missing migrations. Whatever ends this before its end, the catalog is as it was.

    The catalog as it was stays beside it under the number of its schema, until someone deletes it.
    """
    with writing_alone(engine) as connection:
        before = MigrationContext.configure(connection).get_current_revision()
        if before:
            with replacing(backup_of(file, before)) as aside:
                aside.unlink(missing_ok=True)
                copy(file, aside)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def backup_of(file: Path, schema: str) -> Path:
    """Where the catalog `file` is kept as it was under an older schema."""
    return file.with_name(f"{file.stem}-schema-{schema}{file.suffix}")
