"""Sync profiles in the staging database: a mailbox, a company, a folder, and how to sync them (rules 1).

The YAML format of import and export is described in ``profile_file``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from sync_lib.errors import ConfigError, ProfileError
from sync_lib.store import profile_changes, profile_file, profile_values
from sync_lib.store import tables as t
from sync_lib.store.engine import is_postgresql, read, transaction
from sync_lib.store.profile_changes import TERMINAL, Author
from sync_lib.store.profile_file import Pairs, ProfileEntry, ProfileFile
from sync_lib.store.profile_values import WrongValue


@dataclass(frozen=True, slots=True)
class Profile:
    """A row of ``sync_profile``.

    Attributes:
        company_name: What a person wrote: name or id of the company.
        company: Key of the company that it was found to be, or None until then.
        filter: (BC field, expression) pairs, all of which must hold.
        graph_user_id: The mailbox's user, once it synced.
        folder_id: The folder that it is bound to.
        folder_seen: The folder's name when it was last seen.
        marker_counter: What was last committed for the folder's marker (rules 2.8).
        successor: Another account that has the mailbox's address now, or "".
        second_folder: A folder with this profile's marker beside the bound one, or "".
        second_answer: What a person said about it: ``go_back``, ``leave`` or "".
        leaving_folder: A folder that was left and still has our marker and keys, or "".
        restored_by: Why the next run takes each difference for a conflict and holds its plan, or "" (rules 2.8).
    """

    id: int
    mailbox: str
    company_name: str
    company: int | None
    enabled: bool
    folder_name: str
    default_folder: bool
    filter: Pairs
    direction: str
    salesperson_code: str
    language: str
    deleted_in_outlook: str
    deleted_in_bc: str
    left_scope: str
    blank_in_bc: str
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

    @property
    def key(self) -> str:
        """The profile's name in lists of tasks."""
        return str(self.id)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, by ids of profiles; profiles that the file does not name are in none of these."""

    added: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        counts = (len(self.added), len(self.changed), len(self.unchanged))
        return "Profiles: {} added, {} changed, {} as they were.".format(*counts)


_COLUMNS = tuple(t.sync_profile.c[each.name] for each in fields(Profile))
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
    )
)


def read_profiles(
    conn: Connection, *, enabled_only: bool = True, keys: Collection[str] | None = None
) -> list[Profile]:
    """Return the profiles in the order in which they were added, all or those with these keys."""
    wanted = _select().order_by(t.sync_profile.c.id)
    if enabled_only:
        wanted = wanted.where(t.sync_profile.c.enabled)
    profiles = [_profile(row) for row in conn.execute(wanted)]
    return profiles if keys is None else [profile for profile in profiles if profile.key in keys]


def read_profile(conn: Connection, profile: int) -> Profile:
    """Return one profile.

    Raises:
        ConfigError: It does not exist (any more).
    """
    found = find_profile(conn, profile)
    if found is None:
        raise ConfigError(f"There is no profile {profile}. List them: contact-sync profiles list.")
    return found


def find_profile(conn: Connection, profile: int) -> Profile | None:
    """Return one profile, or None."""
    row = conn.execute(_select().where(t.sync_profile.c.id == profile)).first()
    return _profile(row) if row else None


def read_company_names(conn: Connection) -> list[str]:
    """Return the companies that profiles have, each once, as people wrote them."""
    names = conn.scalars(
        select(t.sync_profile.c.company_name).distinct().order_by(t.sync_profile.c.company_name)
    )
    return list({name.casefold(): name for name in names}.values())


def _select() -> Select[Any]:
    return select(*_COLUMNS)


def _profile(row: Row[Any]) -> Profile:
    values = row._asdict()
    return Profile(**values | {"filter": tuple((name, each) for name, each in json.loads(values["filter"]))})


def bind_profile(conn: Connection, profile: int, **values: Any) -> None:
    """Store what a sync found out about a profile: its company, user, folder and marker.

    Raises:
        ProfileError: The folder, or its name, belongs to another profile.
    """
    if not values.keys() <= _BOUND:
        raise ValueError(f"a sync may not change {sorted(values.keys() - _BOUND)} of a profile")
    try:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == profile).values(values))
    except IntegrityError as error:
        raise ProfileError(
            "folder_taken",
            "The folder belongs to another profile, or another profile of this mailbox has its name.",
            remedy="Choose another folder name in one of the two profiles.",
        ) from error
    if values.get("company") is not None:
        _pass_on_regions(conn)


def read_taken_folders(conn: Connection, profile: int) -> frozenset[str]:
    """Return the ids of the folders that other profiles are bound to."""
    c = t.sync_profile.c
    return frozenset(conn.scalars(select(c.folder_id).where(c.id != profile, c.folder_id.is_not(None))))


def read_neighbours(conn: Connection, profile: Profile) -> list[Profile]:
    """Return the other profiles of the same mailbox, whatever it is called."""
    found = _of_mailbox(conn, profile.mailbox, profile.graph_user_id)
    return [each for each in found if each.id != profile.id]


def _of_mailbox(conn: Connection, mailbox: str, user: str | None = None) -> list[Profile]:
    return [
        each
        for each in read_profiles(conn, enabled_only=False)
        if each.mailbox.casefold() == mailbox.casefold() or (user is not None and each.graph_user_id == user)
    ]


# -- what a person changes -------------------------------------------------------------------------------------------


class ChangedMeanwhile(Exception):  # noqa: N818 - nobody did anything wrong
    """Somebody else changed the profile since it was shown; ``stored`` is what it says now."""

    def __init__(self, stored: ProfileEntry) -> None:
        super().__init__("the profile was changed meanwhile")
        self.stored = stored


def entry_of(profile: Profile) -> ProfileEntry:
    """Return the settings of a profile, without what a sync found out about it."""
    return ProfileEntry(**{each.name: getattr(profile, each.name) for each in fields(ProfileEntry)})


def add_profile(conn: Connection, entry: ProfileEntry, *, by: Author) -> int:
    """Store a new profile and return its id.

    Raises:
        WrongValue: Its folder belongs to another profile of this mailbox.
    """
    _lock_profiles(conn)
    _refuse_taken_folder(entry, _of_mailbox(conn, entry.mailbox))
    return _insert(conn, entry, by)


def change_profile(
    conn: Connection, profile: Profile, entry: ProfileEntry, *, seen: ProfileEntry, by: Author
) -> None:
    """Give a profile other settings; a folder that was renamed here is renamed in Outlook by the next sync.

    Args:
        conn: Inside a transaction.
        profile: The profile; mailbox, company and the choice of the default folder stay as they are.
        entry: The settings.
        seen: What the person saw who changed them.
        by: That person, and the time.

    Raises:
        ChangedMeanwhile: It did not say ``seen`` any more.
        WrongValue: The folder's new name belongs to another profile of this mailbox.
    """
    _lock_profiles(conn)
    stored = read_profile(conn, profile.id)
    before = entry_of(stored)
    if before != seen:
        raise ChangedMeanwhile(before)
    if entry != before:
        if entry.folder_name != before.folder_name:
            _refuse_taken_folder(entry, read_neighbours(conn, stored))
        values = _columns(entry)
        if entry.folder_name == stored.folder_name:
            # Where a user renamed the folder since, a file may still name it as before.
            del values["folder_asked"]
        _update(conn, stored.id, values, by)
        profile_changes.write_change(conn, stored.id, before, entry, by)


def rename_folder(engine: Engine, profile: int, name: str, *, now: str) -> None:
    """Give a profile's folder another name; the next sync renames it in Outlook (rules 1).

    Raises:
        ConfigError: There is no such profile, it uses the default folder, or another profile of this mailbox has a
            folder of that name.
    """
    with transaction(engine) as conn:
        _lock_profiles(conn)
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


def _lock_profiles(conn: Connection) -> None:
    """Let nobody else add or rename a profile until the transaction ends; SQLite has one writer anyway."""
    if is_postgresql(conn):
        conn.execute(text("LOCK TABLE sync_profile IN SHARE ROW EXCLUSIVE MODE"))


def _refuse_taken_folder(entry: ProfileEntry, neighbours: Iterable[Profile | ProfileEntry]) -> None:
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


def _columns(entry: ProfileEntry) -> dict[str, Any]:
    values = {each.name: getattr(entry, each.name) for each in fields(ProfileEntry)}
    filter_ = json.dumps(entry.filter, ensure_ascii=False)
    return values | {"filter": filter_, "folder_asked": entry.folder_name}


def _insert(conn: Connection, entry: ProfileEntry, by: Author) -> int:
    values = _columns(entry) | {"created_at": by.now, "updated_at": by.now}
    added = conn.execute(insert(t.sync_profile).values(values).returning(t.sync_profile.c.id)).scalar_one()
    profile_changes.write_change(conn, added, None, entry, by)
    return int(added)


def _update(conn: Connection, profile: int, values: dict[str, Any], by: Author) -> None:
    statement = update(t.sync_profile).where(t.sync_profile.c.id == profile)
    conn.execute(statement.values(values | {"updated_at": by.now}))


# -- regions ---------------------------------------------------------------------------------------------------------


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
    regions = {name.casefold(): region for name, region in _regions(conn).items()}
    c = t.sync_profile.c
    for name, company in conn.execute(
        select(c.company_name, c.company).where(c.company.is_not(None)).distinct()
    ):
        if region := regions.get(name.casefold()):
            stale = (t.company.c.id == company) & (t.company.c.phone_region != region)
            conn.execute(update(t.company).where(stale).values(phone_region=region))


def _regions(conn: Connection) -> dict[str, str]:
    found = conn.execute(select(t.company_setting.c.company_name, t.company_setting.c.phone_region))
    return {row[0]: row[1] for row in found}


# -- the file --------------------------------------------------------------------------------------------------------


def export_profiles(engine: Engine) -> str:
    """Return all profiles as the text of a file; importing it changes nothing."""
    with read(engine) as conn:
        profiles = read_profiles(conn, enabled_only=False)
        regions = _regions(conn)
    return profile_file.dump(ProfileFile(tuple(_entry(profile) for profile in profiles), regions))


def _entry(profile: Profile) -> ProfileEntry:
    """The settings as a file has them: the expressions of one field together."""
    return replace(entry_of(profile), filter=profile_file.in_file_order(profile.filter))


def import_profiles(engine: Engine, yaml_text: str, *, now: str, field_profile: str) -> ImportReport:
    """Take the profiles of a file over: all of them, or none when one is wrong.

    Args:
        engine: The staging database.
        yaml_text: The file.
        now: Time of the import.
        field_profile: ``standard`` or ``extended``: the fields that filters may name.

    Raises:
        ConfigError: Something in the file is wrong; the message names all of it.
    """
    content = profile_file.parse(yaml_text, field_profile=field_profile)
    report = ImportReport()
    with transaction(engine) as conn:
        # Two imports at once would both find a profile missing and add it.
        _lock_profiles(conn)
        stored, by = _read_stored(conn), Author(TERMINAL, now)
        known = _matched(stored, content.profiles)
        neighbours: dict[str, list[Profile | ProfileEntry]] = defaultdict(list)
        for one in stored:
            neighbours[one.profile.mailbox.casefold()].append(one.profile)
        for entry in content.profiles:
            if entry.identity in known:
                _import_known(conn, entry, known[entry.identity].profile, by, report)
                continue
            others = neighbours[entry.mailbox.casefold()]
            try:
                _refuse_taken_folder(entry, others)
            except WrongValue as wrong:
                raise ConfigError(f"Nothing was changed. {entry.mailbox}: {wrong}") from wrong
            others.append(entry)
            report.added.append(_insert(conn, entry, by))
        _import_regions(conn, content)
    return report


@dataclass(frozen=True, slots=True)
class _Stored:
    profile: Profile
    folder_asked: str


def _read_stored(conn: Connection) -> list[_Stored]:
    asked = dict(conn.execute(select(t.sync_profile.c.id, t.sync_profile.c.folder_asked)).all())
    return [_Stored(each, asked[each.id]) for each in read_profiles(conn, enabled_only=False)]


def _matched(stored: list[_Stored], entries: tuple[ProfileEntry, ...]) -> dict[tuple[str, ...], _Stored]:
    """Return which stored profile each entry means, by the entry's identity.

    Where a user has renamed the folder, the name that a file last gave it still means this profile, unless the file
    names it by the new name too.
    """
    by_name = {_entry(one.profile).identity: one for one in stored}
    named = {entry.identity for entry in entries}
    found = {}
    for identity, one in by_name.items():
        profile = one.profile
        if one.folder_asked and not profile.default_folder and identity not in named:
            found[profile_file.identity(profile.mailbox, profile.company_name, one.folder_asked)] = one
    return found | by_name


def _import_known(
    conn: Connection, entry: ProfileEntry, stored: Profile, by: Author, report: ImportReport
) -> None:
    values = _columns(entry)
    before, key = _entry(stored), stored.id
    if entry.default_folder or entry.identity != before.identity:
        # The file asks for what it asked for before: the name that a user has given the folder since stays.
        entry = replace(entry, folder_name=before.folder_name)
    if entry == before:
        report.unchanged.append(key)
        return
    _update(conn, key, values | {"folder_name": entry.folder_name}, by)
    profile_changes.write_change(conn, key, before, entry, by)
    report.changed.append(key)


def _import_regions(conn: Connection, content: ProfileFile) -> None:
    used = {name.casefold() for name in conn.scalars(select(t.sync_profile.c.company_name).distinct())}
    for name, region in content.regions.items():
        if name.casefold() not in used:
            raise ConfigError(
                f"Nothing was changed. No profile has the company {name!r} that 'companies' names: "
                "write it as the profiles do, or take it out."
            )
        write_phone_region(conn, name, region)
