"""Who may log in to the demo: without a colleague among them nobody could look at the colleagues' own page."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import yaml
from demo_parts.airflow import ADMIN, AirflowInstance
from demo_parts.main import PROFILES, logins


def test_a_colleague_of_the_demo_can_log_in_beside_the_data_team() -> None:
    users = dict(
        user.rsplit(":", 1) for user in logins()["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")
    )
    assert users.pop(ADMIN) == "admin"
    (colleague,) = users
    for file in PROFILES.values():
        mailboxes = {profile["mailbox"] for profile in yaml.safe_load(file.read_text())["profiles"]}
        assert colleague in mailboxes


def test_each_has_a_password_of_their_own(tmp_path: Path) -> None:
    passwords = {"anna@example.com": "one", ADMIN: "two"}
    (tmp_path / "simple_auth_manager_passwords.json.generated").write_text(json.dumps(passwords))
    airflow = Mock(spec=AirflowInstance, home=tmp_path)
    airflow.password = lambda name: AirflowInstance.password(airflow, name)
    assert AirflowInstance.login.fget(airflow) == (ADMIN, "two")
    assert airflow.password("anna@example.com") == "one"
