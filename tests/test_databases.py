"""The databases of the tests themselves: one that was used is like a new one."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, text

from sync_lib.store import tables
from sync_lib.store.engine import open_engine
from tests.databases import PostgresDatabases
from tests.web.world import add_profile

pytestmark = pytest.mark.postgres


def used(databases: PostgresDatabases, *statements: str) -> tuple[str, int]:
    """Put a profile into a database, and change what else is asked; return its URL and the profile's id."""
    url = databases.create()
    engine = open_engine(url)
    with engine.begin() as conn:
        rows = {
            table.name: conn.scalar(select(func.count()).select_from(table))
            for table in tables.metadata.sorted_tables
        }
        assert not any(rows.values()), rows
        key = add_profile(conn, "anna@a.example")
        for statement in statements:
            conn.execute(text(statement))
    engine.dispose()
    databases.give_back(url)
    return url, key


def test_one_that_was_given_back_has_no_rows_and_counts_from_one(
    postgres_databases: PostgresDatabases,
) -> None:
    first, second = used(postgres_databases), used(postgres_databases)
    assert first == second
    assert first[1] == 1


@pytest.mark.parametrize(
    "change", ["ALTER TABLE sync_profile ADD COLUMN x text", "DROP TABLE contact_sync_version"]
)
def test_one_with_another_schema_is_not_used_again(
    postgres_databases: PostgresDatabases, change: str
) -> None:
    url, _ = used(postgres_databases, change)
    assert used(postgres_databases)[0] != url
