"""The control plane under ``/__sim/``: what a test or a demonstration can do that no public API offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.world import World

#: Does to a world what the body of a request says; returns what the answer holds.
Action = Callable[[World, dict[str, Any]], Any]
