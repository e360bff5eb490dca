"""What an undo would do, from what is staged: the plan that the next run would make of it, by the same diff and guard.

Nothing is read from the services, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from sync_lib import guard
from sync_lib.diff import UNDO, NotUndone, PlannedChange, is_edited, plan_changes
from sync_lib.errors import ProfileError
from sync_lib.fields.filters import parse_filter
from sync_lib.match import match
from sync_lib.profile_sync import company_context, company_names_in, policy_of
from sync_lib.settings import SyncSettings
from sync_lib.store import companies, ledger, profiles, snapshots, undo
from sync_lib.views import ProfileView, Scope, read_view


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
    if profile.company is None:
        raise ProfileError("company_not_found", "The profile has never been synced.", remedy="Sync it first.")
    company = companies.read_company(conn, profile.company)
    wanted = undo.read_wanted(conn, [asked])
    attend = frozenset(wanted.undone)
    filter_ = parse_filter(profile.filter, field_profile=look.field_profile)
    scope = Scope(profile.id, company.id, filter_, profile.salesperson_code, "", profile.direction, attend)
    view = read_view(conn, scope)
    base = company_context(company, look.field_profile, language=profile.language)
    names = view.company_names | company_names_in(wanted.undone)
    lookups = replace(base.lookups, companies=snapshots.read_company_numbers(conn, company.id, names))
    policy = policy_of(profile, look.field_profile)
    key = companies.read_key(conn, company)
    context = replace(base, policy=policy, lookups=lookups, undone=wanted.undone, company=key)
    plan = plan_changes(match(view.views, key, partial(is_edited, context=context)), view.views, context)
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
        recent=ledger.read_recent(conn, profile),
    )
    return guard.hold(list(changes), circumstances, look.settings).reasons
