"""Patterns for people's searches: a text anywhere in a value, in any case, alike on both databases."""

from __future__ import annotations

import json
import re

from sqlalchemy import Boolean, ColumnElement, and_, func, literal, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import SQLColumnExpression
from sqlalchemy.sql.functions import FunctionElement

#: Words of one search that are looked at; what a person types behind them narrows nothing further.
MOST_WORDS = 8
#: A search of so many digits or more is for a number, however it is written.
_DIGITS = 5
#: How many digits at the end of a telephone number show whose it is, whether a country comes before them or not.
_LAST_DIGITS = 8

_NUMBER = re.compile(r"[\d\s()+./-]+")


class _Matches(FunctionElement[bool]):
    """Whether a text matches: SQLite goes by the GLOB pattern, which it reads itself, and not through Python."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: SQLColumnExpression[str], glob: str, regexp: str) -> None:
        super().__init__(column, literal(glob), literal(regexp))


@compiles(_Matches)
def _by_regexp(element: _Matches, compiler: SQLCompiler, **options: object) -> str:
    column, _, regexp = element.clauses
    return compiler.process(column.regexp_match(regexp), **options)


@compiles(_Matches, "sqlite")
def _by_glob(element: _Matches, compiler: SQLCompiler, **options: object) -> str:
    column, glob, _ = element.clauses
    return f"({compiler.process(column, **options)} GLOB {compiler.process(glob, **options)})"


def holds(text: str, *columns: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether one of these columns holds a text."""
    return or_(
        *(_Matches(column, f"*{_any_case_glob(text)}*", f"(?i){any_case(text)}") for column in columns)
    )


def is_whole(text: str, column: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether a column is a text, and nothing more."""
    return _Matches(column, _any_case_glob(text), rf"(?i)\A{any_case(text)}\Z")


def holds_in_values(text: str, *columns: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether a value, and not the name of a field, holds a text in one of these columns of JSON objects of texts."""
    # Written as JSON writes it, so that quotes and line ends are found too.
    written = any_case(json.dumps(text, ensure_ascii=False)[1:-1])
    pattern = rf'(?i)":"(?:[^"\\]|\\.)*?{written}'
    return or_(*(column.regexp_match(pattern) for column in columns))


def holds_words(text: str, *columns: SQLColumnExpression[str]) -> list[ColumnElement[bool]]:
    """The conditions that every word of a text is in one of these columns."""
    # One text per row is looked through faster than several are.
    whole = columns[0]
    for column in columns[1:]:
        whole = whole + literal("\n") + func.coalesce(column, "")
    return [holds(word, whole) for word in text.split()[:MOST_WORDS]]


def as_number(text: str) -> str:
    """Return the digits to look for where a text is a number that may be written in many ways, else ""."""
    digits = re.sub(r"\D", "", text) if _NUMBER.fullmatch(text) else ""
    digits = digits.lstrip("0")
    return digits[-_LAST_DIGITS:] if len(digits) >= _DIGITS else ""


def holds_number(digits: str, *columns: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether one of these columns holds these digits in a row, whatever is between them."""
    # GLOB can't say what may be between the digits, but leaves few texts for Python to look at.
    pattern, in_order = "[^0-9A-Za-z]*".join(digits), f"*{'*'.join(digits)}*"
    return or_(
        *(and_(_Matches(column, in_order, pattern), column.regexp_match(pattern)) for column in columns)
    )


def any_case(text: str) -> str:
    """Return a pattern for a text that both databases read alike, also where PostgreSQL folds ASCII letters only."""
    letters = ((re.escape(each), each.lower(), each.upper()) for each in text)
    return "".join(
        escaped if lower == upper or len(lower + upper) > 2 or lower.isascii() else f"[{lower}{upper}]"
        for escaped, lower, upper in letters
    )


def _any_case_glob(text: str) -> str:
    """Return the same as a pattern of SQLite's GLOB, which has no flag for it."""
    classes = []
    for each in text:
        lower, upper = each.lower(), each.upper()
        if lower == upper or len(lower + upper) > 2:
            classes.append(f"[{each}]" if each in "[*?" else each)
        else:
            classes.append(f"[{lower}{upper}]")
    return "".join(classes)
