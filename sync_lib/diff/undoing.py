"""What a person wants to be as it was before: items that were made or deleted (rules 9). Values are the merge's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sync_lib.diff.builder import PlanBuilder
from sync_lib.diff.events import event_key, why_out_of_reach
from sync_lib.diff.match import Pair
from sync_lib.fields import categories
from sync_lib.fields.normal_forms import email_key
from sync_lib.model import (
    UNDO,
    Action,
    BcSide,
    BcStatus,
    Coupling,
    CouplingState,
    Fields,
    NotUndone,
    Origin,
    PlannedChange,
    Undone,
)


def undo_create(builder: PlanBuilder, pair: Pair) -> bool:
    """Delete an item that the sync made and a person does not want; say whether it goes.

    Where the profile lets nothing stay away it would be made again by the next run (7.1), so it stays.
    """
    undone = builder.context.undone.get(pair.coupling.bc_id)
    if undone is None or undone.made is None:
        return False
    reason = _why_made_stays(builder, pair)
    if reason:
        builder.plan.not_undone.append(NotUndone(pair.coupling.bc_id, reason))
        return False
    assert pair.item is not None
    builder.delete(pair.coupling, pair.bc, pair.item, UNDO)
    return True


def _why_made_stays(builder: PlanBuilder, pair: Pair) -> str:
    if not builder.context.may_write_outlook:
        return "one_way"
    if pair.item is None or pair.bc is None or pair.bc.status is not BcStatus.IN_SCOPE:
        return why_out_of_reach(pair.bc)
    ours = pair.coupling.origin is Origin.MADE_BY_SYNC
    if event_key(pair, builder)[1:] != ("present", "live") or not ours:
        return "changed_since"
    return "" if builder.policy.deleted_in_outlook == "stay_away" else "would_be_made_again"


def undo_the_rest(builder: PlanBuilder, paired: Mapping[str, Pair]) -> None:
    """Make deleted items again; say of what is not there any more that it cannot be undone."""
    for bc_id, undone in sorted(builder.context.undone.items()):
        if bc_id in paired:
            if undone.restored is not None:
                reason = "gone_since" if paired[bc_id].item is None else "back_already"
                builder.plan.not_undone.append(NotUndone(bc_id, reason))
            continue
        bc = builder.views.bc.get(bc_id)
        if undone.restored is not None:
            reason = _why_deleted_stays(builder, bc, undone)
        else:
            reason = why_out_of_reach(bc)
        if reason:
            builder.plan.not_undone.append(NotUndone(bc_id, reason))
        elif bc is not None and bc.status is not BcStatus.IN_SCOPE:
            builder.add(_restoration(builder, bc, undone.restored or {}))


def _why_deleted_stays(builder: PlanBuilder, bc: BcSide | None, undone: Undone) -> str:
    """Why a deleted item is not made again; "" also for one in scope, which the sync makes by itself (7.6)."""
    views = builder.views
    if bc is None:
        return "gone_since"
    if bc.id in views.coupled_bc:
        return "gone_since" if views.coupled_bc[bc.id] is None else "back_already"
    if not builder.context.may_write_outlook:
        return "one_way"
    if bc.left_out:
        return "left_out"
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
    twins = {item.email_key for item in views.items.values()} | views.held_emails
    return "duplicate_email_in_outlook" if address and address in twins else ""


def _restoration(builder: PlanBuilder, bc: BcSide, values: Fields) -> PlannedChange:
    """An item whose contact is gone or out of scope, made again: it is kept as a released one is (7.2, 7.3)."""
    released = Coupling(0, bc.id, bc.row_id, None, None, Origin.MADE_BY_SYNC, CouplingState.RELEASED)
    return PlannedChange(
        Action.CREATE_OUTLOOK,
        UNDO,
        bc_id=bc.id,
        coupling=released,
        # Only what was in the item goes into it.
        bc=replace(bc, values={}),
        email_key=email_key(values.get("email", "")),
        after={name: value for name, value in values.items() if value},
        categories=categories.of_new(builder.context.categories_of(bc.values)),
    )
