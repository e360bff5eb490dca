"""Whether services, companies and mailboxes are still those that profiles were bound to (rules 1).

Ids decide, never names: a company is its id in the tenant and environment that it was first read from, a mailbox is
its Graph user id. Names are followed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from sync_lib.errors import ProfileError
from sync_lib.model import Company
from sync_lib.store import companies, profiles
from sync_lib.store.companies import CompanyRow

if TYPE_CHECKING:
    from sync_lib.pipeline import Edges

logger = logging.getLogger(__name__)


def check_environment(edges: Edges, company: CompanyRow) -> None:
    """Refuse a company while the Connection points to another tenant or environment than it was first read from.

    A copied environment keeps all ids: reading the copy would take its edits for those of the company.

    Raises:
        ProfileError: It does; nothing of the company may be read or written.
    """
    here = edges.business_central_settings.environment
    same_place = company.environment.casefold() == here.casefold()
    if same_place and edges.is_own_tenant(company.tenant_id):
        _offer(edges, company, "", "")
        return
    _offer(edges, company, edges.tenant_id, here)
    raise ProfileError(
        "environment_changed",
        f"The Connection business_central_default points to environment {here!r}; the company {company.name!r} was "
        f"first read from {company.environment!r}. Nothing of it is read or written.",
        remedy="Point the Connection back; or, if the company has moved there for good, accept it: "
        f"contact-sync companies accept-move {company.id} {here!r}.",
    )


def _offer(edges: Edges, company: CompanyRow, tenant_id: str, environment: str) -> None:
    if (tenant_id, environment) != (company.offered_tenant_id, company.offered_environment):
        with edges.engine.begin() as conn:
            companies.write_offer(conn, company, tenant_id, environment)


def bind_company(conn: Connection, edges: Edges, profile: int, found: Company) -> None:
    """Bind a profile to a company that BC listed."""
    settings, tenant = edges.business_central_settings, edges.tenant_id
    row = companies.write_company(conn, tenant, settings.environment, found)
    written = settings.tenant_id.lower()
    if written != tenant and companies.read_company(conn, row).tenant_id == tenant:
        # An earlier version wrote the tenant into its keys as the Connection spells it.
        companies.write_former(conn, row, written, settings.environment, until=edges.now())
    profiles.bind_profile(conn, profile, company=row)
