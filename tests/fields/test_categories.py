"""The categories of a profile's templates (rules 6): which texts they are, and that a user's own ones are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_lib.fields import categories
from sync_lib.fields.categories import TemplateError, check_templates, decide, render, split_templates

VALUES = {"company_name": "Bakkerij Zon, Brood; BV", "salesperson": "JR", "territory": ""}


def check(*templates: str, field_profile: str = "extended") -> tuple[str, ...]:
    return check_templates(templates, field_profile=field_profile)


# -- templates -------------------------------------------------------------------------------------------------------


def test_places_stand_for_what_business_central_has_of_the_contact():
    assert render(["Business Central", "Klant {company}"], VALUES | {"company_name": "Zon"}) == [
        "Business Central",
        "Klant Zon",
    ]
    assert render(["{salesperson}"], VALUES) == ["JR"]


def test_a_blank_place_gives_no_category():
    assert render(["Gebied {territory}", "{salesperson} {territory}"], VALUES) == []
    assert render(["{company}"], {"company_name": " , ; "}) == []


def test_what_separates_categories_is_left_out_of_a_value():
    assert render(["{company}"], VALUES) == ["Bakkerij Zon Brood BV"]


def test_a_category_is_never_cut():
    assert render(["{company}"] * 1 + ["x"], {"company_name": "a" * 256}) == ["x"]
    assert render(["{company}"], {"company_name": "a" * 255}) == ["a" * 255]


def test_one_text_is_one_category():
    assert render(["zon", "{company}"], {"company_name": "Zon"}) == ["Zon"]
    assert check("Zon", "ZON", "Maan") == ("Zon", "Maan")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{bedrijf}", "{bedrijf} is not known"),
        ("Klant {company", "without its other half"),
        ("{{company}}", "without its other half"),
        ("Jansen, De Vries", "comma"),
        ("a" * 101, "longer than 100"),
    ],
)
def test_a_template_that_cannot_be_a_category_is_refused(template, said):
    with pytest.raises(TemplateError, match=said):
        check(template)


@pytest.mark.parametrize("place", ["salesperson", "territory"])
def test_what_the_field_profile_does_not_read_is_refused(place):
    assert check(f"{{{place}}}") == (f"{{{place}}}",)
    with pytest.raises(TemplateError, match="'extended'"):
        check(f"{{{place}}}", field_profile="standard")
    assert categories.unreadable(["Zon", f"x {{{place}}}"], "standard") == f"x {{{place}}}"
    assert not categories.unreadable(["{company}"], "standard")


def test_there_are_at_most_ten():
    with pytest.raises(TemplateError, match="more than 10"):
        check(*map(str, range(11)))


def test_templates_are_written_in_one_text_and_back():
    assert split_templates(" Zon ;; Klant {company}\nMaan;") == ["Zon", "Klant {company}", "Maan"]
    assert split_templates(categories.join_templates(["Zon", "Maan"])) == ["Zon", "Maan"]


# -- items -----------------------------------------------------------------------------------------------------------


def after(
    present: list[str], wanted: list[str], known: dict[str, list[str]], *, keyed: bool = False
) -> list[str]:
    return decide({"categories": present}, wanted, known, keyed=keyed)["after"]


def test_an_item_gets_what_it_lacks_once():
    assert after(["Golf"], ["Zon"], {}) == ["Golf", "Zon"]
    assert after(["zon"], ["Zon"], {}) == ["zon"]
    assert after(["Golf"], ["Zon"], {"asked": ["Zon"], "own": ["Zon"]}, keyed=True) == ["Golf"]
    # Without the key it is another item, of an older copy of the mailbox or made by hand.
    assert after(["Golf"], ["Zon"], {"asked": ["Zon"], "own": ["Zon"]}) == ["Golf", "Zon"]


def test_what_the_sync_put_there_goes_and_what_the_user_had_stays():
    known = {"asked": ["Zon"], "own": ["Zon"]}
    assert after(["Golf", "Zon", "Privé"], ["Maan"], known) == ["Golf", "Privé", "Maan"]
    assert after(["Golf", "Zon"], ["Maan"], {"asked": ["Zon"], "own": []}) == ["Golf", "Zon", "Maan"]


def test_another_case_is_another_text():
    assert after(["Zon"], ["ZON"], {"asked": ["Zon"], "own": ["Zon"]}) == ["ZON"]


def test_what_a_user_took_off_and_put_back_is_theirs():
    known = categories.remembered(
        decide({"categories": []}, ["Zon"], {"asked": ["Zon"], "own": ["Zon"]}, keyed=True)
    )
    assert known == {"asked": ["Zon"], "own": []}
    assert after(["Zon"], [], known) == ["Zon"]


def test_with_nothing_remembered_the_key_says_whose_a_category_is():
    assert decide({"categories": ["Zon", "Golf"]}, ["Zon"], {}, keyed=True)["own"] == ["Zon"]
    assert decide({"categories": ["Zon", "Golf"]}, ["Zon"], {}, keyed=False)["own"] == []


def test_taking_off_takes_off_exactly_ours():
    own = categories.digests(["Zon"])
    assert categories.without({"categories": ["Golf", "Zon", "zon"]}, own) == ["Golf", "zon"]
    assert categories.without({"categories": ["Golf"]}, own) is None


names = st.sampled_from(["Zon", "zon", "Maan", "Ster", "Business Central", "Golf"])
lists = st.lists(names, max_size=5, unique=True)
wishes = st.lists(names, max_size=3, unique_by=str.casefold)


@given(lists, st.lists(wishes, max_size=6))
def test_a_users_own_categories_are_always_kept_in_their_order(own, steps):
    """Whatever the templates come to, one after the other, and when the sync takes its own ones off in the end."""
    present, known = list(own), {}
    for wanted in steps:
        found = decide({"categories": present}, wanted, known, keyed=False)
        present, known = found["after"], categories.remembered(found)
        assert [text for text in present if text in own] == own
        again = decide({"categories": present}, wanted, known, keyed=True)
        assert (again["after"], categories.remembered(again)) == (present, known)
    left = categories.without({"categories": present}, categories.digests(known.get("own", ())))
    assert (present if left is None else left) == own
