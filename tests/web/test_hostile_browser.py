"""A world in which every text is an attack, synced and then walked through in a real Chromium."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from sandbox import Sandbox
from sync_lib.web.app import make_app
from tests.browsers import chromium, links_of
from tests.sync.harness import Harness, person, world
from tests.web.hostile import HOSTILE, MARKER
from tests.web.surroundings import MOUNT, open_seams, served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MOST = 400
#: Texts that nobody can be found by still belong to somebody.
PEOPLE = [
    person(
        text[:100],
        "not an address" if n % 4 == 3 else f"h{n}@klant.example",
        number=f"C{n:05}",
        jobTitle=text[:30],
        addressLine1=text[:100],
        city=text[:30],
        state=text[:30],
        postalCode=text[:20],
        website=text[:255],
        salespersonCode=text[:20],
    )
    for n, text in enumerate(HOSTILE)
]


def item(n: int, text: str) -> dict[str, Any]:
    """An item of a user, all of whose texts are this one."""
    return {
        "displayName": text,
        "emailAddresses": [{"address": f"u{n}@klant.example" if n % 3 else text[:60], "name": text[:60]}],
        "jobTitle": text,
        "companyName": text,
        "mobilePhone": text[:30],
        "businessHomePage": text[:200],
        "businessAddress": {"street": text, "city": text, "countryOrRegion": text},
    }


@pytest.fixture
def synced(new_database: Callable[[str], str]) -> Iterator[Harness]:
    """Runs of all kinds over hostile texts: creates, updates, conflicts, rejects, a plan only, and a hold."""
    folder = {"name": "Business Central", "contacts": [item(n, text) for n, text in enumerate(HOSTILE)]}
    box = {"user_principal_name": "anna@voorbeeld.example", "folders": [folder]}
    sim = Sandbox(world=world(*PEOPLE, mailboxes=[box])).start()
    h = Harness(sim, new_database("sqlite"), guard_emptied_from=3)
    h.add_profiles()
    h.full()
    names = [contact["id"] for contact in h.sim.dump()["companies"][0]["contacts"]][: len(HOSTILE)]
    for key, text in zip(names, reversed(HOSTILE), strict=False):
        h.in_bc("PATCH", f"contacts({key})", {"jobTitle": text[:30], "displayName": text[:99]})
    h.run(dry_run=True)
    h.run()
    for found in h.items().values():
        h.in_outlook("DELETE", f"contacts/{found['id']}")
    h.run()
    yield h
    h.close()
    sim.stop()


@pytest.fixture
def visited(synced: Harness) -> Iterator[tuple[Page, str]]:
    """A browser in front of the pages; what the pages' own policy would stop is let through, so that it would show."""
    with served(make_app(open_seams(synced.edges.engine))) as root, chromium() as browser:
        yield browser.new_context(bypass_csp=True, locale="en-US").new_page(), root


def walk(page: Page, root: str) -> tuple[list[str], list[str]]:
    """Open every page that a link leads to; return the addresses of pages, and those of files."""
    queue, seen, pages, files = deque([root]), {root}, [], []
    while queue and len(pages) < MOST:
        address = queue.popleft()
        if urlsplit(address).path.endswith((".csv", ".yaml")):
            files.append(address)
            continue
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, address
        assert page.evaluate(f"window.{MARKER}") is None, address
        pages.append(address)
        for found in links_of(page, root):
            if found not in seen:
                seen.add(found)
                queue.append(found)
    return pages, files


def test_no_text_of_a_contact_is_ever_interpreted(visited: tuple[Page, str]) -> None:
    page, root = visited
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    pages, files = walk(page, root)
    assert wrong == []
    kinds = {urlsplit(address).path.removeprefix(MOUNT).split("/")[1] for address in pages}
    assert {"", "profiles", "plans", "contacts", "items", "holds", "rejects", "undo", "erase"} <= kinds
    assert len(pages) < MOST
    names = {urlsplit(address).path.rpartition("/")[2] for address in files}
    assert names == {"rejects.csv", "changes.csv", "profiles.csv", "profiles.yaml"}
    for address in (each for each in files if each.partition("?")[0].endswith(".csv")):
        answer = page.request.get(address)
        assert answer.ok, address
        cells = [cell for row in csv.reader(io.StringIO(answer.text())) for cell in row]
        assert not [cell for cell in cells if cell.lstrip("\ufeff\t\r\n ")[:1] in ("=", "+", "@")]
