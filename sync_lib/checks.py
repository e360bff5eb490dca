"""The self-test: tokens, permissions, companies, mailboxes, folders, filters; what is wrong, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sync_lib import folders
from sync_lib.clients.auth import TokenSource, roles
from sync_lib.clients.business_central import BusinessCentralClient
from sync_lib.clients.rest import ApiSession
from sync_lib.errors import AccessDeniedError, NotFoundError, ProfileError, SyncError, VersionMismatchError
from sync_lib.fields.filters import parse_filter
from sync_lib.model import BatchWrite, BcKey, Origin
from sync_lib.settings import BusinessCentralSettings, GraphSettings, StagingSettings
from sync_lib.store import profiles, runs, snapshots
from sync_lib.store.engine import open_engine, read
from sync_lib.store.migrate import migrate
from sync_lib.store.profiles import Profile

if TYPE_CHECKING:
    from sync_lib.pipeline import Edges

GRAPH_SCOPE = "https://graph.microsoft.com/.default"
BUSINESS_CENTRAL_SCOPE = "https://api.businesscentral.dynamics.com/.default"

GRAPH_NEEDED = frozenset({"Contacts.ReadWrite"})
#: Reading a user's id needs one of these; the first that is granted will do.
GRAPH_USERS = frozenset({"User.Read.All", "User.ReadBasic.All", "Directory.Read.All"})
BUSINESS_CENTRAL_NEEDED = frozenset({"API.ReadWrite.All"})


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the self-test: what was looked at, what was found and, where it is wrong, how to mend it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


# -- the buttons *Test connection* -----------------------------------------------------------------------------------


def check_business_central(settings: BusinessCentralSettings) -> str:
    """Return how many companies the app sees.

    Raises:
        SyncError: The settings are wrong, or BC refuses the app.
    """
    session = ApiSession(settings.root, TokenSource(settings, BUSINESS_CENTRAL_SCOPE))
    companies = BusinessCentralClient(session, settings).fetch_companies()
    return f"Business Central answers: the app sees {len(companies)} companies in {settings.environment}."


def check_graph(settings: GraphSettings) -> str:
    """Return which permissions the app's token carries.

    Raises:
        SyncError: The settings are wrong, or a permission is missing.
    """
    granted = roles(TokenSource(settings, GRAPH_SCOPE).token())
    if granted is None:
        return "Entra ID gave a token; it does not say which permissions it carries."
    missing = _missing(frozenset(granted))
    if missing and missing != _CONTACTS:
        raise ProfileError("permission_missing", f"The app lacks {missing}.", remedy=_GRANT)
    note = f" {_SCOPED}" if missing else ""
    return f"Entra ID gave a token with {', '.join(sorted(granted))}.{note}"


def check_staging(settings: StagingSettings) -> str:
    """Return which database answers.

    Raises:
        SyncError: The URL is wrong, or nobody answers.
    """
    engine = open_engine(settings.url)
    try:
        return f"The staging database answers ({engine.dialect.name})."
    finally:
        engine.dispose()


# -- the DAG contact_sync_check --------------------------------------------------------------------------------------

_GRANT = (
    "Grant it under App registrations > API permissions as an application permission, with admin consent."
)
_PERMISSIONS = "permissions in"
_CONTACTS = "Contacts.ReadWrite"
_SCOPED = (
    f"{_CONTACTS} is not in the token: right only where RBAC for Applications grants it for named mailboxes."
)
_MAILBOX = "Look at the message; where Microsoft Graph is away, run this check again later."
_REDUCE = "Remove what the sync does not need: it would open more than contacts if the app's secret leaked."


def check_connections(edges: Edges) -> list[Check]:
    """Check every connection and every enabled profile (rules S6)."""
    checks = [*_check_staging(edges), *_check_tokens(edges)]
    if not all(check.ok or check.name.startswith(_PERMISSIONS) for check in checks):
        return checks
    checks += _check_companies(edges)
    with read(edges.engine) as conn:
        chosen = profiles.read_profiles(conn)
    for profile in chosen:
        checks += _check_profile(edges, profile)
    opened = any(check.ok and check.name.endswith(": mailbox") for check in checks)
    checks = [replace(check, ok=opened) if check.detail == _SCOPED else check for check in checks]
    return [*checks, _check_if_match(edges, chosen)]


def _attempt(name: str, remedy: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except ProfileError as error:
        return Check(name, False, str(error).removesuffix(error.remedy).strip(), error.remedy or remedy)
    except SyncError as error:
        return Check(name, False, str(error), remedy)


def _check_staging(edges: Edges) -> Iterator[Check]:
    def look() -> str:
        migrate(edges.engine)
        return f"{edges.engine.dialect.name}, schema up to date."

    yield _attempt("staging database", "Mend the Connection contact_sync_staging.", look)


def _check_tokens(edges: Edges) -> Iterator[Check]:
    graph, bc = edges.graph_settings, edges.business_central_settings
    yield from _check_roles("Microsoft Graph", TokenSource(graph, GRAPH_SCOPE), GRAPH_NEEDED | GRAPH_USERS)
    yield from _check_roles(
        "Business Central", TokenSource(bc, BUSINESS_CENTRAL_SCOPE), BUSINESS_CENTRAL_NEEDED
    )


def _check_roles(service: str, tokens: TokenSource, known: frozenset[str]) -> Iterator[Check]:
    """Too few permissions and too many, from the token's own claim."""
    name = f"{_PERMISSIONS} {service}"
    try:
        granted = roles(tokens.token())
    except SyncError as error:
        yield Check(
            f"token for {service}", False, str(error), "Mend the Connection's client id, secret or tenant."
        )
        return
    yield Check(f"token for {service}", True, "Entra ID gave one.")
    if granted is None:
        yield Check(name, True, "the token does not say which it carries.")
        return
    missing = _missing(frozenset(granted)) if service == "Microsoft Graph" else _lacking(granted, known)
    surplus = sorted(set(granted) - known)
    if missing:
        detail = _SCOPED if missing == _CONTACTS else f"the app lacks {missing}."
        yield Check(name, False, detail, _GRANT)
    if surplus:
        yield Check(name, False, f"the app has more than it needs: {', '.join(surplus)}.", _REDUCE)
    if not (missing or surplus):
        yield Check(name, True, ", ".join(sorted(granted)))


def _lacking(granted: Iterable[str], needed: frozenset[str]) -> str:
    return ", ".join(sorted(needed - set(granted)))


def _missing(granted: frozenset[str]) -> str:
    missing = sorted(GRAPH_NEEDED - granted)
    if not granted & GRAPH_USERS:
        missing.append("User.ReadBasic.All")
    return ", ".join(missing)


def _check_companies(edges: Edges) -> Iterator[Check]:
    def look() -> str:
        companies = edges.business_central.fetch_companies()
        return f"the app sees {len(companies)}: {', '.join(company.name for company in companies)}."

    remedy = (
        "In BC, open Microsoft Entra Applications, enable the app and give it a permission set for contacts."
    )
    yield _attempt("companies in Business Central", remedy, look)


def _check_profile(edges: Edges, profile: Profile) -> Iterator[Check]:
    name = f"profile {profile.mailbox} / {profile.company_name}"
    bc = edges.business_central_settings
    yield _attempt(f"{name}: filter", "Mend the filter.", lambda: _look_at_filter(edges, profile))
    found: list[str] = []

    def look_at_company() -> str:
        for company in edges.business_central.fetch_companies():
            if profile.company_name.casefold() in (company.id.casefold(), company.name.casefold()):
                found.append(company.id)
                next(iter(edges.business_central.iter_contacts(company.id, page_size=1)), None)
                return "its contacts can be read."
        raise ProfileError("company_not_found", f"BC lists no company {profile.company_name!r}.")

    yield _attempt(
        f"{name}: company", "Mend the profile's company, or the app's rights in BC.", look_at_company
    )
    if found:
        key = BcKey(bc.tenant_id, bc.environment, found[0], "", Origin.MADE_BY_SYNC)
        yield _attempt(f"{name}: mailbox", _MAILBOX, lambda: _look_at_folder(edges, profile, key))


def _look_at_filter(edges: Edges, profile: Profile) -> str:
    parsed = parse_filter(profile.filter, field_profile=edges.business_central_settings.field_profile)
    return parsed.describe() or "no filter: all persons."


def _look_at_folder(edges: Edges, profile: Profile, key: BcKey) -> str:
    with read(edges.engine) as conn:
        taken = folders.read_taken(conn, profile)
    found = folders.find_folder(edges.outlook, profile, key, taken=taken)
    if found is None:
        return "opens; the first sync makes its folder."
    return f"opens; its folder is {found.folder.name!r}."


# -- whether Graph enforces If-Match (rules 8.5) ---------------------------------------------------------------------

_STALE = 'W/"EQAAABYAAAAstaleVersionOfTheSelfTest="'


def _check_if_match(edges: Edges, chosen: list[Profile]) -> Check:
    """Write a synced item's own key once more, with a version that it cannot have: Graph should refuse.

    Nothing changes where Graph takes the write: the value is the one that the item has.
    """
    name = "Graph enforces If-Match for contacts"
    for profile in chosen:
        item = _any_item(edges, profile)
        if item is not None:
            return replace(_probe(edges, profile, *item), name=name)
    detail = "not known yet: no profile has a synced contact. Until then each write is preceded by a read."
    return Check(name, True, detail)


def _any_item(edges: Edges, profile: Profile) -> tuple[str, str] | None:
    if not profile.graph_user_id:
        return None
    with read(edges.engine) as conn:
        items = snapshots.read_outlook(conn, profile.id)
    ours = items[items["bc_key"] != ""]
    return None if ours.empty else (str(ours["id"].iloc[0]), str(ours["bc_key"].iloc[0]))


def _probe(edges: Edges, profile: Profile, item: str, key: str) -> Check:
    write = BatchWrite("PATCH", contact_id=item, etag=_STALE, body={}, bc_key=key)
    try:
        result: Any = edges.outlook.apply_writes(str(profile.graph_user_id), [write])[0]
    except (AccessDeniedError, NotFoundError) as error:
        return Check("", True, f"not known: {error}")
    if isinstance(result.error, VersionMismatchError):
        answer, detail = "enforced", "yes: a write with an old version is refused."
    elif result.error is None:
        answer, detail = (
            "ignored",
            "no: each write is preceded by a read, which costs one more request per 20.",
        )
    else:
        return Check("", True, f"not known: {result.error}")
    with edges.engine.begin() as conn:
        runs.write_fact(conn, edges.graph_settings.tenant_id, "graph_if_match", answer, edges.now())
    return Check("", True, detail)
