"""The house rules, held by the code itself: who may import whom, what is pure, how long a function may be.

Each rule is a function from a file's name and source to a list of complaints. Each is tested twice: on a planted
violation, which it must find, and on the files of the project.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

Rule = Callable[[str, str], list[str]]

# Third-party and standard modules that do I/O, read the time, or draw lots.
IMPURE = {
    "aiohttp", "asyncio", "concurrent", "httpx", "http", "io", "logging", "msal", "multiprocessing", "os", "pathlib",
    "psycopg", "random", "requests", "secrets", "shutil", "socket", "sqlalchemy", "sqlite3", "subprocess", "sys",
    "tempfile", "threading", "time", "urllib", "urllib3",
}  # fmt: skip
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "open", "print", "input"}

PURE = ("model", "times", "errors", "fields", "diff")
#: Modules of other rooms that are pure as well.
PURE_MODULES = ("sync_lib/run/report.py", "sync_lib/operate/notices.py", "sync_lib/operate/group_news.py")

BASE = {"model", "errors", "times", "logs", "settings", "ports"}
#: Room of sync_lib -> the rooms that it may import. What is not listed is not allowed; imports for type checkers and
#: those in functions count. Data goes down through them: extract -> store -> diff -> load; run conducts.
MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "errors": set(),
    "times": set(),
    "logs": set(),
    "settings": {"errors"},
    "ports": {"model"},
    "connections": {"errors", "settings"},
    "provider_info": set(),
    "fields": BASE,
    "clients": BASE | {"fields"},
    "store": BASE | {"fields"},
    "diff": BASE | {"fields"},
    "extract": BASE | {"fields", "store"},
    "load": BASE | {"fields", "store", "diff", "extract"},
    "services": BASE | {"clients", "store"},
    "run": BASE | {"fields", "store", "diff", "extract", "load", "services"},
    # The services are a type there, and what a task opens.
    "pipeline": BASE | {"services", "run", "operate"},
    "operate": BASE | {"fields", "store", "diff", "services", "run", "clients"},
    "web": BASE | {"fields", "store", "operate", "services"},
    "cli": BASE | {"connections", "store", "services", "operate", "cli_people"},
    "cli_people": BASE | {"connections", "store", "services", "operate"},
    "__init__": set(),
}
#: Of a room, the modules that another one may import.
ONLY_THESE = {
    ("operate", "clients"): {"webhook", "auth"},
    ("plugins", "store"): {"engine", "migrate"},
    # What a run came to, as the pipeline returns it.
    ("plugins", "run"): {"report"},
    ("scripts", "run"): {"report"},
}
#: Outside sync_lib.
OUTSIDE_MAY_IMPORT = {
    "plugins": BASE | {"connections", "services", "pipeline", "operate", "web", "store", "run"},
    "dags": {"pipeline", "operate"},
    "scripts": BASE | {"store", "run"},
}
#: Modules of the package that knows Airflow: each may import those before it.
KNOW_AIRFLOW = (
    "environment",
    "preload",
    "retry",
    "connections",
    "context",
    "messages",
    "mails",
    "hooks",
    "tasks",
    "permissions",
    "colleagues",
)
TOP_FILES = 13
#: Lines, of code and of tests.
MODULE_LINES, TEST_MODULE_LINES = 550, 750
CLASS_LINES, TEST_CLASS_LINES = 250, 400
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
    "pandas": ("fields", "diff", "store", "run", "operate"),
}
HEAVY = {
    "alembic", "babel", "fastapi", "jinja2", "msal", "numpy", "pandas", "requests", "sqlalchemy", "sync_lib", "sandbox",
}  # fmt: skip
FUNCTION_LINES = 40
TASK_STATEMENTS = 5
#: Words that the glossary replaces: profile, snapshot, fingerprint, cursor, run, record.
NOT_OUR_WORDS = {"bookmark", "checksum", "entities", "entity", "execution", "job", "jobs", "mirror"}


@cache
def tracked_files() -> list[str]:
    """Return what git would commit, so that a developer's own files decide nothing."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in listed if (ROOT / name).is_file())


def sources(*folders: str) -> list[str]:
    found = [name for name in tracked_files() if name.endswith(".py") and name.split("/")[0] in folders]
    assert found, f"no files in {folders}: this rule would hold by holding nothing"
    return found


# All rules look at one file before the next one: what is kept of a few files serves all of them.
@lru_cache(maxsize=8)
def parse(source: str) -> ast.Module:
    return ast.parse(source)


@lru_cache(maxsize=8)
def nodes_of(source: str) -> tuple[ast.AST, ...]:
    """Return everything that is anywhere in a source."""
    return tuple(ast.walk(parse(source)))


@lru_cache(maxsize=8)
def imports(source: str) -> tuple[str, ...]:
    """Return the full names of what is imported anywhere in a source."""
    return tuple(module for node in nodes_of(source) for module in _imported(node))


def imports_at_top(source: str) -> Iterator[str]:
    """Yield what importing the module imports: not what is in functions, or is for type checkers only."""
    pending: list[ast.stmt] = list(parse(source).body)
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


def part_of(name: str) -> str:
    """Return the part of sync_lib that a file belongs to: ``sync_lib/store/tables.py`` -> ``store``."""
    return name.split("/")[1].removesuffix(".py")


def head(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def ours(source: str) -> Iterator[tuple[str, str]]:
    """Yield room and module of everything of sync_lib that is imported anywhere, ("store", "engine")."""
    for module in imports(source):
        parts = module.split(".")
        if parts[0] == "sync_lib" and len(parts) > 1:
            yield parts[1], parts[2] if len(parts) > 2 else ""


def arrows(name: str, source: str) -> list[str]:
    place = name.split("/", maxsplit=1)[0]
    part = part_of(name) if place == "sync_lib" else place
    allowed = MAY_IMPORT.get(part, set()) if place == "sync_lib" else OUTSIDE_MAY_IMPORT.get(part, set())
    complaints = []
    for room, module in sorted(set(ours(source))):
        if room != part and room not in allowed:
            complaints.append(f"{name} imports sync_lib.{room}")
        elif module not in ONLY_THESE.get((part, room), {module}):
            complaints.append(f"{name} imports sync_lib.{room}.{module}")
    return complaints


def circles(edges: dict[str, set[str]]) -> list[str]:
    """Return the modules that reach themselves by what they import at their top."""
    found = []
    for start, first in edges.items():
        pending, seen = list(first), set[str]()
        while pending:
            module = pending.pop()
            if module not in seen:
                seen.add(module)
                pending += edges.get(module, ())
        if start in seen:
            found.append(start)
    return sorted(found)


def modules_lead_to() -> dict[str, set[str]]:
    """Module of sync_lib -> the modules that importing it imports, those for type checkers included."""
    names = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name
        for name in sources("sync_lib")
    }
    return {
        module: {
            target
            for full in imports((ROOT / name).read_text())
            for target in (full, full.rpartition(".")[0])
            if target in names and target != module
        }
        for module, name in names.items()
    }


def small_modules(name: str, source: str) -> list[str]:
    if "/migrations/" in name:
        return []
    most = TEST_MODULE_LINES if name.startswith("tests/") else MODULE_LINES
    lines = source.count("\n")
    return [f"{name} has {lines} lines; the limit is {most}"] if lines > most else []


def small_classes(name: str, source: str) -> list[str]:
    most = TEST_CLASS_LINES if name.startswith("tests/") else CLASS_LINES
    return [
        f"{name}: {node.name} has {lines} lines; the limit is {most}"
        for node in nodes_of(source)
        if isinstance(node, ast.ClassDef) and (lines := (node.end_lineno or 0) - node.lineno + 1) > most
    ]


def clients_have_types(name: str, source: str) -> list[str]:
    """A client, or a task's services, is never ``Any``: its protocol is in ``ports``."""
    return [
        f"{name}:{node.lineno} takes a {node.arg} that may be anything"
        for node in nodes_of(source)
        if isinstance(node, ast.arg)
        and node.arg in ("client", "outlook", "business_central", "services", "edges")
        and node.annotation is not None
        and ast.unparse(node.annotation) == "Any"
    ]


def nothing_by_its_name(name: str, source: str) -> list[str]:
    """What is called is said where it is called, not put together from a text."""
    if part_of(name) not in ("fields", "diff", "extract", "load", "run"):
        return []
    return [
        f"{name}:{node.lineno} looks an attribute up by its name"
        for node in nodes_of(source)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr"
    ]


def packages_in_their_place(name: str, source: str) -> list[str]:
    part = part_of(name)
    found = {head(module) for module in imports(source)}
    return [
        f"{name} imports {package}, which belongs into {' or '.join(places)}"
        for package, places in ONLY_IN.items()
        if package in found and part not in places
    ]


def sqlalchemy_as_a_type_only(name: str, source: str) -> list[str]:
    part = part_of(name)
    if part == "store":
        return []
    found = {module for module in imports(source) if head(module) == "sqlalchemy"}
    types = {
        "sqlalchemy.Engine",
        "sqlalchemy.engine.Engine",
        "sqlalchemy.Connection",
        "sqlalchemy.engine.Connection",
    }
    if part in ("services", "extract", "load", "run", "operate", "web", "cli"):
        found -= types
    return [f"{name} imports {module}" for module in sorted(found)]


def pure(name: str, source: str) -> list[str]:
    if part_of(name) not in PURE and name not in PURE_MODULES:
        return []
    complaints = [f"{name} imports {module}" for module in imports(source) if head(module) in IMPURE]
    for node in nodes_of(source):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in IMPURE_CALLS:
            complaints.append(f"{name}:{node.lineno} calls {called}()")
    return complaints


def no_airflow(name: str, source: str) -> list[str]:
    return [f"{name} imports {module}" for module in imports(source) if head(module) == "airflow"]


def sandbox_is_alone(name: str, source: str) -> list[str]:
    strange = {"sync_lib", "airflow", "contact_sync_airflow", "tests"}
    return [f"{name} imports {module}" for module in imports(source) if head(module) in strange]


def library_knows_no_sandbox(name: str, source: str) -> list[str]:
    return [f"{name} imports {module}" for module in imports(source) if head(module) == "sandbox"]


def nothing_imports_dags(name: str, source: str) -> list[str]:
    return [f"{name} imports {module}" for module in imports(source) if head(module) == "dags"]


def light_at_import(name: str, source: str) -> list[str]:
    return [
        f"{name} imports {module} at its top" for module in imports_at_top(source) if head(module) in HEAVY
    ]


def dag_files_import_little(name: str, source: str) -> list[str]:
    allowed = {*sys.stdlib_module_names, "airflow", "contact_sync_airflow"}
    found = imports_at_top(source)
    return [f"{name} imports {module} at its top" for module in found if head(module) not in allowed]


def airflow_by_its_sdk(name: str, source: str) -> list[str]:
    found = [module for module in imports(source) if head(module) == "airflow"]
    allowed = ("airflow.sdk", "airflow.providers.")
    return [f"{name} imports {module}, not airflow.sdk" for module in found if not module.startswith(allowed)]


def package_of_its_own(name: str, source: str) -> list[str]:
    """What a wheel may install: it finds nothing by its place on the disk, and imports no neighbour of its folder."""
    package = "plugins/contact_sync_airflow/"
    if not name.startswith(package):
        return []
    allowed = {*sys.stdlib_module_names, "airflow", "croniter", "sync_lib", "contact_sync_airflow"}
    complaints = [f"{name} imports {module}" for module in imports(source) if head(module) not in allowed]
    places = [
        node
        for node in nodes_of(source)
        if isinstance(node, ast.Name) and node.id in ("__file__", "__path__")
    ]
    return [*complaints, *(f"{name}:{node.lineno} looks for {node.id}" for node in places)]


def no_way_up(name: str, source: str) -> list[str]:
    """The modules that know Airflow are in a row: settings know nothing of tasks."""
    if not name.startswith("plugins/contact_sync_airflow/"):
        return []
    module = Path(name).stem
    below = KNOW_AIRFLOW[: KNOW_AIRFLOW.index(module)] if module in KNOW_AIRFLOW else ()
    found = (full.split(".")[1] for full in imports(source) if head(full) == "contact_sync_airflow")
    return [f"{name} imports {imported}" for imported in found if imported not in below]


def thin_tasks(name: str, source: str) -> list[str]:
    complaints = []
    for node in nodes_of(source):
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
    for node in nodes_of(source):
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
    for node in nodes_of(source):
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
    nodes = nodes_of(source)
    return [
        f"{name}:{node.lineno}" for node in nodes if isinstance(node, ast.ExceptHandler) and node.type is None
    ]


def no_validating_asserts(name: str, source: str) -> list[str]:
    """Asserts vanish under ``python -O``; the one use left is to narrow a type that is certain."""
    return [
        f"{name}:{node.lineno} asserts something other than a type"
        for node in nodes_of(source)
        if isinstance(node, ast.Assert) and not re.search(r"isinstance\(|is not None", ast.unparse(node.test))
    ]


def our_words(name: str, source: str) -> list[str]:
    complaints = []
    for node in nodes_of(source):
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
    (arrows, ("sync_lib",), "sync_lib/clients/a.py", "from sync_lib.store import tables"),
    (arrows, ("sync_lib",), "sync_lib/fields/a.py", "def f():\n    import sync_lib.clients.session"),
    (
        arrows,
        ("sync_lib",),
        "sync_lib/extract/a.py",
        "if TYPE_CHECKING:\n    from sync_lib.diff.context import DiffContext",
    ),
    (arrows, ("sync_lib",), "sync_lib/operate/a.py", "from sync_lib.clients.outlook import OutlookClient"),
    (arrows, ("sync_lib",), "sync_lib/store/a.py", "from sync_lib import diff"),
    (arrows, ("plugins", "dags", "scripts"), "dags/a.py", "from sync_lib.run import plan"),
    (arrows, ("plugins", "dags", "scripts"), "plugins/a.py", "from sync_lib.store import changes"),
    (arrows, ("plugins", "dags", "scripts"), "plugins/b/a.py", "from sync_lib.run import finish"),
    (
        small_modules,
        ("sync_lib", "plugins", "dags", "scripts", "sandbox", "tests"),
        "sync_lib/a.py",
        "x = 1\n" * (MODULE_LINES + 1),
    ),
    (small_modules, ("tests",), "tests/a.py", "x = 1\n" * (TEST_MODULE_LINES + 1)),
    (
        small_classes,
        ("sync_lib", "plugins", "dags", "scripts", "sandbox", "tests"),
        "sandbox/a.py",
        "class A:" + "\n    x = 1" * CLASS_LINES,
    ),
    (small_classes, ("tests",), "tests/a.py", "class A:" + "\n    x = 1" * TEST_CLASS_LINES),
    (clients_have_types, ("sync_lib", "plugins"), "sync_lib/run/a.py", "def f(client: Any) -> None: ..."),
    (nothing_by_its_name, ("sync_lib",), "sync_lib/diff/a.py", "getattr(self, f'_{event}')()"),
    (packages_in_their_place, ("sync_lib",), "sync_lib/pipeline.py", "import requests"),
    (packages_in_their_place, ("sync_lib",), "sync_lib/store/a.py", "from msal import ClientApplication"),
    (sqlalchemy_as_a_type_only, ("sync_lib",), "sync_lib/pipeline.py", "from sqlalchemy import select"),
    (sqlalchemy_as_a_type_only, ("sync_lib",), "sync_lib/load/a.py", "from sqlalchemy import insert"),
    (pure, ("sync_lib",), "sync_lib/diff/a.py", "import random"),
    (pure, ("sync_lib",), "sync_lib/diff/match.py", "from pathlib import Path"),
    (pure, ("sync_lib",), "sync_lib/run/report.py", "from datetime import datetime\nx = datetime.now()"),
    (pure, ("sync_lib",), "sync_lib/fields/a.py", "open('x')"),
    (no_airflow, ("sync_lib", "sandbox", "scripts"), "sync_lib/a.py", "from airflow.sdk import dag"),
    (sandbox_is_alone, ("sandbox",), "sandbox/a.py", "from sync_lib.model import Side"),
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
    (
        package_of_its_own,
        ("plugins",),
        "plugins/contact_sync_airflow/a.py",
        "def f():\n    import contact_sync_plugin",
    ),
    (package_of_its_own, ("plugins",), "plugins/contact_sync_airflow/a.py", "ROOT = Path(__file__).parent"),
    (
        no_way_up,
        ("plugins",),
        "plugins/contact_sync_airflow/connections.py",
        "def f():\n    from contact_sync_airflow import context",
    ),
    (thin_tasks, ("dags", "plugins"), "dags/a.py", "@task\ndef f(x):\n    if x:\n        return 1"),
    (
        thin_tasks,
        ("dags", "plugins"),
        "dags/a.py",
        "@task(retries=0)\ndef f(x):" + "\n    x += 1" * (TASK_STATEMENTS + 1),
    ),
    (
        short_functions,
        ("sync_lib", "plugins", "dags", "scripts", "sandbox"),
        "sync_lib/a.py",
        "def f(x):" + "\n    x += 1" * (FUNCTION_LINES + 1),
    ),
    (frames_whole, ("sync_lib",), "sync_lib/diff/a.py", "for row in frame.iterrows(): pass"),
    (frames_whole, ("sync_lib",), "sync_lib/diff/a.py", "frame.apply(f, axis=1)"),
    (frames_whole, ("sync_lib",), "sync_lib/diff/a.py", "frame.drop(columns=['a'], inplace=True)"),
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


@cache
def complaints() -> dict[int, list[str]]:
    """What each rule finds in the files that it is about, by the rule's place: file by file, each read once."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    about = [set(sources(*folders)) for _, folders, _, _ in RULES]
    for file in sorted({name for names in about for name in names}):
        source = (ROOT / file).read_text()
        for number, (rule, *_) in enumerate(RULES):
            if file in about[number]:
                found[number] += rule(file, source)
    return found


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda i: f"{RULES[i][0].__name__}-{i}")
def test_house_rule(number: int) -> None:
    rule, _, name, violation = RULES[number]
    assert rule(name, violation), "the rule does not find what it forbids"
    assert not rule(name, "x = 1"), "the rule complains about nothing"
    assert not complaints()[number], "\n".join(complaints()[number])


def test_every_room_of_the_library_has_arrows() -> None:
    assert {part_of(name) for name in sources("sync_lib")} <= set(MAY_IMPORT)


def test_nothing_imports_itself_in_a_circle() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
    assert circles(modules_lead_to()) == []


def test_few_files_lie_at_the_top() -> None:
    assert len([name for name in sources("sync_lib") if name.count("/") == 1]) <= TOP_FILES


def test_type_checking_imports_are_no_imports() -> None:
    source = "if TYPE_CHECKING:\n    import pandas\nelse:\n    import os\ndef f():\n    import json"
    assert set(imports_at_top(source)) == {"os"}


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
