"""What becomes of contacts that are in no pair: new ones, and second items of a contact (rules 2.3, 7.6 and 7.7)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sync_lib.diff.builder import PlanBuilder
from sync_lib.diff.match import Pair
from sync_lib.diff.tables import PRIVATE, REQUIRED
from sync_lib.fields.required import new_item_problem
from sync_lib.model import (
    LATE_CREATE,
    Action,
    BcSide,
    BcStatus,
    Direction,
    Fields,
    Outcome,
    OutlookSide,
    PlannedChange,
    Reject,
    Side,
)


def plan_returned(builder: PlanBuilder, ours: OutlookSide, pair: Pair) -> None:
    """Delete the item that took the place of one that has come back."""
    if builder.context.may_write_outlook:
        builder.delete(None, pair.bc, ours, "returned")
    else:
        builder.reject(Reject(Side.OUTLOOK, ours.id, Outcome.SKIPPED, "copy_of_coupled"))


def plan_late(builder: PlanBuilder, second: Sequence[tuple[OutlookSide, BcSide]]) -> None:
    """Delete late creates of ours that hold what was sent and nothing else; others are copies (rules 2.3)."""
    sent = {bc_id: list(values) for bc_id, values in builder.views.sent.items()}
    for item, bc in second:
        held = next((each for each in sent[bc.id] if _holds(builder, item, each)), None)
        if held is None or not builder.context.may_write_outlook:
            builder.reject(Reject(Side.OUTLOOK, item.id, Outcome.SKIPPED, "copy_of_coupled"))
        else:
            sent[bc.id].remove(held)
            builder.delete(None, bc, item, LATE_CREATE)


def _holds(builder: PlanBuilder, item: OutlookSide, sent: Fields) -> bool:
    fields, mapper = builder.outlook_fields(item), builder.context.mapper
    return all(
        mapper.normal(name, fields.get(name, "")) == mapper.normal(name, sent.get(name, ""))
        for name in mapper.fields
    )


def plan_new_in_bc(builder: PlanBuilder, people: Sequence[BcSide]) -> None:
    """Create items for contacts that came into the scope."""
    for bc in people:
        if builder.context.may_write_outlook:
            builder.add(builder.creation(bc, None, "new_in_bc"))
        else:
            builder.count(Outcome.SKIPPED)


def plan_invalid_in_bc(builder: PlanBuilder, paired: Collection[str]) -> None:
    """Say of contacts without a valid name or address that they stay out."""
    for bc_id in builder.views.uncoupled_bc:
        bc = builder.views.bc[bc_id]
        if bc.status is BcStatus.INVALID and bc_id not in paired:
            builder.reject(Reject(Side.BUSINESS_CENTRAL, bc.id, Outcome.REJECTED, bc.problem))


def plan_left_out(builder: PlanBuilder) -> None:
    """Say of contacts that a person left out that they stay out."""
    for bc_id in builder.views.left_out:
        builder.reject(left_out(bc_id))


def left_out(bc_id: str) -> Reject:
    """Return the reason of a contact that a person left out."""
    return Reject(Side.BUSINESS_CENTRAL, bc_id, Outcome.SKIPPED, "left_out")


def plan_new_in_outlook(builder: PlanBuilder, items: Sequence[OutlookSide]) -> None:
    """Create contacts in BC for new items, if they pass the requirements."""
    for item in items:
        fields = builder.outlook_fields(item)
        if builder.policy.direction is Direction.TO_OUTLOOK:
            builder.count(Outcome.SKIPPED)
        elif problem := new_item_problem(fields, item.record):
            builder.reject(Reject(Side.OUTLOOK, item.id, Outcome.REJECTED, problem))
        elif builder.is_private(item):
            builder.reject(Reject(Side.OUTLOOK, item.id, Outcome.SKIPPED, PRIVATE))
        else:
            _create_in_bc(builder, item, fields)


def _create_in_bc(builder: PlanBuilder, item: OutlookSide, fields: Fields) -> None:
    wanted = {name: value for name, value in fields.items() if value}
    refused = builder.refusals(wanted, None)
    for refusal in refused:
        wanted.pop(refusal.field, None)
        builder.plan.rejects.append(
            Reject(Side.OUTLOOK, item.id, Outcome.REJECTED, refusal.reason, refusal.field)
        )
    if not all(name in wanted for name in REQUIRED):
        reason = next(refusal.reason for refusal in refused if refusal.field in REQUIRED)
        builder.reject(Reject(Side.OUTLOOK, item.id, Outcome.REJECTED, reason))
        return
    builder.add(
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
