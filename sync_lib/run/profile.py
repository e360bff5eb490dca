"""One profile in one run: read its folder, compare, and load both directions, under the profile's lease."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from sync_lib.diff.context import DiffContext
from sync_lib.errors import ConfigError, ProfileBusyError, ProfileError, SyncError, TransientError, reason_of
from sync_lib.extract.staging import is_full_due, must_compare
from sync_lib.fields.categories import unreadable
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.filters import parse_filter
from sync_lib.load.settle import Open, settle
from sync_lib.logs import phase
from sync_lib.model import Mode, ProfileResult, Run
from sync_lib.run import bindings, ending, standing
from sync_lib.run.books import Books, Progress, Undoing
from sync_lib.run.closing import Result
from sync_lib.run.folders import Found, MailboxReplacedError
from sync_lib.run.opening import RestoredError, missing_folder, open_folder
from sync_lib.run.profile_run import ProfileRun
from sync_lib.run.reading import inputs_unchanged, note_successor, read_outlook
from sync_lib.run.rounds import Rounds
from sync_lib.run.second_folder import Again, SecondFolder
from sync_lib.run.standing import CompanyHeldError
from sync_lib.run.turns import MAILBOX_PATIENCE, MAILBOX_WAIT, keep_lease, mailbox_turn, take
from sync_lib.run.watch import watch_profile
from sync_lib.services import Services
from sync_lib.store import causes, clock, companies, company_names, looking, runs, undo, wishes
from sync_lib.store.changes import give_up_planned, read_unsettled
from sync_lib.store.companies import CompanyRow
from sync_lib.store.engine import read
from sync_lib.store.leases import Lease
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.runs import Cursor

logger = logging.getLogger(__name__)


def sync_profiles(
    services: Services, run_id: str, task_key: str, on_mailbox: Callable[[str], None] | None = None
) -> list[ProfileResult]:
    """Sync the profiles of one mapped task (``pipeline.sync_profile``).

    Raises:
        SyncError: A profile failed; with several, the others were worked on first.
    """
    with services.engine.begin() as conn:
        run = runs.read_run(conn, run_id)
        keys = runs.read_chunk(conn, run_id, task_key)
        if run is not None and run.finds_work and not keys:
            keys = _map_undecided(conn, run_id, task_key)
    if run is None or not keys:
        raise ConfigError(f"Run {run_id} has no profiles for the key {task_key}: clear its task plan_run.")
    if not services.may_write():
        # Switched off since the run was planned.
        run = replace(run, dry_run=True)
    errors: list[Exception] = []
    for key in keys:
        try:
            sync_one(services, run, key, on_mailbox or (lambda _mailbox: None))
        except Exception as error:  # noqa: BLE001 - recovered by skipping: the task's other profiles go on
            errors.append(error)
    _raise(errors)
    with read(services.engine) as conn:
        return runs.read_profile_results(conn, run_id, keys)


def _map_undecided(conn: Connection, run_id: str, task_key: str) -> list[int]:
    """Take the profiles of a key that ``find_work`` did not decide about: somebody works on all that was planned."""
    chunk = runs.Chunk.parse(task_key)
    if chunk is None or runs.read_profile_results(conn, run_id, chunk.profiles):
        return []
    places = runs.read_mapped(conn, run_id)
    runs.map_profiles(conn, run_id, [chunk], first=max(places, default=-1) + 1)
    return list(chunk.profiles)


def _raise(errors: list[Exception]) -> None:
    """Raise what decides between failing and trying again: one profile that may work later is worth another try."""
    if errors:
        raise next((error for error in errors if isinstance(error, TransientError)), errors[0])


def sync_one(services: Services, run: Run, key: int, on_mailbox: Callable[[str], None]) -> None:
    """Sync one profile and record its outcome; a busy one is left to the run that works on it.

    Raises:
        SyncError: The profile failed; its outcome row says why.
    """
    with services.engine.begin() as conn:
        profile = profiles.read_profile(conn, key)
        on_mailbox(profile.mailbox)
        values = {"state": "running", "started_at": services.now(), "progress": ""}
        runs.write_profile_state(conn, run.id, key, **values)
        if not run.dry_run:
            looking.begin(conn, key)
    try:
        result = _sync_with_lease(services, run, profile)
    except ProfileBusyError as error:
        _end(services, run, key, Result(state="skipped", reason="busy", message=str(error)))
        logger.info("%s", error)
    except CompanyHeldError as error:
        _end(services, run, key, Result(state="held", reason=error.reason, message=str(error)))
        logger.warning("%s", error)
    except SyncError as error:
        _end(services, run, key, Result(state="failed", reason=reason_of(error), message=str(error)))
        raise
    except Exception as error:
        # A bug: named by its type only, since its text may hold a value of a contact.
        what = f"Unexpected {type(error).__name__}: see the log of this task."
        _end(services, run, key, Result(state="failed", reason="unexpected_error", message=what))
        raise
    else:
        if result.stopped:
            result.state, result.reason, result.message = "failed", "service_away", str(result.stopped)
        _end(services, run, key, result)
        if result.stopped:
            raise result.stopped


def _end(services: Services, run: Run, key: int, result: Result) -> None:
    with services.engine.begin() as conn:
        runs.write_profile_state(
            conn,
            run.id,
            key,
            state=result.state,
            reason=result.reason,
            message=result.message,
            counters=result.counters,
            ended_at=services.now(),
            progress="",
        )
        if not run.dry_run:
            causes.note_outcome(conn, key, result.state, result.reason)


def _sync_with_lease(services: Services, run: Run, profile: Profile) -> Result:
    while (lease := take(services, f"profile:{profile.id}")) is None:
        if run.run_type != "approval":
            raise ProfileBusyError("Another run works on this profile now; this run leaves it alone.")
        logger.info("another run works on this profile: waiting, since a person approved this one")
        services.clock.sleep(MAILBOX_WAIT)
    # A person waits for what was approved.
    patience = MAILBOX_PATIENCE if run.run_type != "approval" else float("inf")
    watched = watch_profile(services, run.id, profile.id)
    with keep_lease(services, lease), mailbox_turn(services, profile, patience), watched:
        with read(services.engine) as conn:
            # Another run may have ended it, or a person have asked for that, since this one looked.
            profile = profiles.read_profile(conn, profile.id)
        if profile.ended_at:
            return Result(state="skipped", reason=ending.DONE, message="The profile has ended.")
        sync = partial(_sync, services, run, profile, lease)
        if profile.ending and profile.company and not run.dry_run:
            return ending.end(services, run, profile, lease, sync)
        return sync(Progress())


def _sync(services: Services, run: Run, profile: Profile, lease: Lease, progress: Progress) -> Result:
    run = _full_if_due(services, run, profile.id)
    done = _work_through(services, run, profile, lease, progress)
    if run.dry_run or done.result.stopped:
        return done.result

    def again(profile_run: ProfileRun) -> Again:
        once_more = _work_through(services, profile_run.run, profile_run.profile, lease, progress)
        return once_more.profile_run, once_more.found, once_more.context, once_more.result

    second = SecondFolder(done.profile_run, done.found, done.context, progress)
    return second.heed(done.result, again)


def _full_if_due(services: Services, run: Run, key: int) -> Run:
    """Make a run of a profile a full one where a slot has passed since its last full read began (rules 5)."""
    with services.engine.begin() as conn:
        now, cursor = clock.now(conn), runs.read_cursor(conn, "outlook", key)
        if run.mode == Mode.FULL or not is_full_due(cursor, run, now):
            return run
        runs.begin_full(conn, "outlook", key, now)
    logger.info("a slot of the full schedule has passed since this profile was read in full")
    return replace(run, mode=Mode.FULL)


@dataclass(frozen=True, slots=True)
class _Done:
    """A profile's work, done: its result, and what the steps behind it go on with."""

    result: Result
    profile_run: ProfileRun
    found: Found | None
    context: DiffContext


def _work_through(services: Services, run: Run, profile: Profile, lease: Lease, progress: Progress) -> _Done:
    """Do the work; once more, in full and with everything held, where it finds a restored database."""
    try:
        return _work(_begin(services, run, profile, lease), progress)
    except MailboxReplacedError as error:
        note_successor(services, run, profile, error.successor)
        raise
    except RestoredError as error:
        logger.warning("%s It was restored from a backup: reading in full, and holding the plan.", error)
        progress.books = Books()
        with read(services.engine) as conn:
            profile = profiles.read_profile(conn, profile.id)
        return _work(_begin(services, run, profile, lease, error.counter), progress)


def _begin(services: Services, run: Run, profile: Profile, lease: Lease, restored: int = 0) -> ProfileRun:
    company, key = _check_company(services, run, profile)
    with read(services.engine) as conn:
        # What a restored database says of earlier changes may have been superseded since.
        is_older = restored or profile.restored_by
        wanted = undo.Open() if is_older else undo.read_open(conn, profile.id)
        wished = wishes.read_wishes(conn, profile.id)
    field_profile = services.business_central_settings.field_profile
    filter_ = parse_filter(profile.filter, field_profile=field_profile)
    if template := unreadable(profile.categories, field_profile):
        raise ProfileError(
            "categories_invalid",
            f"The category {template!r} needs a field that the field profile {field_profile!r} does not read.",
            remedy="Change the profile's categories, or connect with the field profile 'extended'.",
        )
    return ProfileRun(services, run, profile, lease, company, key, filter_, wanted, restored, wished)


def _work(profile_run: ProfileRun, progress: Progress) -> _Done:
    progress.undoing = Undoing(profile_run.wanted)
    context = profile_run.context()
    with phase("Open the folder"):
        profile_run, found = open_folder(profile_run)
    if found is None:
        # A dry run makes no folder: it plans as for an empty one.
        return _compare_and_load(profile_run, missing_folder(profile_run), context, progress, Open())
    open_creates = _settle(profile_run, found, context)
    with phase("Read Outlook"):
        state = read_outlook(profile_run, found, context)
    profile_run, found = state.profile_run, state.found
    with read(profile_run.engine) as conn:
        cursor = runs.read_cursor(conn, "outlook", profile_run.id)
    if not state.changed and inputs_unchanged(profile_run, cursor):
        return _Done(_unchanged(profile_run, cursor), profile_run, found, context)
    return _compare_and_load(profile_run, found, context, progress, open_creates)


def _compare_and_load(
    profile_run: ProfileRun, found: Found, context: DiffContext, progress: Progress, open_creates: Open
) -> _Done:
    rounds = Rounds(profile_run, found, context, progress)
    result = rounds.run(open_creates)
    return _Done(result, rounds.profile_run, rounds.found, rounds.context)


def _check_company(services: Services, run: Run, profile: Profile) -> tuple[CompanyRow, BcKey]:
    """Return the company and its key.

    Raises:
        ProfileError: BC does not list it, the Connection points elsewhere, or this run could not read it.
    """
    if profile.company is None:
        with read(services.engine) as conn:
            listed = ", ".join(each.name for each in company_names.read_listed(conn))
        raise ProfileError(
            "company_not_found",
            f"Business Central has no company {profile.company_name!r} that the app may see; it lists: "
            f"{listed or 'none'}.",
            remedy="Correct the profile's company, or give the app access to it in BC.",
        )
    with read(services.engine) as conn:
        results = {r.company: r for r in runs.read_company_results(conn, run.id)}
        company = companies.read_company(conn, profile.company)
        key = companies.read_key(conn, company)
    bindings.check_environment(services, company)
    if error := standing.unread_company(profile, results.get(profile.company)):
        raise error
    return company, key


def _settle(profile_run: ProfileRun, found: Found, context: DiffContext) -> Open:
    """Settle what an earlier run sent and learnt no outcome of; what it never sent is given up."""
    with read(profile_run.engine) as conn:
        rows = read_unsettled(conn, profile_run.id)
    if profile_run.run.dry_run:
        return Open(
            {row["bc_id"] for row in rows if row["bc_id"]},
            {row["outlook_id"] for row in rows if row["outlook_id"]},
        )
    # What broke off makes the next run look at the marker; where that is ahead, until the hold is written.
    if not profile_run.restored:
        with profile_run.transaction() as conn:
            give_up_planned(conn, profile_run.id, "superseded")
    if not rows:
        return Open()
    # What is found is staged here already, so that the folder's read shows nothing new of it.
    with profile_run.transaction() as conn:
        must_compare(conn, profile_run.staging(context))
    with phase("Settle what an earlier run left open", changes=len(rows)):
        return settle(profile_run.target(found, context), rows)


def _unchanged(profile_run: ProfileRun, cursor: Cursor) -> Result:
    """Leave the figures of the last comparison as they are: this run has no outcomes (rules 8.8)."""
    logger.info("nothing changed on either side: %d contacts as they were", cursor.contacts)
    with profile_run.engine.begin() as conn:
        now = profile_run.services.now()
        runs.write_cursor(conn, "outlook", profile_run.id, updated_at=now, last_good_at=now)
        looking.end(conn, profile_run.id, None)
        return Result(counters=runs.quiet_counters(conn, profile_run.id))
