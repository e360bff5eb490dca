"""One change of many profiles: whom it concerns, whom it is refused, what becomes of contacts; then all or nothing.

What is carried out is what was shown: a digest of the choice and of what each profile said is asked for again, and a
profile that somebody changed meanwhile makes it another one. Contacts are counted as far as ``Look.patience`` reaches.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from sync_lib.errors import ConfigError, FilterSyntaxError
from sync_lib.fields.filters import Groups, Pair, check_length, parse_filter, to_written
from sync_lib.model import CouplingState, Direction
from sync_lib.operate import settings_preview
from sync_lib.operate.settings_preview import Subject, Wish
from sync_lib.settings import SyncSettings
from sync_lib.store import companies
from sync_lib.store.profiles import endings
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.rows import Profile, entry_of
from sync_lib.store.profiles.settings import change_many
from sync_lib.store.profiles.values import WrongValue
from sync_lib.store.queries import previews

ON, OFF, POLICY, CONDITION, END = "on", "off", "policy", "condition", "end"
KINDS = (ON, OFF, POLICY, CONDITION, END)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed.

    Attributes:
        kind: One of ``KINDS``.
        column: The policy's column.
        value: The policy's value; of an end ``keep`` or ``remove``.
        pair: The condition that comes to the filter: every group of it.
    """

    kind: str
    column: str = ""
    value: str = ""
    pair: Pair | None = None

    def applied(self, entry: ProfileEntry) -> ProfileEntry:
        """Return the settings with the change; an end changes none."""
        if self.kind in (ON, OFF):
            return replace(entry, enabled=self.kind == ON)
        if self.kind == POLICY:
            policy: dict[str, Any] = {self.column: self.value}
            return replace(entry, **policy)
        if self.kind == CONDITION and self.pair is not None:
            return replace(entry, filter=_with(entry.filter, self.pair))
        return entry


def _with(groups: Groups, pair: Pair) -> Groups:
    """Add a condition to each group that lacks it; one group that held everybody is that condition."""
    return tuple(group if pair in group else (*group, pair) for group in groups or ((),))


@dataclass(frozen=True, slots=True)
class Row:
    """One profile of the choice.

    Attributes:
        profile: It, as it is stored.
        after: Its settings afterwards; None where it is refused.
        problem: Why it is refused.
        is_same: It is so already.
    """

    profile: Profile
    after: ProfileEntry | None = None
    problem: WrongValue | FilterSyntaxError | None = None
    is_same: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change comes to, profile by profile, in the order of their ids."""

    change: Change
    rows: list[Row]

    @property
    def changed(self) -> list[Row]:
        """Profiles that are changed."""
        return [row for row in self.rows if row.problem is None and not row.is_same]

    @property
    def same(self) -> int:
        """How many are so already."""
        return sum(row.is_same for row in self.rows)

    @property
    def refused(self) -> list[Row]:
        """Profiles that are left as they are, each for its reason."""
        return [row for row in self.rows if row.problem is not None]

    @property
    def digest(self) -> str:
        """What is the same as long as the same would be done to the same profiles, which say the same."""
        shown = [
            [
                row.profile.id,
                _said(entry_of(row.profile)),
                row.profile.ending,
                row.is_same,
                str(row.problem or ""),
            ]
            for row in self.rows
        ]
        text = json.dumps([asdict(self.change), shown], ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _said(entry: ProfileEntry) -> dict[str, object]:
    return asdict(entry) | {"filter": to_written(entry.filter)}


def make_plan(profiles: Sequence[Profile], change: Change, field_profile: str) -> Plan:
    """Return what a change would do to some profiles. Nothing is read, and nothing is written."""
    return Plan(
        change, [_row(each, change, field_profile) for each in sorted(profiles, key=lambda one: one.id)]
    )


def _row(profile: Profile, change: Change, field_profile: str) -> Row:
    try:
        if profile.ending_began or profile.ended_at:
            raise WrongValue("it is being ended.")
        if change.kind == END:
            if not profile.has_synced:
                raise WrongValue("it has never synced: remove it on its page instead.")
            return Row(profile, entry_of(profile), is_same=profile.ending == change.value)
        before = entry_of(profile)
        after = change.applied(before)
        if change.kind == CONDITION:
            check_length(after.filter)
            parse_filter(after.filter, field_profile=field_profile)
    except (WrongValue, FilterSyntaxError) as problem:
        return Row(profile, problem=problem)
    return Row(profile, after, is_same=after == before)


def carry_out(conn: Connection, plan: Plan, by: Author) -> None:
    """Do what a plan says, with a line in each profile's history; ends wait for the next run that may write.

    Args:
        conn: Inside the transaction that locked the profiles, and in which the plan was made.
        plan: What was shown, and is so still.
        by: Who confirmed it.

    Raises:
        ConfigError: A profile cannot be ended; nothing is to be committed then.
    """
    if plan.change.kind == END:
        for row in plan.changed:
            endings.ask_end(conn, row.profile, plan.change.value, by)
        return
    changes = ((row.profile.id, entry_of(row.profile), row.after) for row in plan.changed if row.after)
    change_many(conn, changes, by=by)


# -- contacts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """How to count: the guard's limits, which fields filters may name, and for how many seconds."""

    settings: SyncSettings
    field_profile: str
    patience: float = 2.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What becomes of the contacts of a profile: who comes, is deleted, or is synced no longer; what is held."""

    coming: int = 0
    deleted: int = 0
    released: int = 0
    held: bool = False


@dataclass(frozen=True, slots=True)
class Contacts:
    """What becomes of contacts, of all profiles that are changed.

    Attributes:
        figures: By profile; what is not here was not counted.
        uncounted: Of how many profiles nothing was counted.
        off: How many profiles are switched off, so that nothing of it happens before they are switched on.
        in_folders: Contacts in the folders.
        back: Contacts that stay away now, and come back.
    """

    figures: dict[int, Figures] = field(default_factory=dict)
    uncounted: int = 0
    off: int = 0
    in_folders: int = 0
    back: int = 0

    @property
    def total(self) -> Figures:
        """All together; ``held`` where the guard would hold any."""
        each = self.figures.values()
        coming, deleted = sum(one.coming for one in each), sum(one.deleted for one in each)
        return Figures(coming, deleted, sum(one.released for one in each), any(one.held for one in each))

    @property
    def held(self) -> int:
        """Of how many profiles the guard would hold the deletes."""
        return sum(one.held for one in self.figures.values())


def count_contacts(conn: Connection, plan: Plan, look: Look) -> Contacts:
    """Return what a plan means for contacts, from what is staged; nothing is written."""
    ids = [row.profile.id for row in plan.changed]
    kind = plan.change.kind
    if kind == END:
        return _of_ends(conn, plan)
    states = previews.count_states(conn, ids)
    live = states.get(CouplingState.ACTIVE, 0) + states.get(CouplingState.PINNED, 0)
    if kind == OFF:
        return Contacts(in_folders=live)
    off = 0 if kind == ON else sum(not row.profile.enabled for row in plan.changed)
    if kind == POLICY:
        back = states.get(CouplingState.AWAY, 0) if plan.change.value == "recreate" else 0
        return Contacts(off=off, in_folders=live, back=back)
    counted = dict(_Counter(conn, look, kind).run(plan.changed))
    return Contacts(counted, len(ids) - len(counted), off, live)


def _of_ends(conn: Connection, plan: Plan) -> Contacts:
    items = previews.count_items_of(conn, [row.profile.id for row in plan.changed])
    figures = {}
    for row in plan.changed:
        found = items.get(row.profile.id)
        goes = found.plain if found and plan.change.value == endings.REMOVE else 0
        if row.profile.direction == Direction.TO_BUSINESS_CENTRAL:
            goes = 0
        figures[row.profile.id] = Figures(deleted=goes, released=(found.items if found else 0) - goes)
    return Contacts(figures)


class _Counter:
    """Asks the preview of each profile's page, until the patience is at its end; alike new profiles count once."""

    def __init__(self, conn: Connection, look: Look, kind: str) -> None:
        self._conn = conn
        self._look = look
        self._kind = kind
        self._alike: dict[tuple[object, ...], Figures] = {}
        self._companies: dict[str, int | None] = {}

    def run(self, rows: Sequence[Row]) -> Iterator[tuple[int, Figures]]:
        end = time.monotonic() + self._look.patience
        for row in rows:
            if time.monotonic() >= end:
                return
            found = self._count(row)
            if found is not None:
                yield row.profile.id, found

    def _count(self, row: Row) -> Figures | None:
        profile, company = row.profile, self._company(row.profile)
        if row.after is None or company is None or not previews.read_time_of_snapshot(self._conn, company):
            return None
        key = (company, row.after.filter, row.after.salesperson_code, row.after.direction)
        if not profile.has_synced and key in self._alike:
            return self._alike[key]
        try:
            subject = Subject(
                company, profile.id, self._wish(entry_of(profile)) if profile.has_synced else None
            )
            wish = self._wish(row.after)
        except FilterSyntaxError:
            return None
        shown = settings_preview.Look(self._look.settings, 0)
        found = settings_preview.make_preview(self._conn, subject, wish, shown)
        figures = Figures(found.coming.total, found.deleted.total, found.released.total, bool(found.held))
        if self._kind == ON:
            # Nothing of the settings changes: it goes on from where it was switched off.
            figures = Figures(
                found.coming.total + found.coming_anyway, 0, found.leaving_anyway, bool(found.held)
            )
        if not profile.has_synced:
            self._alike[key] = figures
        return figures

    def _wish(self, entry: ProfileEntry) -> Wish:
        parsed = parse_filter(entry.filter, field_profile=self._look.field_profile)
        return Wish(parsed, entry.salesperson_code, entry.direction, entry.left_scope)

    def _company(self, profile: Profile) -> int | None:
        if profile.company is not None:
            return profile.company
        name = profile.company_name
        if name not in self._companies:
            try:
                self._companies[name] = companies.find_company(self._conn, name).id
            except ConfigError:
                self._companies[name] = None
        return self._companies[name]
