"""Whether a plan is believable (rules 8.3): what is above a limit waits for a person. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sync_lib.diff.actions import part_of
from sync_lib.fields.contact_keys import bc_key, email_key_digest, is_email_digest, item_key
from sync_lib.model import Action, HeldAction, HeldState, HoldReason, Outcome, PlannedChange
from sync_lib.settings import SyncSettings

_UPDATES = (Action.UPDATE_OUTLOOK, Action.UPDATE_BC)
TO_BC = (Action.CREATE_BC, Action.UPDATE_BC)
#: Where a contact has several held actions of one kind, the one that lets the least through counts.
_STRICTEST = (
    HeldState.REJECTED,
    HeldState.LEFT_AWAY,
    HeldState.OPEN,
    HeldState.FIRST_LOOK,
    HeldState.APPROVED,
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the guard must know beside the plan.

    Attributes:
        live: Active and pinned couplings at the run's start, which percentages are of.
        present: Those of them whose item is still in the folder.
        recent: Class -> contacts that were written in the last 24 hours without a person's approval.
        company_writes: Writes to BC of the company in the last hour, done or reserved by a plan, over all profiles.
        whole: One of ``model.WHOLE_PLAN`` where everything is held, else "".
        first_look: The folder is the user's own, and what was in it at the first look is not known yet: none of it is
            made in BC. (Once it is known, it is part of ``known``.)
        known: What is held, and what persons have said of it.
    """

    live: int = 0
    present: int = 0
    recent: Mapping[str, frozenset[str]] = field(default_factory=dict)
    company_writes: int = 0
    whole: str = ""
    first_look: bool = False
    known: Sequence[HeldAction] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard made of a plan.

    Attributes:
        changes: The plan's changes, numbered; an update of which only a part is held has become two.
        held: How many are held.
        hash: Covers the held actions that wait for a person, and is "" where none does.
        reasons: Why those are held.
    """

    changes: list[PlannedChange]
    held: int
    hash: str
    reasons: list[str]

    @property
    def waiting(self) -> list[PlannedChange]:
        """The held changes that a person is to decide about."""
        return [change for change in self.changes if waits(change)]


def waits(change: PlannedChange) -> bool:
    """Whether a person is to decide about a change."""
    return change.outcome is Outcome.HELD and change.reason != HoldReason.REJECTED


def is_emptied(live: int, present: int, settings: SyncSettings) -> bool:
    """Whether all that was coupled is gone from a folder at once: ``guard_emptied_from`` contacts or more."""
    return live >= settings.guard_emptied_from and present == 0


def hold(changes: Sequence[PlannedChange], circumstances: Circumstances, settings: SyncSettings) -> Verdict:
    """Mark the changes that may not be applied with the outcome ``held``, and say what waits.

    The marks are set on the changes given, which are the plan's own; one that has an outcome already is left alone.
    """
    known = _Known(circumstances.known)
    for change in changes:
        found = known.find(change)
        change.known = (found,) if found else ()
    actions = [_Action(change, known) for change in changes if change.outcome is None]
    _judge(actions, circumstances, settings)
    decided = {id(action.change): action.decide() for action in actions}
    parts = [part for change in changes for part in decided.get(id(change), [change])]
    for n, change in enumerate(parts, 1):
        change.n = n
    waiting = [change for change in parts if waits(change)]
    held = sum(1 for change in parts if change.outcome is Outcome.HELD)
    why = sorted({change.reason for change in waiting})
    return Verdict(parts, held, hash_of(change.digest for change in waiting), why)


def hash_of(digests: Iterable[str]) -> str:
    """Return the hash that an approval is bound to, or "" for no actions."""
    ordered = sorted(digests)
    return hashlib.sha256("".join(ordered).encode()).hexdigest() if ordered else ""


# -- who a contact is ------------------------------------------------------------------------------------------------


def keys_of(change: PlannedChange) -> frozenset[str]:
    """Return all that the contact of a change is, or was, known by in its profile."""
    items = {change.outlook_id} | {
        former["id"] for former in (change.coupling.former if change.coupling else [])
    }
    keys = {item_key(item) for item in items if item}
    if change.bc_id:
        keys.add(bc_key(change.bc_id))
    if change.action is Action.CREATE_BC and change.email_key:
        keys.add(email_key_digest(change.email_key))
    return frozenset(keys)


class _Known:
    """Held actions by what their contacts are known by."""

    def __init__(self, known: Iterable[HeldAction]) -> None:
        self.by_key: dict[tuple[str, str, str], list[HeldAction]] = defaultdict(list)
        for each in known:
            for key in each.keys:
                self.by_key[each.action, each.guard_class, key].append(each)

    def find(self, change: PlannedChange) -> HeldAction | None:
        """Return the held action that a change is: the strictest one of its contact, first by id, then by address."""
        if not self.by_key:
            return (
                None  # As a rule nothing is held, and to name all that a contact was known by takes a while.
            )
        found = [
            (each.state is not HeldState.REJECTED, is_email_digest(key), _STRICTEST.index(each.state), each)
            for key in keys_of(change)
            for each in self.by_key.get((change.action, change.guard_class, key), ())
        ]
        return min(found, key=lambda one: (*one[:3], one[3].id))[3] if found else None


# -- what is held ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    """One action, or the part of an update that is in a class, with what is known of it and why it is held."""

    change: PlannedChange
    known: HeldAction | None
    reason: str = ""

    @property
    def approved(self) -> int | None:
        """The hold whose approval lets it through with these values."""
        known = self.known
        same = known is not None and known.digest == self.change.digest
        return known.hold if known and same and known.state is HeldState.APPROVED else None

    @property
    def is_rejected(self) -> bool:
        """Whether a person said no: of a new value to overwrite with nobody has said anything yet."""
        if self.known is None or self.known.state is not HeldState.REJECTED:
            return False
        return self.change.action not in _UPDATES or self.known.digest == self.change.digest

    @property
    def is_first_look(self) -> bool:
        known = self.known
        return known is not None and (
            known.state is HeldState.FIRST_LOOK or known.reason == HoldReason.FIRST_LOOK
        )

    @property
    def contact(self) -> str:
        return self.change.bc_id or self.change.outlook_id or ""


class _Action:
    """A planned change and its parts."""

    def __init__(self, change: PlannedChange, known: _Known) -> None:
        self.change = change
        plain = set(change.after) - change.overwritten
        parts = [change]
        if change.overwritten and plain:
            parts = [part_of(change, change.overwritten), part_of(change, plain)]
        self.parts = [_Part(part, known.find(part)) for part in parts]

    def decide(self) -> list[PlannedChange]:
        """Return the change, marked; in its parts where these do not fare alike or each is a question of its own."""
        if len(self.parts) > 1 and any(part.reason for part in self.parts):
            return [_marked(part.change, [part]) for part in self.parts]
        return [_marked(self.change, self.parts)]


def _marked(change: PlannedChange, parts: Sequence[_Part]) -> PlannedChange:
    change.known = tuple(part.known for part in parts if part.known)
    change.hold = next((part.approved for part in parts if part.approved is not None), None)
    reason = next((part.reason for part in parts if part.reason), "")
    if reason:
        change.outcome, change.reason, change.hold = Outcome.HELD, reason, None
    return change


def _judge(actions: Sequence[_Action], circumstances: Circumstances, settings: SyncSettings) -> None:
    """Give each part the reason why it is held."""
    parts = [part for action in actions for part in action.parts if part.change.cause != "privacy_blocked"]
    counted = [part for part in parts if part.approved is None and not part.is_rejected]
    reasons = _reasons(counted, circumstances, settings)
    for part in parts:
        part.reason = _reason(part, circumstances, reasons)
    # What is held for another reason writes nothing; what was approved does not count.
    writing = [part for part in counted if not part.reason and part.change.action in TO_BC]
    writes = len({(part.change.action, part.contact) for part in writing})
    if circumstances.company_writes + writes > settings.guard_company_writes:
        for part in writing:
            part.reason = HoldReason.COMPANY_WRITES


def _reason(part: _Part, circumstances: Circumstances, reasons: Mapping[str, str]) -> str:
    if part.approved is not None:
        return ""
    if part.is_rejected:
        return HoldReason.REJECTED
    if circumstances.whole:
        return circumstances.whole
    if part.change.action is Action.COUPLE and not part.change.guard_class:
        return ""
    if part.is_first_look or (circumstances.first_look and part.change.action is Action.CREATE_BC):
        return HoldReason.FIRST_LOOK
    known = part.known.reason if part.known else ""
    return reasons.get(part.change.guard_class, known)


def _reasons(parts: Sequence[_Part], circumstances: Circumstances, settings: SyncSettings) -> dict[str, str]:
    """Class -> why all its actions are held."""
    planned: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        # Who waits for the decision on a user's folder uses up no limit of those who come after.
        if part.change.guard_class and not part.is_first_look:
            planned[part.change.guard_class].add(part.contact)
    counts = {
        name: len(found | circumstances.recent.get(name, frozenset())) for name, found in planned.items()
    }
    live = circumstances.live
    reasons: dict[str, str] = {}
    if _too_many_deletes(counts.get("deletes", 0), live, settings):
        reasons["deletes"] = HoldReason.DELETES
    if counts.get("overwrites", 0) > max(
        settings.guard_overwrites, live * settings.guard_overwrites_percent / 100
    ):
        reasons["overwrites"] = HoldReason.OVERWRITES
    if counts.get("creates", 0) > max(settings.guard_creates, live * settings.guard_creates_percent / 100):
        reasons["creates"] = HoldReason.CREATES
    if is_emptied(live, circumstances.present, settings):
        reasons["recreates"] = HoldReason.EMPTIED
    return reasons


def _too_many_deletes(deletes: int, live: int, settings: SyncSettings) -> bool:
    many = deletes > max(settings.guard_deletes, live * settings.guard_deletes_percent / 100)
    share = deletes > live * settings.guard_few_deletes_percent / 100
    return many or (deletes >= settings.guard_few_deletes and share)
