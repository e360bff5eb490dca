"""Whole runs, and what people hear of them over a real webhook."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from sync_lib.errors import ConfigError
from sync_lib.operate import notify
from sync_lib.run.report import Verdict
from sync_lib.store import tables as t
from tests import receivers
from tests.sync.harness import Harness, Ran, person, world
from tests.sync.test_approval import answer, request

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
LINK = "https://airflow.example/r"


@pytest.fixture
def h(make_harness) -> Harness:
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(12)), mailboxes=[ANNA, BRAM]))
    h.add_profiles(ANNA, BRAM)
    h.full()
    return h


def heard(h: Harness, ran: Ran, *, repeated: bool = False) -> list[str]:
    notice = notify.read_notice(h.edges, ran.report.run, ran.verdict, repeated=repeated)
    return [line for _, lines in notice.parts for line in lines] if notice else []


def test_a_mailbox_that_fails_is_reported_once_and_again_by_night(h):
    assert heard(h, h.run()) == []
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    assert heard(h, h.run()) == [f"mailbox_access_denied: {ANNA}"]
    assert heard(h, h.run(dry_run=True)) == []
    assert heard(h, h.run()) == [], "known, also behind a dry run"
    assert heard(h, h.full()) == [f"mailbox_access_denied: {ANNA}"]
    h.sim.clear_faults()
    assert heard(h, h.run()) == []
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    h.run(dry_run=True)
    assert heard(h, h.run()) == [f"mailbox_access_denied: {ANNA}"], "it is new again"


def test_what_the_guard_holds_is_reported_when_it_begins_to_wait(h):
    for name in list(h.items(ANNA)):
        h.delete_item(name, ANNA)
    assert heard(h, h.run()) == [f"{ANNA}: 12 changes, folder_suddenly_empty"]
    assert heard(h, h.run()) == []
    assert heard(h, h.full()) == [f"{ANNA}: 12 changes, folder_suddenly_empty"]
    assert heard(h, answer(h, request(h), approve=True)) == []
    assert heard(h, h.full()) == []


def test_a_company_that_waits_is_reported_once(h):
    for n in range(8):
        h.delete_contact(f"Persoon {n:02}")
    assert heard(h, h.run()) == ["Molenzicht BV: bc_count_dropped, the whole company"]
    assert heard(h, h.run()) == []


def test_a_profile_without_a_good_sync_for_long_is_reported(h):
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    h.run()
    with h.edges.engine.begin() as conn:
        conn.execute(
            update(t.cursor).where(t.cursor.c.scope == "1").values(last_good_at="2020-01-01T00:00:00.000Z")
        )
    assert heard(h, h.run()) == [], "the run before would have reported it"
    lines = heard(h, h.full())
    assert lines[0] == f"mailbox_access_denied: {ANNA}"
    assert lines[1].startswith(f"{ANNA}: last good sync ")


def test_a_run_that_was_never_planned_is_reported_unless_the_one_before_was_no_better(h):
    dead = Verdict(False, "plan_run failed: see its log. Nothing was synced.")
    for repeated, count in ((False, 1), (True, 0)):
        notice = notify.read_notice(h.edges, "never-planned", dead, repeated=repeated)
        assert bool(notice) == bool(count)
    ran = h.run()
    ran.verdict = Verdict(False, "Failed tasks: report")
    assert heard(h, ran) == ["Failed tasks: report"], "no profile failed, and the run did"


@pytest.mark.parametrize("form", ["teams", "text"])
def test_it_arrives(h, form):
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    ran = h.run()
    notice = notify.read_notice(h.edges, ran.report.run, ran.verdict, repeated=False)
    assert notice
    with receivers.webhook() as taken:
        notify.post(taken.url, form, notice, LINK)
    [body] = taken.bodies
    written: Any = str(body)
    for part in (ANNA, "mailbox_access_denied", LINK):
        assert part in written
    assert "Persoon" not in written
    with pytest.raises(ConfigError, match="takes teams or text"):
        notify.post(taken.url, "smoke", notice, LINK)
