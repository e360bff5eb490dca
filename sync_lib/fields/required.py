"""Required fields (rules 3): what a contact must have before it travels, as a reason or None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sync_lib.fields.normal_forms import company_key, email_key, email_problem
from sync_lib.fields.slots import addresses
from sync_lib.fields.texts import is_visible
from sync_lib.model import Fields

if TYPE_CHECKING:
    import pandas as pd

#: What a contact may lack; "invalid" stands for a problem that is not there any more when it is looked up.
PROBLEMS = frozenset({"name_missing", "email_missing", "email_invalid", "invalid"})


def to_outlook_problem(name: str, email: str) -> str | None:
    """Return why a person of BC can't go to Outlook: ``name_missing``, ``email_missing``, ``email_invalid`` or None.

    That the contact is a person, and not blocked, is the scope's business, not a reason to report.
    """
    return email_problem(email) if is_visible(name) else "name_missing"


def to_business_central_problem(fields: Fields) -> str | None:
    """Return why an Outlook contact can't go to BC: ``name_missing``, ``email_missing``, ``email_invalid`` or None.

    ``reading.from_outlook`` puts a name together from given name and surname where the display name is blank.
    """
    return to_outlook_problem(fields.get("name", ""), fields.get("email", ""))


def new_item_problem(fields: Fields, record: Mapping[str, Any]) -> str | None:
    """Return why a new Outlook item can't become a contact of BC, as ``to_business_central_problem`` does.

    Outlook itself names a card after its company or its address when nobody gave it a name: a display name that is no
    more than that is none.
    """
    parts = (record.get("givenName"), record.get("surname"))
    if not any(isinstance(part, str) and is_visible(part) for part in parts):
        name = fields.get("name", "")
        others = {email_key(address) for address in addresses(record)} | {
            company_key(fields.get("company_name", ""))
        }
        if not {email_key(name), company_key(name)}.isdisjoint(others - {""}):
            return "name_missing"
    return to_business_central_problem(fields)


def problems(names: pd.Series[str], emails: pd.Series[str]) -> pd.Series[str]:
    """Return the reason per row of two aligned columns, "" where nothing is missing. Names and e-mails as text."""
    # The rows of a company are re-read often and change seldom: ``email_problem`` keeps what it has seen.
    reasons = [to_outlook_problem(name, email) or "" for name, email in zip(names, emails, strict=True)]
    return names.__class__(reasons, index=names.index, dtype="str")
