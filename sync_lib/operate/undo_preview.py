"""What an undo would do, from what is staged: the plan that the next run would make of it, by the same diff and guard.

Nothing is read from the services, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from sync_lib.diff import guard
from sync_lib.diff.baselines import is_edited
from sync_lib.diff.context import DiffContext
from sync_lib.diff.match import match
from sync_lib.diff.plan import plan_changes
from sync_lib.errors import ProfileError
from sync_lib.fields.filters import parse_filter
from sync_lib.model import UNDO, NotUndone, PlannedChange
from sync_lib.run.compare import company_names_in
from sync_lib.run.inputs import ProfileView, Scope, mapper_of, policy_of, read_view
from sync_lib.settings import SyncSettings
from sync_lib.store import companies, undo, wishes
from sync_lib.store.changes import read_recent
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.snapshots import bc_contacts


@dataclass(frozen=True, slots=True)
class Look:
    """How to look: the guard's limits, and which fields of BC there are."""

    settings: SyncSettings
    field_profile: str


@dataclass(frozen=True, slots=True)
class UndoPreview:
    """What an undo means now.

    Attributes:
        changes: What would be written, on both sides; with the outcome ``held`` where the guard would hold it.
        left: What stays as it is, and why.
        made_in_bc: Contacts that were made in BC, and stay there.
        held: Why the guard would hold it.
        company: Key of the profile's company.
    """

    changes: list[PlannedChange]
    left: list[NotUndone]
    made_in_bc: int
    held: list[str]
    company: int


def preview_undo(conn: Connection, asked: undo.Asked, look: Look) -> UndoPreview:
    """Plan an undo as the next run would; time grows with the profile's scope and folder, as that of a run.

    Raises:
        ConfigError: There is no such profile.
        ProfileError: The profile has never been synced.
        FilterSyntaxError: Its filter cannot be understood.
    """
    profile = profiles.read_profile(conn, asked.profile)
    if profile.ended_at:
        raise ProfileError("profile_ended", "The profile has ended: nothing of it can be undone any more.")
    if profile.company is None:
        raise ProfileError("company_not_found", "The profile has never been synced.", remedy="Sync it first.")
    company = companies.read_company(conn, profile.company)
    wanted = undo.read_wanted(conn, [asked])
    attend = frozenset(wanted.undone)
    filter_ = parse_filter(profile.filter, field_profile=look.field_profile)
    out = wishes.read_left_out(conn, profile.id)
    scope = Scope(
        profile.id, company.id, filter_, profile.salesperson_code, "", profile.direction, attend, out
    )
    view = read_view(conn, scope)
    mapper = mapper_of(company, look.field_profile, profile.language)
    names = view.company_names | company_names_in(wanted.undone)
    lookups = replace(mapper.lookups, companies=bc_contacts.read_company_numbers(conn, company.id, names))
    mapper = replace(mapper, lookups=lookups)
    key = companies.read_key(conn, company)
    context = DiffContext(policy_of(profile), mapper, undone=wanted.undone, company=key)
    plan = plan_changes(match(view.views, key, partial(is_edited, mapper=mapper)), view.views, context)
    own = [change for change in plan.changes if change.cause == UNDO]
    return UndoPreview(
        own, plan.not_undone, wanted.made_in_bc, _held(conn, own, view, (profile.id, look)), company.id
    )


def _held(
    conn: Connection, changes: Collection[PlannedChange], view: ProfileView, whose: tuple[int, Look]
) -> list[str]:
    """Mark what the guard would hold of an undo by itself, and return why."""
    profile, look = whose
    circumstances = guard.Circumstances(
        live=view.partition.live,
        present=view.partition.present,
        recent=read_recent(conn, profile),
    )
    return guard.hold(list(changes), circumstances, look.settings).reasons
