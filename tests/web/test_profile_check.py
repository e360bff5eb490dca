"""The connection check of one profile: what the task finds in the sandbox is what the profile's page says."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from sync_lib.errors import ConfigError
from sync_lib.operate import checks
from sync_lib.store.profiles import checks as profile_checks
from sync_lib.store.profiles.checks import Line, Said
from sync_lib.web import profile_words
from tests.sync.harness import Harness, person, world
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.surroundings import VIEWER
from tests.web.world import NOON, add_profile

Make = Callable[..., TestClient]

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"


@pytest.fixture
def harness(engine: Engine, make_harness: Callable[..., Harness]) -> Harness:
    """Anna's and Bram's profiles, of which Anna's has been synced."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA, BRAM]))
    h.add_profiles(ANNA)
    assert h.full().errors == []
    h.add_profiles(BRAM)
    return h


def check(h: Harness, *wanted: str, run: str = "manual__1") -> None:
    edges = h.open()
    try:
        checks.check_connections(edges, wanted, run)
    finally:
        edges.close()


def lines(html: str) -> dict[str, str]:
    """What is said of each thing that was looked at."""
    line = r'<li class="is-(\w+)"><strong>(.*?)</strong> <span class="hidden">[^<]*</span>(.*?)</li>'
    found = re.findall(line, html, flags=re.DOTALL)
    return {title: " ".join([state, *re.sub("<[^>]*>", " ", rest).split()]) for state, title, rest in found}


def test_all_is_well(visit: Make, harness: Harness) -> None:
    assert "Not checked yet." in visit().get("/profiles/1").text
    check(harness, "1")
    html = visit(VIEWER).get("/profiles/1").text
    assert "Everything is right." in html
    shown = lines(html)
    # There is no group, and the profile asks for no salesperson's contacts.
    unasked = {profile_words.CHECKS[each] for each in ("group", "salesperson")}
    assert set(shown) == set(profile_words.CHECKS.values()) - unasked
    assert shown["Mailbox and folder"] == "fine Opens; its folder is &#39;Business Central&#39;."
    assert shown["Companies in Business Central"] == "fine The app sees 1: Molenzicht BV."
    assert 'id="check"' not in html
    assert 'id="check" data-profile="1"' in visit().get("/profiles/1").text


def test_what_is_wrong_is_reported_with_its_remedy_in_the_readers_language(
    visit: Make, harness: Harness
) -> None:
    harness.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": "policy_denied"})
    roles = ["Contacts.ReadWrite", "User.Read.All", "Mail.ReadWrite"]
    harness.sim.control("POST", "entra/app", {"graph_roles": roles})
    check(harness, ANNA)
    html = visit(language="nl").get("/profiles/1").text
    assert "Er zijn 2 dingen mis." in html
    shown = lines(html)
    mailbox = shown["Postvak en map"]
    assert mailbox.startswith("wrong De app mag dit postvak niet openen. Voeg het postvak toe aan de groep")
    assert shown["Machtigingen in Microsoft Graph"] == (
        "wrong De app heeft meer dan nodig is: Mail.ReadWrite. Haal weg wat de sync niet nodig heeft: het zou meer "
        "dan contacten openen als het geheim van de app uitlekt."
    )
    assert shown["Bedrijf van dit profiel"] == "fine De contacten kunnen worden gelezen."


def test_one_profile_is_checked_and_no_other(visit: Make, harness: Harness) -> None:
    harness.sim.reset_counters()
    check(harness, "2")
    assert set(harness.counters()["app"]["graph"]["mailboxes"]) == {BRAM}
    assert "Not checked yet." in visit().get("/profiles/1").text
    assert "the first sync makes its folder" in visit().get("/profiles/2").text
    # A check of all writes down for each what it found for that one.
    check(harness)
    for page in (visit().get(f"/profiles/{n}").text for n in (1, 2)):
        assert page.count("<strong>Mailbox and folder</strong>") == 1


def test_a_profile_that_is_switched_off_is_checked_and_not_written_to(visit: Make, harness: Harness) -> None:
    harness.add_profiles(ANNA, enabled=False)
    harness.sim.reset_counters()
    check(harness, "1")
    shown = lines(visit().get("/profiles/1").text)
    assert shown["Mailbox and folder"].startswith("fine Opens")
    assert shown["Writes with an old version"].startswith("open Not known yet")
    assert harness.app_writes() == 0


def test_a_profile_that_is_not_there(harness: Harness) -> None:
    with pytest.raises(ConfigError, match=r"No profile has the mailbox 9, nobody@x\.example"):
        check(harness, "9", "nobody@x.example", "1")


def test_the_page_waits_for_the_run_that_it_started(visit: Make, harness: Harness) -> None:
    check(harness, "1", run="manual__1")
    fragment = visit(VIEWER).get("/profiles/1/check", params={"run": "manual__1"}).text
    assert "<html" not in fragment
    assert "Everything is right." in fragment
    # Its task died before it looked at anything, so that what is there is older.
    fragment = visit().get("/profiles/1/check", params={"run": "manual__2+00:00"}).text
    assert "The check came to no result." in fragment
    assert 'href="/dags/contact_sync_check/runs/manual__2%2B00%3A00"' in fragment
    assert visit().get("/profiles/9/check").status_code == 404


def test_every_kind_of_check_has_words() -> None:
    tree = ast.parse(Path(checks.__file__).read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {"staging", "filter", "company", "mailbox", "companies", "if_match"} <= texts
    assert set(profile_words.CHECKS) - texts <= {
        f"{side}_{what}" for side in ("graph", "bc") for what in ("token", "permissions")
    }


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        key = add_profile(conn, "anna@a.example")
        found = []
        for text in HOSTILE:
            kept = text.replace("\0", "")
            said = Said("the app sees %(number)s: %(names)s.", {"number": kept, "names": kept})
            found.append(Line(kept, False, kept, said, Said(kept)))
            found.append(Line("mailbox", False, "", Said(kept), Said(kept)))
        profile_checks.write_check(conn, key, "r", NOON, found)
    assert_plain_text(visit().get(f"/profiles/{key}").text)
    for text in HOSTILE:
        assert_plain_text(visit().get(f"/profiles/{key}/check", params={"run": text[:200]}).text)
