"""BC companies in the staging database: identity, lookup tables, and the count that a person accepted (rules 8.3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from sync_lib.errors import ConfigError
from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import Company, HoldReason, Origin
from sync_lib.store import holds, runs
from sync_lib.store import tables as t

#: Why the first run of a profile is a restored one after its company was moved (rules 1 and 2.8).
MOVED = HoldReason.MOVED
#: Why it is one after BC showed an older state than it had shown before (rules 5).
WENT_BACK = HoldReason.BC_WENT_BACK
#: Rows to a page where nothing is remembered: what BC sends at most.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class CompanyRow:
    """A company as it is staged.

    Attributes:
        id: Key in the staging database.
        tenant_id: Entra ID tenant; with ``environment`` and ``company_id`` it distinguishes copies of a company.
        environment: BC environment.
        company_id: BC's own id.
        name: Name when it was last listed.
        phone_region: ISO 3166 alpha-2; phone numbers without a country belong there.
        generation: Grows with every stage that changed a contact.
        accepted_count: Number of contacts that the last believable complete read found; None before the first.
        countries: BC's table Country/Region as JSON, code -> name; "" where it could never be read.
        offered_tenant_id: Tenant that the Connection names instead, "" while it names this one.
        offered_environment: The same of the environment.
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
    offered_tenant_id: str = ""
    offered_environment: str = ""

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
_COMPANY = select(*_COLUMNS).where(t.company.c.id == bindparam("company"))
_FORMER = select(
    t.former_binding.c.tenant_id, t.former_binding.c.environment, t.former_binding.c.company_id
).where(t.former_binding.c.company == bindparam("company"))


def read_company(conn: Connection, company: int) -> CompanyRow:
    """Return a company by its key.

    Raises:
        ConfigError: There is none.
    """
    row = conn.execute(_COMPANY, {"company": company}).first()
    if row is None:
        raise ConfigError(f"The staging database has no company {company}: clear the task plan_run.")
    return CompanyRow(*row)


def read_companies(conn: Connection) -> list[CompanyRow]:
    """Return all companies that profiles have been bound to, in the order in which that happened."""
    return [CompanyRow(*row) for row in conn.execute(select(*_COLUMNS).order_by(t.company.c.id))]


def read_key(conn: Connection, company: CompanyRow) -> BcKey:
    """Return the key of a company, without a contact; it knows where the company was before (rules 1)."""
    found = conn.execute(_FORMER, {"company": company.id})
    former = tuple((row[0].lower(), row[1].lower(), row[2].lower()) for row in found)
    origin = Origin.MADE_BY_SYNC
    return BcKey(company.tenant_id, company.environment, company.company_id, "", origin, former)


def find_company(conn: Connection, name: str) -> CompanyRow:
    """Return the company that a person means by its name, its id in BC, or its key in the staging database.

    Raises:
        ConfigError: None is called so, or several are.
    """
    wanted = name.strip().casefold()
    rows = read_companies(conn)
    found = [row for row in rows if wanted in (row.name.casefold(), row.company_id.casefold(), str(row.id))]
    if not found:
        known = ", ".join(repr(row.name) for row in rows) or "none"
        raise ConfigError(f"No company {name!r} has been synced. Those that have: {known}.")
    if len(found) > 1:
        keys = ", ".join(f"{row.id} in environment {row.environment}" for row in found)
        raise ConfigError(f"Several companies are called {name!r}. Name one by its key: {keys}.")
    return found[0]


def write_company(conn: Connection, tenant_id: str, environment: str, found: Company) -> int:
    """Return the key of a company that BC listed; one that is not known yet is bound to where it was read from.

    A company is known by its id, wherever it was first read from: copies of an environment keep all ids, and a copy is
    never bound beside the company that it was made of (rules 1).
    """
    c = t.company.c
    here = (c.tenant_id == tenant_id) & (func.lower(c.environment) == environment.lower())
    known = conn.scalar(select(c.id).where(c.company_id == found.id).order_by(here.desc(), c.id).limit(1))
    if known is not None:
        return int(known)
    values = {"tenant_id": tenant_id, "environment": environment, "company_id": found.id, "name": found.name}
    return int(conn.execute(insert(t.company).values(values).returning(c.id)).scalar_one())


def find_listed(conn: Connection, listed: Sequence[Company], name: str) -> Company | None:
    """Return the company of BC's list that a person means by its id or name, or by a name that it had before."""
    wanted = name.strip().casefold()
    for company in listed:
        if wanted in (company.id.casefold(), company.name.casefold()):
            return company
    former = find_former_name(conn, name)
    return next((each for each in listed if former and each.id == former.company_id), None)


def find_former_name(conn: Connection, name: str) -> CompanyRow | None:
    """Return the company that had a name before, the one that had it last."""
    f, wanted = t.former_company_name.c, name.strip().casefold()
    for row in conn.execute(select(f.company, f.name).order_by(f.until.desc())):
        if row.name.casefold() == wanted:
            return read_company(conn, row.company)
    return None


# -- where a company is (rules 1) ------------------------------------------------------------------------------------


def write_offer(conn: Connection, company: CompanyRow, tenant_id: str, environment: str) -> None:
    """Note where the Connection points instead, or with blanks that it points to the company again."""
    if (tenant_id, environment) != (company.offered_tenant_id, company.offered_environment):
        values = {"offered_tenant_id": tenant_id, "offered_environment": environment}
        conn.execute(update(t.company).where(t.company.c.id == company.id).values(values))


def write_former(conn: Connection, company: int, tenant_id: str, environment: str, *, until: str) -> None:
    """Let keys and markers of another binding of a company count as ours."""
    f, row = t.former_binding.c, read_company(conn, company)
    values = {"tenant_id": tenant_id, "environment": environment, "company_id": row.company_id}
    same = [f.company == company, *(f[name] == value for name, value in values.items())]
    conn.execute(delete(t.former_binding).where(*same))
    conn.execute(insert(t.former_binding).values(company=company, until=until, **values))


def accept_move(conn: Connection, company: CompanyRow, environment: str, *, now: str) -> None:
    """Bind a company to where the Connection points; what it was bound to counts as ours (rules 1).

    The next runs read it in full and take each difference for a conflict, and hold what they plan.

    Args:
        conn: Inside a transaction.
        company: The company.
        environment: Name of the environment that the person accepts.
        now: The time.

    Raises:
        ConfigError: No run has seen the Connection point there, or another company is bound to that place.
    """
    offered = company.offered_environment
    if not offered:
        raise ConfigError(f"The Connection points to where {company.name!r} is: there is no move to accept.")
    if offered.casefold() != environment.strip().casefold():
        raise ConfigError(
            f"The last run of {company.name!r} found environment {offered!r}, not {environment!r}: name that one, or "
            "correct the Connection business_central_default and let contact_sync run."
        )
    _refuse_bound(conn, company)
    write_former(conn, company.id, company.tenant_id, company.environment, until=now)
    tenant, f = company.offered_tenant_id, t.former_binding.c
    back = (f.company == company.id, f.tenant_id == tenant, func.lower(f.environment) == offered.lower())
    conn.execute(delete(t.former_binding).where(*back))
    moved = {"tenant_id": tenant, "environment": offered, "offered_tenant_id": "", "offered_environment": ""}
    conn.execute(update(t.company).where(t.company.c.id == company.id).values(moved))
    # Everything is read anew, and each pair is looked at: its key is rewritten.
    runs.write_cursor(conn, "business_central", company.id, updated_at=now, position="")
    hold_next_runs(conn, company.id, MOVED)
    c = t.sync_profile.c
    synced = (c.company == company.id) & (c.folder_id.is_not(None))
    ours = t.coupling.c.profile.in_(select(c.id).where(synced))
    conn.execute(update(t.coupling).where(ours).values(attention=True))


def _refuse_bound(conn: Connection, company: CompanyRow) -> None:
    c = t.company.c
    place: tuple[Any, ...] = (
        c.id != company.id,
        c.company_id == company.company_id,
        c.tenant_id == company.offered_tenant_id,
        func.lower(c.environment) == company.offered_environment.lower(),
    )
    other = conn.scalar(select(c.id).where(*place))
    if other is not None:
        raise ConfigError(
            f"The company {company.name!r} of environment {company.offered_environment!r} is bound already, as company "
            f"{other}: its profiles are those that sync it. Switch off the profiles of company {company.id}."
        )


# -- what BC says of a company ---------------------------------------------------------------------------------------


def write_countries(conn: Connection, company: int, countries: dict[str, str]) -> None:
    """Store BC's table Country/Region; a row that is as it was is not written."""
    text = json.dumps(countries, sort_keys=True, ensure_ascii=False)
    c = t.company.c
    conn.execute(update(t.company).where(c.id == company, c.countries != text).values(countries=text))


def miss_countries(conn: Connection, company: int) -> None:
    """Note that BC's table Country/Region may not be read; one that was read before goes on to serve."""
    c = t.company.c
    conn.execute(update(t.company).where(c.id == company, c.countries == "{}").values(countries=""))


def hold_next_runs(conn: Connection, company: int, reason: str) -> None:
    """Let the next run of each synced profile of a company be full, take differences for conflicts, and be held."""
    c = t.sync_profile.c
    synced = (c.company == company) & (c.folder_id.is_not(None))
    conn.execute(update(t.sync_profile).where(synced).values(restored_by=reason))


# -- sizes of pages --------------------------------------------------------------------------------------------------

_KINDS = ("full", "changes", "scan")


def read_page_size(conn: Connection, company: int, kind: str) -> int:
    """Return how many rows a read of this kind asks for at a time: what worked the last time (rules 5)."""
    return int(runs.read_fact(conn, f"company:{company}", f"page_size:{kind}") or MOST)


def write_page_size(conn: Connection, company: int, kind: str, rows: int, now: str) -> None:
    """Remember a size of page that was answered."""
    runs.write_fact(conn, f"company:{company}", f"page_size:{kind}", str(rows), now)


def double_page_sizes(conn: Connection, company: int, now: str) -> None:
    """Let all reads of a company ask for more again, after a full read without trouble."""
    for kind in _KINDS:
        rows = read_page_size(conn, company, kind)
        if rows < MOST:
            write_page_size(conn, company, kind, min(rows * 2, MOST), now)


# -- counts ----------------------------------------------------------------------------------------------------------


def accept_count(conn: Connection, company: int, count: int) -> None:
    """Record the number of contacts of a believable complete read; nothing waits for a person any more."""
    c = t.company.c
    stale = c.accepted_count.is_distinct_from(count)
    conn.execute(update(t.company).where(c.id == company, stale).values(accepted_count=count))
    holds.supersede_company(conn, company)
