"""Tables of figures, on a terminal and in a page that says what was measured, when, where and how loaded it was.

Pure: figures and texts in, texts out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: Where a program that was never run stands in the page.
NOT_MEASURED = "not measured yet on this commit"
#: Above this part of the cores others used the machine as well, and absolute times say little.
BUSY = 0.25

_SECTION = re.compile(r"^## `(?P<name>[a-z_]+)`", re.MULTILINE)


@dataclass(frozen=True)
class Table:
    """Figures of one kind: what they are, a head, and rows of texts."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    #: What a reader has to know to read it.
    note: str = ""
    #: The last line on the terminal, for whoever reads it by a program.
    closing: str = ""


@dataclass(frozen=True)
class Machine:
    """Where and when something was measured.

    Attributes:
        commit: Short name of the commit; with ``+`` where files differed from it.
        date: Day and minute, UTC.
        cores: Number of processors.
        about: Processor, memory, Python.
        load: Processes that wanted to run in the minute before the first figure, and in the one before the last; a
            benchmark that ran just before is in the first.
        others: Cores that others kept busy while we did nothing, shortly before and after.
    """

    commit: str
    date: str
    cores: int
    about: str
    load: tuple[float, float] = (0.0, 0.0)
    others: tuple[float, float] = (0.0, 0.0)

    @property
    def was_loaded(self) -> bool:
        """Whether others used the machine when the measuring began, or when it ended."""
        return max(self.others) > BUSY * self.cores

    def line(self) -> str:
        """Return a sentence about it."""
        began, ended = self.load
        verdict = "the machine was LOADED by others: read ratios only" if self.was_loaded else "quiet"
        return (
            f"Measured {self.date} UTC at {self.commit}, {self.about}; "
            f"load {began:.1f} at the start, {ended:.1f} at the end; "
            f"{self.others[0]:.1f} and {self.others[1]:.1f} cores busy with other things: {verdict}."
        )


@dataclass(frozen=True)
class Section:
    """What one program says in the page: a heading's text, its reach, and its tables once it was run."""

    name: str
    about: str
    reach: str
    machine: Machine | None = None
    tables: Sequence[Table] = field(default_factory=list)


def ratio(ours: float, reference: float | None) -> str:
    """Return how many times the reference ours is; ``-`` where there is none to compare with."""
    if not reference:
        return "-"
    return f"{ours / reference:.2f}"


def seconds(value: float | None) -> str:
    """Return a time with the unit that suits it; ``-`` where nothing was measured."""
    if value is None:
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed.

    Raises:
        ValueError: There are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, -(-len(ordered) * percent // 100).__trunc__() - 1)]


def growth(times: Mapping[int, float]) -> list[tuple[int, int, float]]:
    """Return for neighbouring sizes, each the tenfold of the one before: both, and by how much the time grew."""
    sizes = sorted(times)
    return [
        (small, large, times[large] / times[small])
        for small, large in itertools.pairwise(sizes)
        if large == 10 * small
    ]


# -- on a terminal ---------------------------------------------------------------------------------------------------


def as_text(table: Table) -> str:
    """Return a table whose columns fit."""
    rows = [table.head, *table.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.head))]
    lines = [
        "  " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([f"\n{table.title}", *lines, *([f"  {table.note}"] if table.note else [])])


# -- in a page -------------------------------------------------------------------------------------------------------


def as_markdown(table: Table) -> str:
    """Return a table of Markdown under its title."""
    head = [_row(table.head), _row(["---"] * len(table.head))]
    parts = [f"**{table.title}**", "\n".join([*head, *map(_row, table.rows)])]
    return "\n\n".join([*parts, *([table.note] if table.note else [])])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def section_text(section: Section) -> str:
    """Return a program's part of the page."""
    heading = [f"## `{section.name}`: {section.about}", f"Reach: {section.reach}."]
    if section.machine is None:
        return "\n\n".join([*heading, f"*{NOT_MEASURED}*"])
    return "\n\n".join([*heading, section.machine.line(), *map(as_markdown, section.tables)])


def names_in(page: str) -> list[str]:
    """Return the programs that a page has a section for, in its order."""
    return [found["name"] for found in _SECTION.finditer(page)]


def kept(page: str) -> dict[str, str]:
    """Return the sections of a page that hold figures, by program: what was measured before stands until it is again.

    Each says itself at which commit that was.
    """
    starts = [(found["name"], found.start()) for found in _SECTION.finditer(page)]
    ends = [*(start for _, start in starts), len(page)][1:]
    texts = {name: page[start:end].strip() for (name, start), end in zip(starts, ends, strict=True)}
    return {name: text for name, text in texts.items() if NOT_MEASURED not in text}


def new_page(head: str, sections: Iterable[Section], old: str) -> str:
    """Return the page: new figures where there are some, else those of the old page, else that there are none."""
    before = kept(old)
    parts = [
        before[section.name] if section.machine is None and section.name in before else section_text(section)
        for section in sections
    ]
    return "\n\n".join([head.strip(), *parts]) + "\n"


def overview(programs: Mapping[str, str], columns: Callable[[str], str] = str) -> str:
    """Return the names of programs with what each is about, for a terminal."""
    width = max(map(len, programs))
    return "\n".join(f"  {name.ljust(width)}  {columns(about)}" for name, about in programs.items())
