"""Which BC contact and which Outlook item are one person (rules 2). Pure: frames and values in, pairs out.

``partition`` looks at all contacts of a profile at once, by integers, and leaves out the pairs in which nothing
changed; ``match`` then goes through the few that are left, one by one, so that its cost grows with what changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.normal_forms import address_digest
from sync_lib.fields.texts import clean_line, fold_case
from sync_lib.model import BcSide, BcStatus, Coupling, CouplingState, Fields, Origin, OutlookSide, Side


@dataclass(frozen=True, slots=True)
class Partition:
    """What ``partition`` leaves to look at; ``same`` pairs are in agreement and need nothing.

    Attributes:
        same: Number of pairs in agreement.
        couplings: Ids of the other couplings.
        bc_ids: Contacts that pass the filter and are not coupled.
        outlook_ids: Present items that are not coupled.
        present: Number of active and pinned couplings whose item is present.
        live: Number of active and pinned couplings.
    """

    same: int
    couplings: list[int]
    bc_ids: list[str]
    outlook_ids: list[str]
    present: int
    live: int


def partition(scope: pd.DataFrame, outlook: pd.DataFrame, couplings: pd.DataFrame) -> Partition:
    """Split a profile's contacts into those in agreement and those to look at.

    Args:
        scope: Persons that pass the filter: ``row_id``, ``id``, ``fingerprint``, ``problem``.
        outlook: Present items of the folder: ``row_id``, ``id``, ``fingerprint``, ``etag``.
        couplings: ``id``, ``bc_row``, ``outlook_row``, ``state``, both fingerprints, ``outlook_etag``, ``attention``.
            Absent numbers are 0, which no row has.
    """
    in_scope = _positions(scope, couplings["bc_row"])
    in_folder = _positions(outlook, couplings["outlook_row"])
    both = (in_scope >= 0) & (in_folder >= 0)
    agreed = (
        both
        & couplings["state"].eq(CouplingState.ACTIVE).to_numpy(bool)
        & ~couplings["attention"].to_numpy(bool)
        & _taken(scope["fingerprint"], in_scope, couplings["bc_fingerprint"])
        & _taken(outlook["fingerprint"], in_folder, couplings["outlook_fingerprint"])
        & _taken(outlook["etag"], in_folder, couplings["outlook_etag"])
        & _taken(scope["problem"], in_scope, pd.Series("", index=couplings.index))
    )
    live = couplings["state"].isin([CouplingState.ACTIVE, CouplingState.PINNED]).to_numpy(bool)
    return Partition(
        same=int(agreed.sum()),
        couplings=couplings["id"].to_numpy()[~agreed].tolist(),
        bc_ids=scope["id"].to_numpy(object)[_uncoupled(len(scope), in_scope)].tolist(),
        outlook_ids=outlook["id"].to_numpy(object)[_uncoupled(len(outlook), in_folder)].tolist(),
        present=int((live & (in_folder >= 0)).sum()),
        live=int(live.sum()),
    )


def _positions(frame: pd.DataFrame, rows: pd.Series) -> np.ndarray:
    return np.asarray(pd.Index(frame["row_id"].to_numpy(np.int64)).get_indexer(rows.to_numpy(np.int64)))


def _taken(values: pd.Series, positions: np.ndarray, expected: pd.Series) -> np.ndarray:
    """Whether the value at each position equals the expected one; a position of -1 does not matter to the caller."""
    if not len(values):
        return np.zeros(len(positions), bool)
    return np.asarray(values.to_numpy()[positions] == expected.to_numpy(), dtype=bool)


def _uncoupled(size: int, positions: np.ndarray) -> np.ndarray:
    free = np.ones(size, bool)
    free[positions[positions >= 0]] = False
    return free


@dataclass(frozen=True, slots=True)
class Views:
    """Everything that ``match`` and ``diff`` look at singly.

    Attributes:
        couplings: Those that are not in agreement, and those that a key of an uncoupled item names.
        bc: By system id: contacts of these couplings, uncoupled ones, and those that keys and addresses name.
        items: By id: present items of these couplings, and uncoupled ones.
        uncoupled_bc: Ids of contacts that pass the filter and have no coupling.
        uncoupled_items: Ids of present items that have no coupling.
        coupled_bc: BC ids of **all** couplings of the profile -> id of the coupled, present item or None.
        held_emails: Addresses of contacts in scope that are coupled to a present item, from **all** couplings.
        by_email: Present contacts of the company, of any type, by the addresses of uncoupled items.
        in_filter: Ids of the contacts of ``bc`` that pass the profile's filter.
        known: Per BC id, all names and addresses (normal forms) that it has or had: present, baseline, logged.
        lost_items: Ids of coupled items that went with their folder: nobody deleted them one by one (rules 1).
    """

    couplings: list[Coupling]
    bc: Mapping[str, BcSide]
    items: Mapping[str, OutlookSide]
    uncoupled_bc: list[str]
    uncoupled_items: list[str]
    coupled_bc: Mapping[str, str | None]
    held_emails: frozenset[str]
    by_email: Mapping[str, list[BcSide]]
    in_filter: frozenset[str]
    known: Mapping[str, tuple[frozenset[str], frozenset[str]]]
    lost_items: frozenset[str] = frozenset()
    #: When each coupled item was made that is gone, by its id.
    gone_created: Mapping[str, str] = field(default_factory=dict)
    #: Per BC id, what creates in Outlook sent of which nobody knows an item: one may yet turn up (rules 2.3).
    sent: Mapping[str, list[Fields]] = field(default_factory=dict)
    #: Contacts that pass the filter, have no coupling, and are left out by a person.
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A coupling with what is on its two ends now; ``found_by`` is "" for one that was coupled before.

    ``is_copy`` says that the item carries the key of another contact, and takes this one's instead (rules 2.6).
    """

    coupling: Coupling
    bc: BcSide | None
    item: OutlookSide | None
    found_by: str = ""
    is_copy: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """A contact that is left alone, and why."""

    side: Side
    id: str
    reason: str


@dataclass(slots=True)
class Matching:
    """The result of ``match``: every contact of the views is in exactly one of these lists."""

    pairs: list[Pair] = field(default_factory=list)
    new_bc: list[BcSide] = field(default_factory=list)
    new_items: list[OutlookSide] = field(default_factory=list)
    blocked_items: list[tuple[OutlookSide, BcSide]] = field(default_factory=list)
    returned: list[tuple[OutlookSide, Pair]] = field(default_factory=list)
    # Second items with a key that may be late creates of ours; else they are copies.
    late: list[tuple[OutlookSide, BcSide]] = field(default_factory=list)
    superseded: list[Coupling] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Number of live couplings that were found on another item: a mailbox that was moved is not an empty one."""
        return sum(
            bool(pair.found_by and pair.coupling.id and pair.item)
            and pair.coupling.state in (CouplingState.ACTIVE, CouplingState.PINNED)
            for pair in self.pairs
        )


#: Whether somebody edited an item since the pair last agreed, or we last wrote it (rules 2.1).
IsEdited = Callable[[Coupling, OutlookSide], bool]


def has_moved(coupling: Coupling, item: OutlookSide) -> bool:
    """Return whether an item's version is another than the one last seen in agreement, or returned by our write."""
    return item.etag != coupling.outlook_etag


def match(views: Views, company: BcKey, is_edited: IsEdited = has_moved) -> Matching:
    """Find the pairs among what is not in agreement (rules 2.2 to 2.7).

    Args:
        views: What to look at.
        company: Any key of the profile's company; keys of other companies are foreign.
        is_edited: Whether an item was edited since, and not only changed by BC.
    """
    return _Matcher(views, company, is_edited).run()


class _Matcher:
    """One run of ``match``: the state that its steps share."""

    def __init__(self, views: Views, company: BcKey, is_edited: IsEdited) -> None:
        self.views = views
        self.company = company
        self.is_edited = is_edited
        self.result = Matching()
        self.pairs = {
            coupling.bc_id: Pair(
                coupling, views.bc.get(coupling.bc_id), views.items.get(coupling.outlook_id or "")
            )
            for coupling in views.couplings
        }
        self.orphans = {
            pair.item.id: pair
            for pair in self.pairs.values()
            if pair.item and (pair.bc is None or pair.bc.status is BcStatus.GONE)
        }
        self.gone_keys: set[str] = set()
        # Digests of the addresses of private items that nothing is tied to.
        self.private: set[str] = set()
        # Copies that may be persons of their own.
        self.own: list[str] = []

    def run(self) -> Matching:
        pool = self._by_key(sorted(self.views.uncoupled_items, key=self._age))
        # A copy may stand for somebody else whom BC has already (2.6); an orphan comes last.
        pool = sorted([*pool, *self.own], key=self._age) + sorted(self.orphans, key=self._age)
        self._explain(self._by_email(pool))
        self.result.pairs.extend(self.pairs.values())
        return self.result

    def _age(self, item_id: str) -> tuple[str, str]:
        return (self.views.items[item_id].created, item_id)

    # -- by key (2.2a, 2.6, 2.7) -----------------------------------------------------------------------------------

    def _by_key(self, item_ids: Iterable[str]) -> list[str]:
        """Settle the items that carry a key; return the others, and those whose contact is gone."""
        pool: list[str] = []
        for item_id in item_ids:
            item = self.views.items[item_id]
            key = BcKey.parse(item.bc_key) if item.bc_key else None
            if not item.bc_key:
                self._pool(item, pool)
            elif key is None or not key.same_company(self.company):
                self._skip(item, "foreign_key")
            elif (bc := self.views.bc.get(key.contact_id)) is None or bc.status is BcStatus.GONE:
                self.gone_keys.add(item_id)
                self._pool(item, pool)
            else:
                self._couple_by_key(item, key, bc)
        return pool

    def _pool(self, item: OutlookSide, pool: list[str]) -> None:
        """Let an item be looked for by its address; a private one is left alone (rules 3)."""
        if not item.private:
            pool.append(item.id)
            return
        self._skip(item, "private_in_outlook")
        self.private.add(item.address_digest or address_digest(item.email_key))

    def _couple_by_key(self, item: OutlookSide, key: BcKey, bc: BcSide) -> None:
        pair = self.pairs.get(bc.id)
        if bc.status is BcStatus.BLOCKED:
            self.result.blocked_items.append((item, bc))
        elif pair is None and bc.left_out and bc.id not in self.views.coupled_bc:
            self._skip(item, "left_out")
        elif pair is None and bc.id not in self.views.coupled_bc:
            coupling = _new_coupling(bc, item, key.origin)
            if coupling.state is CouplingState.PINNED:
                bc = replace(bc, status=BcStatus.INVALID if bc.problem else BcStatus.IN_SCOPE)
            self.pairs[bc.id] = Pair(coupling, bc, item, "key")
        elif pair is not None and pair.item is None:
            self.pairs[bc.id] = Pair(self._recoupled_by_key(pair.coupling, item, key.origin), bc, item, "key")
        elif pair is not None and self._returns(pair, item):
            self._swap(pair, item, key.origin)
        else:
            self._copy(item, bc)

    def _recoupled_by_key(self, coupling: Coupling, item: OutlookSide, origin: Origin) -> Coupling:
        """The coupling on another item with the key: the same one under another id, or an older one that came back.

        What an older one holds otherwise than the baseline is of the time before, and no edit.
        """
        fresh = _recoupled(coupling, item, origin)
        gone = self.views.gone_created.get(coupling.outlook_id or "", "")
        is_older = not _was_ours(coupling, item) and item.created < gone
        return replace(fresh, baseline_bc={}, baseline_outlook={}) if is_older else fresh

    def _returns(self, pair: Pair, item: OutlookSide) -> bool:
        coupling, ours = pair.coupling, pair.item
        was_ours = _was_ours(coupling, item)
        made_by_us = ours is not None and coupling.origin is Origin.MADE_BY_SYNC
        return was_ours and made_by_us and ours is not None and not self.is_edited(coupling, ours)

    def _swap(self, pair: Pair, item: OutlookSide, origin: Origin) -> None:
        assert pair.item is not None
        coupled = Pair(_recoupled(pair.coupling, item, origin), pair.bc, item, "returned")
        self.result.returned.append((pair.item, coupled))
        self.pairs[pair.coupling.bc_id] = coupled

    def _copy(self, item: OutlookSide, bc: BcSide) -> None:
        """A second item with the key may be a person of its own only if neither name nor address was ever BC's."""
        names, emails = self.views.known.get(bc.id, (frozenset(), frozenset()))
        name = name_key(item.record.get("displayName"))
        if name and item.email_key and name not in names and item.email_key not in emails:
            self.own.append(item.id)
        elif bc.id in self.views.sent:
            self.result.late.append((item, bc))
        else:
            self._skip(item, "copy_of_coupled")

    # -- by e-mail (2.2b, 2.3) -------------------------------------------------------------------------------------

    def _by_email(self, pool: list[str]) -> list[str]:
        """Pair items with persons by address; return the items that found nobody."""
        people = self._people()
        left = []
        for item_id in pool:
            item = self.views.items[item_id]
            candidates = people.get(item.email_key) if item.email_key else None
            if candidates is None:
                left.append(item_id)
            elif not candidates:
                self._second_item(item, left)
            else:
                self._couple_by_email(item, candidates)
        self._create_or_skip(people)
        return left

    def _people(self) -> dict[str, list[BcSide]]:
        """Persons that an address may find: uncoupled ones in scope, and coupled ones whose item is gone."""
        lost = [p.bc for p in self.pairs.values() if p.bc and not p.item and p.bc.status is BcStatus.IN_SCOPE]
        free = [
            bc
            for bc_id in self.views.uncoupled_bc
            if bc_id not in self.pairs and (bc := self.views.bc[bc_id]).status is BcStatus.IN_SCOPE
        ]
        people: dict[str, list[BcSide]] = defaultdict(list)
        for bc in [*sorted(lost, key=_by_number), *sorted(free, key=_by_number)]:
            people[bc.email_key].append(bc)
        return people

    def _couple_by_email(self, item: OutlookSide, candidates: list[BcSide]) -> None:
        bc = candidates[0]
        orphan = self.orphans.get(item.id)
        lost = self.pairs.get(bc.id)
        if orphan is not None:
            # The contact was merged or made again in BC: the item keeps its baseline and gets the new key.
            del self.pairs[orphan.coupling.bc_id]
            if lost is not None:
                self.result.superseded.append(lost.coupling)
            moved = replace(
                orphan.coupling, bc_id=bc.id, bc_row=bc.row_id, state=CouplingState.ACTIVE, attention=True
            )
            self.pairs[bc.id] = Pair(moved, bc, item, "email")
        elif lost is not None:
            fresh = _recoupled(lost.coupling, item, Origin.ADOPTED)
            adopted = replace(fresh, baseline_bc={}, baseline_outlook={})
            self.pairs[bc.id] = Pair(adopted, bc, item, "email", item.id in self.own)
        else:
            coupling = _new_coupling(bc, item, Origin.ADOPTED)
            self.pairs[bc.id] = Pair(coupling, bc, item, "email", item.id in self.own)
        for other in candidates[1:]:
            if other.id not in self.pairs:
                self.result.skipped.append(Skip(Side.BUSINESS_CENTRAL, other.id, "duplicate_email_in_bc"))
        # An empty list says that the address found its person; the next item with it is a second one.
        candidates.clear()

    def _second_item(self, item: OutlookSide, left: list[str]) -> None:
        if item.id in self.orphans:
            left.append(item.id)
        else:
            self._skip(item, "duplicate_email_in_outlook")

    def _create_or_skip(self, people: Mapping[str, list[BcSide]]) -> None:
        """Persons that no item stands for: the first of an address is new, the others are duplicates (2.3)."""
        held = self.views.held_emails | {
            pair.bc.email_key
            for pair in self.pairs.values()
            if pair.item and pair.bc and pair.bc.status is BcStatus.IN_SCOPE
        }
        for email, candidates in people.items():
            if self.private and address_digest(email) in self.private:
                self._leave_private(candidates)
                continue
            taken = email in held or any(bc.id in self.pairs for bc in candidates)
            for bc in candidates:
                if bc.id in self.pairs:
                    continue
                if taken:
                    self.result.skipped.append(Skip(Side.BUSINESS_CENTRAL, bc.id, "duplicate_email_in_bc"))
                else:
                    self.result.new_bc.append(bc)
                    taken = True

    def _leave_private(self, candidates: list[BcSide]) -> None:
        """Nobody is made, or made again, beside a private item with the address (rules 3)."""
        for bc in candidates:
            self.pairs.pop(bc.id, None)  # one whose item is gone: its coupling stays as it is
            self.result.skipped.append(Skip(Side.BUSINESS_CENTRAL, bc.id, "private_in_outlook"))

    # -- what is left (2.5, 2.7) -----------------------------------------------------------------------------------

    def _explain(self, item_ids: Iterable[str]) -> None:
        seen: set[str] = set()
        for item_id in item_ids:
            item = self.views.items[item_id]
            if item_id in self.orphans:
                continue
            if item_id in self.gone_keys:
                self._skip(item, "orphan_key")
            elif reason := self._reason_elsewhere(item):
                self._skip(item, reason)
            elif item.email_key and item.email_key in seen:
                self._skip(item, "duplicate_email_in_outlook")
            else:
                self.result.new_items.append(item)
                seen.add(item.email_key)

    def _reason_elsewhere(self, item: OutlookSide) -> str:
        """Why an item is skipped whose address something else in the company has, or "" (rules 2.5)."""
        others = self.views.by_email.get(item.email_key, []) if item.email_key else []
        if any(bc.status is BcStatus.BLOCKED for bc in others):
            return "privacy_blocked"
        if any(bc.id in self.views.coupled_bc or bc.id in self.pairs for bc in others):
            return "duplicate_email_in_outlook"
        if any(bc.left_out for bc in others):
            return "left_out"
        if any(bc.values.get("type") == "Person" for bc in others):
            return "outside_filter"
        return "company_contact" if others else ""

    def _skip(self, item: OutlookSide, reason: str) -> None:
        self.result.skipped.append(Skip(Side.OUTLOOK, item.id, reason))


def name_key(name: object) -> str:
    """Return the form in which the names of copies are compared (rules 2.6)."""
    return fold_case(clean_line(str(name or "")))


def _by_number(bc: BcSide) -> tuple[str, str]:
    return (bc.number, bc.id)


def _new_coupling(bc: BcSide, item: OutlookSide, origin: Origin) -> Coupling:
    state = CouplingState.ACTIVE
    if bc.status is not BcStatus.IN_SCOPE:
        person = bc.status is BcStatus.OUT and bc.values.get("type") == "Person"
        pinned = person and origin is Origin.MADE_BY_USER
        state = CouplingState.PINNED if pinned else CouplingState.RELEASED
    return Coupling(0, bc.id, bc.row_id, item.id, item.row_id, origin, state, attention=True)


def _was_ours(coupling: Coupling, item: OutlookSide) -> bool:
    """Whether the item was this coupling's own before (2.6)."""
    return any(former["id"] == item.id for former in coupling.former)


def _recoupled(coupling: Coupling, item: OutlookSide, origin: Origin) -> Coupling:
    """The coupling on another item: a former item brings the baseline back that it had when it left (2.6)."""
    # What was put on one item is not on another, unless that is the same one under another id.
    baselines: dict[str, Any] = {} if item.bc_key else {"categories": {}}
    for former in coupling.former:
        if former["id"] == item.id:
            # Formers that an earlier version stored do not say what was let differ.
            baselines = {
                name: former.get(name, {})
                for name in ("baseline_bc", "baseline_outlook", "differs", "categories")
            }
    state = CouplingState.ACTIVE if coupling.state is CouplingState.AWAY else coupling.state
    return replace(
        coupling,
        outlook_id=item.id,
        outlook_row=item.row_id,
        origin=origin,
        state=state,
        former=[former for former in coupling.former if former["id"] != item.id],
        attention=True,
        **baselines,
    )
