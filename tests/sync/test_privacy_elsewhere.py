"""Rules 7.4: what a privacy block reaches beyond the folder, and in profiles that are switched off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib.operate import housekeeping
from sync_lib.run import elsewhere
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from tests.sync.harness import FOLDER, Harness, person, settled, world

ANNA = "anna@voorbeeld.example"
BRAM = "bram@voorbeeld.example"
JAN = "Jan Jansen"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: where the two differ is tested with the store."""
    return "sqlite"


@pytest.fixture
def make(make_harness) -> Any:
    """Profiles, already synced: Jan and Piet. ``adopted``: Jan's item was in the folder before the sync came."""

    def made(*, adopted: bool = False, boxes: tuple[str, ...] = (ANNA,), **profile: object) -> Harness:
        jan = {
            "displayName": JAN,
            "emailAddresses": [{"address": "jan.jansen@klant.example", "name": JAN}],
            "categories": ["Vrienden"],
        }
        folder = {"name": FOLDER, "contacts": [jan]}
        theirs = [folder, {"name": "Prive"}] if adopted else [{"name": "Prive"}]
        mailboxes = [{"user_principal_name": box, "folders": theirs} for box in boxes]
        h = make_harness(world(person(JAN), person("Piet Smit"), mailboxes=mailboxes))
        h.add_profiles(*boxes, **profile)
        assert h.full().errors == []
        return h

    return made


def move(h: Harness, name: str = JAN, to: str = "Contacts", mailbox: str = ANNA, folder: str = FOLDER) -> str:
    contact: str = h.items(mailbox, folder)[name]["id"]
    h.sim.control("POST", "graph/move", {"mailbox": mailbox, "contact": contact, "to": to})
    return contact


def block(h: Harness, name: str = JAN) -> None:
    h.edit_contact(name, privacyBlocked=True)


def everywhere(h: Harness, mailbox: str = ANNA) -> dict[str, list[str]]:
    """Names of the items by folder, but for Deleted Items."""
    found = {
        each["name"]: sorted(item["properties"].get("displayName") or "" for item in each["contacts"])
        for each in h.mailbox(mailbox)["folders"]
        if "deleted" not in each["name"].lower()
    }
    return {name: names for name, names in found.items() if names}


def switch_off(h: Harness, mailbox: str = ANNA) -> None:
    with transaction(h.edges.engine) as conn:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.mailbox == mailbox).values(enabled=False))


@pytest.mark.parametrize("direction", ["both", "to_outlook", "to_business_central"])
@pytest.mark.parametrize("to", ["Contacts", "Prive"])
def test_what_the_sync_made_goes_from_where_it_was_moved_to(make, direction, to):
    """I8: moved and blocked in the same hour: one run deletes it, whatever the direction."""
    h = make()
    h.add_profiles(direction=direction)
    h.run()
    move(h, to=to)
    block(h)
    assert h.run().writes == {"deleted_outlook": 1}
    assert everywhere(h) == {FOLDER: ["Piet Smit"]}
    settled(h)


@pytest.mark.parametrize("policy", ["recreate", "stay_away"])
def test_what_was_moved_before_goes_with_what_was_made_again(make, policy):
    """I8: the former item in the other folder, and the one that took its place."""
    h = make(policies={"deleted_in_outlook": policy})
    move(h)
    h.run()
    block(h)
    assert h.run().writes == {"deleted_outlook": 2 if policy == "recreate" else 1}
    assert everywhere(h) == {FOLDER: ["Piet Smit"]}
    settled(h)


def test_what_a_coupling_that_ended_left_behind_goes(make):
    """I8: moved while its contact was out of scope, which ended the coupling; blocked later."""
    h = make(filter={"City": "''"}, policies={"left_scope": "keep"})
    h.edit_contact(JAN, city="Haarlem")
    h.run()
    move(h)
    h.run()
    with read(h.edges.engine) as conn:
        assert len(list(conn.scalars(select(t.coupling.c.id)))) == 1
    block(h)
    assert h.run().writes == {"deleted_outlook": 1}
    assert everywhere(h) == {FOLDER: ["Piet Smit"]}
    settled(h)


def test_two_copies_in_two_folders_go(make):
    """I8: a copy that was in the folder and went elsewhere, beside the item itself."""
    h = make()
    copy = h.sim.control("POST", "graph/copy", {"mailbox": ANNA, "contact": h.items()[JAN]["id"]})
    h.run()
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": copy["immutable_id"], "to": "Prive"})
    h.run()
    move(h)
    block(h)
    assert h.run().writes == {"deleted_outlook": 2}
    assert everywhere(h) == {FOLDER: ["Piet Smit"]}
    settled(h)


@pytest.mark.parametrize("direction", ["both", "to_business_central"])
def test_an_adopted_item_stays_and_says_no_more_whose_it_is(make, direction):
    """I8: key and category go; the item and its owner's categories stay, now and in every later run."""
    h = make(adopted=True, direction=direction)
    move(h)
    block(h)
    assert h.run().writes == {"updated_outlook": 1}
    item = h.items(folder="Contacts")[JAN]
    assert (item["key"], item["categories"]) == ("", ["Vrienden"])
    settled(h)
    assert everywhere(h)["Contacts"] == [JAN]


def test_what_lies_in_deleted_items_is_left_alone(make):
    """I8: deleted by its owner is gone; nothing is deleted for good."""
    h = make()
    move(h, to="deleteditems")
    block(h)
    ran = h.run()
    assert ran.writes == {}
    with read(h.edges.engine) as conn:
        assert list(conn.scalars(select(t.former_item.c.settled))) == [True]
    settled(h)


def test_nothing_is_asked_of_a_profile_without_blocked_contacts(make, monkeypatch):
    """I8: who has blocked nobody pays nothing, and what was looked up once is not asked for by each run."""
    h = make()
    move(h)
    h.run()
    asked: list[int] = []
    find = elsewhere.look_up_each
    monkeypatch.setattr(elsewhere, "look_up_each", lambda *args: asked.append(len(args[2])) or find(*args))
    h.edit_contact("Piet Smit", jobTitle="Chauffeur")
    h.run()
    assert asked == []
    block(h)
    h.run()
    h.edit_contact("Piet Smit", jobTitle="Directeur")
    h.run()
    assert asked == [1, 2], "the one elsewhere; then that one and the one that was in the folder"
    h.edit_contact("Piet Smit", jobTitle="Inkoper")
    h.run()
    assert len(asked) == 2
    h.full()
    assert asked == [1, 2, 2]


def test_an_item_that_stands_for_somebody_else_now_stays(make):
    """I8: a former item whose owner's copy was given another contact's key is not the blocked one's."""
    h = make()
    move(h, "Piet Smit")
    h.run()
    block(h)
    assert h.run().writes == {"deleted_outlook": 1}
    assert everywhere(h) == {"Contacts": ["Piet Smit"], FOLDER: ["Piet Smit"]}
    settled(h)


def test_no_values_are_kept_of_what_a_block_deletes(make):
    """I8: neither of the item in the folder nor of the one elsewhere; the pages show the log all the same."""
    h = make()
    move(h)
    h.run()
    block(h)
    h.run()
    with read(h.edges.engine) as conn:
        c = t.change.c
        rows = conn.execute(select(c.before, c.outcome).where(c.cause == "privacy_blocked")).all()
    assert [tuple(row) for row in rows] == [("{}", "deleted"), ("{}", "deleted")]


def test_a_dry_run_reports_it_and_does_nothing(make):
    """I8: with writes off, too, the plan has it and nothing is written."""
    h = make()
    move(h)
    block(h)
    ran = h.run(dry_run=True)
    assert ran.profile(ANNA).counters["planned"] == {"deleted_outlook": 1}
    assert everywhere(h)["Contacts"] == [JAN]
    assert h.run().writes == {"deleted_outlook": 1}
    settled(h)


def test_a_delete_elsewhere_without_an_answer_is_tried_again(make):
    """I8: a fault in between leaves nothing behind."""
    h = make()
    move(h)
    block(h)
    h.sim.add_fault(name="F3", service="graph", method="DELETE", part=True, count=None)
    h.run()
    h.sim.clear_faults()
    h.run()
    assert everywhere(h) == {FOLDER: ["Piet Smit"]}
    settled(h)


def test_an_item_that_comes_back_from_deleted_items_goes_by_the_next_full_run(make):
    """I8: a full run looks all of them up again."""
    h = make()
    contact = move(h, to="deleteditems")
    block(h)
    h.run()
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": contact, "to": "Contacts"})
    assert h.run().writes == {}
    assert h.full().writes == {"deleted_outlook": 1}
    assert everywhere(h) == {FOLDER: ["Piet Smit"]}


# -- switched off ----------------------------------------------------------------------------------------------------


def by_housekeeping(h: Harness) -> None:
    h.run()
    housekeeping.remove_blocked(h.edges, "housekeeping__1")


@pytest.mark.parametrize("act", [by_housekeeping, lambda h: h.full()], ids=["housekeeping", "full run"])
def test_a_switched_off_profile_loses_what_is_blocked(make, act):
    """I8: in the folder and elsewhere; everything else of it stays as it is."""
    h = make(boxes=(ANNA, BRAM))
    move(h)
    h.run()
    switch_off(h)
    block(h)
    h.run()
    assert everywhere(h) == {"Contacts": [JAN], FOLDER: [JAN, "Piet Smit"]}
    act(h)
    assert everywhere(h) == {FOLDER: ["Piet Smit"]}
    assert everywhere(h, BRAM) == {FOLDER: ["Piet Smit"]}
    h.sim.reset_counters()
    act(h)
    assert h.app_writes() == 0


def test_the_only_profile_of_a_company_is_switched_off(make):
    """I8: nobody reads the company any more, so that housekeeping asks Business Central itself."""
    h = make()
    copy = {"mailbox": ANNA, "contact": h.items()[JAN]["id"]}
    switch_off(h)
    h.sim.control("POST", "graph/copy", copy)
    block(h)
    assert housekeeping.remove_blocked(h.edges, "housekeeping__1") == 2
    assert everywhere(h) == {FOLDER: ["Piet Smit"]}


def test_an_adopted_item_of_a_switched_off_profile_stays_without_its_key(make):
    """I8: as in a profile that is enabled."""
    h = make(adopted=True)
    move(h)
    switch_off(h)
    block(h)
    housekeeping.remove_blocked(h.edges, "housekeeping__1")
    assert h.items(folder="Contacts")[JAN]["key"] == ""


def test_a_mailbox_that_is_gone_makes_no_run_red(make, caplog):
    """I8: it is reported, the others are served, and the run stays green."""
    h = make(boxes=(ANNA, BRAM, "cor@voorbeeld.example"))
    switch_off(h)
    switch_off(h, BRAM)
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": "no_mailbox"})
    block(h)
    ran = h.full()
    assert (ran.verdict.ok, ran.errors) == (True, [])
    assert everywhere(h, BRAM) == {FOLDER: ["Piet Smit"]}
    assert f"do not reach the switched-off profile of {ANNA}" in caplog.text


def test_while_writes_are_off_nothing_is_removed(make):
    """I8: neither by a full run nor by housekeeping."""
    h = make(boxes=(ANNA, BRAM))
    switch_off(h)
    block(h)
    h.edges.settings = replace(h.edges.settings, writes=False)
    h.sim.reset_counters()
    h.full()
    assert housekeeping.remove_blocked(h.edges, "housekeeping__1") == 0
    assert h.app_writes() == 0
