from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

from sync_lib.fields import countries, country_source
from tests.fields import country_data

USES = """
import sys
from sync_lib.fields.normal_forms import country_code, country_name

for text in ("Holland", "NLD", "Suomi", "Atlantis"):
    country_code(text, {language!r}, {{"NL": "Nederland", "FI": "Finland"}})
country_name("NL", {language!r}, {{}})
print("babel" in sys.modules)
"""


def test_the_file_is_what_cldr_gives() -> None:
    # After an update of babel: python -m tests.fields.country_data, and read what that changed.
    assert country_data.FILE.read_bytes() == country_data.content()


def test_the_file_has_all_that_is_looked_up() -> None:
    data = orjson.loads(country_data.FILE.read_bytes())
    assert len(data["codes"]) > 240
    assert data["aliases"]["NLD"] == "NL"
    assert data["known"]["holland"] == "NL"
    assert data["own"]["suomi"] == "FI"
    assert set(data["names"]) == set(country_source.LANGUAGES)
    for names in data["names"].values():
        assert len(names) > 240
        assert names.keys() <= set(data["codes"])


@pytest.mark.parametrize(("language", "loaded"), [("nl", False), ("en", False), ("es", True)])
def test_cldr_itself_is_for_languages_that_the_file_lacks(language: str, loaded: bool) -> None:
    command = [sys.executable, "-c", USES.format(language=language)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(loaded)


def test_a_language_of_its_own_reads_and_writes_its_names() -> None:
    spanish = countries.Countries({}, "es")
    assert spanish.name("NL") == "Países Bajos"
    assert spanish.code("Paises Bajos") == "NL"
