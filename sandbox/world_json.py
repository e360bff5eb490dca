"""A world as JSON and back: for dumps, for the state file, and for small worlds that tests write by hand.

Everything that is left out gets a default, so ``{"companies": [{"name": "A"}]}``
is a world.
"""

from __future__ import annotations

import re
from typing import Any

from sandbox.business_central.query import etag
from sandbox.business_central.rules import split_name
from sandbox.business_central.table import EXTENDED, HIDDEN, Company, Row, read_all
from sandbox.clock import Clock, iso_milliseconds, iso_seconds, parse_moment, sql_milliseconds
from sandbox.graph.contact import EXTENDED as EXTENDED_NAME
from sandbox.graph.contact import READ_ONLY, View, apply, extended_values, merge_extended, property_key
from sandbox.graph.directory import Group
from sandbox.graph.ids import mailbox_key
from sandbox.graph.mailbox import CONTACTS, DELETED_ITEMS, Contact, Folder, Mailbox
from sandbox.guids import make_uuid
from sandbox.settings import Settings
from sandbox.wire import words
from sandbox.world import App, World

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ALL_FIELDS = (*EXTENDED, *HIDDEN)
ATTRIBUTES = {f.name: f.attribute for f in ALL_FIELDS}
COMPUTED = frozenset(
    words("@odata.etag systemRowVersion systemModifiedBy lastModifiedDateTime systemCreatedAt")
)
ITEM_KEYS = frozenset(
    words("number id immutable_id moves usn entered created modified properties extended deleted")
)


# Writing


def to_json(world: World, *, mailbox: str | None = None, company: str | None = None) -> dict[str, Any]:
    """Return the world, or one mailbox and one company of it."""
    only_some = mailbox is not None or company is not None
    mailboxes = [world.mailbox(mailbox)] if mailbox else ([] if only_some else list(world.mailboxes.values()))
    companies = [world.company(company)] if company else ([] if only_some else list(world.companies.values()))
    return {
        "seed": world.seed,
        "nonce": world.nonce,
        "tenant_id": world.tenant_id,
        "environment": world.environment,
        "issued": world.issued,
        "tokens_from": world.tokens_from,
        "apps": [
            {
                "name": app.name,
                "client_id": app.client_id,
                "client_secret": app.client_secret,
                "graph_roles": app.graph_roles,
                "bc_roles": app.bc_roles,
            }
            for app in world.apps
        ],
        "companies": [write_company(c) for c in companies],
        "mailboxes": [write_mailbox(m) for m in mailboxes],
        "groups": [] if only_some else [write_group(each) for each in world.directory.groups.values()],
    }


def write_group(group: Group) -> dict[str, Any]:
    """Return a group with the ids of its members."""
    return {"id": group.id, "name": group.name, "state": group.state, "members": list(group.members)}


def write_row(row: Row) -> dict[str, Any]:
    """Return a contact of Business Central with all its table fields."""
    body: dict[str, Any] = {"@odata.etag": etag(row)}
    body.update(zip(ATTRIBUTES, read_all(row), strict=True))
    body["lastModifiedDateTime"] = iso_milliseconds(row.modified)
    body["systemCreatedAt"] = iso_milliseconds(row.created)
    return body


def write_company(company: Company) -> dict[str, Any]:
    """Return a company with its contacts, held rows separately."""
    held = company.held
    return {
        "id": company.id,
        "name": company.name,
        "display_name": company.display_name,
        "state": company.state,
        "countries": company.countries,
        "post_codes": company.post_codes,
        "salespeople": company.salespeople,
        "users": company.users,
        "manual_numbers": company.manual_numbers,
        "rights": company.rights,
        "defaults": company.defaults,
        "inherit": company.inherit,
        "next_number": company.next_number,
        "row_version": company.row_version,
        "created_ids": company.created_ids,
        "contacts": [write_row(row) for row in company.sorted_rows()],
        "held": None if held is None else {key: row and write_row(row) for key, row in held.items()},
    }


def write_mailbox(mailbox: Mailbox) -> dict[str, Any]:
    """Return a mailbox with its folders and their contacts."""
    mailbox.touch()
    return {
        "id": mailbox.user_id,
        "user_principal_name": mailbox.user_principal_name,
        "display_name": mailbox.display_name,
        "mail": mailbox.mail,
        "other_addresses": list(mailbox.other_addresses),
        "user_type": mailbox.user_type,
        "state": mailbox.state,
        "epoch": mailbox.epoch,
        "usn": mailbox.usn,
        "next_number": mailbox.next_number,
        "next_folder": mailbox.next_folder,
        "delta_epoch": mailbox.delta_epoch,
        "folders": [_write_folder(mailbox, folder) for folder in mailbox.folders.values()],
    }


def _write_folder(mailbox: Mailbox, folder: Folder) -> dict[str, Any]:
    known = {CONTACTS: "contacts", DELETED_ITEMS: "deleteditems"}
    contacts = (mailbox.contacts[number] for number in sorted(folder.changes))
    return {
        "number": folder.number,
        "id": mailbox.folder_id(folder.number),
        "name": folder.name,
        "parent": folder.parent,
        "parent_id": None if folder.parent is None else mailbox.folder_id(folder.parent),
        "well_known": known.get(folder.number),
        "extended": folder.extended,
        "usn": folder.usn,
        "gone": [[number, moves, usn] for (number, moves), usn in folder.gone.items()],
        "contacts": [_write_contact(mailbox, contact) for contact in contacts],
    }


def _write_contact(mailbox: Mailbox, contact: Contact) -> dict[str, Any]:
    full = View(immutable=False).write(mailbox, contact)
    hidden = ("id", "createdDateTime", "lastModifiedDateTime", "parentFolderId")
    return {
        "number": contact.number,
        "id": mailbox.item_id(contact, immutable=False),
        "immutable_id": mailbox.item_id(contact, immutable=True),
        "moves": contact.moves,
        "usn": contact.usn,
        "entered": contact.entered,
        "created": iso_seconds(contact.created),
        "modified": iso_seconds(contact.modified),
        "deleted": contact.folder == DELETED_ITEMS,
        "properties": {name: value for name, value in full.items() if name not in hidden},
        "extended": contact.extended or {},
    }


# Reading


def from_json(data: dict[str, Any], clock: Clock, settings: Settings, *, seed: int = 1) -> World:
    """Return the world that a dump, or a small hand-written description, stands for."""
    world = World(clock, settings, int(data.get("seed", seed)))
    for name in ("nonce", "tenant_id", "environment", "issued", "tokens_from"):
        if name in data:
            setattr(world, name, data[name])
    if data.get("apps"):
        world.apps = [_read_app(item, world, index) for index, item in enumerate(data["apps"])]
    for item in data.get("companies", [{}]):
        _read_company(world, item)
    for item in data.get("mailboxes", [{"user_principal_name": "sanne@voorbeeld.example"}]):
        new_mailbox(world, {"user_principal_name": item} if isinstance(item, str) else item)
    for item in data.get("groups", []):
        name = str(item["name"])
        new_group(world, name, str(item.get("id", ""))).state = item.get("state", "normal")
    # Once all are there, since one may lie in another that comes before it.
    for group, item in zip(world.directory.groups.values(), data.get("groups", []), strict=True):
        group.members = [member_id(world, str(member)) for member in item.get("members", [])]
    return world


def new_group(world: World, name: str, group_id: str = "") -> Group:
    """Add a group without members."""
    number = len(world.directory.groups)
    group = Group(group_id.lower() or make_uuid("group", world.seed, name, number), name)
    world.directory.groups[group.id] = group
    return group


def member_id(world: World, name: str) -> str:
    """Return the id of the user, or else of the group, that a name or an id means.

    An id that is no longer anybody's stays: a dump may name an account that was deleted since.
    """
    mailbox = world.find_mailbox(name)
    if mailbox:
        return mailbox.user_id
    return name.lower() if GUID.fullmatch(name) else world.directory.group(name).id


def _read_app(item: dict[str, Any], world: World, index: int) -> App:
    default = world.apps[0]
    app = App(
        str(item.get("name", f"app{index + 1}" if index else "app")),
        str(
            item.get("client_id", make_uuid("client", world.seed, index) if index else default.client_id)
        ).lower(),
        str(item.get("client_secret", default.client_secret)),
    )
    app.graph_roles = tuple(item.get("graph_roles", app.graph_roles))
    app.bc_roles = tuple(item.get("bc_roles", app.bc_roles))
    return app


def set_tables(company: Company, item: dict[str, Any]) -> None:
    """Set the small tables and the setup of a company, as far as they are given."""
    for name in ("display_name", "salespeople", "users", "manual_numbers", "rights", "defaults", "inherit"):
        if name in item:
            setattr(company, name, item[name])
    if "countries" in item:
        countries = item["countries"]
        company.countries = (
            dict(countries) if isinstance(countries, dict) else {code: code for code in countries}
        )
    if "post_codes" in item:
        company.post_codes = {code: (places[0], places[1]) for code, places in item["post_codes"].items()}


def _read_company(world: World, item: dict[str, Any]) -> Company:
    name = item.get(
        "name", "CRONUS Nederland BV" if not world.companies else f"Bedrijf {len(world.companies) + 1}"
    )
    company = Company(str(item.get("id") or make_uuid("company", world.seed, name)).lower(), name)
    company.state = item.get("state", "normal")
    set_tables(company, item)
    world.companies[company.id] = company
    for row in item.get("contacts", []):
        put_row(world, company, row)
    for attribute in ("next_number", "row_version", "created_ids"):
        setattr(company, attribute, max(int(item.get(attribute, 0)), getattr(company, attribute)))
    held = item.get("held")
    if held is not None:
        company.hold("user")
        for row_id, row in held.items():
            company.held = {**(company.held or {}), row_id: row and _make_row(world, company, row)}
    return company


def _make_row(world: World, company: Company, item: dict[str, Any]) -> Row:
    unknown = set(item) - set(ATTRIBUTES) - COMPUTED
    if unknown:
        raise ValueError(f"unknown fields of a contact: {', '.join(sorted(unknown))}")
    row_id = str(item.get("id", "")).lower()
    row = Row(row_id) if row_id else company.new_row(world.nonce)
    row.type = "Person"
    for name, value in item.items():
        if name not in COMPUTED and name != "id":
            setattr(row, ATTRIBUTES[name], value)
    row.number = row.number or company.take_number("import")
    row.search_name = row.search_name or row.display_name.upper()
    if row.type == "Company":
        row.company_number = row.company_number or row.number
        row.company_name = row.company_name or row.display_name
    now = sql_milliseconds(world.clock.now())
    row.modified, row.created = (
        _stamp(item, "lastModifiedDateTime", now),
        _stamp(item, "systemCreatedAt", now),
    )
    company.row_version = max(company.row_version + 1, int(item.get("systemRowVersion", 0)))
    row.row_version = int(item.get("systemRowVersion", company.row_version))
    row.modified_by = item.get("systemModifiedBy", row.modified_by)
    return row


def _stamp(item: dict[str, Any], name: str, default: int) -> int:
    return round(parse_moment(item[name]) * 1000) if name in item else default


def put_row(world: World, company: Company, item: dict[str, Any]) -> Row:
    """Write a contact past all checks, as a data import does. A person, unless it says otherwise."""
    row = _make_row(world, company, item)
    if "firstName" not in item and "surname" not in item and row.type == "Person":
        split_name(row)
    company.commit(row.id, row)
    return row


def new_mailbox(world: World, item: dict[str, Any]) -> Mailbox:
    """Add a mailbox to a world."""
    name = item["user_principal_name"]
    mailbox = Mailbox(str(item.get("id") or make_uuid("user", world.seed, name)).lower(), name)
    mailbox.display_name = item.get("display_name", mailbox.display_name)
    mailbox.mail = item.get("mail", mailbox.mail)
    mailbox.other_addresses = tuple(item.get("other_addresses", ()))
    mailbox.user_type = item.get("user_type", mailbox.user_type)
    mailbox.state = item.get("state", "normal")
    mailbox.epoch = int(item.get("epoch", 0))
    mailbox.key = mailbox_key(mailbox.user_id, mailbox.epoch)
    mailbox.delta_epoch = int(item.get("delta_epoch", 0))
    for folder in item.get("folders", []):
        _read_folder(world, mailbox, folder)
    for attribute in ("usn", "next_number", "next_folder"):
        if attribute in item:
            setattr(mailbox, attribute, int(item[attribute]))
    for folder in mailbox.folders.values():
        folder.changes = dict(sorted(folder.changes.items(), key=lambda pair: pair[1]))
    world.add_mailbox(mailbox)
    return mailbox


def _read_folder(world: World, mailbox: Mailbox, item: dict[str, Any]) -> None:
    now = world.clock.now()
    known = {"contacts": CONTACTS, "deleteditems": DELETED_ITEMS}
    name = item.get("name", "Contacts")
    number = known.get(item.get("well_known") or name.lower().replace(" ", ""), item.get("number"))
    if number in mailbox.folders:
        folder = mailbox.folders[number]
    else:
        folder = mailbox.create_folder(name, item.get("parent") or CONTACTS, now)
        if number is not None:
            del mailbox.folders[folder.number]
            folder.number = number
            mailbox.folders[number] = folder
            mailbox.next_folder = max(mailbox.next_folder, number + 1)
    folder.usn = int(item.get("usn", folder.usn))
    folder.extended = {property_key(key): value for key, value in item.get("extended", {}).items()}
    folder.gone = {(number, moves): usn for number, moves, usn in item.get("gone", [])}
    for contact in item.get("contacts", []):
        _read_contact(world, mailbox, folder, contact)


def _read_contact(world: World, mailbox: Mailbox, folder: Folder, item: dict[str, Any]) -> None:
    properties = item.get("properties", item)
    # What the service sets by itself is in a dump too; whether a client may send it is a switch of its own.
    properties = {n: value for n, value in properties.items() if n not in ITEM_KEYS and n not in READ_ONLY}
    slots = ("primaryEmailAddress", "secondaryEmailAddress", "tertiaryEmailAddress")
    if "emailAddresses" in properties:
        properties = {name: value for name, value in properties.items() if name not in slots}
    fields = apply({}, properties, world.settings)
    extended = merge_extended(None, extended_values({EXTENDED_NAME: properties.get(EXTENDED_NAME, [])})) or {}
    extended.update({property_key(key): value for key, value in item.get("extended", {}).items()})
    contact = mailbox.add(folder, fields, extended, world.clock.now())
    if "number" in item:
        del mailbox.contacts[contact.number], folder.changes[contact.number]
        contact.number = int(item["number"])
        mailbox.contacts[contact.number] = contact
        mailbox.next_number = max(mailbox.next_number, contact.number + 1)
    contact.moves, contact.usn = int(item.get("moves", 0)), int(item.get("usn", contact.usn))
    contact.entered = int(item.get("entered", contact.usn))
    folder.changes[contact.number] = contact.usn
    contact.created = int(parse_moment(item["created"])) if "created" in item else contact.created
    contact.modified = int(parse_moment(item["modified"])) if "modified" in item else contact.created
