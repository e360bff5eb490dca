"""Whoever writes a coupling or an item takes its mark off, and only what is still as it was compared gets one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib.model import Coupling, CouplingState, Origin, OutlookContact
from sync_lib.store import companies, couplings, settled
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.settled import Marks
from sync_lib.store.snapshots import outlook_items
from sync_lib.store.snapshots.rows import OutlookRow
from tests.web.world import add_company, add_item, add_person, add_profile

NOON = "2026-03-02T12:00:00.000Z"
ITEM = OutlookContact("o1", "v1", NOON, record={}, created=NOON, parent_folder_id="f", bc_key="")


@pytest.fixture
def pair(engine):
    """A profile with one pair in agreement, marked: the profile, the company, and the coupling."""
    with transaction(engine) as conn:
        company = add_company(conn)
        profile = add_profile(conn, "anna@a.example", company=company)
        add_person(conn, company, "b1", email_key="a@k.example", fingerprint=7, generation=1)
        add_item(conn, profile, "o1", etag="v1", fingerprint=8, bc_key="")
        rows = [conn.scalar(select(table.c.row_id)) for table in (t.bc_contact, t.outlook_contact)]
        new = Coupling(0, "b1", rows[0], "o1", rows[1], Origin.ADOPTED, CouplingState.ACTIVE)
        new = replace(new, bc_fingerprint=7, outlook_fingerprint=8, outlook_etag="v1")
        [coupling] = couplings.write_couplings(conn, profile, [new], NOON)
        settled.mark(conn, profile, Marks([coupling.id], [], [], ["b9"]))
    return profile, company, coupling


def marks(engine) -> tuple[bool, bool]:
    """Whether the coupling is marked, and the item."""
    with read(engine) as conn:
        tie, item = (conn.scalar(select(table.c.settled)) for table in (t.coupling, t.outlook_contact))
    return bool(tie), bool(item)


WRITES: dict[str, Any] = {
    "couplings": lambda conn, profile, _, tie: couplings.write_couplings(conn, profile, [tie], NOON),
    "versions": lambda conn, profile, *_: couplings.set_outlook_etags(conn, profile, {"o1": "v2"}),
    "categories": lambda conn, profile, *_: couplings.set_categories(conn, profile, {"o1": {"asked": []}}),
    "own write": lambda conn, profile, *_: couplings.follow_own_write(
        conn, profile, ITEM, replace(ITEM, etag="v2")
    ),
    "attention": lambda conn, _profile, company, _: conn.execute(update(t.coupling).values(attention=True)),
    "staged": lambda conn, profile, *_: outlook_items.stage_outlook(
        conn, profile, [OutlookRow(replace(ITEM, etag="v2", last_modified="2027"), 9, "", "")], normaliser=1
    ),
    "gone": lambda conn, profile, *_: outlook_items.mark_gone_outlook(
        conn, profile, ["o1"], at=NOON, reason="deleted"
    ),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_takes_the_mark_off(engine, pair, what):
    assert marks(engine) == (True, True)
    with transaction(engine) as conn:
        WRITES[what](conn, *pair)
    assert not all(marks(engine))
    with read(engine) as conn:
        found = settled.read_unsettled(conn, pair[0], pair[1], 1, most=100)
    assert found is not None
    assert (found.couplings, found.items, found.agreed) == ({pair[2].id}, {"o1"}, 0)


def test_nothing_but_what_was_outside_of_any_pair_is_read_of_one_in_agreement(engine, pair):
    with read(engine) as conn:
        found = settled.read_unsettled(conn, pair[0], pair[1], 1, most=100)
        assert found == settled.Unsettled(frozenset({"b9"}), frozenset(), frozenset(), 1)
        assert settled.read_unsettled(conn, pair[0], pair[1], 1, most=0) is None
        changed = settled.read_unsettled(conn, pair[0], pair[1], 0, most=100)
    assert changed is not None
    assert (changed.contacts, changed.couplings, changed.items) == ({"b1", "b9"}, {pair[2].id}, {"o1"})


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (t.coupling, {"outlook_etag": "v0"}),
        (t.coupling, {"state": "released"}),
        (t.outlook_contact, {"fingerprint": 9}),
        (t.outlook_contact, {"gone_since": NOON}),
        (t.bc_contact, {"gone_since": NOON}),
        (t.bc_contact, {"fingerprint": 9}),
    ],
)
def test_what_somebody_wrote_since_it_was_compared_gets_no_mark(engine, pair, table, values):
    profile, company, coupling = pair
    with transaction(engine) as conn:
        conn.execute(update(t.coupling).values(settled=False))
        conn.execute(update(table).values(values))
        settled.mark(conn, profile, Marks([coupling.id], [], [], []))
    assert not marks(engine)[0]
    with read(engine) as conn:
        found = settled.read_unsettled(conn, profile, company, 1, most=100)
    assert found is not None
    assert found.couplings == {coupling.id}


def test_what_agrees_no_more_has_no_mark_although_nobody_wrote_it(engine, pair):
    """By other settings, for example: whoever compares next looks at it again."""
    profile, company, coupling = pair
    with transaction(engine) as conn:
        settled.mark(conn, profile, Marks([], [coupling.id], ["o1"], []))
    assert marks(engine) == (False, False)
    with read(engine) as conn:
        found = settled.read_unsettled(conn, profile, company, 1, most=100)
    assert found is not None
    assert (found.couplings, found.items, found.agreed) == ({coupling.id}, {"o1"}, 0)


def test_a_contact_whose_coupling_ended_is_looked_at(engine, pair):
    profile, company, coupling = pair
    with transaction(engine) as conn:
        couplings.end_couplings(conn, [coupling.id])
        couplings.end_couplings(conn, [coupling.id])
    with read(engine) as conn:
        found = settled.read_unsettled(conn, profile, company, 1, most=100)
        assert companies.read_company(conn, company).generation == 0
    assert found is not None
    assert found.contacts == {"b1", "b9"}
