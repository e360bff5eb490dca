"""My contacts: what a colleague sees, and what comes of what they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, select, update

from sync_lib.store import clock, own_runs, undo, weekly_mail, wishes
from sync_lib.store import tables as t
from sync_lib.store.engine import transaction
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.checks import Line, Said, write_check
from sync_lib.store.profiles.history import read_changes
from sync_lib.web.mine_app import make_mine_app
from sync_lib.web.mine_seams import Allowed
from tests.web.colleagues import LOOKER, MOUNT, Airflow, Directory, mine_seams
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.world import (
    NOON,
    add_company,
    add_hold,
    add_item,
    add_person,
    add_plan,
    add_profile,
    add_reject,
    add_result,
    add_run,
    at,
    counters,
)

ANNA, A_ID = "anna@a.example", "aaaaaaaa-0000-4000-8000-000000000001"
UTRECHT = ((("City", "Utrecht"),),)

Ask = Callable[..., TestClient]


@pytest.fixture
def airflow() -> Airflow:
    return Airflow(allowed=Allowed("Ineke van IT"))


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Directory:
    known = Directory()
    known.add(A_ID, ANNA)
    monkeypatch.setattr("sync_lib.operate.colleagues.brief_outlook", lambda *_, **__: known)
    return known


@pytest.fixture
def ask(engine: Engine, airflow: Airflow, directory: Directory) -> Ask:
    """A client of Anna's: her name, and the language that she reads."""
    app = make_mine_app(mine_seams(engine, airflow))

    def make(user: str = ANNA, language: str = "en") -> TestClient:
        headers = {"accept-language": language, "sec-fetch-site": "same-origin", "x-user": user}
        return TestClient(app, headers=headers, follow_redirects=False)

    return make


@pytest.fixture
def anna(engine: Engine) -> int:
    """Anna's profile with one contact, Jan, that is tied, and one, Eva, whom her filter leaves out."""
    with engine.begin() as conn:
        company = add_company(conn)
        key = add_profile(
            conn, ANNA, company=company, graph_user_id=A_ID, folder_id="f", salesperson_code="AN",
            filter='[["City", "Utrecht"]]',
        )  # fmt: skip
        add_person(
            conn, company, "b1", name="Jan", email="jan@a.example", email_key="jan@a.example", city="Utrecht"
        )
        add_person(
            conn,
            company,
            "b2",
            name="Eva Bos",
            email="eva@a.example",
            email_key="eva@a.example",
            city="Zeist",
        )
        add_item(conn, key, "o1", name="Jan")
        tie = {"profile": key, "bc_id": "b1", "outlook_id": "o1", "origin": "made_by_sync", "state": "active"}
        conn.execute(insert(t.coupling).values(tie | {"created_at": NOON, "updated_at": NOON}))
    return key


def said(answer: object) -> str:
    found = re.search(r"[?&]said=(\w+)", answer.headers["location"])  # type: ignore[attr-defined]
    return found[1] if found else ""


def later(engine: Engine) -> None:
    """A minute passes."""
    with engine.begin() as conn:
        conn.execute(update(t.own_run).values(asked_at=clock.moment(conn, -own_runs.APART)))


# -- how it is doing -------------------------------------------------------------------------------------------------


def test_the_address_without_more_leads_to_ones_own(ask: Ask, anna: int) -> None:
    answer = ask().get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{MOUNT}/1")


def test_who_has_no_profile_reads_whom_to_ask(ask: Ask, airflow: Airflow) -> None:
    page = ask().get("/").text
    assert "No contacts are synced for the account" in page
    assert ANNA in page
    assert "Ask Ineke van IT." in page
    assert "Vraag het aan Ineke van IT." in ask(language="nl").get("/").text
    airflow.allowed = Allowed()
    assert "Ask who looks after the contact sync." in ask().get("/").text


def result(engine: Engine, profile: int, state: str, reason: str = "", **counted: int) -> None:
    with engine.begin() as conn:
        run = add_run(conn, "r1", at(0))
        values = {
            "started_at": at(0),
            "ended_at": at(1),
            "reason": reason,
            "counters": counters(3, **counted),
        }
        add_result(conn, run, profile, state, **values)


def test_one_sentence_says_how_it_is(ask: Ask, engine: Engine, anna: int) -> None:
    assert "Nothing has been synced yet" in ask().get("/1").text
    result(engine, anna, "done", unchanged=2)
    with engine.begin() as conn:
        add_reject(conn, anna, "b9", "email_missing")
    page = ask().get("/1").text
    assert "Your contacts are in sync." in page
    assert "2 contacts" in page
    assert f'<a href="{MOUNT}/1/not-synced">1 contact</a>' in page
    assert "Uw contacten zijn gesynchroniseerd." in ask(language="nl").get("/1").text


@pytest.mark.parametrize(
    ("state", "reason", "sentence"),
    [
        ("failed", "mailbox_not_found", "The last sync did not work. "),
        ("skipped", "busy", "The last sync left your folder alone. "),
    ],
)
def test_what_is_the_matter_comes_first(
    ask: Ask, engine: Engine, anna: int, state: str, reason: str, sentence: str
) -> None:
    result(engine, anna, state, reason)
    page = ask().get("/1").text
    assert sentence in page
    assert ("Ask Ineke van IT." in page) == (state == "failed")


def test_what_waits_for_the_data_team_is_said(ask: Ask, engine: Engine, anna: int, airflow: Airflow) -> None:
    result(engine, anna, "held", held=1)
    with engine.begin() as conn:
        add_hold(conn, profile=anna, plan=add_plan(conn, anna, "r1"))
    page = ask().get("/1").text
    assert "except for unusual changes: those wait until somebody has looked" in page
    assert "/holds/" not in page
    airflow.paused = True
    assert "All syncing is paused." in ask().get("/1").text
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(enabled=False))
    assert "Your sync is switched off." in ask().get("/1").text


def test_whom_to_ask_where_only_the_data_team_can_decide(ask: Ask, engine: Engine, anna: int) -> None:
    """A colleague has neither a plan to open nor a button to approve it with."""
    with engine.begin() as conn:
        held = {"action": "delete_outlook", "outcome": "held", "bc_id": "b1", "outlook_id": "o1"}
        add_plan(conn, anna, "r1", held | {"reason": "too_many_deletes"})
        add_reject(conn, anna, "b1", "first_sync_of_users_folder")
    for path in ("1/changes", "1/contacts/b1", "1/not-synced"):
        page = ask().get(f"/{path}").text
        assert ("Ask Ineke van IT." in page) == (path != "1/changes"), path
        assert "approve or reject" not in page, path


def test_no_page_of_it_leads_to_the_data_teams(ask: Ask, engine: Engine, anna: int) -> None:
    """Neither a link, nor anything that htmx asks for."""
    result(engine, anna, "done", updated=1)
    with engine.begin() as conn:
        add_reject(conn, anna, "b1", "email_missing")
        change = {"action": "update_outlook", "outcome": "updated", "bc_id": "b1", "outlook_id": "o1"}
        add_plan(conn, anna, "r1", change | {"before": {"city": "A"}, "after": {"city": "B"}})
    for path in ("1", "1/contacts?q=Jan", "1/contacts/b1", "1/changes", "1/not-synced", "1/settings"):
        page = ask().get(f"/{path}").text
        for address in re.findall(r'(?:href|src|action|hx-get|hx-post)="([^"]*)"', page):
            assert address.startswith((f"{MOUNT}/", "#")), (path, address)
        assert "data-airflow" not in page.replace("data-airflow-root", "")


# -- runs ------------------------------------------------------------------------------------------------------------


def test_a_sync_is_started_for_this_profile_and_no_other(ask: Ask, airflow: Airflow, anna: int) -> None:
    answer = ask().post("/1/sync", data={"mode": "full", "profiles": "7", "conf": "{}"})
    assert said(answer) == "started"
    conf = {"mode": "full", "dry_run": False, "profiles": [str(anna)]}
    assert airflow.started == [("contact_sync", conf, ANNA)]
    page = ask().get("/1?said=started").text
    assert "The sync has been started." in page
    assert "The sync that you asked for waits for its turn." in page
    assert f'hx-get="{MOUNT}/1/state" hx-trigger="every 5s"' in page
    assert ask().post("/1/sync", data={"mode": "plan"}).status_code == 400


def test_one_waits_and_one_a_minute_is_started(ask: Ask, engine: Engine, airflow: Airflow, anna: int) -> None:
    sync = {"mode": "incremental"}
    assert said(ask().post("/1/sync", data=sync)) == "started"
    later(engine)
    assert said(ask().post("/1/sync", data=sync)) == "queued"
    airflow.states["manual__1"] = "running"
    assert said(ask().post("/1/sync", data=sync)) == "started"
    airflow.states["manual__2"] = "success"
    assert said(ask().post("/1/sync", data=sync)) == "soon"
    assert len(airflow.started) == 2
    assert "Wait a minute" in ask().get("/1?said=soon").text
    # A check has a turn of its own.
    assert said(ask().post("/1/check")) == "checking"
    assert airflow.started[-1] == ("contact_sync_check", {"profiles": [str(anna)]}, ANNA)


def test_two_at_once_have_one_turn(engine: Engine, anna: int) -> None:
    with transaction(engine) as conn:
        turns = [own_runs.take_turn(conn, anna, "contact_sync", ANNA) for _ in range(2)]
    assert turns == [True, False]


def test_nothing_is_started_where_nothing_would_come_of_it(
    ask: Ask, engine: Engine, airflow: Airflow, anna: int
) -> None:
    sync = {"mode": "incremental"}
    airflow.paused = True
    assert said(ask().post("/1/sync", data=sync)) == "paused"
    airflow.paused, airflow.refuses = False, True
    assert said(ask().post("/1/sync", data=sync)) == "refused"
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(enabled=False))
    assert said(ask().post("/1/sync", data=sync)) == "off"
    assert airflow.started == []


def test_a_check_shows_what_is_about_the_colleague(
    ask: Ask, engine: Engine, airflow: Airflow, anna: int
) -> None:
    """Secrets, permissions and other companies are the data team's."""
    blank = Said("")
    with engine.begin() as conn:
        lines = [
            Line("graph_permissions", False, "permission_missing", Said("Contacts.ReadWrite"), blank),
            Line("mailbox", True, "", Said("the folder is there"), blank),
            Line("company", False, "company_not_found", Said("there are: Geheim BV"), blank),
        ]
        write_check(conn, anna, "c1", at(0), lines)
    assert said(ask().post("/1/check")) == "checking"
    assert f'hx-get="{MOUNT}/1/checked"' in ask().get("/1").text
    airflow.states["manual__1"] = "success"
    page = ask().get("/1").text
    assert f'hx-get="{MOUNT}/1/checked"' not in page
    assert "Mailbox and folder" in page
    assert "Company of this profile" in page
    assert "Geheim BV" not in page
    assert "Permissions in Microsoft Graph" not in page


def test_who_may_only_look_is_offered_nothing(ask: Ask, directory: Directory, anna: int) -> None:
    directory.add(A_ID, LOOKER + ANNA)
    for path in ("1", "1/contacts/b1", "1/settings"):
        page = ask(LOOKER + ANNA).get(f"/{path}").text
        assert "<button" not in page or 'type="submit"' not in page.replace(">Search</button>", ""), path


# -- contacts --------------------------------------------------------------------------------------------------------


def test_why_a_contact_is_in_the_folder_or_not(ask: Ask, anna: int) -> None:
    assert f'href="{MOUNT}/1/contacts/b1"' in ask().get("/1/contacts?q=ja").text
    page = ask().get("/1/contacts/b1").text
    assert "in the folder" in page
    assert "Leave this contact out" in page
    assert "Nothing is found." in ask().get("/1/contacts?q=eva").text
    assert f'href="{MOUNT}/1/contacts/b2"' in ask().get("/1/contacts?q=eva+bos").text
    assert "The filter leaves it out" in ask().get("/1/contacts/b2").text
    assert "Het valt buiten het filter" in ask(language="nl").get("/1/contacts/b2").text


@pytest.mark.parametrize("text", ["Élise Öz", "élise öz", "ÉLISE ÖZ"])
def test_who_is_not_in_the_folder_is_found_by_the_whole_name_in_any_case(
    ask: Ask, engine: Engine, anna: int, text: str
) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.bc_contact).where(t.bc_contact.c.id == "b2").values(name="Élise Öz"))
    assert f'href="{MOUNT}/1/contacts/b2"' in ask().get(f"/1/contacts?q={text}").text
    assert "Nothing is found." in ask().get("/1/contacts?q=lise").text


def test_leave_one_out_and_take_it_back(ask: Ask, engine: Engine, airflow: Airflow, anna: int) -> None:
    answer = ask().post("/1/contacts/b1/leave-out")
    assert answer.headers["location"] == f"{MOUNT}/1/contacts/b1?said=stored"
    assert airflow.started[0][1]["profiles"] == [str(anna)]
    with engine.connect() as conn:
        assert wishes.read_left_out(conn, anna) == {"b1"}
    page = ask().get("/1/contacts/b1").text
    assert ANNA in page, "it says who left it out"
    assert "Take it back" in page
    # The first one took the minute's turn.
    assert said(ask().post("/1/contacts/b1/take-back")) == "later"
    assert ask().post("/1/contacts/b1/take-back").status_code == 409
    assert said(ask().post("/1/contacts/b1/sync-now")) == "later"
    assert ask().post("/1/contacts/nobody/leave-out").status_code == 404


def test_an_object_id_is_called_by_its_address(ask: Ask, engine: Engine, anna: int) -> None:
    """FAB knows colleagues by Entra's object id; people read an address."""
    ask(A_ID).post("/1/contacts/b1/leave-out")
    with engine.connect() as conn:
        assert conn.scalar(select(t.left_out.c.left_by)) == ANNA


def test_an_item_that_is_in_outlook_only(ask: Ask, engine: Engine, anna: int) -> None:
    with engine.begin() as conn:
        add_item(conn, anna, "o2/x", name="Oom Piet")
        add_reject(conn, anna, "o2/x", "email_missing", side="outlook")
    assert "Oom Piet" in ask().get("/1/contacts?q=piet").text
    page = ask().get("/1/items/o2/x").text
    assert "It does not go to Business Central" in page
    assert ask().post("/1/items/o2/x").headers["location"].startswith(f"{MOUNT}/1/items/o2/x?said=")
    assert ask().get("/1/items/o1").headers["location"] == f"{MOUNT}/1/contacts/b1"
    assert "Oom Piet" in ask().get("/1/not-synced").text


# -- changes ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def conflict(engine: Engine, anna: int) -> int:
    """Jan's job title was changed on both sides: Business Central's value won, Anna's is kept in the log."""
    with engine.begin() as conn:
        c = t.bc_contact.c
        conn.execute(update(t.bc_contact).where(c.id == "b1").values(job_title="Inkoper"))
        add_run(conn, "r1", at(0))
        change = {
            "action": "update_outlook", "outcome": "updated", "cause": "conflict", "bc_id": "b1", "outlook_id": "o1",
            "before": {"job_title": "Verkoper"}, "after": {"job_title": "Inkoper"},
            "losing": {"job_title": "Verkoper"},
        }  # fmt: skip
        ordinary = {"action": "update_outlook", "outcome": "updated", "bc_id": "b1", "outlook_id": "o1"}
        return add_plan(
            conn, anna, "r1", change, ordinary | {"before": {"city": "Zeist"}, "after": {"city": "Utrecht"}}
        )


def test_conflicts_are_told_apart(ask: Ask, conflict: int) -> None:
    page = ask().get("/1/changes").text
    assert page.count("Undo this change") == 1
    assert page.count("Use my value after all") == 1
    only = ask().get("/1/changes?conflicts=true").text
    assert "Verkoper" in only
    assert "Zeist" not in only


def test_an_undo_is_asked_for_and_withdrawn(
    ask: Ask, engine: Engine, airflow: Airflow, anna: int, conflict: int
) -> None:
    address = f"/1/changes/{conflict}/1/undo"
    assert said(ask().post(address)) == "stored"
    assert airflow.started[0][1]["mode"] == "incremental"
    with engine.connect() as conn:
        [found] = undo.read_undos(conn, anna, 5)
    assert (found.plan, found.n, found.asked_by) == (conflict, 1, ANNA)
    assert "A change is being undone" in ask().get("/1/changes").text
    assert said(ask().post(f"/1/undo/{found.id}/withdraw")) == "withdrawn"
    assert ask().post(f"/1/undo/{found.id}/withdraw").status_code == 409
    assert ask().get(f"/1/changes/{conflict}/9/undo").status_code == 404


def test_where_nothing_can_go_back_there_is_a_way_on(ask: Ask, engine: Engine, conflict: int) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.bc_contact).where(t.bc_contact.c.id == "b1").values(city="Elders"))
    page = ask().get(f"/1/changes/{conflict}/2/undo").text
    assert "There is nothing that could go back." in page
    assert re.search(r'href="[^"]*/1/changes">Back to the changes<', page)


# -- settings --------------------------------------------------------------------------------------------------------


def form_of(page: str) -> dict[str, str]:
    """What a browser would send of the settings as they are shown."""
    fields = re.findall(r'<input(?![^>]*type="radio")[^>]* name="([^"]+)" value="([^"]*)"', page)
    chosen = re.findall(r'<input type="radio" name="([^"]+)" value="([^"]*)"[^>]* checked', page)
    selects = re.findall(r'<select name="([^"]+)".*?<option value="([^"]*)" selected', page, re.DOTALL)
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    # In the order of the form, which is what says in which group a condition is.
    found = dict([*fields, *chosen, *selects, *hidden])
    order = [name for name in re.findall(r' name="([^"]+)"', page) if name in found]
    return {name: found[name] for name in dict.fromkeys(order)}


def filter_of(engine: Engine, profile: int) -> object:
    with engine.connect() as conn:
        return profiles.read_profile(conn, profile).filter


def test_the_folder_is_renamed_by_the_rules_of_the_profile_page(ask: Ask, engine: Engine, anna: int) -> None:
    form = form_of(ask().get("/1/settings").text)
    assert said(ask().post("/1/settings", data=form | {"folder_name": "Mijn klanten"})) == "saved"
    with engine.connect() as conn:
        assert profiles.read_profile(conn, anna).folder_name == "Mijn klanten"
        changes, _ = read_changes(conn, anna, 5)
    assert changes[0].who == ANNA
    # The form shows what is no longer so: nothing is overwritten.
    assert ask().post("/1/settings", data=form | {"folder_name": "Anders"}).status_code == 409
    form = form_of(ask().get("/1/settings").text)
    answer = ask().post("/1/settings", data=form | {"folder_name": " "})
    assert answer.status_code == 422
    assert "the folder needs a name" in answer.text.casefold()


def test_no_other_setting_is_taken_from_the_form(ask: Ask, engine: Engine, anna: int) -> None:
    form = form_of(ask().get("/1/settings").text)
    more = {"direction": "to_outlook", "enabled": "false", "mailbox": "bram@a.example", "salesperson_code": "X",
            "field-0": "City", "expression-0": "*", "chosen": "", "deleted_in_bc": "keep"}  # fmt: skip
    with engine.connect() as conn:
        before = profiles.entry_of(profiles.read_profile(conn, anna))
    assert said(ask().post("/1/settings", data=form | more | {"folder_name": "Nieuw"})) == "saved"
    with engine.connect() as conn:
        after = profiles.entry_of(profiles.read_profile(conn, anna))
    assert after == replace(before, folder_name="Nieuw")


def mail_of(engine: Engine, profile: int) -> weekly_mail.Choice:
    with engine.begin() as conn:
        return weekly_mail.read_choice(conn, profile)


def test_the_weekly_mail_is_asked_for_and_stopped(
    ask: Ask, engine: Engine, airflow: Airflow, anna: int
) -> None:
    airflow.allowed = Allowed("Ineke van IT", weekly_mail=True)
    client = ask(language="nl")
    page = client.get("/1/settings").text
    assert "Stuur mij de wekelijkse mail" in page
    assert "Er kan hier nu geen mail worden verstuurd" not in page
    assert mail_of(engine, anna) == weekly_mail.Choice(False, "", None), "off, before anybody chose"
    answer = client.post("/1/settings/mail", data={"wanted": "true"})
    assert said(answer) == "mail_on"
    assert mail_of(engine, anna) == weekly_mail.Choice(True, "nl", None), "in the language of the page"
    page = client.get(answer.headers["location"].removeprefix(MOUNT)).text
    assert "De wekelijkse mail staat aan." in page
    assert "Nederlands" in page
    assert "Stuur mij" not in page
    assert said(client.post("/1/settings/mail", data={"wanted": "false"})) == "mail_off"
    assert not mail_of(engine, anna).wanted


def test_without_a_way_to_send_it_the_page_says_so_and_it_can_still_be_stopped(
    ask: Ask, engine: Engine, anna: int
) -> None:
    page = ask().get("/1/settings").text
    assert "No mail can be sent from here." in page
    assert "Ask Ineke van IT." in page
    assert "Send me the weekly mail" not in page
    assert said(ask().post("/1/settings/mail", data={"wanted": "true"})) == "no_mail"
    assert not mail_of(engine, anna).wanted
    with engine.begin() as conn:
        weekly_mail.choose(conn, anna, "en", wanted=True)
        weekly_mail.finish(conn, [anna], sent=True)
    page = ask().get("/1/settings").text
    assert "The last one was sent:" in page
    assert "Stop the weekly mail" in page
    assert said(ask().post("/1/settings/mail", data={"wanted": "false"})) == "mail_off"


def test_nobody_asks_for_the_mail_of_another(
    ask: Ask, engine: Engine, airflow: Airflow, directory: Directory, anna: int
) -> None:
    airflow.allowed = Allowed(weekly_mail=True)
    b_id = "bbbbbbbb-0000-4000-8000-000000000002"
    directory.add(b_id, "bram@a.example")
    directory.add("cccccccc-0000-4000-8000-000000000003", LOOKER + ANNA)
    with engine.begin() as conn:
        bram = add_profile(conn, "bram@a.example", graph_user_id=b_id, folder_id="g")
    sent = {"wanted": "true", "profile": str(anna), "n": "1", "mailbox": ANNA}
    client = ask("bram@a.example")
    assert client.post("/2/settings/mail", data=sent).status_code == 404
    assert said(client.post("/1/settings/mail", data=sent)) == "mail_on"
    assert (mail_of(engine, anna).wanted, mail_of(engine, bram).wanted) == (False, True)
    assert ask(LOOKER + ANNA).post("/1/settings/mail", data=sent).status_code == 403
    assert "Send me the weekly mail" not in ask(LOOKER + ANNA).get("/1/settings").text
    assert client.post("/1/settings/mail", data={"wanted": "perhaps"}).status_code == 400
    assert client.post("/1/settings/mail").status_code == 400


def test_the_filter_is_shown_where_it_may_not_be_changed(ask: Ask, engine: Engine, anna: int) -> None:
    page = ask().get("/1/settings").text
    assert "You cannot change this here." in page
    assert "Utrecht" in page
    form = form_of(page) | {"chosen": "Heel Nederland"}
    assert ask().post("/1/settings", data=form).status_code == 400
    assert ask().post("/1/settings/preview", data=form).status_code == 400
    assert filter_of(engine, anna) == UTRECHT


def test_which_contacts_is_a_whole_sentence(ask: Ask, engine: Engine, anna: int, airflow: Airflow) -> None:
    assert "The contacts that match:" in ask().get("/1/settings").text
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(filter="[]"))
    # Also as one of several to choose from.
    for airflow.allowed in (Allowed(), Allowed(filters={"Utrecht": UTRECHT})):
        page = ask().get("/1/settings").text
        assert "There is no filter: all persons of Business Central" in page
        assert (
            "Er is geen filter: alle personen uit Business Central"
            in ask(language="nl").get("/1/settings").text
        )


def test_a_named_filter_is_chosen(ask: Ask, engine: Engine, airflow: Airflow, anna: int) -> None:
    mine = ((("Salesperson Code", "%me"),),)
    airflow.allowed = Allowed(
        "Ineke", filters={"Utrecht": UTRECHT, "Zeist": ((("City", "Zeist"),),), "Alle": ()}
    )
    page = ask().get("/1/settings").text
    assert 'value="Utrecht" autocomplete="off" checked' in page
    assert "As it is now" not in page
    form = form_of(page) | {"chosen": "Zeist"}
    with engine.begin() as conn:
        conn.execute(
            insert(t.cursor).values(side="business_central", scope="1", updated_at=NOON, last_good_at=NOON)
        )
    preview = ask().post("/1/settings/preview", data=form).text
    assert "Nothing of this company has been read yet" in preview or "would come into the folder" in preview
    assert said(ask().post("/1/settings", data=form)) == "saved"
    assert filter_of(engine, anna) == ((("City", "Zeist"),),)
    airflow.allowed = Allowed(filters={"Mijn klanten": mine})
    page = ask().get("/1/settings").text
    assert "As it is now" in page
    form = form_of(page)
    assert said(ask().post("/1/settings", data=form | {"folder_name": "X"})) == "saved"
    assert filter_of(engine, anna) == ((("City", "Zeist"),),), "it stays as it is until another one is chosen"


def test_a_free_filter_is_written_in_groups(ask: Ask, engine: Engine, airflow: Airflow, anna: int) -> None:
    airflow.allowed = Allowed(any_filter=True)
    page = ask().get("/1/settings").text
    form = form_of(page)
    # One condition and a blank one in the first group, and a blank group.
    assert [name for name in form if name.startswith("expression")] == [f"expression-{n}" for n in range(3)]
    saved = ask().post("/1/settings", data=form)
    assert said(saved) == "saved"
    assert filter_of(engine, anna) == UTRECHT, "what was not touched stays"
    form |= {"field-2": "City", "expression-2": "Zeist"}
    assert (
        said(ask().post("/1/settings", data=form | {"seen": form_of(ask().get("/1/settings").text)["seen"]}))
        == "saved"
    )
    assert filter_of(engine, anna) == ((("City", "Utrecht"),), (("City", "Zeist"),))
    form = form_of(ask().get("/1/settings").text) | {"expression-0": "((("}
    answer = ask().post("/1/settings", data=form)
    assert answer.status_code == 422
    assert "Not understood at position" in answer.text
    assert "Correct the conditions first" in ask().post("/1/settings/preview", data=form).text


def test_what_people_typed_is_text(
    ask: Ask, engine: Engine, airflow: Airflow, anna: int, conflict: int
) -> None:
    text = "".join(each[:200] for each in HOSTILE if "\0" not in each)
    airflow.allowed = Allowed(text, filters={text: ()})
    with engine.begin() as conn:
        conn.execute(update(t.bc_contact).values(name=text, job_title=text))
        conn.execute(update(t.sync_profile).values(folder_name=text, company_name=text))
        add_reject(conn, anna, "b1", text[:64])
    for path in ("1", "1/contacts?q=script", "1/contacts/b1", "1/changes", "1/not-synced", "1/settings"):
        assert_plain_text(ask().get(f"/{path}").text)


# -- who it is -------------------------------------------------------------------------------------------------------


def test_an_account_is_looked_up_once_in_a_while(ask: Ask, directory: Directory, anna: int) -> None:
    for _ in range(3):
        assert ask().get("/1").status_code == 200
    assert directory.asked == 1
    directory.is_away = True
    assert ask().get("/1").status_code == 200, "it is remembered for some minutes"
