"""Whether services, companies and mailboxes are still those that profiles were bound to (rules 1).

Ids decide, never names: a company is its id in the tenant and environment that it was first read from, a mailbox is
its Graph user id. Names are followed.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from sync_lib.errors import AccessDeniedError, NotFoundError, ProfileError, SyncError
from sync_lib.model import Company
from sync_lib.run import folders
from sync_lib.services import Services
from sync_lib.store import companies, company_names
from sync_lib.store.companies import CompanyRow
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile

logger = logging.getLogger(__name__)


def check_environment(services: Services, company: CompanyRow) -> None:
    """Refuse a company while the Connection points to another tenant or environment than it was first read from.

    A copied environment keeps all ids: reading the copy would take its edits for those of the company.

    Raises:
        ProfileError: It does; nothing of the company may be read or written.
    """
    here = services.business_central_settings.environment
    same_place = company.environment.casefold() == here.casefold()
    if same_place and services.is_own_tenant(company.tenant_id):
        _offer(services, company, "", "")
        return
    _offer(services, company, services.tenant_id, here)
    raise ProfileError(
        "environment_changed",
        f"The Connection business_central_default points to environment {here!r}; the company {company.name!r} was "
        f"first read from {company.environment!r}. Nothing of it is read or written.",
        remedy="Point the Connection back; or, if the company has moved there for good, accept it: "
        f"contact-sync companies accept-move {company.id} {here!r}.",
    )


def explain_unread(services: Services, company_id: str, error: SyncError) -> SyncError:
    """Return the error that says why the contacts of a company cannot be read, and what a person can do.

    Args:
        services: The services.
        company_id: The company's GUID.
        error: What reading its contacts came to; it is returned where it says enough.
    """
    if not isinstance(error, NotFoundError | AccessDeniedError):
        return error
    is_extended = services.business_central_settings.field_profile == "extended"
    if is_extended and _answers(services, company_id):
        return ProfileError(
            "extended_page_missing",
            "The Connection's field profile is extended, and Business Central does not answer on the page that "
            "the project's extension adds, or lets nobody read it.",
            remedy="Install the extension and give the app its permission set; or set field_profile to standard.",
        )
    # A refusal without a code is none of Business Central's: something on the way answered.
    if not error.code:
        return error
    if isinstance(error, NotFoundError):
        return ProfileError(
            "company_not_found",
            f"Business Central no longer has the company, or does not show it to the app: {error}",
            remedy="Give the app access to it in BC, or end its profiles.",
        )
    return ProfileError(
        "company_access_denied",
        f"Business Central does not let the app read the contacts of this company: {error}",
    )


def _answers(services: Services, company_id: str) -> bool:
    """Return whether a company answers on a page of any BC: one that is gone answers on none."""
    try:
        services.business_central.fetch_countries(company_id)
    except SyncError:
        return False
    return True


def _offer(services: Services, company: CompanyRow, tenant_id: str, environment: str) -> None:
    if (tenant_id, environment) != (company.offered_tenant_id, company.offered_environment):
        with services.engine.begin() as conn:
            companies.write_offer(conn, company, tenant_id, environment)


def list_companies(services: Services) -> list[Company]:
    """Return the companies that the Connection lists, and remember them, for pages to offer and files to name."""
    listed = services.business_central.fetch_companies()
    with services.engine.begin() as conn:
        company_names.write_listed(conn, listed, now=services.now())
    return listed


def bind_company(conn: Connection, services: Services, profile: int, found: Company) -> None:
    """Bind a profile to a company that BC listed."""
    settings, tenant = services.business_central_settings, services.tenant_id
    row = companies.write_company(conn, tenant, settings.environment, found)
    written = settings.tenant_id.lower()
    if written != tenant and companies.read_company(conn, row).tenant_id == tenant:
        # An earlier version wrote the tenant into its keys as the Connection spells it.
        companies.write_former(conn, row, written, settings.environment, until=services.now())
    profiles.bind_profile(conn, profile, company=row)


def follow_company(services: Services, company: CompanyRow) -> CompanyRow:
    """Take over the name that Business Central's list gives a company today; it is known by its id."""
    listed = {each.id: each.name for each in list_companies(services)}
    name = listed.get(company.company_id) or company.name
    if name == company.name:
        return company
    logger.info("the company has another name in Business Central now")
    with services.engine.begin() as conn:
        profiles.follow_company_name(conn, company.id, company.name, name, now=services.now())
        return companies.read_company(conn, company.id)


# -- mailboxes -------------------------------------------------------------------------------------------------------


def follow_mailbox(services: Services, profile: Profile) -> Profile:
    """Take over the address that a mailbox has today; it is known by its user id.

    Raises:
        ProfileError: The account is gone; perhaps another one has its address.
    """
    if not profile.graph_user_id:
        return profile
    try:
        user = services.outlook.fetch_user(profile.graph_user_id)
    except NotFoundError as error:
        if not error.in_form:
            raise
        raise folders.mailbox_error(services.outlook, profile, error) from error
    except AccessDeniedError:
        # Only the first sync needs the right to read users.
        return profile
    address = user.principal_name
    if not address or address.casefold() == profile.mailbox.casefold():
        return profile
    logger.info("the mailbox has another address now")
    with services.engine.begin() as conn:
        profiles.follow_mailbox(conn, profile, address, now=services.now())
        return profiles.read_profile(conn, profile.id)
