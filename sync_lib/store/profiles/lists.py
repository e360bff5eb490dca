"""Lists of colleagues as the content of a file: addresses that somebody pasted, or the rows of a CSV file.

What comes of them is taken over as any file of profiles is: ``importing``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from sync_lib.store.company_names import CompanyNames
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.csv_file import CsvRow
from sync_lib.store.profiles.file import ProfileEntry, ProfileFile
from sync_lib.store.profiles.importing import read_former_mailboxes, read_stored
from sync_lib.store.profiles.matching import Stored, company_as_stored
from sync_lib.store.profiles.values import WrongValue
from sync_lib.store.profiles.wording import ListError, worded

#: Addresses that can be pasted at once.
MOST_ADDRESSES = 5_000

# What comes along from mail programs and spreadsheets, and nobody sees.
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_SEPARATOR = re.compile(r"[;\n\t]")


@dataclass(frozen=True, slots=True)
class Pasted:
    """One address of a list: the line on which it is, and what is wrong with it, or None."""

    line: int
    mailbox: str
    problem: WrongValue | None = None


def parse_addresses(text: str) -> list[Pasted]:
    """Return the addresses of a text: one a line, or separated by commas, semicolons or tabs, with names or without.

    Raises:
        ConfigError: There are too many.
    """
    found: list[Pasted] = []
    seen: dict[str, int] = {}
    lines = _UNSEEN.sub("", text).replace("\u00a0", " ").splitlines()
    for number, line in enumerate(lines, 1):
        for address in _addresses(line):
            found.append(_pasted(number, address, seen))
            if len(found) > MOST_ADDRESSES:
                many = worded(
                    "There are more than %(most)s addresses: take them in parts.", most=MOST_ADDRESSES
                )
                raise ListError("", [many])
    return found


def _addresses(line: str) -> Iterator[str]:
    for part in _SEPARATOR.split(line):
        names, *rest = part.split("<")
        for each in rest:
            inside, _, after = each.partition(">")
            # A name may hold a comma: "Jansen, Anna". What holds an @ is an address of its own.
            yield from (one for one in names.split(",") if "@" in one)
            yield inside
            names = after
        yield from (one for one in names.split(",") if one.strip())


def _pasted(line: int, address: str, seen: dict[str, int]) -> Pasted:
    text = address.strip().strip("\"'").strip()
    text = text.removeprefix("mailto:").removeprefix("smtp:").removeprefix("SMTP:")
    try:
        mailbox = profile_values.check("mailbox", text)
    except WrongValue as wrong:
        return Pasted(line, text, wrong)
    if first := seen.get(mailbox.casefold()):
        return Pasted(line, mailbox, WrongValue("it is in line %(line)s already.", line=first))
    seen[mailbox.casefold()] = line
    return Pasted(line, mailbox)


def content_of_addresses(mailboxes: Iterable[str], model: ProfileEntry) -> ProfileFile:
    """Return a file with one profile for each mailbox, with the settings of a model."""
    return ProfileFile(tuple(replace(model, mailbox=mailbox) for mailbox in mailboxes))


def have_profile(conn: Connection, mailboxes: Iterable[str], company: str) -> set[str]:
    """Return which mailboxes, case-folded, have a profile of a company already, under whatever name."""
    stored = read_stored(conn)
    today = read_former_mailboxes(conn, stored)
    reader = _CsvReader(stored, CompanyNames.read(conn), (), ProfileEntry("", company))
    names = {mailbox.casefold() for mailbox in mailboxes}
    return {name for name in names if reader.same(today.get(name, name), company)}


# -- CSV -------------------------------------------------------------------------------------------------------------


def content_of_csv(conn: Connection, rows: Sequence[CsvRow], usual: ProfileEntry) -> ProfileFile:
    """Return the rows of a CSV file as a file of profiles: what a row leaves out stays as the profile has it.

    Args:
        conn: Inside a transaction.
        rows: The rows.
        usual: What a new profile has that its row does not say; its company may be "".

    Raises:
        ConfigError: A row names no company, or may mean several profiles; the message names all of them.
    """
    stored = read_stored(conn)
    today = read_former_mailboxes(conn, stored)
    rows = [
        replace(row, values={**row.values, "mailbox": today.get(row.mailbox.casefold(), row.mailbox)})
        for row in rows
    ]
    reader = _CsvReader(stored, CompanyNames.read(conn), rows, usual)
    entries = [reader.entry(row) for row in rows]
    if reader.problems:
        raise ListError("Nothing was changed.\n", reader.problems)
    return ProfileFile(tuple(each for each in entries if each))


class _CsvReader:
    def __init__(
        self, stored: Iterable[Stored], names: CompanyNames, rows: Sequence[CsvRow], usual: ProfileEntry
    ) -> None:
        self._of_mailbox: dict[str, list[Stored]] = {}
        for one in stored:
            self._of_mailbox.setdefault(one.entry.mailbox.casefold(), []).append(one)
        self._names = names
        self._usual = usual
        self._rows_of = Counter(self._key(row) for row in rows)
        self.problems: list[str] = []

    def entry(self, row: CsvRow) -> ProfileEntry | None:
        values = dict(row.values)
        company = values.get("company_name") or self._usual.company_name
        if not company:
            self.problems.append(
                worded(
                    "Line %(line)s: the company is missing; name it in a column, or for all rows.",
                    line=row.line,
                )
            )
            return None
        values["company_name"] = company
        same = self.same(row.mailbox, company)
        base = self._base(row, values, [one.entry for one in same])
        if base is None:
            return None
        if same:
            # Whatever the row calls it, it is the company of these profiles.
            values |= {"company_name": base.company_name, "mailbox": base.mailbox}
        if "folder_name" in values and "default_folder" not in values and base.default_folder:
            values["default_folder"] = False
        if values.get("default_folder") is False and base.default_folder and "folder_name" not in values:
            values["folder_name"] = self._usual.folder_name
        return replace(base, **values)

    def _key(self, row: CsvRow) -> tuple[str, str]:
        company = str(row.values.get("company_name") or self._usual.company_name)
        return row.mailbox.casefold(), self._names.id_of(company) or company.casefold()

    def same(self, mailbox: str, company: str) -> list[Stored]:
        """Return the profiles of a mailbox and a company, whatever that is called."""
        own = self._of_mailbox.get(mailbox.casefold(), [])
        asked = ProfileEntry(mailbox, company)
        name = company_as_stored(asked, self._names.id_of(company), own) or company
        return [one for one in own if one.entry.company_name.casefold() == name.casefold()]

    def _base(self, row: CsvRow, values: dict[str, Any], same: list[ProfileEntry]) -> ProfileEntry | None:
        """What the row's profile has now, or what a new one has; None where it may mean several."""
        if len(same) == 1 and self._rows_of[self._key(row)] == 1:
            return same[0]
        if not same:
            return replace(self._usual, mailbox=row.mailbox)
        folder = values.get("folder_name")
        if folder is None:
            self.problems.append(
                worded(
                    "Line %(line)s: %(mailbox)s has several profiles of this company, here or in the file: name the "
                    "folder.",
                    line=row.line,
                    mailbox=row.mailbox,
                )
            )
            return None
        is_own = values.get("default_folder", False)
        for entry in same:
            if entry.folder_name.casefold() == folder.casefold() or (entry.default_folder and is_own):
                return entry
        return replace(self._usual, mailbox=row.mailbox)
