"""Rules 1: a folder that was deleted by mistake is dragged back while another one stands in for it."""

from __future__ import annotations

import pytest

from sync_lib.errors import ConfigError
from sync_lib.operate import answers
from sync_lib.run import second_folder
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.settings import rename_folder
from tests.sync.harness import FOLDER, Harness, person, world
from tests.sync.test_folders import ANNA, people, stored

PROPERTY = "ContactSyncFolder"
MADE = 3


def move(h: Harness, folder: str, to: str) -> None:
    h.sim.control("POST", "graph/move-folder", {"mailbox": ANNA, "folder": folder, "to": to})


def folder(h: Harness, folder_id: str) -> dict:
    return next(each for each in h.mailbox()["folders"] if each["id"] == folder_id)


def items(h: Harness, folder_id: str) -> dict[str, dict]:
    return {item["properties"]["displayName"]: item for item in folder(h, folder_id)["contacts"]}


def keys(h: Harness, folder_id: str) -> list[str]:
    """Values of our own properties on the items of a folder, and on the folder itself."""
    found = folder(h, folder_id)
    extended = [found["extended"], *(item["extended"] or {} for item in found["contacts"])]
    return [
        value for each in extended for name, value in each.items() if "ync" in name or "Key" in name if value
    ]


def categories(h: Harness, folder_id: str) -> list[str]:
    return [c for item in folder(h, folder_id)["contacts"] for c in item["properties"].get("categories", [])]


def edit(h: Harness, folder_id: str, name: str, **properties: str) -> None:
    h.in_outlook("PATCH", f"contacts/{items(h, folder_id)[name]['immutable_id']}", properties)


def say(h: Harness, answer: str) -> None:
    with h.edges.engine.begin() as conn:
        answers.answer_second_folder(conn, profiles.read_profile(conn, 1), answer)


def shown(ran) -> tuple[str, str]:
    result = ran.report.profiles[0]
    return result.state, result.reason


@pytest.fixture
def both(make_harness) -> tuple[Harness, str, str]:
    """A harness with the folder that was dragged back, and the one that is bound by now."""
    return with_both(make_harness)


def with_both(make_harness, count: int = MADE) -> tuple[Harness, str, str]:
    h = make_harness(world(*people(count)))
    h.add_profiles()
    h.full()
    old = h.folder_id()
    move(h, old, "deleteditems")
    h.full()
    new = stored(h).folder_id
    assert new != old
    move(h, old, "contacts")
    return h, old, new


def test_it_is_reported_and_nothing_of_it_is_synced(both):
    """I11: only a full sync looks for it."""
    h, old, new = both
    edit(h, old, "Persoon 001", jobTitle="Inkoper")
    before = folder(h, old)
    ran = h.full()
    assert (ran.errors, ran.writes, shown(ran)) == ([], {}, ("done", "second_folder"))
    assert "second-folder 1" in ran.report.profiles[0].message
    assert (stored(h).folder_id, stored(h).second_folder) == (new, old)
    h.edit_contact("Persoon 002", jobTitle="Baas")
    ran = h.run()
    assert (ran.writes, shown(ran)) == ({"updated_outlook": 1}, ("done", "second_folder"))
    assert folder(h, old) == before
    assert len(h.contacts()) == MADE


def test_a_dry_run_notices_nothing(both):
    """I11: it stores nothing about the folder."""
    h, _, _ = both
    h.full(dry_run=True)
    assert stored(h).second_folder == ""


def test_one_that_is_deleted_again_asks_nothing(both):
    """I11: the question goes with the folder."""
    h, old, _ = both
    h.full()
    move(h, old, "deleteditems")
    assert shown(h.full()) == ("done", "")
    assert stored(h).second_folder == ""
    with pytest.raises(ConfigError, match="no second folder"):
        say(h, profiles.LEAVE)


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_going_back_brings_its_edits_to_bc(both, mode):
    """I11: its pairs return, and the other folder is free of what is ours."""
    h, old, new = both
    edit(h, old, "Persoon 001", jobTitle="Inkoper")
    h.full()
    edit(h, new, "Persoon 002", jobTitle="Baas")
    say(h, profiles.GO_BACK)
    ran = h.run(mode)
    assert (ran.errors, shown(ran)) == ([], ("done", ""))
    assert {name: c["jobTitle"] for name, c in h.contacts().items() if c["jobTitle"]} == {
        "Persoon 001": "Inkoper",
        "Persoon 002": "Baas",
    }
    assert len(h.contacts()) == len(items(h, old)) == MADE
    assert items(h, old)["Persoon 002"]["properties"]["jobTitle"] == "Baas"
    assert (items(h, new), keys(h, new)) == ({}, [])
    bound = stored(h)
    assert (bound.folder_id, bound.second_folder, bound.leaving_folder) == (old, "", "")
    for again, state in (("full", "done"), ("incremental", "quiet"), ("full", "done")):
        ran = h.run(again)
        assert (ran.writes, shown(ran)) == ({}, (state, ""))
    edit(h, old, "Persoon 000", jobTitle="Koper")
    assert h.run().writes == {"updated_business_central": 1}


def test_what_somebody_edited_in_the_other_folder_stays_there(both):
    """I11: an edit that BC cannot hold is nowhere else."""
    h, old, new = both
    h.full()
    edit(h, new, "Persoon 002", jobTitle="x" * 31)
    say(h, profiles.GO_BACK)
    h.run()
    assert set(items(h, new)) == {"Persoon 002"}
    assert (keys(h, new), categories(h, new)) == ([], [])
    assert len(items(h, old)) == MADE
    assert h.full().writes == {}


def test_what_may_not_go_to_bc_stays_in_the_other_folder(make_harness):
    """I1: a value that only Outlook has, since the direction lets it stay there, is nowhere else."""
    h, old, new = with_both(make_harness)
    h.add_profiles(direction="to_outlook")
    edit(h, new, "Persoon 002", jobTitle="Baas")
    h.full()
    assert items(h, new)["Persoon 002"]["properties"]["jobTitle"] == "Baas"
    say(h, profiles.GO_BACK)
    h.run()
    assert {name: each["properties"]["jobTitle"] for name, each in items(h, new).items()} == {
        "Persoon 002": "Baas"
    }
    assert (keys(h, new), categories(h, new)) == ([], [])
    assert len(items(h, old)) == MADE
    assert h.full().writes == {}


def test_going_back_from_a_folder_that_waits_for_a_person(make_harness):
    """I11: the contacts that were to be made again are in the other folder."""
    h, old, new = with_both(make_harness, 12)
    assert items(h, new) == {}
    edit(h, old, "Persoon 001", jobTitle="Inkoper")
    h.full()
    say(h, profiles.GO_BACK)
    ran = h.run()
    assert (ran.writes, shown(ran)) == ({"updated_business_central": 1}, ("done", ""))
    assert (keys(h, new), len(items(h, old)), len(h.contacts())) == ([], 12, 12)
    assert h.full().writes == {}


def test_leaving_it_takes_everything_of_ours_off(both):
    """I11: its contacts stay, with the user's own categories."""
    h, old, new = both
    edit(h, old, "Persoon 001", categories=["Business Central", "Klant"])
    h.full()
    say(h, profiles.LEAVE)
    ran = h.run()
    assert (ran.errors, ran.writes, shown(ran)) == ([], {}, ("done", ""))
    assert (keys(h, old), categories(h, old), len(items(h, old))) == ([], ["Klant"], MADE)
    assert (stored(h).folder_id, stored(h).leaving_folder) == (new, "")
    for _ in range(2):
        ran = h.full()
        assert (ran.writes, shown(ran)) == ({}, ("done", ""))
    with pytest.raises(ConfigError, match="no second folder"):
        say(h, profiles.LEAVE)
    assert len(items(h, new)) == len(h.contacts()) == MADE


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_one_that_is_bound_since_asks_nothing(both, mode):
    """I11: where the bound one is deleted, the other is found by its marker, whatever was answered."""
    h, old, new = both
    h.full()
    say(h, profiles.GO_BACK)
    h.in_outlook("DELETE", f"contactFolders/{new}")
    ran = h.run(mode)
    assert (ran.errors, shown(ran)) == ([], ("done", ""))
    bound = stored(h)
    assert (bound.folder_id, bound.second_folder, bound.second_answer, bound.leaving_folder) == (
        old,
        "",
        "",
        "",
    )
    assert (len(items(h, old)), len(h.contacts())) == (MADE, MADE)
    assert h.full().writes == {}


@pytest.mark.parametrize("answer", [profiles.GO_BACK, profiles.LEAVE])
def test_nothing_is_written_while_writes_are_off(both, answer):
    """I11: the answer waits with them."""
    h, old, new = both
    h.full()
    before = folder(h, old), folder(h, new)
    say(h, answer)
    h.edges.read_switch = lambda: False
    h.run()
    assert (folder(h, old), folder(h, new)) == before
    h.edges.read_switch = None
    h.run()
    assert keys(h, new if answer == profiles.GO_BACK else old) == []


@pytest.mark.parametrize("answer", [profiles.GO_BACK, profiles.LEAVE])
@pytest.mark.parametrize("place", ["clear", "_clear_items", "unmark"])
def test_a_run_that_is_killed_leaves_the_rest_to_the_next_one(both, answer, place, monkeypatch):
    """I11: what is left to do is stored in the profile."""
    h, old, new = both
    edit(h, old, "Persoon 001", jobTitle="Inkoper")
    h.full()
    say(h, answer)
    real = getattr(second_folder, place)

    def dies(*args):
        if place == "_clear_items":
            real(args[0], args[1], args[2][:1], args[3])
        raise KeyboardInterrupt

    monkeypatch.setattr(second_folder, place, dies)
    with pytest.raises(KeyboardInterrupt):
        h.run(run_id="killed")
    monkeypatch.undo()
    h.run()
    bound, left = (old, new) if answer == profiles.GO_BACK else (new, old)
    assert (stored(h).folder_id, stored(h).leaving_folder, keys(h, left)) == (bound, "", [])
    assert len(items(h, bound)) == len(h.contacts()) == MADE
    assert len(items(h, left)) == (0 if answer == profiles.GO_BACK else MADE)
    job = h.contacts()["Persoon 001"]["jobTitle"]
    assert job == ("Inkoper" if answer == profiles.GO_BACK else "")
    assert (h.full().writes, shown(h.full())) == ({}, ("done", ""))


def test_another_profile_never_takes_it_for_its_own(make_harness):
    """I11: the marker names the company alone; a folder that a profile was bound to is that one's."""
    h = make_harness(world(*people(2), person("Piet de Vries", city="Haarlem")))
    h.add_profiles(folder="Klanten", filter={"City": "Haarlem"})
    h.add_profiles()
    h.full()
    old = stored(h, 1).folder_id
    move(h, old, "deleteditems")
    h.full()
    h.in_outlook("PATCH", f"contactFolders/{old}", {"displayName": "Vroeger"})
    move(h, old, "contacts")
    h.full()
    assert (stored(h, 1).second_folder, stored(h, 2).second_folder) == (old, "")
    assert stored(h, 2).folder_name == FOLDER


@pytest.mark.parametrize("answer", [second_folder.GO_BACK, second_folder.LEAVE])
def test_another_profile_of_the_mailbox_does_not_take_it(both, answer):
    """Markers name the company only: the other profile, whose folder is gone, finds one that was ours."""
    h, old, new = both
    h.add_profiles(folder="Tweede")
    h.full()
    second = h.folder_id(folder="Tweede")
    rename_folder(h.edges.engine, 1, "Anders", now=h.edges.now())
    h.in_outlook("POST", f"contactFolders/{second}/permanentDelete")
    ran = h.full()
    assert (ran.errors, shown(ran)) == ([], ("done", "second_folder"))
    assert stored(h, 2).folder_id not in (old, new, second)
    say(h, answer)
    assert [h.full().errors, h.full().errors] == [[], []]
    assert stored(h).folder_id == (old if answer == second_folder.GO_BACK else new)


def test_an_item_older_than_the_one_that_went_holds_no_edit(make_harness, database_kind, new_database):
    """The staging database was lost meanwhile, so nobody knows what the older item held when the pair agreed."""
    h = make_harness(world(*people(MADE)), guard_emptied_from=100)
    h.add_profiles()
    h.full()
    old = h.folder_id()
    move(h, old, "deleteditems")
    h.sim.clock(advance_seconds=60)
    h.full()
    new = stored(h).folder_id
    h.close()
    h.database = new_database(database_kind)
    h.edges = h.open()
    h.add_profiles()
    h.full()
    edit(h, new, "Persoon 001", mobilePhone="06 5550 1111")
    h.run()
    assert h.contacts()["Persoon 001"]["mobilePhoneNumber"] == "06 5550 1111"
    move(h, new, "deleteditems")
    move(h, old, "contacts")
    h.full()
    h.full()
    assert h.contacts()["Persoon 001"]["mobilePhoneNumber"] == "06 5550 1111"
    assert items(h, old)["Persoon 001"]["properties"]["mobilePhone"] == "06 5550 1111"
