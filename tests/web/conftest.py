"""The pages in a client without a server: a login by header, and the databases of all tests."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine

from sync_lib.web.app import make_app
from sync_lib.web.seams import Seams
from tests.web.surroundings import EDITOR, seams_of


@functools.cache
def shared_app() -> FastAPI:
    """The app, which takes longer to make than most pages; it keeps nothing but its surroundings."""
    return make_app(no_seams())


def no_seams() -> Seams:
    return seams_of(create_engine("sqlite://"))


@pytest.fixture
def visit(engine: Engine) -> Iterator[Callable[..., TestClient]]:
    """A function that returns a client: who asks, and in which language."""
    app = shared_app()
    app.state.seams = seams_of(engine)

    def make(user: str | None = EDITOR, language: str = "en") -> TestClient:
        headers = {"accept-language": language, "sec-fetch-site": "same-origin"}
        if user:
            headers["x-user"] = user
        return TestClient(app, headers=headers, raise_server_exceptions=True)

    yield make
    app.state.seams = no_seams()
