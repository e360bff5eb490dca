from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, insert

from sync_lib.store import tables as t
from sync_lib.store.engine import transaction

NOW = "2026-03-02T09:00:00.000Z"


@pytest.fixture
def new_company(engine: Engine) -> Callable[[], int]:
    """A function that adds a company and returns its key; property tests take one per example."""
    made: list[int] = []

    def make() -> int:
        with transaction(engine) as conn:
            values = {"tenant_id": "t", "environment": "e", "company_id": str(len(made)), "name": "Cronus"}
            made.append(conn.execute(insert(t.company).values(values).returning(t.company.c.id)).scalar_one())
        return made[-1]

    return make


@pytest.fixture
def new_profile(engine: Engine) -> Callable[[], int]:
    made: list[int] = []

    def make() -> int:
        with transaction(engine) as conn:
            values = {
                "mailbox": f"m{len(made)}@example.nl",
                "company_name": "Cronus",
                "created_at": NOW,
                "updated_at": NOW,
            }
            made.append(
                conn.execute(
                    insert(t.sync_profile).values(values).returning(t.sync_profile.c.id)
                ).scalar_one()
            )
        return made[-1]

    return make


@pytest.fixture
def company(new_company: Callable[[], int]) -> int:
    return new_company()


@pytest.fixture
def profile(new_profile: Callable[[], int]) -> int:
    return new_profile()
