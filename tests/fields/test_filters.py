"""BC's filter language: examples, and the parser, pandas and SQL against a plain evaluation row by row."""

from __future__ import annotations

import re
import unicodedata

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields import filter_language as language
from sync_lib.fields.bc_columns import BC_COLUMNS
from sync_lib.fields.filters import (
    LIKE_ESCAPE,
    MOST_CHARACTERS,
    And,
    Compare,
    Everything,
    In,
    Or,
    check_length,
    parse_filter,
)

CONTACTS = pd.DataFrame(
    {
        "name": ["Jan", "jan de Vries", "Piet", "", "O'Neil & Co", "Ångström", "a\nb", "100%_a\\b"],
        "city": ["Amsterdam", "amersfoort", "Zwolle", "", "Den Haag", "Århus", "'s-Hertogenbosch", "A(B)"],
        "type": ["Person", "Company", "Person", "Person", "Person", "", "Company", "Person"],
        "business_relation": ["", "_x0020_", "Customer", "Bank_x0020_Account", "Vendor", "None", "Other", " "],
        "salesperson": ["JR", "", "PS", "JR", "ÉÉ", "", "JR2", "PS"],
        "last_interaction": [
            "2024-01-01", "", "2025-01-01", "0001-01-01", "2024-12-31", "", "2026-02-28", "2024-02-29",
        ],
        "privacy_blocked": ["true", "false", "", "True", "0", "1", "false", "False"],
    },
    dtype="str",
)  # fmt: skip


def matching(field, expression, *, me="JR"):
    mask = parse_filter([[(field, expression)]], field_profile="extended").mask(CONTACTS, me=me)
    assert mask.dtype == bool
    parsed = parse_filter([[(field, expression)]], field_profile="extended")
    rows = CONTACTS.fillna("").to_dict("records")
    assert [parsed.passes(row, me=me) for row in rows] == list(mask)
    return [number for number, found in enumerate(mask) if found]


@pytest.mark.parametrize(
    ("field", "expression", "rows"),
    [
        ("Name", "Jan", [0]),
        ("Name", " Jan ", [0]),
        ("Name", "@JAN", [0]),
        ("Name", "jan*", [1]),
        ("Name", "@jan*", [0, 1]),
        ("Name", "J*|P*", [0, 2]),
        ("Name", "<>J*", [1, 2, 3, 4, 5, 6, 7]),
        ("Name", "<>@j*&<>''", [2, 4, 5, 6, 7]),
        ("Name", "''", [3]),
        ("Name", "<>''", [0, 1, 2, 4, 5, 6, 7]),
        ("Name", "'O''Neil & Co'", [4]),
        ("Name", "O'''Neil & Co'", [4]),
        ("Name", "*'&'*", [4]),
        ("Name", "???", [0, 6]),
        ("Name", "a?b", [6]),
        ("Name", "100%_a\\b", [7]),
        ("Name", "100%*", [7]),
        ("Name", "=Jan", [0]),
        ("Name", "@ÅNGSTRÖM", [5]),
        ("Name", "A\u030angstro\u0308m", [5]),
        ("Name", "Jan|Piet&<>Piet", [0]),
        ("Name", "(Jan|Piet)&<>Piet", [0]),
        ("Name", "A..K", [0]),
        ("Name", "@a..k", [0, 1, 6]),
        ("Name", "..J", [3, 7]),
        ("Name", "a..", [1, 5, 6]),
        ("Name", ">=Piet", [1, 2, 5, 6]),
        ("Name", "<A", [3, 7]),
        ("City", "'''s-*'", []),
        ("City", "'''s-'*", [6]),
        ("City", "'A(B)'", [7]),
        ("Type", "Person", [0, 2, 3, 4, 7]),
        ("Soort", "persoon", [0, 2, 3, 4, 7]),
        ("type", "<>bedrijf", [0, 2, 3, 4, 5, 7]),
        ("Type", "P*", [0, 2, 3, 4, 7]),
        ("Type", "Company..Person", [0, 1, 2, 3, 4, 6, 7]),
        ("Type", ">Company", [0, 2, 3, 4, 7]),
        ("Contact Business Relation", "''", [0, 1, 7]),
        ("Contact Business Relation", "Bank Account|Klant", [2, 3]),
        ("Contact Business Relation", "Customer..Bankrekening", [2, 3, 4]),
        ("Salesperson Code", "jr", [0, 3, 6][:2]),
        ("Salesperson Code", "JR*", [0, 3, 6]),
        ("Salesperson Code", "éé", [4]),
        ("Salesperson Code", "%me", [0, 3]),
        ("Salesperson Code", "<>%ME", [1, 2, 4, 5, 6, 7]),
        ("Salesperson Code", "%me|''", [0, 1, 3, 5]),
        ("Privacy Blocked", "Yes", [0, 3, 5]),
        ("Privacy Blocked", "nee", [1, 2, 4, 6, 7]),
        ("Privacy Blocked", "<>1", [1, 2, 4, 6, 7]),
        ("Date of Last Interaction", "2024-01-01", [0]),
        ("Date of Last Interaction", "''", [1, 3, 5]),
        ("Date of Last Interaction", "<>''", [0, 2, 4, 6, 7]),
        ("Date of Last Interaction", "1-1-2024..31-12-24", [0, 4, 7]),
        ("Date of Last Interaction", ">=29.02.2024", [2, 4, 6, 7]),
        ("Date of Last Interaction", "..1/1/2024", [0, 1, 3, 5]),
        ("Name", "", [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_examples(field, expression, rows):
    assert matching(field, expression) == rows


def test_a_profile_without_a_salesperson_code_gets_nobodys_contacts():
    assert matching("Salesperson Code", "%me", me="") == []
    assert matching("Salesperson Code", "<>%me", me=" ") == list(range(8))
    assert matching("Salesperson Code", "%me", me="jr") == [0, 3]


@pytest.mark.parametrize(
    ("field", "expression", "position", "expected"),
    [
        ("Name", "a|", 2, "a value"),
        ("Name", "|a", 0, "a value"),
        ("Name", "a&&b", 2, "a value"),
        ("Name", "'a", 0, "closing quote"),
        ("Name", "(a", 2, "closing parenthesis"),
        ("Name", "a)", 1, "| or &"),
        ("Name", "a<b", 1, "| or &"),
        ("Name", "..", 2, "before or behind"),
        ("Name", "@", 1, "behind @"),
        ("Name", ">a*", 1, "without * and ?"),
        ("Name", "a*..b", 0, "range without"),
        ("Name", "<>a..b", 3, "single value"),
        ("Name", "%me", 0, "Salesperson Code only"),
        ("Name", "a\x00", 1, "readable"),
        ("Name", "a\ud800", 1, "readable"),
        ("Name", "(" * 2000, 51, "at most 50"),
        ("Salesperson Code", "%MYCUSTOMERS", 0, "%me"),
        ("Salesperson Code", ">%me", 1, "%me"),
        ("Type", "Robot", 0, "Company, Person"),
        ("Privacy Blocked", "maybe", 0, "Yes, No"),
        ("Date of Last Interaction", "31-2-2024", 0, "a day that exists"),
        ("Date of Last Interaction", "today", 0, "a date such as"),
        ("Date of Last Interaction", "2024*", 0, "a whole date"),
        ("Shoe Size", "44", 0, "a field of the contact: No., Type, Name"),
    ],
)
def test_errors_say_where_and_what(field, expression, position, expected):
    with pytest.raises(FilterSyntaxError) as raised:
        parse_filter([[(field, expression)]], field_profile="extended")
    assert (raised.value.field, raised.value.position) == (field, position)
    assert expected in raised.value.expected


def test_a_field_of_the_other_field_profile_says_so():
    with pytest.raises(FilterSyntaxError, match="'Salesperson Code' needs 'extended'"):
        parse_filter([[("Verkoperscode", "JR")]], field_profile="standard")


def test_every_field_is_found_by_each_of_its_names():
    values = {"boolean": "no", "option": "*"}
    for column in BC_COLUMNS:
        for name in (column.name, column.property, column.caption.upper(), *column.captions):
            parsed = parse_filter([[(f" {name} ", values.get(column.kind, "''"))]], field_profile="extended")
            assert parsed.fields == (column.name,)


def test_all_pairs_must_hold_and_are_described():
    parsed = parse_filter([[("Naam", "@j*"), ("type", "Person"), ("City", "")]], field_profile="standard")
    assert list(parsed.mask(CONTACTS, me="")) == [True] + [False] * 7
    assert parsed.fields == ("name", "type")
    assert parsed.describe() == "Name: @j*; Type: Person"


def test_an_empty_filter_and_an_empty_frame():
    everything = parse_filter([], field_profile="standard")
    assert everything.mask(CONTACTS, me="").all()
    assert everything.to_sql("") == Everything()
    nobody = CONTACTS.iloc[:0]
    for field, expression in [("Name", "@a*"), ("Name", "a..b"), ("Type", "<>Person"), ("City", "<>@b")]:
        mask = parse_filter([[(field, expression)]], field_profile="standard").mask(nobody, me="")
        assert (len(mask), mask.dtype) == (0, bool)


def test_missing_values_count_as_blank():
    frame = pd.DataFrame({"name": [None, "a"]}, index=[7, 9])
    mask = parse_filter([[("Name", "''")]], field_profile="standard").mask(frame, me="")
    assert dict(mask) == {7: True, 9: False}


def test_sql_of_what_it_can_say():
    def sql(field, expression):
        return parse_filter([[(field, expression)]], field_profile="extended").to_sql("jr")

    assert sql("Name", "Jan") == Compare("name", "=", "Jan")
    assert sql("Salesperson Code", "%me") == Compare("salesperson", "=", "JR")
    assert sql("Name", "a_%*\\?") == Compare("name", "like", r"a\_\%%\\%")
    assert sql("Type", "Person") == Compare("type", "=", "Person")
    for left_to_pandas in ("a..b", ">a", "@a", "@a*", "<>a*", "a|@b"):
        assert sql("Name", left_to_pandas) == Everything()
    assert sql("Name", "a&@b") == Compare("name", "=", "a")
    assert parse_filter([[("Salesperson Code", "%me")]], field_profile="extended").to_sql("") == Or(())


@pytest.mark.parametrize(
    "expression", ["Zo\u00ebtermeer", "Zoe\u0308termeer", "Zo?termeer", "@zo\u00cb*", "a|Zo\u00eb*|b"]
)
def test_a_letter_with_an_accent_is_one_letter_in_whatever_form(expression):
    """Rules 4 and 6: what BC's user typed on a Mac, or pasted, is what the filter pane shows."""
    parsed = parse_filter([[("City", expression)]], field_profile="standard")
    for held in ("Zo\u00ebtermeer", "Zoe\u0308termeer"):
        assert list(parsed.mask(pd.DataFrame({"city": [held]}), me="")) == [True]
        assert parsed.passes({"city": held}, me="")
        assert sql_holds(parsed.to_sql(""), {"city": held}, ignore_case=False)


def test_time_grows_with_the_text_whatever_the_pattern():
    """O5: with steps back, each of these would try more than 10^10 places, and this test would not end."""
    text = "a" * 60_000
    for expression in (
        "*a" * 400 + "*c",
        "@*" + "?" * 59_000 + "b",
        "*a?a" * 300 + "c*",
        "*" + "a?" * 20_000 + "c*",
    ):
        frame = pd.DataFrame({"name": [text, text + "b"]})
        mask = parse_filter([[("Name", expression)]], field_profile="standard").mask(frame, me="")
        assert list(mask) == [False, expression.endswith("b")]


@pytest.mark.parametrize("sign", ["", "@"])
def test_a_list_of_values_is_one_look(sign):
    """O5: 900 values of a list cost one comparison for each contact, and one condition in SQL."""
    names = [f"n{number}" for number in range(900)]
    listed = parse_filter([[("Name", "|".join(sign + name for name in names))]], field_profile="standard")
    others = parse_filter(
        [[("Name", "&".join("<>" + sign + name for name in names))]], field_profile="standard"
    )
    for parsed in (listed, others):
        assert isinstance(parsed.groups[0][0].node, language.OneOf)
    assert listed.to_sql("") == (Everything() if sign else In("name", tuple(sorted(names))))
    assert others.to_sql("") == (Everything() if sign else In("name", tuple(sorted(names)), negated=True))
    frame = pd.DataFrame({"name": ["n1", "N1", "n1000", ""]})
    found = [True, bool(sign), False, False]
    assert list(listed.mask(frame, me="")) == found
    assert list(others.mask(frame, me="")) == [not each for each in found]


def test_a_long_condition_is_left_to_pandas():
    """O5: SQLite takes no expression of more than 1,000 levels."""
    parsed = parse_filter([[("Name", "|".join(f"a{n}*" for n in range(500)))]], field_profile="standard")
    assert parsed.to_sql("") == Everything()
    assert list(parsed.mask(pd.DataFrame({"name": ["a499x", "b"]}), me="")) == [True, False]


def test_a_filter_has_a_greatest_length():
    """O5: it is counted over all conditions, with the names of their fields."""
    fits, more = ("Name", "a" * (MOST_CHARACTERS - 8)), ("City", "Utrecht")
    check_length([[fits, ("City", "")]])
    for groups, group in (([[fits, more]], 0), ([[fits], [more]], 2)):
        with pytest.raises(FilterSyntaxError, match=f"at most {MOST_CHARACTERS} characters") as refused:
            check_length(groups)
        assert (refused.value.field, refused.value.position, refused.value.group) == ("City", 0, group)


# -- against a plain evaluation ---------------------------------------------------------------------------------------

LETTERS = st.text(st.sampled_from("aAbBéÉß\u0301 '%_\\\n.*"), max_size=4)
CODES = LETTERS.map(str.upper)
DATES = st.sampled_from(["", "0001-01-01", "2024-01-01", "2024-02-29", "2025-12-31"])
TYPES = st.sampled_from(["Person", "Company", ""])
BOOLEANS = st.sampled_from(["true", "false", ""])
VALUES = {
    "name": LETTERS,
    "territory": CODES,
    "last_interaction": DATES,
    "type": TYPES,
    "privacy_blocked": BOOLEANS,
}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def literals(column):
    if column == "type":
        return st.sampled_from(["Person", "bedrijf", "COMPANY"])
    if column == "privacy_blocked":
        return st.sampled_from(["yes", "nee", "0"])
    return (DATES if column == "last_interaction" else LETTERS).map(quoted)


def expressions(column):
    literal = literals(column)
    fold = st.sampled_from(["", "@"])
    leaf = st.one_of(
        st.builds("{}{}{}".format, st.sampled_from(["", "<>", "<", "<=", ">", ">=", "="]), fold, literal),
        st.builds("{}{}..{}".format, fold, literal, literal),
        st.builds("..{}".format, literal),
        st.builds("{}..".format, literal),
    )
    if column in ("name", "territory"):
        wild = st.lists(st.one_of(st.just("*"), st.just("?"), literal), min_size=1, max_size=5).map("".join)
        leaf |= st.builds("{}{}{}".format, st.sampled_from(["", "<>"]), fold, wild)
    return st.recursive(
        leaf,
        lambda inner: (
            st.builds("{}{}{}".format, inner, st.sampled_from(["|", "&"]), inner)
            | st.builds("({})".format, inner)
        ),
        max_leaves=6,
    )


CASES = st.sampled_from(sorted(VALUES)).flatmap(
    lambda column: st.tuples(st.just(column), expressions(column), st.lists(VALUES[column], max_size=8))
)


def holds(node, value, *, me="JR", date=False):
    """Decide one value by one node, the slow and obvious way."""
    value = unicodedata.normalize("NFC", value)
    if isinstance(node, language.And):
        return all(holds(term, value, me=me, date=date) for term in node.terms)
    if isinstance(node, language.Or):
        return any(holds(term, value, me=me, date=date) for term in node.terms)
    if date and value == "0001-01-01" and not isinstance(node, language.OneOf):
        value = ""
    if node.fold:
        value = value.casefold()
    if isinstance(node, language.OneOf):
        return (value in node.spellings) != node.negated
    if isinstance(node, language.Between):
        return (node.low is None or node.low <= value) and (node.high is None or value <= node.high)
    if isinstance(node, language.Like):
        return glob(node.parts, value) != node.negated
    wanted = me if node.me else node.value
    return {
        "=": value == wanted, "<>": value != wanted, "<": value < wanted,
        "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted,
    }[node.operator]  # fmt: skip


def glob(parts, value):
    """Match by trying every place of every part: no regular expression involved."""

    def is_at(part, place):
        for piece in part:
            size = 1 if piece is None else len(piece)
            if place + size > len(value) or (piece is not None and value[place : place + size] != piece):
                return -1
            place += size
        return place

    places = {is_at(parts[0], 0)} - {-1}
    for part in parts[1:]:
        places = {is_at(part, place) for start in places for place in range(start, len(value) + 1)} - {-1}
    return len(value) in places


def sql_holds(condition, row, *, ignore_case):
    if isinstance(condition, Everything):
        return True
    if isinstance(condition, And):
        return all(sql_holds(part, row, ignore_case=ignore_case) for part in condition.parts)
    if isinstance(condition, Or):
        return any(sql_holds(part, row, ignore_case=ignore_case) for part in condition.parts)
    value = row[condition.column]
    if isinstance(condition, In):
        return (value in condition.values) != condition.negated
    wanted = condition.value
    if condition.op == "like":
        tokens = re.findall(re.escape(LIKE_ESCAPE) + ".|.", wanted, re.DOTALL)
        pattern = "".join({"%": ".*", "_": "."}.get(token, re.escape(token[-1])) for token in tokens)
        return re.fullmatch(pattern, value, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None
    return {
        "=": value == wanted, "<>": value != wanted, "<": value < wanted,
        "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted,
    }[condition.op]  # fmt: skip


@settings(max_examples=300)
@given(CASES)
@example(("name", "@'ß'*", ["SS", "ss", "ß"]))
@example(("name", "*'a'?'a'*'b'", ["aaab", "aabab", "a\na b"]))
def test_pandas_agrees_with_a_plain_evaluation(case):
    column, expression, values = case
    parsed = parse_filter([[(column, expression)]], field_profile="extended")
    frame = pd.DataFrame({column: pd.Series(values, dtype="str")})
    date = column == "last_interaction"
    expected = [holds(parsed.groups[0][0].node, value, date=date) for value in values]
    assert list(parsed.mask(frame, me="JR")) == expected
    assert [parsed.passes({column: value}, me="JR") for value in values] == expected


@given(st.lists(LETTERS.filter(bool), min_size=1, max_size=5), st.lists(LETTERS, max_size=8), st.booleans())
def test_a_list_means_what_its_values_mean_one_by_one(wanted, values, fold):
    """O5: putting terms together changes nothing."""
    frame = pd.DataFrame({"name": pd.Series(values, dtype="str")})
    terms = [("@" if fold else "") + quoted(text) for text in wanted]

    def masks(expressions):
        return [
            parse_filter([[("Name", each)]], field_profile="standard").mask(frame, me="")
            for each in expressions
        ]

    (listed, others) = masks(["|".join(terms), "&".join("<>" + term for term in terms)])
    single = masks(terms)
    assert list(listed) == [any(row) for row in zip(*single, strict=True)]
    assert list(others) == [not any(row) for row in zip(*single, strict=True)]


@settings(max_examples=300)
@example(("last_interaction", "''&<>'0001-01-01'", ["0001-01-01", ""]), False)
@given(CASES, st.booleans())
def test_sql_never_loses_a_contact(case, ignore_case):
    column, expression, values = case
    parsed = parse_filter([[(column, expression)]], field_profile="extended")
    frame = pd.DataFrame({column: pd.Series(values, dtype="str")})
    condition = parsed.to_sql("JR")
    for value, matches in zip(values, parsed.mask(frame, me="JR"), strict=True):
        if matches:
            assert sql_holds(condition, {column: value}, ignore_case=ignore_case)


@given(
    st.sampled_from([column.name for column in BC_COLUMNS]),
    st.one_of(st.text(max_size=40), st.text(st.sampled_from("ab'@*?<>=.&|()% 01-"), max_size=30)),
    st.sampled_from(["standard", "extended"]),
)
def test_any_text_parses_or_is_refused(field, expression, field_profile):
    try:
        parsed = parse_filter([[(field, expression)]], field_profile=field_profile)
    except FilterSyntaxError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert 0 <= refused.position <= len(expression)
        return
    frame = pd.DataFrame({field: pd.Series(["a", "", "2024-01-01"], dtype="str")})
    parsed.mask(frame, me="JR")
    parsed.to_sql("JR")
