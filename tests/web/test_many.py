"""Many profiles at once: each row is looked through before anything is stored, and one that is wrong stops all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, insert, select, update

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.profiles import history, rows
from sync_lib.store.profiles.importing import export_profiles
from sync_lib.store.profiles.rows import Profile
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.surroundings import EDITOR, VIEWER
from tests.web.world import NOON, add_profile

Make = Callable[..., TestClient]
FILTER = [["City", "Utrecht"], ["Name", "<>*test*"]]
BOUND = {"graph_user_id": "anna", "folder_id": "f-anna"}


@pytest.fixture
def anna(engine: Engine) -> int:
    with engine.begin() as conn:
        values = {"salesperson_code": "AB", "language": "en", "filter": json.dumps(FILTER), **BOUND}
        return add_profile(conn, "anna@a.example", left_scope="keep", **values)


def stored(engine: Engine) -> dict[str, Profile]:
    with read(engine) as conn:
        return {each.mailbox: each for each in rows.read_profiles(conn, enabled_only=False)}


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", " ", html)))


def digest_of(html: str) -> dict[str, str]:
    found = re.search(r'name="digest" value="(\w+)"', html)
    return {"digest": found[1]} if found else {}


def look(client: TestClient, **form: str) -> str:
    answer = client.post("/many/addresses", data=form)
    assert answer.status_code == 200
    return answer.text


def take(client: TestClient, **form: str) -> str:
    """Look, then press the button of what was shown."""
    html = look(client, **form)
    assert digest_of(html), "there is nothing to confirm"
    return client.post("/many/addresses/take", data=form | digest_of(html)).text


def look_at(client: TestClient, name: str, content: str | bytes, **form: str) -> str:
    sent = content.encode() if isinstance(content, str) else content
    answer = client.post("/many/file", data=form, files={"file": (name, sent)})
    assert answer.status_code == 200
    return answer.text


def take_file(client: TestClient, name: str, content: str, **form: str) -> str:
    html = look_at(client, name, content, **form)
    assert digest_of(html), plain(html)
    sent = {"file": (name, content.encode())}
    return client.post("/many/file/take", data=form | digest_of(html), files=sent).text


# -- addresses -------------------------------------------------------------------------------------------------------


def test_pasted_addresses_become_profiles_like_another_one(visit: Make, engine: Engine, anna: int) -> None:
    form = {
        "addresses": 'Bram <bram@a.example>; cees@a.example\n"Dirk, D." <dirk@a.example>',
        "like": "ANNA@a.example",
    }
    shown = plain(look(visit(), **form))
    assert "3 new profiles" in shown
    assert "1 bram@a.example new profile" in shown
    assert len(stored(engine)) == 1, "looking stores nothing"
    assert "3 new profiles" in take(visit(), **form)
    made = stored(engine)["dirk@a.example"]
    assert made.filter == (("City", "Utrecht"), ("Name", "<>*test*")) or made.filter == (
        tuple(map(tuple, FILTER)),
    )
    assert (made.company_name, made.left_scope, made.language) == ("Molenzicht BV", "keep", "en")
    assert made.salesperson_code == "", "that is Anna's own"
    with read(engine) as conn:
        changes, _ = history.read_changes(conn, made.id, 10)
    assert [(each.who, each.is_new) for each in changes] == [(EDITOR, True)]


def test_one_wrong_line_stops_all(visit: Make, engine: Engine, anna: int) -> None:
    form = {
        "addresses": "bram@a.example\nnobody\nBRAM@a.example\ncees@a.example",
        "company_name": "Molenzicht BV",
    }
    html = look(visit(), **form)
    shown = plain(html)
    assert "Nothing is stored: something has to be corrected first." in shown
    assert "Line 2: nobody : 'nobody' is not a user principal name" in shown
    assert "Line 3: BRAM@a.example : it is in line 1 already." in shown
    assert not digest_of(html)
    assert "Nothing is stored" in visit().post("/many/addresses/take", data=form | {"digest": ""}).text
    assert len(stored(engine)) == 1


def test_who_has_a_profile_is_left_alone(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        conn.execute(insert(t.former_mailbox).values(profile=anna, mailbox="an@a.example", until=NOON))
    form = {"addresses": "Anna@a.example\nan@a.example\nbram@a.example", "company_name": "molenzicht bv"}
    shown = plain(look(visit(), **form))
    assert "1 new profile" in shown
    assert "2 have a profile already, which is left alone" in shown
    take(visit(), **form)
    assert set(stored(engine)) == {"anna@a.example", "bram@a.example"}
    assert stored(engine)["anna@a.example"].salesperson_code == "AB"
    only = {"addresses": "anna@a.example", "company_name": "Molenzicht BV"}
    assert "There is nothing to change." in look(visit(), **only)


def test_a_folder_that_is_taken_is_refused(visit: Make, anna: int) -> None:
    """Anna's folder of another company has that name already (rules 1)."""
    html = look(visit(), addresses="anna@a.example\nbram@a.example", company_name="Other BV")
    assert "has the folder" in html
    assert not digest_of(html)
    shown = plain(look(visit(), addresses="anna@a.example", company_name="Other BV", folder_name="Other"))
    assert "1 new profile" in shown


def test_settings_that_are_wrong(visit: Make, anna: int) -> None:
    assert "The company is missing" in plain(look(visit(), addresses="bram@a.example"))
    nobody = look(visit(), addresses="bram@a.example", like="nobody@a.example")
    assert "No profile has the mailbox nobody@a.example" in nobody
    assert "There is no address in it." in look(visit(), addresses=" \n;,", like="anna@a.example")
    many = "\n".join(f"user{n}@a.example" for n in range(5_001))
    assert "There are more than 5000 addresses" in look(visit(), addresses=many, like="anna@a.example")


def test_what_is_stored_is_what_was_shown(visit: Make, engine: Engine, anna: int) -> None:
    form = {"addresses": "bram@a.example", "like": "anna@a.example"}
    digest = digest_of(look(visit(), **form))
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(language="fr"))
    html = visit().post("/many/addresses/take", data=form | digest).text
    assert "Nothing was stored: by now it would do something else." in html
    assert len(stored(engine)) == 1


# -- CSV -------------------------------------------------------------------------------------------------------------


def test_a_csv_changes_what_it_says_and_leaves_the_rest(visit: Make, engine: Engine, anna: int) -> None:
    text = "mailbox,language,salesperson\nanna@a.example,fr,\nbram@a.example,,CD\n"
    shown = plain(look_at(visit(), "list.csv", text, company_name="Molenzicht BV"))
    assert "1 new profile 1 changes" in shown
    assert "Language en → becomes fr" in shown
    assert "Stored." in take_file(visit(), "list.csv", text, company_name="Molenzicht BV")
    found = stored(engine)
    assert (found["anna@a.example"].language, found["anna@a.example"].salesperson_code) == ("fr", "AB")
    assert found["anna@a.example"].left_scope == "keep"
    assert (found["bram@a.example"].language, found["bram@a.example"].salesperson_code) == ("nl", "CD")


def test_one_wrong_row_of_a_csv_stops_all(visit: Make, engine: Engine, anna: int) -> None:
    text = "mailbox,company,direction\nbram@a.example,Molenzicht BV,both\ncees@a.example,Molenzicht BV,sideways\n"
    html = look_at(visit(), "list.csv", text)
    assert "Line 3, column" in html
    assert not digest_of(html)
    assert "the company is missing" in look_at(visit(), "list.csv", "mailbox\nbram@a.example\n")
    assert len(stored(engine)) == 1


def test_a_rename_is_said_before_it_is_carried_out(visit: Make, engine: Engine, anna: int) -> None:
    text = "mailbox;company;folder\nanna@a.example;Molenzicht BV;Klanten\n"
    shown = plain(look_at(visit(), "list.csv", text))
    assert (
        "1 profile gets another name: anna@a.example , Molenzicht BV : Outlook folder Business Central"
        in shown
    )
    assert stored(engine)["anna@a.example"].folder_name == "Business Central"
    take_file(visit(), "list.csv", text)
    assert stored(engine)["anna@a.example"].folder_name == "Klanten"
    assert stored(engine)["anna@a.example"].left_scope == "keep"


def test_with_several_profiles_a_row_names_the_folder(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        add_profile(conn, "anna@a.example", folder_name="Second", language="de")
    text = "mailbox,company,language\nanna@a.example,Molenzicht BV,fr\n"
    assert "name the folder" in plain(look_at(visit(), "list.csv", text))
    text = "mailbox,company,folder,language\nanna@a.example,Molenzicht BV,second,fr\n"
    shown = plain(look_at(visit(), "list.csv", text))
    assert "Language de → becomes fr" in shown


# -- YAML ------------------------------------------------------------------------------------------------------------


def test_a_yaml_file_says_what_it_would_change(visit: Make, engine: Engine, anna: int) -> None:
    text = "profiles:\n- mailbox: anna@a.example\n  company: Molenzicht BV\n  language: en\n"
    shown = plain(look_at(visit(), "profiles.yaml", text))
    # What a file leaves out goes back to its default: nobody has to find that out afterwards.
    assert "Salesperson code AB → becomes blank" in shown
    assert "no filter" in shown
    assert "Stored." in take_file(visit(), "profiles.yaml", text)
    assert stored(engine)["anna@a.example"].filter == ()
    with read(engine) as conn:
        changes, _ = history.read_changes(conn, anna, 10)
    assert changes[0].who == EDITOR


def test_a_yaml_file_with_a_wrong_row(visit: Make, engine: Engine, anna: int) -> None:
    text = "profiles:\n- mailbox: bram@a.example\n  company: Molenzicht BV\n- mailbox: cees\n  company: X\n"
    html = look_at(visit(), "profiles.yaml", text)
    assert "Profile 2 (cees), mailbox" in html
    assert not digest_of(html)
    for wrong in ("[", "profiles: 1", "", "other: x", "a: &a [*a]"):
        assert not digest_of(look_at(visit(), "profiles.yaml", wrong))
    twice = "companies:\n- name: Nowhere\n  phone_region: BE\nprofiles: []\n"
    assert "No profile has the company" in look_at(visit(), "profiles.yaml", twice)
    assert len(stored(engine)) == 1


def test_a_file_that_is_too_large_or_none(visit: Make, anna: int) -> None:
    assert "Choose a file first." in visit().post("/many/file", data={"company_name": "x"}).text
    assert "not UTF-8" in look_at(visit(), "list.csv", b"mailbox\n\xff\xfe@a.example\n")
    large = visit().post("/many/file", files={"file": ("x.csv", b"x" * 2_100_000)})
    assert large.status_code == 413
    few = "profiles:\n- &a {mailbox: x@a.example, company: X}\n" + "- *a\n" * 10_001
    assert "at most 10000 profiles" in look_at(visit(), "profiles.yaml", few)


# -- export ----------------------------------------------------------------------------------------------------------


def add_all_kinds(engine: Engine) -> None:
    """One of each thing that a cell has to say."""
    with engine.begin() as conn:
        groups = json.dumps([[["Name", "a*|b*"], ["City", "Utrecht"]], [["City", "@*zeist*"]]])
        add_profile(conn, "bram@a.example", filter=groups, enabled=False, folder_name="=1+1")
        add_profile(conn, "-cees@a.example", folder_name="'quoted'", categories='["A", "{company}"]')
        add_profile(conn, "dirk@a.example", default_folder=True, folder_name="Contacts")
        add_profile(conn, "eva@a.example", direction="to_outlook", deleted_in_bc="keep", filter="[]")


@pytest.mark.parametrize("language", ["en", "nl"])
def test_a_csv_that_was_exported_changes_nothing(
    visit: Make, engine: Engine, anna: int, language: str
) -> None:
    add_all_kinds(engine)
    answer = visit(VIEWER, language).get("/many/profiles.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="profiles.csv"'
    assert "'=1+1" in answer.text, "no spreadsheet calculates it"
    shown = plain(look_at(visit(), "profiles.csv", answer.content))
    assert "5 stay as they are" in shown, shown


def test_a_csv_that_was_exported_makes_the_same_profiles_elsewhere(
    visit: Make, engine: Engine, anna: int
) -> None:
    add_all_kinds(engine)
    before = {name: rows.entry_of(each) for name, each in stored(engine).items()}
    text = visit().get("/many/profiles.csv").content.decode("utf-8-sig")
    with engine.begin() as conn:
        conn.execute(t.sync_profile.delete())
    take_file(visit(), "profiles.csv", text)
    assert {name: rows.entry_of(each) for name, each in stored(engine).items()} == before


def test_a_yaml_that_was_exported_changes_nothing(visit: Make, engine: Engine, anna: int) -> None:
    add_all_kinds(engine)
    answer = visit(VIEWER).get("/many/profiles.yaml")
    assert answer.text == export_profiles(engine)
    assert answer.headers["content-type"].startswith("text/yaml")
    assert "5 stay as they are" in plain(look_at(visit(), "profiles.yaml", answer.text))


# -- the page --------------------------------------------------------------------------------------------------------


def test_who_may_only_look_is_offered_the_export_alone(visit: Make, anna: int) -> None:
    html = visit(VIEWER).get("/many").text
    assert "many/profiles.csv" in html
    assert "<textarea" not in html
    assert "<textarea" in visit().get("/many").text


def test_in_dutch(visit: Make, anna: int) -> None:
    shown = plain(look(visit(language="nl"), addresses="bram@a.example\nniemand", like="anna@a.example"))
    assert "Regel 2" in shown
    assert "Er wordt niets opgeslagen" in shown


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        for text in HOSTILE:
            kept = text.replace("\0", "")
            add_profile(conn, f"{kept}@a.example", company_name=kept, folder_name=kept)
    assert_plain_text(visit().get("/many").text)
    for text in HOSTILE:
        assert_plain_text(look(visit(), addresses=text, like=text, company_name=text, folder_name=text))
        sent = text.replace("\0", "").encode("utf-8", "replace")
        assert_plain_text(look_at(visit(), "x.csv", b"mailbox,company,folder\n" + sent))
        assert_plain_text(look_at(visit(), "x.yaml", b"profiles:\n- mailbox: " + sent))


@pytest.mark.both_databases
def test_a_thousand_addresses(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        row = {"company_name": "Molenzicht BV", "created_at": NOON, "updated_at": NOON}
        conn.execute(insert(t.sync_profile), [{"mailbox": f"old{n}@a.example", **row} for n in range(1_000)])
    addresses = "\n".join(f"user{n}@a.example" for n in range(1_000))
    assert "1,000 new profiles" in take(visit(), addresses=addresses, company_name="Molenzicht BV")
    with engine.connect() as conn:
        assert conn.scalar(select(func.count()).select_from(t.sync_profile)) == 2_000


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a.csv",
            "mailbox,colour\na@a.example,red\n",
            "Regel 1, kolom 'colour': die kolom is er niet; wel mailbox",
        ),
        (
            "a.csv",
            "mailbox,enabled\na@a.example,maybe\n",
            "Regel 2, kolom 'enabled': 'maybe' is geen true of false.",
        ),
        (
            "a.csv",
            "mailbox,filter\na@a.example,City=(A\n",
            "kolom 'filter': Het filter op 'City' is niet te begrijpen op positie 3 van '(A': verwacht werd een haakje",
        ),
        ("a.csv", "mailbox\na@a.example\n", "Regel 2: het bedrijf ontbreekt; noem het in een kolom"),
        (
            "a.yaml",
            "profiles:\n- company: Cronus\n",
            "Profiel 1 (zonder postvak), mailbox (regel 2): het postvak ontbreekt",
        ),
        (
            "a.yaml",
            "profiles:\n- mailbox: a@a.example\n  company: Cronus\n  filter:\n  - City: A\n  - {}\n",
            "Profiel 1 (a@a.example), filter, groep 2 (regel 6): hier staat geen voorwaarde.",
        ),
        ("a.yaml", "- a\n", "Het bestand (regel 1): dit moet een lijst van regels 'naam: waarde' zijn."),
        (
            "a.yaml",
            "companies:\n- name: Elders\n  phone_region: BE\nprofiles: []\n",
            "Geen profiel heeft het bedrijf 'Elders' dat 'companies' noemt",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_the_readers_language(
    visit: Make, name: str, text: str, expected: str
) -> None:
    assert expected in plain(look_at(visit(language="nl"), name, text))
