"""What a round of delta queries still has to show."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Entry:
    """One line of a round: an item as it is when its page is read, or a removal."""

    number: int
    moves: int | None = None


@dataclass
class Round:
    """The changes between two points in a folder's history, read in pages."""

    mailbox: str
    folder: int
    since: int
    upto: int
    select: tuple[str, ...]
    epoch: int
    entries: list[Entry] = field(default_factory=list)
