"""Erase a contact on a page: who may, what is shown before, that no more goes than was shown, and what is recorded."""

from __future__ import annotations

import html as markup
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, select, update

from sync_lib.operate.erasing import said_of
from sync_lib.store import erasure
from sync_lib.store import tables as t
from sync_lib.store.erasure import Erasure, Wanted
from sync_lib.store.leases import acquire_lease
from sync_lib.web import erase
from tests.web.conftest import shared_app
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import EDITOR, ERASE_VIEWER, ERASER, VIEWER, audited
from tests.web.world import (
    NOON,
    add_company,
    add_item,
    add_person,
    add_plan,
    add_profile,
    add_reject,
)

Make = Callable[..., TestClient]

JAN, ANS = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
ADDRESS = "jan@klant.example"
FRAGMENT = {"hx-request": "true", "hx-target": "erase-found"}


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    return re.sub(r"\s+", " ", markup.unescape(re.sub("<[^>]+>", " ", page))).strip()


def digest_of(page: str) -> str:
    [found] = re.findall('name="digest" value="([0-9a-f]+)"', page)
    return str(found)


@pytest.fixture(autouse=True)
def _fresh_audit() -> Iterator[None]:
    audited.clear()
    yield
    audited.clear()


@pytest.fixture
def company(engine: Engine) -> int:
    """A contact that is in Business Central and in the folders of two mailboxes, and was changed twice; and others."""
    with engine.begin() as conn:
        key = add_company(conn)
        anna = add_profile(conn, "anna@a.example", company=key)
        bram = add_profile(conn, "bram@a.example", company=key)
        add_person(conn, key, JAN, name="Jan Jansen", number="K001", email=ADDRESS, email_key=ADDRESS)
        add_person(conn, key, ANS, name="Ans Bos", number="K002", email_key="ans@klant.example")
        for profile in (anna, bram):
            add_item(conn, profile, f"item{profile}", name="Jan Jansen", email_key=ADDRESS)
            tie = {"profile": profile, "bc_id": JAN, "outlook_id": f"item{profile}", "origin": "adopted"}
            conn.execute(insert(t.coupling).values(state="active", created_at=NOON, updated_at=NOON, **tie))
        done = {"action": "update_outlook", "outcome": "updated", "bc_id": JAN}
        add_plan(conn, anna, "r", done, done)
        add_reject(conn, anna, JAN, "too_long", field="city")
    return key


def look(client: TestClient, company: int, whom: str = JAN) -> str:
    answer = client.post("/erase/preview", data={"company": str(company), "whom": whom}, headers=FRAGMENT)
    assert answer.status_code == 200
    return answer.text


def confirm(client: TestClient, company: int, digest: str, whom: str = JAN) -> str:
    form = {"company": str(company), "whom": whom, "digest": digest}
    answer = client.post("/erase", data=form, headers=FRAGMENT)
    assert answer.status_code == 200
    return answer.text


def left(engine: Engine) -> list[str]:
    with engine.connect() as conn:
        return sorted(conn.scalars(select(t.bc_contact.c.id)))


# -- who may ---------------------------------------------------------------------------------------------------------

ROUTES = [("GET", "/erase"), ("POST", "/erase/preview"), ("POST", "/erase")]


def test_these_are_all_the_routes() -> None:
    assert [
        (method, route.path) for route in erase.router.routes for method in sorted(route.methods)
    ] == ROUTES


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("user", [VIEWER, EDITOR])
def test_who_may_read_or_change_all_else_is_refused(
    visit: Make, engine: Engine, company: int, method: str, path: str, user: str
) -> None:
    form = {"company": str(company), "whom": JAN, "digest": "x"}
    answer = visit(user).request(method, path, data=form if method == "POST" else None)
    assert answer.status_code == 403
    assert "Jan" not in answer.text
    assert (left(engine), audited) == ([JAN, ANS], [])


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_who_has_the_permission_is_not_refused(visit: Make, company: int, method: str, path: str) -> None:
    form = {"company": str(company), "whom": JAN, "digest": "x"}
    assert visit(ERASER).request(method, path, data=form if method == "POST" else None).status_code == 200


def test_who_may_only_look_at_the_page_erases_nothing(visit: Make, engine: Engine, company: int) -> None:
    page = visit(ERASE_VIEWER).get("/erase")
    assert page.status_code == 200
    assert "You may open this page, and erase nothing" in text_of(page.text)
    assert "<form" not in page.text
    for path in ("/erase/preview", "/erase"):
        assert visit(ERASE_VIEWER).post(path, data={"company": str(company)}).status_code == 403


def test_a_refusal_says_what_to_ask_for(visit: Make) -> None:
    assert "contact_sync_erase" in visit(EDITOR).get("/erase").text
    assert "U mag geen contacten wissen" in visit(EDITOR, "nl").get("/erase").text


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_a_preview_says_what_would_go_and_where_it_still_is(
    visit: Make, engine: Engine, company: int
) -> None:
    said = text_of(look(visit(ERASER), company))
    assert "What would go K001 Jan Jansen 8 rows would be erased." in said
    assert "The contact as Business Central has it 1 Its items in Outlook folders 2 Ties between" in said
    assert "Changes in the change log, with old and new values 2" in said
    assert "Business Central still has this contact: the next sync brings it back." in said
    assert "Mailboxes: anna@a.example bram@a.example" in said
    assert "Other contacts" not in said
    assert not [
        table.name for table in t.metadata.sorted_tables if f" {table.name} " in said and "_" in table.name
    ]
    assert (left(engine), audited) == ([JAN, ANS], [])


def test_it_says_what_the_command_says(visit: Make, engine: Engine, company: int) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.bc_contact).values(email_key=ADDRESS))
    found = erasure.preview(engine, Wanted(company, JAN))
    page = text_of(look(visit(ERASER), company))
    said = said_of(found, erased=False)
    assert [len(each.contacts) for each in said] == [0, 0, 0, 1]
    assert [each.template % each.values for each in said if each.template % each.values not in page] == []


def test_every_table_of_a_preview_has_words(engine: Engine, company: int) -> None:
    assert erasure.preview(engine, Wanted(company, JAN)).counts.keys() == erase.ROWS.keys()


def test_others_with_the_address_are_named_and_lead_to_their_pages(
    visit: Make, engine: Engine, company: int
) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.bc_contact).values(email_key=ADDRESS))
    page = look(visit(ERASER), company)
    assert "Other contacts have an address of it, and nothing of them goes: K002 Ans Bos" in text_of(page)
    assert f'href="/contact_sync/contacts/{company}/{ANS}"' in page


def test_an_address_of_several_contacts_leads_to_each_of_them(
    visit: Make, engine: Engine, company: int
) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.bc_contact).values(email_key=ADDRESS))
    page = look(visit(ERASER), company, ADDRESS)
    assert "2 contacts have, or had, this address. Erase them one by one, by their ids:" in text_of(page)
    assert "K001 Jan Jansen K002 Ans Bos" in text_of(page)
    assert f'href="/contact_sync/erase?company={company}&amp;contact={ANS}"' in page
    assert "digest" not in page
    assert "2 contacten hebben dit adres" in text_of(look(visit(ERASER, "nl"), company, ADDRESS))


def test_many_mailboxes_are_folded(visit: Make, engine: Engine, company: int) -> None:
    with engine.begin() as conn:
        for n in range(20):
            profile = add_profile(conn, f"user{n:02}@a.example", company=company)
            add_item(conn, profile, f"more{n}", email_key=ADDRESS)
    page = look(visit(ERASER), company)
    assert "<summary>22 mailboxes</summary>" in page
    assert "user19@a.example" in page


def test_a_contact_of_another_company_is_not_said_to_be_nowhere(
    visit: Make, engine: Engine, company: int
) -> None:
    with engine.begin() as conn:
        other = add_company(conn, "Andere BV")
    nothing = look(visit(ERASER), other, "niemand@klant.example")
    assert text_of(nothing) == "Nothing of this contact is stored. In no other company either."
    page = text_of(look(visit(ERASER), other, ADDRESS))
    assert "Another company has something of it; choose it above: Molenzicht BV" in page
    page = text_of(look(visit(ERASER), company, ADDRESS))
    assert "Another company" not in page


def test_of_nobody_nothing_is_shown(visit: Make, company: int) -> None:
    page = look(visit(ERASER), company, "niemand@klant.example")
    assert text_of(page) == "Nothing of this contact is stored."
    assert "Whom? The contact's id, or its address, is blank." in text_of(look(visit(ERASER), company, " "))


def test_a_contact_s_page_leads_here_with_its_id(visit: Make, company: int) -> None:
    path = f"/contacts/{company}/{JAN}"
    link = f'href="/contact_sync/erase?company={company}&amp;contact={JAN}"'
    assert link in visit(ERASER).get(path).text
    assert 'href="/contact_sync/erase"' in visit(ERASER).get("/contacts").text
    for user in (VIEWER, EDITOR, ERASE_VIEWER):
        assert "/erase" not in visit(user).get(path).text
        assert "/erase" not in visit(user).get("/contacts").text
    page = visit(ERASER).get(f"/erase?company={company}&contact={JAN}").text
    assert f'value="{JAN}"' in page
    assert f'<option value="{company}" selected>' in page


def test_an_item_that_bc_never_had_leads_here_by_a_form(visit: Make, engine: Engine, company: int) -> None:
    """Its address alone says who it is, and must be in no address of a page."""
    with engine.begin() as conn:
        add_item(conn, 1, "alone", name="Alleen", email_key="alleen@prive.example")
    page = visit(ERASER).get("/items/1/alone").text
    assert 'action="/contact_sync/erase/preview"' in page
    assert 'name="whom" value="alleen@prive.example"' in page
    assert not re.search('(href|action)="[^"]*alleen@', page)
    form = {"company": str(company), "whom": "alleen@prive.example"}
    assert "One row would be erased." in visit(ERASER).post("/erase/preview", data=form).text
    assert "/erase" not in visit(EDITOR).get("/items/1/alone").text


def test_no_form_sends_the_address_in_the_address_of_a_page(visit: Make, company: int) -> None:
    """Also where no script runs: a form without a method would."""
    pages = [visit(ERASER).get("/erase").text, look(visit(ERASER), company, ADDRESS)]
    forms = [form for page in pages for form in re.findall("<form[^>]*>", page)]
    assert len(forms) == 2
    assert all('method="post"' in form for form in forms)
    assert "hx-get" not in "".join(pages)
    assert "hx-push-url" not in "".join(pages)
    # Nor is it taken from there.
    page = visit(ERASER).get("/erase", params={"company": company, "whom": ADDRESS}).text
    assert ADDRESS not in page


def test_before_anything_was_synced(visit: Make) -> None:
    assert "No company has been synced yet" in visit(ERASER).get("/erase").text
    assert visit(ERASER).post("/erase/preview", data={"company": "1", "whom": JAN}).status_code == 400


# -- erasing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whom", [JAN, JAN.upper(), ADDRESS, " Jan@Klant.example "])
def test_what_was_shown_is_erased(visit: Make, engine: Engine, company: int, whom: str) -> None:
    page = look(visit(ERASER), company, whom)
    said = text_of(confirm(visit(ERASER), company, digest_of(page), whom))
    assert said.startswith("It is erased 8 rows are erased.")
    assert "Business Central still has this contact" in said
    assert "Mailboxes: anna@a.example bram@a.example" in said
    assert "Jan" not in said
    assert left(engine) == [ANS]
    with engine.connect() as conn:
        [row] = conn.execute(select(t.erasure)).mappings()
    assert json.loads(row["counts"])["change"] == 2


def test_what_was_not_shown_stays(visit: Make, engine: Engine, company: int) -> None:
    digest = digest_of(look(visit(ERASER), company))
    with engine.begin() as conn:
        add_reject(conn, 2, JAN, "too_long", field="city")
    again = confirm(visit(ERASER), company, digest)
    assert "Nothing was erased: what is stored has changed since you looked." in text_of(again)
    assert left(engine) == [JAN, ANS]
    assert digest_of(again) != digest
    assert "It is erased" in confirm(visit(ERASER), company, digest_of(again))


def test_the_digest_of_one_contact_erases_no_other(visit: Make, engine: Engine, company: int) -> None:
    digest = digest_of(look(visit(ERASER), company))
    assert "Nothing was erased" in confirm(visit(ERASER), company, digest, ANS)
    form = {"company": str(company), "whom": JAN}
    assert visit(ERASER).post("/erase", data=form).status_code == 400
    assert left(engine) == [JAN, ANS]


def test_as_many_rows_of_other_items_are_not_the_same(engine: Engine, company: int) -> None:
    wanted = Wanted(company, JAN)
    before = erasure.preview(engine, wanted)
    with engine.begin() as conn:
        conn.execute(update(t.outlook_contact).where(t.outlook_contact.c.id == "item1").values(id="other"))
        conn.execute(update(t.coupling).where(t.coupling.c.outlook_id == "item1").values(outlook_id="other"))
    after = erasure.preview(engine, wanted)
    assert after.counts == before.counts
    assert after.digest != before.digest


def test_twice_erases_once(visit: Make, engine: Engine, company: int) -> None:
    digest = digest_of(look(visit(ERASER), company))
    confirm(visit(ERASER), company, digest)
    assert "Nothing of this contact is stored." in text_of(confirm(visit(ERASER), company, digest))
    with engine.connect() as conn:
        assert len(conn.execute(select(t.erasure)).all()) == 1


def test_while_a_sync_works_nothing_is_erased(visit: Make, engine: Engine, company: int) -> None:
    digest = digest_of(look(visit(ERASER), company))
    acquire_lease(engine, "profile:2", "a sync", 60.0)
    page = confirm(visit(ERASER), company, digest)
    assert "A sync of this company is at work. Try again when it has ended." in text_of(page)
    # Once it has ended, the same button does it.
    assert digest_of(page) == digest
    assert left(engine) == [JAN, ANS]
    assert "Er is een sync van dit bedrijf bezig" in confirm(visit(ERASER, "nl"), company, digest)


def test_a_write_without_an_outcome_is_settled_first(visit: Make, engine: Engine, company: int) -> None:
    with engine.begin() as conn:
        open_one = {"action": "update_outlook", "bc_id": JAN, "state": "planned", "ended_at": None}
        add_plan(conn, 1, "r2", open_one)
    page = confirm(visit(ERASER), company, digest_of(look(visit(ERASER), company)))
    assert "Run contact_sync, then erase the contact." in text_of(page)
    assert left(engine) == [JAN, ANS]


# -- what is recorded ------------------------------------------------------------------------------------------------


def test_the_audit_log_says_who_and_how_much_and_not_whose(
    visit: Make, company: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    page = look(visit(ERASER), company, ADDRESS)
    assert audited == []
    confirm(visit(ERASER), company, digest_of(page), ADDRESS)
    assert audited == [
        ("contact_sync_erase.asked", ERASER, {"company": company}),
        ("contact_sync_erase.done", ERASER, {"company": company, "rows": 8}),
    ]
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("sync_lib")]
    assert f"8 rows of a contact of company {company} were erased" in ours
    everything = " ".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    assert not re.search(f"{ADDRESS}|{JAN}|Jan Jansen", everything)


def test_what_cannot_be_recorded_is_not_done(visit: Make, engine: Engine, company: int) -> None:
    client = visit(ERASER)
    digest = digest_of(look(client, company))
    state = shared_app().state

    def away(*_: object) -> None:
        raise RuntimeError("Airflow's database is away")

    state.seams = replace(state.seams, audit=away)
    with pytest.raises(RuntimeError):
        confirm(client, company, digest)
    assert left(engine) == [JAN, ANS]


# -- as all pages ----------------------------------------------------------------------------------------------------


def test_whole_pages_without_a_script(visit: Make, engine: Engine, company: int) -> None:
    form = {"company": str(company), "whom": JAN}
    page = visit(ERASER).post("/erase/preview", data=form).text
    assert "<html" in page
    assert f'value="{JAN}"' in page
    done = visit(ERASER).post("/erase", data=form | {"digest": digest_of(page)}).text
    assert "<html" in done
    assert "It is erased" in done
    assert left(engine) == [ANS]


def test_in_dutch(visit: Make, company: int) -> None:
    page = text_of(look(visit(ERASER, "nl"), company))
    assert page.startswith("Wat er verdwijnt K001 Jan Jansen 8 rijen zouden worden gewist.")
    assert "Business Central heeft dit contact nog" in page
    assert not re.search("[a-z]+_[a-z]+", page)


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        company = add_company(conn, HOSTILE[0])
        for n, text in enumerate(HOSTILE):
            kept = text.replace("\0", "")
            profile = add_profile(conn, f"{kept}@a.example", company=company, company_name=kept)
            add_person(conn, company, f"b{n}", name=kept, number=kept, email_key="x@klant.example")
            add_item(conn, profile, f"o{n}", name=kept, email_key="x@klant.example")
    client = visit(ERASER)
    for text in (*HOSTILE, "b0", "x@klant.example"):
        form = {"company": str(company), "whom": text}
        assert_plain_text(client.post("/erase/preview", data=form).text)
        assert_plain_text(client.get("/erase", params={"contact": text}).text)


def test_the_number_of_queries_does_not_grow(visit: Make, engine: Engine, company: int) -> None:
    def queries() -> int:
        with counted(engine) as statements:
            look(visit(ERASER), company)
        return len(statements)

    few = queries()
    with engine.begin() as conn:
        for n in range(40):
            profile = add_profile(conn, f"user{n}@a.example", company=company)
            add_item(conn, profile, f"more{n}", email_key=ADDRESS)
            add_person(conn, company, f"b{n}", name=f"Jan {n}", email_key=ADDRESS)
    assert queries() == few


def test_an_erasure_without_rows_is_said_to_be_none() -> None:
    [said] = said_of(Erasure({"change": 0}, in_bc=False, mailboxes=[], others=[]), erased=True)
    assert str(said) == "Nothing of this contact is stored."


def test_names_follow_what_is_said_of_them() -> None:
    found: Any = Erasure({"change": 1}, in_bc=False, mailboxes=["a@x.example", "b@x.example"], others=["b1"])
    assert [str(each).rpartition(":")[2] for each in said_of(found, erased=True)] == [
        "One row is erased.",
        " a@x.example, b@x.example",
        " b1",
    ]
