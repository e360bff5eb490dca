"""The decision tables (rules 7), and the words in them.

``EVENTS`` says what a coupling needs when one end is gone, blocked or out of scope; ``WITH_BASELINE`` and
``WITHOUT_BASELINE`` say, field by field, which side's value goes where.
"""

from __future__ import annotations

from enum import StrEnum, auto
from itertools import product

from sync_lib.model import UNDO, BcStatus, Direction


class Event(StrEnum):
    """What becomes of a coupling."""

    MERGE = auto()
    REPAIR = auto()
    RECREATE = auto()
    WAKE = auto()
    KEEP = auto()
    END = auto()
    END_OR_AWAY = auto()
    LEAVE_SCOPE = auto()
    LEAVE_EDITED = auto()
    DELETE_OR_RELEASE = auto()
    RELEASE_EDITED = auto()
    DELETE_BLOCKED = auto()


#: (BC status, item: present / edited / gone, coupling: live / released / away) -> what to do. Rules 2.1, 3, 7.
EVENTS: dict[tuple[BcStatus, str, str], Event] = {
    (BcStatus.IN_SCOPE, "present", "live"): Event.MERGE,
    (BcStatus.IN_SCOPE, "present", "released"): Event.MERGE,  # comes back into scope
    (BcStatus.IN_SCOPE, "present", "away"): Event.MERGE,
    (BcStatus.IN_SCOPE, "edited", "live"): Event.MERGE,
    (BcStatus.IN_SCOPE, "edited", "released"): Event.MERGE,
    (BcStatus.IN_SCOPE, "edited", "away"): Event.MERGE,
    (BcStatus.IN_SCOPE, "gone", "live"): Event.RECREATE,  # 7.1
    (BcStatus.IN_SCOPE, "gone", "released"): Event.RECREATE,
    (BcStatus.IN_SCOPE, "gone", "away"): Event.WAKE,  # 7.1, stay_away: only when BC changes it
    (
        BcStatus.INVALID,
        "present",
        "live",
    ): Event.REPAIR,  # 3: stays coupled; only the value that puts it right moves
    (BcStatus.INVALID, "present", "released"): Event.KEEP,
    (BcStatus.INVALID, "present", "away"): Event.REPAIR,
    (BcStatus.INVALID, "edited", "live"): Event.REPAIR,
    (BcStatus.INVALID, "edited", "released"): Event.KEEP,
    (BcStatus.INVALID, "edited", "away"): Event.REPAIR,
    (BcStatus.INVALID, "gone", "live"): Event.END_OR_AWAY,  # deleted while out of scope (2.1)
    (BcStatus.INVALID, "gone", "released"): Event.END_OR_AWAY,
    # It outlives whatever is not BC's contact, a wish or a value (2.1).
    (BcStatus.INVALID, "gone", "away"): Event.KEEP,
    (BcStatus.OUT, "present", "live"): Event.LEAVE_SCOPE,  # 7.3
    (BcStatus.OUT, "present", "released"): Event.KEEP,
    (BcStatus.OUT, "present", "away"): Event.LEAVE_SCOPE,
    (BcStatus.OUT, "edited", "live"): Event.LEAVE_EDITED,  # 7.3b, 7.3c, 7.3d
    (BcStatus.OUT, "edited", "released"): Event.KEEP,
    (BcStatus.OUT, "edited", "away"): Event.LEAVE_EDITED,
    (BcStatus.OUT, "gone", "live"): Event.END_OR_AWAY,
    (BcStatus.OUT, "gone", "released"): Event.END_OR_AWAY,
    (BcStatus.OUT, "gone", "away"): Event.KEEP,
    (BcStatus.BLOCKED, "present", "live"): Event.DELETE_BLOCKED,  # 7.4
    (BcStatus.BLOCKED, "present", "released"): Event.DELETE_BLOCKED,
    (BcStatus.BLOCKED, "present", "away"): Event.DELETE_BLOCKED,
    (BcStatus.BLOCKED, "edited", "live"): Event.DELETE_BLOCKED,
    (BcStatus.BLOCKED, "edited", "released"): Event.DELETE_BLOCKED,
    (BcStatus.BLOCKED, "edited", "away"): Event.DELETE_BLOCKED,
    (BcStatus.BLOCKED, "gone", "live"): Event.END_OR_AWAY,
    (BcStatus.BLOCKED, "gone", "released"): Event.END_OR_AWAY,
    (BcStatus.BLOCKED, "gone", "away"): Event.KEEP,
    (BcStatus.GONE, "present", "live"): Event.DELETE_OR_RELEASE,  # 7.2
    (BcStatus.GONE, "present", "released"): Event.KEEP,
    (BcStatus.GONE, "present", "away"): Event.DELETE_OR_RELEASE,
    (BcStatus.GONE, "edited", "live"): Event.RELEASE_EDITED,  # 7.2b
    (BcStatus.GONE, "edited", "released"): Event.KEEP,
    (BcStatus.GONE, "edited", "away"): Event.RELEASE_EDITED,
    (BcStatus.GONE, "gone", "live"): Event.END,  # 7.5
    (BcStatus.GONE, "gone", "released"): Event.END,
    (BcStatus.GONE, "gone", "away"): Event.END,
}

#: (BC changed, Outlook changed, sides equal) -> verdict, for a field that has a baseline on both sides.
WITH_BASELINE: dict[tuple[bool, bool, bool], str] = {
    (False, False, True): "same",
    # Each holds what it held when the pair agreed: one side keeps another form.
    (False, False, False): "same",
    (True, False, False): "to_outlook",
    (True, False, True): "agree",
    (False, True, False): "to_bc",
    (False, True, True): "agree",
    (True, True, True): "agree",
    (True, True, False): "conflict",
}

#: (sides equal, BC blank, Outlook blank) -> verdict, for a field without a baseline.
WITHOUT_BASELINE: dict[tuple[bool, bool, bool], str] = {
    **{
        (True, bc_blank, outlook_blank): "agree"
        for bc_blank, outlook_blank in product((True, False), repeat=2)
    },
    (False, True, False): "fill",
    (False, False, True): "to_outlook",
    (False, False, False): "overwrite",
    (False, True, True): "agree",
}

#: (direction, verdict) -> what is done; a verdict that is not listed is done as it is (rules 7.8, 7.9).
DIRECTED: dict[tuple[Direction, str], str] = {
    (Direction.TO_OUTLOOK, "to_bc"): "restore",
    (Direction.TO_OUTLOOK, "fill"): "differ",
    (Direction.TO_BUSINESS_CENTRAL, "to_outlook"): "differ",
    (Direction.TO_BUSINESS_CENTRAL, "overwrite"): "differ",
    (Direction.TO_BUSINESS_CENTRAL, "conflict"): "differ",
    (Direction.TO_BUSINESS_CENTRAL, "clear"): "differ",
}

WRITES_OUTLOOK = frozenset({"to_outlook", "overwrite", "conflict", "restore", "clear", UNDO})
WRITES_BC = frozenset({"to_bc", "fill", UNDO})
#: What the flag of an item decides about, whatever the direction: where both sides changed, or nobody knows (rules 3).
UNSURE = frozenset({"conflict", "overwrite", "clear"})
#: Why nothing of an item goes to BC.
PRIVATE = "private_in_outlook"
#: Verdicts that replace a value which is not that side's baseline: what the guard counts as overwrites (8.3). An undo
#: replaces what both sides agreed on.
OVERWRITES = frozenset({"overwrite", "conflict", "restore", "clear", UNDO})
#: Without these a contact does not sync (rules 3); while a side lacks one, only the other side's value for it moves.
REQUIRED = ("name", "email")
