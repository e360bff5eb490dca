"""Compare both sides of a profile, and make of that the plan of one round (rules 7 and 8.1)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

from sync_lib.diff import guard
from sync_lib.diff.actions import try_digest
from sync_lib.diff.baselines import is_edited
from sync_lib.diff.context import DiffContext
from sync_lib.diff.match import Matching, match
from sync_lib.diff.plan import plan_changes
from sync_lib.extract.folder import look_up_each, stage_looked_up
from sync_lib.fields.normal_forms import company_key
from sync_lib.load.outcomes import DEPENDS_ON_OUTLOOK
from sync_lib.load.settle import Open
from sync_lib.model import Action, Outcome, Plan, PlannedChange, Undone
from sync_lib.run import elsewhere, read_settled
from sync_lib.run.books import Progress, side_of
from sync_lib.run.folders import Found
from sync_lib.run.inputs import ProfileView, Scope, read_view, written_categories
from sync_lib.run.profile_run import ProfileRun
from sync_lib.store import companies, former_items, postponed
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.snapshots import bc_contacts, outlook_items

logger = logging.getLogger(__name__)

#: How often one comparison asks for private flags; what it still does not know by then counts as private.
FLAG_READS = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison: the profile's run with its company as it is now, what it depended on, and what it came to."""

    profile_run: ProfileRun
    context: DiffContext
    view: ProfileView
    matching: Matching
    plan: Plan


def plan_round(
    profile_run: ProfileRun, found: Found, progress: Progress, open_creates: Open, *, first: bool
) -> Compared:
    """Compare, and return the plan of a round, with what may not be carried out now left aside."""
    compared = compare(profile_run, found, progress)
    plan = compared.plan
    progress.books.add(compared.view, compared.matching, plan, first=first)
    _add_elsewhere(compared.profile_run, found, plan)
    for change in plan.changes:
        to_outlook = change.action is Action.CREATE_OUTLOOK and change.bc_id in open_creates.bc_ids
        to_bc = change.action is Action.CREATE_BC and change.outlook_id in open_creates.outlook_ids
        if to_outlook or to_bc:
            change.outcome, change.reason = Outcome.UNKNOWN, "no_answer_yet"
    _postpone(compared.profile_run, plan)
    split = compared.view.partition
    logger.info(
        "%d contacts agree, %d were looked at: %s",
        split.same,
        len(split.couplings) + len(split.bc_ids) + len(split.outlook_ids),
        counts_in_words(Counter(str(change.action) for change in plan.changes)) or "nothing to write",
    )
    return compared


def compare(profile_run: ProfileRun, found: Found, progress: Progress) -> Compared:
    """Compare both sides; read the private flags that it depends on, twenty to a request (rules 3)."""
    for _ in range(FLAG_READS):
        compared = compare_staged(profile_run, progress)
        veiled = {
            each.item.id
            for each in compared.matching.pairs
            if each.found_by and each.item and each.item.is_veiled
        }
        wanted = compared.plan.unread | veiled
        if not wanted:
            return compared
        _read_flags(compared, found, wanted, veiled)
    return compare_staged(profile_run, progress, unread_is_private=True)


def _read_flags(compared: Compared, found: Found, wanted: set[str], tied: set[str]) -> None:
    profile_run, folder = compared.profile_run, found.folder.id
    items = look_up_each(profile_run.outlook, found.user, sorted(wanted), folder)
    with profile_run.transaction() as conn:
        stage_looked_up(conn, folder, items, profile_run.staging(compared.context), tied=tied)


def compare_staged(
    profile_run: ProfileRun, progress: Progress, *, unread_is_private: bool = False
) -> Compared:
    """Compare both sides as they are staged now; nothing is written down."""
    undone = profile_run.wanted.undone
    scope = Scope(
        profile_run.id,
        profile_run.company.id,
        profile_run.filter,
        profile_run.profile.salesperson_code,
        profile_run.run.overlay,
        profile_run.profile.direction,
        frozenset(undone) | profile_run.wishes.wished,
        profile_run.wishes.left_out,
        written_categories(profile_run.profile),
    )
    with read(profile_run.engine) as conn:
        profile_run = replace(profile_run, company=companies.read_company(conn, profile_run.company.id))
        view = read_view(conn, scope, read_settled.unsettled(conn, profile_run, scope))
    context = profile_run.context(view.company_names | company_names_in(undone), frozenset(progress.leaving))
    context = replace(context, unread_is_private=unread_is_private)
    matching = match(view.views, profile_run.company_key, partial(is_edited, mapper=context.mapper))
    progress.base = progress.base or (view.partition.live, view.partition.present + matching.found)
    emptied = guard.is_emptied(*progress.base, profile_run.services.settings)
    context = replace(context, emptied=emptied)
    return Compared(profile_run, context, view, matching, plan_changes(matching, view.views, context))


def company_names_in(undone: Mapping[str, Undone]) -> frozenset[str]:
    """Return the names of companies that are to be found in BC, since a value that comes back names them."""
    values = [each.values["company_name"][0] for each in undone.values() if "company_name" in each.values]
    return frozenset(map(company_key, values)) - {""}


def _add_elsewhere(profile_run: ProfileRun, found: Found, plan: Plan) -> None:
    """Plan what becomes of a blocked contact's items in the rest of the mailbox (rules 7.4)."""
    if not found.user:
        return
    with read(profile_run.engine) as conn:
        blocked = bc_contacts.read_blocked(conn, profile_run.company.id, profile_run.run.overlay)
        items = former_items.read_former(conn, profile_run.id, blocked)
        if not items:
            return
        ids = [item.outlook_id for item in items]
        staged = outlook_items.read_outlook_records(conn, profile_run.id, ids, profile_run.run.overlay)
        taken = profiles.read_taken_folders(conn, profile_run.id, found.user)
    # What is in the folder the comparison has decided about.
    inside = {each for each, row in staged.items() if row["gone_since"] is None}
    wanted = [
        item for item in items if item.outlook_id not in inside and (profile_run.is_full or not item.settled)
    ]
    place = elsewhere.Place(profile_run.outlook, found.user, found.folder.id, profile_run.company_key, taken)
    left = elsewhere.find_elsewhere(place, wanted)
    plan.settled = left.settled
    plan.changes = [*left.changes, *plan.changes]
    for n, change in enumerate(plan.changes, 1):
        change.n = n


# -- what was refused lately -----------------------------------------------------------------------------------------


def _postpone(profile_run: ProfileRun, plan: Plan) -> None:
    """Leave aside what was refused lately for a reason that may pass, and has not changed since (rules 6)."""
    with read(profile_run.engine) as conn:
        waiting = postponed.read(conn, profile_run.id)
    # A full run, and a run that a person started, tries everything.
    at_once = profile_run.is_full or profile_run.run.run_type in ("manual", "approval")
    codes = {}
    for change in plan.changes:
        known = waiting.get(change.subject)
        wished = {change.bc_id, change.outlook_id} & profile_run.wishes.wished
        # What was tried in this run is not tried again by its next round.
        due = known is None or (known.run != profile_run.run.id and (at_once or wished or known.is_due))
        if known and not due and known.digest == try_digest(change) and change.cause != "privacy_blocked":
            codes[change.n] = known.code
    for change in waits_with(plan.changes, codes):
        change.outcome, change.waits = Outcome.REJECTED, True
        change.reason = codes.get(change.n, DEPENDS_ON_OUTLOOK)


def waits_with(changes: list[PlannedChange], waiting: Collection[int]) -> list[PlannedChange]:
    """Return the changes that wait, given the numbers of those whose own refusal has not passed.

    The key and the fields of an item are one write, which goes out as soon as one of them may. What needs the coupling
    that a key makes waits with it.
    """
    writes: dict[tuple[str, str | None, str | None], list[PlannedChange]] = {}
    for change in changes:
        key = (side_of(change), change.outlook_id, change.bc_id)
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


def counts_in_words(counts: Counter[str]) -> str:
    """Return counts as a log line says them."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
