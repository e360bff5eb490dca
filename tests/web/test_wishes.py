"""The page of a contact: leave it out of a folder, take it back, or sync it at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, select, update

from sync_lib.store import tables as t
from sync_lib.store import wishes
from tests.web.hostile import HOSTILE
from tests.web.surroundings import VIEWER
from tests.web.world import NOON, add_company, add_item, add_person, add_profile

Make = Callable[..., TestClient]
ROOT = "/contact_sync"


@pytest.fixture
def company(engine: Engine) -> int:
    """Jan, tied in Anna's folder and new in Bram's, whose profile is switched off; and an item of Anna's own."""
    with engine.begin() as conn:
        key = add_company(conn)
        anna = add_profile(conn, "anna@a.example", company=key, folder_id="f", graph_user_id="u")
        add_profile(conn, "bram@a.example", company=key, enabled=False)
        add_person(conn, key, "b1", name="Jan", email="jan@a.example")
        add_item(conn, anna, "o1", name="Jan")
        add_item(conn, anna, "o2", name="Eva")
        values = {
            "profile": anna,
            "bc_id": "b1",
            "outlook_id": "o1",
            "origin": "made_by_sync",
            "state": "active",
        }
        conn.execute(insert(t.coupling).values(values | {"created_at": NOON, "updated_at": NOON}))
    return key


def left_out(engine: Engine, profile: int = 1) -> set[str]:
    with engine.connect() as conn:
        return set(wishes.read_left_out(conn, profile))


def test_it_is_left_out_and_taken_back(visit: Make, engine: Engine, company: int) -> None:
    address = f"/contacts/{company}/b1"
    page = visit().get(address).text
    assert page.count("Leave this contact out") == 2
    assert page.count("Sync this one now") == 1, "not of a profile that is switched off"
    answer = visit().post(f"{address}/leave-out/1")
    assert answer.json() == {"address": f"{ROOT}{address}", "profile": "1"}
    assert left_out(engine) == {"b1"}
    page = visit().get(address).text
    assert "left it out: the next run takes it out" in page
    assert "editor" in page
    assert "Take it back" in page
    assert visit().post(f"{address}/sync-now/1").status_code == 409
    with engine.begin() as conn:
        conn.execute(update(t.coupling).values(state="released"))
    assert "it stays in this folder and syncs no more" in visit().get(address).text
    with engine.begin() as conn:
        conn.execute(t.coupling.delete())
    assert "where it is never made, changed or tied" in visit().get(address).text
    dutch = visit(language="nl").get(address).text
    assert "heeft het uit deze map weggelaten" in dutch
    assert "Terugnemen" in dutch
    assert visit().post(f"{address}/take-back/1").status_code == 200
    assert left_out(engine) == set()
    assert "Left out by editor, taken back by editor" in visit().get(address).text
    assert visit().post(f"{address}/take-back/1").status_code == 409


def test_no_run_is_started_for_a_profile_that_is_switched_off(
    visit: Make, engine: Engine, company: int
) -> None:
    assert visit().post(f"/contacts/{company}/b1/leave-out/2").json()["profile"] == ""
    assert left_out(engine, 2) == {"b1"}
    assert visit().post(f"/contacts/{company}/b1/sync-now/2").status_code == 409


def test_it_is_synced_at_once(visit: Make, engine: Engine, company: int) -> None:
    address = f"/contacts/{company}/b1"
    assert visit().post(f"{address}/sync-now/1").json()["profile"] == "1"
    assert "editor wants it synced at once" in visit().get(address).text
    assert "Sync this one now" in visit().get("/items/1/o2").text
    assert "Leave this contact out" not in visit().get("/items/1/o2").text
    assert visit().post("/items/1/o2").json() == {"address": f"{ROOT}/items/1/o2", "profile": "1"}
    with engine.connect() as conn:
        assert set(conn.scalars(select(t.wish.c.contact))) == {"b1", "o2"}


@pytest.mark.parametrize("address", ["contacts/1/b1/leave-out/1", "contacts/1/b1/sync-now/1", "items/1/o2"])
def test_who_may_only_look_says_nothing(visit: Make, engine: Engine, company: int, address: str) -> None:
    assert visit(VIEWER).post(f"/{address}").status_code == 403
    assert "data-wish" not in visit(VIEWER).get(f"/contacts/{company}/b1").text
    assert left_out(engine) == set()


@pytest.mark.parametrize(
    "address",
    ["contacts/1/b9/leave-out/1", "contacts/9/b1/leave-out/1", "contacts/1/b1/leave-out/9", "items/1/o9"],
)
def test_what_there_is_not_is_left_alone(visit: Make, company: int, address: str) -> None:
    assert visit().post(f"/{address}").status_code == 404
    assert visit().post(f"/contacts/{company}/b1/forget/1").status_code == 400


def test_names_are_shown_as_text(visit: Make, engine: Engine, company: int) -> None:
    with engine.begin() as conn:
        for n, text in enumerate(HOSTILE):
            row = {"profile": 1, "bc_id": "b1", "left_by": text.replace("\0", ""), "left_at": NOON}
            back = {} if n == 0 else {"back_by": text.replace("\0", ""), "back_at": NOON}
            conn.execute(insert(t.left_out).values(row | back))
    page = visit().get(f"/contacts/{company}/b1").text
    assert not any(text in page for text in HOSTILE if "<" in text)
