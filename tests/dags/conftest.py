"""Connections for tests. The Airflow of the end-to-end tests starts while those of this folder run."""

from __future__ import annotations

import importlib
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def stage_starts(request: pytest.FixtureRequest) -> None:
    if any("stage" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("starting_stage")


@pytest.fixture(scope="module", autouse=True)
def import_package(request: pytest.FixtureRequest) -> None:
    """Import what knows Airflow in the process that runs these tests, and under its names: others only collect them."""
    names = (
        "environment",
        "retry",
        "connections",
        "context",
        "messages",
        "mails",
        "hooks",
        "permissions",
        "colleagues",
    )
    for name in names:
        setattr(request.module, name, importlib.import_module(f"contact_sync_airflow.{name}"))


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(connection_id: str, value: str) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection_id.upper()}", value)

    return give
