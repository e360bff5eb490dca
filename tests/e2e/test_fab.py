"""The pages behind Airflow's other logins, Flask-AppBuilder's roles, as docker compose has them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from demo_parts.airflow import airflow_environment
from demo_parts.processes import ROOT, Program, free_port

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]

MANAGERS = "airflow.providers.fab.auth_manager"
PASSWORD = "voor-deze-test"
#: Role of Flask-AppBuilder -> status of a page, and of a change.
ROLES = {
    "Admin": (200, 404),
    "Op": (200, 404),
    "User": (200, 404),
    "Viewer": (200, 403),
    "Public": (403, 403),
}
MAKE_USERS = f"""
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.db import initdb
initdb()
with get_application_builder() as builder:
    for role in {sorted(ROLES)!r}:
        manager = builder.sm
        made = manager.add_user(role, role, role, role + "@voorbeeld.example", manager.find_role(role), {PASSWORD!r})
        assert made, role
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An API server with one user of each role."""
    home, port = tmp_path_factory.mktemp("fab"), free_port()
    environment = {
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
    made = subprocess.run(
        [sys.executable, "-c", MAKE_USERS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    command = [Path(sys.executable).parent / "airflow", "api-server"]
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
