"""Read a company of Business Central into staging, once for all its profiles (rules 5).

A snapshot and its cursor change in one transaction, and only after a complete read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection

from sync_lib.extract.staging import Staging, bc_row, is_full_due
from sync_lib.model import BcContact, Run
from sync_lib.ports import BusinessCentral
from sync_lib.settings import SyncSettings
from sync_lib.store import companies, runs
from sync_lib.store.runs import Cursor
from sync_lib.store.snapshots import bc_contacts
from sync_lib.store.snapshots.rows import Version, bc_texts
from sync_lib.times import before, shift

logger = logging.getLogger(__name__)


#: Contacts that are compared with the staged ones at a time.
PART = 5_000
#: A scan or full read that shows so many staged rows older than they were, or this percentage, is of an older BC.
OLDER, OLDER_PERCENT = 10, 1.0
#: So many of the newest contacts gone at once, and nothing as new left, are no deletes by hand.
NEWEST_GONE = 3


@dataclass(frozen=True, slots=True)
class CompanyRead:
    """What a complete read of a company found; nothing of it is staged yet.

    Attributes:
        full: Every contact was read.
        contacts: New and changed ones.
        gone: Ids that no longer exist, each confirmed by the service.
        count: Number of contacts in the company, where the read gives it; else None.
        scanned: The ids of all contacts were read.
        dropped: The count is so much smaller that a person must accept it first (rules 8.3); nothing is gone.
        newest: The newest stamp read, no later than the service's own time; "" for none.
        date: The service's time by its latest answer, "" where it did not say.
        untroubled: No page of a full read was too slow.
        went_back: BC shows an older state than the staged one (rules 5).
    """

    full: bool
    contacts: list[BcContact]
    gone: list[str] = field(default_factory=list)
    count: int | None = None
    scanned: bool = False
    dropped: bool = False
    newest: str = ""
    date: str = ""
    untroubled: bool = True
    went_back: bool = False


def fetch_company(client: BusinessCentral, company_id: str, cursor: Cursor, plan: ReadPlan) -> CompanyRead:
    """Read a company: all contacts, or those since the watermark with the overlap, and the id scan where it is due.

    What is staged is asked for only of the contacts that come; of all of them where all ids are read. A scan that
    shows BC older than it was makes the read a full one.

    Args:
        client: ``BusinessCentralClient``.
        company_id: The company's GUID.
        cursor: The company's cursor.
        plan: What to read.
    """
    if plan.full:
        return _fetch_company(client, company_id, cursor, plan)
    listing, since = plan.listing("changes"), before(cursor.position, plan.overlap)
    recent = client.iter_contacts(company_id, since=since, listing=listing)
    news = {each.contact.id: each for each in _news(recent, plan)}
    changed = {key: each.contact for key, each in news.items()}
    read = CompanyRead(False, list(changed.values()), newest=listing.newest, date=listing.date)
    new = sum(each.is_new for each in news.values())
    if not plan.scan and _counts_agree(client, company_id, plan.present + new):
        return read
    stamps, known = dict(client.iter_ids(company_id, plan.listing("scan"))), plan.stamps()
    if _went_back(known, stamps, cursor, plan):
        logger.warning("Business Central shows an older state than before: reading it in full")
        return _fetch_company(client, company_id, cursor, plan)
    missed = sorted({key for key, _ in stamps.items() - known.items()} - changed.keys())
    changed |= {key: contact for key, contact in _fetch(client, company_id, missed).items() if contact}
    read = replace(read, contacts=list(changed.values()), count=len(stamps), scanned=True)
    return _with_gone(client, company_id, read, known.keys() - stamps.keys() - changed.keys(), plan)


def _fetch_company(client: BusinessCentral, company_id: str, cursor: Cursor, plan: ReadPlan) -> CompanyRead:
    """Read all contacts, and keep those that are not staged as they are."""
    listing, known = plan.listing("full"), plan.stamps()
    stamps: dict[str, str] = {}

    def noted() -> Iterator[BcContact]:
        for contact in client.iter_contacts(company_id, listing=listing):
            stamps[contact.id] = contact.last_modified
            yield contact

    contacts = list(noted()) if plan.renew else [each.contact for each in _news(noted(), plan)]
    read = CompanyRead(
        True,
        contacts,
        count=len(stamps),
        newest=listing.newest,
        date=listing.date,
        untroubled=not listing.troubled,
        went_back=_went_back(known, stamps, cursor, plan),
    )
    return _with_gone(client, company_id, read, known.keys() - stamps.keys(), plan)


class _News(NamedTuple):
    """A contact that is not staged as it is, and whether none of its id is staged."""

    contact: BcContact
    is_new: bool


def _news(rows: Iterable[BcContact], plan: ReadPlan) -> Iterator[_News]:
    """Yield what is not staged as it is: the overlap brings most of them once more.

    A version that did not move proves nothing about computed fields.
    """
    rows = iter(rows)
    while part := list(islice(rows, PART)):
        staged = plan.staged([contact.id for contact in part])
        for contact in part:
            known = staged.get(contact.id)
            if known != (contact.last_modified, contact.etag, *bc_texts(contact)):
                yield _News(contact, known is None)


def _counts_agree(client: BusinessCentral, company_id: str, staged: int) -> bool:
    """Whether BC's own count, where it gives one, speaks for what is staged: then the id scan can wait."""
    count = client.count_contacts(company_id)
    return count is None or count == staged


def _went_back(known: Mapping[str, str], stamps: Mapping[str, str], cursor: Cursor, plan: ReadPlan) -> bool:
    """Whether a complete read or scan shows an older BC than the staged one, restored under its old name (rules 5).

    The rule goes by the newest stamp alone. But BC answers 404 for a contact that was deleted by hand as it does for
    one that a restore took back, and the watermark stays where a deleted contact left it: every profile of a quiet
    company would be held for each delete of its newest contact, and again by each full read until somebody edits
    something. So that nothing as new is left counts only beside a row that has become older, which no delete brings
    about, or where several of the newest are gone together.
    """
    if not stamps or not cursor.position:
        return False
    older = sum(key in stamps and stamps[key] < stamp for key, stamp in known.items() - stamps.items())
    if older >= max(OLDER, len(known) * OLDER_PERCENT / 100):
        return True
    newest = max(stamps.values())
    if newest >= before(cursor.position, plan.overlap):
        return False
    return older > 0 or sum(stamp > newest for stamp in known.values()) >= NEWEST_GONE


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How much of a company to read.

    Attributes:
        full: Every contact.
        scan: Id and stamp of every contact beside the changed ones.
        renew: Stage also what is staged in the same version: its fingerprints are made of something else.
        overlap: Seconds that an incremental read goes back behind the watermark.
        accepted: The count that was accepted last; None: never counted.
        present: Number of staged, present contacts.
        listing: Gives the ``clients.listing.Listing`` of a kind of read: ``full``, ``changes`` or ``scan``.
        staged: Gives stamp, version and fields (``rows.bc_texts``) of staged, present contacts by their ids.
        stamps: Gives the stamps of all staged, present contacts by their ids.
    """

    full: bool
    scan: bool
    renew: bool
    overlap: float
    accepted: int | None
    present: int = 0
    listing: Callable[[str], Any] = lambda _kind: None
    staged: Callable[[list[str]], dict[str, tuple[str, ...]]] = lambda _ids: {}
    stamps: Callable[[], dict[str, str]] = dict


@dataclass(frozen=True, slots=True)
class State:
    """What a read is planned by.

    Attributes:
        contacts: Number of staged contacts.
        accepted: The count that was accepted last; None: never counted.
        scan_rows: Rows to a page of the id scan.
        now: The time by the staging database.
    """

    contacts: int
    accepted: int | None
    scan_rows: int
    now: str


def plan_read(run: Run, cursor: Cursor, state: State, settings: SyncSettings) -> ReadPlan:
    """Decide how much of a company a run reads (rules 5)."""
    full = run.mode == "full" or not cursor.position or is_full_due(cursor, run, state.now)
    cheap = state.contacts <= state.scan_rows * settings.id_scan_requests
    every = settings.id_scan_cheap_every if cheap else settings.id_scan_every
    due = not cursor.last_scan_at or cursor.last_scan_at <= shift(state.now, -every)
    return ReadPlan(
        full, not full and due, not cursor.position, settings.overlap, state.accepted, state.contacts
    )


def _with_gone(
    client: BusinessCentral, company_id: str, read: CompanyRead, missing: set[str], plan: ReadPlan
) -> CompanyRead:
    """Confirm one by one that missing contacts are gone, unless so many are that the read is not believable."""
    accepted, count = plan.accepted or 0, read.count or 0
    if (accepted and count * 2 < accepted) or (missing and not count and plan.accepted != 0):
        return replace(read, dropped=True)
    answers = _fetch(client, company_id, sorted(missing), may_be_empty=not count)
    present = [contact for contact in answers.values() if contact]
    gone = [key for key, contact in answers.items() if contact is None]
    return replace(read, contacts=read.contacts + present, gone=gone)


def _fetch(
    client: BusinessCentral, company_id: str, ids: Sequence[str], *, may_be_empty: bool = False
) -> dict[str, BcContact | None]:
    found: dict[str, BcContact | None] = {}
    if ids:
        found = client.fetch_contacts(company_id, ids, may_be_empty=may_be_empty)
    return found


def stage_company(conn: Connection, read: CompanyRead, staging: Staging) -> dict[str, Version]:
    """Stage a read and move the cursor; return the versions of staged rows that only a GET can judge (rules 5).

    Where there are such rows the cursor moves with what the GET says: else a failure in between would lose them.
    """
    company, run = staging.scope, staging.run
    if not read.contacts and not read.gone:
        # The generation stays, so that profiles in which nothing changed either are done without a diff.
        logger.info("no contact changed")
        move_watermark(conn, read, staging)
        return {}
    generation = bc_contacts.next_generation(conn, company) if not run.overlay else 0
    staged = bc_contacts.stage_business_central(
        conn,
        company,
        (bc_row(contact, staging.mapper) for contact in read.contacts),
        overlay=run.overlay,
        generation=generation,
        normaliser=staging.mapper.version,
    )
    bc_contacts.mark_gone_business_central(
        conn, company, read.gone, at=staging.at, overlay=run.overlay, generation=generation
    )
    logger.info(
        "staged %d contacts: %d changed, %d as before, %d gone",
        len(read.contacts),
        staged.changed,
        staged.unchanged,
        len(read.gone),
    )
    if not staged.stored:
        move_watermark(conn, read, staging)
    return staged.stored


def move_watermark(conn: Connection, read: CompanyRead, staging: Staging) -> None:
    """Move a company's cursor behind a complete read; a dry run moves none."""
    if staging.run.dry_run:
        return
    company, at = staging.scope, staging.at
    cursor = runs.read_cursor(conn, "business_central", company)
    # A stamp in the future, ours or an older one's, would hide what changes until then.
    position = max(read.newest, min(cursor.position, read.date or cursor.position))
    values: dict[str, Any] = {"position": read.newest if read.went_back else position}
    if read.full:
        values |= runs.end_full(staging.began or at) | {"version": staging.mapper.version}
    if read.full or read.scanned:
        values["last_scan_at"] = at
    # Read before they are counted: what another one stages in between makes the next read count anew.
    generation = companies.read_company(conn, company).generation
    if cursor.diffed_generation != generation:
        counted = bc_contacts.count_present(conn, company)
        values |= {"diffed_generation": generation, "contacts": counted}
    runs.write_cursor(conn, "business_central", company, updated_at=at, **values)
    if read.full and read.untroubled:
        companies.double_page_sizes(conn, company, at)
    if read.went_back:
        companies.hold_next_runs(conn, company, companies.WENT_BACK)
    if read.count is not None:
        companies.accept_count(conn, company, read.count)


def stage_judged(
    conn: Connection,
    contacts: Mapping[str, BcContact | None],
    stored: Mapping[str, Version],
    staging: Staging,
) -> None:
    """Stage what a GET by id said of contacts whose order in time was unclear (rules 5)."""
    company, overlay = staging.scope, staging.run.overlay
    generation = 0 if overlay else bc_contacts.next_generation(conn, company)
    bc_contacts.stage_business_central(
        conn,
        company,
        [bc_row(contact, staging.mapper) for contact in contacts.values() if contact],
        overlay=overlay,
        generation=generation,
        normaliser=staging.mapper.version,
        force=stored,
    )
    gone = [key for key, contact in contacts.items() if contact is None]
    bc_contacts.mark_gone_business_central(
        conn, company, gone, at=staging.at, overlay=overlay, generation=generation
    )
