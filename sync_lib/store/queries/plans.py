"""What a run did, or would do, to a profile, change by change; and what a hold covers.

Changes are searched, counted and paged by the database; the number of queries does not depend on their number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, or_, select

from sync_lib.fields.categories import join_templates
from sync_lib.model import Action, Outcome
from sync_lib.store import tables as t
from sync_lib.store.holds import DROPPED, REJECTED, Hold, HoldState
from sync_lib.store.queries import search
from sync_lib.store.queries.reasons import reason_of

#: Outcomes beside those of rules 8.8: not sent yet, sent without an answer so far, and what a dry run leaves.
PLANNED, SENDING, WOULD_BE = "planned", "sending", "would_be"

TO_BC = (Action.CREATE_BC, Action.UPDATE_BC)
#: Holds that still keep something from being done.
IN_FORCE = (HoldState.OPEN, HoldState.REJECTED)

#: What was carried out.
DONE = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED)

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes to show: those of a profile in a run, or those that the hold of ``plan`` covers.

    ``text`` is a part of a name, an address or any value; ``action`` and ``outcome`` narrow the list. Blank parts say
    nothing.
    """

    profile: int
    run: str = ""
    plan: int | None = None
    text: str = ""
    action: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """One field of a change. ``old`` or ``new`` is None where the change has no such end; ``lost`` is a conflict's."""

    field: str
    old: str | None
    new: str | None
    lost: bool


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One change with its contact; ``before``, ``after`` and ``losing`` are by field, in written form."""

    plan: int
    n: int
    run: str
    round: int
    action: str
    outcome: str
    cause: str
    reason: str
    bc_id: str
    outlook_id: str
    at: str
    before: dict[str, str]
    after: dict[str, str]
    losing: dict[str, str]
    name: str = ""
    email: str = ""
    profile: int = 0
    mailbox: str = ""
    has_ended: bool = False

    @property
    def side(self) -> str:
        """The side that is written to."""
        return side_of(self.action)

    @property
    def can_be_undone(self) -> bool:
        """Whether it was carried out, is more than a key on an item that was tied, and its profile has not ended."""
        return can_be_undone(self.action, self.outcome) and not self.has_ended

    @property
    def values(self) -> list[Value]:
        """What the change does, field by field."""
        names = dict.fromkeys([*self.before, *self.after, *self.losing])
        old = self.losing | self.before
        return [Value(name, old.get(name), self.after.get(name), name in self.losing) for name in names]


@dataclass(frozen=True, slots=True)
class Group:
    """How many changes have an action and an outcome."""

    action: str
    outcome: str
    count: int

    @property
    def side(self) -> str:
        """The side that is written to."""
        return side_of(self.action)

    @property
    def can_be_undone(self) -> bool:
        """Whether they were carried out, and are more than keys on items that were tied."""
        return can_be_undone(self.action, self.outcome)


@dataclass(frozen=True, slots=True)
class PlanHead:
    """A profile in a run as a whole; of a run that never planned it, the parts about the run are blank."""

    profile: int
    mailbox: str
    company: str
    folder: str
    direction: str
    run: str
    mode: str
    dry_run: bool
    run_state: str
    state: str
    reason: str
    message: str
    started_at: str | None
    hold: int | None
    has_ended: bool


@dataclass(frozen=True, slots=True)
class HoldLine:
    """A hold with the words for whom it is about. ``changes`` is 0 for a company's."""

    hold: Hold
    mailbox: str
    company: str
    folder: str
    changes: int


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A plan of the list: which profile in which run, and how many changes."""

    profile: int
    mailbox: str
    company: str
    folder: str
    run: str
    mode: str
    dry_run: bool
    at: str
    changes: int


def side_of(action: str) -> str:
    """Return the side that an action writes to; a tie is written as a key on the Outlook item."""
    return "business_central" if action in TO_BC else "outlook"


def can_be_undone(action: str, outcome: str) -> bool:
    """Whether a change was carried out, and is more than a key on an item that was tied."""
    done = (Outcome.CREATED, Outcome.UPDATED, Outcome.CONFLICT, Outcome.DELETED)
    return outcome in done and action != Action.COUPLE


# -- the changes of one plan -----------------------------------------------------------------------------------------


def read_head(conn: Connection, profile: int, run: str) -> PlanHead | None:
    """Return a profile in a run, or None where there is no such profile."""
    p, own, r = t.sync_profile.c, t.run_profile.c, t.sync_run.c
    row = conn.execute(
        select(
            p.id, p.mailbox, p.company_name, p.folder_name, p.direction, literal(run),
            func.coalesce(r.mode, ""), func.coalesce(r.dry_run, False), func.coalesce(r.state, ""),
            func.coalesce(own.state, ""), reason_of(own), func.coalesce(own.message, ""),
            own.started_at, hold_in_force(), p.ended_at.is_not(None),
        )
        .select_from(t.sync_profile)
        .outerjoin(t.run_profile, and_(own.profile == p.id, own.run == run))
        .outerjoin(t.sync_run, r.id == run)
        .where(p.id == profile)
    ).first()  # fmt: skip
    return PlanHead(*row) if row else None


def hold_in_force() -> Any:
    """The newest hold that keeps something of the outer query's profile, or all of its company, from being done."""
    p, c = t.sync_profile.c, t.hold.c
    own = or_(c.profile == p.id, c.company == p.company)
    newest = select(func.max(c.id)).where(own, c.state.in_(IN_FORCE)).correlate(t.sync_profile)
    return newest.scalar_subquery()


def count_changes(conn: Connection, wanted: Wanted) -> list[Group]:
    """Return the changes in kinds, to Outlook first; a wanted action or outcome does not narrow them."""
    chosen = _chosen(Wanted(wanted.profile, wanted.run, wanted.plan, wanted.text)).subquery()
    kinds = select(chosen.c.action, chosen.c.outcome, func.count()).group_by(
        chosen.c.action, chosen.c.outcome
    )
    groups = [Group(*row) for row in conn.execute(kinds)]
    return sorted(
        groups, key=lambda group: (group.side != "outlook", -group.count, group.action, group.outcome)
    )


def read_changes(conn: Connection, wanted: Wanted, part: int, size: int) -> list[ChangeLine]:
    """Return one part of the changes, in the order in which they are carried out."""
    rows = conn.execute(_lines(_chosen(wanted).limit(size).offset((part - 1) * size), wanted.profile))
    return [to_line(row) for row in rows]


def read_newest(
    conn: Connection, profile: int, part: int, size: int, *, conflicts: bool = False
) -> list[ChangeLine]:
    """Return one part of what was carried out in a profile, whatever the run, newest first; or of its conflicts."""
    c, p = t.change.c, t.plan.c
    done = select_changes().where(
        c.profile == profile, ~p.dry_run, c.outcome.in_(DONE), c.action != Action.COUPLE
    )
    if conflicts:
        done = done.where(c.losing != "{}")
    shown = done.order_by(c.plan.desc(), c.n.desc()).limit(size).offset((part - 1) * size)
    return [to_line(row) for row in conn.execute(_lines(shown, profile))][::-1]


def find_change(conn: Connection, profile: int, plan: int, n: int) -> ChangeLine | None:
    """Return one change of a profile that was carried out, or None."""
    c, p = t.change.c, t.plan.c
    own = (c.plan == plan, c.n == n, c.profile == profile, p.profile == profile, ~p.dry_run)
    row = conn.execute(_lines(select_changes().where(*own), profile)).first()
    found = to_line(row) if row else None
    return found if found and found.can_be_undone else None


def iter_changes(conn: Connection, wanted: Wanted) -> Iterator[ChangeLine]:
    """Yield all changes, a thousand at a time in memory."""
    query = _lines(_chosen(wanted), wanted.profile)
    with conn.execution_options(yield_per=_CHUNK).execute(query) as rows:
        for row in rows:
            yield to_line(row)


def select_changes() -> Select[Any]:
    """Return the query for changes with their plans, as ``to_line`` takes its rows."""
    c, p = t.change.c, t.plan.c
    return select(
        c.plan, c.n, p.run, p.round, c.action, outcome().label("outcome"), c.cause, c.reason, c.bc_id, c.outlook_id,
        func.coalesce(c.ended_at, c.sent_at, p.created_at).label("at"), c.before, c.after, c.losing,
        c.categories,
    ).select_from(t.change).join(t.plan, p.id == c.plan)  # fmt: skip


def _chosen(wanted: Wanted) -> Select[Any]:
    c, p, query = t.change.c, t.plan.c, select_changes()
    if wanted.plan is not None:
        still, dropped = c.outcome == Outcome.HELD, c.reason == DROPPED
        query = query.where(c.plan == wanted.plan, or_(still, dropped), c.reason != REJECTED)
    else:
        query = query.where(p.profile == wanted.profile, p.run == wanted.run)
    if wanted.action:
        query = query.where(c.action == wanted.action)
    if wanted.outcome:
        query = query.where(outcome() == wanted.outcome)
    if wanted.text:
        query = query.where(_holds(wanted.text, wanted.profile))
    return query.order_by(c.plan, c.n)


def outcome() -> ColumnElement[str]:
    """What became of a change, as the books count it: an update that decided a conflict is one (rules 8.8)."""
    c, p = t.change.c, t.plan.c
    return case(
        # A later run closes what a dry run planned, as it does with what was never sent.
        (and_(p.dry_run, or_(c.outcome.is_(None), c.reason == "superseded")), WOULD_BE),
        (c.outcome.is_(None), c.state),
        (and_(c.outcome == Outcome.UPDATED, c.cause == "conflict"), Outcome.CONFLICT),
        else_=c.outcome,
    )


def _holds(text: str, profile: int) -> ColumnElement[bool]:
    """Whether a value of the change, or the name or address of its contact, holds a text, whatever the case."""
    c, bc, item, p = t.change.c, t.bc_contact.c, t.outlook_contact.c, t.sync_profile.c
    company = select(p.company).where(p.id == profile).scalar_subquery()
    in_bc = select(bc.id).where(bc.company == company, bc.overlay == "", bc.id == c.bc_id)
    in_outlook = select(item.id).where(item.profile == profile, item.overlay == "", item.id == c.outlook_id)
    return or_(
        search.holds_in_values(text, c.before, c.after, c.losing),
        in_bc.where(search.holds(text, bc.name, bc.email)).correlate(t.change).exists(),
        in_outlook.where(search.holds(text, item.name, item.email_key)).correlate(t.change).exists(),
    )


def _lines(chosen: Select[Any], profile: int) -> Select[Any]:
    # The page is cut before names are looked up: that costs the same for any number of changes.
    lines = chosen.subquery("shown")
    shown, p, bc, item = lines.c, t.sync_profile.c, t.bc_contact.c, t.outlook_contact.c
    is_bc = and_(bc.company == p.company, bc.overlay == "", bc.id == shown.bc_id)
    is_item = and_(item.profile == profile, item.overlay == "", item.id == shown.outlook_id)
    return (
        select(
            *shown,
            func.coalesce(bc.name, item.name, "").label("name"),
            func.coalesce(bc.email, item.email_key, "").label("email"),
            p.ended_at.is_not(None).label("has_ended"),
        )
        .select_from(lines)
        .join(t.sync_profile, p.id == profile)
        .outerjoin(t.bc_contact, is_bc)
        .outerjoin(t.outlook_contact, is_item)
        .order_by(shown.plan, shown.n)
    )


def to_line(row: Any) -> ChangeLine:
    """Return a row of ``select_changes``, and what was joined to it, as a line."""
    values = row._asdict()
    values |= {name: json.loads(values[name]) for name in ("before", "after", "losing")}
    categories = json.loads(values.pop("categories"))
    for name in ("before", "after"):
        if categories.get(name):
            values[name]["categories"] = join_templates(categories[name])
    values |= {name: values[name] or "" for name in ("bc_id", "outlook_id")}
    # A contact that staging does not know is called by what the change itself says of it.
    known = values["before"] | values["after"]
    values |= {name: values.get(name) or known.get(name, "") for name in ("name", "email")}
    return ChangeLine(**values)


# -- lists -----------------------------------------------------------------------------------------------------------


def count_holds(conn: Connection, text: str) -> dict[str, int]:
    """Return how many holds are in each state."""
    c = t.hold.c
    counted = _of_holds(select(c.state, func.count()), text).group_by(c.state)
    return {row[0]: row[1] for row in conn.execute(counted)}


def read_hold_line(conn: Connection, key: int) -> HoldLine | None:
    """Return one hold, or None."""
    row = conn.execute(_hold_lines("").where(t.hold.c.id == key)).first()
    return _hold_line(row) if row else None


def read_hold_lines(conn: Connection, state: str, text: str, part: int, size: int) -> list[HoldLine]:
    """Return one part of the holds in a state, newest first; those that stand for no state."""
    c = t.hold.c
    chosen = _hold_lines(text).where(c.state == state if state else c.state.in_(IN_FORCE))
    chosen = chosen.order_by(case((c.state == HoldState.OPEN, 0), else_=1), c.id.desc())
    return [_hold_line(row) for row in conn.execute(chosen.limit(size).offset((part - 1) * size))]


def _hold_lines(text: str) -> Select[Any]:
    c, p, k = t.hold.c, t.sync_profile.c, t.change.c
    changes = select(func.count()).where(k.plan == c.plan, k.reason != REJECTED)
    changes = changes.where(or_(k.outcome == Outcome.HELD, k.reason == DROPPED)).correlate(t.hold)
    return _of_holds(
        select(
            *(c[field.name] for field in fields(Hold)),
            func.coalesce(p.mailbox, "").label("mailbox"),
            func.coalesce(p.company_name, t.company.c.name, "").label("company_name"),
            func.coalesce(p.folder_name, "").label("folder"),
            changes.scalar_subquery().label("changes"),
        ),
        text,
    )


def _of_holds(query: Select[Any], text: str) -> Select[Any]:
    c, p = t.hold.c, t.sync_profile.c
    query = query.select_from(t.hold).outerjoin(t.sync_profile, p.id == c.profile)
    query = query.outerjoin(t.company, t.company.c.id == c.company)
    if not text:
        return query
    return query.where(search.holds(text, p.mailbox, p.company_name, t.company.c.name))


def _hold_line(row: Any) -> HoldLine:
    values = row._asdict()
    names = {name: values.pop(name) for name in ("mailbox", "company_name", "folder", "changes")}
    return HoldLine(
        Hold.of(values), names["mailbox"], names["company_name"], names["folder"], names["changes"]
    )


def read_plans(conn: Connection, text: str, kind: str, part: int, size: int) -> list[PlanLine]:
    """Return plans, one for each run and profile that had something to do, the newest first.

    Args:
        conn: The staging database.
        text: A part of a mailbox or a company's name, or "".
        kind: ``done`` leaves out what was planned only, ``planned`` all else; "" leaves out nothing.
        part: Which part of the list, from 1.
        size: How long a part is; one line more is returned where another part follows.
    """
    c, p, k = t.plan.c, t.sync_profile.c, t.change.c
    newest = select(t.plan, p.mailbox, p.company_name, p.folder_name).join(t.sync_profile, p.id == c.profile)
    if text:
        newest = newest.where(search.holds(text, p.mailbox, p.company_name))
    if kind:
        newest = newest.where(c.dry_run if kind == "planned" else ~c.dry_run)
    # The rounds behind the first one decide once more about some contacts of it.
    window = newest.where(c.round == 1).order_by(c.id.desc()).limit(size + 1).offset((part - 1) * size)
    shown = window.subquery("shown").c
    changes = select(func.count()).where(k.plan == shown.id).scalar_subquery()
    rows = conn.execute(
        select(
            shown.profile, shown.mailbox, shown.company_name, shown.folder_name, shown.run, shown.mode,
            shown.dry_run, shown.created_at, changes,
        ).order_by(shown.id.desc())
    )  # fmt: skip
    return [PlanLine(*row) for row in rows]
