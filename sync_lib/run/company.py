"""Read one company into staging, once for all profiles of a run (rules 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from sync_lib.errors import AccessDeniedError, AuthError, ConfigError, RecordError, SyncError, reason_of
from sync_lib.extract.company import (
    CompanyRead,
    ReadPlan,
    State,
    fetch_company,
    move_watermark,
    plan_read,
    stage_company,
    stage_judged,
)
from sync_lib.extract.staging import Staging, is_full_due
from sync_lib.fields.written import COUNTRIES_NOT_READ
from sync_lib.logs import phase
from sync_lib.model import Mode, Run
from sync_lib.ports import Pages
from sync_lib.run import bindings
from sync_lib.run.inputs import mapper_of
from sync_lib.run.turns import company_turn
from sync_lib.run.watch import watch_company
from sync_lib.services import Services
from sync_lib.store import clock, companies, holds, runs
from sync_lib.store.claims import renew_claims
from sync_lib.store.companies import CompanyRow
from sync_lib.store.engine import read
from sync_lib.store.snapshots import bc_contacts

logger = logging.getLogger(__name__)


def read_company(
    services: Services, run_id: str, key: int, on_company: Callable[[str], None] | None = None
) -> dict[str, int]:
    """Read a company and record its outcome (``pipeline.extract_business_central``).

    Raises:
        SyncError: It could not be read.
    """
    run, row = _run_and_company(services, run_id, key)
    if on_company:
        on_company(row.name)
    with read(services.engine) as conn:
        before = runs.read_cursor(conn, "business_central", key)
    try:
        bindings.check_environment(services, row)
        with company_turn(services, key), watch_company(services, run_id, key):
            counters, unread = _read_company(services, run, row, before)
    except _CompanyHeldError as error:
        counters = {"count": error.count}
        results = {"reason": error.reason, "message": str(error), "counters": counters}
        _end_company(services, run_id, key, "held", **results)
        return counters
    except SyncError as error:
        cause = bindings.explain_unread(services, row.company_id, error)
        _end_company(services, run_id, key, "failed", reason=reason_of(cause), message=str(cause))
        if cause is error:
            raise
        raise cause from error
    results = {"reason": COUNTRIES_NOT_READ, "message": unread} if unread else {}
    _end_company(services, run_id, key, "done", counters=counters, **results)
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


def _run_and_company(services: Services, run_id: str, key: int) -> tuple[Run, CompanyRow]:
    with services.engine.begin() as conn:
        run = runs.read_run(conn, run_id)
        if run is None:
            raise ConfigError(f"Run {run_id} was never planned: clear its task plan_run.")
        row = companies.read_company(conn, key)
        runs.write_company_state(conn, run_id, key, state="running", started_at=services.now(), progress="")
    return run, row


def _read_company(
    services: Services, run: Run, row: CompanyRow, before: runs.Cursor
) -> tuple[dict[str, int], str]:
    """Return counts, and what to say of countries that could not be read, or ""."""
    with read(services.engine) as conn:
        began = clock.now(conn)
        cursor = runs.read_cursor(conn, "business_central", row.id)
        present = _count_present(conn, run, row.id, cursor)
        is_held = holds.read_company_hold(conn, row.id) is not None
    if not run.dry_run and _was_read(before, cursor, run):
        logger.info("another run read this company while this one waited: using its snapshot")
        return {"count": present}, "" if row.countries_read else _COUNTRIES_WAIT
    mapper = mapper_of(row, services.business_central_settings.field_profile)
    cursor = cursor if cursor.version == mapper.version else runs.Cursor()
    plan = _plan_read(services, run, row, cursor, present)
    # A count that waits for a person holds incremental runs too: only a complete read can show that it was a fault.
    plan = replace(plan, full=plan.full or is_held)
    if plan.full and not run.dry_run:
        row = bindings.follow_company(services, row)
    unread = ""
    with phase("Read Business Central", full=plan.full):
        if plan.full or not row.country_names:
            row, unread = _read_countries(services, row)
        found = fetch_company(services.business_central, row.company_id, cursor, plan)
    if found.dropped:
        raise _CompanyHeldError(_offer_count(services, run, row.id, found.count or 0), found.count or 0)
    with phase("Stage Business Central"):
        _stage_company(services, run, row, found, began)
    counters = {"read": len(found.contacts), "gone": len(found.gone), "count": found.count or present}
    return counters, unread


def _count_present(conn: Connection, run: Run, company: int, cursor: runs.Cursor) -> int:
    """Return how many contacts are staged: as many as were counted, where nothing was staged since."""
    is_counted = cursor.diffed_generation == companies.read_company(conn, company).generation
    if is_counted and not run.overlay:
        return cursor.contacts
    return bc_contacts.count_present(conn, company, overlay=run.overlay)


def _plan_read(services: Services, run: Run, row: CompanyRow, cursor: runs.Cursor, present: int) -> ReadPlan:
    with read(services.engine) as conn:
        now = clock.now(conn)
        scan_rows = companies.read_page_size(conn, row.id, "scan")
    state = State(present, row.accepted_count, scan_rows, now)
    plan = plan_read(run, cursor, state, services.settings)
    if plan.full and is_full_due(cursor, run, now):
        logger.info("a slot of the full schedule has passed since this company was read in full")
        with services.engine.begin() as conn:
            runs.begin_full(conn, "business_central", row.id, now)

    def listing(kind: str) -> Pages:
        def remember(rows: int) -> None:
            with services.engine.begin() as conn:
                companies.write_page_size(conn, row.id, kind, rows, services.now())

        with read(services.engine) as conn:
            return services.listing(companies.read_page_size(conn, row.id, kind), remember)

    def staged(ids: list[str]) -> dict[str, tuple[str, ...]]:
        with read(services.engine) as conn:
            return bc_contacts.known_bc(conn, row.id, ids, overlay=run.overlay)

    def stamps() -> dict[str, str]:
        with read(services.engine) as conn:
            return bc_contacts.read_stamps(conn, row.id, overlay=run.overlay)

    return replace(plan, listing=listing, staged=staged, stamps=stamps)


_MAY_READ = "Give the app Read on table 9, Country/Region."

_COUNTRIES_WAIT = f"Countries wait, all else syncs. {_MAY_READ}"

_COUNTRIES_SERVE = f"Its countries could not be read; those that were read before go on to serve. {_MAY_READ}"


def _read_countries(services: Services, row: CompanyRow) -> tuple[CompanyRow, str]:
    """Read BC's table of countries; without the right to it all but the country of a contact syncs (rules 5).

    Returns the company, and what to say where the table could not be read, else "".
    """
    countries: dict[str, str] | None = None
    try:
        countries = services.business_central.fetch_countries(row.company_id)
    except (AuthError, AccessDeniedError, RecordError) as error:
        logger.warning("the countries of %s cannot be read, so they wait: %s", row.name, error)
    with services.engine.begin() as conn:
        if countries is None:
            companies.miss_countries(conn, row.id)
        else:
            companies.write_countries(conn, row.id, countries)
        row = companies.read_company(conn, row.id)
    waits = _COUNTRIES_SERVE if row.countries_read else _COUNTRIES_WAIT
    return row, waits if countries is None else ""


def _offer_count(services: Services, run: Run, company: int, count: int) -> str:
    """Let a dropped number of contacts wait for a person; return why the company is held. A dry run opens no hold."""
    if run.dry_run:
        return holds.COUNT_DROPPED
    with services.engine.begin() as conn:
        return holds.offer_count(conn, company, count, run=run.id, now=services.now())


def _was_read(before: runs.Cursor, after: runs.Cursor, run: Run) -> bool:
    """Whether another run read the company meanwhile, and in full if this run is a full one. No clock is compared."""
    if run.mode == Mode.FULL:
        return after.last_full_at != before.last_full_at
    return after.updated_at != before.updated_at


def _stage_company(services: Services, run: Run, row: CompanyRow, found: CompanyRead, began: str) -> None:
    mapper = mapper_of(row, services.business_central_settings.field_profile)
    with services.engine.begin() as conn:
        staging = Staging(row.id, mapper, run, clock.now(conn), began)
        stored = stage_company(conn, found, staging)
        if found.full and not run.dry_run:
            renew_claims(conn, row.id)
    if stored:
        contacts = services.business_central.fetch_contacts(row.company_id, sorted(stored))
        with services.engine.begin() as conn:
            stage_judged(conn, contacts, stored, staging)
            move_watermark(conn, found, staging)


def _end_company(services: Services, run_id: str, company: int, state: str, **values: Any) -> None:
    with services.engine.begin() as conn:
        ended = {"state": state, "ended_at": services.now(), "progress": ""}
        runs.write_company_state(conn, run_id, company, **ended, **values)
