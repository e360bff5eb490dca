"""The worker is killed at every call and at every commit of a run; the next runs end where one without a crash ends.

A crash before a call, one after the service acted on it (its answer is lost with the worker), and one before a commit:
these are all the places there are. In each test run they are tried literally on three given histories, and what each
crash leaves behind is compared; the runs that follow begin once from each state that is left. A sample of random
histories and of the small world is killed before each effect, and the long run does all of them (``long.py``).
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from sync_lib.errors import SyncError
from sync_lib.load import outlook
from tests.proof import killed_histories
from tests.proof.crashes import (
    EffectKiller,
    Recoveries,
    Start,
    killed_everywhere,
    left_behind,
    recover,
    state,
)
from tests.proof.interventions import Killed, Killer, expire_leases
from tests.sync.harness import Harness, person, world

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
LOOSE = {"retry_cap": 1.0, "longest_request": 0.0, "guard_few_deletes": 100, "guard_creates": 100}


def email(address: str) -> list[dict[str, str]]:
    return [{"address": address, "name": "x"}]


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


def restored_backup(h: Harness) -> None:
    """The staging database is older than the mailbox by three loads (rules 2.8)."""
    h.add_profiles(ANNA)
    h.full()
    h.close()
    database = Path(h.database.removeprefix("sqlite:///"))
    backup = database.read_bytes()
    h.edges = h.open()
    for value in ("A", "B", "C"):
        h.edit_contact("Jan Jansen", jobTitle=value)
        h.edit_item("Zes Zwaan", jobTitle=value)
        h.run()
    h.close()
    for left in database.parent.glob(database.name + "-*"):
        left.unlink()
    database.write_bytes(backup)
    h.edges = h.open()
    # By its baseline alone Outlook's value looks like an edit.
    h.edit_contact("Zes Zwaan", jobTitle="")
    h.edit_contact("Zeven Zeis", privacyBlocked=True)
    h.add_contact("Kees Kort")


HISTORIES: tuple[Callable[[Harness], None], ...] = (
    first_sync,
    edits_both_ways,
    two_profiles,
    restored_backup,
)


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
    return Start(h, tmp_path)


#: What was judged in this process, for each history and where it ends without a crash.
JUDGED: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
NEVER = 10**9


@pytest.fixture
def recoveries(request, start) -> Recoveries:
    recover(start.again())
    wanted = state(start.h)
    history = request.node.callspec.params["start"].__name__
    return Recoveries(start.h, wanted, JUDGED[f"{history} {json.dumps(wanted)}"])


# Random histories are killed on PostgreSQL too; here a copied file saves the time.
on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"])


@on_sqlite
@pytest.mark.timeout(600)
@pytest.mark.parametrize("after", [False, True], ids=["before a call", "after a call"])
def test_killed_at_every_call(start, recoveries, after, record_property):
    for at in itertools.count():
        h = start.again()
        passed = EffectKiller(NEVER)
        passed.watch(h.edges)
        killer = Killer("call", at, after)
        killer.watch(h.edges)
        with contextlib.suppress(Killed, SyncError):
            h.run(run_id="killed")
        start.new_worker()
        expire_leases(h.edges)
        recoveries.judge(passed.seen, f"killed {at}")
        if not killer.dead:
            break
    assert at > 5
    record_property("fired", {"F19": at})


@on_sqlite
@pytest.mark.timeout(600)
def test_killed_before_every_effect(start, recoveries, record_property):
    effects = itertools.count()
    counts = killed_everywhere(
        start,
        lambda: start.h.run(run_id="killed"),
        lambda what: recoveries.judge(next(effects), what),
    )
    assert counts["crashes"] > 5
    assert counts["places"] > 2 * counts["crashes"]
    record_property("fired", {"F19": counts["crashes"]})


@on_sqlite
@pytest.mark.timeout(600)
def test_killed_before_every_effect_of_a_load_of_many_batches(
    make_harness, tmp_path, monkeypatch, record_property
):
    """What one batch came to and the begin of the next one are one effect."""
    monkeypatch.setattr(outlook, "BATCH", 2)
    h = make_harness(_world(), **LOOSE)
    edits_both_ways(h)
    for number in range(4):
        h.add_contact(f"Kees Kort {number}")
    start = Start(h, tmp_path)
    recover(start.again())
    recoveries = Recoveries(h, state(h), set())
    effects = itertools.count()
    counts = killed_everywhere(
        start,
        lambda: h.run(run_id="killed"),
        lambda what: recoveries.judge(next(effects), what),
    )
    assert counts["crashes"] > 10
    record_property("fired", {"F19": counts["crashes"]})


@on_sqlite
def test_what_is_left_behind_tells_every_effect_and_no_repetition(make_harness, tmp_path):
    h = make_harness(_world(), **LOOSE)
    h.add_profiles(ANNA)
    h.full()
    start = Start(h, tmp_path)

    def execute(statement: str) -> None:
        with h.edges.engine.begin() as conn:
            assert conn.execute(text(statement)).rowcount

    known = {left_behind(start.again())}
    assert left_behind(start.again()) in known
    expire_leases(h.edges)
    assert left_behind(h) in known
    changes = (
        lambda: h.edit_contact("Jan Jansen", jobTitle="Inkoper"),
        lambda: h.edit_item("Zes Zwaan", mobilePhone="06 5550 3333"),
        lambda: h.delete_item("Vier Vos"),
        lambda: execute("UPDATE coupling SET state = 'other' WHERE id = 1"),
        lambda: execute("DELETE FROM cursor"),
    )
    for change in changes:
        start.again()
        change()
        assert left_behind(h) not in known
        known.add(left_behind(h))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [3])
def test_random_histories_killed_everywhere(seed, new_database, tmp_path, record_property):
    counts = killed_histories.play(seed, new_database, tmp_path)
    assert counts["crashes"] > 5
    record_property("fired", {"F19": counts["crashes"]})
