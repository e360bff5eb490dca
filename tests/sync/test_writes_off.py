"""G7: one switch stops every write to both services; what waits is carried out when it is on again (rules 8.8c)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from sync_lib import model, pipeline
from sync_lib.clients.session import ApiSession
from sync_lib.errors import WritesOffError
from sync_lib.model import Decision
from sync_lib.operate import approval
from sync_lib.store import holds
from sync_lib.store.engine import read
from sync_lib.store.holds import HoldState
from tests.sync.harness import FOLDER, Harness, person, world

PEOPLE = 12
numbers = itertools.count(1)


class Switch:
    """The switch of one installation, read again before each write."""

    def __init__(self, h: Harness, *, on: bool) -> None:
        self.on = on
        self.before_each: Any = None
        h.edges.read_switch = self.read

    def read(self) -> bool:
        if self.before_each:
            self.before_each()
        return self.on


def decide(h: Harness, *, paused: bool = False) -> model.RunPlan:
    """A person approves the one hold that waits; what follows runs as the DAG runs it."""
    [wanted] = approval.list_requests(h.edges)
    hold, asked, run = wanted["hold"], wanted["asked"], wanted["run_id"]
    approval.ask(h.edges, hold, asked, run)
    decision = Decision(True, "eva", "person", f"2026-03-02T09:00:00.{next(numbers):03}Z")
    plan = approval.decide(h.edges, hold, asked, run, decision, paused=paused)
    for company in plan.companies:
        pipeline.extract_business_central(h.edges, run, company)
    for key in plan.tasks:
        pipeline.sync_profile(h.edges, run, key)
    pipeline.finish_run(h.edges, run)
    return plan


def states(h: Harness) -> list[HoldState]:
    with read(h.edges.engine) as conn:
        return [hold.state for hold in holds.read_holds(conn, *HoldState)]


@pytest.fixture
def h(make_harness: Any) -> Harness:
    made: Harness = make_harness(world(*(person(f"Persoon {n:02}") for n in range(PEOPLE))))
    made.add_profiles()
    return made


def test_nothing_is_written_and_everything_is_planned(h):
    """G7: also the folder is not made; the first run that may write does it all."""
    switch = Switch(h, on=False)
    ran = h.full()
    assert h.app_writes() == 0
    assert FOLDER not in [folder["name"] for folder in h.mailbox()["folders"]]
    assert ran.verdict.ok
    assert "CONTACT_SYNC_WRITES" in ran.verdict.message
    assert ran.profile("anna@voorbeeld.example").counters["planned"] == {"created_outlook": PEOPLE}
    switch.on = True
    assert h.run().writes == {"created_outlook": PEOPLE}


def test_edits_of_both_sides_wait(h):
    """G7: an edit in each, a delete in each, and a privacy block, which is reported as what waits."""
    h.full()
    switch = Switch(h, on=False)
    h.edit_contact("Persoon 00", city="Delft")
    h.edit_item("Persoon 01", jobTitle="Inkoper")
    h.delete_contact("Persoon 02")
    h.delete_item("Persoon 03")
    h.edit_contact("Persoon 04", privacyBlocked=True)
    h.sim.reset_counters()
    for _ in range(2):
        ran = h.run()
        assert h.sim.counters().get("app", {}).get("graph", {}).get("writes", 0) == 0
        assert h.app_writes() == 0
        assert ran.profile("anna@voorbeeld.example").counters["planned"] == {
            "created_outlook": 1, "updated_outlook": 1, "deleted_outlook": 2, "updated_business_central": 1,
        }  # fmt: skip
    switch.on = True
    assert h.run().writes == {
        "created_outlook": 1, "updated_outlook": 1, "deleted_outlook": 2, "updated_business_central": 1,
    }  # fmt: skip
    assert h.contacts()["Persoon 01"]["jobTitle"] == "Inkoper"
    assert {"Persoon 02", "Persoon 04"}.isdisjoint(h.items())
    h.run()
    assert h.run().writes == {}


def test_switched_off_between_two_tasks_of_a_run(h):
    """G7: a run that was planned to write does not, and leaves nothing of its reading behind."""
    switch = Switch(h, on=True)
    plan = pipeline.plan_run(h.edges, model.RunRequest("r1", "full"))
    for company in plan.companies:
        pipeline.extract_business_central(h.edges, "r1", company)
    switch.on = False
    for key in plan.tasks:
        pipeline.sync_profile(h.edges, "r1", key)
    pipeline.finish_run(h.edges, "r1")
    assert (h.app_writes(), h.items()) == (0, {})
    switch.on = True
    assert h.run().writes == {"created_outlook": PEOPLE}


def test_switched_off_in_the_middle_of_a_load(make_harness):
    """G7: the batch that was next is not sent; the profile says why, and the next run makes nobody twice."""
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(45))))
    h.add_profiles()
    switch = Switch(h, on=True)

    def stop_after_a_batch() -> None:
        switch.on = h.app_writes() < 20

    switch.before_each = stop_after_a_batch
    ran = h.full()
    assert h.app_writes() == 20
    assert [error.reason for error in ran.errors] == ["writes_off"]
    switch.before_each, switch.on = None, True
    for _ in range(2):
        h.run()
    assert (len(h.items()), h.app_writes()) == (45, 45)
    assert h.run().writes == {}


@pytest.mark.parametrize("paused", [True, False])
def test_an_approval_waits_for_a_run_that_may_write(h, paused):
    """G7: whether the sync is paused in Airflow or writes are off; nobody has to decide again."""
    h.full()
    for name in list(h.items()):
        h.delete_item(name)
    h.run()
    h.sim.reset_counters()
    switch = Switch(h, on=paused)
    plan = decide(h, paused=paused)
    assert bool(plan.skip_reason and "paused" in plan.skip_reason) == paused
    assert (h.app_writes(), states(h)) == (0, [HoldState.APPROVED])
    switch.on = True
    assert h.run().writes == {"created_outlook": PEOPLE}
    assert states(h) == [HoldState.APPLIED]


def test_no_request_that_changes_anything_is_sent(h):
    """G7: whoever asks a client to write is refused, before a byte leaves; reading goes on."""
    h.full()
    Switch(h, on=False)
    h.sim.reset_counters()
    session: ApiSession = h.edges.outlook._session
    user = h.mailbox()["user_principal_name"]
    assert session.request("GET", f"/users/{user}/contactFolders").status == 200
    item = next(iter(h.items().values()))["id"]
    assert h.edges.outlook.fetch_contacts(user, [item])[item]
    for write in (
        lambda: h.edges.outlook.rename_folder(user, h.folder_id(), "Elders"),
        lambda: h.edges.outlook.write_marker(user, h.folder_id(), "x"),
        lambda: h.edges.business_central.create_contacts(h.sim.info()["companies"][0]["id"], [{}]),
    ):
        with pytest.raises(WritesOffError):
            write()
    counters = h.sim.counters()["app"]
    assert counters["graph"]["writes"] == 0
    assert counters["bc"]["requests"] == 0
