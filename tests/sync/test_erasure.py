"""A contact is erased from the staging database, and nothing in any table still shows who it was (rules 9)."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from sync_lib import cli
from sync_lib.operate import approval
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.leases import acquire_lease, release_lease
from tests.sync.harness import COMPANY, Harness, person, world
from tests.sync.test_identity import copy, email

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
#: Is in every value of the contact that is erased, and nowhere else.
TOKEN = "zzwis"
OLD, NOW = f"{TOKEN}.oud@klant.example", f"{TOKEN}.nieuw@klant.example"


def planted(name: str = f"Wim {TOKEN}", address: str = OLD) -> dict[str, Any]:
    fields = ("jobTitle", "addressLine1", "city", "website", "companyName")
    return person(name, address, **{field: f"{TOKEN} {field}" for field in fields if field != "companyName"})


@pytest.fixture
def h(make_harness: Callable[..., Harness]) -> Harness:
    """A contact with a life: conflicts, refused values, former items, copies, a twin; and another contact."""
    h = make_harness(
        world(planted(), person("Blijft Hier", "blijft@klant.example"), mailboxes=[ANNA, BRAM]),
        longest_request=0.0,
    )
    h.add_profiles(ANNA, BRAM)
    h.full()
    name = f"Wim {TOKEN}"
    h.edit_item(name, ANNA, jobTitle=f"{TOKEN} " + "x" * 40)
    h.edit_item(name, BRAM, jobTitle=f"{TOKEN} verliest")
    h.edit_contact(name, jobTitle=f"{TOKEN} wint", email=NOW)
    h.run()
    h.edit_item(name, ANNA, jobTitle=f"{TOKEN} " + "x" * 41)
    h.run()
    h.delete_item(name, BRAM)
    h.run()
    copy(h, name, displayName=f"Kopie {TOKEN}")
    h.add_item(BRAM, displayName=f"Tweeling {TOKEN}", emailAddresses=email(NOW))
    h.run()
    h.edit_item("Blijft Hier", ANNA, jobTitle="Inkoper")
    h.run()
    h.run(dry_run=True)
    return h


def traces(h: Harness, *tokens: str) -> set[str]:
    """Every table and column that holds one of these texts, in any row: a new table is looked through as well."""
    found = set()
    with read(h.edges.engine) as conn:
        for table in t.metadata.sorted_tables:
            for row in conn.execute(select(table)).mappings():
                found |= {
                    f"{table.name}.{name}"
                    for name, value in row.items()
                    if any(token.casefold() in str(value).casefold() for token in tokens)
                }
    return found


def everything(h: Harness, but: set[str]) -> dict[str, set[str]]:
    with read(h.edges.engine) as conn:
        return {
            table.name: {str(tuple(row)) for row in conn.execute(select(table))}
            for table in t.metadata.sorted_tables
            if table.name not in but
        }


def ids(h: Harness) -> list[str]:
    """Ids that stand for the contact: BC's, and those of its items, also of former ones."""
    with read(h.edges.engine) as conn:
        item = t.outlook_contact.c
        items = conn.scalars(select(item.id).where(item.record.contains(TOKEN)))
        return [bc_id(h), *items]


def bc_id(h: Harness) -> str:
    with read(h.edges.engine) as conn:
        found = conn.scalars(select(t.bc_contact.c.id).where(t.bc_contact.c.name.contains(TOKEN)))
        return found.first() or ""


def erase(h: Harness, *whom: str, code: int = 0, how: str = "--yes") -> None:
    given = ["--database", h.database, "contacts", "erase", "--company", COMPANY, *whom, how]
    assert cli.main(given, {"CONTACT_SYNC_LONGEST_REQUEST": "0"}) == code


def remove_everywhere(h: Harness) -> None:
    h.delete_contact(f"Wim {TOKEN}")
    for mailbox in (ANNA, BRAM):
        for name in list(h.items(mailbox)):
            if TOKEN in name:
                h.delete_item(name, mailbox)
    h.run()


def test_the_planted_values_are_all_over_the_place(h):
    assert {place.split(".")[0] for place in traces(h, TOKEN)} == {
        "bc_contact",
        "change",
        "coupling",
        "dry_reject",
        "outlook_contact",
    }
    assert {"coupling.former", "change.losing", "change.email_key", "coupling.baseline_bc"} <= traces(
        h, TOKEN
    )
    assert "reject.contact" in traces(h, *ids(h))


@pytest.mark.parametrize("by", ["id", "former address", "standard input"])
def test_nothing_of_an_erased_contact_is_left(h, by, capsys, monkeypatch):
    contact = ids(h)
    remove_everywhere(h)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{NOW.upper()}\n"))
    whom = {
        "id": ("--bc-id", bc_id(h).upper()),
        "former address": ("--email", OLD),
        "standard input": ("--email", "-"),
    }[by]
    erase(h, *whom)
    assert traces(h, TOKEN, *contact) == set()
    said = capsys.readouterr()
    assert "rows are erased" in said.out
    assert "delete it there" not in said.out.casefold()
    assert TOKEN not in (said.out + said.err).casefold()
    with read(h.edges.engine) as conn:
        [row] = conn.execute(select(t.erasure)).mappings()
    assert set(row) == {"id", "company", "at", "counts"}
    counts = json.loads(row["counts"])
    assert counts["bc_contact"] == 1
    assert counts["change"] >= 5
    ran = h.full()
    assert (ran.writes, ran.reasons()) == ({}, {})
    assert traces(h, TOKEN, *contact) == set()


def test_all_others_stay_as_they_were(h):
    # Who waits for an address that another contact has, too, is compared anew, and waits for it again.
    others = {"erasure", "cursor", "lease", "awaited"}
    before = everything(h, others)
    contact = [TOKEN, *ids(h)]
    erase(h, "--bc-id", bc_id(h))
    after = everything(h, others)
    for name, rows in before.items():
        kept = {row for row in rows if not any(token.casefold() in row.casefold() for token in contact)}
        assert after[name] == kept, name
    assert any("Blijft" in row for row in after["bc_contact"])


def test_a_preview_counts_and_changes_nothing(h, capsys):
    before = everything(h, set())
    erase(h, "--email", NOW, how="--dry-run")
    assert everything(h, set()) == before
    output = capsys.readouterr().out
    assert "would be erased" in output
    assert "Business Central still has this contact" in output
    assert f"Mailboxes: {ANNA}, {BRAM}" in output
    assert TOKEN not in output
    erase(h, "--email", NOW)
    assert capsys.readouterr().out == output.replace("would be erased", "are erased")


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_contact_that_is_still_there_is_found_again_and_not_doubled(make_harness, mode):
    h = make_harness(world(planted(), person("Blijft Hier"), mailboxes=[ANNA, BRAM]))
    h.add_profiles(ANNA, BRAM)
    h.full()
    h.run()
    erase(h, "--bc-id", bc_id(h))
    h.sim.reset_counters()
    assert h.run(mode).writes == {}
    assert h.app_writes() == 0
    for mailbox in (ANNA, BRAM):
        assert sorted(h.items(mailbox)) == ["Blijft Hier", f"Wim {TOKEN}"]
    h.edit_item(f"Wim {TOKEN}", ANNA, jobTitle="weer in de pas")
    h.run()
    h.run()
    assert h.items(BRAM)[f"Wim {TOKEN}"]["jobTitle"] == "weer in de pas"


def test_a_blocked_contact_leaves_the_folder_although_it_was_erased(make_harness):
    h = make_harness(world(planted(), person("Blijft Hier")))
    h.add_profiles()
    h.full()
    h.edit_contact(f"Wim {TOKEN}", privacyBlocked=True)
    erase(h, "--bc-id", bc_id(h))
    h.run()
    assert list(h.items()) == ["Blijft Hier"]


@pytest.mark.sockets
def test_while_a_sync_works_nothing_is_erased(h, capsys):
    before = everything(h, {"lease"})
    for key in ("company:1", "profile:2"):
        lease = acquire_lease(h.edges.engine, key, "a sync", 60.0)
        erase(h, "--bc-id", bc_id(h), code=1)
        assert "A sync of this company is at work" in capsys.readouterr().err
        release_lease(h.edges.engine, lease)
    assert everything(h, {"lease"}) == before
    h.run()
    erase(h, "--bc-id", bc_id(h))


def test_an_address_of_two_contacts_names_neither(make_harness, capsys):
    h = make_harness(world(planted(), planted("Wilma")))
    h.add_profiles()
    h.full()
    erase(h, "--email", OLD, code=1)
    output = capsys.readouterr().err
    assert "2 contacts have, or had, this address" in output
    assert TOKEN not in output
    for contact in h.contacts().values():
        assert contact["id"] in output
    wilma = h.contacts()["Wilma"]["id"]
    erase(h, "--bc-id", wilma)
    assert bc_id(h) in capsys.readouterr().out
    assert traces(h, wilma, "wilma") == set()
    assert sorted(h.items()) == [f"Wim {TOKEN}"]
    assert h.run().writes == {}


def test_an_item_that_bc_never_had_is_erased_by_its_address(make_harness):
    h = make_harness(world(person("Blijft Hier")))
    h.add_profiles(direction="to_outlook")
    h.full()
    h.add_item(displayName=f"Alleen {TOKEN}", emailAddresses=email(OLD))
    h.run()
    assert traces(h, TOKEN)
    erase(h, "--email", OLD)
    assert traces(h, TOKEN) == set()


@pytest.mark.sockets
def test_a_write_without_an_outcome_is_settled_first(make_harness, capsys):
    h = make_harness(world(planted()), retry_cap=0.0)
    h.add_profiles()
    h.full()
    h.edit_item(f"Wim {TOKEN}", jobTitle="anders")
    h.sim.add_fault(service="bc", kind="status", status=504, method="PATCH", moment="after", count=None)
    h.run()
    h.sim.clear_faults()
    given = ["--database", h.database, "contacts", "erase", "--company", COMPANY, "--email", OLD, "--yes"]
    assert cli.main(given, {}) == 1
    assert "has not come to its end" in capsys.readouterr().err
    h.run()
    assert cli.main(given, {}) == 0
    assert traces(h, TOKEN) == set()


def test_a_hold_that_holds_nothing_any_more_ends(make_harness):
    h = make_harness(world(planted(), person("Blijft Hier")), guard_few_deletes=1)
    h.add_profiles()
    h.full()
    h.add_profiles(filter={"Name": "Blijft*"})
    assert h.run().reasons() == {"too_many_deletes": 1}
    erase(h, "--email", OLD)
    assert approval.list_requests(h.edges) == []
    with read(h.edges.engine) as conn:
        assert list(conn.scalars(select(t.hold.c.state))) == ["superseded"]


def test_of_nobody_nothing_is_erased(h, capsys):
    erase(h, "--email", "niemand@klant.example")
    assert "Nothing of this contact is stored." in capsys.readouterr().out
    with read(h.edges.engine) as conn:
        assert conn.execute(select(t.erasure)).all() == []
    erase(h, "--email", " ", code=1)
    erase(h, "--bc-id", "", code=1)
    given = ["--database", h.database, "contacts", "erase", "--company", "Elders BV", "--email", OLD, "--yes"]
    assert cli.main(given, {}) == 1
    assert f"No company 'Elders BV' has been synced. Those that have: '{COMPANY}'" in capsys.readouterr().err
