"""The page "Business Central": the contacts of a company."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.business_central.table import Company, Row
from sandbox.pages.places import RECENT, Action, Input, Line, Listing, listed
from sandbox.world import World

#: Fields of the form: their names in the API, the attributes of a row, and their titles.
_FIELDS = (
    ("displayName", "display_name", "Name"),
    ("companyName", "company_name", "Company"),
    ("jobTitle", "job_title", "Job title"),
    ("email", "email", "E-mail"),
    ("phoneNumber", "phone", "Business phone"),
    ("mobilePhoneNumber", "mobile", "Mobile phone"),
    ("addressLine1", "address1", "Street"),
    ("addressLine2", "address2", "Street, line 2"),
    ("postalCode", "postal_code", "Postal code"),
    ("city", "city", "City"),
    ("state", "state", "State or province"),
    ("country", "country", "Country"),
    ("website", "website", "Web page"),
    ("salespersonCode", "salesperson", "Salesperson"),
)
_TYPES = (("Person", "Person"), ("Company", "Company (type)"))


class BusinessCentral:
    """What is seen and done in a company."""

    name = "business-central"
    title = "Business Central"
    heads: tuple[str, ...] = ("Number", "Company", "E-mail", "Business phone", "Mobile phone")

    def listing(self, world: World, query: Mapping[str, str]) -> Listing:
        """Return the contacts of a company."""
        owners = tuple((company.id, company.name) for company in world.companies.values())
        if not owners:
            return Listing(owners, "", problem="There is no company.")
        company = world.company(query.get("owner") or owners[0][0])
        now = world.clock.now()
        lines = [_line(row, now) for row in company.visible(read_only=False).values()]
        shown, total = listed(lines, query.get("q", ""))
        return Listing(owners, company.id, lines=shown, total=total)

    def form(self, world: World, query: Mapping[str, str]) -> list[Input]:
        """Return the fields of a contact."""
        row = _find(world, query) if query.get("contact") else Row("", type="Person")
        company = _company(world, query)
        people = (("", "-"), *((each["code"], each["displayName"]) for each in company.salespeople))
        inputs = [
            Input("type", "Type", row.type, "choice", _TYPES),
            *(Input(name, title, getattr(row, attribute)) for name, attribute, title in _FIELDS[:-1]),
            Input("salespersonCode", "Salesperson", row.salesperson, "choice", people),
            Input("privacyBlocked", "Privacy blocked", "on" if row.privacy_blocked else "", "tick"),
        ]
        # A company's own name is its company's name; of a person it says to which of the companies it belongs.
        return [each for each in inputs if each.name != "companyName" or row.type == "Person"]

    def moves(self, world: World, query: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return nothing: contacts of a company are in no folder."""
        del world, query
        return ()

    def save(self, world: World, query: Mapping[str, str], values: Mapping[str, str]) -> list[Action]:
        """Return what stores these values."""
        body: dict[str, Any] = dict(values)
        if "privacyBlocked" in body:
            body["privacyBlocked"] = bool(body["privacyBlocked"])
        company = _company(world, query)
        if not query.get("contact"):
            return [_action("POST", f"/companies({company.id})/contacts", body)]
        return [_action("PATCH", _path(company, _find(world, query)), body)] if body else []

    def delete(self, world: World, query: Mapping[str, str]) -> list[Action]:
        """Return what deletes a contact."""
        return [_action("DELETE", _path(_company(world, query), _find(world, query)))]

    def move(self, world: World, query: Mapping[str, str], to: str) -> list[Action]:
        """Return nothing: there is nowhere to move to."""
        del world, query, to
        return []


def _line(row: Row, now: float) -> Line:
    flags = (
        *(("Company (type)",) if row.type == "Company" else ()),
        *(("Privacy blocked",) if row.privacy_blocked else ()),
    )
    company = row.company_name if row.type == "Person" else ""
    details = (row.number, company, row.email, row.phone, row.mobile)
    # Stamps are in milliseconds.
    return Line(row.id, row.display_name, details, flags, now - row.modified / 1000 < RECENT)


def _action(method: str, path: str, body: dict[str, Any] | None = None) -> Action:
    return {"service": "bc", "profile": "extended", "method": method, "path": path, "body": body or {}}


def _path(company: Company, row: Row) -> str:
    return f"/companies({company.id})/contacts({row.id})"


def _company(world: World, query: Mapping[str, str]) -> Company:
    return world.company(query["owner"])


def _find(world: World, query: Mapping[str, str]) -> Row:
    return _company(world, query).visible(read_only=False)[query["contact"]]
