"""What a person changes of a profile: its settings, and whether it is there (rules 1)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    delete,
    insert,
    or_,
    select,
    update,
)

from sync_lib.errors import ConfigError
from sync_lib.fields.filters import to_written
from sync_lib.store import tables as t
from sync_lib.store.bulk import among
from sync_lib.store.company_names import CompanyNames
from sync_lib.store.engine import transaction
from sync_lib.store.profiles import history as profile_history
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.history import TERMINAL, Author
from sync_lib.store.profiles.rows import Profile, entry_of, lock_profiles, of_mailbox, read_profile
from sync_lib.store.profiles.values import WrongValue


class ChangedMeanwhile(Exception):  # noqa: N818 - nobody did anything wrong
    """Somebody else changed the profile since it was shown; ``stored`` is what it says now."""

    def __init__(self, stored: ProfileEntry) -> None:
        super().__init__("the profile was changed meanwhile")
        self.stored = stored


def add_profile(conn: Connection, entry: ProfileEntry, *, by: Author) -> int:
    """Store a new profile and return its id.

    Raises:
        WrongValue: Its folder belongs to another profile of this mailbox.
    """
    lock_profiles(conn)
    neighbours = of_mailbox(conn, entry.mailbox)
    _refuse_twin(conn, entry, neighbours)
    refuse_taken_folder(entry, _synced(neighbours))
    return insert_profile(conn, entry, by)


def change_profile(
    conn: Connection, profile: Profile, entry: ProfileEntry, *, seen: ProfileEntry, by: Author
) -> None:
    """Give a profile other settings; a folder that was renamed here is renamed in Outlook by the next sync.

    Args:
        conn: Inside a transaction.
        profile: The profile; of one that has synced, mailbox, company and the choice of the default folder stay.
        entry: The settings.
        seen: What the person saw who changed them.
        by: That person, and the time.

    Raises:
        ChangedMeanwhile: It did not say ``seen`` any more.
        WrongValue: The folder's new name belongs to another profile of this mailbox.
    """
    lock_profiles(conn)
    stored = read_profile(conn, profile.id)
    before = entry_of(stored)
    if before != seen:
        raise ChangedMeanwhile(before)
    if entry != before:
        if _place(entry) != _place(before):
            if stored.has_synced and _place(entry)[:3] != _place(before)[:3]:
                raise ValueError("mailbox and company of a profile that has synced are fixed")
            others = [
                each for each in of_mailbox(conn, entry.mailbox, stored.graph_user_id) if each.id != stored.id
            ]
            _refuse_twin(conn, entry, others)
            refuse_taken_folder(entry, _synced(others))
        values = columns_of_entry(entry) | unbound(before, entry)
        if entry.folder_name == stored.folder_name:
            # Where a user renamed the folder since, a file may still name it as before.
            del values["folder_asked"]
        update_profile(conn, stored.id, values, by)
        profile_history.write_change(conn, stored.id, before, entry, by)


def change_many(
    conn: Connection, changes: Iterable[tuple[int, ProfileEntry, ProfileEntry]], *, by: Author
) -> None:
    """Give many profiles other settings: (id, before, after), none of which changes mailbox, company or folder.

    Args:
        conn: Inside the transaction that locked the profiles and read what they were before.
        changes: What to change.
        by: Who does, and the time: each profile's history says so.
    """
    told = list(changes)
    # Few settings have many values: the profiles that get the same ones are changed in one statement.
    alike: dict[str, list[int]] = {}
    for key, before, after in told:
        if _place(before) != _place(after):
            raise ValueError("mailbox, company and folder are not changed for many at once")
        was, becomes = columns_of_entry(before), columns_of_entry(after)
        changed = {name: value for name, value in becomes.items() if value != was[name]}
        alike.setdefault(json.dumps(changed, sort_keys=True), []).append(key)
    for text, keys in alike.items():
        same = update(t.sync_profile).where(among(conn, t.sync_profile.c.id, keys))
        conn.execute(same.values(**json.loads(text), updated_at=by.now))
    profile_history.write_changes(conn, told, by)


def correct_profile(engine: Engine, profile: int, *, mailbox: str = "", company: str = "", now: str) -> None:
    """Correct mailbox or company of a profile that has never synced; blank: as it is.

    Raises:
        ConfigError: There is no such profile, it has synced, or a value is wrong.
    """
    with transaction(engine) as conn:
        lock_profiles(conn)
        before = entry_of(_never_synced(conn, profile))
        try:
            wanted = replace(
                before,
                mailbox=profile_values.check("mailbox", mailbox or before.mailbox),
                company_name=profile_values.check("company_name", company or before.company_name),
            )
            stored = read_profile(conn, profile)
            change_profile(conn, stored, wanted, seen=before, by=Author(TERMINAL, now))
        except WrongValue as wrong:
            raise ConfigError(f"{before.mailbox}: {wrong}") from wrong


def remove_profile(conn: Connection, profile: int) -> None:
    """Remove a profile that has never synced, with what runs wrote down about it.

    Raises:
        ConfigError: There is no such profile, or it has synced.
    """
    lock_profiles(conn)
    _never_synced(conn, profile)
    plans = select(t.plan.c.id).where(t.plan.c.profile == profile)
    conn.execute(delete(t.hold).where(or_(t.hold.c.profile == profile, t.hold.c.plan.in_(plans))))
    conn.execute(delete(t.change).where(t.change.c.plan.in_(plans)))
    conn.execute(delete(t.cursor).where(t.cursor.c.side == "outlook", t.cursor.c.scope == str(profile)))
    # Whoever had it by a group gets no other one: somebody removed it.
    member = t.profile_group_member
    conn.execute(update(member).where(member.c.profile == profile).values(profile=None))
    for table in reversed(t.metadata.sorted_tables):
        for column in table.c:
            if any(key.column is t.sync_profile.c.id for key in column.foreign_keys):
                conn.execute(delete(table).where(column == profile))
    conn.execute(delete(t.sync_profile).where(t.sync_profile.c.id == profile))


def _never_synced(conn: Connection, profile: int) -> Profile:
    found = read_profile(conn, profile)
    if found.has_synced:
        raise ConfigError(
            f"{found.mailbox}: this profile has synced. Another mailbox or company makes another profile; "
            "switch this one off."
        )
    return found


def rename_folder(engine: Engine, profile: int, name: str, *, now: str) -> None:
    """Give a profile's folder another name; the next sync renames it in Outlook (rules 1).

    Raises:
        ConfigError: There is no such profile, it uses the default folder, or another profile of this mailbox has a
            folder of that name.
    """
    with transaction(engine) as conn:
        lock_profiles(conn)
        stored = read_profile(conn, profile)
        before = entry_of(stored)
        if stored.default_folder:
            raise ConfigError(f"{stored.mailbox}: the default folder Contacts cannot be renamed.")
        try:
            checked = profile_values.check("folder_name", name)
            wanted, by = replace(before, folder_name=checked), Author(TERMINAL, now)
            change_profile(conn, stored, wanted, seen=before, by=by)
        except WrongValue as wrong:
            raise ConfigError(f"{stored.mailbox}: {wrong}") from wrong


def _place(entry: ProfileEntry) -> tuple[str, str, bool, str]:
    return entry.mailbox, entry.company_name, entry.default_folder, entry.folder_name


def _synced(found: Iterable[Profile]) -> list[Profile]:
    """A profile that has never synced reserves no folder (rules 1)."""
    return [each for each in found if each.has_synced]


def _refuse_twin(conn: Connection, entry: ProfileEntry, neighbours: Iterable[Profile]) -> None:
    """Refuse what is another profile already, synced or not, whatever that calls its company."""
    names = CompanyNames.read(conn)

    def named(each: ProfileEntry) -> tuple[str, ...]:
        # The own Contacts folder has a name too, which no other row of the table may have.
        company = names.id_of(each.company_name) or each.company_name
        return replace(each, default_folder=False, company_name=company).identity

    if any(named(entry_of(each)) == named(entry) for each in neighbours):
        if entry.default_folder:
            raise WrongValue("another profile syncs the own Contacts folder of this mailbox already.")
        raise WrongValue("another profile has this mailbox, company and folder: choose another name.")


def refuse_taken_folder(entry: ProfileEntry, neighbours: Iterable[Profile | ProfileEntry]) -> None:
    """Refuse a folder that another profile of the mailbox has, of whatever company (rules 1)."""
    for other in neighbours:
        if entry.default_folder and other.default_folder:
            raise WrongValue("another profile syncs the own Contacts folder of this mailbox already.")
        if other.folder_name.casefold() == entry.folder_name.casefold():
            raise WrongValue(
                "another profile of this mailbox, for the company %(company)s, has the folder %(name)r: "
                "choose another name.",
                company=other.company_name,
                name=other.folder_name,
            )


def columns_of_entry(entry: ProfileEntry) -> dict[str, Any]:
    values = {each.name: getattr(entry, each.name) for each in fields(ProfileEntry)}
    filter_ = json.dumps(to_written(entry.filter), ensure_ascii=False)
    categories = json.dumps(entry.categories, ensure_ascii=False)
    own = {"mailbox_key": entry.mailbox.casefold(), "filter": filter_, "categories": categories}
    return values | own | {"folder_asked": entry.folder_name}


_INSERT = insert(t.sync_profile).returning(t.sync_profile.c.id)


def insert_profile(conn: Connection, entry: ProfileEntry, by: Author) -> int:
    values = columns_of_entry(entry) | {"created_at": by.now, "updated_at": by.now}
    added = conn.execute(_INSERT, values).scalar_one()
    profile_history.write_change(conn, added, None, entry, by)
    return int(added)


def update_profile(conn: Connection, profile: int, values: dict[str, Any], by: Author) -> None:
    statement = update(t.sync_profile).where(t.sync_profile.c.id == profile)
    conn.execute(statement.values(values | {"updated_at": by.now}))


def unbound(before: ProfileEntry, after: ProfileEntry) -> dict[str, Any]:
    """A company that was corrected has to be found anew."""
    return {} if before.company_name == after.company_name else {"company": None}
