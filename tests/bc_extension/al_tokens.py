"""AL source as tokens: names, quoted names, texts, numbers and signs, each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["name", "quoted", "text", "number", "sign", "end"]


class AlSyntaxError(ValueError):
    """Source that is no AL, or that is more of AL than this extension needs."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word; ``text`` is what it means: a quoted name without its quotes, a text with single apostrophes."""

    kind: Kind
    text: str
    line: int

    def is_sign(self, *signs: str) -> bool:
        """Whether it is one of these signs."""
        return self.kind == "sign" and self.text in signs

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these words; AL knows no case."""
        return self.kind == "name" and self.text.lower() in words


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<name>[A-Za-z_]\w*)
    |"(?P<quoted>[^"\n]+)"
    |'(?P<text>(?:[^'\n]|'')*)'
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<sign>::|:=|\+=|-=|<>|<=|>=|[{}()\[\];:,.=<>+\-*/])""",
    re.VERBOSE | re.DOTALL,
)


def iter_tokens(source: str) -> Iterator[Token]:
    """Yield the tokens of a file, and ``end`` behind the last one.

    Raises:
        AlSyntaxError: A character belongs to none, as an open quote does.
    """
    place, line = 0, 1
    while place < len(source):
        match = _TOKEN.match(source, place)
        if match is None:
            raise AlSyntaxError(f"line {line}: {source[place : place + 20].splitlines()[0]!r} is no AL")
        if token := _token(match, line):
            yield token
        line += match.group().count("\n")
        place = match.end()
    yield Token("end", "", line)


def _token(match: re.Match[str], line: int) -> Token | None:
    found = match.lastgroup
    if found == "name":
        return Token("name", match["name"], line)
    if found == "quoted":
        return Token("quoted", match["quoted"], line)
    if found == "text":
        return Token("text", match["text"].replace("''", "'"), line)
    if found == "number":
        return Token("number", match["number"], line)
    return Token("sign", match["sign"], line) if found == "sign" else None
