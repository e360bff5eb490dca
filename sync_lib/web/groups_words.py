"""Plain words for groups of Entra ID: what was in the way, for their page too, and what was done by night."""

from __future__ import annotations

from collections.abc import Callable

from sync_lib.operate.notices import Item, Kind
from sync_lib.web.language import msg

#: Why nothing, or not everything, was done -> what is said of it, and what a person can do.
TROUBLES = {
    "no_right": (
        msg("The app may not read groups: nothing was changed."),
        msg("Grant it GroupMember.Read.All as an application permission, with admin consent."),
    ),
    "group_gone": (
        msg("Entra ID has no such group any more: nothing was changed."),
        msg("Take it out by contact-sync groups remove, or correct its name in the file."),
    ),
    "group_ambiguous": (
        msg("Several groups have this name: nothing was changed."),
        msg("Name the group by its id in the file."),
    ),
    "not_readable": (
        msg("Its members, or their mailboxes, could not be read."),
        msg("The next night tries again; the log of reconcile_groups says more."),
    ),
    "emptied": (
        msg("It is suddenly empty: nobody was switched off."),
        msg("If that is right: contact-sync groups reconcile --confirm NUMBER."),
    ),
    "many_leavers": (
        msg("Unusually many people left at once: they wait."),
        msg("See who they are: contact-sync groups reconcile --dry-run. If that is right: --confirm NUMBER."),
    ),
    "others_not_read": (
        msg(
            "Another group of the company could not be read: who left this one may be in that one, and waits."
        ),
        msg("See to the other group first."),
    ),
    "no_salespeople": (
        msg(
            "Business Central does not show its salespeople to the app: who joins waits, since the filter needs codes."
        ),
        msg("Let the app read the table Salesperson/Purchaser in Business Central."),
    ),
    "some_failed": (
        msg("Some people could not be dealt with; the others were."),
        msg("The log of reconcile_groups says who, and why."),
    ),
}

#: Headings of messages, of one and of several.
HEADINGS = {
    Kind.GROUP_TROUBLE: (msg("1 group needs attention"), msg("%(count)s groups need attention")),
    Kind.GROUP_FAILED: (
        msg("1 member of a group could not be dealt with"),
        msg("%(count)s members of groups could not be dealt with"),
    ),
    Kind.GROUP_WAITS: (
        msg("1 person who left a group waits for you"),
        msg("%(count)s people who left a group wait for you"),
    ),
    Kind.GROUP_LEFT: (msg("1 person left a group"), msg("%(count)s people left a group")),
    Kind.GROUP_JOINED: (
        msg("1 person joined a group and gets a profile"),
        msg("%(count)s people joined a group and get a profile"),
    ),
    Kind.GROUP_BACK: (msg("1 person is back in a group"), msg("%(count)s people are back in a group")),
    Kind.GROUP_MOVED: (
        msg("1 person went over to another group"),
        msg("%(count)s people went over to another group"),
    ),
    Kind.GROUP_CHANGED: (
        msg("1 profile was changed by its group"),
        msg("%(count)s profiles were changed by their groups"),
    ),
}
#: What becomes of the profiles of those whom a line names, by kind and reason.
_BECOMES = {
    (Kind.GROUP_FAILED, ""): msg("The log of reconcile_groups says why; the next night tries again."),
    (Kind.GROUP_LEFT, "switched_off"): msg("Switched off; their folders stay as they are."),
    (Kind.GROUP_LEFT, "as_set"): msg("Their profiles stay as a person set them."),
    (Kind.GROUP_LEFT, "keep"): msg("The next run ends their profiles; the contacts stay in Outlook."),
    (Kind.GROUP_LEFT, "remove"): msg(
        "The next run ends their profiles, and deletes in Outlook what the sync made and nobody edited since."
    ),
    (Kind.GROUP_BACK, ""): msg("Their profiles are switched on again."),
    (Kind.GROUP_BACK, "as_set"): msg("Their profiles stay as a person set them."),
}


def line(kind: Kind, item: Item, names: str, text: Callable[[str], str]) -> str:
    """Return a line of a message about a group.

    Args:
        kind: Of what.
        item: One group, with those whom it is about.
        names: Those people, as a line names them.
        text: Says a marked text in the language of the message.
    """
    if kind is Kind.GROUP_TROUBLE:
        means, remedy = TROUBLES[item.reason]
        said = f"{text(means)} {text(remedy)} {item.text}".rstrip()
    else:
        becomes = _BECOMES.get((kind, item.reason))
        said = f"{names}: {text(becomes)}" if becomes else names
    return f"{item.group}: {said}"
