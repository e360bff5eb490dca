"""The end of a run: its report, and its colour (rules 8.8)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection

from sync_lib.errors import ConfigError
from sync_lib.model import Mode, ProfileResult, Run
from sync_lib.run.plan import WRITES_OFF
from sync_lib.run.report import (
    GOOD_STATES,
    Arrived,
    RunReport,
    Verdict,
    judge,
    make_report,
    shared_cause,
)
from sync_lib.run.switched_off import remove_blocked
from sync_lib.services import Services
from sync_lib.store import causes, days, looking, runs
from sync_lib.store.claims import drop_done_claims
from sync_lib.store.engine import read, unbroken
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.snapshots.writing import drop_overlay


def finish(services: Services, run_id: str, interval: float | None = None) -> RunReport:
    """Write down the end of a run, and return its report (``pipeline.finish_run``)."""
    # The ends of a run have no second try in Airflow: people would get messages twice.
    return unbroken(lambda: _finish(services, run_id, interval))


def _finish(services: Services, run_id: str, interval: float | None) -> RunReport:
    with services.engine.begin() as conn:
        run = runs.read_run(conn, run_id)
        if run is None:
            raise ConfigError(f"Run {run_id} was never planned: see the log of its task plan_run.")
        companies_read = runs.read_company_results(conn, run_id)
        results = looking.read_outcomes(conn, run)
    if run.mode == Mode.FULL and not run.dry_run and results:
        remove_blocked(services, run_id)
    with services.engine.begin() as conn:
        report = make_report(run, companies_read, results, services.now(), _known(conn, services, results))
        # A run that could not be planned has its cause already.
        if run.state != "skipped" and (results or run.state != "failed"):
            shared = shared_cause(companies_read, results)
            values = {
                "state": "failed" if report.failures else "success",
                "reason": shared.reason if shared else "",
                "ended_at": services.now(),
                "counters": report.counters_json(),
            }
            runs.write_run(conn, run_id, values | ({"message": shared.message} if shared else {}))
        if run.dry_run or not services.may_write():
            drop_overlay(conn, run.id)
        elif run.state != "skipped":
            report = replace(report, arrived=_count(conn, services, run, report, interval))
        drop_done_claims(conn, run_id)
    return report


def _count(
    conn: Connection, services: Services, run: Run, report: RunReport, interval: float | None
) -> list[Arrived]:
    """Count the days of a run anew, and return how long edits took that it carried over."""
    if not report.profiles:
        return []
    is_over_all = set(profiles.read_enabled_ids(conn)) <= {result.profile for result in report.profiles}
    if is_over_all and not report.failures:
        runs.write_fact(conn, *runs.LAST_GOOD, run.id, services.now())
    if not days.count_run(conn, run.id, run.started_at):
        return []
    took = days.read_run_arrivals(conn, run.id, run.started_at)
    return [Arrived(name, seconds, interval) for name, seconds in sorted(took.items())]


def decide(services: Services, run_id: str, task_states: dict[str, str], planned_by: str) -> Verdict:
    """Decide the colour of a run (``pipeline.run_verdict``)."""
    return unbroken(lambda: _decide(services, run_id, task_states, planned_by))


def _decide(services: Services, run_id: str, task_states: dict[str, str], planned_by: str) -> Verdict:
    with read(services.engine) as conn:
        run = runs.read_run(conn, run_id)
        if task_states.get(planned_by) not in ("success", "skipped"):
            why = (run.message if run else "") or "See its log."
            reason = causes.read_reason(conn, run_id) or "plan_failed"
            return Verdict(False, f"{planned_by} failed: nothing was synced. {why}", reason=reason)
        if run is None:
            return Verdict(False, f"{planned_by} left no plan: clear it.", reason="plan_failed")
        if run.state == "skipped":
            return Verdict(True, run.message)
        read_companies = runs.read_company_results(conn, run_id)
        results = looking.read_outcomes(conn, run)
        if run.finds_work and run.found_at is None and task_states.get("find_work", "success") != "success":
            said = "find_work failed: nobody knows who has work. See its log, and clear it."
            return Verdict(False, said, reason="find_work_failed")
        known = _known(conn, services, results)
        tasks = _known_tasks(conn, run_id, results, known)
    verdict = judge(read_companies, results, task_states, known, tasks)
    said = run.message if run.message == WRITES_OFF else ""
    return replace(verdict, message=f"{verdict.message} {said}".strip())


def _known(conn: Connection, services: Services, results: list[ProfileResult]) -> dict[int, str]:
    """The profiles of a run that failed for a known cause of their own, and since when (rules 8.8)."""
    settings = services.settings
    found = causes.read_causes(conn, settings.known_after_hours * 3600, settings.known_percent)
    failed = {(result.profile, result.reason) for result in results if result.state == "failed"}
    return {key: cause.since for key, cause in found.items() if cause.known and (key, cause.reason) in failed}


def _known_tasks(
    conn: Connection, run_id: str, results: list[ProfileResult], known: Collection[int]
) -> set[str]:
    """The mapped tasks that failed for nothing but known causes, as Airflow names them."""
    bad = {result.profile for result in results if result.state not in GOOD_STATES}
    found = set()
    for index, (_, members) in (runs.read_mapped(conn, run_id) if known else {}).items():
        failed = bad & set(members)
        if failed and failed <= set(known):
            found.add(f"sync_profile_{index}")
    return found
