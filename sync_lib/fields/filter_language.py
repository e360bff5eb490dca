"""BC's filter language (rules 4): from the text of one expression to a tree, or an error that shows the place.

The grammar, loosest first, as the filter pane of Business Central has it::

    expression  = conjunction { "|" conjunction }
    conjunction = term { "&" term }
    term        = "(" expression ")" | [ "<>" | ">" | ">=" | "<" | "<=" | "=" ] operand | range
    range       = [ operand ] ".." [ operand ]
    operand     = [ "@" ] { text | "'" quoted "'" | "*" | "?" }

Inside quotes nothing is special but the quote itself, which is doubled; ``''`` alone is blank. ``@`` makes a value, or
both ends of a range, case-insensitive. Wildcards may be used where a whole value is compared: not in ranges, nor behind
``<`` or ``>``. What a value may be depends on the kind of the field.
"""

from __future__ import annotations

import datetime
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields.bc_columns import BcColumn

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
    """One of some spellings: of options and booleans, and of a list of values (``a|b``, ``<>a&<>b``)."""

    spellings: frozenset[str]
    negated: bool = False
    fold: bool = False


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


def composed(text: str) -> str:
    """Return a text in the Unicode form in which expressions and values are compared: a letter is one character."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    kind: Literal["text", "quoted", "any", "one"]


@dataclass(frozen=True, slots=True)
class _Operand:
    """What is between operators. No pieces: nothing does."""

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
        return composed("".join(piece.text for piece in self.pieces))


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
        return _joined(Or, self.merged(terms, "="))

    def conjunction(self) -> Node:
        terms = [self.term()]
        while self.take("&"):
            terms.append(self.term())
        return _joined(And, self.merged(terms, "<>"))

    def merged(self, terms: list[Node], operator: Operator) -> list[Node]:
        """Return the terms with those that compare with one value put together, so that a long list costs one look.

        A blank date has two spellings, so dates stay single.
        """
        values: dict[bool, list[Compare]] = {False: [], True: []}
        others: list[Node] = []
        for term in terms:
            single = isinstance(term, Compare) and term.operator == operator and not term.me
            if isinstance(term, Compare) and single and self.column.kind != "date":
                values[term.fold].append(term)
            else:
                others.append(term)
        for fold, found in values.items():
            if len(found) > 1:
                spellings = frozenset(each.value for each in found)
                others.append(OneOf(spellings, negated=operator == "<>", fold=fold))
            else:
                others += found
        return others

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
            self.fail("a value; %me is for the field Salesperson Code only", operand.position)
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
        # A letter and its accent may stand in two pieces, one of them quoted.
        for is_wild, pieces in itertools.groupby(
            operand.pieces, key=lambda piece: piece.kind in ("any", "one")
        ):
            texts = [piece.text for piece in pieces]
            if not is_wild:
                parts[-1].append(self.cased(composed("".join(texts)), operand))
                continue
            for sign in texts:
                if sign == "*":
                    parts.append([])
                else:
                    parts[-1].append(None)
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
        wanted = matcher(Like(self.pattern(folded)))
        return [
            index
            for index, (spellings, names) in enumerate(options)
            if any(wanted(name.casefold()) for name in (*spellings, *names))
        ]


def _one_of(options: list[_Option] | tuple[_Option, ...], *, negated: bool = False) -> OneOf:
    return OneOf(frozenset(spelling for spellings, _ in options for spelling in spellings), negated)


def matcher(like: Like) -> Callable[[str], bool]:
    """Return whether a text has the pattern, as a function; ``negated`` is the caller's.

    Each part between two ``*`` takes its first place, which for such patterns is always right. So the time grows with
    the text's length whatever the pattern is, which a regular expression does not promise.
    """
    first, *rest = map(_Part, like.parts)
    if not rest:
        return lambda text: len(text) == first.size and first.is_at(text, 0)
    *middle, last = rest
    shortest = sum(part.size for part in (first, *rest))

    def matches(text: str) -> bool:
        end = len(text) - last.size
        if len(text) < shortest or not first.is_at(text, 0) or not last.is_at(text, end):
            return False
        position = first.size
        for part in middle:
            position = part.find(text, position)
            if position < 0:
                return False
        return position <= end

    return matches


class _Part:
    """What is between two ``*``: characters, and places where any character may be."""

    def __init__(self, pieces: tuple[str | None, ...]) -> None:
        signs: list[str | None] = []
        for piece in pieces:
            signs.extend([None] if piece is None else piece)
        self.size = len(signs)
        self._runs = [
            (start, "".join(text for text in signs[start:end] if text is not None))
            for start, end in _runs_of(signs)
        ]
        self._whole = self._runs == [(0, "".join(text or "" for text in signs))]
        # Bit n of a character's mask: it fits at place n of the part.
        self._any = sum(1 << n for n, text in enumerate(signs) if text is None)
        self._masks: dict[str, int] = {}
        for n, text in enumerate(signs):
            if text is not None:
                self._masks[text] = self._masks.get(text, self._any) | 1 << n

    def is_at(self, text: str, position: int) -> bool:
        return all(text.startswith(run, position + start) for start, run in self._runs)

    def find(self, text: str, position: int) -> int:
        """Return where the first place from ``position`` on ends, or -1."""
        if not self._runs:
            return position + self.size if position + self.size <= len(text) else -1
        if self._whole:
            found = text.find(self._runs[0][1], position)
            return found + self.size if found >= 0 else -1
        # All places are followed at once, one bit each ("shift-and"): one step for each character of the text.
        states, complete = 0, 1 << (self.size - 1)
        for place in range(position, len(text)):
            states = (states << 1 | 1) & self._masks.get(text[place], self._any)
            if states & complete:
                return place + 1
        return -1


def _runs_of(signs: list[str | None]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each run of characters that are given."""
    start = 0
    for given, run in itertools.groupby(signs, key=lambda text: text is not None):
        end = start + len(list(run))
        if given:
            yield start, end
        start = end


def _joined(kind: type[And | Or], terms: list[Node]) -> Node:
    return terms[0] if len(terms) == 1 else kind(tuple(terms))
