from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_lib.clients.odata import to_query, to_stamp


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2026-03-02T09:14:57.333Z", "2026-03-02T09:14:57.333Z"),
        ("2026-03-02T09:14:57Z", "2026-03-02T09:14:57.000Z"),
        ("2026-03-02T09:14:57.1Z", "2026-03-02T09:14:57.100Z"),
        ("2026-03-02T09:14:57.9999999Z", "2026-03-02T09:14:57.999Z"),
        ("2026-03-02T09:14:57", "2026-03-02T09:14:57.000Z"),
        ("2026-03-02T00:14:57.5+01:00", "2026-03-01T23:14:57.500Z"),
        ("2026-03-02T09:14:57-00:00", "2026-03-02T09:14:57.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        (None, ""),
        ("", ""),
    ],
)
def test_stamps_have_one_form(text: str | None, stamp: str) -> None:
    assert to_stamp(text) == stamp


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        5,
        "2026-03-02",
        "2026-99-02T09:14:57+01:00",
        "0001-01-01T00:00:00+01:00",
        "2026-03-02T09:14:57Z\n",
    ],
)
def test_what_is_no_time_is_said_to_be_none(value: Any) -> None:
    with pytest.raises(ValueError, match=r"not a time|month|Invalid"):
        to_stamp(value)


@given(st.datetimes(), st.datetimes())
def test_order_of_stamps_is_order_of_time(one: Any, other: Any) -> None:
    first, second = (
        to_stamp(moment.strftime("%Y-%m-%dT%H:%M:%S.").zfill(20) + f"{moment.microsecond:06d}Z")
        for moment in sorted([one, other])
    )
    assert len(first) == len(second) == 24
    assert first <= second


def test_queries_are_quoted_for_odata() -> None:
    assert to_query({"$filter": "a eq 'x+y&z' {1}"}) == "$filter=a%20eq%20'x%2By%26z'%20%7B1%7D"
