"""What the sandbox serves is the page of the extension, and the sync keeps within what that page allows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from sandbox import Sandbox
from sync_lib.clients.business_central import _EXTENDED_API
from sync_lib.fields.bc_columns import BC_COLUMNS
from sync_lib.operate.checks import check_connections
from tests.bc_extension.agreement_rules import SHOWN_FOR
from tests.bc_extension.al_model import AlObject
from tests.bc_extension.app import FOLDER, load, read_files
from tests.sync.harness import Harness, person, world

PAGES = {page.text("EntitySetName"): page for page in load(read_files()).pages()}
_EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
FILLED = {
    "givenName": "Els",
    "middleName": "de",
    "surname": "Vos",
    "displayName": "Els de Vos",
    "initials": "E.",
    "jobTitle": "Inkoper",
    "companyName": "Molenzicht BV",
    "businessPhones": ["+31 20 555 01 10"],
    "mobilePhone": "+31 6 5550 1234",
    "businessHomePage": "https://vos.example",
    "businessAddress": {
        "street": "Kade 4\r\nUnit B", "city": "Zaandam", "state": "NH", "postalCode": "1501 AB",
        "countryOrRegion": "Nederland",
    },
    "emailAddresses": [
        {"address": "els@vos.example", "name": "Els"}, {"address": "prive@vos.example", "name": "Els"}
    ],
}  # fmt: skip


@pytest.fixture
def served() -> Iterator[tuple[Sandbox, requests.Session, str]]:
    made = {
        "companies": [
            {"name": "A", "salespeople": [{"code": "AB"}], "contacts": [{"displayName": "Jan Bos"}]}
        ]
    }
    with Sandbox(world=made) as sim, requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {sim.token('bc')}"
        info = sim.info()
        yield sim, session, f"{info['bc_root']}/{info['tenant_id']}/Production{_EXTENDED_API}"


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_a_record_has_the_properties_of_its_page(served: Any, page: AlObject) -> None:
    sim, session, root = served
    company = sim.info()["companies"][0]["id"]
    answer = session.get(f"{root}/companies({company})/{page.text('EntitySetName')}", timeout=20)
    [row] = answer.json()["value"]
    assert {name for name in row if not name.startswith("@")} == {each.name for each in page.fields}


def test_the_metadata_names_the_pages_and_their_properties(served: Any) -> None:
    _, session, root = served
    document = ElementTree.fromstring(session.get(f"{root}/$metadata", timeout=20).content)
    types = {
        each.get("Name"): {one.get("Name") for one in each.findall(f"{_EDM}Property")}
        for each in document.iter(f"{_EDM}EntityType")
    }
    del types["company"]
    pages = PAGES.values()
    assert types == {page.text("EntityName"): {each.name for each in page.fields} for page in pages}


@pytest.fixture
def extended(make_harness: Any) -> Harness:
    company = {"type": "Company", "displayName": "Molenzicht BV"}
    h: Harness = make_harness(
        world(company, person("Jan Jansen", email2="jan@tweede.example", salespersonCode="AB"))
    )
    bc = h.edges.business_central_settings
    h.edges.business_central_settings = replace(bc, field_profile="extended")
    h.add_profiles()
    return h


def test_the_sync_writes_nothing_that_the_page_only_shows(extended: Harness) -> None:
    extended.sim.set(bc_readonly_in_body="400")
    assert extended.full().errors == []
    extended.add_item(**FILLED)
    assert extended.run().errors == []
    made = extended.contacts()["Els de Vos"]
    open_ = [each.name for each in PAGES["contacts"].fields if each.editable]
    # A second address of somebody's own stays with them: BC gets one only where it had one.
    assert [name for name in open_ if not made[name]] == ["email2"]
    addresses = extended.items()["Jan Jansen"]["emailAddresses"]
    addresses[1]["address"] = "jan@derde.example"
    extended.edit_item("Jan Jansen", surname="Bos", emailAddresses=addresses, jobTitle="Hoofd inkoop")
    assert extended.run().errors == []
    after = extended.contacts()["Jan Bos"]
    assert (after["jobTitle"], after["email2"]) == ("Hoofd inkoop", "jan@derde.example")


def test_the_check_says_that_the_extension_is_not_published(extended: Harness) -> None:
    def of_company() -> tuple[bool, str]:
        [found] = [each for each in check_connections(extended.edges) if each.kind == "company"]
        return found.ok, found.remedy

    assert of_company()[0]
    extended.sim.set(bc_extension="missing")
    ok, remedy = of_company()
    assert not ok
    assert "Install the extension" in remedy
    assert extended.run().errors


def test_the_readme_names_what_there_is() -> None:
    app = load(read_files())
    readme = (FOLDER / "README.md").read_text()
    for each in app.objects:
        [row] = [line for line in readme.splitlines() if line.startswith("|") and f"`{each.name}`" in line]
        assert str(each.id) in row
        assert f"`{each.text('EntitySetName')}`" in row or each.kind == "permissionset"
    extended = {column.property for column in BC_COLUMNS if column.extended}
    assert {name for name in extended | set(SHOWN_FOR) if f"`{name}`" not in readme} == set()
    version = app.manifest["application"].split(".")[0]
    assert f"BC {version} " in readme
    for target in re.findall(r"\]\(([^)#]+)", readme):
        assert (FOLDER / target).exists(), target
