"""What the names in a path of Business Central stand for: a company, a contact."""

from __future__ import annotations

from sandbox.business_central.table import Company, Row
from sandbox.wire import ApiError, Call
from sandbox.world import World


class Places:
    """Finds what a path names, or raises the refusal."""

    def __init__(self, world: World) -> None:
        self.world = world

    def company(self, call: Call, values: dict[str, str]) -> Company:
        """Return the company in a path, if the caller may read the table that is asked for."""
        company = self.world.companies.get(values["company"].lower())
        if company is None or company.state == "missing":
            raise ApiError(404, "Internal_CompanyNotFound", "The company does not exist.")
        call.company = company.id
        if company.state == "forbidden" and call.identity != "user":
            message = "You do not have permission to read the table Contact in this company."
            raise ApiError(403, "Authorization_InsufficientPermissions", message)
        self._check_rights(call, company)
        return company

    def row(self, call: Call, values: dict[str, str]) -> tuple[Company, Row]:
        """Return the contact in a path as the caller sees it, and its company."""
        company = self.company(call, values)
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
