"""The rejects: reasons in plain words with counts, the contacts by name, and a file that calculates nothing."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from sync_lib.fields.table import FIELD_MAPS
from sync_lib.settings import BUSINESS_CENTRAL_CLIENT
from sync_lib.web import rejects, spreadsheet, words
from sync_lib.web.app import make_app
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import VIEWER, open_seams
from tests.web.world import NOON, add_company, add_item, add_person, add_profile, add_reject, add_run

Make = Callable[..., TestClient]


@pytest.fixture
def world(engine: Engine) -> dict[str, int]:
    with engine.begin() as conn:
        company = add_company(conn)
        ids = {name: add_profile(conn, f"{name}@a.example", company=company) for name in ("anna", "bram")}
        add_person(conn, company, "b1", name="Piet Pietersen")
        add_person(conn, company, "b2", name="Jan Jansen", email="jan@x.example")
        add_item(conn, ids["bram"], "o1", name="Kees", email_key="kees@x.example")
        for profile in ids.values():
            add_reject(conn, profile, "b1", "email_missing")
        add_reject(conn, ids["anna"], "b2", "too_long", field="job_title")
        add_reject(conn, ids["anna"], "b2", "too_long", field="city")
        add_reject(conn, ids["bram"], "o1", "duplicate_email_in_outlook", side="outlook")
        add_reject(conn, ids["bram"], "gone", "name_missing")
    return ids


def groups(html: str) -> dict[str, int]:
    found = re.findall(r'<strong class="value">(.*?)</strong> <span class="amount">(\d+)</span>', html)
    return {means: int(count) for means, count in found}


def rows(html: str) -> int:
    return html.partition("<tbody>")[2].count("<tr>")


@pytest.mark.usefixtures("world")
def test_reasons_in_plain_words_with_a_remedy_and_counts(visit: Make) -> None:
    html = visit(VIEWER).get("/rejects").text
    assert groups(html) == {
        "The contact has no e-mail address": 2,
        "Another contact of the folder is tied to the person with this e-mail address already": 1,
        "The contact has no name": 1,
        # Two fields of one contact.
        "The text is longer than the field in Business Central": 1,
    }
    assert "Fill in an e-mail address." in html
    assert "In 2 profiles." in html
    for name in ("Piet Pietersen", "Jan Jansen", "Kees", "job title", "no longer there"):
        assert name in html
    assert rows(html) == 6


@pytest.mark.usefixtures("world")
def test_in_dutch(visit: Make) -> None:
    html = visit(language="nl").get("/rejects").text
    assert "Het contact heeft geen e-mailadres" in html
    assert "Vul een e-mailadres in." in html
    assert "In 2 profielen." in html


def test_a_reason_and_a_profile_narrow_the_list(visit: Make, world: dict[str, int]) -> None:
    html = visit().get("/rejects?reason=email_missing").text
    assert rows(html) == 2
    assert len(groups(html)) == 4
    html = visit().get(f"/rejects?profile={world['anna']}").text
    assert rows(html) == 3
    assert "bram@" not in html
    assert "Nothing matches." in visit().get("/rejects?profile=99").text
    assert visit().get("/rejects?profile=x").status_code == 400


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("text", "found"), [("PIET", 2), ("jan@", 2), ("kees@x", 1), ("bram", 3), ("%", 0), ("'", 0)]
)
def test_search(visit: Make, text: str, found: int) -> None:
    assert rows(visit().get("/rejects", params={"q": text}).text) == found


def test_nothing_to_do(visit: Make, engine: Engine) -> None:
    # U5: before the first run nothing is known to sync.
    assert "Nothing has been synced yet." in visit().get("/rejects").text
    with engine.begin() as conn:
        add_run(conn, "r", NOON)
    assert "Everything syncs" in visit().get("/rejects").text


@pytest.mark.usefixtures("world")
def test_the_overview_leads_here(visit: Make, world: dict[str, int]) -> None:
    assert f'href="/contact_sync/rejects?profile={world["anna"]}"' in visit().get("/?q=anna").text


def read_file(text: str, separator: str) -> list[list[str]]:
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:], newline=""), delimiter=separator))


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("language", "separator", "title"), [("en", ",", "Reason"), ("nl", ";", "Reden")])
def test_the_file_holds_what_the_page_shows(visit: Make, language: str, separator: str, title: str) -> None:
    answer = visit(VIEWER, language).get("/rejects.csv?reason=too_long")
    assert answer.headers["content-disposition"] == 'attachment; filename="contact_sync_rejects.csv"'
    assert answer.headers["cache-control"] == "no-store"
    head, *lines = read_file(answer.text, separator)
    assert title in head
    assert {len(line) for line in lines} == {len(head)}
    assert [line[:4] for line in lines] == [
        ["anna@a.example", "Molenzicht BV", "Jan Jansen", "jan@x.example"]
    ] * 2


def test_who_gets_the_file_finds_the_contact_in_business_central(engine: Engine) -> None:
    """U9: by its number, and by a link to its card."""
    with engine.begin() as conn:
        company = add_company(conn, "Bakker & Zn")
        profile = add_profile(conn, "anna@a.example", company=company, company_name="Bakker & Zn")
        add_person(conn, company, "b1", name="Piet", number="CT0'1")
        add_reject(conn, profile, "b1", "email_missing")
        add_reject(conn, profile, "o1", "email_missing", side="outlook")
    card = (
        "https://businesscentral.dynamics.com/t/e/?company=Bakker%20%26%20Zn&page=5050"
        "&filter=%27No.%27%20IS%20%27CT0%27%271%27"
    )
    for client, address in ((BUSINESS_CENTRAL_CLIENT, card), ("", "")):
        seams = replace(open_seams(engine), bc_client=lambda client=client: client)
        with TestClient(make_app(seams)) as pages:
            of_bc, of_outlook = read_file(pages.get("/rejects.csv").text, ",")[1:]
            assert of_bc[-3:] == ["CT0'1", address, "b1"]
            assert of_outlook[-3:] == ["", "", "o1"]
            for page in ("/rejects", f"/contacts/{company}/b1"):
                html = pages.get(page).text
                assert "CT0&#39;1" in html
                assert (f'href="{address.replace("&", "&amp;")}"' in html) == bool(address)


def test_long_files_are_whole(visit: Make, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "_CHUNK", 7)
    with engine.begin() as conn:
        profile = add_profile(conn, "anna@a.example")
        for n in range(rejects.PART_SIZE + 10):
            add_reject(conn, profile, f"c{n:03d}", "email_missing")
    lines = read_file(visit().get("/rejects.csv").text, ",")
    assert [line[-1] for line in lines[1:]] == [f"c{n:03d}" for n in range(rejects.PART_SIZE + 10)]
    assert rows(visit().get("/rejects").text) == rejects.PART_SIZE
    assert rows(visit().get("/rejects?part=2").text) == 10


@pytest.mark.parametrize(
    "text", ["=1+1", "+31 20", "-2", "@x", "\t=1", " =1", "\n=1", "\uff1d1", "\ufeff=1", "|x", "\0=1"]
)
def test_no_cell_is_a_formula(text: str) -> None:
    assert spreadsheet.as_text(text).startswith("'")


@pytest.mark.parametrize("text", ["", "anna@x.example", "Jan-Piet", "a = b", "3 + 4", "Ü"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert spreadsheet.as_text(text) == text


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        company = add_company(conn)
        for n, text in enumerate(HOSTILE):
            kept = text.replace("\0", "")
            profile = add_profile(conn, f"{kept}@a.example", company_name=kept, company=company)
            add_person(conn, company, f"b{n}", name=kept, email=kept)
            add_item(conn, profile, kept, name=kept, email_key=kept)
            add_reject(conn, profile, f"b{n}", kept[:60])
            add_reject(conn, profile, kept, "email_missing", field=kept[:20], side="outlook")
    client = visit()
    assert_plain_text(client.get("/rejects").text)
    for text in HOSTILE:
        assert_plain_text(client.get("/rejects", params={"q": text, "reason": text}).text)
    lines = read_file(client.get("/rejects.csv").text, ",")
    assert len(lines) == 2 * len(HOSTILE) + 1
    for cell in (cell for line in lines for cell in line):
        assert not re.match(r"\s*[=+\-@|]", cell)
        assert not re.search("[\0\x07\x1b]", cell)


def test_the_number_of_queries_does_not_grow_with_the_profiles(visit: Make, engine: Engine) -> None:
    def queries(address: str) -> int:
        with counted(engine) as statements:
            assert visit().get(address).status_code == 200
        return len(statements)

    addresses = ("/rejects", "/rejects?q=a", "/rejects.csv")
    few = [queries(address) for address in addresses]
    with engine.begin() as conn:
        for n in range(100):
            profile = add_profile(conn, f"user{n}@a.example")
            add_reject(conn, profile, "x", "email_missing")
            add_reject(conn, profile, "y", "too_long", field="city")
    assert [queries(address) for address in addresses] == few


def test_every_mapped_field_has_a_word() -> None:
    assert {row.name for row in FIELD_MAPS} <= set(words.FIELDS)
