"""The page "Outlook": the contact folders of a mailbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.graph.contact import SENSITIVITY
from sandbox.graph.mailbox import CONTACTS, DELETED_ITEMS, Contact, Mailbox
from sandbox.pages.places import RECENT, Action, Input, Line, Listing, listed
from sandbox.world import World

#: Fields of the form that are properties of a contact.
_PLAIN = {
    "givenName": "First name",
    "middleName": "Middle name",
    "surname": "Surname",
    "displayName": "Display name",
    "companyName": "Company",
    "jobTitle": "Job title",
}
_ADDRESS = {
    "street": "Street",
    "postalCode": "Postal code",
    "city": "City",
    "state": "State or province",
    "countryOrRegion": "Country",
}
_PRIVATE = "2"


class Outlook:
    """What is seen and done in a mailbox."""

    name = "outlook"
    title = "Outlook"
    heads: tuple[str, ...] = ("Company", "E-mail", "Business phone", "Mobile phone")

    def listing(self, world: World, query: Mapping[str, str]) -> Listing:
        """Return the folders of a mailbox, and the contacts of one."""
        boxes = list(world.mailboxes.values())
        owners = tuple((box.user_id, box.user_principal_name) for box in boxes)
        if not boxes:
            return Listing(owners, "", problem="There is no mailbox.")
        box = world.mailbox(query.get("owner") or boxes[0].user_id)
        if box.state in ("no_mailbox", "removed", "disabled"):
            return Listing(owners, box.user_id, problem="This account has no mailbox.")
        folders = tuple(
            (str(folder.number), folder.name, len(folder.changes))
            for folder in sorted(box.folders.values(), key=lambda each: each.number)
        )
        chosen = self._folder(box, query)
        now = world.clock.now()
        lines = [_line(contact, now) for contact in box.contacts.values() if contact.folder == int(chosen)]
        shown, total = listed(lines, query.get("q", ""))
        return Listing(owners, box.user_id, folders, chosen, shown, total)

    def form(self, world: World, query: Mapping[str, str]) -> list[Input]:
        """Return the fields of a contact."""
        contact = _find(world, query) if query.get("contact") else None
        fields = contact.fields if contact else {}
        address = fields.get("businessAddress") or {}
        extended = (contact.extended if contact else None) or {}
        return [
            *(Input(name, title, fields.get(name) or "") for name, title in _PLAIN.items()),
            Input("email", "E-mail", _first(fields, "emailAddresses")),
            Input("businessPhone", "Business phone", _first(fields, "businessPhones")),
            Input("mobilePhone", "Mobile phone", fields.get("mobilePhone") or ""),
            *(Input(name, title, address.get(name) or "") for name, title in _ADDRESS.items()),
            Input("businessHomePage", "Web page", fields.get("businessHomePage") or ""),
            Input("personalNotes", "Notes", fields.get("personalNotes") or "", "long"),
            Input("private", "Private", "on" if extended.get(SENSITIVITY) == _PRIVATE else "", "tick"),
        ]

    def moves(self, world: World, query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return the other folders."""
        box, here = _box(world, query), _find(world, query).folder
        return tuple(
            (str(folder.number), folder.name) for folder in box.folders.values() if folder.number != here
        )

    def save(self, world: World, query: Mapping[str, str], values: Mapping[str, str]) -> list[Action]:
        """Return what stores these values."""
        box = _box(world, query)
        contact = _find(world, query) if query.get("contact") else None
        body = _body(contact.fields if contact else {}, values)
        if contact is None:
            if "private" in values:
                body["singleValueExtendedProperties"] = [{"id": SENSITIVITY, "value": _PRIVATE}]
            folder = box.folder_id(int(self._folder(box, query)))
            place = f"/users/{box.user_id}/contactFolders/{folder}/contacts"
            return [{"service": "graph", "method": "POST", "path": place, "body": body}]
        item = box.item_id(contact, immutable=False)
        actions: list[Action] = []
        if body:
            path = f"/users/{box.user_id}/contacts/{item}"
            actions.append({"service": "graph", "method": "PATCH", "path": path, "body": body})
        if "private" in values:
            flag = {"mailbox": box.user_id, "contact": item, "value": 2 if values["private"] else 0}
            actions.append({"method": "POST", "path": "/__sim/graph/sensitivity", "body": flag})
        return actions

    def delete(self, world: World, query: Mapping[str, str]) -> list[Action]:
        """Return what puts a contact among the deleted items; from there it goes for good."""
        box, contact = _box(world, query), _find(world, query)
        item = box.item_id(contact, immutable=False)
        if contact.folder == DELETED_ITEMS:
            body = {"mailbox": box.user_id, "contact": item}
            return [{"method": "POST", "path": "/__sim/graph/purge", "body": body}]
        return [{"service": "graph", "method": "DELETE", "path": f"/users/{box.user_id}/contacts/{item}"}]

    def move(self, world: World, query: Mapping[str, str], to: str) -> list[Action]:
        """Return what drags a contact to another folder."""
        box, contact = _box(world, query), _find(world, query)
        body = {
            "mailbox": box.user_id,
            "contact": box.item_id(contact, immutable=False),
            "to": box.folder_id(box.folders[int(to)].number),
        }
        return [{"method": "POST", "path": "/__sim/graph/move", "body": body}]

    @staticmethod
    def _folder(box: Mailbox, query: Mapping[str, str]) -> str:
        """Return the chosen folder; without a choice one that a program has marked, else Contacts."""
        chosen = query.get("folder", "")
        if chosen.isdigit() and int(chosen) in box.folders:
            return chosen
        marked = [number for number, folder in box.folders.items() if folder.extended]
        return str(min(marked, default=CONTACTS))


def _line(contact: Contact, now: float) -> Line:
    fields = contact.fields
    details = (
        fields.get("companyName") or "",
        _first(fields, "emailAddresses"),
        _first(fields, "businessPhones"),
        fields.get("mobilePhone") or "",
    )
    private = (contact.extended or {}).get(SENSITIVITY) == _PRIVATE
    name = fields.get("displayName") or fields.get("fileAs") or "-"
    flags = ("Private",) if private else ()
    return Line(str(contact.number), name, details, flags, now - contact.modified < RECENT)


def _first(fields: Mapping[str, Any], array: str) -> str:
    entry = next(iter(fields.get(array) or []), None) or ""
    return str(entry.get("address") or "") if isinstance(entry, dict) else str(entry)


def _body(fields: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Return the properties that these values of the form are; the other entries of an array stay behind the first."""
    known = {*_PLAIN, "mobilePhone", "businessHomePage", "personalNotes"}
    body: dict[str, Any] = {name: value or None for name, value in values.items() if name in known}
    if "email" in values:
        rest = list(fields.get("emailAddresses") or [])[1:]
        body["emailAddresses"] = [*([{"address": values["email"]}] if values["email"] else []), *rest]
    if "businessPhone" in values:
        rest = list(fields.get("businessPhones") or [])[1:]
        body["businessPhones"] = [*([values["businessPhone"]] if values["businessPhone"] else []), *rest]
    if not _ADDRESS.keys().isdisjoint(values):
        typed = {name: values[name] for name in _ADDRESS if name in values}
        # Sent whole: what a PATCH makes of the parts that it does not name is a switch of the sandbox.
        body["businessAddress"] = {**(fields.get("businessAddress") or {}), **typed}
    return body


def _box(world: World, query: Mapping[str, str]) -> Mailbox:
    return world.mailbox(query["owner"])


def _find(world: World, query: Mapping[str, str]) -> Contact:
    return _box(world, query).contacts[int(query["contact"])]
