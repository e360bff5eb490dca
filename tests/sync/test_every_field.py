"""Whole runs of every mapped field, both ways, in both field profiles: a contact for each case, all in one run."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.world_json import COMPUTED
from tests.sync.field_cases import BC, Case, cases_of, folder_of, item_of, world_of
from tests.sync.harness import Harness
from tests.sync.test_fields import use

#: Field profile and the profile's direction. What only goes one way goes so in the larger field profile too.
PLAYS = (
    ("standard", "both"),
    ("extended", "both"),
    ("extended", "to_outlook"),
    ("extended", "to_business_central"),
)
CASES = {play: cases_of(*play) for play in PLAYS}


def counted(play: tuple[str, str]) -> str:
    fields, cases = len({case.row.name for case in CASES[play]}), len(CASES[play])
    return f"{'-'.join(play)}-{fields}_fields-{cases}_cases"


class Played:
    """The cases, played: who is which contact and which item stays known whatever is edited."""

    def __init__(self, h: Harness, cases: list[Case]) -> None:
        self.h = h
        self.cases = cases
        dump = h.sim.dump()
        numbers = {c["number"]: c["id"] for c in dump["companies"][0]["contacts"]}
        self.contacts = {case.n: numbers.get(f"P{case.n:04d}", "") for case in cases}
        self.items = {case.n: "" for case in cases}
        self.own: dict[int, str] = {}

    def find_items(self) -> None:
        """Note which item is whose: by the key that the sync left on it, or which of the user's own it is."""
        by_contact = {contact: n for n, contact in self.contacts.items() if contact}
        for item in folder_of(self.h.sim.dump())["contacts"]:
            key = next((v for k, v in item["extended"].items() if "bccontactkey" in k.lower()), "")
            contact = key.rpartition("/")[2].partition("|")[0]
            n = by_contact.get(contact)
            self.items |= {n: item["immutable_id"]} if n is not None else {}

    def find_contacts(self) -> None:
        """Note which contact of Business Central was made of which item of the user's own."""
        for item in folder_of(self.h.sim.dump())["contacts"]:
            key = next((v for k, v in item["extended"].items() if "bccontactkey" in k.lower()), "")
            for n, own in self.own.items():
                if own == item["immutable_id"] and key:
                    self.contacts[n] = key.rpartition("/")[2].partition("|")[0]

    def make_items(self) -> None:
        folder = folder_of(self.h.sim.dump())["id"]
        for case in self.cases:
            if not case.is_at_first_in(BC):
                made = self.h.in_outlook("POST", f"contactFolders/{folder}/contacts", item_of(case))
                self.items[case.n] = self.own[case.n] = made["id"]

    def edit(self) -> None:
        items = {i["immutable_id"]: i["properties"] for i in folder_of(self.h.sim.dump())["contacts"]}
        for case in self.cases:
            for side, value in case.edits():
                if side == BC:
                    self._edit_contact(case, value)
                else:
                    body = case.in_outlook(value, items[self.items[case.n]])
                    self.h.in_outlook("PATCH", f"contacts/{self.items[case.n]}", body)

    def _edit_contact(self, case: Case, value: str) -> None:
        if (case.row.name, case.kind) == ("name", "clear"):
            # No user can: BC asks for a name. An import can.
            whole = next(c for c in self.h.contacts().values() if c["id"] == self.contacts[case.n])
            row = {name: text for name, text in whole.items() if name not in COMPUTED}
            self.h.sim.control("POST", "bc/set", {"contacts": [row | {"displayName": value}]})
        else:
            self.h.in_bc("PATCH", f"contacts({self.contacts[case.n]})", case.in_bc(value))

    def held(self) -> dict[str, tuple[str, str]]:
        """Return what both sides hold, by case."""
        dump = self.h.sim.dump()
        contacts = {c["id"]: c for c in dump["companies"][0]["contacts"]}
        items = {i["immutable_id"]: i["properties"] for i in folder_of(dump)["contacts"]}
        return {
            str(case): (
                case.of_bc(contacts[self.contacts[case.n]]),
                case.of_outlook(items[self.items[case.n]]),
            )
            for case in self.cases
        }


@pytest.mark.parametrize("play", PLAYS, ids=counted)
def test_every_field_travels(make_harness: Any, play: tuple[str, str]) -> None:
    (field_profile, direction), cases = play, CASES[play]
    made = make_harness(world_of(cases), transport="in_process", guard_overwrites=len(cases))
    h = use(made, field_profile)
    h.add_profiles()
    h.full()
    played = Played(h, cases)
    played.find_items()
    played.make_items()
    h.add_profiles(direction=direction)
    h.run()
    played.edit()
    h.run()
    played.find_contacts()
    played.find_items()
    assert played.held() == {str(case): case.expected(direction) for case in cases}
    h.sim.reset_counters()
    h.run()
    h.full()
    assert h.app_writes() == 0
