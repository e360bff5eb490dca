"""A hold that was answered a moment ago, in a real Chromium: who reloads the page is told so, and not asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from sync_lib.store.engine import open_engine
from sync_lib.web.app import make_app
from tests.browsers import chromium
from tests.web.surroundings import open_seams, served
from tests.web.world import add_company, add_hold, add_plan, add_profile

pytestmark = pytest.mark.browser


@pytest.fixture
def hold(new_database: Callable[[str], str]) -> Iterator[tuple[Page, str]]:
    engine = open_engine(new_database("sqlite"))
    with engine.begin() as conn:
        anna = add_profile(conn, "anna@a.example", company=add_company(conn))
        held = {"action": "delete_outlook", "outcome": "held", "outlook_id": "o"}
        key = add_hold(conn, profile=anna, plan=add_plan(conn, anna, "r", held))
    with served(make_app(open_seams(engine))) as root, chromium() as browser:
        yield browser.new_context(locale="en-US").new_page(), f"{root}holds/{key}"
    engine.dispose()


def airflow(page: Page) -> dict[str, Any]:
    """Answer for Airflow, which keeps what it is answered before any run has stored it."""
    kept: dict[str, Any] = {"response_received": False, "chosen_options": None}

    def answer(route: Route) -> None:
        if route.request.method == "PATCH":
            kept.update(response_received=True, chosen_options=route.request.post_data_json["chosen_options"])
        route.fulfill(status=200, json=kept)

    page.route("**/hitlDetails", answer)
    return kept


@pytest.mark.parametrize(("button", "says"), [("Approve", "being carried out"), ("Reject", "being stored")])
def test_an_answer_is_not_asked_for_again(hold: tuple[Page, str], button: str, says: str) -> None:
    """U11."""
    page, address = hold
    kept = airflow(page)
    page.goto(address)
    page.get_by_role("button", name=button).click()
    page.get_by_text(says).wait_for()
    assert kept["chosen_options"] == [button]
    page.reload()
    page.get_by_text(says).wait_for()
    assert page.locator("[data-answer]:visible, [data-ask-again]:visible").count() == 0
