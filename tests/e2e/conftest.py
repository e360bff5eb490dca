"""One sandbox and one real Airflow for all end-to-end tests, started as scripts/demo starts them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from demo_parts.processes import ROOT
from playwright.sync_api import Page

from tests.browsers import chromium
from tests.e2e.stage import Stage


@pytest.fixture(scope="session")
def stage(starting_stage: Stage) -> Stage:
    starting_stage.wait()
    demo = yaml.safe_load((ROOT / "scripts" / "demo_profiles.yaml").read_text())
    starting_stage.import_profiles(demo["profiles"])
    return starting_stage


@pytest.fixture(scope="session")
def first_sync(stage: Stage) -> str:
    """The run that brought all mailboxes in step."""
    run = stage.sync(mode="full")
    assert stage.state(run) == "success", "\n".join(stage.logs(run).values())
    return run


@pytest.fixture(scope="module")
def page(stage: Stage) -> Iterator[Page]:
    """A browser that is logged in to Airflow. It ends with its module: no other can be started meanwhile."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1500, "height": 1000}, locale="en-US")
        page = context.new_page()
        page.set_default_timeout(30_000)
        name, password = stage.airflow.login
        page.goto(f"{stage.airflow.url}/auth/login")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", password)
        page.get_by_role("button", name=re.compile("sign in|log in", re.IGNORECASE)).click()
        page.wait_for_url(lambda url: "/auth/login" not in url)
        yield page
