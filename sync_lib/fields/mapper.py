"""One way from a value to a side: what reading, comparing and writing need of a field profile and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync_lib.fields import bc_body, outlook_body, reading
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.names import compose_name
from sync_lib.fields.normal_forms import NORMALISER_VERSION, Normaliser
from sync_lib.fields.table import BC_PROPERTIES, NAME_PARTS, diffed_fields
from sync_lib.model import Fields, Refusal


@dataclass(frozen=True, slots=True)
class FieldMapper:
    """Maps the records of both services, for one company and one profile.

    Attributes:
        field_profile: ``standard`` or ``extended``.
        lookups: What the values depend on beside themselves.
        normaliser: Decides when two written values are one value.
    """

    field_profile: str
    lookups: Lookups
    normaliser: Normaliser

    @classmethod
    def of(cls, field_profile: str, lookups: Lookups) -> FieldMapper:
        """Return the mapper of a field profile."""
        return cls(field_profile, lookups, Normaliser(lookups))

    @property
    def version(self) -> int:
        """Version of what fingerprints are made of: the normal forms, and the fields of the field profile."""
        return NORMALISER_VERSION * 2 + (self.field_profile == "extended")

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the diff compares."""
        return diffed_fields(self.field_profile)

    def normal(self, name: str, written: str) -> str:
        """Return the normal form of a field's written value."""
        return self.normaliser.normal(name, written)

    def is_equal(self, name: str, one: str, other: str) -> bool:
        """Whether two written values of a field are one value."""
        return one == other or self.normal(name, one) == self.normal(name, other)

    def fingerprint(self, fields: Fields) -> int:
        """Return the digest of all compared fields (``Normaliser.fingerprint``)."""
        return self.normaliser.fingerprint(fields)

    def of_business_central(self, values: Mapping[str, str]) -> Fields:
        """Return the fields of a BC contact (``reading.from_business_central``)."""
        return reading.from_business_central(values, self.field_profile)

    def of_outlook(self, record: Mapping[str, Any], baseline: Mapping[str, Any] | None = None) -> Fields:
        """Return the fields of an Outlook record (``reading.from_outlook``)."""
        return reading.from_outlook(record, self.field_profile, baseline=baseline)

    def of_outlook_again(
        self, fields: Fields, record: Mapping[str, Any], baseline: Mapping[str, Any] | None
    ) -> Fields:
        """Return ``of_outlook`` of a record whose fields were read with another baseline (``reading.read_again``)."""
        return reading.read_again(fields, record, self.field_profile, baseline=baseline)

    def names_of_created(self, sent: Fields) -> frozenset[str]:
        """Return the normal forms of the names that BC may give to a contact that is made of these fields.

        Its own, or that of its parts where those went in its place (``bc_body.to_business_central``).
        """
        body, _ = self.to_business_central(sent, None)
        parts = compose_name(*(body.get(BC_PROPERTIES[part], "") for part in NAME_PARTS))
        return frozenset(self.normal("name", name) for name in (sent.get("name", ""), parts) if name)

    def to_outlook(
        self,
        changes: Fields,
        record: Mapping[str, Any] | None,
        *,
        all_fields: Fields,
        baseline: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], list[Refusal]]:
        """Return the body of a write to Outlook, and what Outlook can't hold (``outlook_body.to_outlook``)."""
        return outlook_body.to_outlook(
            changes,
            record,
            all_fields=all_fields,
            lookups=self.lookups,
            field_profile=self.field_profile,
            baseline=baseline,
        )

    def to_business_central(
        self, changes: Fields, values: Mapping[str, str] | None
    ) -> tuple[dict[str, str], list[Refusal]]:
        """Return the body of a write to BC, and what BC can't hold (``bc_body.to_business_central``)."""
        return bc_body.to_business_central(
            changes, values, lookups=self.lookups, field_profile=self.field_profile
        )
