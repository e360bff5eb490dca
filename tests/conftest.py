"""What every test shares: the option ``--long``, and an environment in which Airflow may be imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest

# Airflow reads its home when it is first imported and writes its configuration there, so this comes before any test
# module does that; and what a developer's shell has set must not decide about tests.
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "CONTACT_SYNC_"))]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="contact-sync-test-airflow-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)


# Behind the lines above: these import SQLAlchemy and the library.
from tests.databases import (  # noqa: E402, F401
    database_kind,
    database_url,
    empty_url,
    engine,
    new_database,
    postgres_databases,
    sqlite_template,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also the tests marked long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
