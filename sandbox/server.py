"""What the sandbox answers: takes requests apart, lets faults and limits act, and completes the answers.

One event loop, and services that answer without waiting: the state needs no
locks. How requests and answers travel is the transports' business
(``sockets``, ``in_process``). Log lines hold methods and paths, never queries,
bodies or tokens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from sandbox import batch
from sandbox.business_central import answers as business_central_answers
from sandbox.business_central.service import BusinessCentral
from sandbox.control import Control
from sandbox.counters import Counters
from sandbox.entra import Entra
from sandbox.fault_effects import Effects
from sandbox.faults import Faults
from sandbox.graph import answers as graph_answers
from sandbox.graph.service import Graph
from sandbox.guids import make_uuid
from sandbox.limits import Limits
from sandbox.wire import ApiError, Call, Reply, lower_headers, split_target
from sandbox.world import World

logger = logging.getLogger("sandbox")
GRAPH_BATCH = 20
EXTENDED_API = ["api", "contactsync", "contacts", "v1.0"]


class Server:
    """Serves one world; a reset puts another world in its place."""

    def __init__(self, world: World) -> None:
        self.counters = Counters()
        self.faults = Faults()
        self.base = ""
        self._taken = 0
        self.use(world)
        self.control = Control(self)

    def use(self, world: World) -> None:
        """Serve this world from now on."""
        self.world = world
        self.entra = Entra(world)
        self.graph = Graph(world)
        self.bc = BusinessCentral(world)
        self.limits = Limits(world)
        self.effects = Effects(world, self.act, self.carry_out)

    def take(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
        """Return the call that a request stands for; ``target`` is its path and query, as sent."""
        segments, query = split_target(target)
        given = lower_headers(headers)
        base = f"{given.get('x-forwarded-proto', 'http')}://{given.get('host', '127.0.0.1')}"
        call = Call("entra", method, segments, query, given, body, base)
        call.notes["url"] = f"{base}{target}"
        self._taken += 1
        call.notes["ids"] = {
            "request-id": make_uuid("request", self.world.nonce, self._taken),
            "client-request-id": given.get("client-request-id", ""),
            "date": datetime.fromtimestamp(int(self.world.clock.now()), UTC).isoformat()[:19],
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
        return await self._serve(call)

    async def _serve(self, call: Call) -> Reply:
        if call.service == "entra":
            reply = await self._with_faults(call, self._entra)
            self.counters.count(call, reply, operation=True, request=True)
            return reply
        refusal = self._prepare(call)
        if refusal is not None:
            self.counters.count(call, refusal, operation=False, request=True)
            return refusal
        is_batch = call.segments == ["$batch"] and call.method == "POST"
        keys = []
        try:
            calls = self._read_batch(call) if is_batch else []
            keys = self.counters.keys_of(call)
            for key in keys:
                self.counters.tally(*key).enter(request=True)
            if is_batch:
                reply = await self._with_faults(call, lambda c: self._batch(c, calls))
            else:
                reply = await self._with_faults(call, self._operation)
            for _, inner in calls:
                if "reply" in inner.notes:
                    self.counters.count(inner, inner.notes["reply"], operation=True, request=False)
        except ApiError as error:
            reply = self._problem(call, error)
        finally:
            for key in keys:
                self.counters.tally(*key).leave(request=True)
        self.counters.count(call, reply, operation=not is_batch, request=True)
        return reply

    # Who calls, and what

    def _prepare(self, call: Call) -> Reply | None:
        """Find out identity, mailbox and API root; return the refusal, if any."""
        if call.service == "bc":
            try:
                self._find_api(call)
            except ApiError as error:
                return self._problem(call, error)
        reason = self.entra.check(call)
        if reason is None and call.service == "bc" and "API.ReadWrite.All" not in call.roles:
            reason = "The token has no roles."
        if reason is not None:
            code = (
                "InvalidAuthenticationToken"
                if call.service == "graph"
                else "Authentication_InvalidCredentials"
            )
            reply = self._problem(call, ApiError(401, code, reason))
            reply.headers["WWW-Authenticate"] = 'Bearer realm="", error="invalid_token"'
            return reply
        self._find_place(call)
        return None

    def _find_place(self, call: Call) -> None:
        """Note the mailbox or company that a path names, for limits, faults and counts."""
        first = call.segments[0] if call.segments else ""
        if call.service == "graph" and first.lower() == "users" and len(call.segments) > 2:
            mailbox = self.world.find_mailbox(call.segments[1])
            call.mailbox = mailbox.user_principal_name if mailbox else call.segments[1]
        elif call.service == "bc" and first.lower().startswith("companies("):
            call.company = first[len("companies(") : -1].removeprefix("id=").lower()

    def _find_api(self, call: Call) -> None:
        segments = call.segments
        place = next((i for i in (2, 1) if segments[i : i + 1] == ["api"]), None)
        if place is None:
            raise ApiError(404, "BadRequest_NotFound", "The address is not that of an API.")
        if place == 2 and not self.entra.knows(segments[0]):
            raise ApiError(404, "BadRequest_NotFound", "The tenant is not known.")
        if segments[place - 1].lower() != self.world.environment.lower():
            raise ApiError(404, "NoEnvironment", "The environment does not exist.")
        rest = segments[place:]
        if [part.lower() for part in rest[:4]] == EXTENDED_API:
            length, call.notes["profile"] = 4, "extended"
        elif rest[:2] == ["api", "v2.0"]:
            length, call.notes["profile"] = 2, "standard"
        else:
            raise ApiError(404, "BadRequest_NotFound", "The API is not installed.")
        root = "/".join([*segments[:place], *rest[:length]])
        call.notes["root"] = f"/bc/v2.0/{root}"
        call.notes["service_root"] = f"{call.base}/bc/v2.0/{root}"
        call.segments = rest[length:]

    # Running operations

    async def _with_faults(self, call: Call, inner: batch.Run) -> Reply:
        if not self.faults.planned:
            return await inner(call)
        hits = self.faults.fire(call)
        reply = await self.effects.before(hits, call)
        if reply is None:
            reply = await inner(call)
        return await self.effects.after(hits, call, reply)

    async def _entra(self, call: Call) -> Reply:
        return self.entra.handle(call)

    async def _operation(self, call: Call) -> Reply:
        try:
            if call.service == "graph":
                return await self._graph_operation(call)
            self.limits.count_bc(call)
            await self.limits.enter_bc(call)
            try:
                return await self._bc_operation(call)
            finally:
                self.limits.leave_bc(call)
        except ApiError as error:
            return self._problem(call, error)

    async def _graph_operation(self, call: Call) -> Reply:
        self.limits.enter_graph(call)
        keys = self.counters.keys_of(call)
        for key in keys:
            self.counters.tally(*key).enter(request=False)
        try:
            await self._latency(call)
            return self.graph.handle(call)
        finally:
            for key in keys:
                self.counters.tally(*key).leave(request=False)
            self.limits.leave_graph(call)

    async def _bc_operation(self, call: Call) -> Reply:
        keys = self.counters.keys_of(call)
        for key in keys:
            self.counters.tally(*key).enter(request=False)
        try:
            await self._latency(call)
            reply = self.bc.handle(call)
            await self._row_latency(call, reply)
            return reply
        finally:
            for key in keys:
                self.counters.tally(*key).leave(request=False)

    async def _latency(self, call: Call) -> None:
        milliseconds = self.world.settings.options[f"{call.service}_latency_ms"]
        await asyncio.sleep(milliseconds / 1000 if call.identity != "user" else 0)

    async def _row_latency(self, call: Call, reply: Reply) -> None:
        """Wait as long as Business Central computes the rows of an answer."""
        rows = reply.body.get("value") if isinstance(reply.body, dict) else None
        milliseconds = self.world.settings.options["bc_row_latency_ms"] if call.identity != "user" else 0
        if milliseconds and isinstance(rows, list):
            await asyncio.sleep(milliseconds * len(rows) / 1000)

    # Batches

    def _read_batch(self, call: Call) -> list[tuple[dict[str, Any], Call]]:
        is_graph = call.service == "graph"
        limit = self.world.settings.limit("bc_batch")
        most = GRAPH_BATCH if is_graph else (None if limit is None else int(limit))
        parts = batch.read_parts(call, most, needs_id=is_graph)
        calls = [(part, batch.part_call(call, part, call.notes.get("root", ""))) for part in parts]
        for _, inner in calls:
            self._find_place(inner)
            call.mailbox = call.mailbox or inner.mailbox
            call.company = call.company or inner.company
        return calls

    async def _batch(self, call: Call, calls: list[tuple[dict[str, Any], Call]]) -> Reply:
        if call.service == "graph":
            return await batch.GraphBatch(self.world, self._graph_part).answer(call, calls)
        await self.limits.enter_bc(call)
        try:
            return await batch.answer_bc(self.world, call, calls, self._bc_part)
        finally:
            self.limits.leave_bc(call)

    async def _graph_part(self, call: Call) -> Reply:
        if call.segments == ["$batch"]:
            return self._noted(
                call, self._problem(call, ApiError(400, "BadRequest", "Batches can't be nested."))
            )
        return self._noted(call, await self._with_faults(call, self._operation))

    async def _bc_part(self, call: Call) -> Reply:
        async def run(inner: Call) -> Reply:
            try:
                self.limits.count_bc(inner)
            except ApiError as error:
                return self._problem(inner, error)
            return await self._bc_operation(inner)

        return self._noted(call, await self._with_faults(call, run))

    @staticmethod
    def _noted(call: Call, reply: Reply) -> Reply:
        call.notes["reply"] = reply
        return reply

    async def act(self, call: Call, action: dict[str, Any]) -> Reply:
        """Do what a user does while a call is under way (fault kind ``user_action``)."""
        target = str(action["path"]).replace("{path}", call.path)
        service = str(action.get("service", call.service))
        part = {
            "method": action.get("method", "PATCH"),
            "url": target,
            "headers": {"If-Match": "*", **action.get("headers", {})},
            "body": action.get("body", {}),
        }
        inner = batch.part_call(call, part)
        inner.service, inner.identity, inner.part = service, "user", False
        inner.roles = ("Contacts.ReadWrite", "User.Read.All", "API.ReadWrite.All")
        if target.startswith("/__sim/"):
            inner.service, inner.segments = "control", inner.segments[1:]
            return await self.control.handle(inner)
        if "profile" in action:
            inner.notes["profile"] = action["profile"]
        if service == "bc" and "root" not in inner.notes:
            inner.notes["root"] = f"/bc/v2.0/{self.world.tenant_id}/{self.world.environment}/api/v2.0"
        reply = self.graph.handle(inner) if service == "graph" else self.bc.handle(inner)
        self._find_place(inner)
        self.counters.count(inner, reply, operation=True, request=True)
        if reply.status >= 400:
            logger.warning("the action of a fault was refused: %d %s", reply.status, inner.method)
        return reply

    def carry_out_late(self) -> list[int]:
        """Carry out what a fault of the kind ``late`` kept back; return the status of each call."""
        calls, self.effects.late = self.effects.late, []
        return [self.carry_out(call) for call in calls]

    def carry_out(self, call: Call) -> int:
        """Carry out one call that was kept back; return its status, which nobody is told."""
        try:
            reply = self.graph.handle(call) if call.service == "graph" else self.bc.handle(call)
        except ApiError as error:
            reply = self._problem(call, error)
        self.counters.count(call, reply, operation=True, request=False)
        return reply.status

    # Sending

    @staticmethod
    def _problem(call: Call, error: ApiError) -> Reply:
        if call.service == "graph":
            return graph_answers.problem(call, error)
        return business_central_answers.problem(call, error)

    def _complete(self, call: Call, reply: Reply) -> None:
        """Put the headers that every answer of a service has."""
        if call.service in ("graph", "bc"):
            reply.headers.update(
                {name: value for name, value in call.notes["ids"].items() if value and name != "date"}
            )
            if call.service == "bc":
                reply.headers["OData-Version"] = "4.0"
        skew = float(self.world.settings.options["date_header_skew_seconds"])
        moment = datetime.fromtimestamp(int(self.world.clock.now() + skew), UTC)
        reply.headers["Date"] = format_datetime(moment, usegmt=True)
        reply.raw = reply.payload()
        if reply.raw:
            reply.headers["Content-Type"] = reply.content_type or "application/json; charset=utf-8"
