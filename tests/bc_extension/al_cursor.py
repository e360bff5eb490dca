"""A place in the tokens of a file: what comes next, and steps that take what must come next."""

from __future__ import annotations

from tests.bc_extension.al_tokens import AlSyntaxError, Token, iter_tokens


class Cursor:
    """Goes through the tokens of a file from front to back."""

    def __init__(self, source: str) -> None:
        self._tokens = list(iter_tokens(source))
        self._place = 0

    @property
    def here(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._place]

    def step(self) -> Token:
        """Return the token that comes next, and go behind it."""
        token = self.here
        if token.kind == "end":
            raise self.wrong("the file ends too early")
        self._place += 1
        return token

    def wrong(self, message: str) -> AlSyntaxError:
        """Return the error for what comes next."""
        return AlSyntaxError(f"line {self.here.line}, at {self.here.text!r}: {message}")

    def take_sign(self, sign: str) -> bool:
        """Go behind a sign if it comes next."""
        found = self.here.is_sign(sign)
        self._place += found
        return found

    def take_word(self, *words: str) -> bool:
        """Go behind a word if it comes next."""
        found = self.here.is_word(*words)
        self._place += found
        return found

    def sign(self, sign: str) -> None:
        """Go behind a sign that must come next."""
        if not self.take_sign(sign):
            raise self.wrong(f"{sign} is missing")

    def word(self, word: str) -> None:
        """Go behind a word that must come next."""
        if not self.take_word(word):
            raise self.wrong(f"{word} is missing")

    def name(self) -> str:
        """Return the plain name that must come next."""
        return self._of_kind("name")

    def any_name(self) -> str:
        """Return the name that must come next, in quotes or without."""
        return self._of_kind("name", "quoted")

    def text(self) -> str:
        """Return the text that must come next."""
        return self._of_kind("text")

    def number(self) -> int:
        """Return the whole number that must come next."""
        text = self._of_kind("number")
        if not text.isdecimal():
            raise self.wrong("a whole number is missing")
        return int(text)

    def flag(self) -> bool:
        """Return the ``true`` or ``false`` that must come next."""
        if self.here.is_word("true", "false"):
            return self.step().text.lower() == "true"
        raise self.wrong("true or false is missing")

    def _of_kind(self, *kinds: str) -> str:
        if self.here.kind not in kinds:
            raise self.wrong(f"a {' or '.join(kinds)} is missing")
        return self.step().text
