"""Switches and limits: everything about the services that can be set from outside.

A switch stands for something that Microsoft leaves open; a client must work
with each of its values.
"""

from __future__ import annotations

import copy
from typing import Any

# The first value of each is the default.
SWITCHES: dict[str, tuple[str, ...]] = {
    "graph_if_match": ("enforce", "ignore"),
    "graph_address_patch": ("merge", "replace"),
    "graph_readonly_in_patch": ("ignore", "400"),
    "graph_delta_body": ("full", "partial"),
    "graph_delta_expired": ("410", "400"),
    "graph_delta_returned": ("removed", "present"),
    "graph_concurrency_scope": ("mailbox", "app"),
    "graph_noop_patch": ("bump", "keep"),
    "graph_email_without_address": ("take", "400"),
    "graph_filtered_property": ("expand", "omit"),
    "graph_filter_scope": ("folder", "mailbox"),
    "graph_parent_id": ("same", "items", "all"),
    "graph_folder_alias": ("serve", "404"),
    "graph_basic_profile": ("null", "403"),
    "batch_outer_on_429": ("200", "424"),
    "graph_batch_over_4": ("queue", "429"),
    "bc_delete_without_if_match": ("400", "allow"),
    "bc_extension": ("published", "missing"),
    "bc_readonly_in_body": ("ignore", "400"),
    "bc_null_text": ("400", "blank"),
    "bc_country_change": ("clear", "keep"),
    "bc_batch_after_error": ("continue", "stop"),
    "bc_stale_status": ("409", "412"),
    "bc_missing_contact": (
        "Internal_RecordNotFound",
        "BadRequest_NotFound",
        "BadRequest_ResourceNotFound",
        "Internal_DataNotFoundFilter",
        "400",
        "no_code",
        "empty",
    ),
    "bc_nested_functions": ("error", "nothing", "everything", "case", "fold"),
    "bc_retry_after_on_429": ("yes", "no"),
}

# None switches a limit off.
LIMITS: dict[str, float | None] = {
    "graph_window_operations": 10000,
    "graph_window_seconds": 600,
    "graph_concurrency": 4,
    "graph_delta_page": 200,
    "graph_list_page": 1000,
    "graph_users_page": 999,
    "bc_rate": 6000,
    "bc_rate_seconds": 300,
    "bc_concurrency": 5,
    "bc_queue": 95,
    "bc_queue_seconds": 480,
    "bc_max_page": 20000,
    "bc_batch": 100,
}

OPTIONS: dict[str, Any] = {
    "graph_latency_ms": 0,
    "bc_latency_ms": 0,
    "bc_row_latency_ms": 0,
    "token_lifetime_seconds": 3599,
    "delta_lag_seconds": 0,
    "delta_shuffle": True,
    "delta_duplicates": 0.0,
    "delta_empty_pages": 0.0,
    "delta_removed_in_first_round": False,
    "retry_after": "integer",
    "retry_after_concurrency_seconds": 1,
    "date_header_skew_seconds": 0,
}


class SettingsError(ValueError):
    """A setting that does not exist, or a value it can't have."""


class Settings:
    """The values in force, as three plain dictionaries."""

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.switches: dict[str, str] = {name: values[0] for name, values in SWITCHES.items()}
        self.limits: dict[str, float | None] = dict(LIMITS)
        self.options: dict[str, Any] = copy.deepcopy(OPTIONS)
        self.change(values or {})

    def change(self, values: dict[str, Any]) -> None:
        """Set switches, limits and options; nested (``{"switches": {...}}``) or flat by name.

        Nothing changes when one name or value is wrong.
        """
        flat: dict[str, Any] = {}
        for name, value in values.items():
            flat.update(value if name in ("switches", "limits", "options") else {name: value})
        checked = [(self._group(name), name, self._checked(name, value)) for name, value in flat.items()]
        for group, name, value in checked:
            group[name] = value

    def _group(self, name: str) -> dict[str, Any]:
        for group in (self.switches, self.limits, self.options):
            if name in group:
                return group
        raise SettingsError(f"unknown setting: {name}")

    @staticmethod
    def _checked(name: str, value: Any) -> Any:
        if name in SWITCHES:
            if str(value) not in SWITCHES[name]:
                raise SettingsError(f"{name} must be one of {', '.join(SWITCHES[name])}")
            return str(value)
        default = LIMITS.get(name, OPTIONS.get(name))
        if isinstance(value, str) and value.lower() in ("none", "off"):
            value = None
        if isinstance(default, bool):
            return str(value).lower() in ("true", "1", "yes")
        if isinstance(default, str):
            return "none" if value is None else str(value)
        if value is None:
            if name in LIMITS:
                return None
            raise SettingsError(f"{name} must be a number")
        return float(value) if isinstance(value, str) else value

    def is_on(self, switch: str, value: str) -> bool:
        """Return whether a switch is set to ``value``."""
        return self.switches[switch] == value

    def limit(self, name: str) -> float | None:
        """Return a limit; None means that it is off."""
        return self.limits[name]

    def to_json(self) -> dict[str, Any]:
        """Return all values, in the form that :meth:`change` takes."""
        return {
            "switches": dict(self.switches),
            "limits": dict(self.limits),
            "options": copy.deepcopy(self.options),
        }
