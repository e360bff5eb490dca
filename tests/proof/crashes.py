"""A moment to go back to, and a worker that ends at every place where that makes a difference.

A worker that is gone leaves what it had done: the writes that the services carried out, and the transactions that
were committed. So the places at which it may die fall into groups between two such *effects*; all places of a group
(before a read, after a read, before a commit of nothing, after the service acted and before the next step) leave the
same state behind. ``EffectKiller`` ends the worker once in each group, and counts the places that the groups stand
for: before each call, after each call, before each commit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Connection, event, select

from sync_lib import services
from sync_lib.errors import SyncError
from sync_lib.store import tables
from tests.proof import mapped, oracle
from tests.proof.interventions import Killed, expire_leases
from tests.proof.oracle import Scene
from tests.proof.verdict import check
from tests.sync.harness import Harness
from tests.transport import watch

_WRITES = re.compile(
    r"\s*(INSERT|UPDATE|DELETE)\s+(?:INTO\s+|FROM\s+|OR\s+\w+\s+INTO\s+)?\"?(\w+)", re.IGNORECASE
)
#: Who works, until when, and how far a run is: of a worker that is gone nothing of this is left once its time has
#: passed, and the rows of a run are read by that run alone.
_OF_THE_WORKER = frozenset(
    {"lease", "budget_slot", "budget", "budget_use", "sync_run", "run_company", "run_profile"}
)
#: What differs from one world, and from one repetition, to the next: times, versions, keys, and the sandbox's port.
_PASSING = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}"
    r"|W/(?P<quote>\\*\")[^\"\\]*(?P=quote)"
    r"|[\w-]{40,}={0,2}"
    r"|127\.0\.0\.1:\d+"
    r"|sandbox-secret-\w+"
)


@dataclass
class Start:
    """A moment to go back to: the sandbox's world and a copy of the staging database, a SQLite file."""

    h: Harness
    home: Path
    #: Makes the edges of a new worker; a history has its own.
    reopen: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.h.edges.close()
        self.database = Path(self.h.database.removeprefix("sqlite:///"))
        self.world = self.h.sim.dump()
        self.kept = self.home / f"{self.database.name}.kept"
        shutil.copy(self.database, self.kept)

    def again(self) -> Harness:
        """Put everything back as it was, with a new worker."""
        self.h.edges.close()
        for path in self.database.parent.glob(self.database.name + "-*"):
            path.unlink()
        shutil.copy(self.kept, self.database)
        self.h.sim.reset(world=self.world)
        self.new_worker()
        return self.h

    def new_worker(self) -> None:
        """Another worker goes on."""
        if self.reopen:
            self.reopen()
        else:
            self.h.edges.close()
            self.h.edges = self.h.open()


@dataclass
class EffectKiller:
    """Ends the edges that it watches right before their n-th effect; they are dead from then on."""

    at: int
    seen: int = 0
    dead: bool = False
    #: Places that were passed: calls count twice, before and after the service acted.
    places: int = 0
    _dirty: set[int] = field(default_factory=set)

    def watch(self, edges: services.Services) -> None:
        event.listen(edges.engine, "before_cursor_execute", self._executed)
        event.listen(edges.engine, "commit", self._committed)
        event.listen(edges.engine, "rollback", self._rolled_back)
        watch(edges, self._sender)

    def _sender(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def watched(request: requests.PreparedRequest, **options: Any) -> Any:
            self._die_if_dead()
            self.places += 2
            if _acts(request):
                self._effect()
            return send(request, **options)

        return watched

    def _executed(self, conn: Connection, _cursor: Any, statement: str, *_others: Any) -> None:
        self._die_if_dead()
        found = _WRITES.match(statement)
        # What is no plain write (WITH ..., a temporary table) counts, to be sure.
        reads = statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "BEGIN"))
        if not reads and (found is None or found.group(2).lower() not in _OF_THE_WORKER):
            self._dirty.add(id(conn.connection.dbapi_connection))

    def _committed(self, conn: Connection) -> None:
        self._die_if_dead()
        self.places += 1
        key = id(conn.connection.dbapi_connection)
        if key in self._dirty:
            self._effect()
            self._dirty.discard(key)

    def _rolled_back(self, conn: Connection) -> None:
        self._dirty.discard(id(conn.connection.dbapi_connection))

    def _effect(self) -> None:
        if self.seen == self.at:
            self.dead = True
            raise Killed
        self.seen += 1

    def _die_if_dead(self) -> None:
        if self.dead:
            raise Killed


def _acts(request: requests.PreparedRequest) -> bool:
    """Whether a request may change a service."""
    if request.method == "GET":
        return False
    if not (request.url or "").partition("?")[0].endswith("/$batch"):
        return True
    parts = json.loads(request.body or b"{}").get("requests", [])
    return any(part["method"] != "GET" for part in parts)


def killed_run(start: Start, at: int, run: Callable[[], Any]) -> EffectKiller:
    """Run until the n-th effect, and let another worker go on when the leases have run out."""
    killer = EffectKiller(at)
    killer.watch(start.h.edges)
    with contextlib.suppress(Killed, SyncError):
        run()
    start.new_worker()
    expire_leases(start.h.edges)
    return killer


def killed_everywhere(start: Start, run: Callable[[], Any], judge: Callable[[str], None]) -> Counter[str]:
    """Repeat a run from one moment and end it once before each of its effects; ``judge`` runs on and looks.

    Args:
        start: The moment.
        run: The run that is killed.
        judge: Called after each crash, with words that name it; it carries out the runs that follow.
    """
    counts: Counter[str] = Counter()
    at = 0
    while True:
        start.again()
        killer = killed_run(start, at, run)
        if not killer.dead:
            counts["places"] += killer.places
            return counts
        judge(f"killed before effect {at}")
        counts["crashes"] += 1
        at += 1


# -- what the runs after a crash reach ---------------------------------------------------------------------------


def recover(h: Harness) -> None:
    """The two runs that may follow; then nothing is left to write (I5, I7)."""
    for last in (False, True):
        h.sim.reset_counters()
        ran = h.run()
        check(ran.errors == [], "I7", f"errors after a crash: {ran.errors}")
        if last and h.app_writes():
            h.sim.reset_counters()
            ran = h.run()
            check(not h.app_writes(), "I7", f"the third run after a crash writes {ran.writes}")


@dataclass
class Recoveries:
    """Judges what the runs after a crash reach, once for all crashes that leave the same behind.

    They do where as many effects came before them, and where nothing else differs either: neither a service nor a
    row of the staging database, but for what no later run reads. That is looked at each time.
    """

    h: Harness
    wanted: dict[str, Any]
    #: What was judged already, also by another test of the same history.
    known: set[tuple[int, str]]
    judged: int = 0

    def judge(self, effects: int, what: str) -> None:
        """Let the next runs begin where a worker ended, and look where they end.

        Args:
            effects: How many effects the worker had before it ended.
            what: Words that name the crash.
        """
        left = effects, left_behind(self.h)
        if left in self.known:
            return
        recover(self.h)
        assert state(self.h) == self.wanted, what
        self.known.add(left)
        self.judged += 1


def left_behind(h: Harness) -> str:
    """Return a digest of both services and the staging database, as a crash left them.

    Keys are named by the order in which they are met, and a time is a time: effects are what gives them an order.
    """
    names: dict[str, int] = {}

    def name(found: re.Match[str]) -> str:
        text = found.group()
        return "<time>" if text[4:5] == "-" and text[-1] == "Z" else f"<{names.setdefault(text, len(names))}>"

    kept = [table for table in tables.metadata.sorted_tables if table.name not in _OF_THE_WORKER]
    with h.edges.engine.connect() as conn:
        rows = {
            table.name: [
                list(row) for row in conn.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in kept
        }
    services = {**h.sim.dump(), "issued": None}
    return hashlib.sha256(_PASSING.sub(name, json.dumps([services, rows], default=str)).encode()).hexdigest()


def state(h: Harness) -> dict[str, Any]:
    """What a person sees, without ids and versions."""
    scene = Scene.of(h.sim.dump())
    names = {key: contact["displayName"] for key, contact in scene.contacts.items()}
    plain: dict[str, Any] = {
        "contacts": sorted(_normal(mapped.bc_values(contact)) for contact in scene.contacts.values()),
        "couplings": sorted(
            (row["mailbox"], names.get(row["bc_id"], "gone"), row["state"], row["origin"])
            for row in oracle.rows(
                h.edges.engine,
                "SELECT p.mailbox, c.bc_id, c.state, c.origin FROM coupling c JOIN sync_profile p ON p.id = c.profile",
            )
        ),
    }
    for mailbox, items in scene.items.items():
        plain[mailbox] = sorted(
            f"{item.folder} {names.get(item.bc_id, bool(item.bc_id))} {item.origin} "
            f"{item.properties.get('categories')} {_normal(item.values)}"
            for item in items.values()
        )
    return plain


def _normal(values: dict[str, str]) -> str:
    return str({name: mapped.normal(name, value) for name, value in values.items()})
