"""A profile's filter: groups, one of which must hold, of (BC field, expression) pairs that must all hold (rules 4).

pandas decides which contacts match. What SQL can say exactly, or at least without losing a contact, is handed out as
a small tree, so that the store reads fewer rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields import filter_language as language
from sync_lib.fields.bc_columns import BC_COLUMNS, BcColumn, columns_of
from sync_lib.fields.filter_language import Node

if TYPE_CHECKING:
    import pandas as pd

Operator = Literal["=", "<>", "<", "<=", ">", ">=", "like"]

#: A BC field and a filter expression.
Pair = tuple[str, str]
#: Conditions that must all hold.
Group = tuple[Pair, ...]
#: What a filter is: one of these must hold. No group at all: no filter, everything holds.
Groups = tuple[Group, ...]

#: Kinds of columns that hold what people typed, in whatever Unicode form.
_TYPED = ("text", "code")
#: Escapes ``%``, ``_`` and itself in the value of a ``like`` condition.
LIKE_ESCAPE = "\\"
#: Characters that a filter has at most, names of fields included (rules 4).
MOST_CHARACTERS = 2_000
#: Terms of one SQL condition; SQLite takes no tree that is deeper than 1,000.
MOST_TERMS = 400


@dataclass(frozen=True, slots=True)
class Compare:
    """``column op value``; the value is a bound parameter. ``like`` takes ``%``, ``_`` and ``LIKE_ESCAPE``."""

    column: str
    op: Operator
    value: str


@dataclass(frozen=True, slots=True)
class In:
    """The column holds one of the values, or none of them where it is negated; bound parameters."""

    column: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All of these hold; none means everything."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of these holds; none means nothing."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Everything:
    """No condition: every row may match."""


Condition = Compare | In | And | Or | Everything


@dataclass(frozen=True, slots=True)
class _Clause:
    column: BcColumn
    expression: str
    node: Node


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter: one of its groups must hold. ``parse_filter`` makes it; no group: everything passes."""

    groups: tuple[tuple[_Clause, ...], ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the filter looks at, each once."""
        return tuple(dict.fromkeys(clause.column.name for group in self.groups for clause in group))

    def mask(self, frame: pd.DataFrame, *, me: str) -> pd.Series[bool]:
        """Return which rows of ``frame`` match.

        Args:
            frame: Columns of ``BC_COLUMNS`` as text, "" for blank.
            me: The profile's own salesperson code. While it is blank ``%me`` is nobody: a profile that has no code
                must not get all contacts that have none.
        """
        import pandas as pd

        mask = pd.Series(not self.groups, index=frame.index, dtype=bool)
        for group in self.groups:
            mask |= _group_mask(group, frame, me)
        return mask

    def passes(self, values: Mapping[str, str], *, me: str) -> bool:
        """Whether one contact of BC, by its columns, passes: what ``mask`` says of it.

        Without pandas, which takes longer to make a frame of one row than a page has for a thousand profiles.
        """
        return not self.groups or any(
            all(_holds(each.node, _text(values, each.column), me) for each in group) for group in self.groups
        )

    def to_sql(self, me: str) -> Condition:
        """Return a condition that every matching row fulfils, for SQL to read fewer rows.

        Exact are equality, options, booleans, dates and patterns where LIKE is case-sensitive; where it is not
        (SQLite) a pattern yields more, and so do letters with an accent and ``?``: BC may hold such a letter in two
        characters. Left to pandas are ranges and ``<``, ``>`` on text, whose order depends on the database's
        collation, everything with ``@``, and patterns behind ``<>``. The columns must hold "" for blank, not NULL, and
        codes in upper case as BC stores them.
        """
        if not self.groups:
            return Everything()
        return _either([_both(_sql(each.node, each.column, me) for each in group) for group in self.groups])

    def describe(self) -> str:
        """Return the filter as one line that names each field as BC's filter pane does."""
        groups = [
            "; ".join(f"{clause.column.caption}: {clause.expression}" for clause in group)
            for group in self.groups
        ]
        # The sign for "or" of the language itself, which needs no translation.
        return groups[0] if len(groups) == 1 else " | ".join(f"({group})" for group in groups)


def parse_filter(groups: Sequence[Sequence[Pair]], *, field_profile: str) -> Filter:
    """Return the filter that groups of (field, expression) pairs describe.

    Args:
        groups: Each field by its caption, English or Dutch, its API property or its column, in any case. An empty
            expression filters nothing, as in BC; so does a group that has no other ones.
        field_profile: ``standard`` or ``extended``: which fields there are.

    Raises:
        FilterSyntaxError: A field does not exist, or an expression can't be understood. Says where and why.
    """
    parsed = []
    for number, group in enumerate(groups, 1):
        try:
            parsed.append(_clauses(group, field_profile))
        except FilterSyntaxError as error:
            if len(groups) == 1:
                raise
            raise error.in_group(number) from error
    return Filter(tuple(parsed) if all(parsed) else ())


def _clauses(group: Sequence[Pair], field_profile: str) -> tuple[_Clause, ...]:
    clauses = []
    for name, expression in group:
        column = _column(name, expression, field_profile)
        node = language.parse_expression(column, name, expression)
        if node is not None:
            clauses.append(_Clause(column, expression.strip(), node))
    return tuple(clauses)


def check_length(groups: Sequence[Sequence[Pair]]) -> None:
    """Make sure that a filter that is to be stored is no longer than filters may be, over all of its groups.

    Raises:
        FilterSyntaxError: The condition in which it becomes too long.
    """
    left = MOST_CHARACTERS
    for number, group in enumerate(groups, 1):
        for name, expression in group:
            left -= len(name) + len(expression)
            if left < 0:
                error = FilterSyntaxError(
                    name,
                    expression,
                    max(0, len(expression) + left),
                    "the end: a filter has at most %(number)s characters",
                    number=MOST_CHARACTERS,
                )
                raise error.in_group(number) if len(groups) > 1 else error


# -- how it is written down -------------------------------------------------------------------------------------------


def to_written(groups: Sequence[Sequence[Pair]]) -> list[Any]:
    """Return a filter as JSON and histories hold it: one group without its bracket, several as lists of pairs."""
    written = [[list(pair) for pair in group] for group in groups]
    return written[0] if len(written) == 1 else written


def from_written(written: Iterable[Any]) -> Groups:
    """Return the filter that ``to_written`` wrote down, or that was written before filters had groups.

    Raises:
        ValueError, TypeError, KeyError: It is no such thing.
    """
    listed = list(written)
    if not listed:
        return ()
    # A pair begins with the name of a field, a group with a pair; an empty group begins with nothing.
    is_one = any(len(each) and isinstance(each[0], str) for each in listed)
    groups = [listed] if is_one else listed
    return tuple(tuple((str(name), str(expression)) for name, expression in group) for group in groups)


def _names(column: BcColumn) -> set[str]:
    names = (column.name, column.property, column.caption, *column.captions)
    return {name.casefold() for name in names}


_COLUMN_BY_NAME = {name: column for column in reversed(BC_COLUMNS) for name in _names(column)}


def find_column(name: str) -> BcColumn | None:
    """Return the field that a person means by this name, or None; not every field profile reads it."""
    return _COLUMN_BY_NAME.get(name.strip().casefold())


def _column(name: str, expression: str, field_profile: str) -> BcColumn:
    known = columns_of(field_profile)
    column = find_column(name)
    if column in known:
        return column
    if column is None:
        fields = ", ".join(column.caption for column in known)
        raise FilterSyntaxError(name, expression, 0, "a field of the contact: %(fields)s", fields=fields)
    raise FilterSyntaxError(
        name,
        expression,
        0,
        "a field of the field profile %(profile)r; %(caption)r needs 'extended'",
        profile=field_profile,
        caption=column.caption,
    )


# -- pandas -----------------------------------------------------------------------------------------------------------


def _group_mask(group: tuple[_Clause, ...], frame: pd.DataFrame, me: str) -> pd.Series[bool]:
    import pandas as pd

    mask = pd.Series(True, index=frame.index, dtype=bool)
    for clause in group:
        values = frame[clause.column.name].fillna("")
        if clause.column.kind == "date":
            values = values.where(~values.isin(language.BLANK_DATES), "")
        elif clause.column.kind in _TYPED:
            values = values.map(language.composed)
        mask &= _mask(clause.node, values, me)
    return mask


def _mask(node: Node, values: pd.Series[str], me: str) -> pd.Series[bool]:
    if isinstance(node, language.And | language.Or):
        first, *others = (_mask(term, values, me) for term in node.terms)
        for other in others:
            first = first & other if isinstance(node, language.And) else first | other
        return first
    if node.fold:
        # Python's own folding: that of the column's back end differs for a few letters.
        values = values.map(str.casefold)
    if isinstance(node, language.OneOf):
        found = values.isin(list(node.spellings))
        return ~found if node.negated else found
    return _leaf_mask(node, values, me)


def _leaf_mask(
    node: language.Compare | language.Like | language.Between, values: pd.Series[str], me: str
) -> pd.Series[bool]:
    if isinstance(node, language.Compare):
        if node.me:
            return _mine(node, values, me)
        return _compared(node.operator, values, node.value)
    if isinstance(node, language.Between):
        mask = values.notna()
        if node.low is not None:
            mask &= values >= node.low
        return mask if node.high is None else mask & (values <= node.high)
    found = values.map(language.matcher(node)).astype(bool)
    return ~found if node.negated else found


def _mine(node: language.Compare, values: pd.Series[str], me: str) -> pd.Series[bool]:
    found = values.eq(language.composed(me.strip().upper())) & bool(me.strip())
    return ~found if node.operator == "<>" else found


def _compared(operator: language.Operator, values: pd.Series[str], value: str) -> pd.Series[bool]:
    compare: dict[str, Callable[[str], pd.Series[bool]]] = {
        "=": values.eq,
        "<>": values.ne,
        "<": values.lt,
        "<=": values.le,
        ">": values.gt,
        ">=": values.ge,
    }
    return compare[operator](value)


# -- one contact ------------------------------------------------------------------------------------------------------


def _text(values: Mapping[str, str], column: BcColumn) -> str:
    text = values.get(column.name) or ""
    if column.kind in _TYPED:
        return language.composed(text)
    return "" if column.kind == "date" and text in language.BLANK_DATES else text


def _holds(node: Node, text: str, me: str) -> bool:
    if isinstance(node, language.And):
        return all(_holds(term, text, me) for term in node.terms)
    if isinstance(node, language.Or):
        return any(_holds(term, text, me) for term in node.terms)
    if node.fold:
        text = text.casefold()
    if isinstance(node, language.OneOf):
        return (text in node.spellings) != node.negated
    if isinstance(node, language.Between):
        return (node.low is None or text >= node.low) and (node.high is None or text <= node.high)
    if isinstance(node, language.Like):
        return bool(language.matcher(node)(text)) != node.negated
    if node.me:
        return (bool(me.strip()) and text == language.composed(me.strip().upper())) != (node.operator == "<>")
    return _COMPARED[node.operator](text, node.value)


_COMPARED: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


# -- SQL --------------------------------------------------------------------------------------------------------------


def _both(conditions: Iterable[Condition]) -> Condition:
    kept = tuple(condition for condition in conditions if not isinstance(condition, Everything))
    # Less than all of them still loses nobody.
    if not kept or len(kept) > MOST_TERMS:
        return Everything()
    return kept[0] if len(kept) == 1 else And(kept)


def _either(conditions: list[Condition]) -> Condition:
    if len(conditions) > MOST_TERMS or any(isinstance(each, Everything) for each in conditions):
        return Everything()
    return conditions[0] if len(conditions) == 1 else Or(tuple(conditions))


def _sql(node: Node, column: BcColumn, me: str) -> Condition:
    if isinstance(node, language.And):
        return _both([_sql(term, column, me) for term in node.terms])
    if isinstance(node, language.Or):
        return _either([_sql(term, column, me) for term in node.terms])
    if node.fold:
        return Everything()
    if isinstance(node, language.OneOf):
        return _sql_one_of(node, column)
    if column.kind == "date":
        return _sql_date(node, column)
    if isinstance(node, language.Compare) and node.operator in ("=", "<>"):
        value = me.strip().upper() if node.me else node.value
        if node.me and not value:
            return Everything() if node.operator == "<>" else Or(())
        if node.operator == "=" and not value.isascii():
            return Compare(column.name, "like", _alike(value))
        return Compare(column.name, node.operator, value)
    if isinstance(node, language.Like) and not node.negated:
        return Compare(column.name, "like", _like(node))
    return Everything()


def _sql_one_of(node: language.OneOf, column: BcColumn) -> Condition:
    values = tuple(sorted(node.spellings))
    if not node.negated and not all(map(str.isascii, values)):
        plain = frozenset(filter(str.isascii, values))
        others = [Compare(column.name, "like", _alike(value)) for value in values if value not in plain]
        return _either([*([_sql_one_of(language.OneOf(plain), column)] if plain else []), *others])
    if len(values) == 1:
        return Compare(column.name, "<>" if node.negated else "=", values[0])
    return In(column.name, values, node.negated)


def _sql_date(node: language.Compare | language.Like | language.Between, column: BcColumn) -> Condition:
    """Dates are ISO text of one width, so text order is time order in every collation; a blank one comes first."""
    if isinstance(node, language.Like):
        return Everything()
    if isinstance(node, language.Compare):
        if node.value:
            return Compare(column.name, node.operator, node.value)
        blank = language.OneOf(frozenset(language.BLANK_DATES), negated=node.operator == "<>")
        return _sql_one_of(blank, column) if node.operator in ("=", "<>") else Everything()
    ends: list[Condition] = []
    if node.low:
        ends.append(Compare(column.name, ">=", node.low))
    if node.high:
        ends.append(Compare(column.name, "<=", node.high))
    return _both(ends)


def _like(node: language.Like) -> str:
    # A place for one letter may hold two characters.
    parts = ("".join("%" if text is None else _alike(text) for text in part) for part in node.parts)
    return "%".join(parts)


def _alike(text: str) -> str:
    """Return a pattern for a text in any Unicode form, and for some others."""
    return "".join(_escaped(each) if each.isascii() else "%" for each in text)


def _escaped(text: str) -> str:
    for special in (LIKE_ESCAPE, "%", "_"):
        text = text.replace(special, LIKE_ESCAPE + special)
    return text
