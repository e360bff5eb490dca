"""Users and groups of Entra ID, through Microsoft Graph v1.0: who works here, and who is in a group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sync_lib.clients.batch import BatchSender, Part
from sync_lib.clients.mailboxes import BATCH_SIZE, LIST_PAGE, malformed, to_segment, user_path
from sync_lib.clients.odata import to_literal
from sync_lib.clients.session import ApiSession
from sync_lib.errors import AccessDeniedError, ApiError, NotFoundError
from sync_lib.ports import Account, DirectoryGroup

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BASIC = "id,userPrincipalName,mail"
#: A cast of members is an advanced query (https://learn.microsoft.com/graph/aad-advanced-queries), which takes both.
_ADVANCED = {"ConsistencyLevel": "eventual"}
_COUNTED = {"$count": "true"}


class DirectoryClient:
    """Reads users and groups; writes nothing."""

    def __init__(self, session: ApiSession) -> None:
        self._session = session
        self._batch = BatchSender(session, "/$batch", most=BATCH_SIZE)

    def find_groups(self, name: str) -> list[DirectoryGroup]:
        """Return the groups that a name, or an id, means: several may have one name, and none may have that id.

        Raises:
            AccessDeniedError: The app may not read groups.
        """
        if _GUID.fullmatch(name):
            return self._with_id(name)
        query = {"$filter": f"displayName eq {to_literal(name)}", "$select": "id,displayName"}
        return [_group(record) for record in self._records("/groups", query, {})]

    def fetch_members(self, group_id: str) -> list[Account]:
        """Return the users in a group and in the groups within it, each once.

        The list comes from an index that may lag behind, and need not show who a user is to an app that may not read
        users: the id is always there, names may be "".

        Raises:
            NotFoundError: There is no such group.
            AccessDeniedError: The app may not read groups.
        """
        path = f"/groups/{to_segment(group_id)}/transitiveMembers/microsoft.graph.user"
        accounts = self._accounts(path, _COUNTED, _ADVANCED)
        return list({each.id: each for each in accounts}.values())

    def fetch_accounts(self) -> list[Account]:
        """Return all users of the tenant.

        Raises:
            AccessDeniedError: The app may not read users.
        """
        return self._accounts("/users", {}, {})

    def open_mailboxes(self, users: Sequence[str]) -> dict[str, Exception | None]:
        """Return for each user id why its mailbox does not open to the app, or None where it does.

        A user need not have a mailbox, and a list of users does not say so.
        """
        parts = [Part("GET", f"{user_path(user)}/contactFolders?$top=1") for user in users]
        answers = self._batch.send(parts) if parts else []
        return {
            user: answer if isinstance(answer, ApiError) else None
            for user, answer in zip(users, answers, strict=True)
        }

    def _with_id(self, group_id: str) -> list[DirectoryGroup]:
        query = {"$select": "id,displayName"}
        try:
            answer = self._session.request("GET", f"/groups/{group_id.lower()}", params=query)
        except NotFoundError as error:
            if not error.in_form:
                raise
            return []
        return [_group(answer.body)]

    def _accounts(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> list[Account]:
        full = {**query, "$select": f"{_BASIC},accountEnabled,proxyAddresses", "$top": str(LIST_PAGE)}
        try:
            return [_account(record) for record in self._records(path, full, headers)]
        except AccessDeniedError:
            # Whether an account is enabled, and its further addresses, are no part of the basic profile, which is all
            # that User.ReadBasic.All opens
            # (https://learn.microsoft.com/graph/permissions-reference). Where the rest is closed too, this fails.
            return [_account(record) for record in self._records(path, {**full, "$select": _BASIC}, headers)]

    def _records(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in self._session.iter_pages(path, query, headers):
            if not all(isinstance(record, dict) and record.get("id") for record in page["value"]):
                raise malformed("list of the directory")
            found += page["value"]
        return found


def _account(record: Mapping[str, Any]) -> Account:
    enabled = record.get("accountEnabled")
    return Account(
        str(record["id"]).lower(),
        str(record.get("userPrincipalName") or ""),
        str(record.get("mail") or ""),
        enabled if isinstance(enabled, bool) else None,
        tuple(_smtp_addresses(record.get("proxyAddresses"))),
    )


def _smtp_addresses(proxies: object) -> list[str]:
    """Return the e-mail addresses among the proxy addresses of a user: ``SMTP:`` the main one, ``smtp:`` the others.

    Source: https://learn.microsoft.com/graph/api/resources/user (``proxyAddresses``).
    """
    split = [str(each).partition(":") for each in proxies] if isinstance(proxies, list) else []
    return [address for kind, _, address in split if kind.lower() == "smtp"]


def _group(record: Mapping[str, Any]) -> DirectoryGroup:
    group_id = record.get("id")
    if not isinstance(group_id, str) or not group_id:
        raise malformed("group")
    return DirectoryGroup(group_id.lower(), str(record.get("displayName") or ""))
