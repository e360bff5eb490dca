"""Rules 2: which BC contact and which Outlook item are one person, whatever happens to either of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import FOLDER, Harness, person, settled, world

ANNA = "anna@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: where the two differ is tested with the store."""
    return "sqlite"


def people(count: int, **fields: object) -> list[dict]:
    return [person(f"Persoon {n:03}", f"p{n}@klant.example", **fields) for n in range(count)]


def email(address: str) -> list[dict[str, str]]:
    return [{"address": address, "name": "x"}]


def mailbox(*items: dict) -> dict:
    return {"user_principal_name": ANNA, "folders": [{"name": FOLDER, "contacts": list(items)}]}


def lose_staging(h: Harness, new_database: Any, **profile: object) -> None:
    h.close()
    h.database = new_database("sqlite")
    h.edges = h.open()
    h.add_profiles(**profile)


def couplings(h: Harness) -> set[tuple[str, str]]:
    """Origin and state of every coupling."""
    with read(h.edges.engine) as conn:
        return {tuple(row) for row in conn.execute(select(t.coupling.c.origin, t.coupling.c.state))}


def copy(h: Harness, name: str, **properties: object) -> None:
    """A user copies an item, our key with it, and edits the copy."""
    made = h.sim.control("POST", "graph/copy", {"mailbox": ANNA, "contact": h.items()[name]["id"]})
    if properties:
        h.in_outlook("PATCH", f"contacts/{made['immutable_id']}", properties)


def move(h: Harness, contact: str, to: str) -> None:
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": contact, "to": to})


def count(h: Harness) -> int:
    return next(len(found["contacts"]) for found in h.mailbox()["folders"] if found["name"] == FOLDER)


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(person("Jan Jansen", jobTitle="Inkoper"), person("Piet de Vries")))
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 2}
    return h


# -- by e-mail (2.2b, 2.3, 2.5) --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_bc", "in_outlook"),
    [
        ("Jan.Jansen@Klant.Example", "jan.jansen@KLANT.example"),
        ("jos\u00e9@klant.example", "Jose\u0301@klant.example"),
        ("jan@klant.example", " jan@klant.example "),
        ("jan@klant.example;tweede@klant.example", "JAN@klant.example"),
    ],
)
def test_addresses_match_by_case_folding_after_nfc_and_trimming(make_harness, in_bc, in_outlook):
    box = mailbox({"displayName": "J. Jansen", "emailAddresses": email(in_outlook)})
    h = make_harness(world(person("Jan Jansen", in_bc), mailboxes=[box]))
    h.add_profiles()
    ran = h.full()
    assert (ran.errors, ran.writes) == ([], {"updated_outlook": 1})
    assert set(h.items()) == {"Jan Jansen"}
    assert couplings(h) == {("adopted", "active")}
    settled(h)


def test_of_twins_in_bc_the_lowest_number_is_taken(make_harness):
    twins = [
        person("Jan Hoog", "jan@klant.example", number="CT9"),
        person("Jan Laag", "JAN@klant.example", number="CT1"),
    ]
    h = make_harness(world(*twins))
    h.add_profiles()
    ran = h.full()
    assert (ran.writes, ran.reasons()) == ({"created_outlook": 1}, {"duplicate_email_in_bc": 1})
    assert set(h.items()) == {"Jan Laag"}
    h.edit_contact("Jan Hoog", jobTitle="Inkoper")
    assert h.run().reasons() == {"duplicate_email_in_bc": 1}
    settled(h)
    h.delete_contact("Jan Laag")
    h.run()
    assert set(h.items()) == {"Jan Hoog"}
    settled(h)


def test_a_second_item_with_the_address_never_takes_an_edited_pair_over(make_harness):
    h = make_harness(world(*people(1)))
    h.add_profiles()
    h.full()
    first = h.items()["Persoon 000"]["id"]
    h.edit_contact("Persoon 000", jobTitle="Inkoper")
    h.add_item(displayName="Tweede", emailAddresses=email("p0@klant.example"), jobTitle="Directeur")
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({"updated_outlook": 1}, {"duplicate_email_in_outlook": 1})
    assert (h.items()["Persoon 000"]["id"], h.items()["Persoon 000"]["jobTitle"]) == (first, "Inkoper")
    assert (h.items()["Tweede"]["key"], h.items()["Tweede"]["jobTitle"]) == ("", "Directeur")
    settled(h)


@pytest.mark.parametrize("numbered", ["by age", "the other way round"])
def test_of_twins_in_outlook_the_oldest_is_taken_and_no_other_writes_to_bc(make_harness, numbered):
    """By the creation time: ids say nothing of age."""
    address = {"emailAddresses": email("jan@klant.example")}
    twins = [
        {
            "created": "2020-02-01T00:00:00Z",
            "properties": {"displayName": "Jan Oud", "jobTitle": "oud", **address},
        },
        {
            "created": "2026-02-01T00:00:00Z",
            "properties": {"displayName": "Jan Jong", "jobTitle": "jong", **address},
        },
    ]
    in_order = twins if numbered == "by age" else twins[::-1]
    h = make_harness(world(person("Jan Jansen", "jan@klant.example"), mailboxes=[mailbox(*in_order)]))
    h.add_profiles()
    ran = h.full()
    assert ran.reasons() == {"duplicate_email_in_outlook": 1}
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "oud"
    assert set(h.items()) == {"Jan Jansen", "Jan Jong"}
    h.edit_item("Jan Jong", jobTitle="nog jonger")
    assert h.run().writes == {}
    settled(h)


def test_something_else_with_the_address_is_left_alone_with_a_reason(make_harness):
    contacts = [
        person("Buiten Filter", "buiten@klant.example", city="Haarlem"),
        person("Ge Blokkeerd", "blok@klant.example", city="Zaandam", privacyBlocked=True),
        {"type": "Company", "displayName": "Klant BV", "email": "info@klant.example"},
        person("Jan Jansen", city="Zaandam"),
    ]
    h = make_harness(world(*contacts))
    h.add_profiles(filter={"City": "Zaandam"})
    h.full()
    for n, address in enumerate(("buiten", "blok", "info", "jan.jansen")):
        h.add_item(displayName=f"Item {n}", emailAddresses=email(f"{address}@klant.example"))
    ran = h.run()
    assert ran.writes == {}
    assert ran.reasons() == {
        "outside_filter": 1,
        "privacy_blocked": 1,
        "company_contact": 1,
        "duplicate_email_in_outlook": 1,
    }
    assert h.contacts()["Klant BV"]["type"] == "Company"
    assert len(h.contacts()) == 4
    settled(h)


# -- copies and items that return (2.6) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edited",
    [
        {},
        {"displayName": "Jan Anders"},
        {"emailAddresses": email("anders@klant.example")},
        {"displayName": "jan oud", "emailAddresses": email("anders@klant.example")},
        {"displayName": "Jan Anders", "emailAddresses": email("OUD@klant.example")},
    ],
    ids=["same", "other name", "other address", "former name", "former address"],
)
def test_a_copy_that_was_ever_this_contact_never_goes_to_bc(make_harness, edited):
    h = make_harness(world(person("Jan Oud", "oud@klant.example")))
    h.add_profiles()
    h.full()
    h.edit_contact("Jan Oud", displayName="Jan Jansen", email="jan@klant.example")
    h.run()
    copy(h, "Jan Jansen", **edited)
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({}, {"copy_of_coupled": 1})
    assert count(h) == 2
    assert len(h.contacts()) == 1
    settled(h)


def test_a_copy_that_became_a_person_of_its_own_goes_to_bc(synced):
    copy(synced, "Jan Jansen", displayName="Els Nieuw", emailAddresses=email("els@nieuw.example"))
    assert synced.run().writes == {"created_business_central": 1}
    assert synced.contacts()["Els Nieuw"]["email"] == "els@nieuw.example"
    assert synced.items()["Els Nieuw"]["key"] != synced.items()["Jan Jansen"]["key"]
    settled(synced)


def test_a_copy_made_into_somebody_of_bc_stands_for_that_person(make_harness):
    """I7: the copy takes the key of the person whose address it has; nobody is made beside it."""
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles()
    h.full()
    h.add_contact("Els Nieuw", "els@nieuw.example", jobTitle="Directeur")
    copy(h, "Jan Jansen", displayName="Elsje", emailAddresses=email("ELS@nieuw.example"), jobTitle="x")
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({"updated_outlook": 1}, {})
    assert count(h) == 2
    els = h.items()["Els Nieuw"]
    assert els["jobTitle"] == "Directeur"
    assert els["key"].endswith(h.contacts()["Els Nieuw"]["id"] + "|adopted")
    assert couplings(h) == {("made_by_sync", "active"), ("adopted", "active")}
    settled(h)


def test_copies_that_stand_for_others_count_as_overwrites(make_harness):
    """I7: above the limit they wait for a person, with their keys as they are."""
    h = make_harness(world(person("Jan Jansen")), guard_overwrites=1, guard_overwrites_percent=1)
    h.add_profiles()
    h.full()
    keys = {item["key"] for item in h.items().values()}
    for n in range(2):
        h.add_contact(f"Els {n}", f"els{n}@nieuw.example")
        copy(h, "Jan Jansen", displayName=f"Els {n}", emailAddresses=email(f"els{n}@nieuw.example"))
    ran = h.run()
    assert set(ran.reasons()) == {"too_many_overwrites"}
    assert {item["key"] for item in h.items().values()} == keys


@pytest.mark.parametrize("seconds", [60, -60], ids=["younger", "older"])
def test_of_a_copy_and_a_keyless_twin_the_oldest_stands_for_the_person(make_harness, seconds):
    """I7: several items with the person's address, a copy among them (2.3)."""
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles()
    h.full()
    acts = [
        lambda: copy(h, "Jan Jansen", displayName="Els Kopie", emailAddresses=email("els@nieuw.example")),
        lambda: h.add_item(displayName="Els Eigen", emailAddresses=email("els@nieuw.example")),
    ]
    for act in acts[:: 1 if seconds < 0 else -1]:
        act()
        h.sim.clock(advance_seconds=60)
    h.add_contact("Els Nieuw", "els@nieuw.example")
    ran = h.run()
    assert ran.reasons() == {"duplicate_email_in_outlook": 1}
    assert set(h.items()) == {"Jan Jansen", "Els Nieuw", "Els Eigen" if seconds < 0 else "Els Kopie"}
    assert len(h.contacts()) == 2
    settled(h)


def test_a_copy_with_the_address_of_somebody_else_in_bc_makes_nobody(make_harness):
    h = make_harness(world(person("Jan Jansen", city="Zaandam"), person("Buiten Filter", city="Haarlem")))
    h.add_profiles(filter={"City": "Zaandam"})
    h.full()
    copy(h, "Jan Jansen", displayName="Els Nieuw", emailAddresses=email("buiten.filter@klant.example"))
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({}, {"outside_filter": 1})
    settled(h)


def test_an_item_that_returns_takes_its_place_again_although_bc_changed_it(synced):
    jan = synced.items()["Jan Jansen"]["id"]
    move(synced, jan, "Contacts")
    assert synced.run().writes == {"created_outlook": 1}
    move(synced, jan, FOLDER)
    synced.edit_contact("Jan Jansen", jobTitle="Directeur")
    ran = synced.run()
    assert ran.writes == {"deleted_outlook": 1, "updated_outlook": 1}
    assert count(synced) == 2
    assert synced.items()["Jan Jansen"]["id"] == jan
    assert synced.items()["Jan Jansen"]["jobTitle"] == "Directeur"
    settled(synced)


def test_an_edit_made_while_away_comes_back_with_the_item(synced):
    jan = synced.items()["Jan Jansen"]["id"]
    move(synced, jan, "Contacts")
    synced.run()
    synced.in_outlook("PATCH", f"contacts/{jan}", {"jobTitle": "Directeur"})
    move(synced, jan, FOLDER)
    synced.run()
    synced.run()
    assert synced.contacts()["Jan Jansen"]["jobTitle"] == "Directeur"
    assert count(synced) == 2
    settled(synced)


def test_an_item_does_not_replace_ours_when_that_was_edited(synced):
    jan = synced.items()["Jan Jansen"]["id"]
    move(synced, jan, "Contacts")
    synced.run()
    synced.edit_item("Jan Jansen", mobilePhone="06 5550 1234")
    move(synced, jan, FOLDER)
    ran = synced.run()
    assert ran.reasons() == {"copy_of_coupled": 1}
    assert ran.writes == {"updated_business_central": 1}
    assert count(synced) == 3
    # The edit has been agreed on since: ours makes room, and nothing of the edit is lost.
    synced.run()
    synced.run()
    assert count(synced) == 2
    assert synced.items()["Jan Jansen"]["id"] == jan
    assert synced.items()["Jan Jansen"]["mobilePhone"] == "06 5550 1234"
    settled(synced)


def test_a_returned_item_of_the_user_is_still_the_users(make_harness):
    box = mailbox({"displayName": "Jan Jansen", "emailAddresses": email("jan.jansen@klant.example")})
    h = make_harness(world(person("Jan Jansen"), person("Piet de Vries"), mailboxes=[box]))
    h.add_profiles()
    h.full()
    jan = h.items()["Jan Jansen"]["id"]
    move(h, jan, "Contacts")
    h.run()
    move(h, jan, FOLDER)
    h.run()
    assert h.items()["Jan Jansen"]["id"] == jan
    h.delete_contact("Jan Jansen")
    assert h.run().writes == {}, "an item that the user made is never deleted"
    assert "Jan Jansen" in h.items()


def test_an_item_that_returns_while_nothing_may_be_written_to_outlook_stays_beside_ours(make_harness):
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles()
    h.full()
    jan = h.items()["Jan Jansen"]["id"]
    move(h, jan, "Contacts")
    h.run()
    h.add_profiles(direction="to_business_central")
    move(h, jan, FOLDER)
    assert h.run().writes == {}
    assert count(h) == 2
    settled(h)


def test_a_hand_made_twin_of_a_deleted_item_is_taken(synced):
    synced.delete_item("Jan Jansen")
    synced.add_item(displayName="Jan met de hand", emailAddresses=email("JAN.jansen@klant.example"))
    assert synced.run().writes == {"updated_outlook": 1}
    assert set(synced.items()) == {"Jan Jansen", "Piet de Vries"}
    assert len(synced.contacts()) == 2
    settled(synced)


# -- keys without a contact, and of other companies (2.7) ------------------------------------------------------------


def test_the_key_of_a_contact_that_is_gone_creates_nothing(synced, new_database):
    lose_staging(synced, new_database)
    synced.delete_contact("Jan Jansen")
    ran = synced.full()
    assert (ran.writes, ran.reasons()) == ({}, {"orphan_key": 1})
    assert len(synced.contacts()) == 1
    synced.edit_item("Jan Jansen", jobTitle="nieuw")
    assert synced.run().writes == {}
    assert len(synced.items()) == 2
    settled(synced)


def test_an_item_of_another_companys_folder_is_left_alone(make_harness):
    two = world(person("Jan Jansen"))
    two["companies"].append({"name": "Andere BV", "contacts": [person("Anders Anders")]})
    h = make_harness(two)
    h.add_profiles()
    h.add_profiles(company="Andere BV", folder="Anderen")
    h.full()
    move(h, h.items(folder="Anderen")["Anders Anders"]["id"], FOLDER)
    ran = h.run()
    assert ran.writes == {"created_outlook": 1}, "the other profile makes its own again"
    assert ran.reasons() == {"foreign_key": 1}
    assert set(h.contacts()) == {"Jan Jansen"}
    h.edit_item("Anders Anders", jobTitle="Inkoper", emailAddresses=email("jan.jansen@klant.example"))
    assert h.run().writes == {}
    assert "Andere" not in str(h.contacts())
    settled(h)


# -- new ids, merges, re-creation (2.6) ------------------------------------------------------------------------------


def test_a_migrated_mailbox_doubles_nothing_and_keeps_what_was_agreed(make_harness):
    h = make_harness(world(*people(12)))
    h.add_profiles()
    h.full()
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "migrate": True})
    h.edit_item("Persoon 001", jobTitle="Inkoper")
    h.edit_contact("Persoon 002", jobTitle="Directeur")
    h.delete_item("Persoon 003")
    ran = h.run()
    assert ran.errors == []
    assert ran.writes == {"updated_business_central": 1, "updated_outlook": 1, "created_outlook": 1}
    assert ran.reasons() == {}
    assert h.contacts()["Persoon 001"]["jobTitle"] == "Inkoper"
    assert h.items()["Persoon 002"]["jobTitle"] == "Directeur"
    assert count(h) == 12
    settled(h)


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_contact_made_again_in_bc_keeps_its_item(synced, mode):
    jan = synced.items()["Jan Jansen"]["id"]
    synced.delete_contact("Jan Jansen")
    made = synced.add_contact("Jan Jansen", jobTitle="Directeur")
    ran = synced.run(mode)
    assert (ran.errors, ran.writes) == ([], {"updated_outlook": 1})
    assert synced.items()["Jan Jansen"]["id"] == jan
    assert synced.items()["Jan Jansen"]["jobTitle"] == "Directeur"
    assert made["id"].lower() in synced.items()["Jan Jansen"]["key"]
    settled(synced)


def test_two_contacts_merged_in_bc_leave_one_item(make_harness):
    h = make_harness(world(person("Jan Een", "jan@klant.example"), person("Jan Twee", "jan@klant.example")))
    h.add_profiles()
    h.full()
    (item,) = h.items().values()
    h.delete_contact(item["displayName"])
    h.run()
    assert count(h) == 1
    assert next(iter(h.items().values()))["id"] == item["id"]
    settled(h)


# -- staging lost, or older than the mailbox (2.8) -------------------------------------------------------------------


def test_lost_staging_releases_what_is_out_of_scope_and_pins_what_the_user_made(make_harness, new_database):
    contacts = [
        person("Jan Jansen", city="Zaandam"),
        person("Kees Keeper", city="Zaandam"),
        person("Zonder Adres", city="Zaandam"),
    ]
    h = make_harness(world(*contacts))
    profile = {"filter": {"City": "Zaandam"}, "policies": {"left_scope": "keep"}}
    h.add_profiles(**profile)
    h.full()
    h.add_item(displayName="Els Nieuw", emailAddresses=email("els@nieuw.example"))
    h.edit_contact("Kees Keeper", city="Haarlem")
    h.run()
    h.edit_contact("Zonder Adres", email="")
    h.run()
    settled(h)
    lose_staging(h, new_database, filter={"City": "Zaandam"})
    ran = h.full()
    assert (ran.errors, ran.writes) == ([], {})
    assert couplings(h) == {
        ("made_by_sync", "active"),
        ("made_by_sync", "released"),
        ("made_by_user", "pinned"),
    }
    settled(h)
    assert len(h.items()) == 4
    h.edit_contact("Els Nieuw", jobTitle="Inkoper")
    h.edit_contact("Kees Keeper", jobTitle="Inkoper")
    h.edit_contact("Zonder Adres", email="zonder@klant.example", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 2}
    assert h.items()["Kees Keeper"]["jobTitle"] is None
    settled(h)


def test_lost_staging_does_not_undo_that_bc_cleared_an_address(make_harness, new_database):
    h = make_harness(world(*people(2)))
    h.add_profiles()
    h.full()
    h.edit_contact("Persoon 000", email="")
    h.run()
    lose_staging(h, new_database)
    assert h.full().writes == {}
    assert h.contacts()["Persoon 000"]["email"] == ""
    settled(h)


def back_up(h: Harness) -> Path:
    """Copy the staging database while nobody works on it."""
    path = Path(make_url(h.database).database or "")
    h.close()
    backup = path.with_suffix(".backup")
    shutil.copy(path, backup)
    h.edges = h.open()
    return backup


def put_back(h: Harness, backup: Path) -> None:
    path = backup.with_name(Path(make_url(h.database).database or "").name)
    h.close()
    for left in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        left.unlink(missing_ok=True)
    shutil.copy(backup, path)
    h.edges = h.open()


@pytest.fixture
def restored(make_harness) -> Harness:
    """A sync whose staging database is put back to before its last loads."""
    h = make_harness(world(person("Jan Jansen", jobTitle="A"), person("Piet de Vries"), person("Els Smit")))
    h.add_profiles()
    h.full()
    backup = back_up(h)
    h.edit_item("Jan Jansen", jobTitle="B")
    h.run()
    h.edit_contact("Piet de Vries", jobTitle="C")
    h.run()
    # BC goes back to what the backup knows: by its baseline alone this looks like an edit in Outlook.
    h.edit_contact("Jan Jansen", jobTitle="A")
    put_back(h, backup)
    return h


@pytest.mark.parametrize("loads", [1, 2, 3])
def test_a_backup_that_lacks_a_load_or_more_is_noticed_before_the_first_write(make_harness, loads):
    """The load that would be counted as the lacking one was is no exception (rules 2.8)."""
    h = make_harness(world(person("Jan Jansen", jobTitle="A"), person("Els Smit")))
    h.add_profiles()
    h.full()
    backup = back_up(h)
    for n in range(loads):
        h.edit_contact("Jan Jansen", jobTitle=f"B{n}")
        assert h.run().writes == {"updated_outlook": 1}
    put_back(h, backup)
    h.edit_contact("Els Smit", jobTitle="D")
    h.sim.reset_counters()
    assert h.run().reasons() == {"staging_database_restored": 1}
    assert h.app_writes() == 0


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_restored_backup_is_noticed_and_everything_is_held(restored, mode):
    h = restored
    h.edit_contact("Els Smit", jobTitle="D")
    h.sim.reset_counters()
    ran = h.run(mode)
    assert h.app_writes() == 0
    assert ran.report.profiles[0].state == "held"
    assert ran.reasons() == {"staging_database_restored": 2}
    assert ran.verdict.ok
    with read(h.edges.engine) as conn:
        losing = list(conn.scalars(select(t.change.c.losing).where(t.change.c.outcome == "held")))
    assert '{"job_title":"B"}' in losing
    for again in ("incremental", "full"):
        assert h.run(again).reasons() == {"staging_database_restored": 2}, "held until a person decides"
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "A"
    assert h.app_writes() == 0


def test_a_restored_hold_ends_when_the_sides_agree_again(restored):
    h = restored
    h.full()
    h.edit_item("Jan Jansen", jobTitle="A")
    h.run()
    h.edit_contact("Els Smit", jobTitle="D")
    assert h.run().writes == {"updated_outlook": 1}
    settled(h)
