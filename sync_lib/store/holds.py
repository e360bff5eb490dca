"""Holds: what waits for a person, and what a person decided about it (rules 8.3).

A hold of a profile covers the held changes of one plan; a hold of a company covers one number of contacts. Both are
asked, answered and recorded alike. The state is moved by compare-and-set, so that two answers make one decision.

How long a question waits for its answer is a setting of Airflow's side: ``contact_sync_airflow.environment``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Update, and_, bindparam, func, insert, select, update

from sync_lib.model import Decision, HeldAction, HeldState, HoldReason, Outcome
from sync_lib.store import clock, held, looking
from sync_lib.store import tables as t

#: Why a company is held.
COUNT_DROPPED = "bc_count_dropped"
COUNT_REJECTED = "bc_count_rejected"
#: Reason of an action that a person rejected in an earlier hold; it is no part of the hold whose plan it is in.
REJECTED = HoldReason.REJECTED
#: Why a change that a person rejected is held no more: the diff does not yield it.
DROPPED = "no_longer_planned"
#: Questions that one run opens at most, the oldest hold first. Airflow maps over 1,024 at most (``max_map_length``).
MOST_QUESTIONS = 500


class HoldState(StrEnum):
    """The state of a hold. ``approved`` ends as ``applied`` when a run has carried out what was approved."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold.

    Attributes:
        id: Key in the staging database.
        profile: The profile whose changes are held; None for a company's hold.
        company: The company whose number of contacts waits; None for a profile's hold.
        plan: The plan that holds the changes; None for a company's hold.
        offered: The number of contacts that waits; None for a profile's hold.
        run: The run that opened it.
        hash: Covers what waits in it; runs refresh it with what it covers.
        reasons: Why it is held.
        state: How far it is.
        asked: How often a person was asked.
        requested: The ``asked`` whose request has been made; a smaller one asks for a request.
        asked_hash: The hash when it was asked about, which names the request.
        shown: The hash that the question shows.
        opened_at: When it was opened.
        decided_by: Who decided, "" for nobody yet or nobody in time.
        decided_at: When.
        decided_how: ``person`` or ``timeout``, "" for not yet.
    """

    id: int
    profile: int | None
    company: int | None
    plan: int | None
    offered: int | None
    run: str
    hash: str
    reasons: list[str]
    state: HoldState
    asked: int
    requested: int
    asked_hash: str
    shown: str
    opened_at: str
    decided_by: str
    decided_at: str | None
    decided_how: str

    @property
    def request(self) -> str:
        """The run of the approval DAG that asks: the same hold, asked about the same time, has the same one.

        The hash is that of the moment when it was asked: another database, with the same numbers, has another one.
        """
        return f"hold_{self.id}_{self.asked}_{(self.asked_hash or self.hash)[:12]}"

    @property
    def is_emptied(self) -> bool:
        """Whether it is about a folder that was emptied: the answers are to bring back, or to leave away."""
        return HoldReason.EMPTIED in self.reasons

    @classmethod
    def of(cls, row: Any) -> Hold:
        """Return the hold that a row of the table, as a mapping, stands for."""
        reasons = json.loads(row["reasons"])
        return cls(**{**row, "reasons": reasons, "state": HoldState(row["state"])})


_COLUMNS = tuple(t.hold.c[name] for name in Hold.__dataclass_fields__)


def read_hold(conn: Connection, key: int) -> Hold | None:
    """Return one hold, or None."""
    row = conn.execute(select(*_COLUMNS).where(t.hold.c.id == key)).mappings().first()
    return Hold.of(row) if row else None


def read_holds(conn: Connection, *states: HoldState) -> list[Hold]:
    """Return all holds in one of these states, oldest first."""
    wanted = select(*_COLUMNS).where(t.hold.c.state.in_(states)).order_by(t.hold.c.id)
    return [Hold.of(row) for row in conn.execute(wanted).mappings()]


# -- holds of a profile ----------------------------------------------------------------------------------------------


_OPEN_HOLD = (
    select(*_COLUMNS)
    .where(t.hold.c.profile == bindparam("profile"), t.hold.c.state == HoldState.OPEN)
    .order_by(t.hold.c.id)
)


def read_open_hold(conn: Connection, profile: int) -> Hold | None:
    """Return the hold of a profile that a person is asked about: there is one at most."""
    row = conn.execute(_OPEN_HOLD, {"profile": profile}).mappings().first()
    return Hold.of(row) if row else None


def open_hold(conn: Connection, profile: int, plan: int, values: dict[str, Any]) -> int:
    """Open a hold of a plan; ``values`` are its run, hash, reasons and time. Return its id."""
    return _insert(conn, {"profile": profile, "plan": plan, **values})


def refresh_hold(conn: Connection, hold: Hold, plan: int, digest: str, reasons: Sequence[str]) -> None:
    """Let an open hold cover the held changes of a newer plan; the question about it stays as it is."""
    values = {"plan": plan, "hash": digest, "reasons": json.dumps(list(reasons))}
    conn.execute(
        update(t.hold).where(t.hold.c.id == hold.id, t.hold.c.state == HoldState.OPEN).values(values)
    )


def drop_changes(conn: Connection, ended: Collection[HeldAction]) -> None:
    """Say in the plans of decided holds which of their changes the diff does not yield any more."""
    c = t.change.c
    for each in ended:
        if each.hold is not None:
            plan = select(t.hold.c.plan).where(t.hold.c.id == each.hold).scalar_subquery()
            of_hold = (c.plan == plan, c.digest == each.digest, c.outcome == Outcome.HELD)
            ended_now = {"outcome": Outcome.SKIPPED, "reason": DROPPED, "ended_at": clock.moment(conn)}
            conn.execute(update(t.change).where(*of_hold).values(ended_now))


def close_holds(conn: Connection, profile: int) -> None:
    """End the holds of a profile in which nothing waits any more, or is left to be carried out."""
    held_now = {row.state for row in conn.execute(_STATES, {"profile": profile})}
    for before, ended in _ENDED.items():
        # Hardly ever is there any, and looking is cheaper than writing.
        if before in held_now:
            conn.execute(ended, {"of_profile": profile})


_STATES = select(t.hold.c.state).where(t.hold.c.profile == bindparam("profile")).distinct()


def _ended(before: HoldState, states: Collection[HeldState], after: HoldState) -> Update:
    h, c = t.hold.c, t.held_action.c
    left = select(c.id).where(c.hold == h.id, c.state.in_(states)).correlate(t.hold).exists()
    ended = update(t.hold).where(h.profile == bindparam("of_profile"), h.state == before, ~left)
    return ended.values(state=after)


_ENDED = {
    before: _ended(before, states, after)
    for before, states, after in (
        (HoldState.OPEN, [HeldState.OPEN], HoldState.SUPERSEDED),
        (HoldState.APPROVED, [HeldState.APPROVED], HoldState.APPLIED),
        (HoldState.REJECTED, [HeldState.REJECTED, HeldState.LEFT_AWAY], HoldState.SUPERSEDED),
    )
}


# -- holds of a company ----------------------------------------------------------------------------------------------


def offer_count(conn: Connection, company: int, count: int, *, run: str, now: str) -> str:
    """Let a number of contacts wait for a person; return why the company is held.

    The number that a person rejected is not asked about again until it changes.
    """
    known = read_company_hold(conn, company)
    if known is None or known.offered != count:
        supersede_company(conn, company)
        digest = hashlib.sha256(f"{company}:{count}".encode()).hexdigest()
        values = {"run": run, "hash": digest, "reasons": [COUNT_DROPPED], "opened_at": now}
        _insert(conn, {"company": company, "offered": count, **values})
        return COUNT_DROPPED
    return COUNT_REJECTED if known.state is HoldState.REJECTED else COUNT_DROPPED


def read_company_hold(conn: Connection, company: int) -> Hold | None:
    """Return the hold that keeps a company's profiles from syncing, open or rejected, or None."""
    row = conn.execute(_COMPANY_HOLD, {"of_company": company}).mappings().first()
    return Hold.of(row) if row else None


def supersede_company(conn: Connection, company: int) -> None:
    """End the holds of a company: another number of contacts was read."""
    conn.execute(_END_COMPANY_HOLDS, {"of_company": company, "state": HoldState.SUPERSEDED})


_HOLDS_COMPANY = and_(
    t.hold.c.company == bindparam("of_company"), t.hold.c.state.in_([HoldState.OPEN, HoldState.REJECTED])
)
_COMPANY_HOLD = select(*_COLUMNS).where(_HOLDS_COMPANY).order_by(t.hold.c.id.desc())
_END_COMPANY_HOLDS = update(t.hold).where(_HOLDS_COMPANY)


# -- decisions -------------------------------------------------------------------------------------------------------


def decide(conn: Connection, hold: Hold, decision: Decision) -> bool:
    """Record a decision; False where the hold is not open any more, or was asked about again since.

    Of a profile's hold it decides about those actions that are still as they were shown; the others go on waiting, and
    the next run asks about them.
    """
    state = HoldState.APPROVED if decision.approved else HoldState.REJECTED
    c = t.hold.c
    is_asked = (c.id == hold.id, c.state == HoldState.OPEN, c.asked == hold.asked)
    values: dict[str, Any] = {
        "state": state,
        "decided_by": decision.by,
        "decided_at": decision.at,
        "decided_how": decision.how,
    }
    shown = decision.shown or hold.shown or hold.hash
    plan = _plan_of(conn, hold, shown) if hold.profile is not None else None
    if plan is not None:
        values |= {"plan": plan, "hash": shown}
    if not conn.execute(update(t.hold).where(*is_asked).values(values)).rowcount:
        return False
    if plan is not None:
        by_person = decision.how == "person"
        held.decide(conn, hold.id, _digests_of(conn, plan), approved=decision.approved, by_person=by_person)
    _look_again(conn, hold.profile)
    return True


def _plan_of(conn: Connection, hold: Hold, digest: str) -> int | None:
    """Return the plan whose held changes were shown under a hash, or None where there is none (any more)."""
    if digest == hold.hash:
        return hold.plan
    p = t.plan.c
    wanted = select(p.id).where(p.profile == hold.profile, p.hash == digest, ~p.dry_run).order_by(p.id.desc())
    return conn.scalar(wanted.limit(1))


def _digests_of(conn: Connection, plan: int) -> list[str]:
    c = t.change.c
    wanted = select(c.digest).where(c.plan == plan, c.outcome == Outcome.HELD, c.reason != REJECTED)
    return list(conn.scalars(wanted))


def accept_offered(conn: Connection, hold: Hold) -> None:
    """Make the number of contacts of an approved hold the accepted one."""
    c = t.company.c
    conn.execute(update(t.company).where(c.id == hold.company).values(accepted_count=hold.offered))
    _move(conn, hold.id, HoldState.APPROVED, HoldState.APPLIED)


def ask_again(conn: Connection, key: int) -> Hold | None:
    """Ask about a rejected hold once more; return the hold that is asked about, or None where it is not rejected.

    That is the same one as a new request, or the one that is open in the profile already: nothing that waits there is
    taken out of anybody's hands.
    """
    c = t.hold.c
    hold = read_hold(conn, key)
    if hold is None or hold.state is not HoldState.REJECTED:
        return None
    waiting = read_open_hold(conn, hold.profile) if hold.profile is not None else None
    if waiting is not None:
        held.reopen(conn, key, waiting.id)
        _look_again(conn, hold.profile)
        _move(conn, key, HoldState.REJECTED, HoldState.SUPERSEDED)
        return waiting
    nobody = {"decided_by": "", "decided_at": None, "decided_how": ""}
    values = {"state": HoldState.OPEN, "asked": c.asked + 1, "asked_hash": c.hash, "shown": "", **nobody}
    if not conn.execute(
        update(t.hold).where(c.id == key, c.state == HoldState.REJECTED).values(values)
    ).rowcount:
        return None
    held.reopen(conn, key, key)
    _look_again(conn, hold.profile)
    return read_hold(conn, key)


def _look_again(conn: Connection, profile: int | None) -> None:
    """Let the next run compare, though nothing changed: what was left away is planned again since somebody asks."""
    c, now = t.cursor.c, {"pending": True, "due_at": looking.ASKED}
    conn.execute(update(t.cursor).where(c.side == "outlook", c.scope == str(profile)).values(now))


def read_unrequested(conn: Connection, most: int = MOST_QUESTIONS) -> list[Hold]:
    """Return the open holds that nobody has been asked about yet, the oldest ``most`` of them."""
    c = t.hold.c
    wanted = select(*_COLUMNS).where(c.state == HoldState.OPEN, c.requested < c.asked)
    rows = conn.execute(wanted.order_by(c.opened_at, c.id).limit(most))
    return [Hold.of(row) for row in rows.mappings()]


def ask_anew(conn: Connection, hold: Hold) -> bool:
    """Let an open hold be asked about under a new number, since its question was lost; return whether it was.

    Somebody who decided, or asked anew, meanwhile comes first.
    """
    c = t.hold.c
    still = (c.id == hold.id, c.state == HoldState.OPEN, c.asked == hold.asked)
    values = {"asked": hold.asked + 1, "asked_hash": c.hash, "shown": ""}
    return bool(conn.execute(update(t.hold).where(*still).values(values)).rowcount)


def read_opened(conn: Connection, run: str) -> tuple[set[int], set[int]]:
    """Return the profiles and the companies of the holds that a run opened, and that still wait."""
    h = t.hold.c
    rows = conn.execute(select(h.profile, h.company).where(h.run == run, h.state == HoldState.OPEN)).all()
    return {row.profile for row in rows if row.profile}, {row.company for row in rows if row.company}


def mark_requested(conn: Connection, hold: Hold) -> None:
    """Record that a person is asked about a hold, as it is now."""
    values = {"requested": hold.asked, "shown": hold.hash}
    conn.execute(update(t.hold).where(t.hold.c.id == hold.id).values(values))


def _move(conn: Connection, key: int, before: HoldState, after: HoldState) -> None:
    c = t.hold.c
    conn.execute(update(t.hold).where(c.id == key, c.state == before).values(state=after))


def _insert(conn: Connection, values: dict[str, Any]) -> int:
    row = {
        **values,
        "state": HoldState.OPEN,
        "reasons": json.dumps(values["reasons"]),
        "asked_hash": values["hash"],
    }
    return int(conn.execute(insert(t.hold).values(row).returning(t.hold.c.id)).scalar_one())


# -- what a person is shown ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeldActions:
    """How many held changes of one kind there are: what would be done, why it is planned, and why it is held."""

    action: str
    cause: str
    reason: str
    count: int


def count_held(conn: Connection, hold: Hold) -> Sequence[HeldActions]:
    """Return what a profile's hold covers, in kinds, the biggest first."""
    c, number = t.change.c, func.count().label("count")
    wanted = (
        select(c.action, c.cause, c.reason, number)
        .where(c.plan == hold.plan, c.outcome == Outcome.HELD, c.reason != REJECTED)
        .group_by(c.action, c.cause, c.reason)
        .order_by(number.desc(), c.action, c.cause)
    )
    return [HeldActions(*row) for row in conn.execute(wanted)]
