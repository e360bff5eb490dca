"""The page of a colleague's own in tests: who asks is in a header, and what Airflow would start is written down."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import HTTPException, Request
from sqlalchemy import Engine

from sync_lib.errors import NotFoundError, ServiceError
from sync_lib.ports import User as Account
from sync_lib.web.mine_seams import Allowed, MineSeams, NotStarted
from sync_lib.web.seams import SAFE_METHODS, Surroundings, User
from tests.web.surroundings import seams_of

MOUNT = "/contact_sync/me"
#: Who has the permission to change things on the page; one whose name begins with this may only look.
LOOKER = "kijker."


@dataclass
class Airflow:
    """What the page asks of Airflow; ``states`` are those of runs."""

    started: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    refuses: bool = False
    paused: bool = False
    allowed: Allowed = field(default_factory=Allowed)

    def start(self, dag: str, conf: Mapping[str, Any], user: str) -> str:
        if self.refuses:
            raise NotStarted("the DAG has import errors")
        self.started.append((dag, dict(conf), user))
        run = f"manual__{len(self.started)}"
        self.states[run] = "queued"
        return run

    def state_of(self, _dag: str, run: str) -> str:
        return self.states.get(run, "")


@dataclass
class Directory:
    """Microsoft Graph, as far as it says whose a name is: user principal name or id -> account."""

    accounts: dict[str, Account] = field(default_factory=dict)
    is_away: bool = False
    asked: int = 0

    def add(self, key: str, address: str) -> None:
        account = Account(key, address)
        self.accounts |= {key.casefold(): account, address.casefold(): account}

    def fetch_user(self, name: str) -> Account:
        self.asked += 1
        if self.is_away:
            raise ServiceError("503", status=503)
        if name.casefold() not in self.accounts:
            raise NotFoundError("404", status=404, in_form=True)
        return self.accounts[name.casefold()]


def authorize(request: Request) -> User:
    """As Airflow's auth manager answers about the permission ``contact_sync_self``."""
    name = request.headers.get("x-user")
    if name is None:
        raise HTTPException(401, "Not authenticated")
    is_looker = name.startswith(LOOKER)
    if name in ("viewer", "editor") or (is_looker and request.method not in SAFE_METHODS):
        raise HTTPException(403, "Forbidden")
    return User(name, not is_looker)


def mine_seams(engine: Engine, airflow: Airflow | None = None) -> MineSeams:
    known = airflow or Airflow()
    pages = replace(
        seams_of(engine),
        authorize=authorize,
        mount=MOUNT,
        surroundings=lambda: Surroundings(paused=known.paused),
        edges=no_services,
    )
    return MineSeams(pages, known.start, known.state_of, lambda: known.allowed)


@contextmanager
def no_services() -> Any:
    """Services whose only use is handed over to the directory, which takes the place of the client."""

    class Nothing:
        graph_settings = transport = None

    yield Nothing()
