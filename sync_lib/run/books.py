"""What became of each contact, held action and wish in one profile's run, over all its rounds (rules 8.8)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sync_lib.diff.match import Matching
from sync_lib.load.outcomes import REFUSED_IN_A_ROW
from sync_lib.model import (
    UNDO,
    Action,
    HoldReason,
    NotUndone,
    Outcome,
    Plan,
    PlannedChange,
    Reject,
    Side,
)
from sync_lib.run.holding import DONE
from sync_lib.run.inputs import ProfileView
from sync_lib.store import undo

#: Outcomes that the next round of the same run, or the next run, tries again.
OPEN_OUTCOMES = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.REJECTED, Outcome.HELD, Outcome.SKIPPED})


@dataclass(slots=True)
class Books:
    """What became of each contact, over all rounds (rules 8.8)."""

    read: int = 0
    plain: Counter[Outcome] = field(default_factory=Counter)
    changed: dict[str, PlannedChange] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    planned: Counter[str] = field(default_factory=Counter)
    #: Deletes after a privacy block that only a dry run left undone.
    privacy: int = 0
    rejects: set[Reject] = field(default_factory=set)
    #: Outcomes of contacts that the first round left aside; a later one may decide otherwise.
    aside: dict[str, Outcome] = field(default_factory=dict)

    def add(self, view: ProfileView, matching: Matching, plan: Plan, *, first: bool) -> None:
        """Take over what a round decided; later rounds decide again about a few contacts of the first."""
        if first:
            split = view.partition
            contacts = split.same + len(split.couplings) + len(split.bc_ids) + len(split.outlook_ids)
            contacts += len(view.views.left_out)
            made_again = [each for each in plan.changes if each.cause == UNDO and each.outlook_id is None]
            self.read = contacts - _joined(matching, set(split.bc_ids)) + len(made_again)
            self.plain = plan.outcomes + Counter({Outcome.UNCHANGED: split.same - view.extra})
            self.aside = _coupled(matching, plan) | {
                each.contact: each.outcome for each in plan.rejects if each.reason != "differs"
            }
        self.rejects = set(plan.rejects)

    def add_changes(self, changes: list[PlannedChange], *, first: bool) -> None:
        """Take over the outcomes of a round's changes; the weightiest one of a contact is what became of it."""
        decided: dict[str, PlannedChange] = {}
        for change in changes:
            if change.elsewhere:
                # It lies beside the contacts of the folder, and counts as one more.
                key = change.outlook_id or ""
                self.read += key not in self.changed and key not in decided
                decided[key] = change
                self._count_write(change)
                continue
            # A pair counts once, by its BC contact; an item outside any pair (a copy, a new one) by its own id.
            paired = change.coupling is not None or change.action is Action.CREATE_OUTLOOK
            key = (change.bc_id if paired else change.outlook_id) or ""
            if change.outlook_id and change.outlook_id in self.changed:
                # An earlier round made a pair of the item, which was counted by its own id then.
                key = change.outlook_id
            known = key in self.changed or key in decided
            if not first and not known:
                self._take_back(change)
            before = decided.get(key)
            if before is None or _weight(change) >= _weight(before):
                decided[key] = change
            self._count_write(change)
        self.changed |= decided

    def _count_write(self, change: PlannedChange) -> None:
        if change.outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED):
            self.writes[f"{change.outcome}_{side_of(change)}"] += 1
        elif change.outcome is None and change.action in _WRITES:
            # Only a dry run leaves changes without an outcome.
            self.planned[f"{_WRITES[change.action]}_{side_of(change)}"] += 1
            self.privacy += change.cause == "privacy_blocked"

    def _take_back(self, change: PlannedChange) -> None:
        """Forget what the first round said of a contact that counts as changed now."""
        ids = (change.outlook_id or "", change.bc_id or "")
        aside = [self.aside.pop(key) for key in ids if key in self.aside]
        outcome = aside[0] if aside and self.plain[aside[0]] else Outcome.UNCHANGED
        if self.plain[outcome]:
            self.plain[outcome] -= 1

    @property
    def reasons(self) -> Counter[str]:
        """Why contacts, or fields of them, were left as they are."""
        changes = self.changed.values()
        # Of a change that was refused as a whole, its own reason says it once.
        whole = (Outcome.REJECTED, Outcome.SKIPPED)
        parts = {each for change in changes if change.outcome not in whole for each in rejects_of(change)}
        left = (change.reason for change in changes if change.outcome in OPEN_OUTCOMES)
        return Counter(reject.reason for reject in self.rejects | parts) + Counter(filter(None, left))

    def counters(self) -> dict[str, Any]:
        """Return the counters that the report shows."""
        outcomes = self.plain + Counter(_final(change) for change in self.changed.values())
        total = sum(outcomes.values())
        return {
            "read": self.read,
            "unbalanced": self.read - total,
            "outcomes": {str(outcome): count for outcome, count in sorted(outcomes.items())},
            "writes": dict(sorted(self.writes.items())),
            "planned": dict(sorted(self.planned.items())),
            "planned_for_privacy": self.privacy,
            "reasons": dict(sorted(self.reasons.items())),
        }


def _coupled(matching: Matching, plan: Plan) -> dict[str, Outcome]:
    """The pairs that matching made and that need nothing further: they count as coupled."""
    changed = {change.bc_id for change in plan.changes}
    made = [pair.coupling.bc_id for pair in matching.pairs if pair.found_by and pair.item and pair.bc]
    return {bc_id: Outcome.COUPLED for bc_id in made if bc_id not in changed}


def _joined(matching: Matching, uncoupled: set[str]) -> int:
    """Number of pairs that matching made of two contacts which were counted one by one."""
    found = [pair.coupling for pair in matching.pairs if pair.found_by in ("key", "email")]
    return sum(bool(coupling.id) or coupling.bc_id in uncoupled for coupling in found)


_WRITES = {
    Action.CREATE_OUTLOOK: Outcome.CREATED,
    Action.UPDATE_OUTLOOK: Outcome.UPDATED,
    Action.DELETE_OUTLOOK: Outcome.DELETED,
    Action.UNTIE: Outcome.UPDATED,
    Action.CREATE_BC: Outcome.CREATED,
    Action.UPDATE_BC: Outcome.UPDATED,
}

_WEIGHTS = (
    Outcome.SKIPPED,
    Outcome.COUPLED,
    Outcome.UPDATED,
    Outcome.DELETED,
    Outcome.CREATED,
    Outcome.CONFLICT,
    Outcome.REJECTED,
    Outcome.HELD,
    Outcome.UNKNOWN,
    Outcome.FAILED,
)


def _final(change: PlannedChange) -> Outcome:
    """The outcome that the books count: an update that decided a conflict is one (rules 8.8)."""
    if change.outcome is Outcome.UPDATED and change.cause == "conflict":
        return Outcome.CONFLICT
    return change.outcome or Outcome.SKIPPED


def _weight(change: PlannedChange) -> int:
    outcome = _final(change)
    return _WEIGHTS.index(outcome) if outcome in _WEIGHTS else 0


def side_of(change: PlannedChange) -> str:
    """Return the side that a change writes to."""
    to_bc = change.action in (Action.CREATE_BC, Action.UPDATE_BC)
    return "business_central" if to_bc else "outlook"


@dataclass(slots=True)
class Approvals:
    """The approved actions that came up in this run, and what became of them."""

    outcomes: dict[int, Outcome | None] = field(default_factory=dict)

    def add(self, changes: list[PlannedChange]) -> None:
        """Take over the outcomes of a round."""
        approved = [change for change in changes if change.hold is not None]
        # What was refused for a reason that may pass keeps its approval for its next try.
        outcomes = {each.id: None if c.waits else c.outcome for c in approved for each in c.known}
        self.outcomes |= outcomes

    @property
    def spent(self) -> list[int]:
        """Held actions that were carried out, or refused; one that may come yet stays approved for the next run."""
        return [key for key, outcome in self.outcomes.items() if outcome in DONE]


@dataclass(slots=True)
class Undoing:
    """What persons want undone, and what became of it in this run."""

    wanted: undo.Open = field(default_factory=undo.Open)
    changes: dict[tuple[str, str], PlannedChange] = field(default_factory=dict)
    left: list[NotUndone] = field(default_factory=list)

    def add(self, plan: Plan, *, first: bool) -> None:
        """Take over what a round decided and did; a later round says the last word about a contact."""
        own = [change for change in plan.changes if change.cause == UNDO]
        self.changes |= {(change.bc_id or "", change.action): change for change in own}
        self.left = plan.not_undone if first else self.left

    @property
    def is_open(self) -> bool:
        """Whether something of it may come yet: it was held, or failed, or nobody knows."""
        waiting = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.SKIPPED, Outcome.HELD, None)
        rejected = (Outcome.HELD, HoldReason.REJECTED)
        return any(
            c.waits or (c.outcome in waiting and (c.outcome, c.reason) != rejected)
            for c in self.changes.values()
        )

    @property
    def summary(self) -> dict[str, Any]:
        """How many contacts are as they were, and why others are not, by number."""
        done = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED)
        reasons = Counter(each.reason for each in self.left)
        reasons.update(c.reason for c in self.changes.values() if c.outcome not in done)
        if self.wanted.made_in_bc:
            reasons[undo.NEVER_DELETED] = self.wanted.made_in_bc
        contacts = {key for (key, _), change in self.changes.items() if change.outcome in done}
        return {"contacts": len(contacts), "reasons": dict(sorted(reasons.items()))}


def rejects_of(change: PlannedChange) -> list[Reject]:
    """Return what the service (or the target's form) refused of a change, as rejects that stay."""
    to_bc = change.action in (Action.CREATE_BC, Action.UPDATE_BC)
    side, contact = (Side.OUTLOOK, change.outlook_id) if to_bc else (Side.BUSINESS_CENTRAL, change.bc_id)
    rejects = [Reject(side, contact or "", Outcome.REJECTED, r.reason, r.field) for r in change.refused]
    if change.outcome is Outcome.REJECTED or change.reason == REFUSED_IN_A_ROW:
        rejects.append(Reject(side, contact or "", change.outcome or Outcome.REJECTED, change.reason))
    return rejects


@dataclass(slots=True)
class Progress:
    """What a profile's run has come to so far.

    Attributes:
        leaving: What left the scope in this run, and stays until the edit of its item is in BC (rules 7.3b).
        base: Couplings, and those whose item is there, at the run's start: what the guard's percentages are of.
    """

    books: Books = field(default_factory=Books)
    approvals: Approvals = field(default_factory=Approvals)
    undoing: Undoing = field(default_factory=Undoing)
    leaving: set[str] = field(default_factory=set)
    base: tuple[int, int] | None = None

    def begin_again(self) -> None:
        """Forget what a run came to that goes on with another folder; its writes were made."""
        self.books, self.base, self.leaving = Books(writes=self.books.writes), None, set()
