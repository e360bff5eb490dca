"""Figures per day, and how long edits take: counted anew with each run, whatever is repeated or removed meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, select

from sync_lib import pipeline
from sync_lib.run.report import CLOCKS, Arrived
from sync_lib.store import days
from sync_lib.store import tables as t
from sync_lib.store.days import Arrivals, Day
from sync_lib.store.engine import read, transaction
from tests.sync.harness import COMPANY, Harness, person, world

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
DAY = 86_400.0


@pytest.fixture
def h(make_harness: Any) -> Harness:
    people = [person(f"Persoon {n}") for n in range(4)]
    h: Harness = make_harness(world(*people, mailboxes=[ANNA, BRAM]), transport="in_process")
    h.add_profiles(ANNA, BRAM)
    h.full()
    return h


def last(h: Harness, profile: int | None = None, of: int = 30) -> Day:
    with read(h.edges.engine) as conn:
        found = (
            days.together(list(days.read_company_days(conn, of).values()))
            if profile is None
            else days.read_profile_days(conn, profile, of)
        )
    assert len(found) == of
    return found[-1]


def edited(h: Harness) -> list[str | None]:
    with read(h.edges.engine) as conn:
        return list(conn.scalars(select(t.change.c.edited_at).order_by(t.change.c.plan, t.change.c.n)))


def test_a_day_says_what_agrees_and_what_was_written_to_each_side(h: Harness) -> None:
    h.add_item(ANNA, displayName="Zonder Adres")
    h.edit_contact("Persoon 1", jobTitle="Chef")
    h.run()
    day = last(h, 1)
    assert (day.contacts, day.agreed, day.rejected, day.held) == (5, 4, 1, 0)
    assert (day.written_outlook, day.written_business_central) == (5, 0)
    both = last(h)
    assert (both.contacts, both.agreed, both.rejected, both.held) == (9, 8, 1, 0)
    assert both.written_outlook == 10
    assert both.agreement == 8 / 9


def test_a_task_that_is_repeated_counts_nothing_twice(h: Harness) -> None:
    h.edit_item("Persoon 2", ANNA, jobTitle="Inkoper")
    h.run(run_id="r")
    before = last(h), last(h, 1), last(h, 2)
    pipeline.sync_profile(h.edges, "r", "1")
    for _ in range(2):
        pipeline.finish_run(h.edges, "r")
    with transaction(h.edges.engine) as conn:
        days.count_all(conn, 1)
    assert (last(h), last(h, 1), last(h, 2)) == before
    assert before[1].written_business_central == 1


def test_a_dry_run_is_no_figure_of_the_day(h: Harness) -> None:
    h.edit_contact("Persoon 1", jobTitle="Chef")
    before = last(h)
    h.run(dry_run=True)
    assert last(h) == before


def test_a_quiet_day_has_the_figures_that_still_hold(h: Harness) -> None:
    """Also once the runs of that day, and the changes before it, have been removed."""
    h.run()
    assert h.sim.time is not None
    h.sim.time.sleep(DAY)
    h.run()
    with transaction(h.edges.engine) as conn:
        conn.execute(delete(t.change))
        stored = conn.execute(select(t.company_day).order_by(t.company_day.c.day)).all()
    assert [(row.agreed, row.written_outlook) for row in stored] == [(8, 8), (8, 0)]
    today = last(h)
    assert (today.agreed, today.written_outlook) == (8, 0)
    assert last(h, 1).agreed == 4
    assert last(h, 1, of=1).agreed == 4


def test_the_time_from_an_edit_to_our_write_is_counted_and_logged(h: Harness) -> None:
    assert edited(h) == [None] * 8, "a first sync says nothing of how fast edits travel"
    assert h.sim.time is not None
    h.edit_contact("Persoon 1", jobTitle="Chef")
    h.sim.time.sleep(100)
    h.add_item(
        BRAM, displayName="Nieuw", givenName="Nieuw", emailAddresses=[{"address": "nieuw@klant.example"}]
    )
    h.sim.time.sleep(20)
    ran = h.run()
    found = last(h).arrivals
    # To Anna and to Bram, and one from him to BC.
    assert found.total == 3
    assert found.share_within(60) == pytest.approx(1 / 3)
    assert found.share_within(180) == 1
    assert 120 < (found.percentile(95) or 0) <= 180
    [arrived] = ran.report.arrived
    assert arrived.company == COMPANY
    assert sorted(round(each, -1) for each in arrived.seconds) == [20, 120, 120]
    assert ran.report.lines()[-1] == f"({CLOCKS})"
    assert ran.report.lines()[-2].startswith(f"{COMPANY}: from edit to write, of 3 edits: p50 2")
    # What arrives in a later run of the day is added, that of this one stays.
    h.run()
    assert last(h).arrivals.total == 4, "the new contact goes to Anna's folder"


def test_what_comes_by_a_setting_or_a_decision_is_no_arrival(h: Harness) -> None:
    h.run()
    h.add_profiles(ANNA, filter=[{"name": "<>Persoon 1"}])
    assert h.sim.time is not None
    h.sim.time.sleep(3600)
    h.run()
    h.add_profiles(ANNA)
    h.sim.time.sleep(3600)
    assert h.run().writes["created_outlook"] == 1
    assert last(h).arrivals.total == 0


def test_what_failed_before_counts_from_its_edit(h: Harness) -> None:
    assert h.sim.time is not None
    h.run()
    fault = h.sim.add_fault(kind="status", status=503, service="graph", count=None)
    h.edit_contact("Persoon 1", jobTitle="Chef")
    h.sim.time.sleep(3600)
    assert h.run().errors
    assert fault.fired
    h.sim.clear_faults()
    h.sim.time.sleep(3600)
    h.run()
    assert last(h).arrivals.total == 2
    assert last(h).arrivals.share_within(3600) == 0


def test_a_line_says_the_percentiles_and_the_share_within_the_interval() -> None:
    seconds = [float(n) for n in range(1, 101)]
    line = Arrived("A", seconds, 90.0).line()
    assert line == (
        "A: from edit to write, of 100 edits: p50 50 s, p95 1.58 min, p99 1.65 min; 90% within the schedule's 1.5 min"
    )
    assert Arrived("A", [7200.0]).line() == "A: from edit to write, of 1 edits: p50 2 h, p95 2 h, p99 2 h"


def test_classes_of_arrival_add_up_and_know_shares() -> None:
    both = Arrivals.of([0.0, 0.9, 299.0]) + Arrivals.parse(Arrivals.of([300.0, 9e9]).dump())
    assert both.counts == {1: 2, 300: 2, days.BEYOND: 1}
    assert both.share_within(300) == 0.8
    assert both.share_within(0) == 0
    assert Arrivals().percentile(50) is None
    assert Arrivals().share_within(5) is None
