"""Alembic's entry: migrations run on the connection that `search.migrate` holds."""

from alembic import context

from search.schema import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
