"""The browser that this machine has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str:
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, "no Chromium on this machine; scripts/test leaves these tests out and says so"
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. A container has no namespaces for its own sandbox, and it visits nothing but localhost."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


def links_of(page: Page, root: str) -> list[str]:
    """Return where the links of the open page lead to, below an address and without the place on the page."""
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))")
    found = (urljoin(page.url, link).partition("#")[0] for link in links)
    return [address for address in found if address.startswith(root)]
