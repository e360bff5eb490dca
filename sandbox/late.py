"""Calls that were given no answer and are carried out later, as a gateway that gave up waiting leaves them."""

from __future__ import annotations

from sandbox.counters import Counters
from sandbox.services import Services, problem
from sandbox.wire import ApiError, Call


class LateCalls:
    """The calls that faults of the kind ``late`` keep back until the control plane says so."""

    def __init__(self, services: Services, counters: Counters) -> None:
        self._services = services
        self._counters = counters
        self._calls: list[Call] = []

    def keep(self, call: Call) -> None:
        """Keep a call back."""
        self._calls.append(call)

    def forget(self) -> None:
        """Drop all calls that were kept back."""
        self._calls = []

    def carry_out_all(self) -> list[int]:
        """Carry out what was kept back; return the status of each call."""
        calls, self._calls = self._calls, []
        return [self.carry_out(call) for call in calls]

    def carry_out(self, call: Call) -> int:
        """Carry out one call; return its status, which its caller never learns."""
        try:
            reply = self._services.handle(call)
        except ApiError as error:
            reply = problem(call, error)
        self._counters.count(call, reply, operation=True, request=False)
        return reply.status
