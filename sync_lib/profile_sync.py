"""One profile in one run: read its folder, compare, and load both directions, under the profile's lease."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from sync_lib import bindings, elsewhere, extract, folders, guard, holding, second_folder, settle
from sync_lib.diff import UNDO, DiffContext, NotUndone, Plan, PlannedChange, Reject, is_edited, plan_changes
from sync_lib.errors import (
    AccessDeniedError,
    NotFoundError,
    ProfileBusyError,
    ProfileError,
    ServiceError,
    SyncError,
    reason_of,
)
from sync_lib.fields.filters import parse_filter
from sync_lib.fields.normal_forms import NORMALISER_VERSION, Normaliser, company_key
from sync_lib.fields.required import PROBLEMS
from sync_lib.load import (
    DEPENDS_ON_OUTLOOK,
    FOLDER_MISSING,
    REFUSED_IN_A_ROW,
    Loaded,
    Target,
    apply_plan,
)
from sync_lib.logs import phase
from sync_lib.match import Matching, match
from sync_lib.model import (
    Action,
    Coupling,
    Direction,
    Folder,
    HeldAction,
    HoldReason,
    Lookups,
    Mode,
    Outcome,
    Policy,
    Run,
    Side,
    Undone,
)
from sync_lib.store import (
    causes,
    clock,
    companies,
    company_names,
    former_items,
    held,
    holds,
    ledger,
    locks,
    postponed,
    profiles,
    runs,
    snapshots,
    undo,
)
from sync_lib.store.companies import CompanyRow
from sync_lib.store.engine import read
from sync_lib.store.profiles import Profile
from sync_lib.store.runs import Cursor
from sync_lib.views import FOLDER_DELETED, ProfileView, Scope, passes, read_view

if TYPE_CHECKING:
    from sync_lib.pipeline import Edges

logger = logging.getLogger(__name__)

MAILBOX_WAIT = 2.0
#: How often one comparison asks for private flags; what it still does not know by then counts as private.
FLAG_READS = 3
#: Outcomes that the next round of the same run, or the next run, tries again.
OPEN_OUTCOMES = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.REJECTED, Outcome.HELD, Outcome.SKIPPED})


def company_context(row: CompanyRow, field_profile: str, *, language: str = "nl") -> DiffContext:
    """Return what reading and comparing the contacts of a company depends on, without a profile's policies."""
    lookups = Lookups(
        region=row.phone_region,
        language=language,
        countries=row.country_names,
        countries_read=row.countries_read,
    )
    return DiffContext(Policy(field_profile=field_profile), lookups, Normaliser(lookups))


def policy_of(profile: Profile, field_profile: str) -> Policy:
    """Return what a profile decides about the diff."""
    return Policy(
        Direction(profile.direction),
        profile.deleted_in_outlook,
        profile.deleted_in_bc,
        profile.left_scope,
        profile.blank_in_bc,
        field_profile,
    )


def sync_one(edges: Edges, run: Run, key: int, on_mailbox: Callable[[str], None]) -> None:
    """Sync one profile and record its outcome; a busy one is left to the run that works on it.

    Raises:
        SyncError: The profile failed; its outcome row says why.
    """
    with edges.engine.begin() as conn:
        profile = profiles.read_profile(conn, key)
        on_mailbox(profile.mailbox)
        runs.write_profile_state(conn, run.id, key, state="running", started_at=edges.now())
    try:
        result = _sync_with_lease(edges, run, profile)
    except ProfileBusyError as error:
        _end(edges, run, key, Result(state="skipped", reason="busy", message=str(error)))
        logger.info("%s", error)
    except _HeldError as error:
        _end(edges, run, key, Result(state="held", reason=error.reason, message=str(error)))
        logger.warning("%s", error)
    except SyncError as error:
        _end(edges, run, key, Result(state="failed", reason=reason_of(error), message=str(error)))
        raise
    except Exception as error:
        # A bug: named by its type only, since its text may hold a value of a contact.
        what = f"Unexpected {type(error).__name__}: see the log of this task."
        _end(edges, run, key, Result(state="failed", reason="unexpected_error", message=what))
        raise
    else:
        if result.stopped:
            result.state, result.reason, result.message = "failed", "service_away", str(result.stopped)
        _end(edges, run, key, result)
        if result.stopped:
            raise result.stopped


@dataclass(slots=True)
class Result:
    """What one profile came to in one run."""

    state: str = "done"
    reason: str = ""
    message: str = ""
    counters: dict[str, Any] = field(default_factory=dict)
    stopped: ServiceError | None = None


def _end(edges: Edges, run: Run, key: int, result: Result) -> None:
    with edges.engine.begin() as conn:
        runs.write_profile_state(
            conn,
            run.id,
            key,
            state=result.state,
            reason=result.reason,
            message=result.message,
            counters=result.counters,
            ended_at=edges.now(),
        )
        if not run.dry_run:
            causes.note_outcome(conn, key, result.state, result.reason)


def _sync_with_lease(edges: Edges, run: Run, profile: Profile) -> Result:
    key = f"profile:{profile.id}"
    while (lease := locks.acquire_lease(edges.engine, key, edges.worker, edges.settings.lease)) is None:
        if run.run_type != "approval":
            raise ProfileBusyError("Another run works on this profile now; this run leaves it alone.")
        logger.info("another run works on this profile: waiting, since a person approved this one")
        edges.clock.sleep(MAILBOX_WAIT)
    with keep_lease(edges, lease), mailbox_turn(edges, profile):
        return _ProfileSync(edges, run, profile, lease).run_()


@contextmanager
def keep_lease(edges: Edges, lease: locks.Lease) -> Iterator[None]:
    """Renew a lease while the block runs, and give it back behind it."""
    with locks.LeaseKeeper(edges.engine, lease, edges.settings.lease, clock=edges.clock):
        try:
            yield
        finally:
            locks.release_lease(edges.engine, lease)


@contextmanager
def mailbox_turn(edges: Edges, profile: Profile) -> Iterator[None]:
    """Wait until no other profile of the same mailbox works: Outlook takes four operations at a time for both."""
    with read(edges.engine) as conn:
        neighbours = profiles.read_neighbours(conn, profile)
    if not neighbours:
        yield
        return
    key = f"mailbox:{min(each.id for each in [profile, *neighbours])}"
    while (lease := locks.acquire_lease(edges.engine, key, edges.worker, edges.settings.lease)) is None:
        logger.info("another profile of this mailbox is at work: waiting")
        edges.clock.sleep(MAILBOX_WAIT)
    with keep_lease(edges, lease):
        yield


@dataclass(slots=True)
class _Books:
    """What became of each contact, over all rounds (rules 8.8)."""

    read: int = 0
    plain: Counter[Outcome] = field(default_factory=Counter)
    changed: dict[str, PlannedChange] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    planned: Counter[str] = field(default_factory=Counter)
    #: Deletes after a privacy block that only a dry run left undone.
    privacy: int = 0
    rejects: set[Reject] = field(default_factory=set)
    #: Outcomes of contacts that the first round left aside; a later one may decide otherwise.
    aside: dict[str, Outcome] = field(default_factory=dict)

    def add(self, view: ProfileView, matching: Matching, plan: Plan, *, first: bool) -> None:
        """Take over what a round decided; later rounds decide again about a few contacts of the first."""
        if first:
            split = view.partition
            contacts = split.same + len(split.couplings) + len(split.bc_ids) + len(split.outlook_ids)
            made_again = [each for each in plan.changes if each.cause == UNDO and each.outlook_id is None]
            self.read = contacts - _joined(matching, set(split.bc_ids)) + len(made_again)
            self.plain = plan.outcomes + Counter({Outcome.UNCHANGED: split.same - view.extra})
            self.aside = _coupled(matching, plan) | {
                each.contact: each.outcome for each in plan.rejects if each.reason != "differs"
            }
        self.rejects = set(plan.rejects)

    def add_changes(self, changes: list[PlannedChange], *, first: bool) -> None:
        """Take over the outcomes of a round's changes; the weightiest one of a contact is what became of it."""
        decided: dict[str, PlannedChange] = {}
        for change in changes:
            if change.elsewhere:
                # It lies beside the contacts of the folder, and counts as one more.
                key = change.outlook_id or ""
                self.read += key not in self.changed and key not in decided
                decided[key] = change
                self._count_write(change)
                continue
            # A pair counts once, by its BC contact; an item outside any pair (a copy, a new one) by its own id.
            paired = change.coupling is not None or change.action is Action.CREATE_OUTLOOK
            key = (change.bc_id if paired else change.outlook_id) or ""
            if change.outlook_id and change.outlook_id in self.changed:
                # An earlier round made a pair of the item, which was counted by its own id then.
                key = change.outlook_id
            known = key in self.changed or key in decided
            if not first and not known:
                self._take_back(change)
            before = decided.get(key)
            if before is None or _weight(change) >= _weight(before):
                decided[key] = change
            self._count_write(change)
        self.changed |= decided

    def _count_write(self, change: PlannedChange) -> None:
        if change.outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED):
            self.writes[f"{change.outcome}_{_side(change)}"] += 1
        elif change.outcome is None and change.action in _DONE:
            # Only a dry run leaves changes without an outcome.
            self.planned[f"{_DONE[change.action]}_{_side(change)}"] += 1
            self.privacy += change.cause == "privacy_blocked"

    def _take_back(self, change: PlannedChange) -> None:
        """Forget what the first round said of a contact that counts as changed now."""
        ids = (change.outlook_id or "", change.bc_id or "")
        aside = [self.aside.pop(key) for key in ids if key in self.aside]
        outcome = aside[0] if aside and self.plain[aside[0]] else Outcome.UNCHANGED
        if self.plain[outcome]:
            self.plain[outcome] -= 1

    @property
    def reasons(self) -> Counter[str]:
        """Why contacts, or fields of them, were left as they are."""
        changes = self.changed.values()
        # Of a change that was refused as a whole, its own reason says it once.
        whole = (Outcome.REJECTED, Outcome.SKIPPED)
        parts = {each for change in changes if change.outcome not in whole for each in _rejects(change)}
        left = (change.reason for change in changes if change.outcome in OPEN_OUTCOMES)
        return Counter(reject.reason for reject in self.rejects | parts) + Counter(filter(None, left))

    def counters(self) -> dict[str, Any]:
        """Return the counters that the report shows."""
        outcomes = self.plain + Counter(_final(change) for change in self.changed.values())
        total = sum(outcomes.values())
        return {
            "read": self.read,
            "unbalanced": self.read - total,
            "outcomes": {str(outcome): count for outcome, count in sorted(outcomes.items())},
            "writes": dict(sorted(self.writes.items())),
            "planned": dict(sorted(self.planned.items())),
            "planned_for_privacy": self.privacy,
            "reasons": dict(sorted(self.reasons.items())),
        }


def _coupled(matching: Matching, plan: Plan) -> dict[str, Outcome]:
    """The pairs that matching made and that need nothing further: they count as coupled."""
    changed = {change.bc_id for change in plan.changes}
    made = [pair.coupling.bc_id for pair in matching.pairs if pair.found_by and pair.item and pair.bc]
    return {bc_id: Outcome.COUPLED for bc_id in made if bc_id not in changed}


def _joined(matching: Matching, uncoupled: set[str]) -> int:
    """Number of pairs that matching made of two contacts which were counted one by one."""
    found = [pair.coupling for pair in matching.pairs if pair.found_by in ("key", "email")]
    return sum(bool(coupling.id) or coupling.bc_id in uncoupled for coupling in found)


_DONE = {
    Action.CREATE_OUTLOOK: Outcome.CREATED,
    Action.UPDATE_OUTLOOK: Outcome.UPDATED,
    Action.DELETE_OUTLOOK: Outcome.DELETED,
    Action.UNTIE: Outcome.UPDATED,
    Action.CREATE_BC: Outcome.CREATED,
    Action.UPDATE_BC: Outcome.UPDATED,
}

_WEIGHTS = (
    Outcome.SKIPPED,
    Outcome.COUPLED,
    Outcome.UPDATED,
    Outcome.DELETED,
    Outcome.CREATED,
    Outcome.CONFLICT,
    Outcome.REJECTED,
    Outcome.HELD,
    Outcome.UNKNOWN,
    Outcome.FAILED,
)


def _final(change: PlannedChange) -> Outcome:
    """The outcome that the books count: an update that decided a conflict is one (rules 8.8)."""
    if change.outcome is Outcome.UPDATED and change.cause == "conflict":
        return Outcome.CONFLICT
    return change.outcome or Outcome.SKIPPED


def _weight(change: PlannedChange) -> int:
    outcome = _final(change)
    return _WEIGHTS.index(outcome) if outcome in _WEIGHTS else 0


def _side(change: PlannedChange) -> str:
    to_bc = change.action in (Action.CREATE_BC, Action.UPDATE_BC)
    return "business_central" if to_bc else "outlook"


class _ProfileSync:
    """The phases of one profile, in order; what they share."""

    def __init__(self, edges: Edges, run: Run, profile: Profile, lease: locks.Lease) -> None:
        self.edges = edges
        self.run = run
        self.profile = profile
        self.lease = lease
        self.books = _Books()
        # The marker's counter where it is ahead of the staging database, else 0 (rules 2.8).
        self.restored = 0
        self.approvals = _Approvals()
        self.undoing = _Undoing()
        # What left the scope in this run, and stays until the edit of its item is in BC (rules 7.3b).
        self.leaving: set[str] = set()
        # Couplings, and those whose item is there, at the run's start: what the guard's percentages are of.
        self.base: tuple[int, int] | None = None

    def run_(self) -> Result:
        """Do the work; once more, in full and with everything held, where the load finds a restored database."""
        self._read_in_full_if_due()
        result = self._work_through()
        return result if self.run.dry_run or result.stopped else self._heed_second_folder(result)

    def _work_through(self) -> Result:
        try:
            return self._work()
        except folders.MailboxReplacedError as error:
            self._note_successor(error.successor)
            raise
        except _RestoredError as error:
            logger.warning("%s It was restored from a backup: reading in full, and holding the plan.", error)
            self.restored = error.counter
            self.books = _Books()
            return self._work()

    def _read_in_full_if_due(self) -> None:
        """Make a run of this profile a full one where a slot has passed since its last full read began (rules 5)."""
        key = self.profile.id
        with self.edges.engine.begin() as conn:
            now, cursor = clock.now(conn), runs.read_cursor(conn, "outlook", key)
            if self.run.mode == Mode.FULL or not extract.is_full_due(cursor, self.run, now):
                return
            runs.begin_full(conn, "outlook", key, now)
        logger.info("a slot of the full schedule has passed since this profile was read in full")
        self.run = replace(self.run, mode=Mode.FULL)

    def _work(self) -> Result:
        self._check_company()
        with read(self.edges.engine) as conn:
            # What a restored database says of earlier changes may have been superseded since.
            is_older = self.restored or self.profile.restored_by
            self.undoing = _Undoing(undo.Open() if is_older else undo.read_open(conn, self.profile.id))
        self.filter = parse_filter(self.profile.filter, field_profile=self.field_profile)
        self.context = self._context(frozenset())
        with phase("Open the folder"):
            self.found = self._open_folder()
        if self.found is None:
            return self._plan_for_missing_folder()
        open_creates = self._settle()
        with phase("Read Outlook"):
            changed = self._extract_outlook()
        with read(self.edges.engine) as conn:
            cursor = runs.read_cursor(conn, "outlook", self.profile.id)
        if not changed and self._inputs_unchanged(cursor):
            return self._unchanged(cursor)
        return self._rounds(open_creates)

    @property
    def field_profile(self) -> str:
        return self.edges.business_central_settings.field_profile

    # -- preconditions ---------------------------------------------------------------------------------------------

    def _check_company(self) -> None:
        if self.profile.company is None:
            with read(self.edges.engine) as conn:
                listed = ", ".join(each.name for each in company_names.read_listed(conn))
            raise ProfileError(
                "company_not_found",
                f"Business Central has no company {self.profile.company_name!r} that the app may see; it lists: "
                f"{listed or 'none'}.",
                remedy="Correct the profile's company, or give the app access to it in BC.",
            )
        with read(self.edges.engine) as conn:
            results = {r.company: r for r in runs.read_company_results(conn, self.run.id)}
            self.company = companies.read_company(conn, self.profile.company)
            self.company_key = companies.read_key(conn, self.company)
        bindings.check_environment(self.edges, self.company)
        result = results.get(self.profile.company)
        if result is not None and result.state == "held":
            raise _HeldError(result.reason, result.message)
        if result is None or result.state != "done":
            raise ProfileError(
                "company_not_read",
                f"The company {self.profile.company_name!r} could not be read in this run.",
                remedy=result.message if result else "See the task extract_business_central.",
            )

    def _context(self, names: frozenset[str]) -> DiffContext:
        base = company_context(self.company, self.field_profile, language=self.profile.language)
        with read(self.edges.engine) as conn:
            companies = snapshots.read_company_numbers(conn, self.company.id, names, overlay=self.run.overlay)
            again = holding.Recreations.of(held.read_held(conn, self.profile.id))
        return replace(
            base,
            policy=policy_of(self.profile, self.field_profile),
            lookups=replace(base.lookups, companies=companies),
            restored=bool(self.whole),
            undone=self.undoing.wanted.undone,
            leaving=frozenset(self.leaving),
            company=self.company_key,
            asked=again.asked,
            left_away=again.left_away,
        )

    @property
    def whole(self) -> str:
        """Why the plan is held as a whole, until what it holds has been carried out (rules 1, 2.8 and 5); else ""."""
        if self.restored or self.profile.restored_by:
            return HoldReason.RESTORED if self.restored else self.profile.restored_by
        with read(self.edges.engine) as conn:
            return held.find_whole(conn, self.profile.id)

    # -- the folder ------------------------------------------------------------------------------------------------

    def _open_folder(self) -> folders.Found | None:
        """The bound folder is taken as it is; a full sync, and a change of its name, look it up (rules 1)."""
        profile = self.profile
        user, folder = profile.graph_user_id, profile.folder_id
        renamed = profile.folder_seen != profile.folder_name and not profile.default_folder
        full = self.run.mode == Mode.FULL or bool(profile.restored_by) or self._broke_off()
        if user and folder and not full and not renamed:
            return folders.Found(user, Folder(folder, profile.folder_name, "", ""))
        return self._find_folder()

    def _broke_off(self) -> bool:
        """Whether an earlier load broke off, perhaps before it learnt what its marker took the place of (2.8)."""
        with read(self.edges.engine) as conn:
            return not self.run.dry_run and ledger.has_planned(conn, self.profile.id)

    def _find_folder(self) -> folders.Found | None:
        outlook = self.edges.outlook
        if not self.run.dry_run:
            self.profile = bindings.follow_mailbox(self.edges, self.profile)
        profile = self.profile
        with read(self.edges.engine) as conn:
            taken = folders.read_taken(conn, profile)
        found = folders.find_folder(outlook, profile, self.company_key, taken=taken)
        if found is None and self.run.dry_run:
            return None
        if found is None:
            user = profile.graph_user_id or outlook.fetch_user_id(profile.mailbox)
            found = folders.make_folder(outlook, profile, self.company_key, user, taken=taken)
        if self.run.dry_run:
            if profile.folder_id not in (None, found.folder.id):
                self._stage_emptied_folder()
            return found
        self._check_marker(found)
        self._bind(found)
        if self.run.mode == Mode.FULL and not self.profile.default_folder:
            self._look_for_second(found)
        return found

    def _check_marker(self, found: folders.Found) -> None:
        """Notice a marker that is ahead of the database: that was restored from an older backup (rules 2.8).

        For a folder that this database has never seen it was lost, which needs nothing but the matching.
        """
        marker = folders.Marker.on(found.folder)
        if marker is None or marker.counter <= self.profile.marker_counter:
            return
        if self.profile.folder_id is None:
            self.profile = replace(self.profile, marker_counter=marker.counter)
        elif not self.restored:
            raise _RestoredError(marker.counter)

    def _bind(self, found: folders.Found) -> None:
        name = folders.follow_name(self.edges.outlook, self.profile, found)
        names = self._followed_names(found, name)
        replaced = self.profile.folder_id not in (None, found.folder.id)
        values = {
            "graph_user_id": found.user,
            "folder_id": found.folder.id,
            "folder_made_by_sync": found.new or (self.profile.folder_made_by_sync and not replaced),
            "marker_counter": self.profile.marker_counter,
        }
        values |= second_folder.bound(self.profile, found.folder.id)
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            profiles.bind_profile(conn, self.profile.id, **values)
            profiles.rename_followed(conn, names)
            if replaced:
                # A new folder is an emptied one: the guard's "suddenly empty" decides about what was in the old one.
                now, key = self.edges.now(), self.profile.id
                profiles.write_former_folder(conn, key, self.profile.folder_id or "", now=now)
                snapshots.mark_all_gone_outlook(conn, key, at=now, reason=FOLDER_DELETED)
                runs.write_cursor(conn, "outlook", key, updated_at=now, position="", diffed_generation=None)
            self.profile = profiles.read_profile(conn, self.profile.id)

    def _followed_names(self, found: folders.Found, name: str) -> dict[int, str]:
        with read(self.edges.engine) as conn:
            others = profiles.read_neighbours(conn, self.profile)
        names = folders.follow_names(self.edges.outlook, self.profile, found, name, others)
        if not names:
            logger.warning(
                "another profile of this mailbox has the folder's name: the profile keeps the one it has"
            )
        return names

    def _plan_for_missing_folder(self) -> Result:
        """A dry run makes no folder: it plans as for an empty one."""
        self._stage_missing_folder()
        return self._rounds(settle.Open())

    def _stage_emptied_folder(self) -> None:
        """A folder that is gone, or that another one stands in for, is an emptied one (rules 1)."""
        with self.edges.engine.begin() as conn:
            snapshots.mark_all_gone_outlook(
                conn, self.profile.id, at=self.edges.now(), reason=FOLDER_DELETED, overlay=self.run.overlay
            )

    def _stage_missing_folder(self) -> None:
        self._stage_emptied_folder()
        self.found = folders.Found(self.profile.graph_user_id or "", Folder("", "", "", ""), new=True)

    # -- a second folder -------------------------------------------------------------------------------------------

    def _look_for_second(self, found: folders.Found) -> None:
        """Notice a folder of the profile's own beside the bound one; an answer about the one that is known stays.

        Beside one that was made just now there is none: it would have been taken by its marker.
        """
        self._reread_profile()
        known = self.profile
        if known.second_answer or found.new:
            return
        with read(self.edges.engine) as conn:
            not_ours = second_folder.read_taken(conn, known)
            former = profiles.read_former_folders(conn).get(known.id, ())
        second = folders.find_second(
            self.edges.outlook, found, self.company_key, taken=not_ours, former=former
        )
        second_id = second.id if second else ""
        if second_id != known.second_folder:
            with self.edges.engine.begin() as conn:
                locks.check_lease(conn, self.lease)
                profiles.bind_profile(conn, known.id, second_folder=second_id, second_answer="")
            self._reread_profile()

    def _reread_profile(self) -> None:
        with read(self.edges.engine) as conn:
            self.profile = profiles.read_profile(conn, self.profile.id)

    def _heed_second_folder(self, result: Result) -> Result:
        """Carry out what a person answered about a second folder; tell of one that waits for an answer (rules 1)."""
        profile = self.profile
        if not self._clear_left_folder(result):
            return result
        if profile.second_answer == second_folder.LEAVE:
            with self.edges.engine.begin() as conn:
                locks.check_lease(conn, self.lease)
                second_folder.leave(conn, profile)
            self._reread_profile()
            self._clear_left_folder(result)
        elif profile.second_answer == second_folder.GO_BACK and self._may_go_back():
            result = self._go_back()
        elif profile.second_folder and not profile.second_answer and not result.reason:
            result.reason, result.message = second_folder.REASON, second_folder.message(profile)
        return result

    def _may_go_back(self) -> bool:
        """Whether the bound folder's edits have reached BC, and the second one is still there."""
        assert self.found is not None
        waiting = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.HELD, Outcome.SKIPPED)
        to_bc = (Action.CREATE_BC, Action.UPDATE_BC)
        if any(each.action in to_bc and each.outcome in waiting for each in self.books.changed.values()):
            logger.warning("edits of the bound folder wait: going back to the other one waits with them")
            return False
        profile = self.profile
        if folders.is_there(self.edges.outlook, self.found.user, profile.second_folder):
            return self.edges.may_write()
        logger.info("the second folder is gone: there is nothing to go back to")
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            profiles.bind_profile(conn, profile.id, second_folder="", second_answer="")
        return False

    def _go_back(self) -> Result:
        """Bind the second folder, sync it in full, then free the other one of what is ours."""
        logger.info("going back to the second folder")
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            second_folder.go_back(conn, self.profile, self.edges.now())
        self._reread_profile()
        self.run = replace(self.run, mode=Mode.FULL)
        self.books, self.base, self.leaving = _Books(writes=self.books.writes), None, set()
        result = self._work_through()
        if not result.stopped:
            self._clear_left_folder(result)
        return result

    def _clear_left_folder(self, result: Result) -> bool:
        """Free a folder that was left of our marks; return whether no such folder is left.

        Where the bound folder counts as emptied, the other one may hold what is left: it waits for the decision.
        """
        folder = self.profile.leaving_folder
        if not folder:
            return True
        if self.found is None or result.reason == HoldReason.EMPTIED:
            return False
        with phase("Free the folder that was left"):
            deleted, done = second_folder.clear(self._target(), folder)
        if deleted:
            writes = result.counters.setdefault("writes", {})
            writes["deleted_outlook"] = writes.get("deleted_outlook", 0) + deleted
        if done:
            with self.edges.engine.begin() as conn:
                locks.check_lease(conn, self.lease)
                profiles.forget_former_folder(conn, self.profile.id, folder)
                profiles.bind_profile(conn, self.profile.id, leaving_folder="")
            self._reread_profile()
        return done

    # -- reading ---------------------------------------------------------------------------------------------------

    def _extract_outlook(self) -> int:
        try:
            changed = self._extract_from(self.found)
        except NotFoundError as error:
            if folders.is_mailbox_missing(error):
                raise folders.mailbox_error(self.edges.outlook, self.profile, error) from error
            logger.info("the folder is gone: looking for it again")
            self.found = self._find_folder()
            if self.found is None:
                self._stage_missing_folder()
                return 1
            return self._extract_from(self.found)
        except AccessDeniedError as error:
            if not error.in_form:
                raise
            raise folders.mailbox_error(self.edges.outlook, self.profile, error) from error
        # An account that was restored answers again: nobody has to say anything about another one.
        self._note_successor("")
        return changed

    def _note_successor(self, successor: str) -> None:
        """Remember the account that a person is asked about, "" for none; a dry run asks nobody (rules 8.2)."""
        if self.profile.successor != successor and not self.run.dry_run:
            with self.edges.engine.begin() as conn:
                profiles.bind_profile(conn, self.profile.id, successor=successor)

    def _extract_from(self, found: folders.Found | None) -> int:
        assert found is not None
        with read(self.edges.engine) as conn:
            cursor = runs.read_cursor(conn, "outlook", self.profile.id)
        target = extract.KnownFolder(found.user, found.folder.id, self._known_items, found.new)
        # Fingerprints that are made of something else now are renewed by a full read, and never taken for edits.
        full = self.run.mode == Mode.FULL or bool(self.restored or self.profile.restored_by)
        full = full or cursor.version != self.context.version
        # A dry run binds no folder: the cursor is still that of the one before.
        full = full or found.folder.id != self.profile.folder_id
        with read(self.edges.engine) as conn:
            began = clock.now(conn)
        got = extract.fetch_folder(self.edges.outlook, target, cursor.position, full=full)
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            changed, stored = extract.stage_folder(conn, got, self._staging(began))
            self._look_first(conn, found.folder.id)
        if stored:
            self._judge(found, got, stored, began)
        return changed + len(stored)

    def _look_first(self, conn: Connection, folder: str) -> None:
        """Remember what was in the user's own folder before the sync came, once it is staged (rules 8.3)."""
        if self.run.dry_run or self.profile.looked_at == folder:
            return
        if self._is_first_look(folder):
            held.remember_first_look(conn, self.profile.id, self.edges.now())
        profiles.bind_profile(conn, self.profile.id, looked_at=folder)
        self.profile = replace(self.profile, looked_at=folder)

    def _is_first_look(self, folder: str) -> bool:
        return self.profile.looked_at != folder and not self.profile.folder_made_by_sync

    def _known_items(self, ids: list[str] | None) -> dict[str, snapshots.KnownItem]:
        with read(self.edges.engine) as conn:
            return snapshots.known_outlook(conn, self.profile.id, overlay=self.run.overlay, ids=ids)

    def _staging(self, began: str) -> extract.Staging:
        return extract.Staging(self.profile.id, self.context, self.run, self.edges.now(), began)

    def _judge(
        self, found: folders.Found, got: extract.FolderRead, stored: dict[str, snapshots.Version], began: str
    ) -> None:
        """Ask for the items whose order in time two stamps do not tell (rules 5)."""
        items = self.edges.outlook.fetch_contacts(found.user, sorted(stored), found.folder.id)
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            staging = self._staging(began)
            extract.stage_looked_up(conn, found.folder.id, items, staging, force=stored)
            extract.must_compare(conn, staging)
            extract.move_folder_cursor(conn, got, staging)

    def _inputs_unchanged(self, cursor: Cursor) -> bool:
        return (
            self.run.mode != Mode.FULL
            # What a dry run read of BC is in its overlay, which moves no generation.
            and not self.run.dry_run
            and not cursor.pending
            and not self.profile.restored_by
            and not self.undoing.wanted.keys
            and cursor.diffed_generation == self.company.generation
            and cursor.diffed_settings == self._settings_digest()
        )

    def _settings_digest(self) -> str:
        profile = self.profile
        told = [
            [list(pair) for pair in profile.filter],
            profile.direction,
            profile.salesperson_code,
            profile.language,
            [profile.deleted_in_outlook, profile.deleted_in_bc, profile.left_scope, profile.blank_in_bc],
            self.field_profile,
            NORMALISER_VERSION,
            [self.company.phone_region, self.company.countries],
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _unchanged(self, cursor: Cursor) -> Result:
        """Leave the figures of the last comparison as they stand: this run has no outcomes (rules 8.8)."""
        logger.info("nothing changed on either side: %d contacts as they were", cursor.contacts)
        with self.edges.engine.begin() as conn:
            now, key = self.edges.now(), self.profile.id
            runs.write_cursor(conn, "outlook", key, updated_at=now, last_good_at=now)
            return Result(counters=runs.quiet_counters(conn, key))

    # -- diff, guard, load -----------------------------------------------------------------------------------------

    def _settle(self) -> settle.Open:
        with read(self.edges.engine) as conn:
            rows = ledger.read_unsettled(conn, self.profile.id)
        if self.run.dry_run:
            return settle.Open(
                {row["bc_id"] for row in rows if row["bc_id"]},
                {row["outlook_id"] for row in rows if row["outlook_id"]},
            )
        # What broke off tells the next run to look at the marker; where that is ahead, until the hold stands.
        if not self.restored:
            with self.edges.engine.begin() as conn:
                locks.check_lease(conn, self.lease)
                ledger.give_up_planned(conn, self.profile.id, "superseded")
        if not rows:
            return settle.Open()
        # What is found is staged here already, so that the folder's read shows nothing new of it.
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            extract.must_compare(conn, self._staging(self.edges.now()))
        with phase("Settle what an earlier run left open", changes=len(rows)):
            return settle.settle(self._target(), rows)

    def _rounds(self, open_creates: settle.Open) -> Result:
        stopped, plan = None, Plan()
        for number in range(1, self.edges.settings.max_rounds + 1):
            with phase("Compare", round=number):
                plan = self._diff(open_creates, first=number == 1)
                plan_id = self._write_plan(plan, number)
                self._log_held(plan)
            if self.run.dry_run:
                self.books.add_changes(plan.changes, first=number == 1)
                break
            self.leaving |= plan.leaving
            loaded = self._load(plan_id, plan)
            stopped = loaded.stopped
            open_creates.add(plan.changes)
            if loaded.folder_missing and not stopped:
                self._look_for_folder_again(loaded)
            if loaded.reread and not stopped:
                self._read_again(loaded, plan_id, plan, last=number == self.edges.settings.max_rounds)
            self.books.add_changes(plan.changes, first=number == 1)
            self.approvals.add(plan.changes)
            self.undoing.add(plan, first=number == 1)
            if stopped or not (loaded.reread or loaded.changed_by_bc or _frees_address(plan)):
                break
        return self._finish(stopped, plan)

    def _look_for_folder_again(self, loaded: Loaded) -> None:
        """Something of the folder answered 404: perhaps it was deleted meanwhile, which is an emptied one (rules 1)."""
        before = self.profile.folder_id
        with phase("Look for the folder again"):
            self.found = self._find_folder()
            self._extract_outlook()
        if self.profile.folder_id != before:
            # What was in it has been noted as gone with it, and the guard judges what is in the new one.
            loaded.reread_outlook.clear()
            self.base = None

    def _read_again(self, loaded: Loaded, plan_id: int, plan: Plan, *, last: bool) -> None:
        """Read what was edited meanwhile, and what nobody knows the outcome of, for the next round (rules 8.5)."""
        target = self._target()
        with phase("Read edited contacts again"):
            with read(self.edges.engine) as conn:
                rows = ledger.read_unsettled(conn, self.profile.id)
            settled = settle.settle_updates(target, rows)
            settle.reread(target, sorted(loaded.reread_outlook), sorted(loaded.reread_bc))
            with read(self.edges.engine) as conn:
                rows = ledger.read_mismatched(conn, plan_id)
            settled |= settle.settle_mismatches(target, rows)
        for change in plan.changes:
            if (plan_id, change.n) in settled:
                change.outcome, change.reason = settled[plan_id, change.n], "settled"
        if last:
            self._give_up(plan_id, plan)

    def _give_up(self, plan_id: int, plan: Plan) -> None:
        """After the last round a contact that is edited all the time has failed, until the next run."""
        left = [change for change in plan.changes if change.outcome is Outcome.SKIPPED]
        open_ = ("version_mismatch", DEPENDS_ON_OUTLOOK, FOLDER_MISSING)
        left = [change for change in left if change.reason in open_]
        for change in left:
            change.outcome = Outcome.FAILED
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            results = [(change.n, Outcome.FAILED, change.reason, "") for change in left]
            ledger.finish_changes(conn, plan_id, results)

    def _compare(self) -> tuple[ProfileView, Matching, Plan]:
        """Compare both sides; read the private flags that it depends on, twenty to a request (rules 3)."""
        for _ in range(FLAG_READS):
            view, matching, plan = self._compare_staged()
            veiled = {
                each.item.id for each in matching.pairs if each.found_by and each.item and each.item.is_veiled
            }
            if not plan.unread | veiled:
                return view, matching, plan
            self._read_flags(plan.unread | veiled, veiled)
        return self._compare_staged(unread_is_private=True)

    def _read_flags(self, wanted: set[str], tied: set[str]) -> None:
        assert self.found is not None
        folder = self.found.folder.id
        items = extract.look_up_each(self.edges.outlook, self.found.user, sorted(wanted), folder)
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            extract.stage_looked_up(conn, folder, items, self._staging(""), tied=tied)

    def _compare_staged(self, *, unread_is_private: bool = False) -> tuple[ProfileView, Matching, Plan]:
        """Compare both sides as they are staged now; nothing is written down."""
        scope = Scope(
            self.profile.id,
            self.company.id,
            self.filter,
            self.profile.salesperson_code,
            self.run.overlay,
            self.profile.direction,
            frozenset(self.undoing.wanted.undone),
        )
        with read(self.edges.engine) as conn:
            self.company = companies.read_company(conn, self.company.id)
            view = read_view(conn, scope)
        names = view.company_names | company_names_in(self.undoing.wanted.undone)
        self.context = replace(self._context(names), unread_is_private=unread_is_private)
        matching = match(view.views, self.company_key, partial(is_edited, context=self.context))
        self.base = self.base or (view.partition.live, view.partition.present + matching.found)
        emptied = guard.is_emptied(*self.base, self.edges.settings)
        self.context = replace(self.context, emptied=emptied)
        return view, matching, plan_changes(matching, view.views, self.context)

    def _diff(self, open_creates: settle.Open, *, first: bool) -> Plan:
        view, matching, plan = self._compare()
        self.books.add(view, matching, plan, first=first)
        self._add_elsewhere(plan)
        for change in plan.changes:
            to_outlook = change.action is Action.CREATE_OUTLOOK and change.bc_id in open_creates.bc_ids
            to_bc = change.action is Action.CREATE_BC and change.outlook_id in open_creates.outlook_ids
            if to_outlook or to_bc:
                change.outcome, change.reason = Outcome.UNKNOWN, "no_answer_yet"
        self._postpone(plan)
        logger.info(
            "%d contacts agree, %d were looked at: %s",
            view.partition.same,
            len(view.partition.couplings) + len(view.partition.bc_ids) + len(view.partition.outlook_ids),
            _told(Counter(str(change.action) for change in plan.changes)) or "nothing to write",
        )
        return plan

    def _add_elsewhere(self, plan: Plan) -> None:
        """Plan what becomes of a blocked contact's items in the rest of the mailbox (rules 7.4)."""
        assert self.found is not None
        if not self.found.user:
            return
        key, overlay = self.profile.id, self.run.overlay
        with read(self.edges.engine) as conn:
            blocked = snapshots.read_blocked(conn, self.company.id, overlay)
            items = former_items.read_former(conn, key, blocked)
            ids = [item.outlook_id for item in items]
            staged = snapshots.read_outlook_records(conn, key, ids, overlay) if ids else {}
            taken = profiles.read_taken_folders(conn, key)
        # What is in the folder the comparison has decided about.
        inside = {each for each, row in staged.items() if row["gone_since"] is None}
        again = self.run.mode == Mode.FULL
        wanted = [item for item in items if item.outlook_id not in inside and (again or not item.settled)]
        folder, outlook = self.found.folder.id, self.edges.outlook
        place = elsewhere.Place(outlook, self.found.user, folder, self.company_key, taken)
        found = elsewhere.find_elsewhere(place, wanted)
        plan.settled = found.settled
        plan.changes = [*found.changes, *plan.changes]
        for n, change in enumerate(plan.changes, 1):
            change.n = n

    def _postpone(self, plan: Plan) -> None:
        """Leave aside what was refused lately for a reason that may pass, and has not changed since (rules 6)."""
        with read(self.edges.engine) as conn:
            waiting = postponed.read(conn, self.profile.id)
        # A full run, and a run that a person started, tries everything.
        at_once = self.run.mode == Mode.FULL or self.run.run_type in ("manual", "approval")
        codes = {}
        for change in plan.changes:
            known = waiting.get(change.subject)
            # What was tried in this run is not tried again by its next round.
            due = known is None or (known.run != self.run.id and (at_once or known.is_due))
            if known and not due and known.digest == change.try_digest and change.cause != "privacy_blocked":
                codes[change.n] = known.code
        for change in waits_with(plan.changes, codes):
            change.outcome, change.waits = Outcome.REJECTED, True
            change.reason = codes.get(change.n, DEPENDS_ON_OUTLOOK)

    @staticmethod
    def _log_held(plan: Plan) -> None:
        reasons = Counter(change.reason for change in plan.changes if change.outcome is Outcome.HELD)
        if reasons:
            logger.warning("the guard holds %s until a person decides", _told(reasons))

    def _write_plan(self, plan: Plan, number: int) -> int:
        """Judge the plan and store it, in one transaction: what the guard counted is reserved by what is stored."""
        values = {
            "run": self.run.id,
            "profile": self.profile.id,
            "round": number,
            "mode": self.run.mode,
            "dry_run": self.run.dry_run,
            "fencing": self.lease.fencing,
        }
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            known = held.read_held(conn, self.profile.id)
            verdict = guard.hold(plan.changes, self._circumstances(conn, plan, known), self.edges.settings)
            plan.changes = verdict.changes
            if self.run.dry_run:
                return ledger.write_plan(conn, values, plan.changes) if plan.changes else 0
            ledger.end_couplings(conn, [coupling.id for coupling in plan.ended])
            former_items.remember(conn, self.profile.id, plan.settled)
            blocked = snapshots.read_blocked(conn, self.company.id)
            former_items.forget_settled(conn, self.profile.id, blocked)
            couplings = ledger.write_couplings(conn, self.profile.id, plan.couplings, self.edges.now())
            _stored(plan, couplings)
            self._save_inputs(conn)
            return holding.store(conn, verdict, known, holding.Stored(values, number == 1))

    def _circumstances(self, conn: Connection, plan: Plan, known: list[HeldAction]) -> guard.Circumstances:
        assert self.base is not None
        assert self.found is not None
        return holding.read_circumstances(
            conn,
            self.profile.id,
            self.company.id,
            plan.changes,
            known=known,
            live=self.base[0],
            present=self.base[1],
            whole=self.whole,
            first_look=self.run.dry_run and self._is_first_look(self.found.folder.id),
        )

    def _save_inputs(self, conn: Connection) -> None:
        runs.write_cursor(
            conn,
            "outlook",
            self.profile.id,
            updated_at=self.edges.now(),
            diffed_generation=self.company.generation,
            diffed_settings=self._settings_digest(),
            pending=True,
        )
        # From here on the hold that is opened with it says so.
        profiles.bind_profile(conn, self.profile.id, restored_by="")
        if self.restored:
            profiles.bind_profile(conn, self.profile.id, marker_counter=self.restored)
            self.profile = replace(self.profile, marker_counter=self.restored)
            ledger.give_up_planned(conn, self.profile.id, "superseded")

    def _load(self, plan_id: int, plan: Plan) -> Loaded:
        open_changes = [change for change in plan.changes if change.outcome is None]
        if open_changes and plan_id:
            try:
                self._mark_folder()
            except NotFoundError as error:
                logger.info("the folder is gone before the first write: %s", error)
                return self._leave_for_folder(plan_id, open_changes)
        with phase("Load", changes=len(open_changes)):
            loaded = apply_plan(self._target(), plan_id, plan.changes)
            told = Counter(f"{change.action} {change.outcome}" for change in plan.changes)
            logger.info("%s", _told(told) or "nothing to load")
        return loaded

    def _leave_for_folder(self, plan_id: int, changes: list[PlannedChange]) -> Loaded:
        for change in changes:
            change.outcome, change.reason = Outcome.SKIPPED, FOLDER_MISSING
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            results = [(change.n, Outcome.SKIPPED, FOLDER_MISSING, "") for change in changes]
            ledger.finish_changes(conn, plan_id, results)
        return Loaded(folder_missing=True)

    def _mark_folder(self) -> None:
        """Count the load in the database first, then on the folder, in one of its two slots in turn (rules 2.8).

        Should the answer be lost, or the worker, the other slot still shows a marker that is ahead, unless just one
        load is missing from the database. The changes that stay planned make the next run look.
        """
        assert self.found is not None
        counter = self.profile.marker_counter + 1
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            profiles.bind_profile(conn, self.profile.id, marker_counter=counter)
        marker, other = str(folders.Marker.of(self.company_key, counter)), counter % 2 == 0
        folder = self.edges.outlook.write_marker(self.found.user, self.found.folder.id, marker, other=other)
        before = folders.Marker.on(folder)
        self.profile = replace(self.profile, marker_counter=counter)
        if before and before.counter >= counter:
            raise _RestoredError(before.counter)

    def _target(self) -> Target:
        assert self.found is not None
        return Target(
            engine=self.edges.engine,
            outlook=self.edges.outlook,
            business_central=self.edges.business_central,
            run=self.run.id,
            profile=self.profile.id,
            user=self.found.user,
            folder=self.found.folder.id,
            company=self.company.id,
            company_key=self.company_key,
            context=self.context,
            in_filter=lambda values: passes(self.filter, self.profile.salesperson_code, values),
            enforces_if_match=self._enforces_if_match(),
            check_lease=lambda conn: locks.check_lease(conn, self.lease),
            may_write=self.edges.may_write,
            fencing=self.lease.fencing,
            now=self.edges.now,
            longest_request=self.edges.settings.longest_request,
        )

    def _enforces_if_match(self) -> bool:
        with read(self.edges.engine) as conn:
            return runs.read_fact(conn, self.edges.graph_settings.tenant_id, "graph_if_match") == "enforced"

    # -- the end ---------------------------------------------------------------------------------------------------

    def _finish(self, stopped: ServiceError | None, plan: Plan) -> Result:
        rejects = self._left_after_load(plan)
        self.books.rejects = set(rejects)
        counters = self.books.counters()
        if counters["unbalanced"]:
            logger.error("the books do not balance: %d contacts without an outcome", counters["unbalanced"])
        outcomes = {change.outcome for change in self.books.changed.values()}
        failed = bool(outcomes & {Outcome.FAILED, Outcome.UNKNOWN})
        rejects += [reject for change in self.books.changed.values() for reject in _rejects(change)]
        if self.run.dry_run:
            self._store_dry_rejects(rejects)
        else:
            self._close_cursor(plan, counters, rejects, failed=failed, open_=bool(outcomes & OPEN_OUTCOMES))
        held = [change for change in self.books.changed.values() if change.outcome is Outcome.HELD]
        if not held:
            return Result(counters=counters, stopped=stopped)
        message = f"{len(held)} changes wait for a person."
        return Result("held", held[0].reason, message, counters, stopped)

    def _left_after_load(self, plan: Plan) -> list[Reject]:
        """The contacts that stay out, judged after the load: a value that it mended is no reject any more (8.8)."""
        updated = [change for change in self.books.changed.values() if change.outcome is Outcome.UPDATED]
        touched = {contact for change in updated for contact in (change.bc_id, change.outlook_id)}
        mended = [each for each in plan.rejects if _lacks_value(each) and each.contact in touched]
        if not mended:
            return list(plan.rejects)
        _, _, after = self._compare_staged()
        still = [each for each in after.rejects if _lacks_value(each) and each.contact in touched]
        return [each for each in plan.rejects if each not in mended] + still

    def _store_dry_rejects(self, rejects: list[Reject]) -> None:
        """Name what the dry run would leave out; nobody asked for the plan by which both sides are checked by night."""
        if self.run.run_type == "drift_check":
            return
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            ledger.replace_dry_rejects(conn, self.run, self.profile, rejects, self.edges.now())

    def _close_cursor(
        self, plan: Plan, counters: dict[str, Any], rejects: list[Reject], *, failed: bool, open_: bool
    ) -> None:
        now = self.edges.now()
        with self.edges.engine.begin() as conn:
            locks.check_lease(conn, self.lease)
            ledger.replace_rejects(conn, self.profile.id, rejects, self.run.id, now)
            postponed.keep_only(conn, self.profile.id, {change.subject for change in plan.changes})
            runs.write_comparison(conn, self.profile.id, self.run.id, counters, now)
            # What a diff or a load moves decides about other contacts too (a copy whose pair agrees now): only a
            # diff that moves nothing is the last one.
            moved = bool(plan.couplings or plan.ended or plan.changes)
            pending = open_ or moved or ledger.count_attention(conn, self.profile.id) > 0
            values = {"pending": pending, "contacts": counters["read"]}
            values |= {} if failed else {"last_good_at": now}
            held.end_actions(conn, self.approvals.spent)
            holds.close_holds(conn, self.profile.id)
            if not self.undoing.is_open:
                undo.close(conn, self.undoing.wanted.keys, self.run.id, self.undoing.told, now)
            runs.write_cursor(conn, "outlook", self.profile.id, updated_at=now, **values)


@dataclass(slots=True)
class _Approvals:
    """The approved actions that came up in this run, and what became of them."""

    outcomes: dict[int, Outcome | None] = field(default_factory=dict)

    def add(self, changes: list[PlannedChange]) -> None:
        """Take over the outcomes of a round."""
        approved = [change for change in changes if change.hold is not None]
        # What was refused for a reason that may pass keeps its approval for its next try.
        told = {each.id: None if c.waits else c.outcome for c in approved for each in c.known}
        self.outcomes |= told

    @property
    def spent(self) -> list[int]:
        """Held actions that were carried out, or refused; one that may come yet stays approved for the next run."""
        return [key for key, outcome in self.outcomes.items() if outcome in holding.DONE]


def company_names_in(undone: Mapping[str, Undone]) -> frozenset[str]:
    """Return the names of companies that are to be found in BC, since a value that comes back names them."""
    values = [each.values["company_name"][0] for each in undone.values() if "company_name" in each.values]
    return frozenset(map(company_key, values)) - {""}


@dataclass(slots=True)
class _Undoing:
    """What persons want undone, and what became of it in this run."""

    wanted: undo.Open = field(default_factory=undo.Open)
    changes: dict[tuple[str, str], PlannedChange] = field(default_factory=dict)
    left: list[NotUndone] = field(default_factory=list)

    def add(self, plan: Plan, *, first: bool) -> None:
        """Take over what a round decided and did; a later round says the last word about a contact."""
        own = [change for change in plan.changes if change.cause == UNDO]
        self.changes |= {(change.bc_id or "", change.action): change for change in own}
        self.left = plan.not_undone if first else self.left

    @property
    def is_open(self) -> bool:
        """Whether something of it may come yet: it was held, or failed, or nobody knows."""
        waiting = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.SKIPPED, Outcome.HELD, None)
        rejected = (Outcome.HELD, holds.REJECTED)
        return any(
            c.waits or (c.outcome in waiting and (c.outcome, c.reason) != rejected)
            for c in self.changes.values()
        )

    @property
    def told(self) -> dict[str, Any]:
        """How many contacts are as they were, and why others are not, by number."""
        done = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED)
        reasons = Counter(each.reason for each in self.left)
        reasons.update(c.reason for c in self.changes.values() if c.outcome not in done)
        if self.wanted.made_in_bc:
            reasons[undo.NEVER_DELETED] = self.wanted.made_in_bc
        contacts = {key for (key, _), change in self.changes.items() if change.outcome in done}
        return {"contacts": len(contacts), "reasons": dict(sorted(reasons.items()))}


class _HeldError(ProfileError):
    """The profile's company is held by a stop rule (rules 8.3); this is no failure."""


class _RestoredError(SyncError):
    """The folder's marker is ahead of the staging database (rules 2.8)."""

    def __init__(self, counter: int) -> None:
        super().__init__(f"The folder's marker is at {counter}, ahead of the staging database.")
        self.counter = counter


def _stored(plan: Plan, couplings: list[Coupling]) -> None:
    """Let the changes know the couplings that the plan has stored for them, so that the load updates those."""
    ids = {coupling.bc_id: coupling.id for coupling in couplings}
    for change in plan.changes:
        if change.coupling is not None and not change.coupling.id and change.bc_id in ids:
            change.coupling = replace(change.coupling, id=ids[change.bc_id])


def _lacks_value(reject: Reject) -> bool:
    """Whether a whole contact stays out for its name or address, which a load may put right (rules 3)."""
    return not reject.field and reject.reason in PROBLEMS


def _frees_address(plan: Plan) -> bool:
    """Whether an address was given up that somebody else waits for: another comparison lets that one in (8.8)."""
    waits = any(reject.reason.startswith("duplicate_email") for reject in plan.rejects)
    return waits and any(
        change.outcome is Outcome.UPDATED and "email" in change.after for change in plan.changes
    )


def _rejects(change: PlannedChange) -> list[Reject]:
    """What the service (or the target's form) refused of a change, as standing rejects."""
    to_bc = change.action in (Action.CREATE_BC, Action.UPDATE_BC)
    side, contact = (Side.OUTLOOK, change.outlook_id) if to_bc else (Side.BUSINESS_CENTRAL, change.bc_id)
    rejects = [Reject(side, contact or "", Outcome.REJECTED, r.reason, r.field) for r in change.refused]
    if change.outcome is Outcome.REJECTED or change.reason == REFUSED_IN_A_ROW:
        rejects.append(Reject(side, contact or "", change.outcome or Outcome.REJECTED, change.reason))
    return rejects


def waits_with(changes: list[PlannedChange], waiting: Collection[int]) -> list[PlannedChange]:
    """Return the changes that wait, given the numbers of those whose own refusal has not passed.

    The key and the fields of an item are one write, which goes out as soon as one of them may. What needs the coupling
    that a key makes waits with it.
    """
    writes: dict[tuple[str, str | None, str | None], list[PlannedChange]] = {}
    for change in changes:
        key = (_side(change), change.outlook_id, change.bc_id)
        writes.setdefault(key, []).append(change)
    groups = [group for group in writes.values() if all(change.n in waiting for change in group)]
    left = [change for group in groups for change in group]
    unkeyed = {change.bc_id for change in left if change.action is Action.COUPLE}
    needing = [
        change
        for change in changes
        if change.action is Action.UPDATE_BC and change.bc_id in unkeyed and change.n not in waiting
    ]
    return left + [change for change in needing if change.coupling and not change.coupling.id]


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
