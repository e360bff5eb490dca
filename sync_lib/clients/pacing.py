"""When to send: how fast a service may be asked, and how long to wait before the same request goes out again.

Clock, sleep and randomness are handed in; nothing here talks to a network.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

SHORTEST_WAIT = 0.5
#: What one answer may make everybody wait, whatever it asks for: a pause holds for all workers, and a date in another
#: year, or a gateway's idea of a day, would stop the sync without a word. Who comes back too early is told so again.
LONGEST_WAIT = 300.0
_LONGEST_BACKOFF = 30.0


class Gate(Protocol):
    """What every attempt passes before it is sent: a limit shared with other requests, threads or tasks."""

    def slot(self, operations: int = 1) -> AbstractContextManager[None]:
        """Wait until so many operations may be sent, and count them; the context is the request in flight."""

    def pause(self, seconds: float) -> None:
        """Let nothing pass for a while: the service asked us to wait."""


class WindowPacer:
    """A ``Gate`` that keeps within a sliding window of operations and a number of requests in flight.

    An operation counts from before it is sent until ``window`` seconds after its *answer*. The service counts it
    somewhere between the two, so what it sees never exceeds the limit, whatever the latency.
    """

    def __init__(
        self,
        operations: int,
        window: float,
        *,
        concurrency: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit = operations
        self._window = window
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._in_flight_places = threading.BoundedSemaphore(concurrency)
        self._in_flight = 0
        self._done: deque[tuple[float, int]] = deque()
        self._counted = 0
        self._not_before = -math.inf

    @contextlib.contextmanager
    def slot(self, operations: int = 1) -> Iterator[None]:
        """Wait for room for so many operations; more than the whole window holds pass when it is empty."""
        with self._in_flight_places:
            while (delay := self._enter(operations)) > 0:
                self._sleep(delay)
            try:
                yield
            finally:
                self._leave(operations)

    def pause(self, seconds: float) -> None:
        """Let nothing pass for ``seconds`` from now."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def forecast(self, operations: int, seconds: float, at_once: int = 20) -> float:
        """Return how many seconds so many operations will take from now on, the waits for room among them.

        Args:
            operations: How many are to come.
            seconds: How long each takes by itself.
            at_once: How many go in a request.
        """
        with self._lock:
            began = now = self._clock()
            counted = deque(self._done)
            if self._in_flight:
                counted.append((now + self._window, self._in_flight))
            not_before = self._not_before
        total = sum(count for _, count in counted)
        while operations > 0:
            batch = min(at_once, operations, self._limit)
            now = max(now, not_before)
            while counted and (counted[0][0] <= now or total + batch > self._limit):
                until, count = counted.popleft()
                now, total = max(now, until), total - count
            now += seconds * batch
            counted.append((now + self._window, batch))
            total, operations = total + batch, operations - batch
        return now - began

    def _enter(self, operations: int) -> float:
        """Take the room and return 0, or return how long to wait before asking again."""
        with self._lock:
            now = self._clock()
            delay = max(self._not_before - now, self._delay(operations, now))
            if delay <= 0:
                self._in_flight += operations
                self._counted += operations
            return delay

    def _delay(self, operations: int, now: float) -> float:
        while self._done and self._done[0][0] <= now:
            self._counted -= self._done.popleft()[1]
        excess = min(operations, self._limit) + self._counted - self._limit
        for until, count in self._done:
            if excess <= 0:
                break
            excess -= count
            if excess <= 0:
                return until - now
        # What is still in flight has no end yet: look again soon.
        return 0.0 if excess <= 0 else SHORTEST_WAIT / 10

    def _leave(self, operations: int) -> None:
        with self._lock:
            self._in_flight -= operations
            self._done.append((self._clock() + self._window, operations))


class Patience:
    """The waits between the attempts of one request; their sum, and the time of failed attempts, is capped."""

    def __init__(self, cap: float, *, sleep: Callable[[float], None], jitter: Callable[[], float]) -> None:
        self._left = cap
        self._sleep = sleep
        self._jitter = jitter
        self._attempt = 0

    def spend(self, seconds: float) -> None:
        """Count time that went into an attempt which failed."""
        self._left -= seconds

    def wait(self, asked: float | None = None, *, attempts: int | None = None) -> float | None:
        """Wait before the next attempt and return how long; None, without waiting, where patience is at its end.

        Args:
            asked: What the service's ``Retry-After`` says. The wait is never shorter, and grows beyond it from
                attempt to attempt, since some services always answer 1.
            attempts: Give up after so many attempts even if there is time left.
        """
        self._attempt += 1
        if attempts is not None and self._attempt >= attempts:
            return None
        delay = self._delay(asked)
        if delay > self._left:
            return None
        self._left -= delay
        self._sleep(delay)
        return delay

    def _delay(self, asked: float | None) -> float:
        backoff = min(_LONGEST_BACKOFF, SHORTEST_WAIT * 2.0 ** min(self._attempt - 1, 20))
        if asked is None:
            return backoff * (1 + self._jitter())
        # Jitter only adds: coming back early is a refused call, and refused calls count too.
        return max(asked, backoff, SHORTEST_WAIT) + SHORTEST_WAIT * self._jitter()


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, half a second to five minutes; None without one.

    Graph sends whole and fractional seconds, and HTTP allows a date (RFC 9110, 10.2.3). A date is taken relative
    to the answer's own ``Date`` header where it has one, so that our clock does not matter.
    """
    found = {name.lower(): value for name, value in headers.items()}
    text = str(found.get("retry-after", "")).strip()
    try:
        seconds = float(text)
    except ValueError:
        until = _http_date(text)
        if until is None:
            return None
        sent = _http_date(str(found.get("date", "")))
        seconds = until - (sent if sent is not None else time.time() if now is None else now)
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT) if math.isfinite(seconds) else None


def _http_date(text: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
