"""Lets the Airflow of the end-to-end tests start while the tests of this folder run, which come first."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def stage_starts(request: pytest.FixtureRequest) -> None:
    if any("stage" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("starting_stage")
