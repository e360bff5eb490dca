"""What persons want undone: the requests, and what the change log says was there before (rules 9).

A request names changes and holds no value of a contact. It stays until a run has gone through it, so that a run that
broke off, or waits for a person, is made up for by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, insert, or_, select, update

from sync_lib.model import Action, Fields, Outcome, Undone
from sync_lib.store import tables as t

#: What of a change can be asked to be undone; the key of an item that was tied is left.
DONE = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED)
#: Why a contact that was made in BC stays there: nothing that the sync does ever deletes one.
NEVER_DELETED = "never_deleted_in_bc"


class UndoState(StrEnum):
    """How far a request is."""

    OPEN = "open"
    DONE = "done"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be undone in a profile: one change of a plan, or all that a run did."""

    profile: int
    run: str
    plan: int | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Undo:
    """A request.

    Attributes:
        told: What became of it: ``contacts`` that are as they were, and ``reasons`` of what was left, with numbers.
    """

    id: int
    profile: int
    run: str
    plan: int | None
    n: int | None
    state: UndoState
    asked_by: str
    asked_at: str
    ended_at: str | None
    ended_run: str
    told: dict[str, Any]

    @property
    def asked(self) -> Asked:
        """What is to be undone."""
        return Asked(self.profile, self.run, self.plan, self.n)


@dataclass(frozen=True, slots=True)
class Open:
    """What is wanted of a profile now.

    Attributes:
        keys: The requests.
        undone: What the change log says of it, by BC id.
        made_in_bc: Contacts that were made in BC; they stay.
    """

    keys: tuple[int, ...] = ()
    undone: Mapping[str, Undone] = field(default_factory=dict)
    made_in_bc: int = 0


def ask(conn: Connection, asked: Asked, by: str, now: str) -> int:
    """Record a request; return its id, or that of the same one that is open already."""
    u = t.undo.c
    same = (u.profile == asked.profile, u.run == asked.run, u.state == UndoState.OPEN)
    of_change = (u.plan.is_(None) if asked.plan is None else u.plan == asked.plan, _is(u.n, asked.n))
    known = conn.scalar(select(u.id).where(*same, *of_change))
    if known is not None:
        return int(known)
    values = {"profile": asked.profile, "run": asked.run, "plan": asked.plan, "n": asked.n}
    row = {**values, "state": UndoState.OPEN, "asked_by": by, "asked_at": now}
    return int(conn.execute(insert(t.undo).values(row).returning(u.id)).scalar_one())


def _is(column: Any, value: int | None) -> Any:
    return column.is_(None) if value is None else column == value


def withdraw(conn: Connection, key: int, now: str) -> bool:
    """End a request that no run has gone through yet; False where it is not open."""
    u = t.undo.c
    statement = update(t.undo).where(u.id == key, u.state == UndoState.OPEN)
    return bool(conn.execute(statement.values(state=UndoState.WITHDRAWN, ended_at=now)).rowcount)


def close(conn: Connection, keys: Iterable[int], run: str, summary: Mapping[str, Any], now: str) -> None:
    """Record that a run has gone through requests, and what came of it."""
    u = t.undo.c
    values = {"state": UndoState.DONE, "ended_at": now, "ended_run": run, "told": json.dumps(summary)}
    for key in keys:
        conn.execute(update(t.undo).where(u.id == key, u.state == UndoState.OPEN).values(values))


def read_undo(conn: Connection, key: int) -> Undo | None:
    """Return a request, or None."""
    u = t.undo.c
    row = conn.execute(select(*(u[name] for name in Undo.__dataclass_fields__)).where(u.id == key)).first()
    return _undo(row) if row else None


def read_undos(conn: Connection, profile: int, limit: int) -> list[Undo]:
    """Return the last requests of a profile, newest first."""
    u = t.undo.c
    wanted = select(*(u[name] for name in Undo.__dataclass_fields__)).where(u.profile == profile)
    return [_undo(row) for row in conn.execute(wanted.order_by(u.id.desc()).limit(limit))]


def _undo(row: Any) -> Undo:
    values = row._asdict()
    return Undo(**values | {"state": UndoState(values["state"]), "told": json.loads(values["told"])})


_OPEN = (
    select(t.undo.c.id, t.undo.c.run, t.undo.c.plan, t.undo.c.n)
    .where(t.undo.c.profile == bindparam("profile"), t.undo.c.state == UndoState.OPEN)
    .order_by(t.undo.c.id)
)


def read_open(conn: Connection, profile: int) -> Open:
    """Return what is wanted of a profile now."""
    rows = conn.execute(_OPEN, {"profile": profile}).all()
    if not rows:
        return Open()
    found = read_wanted(conn, [Asked(profile, row.run, row.plan, row.n) for row in rows])
    return replace(found, keys=tuple(row.id for row in rows))


def read_wanted(conn: Connection, asked: Iterable[Asked]) -> Open:
    """Return what the change log says was there before, of everything that is asked for together."""
    rows = conn.execute(_changes(list(asked))).all()
    made_in_bc = sum(row.action == Action.CREATE_BC for row in rows)
    return Open((), _composed(rows), made_in_bc)


def _changes(asked: list[Asked]) -> Select[Any]:
    c, p = t.change.c, t.plan.c
    own = [and_(p.profile == each.profile, p.run == each.run, *_of_change(each)) for each in asked]
    query = select(c.plan, c.n, c.action, c.bc_id, c.before, c.after).join(t.plan, p.id == c.plan)
    query = query.where(or_(*own), ~p.dry_run, c.outcome.in_(DONE))
    return query.order_by(c.plan, c.n)


def _of_change(asked: Asked) -> list[Any]:
    c = t.change.c
    return [] if asked.plan is None else [c.plan == asked.plan, c.n == asked.n]


def _composed(rows: Iterable[Any]) -> dict[str, Undone]:
    """What was there before the first of the changes, and what the last one wrote."""
    undone: dict[str, Undone] = {}
    for row in rows:
        if row.bc_id is None:
            continue
        known = undone.get(row.bc_id, Undone())
        undone[row.bc_id] = _added(known, row.action, json.loads(row.before), json.loads(row.after))
    return {key: each for key, each in undone.items() if each != Undone()}


def _added(known: Undone, action: str, before: Fields, after: Fields) -> Undone:
    if action == Action.CREATE_OUTLOOK:
        # An item that took the place of one that was deleted before: on the whole, fields may have changed.
        return replace(known, restored=None) if known.restored is not None else replace(known, made=after)
    if action == Action.DELETE_OUTLOOK:
        return (
            replace(known, made=None, values={})
            if known.made is not None
            else replace(known, restored=before)
        )
    values = dict(known.values)
    for name, new in after.items():
        old = values[name][0] if name in values else before.get(name, "")
        values[name] = (old, new)
    return replace(known, values=values)
