"""Alembic's entry point: ``sync_lib.store.migrate`` hands in the connection, with its transaction begun."""

from alembic import context

from sync_lib.store.migrate import VERSION_TABLE
from sync_lib.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot alter most of a table; Alembic then copies it.
    render_as_batch=True,
)
context.run_migrations()
