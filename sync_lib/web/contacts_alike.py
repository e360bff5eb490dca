"""What many profiles answer alike about one contact is said once; what only few answer is said by each of them.

With hundreds of profiles one rule decides for nearly all of them. What differs between their answers and tells nobody
more is left out of the sentence then: the run, the time, the colleague's own salesperson code, or, where each profile
has a filter of its own, what that filter wants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sync_lib.store.queries.contacts import Note, Tie
from sync_lib.web.contacts_why import MISSED, MISSED_GROUPS, MISSED_ME, Value, Why
from sync_lib.web.language import msg

#: From so many on profiles that answer alike are put together.
MANY = 4

_EACH_ITS_OWN = {
    MISSED: msg("The filter leaves it out: %(field)s is %(value)s, and each profile wants something else."),
    MISSED_GROUPS: msg(
        "The filter leaves it out, since none of its groups holds it; each profile has groups of its own."
    ),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one profile answers."""

    tie: Tie
    whys: list[Why]

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """The fields of it that do not sync there, each with the reason."""
        return tuple((note.field, note.reason) for note in self.tie.notes if note.field)


@dataclass(frozen=True, slots=True)
class Alike:
    """Profiles that answer alike.

    Attributes:
        key: By which a page's address names them, as long as they answer that.
        whys: What they answer, as far as it is the same.
        answers: What each of them answers.
    """

    key: str
    whys: list[Why]
    answers: list[Answer]

    @property
    def notes(self) -> list[Note]:
        """The fields that do not sync in any of them."""
        return [note for note in self.answers[0].tie.notes if note.field]


def put_together(answers: Sequence[Answer]) -> tuple[list[Answer], list[Alike]]:
    """Return the answers that few profiles give, and those that many give, both in their order."""
    alike, rest = _by_what_they_say(answers, each_its_own=False)
    further, alone = _by_what_they_say(rest, each_its_own=True)
    return alone, alike + further


def _by_what_they_say(answers: Iterable[Answer], *, each_its_own: bool) -> tuple[list[Alike], list[Answer]]:
    given = list(answers)
    found: dict[str, list[Answer]] = {}
    keys = [_key(answer, each_its_own=each_its_own) for answer in given]
    for key, answer in zip(keys, given, strict=True):
        found.setdefault(key, []).append(answer)
    alike = [
        Alike(key, _common(each, each_its_own=each_its_own), each)
        for key, each in found.items()
        if len(each) >= MANY
    ]
    alone = [answer for key, answer in zip(keys, given, strict=True) if len(found[key]) < MANY]
    return alike, alone


def _key(answer: Answer, *, each_its_own: bool) -> str:
    said = [_plain(why, each_its_own=each_its_own) for why in answer.whys]
    text = repr((each_its_own, said, answer.tie.state, answer.notes, answer.tie.wished_by))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _common(answers: Sequence[Answer], *, each_its_own: bool) -> list[Why]:
    """What all of them answer, with the run, the time and the hold only where these are the same, too."""
    said = []
    for whys in zip(*(answer.whys for answer in answers), strict=True):
        first = whys[0]
        run = first.run if all(why.run == first.run for why in whys) else ""
        at = first.at if all(why.at == first.at for why in whys) else None
        hold = first.hold if all(why.hold == first.hold for why in whys) else None
        said.append(replace(_plain(first, each_its_own=each_its_own), run=run, at=at, hold=hold))
    return said


def _plain(why: Why, *, each_its_own: bool) -> Why:
    """The answer without what tells nobody more who reads it of many profiles."""
    text = MISSED if why.text == MISSED_ME else why.text
    left_out = {"me"}
    if each_its_own and text in _EACH_ITS_OWN:
        text, left_out = _EACH_ITS_OWN[text], {"me", "wanted", "groups"}
    values = {
        name: _plain_value(value, each_its_own=each_its_own)
        for name, value in why.values.items()
        if name not in left_out
    }
    return replace(why, text=text, values=values, run="", at=None, hold=None)


def _plain_value(value: Value, *, each_its_own: bool) -> Value:
    if isinstance(value, Why):
        return _plain(value, each_its_own=each_its_own)
    if isinstance(value, tuple):
        # Conditions of groups are compared as they are.
        return tuple(replace(each, run="", at=None) for each in value)
    return value
