"""What both sides held when a pair last agreed (rules 6, 8.6): the only place that makes baselines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sync_lib.diff.match import has_moved
from sync_lib.fields import slots
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.mapper import FieldMapper
from sync_lib.fields.names import guessed_initials, same_words
from sync_lib.fields.normal_forms import NORMALISER_VERSION
from sync_lib.fields.reading import from_outlook, outlook_baseline
from sync_lib.fields.table import NAME_PARTS
from sync_lib.fields.texts import clean_line
from sync_lib.model import Coupling, CouplingState, Fields, OutlookSide

_PARTS = frozenset({*NAME_PARTS, "initials"})
_ARRAYS = {"emailAddresses": ("email", "email2"), "businessPhones": ("phone",)}
#: Fields that are in an array of the item, beside entries of the user's own.
IN_ARRAYS = frozenset(name for names in _ARRAYS.values() for name in names)


def agree(
    coupling: Coupling, bc: Fields, outlook: Fields, record: Mapping[str, Any], mapper: FieldMapper
) -> Coupling:
    """Return the coupling with new baselines for these fields, and for no others.

    Args:
        coupling: The pair.
        bc: What BC holds of the fields, in written form.
        outlook: What Outlook holds of them.
        record: The item as it is now, whose arrays move on with the fields in them.
        mapper: Says what the item's arrays hold.
    """
    baseline_bc, baseline_outlook = agreed_baselines(coupling, bc, outlook, record, mapper)
    return replace(coupling, baseline_bc=baseline_bc, baseline_outlook=baseline_outlook)


def agreed_baselines(
    coupling: Coupling, bc: Fields, outlook: Fields, record: Mapping[str, Any], mapper: FieldMapper
) -> tuple[Fields, dict[str, Any]]:
    """Return the baselines of BC and of Outlook that ``agree`` gives a coupling."""
    before = coupling.baseline_outlook
    stale = _unmapped_parts(before.get("fields", {}), outlook, mapper)
    fields = {name: text for name, text in before.get("fields", {}).items() if name not in stale} | outlook
    baseline_bc = {name: text for name, text in coupling.baseline_bc.items() if name not in stale}
    return baseline_bc | bc, _moved(before, record, fields, mapper)


def _unmapped_parts(before: Fields, outlook: Fields, mapper: FieldMapper) -> frozenset[str]:
    """Return the name parts of which nobody knows any more what the sides agreed on.

    In ``standard`` a new name has new parts on either side, made by BC and by us: no edit of theirs, should the field
    profile become ``extended`` once more.
    """
    is_new = "name" in outlook and not mapper.is_equal("name", outlook["name"], before.get("name", ""))
    return frozenset() if "surname" in mapper.fields or not is_new else _PARTS


def agree_whole(coupling: Coupling, bc: Fields, outlook: Fields, record: Mapping[str, Any]) -> Coupling:
    """Return the coupling of a pair that was made just now: these fields agree, and the arrays are what they are."""
    return replace(coupling, baseline_bc=bc, baseline_outlook=outlook_baseline(record, outlook))


def agree_on_nothing(coupling: Coupling) -> Coupling:
    """Return the coupling without baselines: the first match decides about every field."""
    return replace(coupling, baseline_bc={}, baseline_outlook={})


def _moved(
    before: Mapping[str, Any], record: Mapping[str, Any], fields: Fields, mapper: FieldMapper
) -> dict[str, Any]:
    """Return the Outlook baseline with new fields and, where the field in it is agreed, the new array.

    An array whose mapped value is still open keeps its old baseline, but for the values in it that are agreed: with the
    new one, an edit would look like an entry of the user's own that moved up (rules 6). For the same reason one whose
    field never had a baseline has none either: its first entry is the mapped value that the first match decides about.
    """
    moved = outlook_baseline(record, fields)
    present: Fields = {}
    if not before.keys().isdisjoint(_ARRAYS):
        # By the new fields, which say what is ours now, in the array as it was.
        present = from_outlook(record, "extended", baseline={**before, "fields": fields})
    for array, names in _ARRAYS.items():
        found = [name for name in names if name in fields and name in mapper.fields]
        if names[0] not in found:
            del moved[array]
        elif array in before and any(
            mapper.normal(name, present.get(name, "")) != mapper.normal(name, fields[name]) for name in found
        ):
            moved[array] = _kept(array, before, moved, found)
        elif before.get(array) != moved[array]:
            # What the field profile does not map any more can't be found again in an array that went on.
            moved["fields"] = {k: v for k, v in moved["fields"].items() if k in found or k not in names}
    return moved


def _kept(array: str, before: Mapping[str, Any], moved: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return the baseline of an array that does not move on: as it was, with the values that are agreed anew."""
    fields: Fields = before.get("fields", {})
    agreed = [(fields.get(name, ""), moved["fields"][name]) for name in names]
    return slots.agreed_entries(array, before[array], moved[array], agreed)


def is_agreed(
    coupling: Coupling, values: Mapping[str, str], record: Mapping[str, Any], mapper: FieldMapper
) -> bool:
    """Return whether every field of both sides is what its baseline says: then fingerprints can stand for the pair."""
    bc = mapper.of_business_central(values)
    outlook = mapper.of_outlook(record, coupling.baseline_outlook)
    return hold_baselines((coupling.baseline_bc, coupling.baseline_outlook), bc, outlook, mapper)


def hold_baselines(
    baselines: tuple[Fields, Mapping[str, Any]], bc: Fields, outlook: Fields, mapper: FieldMapper
) -> bool:
    """Return whether every field of both sides is what the baselines of BC and of Outlook say."""
    of_bc, of_outlook = baselines[0], baselines[1]["fields"]
    return all(
        name in of_bc
        and mapper.is_equal(name, bc.get(name, ""), of_bc[name])
        and mapper.is_equal(name, outlook.get(name, ""), of_outlook.get(name, ""))
        for name in mapper.fields
    )


def fields_after_write(
    coupling: Coupling, record: Mapping[str, Any], sent: Fields, mapper: FieldMapper
) -> Fields:
    """Return the fields of an item that these values were sent to, whether they arrived or not.

    In an array a value is found by what was sent; where blank was sent, it is looked for by what was there before, as
    an entry of the user's own moves up in its place.
    """
    before = coupling.baseline_outlook
    blank = mapper.of_outlook(record, before or None)
    filled = {name: text for name, text in sent.items() if text}
    fields = {**before.get("fields", {}), **filled}
    found = mapper.of_outlook_again(blank, record, {**before, "fields": fields})
    return {name: found.get(name, "") if name in filled else blank.get(name, "") for name in sent}


def without(differs: dict[str, str], names: Mapping[str, object]) -> dict[str, str]:
    """Return what is still let differ when these fields were written."""
    return {name: direction for name, direction in differs.items() if name not in names}


def left_coupling(coupling: Coupling) -> Coupling:
    """Return the coupling without its item, which is remembered as a former one with its baselines (rules 2.6)."""
    if not coupling.outlook_id:
        return coupling
    former: dict[str, Any] = {
        "id": coupling.outlook_id,
        "origin": coupling.origin,
        "baseline_bc": coupling.baseline_bc,
        "baseline_outlook": coupling.baseline_outlook,
        "differs": coupling.differs,
        "categories": coupling.categories,
    }
    return replace(
        coupling,
        outlook_id=None,
        outlook_row=None,
        outlook_fingerprint=None,
        categories={},
        former=[*coupling.former, former],
    )


def coupling_state(coupling: Coupling) -> str:
    """Return the state as the decision tables name it: ``live``, ``released`` or ``away``."""
    live = coupling.state in (CouplingState.ACTIVE, CouplingState.PINNED)
    return "live" if live else str(coupling.state)


def edited_fields(coupling: Coupling, item: OutlookSide, mapper: FieldMapper) -> list[str]:
    """Return the mapped fields in which an item differs from Outlook's baseline, by normal form (rules 2.1)."""
    present = mapper.of_outlook(item.record, coupling.baseline_outlook or None)
    baseline = coupling.baseline_outlook.get("fields", {})
    return [
        name
        for name in mapper.fields
        if name in baseline
        and mapper.normal(name, present.get(name, "")) != mapper.normal(name, baseline[name])
    ]


def is_edited(coupling: Coupling, item: OutlookSide, mapper: FieldMapper) -> bool:
    """Return whether somebody edited an item since the pair last agreed, or we last wrote it (rules 2.1).

    Fingerprints are not asked: they change with the version of the normal forms, and say nothing of a pair that has an
    edit waiting when the other side was written.
    """
    return has_moved(coupling, item) or bool(edited_fields(coupling, item, mapper))


def is_split(name: str, bc: Fields, outlook: Fields) -> bool:
    """Return whether a field is a part of a name, or initials, that no user typed otherwise than the other side has it.

    That is: the parts of both sides hold the same words, or Outlook's initials are those that the sync guessed.
    """
    if name in NAME_PARTS:
        return same_words(*([fields.get(part, "") for part in NAME_PARTS] for fields in (bc, outlook)))
    if name != "initials":
        return False
    initials = clean_line(outlook.get(name, ""))
    return any(initials in guessed_initials(fields.get("name", "")) for fields in (bc, outlook))


def refusal_digest(value: str, lookups: Lookups) -> str:
    """Return the digest of a refused value and of the tables it was held against: another one is tried again (6)."""
    tables = json.dumps(
        [NORMALISER_VERSION, lookups.region, lookups.countries, lookups.companies], sort_keys=True
    )
    return hashlib.blake2b(f"{value}\0{tables}".encode(), digest_size=8).hexdigest()
