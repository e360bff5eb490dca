"""The pages in a client without a server: a login by header, and the databases of all tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from sync_lib.web.app import make_app
from tests.web.surroundings import EDITOR, seams_of


@pytest.fixture
def visit(engine: Engine) -> Callable[..., TestClient]:
    """A function that returns a client: who asks, and in which language."""

    def make(user: str | None = EDITOR, language: str = "en") -> TestClient:
        headers = {"accept-language": language, "sec-fetch-site": "same-origin"}
        if user:
            headers["x-user"] = user
        return TestClient(make_app(seams_of(engine)), headers=headers, raise_server_exceptions=True)

    return make
