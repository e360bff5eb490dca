"""Rules 8.8b: the staging database's clock decides, and a worker's clock decides nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.times import shift
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


# -- a create that is carried out late --------------------------------------------------------------------------------


def unknown_item(make_harness: Any) -> Harness:
    """An item for Els that was sent and had no answer; meanwhile the user has typed her, and that item is coupled."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]), retry_cap=1.0)
    h.add_profiles()
    h.full()
    h.add_contact("Els Nieuw", "els@nieuw.example", jobTitle="Inkoper")
    h.sim.add_fault(name="F37", service="graph")
    h.run()
    els(h)
    h.run()
    return h


def users_item(h: Harness) -> dict[str, Any]:
    with read(h.edges.engine) as conn:
        c = t.coupling.c
        coupled = set(conn.scalars(select(c.outlook_id)))
    found = next(f for f in h.mailbox()["folders"] if f["name"] == "Business Central")["contacts"]
    named = [i for i in found if "Els" in i["properties"]["displayName"] and i["immutable_id"] in coupled]
    assert len(named) == 1
    return named[0]


@pytest.mark.parametrize("found", ["settled", "given up"])
def test_a_late_item_of_ours_displaces_no_item_of_the_user(make_harness, found):
    """I3: ours goes, uncounted; the user's item stays coupled, and its edits reach BC."""
    h = unknown_item(make_harness)
    before = users_item(h)["immutable_id"]
    if found == "given up":
        clock.set_offset(h.edges.engine, h.settings.longest_request + 60)
        h.run()
    assert arrive(h) == [201]
    assert items_named(h, "Els Nieuw") == 2
    h.in_outlook("PATCH", f"contacts/{before}", {"jobTitle": "Chef"})
    ran = h.run()
    assert ran.report.outcomes.get("held", 0) == 0
    assert users_item(h)["immutable_id"] == before
    assert items_named(h, "Els Nieuw") == 1
    assert h.contacts()["Els Nieuw"]["jobTitle"] == "Chef"
    c = t.change.c
    with read(h.edges.engine) as conn:
        rows = conn.execute(select(c.outcome, c.guard_class, c.before).where(c.cause == "late_create")).all()
    assert [(row.outcome, row.guard_class) for row in rows] == [("deleted", "")]
    assert "Inkoper" in rows[0].before
    h.run()
    h.sim.reset_counters()
    assert (h.full().writes, h.app_writes()) == ({}, 0)


def test_a_late_item_of_a_contact_that_is_gone_meanwhile_goes_in_the_run_that_finds_it(make_harness):
    """I5: in a profile where nothing else has changed, no full run is waited for."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]), retry_cap=1.0)
    h.add_profiles()
    h.full()
    h.add_contact("Els Nieuw")
    h.sim.add_fault(name="F37", service="graph")
    h.run()
    h.delete_contact("Els Nieuw")
    h.full()
    h.run()
    assert arrive(h) == [201]
    assert h.run().writes == {"deleted_outlook": 1}
    assert items_named(h, "Els Nieuw") == 0
    assert h.full().writes == {}


def test_a_late_item_that_somebody_edited_is_a_copy(make_harness):
    """I3: nothing that a person typed is deleted."""
    h = unknown_item(make_harness)
    before = users_item(h)["immutable_id"]
    arrive(h)
    folder = next(f for f in h.mailbox()["folders"] if f["name"] == "Business Central")
    late = next(
        i
        for i in folder["contacts"]
        if "Els" in i["properties"]["displayName"] and i["immutable_id"] != before
    )
    h.in_outlook("PATCH", f"contacts/{late['immutable_id']}", {"mobilePhone": "+31655501234"})
    assert h.run().reasons() == {"copy_of_coupled": 1}
    assert users_item(h)["immutable_id"] == before
    assert items_named(h, "Els Nieuw") == 2


def test_a_copy_that_a_user_makes_after_a_late_item_went_stays(make_harness):
    """I3: one lost create accounts for one item, not for all later copies."""
    h = unknown_item(make_harness)
    arrive(h)
    h.run()
    h.run()
    item = users_item(h)["immutable_id"]
    h.sim.control("POST", "graph/copy", {"mailbox": ANNA, "contact": item})
    assert h.run().reasons() == {"copy_of_coupled": 1}
    assert items_named(h, "Els Nieuw") == 2


@pytest.mark.parametrize("found", ["settled", "given up"])
def test_a_late_contact_in_bc_is_reported_as_a_duplicate(make_harness, found):
    """I3: the other side: meanwhile the person was made in BC by hand, and nothing in BC is ever deleted."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]), retry_cap=1.0)
    h.add_profiles()
    h.full()
    els(h)
    h.sim.add_fault(name="F37", service="bc")
    h.run()
    h.add_contact("Els Nieuw", "els@nieuw.example")
    h.run()
    if found == "given up":
        clock.set_offset(h.edges.engine, h.settings.longest_request + 60)
        h.run()
    assert arrive(h) == [201]
    for _ in range(2):
        assert h.run().reasons() == {"duplicate_email_in_bc": 1}
    assert (named(h, "Els Nieuw"), items_named(h, "Els Nieuw")) == (2, 1)
    with read(h.edges.engine) as conn:
        assert conn.execute(select(t.claim)).all() == []
    h.sim.reset_counters()
    assert (h.full().writes, h.app_writes()) == ({}, 0)


def test_a_create_that_waited_long_before_it_left_is_not_given_up_early(make_harness):
    """I2: the longest request time counts from the end of the waiting, not from the decision to send."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]), retry_cap=1.0, lease=86_400.0)
    h.add_profiles()
    h.full()
    els(h)
    queue = h.settings.longest_request + 60

    def waits(_call: Any) -> None:
        clock.set_offset(h.edges.engine, queue)

    # The time passes while the request is under way, as it does for one that queues for the budget.
    h.sim.add_fault(waits, kind="callback", service="bc", method="POST", path="/contacts$", moment="before")
    h.sim.add_fault(name="F37", service="bc")
    h.run()
    with read(h.edges.engine) as conn:
        c = t.change.c
        (row,) = conn.execute(select(c.sent_at, c.ended_at).where(c.outcome == "unknown")).all()
    assert shift(row.sent_at, queue - 60) < row.ended_at
    h.edges.close()
    h.edges = h.open()
    clock.set_offset(h.edges.engine, queue + 60)
    h.run()
    assert named(h, "Els Nieuw") == 0, "it may still be carried out"
    assert arrive(h) == [201]
    h.run()
    assert named(h, "Els Nieuw") == 1
