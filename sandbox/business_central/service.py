"""Business Central's API: companies, contacts (two pages), countries and salespeople."""

from __future__ import annotations

import re
from typing import Any

from sandbox.business_central import rules
from sandbox.business_central.query import PAGES, Page, Query, etag
from sandbox.business_central.table import Company, Draft, Row, changed
from sandbox.guids import make_uuid
from sandbox.router import Router
from sandbox.wire import JSON_BC, ApiError, Call, Reply, parse_integer
from sandbox.world import World

_KEY = re.compile(r"^(?P<set>\w+)\((?:id=)?(?P<key>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\)$")
_ETAG = re.compile(r'^(W/)?"[^"]*"$')
EXTENDED_API = ["api", "contactsync", "contacts", "v1.0"]


class BusinessCentral:
    """Handles single operations, whether they came alone or in a batch."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.router = Router()
        add = self.router.add
        add("GET", "/", self.service_document)
        add("GET", "/$metadata", self.metadata)
        add("GET", "/companies", self.list_companies)
        add("GET", "/company/{company}", self.get_company)
        add("GET", "/company/{company}/contacts", self.list_contacts)
        add("GET", "/company/{company}/contacts/$count", self.count_contacts)
        add("POST", "/company/{company}/contacts", self.create_contact)
        add("GET", "/company/{company}/contact/{contact}", self.get_contact)
        add("PATCH", "/company/{company}/contact/{contact}", self.update_contact)
        add("DELETE", "/company/{company}/contact/{contact}", self.delete_contact)
        add("GET", "/company/{company}/countriesRegions", self.list_countries)
        add("GET", "/company/{company}/salespeoplePurchasers", self.list_salespeople)

    def handle(self, call: Call) -> Reply:
        """Return the answer to one operation, errors included.

        The path starts behind the API's own root (``companies...``).
        """
        original = call.segments
        try:
            if call.headers.get("data-access-intent", "").lower() == "readonly" and call.method != "GET":
                raise ApiError(400, "BadRequest", "Data-Access-Intent ReadOnly is not allowed with a write.")
            call.segments = _plain(original, call)
            handler, values = self.router.find(call)
            call.notes["pattern"] = _written(call.notes["pattern"])
            reply = handler(call, values)
        except ApiError as error:
            return problem(call, error)
        finally:
            call.segments = original
        reply.content_type = reply.content_type or JSON_BC
        return reply

    def _company(self, call: Call, values: dict[str, str]) -> Company:
        company = self.world.companies.get(values["company"].lower())
        if company is None or company.state == "missing":
            raise ApiError(404, "Internal_CompanyNotFound", "The company does not exist.")
        call.company = company.id
        if company.state == "forbidden" and call.identity != "user":
            message = "You do not have permission to read the table Contact in this company."
            raise ApiError(403, "Authorization_InsufficientPermissions", message)
        self._check_rights(call, company)
        return company

    @staticmethod
    def _check_rights(call: Call, company: Company) -> None:
        segment = call.segments[2] if len(call.segments) > 2 else ""
        status = company.rights.get({"contact": "contacts"}.get(segment, segment))
        if status is None or call.identity == "user":
            return
        codes = {
            401: "Authentication_InvalidCredentials",
            404: "BadRequest_ResourceNotFound",
            400: "BadRequest",
        }
        code = codes.get(status, "Authorization_InsufficientPermissions")
        raise ApiError(int(status), code, "You do not have the following permissions on the table: Read.")

    def _row(self, call: Call, values: dict[str, str]) -> tuple[Company, Row]:
        company = self._company(call, values)
        if call.method == "GET":
            read_only = call.headers.get("data-access-intent", "").lower() == "readonly"
            row = company.visible(read_only=read_only).get(values["contact"].lower())
        else:
            row = company.current(values["contact"].lower(), call.identity)
        if row is None:
            answer = self.world.settings.switches["bc_missing_contact"]
            status = 400 if answer == "400" else 404
            code = {"400": "Internal_DataNotFoundFilter", "no_code": "", "empty": ""}.get(answer, answer)
            call.notes["bodiless"] = answer == "empty"
            raise ApiError(status, code, "The record in table Contact does not exist.")
        return company, row

    def page(self, call: Call) -> Page:
        """Return the set of fields that the address stands for."""
        return PAGES[call.notes.get("profile", "standard")]

    # What the API has

    def service_document(self, call: Call, _values: dict[str, str]) -> Reply:
        """GET the API's root: the entity sets below it."""
        sets = [{"name": name, "kind": "EntitySet", "url": name} for name in self._sets(call)]
        return Reply(200, {"@odata.context": f"{_root(call)}/$metadata", "value": sets})

    def metadata(self, call: Call, _values: dict[str, str]) -> Reply:
        """GET $metadata: the entity types, as CSDL."""
        return Reply(200, raw=csdl(self._sets(call)).encode(), content_type="application/xml")

    def _sets(self, call: Call) -> dict[str, dict[str, str]]:
        contact = {name: EDM.get(field.kind, "Edm.String") for name, field in self.page(call).fields.items()}
        named = dict.fromkeys(("code", "displayName"), "Edm.String")
        return {
            "companies": {"id": "Edm.Guid", "name": "Edm.String", "displayName": "Edm.String"},
            "contacts": contact,
            "countriesRegions": {"id": "Edm.Guid", **named},
            "salespeoplePurchasers": {"id": "Edm.Guid", **named, "email": "Edm.String"},
        }

    # Companies and small tables

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
        return Reply(200, {"@odata.context": f"{_root(call)}/$metadata#companies", "value": companies})

    def get_company(self, call: Call, values: dict[str, str]) -> Reply:
        """GET companies(id)."""
        return Reply(200, _write_company(self._company(call, values)))

    def list_countries(self, call: Call, values: dict[str, str]) -> Reply:
        """GET countriesRegions."""
        company = self._company(call, values)
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
        company = self._company(call, values)
        rows = [
            {
                "id": make_uuid("salesperson", company.id, person["code"]),
                "code": person["code"],
                "displayName": person.get("displayName", ""),
                "email": person.get("email", ""),
                "email2": person.get("email2", ""),
                "phoneNumber": "",
                "blocked": False,
            }
            for person in company.salespeople
        ]
        return Reply(200, self._small_page(call, rows, "salespeoplePurchasers"))

    def _small_page(self, call: Call, rows: list[dict[str, Any]], what: str) -> dict[str, Any]:
        rows = [{"@odata.etag": f'W/"{row["id"]}"', **row} for row in rows]
        start = parse_integer(call.query, "$skiptoken") or parse_integer(call.query, "$skip") or 0
        top = parse_integer(call.query, "$top")
        size = int(self.world.settings.limit("bc_max_page") or 20000)
        size = min(call.page_size() or size, size)
        shown = rows[start : start + (size if top is None else min(size, top))]
        if "$select" in call.query:
            names = {"@odata.etag", *call.query["$select"].replace(" ", "").split(",")}
            shown = [{name: value for name, value in row.items() if name in names} for row in shown]
        body: dict[str, Any] = {"@odata.context": f"{_context(call)}/{what}", "value": shown}
        if top is None and start + size < len(rows):
            body["@odata.nextLink"] = f"{_link(call)}?$skiptoken={start + size}"
        return body

    # Contacts

    def list_contacts(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts."""
        company = self._company(call, values)
        answer = Query(call, company, self.page(call), self.world.settings).answer(_link(call))
        return Reply(200, {"@odata.context": f"{_context(call)}/contacts", **answer})

    def count_contacts(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts/$count."""
        company = self._company(call, values)
        rows = Query(call, company, self.page(call), self.world.settings).rows()
        return Reply(200, raw=str(len(rows)).encode(), content_type="text/plain")

    def get_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts(id)."""
        _, row = self._row(call, values)
        return Reply(200, self._entity(call, row, self.page(call).select(call)))

    def create_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """POST contacts: nothing prevents a second identical one."""
        company = self._company(call, values)
        body = call.json_object()
        draft = Draft(company.new_row(self.world.nonce), company, call.identity, is_new=True)
        self._apply(call, draft, body)
        row = draft.row
        if not row.display_name:
            raise ApiError(400, rules.DIALOG, "displayName must be filled in. Enter a value.")
        row.number = row.number or company.take_number(call.identity)
        if row.type == "Company":
            row.company_number, row.company_name = row.number, row.display_name
        rules.apply_defaults(draft)
        company.store(row, self.world.clock.now(), call.identity)
        call.notes["written"] = "contacts_created"
        return Reply(201, self._entity(call, row), {"Location": f"{_link(call)}({row.id})"})

    def update_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """PATCH contacts(id), guarded by the ETag."""
        company, row = self._row(call, values)
        self._check_version(call, row)
        self._check_lock(call, company, row)
        body = call.json_object()
        draft = Draft(changed(row, {}), company, call.identity, is_new=False)
        self._apply(call, draft, body)
        now = self.world.clock.now()
        company.store(draft.row, now, call.identity)
        rules.cascade(draft, now)
        call.notes["written"] = "contacts_updated"
        return Reply(200, self._entity(call, draft.row))

    def delete_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """DELETE contacts(id); a company takes its persons with it."""
        company, row = self._row(call, values)
        if "if-match" in call.headers or self.world.settings.is_on("bc_delete_without_if_match", "400"):
            self._check_version(call, row)
        self._check_lock(call, company, row)
        for item in rules.check_deletion(company, row, call.identity):
            company.remove(item, call.identity)
        call.notes["written"] = "contacts_deleted"
        return Reply(204)

    def _apply(self, call: Call, draft: Draft, body: dict[str, Any]) -> None:
        fields, settings = self.page(call).fields, self.world.settings
        for name, value in body.items():
            if "@odata." in name:
                continue
            if name not in fields:
                message = f"The property '{name}' does not exist on type 'Microsoft.NAV.contact'."
                raise ApiError(400, "BadRequest", message)
            spec = fields[name]
            if spec.editable:
                rules.validate(draft, spec, rules.convert(spec, value, settings), settings)
            elif settings.is_on("bc_readonly_in_body", "400"):
                raise ApiError(400, "BadRequest_InvalidOperation", f"The field '{name}' is read-only.")

    def _check_version(self, call: Call, row: Row) -> None:
        wanted = call.headers.get("if-match", "").strip()
        if wanted == "*":
            return
        if not _ETAG.match(wanted):
            raise ApiError(400, "BadRequest_InvalidToken", "Could not validate the client concurrency token.")
        if wanted != etag(row):
            status = int(self.world.settings.switches["bc_stale_status"])
            message = "Another user has already changed the record."
            raise ApiError(status, "Request_EntityChanged", message)

    @staticmethod
    def _check_lock(call: Call, company: Company, row: Row) -> None:
        if company.is_locked(row.id, call.identity):
            message = "The record in table Contact is being updated in a transaction done by another session."
            raise ApiError(503, "Internal_ServerError", message)

    def _entity(self, call: Call, row: Row, select: frozenset[str] | None = None) -> dict[str, Any]:
        return {"@odata.context": f"{_context(call)}/contacts/$entity", **self.page(call).write(row, select)}


EDM = {
    "guid": "Edm.Guid",
    "bool": "Edm.Boolean",
    "datetime": "Edm.DateTimeOffset",
    "date": "Edm.Date",
    "integer": "Edm.Int64",
}


def csdl(sets: dict[str, dict[str, str]]) -> str:
    """Return the metadata document of entity sets: name -> property -> type."""
    types, entries = "", ""
    for name, properties in sets.items():
        kind = {"companies": "company", "countriesRegions": "countryRegion"}.get(name, name.removesuffix("s"))
        listed = "".join(f'<Property Name="{each}" Type="{edm}"/>' for each, edm in properties.items())
        types += f'<EntityType Name="{kind}"><Key><PropertyRef Name="id"/></Key>{listed}</EntityType>'
        entries += f'<EntitySet Name="{name}" EntityType="Microsoft.NAV.{kind}"/>'
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        '<Schema Namespace="Microsoft.NAV" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f'{types}<EntityContainer Name="NAV">{entries}</EntityContainer></Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    )


def _plain(segments: list[str], call: Call) -> list[str]:
    """Return path segments in which ``companies(id)`` has become ``company/id``."""
    result: list[str] = []
    for segment in segments:
        match = _KEY.match(segment)
        if match is None:
            result.append(segment)
        else:
            singular = {"companies": "company", "contacts": "contact"}.get(match["set"].lower(), match["set"])
            result += [singular, match["key"]]
    company = call.query.get("company") or call.headers.get("company")
    if company and result[:1] not in (["company"], ["companies"]):
        result = ["company", company, *result]
    return result


def _written(pattern: str) -> str:
    """Return a route in the form that the API's documentation gives it."""
    pattern = pattern.replace("/company/{company}", "/companies({company})")
    return pattern.replace("/contact/{contact}", "/contacts({contact})")


def _root(call: Call) -> str:
    return f"{call.base}{call.notes['root']}"


def _link(call: Call) -> str:
    """Return the address of the collection that a call is about, in its usual form."""
    what = {"contact": "contacts", "$count": "contacts"}.get(call.segments[2], call.segments[2])
    return f"{_root(call)}/companies({call.company})/{what}"


def _context(call: Call) -> str:
    return f"{_root(call)}/$metadata#companies({call.company})"


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


def problem(call: Call, error: ApiError) -> Reply:
    """Return an error in Business Central's shape."""
    correlation = call.notes.get("ids", {}).get("request-id", "")
    if call.notes.pop("bodiless", False):
        return Reply(error.status)
    message = f"{error.message}  CorrelationId:  {correlation}."
    body = {"error": {"code": error.code, "message": message} if error.code else {"message": message}}
    return Reply(error.status, body, dict(error.headers), content_type=JSON_BC)
