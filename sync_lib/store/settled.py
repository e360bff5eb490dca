"""What the last comparison of a profile left unsettled: the next one looks at this and at what changed, not at all.

A coupling is *settled* where a comparison found its pair in agreement and nobody has written it since; an item is,
where it is part of such a pair, or gone. Every statement that writes a row of either takes its mark off, by the column
itself or by staging. Contacts of BC have no marks, as profiles share them: what changed behind the cursor's
``settled_generation`` is unsettled, and so are the contacts that were in the scope without a coupling (``awaited``).
With the settings as they were then, all else is in agreement: that is what ``read_unsettled`` leaves out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Update,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    select,
    text,
    true,
    update,
)

from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import CouplingState
from sync_lib.store import awaited
from sync_lib.store import tables as t
from sync_lib.store.bulk import among_named, read_tuples
from sync_lib.store.engine import is_postgresql

_TIE, _ITEM, _BC = t.coupling.c, t.outlook_contact.c, t.bc_contact.c


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a comparison has to read. Whoever is in it is there with coupling, contact and item.

    Attributes:
        contacts: Contacts of BC by system id.
        items: Outlook items by id.
        couplings: Keys of couplings.
        agreed: Number of the profile's other couplings, all in agreement.
    """

    contacts: frozenset[str]
    items: frozenset[str]
    couplings: frozenset[int]
    agreed: int

    @property
    def size(self) -> int:
        """Number of rows to be read."""
        return len(self.contacts) + len(self.items) + len(self.couplings)


# -- marks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Marks:
    """What a comparison found of all that it read.

    Attributes:
        agreed: Keys of the couplings in agreement that are not marked yet.
        couplings: Keys of the other couplings.
        items: Present items that are in no pair in agreement.
        in_scope: Contacts in the scope without a coupling, also those that a person leaves out.
    """

    agreed: Sequence[int]
    couplings: Sequence[int]
    items: Sequence[str]
    in_scope: Sequence[str]


def mark(conn: Connection, profile: int, marks: Marks) -> None:
    """Leave the marks of a comparison.

    Args:
        conn: Inside the transaction that stores what it came to, before that writes couplings.
        profile: Key of the profile.
        marks: What it found.
    """
    postgresql = is_postgresql(conn)
    # A pair may agree no more although neither row of it was written: by other settings, or by BC's contact.
    if marks.couplings:
        conn.execute(_unsettle_couplings(postgresql), {"ids": list(marks.couplings)})
    if marks.items:
        conn.execute(_unsettle_items(postgresql), {"of_profile": profile, "ids": list(marks.items)})
    if marks.agreed:
        conn.execute(_settle_couplings(postgresql), {"ids": list(marks.agreed)})
        conn.execute(_settle_items(postgresql), {"ids": list(marks.agreed)})
    conn.execute(_SETTLE_GONE, {"of_profile": profile})
    awaited.replace_in_scope(conn, profile, marks.in_scope)


@cache
def _unsettle_couplings(postgresql: bool) -> Update:
    given = among_named(_TIE.id, "ids", postgresql=postgresql)
    return update(t.coupling).where(given, _TIE.settled).values(settled=false())


@cache
def _unsettle_items(postgresql: bool) -> Update:
    given = among_named(_ITEM.id, "ids", postgresql=postgresql)
    mine = (_ITEM.profile == bindparam("of_profile"), _ITEM.overlay == "", _ITEM.gone_since.is_(None))
    return update(t.outlook_contact).where(*mine, given, _ITEM.settled).values(settled=false())


@cache
def _settle_couplings(postgresql: bool) -> Update:
    """Mark couplings whose rows are still what was compared: somebody may have written one since it was read."""
    same_bc: Select[Any] = select(literal_column("1")).where(
        _BC.row_id == _TIE.bc_row, _BC.gone_since.is_(None), _BC.fingerprint == _TIE.bc_fingerprint
    )
    same_item: Select[Any] = select(literal_column("1")).where(
        _ITEM.row_id == _TIE.outlook_row,
        _ITEM.gone_since.is_(None),
        _ITEM.fingerprint == _TIE.outlook_fingerprint,
        _ITEM.etag == _TIE.outlook_etag,
    )
    agrees = and_(_TIE.state == CouplingState.ACTIVE, _TIE.attention == false())
    wanted = update(t.coupling).where(
        among_named(_TIE.id, "ids", postgresql=postgresql),
        agrees,
        same_bc.correlate(t.coupling).exists(),
        same_item.correlate(t.coupling).exists(),
    )
    return wanted.values(settled=true())


@cache
def _settle_items(postgresql: bool) -> Update:
    settled = select(_TIE.outlook_row).where(among_named(_TIE.id, "ids", postgresql=postgresql), _TIE.settled)
    return update(t.outlook_contact).where(_ITEM.row_id.in_(settled)).values(settled=true())


#: Spelt as the indexes are that hold the unsettled rows alone.
_UNSETTLED_ITEM, _UNSETTLED_COUPLING = text("NOT outlook_contact.settled"), text("NOT coupling.settled")

#: What is gone says no more than its coupling does, which is looked at until it agrees or has ended.
_SETTLE_GONE = (
    update(t.outlook_contact)
    .where(
        _ITEM.profile == bindparam("of_profile"),
        _ITEM.overlay == "",
        _UNSETTLED_ITEM,
        _ITEM.gone_since.is_not(None),
        ~select(literal_column("1"))
        .where(_TIE.profile == _ITEM.profile, _TIE.outlook_id == _ITEM.id, _TIE.settled)
        .correlate(t.outlook_contact)
        .exists(),
    )
    .values(settled=true())
)


# -- what is unsettled -----------------------------------------------------------------------------------------------


def read_unsettled(
    conn: Connection, profile: int, company: int, generation: int, most: int
) -> Unsettled | None:
    """Return what is unsettled, with all that may match it; None where that is more than so many rows.

    Args:
        conn: Inside a transaction.
        profile: Key of the profile.
        company: Key of its company.
        generation: Of the company, when the marks were left.
        most: Rows from which on reading everything is cheaper.
    """
    of_profile, reader = {"of_profile": profile}, LookUp(conn, profile, company)
    items = read_tuples(conn, _ITEMS, of_profile)
    couplings = read_tuples(conn, _COUPLINGS, of_profile)
    changed = read_tuples(conn, _CHANGED, {"of_company": company, "since": generation})
    in_scope = awaited.read_in_scope(conn, profile)
    if len(items) + len(couplings) + len(changed) + len(in_scope) > most:
        return None
    couplings += reader.couplings_of("outlook_id", {item for item, _, _ in items})
    keys = {key.contact_id for _, text_, _ in items if (key := BcKey.parse(text_))}
    contacts = {bc_id for _, bc_id, _ in couplings} | {key for (key,) in changed} | in_scope | keys
    emails = {email for _, _, email in items} | reader.emails_of(contacts)
    contacts |= reader.contacts_with(emails - {""})
    couplings += reader.couplings_of("bc_id", contacts)
    tied = {item for _, _, item in couplings if item}
    ids = frozenset(key for key, _, _ in couplings)
    total = int(conn.scalar(_TOTAL, of_profile) or 0)
    found = frozenset(item for item, _, _ in items)
    return Unsettled(frozenset(contacts), found | tied, ids, total - len(ids))


_ITEMS: Select[Any] = select(_ITEM.id, func.coalesce(_ITEM.bc_key, ""), _ITEM.email_key).where(
    _ITEM.profile == bindparam("of_profile"), _ITEM.overlay == "", _UNSETTLED_ITEM
)
_COUPLINGS: Select[Any] = select(_TIE.id, _TIE.bc_id, _TIE.outlook_id).where(
    _TIE.profile == bindparam("of_profile"), _UNSETTLED_COUPLING
)
_CHANGED: Select[Any] = select(_BC.id).where(
    _BC.company == bindparam("of_company"), _BC.overlay == "", _BC.generation > bindparam("since")
)
_TOTAL = select(func.count(_TIE.id)).where(_TIE.profile == bindparam("of_profile"))


class LookUp:
    """Looks rows up by index, a set of values at a time."""

    def __init__(self, conn: Connection, profile: int, company: int) -> None:
        self.conn = conn
        self.profile = profile
        self.company = company

    def couplings_of(self, column: str, values: Collection[str]) -> list[tuple[Any, ...]]:
        """Return key and both ids of the couplings with one of some values."""
        return self._look_up(_couplings_by(column, is_postgresql(self.conn)), self.profile, values)

    def emails_of(self, contacts: Collection[str]) -> set[str]:
        """Return the addresses of some contacts."""
        rows = self._look_up(_bc_by("id", "email_key", is_postgresql(self.conn)), self.company, contacts)
        return {email for (email,) in rows}

    def contacts_with(self, emails: Collection[str]) -> set[str]:
        """Return the contacts that have one of some addresses."""
        rows = self._look_up(_bc_by("email_key", "id", is_postgresql(self.conn)), self.company, emails)
        return {contact for (contact,) in rows}

    def _look_up(self, wanted: Select[Any], owner: int, values: Collection[str]) -> list[tuple[Any, ...]]:
        if not values:
            return []
        return read_tuples(self.conn, wanted, {"of_owner": owner, "wanted": sorted(values)})


@cache
def _couplings_by(column: str, postgresql: bool) -> Select[Any]:
    given = among_named(_TIE[column], "wanted", postgresql=postgresql)
    return select(_TIE.id, _TIE.bc_id, _TIE.outlook_id).where(_TIE.profile == bindparam("of_owner"), given)


@cache
def _bc_by(column: str, wanted: str, postgresql: bool) -> Select[Any]:
    given = among_named(_BC[column], "wanted", postgresql=postgresql)
    return select(_BC[wanted]).where(_BC.company == bindparam("of_owner"), _BC.overlay == "", given)
