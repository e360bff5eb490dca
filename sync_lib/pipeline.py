"""The table of contents: what each task of a run does, from the plan of the run to its verdict.

    plan_run -> extract_business_central (per company) -> sync_profile (per profile) -> finish_run -> run_verdict

Every function can be run again at any time: staging replaces by key, and a plan goes by what both sides hold now.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from sqlalchemy import Connection, Engine

from sync_lib import bindings, extract, profile_sync, switched_off
from sync_lib.checks import Check, check_business_central, check_connections, check_graph, check_staging
from sync_lib.clients.auth import TokenSource, fetch_tenant_id
from sync_lib.clients.business_central import BusinessCentralClient
from sync_lib.clients.listing import Listing
from sync_lib.clients.outlook import OutlookClient
from sync_lib.clients.rest import ApiSession, Transport
from sync_lib.errors import (
    AccessDeniedError,
    AuthError,
    ConfigError,
    RecordError,
    RequestError,
    SyncError,
    TransientError,
    reason_of,
)
from sync_lib.fields.mapping import COUNTRIES_NOT_READ
from sync_lib.logs import phase
from sync_lib.model import Mode, ProfileResult, Run
from sync_lib.moments import shift, to_text
from sync_lib.ports import CHANCE, SYSTEM, Chance, Clock, draw_id
from sync_lib.report import GOOD_STATES, RunReport, Verdict, judge, make_report, shared_cause
from sync_lib.settings import BusinessCentralSettings, GraphSettings, StagingSettings, SyncSettings
from sync_lib.store import causes, clock, companies, holds, locks, profiles, runs, snapshots
from sync_lib.store.companies import CompanyRow
from sync_lib.store.engine import open_engine, read, unbroken
from sync_lib.store.migrate import migrate
from sync_lib.store.profiles import Profile

__all__ = [
    "Check",
    "Edges",
    "RunPlan",
    "RunRequest",
    "check_business_central",
    "check_connections",
    "check_graph",
    "check_staging",
    "extract_business_central",
    "fail_plan",
    "finish_run",
    "open_edges",
    "plan_run",
    "run_verdict",
    "sync_profile",
]

logger = logging.getLogger(__name__)

#: Seconds. A backfill makes its runs one after the other, some 14 ms each; the first may have started when the last
#: one is made. A second backfill is not made that soon after the first one's full sync began.
BACKFILL_SPREAD = 5.0
COMPANY_WAIT = 5.0
#: Said of a run that plans only, whatever it was asked for (rules 8.8c).
WRITES_OFF = "Writes are off (CONTACT_SYNC_WRITES): this run plans only."


# -- edges -----------------------------------------------------------------------------------------------------------


@dataclass
class Edges:
    """The two services and the staging database, opened when they are first used."""

    business_central_settings: BusinessCentralSettings
    graph_settings: GraphSettings
    staging_settings: StagingSettings
    settings: SyncSettings
    worker: str = ""
    clock: Clock = SYSTEM
    chance: Chance = CHANCE
    #: Makes what carries the requests of each session; without it, sockets.
    transport: Transport | None = None
    #: Tells the time of the staging database in seconds since 1970; without it, that database does.
    staging_time: Callable[[], float] | None = None
    #: Reads the switch for writes again; without it the settings' own holds for as long as the edges live.
    read_switch: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        self.worker = self.worker or draw_id(self.chance)

    @cached_property
    def engine(self) -> Engine:
        """The staging database."""
        url, wait = self.staging_settings.url, self.settings.database_wait
        engine = open_engine(url, wait=wait, sleep=self.clock.sleep)
        if self.staging_time is not None:
            clock.set_source(engine, self.staging_time)
        return engine

    @cached_property
    def outlook(self) -> OutlookClient:
        """Microsoft Graph."""
        tokens = TokenSource(self.graph_settings, transport=self.transport)
        session = ApiSession(self.graph_settings.root, tokens, **self._session_options())
        return OutlookClient(
            session,
            window_operations=self.settings.graph_window_operations,
            window=self.settings.graph_window,
            clock=self.clock.monotonic,
            sleep=self.clock.sleep,
        )

    @cached_property
    def business_central(self) -> BusinessCentralClient:
        """Business Central, within the budget that all workers share."""
        bc, settings = self.business_central_settings, self.settings
        budget = locks.BcBudget(
            self.engine,
            f"{bc.tenant_id}/{bc.client_id}",
            concurrency=settings.bc_concurrency,
            window_requests=settings.bc_window_requests,
            window=settings.bc_window,
            slot_seconds=settings.longest_request,
            sleep=self.clock.sleep,
            jitter=self.chance.random,
        )
        tokens = TokenSource(bc, transport=self.transport)
        session = ApiSession(bc.root, tokens, gate=budget, **self._session_options())
        return BusinessCentralClient(session, bc)

    def may_write(self) -> bool:
        """Whether anything may be written to either service now (rules 8.8c)."""
        return self.read_switch() if self.read_switch else self.settings.writes

    @cached_property
    def tenant_id(self) -> str:
        """Id of Business Central's tenant, which the Connection may write as a domain name."""
        settings = self.business_central_settings
        return fetch_tenant_id(settings, settings.tenant_id, transport=self.transport)

    def is_own_tenant(self, tenant: str) -> bool:
        """Whether an id or a domain name is that of Business Central's tenant."""
        settings = self.business_central_settings
        if tenant.casefold() == settings.tenant_id.casefold():
            return True
        return fetch_tenant_id(settings, tenant, transport=self.transport) == self.tenant_id

    def _session_options(self) -> dict[str, Any]:
        return {
            "may_write": self.may_write,
            "timeout": self.settings.request_timeout,
            "retry_cap": self.settings.retry_cap,
            "transport": self.transport,
            "clock": self.clock.monotonic,
            "sleep": self.clock.sleep,
            "jitter": self.chance.random,
            "new_id": partial(draw_id, self.chance),
        }

    def now(self) -> str:
        """Return the time as the staging database writes it; for records only, never to select what is read."""
        return to_text(self.clock.now())

    def close(self) -> None:
        """Give the connections back."""
        if "engine" in self.__dict__:
            self.engine.dispose()


@contextmanager
def open_edges(
    business_central: BusinessCentralSettings,
    graph: GraphSettings,
    staging: StagingSettings,
    settings: SyncSettings,
    read_switch: Callable[[], bool] | None = None,
) -> Iterator[Edges]:
    """Yield the edges of a task, and close them behind it."""
    edges = Edges(business_central, graph, staging, settings, read_switch=read_switch)
    try:
        yield edges
    finally:
        edges.close()


# -- plan_run --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a DAG run was asked to do.

    Attributes:
        run_id: DAG run id.
        mode: ``incremental`` or ``full``.
        profiles: Mailboxes or profile ids; empty for all that are enabled.
        dry_run: Plan only.
        run_type: ``manual``, ``scheduled``, ``backfill``, ``asset_triggered``.
        run_after: The run's own time; a manual run has no logical date.
        requested_at: When the run was made; for a backfill a few milliseconds after the backfill itself.
        full_slot: The last slot of the full schedule; who has not been read in full since is, in this run (rules 5).
    """

    run_id: str
    mode: str = Mode.INCREMENTAL
    profiles: list[str] = field(default_factory=list)
    dry_run: bool = False
    run_type: str = "manual"
    run_after: datetime | None = None
    requested_at: datetime | None = None
    full_slot: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What the tasks behind ``plan_run`` are mapped over; both empty with a reason where the run has nothing to do."""

    companies: list[str]
    tasks: list[str]
    skip_reason: str | None = None


def plan_run(edges: Edges, request: RunRequest) -> RunPlan:
    """Decide mode, companies and profiles of a run, and write them down; bring the schema up to date first.

    The run's row is written before anything that may fail, so that the pages can say why nothing syncs.

    Raises:
        ConfigError: A profile that was asked for does not exist, or there is none at all.
    """
    migrate(edges.engine)
    _begin_run(edges.engine, request, edges.now(), dry_run=request.dry_run or not edges.may_write())
    try:
        return _plan(edges, request)
    except SyncError as error:
        _fail_run(edges.engine, request.run_id, error, edges.now())
        raise


def fail_plan(staging: StagingSettings, request: RunRequest, error: SyncError) -> None:
    """Write down a run that cannot even be planned, since a Connection is missing or incomplete."""
    engine = open_engine(staging.url)
    try:
        migrate(engine)
        now = to_text(datetime.now(UTC))
        _begin_run(engine, request, now, dry_run=request.dry_run)
        _fail_run(engine, request.run_id, error, now)
    finally:
        engine.dispose()


def _begin_run(engine: Engine, request: RunRequest, now: str, *, dry_run: bool) -> None:
    with engine.begin() as conn:
        runs.lock_runs(conn)
        known = runs.read_run(conn, request.run_id)
        is_full = request.run_type == "backfill" or bool(known and known.mode == Mode.FULL)
        values = {
            "mode": Mode.FULL if is_full else Mode(request.mode),
            "dry_run": dry_run,
            "run_type": request.run_type,
            "state": "running",
            "reason": "",
            "message": "",
            "started_at": now,
            "ended_at": None,
            "full_slot": to_text(request.full_slot.astimezone(UTC)) if request.full_slot else None,
        }
        runs.write_run(conn, request.run_id, values)


def _fail_run(engine: Engine, run_id: str, error: SyncError, now: str) -> None:
    reason = causes.REFUSED if isinstance(error, RequestError) else reason_of(error)
    with engine.begin() as conn:
        values = {"state": "failed", "reason": reason, "message": str(error), "ended_at": now}
        runs.write_run(conn, run_id, values)


def _plan(edges: Edges, request: RunRequest) -> RunPlan:
    chosen = _choose(edges, request)
    chosen = _resolve_companies(edges, chosen)
    digest = hashlib.sha256(repr(sorted(profile.id for profile in chosen)).encode()).hexdigest()
    with edges.engine.begin() as conn:
        runs.lock_runs(conn)
        other = _done_by(conn, request, digest)
        state = "skipped" if other else "running"
        message = other or ("" if edges.may_write() else WRITES_OFF)
        runs.write_run(conn, request.run_id, {"state": state, "message": message, "profiles_digest": digest})
        if other:
            logger.info("%s", other)
            return RunPlan([], [], other)
        used = sorted({profile.company for profile in chosen if profile.company})
        chunks = _chunks(chosen, edges.settings.profiles_per_task_from)
        runs.plan_run_rows(conn, request.run_id, used, chunks)
    logger.info("planned a run over %d profiles of %d companies", len(chosen), len(used))
    if not edges.may_write():
        logger.warning("%s", WRITES_OFF)
    return RunPlan([str(company) for company in used], sorted(set(chunks.values()), key=_map_order))


def _map_order(chunk: str) -> tuple[int, str]:
    return (len(chunk), chunk)


def _choose(edges: Edges, request: RunRequest) -> list[Profile]:
    with read(edges.engine) as conn:
        enabled = profiles.read_profiles(conn)
    if not request.profiles:
        if not enabled:
            raise ConfigError("There is no enabled profile. Import some: contact-sync profiles import FILE.")
        return enabled
    wanted = {name.strip().casefold() for name in request.profiles}
    chosen = [p for p in enabled if p.mailbox.casefold() in wanted or str(p.id) in wanted]
    unknown = wanted - {p.mailbox.casefold() for p in chosen} - {str(p.id) for p in chosen}
    if unknown:
        raise RequestError(
            f"No enabled profile has the mailbox {', '.join(sorted(unknown))}. "
            "List them: contact-sync profiles list."
        )
    return chosen


def _done_by(conn: Any, request: RunRequest, digest: str) -> str | None:
    """Say which run did a backfill's full sync already, or None (a backfill is one full sync, once)."""
    if request.run_type != "backfill" or request.requested_at is None:
        return None
    since = to_text(request.requested_at)
    other = runs.find_full_sync(conn, request.run_id, digest, since, shift(since, -BACKFILL_SPREAD))
    return f"The full sync of this backfill is done by run {other}." if other else None


def _resolve_companies(edges: Edges, chosen: list[Profile]) -> list[Profile]:
    """Bind profiles to their companies; one whose company BC does not list keeps none, and fails in its own task."""
    if all(profile.company for profile in chosen):
        return chosen
    listed = bindings.list_companies(edges)
    with edges.engine.begin() as conn:
        runs.lock_runs(conn)
        for profile in chosen:
            company = companies.find_listed(conn, listed, profile.company_name)
            if profile.company is None and company is not None:
                bindings.bind_company(conn, edges, profile.id, company)
        return [profiles.read_profile(conn, profile.id) for profile in chosen]


def _chunks(chosen: list[Profile], limit: int) -> dict[int, str]:
    """Profile id -> key of the mapped task: one profile a task, several above the limit."""
    if len(chosen) <= limit:
        return {profile.id: str(profile.id) for profile in chosen}
    size = -(-len(chosen) // limit)
    return {profile.id: f"c{n // size + 1}" for n, profile in enumerate(chosen)}


# -- extract_business_central ----------------------------------------------------------------------------------------


def extract_business_central(
    edges: Edges, run_id: str, company: str, on_company: Callable[[str], None] | None = None
) -> dict[str, int]:
    """Read one company into staging, once for all profiles of the run (rules 5).

    Raises:
        SyncError: The company could not be read; its profiles fail, others do not.
    """
    key = int(company)
    run, row = _run_and_company(edges, run_id, key)
    if on_company:
        on_company(row.name)
    with read(edges.engine) as conn:
        before = runs.read_cursor(conn, "business_central", key)
    try:
        bindings.check_environment(edges, row)
        with _company_lease(edges, key):
            counters, unread = _read_company(edges, run, row, before)
    except _CompanyHeldError as error:
        counters = {"count": error.count}
        told = {"reason": error.reason, "message": str(error), "counters": counters}
        _end_company(edges, run_id, key, "held", **told)
        return counters
    except SyncError as error:
        _end_company(edges, run_id, key, "failed", reason=reason_of(error), message=str(error))
        raise
    told = {"reason": COUNTRIES_NOT_READ, "message": unread} if unread else {}
    _end_company(edges, run_id, key, "done", counters=counters, **told)
    return counters


_DROPPED = (
    "Business Central lists only {} contacts, less than half of what was accepted before. "
    "Nothing of this company is synced until a person accepts the new count."
)


class _CompanyHeldError(SyncError):
    """A stop rule holds the company (rules 8.3); this is no failure."""

    def __init__(self, reason: str, count: int) -> None:
        super().__init__(_DROPPED.format(count))
        self.reason = reason
        self.count = count


def _run_and_company(edges: Edges, run_id: str, key: int) -> tuple[Run, CompanyRow]:
    with edges.engine.begin() as conn:
        run = runs.read_run(conn, run_id)
        if run is None:
            raise ConfigError(f"Run {run_id} was never planned: clear its task plan_run.")
        row = companies.read_company(conn, key)
        runs.write_company_state(conn, run_id, key, state="running", started_at=edges.now())
    return run, row


@contextmanager
def _company_lease(edges: Edges, company: int) -> Iterator[locks.Lease]:
    """Wait for the company's lease: of two runs that read one company, the second uses the first one's snapshot."""
    lease = None
    while lease is None:
        lease = locks.acquire_lease(edges.engine, f"company:{company}", edges.worker, edges.settings.lease)
        if lease is None:
            logger.info("another run reads this company: waiting")
            edges.clock.sleep(COMPANY_WAIT)
    with locks.LeaseKeeper(edges.engine, lease, edges.settings.lease, clock=edges.clock):
        try:
            yield lease
        finally:
            locks.release_lease(edges.engine, lease)


def _read_company(edges: Edges, run: Run, row: CompanyRow, before: runs.Cursor) -> tuple[dict[str, int], str]:
    """Return counts, and what to say of countries that could not be read, or ""."""
    with read(edges.engine) as conn:
        began = clock.now(conn)
        cursor = runs.read_cursor(conn, "business_central", row.id)
        known = snapshots.known_bc(conn, row.id, overlay=run.overlay)
        is_held = holds.read_company_hold(conn, row.id) is not None
    if not run.dry_run and _was_read(before, cursor, run):
        logger.info("another run read this company while this one waited: using its snapshot")
        return {"count": len(known)}, "" if row.countries_read else _COUNTRIES_WAIT
    context = profile_sync.company_context(row, edges.business_central_settings.field_profile)
    cursor = cursor if cursor.version == context.version else runs.Cursor()
    plan = _plan_read(edges, run, row, cursor, len(known))
    # A count that waits for a person holds incremental runs too: only a complete read can show that it was a fault.
    plan = replace(plan, full=plan.full or is_held)
    if plan.full and not run.dry_run:
        row = bindings.follow_company(edges, row)
    unread = ""
    with phase("Read Business Central", full=plan.full):
        if plan.full or not row.country_names:
            row, unread = _read_countries(edges, row)
        found = extract.fetch_company(edges.business_central, row.company_id, known, cursor, plan)
    if found.dropped:
        raise _CompanyHeldError(_offer_count(edges, run, row.id, found.count or 0), found.count or 0)
    with phase("Stage Business Central"):
        _stage_company(edges, run, row, found, began)
    counters = {"read": len(found.contacts), "gone": len(found.gone), "count": found.count or len(known)}
    return counters, unread


def _plan_read(edges: Edges, run: Run, row: CompanyRow, cursor: runs.Cursor, known: int) -> extract.ReadPlan:
    with read(edges.engine) as conn:
        now = clock.now(conn)
        scan_rows = companies.read_page_size(conn, row.id, "scan")
    state = extract.State(known, row.accepted_count, scan_rows, now)
    plan = extract.plan_read(run, cursor, state, edges.settings)
    if plan.full and extract.is_full_due(cursor, run, now):
        logger.info("a slot of the full schedule has passed since this company was read in full")
        with edges.engine.begin() as conn:
            runs.begin_full(conn, "business_central", row.id, now)

    def listing(kind: str) -> Listing:
        def remember(rows: int) -> None:
            with edges.engine.begin() as conn:
                companies.write_page_size(conn, row.id, kind, rows, edges.now())

        with read(edges.engine) as conn:
            return Listing(companies.read_page_size(conn, row.id, kind), remember)

    def staged(ids: list[str]) -> dict[str, tuple[str, ...]]:
        with read(edges.engine) as conn:
            return snapshots.read_bc_texts(conn, row.id, ids, overlay=run.overlay)

    return replace(plan, listing=listing, staged=staged)


_MAY_READ = "Give the app Read on table 9, Country/Region."
_COUNTRIES_WAIT = f"Countries wait, all else syncs. {_MAY_READ}"
_COUNTRIES_SERVE = f"Its countries could not be read; those that were read before go on to serve. {_MAY_READ}"


def _read_countries(edges: Edges, row: CompanyRow) -> tuple[CompanyRow, str]:
    """Read BC's table of countries; without the right to it all but the country of a contact syncs (rules 5).

    Returns the company, and what to say where the table could not be read, else "".
    """
    countries: dict[str, str] | None = None
    try:
        countries = edges.business_central.fetch_countries(row.company_id)
    except (AuthError, AccessDeniedError, RecordError) as error:
        logger.warning("the countries of %s cannot be read, so they wait: %s", row.name, error)
    with edges.engine.begin() as conn:
        if countries is None:
            companies.miss_countries(conn, row.id)
        else:
            companies.write_countries(conn, row.id, countries)
        row = companies.read_company(conn, row.id)
    waits = _COUNTRIES_SERVE if row.countries_read else _COUNTRIES_WAIT
    return row, waits if countries is None else ""


def _offer_count(edges: Edges, run: Run, company: int, count: int) -> str:
    """Let a dropped number of contacts wait for a person; return why the company is held. A dry run opens no hold."""
    if run.dry_run:
        return holds.COUNT_DROPPED
    with edges.engine.begin() as conn:
        return holds.offer_count(conn, company, count, run=run.id, now=edges.now())


def _was_read(before: runs.Cursor, after: runs.Cursor, run: Run) -> bool:
    """Whether another run read the company meanwhile, and in full if this run is a full one. No clock is compared."""
    if run.mode == Mode.FULL:
        return after.last_full_at != before.last_full_at
    return after.updated_at != before.updated_at


def _stage_company(edges: Edges, run: Run, row: CompanyRow, found: extract.CompanyRead, began: str) -> None:
    context = profile_sync.company_context(row, edges.business_central_settings.field_profile)
    with edges.engine.begin() as conn:
        staging = extract.Staging(row.id, context, run, clock.now(conn), began)
        stored = extract.stage_company(conn, found, staging)
        if found.full and not run.dry_run:
            locks.renew_claims(conn, row.id)
    if stored:
        contacts = edges.business_central.fetch_contacts(row.company_id, sorted(stored))
        with edges.engine.begin() as conn:
            extract.stage_judged(conn, contacts, stored, staging)
            extract.move_watermark(conn, found, staging)


def _end_company(edges: Edges, run_id: str, company: int, state: str, **values: Any) -> None:
    with edges.engine.begin() as conn:
        runs.write_company_state(conn, run_id, company, state=state, ended_at=edges.now(), **values)


# -- sync_profile ----------------------------------------------------------------------------------------------------


def sync_profile(
    edges: Edges, run_id: str, task_key: str, on_mailbox: Callable[[str], None] | None = None
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
    with edges.engine.begin() as conn:
        run = runs.read_run(conn, run_id)
        keys = runs.read_chunk(conn, run_id, task_key)
    if run is None or not keys:
        raise ConfigError(f"Run {run_id} has no profiles for the key {task_key}: clear its task plan_run.")
    if not edges.may_write():
        # Switched off since the run was planned.
        run = replace(run, dry_run=True)
    errors: list[Exception] = []
    for key in keys:
        try:
            profile_sync.sync_one(edges, run, key, on_mailbox or (lambda _mailbox: None))
        except Exception as error:  # noqa: BLE001 - recovered by skipping: the task's other profiles go on
            errors.append(error)
    _raise(errors)
    with read(edges.engine) as conn:
        return [result for result in runs.read_profile_results(conn, run_id) if result.profile in keys]


def _raise(errors: list[Exception]) -> None:
    """Raise what decides between failing and trying again: one profile that may work later is worth another try."""
    if errors:
        raise next((error for error in errors if isinstance(error, TransientError)), errors[0])


# -- finish_run, run_verdict -----------------------------------------------------------------------------------------


def finish_run(edges: Edges, run_id: str) -> RunReport:
    """Write down the end of a run, and return its report."""
    # The ends of a run have no second try in Airflow: people would be told twice.
    return unbroken(lambda: _finish_run(edges, run_id))


def _finish_run(edges: Edges, run_id: str) -> RunReport:
    with edges.engine.begin() as conn:
        run = runs.read_run(conn, run_id)
        if run is None:
            raise ConfigError(f"Run {run_id} was never planned: see the log of its task plan_run.")
        companies_read = runs.read_company_results(conn, run_id)
        results = runs.read_profile_results(conn, run_id)
    if run.mode == Mode.FULL and not run.dry_run and results:
        switched_off.remove_blocked(edges, run_id)
    with edges.engine.begin() as conn:
        report = make_report(run, companies_read, results, edges.now(), _known(conn, edges, results))
        # A run that could not be planned has its cause already.
        if run.state != "skipped" and (results or run.state != "failed"):
            shared = shared_cause(companies_read, results)
            values = {
                "state": "failed" if report.failures else "success",
                "reason": shared.reason if shared else "",
                "ended_at": edges.now(),
                "counters": report.counters_json(),
            }
            runs.write_run(conn, run_id, values | ({"message": shared.message} if shared else {}))
        if run.dry_run or not edges.may_write():
            snapshots.drop_overlay(conn, run.id)
        locks.drop_done_claims(conn, run_id)
    return report


def run_verdict(
    edges: Edges, run_id: str, task_states: dict[str, str], *, planned_by: str = "plan_run"
) -> Verdict:
    """Decide the run's colour: red when its planning, a company or a profile failed, or one has no outcome.

    Args:
        edges: The services and the staging database.
        run_id: DAG run id.
        task_states: State of each task instance of the run.
        planned_by: Task that plans the run; skipped where there was nothing to plan.
    """
    return unbroken(lambda: _run_verdict(edges, run_id, task_states, planned_by))


def _run_verdict(edges: Edges, run_id: str, task_states: dict[str, str], planned_by: str) -> Verdict:
    with read(edges.engine) as conn:
        run = runs.read_run(conn, run_id)
        if task_states.get(planned_by) not in ("success", "skipped"):
            why = (run.message if run else "") or "See its log."
            return Verdict(False, f"{planned_by} failed: nothing was synced. {why}")
        if run is None:
            return Verdict(False, f"{planned_by} left no plan: clear it.")
        if run.state == "skipped":
            return Verdict(True, run.message)
        read_companies = runs.read_company_results(conn, run_id)
        results = runs.read_profile_results(conn, run_id)
        known = _known(conn, edges, results)
        tasks = _known_tasks(conn, run_id, results, known)
    verdict = judge(read_companies, results, task_states, known, tasks)
    said = run.message if run.message == WRITES_OFF else ""
    return replace(verdict, message=f"{verdict.message} {said}".strip())


def _known(conn: Connection, edges: Edges, results: list[ProfileResult]) -> dict[int, str]:
    """The profiles of a run that failed for a known cause of their own, and since when (rules 8.8)."""
    settings = edges.settings
    found = causes.read_causes(conn, settings.known_after_hours * 3600, settings.known_percent)
    failed = {(result.profile, result.reason) for result in results if result.state == "failed"}
    return {key: cause.since for key, cause in found.items() if cause.known and (key, cause.reason) in failed}


def _known_tasks(
    conn: Connection, run_id: str, results: list[ProfileResult], known: Collection[int]
) -> set[str]:
    """The mapped tasks that failed for nothing but known causes, as Airflow names them."""
    bad = {result.profile for result in results if result.state not in GOOD_STATES}
    chunks = sorted({*runs.read_chunks(conn, run_id)}, key=_map_order) if known else []
    found = set()
    for index, chunk in enumerate(chunks):
        failed = bad & set(runs.read_chunk(conn, run_id, chunk))
        if failed and failed <= set(known):
            found.add(f"sync_profile_{index}")
    return found
