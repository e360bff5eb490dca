"""Who may get a profile: people as Business Central, a group of Entra ID or a list knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_lib.errors import AccessDeniedError, ApiError, AuthError, ConfigError, NotFoundError
from sync_lib.fields.normal_forms import email_key, first_address
from sync_lib.ports import Account, Colleague, DirectoryGroup
from sync_lib.services import Services
from sync_lib.store.profiles import csv_file

#: The right without which no group can be read.
GROUP_RIGHT = "GroupMember.Read.All"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may get a profile.

    Attributes:
        who: What a person who looks through the proposal knows them by.
        address: Their e-mail address, "" where the source has none.
        values: What the source says of their profile, by column of ``sync_profile``.
        account: Their account, where the source is the directory itself.
    """

    who: str
    address: str
    values: Mapping[str, Any] = field(default_factory=dict)
    account: Account | None = None


def from_salespeople(services: Services, company_id: str) -> list[Person]:
    """Return the salespeople of a company, with their codes.

    Raises:
        ConfigError: Business Central does not show them to the app.
    """
    found = _colleagues(services.business_central.fetch_salespeople, company_id, "salespeople", _SALESPEOPLE)
    return [
        Person(
            f"salesperson {each.code}, {each.name}",
            first_address(each.email),
            {"salesperson_code": each.code.upper()},
        )
        for each in found
    ]


def from_users(services: Services, company_id: str) -> list[Person]:
    """Return the users of Business Central.

    Raises:
        ConfigError: Business Central does not show them to the app.
    """
    found = _colleagues(services.business_central.fetch_users, company_id, "users", _USERS)
    return [Person(f"user {each.code}, {each.name}", first_address(each.email)) for each in found]


_SALESPEOPLE = "Let the app read the table Salesperson/Purchaser in BC"
_USERS = "Let the app read the table User in BC"


def _colleagues(
    fetch: Callable[[str], list[Colleague]], company_id: str, what: str, remedy: str
) -> list[Colleague]:
    try:
        return fetch(company_id)
    except NotFoundError as error:
        if not error.in_form:
            raise
        raise ConfigError(
            f"This Business Central has no list of {what} ({error.code or error.status}): it is older than that list, "
            "or our extension in it is. Update it, or propose from a CSV file."
        ) from error
    except (AccessDeniedError, AuthError) as error:
        raise ConfigError(
            f"Business Central does not show its {what} to the app ({error.code or error.status}). {remedy}, or "
            "propose from a CSV file."
        ) from error


def codes_by_address(services: Services, company_id: str) -> dict[str, str]:
    """Return the salesperson code of each address that one salesperson alone has; for ``%me`` in a filter.

    Raises:
        ConfigError: Business Central does not show them to the app.
    """
    people = [each for each in from_salespeople(services, company_id) if each.address]
    shared = Counter(email_key(each.address) for each in people)
    return {
        key: str(each.values["salesperson_code"])
        for each in people
        if shared[key := email_key(each.address)] == 1
    }


def find_group(services: Services, name: str) -> DirectoryGroup:
    """Return the group of Entra ID that a name or an id means.

    Raises:
        ConfigError: There is none, there are several, or the app may not read groups.
    """
    try:
        found = services.directory.find_groups(name)
    except AccessDeniedError as error:
        raise no_right(error) from error
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(each.id for each in found)
        raise ConfigError(
            f"Entra ID has {len(found)} groups of the name {name!r}: name one by its id ({ids})."
        )
    raise ConfigError(f"Entra ID has no group {name!r}; names are compared whole.")


def no_right(error: ApiError) -> ConfigError:
    """Return what is said where groups are closed to the app."""
    return ConfigError(
        f"Microsoft Graph does not show groups to the app ({error.code or error.status}): grant it {GROUP_RIGHT} as an "
        "application permission, with admin consent. Only groups need it."
    )


def from_group(services: Services, name: str) -> list[Person]:
    """Return the users in a group and in the groups within it.

    Raises:
        ConfigError: As of ``find_group``.
    """
    group = find_group(services, name)
    try:
        return [_member(each) for each in services.directory.fetch_members(group.id)]
    except AccessDeniedError as error:
        raise no_right(error) from error


def _member(account: Account) -> Person:
    return Person(f"member {account.principal_name or account.id}", account.principal_name, account=account)


def from_csv(text: str, *, field_profile: str) -> list[Person]:
    """Return the people of a CSV file.

    Raises:
        ConfigError: Something in it is wrong; the message names all of it.
    """
    rows: Sequence[csv_file.CsvRow] = csv_file.parse(text, field_profile=field_profile)
    return [Person(f"line {row.line}", row.mailbox, _without_mailbox(row.values)) for row in rows]


def _without_mailbox(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "mailbox"}
