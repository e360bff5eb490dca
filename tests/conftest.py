"""What every test shares: the count of faults, and an environment in which Airflow may be imported."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Airflow reads its home when it is first imported and writes its configuration there, so this comes before any test
# module does that; and what a developer's shell has set must not decide about tests.
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "CONTACT_SYNC_"))]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="contact-sync-test-airflow-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)


# Behind the lines above: these import SQLAlchemy and the library.
from tests import dearest, faults, packing, partial, second  # noqa: E402
from tests.database_fixtures import (  # noqa: E402, F401
    database_kind,
    database_url,
    empty_url,
    engine,
    new_database,
    postgres_databases,
    sqlite_template,
)
from tests.databases import share_compiled_statements  # noqa: E402
from tests.e2e.stage import starting_stage  # noqa: E402, F401
from tests.faults import note_faults  # noqa: E402, F401
from tests.harnesses import make_harness  # noqa: E402, F401
from tests.sync.harness import Harness  # noqa: E402

# No test is about time: a machine that is busy must not make one of them fail. And a fixture that outlives an example
# is what most tests of the staging database want.
settings.register_profile(
    "timeless",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("timeless")

share_compiled_statements()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting makes millions of objects, all of which stay: looking for garbage costs a quarter of its time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults", metavar="FILE", help="write down how often each fault fired, and fail if one never did"
    )
    parser.addoption("--dearest", type=int, metavar="N", help="print what the N dearest files cost")
    parser.addoption(
        "--both",
        action="store_true",
        help="run all tests on both databases, not a part of them drawn by seed",
    )
    parser.addoption(
        "--draw",
        metavar="SEED",
        help="draw that part by this text; without it, by the commit that is checked out",
    )

    parser.addoption(
        "--audit",
        action="store_true",
        help="work on every profile that a run gave no task all the same: it must come to nothing (I21)",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return "on both databases: all" if config.getoption("--both") else f"drawn by --draw {seed(config)}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--both"):
        drawn = seed(config)
        left_out = {item: None for item in items if not second.is_drawn(item, drawn)}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: packing.rank(item.nodeid))
        config.pluginmanager.register(packing.StandBack())


def seed(config: pytest.Config) -> str:
    """What decides which tests run on the second database too."""
    return str(config.getoption("--draw") or second.commit())


def pytest_configure(config: pytest.Config) -> None:
    Harness.audits = config.getoption("--audit")
    if config.getoption("--dearest") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(dearest.Dearest(config.getoption("--dearest")))
    if config.getoption("--dearest"):
        config.pluginmanager.register(dearest)
    # With several processes the first one, which runs no test itself, hears of all reports.
    if config.getoption("--faults") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(faults.Count(config.getoption("--faults")))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> packing.OneAirflow:
    return packing.OneAirflow(config, log)


@pytest.fixture(autouse=True)
def partial_comparisons() -> Iterator[partial.Checks]:
    """A comparison of what is unsettled plans what one of everything would, whatever a test is about."""
    with partial.checked() as checks:
        yield checks
