"""The sandbox as the demo uses it: started as a program of its own, and edited as its users would."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import requests

from demo_parts.processes import LOOPBACK, DemoError, Program, airflow_free_environment


class SandboxInstance:
    """`python -m sandbox`, whose world stays in a file between two starts."""

    def __init__(self, home: Path, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self._session = requests.Session()
        self._session.trust_env = False
        home.mkdir(parents=True, exist_ok=True)
        state = home / "world.json"
        command = [sys.executable, "-m", "sandbox", "--port", str(port), "--quiet", "--state", str(state)]
        self.program = Program("The sandbox", command, home / "sandbox.log", airflow_free_environment())
        self.program.wait_ready(self._answers, 60)
        self.info: dict[str, Any] = self.control("GET", "info")

    def _answers(self) -> bool:
        try:
            return self._session.get(f"{self.url}/__sim/info", timeout=5).ok
        except requests.RequestException:
            return False

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer of the control plane."""
        answer = self._session.request(method, f"{self.url}/__sim/{path}", json=body, timeout=120)
        answer.raise_for_status()
        return answer.json()

    def connections(self, field_profile: str = "standard") -> dict[str, str]:
        """Return Airflow's Connections to both services, as environment variables."""
        app = {"login": self.info["client_id"], "password": self.info["client_secret"]}
        extra = {"tenant_id": self.info["tenant_id"], "authority": self.url}
        bc = app | {"conn_type": "business_central", "host": self.info["bc_root"]}
        of_bc = extra | {"environment": self.info["environment"], "field_profile": field_profile}
        graph = app | {"conn_type": "microsoft_graph", "host": self.info["graph_root"]}
        return {
            "AIRFLOW_CONN_BUSINESS_CENTRAL_DEFAULT": json.dumps(bc | {"extra": of_bc}),
            "AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT": json.dumps(graph | {"extra": extra}),
        }

    def dump(self) -> dict[str, Any]:
        """Return the whole world."""
        world: dict[str, Any] = self.control("GET", "dump")
        return world

    def writes(self) -> dict[str, Any]:
        """Return what the sync has written since the last reset of the counters."""
        counted: dict[str, Any] = self.control("GET", "counters")["app"]
        return counted

    def stop(self) -> None:
        """Stop it; it saves its world first."""
        self.program.stop()

    # What users do, by the same public APIs.

    def company_url(self, company: str, *, extended: bool = False) -> str:
        """Return the address of a company in Business Central's own API, or in that of the extension."""
        found = next(c for c in self.info["companies"] if c["name"] == company)
        root = f"{self.info['bc_root']}/{self.info['tenant_id']}/{self.info['environment']}/api"
        return f"{root}/{'contactSync/contacts/v1.0' if extended else 'v2.0'}/companies({found['id']})"

    def as_user(self, service: str, method: str, url: str, body: Any = None) -> Any:
        """Return the answer of Business Central (``bc``) or Microsoft Graph (``graph``) to an edit of a user.

        Raises:
            DemoError: The service refused it.
        """
        headers = {"Authorization": f"Bearer {self.info['user_tokens'][service]}", "If-Match": "*"}
        if method == "POST":
            del headers["If-Match"]
        if service == "graph":
            headers["Prefer"] = 'IdType="ImmutableId"'
        answer = self._session.request(method, url, json=body, headers=headers, timeout=60)
        if not answer.ok:
            raise DemoError(f"The sandbox refused {method} {url}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None


def edit_as_users(
    sandbox: SandboxInstance, mailbox: str, company: str, folder: str, *, salesperson: str = ""
) -> list[str]:
    """Change, create and delete on both sides, as on an ordinary morning; return what was done, for the terminal.

    With ``salesperson`` the new person of Business Central is theirs.
    """
    graph = f"{sandbox.info['graph_root']}/users/{mailbox}"
    bc = f"{sandbox.company_url(company)}/contacts"
    chosen = _choose(sandbox.dump(), mailbox, company, folder)
    # New addresses in each demo, so that a second one in the same home makes new contacts again.
    moment = f"{time.time() * 1000:.0f}"
    digits = f"{moment[-7:-5]} {moment[-5:-3]}"
    noor = {"type": "Person", "displayName": "Noor Nieuwenhuis", "email": f"noor.{moment}@voorbeeld.example"}
    otto = {
        "givenName": "Otto",
        "surname": "Oudshoorn",
        "displayName": "Otto Oudshoorn",
        "emailAddresses": [{"name": "Otto Oudshoorn", "address": f"otto.{moment}@voorbeeld.example"}],
    }
    as_user = sandbox.as_user
    as_user("bc", "PATCH", f"{bc}({chosen['changed']})", {"mobilePhoneNumber": f"+31 6 5551 {digits}"})
    new = f"{sandbox.company_url(company, extended=bool(salesperson))}/contacts"
    theirs = {"salespersonCode": salesperson} if salesperson else {}
    as_user("bc", "POST", new, noor | {"city": "Utrecht"} | theirs)
    as_user("bc", "DELETE", f"{bc}({chosen['deleted']})")
    as_user(
        "graph", "PATCH", f"{graph}/contacts/{chosen['edited']}", {"businessPhones": [f"020 555 {digits}"]}
    )
    as_user("graph", "POST", f"{graph}/contactFolders/{chosen['folder']}/contacts", otto)
    as_user("graph", "DELETE", f"{graph}/contacts/{chosen['removed']}")
    return [
        "in Business Central: one mobile number changed, one person added, one person deleted",
        f"in Outlook of {mailbox}: one telephone number changed, one contact added, one contact deleted",
    ]


def _choose(world: dict[str, Any], mailbox: str, company: str, folder: str) -> dict[str, str]:
    """Return what to edit."""
    by_address = _by_address(world, company)
    edited, removed, changed, deleted = own_items(world, mailbox, company, folder)[:4]
    return {
        "folder": _folder(world, mailbox, folder)["id"],
        "edited": edited["immutable_id"],
        "removed": removed["immutable_id"],
        "changed": by_address[address_of(changed)]["id"],
        "deleted": by_address[address_of(deleted)]["id"],
    }


def own_items(world: dict[str, Any], mailbox: str, company: str, folder: str) -> list[dict[str, Any]]:
    """Return the synced items that are in this folder and in nobody else's.

    A value that one colleague brings to Business Central reaches the others in the run after, so only about such
    contacts do all sides agree at once.
    """
    others = {
        address_of(item)
        for box in world["mailboxes"]
        if box["user_principal_name"] != mailbox
        for each in box["folders"]
        for item in each["contacts"]
    }
    wanted = _by_address(world, company).keys() - others
    shown = _folder(world, mailbox, folder)["contacts"]
    return [item for item in shown if item["extended"] and address_of(item) in wanted]


def _folder(world: dict[str, Any], mailbox: str, folder: str) -> dict[str, Any]:
    box = next(each for each in world["mailboxes"] if each["user_principal_name"] == mailbox)
    found: dict[str, Any] = next(each for each in box["folders"] if each["name"] == folder)
    return found


def _by_address(world: dict[str, Any], company: str) -> dict[str, dict[str, Any]]:
    contacts = next(each for each in world["companies"] if each["name"] == company)["contacts"]
    return {
        each["email"].casefold(): each
        for each in contacts
        if not each["deleteRefused"] and not each["privacyBlocked"]
    }


def address_of(item: dict[str, Any]) -> str:
    """Return the first address of an item, as it is compared."""
    addresses = item["properties"]["emailAddresses"] or [{}]
    return str(addresses[0].get("address", "")).casefold()
