"""Statements that are sent as text, rows that come back from an insert, and JSON as the tables hold it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, insert, select, update

from sync_lib.model import Coupling, CouplingState, Direction, Origin
from sync_lib.store import clock, couplings, postponed
from sync_lib.store import tables as t
from sync_lib.store.bulk import among_named
from sync_lib.store.engine import is_postgresql, transaction
from sync_lib.store.json_texts import from_json, to_json
from sync_lib.store.prepared import Prepared

NOW = "2026-03-02T09:00:00.000Z"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)


def _claims(conn, names):
    c = t.claim.c
    wanted = select(c.email_key, c.state).where(
        c.state != "100%", among_named(c.email_key, "keys", postgresql=is_postgresql(conn))
    )
    return Prepared(wanted, names, postgresql=is_postgresql(conn))


def _add_claims(conn, company, profile, *keys):
    row = {
        "company": company,
        "profile": profile,
        "state": "open",
        "fencing": 1,
        "run": "r",
        "claimed_at": NOW,
    }
    conn.execute(insert(t.claim), [row | {"email_key": key} for key in keys])


def test_lists_and_percent_signs_reach_the_database_as_they_are(engine, company, profile):
    with transaction(engine) as conn:
        _add_claims(conn, company, profile, "a%s@x.nl", "b'@x.nl", "c@x.nl")
        found = _claims(conn, ("keys",)).read(conn, ["a%s@x.nl", "b'@x.nl", "nobody"])
    assert sorted(found) == [("a%s@x.nl", "open"), ("b'@x.nl", "open")]


def test_a_name_that_is_no_parameter_is_refused(engine):
    with transaction(engine) as conn, pytest.raises(ValueError, match="kees"):
        _claims(conn, ("keys", "kees"))


def test_many_rows_at_once_say_how_many_they_met(engine, company, profile):
    with transaction(engine) as conn:
        _add_claims(conn, company, profile, "a", "b")
        c = t.claim.c
        statement = update(t.claim).where(c.email_key == bindparam("of_key")).values(state=bindparam("new"))
        prepared = Prepared(statement, ("new", "of_key"), postgresql=is_postgresql(conn))
        assert prepared.execute_many(conn, [("done", "a"), ("unknown", "b"), ("done", "nobody")]) == 2
        assert prepared.execute_many(conn, []) == 0
        found = conn.execute(select(c.email_key, c.state).order_by(c.email_key)).all()
    assert [tuple(row) for row in found] == [("a", "done"), ("b", "unknown")]


def test_a_simulated_clock_is_asked_each_time(engine):
    times = iter((0.0, 3600.0))
    clock.set_source(engine, lambda: next(times))
    with transaction(engine) as conn:
        now = clock.moment(conn)
        prepared = Prepared(select(now.label("now")), (), postgresql=is_postgresql(conn))
        assert prepared.read(conn) == [("1970-01-01T00:00:00.000Z",)]
        assert prepared.read(conn) == [("1970-01-01T01:00:00.000Z",)]


def _coupling(number: int, **values) -> Coupling:
    return Coupling(
        0, f"bc-{number}", number, f"item-{number}", number, Origin.ADOPTED, CouplingState.ACTIVE, **values
    )


def test_couplings_get_ids_of_their_own_and_keep_all_that_they_hold(engine, profile):
    new = [_coupling(n) for n in range(250)]
    new[3] = _coupling(
        3,
        bc_fingerprint=-(2**63),
        outlook_fingerprint=2**63 - 1,
        outlook_etag='W/"é"',
        attention=True,
        baseline_bc={"name": 'Zoë \x1f \\ " ’'},
        baseline_outlook={"fields": {"name": "Zoë"}, "emailAddresses": ["a@b.example"]},
        refused={"phone": "digest"},
        former=[{"id": "was"}],
        differs={"city": Direction.TO_OUTLOOK.value},
        categories={"asked": ["x"]},
    )
    with transaction(engine) as conn:
        stored = couplings.write_couplings(conn, profile, new, NOW)
        assert [each.bc_id for each in stored] == [each.bc_id for each in new]
        assert len({each.id for each in stored}) == 250
        changed = [stored[3], _coupling(300)]
        changed[0].refused["city"] = "other"
        again = couplings.write_couplings(conn, profile, changed, NOW)
        assert again[0] == changed[0]
        found = couplings.read_coupling_rows(conn, profile, [each.id for each in stored])
        assert sorted(found, key=lambda each: each.id) == sorted(stored, key=lambda each: each.id)
        assert couplings.find_coupling(conn, profile, bc_id="bc-300") == again[1]


def test_only_what_waits_is_forgotten(engine, profile):
    def refuse(conn, *contacts):
        refused = [postponed.Refused(("create_outlook", each), "d", "code") for each in contacts]
        postponed.refuse(conn, profile, "run", refused)

    with transaction(engine) as conn:
        refuse(conn, "a", "b")
        postponed.forget(conn, profile, [("create_outlook", "b"), ("update_outlook", "a"), ("x", "y")])
        assert set(postponed.read(conn, profile)) == {("create_outlook", "a")}


@given(JSON)
def test_json_is_what_the_standard_library_writes_and_comes_back(value):
    text = to_json(value)
    text.encode()
    assert from_json(text) == value
    try:
        plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        plain.encode()
    except UnicodeEncodeError:
        return
    # Half of a surrogate pair goes by the standard library, which then escapes what is not ASCII.
    assert text in (plain, json.dumps(value, separators=(",", ":")))


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"a": 1}', "[]"])
def test_json_of_versions_before_is_read(text):
    assert from_json(text) == json.loads(text)
