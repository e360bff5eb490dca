"""Names: Dutch and German prefixes, names that are none to a parser, and the short cut beside the library."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync_lib.fields import names
from sync_lib.fields.names import (
    carry_split,
    compose_name,
    guessed_initials,
    is_turned,
    same_words,
    split_name,
)
from sync_lib.fields.texts import clean_line


@pytest.mark.parametrize(
    ("name", "given_name", "middle", "surname"),
    [
        ("Jan van der Berg", "Jan", "", "van der Berg"),
        ("Sanne de Vries", "Sanne", "", "de Vries"),
        ("Anna in 't Veld", "Anna", "", "in 't Veld"),
        ("Piet uit den Boogaard", "Piet", "", "uit den Boogaard"),
        ("Ab onder de Linden", "Ab", "", "onder de Linden"),
        ("Anne-Marie van den Heuvel-Smit", "Anne-Marie", "", "van den Heuvel-Smit"),
        ("Berg, Jan van den", "Jan", "", "van den Berg"),
        ("Dr. Hans von und zu Guttenberg", "Dr. Hans", "", "von und zu Guttenberg"),
        # F2: titles, suffixes and remarks are words of the name.
        ("Familie Jansen", "Familie", "", "Jansen"),
        ("Afd. Inkoop", "Afd.", "", "Inkoop"),
        ("Mevr. ir. A.B. de Boer-Smit PhD", "Mevr. ir. A.B.", "", "de Boer-Smit PhD"),
        ("Jan Jansen, MSc", "Jan", "", "Jansen, MSc"),
        ("Jan Jansen (inkoop)", "Jan", "", "Jansen (inkoop)"),
        ('Jan "Jantje" Jansen', "Jan", '"Jantje"', "Jansen"),
        ("Jansen (inkoop), drs. Jan", "drs. Jan", "", "Jansen (inkoop)"),
        ("Baron van Heemstra", "Baron", "", "van Heemstra"),
        # F3: short for van de(r).
        ("Jan v.d. Berg", "Jan", "", "v.d. Berg"),
        ("Jan v/d Berg", "Jan", "", "v/d Berg"),
        ("Dhr. P. v. d. Berg", "Dhr. P.", "", "v. d. Berg"),
        ("v.d. Berg", "", "", "v.d. Berg"),
        ("V.D. Berg", "V.D.", "", "Berg"),
        ("Karl zum Felde", "Karl", "", "zum Felde"),
        ("J.P. Balkenende", "J.P.", "", "Balkenende"),
        ("Mary Ann Smith", "Mary", "Ann", "Smith"),
        ("Piet King", "Piet", "", "King"),
        ("van der Berg", "", "", "van der Berg"),
        ("Prince", "", "", "Prince"),
        ("王小明", "", "", "王小明"),
        ("مريم العلي", "مريم", "", "العلي"),
        ("  Jan   Smit ", "Jan", "", "Smit"),
        ("", "", "", ""),
        (" \x00 ", "", "", ""),
    ],
)
def test_split(name, given_name, middle, surname):
    assert split_name(name)[:3] == (given_name, middle, surname)


@given(st.text(st.characters(exclude_categories=()), max_size=40))
@example("Prince Prince")
@example("....")
@example("(a) b")
def test_no_text_fails_and_every_name_has_a_part(name):
    parts = split_name(name)
    assert bool(any(parts[:3])) == bool(compose_name(name))


NAME_WORDS = (
    "Jan", "A.B.", "van", "der", "v.d.", "v/d", "Berg", "Berg,", "Jansen,", "Jr.", "MSc", "drs.", "Familie", "Afd.",
    "en", "(inkoop)", '"Jantje"', "de", "&", "Zn.", "Dhr.", "Prof.", "III", "PhD,", "née", "O'Neil", "王",
    ",", ".", "-",
)  # fmt: skip


@given(st.lists(st.sampled_from(NAME_WORDS), max_size=7).map(" ".join) | st.text(max_size=30))
@example("Berg, Jan van den")
@example("Jansen, drs. Jan P. MSc")
@example(", ,")
def test_no_word_of_a_name_is_lost_or_invented(name):
    """F2: what Outlook puts together from the parts is the whole name; only the comma of a turned name goes."""
    parts = split_name(name)
    words = compose_name(*parts[:3]).split()
    if words != clean_line(name).split():
        assert "," in name
        assert sorted(w for word in words if (w := word.rstrip(","))) == sorted(
            w for word in clean_line(name).split() if (w := word.rstrip(","))
        )


FIRST = [
    "Jan",
    "Sanne",
    "Anne-Marie",
    "Zoë",
    "Bo",
    "Ab",
    "Mark",
    "Wim",
    "Bart",
    "Van",
    "Duke",
    "Do",
    "Al",
    "Max",
    "J.",
    "J.P.",
    "M.D.",
    "Jan Pieter",
    "Jan P. Maria",
]
LAST = [
    "Berg",
    "Jansen",
    "Smit-Bos",
    "King",
    "Graf",
    "Koning",
    "Bishop",
    "Esq",
    "Li",
    "Ma",
    "Jr",
    "Vet",
    "Öztürk",
    "Berg12",
]
BETWEEN = ["", "van", "van der", "de", "in 't", "op den", "von", "ten", "und", "te", "zur", "uit de"]


def test_the_short_cut_for_names_agrees_with_the_library():
    taken = 0
    for first, between, last in itertools.product(FIRST, BETWEEN, LAST):
        words = f"{first} {between} {last}".split()
        if short := names._plain(words):
            taken += 1
            assert short == names._parsed(" ".join(words))
    assert taken > 1000


@pytest.mark.parametrize(
    ("parts", "name", "expected"),
    [
        (["Jan", "van der", "Berg"], "Jan van der Bergh", ["Jan", "van der", "Bergh"]),
        (["Jan", "van der", "Berg"], "Jan van den Berg", ["Jan", "van den", "Berg"]),
        (["Jan", "", "van der Berg"], "Jan Piet van der Berg", ["Jan Piet", "", "van der Berg"]),
        (["Jan", "van der", "Berg"], "Jan Berg", ["Jan", "", "Berg"]),
        (["Jan", "de", "Wit"], "Els Kok", ["Els", "", "Kok"]),
        (["", "", "Jansen"], "Familie Jansen", ["", "", "Familie Jansen"]),
        (["Jan", "", "Jansen"], "", ["", "", ""]),
        (["", "", ""], "Jan Jansen", ["", "", "Jan Jansen"]),
    ],
)
def test_a_changed_name_keeps_the_split_of_the_other_side(parts, name, expected):
    """I5: a split is never carried over with a corrected word."""
    found = carry_split(name.split(), parts)
    if name == "Els Kok":
        assert compose_name(*found) == name
    else:
        assert found == expected


@given(
    st.lists(st.sampled_from(NAME_WORDS), max_size=6),
    st.lists(st.sampled_from(NAME_WORDS), max_size=6),
    st.data(),
)
def test_a_carried_split_holds_the_words_in_their_order(old, new, data):
    """I5: whatever becomes of a name."""
    first = data.draw(st.integers(0, len(old)))
    last = data.draw(st.integers(first, len(old)))
    parts = [" ".join(old[:first]), " ".join(old[first:last]), " ".join(old[last:])]
    assert " ".join(part for part in carry_split(new, parts) if part).split() == new
    assert carry_split(old, parts) == parts


def test_same_words():
    """I5: in whatever part, and in whatever order a comma put them."""
    assert same_words(["Jan", "van der", "Berg"], ["Jan", "", "van der Berg"])
    assert same_words(["Berg,", "Jan", "van den"], ["Jan", "", "van den Berg"])
    assert not same_words(["Jan", "", "Berg"], ["Jan", "", "Bergh"])
    assert not same_words(["Jan", "Jan", "Berg"], ["Jan", "", "Berg"])


def test_initials_of_an_earlier_version_are_guesses_too():
    """I5: an item that was made before was split by the parser of its time."""
    assert {"J. B.", "J. v. B."} == guessed_initials("Jan v.d. Berg")
    assert guessed_initials("") == frozenset()


@pytest.mark.parametrize(
    ("name", "parts", "turned"),
    [
        ("李 小龙", ("小龙", "", "李"), True),
        ("李 小龙", ("李", "", "小龙"), False),
        ("Jan van der Berg", ("Jan", "van der", "Berg"), False),
        ("Berg, Jan van den", ("Jan", "van den", "Berg"), False),
        ("Jan Berg (werk)", ("Jan", "", "Berg"), False),
        ("Jan Jansen", ("Jansen", "", "Piet"), False),
        ("Cher", ("", "", "Cher"), False),
        ("", ("", "", ""), False),
    ],
)
def test_turned_names_hold_their_words_in_another_order(name, parts, turned):
    assert is_turned(name, parts) is turned
