"""What the guard holds, a person decides about: approved, rejected, timed out, superseded, and what came between."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import insert, select

from sync_lib import cli, pipeline
from sync_lib.errors import ConfigError
from sync_lib.model import Decision
from sync_lib.operate import approval
from sync_lib.store import holds
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.migrate import downgrade
from sync_lib.web.plans_question import in_words
from tests.sync.harness import Harness, Ran, person, world

PEOPLE = 30
numbers = itertools.count(1)


@pytest.fixture
def emptied(make_harness) -> Harness:
    """A folder of thirty contacts that a user has emptied; the run after it held everything."""
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(PEOPLE))))
    h.add_profiles()
    h.full()
    for name in list(h.items()):
        h.delete_item(name)
    assert h.run().report.outcomes["held"] == PEOPLE
    return h


def request(h: Harness) -> dict[str, Any]:
    """The one approval run that the sync would start."""
    [found] = approval.list_requests(h.edges)
    return found


def answer(h: Harness, wanted: dict[str, Any], *, approve: bool, how: str = "person", run: str = "") -> Ran:
    """An approval run: asked, answered, and what follows, as the DAG does it."""
    hold, asked = wanted["hold"], wanted["asked"]
    run_id = run or f"{wanted['run_id']}_{next(numbers)}"
    approval.ask(h.edges, hold, asked, run_id)
    decision = Decision(
        approve, "eva" if how == "person" else "", how, f"2026-03-02T09:00:00.{next(numbers):03}Z"
    )
    plan = approval.decide(h.edges, hold, asked, run_id, decision)
    for company in plan.companies:
        pipeline.extract_business_central(h.edges, run_id, company)
    for key in plan.tasks:
        pipeline.sync_profile(h.edges, run_id, key)
    report = pipeline.finish_run(h.edges, run_id)
    verdict = pipeline.run_verdict(h.edges, run_id, {"decide": "success"}, planned_by="decide")
    assert verdict.ok, verdict.message
    return Ran(report, verdict)


def states(h: Harness) -> list[tuple[str, str, str]]:
    with read(h.edges.engine) as conn:
        c = t.hold.c
        return [
            tuple(row) for row in conn.execute(select(c.state, c.decided_by, c.decided_how).order_by(c.id))
        ]


def test_an_approved_hold_is_carried_out(emptied):
    asked = request(emptied)
    ran = answer(emptied, asked, approve=True)
    assert ran.writes == {"created_outlook": PEOPLE}
    assert len(emptied.items()) == PEOPLE
    assert states(emptied) == [("applied", "eva", "person")]
    assert approval.list_requests(emptied.edges) == []
    emptied.run()
    assert emptied.run().writes == {}


def test_the_question_says_how_many_what_and_why_and_no_value(emptied):
    conf = request(emptied)
    question = approval.ask(emptied.edges, conf["hold"], conf["asked"], "approval-1")
    assert question is not None
    page = "https://airflow.example/contact_sync/holds/1"
    subject, body = in_words(question, "en", page)
    assert subject == f"{PEOPLE} changes of anna@voorbeeld.example (Business Central) wait for a decision"
    row = (
        "| 30 | create in Outlook | deleted in Outlook | "
        "A folder that held many synced contacts is empty (`folder_suddenly_empty`) |"
    )
    for said in ("30 × create in Outlook.", row, "what was in the emptied folder is left away", f"]({page})"):
        assert said in body
    assert "Persoon" not in f"{subject}{body}{question}"
    subject, body = in_words(question, "nl", page)
    assert (
        subject
        == f"{PEOPLE} wijzigingen van anna@voorbeeld.example (Business Central) wachten op een besluit"
    )
    assert "(`folder_suddenly_empty`)" in body
    assert "**Approve**: beide kanten worden opnieuw gelezen" in body


def test_nobody_is_asked_twice_about_the_same(emptied):
    wanted = request(emptied)
    assert emptied.run().writes == {}
    assert request(emptied) == wanted, "the same run id: Airflow starts it once"
    approval.ask(emptied.edges, wanted["hold"], wanted["asked"], "approval-1")
    emptied.run()
    assert approval.list_requests(emptied.edges) == []


def test_a_contact_that_was_edited_meanwhile_drops_and_is_asked_about_anew(emptied):
    asked = request(emptied)
    emptied.edit_contact("Persoon 07", jobTitle="Inkoper")
    ran = answer(emptied, asked, approve=True)
    assert ran.writes == {"created_outlook": PEOPLE - 1}
    assert "Persoon 07" not in emptied.items()
    assert [state for state, *_ in states(emptied)] == ["applied", "open"]
    assert answer(emptied, request(emptied), approve=True).writes == {"created_outlook": 1}
    assert emptied.items()["Persoon 07"]["jobTitle"] == "Inkoper"


def test_a_person_who_was_blocked_meanwhile_does_not_come_back(emptied):
    asked = request(emptied)
    emptied.edit_contact("Persoon 07", privacyBlocked=True)
    assert answer(emptied, asked, approve=True).writes == {"created_outlook": PEOPLE - 1}
    assert "Persoon 07" not in emptied.items()
    emptied.run()
    assert "Persoon 07" not in emptied.items()


def test_an_emptied_folder_that_nobody_answers_about_stays_held_and_nobody_is_asked_again(emptied):
    ran = answer(emptied, request(emptied), approve=False, how="timeout")
    assert ran.writes == {}
    assert ran.report.skip_reason
    assert states(emptied) == [("rejected", "", "timeout")]
    for mode in ("incremental", "full"):
        ran = emptied.run(mode)
        assert ran.writes == {}
        assert ran.reasons() == {"rejected_by_person": PEOPLE}
        assert approval.list_requests(emptied.edges) == []


def test_contacts_of_an_emptied_folder_that_a_person_leaves_away_are_away(emptied):
    """G5: the second answer; what Business Central changes later is made again (7.1)."""
    assert answer(emptied, request(emptied), approve=False).writes == {}
    assert states(emptied) == [("rejected", "eva", "person")]
    for mode in ("incremental", "full"):
        ran = emptied.run(mode)
        assert ran.writes == {}
        assert approval.list_requests(emptied.edges) == []
    assert emptied.run("full").reasons() == {"stay_away": PEOPLE}
    emptied.edit_contact("Persoon 07", jobTitle="Inkoper")
    assert emptied.run().writes == {"created_outlook": 1}
    assert set(emptied.items()) == {"Persoon 07"}
    assert emptied.run().writes == {}


def test_what_was_rejected_is_asked_about_once_more_when_somebody_says_so(emptied, database_url, capsys):
    first = request(emptied)
    answer(emptied, first, approve=False)
    assert cli.main(["--database", database_url, "holds", "ask-again", "1"]) == 0
    assert cli.main(["--database", database_url, "holds", "list"]) == 0
    assert "folder_suddenly_empty" in capsys.readouterr().out
    emptied.run()
    second = request(emptied)
    assert second["run_id"] != first["run_id"]
    assert answer(emptied, first, approve=True).writes == {}, "an answer to the first request"
    assert answer(emptied, second, approve=True).writes == {"created_outlook": PEOPLE}
    assert cli.main(["--database", database_url, "holds", "ask-again", "1"]) == 1


def test_a_rejected_action_that_the_diff_drops_is_new_when_it_comes_back(make_harness):
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(PEOPLE))))
    h.add_profiles()
    h.full()
    h.add_profiles(filter={"Name": "Persoon 0*"})
    h.run()
    answer(h, request(h), approve=False)
    h.add_profiles(filter={})
    assert h.run().reasons() == {}
    assert [state for state, *_ in states(h)] == ["superseded"]
    h.add_profiles(filter={"Name": "Persoon 0*"})
    h.run()
    assert answer(h, request(h), approve=True).writes == {"deleted_outlook": PEOPLE - 10}


def test_an_answer_decides_what_was_shown_and_the_rest_stays_in_the_question(emptied):
    """G9: the hold that somebody reads is refreshed by runs, and stays the one that is decided."""
    asked = request(emptied)
    approval.ask(emptied.edges, asked["hold"], asked["asked"], "approval-1")
    emptied.edit_contact("Persoon 07", jobTitle="Inkoper")
    assert emptied.run().writes == {}
    assert approval.list_requests(emptied.edges) == [], "one question, and no other one beside it"
    said = Decision(True, "eva", "person", "2026-03-02T09:00:00.000Z")
    approval.decide(emptied.edges, asked["hold"], asked["asked"], "approval-1", said)
    assert emptied.run().writes == {"created_outlook": PEOPLE - 1}
    assert "Persoon 07" not in emptied.items()
    assert [state for state, *_ in states(emptied)] == ["applied", "open"]
    assert answer(emptied, request(emptied), approve=True).writes == {"created_outlook": 1}


def test_an_answer_from_the_page_decides_what_the_page_showed(emptied):
    """G9: an answer names the hash of what was seen; of what nobody has seen it decides nothing."""
    asked = request(emptied)
    approval.ask(emptied.edges, asked["hold"], asked["asked"], "approval-1")
    emptied.edit_contact("Persoon 07", jobTitle="Inkoper")
    emptied.run()
    with read(emptied.edges.engine) as conn:
        seen = conn.scalar(select(t.hold.c.hash))
    said = Decision(True, "eva", "person", "2026-03-02T09:00:00.000Z", shown=seen)
    approval.decide(emptied.edges, asked["hold"], asked["asked"], "approval-1", said)
    assert emptied.run().writes == {"created_outlook": PEOPLE}


def test_an_answer_that_names_an_unknown_hash_decides_nothing(emptied):
    asked = request(emptied)
    said = Decision(True, "eva", "person", "2026-03-02T09:00:00.000Z", shown="0" * 64)
    approval.decide(emptied.edges, asked["hold"], asked["asked"], "approval-1", said)
    assert emptied.run().writes == {}
    assert answer(emptied, request(emptied), approve=True).writes == {"created_outlook": PEOPLE}


def test_a_task_that_is_tried_again_decides_the_same(emptied):
    conf = request(emptied)
    said = Decision(True, "eva", "person", "2026-03-02T09:00:00.000Z")
    plans = [
        approval.decide(emptied.edges, conf["hold"], conf["asked"], "approval-1", said) for _ in range(2)
    ]
    assert plans[0] == plans[1]
    other = Decision(False, "bob", "person", "2026-03-02T09:01:00.000Z")
    assert approval.decide(emptied.edges, conf["hold"], conf["asked"], "approval-2", other).skip_reason
    assert states(emptied) == [("approved", "eva", "person")]


def test_an_approval_whose_run_was_killed_is_carried_out_by_the_next_run(emptied):
    conf = request(emptied)
    said = Decision(True, "eva", "person", "2026-03-02T09:00:00.000Z")
    approval.decide(emptied.edges, conf["hold"], conf["asked"], "approval-1", said)
    assert emptied.run().writes == {"created_outlook": PEOPLE}
    assert states(emptied) == [("applied", "eva", "person")]


def test_an_approval_holds_until_what_failed_is_done(emptied):
    asked = request(emptied)
    emptied.sim.add_fault(name="F3", service="graph", part=True, method="POST", nth=[3], count=1, status=500)
    ran = answer(emptied, asked, approve=True)
    assert ran.writes == {"created_outlook": PEOPLE - 1}
    assert [state for state, *_ in states(emptied)] == ["approved"]
    emptied.edges.settings = emptied.settings.__class__(longest_request=0.0)
    emptied.run()
    emptied.run()
    assert len(emptied.items()) == PEOPLE
    assert [state for state, *_ in states(emptied)] == ["applied"]


def test_deletes_that_a_person_approved_do_not_count_for_the_next(make_harness):
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(PEOPLE))))
    h.add_profiles()
    h.full()
    h.add_profiles(filter={"Name": "<>Persoon 2*"})
    h.edges.settings = h.settings.__class__(guard_deletes=5)
    h.run()
    assert answer(h, request(h), approve=True).writes == {"deleted_outlook": 10}
    h.delete_contact("Persoon 00")
    assert h.run().writes == {"deleted_outlook": 1}


def test_a_company_count_is_accepted_by_the_same_means(make_harness):
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(8))), guard_few_deletes=100)
    h.add_profiles()
    h.full()
    for n in range(6):
        h.delete_contact(f"Persoon {n:02}")
    ran = h.run()
    assert ran.report.companies[0].reason == "bc_count_dropped"
    wanted = request(h)
    asked = approval.ask(h.edges, wanted["hold"], 1, "approval-1")
    assert asked is not None
    assert (asked.accepted, asked.offered) == (8, 2)
    subject, body = in_words(asked, "en", "")
    assert subject == "Molenzicht BV: Business Central lists only 2 contacts"
    assert "8 contacts were accepted before." in body
    assert "**Approve**: 2 is the right number." in body
    answer(h, wanted, approve=False)
    assert h.run().report.companies[0].reason == "bc_count_rejected"
    assert approval.list_requests(h.edges) == []
    h.delete_contact("Persoon 06")
    assert h.run().report.companies[0].reason == "bc_count_dropped"
    assert answer(h, request(h), approve=True).writes == {"deleted_outlook": 7}
    assert set(h.items()) == {"Persoon 07"}
    assert h.run().report.companies[0].state == "done"


def test_a_dry_run_opens_no_hold_of_a_company(make_harness):
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(8))))
    h.add_profiles()
    h.full()
    for n in range(6):
        h.delete_contact(f"Persoon {n:02}")
    assert h.full(dry_run=True).report.companies[0].state == "held"
    assert approval.list_requests(h.edges) == []


def test_a_restored_database_is_held_until_a_person_approves(make_harness):
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(3))))
    h.add_profiles()
    h.full()
    h.edit_contact("Persoon 00", jobTitle="Inkoper")
    h.run()
    with h.edges.engine.begin() as conn:
        # An older backup: it has counted fewer loads than the folder's marker has.
        conn.execute(t.sync_profile.update().values(marker_counter=0))
    h.edit_item("Persoon 00", jobTitle="Directeur")
    assert h.full().reasons() == {"staging_database_restored": 1}
    assert h.items()["Persoon 00"]["jobTitle"] == "Directeur"
    answer(h, request(h), approve=False)
    assert h.run().writes == {}, "rejected: the older values go nowhere"
    with h.edges.engine.begin() as conn:
        assert holds.ask_again(conn, 1)
    assert answer(h, request(h), approve=True).writes == {"updated_outlook": 1}
    assert h.items()["Persoon 00"]["jobTitle"] == "Inkoper"
    h.edit_item("Persoon 00", jobTitle="Chef")
    h.run()
    assert h.contacts()["Persoon 00"]["jobTitle"] == "Chef", "nothing is restored any more"


def test_an_unknown_hold_is_named(emptied):
    with pytest.raises(ConfigError, match="no hold 99"):
        approval.ask(emptied.edges, 99, 1, "approval-1")


def test_an_answer_that_was_waited_for_through_an_upgrade_counts(emptied):
    """Nobody can wait until no question is open: it may be a week old. 0012 knows nothing of single actions."""
    asked = request(emptied)
    approval.ask(emptied.edges, asked["hold"], asked["asked"], "approval-1")
    downgrade(emptied.edges.engine, "0012")
    said = Decision(True, "eva", "person", "2026-03-02T09:00:00.000Z")
    plan = approval.decide(emptied.edges, asked["hold"], asked["asked"], "approval-1", said)
    assert plan.skip_reason is None
    assert emptied.run().writes == {"created_outlook": PEOPLE}


class Runs:
    """The approval runs that Airflow has, and how often it was asked about them."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.questions = 0

    def __call__(self, run_ids: Any, *, at_work: bool) -> int:
        self.questions += 1
        assert len(run_ids) <= 50
        found = [self.states[each] for each in run_ids if each in self.states]
        return sum(each in ("queued", "running") for each in found) if at_work else len(found)


@pytest.mark.parametrize("end", ["failed", "success", None])
@pytest.mark.parametrize("had_asked", [True, False])
def test_a_question_that_airflow_lost_is_put_once_more(emptied, end, had_asked):
    """Its run failed, or was ended or deleted by hand: nobody could answer, and nobody would be asked again."""
    runs = Runs()
    [first] = approval.list_requests(emptied.edges, runs)
    runs.states[first["run_id"]] = "running"
    if had_asked:
        approval.ask(emptied.edges, first["hold"], first["asked"], first["run_id"])
        assert approval.list_requests(emptied.edges, runs) == []
    runs.states[first["run_id"]] = "queued"
    assert approval.list_requests(emptied.edges, runs) == ([] if had_asked else [first])
    if end is None:
        del runs.states[first["run_id"]]
    else:
        runs.states[first["run_id"]] = end
    emptied.run()
    [second] = approval.list_requests(emptied.edges, runs)
    if end is None and not had_asked:
        assert second == first, "Airflow can start it again"
    else:
        assert second["run_id"] != first["run_id"]
        late = Decision(True, "eva", "person", "2026-03-02T08:00:00.000Z")
        plan = approval.decide(emptied.edges, first["hold"], first["asked"], first["run_id"], late)
        assert plan.skip_reason, "an answer to a question that is gone is none"
    assert approval.list_requests(emptied.edges, runs) == [second]
    assert answer(emptied, second, approve=True).writes == {"created_outlook": PEOPLE}
    assert approval.list_requests(emptied.edges, runs) == []


def test_one_lost_question_among_many_is_found_in_few_looks(make_harness):
    h = make_harness(world())
    h.add_profiles()
    hashes = [f"{n:064}" for n in range(120)]
    with h.edges.engine.begin() as conn:
        made = {"profile": 1, "run": "r", "state": "open", "opened_at": "2026-03-01T00:00:00.000Z"}
        conn.execute(insert(t.hold), [{**made, "hash": each, "asked_hash": each} for each in hashes])
    runs = Runs()
    for each in approval.list_requests(h.edges, runs):
        approval.ask(h.edges, each["hold"], each["asked"], each["run_id"])
        runs.states[each["run_id"]] = "running"
    runs.questions = 0
    assert approval.list_requests(h.edges, runs) == []
    assert runs.questions == 3
    lost = sorted(runs.states)[77]
    runs.states[lost] = "failed"
    runs.questions = 0
    [found] = approval.list_requests(h.edges, runs)
    assert found["run_id"].split("_")[1] == lost.split("_")[1]
    assert runs.questions < 20
