"""How many requests a run costs, exactly: what the services limit is what the sync is held to."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from sync_lib.store import runs
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, settled, world

ANNA, BRAM, CARLA = (f"{name}@voorbeeld.example" for name in ("anna", "bram", "carla"))
#: Reads of a company in an incremental run: what changed, and its ids.
BC_READS = 2
#: The question who has work, of up to twenty folders; a folder's delta; the marker, in a load that writes.
QUESTION, DELTA, MARKER = 1, 1, 1


@pytest.fixture
def make(make_harness):
    """A harness with so many persons, synced, and quiet: nothing of a first run is left for the next one."""

    def made(count: int = 0, *, mailboxes: list[Any] | None = None, **settings: Any) -> Harness:
        # Ids are scanned in every run, whatever the time is.
        h = make_harness(
            world(*[person(name(n)) for n in range(count)], mailboxes=mailboxes),
            **{"id_scan_cheap_every": 0.0, "guard_overwrites": 1000, "guard_creates": 1000, **settings},
        )
        h.add_profiles(*(mailboxes or []))
        with h.edges.engine.begin() as conn:
            tenant = h.edges.graph_settings.tenant_id
            runs.write_fact(conn, tenant, "graph_if_match", "enforced", h.edges.now())
        h.full()
        h.run()
        # Stamps are whole seconds in Graph: an edit within that of our write would have to be judged by a look-up.
        h.sim.clock(advance_seconds=60)
        return h

    return made


def name(n: int) -> str:
    return f"Persoon {n:03}"


def spent(h: Harness, **run: Any) -> tuple[int, int]:
    """Requests to Graph and to Business Central of one run, in which neither refuses any."""
    h.sim.reset_counters()
    assert h.run(**run).errors == []
    app = h.counters()["app"]
    assert (app["graph"]["refusals"], app["bc"]["refusals"]) == (0, 0)
    return app["graph"]["requests"], app["bc"]["requests"]


def operations(h: Harness, service: str, method: str) -> dict[str, int]:
    """How often each kind of address was asked with a method, alone or as a part of a batch."""
    paths = h.counters()["app"][service]["paths"]
    return {key.partition(" ")[2]: n for key, n in paths.items() if key.startswith(f"{method} ")}


def batches(n: int, size: int) -> int:
    return -(-n // size)


def test_a_run_of_nothing_asks_for_nothing_else(make):
    h = make(3)
    assert spent(h) == (QUESTION, BC_READS)


def test_many_profiles_share_the_read_of_business_central(make):
    h = make(3, mailboxes=[ANNA, BRAM, CARLA])
    assert spent(h) == (QUESTION, BC_READS)
    assert h.counters()["app"]["graph"]["operations"] == 3


@pytest.mark.parametrize("count", [1, 20, 21, 45])
def test_what_changed_in_bc_goes_to_outlook_twenty_at_a_time(make, count):
    h = make(count)
    for n in range(count):
        h.edit_contact(name(n), jobTitle="Inkoper")
    graph, bc = spent(h)
    assert (graph, bc) == (DELTA + MARKER + batches(count, 20), BC_READS)
    assert spent(h) == (DELTA, BC_READS), "what we wrote is no news"
    assert h.app_writes() == 0


@pytest.mark.parametrize("count", [1, 20, 21, 45])
def test_what_is_new_in_bc_is_made_twenty_at_a_time(make, count):
    h = make(1)
    for n in range(count):
        h.add_contact(f"Nieuw {n:03}")
    assert spent(h) == (DELTA + MARKER + batches(count, 20), BC_READS)
    assert spent(h) == (DELTA, BC_READS)


@pytest.mark.parametrize("count", [1, 20, 45, 100, 101])
def test_what_was_edited_in_outlook_goes_to_bc_a_hundred_at_a_time(make, count):
    h = make(count)
    for n in range(count):
        h.edit_item(name(n), jobTitle="Inkoper")
    graph, bc = spent(h)
    assert bc == BC_READS + batches(count, 100)
    assert sum(operations(h, "bc", "PATCH").values()) == count, "each is one operation"
    # The private flag of each is read before anything of it goes to BC.
    assert graph == QUESTION + DELTA + batches(count, 20) + MARKER
    assert spent(h) == (DELTA, BC_READS)
    assert h.app_writes() == 0
    assert {contact["jobTitle"] for contact in h.contacts().values()} == {"Inkoper"}


@pytest.mark.parametrize("count", [1, 20, 21, 45])
def test_what_is_new_in_outlook_is_looked_up_and_made_twenty_at_a_time(make, count):
    h = make(1)
    for n in range(count):
        address = {"address": f"nieuw{n}@klant.example", "name": "x"}
        h.add_item(displayName=f"Nieuw {n:03}", emailAddresses=[address])
    graph, bc = spent(h)
    assert bc == BC_READS + 2 * batches(count, 20)
    assert sum(operations(h, "bc", "POST").values()) == count
    # Key and flag of each are read, and then its key is written.
    assert graph == QUESTION + DELTA + MARKER + 2 * batches(count, 20)
    assert spent(h) == (DELTA, BC_READS)
    assert len(h.contacts()) == count + 1
    settled(h)


def test_the_budget_counts_every_operation_of_a_batch(make):
    """BC's limit is one of operations; a request takes its place among five once, whatever is in it."""
    h = make(30)
    for n in range(30):
        h.edit_item(name(n), jobTitle="Inkoper")
    with h.edges.engine.begin() as conn:
        conn.execute(t.budget_use.delete())
    spent(h)
    with read(h.edges.engine) as conn:
        counted = sum(conn.execute(select(t.budget_use.c.requests)).scalars())
    assert counted == h.counters()["app"]["bc"]["operations"] == BC_READS + 30
