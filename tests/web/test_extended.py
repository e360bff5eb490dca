"""The pages where the Connection names the ``extended`` field profile, over what whole runs left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.sync.harness import Harness, person, world
from tests.sync.test_fields import use
from tests.web.conftest import shared_app
from tests.web.surroundings import EDITOR, VIEWER
from tests.web.test_contacts import ANNA, Story, text_of
from tests.web.test_profile import check
from tests.web.test_profile_preview import plain, preview

Make = Callable[..., TestClient]


@pytest.fixture
def story(make_harness: Any, visit: Make) -> Story:
    seams = shared_app().state.seams
    shared_app().state.seams = replace(seams, field_profile=lambda: "extended")
    salespeople = [{"code": "AB", "email": ANNA}, {"code": "JV", "email": "joris@voorbeeld.example"}]
    people = (
        person("Els Kok", salespersonCode="AB", email2="els@tweede.example"),
        person("Bo Smit", salespersonCode="JV", territoryCode="NOORD"),
    )
    h: Harness = use(make_harness(world(*people, mailboxes=[ANNA], salespeople=salespeople)), "extended")
    h.add_profiles(filter={"Salesperson Code": "%me"}, salesperson="AB")
    h.full()
    return Story(h, visit)


def test_why_names_the_salesperson_and_whose_contacts_the_profile_wants(story: Story) -> None:
    assert story.why("Els Kok").startswith("in: ")
    expected = (
        "out: The filter leaves it out: Salesperson Code is “JV”, and the profile wants “%me”, which is “AB”."
    )
    assert story.why("Bo Smit") == expected
    page = text_of(story.page("Bo Smit"))
    assert "salesperson code JV" in page
    assert "territory code NOORD" in page
    assert "second e-mail address els@tweede.example" in text_of(story.page("Els Kok"))


def test_a_contact_s_life_and_undo_name_its_fields(story: Story, visit: Make) -> None:
    story.h.edit_contact("Els Kok", firstName="Elsa", initials="E.K.", email2="")
    story.h.run()
    page = text_of(story.page("Elsa Kok"))
    for word in ("first name", "initials", "second e-mail address", "els@tweede.example"):
        assert word in page
    assert "initialen" in text_of(visit(VIEWER, "nl").get(story_address(story, "Elsa Kok")).text)


def story_address(story: Story, name: str) -> str:
    contact = story.h.contacts()[name]
    return f"/contacts/1/{contact['id']}"


def test_a_reject_names_its_field(story: Story, visit: Make) -> None:
    story.h.edit_item("Els Kok", initials="X" * 31)
    story.h.run()
    page = text_of(visit(VIEWER).get("/rejects?reason=too_long").text)
    assert "initials" in page


def test_the_settings_offer_its_fields_and_say_who_matches(story: Story, visit: Make) -> None:
    page = visit(EDITOR).get("/profiles/1").text
    assert "Salesperson Code" in page
    assert "Territory Code" in page
    assert "Understood" in check(visit(), "Gebiedscode", "NOORD")
    assert "1 contact matches" in plain(preview(visit(EDITOR), 1, salesperson_code="JV"))
    assert "+ 1 contact would come into the folder Bo Smit" in plain(
        preview(visit(EDITOR), 1, salesperson_code="jv")
    )
