"""Where a read is staged, and how a record becomes a staged row; the load stages so too what it wrote (rules 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from sync_lib.fields.mapper import FieldMapper
from sync_lib.fields.normal_forms import email_key
from sync_lib.fields.required import to_outlook_problem
from sync_lib.fields.slots import UNREADABLE
from sync_lib.model import BcContact, Fields, OutlookContact, Run
from sync_lib.store import runs
from sync_lib.store.runs import Cursor
from sync_lib.store.snapshots.rows import BcRow, OutlookRow
from sync_lib.times import shift

#: Seconds between two tries of a full read that is due: the first gap, which doubles, and the longest (rules 5).
FIRST_GAP, LONGEST_GAP = 300.0, 3600.0


def is_full_due(cursor: Cursor, run: Run, now: str) -> bool:
    """Whether a run reads a company or a folder in full because a slot has passed since the last full read began."""
    if run.dry_run or not run.full_slot or (cursor.last_full_at or "") >= run.full_slot:
        return False
    gap = (
        min(FIRST_GAP * 2 ** (min(cursor.full_failures, 9) - 1), LONGEST_GAP) if cursor.full_failures else 0.0
    )
    return not cursor.full_tried_at or cursor.full_tried_at <= shift(now, -gap)


@dataclass(frozen=True, slots=True)
class Staging:
    """Where a read is staged: the key of the company or profile, the run that read it, when, and since when."""

    scope: int
    mapper: FieldMapper
    run: Run
    at: str
    began: str = ""


def must_compare(conn: Connection, staging: Staging) -> None:
    """Let whoever comes next compare, also if this worker gets no further."""
    if not staging.run.dry_run:
        runs.write_cursor(conn, "outlook", staging.scope, updated_at=staging.at, pending=True)


def gone_items(items: Mapping[str, OutlookContact | None], folder: str) -> Iterator[tuple[str, list[str]]]:
    """Yield why items that were looked up are not in the folder, and their ids."""
    yield "deleted", [key for key, item in items.items() if item is None]
    yield "moved", [key for key, item in items.items() if item and item.parent_folder_id != folder]


def outlook_row(contact: OutlookContact, mapper: FieldMapper) -> OutlookRow:
    """Return an item as it is staged: with the fingerprint, address and name that the diff looks at."""
    return row_of(contact, mapper.of_outlook(contact.record), mapper)


def row_of(contact: OutlookContact, fields: Fields, mapper: FieldMapper) -> OutlookRow:
    """Return ``outlook_row`` of an item whose fields were read already."""
    address = fields.get("email", "")
    key = "" if address == UNREADABLE else email_key(address)
    return OutlookRow(contact, mapper.fingerprint(fields), key, fields.get("name", "").strip())


def bc_row(contact: BcContact, mapper: FieldMapper) -> BcRow:
    """Return a BC contact as it is staged."""
    fields = mapper.of_business_central(contact.values)
    problem = to_outlook_problem(fields.get("name", ""), fields.get("email", "")) or ""
    address = email_key(contact.values.get("email", ""))
    return BcRow(contact, mapper.fingerprint(fields), address, problem)
