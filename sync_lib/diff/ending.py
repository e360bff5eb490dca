"""What becomes of the items of a profile that ends (rules 1): it goes, or loses what the sync put on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sync_lib.diff.actions import digest_of
from sync_lib.diff.baselines import is_edited
from sync_lib.diff.context import DiffContext, Policy
from sync_lib.fields import categories
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
    own = own_categories(coupling, ending.context.policy)
    kept = categories.without(item.record, own)
    if key is None and (coupling is None or kept is None):
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
    change = PlannedChange(Action.UNTIE, CAUSE, bc_id=bc_id, outlook_id=item.id, item=item)
    if kept is None:
        return change
    return replace(change, categories={"before": categories.present(item.record), "after": kept})


def own_categories(coupling: Coupling | None, policy: Policy) -> tuple[str, ...]:
    """Return the digests of the categories of an item that the sync put there.

    Of a copy that its owner made of one, and of an item that no coupling knows, nobody remembers that: what the
    templates say in plain text is the sync's there.
    """
    known = coupling.categories if coupling else {}
    return categories.digests(known.get("own", [] if coupling else categories.render(policy.categories, {})))


def own_key(bc_key: str, context: DiffContext) -> BcKey | None:
    """Return the key of an item where it is of the profile's company, by where that is now or was before."""
    key = BcKey.parse(bc_key)
    return key if key and context.company and key.same_company(context.company) else None


def _goes(item: OutlookSide, coupling: Coupling, ending: Ending) -> bool:
    ours = coupling.origin is Origin.MADE_BY_SYNC and ending.context.may_write_outlook
    # A value that Outlook alone has never was in agreement, and nothing else holds it.
    kept = coupling.differs or is_edited(coupling, item, ending.context.mapper)
    return ending.removes and ours and not kept
