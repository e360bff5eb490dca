"""Find, make, rename and mark the Outlook folder of a profile (rules 1 and 2.8).

A folder is looked for by stored id, by our marker, by name; else it is made. The marker is an extended property on
the folder: it names the company that the folder belongs to and counts the loads that wrote, so that a staging
database restored from an older backup is noticed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from sync_lib.errors import AccessDeniedError, ConflictError, NotFoundError, ProfileError
from sync_lib.fields.contact_keys import BcKey
from sync_lib.ports import Folder, Outlook
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile

logger = logging.getLogger(__name__)

_NO_MAILBOX = frozenset(
    {
        "mailboxnotenabledforrestapi",
        "mailboxnotsupportedforrestapi",
        "request_resourcenotfound",
        "resourcenotfound",
        "errorinvaliduser",
        "errornonexistentmailbox",
    }
)


@dataclass(frozen=True, slots=True)
class Marker:
    """What our extended property on a folder says: ``tenant/environment/company#counter``, lower-case."""

    company: str
    counter: int

    def __str__(self) -> str:
        """Return the property's value."""
        return f"{self.company}#{self.counter}"

    @classmethod
    def of(cls, key: BcKey, counter: int) -> Marker:
        """Return the marker of a company's folder."""
        return cls("/".join(key.binding), counter)

    def is_of(self, key: BcKey) -> bool:
        """Whether it names the company of a key, by where the company is now or by where it was before."""
        return self.company in ("/".join(binding) for binding in (key.binding, *key.former))

    @classmethod
    def parse(cls, value: str) -> Marker | None:
        """Return the marker that ``value`` spells, or None."""
        company, hash_, counter = value.partition("#")
        return cls(company.lower(), int(counter)) if hash_ and counter.isdecimal() else None

    @classmethod
    def on(cls, folder: Folder) -> Marker | None:
        """Return a folder's marker: the higher one of its two slots."""
        found = [marker for text in (folder.marker, folder.other_marker) if (marker := cls.parse(text))]
        return max(found, key=lambda marker: marker.counter, default=None)


@dataclass(frozen=True, slots=True)
class Taken:
    """What belongs to other profiles: folders by id, and the names of those in the same mailbox."""

    ids: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """The folder of a profile; ``new`` says that it was made just now, ``user`` is the mailbox's Graph user id."""

    user: str
    folder: Folder
    new: bool = False


class MailboxReplacedError(ProfileError):
    """Another account has the mailbox's address now (rules 1); ``successor`` is its Graph user id."""

    def __init__(self, mailbox: str, successor: str) -> None:
        super().__init__(
            "mailbox_replaced",
            f"Another account has the address {mailbox} now: the one that was synced is gone. "
            "Nothing is read from the new one or written to it.",
            remedy="If it is the same colleague, say so on the profile's page, or by: contact-sync profiles "
            "same-colleague ID. Else switch the profile off.",
        )
        self.successor = successor


def mailbox_error(
    client: Outlook, profile: Profile, error: NotFoundError | AccessDeniedError
) -> ProfileError:
    """Return what a person can do about a mailbox that Graph, in its own form, does not open (rules S5).

    The address of one that is gone is looked up again: an account that was deleted and made again has another id.
    """
    mailbox = profile.mailbox
    if isinstance(error, AccessDeniedError):
        return ProfileError(
            "mailbox_access_denied",
            f"The app may not open the mailbox {mailbox} ({error.code}).",
            remedy="Add it to the group that the application access policy or RBAC scope of the app names, and grant "
            "Contacts.ReadWrite; changes take up to 30 minutes.",
        )
    successor = _successor(client, profile)
    if successor:
        return MailboxReplacedError(mailbox, successor)
    return ProfileError(
        "mailbox_not_found",
        f"Microsoft 365 has no mailbox {mailbox} ({error.code}).",
        remedy="Correct the profile's mailbox (the user's Microsoft 365 e-mail), or give the user an Exchange licence.",
    )


def _successor(client: Outlook, profile: Profile) -> str:
    """Id of another account that has the mailbox's address now, or ""."""
    if not profile.graph_user_id:
        return ""
    try:
        found = str(client.fetch_user_id(profile.mailbox))
    except (NotFoundError, AccessDeniedError):
        return ""
    return "" if found.casefold() == profile.graph_user_id.casefold() else found


def is_mailbox_missing(error: NotFoundError) -> bool:
    """Whether a 404 says that there is no mailbox, rather than no folder or contact."""
    return error.code.lower() in _NO_MAILBOX


def read_taken(conn: Connection, profile: Profile, user: str) -> Taken:
    """Return what of a mailbox's user belongs to other profiles, also the folders that they were bound to before."""
    neighbours = profiles.read_neighbours(conn, profile)
    # Their markers name the company only; which folder is whose, names show where no id is stored (yet).
    own = [each for each in neighbours if each.company == profile.company and not each.default_folder]
    names = frozenset(each.folder_name.casefold() for each in own)
    # One that was dragged back from Deleted Items is its former profile's, which asks a person about it.
    former = profiles.read_left_folders(conn, profile.id, user)
    return Taken(profiles.read_taken_folders(conn, profile.id, user) | former, names)


def find_folder(
    client: Outlook, profile: Profile, key: BcKey, *, taken: Callable[[str], Taken]
) -> Found | None:
    """Return the profile's folder, or None where it must be made; follow or carry out a change of its name.

    Args:
        client: Microsoft Graph.
        profile: The profile.
        key: Any BC key of the profile's company.
        taken: Gives what of a user belongs to other profiles.

    Raises:
        ProfileError: The mailbox is missing or closed to the app, or the folder belongs to somebody else.
    """
    try:
        user = profile.graph_user_id or client.fetch_user_id(profile.mailbox)
        others = taken(user)
        folder = _find(client, user, profile, key, others)
    except (NotFoundError, AccessDeniedError) as error:
        if not error.in_form:
            # Somebody on the way may have said so: it says nothing about the mailbox.
            raise
        raise mailbox_error(client, profile, error) from error
    if folder is None:
        return None
    _refuse_taken(folder, profile, key, others)
    return Found(user, folder)


def _find(client: Outlook, user: str, profile: Profile, key: BcKey, taken: Taken) -> Folder | None:
    if profile.default_folder:
        default: Folder = client.fetch_default_folder(user)
        return default
    stored = _by_id(client, user, profile.folder_id)
    if stored is not None:
        return stored
    wanted, every = profile.folder_name.casefold(), list(client.iter_folders(user))
    # Of several folders with the company's marker, the one of the profile's name comes first.
    free = sorted(
        (folder for folder in every if folder.id not in taken.ids),
        key=lambda folder: folder.name.casefold() != wanted,
    )
    named = next((folder for folder in free if folder.name.casefold() == wanted), None)
    # A user may have dragged it into another folder; there its name alone proves nothing.
    return (
        _marked(client, user, free, key, taken)
        or _marked(client, user, client.iter_nested_folders(user, every), key, taken)
        or named
    )


def _marked(client: Outlook, user: str, among: Iterable[Folder], key: BcKey, taken: Taken) -> Folder | None:
    """Return the first folder with the company's marker that is no other profile's, and is not deleted."""
    for folder in among:
        marker = Marker.on(folder)
        if marker is None or not marker.is_of(key) or folder.id in taken.ids:
            continue
        if folder.name.casefold() not in taken.names and not client.is_deleted_folder(user, folder):
            return folder
    return None


def find_second(
    client: Outlook, found: Found, key: BcKey, *, taken: Taken, former: Iterable[str] = ()
) -> Folder | None:
    """Return a folder with the company's marker beside the bound one, dragged back from Deleted Items, or None.

    Args:
        client: Microsoft Graph.
        found: The bound folder.
        key: Any BC key of the profile's company.
        taken: What belongs to other profiles.
        former: Ids of folders that the profile was bound to before; one may lie beside the default folder by now.
    """
    user, ids = found.user, taken.ids | {found.folder.id}
    every = list(client.iter_folders(user))
    others = Taken(ids, taken.names)
    second = _marked(client, user, every, key, others)
    second = second or _marked(client, user, client.iter_nested_folders(user, every), key, others)
    if second is not None:
        return second
    for folder_id in former:
        folder = None if folder_id in ids else _by_id(client, user, folder_id)
        marker = Marker.on(folder) if folder else None
        if marker is not None and marker.is_of(key):
            return folder
    return None


def is_there(client: Outlook, user: str, folder_id: str) -> bool:
    """Whether a folder answers, and does not lie in Deleted Items."""
    return _by_id(client, user, folder_id) is not None


def _by_id(client: Outlook, user: str, folder_id: str | None) -> Folder | None:
    if not folder_id:
        return None
    try:
        folder: Folder = client.fetch_folder(user, folder_id)
    except NotFoundError as error:
        if is_mailbox_missing(error):
            raise
        return None
    return None if client.is_deleted_folder(user, folder) else folder


def _refuse_taken(folder: Folder, profile: Profile, key: BcKey, taken: Taken) -> None:
    marker = Marker.on(folder)
    foreign = marker is not None and not marker.is_of(key)
    if foreign or folder.id in taken.ids:
        owner = "another company" if foreign else "another profile"
        raise ProfileError(
            "folder_taken",
            f"The folder {folder.name!r} of {profile.mailbox} belongs to {owner}.",
            remedy="Choose another folder name in the profile.",
        )


def make_folder(client: Outlook, profile: Profile, key: BcKey, user: str, *, taken: Taken) -> Found:
    """Make the profile's folder, or adopt the one that has its name already (rules 1)."""
    marker = Marker.of(key, profile.marker_counter)
    folder: Folder = client.create_folder(user, profile.folder_name, str(marker))
    _refuse_taken(folder, profile, key, taken)
    logger.info("made the folder of the profile")
    return Found(user, folder, new=True)


def follow_name(client: Outlook, profile: Profile, found: Found) -> str:
    """Bring the folder's name and the profile's together; return the name that both have now.

    The profile's name is carried to Outlook when somebody changed it there since the last sync; else a user renamed
    the folder, and the profile follows.

    Raises:
        ProfileError: Another folder of the mailbox has the profile's new name.
    """
    actual = found.folder.name
    if profile.default_folder or actual == profile.folder_name:
        return actual
    if profile.folder_seen and profile.folder_seen != profile.folder_name:
        try:
            client.rename_folder(found.user, found.folder.id, profile.folder_name)
        except ConflictError as error:
            raise ProfileError(
                "folder_taken",
                f"The mailbox {profile.mailbox} has another folder {profile.folder_name!r}.",
                remedy="Choose another name in the profile, or rename that folder.",
            ) from error
        return profile.folder_name
    return actual


def follow_names(
    client: Outlook, profile: Profile, found: Found, name: str, others: list[Profile]
) -> dict[int, str]:
    """Return the names that profiles get when this one takes its folder's name, by profile; {}: it keeps its own.

    A user may let folders swap their names in one go: a profile that has the name has another one in Outlook by then,
    which is looked up by its folder's id. Where it does not, one of the two waits for a person.
    """
    names, wanted = {profile.id: name}, [name.casefold()]
    while wanted:
        taken = wanted.pop()
        holder = next(
            (each for each in others if each.folder_name.casefold() == taken and each.id not in names), None
        )
        if holder is None:
            continue
        # One that was renamed in the profile gets its own sync's answer about the name.
        is_asked = holder.folder_seen != holder.folder_name
        folder = None if is_asked or holder.default_folder else _by_id(client, found.user, holder.folder_id)
        if folder is None or folder.name.casefold() == taken:
            return {}
        names[holder.id] = folder.name
        wanted.append(folder.name.casefold())
    return names
