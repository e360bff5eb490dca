"""F5: the names that people and lists give to countries. None of these comes from where the code has its names."""

from __future__ import annotations

from importlib import resources

import pytest

from sync_lib.fields.countries import Countries

DUTCH = Countries({}, "nl")
# What a country calls itself.
OWN = """
AT Österreich, Oesterreich, OESTERREICH | BE België, Belgique, Belgien | BG България
CH Schweiz, Suisse, Svizzera, Svizra
CN 中国 | CZ Česko, Cesko | DK Danmark | EE Eesti | ES España, Espana, Espanya | FI Suomi | FO Føroyar | GR Ελλάδα
HR Hrvatska | HU Magyarország, Magyarorszag | IE Éire | IL ישראל | IN भारत | IS Ísland | IT Italia | JP 日本
LT Lietuva
LV Latvija | MA المغرب | MK Северна Македонија | MT Malta | NO Norge, Noreg | PL Polska | PT Portugal
RO România, Romania
RS Србија, Srbija | RU Россия | SE Sverige | SI Slovenija | SK Slovensko | TH ไทย
TR Türkiye, Turkiye, Tuerkei
UA Україна | VN Việt Nam | AM Հայաստան | GE საქართველო | EG مصر | KZ Қазақстан | BR Brasil | DZ الجزائر
"""
# As ISO 3166, the United Nations and ministries write them.
FORMAL = """
NL Netherlands (the), Kingdom of the Netherlands, Koninkrijk der Nederlanden, the Kingdom of the Netherlands
RU Russian Federation, Russian Federation (the) | US United States of America (the) | AE United Arab Emirates (the)
GB United Kingdom of Great Britain and Northern Ireland (the)
DE Federal Republic of Germany, Bundesrepublik Deutschland
FR French Republic, République française | BE Kingdom of Belgium, Koninkrijk België, Royaume de Belgique
KR Korea (the Republic of), Republic of Korea | KP Korea (the Democratic People's Republic of)
CD Congo (the Democratic Republic of the) | CG Republic of the Congo | CN People's Republic of China
BO Bolivia (Plurinational State of) | VE Venezuela (Bolivarian Republic of), Bolivarian Republic of Venezuela
IR Iran (Islamic Republic of), Islamic Republic of Iran | MD Moldova (the Republic of) | TZ United Republic of Tanzania
VN Viet Nam, Socialist Republic of Viet Nam | LA Lao People's Democratic Republic (the) | SY Syrian Arab Republic (the)
CI Côte d'Ivoire, Cote d’Ivoire | CV Cabo Verde | CZ Czechia | MK Republic of North Macedonia | SZ Eswatini
TW Taiwan (Province of China) | PS Palestine, State of | FK Falkland Islands (the) [Malvinas] | GM Gambia (the)
VI Virgin Islands (U.S.) | VG Virgin Islands (British) | MF Saint Martin (French part) | SX Sint Maarten (Dutch part)
BA Bosnia and Herzegovina | TT Trinidad and Tobago | AG Antigua & Barbuda | LC Saint Lucia | KN St. Kitts and Nevis
DO Dominican Republic (the) | DM Commonwealth of Dominica | NE Niger (the) | NG Federal Republic of Nigeria
GN Republic of Guinea | GW Republic of Guinea-Bissau | GQ Republic of Equatorial Guinea | PG Papua New Guinea
SD Sudan (the) | SS Republic of South Sudan | IE Republic of Ireland | AU Commonwealth of Australia
PT Portuguese Republic | LK Democratic Socialist Republic of Sri Lanka | ET Federal Democratic Republic of Ethiopia
"""
SHORT = """
US VS, V.S., USA, U.S.A., US, U.S. | GB VK, V.K., UK, U.K., GB | AE VAE, V.A.E., UAE, U.A.E. | DE BRD, DEU, Duitsland
HK Hongkong, Hong Kong, Hong-Kong | NL Holland, NLD, Nederland (NL), the netherlands | ZA RSA, Zuid Afrika, Zuid-Afrika
CZ Tsjechië, Czech Republic | MM Birma, Myanmar | CI Ivoorkust | BY Wit-Rusland | TL Oost-Timor | CV Kaapverdië
GB Groot Brittannie, Great Britain, Grande Bretagne | FR La France | BE la Belgique | CH die Schweiz | IT L'Italie
"""
REFUSED = (
    "Congo", "Kongo", "Korea", "Corea", "Virgin Islands", "Maagdeneilanden", "Nederlandse Antillen", "Yugoslavia",
    "State of Georgia",
    "Georgia (US)", "Turkish Republic of Northern Cyprus", "Northern", "Republic", "Kingdom of", "the",
    "Nederlands", "Samoa (American)x",
    "Oost", "Guyanas", "Federal Republic", "NLX", "Indië", "Europa", "EU",
)  # fmt: skip


def lines(text: str) -> list[tuple[str, str]]:
    """Return (ISO code, name) of a list above."""
    entries = [entry.strip() for line in text.strip().splitlines() for entry in line.split(" | ")]
    return [(entry[:2], name.strip()) for entry in entries for name in entry[3:].split(", ") if name.strip()]


@pytest.mark.parametrize(("code", "name"), lines(OWN) + lines(SHORT))
def test_own_and_short_names_are_known(code, name):
    assert DUTCH.form(name) == code
    assert DUTCH.form(name.upper()) == code


def test_formal_names_are_known():
    turned = "Palestine, State of"  # The one with a comma of its own.
    assert DUTCH.form(turned) == "PS"
    wanted = [each for each in lines(FORMAL) if each[1] not in ("Palestine", "State of")]
    assert {name: DUTCH.form(name) for _, name in wanted} == {name: code for code, name in wanted}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_mean_two_countries_or_none_is_refused(name):
    assert DUTCH.form(name).startswith("?")
    assert DUTCH.code(name) == ""


@pytest.mark.parametrize("language", ["nl", "en", "de", "fr", "sv"])
def test_no_name_of_the_time_zone_database_is_taken_for_another_country(language):
    """Its list of ISO codes is made for clocks, with short forms of its own: nearly all are known, and none wrongly."""
    text = resources.files("tzdata.zoneinfo").joinpath("iso3166.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    known = Countries({}, language)
    forms = {name: (known.form(name), code) for code, name in rows}
    wrong = {name: pair for name, pair in forms.items() if pair[0] != pair[1] and not pair[0].startswith("?")}
    assert wrong == {}
    assert len(rows) > 240
    assert sum(form.startswith("?") for form, _ in forms.values()) <= 6


def test_bc_s_own_table_comes_first():
    table = Countries({"HU": "Hongarije", "HK": "Magyarország", "NI": "Noord-Ierland"}, "nl")
    assert table.code("Hongarije") == "HU"
    assert table.code("hk") == "HK"
    assert table.form("NI") == "XI"
    assert table.code("Nicaragua") == ""
