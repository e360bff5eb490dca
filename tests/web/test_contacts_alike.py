"""What many profiles answer alike about a contact is said once; what only few answer is said by each of them."""

from __future__ import annotations

import html as markup
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page
from sqlalchemy import Engine, insert, update

from sync_lib.store import tables as t
from sync_lib.web import contacts
from sync_lib.web.app import make_app
from sync_lib.web.contacts_alike import MANY
from tests.browsers import chromium
from tests.web.conftest import shared_app
from tests.web.queries import counted
from tests.web.surroundings import EDITOR, open_seams, served
from tests.web.world import NOON, add_company, add_person, add_profile, add_reject

Make = Callable[..., TestClient]
Fill = Callable[..., list[int]]
DELFT = [["City", "Delft"]]
WORDS = ("Which mailboxes", "profiles:", "For all", "no folder, for", "one by one", 'name="mailbox"')


@pytest.fixture
def fill(engine: Engine) -> Fill:
    """A function that adds profiles, each with its filter, and whether the contact is in its folder."""
    with engine.begin() as conn:
        company = add_company(conn)
        add_person(
            conn, company, "b1", name="Jan Jansen", city="Utrecht", email="jan@x.example", salesperson="JR"
        )

    def add(*filters: Sequence[Sequence[str]], tied: bool = False, **values: str) -> list[int]:
        made = []
        with engine.begin() as conn:
            for filter_ in filters:
                said = {"filter": json.dumps(filter_), "company": company, **values}
                key = add_profile(conn, "new", **said)
                mailbox = f"collega{key:03}@a.example"
                conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == key).values(mailbox=mailbox))
                made.append(key)
                if tied:
                    row = {"profile": key, "bc_id": "b1", "outlook_id": f"o{key}", "origin": "made_by_sync"}
                    conn.execute(
                        insert(t.coupling).values(state="active", created_at=NOON, updated_at=NOON, **row)
                    )
                    item = {
                        "profile": key,
                        "id": f"o{key}",
                        "etag": "",
                        "last_modified": NOON,
                        "record": "{}",
                    }
                    conn.execute(insert(t.outlook_contact).values(item))
        return made

    return add


def parts(page: str) -> tuple[list[str], list[str]]:
    """What a reader sees of each answer by itself, and of each that many give, without who gives it."""

    def texts(html: str) -> list[str]:
        html = re.sub("<details>.*?</details>|<div class=.wishes.>.*?</div>", "", html, flags=re.DOTALL)
        found = re.findall("<li>(.*?)</li>", html, flags=re.DOTALL)
        return [re.sub(r"\s+", " ", markup.unescape(re.sub("<[^>]+>", " ", each))).strip() for each in found]

    own = page.partition('<ul class="answers">')[2].partition("</ul>\n")[0]
    alike = page.partition('<ul class="answers alike">')[2].partition("<h2>")[0]
    return texts(own), texts(alike)


def named(page: str) -> list[str]:
    return re.findall(r'<bdi class="name">([^<]*)</bdi>', page)


# -- what is put together --------------------------------------------------------------------------------------------


def test_all_say_the_same(visit: Make, fill: Fill) -> None:
    fill(*[DELFT] * 210)
    page = visit(EDITOR).get("/contacts/1/b1").text
    sentence = "The filter leaves it out: City is “Utrecht”, and the profile wants “Delft”."
    assert parts(page) == ([], [f"In no folder, for all 210 profiles not in the folder {sentence} Filter"])
    assert page.count(markup.escape(sentence, quote=False)) == 1
    # Who they are is folded, and only so many are named.
    assert page.count("/contacts/1/b1?profile=") == contacts.NAMED
    assert "and 160 more" in page


def test_all_have_it(visit: Make, fill: Fill) -> None:
    fill(*[[]] * 5, tied=True)
    [said] = parts(visit(EDITOR).get("/contacts/1/b1").text)[1]
    assert said.startswith("In the folders of all 5 profiles in the folder The sync made it in this folder")
    assert "Tied together · active" in said


def test_who_differs_comes_first_and_each_by_itself(visit: Make, engine: Engine, fill: Fill) -> None:
    fill(*[DELFT] * 40)
    [tied] = fill([], tied=True)
    [off, _] = fill([["Name", "Piet"]], [["Name", "Kees"]])
    fill(*[[]] * 6, enabled=False)
    alone, alike = parts(visit(EDITOR).get("/contacts/1/b1").text)
    assert [each.split()[0] for each in alone] == [f"collega{n:03}@a.example" for n in (tied, off, off + 1)]
    assert "in the folder" in alone[0]
    assert "the profile wants “Piet”" in alone[1]
    assert [" ".join(each.split()[:3]) for each in alike] == ["For 40 profiles", "For 6 profiles"]
    assert "The profile is switched off." in alike[1]


def test_few_profiles_answer_as_ever(visit: Make, fill: Fill) -> None:
    for n in range(1, MANY):
        fill(DELFT)
        page = visit(EDITOR).get("/contacts/1/b1").text
        assert len(parts(page)[0]) == n
        assert [word for word in WORDS if word in page] == []
    fill(DELFT)
    assert parts(visit(EDITOR).get("/contacts/1/b1").text)[0] == []


def test_filters_that_each_profile_has_for_itself(visit: Make, fill: Fill) -> None:
    """As of profiles per post code: what each of them wants would be as many sentences."""
    fill(*[[["City", f"Dorp {n}"]] for n in range(30)])
    fill(*[[[["City", f"Dorp {n}"]], [["Name", "Piet"]]] for n in range(8)])
    alone, alike = parts(visit(EDITOR).get("/contacts/1/b1").text)
    assert alone == []
    assert alike == [
        (
            "For 30 profiles not in the folder "
            "The filter leaves it out: City is “Utrecht”, and each profile wants something else. Filter"
        ),
        (
            "For 8 profiles not in the folder The filter leaves it out, since none of its groups holds it; "
            "each profile has groups of its own. Filter"
        ),
    ]


def test_a_code_of_their_own_makes_no_answer_of_their_own(visit: Make, engine: Engine, fill: Fill) -> None:
    keys = fill(*[[["Salesperson Code", "%me"]]] * 5)
    with engine.begin() as conn:
        for key in keys:
            mine = update(t.sync_profile).where(t.sync_profile.c.id == key)
            conn.execute(mine.values(salesperson_code=f"C{key}"))
    client = visit(EDITOR)
    state = shared_app().state
    state.seams = replace(state.seams, field_profile=lambda: "extended")
    [said] = parts(client.get("/contacts/1/b1").text)[1]
    assert "Salesperson Code is “JR”, and the profile wants “%me”." in said


def test_a_field_that_does_not_sync_makes_a_difference(visit: Make, engine: Engine, fill: Fill) -> None:
    keys = fill(*[[]] * 9, tied=True)
    with engine.begin() as conn:
        for key in keys[:4]:
            add_reject(conn, key, "b1", "too_long", field="city")
        add_reject(conn, keys[4], "b1", "too_long", field="job_title")
    alone, alike = parts(visit(EDITOR).get("/contacts/1/b1").text)
    assert ["The text is longer" in each for each in alone] == [True]
    assert sorted(each.count("The text is longer") for each in alike) == [0, 1]


# -- one by one ------------------------------------------------------------------------------------------------------


def test_a_mailbox_is_found_among_many(visit: Make, fill: Fill) -> None:
    fill(*[DELFT] * 40)
    page = visit(EDITOR).get("/contacts/1/b1?mailbox=COLLEGA01").text
    assert named(page) == [f"collega{n:03}@a.example" for n in range(10, 20)]
    assert "Leave this contact out" in page
    assert 'href="/contact_sync/contacts/1/b1"' in page
    assert "No mailbox matches." in visit(EDITOR).get("/contacts/1/b1?mailbox=niemand").text


def test_those_that_answer_alike_one_by_one_and_in_parts(visit: Make, fill: Fill) -> None:
    fill(*[DELFT] * 30)
    [key] = re.findall(
        r'href="/contact_sync(/contacts/1/b1\?same=[0-9a-f]+)"', visit(EDITOR).get("/contacts/1/b1").text
    )
    first = visit(EDITOR).get(key).text
    assert len(named(first)) == contacts.ANSWERS
    [second] = re.findall('href="/contact_sync([^"]*)" rel="next"', first)
    shown = named(visit(EDITOR).get(markup.unescape(second)).text)
    assert shown == [f"collega{n:03}@a.example" for n in range(26, 31)]
    # Once they answer something else, all of them are shown as ever.
    assert len(parts(visit(EDITOR).get("/contacts/1/b1?same=0123").text)[1]) == 1


def test_answers_of_few_come_in_parts(visit: Make, engine: Engine, fill: Fill) -> None:
    keys = fill(*[[]] * 30, tied=True)
    with engine.begin() as conn:
        for n, key in enumerate(keys):
            add_reject(conn, key, "b1", f"reason_{n}", field="city")
    pages = [visit(EDITOR).get(f"/contacts/1/b1?profiles={n}").text for n in (1, 2)]
    assert [len(parts(page)[0]) for page in pages] == [contacts.ANSWERS, 5]


def test_one_profile_alone(visit: Make, fill: Fill) -> None:
    keys = fill(*[DELFT] * 10)
    page = visit(EDITOR).get(f"/contacts/1/b1?profile={keys[3]}").text
    assert len(parts(page)[0]) == 1
    assert [word for word in WORDS if word in page] == []


# -- as all pages ----------------------------------------------------------------------------------------------------


def test_in_dutch(visit: Make, fill: Fill) -> None:
    fill(*[DELFT] * 9)
    [said] = parts(visit(EDITOR, "nl").get("/contacts/1/b1").text)[1]
    assert said.startswith("In geen enkele map, voor alle 9 profielen")
    assert "Plaats is “Utrecht”" in said


def test_the_number_of_queries_does_not_grow(visit: Make, engine: Engine, fill: Fill) -> None:
    def queries(path: str) -> int:
        with counted(engine) as statements:
            assert visit(EDITOR).get(path).status_code == 200
        return len(statements)

    fill(*[DELFT] * 2)
    paths = ("/contacts/1/b1", "/contacts/1/b1?mailbox=collega")
    few = [queries(path) for path in paths]
    fill(*[DELFT] * 300)
    fill(*[[]] * 30, tied=True)
    assert [queries(path) for path in paths] == few


@pytest.fixture
def phone(engine: Engine, fill: Fill) -> Iterator[Page]:
    fill(*[DELFT] * 60)
    fill([], tied=True)
    with served(make_app(open_seams(engine))) as root, chromium() as browser:
        size = {"width": 390, "height": 844}
        page = browser.new_context(viewport=size, locale="nl-NL", base_url=root).new_page()
        page.goto("contacts/1/b1", wait_until="networkidle")
        yield page


@pytest.mark.browser
def test_on_a_phone(phone: Page) -> None:
    is_narrow = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert phone.locator(".answers > li").count() == 2
    assert not phone.locator(".alike .people").is_visible()
    phone.locator(".alike summary").click()
    assert phone.locator(".alike .people a").first.is_visible()
    assert phone.evaluate(is_narrow)
    phone.get_by_role("searchbox").fill("collega04")
    phone.get_by_role("searchbox").press("Enter")
    phone.wait_for_function("document.querySelectorAll('.answers > li').length === 10")
    assert phone.evaluate(is_narrow)
