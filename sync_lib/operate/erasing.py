"""What is said of a contact that is erased, or would be: the same for the command and for the page. Names nobody.

Texts are English, with their values apart: the command writes them as they are, the page translates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync_lib.store.erasure import Erasure


@dataclass(frozen=True, slots=True)
class Said:
    """One thing to know.

    Attributes:
        template: A sentence, with the places of ``values``; what it names follows it.
        values: What is put in those places.
        mailboxes: Mailboxes that it is about.
        contacts: Ids in BC of other contacts that it is about.
    """

    template: str
    values: Mapping[str, int] = field(default_factory=dict)
    mailboxes: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as one line of English."""
        named = ", ".join((*self.mailboxes, *self.contacts))
        return f"{self.template % self.values} {named}".strip()


NOTHING = Said("Nothing of this contact is stored.")
_IN_BC = Said(
    "Business Central still has this contact: the next sync brings it back. Delete it there first; a privacy block "
    "keeps it out of Outlook, but not out of the staging database."
)


def said_of(found: Erasure, *, erased: bool) -> list[Said]:
    """Return what was done, or would be, and what a person has to do besides."""
    if not found.total:
        return [NOTHING]
    said = [_rows(found.total, erased=erased)]
    if found.in_bc:
        said.append(_IN_BC)
    if found.mailboxes:
        said.append(
            Said(
                "It is still in a synced folder: delete it there as well, or the next sync reads it again. Mailboxes:",
                mailboxes=tuple(found.mailboxes),
            )
        )
    if found.others:
        said.append(
            Said(
                "Other contacts have an address of it, and nothing of them goes:",
                contacts=tuple(found.others),
            )
        )
    return said


def _rows(count: int, *, erased: bool) -> Said:
    if count == 1:
        return Said("One row is erased.") if erased else Said("One row would be erased.")
    values = {"count": count}
    return (
        Said("%(count)s rows are erased.", values)
        if erased
        else Said("%(count)s rows would be erased.", values)
    )
