"""A filter of groups: what each group holds, put together; how it is written down; which group an error is in."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields.filters import (
    And,
    Compare,
    Everything,
    Or,
    from_written,
    parse_filter,
    to_written,
)
from sync_lib.store.profiles import file as profile_file
from tests.fields.test_filters import VALUES, expressions, quoted, sql_holds

PEOPLE = pd.DataFrame(
    {
        "name": ["Jan", "Piet", "Els", "Ans"],
        "city": ["Utrecht", "Haarlem", "Haarlem", ""],
        "company_name": ["", "Cronus", "", "Cronus"],
        "salesperson": ["JR", "PS", "JR", ""],
    },
    dtype="str",
)
UTRECHT, HAARLEM = (("City", "Utrecht"),), (("Plaats", "Haarlem"), ("Company Name", "<>''"))

PAIRS = st.sampled_from(sorted(VALUES)).flatmap(lambda c: st.tuples(st.just(c), expressions(c)))
GROUP = st.lists(PAIRS, min_size=1, max_size=3).map(tuple)
GROUPS = st.lists(GROUP, max_size=4).map(tuple)
FRAMES = st.lists(st.fixed_dictionaries(VALUES), max_size=6).map(
    lambda rows: pd.DataFrame(rows, columns=sorted(VALUES), dtype="str")
)


def parsed(groups, field_profile="extended"):
    return parse_filter(groups, field_profile=field_profile)


def names(groups, *, me=""):
    return set(PEOPLE["name"][parsed(groups).mask(PEOPLE, me=me)])


def test_one_group_is_enough_and_all_of_it_must_hold():
    assert names([UTRECHT]) == {"Jan"}
    assert names([HAARLEM]) == {"Piet"}
    assert names([UTRECHT, HAARLEM]) == {"Jan", "Piet"}
    assert names([]) == names([()]) == names([UTRECHT, ()]) == {"Jan", "Piet", "Els", "Ans"}
    # An empty expression filters nothing, and a group of only such ones holds everybody.
    assert names([UTRECHT, (("Name", " "),)]) == {"Jan", "Piet", "Els", "Ans"}


def test_me_is_the_profiles_own_code_in_each_group():
    mine = (("Salesperson Code", "%me"), ("City", "Haarlem"))
    assert names([UTRECHT, mine], me="jr") == {"Jan", "Els"}
    assert names([UTRECHT, mine], me="PS") == {"Jan", "Piet"}
    assert names([UTRECHT, mine], me="") == {"Jan"}
    assert parsed([UTRECHT, mine]).passes({"salesperson": "JR", "city": "Haarlem"}, me="JR")
    assert not parsed([UTRECHT, mine]).passes({"salesperson": "JR", "city": "Delft"}, me="JR")


def test_all_fields_are_read_and_all_groups_described():
    chosen = parsed([UTRECHT, HAARLEM], "standard")
    assert chosen.fields == ("city", "company_name")
    assert chosen.describe() == "(City: Utrecht) | (City: Haarlem; Company Name: <>'')"
    assert parsed([HAARLEM]).describe() == "City: Haarlem; Company Name: <>''"
    assert parsed([]).describe() == parsed([UTRECHT, ()]).describe() == ""


def test_sql_of_groups():
    assert parsed([UTRECHT, HAARLEM]).to_sql("") == Or(
        (
            Compare("city", "=", "Utrecht"),
            And((Compare("city", "=", "Haarlem"), Compare("company_name", "<>", ""))),
        )
    )
    # What SQL cannot say of one group may be anybody.
    assert parsed([UTRECHT, (("Name", "@j*"),)]).to_sql("") == Everything()
    assert parsed([(("Name", f"n{n}"),) for n in range(401)]).to_sql("") == Everything()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_error_names_its_group(position):
    groups = [UTRECHT, UTRECHT]
    groups.insert(position, (("Name", "*"), ("City", "a|")))
    with pytest.raises(FilterSyntaxError) as raised:
        parsed(groups)
    error = raised.value
    assert (error.group, error.field, error.position) == (position + 1, "City", 2)
    assert str(error) == (
        f"The filter on 'City' in group {position + 1} is not understood at position 3 of 'a|': "
        "expected a value ('' for blank)."
    )


def test_an_error_of_the_only_group_names_none():
    for groups in ([[("City", "a|")]], [[("City", "x"), ("City", "a|")]]):
        with pytest.raises(FilterSyntaxError, match="The filter on 'City' is not understood") as raised:
            parsed(groups)
        assert raised.value.group == 0


def test_one_group_is_written_down_as_before_there_were_several():
    assert to_written(()) == []
    assert to_written((HAARLEM,)) == [["Plaats", "Haarlem"], ["Company Name", "<>''"]]
    assert to_written((UTRECHT, HAARLEM)) == [
        [["City", "Utrecht"]],
        [["Plaats", "Haarlem"], ["Company Name", "<>''"]],
    ]
    assert from_written([["City", "Utrecht"]]) == (UTRECHT,)


@pytest.mark.parametrize(
    "text", ["1", "null", "[1]", '[["a"]]', '[["a", "b"], [["a", "b"]]]', '[[["a"]]]', '[{"a": 1}]']
)
def test_what_is_no_filter_is_refused(text):
    with pytest.raises((ValueError, TypeError, KeyError)):
        from_written(json.loads(text))


@settings(max_examples=200)
@given(GROUPS, FRAMES)
def test_a_filter_of_groups_holds_what_its_groups_hold(groups, frame):
    """Also once it went through what is stored and through a file."""
    single = [list(parsed([group]).mask(frame, me="JR")) for group in groups]
    expected = [any(row) for row in zip(*single, strict=True)] if groups else [True] * len(frame)
    assert list(parsed(groups).mask(frame, me="JR")) == expected
    rows = frame.to_dict("records")
    assert [parsed(groups).passes(row, me="JR") for row in rows] == expected
    stored = from_written(json.loads(json.dumps(to_written(groups), ensure_ascii=False)))
    assert stored == groups
    assert list(parsed(profile_file.in_file_order(groups)).mask(frame, me="JR")) == expected


@settings(max_examples=200)
@given(GROUPS, FRAMES, st.booleans())
def test_sql_loses_no_contact_of_any_group(groups, frame, ignore_case):
    condition = parsed(groups).to_sql("JR")
    rows = frame.to_dict("records")
    for row, matches in zip(rows, parsed(groups).mask(frame, me="JR"), strict=True):
        if matches:
            assert sql_holds(condition, row, ignore_case=ignore_case)


#: Values of a file are seen, and have no blanks at their ends.
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
IN_FILES = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["City", "Naam", "No."]), WORDS.map(quoted)),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=4,
).map(profile_file.in_file_order)


@given(IN_FILES)
def test_a_filter_goes_through_a_file_as_it_is(groups):
    entry = profile_file.ProfileEntry("anna@example.com", "Cronus", filter=groups)
    content = profile_file.ProfileFile((entry,))
    text = profile_file.dump(content)
    assert profile_file.parse(text, field_profile="standard") == content
    [row] = yaml.safe_load(text)["profiles"]
    assert isinstance(row["filter"], list if len(groups) > 1 else dict)
