"""The last 30 days as charts and as a table, of all profiles or of one; and how far a run is that is at work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, insert, update

from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.days import Arrivals
from sync_lib.store.progress import Progress
from sync_lib.times import to_text
from sync_lib.web import charts
from sync_lib.web.app import make_app
from sync_lib.web.seams import Surroundings
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import open_seams
from tests.web.world import add_company, add_profile, add_result, add_run

Make = Callable[..., TestClient]
NOW = datetime.now(UTC)


def day(ago: int) -> str:
    return to_text(NOW - timedelta(days=ago))[:10]


def add_day(conn: Connection, table: Any, key: int, ago: int, **values: Any) -> None:
    known = {table.primary_key.columns.keys()[0]: key, "day": day(ago)}
    conn.execute(insert(table).values(known | values))


@pytest.fixture
def world(engine: Engine) -> dict[str, int]:
    """Two companies with a few days, and a profile of the first with others; whenever the tests run, it is one day."""
    clock.set_source(engine, NOW.timestamp)
    with engine.begin() as conn:
        first, second = add_company(conn, "Molenzicht BV"), add_company(conn, "Andere BV")
        anna = add_profile(conn, "anna@a.example", company=first)
        gauges = {"contacts": 1000, "agreed": 990, "rejected": 8, "held": 2}
        add_day(conn, t.company_day, first, 3, **gauges, written_outlook=40, written_business_central=2)
        fast = Arrivals.of([30.0] * 90 + [500.0] * 10)
        add_day(
            conn, t.company_day, first, 1, **gauges | {"agreed": 1000, "rejected": 0}, arrivals=fast.dump()
        )
        add_day(conn, t.company_day, second, 2, contacts=500, agreed=400, rejected=100, held=0)
        add_day(conn, t.profile_day, anna, 40, contacts=10, agreed=9, rejected=1, held=0)
        add_day(conn, t.profile_day, anna, 1, written_outlook=3)
        add_day(conn, t.company_day, first, 45, contacts=1, agreed=1)
    return {"anna": anna, "first": first}


def rows(html: str) -> dict[str, list[str]]:
    """The table of days: its cells by the day."""
    table = html[html.index('<table class="days">') :]
    found = re.findall(r"<tr>\s*(<td>.*?)</tr>", table, flags=re.DOTALL)
    cells = [
        [plain(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)] for row in found
    ]
    return {row[0]: row[1:] for row in cells}


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def test_all_companies_together_day_by_day(visit: Make, world: dict[str, int]) -> None:
    html = visit().get("/trends").text
    found = rows(html)
    assert len(found) == 30
    assert found[day(3)] == ["99% (990 / 1,000)", "40", "2", "8", "2", "0", "", ""]
    assert found[day(2)][0] == "92.7% (1,390 / 1,500)", "a company without news stands as it was"
    assert found[day(1)] == [
        "93.3% (1,400 / 1,500)",
        "0",
        "0",
        "100",
        "2",
        "100",
        "26 seconds",
        "9 minutes",
    ]
    assert found[day(0)][:4] == ["93.3% (1,400 / 1,500)", "0", "0", "100"]
    assert found[day(20)][0] == ""
    assert html.count('<svg class="chart"') == 5
    assert "In agreement: 93.3% now, between 92.7% and 99% in 30 days" in html
    assert "Written per day: 0 now, between 0 and 42 in 30 days" in html


def test_one_profile_stands_as_it_was_last_found_before_the_30_days(
    visit: Make, world: dict[str, int]
) -> None:
    html = visit().get(f"/trends?profile={world['anna']}").text
    found = rows(html)
    assert found[day(29)][:2] == ["90% (9 / 10)", "0"]
    assert found[day(1)][:2] == ["90% (9 / 10)", "3"]
    assert "anna@a.example" in html
    assert "Half within" not in html[: html.index("The same as a table")], "no edit has arrived"
    assert visit().get("/trends?profile=99").status_code == 404


def test_how_fast_edits_arrive_and_the_share_within_the_interval(
    engine: Engine, world: dict[str, int]
) -> None:
    around = Surroundings(interval=300.0)
    client = TestClient(make_app(replace(open_seams(engine), surroundings=lambda: around)))
    html = client.get("/trends", headers={"accept-language": "en"}).text
    table = html[html.index('class="list arrivals"') : html.index("The same as a table")]
    cells = [plain(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", table, flags=re.DOTALL)]
    assert cells == ["Molenzicht BV", "100", "26 seconds", "9 minutes", "10 minutes", "90%"]
    assert "Within the schedule's 5 minutes" in unescape(table)
    assert "What their clocks differ by is in these figures." in table
    dutch = client.get("/trends", headers={"accept-language": "nl"}).text
    assert "Binnen de 5 minuten van het schema" in dutch
    assert "26 seconden" in dutch
    assert world


@pytest.mark.usefixtures("world")
def test_the_other_pages_ask_for_it_as_a_part(visit: Make, world: dict[str, int]) -> None:
    part = visit().get("/trends", headers={"hx-target": "trends"}).text
    assert "<html" not in part
    assert '<svg class="chart"' in part
    assert 'hx-get="/contact_sync/trends" hx-trigger="load"' in visit().get("/").text
    assert (
        f'hx-get="/contact_sync/trends?profile={world["anna"]}"'
        in visit().get(f"/profiles/{world['anna']}").text
    )
    assert 'id="trends"' not in visit().get("/runs/r").text


def test_nothing_has_been_read_yet(visit: Make) -> None:
    assert "No company has been read yet." in visit().get("/trends").text


def test_the_number_of_queries_does_not_grow(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with counted(engine) as few:
        visit().get("/trends")
    with engine.begin() as conn:
        for ago in range(4, 29):
            add_day(conn, t.company_day, world["first"], ago, contacts=1, agreed=1)
    with counted(engine) as many:
        visit().get("/trends")
    assert len(few) == len(many)


def test_names_are_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        company = add_company(conn, "".join(HOSTILE).replace("\0", ""))
        add_day(conn, t.company_day, company, 1, arrivals=Arrivals.of([1.0]).dump())
    assert_plain_text(visit().get("/trends").text)


# -- charts ----------------------------------------------------------------------------------------------------------


def test_bars_stand_on_each_other_and_lines_break_where_nothing_is_known() -> None:
    days = [f"2026-03-0{n}" for n in range(1, 5)]
    axis = charts.Axis(0, 10, [(0, "0"), (10, "10")])
    one = charts.Series("a", "a", [5, 0, None, 10])
    two = charts.Series("b", "b", [5, 0, None, 0])
    low, high, whole = charts.stacked([one, two], days, axis, [["w"] * 4, ["x"] * 4])
    assert (low.y + low.height, high.y + high.height) == (axis.y(0), low.y)
    assert (high.y, whole.y) == (axis.y(10), charts.TOP)
    assert low.x == high.x < whole.x
    assert [line.points.count(",") for line in charts.lines(one, days, axis)] == [2]
    assert len(list(charts.dots(one, days, axis, ["t"] * 4))) == 3
    assert [charts.nice(value) for value in (0, 0.3, 1, 3, 11, 4200)] == [1, 1, 1, 5, 20, 5000]


# -- how far a run is ------------------------------------------------------------------------------------------------


def at_work(conn: Connection, profile: int, progress: Progress, run: str = "now") -> None:
    add_run(conn, run, to_text(NOW), state="running", ended_at=None)
    add_result(conn, run, profile, "running", started_at=to_text(NOW), progress=progress.dump())


def test_a_run_at_work_says_how_far_it_is_and_what_it_waits_for(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    """U1: on the overview, and as a part of the profile's page."""
    later, soon = (to_text(datetime.now(UTC) + timedelta(seconds=each)) for each in (600, 5))
    with engine.begin() as conn:
        at_work(conn, world["anna"], Progress(4200, 10_000, 365.0, later, 3, 20, soon))
    for address in ("/", f"/progress?profile={world['anna']}"):
        html = visit().get(address).text
        assert '<progress max="10000" value="4200"' in html
        assert "4,200 of 10,000 sent, about 6 minutes left" in plain(html)
        assert f"waiting for Microsoft until {later[11:16]} UTC" in plain(html)
        assert 'hx-trigger="every 5s"' in html
    assert "wacht op Microsoft tot" in visit(language="nl").get("/").text
    with engine.begin() as conn:
        conn.execute(update(t.run_profile).values(progress=Progress(pages=12, items=2400, at=soon).dump()))
    assert "reading: 2,400 contacts on 12 pages so far" in plain(visit().get("/").text)
    with engine.begin() as conn:
        conn.execute(update(t.sync_run).values(ended_at=later))
    html = visit().get(f"/progress?profile={world['anna']}").text
    assert "at work" not in plain(html)
    assert 'hx-trigger="every 20s"' in html


def test_a_task_that_fell_silent_is_not_said_to_be_nearly_done(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    with engine.begin() as conn:
        at_work(conn, world["anna"], Progress(1, 10, 60.0, None, at=to_text(NOW - timedelta(days=10))))
    html = plain(visit().get("/").text)
    assert "last heard of 1 week ago" in html
    assert "left" not in html


def test_a_company_that_is_read_says_how_far_that_is(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    with engine.begin() as conn:
        add_run(conn, "now", to_text(NOW), state="running", ended_at=None)
        found = Progress(pages=2, items=40_000, at=to_text(datetime.now(UTC)))
        row = {"run": "now", "company": world["first"], "state": "running", "progress": found.dump()}
        conn.execute(insert(t.run_company).values(row))
    html = visit().get("/").text
    assert "Company Molenzicht BV : reading: 40,000 contacts on 2 pages so far" in plain(html)
    assert 'hx-trigger="every 5s"' in html
    assert json.loads(found.dump())["pages"] == 2
