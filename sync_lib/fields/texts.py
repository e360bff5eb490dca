"""Cleaning of text that a person typed: what no contact field can carry is dropped, nothing else changes.

Both directions and all normal forms go through here, so that a value compares equal to its written form on the
other side.
"""

from __future__ import annotations

import re
import unicodedata

#: Line ends of either service and of Unicode: Outlook writes CRLF, Outlook on the web LF.
LINE_ENDS = re.compile("\r\n|[\r\n\v\f\x85\u2028\u2029]")
# Control characters and lone surrogates: Exchange's XML and PostgreSQL refuse them, and nobody can see them.
_UNWRITABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
# Soft hyphen, zero width space, marks of direction, word joiner, byte order mark: they come along when somebody pastes
# an address or a number, and nobody sees them. Joiners (U+200C, U+200D) are spelling and are not among them.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_JOINERS = "\u200c\u200d "


def clean_line(text: str) -> str:
    """Return ``text`` as one line: NFC, trimmed, line ends and tabs as spaces, without control characters."""
    if text.isascii() and text.isprintable():
        return text.strip()
    line = LINE_ENDS.sub(" ", text).replace("\t", " ")
    return unicodedata.normalize("NFC", _UNWRITABLE.sub("", line)).strip()


def clean_code(text: str) -> str:
    """Return ``text`` as one line without invisible characters: how addresses, numbers and codes are written."""
    return clean_line(text) if text.isascii() else clean_line(_INVISIBLE.sub("", text))


def is_visible(text: str) -> bool:
    """Return whether anybody can see something of ``text``; joiners, too, are nothing by themselves."""
    return bool(clean_code(text).strip(_JOINERS))


def clean_lines(text: str) -> list[str]:
    """Return the lines of ``text``, each cleaned and trimmed, without blank ones."""
    if text.isascii() and text.isprintable():
        line = text.strip()
        return [line] if line else []
    return [line for part in LINE_ENDS.split(text) if (line := clean_line(part))]


def fold_spaces(text: str) -> str:
    """Return ``text`` cleaned, with each run of white space as one space."""
    return _SPACES.sub(" ", clean_line(text))


def fold_case(text: str) -> str:
    """Return ``text`` such that strings which differ in case only are equal (Unicode canonical caseless match).

    The detour over NFD is the standard's (chapter 3.13, D145): folding composed text alone is not idempotent.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def length(text: str) -> int:
    """Return the length as BC counts it: UTF-16 code units, in which an emoji takes two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
