"""Contacts and contact folders of Outlook mailboxes, through Microsoft Graph v1.0."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from sync_lib.clients.answers import Answer
from sync_lib.clients.batch import Part
from sync_lib.clients.mailboxes import (
    BATCH_SIZE,
    LIST_PAGE,
    PREFER,
    Mailboxes,
    body_or_raise,
    contact_path,
    folder_path,
    malformed,
    user_path,
)
from sync_lib.clients.odata import to_literal, to_query
from sync_lib.clients.outlook_folder_ids import FolderIds
from sync_lib.clients.outlook_folders import OutlookFolders
from sync_lib.clients.outlook_records import (
    BC_KEY_ID,
    MARKER_ID,
    SELECT,
    SENSITIVITY_ID,
    is_gone,
    to_contact,
    to_expand,
    to_property,
)
from sync_lib.clients.pacing import WindowPacer
from sync_lib.clients.session import ApiSession
from sync_lib.errors import AccessDeniedError, ApiError, AuthError, MalformedAnswerError, NotFoundError
from sync_lib.model import OutlookContact
from sync_lib.ports import BatchWrite, DeltaPage, Folder, User, WriteResult

#: Contacts delta pages hold at most 200 items, whatever is asked.
_DELTA_PAGE = 200


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
        self._mailboxes = Mailboxes(
            session, lambda: WindowPacer(window_operations, window, clock=clock, sleep=sleep)
        )
        self._folders = OutlookFolders(self._mailboxes)
        self._folder_ids = FolderIds(self._mailboxes)

    def forecast(self, user: str, operations: int, seconds: float) -> float:
        """Return how many seconds so many writes to a mailbox will take, its documented limit among them.

        Args:
            user: As the writes name it.
            operations: How many.
            seconds: How long each takes where nothing has to wait.
        """
        return self._mailboxes.forecast(user, operations, seconds)

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
        query = {"$select": "id,userPrincipalName,mail"}
        answer = self._session.request("GET", user_path(user), params=query, headers=PREFER)
        name, mail = (answer.body.get(each) for each in ("userPrincipalName", "mail"))
        return User(
            _text_of(answer.body, "id", "user"),
            name if isinstance(name, str) else "",
            mail if isinstance(mail, str) else "",
        )

    def fetch_folder(self, user: str, folder_id: str) -> Folder:
        """Return a contact folder with its marker; also one that lies in Deleted Items may answer."""
        return self._folders.fetch_folder(user, folder_id)

    def iter_folders(self, user: str) -> Iterator[Folder]:
        """Yield the folders below the default Contacts folder, which itself is not among them."""
        return self._folders.iter_folders(user)

    def iter_nested_folders(self, user: str, folders: Sequence[Folder]) -> Iterator[Folder]:
        """Yield the folders within these ones, level by level; a batch of requests for each level."""
        return self._folders.iter_nested_folders(user, folders)

    def fetch_default_folder(self, user: str) -> Folder:
        """Return the default Contacts folder."""
        return self._folders.fetch_default_folder(user)

    def is_deleted_folder(self, user: str, folder: Folder) -> bool:
        """Return whether a folder that still answers lies in Deleted Items, directly or within another folder."""
        return self._folders.is_deleted_folder(user, folder)

    def is_live_parent(self, user: str, parent_id: str) -> bool:
        """Return whether a folder that an item names as its own is the default one, or below it, and not deleted."""
        return self._folders.is_live_parent(user, parent_id)

    def create_folder(self, user: str, name: str, marker: str) -> Folder:
        """Return a folder of that name: made now with our marker, or the one that has the name."""
        return self._folders.create_folder(user, name, marker)

    def rename_folder(self, user: str, folder_id: str, name: str) -> None:
        """Give a folder another name; its id stays."""
        self._folders.rename_folder(user, folder_id, name)

    def delete_folder(self, user: str, folder_id: str) -> None:
        """Delete a contact folder with all that is in it; one that is gone already is no error."""
        self._folders.delete_folder(user, folder_id)

    def write_marker(self, user: str, folder_id: str, value: str, *, other: bool = False) -> Folder:
        """Write our marker into one of its two slots, and return the folder as it was before, in one request."""
        return self._folders.write_marker(user, folder_id, value, other=other)

    def fetch_delta(self, user: str, folder_id: str, delta_link: str | None) -> DeltaPage:
        """Return one complete round of what changed in a folder since a link was given; all of it without a link.

        An item may come several times in a round, in no order (https://learn.microsoft.com/graph/delta-query-overview):
        its properties are put together, the last one of each wins, and a removal ends what came before it. "Removed"
        also means moved away; immutable ids show it by a look-up. Our own writes come back.

        Raises:
            CursorExpiredError: The link, or one in mid-round, is of no use any more. Nothing of the round counts.
            MalformedAnswerError: The round broke off without a new link.
        """
        found: dict[str, OutlookContact | None] = {}
        link = ""
        for page in self._delta_pages(user, folder_id, delta_link):
            for record in page["value"]:
                self._folder_ids.learn(user, folder_id, record)
                _take_delta_item(found, record)
            link = page.get("@odata.deltaLink") or link
        if not link:
            raise malformed("delta round", user)
        return DeltaPage(
            contacts=[self._folder_ids.respell(user, contact) for contact in found.values() if contact],
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
        query = {"$select": SELECT, "$expand": to_expand(BC_KEY_ID, SENSITIVITY_ID)}
        seen: set[str] = set()
        for page in self._mailboxes.iter_pages(
            user, f"{folder_path(user, folder_id)}/contacts", query, LIST_PAGE
        ):
            for record in page["value"]:
                self._folder_ids.learn(user, folder_id, record)
                contact = to_contact(record, key_read=True)
                if contact.id not in seen:
                    seen.add(contact.id)
                    yield self._folder_ids.respell(user, contact)

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
        query = to_query({"$select": SELECT, "$expand": to_expand(BC_KEY_ID, SENSITIVITY_ID)})
        wanted = list(dict.fromkeys(ids))
        answers = self._mailboxes.send(
            user, [Part("GET", f"{contact_path(user, one)}?{query}", PREFER) for one in wanted]
        )
        found = {one: _contact_or_none(answer) for one, answer in zip(wanted, answers, strict=True)}
        if folder_id:
            self._folder_ids.know(user, folder_id)
        return {one: contact and self._folder_ids.respell(user, contact) for one, contact in found.items()}

    def find_by_keys(self, user: str, folder_id: str, keys: Sequence[str]) -> dict[str, list[OutlookContact]]:
        """Return, for each BC key, the contacts of a folder that carry it.

        Graph compares values of extended properties without case
        (https://learn.microsoft.com/graph/api/resources/extended-properties-overview); keys are compared exactly here.
        Its filter is described as one over the mailbox, and what it answers need not carry the property
        (https://learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get): what lacks it is read again by
        id, and what lies elsewhere, in Deleted Items for example, does not count.
        """
        wanted = list(dict.fromkeys(keys))
        base = f"{folder_path(user, folder_id)}/contacts"
        answers = self._mailboxes.send(
            user, [Part("GET", f"{base}?{_key_query(key)}", PREFER) for key in wanted]
        )
        records = [list(self._mailboxes.iter_records(user, answer)) for answer in answers]
        bare = [to_contact(each).id for each in chain.from_iterable(records) if not _has_key_and_folder(each)]
        again = self.fetch_contacts(user, bare) if bare else {}
        self._folder_ids.know(user, folder_id)
        found: dict[str, list[OutlookContact]] = {}
        for key, matches in zip(wanted, records, strict=True):
            read = [again.get(one.id, one) for one in _contacts(matches)]
            here = [self._folder_ids.respell(user, one) for one in read if one and one.bc_key == key]
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
        answers = self._mailboxes.send(user, [_to_part(user, write) for write in writes])
        for write, answer in zip(writes, answers, strict=True):
            if write.method == "POST" and isinstance(answer, Answer):
                self._folder_ids.learn(user, write.folder_id, answer.body)
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
            body = {"singleValueExtendedProperties": [to_property(MARKER_ID, mark)]}
            return self.apply_writes(
                user, [BatchWrite("PATCH", contact_id=item.id, etag=item.etag, body=body)]
            )[0]
        write = BatchWrite("PATCH", contact_id=item.id, etag=item.etag, body={}, bc_key=item.bc_key or "")
        return self.apply_writes(user, [write])[0]

    def _delta_pages(self, user: str, folder_id: str, delta_link: str | None) -> Iterator[dict[str, Any]]:
        if delta_link:
            return self._mailboxes.iter_pages(user, delta_link, None, _DELTA_PAGE)
        path = f"{folder_path(user, folder_id)}/contacts/delta"
        return self._mailboxes.iter_pages(user, path, {"$select": SELECT}, _DELTA_PAGE)

    def _result(self, user: str, write: BatchWrite, answer: Answer | ApiError) -> WriteResult:
        result = _to_result(write, answer)
        contact = result.contact
        if not isinstance(contact, OutlookContact):
            return result
        return replace(result, contact=self._folder_ids.respell(user, contact))


def _to_part(user: str, write: BatchWrite) -> Part:
    headers = {**PREFER, **({"If-Match": write.etag} if write.etag else {})}
    body = write.body
    if write.bc_key or write.clears_key:
        body = {**(body or {}), "singleValueExtendedProperties": [to_property(BC_KEY_ID, write.bc_key)]}
    if write.method == "POST":
        return Part("POST", f"{folder_path(user, write.folder_id)}/contacts", headers, body)
    return Part(write.method, contact_path(user, write.contact_id), headers, body)


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


def _contact_or_none(answer: Answer | ApiError) -> OutlookContact | None:
    if isinstance(answer, NotFoundError) and is_gone(answer):
        return None
    return to_contact(body_or_raise(answer), key_read=True)


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


def _has_key_and_folder(record: Mapping[str, Any]) -> bool:
    return bool(record.get("singleValueExtendedProperties") and record.get("parentFolderId"))


def _key_query(key: str) -> str:
    match = f"ep/id eq {to_literal(BC_KEY_ID)} and ep/value eq {to_literal(key)}"
    return to_query(
        {
            "$filter": f"singleValueExtendedProperties/Any(ep: {match})",
            "$select": SELECT,
            "$expand": to_expand(BC_KEY_ID, SENSITIVITY_ID),
        }
    )


def _text_of(body: Mapping[str, Any], name: str, what: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise malformed(what)
    return value
