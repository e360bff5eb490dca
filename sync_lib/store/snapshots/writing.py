"""Take rows into a snapshot; older never replaces newer (rules 5).

Staging locks the company (or the profile) until the transaction ends, so that two workers never compare their rows
with the same stored ones. Therefore fetch first, then open the transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    and_,
    delete,
    exists,
    insert,
    literal,
    or_,
    select,
    update,
)

from sync_lib.model import BcContact, OutlookContact
from sync_lib.store import tables as t
from sync_lib.store.bulk import (
    among,
    among_named,
    insert_rows,
    parts,
    update_rows,
)
from sync_lib.store.engine import is_postgresql
from sync_lib.store.prepared import Prepared
from sync_lib.store.snapshots.rows import (
    OVERLAY,
    SCOPE,
    BcRow,
    OutlookRow,
    R,
    Snapshot,
    Stage,
    Staged,
    Stored,
    Values,
    bc_texts,
    owner_of,
)

# From so many changed rows on, the planner's statistics are worth their time.
_MANY = 20_000


def stage_rows(conn: Connection, snapshot: Snapshot[R], stage: Stage, rows: Iterable[R]) -> Staged:
    """Take rows into a snapshot, and return what that came to."""
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


def _is_empty(conn: Connection, snapshot: Snapshot[R], stage: Stage) -> bool:
    any_staged = _any_staged(snapshot.table, is_postgresql(conn))
    return any_staged.execute(conn, stage.scope, stage.overlay).first() is None


@cache
def _any_staged(table: Table, postgresql: bool) -> Prepared:
    layer = or_(table.c.overlay == "", table.c.overlay == OVERLAY)
    wanted = select(table.c.row_id).where(owner_of(table) == SCOPE, layer).limit(1)
    return Prepared(wanted, ("scope", "overlay"), postgresql=postgresql)


def _stage_part(  # noqa: PLR0913 - one step of the loop above
    conn: Connection,
    snapshot: Snapshot[R],
    stage: Stage,
    newest: dict[str, R],
    known: dict[str, Stored],
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


def _stored(conn: Connection, snapshot: Snapshot[R], stage: Stage, ids: Collection[str]) -> dict[str, Stored]:
    """Return what is staged of some ids: the overlay's row where it has one, else the real row."""
    if not ids:
        return {}
    wanted = _stored_rows(snapshot.table, snapshot.compared, is_postgresql(conn))
    # "" comes first, so that the overlay's own row replaces it below.
    layers = [""] if not stage.overlay else ["", stage.overlay]
    found: dict[str, Stored] = {}
    for layer in layers:
        rows = wanted.read(conn, stage.scope, layer, ids)
        found |= {stored.id: stored for stored in map(_to_stored, rows)}
    return found


@cache
def _stored_rows(table: Table, compared: tuple[str, ...], postgresql: bool) -> Prepared:
    c = table.c
    own = [c[name] if name in c else literal(None) for name in ("bc_key", "private", "flag_etag")]
    columns = (c.id, c.row_id, c.overlay, c.last_modified, c.etag, c.normaliser, c.gone_since, *own)
    wanted = select(*columns, *(c[name] for name in compared)).where(
        owner_of(table) == SCOPE, c.overlay == OVERLAY, among_named(c.id, "ids", postgresql=postgresql)
    )
    return Prepared(wanted, ("scope", "overlay", "ids"), postgresql=postgresql)


def _to_stored(row: tuple[Any, ...]) -> Stored:
    return Stored._make((*row[:10], tuple(row[10:])))


_WRITE, _SAME, _CONFLICT = "write", "same", "conflict"


def _judge(row: BcRow | OutlookRow, stored: Stored, stage: Stage) -> str:
    """Say what to do with a row that was read while another is stored (rules 5)."""
    contact = row.contact
    if _same_version(contact, stored):
        again = contact.id in stage.rewrite or _outdated(contact, stored, stage)
        return _WRITE if again else _SAME
    force = stage.force
    forced = force if isinstance(force, bool) else force.get(stored.id) == (stored.last_modified, stored.etag)
    return _WRITE if forced or contact.last_modified > stored.last_modified else _CONFLICT


def _same_version(contact: BcContact | OutlookContact, stored: Stored) -> bool:
    """Whether stamp and version are the stored ones; either may be left out by Outlook's delta, not both."""
    stamp, etag = contact.last_modified, contact.etag
    return (
        (stamp == stored.last_modified or not stamp)
        and (etag == stored.etag or not etag)
        and bool(stamp or etag)
    )


def _outdated(contact: BcContact | OutlookContact, stored: Stored, stage: Stage) -> bool:
    """Whether the stored row of the same version has to be written all the same."""
    if stored.gone_since is not None or stored.normaliser != stage.normaliser:
        return True
    if isinstance(contact, BcContact):
        # Computed fields of BC change and move neither stamp nor version (rules 5).
        return bc_texts(contact) != stored.texts
    known = (stored.private, stored.flag_etag)
    flag = contact.private is not None and (contact.private, contact.etag) != known
    return flag or contact.bc_key not in (None, stored.bc_key)


def mark_gone(
    conn: Connection, table: Table, scope: int, overlay: str, ids: Collection[str], **values: Any
) -> int:
    """Mark rows as gone; return how many were present until now."""
    if not ids:
        return 0
    present = and_(owner_of(table) == scope, table.c.gone_since.is_(None), among(conn, table.c.id, ids))
    own = conn.execute(update(table).where(present, table.c.overlay == overlay).values(values)).rowcount
    if not overlay:
        return own
    # The real rows stay as they are: the dry run gets copies of them that are gone.
    shadow = table.alias()
    shadowed = exists().where(
        owner_of(shadow) == scope, shadow.c.overlay == overlay, shadow.c.id == table.c.id
    )
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
        owned = owner_of(table).in_(select(owner.c.id))
        conn.execute(delete(table).where(owned, table.c.overlay == overlay))
