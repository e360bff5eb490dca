"""Rules 1: a profile ends. Its last edits go to BC, its folder is freed of what is ours, and ids alone stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, update

from sync_lib import cli, pipeline
from sync_lib.errors import ConfigError
from sync_lib.model import RunRequest
from sync_lib.operate import housekeeping
from sync_lib.operate.end_preview import preview_end
from sync_lib.run import ending
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import endings
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author, read_author
from sync_lib.store.profiles.importing import export_profiles
from tests.sync.harness import FOLDER, Harness, person, settled, world
from tests.sync.test_bindings import accept, copy_environment
from tests.sync.test_folders import ANNA, hand_made, mailbox, people
from tests.sync.test_second_folder import with_both

pytestmark = pytest.mark.both_databases

JAN, PIET, EIGEN = "Jan Jansen", "Piet Smit", "Eva Eigen"
#: How a profile may end.
HOW = [endings.KEEP, endings.REMOVE]


@pytest.fixture
def make(make_harness) -> Any:
    """A synced profile: Jan and Piet made by the sync; with ``own`` Eva was in the folder before it came."""

    def made(*, own: bool = False, **profile: object) -> Harness:
        box: Any = mailbox({"name": FOLDER, "contacts": [hand_made(EIGEN)]}) if own else ANNA
        eva = [person(EIGEN, "eva.eigen@eigen.example")] if own else []
        h = make_harness(world(person(JAN), person(PIET), *eva, mailboxes=[box]))
        h.add_profiles(**profile)
        assert h.full().errors == []
        return h

    return made


def ask(h: Harness, how: str, key: int = 1) -> None:
    with transaction(h.edges.engine) as conn:
        endings.ask_end(conn, profiles.read_profile(conn, key), how, Author("anna", h.edges.now()))


def stored(h: Harness, key: int = 1) -> profiles.Profile:
    with read(h.edges.engine) as conn:
        return profiles.read_profile(conn, key)


def notes(h: Harness, key: int = 1) -> dict[str, Any]:
    with read(h.edges.engine) as conn:
        return endings.read_notes(conn, key)


def folders(h: Harness) -> dict[str, list[str]]:
    """Folders that are not deleted, with the names of their items."""
    return {
        each["name"]: sorted(item["properties"].get("displayName") or "" for item in each["contacts"])
        for each in h.mailbox()["folders"]
        if "deleted" not in each["name"].lower() and each["name"] != "Contacts"
    }


def marks(h: Harness) -> list[str]:
    """What is ours in the mailbox: keys, categories and markers."""
    found: list[str] = []
    for folder in h.mailbox()["folders"]:
        if "deleted" in folder["name"].lower():
            continue
        for each in (folder, *folder["contacts"]):
            extended = {name: value for name, value in (each["extended"] or {}).items() if value}
            found += [
                value for name, value in extended.items() if "contactsync" in name.lower().replace(" ", "")
            ]
            found += [value for name, value in extended.items() if "bccontactkey" in name.lower()]
        for item in folder["contacts"]:
            found += [c for c in item["properties"].get("categories") or [] if c == "Business Central"]
    return found


def left(h: Harness, key: int = 1) -> dict[str, int]:
    """Rows of a profile, by table, but for its history and its ids."""
    history = {
        *("plan", "change", "run_profile", "profile_change", "profile_day"),
        *("hold", "undo", "former_item"),
    }
    with read(h.edges.engine) as conn:
        found = {
            table.name: conn.scalar(select(func.count()).select_from(table).where(table.c.profile == key))
            or 0
            for table in t.metadata.sorted_tables
            if "profile" in table.c and table.name not in history
        }
    return {name: rows for name, rows in found.items() if rows}


def ended(h: Harness) -> None:
    """Nothing of it is synced any more, and nothing is stored but ids and history."""
    assert stored(h).ended_at
    assert (left(h), marks(h)) == ({}, [])
    with read(h.edges.engine) as conn:
        assert list(conn.scalars(select(t.change.c.n).where(t.change.c.state != "done"))) == []


def test_keep_leaves_the_items_and_takes_off_what_is_ours(make):
    h = make(own=True)
    h.edit_item(JAN, jobTitle="Inkoper", categories=["Business Central", "Klant"])
    ask(h, endings.KEEP)
    ran = h.run()
    assert (ran.errors, ran.verdict.ok) == ([], True)
    assert (ran.report.profiles[0].state, ran.report.profiles[0].reason) == ("done", "profile_ended")
    ended(h)
    assert folders(h) == {FOLDER: [EIGEN, JAN, PIET]}
    assert h.items()[JAN]["categories"] == ["Klant"]
    assert h.contacts()[JAN]["jobTitle"] == "Inkoper"
    assert notes(h) == {"freed": 3}


def test_remove_takes_what_the_sync_made_and_its_folder(make):
    h = make()
    h.edit_item(JAN, jobTitle="Inkoper")
    ask(h, endings.REMOVE)
    ran = h.run()
    assert ran.writes == {"updated_business_central": 1, "deleted_outlook": 2}
    ended(h)
    assert folders(h) == {}
    assert h.contacts()[JAN]["jobTitle"] == "Inkoper"
    assert notes(h) == {"deleted": 2, "folder": "deleted"}
    with read(h.edges.engine) as conn:
        c = t.change.c
        before = conn.scalars(
            select(c.before).where(c.cause == "profile_ended", c.action == "delete_outlook")
        )
        assert all("@klant.example" in each for each in before)


def test_remove_keeps_what_was_there_before_and_what_could_not_go(make):
    """Edited ones stay: what BC refuses is nowhere else."""
    h = make(own=True)
    h.edit_item(JAN, jobTitle="x" * 31)
    ask(h, endings.REMOVE)
    h.run()
    ended(h)
    assert folders(h) == {FOLDER: [EIGEN, JAN]}
    assert notes(h) == {"deleted": 1, "freed": 2, "edits": 1}


@pytest.mark.parametrize("how", HOW)
def test_an_edit_that_loses_a_conflict_which_is_held_is_said_to_be_left(make_harness, how):
    """Nothing holds it but its item, which stays: what would replace it waits for a person."""
    h = make_harness(
        world(person(JAN), person(PIET), mailboxes=[ANNA]), guard_overwrites=0, guard_overwrites_percent=0
    )
    h.add_profiles()
    h.full()
    h.edit_item(JAN, jobTitle="Verkoper")
    h.edit_contact(JAN, jobTitle="Inkoper")
    assert h.run().writes == {}
    ask(h, how)
    h.run()
    ended(h)
    assert notes(h)["edits"] == 1
    assert h.items()[JAN]["jobTitle"] == "Verkoper"
    assert h.contacts()[JAN]["jobTitle"] == "Inkoper"


def test_remove_takes_what_was_seen_in_agreement_while_its_key_waits(make):
    """2.1: an item whose new key waits for a person was not edited by its owner, who typed what was there before."""
    h = make()
    copy_environment(h, "Nieuw")
    h.run()
    accept(h, "Nieuw")
    h.edit_item(JAN, jobTitle="")
    ask(h, endings.REMOVE)
    assert set(h.run().reasons()) >= {"company_moved"}
    ended(h)
    assert folders(h) == {}
    assert notes(h) == {"deleted": 2, "folder": "deleted"}


def test_what_may_not_be_written_to_outlook_is_not_deleted(make):
    """7.9: nothing but keys and the marker is written in this direction."""
    h = make()
    h.add_profiles(direction="to_business_central")
    h.run()
    ask(h, endings.REMOVE)
    h.run()
    ended(h)
    assert folders(h) == {FOLDER: [JAN, PIET]}


@pytest.mark.parametrize("how", HOW)
def test_the_preview_says_what_becomes_of_the_items(make, how, capsys):
    h = make(own=True)
    h.edit_item(JAN, jobTitle="x" * 31)
    h.run()
    with read(h.edges.engine) as conn:
        found = preview_end(conn, profiles.read_profile(conn, 1))
    assert (found.items, found.goes, found.edited, found.tied) == (3, 1, 1, 3)
    assert not found.folder_goes
    command = ["--database", h.database, "profiles", "end", "1", f"--{how}"]
    assert cli.main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert ("1 go and 2 stay" if how == endings.REMOVE else "0 go and 3 stay") in said
    assert cli.main(command) == 0
    assert "give --yes" in capsys.readouterr().out
    assert stored(h).ending == ""
    assert cli.main([*command, "--yes", "--by", "anna"]) == 0
    assert stored(h).ending == how
    with read(h.edges.engine) as conn:
        assert read_author(conn, 1, "ending") == "anna"
    h.run()
    ended(h)
    assert cli.main([*command, "--yes"]) == 1
    assert cli.main(["--database", h.database, "profiles", "list"]) == 0
    assert "ended" in capsys.readouterr().out


@pytest.mark.parametrize("how", HOW)
def test_its_folder_and_its_name_are_free_at_once(make, how):
    """Another profile takes them; the same row of a file makes a new one."""
    h = make(own=True)
    yaml = export_profiles(h.edges.engine)
    ask(h, how)
    h.run()
    assert ANNA not in export_profiles(h.edges.engine)
    h.add_profiles()
    assert export_profiles(h.edges.engine) == yaml
    ran = h.full()
    assert (ran.errors, stored(h, 2).ended_at) == ([], None)
    assert sorted(h.items()) == [EIGEN, JAN, PIET]
    assert all(item["key"] for item in h.items().values())
    assert len(h.contacts()) == 3
    settled(h)


def test_it_is_never_planned_again(make):
    h = make()
    h.add_profiles(folder="Tweede")
    h.full()
    ask(h, endings.KEEP)
    h.run()
    assert [each.profile for each in h.full().report.profiles] == [2]
    with pytest.raises(ConfigError, match="No enabled profile"):
        h.run(profiles=["1"])


def test_one_that_is_switched_off_is_ended(make):
    h = make()
    h.add_profiles(enabled=False)
    ask(h, endings.REMOVE)
    assert h.run().errors == []
    ended(h)
    assert folders(h) == {}


def test_one_that_never_synced_is_removed_instead(make_harness):
    h = make_harness(world(person(JAN)))
    h.add_profiles()
    with pytest.raises(ConfigError, match="Remove it instead"):
        ask(h, endings.KEEP)


def test_nothing_is_written_while_writes_are_off(make):
    """8.8c: an end waits."""
    h = make()
    ask(h, endings.REMOVE)
    before = h.mailbox()
    h.edges.read_switch = lambda: False
    h.run()
    assert (h.mailbox(), stored(h).ended_at) == (before, None)
    h.edges.read_switch = None
    h.run()
    ended(h)


def test_a_dry_run_ends_nothing(make):
    h = make()
    ask(h, endings.REMOVE)
    before = h.mailbox()
    h.full(dry_run=True)
    assert (h.mailbox(), stored(h).ended_at) == (before, None)


@pytest.mark.parametrize(
    ("state", "reason"), [("removed", "mailbox_not_found"), ("policy_denied", "mailbox_access_denied")]
)
def test_a_mailbox_that_cannot_be_reached_is_ended_at_once(make, state, reason):
    """And says what could not be done; the run is green."""
    h = make()
    ask(h, endings.REMOVE)
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": state})
    ran = h.run()
    assert (ran.errors, ran.verdict.ok) == ([], True)
    assert stored(h).ended_at
    assert (left(h), notes(h)) == ({}, {"reason": reason})


def test_a_folder_that_was_deleted_is_not_made_again(make):
    h = make()
    ask(h, endings.KEEP)
    h.in_outlook("DELETE", f"contactFolders/{h.folder_id()}")
    assert h.run().writes == {}
    ended(h)
    assert (folders(h), notes(h)) == ({}, {"folder": "missing"})


def test_a_company_that_is_not_read_is_waited_for_a_day(make):
    h = make()
    h.edit_item(JAN, jobTitle="Inkoper")
    ask(h, endings.REMOVE)
    h.sim.add_fault(kind="status", status=404, service="bc", path="contacts", count=None)
    assert h.run().errors
    assert stored(h).ended_at is None
    with transaction(h.edges.engine) as conn:
        conn.execute(update(t.sync_profile).values(ending_at="2020-01-01T00:00:00.000Z"))
    h.run()
    ended(h)
    assert folders(h) == {FOLDER: [JAN]}
    assert notes(h)["reason"] == "company_not_read"


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "place",
    [
        "_sync_last_edits",
        "_begin",
        "_store",
        "_free_items",
        "_delete_folder",
        "_close",
        "unmark",
        "apply_plan",
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_one_that_is_killed_ends_the_same(make, how, place, when, monkeypatch):
    h = make(own=how == endings.KEEP)
    h.edit_item(JAN, jobTitle="Inkoper")
    if how == endings.REMOVE:
        h.add_contact("Kees Kok")
    ask(h, how)
    where = ending._End if place.startswith("_") else ending
    real = getattr(where, place)

    def dies(*args: Any) -> None:
        if when == "after":
            real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(where, place, dies)
    if place == "_delete_folder" and how == endings.KEEP:
        assert h.run().errors == []
    else:
        with pytest.raises(KeyboardInterrupt):
            h.run(run_id="killed")
    monkeypatch.undo()
    if not stored(h).ended_at:
        assert h.run().errors == []
    ended(h)
    assert h.contacts()[JAN]["jobTitle"] == "Inkoper"
    keep = {FOLDER: [EIGEN, JAN, PIET]}
    assert folders(h) == (keep if how == endings.KEEP else {})
    done = {"freed": 3} if how == endings.KEEP else {"deleted": 3, "folder": "deleted"}
    assert notes(h) == done


@pytest.mark.parametrize("how", HOW)
def test_a_second_folder_is_freed_as_well(make_harness, how):
    h, old, new = with_both(make_harness)
    h.full()
    assert stored(h).second_folder == old
    ask(h, how)
    assert h.run().errors == []
    ended(h)
    assert [each["id"] for each in h.mailbox()["folders"] if each["id"] in (old, new)] == (
        [old] if how == endings.REMOVE else [old, new]
    )


def refuse(h: Harness, how: str, count: int | None) -> None:
    method = "DELETE" if how == endings.REMOVE else "PATCH"
    refusal = {"status": 413, "code": "ErrorMessageSizeExceeded", "method": method, "path": "/contacts/"}
    h.sim.add_fault(name="F24", service="graph", part=True, count=count, **refusal)


@pytest.mark.parametrize("how", HOW)
def test_an_item_that_is_refused_for_now_is_freed_by_the_next_run(make, how):
    """Rules 6: a refusal that says nothing of a value passes; until then the profile has not ended."""
    h = make()
    ask(h, how)
    refuse(h, how, 1)
    ran = h.run()
    assert (ran.errors, ran.verdict.ok, stored(h).ended_at) == ([], True, None)
    assert (ran.report.profiles[0].reason, len(h.items())) == (
        "profile_ending",
        1 if how == endings.REMOVE else 2,
    )
    assert h.run().errors == []
    ended(h)
    assert notes(h) == ({"freed": 2} if how == endings.KEEP else {"deleted": 2, "folder": "deleted"})


@pytest.mark.parametrize("how", HOW)
def test_items_that_are_refused_for_a_day_stay_as_they_are(make, how):
    h = make()
    ask(h, how)
    refuse(h, how, None)
    assert h.run().errors == []
    assert stored(h).ended_at is None
    with transaction(h.edges.engine) as conn:
        conn.execute(update(t.sync_profile).values(ending_at="2020-01-01T00:00:00.000Z"))
    h.run()
    assert stored(h).ended_at
    assert (folders(h), notes(h)) == ({FOLDER: [JAN, PIET]}, {"refused": 2})


def test_what_waits_for_a_person_is_asked_no_more(make):
    """A hold ends with its profile; what was held stays as it is."""
    h = make(own=True)
    h.add_profiles(filter={"Name": "Niemand"})
    h.settings = replace(h.settings, guard_deletes=0)
    h.edges.close()
    h.edges = h.open()
    assert h.run().report.profiles[0].state == "held"
    ask(h, endings.KEEP)
    h.run()
    ended(h)
    assert folders(h) == {FOLDER: [EIGEN, JAN, PIET]}
    with read(h.edges.engine) as conn:
        assert set(conn.scalars(select(t.hold.c.state))) == {"superseded"}


def test_another_run_finds_it_busy_or_ended(make):
    """Under the profile's lease: a run that was planned before it ended leaves it alone."""
    h = make()
    plan = pipeline.plan_run(h.edges, RunRequest("late"))
    ask(h, endings.KEEP)
    h.run()
    for company in plan.companies:
        pipeline.extract_business_central(h.edges, "late", company)
    [result] = pipeline.sync_profile(h.edges, "late", plan.tasks[0])
    assert (result.state, result.reason) == ("skipped", "profile_ended")
    ended(h)


# -- privacy (7.4) ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["full", "housekeeping"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_privacy_block_reaches_what_the_sync_had_made(make, by, moved):
    h = make(own=True)
    h.add_profiles(folder="Tweede", filter={"City": "Nergens"})
    h.full()
    ask(h, endings.KEEP)
    h.run()
    if moved:
        h.sim.control(
            "POST", "graph/move", {"mailbox": ANNA, "contact": h.items()[JAN]["id"], "to": "Contacts"}
        )
    for name in (JAN, EIGEN):
        h.edit_contact(name, privacyBlocked=True)
    h.run()
    if by == "full":
        h.full()
    else:
        assert housekeeping.remove_blocked(h.edges, "night") == 1
    assert folders(h)[FOLDER] == [EIGEN, PIET], "her own contact stays in her own folder"
    assert not any(JAN in names for names in folders(h).values())
    h.sim.reset_counters()
    h.full()
    assert h.app_writes() == 0


def test_a_privacy_block_reaches_it_where_no_other_profile_reads_the_company(make):
    h = make()
    ask(h, endings.KEEP)
    h.run()
    h.edit_contact(JAN, privacyBlocked=True)
    assert housekeeping.remove_blocked(h.edges, "night") == 1
    assert folders(h) == {FOLDER: [PIET]}
    assert housekeeping.remove_blocked(h.edges, "night2") == 0


def test_people_who_end_with_many_contacts_are_not_asked_again(make_harness):
    """The confirmation of the preview is the approval: the guard counts none of it."""
    h = make_harness(world(*people(40)))
    h.add_profiles()
    h.full()
    ask(h, endings.REMOVE)
    ran = h.run()
    assert ran.writes == {"deleted_outlook": 40}
    ended(h)
    assert folders(h) == {}
