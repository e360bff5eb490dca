"""No page is wider than its window, however much it shows and however long that is, in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import Connection, Engine, insert, select

from sync_lib.store import tables as t
from sync_lib.store.progress import Progress
from sync_lib.web.app import make_app
from tests.browsers import chromium
from tests.web.surroundings import open_seams, served
from tests.web.test_accessibility import one_of_each_kind
from tests.web.world import (
    add_company,
    add_hold,
    add_item,
    add_person,
    add_plan,
    add_profile,
    add_reject,
    add_result,
    add_run,
    at,
    counters,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

#: A phone, a tablet, and the narrowest of the screens on desks.
WIDTHS = (390, 768, 1280)
LOCALES = ("en-US", "nl-NL")
PROFILES = 60
COMPANY = "Van der Meulen-Oosterhuis Bouwmaterialen en Gereedschappen Noord-Nederland BV"
FOLDER = "Business Central - relaties van de afdeling verkoop binnendienst"
#: Not a place in it where a line may end.
LONG = "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft"
KEY = "00000000-0000-0000-0000-0000000000{:02}"
WORDS = "Jan Pieter van Oldenbarnevelt-Schimmelpenninck van der Oye tot Hoevelaken en omstreken " * 3
#: The longest that is ever said of a task at work: what it has sent, and what it waits for.
PROGRESS = Progress(
    done=98_765, planned=123_456, left=86_000, until="2126-03-02T12:00:00.000Z", at="2126-03-02T11:00:00.000Z"
)


def mailbox(n: int) -> str:
    return f"annemarie.van-den-heuvel-oosterwijk.{n:03}@verkoopbinnendienst.noord.voorbeeldbedrijf.example"


def add_history(conn: Connection, profile: int) -> None:
    for n in range(12):
        state = ("done", "failed", "held")[n % 3]
        figures = counters(123_456, unchanged=100_000, rejected=1_234, held=54_321, updated=12_345)
        reason = {"failed": "mailbox_access_denied", "held": "too_many_deletes"}.get(state, "")
        add_result(
            conn, f"scheduled__{n}", profile, state, counters=figures, reason=reason,
            message=f"{LONG} {WORDS}", started_at=at(n), ended_at=at(n),
        )  # fmt: skip


def add_contacts(conn: Connection, company: int, profile: int) -> None:
    """Long values on either side, what was done with them, and what waits."""
    values = {"name": WORDS[:100], "email": f"{LONG[:60]}@voorbeeld.example", "number": "C00001"}
    fields: dict[str, Any] = {
        "job_title": LONG,
        "name": WORDS[:100],
        "home_page": f"https://{LONG}.example/{LONG}",
    }
    for n in range(20):
        key = KEY.format(n)
        add_person(conn, company, key, **values)
        add_item(conn, profile, f"{'A' * 150}{n:02}", name=LONG)
        add_reject(conn, profile, key, "duplicate_email_in_bc")
        add_plan(
            conn, profile, f"scheduled__{n % 12}",
            {"action": "update_outlook", "bc_id": key, "before": fields, "after": fields, "outcome": "updated"},
            {"action": "delete_outlook", "bc_id": key, "outlook_id": "A", "before": fields, "state": "held"},
        ) if n < 12 else None  # fmt: skip
    plan = conn.scalar(select(t.plan.c.id).where(t.plan.c.run == "scheduled__11"))
    add_hold(conn, profile=profile, plan=plan, run="scheduled__11")


@pytest.fixture
def crowded(engine: Engine) -> Engine:
    """More than a screenful of runs at work, and more than a line of everything."""
    with engine.begin() as conn:
        company = add_company(conn, COMPANY)
        for n in range(12):
            add_run(conn, f"scheduled__{n}", at(n))
        add_run(conn, "manual__99", at(50), state="running", ended_at=None)
        progress = PROGRESS.dump()
        conn.execute(
            insert(t.run_company).values(
                run="manual__99", company=company, state="running", progress=progress
            )
        )
        profiles = [
            add_profile(
                conn, mailbox(n), company_name=COMPANY, company=company, folder_name=FOLDER,
                filter=json.dumps([[["City", LONG], ["Name", WORDS[:200]]]]), direction="to_business_central",
            )
            for n in range(PROFILES)
        ]  # fmt: skip
        for profile in profiles:
            add_history(conn, profile)
            if profile % 20:
                add_result(conn, "manual__99", profile, "running", started_at=at(50), progress=progress)
        add_contacts(conn, company, profiles[19])
    return engine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def too_wide(page: Page) -> list[str]:
    """Return at which widths the open page is wider than its window, and what stands out."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate(
            """() => { const root = document.documentElement;
            if (root.scrollWidth <= root.clientWidth) return [];
            return [root.scrollWidth, ...[...document.querySelectorAll('main *')]
              .filter(part => part.getBoundingClientRect().right > root.clientWidth + 1)
              .slice(0, 6).map(part => `${part.tagName}.${part.getAttribute('class')}`)] }"""
        )
        if wide:
            found.append(f"{width}: {wide}")
    return found


@pytest.mark.parametrize("locale", LOCALES)
def test_no_page_is_wider_than_its_window(crowded: Engine, browser: Browser, locale: str) -> None:
    with served(make_app(open_seams(crowded))) as root:
        context = browser.new_context(locale=locale)
        page = context.new_page()
        first = [root, f"{root}contacts?q=Jan", f"{root}profiles/20", f"{root}plans/20/scheduled__11"]
        wrong = {kind: found for kind in one_of_each_kind(page, first) if (found := too_wide(page))}
        context.close()
    assert not wrong, "\n".join(f"{kind} {found}" for kind, found in wrong.items())


@pytest.mark.parametrize("locale", LOCALES)
def test_what_an_erasure_takes_away_is_a_table(crowded: Engine, browser: Browser, locale: str) -> None:
    """A style that was meant for a line of counts put its head beside its rows."""
    with served(make_app(open_seams(crowded))) as root:
        context = browser.new_context(locale=locale)
        page = context.new_page()
        page.goto(f"{root}erase?company=1&contact={KEY.format(0)}", wait_until="networkidle")
        page.locator("main form button[type=submit]").first.click()
        table = page.locator("#erase-found table")
        table.wait_for()
        wide = too_wide(page)
        parts = {name: table.locator(name).bounding_box() for name in ("thead", "tbody")}
        context.close()
    assert wide == []
    head, rows = parts["thead"], parts["tbody"]
    assert head is not None
    assert rows is not None
    assert (head["x"], head["width"]) == (rows["x"], rows["width"])


@pytest.mark.parametrize("locale", LOCALES)
def test_every_page_of_the_navigation_is_in_sight(crowded: Engine, browser: Browser, locale: str) -> None:
    """A row that scrolls sideways cut its last words off on a tablet, and nothing said that there was more."""
    hidden = {}
    with served(make_app(open_seams(crowded))) as root:
        context = browser.new_context(locale=locale)
        page = context.new_page()
        page.goto(root, wait_until="networkidle")
        page.locator(".top nav a").first.wait_for()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            hidden[width] = page.evaluate(
                """() => { const row = document.querySelector('.top nav').getBoundingClientRect();
                return [...document.querySelectorAll('.top nav a')]
                  .filter(link => link.getBoundingClientRect().right > Math.min(row.right, innerWidth) + 1)
                  .map(link => link.textContent) }"""
            )
        context.close()
    assert not any(hidden.values()), hidden
