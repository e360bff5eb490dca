"""A folder of the profile's own beside the bound one, dragged back from Deleted Items (rules 1).

Nothing of it is read into staging or written before a person says which of the two counts. What the sync still has
to do is stored in the profile's row, so that a run that is killed leaves it to the next one: ``second_folder`` and
``second_answer`` until the answer is taken up, then ``leaving_folder`` until the other folder is free of our marks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from sync_lib.diff.baselines import is_edited, left_coupling
from sync_lib.diff.context import DiffContext
from sync_lib.diff.ending import own_categories
from sync_lib.errors import ApiError, NotFoundError
from sync_lib.fields import categories
from sync_lib.fields.contact_keys import BcKey
from sync_lib.load.outcomes import BATCH
from sync_lib.load.target import Target
from sync_lib.logs import phase
from sync_lib.model import (
    Action,
    Coupling,
    HoldReason,
    Mode,
    Origin,
    Outcome,
    OutlookContact,
    OutlookSide,
)
from sync_lib.ports import BatchWrite
from sync_lib.run import folders
from sync_lib.run.books import Progress
from sync_lib.run.closing import Result
from sync_lib.run.folders import Found
from sync_lib.run.profile_run import ProfileRun
from sync_lib.store import runs
from sync_lib.store.bulk import chunks
from sync_lib.store.couplings import read_live_couplings, write_couplings
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import GO_BACK, LEAVE, Profile
from sync_lib.store.snapshots import outlook_items
from sync_lib.store.snapshots.outlook_items import FOLDER_DELETED

logger = logging.getLogger(__name__)

REASON = "second_folder"
#: How often a run lists the folder that is left: what was edited between list and write shows its key once more.
PASSES = 3


def message(profile: Profile) -> str:
    """Say what waits for an answer."""
    return (
        f"The mailbox {profile.mailbox} has a second folder of this profile, perhaps dragged back from Deleted Items. "
        "It is not synced. Say on the profile's page which one counts, or by: contact-sync profiles second-folder "
        f"{profile.id} --go-back, or --leave."
    )


def read_taken(conn: Connection, profile: Profile, user: str) -> folders.Taken:
    """Return what no second folder of a profile is: what belongs to other profiles, and one being left."""
    taken = folders.read_taken(conn, profile, user)
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
    known = outlook_items.known_outlook(conn, profile.id)
    here = {key for key, item in known.items() if not item.gone}
    pairs = [each for each in read_live_couplings(conn, profile.id) if each.outlook_id in here]
    write_couplings(conn, profile.id, [_remembered(each) for each in pairs], now)
    outlook_items.mark_all_gone_outlook(conn, profile.id, at=now, reason=FOLDER_DELETED)
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
        couplings = read_live_couplings(conn, target.profile)
    was, put = _own_items(couplings), _put_on_items(couplings)
    deleted = 0
    try:
        for _ in range(PASSES):
            items = target.outlook.iter_contacts(target.user, folder)
            ids = [item.id for item in items if _is_keyed(item, target.company_key)]
            if not ids:
                return deleted, unmark(target, folder)
            for part in chunks(ids, BATCH):
                if not _may_write(target):
                    return deleted, False
                deleted += _clear_items(target, folder, part, _Known(was, put))
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


def _put_on_items(couplings: list[Coupling]) -> dict[str, tuple[str, ...]]:
    """Digests of the categories that the sync put on items of other folders, by item."""
    return {
        former["id"]: categories.former_digests(former)
        for coupling in couplings
        for former in coupling.former
    }


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the items of a folder that is left: those that the sync made, and what it put on them."""

    was: Mapping[str, Coupling]
    put: Mapping[str, tuple[str, ...]]


def _is_keyed(item: OutlookContact, company: BcKey) -> bool:
    key = BcKey.parse(item.bc_key or "")
    return key is not None and key.same_company(company)


def _may_write(target: Target) -> bool:
    with target.engine.begin() as conn:
        target.check_lease(conn)
    return target.may_write()


def _clear_items(target: Target, folder: str, ids: Sequence[str], known: _Known) -> int:
    """Read a batch of items again, then write each on condition of its version; return how many were deleted."""
    read_now = target.outlook.fetch_contacts(target.user, ids, folder)
    items = [
        item
        for item in read_now.values()
        if item and item.parent_folder_id == folder and _is_keyed(item, target.company_key)
    ]
    writes = [_write(item, target, known) for item in items]
    results = target.outlook.apply_writes(target.user, writes) if writes else []
    for result in results:
        if isinstance(result.error, ApiError):
            logger.warning("an item of the folder that is left could not be written: %s", result.error)
    return sum(
        write.method == "DELETE" and not each.error for write, each in zip(writes, results, strict=True)
    )


def _write(item: OutlookContact, target: Target, known: _Known) -> BatchWrite:
    own = known.was.get(item.id)
    if own is not None and not is_edited(own, _side(item), target.mapper):
        return BatchWrite("DELETE", contact_id=item.id, etag=item.etag)
    plain = own_categories(None, target.context.policy)
    kept = categories.without(item.record, known.put.get(item.id, plain))
    body = {} if kept is None else {"categories": kept}
    return BatchWrite("PATCH", contact_id=item.id, etag=item.etag, body=body, clears_key=True)


def _side(item: OutlookContact) -> OutlookSide:
    return OutlookSide(item.id, 0, 0, item.etag, item.created, "", item.bc_key or "", item.record)


def unmark(target: Target, folder_id: str) -> bool:
    """Blank the slots of the marker that are of this company; last, since until then the folder is known by it."""
    if not _may_write(target):
        return False
    folder = target.outlook.fetch_folder(target.user, folder_id)
    for other, text in ((False, folder.marker), (True, folder.other_marker)):
        marker = folders.Marker.parse(text)
        if marker is not None and marker.is_of(target.company_key):
            target.outlook.write_marker(target.user, folder_id, "", other=other)
    return True


# -- what a run does about it ----------------------------------------------------------------------------------------

#: The profile's run after its work was done once more, its folder, what it depended on, and the result.
Again = tuple[ProfileRun, Found | None, DiffContext, Result]


class SecondFolder:
    """Carries out what a person answered, and reports a folder that waits for an answer (rules 1).

    Args:
        profile_run: The profile's run, its work done.
        found: The bound folder; None where a dry run would have to make it.
        context: What the last comparison depended on.
        progress: What the run has come to.
    """

    def __init__(
        self, profile_run: ProfileRun, found: Found | None, context: DiffContext, progress: Progress
    ) -> None:
        self.profile_run = profile_run
        self.found = found
        self.context = context
        self.progress = progress

    def heed(self, result: Result, again: Callable[[ProfileRun], Again]) -> Result:
        """Do what is to be done about a second folder, and about one that was left.

        Args:
            result: Of the work on the bound folder.
            again: Does the profile's work once more.
        """
        profile = self.profile_run.profile
        if not self._clear_left_folder(result):
            return result
        if profile.second_answer == LEAVE:
            with self.profile_run.transaction() as conn:
                leave(conn, profile)
            self.profile_run = self.profile_run.reread()
            self._clear_left_folder(result)
        elif profile.second_answer == GO_BACK and self._may_go_back():
            result = self._go_back(again)
        elif profile.second_folder and not profile.second_answer and not result.reason:
            result.reason, result.message = REASON, message(profile)
        return result

    def _may_go_back(self) -> bool:
        """Whether the bound folder's edits have reached BC, and the second one is still there."""
        assert self.found is not None
        waiting = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.HELD, Outcome.SKIPPED)
        to_bc = (Action.CREATE_BC, Action.UPDATE_BC)
        changed = self.progress.books.changed.values()
        if any(each.action in to_bc and each.outcome in waiting for each in changed):
            logger.warning("edits of the bound folder wait: going back to the other one waits with them")
            return False
        if folders.is_there(
            self.profile_run.outlook, self.found.user, self.profile_run.profile.second_folder
        ):
            return self.profile_run.services.may_write()
        logger.info("the second folder is gone: there is nothing to go back to")
        with self.profile_run.transaction() as conn:
            profiles.bind_profile(conn, self.profile_run.id, second_folder="", second_answer="")
        return False

    def _go_back(self, again: Callable[[ProfileRun], Again]) -> Result:
        """Bind the second folder, sync it in full, then free the other one of what is ours."""
        logger.info("going back to the second folder")
        with self.profile_run.transaction() as conn:
            go_back(conn, self.profile_run.profile, self.profile_run.services.now())
        profile_run = self.profile_run.reread()
        self.progress.begin_again()
        full = replace(profile_run, run=replace(profile_run.run, mode=Mode.FULL))
        self.profile_run, self.found, self.context, result = again(full)
        if not result.stopped:
            self._clear_left_folder(result)
        return result

    def _clear_left_folder(self, result: Result) -> bool:
        """Free a folder that was left of our marks; return whether no such folder is left.

        Where the bound folder counts as emptied, the other one may hold what is left: it waits for the decision.
        """
        folder = self.profile_run.profile.leaving_folder
        if not folder:
            return True
        if self.found is None or result.reason == HoldReason.EMPTIED:
            return False
        with phase("Free the folder that was left"):
            deleted, done = clear(self.profile_run.target(self.found, self.context), folder)
        if deleted:
            writes = result.counters.setdefault("writes", {})
            writes["deleted_outlook"] = writes.get("deleted_outlook", 0) + deleted
        if done:
            with self.profile_run.transaction() as conn:
                profiles.forget_former_folder(conn, self.profile_run.id, folder)
                profiles.bind_profile(conn, self.profile_run.id, leaving_folder="")
            self.profile_run = self.profile_run.reread()
        return done
