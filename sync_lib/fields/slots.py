"""Outlook's arrays: several e-mail addresses and business phones in few slots, of which only our own are ours.

The array rules of rules 6. An array is read, merged and written whole, because Graph replaces arrays whole; what the
user keeps in the other slots is never replaced, taken or lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync_lib.fields.normal_forms import email_key
from sync_lib.fields.texts import clean_line

#: More entries make Graph refuse the whole contact (400).
MOST_EMAILS = 3
MOST_PHONES = 2


def addresses(record: Mapping[str, Any]) -> list[str]:
    """Return the e-mail addresses of an Outlook record, without entries that have none."""
    entries = record.get("emailAddresses")
    if not isinstance(entries, list):
        return []
    return [entry["address"] for entry in entries if _is_email(entry)]


def email_entries(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the e-mail entries that have an address; Exchange returns odd ones without when it can't parse them."""
    entries = record.get("emailAddresses")
    return [_entry(entry) for entry in entries if _is_email(entry)] if isinstance(entries, list) else []


def _is_email(entry: object) -> bool:
    return isinstance(entry, dict) and _has_text(entry.get("address"))


def _entry(entry: Mapping[str, Any]) -> dict[str, str]:
    return {key: entry[key] for key in ("name", "address") if isinstance(entry.get(key), str)}


def phones(record: Mapping[str, Any]) -> list[str]:
    """Return the business phones of an Outlook record, without blank ones."""
    numbers = record.get("businessPhones")
    return [number for number in numbers if _has_text(number)] if isinstance(numbers, list) else []


def _has_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def phone_key(text: str) -> str:
    """Return what tells one entry of an array from another: the digits, or the text where there are none."""
    digits = "".join(filter(str.isdigit, text))
    return digits or clean_line(text)


@dataclass(frozen=True, slots=True)
class Slots:
    """An array as it is now beside the array and the mapped values as they last agreed.

    Keys, not texts: an address in another case is the same entry.

    Attributes:
        now: Keys of the present entries.
        before: Keys of the entries at the baseline; empty where there is none.
        first: Key of the value mapped to slot 0 at the baseline, "" for blank.
        second: Key of the second mapped value (E-Mail 2) at the baseline, "" for blank or not mapped.
        known: Whether there is a baseline at all.
    """

    now: Sequence[str]
    before: Sequence[str] = ()
    first: str = ""
    second: str = ""
    known: bool = False

    def first_value(self) -> int | None:
        """Return the index that holds the first mapped value as the user sees it, or None when it is blank."""
        if not self.now:
            return None
        if not self.known or self.now[0] == self.first or (self.first and self.first in self.now):
            return 0
        # The mapped value is gone; what moved up is the user's own.
        return None if self.now[0] in self.before else 0

    def second_value(self) -> int | None:
        """Return the index that holds the second mapped value, or None when it is blank.

        An entry that the baseline does not know as ours is the user's own, so it is never taken.
        """
        if not self.second:
            return None
        first = self.first_value()
        others = [index for index in range(len(self.now)) if index != first]
        if found := [index for index in others if self.now[index] == self.second]:
            return found[0]
        if self.second in self.now:
            # It moved to slot 0: the two mapped values changed places, or the first one is gone.
            return next((index for index in others if self.first and self.now[index] == self.first), None)
        return self._edited_in_place(others)

    def _edited_in_place(self, others: list[int]) -> int | None:
        slot = self.before.index(self.second) if self.second in self.before else -1
        return slot if slot in others and self.now[slot] not in self.before else None

    def own_first(self) -> int | None:
        """Return the index of the entry that a write of the first value replaces, or None to put one in front."""
        if self.known and self.first and self.first in self.now and self.now[0] != self.second:
            # By value: what the user moved in front of it is the user's own.
            return self.now.index(self.first)
        return self.first_value()

    def own_second(self) -> int | None:
        """Return the index of the entry that a write of the second value replaces, or None to add one."""
        first = self.own_first()
        by_value = (index for index, key in enumerate(self.now) if key == self.second and index != first)
        second = next(by_value, None) if self.second else None
        if second is None:
            second = self.second_value()
        return None if second == first else second


def email_slots(record: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> Slots:
    """Return the e-mail addresses of a record beside those of its Outlook baseline."""
    now = [email_key(address) for address in addresses(record)]
    if baseline is None:
        return Slots(now)
    fields = baseline.get("fields") or {}
    before = [email_key(address) for address in baseline.get("emailAddresses") or ()]
    return Slots(
        now, before, email_key(fields.get("email", "")), email_key(fields.get("email2", "")), known=True
    )


def phone_slots(record: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> Slots:
    """Return the business phones of a record beside those of its Outlook baseline."""
    now = [phone_key(number) for number in phones(record)]
    if baseline is None:
        return Slots(now)
    fields = baseline.get("fields") or {}
    before = [phone_key(number) for number in baseline.get("businessPhones") or ()]
    return Slots(now, before, phone_key(fields.get("phone", "")), known=True)


def with_phone(
    record: Mapping[str, Any], baseline: Mapping[str, Any] | None, number: str
) -> list[str] | None:
    """Return the business phones with our own replaced by ``number`` in front; None where no slot is free."""
    own = phone_slots(record, baseline).own_first()
    others = [entry for index, entry in enumerate(phones(record)) if index != own]
    numbers = [number, *others] if number else others
    return numbers if len(numbers) <= max(MOST_PHONES, len(others)) else None


def with_emails(
    record: Mapping[str, Any], baseline: Mapping[str, Any] | None, values: Mapping[str, str], name: str
) -> tuple[list[dict[str, str]], list[str]]:
    """Return the e-mail entries with ``email`` and ``email2`` set to ``values``, and the fields that found no slot.

    Args:
        record: The item as it is now.
        baseline: Its ``outlook_baseline``.
        values: New address by field, "" to remove it; a field that is missing stays.
        name: Display name of a new entry.
    """
    entries, found = email_entries(record), email_slots(record, baseline)
    first, second = _at(entries, found.own_first()), _at(entries, found.own_second())
    refused = []
    # A removal first: it may free the slot that the other one needs.
    for field in sorted(values, key=lambda field: (bool(values[field]), field)):
        new = {"name": name, "address": values[field]} if values[field] else None
        placed = _in_front(entries, first, new) if field == "email" else _behind(entries, first, second, new)
        if len(placed) > max(MOST_EMAILS, len(entries)):
            refused.append(field)
            continue
        entries = placed
        first = new if field == "email" else first
    return entries, refused


_Entry = dict[str, str]


def _at(entries: Sequence[_Entry], index: int | None) -> _Entry | None:
    return None if index is None else entries[index]


def _in_front(entries: list[_Entry], own: _Entry | None, new: _Entry | None) -> list[_Entry]:
    others = [entry for entry in entries if entry is not own]
    return others if new is None else [new, *others]


def _behind(
    entries: list[_Entry], first: _Entry | None, own: _Entry | None, new: _Entry | None
) -> list[_Entry]:
    if new is None:
        return [entry for entry in entries if entry is not own]
    if own is not None:
        return [new if entry is own else entry for entry in entries]
    # Found by value: the address stands there already. One that is the same as the first takes a slot of its own, or
    # it would read as blank.
    key = email_key(new["address"])
    known = any(email_key(entry["address"]) == key for entry in entries if entry is not first)
    return list(entries) if known else [*entries, new]
