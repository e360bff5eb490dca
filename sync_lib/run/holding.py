"""What a plan and what is held of it make of each other, stored in the transaction that stores the plan (rules 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from sync_lib.diff import guard
from sync_lib.diff.guard import Verdict, keys_of
from sync_lib.fields.contact_keys import bc_id_of
from sync_lib.model import Action, HeldAction, HeldState, HoldReason, Outcome, PlannedChange
from sync_lib.store import clock, held, holds
from sync_lib.store.changes import count_company_writes, lock_company, read_recent, write_plan
from sync_lib.store.held import Seen
from sync_lib.store.snapshots.outlook_items import FOLDER_DELETED

#: Outcomes after which an approval has done its work; what failed, or may come yet, stays approved.
DONE = (
    Outcome.CREATED,
    Outcome.UPDATED,
    Outcome.DELETED,
    Outcome.COUPLED,
    Outcome.CONFLICT,
    Outcome.REJECTED,
)


@dataclass(frozen=True, slots=True)
class Recreations:
    """What persons were asked, and have said, of contacts that are to be made again; by BC id."""

    asked: frozenset[str]
    left_away: Mapping[str, str]

    @classmethod
    def of(cls, known: Iterable[HeldAction]) -> Recreations:
        """Return what held actions say."""
        asked: set[str] = set()
        left: dict[str, str] = {}
        for each in known:
            bc_ids = {bc_id_of(key) for key in each.keys} - {""}
            if (each.action, each.guard_class) != (Action.CREATE_OUTLOOK, "recreates"):
                continue
            if each.state is HeldState.LEFT_AWAY:
                left |= dict.fromkeys(bc_ids, each.digest)
            else:
                asked |= bc_ids
        return cls(frozenset(asked), left)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a plan is stored with: the values of its row, and whether it is the run's first."""

    values: Mapping[str, Any]
    first: bool

    @property
    def profile(self) -> int:
        return int(self.values["profile"])


def store(conn: Connection, verdict: Verdict, known: Sequence[HeldAction], plan: Stored) -> int:
    """Store a plan, let what is held of it wait in the profile's one hold, and end what has ended.

    Args:
        conn: Inside the transaction that counted for the guard, and has stored the couplings of the diff.
        verdict: What the guard made of the plan.
        known: The profile's held actions, as the guard knew them.
        plan: What the plan is stored with.

    Returns:
        The plan's number, or 0 where it says nothing that the plan of the open hold does not say already.
    """
    hold, now = holds.read_open_hold(conn, plan.profile), clock.now(conn)
    asks = bool(verdict.hash) and (hold is None or hold.hash != verdict.hash)
    number = 0
    if _is_new(verdict.changes, asks):
        number = write_plan(conn, {**plan.values, "hash": verdict.hash}, verdict.changes)
    key = hold.id if hold else 0
    if asks and hold is None:
        opened = {"run": plan.values["run"], "opened_at": now}
        facts = {"hash": verdict.hash, "reasons": verdict.reasons}
        key = holds.open_hold(conn, plan.profile, number, opened | facts)
    elif asks and hold is not None:
        holds.refresh_hold(conn, hold, number, verdict.hash, verdict.reasons)
    held.write_waiting(conn, plan.profile, key, map(_seen, verdict.waiting), now)
    rejected = [change for change in verdict.changes if change.reason == HoldReason.REJECTED]
    held.learn_keys(conn, map(_seen, rejected))
    if plan.first:
        _end(conn, verdict.changes, known, plan)
    holds.close_holds(conn, plan.profile)
    return number


def _is_new(changes: Sequence[PlannedChange], asks: bool) -> bool:
    """Whether the plan says anything that the plan of the open hold does not say already."""
    waits = all(change.waits or change.outcome in (Outcome.HELD, Outcome.UNKNOWN) for change in changes)
    return bool(changes) and (asks or not waits)


def _seen(change: PlannedChange) -> Seen:
    known = change.known[0] if change.known else None
    action, reason = str(change.action), str(change.reason)
    return Seen(known, action, change.guard_class, change.digest, reason, keys_of(change))


def _end(
    conn: Connection, changes: Iterable[PlannedChange], known: Sequence[HeldAction], plan: Stored
) -> None:
    planned = {each.id for change in changes for each in change.known}
    unplanned = [each for each in known if each.id not in planned]
    ended = held.find_ended(conn, plan.profile, unplanned, with_folder=FOLDER_DELETED) if unplanned else []
    holds.drop_changes(conn, [each for each in ended if each.state is HeldState.REJECTED])
    held.end_actions(conn, [each.id for each in ended])


def read_circumstances(
    conn: Connection, profile: int, company: int, changes: Sequence[PlannedChange], **facts: Any
) -> guard.Circumstances:
    """Return what the guard must know of a plan, beside the given ``facts``.

    Where it writes to BC, no other plan of the company is counted until this transaction has stored it.
    """
    writes = 0
    if any(change.action in guard.TO_BC for change in changes):
        lock_company(conn, company)
        writes = count_company_writes(conn, company)
    recent = read_recent(conn, profile)
    return guard.Circumstances(recent=recent, company_writes=writes, **facts)
