"""Countries: BC's codes, Outlook's free text, and the ISO code that both mean.

BC's own table Country/Region comes first: its codes are whatever the company chose (``EL`` for Greece, ``NI`` for
Northern Ireland in Microsoft's demonstration company). Names in other languages come from Unicode CLDR, as data that
``country_source`` has made of it beforehand.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import orjson

from sync_lib.fields.country_keys import TURNED, country_key, folded, readings
from sync_lib.fields.texts import clean_code, fold_case, fold_spaces


class _Data(NamedTuple):
    """What ``country_source.country_data`` gives."""

    codes: frozenset[str]
    aliases: dict[str, str]
    names: dict[str, dict[str, str]]
    known: dict[str, str]
    own: dict[str, str]


@lru_cache(maxsize=1)
def _data() -> _Data:
    content = pkgutil.get_data("sync_lib.fields", "country_data.json")
    assert content is not None
    data = _Data(**orjson.loads(content))
    return data._replace(codes=frozenset(data.codes))


def load_names() -> None:
    """Read the names of countries now, for all that come after."""
    _data()


def usual_languages() -> tuple[str, ...]:
    """Return the languages whose names of countries are understood in every company."""
    return tuple(_data().names)


@lru_cache(maxsize=64)
def is_language(code: str) -> bool:
    """Return whether names of countries can be written in a language, by its code."""
    if code in _data().names:
        return True
    from sync_lib.fields import country_source

    return country_source.is_language(code)


@lru_cache(maxsize=16)
def _names_in(language: str) -> dict[str, str]:
    """Return the names of countries that are written in ``language``, by ISO code."""
    if names := _data().names.get(language):
        return names
    # CLDR itself, which takes as long as all else that a small run does, is for the languages of few.
    from sync_lib.fields import country_source

    return country_source.names_in(language)


@lru_cache(maxsize=16)
def _known_names(language: str) -> dict[str, str]:
    """Return ISO code by key in ``language``, whose names we write, and in the four that are always understood."""
    return _data().known | {country_key(name): code for code, name in _names_in(language).items()}


def _iso_of_name(name: str, language: str) -> str:
    """Return the ISO code of a country's name, "" where it is unknown or may mean two countries."""
    known = _known_names(language)
    found = next((known[key] for key in readings(name) if key in known), "")
    if not found and (both := TURNED.fullmatch(folded(name))):
        # "Eswatini (Swaziland)", "Nederland (NL)": twice the same.
        codes = {known.get(country_key(part)) or _iso_of_code(part) for part in both.groups()}
        found = codes.pop() if len(codes) == 1 else ""
    return found


def _iso_of_own_name(name: str) -> str:
    """Return the ISO code of the name that a country gives itself, "" where there is none such."""
    own = _data().own
    return next((own[key] for key in readings(name) if key in own), "")


def _iso_of_code(text: str) -> str:
    """Return the ISO alpha-2 code for a code in any case, also alpha-3 and retired ones (``NLD``, ``UK``)."""
    code = text.upper()
    return code if code in _data().codes else _data().aliases.get(code, "")


class Countries:
    """What country texts mean for one company and language."""

    def __init__(self, table: Mapping[str, str], language: str) -> None:
        self._language = language
        self._table = {code.strip().upper(): code for code in table}
        self._meaning = {code: self._meaning_of(code, table[given]) for code, given in self._table.items()}
        self._names = {
            key: self._meaning[code]
            for code, given in self._table.items()
            if (key := country_key(table[given]))
        }
        self._display = {self._meaning[code]: table[given].strip() for code, given in self._table.items()}
        self._codes = self._codes_by_meaning()
        self._seen: dict[str, str] = {}

    def _meaning_of(self, code: str, name: str) -> str:
        # The name decides: a company may have given an ISO code to another country.
        return _iso_of_name(name, self._language) or _iso_of_code(code) or _iso_of_own_name(name) or code

    def _codes_by_meaning(self) -> dict[str, str]:
        codes: dict[str, str] = {}
        for code, meaning in sorted(self._meaning.items()):
            if meaning not in codes or code == meaning:
                codes[meaning] = self._table[code]
        return codes

    def form(self, text: str) -> str:
        """Return the ISO code that ``text`` (a code or a name) means; unknown text folded, behind ``?``.

        A code of BC's table that stands for no ISO country is its own meaning.
        """
        known = self._seen.get(text)
        if known is None:
            if len(self._seen) > 10_000:
                self._seen.clear()
            known = self._seen[text] = self._resolve(text)
        return known

    def _resolve(self, text: str) -> str:
        typed = fold_spaces(clean_code(text))
        if not typed:
            return ""
        known = self._meaning.get(typed.upper()) or self._names.get(country_key(typed))
        known = known or _iso_of_name(typed, self._language) or _iso_of_code(typed)
        known = known or _iso_of_own_name(typed)
        return known or "?" + fold_case(typed).lstrip("? ")

    def code(self, text: str) -> str:
        """Return the code to write to BC, or "" where BC has none.

        An empty table means that BC's was not read; then ISO codes are taken on trust.
        """
        typed = fold_spaces(clean_code(text)).upper()
        if typed in self._table:
            return self._table[typed]
        meaning = self.form(text)
        if not self._table and not meaning.startswith("?"):
            return meaning
        return self._codes.get(meaning, "")

    def name(self, text: str) -> str:
        """Return the name to write to Outlook: in the profile's language, else BC's own, else the text."""
        meaning = self.form(text)
        name = _names_in(self._language).get(meaning, "")
        # A name that would be read back as another country (BC's table may define it so) is of no use.
        if name and self.form(name) == meaning:
            return name
        return self._display.get(meaning) or fold_spaces(text)
