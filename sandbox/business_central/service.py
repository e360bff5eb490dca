"""Business Central's API: companies, contacts (two pages), countries and salespeople."""

from __future__ import annotations

import re

from sandbox.business_central.answers import problem, root_of
from sandbox.business_central.company_routes import CompanyRoutes
from sandbox.business_central.contact_routes import ContactRoutes
from sandbox.business_central.metadata import csdl, entity_sets
from sandbox.router import Router
from sandbox.wire import JSON_BC, ApiError, Call, Reply
from sandbox.world import World

_KEY = re.compile(r"^(?P<set>\w+)\((?:id=)?(?P<key>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\)$")


class BusinessCentral:
    """Handles single operations, whether they came alone or in a batch."""

    def __init__(self, world: World) -> None:
        self.router = Router()
        self.router.add("GET", "/", self.service_document)
        self.router.add("GET", "/$metadata", self.metadata)
        for part in (CompanyRoutes(world), ContactRoutes(world)):
            part.register(self.router)

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

    def service_document(self, call: Call, _values: dict[str, str]) -> Reply:
        """GET the API's root: the entity sets below it."""
        sets = [{"name": name, "kind": "EntitySet", "url": name} for name in entity_sets(call)]
        return Reply(200, {"@odata.context": f"{root_of(call)}/$metadata", "value": sets})

    def metadata(self, call: Call, _values: dict[str, str]) -> Reply:
        """GET $metadata: the entity types, as CSDL."""
        return Reply(200, raw=csdl(entity_sets(call)).encode(), content_type="application/xml")


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
