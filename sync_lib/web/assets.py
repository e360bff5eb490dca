"""Style sheets and scripts. They are served by a route like any other, so that they ask for a login too."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

router = APIRouter()

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".txt": "text/plain"}


@cache
def _assets() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _TYPES}


@cache
def asset_versions() -> dict[str, str]:
    """Return a digest of each file, which its address carries: browsers keep it until it changes."""
    return {name: hashlib.sha256(content).hexdigest()[:12] for name, content in _assets().items()}


@router.get("/static/{name}")
def asset(name: str) -> Response:
    """Return a file of ``static``, by its name in the list, so that no path can lead out of it."""
    content = _assets().get(name)
    if content is None:
        raise HTTPException(404)
    kept = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(content, media_type=_TYPES[Path(name).suffix], headers=kept)
