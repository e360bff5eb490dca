"""The two pages on which a person plays the users: what is typed there, the services hold."""

from __future__ import annotations

import re

import pytest
import requests

from sandbox import Sandbox
from sandbox.pages.texts import DUTCH

JAN, BAKKER = "Jan Bos", "Bakker BV"
WORLD = {
    "companies": [
        {
            "name": "Voorbeeld",
            "salespeople": [{"code": "AB", "displayName": "Anna", "email": "anna@voorbeeld.example"}],
            "contacts": [
                {"displayName": BAKKER, "type": "Company"},
                {"displayName": JAN, "email": "jan@klant.example", "phoneNumber": "075 123 45 67"},
            ],
        }
    ],
    "mailboxes": [
        {
            "user_principal_name": "anna@voorbeeld.example",
            "folders": [
                {"name": "Contacts", "contacts": [{"givenName": "Tante", "surname": "Riet"}]},
                {
                    "name": "Business Central",
                    "extended": {"String {00000000-0000-0000-0000-000000000001} Name Marker": "1"},
                    "contacts": [
                        {
                            "givenName": "Jan",
                            "surname": "Bos",
                            "emailAddresses": [
                                {"address": "jan@klant.example"},
                                {"address": "thuis@jan.example"},
                            ],
                            "businessPhones": ["075 123 45 67", "020 000 00 00"],
                            "businessAddress": {"street": "Dam 1", "city": "Zaandam"},
                        }
                    ],
                },
            ],
        },
        {"user_principal_name": "magazijn@voorbeeld.example", "state": "no_mailbox"},
    ],
}


@pytest.fixture
def pages() -> Pages:
    with Sandbox(transport="in_process", world=WORLD) as sim:
        yield Pages(sim)


class Pages:
    """What a browser does with the pages."""

    def __init__(self, sim: Sandbox) -> None:
        self.sim = sim
        self.session = sim.new_session()

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(self.sim.base_url + path, headers=headers, timeout=20)

    def link(self, page: str, text: str) -> str:
        """Return where the link with this text leads."""
        found = re.search(rf'href="([^"]+)">{re.escape(text)}<', self.get(page).text)
        assert found, f"no link {text} at {page}"
        return found[1].replace("&amp;", "&")

    def submit(self, path: str, **typed: str) -> requests.Response:
        """Send the form at this address, with what it was shown with and what was typed."""
        text = self.get(path).text
        values = dict(re.findall(r'name="was\.([^"]+)" value="([^"]*)"', text))
        fields = {f"was.{name}": value for name, value in values.items()} | values | typed
        return self.send(path, **fields)

    def send(self, path: str, **fields: str) -> requests.Response:
        return self.session.post(
            self.sim.base_url + path,
            data=fields,
            headers={"Origin": self.sim.base_url},
            allow_redirects=False,
            timeout=20,
        )

    def contact(self) -> dict:
        """Jan, as Business Central has him."""
        (found,) = [
            each
            for each in self.sim.dump()["companies"][0]["contacts"]
            if each["email"] == "jan@klant.example"
        ]
        return found

    def items(self, folder: str = "Business Central") -> list[dict]:
        folders = {each["name"]: each for each in self.sim.dump()["mailboxes"][0]["folders"]}
        return [each["properties"] for each in folders[folder]["contacts"]]


def test_what_is_typed_in_outlook_is_in_the_item_and_no_more(pages):
    jan = pages.link("/outlook", JAN)
    assert pages.submit(jan, businessPhone="06 11 22 33 44", city="Wormer").status_code == 303
    (item,) = pages.items()
    assert item["businessPhones"] == ["06 11 22 33 44", "020 000 00 00"]
    assert [each["address"] for each in item["emailAddresses"]] == ["jan@klant.example", "thuis@jan.example"]
    assert item["businessAddress"] == {"street": "Dam 1", "city": "Wormer"}
    assert item["displayName"] == JAN
    counted = pages.sim.counters()
    assert counted["user"]["graph"]["contacts_updated"] == 1
    assert "app" not in counted or not counted["app"]["graph"].get("writes")


def test_what_is_typed_in_business_central_is_in_the_contact_and_no_more(pages):
    jan = pages.link("/business-central", JAN)
    assert pages.submit(jan, jobTitle="Inkoper", companyName=BAKKER, salespersonCode="AB").status_code == 303
    held = pages.contact()
    assert (held["jobTitle"], held["companyName"], held["salespersonCode"]) == ("Inkoper", BAKKER, "AB")
    assert (held["phoneNumber"], held["privacyBlocked"]) == ("075 123 45 67", False)


def test_a_field_that_the_form_did_not_change_keeps_what_came_meanwhile(pages):
    """A form that was open while the sync wrote takes nothing of that back."""
    jan = pages.link("/business-central", JAN)
    text = pages.get(jan).text
    was = dict(re.findall(r'name="was\.([^"]+)" value="([^"]*)"', text))
    pages.submit(jan, phoneNumber="06 11 22 33 44")
    sent = {f"was.{name}": value for name, value in was.items()} | was | {"jobTitle": "Inkoper"}
    assert pages.send(jan, **sent).status_code == 303
    held = pages.contact()
    assert (held["jobTitle"], held["phoneNumber"]) == ("Inkoper", "06 11 22 33 44")


def test_contacts_are_added_on_either_page(pages):
    new = pages.link("/outlook", "New contact")
    pages.submit(new, givenName="Eva", surname="Vos", email="eva@klant.example", private="on")
    assert [each["displayName"] for each in pages.items()] == [JAN, "Eva Vos"]
    assert "Private" in pages.get("/outlook").text
    new = pages.link("/business-central", "New contact")
    fields = {"type": "Person", "displayName": "Piet Smit", "email": "piet@klant.example"}
    assert pages.submit(new, **fields).status_code == 303
    added = [
        each for each in pages.sim.dump()["companies"][0]["contacts"] if each["displayName"] == "Piet Smit"
    ]
    assert [(each["type"], each["email"]) for each in added] == [("Person", "piet@klant.example")]


def test_an_item_is_moved_deleted_and_deleted_for_good(pages):
    jan = pages.link("/outlook", JAN)
    assert pages.send(jan, do="move", to="1").status_code == 303
    assert {each["displayName"] for each in pages.items("Contacts")} == {"Tante Riet", JAN}
    pages.send(jan, do="delete")
    assert [each["displayName"] for each in pages.items("Deleted Items")] == [JAN]
    pages.send(jan, do="delete")
    assert pages.items("Deleted Items") == []
    assert pages.get(jan).status_code == 404


def test_a_contact_is_deleted_in_business_central(pages):
    jan = pages.link("/business-central", JAN)
    assert pages.send(jan, do="delete").status_code == 303
    assert JAN not in pages.get("/business-central").text


def test_what_the_service_refuses_is_said_in_the_form(pages):
    refused = pages.submit(pages.link("/business-central", JAN), displayName="x" * 101)
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert pages.contact()["displayName"] == JAN


def test_a_change_shows_in_the_list_which_pages_fetch_by_themselves(pages):
    pages.sim.clock(advance_seconds=600)
    part = "/outlook?part=1"
    assert "Changed just now" not in pages.get(part).text
    pages.submit(pages.link("/outlook", JAN), mobilePhone="06 11 22 33 44")
    assert "<html" not in pages.get(part).text
    assert "Changed just now" in pages.get(part).text
    assert 'src="/static/pages.js"' in pages.get("/outlook").text
    assert "setInterval" in pages.get("/static/pages.js").text


def test_contacts_are_found_by_any_text_of_their_line(pages):
    assert JAN in pages.get("/outlook?q=075+123").text
    assert JAN not in pages.get("/outlook?q=nobody").text
    assert "no mailbox" in pages.get("/outlook?owner=magazijn@voorbeeld.example").text


@pytest.mark.parametrize(
    "path", ["/outlook?owner=nobody", "/outlook/contact?owner=x", "/business-central/x", "/static/x"]
)
def test_what_is_not_there_is_said(pages, path):
    assert pages.get(path).status_code == 404


def test_only_this_machine_and_its_own_forms_are_answered(pages):
    """There is no password, and a name that leads to this machine may belong to anybody."""
    with Sandbox(world=WORLD) as served:
        for name, status in (("elsewhere.example", 403), ("localhost", 200)):
            answer = requests.get(f"{served.base_url}/outlook", headers={"Host": name}, timeout=20)
            assert answer.status_code == status
    jan = pages.link("/outlook", JAN)
    for headers in ({"Origin": "http://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        sent = pages.session.post(
            pages.sim.base_url + jan,
            data={"do": "delete"},
            headers=headers,
            timeout=20,
            allow_redirects=False,
        )
        assert sent.status_code == 403
    assert len(pages.items()) == 1


def test_markup_in_a_contact_is_text(pages):
    pages.submit(pages.link("/outlook", JAN), jobTitle='"><script>x()</script>', companyName="<b>Vet</b>")
    for path in ("/outlook", pages.link("/outlook", JAN)):
        answer = pages.get(path)
        assert "<b>" not in answer.text
        assert "<script>x" not in answer.text
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_every_text_has_its_dutch(pages):
    for path in ("/", "/outlook", "/business-central", pages.link("/outlook", JAN)):
        text = pages.get(path, **{"Accept-Language": "nl-NL,nl;q=0.9,en;q=0.8"}).text
        assert 'lang="nl"' in text
        shown = set(re.findall(r">\s*([^<>{}]+?)\s*<", text))
        left = {each for each in shown if each in DUTCH and DUTCH[each] != each}
        assert not left, f"not in Dutch at {path}: {left}"


def test_texts_are_all_in_the_catalogue():
    """Whatever the code and the templates show is a key of the Dutch texts."""
    import sandbox.pages.business_central as bc
    import sandbox.pages.outlook as outlook
    from sandbox.pages.service import _HERE

    source = "".join(path.read_text() for path in (_HERE / "templates").glob("*.html"))
    used = set(re.findall(r't\("([^"]+)"\)', source))
    used |= {title for _, _, title in bc._FIELDS} | set(outlook._PLAIN.values())
    used |= set(outlook._ADDRESS.values()) | {*bc.BusinessCentral.heads, *outlook.Outlook.heads}
    assert used <= DUTCH.keys(), used - DUTCH.keys()
