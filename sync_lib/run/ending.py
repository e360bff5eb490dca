"""End a profile that a person wants ended (rules 1): its last edits go to Business Central, then its folder is freed.

All of it is done under the profile's lease, and what has been done is stored in the profile's row: a run that is killed
leaves the rest to the next one, which ends the profile the same. From ``ending_began`` on nothing is synced any more,
so that nothing that was taken away is made again.

``notes`` holds ``deleted`` and ``freed`` (items), and what could not be done: ``reason`` (nothing was synced, or the
mailbox was not reached), ``edits`` (that did not reach Business Central), ``refused`` (items that Graph let nobody
write), ``folder`` (``deleted``, or ``missing``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sync_lib.diff.ending import CAUSE, Ending, own_key, plan_end
from sync_lib.errors import AccessDeniedError, FilterSyntaxError, NotFoundError, ProfileError, reason_of
from sync_lib.fields.filters import parse_filter
from sync_lib.fields.normal_forms import email_key
from sync_lib.load.apply import apply_plan
from sync_lib.load.outcomes import REFUSED_IN_A_ROW
from sync_lib.load.target import Target
from sync_lib.logs import phase
from sync_lib.model import (
    Action,
    FormerItem,
    Mode,
    Outcome,
    OutlookContact,
    OutlookSide,
    PlannedChange,
    Run,
    Side,
)
from sync_lib.ports import Folder
from sync_lib.run import bindings, folders
from sync_lib.run.books import Progress
from sync_lib.run.closing import Result
from sync_lib.run.folders import Found
from sync_lib.run.profile_run import ProfileRun
from sync_lib.run.second_folder import PASSES, clear, unmark
from sync_lib.services import Services
from sync_lib.store import companies, former_items, undo
from sync_lib.store.causes import OWN_CAUSES
from sync_lib.store.changes import read_unsettled, write_plan
from sync_lib.store.couplings import read_couplings_of
from sync_lib.store.engine import read
from sync_lib.store.leases import Lease
from sync_lib.store.profiles import endings
from sync_lib.store.profiles.rows import Profile

logger = logging.getLogger(__name__)

#: Of a profile that ends with a later run, and of one that has ended.
WAITS, DONE = "profile_ending", endings.ENDED

#: Does the profile's ordinary work, and says what it came to.
Sync = Callable[[Progress], Result]


def end(services: Services, run: Run, profile: Profile, lease: Lease, sync: Sync) -> Result:
    """Sync a profile once more, then end it; return what the run came to.

    Raises:
        ProfileError: It cannot be synced, and may be later: the next run goes on.
        ServiceError: A service is away; the next run goes on.
    """
    with read(services.engine) as conn:
        notes = endings.read_notes(conn, profile.id)
    return _End(_profile_run(services, run, profile, lease), notes=notes).run(sync)


def _profile_run(services: Services, run: Run, profile: Profile, lease: Lease) -> ProfileRun:
    with read(services.engine) as conn:
        company = companies.read_company(conn, profile.company or 0)
        key = companies.read_key(conn, company)
    # Nothing of a filter that cannot be understood is needed here.
    nobody = parse_filter([], field_profile=services.business_central_settings.field_profile)
    return ProfileRun(services, run, profile, lease, company, key, nobody, undo.Open())


class _MustWaitError(ProfileError):
    """Something of the end is left to a later run; this is no failure."""

    def __init__(self, message: str) -> None:
        super().__init__(WAITS, message)


@dataclass(slots=True)
class _End:
    profile_run: ProfileRun
    result: Result = field(default_factory=Result)
    notes: dict[str, Any] = field(default_factory=dict)

    def run(self, sync: Sync) -> Result:
        try:
            if not self.profile_run.profile.ending_began:
                self._sync_last_edits(sync)
                if self.result.stopped:
                    return self.result
                self._begin()
            self._free()
        except _MustWaitError as error:
            logger.info("%s", error)
            self.result.reason, self.result.message = WAITS, str(error)
            return self.result
        except ProfileError as error:
            if error.reason not in OWN_CAUSES:
                raise
            logger.warning("the mailbox is not reached, and its profile ends: %s", error)
            self.notes["reason"] = error.reason
        self._close()
        return self.result

    # -- the last edits ----------------------------------------------------------------------------------------------

    def _sync_last_edits(self, sync: Sync) -> None:
        """Let an ordinary run take the last edits to Business Central; without the folder there are none."""
        bindings.check_environment(self.profile_run.services, self.profile_run.company)
        if not self._is_folder_there():
            self.notes["folder"] = "missing"
            return
        progress = Progress()
        try:
            self.result = sync(progress)
        except (ProfileError, FilterSyntaxError) as error:
            reason = reason_of(error)
            if reason in OWN_CAUSES or reason == "environment_changed" or not self._is_late():
                raise
            logger.warning("the profile ends without another sync, which has failed for a day: %s", error)
            self.notes["reason"] = reason
            return
        self._look_at_edits(progress)

    def _is_folder_there(self) -> bool:
        profile, outlook = self.profile_run.profile, self.profile_run.outlook
        if not profile.graph_user_id or not profile.folder_id:
            return False
        try:
            if profile.default_folder:
                return bool(outlook.fetch_default_folder(profile.graph_user_id))
            return folders.is_there(outlook, profile.graph_user_id, profile.folder_id)
        except (NotFoundError, AccessDeniedError) as error:
            if not error.in_form:
                raise
            raise folders.mailbox_error(outlook, profile, error) from error

    def _look_at_edits(self, progress: Progress) -> None:
        """Wait, for a day at most, for edits that may yet reach Business Central; what a person holds is not one."""
        to_bc = (Action.CREATE_BC, Action.UPDATE_BC)
        every = progress.books.changed.values()
        changed = [each for each in every if each.action in to_bc]
        # What loses a conflict is in the log once it is overwritten, and till then nowhere but in Outlook.
        lost = [each for each in every if each.action is Action.UPDATE_OUTLOOK and each.losing]
        open_ = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.SKIPPED)
        passing = [each for each in changed if each.waits or each.outcome in open_]
        with read(self.profile_run.engine) as conn:
            unsettled = read_unsettled(conn, self.profile_run.id)
        if (passing or unsettled) and not self._is_late():
            raise _MustWaitError(
                f"{len(passing) or len(unsettled)} changes have no outcome yet: the profile ends with a later run, at "
                "the latest a day after that was asked for."
            )
        if left := _left(progress, [*changed, *lost]):
            self.notes["edits"] = len(left)

    def _is_late(self) -> bool:
        with read(self.profile_run.engine) as conn:
            return endings.is_late(conn, self.profile_run.id)

    def _begin(self) -> None:
        with self.profile_run.transaction() as conn:
            endings.begin_end(conn, self.profile_run.id, self.notes)
        self.profile_run = self.profile_run.reread()

    # -- the folder --------------------------------------------------------------------------------------------------

    def _free(self) -> None:
        """Take what is ours off the folder, and off others of the profile's own; what the sync made may go."""
        profile = self.profile_run.profile
        bindings.check_environment(self.profile_run.services, self.profile_run.company)
        if not self._is_folder_there():
            self.notes.setdefault("folder", "missing")
        else:
            with phase("Free the folder"):
                self._free_folder(self._target(profile.folder_id or ""), profile)
        for other in {profile.second_folder, profile.leaving_folder} - {""}:
            deleted, done = clear(self._target(profile.folder_id or other), other)
            self._count(deleted)
            if not done:
                raise _MustWaitError("A second folder is not free yet: the profile ends with a later run.")

    def _target(self, folder: str) -> Target:
        found = Found(self.profile_run.profile.graph_user_id or "", Folder(folder, "", "", ""))
        return self.profile_run.target(found, self.profile_run.context())

    def _free_folder(self, target: Target, profile: Profile) -> None:
        try:
            self._free_items(target, profile)
            if not unmark(target, target.folder):
                raise _MustWaitError("Writes are off: the profile ends with a later run.")
            if profile.ending == endings.REMOVE and _is_ours(profile) and _is_empty(target):
                self._delete_folder(target)
        except AccessDeniedError as error:
            if not error.in_form:
                raise
            raise folders.mailbox_error(target.outlook, profile, error) from error
        except NotFoundError as error:
            if folders.is_mailbox_missing(error):
                raise folders.mailbox_error(target.outlook, profile, error) from error
            self.notes["folder"] = "missing"

    def _delete_folder(self, target: Target) -> None:
        # Said before it is done: a run that is killed in between would take it for a folder that somebody deleted.
        self.notes["folder"] = "deleted"
        with self.profile_run.transaction() as conn:
            endings.write_notes(conn, self.profile_run.id, self.notes)
        target.outlook.delete_folder(target.user, target.folder)

    def _free_items(self, target: Target, profile: Profile) -> None:
        refused: set[str] = set()
        for _ in range(PASSES):
            changes = self._plan(target, profile, refused)
            if not changes:
                break
            loaded = apply_plan(target, self._store(changes), changes)
            for change in changes:
                self._note(change, refused)
            if loaded.stopped:
                raise loaded.stopped
        else:
            if self._plan(target, profile, refused):
                raise _MustWaitError("Items are being edited: the profile ends with a later run.")
        if refused and not self._is_late():
            # No refusal of a key or a delete speaks of a value: it may pass (rules 6).
            raise _MustWaitError(
                f"{len(refused)} items are refused, which may pass: the profile ends with a later run."
            )
        if refused:
            self.notes["refused"] = len(refused)

    def _plan(self, target: Target, profile: Profile, refused: set[str]) -> list[PlannedChange]:
        items = [_side(each) for each in target.outlook.iter_contacts(target.user, target.folder)]
        with read(target.engine) as conn:
            couplings = read_couplings_of(conn, target.profile, [each.id for each in items])
        known = {each.outlook_id: each for each in couplings if each.outlook_id}
        removes = profile.ending == endings.REMOVE
        return plan_end(
            (each for each in items if each.id not in refused), Ending(target.context, removes, known)
        )

    def _store(self, changes: list[PlannedChange]) -> int:
        """Store the plan, and the ids of what loses its key, in one transaction."""
        context = self.profile_run.context()
        keyed = [
            FormerItem(key.contact_id, each.item.id, key.origin)
            for each in changes
            if each.item and (key := own_key(each.item.bc_key, context))
        ]
        values = {
            "run": self.profile_run.run.id,
            "profile": self.profile_run.id,
            "round": 1,
            "mode": Mode.FULL,
            "dry_run": False,
            "fencing": self.profile_run.lease.fencing,
        }
        with self.profile_run.transaction() as conn:
            former_items.remember(conn, self.profile_run.id, keyed)
            return write_plan(conn, values, changes)

    def _note(self, change: PlannedChange, refused: set[str]) -> None:
        if change.outcome is Outcome.DELETED:
            self._count(1)
        elif change.outcome is Outcome.REJECTED or change.reason == REFUSED_IN_A_ROW:
            refused.add(change.outlook_id or "")

    def _count(self, deleted: int) -> None:
        if deleted:
            writes = self.result.counters.setdefault("writes", {})
            writes["deleted_outlook"] = writes.get("deleted_outlook", 0) + deleted

    def _close(self) -> None:
        with self.profile_run.transaction() as conn:
            notes = self.notes | endings.count_done(conn, self.profile_run.id, CAUSE)
            endings.end_profile(conn, self.profile_run.profile, self.profile_run.company_key, notes)
        logger.info("the profile has ended: %s", notes)
        self.result.state, self.result.reason = "done", DONE
        self.result.message = "The profile has ended."


def _left(progress: Progress, changed: list[PlannedChange]) -> set[str]:
    """Contacts with an edit in Outlook that Business Central does not have: failed, held, or refused."""
    left = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.SKIPPED, Outcome.HELD, Outcome.REJECTED)
    contacts = {each.outlook_id or "" for each in changed if each.waits or each.outcome in left}
    fields = (each for each in progress.books.rejects if each.side is Side.OUTLOOK and each.field)
    return contacts | {each.contact for each in fields}


def _is_ours(profile: Profile) -> bool:
    """Whether a profile's folder may go with it, if nothing is in it."""
    one_way = profile.direction == "to_business_central"
    return profile.folder_made_by_sync and not profile.default_folder and not one_way


def _is_empty(target: Target) -> bool:
    items = target.outlook.iter_contacts(target.user, target.folder)
    within = target.outlook.iter_nested_folders(target.user, [Folder(target.folder, "", "", "")])
    return next(iter(items), None) is None and next(iter(within), None) is None


def _side(item: OutlookContact) -> OutlookSide:
    address = next(iter(item.record.get("emailAddresses") or []), None) or {}
    key = email_key(str(address.get("address") or "")) if isinstance(address, dict) else ""
    return OutlookSide(item.id, 0, 0, item.etag, item.created, key, item.bc_key or "", item.record)
