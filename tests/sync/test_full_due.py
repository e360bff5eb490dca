"""Rules 5: a full read is due per company and per profile, whatever became of the run of its slot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from sync_lib.extract.staging import is_full_due
from sync_lib.model import Run
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.runs import Cursor
from sync_lib.times import shift, to_text
from tests.sync.harness import Harness, person, world

pytestmark = pytest.mark.sockets

ANNA, BEN = "anna@voorbeeld.example", "ben@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: nothing of it differs between the two."""
    return "sqlite"


@pytest.fixture
def h(make_harness) -> Any:
    made = make_harness(
        world(*(person(f"Persoon {n}") for n in range(3)), mailboxes=[ANNA, BEN]), retry_cap=0.0
    )
    made.add_profiles(ANNA, BEN)
    made.full()
    made.run()
    return made


def ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def last_read(h: Harness, hours: float, side: str | None = None, **values: Any) -> None:
    """Let all last full reads, or those of one side, have begun so many hours ago."""
    with h.edges.engine.begin() as conn:
        mine = update(t.cursor) if side is None else update(t.cursor).where(t.cursor.c.side == side)
        conn.execute(mine.values(last_full_at=to_text(ago(hours)), **values))


def cursors(h: Harness) -> list[Any]:
    with read(h.edges.engine) as conn:
        return list(conn.execute(select(t.cursor).order_by(t.cursor.c.side, t.cursor.c.scope)).mappings())


def full_reads(h: Harness) -> dict[str, int]:
    """Full reads among the logged requests since the last call: of the company, and of folders."""
    since = getattr(h, "seen", 0)
    log = h.sim.control("GET", f"requests?since={since}")
    h.seen = log["last"]
    targets = [each["target"] for each in log["requests"]]
    company = [each for each in targets if "/contacts?" in each and "lastModifiedDateTime,number" in each]
    folders = [
        each
        for each in targets
        if each.endswith("/delta") or "/contacts/delta?$select" in each or "/delta?$select" in each
    ]
    return {
        "company": sum("$filter" not in each and "companies(" in each for each in company),
        "folders": len(folders),
    }


def test_an_incremental_run_reads_in_full_what_no_full_run_has_read_since_the_slot(h):
    """O3: the slot's run dropped out, since the runs take longer than the interval."""
    last_read(h, 30)
    full_reads(h)
    h.run(full_slot=ago(2))
    assert full_reads(h) == {"company": 1, "folders": 2}
    h.run(full_slot=ago(2))
    assert full_reads(h) == {"company": 0, "folders": 0}


def test_who_was_read_since_the_slot_is_not_due(h):
    """O3: each company and each profile by its own last full read."""
    last_read(h, 30)
    last_read(h, 1, side="business_central")
    full_reads(h)
    h.run(full_slot=ago(2))
    assert full_reads(h) == {"company": 0, "folders": 2}
    last_read(h, 30)
    h.run(full_slot=ago(2), profiles=[ANNA])
    assert full_reads(h) == {"company": 1, "folders": 1}
    h.run(full_slot=ago(2))
    assert full_reads(h) == {"company": 0, "folders": 1}


def test_without_a_slot_nothing_is_due(h):
    """O3: the full schedule is *none*."""
    last_read(h, 9999)
    full_reads(h)
    h.run()
    assert full_reads(h) == {"company": 0, "folders": 0}


def test_a_dry_run_is_neither_due_nor_counts(h):
    """O3: nor does one that is full by its form."""
    last_read(h, 30)
    full_reads(h)
    h.run(full_slot=ago(2), dry_run=True)
    assert full_reads(h) == {"company": 0, "folders": 0}
    h.full(dry_run=True)
    full_reads(h)
    h.run(full_slot=ago(2))
    assert full_reads(h) == {"company": 1, "folders": 2}


def test_a_full_read_counts_from_when_it_began(h):
    """O3: a slot that passed while it went on has not been served."""
    began: list[str] = []
    h.sim.add_fault(
        kind="callback", service="bc", path=r"/contacts\?", callback=lambda _: began.append(h.edges.now())
    )
    h.full()
    (company, *_) = cursors(h)
    assert company["last_full_at"] <= began[0]


def test_a_due_read_that_failed_waits_longer_each_time_while_incremental_runs_go_on(h):
    """O3: a company whose full read is too much for BC today syncs its changes all the same."""
    last_read(h, 30)
    h.sim.add_fault(
        kind="status", status=500, service="bc", path=r"/contacts\?(?!.*\$filter).*number", count=None
    )
    assert not h.run(full_slot=ago(2)).verdict.ok
    h.edit_contact("Persoon 1", jobTitle="Inkoper")
    ran = h.run(full_slot=ago(2))
    assert ran.verdict.ok, "the gap has not passed: read as any incremental run"
    assert ran.writes == {"updated_outlook": 2}
    last_read(h, 30, side="business_central", full_tried_at=to_text(ago(0.1)))
    assert not h.run(full_slot=ago(2)).verdict.ok
    assert cursors(h)[0]["full_failures"] == 2
    h.sim.clear_faults()
    last_read(h, 30, side="business_central", full_tried_at=to_text(ago(1.1)))
    assert h.run(full_slot=ago(2)).verdict.ok
    assert (cursors(h)[0]["full_failures"], cursors(h)[0]["full_tried_at"]) == (0, None)


def test_a_mailbox_whose_due_read_fails_holds_up_no_other(h):
    """O3: per profile."""
    last_read(h, 30)
    h.sim.add_fault(kind="status", status=500, service="graph", mailbox=ANNA, path="/delta", count=1)
    ran = h.run(full_slot=ago(2))
    assert (ran.profile(ANNA).state, ran.profile(BEN).state) == ("failed", "done")
    full_reads(h)
    assert h.run(full_slot=ago(2)).verdict.ok
    assert full_reads(h)["folders"] == 0


moments = st.floats(0, 100_000).map(lambda seconds: shift("2026-03-02T00:00:00.000Z", seconds))


@given(slot=moments, last=st.none() | moments, tried=moments, failures=st.integers(0, 50), now=moments)
def test_what_is_due(slot, last, tried, failures, now):
    """O3: never before a slot has passed, always an hour after the last try, at once where none has failed."""
    run = Run("r", "incremental", False, "scheduled", "running", "", now, slot)
    cursor = Cursor(last_full_at=last, full_tried_at=tried if failures else None, full_failures=failures)
    due = is_full_due(cursor, run, now)
    if last is not None and last >= slot:
        assert not due
    elif not failures or tried <= shift(now, -3600):
        assert due
    elif tried > shift(now, -300):
        assert not due
