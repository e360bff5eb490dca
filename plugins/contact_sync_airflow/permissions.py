"""Permissions of our own, beside Airflow's on its DAGs, and what Airflow's audit log says of what was done by them.

Every auth manager answers for a resource that a plugin names; FAB lists it, so that an administrator can give it away.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

#: The page of a colleague's own. FAB: *can read* for looking, *can edit* for everything else; so for all of these.
SELF = "contact_sync_self"
#: Erasing a contact from the staging database.
ERASE = "contact_sync_erase"
_ACTIONS = ("can_read", "can_edit")
#: Who may read the audit log of this DAG sees what was done.
_DAG = "contact_sync"


def may(method: Any, resource: str, user: Any) -> bool:
    """Ask Airflow's auth manager, whichever it is, about a permission of ours, for a method of HTTP."""
    from airflow.api_fastapi.app import get_auth_manager

    manager = get_auth_manager()
    return bool(manager.is_authorized_custom_view(method=method, resource_name=resource, user=user))


def may_erase(method: Any, user: Any) -> bool:
    """Ask whether a user may erase contacts, for a method of HTTP.

    The simple auth manager gives each permission that it does not know to everybody with a role; this one is for its
    administrators.
    """
    if _is_of("airflow.api_fastapi.auth.managers.simple"):
        return str(getattr(user, "role", None)).upper() == "ADMIN"
    return may(method, ERASE, user)


def make_permissions() -> None:
    """Let FAB know the permissions, so that an administrator can give them to a role; others have no such list."""
    from airflow.utils.session import create_session

    if not _is_of("airflow.providers.fab"):
        return
    try:
        from airflow.providers.fab.www.security_appless import ApplessAirflowSecurityManager
    except ImportError:
        # Of another version of FAB: the pages go on, and an administrator adds the permissions by hand.
        log.warning("FAB was not told of the permissions %s and %s: this version has no way to", SELF, ERASE)
        return
    with create_session() as session:
        manager = ApplessAirflowSecurityManager(session=session)
        for resource in (SELF, ERASE):
            for action in _ACTIONS:
                manager.create_permission(action, resource)


def write_audit(event: str, user: str, extra: Mapping[str, Any]) -> None:
    """Write into Airflow's audit log what a user does; nothing in ``extra`` may say whose data it is about."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    with create_session() as session:
        said = json.dumps(dict(extra))
        session.add(Log(event=event, owner=user, owner_display_name=user, extra=said, dag_id=_DAG))


def _is_of(package: str) -> bool:
    """Whether Airflow's auth manager is one of this package, or made from one."""
    from airflow.api_fastapi.app import get_auth_manager

    return any(kind.__module__.startswith(package) for kind in type(get_auth_manager()).__mro__)
