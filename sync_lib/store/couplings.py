"""Couplings in the staging database (rules 2.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd
from sqlalchemy import (
    Boolean,
    Connection,
    bindparam,
    case,
    delete,
    false,
    func,
    or_,
    select,
    type_coerce,
    update,
)

from sync_lib.model import (
    Categories,
    Coupling,
    CouplingState,
    Direction,
    Origin,
    OutlookContact,
)
from sync_lib.store import awaited, former_items
from sync_lib.store import tables as t
from sync_lib.store.bulk import FrameQuery, Row, among, among_named, chunks, insert_returning
from sync_lib.store.engine import is_postgresql
from sync_lib.store.json_texts import from_json, to_json
from sync_lib.store.prepared import Prepared

_JSON_COLUMNS = ("baseline_bc", "baseline_outlook", "refused", "former", "differs", "categories")


# -- couplings -------------------------------------------------------------------------------------------------------


def read_couplings(
    conn: Connection, profile: int, direction: str = "", ids: Collection[int] | None = None
) -> pd.DataFrame:
    """Return what the diff needs of all couplings of a profile, or of some: integers, state, version. No row is 0.

    With a direction, a coupling asks for attention that lets a field differ because of another one (rules 7.9).
    """
    query = _light_couplings(direction, ids is not None, is_postgresql(conn))
    return query.read(conn, {"profile": profile} | ({"ids": sorted(ids)} if ids is not None else {}))


@cache
def _light_couplings(direction: str, by_id: bool, postgresql: bool) -> FrameQuery:
    c = t.coupling.c
    others = [c.differs.contains(f':"{each}"', autoescape=True) for each in Direction if each != direction]
    decided_anew = or_(*others) if direction else false()
    attention = or_(c.attention, c.bc_fingerprint.is_(None), c.outlook_fingerprint.is_(None), decided_anew)
    wanted = select(
        c.id,
        c.bc_id,
        func.coalesce(c.bc_row, 0).label("bc_row"),
        func.coalesce(c.outlook_row, 0).label("outlook_row"),
        c.state,
        func.coalesce(c.bc_fingerprint, 0).label("bc_fingerprint"),
        func.coalesce(c.outlook_fingerprint, 0).label("outlook_fingerprint"),
        c.outlook_etag,
        type_coerce(case((attention, 1), else_=0), Boolean).label("attention"),
        type_coerce(case((c.settled, 1), else_=0), Boolean).label("settled"),
    ).where(c.profile == bindparam("profile"))
    if by_id:
        wanted = wanted.where(among_named(c.id, "ids", postgresql=postgresql))
    return FrameQuery(wanted, postgresql=postgresql)


def read_categories(
    conn: Connection, profile: int, unless: Sequence[str] | None = None, ids: Collection[int] | None = None
) -> list[tuple[int, int, Categories]]:
    """Return id, BC row and categories of the couplings that are active.

    Args:
        conn: Inside a transaction.
        profile: Key of the profile.
        unless: Leave out those whose templates came to this: what all of a profile's contacts have in common.
        ids: Of these couplings alone.
    """
    c = t.coupling.c
    wanted = select(c.id, c.bc_row, c.categories).where(c.profile == profile, c.bc_row.is_not(None))
    wanted = wanted.where(c.state == CouplingState.ACTIVE)
    if ids is not None:
        wanted = wanted.where(among(conn, c.id, sorted(ids)))
    if unless is not None:
        # The keys are written in this order, here and by the migration that made the column.
        known = to_json({"asked": list(unless)}).removesuffix("}") + ","
        wanted = wanted.where(func.substr(c.categories, 1, len(known)) != known)
    return [(row.id, row.bc_row, from_json(row.categories)) for row in conn.execute(wanted)]


def read_coupling_rows(conn: Connection, profile: int, ids: Sequence[int]) -> list[Coupling]:
    """Return whole couplings by their ids."""
    found = []
    for part in chunks(ids):
        wanted = select(t.coupling).where(t.coupling.c.profile == profile, t.coupling.c.id.in_(part))
        found += [_coupling(row) for row in conn.execute(wanted).mappings()]
    return found


def read_live_couplings(conn: Connection, profile: int) -> list[Coupling]:
    """Return the whole couplings of a profile that are active or pinned."""
    c = t.coupling.c
    live = c.state.in_([CouplingState.ACTIVE, CouplingState.PINNED])
    rows = conn.execute(select(t.coupling).where(c.profile == profile, live).order_by(c.id))
    return [_coupling(row) for row in rows.mappings()]


def read_couplings_of(conn: Connection, profile: int, outlook_ids: Collection[str]) -> list[Coupling]:
    """Return the whole couplings of some items."""
    c = t.coupling.c
    wanted = select(t.coupling).where(c.profile == profile, among(conn, c.outlook_id, outlook_ids))
    return [_coupling(row) for row in conn.execute(wanted).mappings()]


def find_coupling(
    conn: Connection, profile: int, *, bc_id: str | None = None, outlook_id: str | None = None
) -> Coupling | None:
    """Return the coupling of one contact, named by either side, or None."""
    c = t.coupling.c
    wanted = c.bc_id == bc_id if bc_id else c.outlook_id == outlook_id
    row = conn.execute(select(t.coupling).where(c.profile == profile, wanted)).mappings().first()
    return _coupling(row) if row else None


def _coupling(row: Any) -> Coupling:
    parsed = {name: from_json(row[name]) for name in _JSON_COLUMNS}
    return Coupling(
        id=row["id"],
        bc_id=row["bc_id"],
        bc_row=row["bc_row"],
        outlook_id=row["outlook_id"],
        outlook_row=row["outlook_row"],
        origin=Origin(row["origin"]),
        state=CouplingState(row["state"]),
        bc_fingerprint=row["bc_fingerprint"],
        outlook_fingerprint=row["outlook_fingerprint"],
        outlook_etag=row["outlook_etag"],
        attention=bool(row["attention"]),
        **parsed,
    )


def write_couplings(
    conn: Connection, profile: int, couplings: Iterable[Coupling], now: str
) -> list[Coupling]:
    """Insert the couplings that have no id yet, and update the others; return them all with their ids."""
    couplings = list(couplings)
    new = [(profile, *_values(each, now), now) for each in couplings if not each.id]
    known = [(*_values(each, now), each.id) for each in couplings if each.id]
    if known:
        _update(is_postgresql(conn)).execute_many(conn, known)
    names = ("profile", *_WRITTEN, "created_at")
    ids: dict[str, int] = dict(insert_returning(conn, t.coupling, names, new, ("bc_id", "id")))
    return [each if each.id else replace(each, id=ids[each.bc_id]) for each in couplings]


_WRITTEN = (
    *("bc_id", "bc_row", "outlook_id", "outlook_row", "origin", "state"),
    *("bc_fingerprint", "outlook_fingerprint", "outlook_etag", "attention", "updated_at"),
    *_JSON_COLUMNS,
)


def _values(coupling: Coupling, now: str) -> Row:
    """Return what is stored of a coupling, as ``_WRITTEN`` names it."""
    return (
        coupling.bc_id,
        coupling.bc_row,
        coupling.outlook_id,
        coupling.outlook_row,
        coupling.origin.value,
        coupling.state.value,
        coupling.bc_fingerprint,
        coupling.outlook_fingerprint,
        coupling.outlook_etag,
        coupling.attention,
        now,
        to_json(coupling.baseline_bc),
        to_json(coupling.baseline_outlook),
        to_json(coupling.refused),
        to_json(coupling.former),
        to_json(coupling.differs),
        to_json(coupling.categories),
    )


@cache
def _update(postgresql: bool) -> Prepared:
    c = t.coupling.c
    values = {name: bindparam(f"new_{name}", type_=c[name].type) for name in _WRITTEN}
    statement = update(t.coupling).where(c.id == bindparam("of_id")).values(**values)
    return Prepared(statement, (*(f"new_{name}" for name in _WRITTEN), "of_id"), postgresql=postgresql)


def end_couplings(conn: Connection, ids: Sequence[int]) -> None:
    """Remove couplings (rules 2.1); their items are remembered for a privacy block (7.4)."""
    stored = [key for key in ids if key]
    if stored:
        former_items.remember_ended(conn, stored)
        c = t.coupling.c
        ended = conn.execute(select(c.profile, c.bc_id).where(among(conn, c.id, stored)))
        awaited.add_in_scope(conn, [(row.profile, row.bc_id) for row in ended])
    for part in chunks(stored):
        conn.execute(delete(t.coupling).where(t.coupling.c.id.in_(part)))


def set_outlook_etags(conn: Connection, profile: int, etags: dict[str, str]) -> None:
    """Record the versions that our own writes gave to coupled items, so that they do not look edited."""
    c = t.coupling.c
    statement = update(t.coupling).where(c.profile == profile, c.outlook_id == bindparam("key"))
    rows = [{"key": outlook_id, "etag": etag} for outlook_id, etag in etags.items()]
    if rows:
        conn.execute(statement.values(outlook_etag=bindparam("etag")), rows)


def set_categories(conn: Connection, profile: int, categories: Mapping[str, Categories]) -> None:
    """Record what the couplings of some items remember of their categories."""
    c = t.coupling.c
    statement = update(t.coupling).where(c.profile == profile, c.outlook_id == bindparam("key"))
    rows = [{"key": outlook_id, "known": to_json(known)} for outlook_id, known in categories.items()]
    if rows:
        conn.execute(statement.values(categories=bindparam("known")), rows)


def follow_own_write(conn: Connection, profile: int, before: OutlookContact, after: OutlookContact) -> None:
    """Record the version that a write of ours gave to an item, where ``before`` is the one that we had last seen.

    An item that its owner edited meanwhile goes on looking edited.
    """
    coupled, staged = t.coupling.c, t.outlook_contact.c
    seen = (coupled.profile == profile, coupled.outlook_id == before.id, coupled.outlook_etag == before.etag)
    conn.execute(update(t.coupling).where(*seen).values(outlook_etag=after.etag))
    rows = (staged.profile == profile, staged.id == before.id, staged.etag == before.etag)
    values = {"etag": after.etag, "last_modified": after.last_modified}
    conn.execute(update(t.outlook_contact).where(*rows).values(**values))


def count_attention(conn: Connection, profile: int) -> int:
    """Return how many live couplings the next diff must look at, whatever the fingerprints say."""
    c = t.coupling.c
    live = c.state.in_([CouplingState.ACTIVE, CouplingState.PINNED])
    return int(conn.scalar(select(func.count()).where(c.profile == profile, live, c.attention)) or 0)
