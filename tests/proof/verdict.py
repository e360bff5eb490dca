"""What says that an invariant does not hold."""

from __future__ import annotations


class Violation(AssertionError):  # noqa: N818 - the word of the quality plan
    """An invariant does not hold."""


def check(condition: object, invariant: str, message: str) -> None:
    """Raise with the invariant's number unless the condition holds."""
    if not condition:
        raise Violation(f"{invariant}: {message}")
