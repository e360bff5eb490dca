"""What a person wants of one contact in one profile: leave it out, take it back, sync it at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib import cli
from sync_lib.errors import ConfigError
from sync_lib.operate.settings_preview import Look, Subject, Wish, make_preview
from sync_lib.operate.undo_preview import Look as UndoLook
from sync_lib.operate.undo_preview import preview_undo
from sync_lib.settings import SyncSettings
from sync_lib.store import erasure, retention, undo, wishes
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.importing import export_profiles
from tests.sync.harness import FOLDER, Harness, person, settled, world
from tests.sync.test_folders import ANNA, hand_made, mailbox

pytestmark = pytest.mark.both_databases

JAN, PIET, EIGEN = "Jan Jansen", "Piet Smit", "Eva Eigen"


@pytest.fixture
def make(make_harness) -> Any:
    """A synced profile: Jan and Piet made by the sync, Eva adopted."""

    def made(*, full: bool = True, **profile: object) -> Harness:
        box = mailbox({"name": FOLDER, "contacts": [hand_made(EIGEN)]})
        people = person(JAN), person(PIET), person(EIGEN, "eva.eigen@eigen.example")
        h = make_harness(world(*people, mailboxes=[box]))
        h.add_profiles(**profile)
        if full:
            assert h.full().errors == []
        return h

    return made


def say(h: Harness, wish: Any, name: str = JAN, contact: str = "") -> None:
    with transaction(h.edges.engine) as conn:
        profile = profiles.read_profile(conn, 1)
        wish(conn, profile, contact or h.contacts()[name]["id"], Author("anna", h.edges.now()))


def leave(h: Harness, name: str = JAN) -> None:
    say(h, wishes.leave_out, name)


def back(h: Harness, name: str = JAN) -> None:
    say(h, wishes.take_back, name)


def rejects(h: Harness) -> list[tuple[str, str]]:
    with read(h.edges.engine) as conn:
        return sorted((row.side, row.reason) for row in conn.execute(select(t.reject)))


LEFT = [("business_central", "left_out")]


def state(h: Harness, name: str = JAN) -> str:
    with read(h.edges.engine) as conn:
        c = t.coupling.c
        return conn.scalar(select(c.state).where(c.bc_id == h.contacts()[name]["id"])) or ""


def alike(h: Harness) -> tuple[Any, Any]:
    """Folder and BC, but for ids, versions and times."""
    fields = ("displayName", "jobTitle", "emailAddresses", "categories", "mobilePhone")
    items = {
        name: {f: item.get(f) for f in fields} | {"key": bool(item["key"])}
        for name, item in h.items().items()
    }
    contacts = {name: (c["email"], c["jobTitle"]) for name, c in h.contacts().items()}
    return items, contacts


def test_what_the_sync_made_goes_and_stays_out(make):
    h = make()
    leave(h)
    ran = h.run()
    assert (ran.errors, ran.writes) == ([], {"deleted_outlook": 1})
    assert sorted(h.items()) == [EIGEN, PIET]
    ran = h.run()
    assert rejects(h) == LEFT
    assert ran.reasons() == {"left_out": 1}
    h.edit_contact(JAN, jobTitle="Baas")
    assert h.run().writes == h.full().writes == {}
    assert (sorted(h.items()), state(h), rejects(h)) == ([EIGEN, PIET], "", LEFT)
    settled(h)


def test_one_that_was_never_there_is_never_made(make):
    h = make(full=False)
    h.full(dry_run=True)
    leave(h)
    h.full()
    assert sorted(h.items()) == [EIGEN, PIET]
    settled(h)
    assert rejects(h) == LEFT


def test_an_edit_goes_to_bc_first(make):
    """7.3b."""
    h = make()
    h.edit_item(JAN, jobTitle="Inkoper")
    leave(h)
    assert h.run().writes == {"updated_business_central": 1}
    assert h.run().writes == {"deleted_outlook": 1}
    assert h.contacts()[JAN]["jobTitle"] == "Inkoper"
    settled(h)


@pytest.mark.parametrize(("name", "policy"), [(JAN, "keep"), (EIGEN, "delete")])
def test_what_is_kept_is_released(make, name, policy):
    """7.3: by policy, and what the sync did not make."""
    h = make(policies={"left_scope": policy})
    before = copy.deepcopy(h.items()[name])
    leave(h, name)
    h.run()
    h.edit_contact(name, jobTitle="Baas")
    h.edit_item(name, mobilePhone="0612345678")
    assert h.run().writes == h.full().writes == {}
    assert (state(h, name), rejects(h)) == ("released", LEFT)
    assert h.items()[name]["jobTitle"] == before["jobTitle"]
    settled(h)
    back(h, name)
    h.run()
    assert (h.items()[name]["jobTitle"], h.contacts()[name]["mobilePhoneNumber"]) == (
        "Baas",
        "+31612345678",
    ) or (h.items()[name]["jobTitle"] == "Baas" and h.contacts()[name]["mobilePhoneNumber"])
    assert (state(h, name), rejects(h)) == ("active", [])
    settled(h)


@pytest.mark.parametrize("policy", ["delete", "keep"])
@pytest.mark.parametrize("name", [JAN, EIGEN])
@pytest.mark.parametrize("runs", [0, 1, 2])
def test_taken_back_it_ends_as_if_it_had_never_been_left_out(make, make_harness, policy, name, runs):
    """Same folder, same BC; and a further run writes nothing."""

    def play(h: Harness, left_out: bool) -> tuple[Any, Any]:
        if left_out:
            leave(h, name)
        for _ in range(runs):
            h.run()
        h.edit_contact(name, jobTitle="Baas")
        h.edit_contact(PIET, jobTitle="Chef")
        h.run() if runs else None
        if left_out:
            back(h, name)
        h.run()
        settled(h)
        return alike(h)

    policies = {"left_scope": policy}
    assert play(make(policies=policies), True) == play(make(policies=policies), False)


def test_a_pinned_one_is_pinned_again(make):
    """A colleague made it outside the filter: in scope it is by that alone."""
    h = make(filter={"City": "''"})
    h.add_item(
        displayName="Nora Nieuw",
        emailAddresses=[{"address": "nora@klant.example", "name": "Nora"}],
        businessAddress={"city": "Haarlem"},
    )
    h.run()
    assert state(h, "Nora Nieuw") == "pinned"
    leave(h, "Nora Nieuw")
    h.run()
    assert (state(h, "Nora Nieuw"), "Nora Nieuw" in h.items()) == ("released", True)
    h.edit_contact("Nora Nieuw", jobTitle="Baas")
    h.run()
    assert not h.items()["Nora Nieuw"].get("jobTitle")
    back(h, "Nora Nieuw")
    h.run()
    assert (state(h, "Nora Nieuw"), h.items()["Nora Nieuw"]["jobTitle"]) == ("pinned", "Baas")
    settled(h)


def test_nothing_in_the_folder_is_tied_to_it(make):
    """Neither by its key, dragged back from Deleted Items, nor by its address; and BC gets no second one."""
    h = make()
    item = h.items()[JAN]["id"]
    leave(h)
    h.run()
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": item, "to": FOLDER})
    h.run()
    assert (state(h), sorted(h.items())) == ("", [EIGEN, JAN, PIET])
    assert rejects(h) == [*LEFT, ("outlook", "left_out")]
    h.delete_item(JAN)
    h.add_item(displayName="J. Jansen", emailAddresses=[{"address": "jan.jansen@klant.example", "name": "J"}])
    h.run()
    assert (state(h), len(h.contacts()), h.items()["J. Jansen"]["key"]) == ("", 3, "")
    assert rejects(h) == [*LEFT, ("outlook", "left_out")]
    settled(h)
    back(h)
    h.run()
    assert (state(h), len(h.contacts()), sorted(h.items())) == ("active", 3, [EIGEN, JAN, PIET])
    settled(h)


def test_its_twin_in_bc_comes_in_its_place(make):
    """It holds no address: two persons with one in BC, and the other one is wanted."""
    h = make()
    h.add_contact("Jan Jansen Jr", "jan.jansen@klant.example")
    h.run()
    assert "Jan Jansen Jr" not in h.items()
    leave(h)
    h.run()
    h.run()
    assert sorted(h.items()) == [EIGEN, "Jan Jansen Jr", PIET]
    settled(h)


def test_a_privacy_block_reaches_what_is_kept(make):
    h = make(policies={"left_scope": "keep"})
    leave(h)
    h.run()
    h.edit_contact(JAN, privacyBlocked=True)
    assert h.run().writes == {"deleted_outlook": 1}
    assert sorted(h.items()) == [EIGEN, PIET]


def test_another_profile_keeps_it(make):
    h = make()
    h.add_profiles(folder="Tweede")
    h.full()
    leave(h)
    h.run()
    assert JAN not in h.items()
    assert JAN in h.items(folder="Tweede")


def test_a_dry_run_plans_it_and_keeps_the_wish(make):
    h = make()
    leave(h)
    ran = h.run(dry_run=True)
    assert ran.report.profiles[0].counters["planned"] == {"deleted_outlook": 1}
    assert JAN in h.items()


def test_an_undo_brings_nothing_back(make):
    h = make()
    leave(h)
    h.run(run_id="left")
    with read(h.edges.engine) as conn:
        found = preview_undo(conn, undo.Asked(1, "left"), UndoLook(SyncSettings(), "standard"))
    assert ([each.reason for each in found.left], found.changes) == (["left_out"], [])
    with transaction(h.edges.engine) as conn:
        undo.ask(conn, undo.Asked(1, "left"), "anna", h.edges.now())
    assert h.run().writes == {}
    settled(h)


def test_the_preview_of_settings_counts_it_out(make):
    h = make()
    leave(h)
    h.run()
    wish = Wish(_filter(h), "", "both", "delete")
    with read(h.edges.engine) as conn:
        company = profiles.read_profile(conn, 1).company or 0
        found = make_preview(conn, Subject(company, 1, wish), wish, Look(SyncSettings()))
    assert (found.matching, found.coming.total, found.coming_anyway, found.leaving_anyway) == (2, 0, 0, 0)


def _filter(h: Harness) -> Any:
    from sync_lib.fields.filters import parse_filter

    return parse_filter([], field_profile=h.edges.business_central_settings.field_profile)


def test_who_and_when_are_kept_until_the_retention(make):
    h = make()
    yaml = export_profiles(h.edges.engine)
    key = h.contacts()[JAN]["id"]
    leave(h)
    leave(h)
    back(h)
    leave(h)
    assert export_profiles(h.edges.engine) == yaml
    with read(h.edges.engine) as conn:
        newest, before = wishes.read_history(conn, key, [1], 10)[1]
    assert (newest.left_by, newest.back_at, before.back_by) == ("anna", None, "anna")
    assert before.back_at
    removed = retention.remove_old(h.edges.engine, "2999-01-01T00:00:00.000Z")
    assert removed["left_out"] == 1
    with read(h.edges.engine) as conn:
        assert wishes.read_left_out(conn, 1) == {key}


def test_erasure_forgets_it(make):
    h = make()
    key = h.contacts()[JAN]["id"]
    say(h, wishes.ask_sync)
    leave(h)
    h.run()
    h.delete_contact(JAN)
    h.run()
    with read(h.edges.engine) as conn:
        company = profiles.read_profile(conn, 1).company or 0
    wanted = erasure.Wanted(company, key)
    erased = erasure.erase(h.edges.engine, wanted, lease_seconds=60, longest_request=0)
    assert (erased.counts["left_out"], erased.counts["wish"]) == (1, 1)
    with read(h.edges.engine) as conn:
        assert wishes.read_left_out(conn, 1) == set()


def test_the_command_says_it_by_id_or_address(make, capsys):
    h = make()
    base = ["--database", h.database, "contacts"]
    assert cli.main([*base, "leave-out", "1", "--email", "JAN.jansen@klant.example", "--by", "bram"]) == 0
    h.run()
    assert JAN not in h.items()
    key = h.contacts()[JAN]["id"]
    assert cli.main([*base, "sync-now", "1", "--bc-id", key]) == 1
    assert "Take it back first" in capsys.readouterr().err
    assert cli.main([*base, "take-back", "1", "--bc-id", key]) == 0
    assert cli.main([*base, "take-back", "1", "--bc-id", key]) == 1
    assert cli.main([*base, "leave-out", "1", "--email", "niemand@klant.example"]) == 1
    assert cli.main([*base, "leave-out", "9", "--bc-id", key]) == 1
    h.run()
    assert JAN in h.items()
    assert cli.main([*base, "sync-now", "1", "--bc-id", key]) == 0


# -- sync this one now -----------------------------------------------------------------------------------------------


def open_wishes(h: Harness) -> int:
    with read(h.edges.engine) as conn:
        return len(wishes.read_wishes(conn, 1).keys)


def test_what_stays_away_comes_back_by_a_wish(make):
    """7.1: until a user asks."""
    h = make(policies={"deleted_in_outlook": "stay_away"})
    h.delete_item(JAN)
    h.run()
    assert (JAN in h.items(), state(h)) == (False, "away")
    h.full()
    assert JAN not in h.items()
    say(h, wishes.ask_sync)
    say(h, wishes.ask_sync)
    assert h.run(run_type="scheduled").writes == {"created_outlook": 1}
    assert (state(h), open_wishes(h)) == ("active", 0)
    settled(h)


def test_what_is_held_off_is_tried_at_once(make):
    """6: whatever its next try, also in a run by schedule; and only this contact."""
    h = make()
    locked = {
        "status": 403,
        "code": "ErrorAccessDenied",
        "method": "PATCH",
        "path": "/contacts/",
        "count": None,
    }
    h.sim.add_fault(name="F24", service="graph", **locked)
    for name in (JAN, PIET):
        h.edit_contact(name, jobTitle="Baas")
    for _ in range(3):
        h.run(run_type="scheduled")
    with transaction(h.edges.engine) as conn:
        assert len(conn.execute(select(t.postponed)).all()) == 2
        conn.execute(update(t.postponed).values(next_try="2999-01-01T00:00:00.000Z"))
    h.sim.clear_faults()
    assert h.run(run_type="scheduled").writes == {}
    say(h, wishes.ask_sync)
    assert h.run(run_type="scheduled").writes == {"updated_outlook": 1}
    assert (h.items()[JAN]["jobTitle"], h.items()[PIET].get("jobTitle") or "") == ("Baas", "")


def test_a_wish_waits_for_a_run_that_comes_to_its_end(make):
    """A dry run, and one that a service stopped, leave it to the next one."""
    h = make()
    say(h, wishes.ask_sync)
    h.run(dry_run=True)
    assert open_wishes(h) == 1
    h.edges.read_switch = lambda: False
    h.run()
    assert open_wishes(h) == 1
    h.edges.read_switch = None
    h.run(run_id="carried")
    assert open_wishes(h) == 0
    with read(h.edges.engine) as conn:
        row = conn.execute(select(t.wish)).one()
    assert (row.asked_by, row.ended_run) == ("anna", "carried")
    settled(h)


def test_a_profile_that_is_switched_off_is_asked_nothing(make):
    h = make()
    h.add_profiles(enabled=False)
    with pytest.raises(ConfigError, match="switched off"):
        say(h, wishes.ask_sync)
