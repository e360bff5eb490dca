"""BC companies in the staging database: identity, lookup tables, and the count that a person accepted (rules 8.3)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from sync_lib.errors import ConfigError
from sync_lib.model import Company
from sync_lib.store import holds
from sync_lib.store import tables as t


@dataclass(frozen=True, slots=True)
class CompanyRow:
    """A company as it is staged.

    Attributes:
        id: Key in the staging database.
        tenant_id: Entra ID tenant; with ``environment`` and ``company_id`` it tells copies of a company apart.
        environment: BC environment.
        company_id: BC's own id.
        name: Name when it was last listed.
        phone_region: ISO 3166 alpha-2; phone numbers without a country belong there.
        generation: Grows with every stage that changed a contact.
        accepted_count: Number of contacts that the last believable complete read found; None before the first.
        countries: BC's table Country/Region as JSON, code -> name; "" where it could never be read.
    """

    id: int
    tenant_id: str
    environment: str
    company_id: str
    name: str
    phone_region: str
    generation: int
    accepted_count: int | None
    countries: str

    @property
    def country_names(self) -> dict[str, str]:
        """BC's table Country/Region, code -> name."""
        names: dict[str, str] = json.loads(self.countries or "{}")
        return names

    @property
    def countries_read(self) -> bool:
        """Whether the table is known, if not as it is today."""
        return bool(self.countries)


_COLUMNS = tuple(t.company.c[name] for name in CompanyRow.__dataclass_fields__)


def read_company(conn: Connection, company: int) -> CompanyRow:
    """Return a company by its key.

    Raises:
        ConfigError: There is none.
    """
    row = conn.execute(select(*_COLUMNS).where(t.company.c.id == company)).first()
    if row is None:
        raise ConfigError(f"The staging database has no company {company}: clear the task plan_run.")
    return CompanyRow(*row)


def find_company(conn: Connection, name: str) -> CompanyRow:
    """Return the company that a person means by its name, its id in BC, or its key in the staging database.

    Raises:
        ConfigError: None is called so, or several are.
    """
    wanted = name.strip().casefold()
    rows = [CompanyRow(*row) for row in conn.execute(select(*_COLUMNS).order_by(t.company.c.id))]
    found = [row for row in rows if wanted in (row.name.casefold(), row.company_id.casefold(), str(row.id))]
    if not found:
        known = ", ".join(repr(row.name) for row in rows) or "none"
        raise ConfigError(f"No company {name!r} has been synced. Those that have: {known}.")
    if len(found) > 1:
        keys = ", ".join(f"{row.id} in environment {row.environment}" for row in found)
        raise ConfigError(f"Several companies are called {name!r}. Name one by its key: {keys}.")
    return found[0]


def write_company(conn: Connection, tenant_id: str, environment: str, found: Company) -> int:
    """Insert a company that BC listed, or take over its name; return its key."""
    c = t.company.c
    identity = {"tenant_id": tenant_id, "environment": environment, "company_id": found.id}
    known = conn.scalar(select(c.id).where(*(c[name] == value for name, value in identity.items())))
    if known is not None:
        conn.execute(update(t.company).where(c.id == known, c.name != found.name).values(name=found.name))
        return int(known)
    return int(
        conn.execute(insert(t.company).values(name=found.name, **identity).returning(c.id)).scalar_one()
    )


def write_countries(conn: Connection, company: int, countries: dict[str, str]) -> None:
    """Store BC's table Country/Region; a row that is as it was is not written."""
    text = json.dumps(countries, sort_keys=True, ensure_ascii=False)
    c = t.company.c
    conn.execute(update(t.company).where(c.id == company, c.countries != text).values(countries=text))


def miss_countries(conn: Connection, company: int) -> None:
    """Note that BC's table Country/Region may not be read; one that was read before goes on to serve."""
    c = t.company.c
    conn.execute(update(t.company).where(c.id == company, c.countries == "{}").values(countries=""))


def accept_count(conn: Connection, company: int, count: int) -> None:
    """Record the number of contacts of a believable complete read; nothing waits for a person any more."""
    c = t.company.c
    stale = c.accepted_count.is_distinct_from(count)
    conn.execute(update(t.company).where(c.id == company, stale).values(accepted_count=count))
    holds.supersede_company(conn, company)
