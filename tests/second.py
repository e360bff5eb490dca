"""Which tests run on the second database too.

Tests that take a database run on SQLite, all of them. On PostgreSQL run those of the store, whose SQL differs, and of
the others a tenth that is drawn: by the commit, so that each commit draws another one, and so that a failure is found
again. ``--both`` runs all.
"""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest

ALWAYS = ("tests/store/", "tests/proof/")
PART = 10


def is_drawn(item: pytest.Item, seed: str) -> bool:
    """Whether a test runs: on its first database always, on the second one by where it is, or by lot."""
    call = getattr(item, "callspec", None)
    if call is None or call.params.get("database_kind") != "postgresql":
        return True
    if item.nodeid.startswith(ALWAYS) or next(item.iter_markers("both_databases"), None):
        return True
    return zlib.crc32(f"{seed} {item.nodeid}".encode()) % PART == 0


def commit() -> str:
    """Return the commit that is checked out, or "none"."""
    root = Path(__file__).resolve().parent.parent
    asked = ["git", "rev-parse", "--short=12", "HEAD"]
    shown = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    return shown.stdout.strip() or "none"
