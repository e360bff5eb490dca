"""One read of a list of Business Central: how large its pages are, and what its answers say of the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from sync_lib.clients.odata import to_stamp

#: Rows to a page: what BC sends at most, and below which a smaller page helps no more
#: (learn.microsoft.com, "Operational limits", "Server-driven paging": smaller pages against time-outs).
MOST, FEWEST = 20_000, 500


class Listing:
    """The pages of one read; made anew for each, with the size that the last one ended with.

    Args:
        rows: How many rows to ask for at a time.
        remember: Called with a smaller size, once a page of that size was answered.

    Attributes:
        rows: How many rows the next page is asked to have.
        troubled: Some page had to be asked for again with fewer rows.
        date: The time of the service by its latest answer, "" where none said it.
        newest: The newest stamp read, no later than the answer that it came in says it is.
    """

    def __init__(self, rows: int = MOST, remember: Callable[[int], None] = lambda _rows: None) -> None:
        self.rows = rows
        self.troubled = False
        self.date = ""
        self.newest = ""
        self._remember = remember
        self._known = rows

    @property
    def is_smallest(self) -> bool:
        """Whether fewer rows would help no more."""
        return self.rows <= FEWEST

    def headers(self) -> Mapping[str, str]:
        """Return the header that asks for a page."""
        return {"Prefer": f"odata.maxpagesize={self.rows}"}

    def shrink(self) -> bool:
        """Ask for half as many rows; False where that helps no more."""
        if self.is_smallest:
            return False
        self.troubled = True
        self.rows = max(self.rows // 2, FEWEST)
        return True

    def answered(self, headers: Mapping[str, str]) -> None:
        """Take note of a page: its size works, and the service says what time it is."""
        if self.rows != self._known:
            self._known = self.rows
            self._remember(self.rows)
        self.date = _stamp_of(headers.get("Date")) or self.date

    def saw(self, stamp: str) -> None:
        """Take note of a row's stamp. One that lies in the future would hide what changes until then."""
        bounded = min(stamp, self.date) if self.date else stamp
        self.newest = max(self.newest, bounded)


def _stamp_of(header: str | None) -> str:
    """Return the header ``Date`` as a stamp of 24 characters, or "" where it is none."""
    try:
        moment = parsedate_to_datetime(header or "")
    except ValueError:
        return ""
    return to_stamp(moment.replace(tzinfo=moment.tzinfo or UTC).isoformat())
