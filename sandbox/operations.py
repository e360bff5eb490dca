"""Running single operations: under the limits of their service, and as slow as it is."""

from __future__ import annotations

import asyncio

from sandbox.counters import Counters
from sandbox.services import Services, problem
from sandbox.wire import ApiError, Call, Reply


class Operations:
    """Runs operations on Graph and Business Central, alone or in a batch."""

    def __init__(self, services: Services, counters: Counters) -> None:
        self._services = services
        self._counters = counters

    async def run(self, call: Call) -> Reply:
        """Return the answer to an operation, or the refusal of a limit."""
        try:
            if call.service == "graph":
                return await self._run_graph(call)
            self._services.limits.count_bc(call)
            await self._services.limits.enter_bc(call)
            try:
                return await self._run_bc(call)
            finally:
                self._services.limits.leave_bc(call)
        except ApiError as error:
            return problem(call, error)

    async def run_bc_part(self, call: Call) -> Reply:
        """Return the answer to a part of a batch, which has taken one place for all of them."""
        try:
            self._services.limits.count_bc(call)
        except ApiError as error:
            return problem(call, error)
        return await self._run_bc(call)

    async def _run_graph(self, call: Call) -> Reply:
        self._services.limits.enter_graph(call)
        try:
            with self._counters.in_flight(call, request=False):
                await self._wait(call)
                return self._services.graph.handle(call)
        finally:
            self._services.limits.leave_graph(call)

    async def _run_bc(self, call: Call) -> Reply:
        with self._counters.in_flight(call, request=False):
            await self._wait(call)
            reply = self._services.bc.handle(call)
            await self._wait_for_rows(call, reply)
            return reply

    async def _wait(self, call: Call) -> None:
        milliseconds = self._services.world.settings.options[f"{call.service}_latency_ms"]
        await asyncio.sleep(milliseconds / 1000 if call.identity != "user" else 0)

    async def _wait_for_rows(self, call: Call, reply: Reply) -> None:
        """Wait as long as Business Central computes the rows of an answer."""
        rows = reply.body.get("value") if isinstance(reply.body, dict) else None
        options = self._services.world.settings.options
        milliseconds = options["bc_row_latency_ms"] if call.identity != "user" else 0
        if milliseconds and isinstance(rows, list):
            await asyncio.sleep(milliseconds * len(rows) / 1000)
