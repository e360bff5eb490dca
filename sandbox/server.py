"""What the sandbox answers: takes requests apart, lets faults and limits act, and completes the answers.

One event loop, and services that answer without waiting: the state needs no
locks. How requests and answers travel is the transports' business
(``sockets``, ``in_process``). Log lines hold methods and paths, never queries,
bodies or tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from sandbox.access import Access
from sandbox.batch import Batches
from sandbox.control.service import Control
from sandbox.counters import Counters
from sandbox.fault_effects import Effects
from sandbox.faults import Faults
from sandbox.guids import make_uuid
from sandbox.late import LateCalls
from sandbox.operations import Operations
from sandbox.pages.service import Pages
from sandbox.services import Services, problem
from sandbox.user_actions import UserActions
from sandbox.wire import ApiError, Call, Reply, lower_headers, split_target
from sandbox.world import World

logger = logging.getLogger("sandbox")


class Server:
    """Serves one world; a reset puts another world in its place."""

    def __init__(self, world: World) -> None:
        self.services = Services(world)
        self.counters = Counters()
        self.faults = Faults()
        late = LateCalls(self.services, self.counters)
        self.control = Control(self.services, self.counters, self.faults, late)
        self._access = Access(self.services)
        users = UserActions(self.services, self._access, self.counters, self.control.handle)
        self._pages = Pages(self.services, users)
        self._effects = Effects(self.services, self.faults, late, users.act)
        self._operations = Operations(self.services, self.counters)
        self._batches = Batches(self.services, self._access, self._operations, self._effects)
        self._taken = 0

    def take(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
        """Return the call that a request stands for; ``target`` is its path and query, as sent."""
        segments, query = split_target(target)
        given = lower_headers(headers)
        base = f"{given.get('x-forwarded-proto', 'http')}://{given.get('host', '127.0.0.1')}"
        call = Call("entra", method, segments, query, given, body, base)
        call.notes["url"] = f"{base}{target}"
        self._taken += 1
        world = self.services.world
        call.notes["ids"] = {
            "request-id": make_uuid("request", world.nonce, self._taken),
            "client-request-id": given.get("client-request-id", ""),
            "date": datetime.fromtimestamp(int(world.clock.now()), UTC).isoformat()[:19],
        }
        return call

    async def answer(self, call: Call) -> Reply:
        """Return the whole answer to one request, headers included; ``drop`` says how the connection breaks."""
        path = call.path
        try:
            reply = await self._answer(call)
        except ApiError as error:
            reply = Reply(error.status, {"error": {"code": error.code, "message": error.message}})
        logger.info("%s %s %s %d", call.service, call.method, path, reply.status)
        self._complete(call, reply)
        return reply

    async def _answer(self, call: Call) -> Reply:
        segments = call.segments
        if segments[:1] == ["__sim"]:
            call.service, call.segments = "control", segments[1:]
            return await self.control.handle(call)
        if segments[:2] == ["graph", "v1.0"]:
            call.service, call.segments = "graph", segments[2:]
            call.notes["service_root"] = f"{call.base}/graph/v1.0"
        elif segments[:2] == ["bc", "v2.0"]:
            call.service, call.segments = "bc", segments[2:]
        elif self._pages.takes(call):
            return await self._pages.handle(call)
        else:
            return await self._answer_entra(call)
        return await self._answer_service(call)

    async def _answer_entra(self, call: Call) -> Reply:
        async def run(call: Call) -> Reply:
            return self.services.entra.handle(call)

        reply = await self._effects.around(call, run)
        self.counters.count(call, reply, operation=True, request=True)
        return reply

    async def _answer_service(self, call: Call) -> Reply:
        refusal = self._access.refusal(call)
        if refusal is not None:
            self.counters.count(call, refusal, operation=False, request=True)
            return refusal
        is_batch = call.segments == ["$batch"] and call.method == "POST"
        try:
            reply = await (self._run_batch(call) if is_batch else self._run_operation(call))
        except ApiError as error:
            reply = problem(call, error)
        self.counters.count(call, reply, operation=not is_batch, request=True)
        return reply

    async def _run_operation(self, call: Call) -> Reply:
        with self.counters.in_flight(call, request=True):
            return await self._effects.around(call, self._operations.run)

    async def _run_batch(self, call: Call) -> Reply:
        calls = self._batches.read(call)
        with self.counters.in_flight(call, request=True):
            reply = await self._effects.around(call, lambda outer: self._batches.run(outer, calls))
            for _, inner in calls:
                if "reply" in inner.notes:
                    self.counters.count(inner, inner.notes["reply"], operation=True, request=False)
        return reply

    def _complete(self, call: Call, reply: Reply) -> None:
        """Put the headers that every answer of a service has."""
        if call.service in ("graph", "bc"):
            reply.headers.update(
                {name: value for name, value in call.notes["ids"].items() if value and name != "date"}
            )
            if call.service == "bc":
                reply.headers["OData-Version"] = "4.0"
        world = self.services.world
        skew = float(world.settings.options["date_header_skew_seconds"])
        moment = datetime.fromtimestamp(int(world.clock.now() + skew), UTC)
        reply.headers["Date"] = format_datetime(moment, usegmt=True)
        reply.raw = reply.payload()
        if reply.raw:
            reply.headers["Content-Type"] = reply.content_type or "application/json; charset=utf-8"
