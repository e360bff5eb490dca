"""Holds: what waits for a person, and what a person decided about it (rules 8.3).

A hold of a profile covers the held changes of one plan; a hold of a company covers one number of contacts. Both are
asked, answered and recorded alike. The state is moved by compare-and-set, so that two answers make one decision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from sync_lib.model import Outcome
from sync_lib.store import tables as t
from sync_lib.store.bulk import among

#: Why a company is held.
COUNT_DROPPED = "bc_count_dropped"
COUNT_REJECTED = "bc_count_rejected"
#: Reason of an action that a person rejected in an earlier hold; it is no part of the hold whose plan it stands in.
REJECTED = "rejected_by_person"
#: Why a change that a person rejected is held no more: the diff does not yield it.
DROPPED = "no_longer_planned"


class HoldState(StrEnum):
    """Where a hold stands. ``approved`` ends as ``applied`` when a run has carried out what was approved."""

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
        hash: What an approval is bound to.
        reasons: Why it is held.
        state: Where it stands.
        asked: How often a person was asked.
        requested: The ``asked`` whose request has been made; a smaller one asks for a request.
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
    opened_at: str
    decided_by: str
    decided_at: str | None
    decided_how: str

    @property
    def request(self) -> str:
        """The run of the approval DAG that asks: the same hold, asked about the same time, has the same one."""
        return f"hold_{self.id}_{self.asked}_{self.hash[:12]}"

    @classmethod
    def of(cls, row: Any) -> Hold:
        """Return the hold that a row of the table, as a mapping, stands for."""
        reasons = json.loads(row["reasons"])
        return cls(**{**row, "reasons": reasons, "state": HoldState(row["state"])})


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said of a hold, or what it came to because nobody did in time."""

    approved: bool
    by: str
    how: str
    at: str


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


def read_held(conn: Connection, profile: int, *states: HoldState) -> dict[str, str]:
    """Return the actions that this profile's holds in these states hold: digest -> reason."""
    return {row.digest: row.reason for row in conn.execute(_held_changes(profile, states))}


def read_approved(conn: Connection, profile: int) -> dict[str, int]:
    """Return the actions that a person approved and no run has gone through yet: digest -> hold."""
    rows = conn.execute(_held_changes(profile, [HoldState.APPROVED]))
    return {row.digest: row.hold for row in rows}


def _held_changes(profile: int, states: Collection[HoldState]) -> Any:
    c = t.change.c
    return (
        select(c.digest, c.reason, c.plan, c.n, t.hold.c.id.label("hold"))
        .select_from(t.change.join(t.hold, t.hold.c.plan == c.plan))
        .where(t.hold.c.profile == profile, t.hold.c.state.in_(states))
        .where(c.outcome == Outcome.HELD, c.reason != REJECTED)
    )


def forget_dropped(conn: Connection, profile: int, digests: Collection[str], now: str) -> None:
    """Let rejected actions go that the diff does not yield any more: should it yield them again, they are new."""
    rejected = conn.execute(_held_changes(profile, [HoldState.REJECTED])).all()
    dropped = [row for row in rejected if row.digest not in digests]
    c = t.change.c
    for row in dropped:
        statement = update(t.change).where(c.plan == row.plan, c.n == row.n)
        conn.execute(statement.values(outcome=Outcome.SKIPPED, reason=DROPPED, ended_at=now))
    standing = {row.hold for row in rejected} - {row.hold for row in dropped}
    for key in {row.hold for row in dropped} - standing:
        _move(conn, key, HoldState.REJECTED, HoldState.SUPERSEDED)


def is_waiting(conn: Connection, profile: int, digest: str) -> bool:
    """Whether an open hold of this profile has this hash: the same actions are not asked about again."""
    c = t.hold.c
    found = select(func.count()).where(c.profile == profile, c.state == HoldState.OPEN, c.hash == digest)
    return bool(conn.scalar(found))


def open_hold(conn: Connection, profile: int, plan: int, values: dict[str, Any]) -> int:
    """Open a hold of a plan; ``values`` are its run, hash, reasons and time. Return its id."""
    return _insert(conn, {"profile": profile, "plan": plan, **values})


def supersede(conn: Connection, profile: int) -> None:
    """End the open holds of a profile: what is held now is something else, or nothing."""
    c = t.hold.c
    statement = update(t.hold).where(c.profile == profile, c.state == HoldState.OPEN)
    conn.execute(statement.values(state=HoldState.SUPERSEDED))


def supersede_empty(conn: Connection, plans: Collection[int]) -> None:
    """End the holds of these plans that hold nothing any more."""
    h, c = t.hold.c, t.change.c
    left = select(c.n).where(c.plan == h.plan, c.outcome == Outcome.HELD).correlate(t.hold).exists()
    standing = h.state.in_([HoldState.OPEN, HoldState.APPROVED, HoldState.REJECTED])
    empty = update(t.hold).where(among(conn, h.plan, plans), standing, ~left)
    conn.execute(empty.values(state=HoldState.SUPERSEDED))


def spend_approvals(conn: Connection, holds: Collection[int]) -> None:
    """Record that a run has gone through what these approvals let: they hold for nothing further."""
    for key in holds:
        _move(conn, key, HoldState.APPROVED, HoldState.APPLIED)


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
    c = t.hold.c
    standing = (c.company == company, c.state.in_([HoldState.OPEN, HoldState.REJECTED]))
    row = conn.execute(select(*_COLUMNS).where(*standing).order_by(c.id.desc())).mappings().first()
    return Hold.of(row) if row else None


def supersede_company(conn: Connection, company: int) -> None:
    """End the holds of a company: another number of contacts was read."""
    c = t.hold.c
    standing = c.state.in_([HoldState.OPEN, HoldState.REJECTED])
    conn.execute(update(t.hold).where(c.company == company, standing).values(state=HoldState.SUPERSEDED))


# -- decisions -------------------------------------------------------------------------------------------------------


def decide(conn: Connection, hold: Hold, decision: Decision) -> bool:
    """Record a decision; False where the hold is not open any more, or was asked about again since."""
    state = HoldState.APPROVED if decision.approved else HoldState.REJECTED
    c = t.hold.c
    is_asked = (c.id == hold.id, c.state == HoldState.OPEN, c.asked == hold.asked)
    values = {"decided_by": decision.by, "decided_at": decision.at, "decided_how": decision.how}
    return bool(conn.execute(update(t.hold).where(*is_asked).values(state=state, **values)).rowcount)


def accept_offered(conn: Connection, hold: Hold) -> None:
    """Make the number of contacts of an approved hold the accepted one."""
    c = t.company.c
    conn.execute(update(t.company).where(c.id == hold.company).values(accepted_count=hold.offered))
    _move(conn, hold.id, HoldState.APPROVED, HoldState.APPLIED)


def ask_again(conn: Connection, key: int) -> bool:
    """Ask about a hold once more, as a new request; False where it is neither rejected nor open."""
    c = t.hold.c
    values = {"state": HoldState.OPEN, "asked": c.asked + 1, "decided_by": "", "decided_at": None}
    statement = update(t.hold).where(c.id == key, c.state.in_([HoldState.REJECTED, HoldState.OPEN]))
    return bool(conn.execute(statement.values(decided_how="", **values)).rowcount)


def read_unrequested(conn: Connection) -> list[Hold]:
    """Return the open holds that nobody has been asked about yet."""
    return [hold for hold in read_holds(conn, HoldState.OPEN) if hold.requested < hold.asked]


def read_opened(conn: Connection, run: str) -> tuple[set[int], set[int]]:
    """Return the profiles and the companies of the holds that a run opened, and that still wait."""
    h = t.hold.c
    rows = conn.execute(select(h.profile, h.company).where(h.run == run, h.state == HoldState.OPEN)).all()
    return {row.profile for row in rows if row.profile}, {row.company for row in rows if row.company}


def mark_requested(conn: Connection, hold: Hold) -> None:
    """Record that a person is asked about a hold."""
    conn.execute(update(t.hold).where(t.hold.c.id == hold.id).values(requested=hold.asked))


def _move(conn: Connection, key: int, before: HoldState, after: HoldState) -> None:
    c = t.hold.c
    conn.execute(update(t.hold).where(c.id == key, c.state == before).values(state=after))


def _insert(conn: Connection, values: dict[str, Any]) -> int:
    row = {**values, "state": HoldState.OPEN, "reasons": json.dumps(values["reasons"])}
    return int(conn.execute(insert(t.hold).values(row).returning(t.hold.c.id)).scalar_one())


# -- what a person is told -------------------------------------------------------------------------------------------


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
