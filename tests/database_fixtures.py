"""The databases of tests, as fixtures.

A test that asks for ``engine`` (or ``database_url``) runs once on each kind. The schema is migrated once per session,
and every test finds it without a row.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sync_lib.store.engine import open_engine
from sync_lib.store.migrate import migrate
from tests.databases import KINDS, PostgresDatabases, postgres_server


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
        url = databases.create(empty=empty)
        made.append((databases, url))
        return url

    yield make
    for databases, url in made:
        databases.give_back(url)


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
