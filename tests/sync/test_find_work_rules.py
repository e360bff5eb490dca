"""Each rule of identity and of events, with only the profiles that have work given a task, and with all of them (I21).

Every scenario is played twice, in equal worlds: both must end in the same items, contacts and rejects. Where tasks are
spared, whoever gets none is worked on all the same, and must come to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from sandbox import Sandbox
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import FOLDER, Harness, person, world

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
JAN, PIET, ELS = "Jan Jansen", "Piet Smit", "Els Visser"
#: Runs after which all rests: a delete that a scan finds, its echo, and what follows from that.
RUNS = 4

Act = Callable[[Harness], Any]


def address(email: str) -> list[dict[str, str]]:
    return [{"address": email, "name": "x"}]


def moved(h: Harness, name: str, to: str = "Prive", of: str = FOLDER) -> None:
    contact = h.items(ANNA, of)[name]["id"]
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": contact, "to": to})


def copied(h: Harness, name: str, **changes: Any) -> None:
    """A second item with the key of the first one, as Outlook's copy makes it."""
    item = h.items(ANNA)[name]
    h.sim.control("POST", "graph/copy", {"mailbox": ANNA, "contact": item["id"], "to": FOLDER})
    if changes:
        folder = next(f for f in h.mailbox(ANNA)["folders"] if f["name"] == FOLDER)
        made = next(each for each in folder["contacts"] if each["immutable_id"] != item["id"])
        h.in_outlook("PATCH", f"contacts/{made['immutable_id']}", changes, ANNA)


def twice(*acts: Act) -> Act:
    """Several acts, each seen by a run before the next one."""

    def act(h: Harness) -> None:
        for n, each in enumerate(acts):
            each(h)
            if n < len(acts) - 1:
                h.run()

    return act


def new_item(name: str, email: str, **more: Any) -> Act:
    return lambda h: h.add_item(ANNA, displayName=name, emailAddresses=address(email), **more)


#: Rule -> settings of both profiles, and what users do.
SCENARIOS: dict[str, tuple[dict[str, Any], Act]] = {
    "2.3 twins in BC": ({}, twice(
        lambda h: h.add_contact("Tweeling", "jan.jansen@klant.example"),
        lambda h: h.edit_contact(JAN, email="elders@klant.example"))),
    "2.4 another address": ({}, lambda h: h.edit_item(JAN, ANNA, emailAddresses=address("anders@klant.example"))),
    "2.5 outside the filter": ({"filter": [{"City": "Zaandam"}]}, twice(
        new_item("Els in Utrecht", "els.visser@klant.example"),
        lambda h: h.edit_contact(ELS, city="Zaandam"))),
    "2.5 company contact": ({}, twice(
        new_item("Zon", "info@zon.example"),
        lambda h: h.edit_contact("Zon BV", email="nieuw@zon.example"))),
    "2.5 privacy blocked": ({}, twice(
        lambda h: h.edit_contact(ELS, privacyBlocked=True),
        new_item("Els", "els.visser@klant.example"),
        lambda h: h.edit_contact(ELS, privacyBlocked=False))),
    "2.6 made again in BC": ({}, twice(
        lambda h: h.delete_contact(JAN),
        lambda h: h.add_contact(JAN, jobTitle="Chef"))),
    "2.6 a copy": ({}, twice(lambda h: copied(h, JAN), lambda h: h.edit_contact(JAN, jobTitle="Chef"))),
    "2.6 a copy of its own": ({}, lambda h: copied(
        h, JAN, displayName="Kees Kok", emailAddresses=address("kees@klant.example"))),
    "2.7 an orphan": ({"policies": {"deleted_in_business_central": "keep"}}, twice(
        lambda h: h.delete_contact(JAN), lambda h: h.edit_item(JAN, ANNA, jobTitle="Chef"))),
    "7.1 made again": ({}, lambda h: h.delete_item(JAN, ANNA)),
    "7.1 stay_away": ({"policies": {"deleted_in_outlook": "stay_away"}}, twice(
        lambda h: h.delete_item(JAN, ANNA),
        lambda h: h.edit_contact(JAN, territoryCode="N"),
        lambda h: h.edit_contact(JAN, jobTitle="Chef"))),
    "7.1 moved out, and back": ({}, twice(
        lambda h: moved(h, JAN), lambda h: moved(h, JAN, FOLDER, "Prive"))),
    "7.2 deleted in BC": ({}, lambda h: h.delete_contact(JAN)),
    "7.2b edited since": ({}, lambda h: (h.edit_item(JAN, ANNA, jobTitle="Chef"), h.delete_contact(JAN))),
    "7.3 left the scope": ({"filter": [{"City": "Zaandam"}]}, twice(
        lambda h: h.edit_contact(JAN, city="Utrecht"), lambda h: h.edit_contact(JAN, city="Zaandam"))),
    "7.3b left, and edited": ({"filter": [{"City": "Zaandam"}]}, lambda h: (
        h.edit_item(JAN, ANNA, jobTitle="Chef"), h.edit_contact(JAN, city="Utrecht"))),
    "7.3c now a company": ({}, lambda h: (
        h.edit_item(JAN, ANNA, jobTitle="Chef"), h.edit_contact(JAN, type="Company"))),
    "7.3d only notes": ({"filter": [{"City": "Zaandam"}]}, lambda h: (
        h.edit_item(JAN, ANNA, personalNotes="x"), h.edit_contact(JAN, city="Utrecht"))),
    "7.4 blocked": ({}, lambda h: h.edit_contact(JAN, privacyBlocked=True)),
    "7.4 blocked, moved before": ({"policies": {"deleted_in_outlook": "stay_away"}}, twice(
        lambda h: moved(h, JAN), lambda h: h.edit_contact(JAN, privacyBlocked=True))),
    "7.4 blocked, and coupled no more": ({"filter": [{"City": "Zaandam"}]}, twice(
        lambda h: moved(h, JAN),
        lambda h: h.edit_contact(JAN, city="Utrecht"),
        lambda h: h.run(),
        lambda h: h.edit_contact(JAN, privacyBlocked=True))),
    "7.5 deleted on both sides": ({}, lambda h: (h.delete_item(JAN, ANNA), h.delete_contact(JAN))),
    "7.6 new in BC": ({}, lambda h: h.add_contact("Nieuw")),
    "7.7 new in the folder": ({"filter": [{"City": "Zaandam"}]}, twice(
        new_item("Kees Kok", "kees@klant.example"), lambda h: h.edit_contact("Kees Kok", jobTitle="Chef"))),
    "7.7 ignored": ({"direction": "to_outlook"}, twice(
        new_item("Kees Kok", "kees@klant.example"), lambda h: h.add_contact("Kees Kok", "kees@klant.example"))),
    "7.8 to_outlook": ({"direction": "to_outlook"}, lambda h: h.edit_item(JAN, ANNA, jobTitle="Chef")),
    "7.9 to_business_central": ({"direction": "to_business_central"}, twice(
        lambda h: h.edit_contact(PIET, jobTitle="Chef"), new_item("Kees Kok", "kees@klant.example"))),
}  # fmt: skip


def played(rule: str, database: str, **settings: Any) -> dict[str, Any]:
    """What a scenario ends in, in a world and a database of its own."""
    profile, act = SCENARIOS[rule]
    people = [person(each, city="Zaandam") for each in (JAN, PIET)] + [person(ELS, city="Utrecht")]
    zon = {"type": "Company", "number": "C1", "displayName": "Zon BV", "email": "info@zon.example"}
    boxes = [{"user_principal_name": ANNA, "folders": [{"name": "Prive"}]}, BRAM]
    limits = {"guard_few_deletes": 1000, "guard_emptied_from": 1000, "id_scan_cheap_every": 0.0}
    with Sandbox(world=world(*people, zon, mailboxes=boxes), transport="in_process") as sim:
        h = Harness(sim, database, **limits, **settings)
        try:
            h.add_profiles(ANNA, BRAM, **profile)
            for mode in ("full", "incremental", "incremental"):
                assert h.run(mode).errors == []
            h.audits = True
            act(h)
            for _ in range(RUNS):
                ran = h.run()
                assert ran.errors == []
            assert ran.writes == {}
            return ends(h)
        finally:
            h.close()


def ends(h: Harness) -> dict[str, Any]:
    """What both services hold in the end, without ids and times, and what does not sync."""
    names = ("displayName", "emailAddresses", "jobTitle", "key", "categories")
    folders = {
        (box["user_principal_name"], folder["name"]): sorted(
            str([item["properties"].get(name) for name in names if name != "key"])
            for item in folder["contacts"]
        )
        for box in h.sim.dump()["mailboxes"]
        for folder in box["folders"]
    }
    contacts = sorted(
        str([contact[name] for name in ("displayName", "email", "jobTitle", "type")])
        for contact in h.sim.dump()["companies"][0]["contacts"]
    )
    with read(h.edges.engine) as conn:
        r, c = t.reject.c, t.coupling.c
        rejects = sorted(map(str, conn.execute(select(r.profile, r.side, r.reason, r.field))))
        states = sorted(map(str, conn.execute(select(c.profile, c.state, c.origin))))
    return {"folders": folders, "contacts": contacts, "rejects": rejects, "couplings": states}


@pytest.mark.parametrize("rule", SCENARIOS)
def test_a_rule_with_and_without_find_work(new_database, rule):
    spared, whole = (played(rule, new_database("sqlite"), map_quiet=each) for each in (False, True))
    assert spared == whole
