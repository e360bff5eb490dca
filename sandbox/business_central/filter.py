"""The filter grammar of Business Central's API: parsed once, applied to rows as a plain function."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.business_central.table import Field, Row
from sandbox.clock import parse_moment
from sandbox.wire import ApiError

Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))|(?P<date>\d{4}-\d\d-\d\d)(?![\d-])"
    r"|(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})|(?P<number>-?\d+)(?!\w)"
    r"|(?:Microsoft\.NAV\.\w+)?'(?P<text>(?:[^']|'')*)'|(?P<word>[A-Za-z_]\w*)|(?P<sign>[(),]))"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}
_MATCH: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda a, b: b in a,
}


def refused(message: str) -> ApiError:
    """Return the server's answer to a filter it can't use."""
    return ApiError(400, "BadRequest", message)


@dataclass
class Operand:
    """A field, perhaps inside tolower or toupper."""

    spec: Field
    fold: str = ""

    def reader(self) -> Callable[[Row], Any]:
        """Return the function that reads the value to compare."""
        attribute = self.spec.attribute
        if self.fold == "tolower":
            return lambda row: getattr(row, attribute).lower()
        if self.fold == "toupper":
            return lambda row: getattr(row, attribute).upper()
        return lambda row: getattr(row, attribute)


@dataclass
class Condition:
    """A test with the names of the fields in it, which ``or`` must know."""

    test: Test
    fields: frozenset[str]


class Parser:
    """Recursive descent over one filter expression."""

    def __init__(self, text: str, fields: dict[str, Field], nested: str = "fold") -> None:
        self._fields = fields
        self._nested = nested
        self._tokens = self._split(text)
        self._position = 0

    @staticmethod
    def _split(text: str) -> list[tuple[str, str]]:
        tokens, position = [], 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None or match.lastgroup is None:
                raise refused("Syntax error in the filter expression.")
            tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        return tokens

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position] if self._position < len(self._tokens) else ("end", "")

    def _take(self, kind: str = "", value: str = "") -> str:
        found = self._peek()
        if (kind and found[0] != kind) or (value and found[1].lower() != value) or found[0] == "end":
            raise refused("Syntax error in the filter expression.")
        self._position += 1
        return found[1]

    def _at_word(self, word: str) -> bool:
        kind, value = self._peek()
        return kind == "word" and value.lower() == word

    def parse(self) -> Test:
        """Return the test that the whole expression stands for."""
        condition = self._any_of()
        if self._peek()[0] != "end":
            raise refused("Syntax error in the filter expression.")
        return condition.test

    def _any_of(self) -> Condition:
        found = [self._all_of()]
        while self._at_word("or"):
            self._take()
            found.append(self._all_of())
        if len(found) == 1:
            return found[0]
        fields = frozenset().union(*(c.fields for c in found))
        if len(fields) != 1:
            raise refused("The OR operator on different fields is not supported.")
        tests = [c.test for c in found]
        return Condition(lambda row: any(test(row) for test in tests), fields)

    def _all_of(self) -> Condition:
        found = [self._one()]
        while self._at_word("and"):
            self._take()
            found.append(self._one())
        if len(found) == 1:
            return found[0]
        tests = [c.test for c in found]
        return Condition(
            lambda row: all(test(row) for test in tests), frozenset().union(*(c.fields for c in found))
        )

    def _one(self) -> Condition:
        if self._at_word("not"):
            self._take()
            inner = self._one()
            return Condition(lambda row: not inner.test(row), inner.fields)
        if self._peek() == ("sign", "("):
            self._take()
            inner = self._any_of()
            self._take("sign", ")")
            return inner
        word = self._peek()[1].lower()
        return self._function(word) if word in _MATCH else self._comparison()

    def _operand(self) -> Operand:
        name = self._take("word")
        if name.lower() in ("tolower", "toupper"):
            self._take("sign", "(")
            operand = self._operand()
            self._take("sign", ")")
            if operand.spec.kind in ("bool", "datetime", "integer", "date"):
                raise refused("No function signature matches the specified arguments.")
            return Operand(operand.spec, name.lower())
        if name not in self._fields:
            raise refused(f"Could not find a property named '{name}' on type 'Microsoft.NAV.contact'.")
        return Operand(self._fields[name])

    def _function(self, word: str) -> Condition:
        self._take()
        self._take("sign", "(")
        operand = self._operand()
        self._take("sign", ",")
        wanted = self._literal(operand)
        self._take("sign", ")")
        if not isinstance(wanted, str):
            raise refused("No function signature matches the specified arguments.")
        if self._at_word("eq"):
            self._take()
            self._take("word", "true")
        if operand.fold and self._nested != "fold":
            return self._undefined(
                operand, lambda row: _MATCH[word](getattr(row, operand.spec.attribute), wanted)
            )
        match, read = _MATCH[word], operand.reader()
        return Condition(lambda row: match(read(row), wanted), frozenset((operand.spec.name,)))

    def _undefined(self, operand: Operand, raw: Test) -> Condition:
        """What a schema version before 2.1 makes of a function of a function, or of ``in``."""
        if self._nested == "error":
            raise refused("The filter expression is not supported by this version of the API.")
        fields = frozenset((operand.spec.name,))
        if self._nested == "case":
            return Condition(raw, fields)
        result = self._nested == "everything"
        return Condition(lambda _row: result, fields)

    def _comparison(self) -> Condition:
        operand = self._operand()
        operator = self._take("word").lower()
        read, fields = operand.reader(), frozenset((operand.spec.name,))
        if operator == "in":
            self._take("sign", "(")
            wanted = {self._literal(operand)}
            while self._peek() == ("sign", ","):
                self._take()
                wanted.add(self._literal(operand))
            self._take("sign", ")")
            is_in = Condition(lambda row: read(row) in wanted, fields)
            return is_in if self._nested == "fold" else self._undefined(operand, is_in.test)
        if operator not in _COMPARE:
            raise refused("Syntax error in the filter expression.")
        compare, value = _COMPARE[operator], self._literal(operand)
        return Condition(lambda row: compare(read(row), value), fields)

    def _literal(self, operand: Operand) -> Any:
        kind, text = self._peek()
        self._position += 1
        wanted = operand.spec.kind
        if wanted == "datetime" and kind == "datetime":
            return moment_to_milliseconds(text)
        if wanted == "guid" and kind == "guid":
            return text.lower()
        if wanted == "bool" and kind == "word" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if wanted == "integer" and kind == "number":
            return int(text)
        if wanted == "date" and kind == "date":
            return text
        if kind == "text" and wanted not in ("datetime", "guid", "bool", "integer", "date"):
            text = text.replace("''", "'")
            return text.upper() if wanted == "code" and not operand.fold else text
        raise refused("A binary operator with incompatible types was detected.")


def moment_to_milliseconds(text: str) -> float:
    """Return a literal as milliseconds; a finer fraction is kept."""
    try:
        whole = parse_moment(text)
    except ValueError as error:
        raise refused("The datetime literal is not valid.") from error
    moment = datetime.fromisoformat(text)
    return round(whole - moment.microsecond / 1e6) * 1000 + moment.microsecond / 1000


def parse_filter(text: str, fields: dict[str, Field], nested: str = "fold") -> Test:
    """Return the test for a ``$filter``, or raise the server's 400.

    ``nested`` is what comes of a function of a function and of ``in``: ``fold`` for what they say (schema version
    2.1), else a value of the switch ``bc_nested_functions``.
    """
    return Parser(text, fields, nested).parse()
