"""The Outlook categories that a profile's templates give its items; the user's own ones are always kept (rules 6).

A template is a text such as ``Business Central``, or one with places for what Business Central has of the contact:
``Klant {company}``. What the sync has put on an item is remembered with its coupling, so that exactly that goes again.
All of it is pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sync_lib.fields.bc_columns import BC_COLUMNS, columns_of
from sync_lib.fields.texts import clean_line, fold_case
from sync_lib.model import Categories

#: What a profile's templates are unless it says otherwise.
DEFAULT = ("Business Central",)
#: Place in a template -> BC column whose value is put there.
PLACES: Mapping[str, str] = {
    "company": "company_name",
    "salesperson": "salesperson",
    "territory": "territory",
}
#: Templates of one profile, characters of a template, and characters that Outlook takes as a category.
MOST_TEMPLATES, LONGEST_TEMPLATE, LONGEST = 10, 100, 255

_PLACE = re.compile(r"\{([^{}]*)\}")
# Outlook separates categories by them, so that none of them can be in one.
_SEPARATORS = re.compile("[,;]")


class TemplateError(ValueError):
    """A template cannot be used.

    Attributes:
        message: What is wrong and what to do, English, with the places of ``values``.
        values: What is put in those places.
    """

    def __init__(self, message: str, **values: str) -> None:
        super().__init__(message % values if values else message)
        self.message = message
        self.values = values


# -- templates -------------------------------------------------------------------------------------------------------


def split_templates(text: str) -> list[str]:
    """Return the templates that a person wrote in one text, separated by semicolons or line ends."""
    parts = (part.strip() for line in text.splitlines() for part in line.split(";"))
    return [part for part in parts if part]


def join_templates(templates: Iterable[str]) -> str:
    """Return templates as one text: the way back of ``split_templates``."""
    return "; ".join(templates)


def check_templates(templates: Sequence[str], *, field_profile: str) -> tuple[str, ...]:
    """Return the templates, each once, in their order.

    Raises:
        TemplateError: There are too many, one cannot be a category, or it has a place that cannot be filled.
    """
    distinct = tuple({fold_case(each): each for each in reversed(templates)}.values())[::-1]
    if len(distinct) > MOST_TEMPLATES:
        raise TemplateError("there are more than %(most)s categories.", most=str(MOST_TEMPLATES))
    for template in distinct:
        _check(template, {column.name for column in columns_of(field_profile)})
    return distinct


def unreadable(templates: Iterable[str], field_profile: str) -> str:
    """Return the first template that asks for what a field profile does not read, or ""."""
    known = {column.name for column in columns_of(field_profile)}
    return next((each for each in templates if not _columns(each) <= known), "")


def _check(template: str, known: Collection[str]) -> None:
    if len(template) > LONGEST_TEMPLATE:
        raise TemplateError(
            "%(text)r is longer than %(most)s characters.", text=template, most=str(LONGEST_TEMPLATE)
        )
    if _SEPARATORS.search(template):
        raise TemplateError(
            "%(text)r holds a comma or a semicolon, which no category can hold.", text=template
        )
    for name in _PLACE.findall(template):
        if name not in PLACES:
            raise TemplateError(
                "{%(name)s} is not known in a category; there is %(places)s.",
                name=name,
                places=", ".join(f"{{{each}}}" for each in PLACES),
            )
        if PLACES[name] not in known:
            raise TemplateError(
                "{%(name)s} needs the field %(caption)r, which the standard contacts API of Business Central does "
                "not have. Connect with the field profile 'extended' to use it.",
                name=name,
                caption=next(each.caption for each in BC_COLUMNS if each.name == PLACES[name]),
            )
    if set("{}") & set(_PLACE.sub("", template)):
        raise TemplateError("%(text)r has a brace without its other half.", text=template)


def _columns(template: str) -> set[str]:
    return {PLACES[name] for name in _PLACE.findall(template) if name in PLACES}


def columns_asked(templates: Iterable[str]) -> list[str]:
    """Return the BC columns that templates ask for; none: they come to the same for every contact."""
    return sorted({column for each in templates for column in _columns(each)})


def render(templates: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """Return the categories that templates come to for a BC contact, each once.

    One with a place that is blank for the contact, and one that is too long for Outlook, is left out: half of a
    category would be another one.
    """
    texts = (_render(each, values) for each in templates)
    return list({fold_case(text): text for text in texts if 0 < len(text) <= LONGEST}.values())


def _render(template: str, values: Mapping[str, str]) -> str:
    found = {name: _value(values.get(PLACES[name], "")) for name in _PLACE.findall(template)}
    if not all(found.values()):
        return ""
    return clean_line(_PLACE.sub(lambda place: found[place[1]], template))


def _value(text: str) -> str:
    """Return a value of BC as a category can hold it."""
    return " ".join(clean_line(_SEPARATORS.sub(" ", text)).split())


# -- items -----------------------------------------------------------------------------------------------------------


def decide(
    record: Mapping[str, Any], wanted: Sequence[str], known: Mapping[str, Sequence[str]], *, keyed: bool
) -> Categories:
    """Return what an item has and is to have, and what its coupling is to remember.

    What the sync put there goes once no template asks for it. What a template asks for comes once: a user who took
    it off has it back only when the template or BC's value changes.

    Args:
        record: The item.
        wanted: What the templates come to.
        known: What the coupling remembers.
        keyed: The item carries a key of ours. Where nothing is remembered (the staging database was lost), what it
            has of ``wanted`` then came with the key.
    """
    before = present(record)
    # Nobody can take a key off: an item without one is not the item that the categories were put on.
    asked = known.get("asked", ()) if keyed else ()
    own = known.get("own", wanted if keyed and not known else ())
    after = [text for text in before if text not in own or text in wanted]
    held = set(map(fold_case, after))
    added = [text for text in wanted if text not in asked and fold_case(text) not in held]
    kept = [text for text in after if text in own]
    return {"before": before, "after": [*after, *added], "asked": list(wanted), "own": [*kept, *added]}


def of_new(wanted: Sequence[str]) -> Categories:
    """Return the same for an item that is made: all of its categories are the sync's."""
    return {"before": [], "after": list(wanted), "asked": list(wanted), "own": list(wanted)}


def remembered(categories: Mapping[str, list[str]]) -> Categories:
    """Return what a coupling remembers of categories that were written, or needed no write."""
    return {name: categories[name] for name in ("asked", "own")}


def is_written(record: Mapping[str, Any], categories: Mapping[str, list[str]]) -> bool:
    """Whether an item shows that a write of categories was carried out, whatever its owner has added since."""
    found, before, after = set(present(record)), set(categories["before"]), set(categories["after"])
    return after - before <= found and not (before - after) & found


def without(record: Mapping[str, Any], own: Collection[str]) -> list[str] | None:
    """Return an item's categories without those that the sync put there, or None where it has none of them.

    Args:
        record: The item.
        own: Their digests.
    """
    found = present(record)
    kept = [text for text in found if digest(text) not in own]
    return None if kept == found else kept


def digest(category: str) -> str:
    """Return what a category is known by where no text of a contact may be kept (rules 7.4)."""
    return hashlib.blake2b(category.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def digests(own: Iterable[str]) -> tuple[str, ...]:
    """Return the digests of categories."""
    return tuple(map(digest, own))


def own_digests(known: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the digests of what the sync put on an item, by what its coupling remembers."""
    return digests(known.get("own", ()))


def former_digests(former: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the same of a former item of a coupling; what a version before stored does not say it."""
    return own_digests(former.get("categories", {"own": DEFAULT}))


def present(record: Mapping[str, Any]) -> list[str]:
    """Return the categories of an item, in their order."""
    found = record.get("categories")
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
