"""What people should hear of a run: what failed, what waits for them, what works again. Pure.

A message holds mailboxes, companies, counts and reasons, and no value of a contact. A run every few minutes
would report the same trouble a hundred times a day: so a run reports what people have not heard yet, and a full run, by
night, reports all that is still wrong.

``News`` says it in codes; the pages' words make a ``Notice`` of it in somebody's language.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sync_lib.model import Before, Mode, ProfileResult
from sync_lib.operate.credentials import Ending
from sync_lib.run.report import GOOD_STATES, RunReport, Verdict
from sync_lib.store.causes import Cause
from sync_lib.store.heard import RUN, NewRejects

#: Of a profile that syncs, though some of it may wait.
_WORKS = frozenset({"done", "held", "quiet"})


class Kind(StrEnum):
    """What a part of the news is about."""

    FAILED = "failed"
    KNOWN = "known"
    HELD = "held"
    STALE = "stale"
    WORKS_AGAIN = "works_again"
    NOT_SYNCED = "not_synced"
    RUN_FAILED = "run_failed"
    RUN_WORKS_AGAIN = "run_works_again"
    CREDENTIAL_ENDS = "credential_ends"
    CREDENTIAL_ENDED = "credential_ended"
    GROUP_TROUBLE = "group_trouble"
    GROUP_FAILED = "group_failed"
    GROUP_WAITS = "group_waits"
    GROUP_LEFT = "group_left"
    GROUP_JOINED = "group_joined"
    GROUP_BACK = "group_back"
    GROUP_MOVED = "group_moved"
    GROUP_CHANGED = "group_changed"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of its kind.

    Attributes:
        reason: Why, as a code.
        names: Mailboxes; the company, where all of it waits; or who owns the contacts.
        profile: The profile that it is about, where it is one.
        count: Changes that wait, or contacts.
        since: When the last good sync was, as the staging database writes times.
        text: What an error said.
        group: The group of Entra ID that it is about, where it is one, as people know it.
        credential: The credential that ends, or has ended, where it is about one.
    """

    reason: str = ""
    names: tuple[str, ...] = ()
    profile: int | None = None
    count: int = 0
    since: str = ""
    text: str = ""
    group: str = ""
    credential: Ending | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What there is of one kind, never nothing; ``count`` says of how many profiles, contacts, groups or people."""

    kind: Kind
    items: tuple[Item, ...]
    count: int


@dataclass(frozen=True, slots=True)
class News:
    """What is new; ``at`` is when a run was looked at, ``hours`` after how long a sync is overdue."""

    parts: tuple[Part, ...]
    at: str = ""
    hours: float = 24.0


@dataclass(frozen=True, slots=True)
class Known:
    """What must be known beside the run's report.

    Attributes:
        before: Profile -> what became of it in the run before.
        opened: Profiles whose hold this run opened.
        companies: Companies whose hold this run opened.
        stale_after: Hours without a good sync after which somebody should look.
        causes: Profile -> the cause of its own for which it fails, whether that is known, and is to be reported (8.8).
        heard: Profile -> the reason of its failure that people have heard of; ``RUN`` stands for the run as a whole.
        first: Nobody has heard anything yet, since messages were switched on just now: all that is wrong is news.
        rejects: Contacts that do not sync since people last heard of any, by owner and reason.
    """

    before: Mapping[int, Before] = field(default_factory=dict)
    opened: Collection[int] = ()
    companies: Collection[int] = ()
    stale_after: float = 24.0
    causes: Mapping[int, Cause] = field(default_factory=dict)
    heard: Mapping[int, str] = field(default_factory=dict)
    first: bool = False
    rejects: Collection[NewRejects] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """A message as people read it: a headline, parts of a heading with its lines, and links with their titles."""

    subject: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    links: tuple[tuple[str, str], ...] = ()
    run_link: str = "Open the run"


def reported_profiles(news: News | None, report: RunReport, known: Known) -> list[int]:
    """Return the profiles whose own cause the news report."""
    if news is None:
        return []
    due = [p for p in _of_known_cause(report, known) if known.causes[p.profile].due]
    return [p.profile for p in (*_failed(report, known), *due) if p.profile in known.causes]


def heard_after(report: RunReport, known: Known) -> dict[int, str]:
    """Return which failures people have heard of once they have the news of a run: what works again is none of them."""
    left = {key: reason for key, reason in known.heard.items() if key != RUN}
    for profile in report.profiles:
        if profile.state in _WORKS:
            left.pop(profile.profile, None)
        elif profile.state not in GOOD_STATES:
            left[profile.profile] = profile.reason
    return left


def of_run(report: RunReport, known: Known) -> News | None:
    """Return what is to be reported about a run, or None. A dry run reports nothing: somebody is looking at it."""
    if report.dry_run or report.skip_reason:
        return None
    failed, held, stale = _failed(report, known), _held(report, known), _stale(report, known)
    due = [profile for profile in _of_known_cause(report, known) if known.causes[profile.profile].due]
    again = [p for p in report.profiles if p.profile in known.heard and p.state in _WORKS]
    parts = (
        Part(Kind.FAILED, _by_reason(failed, report), len(failed)),
        Part(Kind.KNOWN, _by_reason(due, report), len(due)),
        Part(Kind.HELD, tuple(held), len(held)),
        Part(Kind.STALE, tuple(stale), len(stale)),
        Part(Kind.RUN_WORKS_AGAIN, (Item(),) if RUN in known.heard else (), 1),
        Part(Kind.WORKS_AGAIN, (Item(names=tuple(p.mailbox for p in again)),) if again else (), len(again)),
        Part(Kind.NOT_SYNCED, _owned(known.rejects), sum(each.contacts for each in known.rejects)),
    )
    filled = tuple(part for part in parts if part.items)
    return News(filled, report.at, known.stale_after) if filled else None


def of_dead_run(verdict: Verdict) -> News:
    """Return what is to be reported about a run that failed as a whole."""
    return News((Part(Kind.RUN_FAILED, (Item(verdict.reason, text=verdict.message),), 1),))


def of_credentials(endings: Collection[Ending]) -> tuple[Part, ...]:
    """Return what is to be reported about credentials that end soon, or have ended."""
    parts = []
    for kind, has_ended in ((Kind.CREDENTIAL_ENDED, True), (Kind.CREDENTIAL_ENDS, False)):
        items = tuple(Item(credential=each) for each in endings if (each.days < 0) == has_ended)
        parts += [Part(kind, items, len(items))] if items else []
    return tuple(parts)


def of_test() -> News:
    """Return what is sent to see whether messages arrive."""
    return News((Part(Kind.TEST, (Item(),), 1),))


def _is_news(profile: ProfileResult, known: Known) -> bool:
    return known.heard.get(profile.profile) != profile.reason


def _failed(report: RunReport, known: Known) -> list[ProfileResult]:
    known_ones = _of_known_cause(report, known)
    failed = [p for p in report.profiles if p.state not in GOOD_STATES and p not in known_ones]
    return [profile for profile in failed if _reports_all(report, known) or _is_news(profile, known)]


def _of_known_cause(report: RunReport, known: Known) -> list[ProfileResult]:
    """Profiles that fail for a known cause: reported once a day, whatever else a run reports."""
    failed = [p for p in report.profiles if p.state == "failed" and p.profile in known.causes]
    return [p for p in failed if known.causes[p.profile].known and known.causes[p.profile].reason == p.reason]


def _by_reason(profiles: Iterable[ProfileResult], report: RunReport) -> tuple[Item, ...]:
    # What a company could not be read for says what to do; that it was not read does not.
    of_company = {company.name: company.reason for company in report.companies if company.state == "failed"}
    found: dict[str, list[ProfileResult]] = {}
    for profile in profiles:
        reason = profile.reason or "no_outcome"
        if reason == "company_not_read":
            reason = of_company.get(profile.company) or reason
        found.setdefault(reason, []).append(profile)
    return tuple(
        Item(reason, tuple(each.mailbox for each in of_it), of_it[0].profile if len(of_it) == 1 else None)
        for reason, of_it in sorted(found.items())
    )


def _owned(rejects: Iterable[NewRejects]) -> tuple[Item, ...]:
    return tuple(Item(each.reason, (each.owner,), count=each.contacts) for each in rejects)


def _held(report: RunReport, known: Known) -> list[Item]:
    companies = [c for c in report.companies if c.state == "held"]
    profiles = [
        p for p in report.profiles if p.state == "held" and p.counters.get("outcomes", {}).get("held")
    ]
    every = _reports_all(report, known)
    return [
        *(Item(c.reason, (c.name,)) for c in companies if every or c.company in known.companies),
        *(
            Item(p.reason, (p.mailbox,), p.profile, p.counters["outcomes"]["held"])
            for p in profiles
            if every or p.profile in known.opened
        ),
    ]


def _stale(report: RunReport, known: Known) -> list[Item]:
    """Profiles that have been without a good sync for so long, since this run or, in a full one, since whenever."""
    found = []
    for profile in report.profiles:
        last, before = profile.last_good_at, known.before.get(profile.profile)
        if last is None or _hours(last, report.at) < known.stale_after:
            continue
        is_new = before is None or _hours(last, before.at) < known.stale_after
        if _reports_all(report, known) or is_new:
            found.append(Item(names=(profile.mailbox,), profile=profile.profile, since=last))
    return found


def _reports_all(report: RunReport, known: Known) -> bool:
    return report.mode == Mode.FULL or known.first


def _hours(since: str, at: str) -> float:
    return (datetime.fromisoformat(at) - datetime.fromisoformat(since)).total_seconds() / 3600


# -- the forms that it is sent in ------------------------------------------------------------------------------------


def to_text(notice: Notice, link: str) -> dict[str, Any]:
    """Return the body that Slack takes, and most that call their webhooks compatible with it."""
    lines = [notice.subject]
    for heading, texts in notice.parts:
        lines += ["", heading, *(f"• {line}" for line in texts)]
    links = (f"{title}: {address}" for title, address in notice.links)
    return {"text": "\n".join([*lines, "", *links, link])}


def to_card(notice: Notice, link: str) -> dict[str, Any]:
    """Return the body that a Teams workflow takes: an adaptive card, whose texts are not read as Markdown."""
    body = [_block(notice.subject, size="Medium", weight="Bolder")]
    for heading, texts in notice.parts:
        body += [_block(heading, weight="Bolder", spacing="Medium"), *(_block(line) for line in texts)]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": title, "url": address}
            for title, address in (*notice.links, (notice.run_link, link))
        ],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [content]}


def _block(text: str, **look: str) -> dict[str, Any]:
    # A RichTextBlock shows its text as it is; a TextBlock would read an address as Markdown.
    run = {"type": "TextRun", "text": text, **{k: v for k, v in look.items() if k != "spacing"}}
    return {"type": "RichTextBlock", "spacing": look.get("spacing", "Small"), "inlines": [run]}


def to_html(notice: Notice, link: str) -> str:
    """Return the body of an e-mail."""
    parts = [
        f"<h3>{html.escape(heading)}</h3><ul>"
        + "".join(f"<li>{html.escape(line)}</li>" for line in texts)
        + "</ul>"
        for heading, texts in notice.parts
    ]
    links = [
        f'<p><a href="{html.escape(address, quote=True)}">{html.escape(title)}</a></p>'
        for title, address in (*notice.links, (notice.run_link, link))
    ]
    return "".join([*parts, *links])
