"""Normal forms: when two written values are the same value (rules 6), and the fingerprint of a contact.

A normal form is for comparing only, never for writing. "" means blank, and no text makes a form fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b

import idna
from email_validator import EmailNotValidError, validate_email

from sync_lib.fields.countries import Countries
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.phones import phone_form
from sync_lib.fields.table import FIELD_MAPS
from sync_lib.fields.texts import clean_code, clean_line, clean_lines, fold_case
from sync_lib.model import Direction, Fields

#: Part of every fingerprint. Raise it with every change of a normal form, of the order of ``FIELD_MAPS``, or of a
#: library's data that matters: stored written forms are then normalised again, and nothing is read as an edit.
NORMALISER_VERSION = 2

_SEPARATOR = "\x1f"  # No normal form holds it: control characters are dropped.


class Normaliser:
    """Normal forms as one company and language see them. Cheap to build; keeps what it has seen."""

    def __init__(self, lookups: Lookups) -> None:
        self._region = lookups.region.strip().upper()
        self._countries = _countries(lookups.language, lookups.countries)
        forms: dict[str, Callable[[str], str]] = {
            "text": clean_line,
            "lines": lines_form,
            "email": email_key,
            "code": clean_code,
            "phone": lambda text: phone_form(text, self._region),
            "country": self._countries.form,
            "post_code": post_code_form,
        }
        self._forms = {row.name: forms[row.form] for row in FIELD_MAPS}
        self._diffed = tuple(
            (row.name, forms[row.form]) for row in FIELD_MAPS if row.direction is Direction.BOTH
        )

    def normal(self, field: str, written: str) -> str:
        """Return the normal form of a mapped field's written value.

        Raises:
            KeyError: ``field`` is not a mapped field.
        """
        form = self._forms[field]
        return form(written) if written else ""

    def fingerprint(self, fields: Fields) -> int:
        """Return a signed 64-bit digest of all compared fields; equal fingerprints mean that no write is needed.

        A missing key counts as blank, so both field profiles share one order of fields. The same on every machine
        for one ``NORMALISER_VERSION``.
        """
        get = fields.get
        forms = [form(text) if (text := get(name)) else "" for name, form in self._diffed]
        digest = blake2b(_SEPARATOR.join(forms).encode(), digest_size=8, person=_PERSON).digest()
        return int.from_bytes(digest, "big", signed=True)


_PERSON = f"fields {NORMALISER_VERSION}".encode()


def _countries(language: str, table: Mapping[str, str]) -> Countries:
    """Return what countries mean with a table of BC; to sort one for each contact would take longer than the rest."""
    known = _LAST.get(language)
    if known is None or known[0] is not table:
        known = _LAST[language] = (table, _countries_of(language, tuple(sorted(table.items()))))
    return known[1]


# By language, the table that was asked for last: that of a company, which nobody changes.
_LAST: dict[str, tuple[Mapping[str, str], Countries]] = {}


@lru_cache(maxsize=64)
def _countries_of(language: str, table: tuple[tuple[str, str], ...]) -> Countries:
    return Countries(dict(table), language)


def lines_form(text: str) -> str:
    """Return the lines of a street: each trimmed, blank ones dropped, joined by a line feed."""
    return "\n".join(clean_lines(text))


def post_code_form(text: str) -> str:
    """Return a post code in upper case and without spaces, as BC's own Code fields compare, and then some."""
    return clean_code("".join(clean_code(text).upper().split()))


# Each address is asked for a dozen times while its contact is worked on, and hardly ever after that.
@lru_cache(maxsize=1 << 12)
def email_key(text: str) -> str:
    """Return the first address of a ``;`` list, folded: what two contacts are matched by (rules 2.2).

    A domain that is written in Unicode has its ASCII form (IDNA), so that both spellings are one address. The key of a
    key is itself.
    """
    address = first_address(text)
    if address.isascii() and "xn--" not in address.lower():
        return address.lower()
    local, at, domain = address.rpartition("@")
    return fold_case(local) + at + _domain(domain, to_ascii=True)


def email_spellings(key: str) -> tuple[str, ...]:
    """Return the key of an address, and the same with its domain in Unicode where that is another text.

    A service that compares text, as BC's filters do, has to be asked for both.
    """
    local, at, domain = key.rpartition("@")
    return tuple(dict.fromkeys((key, local + at + _domain(domain, to_ascii=False))))


def _domain(domain: str, *, to_ascii: bool) -> str:
    """Return a domain in ASCII or in Unicode, folded; one that IDNA does not allow is folded only."""
    folded = fold_case(domain)
    try:
        unicode = idna.decode(folded, uts46=True)
        return idna.encode(unicode).decode() if to_ascii else unicode
    except UnicodeError:
        return folded


def address_digest(key: str) -> str:
    """Return a digest of an address (``email_key``): two of them are compared where neither may be stored."""
    return blake2b(key.encode(errors="surrogatepass"), digest_size=16).hexdigest() if key else ""


def first_address(text: str) -> str:
    """Return the first address of a ``;`` list as typed, but for what nobody sees; BC's field E-Mail takes several."""
    line = clean_code(text)
    if ";" not in line:
        return line
    return next((address for part in line.split(";") if (address := part.strip())), "")


@lru_cache(maxsize=1 << 16)
def email_problem(text: str) -> str | None:
    """Return ``email_missing`` or ``email_invalid`` for the first address of ``text``, or None when it will do.

    Syntax only, no DNS. Reserved domains such as ``.example`` pass: they are no worse than a typing error.
    """
    address = first_address(text)
    if not address:
        return "email_missing"
    if len(address) <= _SURELY_SHORT and _PLAIN_ADDRESS.match(address):
        return None
    return None if _is_valid(address) else "email_invalid"


# Valid without asking the library, which takes ten times as long; a property test holds that both agree.
_PLAIN_ADDRESS = re.compile(
    r"[A-Za-z0-9_]+(?:[.+-][A-Za-z0-9_]+)*@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,}\Z"
)
_SURELY_SHORT = 63  # Then no part of the address can exceed its own limit.


def _is_valid(address: str) -> bool:
    try:
        # The library's own idea of a deliverable domain refuses .example, .test and .local.
        valid = validate_email(
            address,
            check_deliverability=False,
            globally_deliverable=False,
            allow_quoted_local=True,
            strict=True,
        )
    except EmailNotValidError:
        return False
    top = valid.domain.rpartition(".")[2]
    return top != valid.domain and not top.isdigit()


def country_name(code: str, language: str, countries: Mapping[str, str]) -> str:
    """Return the country's name in ``language`` for a code of BC's table ``countries`` (code -> display name)."""
    return _countries(language, countries).name(code) if code else ""


def country_code(text: str, language: str, countries: Mapping[str, str]) -> str:
    """Return BC's code for a country's code or name, or "" where BC's table has none."""
    return _countries(language, countries).code(text)


def company_key(name: str) -> str:
    """Return the key under which ``Lookups.companies`` holds a company contact's name."""
    return fold_case(clean_line(name))
