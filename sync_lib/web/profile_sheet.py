"""The form of a profile's settings: what it holds, what is wrong with it, and what it means.

Nothing here is stored: the page reads a ``Sheet`` from a request or from a profile, and shows it again.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fastapi import HTTPException
from starlette.datastructures import FormData

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields.categories import join_templates, split_templates
from sync_lib.fields.filters import (
    Groups,
    Pair,
    check_length,
    find_column,
    from_written,
    parse_filter,
    to_written,
)
from sync_lib.operate.settings_preview import Wish
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.file import OWN_CONTACTS, ProfileEntry
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.profiles.values import POLICIES, WrongValue
from sync_lib.web.language import msg
from sync_lib.web.visit import shown

#: What makes a profile the one that it is; another mailbox, company or folder of this kind is another profile.
FIXED = ("mailbox", "company_name", "default_folder")
#: Of these, what may be corrected until the first sync.
CORRECTED = ("mailbox", "company_name")
EDITED = (
    *("enabled", "folder_name", "direction", "salesperson_code", "language", "categories"),
    *POLICIES,
)
#: Characters of an expression that are shown on each side of an error.
_AROUND = 40

Problem = WrongValue | FilterSyntaxError


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression cannot be understood: the text around it, cut to what fits on a line."""

    before: str
    marked: str
    after: str
    number: int


@dataclass(slots=True)
class Row:
    """One condition of the filter, as it was typed."""

    name: str
    expression: str
    problem: Problem | None = None

    @property
    def column(self) -> str:
        """The field that the name means, "" for none."""
        found = find_column(self.name)
        return found.name if found else ""

    @property
    def place(self) -> Place | None:
        """Where the error is, if it is one of the filter language."""
        error = self.problem
        if not isinstance(error, FilterSyntaxError):
            return None
        text, at = error.expression, error.position
        first, end = max(0, at - _AROUND), at + 1 + _AROUND
        before = ("…" if first else "") + text[first:at]
        after = text[at + 1 : end] + ("…" if len(text) > end else "")
        return Place(before, text[at : at + 1], after, at + 1)

    def check(self, field_profile: str) -> Pair | None:
        """Return the pair as it is stored, or None and note what is wrong; a blank one filters nothing."""
        try:
            return profile_values.check_condition(self.name, self.expression, field_profile=field_profile)
        except (FilterSyntaxError, WrongValue) as problem:
            self.problem = problem
            return None

    def limit(self, groups: list[list[Pair]]) -> None:
        """Note where the filter becomes too long with this condition."""
        try:
            check_length(groups)
        except FilterSyntaxError as problem:
            self.problem = problem


@dataclass(slots=True)
class Sheet:
    """What the form shows.

    Attributes:
        texts: By column, as they were typed or are stored.
        groups: The conditions of each group of the filter; at least one group, which may be empty.
        problems: What is wrong, by column.
        theirs: What somebody else made of a setting meanwhile, by column.
        fixed: What may not be changed.
        seen: The settings that were shown when the person began; None for a new profile.
        model: The profile that a new one begins as.
    """

    texts: dict[str, str]
    groups: list[list[Row]]
    seen: ProfileEntry | None = None
    problems: dict[str, WrongValue] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    fixed: tuple[str, ...] = FIXED
    model: Profile | None = None

    @classmethod
    def of(cls, entry: ProfileEntry) -> Sheet:
        """Return the form of what is stored."""
        texts = {name: _text(getattr(entry, name)) for name in (*FIXED, *EDITED)}
        groups = [[Row(name, expression) for name, expression in group] for group in entry.filter]
        return cls(texts, groups or [[]], entry)

    @classmethod
    def sent(cls, form: FormData, stored: ProfileEntry | None = None, *, correctable: bool = False) -> Sheet:
        """Return the form as a person sent it; what may not be changed comes from the stored profile.

        Args:
            form: The form.
            stored: The profile; None for a new one.
            correctable: It has never synced: its mailbox and company may be corrected.

        Raises:
            HTTPException: 400, the form of a stored profile is not one of ours.
        """
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        texts = {name: given.get(name, "") for name in (*FIXED, *EDITED)}
        # A box that is not ticked is not sent.
        texts |= {name: given.get(name, "false") for name in ("enabled", "default_folder")}
        corrected = tuple(name for name in CORRECTED if correctable and name in given)
        fixed = tuple(name for name in FIXED if name not in corrected)
        if stored:
            texts |= {name: _text(getattr(stored, name)) for name in fixed}
        if texts["default_folder"] == "true":
            texts["folder_name"] = stored.folder_name if stored else OWN_CONTACTS
        return cls(texts, _groups_of(given), _seen(given) if stored else None, fixed=fixed)

    @property
    def rows(self) -> list[Row]:
        """All conditions, in the order of the form."""
        return [row for group in self.groups for row in group]

    @property
    def numbered(self) -> list[list[tuple[int, Row]]]:
        """The groups, each condition with a number of its own in the form."""
        numbers = itertools.count()
        return [[(next(numbers), row) for row in group] for group in self.groups]

    @property
    def is_wrong(self) -> bool:
        """Whether something has to be fixed before it can be saved."""
        return bool(self.problems) or any(row.problem for row in self.rows)

    def entry(self, field_profile: str) -> ProfileEntry | None:
        """Return the settings, or None and note everything that is wrong."""
        values: dict[str, Any] = {}
        for name, text in self.texts.items():
            # Templates are checked in any case, as conditions are: the field profile may have changed since.
            if self.seen and name != "categories" and self._is_untouched(name, text):
                # A name that came from Outlook keeps even what the page could only paraphrase.
                values[name] = getattr(self.seen, name)
                continue
            try:
                values[name] = _checked(name, text, field_profile)
            except WrongValue as wrong:
                self.problems[name] = wrong
        chosen = self._chosen(field_profile)
        return None if self.is_wrong else ProfileEntry(**values, filter=chosen)

    def _is_untouched(self, name: str, text: str) -> bool:
        return name in self.fixed or text == shown(_text(getattr(self.seen, name)))

    def wish(self, field_profile: str) -> Wish | None:
        """Return what decides who is in the folder, or None where a condition cannot be understood."""
        chosen = self._chosen(field_profile)
        if any(row.problem for row in self.rows):
            return None
        me = self.texts["salesperson_code"].strip().upper()
        parsed = parse_filter(chosen, field_profile=field_profile)
        templates = self._templates(field_profile)
        return Wish(parsed, me, self.texts["direction"], self.texts["left_scope"], templates)

    def _templates(self, field_profile: str) -> tuple[str, ...] | None:
        try:
            found: tuple[str, ...] = _checked("categories", self.texts["categories"], field_profile)
        except WrongValue as wrong:
            self.problems["categories"] = wrong
            return None
        return found

    def _chosen(self, field_profile: str) -> Groups:
        """Return the filter of the conditions that are in order, and note what is wrong with the others.

        A condition without an expression filters nothing. A group of only such ones is left out: who has added it and
        not filled it in yet does not ask for everybody.
        """
        groups: list[list[Pair]] = []
        for rows in self.groups:
            groups.append([])
            for row in rows:
                if pair := row.check(field_profile):
                    groups[-1].append(pair)
                    row.limit(groups)
        filled = (tuple(pair for pair in group if pair[1]) for group in groups)
        return tuple(group for group in filled if group)

    def merge(self, mine: ProfileEntry, stored: ProfileEntry) -> None:
        """Show what somebody else changed meanwhile: their value where I left it alone, else beside mine."""
        seen, self.seen = self.seen, stored
        for name in (*CORRECTED, *EDITED, "filter"):
            before, theirs = getattr(seen, name), getattr(stored, name)
            if theirs == before:
                continue
            self.theirs[name] = theirs
            if getattr(mine, name) != before:
                continue
            if name == "filter":
                self.groups = Sheet.of(stored).groups
            else:
                self.texts[name] = _text(theirs)

    def seen_as_text(self) -> str:
        """Return what was shown, for the form to bring back; "" for a new profile."""
        if self.seen is None:
            return ""
        return json.dumps(asdict(self.seen) | {"filter": to_written(self.seen.filter)})


def _checked(name: str, text: str, field_profile: str) -> Any:
    if name == "categories":
        return profile_values.check_categories(split_templates(text), field_profile=field_profile)
    return profile_values.check(name, text)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return join_templates(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _groups_of(given: Mapping[str, str]) -> list[list[Row]]:
    """The conditions in the order of the form, where each has a number of its own, behind the mark of its group."""
    groups: list[list[Row]] = [[]]
    for name in given:
        kind, _, number = name.partition("-")
        if kind == "group" and number:
            groups.append([])
        elif kind == "field" and number:
            groups[-1].append(Row(given[name], given.get(f"expression-{number}", "")))
    return [group for group in groups if group] or [[]]


def _seen(given: Mapping[str, str]) -> ProfileEntry:
    try:
        values = json.loads(given.get("seen", ""))
        categories = tuple(map(str, values["categories"]))
        return replace(ProfileEntry(**values), filter=from_written(values["filter"]), categories=categories)
    except (ValueError, TypeError, KeyError) as error:
        raise HTTPException(400, msg("This form is incomplete: open the page again.")) from error
