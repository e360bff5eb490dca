"""What a person finds in a fresh clone: scripts that run, checks that agree with each other, nothing left behind."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ["scripts/bench", "scripts/cluster", "scripts/demo", "scripts/lock", "scripts/test", ".ci/run"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_can_be_run(name: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-s", name], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert listed.stdout.startswith("100755"), f"{name} is not committed as a program"
    assert subprocess.run(["bash", "-n", name], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", ["scripts/bench", "scripts/cluster", "scripts/demo", "scripts/test"])
def test_scripts_explain_themselves(name: str) -> None:
    shown = subprocess.run([ROOT / name, "--help"], capture_output=True, text=True, check=True).stdout
    source = (ROOT / name).read_text()
    options = set(re.findall(r"(--[a-z-]+)", source.split("set -u")[0]))
    assert len(options) >= 2
    assert all(option in shown for option in options)


def test_demo_options_are_those_that_its_help_names() -> None:
    from demo_parts import main

    explained = set(re.findall(r"^# (--[a-z-]+)", (ROOT / "scripts/demo").read_text(), flags=re.MULTILINE))
    taken = set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', Path(main.__file__).read_text()))
    assert explained == taken


@pytest.mark.parametrize(
    ("name", "module"),
    [("scripts/bench", "tests/benchmarks/__main__.py"), ("scripts/cluster", "tests/e2e/cluster.py")],
)
def test_options_of_measuring_scripts_are_those_that_their_help_names(name: str, module: str) -> None:
    explained = set(re.findall(r"^# (--[a-z-]+)", (ROOT / name).read_text(), flags=re.MULTILINE))
    taken = set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', (ROOT / module).read_text()))
    assert explained == taken


def test_the_long_run_ends_with_the_cluster() -> None:
    steps = re.findall(
        r'^\[ -z "\$long" \] \|\| step .* (\S+)$', (ROOT / "scripts/test").read_text(), re.MULTILINE
    )
    assert steps[-1] == "scripts/cluster"


def test_no_lock_names_a_package_index() -> None:
    locks = sorted(ROOT.glob("*.lock"))
    assert [lock.name for lock in locks] == [
        "requirements-bench.lock",
        "requirements-test.lock",
        "requirements.lock",
    ]
    for lock in locks:
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert re.findall(r"https?://|--index-url|--extra-index", text) == []


def test_ci_requires_a_browser() -> None:
    assert "scripts/test --require-browser" in (ROOT / ".ci/run").read_text()
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yaml").read_text())
    job = workflow["jobs"]["test"]
    assert any("bash .ci/run" in step.get("run", "") for step in job["steps"])
    versions = [tuple(map(int, version.split("."))) for version in job["strategy"]["matrix"]["python"]]
    supported = re.findall(r"3\.\d+", PYPROJECT["project"]["requires-python"])
    assert min(versions) == (3, int(supported[0].split(".")[1]))
    assert max(versions) == (3, int(supported[1].split(".")[1]) - 1)


def test_pre_commit_runs_the_checks_of_the_test_script() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    script = (ROOT / "scripts/test").read_text()
    for tool in ("ruff check", "ruff format --check", "mypy"):
        assert any(f".venv/bin/{tool}" in hook["entry"] for hook in hooks), tool
        assert f".venv/bin/{tool}" in script


def test_every_file_is_meant_to_be_here() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ignored = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "pyproject.toml" in listed
    assert ignored == ""
    assert not re.findall(r"\.(?:db|sqlite|pyc|cfg)$", listed, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "path", [".venv/bin/python", ".demo/staging.db", "airflow.cfg", ".env", "logs/x.log"]
)
def test_what_programs_leave_behind_is_ignored(path: str) -> None:
    assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0


def test_what_the_package_needs_is_what_is_locked() -> None:
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == ["requirements.txt"]
    wanted = re.findall(r"^([a-z][\w.-]*)", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    lock = (ROOT / "requirements.lock").read_text()
    assert len(wanted) > 10
    assert [
        name for name in wanted if not re.search(rf"^{re.escape(name)}==", lock, flags=re.MULTILINE)
    ] == []


def test_every_ignored_check_has_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    ignored = text.split("ignore = [")[1].split("]")[0]
    lines = [line for line in ignored.splitlines() if line.strip()]
    assert len(lines) > 5
    assert [line for line in lines if "#" not in line] == []
    assert len(PYPROJECT["tool"]["ruff"]["lint"]["select"]) >= 20
