"""Names: Dutch and German prefixes, names that are none to a parser, and the short cut beside the library."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync_lib.fields import names
from sync_lib.fields.names import compose_name, split_name
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
]
BETWEEN = ["", "van", "van der", "de", "in 't", "op den", "von", "ten", "und", "te", "zur", "uit de"]


def test_the_short_cut_for_names_agrees_with_the_library():
    taken = 0
    for first, between, last in itertools.product(FIRST, BETWEEN, LAST):
        words = f"{first} {between} {last}".split()
        if short := names._plain(words):
            taken += 1
            assert short == names._parsed(" ".join(words))
    assert taken > 500
