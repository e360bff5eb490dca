"""Profiles for many colleagues at once, for somebody to look through: who matches a mailbox, who does not, and why.

Nothing is written anywhere: what comes of it is text, which ``profiles import`` takes once it has been reviewed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sync_lib.errors import AccessDeniedError, ConfigError, NotFoundError
from sync_lib.fields.filters import Groups
from sync_lib.fields.normal_forms import email_key, email_problem
from sync_lib.model import Company
from sync_lib.operate.people import Person, codes_by_address
from sync_lib.ports import Account
from sync_lib.services import Services
from sync_lib.store import companies
from sync_lib.store.company_names import CompanyNames
from sync_lib.store.engine import read
from sync_lib.store.profiles import file as profile_file
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.file import ProfileEntry, ProfileFile
from sync_lib.store.profiles.rows import Profile

if TYPE_CHECKING:
    from sqlalchemy import Connection

NO_ADDRESS = "the source has no e-mail address"
NOT_AN_ADDRESS = "the source's e-mail address is none"
UNKNOWN = "no user of the tenant has this address"
SEVERAL = "several users of the tenant have this address"
NAMELESS = "Microsoft Graph does not say who this is: grant the app User.ReadBasic.All"
DISABLED = "the account is disabled"
TWINS = "several people of the source have this mailbox"
KNOWN = "has a profile of this company already, which is left alone"
FOLDER_TAKEN = "a profile of another company has the folder of this name: choose another name by --folder"
NO_MAILBOX = "the account has no mailbox"
CLOSED = "the app may not open the mailbox: add it to the group of the app's access policy or RBAC scope"
NO_CODE = "the filter names %me, and no salesperson alone has this address in BC"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Somebody who gets no profile, and why."""

    who: str
    address: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Profiles to look through, and who is not among them."""

    profiles: tuple[ProfileEntry, ...]
    left_out: tuple[LeftOut, ...]


@dataclass
class _Found:
    """A person on the way: the account, and the profile that it would get."""

    person: Person
    entry: ProfileEntry
    account: Account | None = None
    why: str = ""

    @property
    def place(self) -> tuple[str, ...]:
        # Two profiles of a mailbox cannot share a folder, whatever their companies.
        return (self.account.id if self.account else "", *self.entry.identity[2:])


def propose(services: Services, people: Sequence[Person], wanted: ProfileEntry) -> Proposal:
    """Return one profile for each person who matches a mailbox.

    Args:
        services: The services and the staging database, of which nothing is changed.
        people: Who may get one.
        wanted: What each profile has unless the person's source says otherwise; its mailbox counts for nothing.

    Raises:
        ConfigError: Business Central lists no such company, or a service does not show what is needed.
    """
    found = [_Found(person, replace(wanted, **person.values)) for person in people]
    _check_companies(services, {one.entry.company_name for one in found})
    _match(services, found)
    with read(services.engine) as conn:
        known = Known.read(conn)
    _refuse(found, known)
    _fill_codes(services, found)
    _open(services, found)
    entries = tuple(_named(one) for one in found if not one.why)
    left = tuple(LeftOut(one.person.who, one.person.address, one.why) for one in found if one.why)
    return Proposal(entries, left)


def _named(one: _Found) -> ProfileEntry:
    assert one.account is not None
    return replace(one.entry, mailbox=one.account.principal_name)


def find_company(services: Services, name: str) -> Company:
    """Return the company that Business Central lists by a name or an id; nothing is remembered of the list.

    Raises:
        ConfigError: It lists none of that name.
    """
    listed = services.business_central.fetch_companies()
    with read(services.engine) as conn:
        company = companies.find_listed(conn, listed, name)
    if company is None:
        names = ", ".join(each.name for each in listed) or "none"
        raise ConfigError(f"Business Central lists no company {name!r}. It lists: {names}.")
    return company


def _check_companies(services: Services, names: Collection[str]) -> None:
    for name in names:
        find_company(services, name)


# -- who is who ------------------------------------------------------------------------------------------------------


def _match(services: Services, found: Sequence[_Found]) -> None:
    """Give each person the account that has the address."""
    accounts = Accounts(services.directory.fetch_accounts()) if _lacks_account(found) else Accounts(())
    for one in found:
        if one.person.account:
            one.account, one.why = one.person.account, "" if one.person.account.principal_name else NAMELESS
        elif not one.person.address:
            one.why = NO_ADDRESS
        elif email_problem(one.person.address):
            one.why = NOT_AN_ADDRESS
        else:
            one.account, one.why = accounts.find(one.person.address)


def _lacks_account(found: Iterable[_Found]) -> bool:
    return any(one.person.account is None for one in found)


class Accounts:
    """The users of a tenant by address."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_address: dict[str, dict[str, Account]] = {}
        for each in accounts:
            for address in {email_key(address) for address in each.addresses} - {""}:
                self._by_address.setdefault(address, {})[each.id] = each

    def find(self, address: str) -> tuple[Account | None, str]:
        """Return the one account that has an address, or why there is none."""
        found = list(self._by_address.get(email_key(address), {}).values())
        if len(found) == 1:
            return found[0], ""
        return None, SEVERAL if found else UNKNOWN


@dataclass(frozen=True, slots=True)
class Known:
    """The profiles that there are, by what may be compared with an account and a company."""

    profiles: Sequence[Profile]
    former: Mapping[int, Collection[str]]
    names: CompanyNames

    @classmethod
    def read(cls, conn: Connection) -> Known:
        """Return what the staging database has."""
        return cls(
            profiles.read_profiles(conn, enabled_only=False),
            profiles.read_former_mailboxes(conn),
            CompanyNames.read(conn),
        )

    def of_account(self, account: Account) -> list[Profile]:
        """Return the profiles of a mailbox, by its user id or by any address that it has or had."""
        addresses = {address.casefold() for address in account.addresses} - {""}
        return [
            each
            for each in self.profiles
            if each.graph_user_id == account.id
            or {each.mailbox.casefold(), *self.former.get(each.id, ())} & addresses
        ]

    def is_company(self, profile: Profile, name: str) -> bool:
        """Whether a profile is of the company that a name or an id means."""
        if profile.company_name.casefold() == name.casefold():
            return True
        company = self.names.id_of(name)
        return bool(company) and self.names.id_of(profile.company_name) == company

    def problem(self, account: Account, entry: ProfileEntry) -> str:
        """Say why an account gets no profile beside those that it has, or ""."""
        others = self.of_account(account)
        if any(self.is_company(each, entry.company_name) for each in others):
            return KNOWN
        folder = entry.folder_name.casefold()
        same = (
            each.folder_name.casefold() == folder or (each.default_folder and entry.default_folder)
            for each in others
        )
        return FOLDER_TAKEN if any(same) else ""


def _refuse(found: Sequence[_Found], known: Known) -> None:
    counts = Counter(one.place for one in found if one.account)
    for one in found:
        if one.account is None or one.why:
            continue
        if one.account.enabled is False:
            one.why = DISABLED
        elif counts[one.place] > 1:
            one.why = TWINS
        else:
            one.why = known.problem(one.account, one.entry)


# -- codes and mailboxes ---------------------------------------------------------------------------------------------


def names_me(filter_: Groups) -> bool:
    """Whether a filter asks for the profile's own salesperson code."""
    return any("%me" in expression.casefold() for group in filter_ for _, expression in group)


def code_of(account: Account, codes: Mapping[str, str]) -> str:
    """Return the salesperson code of an account, by any of its addresses, or ""."""
    found = {codes.get(email_key(address), "") for address in account.addresses} - {""}
    return found.pop() if len(found) == 1 else ""


def _fill_codes(services: Services, found: Sequence[_Found]) -> None:
    lacking = [one for one in found if not one.why and names_me(one.entry.filter)]
    lacking = [one for one in lacking if not one.entry.salesperson_code]
    for company in sorted({one.entry.company_name for one in lacking}):
        codes = codes_by_address(services, find_company(services, company).id)
        for one in lacking:
            if one.entry.company_name == company and one.account:
                code = code_of(one.account, codes)
                one.entry, one.why = replace(one.entry, salesperson_code=code), "" if code else NO_CODE


def _open(services: Services, found: Sequence[_Found]) -> None:
    left = [one for one in found if one.account and not one.why]
    whys = why_closed(services, {one.account.id for one in left if one.account})
    for one in left:
        one.why = whys[one.account.id] if one.account else ""


def why_closed(services: Services, users: Collection[str]) -> dict[str, str]:
    """Return for each user id why its mailbox does not open, or ""."""
    opened = services.directory.open_mailboxes(sorted(users))
    return {user: _why(error) for user, error in opened.items()}


def _why(error: Exception | None) -> str:
    if error is None:
        return ""
    if isinstance(error, NotFoundError) and error.in_form:
        return NO_MAILBOX
    if isinstance(error, AccessDeniedError) and error.in_form:
        return CLOSED
    return f"the mailbox could not be asked: {error}"


# -- text ------------------------------------------------------------------------------------------------------------


def to_yaml(proposal: Proposal, source: str) -> str:
    """Return the file to look through: who was left out, as comments, and the profiles."""
    count, left = len(proposal.profiles), proposal.left_out
    lines = [f"Proposed from {source}: {count} profiles. Left out: {len(left)}."]
    lines += [f"- {each.who} ({each.address or 'no address'}): {each.why}" for each in left]
    lines += ["Look through it, then: contact-sync profiles import FILE"]
    comments = "".join(f"# {_visible(line)}\n" for line in lines)
    return comments + profile_file.dump(ProfileFile(proposal.profiles))


def _visible(text: str) -> str:
    """A line end in a name would end the comment, and make the rest of the name a part of the file."""
    return "".join(char if char.isprintable() else "?" for char in text)
