"""What a fault does to a call or to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from typing import Any

from sandbox.faults import Fault, Faults
from sandbox.graph.answers import problem as graph_problem
from sandbox.late import LateCalls
from sandbox.services import Services, problem
from sandbox.wire import ApiError, Call, Reply, Run

Act = Callable[[Call, dict[str, Any]], Awaitable[Reply]]

CODES = {
    ("graph", 401): "InvalidAuthenticationToken",
    ("graph", 403): "ErrorAccessDenied",
    ("graph", 404): "ErrorItemNotFound",
    ("graph", 412): "ErrorIrresolvableConflict",
    ("graph", 429): "ApplicationThrottled",
    ("graph", 500): "ErrorInternalServerError",
    ("graph", 503): "ErrorServerBusy",
    ("bc", 401): "Authentication_InvalidCredentials",
    ("bc", 409): "Request_EntityChanged",
    ("bc", 429): "Application_TooManyRequests",
    ("bc", 500): "Internal_ServerError",
    ("bc", 503): "Internal_TenantUnavailable",
    ("entra", 401): "invalid_client",
    ("entra", 400): "invalid_request",
}
HTML = (
    b"<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body><h1>Error</h1></body></html>"
)


class Effects:
    """Applies the faults that hit a call, before and after the service acts."""

    def __init__(self, services: Services, faults: Faults, late: LateCalls, act: Act) -> None:
        self._services = services
        self._faults = faults
        self._late = late
        self._act = act

    async def around(self, call: Call, run: Run) -> Reply:
        """Run a call, and return the answer that the planned faults make of it or give in its place."""
        if not self._faults.planned:
            return await run(call)
        hits = self._faults.fire(call)
        reply = await self._before(hits, call)
        if reply is None:
            reply = await run(call)
        return await self._after(hits, call, reply)

    async def _before(self, hits: list[Fault], call: Call) -> Reply | None:
        """Return the answer that a fault gives in place of the service, if one does.

        Others act and time passes whatever a call is answered; of several answers there can be the first one only.
        """
        reply = None
        for fault in hits:
            if fault.moment != "before":
                continue
            if reply is None or fault.kind in ("delay", "user_action", "callback"):
                reply = await self._effect(fault, call, None) or reply
            else:
                fault.missed()
        return reply

    async def _after(self, hits: list[Fault], call: Call, reply: Reply) -> Reply:
        """Return the answer that leaves the server after the service has acted."""
        for fault in hits:
            if fault.moment == "after" and fault.hits(reply.status):
                reply = await self._effect(fault, call, reply) or reply
        return reply

    async def _effect(self, fault: Fault, call: Call, reply: Reply | None) -> Reply | None:
        if fault.kind == "delay":
            await asyncio.sleep(float(fault.get("seconds", 1)))
        elif fault.kind == "user_action":
            done = await self._act(call, fault.get("action"))
            fault.refused += done.status >= 400
        elif fault.kind == "callback" and fault.callback is not None:
            fault.callback(call)
        elif fault.kind == "gone":
            status = int(fault.get("status") or self._services.world.settings.switches["graph_delta_expired"])
            return graph_problem(call, ApiError(status, "SyncStateNotFound", "The sync state is not found."))
        elif fault.kind == "late":
            self._keep_back(fault, call)
            return self._status(fault, call)
        elif fault.kind == "status":
            return self._status(fault, call)
        elif fault.kind == "reset":
            lost = reply or Reply(500)
            lost.drop = "mid_body" if fault.get("moment") == "mid_body" else "reset"
            return lost
        elif fault.kind == "malformed":
            if reply is not None and reply.status == 200:
                return self._malform(fault, call, reply)
            fault.missed()
        return None

    def _keep_back(self, fault: Fault, call: Call) -> None:
        seconds = fault.get("seconds")
        if seconds is None:
            self._late.keep(call)
        else:
            asyncio.get_running_loop().call_later(float(seconds), self._late.carry_out, call)

    def _status(self, fault: Fault, call: Call) -> Reply:
        status = int(fault.get("status", 504 if fault.kind == "late" else 500))
        code = fault.get("code")
        if code is None:
            code = CODES.get((call.service, status), "UnknownError")
        error = ApiError(status, code, "Injected fault.")
        if call.service == "entra":
            reply = Reply(
                status, {"error": code, "error_description": "AADSTS0: injected", "error_codes": [0]}
            )
        else:
            reply = problem(call, error)
        body = fault.get("body", "json")
        if body == "empty":
            reply.body, reply.content_type = None, ""
        elif body == "html":
            reply.raw, reply.content_type = HTML, "text/html"
        elif not isinstance(body, str):
            reply.body = body
        reply.headers.update(self._retry_after(fault))
        reply.headers.update(fault.get("headers") or {})
        return reply

    def _retry_after(self, fault: Fault) -> dict[str, str]:
        value = fault.get("retry_after")
        if value is None or value == "none":
            return {}
        if isinstance(value, str) and value.startswith("date"):
            seconds = float(value.partition("+")[2] or 1)
            moment = datetime.fromtimestamp(int(self._services.world.clock.now() + seconds), UTC)
            return {"Retry-After": format_datetime(moment, usegmt=True)}
        return {"Retry-After": str(value)}

    def _malform(self, fault: Fault, call: Call, reply: Reply) -> Reply | None:
        variant, body = fault.get("variant"), reply.body
        if variant == "truncated":
            payload = reply.payload()
            reply.raw = payload[: max(len(payload) * 2 // 3, 1)]
            return reply
        if isinstance(body, dict) and "responses" in body:
            _malform_batch(fault, body)
            return reply
        if not isinstance(body, dict) or "value" not in body:
            return None
        link = "@odata.nextLink"
        if variant == "no_value":
            del body["value"]
        elif variant == "next_self":
            body.pop("@odata.deltaLink", None)
            body[link] = call.notes["url"]
        elif variant == "next_foreign":
            body.pop("@odata.deltaLink", None)
            body[link] = fault.get("headers", {}).get("location", "https://graph.evil.example/v1.0/next")
        elif variant == "empty_page":
            # The page itself comes when the link, which is the same address, is read again.
            body["value"] = []
            body.pop("@odata.deltaLink", None)
            body[link] = call.notes["url"]
        elif variant == "short":
            rows = body["value"]
            body["value"] = rows[: int(len(rows) * float(fault.get("keep", 0)))]
            body.pop(link, None)
        elif variant == "duplicate":
            rows = body["value"] * 2
            Random(fault.get("seed", 1)).shuffle(rows)
            body["value"] = rows
        return reply


def _malform_batch(fault: Fault, body: dict[str, Any]) -> None:
    """Let answers of a batch's parts be missing, or carry ids that nobody gave."""
    answers, variant = body["responses"], fault.get("variant")
    if variant == "short":
        body["responses"] = answers[: int(len(answers) * float(fault.get("keep", 0)))]
    elif variant == "foreign_ids":
        body["responses"] = [{**answer, "id": f"x{answer['id']}"} for answer in answers]
    elif variant == "shuffled":
        Random(fault.get("seed", 1)).shuffle(answers)
