"""What the pages get handed in by whoever serves them: Airflow's plugin, or a test."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from sync_lib.operate.credentials import Ending
from sync_lib.settings import SyncSettings

if TYPE_CHECKING:
    from sync_lib.services import Services

#: Methods that change nothing: reading permission is enough, and another site may cause them.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as Airflow's auth manager knows them.

    Attributes:
        may_edit: May change settings.
        sees_erasing: May open the page that erases a contact.
        may_erase: May use it.
    """

    name: str
    may_edit: bool
    sees_erasing: bool = False
    may_erase: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What Airflow and the Connections say about the sync.

    Attributes:
        paused: Nothing of it runs.
        schedule: When it runs, in Airflow's words; "" for by hand only.
        next_run: When it runs next, as the staging database writes times, or None.
        running: The run that is at work, "" for none.
        queued: Runs that wait for it.
        endings: Credentials that end soon, or have ended.
        problems: What is wrong with settings, each with its name, its value, and what counts meanwhile.
        interval: Seconds between two regular runs, None for by hand only.
    """

    paused: bool = False
    schedule: str = ""
    next_run: str | None = None
    running: str = ""
    queued: int = 0
    endings: tuple[Ending, ...] = ()
    problems: tuple[str, ...] = ()
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whom messages about what is wrong go to. It holds no address of a webhook, which is a secret.

    Attributes:
        connection: The Connection of Airflow by which they go.
        form: ``teams``, ``text`` or ``mail``; "" where nobody can tell.
        to: The addresses that an e-mail goes to.
        problem: What is wrong with the Connection, in English, so that nothing arrives; "" where nothing is.
    """

    connection: str
    form: str = ""
    to: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Messages:
    """Who hears of what, without opening a page.

    Attributes:
        receivers: Of messages about what is wrong; none where they are off.
        language: The language of these messages.
        weekly: The Connection by which colleagues get the weekly mail that they ask for; "" for none.
    """

    receivers: tuple[Receiver, ...] = ()
    language: str = "en"
    weekly: str = ""


def _nobody(_runs: Collection[str]) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Seams:
    """The surroundings of the pages.

    Attributes:
        authorize: FastAPI dependency that returns the ``User``. It raises 401 without a login, and 403 where the user
            may not read (methods in ``SAFE_METHODS``) or not edit (all others).
        engine: Returns the staging database; called for every request that needs it, so it keeps what it opened.
        field_profile: Returns which fields of Business Central are read: ``standard`` or ``extended``.
        settings: Returns how the sync behaves, the guard's limits among it.
        edges: Opens both services and the staging database, as a task has them.
        audit: Writes into Airflow's audit log: the event, the user's name, and what else there is to say of it. Nothing
            of that may say whose data it is about.
        mount: Where the pages are mounted below Airflow's root.
        surroundings: Returns what Airflow says; called for every page.
        bc_client: Returns where people open Business Central in a browser, without a slash at its end; "" where nobody
            knows that, since it is not Microsoft's own cloud.
        messages: Returns who hears of what; called for the overview.
        starters: Returns who started runs by hand, by the ids of these runs; who is not known is left out.
    """

    authorize: Callable[..., Any]
    engine: Callable[[], Engine]
    field_profile: Callable[[], str]
    settings: Callable[[], SyncSettings]
    edges: Callable[[], AbstractContextManager[Services]]
    audit: Callable[[str, str, Mapping[str, Any]], None]
    mount: str = "/contact_sync"
    surroundings: Callable[[], Surroundings] = Surroundings
    bc_client: Callable[[], str] = str
    messages: Callable[[], Messages] = Messages
    starters: Callable[[Collection[str]], Mapping[str, str]] = _nobody
