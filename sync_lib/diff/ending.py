"""What becomes of the items of a profile that ends (rules 1): it goes, or loses what the sync put on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sync_lib.diff.actions import digest_of
from sync_lib.diff.baselines import is_edited
from sync_lib.diff.context import DiffContext
from sync_lib.fields.categories import without_category
from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import Action, Coupling, Origin, OutlookSide, PlannedChange

CAUSE = "profile_ended"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a profile ends.

    Attributes:
        context: The policy, the mapping, and the company's own key.
        removes: What the sync made goes, unless somebody edited it since; else everything stays.
        couplings: The profile's couplings, by item.
    """

    context: DiffContext
    removes: bool
    couplings: Mapping[str, Coupling]


def plan_end(items: Iterable[OutlookSide], ending: Ending) -> list[PlannedChange]:
    """Return what is to be done to the items of a folder; nothing for those that bear no mark of ours."""
    changes = [change for item in items if (change := _plan(item, ending))]
    for n, change in enumerate(changes, 1):
        change.n = n
        change.digest = digest_of(change)
    return changes


def _plan(item: OutlookSide, ending: Ending) -> PlannedChange | None:
    coupling, key = ending.couplings.get(item.id), own_key(item.bc_key, ending.context)
    if key is None and (coupling is None or without_category(item.record) is None):
        return None
    bc_id = coupling.bc_id if coupling else key.contact_id if key else None
    if coupling is not None and _goes(item, coupling, ending):
        return PlannedChange(
            Action.DELETE_OUTLOOK,
            CAUSE,
            bc_id=bc_id,
            outlook_id=item.id,
            coupling=coupling,
            item=item,
            email_key=item.email_key,
            before=ending.context.mapper.of_outlook(item.record, coupling.baseline_outlook or None),
        )
    return PlannedChange(Action.UNTIE, CAUSE, bc_id=bc_id, outlook_id=item.id, item=item)


def own_key(bc_key: str, context: DiffContext) -> BcKey | None:
    """Return the key of an item where it is of the profile's company, by where that is now or was before."""
    key = BcKey.parse(bc_key)
    return key if key and context.company and key.same_company(context.company) else None


def _goes(item: OutlookSide, coupling: Coupling, ending: Ending) -> bool:
    ours = coupling.origin is Origin.MADE_BY_SYNC and ending.context.may_write_outlook
    # A value that Outlook alone has never was in agreement, and nothing else holds it.
    kept = coupling.differs or is_edited(coupling, item, ending.context.mapper)
    return ending.removes and ours and not kept
