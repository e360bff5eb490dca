"""What becomes of a pair, one end of which may be gone, blocked or out of scope (rules 2.1, 3 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sync_lib.diff.baselines import coupling_state, is_edited, left_coupling
from sync_lib.diff.builder import PlanBuilder
from sync_lib.diff.match import Pair
from sync_lib.diff.merge import Merge
from sync_lib.diff.newcomers import left_out
from sync_lib.diff.tables import EVENTS, Event
from sync_lib.model import (
    Action,
    BcSide,
    BcStatus,
    Coupling,
    CouplingState,
    Fields,
    NotUndone,
    Origin,
    Outcome,
    PlannedChange,
    Reject,
    Side,
)


def event_key(pair: Pair, builder: PlanBuilder) -> tuple[BcStatus, str, str]:
    """Return what ``EVENTS`` is asked: what became of the contact, of the item, and of the coupling."""
    status = pair.bc.status if pair.bc else BcStatus.GONE
    item = "gone"
    if pair.item is not None:
        edited = is_edited(pair.coupling, pair.item, builder.context.mapper)
        item = "edited" if edited else "present"
    return status, item, coupling_state(pair.coupling)


def why_out_of_reach(bc: BcSide | None) -> str:
    """Why nothing can go back to a contact and its item, which are not both there, or not both synced, any more."""
    if bc is None or bc.status is BcStatus.GONE:
        return "gone_since"
    if bc.left_out:
        return "left_out"
    if bc.status is BcStatus.BLOCKED:
        return "privacy_blocked"
    if bc.status is BcStatus.OUT:
        return "out_since"
    if bc.status is BcStatus.INVALID:
        return bc.problem or "invalid"
    return "gone_since"


class PairEvents:
    """Decides about pairs, by the table of events."""

    def __init__(self, builder: PlanBuilder) -> None:
        self.builder = builder
        self.context = builder.context
        self.policy = builder.policy
        self._handlers: dict[Event, Callable[[Pair], None]] = {
            Event.MERGE: self._merge,
            Event.REPAIR: self._repair,
            Event.RECREATE: self._recreate,
            Event.WAKE: self._wake,
            Event.KEEP: self._keep,
            Event.END: self._end,
            Event.END_OR_AWAY: self._end_or_away,
            Event.LEAVE_SCOPE: self._leave_scope,
            Event.LEAVE_EDITED: self._leave_edited,
            Event.DELETE_OR_RELEASE: self._delete_or_release,
            Event.RELEASE_EDITED: self._release_edited,
            Event.DELETE_BLOCKED: self._delete_blocked,
        }

    def decide(self, pair: Pair) -> None:
        """Plan what a pair needs."""
        event = EVENTS[event_key(pair, self.builder)]
        undone = self.context.undone.get(pair.coupling.bc_id)
        if undone is not None and undone.values and event not in (Event.MERGE, Event.REPAIR):
            self.builder.plan.not_undone.append(NotUndone(pair.coupling.bc_id, why_out_of_reach(pair.bc)))
        self._handlers[event](pair)

    # -- both ends are there ---------------------------------------------------------------------------------------

    def _merge(self, pair: Pair) -> None:
        if pair.found_by == "email" and pair.item and not pair.item.flag_read:
            self.builder.plan.unread.add(pair.item.id)  # A private one is left alone.
        Merge(self.builder, pair).run()

    def _repair(self, pair: Pair) -> None:
        Merge(self.builder, pair, bc_invalid=True).run()

    def _keep(self, pair: Pair) -> None:
        if self._add_key(pair, pair.coupling):
            return
        if pair.coupling.id == 0 or pair.found_by:
            self.builder.plan.couplings.append(replace(pair.coupling, attention=False))
        if pair.bc is not None and pair.bc.left_out:
            self.builder.reject(left_out(pair.bc.id))
        else:
            self.builder.count(Outcome.UNCHANGED)

    def _add_key(self, pair: Pair, coupling: Coupling) -> bool:
        """Give a kept item the key that could not be written when it was coupled; say whether it lacks one.

        Without it a lost staging database would let the item make the contact once more (rules 2.7).
        """
        if pair.item is None or (pair.item.bc_key and not self.context.is_former(pair.item.bc_key)):
            return False
        self.builder.add(
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

    # -- the item is gone ------------------------------------------------------------------------------------------

    def _recreate(self, pair: Pair) -> None:
        assert pair.bc is not None
        with_folder = pair.coupling.outlook_id in self.builder.views.lost_items
        if not self.context.may_write_outlook:
            # 7.9: nothing is written; it is made again when the direction changes.
            self.builder.count(Outcome.SKIPPED)
        elif not self._is_wished(pair) and (
            self._is_left_away(pair) or not (with_folder or self._comes_back(pair))
        ):
            self._stay_away(pair)
        else:
            self._create_again(pair.bc, pair.coupling, "deleted_in_outlook")

    def _create_again(self, bc: BcSide, coupling: Coupling, cause: str) -> None:
        self.builder.add(self.builder.creation(bc, coupling, cause))

    def _comes_back(self, pair: Pair) -> bool:
        """Whether a deleted item is made again: by policy, or since a person is asked about an emptied folder."""
        asked = self.context.emptied or pair.coupling.bc_id in self.context.asked
        return asked or self.policy.deleted_in_outlook != "stay_away"

    def _is_wished(self, pair: Pair) -> bool:
        """Whether a person wants this contact synced at once: it is the user's wish that ends a stay away (7.1)."""
        return pair.coupling.bc_id in self.context.wished

    def _is_left_away(self, pair: Pair) -> bool:
        """Whether a person leaves it away; what changed in BC since the question was shown is asked about anew."""
        assert pair.bc is not None
        shown = self.context.left_away.get(pair.coupling.bc_id)
        if shown is None:
            return False
        again = self.builder.creation(pair.bc, pair.coupling, "deleted_in_outlook")
        self.builder.identify(again)
        return again.digest == shown

    def _end_or_away(self, pair: Pair) -> None:
        """An item was deleted while its contact is out of scope, or blocked (rules 2.1)."""
        with_folder = pair.coupling.outlook_id in self.builder.views.lost_items
        if self.policy.deleted_in_outlook == "stay_away" and not with_folder:
            # What took the contact out of the scope may be a value: its coming back to what the item held is no change.
            self._stay_away(pair, pair.coupling.baseline_bc)
        else:
            self._end(pair)

    def _stay_away(self, pair: Pair, agreed: Fields | None = None) -> None:
        coupling = replace(
            left_coupling(pair.coupling),
            state=CouplingState.AWAY,
            baseline_bc=self.builder.bc_fields(pair.bc) | (agreed or {}),
            bc_fingerprint=pair.bc.fingerprint if pair.bc else None,
            attention=False,
        )
        self.builder.plan.couplings.append(coupling)
        self.builder.count(Outcome.SKIPPED)

    def _wake(self, pair: Pair) -> None:
        assert pair.bc is not None
        changed = self._changed_while_away(pair.bc, pair.coupling)
        may_write = self.context.may_write_outlook
        left = self.policy.deleted_in_outlook == "stay_away" or pair.bc.id in self.context.left_away
        if pair.bc.id in self.context.asked and may_write:
            self._create_again(pair.bc, pair.coupling, "deleted_in_outlook")
        elif self._is_wished(pair) and may_write:
            self._create_again(pair.bc, pair.coupling, "wished")
        elif (changed or not left) and may_write:
            cause = "changed_in_bc_while_away" if changed else "no_longer_away"
            self._create_again(pair.bc, pair.coupling, cause)
        else:
            self.builder.reject(Reject(Side.BUSINESS_CENTRAL, pair.bc.id, Outcome.SKIPPED, "stay_away"))

    def _changed_while_away(self, bc: BcSide, coupling: Coupling) -> bool:
        """Whether a mapped value differs from the baseline with which the pair went away (rules 2.1)."""
        mapper, present = self.context.mapper, self.builder.bc_fields(bc)
        return any(
            mapper.normal(name, present[name]) != mapper.normal(name, coupling.baseline_bc[name])
            for name in mapper.fields
            if name in present and name in coupling.baseline_bc
        )

    def _end(self, pair: Pair) -> None:
        self.builder.plan.ended.append(pair.coupling)
        self.builder.count(Outcome.UNCHANGED)

    # -- the contact is gone, blocked or out of scope --------------------------------------------------------------

    def _leave_scope(self, pair: Pair) -> None:
        if pair.coupling.bc_id in self.context.leaving:
            self._carry(pair)
        elif pair.bc is not None and pair.bc.left_out:
            self._leave_out(pair)
        else:
            self._delete_unless(pair, self.policy.left_scope, "left_scope")

    def _leave_out(self, pair: Pair) -> None:
        """A person left it out: as 7.3, but that a pinned one stays, since the filter would not make it again."""
        pinned = pair.coupling.state is CouplingState.PINNED
        if self._may_delete(pair, self.policy.left_scope) and not pinned:
            assert pair.item is not None
            self.builder.delete(pair.coupling, pair.bc, pair.item, "left_out")
        else:
            self._release(pair, "left_out")

    def _leave_edited(self, pair: Pair) -> None:
        """Let an edit go to BC before its contact leaves; what can't go keeps its item (rules 7.3b, c, d)."""
        assert pair.bc is not None
        is_person = pair.bc.values.get("type") == "Person"
        if pair.coupling.bc_id in self.context.leaving or (is_person and self._merging(pair).carries()):
            self._carry(pair)
        else:
            self._release_edited(pair)

    def _carry(self, pair: Pair) -> None:
        self.builder.plan.leaving.add(pair.coupling.bc_id)
        self._merging(pair).run()

    def _merging(self, pair: Pair) -> Merge:
        return Merge(self.builder, pair, bc_invalid=bool(pair.bc and pair.bc.problem))

    def _delete_or_release(self, pair: Pair) -> None:
        self._delete_unless(pair, self.policy.deleted_in_bc, "deleted_in_bc")

    def _delete_unless(self, pair: Pair, policy: str, cause: str) -> None:
        if self._may_delete(pair, policy):
            assert pair.item is not None
            self.builder.delete(pair.coupling, pair.bc, pair.item, cause)
        else:
            self._release(pair, f"{cause}_kept")

    def _may_delete(self, pair: Pair, policy: str) -> bool:
        ours = pair.coupling.origin is Origin.MADE_BY_SYNC
        return policy == "delete" and ours and self.context.may_write_outlook

    def _release_edited(self, pair: Pair) -> None:
        gone = pair.bc is None or pair.bc.status is BcStatus.GONE
        self._release(pair, "deleted_in_bc_edited_in_outlook" if gone else "left_scope_edited_in_outlook")

    def _release(self, pair: Pair, reason: str) -> None:
        assert pair.item is not None
        released = replace(pair.coupling, state=CouplingState.RELEASED, attention=False)
        reject = Reject(Side.OUTLOOK, pair.item.id, Outcome.SKIPPED, reason)
        if pair.bc is not None and pair.bc.left_out:
            reject = left_out(pair.bc.id)
        self.builder.plan.couplings.append(released)
        if self._add_key(pair, released):
            self.builder.plan.rejects.append(reject)
        else:
            self.builder.reject(reject)

    def _delete_blocked(self, pair: Pair) -> None:
        assert pair.item is not None
        self.builder.delete(pair.coupling, pair.bc, pair.item, "privacy_blocked")
