"""Writes the names of countries that the product carries: ``python -m tests.fields.country_data``."""

from __future__ import annotations

from pathlib import Path

import orjson

from sync_lib.fields import country_source

FILE = Path(country_source.__file__).with_name("country_data.json")


def content() -> bytes:
    """The file as it has to be: one entry a line, so that a new CLDR shows what it changed."""
    return orjson.dumps(country_source.country_data(), option=orjson.OPT_INDENT_2) + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(content())
