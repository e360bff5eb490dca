"""What the decisions of a diff depend on beside the contacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync_lib.fields import categories
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.mapper import FieldMapper
from sync_lib.model import Direction, Undone


@dataclass(frozen=True, slots=True)
class Policy:
    """What a profile decides about the diff (rules 1 and 7)."""

    direction: Direction = Direction.BOTH
    deleted_in_outlook: str = "recreate"
    deleted_in_bc: str = "delete"
    left_scope: str = "delete"
    blank_in_bc: str = "fill"
    #: Templates of the categories of items in Outlook.
    categories: tuple[str, ...] = categories.DEFAULT


@dataclass(frozen=True, slots=True)
class DiffContext:
    """What the decisions depend on beside the contacts."""

    policy: Policy
    mapper: FieldMapper
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
    #: Contacts that a person wants synced at once: system ids, or immutable ids.
    wished: frozenset[str] = frozenset()

    @property
    def may_write_outlook(self) -> bool:
        """Whether anything but keys may be written to Outlook (rules 7.9)."""
        return self.policy.direction is not Direction.TO_BUSINESS_CENTRAL

    def categories_of(self, values: Mapping[str, str]) -> list[str]:
        """Return what the profile's templates come to for a BC contact; where it writes none, nothing."""
        return categories.render(self.policy.categories, values) if self.may_write_outlook else []

    def is_former(self, bc_key: str) -> bool:
        """Whether a key of ours names a place where the company was before."""
        key = BcKey.parse(bc_key)
        return key is not None and self.company is not None and key.binding in self.company.former
