"""By which ways a contact is followed to its rows, and where the way ends because another contact is there."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import insert, select, update

from sync_lib.errors import ConfigError
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.normal_forms import first_address
from sync_lib.model import Origin
from sync_lib.store import companies, erasure
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from tests.store.test_retention import NEW, Log

#: A contact, and another one.
X, Y = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
ADDRESS = "x@example.nl"


@pytest.fixture
def log(engine, company, profile):
    log = Log(engine, company, profile)
    log.contact(X, gone=None, email_key=ADDRESS)
    log.contact(Y, gone=None, email_key="y@example.nl")
    return log


def key(contact, company_id="0"):
    return str(BcKey("t", "e", company_id, contact, Origin.MADE_BY_SYNC))


def couple(log, contact, item=None, address="", former=()):
    log.couple(contact, item)
    baseline = {"email": address.upper()}
    values = {
        "baseline_bc": json.dumps(baseline),
        "baseline_outlook": json.dumps({"fields": baseline}),
        "former": json.dumps([{"id": each, "baseline_bc": {}, "baseline_outlook": {}} for each in former]),
    }
    with transaction(log.engine) as conn:
        conn.execute(update(t.coupling).where(t.coupling.c.bc_id == contact).values(values))


def erase(log, contact=X, address=""):
    wanted = erasure.Wanted(log.company, "" if address else contact, address)
    return erasure.erase(log.engine, wanted, lease_seconds=60.0, longest_request=600.0)


def left(log, table, column):
    with read(log.engine) as conn:
        return sorted(str(value) for value in conn.scalars(select(table.c[column])))


def items(log):
    return left(log, t.outlook_contact, "id")


# -- where the way leads ---------------------------------------------------------------------------------------------


def test_by_the_coupled_item_and_former_ones(log):
    couple(log, X, "now", former=["once", "twice"])
    for item in ("now", "once", "twice", "else"):
        log.item(item)
    assert erase(log).counts["outlook_contact"] == 3
    assert items(log) == ["else"]


def test_by_the_key_that_an_item_carries(log):
    for item, value in (("copy", key(X)), ("other", key(Y)), ("foreign", key(X, "9")), ("odd", f"{X}|x")):
        log.item(item, gone=None, bc_key=value)
    erase(log)
    assert items(log) == ["foreign", "odd", "other"]


@pytest.mark.parametrize("whence", ["bc", "baseline", "item", "log"])
def test_by_every_address_that_the_contact_has_had(log, whence):
    address = ADDRESS if whence == "bc" else "former@example.nl"
    if whence == "baseline":
        couple(log, X, address=address)
    elif whence == "item":
        couple(log, X, "coupled")
        log.item("coupled", email_key=address)
    elif whence == "log":
        log.change(log.plan(), bc_id=X, email_key=address)
    log.item("twin", gone=None, email_key=address)
    log.item("other", gone=None, email_key="a" + address)
    erase(log)
    assert items(log) == ["other"]


def test_by_the_items_of_the_change_log(log):
    plan = log.plan()
    log.change(plan, bc_id=X, outlook_id="long-gone")
    log.change(plan, outlook_id="long-gone")
    log.change(plan, outlook_id="refused", email_key=ADDRESS)
    log.change(plan, bc_id=Y, outlook_id="else")
    assert erase(log).counts["change"] == 3
    assert left(log, t.change, "bc_id") == [Y]


def test_to_claims_and_rejects(log):
    claim = {"company": log.company, "profile": log.profile, "fencing": 1, "run": "r", "claimed_at": NEW}
    log.add(t.claim, email_key=ADDRESS, state="open", **claim)
    log.add(t.claim, email_key="made@example.nl", state="done", bc_id=X, **claim)
    log.add(t.claim, email_key="y@example.nl", state="done", bc_id=Y, **claim)
    couple(log, X, "item")
    reject = {"profile": log.profile, "outcome": "skipped", "reason": "x", "since": NEW, "run": "r"}
    for side, contact in (("business_central", X), ("outlook", "item"), ("business_central", Y)):
        log.add(t.reject, side=side, contact=contact, **reject)
    waits = {"profile": log.profile, "digest": "d", "code": "Locked", "tries": 1, "next_try": NEW, "run": "r"}
    for action, contact in (
        ("update_outlook", X),
        ("create_business_central", "item"),
        ("update_outlook", Y),
    ):
        log.add(t.postponed, action=action, contact=contact, **waits)
    counts = erase(log).counts
    assert (counts["claim"], counts["reject"], counts["postponed"]) == (2, 2, 2)
    assert left(log, t.postponed, "contact") == [Y]
    assert left(log, t.claim, "bc_id") == left(log, t.reject, "contact") == [Y]


def test_from_an_address_that_only_an_old_agreement_knows(log):
    couple(log, X, address="former@example.nl")
    couple(log, Y, address="not-former@example.nl")
    assert erase(log, address="Former@Example.nl").counts["bc_contact"] == 1
    assert left(log, t.bc_contact, "id") == left(log, t.coupling, "bc_id") == [Y]


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("jan@münchen.example", "jan@münchen.example"),
        ("jan@MÜNCHEN.example", "Jan@xn--mnchen-3ya.example"),
        ("jan@xn--mnchen-3ya.example", "jan@münchen.example"),
        ("JOSÉ@klant.example", "josé@klant.example"),
        ("jan\u200b@klant.example", "jan@klant.example"),
    ],
)
@pytest.mark.parametrize("place", ["list", "second", "baseline"])
def test_from_an_address_however_it_is_spelled(log, place, held, asked):
    if place == "baseline":
        log.couple(X)
        # As the sync writes it: without what nobody sees.
        text = json.dumps({"email": first_address(held)}, ensure_ascii=False)
        with transaction(log.engine) as conn:
            conn.execute(update(t.coupling).values(baseline_bc=text))
    else:
        values = {"email": f"first@klant.example; {held}"} if place == "list" else {"email2": held}
        with transaction(log.engine) as conn:
            conn.execute(update(t.bc_contact).where(t.bc_contact.c.id == X).values(values))
    assert erase(log, address=asked).counts["bc_contact"] == 1
    assert left(log, t.bc_contact, "id") == [Y]


def test_from_an_address_that_only_the_coupled_item_has(log):
    couple(log, X, "item")
    log.item("item", gone=None, email_key="private@example.nl")
    assert erase(log, address="private@example.nl").counts["bc_contact"] == 1


# -- where it ends ---------------------------------------------------------------------------------------------------


def test_what_is_another_contacts_stays_although_the_address_is_the_same(log):
    couple(log, Y, "coupled")
    for item, values in (("coupled", {}), ("copy", {"bc_key": key(Y)}), ("twin", {})):
        log.item(item, gone=None, email_key=ADDRESS, **values)
    log.change(log.plan(), outlook_id="coupled", email_key=ADDRESS)
    log.change(log.plan(), bc_id=Y, email_key=ADDRESS)
    erase(log)
    assert items(log) == ["copy", "coupled"]
    assert len(left(log, t.change, "n")) == 2


def test_other_companies_stay_although_ids_and_addresses_are_the_same(log, new_company, new_profile):
    """A copy of an environment keeps the ids of its contacts."""
    company, profile = new_company(), new_profile()
    with transaction(log.engine) as conn:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == profile).values(company=company))
    other = Log.__new__(Log)
    other.engine, other.company, other.profile = log.engine, company, profile
    other.contact(X, gone=None, email_key=ADDRESS)
    other.item("item", gone=None, email_key=ADDRESS, bc_key=key(X))
    other.couple(X, "item")
    other.change(other.plan(), bc_id=X, outlook_id="item", email_key=ADDRESS)
    with transaction(log.engine) as conn:
        claim = {"email_key": ADDRESS, "state": "open", "run": "r", "claimed_at": NEW}
        conn.execute(insert(t.claim).values(company=company, profile=profile, fencing=1, **claim))
    assert erase(log).counts == {
        "bc_contact": 1,
        **dict.fromkeys(
            (
                "change",
                "reject",
                "dry_reject",
                "postponed",
                "awaited",
                "claim",
                "coupling",
                "former_item",
                "left_out",
                "wish",
                "held_action",
                "outlook_contact",
            ),
            0,
        ),
    }
    assert erase(log, address=ADDRESS).total == 0
    assert left(log, t.bc_contact, "id") == sorted([X, Y])


def test_contacts_without_an_address_have_nothing_in_common(log):
    log.contact("blank", gone=None)
    log.item("blank", gone=None)
    log.change(log.plan(), outlook_id="blank")
    erase(log, "blank")
    assert items(log) == ["blank"]
    assert left(log, t.bc_contact, "id") == sorted([X, Y])
    assert len(left(log, t.change, "n")) == 1


# -- what else it does -----------------------------------------------------------------------------------------------


def test_the_next_run_looks_for_what_bc_still_has(log):
    cursor = {"updated_at": NEW, "last_scan_at": NEW, "position": NEW}
    log.add(t.cursor, side="business_central", scope=str(log.company), **cursor)
    erase(log)
    assert left(log, t.cursor, "last_scan_at") == ["None"]
    assert left(log, t.cursor, "updated_at") == left(log, t.cursor, "position") == [NEW]


def test_what_broke_off_is_finished_first(log):
    log.change(log.plan(dry_run=True), bc_id=X, state="planned", outcome=None, ended_at=None)
    log.change(log.plan(), bc_id=X, state="planned", outcome=None, ended_at=None)
    with pytest.raises(ConfigError, match="has not come to its end"):
        erase(log)
    with transaction(log.engine) as conn:
        conn.execute(update(t.plan).values(dry_run=True))
    assert erase(log).counts["change"] == 2


def test_a_company_is_found_by_name_id_or_key(engine, new_company):
    first, second = new_company(), new_company()
    with transaction(engine) as conn:
        conn.execute(
            update(t.company).where(t.company.c.id == second).values(name="Molenzicht", company_id="G")
        )
    with read(engine) as conn:
        for name in ("molenzicht", " g ", str(second)):
            assert companies.find_company(conn, name).id == second
    with transaction(engine) as conn:
        conn.execute(update(t.company).values(name="Molenzicht"))
    with read(engine) as conn, pytest.raises(ConfigError, match=f"{first} in environment e, {second} in"):
        companies.find_company(conn, "Molenzicht")
