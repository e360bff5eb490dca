"""What mapping and normal forms must know beside the values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Lookups:
    """The tables of one company, as one profile sees them.

    Attributes:
        region: Phone region of the company, ISO 3166 alpha-2.
        language: Language of country names written to Outlook, for example ``nl``.
        countries: BC's own table Country/Region: code -> display name.
        companies: Company contacts by case-folded name: number, or None where the name is not unique.
        countries_read: False where the app may not read that table: no country is written to either side.
    """

    region: str = "NL"
    language: str = "nl"
    countries: dict[str, str] = field(default_factory=dict)
    companies: dict[str, str | None] = field(default_factory=dict)
    countries_read: bool = True
