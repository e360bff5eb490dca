"""Plans: old and new values of every change, in kinds, searched and cut by the database; and holds."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select, update

from sync_lib.model import CouplingState
from sync_lib.store import tables as t
from sync_lib.store.holds import HoldState
from sync_lib.store.queries import plans as store
from sync_lib.web import plans, words
from tests.test_docs import OPERATOR, codes, section
from tests.test_docs import rows as rows_of
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import EDITOR, VIEWER
from tests.web.world import (
    add_company,
    add_hold,
    add_item,
    add_person,
    add_plan,
    add_profile,
    add_result,
    add_run,
    at,
    counters,
)

Make = Callable[..., TestClient]
RUN = "scheduled__2026-03-02T12:00:00+00:00"


def change(action: str, outcome: str | None = "updated", **values: object) -> dict[str, object]:
    return {"action": action, "outcome": outcome, **values}


@pytest.fixture
def world(engine: Engine) -> dict[str, int]:
    """A run that did a bit of everything to Anna's contacts, and holds two deletes."""
    with engine.begin() as conn:
        company = add_company(conn)
        anna = add_profile(conn, "anna@a.example", company=company)
        add_run(conn, RUN, at(1))
        held = {"reason": "too_many_deletes", "counters": counters(20, held=2, updated=4)}
        add_result(conn, RUN, anna, "held", started_at=at(1), **held)
        add_person(conn, company, "b1", name="Piet Pietersen", email="piet@x.example")
        add_item(conn, anna, "o2", name="Kees", email_key="kees@x.example")
        phone, said = {"phone": "010-1"}, {"job_title": 'Chef "Inkoop"'}
        plan = add_plan(
            conn,
            anna,
            RUN,
            change("update_outlook", bc_id="b1", before=phone, after={"phone": "010-2"}),
            change(
                "update_outlook",
                bc_id="b1",
                cause="conflict",
                before=said,
                losing=said,
                after={"job_title": ""},
            ),
            change("update_business_central", outlook_id="o2", after={"city": "Delft"}, before={"city": ""}),
            change("create_outlook", "created", bc_id="b9", after={"name": "Zoë", "email": "zoe@x.example"}),
            change("update_outlook", "failed", bc_id="b1", after=phone, reason="version_mismatch"),
            change(
                "delete_outlook", "held", outlook_id="o2", before={"name": "Kees"}, reason="too_many_deletes"
            ),
            change(
                "delete_outlook", "held", outlook_id="o3", before={"name": "Ons"}, reason="too_many_deletes"
            ),
            change(
                "delete_outlook", "held", outlook_id="o4", before={"name": "Old"}, reason="rejected_by_person"
            ),
        )
        hold = add_hold(conn, profile=anna, plan=plan, run=RUN, requested=1)
        add_hold(conn, company=company, offered=3, reasons=["bc_count_dropped"], state="superseded")
    return {"anna": anna, "plan": plan, "hold": hold, "company": company}


def address(world: dict[str, int], **query: str) -> str:
    question = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    return f"/plans/{world['anna']}/{quote(RUN)}?{question}"


def kinds(html: str) -> dict[tuple[str, str], int]:
    found = re.findall(r'>([\w ]+) <span class="state state-\w+">([^<]+)</span> <strong>(\d+)</strong>', html)
    return {(action, outcome): int(count) for action, outcome, count in found}


def lines(html: str) -> list[str]:
    body = html.rpartition("<tbody>")[2].partition("</tbody>")[0]
    return [re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", row)).strip() for row in body.split("<tr>")[1:]]


def test_changes_in_kinds_per_direction(visit: Make, world: dict[str, int]) -> None:
    html = visit(VIEWER).get(address(world)).text
    assert "What this run did" in html
    assert kinds(html) == {
        ("update in Outlook", "updated"): 1,
        ("update in Outlook", "conflict"): 1,
        ("update in Outlook", "failed"): 1,
        ("create in Outlook", "created"): 1,
        ("delete in Outlook", "held"): 3,
        ("update in Business Central", "updated"): 1,
    }
    assert re.search(r"<h2>To Outlook.*?>7<.*<h2>To Business Central.*?>1<", html, flags=re.DOTALL)
    assert len(lines(html)) == 8


def test_old_and_new_with_reason_and_what_lost(visit: Make, world: dict[str, int]) -> None:
    first, conflict, to_bc, created, failed, *_ = lines(visit().get(address(world)).text)
    assert first == (
        "updated update in Outlook undo… Piet Pietersen piet@x.example business phone 010-1 → 010-2"
        " changed in Business Central"
    )
    assert "job title Chef &#34;Inkoop&#34; lost → blank conflict" in conflict
    assert "Kees kees@x.example city blank → Delft" in to_bc
    # Staging does not know it yet: the change itself says who it is.
    assert created.startswith(
        "created create in Outlook undo… Zoë zoe@x.example name Zoë e-mail address zoe@x.example"
    )
    assert "Somebody edited the contact at the same moment." in failed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("PIET", 3), ("piet@", 3), ("kees@x", 2), ("zoë", 1), ("ZOË", 1), ("delft", 1), ('"inkoop"', 1), ("010-", 2),
        ("city", 0), ("job_title", 0), ("%", 0), ("_", 0), (".*", 0), ("\\", 0), ("'", 0), ("(?", 0),
    ],
)  # fmt: skip
def test_search_in_names_and_values(visit: Make, world: dict[str, int], text: str, found: int) -> None:
    assert len(lines(visit().get(address(world, q=text)).text)) == found


def test_a_kind_narrows_the_list(visit: Make, world: dict[str, int]) -> None:
    html = visit().get(address(world, action="update_outlook", outcome="conflict")).text
    assert len(lines(html)) == 1
    assert len(kinds(html)) == 6
    assert ">1 change" in html


def test_what_a_dry_run_would_do_stays_planned(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with engine.begin() as conn:
        add_run(conn, "dry", at(2), dry_run=True)
        add_result(conn, "dry", world["anna"], started_at=at(2))
        planned = change("create_outlook", None, state="planned", after={"name": "A"})
        given_up = change("create_outlook", "skipped", reason="superseded", after={"name": "B"})
        add_plan(conn, world["anna"], "dry", planned, given_up, dry_run=True)
    html = visit().get(f"/plans/{world['anna']}/dry").text
    assert "What this run would do" in html
    assert kinds(html) == {("create in Outlook", "planned only"): 2}


def test_a_run_without_a_plan_says_so(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with engine.begin() as conn:
        add_run(conn, "quiet", at(3))
        add_result(conn, "quiet", world["anna"], started_at=at(3))
    html = visit().get(f"/plans/{world['anna']}/quiet").text
    assert "Nothing was planned" in html
    assert f'href="/contact_sync/holds/{world["hold"]}"' in html
    assert "knows no run of this name" in visit().get(f"/plans/{world['anna']}/unheard").text
    assert visit().get("/plans/99/quiet").status_code == 404
    assert visit().get("/plans/x/quiet").status_code == 400
    assert visit().get(f"/plans/{2**60}/quiet").status_code == 400


def test_long_plans_come_in_parts(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with engine.begin() as conn:
        many = [change("create_outlook", "created", after={"name": f"Person {n:03}"}) for n in range(120)]
        add_plan(conn, world["anna"], "long", *many)
    pages = [lines(visit().get(f"/plans/{world['anna']}/long?part={n}").text) for n in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [plans.PART_SIZE, plans.PART_SIZE, 20, 0]
    assert len({line for page in pages for line in page}) == 120


def test_htmx_gets_the_list_alone(visit: Make, world: dict[str, int]) -> None:
    for where in (address(world), f"/holds/{world['hold']}"):
        part = visit().get(where, headers={"hx-target": "changes"}).text
        assert "<html" not in part
        assert lines(part)
    panel = visit().get(f"/holds/{world['hold']}", headers={"hx-target": "hold"}).text
    assert "<html" not in panel
    assert 'data-answer="Approve"' in panel


# -- holds -----------------------------------------------------------------------------------------------------------


def test_a_hold_shows_what_it_covers_and_why(visit: Make, world: dict[str, int]) -> None:
    html = visit(VIEWER).get(f"/holds/{world['hold']}").text
    assert "More contacts would be deleted in Outlook than the limit" in html
    assert kinds(html) == {("delete in Outlook", "held"): 2}
    assert "Old" not in "".join(lines(html)), "rejected in an earlier hold"
    assert ">2 changes<" in html
    assert visit().get("/holds/99").status_code == 404


def test_buttons_answer_the_question_of_exactly_this_hold(visit: Make, world: dict[str, int]) -> None:
    html = visit().get(f"/holds/{world['hold']}").text
    run = f"hold_{world['hold']}_1_0123456789ab"
    asked = f"dags/contact_sync_approval/dagRuns/{run}/taskInstances/wait_for_person/-1/hitlDetails"
    assert f'data-question="{asked}"' in html
    assert re.findall(r'data-answer="(\w+)"', html) == ["Approve", "Reject"]
    assert re.search(r"data-ask-again hidden", html)
    assert "data-answer" not in visit(VIEWER).get(f"/holds/{world['hold']}").text


@pytest.mark.parametrize("state", ["approved", "rejected", "superseded", "applied"])
def test_who_decided_and_no_buttons_behind_it(
    visit: Make, engine: Engine, world: dict[str, int], state: str
) -> None:
    with engine.begin() as conn:
        decided = {"decided_by": "eva", "decided_at": at(5), "decided_how": "person"}
        conn.execute(update(t.hold).where(t.hold.c.id == world["hold"]).values(state=state, **decided))
    html = visit().get(f"/holds/{world['hold']}").text
    assert "data-answer" not in html.replace("data-answered", "")
    assert ("data-ask-again" in html) is (state == "rejected")
    assert ">eva</bdi>" in html
    carried_out = f'href="/contact_sync/plans/{world["anna"]}/hold_{world["hold"]}_1_0123456789ab"'
    assert (carried_out in html) is (state in ("approved", "applied"))
    assert ("every 5s" in html) is (state == "approved")


def test_nobody_in_time(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with engine.begin() as conn:
        decided = {"state": "rejected", "decided_at": at(5), "decided_how": "timeout"}
        conn.execute(update(t.hold).where(t.hold.c.id == world["hold"]).values(decided))
    assert "by nobody: the time for an answer was over" in visit().get(f"/holds/{world['hold']}").text


def test_a_rejected_hold_is_asked_about_again(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    key = world["hold"]
    with engine.begin() as conn:
        conn.execute(update(t.hold).where(t.hold.c.id == key).values(state="rejected", decided_by="eva"))
    answer = visit(EDITOR).post(f"/holds/{key}/ask_again")
    assert answer.json() == {"run": f"hold_{key}_2_0123456789ab", "conf": {"hold": key, "asked": 2}}
    with engine.connect() as conn:
        row = conn.execute(
            select(t.hold.c.state, t.hold.c.asked, t.hold.c.requested).where(t.hold.c.id == key)
        ).one()
    assert row == ("open", 2, 1)
    html = visit().get(f"/holds/{key}").text
    assert f"hold_{key}_2_0123456789ab" in html
    # Airflow has not heard of it yet.
    assert re.search(r"data-ask-again>", html)


def test_an_open_hold_is_not_asked_about_again(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    """G8: the question that waits stays the one that is answered, however often somebody presses."""
    for _ in range(2):
        assert visit(EDITOR).post(f"/holds/{world['hold']}/ask_again").status_code == 409
    with engine.connect() as conn:
        found = conn.execute(select(t.hold.c.state, t.hold.c.asked).where(t.hold.c.id == world["hold"]))
        assert found.one() == ("open", 1)


def test_an_emptied_folder_has_two_answers_of_its_own(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    """G5: they say what happens to the contacts; Airflow takes them as Approve and Reject."""
    with engine.begin() as conn:
        conn.execute(update(t.hold).values(reasons='["folder_suddenly_empty"]'))
    html = visit(EDITOR).get(f"/holds/{world['hold']}").text
    assert 'data-answer="Approve">Bring them back<' in html
    assert 'data-answer="Reject">Leave them away<' in html


def test_there_is_nothing_to_ask_about_a_superseded_hold(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.hold).values(state="superseded"))
    answer = visit().post(f"/holds/{world['hold']}/ask_again", headers={"hx-request": "true"})
    assert answer.status_code == 409
    assert "was not rejected" in answer.text
    assert visit().post("/holds/99/ask_again").status_code == 404
    assert visit(VIEWER).post(f"/holds/{world['hold']}/ask_again").status_code == 403


def test_a_held_company(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with engine.begin() as conn:
        key = add_hold(conn, company=world["company"], offered=1200, reasons=["bc_count_dropped"], run=RUN)
    html = visit().get(f"/holds/{key}").text
    assert "the whole company: Business Central lists only 1,200 contacts" in html
    assert re.findall(r'data-answer="(\w+)"', html) == ["Approve", "Reject"]
    assert 'id="changes"' not in html
    assert visit().get(f"/changes.csv?hold={key}").status_code == 404


def test_the_history_of_plans(visit: Make, world: dict[str, int], engine: Engine) -> None:
    with engine.begin() as conn:
        add_plan(
            conn, world["anna"], add_run(conn, "dry", "2026-03-05T08:00:00.000Z", dry_run=True), dry_run=True
        )
    html = visit(VIEWER).get("/history").text
    assert f'href="/contact_sync/plans/{world["anna"]}/{quote(RUN)}"' in html
    planned = visit().get("/history?kind=planned").text
    assert f'href="/contact_sync/plans/{world["anna"]}/dry"' in planned
    assert quote(RUN) not in planned
    assert f'/plans/{world["anna"]}/dry"' not in visit().get("/history?kind=done").text
    assert "Nothing matches." in visit().get("/history?q=nobody").text
    assert "Nothing matches." not in visit().get("/history?q=ANNA").text
    assert visit().get("/history?kind=x").status_code == 400
    assert "Older" not in html
    with engine.begin() as conn:
        for n in range(60):
            run = add_run(conn, f"more{n:02}", f"2026-03-05T10:{n:02}:00.000Z")
            change = {"action": "update_outlook", "bc_id": "b1", "outlook_id": "o", "outcome": "updated"}
            add_plan(conn, world["anna"], run, change)
    first, second = (visit().get(f"/history?part={part}").text for part in (1, 2))
    assert ("more59" in first, "Older" in first, "Newer" in first) == (True, True, False)
    assert ("more00" in second, quote(RUN) in second, "Newer" in second) == (True, True, True)


def test_the_list_of_holds(visit: Make, world: dict[str, int]) -> None:
    html = visit(VIEWER).get("/plans").text
    assert html.count(f'href="/contact_sync/holds/{world["hold"]}"') == 1
    assert "Molenzicht BV" in visit().get("/plans?state=superseded").text
    assert "whole company" in visit().get("/plans?state=superseded").text
    assert "Nothing matches." in visit().get("/plans?q=nobody").text
    assert "Nothing matches." not in visit().get("/plans?q=ANNA").text


@pytest.mark.parametrize("text", ["Élan", "élan", "ÉLAN", "lan"])
def test_a_company_is_found_in_any_case(
    visit: Make, engine: Engine, world: dict[str, int], text: str
) -> None:
    with engine.begin() as conn:
        for table, column in ((t.company, "name"), (t.sync_profile, "company_name")):
            conn.execute(update(table).values({column: "Bureau Élan"}))
    for page in ("plans", "history"):
        assert "Nothing matches." not in visit().get(f"/{page}?q={text}").text
    assert visit().get("/plans?state=x").status_code == 400


def test_nothing_waits(visit: Make) -> None:
    assert "Nothing waits" in visit().get("/plans").text


def test_the_overview_leads_here(visit: Make, world: dict[str, int]) -> None:
    for where in ("/", f"/runs/{quote(RUN)}"):
        html = visit().get(where).text
        assert f'href="/contact_sync/holds/{world["hold"]}"' in html
        assert f'href="/contact_sync/plans/{world["anna"]}/{quote(RUN)}"' in html
    assert "Look and decide" in visit().get("/").text


# -- the file --------------------------------------------------------------------------------------------------------


def read_file(text: str) -> list[list[str]]:
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:], newline="")))


def test_the_file_holds_a_line_per_field(visit: Make, world: dict[str, int]) -> None:
    answer = visit(VIEWER).get("/changes.csv", params={"profile": world["anna"], "run": RUN})
    assert answer.headers["content-disposition"] == 'attachment; filename="contact_sync_changes.csv"'
    head, *found = read_file(answer.text)
    assert {len(line) for line in found} == {len(head)}
    assert len(found) == 9
    first = dict(zip(head, found[0], strict=True))
    assert (first["Old value"], first["New value"]) == ("010-1", "010-2")
    assert (first["Written to"], first["Field"]) == ("Outlook", "business phone")
    assert dict(zip(head, found[1], strict=True))["Lost a conflict"] == "yes"
    held = read_file(visit().get("/changes.csv", params={"hold": world["hold"], "q": "ons"}).text)
    assert [line[7] for line in held[1:]] == ["Ons"]
    assert visit().get("/changes.csv").status_code == 404


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    client, runs = visit(), []
    with engine.begin() as conn:
        company = add_company(conn, HOSTILE[0])
        for n, text in enumerate(HOSTILE):
            kept = text.replace("\0", "")
            named = {"company_name": kept, "folder_name": kept, "company": company}
            profile = add_profile(conn, f"{kept}@a.example", **named)
            add_person(conn, company, f"b{n}", name=kept, email=kept)
            add_item(conn, profile, kept, name=kept, email_key=kept)
            run = add_run(conn, f"r{kept}", at(n))
            add_result(conn, run, profile, "failed", reason=kept[:60], message=kept, started_at=at(n))
            fields = {"before": {kept[:20]: text}, "after": {kept[:20]: text}, "losing": {"name": text}}
            shared = {"bc_id": f"b{n}", "outlook_id": kept, "cause": kept[:60], "reason": kept[:60], **fields}
            changes = change(kept[:30], kept[:16], **shared), change("delete_outlook", "held", **shared)
            plan = add_plan(conn, profile, run, *changes)
            decided = {"decided_by": kept, "decided_at": at(n), "state": "rejected"}
            hold = add_hold(conn, profile=profile, plan=plan, run=run, reasons=[kept[:60]], **decided)
            runs.append((text, profile, run, hold))
    for text, profile, run, hold in runs:
        # A line end in an address has no route.
        own = [] if "\n" in run else [f"/plans/{profile}/{quote(run)}"]
        for path in (*own, f"/holds/{hold}", "/plans", "/"):
            assert_plain_text(client.get(path).text)
            assert_plain_text(client.get(path, params={"q": text}).text)
        for whose in ({"profile": profile, "run": run[:200]}, {"hold": hold}):
            found = read_file(client.get("/changes.csv", params=whose).text)
            for cell in (cell for line in found for cell in line):
                assert not re.match(r"\s*[=+\-@|]", cell)
                assert not re.search("[\0\x07\x1b]", cell)


def test_the_number_of_queries_does_not_grow(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    def queries(path: str) -> int:
        with counted(engine) as statements:
            assert visit().get(path).status_code == 200
        return len(statements)

    paths = ("/plans", address(world), address(world, q="a"), f"/holds/{world['hold']}", "/")
    few = [queries(path) for path in paths]
    with engine.begin() as conn:
        for n in range(60):
            profile = add_profile(conn, f"user{n}@a.example", company=world["company"])
            plan = add_plan(conn, profile, RUN, change("delete_outlook", "held", before={"name": "a"}))
            add_hold(conn, profile=profile, plan=plan)
            add_plan(conn, world["anna"], RUN, change("update_outlook", after={"name": "a"}), round=n + 2)
    assert [queries(path) for path in paths] == few


def test_every_code_that_a_plan_shows_has_a_word() -> None:
    causes = {code for row in rows_of(section(OPERATOR, "Causes")) for code in codes(row[0])}
    assert len(causes) > 15
    shown = causes | {store.PLANNED, store.SENDING, store.WOULD_BE} | {f"hold_{state}" for state in HoldState}
    shown |= {f"tie_{state}" for state in CouplingState}
    assert shown <= set(words.WORDS)
