"""Small charts of days: coordinates, which a template writes as SVG. The pages allow no styles in their text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 340, 128
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 22


@dataclass(frozen=True, slots=True)
class Series:
    """One row of values, a value for each day; None where there is none.

    Attributes:
        name: For the legend, in the reader's language.
        kind: What it looks like: a class of the style sheet.
        values: From the oldest day on.
    """

    name: str
    kind: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar; ``text`` says what it stands for."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """Points of one series that follow each other without a gap, as SVG takes them."""

    kind: str
    points: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A day on a line; ``text`` says what it stands for."""

    kind: str
    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis."""

    at: float
    label: str
    anchor: str = "end"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart; ``said`` is what it shows, in a sentence for those who do not see it."""

    title: str
    said: str
    legend: Sequence[Series]
    rows: Sequence[Tick]
    columns: Sequence[Tick]
    bars: Sequence[Bar] = ()
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.bars or self.dots)


@dataclass(frozen=True, slots=True)
class Axis:
    """The upright axis: from where to where, and how its values are written."""

    lowest: float
    highest: float
    labels: Sequence[tuple[float, str]]

    def y(self, value: float) -> float:
        """Return where a value lies."""
        part = (value - self.lowest) / (self.highest - self.lowest)
        return round(HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def ticks(self) -> list[Tick]:
        """Return its labels with their places."""
        return [Tick(self.y(value), label) for value, label in self.labels]


def nice(value: float) -> float:
    """Return the next round number from a value up: 1, 2 or 5, and zeros."""
    if value <= 1:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= value)


def stacked(
    series: Sequence[Series], days: Sequence[str], axis: Axis, texts: Sequence[Sequence[str]]
) -> list[Bar]:
    """Return the bars of each day on top of each other; ``texts`` are by series and day."""
    slot = _slot(days)
    bars = []
    for n in range(len(days)):
        below = axis.lowest
        for one, said in zip(series, texts, strict=True):
            value = one.values[n]
            if value:
                top = axis.y(below + value)
                bars.append(Bar(one.kind, round(x(n, days) - slot * 0.35, 1), top, round(slot * 0.7, 1),
                                round(max(0.8, axis.y(below) - top), 1), said[n]))  # fmt: skip
                below += value
    return bars


def lines(one: Series, days: Sequence[str], axis: Axis) -> Iterator[Line]:
    """Yield a series as lines, broken where days have no value."""
    points: list[str] = []
    for n, value in enumerate([*one.values, None]):
        if value is not None:
            points.append(f"{x(n, days)},{axis.y(value)}")
            continue
        if len(points) > 1:
            yield Line(one.kind, " ".join(points))
        points = []


def dots(one: Series, days: Sequence[str], axis: Axis, texts: Sequence[str]) -> Iterator[Dot]:
    """Yield the days of a series."""
    for n, value in enumerate(one.values):
        if value is not None:
            yield Dot(one.kind, x(n, days), axis.y(value), texts[n])


def x(n: int, days: Sequence[str]) -> float:
    """Return where the middle of a day lies."""
    return round(LEFT + _slot(days) * (n + 0.5), 1)


def _slot(days: Sequence[str]) -> float:
    return (WIDTH - LEFT - RIGHT) / max(1, len(days))
