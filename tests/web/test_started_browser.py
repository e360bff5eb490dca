"""A run that the overview started, in a real Chromium: the page follows it, and leads to what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Route
from sqlalchemy import Engine

from sync_lib.store.engine import open_engine
from sync_lib.web.app import make_app
from tests.browsers import chromium
from tests.web.surroundings import open_seams, served
from tests.web.world import add_company, add_profile, add_run, at

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(new_database: Callable[[str], str]) -> Iterator[tuple[Page, str, Engine]]:
    engine = open_engine(new_database("sqlite"))
    with engine.begin() as conn:
        add_profile(conn, "anna@a.example", company=add_company(conn))
        add_run(conn, "before", at(1), state="failed")
    with served(make_app(open_seams(engine))) as root, chromium() as browser:
        yield browser.new_context(locale="en-US").new_page(), root, engine
    engine.dispose()


def test_the_overview_shows_what_came_of_the_run_that_it_started(opened: tuple[Page, str, Engine]) -> None:
    page, root, engine = opened

    def answer(route: Route) -> None:
        if route.request.method == "GET":
            # By now the run is over, and the staging database knows of it.
            with engine.begin() as conn:
                add_run(conn, "r", at(2), mode="full")
        route.fulfill(status=200, json={"dag_run_id": "r", "state": "success"})

    page.route("**/api/v2/dags/contact_sync/dagRuns*", answer)
    page.route("**/api/v2/dags/contact_sync/dagRuns/*", answer)
    page.goto(root)
    page.locator("#last-run").get_by_text("failed").wait_for()
    page.get_by_role("button", name="Start:").click()
    page.get_by_role("link", name="what became of each profile").wait_for()
    assert "good full" in " ".join(page.locator("#last-run").inner_text().split())
    page.get_by_role("link", name="what became of each profile").click()
    page.get_by_role("heading", name="What became of each profile in this run").wait_for()
