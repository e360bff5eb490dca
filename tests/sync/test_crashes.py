"""The worker is killed at every call and at every commit of a run; the next runs end where one without a crash ends.

A crash before a call, one after the service acted on it (its answer is lost with the worker), and one before a commit:
together these are all the places between two effects.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sync_lib.errors import SyncError
from tests.sync import oracle
from tests.sync.harness import Harness, person, world
from tests.sync.histories import Killed, Killer, expire_leases
from tests.sync.oracle import Scene

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
LOOSE = {"retry_cap": 1.0, "longest_request": 0.0, "guard_few_deletes": 100, "guard_creates": 100}


def email(address: str) -> list[dict[str, str]]:
    return [{"address": address, "name": "x"}]


@dataclass
class Start:
    """A moment to go back to: the sandbox's world and a copy of the staging database."""

    h: Harness
    database: Path
    home: Path

    def __post_init__(self) -> None:
        self.h.edges.close()
        self.world = self.h.sim.dump()
        self.kept = self.home / "start.db"
        shutil.copy(self.database, self.kept)

    def again(self) -> Harness:
        """Put everything back as it was."""
        self.h.edges.close()
        for path in self.database.parent.glob(self.database.name + "-*"):
            path.unlink()
        shutil.copy(self.kept, self.database)
        self.h.sim.reset(world=self.world)
        self.h.edges = self.h.open()
        return self.h


def state(h: Harness) -> dict[str, Any]:
    """What a person sees, without ids and versions."""
    scene = Scene.of(h.sim.dump())
    names = {key: contact["displayName"] for key, contact in scene.contacts.items()}
    plain = {
        "contacts": sorted(_normal(oracle.bc_values(contact)) for contact in scene.contacts.values()),
        "couplings": sorted(
            (row["mailbox"], names.get(row["bc_id"], "gone"), row["state"], row["origin"])
            for row in oracle.rows(
                h.edges.engine,
                "SELECT p.mailbox, c.bc_id, c.state, c.origin FROM coupling c JOIN sync_profile p ON p.id = c.profile",
            )
        ),
    }
    for mailbox, items in scene.items.items():
        plain[mailbox] = sorted(
            f"{item.folder} {names.get(item.bc_id, bool(item.bc_id))} {item.origin} "
            f"{item.properties.get('categories')} {_normal(item.values)}"
            for item in items.values()
        )
    return plain


def _normal(values: dict[str, str]) -> str:
    return str({name: oracle.normal(name, value) for name, value in values.items()})


# -- given histories -------------------------------------------------------------------------------------------------


def first_sync(h: Harness) -> None:
    """An item that is adopted, one that is new, and persons for whom there is nothing yet."""
    h.add_profiles(ANNA)


def edits_both_ways(h: Harness) -> None:
    h.add_profiles(ANNA, filter={"City": "<>Utrecht"})
    h.full()
    h.edit_contact("Jan Jansen", jobTitle="van BC")
    h.edit_item("Jan Jansen", jobTitle="van Outlook", mobilePhone="06 5550 1111")
    h.edit_contact("Piet de Vries", email="piet@nieuw.example")
    h.edit_item("Els Nieuw", businessPhones=["020 555 0199"])
    h.add_contact("Kees Kort")
    h.add_item(displayName="Van Outlook", emailAddresses=email("vo@klant.example"), jobTitle="Inkoper")
    h.add_item(displayName="Ook Outlook", emailAddresses=email("oo@klant.example"))
    h.delete_item("Vier Vos")
    h.delete_contact("Vijf Vink")
    h.edit_contact("Zes Zwaan", city="Utrecht")
    h.edit_contact("Zeven Zeis", privacyBlocked=True)


def two_profiles(h: Harness) -> None:
    h.add_profiles(ANNA, BRAM)
    h.full()
    h.edit_item("Jan Jansen", ANNA, jobTitle="van Anna")
    h.edit_item("Jan Jansen", BRAM, mobilePhone="06 5550 2222")
    for box in (ANNA, BRAM):
        h.add_item(box, displayName="Van Beiden", emailAddresses=email("beiden@klant.example"))
    h.delete_item("Piet de Vries", BRAM)


HISTORIES: tuple[Callable[[Harness], None], ...] = (first_sync, edits_both_ways, two_profiles)


def _world() -> dict[str, Any]:
    names = ("Jan Jansen", "Piet de Vries", "Vier Vos", "Vijf Vink", "Zes Zwaan", "Zeven Zeis")
    mine = [
        {
            "displayName": "P. de Vries",
            "emailAddresses": email("piet.de.vries@klant.example"),
            "mobilePhone": "06 1",
        },
        {"displayName": "Els Nieuw", "emailAddresses": email("els@nieuw.example")},
    ]
    box = {
        "user_principal_name": ANNA,
        "folders": [
            {"name": "Business Central", "contacts": mine},
            {"name": "Contacts", "contacts": [mine[0]]},
        ],
    }
    return world(*(person(name) for name in names), mailboxes=[box, BRAM])


@pytest.fixture(params=HISTORIES, ids=lambda history: history.__name__)
def start(request, make_harness, database_url, tmp_path) -> Start:
    h = make_harness(_world(), **LOOSE)
    request.param(h)
    return Start(h, Path(database_url.removeprefix("sqlite:///")), tmp_path)


def recover(h: Harness) -> None:
    for _ in range(2):
        ran = h.run()
        assert ran.errors == []


# Random histories are killed on PostgreSQL too; here a copied file saves the time.
@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", ["before a call", "after a call", "before a commit"])
def test_killed_everywhere(start, what, pytestconfig):
    # Of the commits, which are many, the short run takes every third one.
    every = 3 if what == "before a commit" and not pytestconfig.getoption("--long") else 1
    h = start.again()
    recover(h)
    wanted = state(h)
    assert h.run().writes == {}
    for at in itertools.count(0, every):
        h = start.again()
        killer = Killer("commit" if what == "before a commit" else "call", at, what == "after a call")
        killer.watch(h.edges)
        with contextlib.suppress(Killed, SyncError):
            h.run(run_id="killed")
        h.edges.close()
        h.edges = h.open()
        expire_leases(h.edges)
        recover(h)
        assert state(h) == wanted, f"killed {what} {at}"
        h.sim.reset_counters()
        assert h.run().writes == {}, f"killed {what} {at}"
        assert h.app_writes() == 0
        if not killer.dead:
            break
    assert at > 5
