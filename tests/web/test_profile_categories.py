"""Categories on the profile's page: what is saved, what is refused, and what the preview says of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.test_profile import form_of, send, wrong
from tests.web.test_profile_preview import add_synced, preview
from tests.web.test_rejects import add_company, add_person
from tests.web.world import NOON, add_profile

Make = Callable[..., TestClient]


@pytest.fixture
def anna(engine: Engine) -> int:
    """A profile with two synced contacts of Zon and one of no company, and one more of Maan that is not synced yet."""
    with engine.begin() as conn:
        company = add_company(conn)
        conn.execute(insert(t.cursor).values(side="business_central", scope=str(company), updated_at=NOON))
        key = add_profile(conn, "anna@a.example", company=company)
        for n, name in enumerate(("Zon", "Zon", "")):
            add_synced(
                conn, key, company, f"u{n}", name=f"U {n}", email_key=f"u{n}@x.example", company_name=name
            )
        add_person(conn, company, "m", name="M", email_key="m@x.example", company_name="Maan")
    return key


def saved(engine: Engine, key: int) -> tuple[str, ...]:
    with read(engine) as conn:
        return profiles.read_profile(conn, key).categories


def test_they_are_saved_and_their_history_shows_them(visit: Make, engine: Engine, anna: int) -> None:
    shown = form_of(visit().get(f"/profiles/{anna}").text)
    assert shown["categories"] == "Business Central"
    wanted = shown | {"categories": "Relatie;  Klant {company} ;"}
    assert send(visit(), f"/profiles/{anna}", wanted).status_code == 303
    assert saved(engine, anna) == ("Relatie", "Klant {company}")
    html = visit().get(f"/profiles/{anna}").text
    assert form_of(html)["categories"] == "Relatie; Klant {company}"
    assert "Relatie; Klant {company}" in unescape(html.partition('id="history"')[2])
    assert send(visit(), f"/profiles/{anna}", form_of(html) | {"categories": " "}).status_code == 303
    assert saved(engine, anna) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{bedrijf}",
            "{bedrijf} is not known in a category; there is {company}, {salesperson}, {territory}.",
        ),
        ("A, B", "'A, B' holds a comma or a semicolon, which no category can hold."),
    ],
)
def test_what_cannot_be_one_is_refused_at_its_place(
    visit: Make, engine: Engine, anna: int, text: str, said: str
) -> None:
    answer = send(
        visit(), f"/profiles/{anna}", form_of(visit().get(f"/profiles/{anna}").text) | {"categories": text}
    )
    assert (answer.status_code, wrong(answer.text)) == (422, [said])
    assert form_of(answer.text)["categories"] == text
    assert saved(engine, anna) == ("Business Central",)
    assert said in unescape(preview(visit(), anna, categories=text))


def test_the_preview_says_what_comes_out_and_how_many_are_written(visit: Make, anna: int) -> None:
    html = preview(visit(), anna, categories="{company}; Relatie")
    said = " ".join(unescape(html).replace("<", " <").split())
    for text in ("Relatie", "Zon", "Maan"):
        assert text in said.partition("Categories in Outlook:")[2]
    assert "The next run gives 3 contacts in the folder other categories." in said
    assert "No category is given in Outlook." in preview(visit(), anna, categories="")
    one_way = preview(visit(), anna, categories="Relatie", direction="to_business_central")
    assert "Relatie" not in one_way


def test_who_stays_out_for_an_address_is_not_counted_among_the_categories(
    visit: Make, engine: Engine, anna: int
) -> None:
    """Otherwise more contacts get a category than come into the folder, on one and the same page."""
    with engine.begin() as conn:
        for key in ("n1", "n2"):
            add_person(conn, 1, key, name=key, email_key="same@x.example", number=key)
    said = " ".join(re.sub("<[^>]*>", " ", preview(visit(), anna, categories="Relatie")).split())
    assert said.startswith("5 contacts match · 1 more has the e-mail address of another one")
    assert "Categories in Outlook: Relatie 5 ." in said


def test_hostile_text_is_text(visit: Make, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        conn.execute(t.bc_contact.update().values(company_name=HOSTILE[0]))
    assert_plain_text(preview(visit(), anna, categories="{company}"))
