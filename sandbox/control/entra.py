"""What the control plane does to Entra ID."""

from __future__ import annotations

from typing import Any

from sandbox.control import Action
from sandbox.world import World


def expire_tokens(world: World, _body: dict[str, Any]) -> None:
    """Make all tokens void that were issued so far."""
    world.tokens_from = world.issued


def change_app(world: World, body: dict[str, Any]) -> None:
    """Give an app another secret or other roles."""
    app = next(a for a in world.apps if a.name == body.get("name", "app"))
    app.client_secret = str(body.get("client_secret", app.client_secret))
    app.graph_roles = tuple(body.get("graph_roles", app.graph_roles))
    app.bc_roles = tuple(body.get("bc_roles", app.bc_roles))


ACTIONS: dict[str, Action] = {
    "POST entra/expire-tokens": expire_tokens,
    "POST entra/app": change_app,
}
