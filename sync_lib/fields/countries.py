"""Countries: BC's codes, Outlook's free text, and the ISO code that both mean.

BC's own table Country/Region comes first: its codes are whatever the company chose (``EL`` for Greece, ``NI`` for
Northern Ireland in Microsoft's demonstration company). Names in other languages come from Unicode CLDR (babel).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from sync_lib.fields.texts import clean_code, fold_case, fold_spaces

_LANGUAGES = ("nl", "en", "de", "fr")
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
# What a state calls itself before its name. Not "State of": Georgia is one too. China has a line for each of its two.
_FORMAL = re.compile(
    r"(?:(?:the|arab|bolivarian|co-operative|democratic|federal|federative|gabonese|hashemite|independent|islamic|people's|"
    r"plurinational|socialist|united|federale|democratische|islamitische|foderative|foderale|demokratische|islamische)\s+)*"
    r"(?:republic|kingdom|commonwealth|principality|grand duchy|sultanate|union|republiek|bondsrepubliek|koninkrijk|"
    r"vorstendom|groothertogdom|republik|bundesrepublik|konigreich|furstentum|grossherzogtum|republique|royaume|"
    r"principaute|grand-duche)\s+(?:(?:of|van|der|des|de|du|von)\s+|d'\s*)*(?:(?:the|het|de|la|les)\s+|l')?(?!chin)(\S.*)"
)
_ARTICLE = re.compile(r"(?:(?:the|de|het|die|der|das|la|le|les|los|el|il)\s+|l')(\S.*)")
# ISO writes "Tanzania, the United Republic of" and "Virgin Islands (British)".
_TURNED = re.compile(r"([^(,]*[^(,\s])\s*[(,]\s*([^(),]+?)\s*\)?")
_MARKS = re.compile("[\u0300-\u036f]")
_AND = re.compile(r"\b(?:and|en|und|et|y)\b")
_BETWEEN = re.compile(r"[\s.,'()\[\]\-\u2010-\u2015\u2212]+")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def _folded(name: str) -> str:
    """Fold what people leave out: case, accents, typographic apostrophes, and "(the)"."""
    folded = fold_case(fold_spaces(clean_code(name))).replace("’", "'").replace("ß", "ss").replace("ø", "o")
    if not folded.isascii():
        folded = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", folded)))
    return folded.replace("(the)", "").strip()


def _key(name: str) -> str:
    """Return a name as names are compared: also without spaces, dots and hyphens, ``&`` for *and*, *St* for *Saint*."""
    words = _AND.sub("&", _folded(name)).replace("saint ", "st ").replace("saint-", "st-")
    return _BETWEEN.sub("", words)


def _readings(name: str) -> Iterator[str]:
    """Yield the keys under which a name may be known: as typed first, then turned, without article or formal words."""
    yield _key(name)
    folded = _folded(name)
    if turned := _TURNED.fullmatch(folded):
        folded = f"{turned[2]} {turned[1]}"
        yield _key(folded)
    for pattern in (_ARTICLE, _FORMAL):
        if found := pattern.fullmatch(folded):
            yield _key(found[1])
            if article := _ARTICLE.fullmatch(found[1]):
                yield _key(article[1])


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


@lru_cache(maxsize=1)
def _own_names() -> dict[str, str]:
    """Return ISO code by key of the names that countries have in the languages that are spoken there.

    It takes seconds, so only a text that is no name in any of the usual languages comes here.
    """
    return _only_ones(
        (key, code)
        for code in _iso_codes()
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
    return {_key(spelling) for spelling in spellings} - {""}


@lru_cache(maxsize=16)
def _known_names(language: str) -> dict[str, str]:
    """Return ISO code by key in ``language``, whose names we write, and in the four that are always understood."""
    known = {key: code for code, names in _FURTHER_NAMES.items() for key in map(_key, names.split(";"))}
    others = _only_ones(
        (key, code)
        for code in _iso_codes()
        for each in _LANGUAGES
        for key in _keys_of(_spoken_name(each, code))
    )
    written = {
        _key(name): code for code, name in _locale(language).territories.items() if code in _iso_codes()
    }
    return others | known | written


def _iso_of_name(name: str, language: str) -> str:
    """Return the ISO code of a country's name, "" where it is unknown or may mean two countries."""
    known = _known_names(language)
    found = next((known[key] for key in _readings(name) if key in known), "")
    if not found and (both := _TURNED.fullmatch(_folded(name))):
        # "Eswatini (Swaziland)", "Nederland (NL)": twice the same.
        codes = {known.get(_key(part)) or _iso_of_code(part) for part in both.groups()}
        found = codes.pop() if len(codes) == 1 else ""
    return found


def _iso_of_own_name(name: str) -> str:
    """Return the ISO code of the name that a country gives itself, "" where there is none such."""
    return next((_own_names()[key] for key in _readings(name) if key in _own_names()), "")


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
        folded = fold_spaces(clean_code(text))
        if not folded:
            return ""
        known = self._meaning.get(folded.upper()) or self._names.get(_key(folded))
        known = known or _iso_of_name(folded, self._language) or _iso_of_code(folded)
        known = known or _iso_of_own_name(folded)
        return known or "?" + fold_case(folded).lstrip("? ")

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
        name = _locale(self._language).territories.get(meaning, "") if meaning in _iso_codes() else ""
        # A name that would be read back as another country (BC's table may define it so) is of no use.
        if name and self.form(name) == meaning:
            return str(name)
        return self._display.get(meaning) or fold_spaces(text)
