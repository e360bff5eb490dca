"""Sync profiles in the staging database: a mailbox, a company, a folder, and how to sync them (rules 1).

The YAML format of import and export is described in ``profile_file``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Table,
    Text,
    bindparam,
    cast,
    delete,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from sync_lib.errors import ConfigError, ProfileError
from sync_lib.store import profile_changes, profile_file, profile_values
from sync_lib.store import tables as t
from sync_lib.store.company_names import CompanyNames
from sync_lib.store.engine import is_postgresql, read, transaction
from sync_lib.store.profile_changes import TERMINAL, Author
from sync_lib.store.profile_file import Pairs, ProfileEntry, ProfileFile, Was
from sync_lib.store.profile_matching import Match, Stored, company_as_stored, match_rows
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
        looked_at: The folder whose first look is remembered (rules 8.3).
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
    looked_at: str = ""

    @property
    def key(self) -> str:
        """The profile's name in lists of tasks."""
        return str(self.id)

    @property
    def has_synced(self) -> bool:
        """Whether a run has ever opened its folder: before, its mailbox and company may be corrected (rules 1)."""
        return self.graph_user_id is not None or self.folder_id is not None


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
_ALL = select(*_COLUMNS).order_by(t.sync_profile.c.id)
_ENABLED = _ALL.where(t.sync_profile.c.enabled)
_ONE = select(*_COLUMNS).where(t.sync_profile.c.id == bindparam("profile"))
_CHANGE = update(t.sync_profile).where(t.sync_profile.c.id == bindparam("of_profile"))
_TAKEN_FOLDERS = select(t.sync_profile.c.folder_id).where(
    t.sync_profile.c.id != bindparam("profile"), t.sync_profile.c.folder_id.is_not(None)
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
    """Return the profiles in the order in which they were added, all or those with these keys."""
    profiles = [_profile(row) for row in conn.execute(_ENABLED if enabled_only else _ALL)]
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
    row = conn.execute(_ONE, {"profile": profile}).first()
    return _profile(row) if row else None


def read_company_names(conn: Connection) -> list[str]:
    """Return the companies that profiles have, each once, as people wrote them."""
    names = conn.scalars(
        select(t.sync_profile.c.company_name).distinct().order_by(t.sync_profile.c.company_name)
    )
    return list({name.casefold(): name for name in names}.values())


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
    conn.execute(update(t.sync_profile).where(c.id == profile.id).values(mailbox=address))


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
    regions = {each.casefold(): each for each in _regions(conn)}
    if before.casefold() in regions and name.casefold() not in regions:
        known = t.company_setting.c.company_name == regions[before.casefold()]
        conn.execute(update(t.company_setting).where(known).values(company_name=name))


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


def read_former_folders(conn: Connection) -> dict[int, list[str]]:
    """Return the folders that profiles were bound to before, by profile, the last one first."""
    c, found = t.former_folder.c, dict[int, list[str]]()
    for row in conn.execute(select(c.profile, c.folder_id).order_by(c.until.desc())):
        found.setdefault(row.profile, []).append(row.folder_id)
    return found


def read_taken_folders(conn: Connection, profile: int) -> frozenset[str]:
    """Return the ids of the folders that other profiles are bound to."""
    return frozenset(conn.scalars(_TAKEN_FOLDERS, {"profile": profile}))


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
    neighbours = _of_mailbox(conn, entry.mailbox)
    _refuse_twin(conn, entry, neighbours)
    _refuse_taken_folder(entry, _synced(neighbours))
    return _insert(conn, entry, by)


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
    _lock_profiles(conn)
    stored = read_profile(conn, profile.id)
    before = entry_of(stored)
    if before != seen:
        raise ChangedMeanwhile(before)
    if entry != before:
        if _place(entry) != _place(before):
            if stored.has_synced and _place(entry)[:3] != _place(before)[:3]:
                raise ValueError("mailbox and company of a profile that has synced are fixed")
            others = [
                each
                for each in _of_mailbox(conn, entry.mailbox, stored.graph_user_id)
                if each.id != stored.id
            ]
            _refuse_twin(conn, entry, others)
            _refuse_taken_folder(entry, _synced(others))
        values = _columns(entry) | _unbound(before, entry)
        if entry.folder_name == stored.folder_name:
            # Where a user renamed the folder since, a file may still name it as before.
            del values["folder_asked"]
        _update(conn, stored.id, values, by)
        profile_changes.write_change(conn, stored.id, before, entry, by)


def correct(engine: Engine, profile: int, *, mailbox: str = "", company: str = "", now: str) -> None:
    """Correct mailbox or company of a profile that has never synced; blank: as it is.

    Raises:
        ConfigError: There is no such profile, it has synced, or a value is wrong.
    """
    with transaction(engine) as conn:
        _lock_profiles(conn)
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


def remove(conn: Connection, profile: int) -> None:
    """Remove a profile that has never synced, with what runs wrote down about it.

    Raises:
        ConfigError: There is no such profile, or it has synced.
    """
    _lock_profiles(conn)
    _never_synced(conn, profile)
    plans = select(t.plan.c.id).where(t.plan.c.profile == profile)
    conn.execute(delete(t.hold).where(or_(t.hold.c.profile == profile, t.hold.c.plan.in_(plans))))
    conn.execute(delete(t.change).where(t.change.c.plan.in_(plans)))
    conn.execute(delete(t.cursor).where(t.cursor.c.side == "outlook", t.cursor.c.scope == str(profile)))
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


def import_profiles(
    engine: Engine,
    yaml_text: str,
    *,
    now: str,
    field_profile: str,
    tell: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """Take the profiles of a file over: all of them, or none when one is wrong.

    Args:
        engine: The staging database.
        yaml_text: The file.
        now: Time of the import.
        field_profile: ``standard`` or ``extended``: the fields that filters may name.
        tell: Called with each change of a name, in a sentence, before anything is changed.

    Raises:
        ConfigError: Something in the file is wrong; the message names all of it.
    """
    content = profile_file.parse(yaml_text, field_profile=field_profile)
    report = ImportReport()
    with transaction(engine) as conn:
        # Two imports at once would both find a profile missing and add it.
        _lock_profiles(conn)
        stored, by = _read_stored(conn), Author(TERMINAL, now)
        content = _with_todays_names(conn, content, stored)
        matches, problems = match_rows(content, stored)
        problems += _taken_folders(matches, stored)
        if problems:
            raise ConfigError("Nothing was changed. " + "\n".join(problems))
        for match in matches:
            if match.stored and match.moves:
                tell(_told_move(match.stored.entry, match.entry))
        _make_way(conn, matches)
        for match in matches:
            if match.stored is None:
                report.added.append(_insert(conn, match.entry, by))
            else:
                _import_known(conn, match, by, report)
        _import_regions(conn, content)
    return report


def _read_stored(conn: Connection) -> list[Stored]:
    asked = dict(conn.execute(select(t.sync_profile.c.id, t.sync_profile.c.folder_asked)).all())
    bound = dict(conn.execute(select(t.company.c.id, t.company.c.company_id)).all())
    names = CompanyNames.read(conn)
    return [
        Stored(
            each.id,
            _entry(each),
            asked[each.id],
            each.has_synced,
            bound[each.company].casefold() if each.company else names.id_of(each.company_name),
        )
        for each in read_profiles(conn, enabled_only=False)
    ]


def _with_todays_names(conn: Connection, content: ProfileFile, stored: list[Stored]) -> ProfileFile:
    """Return a file in which mailboxes and companies that no profile has today go by the names that theirs have.

    A company may be named by its id where its profiles are stored with its name, and the other way round.

    Raises:
        ConfigError: Two rows mean one profile then.
    """
    mailboxes = _former_names(conn, t.former_mailbox, t.sync_profile.c.mailbox, t.former_mailbox.c.mailbox)
    named = t.sync_profile.c.company_name
    companies = _former_names(conn, t.former_company_name, named, t.former_company_name.c.name)
    mailboxes = {name: today for name, today in mailboxes.items() if name not in _names(stored, "mailbox")}
    companies = {
        name: today for name, today in companies.items() if name not in _names(stored, "company_name")
    }

    known = CompanyNames.read(conn)

    def today(entry: ProfileEntry) -> ProfileEntry:
        entry = replace(entry, mailbox=mailboxes.get(entry.mailbox.casefold(), entry.mailbox))
        company = company_as_stored(entry, known.id_of(entry.company_name), stored)
        company = company or companies.get(entry.company_name.casefold(), entry.company_name)
        return replace(entry, company_name=company)

    def was_as_stored(entry: ProfileEntry, was: Was) -> Was:
        before = replace(entry, mailbox=was.mailbox or entry.mailbox, company_name=was.company)
        company = company_as_stored(before, known.id_of(was.company), stored)
        return replace(was, company=company or was.company)

    entries = tuple(map(today, content.profiles))
    was = tuple(map(was_as_stored, content.profiles, content.was))
    twins = [
        entry.mailbox
        for n, entry in enumerate(entries)
        if entry.identity in {e.identity for e in entries[:n]}
    ]
    if twins:
        raise ConfigError(
            f"Nothing was changed. Two rows mean one profile of {twins[0]}: take the one with the old name out."
        )
    regions = {
        companies.get(name.casefold()) or _name_in_use(name, known, entries, stored): region
        for name, region in content.regions.items()
    }
    return replace(content, profiles=entries, regions=regions, was=was)


def _name_in_use(
    name: str, known: CompanyNames, entries: Sequence[ProfileEntry], stored: Sequence[Stored]
) -> str:
    """Return how profiles call a company that the file's list of companies may call otherwise."""
    names = [entry.company_name for entry in (*entries, *(one.entry for one in stored))]
    if name.casefold() in {each.casefold() for each in names}:
        return name
    company = known.id_of(name)
    return next((each for each in names if company and known.id_of(each) == company), name)


def _names(stored: list[Stored], column: str) -> set[str]:
    return {str(getattr(one.entry, column)).casefold() for one in stored}


def _former_names(conn: Connection, table: Table, today: Any, former: Any) -> dict[str, str]:
    """Case-folded former name -> the name that a profile has today; the one that had it last counts."""
    owner = t.sync_profile.c.id if "profile" in table.c else t.sync_profile.c.company
    key = table.c.profile if "profile" in table.c else table.c.company
    rows = conn.execute(select(former, today).where(key == owner).order_by(table.c.until))
    return {str(row[0]).casefold(): str(row[1]) for row in rows}


def _taken_folders(matches: list[Match], stored: list[Stored]) -> list[str]:
    """Say which folders of new and renamed profiles belong to others, as the page does."""
    meant = {match.stored.id for match in matches if match.stored}
    others = [one.entry for one in stored if one.id not in meant and one.has_synced]
    problems = []
    for number, match in enumerate(matches):
        if match.stored and not match.moves:
            continue
        staying = [each.entry for each in matches[number + 1 :] if each.stored and not each.moves]
        rows = [each.entry for each in matches[:number]] + staying
        same = [
            each for each in [*others, *rows] if each.mailbox.casefold() == match.entry.mailbox.casefold()
        ]
        try:
            _refuse_taken_folder(match.entry, same)
        except WrongValue as wrong:
            problems.append(f"{match.entry.mailbox}: {wrong}")
    return problems


def _told_move(before: ProfileEntry, after: ProfileEntry) -> str:
    changes = [
        f"{what} {old!r} becomes {new!r}"
        for what, old, new in (
            ("the mailbox", before.mailbox, after.mailbox),
            ("the company", before.company_name, after.company_name),
            ("the folder", before.folder_name, after.folder_name),
        )
        if old != new
    ]
    return f"{before.mailbox}, {before.company_name}: {', '.join(changes)}."


def _make_way(conn: Connection, matches: list[Match]) -> None:
    """Let names be passed on among profiles: no two may have one in between either."""
    moved = [match.stored.id for match in matches if match.stored and match.moves]
    c = t.sync_profile.c
    held = literal("/") + cast(c.id, Text)
    conn.execute(update(t.sync_profile).where(c.id.in_(moved)).values(folder_name=held))


def _import_known(conn: Connection, match: Match, by: Author, report: ImportReport) -> None:
    assert match.stored is not None
    entry, before, key = match.entry, match.stored.entry, match.stored.id
    values = _columns(entry)
    if entry.default_folder or (entry.identity != before.identity and not match.moves):
        # The file asks for what it asked for before: the name that a user has given the folder since stays.
        entry = replace(entry, folder_name=before.folder_name)
    if entry == before:
        report.unchanged.append(key)
        return
    values |= _unbound(before, entry) | {"folder_name": entry.folder_name}
    _update(conn, key, values, by)
    profile_changes.write_change(conn, key, before, entry, by)
    report.changed.append(key)


def _unbound(before: ProfileEntry, after: ProfileEntry) -> dict[str, Any]:
    """A company that was corrected has to be found anew."""
    return {} if before.company_name == after.company_name else {"company": None}


def _import_regions(conn: Connection, content: ProfileFile) -> None:
    used = {name.casefold() for name in conn.scalars(select(t.sync_profile.c.company_name).distinct())}
    for name, region in content.regions.items():
        if name.casefold() not in used:
            raise ConfigError(
                f"Nothing was changed. No profile has the company {name!r} that 'companies' names: "
                "write it as the profiles do, or take it out."
            )
        write_phone_region(conn, name, region)
