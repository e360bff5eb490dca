"""Planned misbehaviour: named faults that hit chosen calls, and how often each one fired."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sandbox.business_central.query import HARD_PAGE
from sandbox.wire import Call, words

# What each number of the fault list stands for when only its name is given.
PRESETS: dict[str, dict[str, Any]] = {
    "F1": {"kind": "status", "status": 429, "retry_after": 1},
    "F2": {"kind": "status", "status": 429, "retry_after": 1, "part": True},
    "F3": {"kind": "status", "status": 503, "body": "empty"},
    "F4": {"kind": "status", "status": 504, "moment": "after", "method": "POST|PATCH|DELETE"},
    "F5": {"kind": "reset", "moment": "after"},
    "F6": {"kind": "delay", "seconds": 5, "method": "POST|PATCH|DELETE"},
    "F7": {"kind": "status", "status": 401},
    "F8": {"kind": "gone", "service": "graph", "path": r"/delta\?.*\$(delta|skip)token="},
    "F9": {"kind": "malformed", "variant": "truncated", "method": "GET"},
    "F10": {"kind": "user_action", "method": "PATCH", "action": {"method": "PATCH", "path": "{path}"}},
    "F11": {
        "kind": "status",
        "service": "graph",
        "status": 404,
        "code": "MailboxNotEnabledForRESTAPI",
        "count": None,
    },
    "F12": {"kind": "user_action", "service": "graph"},
    "F13": {"kind": "user_action", "service": "graph"},
    "F14": {
        "kind": "status",
        "service": "bc",
        "method": "POST|PATCH",
        "status": 400,
        "code": "Application_StringExceededLength",
    },
    "F15": {"kind": "user_action", "service": "bc", "action": {"method": "POST", "path": "/__sim/bc/hold"}},
    "F16": {"kind": "user_action", "service": "bc", "method": "GET", "moment": "after"},
    "F17": {
        "kind": "malformed",
        "variant": "short",
        "service": "bc",
        "method": "GET",
        "path": r"/contacts(\?|$)",
    },
    "F18": {"kind": "malformed", "variant": "duplicate", "service": "graph", "path": "/delta"},
    "F19": {"kind": "callback", "moment": "after"},
    "F20": {"kind": "user_action", "action": {"method": "POST", "path": "/__sim/clock"}},
    "F21": {"kind": "delay", "seconds": 0.05, "service": "graph", "count": None},
    "F22": {"kind": "delay", "seconds": 0.2, "count": None},
    "F23": {
        "kind": "status",
        "moment": "after",
        "service": "bc",
        "method": "GET",
        "path": r"/contacts\(",
        "answered": 404,
        "status": 404,
        "code": "BadRequest_ResourceNotFound",
        "count": None,
    },
    "F25": {
        "kind": "status",
        "service": "bc",
        "method": "GET",
        "path": "/countriesRegions",
        "status": 403,
        "code": "Authorization_InsufficientPermissions",
        "count": None,
    },
    "F26": {
        "kind": "status",
        "service": "bc",
        "method": "GET",
        "path": r"/contacts(\?|$)",
        "rows_above": 2000,
        "status": 504,
        "body": "empty",
        "count": None,
    },
    "F27": {"kind": "status", "status": 403, "body": "html"},
    "F28": {
        "kind": "user_action",
        "service": "graph",
        "method": "GET",
        "path": "singleValueExtendedProperties/Any",
        "action": {
            "method": "POST",
            "path": "/__sim/switches",
            "body": {"graph_filtered_property": "omit", "graph_filter_scope": "mailbox"},
        },
    },
    "F29": {
        "kind": "status",
        "service": "graph",
        "method": "PATCH",
        "path": "/contacts/",
        "status": 400,
        "code": "ErrorInvalidChangeKey",
    },
    "F30": {
        "kind": "user_action",
        "service": "bc",
        "method": "GET",
        "action": {"method": "POST", "path": "/__sim/bc/set"},
    },
    "F24": {
        "kind": "status",
        "method": "POST|PATCH|DELETE",
        "path": "/contacts",
        "status": 400,
        "code": "Application_DialogException",
    },
    "F32": {"kind": "user_action", "service": "graph"},
    # An item turns private (or "value": 0: not) at a chosen call; name it in the action's body.
    "F31": {"kind": "user_action", "service": "graph"},
    "F33": {"kind": "user_action", "service": "graph"},
    "F34": {"kind": "user_action", "service": "graph"},
    "F37": {"kind": "late", "method": "POST", "path": r"/contacts$"},
}
KINDS = ("status", "reset", "delay", "gone", "malformed", "user_action", "callback", "late")
VARIANTS = (
    "truncated",
    "no_value",
    "next_self",
    "next_foreign",
    "empty_page",
    "short",
    "duplicate",
    "foreign_ids",
    "shuffled",
)
NAMES = frozenset(
    words(
        "id name kind service method path mailbox company identity part nth every probability seed moment "
        "count status code retry_after body headers seconds variant keep action answered rows_above sent"
    )
)


class FaultError(ValueError):
    """A fault that can't be planned as described."""


def _rows_asked(call: Call) -> int:
    """Return how many rows a call asks for at most."""
    top = call.query.get("$top", "")
    return min(call.page_size() or HARD_PAGE, int(top) if top.isdigit() else HARD_PAGE)


@dataclass
class Fault:
    """One planned fault. ``matched`` counts the calls it fits, ``fired`` those it hit.

    ``refused`` counts user actions that the service refused: it fired, and nothing was done.
    """

    id: int
    name: str
    spec: dict[str, Any]
    callback: Callable[[Call], None] | None = None
    matched: int = 0
    fired: int = 0
    refused: int = 0
    random: Random = field(default_factory=Random)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a member of the description."""
        return self.spec.get(name, default)

    @property
    def kind(self) -> str:
        """What happens."""
        return str(self.spec["kind"])

    @property
    def moment(self) -> str:
        """Before the service acts, or after it (``mid_body`` and ``malformed`` are always after)."""
        if self.kind == "malformed" or self.spec.get("moment") == "mid_body":
            return "after"
        return str(self.spec.get("moment", "before"))

    def fits(self, call: Call) -> bool:
        """Return whether a call is among those aimed at."""
        identity = self.get("identity", "app")
        is_hers = (
            identity == "any" or identity == call.identity or (identity == "app" and call.identity != "user")
        )
        return (
            is_hers
            and self.get("service", call.service) == call.service
            and (self.get("part") is None or self.get("part") == call.part)
            and self.get("mailbox", call.mailbox or "").casefold() == (call.mailbox or "").casefold()
            and self.get("company", call.company or "").lower() == (call.company or "")
            and re.fullmatch(self.get("method", ".*"), call.method) is not None
            and re.search(self.get("path", ""), call.target) is not None
            and str(self.get("sent", "")).encode() in call.body
            and _rows_asked(call) > self.get("rows_above", 0)
        )

    def hits(self, status: int) -> bool:
        """Whether an answer of this status is among those aimed at; one that is not was not hit."""
        if self.get("answered", status) == status:
            return True
        self.missed()
        return False

    def missed(self) -> None:
        """Take a call off the count that was chosen and, after all, not hit."""
        self.fired -= 1

    def fires(self) -> bool:
        """Count a fitting call and return whether this is the one to hit."""
        self.matched += 1
        count = self.get("count", 1)
        if count is not None and self.fired >= count:
            return False
        nth = self.get("nth")
        if nth is not None and self.matched not in (nth if isinstance(nth, list) else [nth]):
            return False
        if self.get("every") and self.matched % self.get("every"):
            return False
        if "probability" in self.spec and self.random.random() >= self.spec["probability"]:
            return False
        self.fired += 1
        return True

    def to_json(self) -> dict[str, Any]:
        """Return the fault with its counts."""
        return {"id": self.id, "name": self.name, **self.spec, "matched": self.matched, "fired": self.fired}


class Faults:
    """All planned faults, in the order in which they were planned."""

    def __init__(self) -> None:
        self.planned: list[Fault] = []
        self._issued = 0

    def add(self, body: dict[str, Any], callback: Callable[[Call], None] | None = None) -> Fault:
        """Plan a fault from its description; a known name fills in what is not given."""
        name = str(body.get("name", body.get("kind", "")))
        spec = {**PRESETS.get(name, {}), **{k: v for k, v in body.items() if k not in ("id", "name")}}
        unknown = set(spec) - NAMES
        if unknown or spec.get("kind") not in KINDS:
            raise FaultError(f"unknown member or kind: {', '.join(sorted(unknown)) or spec.get('kind')}")
        if spec["kind"] == "malformed" and spec.get("variant") not in VARIANTS:
            raise FaultError(f"variant must be one of {', '.join(VARIANTS)}")
        if spec["kind"] == "user_action" and "path" not in spec.get("action", {}):
            raise FaultError("a user_action needs an action with a path")
        for pattern in (spec.get("method"), spec.get("path")):
            try:
                re.compile(pattern or "")
            except re.error as error:
                raise FaultError(f"not a regular expression: {pattern}") from error
        self._issued += 1
        fault = Fault(self._issued, name, spec, callback, random=Random(spec.get("seed", self._issued)))
        self.planned.append(fault)
        return fault

    def fire(self, call: Call) -> list[Fault]:
        """Return the faults that hit this call."""
        return [fault for fault in self.planned if fault.fits(call) and fault.fires()]

    def clear(self, name: str | None = None) -> None:
        """Forget all faults, or those with a name or id."""
        self.planned = [f for f in self.planned if name is not None and name not in (f.name, str(f.id))]

    def to_json(self) -> dict[str, Any]:
        """Return all faults and how often each name fired."""
        fired: dict[str, int] = {}
        for fault in self.planned:
            fired[fault.name] = fired.get(fault.name, 0) + fault.fired
        return {"faults": [fault.to_json() for fault in self.planned], "fired": fired}
