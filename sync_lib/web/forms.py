"""Forms that people send: a dependency, so that nobody's form is looked at before the app knows who sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import FormData

from sync_lib.web.language import msg

#: Bytes of a form with all that is in it: of a file of profiles, more than 10,000 of them.
MOST_BYTES = 2_000_000
_MOST_FIELDS = 4_000


async def _submitted(request: Request) -> AsyncIterator[FormData]:
    # The server itself sees to it that no more comes than was said.
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BYTES or "transfer-encoding" in request.headers:
        raise HTTPException(413, msg("This is too large: a form, or the file in it, may have 2 MB."))
    async with request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=MOST_BYTES) as form:
        yield form


Submitted = Annotated[FormData, Depends(_submitted)]


def text_of(form: FormData, name: str) -> str:
    """Return what a form says in a field, "" where it says nothing or sends a file."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


async def _sent_file(form: Submitted) -> tuple[str, bytes]:
    value = form.get("file")
    if value is None or isinstance(value, str):
        return "", b""
    return value.filename or "", await value.read()


#: The file of a form: its name and what is in it; both blank where there is none.
SentFile = Annotated[tuple[str, bytes], Depends(_sent_file)]
