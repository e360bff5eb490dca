"""What a page shows of one side, and what its forms ask of that side's own API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sandbox.world import World

#: Contacts of a list; whoever looks for others searches.
SHOWN = 200
#: Seconds for which a contact counts as changed just now.
RECENT = 60


@dataclass(frozen=True, slots=True)
class Line:
    """A contact in a list: its id, what is shown of it, and whether it changed just now."""

    id: str
    name: str
    details: tuple[str, ...]
    flags: tuple[str, ...]
    recent: bool


@dataclass(frozen=True, slots=True)
class Input:
    """A field of a form: ``kind`` is ``text``, ``long``, ``tick`` or ``choice``; ``choices`` are values and titles."""

    name: str
    title: str
    value: str = ""
    kind: str = "text"
    choices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """What a page lists.

    Attributes:
        owners: Mailboxes or companies: ids and names.
        owner: The id of the one that is shown.
        folders: Folders of the mailbox: ids, names and how many contacts are in each; none for a company.
        folder: The id of the one that is shown.
        lines: The contacts, by name, at most ``SHOWN``.
        total: How many there are.
        problem: Why nothing can be shown, "" where it can.
    """

    owners: tuple[tuple[str, str], ...]
    owner: str
    folders: tuple[tuple[str, str, int], ...] = ()
    folder: str = ""
    lines: tuple[Line, ...] = ()
    total: int = 0
    problem: str = ""


#: What a user does, as ``UserActions`` takes it.
Action = dict[str, Any]


class Place(Protocol):
    """One side. Whatever a form names and is not there raises KeyError."""

    name: str
    title: str
    heads: tuple[str, ...]

    def listing(self, world: World, query: Mapping[str, str]) -> Listing:
        """Return what is listed."""

    def form(self, world: World, query: Mapping[str, str]) -> list[Input]:
        """Return the fields of a contact, those of a new one where the query names none."""

    def moves(self, world: World, query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return where a contact can be moved to."""

    def save(self, world: World, query: Mapping[str, str], values: Mapping[str, str]) -> list[Action]:
        """Return what stores these values: of an existing contact those that were changed, else of a new one."""

    def delete(self, world: World, query: Mapping[str, str]) -> list[Action]:
        """Return what deletes a contact."""

    def move(self, world: World, query: Mapping[str, str], to: str) -> list[Action]:
        """Return what moves a contact."""


def listed(lines: list[Line], search: str) -> tuple[tuple[Line, ...], int]:
    """Return the lines that hold a text, by name, at most ``SHOWN``; and how many there are."""
    wanted = search.casefold().strip()
    found = [line for line in lines if wanted in " ".join((line.name, *line.details)).casefold()]
    found.sort(key=lambda line: line.name.casefold())
    return tuple(found[:SHOWN]), len(found)
