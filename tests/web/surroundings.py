"""What the pages run on in tests and benchmarks: a login by header, a database, and a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from sqlalchemy import Engine

from sync_lib.settings import SyncSettings
from sync_lib.web.seams import SAFE_METHODS, Seams, User

MOUNT = "/contact_sync"
VIEWER, EDITOR = "viewer", "editor"
#: May do all that an editor may, and erase contacts; or at least open the page that does.
ERASER, ERASE_VIEWER = "eraser", "erase viewer"
_MAY_EDIT = (EDITOR, ERASER)
#: What Airflow's audit log was told: event, user, and what else.
audited: list[tuple[str, str, dict[str, Any]]] = []


def authorize(request: Request) -> User:
    """As Airflow's auth manager answers: who it is, is in a header, and what they may by their name."""
    name = request.headers.get("x-user")
    if name not in (VIEWER, EDITOR, ERASER, ERASE_VIEWER):
        raise HTTPException(401, "Not authenticated")
    if name not in _MAY_EDIT and request.method not in SAFE_METHODS:
        raise HTTPException(403, "Forbidden")
    return User(name, name in _MAY_EDIT, name in (ERASER, ERASE_VIEWER), name == ERASER)


def note_audit(event: str, user: str, extra: Mapping[str, Any]) -> None:
    audited.append((event, user, dict(extra)))


def no_edges() -> AbstractContextManager[Any]:
    raise AssertionError("no page of this test asks the services")


def seams_of(engine: Engine) -> Seams:
    return Seams(
        authorize=authorize,
        engine=lambda: engine,
        field_profile=lambda: "standard",
        settings=SyncSettings,
        edges=no_edges,
        audit=note_audit,
    )


def open_seams(engine: Engine) -> Seams:
    """The surroundings of the pages, in which everybody may do everything."""
    return replace(
        seams_of(engine), authorize=lambda: User("anna", may_edit=True, sees_erasing=True, may_erase=True)
    )


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an app on a free port, where Airflow would mount it."""
    outer = FastAPI()
    outer.mount(MOUNT, app)
    server = uvicorn.Server(uvicorn.Config(outer, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.02)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    yield f"http://{host}:{port}{MOUNT}/"
    server.should_exit = True
    thread.join()
