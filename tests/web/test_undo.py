"""Undo: the page says before anybody asks what the next run then does, and afterwards what became of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select, update

from sync_lib.store import tables as t
from sync_lib.web import words
from tests.sync.harness import Harness, person, world
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.surroundings import VIEWER
from tests.web.test_contacts import text_of
from tests.web.world import add_company, add_person, add_plan, add_profile, add_result, add_run, at

Make = Callable[..., TestClient]
JAN, PIET = "Jan Jansen", "Piet Post"


@pytest.fixture
def h(make_harness: Any) -> Harness:
    """Two contacts; a run took a title from BC for one and one from Outlook for the other."""
    h = make_harness(world(*(person(name, jobTitle="Inkoper") for name in (JAN, PIET))))
    h.add_profiles()
    h.full(run_id="first")
    h.edit_contact(JAN, jobTitle="Directeur")
    h.edit_item(PIET, jobTitle="Chef")
    h.run(run_id="second")
    return h


def rows(html: str) -> list[str]:
    body = (
        html.partition("<h2>What would be written</h2>")[2].partition("</table>")[0].partition("<tbody>")[2]
    )
    return sorted(text_of(row) for row in body.split("<tr>")[1:])


def titles(h: Harness) -> set[str]:
    return {each["jobTitle"] for each in (*h.contacts().values(), *h.items().values())}


def wanted(html: str) -> dict[str, Any]:
    """What the page's script sends when a person confirms."""
    found = dict(re.findall(r'data-(profile|run|plan|n)="([^"]*)"', html))
    numbers = {name: int(value) for name, value in found.items() if name != "run" and value}
    return numbers | {"run": found["run"]}


def test_the_preview_is_what_the_next_run_does(h: Harness, visit: Make) -> None:
    html = visit(VIEWER).get("/undo?profile=1&run=second").text
    planned = rows(html)
    assert len(planned) == 4
    assert (
        f"planned only update in Outlook {JAN} jan.jansen@klant.example job title Directeur → Inkoper"
        in planned
    )
    assert any(row.startswith("planned only update in Business Central Piet Post") for row in planned)
    assert "never deleted, whatever is undone" in html
    assert "data-confirm" not in html
    html = visit().get("/undo?profile=1&run=second").text
    answer = visit().post("/undo", json=wanted(html))
    assert answer.json() == {"address": "/contact_sync/undo/1", "profile": "1"}
    assert "The next run of the profile carries it out" in visit(VIEWER).get("/undo/1").text
    h.run(run_id="third", profiles=["1"])
    assert titles(h) == {"Inkoper"}
    done = visit().get("/plans/1/third").text
    assert done.count("a person wanted it back as it was") == 4
    page = visit().get("/undo/1").text
    assert "2 contacts are as they were before." in page
    assert 'href="/contact_sync/plans/1/third"' in page
    assert ">editor</bdi>" in page


def test_one_change_from_the_plan_and_from_the_life_of_a_contact(h: Harness, visit: Make) -> None:
    plan = visit().get("/plans/1/second").text
    links = re.findall(r'href="/contact_sync(/undo\?profile=1&amp;run=second&amp;plan=\d+&amp;n=\d+)"', plan)
    assert len(links) == 2
    assert 'href="/contact_sync/undo?profile=1&amp;run=second"' in plan
    life = visit().get("/contacts", params={"q": JAN}).text
    [contact] = re.findall(r'href="/contact_sync(/contacts/1/[^"]*)"', life)
    [link, *_] = re.findall(r'href="/contact_sync(/undo\?[^"]*)"', visit().get(contact).text)
    html = visit().get(link.replace("&amp;", "&")).text
    assert "Undo this change" in html
    assert {JAN in row for row in rows(html)} == {True}
    visit().post("/undo", json=wanted(html))
    h.run()
    assert h.items()[JAN]["jobTitle"] == h.contacts()[JAN]["jobTitle"] == "Inkoper"
    assert h.contacts()[PIET]["jobTitle"] == "Chef"


def test_what_stays_is_reported_before_and_after(h: Harness, visit: Make) -> None:
    h.edit_contact(JAN, jobTitle="Voorzitter")
    h.run()
    html = visit().get("/undo?profile=1&run=second").text
    assert len(rows(html)) == 2
    stays = html.partition("What stays as it is")[2]
    assert "Somebody changed it since" in stays
    assert f"{JAN}</bdi></a></td>" in stays
    visit().post("/undo", json=wanted(html))
    h.run()
    page = text_of(visit().get("/undo/1").text)
    assert "1 contact is as it was before." in page
    assert "1 × Somebody changed it since" in page


def test_above_the_limit_the_page_says_that_a_person_decides(
    make_harness: Any,
    visit: Make,
) -> None:
    names = [f"Persoon {n:03}" for n in range(70)]
    h = make_harness(world(*(person(name, jobTitle="Inkoper") for name in names)), guard_few_deletes=100)
    h.add_profiles()
    h.full()
    for name in names:
        h.edit_contact(name, jobTitle="Fout")
    h.run(run_id="wrong")
    html = visit().get("/undo?profile=1&run=wrong").text
    assert "The guard would hold this until a person approves it:" in html
    assert "More values would be replaced than the limit" in html
    assert len(rows(html)) == 50
    assert 'rel="next"' in html
    visit().post("/undo", json=wanted(html))
    assert h.run().writes == {}
    assert 'href="/contact_sync/holds/1"' in visit().get("/undo/1").text


def test_withdrawing(h: Harness, visit: Make) -> None:
    visit().post("/undo", json={"profile": 1, "run": "second"})
    assert "Withdraw" in visit().get("/undo/1").text
    assert "Withdraw" not in visit(VIEWER).get("/undo/1").text
    assert visit().post("/undo/1/withdraw").json() == {"address": "/contact_sync/undo/1"}
    assert visit().post("/undo/1/withdraw").status_code == 409
    assert "It was withdrawn" in visit().get("/undo/1").text
    assert h.run().writes == {}
    assert visit().post("/undo/9/withdraw").status_code == 404
    assert visit().get("/undo/9").status_code == 404


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("GET", {}, 400),
        ("GET", {"profile": 9, "run": "second"}, 404),
        ("GET", {"profile": 1, "run": "unheard"}, 200),
        ("POST", {"profile": "x", "run": "second"}, 400),
        ("POST", {"profile": 9, "run": "second"}, 404),
    ],
)
def test_what_cannot_be_understood(
    h: Harness, visit: Make, method: str, body: dict[str, Any], status: int
) -> None:
    where = {"params": body} if method == "GET" else {"json": body}
    assert visit().request(method, "/undo", **where).status_code == status


def test_a_dry_run_has_nothing_to_undo(h: Harness, visit: Make) -> None:
    h.edit_contact(JAN, jobTitle="Nog iets")
    h.run(run_id="dry", dry_run=True)
    assert "/undo?" not in visit().get("/plans/1/dry").text
    assert "There is nothing that could go back." in visit().get("/undo?profile=1&run=dry").text


def test_in_dutch(h: Harness, visit: Make) -> None:
    html = visit(language="nl").get("/undo?profile=1&run=second").text
    assert "Ongedaan maken wat deze run deed" in html
    assert "wordt nooit verwijderd" in html


def test_the_page_changes_nothing_by_being_looked_at(h: Harness, visit: Make) -> None:
    visit().get("/undo?profile=1&run=second")
    with h.edges.engine.connect() as conn:
        assert conn.execute(select(t.undo.c.id)).all() == []
    assert h.run().writes == {}


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        company = add_company(conn, HOSTILE[0])
        for n, text in enumerate(HOSTILE):
            kept = text.replace("\0", "")
            profile = add_profile(
                conn, f"{kept}@a.example", company=company, folder_name=kept, company_name=kept
            )
            run = add_run(conn, f"r{kept}", at(n))
            add_result(conn, run, profile, started_at=at(n))
            add_person(conn, company, f"b{n}", name=kept, email=kept)
            gone = {
                "action": "delete_outlook",
                "outcome": "deleted",
                "bc_id": f"b{n}",
                "before": {"name": text},
            }
            add_plan(conn, profile, run, gone)
        conn.execute(update(t.bc_contact).values(type="Company"))
    for profile, text in enumerate(HOSTILE, 1):
        run = f"r{text}".replace("\0", "")
        answer = visit().get("/undo", params={"profile": profile, "run": run})
        assert_plain_text(answer.text)
        if len(run) <= 1000:
            assert "delete" in answer.text or rows(answer.text) or "create in Outlook" in answer.text
            made = visit().post("/undo", json={"profile": profile, "run": run}).json()
            assert_plain_text(visit().get(made["address"].removeprefix("/contact_sync")).text)


def test_every_state_has_a_word() -> None:
    assert {"undo_open", "undo_done", "undo_withdrawn"} <= set(words.WORDS)
