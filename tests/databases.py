"""A PostgreSQL server that tests, benchmarks and the long run start, and databases in it that are used again.

Nothing here needs pytest: the programs run with the product's packages alone (``database_fixtures.py`` is for tests).
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from demo_parts.postgres import PostgresInstance
from sqlalchemy import Dialect, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from sync_lib.store import engine as engine_module
from sync_lib.store.engine import open_engine
from sync_lib.store.migrate import migrate

KINDS = ("sqlite", "postgresql")

# Leaves a migrated database as it was when it was new: no rows but the version's, and every number from one.
_EMPTY = """
DO $$
DECLARE found record;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        IF found.tablename <> 'contact_sync_version' THEN
            EXECUTE format('DELETE FROM %I', found.tablename);
        END IF;
    END LOOP;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""
# Everything that a migration makes, and which one was the last.
_SHAPE = """
SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM (
    SELECT concat(c.relname, ' ', c.relkind, ' ', a.attname, ' ', a.atttypid) AS part
    FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat(conrelid::regclass, ' ', conname) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT version_num FROM contact_sync_version
) parts
"""
_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

# Waits until the tests' process is gone, however it went, and then stops the server that would outlive it.
_WATCH = """
import os, pathlib, signal, shutil, sys
sys.stdin.read()
home = pathlib.Path(sys.argv[1])
for pid_file in home.glob("**/postmaster.pid"):
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)
shutil.rmtree(home, ignore_errors=True)
"""


def share_compiled_statements() -> None:
    """Let all engines of a kind share what SQLAlchemy has compiled: in tests each of them lives for a second.

    A compiled statement is found by its dialect, so they share that too; all are of one server, opened the same way.
    """
    # The checker takes what a module imports for private; here just that is replaced.
    if engine_module.create_engine is not create_engine:  # type: ignore[attr-defined]
        return
    dialects: dict[str, Dialect] = {}
    compiled: dict[str, dict[Any, Any]] = {}

    def create(*arguments: Any, **options: Any) -> Engine:
        made = create_engine(*arguments, **options)
        made.dialect = dialects.setdefault(made.dialect.name, made.dialect)
        made.update_execution_options(compiled_cache=compiled.setdefault(made.dialect.name, {}))
        return made

    engine_module.create_engine = create  # type: ignore[attr-defined]


class PostgresDatabases:
    """A server, and databases in it.

    Making one takes longer than many a test, so a migrated one that is given back is emptied and used again.
    """

    def __init__(self, home: Path) -> None:
        self._server = PostgresInstance(home)
        self._base = make_url(self._server.url("postgres"))
        self._numbers = itertools.count()
        self._free: list[str] = []
        self._template = self._make("template1")
        engine = open_engine(self._url(self._template))
        migrate(engine)
        engine.dispose()
        self._shape = self._run(_SHAPE, self._template)

    def create(self, *, empty: bool = False) -> str:
        """Return the URL of a new database: migrated, or without any table."""
        if empty:
            return self._url(self._make("template1"))
        return self._url(self._free.pop() if self._free else self._make(self._template))

    def give_back(self, url: str) -> None:
        """End all connections to a database; it is used again if a test has not changed more than its rows."""
        name = str(make_url(url).database)
        self._run(_OTHERS, name)
        with suppress(ProgrammingError):
            if self._run(_SHAPE, name) == self._shape:
                self._run(_EMPTY, name)
                self._free.append(name)
                return
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        self._server.stop()

    def _make(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _url(self, name: str) -> str:
        return self._base.set(database=name).render_as_string(hide_password=False)

    def _run(self, statement: str, name: str = "postgres") -> Any:
        server = create_engine(self._url(name), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with server.connect() as conn:
            done = conn.execute(text(statement))
            return done.scalar() if done.returns_rows else None


@contextmanager
def postgres_server() -> Iterator[PostgresDatabases]:
    """Start a server that goes with this process, however that ends."""
    home = Path(tempfile.mkdtemp(prefix="contact-sync-test-postgres-"))
    home.chmod(0o755)
    watcher = subprocess.Popen(
        [sys.executable, "-c", _WATCH, str(home)], stdin=subprocess.PIPE, start_new_session=True
    )
    databases = PostgresDatabases(home / "server")
    yield databases
    databases.stop()
    assert watcher.stdin
    watcher.stdin.close()
    watcher.wait()
