"""What people should hear of a look at the groups: what was done, who waits, and what could not be done. Pure.

It says so in codes, as the news of a run does (``notices``); the pages' words make a message of it. Who is left alone
is no news: it would be the same people every night, and the log names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sync_lib.operate.group_plan import Step, StepKind
from sync_lib.operate.groups import GroupReport
from sync_lib.operate.notices import Item, Kind, News, Part

#: What becomes of the profile of who leaves, beside the two ways in which one ends.
SWITCHED_OFF, AS_SET = "switched_off", "as_set"

_KINDS = {
    StepKind.LEAVES: Kind.GROUP_LEFT,
    StepKind.JOINS: Kind.GROUP_JOINED,
    StepKind.RETURNS: Kind.GROUP_BACK,
    StepKind.MOVES: Kind.GROUP_MOVED,
    StepKind.CHANGES: Kind.GROUP_CHANGED,
}


def of_groups(reports: Sequence[GroupReport]) -> News | None:
    """Return what is to be reported about a look at all groups; None where nothing happened and nobody waits."""
    parts = (
        _part(Kind.GROUP_TROUBLE, reports, _trouble),
        _part(Kind.GROUP_FAILED, reports, _failed),
        _part(Kind.GROUP_WAITS, reports, _waiting),
        *(_part(kind, reports, _done(step)) for step, kind in _KINDS.items()),
    )
    filled = tuple(part for part in parts if part.items)
    return News(filled) if filled else None


def _part(
    kind: Kind, reports: Iterable[GroupReport], items_of: Callable[[GroupReport], Iterable[Item]]
) -> Part:
    items = tuple(item for report in reports for item in items_of(report))
    return Part(kind, items, sum(len(item.names) or 1 for item in items))


def _trouble(report: GroupReport) -> list[Item]:
    # Who could not be dealt with is a part of its own.
    if report.trouble in ("", "some_failed"):
        return []
    # Of several groups with one name the message is their ids, which whoever corrects the file needs.
    ids = report.message if report.trouble == "group_ambiguous" else ""
    return [Item(report.trouble, group=report.group.label, text=ids)]


def _failed(report: GroupReport) -> list[Item]:
    return _named(report, "", [each.mailbox for each in report.failed])


def _waiting(report: GroupReport) -> list[Item]:
    return _named(report, "", [step.mailbox for step in report.waiting])


def _done(kind: StepKind) -> Callable[[GroupReport], list[Item]]:
    """Return what finds the steps of a kind, by what becomes of the profile."""

    def items(report: GroupReport) -> list[Item]:
        found: dict[str, list[str]] = {}
        for step in report.done:
            if step.kind is kind:
                found.setdefault(_becomes(step), []).append(step.mailbox)
        return [item for reason, names in found.items() for item in _named(report, reason, names)]

    return items


def _becomes(step: Step) -> str:
    """Return what becomes of the profile of who leaves, or comes back, as a code; "" where the kind says it all."""
    if step.kind not in (StepKind.LEAVES, StepKind.RETURNS):
        return ""
    if "enabled" not in step.values:
        return AS_SET
    return step.ends or (SWITCHED_OFF if step.kind is StepKind.LEAVES else "")


def _named(report: GroupReport, reason: str, names: Sequence[str]) -> list[Item]:
    return [Item(reason, tuple(names), group=report.group.label)] if names else []
