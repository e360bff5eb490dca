"""What the pages say of the sync, in a real browser before a real Airflow: nothing new, a dead login, a typo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from demo_parts.main import COMPANY

from tests.e2e.test_pages import PIETER, pages  # noqa: F401 - a fixture
from tests.e2e.test_sync import writes

pytestmark = [pytest.mark.airflow, pytest.mark.browser, pytest.mark.timeout(900)]

SHOWN = ("In agreement", "Held", "Not synced")
TYPO, FOLDER = "CRONUS Nederlant BV", "Tweede map"


def address(stage: Any, path: str = "") -> str:
    return f"{stage.airflow.url}/contact_sync/{path}"


def figures(shown: Any, stage: Any) -> dict[str, list[str]]:
    """The figures of each profile on the overview, by mailbox."""
    shown.goto(address(stage))
    rows = shown.locator("#profiles table.list tbody tr").all()
    return {
        row.locator(".col-mailbox .name").inner_text(): [
            row.locator(f'td[data-label="{label}"]').inner_text() for label in SHOWN
        ]
        for row in rows
    }


def test_three_quiet_runs_show_the_figures_of_a_full_one(pages: Any, stage: Any) -> None:  # noqa: F811
    """P1: what does not sync is still counted when nothing has changed for a while."""
    stage.sync(mode="full")
    full = figures(pages, stage)
    assert any(not_synced.strip() for _, _, not_synced in full.values())
    for _ in range(3):
        stage.sync(mode="incremental")
        assert writes(stage) == 0
    assert figures(pages, stage) == full


@pytest.fixture
def expired(stage: Any, first_sync: str) -> Iterator[None]:
    """Entra ID takes the app's secret no longer; behind the test it does again, and everything syncs."""
    stage.sandbox.control("POST", "entra/app", {"client_secret": "another one since today"})
    yield
    stage.sandbox.control("POST", "entra/app", {"client_secret": stage.sandbox.info["client_secret"]})
    assert stage.state(stage.sync(mode="incremental")) == "success"


def test_a_secret_that_expired_is_on_every_page_after_one_run(
    pages: Any,  # noqa: F811 - the fixture
    stage: Any,
    expired: None,
) -> None:
    """P2: with its cause, since when, and what to do; and no profile is called good."""
    run = stage.sync(mode="incremental")
    assert stage.state(run) == "failed"
    pages.goto(address(stage))
    tabs = [link.get_attribute("href") for link in pages.locator("header nav a").all()]
    assert len(tabs) > 3
    below = [
        f"/contact_sync/{path}" for path in ("profiles/1", "profiles/new", f"runs/{quote(run, safe='')}")
    ]
    for each in (*tabs, *below):
        pages.goto(f"{stage.airflow.url}{each}")
        # What to do is folded below the line.
        said = " ".join((pages.locator("details.health.bad").text_content() or "").split())
        assert said.startswith("Nothing syncs."), each
        assert re.search(r"Since .*\(", said), each
        assert "secret" in said, each
    assert pages.locator("details.health.bad").count() == 1


@pytest.fixture
def second_folder(stage: Any) -> Iterator[str]:
    """The folder of a profile that a test makes, and that no other test needs to know."""
    yield FOLDER
    stage.retire(PIETER, FOLDER)


def test_a_mistyped_company_is_corrected_on_the_page_and_syncs(
    pages: Any,  # noqa: F811 - the fixture
    stage: Any,
    second_folder: str,
) -> None:
    """P3: it is warned of when it is saved, beside the companies that there are."""
    pages.get_by_role("link", name="New profile").click()
    pages.get_by_label("Mailbox", exact=True).fill(PIETER)
    pages.get_by_label("Company", exact=True).fill(TYPO)
    pages.get_by_label("Outlook folder", exact=True).fill(second_folder)
    pages.get_by_role("button", name="Make the profile").click()
    warned = pages.locator("#looked-up").get_by_role("alert")
    warned.get_by_text("It is saved, but it cannot sync like this:").wait_for()
    assert f"Business Central lists: {COMPANY}" in warned.inner_text()
    pages.get_by_label("Company", exact=True).fill(COMPANY)
    pages.get_by_role("button", name="Add a condition").click()
    condition = pages.get_by_role("group", name="Condition")
    condition.get_by_label("Field of Business Central").select_option("City")
    condition.get_by_label("Expression").fill("Utrecht")
    pages.get_by_role("button", name="Save").click()
    pages.get_by_text("Mailbox and company are known.").wait_for()
    key = pages.url.partition("profiles/")[2].partition("?")[0]
    run = stage.sync(mode="full", profiles=[key])
    assert stage.state(run) == "success"
    box = next(m for m in stage.sandbox.dump()["mailboxes"] if m["user_principal_name"] == PIETER)
    (folder,) = (each for each in box["folders"] if each["name"] == second_folder)
    cities = {item["properties"]["businessAddress"]["city"] for item in folder["contacts"]}
    assert cities == {"Utrecht"}
