"""A sandbox in process is that over sockets: each fault of the transport, for the client and for the service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import msal
import pytest
import requests

from sandbox import Sandbox
from sandbox.in_process import START, VirtualTime

WORLD = {
    "companies": [
        {"name": "A", "contacts": [{"displayName": "Jan", "email": "jan@a.example", "type": "Person"}]}
    ],
    "mailboxes": ["anna@voorbeeld.example"],
}
#: Seconds that a client waits for an answer, and that a slow service takes.
PATIENCE, SLOW = 0.3, 0.8


class Client:
    """Asks a sandbox, however it is reached, and says what came of it in words that both transports share."""

    def __init__(self, sim: Sandbox) -> None:
        self.sim = sim
        self.http = sim.new_session()

    def ask(self, service: str, method: str, path: str, body: Any = None) -> Any:
        info = self.sim.info()
        root = info["graph_root"]
        if service == "bc":
            place = (
                f"{info['tenant_id']}/{info['environment']}/api/v2.0/companies({info['companies'][0]['id']})"
            )
            root = f"{info['bc_root']}/{place}"
        headers = {"Authorization": f"Bearer {self.sim.token(service)}"}
        try:
            answer = self.http.request(
                method, f"{root}/{path}", json=body, headers=headers, timeout=(5, PATIENCE)
            )
        except requests.RequestException as error:
            return type(error), type(error.args[0]), bool(error.response)
        return answer.status_code, _stable(answer.headers), _stable_body(answer)

    def wait_for(self, name: str) -> None:
        """Let time pass until Business Central has a contact of this name."""
        give_up = time.monotonic() + 30
        while name not in self.contacts():
            assert time.monotonic() < give_up
            (self.sim.time or time).sleep(0.01)

    def contacts(self) -> list[str]:
        """Names of the contacts of Business Central."""
        return sorted(contact["displayName"] for contact in self.sim.dump()["companies"][0]["contacts"])


def _stable(headers: Any) -> dict[str, str]:
    """Headers that say the same of the same answer: none of the connection, no moment."""
    left_out = {"date", "server", "content-length", "connection"}
    return {name.lower(): value for name, value in headers.items() if name.lower() not in left_out}


def _stable_body(answer: requests.Response) -> bytes:
    # The root is another one, and moments are others.
    return b"" if answer.status_code == 201 or answer.status_code == 200 else answer.content


@pytest.fixture
def both() -> Iterator[Callable[..., tuple[Any, Any]]]:
    """Do the same with a sandbox over sockets and with one in process; return what came of both."""
    opened = [Client(Sandbox(world=WORLD, transport=how).start()) for how in ("sockets", "in_process")]  # type: ignore[arg-type]

    def do(act: Callable[[Client], Any]) -> tuple[Any, Any]:
        return act(opened[0]), act(opened[1])

    yield do
    for client in opened:
        client.http.close()
        client.sim.stop()


CREATE = ("bc", "POST", "contacts", {"displayName": "Piet", "type": "Person"})
READ = ("bc", "GET", "contacts", None)
#: A fault, what is asked meanwhile, and whether the service acts on a create.
FAULTS: dict[str, tuple[dict[str, Any], bool]] = {
    "reset before the service acts": ({"name": "F5", "moment": "before"}, False),
    "reset behind the service's act": ({"name": "F5"}, True),
    "reset in the middle of the answer": ({"name": "F5", "moment": "mid_body"}, True),
    "slow before the service acts": ({"name": "F6", "seconds": SLOW}, True),
    "slow behind the service's act": ({"name": "F6", "seconds": SLOW, "moment": "after"}, True),
    "refused": ({"name": "F3"}, False),
    "lost behind the service's act": ({"name": "F4"}, True),
    "carried out later, by itself": ({"name": "F37", "seconds": SLOW}, True),
    "throttled": ({"name": "F1"}, False),
    "a page of somebody else": ({"name": "F27", "method": "POST|GET"}, False),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_the_same_for_the_client_and_for_the_service(both, what):
    spec, acts = FAULTS[what]

    def act(client: Client) -> Any:
        client.sim.add_fault(**spec)
        came = client.ask(*CREATE)
        at_once = client.contacts()
        if acts:
            client.wait_for("Piet")
        assert client.ask(*READ)[0] == 200, "it hits once"
        return came, at_once, client.contacts()

    over_sockets, in_process = both(act)
    assert in_process == over_sockets
    assert ("Piet" in in_process[2]) == acts


@pytest.mark.parametrize(
    "variant", ["truncated", "no_value", "next_self", "empty_page", "short", "duplicate"]
)
def test_a_malformed_answer_is_the_same(both, variant):
    def act(client: Client) -> Any:
        client.sim.add_fault(name="F9", service="bc", variant=variant)
        came = client.ask(*READ)
        assert client.sim.counters()["app"]["bc"]["requests"] == 1
        return came

    over_sockets, in_process = both(act)
    assert in_process == over_sockets


def test_an_answer_takes_as_long_as_the_services_latency(both):
    """And nobody waits for it in process."""

    def act(client: Client) -> Any:
        client.sim.set(bc_latency_ms=1000 * SLOW)
        return client.ask(*READ)[0]

    began = time.monotonic()
    over_sockets, in_process = both(act)
    assert over_sockets == in_process == requests.ReadTimeout
    assert time.monotonic() - began < 60


def test_time_passes_when_somebody_waits():
    with Sandbox(world=WORLD, transport="in_process") as sim:
        assert isinstance(sim.time, VirtualTime)
        assert sim.time.time() == START
        fired: list[float] = []

        def note() -> bool:
            fired.append(sim.time.passed)
            return len(fired) < 3

        with sim.time.every(60, note):
            sim.time.sleep(86_400)
        assert fired == [60, 120, 180]
        assert sim.time.passed == 86_400
        assert sim.clock()["now"] == "2026-03-03T08:00:00Z"
        # What was begun goes on in the time that passes, and what ended is not called again.
        with sim.time.every(60, note):
            pass
        sim.time.sleep(1000)
        assert len(fired) == 3


def test_what_a_timer_raises_is_raised_where_somebody_waits():
    with Sandbox(world=WORLD, transport="in_process") as sim:
        assert sim.time

        def fail() -> bool:
            raise LookupError("gone")

        with sim.time.every(1, fail), pytest.raises(LookupError, match="gone"):
            sim.time.sleep(2)


def test_msal_gets_its_token_in_process():
    with Sandbox(world=WORLD, transport="in_process") as sim:
        info = sim.info()
        http = sim.new_session()
        http.mount("https://", sim.new_adapter())
        app = msal.ConfidentialClientApplication(
            info["client_id"],
            client_credential=info["client_secret"],
            authority=info["authority"].replace("http://", "https://"),
            instance_discovery=False,
            http_client=http,
        )
        assert "access_token" in app.acquire_token_for_client(["https://graph.microsoft.com/.default"])


def test_nobody_listens_at_the_address_of_a_sandbox_in_process():
    with Sandbox(world=WORLD, transport="in_process") as sim, pytest.raises(requests.ConnectionError):
        requests.get(sim.info()["graph_root"], timeout=5)
