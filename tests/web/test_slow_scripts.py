"""A page whose scripts come late, as over a slow line: what a person does meanwhile is not lost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import Request
from playwright.sync_api import Page

from sync_lib.store.engine import open_engine
from sync_lib.web.app import make_app
from tests.browsers import chromium
from tests.web.surroundings import open_seams, served

pytestmark = pytest.mark.browser


@pytest.fixture
def slow(new_database: Callable[[str], str]) -> Iterator[tuple[Page, str]]:
    """A browser in front of pages whose scripts come a second later."""
    engine = open_engine(new_database("sqlite"))
    app = make_app(open_seams(engine))

    @app.middleware("http")
    async def late(request: Request, call_next: Any) -> Any:
        if request.url.path.endswith(".js") and "early" not in request.url.path:
            await asyncio.sleep(1)
        return await call_next(request)

    with served(app) as root, chromium() as browser:
        yield browser.new_context(locale="en-US").new_page(), root
    engine.dispose()


def test_a_button(slow: tuple[Page, str]) -> None:
    page, root = slow
    page.goto(f"{root}profiles/new", wait_until="commit")
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_role("group", name="Condition").wait_for()
    assert page.get_by_role("group", name="Condition").count() == 1


def test_a_text(slow: tuple[Page, str]) -> None:
    page, root = slow
    page.goto(f"{root}contacts", wait_until="commit")
    page.get_by_label("Search").fill("Jansen")
    page.wait_for_url(re.compile("q=Jansen"))


def test_a_choice(slow: tuple[Page, str]) -> None:
    page, root = slow
    page.goto(f"{root}contacts", wait_until="commit")
    page.get_by_label("Language").select_option("nl")
    page.get_by_role("searchbox", name="Zoeken").wait_for()
