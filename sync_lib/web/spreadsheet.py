"""CSV that a spreadsheet shows as text, whatever people typed into a contact."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from fastapi.responses import StreamingResponse

from sync_lib.web.visit import Visit

# What makes a spreadsheet calculate, also behind blanks and as a full-width sign. Phone numbers begin with a plus.
_FORMULA = re.compile(r"[\s\x00-\x20\u200b\ufeff]*[=+\-@|\uff1d\uff0b\uff0d\uff20]")
_CONTROL = dict.fromkeys(code for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\n\t")
_CHUNK = 500


def as_text(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = str(value).replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROL)
    text = text.encode("utf-8", "replace").decode()
    # A tab or line end in front does the same in some programs, and a quote that they hide does no harm.
    return f"'{text}" if _FORMULA.match(text) or text[:1] in ("\t", "\n") else text


def spreadsheet(visit: Visit, name: str, rows: Iterable[Sequence[object]]) -> StreamingResponse:
    """Return rows, the first of which are the titles, as a file to download; nothing is held in memory as a whole."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    # Dutch spreadsheets take a comma for a decimal sign.
    separator = ";" if visit.language == "nl" else ","
    written = _written(rows, separator)
    # The first rows are read before the answer begins: a database that is away must not look like an empty file.
    whole = chain([next(written)], written)
    return StreamingResponse(whole, media_type="text/csv; charset=utf-8", headers=headers)


def _written(rows: Iterable[Sequence[object]], separator: str) -> Iterator[str]:
    page = io.StringIO()
    writer = csv.writer(page, delimiter=separator, quoting=csv.QUOTE_ALL)
    # Excel reads UTF-8 only behind this mark.
    page.write("\ufeff")
    for n, row in enumerate(rows, start=1):
        writer.writerow([as_text(value) for value in row])
        if n % _CHUNK == 0:
            yield page.getvalue()
            page.seek(0)
            page.truncate()
    yield page.getvalue()
