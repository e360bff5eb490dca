"""How far the two sides of a profile's pairs agree, by what both hold now (rules 9). Pure.

The sync compares each side with its own baseline, and leaves alone what looks unchanged. This compares the sides with
each other, so that it also finds what the sync, by a fault of its own, believes to be in agreement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_lib.diff.baselines import is_split
from sync_lib.fields.mapper import FieldMapper
from sync_lib.logs import table
from sync_lib.model import Coupling

#: Contact (BC's system id, or immutable id) -> fields of it that do not sync, "" for the whole contact.
Rejects = Mapping[str, frozenset[str]]

_COLUMNS = (
    "mailbox",
    "company",
    "pairs",
    "in agreement",
    "share",
    "differ for a reason",
    "would Outlook +/~/-",
    "would BC +/~",
    "not checked",
)


@dataclass(frozen=True, slots=True)
class Ends:
    """A pair and what is on its two ends: the staged contact of BC, and the Outlook record; None where none is."""

    coupling: Coupling
    bc: Mapping[str, str] | None
    record: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many active and pinned pairs there are, agree, and differ for a reason that is on record."""

    pairs: int = 0
    agreeing: int = 0
    explained: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of one profile found.

    Attributes:
        profile: Key of the profile.
        mailbox: Its mailbox.
        company: Its company.
        agreement: The pairs.
        planned: What a real run would do -> contacts, as a run counts it.
        reason: Why it was not checked, or "".
    """

    profile: int
    mailbox: str
    company: str
    agreement: Agreement = Agreement()
    planned: dict[str, int] = field(default_factory=dict)
    reason: str = ""

    def is_worse_than(self, percent: float) -> bool:
        """Whether so few pairs agree, or differ for a reason, that somebody should look."""
        found = self.agreement
        return found.pairs > 0 and 100 * (found.agreeing + found.explained) < percent * found.pairs


def count_agreement(pairs: Iterable[Ends], rejects: Rejects, mapper: FieldMapper) -> Agreement:
    """Return how many pairs agree.

    Args:
        pairs: The active and pinned ones of a profile.
        rejects: What a run refused, and the report named.
        mapper: How values compare.
    """
    total = agreeing = explained = 0
    for pair in pairs:
        differing = _differing(pair, mapper)
        total += 1
        agreeing += not differing
        explained += bool(differing) and _is_explained(pair.coupling, differing, rejects)
    return Agreement(total, agreeing, explained)


def _differing(pair: Ends, mapper: FieldMapper) -> frozenset[str]:
    """The fields in which two present contacts differ; "" where one of them is missing."""
    if pair.bc is None or pair.record is None:
        return frozenset({""})
    bc = mapper.of_business_central(pair.bc)
    outlook = mapper.of_outlook(pair.record, pair.coupling.baseline_outlook or None)
    return frozenset(
        name
        for name in mapper.fields
        if mapper.normal(name, bc.get(name, "")) != mapper.normal(name, outlook.get(name, ""))
        and not is_split(name, bc, outlook)
    )


def _is_explained(coupling: Coupling, differing: frozenset[str], rejects: Rejects) -> bool:
    known = rejects.get(coupling.bc_id, frozenset()) | rejects.get(coupling.outlook_id or "", frozenset())
    return "" in known or differing <= known | coupling.differs.keys() | coupling.refused.keys()


def lines(checked: Sequence[Checked]) -> list[str]:
    """Return a table for a log, one row for each profile that was checked."""
    return table([_COLUMNS, *map(_row, checked)])


def _row(checked: Checked) -> tuple[str, ...]:
    found = checked.agreement
    # Never rounded up: 100 % means all of them.
    share = f"{math.floor(1000 * found.agreeing / found.pairs) / 10:g} %" if found.pairs else "-"

    def would(side: str, *names: str) -> str:
        return "/".join(str(checked.planned.get(f"{name}_{side}", 0)) for name in names)

    return (
        checked.mailbox,
        checked.company,
        str(found.pairs),
        str(found.agreeing),
        share,
        str(found.explained),
        would("outlook", "created", "updated", "deleted"),
        would("business_central", "created", "updated"),
        checked.reason,
    )
