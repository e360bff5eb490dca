"""Times as the staging database writes them: UTC text of 24 characters, so that text order is time order."""

from __future__ import annotations

from datetime import datetime, timedelta


def shift(stamp: str, seconds: float) -> str:
    """Return a stamp of 24 characters, moved by seconds."""
    moment = datetime.fromisoformat(stamp) + timedelta(seconds=seconds)
    return to_text(moment)


def to_text(moment: datetime) -> str:
    """Return a UTC time as the staging database writes it: ``2026-03-02T09:15:04.123Z``."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
