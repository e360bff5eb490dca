"""A sandbox of its own for each test of whole runs, and a staging database of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import pytest

from sandbox import Sandbox
from tests.sync.harness import Harness

Transport: TypeAlias = Literal["sockets", "in_process"]


@pytest.fixture
def make_harness(
    request: pytest.FixtureRequest, database_kind: str, database_url: str
) -> Iterator[Callable[..., Harness]]:
    """Make a harness for a world; limits of time are off unless a test sets them.

    On SQLite the sandbox is in the test's own process, with a clock of its own. On PostgreSQL, and in tests that are
    marked with ``sockets``, it listens, time is real, and a worker has several requests under way.
    """
    is_over_sockets = database_kind == "postgresql" or request.node.get_closest_marker("sockets") is not None
    started: list[tuple[Sandbox, Harness]] = []

    def make(
        world: dict[str, Any],
        *,
        sandbox: dict[str, Any] | None = None,
        transport: Transport | None = None,
        **settings: Any,
    ) -> Harness:
        transport = transport or ("sockets" if is_over_sockets else "in_process")
        sim = Sandbox(world=world, settings=sandbox, transport=transport).start()
        harness = Harness(sim, database_url, **settings)
        started.append((sim, harness))
        return harness

    yield make
    for sim, harness in started:
        harness.close()
        sim.stop()
