"""Items that stood for a contact before: by their ids a privacy block finds them in the whole mailbox (rules 7.4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from sqlalchemy import Connection, Update, and_, bindparam, delete, false, insert, select, update

from sync_lib.fields import categories
from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import FormerItem
from sync_lib.store import tables as t
from sync_lib.store.bulk import among, among_named
from sync_lib.store.engine import is_postgresql
from sync_lib.store.json_texts import from_json, to_json


def remember(conn: Connection, profile: int, items: Iterable[FormerItem]) -> None:
    """Store items; of one that is known already what is given now counts."""
    found = {item.outlook_id: item for item in items if item.outlook_id}
    if not found:
        return
    f = t.former_item.c
    conn.execute(delete(t.former_item).where(f.profile == profile, among(conn, f.outlook_id, list(found))))
    rows = [
        {
            "profile": profile,
            "outlook_id": item.outlook_id,
            "bc_id": item.bc_id,
            "origin": item.origin,
            "settled": item.settled,
            "categories": to_json(item.categories),
        }
        for item in found.values()
    ]
    conn.execute(insert(t.former_item), rows)


def remember_ended(conn: Connection, couplings: Sequence[int]) -> None:
    """Store the items of couplings that are about to be removed."""
    c = t.coupling.c
    columns = (c.profile, c.bc_id, c.outlook_id, c.origin, c.former, c.categories)
    wanted = select(*columns).where(among(conn, c.id, list(couplings)))
    ended: dict[int, list[FormerItem]] = {}
    for row in conn.execute(wanted):
        items = ended.setdefault(row.profile, [])
        items += _former(row.bc_id, row.former)
        if row.outlook_id:
            own = categories.own_digests(from_json(row.categories))
            items.append(FormerItem(row.bc_id, row.outlook_id, row.origin, categories=own))
    for profile, items in ended.items():
        remember(conn, profile, items)


def _former(bc_id: str, former: str) -> list[FormerItem]:
    # What a version before stored does not say how the item came to be.
    return [
        FormerItem(bc_id, each["id"], each.get("origin", ""), categories=categories.former_digests(each))
        for each in from_json(former)
    ]


def forget_settled(conn: Connection, profile: int, blocked: Collection[str]) -> None:
    """Let the next block of a contact that is not blocked now look its items up again."""
    values = {"of_profile": profile, "blocked": blocked}
    conn.execute(_forget_settled(is_postgresql(conn)), values)


@cache
def _forget_settled(postgresql: bool) -> Update:
    f = t.former_item.c
    others = ~among_named(f.bc_id, "blocked", postgresql=postgresql)
    statement = update(t.former_item).where(f.profile == bindparam("of_profile"), f.settled, others)
    return statement.values(settled=false())


def read_former(conn: Connection, profile: int, blocked: Collection[str]) -> list[FormerItem]:
    """Return all items that stand or have stood for blocked contacts, whether they are in the folder or not."""
    if not blocked:
        return []
    found: dict[str, FormerItem] = {}
    for item in (*_keyed(conn, profile, blocked), *_ended(conn, profile, blocked)):
        found[item.outlook_id] = item
    for item in _coupled(conn, profile, blocked):
        known = found.get(item.outlook_id)
        # One that is coupled now has not been looked up since it left the folder.
        settled = item.settled and known is not None and known.settled
        origin = item.origin or (known.origin if known else "")
        found[item.outlook_id] = replace(item, origin=origin, settled=settled)
    return sorted(found.values(), key=lambda item: item.outlook_id)


def _keyed(conn: Connection, profile: int, blocked: Collection[str]) -> Iterator[FormerItem]:
    """Copies with a key of the contact that were in the folder once."""
    row, wanted = t.outlook_contact.c, set(blocked)
    gone = (row.profile == profile, row.overlay == "", row.gone_since.is_not(None), row.bc_key != "")
    for item in conn.execute(select(row.id, row.bc_key).where(*gone)):
        key = BcKey.parse(item.bc_key)
        if key is not None and key.contact_id in wanted:
            yield FormerItem(key.contact_id, item.id, key.origin)


def _ended(conn: Connection, profile: int, blocked: Collection[str]) -> Iterator[FormerItem]:
    f = t.former_item.c
    wanted = select(f.bc_id, f.outlook_id, f.origin, f.settled, f.categories)
    for row in conn.execute(wanted.where(and_(f.profile == profile, among(conn, f.bc_id, blocked)))):
        own = tuple(from_json(row.categories))
        yield FormerItem(row.bc_id, row.outlook_id, row.origin, bool(row.settled), own)


def _coupled(conn: Connection, profile: int, blocked: Collection[str]) -> Iterator[FormerItem]:
    c = t.coupling.c
    wanted = select(c.bc_id, c.outlook_id, c.origin, c.former, c.categories)
    for row in conn.execute(wanted.where(c.profile == profile, among(conn, c.bc_id, blocked))):
        for item in _former(row.bc_id, row.former):
            yield replace(item, settled=True)
        if row.outlook_id:
            own = categories.own_digests(from_json(row.categories))
            yield FormerItem(row.bc_id, row.outlook_id, row.origin, categories=own)


def read_contacts(conn: Connection, profile: int) -> list[str]:
    """Return the BC contacts of which a profile has, or had, an item."""
    tie, f = t.coupling.c, t.former_item.c
    queries = (
        select(tie.bc_id).where(tie.profile == profile),
        select(f.bc_id).where(f.profile == profile),
    )
    return sorted({key for query in queries for key in conn.scalars(query)})
