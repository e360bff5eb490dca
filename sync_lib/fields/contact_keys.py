"""What the contact of a held action is known by in its profile: ids, and digests of addresses (rules 8.3). Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from sync_lib.model import (
    Origin,
)

_BC, _EMAIL, _ITEM = "bc:", "email:", "outlook:"


def bc_key(bc_id: str) -> str:
    """Return what a contact of BC is known by."""
    return f"{_BC}{bc_id}"


def item_key(outlook_id: str) -> str:
    """Return what an item of Outlook is known by."""
    return f"{_ITEM}{outlook_id}"


def item_of(key: str) -> str:
    """Return the item that a key stands for, or "" where it stands for something else."""
    return key.removeprefix(_ITEM) if key.startswith(_ITEM) else ""


def email_key_digest(email_key: str) -> str:
    """Return what an address, in normal form, is known by: a digest that does not say it."""
    return _EMAIL + hashlib.blake2b(email_key.encode(), digest_size=16).hexdigest()


def is_email_digest(key: str) -> bool:
    """Whether a key stands for an address: another item may have it too."""
    return key.startswith(_EMAIL)


def bc_id_of(key: str) -> str:
    """Return the contact of BC that a key stands for, or "" where it stands for something else."""
    return key.removeprefix(_BC) if key.startswith(_BC) else ""


@dataclass(frozen=True, slots=True)
class BcKey:
    """What our extended property on an Outlook item says: which BC contact it stands for, and how it came to be."""

    tenant_id: str
    environment: str
    company_id: str
    contact_id: str
    origin: Origin
    #: Of a company's own key: where the company was before, each as (tenant, environment, company), lower-case.
    former: tuple[tuple[str, str, str], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        """Return the property's value; lower-case, since Graph compares it without case."""
        return (
            f"{self.tenant_id}/{self.environment}/{self.company_id}/{self.contact_id}|{self.origin}".lower()
        )

    @classmethod
    def parse(cls, value: str) -> BcKey | None:
        """Return the key that ``value`` spells, or None where it is none of ours."""
        path, _, origin = value.lower().partition("|")
        parts = path.split("/")
        if len(parts) != 4 or origin not in set(Origin):
            return None
        tenant_id, environment, company_id, contact_id = parts
        return cls(tenant_id, environment, company_id, contact_id, Origin(origin))

    @property
    def binding(self) -> tuple[str, str, str]:
        """Tenant, environment and company; lower-case, since none of them is case-sensitive."""
        return self.tenant_id.lower(), self.environment.lower(), self.company_id.lower()

    def same_company(self, company: BcKey) -> bool:
        """Whether this key is of a company, by where the company is now or by where it was before (rules 1)."""
        return self.binding in (company.binding, *company.former)
