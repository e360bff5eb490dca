"""The overview: worst first, with what to do; filtered, sorted and cut into parts by the database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, update

from sync_lib.model import Company
from sync_lib.store import tables as t
from sync_lib.store.company_names import write_listed
from sync_lib.web import overview
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import VIEWER
from tests.web.world import NOON, add_company, add_profile, add_reject, add_result, add_run, at, counters

Make = Callable[..., TestClient]


def mailboxes(html: str) -> list[str]:
    return re.findall(r'<bdi class="name">([^<]*)</bdi>', html)


def states(html: str) -> dict[str, str]:
    rows = re.findall(r'<tr class="is-(\w+)">.*?<bdi class="name">([^<]*)</bdi>', html, flags=re.DOTALL)
    return {mailbox: state for state, mailbox in rows}


@pytest.fixture
def world(engine: Engine) -> dict[str, int]:
    """A profile in each state; ``manual__3`` is the last run, and it left one task without an outcome."""
    with engine.begin() as conn:
        names = ("good", "held", "failed", "never", "dead", "off")
        ids = {name: add_profile(conn, f"{name}@a.example", enabled=name != "off") for name in names}
        for n in range(1, 4):
            add_run(conn, f"manual__{n}", at(n), state="success" if n < 3 else "failed")
            good = counters(20, unchanged=18, updated=n - 1, skipped=3 - n)
            add_result(conn, f"manual__{n}", ids["good"], started_at=at(n), counters=good)
            add_result(conn, f"manual__{n}", ids["off"], started_at=at(n))
        held = {"reason": "too_many_deletes", "counters": counters(20, held=12, unchanged=8)}
        add_result(conn, "manual__3", ids["held"], "held", started_at=at(3), **held)
        failed = {"reason": "mailbox_not_found", "message": "404 Not Found"}
        add_result(conn, "manual__3", ids["failed"], "failed", started_at=at(3), **failed)
        add_result(conn, "manual__2", ids["dead"], started_at=at(2))
        add_result(conn, "manual__3", ids["dead"], "planned")
        add_reject(conn, ids["good"], "a", "email_missing")
        add_reject(conn, ids["good"], "b", "too_long", field="job_title")
        good_at = {"side": "outlook", "scope": str(ids["good"]), "last_good_at": at(3)}
        conn.execute(insert(t.cursor).values(updated_at=NOON, **good_at))
    return ids


@pytest.mark.usefixtures("world")
def test_failed_and_held_come_first_with_plain_words_and_a_remedy(visit: Make) -> None:
    html = visit().get("/").text
    assert mailboxes(html) == [
        f"{name}@a.example" for name in ("dead", "failed", "held", "never", "good", "off")
    ]
    assert states(html)["dead@a.example"] == "failed"
    assert "Its task ended without an outcome" in html
    assert "Microsoft 365 knows no such mailbox.</strong> Correct the mailbox" in html
    assert "More contacts would be deleted in Outlook than the limit" in html


@pytest.mark.parametrize("is_bound", [True, False])
def test_pages_say_what_the_company_could_not_be_read_for(
    visit: Make, engine: Engine, is_bound: bool
) -> None:
    """As messages do: that the company was not read tells nobody what to do."""
    with engine.begin() as conn:
        company = add_company(conn)
        profile = add_profile(conn, "anna@a.example", company=company if is_bound else None)
        add_run(conn, "manual__1", at(1), state="failed")
        add_result(conn, "manual__1", profile, "failed", started_at=at(1), reason="company_not_read")
        row = {"run": "manual__1", "company": company, "state": "failed", "reason": "AuthError"}
        conn.execute(insert(t.run_company).values(row))
    for address in ("/", "/runs/manual__1", f"/profiles/{profile}", f"/plans/{profile}/manual__1"):
        html = visit().get(address).text
        assert "The app cannot log in to Microsoft 365" in html, address
        assert "Check whether its client secret or certificate has ended" in html, address
        assert "could not be read in this run" not in html, address
        assert "extract_business_central" not in html, address


@pytest.mark.usefixtures("world")
def test_numbers_of_the_last_run_and_a_chart_of_the_last_ones(visit: Make) -> None:
    html = visit().get("/?q=GOOD").text
    assert mailboxes(html) == ["good@a.example"]
    assert re.search(r'20<span class="faint"> / 20</span>', html)
    assert html.count('<rect class="bar-done"') == 3
    assert "3 of the last 3 runs were good" in html
    not_synced = html.rpartition('data-label="Not synced"')[2]
    assert re.match(r' class="number"><a href="/contact_sync/rejects\?profile=\d+"[^>]*>2<', not_synced)


def test_the_link_goes_to_the_mapped_tasks_log(visit: Make, world: dict[str, int]) -> None:
    html = visit().get("/?q=held").text
    run = quote("manual__3", safe="")
    assert f'data-airflow href="/dags/contact_sync/runs/{run}/tasks/sync_profile/mapped/1"' in html


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("sort", ["state", "mailbox", "company", "started", "good", "rejects"])
def test_every_order_shows_every_profile_once(visit: Make, sort: str) -> None:
    up, down = (mailboxes(visit().get(f"/?sort={sort}&order={order}").text) for order in ("up", "down"))
    assert sorted(up) == sorted(down) == sorted(set(up))
    assert up[0] != down[0] or sort == "company"


@pytest.mark.usefixtures("world")
def test_filters(visit: Make) -> None:
    assert mailboxes(visit().get("/?state=held").text) == ["held@a.example"]
    assert mailboxes(visit().get("/?q=%25").text) == []
    assert mailboxes(visit().get("/?q=_@").text) == []
    assert mailboxes(visit().get("/?q=MOLENZICHT").text)
    assert "No profile matches." in visit().get("/?q=nobody").text
    assert visit().get("/?state=none").status_code == 400


def test_a_search_takes_any_letter_in_any_case(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        add_profile(conn, "anna@a.example", company_name="Énergie Étoile")
    assert mailboxes(visit().get("/?q=éNERGIE").text) == ["anna@a.example"]


@pytest.mark.usefixtures("world")
def test_the_page_of_a_run_shows_that_run(visit: Make) -> None:
    html = visit().get("/runs/manual__2").text
    assert set(states(html)) == {"good@a.example", "dead@a.example", "off@a.example"}
    assert set(states(html).values()) == {"done"}
    assert "checkbox" not in html
    assert "knows no run of this name" in visit().get("/runs/manual__9").text


@pytest.mark.usefixtures("world")
def test_only_who_may_edit_is_offered_to_start(visit: Make) -> None:
    assert 'id="start"' in visit().get("/").text
    viewed = visit(VIEWER).get("/").text
    assert 'id="start"' not in viewed
    assert "checkbox" not in viewed


def test_a_run_that_goes_on_is_looked_at_again(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    assert "every 5s" not in visit().get("/").text
    with engine.begin() as conn:
        conn.execute(
            update(t.sync_run).where(t.sync_run.c.id == "manual__3").values(ended_at=None, state="running")
        )
    html = visit().get("/").text
    assert states(html)["dead@a.example"] == "running"
    assert "every 5s" in html


def test_a_run_at_work_is_beside_how_the_last_one_ended(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    """P5: figures, reason and time of the last run that is over stay while the next one works."""
    compared = {
        "run": "manual__2",
        "compared_at": at(2),
        "counters": json.dumps(counters(20, unchanged=17, rejected=3)),
    }
    with engine.begin() as conn:
        add_run(conn, "manual__4", at(4), ended_at=None, state="running")
        add_result(conn, "manual__4", world["failed"], "running", started_at=at(4))
        add_result(conn, "manual__4", world["never"], "planned")
        conn.execute(insert(t.comparison).values(profile=world["failed"], **compared))
    html = visit().get("/?q=failed").text
    assert states(html) == {"failed@a.example": "running"}
    assert 'state-failed">failed</span>' in html.partition("<tbody>")[2]
    assert "Microsoft 365 knows no such mailbox.</strong> Correct the mailbox" in html
    assert re.search(r'17<span class="faint"> / 20</span>', html)
    assert 'href="/dags/contact_sync/runs/manual__4">a run is at work' in html
    assert f'<time datetime="{at(3)}"' in html
    assert f"/plans/{world['failed']}/manual__3" in html
    assert states(visit().get("/?q=never").text) == {"never@a.example": "running"}
    with engine.begin() as conn:
        conn.execute(update(t.sync_run).where(t.sync_run.c.id == "manual__4").values(ended_at=at(5)))
    assert states(visit().get("/?q=failed").text) == {"failed@a.example": "failed"}


def test_a_run_that_was_stopped_from_outside_is_not_at_work_for_ever(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    """P5: it never ends; one that began later and is over says so."""
    with engine.begin() as conn:
        add_run(conn, "manual__0", at(0), ended_at=None, state="running")
        add_result(conn, "manual__0", world["good"], "running", started_at=at(0))
    assert states(visit().get("/?q=good").text) == {"good@a.example": "done"}


@pytest.mark.usefixtures("world")
def test_htmx_gets_the_list_alone_and_the_history_the_page(visit: Make) -> None:
    headers = {"hx-request": "true", "hx-target": "profiles"}
    part = visit().get("/", headers=headers).text
    assert "<html" not in part
    assert mailboxes(part)
    assert "<html" in visit().get("/", headers={**headers, "hx-history-restore-request": "true"}).text


def test_long_lists_come_in_parts(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        for n in range(overview.PART_SIZE + 3):
            add_profile(conn, f"user{n:03d}@a.example")
    first, second = (mailboxes(visit().get(f"/?part={n}").text) for n in (1, 2))
    assert len(first) == overview.PART_SIZE
    assert len(second) == 3
    assert len({*first, *second}) == overview.PART_SIZE + 3
    assert (
        "No profile matches." in visit().get("/?part=3").text or mailboxes(visit().get("/?part=3").text) == []
    )


def test_first_steps_where_there_is_nothing_yet(visit: Make, engine: Engine) -> None:
    """U5: connections, companies, the first profile; each says whether it is done."""
    html = visit().get("/").text
    steps = re.findall(r'<li class="is-(\w+)"><strong>([^<]*)</strong>', html)
    assert steps == [("next", "Connections"), ("later", "Companies"), ("later", "The first profile")]
    assert 'href="/connections"' in html
    assert 'id="check-all"' in html
    assert 'id="start"' not in html, "there is nothing to sync yet"
    with engine.begin() as conn:
        write_listed(conn, [Company("c1", "Molenzicht BV")], now=NOON)
    html = visit().get("/").text
    assert [state for state, _ in re.findall(r'<li class="is-(\w+)"><strong>([^<]*)</strong>', html)] == [
        "done", "done", "next",
    ]  # fmt: skip
    assert "Molenzicht BV" in html
    viewed = visit(VIEWER).get("/").text
    assert "check-all" not in viewed
    assert "profiles/new" not in viewed
    # A search that finds nobody is not the first day.
    assert "No profile matches." in visit().get("/?q=nobody").text


@pytest.mark.usefixtures("world")
def test_all_that_match_can_be_chosen_not_only_those_that_are_shown(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        for n in range(overview.PART_SIZE + 3):
            add_profile(conn, f"user{n:03d}@a.example")
    html = visit().get("/?q=user").text
    assert 'id="change" href="/contact_sync/bulk?q=user"' in html
    assert "Change all 53 that match" in html
    assert 'data-address="/contact_sync/bulk/profiles?q=user"' in html
    assert 'id="change"' not in visit(VIEWER).get("/?q=user").text


def test_a_bar_is_higher_the_more_was_written() -> None:
    history = [overview.Bar("r", "done", NOON, written) for written in (0, 1, 10, 1000, 10**9)]
    heights = [bar.height for bar in overview.bars(history)]
    assert heights == sorted(heights)
    assert heights[0] > 0
    assert all(bar.y >= 0 for bar in overview.bars(history))


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        for n, text in enumerate(HOSTILE):
            kept = text.replace("\0", "")
            profile = add_profile(conn, f"{kept}@a.example", company_name=kept, folder_name=kept)
            run = add_run(conn, f"r{kept}", at(n))
            result = {"reason": kept[:60], "message": kept, "started_at": at(n)}
            add_result(conn, run, profile, "failed", **result)
    client = visit()
    assert_plain_text(client.get("/").text)
    assert len(mailboxes(client.get("/").text)) == len(HOSTILE)
    for text in HOSTILE:
        assert_plain_text(client.get("/", params={"q": text}).text)
        assert_plain_text(client.get("/runs/" + quote(text, safe="")).text)
        # No route takes a line end, and Airflow has no run with one in its name.
        if "\n" not in text:
            shown = client.get("/runs/" + quote("r" + text.replace("\0", ""), safe="")).text
            assert len(mailboxes(shown)) == 1, text[:50]


def test_the_number_of_queries_does_not_grow_with_the_profiles(visit: Make, engine: Engine) -> None:
    def queries() -> int:
        with counted(engine) as statements:
            assert visit().get("/").status_code == 200
        return len(statements)

    with engine.begin() as conn:
        add_profile(conn, "first@a.example")
    few = queries()
    with engine.begin() as conn:
        add_run(conn, "r", at(1))
        for n in range(200):
            profile = add_profile(conn, f"user{n}@a.example")
            add_result(conn, "r", profile, started_at=at(1), counters=counters(5, unchanged=5))
            add_reject(conn, profile, "x", "email_missing")
    assert queries() == few > 0
