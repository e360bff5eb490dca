"""Many colleagues in one tenant: a world of them, and the command that sets them up."""

from __future__ import annotations

import json
from typing import Any

from sync_lib import cli
from tests.sync.harness import COMPANY, Harness, world

#: The app's roles where it may read groups.
ROLES = ["Contacts.ReadWrite", "User.Read.All", "GroupMember.Read.All"]


def address(number: int) -> str:
    """The mailbox of a colleague."""
    return f"collega{number:02}@voorbeeld.example"


def salesperson(number: int) -> dict[str, str]:
    """The same colleague as Business Central knows them."""
    return {"code": f"V{number:02}", "displayName": f"Collega {number}", "email": address(number)}


def tenant(
    *contacts: dict[str, Any], people: int, groups: list[dict[str, Any]], **company: Any
) -> dict[str, Any]:
    """A world with so many colleagues, who are salespeople too unless the company says otherwise."""
    known = {"salespeople": [salesperson(n) for n in range(people)], **company}
    mailboxes = [*(address(n) for n in range(people)), *company.pop("others", [])]
    known.pop("others", None)
    return {**world(*contacts, mailboxes=mailboxes, **known), "groups": groups}


def grant(h: Harness, *roles: str) -> None:
    """Give the app these roles; a token that it has keeps the old ones."""
    h.sim.control("POST", "entra/app", {"graph_roles": list(roles or ROLES)})
    h.sim.control("POST", "entra/expire-tokens")


def environment(h: Harness, field_profile: str = "extended") -> dict[str, str]:
    """The variables by which the command finds the database and the services."""
    info = h.sim.info()
    app = {"login": info["client_id"], "password": info["client_secret"]}
    extra = {"tenant_id": info["tenant_id"], "authority": info["base_url"]}
    bc = {"environment": info["environment"], "field_profile": field_profile}
    return {
        "CONTACT_SYNC_STAGING_URL": h.database,
        "AIRFLOW_CONN_BUSINESS_CENTRAL_DEFAULT": json.dumps(
            {"conn_type": "business_central", "host": info["bc_root"], **app, "extra": extra | bc}
        ),
        "AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT": json.dumps(
            {"conn_type": "microsoft_graph", "host": info["graph_root"], **app, "extra": extra}
        ),
    }


class Terminal:
    """Runs ``contact-sync`` against a harness."""

    def __init__(self, h: Harness, capsys: Any, field_profile: str = "extended") -> None:
        self.h = h
        self.field_profile = field_profile
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        """Run one command, and return what it wrote."""
        self._capsys.readouterr()
        got = cli.main(arguments, environment(self.h, self.field_profile))
        written = self._capsys.readouterr()
        assert got == code, written.err
        return written

    def propose(self, *arguments: str, code: int = 0) -> Any:
        """Propose profiles of the first company."""
        return self("profiles", "propose", "--company", COMPANY, *arguments, code=code)
