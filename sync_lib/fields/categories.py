"""The Outlook category of every item that the sync made or adopted; the user's own ones are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CATEGORY = "Business Central"


def ensure_category(record: Mapping[str, Any]) -> list[str] | None:
    """Return the categories with ``CATEGORY`` added for an adopted item, or None when it has it already."""
    categories = _present(record)
    if any(text.casefold() == CATEGORY.casefold() for text in categories):
        return None
    return [*categories, CATEGORY]


def without_category(record: Mapping[str, Any]) -> list[str] | None:
    """Return the categories without ``CATEGORY``, for an item that is left, or None when it has none of ours."""
    categories = _present(record)
    kept = [text for text in categories if text.casefold() != CATEGORY.casefold()]
    return None if kept == categories else kept


def _present(record: Mapping[str, Any]) -> list[str]:
    found = record.get("categories")
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
