"""What the control plane does to Entra ID."""

from __future__ import annotations

from typing import Any

from sandbox import world_json
from sandbox.control import Action
from sandbox.world import World

GROUP_STATES = ("normal", "removed")


def expire_tokens(world: World, _body: dict[str, Any]) -> None:
    """Make all tokens void that were issued so far."""
    world.tokens_from = world.issued


def change_app(world: World, body: dict[str, Any]) -> None:
    """Give an app another secret or other roles."""
    app = next(a for a in world.apps if a.name == body.get("name", "app"))
    app.client_secret = str(body.get("client_secret", app.client_secret))
    app.graph_roles = tuple(body.get("graph_roles", app.graph_roles))
    app.bc_roles = tuple(body.get("bc_roles", app.bc_roles))


def change_group(world: World, body: dict[str, Any]) -> dict[str, Any]:
    """Give a group other members, another name or state; make it first where that is asked."""
    if body.get("create"):
        group = world_json.new_group(world, str(body["group"]))
    else:
        group = world.directory.group(str(body["group"]))
    state = body.get("state", group.state)
    if state not in GROUP_STATES:
        raise ValueError(f"state must be one of {', '.join(GROUP_STATES)}")
    group.state = state
    group.name = str(body.get("rename", group.name))
    members = body.get("members", group.members)
    kept = [world_json.member_id(world, str(member)) for member in members]
    added = [world_json.member_id(world, str(member)) for member in body.get("add", [])]
    gone = {world_json.member_id(world, str(member)) for member in body.get("remove", [])}
    group.members = [member for member in dict.fromkeys([*kept, *added]) if member not in gone]
    return world_json.write_group(group)


ACTIONS: dict[str, Action] = {
    "POST entra/expire-tokens": expire_tokens,
    "POST entra/app": change_app,
    "POST entra/group": change_group,
}
