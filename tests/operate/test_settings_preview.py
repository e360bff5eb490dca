"""What the page promises about a changed filter is what the next run then does, in a mailbox of the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sync_lib.fields.filters import parse_filter
from sync_lib.operate.settings_preview import Listing, Look, Preview, Subject, Wish, make_preview
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.settings import change_profile
from tests.sync.harness import Harness, person, world

UTRECHT, ZEIST = ((("City", "Utrecht"),),), ((("City", "Zeist"),),)


def lives_in(city: str, *names: str, **fields: Any) -> list[dict[str, Any]]:
    return [person(name, city=city, **fields) for name in names]


def entry(h: Harness) -> ProfileEntry:
    with read(h.edges.engine) as conn:
        return profiles.entry_of(profiles.read_profile(conn, 1))


def wish(chosen: ProfileEntry) -> Wish:
    parsed = parse_filter(chosen.filter, field_profile="standard")
    return Wish(parsed, chosen.salesperson_code, chosen.direction, chosen.left_scope)


def look_at(h: Harness, chosen: ProfileEntry, *, first: int = 50) -> Preview:
    with read(h.edges.engine) as conn:
        company = profiles.read_profile(conn, 1).company
        assert company
        subject = Subject(company, 1, wish(entry(h)))
        return make_preview(conn, subject, wish(chosen), Look(h.settings, first))


def save(h: Harness, chosen: ProfileEntry) -> None:
    with transaction(h.edges.engine) as conn:
        profile = profiles.read_profile(conn, 1)
        by = Author("anna", h.edges.now())
        change_profile(conn, profile, chosen, seen=profiles.entry_of(profile), by=by)


def names(listing: Listing) -> list[str]:
    assert listing.total == len(listing.first)
    return [each.name for each in listing.first]


@pytest.fixture
def settled(make_harness: Callable[..., Harness]) -> Harness:
    """A folder of the persons of Utrecht, with one of each kind: adopted, edited, made by the colleague, deleted."""
    contacts = [
        *lives_in("Utrecht", "Bram Bos", "Cleo Cats", "Dirk Dam", "Wim Wit"),
        *lives_in("Zeist", "Eva Eik", "Gijs Groen"),
        *lives_in("Zeist", "Fred Fok", email=""),
        *lives_in("Zeist", "Hans Heg", "Ivo Iep", email="same@klant.example"),
        *lives_in("Zeist", "Xander X", email="wim.wit@klant.example"),
        *lives_in("Zeist", "Yara Y", privacyBlocked=True),
        {"type": "Company", "displayName": "Zeist BV", "email": "bv@klant.example", "city": "Zeist"},
    ]
    mailbox = {
        "user_principal_name": "anna@voorbeeld.example",
        "folders": [{"name": "Business Central", "contacts": []}],
    }
    h = make_harness(world(*contacts, mailboxes=[mailbox]), guard_few_deletes=10)
    # In the folder before the sync, so that it is not the sync's to delete.
    address = {"address": "dirk.dam@klant.example", "name": "x"}
    h.add_item(displayName="Dirk Dam", emailAddresses=[address])
    h.add_profiles(filter=dict(UTRECHT[0]))
    assert h.full().errors == []
    h.add_item(displayName="Pia Pin", emailAddresses=[{"address": "pia@klant.example", "name": "x"}])
    # Business Central takes no letters there, so that the two go on to differ.
    h.edit_item("Cleo Cats", mobilePhone="abc")
    assert h.run().errors == []
    return h


@pytest.mark.parametrize("kept", [False, True], ids=["delete", "keep"])
def test_another_filter(settled: Harness, kept: bool) -> None:
    h, before = settled, set(settled.items())
    chosen = replace(entry(h), filter=ZEIST, left_scope="keep" if kept else "delete")
    promised = look_at(h, chosen)
    # Xander has the address of Wim, who leaves.
    assert names(promised.coming) == ["Eva Eik", "Gijs Groen", "Hans Heg", "Xander X"]
    assert (promised.matching, promised.incomplete, promised.twins) == (4, 1, 1)
    leaving, staying = ["Bram Bos", "Wim Wit"], ["Cleo Cats", "Dirk Dam"]
    assert names(promised.deleted) == ([] if kept else leaving)
    assert names(promised.released) == (sorted([*leaving, *staying]) if kept else staying)
    assert (promised.held, promised.coming_anyway, promised.leaving_anyway) == ([], 0, 0)
    assert_kept(h, chosen, promised, before)


def test_a_wider_filter(settled: Harness) -> None:
    h, before = settled, set(settled.items())
    chosen = replace(entry(h), filter=((("City", "Utrecht|Zeist"),),))
    promised = look_at(h, chosen)
    assert names(promised.coming) == ["Eva Eik", "Gijs Groen", "Hans Heg"]
    assert (promised.matching, promised.incomplete, promised.twins) == (7, 1, 2)
    assert_kept(h, chosen, promised, before)


def test_who_was_released_comes_back(settled: Harness) -> None:
    h, utrecht = settled, entry(settled)
    save(h, replace(utrecht, filter=ZEIST, left_scope="keep"))
    assert h.full().errors == []
    before = set(h.items())
    promised = look_at(h, utrecht)
    assert names(promised.coming) == ["Bram Bos", "Cleo Cats", "Dirk Dam", "Wim Wit"]
    assert names(promised.deleted) == ["Eva Eik", "Gijs Groen", "Hans Heg", "Xander X"]
    save(h, utrecht)
    assert h.full().errors == []
    assert before - set(h.items()) == set(names(promised.deleted))
    assert look_at(h, utrecht).changes_nothing


def test_to_business_central_nothing_is_written_to_the_folder(settled: Harness) -> None:
    h, before = settled, set(settled.items())
    chosen = replace(entry(h), filter=ZEIST, direction="to_business_central")
    promised = look_at(h, chosen)
    assert (promised.deleted.total, promised.released.total) == (0, 4)
    save(h, chosen)
    assert h.full().errors == []
    assert set(h.items()) == before


def test_what_the_next_run_does_anyway_is_kept_apart(settled: Harness) -> None:
    h = settled
    utrecht = entry(h)
    save(h, replace(utrecht, filter=((("City", "Utrecht"), ("Name", "<>W*")),)))
    promised = look_at(h, entry(h))
    assert promised.changes_nothing
    assert (promised.coming_anyway, promised.leaving_anyway) == (0, 1)
    promised = look_at(h, utrecht)
    assert (promised.changes_nothing, promised.leaving_anyway) == (True, 0)
    promised = look_at(h, replace(utrecht, filter=((("City", "Zeist"),),)))
    assert names(promised.deleted) == ["Bram Bos"]
    assert promised.leaving_anyway == 1


def test_the_guard_is_asked(settled: Harness) -> None:
    h = settled
    h.settings = h.edges.settings = replace(h.settings, guard_few_deletes=2)
    chosen = replace(entry(h), filter=ZEIST)
    promised = look_at(h, chosen)
    assert promised.held == ["too_many_deletes"]
    save(h, chosen)
    assert h.full().errors == []
    assert {"Bram Bos", "Wim Wit"} <= set(h.items())
    assert h.run().reasons().get("too_many_deletes") == 2


def test_only_the_first_names_are_read(settled: Harness) -> None:
    promised = look_at(settled, replace(entry(settled), filter=ZEIST), first=2)
    assert promised.coming.total == 4
    assert [each.name for each in promised.coming.first] == ["Eva Eik", "Gijs Groen"]
    assert {each.city for each in promised.coming.first} == {"Zeist"}


def assert_kept(h: Harness, chosen: ProfileEntry, promised: Preview, before: set[str]) -> None:
    """Save, run, and hold that who came and went is who was promised; then there is nothing more to do."""
    save(h, chosen)
    assert h.full().errors == []
    after = set(h.items())
    assert sorted(after - before) == names(promised.coming)
    assert sorted(before - after) == names(promised.deleted)
    # Pinned: the colleague made it, outside of both filters.
    assert "Pia Pin" in after
    again = look_at(h, entry(h))
    assert (again.changes_nothing, again.coming_anyway, again.leaving_anyway) == (True, 0, 0)
