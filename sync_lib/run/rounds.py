"""Compare, guard, load, and once more where the load found something new: the rounds of one profile's run (8.5)."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

from sync_lib.diff.context import DiffContext
from sync_lib.errors import NotFoundError, ServiceError
from sync_lib.load.apply import apply_plan
from sync_lib.load.outcomes import DEPENDS_ON_OUTLOOK, FOLDER_MISSING
from sync_lib.load.settle import Open, reread, settle_mismatches, settle_updates
from sync_lib.load.target import Loaded
from sync_lib.logs import phase
from sync_lib.model import Outcome, Plan, PlannedChange
from sync_lib.run import folders
from sync_lib.run.books import Progress
from sync_lib.run.closing import Result, close
from sync_lib.run.compare import counts_in_words, plan_round
from sync_lib.run.folders import Found
from sync_lib.run.inputs import ProfileView
from sync_lib.run.opening import RestoredError, find_folder, missing_folder
from sync_lib.run.profile_run import ProfileRun
from sync_lib.run.reading import read_outlook
from sync_lib.run.storing import store_plan
from sync_lib.store.changes import finish_changes, read_mismatched, read_unsettled
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles

logger = logging.getLogger(__name__)


class Rounds:
    """The rounds of one profile's run.

    Attributes:
        profile_run: The profile's run, as the last step left it.
        found: The folder.
        context: What the last comparison depended on.
    """

    def __init__(
        self, profile_run: ProfileRun, found: Found, context: DiffContext, progress: Progress
    ) -> None:
        self.profile_run = profile_run
        self.found = found
        self.context = context
        self.progress = progress

    def run(self, open_creates: Open) -> Result:
        """Go through the rounds, and close the comparison."""
        most, dry_run = self.profile_run.services.settings.max_rounds, self.profile_run.run.dry_run
        stopped: ServiceError | None = None
        plan = Plan()
        view: ProfileView | None = None
        for number in range(1, most + 1):
            first = number == 1
            with phase("Compare", round=number):
                plan, plan_id, view = self._plan(open_creates, number)
            if dry_run:
                self.progress.books.add_changes(plan.changes, first=first)
                break
            self.progress.leaving |= plan.leaving
            loaded = self._load(plan_id, plan)
            stopped = loaded.stopped
            open_creates.add(plan.changes)
            if loaded.folder_missing and not stopped:
                self._look_for_folder_again(loaded)
            if loaded.reread and not stopped:
                self._read_again(loaded, plan_id, plan, last=number == most)
            self.progress.books.add_changes(plan.changes, first=first)
            self.progress.approvals.add(plan.changes)
            self.progress.undoing.add(plan, first=first)
            if stopped or not (loaded.reread or loaded.changed_by_bc or _frees_address(plan)):
                break
        return close(self.profile_run, self.progress, plan, view, stopped)

    def _plan(self, open_creates: Open, number: int) -> tuple[Plan, int, ProfileView]:
        compared = plan_round(self.profile_run, self.found, self.progress, open_creates, first=number == 1)
        self.context = compared.context
        self.profile_run, plan_id = store_plan(compared, self.found, number, self.progress)
        reasons = Counter(change.reason for change in compared.plan.changes if change.outcome is Outcome.HELD)
        if reasons:
            logger.warning("the guard holds %s until a person decides", counts_in_words(reasons))
        return compared.plan, plan_id, compared.view

    # -- load ------------------------------------------------------------------------------------------------------

    def _load(self, plan_id: int, plan: Plan) -> Loaded:
        open_changes = [change for change in plan.changes if change.outcome is None]
        if open_changes and plan_id:
            try:
                self._mark_folder()
            except NotFoundError as error:
                logger.info("the folder is gone before the first write: %s", error)
                return self._leave_for_folder(plan_id, open_changes)
        with phase("Load", changes=len(open_changes)):
            services = self.profile_run.services
            services.headway.load(open_changes, self.found.user, services.clock.monotonic())
            loaded = apply_plan(self.profile_run.target(self.found, self.context), plan_id, plan.changes)
            counts = Counter(f"{change.action} {change.outcome}" for change in plan.changes)
            logger.info("%s", counts_in_words(counts) or "nothing to load")
        return loaded

    def _mark_folder(self) -> None:
        """Count the load in the database first, then on the folder, in one of its two slots in turn (rules 2.8).

        Should the answer be lost, or the worker, the other slot still shows a marker that is ahead, unless just one
        load is missing from the database. The changes that stay planned make the next run look.
        """
        profile_run = self.profile_run
        counter = profile_run.profile.marker_counter + 1
        with profile_run.transaction() as conn:
            profiles.bind_profile(conn, profile_run.id, marker_counter=counter)
        marker, other = str(folders.Marker.of(profile_run.company_key, counter)), counter % 2 == 0
        folder = profile_run.outlook.write_marker(self.found.user, self.found.folder.id, marker, other=other)
        before = folders.Marker.on(folder)
        self.profile_run = replace(profile_run, profile=replace(profile_run.profile, marker_counter=counter))
        if before and before.counter >= counter:
            raise RestoredError(before.counter)

    def _leave_for_folder(self, plan_id: int, changes: list[PlannedChange]) -> Loaded:
        self._finish(plan_id, changes, Outcome.SKIPPED, FOLDER_MISSING)
        return Loaded(folder_missing=True)

    def _finish(self, plan_id: int, changes: list[PlannedChange], outcome: Outcome, reason: str = "") -> None:
        for change in changes:
            change.outcome, change.reason = outcome, reason or change.reason
        with self.profile_run.transaction() as conn:
            results = [(change.n, outcome, change.reason, "") for change in changes]
            finish_changes(conn, plan_id, results)

    # -- what the load left ----------------------------------------------------------------------------------------

    def _look_for_folder_again(self, loaded: Loaded) -> None:
        """Something of the folder answered 404: perhaps it was deleted meanwhile, which is an emptied one (rules 1)."""
        before = self.profile_run.profile.folder_id
        with phase("Look for the folder again"):
            self.profile_run, found = find_folder(self.profile_run)
            state = read_outlook(self.profile_run, found or missing_folder(self.profile_run), self.context)
            self.profile_run, self.found = state.profile_run, state.found
        if self.profile_run.profile.folder_id != before:
            # What was in it has been noted as gone with it, and the guard judges what is in the new one.
            loaded.reread_outlook.clear()
            self.progress.base = None

    def _read_again(self, loaded: Loaded, plan_id: int, plan: Plan, *, last: bool) -> None:
        """Read what was edited meanwhile, and what nobody knows the outcome of, for the next round (rules 8.5)."""
        target = self.profile_run.target(self.found, self.context)
        with phase("Read edited contacts again"):
            with read(self.profile_run.engine) as conn:
                rows = read_unsettled(conn, self.profile_run.id)
            settled = settle_updates(target, rows)
            reread(target, sorted(loaded.reread_outlook), sorted(loaded.reread_bc))
            with read(self.profile_run.engine) as conn:
                rows = read_mismatched(conn, plan_id)
            settled |= settle_mismatches(target, rows)
        for change in plan.changes:
            if (plan_id, change.n) in settled:
                change.outcome, change.reason = settled[plan_id, change.n], "settled"
        if last:
            self._give_up(plan_id, plan)

    def _give_up(self, plan_id: int, plan: Plan) -> None:
        """After the last round a contact that is edited all the time has failed, until the next run."""
        open_ = ("version_mismatch", DEPENDS_ON_OUTLOOK, FOLDER_MISSING)
        left = [
            change for change in plan.changes if change.outcome is Outcome.SKIPPED and change.reason in open_
        ]
        self._finish(plan_id, left, Outcome.FAILED)


def _frees_address(plan: Plan) -> bool:
    """Whether an address was given up that somebody else waits for: another comparison lets that one in (8.8)."""
    waits = any(reject.reason.startswith("duplicate_email") for reject in plan.rejects)
    return waits and any(
        change.outcome is Outcome.UPDATED and "email" in change.after for change in plan.changes
    )
