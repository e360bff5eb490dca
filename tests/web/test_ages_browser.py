"""A page that stays open: how long ago something was stays true, in the page's language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from sync_lib.store.engine import open_engine, transaction
from sync_lib.times import to_text
from sync_lib.web.app import make_app
from sync_lib.web.language import age
from sync_lib.web.seams import Surroundings
from tests.browsers import chromium
from tests.web.surroundings import open_seams, served
from tests.web.world import add_company, add_profile, add_result, add_run

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(new_database: Callable[[str], str]) -> Iterator[Callable[..., Page]]:
    """A browser at the overview: a run began 90 seconds ago, and the next one comes in five minutes."""
    engine = open_engine(new_database("sqlite"))
    now = datetime.now(UTC)
    with transaction(engine) as conn:
        profile = add_profile(conn, "anna@a.example", company=add_company(conn))
        run = add_run(conn, "scheduled__1", to_text(now - timedelta(seconds=90)))
        add_result(conn, run, profile, started_at=to_text(now - timedelta(seconds=90)))
    around = Surroundings(schedule="*/5 * * * *", next_run=to_text(now + timedelta(minutes=5)))
    app = make_app(replace(open_seams(engine), surroundings=lambda: around))
    with served(app) as root, chromium() as browser:

        def open_page(language: str, at: datetime = now, **context: Any) -> Page:
            page = _new_page(browser, locale=language, **context)
            page.clock.install(time=at)
            page.goto(root)
            return page

        yield open_page
    engine.dispose()


def _new_page(browser: Browser, **context: Any) -> Page:
    return browser.new_context(**context).new_page()


@pytest.mark.parametrize(
    ("language", "first", "later", "passed"),
    [
        ("en-US", "2 minutes ago", "2 hours ago", "any moment"),
        ("nl-NL", "2 minuten geleden", "2 uur geleden", "elk moment"),
    ],
)
def test_ages_stay_true(
    opened: Callable[..., Page], language: str, first: str, later: str, passed: str
) -> None:
    page = opened(language)
    started = page.locator("#last-run time")
    expect(started).to_have_text(first)
    page.clock.fast_forward(7200 * 1000)
    expect(started).to_have_text(later)
    expect(page.locator("[data-ahead]")).to_have_text(passed)


def test_a_wrong_clock_of_the_reader_makes_no_wrong_age(opened: Callable[..., Page]) -> None:
    page = opened("en-US", datetime.now(UTC) - timedelta(days=3))
    page.clock.fast_forward(60 * 1000)
    expect(page.locator("#last-run time")).to_have_text(re.compile(r"^[23] minutes ago$"))


def test_a_time_that_was_tapped_stays_and_its_title_goes_on(opened: Callable[..., Page]) -> None:
    page = opened("en-US")
    started = page.locator("#last-run time")
    started.click()
    shown = started.inner_text()
    assert "ago" not in shown
    page.clock.fast_forward(7200 * 1000)
    expect(started).to_have_attribute("title", "2 hours ago")
    expect(started).to_have_text(shown)
    started.click()
    expect(started).to_have_text("2 hours ago")


def test_the_page_is_complete_without_scripts(opened: Callable[..., Page]) -> None:
    page = opened("en-US", java_script_enabled=False)
    expect(page.locator("#last-run time")).to_have_text("2 minutes ago")


_SHOW = """stamps => document.body.replaceChildren(...stamps.map(stamp => {
  const time = document.createElement("time");
  time.dateTime = stamp;
  time.dataset.age = "";
  return time;
}))"""
SPANS = (
    0,
    1,
    59,
    71,
    72,
    89,
    91,
    3599,
    4319,
    4320,
    90_000,
    103_680,
    600_000,
    725_760,
    3_000_000,
    3_110_400,
    4e7,
)


@pytest.mark.parametrize("language", ["en", "nl"])
def test_the_browser_says_it_as_the_server_does(opened: Callable[..., Page], language: str) -> None:
    page = opened(language)
    # Nothing passes between what this reads and what the script does.
    page.clock.set_fixed_time(datetime.now(UTC))
    page.reload()
    now = datetime.fromisoformat(page.evaluate("document.body.dataset.now"))
    stamps = [now + sign * timedelta(seconds=span) for span in SPANS for sign in (-1, 1)]
    made = [to_text(each) for each in stamps]
    page.evaluate(_SHOW, made)
    page.evaluate("window.dispatchEvent(new Event('pageshow'))")
    shown = page.locator("time").all_inner_texts()
    assert shown == [age(each, language, now) for each in made]
