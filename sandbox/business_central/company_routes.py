"""The companies of Business Central and their small tables."""

from __future__ import annotations

import re
from typing import Any

from sandbox.business_central.answers import collection_of, root_of, write_context
from sandbox.business_central.places import Places
from sandbox.business_central.table import Company
from sandbox.guids import make_uuid
from sandbox.router import Router
from sandbox.wire import ApiError, Call, Reply, parse_integer
from sandbox.world import World


class CompanyRoutes:
    """``companies``, and what a company holds beside contacts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._places = Places(world)

    def register(self, router: Router) -> None:
        """Add the routes."""
        router.add("GET", "/companies", self.list_companies)
        router.add("GET", "/company/{company}", self.get_company)
        router.add("GET", "/company/{company}/countriesRegions", self.list_countries)
        router.add("GET", "/company/{company}/salespeoplePurchasers", self.list_salespeople)
        router.add("GET", "/company/{company}/users", self.list_users)

    def list_companies(self, call: Call, _values: dict[str, str]) -> Reply:
        """GET companies."""
        companies = [_write_company(c) for c in self.world.companies.values() if c.state != "missing"]
        text = call.query.get("$filter")
        if text:
            match = re.fullmatch(
                r"\s*(name|displayName|id)\s+eq\s+(?:'((?:[^']|'')*)'|([0-9a-fA-F-]{36}))\s*", text
            )
            if match is None:
                raise ApiError(400, "BadRequest", "The filter on companies is not supported.")
            wanted = match[3].lower() if match[3] else match[2].replace("''", "'")
            companies = [c for c in companies if c[match[1]] == wanted]
        return Reply(200, {"@odata.context": f"{root_of(call)}/$metadata#companies", "value": companies})

    def get_company(self, call: Call, values: dict[str, str]) -> Reply:
        """GET companies(id)."""
        return Reply(200, _write_company(self._places.company(call, values)))

    def list_countries(self, call: Call, values: dict[str, str]) -> Reply:
        """GET countriesRegions."""
        company = self._places.company(call, values)
        self._only_on(call, "standard")
        rows = [
            {
                "id": make_uuid("country", company.id, code),
                "code": code,
                "displayName": name,
                "addressFormat": "",
            }
            for code, name in company.countries.items()
        ]
        return Reply(200, self._small_page(call, rows, "countriesRegions"))

    def list_salespeople(self, call: Call, values: dict[str, str]) -> Reply:
        """GET salespeoplePurchasers."""
        company = self._places.company(call, values)
        rows = [
            {
                "id": make_uuid("salesperson", company.id, person["code"]),
                "code": person["code"],
                "displayName": person.get("displayName", ""),
                "email": person.get("email", ""),
                "email2": person.get("email2", ""),
                "phoneNo": "",
                "jobTitle": "",
                "commisionPercent": 0,
                "privacyBlocked": False,
                "blocked": False,
                "lastModifiedDateTime": "2022-01-03T08:00:00Z",
            }
            for person in company.salespeople
        ]
        if call.notes.get("profile") == "extended":
            shown = ("id", "code", "displayName", "email")
            rows = [{name: row[name] for name in shown} for row in rows]
        return Reply(200, self._small_page(call, rows, "salespeoplePurchasers"))

    def list_users(self, call: Call, values: dict[str, str]) -> Reply:
        """GET users: who has a mailbox is a user, in every company, unless the company says who its users are."""
        company = self._places.company(call, values)
        self._only_on(call, "extended")
        rows = [
            {
                "userSecurityId": make_uuid("bc user", user["userName"]),
                "userName": user["userName"],
                "displayName": user.get("displayName", ""),
                "state": user.get("state", "Enabled"),
                "authenticationEmail": user.get("authenticationEmail", ""),
            }
            for user in (company.users if company.users is not None else self._mailbox_users())
        ]
        return Reply(200, self._small_page(call, rows, "users"))

    def _mailbox_users(self) -> list[dict[str, str]]:
        return [
            {
                "userName": mailbox.user_principal_name.partition("@")[0].upper()[:50],
                "displayName": mailbox.display_name[:80],
                "authenticationEmail": mailbox.user_principal_name,
            }
            for mailbox in self.world.mailboxes.values()
        ]

    @staticmethod
    def _only_on(call: Call, profile: str) -> None:
        """Refuse what the other API does not have."""
        if call.notes.get("profile", "standard") != profile:
            raise ApiError(404, "BadRequest_ResourceNotFound", "Resource not found for the segment.")

    def _small_page(self, call: Call, rows: list[dict[str, Any]], what: str) -> dict[str, Any]:
        rows = [{"@odata.etag": f'W/"{next(iter(row.values()))}"', **row} for row in rows]
        start = parse_integer(call.query, "$skiptoken") or parse_integer(call.query, "$skip") or 0
        top = parse_integer(call.query, "$top")
        size = int(self.world.settings.limit("bc_max_page") or 20000)
        size = min(call.page_size() or size, size)
        shown = rows[start : start + (size if top is None else min(size, top))]
        if "$select" in call.query:
            names = {"@odata.etag", *call.query["$select"].replace(" ", "").split(",")}
            shown = [{name: value for name, value in row.items() if name in names} for row in shown]
        body: dict[str, Any] = {"@odata.context": write_context(call, what), "value": shown}
        if top is None and start + size < len(rows):
            body["@odata.nextLink"] = f"{collection_of(call)}?$skiptoken={start + size}"
        return body


def _write_company(company: Company) -> dict[str, Any]:
    return {
        "id": company.id,
        "systemVersion": "27.0.0.0",
        "timestamp": 1,
        "name": company.name,
        "displayName": company.display_name,
        "businessProfileId": "",
        "systemCreatedAt": "2022-01-03T08:00:00Z",
        "systemModifiedAt": "2022-01-03T08:00:00Z",
    }
