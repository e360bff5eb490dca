"""Whether a plan is believable (rules 8.3): what is above a limit waits for a person. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sync_lib.diff import PlannedChange
from sync_lib.model import Action, Outcome
from sync_lib.settings import SyncSettings

#: Why everything is held while the staging database is older than the mailbox (rules 2.8).
RESTORED = "staging_database_restored"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the guard must know beside the plan.

    Attributes:
        live: Active and pinned couplings at the run's start, which percentages are of.
        present: Those of them whose item is still in the folder.
        recent_deletes: Deletes in Outlook in the last 24 hours that no person approved.
        company_writes: Writes to BC that this run has planned or done for the company, over all profiles.
        first_sync: No full sync of this profile has finished yet.
        folder_made_by_sync: The sync made the folder; a folder made by a user may hold the user's own contacts.
        restored: Why everything is held: one side is older than what it had shown before; "" where none is.
        waiting: Actions that an open hold holds: digest -> reason.
        rejected: Digests of actions that a person rejected.
        approved: Actions that a person approved: digest -> the hold that was approved.
    """

    live: int = 0
    present: int = 0
    recent_deletes: int = 0
    company_writes: int = 0
    first_sync: bool = False
    folder_made_by_sync: bool = True
    restored: str = ""
    waiting: Mapping[str, str] = field(default_factory=dict)
    rejected: frozenset[str] = frozenset()
    approved: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard holds: the hash covers the held actions only, and is "" when nothing new waits for a person."""

    held: int
    hash: str
    reasons: list[str]


def hold(changes: list[PlannedChange], circumstances: Circumstances, settings: SyncSettings) -> Verdict:
    """Mark the changes that may not be applied with the outcome ``held``, and say what waits.

    The marks are set on the changes given, which are the plan's own.
    """
    for change in changes:
        change.hold = circumstances.approved.get(change.digest)
    reasons = _reasons(changes, circumstances, settings)
    for change in changes:
        reason = _reason(change, circumstances, reasons)
        if reason:
            change.outcome, change.reason = Outcome.HELD, reason
    waiting = [c for c in changes if c.outcome is Outcome.HELD and c.digest not in circumstances.rejected]
    held = sum(1 for change in changes if change.outcome is Outcome.HELD)
    why = sorted({change.reason for change in waiting})
    return Verdict(held, hash_of(change.digest for change in waiting), why)


def hash_of(digests: Iterable[str]) -> str:
    """Return the hash that an approval is bound to, or "" for no actions."""
    ordered = sorted(digests)
    return hashlib.sha256("".join(ordered).encode()).hexdigest() if ordered else ""


def _reason(change: PlannedChange, circumstances: Circumstances, reasons: dict[str, str]) -> str:
    if change.cause == "privacy_blocked" or change.hold is not None:
        return ""
    if change.digest in circumstances.rejected:
        return "rejected_by_person"
    if circumstances.restored:
        return circumstances.restored
    if change.action is Action.COUPLE and not change.guard_class:
        return ""
    if change.guard_class in reasons:
        return reasons[change.guard_class]
    if _writes_bc(change) and "company_writes" in reasons:
        return reasons["company_writes"]
    return circumstances.waiting.get(change.digest, "")


def _writes_bc(change: PlannedChange) -> bool:
    return change.action in (Action.CREATE_BC, Action.UPDATE_BC)


def _reasons(
    changes: list[PlannedChange], circumstances: Circumstances, settings: SyncSettings
) -> dict[str, str]:
    """Class -> why all its actions are held."""
    counted = [change for change in changes if change.hold is None]
    counts = _per_class(counted)
    live, reasons = circumstances.live, {}
    deletes = counts["deletes"] + circumstances.recent_deletes
    if counts["deletes"] and _too_many_deletes(deletes, live, settings):
        reasons["deletes"] = "too_many_deletes"
    if counts["overwrites"] > max(settings.guard_overwrites, live * settings.guard_overwrites_percent / 100):
        reasons["overwrites"] = "too_many_overwrites"
    if counts["creates"] > max(settings.guard_creates, live * settings.guard_creates_percent / 100):
        reasons["creates"] = "too_many_creates"
    elif counts["creates"] and circumstances.first_sync and not circumstances.folder_made_by_sync:
        reasons["creates"] = "first_sync_of_users_folder"
    if live >= settings.guard_emptied_from and circumstances.present == 0:
        reasons["recreates"] = "folder_suddenly_empty"
    if circumstances.company_writes + sum(map(_writes_bc, counted)) > settings.guard_company_writes:
        reasons["company_writes"] = "too_many_company_writes"
    return reasons


def _per_class(changes: list[PlannedChange]) -> Counter[str]:
    """Contacts, not actions, per class: one contact may have an update on each side."""
    contacts = {
        (change.guard_class, change.bc_id or change.outlook_id) for change in changes if change.guard_class
    }
    return Counter(name for name, _ in contacts)


def _too_many_deletes(deletes: int, live: int, settings: SyncSettings) -> bool:
    many = deletes > max(settings.guard_deletes, live * settings.guard_deletes_percent / 100)
    share = deletes > live * settings.guard_few_deletes_percent / 100
    return many or (deletes >= settings.guard_few_deletes and share)
