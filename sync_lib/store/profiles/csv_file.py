"""A list of colleagues as CSV: each row names a mailbox and whatever its profile is to have. Text in, values out.

The first line names the columns, as the YAML file calls its keys; a policy is a column of its own. ``filter`` holds
``field=expression``, one condition a line of the cell, and a line ``or`` before each further group; ``categories`` are
separated by semicolons. A cell that is blank says nothing. Spreadsheets of some languages write semicolons: the head
shows which. A quote before what a spreadsheet would calculate, as our export writes it, is no part of the cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields.categories import join_templates, split_templates
from sync_lib.fields.filters import Groups, check_length
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.file import NAMES, OWN_CONTACTS, POLICY_NAMES, ProfileEntry
from sync_lib.store.profiles.values import WrongValue
from sync_lib.store.profiles.wording import ListError, why_wrong, worded

#: Name of a column of the file -> column of ``sync_profile``.
COLUMNS: Mapping[str, str] = {**NAMES, "salesperson_code": "salesperson_code", **POLICY_NAMES}


#: Columns of an export, in their order.
EXPORTED: Mapping[str, str] = {**NAMES, **POLICY_NAMES}

#: What separates the groups of a filter, on a line of its own.
OR = "or"

# What makes a spreadsheet calculate, behind the quote that keeps it from doing so.
_QUOTED = re.compile(r"'(?=[\s\u200b\ufeff]*[=+\-@|\uff1d\uff0b\uff0d\uff20]|[\t\n])")


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row: where it begins, and what it says, by column of ``sync_profile``."""

    line: int
    values: Mapping[str, Any]

    @property
    def mailbox(self) -> str:
        """The address that the row names."""
        return str(self.values["mailbox"])


def parse_condition(text: str, *, field_profile: str) -> tuple[str, str]:
    """Return the condition that ``field=expression`` means.

    Raises:
        WrongValue: There is no ``=``, or something in it cannot be seen.
        FilterSyntaxError: There is no such field, or the expression cannot be understood.
    """
    name, found, expression = text.partition("=")
    if not found:
        raise WrongValue("%(text)r is not of the form field=expression.", text=text)
    return profile_values.check_condition(name, expression, field_profile=field_profile)


def cells_of(entry: ProfileEntry) -> list[str]:
    """Return a profile as a row of ``EXPORTED``; what its cell cannot say, such as no filter, is left blank."""
    values = {column: getattr(entry, column) for column in EXPORTED.values()}
    if entry.default_folder:
        values["folder_name"] = ""
    groups = ("\n".join(f"{name}={expression}" for name, expression in group) for group in entry.filter)
    values["filter"] = f"\n{OR}\n".join(groups)
    values["categories"] = join_templates(entry.categories)
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values.values()]


def parse(text: str, *, field_profile: str) -> list[CsvRow]:
    """Return the rows of a file.

    Raises:
        ConfigError: Something is wrong. The message names everything that is, each with its line and column.
    """
    return _Parser(field_profile).parse(text.removeprefix("\ufeff"))


class _Parser:
    def __init__(self, field_profile: str) -> None:
        self._field_profile = field_profile
        self._problems: list[str] = []

    def parse(self, text: str) -> list[CsvRow]:
        try:
            records = list(_records(text))
        except csv.Error as error:
            raise ListError("", [worded("The file is not CSV: %(error)s", error=error)]) from error
        if not records:
            empty = worded("The file is empty; its first line names the columns, 'mailbox' among them.")
            raise ListError("", [empty])
        records = [(line, [_unquoted(cell) for cell in cells]) for line, cells in records]
        (line, cells), *rest = records
        head = self._head(line, cells)
        rows = [row for number, cells in rest if (row := self._row(number, head, cells))]
        if self._problems:
            raise ListError("The file is not understood.\n", self._problems)
        return rows

    def _head(self, line: int, cells: Sequence[str]) -> list[str]:
        names = [cell.strip().casefold() for cell in cells]
        columns = [COLUMNS.get(name, "") for name in names]
        for name, column in zip(names, columns, strict=True):
            if not column:
                self._note(
                    line,
                    name,
                    worded("there is no such column; there is %(known)s.", known=", ".join(COLUMNS)),
                )
            elif columns.count(column) > 1:
                self._note(line, name, worded("this column is here twice: take one out."))
        if "mailbox" not in columns:
            self._problems.append(worded("Line %(line)s: the column 'mailbox' is missing.", line=line))
        return columns

    def _row(self, line: int, head: Sequence[str], cells: Sequence[str]) -> CsvRow | None:
        if not any(cell.strip() for cell in cells):
            return None
        known = len(self._problems)
        if len(cells) > len(head):
            self._problems.append(
                worded(
                    "Line %(line)s: it has %(cells)s cells, and the head names %(columns)s.",
                    line=line,
                    cells=len(cells),
                    columns=len(head),
                )
            )
        values = {
            column: value
            for column, cell in zip(head, cells, strict=False)
            if column and (value := self._value(line, column, cell)) is not None
        }
        if values.get("default_folder"):
            if "folder_name" in values:
                self._note(line, "folder", worded("leave out 'folder' or 'default_folder'."))
            values["folder_name"] = OWN_CONTACTS
        if "mailbox" in head and "mailbox" not in values and len(self._problems) == known:
            missing = worded("the mailbox is missing; it takes the person's user principal name.")
            self._note(line, "mailbox", missing)
        return CsvRow(line, values) if len(self._problems) == known else None

    def _value(self, line: int, column: str, cell: str) -> Any:
        """Return what a cell says, None where it says nothing or something wrong."""
        if not cell.strip():
            return None
        try:
            if column == "filter":
                return self._filter(cell)
            if column == "categories":
                templates = split_templates(cell)
                return profile_values.check_categories(templates, field_profile=self._field_profile)
            return profile_values.check(column, cell)
        except (WrongValue, FilterSyntaxError) as wrong:
            self._note(line, _NAMED[column], why_wrong(wrong))
            return None

    def _filter(self, cell: str) -> Groups:
        groups: list[list[tuple[str, str]]] = [[]]
        for each in cell.splitlines():
            if each.strip().casefold() == OR:
                groups.append([])
            elif each.strip():
                groups[-1].append(parse_condition(each, field_profile=self._field_profile))
        if len(groups) > 1 and not all(any(expression for _, expression in group) for group in groups):
            raise WrongValue("a group without a condition: there is one on each side of 'or'.")
        check_length(groups)
        return tuple(tuple(group) for group in groups)

    def _note(self, line: int, column: str, message: str) -> None:
        self._problems.append(
            worded("Line %(line)s, column %(column)r: %(wrong)s", line=line, column=column, wrong=message)
        )


#: The name by which an error calls a column.
_NAMED = {column: name for name, column in COLUMNS.items() if name != "salesperson"}


def _unquoted(cell: str) -> str:
    return _QUOTED.sub("", cell, count=1) if _QUOTED.match(cell) else cell


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line on which it begins."""
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    for cells in reader:
        if cells:
            yield begins, cells
        begins = reader.line_num + 1
