"""News of a run, or of the groups, in somebody's language: what is wrong, what to do, and the page that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sync_lib.operate.notices import Item, Kind, News, Notice, Part
from sync_lib.web import credential_words, groups_words, words
from sync_lib.web.language import age, in_language, msg, number

#: Names that a line holds at most, and lines of a part.
MOST = 10

_HEADINGS = {
    Kind.FAILED: (msg("1 profile does not sync"), msg("%(count)s profiles do not sync")),
    Kind.KNOWN: (msg("1 profile still does not sync"), msg("%(count)s profiles still do not sync")),
    Kind.HELD: (msg("1 decision waits for you"), msg("%(count)s decisions wait for you")),
    Kind.STALE: (
        msg("1 profile has not synced for %(hours)s hours"),
        msg("%(count)s profiles have not synced for %(hours)s hours"),
    ),
    Kind.RUN_FAILED: (msg("the run failed"), msg("the run failed")),
    Kind.RUN_WORKS_AGAIN: (msg("runs work again"), msg("runs work again")),
    Kind.CREDENTIAL_ENDS: (msg("1 credential ends soon"), msg("%(count)s credentials end soon")),
    Kind.CREDENTIAL_ENDED: (msg("1 credential has ended"), msg("%(count)s credentials have ended")),
    Kind.WORKS_AGAIN: (msg("1 profile syncs again"), msg("%(count)s profiles sync again")),
    Kind.NOT_SYNCED: (msg("1 more contact is not synced"), msg("%(count)s more contacts are not synced")),
    Kind.TEST: (msg("this is a test"), msg("this is a test")),
} | groups_words.HEADINGS
#: Where a part is looked into: the page below the pages' address, and the title of the link.
_PAGES = {
    Kind.FAILED: ("/?state=failed", msg("Open the profiles that failed")),
    Kind.KNOWN: ("/?state=failed", msg("Open the profiles that failed")),
    Kind.HELD: ("/plans", msg("Open what waits")),
    Kind.STALE: ("/", msg("Open the overview")),
    Kind.CREDENTIAL_ENDS: ("/", msg("Open the overview")),
    Kind.CREDENTIAL_ENDED: ("/", msg("Open the overview")),
    Kind.NOT_SYNCED: ("/rejects", msg("Open what is not synced")),
} | dict.fromkeys(groups_words.HEADINGS, ("/groups", msg("Open the groups")))


def in_words(news: News, language: str, pages: str) -> Notice | None:
    """Return the news as people read them, or None where there is nothing that anybody has to look after.

    Args:
        news: What is new.
        language: ``en`` or ``nl``.
        pages: The address of the pages, without a slash at its end.
    """
    writer = _Writer(news, language, pages)
    told = [(each, part) for each in news.parts if (part := writer.part(each))]
    if not told:
        return None
    parts = [part for _, part in told]
    links = writer.links([each for each, _ in told])
    title = writer.text(msg("Contact sync"))
    headings = ", ".join(heading for heading, _ in parts)
    shown = tuple((heading[:1].upper() + heading[1:], lines) for heading, lines in parts)
    return Notice(f"{title}: {headings}", shown, links, writer.text(msg("Open the run")))


class _Writer:
    def __init__(self, news: News, language: str, pages: str) -> None:
        self._news = news
        self._language = language
        self._pages = pages

    def text(self, message: str, **values: object) -> str:
        return in_language(self._language, message, **values)

    def part(self, part: Part) -> tuple[str, tuple[str, ...]] | None:
        items, count = part.items, part.count
        if part.kind is Kind.NOT_SYNCED:
            items = tuple(each for each in items if not words.needs_nobody(each.reason))
            count = sum(each.count for each in items)
        if not items:
            return None
        one, many = _HEADINGS[part.kind]
        hours = number(self._news.hours, self._language)
        values = {"count": number(count, self._language), "hours": hours}
        heading = self.text(one if count == 1 else many) % values
        lines = [line for line in self._lines(part.kind, items) if line]
        if len(lines) > MOST:
            left = self.text(msg("and %(count)s more"), count=len(lines) - MOST)
            lines = [*lines[:MOST], left]
        return heading, tuple(lines)

    def links(self, parts: Iterable[Part]) -> tuple[tuple[str, str], ...]:
        """Return the pages where parts are looked into, each once; of one profile its own page."""
        found: dict[str, str] = {}
        for part in parts:
            if part.kind not in _PAGES:
                continue
            path, title = _PAGES[part.kind]
            (only,) = part.items if len(part.items) == 1 else (Item(),)
            if only.profile is not None and part.kind is not Kind.HELD:
                path, title = f"/profiles/{only.profile}", msg("Open the profile")
            found.setdefault(f"{self._pages}{path}", self.text(title))
        return tuple((title, address) for address, title in found.items())

    def _lines(self, kind: Kind, items: Sequence[Item]) -> list[str]:
        if kind is Kind.NOT_SYNCED:
            return self._owners(items)
        if kind is Kind.RUN_FAILED:
            return [line for each in items for line in self._dead_run(each)]
        return [self._line(kind, each) for each in items]

    def _line(self, kind: Kind, item: Item) -> str:
        names = self._listed(item.names)
        if kind in groups_words.HEADINGS:
            return groups_words.line(kind, item, names, self.text)
        if item.credential is not None:
            said = credential_words.sentence(item.credential, self._language, self.text)
            return f"{said} {self.text(credential_words.REMEDY)}"
        if kind is Kind.TEST:
            return self.text(msg("Messages of the sync arrive here."))
        if kind is Kind.STALE:
            passed = age(item.since, self._language, datetime.fromisoformat(self._news.at))
            return self.text(msg("%(names)s: the last good sync was %(age)s."), names=names, age=passed)
        if kind in (Kind.WORKS_AGAIN, Kind.RUN_WORKS_AGAIN):
            return names
        reason = words.reason_of(item.reason)
        means, remedy = self.text(reason.means), self.text(reason.remedy)
        if kind is Kind.HELD:
            said = msg("%(names)s: %(count)s changes wait.")
            if not item.count:
                said = msg("%(names)s: the whole company waits.")
            count = number(item.count, self._language)
            return f"{self.text(said, names=names, count=count)} {means}."
        return f"{names}: {means}. {remedy}"

    def _dead_run(self, item: Item) -> list[str]:
        """Return why a run failed in the reader's language, and what the error itself said, which is English."""
        if not item.reason:
            return [item.text]
        reason = words.reason_of(item.reason)
        said = self.text(msg("The error itself: %(text)s"), text=item.text)
        return [f"{self.text(reason.means)}. {self.text(reason.remedy)}", said]

    def _owners(self, items: Iterable[Item]) -> list[str]:
        """Return a line for each owner: of how many contacts, and why."""
        owned: dict[str, list[Item]] = {}
        for item in items:
            owned.setdefault(item.names[0], []).append(item)
        by_count = sorted(owned.items(), key=lambda each: -sum(item.count for item in each[1]))
        return [
            f"{owner}: " + "; ".join(f"{self._means(item)} ({item.count})" for item in of_them)
            for owner, of_them in by_count
        ]

    def _means(self, item: Item) -> str:
        return self.text(words.reason_of(item.reason).means)

    def _listed(self, names: Sequence[str]) -> str:
        shown = ", ".join(names[:MOST])
        if len(names) <= MOST:
            return shown
        return f"{shown} {self.text(msg('and %(count)s more'), count=len(names) - MOST)}"
