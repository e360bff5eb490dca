"""What users do while a call is under way (fault kind ``user_action``)."""

from __future__ import annotations

import logging
from typing import Any

from sandbox.access import Access
from sandbox.batch import part_call
from sandbox.counters import Counters
from sandbox.services import Services
from sandbox.wire import Call, Reply, Run

logger = logging.getLogger("sandbox")


class UserActions:
    """Carries out the actions of faults, by the services' own APIs or by the control plane."""

    def __init__(self, services: Services, access: Access, counters: Counters, control: Run) -> None:
        self._services = services
        self._access = access
        self._counters = counters
        self._control = control

    async def act(self, call: Call, action: dict[str, Any]) -> Reply:
        """Do what an action says, and return the answer that the user gets."""
        inner = part_call(call, _to_part(call, action))
        inner.identity, inner.part = "user", False
        inner.roles = ("Contacts.ReadWrite", "User.Read.All", "API.ReadWrite.All")
        if _target(call, action).startswith("/__sim/"):
            inner.service, inner.segments = "control", inner.segments[1:]
            return await self._control(inner)
        inner.service = str(action.get("service", call.service))
        if "profile" in action:
            inner.notes["profile"] = action["profile"]
        if inner.service == "bc" and "root" not in inner.notes:
            world = self._services.world
            inner.notes["root"] = f"/bc/v2.0/{world.tenant_id}/{world.environment}/api/v2.0"
        reply = self._services.handle(inner)
        self._access.note_place(inner)
        self._counters.count(inner, reply, operation=True, request=True)
        if reply.status >= 400:
            logger.warning("the action of a fault was refused: %d %s", reply.status, inner.method)
        return reply


def _target(call: Call, action: dict[str, Any]) -> str:
    return str(action["path"]).replace("{path}", call.path)


def _to_part(call: Call, action: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": action.get("method", "PATCH"),
        "url": _target(call, action),
        "headers": {"If-Match": "*", **action.get("headers", {})},
        "body": action.get("body", {}),
    }
