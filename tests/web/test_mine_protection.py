"""Nobody sees another colleague's contacts, and a colleague sees nothing of the data team's pages: route by route."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, insert, select, update

from sync_lib.store import tables as t
from sync_lib.store import undo, wishes
from sync_lib.web.app import make_app
from sync_lib.web.mine_app import make_mine_app
from sync_lib.web.seams import SAFE_METHODS, User
from tests.web.colleagues import LOOKER, Airflow, Directory, mine_seams
from tests.web.surroundings import seams_of
from tests.web.world import (
    NOON,
    add_company,
    add_hold,
    add_item,
    add_person,
    add_plan,
    add_profile,
    add_reject,
    add_result,
    add_run,
    at,
)

ANNA, BRAM = "anna@a.example", "bram@a.example"
A_ID, B_ID = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"

app = make_mine_app(mine_seams(create_engine("sqlite://")))


def routes() -> Iterator[tuple[str, str]]:
    """Method and address of each route, as a pattern."""
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} is out of reach of the login"
        for method in sorted(route.methods):
            yield method, route.path


ROUTES = sorted(set(routes()))
CHANGING = [each for each in ROUTES if each[0] not in SAFE_METHODS]


def address_of(path: str, **values: object) -> str:
    """Put values, or else 1, in the place of a route's parameters."""
    known = {"path": "nowhere/at/all", "what": "leave-out"} | {name: str(v) for name, v in values.items()}
    return re.sub(r"\{(\w+)(:path)?\}", lambda found: known.get(found[1], "1"), path)


def client(user: str | None, app: FastAPI = app, **headers: str) -> TestClient:
    sent = {"sec-fetch-site": "same-origin", **headers} | ({"x-user": user} if user else {})
    return TestClient(app, headers=sent, raise_server_exceptions=False, follow_redirects=False)


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=" ".join)
def test_no_route_answers_without_a_login(method: str, path: str) -> None:
    answer = client(None).request(method, address_of(path))
    assert answer.status_code == 401
    assert "<" not in answer.text


def test_who_opens_the_page_without_a_login_is_led_to_it() -> None:
    answer = client(None, accept="text/html").get("/1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/api/v2/auth/login?next=%2Fcontact_sync%2Fme%2F"
    assert client(None, accept="text/html").post("/1/sync").status_code == 401
    fragment = {"accept": "text/html", "hx-request": "true"}
    assert client(None, **fragment).get("/1/state").status_code == 401


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=" ".join)
def test_no_route_answers_without_the_permission(method: str, path: str) -> None:
    assert client("editor").request(method, address_of(path)).status_code == 403


@pytest.mark.parametrize(("method", "path"), CHANGING, ids=" ".join)
def test_who_may_only_look_changes_nothing(method: str, path: str) -> None:
    assert client(LOOKER + ANNA).request(method, address_of(path)).status_code == 403


@pytest.mark.parametrize(("method", "path"), CHANGING, ids=" ".join)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {},
    ],
    ids=str,
)
def test_another_site_changes_nothing(method: str, path: str, headers: dict[str, str]) -> None:
    asked = TestClient(app, headers={"x-user": ANNA})
    answer = asked.request(method, address_of(path), headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text


def test_a_colleague_is_refused_on_every_page_of_the_data_team() -> None:
    """There the app asks for permission on the DAG, of which a colleague has none."""

    def refuse() -> User:
        raise HTTPException(403, "Forbidden")

    pages = make_app(replace(seams_of(create_engine("sqlite://")), authorize=refuse))
    own = {route.path for route in app.routes}
    asked = 0
    for route in pages.routes:
        for method in route.methods:
            assert client(ANNA, pages).request(method, address_of(route.path)).status_code == 403, route.path
            asked += 1
    assert asked > 40
    # The page of one's own knows none of the others' addresses, but for styles and what leads nowhere.
    assert own & {route.path for route in pages.routes} == {"/static/{name}", "/", "/{path:path}"}


# -- two colleagues --------------------------------------------------------------------------------------------------


@pytest.fixture
def world(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], TestClient]:
    """Anna and Bram in one company, and Bram's profile in another: everything there is, once for each of them."""
    directory, airflow = Directory(), Airflow()
    directory.add(A_ID, ANNA)
    directory.add(B_ID, BRAM)
    monkeypatch.setattr("sync_lib.operate.colleagues.brief_outlook", lambda *_, **__: directory)
    with engine.begin() as conn:
        company, other = add_company(conn), add_company(conn, "Andere BV")
        for n, (mailbox, key, of) in enumerate(
            ((ANNA, A_ID, company), (BRAM, B_ID, company), (BRAM, B_ID, other)), 1
        ):
            who = f"van-{mailbox[:4]}-{n}"
            profile = add_profile(
                conn, mailbox, company=of, company_name=f"C{of}", graph_user_id=key, folder_id=f"f{n}",
                folder_name=f"Map {who}",
            )  # fmt: skip
            assert profile == n
            add_person(
                conn, of, f"bc-{n}", name=f"Klant {who}", email=f"k{n}@a.example", email_key=f"k{n}@a.example"
            )
            add_item(conn, n, f"item-{n}", name=f"Klant {who}")
            add_item(conn, n, f"alone-{n}", name=f"Vriend {who}")
            tie = {"profile": n, "bc_id": f"bc-{n}", "outlook_id": f"item-{n}", "origin": "made_by_sync"}
            conn.execute(
                insert(t.coupling).values(tie | {"state": "active", "created_at": NOON, "updated_at": NOON})
            )
            add_run(conn, f"run-{n}", at(n))
            add_result(conn, f"run-{n}", n, started_at=at(n), ended_at=at(n))
            change = {"action": "update_outlook", "outcome": "updated", "bc_id": f"bc-{n}", "outlook_id": f"item-{n}",
                      "before": {"city": f"Oud {who}"}, "after": {"city": f"Nieuw {who}"}}  # fmt: skip
            plan = add_plan(conn, n, f"run-{n}", change)
            assert plan == n
            add_hold(conn, profile=n, plan=plan)
            add_reject(conn, n, f"bc-{n}", "email_missing")
            assert undo.ask(conn, undo.Asked(n, f"run-{n}", plan, 1), mailbox, NOON) == n
    made = make_mine_app(mine_seams(engine, airflow))
    return lambda user: client(user, made)


#: What is Bram's: each id that a request could name.
FOREIGN = (
    ("key", "bc-3"), ("key", "item-2"), ("key", "alone-2"), ("key", "item-3"), ("key", "2"), ("key", B_ID),
    ("key", BRAM), ("plan", "2"), ("plan", "3"), ("n", "2"), ("n", "3"),
)  # fmt: skip


def test_everybody_sees_their_own(world: Callable[[str], TestClient]) -> None:
    for user in (ANNA, A_ID, ANNA.upper()):
        page = world(user).get("/1")
        assert page.status_code == 200, user
        assert "Map van-anna-1" in page.text
    assert "Map van-bram-2" in world(BRAM).get("/1").text
    assert "Map van-bram-3" in world(BRAM).get("/2").text
    assert "Klant van-anna-1" in world(ANNA).get("/1/changes").text
    assert world(ANNA).get("/1/changes/1/1/undo").status_code in (200, 409)


def test_nobody_sees_or_changes_anything_of_another(
    world: Callable[[str], TestClient], engine: Engine
) -> None:
    """On every route, by no id in the address, the query or the form; what is Bram's is afterwards as it was."""
    before = _all_of(engine, 2, 3)
    anna = world(ANNA)
    sent = {
        "profile": "2",
        "profiles": "2",
        "mailbox": BRAM,
        "run": "run-2",
        "hold": "2",
        "q": "van-bram",
        "n": "2",
    }
    form = sent | {"mode": "full", "folder_name": "Gestolen", "chosen": "", "seen": ""}
    for method, path in ROUTES:
        named = [each for each in FOREIGN if f"{{{each[0]}" in path]
        for name, value in (("", ""), *named):
            address = address_of(path, **{name: value} if name else {})
            answer = anna.request(method, address, params=sent, data=None if method in SAFE_METHODS else form)
            assert "bram" not in answer.text.replace('value="van-bram"', ""), (address, answer.status_code)
            assert "bram" not in answer.headers.get("location", ""), address
            assert answer.status_code < 500, address
    assert _all_of(engine, 2, 3) == before


def _all_of(engine: Engine, *profiles: int) -> dict[str, list[tuple[object, ...]]]:
    found = {}
    with engine.connect() as conn:
        for table in t.metadata.sorted_tables:
            column = table.c.id if table.name == "sync_profile" else table.c.get("profile")
            if column is not None:
                found[table.name] = sorted(
                    map(tuple, conn.execute(select(table).where(column.in_(profiles)))), key=repr
                )
    assert len(found["undo"]) == 2
    return found


def test_a_contact_outside_the_folder_is_found_by_its_whole_name_only(
    world: Callable[[str], TestClient], engine: Engine
) -> None:
    """Bram's is in the same company; Anna may ask why it is not in her folder, and learns no more than that."""
    with engine.begin() as conn:
        conn.execute(
            update(t.bc_contact)
            .where(t.bc_contact.c.id == "bc-2")
            .values(phone="+31 20 1234567", number="K2")
        )
    anna = world(ANNA)
    for part in ("Klant", "van-bram", "a.example", "1234567", "k2@"):
        assert "van-bram" not in anna.get("/1/contacts", params={"q": part}).text.replace(
            f'value="{part}"', ""
        ), part
    for whole in ("klant van-bram-2", "k2@a.example", "K2@A.example", "K2"):
        assert "bc-2" in anna.get("/1/contacts", params={"q": whole}).text, whole
    page = anna.get("/1/contacts/bc-2").text
    assert "Klant van-bram-2" in page
    assert "1234567" not in page
    assert "k2@a.example" not in page
    assert "The sync made it in this folder" not in page, "that is Bram's folder"
    assert anna.get("/1/contacts/bc-3").status_code == 404, "of another company"


def test_a_wish_is_of_the_colleagues_own_profile(world: Callable[[str], TestClient], engine: Engine) -> None:
    """Both have it in their folder: Anna leaves it out of hers."""
    with engine.begin() as conn:
        tie = {
            "profile": 2,
            "bc_id": "bc-1",
            "outlook_id": "also",
            "origin": "made_by_sync",
            "state": "active",
        }
        conn.execute(insert(t.coupling).values(tie | {"created_at": NOON, "updated_at": NOON}))
    assert world(ANNA).post("/1/contacts/bc-1/leave-out").status_code == 303
    with engine.connect() as conn:
        assert [wishes.read_left_out(conn, n) for n in (1, 2, 3)] == [{"bc-1"}, set(), set()]


# -- who it is -------------------------------------------------------------------------------------------------------


def test_a_successor_with_the_same_address_sees_nothing(
    world: Callable[[str], TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory()
    directory.add("cccccccc-0000-4000-8000-000000000003", ANNA)
    directory.add(B_ID, "bram.nieuw@a.example")
    monkeypatch.setattr("sync_lib.operate.colleagues.brief_outlook", lambda *_, **__: directory)
    page = world(ANNA).get("/")
    assert page.status_code == 200
    assert "No contacts are synced for the account" in page.text
    assert world(ANNA).get("/1").status_code == 404
    # Bram is still Bram under his new address, and nobody any more under the old one.
    assert "Map van-bram-2" in world("bram.nieuw@a.example").get("/1").text
    assert world(BRAM).get("/1").status_code == 404


def test_a_profile_that_never_synced_is_found_by_the_address_of_the_account(
    world: Callable[[str], TestClient], engine: Engine
) -> None:
    with engine.begin() as conn:
        conn.execute(
            update(t.sync_profile).where(t.sync_profile.c.id == 1).values(graph_user_id=None, folder_id=None)
        )
    assert "Map van-anna-1" in world(A_ID).get("/1").text
    assert "Map van-anna-1" in world(ANNA).get("/1").text
    assert world(A_ID).get("/2").status_code == 404


@pytest.mark.parametrize(
    "name", ["admin", "Anna", "anna@a.example/../x", "a@b", f"{ANNA} or 1=1", "%", ANNA + "\x7f"]
)
def test_a_name_that_is_no_account_has_no_profile(world: Callable[[str], TestClient], name: str) -> None:
    assert world(name).get("/1").status_code == 404


def test_nothing_is_shown_while_nobody_can_say_who_it_is(
    world: Callable[[str], TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory(is_away=True)
    monkeypatch.setattr("sync_lib.operate.colleagues.brief_outlook", lambda *_, **__: directory)
    for path in ("/", "/1"):
        answer = world(ANNA).get(path)
        assert answer.status_code == 503
        assert "Microsoft 365 does not answer" in answer.text
        assert "van-anna" not in answer.text
    # An object id is the account itself.
    assert "Map van-anna-1" in world(A_ID).get("/1").text


def test_a_profile_that_has_ended_is_nobodys(world: Callable[[str], TestClient], engine: Engine) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == 1).values(ended_at=NOON))
    assert world(ANNA).get("/1").status_code == 404
