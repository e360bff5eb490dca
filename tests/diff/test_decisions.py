"""The decision tables are complete, and each row of them is decided as rules 7 says."""

from __future__ import annotations

from itertools import product

import pytest

from sync_lib.diff.context import DiffContext, Policy
from sync_lib.diff.match import Views, match
from sync_lib.diff.plan import plan_changes
from sync_lib.diff.tables import (
    DIRECTED,
    EVENTS,
    OVERWRITES,
    WITH_BASELINE,
    WITHOUT_BASELINE,
    WRITES_BC,
    WRITES_OUTLOOK,
)
from sync_lib.fields import categories, reading
from sync_lib.fields.bc_columns import COLUMN_NAMES
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.mapper import FieldMapper
from sync_lib.fields.normal_forms import Normaliser
from sync_lib.model import (
    Action,
    BcSide,
    BcStatus,
    Coupling,
    CouplingState,
    Direction,
    Origin,
    OutlookSide,
    Plan,
)

COMPANY = BcKey("t", "prod", "c", "", Origin.MADE_BY_SYNC)
STATES = {"live": CouplingState.ACTIVE, "released": CouplingState.RELEASED, "away": CouplingState.AWAY}


def bc(job: str = "", status: BcStatus = BcStatus.IN_SCOPE, **values: str) -> BcSide:
    fields = dict.fromkeys(COLUMN_NAMES, "")
    fields |= {
        "type": "Person",
        "name": "Jan Jansen",
        "email": "jan@klant.example",
        "job_title": job,
        **values,
    }
    problem = "email_missing" if status is BcStatus.INVALID else ""
    if status is BcStatus.INVALID:
        fields["email"] = ""
    context = Normaliser(Lookups())
    fingerprint = context.fingerprint(reading.from_business_central(fields, "standard"))
    return BcSide("b1", 1, fingerprint, "e1", fields["email"], "CT1", status, fields, problem)


def item(job: str = "", etag: str = "v1", key: bool = True) -> OutlookSide:
    record = {
        "displayName": "Jan Jansen",
        "emailAddresses": [{"address": "jan@klant.example", "name": "Jan"}],
        "jobTitle": job or None,
        "businessPhones": [],
        "businessAddress": {},
    }
    fingerprint = Normaliser(Lookups()).fingerprint(reading.from_outlook(record, "standard"))
    own = str(BcKey("t", "prod", "c", "b1", Origin.MADE_BY_SYNC)) if key else ""
    return OutlookSide(
        "o1", 1, fingerprint, etag, "2026-01-01T00:00:00.000Z", "jan@klant.example", own, record
    )


def coupled(
    bc_job: str | None = "",
    outlook_job: str | None = "",
    *,
    state: str = "live",
    origin: Origin = Origin.MADE_BY_SYNC,
    differs: dict[str, str] | None = None,
) -> Coupling:
    """A coupling whose baselines hold these job titles; None: no baseline for the field."""
    agreed_bc = reading.from_business_central(bc().values, "standard")
    agreed_outlook = reading.from_outlook(item().record, "standard")
    for fields, job in ((agreed_bc, bc_job), (agreed_outlook, outlook_job)):
        if job is None:
            fields.pop("job_title", None)
        else:
            fields["job_title"] = job
    return Coupling(
        1,
        "b1",
        1,
        "o1" if state != "away" else None,
        1,
        origin,
        STATES[state],
        baseline_bc=agreed_bc,
        baseline_outlook=reading.outlook_baseline(item().record, agreed_outlook),
        outlook_etag="v1",
        differs=differs or {},
        categories={name: [*categories.DEFAULT] for name in ("asked", "own")},
    )


def diff(one: BcSide | None, other: OutlookSide | None, coupling: Coupling, **policy: object) -> Plan:
    views = Views(
        couplings=[coupling],
        bc={one.id: one} if one else {},
        items={other.id: other} if other else {},
        uncoupled_bc=[],
        uncoupled_items=[],
        coupled_bc={coupling.bc_id: coupling.outlook_id},
        held_emails=frozenset(),
        by_email={},
        in_filter=frozenset({"b1"}),
        known={},
    )
    context = DiffContext(Policy(**policy), FieldMapper.of("standard", Lookups()))  # type: ignore[arg-type]
    return plan_changes(match(views, COMPANY), views, context)


def actions(plan: Plan) -> list[Action]:
    return [change.action for change in plan.changes]


def test_every_event_has_a_decision():
    wanted = set(product(BcStatus, ("present", "edited", "gone"), ("live", "released", "away")))
    assert set(EVENTS) == wanted


def test_every_combination_of_a_field_has_a_verdict():
    assert set(WITH_BASELINE) == set(product((True, False), repeat=3))
    assert set(WITHOUT_BASELINE) == set(product((True, False), repeat=3))
    verdicts = set(WITH_BASELINE.values()) | set(WITHOUT_BASELINE.values()) | set(DIRECTED.values())
    assert verdicts <= WRITES_OUTLOOK | WRITES_BC | {"same", "agree", "differ"}
    assert OVERWRITES <= WRITES_OUTLOOK


EXPECTED_EVENTS = {
    "merge": [],
    "repair": [],
    "keep": [],
    "recreate": [Action.CREATE_OUTLOOK],
    "wake": [],
    "end": [],
    "end_or_away": [],
    # Only its version moved (7.3d).
    "leave_edited": [],
    "leave_scope": [Action.DELETE_OUTLOOK],
    "delete_or_release": [Action.DELETE_OUTLOOK],
    "delete_blocked": [Action.DELETE_OUTLOOK],
    "release_edited": [],
}


@pytest.mark.parametrize(("status", "seen", "state"), list(EVENTS))
def test_each_event_does_what_its_name_says(status, seen, state):
    one = None if status is BcStatus.GONE else bc(status=status)
    other = None if seen == "gone" else item(etag="v1" if seen == "present" else "v2")
    plan = diff(one, other, coupled(state=state if not (state == "away" and other) else "live"))
    event = EVENTS[status, seen, "live" if state == "away" and other else state]
    if state == "away" and other is None and event == "wake":
        # The contact changed in BC while it was away, since this coupling carries no fingerprint: it is made again.
        assert actions(plan) == [Action.CREATE_OUTLOOK]
    else:
        assert actions(plan) == EXPECTED_EVENTS[event]
    assert bool(plan.ended) == (event in ("end", "end_or_away"))
    released = [c for c in plan.couplings if c.state is CouplingState.RELEASED]
    assert bool(released) == (event in ("release_edited", "leave_edited"))
    assert sum(plan.outcomes.values()) + len(plan.changes) == 1


VALUES = ("", "Inkoper", "Directeur")


@pytest.mark.parametrize(("base", "ours", "theirs"), list(product((None, *VALUES), VALUES, VALUES)))
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("fill", ["fill", "overwrite"])
def test_each_field_is_merged_as_rules_7_say(base, ours, theirs, direction, fill):
    plan = diff(bc(ours), item(theirs), coupled(base, base), direction=direction, blank_in_bc=fill)
    to_outlook, to_bc = _expected(base, ours, theirs, direction, fill)
    wanted = [Action.UPDATE_OUTLOOK] * to_outlook + [Action.UPDATE_BC] * to_bc
    assert actions(plan) == wanted
    for change in plan.changes:
        assert change.after == {"job_title": ours if change.action is Action.UPDATE_OUTLOOK else theirs}
    if base is not None and len({base, ours, theirs}) == 3 and direction is Direction.BOTH:
        assert plan.changes[0].losing == {"job_title": theirs}
        assert plan.changes[0].guard_class == "overwrites"


def _expected(base: str | None, ours: str, theirs: str, direction: Direction, fill: str) -> tuple[bool, bool]:
    """The rules once more, in prose turned into ifs: (write to Outlook, write to BC)."""
    may_outlook, may_bc = (
        direction is not Direction.TO_BUSINESS_CENTRAL,
        direction is not Direction.TO_OUTLOOK,
    )
    if ours == theirs:
        return False, False
    if base is None:
        if ours:
            return may_outlook, False
        if fill == "overwrite" and direction is Direction.BOTH:
            return True, False
        return False, may_bc and fill == "fill"
    if ours != base:  # BC changed; it wins a conflict
        return may_outlook, False
    if direction is Direction.TO_OUTLOOK:
        return bool(ours), False  # 7.8: BC's value is restored, where BC has one
    return False, may_bc


def test_a_field_that_was_let_differ_has_no_baseline_when_the_direction_changes():
    plan = diff(
        bc("Inkoper"), item("Directeur"), coupled("Inkoper", "Directeur", differs={"job_title": "to_outlook"})
    )
    assert actions(plan) == [Action.UPDATE_OUTLOOK]
    same = diff(bc("Inkoper"), item("Directeur"), coupled("Inkoper", "Directeur"))
    assert actions(same) == []
