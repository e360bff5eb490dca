"""Contacts: found on both sides by a part of a name, an address or a number; what each profile makes of one; its life.

The number of queries does not depend on the number of profiles, contacts or changes. A search looks through the
contacts once, without an index: that takes some tenths of a second for 200,000, and finds parts of words.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, false, func, or_, select, union

from sync_lib.fields.filters import Groups, from_written
from sync_lib.fields.normal_forms import email_key
from sync_lib.model import Outcome
from sync_lib.store import tables as t
from sync_lib.store.engine import is_postgresql
from sync_lib.store.holds import HoldState
from sync_lib.store.queries import search
from sync_lib.store.queries.plans import IN_FORCE, ChangeLine, select_changes, to_line
from sync_lib.store.queries.reasons import reason_of
from sync_lib.store.runs import result_in
from sync_lib.store.snapshots import bc_contacts, outlook_items


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which contacts to find: every word of ``text`` in a name, an address or a number; of a profile, or of all.

    ``narrow`` finds, of what the profile's folder does not hold, only whom ``text`` names wholly.
    """

    text: str
    profile: int | None = None
    part: int = 1
    size: int = 50
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A contact of BC that was found; ``folders`` is the number of Outlook folders that it is tied to."""

    company: int
    company_title: str
    id: str
    name: str
    email: str
    number: str
    company_name: str
    type: str
    is_blocked: bool
    gone_since: str | None
    folders: int


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item of a folder that no contact of BC is tied to."""

    profile: int
    mailbox: str
    folder: str
    id: str
    name: str
    email: str
    is_private: bool | None = False


@dataclass(frozen=True, slots=True)
class Note:
    """A reject in force: why a contact, or one field of it, does not sync."""

    side: str
    field: str
    reason: str
    since: str
    run: str


@dataclass(frozen=True, slots=True)
class Twin:
    """Another contact of the company with the same e-mail address; ``profiles`` are those in which it syncs."""

    id: str
    number: str
    name: str
    type: str
    is_blocked: bool
    profiles: frozenset[int]


@dataclass(frozen=True, slots=True)
class Tie:
    """What one profile has to do with one contact.

    Attributes:
        state: Of the coupling, "" where there is none; ``origin``, ``since`` and ``outlook_id`` are its own.
        is_present: Whether the item of the coupling is in the folder.
        diffed: The company's generation that the last complete comparison saw; None before the first one.
        run: The profile's last run, with what it came to.
        company_hold: What waits for a person and keeps the whole company from syncing.
        hold: What waits for a person and covers the last changes of this contact.
        notes: The rejects of the contact and its fields.
        changes: The changes of the newest plan that had something to do with the contact.
        left_by: Who left it out of this folder, "" where nobody has; ``left_at`` is when.
        wished_by: Who wants it synced at once, "" where no such wish waits.
    """

    profile: int
    mailbox: str
    folder: str
    enabled: bool
    direction: str
    filter: Groups
    salesperson: str
    state: str
    origin: str
    since: str | None
    outlook_id: str | None
    is_present: bool
    diffed: int | None
    run: str
    run_state: str
    run_reason: str
    company_hold: int | None
    left_by: str = ""
    left_at: str | None = None
    wished_by: str = ""
    hold: int | None = None
    hold_state: str = ""
    notes: tuple[Note, ...] = ()
    changes: tuple[ChangeLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """The contact that a page is about.

    Attributes:
        company: Its company.
        bc_id: System id; None for an item that nothing in BC is tied to.
        profile: Of an item, the profile of its folder.
        outlook_id: Of an item, its id.
    """

    company: int | None
    bc_id: str | None = None
    profile: int | None = None
    outlook_id: str | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """A part of what the sync did to a contact, newest first, and how much there is of it."""

    lines: list[ChangeLine] = field(default_factory=list)
    total: int = 0


# -- finding ---------------------------------------------------------------------------------------------------------


def find_contacts(conn: Connection, wanted: Wanted) -> list[Found]:
    """Return one part of the contacts of BC, by name, and one more where another part follows."""
    bc, p, tie = t.bc_contact.c, t.sync_profile.c, t.coupling.c
    folders = select(func.count()).select_from(t.coupling).join(t.sync_profile, p.id == tie.profile)
    folders = folders.where(p.company == bc.company, tie.bc_id == bc.id, tie.outlook_id.is_not(None))
    query = (
        select(
            bc.company, t.company.c.name.label("company_title"), bc.id, bc.name, bc.email, bc.number,
            bc.company_name, bc.type, (bc.privacy_blocked == "true").label("is_blocked"), bc.gone_since,
            folders.correlate(t.bc_contact).scalar_subquery().label("folders"),
        )
        .join(t.company, t.company.c.id == bc.company)
        .where(bc.overlay == "", _sought(wanted.text, _BC_TEXTS, _BC_NUMBERS))
    )  # fmt: skip
    if wanted.profile is not None:
        company = select(p.company).where(p.id == wanted.profile).scalar_subquery()
        query = query.where(bc.company == company)
        if wanted.narrow:
            query = query.where(_held_or_named(wanted.profile, wanted.text))
    query = query.order_by(func.lower(bc.name), bc.company, bc.id)
    return [Found(*row) for row in conn.execute(_cut(query, wanted))]


def _held_or_named(profile: int, text: str) -> ColumnElement[bool]:
    """Whether a contact is tied in a profile, or its name, address or number is exactly this."""
    bc, tie = t.bc_contact.c, t.coupling.c
    tied = select(tie.id).where(tie.profile == profile, tie.bc_id == bc.id).correlate(t.bc_contact).exists()
    address = email_key(text)
    named = (search.is_whole(text, bc.name), bc.number == text)
    return or_(tied, *named, bc.email_key == address if address else false())


def find_items(conn: Connection, wanted: Wanted) -> list[FoundItem]:
    """Return one part of the items that are in Outlook only, by name, and one more where another part follows."""
    item, p, tie = t.outlook_contact.c, t.sync_profile.c, t.coupling.c
    tied = select(tie.id).where(tie.profile == item.profile, tie.outlook_id == item.id)
    query = (
        select(item.profile, p.mailbox, p.folder_name, item.id, item.name, item.email_key, item.private)
        .join(t.sync_profile, p.id == item.profile)
        .where(item.overlay == "", item.gone_since.is_(None))
        .where(_sought(wanted.text, (item.name, item.email_key), (item.record,)))
        .where(~tied.correlate(t.outlook_contact).exists())
    )
    if wanted.profile is not None:
        query = query.where(item.profile == wanted.profile)
    query = query.order_by(func.lower(item.name), item.profile, item.id)
    return [FoundItem(*row) for row in conn.execute(_cut(query, wanted))]


_BC = t.bc_contact.c

_BC_TEXTS = (_BC.name, _BC.email, _BC.email2, _BC.number, _BC.company_name)

_BC_NUMBERS = (_BC.phone, _BC.mobile_phone, _BC.number)


def _sought(text: str, texts: Collection[Any], numbers: Collection[Any]) -> Any:
    digits = search.as_number(text)
    words = and_(*search.holds_words(text, *texts))
    return or_(words, search.holds_number(digits, *numbers)) if digits else words


def _cut(query: Select[Any], wanted: Wanted) -> Select[Any]:
    return query.limit(wanted.size + 1).offset((wanted.part - 1) * wanted.size)


# -- one contact -----------------------------------------------------------------------------------------------------


def read_contact(conn: Connection, company: int, key: str) -> dict[str, Any] | None:
    """Return the staged row of a contact of BC, also of one that is gone, or None."""
    rows = bc_contacts.read_bc_rows(conn, company, ids=[key])
    return rows[0] if rows else None


def read_item(conn: Connection, profile: int, key: str) -> dict[str, Any] | None:
    """Return the staged row of an item, also of one that is gone, or None; ``record`` is parsed."""
    return outlook_items.read_outlook_records(conn, profile, [key]).get(key)


def read_owner(conn: Connection, subject: Subject) -> str | None:
    """Return the id of the contact of BC that an item is tied to, or None."""
    tie = t.coupling.c
    owner = select(tie.bc_id).where(tie.profile == subject.profile, tie.outlook_id == subject.outlook_id)
    return conn.scalar(owner)


def _syncs(company: int) -> ColumnElement[bool]:
    """Whether a profile syncs a company; one that never ran knows no more of it than the name."""
    p, c = t.sync_profile.c, t.company.c
    name = select(func.lower(c.name)).where(c.id == company).scalar_subquery()
    named = or_(p.company == company, and_(p.company.is_(None), func.lower(p.company_name) == name))
    return and_(named, p.ended_at.is_(None))


def read_ties(conn: Connection, subject: Subject, part: int = 1, size: int = 1) -> list[Tie]:
    """Return what the profiles of the contact's company make of it: those that it is tied in first."""
    p, tie = t.sync_profile.c, t.coupling.c
    query = _ties(subject, by_profile=is_postgresql(conn)).limit(size).offset((part - 1) * size)
    if subject.profile is not None:
        query = query.where(p.id == subject.profile)
    if subject.company is not None:
        query = query.where(_syncs(subject.company))
    query = query.order_by(tie.outlook_id.is_(None), func.lower(p.mailbox), p.id)
    ties = [_tie(row) for row in conn.execute(query)]
    keys = [each.profile for each in ties]
    notes = _read_notes(conn, subject, ties)
    changes = _read_last_changes(conn, subject, keys)
    holds = _read_holds(conn, {line.plan for lines in changes.values() for line in lines})
    return [_whole(each, notes, changes, holds) for each in ties]


def _ties(subject: Subject, *, by_profile: bool) -> Select[Any]:
    p, tie, item, k = t.sync_profile.c, t.coupling.c, t.outlook_contact.c, t.cursor.c
    last, h = t.run_profile.alias("last").c, t.hold.c
    if subject.bc_id is not None:
        is_tied = and_(tie.profile == p.id, tie.bc_id == subject.bc_id)
    else:
        is_tied = and_(tie.profile == p.id, tie.outlook_id == subject.outlook_id)
    started = select(last.run).where(last.profile == p.id, last.started_at.is_not(None))
    run = started.order_by(last.started_at.desc()).limit(1).correlate(t.sync_profile).scalar_subquery()
    result, is_its = result_in(run, by_profile=by_profile)
    own = result.c
    held = select(func.max(h.id)).where(h.company == p.company, h.state.in_(IN_FORCE))
    out, w = t.left_out.c, t.wish.c
    wished = select(func.max(w.asked_by)).where(w.profile == p.id, w.ended_at.is_(None))
    wished = wished.where(w.contact == (subject.bc_id or subject.outlook_id or ""))
    return (
        select(
            p.id, p.mailbox, p.folder_name, p.enabled, p.direction, p.filter, p.salesperson_code,
            func.coalesce(tie.state, ""), func.coalesce(tie.origin, ""), tie.created_at, tie.outlook_id,
            and_(item.row_id.is_not(None), item.gone_since.is_(None)), k.diffed_generation,
            func.coalesce(own.run, ""), func.coalesce(own.state, ""), reason_of(own),
            held.correlate(t.sync_profile).scalar_subquery(),
            func.coalesce(out.left_by, ""), out.left_at,
            func.coalesce(wished.correlate(t.sync_profile).scalar_subquery(), ""),
        )
        .select_from(t.sync_profile)
        .outerjoin(t.coupling, is_tied)
        .outerjoin(
            t.outlook_contact, and_(item.profile == p.id, item.overlay == "", item.id == tie.outlook_id)
        )
        .outerjoin(t.cursor, and_(k.side == "outlook", k.scope == cast(p.id, Text)))
        .outerjoin(result, is_its)
        .outerjoin(
            t.left_out, and_(out.profile == p.id, out.bc_id == (subject.bc_id or ""), out.back_at.is_(None))
        )
    )  # fmt: skip


def _tie(row: Any) -> Tie:
    values = list(row)
    values[5] = from_written(json.loads(values[5]))
    return Tie(*values)


def _whole(
    tie: Tie,
    notes: dict[int, list[Note]],
    changes: dict[int, list[ChangeLine]],
    holds: dict[int, tuple[int, str]],
) -> Tie:
    lines = changes.get(tie.profile, [])
    held = [holds[line.plan] for line in lines if line.outcome == Outcome.HELD and line.plan in holds]
    hold, hold_state = held[0] if held else (None, "")
    shown = tuple(notes.get(tie.profile, ()))
    return replace(tie, notes=shown, changes=tuple(lines), hold=hold, hold_state=hold_state)


def _read_notes(conn: Connection, subject: Subject, ties: Collection[Tie]) -> dict[int, list[Note]]:
    r = t.reject.c
    # An id of one side is never one of the other.
    contacts = {subject.bc_id, subject.outlook_id, *(tie.outlook_id for tie in ties)} - {None}
    rows = conn.execute(
        select(r.profile, r.side, r.field, r.reason, r.since, r.run)
        .where(r.profile.in_([tie.profile for tie in ties]), r.contact.in_(contacts))
        .order_by(r.profile, r.side, r.field)
    )
    notes: dict[int, list[Note]] = {}
    for profile, *values in rows:
        notes.setdefault(profile, []).append(Note(*values))
    return notes


def _read_last_changes(
    conn: Connection, subject: Subject, profiles: Collection[int]
) -> dict[int, list[ChangeLine]]:
    c, p = t.change.c, t.plan.c
    own = _changes_of(subject).subquery("own").c
    newest = select(c.profile, func.max(own.plan).label("plan")).select_from(t.change)
    newest = newest.join(own.plan.table, and_(own.plan == c.plan, own.n == c.n)).join(t.plan, p.id == c.plan)
    newest = newest.where(~p.dry_run, c.profile.in_(profiles)).group_by(c.profile)
    last = newest.subquery("newest").c
    query = (
        select_changes()
        .add_columns(c.profile)
        .join(own.plan.table, and_(own.plan == c.plan, own.n == c.n))
        .join(last.plan.table, and_(last.plan == c.plan, last.profile == c.profile))
        .order_by(c.plan, c.n)
    )
    found: dict[int, list[ChangeLine]] = {}
    for row in conn.execute(query):
        found.setdefault(row.profile, []).append(to_line(row))
    return found


def _read_holds(conn: Connection, plans: Collection[int]) -> dict[int, tuple[int, str]]:
    h = t.hold.c
    undone = select(h.plan, h.id, h.state).where(
        h.plan.in_(plans), h.state.in_([*IN_FORCE, HoldState.APPROVED])
    )
    return {row.plan: (row.id, row.state) for row in conn.execute(undone)}


def read_twins(conn: Connection, subject: Subject, email_key: str, profiles: Collection[int]) -> list[Twin]:
    """Return the other present contacts of the company with an address, of any type, by number."""
    bc, tie = t.bc_contact.c, t.coupling.c
    if not email_key:
        return []
    ours = and_(tie.profile.in_(profiles), tie.bc_id == bc.id, tie.outlook_id.is_not(None))
    rows = conn.execute(
        select(bc.id, bc.number, bc.name, bc.type, bc.privacy_blocked, tie.profile)
        .select_from(t.bc_contact)
        .outerjoin(t.coupling, ours)
        .where(bc.company == subject.company, bc.overlay == "", bc.email_key == email_key)
        .where(bc.gone_since.is_(None), bc.id != (subject.bc_id or ""))
        .order_by(bc.number, bc.id)
    ).all()
    tied: dict[str, set[int]] = {}
    for row in rows:
        tied.setdefault(row.id, set()).update({row.profile} - {None})
    one = {row.id: row for row in rows}
    return [
        Twin(key, row.number, row.name, row.type, row.privacy_blocked == "true", frozenset(tied[key]))
        for key, row in one.items()
    ]


# -- its life --------------------------------------------------------------------------------------------------------


def read_life(conn: Connection, subject: Subject, profile: int | None, part: int, size: int) -> Life:
    """Return one part of what runs did to a contact, and what they could not do, newest first."""
    c, plan, p = t.change.c, t.plan.c, t.sync_profile.c
    own = _changes_of(subject).subquery("own").c
    query = (
        select_changes()
        .add_columns(c.profile, p.mailbox, p.ended_at.is_not(None).label("has_ended"))
        .join(own.plan.table, and_(own.plan == c.plan, own.n == c.n))
        .join(t.sync_profile, p.id == c.profile)
        .where(~plan.dry_run)
    )
    if subject.bc_id is not None:
        query = query.where(p.company == subject.company)
    if profile is not None:
        query = query.where(c.profile == profile)
    total = conn.scalar(select(func.count()).select_from(query.subquery())) or 0
    shown = query.order_by(c.plan.desc(), c.n.desc()).limit(size).offset((part - 1) * size)
    return Life([to_line(row) for row in conn.execute(shown)], total)


def _changes_of(subject: Subject) -> Any:
    """The keys of a contact's changes: a contact that was made in BC had no id there when that was planned."""
    c, p, tie = t.change.c, t.sync_profile.c, t.coupling.c
    if subject.bc_id is None:
        own = (c.profile == subject.profile, c.outlook_id == subject.outlook_id, c.bc_id.is_(None))
        return select(c.plan, c.n).where(*own)
    made = (
        select(c.plan, c.n)
        .select_from(t.sync_profile)
        .join(t.coupling, and_(tie.profile == p.id, tie.bc_id == subject.bc_id))
        .join(t.change, and_(c.outlook_id == tie.outlook_id, c.bc_id.is_(None), c.profile == p.id))
        .where(p.company == subject.company)
    )
    return union(select(c.plan, c.n).where(c.bc_id == subject.bc_id), made)
