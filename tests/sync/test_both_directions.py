"""The seed's promises, one by one, through whole runs."""

from __future__ import annotations

import pytest

from tests.sync.harness import Harness, person, world


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(
        world(
            person(
                "Jan Jansen", phoneNumber="020 555 0110", city="Zaandam", country="NL", jobTitle="Inkoper"
            ),
            person("Piet van der Berg", mobilePhoneNumber="+31 6 5550 1234"),
            {"type": "Company", "displayName": "Klant BV", "email": "info@klant.example"},
        )
    )
    h.add_profiles()
    h.ran = h.full()
    return h


def test_first_sync_creates_persons_in_outlook(synced):
    assert synced.ran.errors == []
    assert synced.ran.writes == {"created_outlook": 2}
    assert set(synced.items()) == {"Jan Jansen", "Piet van der Berg"}
    jan = synced.items()["Jan Jansen"]
    assert jan["businessPhones"] == ["020 555 0110"]
    assert jan["businessAddress"]["city"] == "Zaandam"
    assert jan["businessAddress"]["countryOrRegion"] == "Nederland"
    assert jan["categories"] == ["Business Central"]
    assert jan["key"].endswith("|made_by_sync")
    assert synced.items()["Piet van der Berg"]["surname"] == "van der Berg"


def test_nothing_changed_costs_one_request_and_no_diff(synced, caplog):
    synced.run()
    synced.sim.reset_counters()
    caplog.set_level("INFO", "sync_lib")
    caplog.clear()
    ran = synced.run()
    assert "1 profiles are quiet, 0 have work" in caplog.text
    app = synced.counters()["app"]
    assert app["graph"]["requests"] == 1
    assert synced.app_writes() == 0
    assert ran.report.outcomes == {"unchanged": 2}
    assert synced.full().writes == {}
    assert synced.app_writes() == 0


def test_change_in_bc_arrives_in_outlook(synced):
    synced.edit_contact("Jan Jansen", jobTitle="Directeur")
    assert synced.run().writes == {"updated_outlook": 1}
    assert synced.items()["Jan Jansen"]["jobTitle"] == "Directeur"
    assert synced.run().writes == {}


def test_change_in_outlook_arrives_in_bc(synced):
    synced.edit_item("Jan Jansen", mobilePhone="06 5550 9999")
    assert synced.run().writes == {"updated_business_central": 1}
    assert synced.contacts()["Jan Jansen"]["mobilePhoneNumber"] == "06 5550 9999"
    assert synced.run().writes == {}


def test_deleted_in_outlook_comes_back(synced):
    synced.delete_item("Jan Jansen")
    assert synced.run().writes == {"created_outlook": 1}
    assert set(synced.items()) == {"Jan Jansen", "Piet van der Berg"}
    assert synced.run().writes == {}


@pytest.mark.parametrize("mode", ["incremental", "full"])
@pytest.mark.parametrize("first", ["in the folder", "after Deleted Items"])
def test_deleted_for_good_in_outlook_comes_back(synced, first, mode):
    """Rules 7.1: what is deleted for good lies nowhere, and is made again like what lies in Deleted Items."""
    item = synced.items()["Jan Jansen"]["id"]
    if first == "after Deleted Items":
        synced.delete_item("Jan Jansen")
    synced.in_outlook("POST", f"contacts/{item}/permanentDelete")
    ran = synced.run(mode)
    assert (ran.errors, ran.writes) == ([], {"created_outlook": 1})
    jan = synced.items()["Jan Jansen"]
    assert jan["id"] != item
    assert jan["jobTitle"] == "Inkoper"
    assert "Jan Jansen" in synced.contacts()
    assert synced.items(folder="Deleted Items") == {}
    assert (synced.run().writes, synced.full().writes) == ({}, {})


def test_deleted_for_good_in_outlook_stays_away_where_the_profile_says_so(synced):
    """Rules 7.1: the policy asks no more of a delete for good."""
    synced.add_profiles(policies={"deleted_in_outlook": "stay_away"})
    item = synced.items()["Jan Jansen"]["id"]
    synced.in_outlook("POST", f"contacts/{item}/permanentDelete")
    assert synced.run().writes == {}
    ran = synced.full()
    assert (ran.writes, ran.reasons()) == ({}, {"stay_away": 1})
    synced.edit_contact("Jan Jansen", jobTitle="Directeur")
    assert synced.run().writes == {"created_outlook": 1}


def test_deleted_for_good_on_both_sides_is_gone(synced):
    """Rules 7.5: the coupling ends, and nothing is made again."""
    synced.in_outlook("POST", f"contacts/{synced.items()['Jan Jansen']['id']}/permanentDelete")
    synced.delete_contact("Jan Jansen")
    assert synced.run().writes == {}
    assert set(synced.items()) == {"Piet van der Berg"}
    assert synced.full().writes == {}


def test_deleted_in_bc_goes_to_deleted_items(synced):
    synced.delete_contact("Jan Jansen")
    assert synced.run().writes == {"deleted_outlook": 1}
    assert set(synced.items()) == {"Piet van der Berg"}
    assert set(synced.items(folder="Deleted Items")) == {"Jan Jansen"}
    assert synced.run().writes == {}


def test_made_in_outlook_arrives_in_bc_as_a_person(synced):
    synced.add_item(displayName="Els Nieuw", emailAddresses=[{"address": "els@nieuw.example", "name": "Els"}])
    assert synced.run().writes == {"created_business_central": 1}
    els = synced.contacts()["Els Nieuw"]
    assert (els["type"], els["email"]) == ("Person", "els@nieuw.example")
    assert synced.run().writes == {}
    assert synced.items()["Els Nieuw"]["key"].endswith(f"{els['id']}|made_by_user")
    assert len(synced.items()) == 3


def test_requests_grow_with_batches_and_never_four_at_a_time_are_exceeded(make_harness):
    h = make_harness(world(*[person(f"Persoon {n:03}", f"p{n}@klant.example") for n in range(200)]))
    h.add_profiles()
    h.full()
    graph = h.counters()["app"]["graph"]
    # 10 batches; finding, making and marking the folder, the delta's link, and the user's id.
    assert graph["requests"] <= 10 + 7
    assert graph["most_in_flight"] <= 4
    assert graph["most_requests_in_flight"] == 1
    assert graph["refusals"] == 0
