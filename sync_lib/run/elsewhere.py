"""What is left of a contact that is blocked for privacy, in the whole mailbox (rules 7.4).

Items are found by their immutable ids, which they keep when their owner moves them. What the sync made goes; an item
that it adopted, or that a user made, stays where its owner moved it, and no longer says whose it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from sync_lib.diff.actions import digest_of
from sync_lib.extract.folder import look_up_each
from sync_lib.fields import categories
from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import Action, Coupling, FormerItem, Origin, OutlookContact, OutlookSide, PlannedChange
from sync_lib.ports import Outlook

CAUSE = "privacy_blocked"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look.

    Attributes:
        outlook: Microsoft Graph.
        user: Graph user id of the mailbox.
        folder: The profile's folder.
        company: The company's own key.
        taken: Folders of other profiles: whose keys are there is for their own runs to decide.
    """

    outlook: Outlook
    user: str
    folder: str
    company: BcKey
    taken: Collection[str] = frozenset()


@dataclass(slots=True)
class Found:
    """What is to be done, and the items that need nothing any more."""

    changes: list[PlannedChange] = field(default_factory=list)
    settled: list[FormerItem] = field(default_factory=list)


def find_elsewhere(place: Place, items: Iterable[FormerItem]) -> Found:
    """Look items up, and decide about those that lie outside the folder."""
    return _Search(place).run(items, couplings=None)


def find_everywhere(
    place: Place, items: Iterable[FormerItem], couplings: Mapping[str, Coupling] | None = None
) -> Found:
    """Look items up, and decide also about those in the folder, which no comparison looks at.

    Args:
        place: Where.
        items: What stands or has stood for blocked contacts.
        couplings: Couplings by item.
    """
    return _Search(place).run(items, couplings=couplings or {})


class _Search:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.found = Found()
        self.live: dict[str, bool] = {}

    def run(self, items: Iterable[FormerItem], couplings: Mapping[str, Coupling] | None) -> Found:
        wanted = {item.outlook_id: item for item in items}
        if not wanted:
            return self.found
        present = look_up_each(self.place.outlook, self.place.user, list(wanted), self.place.folder)
        for key, contact in present.items():
            former = wanted[key]
            if contact is None:
                self._settle(former)
            elif contact.parent_folder_id == self.place.folder:
                self._inside(former, contact, couplings)
            else:
                self._outside(former, contact, (couplings or {}).get(key))
        return self.found

    def _settle(self, former: FormerItem) -> None:
        self.found.settled.append(replace(former, settled=True))

    def _inside(
        self, former: FormerItem, contact: OutlookContact, couplings: Mapping[str, Coupling] | None
    ) -> None:
        """What lies in the folder the comparison decides about, where there is one."""
        if couplings is None:
            return
        coupling = couplings.get(former.outlook_id)
        key = BcKey.parse(contact.bc_key or "")
        is_its_own = key is not None and self._is_of(former, key)
        if coupling is not None or is_its_own:
            self._plan(Action.DELETE_OUTLOOK, former, contact, coupling)
        else:
            self._settle(former)

    def _outside(self, former: FormerItem, contact: OutlookContact, coupling: Coupling | None) -> None:
        key = BcKey.parse(contact.bc_key or "")
        origin = key.origin if key else former.origin
        if (contact.bc_key and not (key and self._is_of(former, key))) or not self._is_live(contact):
            self._settle(former)  # It stands for somebody else now, or is deleted already.
        elif origin == Origin.MADE_BY_SYNC:
            self._plan(Action.DELETE_OUTLOOK, former, contact, coupling)
        elif key is not None and contact.parent_folder_id not in self.place.taken:
            self._plan(Action.UNTIE, former, contact, coupling)
        else:
            self._settle(former)

    def _is_of(self, former: FormerItem, key: BcKey) -> bool:
        return key.same_company(self.place.company) and key.contact_id == former.bc_id.lower()

    def _is_live(self, contact: OutlookContact) -> bool:
        parent = contact.parent_folder_id
        if parent not in self.live:
            self.live[parent] = self.place.outlook.is_live_parent(self.place.user, parent)
        return self.live[parent]

    def _plan(
        self, action: Action, former: FormerItem, contact: OutlookContact, coupling: Coupling | None
    ) -> None:
        change = PlannedChange(
            action,
            CAUSE,
            bc_id=former.bc_id,
            outlook_id=former.outlook_id,
            coupling=coupling if action is Action.DELETE_OUTLOOK else None,
            item=_side(contact),
            elsewhere=True,
        )
        if action is Action.UNTIE:
            kept = categories.without(contact.record, former.categories)
            # What it had before is not kept of a blocked contact (rules 7.4).
            change.categories = {} if kept is None else {"after": kept}
        change.digest = digest_of(change)
        self.found.changes.append(change)


def _side(contact: OutlookContact) -> OutlookSide:
    return OutlookSide(
        id=contact.id,
        row_id=0,
        fingerprint=0,
        etag=contact.etag,
        created=contact.created,
        email_key="",
        bc_key=contact.bc_key or "",
        record=contact.record,
        private=bool(contact.private),
    )
