"""Profiles from and to a YAML file: an import is idempotent, and changes nothing where one row is wrong (rules 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
from sync_lib.store.profiles.wording import ListError, placed, why_wrong, worded


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
    with transaction(engine) as conn:
        # Two imports at once would both find a profile missing and add it.
        lock_profiles(conn)
        plan = plan_import(conn, content)
        for sentence in plan.moves:
            announce(sentence)
        return take_import(conn, plan, Author(TERMINAL, now))


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """What becomes of one row: ``before`` is None for a new profile; ``moves``: its name in the file is new."""

    match: Match
    entry: ProfileEntry
    before: ProfileEntry | None

    @property
    def moves(self) -> bool:
        """Whether mailbox, company or folder of a profile get another name."""
        return self.before is not None and self.match.moves

    @property
    def is_same(self) -> bool:
        """Whether the profile stays as it is."""
        return self.entry == self.before


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would do, in the order of the file; groups, defaults and regions are in ``content``."""

    content: ProfileFile
    rows: list[PlannedRow]

    @property
    def moves(self) -> list[str]:
        """Each change of a name, in a sentence."""
        return [_move_in_words(row.before, row.match.entry) for row in self.rows if row.moves and row.before]

    def only_new(self) -> ImportPlan:
        """Return the plan without what is said of profiles that there are."""
        return replace(self, rows=[row for row in self.rows if row.before is None])


def plan_import(conn: Connection, content: ProfileFile) -> ImportPlan:
    """Return what taking a file over would do; nothing is written.

    Raises:
        ConfigError: Something in the file is wrong; the message names all of it.
    """
    stored = read_stored(conn)
    content = _with_todays_names(conn, content, stored)
    matches, problems = match_rows(content, stored)
    problems += [*_taken_folders(matches, stored), *_unknown_regions(conn, content)]
    if problems:
        raise ListError("Nothing was changed. ", problems)
    return ImportPlan(content, [_planned(match) for match in matches])


def _planned(match: Match) -> PlannedRow:
    if match.stored is None:
        return PlannedRow(match, match.entry, None)
    entry, before = match.entry, match.stored.entry
    if entry.default_folder or (entry.identity != before.identity and not match.moves):
        # The file asks for what it asked for before: the name that a user has given the folder since stays.
        entry = replace(entry, folder_name=before.folder_name)
    return PlannedRow(match, entry, before)


def take_import(conn: Connection, plan: ImportPlan, by: Author) -> ImportReport:
    """Do what a plan says.

    Args:
        conn: Inside the transaction that locked the profiles, and in which the plan was made.
        plan: What to do.
        by: Who does, and the time.
    """
    report = ImportReport()
    _make_way(conn, [row.match for row in plan.rows])
    for row in plan.rows:
        _take(conn, row, by, report)
    report = _import_groups(conn, plan.content, report, by.now)
    for name, region in plan.content.regions.items():
        write_phone_region(conn, name, region)
    return report


def _import_groups(conn: Connection, content: ProfileFile, report: ImportReport, now: str) -> ImportReport:
    if content.defaults is not None:
        groups.write_defaults(conn, content.defaults)
    if not content.groups:
        return report
    return replace(report, groups=groups.write_groups(conn, content.groups, now=now))


def read_stored(conn: Connection) -> list[Stored]:
    """Return all profiles as a file is compared with them."""
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
    mailboxes = read_former_mailboxes(conn, stored)
    named = t.sync_profile.c.company_name
    companies = _former_names(conn, t.former_company_name, named, t.former_company_name.c.name)
    in_use = _names(stored, "company_name")
    companies = {name: today for name, today in companies.items() if name not in in_use}

    known = CompanyNames.read(conn)
    of_mailbox = _by_mailbox(stored)

    def today(entry: ProfileEntry) -> ProfileEntry:
        entry = replace(entry, mailbox=mailboxes.get(entry.mailbox.casefold(), entry.mailbox))
        own = of_mailbox.get(entry.mailbox.casefold(), [])
        company = company_as_stored(entry, known.id_of(entry.company_name), own)
        company = company or companies.get(entry.company_name.casefold(), entry.company_name)
        return replace(entry, company_name=company)

    def was_as_stored(entry: ProfileEntry, was: Was) -> Was:
        before = replace(entry, mailbox=was.mailbox or entry.mailbox, company_name=was.company)
        own = of_mailbox.get(before.mailbox.casefold(), [])
        company = company_as_stored(before, known.id_of(was.company), own)
        return replace(was, company=company or was.company)

    entries = tuple(map(today, content.profiles))
    was = tuple(map(was_as_stored, content.profiles, content.was))
    seen: set[tuple[str, ...]] = set()
    for entry in entries:
        if entry.identity in seen:
            twice = worded(
                "Two rows mean one profile of %(mailbox)s: take the one with the old name out.",
                mailbox=entry.mailbox,
            )
            raise ListError("Nothing was changed. ", [twice])
        seen.add(entry.identity)
    regions = {
        companies.get(name.casefold()) or _name_in_use(name, known, entries, stored): region
        for name, region in content.regions.items()
    }
    return replace(content, profiles=entries, regions=regions, was=was)


def _by_mailbox(stored: Iterable[Stored]) -> dict[str, list[Stored]]:
    found: dict[str, list[Stored]] = {}
    for one in stored:
        found.setdefault(one.entry.mailbox.casefold(), []).append(one)
    return found


def read_former_mailboxes(conn: Connection, stored: list[Stored]) -> dict[str, str]:
    """Return today's name of each mailbox that no profile has today, and one had before, by its case-folded name."""
    c = t.former_mailbox.c
    names, in_use = (
        _former_names(conn, t.former_mailbox, t.sync_profile.c.mailbox, c.mailbox),
        _names(stored, "mailbox"),
    )
    return {name: today for name, today in names.items() if name not in in_use}


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
    others = _by_mailbox(one for one in stored if one.id not in meant and one.has_synced)
    rows: dict[str, list[tuple[int, Match]]] = {}
    for number, match in enumerate(matches):
        rows.setdefault(match.entry.mailbox.casefold(), []).append((number, match))
    problems: list[str] = []
    for number, match in enumerate(matches):
        if match.stored and not match.moves:
            continue
        mailbox = match.entry.mailbox.casefold()
        # Of the rows behind it, those that keep their names.
        before = [each for n, each in rows[mailbox] if n < number]
        staying = [each for n, each in rows[mailbox] if n > number and each.stored and not each.moves]
        neighbours = [one.entry for one in others.get(mailbox, ())]
        neighbours += [each.entry for each in (*before, *staying)]
        try:
            refuse_taken_folder(match.entry, neighbours)
        except WrongValue as wrong:
            problems.append(
                placed("%(mailbox)s: %(wrong)s", mailbox=match.entry.mailbox, wrong=why_wrong(wrong))
            )
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
    if not moved:
        return
    c = t.sync_profile.c
    held = literal("/") + cast(c.id, Text)
    conn.execute(update(t.sync_profile).where(c.id.in_(moved)).values(folder_name=held))


def _take(conn: Connection, row: PlannedRow, by: Author, report: ImportReport) -> None:
    if row.match.stored is None or row.before is None:
        report.added.append(insert_profile(conn, row.entry, by))
        return
    key = row.match.stored.id
    if row.is_same:
        report.unchanged.append(key)
        return
    # What the file asked for is remembered as such, whatever a user called the folder since.
    values = columns_of_entry(row.match.entry) | unbound(row.before, row.entry)
    update_profile(conn, key, values | {"folder_name": row.entry.folder_name}, by)
    profile_history.write_change(conn, key, row.before, row.entry, by)
    report.changed.append(key)


def _unknown_regions(conn: Connection, content: ProfileFile) -> list[str]:
    """Say which companies of the list no profile and no group has, or will have."""
    named = [select(table.c.company_name).distinct() for table in (t.sync_profile, t.profile_group)]
    used = {name.casefold() for each in named for name in conn.scalars(each)}
    used |= {each.company_name.casefold() for each in content.profiles}
    used |= {each.company_name.casefold() for each in content.groups}
    return [
        worded(
            "No profile has the company %(name)r that 'companies' names: write it as the profiles do, or take it out.",
            name=name,
        )
        for name in content.regions
        if name.casefold() not in used
    ]
