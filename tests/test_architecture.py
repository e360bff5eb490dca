"""The house rules, held by the code itself: who may import whom, what is pure, how long a function may be.

Each rule is a function from a file's name and source to a list of complaints. Each is tested twice: on a planted
violation, which it must find, and on the files of the project.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

Rule = Callable[[str, str], list[str]]

# Third-party and standard modules that do I/O, tell the time, or draw lots.
IMPURE = {
    "aiohttp", "asyncio", "concurrent", "httpx", "http", "io", "logging", "msal", "multiprocessing", "os", "pathlib",
    "psycopg", "random", "requests", "secrets", "shutil", "socket", "sqlalchemy", "sqlite3", "subprocess", "sys",
    "tempfile", "threading", "time", "urllib", "urllib3",
}  # fmt: skip
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "open", "print", "input"}

PURE = ("model", "moments", "errors", "fields", "match", "diff", "guard", "report", "drift", "notices")

#: Part of sync_lib -> the parts that it may import. `pipeline` and what stands above it may import all.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "model": {"errors"},
    "moments": set(),
    "ports": set(),
    "settings": {"errors", "model"},
    "provider_info": set(),
    "credentials": {"errors", "settings"},
    "fields": {"errors", "model"},
    "match": {"errors", "model", "fields"},
    "diff": {"errors", "model", "fields", "match"},
    "guard": {"errors", "model", "settings", "fields", "diff"},
    "report": {"errors", "model"},
    "notices": {"errors", "model", "report"},
    "drift": {"errors", "model", "fields", "diff", "report"},
    "clients": {"errors", "model", "settings", "fields"},
    "store": {"errors", "model", "moments", "ports", "settings", "fields", "diff"},
}
#: Parts between the edges: they read and write staging, and get their clients handed in.
BETWEEN = (
    "bindings",
    "elsewhere",
    "extract",
    "folders",
    "holding",
    "load",
    "logs",
    "preview",
    "profile_sync",
    "second_folder",
    "settle",
    "switched_off",
    "undo_preview",
    "views",
)
MAY_IMPORT |= {part: {*MAY_IMPORT, *BETWEEN} - {"clients", "provider_info"} for part in BETWEEN}
#: Package -> where in sync_lib it may be imported.
ONLY_IN = {
    "requests": ("clients",),
    "urllib3": ("clients",),
    "msal": ("clients",),
    "psycopg": ("store",),
    "sqlite3": ("store",),
    "alembic": ("store",),
    "fastapi": ("web",),
    "jinja2": ("web",),
    "pandas": ("fields", "match", "diff", "guard", "report", "store", "views", "preview", "pipeline"),
}
HEAVY = {
    "alembic", "babel", "fastapi", "jinja2", "msal", "numpy", "pandas", "requests", "sqlalchemy", "sync_lib", "sandbox",
}  # fmt: skip
FUNCTION_LINES = 40
TASK_STATEMENTS = 5
#: Words that the glossary replaces: profile, snapshot, fingerprint, cursor, run, record.
NOT_OUR_WORDS = {"bookmark", "checksum", "entities", "entity", "execution", "job", "jobs", "mirror"}


def tracked_files() -> list[str]:
    """Return what git would commit, so that a developer's own files decide nothing."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in listed if (ROOT / name).is_file())


def sources(*folders: str) -> list[str]:
    found = [name for name in tracked_files() if name.endswith(".py") and name.split("/")[0] in folders]
    assert found, f"no files in {folders}: this rule would hold by holding nothing"
    return found


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full names of what is imported anywhere in the tree."""
    for node in ast.walk(tree):
        yield from _imported(node)


def imports_at_top(tree: ast.Module) -> Iterator[str]:
    """Yield what importing the module imports: not what stands in functions, or is for type checkers only."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        yield from _imported(node)
        pending.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def runtime_imports(tree: ast.Module) -> set[str]:
    """Return all imports but those that only a type checker follows."""
    for_types = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in node.body
        for name in _imported(child)
    }
    return set(imports(tree)) - for_types


def part_of(name: str) -> str:
    """Return the part of sync_lib that a file belongs to: ``sync_lib/store/tables.py`` -> ``store``."""
    return name.split("/")[1].removesuffix(".py")


def head(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def layers(name: str, source: str) -> list[str]:
    allowed = MAY_IMPORT.get(part_of(name))
    if allowed is None:
        return []
    ours = {
        module.split(".")[1] for module in runtime_imports(ast.parse(source)) if head(module) == "sync_lib"
    }
    return [f"{name} imports sync_lib.{part}" for part in sorted(ours - allowed - {part_of(name)})]


def clients_and_store_meet_only_in_the_pipeline(name: str, source: str) -> list[str]:
    if part_of(name) in ("pipeline", "checks", "notify", "web", "cli"):
        return []
    ours = {
        module.split(".")[1] for module in runtime_imports(ast.parse(source)) if head(module) == "sync_lib"
    }
    return [f"{name} imports both clients and store"] if {"clients", "store"} <= ours else []


def packages_in_their_place(name: str, source: str) -> list[str]:
    part = part_of(name)
    found = {head(module) for module in imports(ast.parse(source))}
    return [
        f"{name} imports {package}, which belongs into {' or '.join(places)}"
        for package, places in ONLY_IN.items()
        if package in found and part not in places
    ]


def sqlalchemy_as_a_type_only(name: str, source: str) -> list[str]:
    part = part_of(name)
    if part == "store":
        return []
    found = {module for module in imports(ast.parse(source)) if head(module) == "sqlalchemy"}
    types = {
        "sqlalchemy.Engine",
        "sqlalchemy.engine.Engine",
        "sqlalchemy.Connection",
        "sqlalchemy.engine.Connection",
    }
    if part in ("pipeline", "checks", "web", *BETWEEN):
        found -= types
    return [f"{name} imports {module}" for module in sorted(found)]


def pure(name: str, source: str) -> list[str]:
    if part_of(name) not in PURE:
        return []
    tree = ast.parse(source)
    complaints = [f"{name} imports {module}" for module in imports(tree) if head(module) in IMPURE]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in IMPURE_CALLS:
            complaints.append(f"{name}:{node.lineno} calls {called}()")
    return complaints


def no_airflow(name: str, source: str) -> list[str]:
    return [f"{name} imports {module}" for module in imports(ast.parse(source)) if head(module) == "airflow"]


def sandbox_stands_alone(name: str, source: str) -> list[str]:
    strange = {"sync_lib", "airflow", "contact_sync_hooks", "tests"}
    return [f"{name} imports {module}" for module in imports(ast.parse(source)) if head(module) in strange]


def library_knows_no_sandbox(name: str, source: str) -> list[str]:
    return [f"{name} imports {module}" for module in imports(ast.parse(source)) if head(module) == "sandbox"]


def nothing_imports_dags(name: str, source: str) -> list[str]:
    return [f"{name} imports {module}" for module in imports(ast.parse(source)) if head(module) == "dags"]


def light_at_import(name: str, source: str) -> list[str]:
    tree = ast.parse(source)
    return [f"{name} imports {module} at its top" for module in imports_at_top(tree) if head(module) in HEAVY]


def dag_files_import_little(name: str, source: str) -> list[str]:
    allowed = {*sys.stdlib_module_names, "airflow", "contact_sync_hooks", "contact_sync_tasks"}
    found = imports_at_top(ast.parse(source))
    return [f"{name} imports {module} at its top" for module in found if head(module) not in allowed]


def airflow_by_its_sdk(name: str, source: str) -> list[str]:
    found = [module for module in imports(ast.parse(source)) if head(module) == "airflow"]
    allowed = ("airflow.sdk", "airflow.providers.")
    return [f"{name} imports {module}, not airflow.sdk" for module in found if not module.startswith(allowed)]


def thin_tasks(name: str, source: str) -> list[str]:
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        if not any("task" in ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list):
            continue
        statements = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
        if len(statements) > TASK_STATEMENTS:
            complaints.append(f"{name}: task {node.name} has {len(statements)} statements")
        if any(isinstance(child, ast.If | ast.For | ast.While | ast.Try) for child in statements):
            complaints.append(f"{name}: task {node.name} decides something")
    return complaints


def short_functions(name: str, source: str) -> list[str]:
    # A migration is one long list of tables, written once and never changed.
    if "/migrations/" in name:
        return []
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # What a docstring promises is not what makes a function long.
        first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
        lines = (node.end_lineno or 0) - first.lineno + 1
        if lines > FUNCTION_LINES:
            complaints.append(f"{name}: {node.name} has {lines} lines; the limit is {FUNCTION_LINES}")
    return complaints


def frames_whole(name: str, source: str) -> list[str]:
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in ("iterrows", "itertuples") or (
            called == "apply" and given.get("axis") in ("1", "'columns'")
        ):
            complaints.append(f"{name}:{node.lineno} goes over a frame row by row")
        if given.get("inplace") == "True":
            complaints.append(f"{name}:{node.lineno} changes a frame in place")
    return complaints


def no_bare_except(name: str, source: str) -> list[str]:
    nodes = ast.walk(ast.parse(source))
    return [
        f"{name}:{node.lineno}" for node in nodes if isinstance(node, ast.ExceptHandler) and node.type is None
    ]


def no_validating_asserts(name: str, source: str) -> list[str]:
    """Asserts vanish under ``python -O``; the one use left is to narrow a type that is certain."""
    return [
        f"{name}:{node.lineno} asserts something other than a type"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assert) and not re.search(r"isinstance\(|is not None", ast.unparse(node.test))
    ]


def our_words(name: str, source: str) -> list[str]:
    complaints = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined = node.name
        elif isinstance(node, ast.arg):
            defined = node.arg
        else:
            continue
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", defined)}
        complaints += [f"{name}: {defined} says {word}" for word in sorted(words & NOT_OUR_WORDS)]
    return complaints


RULES: list[tuple[Rule, tuple[str, ...], str, str]] = [
    (layers, ("sync_lib",), "sync_lib/clients/a.py", "from sync_lib.store import tables"),
    (layers, ("sync_lib",), "sync_lib/fields/a.py", "def f():\n    import sync_lib.clients.rest"),
    (
        clients_and_store_meet_only_in_the_pipeline,
        ("sync_lib",),
        "sync_lib/other.py",
        "from sync_lib.store import ledger\nfrom sync_lib.clients import rest",
    ),
    (packages_in_their_place, ("sync_lib",), "sync_lib/pipeline.py", "import requests"),
    (packages_in_their_place, ("sync_lib",), "sync_lib/store/a.py", "from msal import ClientApplication"),
    (sqlalchemy_as_a_type_only, ("sync_lib",), "sync_lib/pipeline.py", "from sqlalchemy import select"),
    (sqlalchemy_as_a_type_only, ("sync_lib",), "sync_lib/load.py", "from sqlalchemy import insert"),
    (pure, ("sync_lib",), "sync_lib/diff.py", "import random"),
    (pure, ("sync_lib",), "sync_lib/match.py", "from pathlib import Path"),
    (pure, ("sync_lib",), "sync_lib/guard.py", "from datetime import datetime\nx = datetime.now()"),
    (pure, ("sync_lib",), "sync_lib/fields/a.py", "open('x')"),
    (no_airflow, ("sync_lib", "sandbox", "scripts"), "sync_lib/a.py", "from airflow.sdk import dag"),
    (sandbox_stands_alone, ("sandbox",), "sandbox/a.py", "from sync_lib.model import Side"),
    (library_knows_no_sandbox, ("sync_lib", "dags", "plugins"), "sync_lib/a.py", "import sandbox.app"),
    (
        nothing_imports_dags,
        ("sync_lib", "sandbox", "scripts", "plugins", "tests"),
        "plugins/a.py",
        "from dags import contact_sync",
    ),
    (light_at_import, ("dags", "plugins"), "dags/a.py", "from sync_lib import pipeline"),
    (
        light_at_import,
        ("dags", "plugins"),
        "plugins/a.py",
        "try:\n    import pandas\nexcept ImportError:\n    pass",
    ),
    (dag_files_import_little, ("dags",), "dags/a.py", "import yaml"),
    (airflow_by_its_sdk, ("dags",), "dags/a.py", "from airflow.decorators import dag"),
    (thin_tasks, ("dags",), "dags/a.py", "@task\ndef f(x):\n    if x:\n        return 1"),
    (
        thin_tasks,
        ("dags",),
        "dags/a.py",
        "@task(retries=0)\ndef f(x):" + "\n    x += 1" * (TASK_STATEMENTS + 1),
    ),
    (short_functions, ("sync_lib",), "sync_lib/a.py", "def f(x):" + "\n    x += 1" * (FUNCTION_LINES + 1)),
    (frames_whole, ("sync_lib",), "sync_lib/diff.py", "for row in frame.iterrows(): pass"),
    (frames_whole, ("sync_lib",), "sync_lib/diff.py", "frame.apply(f, axis=1)"),
    (frames_whole, ("sync_lib",), "sync_lib/diff.py", "frame.drop(columns=['a'], inplace=True)"),
    (
        no_bare_except,
        ("sync_lib", "sandbox", "dags", "plugins", "scripts", "tests"),
        "sync_lib/a.py",
        "try:\n    x\nexcept:\n    pass",
    ),
    (no_validating_asserts, ("sync_lib", "plugins"), "sync_lib/a.py", "assert len(x) > 0"),
    (our_words, ("sync_lib", "plugins", "dags"), "sync_lib/a.py", "class RunJob: ..."),
    (our_words, ("sync_lib", "plugins", "dags"), "sync_lib/a.py", "def read(entity): ..."),
]


@pytest.mark.parametrize(
    ("rule", "folders", "name", "violation"),
    RULES,
    ids=[f"{rule[0].__name__}-{i}" for i, rule in enumerate(RULES)],
)
def test_house_rule(rule: Rule, folders: tuple[str, ...], name: str, violation: str) -> None:
    assert rule(name, violation), "the rule does not find what it forbids"
    assert not rule(name, "x = 1"), "the rule complains about nothing"

    complaints = [found for file in sources(*folders) for found in rule(file, (ROOT / file).read_text())]
    assert not complaints, "\n".join(complaints)


def test_every_part_of_the_library_has_a_rule() -> None:
    above = {
        "pipeline",
        "airflow_clean",
        "approval",
        "checks",
        "cli",
        "housekeeping",
        "if_match",
        "notify",
        "web",
        "__init__",
    }
    parts = {part_of(name) for name in sources("sync_lib")}
    assert len(parts) > 5
    assert parts <= set(MAY_IMPORT) | above, (
        f"say in MAY_IMPORT what {parts - set(MAY_IMPORT) - above} may import"
    )


def test_type_checking_imports_are_no_imports() -> None:
    tree = ast.parse("if TYPE_CHECKING:\n    import pandas\nelse:\n    import os\ndef f():\n    import json")
    assert set(imports_at_top(tree)) == {"os"}
    assert runtime_imports(tree) == {"os", "json"}


# Put together here, so that this file does not hold what it forbids.
FORBIDDEN_TEXT = re.compile(
    "|".join(
        [
            r"(?<![\w.}~$])/(?:"
            + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Use" + "rs"])
            + r")/[\w.]",
            *(
                re.escape(host)
                for host in ["pypi" + ".org", "python" + "hosted.org", "npmjs" + ".", "debian" + ".org"]
            ),
        ]
    )
)


def test_no_absolute_path_and_no_registry_host_is_committed() -> None:
    for planted in ["see /ho" + "me/anna/x", '"/ro' + 'ot/.cache"', "https://files.python" + "hosted.org/a"]:
        assert FORBIDDEN_TEXT.search(planted), planted
    for harmless in ["{root}/users/x", "/users/a/contacts", "~/work/x", "host/home/index"]:
        assert not FORBIDDEN_TEXT.search(harmless), harmless

    files = tracked_files()
    assert "requirements.lock" in files
    found = []
    for name in files:
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {match.group()}" for match in FORBIDDEN_TEXT.finditer(text)]
    assert not found, "\n".join(found)


def test_lock_files_hold_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-test.lock"):
        text = (ROOT / name).read_text()
        pinned = re.findall(r"^[a-z0-9][\w.-]*==\S+", text, flags=re.MULTILINE)
        assert len(pinned) > 100
        assert text.count("--hash=sha256:") >= len(pinned)
        assert "://" not in text
        assert not re.search(r"^(-i|--index-url|--extra-index-url|--find-links)", text, flags=re.MULTILINE)


def test_both_locks_agree() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9][\w.-]*==[^\s;]+", (ROOT / name).read_text(), flags=re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-test.lock")
