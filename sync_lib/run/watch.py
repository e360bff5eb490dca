"""Tell people how far a task is while it is at work: every ten seconds in its log, more often on the pages."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from sync_lib.model import Action
from sync_lib.run.report import in_words
from sync_lib.store import progress
from sync_lib.store.progress import Progress
from sync_lib.times import to_text

if TYPE_CHECKING:
    from sync_lib.services import Services

logger = logging.getLogger(__name__)

#: Seconds between two looks, and looks between two lines of the log.
EVERY, LOOKS = 5.0, 2
#: Looks that saw something new, of which the pace is taken: two minutes at least.
RECENT = 24
#: Waits shorter than this are part of the pace, and nobody is told of them.
SHORT_WAIT = 2.0


class Watch:
    """Looks at how far one task is.

    Args:
        services: Those that the task works with.
        write: Stores what was seen.
    """

    def __init__(self, services: Services, write: Callable[[Connection, Progress], None]) -> None:
        self._services = services
        self._write = write
        self._looks = 0
        self._changes: object = None
        # Seconds at work, without waits, and changes that had an outcome by then.
        self._seen: deque[tuple[float, int]] = deque(maxlen=RECENT)

    def look(self) -> bool:
        """Look once, log and store it; True, so that the timer goes on."""
        self._looks += 1
        found = self.see()
        if self._looks % LOOKS == 0 and (found.pages or found.planned):
            logger.info("%s", in_a_line(found))
        try:
            with self._services.engine.begin() as conn:
                self._write(conn, found)
        except Exception as error:  # noqa: BLE001 - recovered by the next look: telling must not stop what is told of
            logger.info("how far the task is could not be stored: %s", type(error).__name__)
        return True

    def see(self) -> Progress:
        """Return how far the task is."""
        headway, clock = self._services.headway, self._services.clock
        now, changes = clock.monotonic(), headway.changes
        open_ = [change.action for change in changes if change.outcome is None]
        done = len(changes) - len(open_)
        if changes is not self._changes:
            # Another load: how fast the last one was says little of it.
            self._changes = changes
            self._seen.clear()
            self._seen.append((headway.began, 0))
        at_work = now - headway.waited(now)
        if not self._seen or done != self._seen[-1][1]:
            # While it waits nothing changes: that must not wipe out how fast it is otherwise.
            self._seen.append((at_work, done))
        until = headway.waits_until
        waits = max(0.0, until - now) if until is not None else 0.0
        at = clock.now()
        return Progress(
            done=done,
            planned=len(changes),
            left=self._left(open_, at_work, waits),
            until=to_text(at + timedelta(seconds=waits)) if waits >= SHORT_WAIT else None,
            pages=headway.pages,
            items=headway.items,
            at=to_text(at),
        )

    def _left(self, open_: list[Action], at_work: float, waits: float) -> float | None:
        """Seconds that the open changes will take, or None as long as there is no pace."""
        (began, before), (_, done) = self._seen[0], self._seen[-1]
        if not open_ or done <= before:
            return 0.0 if not open_ else None
        each = (at_work - began) / (done - before)
        to_bc = sum(action in (Action.CREATE_BC, Action.UPDATE_BC) for action in open_)
        headway, to_outlook = self._services.headway, len(open_) - to_bc
        if not to_outlook:
            return waits + to_bc * each
        return self._services.outlook.forecast(headway.mailbox, to_outlook, each) + to_bc * each


def in_a_line(found: Progress) -> str:
    """Return how far a task is as a line of its log."""
    if not found.planned:
        line = f"reading: {found.items} contacts on {found.pages} pages so far"
    else:
        line = f"sent {found.done} of {found.planned} changes"
        if found.left:
            line += f", about {in_words(found.left)} left"
    return f"{line}, waiting for Microsoft until {found.until[11:16]} UTC" if found.until else line


@contextmanager
def watch_profile(services: Services, run: str, profile: int) -> Iterator[None]:
    """Tell how far a profile's task is while the block runs."""
    with _watched(services, lambda conn, found: progress.write_profile(conn, run, profile, found)):
        yield


@contextmanager
def watch_company(services: Services, run: str, company: int) -> Iterator[None]:
    """Tell how far the read of a company is while the block runs."""
    with _watched(services, lambda conn, found: progress.write_company(conn, run, company, found)):
        yield


@contextmanager
def _watched(services: Services, write: Callable[[Connection, Progress], None]) -> Iterator[None]:
    services.headway.begin()
    with services.clock.every(EVERY, Watch(services, write).look):
        yield
