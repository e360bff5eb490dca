"""The two snapshots: what BC and each Outlook folder held when they were last read (rules 5).

Every function works inside the caller's transaction, so that a cursor is saved with the rows that it stands for.
``overlay`` is "" for the snapshot itself. A dry run gives its run id: rows that it stages shadow the real ones of the
same id, for whoever reads with that overlay, until ``drop_overlay`` throws them away (rules 8.2).

Staging locks the company (or the profile) until the transaction ends, so that two workers never compare their rows
with the same stored ones. Therefore fetch first, then open the transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import orjson
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)

from sync_lib.fields import filters
from sync_lib.fields.columns import COLUMN_NAMES
from sync_lib.fields.normal_forms import address_digest
from sync_lib.fields.texts import clean_line, fold_case
from sync_lib.model import BcContact, OutlookContact
from sync_lib.store import tables as t
from sync_lib.store.bulk import (
    FrameQuery,
    among,
    among_named,
    insert_rows,
    parts,
    read_tuples,
    update_rows,
)
from sync_lib.store.engine import is_postgresql

if TYPE_CHECKING:
    import pandas as pd

Values = tuple[Any, ...]
#: A service's stamp and version token of one contact.
Version = tuple[str, str]

# From so many changed rows on, the planner's statistics are worth their time.
_MANY = 20_000
#: What the diff needs of a profile's scope.
SCOPE_COLUMNS = (
    *("row_id", "id", "fingerprint", "etag", "last_modified", "email_key", "problem"),
    *COLUMN_NAMES,
)
_LIGHT_OUTLOOK = ("row_id", "id", "etag", "created", "bc_key", "email_key", "fingerprint")


class BcRow(NamedTuple):
    """A contact of BC to stage; ``problem`` is why it may not go to Outlook (rules 3), "" = it may."""

    contact: BcContact
    fingerprint: int
    email_key: str
    problem: str = ""


class OutlookRow(NamedTuple):
    """An Outlook item to stage; its record is complete: parts that a delta left out are filled in already."""

    contact: OutlookContact
    fingerprint: int
    email_key: str
    name: str
    address_digest: str = ""


@dataclass(slots=True)
class Staged:
    """What staging came to.

    Attributes:
        changed: Rows that were new, replaced, or present again.
        unchanged: Rows that the snapshot held already.
        conflicting: Ids whose staged row is newer, or as new and another version: GET by id decides (rules 5).
        stored: The versions that the conflicting rows had; hand them back as ``force``.
    """

    changed: int = 0
    unchanged: int = 0
    conflicting: list[str] = field(default_factory=list)
    stored: dict[str, Version] = field(default_factory=dict)


class KnownItem(NamedTuple):
    """What the snapshot knows of an Outlook item without its fields."""

    row_id: int
    etag: str
    last_modified: str
    bc_key: str | None
    gone: bool
    is_veiled: bool = False


#: True: the rows come from a GET by id and replace whatever is staged. Versions: only where these are still staged.
Force = bool | Mapping[str, Version]


class _Stored(NamedTuple):
    id: str
    row_id: int
    overlay: str
    last_modified: str
    etag: str
    normaliser: int
    gone_since: str | None
    bc_key: str | None
    private: bool | None = None
    flag_etag: str = ""
    texts: tuple[str, ...] = ()


R = TypeVar("R", BcRow, OutlookRow)


@dataclass(frozen=True)
class _Snapshot(Generic[R]):
    """One of the two tables, and how a row of its side becomes a row of it."""

    table: Table
    owner: str
    names: tuple[str, ...]
    values: Callable[[R, _Stored | None], Values]
    #: Columns that decide whether a row of the same version is another one all the same.
    compared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where rows are staged, and under which rules."""

    scope: int
    overlay: str
    force: Force
    normaliser: int
    # Values that every row gets, in the order of the snapshot's last columns.
    common: Values
    # Rows to write whatever is stored.
    rewrite: frozenset[str] = frozenset()


# -- staging ---------------------------------------------------------------------------------------------------------


def stage_business_central(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection,
    company: int,
    rows: Iterable[BcRow],
    *,
    generation: int,
    normaliser: int,
    overlay: str = "",
    force: Force = False,
) -> Staged:
    """Take contacts of BC into the snapshot; older never replaces newer.

    Args:
        conn: Inside a transaction.
        company: Key of the company.
        rows: Contacts as read, in any order.
        generation: What ``next_generation`` gave; the rows that change carry it.
        normaliser: Version of the normal forms (and of everything else that fingerprints depend on, such as the
            field profile). A row with another one is written again although its version is the same.
        overlay: Run id of a dry run, or "".
        force: The rows are answers to a GET by id.
    """
    stage = _Stage(company, overlay, force, normaliser, (normaliser, generation))
    lock_company(conn, company)
    return _stage(conn, _BC, stage, rows)


def stage_outlook(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection,
    profile: int,
    rows: Iterable[OutlookRow],
    *,
    normaliser: int,
    overlay: str = "",
    force: Force = False,
    tied: Collection[str] = (),
) -> Staged:
    """Take Outlook items into the snapshot; as ``stage_business_central``.

    A BC key, private flag, stamp or creation time that was not read keeps its stored value. Of a private item that
    nothing is tied to only a digest of the address is stored; ``tied`` are items that are about to be coupled.
    """
    stage = _Stage(profile, overlay, force, normaliser, (normaliser,), frozenset(tied))
    lock_profile(conn, profile)
    veil = _Veil(conn, profile, stage.rewrite)
    return _stage(conn, replace(_OUTLOOK, values=veil.values), stage, rows)


class _Veil:
    """Keeps what nobody may see out of the rows: of a private item that nothing is tied to (rules 3)."""

    def __init__(self, conn: Connection, profile: int, tied: frozenset[str]) -> None:
        self._conn = conn
        self._profile = profile
        self._about_to_be = tied
        self._tied: frozenset[str] | None = None

    def values(self, row: OutlookRow, stored: _Stored | None) -> Values:
        contact = row.contact
        kept = stored.private if stored else None
        if not (kept if contact.private is None else contact.private) or self._is_tied(contact.id):
            return _values_of_outlook(row, stored)
        veiled = OutlookRow(_without_content(contact), 0, "", "", address_digest(row.email_key))
        return _values_of_outlook(veiled, stored)

    def _is_tied(self, item: str) -> bool:
        if self._tied is None:
            c = t.coupling.c
            wanted = select(c.outlook_id).where(c.profile == self._profile, c.outlook_id.is_not(None))
            self._tied = frozenset(key for (key,) in read_tuples(self._conn, wanted)) | self._about_to_be
        return item in self._tied


def _without_content(contact: OutlookContact) -> OutlookContact:
    return replace(contact, record={})


def lock_company(conn: Connection, company: int) -> None:
    """Keep others from staging contacts of a company until the transaction ends."""
    _lock(conn, t.company, company)


def lock_profile(conn: Connection, profile: int) -> None:
    """Keep others from staging items of a profile until the transaction ends."""
    _lock(conn, t.sync_profile, profile)


def _lock(conn: Connection, table: Table, key: int) -> None:
    # FOR NO KEY UPDATE: rows that only refer to this one may still be written by others. SQLite has one writer.
    if is_postgresql(conn):
        conn.execute(select(table.c.id).where(table.c.id == key).with_for_update(key_share=True))


def _stage(conn: Connection, snapshot: _Snapshot[R], stage: _Stage, rows: Iterable[R]) -> Staged:
    staged = Staged()
    # At the first read there is nothing to compare with but what this very call has staged.
    seen: set[str] | None = set() if _is_empty(conn, snapshot, stage) else None
    for part in parts(rows):
        newest, ambiguous = _newest(part)
        known = _stored(conn, snapshot, stage, newest if seen is None else newest.keys() & seen)
        _stage_part(conn, snapshot, stage, newest, known, staged)
        _note_ambiguous(newest, ambiguous, staged)
        if seen is not None:
            seen |= newest.keys()
    if staged.changed >= _MANY and is_postgresql(conn):
        # Its planner knows nothing of so many new rows until it looks by itself, about a minute later.
        columns = {each.name for keys in snapshot.table.indexes for each in keys.columns} | {"id"}
        conn.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {snapshot.table.name} ({', '.join(sorted(columns))})")
    return staged


def _is_empty(conn: Connection, snapshot: _Snapshot[R], stage: _Stage) -> bool:
    layers = {"scope": stage.scope, "overlay": stage.overlay}
    return conn.execute(_any_staged(snapshot.table), layers).first() is None


@cache
def _any_staged(table: Table) -> Select[Any]:
    layer = or_(table.c.overlay == "", table.c.overlay == _OVERLAY)
    return select(table.c.row_id).where(_owner(table) == _SCOPE, layer).limit(1)


def _stage_part(  # noqa: PLR0913 - one step of the loop above
    conn: Connection,
    snapshot: _Snapshot[R],
    stage: _Stage,
    newest: dict[str, R],
    known: dict[str, _Stored],
    staged: Staged,
) -> None:
    new: list[Values] = []
    changed: list[Values] = []
    for key, row in newest.items():
        stored = known.get(key)
        verdict = _judge(row, stored, stage) if stored else _WRITE
        if verdict is _SAME:
            staged.unchanged += 1
            continue
        if stored and verdict is _CONFLICT:
            staged.conflicting.append(key)
            staged.stored[key] = (stored.last_modified, stored.etag)
            continue
        values: Values = snapshot.values(row, stored) + stage.common
        if stored and stored.overlay == stage.overlay:
            changed.append((*values, stored.row_id))
        else:
            new.append((stage.scope, stage.overlay, key, *values))
    staged.changed += len(new) + len(changed)
    insert_rows(conn, snapshot.table, (snapshot.owner, "overlay", "id", *snapshot.names), new)
    update_rows(conn, snapshot.table, snapshot.names, changed)


def _note_ambiguous(newest: dict[str, R], ambiguous: list[str], staged: Staged) -> None:
    for key in ambiguous:
        if key not in staged.stored:
            staged.conflicting.append(key)
            staged.stored[key] = (newest[key].contact.last_modified, newest[key].contact.etag)


def _newest(rows: list[R]) -> tuple[dict[str, R], list[str]]:
    """Return the newest row of each id, and the ids of which two newest ones differ."""
    newest = {row.contact.id: row for row in rows}
    if len(newest) == len(rows):
        return newest, []
    newest = {}
    ambiguous: dict[str, str] = {}
    for row in rows:
        contact = row.contact
        other = newest.setdefault(contact.id, row)
        if other is row:
            continue
        mine, others = _rank(row), _rank(other)
        if mine[0] == others[0] and contact.etag != other.contact.etag:
            ambiguous[contact.id] = contact.last_modified
        if mine > others:
            newest[contact.id] = row
    tied = [key for key, stamp in ambiguous.items() if newest[key].contact.last_modified == stamp]
    return newest, tied


def _rank(row: BcRow | OutlookRow) -> tuple[str, str, bool]:
    contact = row.contact
    keyed = isinstance(contact, OutlookContact) and contact.bc_key is not None
    return contact.last_modified, contact.etag, keyed


def _stored(
    conn: Connection, snapshot: _Snapshot[R], stage: _Stage, ids: Collection[str]
) -> dict[str, _Stored]:
    """Return what is staged of some ids: the overlay's row where it has one, else the real row."""
    if not ids:
        return {}
    wanted = _stored_rows(snapshot.table, snapshot.compared, is_postgresql(conn))
    # "" comes first, so that the overlay's own row replaces it below.
    layers = [""] if not stage.overlay else ["", stage.overlay]
    found: dict[str, _Stored] = {}
    for layer in layers:
        rows = read_tuples(conn, wanted, {"scope": stage.scope, "overlay": layer, "ids": ids})
        found |= {stored.id: stored for stored in map(_to_stored, rows)}
    return found


@cache
def _stored_rows(table: Table, compared: tuple[str, ...], postgresql: bool) -> Select[Any]:
    c = table.c
    own = [c[name] if name in c else literal(None) for name in ("bc_key", "private", "flag_etag")]
    columns = (c.id, c.row_id, c.overlay, c.last_modified, c.etag, c.normaliser, c.gone_since, *own)
    return select(*columns, *(c[name] for name in compared)).where(
        _owner(table) == _SCOPE, c.overlay == _OVERLAY, among_named(c.id, "ids", postgresql=postgresql)
    )


def _to_stored(row: tuple[Any, ...]) -> _Stored:
    return _Stored._make((*row[:10], tuple(row[10:])))


_WRITE, _SAME, _CONFLICT = "write", "same", "conflict"


def _judge(row: BcRow | OutlookRow, stored: _Stored, stage: _Stage) -> str:
    """Say what to do with a row that was read while another is stored (rules 5)."""
    contact = row.contact
    if _same_version(contact, stored):
        again = contact.id in stage.rewrite or _outdated(contact, stored, stage)
        return _WRITE if again else _SAME
    force = stage.force
    forced = force if isinstance(force, bool) else force.get(stored.id) == (stored.last_modified, stored.etag)
    return _WRITE if forced or contact.last_modified > stored.last_modified else _CONFLICT


def _same_version(contact: BcContact | OutlookContact, stored: _Stored) -> bool:
    """Whether stamp and version are the stored ones; either may be left out by Outlook's delta, not both."""
    stamp, etag = contact.last_modified, contact.etag
    return (
        (stamp == stored.last_modified or not stamp)
        and (etag == stored.etag or not etag)
        and bool(stamp or etag)
    )


def _outdated(contact: BcContact | OutlookContact, stored: _Stored, stage: _Stage) -> bool:
    """Whether the stored row of the same version has to be written all the same."""
    if stored.gone_since is not None or stored.normaliser != stage.normaliser:
        return True
    if isinstance(contact, BcContact):
        # Computed fields of BC change and move neither stamp nor version (rules 5).
        return bc_texts(contact) != stored.texts
    known = (stored.private, stored.flag_etag)
    flag = contact.private is not None and (contact.private, contact.etag) != known
    return flag or contact.bc_key not in (None, stored.bc_key)


def _storable(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts without NUL and halves of surrogate pairs, which no database takes (PostgreSQL) or keeps."""
    text = "".join(texts)
    if "\x00" not in text and (text.isascii() or _is_unicode(text)):
        return texts
    return tuple(text.replace("\x00", "").encode(errors="ignore").decode() for text in texts)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_bc_values = itemgetter(*COLUMN_NAMES)


def bc_texts(contact: BcContact) -> tuple[str, ...]:
    """Return a contact's fields as they are stored."""
    try:
        values = _bc_values(contact.values)
    except KeyError:
        values = tuple(contact.values.get(name, "") for name in COLUMN_NAMES)
    return _storable(values)


def _values_of_bc(row: BcRow, _: _Stored | None) -> Values:
    contact = row.contact
    version = _storable((contact.etag, contact.last_modified))
    derived = _storable((row.email_key, _company_key(contact.values), row.problem))
    return (*version, *bc_texts(contact), *derived, row.fingerprint, None)


def _company_key(values: Mapping[str, str]) -> str:
    is_company = values.get("type", "").casefold() == "company"
    return fold_case(clean_line(values.get("name", ""))) if is_company else ""


def _values_of_outlook(row: OutlookRow, stored: _Stored | None) -> Values:
    contact = row.contact
    kept = stored or _Stored("", 0, "", "", "", 0, None, None, None, "")
    key = contact.bc_key if contact.bc_key is not None else kept.bc_key
    stamp = contact.last_modified or kept.last_modified
    texts = _storable((_to_json(contact.record), row.email_key, row.name))
    flag = (kept.private, kept.flag_etag) if contact.private is None else (contact.private, contact.etag)
    return (
        *(contact.etag, stamp, contact.created, key, *texts, row.fingerprint, None, ""),
        *flag,
        row.address_digest,
    )


def _to_json(record: dict[str, Any]) -> str:
    try:
        return orjson.dumps(record).decode()
    except TypeError:
        # Halves of surrogate pairs, from a text that something cut: the slower encoder escapes them.
        return json.dumps(record)


def _from_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


_BC = _Snapshot[BcRow](
    t.bc_contact,
    "company",
    (
        "etag",
        "last_modified",
        *COLUMN_NAMES,
        "email_key",
        "company_key",
        "problem",
        "fingerprint",
        "gone_since",
        "normaliser",
        "generation",
    ),
    _values_of_bc,
    COLUMN_NAMES,
)
_OUTLOOK = _Snapshot[OutlookRow](
    t.outlook_contact,
    "profile",
    (
        "etag",
        "last_modified",
        "created",
        "bc_key",
        "record",
        "email_key",
        "name",
        "fingerprint",
        "gone_since",
        "gone_reason",
        "private",
        "flag_etag",
        "address_digest",
        "normaliser",
    ),
    _values_of_outlook,
)


def next_generation(conn: Connection, company: int) -> int:
    """Count the company's generation up and return it; others wait for this transaction before they get theirs."""
    columns = t.company.c
    statement = update(t.company).where(columns.id == company).values(generation=columns.generation + 1)
    return int(conn.execute(statement.returning(columns.generation)).scalar_one())


# -- what is gone ----------------------------------------------------------------------------------------------------


def mark_gone_business_central(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection, company: int, ids: Collection[str], *, at: str, generation: int, overlay: str = ""
) -> int:
    """Mark contacts that BC no longer has; return how many were present until now."""
    lock_company(conn, company)
    return _mark_gone(conn, t.bc_contact, company, overlay, ids, gone_since=at, generation=generation)


def mark_gone_outlook(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection, profile: int, ids: Collection[str], *, at: str, reason: str, overlay: str = ""
) -> int:
    """Mark items that the folder no longer has; return how many were present until now."""
    lock_profile(conn, profile)
    return _mark_gone(conn, t.outlook_contact, profile, overlay, ids, gone_since=at, gone_reason=reason)


def mark_all_gone_outlook(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection, profile: int, *, at: str, reason: str, overlay: str = "", but: Collection[str] = ()
) -> int:
    """Mark all items of a folder except ``but``: the folder was replaced, or a complete read found only these."""
    ids = known_outlook(conn, profile, overlay)
    spared = set(but)
    gone = [key for key, item in ids.items() if not item.gone and key not in spared]
    return mark_gone_outlook(conn, profile, gone, at=at, reason=reason, overlay=overlay)


def _mark_gone(
    conn: Connection, table: Table, scope: int, overlay: str, ids: Collection[str], **values: Any
) -> int:
    if not ids:
        return 0
    present = and_(_owner(table) == scope, table.c.gone_since.is_(None), among(conn, table.c.id, ids))
    own = conn.execute(update(table).where(present, table.c.overlay == overlay).values(values)).rowcount
    if not overlay:
        return own
    # The real rows stay as they are: the dry run gets copies of them that are gone.
    shadow = table.alias()
    shadowed = exists().where(_owner(shadow) == scope, shadow.c.overlay == overlay, shadow.c.id == table.c.id)
    changed = {"overlay": overlay, **values}
    names = [column.name for column in table.c if column.name != "row_id"]
    copies = select(
        *(literal(changed[name], table.c[name].type) if name in changed else table.c[name] for name in names)
    ).where(present, table.c.overlay == "", ~shadowed)
    shadows = insert(table).from_select(names, copies)
    return own + conn.execute(shadows, execution_options={"preserve_rowcount": True}).rowcount


def drop_overlay(conn: Connection, overlay: str) -> None:
    """Throw away what a dry run staged.

    Raises:
        ValueError: ``overlay`` is "", which is the snapshot itself.
    """
    if not overlay:
        raise ValueError("the snapshot itself is not an overlay")
    for table, owner in ((t.bc_contact, t.company), (t.outlook_contact, t.sync_profile)):
        # By owner, because the indexes begin with it.
        owned = _owner(table).in_(select(owner.c.id))
        conn.execute(delete(table).where(owned, table.c.overlay == overlay))


# -- reading ---------------------------------------------------------------------------------------------------------

# Statements are made once, since making one takes longer than SQLite needs to answer it; ``_in`` gives the values.
_SCOPE: BindParameter[int] = bindparam("scope")
_OVERLAY: BindParameter[str] = bindparam("overlay")


def _in(scope: int, overlay: str, **values: Any) -> dict[str, Any]:
    return {"scope": scope, "overlay": overlay, **values}


def _owner(table: FromClause) -> ColumnElement[int]:
    column: ColumnElement[int] = table.c.company if "company_key" in table.c else table.c.profile
    return column


@cache
def _rows(table: Table, overlaid: bool) -> tuple[FromClause, ColumnElement[bool]]:
    """Return what holds the rows of a snapshot as an overlay shows them, and the condition that picks them.

    ``row_id`` is that of the real row, which couplings name; a row that only the overlay has gets its own, negative.
    """
    if not overlaid:
        return table, and_(_owner(table) == _SCOPE, table.c.overlay == "")
    real, over, shadowed = table.alias("real"), table.alias("over"), table.alias("shadowed")
    others = [column.name for column in table.c if column.name != "row_id"]

    def pair(one: FromClause, other: FromClause) -> ColumnElement[bool]:
        layer = other.c.overlay == _OVERLAY if other is over else other.c.overlay == ""
        return and_(_owner(other) == _SCOPE, layer, other.c.id == one.c.id)

    link = case((shadowed.c.row_id.is_(None), -over.c.row_id), else_=shadowed.c.row_id).label("row_id")
    plain = select(real.c.row_id, *(real.c[name] for name in others)).where(
        _owner(real) == _SCOPE, real.c.overlay == "", ~exists().where(pair(real, over)).correlate(real)
    )
    own = (
        select(link, *(over.c[name] for name in others))
        .select_from(over.outerjoin(shadowed, pair(over, shadowed)))
        .where(_owner(over) == _SCOPE, over.c.overlay == _OVERLAY)
    )
    return union_all(plain, own).subquery("seen"), true()


def _present(table: Table, overlaid: bool) -> tuple[FromClause, ColumnElement[bool]]:
    rows, picked = _rows(table, overlaid)
    return rows, and_(picked, rows.c.gone_since.is_(None))


def known_bc(conn: Connection, company: int, overlay: str = "") -> dict[str, Version]:
    """Return stamp and version of every present contact by its id: what an id scan is compared with."""
    found = read_tuples(conn, _known_bc(bool(overlay)), _in(company, overlay))
    return {key: (stamp, etag) for key, stamp, etag in found}


@cache
def _known_bc(overlaid: bool) -> Select[Any]:
    rows, present = _present(t.bc_contact, overlaid)
    return select(rows.c.id, rows.c.last_modified, rows.c.etag).where(present)


def read_blocked(conn: Connection, company: int, overlay: str = "") -> list[str]:
    """Return the ids of the present contacts of a company that are blocked for privacy."""
    return sorted(conn.scalars(_blocked(bool(overlay)), _in(company, overlay)))


@cache
def _blocked(overlaid: bool) -> Select[Any]:
    rows, present = _present(t.bc_contact, overlaid)
    return select(rows.c.id).where(present, rows.c.privacy_blocked == "true")


def read_bc_texts(
    conn: Connection, company: int, ids: Collection[str], overlay: str = ""
) -> dict[str, tuple[str, ...]]:
    """Return the fields of some present contacts as ``bc_texts`` gives them."""
    wanted = _bc_texts(bool(overlay), is_postgresql(conn))
    return {row[0]: tuple(row[1:]) for row in read_tuples(conn, wanted, _in(company, overlay, ids=ids))}


@cache
def _bc_texts(overlaid: bool, postgresql: bool) -> Select[Any]:
    rows, present = _present(t.bc_contact, overlaid)
    wanted = select(rows.c.id, *(rows.c[name] for name in COLUMN_NAMES))
    return wanted.where(present, among_named(rows.c.id, "ids", postgresql=postgresql))


def count_present(conn: Connection, company: int, overlay: str = "") -> int:
    """Return how many contacts the company has, of any type."""
    rows, present = _present(t.bc_contact, bool(overlay))
    wanted = select(func.count()).select_from(rows).where(present)
    return conn.execute(wanted, _in(company, overlay)).scalar_one()


def read_scope(
    conn: Connection,
    company: int,
    *,
    condition: filters.Condition | None = None,
    overlay: str = "",
    columns: Sequence[str] = SCOPE_COLUMNS,
) -> pd.DataFrame:
    """Return the persons of a company that may be in a profile's scope: present and not blocked.

    Args:
        conn: Inside a transaction.
        company: Key of the company.
        condition: What of the profile's filter SQL can say (``Filter.to_sql``); ``Filter.mask`` decides.
        overlay: Run id of a dry run, or "".
        columns: What to read: keys, versions, address, ``problem`` (rules 3: not "" = may not go), fields.
    """
    wanted = condition or filters.Everything()
    query = _scope(bool(overlay), wanted, tuple(columns), is_postgresql(conn))
    return query.read(conn, _in(company, overlay))


# As many as a task that works through several profiles may need: filters and what is read of them.
@lru_cache(maxsize=64)
def _scope(
    overlaid: bool, condition: filters.Condition, columns: tuple[str, ...], postgresql: bool
) -> FrameQuery:
    rows, present = _present(t.bc_contact, overlaid)
    wanted = select(*(rows.c[name] for name in columns)).where(
        present,
        rows.c.type == "Person",
        rows.c.privacy_blocked != "true",
        _condition(rows, condition),
    )
    return FrameQuery(wanted, postgresql=postgresql)


def _condition(rows: FromClause, condition: filters.Condition) -> ColumnElement[bool]:
    if isinstance(condition, filters.Everything):
        return true()
    if isinstance(condition, filters.And):
        return and_(true(), *(_condition(rows, part) for part in condition.parts))
    if isinstance(condition, filters.Or):
        # ``IS NULL`` of a column without NULLs: Or(()) means nothing.
        return or_(rows.c.id.is_(None), *(_condition(rows, part) for part in condition.parts))
    column = rows.c[condition.column]
    if isinstance(condition, filters.In):
        return column.not_in(condition.values) if condition.negated else column.in_(condition.values)
    if condition.op == "like":
        return column.like(condition.value, escape=filters.LIKE_ESCAPE)
    return column.op(condition.op, is_comparison=True)(condition.value)


def read_bc_rows(
    conn: Connection,
    company: int,
    *,
    row_ids: Collection[int] | None = None,
    ids: Collection[str] | None = None,
    overlay: str = "",
) -> list[dict[str, Any]]:
    """Return whole rows, also of contacts that are gone, by their keys or system ids (or all of them)."""
    rows, picked = _rows(t.bc_contact, bool(overlay))
    wanted = select(rows).where(picked)
    if row_ids is not None:
        wanted = wanted.where(among(conn, rows.c.row_id, row_ids))
    if ids is not None:
        wanted = wanted.where(among(conn, rows.c.id, ids))
    return _dicts(conn, wanted, _in(company, overlay))


def read_bc_by_email(
    conn: Connection, company: int, email_keys: Collection[str], overlay: str = ""
) -> list[dict[str, Any]]:
    """Return the present contacts, of any type, that have one of these addresses (normal form)."""
    rows, present = _present(t.bc_contact, bool(overlay))
    wanted = select(rows).where(present, among(conn, rows.c.email_key, email_keys))
    return _dicts(conn, wanted, _in(company, overlay))


def read_company_numbers(
    conn: Connection, company: int, names: Collection[str], overlay: str = ""
) -> dict[str, str | None]:
    """Return the number of each company contact that has one of these names, by the name as it was asked.

    Args:
        conn: Inside a transaction.
        company: Key of the company.
        names: Names in any case; those that no company contact has are left out of the answer.
        overlay: Run id of a dry run, or "".

    Returns:
        None where several company contacts have the name.
    """
    asked = {name: fold_case(clean_line(name)) for name in names}
    if not asked:
        return {}
    wanted = _company_numbers(bool(overlay), is_postgresql(conn))
    numbers: dict[str, str | None] = {}
    for found, number in read_tuples(conn, wanted, _in(company, overlay, names=set(asked.values()))):
        numbers[found] = None if found in numbers else number
    return {name: numbers[folded] for name, folded in asked.items() if folded in numbers}


@cache
def _company_numbers(overlaid: bool, postgresql: bool) -> Select[Any]:
    rows, present = _present(t.bc_contact, overlaid)
    key = rows.c.company_key
    # ``<> ''`` lets both databases use the index, which leaves out the persons.
    named = (key != "", among_named(key, "names", postgresql=postgresql))
    return select(key, rows.c.number).where(present, *named)


def known_outlook(
    conn: Connection, profile: int, overlay: str = "", ids: Collection[str] | None = None
) -> dict[str, KnownItem]:
    """Return what the snapshot knows of some items of a folder (or of all) by id, also of those that are gone."""
    wanted = _known_outlook(bool(overlay), ids is not None, is_postgresql(conn))
    found = read_tuples(conn, wanted, _in(profile, overlay, ids=ids))
    return {
        key: KnownItem(row, etag, stamp, mark, gone is not None, bool(hidden))
        for key, row, etag, stamp, mark, gone, hidden in found
    }


@cache
def _known_outlook(overlaid: bool, by_id: bool, postgresql: bool) -> Select[Any]:
    rows, picked = _rows(t.outlook_contact, overlaid)
    veiled = and_(rows.c.private.is_(True), rows.c.record == "{}")
    columns = (rows.c.row_id, rows.c.etag, rows.c.last_modified, rows.c.bc_key, rows.c.gone_since, veiled)
    wanted = select(rows.c.id, *columns).where(picked)
    return wanted.where(among_named(rows.c.id, "ids", postgresql=postgresql)) if by_id else wanted


def outlook_row_ids(
    conn: Connection, profile: int, ids: Collection[str], overlay: str = ""
) -> dict[str, int]:
    """Return the staging keys of items, as couplings name them."""
    rows, picked = _rows(t.outlook_contact, bool(overlay))
    wanted = select(rows.c.id, rows.c.row_id).where(picked, among(conn, rows.c.id, ids))
    return dict(read_tuples(conn, wanted, _in(profile, overlay)))


def read_outlook(conn: Connection, profile: int, overlay: str = "") -> pd.DataFrame:
    """Return the present items of a folder: keys, version, creation time, address and fingerprint."""
    return _light_outlook(bool(overlay), is_postgresql(conn)).read(conn, _in(profile, overlay))


@cache
def _light_outlook(overlaid: bool, postgresql: bool) -> FrameQuery:
    rows, present = _present(t.outlook_contact, overlaid)
    columns = {name: rows.c[name] for name in _LIGHT_OUTLOOK}
    columns["bc_key"] = func.coalesce(rows.c.bc_key, "").label("bc_key")
    return FrameQuery(select(*columns.values()).where(present), postgresql=postgresql)


def read_outlook_records(
    conn: Connection, profile: int, ids: Collection[str] | None = None, overlay: str = ""
) -> dict[str, dict[str, Any]]:
    """Return whole rows by id (or all of them), also of items that are gone; ``record`` is parsed."""
    wanted, names = _outlook_records(bool(overlay), ids is not None, is_postgresql(conn))
    found = read_tuples(conn, wanted, _in(profile, overlay, ids=ids))
    rows = (dict(zip(names, row, strict=True)) for row in found)
    return {row["id"]: row | {"record": _from_json(row["record"])} for row in rows}


@cache
def _outlook_records(overlaid: bool, by_id: bool, postgresql: bool) -> tuple[Select[Any], list[str]]:
    rows, picked = _rows(t.outlook_contact, overlaid)
    wanted = select(rows).where(picked)
    if by_id:
        wanted = wanted.where(among_named(rows.c.id, "ids", postgresql=postgresql))
    return wanted, list(rows.c.keys())


def _dicts(conn: Connection, statement: Select[Any], values: dict[str, Any]) -> list[dict[str, Any]]:
    names = [column.name for column in statement.selected_columns]
    return [dict(zip(names, row, strict=True)) for row in read_tuples(conn, statement, values)]
