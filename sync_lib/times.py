"""Times as the staging database writes them: UTC text of 24 characters, so that text order is time order."""

from __future__ import annotations

from datetime import datetime, timedelta


def shift(stamp: str, seconds: float) -> str:
    """Return a stamp of 24 characters, moved by seconds."""
    moment = datetime.fromisoformat(stamp)
    try:
        return to_text(moment + timedelta(seconds=seconds))
    except OverflowError:
        # BC's "no time" lies at the very beginning of the calendar: nothing is before it.
        return stamp


def before(stamp: str, seconds: float) -> str:
    """Return where a read starts that goes back behind a stamp of a service: after BC's "no time" in any case.

    1753 is where SQL Server's ``datetime`` begins; rows with no time were never touched since BC keeps stamps.
    """
    return max(shift(stamp, -seconds), "1753-01-01T00:00:00.000Z")


def to_text(moment: datetime) -> str:
    """Return a UTC time as the staging database writes it: ``2026-03-02T09:15:04.123Z``."""
    # The year by itself: strftime writes that of BC's "no time" with one digit.
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
