"""What is done by night: forgetting what is old, and looking whether the two services really agree (rules 9).

Nothing here writes to a service, but for privacy blocks that concern profiles which are switched off.
"""

from __future__ import annotations

import logging
from dataclasses import asdict

from sync_lib.diff import agreement
from sync_lib.diff.agreement import Agreement, Checked, Ends
from sync_lib.model import BcStatus, Mode, ProfileResult, RunRequest
from sync_lib.operate.dry_runs import dry_run
from sync_lib.run import switched_off
from sync_lib.run.inputs import bc_side, mapper_of
from sync_lib.services import Services
from sync_lib.store import clock, companies, drift_checks, retention
from sync_lib.store import days as days_of_trends
from sync_lib.store.couplings import read_live_couplings
from sync_lib.store.engine import read, transaction
from sync_lib.store.migrate import require_schema
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.snapshots import bc_contacts, outlook_items

logger = logging.getLogger(__name__)

DAY = 86_400.0
#: Days that are kept whatever the setting says: the guard counts deletes over 24 hours, and no run takes this long.
SHORTEST_RETENTION = 2
#: Days that figures per day are kept whatever the setting says: pages show 30 of them.
LONGEST_TREND = 31


def remove_old(services: Services) -> dict[str, int]:
    """Remove what is older than the retention and needed by no later run; return the number of rows per table."""
    require_schema(services.engine)
    days = max(services.settings.retention_days, SHORTEST_RETENTION)
    with read(services.engine) as conn:
        before, overlays = clock.now(conn, -days * DAY), clock.now(conn, -SHORTEST_RETENTION * DAY)
        quiet_before = clock.now(conn, -services.settings.quiet_run_hours * 3600)
    left = retention.drop_left_overlays(services.engine, overlays)
    if left:
        logger.info("threw away what %d dry runs left that were stopped", left)
    with transaction(services.engine) as conn:
        # What runs that were killed left uncounted, before the changes go that it is counted from.
        days_of_trends.count_all(conn, SHORTEST_RETENTION - 1)
        kept = max(days, LONGEST_TREND) * DAY
        old = days_of_trends.remove_days(conn, clock.now(conn, -kept)[:10])
    removed = retention.remove_old(services.engine, before, quiet_before=quiet_before)
    removed["days"] = old
    for table, rows in removed.items():
        logger.info("%s: removed %d rows older than %d days", table, rows, days)
    return removed


def remove_blocked(services: Services, run_id: str) -> int:
    """Carry privacy blocks to switched-off profiles (rules 7.4); return the number of writes."""
    require_schema(services.engine)
    return switched_off.remove_blocked(services, run_id)


# -- drift -----------------------------------------------------------------------------------------------------------


def check_drift(services: Services, run_id: str) -> list[Checked]:
    """Read some profiles in full, those first that were checked longest ago, and compare both sides with each other.

    It is a dry run (rules 8.2), which reads into an overlay of its own, with one more look before that is thrown away.
    The dry run and its plan are forgotten as well: what is kept are counts.
    """
    require_schema(services.engine)
    with read(services.engine) as conn:
        due = drift_checks.read_due(conn, services.settings.drift_sample)
    if not due:
        logger.info("no profile to check")
        return []
    # Of a run of the sync at the same minute Airflow's id is the same.
    checked = _check_profiles(services, f"drift_check__{run_id}", due)
    with transaction(services.engine) as conn:
        for one in checked:
            if one.reason != "busy":
                found = asdict(one.agreement) | {"reason": one.reason}
                drift_checks.write_check(conn, one.profile, services.now(), one.planned, **found)
    _report(checked, services.settings.drift_warn_percent)
    return checked


def _check_profiles(services: Services, run: str, due: list[int]) -> list[Checked]:
    request = RunRequest(run, Mode.FULL, list(map(str, due)), dry_run=True, run_type="drift_check")
    with dry_run(services, request) as results:
        return [_checked(services, run, result) for result in results]


def _checked(services: Services, run: str, result: ProfileResult) -> Checked:
    who = (result.profile, result.mailbox, result.company)
    if result.state not in ("done", "held") or "read" not in result.counters:
        return Checked(*who, reason=result.reason or result.state)
    return Checked(*who, _agreement(services, run, result.profile), result.counters.get("planned", {}))


def _agreement(services: Services, overlay: str, key: int) -> Agreement:
    with read(services.engine) as conn:
        profile = profiles.read_profile(conn, key)
        company = companies.read_company(conn, profile.company or 0)
        couplings = read_live_couplings(conn, key)
        ids = [coupling.bc_id for coupling in couplings]
        rows = bc_contacts.read_bc_rows(conn, company.id, ids=ids, overlay=overlay)
        items = outlook_items.read_outlook_records(
            conn, key, [coupling.outlook_id or "" for coupling in couplings], overlay=overlay
        )
        rejects = drift_checks.read_rejects(conn, key)
    gone = (BcStatus.GONE, BcStatus.BLOCKED)
    bc = {row["id"]: row for row in rows if bc_side(row, in_filter=True).status not in gone}
    records = {item["id"]: item["record"] for item in items.values() if item["gone_since"] is None}
    field_profile = services.business_central_settings.field_profile
    mapper = mapper_of(company, field_profile, profile.language)
    pairs = (Ends(c, bc.get(c.bc_id), records.get(c.outlook_id or "")) for c in couplings)
    return agreement.count_agreement(pairs, rejects, mapper)


def _report(checked: list[Checked], percent: float) -> None:
    for line in agreement.lines(checked):
        logger.info("%s", line)
    for one in checked:
        if one.is_worse_than(percent):
            found = one.agreement
            logger.warning(
                "%s: %d of %d pairs differ, and no reason is on record. Trigger contact_sync for this mailbox as a "
                "full dry run to see what a sync would do.",
                one.mailbox,
                found.pairs - found.agreeing - found.explained,
                found.pairs,
            )
