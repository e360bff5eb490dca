"""A running sandbox with a tiny world, and a plain HTTP client for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox import Sandbox

MAILBOX = "sanne@voorbeeld.example"
KEY = "String {5b0c1f0e-7a55-4a6e-9a0b-3f5d1c2e8d41} Name BcContactKey"
WORLD: dict[str, Any] = {
    "companies": [
        {"name": "CRONUS", "salespeople": [{"code": "AB", "displayName": "Anna", "email": "a@x.example"}]}
    ],
    "mailboxes": [MAILBOX, "daan@voorbeeld.example"],
}


class Client:
    """Sends requests to one service as the app or as a user."""

    def __init__(self, sim: Sandbox, service: str, *, user: bool = False) -> None:
        self.sim = sim
        self.service = service
        self.info = sim.info()
        self.session = requests.Session()
        token = sim.user_token(service) if user else sim.token(service)
        self.session.headers["Authorization"] = f"Bearer {token}"
        company = self.info["companies"][0]["id"] if self.info["companies"] else ""
        place = f"{self.info['bc_root']}/{self.info['tenant_id']}/Production/api"
        self.api = f"{place}/v2.0"
        self.company = f"{self.api}/companies({company})"
        self.extended = f"{place}/contactSync/contacts/v1.0/companies({company})"
        self.graph = self.info["graph_root"]
        self.user = f"{self.graph}/users/{MAILBOX}"

    def send(self, method: str, url: str, body: Any = None, **headers: str) -> requests.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.request(method, url, json=body, headers=names, timeout=20)

    def get(self, url: str, **headers: str) -> requests.Response:
        return self.send("GET", url, **headers)

    def ok(self, method: str, url: str, body: Any = None, **headers: str) -> Any:
        """Send a request that must succeed; return its JSON."""
        response = self.send(method, url, body, **headers)
        assert response.status_code in (200, 201, 204), response.text
        return response.json() if response.content else None

    def pages(self, url: str, **headers: str) -> list[dict[str, Any]]:
        """Return all pages of a list or delta."""
        result, link = [], url
        while link:
            result.append(self.ok("GET", link, **headers))
            link = result[-1].get("@odata.nextLink", "")
        return result

    def refused(self, method: str, url: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """Send a request that must fail; return its status and code."""
        response = self.send(method, url, body, **headers)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["error"]["code"]

    def folder(self, name: str = "Business Central") -> str:
        """Make a folder; return its address."""
        made = self.ok("POST", f"{self.user}/contactFolders", {"displayName": name})
        return f"{self.user}/contactFolders/{made['id']}"


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox(world=WORLD) as sim:
        yield sim


@pytest.fixture
def sim(running: Sandbox) -> Iterator[Sandbox]:
    """A sandbox as new: tiny world, default settings, real time."""
    defaults = running.call(lambda world: type(world.settings)().to_json())
    running.reset(world=WORLD, settings=defaults)
    running.clock(reset=True)
    yield running
    running.clear_faults()


def _client(sim: Sandbox, service: str, *, user: bool = False) -> Iterator[Client]:
    client = Client(sim, service, user=user)
    yield client
    client.session.close()


@pytest.fixture
def graph(sim: Sandbox) -> Iterator[Client]:
    yield from _client(sim, "graph")


@pytest.fixture
def bc(sim: Sandbox) -> Iterator[Client]:
    yield from _client(sim, "bc")


@pytest.fixture
def graph_user(sim: Sandbox) -> Iterator[Client]:
    yield from _client(sim, "graph", user=True)


@pytest.fixture
def bc_user(sim: Sandbox) -> Iterator[Client]:
    yield from _client(sim, "bc", user=True)


@pytest.fixture
def contact_key() -> str:
    return KEY
