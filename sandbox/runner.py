"""The sandbox inside another program: a server in a thread of its own, or none at all.

Example:
    with Sandbox() as sim:
        token = sim.token("graph")
        requests.get(f"{sim.info()['graph_root']}/users", headers={"Authorization": f"Bearer {token}"})
        sim.reset(world={"companies": [{"name": "A", "contacts": [{"displayName": "Jan", "email": "j@a.example"}]}]})
        assert sim.counters()["app"]["graph"]["writes"] == 0
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

import orjson
import requests
from aiohttp import web
from requests.adapters import BaseAdapter, HTTPAdapter

from sandbox import in_process, sockets, world_json
from sandbox.clock import Clock
from sandbox.faults import Fault
from sandbox.seed import Size, make_world
from sandbox.server import Server
from sandbox.settings import Settings
from sandbox.wire import Call
from sandbox.world import World

logger = logging.getLogger("sandbox")
T = TypeVar("T")


class Sandbox:
    """Entra ID, Microsoft Graph and Business Central on localhost, started and stopped by a test.

    Args:
        transport: ``sockets`` listens, in real time. ``in_process`` hands requests over by an adapter of ``requests``
            (``new_adapter``), in a time of its own (``time``) that passes only when somebody waits; then all calls
            come from one thread at a time.
        host: The address to bind.
        port: The port; 0 takes a free one.
        settings: Switches, limits and options, nested or flat by name.
        world: A world as JSON (see ``docs/sandbox.md``); without it the seeded one.
        size: Sizes of the seeded world: ``seed``, ``companies``, ``contacts``, ``mailboxes``, ``per_mailbox``.

    All methods may be called from any thread. A client must not use this
    object: it has the control plane and the API for that.
    """

    def __init__(  # noqa: PLR0913 - how it is reached, and what it holds
        self,
        *,
        transport: Literal["sockets", "in_process"] = "sockets",
        host: str = "127.0.0.1",
        port: int = 0,
        settings: dict[str, Any] | None = None,
        world: dict[str, Any] | None = None,
        size: dict[str, int] | None = None,
    ) -> None:
        #: The time of a sandbox in process; None where time is real.
        self.time = in_process.VirtualTime() if transport == "in_process" else None
        clock = Clock(self.time.time) if self.time else Clock()
        self._server = build(settings=settings, world=world, size=size, clock=clock)
        self._carrier: _Carrier = (
            _InProcess(self._server, self.time) if self.time else _Sockets(self._server, host, port)
        )

    @property
    def base_url(self) -> str:
        """Where the sandbox answers, without a slash at the end."""
        return self._server.services.base

    def start(self) -> Self:
        """Start serving; return when it answers."""
        self._carrier.start()
        return self

    def stop(self) -> None:
        """Close the port and all connections."""
        self._carrier.stop()

    def new_adapter(self) -> BaseAdapter:
        """Return what carries the requests of one ``requests.Session`` here."""
        return self._carrier.new_adapter()

    def new_session(self) -> requests.Session:
        """Return a session whose requests come here, however the sandbox is reached."""
        session = requests.Session()
        session.mount("http://", self.new_adapter())
        return session

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def call(self, function: Callable[[World], T]) -> T:
        """Run a function where the server runs, with the world, and return its result."""

        async def run() -> T:
            return function(self._server.services.world)

        return self._carrier.run(run())

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request of the control plane without HTTP; raise ValueError when it is refused."""
        name, _, query = path.partition("?")
        pairs = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        payload = b"" if body is None else orjson.dumps(body)
        call = Call("control", method, name.strip("/").split("/"), pairs, {}, payload, self.base_url)

        reply = self._carrier.run(self._server.control.handle(call))
        if reply.status != 200:
            raise ValueError(reply.body["error"])
        return orjson.loads(reply.payload())

    def info(self) -> dict[str, Any]:
        """Return addresses, credentials, companies and mailboxes."""
        return dict(self.control("GET", "info"))

    def reset(self, **body: Any) -> dict[str, Any]:
        """Put another world in place (``world=...``, or sizes); return the new :meth:`info`."""
        return dict(self.control("POST", "reset", body))

    def dump(self) -> dict[str, Any]:
        """Return the whole world as JSON."""
        return dict(self.control("GET", "dump"))

    def counters(self) -> dict[str, Any]:
        """Return what was counted since the last reset of world or counters."""
        return dict(self.control("GET", "counters"))

    def reset_counters(self) -> None:
        """Start counting from zero."""
        self.control("POST", "counters/reset")

    def set(self, **values: Any) -> None:
        """Set switches, limits and options by name."""
        self.control("POST", "switches", values)

    def clock(self, **change: Any) -> dict[str, Any]:
        """Move the clock: ``advance_seconds``, ``set``, ``freeze``, ``reset``."""
        return dict(self.control("POST", "clock", change))

    def add_fault(self, callback: Callable[[Call], None] | None = None, **spec: Any) -> Fault:
        """Plan a fault; its ``fired`` and ``matched`` can be read any time.

        ``callback`` is for the kind ``callback``: it runs on the server's thread.
        """
        return self.call(lambda _: self._server.faults.add(spec, callback))

    def clear_faults(self) -> None:
        """Forget all faults."""
        self.control("DELETE", "faults")

    def token(self, service: str) -> str:
        """Return a token of the app for ``graph`` or ``bc``, without a request."""
        return self.call(lambda world: self._server.services.entra.issue(world.app, service, 3599))

    def user_token(self, service: str) -> str:
        """Return the token with which users' edits are made."""
        return self.call(lambda world: world.user_token(service))


class _Carrier(Protocol):
    """How a sandbox is reached."""

    def start(self) -> None:
        """Begin to answer."""

    def stop(self) -> None:
        """Answer no more."""

    def new_adapter(self) -> BaseAdapter:
        """Return what carries requests there."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something that waits for nothing where the server runs."""


class _Sockets:
    def __init__(self, server: Server, host: str, port: int) -> None:
        self._server, self._host, self._port = server, host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._runner: web.ServerRunner | None = None

    def start(self) -> None:
        self._thread.start()
        self._runner = self.run(sockets.serve(self._server, self._host, self._port))

    def stop(self) -> None:
        if self._runner is not None:
            self.run(self._runner.cleanup())
            self._runner = None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()

    def new_adapter(self) -> BaseAdapter:
        return HTTPAdapter()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class _InProcess:
    def __init__(self, server: Server, time: in_process.VirtualTime) -> None:
        self._server, self._time = server, time

    def start(self) -> None:
        self._server.services.base = in_process.BASE

    def stop(self) -> None:
        self._time.close()

    def new_adapter(self) -> BaseAdapter:
        return in_process.Adapter(self._server, self._time)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise RuntimeError("what is run where the server runs must not wait")


def build(
    *,
    settings: dict[str, Any] | None = None,
    world: dict[str, Any] | None = None,
    size: dict[str, int] | None = None,
    clock: Clock | None = None,
) -> Server:
    """Return a server, not yet listening."""
    clock, values, sizes = clock or Clock(), Settings(settings), Size(**(size or {}))
    if world is not None:
        return Server(world_json.from_json(world, clock, values, seed=sizes.seed))
    return Server(make_world(sizes, clock, values))


def read_state(path: Path) -> dict[str, Any]:
    """Return the world in a state file."""
    return dict(orjson.loads(path.read_bytes()))


def write_state(server: Server, path: Path) -> None:
    """Write the world to a state file, in one step."""
    partial = path.with_suffix(path.suffix + ".part")
    # For its owner alone: the world holds contacts, and the secrets of its apps.
    partial.unlink(missing_ok=True)
    partial.touch(0o600, exist_ok=False)
    partial.write_bytes(orjson.dumps(world_json.to_json(server.services.world)))
    partial.replace(path)
