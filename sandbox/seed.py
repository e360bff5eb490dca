"""The seeded world: a Dutch trading company, its contacts and its colleagues' mailboxes, the same for each seed.

Any size can be made: the contents of mailboxes beyond the first six are made
when they are first touched. All domains are reserved ones, all telephone
numbers fictitious.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from random import Random
from typing import Any

from sandbox import seed_names as words
from sandbox.business_central.rules import split_name
from sandbox.business_central.table import Company, Row
from sandbox.clock import Clock, sql_milliseconds
from sandbox.graph.contact import apply
from sandbox.graph.mailbox import CONTACTS, Mailbox
from sandbox.guids import make_uuid
from sandbox.settings import Settings
from sandbox.world import World
from sandbox.world_json import new_group

# Monday 1 January 2024: far enough back for any clock that runs the sandbox.
FIRST_DAY = 1704096000
COMPANY_NAMES = ("CRONUS Nederland BV", "Bakkerij De Dageraad")
FOREIGN = ("Αλέξανδρος Παπάς", "Дарья Лебедева", "山田 花子", "Łucja Żółkiewska", "Zoë Müller-Ångström")
ODD_PHONES = (
    "020-5550110",
    "(010) 555 01 23",
    "0031205550145",
    "+31 (0)20 555 01 67",
    "5550189",
    "+32 2 555 01 90",
)


@dataclass
class Size:
    """How much world to make."""

    seed: int = 1
    companies: int = 2
    contacts: int = 300
    mailboxes: int = 6
    per_mailbox: int = 20


def make_world(size: Size, clock: Clock, settings: Settings) -> World:
    """Return the seeded world."""
    world = World(clock, settings, size.seed)
    for index in range(size.companies):
        name = COMPANY_NAMES[index] if index < 2 else f"Vestiging {index + 1} BV"
        company = Company(make_uuid("company", size.seed, name), name)
        _set_up(company, index)
        count = size.contacts if index == 0 else min(size.contacts, 24)
        fill_company(company, count, Random(f"{size.seed}/company/{index}"))
        world.companies[company.id] = company
    for index in range(size.mailboxes):
        world.add_mailbox(_make_mailbox(world, index, size.per_mailbox))
    _add_groups(world)
    joris = world.find_mailbox(f"joris.visser@{words.DOMAIN}")
    if joris is not None and world.companies:
        _add_hand_made_folder(joris, world.company(), settings)
    return world


def _set_up(company: Company, index: int) -> None:
    company.salespeople = [
        {"code": code, "displayName": name, "email": f"{mail}@{words.DOMAIN}", "email2": ""}
        for code, name, mail in words.SALESPEOPLE
    ]
    company.post_codes = dict(words.POST_CODES)
    company.defaults = {"language": "NLD"} if index == 0 else {"language": "NLD", "country": "NL"}


# Business Central


def fill_company(company: Company, count: int, random: Random) -> None:
    """Fill a company with contacts: one in six is a company, the others are persons."""
    companies: list[Row] = []
    for number in range(count):
        row = company.new_row("seed")
        row.number = f"CT{company.next_number:06d}"
        company.next_number += 1
        if number % 6 == 0:
            _company_row(row, number // 6, random)
            companies.append(row)
        else:
            employer = random.choice(companies) if random.random() < 0.75 else None
            _person_row(row, number, employer, random)
        row.search_name = row.display_name.upper()
        company.row_version += 1
        row.row_version = company.row_version
        row.created = sql_milliseconds(FIRST_DAY + number * 97)
        row.modified = sql_milliseconds(FIRST_DAY + 40000 + number * 97 + random.random())
        row.language = "NLD"
        company.rows[row.id] = row
        company.numbers[row.number] = row.id
    _add_oddities(list(company.rows.values()))


def _company_row(row: Row, index: int, random: Random) -> None:
    word = words.COMPANY_WORDS[index % len(words.COMPANY_WORDS)]
    kind = words.COMPANY_KINDS[index // len(words.COMPANY_WORDS) % len(words.COMPANY_KINDS)]
    wave = index // (len(words.COMPANY_WORDS) * len(words.COMPANY_KINDS))
    row.type = "Company"
    row.display_name = sys.intern(f"{word} {kind}{f' {wave}' if wave else ''}")
    row.company_number, row.company_name = row.number, row.display_name
    _place(row, random)
    row.email = f"info@{word.lower()}.example"
    row.website = f"https://www.{word.lower()}.example"
    row.phone = f"+31 20 555 {index % 100:02d} {index // 100 % 100:02d}"
    row.salesperson = sys.intern(words.SALESPEOPLE[index % len(words.SALESPEOPLE)][0])
    row.relation = random.choice(("_x0020_", "Customer", "Vendor"))


def _person_row(row: Row, number: int, employer: Row | None, random: Random) -> None:
    row.type = "Person"
    row.first_name = random.choice(words.FIRST_NAMES)
    prefix, row.surname = random.choice(words.PREFIXES), random.choice(words.SURNAMES)
    row.middle_name = sys.intern(prefix)
    row.display_name = " ".join(part for part in (row.first_name, prefix, row.surname) if part)
    row.initials = f"{row.first_name[0]}."
    row.job_title = random.choice(words.JOBS)
    domain = "voorbeeld.example"
    if employer is not None:
        row.company_number, row.company_name = employer.number, employer.display_name
        row.salesperson = employer.salesperson
        domain = employer.email.partition("@")[2]
        for name in ("address1", "city", "state", "postal_code", "country"):
            setattr(row, name, getattr(employer, name))
    else:
        _place(row, random)
        row.salesperson = random.choice(words.SALESPEOPLE)[0]
    surname = (prefix + row.surname).replace(" ", "").replace("'", "").lower()
    row.email = f"{row.first_name[0].lower()}.{surname}{number}@{domain}"
    row.phone = f"+31 10 555 {number % 100:02d} {number // 100 % 100:02d}" if number % 3 else ""
    row.mobile = f"+31 6 5550 {number % 10000:04d}" if number % 4 else ""


def _place(row: Row, random: Random) -> None:
    city, state, digits = random.choice(words.CITIES)
    row.address1 = f"{random.choice(words.STREETS)} {random.randint(1, 240)}"
    row.address2 = "Unit B" if random.random() < 0.1 else ""
    row.city, row.state, row.country = city, state, "NL"
    row.postal_code = f"{digits}{random.randint(10, 99)} {random.choice('ABCDEFGH')}{random.choice('KLMNPR')}"


def _add_oddities(rows: list[Row]) -> None:
    """Give some persons the data that real tables hold and validation would have refused."""
    persons = [row for row in rows if row.type == "Person"]
    if len(persons) < 20:
        return
    for start in range(0, len(persons) - 19, 100):
        some = persons[start : start + 20]
        some[1].email = some[0].email
        some[2].email = ""
        some[3].email = ("geen e-mail", "info(at)voorbeeld.example", "jan@")[start // 100 % 3]
        some[4].email = f"{some[4].email};prive.{some[4].email}"
        some[5].display_name = FOREIGN[start // 100 % len(FOREIGN)]
        split_name(some[5])
        some[6].display_name = FOREIGN[(start // 100 + 1) % len(FOREIGN)]
        split_name(some[6])
        some[7].phone = ODD_PHONES[start // 100 % len(ODD_PHONES)]
        some[8].phone = ODD_PHONES[(start // 100 + 3) % len(ODD_PHONES)]
        some[9].privacy_blocked = True
        some[10].email = some[10].email.upper()
        some[11].email2 = f"thuis.{some[11].email}"
        some[12].country, some[12].postal_code, some[12].city, some[12].state = "BE", "2000", "Antwerpen", ""
        some[13].delete_refused = "there are open tasks"
        # Names that the server's own splitting has damaged: prefix in the first name.
        some[14].display_name = "Jan van der Berg"
        split_name(some[14])
        for row in some:
            row.search_name = row.display_name.upper()


# Entra ID


def _add_groups(world: World) -> None:
    """Add the group of the sales department, with another one within it."""
    known = [world.find_mailbox(f"{local}@{words.DOMAIN}") for _name, local, _state in words.USERS]
    ids = [each.user_id for each in known if each]
    inside = new_group(world, "Binnendienst")
    inside.members = ids[2:]
    new_group(world, "Verkoop").members = [*ids[:2], inside.id]


# Outlook


def _make_mailbox(world: World, index: int, per_mailbox: int) -> Mailbox:
    if index < len(words.USERS):
        display_name, local, state = words.USERS[index]
    else:
        random = Random(f"{world.seed}/user/{index}")
        display_name = f"{random.choice(words.FIRST_NAMES)} {random.choice(words.SURNAMES)}"
        local, state = f"medewerker{index + 1:04d}", "normal"
    name = f"{local}@{words.DOMAIN}"
    mailbox = Mailbox(make_uuid("user", world.seed, name), name, display_name)
    mailbox.state = state
    settings, seed = world.settings, world.seed

    def fill(target: Mailbox) -> None:
        fill_mailbox(target, per_mailbox, Random(f"{seed}/mailbox/{index}"), settings)

    mailbox.fill = fill
    if index < len(words.USERS):
        mailbox.touch()
    return mailbox


def fill_mailbox(mailbox: Mailbox, count: int, random: Random, settings: Settings) -> None:
    """Fill a mailbox with private contacts: most in the default folder, some in one of the user's own."""
    if not count:
        return
    private = mailbox.create_folder("Privé", CONTACTS, FIRST_DAY)
    for number in range(count):
        folder = private if number % 5 == 4 else mailbox.folders[CONTACTS]
        body = _private_contact(number, random)
        mailbox.add(folder, apply({}, body, settings), None, FIRST_DAY + number * 61)


def _private_contact(number: int, random: Random) -> dict[str, Any]:
    first, surname = random.choice(words.FIRST_NAMES), random.choice(words.SURNAMES)
    body: dict[str, Any] = {
        "givenName": first,
        "surname": surname,
        "displayName": f"{first} {surname}",
        "mobilePhone": f"06-5550{number % 10000:04d}",
        "categories": ["Privé"] if number % 2 else [],
        "personalNotes": "\nKent de buren." if number % 7 == 0 else None,
    }
    if number % 3:
        address = f"{first}.{surname}{number}@thuis.example".lower()
        body["emailAddresses"] = [{"name": body["displayName"], "address": address}]
    if number % 4 == 0:
        body["homeAddress"] = {
            "street": f"Lindelaan {number + 1}",
            "city": "Utrecht",
            "countryOrRegion": "Nederland",
        }
    return body


def _add_hand_made_folder(mailbox: Mailbox, company: Company, settings: Settings) -> None:
    """Add a folder that a user made and filled: twins of BC contacts, doubles, and strangers."""
    folder = mailbox.create_folder("Business Central", CONTACTS, FIRST_DAY)
    persons = [row for row in company.sorted_rows() if row.type == "Person" and "@" in row.email]
    bodies = [
        {
            "givenName": row.first_name,
            "surname": row.surname,
            "displayName": row.display_name,
            "companyName": row.company_name or None,
            "emailAddresses": [{"address": row.email.split(";")[0], "name": row.display_name}],
            "mobilePhone": row.mobile.replace(" ", "") or None,
            "categories": ["Klanten"],
        }
        for row in persons[20:28]
    ]
    strangers = [_private_contact(number, Random(f"stranger/{number}")) for number in range(1, 6)]
    for number, body in enumerate([*bodies, *bodies[:2], *strangers, {"displayName": "Alleen een naam"}]):
        mailbox.add(folder, apply({}, body, settings), None, FIRST_DAY + number * 61)
