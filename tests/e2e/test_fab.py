"""The pages behind Airflow's other logins, Flask-AppBuilder's roles, as docker compose has them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from demo_parts.airflow import airflow_environment
from demo_parts.processes import ROOT, Program, free_port, wait_until

from sync_lib.store.engine import open_engine, transaction
from tests.web.world import add_company, add_person, add_profile

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]

MANAGERS = "airflow.providers.fab.auth_manager"
PASSWORD = "voor-deze-test"
AIRFLOW = Path(sys.executable).parent / "airflow"
#: Role of Flask-AppBuilder -> status of a page, and of a change.
ROLES = {
    "Admin": (200, 404),
    "Op": (200, 404),
    "User": (200, 404),
    "Viewer": (200, 403),
    "Public": (403, 403),
}
#: A colleague: nothing but the permission of the page of their own. FAB's name of the login is Entra's object id.
COLLEAGUE = "7c1d0f4e-0000-4000-8000-00000000000a"
MAKE_USERS = f"""
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.db import initdb
initdb()
with get_application_builder() as builder:
    for role in {sorted(ROLES)!r}:
        manager = builder.sm
        made = manager.add_user(role, role, role, role + "@voorbeeld.example", manager.find_role(role), {PASSWORD!r})
        assert made, role
    role = manager.add_role("Colleague")
    made = role and manager.add_user({COLLEAGUE!r}, "An", "Na", "an@voorbeeld.example", role, {PASSWORD!r})
    assert made
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What Airflow's programs run in."""
    home, port = tmp_path_factory.mktemp("fab"), free_port()
    return {
        **airflow_environment(home, port),
        "AIRFLOW__CORE__AUTH_MANAGER": f"{MANAGERS}.fab_auth_manager.FabAuthManager",
        "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS": f"{MANAGERS}.models.db.FABDBManager",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": "a-key-of-this-test-and-long-enough-for-it",
        "AIRFLOW__API_AUTH__JWT_SECRET": "another-key-of-this-test-and-long-enough-for-it",
        "AIRFLOW_CONN_CONTACT_SYNC_STAGING": f"sqlite:///{home}/staging.db",
        # Nobody is asked there: the pages want to know which fields of Business Central are read.
        "AIRFLOW_CONN_BUSINESS_CENTRAL_DEFAULT": json.dumps(
            {"conn_type": "business_central", "login": "app", "password": "x", "extra": {"tenant_id": "t"}}
        ),
    }


def run_program(environment: dict[str, str], *command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


@pytest.fixture(scope="module")
def url(environment: dict[str, str]) -> Iterator[str]:
    """An API server with one user of each role."""
    home, port = Path(environment["AIRFLOW_HOME"]), environment["AIRFLOW__API__PORT"]
    run_program(environment, sys.executable, "-c", MAKE_USERS)
    command = [AIRFLOW, "api-server"]
    server = Program("API server", command, home / "api-server.log", environment)
    root = f"http://localhost:{port}"
    try:
        server.wait_ready(lambda: answers(root), 120)
        yield root
    finally:
        server.stop()


def answers(root: str) -> bool:
    try:
        return requests.get(f"{root}/api/v2/version", timeout=5).ok
    except requests.RequestException:
        return False


def login(root: str, role: str) -> requests.Session:
    session = requests.Session()
    body = {"username": role, "password": PASSWORD}
    answer = session.post(f"{root}/auth/token", json=body, timeout=30)
    assert answer.status_code == 201, answer.text
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return session


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_may_do_with_the_dag(url: str, role: str) -> None:
    session = login(url, role)
    page, change = ROLES[role]
    for path in ("", "profiles/new", "contacts", "rejects", "plans"):
        assert session.get(f"{url}/contact_sync/{path}", timeout=30).status_code == page, path
    # Nothing of this number is there, which only those learn who may change it.
    for path in ("undo/1/withdraw", "holds/1/ask_again"):
        assert session.post(f"{url}/contact_sync/{path}", timeout=30).status_code == change, path


def test_nobody_gets_in_without_a_login(url: str) -> None:
    for path in ("", "contacts", "static/pages.css", "nowhere"):
        answer = requests.get(f"{url}/contact_sync/{path}", timeout=30)
        assert answer.status_code == 401, path
    assert requests.post(f"{url}/contact_sync/undo/1/withdraw", timeout=30).status_code == 401


def test_a_page_of_another_site_changes_nothing(url: str) -> None:
    cookie = {"_token": login(url, "Admin").headers["Authorization"].removeprefix("Bearer ")}
    headers = {"Origin": "https://elders.example"}
    path = f"{url}/contact_sync/undo/1/withdraw"
    assert requests.post(path, cookies=cookie, headers=headers, timeout=30).status_code == 403
    assert requests.post(path, cookies=cookie, headers={"Origin": url}, timeout=30).status_code == 404


def test_a_colleague_opens_the_page_of_their_own_and_nothing_else(
    url: str, environment: dict[str, str]
) -> None:
    """With the permission that an administrator gives to a role, and none on any DAG; Airflow knows who started it."""
    admin = login(url, "Admin")
    # The first page that anybody opens lets FAB know the permission.
    assert admin.get(f"{url}/contact_sync/", timeout=30).status_code == 200
    given = ("-r", "contact_sync_self", "-a", "can_read", "can_edit")
    run_program(environment, AIRFLOW, "roles", "add-perms", "Colleague", *given)
    run_program(environment, AIRFLOW, "dags", "reserialize")
    dag = f"{url}/api/v2/dags/contact_sync"
    assert admin.patch(dag, json={"is_paused": False}, timeout=30).status_code == 200
    engine = open_engine(environment["AIRFLOW_CONN_CONTACT_SYNC_STAGING"])
    with transaction(engine) as conn:
        add_profile(conn, "bram@voorbeeld.example", graph_user_id="b", folder_id="b", folder_name="Van Bram")
        key = add_profile(
            conn, "an@voorbeeld.example", graph_user_id=COLLEAGUE, folder_id="f", folder_name="Van An"
        )

    an = login(url, COLLEAGUE)
    assert "Van An" in an.get(f"{url}/contact_sync/me", timeout=30).text
    assert an.get(f"{url}/contact_sync/me/2", timeout=30).status_code == 404
    for path in (
        "",
        "profiles/1",
        f"profiles/{key}",
        "contacts",
        "rejects",
        "plans",
        f"holds/{key}",
        "nowhere",
    ):
        assert an.get(f"{url}/contact_sync/{path}", timeout=30).status_code == 403, path
    for path in (f"profiles/{key}", "undo", "holds/1/ask_again"):
        assert an.post(f"{url}/contact_sync/{path}", timeout=30).status_code == 403, path
    run = {"logical_date": None, "conf": {"profiles": [str(key)]}}
    assert an.post(f"{dag}/dagRuns", json=run, timeout=30).status_code == 403
    assert an.get(f"{dag}/dagRuns", timeout=30).status_code == 403

    page = an.post(f"{url}/contact_sync/me/1/sync", data={"mode": "full", "profiles": "1"}, timeout=30)
    assert "The sync has been started" in page.text
    [made] = admin.get(f"{dag}/dagRuns", timeout=30).json()["dag_runs"]
    assert made["conf"] == {"mode": "full", "dry_run": False, "profiles": [str(key)]}
    assert made["triggering_user_name"] == COLLEAGUE
    logged = admin.get(f"{url}/api/v2/eventLogs", params={"event": "contact_sync_self.start"}, timeout=30)
    assert [each["owner"] for each in logged.json()["event_logs"]] == [COLLEAGUE]
    # Those who may run the DAG have no page of their own by that.
    assert login(url, "User").get(f"{url}/contact_sync/me/", timeout=30).status_code == 403
    assert requests.get(f"{url}/contact_sync/me/", timeout=30).status_code == 401
    opened = requests.get(
        f"{url}/contact_sync/me", headers={"Accept": "text/html"}, timeout=30, allow_redirects=True
    )
    assert opened.url.startswith(f"{url}/auth/login")
    engine.dispose()


def test_erasing_a_contact_takes_a_permission_of_its_own(url: str, environment: dict[str, str]) -> None:
    """Beside that to edit the DAG, which changes all else on the pages; Airflow's log says who did it, not to whom."""
    admin = login(url, "Admin")
    assert admin.get(f"{url}/contact_sync/", timeout=30).status_code == 200
    given = ("-r", "contact_sync_erase", "-a", "can_read", "can_edit")
    run_program(environment, AIRFLOW, "roles", "add-perms", "Op", *given)
    engine = open_engine(environment["AIRFLOW_CONN_CONTACT_SYNC_STAGING"])
    with transaction(engine) as conn:
        company = add_company(conn)
        add_person(conn, company, "weg", email="weg@klant.example", email_key="weg@klant.example")

    form, address = {"company": str(company), "whom": "weg@klant.example"}, f"{url}/contact_sync/erase"
    for role in ("Viewer", "User"):
        session = login(url, role)
        assert session.get(address, timeout=30).status_code == 403, role
        for path in (f"{address}/preview", address):
            assert session.post(path, data=form | {"digest": "x"}, timeout=30).status_code == 403, role
    op = login(url, "Op")
    # A change of a role counts once FAB's cache of it has ended.
    wait_until(lambda: op.get(address, timeout=30).status_code == 200, 60, "permission of role Op")
    page = op.post(f"{address}/preview", data=form, timeout=30).text
    [digest] = re.findall('name="digest" value="([0-9a-f]+)"', page)
    assert "One row is erased." in op.post(address, data=form | {"digest": digest}, timeout=30).text
    for event in ("asked", "done"):
        asked = {"event": f"contact_sync_erase.{event}"}
        [logged] = admin.get(f"{url}/api/v2/eventLogs", params=asked, timeout=30).json()["event_logs"]
        assert logged["owner"] == "Op"
        assert "weg" not in json.dumps(logged)
    engine.dispose()
