"""``$batch`` of both services: taking the parts apart, running them, putting the answers together."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import orjson

from sandbox.access import Access
from sandbox.fault_effects import Effects
from sandbox.operations import Operations
from sandbox.services import Services, problem
from sandbox.wire import JSON_BC, JSON_GRAPH, ApiError, Call, Reply, Run, lower_headers, split_target
from sandbox.world import World

GRAPH_PARTS = 20
#: The parts of a batch as they were sent, each with the call that it is.
Parts = list[tuple[dict[str, Any], Call]]


def read_parts(call: Call, most: int | None, *, needs_id: bool) -> list[dict[str, Any]]:
    """Return the parts of a batch, or raise the 400 for a batch that can't be read at all."""
    parts = call.json_object().get("requests")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise ApiError(400, "BadRequest", "Invalid batch payload format.")
    if most is not None and len(parts) > most:
        raise ApiError(
            400, "BadRequest", f"Number of batch request steps exceeds the maximum value of {most}."
        )
    ids: set[str] = set()
    for part in parts:
        if not isinstance(part.get("method"), str) or not isinstance(part.get("url"), str):
            raise ApiError(400, "BadRequest", "Each step of a batch needs a method and a url.")
        part_id = part.get("id")
        if part_id is None and not needs_id:
            continue
        if not isinstance(part_id, str) or not part_id or part_id.lower() in ids:
            raise ApiError(400, "BadRequest", "Each step of a batch needs an id of its own.")
        ids.add(part_id.lower())
        headers = lower_headers(part.get("headers") or {})
        if needs_id and part.get("body") is not None and "content-type" not in headers:
            raise ApiError(400, "BadRequest", "A step with a body needs a Content-Type header.")
    for part in parts:
        if any(str(wanted).lower() not in ids for wanted in part.get("dependsOn") or []):
            raise ApiError(400, "BadRequest", "A step depends on one that is not in the batch.")
    return parts


def part_call(call: Call, part: dict[str, Any], prefix: str = "") -> Call:
    """Return the call that one part stands for."""
    target = part["url"]
    if prefix and prefix in target:
        target = target.partition(prefix)[2]
    segments, query = split_target(target)
    body = part.get("body")
    result = Call(
        service=call.service,
        method=part["method"].upper(),
        segments=segments,
        query=query,
        headers=lower_headers(part.get("headers") or {}),
        body=b"" if body is None else orjson.dumps(body),
        base=call.base,
        identity=call.identity,
        part=True,
        roles=call.roles,
    )
    if "root" in call.notes:
        result.notes["root"] = call.notes["root"]
    if "profile" in call.notes:
        result.notes["profile"] = call.notes["profile"]
    if "ids" in call.notes:
        result.notes["ids"] = call.notes["ids"]
    result.notes["url"] = f"{call.notes.get('service_root', '')}/{target.lstrip('/')}"
    return result


def write_part(part_id: str | None, reply: Reply, random: Random | None = None) -> dict[str, Any]:
    """Return the answer of one part; the case of header names varies, as it does at Graph."""
    headers = dict(reply.headers)
    if reply.body is not None:
        headers["Content-Type"] = "application/json"
    if random is not None and random.random() < 0.5:
        headers = {name.lower(): value for name, value in headers.items()}
    result: dict[str, Any] = {"id": part_id, "status": reply.status, "headers": headers}
    if reply.raw is not None:
        result["body"] = reply.raw.decode("utf-8", "replace")
    elif reply.body is not None:
        result["body"] = reply.body
    return result


class GraphBatch:
    """Runs the parts of one batch, at most four at a time for each mailbox."""

    def __init__(self, world: World, run: Run) -> None:
        self.world = world
        self.run = run
        self._slots: dict[str | None, asyncio.Semaphore] = {}
        self._done: dict[str, asyncio.Future[int]] = {}

    async def answer(self, call: Call, calls: Parts) -> Reply:
        """Return the answer to the whole batch."""
        loop = asyncio.get_running_loop()
        self._done = {part["id"].lower(): loop.create_future() for part, _ in calls}
        replies = await asyncio.gather(*(self._part(part, inner) for part, inner in calls))
        self.world.issued += 1
        random = Random(f"{self.world.seed}/{self.world.issued}")
        responses = [write_part(part["id"], r, random) for (part, _), r in zip(calls, replies, strict=True)]
        random.shuffle(responses)
        outer = 200
        if any(r.status == 429 for r in replies) and self.world.settings.is_on("batch_outer_on_429", "424"):
            outer = 424
        drop = next((r.drop for r in replies if r.drop), None)
        call.notes["pattern"] = "/$batch"
        return Reply(outer, {"responses": responses}, content_type=JSON_GRAPH, drop=drop)

    async def _part(self, part: dict[str, Any], call: Call) -> Reply:
        reply = Reply(500)
        try:
            for wanted in part.get("dependsOn") or []:
                if await asyncio.shield(self._done[str(wanted).lower()]) >= 400:
                    error = {"code": "FailedDependency", "message": "A step that this one depends on failed."}
                    reply = Reply(424, {"error": error})
                    return reply
            reply = await self._limited(call)
            return reply
        finally:
            self._done[part["id"].lower()].set_result(reply.status)

    async def _limited(self, call: Call) -> Reply:
        most = self.world.settings.limit("graph_concurrency")
        if most is None or self.world.settings.is_on("graph_batch_over_4", "429"):
            return await self.run(call)
        slot = self._slots.setdefault(call.mailbox, asyncio.Semaphore(int(most)))
        async with slot:
            return await self.run(call)


async def answer_bc(world: World, call: Call, calls: Parts, run: Run) -> Reply:
    """Return the answer to a batch of Business Central: parts in order, with snapshot isolation on demand."""
    is_snapshot = call.headers.get("isolation", "").lower() == "snapshot"
    goes_on = call.prefer("odata.continue-on-error") not in (None, "false")
    goes_on = goes_on or world.settings.is_on("bc_batch_after_error", "continue")
    saved = {company.id: company.save() for company in world.companies.values()} if is_snapshot else {}
    responses: list[dict[str, Any]] = []
    drop = None
    failed = False
    for part, inner in calls:
        reply = await run(inner)
        drop = drop or reply.drop
        responses.append(write_part(part.get("id"), reply))
        failed = failed or reply.status >= 400
        if reply.status >= 400 and (is_snapshot or not goes_on):
            break
    if failed and is_snapshot:
        # The earlier parts keep their 200 in the answer (documented sample): only the whole batch shows it.
        for company_id, state in saved.items():
            world.companies[company_id].restore(state)
        for _, inner in calls:
            inner.notes.pop("written", None)
    call.notes["pattern"] = "/$batch"
    return Reply(200, {"responses": responses}, content_type=JSON_BC, drop=drop)


class Batches:
    """Serves the batches of both services; each part meets the faults and limits by itself."""

    def __init__(self, services: Services, access: Access, operations: Operations, effects: Effects) -> None:
        self._services = services
        self._access = access
        self._operations = operations
        self._effects = effects

    def read(self, call: Call) -> Parts:
        """Return the parts of a batch, and note on it what they are about."""
        is_graph = call.service == "graph"
        limit = self._services.world.settings.limit("bc_batch")
        most = GRAPH_PARTS if is_graph else (None if limit is None else int(limit))
        parts = read_parts(call, most, needs_id=is_graph)
        calls = [(part, part_call(call, part, call.notes.get("root", ""))) for part in parts]
        for _, inner in calls:
            self._access.note_place(inner)
            call.mailbox = call.mailbox or inner.mailbox
            call.company = call.company or inner.company
        return calls

    async def run(self, call: Call, calls: Parts) -> Reply:
        """Return the answer to a batch."""
        if call.service == "graph":
            return await GraphBatch(self._services.world, self._graph_part).answer(call, calls)
        await self._services.limits.enter_bc(call)
        try:
            return await answer_bc(self._services.world, call, calls, self._bc_part)
        finally:
            self._services.limits.leave_bc(call)

    async def _graph_part(self, call: Call) -> Reply:
        if call.segments == ["$batch"]:
            return _noted(call, problem(call, ApiError(400, "BadRequest", "Batches can't be nested.")))
        return _noted(call, await self._effects.around(call, self._operations.run))

    async def _bc_part(self, call: Call) -> Reply:
        return _noted(call, await self._effects.around(call, self._operations.run_bc_part))


def _noted(call: Call, reply: Reply) -> Reply:
    call.notes["reply"] = reply
    return reply
