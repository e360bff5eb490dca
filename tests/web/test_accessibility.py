"""What a reader of screens, a keyboard and a phone find on each page, in a real Chromium."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from sqlalchemy import select

from sandbox import Sandbox
from sync_lib.store import tables as t
from sync_lib.web.app import make_app
from sync_lib.web.mine_app import make_mine_app
from sync_lib.web.mine_seams import Allowed
from sync_lib.web.seams import User
from tests.browsers import chromium, links_of
from tests.sync.harness import Harness, person, world
from tests.web.colleagues import Airflow, mine_seams
from tests.web.surroundings import MOUNT, open_seams, served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

#: Wide, light and in English; and what a phone shows at night.
SCREENS = {
    "wide": ({"width": 1280, "height": 900}, "light", "en-US"),
    "phone": ({"width": 390, "height": 844}, "dark", "nl-NL"),
}
KINDS = {
    "/",
    "/bulk",
    "/contacts",
    "/contacts/#/#",
    "/contacts/of/#/#",
    "/erase",
    "/groups",
    "/holds/#",
    "/items/#/#",
    "/many",
    "/plans",
    "/history",
    "/plans/#/#",
    "/runs/#",
    "/profiles/#",
    "/profiles/new",
    "/rejects",
    "/trends",
    "/undo",
}


#: Of a colleague's own page.
OWN_KINDS = {
    "/#",
    # What does not sync.
    "/#/#",
    "/#/changes",
    "/#/changes/#/#/undo",
    "/#/contacts",
    "/#/contacts/#",
    "/#/items/#",
    "/#/settings",
}


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A staging database after runs that wrote, refused, found two edits of one field, and held a plan."""
    people = [person(f"Klant {x}", f"{x}@voorbeeld.example" if x not in "AE" else "") for x in "ABCDEFGH"]
    sim = Sandbox(world=world(*people)).start()
    staging = f"sqlite:///{tmp_path_factory.mktemp('staging')}/staging.db"
    h = Harness(sim, staging, guard_emptied_from=3)
    h.add_profiles(filter=[{"Name": "Klant*"}, {"City": "Delft", "Job Title": "<>''"}])
    h.full()
    key = h.sim.dump()["companies"][0]["contacts"][1]["id"]
    h.in_bc("PATCH", f"contacts({key})", {"jobTitle": "Inkoper"})
    h.edit_item("Klant B", jobTitle="Verkoper")
    h.run()
    for found in h.items().values():
        h.in_outlook("DELETE", f"contacts/{found['id']}")
    h.add_item(displayName="Klant B thuis")
    h.run()
    yield h
    h.close()
    sim.stop()


@pytest.fixture(scope="module")
def root(synced: Harness) -> Iterator[str]:
    """The pages."""
    with served(make_app(open_seams(synced.edges.engine))) as address:
        yield address


@pytest.fixture(scope="module")
def own_root(synced: Harness) -> Iterator[str]:
    """The page of the colleague whose mailbox it is; her filter is one of three that she may choose from."""
    with synced.edges.engine.connect() as conn:
        account = str(conn.scalar(select(t.sync_profile.c.graph_user_id)))
    allowed = Allowed("Ineke", filters={"Klanten": ((("Name", "Klant*"),),), "Delft": (), "Alle": ()})
    seams = mine_seams(synced.edges.engine, Airflow(allowed=allowed))
    pages = replace(
        seams.pages,
        authorize=lambda: User(account, may_edit=True),
        mount=MOUNT,
        edges=lambda: nullcontext(synced.edges),
    )
    with served(make_mine_app(replace(seams, pages=pages))) as address:
        yield address


def kind_of(address: str) -> str:
    """Return the path of a page with its keys left out."""
    path = urlsplit(address).path.removeprefix(MOUNT)
    return "/".join(part if re.fullmatch("[a-z]*", part) else "#" for part in path.split("/"))


def one_of_each_kind(page: Page, first: list[str]) -> Iterator[str]:
    """Open a page of each kind that links lead to, from the first ones."""
    queue, root = deque(first), first[0].partition(MOUNT)[0] + MOUNT
    seen = {kind_of(address) for address in queue}
    while queue:
        address = queue.popleft()
        page.goto(address, wait_until="networkidle")
        yield kind_of(address)
        for found in links_of(page, root):
            if not re.search("[.](csv|yaml)", found) and kind_of(found) not in seen:
                seen.add(kind_of(found))
                queue.append(found)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_can_be_read_and_used(browser: Browser, root: str, screen: str) -> None:
    first = [root, f"{root}contacts?q=Klant+B"]
    assert_readable(browser, screen, first, KINDS)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_colleagues_own_page_can_be_read_and_used(browser: Browser, own_root: str, screen: str) -> None:
    assert_readable(browser, screen, [f"{own_root}1", f"{own_root}1/contacts?q=Klant+B"], OWN_KINDS)


def assert_readable(browser: Browser, screen: str, first: list[str], expected: set[str]) -> None:
    size, theme, locale = SCREENS[screen]
    context = browser.new_context(viewport=size, color_scheme=theme, locale=locale, bypass_csp=True)
    page, wrong, kinds = context.new_page(), [], set()
    for kind in one_of_each_kind(page, first):
        kinds.add(kind)
        for violation in Axe().run(page).response["violations"]:
            places = [node["target"][0] for node in violation["nodes"]]
            wrong.append(f"{kind}: {violation['id']}: {violation['help']}: {places}")
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(part => part.id)")
        wrong += [f"{kind}: {key} names two parts" for key, count in Counter(ids).items() if count > 1]
        sideways = "part => { const p = document.querySelector(part); return p.scrollWidth > p.clientWidth }"
        wrong += [
            f"{kind}: {part} scrolls sideways" for part in ("html", "nav") if page.evaluate(sideways, part)
        ]
    context.close()
    assert wrong == [], "\n".join(wrong)
    assert kinds == expected


CONTROLS = "a[href], button, input, select, textarea, summary"


def test_the_first_key_skips_what_all_pages_have(browser: Browser, root: str) -> None:
    page = browser.new_context(locale="en-US").new_page()
    page.goto(root, wait_until="networkidle")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'content'")


@pytest.mark.parametrize("path", ["", "profiles/1", "contacts?q=Klant+B", "holds/1"])
def test_a_keyboard_reaches_every_control(browser: Browser, root: str, path: str) -> None:
    """By the key Tab alone, but for the further buttons of a choice, which the arrows reach."""
    page = browser.new_context(locale="en-US").new_page()
    page.goto(f"{root}{path}", wait_until="networkidle")
    shown = page.locator(CONTROLS).locator("visible=true")
    for _ in range(shown.count() + 5):
        page.keyboard.press("Tab")
        page.evaluate("document.activeElement.dataset.reached = 'yes'")
    left = shown.and_(page.locator(":not([data-reached], [disabled], [type=radio])"))
    assert [each.evaluate("part => part.outerHTML") for each in left.all()] == []


def test_a_label_of_a_profile_leads_to_its_own_field(browser: Browser, root: str) -> None:
    page = browser.new_context(locale="en-US").new_page()
    page.goto(f"{root}profiles/1", wait_until="networkidle")
    for label in page.locator("form#profile label[for]").all():
        label.click()
        assert page.evaluate("document.activeElement.form?.id") == "profile", label.inner_text()
