"""What the page of a colleague's own asks of Airflow; a run and the permission are in ``tests/e2e/test_fab.py``."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contact_sync_airflow import colleagues, connections

pytestmark = pytest.mark.airflow


@pytest.fixture(autouse=True)
def business_central(connection: Any) -> None:
    """The Connection says which fields a filter may name."""
    given = {"conn_type": "business_central", "login": "app", "password": "x", "extra": {"tenant_id": "t"}}
    connection(connections.BUSINESS_CENTRAL, json.dumps(given))


def test_only_the_name_of_the_login_counts() -> None:
    """FAB's users may edit their e-mail address, which their ``get_name()`` falls back to."""
    user = SimpleNamespace(username="", email="bram@a.example", get_name=lambda: "bram@a.example")
    assert colleagues.user_name(user) == ""
    assert colleagues.user_name(SimpleNamespace(username="anna@a.example")) == "anna@a.example"
    assert colleagues.user_name(SimpleNamespace(get_name=lambda: "anna@a.example")) == ""


def test_what_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "filters.yaml"
    file.write_text("Zeist:\n  City: Zeist\n")
    monkeypatch.setenv("CONTACT_SYNC_ADMINISTRATOR", " Ineke van IT ")
    assert (colleagues.allowed().administrator, colleagues.allowed().any_filter) == ("Ineke van IT", False)
    assert colleagues.allowed().filters == {}
    monkeypatch.setenv("CONTACT_SYNC_OWN_FILTERS", "free")
    assert colleagues.allowed().any_filter
    monkeypatch.setenv("CONTACT_SYNC_OWN_FILTERS", str(file))
    assert colleagues.allowed().filters == {"Zeist": ((("City", "Zeist"),),)}
    assert not colleagues.allowed().any_filter
    assert colleagues.problems() == []


@pytest.mark.parametrize(
    ("content", "wrong"), [(None, "FileNotFoundError"), ("Zuid:\n  Regio: Zuid", "'Zuid'")]
)
def test_a_file_that_cannot_be_read_allows_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, wrong: str
) -> None:
    file = tmp_path / "filters.yaml"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("CONTACT_SYNC_OWN_FILTERS", str(file))
    allowed = colleagues.allowed()
    assert (allowed.any_filter, allowed.filters) == (False, {})
    [problem] = colleagues.problems()
    assert problem.startswith("CONTACT_SYNC_OWN_FILTERS is ")
    assert wrong in problem


def test_a_dag_that_is_not_there_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.utils import session

    from sync_lib.web.mine_seams import NotStarted

    class Nothing:
        def get(self, *_: object) -> None:
            return None

        def __enter__(self) -> Nothing:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(session, "create_session", Nothing)
    with pytest.raises(NotStarted):
        colleagues.start("contact_sync", {}, "anna@a.example")
