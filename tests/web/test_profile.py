"""The profile's page: what it shows, what it refuses and where it says so, and that nobody overwrites anybody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, update

from sync_lib.fields.bc_columns import columns_of
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.history import Author, write_change
from sync_lib.store.profiles.importing import export_profiles, import_profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.web import profile as page
from sync_lib.web import profile_sheet as sheet
from sync_lib.web import profile_words
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.surroundings import VIEWER
from tests.web.world import add_profile

Make = Callable[..., TestClient]

FILTER = [["Plaats", "Utrecht|Zeist"], ["Name", "<>*test*"]]


@pytest.fixture
def anna(engine: Engine) -> int:
    with engine.begin() as conn:
        bound = {"graph_user_id": "anna", "folder_id": "f-anna"}
        return add_profile(conn, "anna@a.example", salesperson_code="AB", filter=json.dumps(FILTER), **bound)


@pytest.fixture
def new(engine: Engine) -> int:
    """A profile that has never synced."""
    with engine.begin() as conn:
        return add_profile(conn, "ana@a.example")


def stored(engine: Engine, key: int) -> Profile:
    with read(engine) as conn:
        return profiles.read_profile(conn, key)


def form_of(html: str) -> dict[str, str]:
    """What a browser would send of the page as it is."""
    form = html.partition('<form id="profile"')[2].partition("<template")
    html = form[0] + form[2].partition("</template>")[2]
    values = {}
    for tag, attributes in re.findall(r"<(input|select)\b([^>]*)>", html):
        given = {name: unescape(value) for name, _, value in re.findall(r'([\w-]+)(="([^"]*)")?', attributes)}
        name = given.get("name", "")
        if tag == "select":
            _, _, options = html.partition(f'<select name="{name}"')
            chosen = re.search(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
            assert chosen
            values[name] = unescape(chosen[1] or chosen[2])
        elif given.get("type") not in ("checkbox", "radio") or "checked" in given:
            values[name] = given.get("value", "")
    return values


def wrong(html: str) -> list[str]:
    return [unescape(text) for text in re.findall(r'<p class="wrong"[^>]*>([^<]*)', html)]


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_all_settings_are_shown(visit: Make, anna: int) -> None:
    html = visit().get(f"/profiles/{anna}").text
    sent = form_of(html)
    assert sent["enabled"] == "true"
    assert (sent["folder_name"], sent["direction"], sent["language"]) == ("Business Central", "both", "nl")
    assert sent["salesperson_code"] == "AB"
    assert [sent[name] for name in profile_values.POLICIES] == ["recreate", "delete", "delete", "fill"]
    assert [sent["field-0"], sent["expression-0"]] == ["Plaats", "Utrecht|Zeist"]
    assert [sent["field-1"], sent["expression-1"]] == ["Name", "<>*test*"]
    # What makes it this profile is shown, and cannot be changed.
    assert "<h1><bdi>anna@a.example</bdi></h1>" in html
    assert not {"mailbox", "company_name", "default_folder"} & sent.keys()


def test_every_setting_of_a_profile_has_words_and_a_place_on_the_page() -> None:
    every = set(ProfileEntry.__slots__)
    assert set(profile_words.SETTINGS) == every
    assert {*sheet.FIXED, *sheet.EDITED, "filter"} == every
    for column, options in {**profile_values.POLICIES, "direction": profile_values.DIRECTIONS}.items():
        assert tuple(choice.value for choice in profile_words.SETTINGS[column].choices) == options


def test_the_overview_leads_here(visit: Make, anna: int) -> None:
    html = visit().get("/").text
    assert f'<a href="/contact_sync/profiles/{anna}"><bdi class="name">anna@a.example' in html
    assert 'href="/contact_sync/profiles/new"' in html
    assert "profiles/new" not in visit(VIEWER).get("/").text


def test_a_viewer_reads_and_is_offered_nothing(visit: Make, anna: int) -> None:
    html = visit(VIEWER).get(f"/profiles/{anna}").text
    assert '<fieldset class="all" disabled>' in html
    assert "Utrecht|Zeist" in html
    for offered in ("<button", "hx-post", "<template"):
        assert offered not in html


def test_a_profile_that_is_not_there(visit: Make) -> None:
    for address in ("/profiles/99", "/profiles/0", "/profiles/x"):
        assert visit().get(address).status_code in (400, 404)
    assert visit().post("/profiles/99", data={}).status_code == 404


def test_fields_have_their_dutch_captions_for_dutch_readers(visit: Make, anna: int) -> None:
    html = visit(language="nl").get(f"/profiles/{anna}").text
    for column in columns_of("standard"):
        assert f">{column.captions[0]}</option>" in html
    assert "Salesperson Code" not in html, "the standard field profile does not read it"


# -- while it is typed -----------------------------------------------------------------------------------------------


def check(client: TestClient, name: str, expression: str) -> str:
    answer = client.post("/profiles/check", data={"field-7": name, "expression-7": expression})
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize(
    ("expression", "marked", "position", "expected"),
    [
        ("A*||B", "A*|[|]B", 4, "a value ('' for blank)"),
        ("(A", "(A[ ]", 3, "a closing parenthesis"),
        ("x" * 50 + "()" + "y" * 50, "…" + "x" * 40 + "[(])" + "y" * 39 + "…", 51, "| or &"),
    ],
)
def test_an_error_is_reported_with_its_place_while_typing(
    visit: Make, expression: str, marked: str, position: int, expected: str
) -> None:
    html = check(visit(), "City", expression)
    before, mark, after = re.findall(r"<(?:span|mark)>([^<]*)</", html)
    assert f"{before}[{mark}]{after}" == marked
    [text] = wrong(html)
    assert text.startswith(f"Not understood at position {position}. Expected: {expected}")


def test_errors_are_reported_in_dutch(visit: Make) -> None:
    dutch = visit(language="nl")
    assert "Niet te begrijpen op positie 3. Verwacht: een haakje sluiten." in check(dutch, "City", "(A")
    assert "een van Company, Person" in check(dutch, "Type", "Robot")
    assert "achter &gt;, geen bereik" in check(dutch, "Name", ">A..B")
    assert "vraagt om &#39;extended&#39;" in check(dutch, "Verkoperscode", "AB")


def test_what_is_understood_is_said_too(visit: Make) -> None:
    assert "Understood" in check(visit(), "Plaats", "Utrecht|Zeist")
    assert check(visit(), "City", "  ").strip() == ""
    assert visit().post("/profiles/check").text.strip() == ""


# -- saving ----------------------------------------------------------------------------------------------------------


def send(client: TestClient, address: str, values: dict[str, Any]) -> Any:
    return client.post(address, data=values, follow_redirects=False)


def test_saving_what_is_shown_changes_nothing(visit: Make, engine: Engine, anna: int) -> None:
    before = stored(engine, anna)
    answer = send(visit(), f"/profiles/{anna}", form_of(visit().get(f"/profiles/{anna}").text))
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/contact_sync/profiles/{anna}?saved=yes"
    assert stored(engine, anna) == before
    assert "The next run syncs by these settings" in visit().get(f"/profiles/{anna}?saved=yes").text


def test_every_setting_can_be_changed(visit: Make, engine: Engine, anna: int) -> None:
    shown = form_of(visit().get(f"/profiles/{anna}").text)
    for name in ("enabled", "field-0", "expression-0"):
        del shown[name]
    chosen = {
        "folder_name": " Klanten ",
        "direction": "to_outlook",
        "salesperson_code": "cd",
        "language": "en",
        "deleted_in_outlook": "stay_away",
        "deleted_in_bc": "keep",
        "left_scope": "keep",
        "blank_in_bc": "overwrite",
        "field-4": "Post Code",
        "expression-4": " 0123 ",
        "field-5": "City",
        "expression-5": "",
        # Whoever sends these too makes no other profile of it.
        "mailbox": "eve@a.example",
        "company_name": "Other",
        "default_folder": "true",
    }
    assert send(visit(), f"/profiles/{anna}", shown | chosen).status_code == 303
    assert profiles.entry_of(stored(engine, anna)) == ProfileEntry(
        mailbox="anna@a.example",
        company_name="Molenzicht BV",
        enabled=False,
        folder_name="Klanten",
        filter=((("Name", "<>*test*"), ("Post Code", "0123")),),
        direction="to_outlook",
        salesperson_code="CD",
        language="en",
        deleted_in_outlook="stay_away",
        deleted_in_bc="keep",
        left_scope="keep",
        blank_in_bc="overwrite",
    )


def test_all_that_is_wrong_is_reported_at_its_place_and_nothing_is_saved(
    visit: Make, engine: Engine, anna: int
) -> None:
    before = stored(engine, anna)
    shown = form_of(visit().get(f"/profiles/{anna}").text)
    chosen = {"folder_name": "", "language": "Dutch", "direction": "up", "expression-1": "(A"}
    answer = send(visit(), f"/profiles/{anna}", shown | chosen)
    assert answer.status_code == 422
    assert wrong(answer.text) == [
        "Not understood at position 3. Expected: a closing parenthesis.",
        "The folder needs a name, for example Business Central.",
        "'up' is not one of these: both, to_outlook, to_business_central.",
        "'Dutch' is not a language code such as nl or en.",
    ]
    for place in ("#folder_name", "#language", "#direction", "#pair-1"):
        assert f'<a href="{place}">' in answer.text
        assert f'id="{place[1:]}"' in answer.text
    assert form_of(answer.text)["language"] == "Dutch", "what was typed stays"
    assert answer.text.count('aria-invalid="true"') == 3
    assert stored(engine, anna) == before


def test_a_folder_that_another_profile_of_the_mailbox_has_is_refused(
    visit: Make, engine: Engine, anna: int
) -> None:
    with engine.begin() as conn:
        bound = {"graph_user_id": "anna", "folder_id": "f-klanten"}
        add_profile(conn, "ANNA@a.example", company_name="Other", folder_name="Klanten", **bound)
        add_profile(conn, "bram@a.example", folder_name="Relaties")
    shown = form_of(visit().get(f"/profiles/{anna}").text)
    answer = send(visit(), f"/profiles/{anna}", shown | {"folder_name": "klanten"})
    assert answer.status_code == 422
    [text] = wrong(answer.text)
    assert text == (
        "Another profile of this mailbox, for the company Other, has the folder 'Klanten': choose another name."
    )
    assert stored(engine, anna).folder_name == "Business Central"
    assert send(visit(), f"/profiles/{anna}", shown | {"folder_name": "Relaties"}).status_code == 303


def test_what_somebody_else_changed_meanwhile_is_shown_and_not_overwritten(
    visit: Make, engine: Engine, anna: int
) -> None:
    shown = form_of(visit().get(f"/profiles/{anna}").text)
    with engine.begin() as conn:
        theirs = {"language": "de", "direction": "to_outlook", "filter": '[["City", "Delft"]]'}
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == anna).values(theirs))
    # I change the direction too, and the salesperson, whom nobody else touched.
    mine = {"direction": "to_business_central", "salesperson_code": "XY"}
    answer = send(visit(), f"/profiles/{anna}", shown | mine)
    assert answer.status_code == 409
    now = stored(engine, anna)
    assert (now.salesperson_code, now.direction, now.language) == ("AB", "to_outlook", "de")
    texts = re.findall(r'<p class="theirs">(.*?)</p>', answer.text, flags=re.DOTALL)
    assert [re.sub("<[^>]*>", "", each).split(":", 1)[1].strip() for each in texts] == [
        "City: Delft",
        "To Outlook only: what colleagues edit there is undone",
        "de",
    ]
    again = form_of(answer.text)
    assert (again["language"], again["direction"]) == ("de", "to_business_central")
    assert (again["salesperson_code"], again["expression-0"]) == ("XY", "Delft")
    # It was seen now, so that it can be saved.
    assert send(visit(), f"/profiles/{anna}", again).status_code == 303
    now = stored(engine, anna)
    assert (now.salesperson_code, now.direction, now.language) == ("XY", "to_business_central", "de")
    assert now.filter == ((("City", "Delft"),),)


@pytest.mark.parametrize("seen", [None, "", "1", "[]", "{}", '{"filter": [1]}', '{"filter": [], "x": 1}'])
def test_a_form_that_is_not_ours_is_refused(visit: Make, anna: int, seen: str | None) -> None:
    shown = form_of(visit().get(f"/profiles/{anna}").text)
    shown.pop("seen")
    answer = send(visit(), f"/profiles/{anna}", shown | ({} if seen is None else {"seen": seen}))
    assert answer.status_code == 400
    assert "open the page again" in answer.text


def test_the_default_folder_keeps_its_name(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        key = add_profile(conn, "bram@a.example", default_folder=True, folder_name="Contactpersonen")
    html = visit().get(f"/profiles/{key}").text
    assert 'name="folder_name"' not in html
    assert "Private contacts in it" in html
    shown = form_of(html) | {"folder_name": "Klanten", "language": "en"}
    assert send(visit(), f"/profiles/{key}", shown).status_code == 303
    now = stored(engine, key)
    assert (now.folder_name, now.default_folder, now.language) == ("Contactpersonen", True, "en")


def test_a_name_from_outlook_that_cannot_be_typed_stays_as_it_is(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        key = add_profile(conn, "bram@a.example", folder_name="Klanten\u200e")
    values = form_of(visit().get(f"/profiles/{key}").text)
    assert values["folder_name"] == "Klanten[U+200E]"
    assert send(visit(), f"/profiles/{key}", values | {"language": "en"}).status_code == 303
    now = stored(engine, key)
    assert (now.folder_name, now.language) == ("Klanten\u200e", "en")


# -- a new one -------------------------------------------------------------------------------------------------------


def test_a_new_profile(visit: Make, engine: Engine, anna: int) -> None:
    html = visit().get("/profiles/new").text
    assert '<option value="Molenzicht BV"></option>' in html
    chosen = {"mailbox": "cleo@a.example", "company_name": "Molenzicht BV", "salesperson_code": "CL"}
    answer = send(visit(), "/profiles/new", form_of(html) | chosen)
    assert answer.status_code == 303
    key = int(answer.headers["location"].split("/")[-1].partition("?")[0])
    added = ProfileEntry("cleo@a.example", "Molenzicht BV", salesperson_code="CL")
    assert key != anna
    assert profiles.entry_of(stored(engine, key)) == added


def test_a_new_profile_is_checked_like_any_other(visit: Make, engine: Engine, anna: int) -> None:
    blank = form_of(visit().get("/profiles/new").text)
    answer = send(visit(), "/profiles/new", blank)
    assert answer.status_code == 422
    assert [text.partition(" is missing")[0] for text in wrong(answer.text)] == ["The mailbox", "The company"]
    twin = {"mailbox": "Anna@a.example", "company_name": "Other"}
    assert "has the folder 'Business Central'" in wrong(send(visit(), "/profiles/new", blank | twin).text)[0]
    own = twin | {"default_folder": "true"}
    assert send(visit(), "/profiles/new", blank | own).status_code == 303
    again = send(visit(), "/profiles/new", blank | own)
    assert "own Contacts folder of this mailbox already" in wrong(again.text)[0]
    with engine.begin() as conn:
        profiles.bind_profile(conn, 2, graph_user_id="anna", folder_id="own")
    for company in ("Other", "Third"):
        named = twin | {"company_name": company, "folder_name": "contacts"}
        said = wrong(send(visit(), "/profiles/new", blank | named).text)[0]
        assert "has the folder 'Contacts'" in said or "has this mailbox, company and folder" in said
    with read(engine) as conn:
        assert [each.folder_name for each in profiles.read_profiles(conn)] == ["Business Central", "Contacts"]


# -- who changed what ------------------------------------------------------------------------------------------------


def history(html: str) -> list[tuple[str, list[str]]]:
    """Who, and each setting with what it was and became; newest first."""
    table = html.partition('<section class="history" id="history">')[2]
    found = []
    for row in re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2], flags=re.DOTALL):
        who = re.search(r'data-label="W\w+"><bdi class="value">([^<]*)', row)
        assert who
        lines = re.findall(r"<div>(.*?)</div>", row, flags=re.DOTALL)
        texts = [re.sub("<[^>]*>", " ", re.sub("</?bdi[^>]*>", "", line)) for line in lines]
        found.append((unescape(who[1]), [unescape(" ".join(text.split())) for text in texts]))
    return found


def test_who_changed_what_is_reported(visit: Make, engine: Engine) -> None:
    blank = form_of(visit().get("/profiles/new").text)
    chosen = {"mailbox": "cleo@a.example", "company_name": "Molenzicht BV", "language": "en"}
    address = send(visit(), "/profiles/new", blank | chosen).headers["location"].partition("?")[0]
    address = address.removeprefix("/contact_sync")
    shown = form_of(visit().get(address).text)
    del shown["enabled"]
    changed = {"left_scope": "keep", "field-0": "City", "expression-0": "Delft", "salesperson_code": "CL"}
    assert send(visit(), address, shown | changed).status_code == 303
    # Nothing changed: nothing to show.
    assert send(visit(), address, form_of(visit().get(address).text)).status_code == 303
    text = export_profiles(engine).replace("Delft", "Zeist")
    import_profiles(engine, text, now="2999-01-01T00:00:00.000Z", field_profile="standard")
    html = visit(VIEWER).get(address).text
    delete, keep = profile_words.SETTINGS["left_scope"].choices
    assert history(html) == [
        ("contact-sync", ["Filter City: Delft → became City: Zeist"]),
        (
            "editor",
            [
                "Sync this profile yes → became no",
                "Filter no filter → became City: Delft",
                "Salesperson code blank → became CL",
                f"No longer in the filter {delete.title} → became {keep.title}",
            ],
        ),
        ("editor", ["Language nl → became en"]),
    ]
    assert "made the profile" in html
    assert "Verkoperscode leeg → werd CL" in history(visit(language="nl").get(address).text)[1][1]


def test_a_value_that_people_wrote_is_never_translated(visit: Make, engine: Engine, anna: int) -> None:
    shown = form_of(visit().get(f"/profiles/{anna}").text)
    assert send(visit(), f"/profiles/{anna}", shown | {"folder_name": "Mailbox"}).status_code == 303
    dutch = visit(language="nl").get(f"/profiles/{anna}").text
    assert history(dutch) == [("editor", ["Outlook-map Business Central → werd Mailbox"])]


def test_what_is_refused_is_not_written_down(visit: Make, anna: int) -> None:
    shown = form_of(visit().get(f"/profiles/{anna}").text)
    assert send(visit(), f"/profiles/{anna}", shown | {"language": "Dutch"}).status_code == 422
    assert "No change is on record yet." in visit().get(f"/profiles/{anna}").text


def test_long_histories_are_cut(visit: Make, anna: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "HISTORY", 2)
    for language in ("en", "de", "fr"):
        shown = form_of(visit().get(f"/profiles/{anna}").text)
        send(visit(), f"/profiles/{anna}", shown | {"language": language})
    html = visit().get(f"/profiles/{anna}").text
    assert [lines for _, lines in history(html)] == [["Language de → became fr"], ["Language en → became de"]]
    assert "1 earlier change<" in html


# -- hostile text ----------------------------------------------------------------------------------------------------


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    client = visit()
    for text in HOSTILE:
        kept = text.replace("\0", "")
        with engine.begin() as conn:
            pairs = json.dumps([[kept, kept], ["City", kept]])
            key = add_profile(
                conn,
                f"{kept}@a.example",
                company_name=kept,
                folder_name=kept,
                language=kept[:8],
                filter=pairs,
            )
        assert_plain_text(client.get(f"/profiles/{key}").text)
        assert_plain_text(client.get("/profiles/new").text)
        assert_plain_text(check(client, text, text))
        assert_plain_text(check(client, "City", f"({text}"))
        names = (*sheet.FIXED, *sheet.EDITED, "field-0", "expression-0")
        answer = send(client, "/profiles/new", dict.fromkeys(names, text))
        assert answer.status_code == 422
        assert_plain_text(answer.text)
        shown = form_of(client.get(f"/profiles/{key}").text) | {"language": "en", "expression-0": "("}
        assert_plain_text(send(client, f"/profiles/{key}", shown).text)
        with engine.begin() as conn:
            before = ProfileEntry(kept, kept, filter=(((kept, kept),),), folder_name=kept)
            after = ProfileEntry(kept, kept, language=kept, salesperson_code=kept)
            write_change(conn, key, before, after, Author(kept, "2026-03-02T12:00:00.000Z"))
        html = client.get(f"/profiles/{key}").text
        assert len(history(html)) == 1
        assert_plain_text(html)


# -- a profile that has never synced, and one whose account was made again -------------------------------------------


def bind(engine: Engine, key: int, **values: Any) -> None:
    with engine.begin() as conn:
        profiles.bind_profile(conn, key, graph_user_id="old", folder_id="f", **values)


def test_mailbox_and_company_are_corrected_until_the_first_sync(
    visit: Make, engine: Engine, new: int
) -> None:
    """P3: on the page; afterwards both are fixed, whatever a form says."""
    client = visit()
    form = form_of(client.get(f"/profiles/{new}").text)
    corrected = {"mailbox": "anne@a.example", "company_name": "Molenzicht Groep"}
    assert client.post(f"/profiles/{new}", data=form | corrected, follow_redirects=False).status_code == 303
    assert stored(engine, new).mailbox == "anne@a.example"
    assert stored(engine, new).company_name == "Molenzicht Groep"
    bind(engine, new)
    html = client.get(f"/profiles/{new}").text
    assert 'name="mailbox"' not in html
    assert "Remove this profile" not in html
    client.post(f"/profiles/{new}", data=form_of(html) | {"mailbox": "eva@a.example"}, follow_redirects=False)
    assert stored(engine, new).mailbox == "anne@a.example"
    assert client.post(f"/profiles/{new}/remove", follow_redirects=False).status_code == 409


def test_a_profile_that_has_never_synced_is_removed(visit: Make, new: int) -> None:
    """P3: by who may edit."""
    assert visit(VIEWER).post(f"/profiles/{new}/remove").status_code == 403
    assert "Remove this profile" in visit().get(f"/profiles/{new}").text
    assert visit().post(f"/profiles/{new}/remove", follow_redirects=False).status_code == 303
    assert visit().get(f"/profiles/{new}").status_code == 404


def test_a_person_says_that_it_is_the_same_colleague(visit: Make, engine: Engine, anna: int) -> None:
    """I10: on the page of the profile."""
    bind(engine, anna, successor="new")
    assert "It is the same colleague" in visit().get(f"/profiles/{anna}").text
    assert visit().post(f"/profiles/{anna}/same-colleague", follow_redirects=False).status_code == 303
    moved = stored(engine, anna)
    assert (moved.graph_user_id, moved.folder_id, moved.successor) == ("new", None, "")
    assert "It is the same colleague" not in visit().get(f"/profiles/{anna}").text


@pytest.mark.parametrize(("said", "answer"), [("go-back", "go_back"), ("leave", "leave")])
def test_a_person_says_which_folder_counts(
    visit: Make, engine: Engine, anna: int, said: str, answer: str
) -> None:
    """I11: on the page of the profile, by who may edit; another answer takes the place of the first one."""
    path = f"/profiles/{anna}/second-folder/{said}"
    assert "second-folder" not in visit().get(f"/profiles/{anna}").text
    assert visit().post(path, follow_redirects=False).status_code == 303
    assert stored(engine, anna).second_answer == ""
    bind(engine, anna, second_folder="second")
    assert path in visit().get(f"/profiles/{anna}").text
    assert path not in visit(VIEWER).get(f"/profiles/{anna}").text
    assert visit(VIEWER).post(path).status_code == 403
    assert visit().post(f"/profiles/{anna}/second-folder/both").status_code == 400
    assert visit().post(path, follow_redirects=False).status_code == 303
    assert stored(engine, anna).second_answer == answer
    assert "Answered: the next run" in visit().get(f"/profiles/{anna}").text
