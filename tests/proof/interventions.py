"""What happens to a worker, or beside it, between two calls of a run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from sqlalchemy import event, text

from sandbox.in_process import VirtualTime
from sync_lib import services
from tests.proof import mapped
from tests.proof.histories import EDITED
from tests.proof.scheduler import Scheduler
from tests.proof.verdict import check
from tests.transport import watch


class Killed(BaseException):
    """The worker is gone: nothing of it may catch this or go on."""


@dataclass
class Killer:
    """Ends the edges that it watches at the n-th call or commit, before or after it; they are dead from then on."""

    what: str
    at: int
    after: bool
    seen: int = 0
    dead: bool = False

    def watch(self, edges: services.Services) -> None:
        event.listen(edges.engine, "before_cursor_execute", self._executed)
        event.listen(edges.engine, "commit", self._committed)
        watch(edges, self._sender)

    def _sender(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._die_if_dead()
            if not self._is_now("call"):
                return send(*args, **kwargs)
            if self.after:
                with contextlib.suppress(requests.RequestException):
                    send(*args, **kwargs)
            self.dead = True
            raise Killed

        return watched

    def _is_now(self, what: str) -> bool:
        if what != self.what:
            return False
        self.seen += 1
        return self.seen == self.at + 1

    def _committed(self, _conn: Any) -> None:
        self._die_if_dead()
        if self._is_now("commit"):
            self.dead = True
            raise Killed

    def _executed(self, *_args: Any) -> None:
        self._die_if_dead()

    def _die_if_dead(self) -> None:
        if self.dead:
            raise Killed


@dataclass
class Interrupter:
    """Lets users act once between two calls of a run: before the n-th, before a further page, or before a write.

    ``act`` gets the request that waits meanwhile, and says whether anything was done.
    """

    where: str
    at: int
    act: Callable[[requests.PreparedRequest], bool]
    #: Nothing may happen right before a write to Outlook: its versions are not checked (the exception of rules 8.5).
    spares_writes: bool = False
    seen: int = 0
    done: bool = False

    def watch(self, edges: services.Services) -> None:
        watch(edges, self._sender)

    def _sender(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def watched(request: requests.PreparedRequest, **kwargs: Any) -> Any:
            self.seen += 1
            if not self.done and self._is_now(request):
                self.done = self.act(request)
            return send(request, **kwargs)

        return watched

    def _is_now(self, request: requests.PreparedRequest) -> bool:
        if self.spares_writes and "/graph/" in str(request.url) and writes_of(request):
            return False
        if self.where == "page":
            return "/bc/" in str(request.url) and "skiptoken" in str(request.url)
        if self.where == "write":
            return bool(writes_of(request))
        return self.seen > self.at


def writes_of(request: requests.PreparedRequest) -> list[tuple[str, list[str]]]:
    """Addresses of the contacts that a request changes or deletes, with the fields that it writes."""
    body = json.loads(request.body or b"{}")
    parts = [{"method": request.method, "url": request.url, "body": body}]
    if str(request.url).endswith("$batch"):
        parts = body.get("requests", [])
    return [
        (str(part["url"]), fields_of(part.get("body") or {}))
        for part in parts
        if part["method"] in ("PATCH", "DELETE") and "/contacts" in part["url"]
    ]


def fields_of(body: dict[str, Any]) -> list[str]:
    properties = {value: name for name, value in mapped.BC_PROPERTIES.items()}
    properties |= {"mobilePhone": "mobile", "businessPhones": "phone", "emailAddresses": "email"}
    properties |= {"addressLine1": "street", "businessAddress": "street"}
    return [properties[key] for key in body if properties.get(key) in EDITED]


class WorkersClock:
    """The clock of a worker that others work beside."""

    def __init__(self, scheduler: Scheduler, time: VirtualTime) -> None:
        self.now = time.now
        self.monotonic = time.monotonic
        self.every = time.every
        self.sleep = scheduler.sleep


def watch_order(edges: services.Services, scheduler: Scheduler) -> None:
    """Let workers take turns before each exchange and behind each transaction, and never inside one."""
    open_: set[int] = set()

    def between(send: Callable[..., Any]) -> Callable[..., Any]:
        def watched(request: requests.PreparedRequest, **options: Any) -> Any:
            check(not open_, "order", f"{request.method} is sent while a transaction is open")
            scheduler.switch()
            return send(request, **options)

        return watched

    def ended(connection: Any, _record: Any) -> None:
        open_.discard(id(connection))
        if not open_:
            scheduler.switch()

    watch(edges, between)
    event.listen(edges.engine, "checkout", lambda connection, *_others: open_.add(id(connection)))
    event.listen(edges.engine, "checkin", ended)


def expire_leases(edges: services.Services) -> None:
    """Time passes for the leases and slots of a worker that is gone."""
    with edges.engine.begin() as conn:
        conn.execute(text("UPDATE lease SET expires_at = 0"))
        conn.execute(text("UPDATE budget_slot SET expires_at = 0"))
