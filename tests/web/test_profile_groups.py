"""Groups of a filter on the profile's page: shown, sent, checked, merged, previewed, explained; and added by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, insert, update

from sandbox import Sandbox
from sync_lib.fields.filters import Groups
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from sync_lib.web.app import make_app
from tests.browsers import chromium
from tests.sync.harness import Harness, person, world
from tests.web.surroundings import VIEWER, open_seams, seams_of, served
from tests.web.test_profile import form_of, history, send, stored, wrong
from tests.web.test_profile_preview import plain
from tests.web.test_rejects import add_company, add_person
from tests.web.world import NOON, add_profile

Make = Callable[..., TestClient]

UTRECHT, HAARLEM = (("City", "Utrecht"),), (("Plaats", "Haarlem"), ("Job Title", "<>''"))
WRITTEN = json.dumps([UTRECHT, HAARLEM])


@pytest.fixture
def anna(engine: Engine) -> int:
    """A profile of two groups; one person of the company is in each, and one in none."""
    with engine.begin() as conn:
        company = add_company(conn)
        conn.execute(insert(t.cursor).values(side="business_central", scope=str(company), updated_at=NOON))
        for key, city, title in (("u", "Utrecht", ""), ("h", "Haarlem", "Inkoper"), ("n", "Haarlem", "")):
            add_person(conn, company, key, name=key, email_key=f"{key}@x.example", city=city, job_title=title)
        bound = {"graph_user_id": "anna", "folder_id": "f-anna", "company": company}
        return add_profile(conn, "anna@a.example", filter=WRITTEN, **bound)


def shown(client: TestClient, key: int) -> dict[str, str]:
    return form_of(client.get(f"/profiles/{key}").text)


def without(form: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in form.items() if name not in names}


def test_groups_are_shown_and_saving_them_changes_nothing(visit: Make, engine: Engine, anna: int) -> None:
    html = visit().get(f"/profiles/{anna}").text
    form = form_of(html)
    parts = [name for name in form if name.partition("-")[0] in ("group", "field")]
    assert parts == ["group-0", "field-0", "group-1", "field-1", "field-2"]
    assert (form["field-1"], form["expression-2"]) == ("Plaats", "<>''")
    for number in (1, 2):
        assert f">Group {number}</strong>" in html
    assert send(visit(), f"/profiles/{anna}", form).status_code == 303
    assert stored(engine, anna).filter == (UTRECHT, HAARLEM)
    assert history(visit().get(f"/profiles/{anna}").text) == []


def test_a_viewer_reads_them_and_is_offered_nothing(visit: Make, anna: int) -> None:
    html = visit(VIEWER).get(f"/profiles/{anna}").text
    assert ">Group 2</strong>" in html
    for offered in ("<button", "hx-post", "<template"):
        assert offered not in html


@pytest.mark.parametrize(
    ("gone", "more", "expected"),
    [
        ((), {"group-9": "", "field-9": "City", "expression-9": "Delft"}, (UTRECHT, HAARLEM, (("City", "Delft"),))),
        (("group-0", "field-0", "expression-0"), {}, (HAARLEM,)),
        # One group as a form sends it that was opened before the upgrade.
        (("group-0", "group-1"), {}, ((*UTRECHT, *HAARLEM),)),
        # A blank condition filters nothing, and a group of only such ones counts for nothing.
        ((), {"expression-0": " "}, (HAARLEM,)),
        ((), {"expression-1": ""}, (UTRECHT, HAARLEM[1:])),
        ((), {"group-9": "", "field-9": "City", "expression-9": ""}, (UTRECHT, HAARLEM)),
        ((), {"group-9": ""}, (UTRECHT, HAARLEM)),
        ((), {"expression-0": "", "expression-1": "", "expression-2": ""}, ()),
    ],
)  # fmt: skip
def test_what_a_form_says_is_stored(
    visit: Make, engine: Engine, anna: int, gone: tuple[str, ...], more: dict[str, str], expected: Groups
) -> None:
    form = without(shown(visit(), anna), *gone) | more
    assert send(visit(), f"/profiles/{anna}", form).status_code == 303
    assert stored(engine, anna).filter == expected


def test_a_form_that_was_opened_before_the_upgrade_is_saved(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(filter=json.dumps(UTRECHT)))
    form = shown(visit(), anna)
    assert json.loads(form["seen"])["filter"] == [["City", "Utrecht"]]
    form = without(form, "group-0") | {"language": "en"}
    assert send(visit(), f"/profiles/{anna}", form).status_code == 303
    assert (stored(engine, anna).filter, stored(engine, anna).language) == ((UTRECHT,), "en")


def test_an_error_is_shown_with_its_group(visit: Make, engine: Engine, anna: int) -> None:
    form = shown(visit(), anna) | {"expression-2": "(a"}
    answer = send(visit(), f"/profiles/{anna}", form)
    assert answer.status_code == 422
    assert wrong(answer.text) == ["Not understood at position 3. Expected: a closing parenthesis."]
    assert '<a href="#pair-2">Filter, group 2</a>' in answer.text
    assert 'id="pair-2"' in answer.text
    assert form_of(answer.text)["expression-2"] == "(a"
    dutch = send(visit(language="nl"), f"/profiles/{anna}", form).text
    assert '<a href="#pair-2">Filter, groep 2</a>' in dutch
    assert stored(engine, anna).filter == (UTRECHT, HAARLEM)


def test_the_length_is_counted_over_all_groups(visit: Make, anna: int) -> None:
    form = shown(visit(), anna) | {"expression-0": "a" * 1_500, "expression-2": "b" * 500}
    answer = send(visit(), f"/profiles/{anna}", form)
    assert answer.status_code == 422
    [message] = wrong(answer.text)
    assert "at most 2000 characters" in message
    assert '<a href="#pair-2">Filter, group 2</a>' in answer.text


def test_groups_that_somebody_else_chose_meanwhile_are_shown(visit: Make, engine: Engine, anna: int) -> None:
    form = shown(visit(), anna)
    theirs = json.dumps([UTRECHT, (("City", "Delft"),)])
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(filter=theirs))
    answer = send(visit(), f"/profiles/{anna}", form | {"language": "en"})
    assert answer.status_code == 409
    [message] = re.findall(r'<p class="theirs">(.*?)</p>', answer.text, flags=re.DOTALL)
    assert plain(message).split(":", 1)[1].strip() == "City: Utrecht or City: Delft"
    again = form_of(answer.text)
    assert again["expression-1"] == "Delft"
    assert send(visit(), f"/profiles/{anna}", again).status_code == 303
    assert stored(engine, anna).filter == (UTRECHT, (("City", "Delft"),))


def test_who_changed_groups_and_from_what(visit: Make, anna: int) -> None:
    form = without(shown(visit(), anna), "group-0", "field-0", "expression-0")
    send(visit(), f"/profiles/{anna}", form)
    assert history(visit().get(f"/profiles/{anna}").text) == [
        (
            "editor",
            [
                "Filter City: Utrecht or Plaats: Haarlem Job Title: <>'' → became Plaats: Haarlem Job Title: <>''"
            ],
        )
    ]
    dutch = history(visit(language="nl").get(f"/profiles/{anna}").text)
    assert "City: Utrecht of Plaats: Haarlem" in dutch[0][1][0]


def test_the_preview_counts_all_groups(visit: Make, anna: int) -> None:
    client = visit()
    form = shown(client, anna)

    def preview(**changes: str) -> str:
        return plain(client.post(f"/profiles/{anna}/preview", data=form | changes).text)

    assert "2 contacts match" in preview()
    assert "3 contacts match" in preview(**{"group-9": "", "field-9": "City", "expression-9": "Haarlem"})
    # A group that has just been added asks for nobody.
    assert "2 contacts match" in preview(**{"group-9": "", "field-9": "City", "expression-9": ""})
    assert "Correct the conditions first" in preview(**{"expression-2": "("})


SAID = {
    "en": (
        "out: The filter leaves it out, since none of its groups holds it. "
        "Group 1: City is “Haarlem”, and the profile wants “Utrecht”. "
        "Group 2: Job Title is blank, and the profile wants “<>''”."
    ),
    "nl": (
        "out: Het valt buiten het filter, want het past in geen van de groepen. "
        "Groep 1: Plaats is “Haarlem”, en het profiel wil “Utrecht”. "
        "Groep 2: Functie is leeg, en het profiel wil “<>''”."
    ),
}


@pytest.mark.parametrize("language", SAID)
def test_why_says_of_each_group_which_condition_failed(
    visit: Make, engine: Engine, anna: int, language: str
) -> None:
    with read(engine) as conn:
        company = profiles.read_profile(conn, anna).company

    def why(key: str) -> str:
        html = visit(language=language).get(f"/contacts/{company}/{key}").text
        [state] = re.findall(
            r'<span class="state state-why-(\w+)">.*?</span> (<bdi.*?</bdi>)', html, re.DOTALL
        )
        return f"{state[0]}: {unescape(plain(state[1]))}"

    assert why("n") == SAID[language]
    for key in ("u", "h"):
        assert not why(key).startswith("out")


def test_why_says_what_me_is_in_a_group(visit: Make, engine: Engine, anna: int) -> None:
    mine = json.dumps([UTRECHT, (("Salesperson Code", "%me"),)])
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(filter=mine, salesperson_code="AB"))
        company = conn.execute(t.company.select()).one().id
    client = visit()
    client.app.state.seams = replace(seams_of(engine), field_profile=lambda: "extended")  # type: ignore[attr-defined]
    html = plain(client.get(f"/contacts/{company}/n").text)
    assert "Group 2: Salesperson Code is blank, and the profile wants “%me”, which is “AB”." in unescape(html)


# -- by hand ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def synced(tmp_path: Any) -> Iterator[tuple[Harness, str]]:
    """A folder of the persons of Utrecht, and the address of the profile's page."""
    places = (("A", "Utrecht", ""), ("B", "Utrecht", ""), ("C", "Haarlem", "Inkoper"), ("D", "Haarlem", ""))
    people = [person(f"Klant {name}", city=city, jobTitle=title) for name, city, title in places]
    with Sandbox(world=world(*people)) as sim:
        h = Harness(sim, f"sqlite:///{tmp_path}/staging.db")
        h.add_profiles(filter={"City": "Utrecht"})
        h.full()
        with served(make_app(open_seams(h.edges.engine))) as root:
            yield h, f"{root}profiles/1"
        h.close()


WORDS = {
    "en-US": ("Group", "Add a group", "Add a condition", "Remove this group", "Save", "would come"),
    "nl-NL": ("Groep", "Groep toevoegen", "Voorwaarde toevoegen", "Deze groep weghalen", "Opslaan", "komen"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("locale", "width"), [("en-US", 1280), ("nl-NL", 390)])
def test_a_person_adds_a_group_and_saves(
    browser: Browser, synced: tuple[Harness, str], locale: str, width: int
) -> None:
    h, address = synced
    group, add_group, add_condition, remove_group, save, would_come = WORDS[locale]
    page = browser.new_context(viewport={"width": width, "height": 844}, locale=locale).new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address, wait_until="networkidle")
    # One group looks as if there were none.
    expect(page.get_by_text(f"{group} 1", exact=True)).to_be_hidden()

    # By the keyboard: the new group's first field has the focus.
    page.get_by_role("button", name=add_group).press("Enter")
    second = page.get_by_role("group", name=f"{group} 2")
    expect(page.get_by_text(f"{group} 1", exact=True)).to_be_visible()
    expect(second.locator("select")).to_be_focused()
    fill(second, 0, "City", "Haarlem")
    second.get_by_role("button", name=add_condition).press("Enter")
    expect(second.locator("select").nth(1)).to_be_focused()
    fill(second, 1, "Job Title", "<>''")
    preview = page.locator("#preview")
    expect(preview.get_by_text(would_come)).to_be_visible()
    # It is asked for again with each word typed.
    expect(preview.get_by_text("+ 1")).to_be_visible()

    # A third one, by mistake.
    page.get_by_role("button", name=add_group).click()
    third = page.get_by_role("group", name=f"{group} 3")
    fill(third, 0, "City", "Haarlem")
    expect(preview.get_by_text("+ 2")).to_be_visible()
    third.get_by_role("button", name=remove_group).click()
    expect(preview.get_by_text("+ 1")).to_be_visible()
    expect(third).to_have_count(0)
    expect(second.get_by_role("button", name=add_condition)).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")

    page.get_by_role("button", name=save, exact=True).click()
    page.wait_for_url("**saved=yes")
    expect(page.get_by_role("group", name=f"{group} 2").locator(".expression").nth(1)).to_have_value("<>''")
    page.context.close()
    assert errors == []
    with read(h.edges.engine) as conn:
        assert profiles.read_profile(conn, 1).filter == (
            UTRECHT,
            (("City", "Haarlem"), ("Job Title", "<>''")),
        )
    assert h.run().writes == {"created_outlook": 1}
    assert set(h.items()) == {"Klant A", "Klant B", "Klant C"}


def fill(group: Any, number: int, field: str, expression: str) -> None:
    condition = group.locator(".pair").nth(number)
    condition.locator("select").select_option(field)
    condition.locator(".expression").fill(expression)


@pytest.mark.browser
def test_groups_are_numbered_anew_and_the_last_one_is_a_list(
    browser: Browser, synced: tuple[Harness, str]
) -> None:
    h, address = synced
    h.add_profiles(filter=[{"City": "Utrecht"}, {"City": "Haarlem"}])
    page: Page = browser.new_context(locale="en-US").new_page()
    page.goto(address, wait_until="networkidle")
    page.get_by_role("group", name="Group 1").get_by_role("button", name="Remove this group").click()
    only = page.get_by_role("group", name="Group 1")
    expect(only.locator(".expression")).to_have_value("Haarlem")
    expect(page.get_by_role("button", name="Remove this group")).to_be_hidden()
    # Without a condition it is no filter, and there is nothing that another group could add to.
    only.get_by_role("button", name="Remove this condition").click()
    expect(page.get_by_text("No condition: all of them.")).to_be_visible()
    expect(page.get_by_role("button", name="Add a group")).to_be_hidden()
    expect(page.locator("#preview").get_by_text("4 contacts match")).to_be_visible()
    page.context.close()
