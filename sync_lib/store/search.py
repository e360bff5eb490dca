"""Patterns for people's searches: a text anywhere in a value, in any case, alike on both databases."""

from __future__ import annotations

import json
import re

from sqlalchemy import ColumnElement, func, literal, or_
from sqlalchemy.sql.elements import SQLColumnExpression

#: Words of one search that are looked at; what a person types behind them narrows nothing further.
MOST_WORDS = 8
#: A search of so many digits or more is for a number, however it is written.
_DIGITS = 5
#: How many digits at the end of a telephone number tell whose it is, whether a country stands before them or not.
_LAST_DIGITS = 8
_NUMBER = re.compile(r"[\d\s()+./-]+")


def holds(text: str, *columns: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether one of these columns holds a text."""
    return or_(*(column.regexp_match(f"(?i){any_case(text)}") for column in columns))


def holds_in_values(text: str, *columns: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether a value, and not the name of a field, holds a text in one of these columns of JSON objects of texts."""
    # Written as JSON writes it, so that quotes and line ends are found too.
    written = any_case(json.dumps(text, ensure_ascii=False)[1:-1])
    pattern = rf'(?i)":"(?:[^"\\]|\\.)*?{written}'
    return or_(*(column.regexp_match(pattern) for column in columns))


def holds_words(text: str, *columns: SQLColumnExpression[str]) -> list[ColumnElement[bool]]:
    """The conditions that every word of a text stands in one of these columns."""
    # One text per row is looked through faster than several are.
    whole = columns[0]
    for column in columns[1:]:
        whole = whole + literal("\n") + func.coalesce(column, "")
    return [whole.regexp_match(f"(?i){any_case(word)}") for word in text.split()[:MOST_WORDS]]


def as_number(text: str) -> str:
    """Return the digits to look for where a text is a number that may be written in many ways, else ""."""
    digits = re.sub(r"\D", "", text) if _NUMBER.fullmatch(text) else ""
    digits = digits.lstrip("0")
    return digits[-_LAST_DIGITS:] if len(digits) >= _DIGITS else ""


def holds_number(digits: str, *columns: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether one of these columns holds these digits in a row, whatever stands between them."""
    pattern = "[^0-9A-Za-z]*".join(digits)
    return or_(*(column.regexp_match(pattern) for column in columns))


def any_case(text: str) -> str:
    """Return a pattern for a text that both databases read alike, also where PostgreSQL folds ASCII letters only."""
    letters = ((re.escape(each), each.lower(), each.upper()) for each in text)
    return "".join(
        escaped if lower == upper or len(lower + upper) > 2 or lower.isascii() else f"[{lower}{upper}]"
        for escaped, lower, upper in letters
    )
