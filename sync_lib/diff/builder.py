"""Where the decisions of a diff meet: it makes changes, counts outcomes, and keeps what they come to."""

from __future__ import annotations

from sync_lib.diff.actions import digest_of, load_order
from sync_lib.diff.context import DiffContext
from sync_lib.diff.match import Views
from sync_lib.fields import categories
from sync_lib.model import (
    LATE_CREATE,
    Action,
    BcSide,
    Coupling,
    Fields,
    Outcome,
    OutlookSide,
    Plan,
    PlannedChange,
    Refusal,
    Reject,
)


class PlanBuilder:
    """Collects the plan of one diff.

    Args:
        views: What the diff looks at singly.
        context: What decisions depend on.
    """

    def __init__(self, views: Views, context: DiffContext) -> None:
        self.views = views
        self.context = context
        self.policy = context.policy
        self.plan = Plan()

    # -- what it comes to ------------------------------------------------------------------------------------------

    def finish(self) -> Plan:
        """Return the plan, its changes numbered in the order of the load."""
        self.plan.changes.sort(key=load_order)
        for n, change in enumerate(self.plan.changes, 1):
            change.n = n
            self.identify(change)
        return self.plan

    def identify(self, change: PlannedChange) -> None:
        """Give a change the digest that an approval is bound to."""
        normal = self.context.mapper.normal
        change.normal = {name: normal(name, value) for name, value in change.after.items()}
        change.digest = digest_of(change)

    def add(self, change: PlannedChange) -> None:
        """Take a change up."""
        self.plan.changes.append(change)

    def count(self, outcome: Outcome) -> None:
        """Count a contact that needs no write."""
        self.plan.outcomes[outcome] += 1

    def reject(self, reject: Reject) -> None:
        """Leave a whole contact out."""
        self.plan.rejects.append(reject)
        self.count(reject.outcome)

    # -- changes that several decisions come to --------------------------------------------------------------------

    def delete(self, coupling: Coupling | None, bc: BcSide | None, item: OutlookSide, cause: str) -> None:
        """Plan the delete of an item."""
        bc_id = coupling.bc_id if coupling else bc.id if bc else None
        self.add(
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

    def creation(self, bc: BcSide, coupling: Coupling | None, cause: str) -> PlannedChange:
        """Return the creation of an item; ``coupling`` is the one that it takes a place in, if there is one."""
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
            categories=categories.of_new(self.context.categories_of(bc.values)),
        )

    # -- what decisions ask ----------------------------------------------------------------------------------------

    def is_private(self, item: OutlookSide) -> bool:
        """Whether nothing of an item may go to BC (rules 3); notes where the flag must be read before that is known."""
        if not item.flag_read:
            self.plan.unread.add(item.id)
            return self.context.unread_is_private
        return item.private

    def bc_fields(self, bc: BcSide | None) -> Fields:
        """Return the fields of a BC contact."""
        return self.context.mapper.of_business_central(bc.values) if bc else {}

    def outlook_fields(self, item: OutlookSide, coupling: Coupling | None = None) -> Fields:
        """Return the fields of an item; a coupling shows which entries of its arrays are mapped."""
        baseline = coupling.baseline_outlook if coupling and coupling.baseline_outlook else None
        return self.context.mapper.of_outlook(item.record, baseline)

    def refusals(self, wanted: Fields, bc: BcSide | None) -> list[Refusal]:
        """Return what BC could not hold of some values."""
        _, refused = self.context.mapper.to_business_central(wanted, bc.values if bc else None)
        return refused
