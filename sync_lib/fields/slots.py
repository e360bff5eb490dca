"""Outlook's arrays: several e-mail addresses and business phones in few slots, of which only our own are ours.

The array rules of rules 6. An array is read, merged and written whole, because Graph replaces arrays whole; what the
user keeps in the other slots is never replaced, taken or lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sync_lib.fields.normal_forms import email_key
from sync_lib.fields.texts import clean_code

#: More entries make Graph refuse the whole contact (400).
MOST_EMAILS = 3
MOST_PHONES = 2


#: What the address of an entry reads as that has none: not blank, and no valid address.
UNREADABLE = "(unreadable)"


def addresses(record: Mapping[str, Any]) -> list[str]:
    """Return the e-mail addresses of an Outlook record, "" for an entry without: it keeps its place (rules 6)."""
    return [_address(entry) for entry in _email_entries(record)]


def has_unreadable(entries: object) -> bool:
    """Return whether an array of e-mail entries holds one without an address."""
    return isinstance(entries, list) and any(isinstance(e, dict) and not _address(e) for e in entries)


def _email_entries(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the e-mail entries; Exchange returns odd ones without address when it can't parse what was typed."""
    entries = record.get("emailAddresses")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _address(entry: Mapping[str, Any]) -> str:
    address = entry.get("address")
    return address if isinstance(address, str) and address.strip() else ""


def _sent_back(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as it goes back: an odd one as it came, others without what Graph only reports."""
    if not _address(entry):
        return dict(entry)
    return {key: entry[key] for key in ("name", "address") if isinstance(entry.get(key), str)}


def phones(record: Mapping[str, Any]) -> list[str]:
    """Return the business phones of an Outlook record, "" for a blank one."""
    numbers = record.get("businessPhones")
    if not isinstance(numbers, list):
        return []
    return [number if isinstance(number, str) and number.strip() else "" for number in numbers]


@lru_cache(maxsize=1 << 12)
def phone_key(text: str) -> str:
    """Return what distinguishes one entry of an array from another: the digits, or the text where there are none."""
    digits = "".join(filter(str.isdigit, text))
    return digits or clean_code(text)


class Slots(NamedTuple):
    """An array as it is now beside the array and the mapped values as they last agreed.

    Keys, not texts: an address in another case is the same entry. The key "" is an entry that holds nothing that can be
    read: a blank phone, which is a free slot, or an e-mail entry without address, which somebody typed.

    Attributes:
        now: Keys of the present entries.
        before: Keys of the entries at the baseline; empty where there is none.
        first: Key of the value mapped to slot 0 at the baseline, "" for blank.
        second: Key of the second mapped value (E-Mail 2) at the baseline, "" for blank or not mapped.
        known: Whether there is a baseline at all.
        typed: Whether an entry that can't be read is somebody's value all the same.
    """

    now: Sequence[str]
    before: Sequence[str] = ()
    first: str = ""
    second: str = ""
    known: bool = False
    typed: bool = True

    def first_value(self) -> int | None:
        """Return the index that holds the first mapped value as the user sees it, or None when it is blank."""
        if not self.now:
            return None
        if not self.now[0]:
            return 0 if self.typed else self._moved()
        if not self.known or self.now[0] == self.first or (self.first and self.first in self.now):
            return 0
        if self.now[0] == self.second and self._edited_in_place(range(1, len(self.now))) is not None:
            # The two changed places and one was edited as well: each is what stands in its place.
            return 0
        # The mapped value is gone; what moved up is the user's own.
        return None if self.now[0] in self.before else 0

    def _moved(self) -> int | None:
        return self.now.index(self.first) if self.first and self.first in self.now else None

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
        # It moved to slot 0: the two mapped values changed places, and the other one may be edited as well.
        changed_places = self.second in self.now and self.first in self.now and self.first
        if changed_places and (places := [index for index in others if self.now[index] == self.first]):
            return places[0]
        return self._edited_in_place(others)

    def _edited_in_place(self, others: Sequence[int]) -> int | None:
        slot = self.before.index(self.second) if self.second in self.before else -1
        if slot not in others:
            return None
        # Entries that can't be read look all the same: one more of them is the edited one.
        key = self.now[slot]
        new = self.now.count("") > self.before.count("") if not key else key not in self.before
        return slot if new else None

    def own_first(self) -> int | None:
        """Return the index of the entry that a write of the first value replaces, or None to put one in front."""
        if self.known and self.first and self.first in self.now and self.now[0] != self.second:
            # By value: what the user moved in front of it is the user's own.
            return self.now.index(self.first)
        if self.now and not self.now[0] and not self.typed and self._moved() is None:
            return 0  # A blank slot is free.
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
        return Slots(now, typed=False)
    fields = baseline.get("fields") or {}
    before = [phone_key(number) for number in baseline.get("businessPhones") or ()]
    return Slots(now, before, phone_key(fields.get("phone", "")), known=True, typed=False)


def agreed_entries(
    array: str, before: Sequence[str], now: Sequence[str], agreed: Sequence[tuple[str, str]]
) -> list[str]:
    """Return the entries of an array that keeps its baseline, with mapped values in the place of those before.

    The baseline of an array must hold what its mapped values have as theirs, or what the user makes of such a value
    next looks like an entry of the user's own.

    Args:
        array: The array's property in Outlook.
        before: Entries of the baseline.
        now: Entries of the record, where a value that had no place in the baseline has one.
        agreed: Each mapped value as it last agreed, and what it agrees on now.
    """
    key = email_key if array == "emailAddresses" else phone_key
    replaced = {key(old): new for old, new in agreed if old}
    entries: list[str] = []
    for entry in before:
        new = replaced.pop(key(entry), entry)
        entries += [new] if new or new is entry else []
    present = [key(entry) for entry in now]
    for new in (*(new for old, new in agreed if not old), *replaced.values()):
        if new and key(new) not in map(key, entries):
            entries.insert(present.index(key(new)) if key(new) in present else len(entries), new)
    return entries


def with_phone(
    record: Mapping[str, Any], baseline: Mapping[str, Any] | None, number: str
) -> list[str] | None:
    """Return the business phones with our own replaced by ``number`` in front; None where no slot is free."""
    own = phone_slots(record, baseline).own_first()
    others = [entry for index, entry in enumerate(phones(record)) if index != own]
    numbers = [number, *others] if number else others
    return numbers if len(numbers) <= max(MOST_PHONES, len(others)) else None


def find_email(record: Mapping[str, Any], address: str) -> str:
    """Return how an Outlook record spells an address in one of its slots behind the first, "" where it has none."""
    key = email_key(address)
    return next((text for text in addresses(record)[1:] if key and email_key(text) == key), "")


def with_emails(
    record: Mapping[str, Any], baseline: Mapping[str, Any] | None, values: Mapping[str, str], name: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the e-mail entries with ``email`` and ``email2`` set to ``values``, and the fields that found no slot.

    Args:
        record: The item as it is now.
        baseline: Its ``outlook_baseline``.
        values: New address by field, "" to remove it; a field that is missing stays.
        name: Display name of a new entry.
    """
    entries = [_sent_back(entry) for entry in _email_entries(record)]
    found = email_slots(record, baseline)
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


_Entry = dict[str, Any]


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
    # Found by value: the address is there already. One that is the same as the first takes a slot of its own, or
    # it would read as blank.
    key = email_key(new["address"])
    known = any(email_key(_address(entry)) == key for entry in entries if entry is not first)
    return list(entries) if known else [*entries, new]
