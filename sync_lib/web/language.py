"""English and Dutch: which one a request gets, its texts, and its way of writing times and numbers.

The texts in the code are English. ``locale/nl/LC_MESSAGES`` holds one catalogue per page, and ``base`` for what the
pages share; ``python -m sync_lib.web.messages`` collects new texts into them. They are compiled when they are first
used, so that no compiled copy can be out of date.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from functools import cache
from gettext import NullTranslations
from pathlib import Path
from typing import Literal

from babel import Locale, dates, numbers
from babel.core import negotiate_locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from fastapi import Request

CATALOGUES = Path(__file__).parent / "locale"
LANGUAGES = {"en": "English", "nl": "Nederlands"}
COOKIE = "contact_sync_language"


def msg(text: str) -> str:
    """Return the text as it is; marks it for the catalogues, for a text that is translated later."""
    return text


def language_of(request: Request) -> str:
    """Return the language that the user chose, else the one that the browser asks for, else English."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    asked = _by_preference(request.headers.get("accept-language", ""))
    found = negotiate_locale(asked, LANGUAGES, sep="-")
    return found or "en"


def _by_preference(header: str) -> list[str]:
    weighed = []
    for part in header[:1000].split(","):
        tag, _, weight = part.partition(";q=")
        try:
            weighed.append((-float(weight or 1), tag.strip()))
        except ValueError:
            continue
    return [tag for _, tag in sorted(weighed, key=lambda each: each[0]) if tag]


@cache
def translations(language: str) -> NullTranslations:
    """Return all texts of a language; English is what is written in the code."""
    merged = Catalog(locale=language)
    for path in sorted((CATALOGUES / language / "LC_MESSAGES").glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id and message.string:
                    merged[message.id] = message
    if not len(merged):
        return NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, merged)
    compiled.seek(0)
    return Translations(compiled)


def in_language(language: str, message: str, /, **values: object) -> str:
    """Return a marked text in a language, with its values in their places; an empty one stays empty."""
    # Catalogues keep their own header under the empty text.
    translated = translations(language).gettext(message) if message else ""
    return translated % values if values else translated


def age(stamp: str, language: str, now: datetime | None = None) -> str:
    """Return how long ago a time of the staging database was, in words."""
    passed = datetime.fromisoformat(stamp) - (now or datetime.now(UTC))
    return dates.format_timedelta(passed, add_direction=True, threshold=1.2, locale=Locale(language))


def span(seconds: float, language: str, *, short: bool = False) -> str:
    """Return how long something takes, in words."""
    style: Literal["narrow", "long"] = "narrow" if short else "long"
    passed = timedelta(seconds=max(0, round(seconds)))
    return dates.format_timedelta(passed, threshold=1.2, format=style, locale=Locale(language))


def clock(stamp: str, language: str) -> str:
    """Return the time of day of a time of the staging database, in UTC."""
    return dates.format_time(datetime.fromisoformat(stamp), "HH:mm", locale=Locale(language)) + " UTC"


def moment(stamp: str, language: str) -> str:
    """Return a time of the staging database as people of that language write it, in UTC."""
    return (
        dates.format_datetime(datetime.fromisoformat(stamp), "d MMM y HH:mm", locale=Locale(language))
        + " UTC"
    )


def percent(value: float, language: str) -> str:
    """Return a part of 1 as a percentage."""
    return numbers.format_percent(value, "#,##0.#%", locale=Locale(language))


def number(value: float, language: str) -> str:
    """Return a number with the separators of the language."""
    return numbers.format_decimal(value, locale=Locale(language))
