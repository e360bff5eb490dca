"""What the names of countries are made from: Unicode CLDR (babel), and what people write that CLDR lacks.

``country_data.json`` holds the result, since reading CLDR takes longer than all else that a small run computes. Write
it again with ``python -m tests.fields.country_data`` when babel or a name below changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from sync_lib.fields.country_keys import country_key
from sync_lib.fields.texts import fold_case

#: Names in these are understood in every company, whatever the profile's own language.
LANGUAGES = ("nl", "en", "de", "fr")
# Not countries: unions, test regions, "unknown".
_NOT_COUNTRIES = frozenset({"EU", "EZ", "UN", "QO", "XA", "XB", "ZZ"})
# Names that people, ISO 3166 and BC's demonstration data use and CLDR lacks. XI is the code that the EU uses for
# Northern Ireland; without it BC's own code NI would pass for Nicaragua. A name that may mean two countries (Congo,
# Korea, Virgin Islands) has no line here, and is refused.
_FURTHER_NAMES = {
    "AE": "VAE; UAE; Emiraten; Emirates; Vereinigte Arab. Emirate",
    "AR": "Argentine Republic; Argentijnse Republiek",
    "BA": "Bosnia; Bosnië; Bosnien",
    "BN": "Brunei Darussalam",
    "BO": "Plurinational State of Bolivia; Bolivia, Plurinational State of",
    "BQ": "Bonaire, Sint Eustatius and Saba; Bonaire; Caribisch Nederland",
    "BY": "Wit-Rusland; Byelorussia; White Russia; Weißrussland",
    "CD": (
        "DRC; DR Congo; Congo-Zaire; Zaire; Democratic Republic of the Congo; Democratic Republic of Congo; "
        "Congo (Dem. Rep.); Dem. Rep. Congo; Democratische Republiek Congo; Demokratische Republik Kongo; "
        "République démocratique du Congo"
    ),
    "CF": "Central African Rep.",
    "CG": (
        "Republic of the Congo; Republic of Congo; Congo (Rep.); Republiek Congo; Republik Kongo; "
        "République du Congo; Congo Republic"
    ),
    "CH": "Swiss Confederation; Zwitserse Bondsstaat; Schweizerische Eidgenossenschaft; Confédération suisse",
    "CI": "Ivory Coast; Ivoorkust; Elfenbeinküste",
    "CN": (
        "PRC; People's Republic of China; Volksrepubliek China; Volksrepublik China; "
        "République populaire de Chine; Mainland China"
    ),
    "CV": "Cape Verde; Kaapverdië; Cabo Verde; Kap Verde",
    "CZ": "Czech Republic; Tsjechische Republiek; Tschechische Republik; République tchèque",
    "DE": "BRD; Bondsrepubliek",
    "DO": "Dominicaanse Rep.; Dominican Rep.",
    "EH": "Western Sahara",
    "ER": "State of Eritrea",
    "FK": "Falkland Islands [Malvinas]; Malvinas",
    "FM": "Federated States of Micronesia",
    "FR": "French Republic; République française; Franse Republiek",
    "GA": "Gabonese Republic",
    "GB": (
        "England; Engeland; Angleterre; Scotland; Schotland; Schottland; Wales; Great Britain; "
        "Groot-Brittannië; Grossbritannien; Grande-Bretagne; UK; VK; Britain; "
        "United Kingdom of Great Britain and Northern Ireland; "
        "Verenigd Koninkrijk van Groot-Brittannië en Noord-Ierland"
    ),
    "GR": "EL; Hellenic Republic; Hellas; Helleense Republiek",
    "GS": "South Georgia and the South Sandwich Islands",
    "HK": "Hong Kong; Hongkong; Hong Kong Special Administrative Region of China",
    "HM": "Heard Island and McDonald Islands",
    "IE": "Eire; Ierse Republiek; Irish Republic",
    "IL": "State of Israel; Staat Israël",
    "IR": "Persia; Perzië",
    "IT": "Italian Republic; Repubblica Italiana; Italiaanse Republiek",
    "KG": "Kyrgyz Republic; Kirgizië; Kirgistan",
    "KP": "DPRK; Democratic People's Republic of Korea; North Korea; Noord-Korea",
    "KR": "ROK; Republic of Korea; South Korea; Zuid-Korea; Republiek Korea; Republik Korea",
    "KW": "State of Kuwait",
    "LA": "Lao People's Democratic Republic; Lao PDR",
    "LB": "Lebanese Republic",
    "LY": "State of Libya",
    "MF": "Saint Martin (French part); St Martin (French)",
    "MK": "Macedonia; Macedonië; Mazedonien; FYROM; former Yugoslav Republic of Macedonia",
    "MM": "Burma; Birma; Myanmar",
    "MO": "Macao; Macau; Macao Special Administrative Region of China",
    "MX": "United Mexican States",
    "NL": "Holland; Niederlande; Nederlanden; Nederland (Holland); The Netherlands (Holland)",
    "PG": "Independent State of Papua New Guinea",
    "PN": "Pitcairn",
    "PS": "Palestine; Palestina; State of Palestine; Palestinian Territory; Palestijnse gebieden; Palästina",
    "PT": "Portuguese Republic",
    "QA": "State of Qatar",
    "RU": "Russian Federation; Russische Federatie; Russische Föderation; Fédération de Russie",
    "RW": "Rwandese Republic",
    "SA": "KSA",
    "SH": "Saint Helena, Ascension and Tristan da Cunha",
    "SK": "Slovak Republic; Slowaakse Republiek",
    "SX": "Sint Maarten (Dutch part); St. Maarten; St Maarten (Dutch)",
    "SY": "Syrian Arab Republic",
    "SZ": "Swaziland",
    "TG": "Togolese Republic",
    "TL": "East Timor; Oost-Timor; Osttimor; Timor-Leste",
    "TN": "Tunesië",
    "TR": "Turkey; Turkije; Türkiye",
    "TW": "Taiwan, Province of China; Taiwan; Republic of China; Republiek China; Republik China",
    "UM": "United States Minor Outlying Islands; US Minor Outlying Islands",
    "US": (
        "United States of America; Verenigde Staten van Amerika; Amerika; America; US; USA; VS; "
        "Vereinigte Staten von Amerika; États-Unis d'Amérique"
    ),
    "UY": "Eastern Republic of Uruguay; Oriental Republic of Uruguay",
    "VA": "Holy See; Heilige Stoel; Vatican; Vaticaan; Vatikan; Vatican City State",
    "VC": "Saint Vincent and the Grenadines; Saint Vincent",
    "VG": "British Virgin Islands",
    "VI": "Virgin Islands of the United States; US Virgin Islands; Virgin Islands (U.S.)",
    "VN": "Viet Nam",
    "WS": "Independent State of Samoa",
    "XI": "Northern Ireland; Noord-Ierland; Nordirland; Irlande du Nord",
    "ZA": "RSA; RZA",
}
# A language of one of the two has the bare name too.
_EITHER = frozenset({"congo", "kongo", "korea", "corea", "coree", "stmartin"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def country_data() -> dict[str, Any]:
    """Return all that ``country_data.json`` holds.

    ``codes``: the ISO alpha-2 codes. ``aliases``: code by alpha-3 and retired code. ``names``: name by code, for each
    of the usual languages. ``known``: code by key of the names that are understood in every company (``country_key``).
    ``own``: the same of the names that countries have in the languages that are spoken there.
    """
    codes = iso_codes()
    aliases = get_global("territory_aliases").items()
    return {
        "codes": sorted(codes),
        "aliases": {
            str(code): str(others[0])
            for code, others in sorted(aliases)
            if len(others) == 1 and others[0] in codes
        },
        "names": {language: names_in(language) for language in LANGUAGES},
        "known": dict(sorted((_usual_names() | _further_names()).items())),
        "own": dict(sorted(_own_names().items())),
    }


def names_in(language: str) -> dict[str, str]:
    """Return the names of all countries in a language, by ISO code; in English where CLDR does not know it."""
    return {
        str(code): str(name) for code, name in _locale(language).territories.items() if code in iso_codes()
    }


@lru_cache(maxsize=1)
def iso_codes() -> frozenset[str]:
    """Return the codes that CLDR has names for and that are countries."""
    codes = map(str, Locale.parse("en").territories)
    return frozenset(code for code in codes if len(code) == 2 and code not in _NOT_COUNTRIES)


def is_language(language: str) -> bool:
    """Return whether CLDR knows a language by its code; what it adds, such as a country, may be unknown."""
    return _known_locale(language) is not None


def _locale(language: str) -> Locale:
    return _known_locale(language) or Locale.parse("en")


def _known_locale(language: str) -> Locale | None:
    for name in (language, language.replace("_", "-").partition("-")[0]):
        try:
            return Locale.parse(name.replace("_", "-"), sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return None


def _further_names() -> dict[str, str]:
    return {key: code for code, names in _FURTHER_NAMES.items() for key in map(country_key, names.split(";"))}


def _usual_names() -> dict[str, str]:
    return _only_ones(
        (key, code)
        for code in iso_codes()
        for language in LANGUAGES
        for key in _keys_of(_spoken_name(language, code))
    )


def _own_names() -> dict[str, str]:
    return _only_ones(
        (key, code)
        for code in iso_codes()
        for language in get_global("territory_languages").get(code, {})
        for key in _keys_of(_spoken_name(language, code))
    )


def _only_ones(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return code by key, without the keys that may mean two countries."""
    known: dict[str, set[str]] = {}
    for key, code in names:
        known.setdefault(key, set()).add(code)
    return {key: min(codes) for key, codes in known.items() if len(codes) == 1 and key not in _EITHER}


def _spoken_name(language: str, code: str) -> str:
    try:
        return str(Locale.parse(language).territories.get(code, ""))
    except (UnknownLocaleError, ValueError):
        return ""  # CLDR knows of languages that it has no names in.


def _keys_of(name: str) -> set[str]:
    """Return the keys of a name of CLDR: as it is, without what is in brackets, and with ``oe`` for ``ö``."""
    spellings = {name, re.sub(r"\s*\(.*\)", "", name)}
    spellings |= {fold_case(spelling).translate(_UMLAUTS) for spelling in spellings}
    return {country_key(spelling) for spelling in spellings} - {""}
