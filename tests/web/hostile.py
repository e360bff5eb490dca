"""Text that somebody could type into a contact, and what a page may make of it: text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

#: Would set this if it ever ran.
MARKER = "contact_sync_marker"

HOSTILE = [
    f"<script>window.{MARKER}=1</script>",
    f"\"><img src=x onerror='window.{MARKER}=1'>",
    f"'--></style></title></textarea><svg/onload=window.{MARKER}=1>",
    f"javascript:window.{MARKER}=1",
    "{{ 7 * 7 }}{% raw %}${7*7}%(x)s%s",
    "=cmd|' /C calc'!A0",
    "+31 20 123\t45",
    "@SUM(1+1)*cmd",
    "-2+3",
    "nul\0inside\x1b[31m\x07",
    "\u202egpj.exe\u2066\u200f",
    "👩‍👩‍👧‍👦 \U0001f1f3\U0001f1f1 e\u0301 \u200b\ufeff",
    "'; DROP TABLE sync_profile; --",
    "line\r\nbreak\u2028\u2029",
    "x" * 10_000,
]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in ("img", "iframe", "object", "embed", "base", "style"):
            self.wrong.append(tag)
        if tag == "script" and not (given.get("src") or "").startswith(
            ("/contact_sync/static/", "/contact_sync/me/static/")
        ):
            self.wrong.append("a script")
        for name, value in attributes:
            if name.startswith("on") or name == "style":
                self.wrong.append(f"{tag} {name}")
            if name in ("href", "src", "action", "hx-get", "hx-post") and not re.match(r"[/#]", value or ""):
                self.wrong.append(f"{tag} {name}={(value or '')[:40]}")


def assert_plain_text(html: str) -> None:
    """Hold that a page has no elements and attributes but its own, and shows no character that moves others."""
    page = _Page()
    page.feed(html)
    assert page.wrong == []
    assert not re.search("[\0\x07\x1b\u202a-\u202e\u2066-\u2069\u200f]", html)
