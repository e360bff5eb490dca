"""Rules 4: a filter of two groups gives what two profiles with one group each give, in preview, plan and folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib.fields.filters import from_written, parse_filter
from sync_lib.fields.normal_forms import NORMALISER_VERSION
from sync_lib.operate.settings_preview import Look, Preview, Subject, Wish, make_preview
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from tests.sync.harness import Harness, person, settled, world
from tests.sync.jan_and_piet import states

UTRECHT = {"City": "Utrecht"}
HAARLEM = {"City": "Haarlem", "Job Title": "<>''"}
ONE, OTHER = "Utrecht", "Haarlem"


def people() -> list[dict[str, Any]]:
    return [
        person("Bram Bos", city="Utrecht"),
        person("Cleo Cats", city="Utrecht", jobTitle="Inkoper"),
        person("Dirk Dam", city="Haarlem", jobTitle="Directeur"),
        person("Eva Eik", city="Haarlem", jobTitle="Inkoper"),
        person("Fred Fok", city="Haarlem"),
        person("Gijs Groen", city="Delft", jobTitle="Inkoper"),
        person("Hans Heg", "", city="Haarlem", jobTitle="Inkoper"),
        person("Ivo Iep", city="Haarlem", jobTitle="Inkoper", privacyBlocked=True),
    ]


IN_UTRECHT, IN_HAARLEM = {"Bram Bos", "Cleo Cats"}, {"Dirk Dam", "Eva Eik"}


def look_at(h: Harness, chosen: Any, profile: int = 1) -> Preview:
    """What the page would say of a filter, written as in a file."""
    groups = from_written(
        [list(group.items()) for group in chosen] if isinstance(chosen, list) else chosen.items()
    )
    with read(h.edges.engine) as conn:
        stored = profiles.read_profile(conn, profile)
        assert stored.company
        before = Wish(_parsed(stored.filter), "", stored.direction, stored.left_scope)
        subject = Subject(stored.company, profile, before)
        return make_preview(conn, subject, replace(before, filter=_parsed(groups)), Look(h.settings))


def _parsed(groups: Any) -> Any:
    return parse_filter(groups, field_profile="standard")


def coming(preview: Preview) -> set[str]:
    return {each.name for each in preview.coming.first}


def planned(h: Harness, run: str) -> dict[int, set[str]]:
    """Whom the plans of a run would make in Outlook, by profile."""
    p, c = t.plan.c, t.change.c
    with read(h.edges.engine) as conn:
        rows = conn.execute(
            select(p.profile, c.after)
            .join(t.change, c.plan == p.id)
            .where(p.run == run, c.action == "create_outlook")
        ).all()
    found: dict[int, set[str]] = {}
    for profile, after in rows:
        found.setdefault(profile, set()).add(json.loads(after)["name"])
    return found


def test_two_groups_are_what_two_profiles_are(make_harness: Callable[..., Harness]) -> None:
    h = make_harness(world(*people()))
    nobody = {"City": "Nergens"}
    h.add_profiles(folder="Both", filter=nobody)
    h.add_profiles(folder=ONE, filter=nobody)
    h.add_profiles(folder=OTHER, filter=nobody)
    assert h.full().errors == []

    # In the preview of the page,
    both, one, other = (
        look_at(h, chosen, key) for key, chosen in enumerate(([UTRECHT, HAARLEM], UTRECHT, HAARLEM), 1)
    )
    assert coming(both) == coming(one) | coming(other) == IN_UTRECHT | IN_HAARLEM
    assert (both.matching, both.incomplete) == (one.matching + other.matching, other.incomplete) == (4, 1)

    # in the plan,
    h.add_profiles(folder="Both", filter=[UTRECHT, HAARLEM])
    h.add_profiles(folder=ONE, filter=UTRECHT)
    h.add_profiles(folder=OTHER, filter=[HAARLEM])
    assert h.full(dry_run=True, run_id="dry").writes == {}
    plans = planned(h, "dry")
    assert plans == {1: IN_UTRECHT | IN_HAARLEM, 2: IN_UTRECHT, 3: IN_HAARLEM}

    # and in the folders.
    ran = h.run()
    assert (ran.errors, ran.writes) == ([], {"created_outlook": 8})
    assert [set(h.items(folder=name)) for name in (ONE, OTHER)] == [IN_UTRECHT, IN_HAARLEM]
    assert set(h.items(folder="Both")) == IN_UTRECHT | IN_HAARLEM
    settled(h)


@pytest.fixture
def in_step(make_harness: Callable[..., Harness]) -> Harness:
    h = make_harness(world(*people()), guard_few_deletes=10)
    h.add_profiles(filter=UTRECHT)
    assert h.full().errors == []
    return h


@pytest.mark.parametrize("policy", ["delete", "keep"])
def test_a_group_more_and_a_group_less(in_step: Harness, policy: str) -> None:
    """What leaves with its group goes by ``left_scope``, and only that."""
    h, kept = in_step, {"left_scope": policy}
    h.add_profiles(filter=[UTRECHT, HAARLEM], policies=kept)
    assert h.run().writes == {"created_outlook": 2}
    assert set(h.items()) == IN_UTRECHT | IN_HAARLEM
    promised = look_at(h, UTRECHT)
    leaving = promised.deleted if policy == "delete" else promised.released
    assert {each.name for each in leaving.first} == IN_HAARLEM
    h.add_profiles(filter=UTRECHT, policies=kept)
    writes = h.run().writes
    assert writes.get("deleted_outlook", 0) == (2 if policy == "delete" else 0)
    assert set(h.items()) == (IN_UTRECHT if policy == "delete" else IN_UTRECHT | IN_HAARLEM)
    h.full()
    settled(h)


def test_who_goes_from_one_group_to_the_other_stays(in_step: Harness) -> None:
    h = in_step
    h.add_profiles(filter=[UTRECHT, HAARLEM])
    h.run()
    before = h.items()["Cleo Cats"]["id"]
    h.edit_contact("Cleo Cats", city="Haarlem")
    assert h.run().writes == {"updated_outlook": 1}
    assert h.items()["Cleo Cats"]["id"] == before
    # Bram has no job title, so that he is in neither group there.
    h.edit_contact("Bram Bos", city="Haarlem")
    assert h.run().writes == {"deleted_outlook": 1}
    settled(h)


def test_what_a_colleague_makes_is_judged_by_the_groups_too(in_step: Harness) -> None:
    """7.7: pinned only where none of them holds it."""
    h = in_step
    h.add_profiles(filter=[UTRECHT, HAARLEM])
    h.run()
    for name, city in (("Pia Pin", "Haarlem"), ("Quinten Q", "Delft")):
        address = {"address": f"{name.split()[0].lower()}@klant.example", "name": name}
        place = {"city": city}
        h.add_item(displayName=name, emailAddresses=[address], jobTitle="Inkoper", businessAddress=place)
    assert h.run().writes["created_business_central"] == 2
    assert states(h) == ["active"] * 5 + ["pinned"]
    settled(h)


def digest_before(h: Harness) -> str:
    """The digest of the settings as it was made before filters had groups."""
    with read(h.edges.engine) as conn:
        stored = conn.execute(select(t.sync_profile)).one()
        company = conn.execute(select(t.company)).one()
    policies = [stored.deleted_in_outlook, stored.deleted_in_bc, stored.left_scope, stored.blank_in_bc]
    values = [
        [["City", "Utrecht"]],
        stored.direction,
        stored.salesperson_code,
        stored.language,
        policies,
        "standard",
        NORMALISER_VERSION,
        [company.phone_region, company.countries],
    ]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def test_a_filter_that_was_stored_before_is_no_change_of_settings(in_step: Harness) -> None:
    h = in_step
    chosen = t.cursor.c.side == "outlook"
    with read(h.edges.engine) as conn:
        assert conn.scalar(select(t.cursor.c.diffed_settings).where(chosen)) == digest_before(h)
    h.sim.reset_counters()
    assert h.run().writes == {}
    h.add_profiles(filter=[UTRECHT])
    assert h.run().writes == {}
    assert h.app_writes() == 0
    with read(h.edges.engine) as conn:
        assert conn.scalar(select(t.cursor.c.diffed_settings).where(chosen)) == digest_before(h)


def test_a_wrong_group_fails_the_profile_and_is_named(in_step: Harness) -> None:
    h = in_step
    wrong = '[[["City", "Utrecht"]], [["City", "(a"]]]'
    with h.edges.engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(filter=wrong))
    ran = h.run()
    [error] = ran.errors
    assert "The filter on 'City' in group 2 is not understood at position 3" in str(error)
    assert ran.report.profiles[0].reason == "filter_invalid"
    assert set(h.items()) == IN_UTRECHT
