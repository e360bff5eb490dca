"""Groups of the directory part of Graph, and who is in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from sandbox.graph.delta import decode, encode
from sandbox.graph.directory import Group
from sandbox.graph.users import READERS as USER_READERS
from sandbox.graph.users import check_selected, only, user_record
from sandbox.router import Router
from sandbox.wire import ApiError, Call, Reply, parse_integer
from sandbox.world import World

READERS = frozenset(
    (
        "GroupMember.Read.All",
        "GroupMember.ReadWrite.All",
        "Group.Read.All",
        "Group.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    )
)
_BY_NAME = re.compile(r"\s*displayName\s+eq\s+'((?:[^']|'')*)'\s*")
_USERS = "microsoft.graph.user"


class GroupRoutes:
    """``/groups``, ``/groups/{id}`` and the users below one."""

    def __init__(self, world: World) -> None:
        self.world = world

    def register(self, router: Router) -> None:
        """Add the routes."""
        router.add("GET", "/groups", self.list_groups)
        router.add("GET", "/groups/{group}", self.get_group)
        router.add("GET", f"/groups/{{group}}/transitiveMembers/{_USERS}", self.list_users)

    def list_groups(self, call: Call, _values: dict[str, str]) -> Reply:
        """GET groups, all or those of a name."""
        _check_role(call)
        groups = [each for each in self.world.directory.groups.values() if each.state == "normal"]
        if "$filter" in call.query:
            match = _BY_NAME.fullmatch(call.query["$filter"])
            if match is None:
                raise ApiError(400, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause.")
            named = self.world.directory.named(match[1].replace("''", "'"))
            groups = [each for each in groups if each in named]
        records = [_record(each) for each in groups]
        return Reply(200, self._page(call, "groups", records))

    def get_group(self, call: Call, values: dict[str, str]) -> Reply:
        """GET one group by id."""
        _check_role(call)
        context = f"{call.base}/graph/v1.0/$metadata#groups/$entity"
        record = only(_record(self._find(values)), _selected(call) or ("id", "displayName"))
        return Reply(200, {"@odata.context": context, **record})

    def list_users(self, call: Call, values: dict[str, str]) -> Reply:
        """GET the users in a group and in the groups within it: a cast, which takes the advanced form of a query."""
        _check_role(call)
        if (
            call.headers.get("consistencylevel", "").lower() != "eventual"
            or call.query.get("$count") != "true"
        ):
            message = (
                "Request to cast the members needs the header ConsistencyLevel: eventual and $count=true."
            )
            raise ApiError(400, "Request_UnsupportedQuery", message)
        check_selected(self.world, call)
        group = self._find(values)
        found = [self.world.mailboxes.get(one) for one in self.world.directory.users_of(group)]
        records = [user_record(each, call.roles) for each in found if each and each.state != "removed"]
        if not USER_READERS.intersection(call.roles):
            # Who may read groups and no users is shown that somebody is there, and not who.
            records = [{**dict.fromkeys(each), "id": each["id"]} for each in records]
        return Reply(200, self._page(call, "users", records))

    def _find(self, values: dict[str, str]) -> Group:
        group = self.world.directory.groups.get(values["group"].lower())
        if group is None or group.state == "removed":
            message = (
                f"Resource '{values['group']}' does not exist or one of its queried references is missing."
            )
            raise ApiError(404, "Request_ResourceNotFound", message)
        return group

    def _page(self, call: Call, what: str, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        most = int(self.world.settings.limit("graph_users_page") or 10**9)
        size = min(parse_integer(call.query, "$top") or 100, most)
        start = int(decode(call.query.get("$skiptoken", "")).get("o", 0))
        root = f"{call.base}/graph/v1.0"
        page: dict[str, Any] = {"@odata.context": f"{root}/$metadata#{what}"}
        if call.query.get("$count") == "true":
            page["@odata.count"] = len(records)
        names = _selected(call)
        page["value"] = [only(each, names) if names else each for each in records[start : start + size]]
        if start + size < len(records):
            query = {**call.query, "$skiptoken": encode({"o": start + size})}
            text = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in query.items())
            page["@odata.nextLink"] = f"{root}{quote(call.path)}?{text}"
        return page


def _check_role(call: Call) -> None:
    if not READERS.intersection(call.roles):
        raise ApiError(
            403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
        )


def _record(group: Group) -> dict[str, Any]:
    return {"id": group.id, "displayName": group.name, "securityEnabled": True, "mailEnabled": False}


def _selected(call: Call) -> tuple[str, ...]:
    text = call.query.get("$select", "")
    return tuple(text.replace(" ", "").split(",")) if text else ()
