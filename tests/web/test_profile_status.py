"""How a profile is doing, at the top of its page: in one sentence, with its last runs and its first steps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, insert, update

from sync_lib.store import tables as t
from sync_lib.store.profiles.checks import Line, Said, write_check
from sync_lib.store.queries.profile_runs import ProfileRun
from sync_lib.web import profile_status
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.surroundings import VIEWER
from tests.web.world import (
    NOON,
    add_hold,
    add_profile,
    add_reject,
    add_result,
    add_run,
    at,
    counters,
)  # fmt: skip

Make = Callable[..., TestClient]
BOUND = {"graph_user_id": "anna", "folder_id": "f-anna"}


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))


def sync_well(conn: Connection, profile: int, minute: int) -> None:
    good = {"side": "outlook", "scope": str(profile), "last_good_at": at(minute)}
    conn.execute(insert(t.cursor).values(updated_at=NOON, **good))


@pytest.fixture
def anna(engine: Engine) -> int:
    """A profile with three good runs."""
    with engine.begin() as conn:
        key = add_profile(conn, "anna@a.example", **BOUND)
        for n in range(1, 4):
            add_run(conn, f"manual__{n}", at(n))
            found = counters(20, unchanged=20 - n, updated=n)
            add_result(conn, f"manual__{n}", key, started_at=at(n), counters=found)
        sync_well(conn, key, 3)
    return key


def status(client: TestClient, profile: int) -> str:
    answer = client.get(f"/profiles/{profile}/status")
    assert answer.status_code == 200
    assert "<html" not in answer.text
    return answer.text


def test_a_profile_that_syncs(visit: Make, anna: int) -> None:
    html = visit().get(f"/profiles/{anna}").text
    assert "It syncs, and both sides agree." in html
    assert html.count('id="status"') == 1
    for way in (f"contacts?profile={anna}", f"plans/{anna}/manual__3", f"rejects?profile={anna}"):
        assert f'href="/contact_sync/{way}"' in html
    assert "/dags/contact_sync/runs/manual__3/tasks/sync_profile/mapped/0" in html
    assert re.findall(r'data-start="(\w+)"', html) == ["plan", "incremental", "full"]
    assert 'class="steps"' not in html


def test_who_may_only_look_is_offered_no_run(visit: Make, anna: int) -> None:
    html = visit(VIEWER).get(f"/profiles/{anna}").text
    assert "It syncs, and both sides agree." in html
    assert "data-start=" not in html


def test_cause_and_remedy_in_one_sentence(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        add_reject(conn, anna, "a", "email_missing")
    assert "It syncs. Contacts that do not: 1." in status(visit(), anna)
    with engine.begin() as conn:
        failed = {"reason": "mailbox_not_found", "message": "404 Not Found", "started_at": at(4)}
        add_run(conn, "manual__4", at(4), state="failed")
        add_result(conn, "manual__4", anna, "failed", ended_at=at(4), **failed)
    shown = plain(status(visit(), anna))
    assert "Its last run failed. Microsoft 365 knows no such mailbox. Correct the mailbox" in shown
    assert "404 Not Found" in shown
    with engine.begin() as conn:
        held = {"reason": "too_many_deletes", "counters": counters(20, held=12, unchanged=8)}
        add_run(conn, "manual__5", at(5))
        add_result(conn, "manual__5", anna, "held", started_at=at(5), ended_at=at(5), **held)
        hold = add_hold(conn, profile=anna)
    html = status(visit(), anna)
    assert "Changes that wait until a person decides: 12." in html
    assert "More contacts would be deleted in Outlook than the limit" in html
    assert f'href="/contact_sync/holds/{hold}">Look and decide' in html
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(enabled=False))
    assert "It is switched off: nothing of it syncs." in status(visit(), anna)


def test_it_is_looked_at_again_while_a_run_is_at_work(visit: Make, engine: Engine, anna: int) -> None:
    assert "every 5s" not in status(visit(), anna)
    with engine.begin() as conn:
        add_run(conn, "manual__4", at(4), ended_at=None, state="running")
        add_result(conn, "manual__4", anna, "running", started_at=at(4))
    html = status(visit(), anna)
    assert "every 5s" in html
    assert "It syncs, and both sides agree." in html, "what the last run came to stays"
    assert 'href="/dags/contact_sync/runs/manual__4">A run is at work' in html


# -- first steps -----------------------------------------------------------------------------------------------------


def steps(html: str) -> dict[str, str]:
    return {
        name: state
        for state, name in re.findall(r'<li class="is-(done|next|later)">\s*<strong>(\w+)</strong>', html)
    }


def checked(conn: Connection, profile: int, *, ok: bool) -> None:
    write_check(conn, profile, "check", NOON, [Line("mailbox", ok, "", Said("x"), Said("y"))])


def test_a_new_profile_is_led_from_check_to_plan_to_sync(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        key = add_profile(conn, "new@a.example")
    html = status(visit(), key)
    assert "It has never synced." in html
    assert steps(html) == {"Check": "next", "Plan": "later", "Sync": "later"}
    with engine.begin() as conn:
        checked(conn, key, ok=False)
    html = status(visit(), key)
    assert steps(html) == {"Check": "next", "Plan": "later", "Sync": "later"}
    assert "1 thing is wrong." in html
    with engine.begin() as conn:
        checked(conn, key, ok=True)
    assert steps(status(visit(), key)) == {"Check": "done", "Plan": "next", "Sync": "later"}
    with engine.begin() as conn:
        add_run(conn, "plan__1", at(1), dry_run=True)
        planned = {"read": 60, "outcomes": {}, "planned": {"created_outlook": 60}}
        add_result(conn, "plan__1", key, started_at=at(1), ended_at=at(1), counters=planned)
    html = status(visit(), key)
    assert steps(html) == {"Check": "done", "Plan": "done", "Sync": "next"}
    assert f'plans/{key}/plan__1">60 contacts would be written</a>' in html
    with engine.begin() as conn:
        add_run(conn, "manual__2", at(2))
        add_result(conn, "manual__2", key, started_at=at(2), ended_at=at(2), counters=counters(60))
        sync_well(conn, key, 2)
    assert steps(status(visit(), key)) == {}


def test_a_plan_that_failed_is_no_step(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        key = add_profile(conn, "new@a.example")
        checked(conn, key, ok=True)
        add_run(conn, "plan__1", at(1), dry_run=True, state="failed")
        add_result(conn, "plan__1", key, "failed", started_at=at(1), reason="mailbox_not_found")
    assert steps(status(visit(), key))["Plan"] == "next"


# -- the chart -------------------------------------------------------------------------------------------------------


def test_each_run_has_a_bar_and_its_time_in_the_list(visit: Make, anna: int) -> None:
    html = status(visit(), anna)
    bars = re.findall(r'<a href="#(run-\d)" aria-label="([^"]*)"', html)
    assert [name for name, _ in bars] == ["run-0", "run-1", "run-2"]
    assert bars[2][1] == "2 Mar 2026 12:03 UTC: good, 3 written"
    assert re.findall(r'<li id="(run-\d)"', html) == ["run-2", "run-1", "run-0"]
    # The axis ends above the highest bar, and the legend explains what is there.
    assert re.findall(r'text-anchor="end">(\w+)</text>', html) == ["5", "0"]
    assert re.findall(r"</svg> ([\w ]+)</span>", html) == ["good"]


def test_dry_runs_say_so_and_what_died_has_failed(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        add_run(conn, "plan__4", at(4), dry_run=True)
        add_result(conn, "plan__4", anna, started_at=at(4), counters={"planned": {"updated_outlook": 7}})
        add_run(conn, "manual__5", at(5), state="failed")
        add_result(conn, "manual__5", anna, "running", started_at=at(5))
    html = status(visit(), anna)
    labels = re.findall(r'<a href="#run-\d" aria-label="([^"]*)"', html)
    assert labels[3:] == [
        "2 Mar 2026 12:04 UTC: plan only, 7 written",
        "2 Mar 2026 12:05 UTC: failed, 0 written",
    ]
    assert "Its task ended without an outcome" in html


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (499, 500), (501, 1000)]
)
def test_the_axis_ends_with_a_round_number(most: int, top: int) -> None:
    runs = [ProfileRun(f"r{n}", "done", "", "full", False, NOON, 0, {"x": n}) for n in (0, most)]
    chart = profile_status.chart_of(runs)
    assert chart.top == top
    assert all(bar.y >= 0 and bar.height > 0 and bar.y + bar.height == chart.height for bar in chart.bars)


def test_no_more_runs_than_fit(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        for n in range(40):
            add_run(conn, f"more__{n}", at(10 + n))
            add_result(conn, f"more__{n}", anna, started_at=at(10 + n))
    assert len(re.findall(r'<li id="run-\d+"', status(visit(), anna))) == 24


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        for n, text in enumerate(HOSTILE):
            kept = text.replace("\0", "")
            key = add_profile(conn, f"{n}@a.example", company_name=kept, folder_name=kept)
            add_run(conn, f"r{kept}", at(n))
            values: dict[str, Any] = {"reason": kept[:60], "message": kept, "started_at": at(n)}
            add_result(conn, f"r{kept}", key, "failed", **values)
    for n in range(len(HOSTILE)):
        assert_plain_text(status(visit(), n + 1))


def test_one_that_has_ended_or_never_was_has_no_status(visit: Make, engine: Engine, anna: int) -> None:
    assert visit().get("/profiles/99/status").status_code == 404
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(ended_at=NOON, ending="keep"))
    assert visit().get(f"/profiles/{anna}/status").status_code == 409


# -- a copy ----------------------------------------------------------------------------------------------------------


def test_a_copy_begins_with_the_settings_of_another_one(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        values = {"filter": json.dumps([["City", "Utrecht"]]), "salesperson_code": "AB", "language": "fr"}
        conn.execute(update(t.sync_profile).values(folder_name="Klanten", enabled=False, **values))
    html = visit().get(f"/profiles/new?like={anna}").text
    assert 'name="mailbox" value=""' in html
    assert 'name="salesperson_code" value=""' in html
    for kept in ('value="Molenzicht BV"', 'value="Klanten"', 'value="Utrecht"', 'value="fr"'):
        assert kept in html
    assert re.search(r'id="enabled"[^>]* checked', html)
    assert visit().get("/profiles/new?like=99").status_code == 404
