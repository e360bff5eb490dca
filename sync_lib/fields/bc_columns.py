"""Every field of the BC contact that the sync reads: its API property, staging column, caption and length.

Sources: AL page 30071 ``APIV2 - Contacts`` and table 5050 ``Contact`` of Microsoft's base application; the second
group is what the project's own API page adds (``extended`` field profile).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "code", "option", "boolean", "date"]


@dataclass(frozen=True, slots=True)
class BcColumn:
    """One field of the BC contact.

    Attributes:
        name: Column of the staging table ``bc_contact`` and key of ``BcContact.values``.
        property: Property of the API.
        caption: What BC's filter pane calls it (English caption of the table field).
        kind: How BC compares it: ``code`` upper-case, ``text`` case-sensitive without ``@``.
        length: BC's limit in characters, 0 where there is none.
        extended: True when only our own API page has it.
        captions: Further names that users know it by, for example Dutch captions.
    """

    name: str
    property: str
    caption: str
    kind: Kind = "text"
    length: int = 0
    extended: bool = False
    captions: tuple[str, ...] = ()


BC_COLUMNS: tuple[BcColumn, ...] = (
    BcColumn("number", "number", "No.", "code", 20, captions=("Nr.",)),
    BcColumn("type", "type", "Type", "option", captions=("Soort",)),
    BcColumn("name", "displayName", "Name", "text", 100, captions=("Naam",)),
    BcColumn("job_title", "jobTitle", "Job Title", "text", 30, captions=("Functie",)),
    BcColumn("company_number", "companyNumber", "Company No.", "code", 20, captions=("Bedrijfsnr.",)),
    BcColumn("company_name", "companyName", "Company Name", "text", 100, captions=("Bedrijfsnaam",)),
    BcColumn(
        "business_relation",
        "contactBusinessRelation",
        "Contact Business Relation",
        "option",
        captions=("Relatie",),
    ),
    BcColumn("address", "addressLine1", "Address", "text", 100, captions=("Adres",)),
    BcColumn("address2", "addressLine2", "Address 2", "text", 50, captions=("Adres 2",)),
    BcColumn("city", "city", "City", "text", 30, captions=("Plaats",)),
    BcColumn("county", "state", "County", "text", 30, captions=("Provincie",)),
    BcColumn("country", "country", "Country/Region Code", "code", 10, captions=("Land-/regiocode",)),
    BcColumn("post_code", "postalCode", "Post Code", "code", 20, captions=("Postcode",)),
    BcColumn("phone", "phoneNumber", "Phone No.", "text", 30, captions=("Telefoonnr.",)),
    BcColumn(
        "mobile_phone", "mobilePhoneNumber", "Mobile Phone No.", "text", 30, captions=("Mobiele telefoon",)
    ),
    BcColumn("email", "email", "E-Mail", "text", 80, captions=("Email", "E-mail")),
    BcColumn("home_page", "website", "Home Page", "text", 255, captions=("Website", "Startpagina")),
    BcColumn("search_name", "searchName", "Search Name", "code", 100, captions=("Zoeknaam",)),
    BcColumn(
        "privacy_blocked", "privacyBlocked", "Privacy Blocked", "boolean", captions=("Privacy geblokkeerd",)
    ),
    BcColumn(
        "tax_number",
        "taxRegistrationNumber",
        "VAT Registration No.",
        "text",
        20,
        captions=("Btw-registratienr.", "BTW-nummer"),
    ),
    BcColumn(
        "last_interaction",
        "lastInteractionDate",
        "Date of Last Interaction",
        "date",
        captions=("Datum laatste interactie",),
    ),
    BcColumn("first_name", "firstName", "First Name", "text", 30, extended=True, captions=("Voornaam",)),
    BcColumn(
        "middle_name", "middleName", "Middle Name", "text", 30, extended=True, captions=("Tussenvoegsel",)
    ),
    BcColumn("surname", "surname", "Surname", "text", 30, extended=True, captions=("Achternaam",)),
    BcColumn("initials", "initials", "Initials", "text", 30, extended=True, captions=("Initialen",)),
    BcColumn("email2", "email2", "E-Mail 2", "text", 80, extended=True, captions=("Email 2", "E-mail 2")),
    BcColumn(
        "salesperson",
        "salespersonCode",
        "Salesperson Code",
        "code",
        20,
        extended=True,
        captions=("Verkoperscode",),
    ),
    BcColumn(
        "territory", "territoryCode", "Territory Code", "code", 10, extended=True, captions=("Gebiedscode",)
    ),
)

COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in BC_COLUMNS)


def columns_of(field_profile: str) -> tuple[BcColumn, ...]:
    """Return the columns that a field profile (``standard`` or ``extended``) reads."""
    return tuple(column for column in BC_COLUMNS if field_profile == "extended" or not column.extended)
