"""Contact folders of Outlook mailboxes: finding, making, naming and marking them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sync_lib.clients.answers import Answer, is_unknown
from sync_lib.clients.batch import Part
from sync_lib.clients.mailboxes import PREFER, Mailboxes, folder_path, user_path
from sync_lib.clients.odata import to_query
from sync_lib.clients.outlook_records import (
    MARKER_ID,
    OTHER_MARKER_ID,
    is_gone,
    to_expand,
    to_folder,
    to_property,
)
from sync_lib.errors import (
    ApiError,
    ConflictError,
    NotFoundError,
    RejectedError,
    ServiceError,
    ThrottledError,
)
from sync_lib.ports import Folder

#: The query by which a folder is read with its two markers.
_WITH_MARKERS = {"$expand": to_expand(MARKER_ID, OTHER_MARKER_ID)}
_FOLDER_PAGE = 100
_DEEPEST_FOLDER = 20
_MARKER_ATTEMPTS = 3


class OutlookFolders:
    """Reads and writes the contact folders of any mailbox that the app may reach."""

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes

    def fetch_folder(self, user: str, folder_id: str) -> Folder:
        """Return a contact folder with its marker; also one that lies in Deleted Items may answer."""
        answer = self._mailboxes.get(user, folder_path(user, folder_id), _WITH_MARKERS)
        return to_folder(answer.body)

    def iter_folders(self, user: str) -> Iterator[Folder]:
        """Yield the folders below the default Contacts folder, which itself is not among them.

        Graph leaves the default folder out (https://learn.microsoft.com/graph/known-issues).
        """
        pages = self._mailboxes.iter_pages(
            user,
            f"{user_path(user)}/contactFolders",
            _WITH_MARKERS,
            _FOLDER_PAGE,
        )
        for page in pages:
            yield from (to_folder(record) for record in page["value"])

    def iter_nested_folders(self, user: str, folders: Sequence[Folder]) -> Iterator[Folder]:
        """Yield the folders within these ones, level by level; a batch of requests for each level."""
        query, level = to_query(_WITH_MARKERS), list(folders)
        for _ in range(_DEEPEST_FOLDER):
            if not level:
                return
            paths = [f"{folder_path(user, folder.id)}/childFolders?{query}" for folder in level]
            answers = self._mailboxes.send(user, [Part("GET", path, PREFER) for path in paths])
            level = [
                to_folder(record)
                for answer in answers
                for record in self._mailboxes.iter_records(user, answer)
            ]
            yield from level

    def fetch_default_folder(self, user: str) -> Folder:
        """Return the default Contacts folder.

        Its well-known name works but is not documented for contact folders, so where it is refused the folder's id
        is taken from what lies in it.
        """
        try:
            return self.fetch_folder(user, "Contacts")
        except (NotFoundError, RejectedError) as error:
            refusal = error
        if isinstance(refusal, NotFoundError) and not is_gone(refusal):
            raise refusal
        parent = self._parent_of_anything(user)
        if not parent:
            raise refusal
        return self.fetch_folder(user, parent)

    def is_deleted_folder(self, user: str, folder: Folder) -> bool:
        """Return whether a folder that still answers lies in Deleted Items, directly or within another folder.

        Graph names no such property, and asking for the folder ``deleteditems`` takes a permission on mail. What
        is alive lies below the default Contacts folder, or beside it.
        """
        default = self.fetch_default_folder(user)
        if folder.id == default.id or folder.parent_id == default.parent_id:
            return False
        parent = folder.parent_id
        for _ in range(_DEEPEST_FOLDER):
            if parent in (default.id, default.parent_id):
                return parent != default.id
            try:
                above = self.fetch_folder(user, parent)
            except NotFoundError as error:
                if not is_gone(error):
                    raise
                return True
            # The parent's id may be another spelling of the default folder's; beside it no other folder has its name.
            if above.id == default.id or (above.name, above.parent_id) == (default.name, default.parent_id):
                return False
            parent = above.parent_id
        return True

    def is_live_parent(self, user: str, parent_id: str) -> bool:
        """Return whether a folder that an item names as its own is the default one, or below it, and not deleted.

        Everything else is Deleted Items, or lies in it: an item there is gone.
        """
        default = self.fetch_default_folder(user)
        if parent_id == default.id:
            return True
        below = list(self.iter_folders(user))
        below += self.iter_nested_folders(user, below)
        live = {folder.id for folder in below}
        try:
            folder = self.fetch_folder(user, parent_id)
        except (NotFoundError, RejectedError) as error:
            if isinstance(error, NotFoundError) and not is_gone(error):
                raise
            return False
        # An item may spell its folder's id otherwise than the folder itself does.
        if folder.id == default.id or (folder.name, folder.parent_id) == (default.name, default.parent_id):
            return True
        return (folder.id in live or parent_id in live) and not self.is_deleted_folder(user, folder)

    def create_folder(self, user: str, name: str, marker: str) -> Folder:
        """Return a folder of that name below the default one: made now with our marker, or the one that has the name.

        A folder that was there keeps its marker: look at ``marker`` before using it. After an unknown outcome the
        folder is looked up, since a create that answered 5xx may have made it.
        """
        properties = [to_property(MARKER_ID, marker)]
        try:
            return self._post_folder(
                user, {"displayName": name, "singleValueExtendedProperties": properties}, marker
            )
        except RejectedError:
            # Perhaps this service takes the property only on a folder that exists.
            made = self._post_folder(user, {"displayName": name}, "")
            if not made.marker:
                self.write_marker(user, made.id, marker)
            return replace(made, marker=made.marker or marker)

    def rename_folder(self, user: str, folder_id: str, name: str) -> None:
        """Give a folder another name; its id stays.

        Raises:
            ConflictError: Another folder beside it has that name.
        """
        path = folder_path(user, folder_id)
        self._mailboxes.write(user, "PATCH", path, {"displayName": name}, repeat=True)

    def delete_folder(self, user: str, folder_id: str) -> None:
        """Delete a contact folder with all that is in it; one that is gone already is no error."""
        try:
            self._mailboxes.write(user, "DELETE", folder_path(user, folder_id), None, repeat=True)
        except NotFoundError as error:
            if not is_gone(error):
                raise

    def write_marker(self, user: str, folder_id: str, value: str, *, other: bool = False) -> Folder:
        """Write our marker into one of its two slots, and return the folder as it was before, in one request.

        Raises:
            ServiceError: Unknown outcome: the new marker is written, or may be, and what was before it is lost.
                The caller must not take the old one for what it expected.
        """
        path, slot = folder_path(user, folder_id), OTHER_MARKER_ID if other else MARKER_ID
        parts = [
            Part("GET", f"{path}?{to_query(_WITH_MARKERS)}", PREFER),
            Part("PATCH", path, PREFER, {"singleValueExtendedProperties": [to_property(slot, value)]}, True),
        ]
        before: Folder | None = None
        attempt = 0
        while True:
            attempt += 1
            # Sending a lost batch again would read our own marker back as the one before.
            read, write = self._mailboxes.send(user, parts, repeat_lost=False)
            if before is None:
                before = self._folder_before(user, folder_id, value, read)
            if isinstance(write, Answer):
                return before
            if not is_unknown(write) or attempt == _MARKER_ATTEMPTS:
                raise write

    def _parent_of_anything(self, user: str) -> str:
        for folder in self.iter_folders(user):
            return folder.parent_id
        query = {"$top": "1", "$select": "parentFolderId"}
        body = self._mailboxes.get(user, f"{user_path(user)}/contacts", query).body
        return next((str(record.get("parentFolderId") or "") for record in body.get("value") or []), "")

    def _post_folder(self, user: str, body: dict[str, Any], marker: str) -> Folder:
        path = f"{user_path(user)}/contactFolders"
        try:
            answer = self._mailboxes.write(user, "POST", path, body)
            # The answer to a write never shows extended properties, so the marker is filled in from what was sent.
            return replace(to_folder(answer.body), marker=marker)
        except (ConflictError, ServiceError) as error:
            found = (
                None if isinstance(error, ThrottledError) else self._folder_named(user, body["displayName"])
            )
            if found is None:
                raise
            return found

    def _folder_named(self, user: str, name: str) -> Folder | None:
        # Exchange compares names of folders without case.
        return next((one for one in self.iter_folders(user) if one.name.casefold() == name.casefold()), None)

    def _folder_before(self, user: str, folder_id: str, value: str, read: Answer | ApiError) -> Folder:
        if isinstance(read, Answer):
            return to_folder(read.body)
        if not is_unknown(read):
            raise read
        before = self.fetch_folder(user, folder_id)
        if value in (before.marker, before.other_marker):
            # The lost batch was carried out, and what it had read is lost with it.
            raise read
        return before
