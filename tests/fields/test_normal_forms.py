"""Normal forms: what is equal, what is not, and that no text breaks them."""

from __future__ import annotations

import random
import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync_lib.fields import phones
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.normal_forms import (
    Normaliser,
    company_key,
    country_code,
    country_name,
    email_key,
    email_problem,
    email_spellings,
    first_address,
)
from sync_lib.fields.table import FIELD_MAPS, diffed_fields
from sync_lib.fields.texts import clean_line, fold_case, length

# The codes of Microsoft's demonstration company that are no ISO codes, or another country's.
TABLE = {
    "NL": "Nederland",
    "DE": "Duitsland",
    "EL": "Griekenland",
    "NI": "Noord-Ierland",
    "UK": "Groot-Brittannië",
}
DUTCH = Normaliser(Lookups(countries=TABLE))
PLAIN = Normaliser(Lookups())
FIELDS = [row.name for row in FIELD_MAPS]

any_text = st.text(st.characters(exclude_categories=()), max_size=60)


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("phone", "020-555 01 10", "+31 20 5550110"),
        ("phone", "0031 20 555 01 10", "+31 (0)20 555 0110"),
        ("phone", "٠٢٠٥٥٥٠١١٠", "020 5550110"),
        ("phone", "+49 (0) 30 901820", "+4930901820"),
        ("mobile_phone", "06 12345678", "+31612345678"),
        ("phone", "020-5550110 ext. 12", "+31 20 5550110 x12"),
        ("email", " A.Jansen@Molenzicht.Example ", "a.jansen@molenzicht.example"),
        ("email", "a@x.example; b@x.example", "A@X.example"),
        ("country", "NL", "nederland"),
        ("country", "Niederlande", "The Netherlands"),
        ("country", "EL", "Greece"),
        ("country", "UK", "Verenigd Koninkrijk"),
        ("country", "Belgie", "België"),
        ("country", "DEU", "Allemagne"),
        ("post_code", "1501 ab", "1501AB"),
        ("street", "Kade 4\r\nUnit B", "Kade 4\nUnit B\n"),
        ("street", "Kade 4\rUnit B", "  Kade 4  \n\n Unit B"),
        ("name", "Jose\u0301", "José "),
        ("name", "a\x00b", "ab"),
        ("job_title", "a\r\nb", "a\nb"),
        # I14: domains in two spellings, and what nobody sees.
        ("email", "Jan@M\u00dcNCHEN.example", "jan@xn--mnchen-3ya.EXAMPLE"),
        ("email", "jan@bu\u0308cher.example", "jan@b\u00fccher.example"),
        ("email", "\u202ajan\u200b@x.ex\u2060ample\ufeff", "jan@x.example"),
        ("email2", "j\u00adan@x.example; b@x.example", "jan@x.example"),
        ("phone", "\u202d020\u2011555 01\u200b10\u202c", "+31 20 5550110"),
        ("mobile_phone", "\u2066call\u2069 Anna", "call Anna"),
        ("home_page", "www.x\u200b.example\u200e", "www.x.example"),
        ("post_code", "1501\u00ad ab\u200f", "1501AB"),
        ("country", "N\u2060L", "Nederland"),
        ("country", "Belg\u00adi\u00eb", "BE"),
    ],
)
def test_written_differently_and_equal(field, one, other):
    assert DUTCH.normal(field, one) == DUTCH.normal(field, other) != ""


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("phone", "020-5550110", "020-5550111"),
        ("phone", "020-5550110", "020-5550110 ext. 12"),
        ("phone", "020-5550110", "020-5550110 (Anna)"),
        ("phone", "020-5550110", "Anna 020-5550110"),
        ("phone", "112", "113"),
        ("email", "a@x.example", "b@x.example"),
        ("country", "NI", "Nicaragua"),
        ("country", "Atlantis", "Utopia"),
        ("country", "Atlantis", ""),
        ("name", "Jansen", "jansen"),
        # I14: joiners are spelling, and other text stays as somebody typed it.
        ("name", "\u0645\u06cc\u200c\u0631\u0648\u0645", "\u0645\u06cc\u0631\u0648\u0645"),
        ("name", "Jan\u200bsen", "Jansen"),
        ("street", "Kade\u00ad4", "Kade4"),
        ("email", "jan@m\u00fcnchen.example", "jan@munchen.example"),
        # F7: rows of zeros are no numbers.
        ("phone", "0000000000", "00000"),
        ("phone", "000 000 0000", "0000000000"),
        ("phone", "000", "0"),
        ("street", "Kade 4\nUnit B", "Kade 4 Unit B"),
    ],
)
def test_not_equal(field, one, other):
    assert DUTCH.normal(field, one) != DUTCH.normal(field, other)


def test_known_forms():
    assert DUTCH.normal("phone", "020-555 01 10") == "+31205550110"
    assert Normaliser(Lookups(region="DE")).normal("phone", "030 901820") == "+4930901820"
    assert DUTCH.normal("country", "Duitsland") == "DE"
    assert DUTCH.normal("name", "Jose\u0301") == "Jos\u00e9"
    assert DUTCH.normal("country", "Atlantis") == "?atlantis"
    assert DUTCH.normal("phone", " ask   at the desk ") == "ask at the desk"


def test_no_unknown_country_passes_for_a_code():
    assert DUTCH.normal("country", "qq") == "?qq"


@given(st.sampled_from(FIELDS), any_text)
@example("country", "?? atlantis")
@example("email", "\u0345; a")
@example("email", "\u037e a@b")
@example("post_code", "ŉ \u0345")
@example("phone", "+31 020")
@example("street", "\x1f\x1f\r\r\n")
def test_forms_are_idempotent_and_never_fail(field, text):
    form = PLAIN.normal(field, text)
    assert PLAIN.normal(field, form) == form
    assert form == form.strip()
    form.encode()
    assert "\x1f" not in form


@given(st.sampled_from(FIELDS), st.text("0123456789+-() ./#x;=*", max_size=20))
@example("phone", "0000000")
def test_phone_like_text_is_idempotent_too(field, text):
    form = PLAIN.normal(field, text)
    assert PLAIN.normal(field, form) == form


# -- phones -----------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["NL", "DE", "BE", "GB", "US", "FR", "IT", "GG", "LU", "BR", "RU", "HU", "XX", ""]),
    st.from_regex(
        r"(\+(31|32|49|44|1|7|39|352|33|36|55|377)|00|0|)[ (]?[0-9][-0-9 ./()]{3,14}", fullmatch=True
    ),
)
@example("GB", "01481 720014")
@example("GG", "01481 720014")
@example("NL", "+31 (0)20 5550110")
@example("NL", "0014155550110")
@example("US", "(415) 555-0110")
def test_the_short_cut_for_phones_agrees_with_the_library(region, text):
    short = phones._short_cut(text, region)
    if short:
        assert short == phones._parsed(text, region)


def test_the_short_cut_takes_the_usual_spellings():
    for text in ("020-555 01 10", "+31 20 555 01 10", "06 1234 5678", "(020) 555.01.10"):
        assert phones._short_cut(text, "NL"), text


def test_example_numbers_of_all_regions_are_parsed():
    for region in phonenumbers.SUPPORTED_REGIONS:
        number = phonenumbers.example_number(region)
        expected = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        for style in (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL):
            written = phonenumbers.format_number(number, style)
            assert phones.phone_form(written, region) == expected, (region, written)


# -- e-mail -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a@molenzicht.example", None),
        ("a.b+c@x.test", None),
        ("a@intern.local", None),
        ("jan@münchen.example", None),
        ('"jan jansen"@x.example', None),
        ("\u200ejan@x.example\u200b", None),
        ("a@x.example; not an address", None),
        ("; a@x.example", None),
        ("", "email_missing"),
        (" ; ", "email_missing"),
        ("\x00", "email_missing"),
        ("a", "email_invalid"),
        ("a@b", "email_invalid"),
        ("a@b@c.example", "email_invalid"),
        ("Jan <a@x.example>", "email_invalid"),
        ("a@127.0.0.1", "email_invalid"),
        ("a..b@x.example", "email_invalid"),
        ("a b@x.example", "email_invalid"),
        ("a@x..example", "email_invalid"),
        ("a@-x.example", "email_invalid"),
        ("a" * 65 + "@x.example", "email_invalid"),
    ],
)
def test_email_problem(text, problem):
    assert email_problem(text) == problem


@given(st.from_regex(r"[A-Za-z0-9_.+-]{1,12}@[A-Za-z0-9.-]{1,12}\.[A-Za-z]{1,4}", fullmatch=True))
@example("a@xn--a.example")
@example("a_-b@x-y.example")
def test_the_short_cut_for_addresses_agrees_with_the_library(address):
    from sync_lib.fields import normal_forms

    if normal_forms._PLAIN_ADDRESS.match(address):
        assert normal_forms._is_valid(address)


@given(any_text)
def test_email_problem_never_fails(text):
    assert email_problem(text) in {None, "email_missing", "email_invalid"}
    assert (email_problem(text) == "email_missing") == (email_key(text) == "")


@pytest.mark.parametrize("region", ["NL", "IT", "US", "DE", "GB", "FR", "BR", ""])
def test_a_row_of_zeros_compares_as_the_text_that_it_is(region):
    """F7: also in regions where the library makes a number of it."""
    for text in (
        "0000000",
        "00 00000",
        "000 000 0000",
        "000",
        "00000000000",
        "+39 00000000",
        "+1 000 000 0000",
    ):
        assert phones.phone_form(text, region) == text


@given(st.text("aä@.ßxn-ü\u200bＡ。İ1", max_size=20), st.sampled_from(["", "xn--", "a@xn--", "a@bücher."]))
@example("a@xn--a.example", "")
@example("ＡＢ。example", "a@")
def test_the_key_of_a_key_is_itself_and_each_of_its_spellings_has_it(text, start):
    """I14: so that stored keys can be renewed from themselves, and both spellings find a contact."""
    key = email_key(start + text)
    assert email_key(key) == key
    assert email_spellings(key)[0] == key
    assert {email_key(spelling) for spelling in email_spellings(key)} == {key}


def test_a_domain_in_unicode_has_both_spellings():
    """I14: BC's filters compare text."""
    assert email_spellings("jan@xn--mnchen-3ya.example") == (
        "jan@xn--mnchen-3ya.example",
        "jan@münchen.example",
    )
    assert email_spellings("jan@x.example") == ("jan@x.example",)
    assert email_spellings("") == ("",)


@given(any_text)
def test_the_key_is_that_of_the_first_address(text):
    assert email_key(first_address(text)) == email_key(text)


# -- countries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["nl", "en", "de", "fr", "sv", "nl-BE", "zh-Hant", "xx", ""])
def test_country_names_come_back_as_their_code(language):
    normaliser = Normaliser(Lookups(language=language, countries=TABLE))
    for code in TABLE:
        name = country_name(code, language, TABLE)
        assert normaliser.normal("country", name) == normaliser.normal("country", code)
        assert country_code(name, language, TABLE) == code


def test_each_company_has_its_own_table_of_countries():
    tables = [{"A": "Nederland"}, {"B": "Nederland"}, dict.fromkeys("C", "Nederland")]
    for _ in range(2):
        assert [country_code("NL", "nl", table) for table in tables] == ["A", "B", "C"]
        assert [Normaliser(Lookups(countries=table)).normal("country", "A") for table in tables] == [
            "NL",
            "?a",
            "?a",
        ]


def test_country_names_are_in_the_language_of_the_profile():
    assert country_name("NL", "en", TABLE) == "Netherlands"
    assert country_name("UK", "nl", TABLE) == "Verenigd Koninkrijk"
    assert country_name("NI", "nl", TABLE) == "Noord-Ierland"
    assert country_name("", "nl", TABLE) == ""
    assert country_name("ZUID", "nl", {"ZUID": "Zuidland"}) == "Zuidland"


def test_all_countries_in_all_four_languages_come_back():
    from sync_lib.fields.country_source import iso_codes

    for language in ("nl", "en", "de", "fr"):
        names = {code: country_name(code, language, {}) for code in iso_codes()}
        assert {code: PLAIN.normal("country", name) for code, name in names.items()} == {
            code: code for code in names
        }


def test_no_code_for_a_country_that_bc_lacks():
    assert country_code("Nicaragua", "nl", TABLE) == ""
    assert country_code("Atlantis", "nl", TABLE) == ""
    assert country_code("Atlantis", "nl", {}) == ""
    assert country_code("Nederland", "nl", {}) == "NL"


# -- fingerprints -----------------------------------------------------------------------------------------------------


def test_fingerprint_sees_every_compared_field_and_only_normal_forms():
    empty = DUTCH.fingerprint({})
    assert empty == DUTCH.fingerprint(dict.fromkeys(FIELDS, "")) == DUTCH.fingerprint({"name": " \x00"})
    seen = {empty} | {DUTCH.fingerprint({field: "x"}) for field in diffed_fields("extended")}
    assert len(seen) == len(diffed_fields("extended")) + 1
    assert DUTCH.fingerprint({"phone": "020-5550110"}) == DUTCH.fingerprint({"phone": "+31205550110"})
    assert DUTCH.fingerprint({"name": "a", "city": ""}) != DUTCH.fingerprint({"name": "", "city": "a"})


def test_fingerprint_fits_a_signed_column_and_is_the_same_in_every_process():
    fields = {"name": "Sanne de Vries", "street": "Kade 4\r\nUnit B", "country": "NL"}
    here = PLAIN.fingerprint(fields)
    assert -(2**63) <= here < 2**63
    program = (
        "from sync_lib.fields.normal_forms import Normaliser; from sync_lib.fields.lookups import Lookups;"
        f"print(Normaliser(Lookups()).fingerprint({fields!r}))"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(there) == here


def test_fingerprint_carries_the_version(monkeypatch):
    from sync_lib.fields import normal_forms

    before = PLAIN.fingerprint({"name": "a"})
    monkeypatch.setattr(normal_forms, "_PERSON", b"fields 0")
    assert PLAIN.fingerprint({"name": "a"}) != before


@given(st.dictionaries(st.sampled_from(FIELDS), any_text))
def test_fingerprints_are_equal_exactly_where_the_forms_are(fields):
    forms = {name: PLAIN.normal(name, text) for name, text in fields.items()}
    assert PLAIN.fingerprint(forms) == PLAIN.fingerprint(fields)
    items = list(fields.items())
    random.Random(0).shuffle(items)
    assert PLAIN.fingerprint(dict(items)) == PLAIN.fingerprint(fields)


# -- texts ------------------------------------------------------------------------------------------------------------


@given(any_text)
def test_folding_and_cleaning_are_idempotent(text):
    assert fold_case(fold_case(text)) == fold_case(text)
    assert clean_line(clean_line(text)) == clean_line(text)
    assert company_key(company_key(text)) == company_key(text)


def test_length_counts_as_bc_does():
    assert (length("abc"), length("é"), length("👍")) == (3, 1, 2)
