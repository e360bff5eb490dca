"""Answers the requests of the control plane."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox import world_json
from sandbox.control import Action, business_central, entra, outlook
from sandbox.counters import Counters
from sandbox.faults import FaultError, Faults
from sandbox.late import LateCalls
from sandbox.seed import Size, make_world
from sandbox.services import Services
from sandbox.settings import SettingsError
from sandbox.wire import ApiError, Call, Reply
from sandbox.world import World

SIZES = ("seed", "companies", "contacts", "mailboxes", "per_mailbox")


class Control:
    """Does what it is asked for; the modules beside list what concerns one service's part of the world."""

    def __init__(self, services: Services, counters: Counters, faults: Faults, late: LateCalls) -> None:
        self._services = services
        self._counters = counters
        self._faults = faults
        self._late = late
        self.save: Callable[[], None] | None = None
        self._actions: dict[str, Callable[[dict[str, Any]], Any]] = {
            "GET info": lambda _: self.info(),
            "POST reset": self.reset,
            "POST save": lambda _: self._save(),
            "GET counters": lambda _: self._counters.to_json(),
            "POST counters/reset": lambda _: self._counters.reset(),
            "GET faults": lambda _: self._faults.to_json(),
            "POST faults": self._add_faults,
            "GET switches": lambda _: self.world.settings.to_json(),
            "POST switches": self._set,
            "GET clock": lambda _: self.world.clock.to_json(),
            "POST clock": self._clock,
            "POST late": lambda _: {"statuses": self._late.carry_out_all()},
        }
        for actions in (entra.ACTIONS, outlook.ACTIONS, business_central.ACTIONS):
            self._actions |= {name: self._on_world(action) for name, action in actions.items()}

    def _on_world(self, action: Action) -> Callable[[dict[str, Any]], Any]:
        return lambda body: action(self.world, body)

    @property
    def world(self) -> World:
        """The world that is being served."""
        return self._services.world

    async def handle(self, call: Call) -> Reply:
        """Return the answer to one request; refusals say what is wrong."""
        name = f"{call.method} {'/'.join(call.segments)}"
        try:
            if call.method == "DELETE" and call.segments == ["faults"]:
                self._faults.clear(call.query.get("name") or call.query.get("id"))
                return Reply(200, {"ok": True})
            if name == "GET dump":
                return Reply(200, self.dump(call.query))
            if name == "GET requests":
                return Reply(200, self.requests(call.query))
            if name not in self._actions:
                return Reply(404, {"error": f"no such control: {name}", "known": sorted(self._actions)})
            result = self._actions[name](call.json() if call.body else {})
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            SettingsError,
            FaultError,
            StopIteration,
        ) as error:
            return Reply(400, {"error": f"{type(error).__name__}: {error}"})
        except ApiError as error:
            return Reply(error.status, {"error": error.message})
        return Reply(200, {"ok": True} if result is None else result)

    def info(self) -> dict[str, Any]:
        """Return where everything is, and with which credentials."""
        world, base = self.world, self._services.base
        return {
            "base_url": base,
            "tenant_id": world.tenant_id,
            "client_id": world.app.client_id,
            "client_secret": world.app.client_secret,
            "authority": f"{base}/{world.tenant_id}",
            "graph_root": f"{base}/graph/v1.0",
            "bc_root": f"{base}/bc/v2.0",
            "environment": world.environment,
            "companies": [{"id": c.id, "name": c.name, "state": c.state} for c in world.companies.values()],
            "mailboxes": [
                {"user_principal_name": m.user_principal_name, "id": m.user_id, "state": m.state}
                for m in world.mailboxes.values()
            ],
            "user_tokens": {"graph": world.user_token("graph"), "bc": world.user_token("bc")},
            "apps": [
                {"name": a.name, "client_id": a.client_id, "client_secret": a.client_secret}
                for a in world.apps
            ],
        }

    def reset(self, body: dict[str, Any]) -> dict[str, Any]:
        """Put a new world in place; faults and counts go, clock and settings stay unless given."""
        old = self.world
        size = Size(**{name: int(body[name]) for name in SIZES if name in body})
        settings = {
            name: body[name] for name in ("settings", "switches", "limits", "options") if name in body
        }
        for values in settings.values():
            type(old.settings)(values)
        if "world" in body:
            world = world_json.from_json(body["world"], old.clock, old.settings, seed=size.seed)
        else:
            world = make_world(size, old.clock, old.settings)
        for values in settings.values():
            old.settings.change(values)
        self._services.use(world)
        self._late.forget()
        self._faults.clear()
        self._counters.reset()
        return self.info()

    def dump(self, query: dict[str, str]) -> dict[str, Any]:
        """Return the world, or the mailboxes and companies that the query names."""
        return world_json.to_json(self.world, mailbox=query.get("mailbox"), company=query.get("company"))

    def requests(self, query: dict[str, str]) -> dict[str, Any]:
        """Return the logged requests after ``since`` whose target matches ``path``."""
        since, pattern = int(query.get("since", 0)), re.compile(query.get("path", ""))
        found = [item for item in self._counters.log if item["n"] > since and pattern.search(item["target"])]
        return {"requests": found, "last": self._counters.logged}

    def _save(self) -> None:
        if self.save is None:
            raise ValueError("the sandbox was started without a state file")
        self.save()

    def _add_faults(self, body: Any) -> dict[str, Any]:
        items = body if isinstance(body, list) else body.get("faults", [body])
        return {"faults": [self._faults.add(item).to_json() for item in items]}

    def _set(self, body: dict[str, Any]) -> dict[str, Any]:
        self.world.settings.change(body)
        return self.world.settings.to_json()

    def _clock(self, body: dict[str, Any]) -> dict[str, Any]:
        self.world.clock.change(body)
        return self.world.clock.to_json()
