"""The state of one mailbox: folders, contacts and the log of changes that delta queries read.

Nothing here knows HTTP or what a contact may hold. A contact's values are
as compact JSON bytes, so that millions of contacts fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from sandbox.graph import ids as graph_ids

CONTACTS, DELETED_ITEMS = 1, 2


class Contact:
    """One item. ``body`` holds the properties that differ from blank."""

    __slots__ = ("body", "created", "entered", "extended", "folder", "modified", "moves", "number", "usn")

    def __init__(self, number: int, folder: int, moment: float) -> None:
        self.number = number
        self.folder = folder
        self.created = int(moment)
        self.modified = int(moment)
        self.moves = 0
        self.usn = 0
        self.entered = 0
        self.body = b"{}"
        self.extended: dict[str, str] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """A copy of the properties that are set."""
        values: dict[str, Any] = orjson.loads(self.body)
        return values

    @fields.setter
    def fields(self, values: dict[str, Any]) -> None:
        # The copy gives back what orjson's buffer has too much: 4 KB for 200 bytes.
        self.body = bytes(memoryview(orjson.dumps(values)))


class Folder:
    """A contact folder, or the Deleted Items folder.

    ``changes`` maps each item in the folder to the number of its last change,
    in the order of these changes; ``gone`` does the same for items that left,
    by number and count of moves (their default id needs both).
    """

    __slots__ = ("changes", "extended", "gone", "name", "number", "parent", "usn")

    def __init__(self, number: int, name: str, parent: int | None) -> None:
        self.number = number
        self.name = name
        self.parent = parent
        self.usn = 0
        self.extended: dict[str, str] = {}
        self.changes: dict[int, int] = {}
        self.gone: dict[tuple[int, int], int] = {}


class Mailbox:
    """A user with a mailbox. The contents of generated mailboxes are made when first touched."""

    def __init__(self, user_id: str, user_principal_name: str, display_name: str = "") -> None:
        self.user_id = user_id
        self.user_principal_name = user_principal_name
        self.display_name = display_name or user_principal_name.partition("@")[0]
        self.mail: str | None = user_principal_name
        self.other_addresses: tuple[str, ...] = ()
        self.user_type = "Member"
        self.state = "normal"
        self.epoch = 0
        self.key = graph_ids.mailbox_key(user_id, 0)
        self.usn = 0
        self.next_number = 1
        self.delta_epoch = 0
        self.delta_held: int | None = None
        self.times: list[tuple[float, int]] = []
        self.touched: dict[int, list[tuple[int, tuple[str, ...]]]] = {}
        self.gone_folders: dict[int, int] = {}
        self.fill: Callable[[Mailbox], None] | None = None
        self._folders: dict[int, Folder] = {}
        self._contacts: dict[int, Contact] = {}
        self._add_folder(CONTACTS, "Contacts", None)
        self._add_folder(DELETED_ITEMS, "Deleted Items", None)
        self.next_folder = 3

    @property
    def folders(self) -> dict[int, Folder]:
        """All folders by number."""
        self.touch()
        return self._folders

    @property
    def contacts(self) -> dict[int, Contact]:
        """All contacts by number, deleted ones in Deleted Items included."""
        self.touch()
        return self._contacts

    def touch(self) -> None:
        """Make the generated contents, once."""
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)

    def next_usn(self, now: float) -> int:
        """Count a change; the times are kept only for the lag of delta queries."""
        self.usn += 1
        self.times.append((now, self.usn))
        if len(self.times) > 20000:
            del self.times[:10000]
        return self.usn

    def visible_usn(self, now: float, lag: float) -> int:
        """Return the last change that delta queries may show."""
        last = self.usn
        if lag > 0:
            last = next((usn for moment, usn in reversed(self.times) if moment <= now - lag), 0)
        return last if self.delta_held is None else min(last, self.delta_held)

    # Folders

    def _add_folder(self, number: int, name: str, parent: int | None) -> Folder:
        folder = self._folders[number] = Folder(number, name, parent)
        return folder

    def create_folder(self, name: str, parent: int, now: float) -> Folder:
        """Make a folder; the caller has checked that the name is free."""
        self.touch()
        folder = self._add_folder(self.next_folder, name, parent)
        self.next_folder += 1
        folder.usn = self.next_usn(now)
        return folder

    def find_folder(self, name: str, parent: int) -> Folder | None:
        """Return the child with this name, compared as Exchange does: without case."""
        wanted = name.casefold()
        return next((f for f in self.children(parent) if f.name.casefold() == wanted), None)

    def children(self, parent: int) -> Iterator[Folder]:
        """Yield the folders directly below one."""
        return (f for f in self.folders.values() if f.parent == parent)

    def delete_folder(self, folder: Folder, now: float) -> None:
        """Remove a folder with everything in it, beyond the reach of the API."""
        for child in list(self.children(folder.number)):
            self.delete_folder(child, now)
        for number in list(folder.changes):
            del self.contacts[number]
        self.gone_folders[folder.number] = self.next_usn(now)
        del self.folders[folder.number]

    def folder_id(self, number: int, *, other: bool = False) -> str:
        """Return the id of a folder, in one of its two spellings."""
        return graph_ids.folder_id(self.key, number, other=other)

    # Contacts

    def add(
        self, folder: Folder, fields: dict[str, Any], extended: dict[str, str] | None, now: float
    ) -> Contact:
        """Store a new contact and return it."""
        self.touch()
        contact = Contact(self.next_number, folder.number, now)
        self.next_number += 1
        contact.fields = fields
        contact.extended = extended or None
        self._contacts[contact.number] = contact
        contact.usn = contact.entered = folder.changes[contact.number] = self.next_usn(now)
        return contact

    def log_change(self, contact: Contact, names: tuple[str, ...], now: float) -> None:
        """Give a changed contact its new version and make it show up in delta queries."""
        folder = self.folders[contact.folder]
        contact.modified = int(now)
        contact.usn = self.next_usn(now)
        folder.changes.pop(contact.number, None)
        folder.changes[contact.number] = contact.usn
        self.touched.setdefault(contact.number, []).append((contact.usn, names))

    def _leave(self, contact: Contact, now: float) -> None:
        folder = self.folders[contact.folder]
        folder.changes.pop(contact.number, None)
        folder.gone[contact.number, contact.moves] = self.next_usn(now)
        self.touched.pop(contact.number, None)

    def move(self, contact: Contact, folder: Folder, now: float) -> None:
        """Move a contact: it leaves one delta as removed and enters another; its default id changes."""
        self._leave(contact, now)
        contact.folder = folder.number
        contact.moves += 1
        contact.modified = int(now)
        contact.usn = contact.entered = folder.changes[contact.number] = self.next_usn(now)

    def delete(self, contact: Contact, now: float) -> None:
        """Move a contact to Deleted Items; what is there already goes for good."""
        if contact.folder == DELETED_ITEMS:
            self.purge(contact, now)
        else:
            self.move(contact, self.folders[DELETED_ITEMS], now)

    def purge(self, contact: Contact, now: float) -> None:
        """Remove a contact for good."""
        self._leave(contact, now)
        del self.contacts[contact.number]

    def item_id(self, contact: Contact, *, immutable: bool) -> str:
        """Return one of the two ids of a contact."""
        if immutable:
            return graph_ids.immutable_id(self.key, contact.number)
        return graph_ids.item_id(self.key, contact.number, contact.moves)

    def find(self, text: str) -> Contact | None:
        """Return the contact with this id, in either form; a default id from before a move is unknown."""
        parsed = graph_ids.parse_item_id(self.key, text)
        contact = self.contacts.get(parsed[0]) if parsed else None
        if parsed is None or contact is None or parsed[1] not in (None, contact.moves):
            return None
        return contact

    def change_key(self, contact: Contact) -> str:
        """Return the change key, which is also inside the ETag."""
        return graph_ids.change_key(self.key, contact.usn)

    def migrate(self, now: float) -> None:
        """Move the mailbox to another server: all ids and all delta links become void."""
        self.touch()
        self.epoch += 1
        self.key = graph_ids.mailbox_key(self.user_id, self.epoch)
        self.delta_epoch += 1
        self.next_usn(now)
