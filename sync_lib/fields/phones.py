"""Phone numbers as E.164, so that ``020-555 01 10`` and ``+31 20 555 01 10`` compare equal.

The library ``phonenumbers`` decides; a short cut takes the common spellings, because the library costs more than
all other fields of a contact together. A property test holds that both agree. Who changes what counts as the same
raises ``NORMALISER_VERSION``. Outlook's slots (``slots.phone_key``) and the pages' search go by looser senses of it.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat

from sync_lib.fields.texts import clean_code, fold_spaces

_SEPARATORS = str.maketrans("", "", " -./()")
# What may be between digits of a number that is compared as one; anything else (a name, a remark) is text, or an
# edit of the remark would go unnoticed.
_NUMBER_ONLY = re.compile(r"[\d\s+\-./()‐-―−－＋．／（）\xa0]+\Z")
_STARTS_AS_NUMBER = re.compile(r"\s*[+＋(（]?\s*[\d(（]")


@lru_cache(maxsize=1 << 17)
def phone_form(text: str, region: str) -> str:
    """Return the number in E.164 as seen from ``region``, with ``;ext=`` where it has an extension.

    Text that holds no number that can exist is returned as text, with spaces folded.
    """
    visible = clean_code(text)
    return _short_cut(visible, region) or _parsed(visible, region) or fold_spaces(visible)


def _short_cut(text: str, region: str) -> str:
    """Return the number when it is plain digits behind ``+`` or the national prefix, and valid; else ""."""
    digits = text.translate(_SEPARATORS)
    if not digits.isascii():
        return ""
    if digits[:1] == "+":
        code = _country_code(digits[1:4])
        national = digits[1 + len(code) :]
    else:
        code, national = _home(region)
        if not (national and digits.startswith(national)):
            return ""
        national = digits[len(national) :]
    pattern = _pattern(code)
    # A second zero would be an international prefix or a zero that belongs to the number: the library knows.
    if pattern and national[:1] not in {"", "0"} and pattern.fullmatch(national):
        return f"+{code}{national}"
    return ""


def _country_code(digits: str) -> str:
    for size in (1, 2, 3):
        if digits[:size].isdigit() and int(digits[:size]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return digits[:size]
    return ""


@lru_cache(maxsize=512)
def _home(region: str) -> tuple[str, str]:
    """Return the calling code of a region and its national prefix, where that is a plain "0"."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if (
        metadata is None
        or metadata.national_prefix_for_parsing != "0"
        or metadata.international_prefix != "00"
    ):
        return "", ""
    main = phonenumbers.region_code_for_country_code(metadata.country_code or 0)
    # A small region that shares its calling code (Guernsey, Jersey) has number patterns of its own.
    return (str(metadata.country_code), "0") if main == region else ("", "")


@lru_cache(maxsize=512)
def _pattern(code: str) -> re.Pattern[str] | None:
    """Return the pattern of national numbers of a calling code, or None where prefixes need the library."""
    if not code:
        return None
    region = phonenumbers.region_code_for_country_code(int(code))
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.national_prefix_transform_rule is not None:
        return None
    if metadata.national_prefix_for_parsing not in {None, "0"}:
        return None
    general = metadata.general_desc
    return (
        re.compile(general.national_number_pattern) if general and general.national_number_pattern else None
    )


def _parsed(text: str, region: str) -> str:
    if not _STARTS_AS_NUMBER.match(text):
        return ""
    try:
        number = phonenumbers.parse(text, region)
        form = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        again = phonenumbers.format_number(phonenumbers.parse(form), PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        return ""
    # A row of zeros is no number that anybody has, and the library does not keep how many there are: two rows of zeros
    # that somebody typed for "unknown" would be one number.
    if form != again or not number.national_number or not phonenumbers.is_possible_number(number):
        return ""
    if number.extension:
        return f"{form};ext={number.extension}"
    return form if _NUMBER_ONLY.match(text) else ""
