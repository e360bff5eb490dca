"""Fresh staging databases for tests: a SQLite file, and a database of a PostgreSQL server that the tests start.

A test that asks for ``engine`` (or ``database_url``) runs once on each. The schema is migrated once per session and
copied for every test.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from demo_parts.postgres import PostgresInstance
from sqlalchemy import Dialect, Engine, create_engine, text
from sqlalchemy.engine import make_url

from sync_lib.store import engine as engine_module
from sync_lib.store.engine import open_engine
from sync_lib.store.migrate import migrate

KINDS = ("sqlite", "postgresql")

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
    dialects: dict[str, Dialect] = {}
    compiled: dict[str, dict[Any, Any]] = {}

    def create(*arguments: Any, **options: Any) -> Engine:
        made = create_engine(*arguments, **options)
        made.dialect = dialects.setdefault(made.dialect.name, made.dialect)
        made.update_execution_options(compiled_cache=compiled.setdefault(made.dialect.name, {}))
        return made

    engine_module.create_engine = create


class PostgresDatabases:
    """A server, and databases in it that are made and dropped quickly."""

    def __init__(self, home: Path) -> None:
        self._server = PostgresInstance(home)
        self._base = make_url(self._server.url("postgres"))
        self._admin = create_engine(self._base, isolation_level="AUTOCOMMIT")
        self._numbers = itertools.count()
        self._template = self.create("template1")
        engine = open_engine(self._template)
        migrate(engine)
        engine.dispose()

    def create(self, template: str | None = None) -> str:
        """Return the URL of a new database: migrated, or a copy of ``template``."""
        name = f"test_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template or make_url(self._template).database}")
        return self._base.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def stop(self) -> None:
        self._admin.dispose()
        self._server.stop()

    def _run(self, statement: str) -> None:
        with self._admin.connect() as conn:
            conn.execute(text(statement))


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


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[PostgresDatabases]:
    """One server per process of tests: starting one takes less time than agreeing on one would."""
    with postgres_server() as databases:
        yield databases


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("staging") / "template.db"
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


NewDatabase = Callable[..., str]


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """A function that makes a database of a kind, migrated or empty, and returns its URL."""
    made = []
    numbers = itertools.count()

    def make(kind: str, *, empty: bool = False) -> str:
        if kind == "sqlite":
            path = tmp_path / f"staging{next(numbers)}.db"
            if not empty:
                shutil.copy(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
        url = databases.create("template1" if empty else None)
        made.append((databases, url))
        return url

    yield make
    for databases, url in made:
        databases.drop(url)


@pytest.fixture(params=[KINDS[0], pytest.param(KINDS[1], marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def empty_url(database_kind: str, new_database: NewDatabase) -> str:
    """A database without any table, once of each kind."""
    return new_database(database_kind, empty=True)


@pytest.fixture
def database_url(database_kind: str, new_database: NewDatabase) -> str:
    """A migrated database, once of each kind."""
    return new_database(database_kind)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()
