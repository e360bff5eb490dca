"""The self-test: tokens, permissions, companies, mailboxes, folders, filters; what is wrong, and how to fix it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sync_lib.clients.auth import TokenSource, roles
from sync_lib.errors import (
    AccessDeniedError,
    ConfigError,
    NotFoundError,
    ProfileError,
    SyncError,
    WritesOffError,
)
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.filters import parse_filter
from sync_lib.fields.normal_forms import email_key, first_address
from sync_lib.model import Company, Origin
from sync_lib.operate import groups, people
from sync_lib.operate.if_match import Found, find_out
from sync_lib.run import bindings, folders
from sync_lib.services import Services, brief_business_central, brief_outlook
from sync_lib.settings import BusinessCentralSettings, GraphSettings, StagingSettings
from sync_lib.store import companies, company_names, runs
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.migrate import require_schema
from sync_lib.store.profiles import checks as profile_checks
from sync_lib.store.profiles import groups as stored_groups
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.checks import Line, Said
from sync_lib.store.profiles.groups import Group
from sync_lib.store.profiles.rows import Profile

if TYPE_CHECKING:
    from sqlalchemy import Engine


GRAPH_NEEDED = frozenset({"Contacts.ReadWrite"})
#: Reading a user's id needs one of these; the first that is granted will do.
GRAPH_USERS = frozenset({"User.Read.All", "User.ReadBasic.All", "Directory.Read.All"})
#: Reading groups needs one of these, which the app needs for nothing else.
GRAPH_GROUPS = frozenset({people.GROUP_RIGHT, "Group.Read.All", "Directory.Read.All"})
BUSINESS_CENTRAL_NEEDED = frozenset({"API.ReadWrite.All"})


class OwnText(str):
    """A text that a page translates: ``template`` with the places of ``values``. In a log it is the text itself."""

    __slots__ = ("template", "values")

    template: str
    values: dict[str, str]


def own_text(template: str, **values: object) -> OwnText:
    """Return a text of our own, with the values that are in it."""
    text = OwnText(template % values if values else template)
    text.template = template
    text.values = {name: str(value) for name, value in values.items()}
    return text


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the self-test: what was looked at, what was found and, where it is wrong, how to fix it.

    Attributes:
        name: What was looked at, for the log.
        ok: It was looked at, and nothing is wrong with it.
        unknown: Not ok, and not wrong either: nothing can be said about it now.
        detail: What was found: ``OwnText``, or a service's own words.
        remedy: What a person can do.
        kind: What was looked at, as a code.
        reason: Of a ``ProfileError``.
        profile: The profile that it is about, 0 for all.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    kind: str = ""
    reason: str = ""
    profile: int = 0
    unknown: bool = False


# -- the buttons *Test connection* -----------------------------------------------------------------------------------


def check_business_central(settings: BusinessCentralSettings) -> str:
    """Return how many companies the app sees.

    Raises:
        SyncError: The settings are wrong, or BC refuses the app.
    """
    companies = brief_business_central(settings).fetch_companies()
    if not companies:
        raise ProfileError("company_not_found", _NONE_SEEN, remedy=_COMPANIES)
    return f"Business Central answers: the app sees {len(companies)} companies in {settings.environment}."


def check_graph(settings: GraphSettings) -> str:
    """Return which permissions the app's token carries.

    Raises:
        SyncError: The settings are wrong, or a permission is missing.
    """
    granted = roles(TokenSource(settings).token())
    if granted is None:
        return "Entra ID gave a token; it does not say which permissions it carries."
    missing = _missing(frozenset(granted))
    if missing and missing != _CONTACTS:
        raise ProfileError("permission_missing", f"The app lacks {missing}.", remedy=_GRANT)
    note = f" {_SCOPED}" if missing else ""
    return f"Entra ID gave a token with {', '.join(sorted(granted))}.{note}"


#: How the databases call themselves.
_DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def check_staging(settings: StagingSettings) -> str:
    """Return which database answers.

    Raises:
        SyncError: The URL is wrong, or nobody answers.
    """
    engine = open_engine(settings.url)
    try:
        return f"The staging database answers ({_DATABASES.get(engine.dialect.name, engine.dialect.name)})."
    finally:
        engine.dispose()


# -- the DAG contact_sync_check --------------------------------------------------------------------------------------

_GRANT = own_text(
    "Grant it under App registrations > API permissions as an application permission, with admin consent."
)
_PERMISSIONS = "permissions in"
_CONTACTS = "Contacts.ReadWrite"
_SCOPED = own_text(
    "Contacts.ReadWrite is not in the token: right only where RBAC for Applications grants it for named mailboxes."
)
_MAILBOX = own_text("Look at the message; where Microsoft Graph is away, run this check again later.")
_REDUCE = own_text(
    "Remove what the sync does not need: it would open more than contacts if the app's secret leaked."
)
_UNREAD = own_text("Look at them under App registrations > API permissions; the lines below show what works.")
_NONE_SEEN = own_text("the app sees no company.")
_STAGING = own_text("Fix the Connection contact_sync_staging.")
_LOGIN = own_text("Fix the Connection's client id, secret or tenant.")
_FILTER = own_text("Fix the filter.")
_COMPANY = own_text("Fix the profile's company, or the app's rights in BC.")
_EXTENSION = own_text(
    "Publish the extension of the folder bc_extension in BC and give the app its permission set, or set the"
    " Connection's field_profile to standard."
)
_SALESPERSON = own_text("Set the profile's salesperson code to one that Business Central has.")
_COUNTRIES = own_text(
    "Let the app read the table Country/Region in BC; until then countries wait, all else syncs."
)
_GROUP = own_text("Look at the message; correct the group's name in the file of profiles, or take it out.")
_COMPANIES = own_text(
    "In BC, open Microsoft Entra Applications, enable the app and give it a permission set for contacts."
)


def check_connections(services: Services, wanted: Collection[str] = (), run: str = "") -> list[Check]:
    """Check every connection, and profiles (rules S6); write down for each profile what was found, for its page.

    Args:
        services: The services and the staging database.
        wanted: Mailboxes or profile ids, enabled or not; empty for all that are enabled.
        run: The run that checks.

    Raises:
        ConfigError: A profile that was asked for does not exist.
    """
    staging = list(_check_staging(services))
    if not staging[0].ok:
        return [*staging, *_check_tokens(services, GRAPH_GROUPS)]
    chosen = _choose(services, wanted)
    checks = _check_services(services, chosen, staging)
    _write_down(services, chosen, checks, run)
    return checks


def _choose(services: Services, wanted: Collection[str]) -> list[Profile]:
    with read(services.engine) as conn:
        every = profiles.read_profiles(conn, enabled_only=not wanted)
    named = {name.strip().casefold() for name in wanted}
    chosen = [each for each in every if not wanted or named & {each.mailbox.casefold(), each.key}]
    unknown = named - {name for each in chosen for name in (each.mailbox.casefold(), each.key)}
    if unknown:
        raise ConfigError(
            f"No profile has the mailbox {', '.join(sorted(unknown))}. List them: contact-sync profiles list."
        )
    return chosen


def _check_services(services: Services, chosen: list[Profile], staging: list[Check]) -> list[Check]:
    with read(services.engine) as conn:
        stored = stored_groups.read_groups(conn)
    checks = [*staging, *_check_tokens(services, GRAPH_GROUPS if stored else frozenset())]
    if not all(check.ok or check.name.startswith(_PERMISSIONS) for check in checks):
        return checks
    checks += [*_check_companies(services), *_check_groups(services, stored)]
    for profile in chosen:
        checks += (replace(check, profile=profile.id) for check in _check_profile(services, profile))
    opened = any(check.ok and check.kind == "mailbox" for check in checks)
    checks = [replace(check, ok=opened) if check.detail == _SCOPED else check for check in checks]
    # A profile that is switched off is not written to, not even with what it holds already.
    return [*checks, _check_if_match(services, [profile for profile in chosen if profile.enabled])]


def _write_down(services: Services, chosen: list[Profile], checks: list[Check], run: str) -> None:
    with transaction(services.engine) as conn:
        for profile in chosen:
            lines = [_line(check) for check in checks if check.profile in (0, profile.id)]
            profile_checks.write_check(conn, profile.id, run, services.now(), lines)


def _line(check: Check) -> Line:
    return Line(check.kind, check.ok, check.reason, _said(check.detail), _said(check.remedy), check.unknown)


def _said(text: str) -> Said:
    return Said(text.template, text.values) if isinstance(text, OwnText) else Said(text)


def _attempt(name: str, kind: str, remedy: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look(), kind=kind)
    except ProfileError as error:
        detail = str(error).removesuffix(error.remedy).strip()
        detail = error.detail if isinstance(error, _FoundError) else detail
        return Check(name, False, detail, error.remedy or remedy, kind, error.reason)
    except SyncError as error:
        return Check(name, False, str(error), remedy, kind)


class _FoundError(ProfileError):
    """Something is wrong with a profile; a page translates ``detail``, and says the reason's own remedy."""

    def __init__(self, reason: str, detail: OwnText) -> None:
        super().__init__(reason, detail)
        self.detail = detail


def _not_listed(listed: Sequence[Company]) -> _FoundError:
    names = ", ".join(company.name for company in listed)
    detail = own_text("Business Central lists: %(names)s.", names=names) if names else _NONE_SEEN
    return _FoundError("company_not_found", detail)


def _check_staging(services: Services) -> Iterator[Check]:
    def look() -> str:
        require_schema(services.engine)
        name = services.engine.dialect.name
        return own_text("%(database)s, schema up to date.", database=_DATABASES.get(name, name))

    yield _attempt("staging database", "staging", _STAGING, look)


def _check_tokens(services: Services, further: frozenset[str]) -> Iterator[Check]:
    """Check both tokens; ``further`` permissions of Microsoft Graph are not too many."""
    graph, bc = services.graph_settings, services.business_central_settings
    known = GRAPH_NEEDED | GRAPH_USERS | further
    yield from _check_roles("Microsoft Graph", TokenSource(graph, transport=services.transport), known)
    yield from _check_roles(
        "Business Central", TokenSource(bc, transport=services.transport), BUSINESS_CENTRAL_NEEDED
    )


def _check_roles(service: str, tokens: TokenSource, known: frozenset[str]) -> Iterator[Check]:
    """Too few permissions and too many, from the token's own claim."""
    is_graph = service == "Microsoft Graph"
    side = "graph" if is_graph else "bc"
    name, kind = f"{_PERMISSIONS} {service}", f"{side}_permissions"
    try:
        granted = roles(tokens.token())
    except SyncError as error:
        yield Check(f"token for {service}", False, str(error), _LOGIN, f"{side}_token")
        return
    yield Check(f"token for {service}", True, own_text("Entra ID gave a token."), kind=f"{side}_token")
    if granted is None:
        detail = own_text("not known: the token does not say which it carries.")
        yield Check(name, False, detail, _UNREAD, kind, unknown=True)
        return
    missing = _missing(frozenset(granted)) if is_graph else _lacking(granted, known)
    surplus = sorted(set(granted) - known)
    if missing:
        lacks = own_text("the app lacks %(permissions)s.", permissions=missing)
        yield Check(name, False, _SCOPED if missing == _CONTACTS else lacks, _GRANT, kind)
    if surplus:
        more = own_text("the app has more than it needs: %(permissions)s.", permissions=", ".join(surplus))
        yield Check(name, False, more, _REDUCE, kind)
    if not (missing or surplus):
        yield Check(name, True, ", ".join(sorted(granted)), kind=kind)


def _lacking(granted: Iterable[str], needed: frozenset[str]) -> str:
    return ", ".join(sorted(needed - set(granted)))


def _missing(granted: frozenset[str]) -> str:
    missing = sorted(GRAPH_NEEDED - granted)
    if not granted & GRAPH_USERS:
        missing.append("User.ReadBasic.All")
    return ", ".join(missing)


def _check_companies(services: Services) -> Iterator[Check]:
    def look() -> str:
        listed = bindings.list_companies(services)
        if not listed:
            raise ProfileError("company_not_found", _NONE_SEEN)
        names = ", ".join(company.name for company in listed)
        return own_text("the app sees %(number)s: %(names)s.", number=len(listed), names=names)

    yield _attempt("companies in Business Central", "companies", _COMPANIES, look)


def _check_groups(services: Services, stored: Sequence[Group]) -> Iterator[Check]:
    """Whether the members of each group can be read; without groups there is nothing to read."""
    for reading in groups.read_groups(services, stored) if stored else ():
        called = reading.group.entry.group_name
        name = f"group {called}"
        if reading.members is not None:
            number = len(reading.members)
            members = own_text("%(group)s has %(number)s members.", group=called, number=number)
            yield Check(name, True, members, kind="group")
        elif reading.trouble == "no_right":
            lacks = own_text("the app lacks %(permissions)s.", permissions=people.GROUP_RIGHT)
            yield Check(name, False, lacks, _GRANT, "group")
        else:
            said = groups.said_of(reading.trouble, reading.message)
            yield Check(name, False, f"{called}: {said}", _GROUP, "group")


def _check_profile(services: Services, profile: Profile) -> Iterator[Check]:
    name = f"profile {profile.mailbox} / {profile.company_name}"
    yield _attempt(f"{name}: filter", "filter", _FILTER, lambda: _look_at_filter(services, profile))
    found: list[BcKey] = []

    def look_at_company() -> str:
        company, key = _find_company(services, profile)
        found.append(key)
        try:
            next(iter(services.business_central.iter_contacts(company.id, page_size=1)), None)
        except SyncError as error:
            raise bindings.explain_unread(services, company.id, error) from error
        return own_text("its contacts can be read.")

    field_profile = services.business_central_settings.field_profile
    remedy = _EXTENSION if field_profile == "extended" else _COMPANY
    yield _attempt(f"{name}: company", "company", remedy, look_at_company)
    if found:
        yield _attempt(
            f"{name}: countries",
            "countries",
            _COUNTRIES,
            lambda: _look_at_countries(services, found[0].company_id),
        )
        key = found[0]
        if profile.salesperson_code or _asks_for_me(profile):
            yield _attempt(
                f"{name}: salesperson",
                "salesperson",
                _SALESPERSON,
                lambda: _look_at_salesperson(services, profile, key.company_id),
            )
        yield _attempt(
            f"{name}: mailbox", "mailbox", _MAILBOX, lambda: _look_at_folder(services, profile, key)
        )


def _find_company(services: Services, profile: Profile) -> tuple[Company, BcKey]:
    """Return the company of a profile and its key: the one it is bound to, by id, else the one it names."""
    with read(services.engine) as conn:
        bound = companies.read_company(conn, profile.company) if profile.company else None
        key = companies.read_key(conn, bound) if bound else None
    if bound:
        bindings.check_environment(services, bound)
    listed = bindings.list_companies(services)
    name = bound.company_id if bound else profile.company_name
    with read(services.engine) as conn:
        company = companies.find_listed(conn, listed, name)
    if company is None:
        raise _not_listed(listed)
    environment = services.business_central_settings.environment
    return company, key or BcKey(services.tenant_id, environment, company.id, "", Origin.MADE_BY_SYNC)


def _look_at_filter(services: Services, profile: Profile) -> str:
    parsed = parse_filter(profile.filter, field_profile=services.business_central_settings.field_profile)
    return parsed.describe() or own_text("no filter: all persons.")


def _look_at_countries(services: Services, company: str) -> str:
    return own_text("%(number)s countries.", number=len(services.business_central.fetch_countries(company)))


def _asks_for_me(profile: Profile) -> bool:
    return "%me" in str(profile.filter).casefold()


def _look_at_salesperson(services: Services, profile: Profile, company: str) -> str:
    """Say whose contacts ``%me`` stands for; BC's salesperson with the mailbox's address is the one to name."""
    people = services.business_central.fetch_salespeople(company)
    address, code = email_key(profile.mailbox), profile.salesperson_code
    own = next((each.code for each in people if email_key(first_address(each.email)) == address), "")
    if code and code in {each.code for each in people}:
        return own_text("salesperson %(code)s.", code=code)
    if own:
        found = own_text(
            "the salesperson with the mailbox's address is %(own)s, the profile's is %(code)s.",
            own=own,
            code=code or "-",
        )
        raise _FoundError("", found)
    if code:
        raise _FoundError("", own_text("Business Central has no salesperson %(code)s.", code=code))
    raise _FoundError(
        "", own_text("the filter asks for the colleague's own contacts, and the profile has no code.")
    )


def _look_at_folder(services: Services, profile: Profile, key: BcKey) -> str:
    def taken(user: str) -> folders.Taken:
        with read(services.engine) as conn:
            return folders.read_taken(conn, profile, user)

    found = folders.find_folder(services.outlook, profile, key, taken=taken)
    if found is None:
        return own_text("opens; the first sync makes its folder.")
    return own_text("opens; its folder is %(name)r.", name=found.folder.name)


# -- a profile that was just saved -----------------------------------------------------------------------------------

#: Seconds that a service may be silent before a page goes on without its answer.
BRIEF = 5.0
_AGAIN = own_text("Check the connection below, or wait for the next run: it says the same.")


def look_up(services: Services, engine: Engine, profile: Profile) -> list[Line]:
    """Say whether a profile's mailbox and company are known, for a page that waits for it: nothing is tried again.

    Args:
        services: The settings of the services.
        engine: The staging database.
        profile: A profile that has never synced.
    """

    def look_at_mailbox() -> str:
        settings, transport = services.graph_settings, services.transport
        outlook = brief_outlook(settings, patience=BRIEF, transport=transport)
        try:
            user = outlook.fetch_user_id(profile.mailbox)
            next(iter(outlook.iter_folders(user)), None)
        except (NotFoundError, AccessDeniedError) as error:
            if not error.in_form:
                raise
            reason = folders.mailbox_error(outlook, profile, error).reason
            detail = own_text("the address is %(mailbox)s.", mailbox=profile.mailbox)
            raise _FoundError(reason, detail) from error
        return own_text("Microsoft 365 knows it, and the app may open it.")

    def look_at_company() -> str:
        settings, transport = services.business_central_settings, services.transport
        listed = brief_business_central(settings, patience=BRIEF, transport=transport).fetch_companies()
        with transaction(engine) as conn:
            company_names.write_listed(conn, listed, now=services.now())
            company = companies.find_listed(conn, listed, profile.company_name)
        if company is None:
            raise _not_listed(listed)
        return own_text("Business Central lists it.")

    found = [
        _attempt("mailbox", "mailbox", _AGAIN, look_at_mailbox),
        _attempt("company", "company", _AGAIN, look_at_company),
    ]
    # Without a reason nothing is known to be wrong with the profile: a service did not answer, or refused the app.
    return [_line(replace(check, unknown=not check.ok and not check.reason)) for check in found]


# -- whether Graph enforces If-Match (rules 8.5) ---------------------------------------------------------------------

_READS = own_text(
    "Nothing to do: until it is known each write is preceded by a read. Each check tries again."
)
_UNTIL_THEN = {
    "off": own_text("not looked at: writes are off (CONTACT_SYNC_WRITES), and it takes a write to find out."),
    "none": own_text(
        "not known yet: none of the profiles of this check is switched on and has a synced contact."
    ),
    "busy": own_text("not known: an item was edited, or its profile synced, while it was asked."),
}


def _check_if_match(services: Services, chosen: list[Profile]) -> Check:
    name = "Graph enforces If-Match for contacts"
    try:
        found = find_out(services, chosen)
    except WritesOffError:
        return Check(name, False, _UNTIL_THEN["off"], _READS, "if_match", unknown=True)
    except SyncError as error:
        found = Found(error=error)
    if found is None or not found.answer:
        detail = _UNTIL_THEN["busy" if found else "none"]
        if found and found.error:
            detail = own_text("not known: %(message)s", message=found.error)
        return Check(name, False, detail, _READS, "if_match", unknown=True)
    with services.engine.begin() as conn:
        runs.write_fact(
            conn, services.graph_settings.tenant_id, "graph_if_match", found.answer, services.now()
        )
    if found.answer == "enforced":
        return Check(name, True, own_text("yes: a write with an old version is refused."), kind="if_match")
    detail = own_text("no: each write is preceded by a read, which costs one more request per 20.")
    return Check(name, True, detail, kind="if_match")
