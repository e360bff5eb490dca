"""Rules 8.8b: the staging database's clock decides, and a worker's clock decides nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from sync_lib.moments import shift
from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, world

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
HOUR = 3600.0


def another_worker(h: Harness, ahead: float) -> None:
    """From now on a worker runs whose clock is ahead by so many seconds."""
    h.edges.close()
    h.edges = h.open()
    now = h.edges.now
    h.edges.now = lambda: shift(now(), ahead)


def outcomes(h: Harness, action: str) -> list[tuple[str, str]]:
    c = t.change.c
    with read(h.edges.engine) as conn:
        wanted = select(c.outcome, c.reason).where(c.action == action).order_by(c.plan, c.n)
        return [tuple(row) for row in conn.execute(wanted)]


def arrive(h: Harness) -> list[int]:
    """What was sent and had no answer is carried out now."""
    statuses: list[int] = h.sim.control("POST", "late")["statuses"]
    return statuses


def els(h: Harness, mailbox: str = ANNA) -> None:
    h.add_item(
        mailbox, displayName="Els Nieuw", emailAddresses=[{"address": "els@nieuw.example", "name": "x"}]
    )


def named(h: Harness, name: str) -> int:
    return [c["displayName"] for c in h.sim.dump()["companies"][0]["contacts"]].count(name)


def items_named(h: Harness, name: str, folder: str = "Business Central") -> int:
    found: dict[str, Any] = next(f for f in h.mailbox()["folders"] if f["name"] == folder)
    return [item["properties"].get("displayName") for item in found["contacts"]].count(name)


@pytest.mark.parametrize("ahead", [HOUR, -25 * HOUR, 30 * 24 * HOUR])
def test_a_worker_whose_clock_is_off_gives_up_no_create_in_bc(make_harness, ahead):
    """I2: the second worker leaves the first one's create alone, which is carried out later."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]), retry_cap=1.0)
    h.add_profiles()
    h.full()
    els(h)
    fault = h.sim.add_fault(name="F37", service="bc")
    h.run()
    assert fault.fired == 1
    another_worker(h, ahead)
    h.run()
    h.full()
    assert named(h, "Els Nieuw") == 0, "nobody sends it again while it may still be carried out"
    assert arrive(h) == [201]
    h.run()
    assert named(h, "Els Nieuw") == 1
    assert outcomes(h, "create_business_central")[0] == ("created", "settled")
    h.sim.reset_counters()
    assert (h.full().writes, h.app_writes()) == ({}, 0)


@pytest.mark.parametrize("ahead", [HOUR, -25 * HOUR])
def test_a_worker_whose_clock_is_off_gives_up_no_create_in_outlook(make_harness, ahead):
    """I2: the same for an item."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]), retry_cap=1.0)
    h.add_profiles()
    h.full()
    h.add_contact("Els Nieuw")
    fault = h.sim.add_fault(name="F37", service="graph")
    h.run()
    assert fault.fired == 1
    another_worker(h, ahead)
    h.run()
    assert items_named(h, "Els Nieuw") == 0
    assert arrive(h) == [201]
    h.run()
    assert items_named(h, "Els Nieuw") == 1
    assert outcomes(h, "create_outlook")[-1] in [("created", "settled"), ("unknown", "no_answer_yet")]
    h.run()
    h.sim.reset_counters()
    assert (h.full().writes, h.app_writes()) == ({}, 0)


def test_a_worker_whose_clock_is_ahead_takes_no_claim_of_another_profile(make_harness):
    """I2: of two profiles with one new person, the second does not take the claim of a create under way."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA, BRAM]), retry_cap=1.0)
    h.add_profiles(ANNA, BRAM)
    h.full()
    els(h, ANNA)
    h.sim.add_fault(name="F37", service="bc")
    h.run(profiles=[ANNA])
    els(h, BRAM)
    another_worker(h, HOUR)
    ran = h.run(profiles=[BRAM])
    assert ran.reasons(BRAM) == {"claimed_by_other_profile": 1}
    assert arrive(h) == [201]
    for _ in range(3):
        h.run()
    assert named(h, "Els Nieuw") == 1


@pytest.mark.parametrize("service", ["bc", "graph"])
def test_a_create_that_was_never_carried_out_is_sent_again_when_the_database_says_so(make_harness, service):
    """I2: the time of the staging database passes, whatever the workers believe."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]), retry_cap=1.0)
    h.add_profiles()
    h.full()
    if service == "bc":
        els(h)
    else:
        h.add_contact("Els Nieuw")
    h.sim.add_fault(name="F37", service=service)
    h.run()
    another_worker(h, -25 * HOUR)
    clock.set_offset(h.edges.engine, h.settings.longest_request - 60)
    h.run()
    assert (named(h, "Els Nieuw"), items_named(h, "Els Nieuw")) == ((0, 1) if service == "bc" else (1, 0))
    clock.set_offset(h.edges.engine, h.settings.longest_request + 60)
    h.run()
    assert (named(h, "Els Nieuw"), items_named(h, "Els Nieuw")) == (1, 1)
