"""The documents, held against the code in both directions: what they name exists, and what exists is explained.

Each test reads the documents as a person does: tables by their heading, commands from their blocks. Nothing is
written here a second time that the documents say already.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, text

from sync_lib import cli
from sync_lib.diff.merge import _CAUSES
from sync_lib.errors import FilterSyntaxError
from sync_lib.fields.bc_columns import BC_COLUMNS, columns_of
from sync_lib.fields.filters import parse_filter
from sync_lib.fields.table import mapped_fields
from sync_lib.model import Outcome
from sync_lib.provider_info import get_provider_info
from sync_lib.settings import AUTHORITY, BUSINESS_CENTRAL_ROOT, GRAPH_ROOT, SyncSettings
from sync_lib.store.looking import Why
from sync_lib.store.profiles import file as profile_file
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.named_filters import parse_named_filters
from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks.names import BENCHMARKS
from tests.benchmarks.report import NOT_MEASURED, names_in

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CONNECT = ROOT / "docs" / "connect.md"
OPERATOR = ROOT / "docs" / "operator.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

# What programs make and git does not keep.
LEFT_BY_PROGRAMS = {".venv", ".venv-bench", ".demo", ".env", ".long"}
MADE_BY_PEOPLE = {"config/local.env"}


# -- reading the documents -------------------------------------------------------------------------------------------


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def spans(page: Path) -> set[str]:
    """What is in backticks outside of blocks."""
    return {span.replace(r"\|", "|") for span in re.findall(r"`([^`\n]+)`", prose(page))}


def section(page: Path, title: str) -> str:
    """The text below a heading, down to the next one of its level or a higher one."""
    found = re.search(
        rf"^(#+) {re.escape(title)}$\n(.*?)(?=^#{{1,6}} |\Z)", page.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"{page.name} has no section {title!r}"
    whole = page.read_text()[found.start(2) :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", whole, flags=re.MULTILINE)
    return whole[: end.start()] if end else whole


def rows(markdown: str) -> list[list[str]]:
    """All rows of all tables, without heads and rules."""
    lines = markdown.splitlines()
    found = [
        line
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("|") and not line.startswith("| ---") and not following.startswith("| ---")
    ]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])] for line in found]


def codes(cell: str) -> list[str]:
    return [span.replace(r"\|", "|") for span in re.findall(r"`([^`]+)`", cell)]


@cache
def sources(*folders: str) -> list[ast.Module]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [ast.parse(path.read_text()) for path in paths]


def constants(node: ast.AST) -> list[str]:
    """Text constants in a node, each once."""
    found = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return list(dict.fromkeys(found))


@cache
def all_constants(*folders: str) -> frozenset[str]:
    return frozenset(value for tree in sources(*folders) for value in constants(tree))


# -- links, paths, pictures, language --------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        leads_to = (page.parent / path).resolve() if path else page
        assert leads_to.exists(), target
        if anchor:
            assert anchor in anchors(leads_to), target


def test_the_pictures_are_there() -> None:
    pictures = [ROOT / target for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text())]
    assert pictures
    assert [picture for picture in pictures if not picture.is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    top = {path.name for path in ROOT.iterdir()} - LEFT_BY_PROGRAMS
    looks_like_a_path = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
    named = [span for span in spans(page) if looks_like_a_path.fullmatch(span)]
    for span in named:
        if span.split("/")[0] in top or re.search(r"\.(?:py|md|yaml|env|lock|toml|txt)$", span):
            known = (ROOT / span).exists() or span.split("/")[0] in LEFT_BY_PROGRAMS
            assert known or span in MADE_BY_PEOPLE, span


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_language_is_plain(page: Path) -> None:
    written = page.read_text()
    assert not re.findall("[–—]", written), "use a comma, a colon or a new sentence"
    assert not re.findall(
        r"\b(?:simply|seamless\w*|powerful|leverage|robust|blazing\w*)\b", written, re.IGNORECASE
    )


def test_the_readme_stays_readable() -> None:
    assert len(README.read_text().splitlines()) < 200


def test_the_pages_for_colleagues_say_the_same_in_both_languages() -> None:
    english, dutch = ((ROOT / "docs" / name).read_text() for name in ("salesperson.md", "verkoper.md"))
    assert len(rows(english)) == len(rows(dutch)) > 15
    assert english.count("\n## ") == dutch.count("\n## ")


# -- settings and variables ------------------------------------------------------------------------------------------

_SETTING = re.compile(r"(?<![A-Z_])(?:CONTACT_SYNC|AIRFLOW_CONN)_[A-Z_]*[A-Z]")


def settings_of_the_library() -> dict[str, str]:
    switches = {True: "on", False: "off"}
    return {
        f"CONTACT_SYNC_{each.name.upper()}": switches[each.default]
        if isinstance(each.default, bool)
        else f"{each.default:g}"
        for each in fields(SyncSettings)
    }


def settings_of_the_hooks() -> dict[str, str]:
    """Variables that the plugin reads, with their defaults, from its source: importing it would start Airflow."""
    tree = ast.parse((ROOT / "plugins" / "contact_sync_airflow" / "environment.py").read_text())
    names = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(node.value, ast.Constant) and str(node.value.value).startswith("CONTACT_SYNC_")
    }
    found = dict.fromkeys(set(names.values()) - set(settings_of_the_library()), "none")
    for node in ast.walk(tree):
        if isinstance(node, ast.BoolOp):
            get = node.values[0]
            read = [(get.args[0] if isinstance(get, ast.Call) and get.args else None, node.values[-1])]
        elif isinstance(node, ast.Dict):
            read = list(zip(node.keys, node.values, strict=True))
        else:
            continue
        for name, default in read:
            if (
                isinstance(name, ast.Name)
                and names.get(name.id) in found
                and isinstance(default, ast.Constant)
            ):
                value = default.value
                found[names[name.id]] = f"{value:g}" if isinstance(value, float) else str(value)
    assert sum(default != "none" for default in found.values()) >= 5
    return found


def test_every_setting_is_explained_with_its_default() -> None:
    listed = {row[0].strip("`"): row[1].strip("`") for row in rows(section(OPERATOR, "Settings"))}
    of_the_command = {cli.URL_VARIABLE: "none"}
    assert listed == settings_of_the_library() | settings_of_the_hooks() | of_the_command


def test_the_readme_gives_the_limits_of_the_guard() -> None:
    said, s = " ".join(section(README, "The rules on one page").split()), SyncSettings()
    for limit in (
        f"more than {s.guard_deletes} contacts or {s.guard_deletes_percent:g} %",
        f"at least {s.guard_few_deletes} and over {s.guard_few_deletes_percent:g} %",
        f"more than {s.guard_overwrites} values or {s.guard_overwrites_percent:g} %",
        f"more than {s.guard_creates} contacts or {s.guard_creates_percent:g} %",
        f"while {s.guard_emptied_from} or more were coupled",
        f"more than {s.guard_company_writes:,} contacts in BC",
    ):
        assert limit in said, limit


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_are_known_to_the_code(page: Path) -> None:
    connections = {name for name in all_constants("sync_lib", "plugins") if name.startswith("AIRFLOW_CONN_")}
    connections |= {f"AIRFLOW_CONN_{name.upper()}" for name in connection_ids()}
    # Those by which messages go have any name; the example of the setting gives them theirs.
    [named] = re.findall(r"`CONTACT_SYNC_NOTIFY=([\w, ]+)`", OPERATOR.read_text())
    connections |= {f"AIRFLOW_CONN_{name.strip().upper()}" for name in named.split(",")}
    known = connections | set(settings_of_the_library()) | set(settings_of_the_hooks()) | {cli.URL_VARIABLE}
    assert set(_SETTING.findall(page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_of_airflow_are_those_that_we_set(page: Path) -> None:
    ours = "".join((ROOT / name).read_text() for name in ("docker-compose.yaml", "config/airflow.env"))
    for name in set(re.findall(r"AIRFLOW__[A-Z_]+", page.read_text())):
        assert name in ours, name


def test_variables_of_docker_compose_are_those_of_the_example() -> None:
    offered = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    for page in (CONNECT, OPERATOR):
        shouted = {span for span in spans(page) if re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", span)}
        assert {name for name in shouted if not _SETTING.fullmatch(name)} <= offered


# -- reasons, causes, outcomes ---------------------------------------------------------------------------------------

_WORD = re.compile(r"[a-z]+(?:_[a-z]+)*")
#: Function or method -> where in its arguments the reason is.
_REASON_ARGUMENT = {
    "ProfileError": 0, "Refusal": 1, "Reject": 3, "Skip": 2, "_skip": 1, "_refuse": 1, "_release": 1, "_close": 3,
    "give_up_planned": 2,
}  # fmt: skip
#: Functions that return a reason.
_REASON_RETURNED = re.compile(r"problem|reason")


def reasons_in(tree: ast.Module) -> set[str]:
    """Reason codes of a module, by the places in which a reason is."""
    found: set[str] = set()
    for node in ast.walk(tree):
        for place in _reason_places(node):
            found |= {value for value in _texts(place) if _WORD.fullmatch(value)}
    return found


def _reason_places(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
        where = _REASON_ARGUMENT.get(name)
        if where is not None and len(node.args) > where:
            yield node.args[where]
        if name in ("write_profile_state", "write_company_state", "_end", "_end_company", "Result"):
            yield from (word.value for word in node.keywords if word.arg == "reason")
        if name == "append" and getattr(getattr(node.func, "value", None), "attr", "") == "reasons":
            yield from node.args
    elif isinstance(node, ast.Tuple):
        # An outcome, and its reason beside it.
        for first, second in zip(node.elts, node.elts[1:], strict=False):
            if isinstance(first, ast.Attribute) and getattr(first.value, "id", "") == "Outcome":
                yield second
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)
    elif isinstance(node, ast.FunctionDef) and _REASON_RETURNED.search(node.name):
        yield from (each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[ast.AST]:
    if isinstance(target, ast.Tuple):
        options = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
        for option in options:
            if isinstance(option, ast.Tuple) and len(option.elts) == len(target.elts):
                for each, part in zip(target.elts, option.elts, strict=True):
                    yield from _assigned(each, part)
    named = getattr(target, "id", "") or getattr(target, "attr", "")
    subscripted = isinstance(target, ast.Subscript) and getattr(target.value, "id", "") in (
        "reasons",
        "refused",
    )
    if named == "reason" or subscripted:
        yield value


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts that an expression can become; what it compares with or looks up is none of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield from _composed(node)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.BoolOp | ast.Tuple):
        for each in node.values if isinstance(node, ast.BoolOp) else node.elts:
            yield from _texts(each)


def _composed(node: ast.JoinedStr) -> Iterator[str]:
    """``f"{cause}_kept"``: the causes are what the same module passes to ``_delete_unless``."""
    suffix = "".join(constants(node))
    for each in (node for tree in sources("sync_lib/diff") for node in ast.walk(tree)):
        if isinstance(each, ast.Call) and getattr(each.func, "attr", "") == "_delete_unless":
            yield from (f"{cause}{suffix}" for cause in constants(each.args[-1]))


def reasons_of_the_code() -> set[str]:
    return {reason for tree in sources("sync_lib") for reason in reasons_in(tree)}


def reasons_of_the_handbook() -> set[str]:
    listed = rows(section(OPERATOR, "Reasons").split("### Causes")[0])
    return {code for row in listed for code in codes(row[0]) if _WORD.fullmatch(code)}


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        ('raise ProfileError("no_mailbox", "text")', "no_mailbox"),
        ('self._skip(item, "foreign_key")', "foreign_key"),
        ('results = [(change, Outcome.FAILED, "throttled", "")]', "throttled"),
        ('outcome, reason = Outcome.REJECTED, error.code or "refused_by_x"', "refused_by_x"),
        ('reason = "" if ok else "created_elsewhere"', "created_elsewhere"),
        ('change.outcome, change.reason = Outcome.UNKNOWN, "not_yet"', "not_yet"),
        ('reasons["deletes"] = "too_many"', "too_many"),
        ('state, reason = ("held", "count_dropped") if held else ("done", "")', "count_dropped"),
        ('def name_problem():\n    return None if ok else "name_missing"', "name_missing"),
        ('Result(state="skipped", reason="busy")', "busy"),
        ('self._release(pair, f"{cause}_kept")', "left_scope_kept"),
    ],
)
def test_reasons_are_found_wherever_they_are(planted: str, reason: str) -> None:
    assert reason in reasons_in(ast.parse(planted))


def test_every_reason_of_the_code_is_explained() -> None:
    code = reasons_of_the_code()
    assert len(code) > 40
    assert sorted(code - reasons_of_the_handbook()) == []


def test_every_reason_that_is_explained_exists() -> None:
    texts = all_constants("sync_lib") | reasons_of_the_code()
    assert sorted(reasons_of_the_handbook() - texts) == []


def test_causes_are_those_of_the_diff() -> None:
    listed = {code for row in rows(section(OPERATOR, "Causes")) for code in codes(row[0])}
    where = {"_create_again": 2, "delete": 3, "_delete_unless": 2, "PlannedChange": 1}
    planned = {
        value
        for tree in sources("sync_lib/diff")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for position in [where.get(getattr(node.func, "attr", "") or getattr(node.func, "id", ""))]
        if position is not None and len(node.args) > position
        for value in _texts(node.args[position])
    }
    planned |= {
        value
        for tree in sources("sync_lib/diff")
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "cause"
        for value in _texts(node.value)
    }
    planned |= {cause for _, cause in _CAUSES}
    assert len(planned) > 15
    assert planned <= listed
    assert listed <= all_constants("sync_lib")


def test_outcomes_are_all_explained() -> None:
    listed = [code for row in rows(section(OPERATOR, "Outcomes")) for code in codes(row[0])]
    assert sorted(listed) == sorted(map(str, Outcome))


# -- tasks and phases ------------------------------------------------------------------------------------------------


def tasks_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    decorated = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.decorator_list]
    return {
        node.name
        for node in decorated
        if "task" in {n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}
    }


def test_tasks_and_phases_are_those_of_the_code() -> None:
    said = section(OPERATOR, "What a run does")
    table = [code for row in rows(said) for code in codes(row[0])]
    phases = {
        node.args[0].value
        for tree in sources("sync_lib")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "phase"
        if isinstance(node.args[0], ast.Constant)
    }
    why = set(map(str, Why))
    assert why <= set(table)
    assert {name for name in table if _WORD.fullmatch(name)} - why == {
        *tasks_in("dags/contact_sync.py"),
        *tasks_in("plugins/contact_sync_airflow/tasks.py"),
    }
    assert {name for name in table if not _WORD.fullmatch(name)} <= phases
    assert sorted(name for name in phases if f"`{name}`" not in said) == []


def test_dags_are_those_of_the_project() -> None:
    dags = {path.stem for path in (ROOT / "dags").glob("*.py")}
    for page in PAGES:
        named = {
            span
            for span in spans(page)
            if re.fullmatch(r"contact_sync(?:_(?:check|approval|housekeeping))?", span)
        }
        assert named <= dags, page.name
    assert "contact_sync_check" in spans(CONNECT)


# -- Connections -----------------------------------------------------------------------------------------------------


def connection_ids() -> set[str]:
    tree = ast.parse((ROOT / "plugins" / "contact_sync_airflow" / "connections.py").read_text())
    wanted = {"BUSINESS_CENTRAL", "MICROSOFT_GRAPH", "STAGING"}
    return {
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in wanted
        if isinstance(node.value, ast.Constant)
    }


def test_connections_are_explained_with_all_their_fields() -> None:
    ids, said = connection_ids(), section(OPERATOR, "Connections")
    assert len(ids) == 3
    for name in ids:
        assert f"`{name}`" in said
        assert f"`{name}`" in CONNECT.read_text()
    for kind in get_provider_info()["connection-types"]:
        assert f"`{kind['connection-type']}`" in said
        for field in kind["conn-fields"]:
            assert f"`{field}`" in said, field
    for address in (AUTHORITY, BUSINESS_CENTRAL_ROOT, GRAPH_ROOT):
        assert f"`{address}`" in said


def test_connections_that_are_shown_can_be_read() -> None:
    [block] = [block for block in blocks(CONNECT, "bash") if "AIRFLOW_CONN_" in block]
    given = dict(
        word.split("=", 1) for word in shlex.split(block) if "=" in word and word.startswith("AIRFLOW")
    )
    assert set(given) == {f"AIRFLOW_CONN_{name.upper()}" for name in connection_ids()}
    types = {kind["connection-type"]: kind for kind in get_provider_info()["connection-types"]}
    for value in given.values():
        if value.startswith("{"):
            connection = json.loads(value)
            assert set(connection["extra"]) <= set(types[connection["conn_type"]]["conn-fields"])
    assert cli.staging_url(given).startswith("postgresql://contact_sync:")


# -- profiles, filters, fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [README, CONNECT, OPERATOR], ids=lambda page: page.name)
def test_profiles_in_the_documents_can_be_imported(page: Path) -> None:
    block, *_ = blocks(page, "yaml")
    assert profile_file.parse(block, field_profile="standard").profiles


def test_the_handbook_shows_every_key_of_a_profile_with_its_default() -> None:
    block, *_ = blocks(OPERATOR, "yaml")
    content = profile_file.parse(block, field_profile="standard")
    [entry] = content.profiles
    assert entry == profile_file.ProfileEntry(entry.mailbox, entry.company_name)
    assert content.regions
    [shown] = yaml.safe_load(block)["profiles"]
    assert set(shown) == {*profile_file.NAMES, "policies"}
    assert set(shown["policies"]) == set(profile_file.POLICY_NAMES)
    for options in profile_values.POLICIES.values():
        assert all(option in block for option in options)


def test_the_groups_that_the_handbook_shows_are_understood() -> None:
    *_, filter_ = blocks(OPERATOR, "yaml")
    text = "profiles:\n  - mailbox: anna@example.com\n    company: Cronus\n" + filter_
    [entry] = profile_file.parse(text, field_profile="standard").profiles
    utrecht, haarlem = (("City", "Utrecht"),), (("City", "Haarlem"), ("Company Name", "<>''"))
    assert entry.filter == (utrecht, haarlem)


def test_the_filters_that_colleagues_choose_from_are_understood() -> None:
    _, file, _ = blocks(OPERATOR, "yaml")
    filters = parse_named_filters(file, field_profile="extended")
    assert [len(groups) for groups in filters.values()] == [1, 2, 0]


def test_fields_of_filters_are_those_of_the_standard_field_profile() -> None:
    table = [row for row in rows(section(OPERATOR, "Filters")) if len(row) == 3]
    known = [[c.caption, c.captions[0] if c.captions else "", c.kind] for c in columns_of("standard")]
    assert table == known
    further = {c.caption for c in BC_COLUMNS if c.extended and not c.name.endswith(("name", "initials"))}
    for caption in further & {"Salesperson Code", "Territory Code", "E-Mail 2"}:
        with pytest.raises(FilterSyntaxError):
            parse_filter([[(caption, "X")]], field_profile="standard")


@pytest.mark.parametrize("page", [README, OPERATOR], ids=lambda page: page.name)
def test_filter_expressions_are_understood(page: Path) -> None:
    title = "Filters" if page is OPERATOR else "The rules on one page"
    expressions = [
        (code, row[1]) for row in rows(section(page, title)) if len(row) == 2 for code in codes(row[0])
    ]
    assert len(expressions) > 8
    for expression, meaning in expressions:
        field = (
            "Contact Business Relation" if "options" in meaning
            else "Privacy Blocked" if "Privacy" in meaning
            else "Date of Last Interaction" if "dates" in meaning
            else "Name"
        )  # fmt: skip
        assert parse_filter([[(field, expression)]], field_profile="standard").groups, expression


def test_fields_are_those_of_the_mapping() -> None:
    table = rows(section(OPERATOR, "Fields"))
    captions = {column.name: column.caption for column in BC_COLUMNS}
    known = [
        (", ".join(captions[name] for name in row.bc_columns), ", ".join(map(str, row.lengths)))
        for row in mapped_fields("standard")
    ]
    assert [(row[0], row[2]) for row in table] == known


# -- commands --------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of every bash block, without comments, redirections and what is joined to it."""
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in re.sub(r"\\\n", " ", block).splitlines():
                for part in re.split(r" && ", line):
                    words = shlex.split(part, comments=True) if part.count("'") % 2 == 0 else []
                    if words:
                        redirected = next(
                            (n for n, word in enumerate(words) if word in ("<", ">")), len(words)
                        )
                        yield page.name, words[:redirected]


def of(program: str) -> list[list[str]]:
    found = [words for _, words in commands() if words[0].removeprefix(".venv/bin/") == program]
    assert found, f"no document shows {program}"
    return found


def test_commands_are_known() -> None:
    ours = {"contact-sync", "python", "ruff", "mypy"}
    public = {"airflow", "docker", "cp", "export", "pg_dump", "sqlite3"}
    for page, words in commands():
        program = words[0].removeprefix(".venv/bin/")
        if program.startswith("scripts/"):
            assert (ROOT / program).is_file(), f"{page}: {program}"
        elif '"' not in program:
            assert program in ours | public, f"{page}: {words}"


def test_contact_sync_is_called_as_it_can_be() -> None:
    calls = of("contact-sync")
    calls += [words[words.index("contact-sync") :] for words in of("docker") if "contact-sync" in words]
    for words in calls:
        cli._parser().parse_args(words[1:])
    shown = {tuple(word for word in words[1:3]) for words in calls}
    assert shown == {
        *(
            ("profiles", verb)
            for verb in (
                *("import", "export", "list", "correct", "remove", "same-colleague", "second-folder"),
                *("end", "switch"),
            )
        ),
        ("profiles", "propose"),
        *(("groups", verb) for verb in ("list", "reconcile", "remove")),
        *(("companies", verb) for verb in ("list", "accept-move")),
        *(("holds", verb) for verb in ("list", "ask-again", "approve")),
        *(("contacts", verb) for verb in ("erase", "leave-out", "take-back", "sync-now")),
        ("db", "migrate"),
    }


def test_options_of_the_demo_are_all_explained() -> None:
    taken = set(re.findall(r"^# (--[a-z-]+)", (ROOT / "scripts/demo").read_text(), flags=re.MULTILINE))
    listed = {
        code.split()[0] for row in rows(README.read_text()) for code in codes(row[0]) if code.startswith("--")
    }
    assert listed == taken


def test_the_sandbox_is_started_as_it_can_be() -> None:
    from sandbox.__main__ import parse_arguments

    [call] = {span for page in PAGES for span in spans(page) if span.startswith("python -m sandbox ")}
    assert parse_arguments(call.split()[3:]).port == 9080


def test_services_of_docker_compose_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    for words in of("docker"):
        assert words[1] == "compose"
        if "exec" in words:
            named = next(word for word in words[words.index("exec") + 1 :] if word != "-T")
            assert named in services, words
        if "--profile" in words:
            assert words[words.index("--profile") + 1] in services["sandbox"]["profiles"]
    said = section(OPERATOR, "Docker Compose")
    assert sorted(name for name in services if f"`{name}`" not in said and name != "sandbox") == []


@pytest.mark.airflow
def test_airflow_is_called_as_it_can_be() -> None:
    from airflow.cli.cli_parser import get_parser

    tree = ast.parse((ROOT / "dags" / "contact_sync.py").read_text())
    [params] = [
        n.value
        for n in tree.body
        if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "PARAMS"
    ]
    assert isinstance(params, ast.Dict)
    known = {key.value for key in params.keys if isinstance(key, ast.Constant)}
    for words in of("airflow"):
        asked: Any = get_parser().parse_args(words[1:])
        if words[1] == "roles":
            assert words[2] == "create" or asked.resource in (["contact_sync_self"], ["contact_sync_erase"])
            continue
        assert asked.dag_id == "contact_sync"
        if getattr(asked, "conf", None):
            assert set(json.loads(asked.conf)) == known


# -- figures -------------------------------------------------------------------------------------------------------


def test_benchmarks_of_the_page_are_those_of_the_tool() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    assert names_in(page) == list(BENCHMARKS)
    # A section has figures, or says that it has none.
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        assert (NOT_MEASURED in section) != ("\nMeasured " in section and "| --- |" in section), section[:60]


def test_benchmarks_are_called_as_they_can_be() -> None:
    for words in of("scripts/bench"):
        benchmarks.arguments().parse_args(words[1:])


# -- SQL -------------------------------------------------------------------------------------------------------------


def statements() -> list[str]:
    return [block for page in PAGES for block in blocks(page, "sql")]


@pytest.mark.parametrize("statement", statements(), ids=lambda statement: " ".join(statement.split()[:4]))
def test_sql_of_the_documents_runs(engine: Engine, statement: str) -> None:
    with engine.connect() as conn, conn.begin() as transaction:
        conn.execute(text(statement))
        transaction.rollback()
