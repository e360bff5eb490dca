"""Addresses as people paste them: from a mail program, a spreadsheet, or a list."""

from __future__ import annotations

import pytest

from sync_lib.errors import ConfigError
from sync_lib.store.profiles.lists import parse_addresses


def found(text: str) -> list[str]:
    return [each.mailbox for each in parse_addresses(text) if not each.problem]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a@x.nl\nb@x.nl", ["a@x.nl", "b@x.nl"]),
        ("a@x.nl, b@x.nl;c@x.nl\td@x.nl", ["a@x.nl", "b@x.nl", "c@x.nl", "d@x.nl"]),
        ("Anna Jansen <a@x.nl>", ["a@x.nl"]),
        ('"Jansen, Anna" <a@x.nl>, "Bos, Bram" <b@x.nl>', ["a@x.nl", "b@x.nl"]),
        ("Jansen, Anna <a@x.nl>; b@x.nl", ["a@x.nl", "b@x.nl"]),
        ("b@x.nl, Anna <a@x.nl>", ["b@x.nl", "a@x.nl"]),
        ("<a@x.nl>, b@x.nl, c@x.nl", ["a@x.nl", "b@x.nl", "c@x.nl"]),
        ("mailto:a@x.nl\n'b@x.nl'\n  c@x.nl  ", ["a@x.nl", "b@x.nl", "c@x.nl"]),
        ("a@x.nl\r\n\r\nb@x.nl\r\n", ["a@x.nl", "b@x.nl"]),
        ("\ufeffa@x.nl\u200b\n\u00a0b@x.nl\u00a0", ["a@x.nl", "b@x.nl"]),
        ("", []),
        (" \n ; , \t", []),
    ],
)
def test_what_is_an_address(text: str, addresses: list[str]) -> None:
    assert found(text) == addresses
    assert all(each.problem is None for each in parse_addresses(text))


def test_what_is_none_is_said_with_its_line() -> None:
    parsed = parse_addresses("a@x.nl\nnobody\nx@y, <>\nA@X.nl")
    assert [(each.line, each.mailbox, bool(each.problem)) for each in parsed] == [
        (1, "a@x.nl", False),
        (2, "nobody", True),
        (3, "x@y", True),
        (3, "", True),
        (4, "A@X.nl", True),
    ]
    assert str(parsed[4].problem) == "it is in line 1 already."


def test_twice_on_one_line() -> None:
    parsed = parse_addresses("a@x.nl, a@x.nl")
    assert [bool(each.problem) for each in parsed] == [False, True]


@pytest.mark.parametrize(
    "text", ["a@" * 50_000, '"' * 100_000, "<>" * 2_000 + "x", "a@" + "." * 100_000 + "@"]
)
def test_a_text_without_end_takes_no_time(text: str) -> None:
    # Each of these is slow where a pattern tries each way.
    assert all(each.problem for each in parse_addresses(text))


def test_no_more_than_can_be_looked_through() -> None:
    with pytest.raises(ConfigError, match="more than 5000 addresses"):
        parse_addresses("<" * 100_000)
