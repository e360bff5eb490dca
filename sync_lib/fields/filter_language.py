"""BC's filter language (rules 4): from the text of one expression to a tree, or an error that shows the place.

The grammar, loosest first, as the filter pane of Business Central has it::

    expression  = conjunction { "|" conjunction }
    conjunction = term { "&" term }
    term        = "(" expression ")" | [ "<>" | ">" | ">=" | "<" | "<=" | "=" ] operand | range
    range       = [ operand ] ".." [ operand ]
    operand     = [ "@" ] { text | "'" quoted "'" | "*" | "?" }

Inside quotes nothing is special but the quote itself, which is doubled; ``''`` alone is blank. ``@`` makes a value, or
both ends of a range, case-insensitive. Wildcards stand where a whole value is compared: not in ranges, nor behind
``<`` or ``>``. What a value may be depends on the kind of the field.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, NoReturn

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields.columns import BcColumn

Operator = Literal["=", "<>", "<", "<=", ">", ">="]

_OPERATORS: tuple[Operator, ...] = ("<>", "<=", ">=", "<", ">", "=")
_DEEPEST = 50  # Parentheses; people need two, and Python's own stack ends at about a thousand.
_ISO_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})\Z", re.ASCII)
_DAY_FIRST = re.compile(
    r"(?P<day>\d{1,2})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})\Z", re.ASCII
)
_BROKEN = re.compile("[\x00\ud800-\udfff]")

#: Stands for the profile's own salesperson code.
ME = "%me"


@dataclass(frozen=True, slots=True)
class Compare:
    """One value. ``me``: the value is the profile's own salesperson code, known when the filter is used."""

    operator: Operator
    value: str
    fold: bool = False
    me: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    """A pattern: literal parts between ``*``; inside a part None stands for ``?``."""

    parts: tuple[tuple[str | None, ...], ...]
    fold: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """A range with both ends; None leaves an end open."""

    low: str | None
    high: str | None
    fold: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few spellings, for options and booleans."""

    spellings: frozenset[str]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All of these hold."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of these holds."""

    terms: tuple[Node, ...]


Node = Compare | Like | Between | OneOf | And | Or

# Options in BC's order: spellings of the API (blanks are escaped there), then further names that people know.
_Option = tuple[tuple[str, ...], tuple[str, ...]]
_OPTIONS: dict[str, tuple[_Option, ...]] = {
    "type": ((("Company",), ("Bedrijf",)), (("Person",), ("Persoon",))),
    "business_relation": (
        (("", " ", "_x0020_"), ()),
        (("Customer",), ("Klant",)),
        (("Vendor",), ("Leverancier",)),
        (("Bank Account", "Bank_x0020_Account"), ("Bankrekening",)),
        (("Employee",), ("Werknemer", "Medewerker")),
        (("None",), ("Geen",)),
        (("Other",), ("Overig", "Overige", "Anders")),
        (("Multiple",), ("Meerdere",)),
    ),
}
_BOOLEANS: tuple[_Option, ...] = (
    (("false", "False", "", "0"), ("No", "Nee")),
    (("true", "True", "1"), ("Yes", "Ja")),
)
BLANK_DATES = ("", "0001-01-01")


def options_of(column: BcColumn) -> tuple[_Option, ...]:
    """Return the values that an option or boolean column can have, in BC's order; none for other kinds."""
    return _BOOLEANS if column.kind == "boolean" else _OPTIONS.get(column.name, ())


def parse_expression(column: BcColumn, field_name: str, text: str) -> Node | None:
    """Return the tree of one filter expression, or None for an empty one, which filters nothing.

    Args:
        column: The field that the expression is about.
        field_name: What the user called it, for the error.
        text: The expression.

    Raises:
        FilterSyntaxError: The expression can't be understood; nothing else is ever raised, whatever the text.
    """
    parser = _Parser(column, field_name, text)
    return parser.parse() if text.strip() else None


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    kind: Literal["text", "quoted", "any", "one"]


@dataclass(frozen=True, slots=True)
class _Operand:
    """What stands between operators. No pieces: nothing does."""

    pieces: tuple[_Piece, ...]
    fold: bool
    position: int

    @property
    def wild(self) -> bool:
        return any(piece.kind in ("any", "one") for piece in self.pieces)

    @property
    def bare(self) -> bool:
        return all(piece.kind == "text" for piece in self.pieces)

    @property
    def text(self) -> str:
        return unicodedata.normalize("NFC", "".join(piece.text for piece in self.pieces))


@dataclass(slots=True)
class _Parser:
    column: BcColumn
    field_name: str
    text: str
    position: int = 0
    depth: int = 0

    def parse(self) -> Node:
        if broken := _BROKEN.search(self.text):
            self.fail("readable text", broken.start())
        node = self.expression()
        if self.position < len(self.text):
            self.fail("| or &, or quotes around a text that holds operators")
        return node

    def fail(self, expected: str, position: int | None = None, **values: object) -> NoReturn:
        place = self.position if position is None else position
        raise FilterSyntaxError(self.field_name, self.text, place, expected, **values)

    def skip_spaces(self) -> None:
        while self.text[self.position : self.position + 1].isspace():
            self.position += 1

    def take(self, token: str) -> bool:
        self.skip_spaces()
        if not self.text.startswith(token, self.position):
            return False
        self.position += len(token)
        return True

    # -- the grammar -----------------------------------------------------------------------------------------------

    def expression(self) -> Node:
        terms = [self.conjunction()]
        while self.take("|"):
            terms.append(self.conjunction())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def conjunction(self) -> Node:
        terms = [self.term()]
        while self.take("&"):
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def term(self) -> Node:
        if self.take("("):
            return self.group()
        operator = next((operator for operator in _OPERATORS if self.take(operator)), None)
        low = self.operand()
        if operator is None and self.take(".."):
            node = self.range(low, self.operand())
        elif not low.pieces:
            self.fail("a value ('' for blank)")
        elif self.take(".."):
            self.fail("a single value behind %(operator)s, not a range", self.position - 2, operator=operator)
        else:
            node = self.comparison(operator or "=", low)
        self.skip_spaces()
        return node

    def group(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail("at most %(number)s parentheses inside each other", number=_DEEPEST)
        node = self.expression()
        if not self.take(")"):
            self.fail("a closing parenthesis")
        self.depth -= 1
        self.skip_spaces()
        return node

    def operand(self) -> _Operand:
        fold = self.take("@")
        self.skip_spaces()
        start = self.position
        pieces: list[_Piece] = []
        while piece := self.piece():
            pieces.append(piece)
        # Blanks around a value are layout; quotes keep those that matter.
        if pieces and pieces[-1].kind == "text":
            pieces[-1] = _Piece(pieces[-1].text.rstrip(), "text")
        if fold and not pieces:
            self.fail("a value behind @")
        return _Operand(tuple(pieces), fold, start)

    def piece(self) -> _Piece | None:
        text, start = self.text, self.position
        if start >= len(text) or text[start] in "|&()<>" or text.startswith("..", start):
            return None
        if text[start] == "'":
            return self.quoted()
        if text[start] in "*?":
            self.position += 1
            return _Piece(text[start], "any" if text[start] == "*" else "one")
        while self.position < len(text) and text[self.position] not in "|&()<>'*?":
            if text.startswith("..", self.position):
                break
            self.position += 1
        return _Piece(text[start : self.position], "text")

    def quoted(self) -> _Piece:
        start = self.position
        end = start + 1
        while True:
            end = self.text.find("'", end)
            if end < 0:
                self.fail("a closing quote (write two quotes for one inside a text)", start)
            if not self.text.startswith("''", end):
                break
            end += 2
        self.position = end + 1
        return _Piece(self.text[start + 1 : end].replace("''", "'"), "quoted")

    # -- what the kinds of fields make of it -----------------------------------------------------------------------

    def comparison(self, operator: Operator, operand: _Operand) -> Node:
        if operand.bare and operand.text.startswith("%") and operand.text[1:2].isalpha():
            return self.placeholder(operator, operand)
        if options := options_of(self.column):
            return self.option(operator, operand, options)
        if not operand.wild:
            return Compare(operator, self.value(operand), self.folds(operand))
        if operator not in ("=", "<>"):
            self.fail("a value without * and ? behind %(operator)s", operand.position, operator=operator)
        if self.column.kind == "date":
            self.fail("a whole date, for example 2026-12-31", operand.position)
        return Like(self.pattern(operand), self.folds(operand), operator == "<>")

    def placeholder(self, operator: Operator, operand: _Operand) -> Node:
        if self.column.name != "salesperson":
            self.fail("a value; %me stands in the field Salesperson Code only", operand.position)
        if operand.text.lower() != ME or operator not in ("=", "<>"):
            self.fail("%me, alone or behind <>; other names with % are not known here", operand.position)
        return Compare(operator, "", me=True)

    def range(self, low: _Operand, high: _Operand) -> Node:
        if not low.pieces and not high.pieces:
            self.fail("a value before or behind ..")
        for end in (low, high):
            if end.wild:
                self.fail("a range without * and ?", end.position)
        if options := options_of(self.column):
            return self.option_range(low, high, options)
        bottom, top = (self.value(end) if end.pieces else None for end in (low, high))
        return Between(bottom, top, self.folds(low) or self.folds(high))

    def folds(self, operand: _Operand) -> bool:
        # Code fields are upper-case as they are, and a date has no case.
        return operand.fold and self.column.kind == "text"

    def value(self, operand: _Operand) -> str:
        if self.column.kind == "date":
            return self.date(operand)
        return self.cased(operand.text, operand)

    def cased(self, text: str, operand: _Operand) -> str:
        if self.column.kind == "code":
            return text.upper()
        return text.casefold() if operand.fold else text

    def date(self, operand: _Operand) -> str:
        text = operand.text.strip()
        if not text:
            return ""
        parts = _ISO_DATE.match(text) or _DAY_FIRST.match(text)
        if parts is None:
            self.fail("a date such as 2026-12-31 or 31-12-2026", operand.position)
        year, month, day = (int(parts[name]) for name in ("year", "month", "day"))
        try:
            day_ = datetime.date(year + (2000 if len(parts["year"]) == 2 else 0), month, day).isoformat()
        except ValueError:
            self.fail("a day that exists", operand.position)
        return "" if day_ in BLANK_DATES else day_

    def pattern(self, operand: _Operand) -> tuple[tuple[str | None, ...], ...]:
        parts: list[list[str | None]] = [[]]
        for piece in operand.pieces:
            if piece.kind == "any":
                parts.append([])
            else:
                text = unicodedata.normalize("NFC", piece.text)
                parts[-1].append(None if piece.kind == "one" else self.cased(text, operand))
        return tuple(map(tuple, parts))

    def option(self, operator: Operator, operand: _Operand, options: tuple[_Option, ...]) -> Node:
        if operator in ("=", "<>"):
            chosen = self.options_like(operand, options) if operand.wild else [self.ordinal(operand, options)]
            return _one_of([options[index] for index in chosen], negated=operator == "<>")
        if operand.wild:
            self.fail("a value without * and ? behind %(operator)s", operand.position, operator=operator)
        limit = self.ordinal(operand, options)
        below, same, above = options[:limit], options[limit : limit + 1], options[limit + 1 :]
        chosen_by = {"<": below, "<=": below + same, ">": above, ">=": same + above}
        return _one_of(chosen_by[operator])

    def option_range(self, low: _Operand, high: _Operand, options: tuple[_Option, ...]) -> Node:
        first = self.ordinal(low, options) if low.pieces else 0
        last = self.ordinal(high, options) if high.pieces else len(options) - 1
        return _one_of(options[first : last + 1])

    def ordinal(self, operand: _Operand, options: tuple[_Option, ...]) -> int:
        wanted = operand.text.strip().casefold()
        known = {
            name.casefold(): index
            for index, (spellings, names) in enumerate(options)
            for name in (*spellings, *names)
        }
        if wanted not in known:
            shown = (
                [names[0] or "''" for names, _ in options] if self.column.kind == "option" else ["Yes", "No"]
            )
            self.fail("one of %(names)s", operand.position, names=", ".join(shown))
        return known[wanted]

    def options_like(self, operand: _Operand, options: tuple[_Option, ...]) -> list[int]:
        folded = _Operand(operand.pieces, fold=True, position=operand.position)
        wanted = regular_expression(Like(self.pattern(folded)))
        return [
            index
            for index, (spellings, names) in enumerate(options)
            if any(wanted.match(name.casefold()) for name in (*spellings, *names))
        ]


def _one_of(options: list[_Option] | tuple[_Option, ...], *, negated: bool = False) -> OneOf:
    return OneOf(frozenset(spelling for spellings, _ in options for spelling in spellings), negated)


def regular_expression(like: Like) -> re.Pattern[str]:
    """Return the pattern as a regular expression for ``match``.

    Each part between two ``*`` is an atomic group that takes its first place, which for such patterns is always
    right; so a filter like ``*a*a*a*a*`` can't make the engine try all combinations.
    """
    first, *rest = ("".join("." if text is None else re.escape(text) for text in part) for part in like.parts)
    if not rest:
        return re.compile(rf"{first}\Z", re.DOTALL)
    *middle, last = rest
    groups = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(rf"{first}{groups}.*{last}\Z", re.DOTALL)
