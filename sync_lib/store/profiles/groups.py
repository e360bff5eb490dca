"""Groups of Entra ID whose members get profiles, those members, and the defaults of the file of profiles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from sync_lib.errors import ConfigError
from sync_lib.fields.filters import from_written, to_written
from sync_lib.store import tables as t
from sync_lib.store.company_names import CompanyNames
from sync_lib.store.profiles import file as profile_file
from sync_lib.store.profiles.file import GroupEntry


@dataclass(frozen=True, slots=True)
class Group:
    """A row of ``profile_group``.

    Attributes:
        entry: What a person wrote.
        group_id: The group of Entra ID that it was found to be, "" until then.
        looked_at: When it was last looked at, "" for never.
        members: How many members it had then.
        waiting: How many leavers waited for a person then.
        trouble: Why nothing, or not everything, was changed then, as a code.
    """

    id: int
    entry: GroupEntry
    group_id: str = ""
    looked_at: str = ""
    members: int | None = None
    waiting: int = 0
    trouble: str = ""

    @property
    def label(self) -> str:
        """What people call it in a line: the group and the company."""
        return f"{self.entry.group_name} -> {self.entry.company_name}"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a group came to; ``group_id`` and ``members`` where they could be read."""

    at: str
    trouble: str = ""
    group_id: str = ""
    members: int | None = None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A row of ``profile_group_member``: somebody who has, or had, a profile by a group.

    Attributes:
        group: The group.
        user_id: The account.
        profile: The profile, None where a person removed it.
        given: What the group gave it last, by column.
        left_at: When the account was no member any more, "" while it is one.
    """

    group: int
    user_id: str
    profile: int | None
    given: Mapping[str, Any] = field(default_factory=dict)
    left_at: str = ""


_COLUMNS = tuple(t.profile_group.c[each.name] for each in fields(GroupEntry))


# -- groups ----------------------------------------------------------------------------------------------------------


def read_groups(conn: Connection) -> list[Group]:
    """Return the groups in the order in which they were added."""
    c = t.profile_group.c
    wanted = select(c.id, c.group_id, c.looked_at, c.members, c.waiting, c.trouble, *_COLUMNS).order_by(c.id)
    found = []
    for row in conn.execute(wanted):
        values = row._asdict()
        filter_ = from_written(json.loads(values["filter"]))
        stored = {each.name: values[each.name] for each in fields(GroupEntry)}
        categories = tuple(json.loads(values["categories"]))
        entry = GroupEntry(**stored | {"filter": filter_, "categories": categories})
        looked = (row.looked_at or "", row.members, row.waiting, row.trouble)
        found.append(Group(row.id, entry, row.group_id, *looked))
    return found


def write_groups(conn: Connection, entries: Sequence[GroupEntry], *, now: str) -> tuple[int, int, int]:
    """Store the groups of a file; return how many were added, changed and left as they were."""
    known, names = read_groups(conn), CompanyNames.read(conn)
    added = changed = unchanged = 0
    for entry in entries:
        before = _find(known, entry, names)
        if before is None:
            values = _columns(entry) | {"created_at": now, "updated_at": now}
            conn.execute(insert(t.profile_group).values(values))
            added += 1
        elif _columns(before.entry) == _columns(entry):
            unchanged += 1
        else:
            found_anew = {} if before.entry.group_name == entry.group_name else {"group_id": ""}
            values = _columns(entry) | found_anew | {"updated_at": now}
            conn.execute(update(t.profile_group).where(t.profile_group.c.id == before.id).values(values))
            changed += 1
    return added, changed, unchanged


def _find(known: Sequence[Group], entry: GroupEntry, names: CompanyNames) -> Group | None:
    """Return the group that a row means: a company may be called by its name, a former one, or its id."""
    same = [each for each in known if each.entry.group_name.casefold() == entry.group_name.casefold()]
    company = names.id_of(entry.company_name)
    return next(
        (
            each
            for each in same
            if each.entry.identity == entry.identity
            or (company and names.id_of(each.entry.company_name) == company)
        ),
        None,
    )


def _columns(entry: GroupEntry) -> dict[str, Any]:
    values = {each.name: getattr(entry, each.name) for each in fields(GroupEntry)}
    filter_ = to_written(profile_file.in_file_order(entry.filter))
    written = {"filter": filter_, "categories": entry.categories}
    return values | {name: json.dumps(value, ensure_ascii=False) for name, value in written.items()}


def remove_group(conn: Connection, group: int) -> str:
    """Forget a group and who had a profile by it; the profiles stay as they are. Return its name.

    Raises:
        ConfigError: There is no such group.
    """
    found = next((each for each in read_groups(conn) if each.id == group), None)
    if found is None:
        raise ConfigError(f"There is no group {group}. List them: contact-sync groups list.")
    conn.execute(delete(t.profile_group_member).where(t.profile_group_member.c.profile_group == group))
    conn.execute(delete(t.profile_group).where(t.profile_group.c.id == group))
    return found.label


def write_look(conn: Connection, group: int, look: Look) -> None:
    """Store what a look at a group came to; what could not be read stays as it was known."""
    read = {"group_id": look.group_id} if look.group_id else {}
    counted = {} if look.members is None else {"members": look.members}
    values = {"looked_at": look.at, "trouble": look.trouble, "waiting": look.waiting, **read, **counted}
    conn.execute(update(t.profile_group).where(t.profile_group.c.id == group).values(values))


# -- members ---------------------------------------------------------------------------------------------------------


_MEMBER = t.profile_group_member.c
_MEMBERS = select(
    _MEMBER.profile_group, _MEMBER.user_id, _MEMBER.profile, _MEMBER.given, _MEMBER.left_at
).order_by(_MEMBER.joined_at, _MEMBER.profile.nulls_last(), _MEMBER.user_id)


def read_members(conn: Connection) -> list[Member]:
    """Return everybody who has, or had, a profile by a group, in the order in which they came."""
    return [_member(row) for row in conn.execute(_MEMBERS)]


def find_member(conn: Connection, group: int, user_id: str) -> Member | None:
    """Return what is known of somebody as a member of a group, or None."""
    same = (_MEMBER.profile_group == group, _MEMBER.user_id == user_id)
    row = conn.execute(_MEMBERS.where(*same)).first()
    return _member(row) if row else None


def _member(row: Any) -> Member:
    given = as_values(json.loads(row.given))
    return Member(row.profile_group, row.user_id, row.profile, given, row.left_at or "")


def write_member(conn: Connection, member: Member, *, now: str) -> None:
    """Store somebody who has a profile by a group, whatever was known of them before."""
    c = t.profile_group_member.c
    values = {
        "profile": member.profile,
        "given": json.dumps(_as_written(member.given), ensure_ascii=False, sort_keys=True),
        "left_at": member.left_at or None,
    }
    key = {"profile_group": member.group, "user_id": member.user_id}
    same = (c.profile_group == member.group, c.user_id == member.user_id)
    if not conn.execute(update(t.profile_group_member).where(*same).values(values)).rowcount:
        conn.execute(insert(t.profile_group_member).values(key | values | {"joined_at": now}))


def forget_member(conn: Connection, member: Member) -> None:
    """Forget somebody as a member of a group; the profile stays."""
    c = t.profile_group_member.c
    same = (c.profile_group == member.group, c.user_id == member.user_id)
    conn.execute(delete(t.profile_group_member).where(*same))


def as_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that were JSON as a profile has them: a filter is made of groups of pairs."""
    values = dict(given)
    if "categories" in values:
        values["categories"] = tuple(values["categories"])
    if "filter" in values:
        values["filter"] = from_written(values["filter"])
    return values


def _as_written(given: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(given)
    if "filter" in values:
        values["filter"] = to_written(values["filter"])
    return values


# -- defaults --------------------------------------------------------------------------------------------------------


def read_defaults(conn: Connection) -> dict[str, Any] | None:
    """Return what rows of the file have that do not say otherwise, or None where no file said anything of it."""
    c = t.profile_default.c
    found = {row.setting: json.loads(row.value) for row in conn.execute(select(c.setting, c.value))}
    # In the order of the file's keys, whatever order the database has.
    ordered = {column: found[column] for column in _SETTINGS if column in found}
    return as_values(ordered) if found else None


def write_defaults(conn: Connection, defaults: Mapping[str, Any]) -> None:
    """Store the defaults of a file in place of those before."""
    conn.execute(delete(t.profile_default))
    for setting, value in _as_written(defaults).items():
        text = json.dumps(value, ensure_ascii=False)
        conn.execute(insert(t.profile_default).values(setting=setting, value=text))


_SETTINGS = (*profile_file.NAMES.values(), *profile_file.POLICY_NAMES.values())


def stored_entries(conn: Connection) -> tuple[GroupEntry, ...]:
    """Return the groups as a file has them."""
    return tuple(
        replace(each.entry, filter=profile_file.in_file_order(each.entry.filter))
        for each in read_groups(conn)
    )
