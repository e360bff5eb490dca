"""What one change of many profiles means for contacts, from what is staged: counts, as far as patience reaches.

A condition can only narrow filters, so that nobody comes by it: who leaves is found for many profiles at once, by one
read of what each filter holds. Other profiles are asked one by one, as their own pages do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from sync_lib.diff import guard
from sync_lib.errors import ConfigError, FilterSyntaxError
from sync_lib.fields.filters import parse_filter
from sync_lib.model import CouplingState, Direction, Origin
from sync_lib.operate import settings_preview
from sync_lib.operate.many_profiles import CONDITION, END, OFF, ON, POLICY, Plan, Row
from sync_lib.operate.settings_preview import Subject, Wish
from sync_lib.run.inputs import Scope, read_scope
from sync_lib.settings import SyncSettings
from sync_lib.store import companies
from sync_lib.store.changes import read_recent
from sync_lib.store.profiles import endings
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.rows import Profile, entry_of
from sync_lib.store.queries import previews

#: Profiles whose pairs are read at once.
_PART = 100


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
    """Return what a plan means for contacts; nothing is written."""
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
    counted = dict(_Counter(conn, look, plan).run())
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
    """Counts profile by profile until the patience is at its end; what is alike is read once."""

    def __init__(self, conn: Connection, look: Look, plan: Plan) -> None:
        self._conn = conn
        self._look = look
        self._plan = plan
        self._alike: dict[tuple[object, ...], Figures] = {}
        self._leaving: dict[tuple[object, ...], np.ndarray | None] = {}
        self._held: dict[tuple[object, ...], bool] = {}
        self._companies: dict[str, int | None] = {}
        self._are_read: dict[int, bool] = {}

    def run(self) -> Iterator[tuple[int, Figures]]:
        end = time.monotonic() + self._look.patience
        synced = [row for row in self._plan.changed if row.profile.has_synced]
        for row in self._plan.changed:
            if row.profile.has_synced and self._plan.change.kind == CONDITION:
                continue
            if time.monotonic() >= end:
                return
            if found := self._asked(row):
                yield row.profile.id, found
        if self._plan.change.kind != CONDITION:
            return
        for first in range(0, len(synced), _PART):
            if time.monotonic() >= end:
                return
            yield from self._narrowed(synced[first : first + _PART], end)

    # -- one by one ----------------------------------------------------------------------------------------------------

    def _asked(self, row: Row) -> Figures | None:
        profile, company = row.profile, self._company(row.profile)
        if row.after is None or company is None:
            return None
        key = (company, row.after.filter, row.after.salesperson_code, row.after.direction)
        if not profile.has_synced and key in self._alike:
            return self._alike[key]
        try:
            before = self._wish(entry_of(profile)) if profile.has_synced else None
            wish = self._wish(row.after)
        except FilterSyntaxError:
            return None
        subject = Subject(company, profile.id, before)
        found = settings_preview.make_preview(
            self._conn, subject, wish, settings_preview.Look(self._look.settings, 0)
        )
        # What an unchanged filter brings and takes by itself is what it means to be switched on.
        coming = found.coming.total + found.coming_anyway
        leaving = found.deleted.total + found.released.total + found.leaving_anyway
        figures = Figures(coming, 0, leaving, bool(found.held))
        if not profile.has_synced:
            self._alike[key] = figures
        return figures

    def _wish(self, entry: ProfileEntry) -> Wish:
        parsed = parse_filter(entry.filter, field_profile=self._look.field_profile)
        return Wish(parsed, entry.salesperson_code, entry.direction, entry.left_scope)

    def _company(self, profile: Profile) -> int | None:
        """Its company's key, None while nothing of it has been read."""
        company, name = profile.company, profile.company_name
        if company is None and name not in self._companies:
            try:
                self._companies[name] = companies.find_company(self._conn, name).id
            except ConfigError:
                self._companies[name] = None
        if company is None:
            company = self._companies[name]
        if company is None:
            return None
        if company not in self._are_read:
            self._are_read[company] = bool(previews.read_time_of_snapshot(self._conn, company))
        return company if self._are_read[company] else None

    # -- many at once, by a condition that narrows them ----------------------------------------------------------------

    def _narrowed(self, rows: Sequence[Row], end: float) -> Iterator[tuple[int, Figures]]:
        pairs = _Pairs.of(previews.read_pairs_of(self._conn, [row.profile.id for row in rows]))
        for row in rows:
            if time.monotonic() >= end:
                return
            gone = self._who_leaves(row)
            if gone is not None:
                yield row.profile.id, self._figures(row.profile, pairs.of_profile(row.profile.id), gone)

    def _who_leaves(self, row: Row) -> np.ndarray | None:
        """Who passes the filter now and will not: None where that cannot be said."""
        profile, company = row.profile, self._company(row.profile)
        if row.after is None or company is None:
            return None
        key = (company, profile.filter, profile.salesperson_code)
        if key not in self._leaving:
            try:
                self._leaving[key] = self._read_leaving(company, profile, row.after)
            except FilterSyntaxError:
                self._leaving[key] = None
        return self._leaving[key]

    def _read_leaving(self, company: int, profile: Profile, after: ProfileEntry) -> np.ndarray:
        known = self._look.field_profile
        before = parse_filter(profile.filter, field_profile=known)
        narrowed = parse_filter(after.filter, field_profile=known)
        scope = Scope(0, company, before, profile.salesperson_code)
        people = read_scope(self._conn, scope, columns=("row_id", *narrowed.fields))
        stays = narrowed.mask(people, me=profile.salesperson_code).to_numpy(bool)
        return people["row_id"].to_numpy(np.int64)[~stays]

    def _figures(self, profile: Profile, pairs: _Pairs, gone: np.ndarray) -> Figures:
        leaves = pairs.active & pairs.present & np.isin(pairs.bc_row, gone)
        may_delete = profile.left_scope == "delete" and profile.direction != Direction.TO_BUSINESS_CENTRAL
        deleted = int((leaves & pairs.plain).sum()) if may_delete else 0
        return Figures(0, deleted, int(leaves.sum()) - deleted, self._is_held(profile.id, pairs, deleted))

    def _is_held(self, profile: int, pairs: _Pairs, deletes: int) -> bool:
        if not deletes:
            return False
        live, present = int(pairs.live.sum()), int(pairs.present.sum())
        recent = read_recent(self._conn, profile)
        key = (deletes, live, present, tuple(recent.items()))
        if key not in self._held:
            circumstances = guard.Circumstances(live=live, present=present, recent=recent)
            self._held[key] = bool(settings_preview.why_held(deletes, circumstances, self._look.settings))
        return self._held[key]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs of some profiles, as arrays in the order of the profiles: a frame of each would take longer."""

    profile: np.ndarray
    bc_row: np.ndarray
    active: np.ndarray
    live: np.ndarray
    present: np.ndarray
    plain: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> _Pairs:
        frame = frame.sort_values("profile", kind="stable")
        active = frame["state"].eq(CouplingState.ACTIVE)
        made = frame["origin"].eq(Origin.MADE_BY_SYNC)
        return cls(
            frame["profile"].to_numpy(np.int64),
            frame["bc_row"].to_numpy(np.int64),
            active.to_numpy(bool),
            (active | frame["state"].eq(CouplingState.PINNED)).to_numpy(bool),
            frame["present"].to_numpy(bool),
            (made & ~frame["edited"]).to_numpy(bool),
        )

    def of_profile(self, profile: int) -> _Pairs:
        """Return those of one profile."""
        part = slice(*np.searchsorted(self.profile, [profile, profile + 1]))
        return _Pairs(*(getattr(self, each.name)[part] for each in fields(self)))
