"""Do both sides agree? Judged from the sandbox's own state, with rules written anew and nothing of sync_lib.

Only what a person must decide, or cannot be synced at all, is left aside, and is counted by reason.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import phonenumbers
from babel import Locale

#: What keeps a contact, or one field of it, from being the same on both sides, without anything being wrong.
EXCUSES = {
    "name_missing",
    "email_missing",
    "email_invalid",
    "duplicate_email_in_bc",
    "duplicate_email_in_outlook",
    "company_contact",
    "outside_filter",
    "privacy_blocked",
    "company_not_unique",
    "too_long",
    "too_many_lines",
    "letters_in_phone",
    "unknown_country",
    "held",
}

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAIL = re.compile(r"[^@\s;,()<>]+@[^@\s;,()<>]+\.[^@\s;,()<>.]{2,}")


@dataclass(frozen=True)
class Expected:
    """A profile as the demo set it up: which mailbox and folder show which contacts of which company."""

    mailbox: str
    company: str
    folder: str = "Business Central"
    #: API property of the contact -> wildcards, one of which its value matches whatever the case.
    shows: dict[str, list[str]] = field(default_factory=dict)
    #: Whether name parts, initials and second addresses are the same on both sides too.
    extended: bool = False


@dataclass
class Findings:
    """What the comparison found."""

    compared: int = 0
    excused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def compare(
    world: dict[str, Any], expected: Iterable[Expected], excuses: dict[tuple[str, str, str], str]
) -> Findings:
    """Return where the two sides differ.

    Args:
        world: The sandbox's dump.
        expected: The profiles.
        excuses: What was reported as not synced: (mailbox, contact id, field or "") -> reason. Reasons that are not
            in ``EXCUSES`` excuse nothing.
    """
    findings = Findings()
    companies = {company["name"]: company for company in world["companies"]}
    mailboxes = {mailbox["user_principal_name"]: mailbox for mailbox in world["mailboxes"]}
    for profile in expected:
        folder = next((f for f in mailboxes[profile.mailbox]["folders"] if f["name"] == profile.folder), None)
        if folder is None:
            findings.problems.append(f"{profile.mailbox} has no folder {profile.folder!r}")
            continue
        own = {
            key[1:]: reason
            for key, reason in excuses.items()
            if key[0] == profile.mailbox and reason in EXCUSES
        }
        _Profile(profile, companies[profile.company], folder, own, findings).compare()
    return findings


class _Profile:
    def __init__(
        self,
        profile: Expected,
        company: dict[str, Any],
        folder: dict[str, Any],
        excuses: dict[tuple[str, str], str],
        findings: Findings,
    ) -> None:
        self.profile = profile
        self.countries = company["countries"]
        self.contacts = {contact["id"]: contact for contact in company["contacts"]}
        self.folder = folder
        self.excuses = excuses
        self.findings = findings

    def compare(self) -> None:
        by_contact = defaultdict(list)
        for item in self.folder["contacts"]:
            found = self.contact_of(item)
            if found is None:
                self.problem(
                    item["immutable_id"],
                    "",
                    "is in Outlook and belongs to no contact of Business Central",
                )
            else:
                by_contact[found].append(item)
        for contact_id, items in by_contact.items():
            if len(items) > 1:
                self.problem(contact_id, "", f"is in Outlook {len(items)} times")
            self.compare_fields(self.contacts[contact_id], items[0])
        for contact_id, contact in self.contacts.items():
            if self.is_shown(contact) and contact_id not in by_contact:
                self.problem(contact_id, "", "should be in Outlook and is not")

    def contact_of(self, item: dict[str, Any]) -> str | None:
        """Return the contact that an item stands for, by the key that the sync left on it."""
        guids = {guid for value in item["extended"].values() for guid in _GUID.findall(str(value).lower())}
        return next((guid for guid in guids if guid in self.contacts), None)

    def is_shown(self, contact: dict[str, Any]) -> bool:
        """Return whether the seed page's rules put this contact into the folder."""
        complete = contact["displayName"].strip() and _MAIL.fullmatch(first_address(contact["email"]))
        if contact["type"] != "Person" or contact["privacyBlocked"] or not complete:
            return False
        return all(
            any(fnmatch.fnmatchcase(contact[name].lower(), wildcard.lower()) for wildcard in wildcards)
            for name, wildcards in self.profile.shows.items()
        )

    def compare_fields(self, contact: dict[str, Any], item: dict[str, Any]) -> None:
        self.findings.compared += 1
        if contact["privacyBlocked"]:
            self.problem(contact["id"], "", "is blocked for privacy and is in Outlook")
        theirs = self.values_of_item(item["properties"])
        ours = self.values_of_contact(contact)
        if self.profile.extended:
            ours |= extended_of_contact(contact)
            theirs |= extended_of_item(item["properties"], ours["email2"])
        for name, value in ours.items():
            if value != theirs[name]:
                self.problem(contact["id"], name, "differs", other=item["immutable_id"])

    def values_of_contact(self, contact: dict[str, Any]) -> dict[str, str]:
        return {
            "name": plain(contact["displayName"]),
            "email": first_address(contact["email"]).casefold(),
            "job_title": plain(contact["jobTitle"]),
            "company_name": plain(contact["companyName"]),
            "phone": number(contact["phoneNumber"]),
            "mobile_phone": number(contact["mobilePhoneNumber"]),
            "home_page": plain(contact["website"]),
            "street": plain(f"{contact['addressLine1']} {contact['addressLine2']}"),
            "city": plain(contact["city"]),
            "county": plain(contact["state"]),
            "post_code": contact["postalCode"].replace(" ", "").upper(),
            "country": contact["country"],
        }

    def values_of_item(self, item: dict[str, Any]) -> dict[str, str]:
        address = item.get("businessAddress") or {}
        addresses = [entry.get("address") or "" for entry in item.get("emailAddresses") or []]
        phones = item.get("businessPhones") or []
        return {
            "name": plain(item.get("displayName")),
            "email": (addresses[0] if addresses else "").casefold(),
            "job_title": plain(item.get("jobTitle")),
            "company_name": plain(item.get("companyName")),
            "phone": number(phones[0] if phones else ""),
            "mobile_phone": number(item.get("mobilePhone")),
            "home_page": plain(item.get("businessHomePage")),
            "street": plain(address.get("street")),
            "city": plain(address.get("city")),
            "county": plain(address.get("state")),
            "post_code": (address.get("postalCode") or "").replace(" ", "").upper(),
            "country": self.country(address.get("countryOrRegion") or ""),
        }

    def country(self, name: str) -> str:
        """Return the code of a country's name in Business Central's table, or in Dutch or English."""
        wanted = name.strip().casefold()
        if not wanted:
            return ""
        names = {code.casefold(): code for code in self.countries}
        for language in ("en", "nl"):
            names |= {str(text).casefold(): code for code, text in Locale(language).territories.items()}
        names |= {text.casefold(): code for code, text in self.countries.items()}
        return str(names.get(wanted, name))

    def problem(self, contact_id: str, field_name: str, what: str, *, other: str = "") -> None:
        """Note a difference, unless it was reported with a reason that no run can fix."""
        keys = [(part, name) for part in (contact_id, other) if part for name in (field_name, "")]
        reason = next((self.excuses[key] for key in keys if key in self.excuses), None)
        if reason:
            self.findings.excused[reason] += 1
        else:
            about = f"{contact_id} {field_name}".strip()
            self.findings.problems.append(f"{self.profile.mailbox}: {about} {what}")


def extended_of_contact(contact: dict[str, Any]) -> dict[str, str]:
    """Return what only the extended field profile carries, of a contact of Business Central."""
    return {
        "surname": words(contact["firstName"], contact["middleName"], contact["surname"]),
        "initials": plain(contact["initials"]),
        "email2": first_address(contact["email2"]).casefold(),
    }


def extended_of_item(item: dict[str, Any], second: str) -> dict[str, str]:
    """Return the same of an item; of its further addresses the one that Business Central has, if it is there."""
    further = [(entry.get("address") or "").casefold() for entry in (item.get("emailAddresses") or [])[1:]]
    return {
        "surname": words(item.get("givenName"), item.get("middleName"), item.get("surname")),
        "initials": plain(item.get("initials")),
        "email2": second if second in further else "",
    }


def words(*parts: str | None) -> str:
    """Return the words of the parts of a name: each side may split one name its own way."""
    return " ".join(sorted(" ".join(part or "" for part in parts).split()))


def plain(text: str | None) -> str:
    """Return a text with all white space, line ends too, as single blanks."""
    return " ".join((text or "").split())


def first_address(text: str) -> str:
    """Return the first of several addresses in Business Central's one field."""
    return text.partition(";")[0].strip()


def number(text: str | None) -> str:
    """Return a telephone number in international form, where it can be understood."""
    try:
        return phonenumbers.format_number(
            phonenumbers.parse(text or "", "NL"), phonenumbers.PhoneNumberFormat.E164
        )
    except phonenumbers.NumberParseException:
        return plain(text)
