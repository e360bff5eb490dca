"""Figures per day, for trends: quiet runs and old changes are removed before 30 days have passed.

Days are those of UTC, by this database's clock. No row says anything about a single contact.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from sync_lib.store.tables.schema import metadata


def _figures() -> list[Column[int] | Column[str]]:
    return [
        # As the last comparison of the day found them; NULL: there was none.
        Column("contacts", Integer),
        Column("agreed", Integer),
        Column("rejected", Integer),
        Column("held", Integer),
        # What was written that day.
        Column("written_outlook", Integer, nullable=False, server_default="0"),
        Column("written_business_central", Integer, nullable=False, server_default="0"),
        # JSON: seconds from edits to writes that day, upper limit -> number (``store.days``).
        Column("arrivals", Text, nullable=False, server_default="{}"),
    ]


profile_day = Table(
    "profile_day",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("day", String(10), primary_key=True),
    *_figures(),
    Index(None, "day"),
)

#: The same over the profiles of a company that are switched on, those with nothing to do that day among them.
company_day = Table(
    "company_day",
    metadata,
    Column("company", ForeignKey("company.id"), primary_key=True),
    Column("day", String(10), primary_key=True),
    *_figures(),
)
