"""Contacts of Business Central, through its API v2.0 or through our own API page (field profile ``extended``).

Reads go to the primary database, never to a replica (no ``Data-Access-Intent``): most of them precede a write, and
a replica lags. Pages are the server's, asked for by ``odata.maxpagesize``: ``$top`` would end the list without a
next link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sync_lib.clients.business_central_lookups import ContactLookups
from sync_lib.clients.business_central_records import (
    LANGUAGE,
    contacts_of,
    guid_of,
    iter_rows,
    stamp_of,
    to_contact,
    to_segment,
    to_select,
)
from sync_lib.clients.business_central_writes import ContactWrites
from sync_lib.clients.listing import MOST, Listing
from sync_lib.clients.session import ApiSession
from sync_lib.errors import AccessDeniedError, ConfigError, RecordError, ServiceError
from sync_lib.fields.bc_columns import columns_of
from sync_lib.model import BcContact, Company
from sync_lib.ports import BcUpdate, Colleague, Pages, WriteResult
from sync_lib.settings import BusinessCentralSettings

_API = "/api/v2.0"
_EXTENDED_API = "/api/contactSync/contacts/v1.0"


class BusinessCentralClient:
    """Reads and writes contacts of the companies of one environment."""

    def __init__(self, session: ApiSession, settings: BusinessCentralSettings) -> None:
        self._session = session
        self._columns = columns_of(settings.field_profile)
        environment = f"/{to_segment(settings.tenant_id)}/{to_segment(settings.environment)}"
        self._standard = environment + _API
        self._is_extended = settings.field_profile == "extended"
        self._api = environment + (_EXTENDED_API if self._is_extended else _API)
        self._select = to_select(self._columns)
        self._lookups = ContactLookups(session, self._api, self._columns)
        self._writes = ContactWrites(session, self._api, self._columns)

    def fetch_companies(self) -> list[Company]:
        """Return the companies that the app may see; address them by id, since names can change."""
        rows = iter_rows(self._session, f"{self._standard}/companies", {"$select": "id,name"}, Listing())
        return [Company(guid_of(row), str(row.get("name") or "")) for row in rows]

    def iter_contacts(
        self,
        company_id: str,
        *,
        since: str | None = None,
        page_size: int = MOST,
        listing: Pages | None = None,
    ) -> Iterator[BcContact]:
        """Yield contacts of any type, all of them or those changed at ``since`` or later.

        A contact that is edited while pages are read may come twice; the later one is newer. Rows become visible at
        commit but carry the time of writing, so a caller has to let ``since`` overlap. ``listing`` gets to know how
        large the pages were and what the newest stamp is.

        Raises:
            MalformedAnswerError: The list broke off, or a record is not one. What was yielded is then no whole.
        """
        query = {"$select": self._select}
        if since is not None:
            # ``ge``, as many rows share one stamp after a bulk update.
            query["$filter"] = f"lastModifiedDateTime ge {since}"
            query["$orderby"] = "lastModifiedDateTime,number"
        listing = listing or Listing(page_size)
        for row in iter_rows(self._session, self._contacts(company_id), query, listing):
            contact = to_contact(row, self._columns)
            listing.saw(contact.last_modified)
            yield contact

    def iter_ids(self, company_id: str, listing: Pages | None = None) -> Iterator[tuple[str, str]]:
        """Yield id and stamp of every contact: OData shows no deletions, the difference of two scans does."""
        query = {"$select": "id,lastModifiedDateTime"}
        for row in iter_rows(self._session, self._contacts(company_id), query, listing or Listing()):
            yield guid_of(row), stamp_of(row)

    def count_contacts(self, company_id: str) -> int | None:
        """Return how many contacts there are by BC's own count, or None where it does not say."""
        query = {"$count": "true", "$top": "1", "$select": "id"}
        path = self._contacts(company_id)
        try:
            body = self._session.request("GET", path, params=query, headers=LANGUAGE, same_size=False).body
        except (RecordError, AccessDeniedError, ServiceError):
            return None
        count = body.get("@odata.count")
        return count if isinstance(count, int) and count >= 0 else None

    def fetch_contacts(
        self, company_id: str, ids: Sequence[str], *, may_be_empty: bool = False
    ) -> dict[str, BcContact | None]:
        """Return contacts by id: None for one that BC does not have, nothing for one that cannot be judged."""
        return self._lookups.fetch_contacts(company_id, ids, may_be_empty=may_be_empty)

    def find_by_emails(
        self, company_id: str, emails: Sequence[str], *, since: str = ""
    ) -> dict[str, list[BcContact] | None]:
        """Return, for each address, the contacts whose e-mail field holds it; None where BC's answer proves nothing."""
        return self._lookups.find_by_emails(company_id, emails, since=since)

    def create_contacts(self, company_id: str, bodies: Sequence[Mapping[str, Any]]) -> list[WriteResult]:
        """Create contacts, each once, and return what each came to, in the order given."""
        return self._writes.create_contacts(company_id, bodies)

    def update_contacts(self, company_id: str, updates: Sequence[BcUpdate]) -> list[WriteResult]:
        """Change contacts that still have the version known, and return what each came to, in the order given."""
        return self._writes.update_contacts(company_id, updates)

    def fetch_countries(self, company_id: str) -> dict[str, str]:
        """Return BC's own table Country/Region: code to display name."""
        path = self._table(company_id, "countriesRegions")
        rows = iter_rows(self._session, path, {"$select": "code,displayName"}, Listing())
        return {str(row["code"]): str(row.get("displayName") or "") for row in rows if row.get("code")}

    def fetch_salespeople(self, company_id: str) -> list[Colleague]:
        """Return the salespeople of a company, by ``salespeoplePurchasers`` of API v2.0 or of our own API.

        Raises:
            NotFoundError: This Business Central, or the version of our extension in it, has no such list.
            AccessDeniedError, AuthError: The app may not read them.
        """
        return self._colleagues(company_id, "salespeoplePurchasers", ("code", "displayName", "email"))

    def fetch_users(self, company_id: str) -> list[Colleague]:
        """Return the users of Business Central, each with the user name as code; only our own API lists them.

        Raises:
            ConfigError: The field profile is not ``extended``.
            NotFoundError, AccessDeniedError, AuthError: As of ``fetch_salespeople``.
        """
        if not self._is_extended:
            raise ConfigError(
                "Business Central lists its users through our extension only: install it, and set field_profile to "
                "extended in the Connection business_central_default."
            )
        return self._colleagues(company_id, "users", ("userName", "displayName", "authenticationEmail"))

    def _colleagues(self, company_id: str, what: str, names: tuple[str, str, str]) -> list[Colleague]:
        # Of our own API where that is used, to which the extension's permission set gives the rights.
        path = f"{self._api}/companies({to_segment(company_id)})/{what}"
        rows = iter_rows(self._session, path, {"$select": ",".join(names)}, Listing())
        found = (Colleague(*(str(row.get(name) or "").strip() for name in names)) for row in rows)
        return [each for each in found if each.code]

    def _contacts(self, company_id: str) -> str:
        return f"{self._api}/{contacts_of(company_id)}"

    def _table(self, company_id: str, name: str) -> str:
        return f"{self._standard}/companies({to_segment(company_id)})/{name}"
