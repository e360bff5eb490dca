"""The settings of a profile in plain words: what each is called, what it does, and what its values mean."""

from __future__ import annotations

from dataclasses import dataclass

from sync_lib.web.language import msg


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values of a setting."""

    value: str
    title: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A column of ``sync_profile`` that a person may change."""

    column: str
    title: str
    hint: str = ""
    choices: tuple[Choice, ...] = ()


SETTINGS = {
    each.column: each
    for each in (
        Setting("mailbox", msg("Mailbox"), msg("The person's user principal name in Microsoft 365.")),
        Setting("company_name", msg("Company"), msg("Its name or id in Business Central.")),
        Setting(
            "enabled",
            msg("Sync this profile"),
            msg(
                "Switched off, nothing is synced and the folder stays as it is: later privacy blocks do not "
                "reach it either."
            ),
        ),
        Setting("filter", msg("Filter")),
        Setting("folder_name", msg("Outlook folder"), msg("The next sync gives the folder this name.")),
        Setting(
            "default_folder",
            msg("The mailbox's own Contacts folder"),
            msg(
                "Private contacts in it that have a name and an e-mail address go to Business Central. Rarely "
                "right."
            ),
        ),
        Setting(
            "direction",
            msg("Direction"),
            choices=(
                Choice("both", msg("Both directions")),
                Choice("to_outlook", msg("To Outlook only: what colleagues edit there is undone")),
                Choice(
                    "to_business_central",
                    msg("To Business Central only: in Outlook, only blocked contacts are deleted"),
                ),
            ),
        ),
        Setting(
            "salesperson_code",
            msg("Salesperson code"),
            msg("Of this colleague; what %me means in a filter on the salesperson."),
        ),
        Setting("language", msg("Language"), msg("Of the names of countries in Outlook.")),
        Setting(
            "categories",
            msg("Categories in Outlook"),
            msg(
                "Separated by semicolons; {company}, {salesperson} and {territory} stand for what Business Central "
                "has of the contact. Colleagues keep their own categories."
            ),
        ),
        Setting(
            "deleted_in_outlook",
            msg("Deleted in Outlook, still in the filter"),
            choices=(
                Choice("recreate", msg("Make it again in Outlook")),
                Choice("stay_away", msg("Let it stay away until Business Central changes it")),
            ),
        ),
        Setting(
            "deleted_in_bc",
            msg("Deleted in Business Central"),
            choices=(
                Choice("delete", msg("Delete it in Outlook, if the sync made it and nobody edited it since")),
                Choice("keep", msg("Keep it in Outlook, and sync it no longer")),
            ),
        ),
        Setting(
            "left_scope",
            msg("No longer in the filter"),
            choices=(
                Choice("delete", msg("Delete it in Outlook, if the sync made it and nobody edited it since")),
                Choice("keep", msg("Keep it in Outlook, and sync it no longer")),
            ),
        ),
        Setting(
            "blank_in_bc",
            msg("At the first match: blank in Business Central, filled in Outlook"),
            choices=(
                Choice("fill", msg("Outlook's value fills Business Central")),
                Choice("overwrite", msg("The blank clears Outlook's value")),
            ),
        ),
    )
}

#: What no file says of a profile, its history says.
WISHES = {
    "ending": Setting(
        "ending",
        msg("End of the profile"),
        choices=(
            Choice("", msg("goes on")),
            Choice("keep", msg("Keep the contacts in Outlook")),
            Choice("remove", msg("Remove what the sync made")),
        ),
    )
}

#: What a connection check looks at.
CHECKS = {
    "staging": msg("Staging database"),
    "graph_token": msg("Login to Microsoft Graph"),
    "graph_permissions": msg("Permissions in Microsoft Graph"),
    "group": msg("Groups of Entra ID"),
    "bc_token": msg("Login to Business Central"),
    "bc_permissions": msg("Permissions in Business Central"),
    "companies": msg("Companies in Business Central"),
    "filter": msg("Filter of this profile"),
    "company": msg("Company of this profile"),
    "countries": msg("Countries in Business Central"),
    "salesperson": msg("Salesperson code"),
    "mailbox": msg("Mailbox and folder"),
    "if_match": msg("Writes with an old version"),
}

#: How to write an expression, by example (rules 4).
EXAMPLES = (
    ("Utrecht", msg("exactly that; in a text, upper and lower case count")),
    ("@*bakker*", msg("contains it, in upper or lower case; * stands for any text, ? for one character")),
    ("Utrecht|Zeist", msg("one or the other")),
    ("<>A*&<>B*", msg("both conditions; <> means not")),
    ("1000..1999", msg("a range, with its ends; one end may be left out")),
    ("''", msg("blank; <>'' is not blank")),
    ("'Jansen & Zonen'", msg("quotes around a text that holds operators")),
    ("01-01-2026..", msg("a date: day first, or year first as in 2026-01-01")),
)


def title_of(column: str, value: object) -> str:
    """Return what a value of a setting means, as marked text; "" for one that people write and that means itself."""
    for choice in (SETTINGS | WISHES)[column].choices:
        if choice.value == value:
            return choice.title
    if isinstance(value, bool):
        return msg("yes") if value else msg("no")
    return ""
