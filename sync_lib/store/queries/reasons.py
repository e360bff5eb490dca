"""Why a profile's run came to what it did, as pages and messages both say it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from sync_lib.store import tables as t


def reason_of(own: Any) -> ColumnElement[str]:
    """Return why, "" where nothing is to be said; for a company that was not read, what it could not be read for.

    Args:
        own: The columns of ``run_profile``, or of an alias of it, in the query that asks.
    """
    mine, company = t.sync_profile.alias("of_reason").c, t.company.alias("its").c
    read = t.run_company.alias("its_read").c
    # A profile that has never synced is not bound to its company yet: it has the name alone.
    is_its = or_(mine.company == company.id, and_(mine.company.is_(None), mine.company_name == company.name))
    cause = (
        select(func.max(read.reason))
        .join(company.id.table, company.id == read.company)
        .join(mine.id.table, is_its)
        .where(read.run == own.run, mine.id == own.profile, read.state == "failed", read.reason != "")
        .correlate(own.run.table)
        .scalar_subquery()
    )
    said = func.coalesce(own.reason, "")
    return case((said == "company_not_read", func.coalesce(cause, said)), else_=said)
