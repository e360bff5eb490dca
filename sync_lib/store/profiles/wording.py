"""Texts that keep their values apart, so that a page can say them in its own language."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sync_lib.errors import ConfigError, FilterSyntaxError
from sync_lib.store.profiles.values import WrongValue


class Worded(str):
    """A text in English that knows what it was made from.

    Attributes:
        template: The text with the places of ``values``: a page translates it.
        values: What is put in those places; what is worded itself is translated as well.
    """

    __slots__ = ("template", "values")

    template: str
    values: dict[str, Any]


class ListError(ConfigError):
    """Something in a file or a list of profiles is wrong, and nothing was changed.

    Attributes:
        problems: What is wrong, each by itself.
    """

    def __init__(self, head: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(head + "\n".join(self.problems))


def worded(template: str, /, **values: Any) -> Worded:
    """Return a text that keeps its template and values."""
    made = Worded(template % values if values else template)
    made.template, made.values = template, values
    return made


def placed(template: str, /, **values: Any) -> Worded:
    """Return a text that says where something is: of names and signs alone, the same in every language."""
    return worded(template, **values)


def why_wrong(error: WrongValue | FilterSyntaxError) -> Worded:
    """Return what is wrong with a value, or with a filter and where in it."""
    if isinstance(error, WrongValue):
        return worded(error.message, **error.values)
    place = {"field": error.field, "position": error.position + 1, "expression": error.expression}
    expected = worded(error.template, **error.values)
    if error.group:
        return worded(
            "The filter on %(field)r in group %(group)s is not understood at position %(position)s of "
            "%(expression)r: expected %(expected)s.",
            **place,
            group=error.group,
            expected=expected,
        )
    return worded(
        "The filter on %(field)r is not understood at position %(position)s of %(expression)r: expected %(expected)s.",
        **place,
        expected=expected,
    )
