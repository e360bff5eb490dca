"""What the page of a colleague's own gets handed in, beside what all pages get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync_lib.fields.filters import Groups
from sync_lib.store.profiles.named_filters import parse_named_filters
from sync_lib.web.seams import Seams


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the administrator lets colleagues do.

    Attributes:
        administrator: Whom to ask, as they are called: a name, an address; "" where nobody is named.
        any_filter: Colleagues write conditions of their own.
        filters: Filters that they choose from, by name; empty where they may not choose.
        weekly_mail: They may ask for the weekly mail, since there is a way to send it.
    """

    administrator: str = ""
    any_filter: bool = False
    filters: Mapping[str, Groups] = field(default_factory=dict)
    weekly_mail: bool = False

    @classmethod
    def choice(cls, administrator: str, text: str, *, field_profile: str) -> Allowed:
        """Return that colleagues choose from the filters of a file.

        Raises:
            ConfigError: Something is wrong in the file.
        """
        return cls(administrator, filters=parse_named_filters(text, field_profile=field_profile))


class NotStarted(Exception):  # noqa: N818 - Airflow's decision
    """Airflow started no run; its message is for the log."""


@dataclass(frozen=True, slots=True)
class MineSeams:
    """The surroundings of the page.

    Attributes:
        pages: As those of all pages. ``authorize`` asks for a permission that is this page's own, and returns as the
            user's name what the login asserted: an object id, a user principal name; "" where it asserted neither.
        start: Starts a run of a DAG with a conf, for a user by name, writes that into Airflow's audit log, and returns
            the run. Raises ``NotStarted``.
        state_of: Returns the state of a run of a DAG: ``queued``, ``running``, ``success``, ``failed``; "" for none.
        allowed: Returns what the administrator allows.
        login: Where to log in, below Airflow's root; it takes ``next``.
    """

    pages: Seams
    start: Callable[[str, Mapping[str, Any], str], str]
    state_of: Callable[[str, str], str]
    allowed: Callable[[], Allowed] = Allowed
    login: str = "api/v2/auth/login"
