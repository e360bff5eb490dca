"""Contacts: found on both sides; why one is in a folder or not, in the words of what whole runs did; and its life."""

from __future__ import annotations

import html as markup
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, select, update

from sync_lib.store import tables as t
from sync_lib.web import contacts
from tests.sync.harness import Harness, person, world
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import VIEWER
from tests.web.world import (
    NOON,
    add_company,
    add_hold,
    add_item,
    add_person,
    add_plan,
    add_profile,
    add_reject,
    at,
)

Make = Callable[..., TestClient]
ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    return re.sub(r"\s+", " ", markup.unescape(re.sub("<[^>]+>", " ", page))).strip()


def names(page: str, heading: str) -> list[str]:
    table = page.partition(f"<h2>{heading}</h2>")[2].partition("</table>")[0]
    return re.findall(r'<a class="name"[^>]*><bdi class="value">([^<]*)</bdi>', table)


def answers(page: str) -> dict[str, str]:
    """State and sentence of each profile, by mailbox."""
    found = re.findall(
        r'<bdi class="name">([^<]*)</bdi>.*?state-why-(\w+)">.*?<bdi class="value">(.*?)</bdi>',
        page,
        flags=re.DOTALL,
    )
    return {mailbox: f"{state}: {markup.unescape(sentence)}" for mailbox, state, sentence in found}


# -- why, as whole runs leave it -------------------------------------------------------------------------------------


class Story:
    """A harness, and the pages on its staging database."""

    def __init__(self, harness: Harness, visit: Make) -> None:
        self.h = harness
        self.client = visit(VIEWER)

    def page(self, name: str) -> str:
        """The page of a contact of BC, found as a person would find it."""
        found = self.client.get("/contacts", params={"q": name}).text
        link = rf'<a class="name" href="/contact_sync(/contacts/[^"]*)"><bdi class="value">{name}</bdi>'
        [address] = re.findall(link, found)
        return self.client.get(address).text

    def why(self, name: str, mailbox: str = ANNA) -> str:
        return answers(self.page(name))[mailbox]

    def item(self, name: str) -> str:
        found = self.client.get("/contacts", params={"q": name}).text
        [address] = re.findall(r'<a class="name" href="/contact_sync(/items/[^"]*)"', found)
        return self.client.get(address).text


@pytest.fixture
def story(make_harness: Any, visit: Make) -> Callable[..., Story]:
    def begin(*people: dict[str, Any], mailboxes: list[str] | None = None, **profile: Any) -> Story:
        boxes = mailboxes or [ANNA]
        h = make_harness(world(*people, mailboxes=boxes))
        h.add_profiles(*boxes, **profile)
        return Story(h, visit)

    return begin


def test_in_the_folder_since_a_run(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"), mailboxes=[ANNA, BRAM])
    s.h.full(run_id="manual__first")
    assert s.why("Jan Jansen") == "in: The sync made it in this folder and keeps both sides the same."
    assert set(answers(s.page("Jan Jansen"))) == {ANNA, BRAM}
    assert 'href="/contact_sync/plans/1/manual__first"' in s.page("Jan Jansen")


def test_adopted_and_made_by_a_colleague(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"), filter={"City": "Delft"})
    s.h.full()
    s.h.add_item(displayName="Kees Kool", emailAddresses=[{"address": "kees@x.example", "name": ""}])
    s.h.run()
    assert s.why("Kees Kool") == (
        "in: A colleague made it in this folder, and so it syncs whatever the filter says."
    )


def test_the_filter_names_the_field_and_the_value(story: Callable[..., Story]) -> None:
    s = story(
        person("Jan Jansen", city="Utrecht"),
        person("Piet Post"),
        filter={"Name": "*", "City": "Delft|@gouda"},
    )
    s.h.full()
    assert s.why("Jan Jansen") == (
        "out: The filter leaves it out: City is “Utrecht”, and the profile wants “Delft|@gouda”."
    )
    assert (
        s.why("Piet Post")
        == "out: The filter leaves it out: City is blank, and the profile wants “Delft|@gouda”."
    )
    s.h.edit_contact("Jan Jansen", city="Delft")
    s.h.run()
    assert s.why("Jan Jansen").startswith("in: ")


def test_what_rules_it_out_for_everybody(story: Callable[..., Story]) -> None:
    s = story(
        person("Jan Jansen", ""),
        person("Piet Post", "piet"),
        person("Bea Blok", privacyBlocked=True),
        {"type": "Company", "displayName": "Klant BV", "email": "info@klant.example"},
    )
    s.h.full()
    assert s.why("Jan Jansen") == "out: It has no e-mail address in Business Central, and one is required."
    assert s.why("Piet Post") == (
        "out: Its first e-mail address in Business Central, “piet”, is not a valid one."
    )
    assert "blocked for privacy" in s.why("Bea Blok")
    assert (
        s.why("Klant BV")
        == "out: It is of type “Company” in Business Central, and only persons go to Outlook."
    )


def test_the_other_one_with_the_address_is_named(story: Callable[..., Story]) -> None:
    s = story(
        person("Jan Jansen", "zelfde@x.example", number="K001"),
        person("Jan Dubbel", "ZELFDE@x.example", number="K002"),
    )
    s.h.full()
    assert s.why("Jan Dubbel") == (
        "out: Contact “K001”, “Jan Jansen”, has the same e-mail address, “ZELFDE@x.example”, and is the one that syncs."
    )


def test_deleted_in_bc(story: Callable[..., Story]) -> None:
    s = story(*(person(name) for name in ("Jan Jansen", "Piet Post", "Ans Aal")))
    s.h.full()
    s.h.delete_contact("Jan Jansen")
    s.h.full()
    assert s.why("Jan Jansen") == "out: It was deleted in Business Central."
    assert "deleted in Business Central" in text_of(s.page("Jan Jansen"))


def test_the_company_waits(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"))
    s.h.full()
    s.h.delete_contact("Jan Jansen")
    s.h.full()
    page = s.page("Jan Jansen")
    assert answers(page)[ANNA].startswith("in: ")
    assert "Nothing of the company syncs until a person decides" in page
    assert 'href="/contact_sync/holds/1"' in page


def test_kept_after_an_edit_and_away(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"), person("Piet Post"), policies={"deleted_in_outlook": "stay_away"})
    s.h.full()
    s.h.edit_item("Jan Jansen", jobTitle="Inkoper", personalNotes="mine")
    s.h.delete_contact("Jan Jansen")
    s.h.delete_item("Piet Post")
    s.h.full()
    assert s.why("Jan Jansen").startswith("in: It stays in this folder and syncs no more: it was deleted")
    s.h.run()
    assert s.why("Piet Post").startswith("out: It was deleted in Outlook, and the profile lets it stay away")


def test_changed_since_and_switched_off(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"), mailboxes=[ANNA, BRAM])
    s.h.full(profiles=[ANNA])
    assert s.why("Jan Jansen", BRAM) == "waits: The profile has not been synced yet."
    s.h.add_contact("Piet Post")
    s.h.run(profiles=[BRAM])
    assert s.why("Piet Post").startswith(
        "waits: Business Central changed it after the profile was last compared"
    )
    with s.h.edges.engine.begin() as conn:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.mailbox == ANNA).values(enabled=False))
    assert s.why("Piet Post") == "out: The profile is switched off."


def test_held_until_a_person_decides(story: Callable[..., Story]) -> None:
    s = story(*(person(f"Persoon {n:02}") for n in range(30)))
    s.h.full()
    for name in list(s.h.items()):
        s.h.delete_item(name)
    s.h.run()
    assert s.why("Persoon 07").startswith(
        "waits: The guard holds its last change until a person decides (A folder"
    )
    assert 'href="/contact_sync/holds/1"' in s.page("Persoon 07")
    with s.h.edges.engine.begin() as conn:
        conn.execute(update(t.hold).values(state="rejected"))
    assert "A person rejected its last change" in s.why("Persoon 07")


def test_the_profile_failed(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"), mailboxes=[ANNA])
    s.h.add_profiles("nobody@voorbeeld.example")
    s.h.full()
    assert s.why("Jan Jansen", "nobody@voorbeeld.example") == (
        "failed: The last run of the profile failed (Microsoft 365 knows no such mailbox)."
    )


def test_one_way(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"), direction="to_business_central")
    s.h.full()
    assert s.why("Jan Jansen").startswith("out: The profile writes to Business Central only")


def test_an_item_that_does_not_go_to_bc(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen", city="Utrecht"), filter={"City": "Delft"})
    s.h.full()
    address = [{"address": "jan.jansen@klant.example", "name": ""}]
    s.h.add_item(displayName="Jan Twee", emailAddresses=address)
    s.h.add_item(displayName="Zonder Adres", mobilePhone="+31 6 1234 5678")
    s.h.run()
    page = s.item("Jan Twee")
    assert answers(page)[ANNA].startswith(
        "out: It does not go to Business Central (The person is in Business Central, but outside"
    )
    assert "This e-mail address is in Business Central with:" in page
    assert re.search(r'href="/contact_sync/contacts/1/[-0-9a-f]{36}"', page)
    assert "The contact has no e-mail address" in answers(s.item("0612345678"))[ANNA]


def test_a_field_that_does_not_sync_is_reported(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"))
    s.h.full()
    s.h.edit_item("Jan Jansen", jobTitle="x" * 80)
    s.h.run()
    assert s.why("Jan Jansen").startswith("in: ")
    assert "Job title: The text is longer than the field in Business Central." in text_of(
        s.page("Jan Jansen")
    )


def test_its_life_newest_first_with_what_lost(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen", jobTitle="Inkoper"))
    s.h.full(run_id="manual__1")
    s.h.edit_item("Jan Jansen", jobTitle="Chef")
    s.h.run(run_id="manual__2")
    s.h.edit_contact("Jan Jansen", jobTitle="Directeur")
    s.h.edit_item("Jan Jansen", jobTitle="Baas")
    s.h.run(run_id="manual__3")
    page = s.page("Jan Jansen")
    body = page.rpartition("<tbody>")[2].split("<tr>")[1:]
    shown = [text_of(row) for row in body]
    assert "conflict update in Outlook undo… job title Baas lost → Directeur" in shown[0]
    assert "update in Business Central undo… job title Inkoper → Chef changed in Outlook" in shown[1]
    assert "create in Outlook" in shown[2]
    assert [re.search("manual__.", row).group() for row in body] == ["manual__3", "manual__2", "manual__1"]  # type: ignore[union-attr]


def test_the_life_of_a_contact_that_a_colleague_made_begins_in_outlook(story: Callable[..., Story]) -> None:
    s = story(person("Jan Jansen"))
    s.h.full()
    s.h.add_item(displayName="Kees Kool", emailAddresses=[{"address": "kees@x.example", "name": ""}])
    s.h.run()
    s.h.edit_contact("Kees Kool", jobTitle="Kok")
    s.h.run()
    rows = s.page("Kees Kool").rpartition("<tbody>")[2].split("<tr>")[1:]
    assert "create in Business Central" in text_of(rows[-1])
    assert "job title blank → Kok" in text_of(rows[0])
    # The item's own address leads to the contact that it stands for.
    [item] = [each["id"] for name, each in s.h.items().items() if name == "Kees Kool"]
    answer = s.client.get(f"/items/1/{quote(item)}", follow_redirects=False)
    assert answer.status_code == 303
    assert "/contacts/1/" in answer.headers["location"]


# -- finding ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def seeded(engine: Engine) -> dict[str, int]:
    with engine.begin() as conn:
        one, two = add_company(conn, "Molenzicht BV"), add_company(conn, "Zeezicht BV")
        anna = add_profile(conn, "anna@a.example", company=one)
        bram = add_profile(conn, "bram@a.example", company=two)
        add_person(conn, one, "b1", name="Zoë van der Berg", email="zoe@klant.example", number="K00012")
        add_person(
            conn, one, "b2", name="Jan Jansen", email="jan@klant.example", mobile_phone="06-12 34 56 78"
        )
        add_person(conn, one, "b5", name="Piet Prins", email2="prive@prins.example", salesperson="AB")
        add_person(conn, two, "b3", name="Jan de Boer", email="jan@boer.example", company_name="Boer & Zn")
        add_person(conn, one, "b4", name="Weg Jansen", gone_since=NOON)
        add_item(conn, anna, "o1", name="Jan in Outlook", email_key="jan@prive.example")
        add_item(conn, anna, "o2", name="Jan Jansen", email_key="jan@klant.example")
        add_item(conn, bram, "o3", name="Kees", record='{"mobilePhone":"+31 6 99 88 77 66"}')
        tie = {"profile": anna, "bc_id": "b2", "outlook_id": "o2", "origin": "adopted", "state": "active"}
        conn.execute(insert(t.coupling).values(created_at=NOON, updated_at=NOON, **tie))
    return {"anna": anna, "bram": bram, "one": one}


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("text", "people", "items"),
    [
        ("jan", ["Jan de Boer", "Jan Jansen", "Weg Jansen"], ["Jan in Outlook"]),
        ("JANSEN jan@", ["Jan Jansen"], []),
        ("ZOË", ["Zoë van der Berg"], []),
        ("berg zo", ["Zoë van der Berg"], []),
        ("k00012", ["Zoë van der Berg"], []),
        ("0612345678", ["Jan Jansen"], []),
        ("+31 6 1234-5678", ["Jan Jansen"], []),
        ("boer &", ["Jan de Boer"], []),
        ("06 99887766", [], ["Kees"]),
        ("%", [], []),
        ("'", [], []),
        (".", ["Jan de Boer", "Jan Jansen", "Piet Prins", "Zoë van der Berg"], ["Jan in Outlook"]),
        ("prive@prins", ["Piet Prins"], []),
        ("nobody", [], []),
    ],
)
def test_search(visit: Make, text: str, people: list[str], items: list[str]) -> None:
    page = visit(VIEWER).get("/contacts", params={"q": text}).text
    assert names(page, "In Business Central") == people
    assert names(page, "Only in Outlook") == items


def test_only_for_one_profile(visit: Make, seeded: dict[str, int]) -> None:
    page = visit().get(f"/contacts?q=jan&profile={seeded['bram']}").text
    assert names(page, "In Business Central") == ["Jan de Boer"]
    assert names(page, "Only in Outlook") == []
    assert "only for" in page
    assert visit().get("/contacts?q=jan&profile=99").status_code == 404
    assert visit().get("/contacts?q=jan&profile=x").status_code == 400


def test_nothing_is_shown_before_a_search(visit: Make, seeded: dict[str, int]) -> None:
    assert "Type a part of a name" in visit().get("/contacts").text
    assert "Jan" not in visit().get("/contacts").text
    part = visit().get("/contacts?q=jan", headers={"hx-target": "found"}).text
    assert "<html" not in part


def test_long_answers_come_in_parts(visit: Make, engine: Engine, seeded: dict[str, int]) -> None:
    with engine.begin() as conn:
        for n in range(contacts.PART_SIZE + 5):
            add_person(conn, seeded["one"], f"many{n:03}", name=f"Veel {n:03}")
    first, second = (visit().get(f"/contacts?q=veel&part={n}").text for n in (1, 2))
    assert len(names(first, "In Business Central")) == contacts.PART_SIZE
    assert len(names(second, "In Business Central")) == 5
    assert 'rel="next"' in first
    assert 'rel="next"' not in second


def test_other_pages_lead_here(visit: Make, engine: Engine, seeded: dict[str, int]) -> None:
    with engine.begin() as conn:
        add_reject(conn, seeded["anna"], "b1", "too_long", field="city")
        add_reject(conn, seeded["anna"], "o1", "email_missing", side="outlook")
        add_plan(conn, seeded["anna"], "r", {"action": "update_outlook", "outcome": "updated", "bc_id": "b1"})
    of = f"/contact_sync/contacts/of/{seeded['anna']}/b1"
    rejects = visit().get("/rejects").text
    assert f'href="{of}"' in rejects
    assert f'href="/contact_sync/items/{seeded["anna"]}/o1"' in rejects
    assert f'href="{of}"' in visit().get(f"/plans/{seeded['anna']}/r").text
    led = visit().get(f"/contacts/of/{seeded['anna']}/b1", follow_redirects=False)
    assert led.headers["location"] == f"/contact_sync/contacts/{seeded['one']}/b1"
    assert visit().get("/contacts/of/99/b1").status_code == 404
    assert visit().get(f"/contacts/{seeded['one']}/unheard").status_code == 404
    assert visit().get(f"/items/{seeded['anna']}/unheard").status_code == 404


def test_in_dutch(visit: Make, engine: Engine, seeded: dict[str, int]) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(filter='[["City","Delft"]]'))
    page = visit(language="nl").get(f"/contacts/{seeded['one']}/b1").text
    assert answers(page)["anna@a.example"] == (
        "out: Het valt buiten het filter: Plaats is leeg, en het profiel wil “Delft”."
    )


def test_a_contact_that_staging_does_not_know_still_has_its_life(
    visit: Make, engine: Engine, seeded: dict[str, int]
) -> None:
    with engine.begin() as conn:
        gone = {"action": "delete_outlook", "outcome": "deleted", "bc_id": "b9", "before": {"name": "Ans"}}
        add_plan(conn, seeded["anna"], "r", gone)
    page = visit().get(f"/contacts/{seeded['one']}/b9").text
    assert "It is not stored here any more" in page
    assert "Ans" in page


def test_a_long_life_comes_in_parts(visit: Make, engine: Engine, seeded: dict[str, int]) -> None:
    with engine.begin() as conn:
        for n in range(60):
            done = {
                "action": "update_outlook",
                "outcome": "updated",
                "bc_id": "b1",
                "after": {"city": f"x{n:02}"},
            }
            add_plan(conn, seeded["anna"], f"r{n}", done)
    found = [visit().get(f"/contacts/{seeded['one']}/b1?part={n}").text for n in (1, 2)]
    cities = [re.findall(r"x\d\d", text_of(page.rpartition("<tbody>")[2])) for page in found]
    assert [len(each) for each in cities] == [50, 10]
    assert cities[0][0] == "x59"
    assert "1 to 50 of 60" in text_of(found[0])


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    subjects = []
    with engine.begin() as conn:
        company = add_company(conn, HOSTILE[0])
        for n, text in enumerate(HOSTILE):
            kept = text.replace("\0", "")
            profile = add_profile(
                conn, f"{kept}@a.example", company=company, folder_name=kept, company_name=kept, filter="[]"
            )
            values = dict.fromkeys(("name", "email", "number", "company_name", "phone", "city"), kept)
            add_person(conn, company, f"b{n}", email_key=kept, **values)
            add_person(conn, company, f"twin{n}", email_key=kept, **values)
            add_item(
                conn, profile, f"o{n}{kept[:20]}", name=kept, email_key=kept, record='{"displayName":"x"}'
            )
            add_reject(conn, profile, f"b{n}", "duplicate_email_in_bc", run=kept[:60])
            add_reject(conn, profile, f"o{n}{kept[:20]}", kept[:60], side="outlook")
            done = {"action": kept[:30], "outcome": kept[:16], "bc_id": f"b{n}", "cause": kept[:60]}
            plan = add_plan(conn, profile, kept, done | {"reason": kept[:60], "after": {kept[:20]: text}})
            add_hold(conn, profile=profile, plan=plan, run=kept)
            subjects.append((f"/contacts/{company}/b{n}", f"/items/{profile}/{quote(f'o{n}{kept[:20]}')}"))
        conn.execute(update(t.sync_profile).values(filter="[]"))
    client = visit()
    for text, (one, item) in zip(HOSTILE, subjects, strict=True):
        assert_plain_text(client.get("/contacts", params={"q": text}).text)
        assert_plain_text(client.get(one).text)
        if "%0A" not in item:
            assert_plain_text(client.get(item).text)


def test_the_number_of_queries_does_not_grow(visit: Make, engine: Engine, seeded: dict[str, int]) -> None:
    def queries(path: str) -> int:
        with counted(engine) as statements:
            assert visit().get(path).status_code == 200
        return len(statements)

    paths = ("/contacts?q=jan", f"/contacts/{seeded['one']}/b2", f"/items/{seeded['anna']}/o1")
    few = [queries(path) for path in paths]
    with engine.begin() as conn:
        for n in range(40):
            profile = add_profile(conn, f"user{n}@a.example", company=seeded["one"])
            add_person(conn, seeded["one"], f"more{n}", name=f"Jan {n}", email="jan@klant.example")
            add_reject(conn, profile, "b2", "duplicate_email_in_bc")
            held = {"action": "create_outlook", "outcome": "held", "bc_id": "b2", "ended_at": at(n)}
            add_hold(conn, profile=profile, plan=add_plan(conn, profile, f"r{n}", held))
    assert [queries(path) for path in paths] == few


@pytest.mark.parametrize("text", ["nobody at all", "persoon 1999", "0699999999"])
def test_a_search_through_very_many_contacts_asks_for_one_part_only(
    visit: Make, engine: Engine, seeded: dict[str, int], text: str
) -> None:
    row = {"company": seeded["one"], "etag": "", "last_modified": NOON, "type": "Person"}
    many = [{**row, "id": f"m{n}", "name": f"Persoon {n}", "email": f"p{n}@x.example"} for n in range(20_000)]
    with engine.begin() as conn:
        for start in range(0, len(many), 2_000):
            conn.execute(insert(t.bc_contact), many[start : start + 2_000])
    page = visit().get("/contacts", params={"q": text}).text
    assert len(names(page, "In Business Central")) <= contacts.PART_SIZE


def test_the_page_writes_nothing(visit: Make, engine: Engine, seeded: dict[str, int]) -> None:
    before = engine.connect().scalar(select(t.coupling.c.updated_at))
    visit().get(f"/contacts/{seeded['one']}/b2")
    assert engine.connect().scalar(select(t.coupling.c.updated_at)) == before
