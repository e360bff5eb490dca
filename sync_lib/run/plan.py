"""Plan a run: its mode, its companies and its profiles (rules 5)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine

from sync_lib.errors import ConfigError, RequestError, SyncError, reason_of
from sync_lib.model import Mode, RunPlan, RunRequest
from sync_lib.run import bindings
from sync_lib.services import Services
from sync_lib.settings import StagingSettings
from sync_lib.store import causes, companies, runs
from sync_lib.store.engine import open_engine, read
from sync_lib.store.migrate import migrate
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.runs import Chunk
from sync_lib.times import shift, to_text

logger = logging.getLogger(__name__)

#: Seconds. A backfill makes its runs one after the other, some 14 ms each; the first may have started when the last
#: one is made. A second backfill is not made that soon after the first one's full sync began.
BACKFILL_SPREAD = 5.0
#: Runs that may be at work beside a scheduled one.
MOST_AT_WORK = 2
#: Said of a run that plans only, whatever it was asked for (rules 8.8c).
WRITES_OFF = "Writes are off (CONTACT_SYNC_WRITES): this run plans only."


def plan_run(services: Services, request: RunRequest) -> RunPlan:
    """Decide mode, companies and profiles of a run, and write them down; bring the schema up to date first.

    The run's row is written before anything that may fail, so that the pages can say why nothing syncs.

    Raises:
        ConfigError: A profile that was asked for does not exist, or there is none at all.
    """
    migrate(services.engine)
    _begin_run(services.engine, request, services.now(), dry_run=request.dry_run or not services.may_write())
    try:
        return _plan(services, request)
    except SyncError as error:
        _fail_run(services.engine, request.run_id, error, services.now())
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
        # What was planned before, if the task is cleared, is nothing to go on with should planning fail now.
        runs.plan_run_rows(conn, request.run_id, [], [])


def _fail_run(engine: Engine, run_id: str, error: SyncError, now: str) -> None:
    reason = causes.REFUSED if isinstance(error, RequestError) else reason_of(error)
    with engine.begin() as conn:
        values = {"state": "failed", "reason": reason, "message": str(error), "ended_at": now}
        runs.write_run(conn, run_id, values)


def _plan(services: Services, request: RunRequest) -> RunPlan:
    chosen = _choose(services, request)
    chosen = _resolve_companies(services, chosen)
    digest = runs.digest_of(profile.id for profile in chosen)
    with services.engine.begin() as conn:
        runs.lock_runs(conn)
        other = _done_by(conn, request, digest) or _left_to_others(request)
        state = "skipped" if other else "running"
        message = other or ("" if services.may_write() else WRITES_OFF)
        runs.write_run(conn, request.run_id, {"state": state, "message": message, "profiles_digest": digest})
        if other:
            logger.info("%s", other)
            return RunPlan([], [], other)
        used = sorted({profile.company for profile in chosen if profile.company})
        chunks = make_chunks([profile.id for profile in chosen], services.settings.profiles_per_task_from)
        finds_work = _finds_work(services, request, conn)
        decided = {"finds_work": finds_work, "found_at": None, "asked": None, "quiet": None, "mapped": None}
        runs.write_run(conn, request.run_id, decided)
        runs.plan_run_rows(conn, request.run_id, used, [] if finds_work else chunks)
    logger.info("planned a run over %d profiles of %d companies", len(chosen), len(used))
    if not services.may_write():
        logger.warning("%s", WRITES_OFF)
    return RunPlan([str(company) for company in used], [chunk.key for chunk in chunks])


def _finds_work(services: Services, request: RunRequest, conn: Connection) -> bool:
    """Whether only the profiles with work are mapped: not where somebody wants to see each of them."""
    run = runs.read_run(conn, request.run_id)
    chosen = bool(request.profiles) or request.run_type in ("approval", "backfill")
    is_whole = run is not None and (run.mode == Mode.FULL or run.dry_run)
    return not (services.settings.map_quiet or chosen or is_whole)


def _choose(services: Services, request: RunRequest) -> list[Profile]:
    with read(services.engine) as conn:
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


def _done_by(conn: Connection, request: RunRequest, digest: str) -> str | None:
    """Say which run did a backfill's full sync already, or None (a backfill is one full sync, once)."""
    if request.run_type != "backfill" or request.requested_at is None:
        return None
    since = to_text(request.requested_at)
    other = runs.find_full_sync(conn, request.run_id, digest, since, shift(since, -BACKFILL_SPREAD))
    return f"The full sync of this backfill is done by run {other}." if other else None


def _left_to_others(request: RunRequest) -> str | None:
    """Say why a scheduled run leaves its turn to those that are at work, or None: the third place is for persons."""
    if request.run_type != "scheduled" or request.others < MOST_AT_WORK:
        return None
    return f"{request.others} runs are still at work: this one is left out, and the next one does its work."


def _resolve_companies(services: Services, chosen: list[Profile]) -> list[Profile]:
    """Bind profiles to their companies; one whose company BC does not list keeps none, and fails in its own task."""
    if all(profile.company for profile in chosen):
        return chosen
    listed = bindings.list_companies(services)
    with services.engine.begin() as conn:
        runs.lock_runs(conn)
        for profile in chosen:
            company = companies.find_listed(conn, listed, profile.company_name)
            if profile.company is None and company is not None:
                bindings.bind_company(conn, services, profile.id, company)
        return [profiles.read_profile(conn, profile.id) for profile in chosen]


def make_chunks(chosen: Sequence[int], limit: int) -> list[Chunk]:
    """Return the mapped tasks of some profiles: one profile a task, several above the limit."""
    size = max(1, -(-len(chosen) // max(1, limit)))
    return [Chunk(tuple(chosen[n : n + size])) for n in range(0, len(chosen), size)]
