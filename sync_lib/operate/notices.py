"""What people should hear of a run: what failed, what waits for them, who has not synced for long. Pure.

A message holds mailboxes, companies, counts and reasons, and no value of a contact. A run every few minutes
would report the same trouble a hundred times a day: so a run reports what it did not find already, and a full run, by
night, reports all that is still wrong.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync_lib.model import Before, Mode, ProfileResult
from sync_lib.run.report import GOOD_STATES, RunReport, age
from sync_lib.store.causes import Cause

#: Mailboxes that a line names at most.
MOST = 10


@dataclass(frozen=True, slots=True)
class Known:
    """What a notice must know beside the run's report.

    Attributes:
        before: Profile -> what became of it in the run before.
        opened: Profiles whose hold this run opened.
        companies: Companies whose hold this run opened.
        stale_after: Hours without a good sync after which somebody should look.
        causes: Profile -> the cause of its own for which it fails, whether that is known, and is to be reported (8.8).
    """

    before: Mapping[int, Before] = field(default_factory=dict)
    opened: Collection[int] = ()
    companies: Collection[int] = ()
    stale_after: float = 24.0
    causes: Mapping[int, Cause] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message: a headline, and parts of a heading with its lines."""

    subject: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]


def reported_profiles(notice: Notice | None, report: RunReport, known: Known) -> list[int]:
    """Return the profiles whose own cause a notice reports."""
    if notice is None:
        return []
    due = [p for p in _of_known_cause(report, known) if known.causes[p.profile].due]
    return [p.profile for p in (*_failed(report, known), *due) if p.profile in known.causes]


def of_run(report: RunReport, known: Known) -> Notice | None:
    """Return what is to be reported about a run, or None. A dry run reports nothing: somebody is looking at it."""
    if report.dry_run or report.skip_reason:
        return None
    failed, held, stale = _failed(report, known), _held(report, known), _stale(report, known)
    due = [profile for profile in _of_known_cause(report, known) if known.causes[profile.profile].due]
    parts = (
        (f"{len(failed)} failed", _by_reason(failed)),
        (f"{len(due)} cannot sync, as is known", _by_reason(due)),
        (f"{len(held)} wait for a decision, under Browse > Required Actions", tuple(held)),
        (f"{len(stale)} without a good sync for {known.stale_after:g} hours", tuple(stale)),
    )
    filled = tuple((heading, lines) for heading, lines in parts if lines)
    if not filled:
        return None
    return Notice("Contact sync: " + ", ".join(heading.split(",")[0] for heading, _ in filled), filled)


def of_dead_run(message: str) -> Notice:
    """Return what is to be reported about a run that failed as a whole."""
    return Notice("Contact sync: the run failed", (("The run failed", (message,)),))


def _is_news(profile: ProfileResult, known: Known) -> bool:
    before = known.before.get(profile.profile)
    return before is None or before.state in GOOD_STATES or before.reason != profile.reason


def _failed(report: RunReport, known: Known) -> list[ProfileResult]:
    known_ones = _of_known_cause(report, known)
    failed = [p for p in report.profiles if p.state not in GOOD_STATES and p not in known_ones]
    return [profile for profile in failed if _reports_all(report) or _is_news(profile, known)]


def _of_known_cause(report: RunReport, known: Known) -> list[ProfileResult]:
    """Profiles that fail for a known cause: reported once a day, whatever else a run reports."""
    failed = [p for p in report.profiles if p.state == "failed" and p.profile in known.causes]
    return [p for p in failed if known.causes[p.profile].known and known.causes[p.profile].reason == p.reason]


def _by_reason(profiles: Iterable[ProfileResult]) -> tuple[str, ...]:
    names: dict[str, list[str]] = {}
    for profile in profiles:
        names.setdefault(profile.reason or "no_outcome", []).append(profile.mailbox)
    return tuple(f"{reason}: {_listed(mailboxes)}" for reason, mailboxes in sorted(names.items()))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def _held(report: RunReport, known: Known) -> list[str]:
    companies = [c for c in report.companies if c.state == "held"]
    profiles = [
        p for p in report.profiles if p.state == "held" and p.counters.get("outcomes", {}).get("held")
    ]
    every = _reports_all(report)
    return [
        *(
            f"{c.name}: {c.reason}, the whole company"
            for c in companies
            if every or c.company in known.companies
        ),
        *(
            f"{p.mailbox}: {p.counters['outcomes']['held']} changes, {p.reason}"
            for p in profiles
            if every or p.profile in known.opened
        ),
    ]


def _stale(report: RunReport, known: Known) -> list[str]:
    """Profiles that have been without a good sync for so long, since this run or, in a full one, since whenever."""
    found = []
    for profile in report.profiles:
        last, before = profile.last_good_at, known.before.get(profile.profile)
        if last is None or _hours(last, report.at) < known.stale_after:
            continue
        if _reports_all(report) or before is None or _hours(last, before.at) < known.stale_after:
            found.append(f"{profile.mailbox}: last good sync {age(last, report.at)}")
    return found


def _reports_all(report: RunReport) -> bool:
    return report.mode == Mode.FULL


def _hours(since: str, at: str) -> float:
    return (datetime.fromisoformat(at) - datetime.fromisoformat(since)).total_seconds() / 3600


# -- the forms that it is sent in ------------------------------------------------------------------------------------


def to_text(notice: Notice, link: str) -> dict[str, Any]:
    """Return the body that Slack takes, and most that call their webhooks compatible with it."""
    lines = [notice.subject]
    for heading, texts in notice.parts:
        lines += ["", heading, *(f"• {line}" for line in texts)]
    return {"text": "\n".join([*lines, "", link])}


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
        "actions": [{"type": "Action.OpenUrl", "title": "Open the run", "url": link}],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [content]}


def _block(text: str, **look: str) -> dict[str, Any]:
    # A RichTextBlock shows its text as it is; a TextBlock would make reason_codes slanted.
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
    address = html.escape(link, quote=True)
    return "".join([*parts, f'<p><a href="{address}">Open the run</a></p>'])
