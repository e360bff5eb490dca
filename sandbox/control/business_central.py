"""What the control plane does to companies and their contacts."""

from __future__ import annotations

from typing import Any

from sandbox import world_json
from sandbox.business_central.table import changed
from sandbox.control import Action
from sandbox.world import World

COMPANY_STATES = ("normal", "forbidden", "missing")


def hold(world: World, body: dict[str, Any]) -> None:
    """Open a transaction that keeps the writes of one identity out of sight."""
    world.company(body.get("company")).hold(str(body.get("identity", "user")))


def release(world: World, body: dict[str, Any]) -> dict[str, int]:
    """Commit the open transaction, or roll it back."""
    return {"rows": world.company(body.get("company")).release(rollback=bool(body.get("rollback")))}


def freeze_replica(world: World, body: dict[str, Any]) -> None:
    """Let the read-only replica lag behind from now on, or catch up."""
    world.company(body.get("company")).freeze_replica(frozen=bool(body.get("frozen", True)))


def change_company(world: World, body: dict[str, Any]) -> None:
    """Give a company another state, and other small tables."""
    company = world.company(body.get("company"))
    state = body.get("state", company.state)
    if state not in COMPANY_STATES:
        raise ValueError(f"state must be one of {', '.join(COMPANY_STATES)}")
    company.state = state
    world_json.set_tables(company, body)


def set_computed(world: World, body: dict[str, Any]) -> None:
    """Give a contact other values of computed fields: neither its stamp nor its version moves."""
    company = world.company(body.get("company"))
    values = {world_json.ATTRIBUTES[name]: value for name, value in body["values"].items()}
    company.commit(body["contact"], changed(company.rows[body["contact"]], values))


def put_rows(world: World, body: dict[str, Any]) -> dict[str, Any]:
    """Write rows past all checks, as a data import does."""
    company = world.company(body.get("company"))
    rows = [world_json.put_row(world, company, item) for item in body["contacts"]]
    return {"ids": [row.id for row in rows]}


ACTIONS: dict[str, Action] = {
    "POST bc/hold": hold,
    "POST bc/release": release,
    "POST bc/replica": freeze_replica,
    "POST bc/company": change_company,
    "POST bc/set": put_rows,
    "POST bc/compute": set_computed,
}
