"""Brings the staging database's schema up to this program's version.

``python -m sync_lib.store.migrate "message"`` writes the next migration from ``tables.py``, for developers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Text, column, inspect, select, table, text

from sync_lib.errors import ConfigError
from sync_lib.store.engine import is_postgresql, open_engine, read, transaction

if TYPE_CHECKING:
    from alembic.config import Config

#: A name of our own: the database may be shared with a program that also uses Alembic, such as Airflow.
VERSION_TABLE = "contact_sync_version"
MIGRATIONS = Path(__file__).parent / "migrations"
#: The oldest schema that a way back leads to: that of the first program that knew of one.
OLDEST = "0008"
_LOCK = 0x636F6E74616374  # "contact": one migration at a time in a PostgreSQL database.


def migrate(engine: Engine) -> None:
    """Bring the schema to this program's version; does nothing, quickly, when it is there already.

    Processes may call it at the same time: one migrates, the others wait and find the work done.

    Raises:
        ConfigError: The database was made by a newer version of this program.
    """
    with read(engine) as conn:
        if _version(conn) == head():
            return
    with transaction(engine) as conn:
        # SQLite's transaction is exclusive already.
        if is_postgresql(conn):
            conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _upgrade(conn)


def require_schema(engine: Engine) -> None:
    """Make sure that the schema is this program's; only an empty database gets one here.

    Whoever merely looks must not change the schema under workers of the version before: planning a run does, and the
    command ``contact-sync db migrate``.

    Raises:
        ConfigError: The schema is older or newer; the message says what to do.
    """
    with read(engine) as conn:
        version = _version(conn)
    if version is None:
        migrate(engine)
    elif version < head():
        raise ConfigError(
            f"The staging database has the older schema {version}; this program needs {head()}. The next run of"
            " contact_sync brings it up to date, and so does: contact-sync db migrate."
        )
    elif version > head():
        raise ConfigError(_NEWER.format(version, head()))


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to that of an earlier program; what only later ones store is lost.

    Raises:
        ConfigError: There is no such way back.
    """
    with transaction(engine) as conn:
        version = _version(conn)
        if (
            version is None
            or version > head()
            or not OLDEST <= revision <= version
            or not _is_known(revision)
        ):
            raise ConfigError(
                f"There is no way from schema {version} to {revision!r}. It may be {OLDEST} or a later one, down to"
                f" which this program's migrations lead; its newest is {head()}."
            )
        from alembic import command

        command.downgrade(alembic_config(conn), revision)


_NEWER = (
    "The staging database has schema {}, which is newer than this program's {}."
    " Install the newer version of the program."
)


_VERSION = select(column("version_num", Text)).select_from(table(VERSION_TABLE))


def _is_known(revision: str) -> bool:
    return revision in {path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")}


def head() -> str:
    """Return the newest migration's number.

    By file name, since importing Alembic would take longer than everything else in a run without changes.
    """
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def alembic_config(conn: Connection) -> Config:
    """Return Alembic's configuration for a connection; no file is read."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = conn
    return config


def _upgrade(conn: Connection) -> None:
    from alembic import command
    from alembic.util import CommandError

    version = _version(conn)
    if version is not None and version > head():
        raise ConfigError(_NEWER.format(version, head()))
    try:
        command.upgrade(alembic_config(conn), "head")
    except CommandError as error:
        raise ConfigError(f"The staging database's schema {version} cannot be upgraded: {error}") from error


def _version(conn: Connection) -> str | None:
    if not inspect(conn).has_table(VERSION_TABLE):
        return None
    version: str | None = conn.execute(_VERSION).scalar()
    return version


def write_migration(message: str, *, first: bool = False) -> None:
    """Write the migration that takes the newest schema to ``tables.py``.

    Args:
        message: What it is for, in a few words; becomes the file's name.
        first: Replace the history by one migration. Only until the first release: it orphans every database.
    """
    from alembic import command

    if first:
        for path in (MIGRATIONS / "versions").glob("[0-9]*.py"):
            path.unlink()
        number = 1
    else:
        number = int(head()) + 1
    with tempfile.TemporaryDirectory() as directory:
        engine = open_engine(f"sqlite:///{directory}/empty.db")
        if not first:
            migrate(engine)
        with transaction(engine) as conn:
            command.revision(alembic_config(conn), message, autogenerate=True, rev_id=f"{number:04d}")
        engine.dispose()


if __name__ == "__main__":
    write_migration(sys.argv[1], first=sys.argv[2:] == ["--first"])
