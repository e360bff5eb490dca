"""The directory part of Graph: the users of the tenant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from sandbox.graph.delta import decode, encode
from sandbox.graph.mailbox import Mailbox
from sandbox.router import Router
from sandbox.wire import ApiError, Call, Reply, parse_integer
from sandbox.world import World

FULL_READERS = frozenset(("User.Read.All", "User.ReadWrite.All", "Directory.Read.All"))
READERS = FULL_READERS | {"User.ReadBasic.All"}
DEFAULT_PROPERTIES = ("id", "displayName", "givenName", "surname", "mail", "userPrincipalName", "jobTitle")
_FILTER = re.compile(r"\s*(\w+)\s+eq\s+(?:'((?:[^']|'')*)'|(true|false))\s*")


class Users:
    """``/users`` and ``/users/{id}``."""

    def __init__(self, world: World) -> None:
        self.world = world

    def register(self, router: Router) -> None:
        """Add the routes."""
        router.add("GET", "/users", self.list_users)
        router.add("GET", "/users/{user}", self.get_user)

    def list_users(self, call: Call, _values: dict[str, str]) -> Reply:
        """GET users, in pages by ``$skiptoken``."""
        self._check_role(call)
        check_selected(self.world, call)
        users = [m for m in self.world.mailboxes.values() if m.state != "removed"]
        if "$filter" in call.query:
            users = [m for m in users if _matches(user_record(m, call.roles), call.query["$filter"])]
        most = int(self.world.settings.limit("graph_users_page") or 10**9)
        size = min(parse_integer(call.query, "$top") or 100, most)
        start = int(decode(call.query.get("$skiptoken", "")).get("o", 0))
        names = self._select(call)
        root = f"{call.base}/graph/v1.0"
        page: dict[str, Any] = {"@odata.context": f"{root}/$metadata#users"}
        if call.query.get("$count", "").lower() == "true":
            page["@odata.count"] = len(users)
        page["value"] = [only(user_record(m, call.roles), names) for m in users[start : start + size]]
        if start + size < len(users):
            query = {**call.query, "$skiptoken": encode({"o": start + size})}
            text = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in query.items())
            page["@odata.nextLink"] = f"{root}/users?{text}"
        return Reply(200, page)

    def get_user(self, call: Call, values: dict[str, str]) -> Reply:
        """GET one user by id or principal name."""
        self._check_role(call)
        check_selected(self.world, call)
        mailbox = self.world.find_mailbox(values["user"])
        if mailbox is None or mailbox.state == "removed":
            message = (
                f"Resource '{values['user']}' does not exist or one of its queried references is missing."
            )
            raise ApiError(404, "Request_ResourceNotFound", message)
        context = f"{call.base}/graph/v1.0/$metadata#users/$entity"
        return Reply(
            200, {"@odata.context": context, **only(user_record(mailbox, call.roles), self._select(call))}
        )

    def _check_role(self, call: Call) -> None:
        if not READERS.intersection(call.roles):
            raise ApiError(
                403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
            )

    def _select(self, call: Call) -> tuple[str, ...]:
        text = call.query.get("$select")
        return tuple(text.replace(" ", "").split(",")) if text else DEFAULT_PROPERTIES


def check_selected(world: World, call: Call) -> None:
    """Refuse, where the switch says so, what is no part of the basic profile to an app that may read that alone."""
    is_asked = not {"accountEnabled", "proxyAddresses"}.isdisjoint(call.query.get("$select", "").split(","))
    is_strict = world.settings.is_on("graph_basic_profile", "403")
    if is_asked and is_strict and not FULL_READERS.intersection(call.roles):
        raise ApiError(
            403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
        )


def user_record(mailbox: Mailbox, roles: Iterable[str]) -> dict[str, Any]:
    """Return a user as an app with these roles sees it."""
    given, _, surname = mailbox.display_name.partition(" ")
    return {
        "id": mailbox.user_id,
        "displayName": mailbox.display_name,
        "givenName": given,
        "surname": surname,
        "mail": mailbox.mail if mailbox.state != "no_mailbox" or mailbox.user_type == "Guest" else None,
        "userPrincipalName": mailbox.user_principal_name,
        "jobTitle": None,
        # No part of the basic profile, which is all that User.ReadBasic.All opens.
        "accountEnabled": mailbox.state != "disabled" if FULL_READERS.intersection(roles) else None,
        "proxyAddresses": _proxy_addresses(mailbox) if FULL_READERS.intersection(roles) else [],
        "userType": mailbox.user_type,
    }


def _proxy_addresses(mailbox: Mailbox) -> list[str]:
    main = [f"SMTP:{mailbox.mail}"] if mailbox.mail and mailbox.state != "no_mailbox" else []
    return main + [f"smtp:{address}" for address in mailbox.other_addresses]


def only(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return a record as far as it was asked for."""
    return {name: record[name] for name in names if name in record}


def _matches(user: dict[str, Any], text: str) -> bool:
    match = _FILTER.fullmatch(text)
    if match is None or match[1] not in user:
        raise ApiError(400, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause.")
    if match[3]:
        return user[match[1]] is (match[3] == "true")
    wanted = match[2].replace("''", "'").casefold()
    return str(user[match[1]] or "").casefold() == wanted
