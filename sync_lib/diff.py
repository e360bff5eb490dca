"""From pairs to a plan (rules 7): decision tables as data, and the small functions that read them. Pure.

Two tables decide everything. ``EVENTS`` says what a coupling needs when one end is gone, blocked or out of scope;
``WITH_BASELINE`` and ``WITHOUT_BASELINE`` say, field by field, which side's value goes where.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from sync_lib.fields import mapping
from sync_lib.fields.names import carry_split, compose_name, guessed_initials, same_words
from sync_lib.fields.normal_forms import NORMALISER_VERSION, Normaliser, email_key
from sync_lib.fields.required import new_item_problem, to_business_central_problem, to_outlook_problem
from sync_lib.fields.slots import find_email
from sync_lib.fields.texts import clean_line
from sync_lib.match import Matching, Pair, Views, has_moved
from sync_lib.model import (
    Action,
    BcKey,
    BcSide,
    BcStatus,
    Coupling,
    CouplingState,
    Direction,
    Fields,
    FormerItem,
    HeldAction,
    Lookups,
    Origin,
    Outcome,
    OutlookSide,
    Policy,
    Refusal,
    Side,
    Undone,
)

# -- the decision tables ---------------------------------------------------------------------------------------------

#: (BC status, item: present / edited / gone, coupling: live / released / away) -> what to do. Rules 2.1, 3, 7.
EVENTS: dict[tuple[BcStatus, str, str], str] = {
    (BcStatus.IN_SCOPE, "present", "live"): "merge",
    (BcStatus.IN_SCOPE, "present", "released"): "merge",  # comes back into scope
    (BcStatus.IN_SCOPE, "present", "away"): "merge",
    (BcStatus.IN_SCOPE, "edited", "live"): "merge",
    (BcStatus.IN_SCOPE, "edited", "released"): "merge",
    (BcStatus.IN_SCOPE, "edited", "away"): "merge",
    (BcStatus.IN_SCOPE, "gone", "live"): "recreate",  # 7.1
    (BcStatus.IN_SCOPE, "gone", "released"): "recreate",
    (BcStatus.IN_SCOPE, "gone", "away"): "wake",  # 7.1, stay_away: only when BC changes it
    (BcStatus.INVALID, "present", "live"): "mend",  # 3: stays coupled; only the value that mends it moves
    (BcStatus.INVALID, "present", "released"): "keep",
    (BcStatus.INVALID, "present", "away"): "mend",
    (BcStatus.INVALID, "edited", "live"): "mend",
    (BcStatus.INVALID, "edited", "released"): "keep",
    (BcStatus.INVALID, "edited", "away"): "mend",
    (BcStatus.INVALID, "gone", "live"): "end_or_away",  # deleted while out of scope (2.1)
    (BcStatus.INVALID, "gone", "released"): "end_or_away",
    (
        BcStatus.INVALID,
        "gone",
        "away",
    ): "keep",  # outlives whatever is not BC's contact, a wish or a value (2.1)
    (BcStatus.OUT, "present", "live"): "leave_scope",  # 7.3
    (BcStatus.OUT, "present", "released"): "keep",
    (BcStatus.OUT, "present", "away"): "leave_scope",
    (BcStatus.OUT, "edited", "live"): "leave_edited",  # 7.3b, 7.3c, 7.3d
    (BcStatus.OUT, "edited", "released"): "keep",
    (BcStatus.OUT, "edited", "away"): "leave_edited",
    (BcStatus.OUT, "gone", "live"): "end_or_away",
    (BcStatus.OUT, "gone", "released"): "end_or_away",
    (BcStatus.OUT, "gone", "away"): "keep",
    (BcStatus.BLOCKED, "present", "live"): "delete_blocked",  # 7.4
    (BcStatus.BLOCKED, "present", "released"): "delete_blocked",
    (BcStatus.BLOCKED, "present", "away"): "delete_blocked",
    (BcStatus.BLOCKED, "edited", "live"): "delete_blocked",
    (BcStatus.BLOCKED, "edited", "released"): "delete_blocked",
    (BcStatus.BLOCKED, "edited", "away"): "delete_blocked",
    (BcStatus.BLOCKED, "gone", "live"): "end_or_away",
    (BcStatus.BLOCKED, "gone", "released"): "end_or_away",
    (BcStatus.BLOCKED, "gone", "away"): "keep",
    (BcStatus.GONE, "present", "live"): "delete_or_release",  # 7.2
    (BcStatus.GONE, "present", "released"): "keep",
    (BcStatus.GONE, "present", "away"): "delete_or_release",
    (BcStatus.GONE, "edited", "live"): "release_edited",  # 7.2b
    (BcStatus.GONE, "edited", "released"): "keep",
    (BcStatus.GONE, "edited", "away"): "release_edited",
    (BcStatus.GONE, "gone", "live"): "end",  # 7.5
    (BcStatus.GONE, "gone", "released"): "end",
    (BcStatus.GONE, "gone", "away"): "end",
}

#: (BC changed, Outlook changed, sides equal) -> verdict, for a field that has a baseline on both sides.
WITH_BASELINE: dict[tuple[bool, bool, bool], str] = {
    (False, False, True): "same",
    (
        False,
        False,
        False,
    ): "same",  # each holds what it held when the pair agreed: one side keeps another form
    (True, False, False): "to_outlook",
    (True, False, True): "agree",
    (False, True, False): "to_bc",
    (False, True, True): "agree",
    (True, True, True): "agree",
    (True, True, False): "conflict",
}

#: (sides equal, BC blank, Outlook blank) -> verdict, for a field without a baseline.
WITHOUT_BASELINE: dict[tuple[bool, bool, bool], str] = {
    **{
        (True, bc_blank, outlook_blank): "agree"
        for bc_blank, outlook_blank in product((True, False), repeat=2)
    },
    (False, True, False): "fill",
    (False, False, True): "to_outlook",
    (False, False, False): "overwrite",
    (False, True, True): "agree",
}

#: (direction, verdict) -> what is done; a verdict that is not listed is done as it stands (rules 7.8, 7.9).
DIRECTED: dict[tuple[Direction, str], str] = {
    (Direction.TO_OUTLOOK, "to_bc"): "restore",
    (Direction.TO_OUTLOOK, "fill"): "differ",
    (Direction.TO_BUSINESS_CENTRAL, "to_outlook"): "differ",
    (Direction.TO_BUSINESS_CENTRAL, "overwrite"): "differ",
    (Direction.TO_BUSINESS_CENTRAL, "conflict"): "differ",
    (Direction.TO_BUSINESS_CENTRAL, "clear"): "differ",
}

#: Verdict and cause where a person wants back what was there before a change: the old value goes to both sides.
UNDO = "undo"
#: An item that a create of ours made when its contact had been coupled with another one (rules 2.3).
LATE_CREATE = "late_create"
WRITES_OUTLOOK = frozenset({"to_outlook", "overwrite", "conflict", "restore", "clear", UNDO})
WRITES_BC = frozenset({"to_bc", "fill", UNDO})
#: What the flag of an item decides about, whatever the direction: where both sides changed, or nobody knows (rules 3).
UNSURE = frozenset({"conflict", "overwrite", "clear"})
#: Why nothing of an item goes to BC.
PRIVATE = "private_in_outlook"
#: Verdicts that replace a value which is not that side's baseline: what the guard counts as overwrites (8.3). An undo
#: replaces what both sides agreed on.
OVERWRITES = frozenset({"overwrite", "conflict", "restore", "clear", UNDO})
MENDING = ("name", "email")
PARTS = ("first_name", "middle_name", "surname")


# -- the plan --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PlannedChange:
    """One action of a plan, as rules 8.1 want it stored, with what the load needs beside it.

    ``before`` holds values of the side that is written to, ``after`` what is sent, ``source`` the values of the
    other side as read, all in written form by field; ``losing`` holds values that lost a conflict.
    """

    action: Action
    cause: str
    bc_id: str | None = None
    outlook_id: str | None = None
    coupling: Coupling | None = None
    bc: BcSide | None = None
    item: OutlookSide | None = None
    email_key: str = ""
    before: Fields = field(default_factory=dict)
    after: Fields = field(default_factory=dict)
    source: Fields = field(default_factory=dict)
    losing: Fields = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    reason: str = ""
    digest: str = ""
    guard_class: str = ""
    #: Normal forms of ``after``: what the digest is made of.
    normal: Fields = field(default_factory=dict)
    #: The fields of an update that replace a value which is not that side's baseline: the guard may hold just these.
    overwritten: frozenset[str] = frozenset()
    #: What the staging database knows of it as a held action.
    known: tuple[HeldAction, ...] = ()
    hold: int | None = None  # the hold whose approval lets it through
    n: int = 0
    outcome: Outcome | None = None
    elsewhere: bool = False  # of an item outside the profile's folder, which counts beside the contacts (7.4)
    waits: bool = False  # refused, all of it or a field, for a reason that may pass: tried again later

    @property
    def subject(self) -> tuple[str, str]:
        """The action, and the contact as rejects name it: what a change is known by from run to run."""
        to_bc = self.action in (Action.CREATE_BC, Action.UPDATE_BC)
        ids = (self.outlook_id, self.bc_id) if to_bc else (self.bc_id, self.outlook_id)
        return self.action, ids[0] or ids[1] or ""

    @property
    def try_digest(self) -> str:
        """Digest of what is to be written and of both sides: a refused change is tried at once with another one."""
        sides = [side.fingerprint if side else 0 for side in (self.bc, self.item)]
        return hashlib.blake2b(json.dumps([self.digest, *sides]).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Reject:
    """A contact, or a field of one, that is not synced, and why."""

    side: Side
    contact: str
    outcome: Outcome
    reason: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class NotUndone:
    """What stays as it is although a person wanted it back: a whole contact, or a field of it, and why."""

    bc_id: str
    reason: str
    field: str = ""


@dataclass(slots=True)
class Plan:
    """What a profile's diff came to.

    Attributes:
        changes: Writes to the services, BC to Outlook first (rules 8.10).
        couplings: Couplings to store at once, since they need no write: new baselines, states.
        ended: Couplings to remove at once.
        rejects: Contacts and fields that stay out, with reasons.
        outcomes: One outcome per contact that was read and needs no write; together with one per contact with
            changes they are the balanced books of rules 8.8.
        not_undone: What a person wanted back and does not get.
        unread: Items whose private flag must be read first, in the version that is staged (rules 3).
        leaving: Contacts of BC that left the scope, and stay until the edit of their item is in BC (rules 7.3b).
    """

    changes: list[PlannedChange] = field(default_factory=list)
    couplings: list[Coupling] = field(default_factory=list)
    ended: list[Coupling] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    not_undone: list[NotUndone] = field(default_factory=list)
    leaving: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    #: Former items of blocked contacts that need nothing any more.
    settled: list[FormerItem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DiffContext:
    """What the decisions depend on beside the contacts."""

    policy: Policy
    lookups: Lookups
    normaliser: Normaliser
    #: A side went back to an older state, or was exchanged (rules 1, 2.8, 5): every field that differs is a conflict.
    restored: bool = False
    #: What persons want back, by BC id.
    undone: Mapping[str, Undone] = field(default_factory=dict)
    #: ``Plan.leaving`` of the run's earlier rounds: of these nothing is deleted before the next run.
    leaving: frozenset[str] = frozenset()
    #: A private flag that was not read counts as set; until it has been tried to read it, as not set.
    unread_is_private: bool = False
    #: The company's own key: one that names another binding of it is rewritten (rules 1). None: any key will do.
    company: BcKey | None = None
    #: What was coupled is gone from the folder at once (rules 8.3): a person is asked, whatever the policy says.
    emptied: bool = False
    #: Contacts, by BC id, of which a person is asked, or has said, that they are made again.
    asked: frozenset[str] = frozenset()
    #: Contacts of an emptied folder that a person leaves away: BC id -> digest of the re-creation that was shown.
    left_away: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """Version of what fingerprints are made of: the normal forms, and the fields of the field profile."""
        return NORMALISER_VERSION * 2 + (self.policy.field_profile == "extended")


def plan_changes(matching: Matching, views: Views, context: DiffContext) -> Plan:
    """Decide what each contact needs (rules 7). The order of the input does not matter to the result."""
    return _Planner(views, context).plan(matching)


class _Planner:
    def __init__(self, views: Views, context: DiffContext) -> None:
        self.views = views
        self.context = context
        self.policy = context.policy
        self.plan_ = Plan()

    def plan(self, matching: Matching) -> Plan:
        for coupling in matching.superseded:
            self.plan_.ended.append(coupling)
        for pair in sorted(matching.pairs, key=lambda pair: pair.coupling.bc_id):
            self._event(pair)
        for item, bc in matching.blocked_items:
            self._delete(None, bc, item, "privacy_blocked")
        for item, pair in matching.returned:
            self._returned(item, pair)
        self._late(matching.late)
        self._new_in_bc(matching.new_bc)
        paired = {pair.coupling.bc_id for pair in matching.pairs}
        self._invalid_in_bc(paired)
        self._undo_the_rest(paired)
        self._new_in_outlook(matching.new_items)
        for skip in matching.skipped:
            self.reject(Reject(skip.side, skip.id, Outcome.SKIPPED, skip.reason))
        self.plan_.changes.sort(key=_load_order)
        for n, change in enumerate(self.plan_.changes, 1):
            change.n = n
            self._identify(change)
        return self.plan_

    def _identify(self, change: PlannedChange) -> None:
        normal = self.context.normaliser.normal
        change.normal = {name: normal(name, value) for name, value in change.after.items()}
        change.digest = digest_of(change)

    # -- couplings -------------------------------------------------------------------------------------------------

    def _event(self, pair: Pair) -> None:
        if self._undo_create(pair):
            return
        status = pair.bc.status if pair.bc else BcStatus.GONE
        event = EVENTS[status, self._item_state(pair), _coupling_state(pair.coupling)]
        undone = self.context.undone.get(pair.coupling.bc_id)
        if undone is not None and undone.values and event not in ("merge", "mend"):
            self.plan_.not_undone.append(NotUndone(pair.coupling.bc_id, "changed_since"))
        getattr(self, f"_{event}")(pair)

    def _merge(self, pair: Pair) -> None:
        if pair.found_by == "email" and pair.item and not pair.item.flag_read:
            self.plan_.unread.add(pair.item.id)  # A private one is left alone.
        _Merge(self, pair).run()

    def _mend(self, pair: Pair) -> None:
        _Merge(self, pair, bc_invalid=True).run()

    def _recreate(self, pair: Pair) -> None:
        assert pair.bc is not None
        with_folder = pair.coupling.outlook_id in self.views.lost_items
        if self.policy.direction is Direction.TO_BUSINESS_CENTRAL:
            self.count(
                Outcome.SKIPPED
            )  # 7.9: nothing is written; it is made again when the direction changes.
        elif self._is_left_away(pair) or not (with_folder or self._comes_back(pair)):
            self._stay_away(pair)
        else:
            self._create_in_outlook(pair.bc, pair.coupling, "deleted_in_outlook")

    def _comes_back(self, pair: Pair) -> bool:
        """Whether a deleted item is made again: by policy, or since a person is asked about an emptied folder."""
        asked = self.context.emptied or pair.coupling.bc_id in self.context.asked
        return asked or self.policy.deleted_in_outlook != "stay_away"

    def _is_left_away(self, pair: Pair) -> bool:
        """Whether a person leaves it away; what changed in BC since the question was shown is asked about anew."""
        assert pair.bc is not None
        shown = self.context.left_away.get(pair.coupling.bc_id)
        if shown is None:
            return False
        again = self._creation(pair.bc, pair.coupling, "deleted_in_outlook")
        self._identify(again)
        return again.digest == shown

    def _end_or_away(self, pair: Pair) -> None:
        """An item was deleted while its contact is out of scope, or blocked (rules 2.1)."""
        with_folder = pair.coupling.outlook_id in self.views.lost_items
        if self.policy.deleted_in_outlook == "stay_away" and not with_folder:
            # What took the contact out of the scope may be a value: its coming back to what the item held is no change.
            self._stay_away(pair, pair.coupling.baseline_bc)
        else:
            self._end(pair)

    def _stay_away(self, pair: Pair, agreed: Fields | None = None) -> None:
        coupling = replace(
            left_coupling(pair.coupling),
            state=CouplingState.AWAY,
            baseline_bc=self.bc_fields(pair.bc) | (agreed or {}),
            bc_fingerprint=pair.bc.fingerprint if pair.bc else None,
            attention=False,
        )
        self.plan_.couplings.append(coupling)
        self.count(Outcome.SKIPPED)

    def _wake(self, pair: Pair) -> None:
        assert pair.bc is not None
        changed = self._changed_while_away(pair.bc, pair.coupling)
        may_write = self.policy.direction is not Direction.TO_BUSINESS_CENTRAL
        left = self.policy.deleted_in_outlook == "stay_away" or pair.bc.id in self.context.left_away
        if pair.bc.id in self.context.asked and may_write:
            self._create_in_outlook(pair.bc, pair.coupling, "deleted_in_outlook")
        elif (changed or not left) and may_write:
            cause = "changed_in_bc_while_away" if changed else "no_longer_away"
            self._create_in_outlook(pair.bc, pair.coupling, cause)
        else:
            self.reject(Reject(Side.BUSINESS_CENTRAL, pair.bc.id, Outcome.SKIPPED, "stay_away"))

    def _changed_while_away(self, bc: BcSide, coupling: Coupling) -> bool:
        """Whether a mapped value differs from the baseline with which the pair went away (rules 2.1)."""
        normal, present = self.context.normaliser.normal, self.bc_fields(bc)
        mapped = mapping.diffed_fields(self.policy.field_profile)
        return any(
            normal(name, present[name]) != normal(name, coupling.baseline_bc[name])
            for name in mapped
            if name in present and name in coupling.baseline_bc
        )

    def _keep(self, pair: Pair) -> None:
        if self._add_key(pair, pair.coupling):
            return
        if pair.coupling.id == 0 or pair.found_by:
            self.plan_.couplings.append(replace(pair.coupling, attention=False))
        self.count(Outcome.UNCHANGED)

    def _add_key(self, pair: Pair, coupling: Coupling) -> bool:
        """Give a kept item the key that could not be written when it was coupled; say whether it lacks one.

        Without it a lost staging database would let the item make the contact once more (rules 2.7).
        """
        if pair.item is None or (pair.item.bc_key and not _is_former(pair.item.bc_key, self.context)):
            return False
        self.plan_.changes.append(
            PlannedChange(
                Action.COUPLE,
                "key_missing",
                bc_id=coupling.bc_id,
                outlook_id=pair.item.id,
                coupling=replace(coupling, attention=False),
                item=pair.item,
                email_key=pair.item.email_key,
            )
        )
        return True

    def _end(self, pair: Pair) -> None:
        self.plan_.ended.append(pair.coupling)
        self.count(Outcome.UNCHANGED)

    def _leave_scope(self, pair: Pair) -> None:
        if pair.coupling.bc_id in self.context.leaving:
            self._carry(pair)
        else:
            self._delete_unless(pair, self.policy.left_scope, "left_scope")

    def _leave_edited(self, pair: Pair) -> None:
        """Let an edit go to BC before its contact leaves; what can't go keeps its item (rules 7.3b, c, d)."""
        assert pair.bc is not None
        is_person = pair.bc.values.get("type") == "Person"
        if pair.coupling.bc_id in self.context.leaving or (is_person and self._merging(pair).carries()):
            self._carry(pair)
        else:
            self._release_edited(pair)

    def _carry(self, pair: Pair) -> None:
        self.plan_.leaving.add(pair.coupling.bc_id)
        self._merging(pair).run()

    def _merging(self, pair: Pair) -> _Merge:
        return _Merge(self, pair, bc_invalid=bool(pair.bc and pair.bc.problem))

    def _delete_or_release(self, pair: Pair) -> None:
        self._delete_unless(pair, self.policy.deleted_in_bc, "deleted_in_bc")

    def _delete_unless(self, pair: Pair, policy: str, cause: str) -> None:
        may_write = self.policy.direction is not Direction.TO_BUSINESS_CENTRAL
        if policy == "delete" and pair.coupling.origin is Origin.MADE_BY_SYNC and may_write:
            assert pair.item is not None
            self._delete(pair.coupling, pair.bc, pair.item, cause)
        else:
            self._release(pair, f"{cause}_kept")

    def _release_edited(self, pair: Pair) -> None:
        gone = pair.bc is None or pair.bc.status is BcStatus.GONE
        self._release(pair, "deleted_in_bc_edited_in_outlook" if gone else "left_scope_edited_in_outlook")

    def _release(self, pair: Pair, reason: str) -> None:
        assert pair.item is not None
        released = replace(pair.coupling, state=CouplingState.RELEASED, attention=False)
        reject = Reject(Side.OUTLOOK, pair.item.id, Outcome.SKIPPED, reason)
        self.plan_.couplings.append(released)
        if self._add_key(pair, released):
            self.plan_.rejects.append(reject)
        else:
            self.reject(reject)

    def _delete_blocked(self, pair: Pair) -> None:
        assert pair.item is not None
        self._delete(pair.coupling, pair.bc, pair.item, "privacy_blocked")

    def _delete(self, coupling: Coupling | None, bc: BcSide | None, item: OutlookSide, cause: str) -> None:
        bc_id = coupling.bc_id if coupling else bc.id if bc else None
        self.plan_.changes.append(
            PlannedChange(
                Action.DELETE_OUTLOOK,
                cause,
                bc_id=bc_id,
                outlook_id=item.id,
                coupling=coupling,
                item=item,
                email_key=item.email_key,
                # Of what is blocked for privacy no values are kept (rules 7.4).
                before={} if cause == "privacy_blocked" else self.outlook_fields(item),
                guard_class="" if cause in ("privacy_blocked", "returned", LATE_CREATE) else "deletes",
            )
        )

    def _returned(self, ours: OutlookSide, pair: Pair) -> None:
        if self.policy.direction is Direction.TO_BUSINESS_CENTRAL:
            self.reject(Reject(Side.OUTLOOK, ours.id, Outcome.SKIPPED, "copy_of_coupled"))
        else:
            self._delete(None, pair.bc, ours, "returned")

    def _late(self, second: list[tuple[OutlookSide, BcSide]]) -> None:
        """Delete late creates of ours that hold what was sent and nothing else; others are copies (rules 2.3)."""
        sent = {bc_id: list(values) for bc_id, values in self.views.sent.items()}
        for item, bc in second:
            held = next((each for each in sent[bc.id] if self._holds(item, each)), None)
            if held is None or self.policy.direction is Direction.TO_BUSINESS_CENTRAL:
                self.reject(Reject(Side.OUTLOOK, item.id, Outcome.SKIPPED, "copy_of_coupled"))
            else:
                sent[bc.id].remove(held)
                self._delete(None, bc, item, LATE_CREATE)

    def _holds(self, item: OutlookSide, sent: Fields) -> bool:
        fields, normal = self.outlook_fields(item), self.context.normaliser.normal
        names = mapping.diffed_fields(self.policy.field_profile)
        return all(normal(name, fields.get(name, "")) == normal(name, sent.get(name, "")) for name in names)

    # -- new contacts ----------------------------------------------------------------------------------------------

    def _new_in_bc(self, people: list[BcSide]) -> None:
        for bc in people:
            if self.policy.direction is Direction.TO_BUSINESS_CENTRAL:
                self.count(Outcome.SKIPPED)
            else:
                self._create_in_outlook(bc, None, "new_in_bc")

    def _invalid_in_bc(self, paired: set[str]) -> None:
        for bc_id in self.views.uncoupled_bc:
            bc = self.views.bc[bc_id]
            if bc.status is BcStatus.INVALID and bc_id not in paired:
                self.reject(Reject(Side.BUSINESS_CENTRAL, bc.id, Outcome.REJECTED, bc.problem))

    def _create_in_outlook(self, bc: BcSide, coupling: Coupling | None, cause: str) -> None:
        self.plan_.changes.append(self._creation(bc, coupling, cause))

    def _creation(self, bc: BcSide, coupling: Coupling | None, cause: str) -> PlannedChange:
        fields = self.bc_fields(bc)
        return PlannedChange(
            Action.CREATE_OUTLOOK,
            cause,
            bc_id=bc.id,
            outlook_id=None,
            coupling=coupling,
            bc=bc,
            email_key=bc.email_key,
            after={name: value for name, value in fields.items() if value},
            source=fields,
            guard_class="recreates" if cause == "deleted_in_outlook" else "",
        )

    def _new_in_outlook(self, items: list[OutlookSide]) -> None:
        for item in items:
            fields = self.outlook_fields(item)
            if self.policy.direction is Direction.TO_OUTLOOK:
                self.count(Outcome.SKIPPED)
            elif problem := new_item_problem(fields, item.record):
                self.reject(Reject(Side.OUTLOOK, item.id, Outcome.REJECTED, problem))
            else:
                self._create_in_bc(item, fields)

    def is_private(self, item: OutlookSide) -> bool:
        """Whether nothing of an item may go to BC (rules 3); notes where the flag must be read before that is known."""
        if not item.flag_read:
            self.plan_.unread.add(item.id)
            return self.context.unread_is_private
        return item.private

    def _create_in_bc(self, item: OutlookSide, fields: Fields) -> None:
        if self.is_private(item):
            self.reject(Reject(Side.OUTLOOK, item.id, Outcome.SKIPPED, PRIVATE))
            return
        wanted = {name: value for name, value in fields.items() if value}
        refused = self.refusals(wanted, None)
        for refusal in refused:
            wanted.pop(refusal.field, None)
            self.plan_.rejects.append(
                Reject(Side.OUTLOOK, item.id, Outcome.REJECTED, refusal.reason, refusal.field)
            )
        if "name" not in wanted or "email" not in wanted:
            reason = next(refusal.reason for refusal in refused if refusal.field in MENDING)
            self.reject(Reject(Side.OUTLOOK, item.id, Outcome.REJECTED, reason))
            return
        self.plan_.changes.append(
            PlannedChange(
                Action.CREATE_BC,
                "new_in_outlook",
                outlook_id=item.id,
                item=item,
                email_key=item.email_key,
                after=wanted,
                source=fields,
                refused=refused,
                guard_class="creates",
            )
        )

    # -- undo ------------------------------------------------------------------------------------------------------

    def _undo_create(self, pair: Pair) -> bool:
        """Delete an item that the sync made and a person does not want; say whether it goes.

        Where the profile lets nothing stay away it would be made again by the next run (7.1), so it stays.
        """
        undone = self.context.undone.get(pair.coupling.bc_id)
        if undone is None or undone.made is None:
            return False
        reason = self._why_made_stays(pair)
        if reason:
            self.plan_.not_undone.append(NotUndone(pair.coupling.bc_id, reason))
            return False
        assert pair.item is not None
        self._delete(pair.coupling, pair.bc, pair.item, UNDO)
        return True

    def _why_made_stays(self, pair: Pair) -> str:
        if self.policy.direction is Direction.TO_BUSINESS_CENTRAL:
            return "one_way"
        event = (
            pair.bc.status if pair.bc else BcStatus.GONE,
            self._item_state(pair),
            _coupling_state(pair.coupling),
        )
        ours = pair.coupling.origin is Origin.MADE_BY_SYNC
        if event != (BcStatus.IN_SCOPE, "present", "live") or not ours:
            return "changed_since"
        return "" if self.policy.deleted_in_outlook == "stay_away" else "would_be_made_again"

    def _undo_the_rest(self, paired: set[str]) -> None:
        """Make deleted items again; say of what is not there any more that it cannot be undone."""
        for bc_id, undone in sorted(self.context.undone.items()):
            if bc_id in paired:
                if undone.restored is not None:
                    self.plan_.not_undone.append(NotUndone(bc_id, "changed_since"))
                continue
            bc = self.views.bc.get(bc_id)
            reason = self._why_deleted_stays(bc, undone) if undone.restored is not None else "changed_since"
            if reason:
                self.plan_.not_undone.append(NotUndone(bc_id, reason))
            elif bc is not None and bc.status is not BcStatus.IN_SCOPE:
                self._restore(bc, undone.restored or {})

    def _why_deleted_stays(self, bc: BcSide | None, undone: Undone) -> str:
        """Why a deleted item is not made again; "" also for one in scope, which the sync makes by itself (7.6)."""
        if bc is None or bc.id in self.views.coupled_bc:
            return "changed_since"
        if self.policy.direction is Direction.TO_BUSINESS_CENTRAL:
            return "one_way"
        if bc.status is BcStatus.BLOCKED:
            return "privacy_blocked"
        if bc.status is BcStatus.INVALID:
            return bc.problem or "invalid"
        if bc.status is BcStatus.IN_SCOPE:
            return ""
        if not undone.restored:
            return "privacy_blocked"  # Its block kept no values.
        # A twin that somebody made by hand meanwhile stands for the contact already (2.6).
        address = email_key((undone.restored or {}).get("email", ""))
        twins = {item.email_key for item in self.views.items.values()} | self.views.held_emails
        return "duplicate_email_in_outlook" if address and address in twins else ""

    def _restore(self, bc: BcSide, values: Fields) -> None:
        """Make an item again whose contact is gone or out of scope: it is kept as a released one is (7.2, 7.3)."""
        released = Coupling(0, bc.id, bc.row_id, None, None, Origin.MADE_BY_SYNC, CouplingState.RELEASED)
        self.plan_.changes.append(
            PlannedChange(
                Action.CREATE_OUTLOOK,
                UNDO,
                bc_id=bc.id,
                coupling=released,
                # Only what stood in the item goes into it.
                bc=replace(bc, values={}),
                email_key=email_key(values.get("email", "")),
                after={name: value for name, value in values.items() if value},
            )
        )

    # -- shared ----------------------------------------------------------------------------------------------------

    def _item_state(self, pair: Pair) -> str:
        if pair.item is None:
            return "gone"
        return "edited" if is_edited(pair.coupling, pair.item, self.context) else "present"

    def bc_fields(self, bc: BcSide | None) -> Fields:
        return mapping.from_business_central(bc.values, self.policy.field_profile) if bc else {}

    def outlook_fields(self, item: OutlookSide, coupling: Coupling | None = None) -> Fields:
        baseline = coupling.baseline_outlook if coupling and coupling.baseline_outlook else None
        return mapping.from_outlook(item.record, self.policy.field_profile, baseline=baseline)

    def refusals(self, wanted: Fields, bc: BcSide | None) -> list[Refusal]:
        values = bc.values if bc else None
        _, refused = mapping.to_business_central(
            wanted, values, lookups=self.context.lookups, field_profile=self.policy.field_profile
        )
        return refused

    def count(self, outcome: Outcome) -> None:
        self.plan_.outcomes[outcome] += 1

    def reject(self, reject: Reject) -> None:
        """A whole contact is not synced."""
        self.plan_.rejects.append(reject)
        self.count(reject.outcome)


def _is_former(bc_key: str, context: DiffContext) -> bool:
    """Whether a key of ours names a place where the company was before."""
    key = BcKey.parse(bc_key)
    return key is not None and context.company is not None and key.binding in context.company.former


# -- one pair, field by field ----------------------------------------------------------------------------------------


class _Merge:
    """The three-way merge of one pair whose two contacts are present."""

    def __init__(self, planner: _Planner, pair: Pair, *, bc_invalid: bool = False) -> None:
        assert pair.bc is not None
        assert pair.item is not None
        self.planner = planner
        self.context = planner.context
        self.normal = planner.context.normaliser.normal
        self.pair = pair
        self.bc: BcSide = pair.bc
        self.item: OutlookSide = pair.item
        self.bc_invalid = bc_invalid
        self.baseline_bc = dict(pair.coupling.baseline_bc)
        self.baseline_outlook: Fields = dict(pair.coupling.baseline_outlook.get("fields", {}))
        self.bc_fields = planner.bc_fields(pair.bc)
        self.outlook_fields = planner.outlook_fields(pair.item, pair.coupling)
        if "email2" in self.outlook_fields and "email2" not in self.baseline_outlook:
            # Without a baseline BC's own value is what it is found by (rules 6).
            self.outlook_fields["email2"] = find_email(pair.item.record, self.bc_fields["email2"])
        self.differs = dict(pair.coupling.differs)
        self.refused = dict(pair.coupling.refused)
        self.reasons: list[tuple[Side, str, str]] = []
        # What goes back to both sides, by field.
        self.undone: Fields = {}
        # Parts of a name as the other side splits it.
        self.carried: Fields = {}

    def carries(self) -> bool:
        """Whether the merge lets an edit go to BC, or decides about it (7.3b). Asked of one that is not run."""
        edited = edited_fields(self.pair.coupling, self.item, self.context)
        verdicts = self._verdicts(self._problem())
        to_bc = {name: verdict for name, verdict in verdicts.items() if verdict in WRITES_BC}
        self._refuse(to_bc)
        return any(name in to_bc or verdicts[name] in ("conflict", "agree") for name in edited)

    def run(self) -> None:
        problem = self._problem()
        self._undo(problem)
        verdicts = self._verdicts(problem)
        if problem:
            self.reasons.append((*problem, ""))
        to_outlook = {
            n: v for n, v in verdicts.items() if v in WRITES_OUTLOOK and self._differs(n, self.outlook_fields)
        }
        to_bc = {n: v for n, v in verdicts.items() if v in WRITES_BC and self._differs(n, self.bc_fields)}
        self._refuse(to_bc)
        self._refuse_outlook(to_outlook)
        for name, verdict in verdicts.items():
            self._settle(name, verdict)
        coupling = self._coupling(open_fields=bool(to_outlook or to_bc or problem))
        self._plan(coupling, to_outlook, to_bc)

    def _verdicts(self, problem: tuple[Side, str] | None) -> dict[str, str]:
        verdicts = {name: UNDO if name in self.undone else self._verdict(name) for name in self._names()}
        verdicts = self._whole_names(verdicts)
        if problem:
            verdicts = {name: self._mended(name, verdict) for name, verdict in verdicts.items()}
        return verdicts

    def _names(self) -> tuple[str, ...]:
        return mapping.diffed_fields(self.context.policy.field_profile)

    # -- undo ------------------------------------------------------------------------------------------------------

    def _undo(self, problem: tuple[Side, str] | None) -> None:
        """Find what can go back to both sides, and say of the rest why it stays."""
        wanted = self.context.undone.get(self.bc.id, Undone()).values
        for name, (old, new) in wanted.items():
            if all(self.normal(name, side.get(name, "")) == self.normal(name, old) for side in self._sides()):
                continue
            reason = self._why_it_stays(name, old, new) if problem is None else problem[1]
            if reason:
                self.planner.plan_.not_undone.append(NotUndone(self.bc.id, reason, name))
            else:
                self.undone[name] = old

    def _why_it_stays(self, name: str, old: str, new: str) -> str:
        if self.context.policy.direction is not Direction.BOTH:
            return "one_way"
        # One of the two may be as it was before: an undo that broke off goes on.
        known = {self.normal(name, old), self.normal(name, new)}
        if name not in self._names() or not all(
            self.normal(name, s.get(name, "")) in known for s in self._sides()
        ):
            return "changed_since"
        if name in MENDING and not self._valid(name, {name: old}):
            return f"{name}_missing"
        if self.planner.is_private(self.item):
            return PRIVATE
        refused = self.planner.refusals({name: old}, self.bc)
        return refused[0].reason if refused else ""

    def _sides(self) -> tuple[Fields, Fields]:
        return self.bc_fields, self.outlook_fields

    def _differs(self, name: str, fields: Fields) -> bool:
        """Whether a side still has to be written; of an undo that broke off one of the two may be done."""
        if name not in self.undone:
            return True
        return self.normal(name, fields.get(name, "")) != self.normal(name, self.undone[name])

    # -- verdicts --------------------------------------------------------------------------------------------------

    def _verdict(self, name: str) -> str:
        bc, outlook = self.bc_fields.get(name, ""), self.outlook_fields.get(name, "")
        bc_normal, outlook_normal = self.normal(name, bc), self.normal(name, outlook)
        equal = bc_normal == outlook_normal
        if self._has_baseline(name):
            bc_changed = bc_normal != self.normal(name, self.baseline_bc[name])
            outlook_changed = outlook_normal != self.normal(name, self.baseline_outlook[name])
            verdict = WITH_BASELINE[bc_changed, outlook_changed, equal]
            if self.context.restored and not equal and not self._is_split(name):
                verdict = "conflict"
        else:
            equal = equal or self._is_split(name)
            verdict = WITHOUT_BASELINE[equal, not bc_normal, not outlook_normal]
            if verdict == "fill" and self.context.policy.blank_in_bc == "overwrite":
                verdict = "clear"
        directed = self._directed(verdict, bc_blank=not bc_normal)
        if (verdict in UNSURE or directed in WRITES_BC) and self.planner.is_private(self.item):
            self.reasons.append((Side.OUTLOOK, PRIVATE, name))
            return "wait"
        return directed

    def _is_split(self, name: str) -> bool:
        """Whether a part differs only because each side splits one name its own way, which moves nothing (rules 6)."""
        return is_split(name, *self._sides())

    def _whole_names(self, verdicts: dict[str, str]) -> dict[str, str]:
        """Let the parts of a name that the sides split differently move as one, each side keeping its own split.

        One part alone would bring along the words that the other side has in another part.
        """
        found = {verdicts.get(name, "") for name in PARTS}
        writes = (found & WRITES_OUTLOOK) | (found & WRITES_BC)
        split = all(self._has_baseline(name) for name in PARTS) and any(
            self.normal(name, self.baseline_bc[name]) != self.normal(name, self.baseline_outlook[name])
            for name in PARTS
        )
        if not writes or not split or UNDO in writes:
            return verdicts
        if self._is_split("surname"):
            return verdicts | dict.fromkeys(PARTS, "agree")
        verdict = next(iter(writes)) if len(writes) == 1 else "conflict"
        source, target = self.bc_fields, self.baseline_outlook
        if verdict in WRITES_BC:
            source, target = self.outlook_fields, self.baseline_bc
        words = compose_name(*(source.get(name, "") for name in PARTS)).split()
        self.carried = dict(zip(PARTS, carry_split(words, [target[name] for name in PARTS]), strict=True))
        return verdicts | dict.fromkeys(PARTS, verdict)

    def _has_baseline(self, name: str) -> bool:
        if name in self.differs and self.differs[name] != self.context.policy.direction:
            return False  # The direction changed since the field was let differ (rules 7.9).
        return name in self.baseline_bc and name in self.baseline_outlook

    def _directed(self, verdict: str, *, bc_blank: bool) -> str:
        direction = self.context.policy.direction
        directed = DIRECTED.get((direction, verdict), verdict)
        if direction is Direction.TO_OUTLOOK and bc_blank and directed in ("restore", "clear"):
            return "differ"  # 7.8: Outlook's value stays until BC has one.
        return directed

    def _problem(self) -> tuple[Side, str] | None:
        if self.bc_invalid:
            fields = self.bc_fields
            return (
                Side.BUSINESS_CENTRAL,
                to_outlook_problem(fields.get("name", ""), fields.get("email", "")) or "invalid",
            )
        problem = to_business_central_problem(self.outlook_fields)
        return (Side.OUTLOOK, problem) if problem else None

    def _mended(self, name: str, verdict: str) -> str:
        """While a side lacks name or e-mail only the other side's valid value for it moves (rules 3)."""
        if verdict in ("same", "agree"):
            return verdict
        if name not in MENDING:
            return "wait"
        if not self._valid(name, self.bc_fields) and self._valid(name, self.outlook_fields):
            changed = self._changed(name, self.outlook_fields, self.baseline_outlook)
            return (
                "to_bc" if changed and self.context.policy.direction is not Direction.TO_OUTLOOK else "wait"
            )
        if not self._valid(name, self.outlook_fields) and self._valid(name, self.bc_fields):
            moves = verdict == "restore" or self._changed(name, self.bc_fields, self.baseline_bc)
            may = self.context.policy.direction is not Direction.TO_BUSINESS_CENTRAL
            return ("restore" if verdict == "restore" else "to_outlook") if moves and may else "wait"
        return "wait"

    def _valid(self, name: str, fields: Fields) -> bool:
        value = fields.get(name, "")
        problem = (
            to_outlook_problem("x", value) if name == "email" else to_outlook_problem(value, "x@example.com")
        )
        return problem is None

    def _changed(self, name: str, fields: Fields, baseline: Fields) -> bool:
        return name not in baseline or self.normal(name, fields.get(name, "")) != self.normal(
            name, baseline[name]
        )

    # -- refusals --------------------------------------------------------------------------------------------------

    def _refuse(self, to_bc: dict[str, str]) -> None:
        """Take out what BC cannot hold; the other fields go on and the baselines stay (rules 6)."""
        wanted = {name: self._for_bc(name) for name in to_bc}
        for name in list(self.refused):
            if name not in wanted or self.refused[name]["digest"] != self._refusal_digest(name):
                del self.refused[name]
        found = {r.field: r.reason for r in self.planner.refusals(wanted, self.bc)} if wanted else {}
        found |= {name: entry["reason"] for name, entry in self.refused.items()}
        for name, reason in found.items():
            if to_bc.pop(name, None):
                self.reasons.append((Side.OUTLOOK, reason, name))

    def _refuse_outlook(self, to_outlook: dict[str, str]) -> None:
        """Take out what finds no place in the item's arrays; it is tried again at each diff, until there is one."""
        wanted = {name: self._for_outlook(name) for name in to_outlook if name in _IN_ARRAYS}
        if not wanted:
            return
        _, refusals = mapping.to_outlook(
            wanted,
            self.item.record,
            all_fields=self.bc_fields,
            lookups=self.context.lookups,
            field_profile=self.context.policy.field_profile,
            baseline=self.pair.coupling.baseline_outlook or None,
        )
        for refusal in refusals:
            del to_outlook[refusal.field]
            self.reasons.append((Side.BUSINESS_CENTRAL, refusal.reason, refusal.field))

    def _for_outlook(self, name: str) -> str:
        return self.carried.get(name, self._of_bc(name))

    def _of_bc(self, name: str) -> str:
        return self.undone.get(name, self.bc_fields.get(name, ""))

    def _for_bc(self, name: str) -> str:
        return self.carried.get(name, self._of_outlook(name))

    def _of_outlook(self, name: str) -> str:
        return self.undone.get(name, self.outlook_fields.get(name, ""))

    def _refusal_digest(self, name: str) -> str:
        return refusal_digest(self.outlook_fields.get(name, ""), self.context.lookups)

    # -- results ---------------------------------------------------------------------------------------------------

    def _settle(self, name: str, verdict: str) -> None:
        """Give the fields that need no write their baselines; a change of the written form alone is taken over."""
        if verdict == "differ":
            if self.differs.get(name) != self.context.policy.direction:
                self.reasons.append((Side.OUTLOOK, "differs", name))
            self.differs[name] = self.context.policy.direction
        elif verdict == "agree":
            self.differs.pop(name, None)
        elif verdict != "same":
            return
        self.baseline_bc[name] = self.bc_fields.get(name, "")
        self.baseline_outlook[name] = self.outlook_fields.get(name, "")

    def _coupling(self, *, open_fields: bool) -> Coupling:
        """The coupling as it stands before any write; fully agreed only if no field is open."""
        pinned = self.pair.coupling.state is CouplingState.PINNED and not self._matches_filter()
        live = CouplingState.PINNED if pinned else CouplingState.ACTIVE
        unsettled = open_fields or bool(self.reasons_of_fields())
        return replace(
            self.pair.coupling,
            bc_row=self.bc.row_id,
            outlook_row=self.item.row_id,
            state=live,
            baseline_bc=self.baseline_bc,
            baseline_outlook=self._moved_baseline(),
            bc_fingerprint=None if unsettled else self.bc.fingerprint,
            outlook_fingerprint=None if unsettled else self.item.fingerprint,
            outlook_etag=self.pair.coupling.outlook_etag if unsettled else self.item.etag,
            differs=self.differs,
            refused=self.refused,
            attention=unsettled,
        )

    def _moved_baseline(self) -> dict[str, Any]:
        """The whole arrays move on only with the fields in them: else an edit would look like the user's own entry."""
        before = self.pair.coupling.baseline_outlook
        return moved_baseline(before, self.item.record, self.baseline_outlook, self.context)

    def _matches_filter(self) -> bool:
        return self.bc.id in self.planner.views.in_filter

    def reasons_of_fields(self) -> list[tuple[Side, str, str]]:
        return [reason for reason in self.reasons if reason[2] and reason[1] != "differs"]

    def _plan(self, coupling: Coupling, to_outlook: dict[str, str], to_bc: dict[str, str]) -> None:
        plan = self.planner.plan_
        changes = len(plan.changes)
        if self._needs_key():
            couple = self._change(Action.COUPLE, self.pair.found_by or "key_missing", coupling, {})
            if self.pair.is_copy:
                couple.guard_class = "overwrites"  # of the key of another contact (rules 2.6)
            plan.changes.append(couple)
        elif self.pair.found_by or coupling != self.pair.coupling:
            plan.couplings.append(coupling)
        if to_outlook:
            plan.changes.append(self._update_outlook(coupling, to_outlook))
        if to_bc:
            plan.changes.append(self._update_bc(coupling, to_bc))
        for side, reason, name in self.reasons:
            contact = self.bc.id if side is Side.BUSINESS_CENTRAL else self.item.id
            plan.rejects.append(Reject(side, contact, Outcome.REJECTED, reason, name))
        if len(plan.changes) == changes:
            rejected = any(reason != "differs" for _, reason, _ in self.reasons)
            coupled = bool(self.pair.found_by)
            outcome = Outcome.REJECTED if rejected else Outcome.COUPLED if coupled else Outcome.UNCHANGED
            self.planner.count(outcome)

    def _needs_key(self) -> bool:
        """An adopted or user-made item needs the key of the contact that it stands for (rules 2.2)."""
        key = BcKey.parse(self.item.bc_key) if self.item.bc_key else None
        if key is None or key.contact_id != self.bc.id.lower():
            return True
        return _is_former(self.item.bc_key, self.context)

    def _update_outlook(self, coupling: Coupling, verdicts: Mapping[str, str]) -> PlannedChange:
        change = self._change(Action.UPDATE_OUTLOOK, _cause(verdicts), coupling, verdicts)
        for name in verdicts:
            change.after[name], change.source[name] = self._for_outlook(name), self._of_bc(name)
            change.before[name] = self.outlook_fields.get(name, "")
            if name in self.differs:
                change.losing[name] = change.before[name]  # The other side never had it.
        return change

    def _update_bc(self, coupling: Coupling, verdicts: Mapping[str, str]) -> PlannedChange:
        change = self._change(Action.UPDATE_BC, _cause(verdicts), coupling, verdicts)
        for name in verdicts:
            change.after[name], change.source[name] = self._for_bc(name), self._of_outlook(name)
            change.before[name] = self.bc_fields.get(name, "")
            if name in self.differs:
                change.losing[name] = change.before[name]
        return change

    def _change(
        self, action: Action, cause: str, coupling: Coupling, verdicts: Mapping[str, str]
    ) -> PlannedChange:
        # A copy's every value replaces what stands for another contact (rules 2.6).
        replaced = (
            verdicts if self.pair.is_copy else [name for name, v in verdicts.items() if v in OVERWRITES]
        )
        overwritten = frozenset(replaced)
        lost = [
            name
            for name, verdict in verdicts.items()
            if verdict in ("conflict", "overwrite", "restore", "clear")
        ]
        return PlannedChange(
            action,
            cause,
            bc_id=self.bc.id,
            outlook_id=self.item.id,
            coupling=coupling,
            bc=self.bc,
            item=self.item,
            email_key=self.bc.email_key,
            losing={name: self.outlook_fields.get(name, "") for name in lost},
            guard_class="overwrites" if overwritten else "",
            overwritten=overwritten,
        )


# -- helpers ---------------------------------------------------------------------------------------------------------


def refusal_digest(value: str, lookups: Lookups) -> str:
    """Digest of a refused value and of the tables it was held against: tried again when either changes (rules 6)."""
    tables = json.dumps(
        [NORMALISER_VERSION, lookups.region, lookups.countries, lookups.companies], sort_keys=True
    )
    return hashlib.blake2b(f"{value}\0{tables}".encode(), digest_size=8).hexdigest()


def moved_baseline(
    before: Mapping[str, Any], record: Mapping[str, Any], fields: Fields, context: DiffContext
) -> dict[str, Any]:
    """Return the Outlook baseline with new fields and, where the field in it is agreed, the new array.

    An array whose mapped value is still open keeps its old baseline: with the new one, an edit would look like an
    entry of the user's own that moved up (rules 6). For the same reason one whose field never had a baseline has none
    either: its first entry is the mapped value that the first match decides about.
    """
    moved, normal = mapping.outlook_baseline(record, fields), context.normaliser.normal
    # By the new fields, which say what is ours now, in the array as it was.
    present = mapping.from_outlook(record, "extended", baseline={**before, "fields": fields})
    mapped = mapping.diffed_fields(context.policy.field_profile)
    for array, names in _ARRAYS.items():
        found = [name for name in names if name in fields and name in mapped]
        if names[0] not in found:
            del moved[array]
        elif array in before and any(
            normal(name, present.get(name, "")) != normal(name, fields[name]) for name in found
        ):
            moved[array] = before[array]
        elif before.get(array) != moved[array]:
            # What the field profile does not map any more can't be found again in an array that went on.
            moved["fields"] = {k: v for k, v in moved["fields"].items() if k in found or k not in names}
    return moved


_ARRAYS = {"emailAddresses": ("email", "email2"), "businessPhones": ("phone",)}
_IN_ARRAYS = frozenset(name for names in _ARRAYS.values() for name in names)


def is_split(name: str, bc: Fields, outlook: Fields) -> bool:
    """Return whether a field is a part of a name, or initials, that no user typed otherwise than the other side has it.

    That is: the parts of both sides hold the same words, or Outlook's initials are those that the sync guessed.
    """
    if name in PARTS:
        return same_words(*([fields.get(part, "") for part in PARTS] for fields in (bc, outlook)))
    if name != "initials":
        return False
    initials = clean_line(outlook.get(name, ""))
    return any(initials in guessed_initials(fields.get("name", "")) for fields in (bc, outlook))


def _cause(verdicts: Mapping[str, str]) -> str:
    for verdict, cause in (
        ("undo", "undo"),
        ("conflict", "conflict"),
        ("restore", "restored_from_bc"),
        ("clear", "overwrite_with_blank"),
        ("overwrite", "first_match"),
        ("to_outlook", "changed_in_bc"),
        ("fill", "fill"),
    ):
        if verdict in verdicts.values():
            return cause
    return "changed_in_outlook"


def edited_fields(coupling: Coupling, item: OutlookSide, context: DiffContext) -> list[str]:
    """Return the mapped fields in which an item differs from Outlook's baseline, by normal form (rules 2.1)."""
    profile, normal = context.policy.field_profile, context.normaliser.normal
    present = mapping.from_outlook(item.record, profile, baseline=coupling.baseline_outlook or None)
    baseline = coupling.baseline_outlook.get("fields", {})
    return [
        name
        for name in mapping.diffed_fields(profile)
        if name in baseline and normal(name, present.get(name, "")) != normal(name, baseline[name])
    ]


def is_edited(coupling: Coupling, item: OutlookSide, context: DiffContext) -> bool:
    """Return whether somebody edited an item since the pair last agreed, or we last wrote it (rules 2.1).

    Fingerprints are not asked: they change with the version of the normal forms, and tell nothing of a pair that has an
    edit waiting when the other side was written.
    """
    return has_moved(coupling, item) or bool(edited_fields(coupling, item, context))


def _coupling_state(coupling: Coupling) -> str:
    live = coupling.state in (CouplingState.ACTIVE, CouplingState.PINNED)
    return "live" if live else str(coupling.state)


def left_coupling(coupling: Coupling) -> Coupling:
    """The coupling without its item, which is remembered as a former one with its baselines (rules 2.6)."""
    if not coupling.outlook_id:
        return coupling
    former: dict[str, Any] = {
        "id": coupling.outlook_id,
        "origin": coupling.origin,
        "baseline_bc": coupling.baseline_bc,
        "baseline_outlook": coupling.baseline_outlook,
        "differs": coupling.differs,
    }
    return replace(
        coupling,
        outlook_id=None,
        outlook_row=None,
        outlook_fingerprint=None,
        former=[*coupling.former, former],
    )


def _load_order(change: PlannedChange) -> tuple[int, str, str]:
    """BC to Outlook before Outlook to BC; a coupling before the updates that need it (rules 8.10)."""
    order = {
        Action.DELETE_OUTLOOK: 0,
        Action.UNTIE: 0,
        Action.COUPLE: 1,
        Action.UPDATE_OUTLOOK: 2,
        Action.CREATE_OUTLOOK: 3,
        Action.UPDATE_BC: 4,
        Action.CREATE_BC: 5,
    }
    return (order[change.action], change.bc_id or "", change.outlook_id or "")


def digest_of(change: PlannedChange) -> str:
    """Return the identity of an action with its values: what an approval is bound to (rules 8.3)."""
    parts = [change.action, change.bc_id or "", change.outlook_id or "", sorted(change.normal.items())]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def part_of(change: PlannedChange, names: Collection[str]) -> PlannedChange:
    """Return the part of an update that writes these fields, as an action of its own."""

    def some(values: Fields) -> Fields:
        return {name: value for name, value in values.items() if name in names}

    overwritten = change.overwritten & set(names)
    plain = "changed_in_bc" if change.action is Action.UPDATE_OUTLOOK else "changed_in_outlook"
    part = replace(
        change,
        cause=change.cause if overwritten else plain,
        before=some(change.before),
        after=some(change.after),
        source=some(change.source),
        losing=some(change.losing),
        normal=some(change.normal),
        refused=[refusal for refusal in change.refused if refusal.field in names],
        overwritten=overwritten,
        guard_class="overwrites" if overwritten else "",
    )
    part.digest = digest_of(part)
    return part
