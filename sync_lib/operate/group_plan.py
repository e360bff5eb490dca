"""What a group's members of today mean for its profiles: who joins, who leaves, whose settings change. Decides only.

A group touches the profiles that it made, and of those only what it gave itself: where a profile has something else
than the group gave last, a person changed it, and the person's choice stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from sync_lib.ports import Account
from sync_lib.store.profiles import endings
from sync_lib.store.profiles.file import GroupEntry, ProfileEntry, in_file_order
from sync_lib.store.profiles.groups import Group, Member
from sync_lib.store.profiles.rows import Profile

#: What a group says of who leaves -> how their profile ends; else it is switched off only.
ENDS = {"end_keep": endings.KEEP, "end_remove": endings.REMOVE}


class StepKind(StrEnum):
    """What becomes of one person."""

    JOINS = "joins"
    RETURNS = "returns"
    CHANGES = "changes"
    MOVES = "moves"
    LEAVES = "leaves"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Reading:
    """A group as Entra ID has it now; ``members`` by user id, None where they could not be read, for ``trouble``."""

    group: Group
    group_id: str = ""
    members: Mapping[str, Account] | None = None
    trouble: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one person.

    Attributes:
        kind: What.
        group: By which group; of who moves, the one that they go to.
        user: The account.
        mailbox: Who it is, for people.
        member: What is known of them, None for who joins.
        values: What the profile gets, by column.
        entry: The profile of who joins.
        ends: How the profile of who leaves ends, "" for one that does not.
    """

    kind: StepKind
    group: Group
    user: str
    mailbox: str
    member: Member | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    entry: ProfileEntry | None = None
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many may leave a group at once before a person has looked; ``confirmed`` by a person, however many else."""

    leavers: int
    percent: float
    confirmed: int = 0

    def holds(self, leavers: int, active: int) -> bool:
        """Whether so many leavers wait, of so many who have a profile by the group."""
        return leavers > self.confirmed and leavers > max(self.leavers, active * self.percent / 100)


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What is to be done about a group, who waits for a person, and who may join if their mailbox opens."""

    reading: Reading
    steps: tuple[Step, ...] = ()
    waiting: tuple[Step, ...] = ()
    joiners: tuple[Account, ...] = ()
    trouble: str = ""


def plan_groups(
    readings: Sequence[Reading],
    members: Sequence[Member],
    profiles: Mapping[int, Profile],
    limits: Limits,
) -> list[GroupPlan]:
    """Return what is to be done about each group.

    Args:
        readings: The groups as they are now.
        members: Who has, or had, a profile by one of them.
        profiles: Those profiles, by id; one that has ended is not among them, and counts as removed.
        limits: Of leavers.
    """
    here = _Here(readings, [_without_ended(each, profiles) for each in members])
    return [_plan(reading, here, profiles, limits) for reading in readings]


def _without_ended(member: Member, profiles: Mapping[int, Profile]) -> Member:
    return member if member.profile in profiles else replace(member, profile=None)


class _Here:
    """All groups side by side: somebody may go from one to another of the same company."""

    def __init__(self, readings: Sequence[Reading], members: Sequence[Member]) -> None:
        self.readings = readings
        self.known = {(each.group, each.user_id): each for each in members}
        # Users whom a group of a company has, or is about to have.
        self.taken = {(self._company(each.group), each.user_id) for each in members}

    def members_of(self, group: Group) -> Iterator[Member]:
        return (each for each in self.known.values() if each.group == group.id)

    def others(self, group: Group) -> list[Reading]:
        """Return the other groups of the same company."""
        company = group.entry.company_name.casefold()
        return [
            each
            for each in self.readings
            if each.group.id != group.id and each.group.entry.company_name.casefold() == company
        ]

    def claim(self, group: Group, user: str) -> bool:
        """Whether a group may have somebody who is new, since no other group of the company has them."""
        key = (group.entry.company_name.casefold(), user)
        is_free = key not in self.taken
        self.taken.add(key)
        return is_free

    def _company(self, group: int) -> str:
        found = (each.group.entry.company_name for each in self.readings if each.group.id == group)
        return next(found, "").casefold()


def _plan(reading: Reading, here: _Here, profiles: Mapping[int, Profile], limits: Limits) -> GroupPlan:
    if reading.members is None:
        return GroupPlan(reading, trouble=reading.trouble)
    known = list(here.members_of(reading.group))
    staying = [each for each in known if each.user_id in reading.members]
    steps = [step for each in staying for step in _staying(reading, each, profiles)]
    gone = [
        step
        for each in known
        if each.user_id not in reading.members
        for step in _gone(reading, each, here, profiles)
    ]
    leavers = [step for step in gone if step.kind is StepKind.LEAVES]
    steps += [step for step in gone if step.kind is not StepKind.LEAVES]
    active = sum(1 for each in known if each.profile is not None and not each.left_at)
    trouble = _hold(reading, here, leavers, active, limits)
    new = [each for key, each in reading.members.items() if _is_new(here, reading.group, key)]
    return GroupPlan(
        reading,
        tuple(steps if trouble else [*steps, *leavers]),
        tuple(leavers if trouble else ()),
        tuple(new),
        trouble,
    )


def _is_new(here: _Here, group: Group, user: str) -> bool:
    before = here.known.get((group.id, user))
    if before is not None:
        # Whoever had left, and whose profile was removed or has ended since, comes anew.
        return before.profile is None and bool(before.left_at)
    return here.claim(group, user)


def _hold(reading: Reading, here: _Here, leavers: Sequence[Step], active: int, limits: Limits) -> str:
    """Return why the leavers of a group wait, or ""."""
    if not leavers or len(leavers) <= limits.confirmed:
        return ""
    if any(each.members is None for each in here.others(reading.group)):
        return "others_not_read"
    if not reading.members:
        return "emptied"
    return "many_leavers" if limits.holds(len(leavers), active) else ""


# -- one person ------------------------------------------------------------------------------------------------------


def _staying(reading: Reading, member: Member, profiles: Mapping[int, Profile]) -> Iterator[Step]:
    account = (reading.members or {})[member.user_id]
    if member.profile is None or (member.left_at and account.enabled is False):
        return
    current = profiles[member.profile]
    if current.ending:
        # Nobody can take an end back: who is a member again comes anew once it is over.
        return
    values = changed(member, current, given_by(reading.group.entry))
    who = (reading.group, member.user_id, current.mailbox, member)
    if member.left_at:
        yield Step(StepKind.RETURNS, *who, values=values | changed(member, current, {"enabled": True}))
    elif values:
        yield Step(StepKind.CHANGES, *who, values=values)


def _gone(reading: Reading, member: Member, here: _Here, profiles: Mapping[int, Profile]) -> Iterator[Step]:
    if member.profile is None:
        yield Step(StepKind.FORGOTTEN, reading.group, member.user_id, "", member)
        return
    current = profiles[member.profile]
    who = (member.user_id, current.mailbox, member)
    for other in () if current.ending else here.others(reading.group):
        account = (other.members or {}).get(member.user_id)
        is_known = (other.group.id, member.user_id) in here.known
        if account and not is_known and not (member.left_at and account.enabled is False):
            wanted = {**given_by(other.group.entry), "enabled": True}
            yield Step(StepKind.MOVES, other.group, *who, changed(member, current, wanted))
            return
    if not member.left_at:
        values = {} if current.ending else changed(member, current, {"enabled": False})
        # A profile that a person switched on or off stays; of one that has never synced nothing is in Outlook.
        ends = ENDS.get(reading.group.entry.leavers, "") if values and current.has_synced else ""
        yield Step(StepKind.LEAVES, reading.group, *who, values, ends=ends)


def changed(member: Member, current: ProfileEntry | Profile, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a group may give a profile now: what it wants otherwise, where nobody changed what it gave."""
    return {
        column: value
        for column, value in wanted.items()
        if column in member.given
        and _plain(column, value)
        != _plain(column, member.given[column])
        == _plain(column, getattr(current, column))
    }


def _plain(column: str, value: Any) -> Any:
    """A filter means the same in any order of the fields of a group."""
    return in_file_order(value) if column == "filter" else value


def given_by(entry: GroupEntry) -> dict[str, Any]:
    """Return what a group gives all its profiles, by column, but that they are switched on."""
    names = {each.name for each in fields(GroupEntry)} - {"group_name", "company_name", "leavers"}
    return {each.name: getattr(entry, each.name) for each in fields(ProfileEntry) if each.name in names}


def profile_of(group: Group, account: Account, code: str) -> ProfileEntry:
    """Return the profile that somebody who joins a group gets."""
    entry = group.entry
    return ProfileEntry(account.principal_name, entry.company_name, salesperson_code=code, **given_by(entry))


def join(group: Group, account: Account, code: str) -> Step:
    """Return the step by which somebody joins."""
    entry = profile_of(group, account, code)
    given = {**given_by(group.entry), "enabled": True}
    return Step(StepKind.JOINS, group, account.id, entry.mailbox, values=given, entry=entry)


def count(steps: Iterable[Step]) -> dict[str, int]:
    """Return how many steps there are of each kind."""
    found: dict[str, int] = {}
    for step in steps:
        found[step.kind] = found.get(step.kind, 0) + 1
    return found
