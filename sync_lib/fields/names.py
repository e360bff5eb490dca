"""Names of persons: one name split into Outlook's parts, and parts put together.

A split is a guess for Outlook's card only; it is never written back to BC (rules 6).
"""

from __future__ import annotations

import re
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
_LEXICON = (
    Lexicon.default().add(particles=_PREFIXES - {"und"}).remove(titles=("ab",))
)  # Ab is a Dutch first name.
_PARSER = Parser(lexicon=_LEXICON)
# Words that the library may read as something else than a name.
_NOT_PLAIN = _LEXICON.titles | _LEXICON.suffix_words | _LEXICON.suffix_acronyms | _LEXICON.particles
_NOT_PLAIN |= _LEXICON.conjunctions | _LEXICON.bound_given_names | _LEXICON.maiden_markers | _PREFIXES
_PLAIN_WORD = re.compile(r"[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+(?:-[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+)*\Z")


class NameParts(NamedTuple):
    """Parts as Outlook has them; "" where the name has none."""

    given: str
    middle: str
    surname: str
    initials: str


@lru_cache(maxsize=1 << 14)
def split_name(name: str) -> NameParts:
    """Return the parts of a name: ``Jan van der Berg`` has the surname ``van der Berg`` and no middle name.

    A name of one word is a surname, as in BC's own split (``Contact.NameBreakdown``). No word is invented.
    """
    words = clean_line(name).split()
    if len(words) < 2 or words[0] in _PREFIXES:
        return NameParts("", "", " ".join(words), "")
    return _plain(words) or _parsed(" ".join(words)) or _last_word(words)


def _plain(words: list[str]) -> NameParts | None:
    """Split what needs no parser: two plain words, perhaps with prefixes between them.

    The library takes 130 us a name; most names of a first sync go this way. A test holds that both agree.
    """
    given, *prefixes, last = words
    if not (
        _PLAIN_WORD.match(given) and _PLAIN_WORD.match(last) and all(word in _PREFIXES for word in prefixes)
    ):
        return None
    if given.lower() in _NOT_PLAIN or last.lower() in _NOT_PLAIN or prefixes[:1] == ["und"]:
        return None
    return NameParts(given, "", " ".join([*prefixes, last]), f"{given[0]}. {last[0]}.")


def _parsed(name: str) -> NameParts | None:
    parsed = _PARSER.parse(name)
    # "Prince" and "Baron Jansen" are names too: without a given or family name the guess was a wrong one.
    if not parsed.family or not (parsed.given or parsed.title):
        return None
    return NameParts(str(parsed.given), str(parsed.middle), str(parsed.family), str(parsed.initials()))


def _last_word(words: list[str]) -> NameParts:
    surname = words[-1]
    return NameParts(" ".join(words[:-1]), "", surname, "")


def compose_name(*parts: str) -> str:
    """Return the parts joined as BC joins them: one space, blank ones left out."""
    return " ".join(part for text in parts if (part := clean_line(text)))
