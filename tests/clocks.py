"""Clocks that tests hand to a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from sync_lib.ports import SystemClock


class Hasty(SystemClock):
    """The machine's clock, for workers that take no pauses."""

    def sleep(self, seconds: float) -> None:
        pass


class Rounds(SystemClock):
    """A clock whose timers fire a number of times, at once, before their block begins."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.waits: list[float] = []
        self.fired = 0

    @contextlib.contextmanager
    def every(self, seconds: float, act: Callable[[], bool]) -> Iterator[None]:
        self.waits.append(seconds)
        while self.fired < self.number and act():
            self.fired += 1
        yield
