"""A comparison looks at what the last one left unsettled, and at what changed since (``store.settled``)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from tests.partial import Checks
from tests.sync.harness import Harness, person, settled, world


@pytest.fixture
def h(make_harness) -> Harness:
    people = [person(f"Persoon {n}") for n in range(6)]
    h = make_harness(world(*people, person("Zonder Adres", "")), transport="in_process", guard_creates=1_000)
    h.add_profiles()
    return h


def in_step(h: Harness) -> None:
    """Sync until nothing is left to do: not in the fixture, so that a bug in it fails a test."""
    h.full()
    h.run()
    h.run()


def unsettled(h: Harness) -> tuple[int, int]:
    """Numbers of couplings and items without a mark."""
    with read(h.edges.engine) as conn:
        ties = conn.scalars(select(t.coupling.c.id).where(~t.coupling.c.settled)).all()
        items = conn.scalars(select(t.outlook_contact.c.id).where(~t.outlook_contact.c.settled)).all()
    return len(ties), len(items)


def test_what_agrees_is_settled_and_what_is_written_is_not(h, partial_comparisons: Checks):
    in_step(h)
    assert unsettled(h) == (0, 0)
    before = partial_comparisons.count
    h.edit_contact("Persoon 1", jobTitle="Chef")
    assert h.run().writes == {"updated_outlook": 1}
    assert partial_comparisons.count == before + 1
    assert unsettled(h) == (1, 1), "the pair that was written"
    assert h.run().writes == {}
    assert (unsettled(h), partial_comparisons.count) == ((0, 0), before + 2)


def test_each_kind_of_change_is_seen(h, partial_comparisons: Checks):
    in_step(h)
    before = partial_comparisons.count
    h.edit_contact("Zonder Adres", email="eindelijk@klant.example")
    h.delete_contact("Persoon 0")
    h.delete_item("Persoon 1")
    h.edit_item("Persoon 2", jobTitle="Chef")
    h.edit_contact("Persoon 3", email="")
    h.edit_contact("Persoon 4", email="persoon.5@klant.example")
    h.add_item(displayName="Nieuwe Klant", emailAddresses=[{"address": "n@klant.example", "name": "n"}])
    h.add_contact("Nog Een", "nog.een@klant.example")
    ran = h.run()
    assert ran.writes == {
        "created_outlook": 3,
        "deleted_outlook": 1,
        "updated_business_central": 1,
        "created_business_central": 1,
        "updated_outlook": 1,
    }
    assert partial_comparisons.count > before
    settled(h)


def test_who_shares_an_address_with_a_settled_pair_is_no_new_contact(h):
    in_step(h)
    h.add_contact("Dubbel", "persoon.5@klant.example")
    ran = h.run()
    assert ran.writes == {}
    assert ran.reasons() == {"duplicate_email_in_bc": 1, "email_missing": 1}, "and the standing one is told"
    h.edit_contact("Persoon 5", email="ander@klant.example")
    assert h.run().writes == {"updated_outlook": 1, "created_outlook": 1}, "the address is free"


def test_a_pair_that_another_filter_leaves_out_is_looked_at_until_it_agrees_again(h):
    """What waits for a person is told by each comparison, also by one of what is unsettled."""
    in_step(h)
    h.edges.settings = replace(h.edges.settings, guard_deletes=0, guard_deletes_percent=0)
    h.add_profiles(filter={"Name": "<>Persoon 1"})
    assert h.run().report.profiles[0].state == "held"
    h.edit_contact("Persoon 2", jobTitle="Chef")
    ran = h.run()
    assert (ran.writes, ran.report.profiles[0].state) == ({"updated_outlook": 1}, "held")


def test_a_pair_that_nobody_marked_is_looked_at(h, partial_comparisons: Checks):
    """A mark that is missing costs a look; only one that is there wrongly would hide something."""
    in_step(h)
    with transaction(h.edges.engine) as conn:
        conn.execute(update(t.coupling).values(settled=False))
    before = partial_comparisons.count
    h.edit_contact("Persoon 1", jobTitle="Chef")
    assert h.run().writes == {"updated_outlook": 1}
    assert partial_comparisons.count == before + 1


@pytest.mark.parametrize("what", ["full", "settings", "generation"])
def test_what_is_out_of_the_ordinary_is_compared_as_a_whole(h, partial_comparisons: Checks, what):
    in_step(h)
    h.edit_contact("Persoon 1", jobTitle="Chef")
    if what == "settings":
        h.add_profiles(filter={"Name": "<>Persoon 5"})
    if what == "generation":
        with transaction(h.edges.engine) as conn:
            conn.execute(update(t.cursor).values(settled_generation=None))
    before = partial_comparisons.count
    ran = h.full() if what == "full" else h.run()
    assert ran.writes["updated_outlook"] == 1
    assert partial_comparisons.count == before
    assert h.run().errors == []
