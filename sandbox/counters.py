"""Counts what each app did: requests, operations, writes, refusals and how much at a time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.wire import Call, Reply

WRITES = (
    "contacts_created",
    "contacts_updated",
    "contacts_deleted",
    "folders_created",
    "folders_updated",
    "folders_deleted",
)


class Tally:
    """The counts of one service, mailbox or company, for one identity."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.in_flight = 0
        self.requests_in_flight = 0

    def enter(self, *, request: bool) -> None:
        """Note that a request or an operation is being worked on."""
        if request:
            self.requests_in_flight += 1
            most = max(self.counts["most_requests_in_flight"], self.requests_in_flight)
            self.counts["most_requests_in_flight"] = most
        else:
            self.in_flight += 1
            self.counts["most_in_flight"] = max(self.counts["most_in_flight"], self.in_flight)

    def leave(self, *, request: bool) -> None:
        """Note that it ended."""
        if request:
            self.requests_in_flight -= 1
        else:
            self.in_flight -= 1

    def to_json(self) -> dict[str, Any]:
        """Return all counts; those that are zero are there too."""
        names = (
            "requests",
            "operations",
            "refusals",
            "writes",
            *WRITES,
            "most_in_flight",
            "most_requests_in_flight",
        )
        return {**{name: self.counts[name] for name in names}, "by_status": dict(self.statuses)}


class Counters:
    """All counts since the last reset, and a log of the latest requests."""

    def __init__(self) -> None:
        self.log: deque[dict[str, Any]] = deque(maxlen=20000)
        self.logged = 0
        self.reset()

    def reset(self) -> None:
        """Start again from zero; what is in flight stays in flight."""
        old: dict[tuple[str, ...], Tally] = getattr(self, "_tallies", {})
        self._tallies: dict[tuple[str, ...], Tally] = {}
        self._paths: dict[tuple[str, str], Counter[str]] = {}
        self._entra: Counter[str] = Counter()
        for key, tally in old.items():
            if tally.in_flight or tally.requests_in_flight:
                new = self.tally(*key)
                new.in_flight, new.requests_in_flight = tally.in_flight, tally.requests_in_flight
        self.log.clear()

    def tally(self, *key: str) -> Tally:
        """Return the counts of (identity, service) or (identity, service, mailbox or company)."""
        if key not in self._tallies:
            self._tallies[key] = Tally()
        return self._tallies[key]

    @contextmanager
    def in_flight(self, call: Call, *, request: bool) -> Iterator[None]:
        """Count a request or an operation among those that are being worked on, until the block ends."""
        keys = self._keys_of(call)
        for key in keys:
            self.tally(*key).enter(request=request)
        try:
            yield
        finally:
            for key in keys:
                self.tally(*key).leave(request=request)

    def _keys_of(self, call: Call) -> list[tuple[str, ...]]:
        """Return the keys under which a call is counted."""
        keys: list[tuple[str, ...]] = [(call.identity, call.service)]
        place = call.mailbox or call.company
        if place:
            keys.append((call.identity, call.service, place))
        return keys

    def count(self, call: Call, reply: Reply, *, operation: bool, request: bool) -> None:
        """Count an answered call as HTTP request, as operation, or as both."""
        if call.service == "entra":
            self._count_entra(call, reply)
            return
        written = call.notes.get("written") if operation else None
        # Also of a batch that was refused as a whole: it is no operation, and an answer 429 all the same.
        refused = reply.status == 429
        for key in self._keys_of(call):
            tally = self.tally(*key)
            tally.counts["requests"] += request
            tally.counts["operations"] += operation
            tally.counts["refusals"] += refused
            if operation:
                tally.statuses[str(reply.status)] += 1
            if written:
                tally.counts["writes"] += 1
                tally.counts[written] += 1
        if operation:
            paths = self._paths.setdefault((call.identity, call.service), Counter())
            paths[f"{call.method} {call.notes.get('pattern', 'unknown')}"] += 1
        self._log(call, reply, request=request)

    def _count_entra(self, call: Call, reply: Reply) -> None:
        self._entra["requests"] += 1
        self._entra[call.notes.get("pattern", "unknown")] += 1
        if reply.status >= 400:
            self._entra["refused"] += 1
        elif "token" in call.notes:
            self._entra[f"tokens_{call.notes['token']}"] += 1
        self._log(call, reply, request=True)

    def _log(self, call: Call, reply: Reply, *, request: bool) -> None:
        self.logged += 1
        self.log.append(
            {
                "n": self.logged,
                "identity": call.identity,
                "service": call.service,
                "method": call.method,
                "target": call.target,
                "status": reply.status,
                "part": not request,
                "mailbox": call.mailbox,
                "company": call.company,
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return ``{identity: {service: {..., "mailboxes"|"companies": {...}, "paths": {...}}}}`` and ``entra``."""
        result: dict[str, Any] = {
            name: {
                "graph": {**Tally().to_json(), "mailboxes": {}, "paths": {}},
                "bc": {**Tally().to_json(), "companies": {}, "paths": {}},
            }
            for name in dict.fromkeys(["app", "user", *(key[0] for key in self._tallies)])
        }
        for (identity, service, *place), tally in self._tallies.items():
            if place:
                places = result[identity][service]["mailboxes" if service == "graph" else "companies"]
                places[place[0]] = tally.to_json()
            else:
                result[identity][service].update(tally.to_json())
        for (identity, service), paths in self._paths.items():
            result[identity][service]["paths"] = dict(paths)
        names = ("requests", "discovery", "token", "tokens_graph", "tokens_bc", "refused")
        result["entra"] = {name: self._entra[name] for name in names}
        return result
