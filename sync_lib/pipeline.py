"""The table of contents: what each task of a run does, from the plan of the run to its verdict.

    plan_run -> extract_business_central (per company) -> find_work -> sync_profile (per profile with work)
        -> finish_run -> run_verdict

Every function can be run again at any time: staging replaces by key, and a plan goes by what both sides hold now.
Beside the run's tasks there is that of the self-test, and what *Test connection* asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from sync_lib.errors import SyncError
from sync_lib.model import ProfileResult, RunPlan, RunRequest
from sync_lib.operate import checks
from sync_lib.operate.checks import Check
from sync_lib.run import company as company_run
from sync_lib.run import find_work as finding
from sync_lib.run import finish, plan, profile
from sync_lib.run.report import RunReport, Verdict
from sync_lib.services import Services
from sync_lib.settings import BusinessCentralSettings, GraphSettings, StagingSettings, SyncSettings


@contextmanager
def open_edges(
    business_central: BusinessCentralSettings,
    graph: GraphSettings,
    staging: StagingSettings,
    settings: SyncSettings,
    read_switch: Callable[[], bool] | None = None,
) -> Iterator[Services]:
    """Yield the edges of a task, and close them behind it."""
    edges = Services(business_central, graph, staging, settings, read_switch=read_switch)
    try:
        yield edges
    finally:
        edges.close()


def plan_run(edges: Services, request: RunRequest) -> RunPlan:
    """Decide mode, companies and profiles of a run, and write them down; bring the schema up to date first.

    The run's row is written before anything that may fail, so that the pages can say why nothing syncs.

    Args:
        edges: The services and the staging database.
        request: What the run was asked to do.

    Raises:
        ConfigError: A profile that was asked for does not exist, or there is none at all.
    """
    return plan.plan_run(edges, request)


def fail_plan(staging: StagingSettings, request: RunRequest, error: SyncError) -> None:
    """Write down a run that cannot even be planned, since a Connection is missing or incomplete."""
    plan.fail_plan(staging, request, error)


def extract_business_central(
    edges: Services, run_id: str, company: str, on_company: Callable[[str], None] | None = None
) -> dict[str, int]:
    """Read one company into staging, once for all profiles of the run (rules 5).

    Args:
        edges: The services and the staging database.
        run_id: DAG run id.
        company: Key of the company.
        on_company: Called with its name before it is read.

    Raises:
        SyncError: The company could not be read; its profiles fail, others do not.
    """
    return company_run.read_company(edges, run_id, int(company), on_company)


def find_work(edges: Services, run_id: str, *, last_try: bool = True) -> list[str]:
    """Decide which profiles have work, and return what the mapped tasks are mapped over (``run.find_work``).

    Args:
        edges: The services and the staging database.
        run_id: DAG run id.
        last_try: Nobody tries again: where deciding itself fails, all profiles are mapped.

    Raises:
        SyncError: What keeps all profiles from syncing, found once; each of them has it as its outcome.
    """
    return finding.find_work(edges, run_id, last_try=last_try)


def sync_profile(
    edges: Services, run_id: str, task_key: str, on_mailbox: Callable[[str], None] | None = None
) -> list[ProfileResult]:
    """Sync the profiles of one mapped task, isolated from each other.

    Args:
        edges: The services and the staging database.
        run_id: DAG run id.
        task_key: What the task is mapped over: a profile id, or the name of a chunk.
        on_mailbox: Called with each mailbox before it is worked on.

    Raises:
        SyncError: A profile failed; with several, the others were worked on first.
    """
    return profile.sync_profiles(edges, run_id, task_key, on_mailbox)


def finish_run(edges: Services, run_id: str, interval: float | None = None) -> RunReport:
    """Write down the end of a run, and return its report.

    Args:
        edges: The services and the staging database.
        run_id: DAG run id.
        interval: Seconds between two runs of the schedule: the report says how many edits arrived within it.
    """
    return finish.finish(edges, run_id, interval)


def run_verdict(
    edges: Services, run_id: str, task_states: dict[str, str], *, planned_by: str = "plan_run"
) -> Verdict:
    """Decide the run's colour: red when its planning, a company or a profile failed, or one has no outcome.

    Args:
        edges: The services and the staging database.
        run_id: DAG run id.
        task_states: State of each task instance of the run.
        planned_by: Task that plans the run; skipped where there was nothing to plan.
    """
    return finish.decide(edges, run_id, task_states, planned_by)


def check_connections(edges: Services, wanted: Collection[str] = (), run: str = "") -> list[Check]:
    """Check every connection, and profiles (rules S6); write down for each profile what was found, for its page.

    Args:
        edges: The services and the staging database.
        wanted: Mailboxes or profile ids, enabled or not; empty for all that are enabled.
        run: The run that checks.

    Raises:
        ConfigError: A profile that was asked for does not exist.
    """
    return checks.check_connections(edges, wanted, run)


def check_business_central(settings: BusinessCentralSettings) -> str:
    """Return how many companies the app sees.

    Raises:
        SyncError: The settings are wrong, or BC refuses the app.
    """
    return checks.check_business_central(settings)


def check_graph(settings: GraphSettings) -> str:
    """Return which permissions the app's token carries.

    Raises:
        SyncError: The settings are wrong, or a permission is missing.
    """
    return checks.check_graph(settings)


def check_staging(settings: StagingSettings) -> str:
    """Return which database answers.

    Raises:
        SyncError: The URL is wrong, or nobody answers.
    """
    return checks.check_staging(settings)
