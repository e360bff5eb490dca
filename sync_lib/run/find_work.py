"""Find the profiles that have work, before any task of their own is started (architecture 1).

It may say yes too often, and never no wrongly: a profile is quiet where its task would plan, write, settle, delete,
ask and report nothing. What is known without asking comes first (``_Known``), then what changed in Business Central
(``concerned``), then one question to Graph about each folder that is left.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    NotFoundError,
    ServiceError,
    SyncError,
    reason_of,
)
from sync_lib.extract.staging import is_full_due
from sync_lib.logs import phase
from sync_lib.model import CompanyResult, Run
from sync_lib.run import folders, standing
from sync_lib.run.concerned import find_concerned
from sync_lib.run.plan import make_chunks
from sync_lib.run.standing import CompanyHeldError
from sync_lib.services import Services
from sync_lib.store import clock, companies, looking, runs
from sync_lib.store.engine import read
from sync_lib.store.looking import Look, Outcome, Why
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.times import shift

logger = logging.getLogger(__name__)

#: From so many mailboxes on, all of which refuse the app: it is the app that is refused.
ALL_REFUSED_FROM = 10


def find_work(services: Services, run_id: str, *, last_try: bool = True) -> list[str]:
    """Decide which profiles of a run get a task, and return the keys of the mapped tasks, in their order.

    A run that maps all that were chosen has them planned already. What was returned before comes first again, so that
    the places of tasks keep their meaning.

    Raises:
        SyncError: What keeps all profiles from syncing, found once; each of them has it as its outcome.
    """
    with read(services.engine) as conn:
        run = runs.read_run(conn, run_id)
        if run is None or run.state == "skipped":
            return []
        before = runs.read_mapped(conn, run_id)
        is_planned = run.state != "failed" or before or runs.read_company_results(conn, run_id)
    if not is_planned:
        return []
    if not run.finds_work:
        return [before[index][0] for index in sorted(before)]
    if not services.may_write():
        # Switched off since the run was planned: each profile plans only, and says so.
        found = _all(services, Why.UNDECIDED)
    else:
        found = _find(services, run, last_try=last_try)
    keys = _store(services, run, found)
    if found.shared:
        raise found.shared
    return keys


def _find(services: Services, run: Run, *, last_try: bool) -> Found:
    try:
        return _Finder(services, run).find()
    except SyncError:
        raise
    except Exception as error:
        if not last_try:
            raise
        # A bug: named by its type only, since its text may hold a value of a contact.
        logger.exception(
            "which profiles have work could not be decided (%s): all are mapped", type(error).__name__
        )
        return _all(services, Why.UNDECIDED)


@dataclass(slots=True)
class Found:
    """What was found out.

    Attributes:
        work: Profiles that get a task, and what for.
        outcomes: Of profiles that get none, and have not been found quiet.
        quiet: The others, by the key of their company.
        generations: What each company's generation was.
        failures: How often in a row the questions about mailboxes have failed now.
        links: Delta links to be replaced, each as (stored, new).
        asked: How many folders were asked about.
        shared: Why nothing can be synced.
    """

    work: dict[int, Why] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    quiet: dict[int, list[int]] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)
    failures: dict[int, int] = field(default_factory=dict)
    links: dict[int, tuple[str, str]] = field(default_factory=dict)
    asked: int = 0
    shared: SyncError | None = None


def _all(services: Services, why: Why) -> Found:
    with read(services.engine) as conn:
        return Found(work=dict.fromkeys((each.id for each in profiles.read_profiles(conn)), why))


def _store(services: Services, run: Run, found: Found) -> list[str]:
    """Store what was decided, in one transaction; return the keys of all mapped tasks of the run."""
    now = services.now()
    quiet = sum(map(len, found.quiet.values()))
    with services.engine.begin() as conn:
        looking.drop_undecided(conn, run.id)
        before = runs.read_mapped(conn, run.id)
        known = {profile for _, members in before.values() for profile in members}
        new = [profile for profile in found.work if profile not in known]
        chunks = make_chunks(new, services.settings.profiles_per_task_from)
        runs.map_profiles(conn, run.id, chunks, found.work, first=max(before, default=-1) + 1)
        outcomes = [each for each in found.outcomes.values() if each.profile not in known]
        looking.write_outcomes(conn, run.id, outcomes, now)
        looking.note_mapped(conn, new)
        looking.note_failures(conn, found.failures)
        looking.renew_links(conn, found.links)
        for company, members in found.quiet.items():
            looking.note_quiet(conn, members, found.generations[company], now)
        counts = {"asked": found.asked, "quiet": quiet, "mapped": len(known) + len(new)}
        runs.write_run(conn, run.id, {"found_at": now, **counts})
    reasons = Counter(str(why) for why in found.work.values())
    logger.info(
        "%d profiles are quiet, %d have work (%s), %d got their outcome without a task; %d folders were asked about",
        *(quiet, len(found.work), ", ".join(f"{n} {why}" for why, n in sorted(reasons.items())) or "none"),
        *(len(found.outcomes), found.asked),
    )
    return [*(before[index][0] for index in sorted(before)), *(chunk.key for chunk in chunks)]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the staging database knows without asking anybody, read once for all profiles."""

    now: str
    looks: Mapping[int, Look]
    companies: Mapping[int, companies.CompanyRow]
    results: Mapping[int, CompanyResult]
    wanted: set[int]
    busy: set[int]
    postponed: set[int]
    left_out: Mapping[int, set[str]]
    failing: Mapping[int, tuple[str, str]]

    @classmethod
    def read(cls, conn: Connection, run: Run) -> _Known:
        is_manual = run.run_type == "manual"
        return cls(
            clock.now(conn),
            looking.read_looks(conn),
            {company.id: company for company in companies.read_companies(conn)},
            {result.company: result for result in runs.read_company_results(conn, run.id)},
            looking.read_wanted(conn),
            looking.read_busy(conn),
            # A person who starts a run wants everything tried that was refused lately (rules 6).
            looking.read_postponed(conn) if is_manual else set(),
            looking.read_left_out(conn),
            looking.read_failing(conn),
        )


class _Finder:
    def __init__(self, services: Services, run: Run) -> None:
        self.services = services
        self.run = run
        self.found = Found()
        with read(services.engine) as conn:
            self.profiles = profiles.read_profiles(conn)
            self.known = _Known.read(conn, run)

    def find(self) -> Found:
        with phase("Find what is known"):
            left = [profile for profile in self.profiles if not self._is_known(profile)]
            left = self._unconcerned(left)
        failing = [each for each in self.profiles if each.id not in self.found.outcomes and self._fails(each)]
        asked = list({each.id: each for each in (*left, *failing)}.values())
        with phase("Ask Outlook", folders=len(asked)):
            self._ask(asked)
        for profile in left:
            if profile.id not in self.found.work and profile.id not in self.found.outcomes:
                self.found.quiet.setdefault(profile.company or 0, []).append(profile.id)
        return self.found

    # -- what is known without asking ------------------------------------------------------------------------------

    def _is_known(self, profile: Profile) -> bool:
        """Decide about a profile by what the staging database knows; False where somebody must be asked."""
        if outcome := self._outcome(profile):
            self.found.outcomes[profile.id] = outcome
        elif why := self._why(profile):
            self.found.work[profile.id] = why
        return profile.id in self.found.outcomes or profile.id in self.found.work

    def _outcome(self, profile: Profile) -> Outcome | None:
        """What became of a profile that nobody can work on now."""
        if profile.id in self.known.busy:
            message = "Another run works on this profile now; this run leaves it alone."
            return Outcome(profile.id, "skipped", "busy", message)
        if profile.company is None or profile.ending:
            return None
        error = standing.unread_company(profile, self.known.results.get(profile.company))
        if error is None:
            return None
        state = "held" if isinstance(error, CompanyHeldError) else "failed"
        return Outcome(profile.id, state, error.reason, str(error))

    def _why(self, profile: Profile) -> Why | None:
        """What a profile has to do although nobody was asked, or None."""
        look = self.known.looks.get(profile.id)
        company = self.known.companies.get(profile.company or 0)
        if look is None or company is None or not (profile.graph_user_id and profile.folder_id):
            return Why.NEW
        if not look.cursor.position or look.looked is None or not look.cursor.last_good_at:
            return Why.NEW
        if self._is_wanted(profile):
            return Why.PERSON
        if (look.due_at is not None and look.due_at <= self.known.now) or profile.id in self.known.postponed:
            return Why.DUE
        if is_full_due(look.cursor, self.run, self.known.now):
            return Why.FULL
        field_profile = self.services.business_central_settings.field_profile
        left_out = self.known.left_out.get(profile.id, ())
        digest = standing.digest_of_settings(profile, field_profile, company, left_out)
        return Why.SETTINGS if look.cursor.diffed_settings != digest else None

    def _is_wanted(self, profile: Profile) -> bool:
        """Whether a person wants something of a profile that no run has carried out."""
        renamed = profile.folder_seen != profile.folder_name and not profile.default_folder
        said = (profile.ending, profile.restored_by, profile.second_answer, profile.leaving_folder)
        return renamed or any(said) or profile.id in self.known.wanted

    # -- what changed in Business Central --------------------------------------------------------------------------

    def _unconcerned(self, left: Sequence[Profile]) -> list[Profile]:
        by_company: dict[int, list[Profile]] = {}
        for profile in left:
            by_company.setdefault(profile.company or 0, []).append(profile)
        concerned: set[int] = set()
        for key, members in by_company.items():
            # What is staged from here on has a higher one, and is looked at by the next run.
            self.found.generations[key] = self.known.companies[key].generation
            since = {each.id: self.known.looks[each.id].looked or 0 for each in members}
            with read(self.services.engine) as conn:
                concerned |= find_concerned(conn, self.known.companies[key], members, since)
        self.found.work |= dict.fromkeys(sorted(concerned), Why.BUSINESS_CENTRAL)
        return [profile for profile in left if profile.id not in concerned]

    # -- what changed in Outlook -----------------------------------------------------------------------------------

    def _fails(self, profile: Profile) -> bool:
        """Whether a mailbox failed for a cause of its own: it is asked in each run, and mapped now and then."""
        look = self.known.looks.get(profile.id)
        return profile.id in self.known.failing and look is not None and bool(look.cursor.position)

    def _ask(self, asked: Sequence[Profile]) -> None:
        self.found.asked = len(asked)
        links = [self.known.looks[profile.id].cursor.position for profile in asked]
        try:
            answers = self.services.questions.ask(links) if asked or self.found.work else []
        except ApiError as error:
            self._share(error)
            return
        if shared := _shared(answers):
            self._share(shared)
            return
        for profile, link, answer in zip(asked, links, answers, strict=True):
            self._take(profile, link, answer)

    def _share(self, error: SyncError) -> None:
        """Let every profile that could be worked on have the cause that all share; nobody is mapped."""
        self.found.shared = error
        self.found.work.clear()
        for profile in self.profiles:
            failed = Outcome(profile.id, "failed", reason_of(error), str(error))
            self.found.outcomes.setdefault(profile.id, failed)

    def _take(self, profile: Profile, link: str, answer: str | ApiError) -> None:
        look = self.known.looks[profile.id]
        if isinstance(answer, ApiError) and _is_closed(answer):
            self._take_closed(profile, look)
        elif isinstance(answer, ApiError) or not answer:
            self.found.work.setdefault(profile.id, Why.OUTLOOK)
        elif (look.linked_at or "") < shift(self.known.now, -looking.LINK_AGE):
            self.found.links[profile.id] = (link, answer)

    def _take_closed(self, profile: Profile, look: Look) -> None:
        """Map a mailbox that does not open at first, and with growing gaps; in between it fails as it did."""
        is_due = look.ask_due is None or look.ask_due <= self.known.now or self.run.run_type == "manual"
        if is_due or profile.id not in self.known.failing:
            self.found.work[profile.id] = Why.MAILBOX
            self.found.failures[profile.id] = look.ask_failures + 1
            return
        reason, message = self.known.failing[profile.id]
        self.found.work.pop(profile.id, None)
        self.found.outcomes[profile.id] = Outcome(profile.id, "failed", reason, message)


def _is_closed(error: ApiError) -> bool:
    """Whether an answer says that the mailbox is missing, or closed to the app."""
    missing = isinstance(error, NotFoundError) and folders.is_mailbox_missing(error)
    return error.in_form and (missing or isinstance(error, AccessDeniedError))


def _shared(answers: Sequence[str | ApiError]) -> ApiError | None:
    """Return the cause that all answers share and that is none of a single mailbox, or None."""
    errors = [answer for answer in answers if isinstance(answer, ApiError)]
    if not errors or len(errors) < len(answers):
        return None
    if all(isinstance(error, ServiceError) for error in errors):
        return errors[0]
    refused = all(isinstance(error, AccessDeniedError) for error in errors)
    return errors[0] if refused and len(errors) >= ALL_REFUSED_FROM else None
