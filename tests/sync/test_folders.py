"""Rules 1: which Outlook folder belongs to a profile, through renames, deletions, other owners and lost staging."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.profiles.settings import rename_folder
from tests.sync.harness import COMPANY, FOLDER, Harness, person, world

ANNA = "anna@voorbeeld.example"
MARKER = "String {0f2d8a64-5c1b-4e0e-9c53-7a3b6e1d94c8} Name ContactSyncFolder"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: where the two differ is tested with the store."""
    return "sqlite"


def people(count: int) -> list[dict]:
    return [person(f"Persoon {n:03}", f"p{n}@klant.example") for n in range(count)]


def mailbox(*folders: dict) -> dict:
    return {"user_principal_name": ANNA, "folders": list(folders)}


def hand_made(name: str) -> dict:
    address = name.lower().replace(" ", ".") + "@eigen.example"
    return {"displayName": name, "emailAddresses": [{"address": address, "name": name}]}


def folders(h: Harness) -> dict[str, int]:
    """Every folder of the mailbox by name, with the number of its contacts."""
    return {found["name"]: len(found["contacts"]) for found in h.mailbox()["folders"]}


def stored(h: Harness, key: int = 1) -> Profile:
    with read(h.edges.engine) as conn:
        return profiles.read_profile(conn, key)


def rename_in_profile(h: Harness, name: str) -> None:
    rename_folder(h.edges.engine, 1, name, now=h.edges.now())


def lose_staging(h: Harness, new_database) -> None:
    h.close()
    h.database = new_database("sqlite")
    h.edges = h.open()


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(*people(3)))
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 3}
    return h


# -- made, renamed ---------------------------------------------------------------------------------------------------


def test_the_folder_is_made_with_the_company_in_its_marker(synced):
    found = next(f for f in synced.mailbox()["folders"] if f["name"] == FOLDER)
    info = synced.sim.info()
    company = f"{info['tenant_id']}/{info['environment']}/{info['companies'][0]['id']}".lower()
    assert found["extended"][MARKER] == f"{company}#1"
    assert stored(synced).folder_made_by_sync
    assert stored(synced).folder_id == found["id"]


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_folder_renamed_by_the_user_is_followed(synced, mode):
    synced.in_outlook("PATCH", f"contactFolders/{synced.folder_id()}", {"displayName": "Klanten"})
    synced.edit_contact("Persoon 001", jobTitle="Inkoper")
    assert synced.run(mode).writes == {"updated_outlook": 1}
    synced.full()
    assert folders(synced) == {"Contacts": 0, "Deleted Items": 0, "Klanten": 3}
    assert stored(synced).folder_name == "Klanten"


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_folder_renamed_in_the_profile_is_renamed_in_outlook(synced, mode):
    rename_in_profile(synced, "Klanten")
    assert synced.run(mode).writes == {}
    assert folders(synced) == {"Contacts": 0, "Deleted Items": 0, "Klanten": 3}
    assert synced.run().writes == {}


def test_a_dry_run_renames_nothing(synced):
    rename_in_profile(synced, "Klanten")
    assert synced.full(dry_run=True).errors == []
    assert FOLDER in folders(synced)


def test_a_name_that_another_folder_has_is_a_clear_error(synced):
    synced.in_outlook("POST", "contactFolders", {"displayName": "Klanten"})
    rename_in_profile(synced, "Klanten")
    result = synced.run().report.profiles[0]
    assert (result.state, result.reason) == ("failed", "folder_taken")
    assert "another name" in result.message
    assert folders(synced)[FOLDER] == 3


# -- found again -----------------------------------------------------------------------------------------------------


def test_the_marker_finds_a_renamed_folder_when_staging_is_lost(synced, new_database):
    synced.in_outlook("PATCH", f"contactFolders/{synced.folder_id()}", {"displayName": "Klanten"})
    lose_staging(synced, new_database)
    synced.add_profiles()
    ran = synced.full()
    assert (ran.errors, ran.writes) == ([], {})
    assert folders(synced) == {"Contacts": 0, "Deleted Items": 0, "Klanten": 3}
    assert stored(synced).folder_name == "Klanten"


def test_the_marker_comes_before_the_name(synced, new_database):
    synced.in_outlook("PATCH", f"contactFolders/{synced.folder_id()}", {"displayName": "Klanten"})
    synced.in_outlook("POST", "contactFolders", {"displayName": FOLDER})
    lose_staging(synced, new_database)
    synced.add_profiles()
    assert synced.full().writes == {}
    assert stored(synced).folder_id == synced.folder_id(folder="Klanten")


@pytest.mark.parametrize("first", ["renamed", "other"])
def test_two_profiles_find_their_own_folders_when_staging_is_lost(make_harness, new_database, first):
    h = make_harness(world(person("Jan Jansen", city="Zaandam"), person("Piet de Vries", city="Haarlem")))

    klanten = {"folder": "Klanten", "filter": {"City": "Haarlem"}}
    central = {"filter": {"City": "Zaandam"}}
    added = [central, klanten] if first == "renamed" else [klanten, central]
    for profile in added:
        h.add_profiles(**profile)
    assert h.full().errors == []
    assert (set(h.items()), set(h.items(folder="Klanten"))) == ({"Jan Jansen"}, {"Piet de Vries"})
    h.in_outlook("PATCH", f"contactFolders/{h.folder_id(folder='Klanten')}", {"displayName": "Relaties"})
    lose_staging(h, new_database)
    for profile in reversed(added):
        h.add_profiles(**profile)
    ran = h.full()
    assert (ran.errors, ran.writes) == ([], {})
    assert (set(h.items()), set(h.items(folder="Relaties"))) == ({"Jan Jansen"}, {"Piet de Vries"})
    assert {stored(h, key).folder_name for key in (1, 2)} == {FOLDER, "Relaties"}


def test_a_folder_of_that_name_is_taken_over_and_its_contacts_wait(make_harness):
    box = mailbox({"name": FOLDER.upper(), "contacts": [hand_made("Els Eigen"), hand_made("Bob Eigen")]})
    h = make_harness(world(*people(1), mailboxes=[box]))
    h.add_profiles()
    ran = h.full()
    assert ran.writes == {"created_outlook": 1}
    assert ran.reasons() == {"first_sync_of_users_folder": 2}
    assert not stored(h).folder_made_by_sync


@pytest.mark.parametrize("names", [("B", "A"), ("B", "C", "A"), ("B", "nieuw"), ("nieuw", "A")])
def test_folders_that_swap_names_are_followed(make_harness, names):
    """I9: each is found by its id, however many went round, and whichever profile is synced first."""
    h = make_harness(world(*people(2)))
    before = ("A", "B", "C")[: len(names)]
    for name in before:
        h.add_profiles(folder=name)
    assert h.full().errors == []
    ids = [h.folder_id(folder=name) for name in before]
    for number, folder in enumerate(ids):
        h.in_outlook("PATCH", f"contactFolders/{folder}", {"displayName": f"tijdelijk {number}"})
    for folder, name in zip(ids, names, strict=True):
        h.in_outlook("PATCH", f"contactFolders/{folder}", {"displayName": name})
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    ran = h.full()
    assert (ran.errors, ran.writes) == ([], {"updated_outlook": len(names)})
    found = [stored(h, key + 1) for key in range(len(names))]
    assert [each.folder_name for each in found] == list(names)
    assert [each.folder_id for each in found] == ids
    assert h.full().writes == {}


def test_a_name_that_another_profile_asks_for_fails_neither_for_long(make_harness):
    """I9: the user gives one folder the name that the other profile was given on its page."""
    h = make_harness(world(*people(2)))
    for name in ("A", "B"):
        h.add_profiles(folder=name)
    h.full()
    rename_folder(h.edges.engine, 2, "X", now=h.edges.now())
    h.in_outlook("PATCH", f"contactFolders/{h.folder_id(folder='A')}", {"displayName": "X"})
    ran = h.full()
    assert [(p.state, p.reason) for p in ran.report.profiles] == [("done", ""), ("failed", "folder_taken")]
    rename_folder(h.edges.engine, 2, "Y", now=h.edges.now())
    assert h.full().errors == []
    assert [stored(h, key).folder_name for key in (1, 2)] in (["X", "Y"], ["A", "Y"])
    h.full()
    assert [stored(h, key).folder_name for key in (1, 2)] == ["X", "Y"]


# -- somebody else's -------------------------------------------------------------------------------------------------


def two_companies() -> dict:
    made = world(*people(2))
    made["companies"].append({"name": "Andere BV", "contacts": [person("Anders Anders")]})
    return made


def test_a_folder_of_another_company_is_never_taken(make_harness):
    h = make_harness(two_companies())
    h.add_profiles()
    h.add_profiles(company="Andere BV", folder="Anderen")
    assert h.full().errors == []
    with h.edges.engine.begin() as conn:
        # The first company's profile is gone; its folder and marker stay in Outlook.
        gone = {"enabled": False, "folder_id": None, "folder_name": "Vroeger"}
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == 1).values(gone))
    h.add_profiles(company="Andere BV", folder=FOLDER)
    result = next(p for p in h.full().report.profiles if p.reason)
    assert (result.company, result.state, result.reason) == ("Andere BV", "failed", "folder_taken")
    assert "another folder name" in result.message
    assert set(h.items()) == {"Persoon 000", "Persoon 001"}


def test_a_folder_of_another_profile_is_never_taken(make_harness):
    h = make_harness(two_companies())
    h.add_profiles()
    h.full()
    h.add_profiles(company="Andere BV", folder="Anderen")
    with h.edges.engine.begin() as conn:
        # No import lets it come to this; a database may hold it nevertheless.
        twin = update(t.sync_profile).where(t.sync_profile.c.id == 2)
        conn.execute(twin.values(folder_name=FOLDER.lower()))
    ran = h.full()
    states = {(p.company, p.state, p.reason) for p in ran.report.profiles}
    assert states == {(COMPANY, "done", ""), ("Andere BV", "failed", "folder_taken")}
    assert len(h.items()) == 2


def test_two_profiles_of_a_mailbox_have_two_folders(make_harness):
    h = make_harness(two_companies())
    h.add_profiles()
    h.add_profiles(company="Andere BV", folder="Anderen")
    assert h.full().errors == []
    assert set(h.items()) == {"Persoon 000", "Persoon 001"}
    assert set(h.items(folder="Anderen")) == {"Anders Anders"}
    assert h.full().writes == {}


# -- deleted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["recreate", "stay_away"])
def test_a_deleted_folder_is_made_again_whatever_the_policy(make_harness, policy):
    h = make_harness(world(*people(3)))
    h.add_profiles(policies={"deleted_in_outlook": policy})
    h.full()
    h.in_outlook("DELETE", f"contactFolders/{h.folder_id()}")
    ran = h.run()
    assert (ran.errors, ran.writes) == ([], {"created_outlook": 3})
    assert folders(h)[FOLDER] == 3
    assert h.run().writes == {}


def test_stay_away_holds_for_contacts_deleted_one_by_one_before_the_folder(make_harness):
    h = make_harness(world(*people(3)))
    h.add_profiles(policies={"deleted_in_outlook": "stay_away"})
    h.full()
    h.delete_item("Persoon 001")
    h.run()
    h.in_outlook("DELETE", f"contactFolders/{h.folder_id()}")
    h.run()
    assert set(h.items()) == {"Persoon 000", "Persoon 002"}


def test_a_folder_dragged_to_deleted_items_is_seen_by_a_full_sync(synced):
    synced.sim.control("POST", "graph/move-folder", {"mailbox": ANNA, "folder": FOLDER, "to": "deleteditems"})
    old = stored(synced).folder_id
    ran = synced.full()
    assert (ran.errors, ran.writes) == ([], {"created_outlook": 3})
    assert stored(synced).folder_id != old
    assert synced.full().writes == {}


def test_a_deleted_folder_of_many_is_held_also_with_stay_away(make_harness):
    h = make_harness(world(*people(12)))
    h.add_profiles(policies={"deleted_in_outlook": "stay_away"})
    h.full()
    h.in_outlook("DELETE", f"contactFolders/{h.folder_id()}")
    assert h.run().reasons() == {"folder_suddenly_empty": 12}
    assert h.run().reasons() == {"folder_suddenly_empty": 12}


def test_a_users_folder_in_place_of_a_deleted_one_is_a_first_sync(synced):
    synced.in_outlook("DELETE", f"contactFolders/{synced.folder_id()}")
    made = synced.in_outlook("POST", "contactFolders", {"displayName": FOLDER})
    synced.in_outlook("POST", f"contactFolders/{made['id']}/contacts", hand_made("Els Eigen"))
    ran = synced.run()
    assert ran.writes == {"created_outlook": 3}
    assert ran.reasons() == {"first_sync_of_users_folder": 1}


# -- the default folder ----------------------------------------------------------------------------------------------


def test_the_default_folder_is_taken_only_if_chosen(make_harness):
    h = make_harness(
        world(*people(1), mailboxes=[mailbox({"name": "Contacts", "contacts": [hand_made("Tante Riet")]})])
    )
    h.add_profiles(folder="Contacts")
    assert h.full().writes == {"created_outlook": 1}
    assert stored(h).folder_id != h.folder_id(folder="Contacts")
    assert "Tante Riet" not in h.contacts()


def test_a_chosen_default_folder_is_synced_and_keeps_its_name(make_harness):
    h = make_harness(
        world(*people(1), mailboxes=[mailbox({"name": "Contacts", "contacts": [hand_made("Tante Riet")]})])
    )
    h.add_profiles(default_folder=True)
    ran = h.full()
    assert ran.writes == {"created_outlook": 1}
    assert ran.reasons() == {"first_sync_of_users_folder": 1}
    assert set(h.items(folder="Contacts")) == {"Tante Riet", "Persoon 000"}
    assert folders(h).keys() == {"Contacts", "Deleted Items"}


@pytest.mark.parametrize("lost", [False, True])
def test_a_folder_that_was_dragged_into_another_one_is_found_by_its_marker(make_harness, new_database, lost):
    h = make_harness(world(*people(3), mailboxes=[mailbox({"name": "Prive"}, {"name": "Oud"})]))
    h.add_profiles()
    h.full()
    h.sim.control("POST", "graph/move-folder", {"mailbox": ANNA, "folder": "Prive", "to": "Oud"})
    h.sim.control("POST", "graph/move-folder", {"mailbox": ANNA, "folder": FOLDER, "to": "Prive"})
    if lost:
        lose_staging(h, new_database)
        h.add_profiles()
    else:
        h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "migrate": True})
    assert h.full().writes == {}
    assert folders(h)[FOLDER] == 3
