"""Why runs fail: what all profiles share, and what is one mailbox's own (rules 8.8)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from sync_lib import model, pipeline
from sync_lib.errors import AuthError, ConfigError
from sync_lib.operate import notify
from sync_lib.settings import StagingSettings
from sync_lib.store import causes, clock
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import COMPANY, Harness, Ran, person, world

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
TASKS = {"plan_run": "success", "sync_profile_0": "failed", "sync_profile_1": "success"}


@pytest.fixture
def h(make_harness) -> Harness:
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA, BRAM]))
    h.add_profiles(ANNA, BRAM)
    h.full()
    return h


def expire_secret(h: Harness) -> None:
    """Entra ID takes another secret from now on, and the task that starts next has no token yet."""
    h.close()
    h.edges = h.open()
    h.sim.control("POST", "entra/app", {"client_secret": "another"})


def trouble(h: Harness) -> causes.Trouble | None:
    with read(h.edges.engine) as conn:
        return causes.read_trouble(conn)


def close_mailbox(h: Harness, mailbox: str = ANNA) -> None:
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=mailbox, count=None)


def add_others(h: Harness, count: int) -> None:
    """Profiles of colleagues that no run of these tests is asked for."""
    with h.edges.engine.begin() as conn:
        for n in range(count):
            row = {"mailbox": f"collega{n}@voorbeeld.example", "company_name": COMPANY, "created_at": "2026"}
            conn.execute(insert(t.sync_profile).values(updated_at="2026", **row))


def age(h: Harness, column: Any, hours: float) -> None:
    """Let a time of the causes lie further back, as the database counts."""
    with h.edges.engine.begin() as conn:
        conn.execute(update(t.profile_cause).values({column: clock.moment(conn, -hours * 3600)}))


def two(h: Harness, mode: str = "incremental") -> Ran:
    return h.run(mode, profiles=[ANNA, BRAM])


def verdict(h: Harness, ran: Ran) -> Any:
    return pipeline.run_verdict(h.edges, ran.report.run, TASKS)


def heard(h: Harness, ran: Ran) -> list[str]:
    news = notify.read_news(h.edges, ran.report.run, ran.verdict, repeated=False)
    return (
        [f"{item.reason}: {', '.join(item.names)}" for part in news.parts for item in part.items]
        if news
        else []
    )


# -- what all share --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["graph", "bc"])
def test_a_cause_that_all_share_is_reported_once_with_when_it_began(h, service):
    """P2: whichever service refuses the app, one run is enough to know it; a run that works ends it."""
    assert trouble(h) is None
    h.sim.add_fault(kind="status", status=401, service=service, count=None)
    first = h.run()
    found = trouble(h)
    assert found
    assert (found.reason, found.run) == ("AuthError", first.report.run)
    assert not first.verdict.ok
    h.run()
    again = trouble(h)
    assert again
    assert again.since == found.since
    assert again.run != found.run
    h.sim.clear_faults()
    assert h.run().verdict.ok
    assert trouble(h) is None


def test_a_run_that_cannot_be_planned_leaves_its_cause(h):
    """P2: the run's row comes first, so that a refused app is on record where even planning fails."""
    h.add_profiles("nieuw@voorbeeld.example")
    with h.edges.engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(company=None))
    expire_secret(h)
    request = model.RunRequest("scheduled__1", run_type="scheduled")
    with pytest.raises(AuthError):
        pipeline.plan_run(h.edges, request)
    found = trouble(h)
    assert found
    assert found.reason == "AuthError"
    assert "Check the client secret" in found.message
    assert pipeline.finish_run(h.edges, "scheduled__1").failures == 0
    assert trouble(h) == found, "the report does not call it a success"
    outcome = pipeline.run_verdict(h.edges, "scheduled__1", {"plan_run": "failed"})
    assert "Check the client secret" in outcome.message
    h.close()
    h.edges = h.open()
    assert h.run(run_id="scheduled__1").report.run == "scheduled__1", "a cleared run goes on"
    assert trouble(h) is None


def test_a_run_that_asks_for_nobody_says_nothing_about_the_others(h):
    """P2: a mistyped mailbox in one run by hand is no trouble of all, and ends none."""
    with pytest.raises(ConfigError, match="No enabled profile"):
        h.run(profiles=["nobody@voorbeeld.example"])
    assert trouble(h) is None
    h.sim.add_fault(kind="status", status=401, service="graph", count=None)
    h.run()
    before = trouble(h)
    with pytest.raises(ConfigError, match="No enabled profile"):
        h.run(profiles=["nobody@voorbeeld.example"])
    assert trouble(h) == before


def test_a_missing_connection_is_on_record(h):
    """P2: without the services' Connections there are no edges to plan with, but there is the database."""
    error = ConfigError("Airflow has no Connection 'microsoft_graph_default'.")
    request = model.RunRequest("scheduled__2", run_type="scheduled")
    pipeline.fail_plan(StagingSettings(h.database), request, error)
    found = trouble(h)
    assert found
    assert (found.reason, found.message) == ("ConfigError", str(error))


def test_one_profile_of_many_is_no_trouble_of_all(h):
    """P2: what is wrong with one mailbox stays with it."""
    close_mailbox(h)
    h.run()
    assert trouble(h) is None


# -- what is one mailbox's own ---------------------------------------------------------------------------------------


def test_one_mailbox_that_is_closed_for_good_makes_no_run_red_for_ever(h):
    """O11: after a day, by the database's clock, while fewer than one in twenty have it."""
    add_others(h, 19)
    close_mailbox(h)
    assert not verdict(h, two(h)).ok, "in the first day it is news"
    age(h, "since", 23)
    assert not verdict(h, two(h)).ok
    age(h, "since", 25)
    ran = two(h)
    outcome = verdict(h, ran)
    assert outcome.ok
    (line,) = outcome.lines
    assert line.startswith(f"{ANNA}: known since ")
    assert "mailbox_access_denied" in line
    assert ran.report.failures == 0
    with read(h.edges.engine) as conn:
        assert conn.scalar(select(t.sync_run.c.state).where(t.sync_run.c.id == ran.report.run)) == "success"


def test_a_cause_that_one_in_twenty_have_stays_red(h):
    """O11: so many mailboxes are no mailbox's own matter any more; of few profiles one is too many already."""
    add_others(h, 18)
    close_mailbox(h)
    two(h)
    age(h, "since", 100)
    assert not verdict(h, two(h)).ok, "one of twenty"
    add_others_of = [f"nog{n}@voorbeeld.example" for n in range(2)]
    with h.edges.engine.begin() as conn:
        for mailbox in add_others_of:
            row = {"mailbox": mailbox, "company_name": COMPANY, "created_at": "2026", "updated_at": "2026"}
            conn.execute(insert(t.sync_profile).values(enabled=False, **row))
    assert not verdict(h, two(h)).ok, "who is switched off does not count"
    with h.edges.engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(enabled=True))
    assert verdict(h, two(h)).ok, "one of twenty-two"


def test_a_cause_that_all_share_is_never_known(h):
    """O11: a company, a Connection or a service stays red, however long it lasts."""
    add_others(h, 40)
    h.sim.add_fault(kind="status", status=401, service="graph", count=None)
    two(h)
    with read(h.edges.engine) as conn:
        assert conn.execute(select(t.profile_cause)).all() == []
    assert not two(h).verdict.ok


def test_another_task_that_died_is_red_beside_a_known_cause(h):
    """O11: only the mapped tasks of known mailboxes may have failed."""
    add_others(h, 30)
    close_mailbox(h)
    two(h)
    age(h, "since", 30)
    ran = two(h)
    for task in ("report", "sync_profile_1", "extract_business_central_0"):
        outcome = pipeline.run_verdict(h.edges, ran.report.run, {**TASKS, task: "failed"})
        assert not outcome.ok
        assert task in outcome.message


def test_a_mailbox_that_syncs_again_is_news_when_it_fails_anew(h):
    """O11: the day begins again; a run that found nothing out about the mailbox changes nothing."""
    add_others(h, 30)
    close_mailbox(h)
    two(h)
    age(h, "since", 30)
    h.sim.clear_faults()
    h.sim.add_fault(kind="status", status=503, service="graph", mailbox=ANNA, count=None)
    assert not verdict(h, two(h)).ok, "a service that is away is nobody's own cause"
    h.sim.clear_faults()
    close_mailbox(h)
    assert verdict(h, two(h)).ok
    h.sim.clear_faults()
    assert two(h).verdict.ok
    close_mailbox(h)
    assert not verdict(h, two(h)).ok


def test_a_known_cause_is_reported_once_a_day(h):
    """O11: also where full runs, which report all that is wrong, come more often or never."""
    add_others(h, 30)
    close_mailbox(h)
    said = f"mailbox_access_denied: {ANNA}"
    assert heard(h, two(h)) == [said]
    age(h, "since", 30)
    assert heard(h, two(h)) == []
    assert heard(h, two(h, "full")) == [], "reported today"
    age(h, "told_at", 25)
    assert heard(h, two(h)) == [said], "no night's full run is needed"
    assert heard(h, two(h)) == []
