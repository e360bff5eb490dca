"""Which company a name means: Business Central's id, today's name, or a name that it had before (rules 1).

Besides the companies that profiles are bound to, those that the Connection listed last are known by id and name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from sync_lib.model import Company
from sync_lib.store import runs
from sync_lib.store import tables as t

_FACT = ("business_central", "companies")


def write_listed(conn: Connection, listed: Sequence[Company], *, now: str) -> None:
    """Remember which companies the Connection lists, for pages to offer and for files to name."""
    text = json.dumps([[each.id, each.name] for each in listed], ensure_ascii=False)
    runs.write_fact(conn, *_FACT, text, now)


def read_listed(conn: Connection) -> list[Company]:
    """Return the companies that the Connection listed when it was last asked."""
    return [Company(*row) for row in json.loads(runs.read_fact(conn, *_FACT) or "[]")]


def find_unlisted(conn: Connection, name: str) -> list[str]:
    """Return which companies there are, where a name means none of those that are known; else an empty list.

    Nobody can say so before the Connection has been asked once.
    """
    listed = [each.name for each in read_listed(conn)]
    return [] if CompanyNames.read(conn).id_of(name) else listed


@dataclass(frozen=True, slots=True)
class CompanyNames:
    """Names in lower case -> Business Central's id; "" for a name that several companies have."""

    ids: Mapping[str, str]

    @classmethod
    def read(cls, conn: Connection) -> CompanyNames:
        """Return all that is known: a name of today counts before one that a company had earlier."""
        c, f = t.company.c, t.former_company_name.c
        bound = conn.execute(select(c.company_id, c.name)).all()
        former = select(c.company_id, f.name).join(t.company, c.id == f.company).order_by(f.until)
        today = [*((row[0], row[1]) for row in bound), *((each.id, each.name) for each in read_listed(conn))]
        ids = {row[1].casefold(): row[0].casefold() for row in conn.execute(former)}
        ids |= _unique(today)
        return cls(ids | {key.casefold(): key.casefold() for key, _ in today})

    def id_of(self, name: str) -> str:
        """Return the id of the company that a name, or an id, means; "" where that is not known."""
        return self.ids.get(name.strip().casefold(), "")


def _unique(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for key, name in named:
        found.setdefault(name.casefold(), set()).add(key.casefold())
    return {name: next(iter(keys)) if len(keys) == 1 else "" for name, keys in found.items()}
