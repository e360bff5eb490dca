"""What every test shares: the count of faults, and an environment in which Airflow may be imported."""

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
from tests import faults  # noqa: E402
from tests.databases import (  # noqa: E402, F401
    database_kind,
    database_url,
    empty_url,
    engine,
    new_database,
    postgres_databases,
    sqlite_template,
)
from tests.faults import note_faults  # noqa: E402, F401


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults", metavar="FILE", help="write down how often each fault fired, and fail if one never did"
    )


def pytest_configure(config: pytest.Config) -> None:
    # With several processes the first one, which runs no test itself, hears of all reports.
    if config.getoption("--faults") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(faults.Count(config.getoption("--faults")))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Airflow is heavy to import and its home is one per process, so its tests stay together in one process.
    for item in items:
        if item.get_closest_marker("airflow"):
            item.add_marker(pytest.mark.xdist_group("airflow"))
