"""How far a long task is: told every ten seconds, with a time left that holds, and what it waits for."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from sync_lib.clients.pacing import WindowPacer
from sync_lib.run import watch
from sync_lib.run.watch import Watch, in_a_line
from sync_lib.store import progress
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.progress import Progress
from tests.sync.harness import Harness, person, world

#: The documented limit of a mailbox, 10,000 operations in 600 seconds, at a tenth of both: as fast, and ten times less.
CONTACTS, OPERATIONS, SECONDS = 1_000, 600, 60.0


@contextmanager
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Progress]]:
    """What the tasks at work store, look by look."""
    found: list[Progress] = []
    write = progress.write_profile

    def note(conn: Any, run: str, profile: int, one: Progress) -> None:
        write(conn, run, profile, one)
        found.append(one)

    monkeypatch.setattr(progress, "write_profile", note)
    yield found


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def test_a_first_sync_within_the_documented_window_tells_how_far_it_is(
    make_harness: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """U1: what is told moves every ten seconds; the time left is within a quarter after a tenth of a minute."""
    limits = {"graph_window_operations": OPERATIONS, "graph_window": SECONDS}
    people = [person(f"Persoon {n:04d}") for n in range(CONTACTS)]
    slow = {"graph_latency_ms": 100, "graph_window_operations": OPERATIONS, "graph_window_seconds": SECONDS}
    h: Harness = make_harness(world(*people), transport="in_process", sandbox=slow, **limits)
    h.add_profiles()
    monkeypatch.setattr(watch, "EVERY", watch.EVERY / 5)
    with told(monkeypatch) as found, caplog.at_level(logging.INFO, "sync_lib.run.watch"):
        h.full()
    loads = [one for one in found if one.planned]
    assert loads[-1].planned == CONTACTS
    began, ended = seconds(found[0].at), seconds(found[-1].at)
    assert ended - began > SECONDS, "the limit is felt"
    moved = [(one.done, one.left, one.until) for one in loads]
    assert all(a != b for a, b in pairwise(moved)), "each look shows something else"
    for one in loads:
        left = ended - seconds(one.at)
        if seconds(one.at) - began >= 6 and left > 5:
            assert one.left is not None
            assert math.isclose(one.left, left, rel_tol=0.25), (one, left)
    waits = [one for one in loads if one.until]
    assert waits, "somebody waits for the window"
    lines = [record.getMessage() for record in caplog.records]
    assert any("waiting for Microsoft until" in line for line in lines)
    assert "planned" not in h.edges.headway.mailbox
    with read(h.edges.engine) as conn:
        assert conn.scalars(select(t.run_profile.c.progress)).all() == [""], "gone with the task's end"


def test_a_forecast_is_what_a_pacer_takes() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    pacer = WindowPacer(100, 60.0, clock=lambda: now, sleep=sleep)
    assert pacer.forecast(10, 0.5) == 5
    forecast = pacer.forecast(250, 0.1)
    for _ in range(13):
        with pacer.slot(20 if _ < 12 else 10):
            sleep(2.0 if _ < 12 else 1.0)
    assert now == pytest.approx(forecast)
    pacer.pause(500)
    assert pacer.forecast(1, 1.0) == pytest.approx(501)


def test_a_line_says_what_is_read_sent_and_waited_for() -> None:
    assert in_a_line(Progress(pages=12, items=2400)) == "reading: 2400 contacts on 12 pages so far"
    sent = Progress(420, 1000, left=360.0, until="2026-03-02T18:10:00.000Z")
    assert (
        in_a_line(sent) == "sent 420 of 1000 changes, about 6 min left, waiting for Microsoft until 18:10 UTC"
    )
    assert in_a_line(Progress(1, 2)) == "sent 1 of 2 changes"


def test_what_cannot_be_stored_stops_nothing(make_harness: Any) -> None:
    h: Harness = make_harness(world(person("Jan")), transport="in_process")

    def broken(*_: Any) -> None:
        raise RuntimeError

    assert Watch(h.edges, broken).look()


def test_pages_are_counted_while_a_folder_and_a_company_are_read(make_harness: Any) -> None:
    h: Harness = make_harness(world(person("Jan"), person("Piet")), transport="in_process")
    h.add_profiles()
    h.full()
    assert h.edges.headway.pages >= 2
    h.edges.headway.begin()
    assert (h.edges.headway.pages, h.edges.headway.items) == (0, 0)
