"""Carry out a plan (rules 8): conditional writes, creates that cannot be doubled, outcomes.

Everything a write came to is stored in one transaction per request: the outcome, the snapshot that the service
returned, and the coupling; so is, in Outlook's direction, that the next batch is being sent. The lease is checked in
the same transaction that marks changes as ``sending``, so that a worker that was stalled and lost its lease cannot
write.
"""

from __future__ import annotations

from collections.abc import Sequence

from sync_lib.load.business_central import BusinessCentralLoad
from sync_lib.load.outcomes import Outcomes
from sync_lib.load.outlook import OutlookLoad
from sync_lib.load.target import Loaded, Target
from sync_lib.model import Action, PlannedChange

_TO_BC = (Action.UPDATE_BC, Action.CREATE_BC)


def apply_plan(target: Target, plan: int, changes: Sequence[PlannedChange]) -> Loaded:
    """Apply the changes that are not held, BC to Outlook first (rules 8.10), and record every outcome."""
    open_changes = [change for change in changes if change.outcome is None]
    to_bc = [change for change in open_changes if change.action in _TO_BC]
    outcomes = Outcomes(target, plan, frozenset(change.bc_id for change in to_bc))
    OutlookLoad(target, outcomes).apply([change for change in open_changes if change.action not in _TO_BC])
    BusinessCentralLoad(target, outcomes).apply(to_bc)
    return outcomes.loaded
