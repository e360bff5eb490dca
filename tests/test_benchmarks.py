"""The benchmarks run where only the product is installed: they measure what people have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.benchmarks.names import BENCHMARKS

ROOT = Path(__file__).resolve().parent.parent
#: Where a module of this repository may be.
FOLDERS = (ROOT, ROOT / "scripts", ROOT / "plugins")


def source_of(module: str) -> Path | None:
    """Return the file of a module of this repository."""
    for folder in FOLDERS:
        path = folder.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def imported(file: Path) -> Iterator[str]:
    """Yield what a file imports as soon as it is imported itself: not in functions, and not for types alone."""
    parts = list(ast.parse(file.read_text()).body)
    while parts:
        part = parts.pop()
        if isinstance(part, ast.Import):
            yield from (name.name for name in part.names)
        elif isinstance(part, ast.ImportFrom):
            module = part.module or ""
            if part.level:
                module = ".".join([*package_of(file), *module.split(".")]).rstrip(".")
            yield module
            yield from (f"{module}.{name.name}" for name in part.names)
        elif isinstance(part, ast.If) and "TYPE_CHECKING" in ast.dump(part.test):
            parts += part.orelse
        elif not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            parts += [child for child in ast.iter_child_nodes(part) if isinstance(child, ast.stmt)]


def package_of(file: Path) -> tuple[str, ...]:
    folder = next(each for each in FOLDERS[::-1] if file.is_relative_to(each))
    return file.parent.relative_to(folder).parts


def closure(*start: str) -> dict[str, list[str]]:
    """Return all that comes with modules: each package from elsewhere, with the files that import it."""
    found: dict[str, list[str]] = {}
    seen, todo = set(), [*start]
    while todo:
        module = todo.pop()
        parents = [module.rpartition(".")[0]] if "." in module else []
        if module in seen:
            continue
        seen.add(module)
        todo += parents
        file = source_of(module)
        for name in imported(file) if file else ():
            todo.append(name)
            if source_of(name.partition(".")[0]) is None and not (ROOT / name.partition(".")[0]).is_dir():
                found.setdefault(name.partition(".")[0], []).append(str(file))
    return found


def locked(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==", (ROOT / lock).read_text(), re.MULTILINE))


def for_tests_alone(packages: dict[str, list[str]]) -> set[str]:
    extra = locked("requirements-test.lock") - locked("requirements.lock")
    assert {"pytest", "playwright", "hypothesis"} <= extra
    known = packages_distributions()
    names = {name: {each.lower().replace("_", "-") for each in known.get(name, [])} for name in packages}
    return {name for name, found in names.items() if found and found <= extra}


def test_the_benchmarks_need_no_package_of_the_tests() -> None:
    modules = {f"tests.benchmarks.{each.where.split(':')[0]}" for each in BENCHMARKS.values()}
    packages = closure("tests.benchmarks.__main__", *modules)
    assert {"pandas", "sqlalchemy", "fastapi", "requests"} <= packages.keys()
    assert {name: packages[name] for name in for_tests_alone(packages)} == {}


@pytest.mark.parametrize(
    ("module", "package"), [("tests.conftest", "pytest"), ("tests.browsers", "playwright")]
)
def test_what_needs_a_package_of_the_tests_is_found(module: str, package: str) -> None:
    assert package in for_tests_alone(closure(module))
