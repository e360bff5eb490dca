"""How the items of a mailbox spell the ids of their folders."""

from __future__ import annotations

import threading
from dataclasses import replace

from sync_lib.clients.mailboxes import Mailboxes, folder_path
from sync_lib.errors import NotFoundError
from sync_lib.model import OutlookContact


class _Spellings:
    """How the folders of a mailbox that were read are spelled by their items; ``asked``: by a request for just that."""

    def __init__(self) -> None:
        self.by_folder: dict[str, set[str]] = {}
        self.asked: set[str] = set()


class FolderIds:
    """What was learnt of the folders that were read, mailbox by mailbox.

    Immutable ids are not meant for folders (https://learn.microsoft.com/graph/outlook-immutable-id), so the id of one
    folder may come in two forms. Nothing says how to compare them, but an item of the folder shows the other.
    """

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes
        self._lock = threading.Lock()
        self._spellings: dict[str, _Spellings] = {}

    def know(self, user: str, folder_id: str) -> None:
        """Count a folder among those that were read, though no item of it may have been seen."""
        self._spellings_of(user).by_folder.setdefault(folder_id, set())

    def learn(self, user: str, folder_id: str, record: object) -> None:
        """Note how what certainly lies in a folder spells that folder's id."""
        known = self._spellings_of(user)
        spellings = known.by_folder.setdefault(folder_id, set())
        if isinstance(record, dict) and "@removed" not in record and record.get("parentFolderId"):
            spellings.add(str(record["parentFolderId"]))

    def respell(self, user: str, contact: OutlookContact) -> OutlookContact:
        """Return a contact whose folder is spelled as the folder's own id, where it lies in one that was read."""
        parent, known = contact.parent_folder_id, self._spellings_of(user)
        if not parent or parent in known.by_folder:
            return contact
        for folder_id, spellings in known.by_folder.items():
            if not spellings and folder_id not in known.asked:
                known.asked.add(folder_id)
                self.learn(user, folder_id, self._any_item(user, folder_id))
            # Where items spell it as the folder itself does, another id is another folder's.
            if parent in spellings and folder_id not in spellings:
                return replace(contact, parent_folder_id=folder_id)
        return contact

    def _any_item(self, user: str, folder_id: str) -> object:
        query = {"$top": "1", "$select": "parentFolderId"}
        try:
            body = self._mailboxes.get(user, f"{folder_path(user, folder_id)}/contacts", query).body
        except NotFoundError:
            return None
        return next(iter(body.get("value") or []), None)

    def _spellings_of(self, user: str) -> _Spellings:
        with self._lock:
            return self._spellings.setdefault(user.lower(), _Spellings())
