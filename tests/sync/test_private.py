"""Rules 3: what its owner flagged private never reaches BC, and of an untied one next to nothing is stored."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from alembic import command
from sqlalchemy import insert, select, text

from sync_lib.store import tables as t
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.migrate import alembic_config, migrate
from tests.sync.harness import FOLDER, Harness, person, settled, world

ANNA = "anna@voorbeeld.example"
SENSITIVITY = "Integer 0x36"
TOKEN = "Geheimstad"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: where the two differ is tested with the store."""
    return "sqlite"


def email(address: str) -> list[dict[str, str]]:
    return [{"address": address, "name": "x"}]


def flag(value: int) -> dict[str, Any]:
    return {"singleValueExtendedProperties": [{"id": SENSITIVITY, "value": str(value)}]}


def els(**properties: Any) -> dict[str, Any]:
    address = {"businessAddress": {"city": TOKEN}}
    return {
        "displayName": "Els Geheim",
        "emailAddresses": email("els@geheim.example"),
        **address,
        **properties,
    }


def staged(h: Harness) -> str:
    """All that the staging database holds of items, changes and couplings, as one text."""
    with read(h.edges.engine) as conn:
        rows = [
            conn.execute(select(table)).all() for table in (t.outlook_contact, t.change, t.coupling, t.reject)
        ]
    return repr(rows)


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(person("Jan Jansen", jobTitle="Inkoper"), person("Piet Smit")))
    h.add_profiles()
    h.full()
    return h


@pytest.mark.parametrize("mode", ["incremental", "full"])
@pytest.mark.parametrize(("value", "goes"), [(0, True), (1, True), (2, False), (3, False), (7, False)])
def test_a_private_item_makes_nobody_in_bc(synced, value, goes, mode, caplog):
    """F6: private and confidential ones stay in Outlook, and next to nothing of them is stored."""
    caplog.set_level(logging.DEBUG)
    synced.add_item(**els(), **flag(value))
    ran = synced.run(mode)
    assert ("Els Geheim" in synced.contacts()) == goes
    assert ran.reasons() == ({} if goes else {"private_in_outlook": 1})
    if not goes:
        seen = staged(synced) + caplog.text
        assert not any(part in seen for part in (TOKEN, "geheim.example", "Els"))
    settled(synced)


@pytest.mark.parametrize("when", ["before the first run", "later"])
def test_a_private_item_with_the_address_of_somebody_of_bc_is_left_alone(make_harness, when):
    """F6: the person is not made beside it, until the flag goes."""
    box = {"user_principal_name": ANNA, "folders": [{"name": FOLDER, "contacts": [els(**flag(2))]}]}
    people = [person("Els Geheim", "ELS@geheim.example"), person("Jan Jansen")]
    h = make_harness(world(*people, mailboxes=[box]) if when == "before the first run" else world(people[1]))
    h.add_profiles()
    if when == "later":
        h.full()
        h.add_item(**els(), **flag(2))
        h.run()
        h.add_contact("Els Geheim", "ELS@geheim.example")
    ran = h.run()
    assert ran.reasons() == {"private_in_outlook": 2}
    assert h.items()["Els Geheim"]["key"] == ""
    assert len(h.items()) == 2
    settled(h)
    h.edit_item("Els Geheim", **flag(0))
    h.run()
    assert h.items()["Els Geheim"]["key"].endswith("|adopted")
    assert h.contacts()["Els Geheim"]["city"] == TOKEN
    settled(h)


def test_a_lost_item_is_not_made_again_beside_a_private_one(synced):
    """F6: the sibling of a new person: one whose item was deleted (7.1)."""
    synced.delete_item("Jan Jansen")
    synced.add_item(displayName="J", emailAddresses=email("jan.jansen@klant.example"), **flag(2))
    ran = synced.run()
    assert (ran.writes, ran.reasons()) == ({}, {"private_in_outlook": 2})
    settled(synced)
    synced.delete_item("J")
    assert synced.run().writes == {"created_outlook": 1}
    settled(synced)


@pytest.mark.parametrize("together", [True, False], ids=["with the edit", "before the edit"])
def test_an_edit_of_a_coupled_private_item_waits_for_the_flag_to_go(synced, together):
    """F6: nothing goes to BC; what BC alone changes comes; then the edit goes."""
    if not together:
        synced.edit_item("Jan Jansen", **flag(3))
        assert synced.run().writes == {}
    synced.edit_item("Jan Jansen", businessAddress={"city": TOKEN}, **(flag(3) if together else {}))
    ran = synced.run()
    assert (ran.writes, ran.reasons()) == ({}, {"private_in_outlook": 1})
    synced.edit_contact("Jan Jansen", phoneNumber="020 555 0110")
    assert synced.run().writes == {"updated_outlook": 1}
    assert synced.items()["Jan Jansen"]["businessPhones"] == ["020 555 0110"]
    assert TOKEN not in str(synced.contacts())
    assert synced.full().writes == {}
    synced.edit_item("Jan Jansen", **flag(0))
    assert synced.run().writes == {"updated_business_central": 1}
    assert synced.contacts()["Jan Jansen"]["city"] == TOKEN
    settled(synced)


def test_where_both_sides_changed_neither_is_written_while_the_flag_is_there(synced):
    """F6: the conflict waits, and is decided when the flag goes: BC wins."""
    synced.edit_item("Jan Jansen", jobTitle="van Outlook", **flag(2))
    synced.edit_contact("Jan Jansen", jobTitle="van BC")
    ran = synced.run()
    assert (ran.writes, ran.reasons()) == ({}, {"private_in_outlook": 1})
    assert synced.full().writes == {}
    synced.edit_item("Jan Jansen", **flag(0))
    assert synced.run().writes == {"updated_outlook": 1}
    assert synced.items()["Jan Jansen"]["jobTitle"] == "van BC"
    settled(synced)


def test_an_edit_of_a_private_item_whose_contact_leaves_stays_in_outlook(make_harness):
    """F6, F9: what may not go keeps its item."""
    h = make_harness(world(person("Jan Jansen", city="Zaandam")))
    h.add_profiles(filter={"City": "Zaandam"})
    h.full()
    h.edit_item("Jan Jansen", jobTitle=TOKEN, **flag(2))
    h.edit_contact("Jan Jansen", city="Haarlem")
    assert h.run().reasons() == {"left_scope_edited_in_outlook": 1}
    assert TOKEN not in str(h.contacts())
    settled(h)


def test_a_flag_set_while_the_item_is_read_counts(synced):
    """F6: between the delta and the look-up its owner flags it: what the look-up says counts."""
    synced.edit_item("Jan Jansen", jobTitle=TOKEN)
    key = synced.items()["Jan Jansen"]["id"]
    body = {"mailbox": ANNA, "contact": key, "value": 2}
    action = {"method": "POST", "path": "/__sim/graph/sensitivity", "body": body}
    synced.sim.add_fault(name="F31", moment="after", path="/delta", action=action)
    ran = synced.run()
    assert ran.reasons() == {"private_in_outlook": 1}
    assert TOKEN not in str(synced.contacts())


def test_a_private_copy_stays_a_copy_and_is_not_stored(synced):
    """F6: a copy keeps key and flag; it is no person of its own, whatever it is called."""
    synced.edit_item("Jan Jansen", **flag(2))
    synced.run()
    made = synced.sim.control(
        "POST", "graph/copy", {"mailbox": ANNA, "contact": synced.items()["Jan Jansen"]["id"]}
    )
    synced.in_outlook("PATCH", f"contacts/{made['immutable_id']}", els())
    ran = synced.run()
    assert (ran.writes, ran.reasons()) == ({}, {"copy_of_coupled": 1})
    assert "geheim" not in staged(synced)
    settled(synced)


def test_a_private_pair_is_found_again_by_its_key_when_staging_was_lost(synced, new_database):
    """F6: it is coupled as before, with nothing written to either side."""
    synced.edit_item("Jan Jansen", jobTitle=TOKEN, **flag(2))
    synced.run()
    synced.close()
    synced.database = new_database("sqlite")
    synced.edges = synced.open()
    synced.add_profiles()
    ran = synced.full()
    assert (ran.writes, ran.reasons()) == ({}, {"private_in_outlook": 1})
    assert synced.items()["Jan Jansen"]["jobTitle"] == TOKEN
    synced.edit_contact("Jan Jansen", phoneNumber="020 555 0110")
    assert synced.run().writes == {"updated_outlook": 1}
    assert synced.items()["Jan Jansen"]["jobTitle"] == TOKEN
    settled(synced)


def test_flags_cost_one_look_up_for_twenty_items_and_nothing_where_nothing_goes(make_harness):
    """F6: one batch for up to 20 edits that go to BC, and none for what only BC changes, or when all is quiet."""
    h = make_harness(world(*(person(f"P {n:02}") for n in range(20))))
    h.add_profiles()
    h.full()
    h.run()

    def requests() -> int:
        h.sim.reset_counters()
        h.run()
        return int(h.sim.counters()["app"]["graph"]["requests"])

    assert requests() == 1
    # Edits in the second in which an item was made need a look of their own: Graph's stamps do not distinguish the two.
    h.sim.clock(advance_seconds=2)
    for n in range(20):
        h.edit_item(f"P {n:02}", jobTitle="Inkoper")
    edited = requests()
    assert {c["jobTitle"] for c in h.contacts().values()} == {"Inkoper"}
    assert edited == 4, "question, delta, flags, marker"


def test_the_run_after_an_upgrade_reads_the_flag_before_anything_goes(synced, new_database):
    """F6: an item of the schema before counts as unread; the full read makes up for all of them."""
    with transaction(synced.edges.engine) as conn:
        command.downgrade(alembic_config(conn), "0013")
    synced.close()
    synced.edges = synced.open()
    migrate(synced.edges.engine)
    with read(synced.edges.engine) as conn:
        assert set(conn.execute(select(t.outlook_contact.c.private, t.outlook_contact.c.flag_etag))) == {
            (None, "")
        }
        assert set(conn.scalars(select(t.coupling.c.state))) == {"active"}
    synced.edit_item("Jan Jansen", jobTitle=TOKEN, **flag(2))
    assert synced.run().writes == {}
    assert TOKEN not in str(synced.contacts())
    synced.full()
    with read(synced.edges.engine) as conn:
        assert sorted(conn.scalars(select(t.outlook_contact.c.private))) == [False, True]


def test_the_schema_before_is_carried_over_and_back(empty_url):
    """F6: data of schema 0013 stays; the way back asks for a full read."""
    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0013")
        conn.execute(
            text(
                "INSERT INTO sync_profile (id, mailbox, company_name, created_at, updated_at)"
                " VALUES (1, 'a@a.example', 'A', '2026', '2026')"
            )
        )
        values = "(1, 'i', 'e', '2026', :record, 'a@a.example')"
        columns = "(profile, id, etag, last_modified, record, email_key)"
        record = json.dumps({"displayName": "A"})
        conn.execute(text(f"INSERT INTO outlook_contact {columns} VALUES {values}"), {"record": record})
        cursor = "INSERT INTO cursor (side, scope, position, version, updated_at)"
        conn.execute(text(f"{cursor} VALUES ('outlook', '1', 'x', 2, '2026')"))
    migrate(engine)
    with read(engine) as conn:
        c = t.outlook_contact.c
        assert conn.execute(select(c.private, c.flag_etag, c.address_digest, c.record)).all() == [
            (None, "", "", record)
        ]
    with transaction(engine) as conn:
        hidden = {
            "profile": 1,
            "id": "p",
            "etag": "e",
            "last_modified": "2026",
            "record": "{}",
            "normaliser": 2,
        }
        conn.execute(insert(t.outlook_contact).values(**hidden, private=True))
        command.downgrade(alembic_config(conn), "0013")
        assert conn.execute(text("SELECT position, version FROM cursor")).all() == [("", 0)]
        rows = conn.execute(text("SELECT id, record, normaliser FROM outlook_contact ORDER BY id"))
        assert rows.all() == [("i", record, 0), ("p", "{}", 0)]
    engine.dispose()
