"""Rules 5: an environment that was restored to an older state under its old name changes nothing by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_lib.extract.company import ReadPlan, _went_back
from sync_lib.operate import approval
from sync_lib.store.runs import Cursor
from tests.sync.harness import Harness, person, world
from tests.sync.test_approval import answer

ANNA, BEN = "anna@voorbeeld.example", "ben@voorbeeld.example"
WHY = "bc_went_back"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: what differs between the two is tested with the store."""
    return "sqlite"


def restore(h: Harness, before: dict[str, Any]) -> None:
    """Put BC back to an older dump under its old name; the mailboxes stay as they are."""
    now = h.sim.dump()
    h.sim.reset(world={**now, "companies": before["companies"]})


@pytest.fixture
def make(make_harness) -> Any:
    def made(count: int, **settings: Any) -> tuple[Harness, dict[str, Any]]:
        people = [person(f"Persoon {n:02}", jobTitle="Oud") for n in range(count)]
        h = make_harness(world(*people, mailboxes=[ANNA, BEN]), **settings)
        h.add_profiles(ANNA, BEN)
        h.full()
        h.run()
        before = h.sim.dump()
        h.sim.clock(advance_seconds=7200)
        return h, before

    return made


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_what_became_older_is_a_conflict_and_held_for_each_profile(make, mode):
    """Edits since the backup: none of them is taken back in Outlook before a person has decided."""
    h, before = make(20, id_scan_cheap_every=0.0)
    for n in range(12):
        h.edit_contact(f"Persoon {n:02}", jobTitle="Nieuw")
    assert h.run().writes == {"updated_outlook": 24}
    h.run()
    restore(h, before)
    ran = h.run(mode)
    assert ran.writes == {}
    assert ran.verdict.ok
    assert [ran.profile(each).counters["reasons"] for each in (ANNA, BEN)] == [{WHY: 12}, {WHY: 12}]
    assert h.items()["Persoon 03"]["jobTitle"] == "Nieuw"
    assert h.run().writes == {}, "held until a person decides"
    ran = answer(h, approval.list_requests(h.edges)[0], approve=True)
    assert ran.writes == {"updated_outlook": 12}


def test_a_small_company_is_noticed_by_its_watermark(make):
    """Fewer than ten edits: nothing as new as the watermark is left."""
    h, before = make(4)
    h.edit_contact("Persoon 02", jobTitle="Nieuw")
    h.run()
    h.run()
    restore(h, before)
    ran = h.full()
    assert (ran.writes, ran.reasons(ANNA)) == ({}, {WHY: 1})


def test_what_was_made_since_the_backup_is_not_deleted_unasked(make):
    """The newest contacts are gone together."""
    h, before = make(20)
    for n in range(3):
        h.add_contact(f"Nieuw {n}")
    h.run()
    h.run()
    restore(h, before)
    ran = h.run()
    assert (ran.writes, ran.reasons(ANNA)) == ({}, {WHY: 3})
    assert "Nieuw 1" in h.items()


def test_the_newest_contact_may_be_deleted_by_hand(make):
    """A small company whose newest contact goes has not gone back."""
    h, _ = make(4)
    h.edit_contact("Persoon 02", jobTitle="Nieuw")
    h.run()
    h.delete_contact("Persoon 02")
    assert h.run().writes == {"deleted_outlook": 2}


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_restore_of_few_contacts_is_noticed_by_one_that_is_older(make, mode):
    """One was edited and the newest one made since the backup: no delete by hand makes the other one older."""
    h, before = make(6, id_scan_cheap_every=0.0)
    h.edit_contact("Persoon 02", jobTitle="Nieuw")
    h.add_contact("Nieuwste")
    h.run()
    h.run()
    restore(h, before)
    ran = h.run(mode)
    assert (ran.writes, ran.reasons(ANNA), ran.reasons(BEN)) == ({}, {WHY: 2}, {WHY: 2})
    assert (h.items()["Persoon 02"]["jobTitle"], "Nieuwste" in h.items()) == ("Nieuw", True)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_the_newest_contacts_that_are_deleted_are_no_restore_later_on(make, mode, count):
    """The watermark stays where they left it; neither the reads that follow nor the next delete are an alarm."""
    h, _ = make(20, id_scan_cheap_every=0.0)
    for n in range(count):
        h.add_contact(f"Nieuw {n}")
    h.run()
    for n in range(count):
        h.delete_contact(f"Nieuw {n}")
    assert h.run(mode).writes == {"deleted_outlook": 2 * count}
    for again in ("full", "incremental"):
        ran = h.run(again)
        assert (ran.writes, ran.reasons()) == ({}, {})
    h.delete_contact("Persoon 05")
    assert h.run(mode).writes == {"deleted_outlook": 2}


def test_a_restore_that_took_back_one_new_contact_is_taken_for_its_delete(make):
    """Nothing distinguishes the two: the item goes to Deleted Items, and an undo brings its values back."""
    h, before = make(6)
    h.add_contact("Nieuwste")
    h.run()
    h.run()
    restore(h, before)
    assert h.full().writes == {"deleted_outlook": 2}
    assert set(h.items(folder="Deleted Items")) == {"Nieuwste"}


def test_after_the_decision_the_sync_goes_on_from_the_older_state(make):
    """The watermark goes back too: else what is edited next would be hidden until it had caught up."""
    h, before = make(4, id_scan_requests=0)
    h.sim.clock(advance_seconds=86_400)
    h.edit_contact("Persoon 02", jobTitle="Nieuw")
    h.run()
    restore(h, before)
    h.sim.clock(advance_seconds=-80_000)
    h.full()
    for wanted in approval.list_requests(h.edges):
        assert answer(h, wanted, approve=True).writes == {"updated_outlook": 1}
    h.edit_contact("Persoon 01", jobTitle="Chef")
    assert h.run().writes == {"updated_outlook": 2}
    assert h.items()["Persoon 01"]["jobTitle"] == "Chef"


def test_a_dry_run_says_so_and_remembers_nothing(make):
    h, before = make(4)
    h.edit_contact("Persoon 02", jobTitle="Nieuw")
    h.run()
    restore(h, before)
    assert h.full(dry_run=True).writes == {}
    ran = h.full()
    assert (ran.writes, ran.reasons(ANNA)) == ({}, {WHY: 1})


stamps = st.integers(0, 9).map(lambda n: f"2026-03-02T{n:02}:00:00.000Z")


@given(staged=st.dictionaries(st.integers(0, 30), stamps), later=st.data())
def test_what_only_grows_newer_has_never_gone_back(staged, later):
    """Pure: edits, new contacts, and one or two deletes, are never taken for a restore."""
    known = {str(key): stamp for key, stamp in staged.items()}
    gone = later.draw(st.sets(st.sampled_from(sorted(known)), max_size=2)) if known else set()
    now = {key: later.draw(stamps.filter(lambda s, old=old: s >= old)) for key, old in known.items()}
    left = {key: stamp for key, stamp in now.items() if key not in gone}
    plan = ReadPlan(full=True, scan=False, renew=False, overlap=900.0, accepted=None)
    newest = max(known.values(), default="")
    assert not _went_back(known, left, Cursor(position=newest), plan)
