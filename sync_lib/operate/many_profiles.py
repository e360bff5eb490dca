"""One change of many profiles: whom it concerns, and whom it is refused; then all of it, or nothing.

What is carried out is what was shown: a digest of the choice and of what each profile said is asked for again, and a
profile that somebody changed meanwhile makes it another one. What becomes of contacts is in ``many_contacts``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields.filters import Groups, Pair, check_length, parse_filter, to_written
from sync_lib.store.profiles import endings
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.rows import Profile, entry_of
from sync_lib.store.profiles.settings import change_many
from sync_lib.store.profiles.values import WrongValue

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
        endings.ask_ends(conn, [row.profile for row in plan.changed], plan.change.value, by)
        return
    changes = ((row.profile.id, entry_of(row.profile), row.after) for row in plan.changed if row.after)
    change_many(conn, changes, by=by)
