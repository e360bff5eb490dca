"""A public OData v4 server in the place of Business Central, by configuration alone: nothing of it is ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.sync.harness import COMPANY, Harness, person, world
from tests.sync.other_odata import OtherOData

pytestmark = pytest.mark.sockets

ANNA = "anna@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: nothing of it differs between the two."""
    return "sqlite"


@pytest.fixture
def pair(make_harness) -> Iterator[tuple[Harness, OtherOData]]:
    h = make_harness(world(), id_scan_cheap_every=0.0)
    people = [
        person("Jan Bos", country="BE", city="Gent"),
        person("Els Vos"),
        person("Piet Kok"),
        person("Bea Smit"),
    ]
    other = OtherOData(h.sim.info()["tenant_id"], COMPANY, people)
    settings = h.edges.business_central_settings
    h.edges.business_central_settings = replace(settings, root=other.root)
    h.add_profiles()
    yield h, other
    other.close()


def value(other: OtherOData, name: str, field: str) -> Any:
    return other.find(name).get_value(field)


def test_full_incremental_both_ways_stale_versions_and_deletes(pair):
    h, other = pair
    ran = h.full()
    assert ran.errors == []
    assert ran.writes == {"created_outlook": 4}, "two rows to a page"
    assert h.items()["Jan Bos"]["businessAddress"]["countryOrRegion"] == "België"
    h.run()

    other.edit("Els Vos", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}
    assert h.items()["Els Vos"]["jobTitle"] == "Inkoper"

    h.edit_item("Piet Kok", mobilePhone="+31 6 5550 1234")
    assert h.run().writes == {"updated_business_central": 1}
    assert value(other, "Piet Kok", "mobilePhoneNumber") == "+31 6 5550 1234"

    h.add_item(displayName="Nieuw Mens", emailAddresses=[{"address": "n@nieuw.example", "name": "x"}])
    assert h.run().writes == {"created_business_central": 1}
    assert value(other, "Nieuw Mens", "type") == "Person"

    # Somebody edits the contact between our read and our write: the stale version is refused, and both edits stay.
    h.edit_item("Jan Bos", jobTitle="Chef")
    other.processor.before_update = lambda: other.edit("Jan Bos", website="https://jan.example")
    h.run()
    h.run()
    assert (value(other, "Jan Bos", "jobTitle"), value(other, "Jan Bos", "website")) == (
        "Chef",
        "https://jan.example",
    )
    assert h.items()["Jan Bos"]["businessHomePage"] == "https://jan.example"

    other.remove("Els Vos")
    assert h.run().writes == {"deleted_outlook": 1}
    h.delete_item("Bea Smit")
    assert h.run().writes == {"created_outlook": 1}
    assert other.find("Bea Smit") is not None

    other.remove("Piet Kok")
    assert h.full().writes == {"deleted_outlook": 1}
    h.run()
    assert h.full().writes == {}


def test_a_person_whom_a_colleague_makes_meanwhile_is_found(pair):
    h, other = pair
    h.full()
    h.run()
    h.add_item(displayName="Nieuw Mens", emailAddresses=[{"address": "n@nieuw.example", "name": "x"}])
    late = person("Nieuw Mens", "info@x.example")
    h.sim.add_fault(
        kind="callback",
        service="graph",
        path="/delta",
        moment="before",
        callback=lambda _: other.add({**late, "email": "N@Nieuw.Example;b@x.example"}),
    )
    h.run()
    h.run()
    made = [c for c in other.store.entities("contacts") if c.get_value("displayName") == "Nieuw Mens"]
    assert len(made) == 1
