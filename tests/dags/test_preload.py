"""What tasks are forked with. Each case is a process of its own, since it is about what a process has loaded."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).resolve().parents[2]

LOAD = "import sys; from contact_sync_airflow import preload; preload.load()\n"

STATE = """
import gc, json, os, sys, threading
import pandas
before = len(os.listdir("/proc/self/task"))
from contact_sync_airflow import preload
preload.load()
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session
import requests
paths = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
fds = [os.readlink(path) for path in paths if os.path.lexists(path)]
kept = (Engine, Connection, Session, requests.Session)
print(json.dumps({
    "threads": [thread.name for thread in threading.enumerate()],
    "further system threads": len(os.listdir("/proc/self/task")) - before,
    "sockets and databases": [fd for fd in fds if fd.startswith("socket:") or fd.endswith(".db")],
    "open": [repr(each) for each in gc.get_objects() if isinstance(each, kept)],
    "loaded": "sync_lib.pipeline" in sys.modules,
}))
"""

IN_A_FORK = """
import importlib, json, os, sys
from contact_sync_airflow import preload
preload.load()
before = set(sys.modules)
reading, writing = os.pipe()
if os.fork() == 0:
    preload.use_current_code()
    for name in json.loads(sys.argv[1]):
        importlib.import_module(name)
    os.write(writing, json.dumps(sorted(set(sys.modules) - before)).encode())
    os._exit(0)
os.wait()
os.close(writing)
print(os.fdopen(reading).read())
"""

A_RUN = """
import sys, tempfile
from contact_sync_airflow import preload
preload.load()
from sandbox import Sandbox
from tests.sync.harness import Harness, person, world
# Alembic's own are for a schema that is to be upgraded.
names = {name.partition(".")[0] for name in preload.PACKAGES} - {"alembic"} | {"sync_lib", "babel", "encodings"}
before = set(sys.modules)
with Sandbox(world=world(person("Jan Jansen", phoneNumber="0201234567", country="NL"))) as sim:
    harness = Harness(sim, f"sqlite:///{tempfile.mkdtemp()}/staging.db")
    harness.add_profiles()
    assert harness.run().writes == {"created_outlook": 1}
    harness.close()
print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in names))
"""

A_CHANGE = """
import json, sys
from contact_sync_airflow import preload
preload.load()
from sandbox import Sandbox
from sync_lib import pipeline
from sync_lib.model import RunRequest
from sync_lib.store import compiled
from tests.sync.harness import Harness, person, settled, world
before = json.dumps({kind: len(kept) for kind, kept in compiled.KEPT.items()})
with Sandbox(world=world(person("Jan Jansen", phoneNumber="0201234567", country="NL"))) as sim:
    harness = Harness(sim, sys.argv[1])
    harness.add_profiles()
    # The first change finds out what all later ones know of the service.
    for number in ("0201111111", "0202222222"):
        settled(harness)
        harness.edit_contact("Jan Jansen", phoneNumber=number)
    plan = pipeline.plan_run(harness.edges, RunRequest("changed", "incremental"))
    for company in plan.companies:
        pipeline.extract_business_central(harness.edges, "changed", company)
    [key] = pipeline.find_work(harness.edges, "changed", last_try=False)
    task = harness.open()
    [result] = pipeline.sync_profile(task, "changed", key)
    own = task.engine.get_execution_options()["compiled_cache"]
    after = json.dumps({kind: len(kept) for kind, kept in compiled.KEPT.items()})
    print(json.dumps([result.counters["outcomes"], [str(each) for each in own.values()], before == after]))
    harness.close()
"""

CHANGED = """
import logging, os, sys
from contact_sync_airflow import preload
logging.basicConfig(format="%(levelname)s %(message).40s", stream=sys.stdout)
preload.load()
import sync_lib.pipeline
old = sys.modules["sync_lib.pipeline"]
preload.use_current_code()
print(sys.modules["sync_lib.pipeline"] is old)
with open(old.__file__, "a") as file:
    file.write("ADDED = 1\\n")
for _ in range(2):
    preload.use_current_code()
    from sync_lib import pipeline
    print(pipeline.ADDED)
from sync_lib.operate import checks
print(checks is pipeline.checks)
"""


def run(script: str, *arguments: str, path: Path = ROOT) -> str:
    """What a script prints, in a process that finds ``sync_lib`` in ``path``."""
    folders = (path, ROOT, ROOT / "plugins", ROOT / "scripts")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with a copy of the package, which a test may change."""
    shutil.copytree(ROOT / "sync_lib", tmp_path / "sync_lib", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def imported_by_tasks() -> list[str]:
    """The modules of ours that the DAG files and the package that knows Airflow import when a task runs."""
    files = [*(ROOT / "dags").glob("*.py"), *(ROOT / "plugins" / "contact_sync_airflow").glob("*.py")]
    # Not run by tasks: hooks are what the form of a Connection calls, colleagues what the API server does.
    trees = [ast.parse(path.read_text()) for path in files if path.name not in ("hooks.py", "colleagues.py")]
    found = {name for tree in trees for name in _ours(tree)}
    # The pages' words are loaded by a task that has a message to write, which is worth that.
    return sorted(name for name in found if not name.startswith("sync_lib.web."))


def _ours(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sync_lib"):
            for alias in node.names:
                path = ROOT / node.module.replace(".", "/") / alias.name
                is_module = path.with_suffix(".py").exists() or (path / "__init__.py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def test_nothing_is_open_or_running_before_the_fork() -> None:
    assert json.loads(run(STATE)) == {
        "threads": ["MainThread"],
        "further system threads": 0,
        "sockets and databases": [],
        "open": [],
        "loaded": True,
    }


def test_a_forked_task_loads_no_module_of_ours() -> None:
    wanted = imported_by_tasks()
    assert "sync_lib.pipeline" in wanted
    assert "sync_lib.operate.approval" in wanted
    assert json.loads(run(IN_A_FORK, json.dumps(wanted))) == []


def test_a_whole_run_loads_no_further_module() -> None:
    assert run(A_RUN) == "[]"


def test_a_task_for_one_change_compiles_no_statement_anew(database_url: str) -> None:
    outcomes, compiled, kept_as_it_was = json.loads(run(A_CHANGE, database_url))
    assert outcomes == {"updated": 1}
    assert compiled == []
    # What it compiles itself is its engine's own: the values of contacts in it go with the task.
    assert kept_as_it_was


def test_a_task_sees_what_changed_since_and_says_once_that_a_restart_is_due(elsewhere: Path) -> None:
    unchanged, warned, *after = run(CHANGED, path=elsewhere).splitlines()
    assert unchanged == "True"
    assert warned.startswith("WARNING The files of sync_lib have changed")
    assert after == ["1", "1", "True"]


@pytest.mark.parametrize("harm", ["syntax", "missing"])
def test_what_cannot_be_imported_is_left_to_the_tasks(elsewhere: Path, harm: str) -> None:
    if harm == "syntax":
        (elsewhere / "sync_lib" / "pipeline.py").write_text("def broken(:\n")
    else:
        (elsewhere / "sync_lib" / "pipeline.py").unlink()
    script = LOAD + "preload.use_current_code(); print('pandas' in sys.modules, 'sync_lib' in sys.modules)"
    assert run(script, path=elsewhere) == "True False"


def test_a_package_that_is_not_there_keeps_no_other_one_away(elsewhere: Path) -> None:
    """Some come with others only: where tests run there are more of them than where the product does."""
    without = (
        "import sys; sys.modules['msal_extensions'] = sys.modules['alembic'] = None\n"
        + LOAD
        + "print('pandas' in sys.modules, 'sync_lib.pipeline' in sys.modules)"
    )
    assert run(without, path=elsewhere) == "True True"


def test_the_names_of_new_and_lost_files_count(elsewhere: Path) -> None:
    stamp = "from contact_sync_airflow import preload; print(preload.source_stamp())"
    before = run(stamp, path=elsewhere)
    assert before == run("import sync_lib.pipeline\n" + stamp, path=elsewhere)
    (elsewhere / "sync_lib" / "operate" / "new.py").touch()
    after = run(stamp, path=elsewhere)
    (elsewhere / "sync_lib" / "operate" / "new.py").unlink()
    assert before != after
    assert before == run(stamp, path=elsewhere)


def test_each_task_of_each_dag_looks_first() -> None:
    from airflow.dag_processing.dagbag import DagBag

    from contact_sync_airflow import preload

    hooks: dict[str, Any] = {}
    for dag in DagBag(dag_folder=str(ROOT / "dags")).dags.values():
        for name, task in dag.task_dict.items():
            arguments = task.partial_kwargs if task.is_mapped else {"pre_execute": task._pre_execute_hook}
            hooks[f"{dag.dag_id}.{name}"] = arguments.get("pre_execute")
    assert len(hooks) > 10
    assert {name for name, hook in hooks.items() if hook is not preload.use_current_code} == set()
