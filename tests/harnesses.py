"""A sandbox of its own for each test of whole runs, and a staging database of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from sandbox import Sandbox
from tests.sync.harness import Harness


@pytest.fixture
def make_harness(database_url: str) -> Iterator[Callable[..., Harness]]:
    """Make a harness for a world; limits of time are off unless a test sets them."""
    started: list[tuple[Sandbox, Harness]] = []

    def make(
        world: dict[str, Any],
        *,
        sandbox: dict[str, Any] | None = None,
        transport: Literal["sockets", "in_process"] = "sockets",
        **settings: Any,
    ) -> Harness:
        sim = Sandbox(world=world, settings=sandbox, transport=transport).start()
        harness = Harness(sim, database_url, **settings)
        started.append((sim, harness))
        return harness

    yield make
    for sim, harness in started:
        harness.close()
        sim.stop()
