"""Rules 8.1 and 8.4: a write without an outcome is known by what was sent, and by nothing that only looks like it."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, settled, world
from tests.sync.test_fields import use

ADDRESS = "els@nieuw.example"


def els(h: Harness) -> None:
    h.add_item(displayName="Els Nieuw", emailAddresses=[{"address": ADDRESS, "name": "x"}])


def outcomes(h: Harness, action: str) -> list[str | None]:
    """What became of each change of a kind, oldest first."""
    c = t.change.c
    with read(h.edges.engine) as conn:
        return list(conn.scalars(select(c.outcome).where(c.action == action).order_by(c.plan, c.n)))


def fail(h: Harness, service: str, method: str, moment: str) -> None:
    """Writes to contacts get no answer, before the service carries them out or after."""
    part = {"part": True} if service == "graph" else {}
    path = "/contacts[/(]"
    fault = {
        "kind": "status",
        "status": 504,
        "service": service,
        "method": method,
        "path": path,
        "count": None,
    }
    h.sim.add_fault(moment=moment, **fault, **part)


def coupled(h: Harness) -> set[str]:
    with read(h.edges.engine) as conn:
        return set(conn.scalars(select(t.coupling.c.bc_id)))


@pytest.mark.parametrize("when", ["while it is sent", "before it is looked up again"])
def test_another_contact_with_the_address_is_not_the_one_that_was_sent(make_harness, when):
    """I3: a colleague makes a contact of another name outside the filter: it stays nobody's pair."""
    h = make_harness(world(person("Jan Jansen")), retry_cap=1.0)
    h.add_profiles(filter={"Name": "Jan*|Els*"})
    h.full()
    els(h)

    made = {"method": "POST", "path": "{path}", "body": person("Inkoop Nieuw", ADDRESS, jobTitle="Inkoop")}
    if when == "while it is sent":
        h.sim.add_fault(kind="user_action", service="bc", method="POST", path="/contacts$", action=made)
    h.sim.add_fault(name="F37", service="bc")
    h.run()
    if when != "while it is sent":
        h.in_bc("POST", "contacts", made["body"])
    h.run()
    other = h.contacts()["Inkoop Nieuw"]
    assert other["id"] not in coupled(h)
    assert outcomes(h, "create_business_central") == ["unknown"]
    assert "Inkoop Nieuw" not in h.items()
    assert h.sim.control("POST", "late")["statuses"] == [201]
    h.run()
    assert outcomes(h, "create_business_central")[0] == "created"
    assert coupled(h) == {h.contacts()["Jan Jansen"]["id"], h.contacts()["Els Nieuw"]["id"]}
    assert h.contacts()["Inkoop Nieuw"] == other
    settled(h)


@pytest.mark.parametrize("when", ["at once", "in a later run"])
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Kok, Els", ("Els", None, "Kok")),
        ("Els  Kok", ("Els", None, "Kok")),
        ("Kokkie", ("Els", "van der", "Kok")),
        ("Els van der Kok", ("Els", "van der", "Kok")),
    ],
)
def test_a_contact_that_bc_named_by_its_parts_is_the_one_that_was_sent(make_harness, name, parts, when):
    """Rules 8.4: found is coupled as created, and outside the filter pinned, as if the answer had come."""
    h = use(make_harness(world(), transport="in_process", retry_cap=1.0), "extended")
    h.add_profiles(filter={"City": "Delft"})
    h.full()
    given, middle, surname = parts
    card = {"displayName": name, "givenName": given, "middleName": middle, "surname": surname}
    h.add_item(**card, jobTitle="Chef", emailAddresses=[{"address": ADDRESS, "name": "x"}])
    h.sim.add_fault(name="F4", service="bc", method="POST", path="/contacts$")
    if when != "at once":
        h.sim.add_fault(
            kind="status",
            service="bc",
            part=True,
            path=r"\(email",
            status=400,
            count=None,
            nth=[*range(5, 99)],
        )
    h.run()
    h.sim.clear_faults()
    h.run()
    settled(h)
    whole = " ".join(filter(None, parts))
    assert (set(h.contacts()), set(h.items())) == ({whole}, {whole})
    with read(h.edges.engine) as conn:
        c = t.coupling.c
        assert conn.execute(select(c.state, c.origin)).all() == [("pinned", "made_by_user")]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_delete_without_an_answer_is_in_the_log_as_what_it_came_to(make_harness, moment):
    """I4: one that was never carried out is none, and is made up for; one that was is not made again."""
    h = make_harness(world(person("Jan Jansen"), person("Piet de Vries")), retry_cap=0.0)
    h.add_profiles()
    h.full()
    h.delete_contact("Jan Jansen")
    fail(h, "graph", "DELETE", moment)
    assert h.run().report.outcomes["unknown"] == 1
    h.sim.clear_faults()
    carried_out = moment == "after"
    assert ("Jan Jansen" in h.items()) == (not carried_out)
    assert h.run().writes == ({} if carried_out else {"deleted_outlook": 1})
    assert outcomes(h, "delete_outlook") == (["deleted"] if carried_out else ["skipped", "deleted"])
    assert set(h.items()) == {"Piet de Vries"}
    settled(h)


@pytest.mark.parametrize("to", ["graph", "bc"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_update_without_an_answer_is_known_by_what_its_target_holds(make_harness, to, moment):
    """I1: what was sent and never arrived goes again, although nobody types it a second time."""
    h = make_harness(world(person("Jan Jansen", jobTitle="Inkoper"), person("Piet de Vries")), retry_cap=0.0)
    h.add_profiles()
    h.full()
    if to == "graph":
        h.edit_contact("Jan Jansen", jobTitle="Directeur")
    else:
        h.edit_item("Jan Jansen", jobTitle="Directeur")
    fail(h, to, "PATCH", moment)
    assert h.run().report.outcomes["unknown"] == 1
    h.sim.clear_faults()
    h.run()
    assert h.contacts()["Jan Jansen"]["jobTitle"] == h.items()["Jan Jansen"]["jobTitle"] == "Directeur"
    side = "outlook" if to == "graph" else "business_central"
    assert outcomes(h, f"update_{side}") == (["updated"] if moment == "after" else ["skipped", "updated"])
    settled(h)


# -- values in arrays: the user has entries of their own beside them -------------------------------------------------

OWN_ADDRESS, OWN_PHONE = {"address": "prive@thuis.example", "name": "x"}, "+31 6 9999 0000"
WHO = "Jan Jansen"


@pytest.fixture
def jan(make_harness):
    """Jan has entries of the user's own behind those of Business Central."""
    contact = person(WHO, email2="jan@tweede.example", phoneNumber="+31 20 555 0001")
    h = use(make_harness(world(contact, person("Piet de Vries")), retry_cap=0.0), "extended")
    h.add_profiles()
    h.full()
    item = h.items()[WHO]
    h.edit_item(
        WHO,
        emailAddresses=[*item["emailAddresses"], OWN_ADDRESS],
        businessPhones=[*item["businessPhones"], OWN_PHONE],
    )
    settled(h)
    return h


def lose_answers(h: Harness, service: str) -> None:
    """A run whose writes to contacts are carried out and get no answer."""
    fail(h, service, "PATCH", "after")
    assert h.run().report.outcomes["unknown"] == 1
    h.sim.clear_faults()


def entries(h: Harness) -> list[str]:
    """What is in Jan's arrays behind the first address."""
    item = h.items()[WHO]
    return [*(entry["address"] for entry in item["emailAddresses"][1:]), *item["businessPhones"]]


@pytest.mark.parametrize("then", ["+31 20 555 0003", "", None])
@pytest.mark.parametrize("sent", ["+31 20 555 0002", ""])
def test_a_phone_that_arrived_in_outlook_without_an_answer_is_no_conflict(jan, sent, then):
    jan.edit_contact(WHO, phoneNumber=sent)
    lose_answers(jan, "graph")
    if then is not None:
        jan.edit_contact(WHO, phoneNumber=then)
    assert jan.run().report.outcomes["conflict"] == 0
    assert outcomes(jan, "update_outlook")[0] == "updated"
    number = sent if then is None else then
    assert entries(jan) == ["jan@tweede.example", OWN_ADDRESS["address"], *filter(None, [number]), OWN_PHONE]
    settled(jan)


@pytest.mark.parametrize("then", ["jan@vierde.example", "", None])
@pytest.mark.parametrize("sent", ["jan@derde.example", ""])
@pytest.mark.parametrize("at_first", ["jan@tweede.example", ""])
def test_a_second_address_that_arrived_in_outlook_without_an_answer_leaves_none_behind(
    jan, at_first, sent, then
):
    """It is ours to change and to take away, and no entry of the user's own."""
    if at_first == "":
        jan.edit_contact(WHO, email2="")
        jan.run()
    at_work = len(outcomes(jan, "update_outlook"))
    jan.edit_contact(WHO, email2=sent)
    if at_first != sent:
        lose_answers(jan, "graph")
    if then is not None:
        jan.edit_contact(WHO, email2=then)
    assert jan.run().report.outcomes["conflict"] == 0
    address = sent if then is None else then
    expected = [*filter(None, [address]), OWN_ADDRESS["address"]]
    assert sorted(entries(jan)) == sorted([*expected, "+31 20 555 0001", OWN_PHONE])
    if at_first != sent:
        assert outcomes(jan, "update_outlook")[at_work] == "updated"
    settled(jan)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("then", ["before it", "a third one", "none"])
@pytest.mark.parametrize("field", ["email", "email2", "phone"])
def test_an_entry_edited_once_more_before_its_write_to_bc_is_settled_reaches_bc(jan, field, then, moment):
    """What both sides agree on after all is the baseline of the array too, or the next edit looks like a removal."""
    item = jan.items()[WHO]
    column = {"email": "email", "email2": "email2", "phone": "phoneNumber"}[field]
    before = jan.contacts()[WHO][column]

    def edit(value: str) -> None:
        emails, phones = list(item["emailAddresses"]), list(item["businessPhones"])
        if field == "phone":
            phones[:1] = [value] if value else []
        else:
            slot = int(field == "email2")
            emails[slot : slot + 1] = [{"address": value, "name": "x"}] if value else []
        jan.edit_item(WHO, emailAddresses=emails, businessPhones=phones)

    second, third = (
        ("+31 20 555 0002", "+31 20 555 0003") if field == "phone" else ("b@b.example", "c@c.example")
    )
    edit(second)
    fail(jan, "bc", "PATCH", moment)
    jan.run()
    jan.sim.clear_faults()
    last = {"before it": before, "a third one": third, "none": ""}[then]
    edit(last)
    ran = jan.run()
    if (field, then) == ("email", "none"):
        assert ran.reasons() == {"email_missing": 1}
        return
    assert jan.contacts()[WHO][column] == last
    assert jan.contacts()[WHO]["displayName"] == WHO
    assert (OWN_ADDRESS["address"] in entries(jan), OWN_PHONE in entries(jan)) == (True, True)
    settled(jan)
