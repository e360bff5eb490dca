"""What each Outlook folder held when it was last read.

Every function works inside the caller's transaction, so that a cursor is saved with the rows that it stands for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    Connection,
    Select,
    and_,
    func,
    select,
)

from sync_lib.fields.normal_forms import address_digest
from sync_lib.model import OutlookContact
from sync_lib.store import tables as t
from sync_lib.store.bulk import (
    FrameQuery,
    among_named,
    read_tuples,
)
from sync_lib.store.engine import is_postgresql
from sync_lib.store.json_texts import from_json, to_json
from sync_lib.store.prepared import Prepared

if TYPE_CHECKING:
    import pandas as pd
from sync_lib.store.snapshots.rows import (
    Force,
    OutlookRow,
    Snapshot,
    Stage,
    Staged,
    Stored,
    Values,
    lock,
    present_rows,
    rows_of,
    seen_in,
    storable,
)
from sync_lib.store.snapshots.writing import mark_gone, stage_rows

#: Why items are gone whose whole folder was deleted.
FOLDER_DELETED = "folder_deleted"

_LIGHT_OUTLOOK = ("row_id", "id", "etag", "created", "bc_key", "email_key", "fingerprint")


class KnownItem(NamedTuple):
    """What the snapshot knows of an Outlook item without its fields."""

    row_id: int
    etag: str
    last_modified: str
    bc_key: str | None
    gone: bool
    is_veiled: bool = False


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
    stage = Stage(profile, overlay, force, normaliser, (normaliser,), frozenset(tied))
    lock_profile(conn, profile)
    veil = _Veil(conn, profile, stage.rewrite)
    return stage_rows(conn, replace(_OUTLOOK, values=veil.values), stage, rows)


class _Veil:
    """Keeps what nobody may see out of the rows: of a private item that nothing is tied to (rules 3)."""

    def __init__(self, conn: Connection, profile: int, tied: frozenset[str]) -> None:
        self._conn = conn
        self._profile = profile
        self._about_to_be = tied
        self._tied: frozenset[str] | None = None

    def values(self, row: OutlookRow, stored: Stored | None) -> Values:
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


def lock_profile(conn: Connection, profile: int) -> None:
    """Keep others from staging items of a profile until the transaction ends."""
    lock(conn, t.sync_profile, profile)


def _values_of_outlook(row: OutlookRow, stored: Stored | None) -> Values:
    contact = row.contact
    kept = stored or Stored("", 0, "", "", "", 0, None, None, None, "")
    key = contact.bc_key if contact.bc_key is not None else kept.bc_key
    stamp = contact.last_modified or kept.last_modified
    texts = storable((to_json(contact.record), row.email_key, row.name))
    flag = (kept.private, kept.flag_etag) if contact.private is None else (contact.private, contact.etag)
    return (
        *(contact.etag, stamp, contact.created, key, *texts, row.fingerprint, None, ""),
        *flag,
        row.address_digest,
        False,
    )


_OUTLOOK = Snapshot[OutlookRow](
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
        "settled",
        "normaliser",
    ),
    _values_of_outlook,
)


def mark_gone_outlook(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection, profile: int, ids: Collection[str], *, at: str, reason: str, overlay: str = ""
) -> int:
    """Mark items that the folder no longer has; return how many were present until now."""
    if not ids:
        return 0
    lock_profile(conn, profile)
    return mark_gone(conn, t.outlook_contact, profile, overlay, ids, gone_since=at, gone_reason=reason)


def mark_all_gone_outlook(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection, profile: int, *, at: str, reason: str, overlay: str = "", but: Collection[str] = ()
) -> int:
    """Mark all items of a folder except ``but``: the folder was replaced, or a complete read found only these."""
    ids = known_outlook(conn, profile, overlay)
    spared = set(but)
    gone = [key for key, item in ids.items() if not item.gone and key not in spared]
    return mark_gone_outlook(conn, profile, gone, at=at, reason=reason, overlay=overlay)


def known_outlook(
    conn: Connection, profile: int, overlay: str = "", ids: Collection[str] | None = None
) -> dict[str, KnownItem]:
    """Return what the snapshot knows of some items of a folder (or of all) by id, also of those that are gone."""
    wanted = _known_outlook(bool(overlay), ids is not None, is_postgresql(conn))
    found = read_tuples(conn, wanted, seen_in(profile, overlay, ids=ids))
    return {
        key: KnownItem(row, etag, stamp, mark, gone is not None, bool(hidden))
        for key, row, etag, stamp, mark, gone, hidden in found
    }


@cache
def _known_outlook(overlaid: bool, by_id: bool, postgresql: bool) -> Select[Any]:
    rows, picked = rows_of(t.outlook_contact, overlaid)
    veiled = and_(rows.c.private.is_(True), rows.c.record == "{}")
    columns = (rows.c.row_id, rows.c.etag, rows.c.last_modified, rows.c.bc_key, rows.c.gone_since, veiled)
    wanted = select(rows.c.id, *columns).where(picked)
    return wanted.where(among_named(rows.c.id, "ids", postgresql=postgresql)) if by_id else wanted


def outlook_row_ids(
    conn: Connection, profile: int, ids: Collection[str], overlay: str = ""
) -> dict[str, int]:
    """Return the staging keys of items, as couplings name them."""
    wanted = _row_ids(bool(overlay), is_postgresql(conn))
    return dict(wanted.read(conn, profile, *([overlay] if overlay else []), ids))


@cache
def _row_ids(overlaid: bool, postgresql: bool) -> Prepared:
    rows, picked = rows_of(t.outlook_contact, overlaid)
    among_ids = among_named(rows.c.id, "ids", postgresql=postgresql)
    wanted = select(rows.c.id, rows.c.row_id).where(picked, among_ids)
    return Prepared(wanted, ("scope", *(["overlay"] if overlaid else []), "ids"), postgresql=postgresql)


def read_outlook(
    conn: Connection, profile: int, overlay: str = "", ids: Collection[str] | None = None
) -> pd.DataFrame:
    """Return the present items of a folder, or some: keys, version, creation time, address and fingerprint."""
    query = _light_outlook(bool(overlay), ids is not None, is_postgresql(conn))
    return query.read(conn, seen_in(profile, overlay, **({"ids": sorted(ids)} if ids is not None else {})))


@cache
def _light_outlook(overlaid: bool, by_id: bool, postgresql: bool) -> FrameQuery:
    rows, present = present_rows(t.outlook_contact, overlaid)
    columns = {name: rows.c[name] for name in _LIGHT_OUTLOOK}
    columns["bc_key"] = func.coalesce(rows.c.bc_key, "").label("bc_key")
    wanted = select(*columns.values()).where(present)
    if by_id:
        wanted = wanted.where(among_named(rows.c.id, "ids", postgresql=postgresql))
    return FrameQuery(wanted, postgresql=postgresql)


def read_outlook_records(
    conn: Connection, profile: int, ids: Collection[str] | None = None, overlay: str = ""
) -> dict[str, dict[str, Any]]:
    """Return whole rows by id (or all of them), also of items that are gone; ``record`` is parsed."""
    wanted, names = _outlook_records(bool(overlay), ids is not None, is_postgresql(conn))
    found = read_tuples(conn, wanted, seen_in(profile, overlay, ids=ids))
    rows = (dict(zip(names, row, strict=True)) for row in found)
    return {row["id"]: row | {"record": from_json(row["record"])} for row in rows}


@cache
def _outlook_records(overlaid: bool, by_id: bool, postgresql: bool) -> tuple[Select[Any], list[str]]:
    rows, picked = rows_of(t.outlook_contact, overlaid)
    wanted = select(rows).where(picked)
    if by_id:
        wanted = wanted.where(among_named(rows.c.id, "ids", postgresql=postgresql))
    return wanted, list(rows.c.keys())
