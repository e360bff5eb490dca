"""Two contacts in one city, and what the tests of leaving and of policies ask of them."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, world

Make = Callable[..., Harness]


def jan_and_piet(make_harness: Make) -> Make:
    """Return what makes a profile with settings, already synced: Jan with a job title, Piet without one."""

    def made(**profile: object) -> Harness:
        contacts = [
            person("Jan Jansen", jobTitle="Inkoper", city="Zaandam"),
            person("Piet Smit", city="Zaandam"),
        ]
        h = make_harness(world(*contacts))
        h.add_profiles(**profile)
        assert h.full().errors == []
        return h

    return made


def states(h: Harness) -> list[str]:
    with read(h.edges.engine) as conn:
        return sorted(conn.scalars(select(t.coupling.c.state)))


def fields_rejected(h: Harness) -> dict[str, str]:
    with read(h.edges.engine) as conn:
        return {row.field: row.reason for row in conn.execute(select(t.reject.c.field, t.reject.c.reason))}
