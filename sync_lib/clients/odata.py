"""OData's spelling of queries, values and times."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode


def to_query(params: Mapping[str, str]) -> str:
    """Return an OData query: blanks as ``%20``, since not every parser of OData takes ``+`` for one."""
    return urlencode(params, quote_via=quote, safe="$,()'")


def to_literal(text: str) -> str:
    """Return a text as OData literal, its quotes doubled."""
    return "'" + text.replace("'", "''") + "'"


_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:\d\d))?")


def to_stamp(value: object) -> str:
    """Return a service's time as 24 characters of UTC, ``YYYY-MM-DDTHH:MM:SS.mmmZ``, so that text order is time order.

    Finer digits are cut, never rounded up: a watermark made of such stamps can only reach back too far, which reads
    a row twice, never too little. Null becomes ""; BC's "no time" (year 1) sorts before all others.

    Raises:
        ValueError: It is no time.
    """
    if value is None or value == "":
        return ""
    match = _STAMP.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("not a time")
    date, clock, fraction, offset = match.groups()
    if offset and offset[1:] != "00:00":
        date, clock = _in_utc(f"{date}T{clock}{offset}")
    return f"{date}T{clock}.{(fraction or '')[:3]:0<3}Z"


def _in_utc(text: str) -> list[str]:
    try:
        moment = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError("not a time") from None
    return moment.replace(tzinfo=None).isoformat(sep=" ").split(" ")
