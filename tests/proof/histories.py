"""Random histories: what users do, what fails, and when the sync runs; as plain steps that can be left out one by one.

``draw`` makes a history from a seed; ``player`` carries it out, and ``shrinking`` leaves out steps for as long as the
same invariant breaks. A step names its contacts by numbers that are taken modulo what is there, so that every part of
a history is a history.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from tests.proof import fleet, upkeep, users, wanted
from tests.proof.oracle import Setup

Step = tuple[Any, ...]
BOXES = ("anna@voorbeeld.example", "bram@voorbeeld.example", "cora@voorbeeld.example")
CITIES = ("Zaandam", "Utrecht", "Haarlem")
EDITED = ("name", "email", "phone", "mobile", "job", "street", "city", "county", "post", "country")
WEIGHTS = {
    "bc_edit": 14, "ol_edit": 14, "bc_clear": 2, "ol_clear": 2, "bc_add": 4, "ol_add": 5, "bc_delete": 2,
    "ol_delete": 3, "move_out": 2, "move_back": 2, "copy": 1, "rename_folder": 1, "delete_folder": 0.4,
    "own": 3, "drop_first": 0.7, "block": 1, "unblock": 0.7, "type": 1, "profile": 1.5,
    "run": 16, "dry": 1.5, "fault": 7,
    "clear_faults": 2, "kill": 2.5, "two_runs": 0.5, "lose_database": 0.3, "migrate_mailbox": 0.4,
    "hold": 0.7, "release": 0.7, "hours": 1, "expire_delta": 0.7, "expire_tokens": 0.4, "during": 4,
    "clock": 0.7, "worker_clock": 0.7, "backup": 0.7, "restore": 0.4, "purge": 0.7, "move_folder": 0.4,
    "empty_folder": 0.3, "lag": 0.6, "unlag": 0.6,
}  # fmt: skip
#: Steps that are no fault by themselves, and the faults that they stand for.
STANDS_FOR = {
    "rename_folder": "F12", "delete_folder": "F12", "move_folder": "F12", "empty_folder": "F12",
    "move_out": "F13", "move_back": "F13", "copy": "F13", "own": "F13", "drop_first": "F13",
    "release": "F15", "lag": "F18", "kill": "F19", "clock": "F20", "worker_clock": "F20", "two_runs": "F22",
}  # fmt: skip
#: Steps that are drawn from a generator of their own, so that a seed stays the history that it was.
UNKIND = {"unkind": 5, "comma": 2, "computed": 1, "odd_stamp": 2, "late": 2, "carry_out": 1,
          "private": 3, "public": 1}  # fmt: skip
STANDS_FOR |= {"comma": "F32", "private": "F31", "computed": "F30", "odd_stamp": "F30"}
#: Steps that came later, drawn from a third generator for the same reason.
MORE = {"malformed": 3, "replace_account": 1, "rename_account": 2, "drag_folder": 3, "purge_folder": 1,
        "answer": 2, "meanwhile": 3}  # fmt: skip
#: What happens to accounts and folders; also between two calls of a run.
ABOVE = ("replace_account", "rename_account", "drag_folder", "drag_folder", "purge_folder")
STANDS_FOR |= {"replace_account": "F33", "rename_account": "F33", "drag_folder": "F34", "purge_folder": "F34"}
#: What users do between two calls of a run.
MEANWHILE = (
    "bc_edit", "bc_edit", "ol_edit", "ol_edit", "bc_clear", "ol_clear", "bc_add", "bc_delete", "ol_add",
    "ol_delete", "move_out", "move_back", "copy", "own", "drop_first", "block", "block", "unblock", "type",
    "rename_folder", "delete_folder", "purge",
)  # fmt: skip
#: Of a history, at most; those that are drawn apart come on top.
STEPS = 40
#: The part of the histories that is played over real sockets, with real time and threads, and PostgreSQL.
ON_SOCKETS = 0.05
#: Seconds: a service that is slow beyond a worker's patience (F6), and one that takes its time (F21).
SLOW, PATIENCE, DELAY = 0.9, 0.5, 0.01

#: Faults that a history draws: what Sandbox.add_fault takes. "nth" is drawn beside it.
FAULTS: tuple[dict[str, Any], ...] = (
    {"name": "F1", "service": "graph"},
    {"name": "F1", "service": "bc"},
    {"name": "F1", "service": "graph", "retry_after": "0.3"},
    {"name": "F1", "service": "bc", "retry_after": "date+1"},
    {"name": "F1", "service": "graph", "retry_after": "none"},
    {"name": "F2", "service": "graph", "count": 2},
    {"name": "F3", "service": "graph"},
    {"name": "F3", "service": "bc"},
    {"name": "F3", "service": "graph", "count": 12},
    {"name": "F3", "service": "bc", "body": "html"},
    {"name": "F4", "service": "graph", "part": True},
    {"name": "F4", "service": "graph", "part": False},
    {"name": "F4", "service": "bc"},
    {"name": "F4", "service": "bc", "method": "POST"},
    {"name": "F4", "service": "bc", "status": 502},
    {"name": "F4", "service": "graph", "moment": "before"},
    {"name": "F4", "service": "bc", "moment": "before"},
    {"name": "F5", "service": "graph"},
    {"name": "F5", "service": "bc"},
    {"name": "F5", "service": "graph", "moment": "before"},
    {"name": "F5", "service": "bc", "moment": "mid_body"},
    {"name": "F5", "service": "bc", "moment": "before"},
    {"name": "F6", "service": "graph", "part": False, "seconds": SLOW},
    {"name": "F6", "service": "bc", "seconds": SLOW},
    {"name": "F6", "service": "graph", "part": False, "seconds": SLOW, "moment": "after"},
    {"name": "F6", "service": "bc", "seconds": SLOW, "moment": "after"},
    {"name": "F7", "service": "graph"},
    {"name": "F7", "service": "bc"},
    {"name": "F7", "service": "entra", "status": 401},
    {"name": "F7", "service": "entra", "status": 429, "count": 2},
    {"name": "F7", "service": "entra", "status": 500, "count": 3},
    {"name": "F8"},
    {"name": "F8", "path": r"/delta\?.*\$skiptoken="},
    {"name": "F9", "service": "graph", "path": "/delta"},
    {"name": "F9", "service": "bc"},
    {"name": "F9", "service": "bc", "variant": "no_value"},
    {"name": "F9", "service": "graph", "variant": "empty_page"},
    {"name": "F9", "service": "graph", "variant": "next_self", "count": 2},
    {"name": "F9", "service": "bc", "variant": "next_foreign"},
    {"name": "F10", "service": "graph", "part": True, "path": "/contacts/", "field": "businessHomePage"},
    {"name": "F10", "service": "bc", "path": "/contacts", "field": "website"},
    {"name": "F11", "count": 4},
    {"name": "F14"},
    {"name": "F17", "keep": 0.7},
    {"name": "F17", "keep": 0.3},
    {"name": "F18"},
    {"name": "F21", "seconds": DELAY},
    {"name": "F21", "service": "bc", "seconds": DELAY},
)
#: Faults of services that are less kind, as ``FAULTS``; drawn by the steps of ``UNKIND``.
UNKIND_FAULTS: tuple[dict[str, Any], ...] = (
    {"name": "F23"},
    {"name": "F23", "code": "Internal_DataNotFoundFilter"},
    {"name": "F23", "body": "empty"},
    {"name": "F24", "service": "bc"},
    {"name": "F24", "service": "bc", "status": 423, "code": "Unknown"},
    {"name": "F24", "service": "bc", "status": 409, "code": "Internal_EntityWithSameKeyExists"},
    {"name": "F24", "service": "bc", "status": 403, "code": "Authorization_InsufficientPermissions"},
    {"name": "F24", "service": "graph", "part": True, "status": 413, "code": "ErrorMessageSizeExceeded"},
    {
        "name": "F24",
        "service": "graph",
        "part": True,
        "code": "ErrorInternalServerTransientError",
        "count": 3,
    },
    {"name": "F25"},
    {"name": "F25", "status": 401},
    {"name": "F26", "count": 2},
    {"name": "F27", "service": "graph"},
    {"name": "F27", "service": "bc", "status": 502},
    {"name": "F27", "service": "bc", "status": 200},
    {"name": "F27", "service": "entra", "status": 407},
    {"name": "F28"},
)
#: Faults of ``MORE``, drawn by the step "malformed": a version that is refused, and answers to batches that are whole,
#: in another order, or not of the parts that were asked.
MALFORMED: tuple[dict[str, Any], ...] = (
    {"name": "F29"},
    {"name": "F29", "part": True},
    {"name": "F29", "count": 3},
    *(
        {"name": "F9", "service": service, "method": "POST", "path": r"/\$batch$", "variant": variant, **more}
        for service in ("bc", "graph")
        for variant, more in (
            ("short", {}),
            ("short", {"keep": 0.6}),
            ("foreign_ids", {}),
            ("shuffled", {}),
            ("truncated", {}),
        )
    ),
)
UNREADABLE = "een, twee@thuis.example"
#: Stamps that say nothing of when a row was written.
ODD_STAMPS = ("0001-01-01T00:00:00Z", "2124-05-01T08:00:00Z", "2019-03-02T09:15:04.123Z")


@dataclass(frozen=True)
class History:
    """All that decides what happens."""

    seed: int
    database: str
    settings: dict[str, Any]
    sandbox: dict[str, Any]
    field_profile: str
    checked: bool
    people: int
    profiles: tuple[Setup, ...]
    steps: tuple[Step, ...]
    #: ``in_process``, where the history is a function of its seed; or ``sockets``, with real time and threads.
    transport: str = "in_process"
    #: How many steps it was drawn with, at most.
    length: int = STEPS
    companies: int = 1

    def __str__(self) -> str:
        """Return it as a failure prints it."""
        lines = [
            f"seed {self.seed} on {self.database}, {self.transport}",
            f"  {self.people} contacts, companies {self.companies}, fields {self.field_profile}",
            f"  self-test {self.checked}",
            f"  sandbox  {self.sandbox}",
            f"  settings {self.settings}",
            *(f"  {profile}" for profile in self.profiles),
            *(f"  {number:3} {' '.join(map(repr, step))}" for number, step in enumerate(self.steps)),
        ]
        return "\n".join(lines)


# -- drawing ---------------------------------------------------------------------------------------------------------


def draw(seed: int, *, steps: int = STEPS, faults: bool = True) -> History:
    """Return the history of a seed; the same one always."""
    rng = random.Random(seed)
    names = [n for n in WEIGHTS if faults or n not in ("fault", "clear_faults", "kill", "during")]
    chosen = rng.choices(names, [WEIGHTS[name] for name in names], k=rng.randint(steps // 3, steps))
    drawn = [("run", "full"), *(_step(rng, name) for name in chosen)]
    # From a generator of their own, so that the rest of a history is what it was before there were any.
    undos = random.Random(f"undo {seed}")
    for _ in range(undos.choice((0, 0, 1, 1, 2, 4))):
        drawn.insert(undos.randint(1, len(drawn)), _step(undos, "undo"))
    unkind = random.Random(f"unkind {seed}")
    for _ in range(unkind.choice((0, 1, 2, 3, 5)) if faults else 0):
        [name] = unkind.choices(list(UNKIND), list(UNKIND.values()))
        drawn.insert(unkind.randint(1, len(drawn)), _step(unkind, name))
    more = random.Random(f"{seed}-more")
    for _ in range(more.choice((0, 0, 1, 2, 4)) if faults else 0):
        [name] = more.choices(list(MORE), list(MORE.values()))
        drawn.insert(more.randint(1, len(drawn)), _step(more, name))
    on_sockets = random.Random(f"transport {seed}").random() < ON_SOCKETS
    database = rng.choice(("sqlite", "sqlite", "postgresql"))
    drawn_so = History(
        seed,
        "postgresql" if on_sockets else database,
        _settings(rng),
        _switches(rng) | _unkind_switches(unkind),
        rng.choice(("standard",) * 4 + ("extended",)),
        rng.random() < 0.5,
        rng.randint(0, 12),
        tuple(_profile(rng, box) for box in BOXES[: rng.choice((1, 1, 2, 3))]),
        tuple(drawn),
        "sockets" if on_sockets else "in_process",
        steps,
    )
    return wanted.extend(upkeep.extend(fleet.extend(_with_users(drawn_so))))


def _with_users(history: History) -> History:
    """Return a history with what users do beside the plainest, and with limits that may be tight."""
    drawn = list(history.steps)
    for at, step in users.steps(history.seed, history.field_profile):
        drawn.insert(1 + int(at * len(drawn)), step)
    settings = history.settings | users.settings(history.seed) | users.quiet(history.seed)
    return replace(history, steps=tuple(drawn), settings=settings)


def _step(rng: random.Random, name: str) -> Step:
    a, b = rng.randrange(1000), rng.randrange(1000)
    if name in ("bc_edit", "ol_edit", "bc_clear", "ol_clear"):
        return (name, a, b, rng.choice(EDITED), rng.randrange(5))
    if name == "run":
        return (name, rng.choice(("incremental",) * 3 + ("full",)))
    if name == "kill":
        return (
            name,
            rng.choice(("incremental", "full")),
            rng.choice(("call", "commit")),
            a % 40,
            rng.choice((0, 1)),
        )
    if name == "during":
        mode, where = rng.choice(("incremental", "full")), rng.choice(("call", "call", "page", "write"))
        inner = tuple(_step(rng, rng.choice(MEANWHILE)) for _ in range(rng.choice((1, 1, 2, 4))))
        return (name, mode, where, a % 15, inner)
    if name == "meanwhile":
        inner = tuple(_step(rng, rng.choice(ABOVE)) for _ in range(rng.choice((1, 1, 2))))
        return ("during", rng.choice(("incremental", "full")), rng.choice(("call", "page")), a % 15, inner)
    if name in ("fault", "unkind"):
        drawn = FAULTS if name == "fault" else UNKIND_FAULTS
        return (name, rng.randrange(len(drawn)), rng.choice((1, 1, 2, 3, 5, 8)))
    if name == "profile":
        setting = rng.choice(
            ("city", "city", "direction", "deleted_in_outlook", "deleted_in_bc", "left_scope", "blank_in_bc")
        )
        return (name, a, setting, rng.randrange(6))
    return (name, a, b)


def _profile(rng: random.Random, box: str) -> Setup:
    return Setup(
        box,
        city=rng.choice(("", "", "Zaandam", "Zaandam|Utrecht")),
        direction=rng.choice(("both",) * 6 + ("to_outlook", "to_business_central")),
        deleted_in_outlook=rng.choice(("recreate",) * 4 + ("stay_away",)),
        deleted_in_bc=rng.choice(("delete", "delete", "keep")),
        left_scope=rng.choice(("delete", "delete", "keep")),
        blank_in_bc=rng.choice(("fill", "fill", "overwrite")),
    )


def _settings(rng: random.Random) -> dict[str, Any]:
    low = rng.random() < 0.15
    names = ("guard_deletes", "guard_few_deletes", "guard_overwrites", "guard_creates")
    loose = dict.fromkeys(names, 10**6)
    return {
        "retry_cap": 1.0,
        "longest_request": rng.choice((0.0, 0.0, 600.0)),
        "id_scan_requests": rng.choice((5, 5, 0)),
        # All steps of a history fall within minutes: the scan that is cheap is made in each run, as after a while.
        "id_scan_cheap_every": 0.0,
        **({"guard_emptied_from": 3} if low else loose | {"guard_emptied_from": 10**6}),
    }


def _switches(rng: random.Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, values in (
        ("graph_if_match", ("enforce", "ignore")),
        ("graph_address_patch", ("merge", "replace")),
        ("graph_readonly_in_patch", ("ignore", "400")),
        ("graph_concurrency_scope", ("mailbox", "app")),
        ("graph_noop_patch", ("bump", "keep")),
        ("graph_delta_body", ("full", "partial")),
        ("graph_delta_expired", ("410", "400")),
        ("graph_delta_returned", ("removed", "present")),
        ("graph_folder_alias", ("serve", "404")),
        ("batch_outer_on_429", ("200", "424")),
        ("graph_batch_over_4", ("queue", "429")),
        ("bc_delete_without_if_match", ("400", "allow")),
        ("bc_readonly_in_body", ("ignore", "400")),
        ("bc_null_text", ("400", "blank")),
        ("bc_retry_after_on_429", ("yes", "no")),
        ("bc_country_change", ("clear", "keep")),
        ("bc_batch_after_error", ("continue", "stop")),
        ("bc_stale_status", ("409", "412")),
        ("graph_delta_page", (200, 2)),
        ("graph_list_page", (1000, 3)),
        ("bc_max_page", (20000, 4)),
        ("delta_duplicates", (0.0, 0.3)),
        ("delta_empty_pages", (0.0, 0.3)),
        ("delta_removed_in_first_round", (False, True)),
    ):
        if rng.random() < 0.3:
            chosen[name] = rng.choice(values)
    return chosen


def _unkind_switches(rng: random.Random) -> dict[str, Any]:
    """What Microsoft's documentation leaves open, or says and a kind sandbox would not do."""
    chosen: dict[str, Any] = {}
    for name, values in UNKIND_SWITCHES.items():
        if rng.random() < 0.3:
            chosen[name] = rng.choice(values)
    return chosen


UNKIND_SWITCHES: dict[str, tuple[Any, ...]] = {
    "bc_missing_contact": (
        "Internal_RecordNotFound", "BadRequest_NotFound", "BadRequest_ResourceNotFound",
        "Internal_DataNotFoundFilter", "400", "no_code", "empty",
    ),
    "bc_nested_functions": ("error", "nothing", "everything", "case", "fold"),
    "graph_email_without_address": ("take", "400"),
    "graph_filtered_property": ("expand", "omit"),
    "graph_filter_scope": ("folder", "mailbox"),
    "graph_parent_id": ("same", "items", "all"),
}  # fmt: skip
