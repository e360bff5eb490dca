"""What each setting of a profile may be: the same for the file, the page and the command line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sync_lib.fields.categories import TemplateError, check_templates
from sync_lib.fields.countries import is_language, usual_languages
from sync_lib.fields.filters import check_length, parse_filter
from sync_lib.model import Direction

DEFAULT_REGION = "NL"

#: What the policies of rules 7 may be, by column; the first is the default.
POLICIES = {
    "deleted_in_outlook": ("recreate", "stay_away"),
    "deleted_in_bc": ("delete", "keep"),
    "left_scope": ("delete", "keep"),
    "blank_in_bc": ("fill", "overwrite"),
}

#: What becomes of the profile of somebody who left the group that made it; the first is the default.
LEAVERS = ("switch_off", "end_keep", "end_remove")

DIRECTIONS = tuple(str(each) for each in Direction)

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+")

_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,4})?")


class WrongValue(ValueError):  # noqa: N818 - it is about a value
    """A setting cannot have this value.

    Attributes:
        message: What is wrong and what to do, English, with the places of ``values``: a page translates it.
        values: What is put in those places.
    """

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message % values if values else message)
        self.message = message
        self.values = values


def check(column: str, text: str) -> Any:
    """Return what a column of ``sync_profile`` holds for the text that a person wrote.

    Raises:
        WrongValue: It may not hold that.
    """
    return _CHECKS[column](visible(text))


def check_condition(name: str, expression: str, *, field_profile: str) -> tuple[str, str]:
    """Return one pair of a filter, as it is stored.

    Raises:
        WrongValue: It holds something that nobody can see.
        FilterSyntaxError: There is no such field, the expression is too long, or it cannot be understood.
    """
    pair = (visible(name), visible(expression))
    check_length([[pair]])
    parse_filter([[pair]], field_profile=field_profile)
    return pair


def check_categories(templates: Iterable[str], *, field_profile: str) -> tuple[str, ...]:
    """Return the templates of a profile's categories, as they are stored.

    Raises:
        WrongValue: One of them cannot be a category, or asks for what the field profile does not read.
    """
    try:
        return check_templates([visible(each) for each in templates], field_profile=field_profile)
    except TemplateError as error:
        raise WrongValue(error.message, **error.values) from error


def visible(text: str) -> str:
    """Return the text without the blanks around it, in NFC: what looks the same is the same name.

    Raises:
        WrongValue: It holds something that nobody can see, such as a line end or a change of direction.
    """
    if not text.isprintable():
        raise WrongValue("this holds a character that cannot be seen: take it out.")
    return unicodedata.normalize("NFC", text).strip()


def folded(name: str) -> str:
    """Return the form in which names of mailboxes, companies and folders are compared."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def check_region(text: str) -> str:
    """Return the code of a company's phone region.

    Raises:
        WrongValue: There is no such country code.
    """
    from phonenumbers import SUPPORTED_REGIONS

    region = text.upper()
    if region not in SUPPORTED_REGIONS:
        raise WrongValue(
            "%(text)r is not a country code of two letters such as %(example)s.",
            text=region,
            example=DEFAULT_REGION,
        )
    return region


def _mailbox(text: str) -> str:
    if not text:
        raise WrongValue("the mailbox is missing; it takes the person's user principal name.")
    if len(text) > 320:
        raise WrongValue("the mailbox is longer than 320 characters.")
    if not _ADDRESS.fullmatch(text):
        raise WrongValue("%(text)r is not a user principal name such as anna@example.com.", text=text)
    return text


def _company(text: str) -> str:
    if not text:
        raise WrongValue("the company is missing; it takes its name or id in Business Central.")
    return text


def _folder(text: str) -> str:
    if not text:
        raise WrongValue("the folder needs a name, for example Business Central.")
    if len(text) > 255:
        raise WrongValue("the folder's name is longer than 255 characters.")
    return text


def _group(text: str) -> str:
    if not text:
        raise WrongValue("the group is missing; it takes its name or id in Entra ID.")
    if len(text) > 256:
        raise WrongValue("the name of a group has at most 256 characters.")
    return text


def _salesperson(text: str) -> str:
    if len(text) > 20:
        raise WrongValue("a salesperson code has at most 20 characters.")
    return text.upper()


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise WrongValue("%(text)r is not a language code such as nl or en.", text=text)
    if not is_language(text):
        raise WrongValue(
            "there is no language %(text)r; there is %(usual)s, and any other by its code in ISO 639.",
            text=text,
            usual=", ".join(usual_languages()),
        )
    return text


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise WrongValue("%(text)r is not true or false.", text=text)
    return _BOOLEANS[text.lower()]


def _one_of(options: tuple[str, ...]) -> Callable[[str], str]:
    def chosen(text: str) -> str:
        if text not in options:
            raise WrongValue(
                "%(text)r is not one of these: %(options)s.", text=text, options=", ".join(options)
            )
        return text

    return chosen


_CHECKS: Mapping[str, Callable[[str], Any]] = {
    "mailbox": _mailbox,
    "company_name": _company,
    "enabled": _boolean,
    "folder_name": _folder,
    "default_folder": _boolean,
    "direction": _one_of(DIRECTIONS),
    "salesperson_code": _salesperson,
    "language": _language,
    "group_name": _group,
    "leavers": _one_of(LEAVERS),
    **{column: _one_of(options) for column, options in POLICIES.items()},
}
