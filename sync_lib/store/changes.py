"""Plans and their changes in the staging database, and what the guard counts of them (rules 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from sync_lib.errors import LeaseLostError
from sync_lib.model import (
    LATE_CREATE,
    Action,
    Outcome,
    PlannedChange,
)
from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.bulk import Row, among_named, chunks, insert_rows
from sync_lib.store.engine import is_postgresql
from sync_lib.store.json_texts import from_json, to_json
from sync_lib.store.prepared import Prepared

#: The guard's windows, in seconds (rules 8.3).
DAY, HOUR = 86_400.0, 3_600.0


# -- plans -----------------------------------------------------------------------------------------------------------


def write_plan(conn: Connection, values: dict[str, Any], changes: Sequence[PlannedChange]) -> int:
    """Store a plan with its changes, before anything is applied (rules 8.1); return its id."""
    result = conn.execute(insert(t.plan).values(values | {"created_at": clock.moment(conn)}))
    assert result.inserted_primary_key is not None
    plan = int(result.inserted_primary_key[0])
    now = clock.now(conn)
    # The texts of a first sync, all at once, take more memory than its changes do.
    for part in chunks(changes, _CHANGES_AT_ONCE):
        rows = [_change_row(plan, values["profile"], each, now) for each in part]
        insert_rows(conn, t.change, _CHANGE, rows)
    return plan


_CHANGES_AT_ONCE = 1_000
_CHANGE = (
    *("plan", "n", "profile", "action", "coupling", "bc_id", "outlook_id", "email_key"),
    *("before", "after", "source", "losing", "categories", "etag"),
    *("cause", "reason", "digest", "guard_class", "hold", "state", "outcome", "edited_at", "ended_at"),
)


def _change_row(plan: int, profile: int, change: PlannedChange, now: str) -> Row:
    """Return a change as ``_CHANGE`` names its values."""
    done = change.outcome is not None
    texts = (change.before, change.after, change.source, change.losing, change.categories)
    return (
        plan,
        change.n,
        profile,
        change.action.value,
        change.coupling.id if change.coupling else None,
        change.bc_id,
        change.outlook_id,
        change.email_key,
        *map(to_json, texts),
        _etag(change),
        change.cause,
        change.reason,
        change.digest,
        change.guard_class,
        change.hold,
        "done" if done else "planned",
        change.outcome.value if change.outcome else None,
        change.edited_at,
        now if done else None,
    )


def _etag(change: PlannedChange) -> str:
    side = change.bc if change.action is Action.UPDATE_BC else change.item
    return side.etag if side else ""


def begin_sending(conn: Connection, plan: int, numbers: Sequence[int], fencing: int) -> None:
    """Set changes to ``sending``, by compare-and-set (rules 8.4): once this is committed, each may be carried out.

    Raises:
        LeaseLostError: One of them is no longer ``planned``; another worker has taken over.
    """
    begin = _begin_sending(is_postgresql(conn), clock.moment(conn))
    if begin.execute(conn, plan, numbers, fencing).rowcount != len(numbers):
        raise LeaseLostError(f"Plan {plan} was taken over by another worker.")


@lru_cache(maxsize=16)
def _begin_sending(postgresql: bool, now: ColumnElement[str]) -> Prepared:
    c = t.change.c
    among_numbers = among_named(c.n, "numbers", postgresql=postgresql)
    planned = update(t.change).where(c.plan == bindparam("of_plan"), among_numbers, c.state == "planned")
    statement = planned.values(state="sending", fencing=bindparam("by_fencing"), sent_at=now)
    return Prepared(statement, ("of_plan", "numbers", "by_fencing"), postgresql=postgresql)


def finish_changes(conn: Connection, plan: int, results: Iterable[tuple[int, Outcome, str, str]]) -> None:
    """Record outcome, reason and request id of changes of one plan. An ``unknown`` one stays to be settled."""
    finish = _finish_changes(is_postgresql(conn), clock.moment(conn))
    rows = [
        ("sending" if outcome is Outcome.UNKNOWN else "done", outcome.value, reason, request_id, plan, n)
        for n, outcome, reason, request_id in results
    ]
    finish.execute_many(conn, rows)


@lru_cache(maxsize=16)
def _finish_changes(postgresql: bool, now: ColumnElement[str]) -> Prepared:
    c = t.change.c
    names = ("state", "outcome", "reason", "request_id")
    one = update(t.change).where(c.plan == bindparam("of_plan"), c.n == bindparam("of_n"))
    values = {name: bindparam(f"new_{name}", type_=c[name].type) for name in names}
    order = (*(f"new_{name}" for name in names), "of_plan", "of_n")
    return Prepared(one.values(**values, ended_at=now), order, postgresql=postgresql)


def has_planned(conn: Connection, profile: int) -> bool:
    """Return whether a load of this profile broke off before it had sent all that it was to send."""
    return conn.execute(_REALLY_PLANNED, {"of_profile": profile}).first() is not None


def give_up_planned(conn: Connection, profile: int, reason: str) -> None:
    """Close changes that were planned and never sent, for example by a worker that was killed."""
    of_profile = {"of_profile": profile}
    # Hardly ever are there any, and looking is cheaper than writing.
    if conn.execute(_PLANNED, of_profile).first() is not None:
        ended = {"state": "done", "outcome": Outcome.SKIPPED, "reason": reason}
        conn.execute(_END_PLANNED.values(ended_at=clock.moment(conn)), of_profile | ended)


_IS_PLANNED = and_(t.change.c.profile == bindparam("of_profile"), t.change.c.state == "planned")

_PLANNED = select(t.change.c.n).where(_IS_PLANNED).limit(1)

_REALLY_PLANNED = _PLANNED.join(t.plan, t.plan.c.id == t.change.c.plan).where(~t.plan.c.dry_run)

_END_PLANNED = update(t.change).where(_IS_PLANNED)


def read_unsettled(conn: Connection, profile: int) -> list[dict[str, Any]]:
    """Return the changes that may have been carried out and have no final outcome, oldest first."""
    return _parsed(conn.execute(_UNSETTLED, {"profile": profile}))


def read_mismatched(conn: Connection, plan: int) -> list[dict[str, Any]]:
    """Return the updates of a plan that met another version than they were made for, and keys with them."""
    c = t.change.c
    updates = c.action.in_([Action.COUPLE, Action.UPDATE_OUTLOOK, Action.UPDATE_BC])
    wanted = select(t.change).where(c.plan == plan, updates, c.reason == "version_mismatch")
    return _parsed(conn.execute(wanted.order_by(c.n)))


def read_of_run(conn: Connection, run: str) -> list[dict[str, Any]]:
    """Return the changes that a run has planned, by profile and number."""
    c = t.change.c
    wanted = select(t.change).join(t.plan, t.plan.c.id == c.plan).where(t.plan.c.run == run)
    return _parsed(conn.execute(wanted.order_by(c.profile, c.plan, c.n)))


_UNSETTLED = (
    select(t.change)
    .where(t.change.c.profile == bindparam("profile"), t.change.c.state == "sending")
    .order_by(t.change.c.plan, t.change.c.n)
)


def _parsed(found: CursorResult[Any]) -> list[dict[str, Any]]:
    rows = [dict(row) for row in found.mappings()]
    for row in rows:
        for name in ("before", "after", "source", "categories"):
            row[name] = from_json(row[name])
    return rows


# -- what the guard counts -------------------------------------------------------------------------------------------


def read_recent(conn: Connection, profile: int) -> dict[str, frozenset[str]]:
    """Return, by class, the contacts that this profile wrote in the last 24 hours without an approval (rules 8.3).

    What was sent and has no answer yet may have been written.
    """
    found: dict[str, set[str]] = {}
    for row in conn.execute(_written_by(clock.moment(conn, -DAY)), {"profile": profile}):
        found.setdefault(row.guard_class, set()).add(row.bc_id or row.outlook_id or "")
    return {name: frozenset(contacts) for name, contacts in found.items()}


@lru_cache(maxsize=16)
def _written_by(since: ColumnElement[str]) -> Select[Any]:
    c = t.change.c
    counted = (c.guard_class != "", c.hold.is_(None), _written_since(since))
    return select(c.guard_class, c.bc_id, c.outlook_id).where(c.profile == bindparam("profile"), *counted)


def lock_company(conn: Connection, company: int) -> None:
    """Let one plan of a company at a time be counted and stored, until the transaction ends."""
    wanted = select(t.company.c.id).where(t.company.c.id == company)
    # Rows that refer to the company may be written meanwhile: its key is not touched.
    conn.execute(wanted.with_for_update(key_share=True))


def count_company_writes(conn: Connection, company: int) -> int:
    """Return how many writes to BC were done, or are reserved, in the last hour for a company, over all profiles.

    A stored plan is the reservation: what it has not written by its end it gives back, and a retry closes what its
    first try left. What a person approved does not count. The caller has locked the company.
    """
    c, own = t.change.c, t.sync_profile.c
    ours = select(own.id).where(own.id == c.profile, own.company == company).correlate(t.change).exists()
    p, since = t.plan.c, clock.moment(conn, -HOUR)
    stored = (
        select(p.id).where(p.id == c.plan, ~p.dry_run, p.created_at >= since).correlate(t.change).exists()
    )
    reserved = and_(c.state == "planned", stored)
    # Spelt as the index is that holds these alone, over all profiles.
    to_bc = text("change.action IN ('create_business_central', 'update_business_central')")
    wanted = select(func.count(c.n)).where(
        to_bc, c.hold.is_(None), ours, or_(reserved, _written_since(since))
    )
    return int(conn.scalar(wanted) or 0)


def _written_since(since: ColumnElement[str]) -> ColumnElement[bool]:
    c = t.change.c
    done = c.outcome.in_([Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED])
    # The state is that of all that have an outcome of these: an index begins with it.
    ended = and_(c.state == "done", done, c.ended_at >= since)
    return or_(ended, and_(c.state == "sending", c.sent_at >= since))


def read_known_values(
    conn: Connection, profile: int, bc_ids: Sequence[str]
) -> list[tuple[str, dict[str, str]]]:
    """Return (BC id, values) of everything that the change log holds of these contacts (rules 2.6)."""
    c = t.change.c
    found = []
    for part in chunks(bc_ids):
        wanted = select(c.bc_id, c.before, c.after, c.losing).where(c.profile == profile, c.bc_id.in_(part))
        for row in conn.execute(wanted):
            found += [(row.bc_id, from_json(text)) for text in (row.before, row.after, row.losing)]
    return found


def read_lost_creates(
    conn: Connection, profile: int, bc_ids: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    """Return, by BC id, the values of creates in Outlook whose item nobody has seen, so that it may yet turn up.

    A late create that was deleted accounts for one of them.
    """
    c = t.change.c
    creates = and_(c.action == Action.CREATE_OUTLOOK, c.sent_at.is_not(None))
    lost = and_(creates, or_(c.state == "sending", c.reason.in_([LATE_CREATE, "not_carried_out"])))
    deleted = and_(c.cause == LATE_CREATE, c.outcome == Outcome.DELETED)
    found: dict[str, list[dict[str, str]]] = {}
    for part in chunks(bc_ids):
        wanted = select(c.bc_id, c.cause, c.after).where(c.profile == profile, c.bc_id.in_(part))
        for row in conn.execute(wanted.where(or_(lost, deleted)).order_by(c.plan, c.n)):
            sent = found.setdefault(row.bc_id, [])
            if row.cause != LATE_CREATE:
                sent.append(from_json(row.after))
            elif sent:
                sent.pop(0)
    return {bc_id: sent for bc_id, sent in found.items() if sent}
