"""Puts the pages of ``sync_lib.web`` into Airflow: its server, its menu, its logins and its permissions.

Airflow imports this module in every one of its processes; only the API server ever builds the app, at its first
request, so the top imports nothing but Airflow's plugin class.
"""

from __future__ import annotations

import threading
from datetime import UTC
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from fastapi import FastAPI
    from sqlalchemy import Engine

    from sync_lib.web.seams import Messages, Seams, Surroundings

DAG = "contact_sync"
MOUNT = "/contact_sync"
MINE = f"{MOUNT}/me"


class LazyApp:
    """An app, built when somebody first opens a page of it: its imports take longer than a whole task does."""

    def __init__(self, build: Callable[[], FastAPI]) -> None:
        self._build = build
        self._app: FastAPI | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if self._app is None:
            self._app = self._build()
        await self._app(scope, receive, send)


class PagesApp(LazyApp):
    """The pages; without its slash, the address of a colleague's own page would be one of theirs."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or put the slash behind it."""
        root = str(scope.get("root_path", ""))
        if scope["type"] == "http" and str(scope["path"]).removeprefix(root) == MINE.removeprefix(MOUNT):
            from starlette.responses import RedirectResponse

            address = f"{root.removesuffix(MOUNT)}{MINE}/"
            await RedirectResponse(address, status_code=307)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def build() -> FastAPI:
    """Return the pages, behind Airflow's own logins and permissions."""
    from contact_sync_airflow import permissions
    from sync_lib.web.app import make_app

    permissions.make_permissions()
    return make_app(_seams(_authorize(), MOUNT))


def build_mine() -> FastAPI:
    """Return the page of a colleague's own, behind Airflow's logins and a permission of its own."""
    from contact_sync_airflow import colleagues, permissions
    from sync_lib.web.mine_app import make_mine_app
    from sync_lib.web.mine_seams import MineSeams

    permissions.make_permissions()
    pages = _seams(_authorize_mine(), MINE)
    return make_mine_app(
        MineSeams(pages, start=colleagues.start, state_of=colleagues.state_of, allowed=colleagues.allowed)
    )


def _seams(authorize: Any, mount: str) -> Seams:
    from contact_sync_airflow import connections, environment, permissions
    from sync_lib.web.seams import Seams

    return Seams(
        authorize=authorize,
        engine=STAGING.engine,
        field_profile=lambda: connections.business_central_settings().field_profile,
        settings=environment.sync_settings,
        edges=connections.open_services,
        audit=permissions.write_audit,
        mount=mount,
        surroundings=_surroundings,
        bc_client=_bc_client,
        messages=_messages,
        starters=_starters,
    )


def _authorize() -> Any:
    """Return the dependency that asks Airflow's auth manager, whichever it is.

    Who may read the runs of the DAG may read the pages; who may edit the DAG may change settings. To erase a contact
    takes a permission of its own beside that.
    """
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
    from fastapi import Depends, HTTPException, Request

    from contact_sync_airflow import permissions
    from sync_lib.web.seams import SAFE_METHODS, User

    read = requires_access_dag("GET", DagAccessEntity.RUN, DAG)
    edit = requires_access_dag("PUT", None, DAG)

    def may(check: Any, request: Any, user: Any) -> bool:
        try:
            check(request, user)
        except HTTPException:
            return False
        return True

    def authorize(request: Any, user: Any = Depends(get_user)) -> User:  # noqa: B008 - FastAPI's way.
        check = read if request.method in SAFE_METHODS else edit
        check(request, user)
        may_edit = may(edit, request, user)
        may_erase = may_edit and permissions.may_erase("PUT", user)
        sees_erasing = may_erase or permissions.may_erase("GET", user)
        return User(str(user.get_name()), may_edit, sees_erasing, may_erase)

    # FastAPI reads annotations from here, and names of this function's own are not there as text.
    authorize.__annotations__["request"] = Request
    return authorize


def _bc_client() -> str:
    """Return where people open Business Central in a browser; "" where it is not Microsoft's own cloud."""
    from contact_sync_airflow import connections
    from sync_lib.errors import ConfigError
    from sync_lib.settings import BUSINESS_CENTRAL_CLIENT, BUSINESS_CENTRAL_ROOT

    try:
        root = connections.business_central_settings().root
    except ConfigError:
        # The page says so where it matters; a link is none of that.
        return ""
    return BUSINESS_CENTRAL_CLIENT if root.rstrip("/") == BUSINESS_CENTRAL_ROOT else ""


def _authorize_mine() -> Any:
    """Return the dependency that asks about the permission of a colleague's own page, whoever may do what with DAGs."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, HTTPException, Request

    from contact_sync_airflow import colleagues, permissions
    from sync_lib.web.seams import SAFE_METHODS, User

    def authorize(request: Any, user: Any = Depends(get_user)) -> User:  # noqa: B008 - FastAPI's way.
        if not permissions.may("GET" if request.method in SAFE_METHODS else "PUT", permissions.SELF, user):
            raise HTTPException(403, "Forbidden")
        return User(colleagues.user_name(user), permissions.may("PUT", permissions.SELF, user))

    # As above: names of this function's own are not there as text.
    authorize.__annotations__["request"] = Request
    return authorize


def _surroundings() -> Surroundings:
    """Return what Airflow says about the sync: two look-ups by index in its own database."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from contact_sync_airflow import colleagues, connections, environment
    from sync_lib.times import to_text
    from sync_lib.web.seams import Surroundings

    with create_session() as session:
        dag = session.get(DagModel, DAG)
        wanted = select(DagRun.run_id, DagRun.state).where(
            DagRun.dag_id == DAG, DagRun.state.in_(["queued", "running"])
        )
        runs = [(str(state), run) for run, state in session.execute(wanted.order_by(DagRun.run_after))]
        next_run = dag.next_dagrun_create_after if dag else None
        return Surroundings(
            paused=bool(dag and dag.is_paused),
            # Airflow's own word for a DAG without a schedule is no word of a reader's.
            schedule=dag.timetable_summary if dag and dag.timetable_summary not in (None, "None") else "",
            next_run=to_text(next_run.astimezone(UTC)) if next_run else None,
            running=next((run for state, run in runs if state == "running"), ""),
            queued=sum(state == "queued" for state, _ in runs),
            endings=tuple(connections.endings()),
            problems=(*environment.setting_problems(), *colleagues.problems()),
            interval=environment.interval(),
        )


def _messages() -> Messages:
    """Return who hears of what is wrong, and whether colleagues can have the weekly mail."""
    from contact_sync_airflow import environment, mails, messages
    from sync_lib.web.seams import Messages

    weekly = environment.weekly_mail() if mails.can_send() else ""
    return Messages(messages.receivers(), environment.notify_language(), weekly)


def _starters(runs: Collection[str]) -> dict[str, str]:
    """Return who started runs of the sync by hand, by their ids, as Airflow names them."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    wanted = select(DagRun.run_id, DagRun.triggering_user_name).where(
        DagRun.dag_id == DAG, DagRun.run_id.in_(runs), DagRun.triggering_user_name.is_not(None)
    )
    with create_session() as session:
        return {str(run): str(name) for run, name in session.execute(wanted)}


class Staging:
    """Keeps the staging database open between requests, until its Connection names another one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: tuple[str, Engine] | None = None

    def engine(self) -> Engine:
        """Return the staging database.

        Raises:
            ConfigError: The Connection is missing or incomplete, nobody answers there, or its schema is another one.
        """
        from contact_sync_airflow import connections
        from sync_lib.store.engine import open_engine
        from sync_lib.store.migrate import require_schema

        url = connections.staging_settings().url
        with self._lock:
            if self._opened is None or self._opened[0] != url:
                engine = open_engine(url)
                require_schema(engine)
                if self._opened:
                    self._opened[1].dispose()
                self._opened = (url, engine)
            return self._opened[1]


#: One for both apps of a server process.
STAGING = Staging()


class ContactSyncPlugin(AirflowPlugin):
    """What Airflow finds in this module."""

    name = "contact_sync"
    # The first one whose prefix a request has answers it.
    fastapi_apps = [  # noqa: RUF012 - Airflow's attribute is a list
        {"app": LazyApp(build_mine), "url_prefix": MINE, "name": "My contacts"},
        {"app": PagesApp(build), "url_prefix": MOUNT, "name": "Contact sync"},
    ]
    # Without a leading slash, so that they hold behind a base URL with a path.
    external_views = [  # noqa: RUF012 - Airflow's attribute is a list
        {
            "name": "Contact sync",
            "href": f"{MOUNT[1:]}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "contact_sync",
        },
        {
            "name": "Contact sync",
            "href": f"{MOUNT[1:]}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "contact_sync_run",
        },
    ]
