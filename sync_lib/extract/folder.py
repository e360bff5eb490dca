"""Read an Outlook folder into staging, once per profile (rules 5).

A snapshot and its cursor change in one transaction, and only after a complete read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from sync_lib.errors import CursorExpiredError, MalformedAnswerError, RejectedError
from sync_lib.extract.staging import Staging, gone_items, must_compare, outlook_row
from sync_lib.model import OutlookContact
from sync_lib.ports import Outlook
from sync_lib.store import runs
from sync_lib.store.snapshots import outlook_items
from sync_lib.store.snapshots.rows import Force, Version

logger = logging.getLogger(__name__)


# -- Outlook ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FolderRead:
    """What a complete read of a folder found; nothing of it is staged yet."""

    full: bool
    contacts: list[OutlookContact]
    gone: dict[str, str]  # id -> deleted / moved
    delta_link: str


@dataclass(frozen=True, slots=True)
class KnownFolder:
    """The folder to read; ``known`` looks up what is staged of some items, or of all where it gets None."""

    user: str
    folder: str
    known: Callable[[list[str] | None], dict[str, outlook_items.KnownItem]]
    new: bool = False


def fetch_folder(client: Outlook, folder: KnownFolder, delta_link: str, *, full: bool) -> FolderRead:
    """Read what changed in a folder since ``delta_link``, or all of it; an expired link makes the read a full one."""
    if not full and delta_link and not client.is_own_link(delta_link):
        logger.warning(
            "the stored delta link leads to another address than the API root of the Connection, which somebody has "
            "changed: reading the folder in full (api_root_changed)"
        )
    elif not full and delta_link:
        try:
            return _fetch_changes(client, folder, delta_link)
        except CursorExpiredError:
            logger.info("the delta link has expired: reading the folder in full")
    return _fetch_all(client, folder)


def _fetch_changes(client: Outlook, folder: KnownFolder, delta_link: str) -> FolderRead:
    page = client.fetch_delta(folder.user, folder.folder, delta_link)
    if not page.contacts and not page.removed:
        return FolderRead(False, [], {}, page.delta_link)
    known = folder.known([*(contact.id for contact in page.contacts), *page.removed])
    unknown = [c.id for c in page.contacts if c.id not in known or known[c.id].bc_key is None]
    # Of a veiled item only a look-up shows whether its owner took the flag away.
    returned = [c.id for c in page.contacts if c.id in known and (known[c.id].gone or known[c.id].is_veiled)]
    contacts = {c.id: c for c in page.contacts if c.id in known}
    # Whatever shows up as removed may be there: what left and came back shows up as removed only, also what is staged
    # as gone, and what nobody has seen yet.
    present, gone = _look_up(client, folder, dict.fromkeys([*unknown, *returned, *page.removed]))
    for key in gone:
        contacts.pop(key, None)
    gone = {key: why for key, why in gone.items() if key in known}
    return FolderRead(False, list((contacts | present).values()), gone, page.delta_link)


def _fetch_all(client: Outlook, folder: KnownFolder) -> FolderRead:
    """A new delta round for its link, and a list for the keys, which delta cannot carry (rules 5)."""
    page = client.fetch_delta(folder.user, folder.folder, None)
    if folder.new and not page.contacts:
        listed: dict[str, OutlookContact] = {}
    else:
        listed = {contact.id: contact for contact in client.iter_contacts(folder.user, folder.folder)}
    seen = [contact.id for contact in page.contacts if contact.id not in listed]
    absent = sorted(key for key, item in folder.known(None).items() if key not in listed and not item.gone)
    present, gone = _look_up(client, folder, dict.fromkeys([*seen, *absent]))
    return FolderRead(True, list((listed | present).values()), gone, page.delta_link)


def _look_up(
    client: Outlook, folder: KnownFolder, ids: Iterable[str]
) -> tuple[dict[str, OutlookContact], dict[str, str]]:
    """Ask for items by immutable id: those in this folder, and why the others are not (rules 5)."""
    wanted = list(ids)
    if not wanted:
        return {}, {}
    answers = client.fetch_contacts(folder.user, wanted, folder.folder)
    present, gone = {}, {}
    for key in wanted:
        contact = answers.get(key)
        if contact is None:
            gone[key] = "deleted"
        elif contact.parent_folder_id == folder.folder:
            present[key] = contact
        else:
            gone[key] = "moved"
    return present, gone


def look_up_each(
    client: Outlook, user: str, ids: Sequence[str], folder: str
) -> dict[str, OutlookContact | None]:
    """Return items by id; those that the service refuses to show, or shows odd, are left out of the answer."""
    try:
        found: dict[str, OutlookContact | None] = client.fetch_contacts(user, ids, folder)
    except (RejectedError, MalformedAnswerError) as error:
        if len(ids) == 1:
            logger.warning("an item cannot be read: %s", error)
            return {}
        found = {}
        for one in ids:
            found |= look_up_each(client, user, [one], folder)
    return found


def stage_folder(conn: Connection, read: FolderRead, staging: Staging) -> tuple[int, dict[str, Version]]:
    """Stage a read and move the cursor; return how many rows changed, and what only a GET can judge (rules 5).

    Where a GET must judge, the cursor moves with what it says: else a failure in between would lose those items.
    """
    profile, run = staging.scope, staging.run
    known = outlook_items.read_outlook_records(
        conn, profile, [c.id for c in read.contacts], overlay=run.overlay
    )
    rows = (
        outlook_row(_complete(contact, known.get(contact.id)), staging.mapper) for contact in read.contacts
    )
    staged = outlook_items.stage_outlook(
        conn, profile, rows, overlay=run.overlay, normaliser=staging.mapper.version
    )
    for reason in ("deleted", "moved"):
        ids = [key for key, why in read.gone.items() if why == reason]
        outlook_items.mark_gone_outlook(conn, profile, ids, at=staging.at, reason=reason, overlay=run.overlay)
    logger.info(
        "staged %d items: %d changed, %d as before, %d gone",
        len(read.contacts),
        staged.changed,
        staged.unchanged,
        len(read.gone),
    )
    changed = staged.changed + len(read.gone)
    if changed:
        must_compare(conn, staging)
    if not staged.stored:
        move_folder_cursor(conn, read, staging)
    return changed, staged.stored


def move_folder_cursor(conn: Connection, read: FolderRead, staging: Staging) -> None:
    """Move a profile's cursor behind a complete read; a dry run moves none."""
    if not staging.run.dry_run:
        values: dict[str, Any] = {"position": read.delta_link, "linked_at": staging.began or staging.at}
        if read.full:
            values |= runs.end_full(staging.began or staging.at) | {"version": staging.mapper.version}
        runs.write_cursor(conn, "outlook", staging.scope, updated_at=staging.at, **values)


def _complete(contact: OutlookContact, known: dict[str, Any] | None) -> OutlookContact:
    """The whole item: what a delta item leaves out keeps its staged value (rules 5)."""
    if known is None:
        return contact
    return replace(
        contact,
        record={**known["record"], **contact.record},
        etag=contact.etag or known["etag"],
        last_modified=contact.last_modified or known["last_modified"],
        created=contact.created or known["created"],
        bc_key=known["bc_key"] if contact.bc_key is None else contact.bc_key,
    )


def stage_looked_up(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection,
    folder: str,
    items: Mapping[str, OutlookContact | None],
    staging: Staging,
    *,
    force: Force = True,
    tied: Collection[str] = (),
) -> None:
    """Stage what a look-up said of items: their private flag had to be read, or their order in time was unclear.

    Args:
        conn: Inside a transaction.
        folder: The profile's folder; what lies elsewhere is gone from it.
        items: The answers, None for an item that is not there.
        staging: Where and when.
        force: The staged versions that an answer replaces whatever its stamp (rules 5); True: whatever is staged.
        tied: Items that are about to be coupled.
    """
    profile, overlay = staging.scope, staging.run.overlay
    here = [
        outlook_row(item, staging.mapper)
        for item in items.values()
        if item and item.parent_folder_id == folder
    ]
    outlook_items.stage_outlook(
        conn, profile, here, overlay=overlay, normaliser=staging.mapper.version, force=force, tied=tied
    )
    for reason, gone in gone_items(items, folder):
        outlook_items.mark_gone_outlook(conn, profile, gone, at=staging.at, reason=reason, overlay=overlay)
