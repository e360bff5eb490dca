"""Which stored profile a row of the file means (rules 1). Values in, values out.

A row means the profile with its mailbox, company and folder; else the one that it says it was; else the one whose
folder a user renamed since the file named it; else, where file and database hold exactly one profile of that mailbox
and company, that one, whose folder gets another name. A row that could mean one or be new is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sync_lib.store.profiles.file import ProfileEntry, ProfileFile, Was, identity
from sync_lib.store.profiles.wording import worded


@dataclass(frozen=True, slots=True)
class Stored:
    """A profile as it is stored.

    ``folder_asked`` is the folder's name that a file gave it last, ``company_id`` Business Central's id of its company
    where that is known, else "".
    """

    id: int
    entry: ProfileEntry
    folder_asked: str
    has_synced: bool
    company_id: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A row of the file and the profile that it means, None for a new one; ``moves``: its name in the file is new."""

    entry: ProfileEntry
    stored: Stored | None = None
    moves: bool = False


Group = tuple[str, ...]


def company_as_stored(entry: ProfileEntry, company_id: str, stored: Sequence[Stored]) -> str:
    """Return how the profiles of a row's mailbox call its company; "" where none of them is of that company.

    One profile may be stored with the company's id and a file name it, or the other way round: the one with the row's
    folder counts first, then one that calls the company as the row does.
    """
    mailbox = entry.mailbox.casefold()
    same = [
        one.entry
        for one in stored
        if one.entry.mailbox.casefold() == mailbox and company_id and one.company_id == company_id
    ]
    for each in same:
        if replace(entry, company_name=each.company_name).identity == each.identity:
            return each.company_name
    names = [each.company_name for each in same]
    return next(
        (name for name in names if name.casefold() == entry.company_name.casefold()), (names or [""])[0]
    )


def match_rows(content: ProfileFile, stored: Sequence[Stored]) -> tuple[list[Match], list[str]]:
    """Return what each row means, in the order of the file, and what is wrong with others."""
    return _Matcher(content, stored).run()


class _Matcher:
    def __init__(self, content: ProfileFile, stored: Sequence[Stored]) -> None:
        nothing = (Was(),) * len(content.profiles)
        self.rows = list(zip(content.profiles, content.was or nothing, strict=True))
        self.by_name = {one.entry.identity: one for one in stored}
        # A thousand rows are compared with a thousand profiles: each is looked up, not looked for.
        self.by_asked: dict[Group, list[Stored]] = {}
        self.by_group: dict[Group, list[Stored]] = {}
        for one in stored:
            self.by_group.setdefault(_group(one.entry), []).append(one)
            if one.folder_asked and not one.entry.default_folder:
                asked = identity(one.entry.mailbox, one.entry.company_name, one.folder_asked)
                self.by_asked.setdefault(asked, []).append(one)
        self.rows_of = Counter(_group(row) for row, _ in self.rows)
        self.problems: list[str] = []
        # Ids of the profiles that rows mean.
        self.meant: set[int] = set()

    def run(self) -> tuple[list[Match], list[str]]:
        found: dict[int, Match] = {}
        # Each way looks at the rows that the ways before it left, since those have the better claim to a profile.
        for way in (self._by_name, self._by_what_it_was, self._by_what_was_asked):
            for number, (entry, was) in enumerate(self.rows):
                if number not in found and (match := way(entry, was)) is not None:
                    found[number] = match
        for number, (entry, _) in enumerate(self.rows):
            if number not in found:
                found[number] = self._by_number(entry)
        return [found[number] for number in range(len(self.rows))], self.problems

    def _by_name(self, entry: ProfileEntry, _was: Was) -> Match | None:
        return self._take(entry, self.by_name.get(entry.identity), moves=False)

    def _by_what_it_was(self, entry: ProfileEntry, was: Was) -> Match | None:
        if not was.said:
            return None
        folder = None if entry.default_folder else was.folder or entry.folder_name
        before = identity(was.mailbox or entry.mailbox, was.company or entry.company_name, folder)
        one = self.by_name.get(before)
        if one and one.has_synced and _group(one.entry) != _group(entry):
            self.problems.append(
                worded(
                    "%(mailbox)s: the profile that 'mailbox_was' or 'company_was' names has synced. Another mailbox "
                    "or company makes another profile: leave the line out, and switch the old one off.",
                    mailbox=entry.mailbox,
                )
            )
        return self._take(entry, one, moves=True)

    def _by_what_was_asked(self, entry: ProfileEntry, _was: Was) -> Match | None:
        if entry.default_folder:
            return None
        for one in self.by_asked.get(entry.identity, ()):
            if match := self._take(entry, one, moves=False):
                return match
        return None

    def _take(self, entry: ProfileEntry, one: Stored | None, *, moves: bool) -> Match | None:
        if one is None or one.id in self.meant:
            return None
        self.meant.add(one.id)
        return Match(entry, one, moves)

    def _by_number(self, entry: ProfileEntry) -> Match:
        """A row that names no profile: a new one, or one whose folder gets another name."""
        group = self.by_group.get(_group(entry), [])
        left = [one for one in group if one.id not in self.meant and not one.entry.default_folder]
        if entry.default_folder or not left:
            return Match(entry)
        if self.rows_of[_group(entry)] == len(group) == 1:
            return self._take(entry, left[0], moves=True) or Match(entry)
        names = ", ".join(repr(one.entry.folder_name) for one in left)
        self.problems.append(
            worded(
                "%(mailbox)s, folder %(folder)r: this may be a new profile, or another name for the folder of one "
                "that the file does not name (%(names)s). For another name add 'folder_was: ...'; for a new profile, "
                "name those in the file too.",
                mailbox=entry.mailbox,
                folder=entry.folder_name,
                names=names,
            )
        )
        return Match(entry)


def _group(entry: ProfileEntry) -> Group:
    return entry.mailbox.casefold(), entry.company_name.casefold()
