"""The YAML file that profiles are reviewed in, imported from and exported to (rules 1). Text in, values out.

::

    companies:                      # only those whose phone numbers are not Dutch
      - name: CRONUS België NV      # as the profiles below name it
        phone_region: BE            # ISO 3166: where phone numbers without a country code belong
    defaults:                       # what the rows below have unless they say otherwise: any key of them but mailbox
      language: en
    groups:                         # of Entra ID: who joins gets a profile, who leaves is dealt with, by night
      - group: Sales NL             # name or id of the group
        company: CRONUS Nederland   # and folder, filter, direction, language, policies as of a profile
        leavers: switch_off         # or end_keep, end_remove: their profiles end
    profiles:
      - mailbox: anna@example.com   # user principal name
        company: CRONUS Nederland   # name or id of the company in Business Central
        # All that follows may be left out; these are the defaults.
        enabled: true
        folder: Business Central
        folder_was:                 # with another folder: its name before, where the file does not show it by itself
        mailbox_was:                # of a profile that has never synced: corrects its mailbox
        company_was:                # the same of its company
        default_folder: false       # true: the mailbox's own Contacts folder, in place of a folder of its own
        filter: {}                  # field: expression, or a list of expressions that must all hold; or a list
                                    # of such groups, one of which must hold
        direction: both             # both, to_outlook, to_business_central
        salesperson:                # code of this colleague; what %me means in a filter
        language: nl                # of country names in Outlook
        categories:                 # of the contacts in Outlook, beside the user's own; [] for none
          - Business Central        # or a text with {company}, {salesperson}, {territory} in it
        policies:
          deleted_in_outlook: recreate        # or stay_away
          deleted_in_business_central: delete # or keep
          left_scope: delete                  # or keep
          blank_in_business_central: fill     # or overwrite

A profile is known by its mailbox, company and folder. Another mailbox or company is another profile; another folder is
one too, or another name for the folder: ``profile_matching``. What the file does not name stays as it is. Every value
is text, so that ``NO`` is Norway and ``0123`` keeps its zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import yaml

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields import categories
from sync_lib.fields.filters import Group, Groups, Pair, check_length
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.file_nodes import (
    WrongNode,
    is_blank,
    plain,
    refuse_no_condition,
    to_categories,
    to_mapping,
    to_region,
    to_sequence,
    to_text,
    to_value,
)
from sync_lib.store.profiles.wording import ListError, placed, why_wrong, worded

T = TypeVar("T")

OWN_CONTACTS = "Contacts"
#: Profiles of one file.
MOST_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """One profile of the file, in the names of the table ``sync_profile``."""

    mailbox: str
    company_name: str
    enabled: bool = True
    folder_name: str = "Business Central"
    default_folder: bool = False
    filter: Groups = ()
    direction: str = "both"
    salesperson_code: str = ""
    language: str = "nl"
    deleted_in_outlook: str = "recreate"
    deleted_in_bc: str = "delete"
    left_scope: str = "delete"
    blank_in_bc: str = "fill"
    categories: tuple[str, ...] = categories.DEFAULT

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it this profile and no other; nothing of it is case-sensitive."""
        return identity(self.mailbox, self.company_name, None if self.default_folder else self.folder_name)


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One group of the file, in the names of the table ``profile_group``: what the profiles of its members have."""

    group_name: str
    company_name: str
    folder_name: str = "Business Central"
    filter: Groups = ()
    direction: str = "both"
    language: str = "nl"
    deleted_in_outlook: str = "recreate"
    deleted_in_bc: str = "delete"
    left_scope: str = "delete"
    blank_in_bc: str = "fill"
    categories: tuple[str, ...] = categories.DEFAULT
    leavers: str = "switch_off"

    @property
    def identity(self) -> tuple[str, str]:
        """What makes it this group and no other: one group of Entra ID may have several companies."""
        return self.group_name.casefold(), self.company_name.casefold()


@dataclass(frozen=True, slots=True)
class Was:
    """What a row says that its profile was called before; "" where it says nothing."""

    mailbox: str = ""
    company: str = ""
    folder: str = ""

    @property
    def said(self) -> bool:
        """Whether the row says anything of it."""
        return bool(self.mailbox or self.company or self.folder)


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """What a file says.

    Attributes:
        profiles: Its rows.
        regions: Phone regions by name of the company.
        was: What each row says that it was, in the order of ``profiles``; empty where none says anything.
        groups: Groups whose members get profiles.
        defaults: What rows have that do not say otherwise, by column; None where the file says nothing of it.
    """

    profiles: tuple[ProfileEntry, ...]
    regions: Mapping[str, str] = field(default_factory=dict)
    was: tuple[Was, ...] = ()
    groups: tuple[GroupEntry, ...] = ()
    defaults: Mapping[str, Any] | None = None


def identity(mailbox: str, company: str, folder: str | None) -> tuple[str, ...]:
    """Return what makes a profile; ``folder`` is None for the mailbox's own Contacts folder."""
    folded = profile_values.folded
    own = ("own contacts",) if folder is None else ("folder", folded(folder))
    return (folded(mailbox), folded(company), *own)


# -- out -------------------------------------------------------------------------------------------------------------

#: Key of a policy in the file -> column of ``sync_profile``.
POLICY_NAMES = {
    "deleted_in_outlook": "deleted_in_outlook",
    "deleted_in_business_central": "deleted_in_bc",
    "left_scope": "left_scope",
    "blank_in_business_central": "blank_in_bc",
}

#: Key of a profile in the file -> column of ``sync_profile``.
NAMES = {
    "mailbox": "mailbox",
    "company": "company_name",
    "enabled": "enabled",
    "folder": "folder_name",
    "default_folder": "default_folder",
    "filter": "filter",
    "direction": "direction",
    "salesperson": "salesperson_code",
    "language": "language",
    "categories": "categories",
}


#: Key of a group in the file -> column of ``profile_group``.
GROUP_NAMES = {
    "group": "group_name",
    **{name: NAMES[name] for name in ("company", "folder", "filter", "direction", "language", "categories")},
    "leavers": "leavers",
}

#: Key of ``defaults`` -> column.
_DEFAULT_NAMES = {name: column for name, column in NAMES.items() if name != "mailbox"}


#: What a row was called before -> the column whose values it takes.
_WAS = {"mailbox_was": "mailbox", "company_was": "company_name", "folder_was": "folder_name"}


def dump(content: ProfileFile) -> str:
    """Return the file's text; what has its default value is left out."""
    document: dict[str, Any] = {}
    if content.regions:
        document["companies"] = [
            {"name": name, "phone_region": region} for name, region in sorted(content.regions.items())
        ]
    defaults = content.defaults or {}
    if content.defaults is not None:
        document["defaults"] = _written(defaults, _DEFAULT_NAMES)
    if content.groups:
        document["groups"] = [_written(_differing(group, defaults), GROUP_NAMES) for group in content.groups]
    document["profiles"] = [_dumped(entry, defaults) for entry in content.profiles]
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=110)


def _dumped(entry: ProfileEntry, defaults: Mapping[str, Any]) -> dict[str, Any]:
    values = _differing(entry, defaults)
    if entry.default_folder:
        values.pop("folder_name", None)
    return _written(values, NAMES)


def _differing(entry: ProfileEntry | GroupEntry, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row must say, by column: what it would not have by itself."""
    by_itself = {each.name: each.default for each in fields(entry)} | dict(defaults)
    values = {each.name: getattr(entry, each.name) for each in fields(entry)}
    return {column: value for column, value in values.items() if value != by_itself[column]}


def _written(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return values, by column, as the file has them: by key, policies below a key of their own."""
    written = {name: values[column] for name, column in names.items() if column in values}
    if "filter" in written:
        groups = [_dumped_group(group) for group in written["filter"]]
        written["filter"] = groups if len(groups) > 1 else groups[0] if groups else {}
    if "categories" in written:
        written["categories"] = list(written["categories"])
    policies = {name: values[column] for name, column in POLICY_NAMES.items() if column in values}
    return written | ({"policies": policies} if policies else {})


def _dumped_group(group: Group) -> dict[str, str | list[str]]:
    return {name: many[0] if len(many) == 1 else many for name, many in _by_field(group).items()}


def _by_field(group: Iterable[Pair]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, expression in group:
        found.setdefault(name, []).append(expression)
    return found


def in_file_order(groups: Iterable[Iterable[Pair]]) -> Groups:
    """Return a filter with the expressions of one field together, as the file has them; it means the same."""
    return tuple(
        tuple((name, each) for name, many in _by_field(group).items() for each in many) for group in groups
    )


# -- in --------------------------------------------------------------------------------------------------------------


def parse(text: str, *, field_profile: str) -> ProfileFile:
    """Return what a file says.

    Args:
        text: The file.
        field_profile: ``standard`` or ``extended``: the fields that filters may name.

    Raises:
        ConfigError: Something is wrong. The message names everything that is, each with its row, field and line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ListError("", [worded("The file is not YAML: %(error)s", error=error)]) from error
    return _Parser(field_profile).parse(root)


class _Parser:
    def __init__(self, field_profile: str) -> None:
        self._field_profile = field_profile
        self._problems: list[str] = []
        self._was: list[Was] = []

    def parse(self, root: yaml.Node | None) -> ProfileFile:
        known = ("companies", "defaults", "groups", "profiles")
        top = self._attempt(worded("The file"), to_mapping, root, known) or {}
        if not self._problems and "profiles" not in top:
            self._problems.append(worded("The file has no list 'profiles:'."))
        defaults = self._defaults(top["defaults"]) if "defaults" in top else None
        rows = self._attempt("profiles", to_sequence, top.get("profiles")) or []
        if len(rows) > MOST_ROWS:
            # One row may be named many times over by a few bytes each.
            many = worded("A file has at most %(most)s profiles: take it in parts.", most=MOST_ROWS)
            raise ListError("Nothing was changed. ", [many])
        entries = [entry for n, row in enumerate(rows, 1) if (entry := self._entry(n, row, defaults or {}))]
        self._refuse_twins(entries)
        groups = self._groups(top.get("groups"), defaults or {})
        regions = self._regions(top.get("companies"))
        if self._problems:
            raise ListError("Nothing was changed.\n", self._problems)
        was = tuple(self._was) if any(was.said for was in self._was) else ()
        return ProfileFile(tuple(entries), regions, was, groups, defaults)

    def _attempt(self, where: str, read: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return read(*arguments)
        except WrongNode as wrong:
            if wrong.line:
                where = worded("%(where)s (line %(line)s)", where=where, line=wrong.line)
            self._problems.append(placed("%(where)s: %(wrong)s", where=where, wrong=wrong.message))
            return None

    def _defaults(self, node: yaml.Node) -> dict[str, Any]:
        if is_blank(node):
            return {}
        row = self._attempt("Defaults", to_mapping, node, (*_DEFAULT_NAMES, "policies")) or {}
        values = self._values("Defaults", row, node, _DEFAULT_NAMES, ())
        self._refuse_two_folders("Defaults", row, values)
        return values

    def _entry(self, number: int, node: yaml.Node, defaults: Mapping[str, Any]) -> ProfileEntry | None:
        where = worded("Profile %(number)s", number=number)
        row = self._attempt(where, to_mapping, node, (*NAMES, *_WAS, "policies"))
        if row is None:
            return None
        name = plain(row.get("mailbox")) or worded("without a mailbox")
        where = placed("%(where)s (%(name)s)", where=where, name=name)
        known = len(self._problems)
        needed = ("mailbox",) if "company_name" in defaults else ("mailbox", "company")
        values = self._values(where, row, node, NAMES, needed)
        was = self._what_it_was(where, row)
        self._refuse_two_folders(where, row, values)
        values = _over(defaults, values)
        if values.get("default_folder"):
            values["folder_name"] = OWN_CONTACTS
        if len(self._problems) > known:
            return None
        self._was.append(was)
        return ProfileEntry(**values)

    def _groups(self, node: yaml.Node | None, defaults: Mapping[str, Any]) -> tuple[GroupEntry, ...]:
        columns = {each.name for each in fields(GroupEntry)}
        usual = {column: value for column, value in defaults.items() if column in columns}
        needed = ("group",) if "company_name" in usual else ("group", "company")
        found: dict[tuple[str, str], GroupEntry] = {}
        for number, each in enumerate(self._attempt("groups", to_sequence, node) or [], 1):
            where = worded("Group %(number)s", number=number)
            row = self._attempt(where, to_mapping, each, (*GROUP_NAMES, "policies"))
            if row is None:
                continue
            name = plain(row.get("group")) or worded("without a name")
            where = placed("%(where)s (%(name)s)", where=where, name=name)
            known = len(self._problems)
            values = usual | self._values(where, row, each, GROUP_NAMES, needed)
            if len(self._problems) > known:
                continue
            entry = GroupEntry(**values)
            if entry.identity in found:
                self._problems.append(
                    worded(
                        "%(where)s: the group and its company are in the file twice: take one out.",
                        where=where,
                    )
                )
            found[entry.identity] = entry
        return tuple(found.values())

    def _values(
        self,
        where: str,
        row: Mapping[str, yaml.Node],
        node: yaml.Node,
        names: Mapping[str, str],
        needed: tuple[str, ...],
    ) -> dict[str, Any]:
        """Return what a row says, by column; what is missing is reported at the row."""
        values: dict[str, Any] = {}
        for name, column in names.items():
            if name in row or name in needed:
                place = placed("%(where)s, %(name)s", where=where, name=name)
                if name == "filter":
                    values[column] = self._filter(place, row[name])
                elif name == "categories":
                    values[column] = self._attempt(place, to_categories, row[name], self._field_profile)
                else:
                    values[column] = self._attempt(place, to_value, column, row.get(name), node)
        return values | self._policies(where, row.get("policies"))

    def _refuse_two_folders(
        self, where: str, row: Mapping[str, yaml.Node], values: Mapping[str, Any]
    ) -> None:
        if values.get("default_folder") and "folder" in row:
            self._problems.append(
                worded(
                    "%(where)s, folder: a profile uses either the mailbox's own Contacts folder or one of its own; "
                    "leave out 'folder' or 'default_folder'.",
                    where=where,
                )
            )

    def _what_it_was(self, where: str, row: Mapping[str, yaml.Node]) -> Was:
        said = {}
        for name, column in _WAS.items():
            if name in row and not is_blank(row[name]):
                text = self._attempt(
                    placed("%(where)s, %(name)s", where=where, name=name),
                    to_value,
                    column,
                    row[name],
                    row[name],
                )
                said[name.removesuffix("_was")] = str(text or "")
        return Was(**said)

    def _policies(self, where: str, node: yaml.Node | None) -> dict[str, Any]:
        if node is None:
            return {}
        given = (
            self._attempt(placed("%(where)s, policies", where=where), to_mapping, node, tuple(POLICY_NAMES))
            or {}
        )
        values = {}
        for name, value in given.items():
            place = placed("%(where)s, policies, %(name)s", where=where, name=name)
            values[POLICY_NAMES[name]] = self._attempt(place, to_value, POLICY_NAMES[name], value, value)
        return values

    def _filter(self, where: str, node: yaml.Node) -> Groups:
        """One group, or a list of groups; what is wrong is noted at its group."""
        if not isinstance(node, yaml.SequenceNode):
            group = None if is_blank(node) else self._attempt(where, self._group, node, [])
            return (group,) if group else ()
        if not node.value:
            self._attempt(where, refuse_no_condition, node)
        groups: list[Group] = []
        for number, each in enumerate(node.value, 1):
            place = worded("%(where)s, group %(number)s", where=where, number=number)
            group = self._attempt(place, self._group, each, groups)
            if group is not None and not any(expression for _, expression in group):
                self._attempt(place, refuse_no_condition, each)
            groups.append(group or ())
        return tuple(groups)

    def _group(self, node: yaml.Node, before: list[Group]) -> Group:
        """Return one group of a filter; ``before`` are those that come before it, whose length counts too."""
        pairs: list[Pair] = []
        for name, value in to_mapping(node, None).items():
            for each in to_sequence(value) if isinstance(value, yaml.SequenceNode) else [value]:
                try:
                    text = to_text(each)
                    pairs.append(
                        profile_values.check_condition(name, text, field_profile=self._field_profile)
                    )
                    check_length([*before, pairs])
                except FilterSyntaxError as error:
                    # The place names the group already.
                    raise WrongNode(each, why_wrong(error.in_group(0))) from error
        return tuple(pairs)

    def _refuse_twins(self, entries: list[ProfileEntry]) -> None:
        seen = set()
        for entry in entries:
            if entry.identity in seen:
                folder = OWN_CONTACTS if entry.default_folder else entry.folder_name
                self._problems.append(
                    worded(
                        "The profile of %(mailbox)s for %(company)r and the folder %(folder)r is in the file twice: "
                        "take one of them out.",
                        mailbox=entry.mailbox,
                        company=entry.company_name,
                        folder=folder,
                    )
                )
            seen.add(entry.identity)

    def _regions(self, node: yaml.Node | None) -> dict[str, str]:
        regions: dict[str, str] = {}
        for number, each in enumerate(self._attempt("companies", to_sequence, node) or [], 1):
            where = worded("Company %(number)s", number=number)
            row = self._attempt(where, to_mapping, each, ("name", "phone_region"))
            if row is None:
                continue
            name = self._attempt(
                placed("%(where)s, name", where=where), to_value, "company_name", row.get("name"), each
            )
            region = self._attempt(
                placed("%(where)s, phone_region", where=where), to_region, row.get("phone_region", each)
            )
            if name and name.casefold() in {known.casefold() for known in regions}:
                twice = worded(
                    "%(where)s, name: %(name)r is in the file twice: take one out.", where=where, name=name
                )
                self._problems.append(twice)
            elif name and region:
                regions[name] = region
        return regions


def _over(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row has: its own, and else the defaults. A folder of its own is not the mailbox's Contacts."""
    usual = dict(defaults)
    if "folder_name" in own:
        usual.pop("default_folder", None)
    return usual | dict(own)
