"""Erase one contact from the staging database (rules 9): from snapshots, couplings, and the change log.

What stays is one row that says when, and how many rows of which table went. It says nothing about whose they were,
not even by a digest, which anybody who has the address could compute.

A contact is followed by everything that identifies a person here: BC's id, the items that were coupled with it or carry
its key, and every address that both have had. Contacts that have ids of their own are never taken along because of
an address: two persons may share one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, delete, func, insert, or_, select

from sync_lib.errors import ErasureError, ProfileBusyError
from sync_lib.fields.contact_keys import BcKey, bc_key, email_key_digest, item_key
from sync_lib.fields.normal_forms import address_digest, email_key
from sync_lib.model import Side
from sync_lib.store import clock, companies, held, holds, looking, runs
from sync_lib.store import tables as t
from sync_lib.store.awaited import SCOPE, digests
from sync_lib.store.bulk import among
from sync_lib.store.engine import read, transaction
from sync_lib.store.leases import Lease, acquire_lease, check_lease, release_lease


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to erase: a contact of a company, by BC's id or by an address; exactly one of the two is given."""

    company: int
    contact: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What erasing a contact came to, or would.

    Attributes:
        counts: Table -> rows.
        in_bc: BC still had the contact when it was last read.
        mailboxes: Mailboxes whose folder still had an item of it.
        others: Ids of other contacts in BC that have an address of this one.
        contact: Its own id in BC, "" where BC never had it.
        digest: What is the same as long as the same would be erased. It is never stored: it says whose the rows were.
    """

    counts: dict[str, int]
    in_bc: bool
    mailboxes: list[str]
    others: list[str]
    contact: str = ""
    digest: str = ""

    @property
    def total(self) -> int:
        """Rows in all tables."""
        return sum(self.counts.values())


def preview(engine: Engine, wanted: Wanted) -> Erasure:
    """Return what erasing the contact would remove.

    Raises:
        ErasureError: Several contacts have the address, or none is named.
    """
    with read(engine) as conn:
        return _to_erasure(conn, _Finder(conn, wanted).find())


def erase(
    engine: Engine, wanted: Wanted, *, lease_seconds: float, longest_request: float, seen: str = ""
) -> Erasure:
    """Erase a contact; between syncs, so that none of them brings back what it has read before.

    Args:
        engine: The staging database.
        wanted: Whom.
        lease_seconds: How long the syncs of the company are kept out at most.
        longest_request: Seconds for which a write that was sent may still be carried out.
        seen: The digest of the preview that a person agreed to; "" for whatever there is by now.

    Raises:
        ErasureError: Several contacts have the address, a write of this contact has no outcome yet, or what was seen
            is not what there is by now.
        ProfileBusyError: A sync of the company is at work.
    """
    with _leases(engine, wanted.company, lease_seconds) as leases, transaction(engine) as conn:
        for lease in leases:
            check_lease(conn, lease)
        traces = _Finder(conn, wanted).find()
        _refuse_unsettled(conn, traces, longest_request)
        erasure = _to_erasure(conn, traces)
        if seen not in ("", erasure.digest):
            raise ErasureError("Nothing was erased: what is stored has changed since you looked. Look again.")
        _read_again(conn, traces, in_bc=erasure.in_bc)
        # Another contact may have the address, and wait for it.
        waiting = select(t.awaited.c.profile).where(_awaited(conn, traces)).distinct()
        looking.ask(conn, sorted(conn.scalars(waiting)))
        for table, condition in _rows(conn, traces):
            erasure.counts[table.name] = conn.execute(delete(table).where(condition)).rowcount
        profiles = list(conn.scalars(_profiles(wanted.company).order_by(t.sync_profile.c.id)))
        held.forget_keys(conn, profiles, _held_keys(traces))
        for profile in profiles:
            holds.close_holds(conn, profile)
        if erasure.total:
            row = {"company": wanted.company, "at": clock.moment(conn), "counts": json.dumps(erasure.counts)}
            conn.execute(insert(t.erasure).values(row))
        return erasure


@contextlib.contextmanager
def _leases(engine: Engine, company: int, seconds: float) -> Iterator[list[Lease]]:
    """Hold what every sync of a company must have: the company's lease, and those of all its profiles."""
    with read(engine) as conn:
        profiles = conn.scalars(_profiles(company).order_by(t.sync_profile.c.id))
        keys = [f"company:{company}", *(f"profile:{key}" for key in profiles)]
    holder, leases = uuid.uuid4().hex, []
    try:
        for key in keys:
            lease = acquire_lease(engine, key, holder, seconds)
            if lease is None:
                raise ProfileBusyError("A sync of this company is at work. Try again when it has ended.")
            leases.append(lease)
        yield leases
    finally:
        for lease in leases:
            release_lease(engine, lease)


# -- finding ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Traces:
    """What identifies a contact: its id in BC ("" for none), items by immutable id, and addresses in normal form."""

    company: int
    contact: str
    items: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)


def _profiles(company: int) -> Any:
    return select(t.sync_profile.c.id).where(t.sync_profile.c.company == company)


class _Finder:
    def __init__(self, conn: Connection, wanted: Wanted) -> None:
        self.conn = conn
        self.address = email_key(wanted.address)
        self.traces = _Traces(wanted.company, wanted.contact.strip().lower())
        self.ours = _profiles(wanted.company)

    def find(self) -> _Traces:
        traces = self.traces
        if not self.address and not traces.contact:
            raise ErasureError("Whom? The contact's id, or its address, is blank.")
        if self.address:
            traces.addresses.add(self.address)
            traces.contact = self._contact_of_address()
        if traces.contact:
            self._follow_contact()
        self._follow_addresses()
        return traces

    def _contact_of_address(self) -> str:
        """The one contact of BC that has or had the address; "" where only Outlook has it."""
        bc, item, tie, log = t.bc_contact.c, t.outlook_contact.c, t.coupling.c, t.change.c
        company = self.traces.company
        coupled = t.coupling.join(
            t.outlook_contact, and_(item.profile == tie.profile, item.id == tie.outlook_id)
        )
        queries = (
            select(bc.id).where(bc.company == company, bc.email_key == self.address),
            select(tie.bc_id)
            .select_from(coupled)
            .where(item.email_key == self.address, tie.profile.in_(self.ours)),
            select(log.bc_id).where(log.email_key == self.address, log.profile.in_(self.ours)),
        )
        found = {key for query in queries for key in self.conn.scalars(query) if key}
        found |= self._contacts_of_baselines() | self._contacts_of_columns()
        if len(found) > 1:
            raise ErasureError(
                "%(count)s contacts have, or had, this address. Erase them one by one, by their ids:",
                contacts=tuple(sorted(found)),
                count=len(found),
            )
        return next(iter(found), "")

    def _contacts_of_baselines(self) -> set[str]:
        tie = t.coupling.c
        texts = (tie.baseline_bc, tie.baseline_outlook, tie.former)
        # The text only narrows down: another address may end like this one.
        part = _written_alike(self.address)
        holds_it = or_(*(func.lower(text).contains(part, autoescape=True) for text in texts))
        rows = self.conn.execute(select(tie.bc_id, *texts).where(tie.profile.in_(self.ours), holds_it))
        return {row[0] for row in rows if self.address in set(_addresses(row[1:]))}

    def _contacts_of_columns(self) -> set[str]:
        """Contacts of BC that have the address behind another one, or as E-Mail 2."""
        bc = t.bc_contact.c
        # As somebody typed them, perhaps with what nobody sees between the letters.
        several = or_(bc.email.contains(";"), func.coalesce(bc.email2, "") != "")
        rows = self.conn.execute(
            select(bc.id, bc.email, bc.email2).where(bc.company == self.traces.company, several)
        )
        return {row[0] for row in rows if self.address in _addresses_of_columns(row[1:])}

    def _follow_contact(self) -> None:
        bc, tie, log = t.bc_contact.c, t.coupling.c, t.change.c
        traces, key = self.traces, self.traces.contact
        columns = (bc.email_key, bc.email, bc.email2)
        staged = select(*columns).where(bc.company == traces.company, bc.id == key)
        for texts in self.conn.execute(staged):
            traces.addresses |= _addresses_of_columns(texts)
        ties = (tie.outlook_id, tie.former, tie.baseline_bc, tie.baseline_outlook)
        for row in self.conn.execute(select(*ties).where(tie.bc_id == key, tie.profile.in_(self.ours))):
            traces.items |= {row.outlook_id or "", *(former["id"] for former in json.loads(row.former))}
            traces.addresses |= set(_addresses(row[1:]))
        f = t.former_item.c
        remembered = select(f.outlook_id).where(f.bc_id == key, f.profile.in_(self.ours))
        traces.items |= set(self.conn.scalars(remembered))
        logged = select(log.outlook_id, log.email_key).where(log.bc_id == key, log.profile.in_(self.ours))
        for item, address in self.conn.execute(logged):
            traces.items.add(item or "")
            traces.addresses.add(address)
        traces.items |= self._items_with_key()
        traces.items.discard("")
        item = t.outlook_contact.c
        staged = select(item.email_key).where(item.profile.in_(self.ours))
        traces.addresses |= set(self.conn.scalars(staged.where(among(self.conn, item.id, traces.items))))
        traces.addresses.discard("")

    def _items_with_key(self) -> set[str]:
        item, key = t.outlook_contact.c, self._key(self.traces.contact)
        wanted = func.lower(func.coalesce(item.bc_key, "")).contains(f"/{key.contact_id}|", autoescape=True)
        rows = self.conn.execute(select(item.id, item.bc_key).where(item.profile.in_(self.ours), wanted))
        return {row.id for row in rows if (other := BcKey.parse(row.bc_key)) and other.same_company(key)}

    def _key(self, contact: str) -> BcKey:
        row = companies.read_company(self.conn, self.traces.company)
        return replace(companies.read_key(self.conn, row), contact_id=contact)

    def _follow_addresses(self) -> None:
        """Take along what has an address of the contact and is nobody else's: twins in a folder, refused creates."""
        item, log, traces = t.outlook_contact.c, t.change.c, self.traces
        digests = {address_digest(each) for each in traces.addresses} - {""}
        known = or_(
            among(self.conn, item.email_key, traces.addresses), among(self.conn, item.address_digest, digests)
        )
        for row in self.conn.execute(select(item.id, item.bc_key).where(item.profile.in_(self.ours), known)):
            if BcKey.parse(row.bc_key or "") is None:
                traces.items.add(row.id)
        unnamed = select(log.outlook_id).where(log.profile.in_(self.ours), log.bc_id.is_(None))
        unnamed = unnamed.where(among(self.conn, log.email_key, traces.addresses))
        traces.items |= {key for key in self.conn.scalars(unnamed) if key}
        tie = t.coupling.c
        foreign = select(tie.outlook_id).where(tie.profile.in_(self.ours), tie.bc_id != traces.contact)
        traces.items -= set(self.conn.scalars(foreign.where(among(self.conn, tie.outlook_id, traces.items))))


def _written_alike(address: str) -> str:
    """Return the longest part of an address that stands so in all its spellings, but for the case of ASCII letters.

    A domain may be written in Unicode, and the databases do not all fold what is no ASCII.
    """
    return max(re.split(r"[^\0-\x7f]+|(?<=[@.])xn--[^.]*", address), key=len)


def _addresses_of_columns(texts: Iterable[str | None]) -> set[str]:
    """Return the addresses in BC's columns, which may hold several behind semicolons, in normal form."""
    return {email_key(part) for text in texts for part in (text or "").split(";")} - {""}


def _addresses(texts: Iterable[str | None]) -> Iterator[str]:
    """Yield the addresses in the JSON of baselines and former items, in normal form."""
    for text in texts:
        if text and text[:1] in "[{":
            value = json.loads(text)
            for each in value if isinstance(value, list) else [value]:
                yield from _addresses_in(each)


def _addresses_in(baseline: Mapping[str, Any]) -> Iterator[str]:
    places = (
        baseline,
        baseline.get("fields", {}),
        baseline.get("baseline_bc", {}),
        baseline.get("baseline_outlook", {}).get("fields", {}),
    )
    for fields in places:
        for name in ("email", "email2"):
            if address := email_key(str(fields.get(name, ""))):
                yield address


# -- the rows of each table ------------------------------------------------------------------------------------------


def _rows(conn: Connection, traces: _Traces) -> list[tuple[Table, ColumnElement[bool]]]:
    """Every table that holds anything of a contact, with the condition for its rows."""
    ours, item, bc, tie = _profiles(traces.company), t.outlook_contact.c, t.bc_contact.c, t.coupling.c
    claim = t.claim.c
    profiles = list(conn.scalars(ours))
    claimed = or_(
        func.coalesce(claim.bc_id, "") == (traces.contact or None),
        among(conn, claim.email_key, traces.addresses),
    )
    return [
        (t.change, _changes(conn, traces)),
        *((table, _rejected(conn, traces, table)) for table in (t.reject, t.dry_reject)),
        (t.postponed, _waiting(conn, traces)),
        (t.awaited, _awaited(conn, traces)),
        (t.claim, and_(claim.company == traces.company, claimed)),
        (t.coupling, and_(tie.profile.in_(ours), tie.bc_id == traces.contact)),
        (t.former_item, _remembered(conn, traces)),
        (t.left_out, and_(t.left_out.c.profile.in_(ours), t.left_out.c.bc_id == traces.contact)),
        (t.wish, _wished(conn, traces)),
        (t.bc_contact, and_(bc.company == traces.company, bc.id == traces.contact)),
        (t.outlook_contact, and_(item.profile.in_(ours), among(conn, item.id, traces.items))),
        (
            t.held_action,
            among(conn, t.held_action.c.id, held.find_known_by(conn, profiles, _held_keys(traces))),
        ),
    ]


def _held_keys(traces: _Traces) -> set[str]:
    """All that held actions know the contact by."""
    keys = {item_key(item) for item in traces.items} | {email_key_digest(each) for each in traces.addresses}
    return keys | ({bc_key(traces.contact)} if traces.contact else set())


def _rejected(conn: Connection, traces: _Traces, table: Table) -> ColumnElement[bool]:
    left = table.c
    named = or_(
        and_(left.side == Side.BUSINESS_CENTRAL, left.contact == traces.contact),
        and_(left.side == Side.OUTLOOK, among(conn, left.contact, traces.items)),
    )
    return and_(left.profile.in_(_profiles(traces.company)), named)


def _remembered(conn: Connection, traces: _Traces) -> ColumnElement[bool]:
    f = t.former_item.c
    named = or_(f.bc_id == traces.contact, among(conn, f.outlook_id, traces.items))
    return and_(f.profile.in_(_profiles(traces.company)), named)


def _waiting(conn: Connection, traces: _Traces) -> ColumnElement[bool]:
    c = t.postponed.c
    named = among(conn, c.contact, {traces.contact, *traces.items} - {""})
    return and_(c.profile.in_(_profiles(traces.company)), named)


def _awaited(conn: Connection, traces: _Traces) -> ColumnElement[bool]:
    c, named = t.awaited.c, digests(traces.addresses)
    own = and_(c.kind.in_(("contact", SCOPE)), c.value == traces.contact)
    there = and_(c.kind == "address", among(conn, c.value, named))
    return and_(c.profile.in_(_profiles(traces.company)), or_(own, there))


def _wished(conn: Connection, traces: _Traces) -> ColumnElement[bool]:
    c = t.wish.c
    named = among(conn, c.contact, {traces.contact, *traces.items} - {""})
    return and_(c.profile.in_(_profiles(traces.company)), named)


def _changes(conn: Connection, traces: _Traces) -> ColumnElement[bool]:
    c = t.change.c
    named = or_(
        func.coalesce(c.bc_id, "") == (traces.contact or None),
        among(conn, func.coalesce(c.outlook_id, ""), traces.items),
    )
    return and_(c.profile.in_(_profiles(traces.company)), named)


def _to_erasure(conn: Connection, traces: _Traces) -> Erasure:
    bc, item, p = t.bc_contact.c, t.outlook_contact.c, t.sync_profile.c
    here = (bc.company == traces.company, bc.overlay == "")
    present = select(bc.id).where(*here, bc.id == traces.contact, bc.gone_since.is_(None))
    shared = select(bc.id).where(*here, bc.id != traces.contact, among(conn, bc.email_key, traces.addresses))
    folders = (
        select(p.mailbox)
        .distinct()
        .join(t.outlook_contact, item.profile == p.id)
        .where(
            p.company == traces.company,
            item.overlay == "",
            item.gone_since.is_(None),
            among(conn, item.id, traces.items),
        )
        .order_by(p.mailbox)
    )
    counts = {
        table.name: conn.scalar(select(func.count()).select_from(table).where(condition)) or 0
        for table, condition in _rows(conn, traces)
    }
    in_bc = conn.execute(present).first() is not None
    found = Erasure(counts, in_bc, list(conn.scalars(folders)), sorted(conn.scalars(shared)), traces.contact)
    return replace(found, digest=_digest(traces, found))


def _digest(traces: _Traces, found: Erasure) -> str:
    # What leads to the rows is told apart, too: other rows may be as many.
    ways = [traces.company, sorted(traces.items), sorted(traces.addresses)]
    text = json.dumps([ways, asdict(found)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


# -- beside the deletes ----------------------------------------------------------------------------------------------


def _refuse_unsettled(conn: Connection, traces: _Traces, longest_request: float) -> None:
    """A write that may still be carried out must be settled first: else nobody would know the contact it makes."""
    c = t.change.c
    sent = and_(c.state == "sending", c.sent_at >= clock.moment(conn, -longest_request))
    broke_off = and_(c.state == "planned", c.plan.in_(select(t.plan.c.id).where(~t.plan.c.dry_run)))
    wanted = select(c.n).where(_changes(conn, traces), or_(sent, broke_off)).limit(1)
    if conn.execute(wanted).first():
        raise ErasureError(
            "The last sync of this contact has not come to its end. Run contact_sync, then erase the contact."
        )


def _read_again(conn: Connection, traces: _Traces, *, in_bc: bool) -> None:
    """Let the next run read what staging no longer knows of, before it takes a contact for a new one.

    A folder is read in full where an item of it is erased: its delta would not name the item again, and the sync
    would make a second one. The times of the cursors stay: a run that waits goes by them.
    """
    item, tie = t.outlook_contact.c, t.coupling.c
    ours = _profiles(traces.company)
    staged = select(item.profile).where(item.profile.in_(ours), among(conn, item.id, traces.items))
    coupled = select(tie.profile).where(tie.profile.in_(ours), tie.bc_id == traces.contact)
    for profile in {*conn.scalars(staged.distinct()), *conn.scalars(coupled)}:
        at = runs.read_cursor(conn, "outlook", profile).updated_at
        if at:
            runs.write_cursor(conn, "outlook", profile, updated_at=at, position="", pending=True)
    at = runs.read_cursor(conn, "business_central", traces.company).updated_at
    if at:
        # What is staged is counted anew, and where BC has the contact yet, looked for by a scan.
        again = {"diffed_generation": None} | ({"last_scan_at": None} if in_bc else {})
        runs.write_cursor(conn, "business_central", traces.company, updated_at=at, **again)
