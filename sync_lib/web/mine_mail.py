"""My contacts: the weekly mail in words: what does not sync, why, and what to do about it.

It names contacts, since it goes to the colleague whose contacts they are; of one that its owner flagged private it
says nothing but that. What is as somebody chose, or passes by itself, is counted, and is no reason for a mail.
"""

from __future__ import annotations

from collections.abc import Iterable

from sync_lib.operate.notices import Notice
from sync_lib.operate.weekly_mail import About, Left, Letter
from sync_lib.web import words
from sync_lib.web.language import LANGUAGES, in_language, msg, number

#: Lines about one folder; the page has the others.
MOST = 50


def in_words(letter: Letter, default: str, page: str) -> Notice | None:
    """Return the mail as the colleague reads it, or None where nobody has to look after any of it.

    Args:
        letter: What does not sync.
        default: The language where there are no texts of the one that was chosen.
        page: The address of the colleague's own page, without a slash at its end.
    """
    writer = _Writer(letter.language if letter.language in LANGUAGES else default)
    told = [each for each in letter.about if _contacts(_to_do(each))]
    if not told:
        return None
    total = sum(len(_contacts(_to_do(each))) for each in told)
    links = [
        (
            writer.text(msg("Open what does not sync in %(folder)s"), folder=each.folder),
            f"{page}/{each.n}/not-synced",
        )
        for each in told
    ]
    subject = msg("My contacts: 1 contact does not sync")
    if total != 1:
        subject = msg("My contacts: %(count)s contacts do not sync")
    return Notice(
        writer.text(subject, count=number(total, writer.language)),
        tuple(writer.part(each) for each in told),
        tuple(links),
        writer.text(msg("You asked for this weekly mail: stop it under Settings")),
    )


def settings_of(letter: Letter, page: str) -> str:
    """Return the address where the colleague can stop the mail."""
    return f"{page}/{letter.about[0].n}/settings"


def _to_do(about: About) -> list[Left]:
    return [each for each in about.left if words.is_to_do(each.reason)]


def _contacts(lines: Iterable[Left]) -> set[tuple[str, str]]:
    return {each.contact for each in lines}


class _Writer:
    def __init__(self, language: str) -> None:
        self.language = language

    def text(self, message: str, **values: object) -> str:
        return in_language(self.language, message, **values)

    def part(self, about: About) -> tuple[str, tuple[str, ...]]:
        to_do = _to_do(about)
        lines = [self._line(each) for each in to_do[:MOST]]
        if len(to_do) > MOST:
            lines.append(self.text(msg("and %(count)s more"), count=len(to_do) - MOST))
        others = len(_contacts(about.left) - _contacts(to_do))
        if others:
            said = msg("1 more is not synced, and nothing is to be done about it.")
            if others > 1:
                said = msg("%(count)s more are not synced, and nothing is to be done about them.")
            lines.append(self.text(said, count=number(others, self.language)))
        return f"{about.folder} \N{MIDDLE DOT} {about.company}", tuple(lines)

    def _line(self, left: Left) -> str:
        name = left.name or self.text(msg("a contact without a name"))
        if left.private:
            name = self.text(words.PRIVATE_CONTACT)
        reason = words.reason_of(left.reason)
        what = f"{name}, {self.text(words.field_of(left.field))}" if left.field else name
        return f"{what}: {self.text(reason.means)}. {self.text(reason.remedy)}"
