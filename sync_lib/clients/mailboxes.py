"""Requests to mailboxes through Microsoft Graph v1.0, those to one mailbox one at a time.

Every request, every page and every part of a batch asks for immutable ids: the default ids change when an item
moves (https://learn.microsoft.com/graph/outlook-immutable-id). Calls to one mailbox go one at a time and within
its documented limit (https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sync_lib.clients.answers import Answer
from sync_lib.clients.batch import BatchSender, Part
from sync_lib.clients.pacing import WindowPacer
from sync_lib.clients.session import ApiSession
from sync_lib.errors import ApiError, MalformedAnswerError

BATCH_SIZE = 20
LIST_PAGE = 999
_IMMUTABLE = 'IdType="ImmutableId"'
PREFER = {"Prefer": _IMMUTABLE}


class Mailboxes:
    """One session to Graph, with the limit and the batches of each mailbox."""

    def __init__(self, session: ApiSession, new_pacer: Callable[[], WindowPacer]) -> None:
        self._session = session
        self._new_pacer = new_pacer
        self._lock = threading.Lock()
        self._pacers: dict[str, WindowPacer] = {}
        self._senders: dict[str, BatchSender] = {}

    def get(self, user: str, path: str, params: Mapping[str, str]) -> Answer:
        """Return the answer to one read."""
        return self._session.request("GET", path, params=params, headers=PREFER, gate=self._pacer(user))

    def write(
        self, user: str, method: str, path: str, body: Mapping[str, Any] | None, *, repeat: bool = False
    ) -> Answer:
        """Return the answer to one write; ``repeat`` where sending it twice does no harm."""
        return self._session.request(
            method, path, json=body, headers=PREFER, repeat=repeat, gate=self._pacer(user)
        )

    def iter_pages(
        self, user: str, path: str, params: Mapping[str, str] | None, size: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a list, asked to hold so many items."""
        headers = {"Prefer": f"{_IMMUTABLE}, odata.maxpagesize={size}"}
        return self._session.iter_pages(path, params, headers, gate=self._pacer(user))

    def send(self, user: str, parts: Sequence[Part], *, repeat_lost: bool = True) -> list[Answer | ApiError]:
        """Return what each part came to, as ``BatchSender.send``."""
        pacer = self._pacer(user)
        with self._lock:
            sender = self._senders.get(user.lower())
            if sender is None:
                sender = BatchSender(self._session, "/$batch", most=BATCH_SIZE, headers=PREFER, gate=pacer)
                self._senders[user.lower()] = sender
        return sender.send(parts, repeat_lost=repeat_lost)

    def iter_records(self, user: str, answer: Answer | ApiError) -> Iterator[Any]:
        """Yield the items of a list that a batch asked for, with those of the pages that follow."""
        body = body_or_raise(answer)
        if not isinstance(body.get("value"), list):
            raise malformed("list", user)
        yield from body["value"]
        if link := body.get("@odata.nextLink"):
            for page in self.iter_pages(user, self._session.own_link(link), None, LIST_PAGE):
                yield from page["value"]

    def forecast(self, user: str, operations: int, seconds: float) -> float:
        """Return how long so many operations will take, each so many seconds by itself (``WindowPacer.forecast``)."""
        return self._pacer(user).forecast(operations, seconds, BATCH_SIZE)

    def _pacer(self, user: str) -> WindowPacer:
        with self._lock:
            if user.lower() not in self._pacers:
                self._pacers[user.lower()] = self._new_pacer()
            return self._pacers[user.lower()]


def body_or_raise(answer: Answer | ApiError) -> dict[str, Any]:
    """Return the body of a batch's part, or raise its error."""
    if isinstance(answer, ApiError):
        raise answer
    return answer.body


def to_segment(text: str) -> str:
    """Return a text as a part of a path."""
    return quote(text, safe="@")


def user_path(user: str) -> str:
    """Return the path of a user."""
    return f"/users/{to_segment(user)}"


def folder_path(user: str, folder_id: str) -> str:
    """Return the path of a contact folder."""
    return f"{user_path(user)}/contactFolders/{to_segment(folder_id)}"


def contact_path(user: str, contact_id: str) -> str:
    """Return the path of a contact, wherever in the mailbox it lies."""
    return f"{user_path(user)}/contacts/{to_segment(contact_id)}"


def malformed(what: str, user: str = "") -> MalformedAnswerError:
    """Return the error for an answer of Graph that cannot be used."""
    return MalformedAnswerError(f"Graph sent a malformed {what}.", path=user_path(user) if user else "")
