"""A click on a wish, in a real Chromium: it is stored, and Airflow is asked for a run of that profile alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route
from sqlalchemy import Engine, select

from sync_lib.store import tables as t
from sync_lib.store import wishes
from sync_lib.store.engine import open_engine
from sync_lib.web.app import make_app
from tests.browsers import chromium
from tests.web.surroundings import open_seams, served
from tests.web.world import add_company, add_person, add_profile

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(new_database: Callable[[str], str]) -> Iterator[tuple[Page, str, Engine]]:
    engine = open_engine(new_database("sqlite"))
    with engine.begin() as conn:
        company = add_company(conn)
        add_profile(conn, "anna@a.example", company=company, folder_id="f", graph_user_id="u")
        add_person(conn, company, "b1", name="Jan", email="jan@a.example")
    with served(make_app(open_seams(engine))) as root, chromium() as browser:
        yield browser.new_context(locale="en-US").new_page(), root, engine
    engine.dispose()


def airflow(page: Page, status: int) -> list[Any]:
    """Answer for Airflow; return what it is asked for."""
    asked: list[Any] = []

    def answer(route: Route) -> None:
        asked.append(json.loads(route.request.post_data or "{}"))
        route.fulfill(status=status, json={"dag_run_id": "r"} if status < 300 else {"detail": "It is full."})

    page.route("**/api/v2/dags/contact_sync/dagRuns", answer)
    return asked


RUN = [{"logical_date": None, "conf": {"mode": "incremental", "dry_run": False, "profiles": ["1"]}}]


def test_leaving_out_starts_a_run_of_the_profile(opened: tuple[Page, str, Engine]) -> None:
    page, root, engine = opened
    asked = airflow(page, 200)
    page.goto(f"{root}contacts/1/b1")
    page.get_by_role("button", name="Leave this contact out").click()
    page.get_by_role("button", name="Take it back").wait_for()
    assert asked == RUN
    with engine.connect() as conn:
        assert wishes.read_left_out(conn, 1) == {"b1"}


def test_an_end_is_stored_although_airflow_starts_nothing(opened: tuple[Page, str, Engine]) -> None:
    page, root, engine = opened
    asked = airflow(page, 409)
    page.goto(f"{root}profiles/1")
    page.get_by_text("End this profile").click()
    page.get_by_role("button", name="End it, and keep them").click()
    page.get_by_text("It is full.").wait_for()
    assert asked == RUN
    with engine.connect() as conn:
        assert conn.scalar(select(t.sync_profile.c.ending)) == "keep"
