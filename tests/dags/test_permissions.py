"""The permissions of our own, as each auth manager is asked for them; FAB itself is in ``tests/e2e/test_fab.py``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contact_sync_airflow import permissions

pytestmark = pytest.mark.airflow


class Manager:
    """An auth manager that knows who may what of a resource: (method, resource, user)."""

    def __init__(self, *allowed: tuple[str, str, str]) -> None:
        self.allowed = allowed

    def is_authorized_custom_view(self, *, method: str, resource_name: str, user: Any) -> bool:
        return (method, resource_name, user.username) in self.allowed


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that puts an auth manager into Airflow's place."""
    from airflow.api_fastapi import app

    return lambda made: monkeypatch.setattr(app, "get_auth_manager", lambda: made)


def named(name: str, role: str | None = None) -> Any:
    return SimpleNamespace(username=name, role=role, get_name=lambda: name)


def test_each_permission_is_asked_for_by_itself(manager: Any) -> None:
    manager(
        Manager(
            ("PUT", "contact_sync_self", "anna"),
            ("GET", "contact_sync_erase", "bram"),
            ("PUT", "contact_sync_erase", "cato"),
        )
    )
    asked = [
        permissions.may_erase(how, named(who)) for who in ("anna", "bram", "cato") for how in ("GET", "PUT")
    ]
    assert asked == [False, False, True, False, False, True]
    assert permissions.may("PUT", permissions.SELF, named("anna"))
    assert not permissions.may("PUT", permissions.SELF, named("cato"))


def test_the_simple_auth_manager_lets_its_administrators_erase(manager: Any) -> None:
    """It says yes to everybody with a role, whatever the resource."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    manager(SimpleAuthManager())
    roles = ("admin", "ADMIN", "op", "user", "viewer", None)
    may = {role: permissions.may_erase("PUT", named("x", role)) for role in roles}
    assert [role for role in roles if may[role]] == ["admin", "ADMIN"]
    assert permissions.may("PUT", permissions.SELF, named("x", "viewer"))


@pytest.mark.parametrize(
    ("edits", "allowed", "expected"),
    [
        (True, "PUT", (True, True, True)),
        (True, "GET", (True, True, False)),
        (True, "", (True, False, False)),
        # The permission alone is not enough: whatever is changed on the pages takes the DAG's, too.
        (False, "PUT", (False, False, False)),
        (False, "GET", (False, True, False)),
    ],
)
def test_what_the_pages_learn_of_a_user(
    manager: Any, monkeypatch: pytest.MonkeyPatch, edits: bool, allowed: str, expected: tuple[bool, ...]
) -> None:
    from airflow.api_fastapi.core_api import security
    from fastapi import HTTPException

    import contact_sync_plugin

    def requires(method: str, *_: Any) -> Any:
        def check(*_: Any) -> None:
            if method == "PUT" and not edits:
                raise HTTPException(403, "Forbidden")

        return check

    monkeypatch.setattr(security, "requires_access_dag", requires)
    manager(Manager((allowed, "contact_sync_erase", "anna")))
    authorize = contact_sync_plugin._authorize()
    user = authorize(SimpleNamespace(method="GET"), named("anna"))
    assert (user.may_edit, user.sees_erasing, user.may_erase) == expected
    if not edits:
        with pytest.raises(HTTPException):
            authorize(SimpleNamespace(method="POST"), named("anna"))


def test_the_audit_log_gets_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.utils import session

    added: list[Any] = []

    class Session:
        def add(self, row: Any) -> None:
            added.append(row)

        def __enter__(self) -> Session:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(session, "create_session", Session)
    permissions.write_audit("contact_sync_erase.done", "anna", {"company": 1, "rows": 8})
    [row] = added
    assert (row.event, row.owner, row.dag_id) == ("contact_sync_erase.done", "anna", "contact_sync")
    assert row.extra == '{"company": 1, "rows": 8}'
