"""What users do in Business Central."""

from __future__ import annotations

#: What a service, or the sync, changes along with a field.
from typing import TYPE_CHECKING, Any

from tests.proof import mapped
from tests.proof.histories import (
    CITIES,
    ODD_STAMPS,
)
from tests.sync.harness import person

if TYPE_CHECKING:
    from tests.proof.player import Player


#: What a service, or the sync, changes along with a field.
TOGETHER = {
    "country": ("city", "county", "post", "country"),
    **dict.fromkeys(("name", *mapped.PARTS), ("name", *mapped.PARTS)),
}


class BcUsers:
    """What users do in Business Central."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def contacts(self) -> list[dict[str, Any]]:
        """All contacts, in the order in which they were made."""
        keys = ("systemCreatedAt", "number", mapped.IN_COMPANY)
        return sorted(self.player.scene().contacts.values(), key=lambda c: [c[key] for key in keys])

    def _contact(self, a: int) -> dict[str, Any] | None:
        found = self.contacts()
        return found[a % len(found)] if found else None

    def do_bc_edit(self, a: int, _b: int, name: str, variant: int) -> None:
        self._edit_bc(a, name, self.player._value(name, variant))

    def do_bc_clear(self, a: int, _b: int, name: str, _variant: int) -> None:
        if name != "name":
            self._edit_bc(a, name, "")

    def _edit_bc(self, a: int, name: str, value: str) -> None:
        contact = self._contact(a)
        if contact is not None:
            self._edit_contact(contact, name, value)

    def _edit_contact(self, contact: dict[str, Any], name: str, value: str) -> None:
        old = mapped.bc_values(contact)
        body: dict[str, Any]
        if name == "street":
            first, _, second = value.partition("\n")
            body = {"addressLine1": first, "addressLine2": second}
        else:
            body = {(mapped.BC_PROPERTIES | mapped.BC_PARTS)[name]: value}
        self._patch_contact(contact, body)
        over = [old[n] for n in TOGETHER.get(name, (name,))]
        place = ("bc", contact["id"])
        self.player.typed_instead("BC " + contact["displayName"], (name, value), place, over, was=old[name])

    def _patch_contact(self, contact: dict[str, Any], body: dict[str, Any]) -> None:
        self.player.h.in_bc("PATCH", f"contacts({contact['id']})", body, contact[mapped.IN_COMPANY])
        self.player.oracle.typed_there(self.player.scene())

    def do_bc_add(self, a: int, b: int) -> None:
        n = self.player._next()
        taken = self._contact(b)
        email = taken["email"] if taken and a % 5 == 0 else "" if a % 11 == 0 else f"q{n}q@klant.example"
        name = f"Persoon q{n}q"
        made = self._add_contact(a, person(name, email, city=CITIES[a % 3]))
        self.player._typed("new in BC", "name", name, ("bc", made))

    def _add_contact(self, company: int, contact: dict[str, Any]) -> str:
        made = self.player.h.in_bc("POST", "contacts", contact, company % self.player.history.companies)
        self.player.oracle.typed_there(self.player.scene())
        self.player.oracle.users_contacts.add(made["id"])
        return str(made["id"])

    def do_bc_delete(self, a: int, _b: int) -> None:
        contact = self._contact(a)
        if contact:
            before = self.player.scene().contacts
            self.player.h.in_bc("DELETE", f"contacts({contact['id']})", company=contact[mapped.IN_COMPANY])
            # With a company its persons go.
            for key in before.keys() - self.player.scene().contacts.keys():
                self.player.oracle.typed_over(list(mapped.bc_values(before[key]).values()))

    def do_block(self, a: int, _b: int) -> None:
        contact = self._contact(a)
        if contact:
            self._patch_contact(contact, {"privacyBlocked": True})

    def do_unblock(self, _a: int, _b: int) -> None:
        for contact in self.player.scene().contacts.values():
            if contact["privacyBlocked"]:
                self._patch_contact(contact, {"privacyBlocked": False})

    def do_computed(self, a: int, b: int) -> bool:
        """A computed field changes, and neither stamp nor version (F30)."""
        contact = self._contact(a)
        # A row that nobody but its user sees yet has no computed fields.
        committed = {
            row["id"] for company in self.player.sim.dump()["companies"] for row in company["contacts"]
        }
        if contact and contact["id"] in committed:
            values = {"lastInteractionDate": f"2026-03-{1 + b % 28:02}"}
            company = self.player.fleet.company_id(contact)
            self.player.sim.control(
                "POST", "bc/compute", {"company": company, "contact": contact["id"], "values": values}
            )
        return contact is not None

    def do_odd_stamp(self, a: int, b: int) -> bool:
        """A row gets a stamp that says nothing of when it was written, as an upgrade leaves it (F30)."""
        contact = self._contact(a)
        if contact:
            stamp = ODD_STAMPS[b % len(ODD_STAMPS)]
            row = {"id": contact["id"], "lastModifiedDateTime": stamp}
            company = self.player.fleet.company_id(contact)
            self.player.sim.control(
                "POST", "bc/set", {"company": company, "contacts": [{**_plain(contact), **row}]}
            )
        return contact is not None

    def do_type(self, a: int, b: int) -> None:
        contact = self._contact(a)
        if contact:
            wanted = "Person" if contact["type"] == "Company" else "Company"
            self._patch_contact(contact, {"type": wanted})


def _plain(contact: dict[str, Any]) -> dict[str, Any]:
    """What the control plane takes of a dumped contact."""
    not_taken = ("systemCreatedAt", "etag", "version", mapped.IN_COMPANY)
    return {name: value for name, value in contact.items() if name not in not_taken}
