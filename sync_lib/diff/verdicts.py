"""Which side's value goes where, field by field, of a pair whose two contacts are present (rules 3, 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass

from sync_lib.diff.baselines import is_split
from sync_lib.diff.builder import PlanBuilder
from sync_lib.diff.match import Pair
from sync_lib.diff.tables import (
    DIRECTED,
    PRIVATE,
    REQUIRED,
    UNSURE,
    WITH_BASELINE,
    WITHOUT_BASELINE,
    WRITES_BC,
    WRITES_OUTLOOK,
)
from sync_lib.fields.names import carry_split, compose_name, is_turned
from sync_lib.fields.required import to_business_central_problem, to_outlook_problem
from sync_lib.fields.slots import find_email
from sync_lib.fields.table import NAME_PARTS
from sync_lib.model import UNDO, BcSide, Direction, Fields, NotUndone, OutlookSide, Side, Undone

#: Side, reason and field ("" for the whole contact) of what is not synced.
Reason = tuple[Side, str, str]


@dataclass(frozen=True, slots=True)
class Sides:
    """A pair, and what both sides hold and held, by field and in written form."""

    pair: Pair
    bc: BcSide
    item: OutlookSide
    bc_fields: Fields
    outlook_fields: Fields
    baseline_bc: Fields
    baseline_outlook: Fields

    @classmethod
    def of(cls, builder: PlanBuilder, pair: Pair) -> Sides:
        """Return the sides of a pair whose two contacts are present."""
        assert pair.bc is not None
        assert pair.item is not None
        coupling = pair.coupling
        bc, outlook = builder.bc_fields(pair.bc), builder.outlook_fields(pair.item, coupling)
        baseline: Fields = coupling.baseline_outlook.get("fields", {})
        if "email2" in outlook and "email2" not in baseline:
            # Without a baseline BC's own value is what it is found by (rules 6).
            outlook["email2"] = find_email(pair.item.record, bc["email2"])
        return cls(pair, pair.bc, pair.item, bc, outlook, coupling.baseline_bc, baseline)


class FieldVerdicts:
    """Decides about each field of a pair.

    Attributes:
        reasons: What is not synced, and why.
        undone: What goes back to both sides, by field.
        carried: Parts of a name as the other side splits it.
    """

    def __init__(self, builder: PlanBuilder, sides: Sides, *, bc_invalid: bool) -> None:
        self.builder = builder
        self.context = builder.context
        self.direction = builder.policy.direction
        self.normal = builder.context.mapper.normal
        self.sides = sides
        self.problem = self._problem(bc_invalid=bc_invalid)
        self.reasons: list[Reason] = []
        self.undone: Fields = {}
        self.carried: Fields = {}

    def decide(self) -> dict[str, str]:
        """Return the verdict of each compared field."""
        names = self.context.mapper.fields
        verdicts = {name: UNDO if name in self.undone else self._verdict(name) for name in names}
        verdicts = self._whole_names(verdicts)
        if self.problem:
            verdicts = {name: self._repaired(name, verdict) for name, verdict in verdicts.items()}
        return verdicts

    # -- undo ------------------------------------------------------------------------------------------------------

    def find_undone(self) -> None:
        """Find what can go back to both sides, and say of the rest why it stays."""
        wanted = self.context.undone.get(self.sides.bc.id, Undone()).values
        for name, (old, new) in wanted.items():
            if all(self.normal(name, side.get(name, "")) == self.normal(name, old) for side in self._both()):
                continue
            reason = self.problem[1] if self.problem else self._why_it_stays(name, old, new)
            if reason:
                self.builder.plan.not_undone.append(NotUndone(self.sides.bc.id, reason, name))
            else:
                self.undone[name] = old

    def _why_it_stays(self, name: str, old: str, new: str) -> str:
        if self.direction is not Direction.BOTH:
            return "one_way"
        # One of the two may be as it was before: an undo that broke off goes on.
        known = {self.normal(name, old), self.normal(name, new)}
        if name not in self.context.mapper.fields or not all(
            self.normal(name, side.get(name, "")) in known for side in self._both()
        ):
            return "changed_since"
        if name in REQUIRED and not _is_valid(name, {name: old}):
            return f"{name}_missing"
        if self.builder.is_private(self.sides.item):
            return PRIVATE
        refused = self.builder.refusals({name: old}, self.sides.bc)
        return refused[0].reason if refused else ""

    def _both(self) -> tuple[Fields, Fields]:
        return self.sides.bc_fields, self.sides.outlook_fields

    def is_to_write(self, name: str, fields: Fields) -> bool:
        """Whether a side still has to be written; of an undo that broke off one of the two may be done."""
        if name not in self.undone:
            return True
        return self.normal(name, fields.get(name, "")) != self.normal(name, self.undone[name])

    # -- one field -------------------------------------------------------------------------------------------------

    def _verdict(self, name: str) -> str:
        sides = self.sides
        bc = self.normal(name, sides.bc_fields.get(name, ""))
        outlook = self.normal(name, sides.outlook_fields.get(name, ""))
        equal = bc == outlook
        if self._has_baseline(name):
            bc_changed = bc != self.normal(name, sides.baseline_bc[name])
            outlook_changed = outlook != self.normal(name, sides.baseline_outlook[name])
            verdict = WITH_BASELINE[bc_changed, outlook_changed, equal]
            if self.context.restored and not equal and not self._is_split(name):
                verdict = "conflict"
        else:
            equal = equal or self._is_split(name)
            verdict = WITHOUT_BASELINE[equal, not bc, not outlook]
            if verdict == "fill" and self.builder.policy.blank_in_bc == "overwrite":
                verdict = "clear"
        directed = self._directed(verdict, bc_blank=not bc)
        if (verdict in UNSURE or directed in WRITES_BC) and self.builder.is_private(sides.item):
            self.reasons.append((Side.OUTLOOK, PRIVATE, name))
            return "wait"
        return directed

    def _has_baseline(self, name: str) -> bool:
        differs = self.sides.pair.coupling.differs
        if name in differs and differs[name] != self.direction:
            return False  # The direction changed since the field was let differ (rules 7.9).
        return name in self.sides.baseline_bc and name in self.sides.baseline_outlook

    def _directed(self, verdict: str, *, bc_blank: bool) -> str:
        directed = DIRECTED.get((self.direction, verdict), verdict)
        if self.direction is Direction.TO_OUTLOOK and bc_blank and directed in ("restore", "clear"):
            return "differ"  # 7.8: Outlook's value stays until BC has one.
        return directed

    # -- names -----------------------------------------------------------------------------------------------------

    def _is_split(self, name: str) -> bool:
        """Whether a part differs only because each side splits one name its own way, which moves nothing (rules 6)."""
        return is_split(name, *self._both())

    def _is_turned(self) -> bool:
        """Whether both sides have one name, and one of them has its words in another order in the parts."""
        names = {self.normal("name", side.get("name", "")) for side in self._both()}
        return len(names) == 1 and any(
            is_turned(side.get("name", ""), [side.get(name, "") for name in NAME_PARTS])
            for side in self._both()
        )

    def _whole_names(self, verdicts: dict[str, str]) -> dict[str, str]:
        """Let the parts of a name that the sides split differently move as one, each side keeping its own split.

        One part alone would bring along the words that the other side has in another part. Parts in another order than
        the name's own words move nothing: BC would make another name of them. Nor do parts without a baseline while a
        name goes to BC, which makes parts of it: its present ones are those of the name before.
        """
        sides = self.sides
        if verdicts["name"] == "to_bc" and not any(self._has_baseline(name) for name in NAME_PARTS):
            return verdicts | {name: "agree" for name in NAME_PARTS if name in verdicts}
        found = {verdicts.get(name, "") for name in NAME_PARTS}
        writes = (found & WRITES_OUTLOOK) | (found & WRITES_BC)
        if writes and UNDO not in writes and self._is_split("surname") and self._is_turned():
            return verdicts | dict.fromkeys(NAME_PARTS, "agree")
        split = all(self._has_baseline(name) for name in NAME_PARTS) and any(
            self.normal(name, sides.baseline_bc[name]) != self.normal(name, sides.baseline_outlook[name])
            for name in NAME_PARTS
        )
        if not writes or not split or UNDO in writes:
            return verdicts
        if self._is_split("surname"):
            return verdicts | dict.fromkeys(NAME_PARTS, "agree")
        verdict = next(iter(writes)) if len(writes) == 1 else "conflict"
        source, target = sides.bc_fields, sides.baseline_outlook
        if verdict in WRITES_BC:
            source, target = sides.outlook_fields, sides.baseline_bc
        words = compose_name(*(source.get(name, "") for name in NAME_PARTS)).split()
        parts = carry_split(words, [target[name] for name in NAME_PARTS])
        self.carried = dict(zip(NAME_PARTS, parts, strict=True))
        return verdicts | dict.fromkeys(NAME_PARTS, verdict)

    # -- a side without name or address ----------------------------------------------------------------------------

    def _problem(self, *, bc_invalid: bool) -> tuple[Side, str] | None:
        if bc_invalid:
            fields = self.sides.bc_fields
            problem = to_outlook_problem(fields.get("name", ""), fields.get("email", ""))
            return Side.BUSINESS_CENTRAL, problem or "invalid"
        problem = to_business_central_problem(self.sides.outlook_fields)
        return (Side.OUTLOOK, problem) if problem else None

    def _repaired(self, name: str, verdict: str) -> str:
        """While a side lacks name or e-mail only the other side's valid value for it moves (rules 3)."""
        if verdict in ("same", "agree"):
            return verdict
        if name not in REQUIRED:
            return "wait"
        sides = self.sides
        if not _is_valid(name, sides.bc_fields) and _is_valid(name, sides.outlook_fields):
            changed = self._changed(name, sides.outlook_fields, sides.baseline_outlook)
            return "to_bc" if changed and self.direction is not Direction.TO_OUTLOOK else "wait"
        if not _is_valid(name, sides.outlook_fields) and _is_valid(name, sides.bc_fields):
            moves = verdict == "restore" or self._changed(name, sides.bc_fields, sides.baseline_bc)
            may = self.context.may_write_outlook
            return ("restore" if verdict == "restore" else "to_outlook") if moves and may else "wait"
        return "wait"

    def _changed(self, name: str, fields: Fields, baseline: Fields) -> bool:
        return name not in baseline or self.normal(name, fields.get(name, "")) != self.normal(
            name, baseline[name]
        )


def _is_valid(name: str, fields: Fields) -> bool:
    value = fields.get(name, "")
    pair = ("x", value) if name == "email" else (value, "x@example.com")
    return to_outlook_problem(*pair) is None
