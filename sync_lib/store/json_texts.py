"""JSON as the tables hold it: text without spaces, letters of all scripts as they are, keys in the order given.

Whole numbers have 64 bits at most, as in the tables' own columns: a longer one would come back as a fraction.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


def to_json(value: Any) -> str:
    """Return a value as the tables store it."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Halves of surrogate pairs, from a text that something cut: the slower encoder escapes them.
        return json.dumps(value, separators=(",", ":"))


def from_json(text: str) -> Any:
    """Return what a stored text says; both encoders' texts are understood, and those of versions before."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
