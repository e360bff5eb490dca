"""A folder of the profile's own beside the bound one, dragged back from Deleted Items (rules 1).

Nothing of it is read into staging or written before a person says which of the two counts. What the sync still has
to do stands in the profile's row, so that a run that is killed leaves it to the next one: ``second_folder`` and
``second_answer`` until the answer is taken up, then ``leaving_folder`` until the other folder is free of our marks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from sync_lib import folders
from sync_lib.diff import is_edited, left_coupling
from sync_lib.errors import ApiError, ConfigError, NotFoundError
from sync_lib.fields import mapping
from sync_lib.load import BATCH, Target
from sync_lib.model import BatchWrite, BcKey, Coupling, Origin, OutlookContact, OutlookSide
from sync_lib.store import ledger, profiles, runs, snapshots
from sync_lib.store.engine import read
from sync_lib.store.profiles import Profile
from sync_lib.views import FOLDER_DELETED

logger = logging.getLogger(__name__)

REASON = "second_folder"
GO_BACK, LEAVE = "go_back", "leave"
#: How often a run lists the folder that is left: what was edited between list and write shows its key once more.
PASSES = 3


def answer(conn: Connection, profile: Profile, said: str) -> None:
    """Store what a person says about the second folder; the next run carries it out.

    Args:
        conn: Inside a transaction.
        profile: A profile whose ``second_folder`` waits for this.
        said: ``GO_BACK`` or ``LEAVE``.

    Raises:
        ConfigError: No second folder is known.
    """
    if not profile.second_folder:
        raise ConfigError(f"{profile.mailbox}: no second folder of this profile is known.")
    profiles.bind_profile(conn, profile.id, second_answer=said)


def message(profile: Profile) -> str:
    """Say what waits for an answer."""
    return (
        f"The mailbox {profile.mailbox} has a second folder of this profile, perhaps dragged back from Deleted Items. "
        "It is not synced. Say on the profile's page which one counts, or by: contact-sync profiles second-folder "
        f"{profile.id} --go-back, or --leave."
    )


def read_taken(conn: Connection, profile: Profile) -> folders.Taken:
    """Return what no second folder of a profile is: what belongs to other profiles, and one being left."""
    taken = folders.read_taken(conn, profile)
    return replace(taken, ids=taken.ids | ({profile.leaving_folder} - {""}))


def bound(profile: Profile, folder: str) -> dict[str, str]:
    """Return what a profile no longer has to do about a folder that it is bound to now: it was found by its marker."""
    values: dict[str, str] = {}
    if profile.second_folder == folder:
        values |= {"second_folder": "", "second_answer": ""}
    if profile.leaving_folder == folder:
        values["leaving_folder"] = ""
    return values


# -- the answers -----------------------------------------------------------------------------------------------------


def leave(conn: Connection, profile: Profile) -> None:
    """Take up the answer that the second folder is to be left."""
    left = {"second_folder": "", "second_answer": ""}
    profiles.bind_profile(conn, profile.id, leaving_folder=profile.second_folder, **left)


def go_back(conn: Connection, profile: Profile, now: str) -> None:
    """Bind the second folder, and leave the one that was bound, in one transaction.

    The items of the latter are remembered as former ones with the version last seen in agreement: what nobody edits
    until they are taken away is the sync's own.
    """
    assert profile.folder_id is not None
    known = snapshots.known_outlook(conn, profile.id)
    here = {key for key, item in known.items() if not item.gone}
    pairs = [each for each in ledger.read_live_couplings(conn, profile.id) if each.outlook_id in here]
    ledger.write_couplings(conn, profile.id, [_remembered(each) for each in pairs], now)
    snapshots.mark_all_gone_outlook(conn, profile.id, at=now, reason=FOLDER_DELETED)
    runs.write_cursor(
        conn, "outlook", profile.id, updated_at=now, position="", diffed_generation=None, pending=True
    )
    profiles.write_former_folder(conn, profile.id, profile.folder_id, now=now)
    profiles.bind_profile(
        conn,
        profile.id,
        folder_id=profile.second_folder,
        folder_made_by_sync=False,
        # It was ours before: what a colleague made in it since is no private contact of the time before the sync.
        looked_at=profile.second_folder,
        second_folder="",
        second_answer="",
        leaving_folder=profile.folder_id,
    )


def _remembered(coupling: Coupling) -> Coupling:
    former = left_coupling(coupling).former[-1]
    # A value that Outlook alone has never was in agreement, and nothing else holds it.
    etag = "" if coupling.differs else coupling.outlook_etag
    seen = {"outlook_etag": etag, "origin": coupling.origin}
    return replace(coupling, former=[*coupling.former, former | seen])


# -- the folder that is left -----------------------------------------------------------------------------------------


def clear(target: Target, folder: str) -> tuple[int, bool]:
    """Take marker, keys and category off a folder that is left; delete what is the sync's own in it.

    Returns:
        How many items were deleted, and whether nothing is left to do.

    Raises:
        ServiceError: Graph does not answer; the next run goes on.
    """
    with read(target.engine) as conn:
        was = _own_items(ledger.read_live_couplings(conn, target.profile))
    deleted = 0
    try:
        for _ in range(PASSES):
            items = target.outlook.iter_contacts(target.user, folder)
            ids = [item.id for item in items if _is_keyed(item, target.company_key)]
            if not ids:
                return deleted, _unmark(target, folder)
            for part in ledger.chunks(ids, BATCH):
                if not _may_write(target):
                    return deleted, False
                deleted += _clear_items(target, folder, part, was)
    except NotFoundError as error:
        if folders.is_mailbox_missing(error):
            raise
        return deleted, True
    return deleted, False


def _own_items(couplings: list[Coupling]) -> dict[str, Coupling]:
    """Items that the sync made, by id, each with its coupling as it was when their folder was left."""
    return {
        former["id"]: replace(
            coupling,
            outlook_id=former["id"],
            outlook_etag=former["outlook_etag"],
            baseline_bc=former["baseline_bc"],
            baseline_outlook=former["baseline_outlook"],
        )
        for coupling in couplings
        for former in coupling.former
        # One that left by itself has no version here: nobody can say that it was not edited since.
        if former.get("origin") == Origin.MADE_BY_SYNC and former["id"] != coupling.outlook_id
        if former.get("outlook_etag")
    }


def _is_keyed(item: OutlookContact, company: BcKey) -> bool:
    key = BcKey.parse(item.bc_key or "")
    return key is not None and key.same_company(company)


def _may_write(target: Target) -> bool:
    with target.engine.begin() as conn:
        target.check_lease(conn)
    return target.may_write()


def _clear_items(target: Target, folder: str, ids: Sequence[str], was: Mapping[str, Coupling]) -> int:
    """Read a batch of items again, then write each on condition of its version; return how many were deleted."""
    read_now = target.outlook.fetch_contacts(target.user, ids, folder)
    items = [
        item
        for item in read_now.values()
        if item and item.parent_folder_id == folder and _is_keyed(item, target.company_key)
    ]
    writes = [_write(item, target, was) for item in items]
    results = target.outlook.apply_writes(target.user, writes) if writes else []
    for result in results:
        if isinstance(result.error, ApiError):
            logger.warning("an item of the folder that is left could not be written: %s", result.error)
    return sum(
        write.method == "DELETE" and not each.error for write, each in zip(writes, results, strict=True)
    )


def _write(item: OutlookContact, target: Target, was: Mapping[str, Coupling]) -> BatchWrite:
    own = was.get(item.id)
    if own is not None and not is_edited(own, _side(item), target.context):
        return BatchWrite("DELETE", contact_id=item.id, etag=item.etag)
    categories = mapping.without_category(item.record)
    body = {} if categories is None else {"categories": categories}
    return BatchWrite("PATCH", contact_id=item.id, etag=item.etag, body=body, clears_key=True)


def _side(item: OutlookContact) -> OutlookSide:
    return OutlookSide(item.id, 0, 0, item.etag, item.created, "", item.bc_key or "", item.record)


def _unmark(target: Target, folder_id: str) -> bool:
    """Blank the slots of the marker that are of this company; last, since until then the folder is known by it."""
    if not _may_write(target):
        return False
    folder = target.outlook.fetch_folder(target.user, folder_id)
    for other, text in ((False, folder.marker), (True, folder.other_marker)):
        marker = folders.Marker.parse(text)
        if marker is not None and marker.is_of(target.company_key):
            target.outlook.write_marker(target.user, folder_id, "", other=other)
    return True
