"""The path of a run (architecture 1): planning, backfills, chunks, overlapping runs, its report, colour and logs."""

from __future__ import annotations

import logging
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib import model, pipeline
from sync_lib.errors import ConfigError
from sync_lib.model import CompanyResult, ProfileResult, Run, RunRequest
from sync_lib.run.report import age, judge, make_report
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.leases import acquire_lease, release_lease
from tests.sync.harness import COMPANY, Harness, person, world

ANNA, BRAM, CATO = (f"{name}@voorbeeld.example" for name in ("anna", "bram", "cato"))


def people(count: int, **fields: object) -> list[dict]:
    return [person(f"Persoon {n:03}", f"p{n}@klant.example", **fields) for n in range(count)]


@pytest.fixture
def three(make_harness) -> Harness:
    h = make_harness(world(*people(2), mailboxes=[ANNA, BRAM, CATO]))
    h.add_profiles(ANNA, BRAM, CATO)
    return h


# -- plan_run --------------------------------------------------------------------------------------------------------


def backfill(h: Harness, run: str, at: datetime) -> Any:
    return h.run("incremental", run_id=run, run_type="backfill", requested_at=at)


@pytest.mark.sockets
def test_a_backfill_over_three_intervals_is_one_full_sync(three):
    at = datetime.now(UTC)
    first, second, third = (backfill(three, f"backfill__{n}", at) for n in range(3))
    assert first.report.mode == "full"
    assert first.writes == {"created_outlook": 6}
    for other in (second, third):
        assert other.report.profiles == []
        assert other.verdict.ok
        assert "backfill__0" in other.verdict.message
        assert other.report.lines() == [other.verdict.message]


def test_a_backfill_that_is_made_soon_after_another_is_a_full_sync_of_its_own(three):
    at = datetime.now(UTC)
    assert backfill(three, "backfill__0", at).report.skip_reason == ""
    assert backfill(three, "backfill__1", at + timedelta(seconds=12)).report.skip_reason == ""


@pytest.mark.sockets
def test_runs_of_a_backfill_that_are_planned_at_once_are_one_full_sync(three):
    at = datetime.now(UTC)
    plans: list[model.RunPlan] = []

    def plan(n: int) -> None:
        edges = three.open()
        plans.append(
            pipeline.plan_run(
                edges, RunRequest(f"backfill__{n}", "full", run_type="backfill", requested_at=at)
            )
        )
        edges.close()

    threads = [threading.Thread(target=plan, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(len(plan.tasks) for plan in plans) == [0, 0, 3]
    assert sum(plan.skip_reason is not None for plan in plans) == 2


def test_a_failed_full_sync_does_not_count_as_the_backfills(three):
    at = datetime.now(UTC)
    three.sim.add_fault(kind="status", status=403, service="bc", path="contacts", count=None)
    assert not backfill(three, "backfill__0", at).verdict.ok
    three.sim.clear_faults()
    assert backfill(three, "backfill__1", at).writes == {"created_outlook": 6}


def test_a_retried_full_run_stays_full(three):
    assert three.full(run_id="again").report.mode == "full"
    assert three.run("incremental", run_id="again").report.mode == "full"


def test_some_profiles_are_chosen_by_mailbox_or_number(three):
    ran = three.full(profiles=[BRAM.upper(), "3"])
    assert {p.mailbox for p in ran.report.profiles} == {BRAM, CATO}
    with pytest.raises(ConfigError, match=r"niemand@voorbeeld\.example.*contact-sync profiles list"):
        three.full(profiles=[ANNA, "niemand@voorbeeld.example"])


def test_each_profile_reads_on_from_its_own_mark(three):
    three.full()
    three.run()
    three.edit_item("Persoon 000", BRAM, jobTitle="van Bram")
    three.edit_item("Persoon 001", CATO, jobTitle="van Cato")
    ran = three.run()
    assert ran.errors == []
    assert [three.contacts()[name]["jobTitle"] for name in ("Persoon 000", "Persoon 001")] == [
        "van Bram",
        "van Cato",
    ]
    three.run()
    for box in (ANNA, BRAM, CATO):
        assert {item["jobTitle"] for item in three.items(box).values()} == {"van Bram", "van Cato"}


def test_above_a_number_of_profiles_a_task_takes_several(make_harness):
    h = make_harness(
        world(*people(2), mailboxes=[ANNA, BRAM, {"user_principal_name": CATO, "state": "policy_denied"}]),
        profiles_per_task_from=2,
    )
    h.add_profiles(CATO, ANNA, BRAM)
    plan = pipeline.plan_run(h.edges, RunRequest("look"))
    assert plan.tasks == ["1-2", "3"]
    ran = h.full()
    assert ran.profile(CATO).state == "failed"
    assert [ran.profile(box).state for box in (ANNA, BRAM)] == ["done", "done"], "isolated from each other"
    assert len(ran.errors) == 1
    seen: list[str] = []
    pipeline.plan_run(h.edges, RunRequest("names", profiles=[ANNA, BRAM, CATO]))
    pipeline.extract_business_central(h.edges, "names", "1")
    with pytest.raises(Exception, match="may not open"):
        pipeline.sync_profile(h.edges, "names", "1-2", seen.append)
    assert seen == [CATO, ANNA]


def test_a_third_scheduled_run_leaves_its_turn_to_those_at_work(three):
    """A long profile delays nobody else, and runs do not pile up behind it; a person's run always has its place."""
    three.full()
    ran = three.run(run_type="scheduled", others=2)
    assert (ran.report.skip_reason, ran.verdict.ok, ran.report.profiles) == (ran.verdict.message, True, [])
    assert "2 runs are still at work" in ran.report.skip_reason
    assert three.run(run_type="scheduled", others=1).report.skip_reason == ""
    assert three.run(run_type="manual", others=2).report.skip_reason == ""


def test_who_waits_long_for_another_profile_of_its_mailbox_is_left_alone(make_harness):
    h = make_harness(world(*people(2), mailboxes=[ANNA, BRAM]), transport="in_process")
    h.add_profiles(ANNA)
    h.add_profiles(ANNA, folder="Klanten")
    h.full()
    h.edit_contact("Persoon 000", jobTitle="Inkoper")
    other = acquire_lease(h.edges.engine, "mailbox:1", "another run", 10_000)
    assert other is not None
    ran = h.run()
    assert [(each.state, each.reason) for each in ran.report.profiles] == [("skipped", "busy")] * 2
    assert ran.verdict.ok
    release_lease(h.edges.engine, other)
    assert h.run().writes == {"updated_outlook": 2}


# -- verdict and report ----------------------------------------------------------------------------------------------


def profile(mailbox: str, state: str, reason: str = "") -> ProfileResult:
    return ProfileResult(1, mailbox, COMPANY, state, reason, "", {}, None)


@pytest.mark.parametrize(
    ("profiles", "companies", "tasks", "text"),
    [
        ([profile(ANNA, "done"), profile(BRAM, "held"), profile(CATO, "skipped", "busy")], [], {}, ""),
        ([profile(ANNA, "failed", "folder_taken")], [], {}, "folder_taken"),
        ([profile(ANNA, "planned")], [], {}, "no outcome"),
        ([profile(ANNA, "running")], [], {}, "no outcome"),
        ([profile(ANNA, "done")], [CompanyResult(1, COMPANY, "failed", "x", "")], {}, COMPANY),
        ([profile(ANNA, "done")], [CompanyResult(1, COMPANY, "planned", "", "")], {}, COMPANY),
        ([profile(ANNA, "done")], [], {"report": "failed"}, "report"),
        ([profile(ANNA, "done")], [], {"sync_profile": "upstream_failed"}, "sync_profile"),
    ],
)
def test_the_colour_of_a_run(profiles, companies, tasks, text):
    verdict = judge(companies, profiles, tasks)
    assert verdict.ok == (not text)
    assert text in verdict.message


@pytest.mark.parametrize("state", ["failed", "upstream_failed", ""])
def test_a_dead_plan_run_makes_the_run_red(three, state):
    verdict = pipeline.run_verdict(three.edges, "never planned", {"plan_run": state} if state else {})
    assert not verdict.ok
    assert "plan_run" in verdict.message
    assert not pipeline.run_verdict(three.edges, "never planned", {"plan_run": "success"}).ok


def test_a_planned_profile_without_an_outcome_makes_the_run_red(three):
    plan = pipeline.plan_run(three.edges, RunRequest("dies"))
    pipeline.extract_business_central(three.edges, "dies", plan.companies[0])
    for key in plan.tasks[:2]:
        pipeline.sync_profile(three.edges, "dies", key)
    report = pipeline.finish_run(three.edges, "dies")
    verdict = pipeline.run_verdict(three.edges, "dies", {"plan_run": "success", "sync_profile": "success"})
    assert (report.failures, verdict.ok) == (1, False)
    assert CATO in verdict.message


def test_the_report_is_a_table_with_reasons_and_ages(three):
    three.full()
    three.add_item(ANNA, displayName="Zonder Adres")
    three.edit_contact("Persoon 000", jobTitle="Inkoper")
    with three.edges.engine.begin() as conn:
        conn.execute(
            update(t.cursor).where(t.cursor.c.scope == "3").values(last_good_at="2020-01-01T00:00:00.000Z")
        )
        conn.execute(
            update(t.sync_profile)
            .where(t.sync_profile.c.id == 3)
            .values(graph_user_id="unknown", folder_id=None)
        )
    report = three.run().report
    lines = report.lines()
    assert lines[0] == "Run: incremental, 3 profiles, 1 failed"
    assert re.match(rf"{ANNA} +\| {COMPANY} +\| done +\| 3 +\| 0/1/0", lines[2])
    assert re.search(r"\| \d+ d ago$", lines[4])
    assert f"{ANNA}: not synced: 1 email_missing" in lines
    assert any(line.startswith(f"{CATO}: failed, ") and line.endswith(".") for line in lines)
    assert report.events["outlook_contacts"]["updated"] == 2
    assert report.events["business_central_contacts"] == {
        "run": report.run, "mode": "incremental", "created": 0, "updated": 0, "deleted": 0
    }  # fmt: skip


def test_ages():
    at = "2026-03-02T09:00:00.000Z"
    times = (
        "2026-03-02T08:59:30.000Z",
        "2026-03-02T08:15:00.000Z",
        "2026-03-01T10:00:00.000Z",
        "2026-02-20T09:00:00.000Z",
        None,
    )
    assert [age(each, at) for each in times] == ["just now", "45 min ago", "23 h ago", "10 d ago", "never"]


def test_a_skipped_run_reports_why_and_nothing_else():
    run = Run("r", "full", False, "backfill", "skipped", "Done by another.", "2026-03-02T09:00:00.000Z")
    assert make_report(run, [], [], run.started_at).lines() == ["Done by another."]


# -- one read of a company -------------------------------------------------------------------------------------------


@pytest.mark.sockets
@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_runs_that_overlap_read_a_company_once(three, mode):
    three.full()
    runs = ["one", "two"]
    plans = [pipeline.plan_run(three.edges, RunRequest(run, mode)) for run in runs]
    three.sim.reset_counters()
    delay = three.sim.add_fault(kind="delay", seconds=0.4, service="bc", path="contacts", count=1)

    def extract(run: str) -> None:
        edges = three.open()
        pipeline.extract_business_central(edges, run, plans[0].companies[0])
        edges.close()

    first = threading.Thread(target=extract, args=(runs[0],))
    first.start()
    while not delay.fired:
        time.sleep(0.005)
    extract(runs[1])
    first.join(30)
    alone = 1 if mode == "full" else 2  # an incremental read and its id scan
    contacts = three.sim.control("GET", "requests?path=contacts")["requests"]
    assert sum("/contacts?" in str(request) for request in contacts[-10:]) >= alone
    assert delay.matched == alone
    with read(three.edges.engine) as conn:
        states = dict(conn.execute(select(t.run_company.c.run, t.run_company.c.state)).all())
    assert [states[run] for run in runs] == ["done", "done"]


# -- logs ------------------------------------------------------------------------------------------------------------

PLANTED = {
    "displayName": "Zonnebloem Geheim",
    "email": "geheim@zonnebloem.example",
    "phoneNumber": "020 777 1234",
    "addressLine1": "Geheimpad 77",
    "jobTitle": "Geheimhouder",
}


def test_logs_of_whole_runs_hold_no_value_of_a_contact_and_no_token(make_harness, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sandbox").setLevel(logging.ERROR)
    h = make_harness(world({"type": "Person", **PLANTED}, *people(2)), retry_cap=0.0, longest_request=0.0)
    h.add_profiles()
    h.full()
    mark = {"mobilePhone": "06 777 5678", "companyName": "Geheim BV"}
    h.edit_item("Zonnebloem Geheim", jobTitle="Geheimste " * 10, **mark)
    h.edit_contact("Zonnebloem Geheim", addressLine1="Geheimpad 78")
    h.add_item(
        displayName="Geheim Twee", emailAddresses=[{"address": "geheim@zonnebloem.example", "name": "Geheim"}]
    )
    h.add_item(
        displayName="Geheim Drie",
        emailAddresses=[{"address": "geheim3@zonnebloem.example", "name": "Geheim"}],
    )
    h.sim.add_fault(name="F4", service="bc", count=2)
    h.sim.add_fault(name="F14", service="bc", nth=3)
    h.sim.add_fault(name="F5", service="graph", method="POST", nth=2)
    for mode in ("incremental", "incremental", "full"):
        ran = h.run(mode)
        caplog.records.append(logging.makeLogRecord({"msg": "\n".join(ran.report.lines()), "name": "report"}))
    h.delete_item("Zonnebloem Geheim")
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": "policy_denied"})
    ran = h.run()
    text = "\n".join(
        f"{r.name} {r.getMessage()} {r.exc_text or ''}"
        for r in caplog.records
        if not r.name.startswith("sandbox")
    )
    text += "\n".join(map(str, ran.errors)) + "\n".join(ran.report.lines())
    assert "report" in text
    for planted in (
        "geheim",
        "zonnebloem",
        "777 1234",
        "777 5678",
        h.sim.info()["client_secret"],
        h.sim.token("graph")[-20:],
        "Bearer ey",
    ):
        found = [line for line in text.splitlines() if planted.lower() in line.lower()]
        assert not found, f"{planted!r} is in the log: {found[0]}"
