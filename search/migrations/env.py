"""Alembic's entry: migrations run on the connection that `search.migrate` holds."""

from alembic import context

from search.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
