"""The top of every page: one calm line where all is well, else why nothing syncs, what waits, and what ends soon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from sync_lib.operate.credentials import Ending
from sync_lib.settings import SyncSettings
from sync_lib.store.causes import read_trouble
from sync_lib.store.profiles.endings import count_ending
from sync_lib.store.profiles.rows import read_enabled_ids
from sync_lib.store.runs import digest_of, read_last_failures, read_last_good, read_waiting
from sync_lib.times import shift
from sync_lib.web import credential_words, words
from sync_lib.web.language import moment, msg
from sync_lib.web.run_words import tell_run
from sync_lib.web.seams import Surroundings


class Reader(Protocol):
    """Who looks: a language, a database, and the settings that hold."""

    @property
    def language(self) -> str:
        """The language of the page."""

    @property
    def settings(self) -> SyncSettings:
        """The settings that hold now."""

    @property
    def now(self) -> str:
        """The time, as the staging database writes it."""

    def text(self, message: str, /, **values: Any) -> str:
        """Return a message in the language of the page."""

    def read(self) -> AbstractContextManager[Connection]:
        """Open the staging database for reading."""


#: Causes whose remedy is in Airflow's Connections, so that the line leads there.
IN_CONNECTIONS = ("AuthError",)
#: Seconds by which the next run may be late before that is said: Airflow is busy now and then.
LATE = 900.0


@dataclass(frozen=True, slots=True)
class Health:
    """What is said at the top of a page.

    Attributes:
        lines: What is wrong or waits, the worst first; none where all is well.
        last_good_at: When the last run ended that worked; None for never.
        schedule: When runs come by themselves, in words where there are some, else as cron; "" for by hand only.
        next_run: When the next one comes; None where none does.
        known: False where nobody asked, since the page itself says what is wrong.
    """

    lines: Sequence[Line] = ()
    last_good_at: str | None = None
    schedule: str = ""
    next_run: str | None = None
    known: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        kind: ``bad`` or ``wait``.
        text: In the reader's language.
        since: When it began, or None.
        remedy: What a person can do, in the reader's language.
        detail: What the error itself said.
        state: Profiles in this state, on the overview, are what it is about; "" for none.
        connections: Whether it is put right in Airflow's Connections.
    """

    kind: str
    text: str
    since: str | None = None
    remedy: str = ""
    detail: str = ""
    state: str = ""
    connections: bool = False


def health_of(visit: Reader, around: Surroundings) -> Health:
    """Return what everybody should know who looks at any page."""
    with visit.read() as conn:
        everybody = digest_of(read_enabled_ids(conn))
        last_good_at, failures = read_last_good(conn), read_last_failures(conn, everybody)
    trouble = _trouble(visit)
    lines = [
        *trouble,
        *_writes(visit),
        *_settings(visit, around),
        *_pause(visit, around),
        *_late(visit, around),
    ]
    lines += [] if trouble else _failed(visit, failures)
    lines += [*_queue(visit, around), *(_ending(visit, each) for each in around.endings)]
    # The order within a kind is that of how much it stops.
    lines.sort(key=lambda line: line.kind != "bad")
    next_run = None if around.paused else around.next_run
    return Health(lines, last_good_at, _schedule(visit, around.schedule), next_run, known=True)


def _schedule(visit: Reader, schedule: str) -> str:
    """Say the schedules that most people have in words; Airflow writes several of them one after the other."""
    return ", ".join(_say_cron(visit, cron) for cron in schedule.split(", ")) if schedule else ""


def _say_cron(visit: Reader, cron: str) -> str:
    if cron == "* * * * *":
        return visit.text(msg("every minute"))
    if found := re.fullmatch(r"\*/(\d+) \* \* \* \*", cron):
        return visit.text(msg("every %(minutes)s minutes"), minutes=found[1])
    if found := re.fullmatch(r"(\d{1,2}) (\d{1,2}) \* \* \*", cron):
        return visit.text(msg("daily at %(time)s"), time=f"{int(found[2]):02}:{int(found[1]):02}")
    return cron


def _late(visit: Reader, around: Surroundings) -> list[Line]:
    """A run should have begun long ago and has not: Airflow itself stands still, so that no run can say why."""
    if around.paused or around.next_run is None or around.next_run >= shift(visit.now, -LATE):
        return []
    text = visit.text(msg("The next run should have begun, and has not."))
    remedy = msg("Check whether Airflow's scheduler is running, and how many of its runs wait.")
    return [Line("bad", text, around.next_run, visit.text(remedy))]


def _failed(visit: Reader, failures: int) -> list[Line]:
    if not failures:
        return []
    text = visit.text(msg("Profiles or companies that failed in the last run: %(count)s."), count=failures)
    return [
        Line("wait", text, remedy=visit.text(msg("The overview says why, and what to do.")), state="failed")
    ]


def _trouble(visit: Reader) -> list[Line]:
    with visit.read() as conn:
        found = read_trouble(conn)
    if found is None:
        return []
    reason = words.reason_of(found.reason)
    text = visit.text(msg("Nothing syncs. %(cause)s."), cause=visit.text(reason.means))
    in_connections = found.reason in IN_CONNECTIONS
    return [
        Line(
            "bad",
            text,
            found.since,
            visit.text(reason.remedy),
            found.message,
            connections=in_connections,
        )
    ]


def _writes(visit: Reader) -> list[Line]:
    if visit.settings.writes:
        return []
    text = msg("Writes are off: runs read and plan, and nothing goes to Business Central or to Outlook.")
    with visit.read() as conn:
        planned, privacy = read_waiting(conn)
        ending = count_ending(conn)
    remedy = visit.text(msg("Set CONTACT_SYNC_WRITES to on again."))
    lines = [Line("bad", visit.text(text), remedy=remedy)]
    if privacy:
        waits = msg("Deletes after a privacy block that wait for that: %(count)s.")
        lines.append(Line("bad", visit.text(waits, count=privacy)))
    if planned > privacy:
        waits = msg("Other changes that wait for that: %(count)s.")
        lines.append(Line("wait", visit.text(waits, count=planned - privacy)))
    if ending:
        waits = msg("Profiles whose end waits for that: %(count)s.")
        lines.append(Line("wait", visit.text(waits, count=ending)))
    return lines


def _settings(visit: Reader, around: Surroundings) -> list[Line]:
    text = visit.text(msg("A setting cannot be read, so another value counts."))
    return [Line("bad", text, detail=problem) for problem in around.problems]


def _pause(visit: Reader, around: Surroundings) -> list[Line]:
    if not around.paused:
        return []
    text = msg(
        "The sync is paused in Airflow: no run begins by itself, and one that is started waits until then."
    )
    return [Line("wait", visit.text(text), remedy=visit.text(msg("Switch the DAG contact_sync on again.")))]


def _queue(visit: Reader, around: Surroundings) -> list[Line]:
    if not around.queued or around.paused:
        return []
    if not around.running:
        return [
            Line(
                "wait",
                visit.text(msg("Runs that wait for Airflow to begin them: %(count)s."), count=around.queued),
            )
        ]
    text = msg("Runs that wait: %(count)s, behind one that is at work (%(run)s).")
    told = tell_run(around.running)
    what = visit.text(told.text) + (f", {moment(told.at, visit.language)}" if told.at else "")
    return [Line("wait", visit.text(text, count=around.queued, run=what))]


def _ending(visit: Reader, ending: Ending) -> Line:
    said = credential_words.sentence(ending, visit.language, visit.text)
    kind = "bad" if ending.days < 0 else "wait"
    return Line(kind, said, remedy=visit.text(credential_words.REMEDY), connections=True)
