"""What the control plane does to mailboxes."""

from __future__ import annotations

from typing import Any

from sandbox import world_json
from sandbox.control import Action
from sandbox.graph.contact import SENSITIVITY
from sandbox.graph.ids import parse_folder_id
from sandbox.graph.mailbox import CONTACTS, DELETED_ITEMS, Contact, Folder, Mailbox
from sandbox.guids import make_uuid
from sandbox.world import World

MAILBOX_STATES = ("normal", "no_mailbox", "disabled", "policy_denied", "removed")


def change_mailbox(world: World, body: dict[str, Any]) -> dict[str, Any]:
    """Give a mailbox another state, name, server or account; make it first where that is asked."""
    name = body["mailbox"]
    mailbox = world.find_mailbox(name)
    if mailbox is None:
        if not body.get("create"):
            raise KeyError(name)
        mailbox = world_json.new_mailbox(world, {"user_principal_name": name})
    state = body.get("state", mailbox.state)
    if state not in MAILBOX_STATES:
        raise ValueError(f"state must be one of {', '.join(MAILBOX_STATES)}")
    mailbox.state = state
    if body.get("migrate"):
        mailbox.migrate(world.clock.now())
    if "rename" in body:
        world.rename_mailbox(mailbox, body["rename"])
    if body.get("replace"):
        # The account was deleted and made again under its address.
        world.mailboxes.pop(mailbox.user_id)
        again = make_uuid("user again", mailbox.user_id)
        address = mailbox.user_principal_name
        mailbox = world_json.new_mailbox(world, {"user_principal_name": address, "id": again})
    return {"user_principal_name": mailbox.user_principal_name, "id": mailbox.user_id, "state": state}


def move(world: World, body: dict[str, Any]) -> dict[str, str]:
    """Move a contact to another folder."""
    mailbox, contact = _find(world, body)
    mailbox.move(contact, _find_folder(mailbox, body["to"]), world.clock.now())
    return _ids(mailbox, contact)


def copy(world: World, body: dict[str, Any]) -> dict[str, str]:
    """Copy a contact into a folder, its own one where none is named."""
    mailbox, contact = _find(world, body)
    target = _find_folder(mailbox, body["to"]) if "to" in body else mailbox.folders[contact.folder]
    extended = dict(contact.extended or {})
    return _ids(mailbox, mailbox.add(target, contact.fields, extended, world.clock.now()))


def set_sensitivity(world: World, body: dict[str, Any]) -> None:
    """What the button Private of Outlook does: 2 sets the flag, 0 takes it away; the version moves."""
    mailbox, contact = _find(world, body)
    value = int(body.get("value", 2))
    extended = {**(contact.extended or {}), SENSITIVITY: str(value)}
    if extended != (contact.extended or {}):
        contact.extended = extended
        mailbox.log_change(contact, (), world.clock.now())


def purge(world: World, body: dict[str, Any]) -> None:
    """Remove one contact for good, or all of a folder."""
    if "contact" in body:
        mailbox, contact = _find(world, body)
        mailbox.purge(contact, world.clock.now())
        return
    mailbox = world.mailbox(body["mailbox"])
    folder = _find_folder(mailbox, body.get("folder", "deleteditems"))
    for number in list(folder.changes):
        mailbox.purge(mailbox.contacts[number], world.clock.now())


def move_folder(world: World, body: dict[str, Any]) -> dict[str, str]:
    """Put a folder below another one."""
    mailbox = world.mailbox(body["mailbox"])
    folder, target = _find_folder(mailbox, body["folder"]), _find_folder(mailbox, body["to"])
    folder.parent = target.number
    folder.usn = mailbox.next_usn(world.clock.now())
    return {"id": mailbox.folder_id(folder.number)}


def expire_delta(world: World, body: dict[str, Any]) -> None:
    """Make the delta links of mailboxes void, or only the next links of rounds that are being read."""
    for mailbox in _chosen(world, body):
        if body.get("only") == "next":
            gone = [key for key, item in world.rounds.items() if item.mailbox == mailbox.user_id]
            for key in gone:
                del world.rounds[key]
        else:
            mailbox.delta_epoch += 1


def hold_delta(world: World, body: dict[str, Any]) -> None:
    """Let delta queries show nothing that happens from now on, or show it again."""
    for mailbox in _chosen(world, body):
        mailbox.touch()
        mailbox.delta_held = mailbox.usn if body.get("hold", True) else None


def _find_folder(mailbox: Mailbox, text: str) -> Folder:
    """Return a folder by id, well-known name or display name."""
    known = {"contacts": CONTACTS, "deleteditems": DELETED_ITEMS}
    number = known.get(text.lower().replace(" ", ""), parse_folder_id(mailbox.key, text))
    if number is not None:
        return mailbox.folders[number]
    found = next((f for f in mailbox.folders.values() if f.name.casefold() == text.casefold()), None)
    if found is None:
        raise KeyError(text)
    return found


def _find(world: World, body: dict[str, Any]) -> tuple[Mailbox, Contact]:
    mailbox = world.mailbox(body["mailbox"])
    contact = mailbox.find(body["contact"])
    if contact is None:
        raise KeyError("there is no such contact")
    return mailbox, contact


def _ids(mailbox: Mailbox, contact: Contact) -> dict[str, str]:
    return {
        "id": mailbox.item_id(contact, immutable=False),
        "immutable_id": mailbox.item_id(contact, immutable=True),
    }


def _chosen(world: World, body: dict[str, Any]) -> list[Mailbox]:
    return [world.mailbox(body["mailbox"])] if "mailbox" in body else list(world.mailboxes.values())


ACTIONS: dict[str, Action] = {
    "POST graph/mailbox": change_mailbox,
    "POST graph/move": move,
    "POST graph/copy": copy,
    "POST graph/sensitivity": set_sensitivity,
    "POST graph/purge": purge,
    "POST graph/move-folder": move_folder,
    "POST graph/expire-delta": expire_delta,
    "POST graph/hold-delta": hold_delta,
}
