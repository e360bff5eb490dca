"""GUIDs that are computed from names, so that the same world has the same ones."""

from __future__ import annotations

import hashlib
import uuid


def make_uuid(*names: object) -> str:
    """Return the GUID that always belongs to these names."""
    return str(uuid.UUID(bytes=hashlib.sha256("|".join(map(str, names)).encode()).digest()[:16], version=4))
