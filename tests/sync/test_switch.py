"""A live fleet goes from one field profile to the other and back: as said before, and nothing but that (rules 6)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from sync_lib import cli
from sync_lib.model import Action
from sync_lib.operate.switch_preview import SwitchPreview, preview_switch
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.profiles.importing import import_profiles
from tests.sync.harness import COMPANY, FOLDER, Harness, person, world
from tests.sync.test_fields import OWN, use

FLEET = 30
MAILBOXES = [f"collega{n:02}@voorbeeld.example" for n in range(FLEET)]
EVERYWHERE = "Overal"


def people(n: int) -> list[dict[str, Any]]:
    """The contacts that one colleague's filter chooses, but for those that all have."""
    names = {
        "split": {"displayName": f"Jan van der Berg{n}"},
        "second": {"displayName": f"Els Kok{n}", "email2": f"els{n}@tweede.example"},
        "own": {"displayName": f"Bo Smit{n}"},
        "words": {"displayName": f"Mia Bos{n}"},
        "initials": {"displayName": f"Ada Vos{n}"},
        "renamed": {"displayName": f"Leo Mol{n}"},
        "job": {"displayName": f"Kim Tan{n}"},
    }
    return [
        person(fields.pop("displayName"), f"{kind}{n}@klant.example", city=f"Stad{n}", **fields)
        for kind, fields in names.items()
    ]


@pytest.fixture
def fleet(make_harness: Any) -> Harness:
    """Thirty profiles in step, in ``standard``, with the edits in it that only ``extended`` looks at."""
    shared = person("Ria Allen", email2="ria@tweede.example", city=EVERYWHERE)
    contacts = [one for n in range(FLEET) for one in people(n)]
    h: Harness = make_harness(world(*contacts, shared, mailboxes=MAILBOXES), transport="in_process")
    rows = [
        {"mailbox": mailbox, "company": COMPANY, "filter": {"City": f"Stad{n}|{EVERYWHERE}"}}
        for n, mailbox in enumerate(MAILBOXES)
    ]
    text = yaml.safe_dump({"profiles": rows})
    import_profiles(h.edges.engine, text, now=h.edges.now(), field_profile="standard")
    h.full()
    for n, (mailbox, items) in enumerate(items_of(h).items()):
        edit_item(h, mailbox, items[f"words{n}"], surname="Bosch", displayName=f"Mia Bos{n}")
        edit_item(h, mailbox, items[f"initials{n}"], initials="A.B.")
        edit_item(h, mailbox, own := items[f"own{n}"], emailAddresses=[*own["emailAddresses"], OWN])
    h.run()
    return h


def items_of(h: Harness) -> dict[str, dict[str, dict[str, Any]]]:
    """Mailbox -> items by the name of their address."""
    return {
        box["user_principal_name"]: {
            item["properties"]["emailAddresses"][0]["address"].partition("@")[0]: {
                **item["properties"],
                "id": item["immutable_id"],
            }
            for folder in box["folders"]
            if folder["name"] == FOLDER
            for item in folder["contacts"]
        }
        for box in h.sim.dump()["mailboxes"]
    }


def edit_item(h: Harness, mailbox: str, item: dict[str, Any], **properties: Any) -> None:
    h.in_outlook("PATCH", f"contacts/{item['id']}", properties, mailbox)


def edit_in_between(h: Harness, what: str) -> None:
    """Edit on both sides what both field profiles map."""
    contacts = {c["email"]: c for c in h.contacts().values()}
    for n, (mailbox, items) in enumerate(items_of(h).items()):
        new = {"displayName": f"Leo {what}{n}", "givenName": "Leo", "surname": f"{what}{n}"}
        edit_item(h, mailbox, items[f"renamed{n}"], **new)
        h.in_bc("PATCH", f"contacts({contacts[f'job{n}@klant.example']['id']})", {"jobTitle": what})


def counted(preview: SwitchPreview) -> list[tuple[int, int]]:
    return [
        (one.writes[Action.UPDATE_OUTLOOK], one.writes[Action.UPDATE_BC])
        for one in [*preview.profiles, preview.total]
    ]


def others(preview: SwitchPreview) -> Counter[str]:
    """What would be done beside updates."""
    updates = (Action.UPDATE_OUTLOOK, Action.UPDATE_BC)
    rest = Counter({a: n for a, n in preview.total.writes.items() if a not in updates})
    return rest + preview.total.held


def shown(preview: SwitchPreview) -> list[str]:
    """The lines of a preview, of the profiles the first one."""
    lines = [" ".join(line.split()) for line in preview.lines()]
    return [lines[0], lines[2], *lines[2 + FLEET :]]


def switch(h: Harness, field_profile: str) -> SwitchPreview:
    """Preview, switch, run; what was said is what was written, and then nothing more is."""
    before = h.sim.dump()
    preview = preview_switch(h.edges, field_profile)
    after = h.sim.dump()
    assert {k: after[k] for k in ("companies", "mailboxes")} == {
        k: before[k] for k in ("companies", "mailboxes")
    }
    use(h, field_profile)
    ran = h.run()
    assert [p.mailbox for p in ran.report.profiles] == [p.mailbox for p in preview.profiles]
    done = [p.counters["writes"] for p in ran.report.profiles] + [ran.writes]
    assert counted(preview) == [
        (w.get("updated_outlook", 0), w.get("updated_business_central", 0)) for w in done
    ]
    assert set(ran.writes) <= {"updated_outlook", "updated_business_central"}
    assert others(preview) == Counter()
    h.sim.reset_counters()
    h.full()
    assert h.app_writes() == 0
    return preview


def test_a_fleet_switches_as_it_was_said_and_back(fleet):
    h = fleet
    edit_in_between(h, "Mulder")
    people_before = h.contacts()
    # E-Mail 2 twice, a surname whose words differ, a job title; initials that somebody typed, and a new name.
    preview = switch(h, "extended")
    assert counted(preview) == [(4, 2)] * FLEET + [(4 * FLEET, 2 * FLEET)]
    assert shown(preview) == [
        "With extended, the next run would write (nothing was written now):",
        f"{MAILBOXES[0]} | Molenzicht BV | 0/4/0 | 0/2 | 0 |",
        f"in all | | 0/{4 * FLEET}/0 | 0/{2 * FLEET} | 0 |",
        f"Updates in Outlook: E-Mail 2 {2 * FLEET}, Job Title {FLEET}, Surname {FLEET}.",
        f"Updates in Business Central: Initials {FLEET}, Name {FLEET}.",
    ]
    contacts = h.contacts()
    for name, contact in contacts.items():
        if not contact["email"].startswith("renamed"):
            kept = ("displayName", "firstName", "middleName", "surname", "email2")
            assert [contact[each] for each in kept] == [people_before[name][each] for each in kept]
    assert contacts["Ada Vos3"]["initials"] == "A.B."
    assert contacts["Bo Smit3"]["email2"] == ""
    leo = contacts["Leo Mulder3"]
    assert (leo["firstName"], leo["surname"]) == ("Leo", "Mulder3")
    items = h.items(MAILBOXES[3])
    assert [e["address"] for e in items["Els Kok3"]["emailAddresses"]][1:] == ["els3@tweede.example"]
    assert items["Jan van der Berg3"]["surname"] == "van der Berg3"
    assert items["Mia Bos3"]["surname"] == "Bos3"

    # Back: what is mapped no longer moves no more; edits go on.
    edit_in_between(h, "Visser")
    h.edit_contact("Els Kok3", email2="els3@derde.example")
    assert counted(switch(h, "standard")) == [(1, 1)] * FLEET + [(FLEET, FLEET)]
    els = h.items(MAILBOXES[3])["Els Kok3"]
    assert [e["address"] for e in els["emailAddresses"]][1:] == ["els3@tweede.example"]

    # Once more: what changed meanwhile is an edit.
    h.edit_contact("Jan van der Berg3", displayName="Jan de Wit3")
    h.run()
    edit_in_between(h, "Bakker")
    expected = [(1 + (n == 3), 1) for n in range(FLEET)]
    assert counted(switch(h, "extended")) == [*expected, (FLEET + 1, FLEET)]
    els = h.items(MAILBOXES[3])["Els Kok3"]
    assert [e["address"] for e in els["emailAddresses"]][1:] == ["els3@derde.example"]


def of_variables(h: Harness, field_profile: str) -> dict[str, str]:
    """The Connections as variables, which is how the command reads them."""
    info = h.sim.info()
    extra = {"tenant_id": info["tenant_id"], "authority": info["base_url"]}
    app = {"login": info["client_id"], "password": info["client_secret"]}
    bc = extra | {"environment": info["environment"], "field_profile": field_profile}
    return {
        "AIRFLOW_CONN_BUSINESS_CENTRAL_DEFAULT": json.dumps(app | {"host": info["bc_root"], "extra": bc}),
        "AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT": json.dumps(
            app | {"host": info["graph_root"], "extra": extra}
        ),
    }


def command(h: Harness, to: str, environment: dict[str, str]) -> int:
    words = ["--database", h.database, "profiles", "switch", "--dry-run", "--to", to]
    return cli.main(words, environment)


@pytest.mark.sockets
def test_the_command_says_what_would_be_written(make_harness, capsys):
    h = make_harness(world(person("Els Kok", email2="els@tweede.example")))
    h.add_profiles()
    h.full()
    rows = everything(h)
    assert command(h, "extended", of_variables(h, "standard")) == 0
    said = capsys.readouterr().out.splitlines()
    assert " ".join(said[2].split()) == "anna@voorbeeld.example | Molenzicht BV | 0/1/0 | 0/0 | 0 |"
    assert said[-1] == "Updates in Outlook: E-Mail 2 1."
    assert "els@" not in str(said).lower()
    # Nothing of it is kept but what the budget counts.
    assert everything(h) == rows


@pytest.mark.sockets
def test_the_command_names_who_could_not_sync(make_harness, capsys):
    h = use(
        make_harness(world(person("Els Kok", salespersonCode="AB"), salespeople=[{"code": "AB"}])), "extended"
    )
    h.add_profiles(filter={"Salesperson Code": "AB"})
    h.full()
    assert command(h, "standard", of_variables(h, "extended")) == 0
    assert "needs 'extended'" in capsys.readouterr().out.splitlines()[-1]


def test_the_command_refuses_what_it_cannot_do(make_harness, capsys):
    h = make_harness(world(person("Els Kok")))
    given = of_variables(h, "standard")
    assert command(h, "standard", given) == 1
    assert "names 'standard' already" in capsys.readouterr().err
    del given["AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT"]
    assert command(h, "extended", given) == 1
    assert "Set AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT" in capsys.readouterr().err


def test_names_whose_words_differ_are_held_where_they_are_many(make_harness):
    """A switch that would replace many names waits for a person, and its preview says so."""
    h = make_harness(world(*(person(f"Jan Smit{n}") for n in range(12))), guard_overwrites=10)
    h.add_profiles()
    h.full()
    for name in list(h.items()):
        h.edit_item(name, surname="Anders", displayName=name)
    h.run()
    preview = preview_switch(h.edges, "extended")
    assert (preview.total.writes, preview.total.held) == (Counter(), Counter({Action.UPDATE_OUTLOOK: 12}))
    use(h, "extended")
    assert h.run().reasons() == {"too_many_overwrites": 12}
    assert {item["surname"] for item in h.items().values()} == {"Anders"}


def everything(h: Harness) -> dict[str, list[str]]:
    """All rows of the staging database, but for leases and what the budget counts."""
    passing = {"lease", "budget", "budget_slot", "budget_use"}
    with read(h.edges.engine) as conn:
        return {
            table.name: sorted(map(str, conn.execute(select(table))))
            for table in t.metadata.sorted_tables
            if table.name not in passing
        }
