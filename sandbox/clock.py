"""The sandbox's own clock: real time plus an offset, or stopped.

Everything the services stamp, expire or count in a window uses it, so that
a test can move time without waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any


class Clock:
    """A clock that can be moved and stopped; ``source`` gives the seconds since the epoch that it goes by."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self.offset = 0.0
        self.frozen_at: float | None = None

    def now(self) -> float:
        """Return seconds since the epoch, as the services see them."""
        return self.frozen_at if self.frozen_at is not None else self._source() + self.offset

    def advance(self, seconds: float) -> None:
        """Move the clock, forwards or backwards."""
        if self.frozen_at is not None:
            self.frozen_at += seconds
        else:
            self.offset += seconds

    def set(self, moment: float) -> None:
        """Make ``moment`` the present; a running clock goes on from there."""
        if self.frozen_at is not None:
            self.frozen_at = moment
        else:
            self.offset = moment - self._source()

    def freeze(self) -> None:
        """Stop the clock at the present moment."""
        self.frozen_at = self.now()

    def resume(self) -> None:
        """Let a stopped clock run on from where it stopped."""
        if self.frozen_at is not None:
            self.offset = self.frozen_at - self._source()
            self.frozen_at = None

    def change(self, body: dict[str, Any]) -> None:
        """Apply a request of the control plane (``set``, ``advance_seconds``, ``freeze``, ``reset``)."""
        if body.get("reset"):
            self.offset, self.frozen_at = 0.0, None
        if "set" in body:
            self.set(parse_moment(body["set"]))
        if "advance_seconds" in body:
            self.advance(float(body["advance_seconds"]))
        if body.get("freeze") is True:
            self.freeze()
        elif body.get("freeze") is False:
            self.resume()

    def to_json(self) -> dict[str, Any]:
        """Return what the control plane shows."""
        return {
            "now": iso_seconds(self.now()),
            "offset_seconds": self.offset,
            "frozen": self.frozen_at is not None,
        }


def parse_moment(text: str) -> float:
    """Return the seconds since the epoch of an ISO date and time (UTC when it names no zone)."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def iso_seconds(moment: float) -> str:
    """Return a moment as Graph writes it: whole seconds and ``Z``."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_milliseconds(milliseconds: int) -> str:
    """Return a moment as Business Central writes it: no trailing zeros in the fraction."""
    # Not strftime, which gives the year of a blank time one digit where the service gives it four.
    text = datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat()[:19]
    fraction = f"{milliseconds % 1000:03d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def sql_milliseconds(moment: float) -> int:
    """Return a moment in milliseconds, rounded to 1/300 s as SQL Server's datetime keeps it."""
    ticks = round(moment * 300)
    return ticks // 300 * 1000 + (0, 3, 7)[ticks % 3] + ticks % 300 // 3 * 10
