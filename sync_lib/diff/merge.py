"""The three-way merge of one pair whose two contacts are present (rules 7): from verdicts to changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sync_lib.diff.baselines import IN_ARRAYS, agree, edited_fields, refusal_digest
from sync_lib.diff.builder import PlanBuilder
from sync_lib.diff.match import Pair
from sync_lib.diff.tables import OVERWRITES, WRITES_BC, WRITES_OUTLOOK
from sync_lib.diff.verdicts import FieldVerdicts, Reason, Sides
from sync_lib.fields import categories
from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import (
    Action,
    BcStatus,
    Categories,
    Coupling,
    CouplingState,
    Fields,
    Outcome,
    PlannedChange,
    Reject,
    Side,
)


class Merge:
    """Merges a pair.

    Args:
        builder: Takes up what the merge comes to.
        pair: The pair.
        bc_invalid: BC's contact lacks a valid name or address: only the value that puts it right moves.
    """

    def __init__(self, builder: PlanBuilder, pair: Pair, *, bc_invalid: bool = False) -> None:
        self.builder = builder
        self.context = builder.context
        self.normal = builder.context.mapper.normal
        self.pair = pair
        self.sides = Sides.of(builder, pair)
        self.bc, self.item = self.sides.bc, self.sides.item
        self.bc_fields, self.outlook_fields = self.sides.bc_fields, self.sides.outlook_fields
        self.verdicts = FieldVerdicts(builder, self.sides, bc_invalid=bc_invalid)
        self.reasons: list[Reason] = self.verdicts.reasons
        self.differs = dict(pair.coupling.differs)
        self.refused = dict(pair.coupling.refused)
        # What both sides agree on without a write.
        self.agreed_bc: Fields = {}
        self.agreed_outlook: Fields = {}

    def carries(self) -> bool:
        """Whether the merge lets an edit go to BC, or decides about it (7.3b). Asked of one that is not run."""
        edited = edited_fields(self.pair.coupling, self.item, self.context.mapper)
        verdicts = self.verdicts.decide()
        to_bc = {name: verdict for name, verdict in verdicts.items() if verdict in WRITES_BC}
        self._refuse(to_bc)
        return any(name in to_bc or verdicts[name] in ("conflict", "agree") for name in edited)

    def run(self) -> None:
        """Plan what the pair needs."""
        self.verdicts.find_undone()
        verdicts, problem = self.verdicts.decide(), self.verdicts.problem
        if problem:
            self.reasons.append((*problem, ""))
        to_outlook = self._writes(verdicts, WRITES_OUTLOOK, self.outlook_fields)
        to_bc = self._writes(verdicts, WRITES_BC, self.bc_fields)
        self._refuse(to_bc)
        self._refuse_outlook(to_outlook)
        for name, verdict in verdicts.items():
            self._settle(name, verdict)
        coupling = self._coupling(open_fields=bool(to_outlook or to_bc or problem))
        self._plan(coupling, to_outlook, to_bc)

    def _writes(self, verdicts: Mapping[str, str], writing: frozenset[str], fields: Fields) -> dict[str, str]:
        return {
            name: verdict
            for name, verdict in verdicts.items()
            if verdict in writing and self.verdicts.is_to_write(name, fields)
        }

    # -- what a side cannot hold -----------------------------------------------------------------------------------

    def _refuse(self, to_bc: dict[str, str]) -> None:
        """Take out what BC cannot hold; the other fields go on and the baselines stay (rules 6)."""
        wanted = {name: self._for_bc(name) for name in to_bc}
        for name in list(self.refused):
            if name not in wanted or self.refused[name]["digest"] != self._refusal_digest(name):
                del self.refused[name]
        found = {r.field: r.reason for r in self.builder.refusals(wanted, self.bc)} if wanted else {}
        found |= {name: entry["reason"] for name, entry in self.refused.items()}
        for name, reason in found.items():
            if to_bc.pop(name, None):
                self.reasons.append((Side.OUTLOOK, reason, name))

    def _refuse_outlook(self, to_outlook: dict[str, str]) -> None:
        """Take out what finds no place in the item's arrays; it is tried again at each diff, until there is one."""
        wanted = {name: self._for_outlook(name) for name in to_outlook if name in IN_ARRAYS}
        if not wanted:
            return
        _, refusals = self.context.mapper.to_outlook(
            wanted,
            self.item.record,
            all_fields=self.bc_fields,
            baseline=self.pair.coupling.baseline_outlook or None,
        )
        for refusal in refusals:
            del to_outlook[refusal.field]
            self.reasons.append((Side.BUSINESS_CENTRAL, refusal.reason, refusal.field))

    def _for_outlook(self, name: str) -> str:
        return self.verdicts.carried.get(name, self._of_bc(name))

    def _of_bc(self, name: str) -> str:
        return self.verdicts.undone.get(name, self.bc_fields.get(name, ""))

    def _for_bc(self, name: str) -> str:
        return self.verdicts.carried.get(name, self._of_outlook(name))

    def _of_outlook(self, name: str) -> str:
        return self.verdicts.undone.get(name, self.outlook_fields.get(name, ""))

    def _refusal_digest(self, name: str) -> str:
        return refusal_digest(self.outlook_fields.get(name, ""), self.context.mapper.lookups)

    # -- the coupling ----------------------------------------------------------------------------------------------

    def _settle(self, name: str, verdict: str) -> None:
        """Give the fields that need no write their baselines; a change of the written form alone is taken over."""
        direction = self.builder.policy.direction
        if verdict == "differ":
            if self.differs.get(name) != direction:
                self.reasons.append((Side.OUTLOOK, "differs", name))
            self.differs[name] = direction
        elif verdict == "agree":
            self.differs.pop(name, None)
        elif verdict != "same":
            return
        self.agreed_bc[name] = self.bc_fields.get(name, "")
        self.agreed_outlook[name] = self.outlook_fields.get(name, "")

    def _coupling(self, *, open_fields: bool) -> Coupling:
        """The coupling as it is before any write; fully agreed only if no field is open.

        The whole arrays move on only with the fields in them: else an edit would look like the user's own entry.
        """
        in_filter = self.bc.id in self.builder.views.in_filter
        pinned = self.pair.coupling.state is CouplingState.PINNED and not in_filter
        unsettled = open_fields or bool(self._reasons_of_fields())
        coupling = agree(
            self.pair.coupling, self.agreed_bc, self.agreed_outlook, self.item.record, self.context.mapper
        )
        return replace(
            coupling,
            bc_row=self.bc.row_id,
            outlook_row=self.item.row_id,
            state=CouplingState.PINNED if pinned else CouplingState.ACTIVE,
            bc_fingerprint=None if unsettled else self.bc.fingerprint,
            outlook_fingerprint=None if unsettled else self.item.fingerprint,
            outlook_etag=self.pair.coupling.outlook_etag if unsettled else self.item.etag,
            differs=self.differs,
            refused=self.refused,
            attention=unsettled,
        )

    def _reasons_of_fields(self) -> list[Reason]:
        return [reason for reason in self.reasons if reason[2] and reason[1] != "differs"]

    # -- the changes -----------------------------------------------------------------------------------------------

    def _plan(self, coupling: Coupling, to_outlook: dict[str, str], to_bc: dict[str, str]) -> None:
        plan = self.builder.plan
        changes = len(plan.changes)
        wanted = self._categories()
        if wanted and wanted["before"] == wanted["after"]:
            coupling, wanted = replace(coupling, categories=categories.remembered(wanted)), {}
        if self._needs_key():
            couple = self._change(Action.COUPLE, self.pair.found_by or "key_missing", coupling, {})
            if self.pair.is_copy:
                couple.guard_class = "overwrites"  # of the key of another contact (rules 2.6)
            couple.categories = wanted
            self.builder.add(couple)
            self._see(coupling)
        elif wanted:
            couple = self._change(Action.COUPLE, "categories", coupling, {})
            couple.categories = wanted
            self.builder.add(couple)
            self._see(coupling)
        elif self.pair.found_by or coupling != self.pair.coupling:
            plan.couplings.append(coupling)
        if to_outlook:
            self.builder.add(self._update_outlook(coupling, to_outlook))
        if to_bc:
            self.builder.add(self._update_bc(coupling, to_bc))
        for side, reason, name in self.reasons:
            contact = self.bc.id if side is Side.BUSINESS_CENTRAL else self.item.id
            plan.rejects.append(Reject(side, contact, Outcome.REJECTED, reason, name))
        if len(plan.changes) == changes:
            rejected = any(reason != "differs" for _, reason, _ in self.reasons)
            coupled = bool(self.pair.found_by)
            outcome = Outcome.REJECTED if rejected else Outcome.COUPLED if coupled else Outcome.UNCHANGED
            self.builder.count(outcome)

    def _see(self, coupling: Coupling) -> None:
        """Store the version of an item that was seen in agreement, whatever becomes of the write of its key.

        A held key is no edit of the item's owner. Without fingerprints the pair is looked at until the key is there.
        """
        known = self.pair.coupling
        if known.id and not self.pair.found_by and coupling.outlook_etag != known.outlook_etag:
            seen = replace(coupling, bc_fingerprint=None, outlook_fingerprint=None, attention=known.attention)
            self.builder.plan.couplings.append(seen)

    def _categories(self) -> Categories:
        """What the item's categories become, and what is remembered of them; {} where they stay as they are.

        A write of categories alone counts as one of the key does: neither as update nor as overwrite (rules 2.2).
        """
        if not self.context.may_write_outlook or self.bc.status is not BcStatus.IN_SCOPE:
            return {}
        known, wanted = self.pair.coupling.categories, self.context.categories_of(self.bc.values)
        found = categories.decide(self.item.record, wanted, known, keyed=bool(self.item.bc_key))
        is_same = found["before"] == found["after"] and categories.remembered(found) == known
        return {} if is_same else found

    def _needs_key(self) -> bool:
        """An adopted or user-made item needs the key of the contact that it stands for (rules 2.2)."""
        key = BcKey.parse(self.item.bc_key) if self.item.bc_key else None
        if key is None or key.contact_id != self.bc.id.lower():
            return True
        return self.context.is_former(self.item.bc_key)

    def _update_outlook(self, coupling: Coupling, verdicts: Mapping[str, str]) -> PlannedChange:
        change = self._change(Action.UPDATE_OUTLOOK, _cause(verdicts), coupling, verdicts)
        for name in verdicts:
            change.after[name], change.source[name] = self._for_outlook(name), self._of_bc(name)
            change.before[name] = self.outlook_fields.get(name, "")
            if name in self.differs:
                change.losing[name] = change.before[name]  # The other side never had it.
        return change

    def _update_bc(self, coupling: Coupling, verdicts: Mapping[str, str]) -> PlannedChange:
        change = self._change(Action.UPDATE_BC, _cause(verdicts), coupling, verdicts)
        for name in verdicts:
            change.after[name], change.source[name] = self._for_bc(name), self._of_outlook(name)
            change.before[name] = self.bc_fields.get(name, "")
            if name in self.differs:
                change.losing[name] = change.before[name]
        return change

    def _change(
        self, action: Action, cause: str, coupling: Coupling, verdicts: Mapping[str, str]
    ) -> PlannedChange:
        # A copy's every value replaces what stands for another contact (rules 2.6).
        replaced = (
            verdicts if self.pair.is_copy else [name for name, v in verdicts.items() if v in OVERWRITES]
        )
        overwritten = frozenset(replaced)
        lost = [
            name
            for name, verdict in verdicts.items()
            if verdict in ("conflict", "overwrite", "restore", "clear")
        ]
        return PlannedChange(
            action,
            cause,
            bc_id=self.bc.id,
            outlook_id=self.item.id,
            coupling=coupling,
            bc=self.bc,
            item=self.item,
            email_key=self.bc.email_key,
            losing={name: self.outlook_fields.get(name, "") for name in lost},
            guard_class="overwrites" if overwritten else "",
            overwritten=overwritten,
        )


_CAUSES = (
    ("undo", "undo"),
    ("conflict", "conflict"),
    ("restore", "restored_from_bc"),
    ("clear", "overwrite_with_blank"),
    ("overwrite", "first_match"),
    ("to_outlook", "changed_in_bc"),
    ("fill", "fill"),
)


def _cause(verdicts: Mapping[str, str]) -> str:
    """The weightiest cause of an update."""
    found = (cause for verdict, cause in _CAUSES if verdict in verdicts.values())
    return next(found, "changed_in_outlook")
