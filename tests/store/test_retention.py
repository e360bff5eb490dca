"""What goes when it is old, and what stays because a later run reads it."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import func, insert, select, update

from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import Origin
from sync_lib.store import retention
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction

OLD, BEFORE, NEW = (f"2026-0{month}-01T09:00:00.000Z" for month in (1, 2, 3))
EARLIER = "2025-01-01T09:00:00.000Z"
numbers = itertools.count(1)


class Log:
    """Writes a change log by hand."""

    def __init__(self, engine, company, profile):
        self.engine, self.company, self.profile = engine, company, profile
        self._insert(update(t.sync_profile).values(company=company))

    def _insert(self, statement):
        with transaction(self.engine) as conn:
            return conn.execute(statement)

    def add(self, table, **values):
        return self._insert(insert(table).values(values)).inserted_primary_key[0]

    def run(self, at=OLD, **values):
        run = f"run-{next(numbers)}"
        self.add(t.sync_run, **{"id": run, "mode": "full", "state": "success", "started_at": at} | values)
        self.add(t.run_profile, run=run, profile=self.profile, chunk="1", state="done", started_at=at)
        self.add(t.run_company, run=run, company=self.company, state="done")
        return run

    def plan(self, at=OLD, run="", **values):
        written = {"run": run, "profile": self.profile, "mode": "full", "fencing": 1, "created_at": at}
        return self.add(t.plan, **written | values)

    def change(self, plan, at=OLD, **values):
        written = {"plan": plan, "n": next(numbers), "profile": self.profile, "action": "update_outlook"}
        done = {"state": "done", "outcome": "updated", "ended_at": at, "before": '{"name":"Jan"}'}
        self.add(t.change, **written | done | values)

    def hold(self, plan, state, at=OLD, **values):
        written = {"profile": self.profile, "plan": plan, "run": "r", "hash": "h", "opened_at": at}
        return self.add(t.hold, **written | {"state": state, "decided_at": at} | values)

    def contact(self, key, gone=OLD, **values):
        written = {"company": self.company, "id": key, "etag": "e", "last_modified": OLD}
        return self.add(t.bc_contact, **written | {"gone_since": gone} | values)

    def item(self, key, gone=OLD, **values):
        written = {"profile": self.profile, "id": key, "etag": "e", "last_modified": OLD, "record": "{}"}
        return self.add(t.outlook_contact, **written | {"gone_since": gone} | values)

    def couple(self, bc_id, outlook_id=None):
        named = {"profile": self.profile, "bc_id": bc_id, "outlook_id": outlook_id}
        times = {"created_at": OLD, "updated_at": OLD}
        self.add(t.coupling, **named, **times, origin="made_by_sync", state="released")

    def forget(self, **options):
        return retention.remove_old(self.engine, BEFORE, **options)

    def count(self, table):
        with read(self.engine) as conn:
            return conn.scalar(select(func.count()).select_from(table))

    def ids(self, table):
        with read(self.engine) as conn:
            return sorted(conn.scalars(select(table.c.id)))


@pytest.fixture
def log(engine, company, profile):
    return Log(engine, company, profile)


def test_runs_without_work_go_sooner(log):
    """A run a minute: those that had nothing to do stay a day, and whatever else was there as long as all others."""
    found = {"finds_work": True, "found_at": NEW, "ended_at": NEW}
    gone, young = "gone", "young"
    for run, ended in ((gone, NEW), (young, "2026-03-09")):
        values = {**found, "ended_at": ended}
        log.add(t.sync_run, id=run, mode="incremental", state="success", started_at=NEW, **values)
        log.add(t.run_company, run=run, company=log.company, state="done")
    log.add(t.sync_run, id="failed", mode="incremental", state="failed", started_at=NEW, **found)
    worked = log.run(NEW, **found)
    held = "held"
    log.add(t.sync_run, id=held, mode="incremental", state="success", started_at=NEW, **found)
    log.hold(None, "open", NEW, run=held)
    log.forget()
    assert len(log.ids(t.sync_run)) == 5
    log.forget(quiet_before="2026-03-05")
    assert log.ids(t.sync_run) == sorted(["failed", held, worked, young])
    assert log.count(t.run_company) == 2


def test_what_is_old_goes_and_what_is_new_stays(log):
    for at in (OLD, NEW):
        plan = log.plan(at, log.run(at))
        log.change(plan, at)
        log.hold(plan, "applied", at)
    removed = log.forget()
    assert {table: rows for table, rows in removed.items() if rows} == {
        "change": 1,
        "hold": 1,
        "plan": 1,
        "sync_run": 1,
    }
    for table in (t.change, t.hold, t.plan, t.sync_run, t.run_profile, t.run_company):
        assert log.count(table) == 1, table.name


def test_in_batches_of_any_size_all_of_it_goes(log):
    for _ in range(3):
        plan = log.plan()
        for _ in range(4):
            log.change(plan)
    assert log.forget(batch=2)["change"] == 12
    assert log.count(t.plan) == 0


def test_a_night_that_was_cut_short_is_made_up_for(log, monkeypatch):
    plan = log.plan()
    for _ in range(4):
        log.change(plan)

    def stop(*_, **__):
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(retention, "_remove_holds", stop)
        with pytest.raises(RuntimeError):
            log.forget(batch=2)
    assert log.count(t.change) == 0, "batches that were done stay done"
    assert log.forget()["plan"] == 1


@pytest.mark.parametrize(
    "values",
    [
        {"state": "sending", "outcome": None},
        {"state": "sending", "outcome": "unknown"},
        {"state": "planned", "outcome": None, "ended_at": None},
        {"ended_at": NEW},
    ],
    ids=["sending", "unknown", "planned", "settled later"],
)
def test_what_has_no_outcome_yet_stays(log, values):
    log.change(log.plan(), **values)
    log.forget()
    assert (log.count(t.change), log.count(t.plan)) == (1, 1)


def test_the_plan_of_a_dry_run_goes_although_nothing_of_it_was_done(log):
    log.change(log.plan(dry_run=True), state="planned", outcome=None, ended_at=None)
    log.forget()
    assert (log.count(t.change), log.count(t.plan)) == (0, 0)


@pytest.mark.parametrize("state", ["open", "approved", "rejected"])
def test_what_is_held_stays_while_its_hold_is_in_force(log, state):
    run = log.run(EARLIER)
    log.run()
    plan = log.plan(run=run)
    log.change(plan, outcome="held")
    log.change(plan, outcome="updated")
    log.hold(plan, state)
    log.forget()
    with read(log.engine) as conn:
        assert list(conn.scalars(select(t.change.c.outcome))) == ["held"]
    assert (log.count(t.plan), log.count(t.hold)) == (1, 1)
    assert run in log.ids(t.sync_run)


@pytest.mark.parametrize("state", ["superseded", "applied"])
def test_a_hold_that_ended_goes_with_what_it_held(log, state):
    plan = log.plan()
    log.change(plan, outcome="held")
    log.hold(plan, state)
    log.forget()
    assert [log.count(table) for table in (t.change, t.hold, t.plan)] == [0, 0, 0]


def test_a_hold_stays_that_a_change_of_the_log_names(log):
    hold = log.hold(log.plan(), "applied")
    log.change(log.plan(NEW), NEW, hold=hold)
    log.forget()
    assert log.ids(t.hold) == [hold]


def test_the_holds_of_a_company_go_when_they_have_ended(log):
    runs = [log.run(EARLIER) for _ in range(4)]
    log.run()
    for run, state in zip(runs, ("open", "rejected", "superseded", "applied"), strict=True):
        log.hold(None, state, profile=None, company=log.company, offered=3, run=run)
    assert log.forget()["hold"] == 2
    assert set(runs) & set(log.ids(t.sync_run)) == set(runs[:2])


def test_the_values_stay_that_distinguish_a_copy_from_a_person(log):
    key = str(BcKey("t", "e", "c", "bc-1", Origin.MADE_BY_SYNC))
    log.couple("bc-1", "coupled")
    log.item("coupled", gone=None, bc_key=key)
    log.change(log.plan(), bc_id="bc-1")
    copy = log.item("copy", gone=None, bc_key=key)
    log.change(log.plan(), bc_id="bc-2")
    log.forget()
    with read(log.engine) as conn:
        assert list(conn.scalars(select(t.change.c.bc_id))) == ["bc-1"]
    with transaction(log.engine) as conn:
        conn.execute(
            update(t.outlook_contact).where(t.outlook_contact.c.row_id == copy).values(gone_since=NEW)
        )
    assert log.forget()["change"] == 1, "the copy is gone"


def test_the_last_run_of_a_profile_stays_however_long_ago_it_was(log):
    log.run(EARLIER)
    last = log.run(OLD)
    log.forget()
    assert log.ids(t.sync_run) == [last]


def test_contacts_that_are_gone_for_long_go_unless_something_names_them(log):
    log.contact("free")
    log.contact("gone-lately", gone=NEW)
    log.contact("present", gone=None)
    log.contact("coupled")
    log.couple("coupled")
    log.contact("logged")
    log.change(log.plan(NEW), NEW, bc_id="logged")
    log.contact("rejected")
    reject = {"outcome": "skipped", "reason": "x", "since": OLD, "run": "r"}
    log.add(t.reject, profile=log.profile, side="business_central", contact="rejected", **reject)
    assert log.forget()["bc_contact"] == 1
    assert log.ids(t.bc_contact) == ["coupled", "gone-lately", "logged", "present", "rejected"]


def test_items_that_are_gone_for_long_go_unless_something_names_them(log):
    log.item("free")
    log.item("gone-lately", gone=NEW)
    log.item("present", gone=None)
    log.item("coupled")
    log.couple("bc", "coupled")
    log.couple("without-item")
    log.item("logged")
    log.change(log.plan(NEW), NEW, outlook_id="logged")
    log.change(log.plan(NEW), NEW)
    assert log.forget()["outlook_contact"] == 1
    assert log.ids(t.outlook_contact) == ["coupled", "gone-lately", "logged", "present"]


def test_claims_go_that_nothing_settles_any_more(log):
    claim = {"company": log.company, "profile": log.profile, "fencing": 1, "state": "open", "run": "r"}
    for key, at in (("old", OLD), ("new", NEW), ("unknown", OLD)):
        log.add(t.claim, email_key=key, claimed_at=at, **claim)
    log.change(log.plan(), email_key="unknown", state="sending", outcome="unknown")
    log.change(log.plan(NEW), NEW, email_key="old")
    assert log.forget()["claim"] == 1
    with read(log.engine) as conn:
        assert sorted(conn.scalars(select(t.claim.c.email_key))) == ["new", "unknown"]


def test_the_last_change_of_a_profiles_settings_stays(log, new_profile):
    """O9: the others go, since a filter of long ago may name people."""
    profile, other = new_profile(), new_profile()
    for whose, at in ((profile, OLD), (profile, OLD), (profile, NEW), (other, OLD)):
        log.add(t.profile_change, profile=whose, at=at, who="eva")
    assert log.forget()["profile_change"] == 2
    assert log.ids(t.profile_change) == [3, 4]


def test_the_last_drift_check_of_a_profile_stays(log, new_profile):
    for profile, at in ((log.profile, OLD), (log.profile, OLD), (new_profile(), OLD)):
        log.add(t.drift_check, profile=profile, at=at)
    assert log.forget()["drift_check"] == 1
    assert log.ids(t.drift_check) == [2, 3]


def test_an_overlay_goes_whose_dry_run_was_stopped(log):
    left = log.run(OLD, dry_run=True, ended_at=None)
    works = log.run(NEW, dry_run=True, ended_at=None)
    log.contact("a", gone=None)
    for run in (left, works):
        log.contact("a", gone=None, overlay=run)
        log.item("b", gone=None, overlay=run)
    assert retention.drop_left_overlays(log.engine, BEFORE) == 1
    with read(log.engine) as conn:
        assert sorted(conn.scalars(select(t.bc_contact.c.overlay))) == sorted(["", works])
        assert list(conn.scalars(select(t.outlook_contact.c.overlay))) == [works]


def test_what_was_asked_to_be_undone_stays_until_a_run_went_through_it(log):
    for state, ended in (("open", None), ("done", OLD), ("withdrawn", OLD), ("done", NEW)):
        log.add(t.undo, profile=log.profile, run="r", state=state, asked_at=OLD, ended_at=ended)
    assert log.forget()["undo"] == 2
    assert log.ids(t.undo) == [1, 4]
