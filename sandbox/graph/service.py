"""Microsoft Graph: users, groups, contact folders and contacts."""

from __future__ import annotations

from sandbox.graph.answers import is_immutable, problem
from sandbox.graph.contact_routes import ContactRoutes
from sandbox.graph.folder_routes import FolderRoutes
from sandbox.graph.group_routes import GroupRoutes
from sandbox.graph.users import Users
from sandbox.router import Router
from sandbox.wire import JSON_GRAPH, ApiError, Call, Reply
from sandbox.world import World

READERS = frozenset(("Contacts.Read", "Contacts.ReadWrite"))
# Functions may be written as OData calls them; Microsoft's own SDK does.
DELTA_FORMS = frozenset(("delta()", "microsoft.graph.delta", "microsoft.graph.delta()"))


class Graph:
    """Handles single operations, whether they came alone or in a batch."""

    def __init__(self, world: World) -> None:
        self.router = Router()
        for part in (Users(world), GroupRoutes(world), FolderRoutes(world), ContactRoutes(world)):
            part.register(self.router)

    def handle(self, call: Call) -> Reply:
        """Return the answer to one operation, errors included."""
        try:
            if call.segments[:1] == ["me"]:
                message = "/me request is only valid with delegated authentication flow."
                raise ApiError(400, "BadRequest", message)
            if call.segments and call.segments[-1] in DELTA_FORMS:
                call.segments = [*call.segments[:-1], "delta"]
            handler, values = self.router.find(call)
            if len(call.segments) > 2 and call.segments[0].lower() == "users":
                self._check_role(call)
            reply = handler(call, values)
        except ApiError as error:
            return problem(call, error)
        reply.content_type = JSON_GRAPH
        applied = self._applied(call)
        if applied:
            reply.headers["Preference-Applied"] = applied
        return reply

    def _check_role(self, call: Call) -> None:
        granted = READERS.intersection(call.roles)
        if not granted or (call.method != "GET" and "Contacts.ReadWrite" not in granted):
            raise ApiError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")

    @staticmethod
    def _applied(call: Call) -> str:
        applied = []
        if is_immutable(call):
            applied.append('IdType="ImmutableId"')
        if call.page_size() and call.method == "GET":
            applied.append(f"odata.maxpagesize={call.page_size()}")
        return ", ".join(applied)
