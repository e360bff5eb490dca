"""Tokens: points 1 to 3 of the sandbox's contract, with msal and by hand."""

from __future__ import annotations

import base64
import json

import msal
import pytest
import requests

GRAPH = "https://graph.microsoft.com/.default"
BC = "https://api.businesscentral.dynamics.com/.default"


class Loopback:
    """What a client needs so that msal, which insists on https, reaches plain HTTP on loopback."""

    def __init__(self):
        self.session = requests.Session()

    def get(self, url, **options):
        return self.session.get(url.replace("https://", "http://"), timeout=20, **options)

    def post(self, url, **options):
        return self.session.post(url.replace("https://", "http://"), timeout=20, **options)

    def close(self):
        self.session.close()


@pytest.fixture
def app(sim):
    http = Loopback()
    info = sim.info()

    def make(**changes):
        options = {"client_credential": info["client_secret"], **changes}
        return msal.ConfidentialClientApplication(
            options.pop("client_id", info["client_id"]),
            authority=options.pop("authority", info["authority"].replace("http://", "https://")),
            instance_discovery=False,
            http_client=http,
            **options,
        )

    yield make
    http.close()


def test_msal_gets_one_token_per_resource_and_each_opens_its_own_service_only(app, sim, graph, bc):
    client = app()
    tokens = {s: client.acquire_token_for_client([s])["access_token"] for s in (GRAPH, BC)}
    users, companies = f"{graph.graph}/users", f"{bc.api}/companies"
    for url, scope, status in (
        (users, GRAPH, 200),
        (users, BC, 401),
        (companies, BC, 200),
        (companies, GRAPH, 401),
    ):
        headers = {"Authorization": f"Bearer {tokens[scope]}"}
        assert requests.get(url, headers=headers, timeout=20).status_code == status
    assert sim.counters()["entra"]["tokens_graph"] == 1
    assert sim.counters()["entra"]["tokens_bc"] == 1


def test_a_certificate_assertion_is_taken_too(app, sim, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    result = app(
        client_credential={"private_key": key.decode(), "thumbprint": "ab" * 20}
    ).acquire_token_for_client([BC])
    assert result["token_type"] == "Bearer"


def test_refusals_come_as_oauth_errors(app):
    wrong = app(client_credential="wrong").acquire_token_for_client([GRAPH])
    assert (wrong["error"], wrong["error_codes"]) == ("invalid_client", [7000215])
    unknown = app(client_id="00000000-0000-4000-8000-000000000000").acquire_token_for_client([GRAPH])
    assert unknown["error"] == "unauthorized_client"
    scope = app().acquire_token_for_client(["https://other.example/.default"])
    assert scope["error"] == "invalid_scope"


def test_the_tenant_must_exist(app, sim):
    with pytest.raises(ValueError, match="double check your tenant"):
        app(authority=f"https://{sim.base_url[7:]}/99999999-0000-4000-8000-000000000000")


def test_the_token_shows_the_granted_roles(sim):
    claims = sim.token("graph").split(".")[1]
    roles = json.loads(base64.urlsafe_b64decode(claims + "=="))["roles"]
    assert roles == ["Contacts.ReadWrite", "User.Read.All"]


def test_a_token_expires_by_the_clock_and_on_demand(sim, graph):
    users = f"{graph.graph}/users"
    assert graph.get(users).status_code == 200
    sim.clock(advance_seconds=3600)
    assert graph.refused("GET", users) == (401, "InvalidAuthenticationToken")
    graph.session.headers["Authorization"] = f"Bearer {sim.token('graph')}"
    assert graph.get(users).status_code == 200
    sim.control("POST", "entra/expire-tokens")
    response = graph.get(users)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_missing_roles_are_refused(sim, graph, bc):
    sim.control("POST", "entra/app", {"graph_roles": ["Contacts.Read"], "bc_roles": []})
    graph.session.headers["Authorization"] = f"Bearer {sim.token('graph')}"
    bc.session.headers["Authorization"] = f"Bearer {sim.token('bc')}"
    assert graph.refused("GET", f"{graph.graph}/users") == (403, "Authorization_RequestDenied")
    assert graph.get(f"{graph.user}/contacts").status_code == 200
    assert graph.refused("POST", f"{graph.user}/contacts", {}) == (403, "ErrorAccessDenied")
    assert bc.refused("GET", f"{bc.api}/companies") == (401, "Authentication_InvalidCredentials")


def test_nonsense_is_no_token(graph, bc):
    for client, url in ((graph, f"{graph.graph}/users"), (bc, f"{bc.api}/companies")):
        for value in ("", "Bearer", "Bearer a.b.c", "Basic abc", "Bearer é"):
            client.session.headers["Authorization"] = value.encode()
            assert client.get(url).status_code == 401
