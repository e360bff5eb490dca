"""Countries: BC's codes, Outlook's free text, and the ISO code that both mean.

BC's own table Country/Region comes first: its codes are whatever the company chose (``EL`` for Greece, ``NI`` for
Northern Ireland in Microsoft's demonstration company). Names in other languages come from Unicode CLDR (babel).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from sync_lib.fields.texts import fold_case, fold_spaces

_LANGUAGES = ("nl", "en", "de", "fr")
# Not countries: unions, test regions, "unknown".
_NOT_COUNTRIES = frozenset({"EU", "EZ", "UN", "QO", "XA", "XB", "ZZ"})
# Names that people and BC's demonstration data use and CLDR lacks, by folded name. XI is the code that the EU uses for
# Northern Ireland; without it BC's own code NI would pass for Nicaragua.
_FURTHER_NAMES = {
    **dict.fromkeys(("holland", "niederlande", "nederlanden"), "NL"),
    **dict.fromkeys(
        ("england", "engeland", "angleterre", "scotland", "schotland", "schottland", "wales"), "GB"
    ),
    **dict.fromkeys(
        ("great britain", "groot-brittannie", "grossbritannien", "grande-bretagne", "u.k."), "GB"
    ),
    **dict.fromkeys(("northern ireland", "noord-ierland", "nordirland", "irlande du nord"), "XI"),
    **dict.fromkeys(("united states of america", "verenigde staten van amerika", "amerika"), "US"),
    **dict.fromkeys(("u.s.", "u.s.a."), "US"),
    **dict.fromkeys(("czech republic", "tsjechische republiek", "tschechische republik"), "CZ"),
    "republique tcheque": "CZ",
    "el": "GR",
    "brd": "DE",
    "macedonia": "MK",
    "macedonie": "MK",
    "turkey": "TR",
}
_MARKS = re.compile("[\u0300-\u036f]")


def _key(name: str) -> str:
    """Fold what people leave out: case, accents, typographic apostrophes, the article."""
    folded = fold_case(fold_spaces(name)).replace("’", "'").replace("ß", "ss")
    if not folded.isascii():
        folded = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", folded)))
    return folded.removeprefix("the ")


@lru_cache(maxsize=64)
def _locale(language: str) -> Locale:
    for name in (language, language.replace("_", "-").partition("-")[0]):
        try:
            return Locale.parse(name.replace("_", "-"), sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse("en")


@lru_cache(maxsize=1)
def _iso_codes() -> frozenset[str]:
    codes = map(str, Locale.parse("en").territories)
    return frozenset(code for code in codes if len(code) == 2 and code not in _NOT_COUNTRIES)


@lru_cache(maxsize=16)
def _known_names(language: str) -> dict[str, str]:
    """Return ISO code by folded name, in ``language`` and the four that are always understood."""
    known = dict(_FURTHER_NAMES)
    for locale in map(_locale, dict.fromkeys((language, *_LANGUAGES))):
        for code, name in locale.territories.items():
            if code in _iso_codes():
                known.setdefault(_key(name), code)
    return known


def _iso_of_code(text: str) -> str:
    """Return the ISO alpha-2 code for a code in any case, also alpha-3 and retired ones (``NLD``, ``UK``)."""
    code = text.upper()
    if code in _iso_codes():
        return code
    replaced = get_global("territory_aliases").get(code, [])
    return str(replaced[0]) if len(replaced) == 1 and replaced[0] in _iso_codes() else ""


class Countries:
    """What country texts mean for one company and language."""

    def __init__(self, table: Mapping[str, str], language: str) -> None:
        self._language = language
        self._table = {code.strip().upper(): code for code in table}
        self._meaning = {code: self._meaning_of(code, table[given]) for code, given in self._table.items()}
        self._names = {
            key: self._meaning[code] for code, given in self._table.items() if (key := _key(table[given]))
        }
        self._display = {self._meaning[code]: table[given].strip() for code, given in self._table.items()}
        self._codes = self._codes_by_meaning()
        self._seen: dict[str, str] = {}

    def _meaning_of(self, code: str, name: str) -> str:
        # The name decides: a company may have given an ISO code to another country.
        return _known_names(self._language).get(_key(name)) or _iso_of_code(code) or code

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
        folded = fold_spaces(text)
        if not folded:
            return ""
        code, name = folded.upper(), _key(folded)
        known = self._meaning.get(code) or self._names.get(name)
        known = known or _known_names(self._language).get(name) or _iso_of_code(folded)
        return known or "?" + fold_case(folded).lstrip("? ")

    def code(self, text: str) -> str:
        """Return the code to write to BC, or "" where BC has none.

        An empty table means that BC's was not read; then ISO codes are taken on trust.
        """
        typed = fold_spaces(text).upper()
        if typed in self._table:
            return self._table[typed]
        meaning = self.form(text)
        if not self._table and not meaning.startswith("?"):
            return meaning
        return self._codes.get(meaning, "")

    def name(self, text: str) -> str:
        """Return the name to write to Outlook: in the profile's language, else BC's own, else the text."""
        meaning = self.form(text)
        name = _locale(self._language).territories.get(meaning, "") if meaning in _iso_codes() else ""
        # A name that would be read back as another country (BC's table may define it so) is of no use.
        if name and self.form(name) == meaning:
            return str(name)
        return self._display.get(meaning) or fold_spaces(text)
