"""What the demo's colleagues do with the fields that the field profile ``extended`` brings along."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from demo_parts.agreement import first_address
from demo_parts.sandbox import SandboxInstance, address_of, own_items


def give_second_addresses(sandbox: SandboxInstance, company: str, salesperson: str) -> list[str]:
    """Give two persons of a salesperson a second address in Business Central; return their first ones.

    Only what Business Central has had is E-Mail 2 in Outlook: further addresses there are the colleague's own.
    """
    found = next(each for each in sandbox.dump()["companies"] if each["name"] == company)
    addresses = [first_address(contact["email"]).casefold() for contact in found["contacts"]]
    chosen = [
        contact
        for contact in found["contacts"]
        if contact["salespersonCode"] == salesperson
        and contact["type"] == "Person"
        and not contact["privacyBlocked"]
        and addresses.count(address := first_address(contact["email"]).casefold()) == 1
        and "@" in address
    ][-2:]
    for contact in chosen:
        address = first_address(contact["email"])
        sandbox.as_user(
            "bc", "PATCH", _contact(sandbox, company, contact["id"]), {"email2": f"thuis.{address}"}
        )
    return [first_address(contact["email"]).casefold() for contact in chosen]


def edit_its_fields(
    sandbox: SandboxInstance, mailbox: str, company: str, folder: str, second: list[str]
) -> list[str]:
    """Edit name parts, initials and second addresses on both sides; return what was done, for the terminal.

    Args:
        sandbox: The sandbox.
        mailbox: Whose folder it is about.
        company: Its company.
        folder: Its name.
        second: First addresses of two persons that have a second one.
    """
    world = sandbox.dump()
    contacts = {
        first_address(contact["email"]).casefold(): contact["id"]
        for each in world["companies"]
        if each["name"] == company
        for contact in each["contacts"]
    }
    items = {address_of(item): item for item in own_items(world, mailbox, company, folder)}
    others = _others(items, second)
    in_bc, in_outlook, moved = next(others), next(others), next(others)
    moment = f"{time.time() * 1000:.0f}"[-4:]

    def in_business_central(address: str, **values: str) -> None:
        sandbox.as_user("bc", "PATCH", _contact(sandbox, company, contacts[address]), values)

    def in_the_folder(address: str, **values: Any) -> None:
        place = f"{sandbox.info['graph_root']}/users/{mailbox}/contacts/{items[address]['immutable_id']}"
        sandbox.as_user("graph", "PATCH", place, values)

    in_business_central(
        in_bc, firstName="Johanna", middleName="van den", initials="J.M.", email2=f"j{moment}@thuis.example"
    )
    in_business_central(second[0], email2="")
    in_business_central(moved, salespersonCode="JV")
    in_the_folder(in_outlook, givenName="Wilhelmina", surname=f"Zonneveld{moment}", initials="W.Z.")
    entries = items[second[1]]["properties"]["emailAddresses"]
    changed = {"name": entries[1]["name"], "address": f"z{moment}@thuis.example"}
    in_the_folder(second[1], emailAddresses=[entries[0], changed, *entries[2:]])
    return [
        "in Business Central: one name and its initials changed, one second address added, one removed",
        "in Business Central: one person given to another salesperson",
        f"in Outlook of {mailbox}: one name and its initials changed, one second address changed",
    ]


def _others(items: dict[str, Any], second: list[str]) -> Iterator[str]:
    """Contacts that nothing else is done with, the last ones first: other edits take the first ones."""
    return (address for address in reversed(items) if address not in second)


def _contact(sandbox: SandboxInstance, company: str, contact_id: str) -> str:
    return f"{sandbox.company_url(company, extended=True)}/contacts({contact_id})"
