"""Names of persons: one name split into Outlook's parts, and parts put together.

A split is a guess for Outlook's card only; it is never written back to BC (rules 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

from nameparser import Lexicon, Parser

from sync_lib.fields.texts import clean_line

# Dutch and German prefixes. The library knows most; those that open a longer prefix (*in 't*, *uit den*) it lacks.
_PREFIXES = frozenset(
    (
        "van", "von", "vom", "de", "den", "der", "des", "het", "'t", "te", "ten", "ter", "tot", "in", "op", "over",
        "onder", "uit", "aan", "bij", "voor", "zu", "zum", "zur", "auf", "am", "und", "'s",
    )
)  # fmt: skip
# How people shorten *van de(r)*; capital V.D. are initials.
_SHORT_PREFIX = re.compile(r"(?:[vV][./]?d\.?|[vd]\.|[aiov]/[dt])\Z")
_LEXICON = (
    Lexicon.default().add(particles=_PREFIXES - {"und"}).remove(titles=("ab",))
)  # Ab is a Dutch first name.
_PARSER = Parser(lexicon=_LEXICON)
# Words that the library may read as something else than a name.
_NOT_PLAIN = _LEXICON.titles | _LEXICON.suffix_words | _LEXICON.suffix_acronyms | _LEXICON.particles
_NOT_PLAIN |= _LEXICON.conjunctions | _LEXICON.bound_given_names | _LEXICON.maiden_markers | _PREFIXES
# A word of a name, which people who try something out may number; or initials.
_PLAIN_WORD = re.compile(r"[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+(?:-[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+)*\d*\Z")
_INITIALS = re.compile(r"(?:[A-Z]\.)+\Z")


class NameParts(NamedTuple):
    """Parts as Outlook has them; "" where the name has none."""

    given: str
    middle: str
    surname: str
    initials: str


@lru_cache(maxsize=1 << 14)
def split_name(name: str) -> NameParts:
    """Return the parts of a name: ``Jan van der Berg`` has the surname ``van der Berg`` and no middle name.

    A name of one word is a surname; BC's own split (``Contact.NameBreakdown``) makes it the first name, which moves
    nothing. No word is invented, and none is lost: given name, middle name and surname hold all of them together.
    """
    words = clean_line(name).split()
    if len(words) < 2 or words[0] in _PREFIXES or _SHORT_PREFIX.match(words[0]):
        return NameParts("", "", " ".join(words), "")
    return _plain(words) or _parsed(" ".join(words)) or _last_word(words)


def _plain(words: list[str]) -> NameParts | None:
    """Split what needs no parser: plain words, of which all but the first and last may be initials or prefixes.

    The library takes 130 us a name; most names of a first sync go this way. A test holds that both agree.
    """
    *before, last = words
    start = next((n for n, word in enumerate(before) if word in _PREFIXES), len(before))
    given, prefixes = before[:start], before[start:]
    if not all(word in _PREFIXES for word in prefixes) or prefixes[:1] == ["und"]:
        return None
    if not (_is_plain(last) and all(_is_plain(word) or _is_initials(word) for word in given)):
        return None
    initials = " ".join(f"{word[0]}." for word in (*given, last))
    return NameParts(given[0], " ".join(given[1:]), " ".join([*prefixes, last]), initials)


def _is_plain(word: str) -> bool:
    return bool(_PLAIN_WORD.match(word)) and word.lower() not in _NOT_PLAIN


def _is_initials(word: str) -> bool:
    return bool(_INITIALS.match(word)) and word.replace(".", "").lower() not in _NOT_PLAIN


def _parsed(name: str) -> NameParts | None:
    """Let the library find where given name and surname begin, and give every word to one of the parts.

    Titles, suffixes and remarks have no place of their own in what is sent, and Outlook makes a display name of its
    own from the parts: a word that none of them holds would be gone as soon as a user corrects one of them.
    """
    words = name.split()
    known = ["van" if _SHORT_PREFIX.match(word) else word for word in words]
    parsed = _PARSER.parse(" ".join(known))
    # "Prince" and "Baron Jansen" are names too: without a given or family name the guess was a wrong one.
    if not parsed.family or not (parsed.given or parsed.title):
        return None
    guess = _Guess(str(parsed.given).split(), str(parsed.family).split(), str(parsed.initials()))
    return _in_order(words, known, guess) or _turned(words, known, guess)


class _Guess(NamedTuple):
    given: list[str]
    family: list[str]
    initials: str


def _in_order(words: list[str], known: list[str], guess: _Guess) -> NameParts | None:
    """Return the parts where the surname comes behind the given name, else None."""
    start = _find([word.rstrip(",") for word in known], guess.family, last=True)
    while start > 1 and known[start - 1] in _PREFIXES:
        start -= 1
    if start < 1:
        return None
    end = _end(known[:start], guess.given)
    return _parts(words[:end], words[end:start], words[start:], guess.initials)


def _turned(words: list[str], known: list[str], guess: _Guess) -> NameParts | None:
    """Return the parts of a name such as ``Berg, Jan van den``, else None."""
    comma = next((index for index, word in enumerate(words) if word.endswith(",")), len(words))
    head = [*words[:comma], *(word.rstrip(",") for word in words[comma : comma + 1])]
    rest, known = words[comma + 1 :], known[comma + 1 :]
    if not rest or not all(head):
        return None
    prefixes = guess.family[: -len(head)]
    at = _find(known, prefixes, last=True) if prefixes else -1
    if at >= 0:
        till = at + len(prefixes)
        head = rest[at:till] + head
        rest, known = rest[:at] + rest[till:], known[:at] + known[till:]
    end = _end(known, guess.given)
    return _parts(rest[:end], rest[end:], head, guess.initials)


def _find(words: list[str], run: list[str], *, last: bool) -> int:
    """Return where some words are among others, -1 for nowhere."""
    starts = range(len(words) - len(run) + 1)
    found = [start for start in starts if words[start : start + len(run)] == run]
    return (found[-1] if last else found[0]) if found else -1


def _end(words: list[str], given: list[str]) -> int:
    """Return where the given name ends; all that comes before it (a title) goes with it."""
    start = _find(words, given, last=False) if given else -1
    return len(words) if start < 0 else start + len(given)


def _parts(given: list[str], middle: list[str], surname: list[str], initials: str) -> NameParts:
    return NameParts(" ".join(given), " ".join(middle), " ".join(surname), initials)


def _last_word(words: list[str]) -> NameParts:
    return _parts(words[:-1], [], words[-1:], "")


def guessed_initials(name: str) -> frozenset[str]:
    """Return the initials that a split of this name has, or had in earlier versions: no user typed them."""
    return frozenset((split_name(name).initials, str(_PARSER.parse(clean_line(name)).initials()))) - {""}


def same_words(one: Iterable[str], other: Iterable[str]) -> bool:
    """Return whether two splits hold the same words, however they are split, in whatever order a comma put them."""
    return _words(one) == _words(other)


def is_turned(name: str, parts: Iterable[str]) -> bool:
    """Return whether the parts hold the words of a name in another order, as those of a Chinese name do.

    A name with a comma is one for a sorted list: its parts are in the order in which people say it.
    """
    words = compose_name(*parts)
    return "," not in name and words.split() != name.split() and same_words([words], [name])


def _words(parts: Iterable[str]) -> list[str]:
    return sorted(word for text in compose_name(*parts).split() if (word := text.rstrip(",")))


def carry_split(words: list[str], parts: Sequence[str]) -> list[str]:
    """Return words split as a name was split that they changed from: each new word goes where the old one was.

    So a surname that is corrected on one side does not bring that side's split along to the other one.
    """
    known = [(word, index) for index, part in enumerate(parts) for word in part.split()]
    places = [index for _, index in known] or [len(parts) - 1]
    split: list[list[str]] = [[] for _ in parts]
    matcher = SequenceMatcher(None, [word for word, _ in known], words, autojunk=False)
    for tag, start, end, first, last in matcher.get_opcodes():
        # What is put between two words goes with the one before it.
        run = places[start:end] if end > start else places[max(start - 1, 0) : max(start, 1)]
        for offset, word in enumerate(words[first:last] if tag != "delete" else ()):
            split[run[min(offset, len(run) - 1)]].append(word)
    return [" ".join(part) for part in split]


def compose_name(*parts: str) -> str:
    """Return the parts joined as BC joins them: one space, blank ones left out."""
    return " ".join(part for text in parts if (part := clean_line(text)))
