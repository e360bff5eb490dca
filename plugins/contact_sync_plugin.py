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
    from fastapi import FastAPI
    from sqlalchemy import Engine

    from sync_lib.web.seams import Surroundings

DAG = "contact_sync"
MOUNT = "/contact_sync"


class LazyApp:
    """The app, built when somebody first opens a page: its imports take longer than a whole task does."""

    _app: FastAPI | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if self._app is None:
            self._app = build()
        await self._app(scope, receive, send)


def build() -> FastAPI:
    """Return the pages, behind Airflow's own logins and permissions."""
    from contact_sync_airflow import connections, environment
    from sync_lib.web.app import make_app
    from sync_lib.web.seams import Seams

    return make_app(
        Seams(
            authorize=_authorize(),
            engine=Staging().engine,
            field_profile=lambda: connections.business_central_settings().field_profile,
            settings=environment.sync_settings,
            edges=connections.open_services,
            mount=MOUNT,
            surroundings=_surroundings,
            bc_client=_bc_client,
        )
    )


def _authorize() -> Any:
    """Return the dependency that asks Airflow's auth manager, whichever it is.

    Who may read the runs of the DAG may read the pages; who may edit the DAG may change settings.
    """
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
    from fastapi import Depends, HTTPException, Request

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
        return User(str(user.get_name()), may(edit, request, user))

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


def _surroundings() -> Surroundings:
    """Return what Airflow says about the sync: two look-ups by index in its own database."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from contact_sync_airflow import connections, environment
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
            problems=tuple(environment.setting_problems()),
            interval=environment.interval(),
        )


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


class ContactSyncPlugin(AirflowPlugin):
    """What Airflow finds in this module."""

    name = "contact_sync"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": MOUNT, "name": "Contact sync"}]  # noqa: RUF012 - Airflow's attribute is a list
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
