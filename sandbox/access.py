"""Who calls, and what a call is about: its API, and the mailbox or company in its path."""

from __future__ import annotations

from sandbox.services import Services, problem
from sandbox.wire import ApiError, Call, Reply

EXTENDED_API = ["api", "contactsync", "contacts", "v1.0"]


class Access:
    """Notes on a call who makes it and what it is about, or refuses it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def refusal(self, call: Call) -> Reply | None:
        """Find out identity, mailbox and API root; return the refusal, if any."""
        if call.service == "bc":
            try:
                self._find_api(call)
            except ApiError as error:
                return problem(call, error)
        reason = self._services.entra.check(call)
        if reason is None and call.service == "bc" and "API.ReadWrite.All" not in call.roles:
            reason = "The token has no roles."
        if reason is not None:
            code = (
                "InvalidAuthenticationToken"
                if call.service == "graph"
                else "Authentication_InvalidCredentials"
            )
            reply = problem(call, ApiError(401, code, reason))
            reply.headers["WWW-Authenticate"] = 'Bearer realm="", error="invalid_token"'
            return reply
        self.note_place(call)
        return self._refuse_unpublished(call)

    def note_place(self, call: Call) -> None:
        """Note the mailbox or company that a path names, for limits, faults and counts."""
        first = call.segments[0] if call.segments else ""
        if call.service == "graph" and first.lower() == "users" and len(call.segments) > 2:
            mailbox = self._services.world.find_mailbox(call.segments[1])
            call.mailbox = mailbox.user_principal_name if mailbox else call.segments[1]
        elif call.service == "bc" and first.lower().startswith("companies("):
            call.company = first[len("companies(") : -1].removeprefix("id=").lower()

    def _refuse_unpublished(self, call: Call) -> Reply | None:
        """Refuse the page of the extension while it is not there; persons change contacts without it."""
        switch = self._services.world.settings.switches["bc_extension"]
        if call.notes.get("profile") == "extended" and switch == "missing" and call.identity != "user":
            return problem(call, ApiError(404, "BadRequest_NotFound", "The API is not installed."))
        return None

    def _find_api(self, call: Call) -> None:
        segments = call.segments
        place = next((i for i in (2, 1) if segments[i : i + 1] == ["api"]), None)
        if place is None:
            raise ApiError(404, "BadRequest_NotFound", "The address is not that of an API.")
        if place == 2 and not self._services.entra.knows(segments[0]):
            raise ApiError(404, "BadRequest_NotFound", "The tenant is not known.")
        if segments[place - 1].lower() != self._services.world.environment.lower():
            raise ApiError(404, "NoEnvironment", "The environment does not exist.")
        rest = segments[place:]
        if [part.lower() for part in rest[:4]] == EXTENDED_API:
            length, call.notes["profile"] = 4, "extended"
        elif rest[:2] == ["api", "v2.0"]:
            length, call.notes["profile"] = 2, "standard"
        else:
            raise ApiError(404, "BadRequest_NotFound", "The API is not installed.")
        root = "/".join([*segments[:place], *rest[:length]])
        call.notes["root"] = f"/bc/v2.0/{root}"
        call.notes["service_root"] = f"{call.base}/bc/v2.0/{root}"
        call.segments = rest[length:]
