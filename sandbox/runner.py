"""The sandbox inside another program: a server in a thread of its own.

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
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson
from aiohttp import web

from sandbox import world_json
from sandbox.clock import Clock
from sandbox.faults import Fault
from sandbox.seed import Size, make_world
from sandbox.server import Server
from sandbox.settings import Settings
from sandbox.wire import Call
from sandbox.world import World

logger = logging.getLogger("sandbox")
T = TypeVar("T")
MAX_BODY = 2 * 1024**3


class Sandbox:
    """Entra ID, Microsoft Graph and Business Central on localhost, started and stopped by a test.

    Args:
        host: The address to bind.
        port: The port; 0 takes a free one.
        settings: Switches, limits and options, nested or flat by name.
        world: A world as JSON (see ``docs/sandbox.md``); without it the seeded one.
        size: Sizes of the seeded world: ``seed``, ``companies``, ``contacts``, ``mailboxes``, ``per_mailbox``.

    All methods may be called from any thread. A client must not use this
    object: it has the control plane and the API for that.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: dict[str, Any] | None = None,
        world: dict[str, Any] | None = None,
        size: dict[str, int] | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._server = build(settings=settings, world=world, size=size)
        self._runner: web.ServerRunner | None = None

    @property
    def base_url(self) -> str:
        """Where the sandbox answers, without a slash at the end."""
        return self._server.base

    def start(self) -> Self:
        """Start serving; return when the port is open."""
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(
            serve(self._server, self._host, self._port), self._loop
        ).result()
        return self

    def stop(self) -> None:
        """Close the port and all connections."""
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
            self._runner = None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def call(self, function: Callable[[World], T]) -> T:
        """Run a function on the server's own thread, with the world, and return its result."""

        async def run() -> T:
            return function(self._server.world)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request of the control plane without HTTP; raise ValueError when it is refused."""
        name, _, query = path.partition("?")
        pairs = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        payload = b"" if body is None else orjson.dumps(body)
        call = Call("control", method, name.strip("/").split("/"), pairs, {}, payload, self.base_url)

        reply = asyncio.run_coroutine_threadsafe(self._server.control.handle(call), self._loop).result()
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
        return self.call(lambda world: self._server.entra.issue(world.app, service, 3599))

    def user_token(self, service: str) -> str:
        """Return the token with which users' edits are made."""
        return self.call(lambda world: world.user_token(service))


def build(
    *,
    settings: dict[str, Any] | None = None,
    world: dict[str, Any] | None = None,
    size: dict[str, int] | None = None,
) -> Server:
    """Return a server, not yet listening."""
    clock, values, sizes = Clock(), Settings(settings), Size(**(size or {}))
    if world is not None:
        return Server(world_json.from_json(world, clock, values, seed=sizes.seed))
    return Server(make_world(sizes, clock, values))


async def serve(server: Server, host: str, port: int) -> web.ServerRunner:
    """Listen; the caller cleans the runner up."""
    loop = asyncio.get_running_loop()

    def make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)

    runner = web.ServerRunner(
        web.Server(server.handle, request_factory=make_request, access_log=None), shutdown_timeout=0.1
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=512)
    await site.start()
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    server.base = f"http://{shown}:{runner.addresses[0][1]}"
    return runner


def read_state(path: Path) -> dict[str, Any]:
    """Return the world in a state file."""
    return dict(orjson.loads(path.read_bytes()))


def write_state(server: Server, path: Path) -> None:
    """Write the world to a state file, in one step."""
    partial = path.with_suffix(path.suffix + ".part")
    # For its owner alone: the world holds contacts, and the secrets of its apps.
    partial.unlink(missing_ok=True)
    partial.touch(0o600, exist_ok=False)
    partial.write_bytes(orjson.dumps(world_json.to_json(server.world)))
    partial.replace(path)
