"""A profile that was just saved: whether mailbox and company exist is said at once, and saved it is nonetheless."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from sync_lib.errors import ConfigError
from sync_lib.model import Company
from sync_lib.operate import checks
from sync_lib.store import company_names
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from sync_lib.web.app import make_app
from tests.sync.harness import COMPANY, Harness, world
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.surroundings import EDITOR, VIEWER, seams_of
from tests.web.test_profile import form_of

ANNA = "anna@voorbeeld.example"
OTHER = "Zonneveld NV"


@pytest.fixture
def h(engine: Engine, make_harness: Callable[..., Harness]) -> Harness:
    made = world(mailboxes=[ANNA])
    made["companies"].append({"name": OTHER, "contacts": []})
    return make_harness(made)


@pytest.fixture
def visit(engine: Engine, h: Harness) -> Callable[..., TestClient]:
    """A client whose pages reach the services of the sandbox."""

    @contextmanager
    def edges() -> Iterator[Any]:
        yield h.open()

    def make(user: str = EDITOR, language: str = "en", edges: Any = edges) -> TestClient:
        headers = {"accept-language": language, "sec-fetch-site": "same-origin", "x-user": user}
        return TestClient(make_app(replace(seams_of(engine), edges=edges)), headers=headers)

    return make


def add(client: TestClient, mailbox: str = ANNA, company: str = COMPANY) -> str:
    """Make a profile on the page; return its address."""
    form = form_of(client.get("/profiles/new").text) | {"mailbox": mailbox, "company_name": company}
    answer = client.post("/profiles/new", data=form, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"]).removeprefix("/contact_sync").removesuffix("?saved=yes")


def looked_up(client: TestClient, profile: str) -> str:
    """What the page shows once it has asked, as plain text."""
    assert f'hx-post="/contact_sync{profile}/look-up"' in client.get(f"{profile}?saved=yes").text
    html = client.post(f"{profile}/look-up").text
    assert "<html" not in html
    return unescape(" ".join(re.sub("<[^>]*>", " ", html).split()))


def offered(client: TestClient, address: str = "/profiles/new") -> list[str]:
    listed = client.get(address).text.partition('<datalist id="companies">')[2].partition("</datalist>")[0]
    return re.findall(r'<option value="([^"]*)"', listed)


def test_what_the_services_know_is_good(visit: Callable[..., TestClient]) -> None:
    assert looked_up(visit(), add(visit())) == "Mailbox and company are known."


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Microsoft 365 knows no such mailbox. Correct the mailbox of the profile, or give the user"),
        ("nl", "Microsoft 365 kent dit postvak niet."),
    ],
)
def test_an_unknown_mailbox_is_warned_of_and_saved(
    visit: Callable[..., TestClient], engine: Engine, language: str, said: str
) -> None:
    """P3: in words, with its remedy."""
    client = visit(language=language)
    text = looked_up(client, add(client, "ana@voorbeeld.example"))
    assert said in text
    assert "ana@voorbeeld.example" in text
    assert "company" not in text.lower()
    with read(engine) as conn:
        assert [each.mailbox for each in profiles.read_profiles(conn)] == ["ana@voorbeeld.example"]


def test_a_mailbox_that_the_app_may_not_open_is_warned_of(
    visit: Callable[..., TestClient], h: Harness
) -> None:
    """P3: the user is known, and a sync would fail all the same."""
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": "policy_denied"})
    assert "The app may not open this mailbox. Add the mailbox to" in looked_up(visit(), add(visit()))


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", f"Business Central lists: {COMPANY}, {OTHER}."),
        ("nl", f"Business Central kent: {COMPANY}, {OTHER}."),
    ],
)
def test_an_unknown_company_is_reported_beside_those_that_there_are(
    visit: Callable[..., TestClient], language: str, said: str
) -> None:
    """P3: and from then on the list offers them, though no profile is bound to any."""
    client = visit(language=language)
    profile = add(client, company="Molenzigt BV")
    assert offered(client) == ["Molenzigt BV"]
    assert said in looked_up(client, profile)
    assert offered(client) == offered(client, profile) == [COMPANY, OTHER]
    form = form_of(client.get(profile).text) | {"company_name": OTHER}
    assert client.post(profile, data=form, follow_redirects=False).status_code == 303
    assert looked_up(visit(), profile) == "Mailbox and company are known."


@pytest.mark.parametrize("how", ["check", "run"])
def test_companies_without_a_profile_are_offered_once_somebody_listed_them(
    visit: Callable[..., TestClient], h: Harness, how: str
) -> None:
    """P3: what the connection lists, whether the check asked for it or a run."""
    h.add_profiles(ANNA)
    if how == "run":
        h.run()
    else:
        checks.check_connections(h.edges)
    assert offered(visit()) == [COMPANY, OTHER]


def test_a_service_that_does_not_answer_is_asked_once(visit: Callable[..., TestClient], h: Harness) -> None:
    """P3: nobody waits for it, and it is no fault of the profile."""
    profile = add(visit())
    h.sim.reset_counters()
    h.sim.add_fault(service="graph", kind="status", status=503)
    h.sim.add_fault(service="bc", kind="status", status=503)
    text = looked_up(visit(), profile)
    assert text.startswith("It is saved; not all of it could be looked up:")
    assert text.count("Check the connection below, or wait for the next run: it says the same.") == 2
    app = h.sim.counters()["app"]
    assert (app["graph"]["requests"], app["bc"]["requests"]) == (1, 1)


def test_a_missing_connection_is_no_error_of_the_page(visit: Callable[..., TestClient]) -> None:
    @contextmanager
    def missing() -> Iterator[Any]:
        raise ConfigError("The Connection microsoft_graph_default is missing.")
        yield

    client = visit(edges=missing)
    assert "The Connection microsoft_graph_default is missing." in looked_up(client, add(client))


def test_only_who_saves_asks_and_only_before_the_first_sync(
    visit: Callable[..., TestClient], h: Harness
) -> None:
    profile = add(visit())
    assert "look-up" not in visit().get(profile).text
    assert "look-up" not in visit(VIEWER).get(f"{profile}?saved=yes").text
    assert visit(VIEWER).post(f"{profile}/look-up").status_code == 403
    assert visit().post("/profiles/99/look-up").status_code == 404
    h.full()
    assert "look-up" not in visit().get(f"{profile}?saved=yes").text


def test_hostile_names_of_companies_are_text(visit: Callable[..., TestClient], engine: Engine) -> None:
    with engine.begin() as conn:
        named = [Company(str(n), text.replace("\0", "")) for n, text in enumerate(HOSTILE)]
        company_names.write_listed(conn, named, now="2026-03-02T12:00:00.000Z")
    assert_plain_text(visit().get("/profiles/new").text)
