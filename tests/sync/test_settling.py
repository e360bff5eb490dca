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
