"""Sync profiles in the staging database: a mailbox, a company, a folder, and how to sync them (rules 1).

The YAML format of import and export is described in ``profile_file``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from sync_lib.errors import ConfigError, ProfileError
from sync_lib.fields.filters import Groups, from_written
from sync_lib.store import tables as t
from sync_lib.store.bulk import among
from sync_lib.store.engine import is_postgresql
from sync_lib.store.profiles.file import ProfileEntry

#: What a person may answer about a second folder.
GO_BACK, LEAVE = "go_back", "leave"


@dataclass(frozen=True, slots=True)
class Profile:
    """A row of ``sync_profile``.

    Attributes:
        company_name: What a person wrote: name or id of the company.
        company: Key of the company that it was found to be, or None until then.
        filter: Groups, one of which must hold, of (BC field, expression) pairs, all of which must hold.
        categories: Templates of what its items are categorised by in Outlook.
        graph_user_id: The mailbox's user, once it synced.
        folder_id: The folder that it is bound to.
        folder_seen: The folder's name when it was last seen.
        marker_counter: What was last committed for the folder's marker (rules 2.8).
        successor: Another account that has the mailbox's address now, or "".
        second_folder: A folder with this profile's marker beside the bound one, or "".
        second_answer: What a person said about it: ``go_back``, ``leave`` or "".
        leaving_folder: A folder that was left and still has our marker and keys, or "".
        restored_by: Why the next run takes each difference for a conflict and holds its plan, or "" (rules 2.8).
        looked_at: The folder whose first look is remembered (rules 8.3).
        ending: How a person wants it ended, or how it was: ``keep``, ``remove``; "" for one that goes on.
        ending_at: When they said so, by the staging database's clock.
        ending_began: From then on nothing is synced any more, and what is ours is taken off.
        ended_at: When it had ended.
    """

    id: int
    mailbox: str
    company_name: str
    company: int | None
    enabled: bool
    folder_name: str
    default_folder: bool
    filter: Groups
    direction: str
    salesperson_code: str
    language: str
    deleted_in_outlook: str
    deleted_in_bc: str
    left_scope: str
    blank_in_bc: str
    categories: tuple[str, ...]
    graph_user_id: str | None
    folder_id: str | None
    folder_seen: str
    folder_made_by_sync: bool
    marker_counter: int
    successor: str = ""
    second_folder: str = ""
    second_answer: str = ""
    leaving_folder: str = ""
    restored_by: str = ""
    looked_at: str = ""
    ending: str = ""
    ending_at: str | None = None
    ending_began: str | None = None
    ended_at: str | None = None

    @property
    def key(self) -> str:
        """The profile's name in lists of tasks."""
        return str(self.id)

    @property
    def has_synced(self) -> bool:
        """Whether a run has ever opened its folder: before, its mailbox and company may be corrected (rules 1)."""
        return self.graph_user_id is not None or self.folder_id is not None


_COLUMNS = tuple(t.sync_profile.c[each.name] for each in fields(Profile))

_EVERY = select(*_COLUMNS).order_by(t.sync_profile.c.id)

#: What has ended is no profile any more, but for its history and its ids (rules 1).
_ALL = _EVERY.where(t.sync_profile.c.ended_at.is_(None))

#: One that is to end has its turn, also where it is switched off.
_ENABLED = _ALL.where(or_(t.sync_profile.c.enabled, t.sync_profile.c.ending != ""))

_ENDED = _EVERY.where(t.sync_profile.c.ended_at.is_not(None))

_ONE = select(*_COLUMNS).where(t.sync_profile.c.id == bindparam("profile"))

#: By an index of their own each: joined by OR, a database may read them all.
_OF_ADDRESS = _ALL.where(t.sync_profile.c.mailbox_key == bindparam("address"))
_OF_USER = _ALL.where(t.sync_profile.c.graph_user_id == bindparam("user"))

_CHANGE = update(t.sync_profile).where(t.sync_profile.c.id == bindparam("of_profile"))

_OTHERS_OF_USER = (
    t.sync_profile.c.graph_user_id == bindparam("user"),
    t.sync_profile.c.id != bindparam("profile"),
)
_TAKEN_FOLDERS = select(t.sync_profile.c.folder_id).where(
    *_OTHERS_OF_USER, t.sync_profile.c.folder_id.is_not(None)
)
_LEFT_FOLDERS = (
    select(t.former_folder.c.folder_id)
    .join(t.sync_profile, t.sync_profile.c.id == t.former_folder.c.profile)
    .where(*_OTHERS_OF_USER)
)
_OWN_FORMER = (
    select(t.former_folder.c.folder_id)
    .where(t.former_folder.c.profile == bindparam("profile"))
    .order_by(t.former_folder.c.until.desc())
)
#: What a sync finds out about a profile, and may write to it.
_BOUND = frozenset(
    (
        "company",
        "graph_user_id",
        "folder_id",
        "folder_name",
        "folder_seen",
        "folder_made_by_sync",
        "marker_counter",
        "successor",
        "second_folder",
        "second_answer",
        "leaving_folder",
        "restored_by",
        "looked_at",
    )
)


def read_profiles(
    conn: Connection, *, enabled_only: bool = True, keys: Collection[str] | None = None
) -> list[Profile]:
    """Return the profiles in the order in which they were added, all or those with these keys; none that has ended.

    One that is to end counts as enabled until it has.
    """
    profiles = [_profile(row) for row in conn.execute(_ENABLED if enabled_only else _ALL)]
    return profiles if keys is None else [profile for profile in profiles if profile.key in keys]


def read_enabled_ids(conn: Connection) -> list[int]:
    """Return the ids of the enabled profiles: those that a run is about which chooses none."""
    return list(conn.scalars(_ENABLED.with_only_columns(t.sync_profile.c.id)))


def read_ended(conn: Connection) -> list[Profile]:
    """Return the profiles that have ended."""
    return [_profile(row) for row in conn.execute(_ENDED)]


def read_profile(conn: Connection, profile: int) -> Profile:
    """Return one profile, also one that has ended.

    Raises:
        ConfigError: It does not exist (any more).
    """
    found = find_profile(conn, profile)
    if found is None:
        raise ConfigError(f"There is no profile {profile}. List them: contact-sync profiles list.")
    return found


def find_profile(conn: Connection, profile: int) -> Profile | None:
    """Return one profile, or None."""
    row = conn.execute(_ONE, {"profile": profile}).first()
    return _profile(row) if row else None


def read_chosen(conn: Connection, ids: Collection[int]) -> list[Profile]:
    """Return the profiles with these ids, in the order in which they were added; none that has ended."""
    wanted = _ALL.where(among(conn, t.sync_profile.c.id, list(ids)))
    return [_profile(row) for row in conn.execute(wanted)]


def read_own(conn: Connection, user_id: str, address: str) -> list[Profile]:
    """Return the profiles of an account, in the order in which they were added; none that has ended.

    By the account's id, whatever its address is; a profile that has not learned that yet by today's address.
    """
    c = t.sync_profile.c
    is_bound = and_(c.graph_user_id.is_not(None), func.lower(c.graph_user_id) == user_id.lower())
    is_named = and_(
        c.graph_user_id.is_(None), func.lower(c.mailbox) == address.lower(), literal(address) != ""
    )
    return [_profile(row) for row in conn.execute(_ALL.where(or_(is_bound, is_named)))]


def read_company_names(conn: Connection) -> list[str]:
    """Return the companies that profiles have, each once, as people wrote them."""
    names = conn.scalars(
        select(t.sync_profile.c.company_name).distinct().order_by(t.sync_profile.c.company_name)
    )
    return list({name.casefold(): name for name in names}.values())


def _profile(row: Row[Any]) -> Profile:
    values = row._asdict()
    filter_, categories = from_written(json.loads(values["filter"])), tuple(json.loads(values["categories"]))
    return Profile(**values | {"filter": filter_, "categories": categories})


def bind_profile(conn: Connection, profile: int, **values: Any) -> None:
    """Store what a sync found out about a profile: its company, user, folder and marker.

    Raises:
        ProfileError: The folder, or its name, belongs to another profile.
    """
    if not values.keys() <= _BOUND:
        raise ValueError(f"a sync may not change {sorted(values.keys() - _BOUND)} of a profile")
    try:
        conn.execute(_CHANGE, {"of_profile": profile, **values})
    except IntegrityError as error:
        raise ProfileError(
            "folder_taken",
            "The folder belongs to another profile, or another profile of this mailbox has its name.",
            remedy="Choose another folder name in one of the two profiles.",
        ) from error
    if values.get("company") is not None:
        _pass_on_regions(conn)


def rename_followed(conn: Connection, names: Mapping[int, str]) -> None:
    """Store the names that users gave to folders, of several profiles at once: they may have been swapped."""
    c = t.sync_profile.c
    if len(names) > 1:
        # No two profiles may have one name in between either.
        held = literal("/") + cast(c.id, Text)
        conn.execute(update(t.sync_profile).where(c.id.in_(names)).values(folder_name=held))
    for key, name in names.items():
        conn.execute(update(t.sync_profile).where(c.id == key).values(folder_name=name, folder_seen=name))


def follow_mailbox(conn: Connection, profile: Profile, address: str, *, now: str) -> None:
    """Give a profile the address that its mailbox has today; files may go on naming the former one (rules 1)."""
    c = t.sync_profile.c
    same = (c.company_name == profile.company_name, c.folder_name == profile.folder_name, c.id != profile.id)
    if conn.scalar(select(c.id).where(c.mailbox == address, *same)) is not None:
        return
    _write_former(conn, t.former_mailbox, now, profile=profile.id, mailbox=profile.mailbox)
    followed = update(t.sync_profile).where(c.id == profile.id)
    conn.execute(followed.values(mailbox=address, mailbox_key=address.casefold()))


def follow_company_name(conn: Connection, company: int, before: str, name: str, *, now: str) -> None:
    """Give a company, and the profiles that name it, the name that it has today (rules 1)."""
    _write_former(conn, t.former_company_name, now, company=company, name=before)
    conn.execute(update(t.company).where(t.company.c.id == company).values(name=name))
    c = t.sync_profile.c
    twins = {
        (row[0], row[1])
        for row in conn.execute(select(c.mailbox, c.folder_name).where(c.company_name == name))
    }
    for profile in read_profiles(conn, enabled_only=False):
        is_named = profile.company == company and profile.company_name.casefold() == before.casefold()
        if is_named and (profile.mailbox, profile.folder_name) not in twins:
            conn.execute(update(t.sync_profile).where(c.id == profile.id).values(company_name=name))
    g = t.profile_group
    for row in conn.execute(select(g.c.id, g.c.group_name, g.c.company_name)).all():
        taken = select(g.c.id).where(g.c.group_name == row.group_name, g.c.company_name == name)
        if row.company_name.casefold() == before.casefold() and conn.scalar(taken) is None:
            conn.execute(update(g).where(g.c.id == row.id).values(company_name=name))
    regions = {each.casefold(): each for each in read_regions(conn)}
    if before.casefold() in regions and name.casefold() not in regions:
        known = t.company_setting.c.company_name == regions[before.casefold()]
        conn.execute(update(t.company_setting).where(known).values(company_name=name))


def read_former_mailboxes(conn: Connection) -> dict[int, set[str]]:
    """Return what mailboxes were called before, by profile, in lower case."""
    c, found = t.former_mailbox.c, dict[int, set[str]]()
    for row in conn.execute(select(c.profile, c.mailbox)):
        found.setdefault(row.profile, set()).add(row.mailbox.casefold())
    return found


def _write_former(conn: Connection, table: Table, now: str, **values: Any) -> None:
    conn.execute(delete(table).where(*(table.c[name] == value for name, value in values.items())))
    conn.execute(insert(table).values(until=now, **values))


def write_former_folder(conn: Connection, profile: int, folder: str, *, now: str) -> None:
    """Remember a folder that a profile was bound to until now: should it come back, it is this profile's (rules 1)."""
    _write_former(conn, t.former_folder, now, profile=profile, folder_id=folder)


def forget_former_folder(conn: Connection, profile: int, folder: str) -> None:
    """Forget a folder that has neither marker nor keys any more."""
    c = t.former_folder.c
    conn.execute(delete(t.former_folder).where(c.profile == profile, c.folder_id == folder))


def read_former_folders(conn: Connection, profile: int) -> list[str]:
    """Return the folders that a profile was bound to before, the last one first."""
    return list(conn.scalars(_OWN_FORMER, {"profile": profile}))


def read_taken_folders(conn: Connection, profile: int, user: str) -> frozenset[str]:
    """Return the ids of the folders of a mailbox's user that other profiles are bound to."""
    return frozenset(conn.scalars(_TAKEN_FOLDERS, {"profile": profile, "user": user}))


def read_left_folders(conn: Connection, profile: int, user: str) -> frozenset[str]:
    """Return the ids of the folders of a mailbox's user that other profiles were bound to before."""
    return frozenset(conn.scalars(_LEFT_FOLDERS, {"profile": profile, "user": user}))


def read_neighbours(conn: Connection, profile: Profile) -> list[Profile]:
    """Return the other profiles of the same mailbox, whatever it is called."""
    found = of_mailbox(conn, profile.mailbox, profile.graph_user_id)
    return [each for each in found if each.id != profile.id]


def of_mailbox(conn: Connection, mailbox: str, user: str | None = None) -> list[Profile]:
    """Return the profiles of a mailbox in the order in which they were added, found by its address or its user."""
    found = {
        each.id: each for each in map(_profile, conn.execute(_OF_ADDRESS, {"address": mailbox.casefold()}))
    }
    if user is not None:
        found |= {each.id: each for each in map(_profile, conn.execute(_OF_USER, {"user": user}))}
    return [found[key] for key in sorted(found)]


def entry_of(profile: Profile) -> ProfileEntry:
    """Return the settings of a profile, without what a sync found out about it."""
    return ProfileEntry(**{each.name: getattr(profile, each.name) for each in fields(ProfileEntry)})


def lock_profiles(conn: Connection) -> None:
    """Let nobody else add or rename a profile until the transaction ends; SQLite has one writer anyway."""
    if is_postgresql(conn):
        conn.execute(text("LOCK TABLE sync_profile IN SHARE ROW EXCLUSIVE MODE"))


def write_phone_region(conn: Connection, company_name: str, region: str) -> None:
    """Set the phone region of a company, by the name that profiles know it by."""
    names = {name.casefold(): name for name in conn.scalars(select(t.company_setting.c.company_name))}
    known = names.get(company_name.casefold())
    if known is None:
        conn.execute(insert(t.company_setting).values(company_name=company_name, phone_region=region))
    else:
        same = t.company_setting.c.company_name == known
        conn.execute(update(t.company_setting).where(same).values(phone_region=region))
    _pass_on_regions(conn)


def _pass_on_regions(conn: Connection) -> None:
    """Give each resolved company the region that was set for the name by which a profile found it."""
    regions = {name.casefold(): region for name, region in read_regions(conn).items()}
    c = t.sync_profile.c
    for name, company in conn.execute(
        select(c.company_name, c.company).where(c.company.is_not(None)).distinct()
    ):
        if region := regions.get(name.casefold()):
            stale = (t.company.c.id == company) & (t.company.c.phone_region != region)
            conn.execute(update(t.company).where(stale).values(phone_region=region))


def read_regions(conn: Connection) -> dict[str, str]:
    found = conn.execute(select(t.company_setting.c.company_name, t.company_setting.c.phone_region))
    return {row[0]: row[1] for row in found}
