"""Close a comparison: balance the books, store what stays out, and say whether the next run has to compare (8.8)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from sync_lib.errors import ServiceError
from sync_lib.fields.required import PROBLEMS
from sync_lib.model import Outcome, Plan, Reject
from sync_lib.run.awaiting import awaited_by
from sync_lib.run.books import OPEN_OUTCOMES, Progress, rejects_of
from sync_lib.run.compare import compare_staged
from sync_lib.run.inputs import ProfileView
from sync_lib.run.profile_run import ProfileRun
from sync_lib.store import awaited, held, holds, looking, postponed, runs, undo
from sync_lib.store.couplings import count_attention
from sync_lib.store.rejects import replace_dry_rejects, replace_rejects
from sync_lib.store.wishes import end_wishes

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Result:
    """What one profile came to in one run."""

    state: str = "done"
    reason: str = ""
    message: str = ""
    counters: dict[str, Any] = field(default_factory=dict)
    stopped: ServiceError | None = None


def close(
    profile_run: ProfileRun,
    progress: Progress,
    plan: Plan,
    view: ProfileView | None,
    stopped: ServiceError | None,
) -> Result:
    """Store what the rounds came to, of which the last one had this plan and view, and return it."""
    books = progress.books
    rejects = _left_after_load(profile_run, progress, plan)
    books.rejects = set(rejects)
    counters = books.counters()
    if counters["unbalanced"]:
        logger.error("the books do not balance: %d contacts without an outcome", counters["unbalanced"])
    rejects += [reject for change in books.changed.values() for reject in rejects_of(change)]
    if profile_run.run.dry_run:
        _store_dry_rejects(profile_run, rejects)
    else:
        _close_cursor(profile_run, progress, plan, counters, rejects)
        if stopped is None:
            with profile_run.transaction() as conn:
                _rest(conn, profile_run, progress, plan, view)
                now = profile_run.services.now()
                end_wishes(conn, profile_run.wishes.keys, profile_run.run.id, now)
    waiting = [change for change in books.changed.values() if change.outcome is Outcome.HELD]
    if not waiting:
        return Result(counters=counters, stopped=stopped)
    message = f"{len(waiting)} changes wait for a person."
    return Result("held", waiting[0].reason, message, counters, stopped)


def _left_after_load(profile_run: ProfileRun, progress: Progress, plan: Plan) -> list[Reject]:
    """The contacts that stay out, judged after the load: a value that it put right is no reject any more (8.8)."""
    updated = [change for change in progress.books.changed.values() if change.outcome is Outcome.UPDATED]
    touched = {contact for change in updated for contact in (change.bc_id, change.outlook_id)}
    repaired = [each for each in plan.rejects if _lacks_value(each) and each.contact in touched]
    if not repaired:
        return list(plan.rejects)
    after = compare_staged(profile_run, progress).plan
    still = [each for each in after.rejects if _lacks_value(each) and each.contact in touched]
    return [each for each in plan.rejects if each not in repaired] + still


def _lacks_value(reject: Reject) -> bool:
    """Whether a whole contact stays out for its name or address, which a load may put right (rules 3)."""
    return not reject.field and reject.reason in PROBLEMS


def _store_dry_rejects(profile_run: ProfileRun, rejects: list[Reject]) -> None:
    """Name what the dry run would leave out; nobody asked for the plan by which both sides are checked by night."""
    if profile_run.run.run_type == "drift_check":
        return
    with profile_run.transaction() as conn:
        replace_dry_rejects(conn, profile_run.run, profile_run.profile, rejects, profile_run.services.now())


def _close_cursor(
    profile_run: ProfileRun, progress: Progress, plan: Plan, counters: dict[str, Any], rejects: list[Reject]
) -> None:
    outcomes = {change.outcome for change in progress.books.changed.values()}
    failed = bool(outcomes & {Outcome.FAILED, Outcome.UNKNOWN})
    now, key = profile_run.services.now(), profile_run.id
    with profile_run.transaction() as conn:
        replace_rejects(conn, key, rejects, profile_run.run.id, now)
        postponed.keep_only(conn, key, {change.subject for change in plan.changes})
        left = len({reject.contact for reject in rejects})
        runs.write_comparison(conn, key, profile_run.run.id, counters, now, left)
        # What a diff or a load moves decides about other contacts too (a copy whose pair agrees now): only a
        # diff that moves nothing is the last one.
        moved = bool(plan.couplings or plan.ended or plan.changes)
        pending = bool(outcomes & OPEN_OUTCOMES) or moved or count_attention(conn, key) > 0
        values = {"pending": pending, "contacts": counters["read"]}
        values |= {} if failed else {"last_good_at": now}
        held.end_actions(conn, progress.approvals.spent)
        holds.close_holds(conn, key)
        undoing = progress.undoing
        if not undoing.is_open:
            undo.close(conn, undoing.wanted.keys, profile_run.run.id, undoing.summary, now)
        runs.write_cursor(conn, "outlook", key, updated_at=now, **values)


def _rest(
    conn: Connection, profile_run: ProfileRun, progress: Progress, plan: Plan, view: ProfileView | None
) -> None:
    """Where nothing moves any more, store what the profile waits for: a time, or something that changes."""
    key = profile_run.id
    # The next comparison sees no wish that ends with this one, and takes no difference for a conflict any more.
    is_special = profile_run.wanted.keys or profile_run.wishes.keys or profile_run.is_restored
    if view is None or is_special or not _rests(plan, progress):
        runs.write_cursor(conn, "outlook", key, updated_at=profile_run.services.now(), pending=True)
        return
    awaited.replace_awaited(conn, key, awaited_by(conn, profile_run.company.id, view, plan))
    looking.end(conn, key, postponed.read_next_try(conn, key))


def _rests(plan: Plan, progress: Progress) -> bool:
    """Whether a comparison found nothing to do but what waits for a person, or for its next try.

    The next one, of the same contacts, would find the same: also where a pair asks to be looked at field by field.
    """
    # What privacy wants gone is tried by every run.
    acts = any(
        change.outcome is not Outcome.HELD and (not change.waits or change.cause == "privacy_blocked")
        for change in plan.changes
    )
    open_ = {Outcome.FAILED, Outcome.UNKNOWN, Outcome.SKIPPED}
    left = any(change.outcome in open_ for change in progress.books.changed.values())
    return not (plan.couplings or plan.ended or acts or left)
