"""What a worker is handed from outside: time, chance, and the way its requests travel.

Production has one of each (``SYSTEM``, the module ``random``, sockets). A simulated world hands in others, so that a
whole run is a function of its seed and waits for nothing.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time of one worker, and its ways to wait."""

    def now(self) -> datetime:
        """Return the time in UTC; for records that people read, since it decides nothing (rules 8.8b)."""

    def monotonic(self) -> float:
        """Return seconds from any beginning, which never run back."""

    def sleep(self, seconds: float) -> None:
        """Wait; never inside a transaction."""

    def every(self, seconds: float, act: Callable[[], bool]) -> AbstractContextManager[None]:
        """Call ``act`` each time so many seconds have passed, until the block ends or it returns False."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def every(self, seconds: float, act: Callable[[], bool]) -> Iterator[None]:
        """Call it from a thread of its own; the end of the block waits for a call that is under way."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(seconds) and act():
                pass

        thread = threading.Thread(target=keep, name="timer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class Chance(Protocol):
    """Where jitter and ids come from that must differ between workers; the module ``random`` is one."""

    def random(self) -> float:
        """Return a number from 0 up to, not including, 1."""

    def getrandbits(self, k: int, /) -> int:
        """Return a whole number of so many bits."""


SYSTEM: Clock = SystemClock()
#: The module, not an instance of its own: its state is drawn anew in each process that is forked.
CHANCE: Chance = random


def draw_id(chance: Chance) -> str:
    """Return a GUID that nobody else draws."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
