"""The preview on the profile's page. Whether it is right, the tests of ``settings_preview`` ask the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, insert, select

from sync_lib.store import tables as t
from sync_lib.web import profile as page
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import VIEWER
from tests.web.test_profile import form_of
from tests.web.test_rejects import add_company, add_item, add_person
from tests.web.world import NOON, add_profile

Make = Callable[..., TestClient]


def add_synced(conn: Connection, profile: int, company: int, key: str, **values: Any) -> None:
    """A person, and the item that stands for them in the folder."""
    add_person(conn, company, key, **values)
    add_item(conn, profile, f"o{key}")
    rows = [
        conn.execute(table.select().where(table.c.id == name)).one().row_id
        for table, name in ((t.bc_contact, key), (t.outlook_contact, f"o{key}"))
    ]
    row = {"bc_id": key, "bc_row": rows[0], "outlook_id": f"o{key}", "outlook_row": rows[1]}
    row |= {"origin": "made_by_sync", "state": "active", "created_at": NOON, "updated_at": NOON}
    conn.execute(insert(t.coupling).values(profile=profile, **row))


@pytest.fixture
def anna(engine: Engine) -> int:
    """A profile of the persons of Utrecht, of whom three are synced; five live in Zeist."""
    with engine.begin() as conn:
        company = add_company(conn)
        conn.execute(insert(t.cursor).values(side="business_central", scope=str(company), updated_at=NOON))
        pairs = json.dumps([["City", "Utrecht"]])
        bound = {"company": company, "graph_user_id": "anna", "folder_id": "f-anna"}
        key = add_profile(conn, "anna@a.example", filter=pairs, **bound)
        for n in range(3):
            values = {"name": f"Utrecht {n}", "email_key": f"u{n}@x.example", "city": "Utrecht"}
            add_synced(conn, key, company, f"u{n}", **values)
        for n in range(5):
            values = {"name": f"Zeist {n}", "email_key": f"z{n}@x.example", "city": "Zeist"}
            add_person(conn, company, f"z{n}", problem="email_missing" if n == 4 else "", **values)
    return key


def preview(client: TestClient, key: int, **changes: str) -> str:
    values = form_of(client.get(f"/profiles/{key}").text) | changes
    answer = client.post(f"/profiles/{key}/preview", data=values)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    return answer.text


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", html))


def test_who_would_come_and_go_by_name(visit: Make, anna: int) -> None:
    shown = plain(preview(visit(), anna, **{"expression-0": "Zeist"}))
    assert "4 contacts match · 1 more has no name or no valid e-mail address" in shown
    assert "+ 4 contacts would come into the folder Zeist 0 Zeist Zeist 1" in shown
    assert "− 3 contacts would be deleted in Outlook Utrecht 0" in shown
    assert "Zeist 4" not in shown
    # Three of three are more than the guard lets pass.
    assert "More contacts would be deleted in Outlook than the limit: the deletes would be held" in shown
    assert "As Business Central was last read:" in shown


def test_in_dutch(visit: Make, anna: int) -> None:
    shown = plain(preview(visit(language="nl"), anna, **{"expression-0": "Zeist"}))
    assert "4 contacten voldoen · nog 1 heeft geen naam of geen geldig e-mailadres" in shown
    assert "− 3 contacten zouden in Outlook worden verwijderd" in shown
    assert "de verwijderingen worden vastgehouden tot iemand ze goedkeurt" in shown


def test_the_other_settings_of_the_form_count_too(visit: Make, anna: int) -> None:
    zeist = {"expression-0": "Zeist"}
    shown = plain(preview(visit(), anna, left_scope="keep", **zeist))
    assert "3 contacts would stay in the folder, and be synced no longer The profile keeps" in shown
    assert "held" not in shown
    shown = plain(preview(visit(), anna, direction="to_business_central", **zeist))
    assert "In this direction nothing is deleted in Outlook." in shown
    assert "+ 4 would only be tied to contacts that are in the folder already" in shown
    client = visit()
    values = form_of(client.get(f"/profiles/{anna}").text)
    del values["enabled"]
    assert "switched off" in client.post(f"/profiles/{anna}/preview", data=values).text


def test_nothing_would_change(visit: Make, anna: int) -> None:
    shown = plain(preview(visit(), anna))
    assert "3 contacts match" in shown
    assert "Saving adds no contacts and removes none." in shown


def test_a_wrong_condition_has_no_preview(visit: Make, anna: int) -> None:
    assert "Correct the conditions first" in preview(visit(), anna, **{"expression-0": "(Zeist"})
    # What is wrong elsewhere does not matter to it.
    assert "contacts match" in preview(visit(), anna, language="Dutch", folder_name="")


def test_long_lists_are_cut_and_can_be_made_longer(
    visit: Make, anna: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "NAMES", 2)
    html = preview(visit(), anna, **{"expression-0": "Zeist"})
    assert "Zeist 1" in html
    assert "Zeist 2" not in html
    assert "and 2 more" in plain(html)
    more = re.search(r"hx-vals='(.*?)'", html)
    assert more
    assert "Zeist 3" in preview(visit(), anna, **{"expression-0": "Zeist"}, **json.loads(more[1]))
    for names in ("-1", "x", "1e9", "9" * 5000):
        answer = preview(visit(), anna, names=names)
        assert "contacts match" in answer


def test_a_viewer_sees_whom_the_stored_filter_holds(visit: Make, anna: int) -> None:
    viewer = visit(VIEWER)
    html = viewer.get(f"/profiles/{anna}").text
    address = re.search(r'hx-get="/contact_sync(/profiles/\d+/preview)" hx-trigger="load"', html)
    assert address
    assert "3 contacts match" in plain(viewer.get(address[1]).text)


def test_a_new_profile_of_a_company_that_is_known(visit: Make, anna: int) -> None:
    client = visit()
    blank = form_of(client.get("/profiles/new").text)
    values = blank | {"company_name": "molenzicht bv", "field-0": "City", "expression-0": "Zeist"}
    shown = plain(client.post("/profiles/new/preview", data=values).text)
    assert "4 contacts match" in shown
    assert "4 contacts come with the first sync. Zeist 0" in shown
    only = {"direction": "to_business_central"}
    shown = plain(client.post("/profiles/new/preview", data=values | only).text)
    assert "4 contacts would only be tied to those that are in the folder already." in shown
    unknown = client.post("/profiles/new/preview", data=blank | {"company_name": "Other"})
    assert "Nothing of this company has been read yet" in unknown.text
    nowhere = client.post("/profiles/new/preview", data=blank)
    assert "Fill in the company first" in nowhere.text


def test_a_profile_that_has_never_synced_says_who_comes_with_the_first_sync(
    visit: Make, engine: Engine, anna: int
) -> None:
    """U4: nothing is in its folder yet, so that nobody is added to it or removed by saving."""
    with engine.begin() as conn:
        company = conn.execute(select(t.company.c.id)).scalar_one()
        new = add_profile(conn, "new@a.example", company=company, filter='[["City", "Utrecht"]]')
        # Somebody who joins by a filter of nobody.
        empty = add_profile(conn, "empty@a.example", company=company, filter='[["City", "Delft"]]')
    shown = plain(preview(visit(), new))
    assert "3 contacts come with the first sync. Utrecht 0" in shown
    assert "nobody" not in shown
    assert "next run adds" not in shown
    assert "No contact comes with the first sync." in plain(preview(visit(), empty))
    assert "3 contacten komen bij de eerste sync" in plain(preview(visit(language="nl"), new))


def test_nothing_is_staged_yet(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        never_read = add_company(conn, "Leeg BV")
        keys = [add_profile(conn, "a@a.example"), add_profile(conn, "b@a.example", company=never_read)]
    for key in keys:
        assert "Nothing of this company has been read yet" in preview(visit(), key)


def test_hostile_text_is_text(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        for n, text in enumerate(HOSTILE):
            kept = text.replace("\0", "")
            values = {"name": kept, "company_name": kept, "city": "Zeist", "email_key": f"h{n}@x.example"}
            add_person(conn, 1, f"h{n}", **values)
    html = preview(visit(), anna, **{"expression-0": "Zeist"})
    assert "+ 19 contacts would come" in plain(html)
    assert_plain_text(html)
    for text in HOSTILE:
        assert_plain_text(preview(visit(), anna, salesperson_code=text, **{"expression-0": text}))


def test_the_number_of_queries_does_not_grow(visit: Make, engine: Engine, anna: int) -> None:
    def queries() -> int:
        with counted(engine) as statements:
            preview(visit(), anna, **{"expression-0": "Zeist"})
        return len(statements)

    few = queries()
    with engine.begin() as conn:
        for n in range(300):
            values = {"name": f"Zeist {n}", "email_key": f"more{n}@x.example", "city": "Zeist"}
            add_person(conn, 1, f"more{n}", **values)
            add_profile(conn, f"user{n}@a.example", company=1)
    assert queries() == few > 0
