"""Nobody gets past the door: every route, also those that a later page adds, asks for a login and for permission."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from starlette.routing import Route

from sync_lib.web.app import make_app
from sync_lib.web.seams import SAFE_METHODS
from tests.web.surroundings import EDITOR, VIEWER, seams_of

app = make_app(seams_of(create_engine("sqlite://")))


def routes() -> Iterator[tuple[str, str]]:
    """Method and address of each route, with something in the place of its parameters."""
    for route in app.routes:
        # A mount, or a plain Starlette route, would have none of the app's dependencies.
        assert isinstance(route, APIRoute), f"{route} is out of reach of the login"
        address = route.path
        for name in route.param_convertors:
            address = address.replace(f"{{{name}:path}}", "nowhere/at/all").replace(f"{{{name}}}", "1")
        for method in sorted(route.methods):
            yield method, address


ROUTES = sorted(set(routes()))


def client(user: str | None = None) -> TestClient:
    headers = {"sec-fetch-site": "same-origin"} | ({"x-user": user} if user else {})
    return TestClient(app, headers=headers, raise_server_exceptions=False)


@pytest.mark.parametrize(("method", "address"), ROUTES, ids=" ".join)
def test_no_route_answers_without_a_login(method: str, address: str) -> None:
    answer = client().request(method, address)
    assert answer.status_code == 401
    assert "<" not in answer.text


@pytest.mark.parametrize(
    ("method", "address"), [each for each in ROUTES if each[0] not in SAFE_METHODS], ids=" ".join
)
def test_a_viewer_changes_nothing(method: str, address: str) -> None:
    assert client(VIEWER).request(method, address).status_code == 403


@pytest.mark.parametrize(
    ("method", "address"), [each for each in ROUTES if each[0] not in SAFE_METHODS], ids=" ".join
)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://testserver.evil.example"},
        {},
    ],
    ids=str,
)
def test_another_site_changes_nothing(method: str, address: str, headers: dict[str, str]) -> None:
    answer = TestClient(app, headers={"x-user": EDITOR}).request(method, address, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"origin": "http://testserver"},
        {"origin": "https://airflow.example", "x-forwarded-host": "airflow.example"},
        {"authorization": "Bearer of-a-program"},
    ],
    ids=str,
)
def test_our_own_pages_and_programs_may_change_things(headers: dict[str, str]) -> None:
    answer = TestClient(app, headers={"x-user": EDITOR}).post("/nowhere", headers=headers)
    assert answer.status_code == 404


@pytest.mark.parametrize("user", [None, VIEWER, EDITOR])
def test_every_answer_carries_the_headers(user: str | None) -> None:
    for address in ("/nowhere", "/static/pages.css", "/?part=none"):
        headers = client(user).get(address).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "no-store" in headers["cache-control"] or (address.startswith("/static") and user)


def test_static_files_are_those_of_the_list() -> None:
    asked = client(VIEWER)
    assert asked.get("/static/pages.css").headers["content-type"].startswith("text/css")
    for name in ("..%2fapp.py", "app.py", "%2e%2e%2f%2e%2e%2fapp.py", "x" * 5000):
        assert asked.get(f"/static/{name}").status_code == 404


def test_a_failure_shows_nothing_of_what_went_wrong() -> None:
    # This app's database is empty, so every query of a page fails; for SQLite as when its file is away (503).
    answer = client(EDITOR).get("/")
    assert answer.status_code == 503
    assert "sync_profile" not in answer.text


def test_the_walk_finds_a_route_without_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = Route("/planted", endpoint=lambda request: None)
    monkeypatch.setattr(app.router, "routes", [*app.routes, planted])
    with pytest.raises(AssertionError, match="out of reach"):
        list(routes())


def test_an_address_that_no_route_can_take_says_nothing() -> None:
    answer = client().get("/runs/a%0Ab")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
