"""From pairs to a plan (rules 7). Pure: the order of the input does not matter to the result."""

from __future__ import annotations

from sync_lib.diff import newcomers, undoing
from sync_lib.diff.builder import PlanBuilder
from sync_lib.diff.context import DiffContext
from sync_lib.diff.events import PairEvents
from sync_lib.diff.match import Matching, Views
from sync_lib.model import Outcome, Plan, Reject


def plan_changes(matching: Matching, views: Views, context: DiffContext) -> Plan:
    """Decide what each contact needs."""
    builder = PlanBuilder(views, context)
    builder.plan.ended += matching.superseded
    events = PairEvents(builder)
    for pair in sorted(matching.pairs, key=lambda pair: pair.coupling.bc_id):
        if not undoing.undo_create(builder, pair):
            events.decide(pair)
    for item, bc in matching.blocked_items:
        builder.delete(None, bc, item, "privacy_blocked")
    for item, pair in matching.returned:
        newcomers.plan_returned(builder, item, pair)
    newcomers.plan_late(builder, matching.late)
    newcomers.plan_new_in_bc(builder, matching.new_bc)
    paired = {pair.coupling.bc_id: pair for pair in matching.pairs}
    newcomers.plan_invalid_in_bc(builder, paired)
    newcomers.plan_left_out(builder)
    undoing.undo_the_rest(builder, paired)
    newcomers.plan_new_in_outlook(builder, matching.new_items)
    for skip in matching.skipped:
        builder.reject(Reject(skip.side, skip.id, Outcome.SKIPPED, skip.reason))
    return builder.finish()
