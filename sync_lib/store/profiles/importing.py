"""Profiles from and to a YAML file: an import is idempotent, and changes nothing where one row is wrong (rules 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    Text,
    cast,
    literal,
    select,
    update,
)

from sync_lib.errors import ConfigError
from sync_lib.store import tables as t
from sync_lib.store.company_names import CompanyNames
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import file as profile_file
from sync_lib.store.profiles import groups
from sync_lib.store.profiles import history as profile_history
from sync_lib.store.profiles.file import ProfileEntry, ProfileFile, Was
from sync_lib.store.profiles.history import TERMINAL, Author
from sync_lib.store.profiles.matching import Match, Stored, company_as_stored, match_rows
from sync_lib.store.profiles.rows import (
    Profile,
    entry_of,
    lock_profiles,
    read_profiles,
    read_regions,
    write_phone_region,
)
from sync_lib.store.profiles.settings import (
    columns_of_entry,
    insert_profile,
    refuse_taken_folder,
    unbound,
    update_profile,
)
from sync_lib.store.profiles.values import WrongValue


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, by ids of profiles; profiles that the file does not name are in none of these."""

    added: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    #: The same of groups, as counts; None where the file has none.
    groups: tuple[int, int, int] | None = None

    def __str__(self) -> str:
        counts = (len(self.added), len(self.changed), len(self.unchanged))
        sentences = ["Profiles: {} added, {} changed, {} as they were.".format(*counts)]
        if self.groups:
            sentences.append("Groups: {} added, {} changed, {} as they were.".format(*self.groups))
        return " ".join(sentences)


def export_profiles(engine: Engine) -> str:
    """Return all profiles as the text of a file; importing it changes nothing."""
    with read(engine) as conn:
        profiles = read_profiles(conn, enabled_only=False)
        regions = read_regions(conn)
        stored, defaults = groups.stored_entries(conn), groups.read_defaults(conn)
    entries = tuple(_entry(profile) for profile in profiles)
    return profile_file.dump(ProfileFile(entries, regions, (), stored, defaults))


def _entry(profile: Profile) -> ProfileEntry:
    """The settings as a file has them: the expressions of one field together."""
    return replace(entry_of(profile), filter=profile_file.in_file_order(profile.filter))


def import_profiles(
    engine: Engine,
    yaml_text: str,
    *,
    now: str,
    field_profile: str,
    announce: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """Take the profiles of a file over: all of them, or none when one is wrong.

    Args:
        engine: The staging database.
        yaml_text: The file.
        now: Time of the import.
        field_profile: ``standard`` or ``extended``: the fields that filters may name.
        announce: Called with each change of a name, in a sentence, before anything is changed.

    Raises:
        ConfigError: Something in the file is wrong; the message names all of it.
    """
    content = profile_file.parse(yaml_text, field_profile=field_profile)
    report = ImportReport()
    with transaction(engine) as conn:
        # Two imports at once would both find a profile missing and add it.
        lock_profiles(conn)
        stored, by = _read_stored(conn), Author(TERMINAL, now)
        content = _with_todays_names(conn, content, stored)
        matches, problems = match_rows(content, stored)
        problems += _taken_folders(matches, stored)
        if problems:
            raise ConfigError("Nothing was changed. " + "\n".join(problems))
        for match in matches:
            if match.stored and match.moves:
                announce(_move_in_words(match.stored.entry, match.entry))
        _make_way(conn, matches)
        for match in matches:
            if match.stored is None:
                report.added.append(insert_profile(conn, match.entry, by))
            else:
                _import_known(conn, match, by, report)
        report = _import_groups(conn, content, report, now)
        _import_regions(conn, content)
    return report


def _import_groups(conn: Connection, content: ProfileFile, report: ImportReport, now: str) -> ImportReport:
    if content.defaults is not None:
        groups.write_defaults(conn, content.defaults)
    if not content.groups:
        return report
    return replace(report, groups=groups.write_groups(conn, content.groups, now=now))


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
            refuse_taken_folder(match.entry, same)
        except WrongValue as wrong:
            problems.append(f"{match.entry.mailbox}: {wrong}")
    return problems


def _move_in_words(before: ProfileEntry, after: ProfileEntry) -> str:
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
    values = columns_of_entry(entry)
    if entry.default_folder or (entry.identity != before.identity and not match.moves):
        # The file asks for what it asked for before: the name that a user has given the folder since stays.
        entry = replace(entry, folder_name=before.folder_name)
    if entry == before:
        report.unchanged.append(key)
        return
    values |= unbound(before, entry) | {"folder_name": entry.folder_name}
    update_profile(conn, key, values, by)
    profile_history.write_change(conn, key, before, entry, by)
    report.changed.append(key)


def _import_regions(conn: Connection, content: ProfileFile) -> None:
    named = [select(table.c.company_name).distinct() for table in (t.sync_profile, t.profile_group)]
    used = {name.casefold() for each in named for name in conn.scalars(each)}
    for name, region in content.regions.items():
        if name.casefold() not in used:
            raise ConfigError(
                f"Nothing was changed. No profile has the company {name!r} that 'companies' names: "
                "write it as the profiles do, or take it out."
            )
        write_phone_region(conn, name, region)
