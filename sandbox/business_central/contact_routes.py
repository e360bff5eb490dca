"""The contacts of Business Central."""

from __future__ import annotations

import re
from typing import Any

from sandbox.business_central import rules
from sandbox.business_central.answers import collection_of, write_context
from sandbox.business_central.places import Places
from sandbox.business_central.query import Query, etag, page_of
from sandbox.business_central.table import Company, Draft, Row, changed
from sandbox.router import Router
from sandbox.wire import ApiError, Call, Reply
from sandbox.world import World

_ETAG = re.compile(r'^(W/)?"[^"]*"$')


class ContactRoutes:
    """``contacts`` of a company, on either page."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._places = Places(world)

    def register(self, router: Router) -> None:
        """Add the routes."""
        add = router.add
        add("GET", "/company/{company}/contacts", self.list_contacts)
        add("GET", "/company/{company}/contacts/$count", self.count_contacts)
        add("POST", "/company/{company}/contacts", self.create_contact)
        add("GET", "/company/{company}/contact/{contact}", self.get_contact)
        add("PATCH", "/company/{company}/contact/{contact}", self.update_contact)
        add("DELETE", "/company/{company}/contact/{contact}", self.delete_contact)

    def list_contacts(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts."""
        company = self._places.company(call, values)
        answer = Query(call, company, page_of(call), self.world.settings).answer(collection_of(call))
        return Reply(200, {"@odata.context": write_context(call, "contacts"), **answer})

    def count_contacts(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts/$count."""
        company = self._places.company(call, values)
        rows = Query(call, company, page_of(call), self.world.settings).rows()
        return Reply(200, raw=str(len(rows)).encode(), content_type="text/plain")

    def get_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts(id)."""
        _, row = self._places.row(call, values)
        return Reply(200, self._entity(call, row, page_of(call).select(call)))

    def create_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """POST contacts: nothing prevents a second identical one."""
        company = self._places.company(call, values)
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
        return Reply(201, self._entity(call, row), {"Location": f"{collection_of(call)}({row.id})"})

    def update_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """PATCH contacts(id), guarded by the ETag."""
        company, row = self._places.row(call, values)
        self._check_version(call, row)
        self._check_lock(call, company, row)
        body = call.json_object()
        draft = Draft(changed(row, {}), company, call.identity, is_new=False)
        self._apply(call, draft, body)
        self._check_parts(call, draft.row, body)
        now = self.world.clock.now()
        company.store(draft.row, now, call.identity)
        rules.cascade(draft, now)
        call.notes["written"] = "contacts_updated"
        return Reply(200, self._entity(call, draft.row))

    def delete_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """DELETE contacts(id); a company takes its persons with it."""
        company, row = self._places.row(call, values)
        if page_of(call).keeps_all and call.identity != "user":
            message = "'DELETE' requests for 'contacts' of EdmType 'Entity' are not allowed."
            raise ApiError(400, "BadRequest_MethodNotAllowed", message)
        if "if-match" in call.headers or self.world.settings.is_on("bc_delete_without_if_match", "400"):
            self._check_version(call, row)
        self._check_lock(call, company, row)
        for item in rules.check_deletion(company, row, call.identity):
            company.remove(item, call.identity)
        call.notes["written"] = "contacts_deleted"
        return Reply(204)

    def _apply(self, call: Call, draft: Draft, body: dict[str, Any]) -> None:
        fields, settings = page_of(call).fields, self.world.settings
        for name, value in body.items():
            if "@odata." in name:
                continue
            if name not in fields:
                message = f"The property '{name}' does not exist on type 'Microsoft.NAV.contact'."
                raise ApiError(400, "BadRequest", message)
            spec = fields[name]
            if spec.takes(call.identity):
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
    def _check_parts(call: Call, row: Row, body: dict[str, Any]) -> None:
        """Refuse, as our page does, a person whose name parts are all blank: its name would be blank as well."""
        parts = {"firstName": row.first_name, "middleName": row.middle_name, "surname": row.surname}
        blank = row.type == "Person" and not any(parts.values()) and not parts.keys().isdisjoint(body)
        if blank and page_of(call).keeps_all and call.identity != "user":
            raise ApiError(400, rules.DIALOG, "displayName must be filled in.")

    @staticmethod
    def _check_lock(call: Call, company: Company, row: Row) -> None:
        if company.is_locked(row.id, call.identity):
            message = "The record in table Contact is being updated in a transaction done by another session."
            raise ApiError(503, "Internal_ServerError", message)

    def _entity(self, call: Call, row: Row, select: frozenset[str] | None = None) -> dict[str, Any]:
        return {
            "@odata.context": write_context(call, "contacts/$entity"),
            **page_of(call).write(row, select),
        }
