"""Contacts and contact folders of Outlook mailboxes, through Microsoft Graph v1.0.

Every request, every page and every part of a batch asks for immutable ids: the default ids change when an item
moves (https://learn.microsoft.com/graph/outlook-immutable-id). Calls to one mailbox go one at a time and within
its documented limit (https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any
from urllib.parse import quote

from sync_lib.clients.answers import Answer, is_unknown
from sync_lib.clients.batch import BatchSender, Part
from sync_lib.clients.odata import to_literal, to_query, to_stamp
from sync_lib.clients.pacing import WindowPacer
from sync_lib.clients.session import ApiSession
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    ConflictError,
    MalformedAnswerError,
    NotFoundError,
    RejectedError,
    ServiceError,
    ThrottledError,
)
from sync_lib.fields.table import OUTLOOK_PROPERTIES
from sync_lib.model import OutlookContact
from sync_lib.ports import BatchWrite, DeltaPage, Folder, User, WriteResult

#: One namespace and three names for ever: Exchange counts distinct named properties per mailbox, and a second
#: spelling would be a second property.
NAMESPACE = "{0f2d8a64-5c1b-4e0e-9c53-7a3b6e1d94c8}"
BC_KEY_ID = f"String {NAMESPACE} Name BcContactKey"
MARKER_ID = f"String {NAMESPACE} Name ContactSyncFolder"
#: PidTagSensitivity (MS-OXCMSG 2.2.1.13): 0 normal, 1 personal, 2 private, 3 confidential; absent is normal.
SENSITIVITY_ID = "Integer 0x36"
_NOT_PRIVATE = frozenset(("", "0", "1"))
#: The marker's other slot: the two are written in turn, so that a write whose answer is lost spares one of them.
OTHER_MARKER_ID = f"{MARKER_ID}2"

BATCH_SIZE = 20
_SELECT = ",".join(("id", "parentFolderId", "createdDateTime", "lastModifiedDateTime", *OUTLOOK_PROPERTIES))
_IMMUTABLE = 'IdType="ImmutableId"'
_PREFER = {"Prefer": _IMMUTABLE}
_LIST_PAGE = 999
#: Contacts delta pages hold at most 200 items, whatever is asked.
_DELTA_PAGE = 200
_FOLDER_PAGE = 100
_DEEPEST_FOLDER = 20
_MARKER_ATTEMPTS = 3

#: A 404 with one of these is about the item or folder; any other one is about the mailbox, the user, or a proxy.
_GONE = frozenset({"erroritemnotfound", "errorfoldernotfound", "errorsyncfoldernotfound"})


class _Homes:
    """How the folders of a mailbox that were read are spelled by their items; ``asked``: by a request for just that."""

    def __init__(self) -> None:
        self.folders: dict[str, set[str]] = {}
        self.asked: set[str] = set()


class OutlookClient:
    """Reads and writes contacts of any mailbox that the app may reach.

    ``user`` is the Graph user id, or a user principal name. One task works on one mailbox at a time; its calls go
    one after the other, so that at most one batch (four operations at once in Outlook) is in flight.
    """

    def __init__(
        self,
        session: ApiSession,
        *,
        window_operations: int = 10_000,
        window: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._new_pacer: Callable[[], WindowPacer] = lambda: WindowPacer(
            window_operations, window, clock=clock, sleep=sleep
        )
        self._lock = threading.Lock()
        self._pacers: dict[str, WindowPacer] = {}
        self._senders: dict[str, BatchSender] = {}
        self._homes: dict[str, _Homes] = {}

    def fetch_user_id(self, mailbox: str) -> str:
        """Return the Graph user id of a user principal name.

        Raises:
            NotFoundError: The tenant has no such user. Having a user does not mean having a mailbox: that shows at
                the first call on its folders, with code ``MailboxNotEnabledForRESTAPI`` for example.
        """
        return self.fetch_user(mailbox).id

    def fetch_user(self, user: str) -> User:
        """Return a user by id or by user principal name.

        Raises:
            NotFoundError: As of ``fetch_user_id``.
        """
        query = {"$select": "id,userPrincipalName"}
        answer = self._session.request("GET", f"/users/{_segment(user)}", params=query, headers=_PREFER)
        name = answer.body.get("userPrincipalName")
        return User(_text_of(answer.body, "id", "user"), name if isinstance(name, str) else "")

    def fetch_folder(self, user: str, folder_id: str) -> Folder:
        """Return a contact folder with its marker; also one that lies in Deleted Items may answer."""
        answer = self._get(
            user, _folder_path(user, folder_id), {"$expand": _expand(MARKER_ID, OTHER_MARKER_ID)}
        )
        return _to_folder(answer.body)

    def iter_folders(self, user: str) -> Iterator[Folder]:
        """Yield the folders below the default Contacts folder, which itself is not among them.

        Graph leaves the default folder out (https://learn.microsoft.com/graph/known-issues).
        """
        pages = self._pages(
            user,
            f"{_user_path(user)}/contactFolders",
            {"$expand": _expand(MARKER_ID, OTHER_MARKER_ID)},
            _FOLDER_PAGE,
        )
        for page in pages:
            yield from (_to_folder(record) for record in page["value"])

    def iter_nested_folders(self, user: str, folders: Sequence[Folder]) -> Iterator[Folder]:
        """Yield the folders within these ones, level by level; a batch of requests for each level."""
        query, level = to_query({"$expand": _expand(MARKER_ID, OTHER_MARKER_ID)}), list(folders)
        for _ in range(_DEEPEST_FOLDER):
            if not level:
                return
            paths = [f"{_folder_path(user, folder.id)}/childFolders?{query}" for folder in level]
            answers = self._send(user, [Part("GET", path, _PREFER) for path in paths])
            level = [_to_folder(record) for answer in answers for record in self._records(user, answer)]
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
        if isinstance(refusal, NotFoundError) and not _is_gone(refusal):
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
                if not _is_gone(error):
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
            if isinstance(error, NotFoundError) and not _is_gone(error):
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
        properties = [_property(MARKER_ID, marker)]
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
        self._session.request(
            "PATCH",
            _folder_path(user, folder_id),
            json={"displayName": name},
            headers=_PREFER,
            repeat=True,
            gate=self._pacer(user),
        )

    def write_marker(self, user: str, folder_id: str, value: str, *, other: bool = False) -> Folder:
        """Write our marker into one of its two slots, and return the folder as it was before, in one request.

        Raises:
            ServiceError: Unknown outcome: the new marker stands, or may stand, and what was before it is lost.
                The caller must not take the old one for what it expected.
        """
        path, slot = _folder_path(user, folder_id), OTHER_MARKER_ID if other else MARKER_ID
        parts = [
            Part("GET", f"{path}?{to_query({'$expand': _expand(MARKER_ID, OTHER_MARKER_ID)})}", _PREFER),
            Part("PATCH", path, _PREFER, {"singleValueExtendedProperties": [_property(slot, value)]}, True),
        ]
        before: Folder | None = None
        attempt = 0
        while True:
            attempt += 1
            # Sending a lost batch again would read our own marker back as the one before.
            read, write = self._send(user, parts, repeat_lost=False)
            if before is None:
                before = self._folder_before(user, folder_id, value, read)
            if isinstance(write, Answer):
                return before
            if not is_unknown(write) or attempt == _MARKER_ATTEMPTS:
                raise write

    def fetch_delta(self, user: str, folder_id: str, delta_link: str | None) -> DeltaPage:
        """Return one complete round of what changed in a folder since a link was given; all of it without a link.

        An item may come several times in a round, in no order (https://learn.microsoft.com/graph/delta-query-overview):
        its properties are put together, the last one of each wins, and a removal ends what came before it. "Removed"
        also means moved away; immutable ids tell by a look-up. Our own writes come back.

        Raises:
            CursorExpiredError: The link, or one in mid-round, is of no use any more. Nothing of the round counts.
            MalformedAnswerError: The round broke off without a new link.
        """
        found: dict[str, OutlookContact | None] = {}
        link = ""
        for page in self._delta_pages(user, folder_id, delta_link):
            for record in page["value"]:
                self._learn(user, folder_id, record)
                _take_delta_item(found, record)
            link = page.get("@odata.deltaLink") or link
        if not link:
            raise _malformed("delta round", user)
        return DeltaPage(
            contacts=[self._at_home(user, contact) for contact in found.values() if contact],
            removed=[contact_id for contact_id, contact in found.items() if contact is None],
            delta_link=self._session.own_link(link),
        )

    def is_own_link(self, link: str) -> bool:
        """Return whether a delta link leads to the API that is asked now; a stored one may be of another root."""
        return self._session.is_own_link(link)

    def iter_contacts(self, user: str, folder_id: str) -> Iterator[OutlookContact]:
        """Yield every contact of a folder with its BC key and private flag.

        Pages are counted by position, so an item that appears or goes while they are read shifts the rest: a
        shifted item that comes twice is dropped here, but one may also be passed over. A list alone therefore
        proves no absence: read a delta round beside it.
        """
        query = {"$select": _SELECT, "$expand": _expand(BC_KEY_ID, SENSITIVITY_ID)}
        seen: set[str] = set()
        for page in self._pages(user, f"{_folder_path(user, folder_id)}/contacts", query, _LIST_PAGE):
            for record in page["value"]:
                self._learn(user, folder_id, record)
                contact = to_contact(record, key_read=True)
                if contact.id not in seen:
                    seen.add(contact.id)
                    yield self._at_home(user, contact)

    def fetch_contacts(
        self, user: str, ids: Sequence[str], folder_id: str = ""
    ) -> dict[str, OutlookContact | None]:
        """Return contacts by id, wherever in the mailbox they lie, with key and private flag; None where there is none.

        Args:
            user: Whose mailbox it is.
            ids: Their ids.
            folder_id: The folder that the caller compares theirs with; it need not have been read before.

        Raises:
            NotFoundError: The mailbox, not the contact, is not there; that never counts as "contact gone".
            ApiError: A part of the answer is missing or failed; nothing can be said about the others then.
        """
        query = to_query({"$select": _SELECT, "$expand": _expand(BC_KEY_ID, SENSITIVITY_ID)})
        wanted = list(dict.fromkeys(ids))
        answers = self._send(
            user, [Part("GET", f"{_contact_path(user, one)}?{query}", _PREFER) for one in wanted]
        )
        found = {one: _contact_or_none(answer) for one, answer in zip(wanted, answers, strict=True)}
        if folder_id:
            self._homes_of(user).folders.setdefault(folder_id, set())
        return {one: contact and self._at_home(user, contact) for one, contact in found.items()}

    def find_by_keys(self, user: str, folder_id: str, keys: Sequence[str]) -> dict[str, list[OutlookContact]]:
        """Return, for each BC key, the contacts of a folder that carry it.

        Graph compares values of extended properties without case
        (https://learn.microsoft.com/graph/api/resources/extended-properties-overview); keys are compared exactly here.
        Its filter is described as one over the mailbox, and what it answers need not carry the property
        (https://learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get): what lacks it is read again by
        id, and what lies elsewhere, in Deleted Items for example, does not count.
        """
        wanted = list(dict.fromkeys(keys))
        base = f"{_folder_path(user, folder_id)}/contacts"
        answers = self._send(user, [Part("GET", f"{base}?{_key_query(key)}", _PREFER) for key in wanted])
        records = [list(self._records(user, answer)) for answer in answers]
        bare = [
            to_contact(each).id for each in chain.from_iterable(records) if not _tells_key_and_folder(each)
        ]
        again = self.fetch_contacts(user, bare) if bare else {}
        self._homes_of(user).folders.setdefault(folder_id, set())
        found: dict[str, list[OutlookContact]] = {}
        for key, matches in zip(wanted, records, strict=True):
            read = [again.get(one.id, one) for one in _contacts(matches)]
            here = [self._at_home(user, one) for one in read if one and one.bc_key == key]
            found[key] = [one for one in here if one.parent_folder_id == folder_id]
        return found

    def apply_writes(self, user: str, writes: Sequence[BatchWrite]) -> list[WriteResult]:
        """Send up to 20 writes as one batch and return what each came to, in the order given.

        Creates, and deletes without a version, are sent again only when they were throttled; other writes also when
        the outcome is unknown. A ``ServiceError`` other than ``ThrottledError`` means unknown. After a repeat a
        ``VersionMismatchError`` may stem from our own write: read, then decide. For a delete the item is then found
        in another folder, since Outlook moves it to Deleted Items, where its id goes on and its version does not.

        Raises:
            AuthError, AccessDeniedError: The whole mailbox is closed to the app and nothing was written.
        """
        if len(writes) > BATCH_SIZE:
            raise ValueError(f"a batch takes at most {BATCH_SIZE} writes")
        answers = self._send(user, [_to_part(user, write) for write in writes])
        for write, answer in zip(writes, answers, strict=True):
            if write.method == "POST" and isinstance(answer, Answer):
                self._learn(user, write.folder_id, answer.body)
        results = [self._result(user, *each) for each in zip(writes, answers, strict=True)]
        closed = [
            result.error for result in results if isinstance(result.error, AuthError | AccessDeniedError)
        ]
        if closed and len(closed) == len(results):
            raise closed[0]
        return results

    def write_again(self, user: str, item: OutlookContact, *, mark: str = "") -> WriteResult:
        """Write an item's own BC key, or a mark of ours in its place, on condition of its version; nothing else."""
        if mark:
            body = {"singleValueExtendedProperties": [_property(MARKER_ID, mark)]}
            return self.apply_writes(
                user, [BatchWrite("PATCH", contact_id=item.id, etag=item.etag, body=body)]
            )[0]
        write = BatchWrite("PATCH", contact_id=item.id, etag=item.etag, body={}, bc_key=item.bc_key or "")
        return self.apply_writes(user, [write])[0]

    def _get(self, user: str, path: str, params: Mapping[str, str]) -> Answer:
        return self._session.request("GET", path, params=params, headers=_PREFER, gate=self._pacer(user))

    def _pages(
        self, user: str, path: str, params: Mapping[str, str] | None, size: int
    ) -> Iterator[dict[str, Any]]:
        headers = {"Prefer": f"{_IMMUTABLE}, odata.maxpagesize={size}"}
        return self._session.iter_pages(path, params, headers, gate=self._pacer(user))

    def _delta_pages(self, user: str, folder_id: str, delta_link: str | None) -> Iterator[dict[str, Any]]:
        if delta_link:
            return self._pages(user, delta_link, None, _DELTA_PAGE)
        path = f"{_folder_path(user, folder_id)}/contacts/delta"
        return self._pages(user, path, {"$select": _SELECT}, _DELTA_PAGE)

    def _send(self, user: str, parts: Sequence[Part], *, repeat_lost: bool = True) -> list[Answer | ApiError]:
        pacer = self._pacer(user)
        with self._lock:
            sender = self._senders.get(user.lower())
            if sender is None:
                sender = BatchSender(self._session, "/$batch", most=BATCH_SIZE, headers=_PREFER, gate=pacer)
                self._senders[user.lower()] = sender
        return sender.send(parts, repeat_lost=repeat_lost)

    def _pacer(self, user: str) -> WindowPacer:
        with self._lock:
            if user.lower() not in self._pacers:
                self._pacers[user.lower()] = self._new_pacer()
            return self._pacers[user.lower()]

    def _result(self, user: str, write: BatchWrite, answer: Answer | ApiError) -> WriteResult:
        result = _to_result(write, answer)
        contact = result.contact
        if not isinstance(contact, OutlookContact):
            return result
        return replace(result, contact=self._at_home(user, contact))

    def _homes_of(self, user: str) -> _Homes:
        with self._lock:
            return self._homes.setdefault(user.lower(), _Homes())

    def _learn(self, user: str, folder_id: str, record: object) -> None:
        """Note how what certainly lies in a folder spells that folder's id."""
        homes = self._homes_of(user)
        spellings = homes.folders.setdefault(folder_id, set())
        if isinstance(record, dict) and "@removed" not in record and record.get("parentFolderId"):
            spellings.add(str(record["parentFolderId"]))

    def _at_home(self, user: str, contact: OutlookContact) -> OutlookContact:
        """Return a contact whose folder is spelled as the folder's own id, where it lies in one that was read.

        Immutable ids are not meant for folders (https://learn.microsoft.com/graph/outlook-immutable-id), so the id of
        one folder may come in two forms. Nothing says how to compare them, but an item of the folder shows the other.
        """
        parent, homes = contact.parent_folder_id, self._homes_of(user)
        if not parent or parent in homes.folders:
            return contact
        for folder_id, spellings in homes.folders.items():
            if not spellings and folder_id not in homes.asked:
                homes.asked.add(folder_id)
                self._learn(user, folder_id, self._any_item(user, folder_id))
            # Where items spell it as the folder itself does, another id is another folder's.
            if parent in spellings and folder_id not in spellings:
                return replace(contact, parent_folder_id=folder_id)
        return contact

    def _any_item(self, user: str, folder_id: str) -> object:
        query = {"$top": "1", "$select": "parentFolderId"}
        try:
            body = self._get(user, f"{_folder_path(user, folder_id)}/contacts", query).body
        except NotFoundError:
            return None
        return next(iter(body.get("value") or []), None)

    def _records(self, user: str, answer: Answer | ApiError) -> Iterator[Any]:
        body = _body_or_raise(answer)
        if not isinstance(body.get("value"), list):
            raise _malformed("list", user)
        yield from body["value"]
        if link := body.get("@odata.nextLink"):
            for page in self._pages(user, self._session.own_link(link), None, _LIST_PAGE):
                yield from page["value"]

    def _parent_of_anything(self, user: str) -> str:
        for folder in self.iter_folders(user):
            return folder.parent_id
        query = {"$top": "1", "$select": "parentFolderId"}
        body = self._get(user, f"{_user_path(user)}/contacts", query).body
        return next((str(record.get("parentFolderId") or "") for record in body.get("value") or []), "")

    def _post_folder(self, user: str, body: dict[str, Any], marker: str) -> Folder:
        path = f"{_user_path(user)}/contactFolders"
        try:
            answer = self._session.request("POST", path, json=body, headers=_PREFER, gate=self._pacer(user))
            # The answer to a write never shows extended properties, so the marker is filled in from what was sent.
            return replace(_to_folder(answer.body), marker=marker)
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
            return _to_folder(read.body)
        if not is_unknown(read):
            raise read
        before = self.fetch_folder(user, folder_id)
        if value in (before.marker, before.other_marker):
            # The lost batch was carried out, and what it had read is lost with it.
            raise read
        return before


def to_contact(record: object, *, key_read: bool = False) -> OutlookContact:
    """Return a contact made of Graph's record, perhaps of a part of it; what was not sent stays out of ``record``.

    Args:
        record: As Graph sent it.
        key_read: Whether BC key and private flag were asked for, so that their absence means "has none".

    Raises:
        MalformedAnswerError: It has no id, or a time that is none.
    """
    if not isinstance(record, dict) or not isinstance(record.get("id"), str) or not record["id"]:
        raise _malformed("contact", "")
    try:
        modified, created = (
            to_stamp(record.get("lastModifiedDateTime")),
            to_stamp(record.get("createdDateTime")),
        )
    except ValueError:
        raise _malformed("contact", "") from None
    return OutlookContact(
        id=record["id"],
        etag=str(record.get("@odata.etag") or ""),
        last_modified=modified,
        created=created,
        parent_folder_id=str(record.get("parentFolderId") or ""),
        bc_key=_property_of(record, BC_KEY_ID) if key_read else None,
        record={name: record[name] for name in OUTLOOK_PROPERTIES if name in record},
        # A value that is none of the four counts as private: nobody can say that it is not.
        private=_property_of(record, SENSITIVITY_ID).strip() not in _NOT_PRIVATE if key_read else None,
    )


def _take_delta_item(found: dict[str, OutlookContact | None], record: object) -> None:
    contact = to_contact(record)
    assert isinstance(record, dict)
    known = found.pop(contact.id, None)
    if "@removed" in record:
        found[contact.id] = None
    elif known is None:
        found[contact.id] = contact
    else:
        found[contact.id] = replace(
            contact,
            etag=contact.etag or known.etag,
            last_modified=contact.last_modified or known.last_modified,
            created=contact.created or known.created,
            parent_folder_id=contact.parent_folder_id or known.parent_folder_id,
            record={**known.record, **contact.record},
        )


def _to_folder(record: object) -> Folder:
    if not isinstance(record, dict) or not isinstance(record.get("id"), str) or not record["id"]:
        raise _malformed("folder", "")
    return Folder(
        id=record["id"],
        name=str(record.get("displayName") or ""),
        parent_id=str(record.get("parentFolderId") or ""),
        marker=_property_of(record, MARKER_ID),
        other_marker=_property_of(record, OTHER_MARKER_ID),
    )


def _to_part(user: str, write: BatchWrite) -> Part:
    headers = {**_PREFER, **({"If-Match": write.etag} if write.etag else {})}
    body = write.body
    if write.bc_key or write.clears_key:
        body = {**(body or {}), "singleValueExtendedProperties": [_property(BC_KEY_ID, write.bc_key)]}
    if write.method == "POST":
        return Part("POST", f"{_folder_path(user, write.folder_id)}/contacts", headers, body)
    return Part(write.method, _contact_path(user, write.contact_id), headers, body)


def _to_result(write: BatchWrite, answer: Answer | ApiError) -> WriteResult:
    if isinstance(answer, ApiError):
        return WriteResult(error=answer, request_id=answer.request_id)
    if write.method == "DELETE":
        return WriteResult(request_id=answer.request_id)
    try:
        contact = to_contact(answer.body)
    except MalformedAnswerError as error:
        return WriteResult(error=error, request_id=answer.request_id)
    # The answer to a write never shows extended properties: the key is the one that was sent, or not known.
    contact = replace(
        contact,
        bc_key=write.bc_key or None,
        parent_folder_id=contact.parent_folder_id or write.folder_id,
    )
    return WriteResult(contact=contact, request_id=answer.request_id)


def _contacts(records: Iterable[object]) -> Iterator[OutlookContact]:
    return (to_contact(record, key_read=True) for record in records)


def _tells_key_and_folder(record: Mapping[str, Any]) -> bool:
    return bool(record.get("singleValueExtendedProperties") and record.get("parentFolderId"))


def _contact_or_none(answer: Answer | ApiError) -> OutlookContact | None:
    if isinstance(answer, NotFoundError) and _is_gone(answer):
        return None
    return to_contact(_body_or_raise(answer), key_read=True)


def _body_or_raise(answer: Answer | ApiError) -> dict[str, Any]:
    if isinstance(answer, ApiError):
        raise answer
    return answer.body


def _is_gone(error: NotFoundError) -> bool:
    return error.code.lower() in _GONE


def _property(property_id: str, value: str) -> dict[str, str]:
    return {"id": property_id, "value": value}


def _property_of(record: Mapping[str, Any], property_id: str) -> str:
    # Services spell the GUID within the id in either case.
    for one in record.get("singleValueExtendedProperties") or []:
        if isinstance(one, dict) and str(one.get("id")).lower() == property_id.lower():
            return str(one.get("value") or "")
    return ""


def _expand(*property_ids: str) -> str:
    wanted = " or ".join(f"id eq {to_literal(each)}" for each in property_ids)
    return f"singleValueExtendedProperties($filter={wanted})"


def _key_query(key: str) -> str:
    match = f"ep/id eq {to_literal(BC_KEY_ID)} and ep/value eq {to_literal(key)}"
    return to_query(
        {
            "$filter": f"singleValueExtendedProperties/Any(ep: {match})",
            "$select": _SELECT,
            "$expand": _expand(BC_KEY_ID, SENSITIVITY_ID),
        }
    )


def _segment(text: str) -> str:
    return quote(text, safe="@")


def _user_path(user: str) -> str:
    return f"/users/{_segment(user)}"


def _folder_path(user: str, folder_id: str) -> str:
    return f"{_user_path(user)}/contactFolders/{_segment(folder_id)}"


def _contact_path(user: str, contact_id: str) -> str:
    return f"{_user_path(user)}/contacts/{_segment(contact_id)}"


def _text_of(body: Mapping[str, Any], name: str, what: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _malformed(what, "")
    return value


def _malformed(what: str, user: str) -> MalformedAnswerError:
    return MalformedAnswerError(f"Graph sent a malformed {what}.", path=_user_path(user) if user else "")
