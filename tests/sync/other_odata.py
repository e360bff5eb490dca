"""Business Central's shape, served by an OData server that nobody here wrote: the package ``odatapy``, over HTTP.

Its own in-memory service does all the work: paths, filters, order, paging, ETags, batches, errors. What is added is
what Business Central does by itself: ids and numbers of new contacts, blanks, and the stamp of each change.
"""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from odatapy.data import Entity, ValueType
from odatapy.edm.csdl import (
    CsdlAbstractEdmProvider,
    CsdlEntityContainer,
    CsdlEntitySet,
    CsdlEntityType,
    CsdlNavigationProperty,
    CsdlNavigationPropertyBinding,
    CsdlProperty,
    CsdlPropertyRef,
    CsdlSchema,
)
from odatapy.server import OData
from odatapy.server.adapters import ODataWSGIApp
from odatapy.server.inmemory import InMemoryDataStore, InMemoryProcessor

TEXTS = (
    "number",
    "type",
    "displayName",
    "jobTitle",
    "companyNumber",
    "companyName",
    "contactBusinessRelation",
    "addressLine1",
    "addressLine2",
    "city",
    "state",
    "country",
    "postalCode",
    "phoneNumber",
    "mobilePhoneNumber",
    "email",
    "website",
    "searchName",
    "taxRegistrationNumber",
)
CONTACT = {
    "id": "Edm.Guid",
    **dict.fromkeys(TEXTS, "Edm.String"),
    "privacyBlocked": "Edm.Boolean",
    "lastInteractionDate": "Edm.Date",
    "lastModifiedDateTime": "Edm.DateTimeOffset",
}
COUNTRY = {"id": "Edm.Guid", "code": "Edm.String", "displayName": "Edm.String"}
COMPANY = {"id": "Edm.Guid", "name": "Edm.String", "displayName": "Edm.String"}
TENANT_PLACE = "/{tenant}/Production/api/v2.0"


class _Shape(CsdlAbstractEdmProvider):
    def get_schemas(self) -> list[Any]:
        kinds = {"company": COMPANY, "contact": CONTACT, "countryRegion": COUNTRY}
        types = {name: _type(name, properties) for name, properties in kinds.items()}
        below = {"contacts": "contact", "countriesRegions": "countryRegion"}
        types["company"].navigation_properties = [
            CsdlNavigationProperty(name=name, type=f"Microsoft.NAV.{kind}", collection=True)
            for name, kind in below.items()
        ]
        bindings = [CsdlNavigationPropertyBinding(path=name, target=name) for name in below]
        sets = [
            CsdlEntitySet(
                name="companies", type="Microsoft.NAV.company", navigation_property_bindings=bindings
            ),
            *(CsdlEntitySet(name=name, type=f"Microsoft.NAV.{kind}") for name, kind in below.items()),
        ]
        container = CsdlEntityContainer(name="NAV", entity_sets=sets)
        return [
            CsdlSchema(namespace="Microsoft.NAV", entity_types=[*types.values()], entity_container=container)
        ]


def _type(name: str, properties: dict[str, str]) -> Any:
    listed = [CsdlProperty(name=each, type=edm) for each, edm in properties.items()]
    return CsdlEntityType(name=name, key=[CsdlPropertyRef(name="id")], properties=listed)


def _entity(values: dict[str, Any], types: dict[str, str]) -> Any:
    made = Entity()
    for name, value in values.items():
        made.set_property(name, value, ValueType.PRIMITIVE, types[name])
    return made


class _Store(InMemoryDataStore):
    """Stamps what changes, and fills what a new contact left out."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def record_change(self, entity_set: str, entity: Any, kind: str) -> None:
        if entity_set == "contacts" and kind != "deleted":
            self.complete(entity)
        super().record_change(entity_set, entity, kind)

    def complete(self, contact: Any) -> None:
        blank = {
            **dict.fromkeys(TEXTS, ""),
            "type": "Company",
            "privacyBlocked": False,
            "lastInteractionDate": None,
        }
        for name, value in blank.items():
            if contact.get_value(name) is None:
                contact.set_property(name, value, ValueType.PRIMITIVE, CONTACT[name])
        if not contact.get_value("number"):
            self.numbers += 1
            contact.set_property("number", f"CT{self.numbers:06}", ValueType.PRIMITIVE, "Edm.String")
        now = datetime.now(UTC)
        contact.set_property("lastModifiedDateTime", now, ValueType.PRIMITIVE, "Edm.DateTimeOffset")


class _Processor(InMemoryProcessor):
    before_update: Any = None

    def _assign_keys(self, entity_set: Any, entity: Any) -> None:
        entity.set_property("id", uuid.uuid4(), ValueType.PRIMITIVE, "Edm.Guid")
        entity.etag = 'W/"1"'

    def update_entity(self, *arguments: Any) -> None:
        act, self.before_update = self.before_update, None
        if act:
            act()
        super().update_entity(*arguments)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None: ...


class OtherOData:
    """The running server; contacts are read and changed as its own users would."""

    def __init__(self, tenant: str, company: str, contacts: list[dict[str, Any]], page_size: int = 2) -> None:
        odata = OData.new_instance()
        handler = odata.create_handler(odata.create_service_metadata(_Shape()))
        self.store = _Store()
        self.processor = _Processor(self.store)
        self.processor.page_size = page_size
        handler.register(self.processor)
        self.company = str(uuid.uuid4())
        # The package names the owner of a relation by how its key prints.
        self._owner = repr(uuid.UUID(self.company))
        row = {"id": uuid.UUID(self.company), "name": company, "displayName": company}
        self.store.set_entities("companies", [_entity(row, COMPANY)])
        for code, name in (("NL", "Nederland"), ("BE", "Belgie")):
            self._add(
                "countriesRegions", _entity({"id": uuid.uuid4(), "code": code, "displayName": name}, COUNTRY)
            )
        for values in contacts:
            self.add(values)
        mount = TENANT_PLACE.format(tenant=tenant)
        app = ODataWSGIApp(handler, mount_path=mount)
        self.server = make_server("127.0.0.1", 0, app, server_class=_Server, handler_class=_Quiet)
        self.root = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _add(self, entity_set: str, entity: Any) -> None:
        self.store.insert_entity(entity_set, entity)
        self.store.add_relation("companies", self._owner, entity_set, entity)

    def add(self, values: dict[str, Any]) -> None:
        """Make a contact."""
        contact = _entity({"id": uuid.uuid4(), "type": "Person", **values}, CONTACT)
        contact.etag = 'W/"1"'
        self.store.complete(contact)
        self._add("contacts", contact)

    def find(self, name: str) -> Any:
        """Return a contact by its name, or None."""
        return next((c for c in self.store.entities("contacts") if c.get_value("displayName") == name), None)

    def edit(self, name: str, **values: Any) -> None:
        """Change a contact, which gets another version."""
        contact = self.find(name)
        for each, value in values.items():
            contact.set_property(each, value, ValueType.PRIMITIVE, CONTACT[each])
        contact.etag = f'W/"{uuid.uuid4().hex[:8]}"'
        self.store.complete(contact)

    def remove(self, name: str) -> None:
        """Delete a contact."""
        contact = self.find(name)
        self.store.remove_entity("contacts", contact)
        self.store.remove_relation("companies", self._owner, "contacts", contact)

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
