"""A page whose scripts come late, as over a slow line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Request

from sync_lib.store.engine import open_engine
from sync_lib.web.app import make_app
from tests.browsers import chromium
from tests.web.conftest import open_seams, served

pytestmark = pytest.mark.browser


def test_a_click_before_the_script_has_come_is_not_lost(new_database: Callable[[str], str]) -> None:
    engine = open_engine(new_database("sqlite"))
    app = make_app(open_seams(engine))

    @app.middleware("http")
    async def slow(request: Request, call_next: Any) -> Any:
        if request.url.path.endswith(".js") and "early" not in request.url.path:
            await asyncio.sleep(1)
        return await call_next(request)

    with served(app) as root, chromium() as browser:
        page = browser.new_context(locale="en-US").new_page()
        page.goto(f"{root}profiles/new", wait_until="commit")
        page.get_by_role("button", name="Add a condition").click()
        page.get_by_role("group", name="Condition").wait_for()
    engine.dispose()
