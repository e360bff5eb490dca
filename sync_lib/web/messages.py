"""Collects the texts of the pages into the catalogues: ``python -m sync_lib.web.messages``, for developers.

What has been translated stays; what no page says any more goes. A test fails while a text has no translation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from sync_lib.web import mine
from sync_lib.web.app import PAGES
from sync_lib.web.language import CATALOGUES, LANGUAGES

_WEB = Path(__file__).parent
_KEYWORDS: Any = {"msg": None, "_": None, "gettext": None, "ngettext": (1, 2)}
#: Of modules outside of the pages, whose errors the profile page shows: what makes an error, and where its text is.
_ERRORS: Any = {
    "fail": None,
    "FilterSyntaxError": (4,),
    "WrongValue": None,
    "TemplateError": None,
    "own_text": None,
    "worded": None,
    "ErasureError": None,
    "ProfileBusyError": None,
    "Said": None,
}
_ELSEWHERE = {
    "profile": (
        "operate/checks.py",
        "fields/categories.py",
        "fields/filter_language.py",
        "fields/filters.py",
        "store/profiles/values.py",
        "store/profiles/settings.py",
    ),
    "bulk": ("operate/many_profiles.py",),
    "many": (
        "store/profiles/csv_file.py",
        "store/profiles/file.py",
        "store/profiles/file_nodes.py",
        "store/profiles/importing.py",
        "store/profiles/lists.py",
        "store/profiles/matching.py",
        "store/profiles/wording.py",
    ),
    "erase": ("operate/erasing.py", "store/erasure.py"),
}
_SETTINGS: Any = {"trimmed": "true", "trim_blocks": "true", "silent": "false"}


def collected() -> dict[str, Catalog]:
    """Return the texts of the code per catalogue: one per page, and ``base`` for what they share."""
    found = {name: Catalog() for name in (*(page.name for page in (*PAGES, mine.PAGE)), "base")}
    for path in sorted((*_WEB.glob("*.py"), *(_WEB / "templates").glob("*.html"))):
        # overview.py, overview.html, overview_profiles.html
        name = path.stem.partition("_")[0]
        catalogue = found.get(name, found["base"])
        for text in _texts(path, _KEYWORDS):
            catalogue.add(text)
    for name, modules in _ELSEWHERE.items():
        for text in (text for module in modules for text in _texts(_WEB.parent / module, _ERRORS)):
            found[name].add(text)
    for name in found.keys() - {"base"}:
        for message in list(found[name]):
            if message.id and message.id in found["base"]:
                found[name].delete(message.id)
    return found


def _texts(path: Path, keywords: Any) -> Iterator[Any]:
    method: Any = "python" if path.suffix == ".py" else babel_extract
    with path.open("rb") as file:
        for _, text, _, _ in extract(method, file, keywords=keywords, options=_SETTINGS):
            yield text


def catalogue_path(language: str, name: str) -> Path:
    """Return where the translations of a page are."""
    return CATALOGUES / language / "LC_MESSAGES" / f"{name}.po"


def read_catalogue(language: str, name: str) -> Catalog:
    """Return the translations of a page."""
    path = catalogue_path(language, name)
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> None:
    """Bring the catalogues of a language to the texts of the code."""
    for name, texts in collected().items():
        catalogue = read_catalogue(language, name)
        catalogue.update(texts, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        catalogue.header_comment = f"# {LANGUAGES[language]}: {name}"
        with catalogue_path(language, name).open("wb") as file:
            # No line numbers and no header with dates, which would change with every other change.
            write_po(file, catalogue, no_location=True, sort_output=True, omit_header=True, width=0)


if __name__ == "__main__":
    for each in LANGUAGES.keys() - {"en"}:
        update(each)
