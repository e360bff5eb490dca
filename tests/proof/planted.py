"""Would anybody notice? 74 one-line bugs, planted one at a time in a copy of the engine, and the tests that catch them.

    python -m tests.proof.planted [NAME...]

The first 25 bugs are those that two-way syncs are known for; the next 25 go against a rule that a fault, a clock or a
person's answer has to meet before they show; then come profiles that end, contacts that are left out and groups of a
filter, conditions by which a profile has work, and what a comparison looks at that leaves out the pairs in agreement.
Each is a text that occurs once in a file of the engine, and what it becomes; a text that is no longer there is an
error, so that this list can't outlive the code. The quick part of the test suite (``QUICK``, on SQLite) runs against
the copy until its first failure, where a bug is likely to show first. ``control`` plants nothing: it must pass, or the
other results mean nothing.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("tests/diff", "tests/fields", "tests/clients", "tests/sync")
#: They take minutes: a bug that only they notice lacks a test that says what is wrong.
_SLOW = ("test_machine.py", "test_crashes.py", "test_small_world.py", "test_planted.py", "test_long.py")
_COPIED = ("sync_lib", "sandbox", "tests", "scripts", "plugins", "pyproject.toml")
CONTROL = "control"


@dataclass(frozen=True)
class Bug:
    """One line of the engine, and what it becomes; ``first`` names the tests to look at first.

    The line is found by its function, or the name that gets its value, and the text in it, whatever file that is in.
    """

    name: str
    function: str
    text: str
    planted: str
    first: str

    def place(self, root: Path = ROOT) -> str:
        """Return file and function of the text; unlike a line, they outlive a change of what is above.

        Raises:
            LookupError: It does not occur there exactly once.
        """
        path, source = self._find(root)
        line = source[: source.index(self.text)].count("\n") + 1
        return f"{path.relative_to(root)}::{_function(source, line)}"

    def plant(self, root: Path) -> None:
        """Put the bug in a copy."""
        path, source = self._find(root)
        path.write_text(source.replace(self.text, self.planted))

    def _find(self, root: Path) -> tuple[Path, str]:
        found = [
            (path, source)
            for path in sorted(root.glob("sync_lib/**/*.py"))
            if self.text in (source := path.read_text())
            for at in re.finditer(re.escape(self.text), source)
            if _function(source, source[: at.start()].count("\n") + 1).split(".")[-1] == self.function
        ]
        if len(found) != 1 or found[0][1].count(self.text) != 1:
            raise LookupError(f"{self.name}: {len(found)} functions {self.function} hold the text")
        return found[0]


def _function(source: str, line: int) -> str:
    """Return the function that a line is in, with its class; outside of any, what the line gives a value to."""
    around: ast.AST = ast.parse(source)
    names: list[str] = []
    while found := [n for n in ast.iter_child_nodes(around) if _holds(n, line)]:
        [around] = found
        if isinstance(around, ast.ClassDef | ast.FunctionDef):
            names.append(around.name)
        elif isinstance(around, ast.Assign | ast.AnnAssign) and not names:
            target = around.target if isinstance(around, ast.AnnAssign) else around.targets[0]
            names.append(ast.unparse(target))
    return ".".join(names)


def _holds(node: ast.AST, line: int) -> bool:
    return isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)


_READING, _LOADING, _EDITS = (
    "tests/sync/test_reading.py",
    "tests/sync/test_loading.py",
    "tests/sync/test_edits.py",
)
_IDENTITY, _FOLDERS, _SAFETY = (f"tests/sync/test_{name}.py" for name in ("identity", "folders", "safety"))
_POLICIES, _FORMS, _MAPPING = (
    "tests/sync/test_policies.py",
    "tests/fields/test_normal_forms.py",
    "tests/fields/test_mapping.py",
)
_BATCH, _OUTLOOK, _RUNS = (
    "tests/clients/test_batch.py",
    "tests/clients/test_outlook.py",
    "tests/sync/test_runs.py",
)
_APPROVAL, _HELD, _LEAVING = (f"tests/sync/test_{name}.py" for name in ("approval", "held", "leaving"))
_LESS_KIND, _PRIVATE = (f"tests/sync/test_{name}.py" for name in ("less_kind_bc", "private"))
_REFUSALS, _SETTLING, _TIME = (f"tests/sync/test_{name}.py" for name in ("refusals", "settling", "time"))
_ENDING, _WISHES, _GROUPS = (f"tests/sync/test_{name}.py" for name in ("ending", "wishes", "filter_groups"))
_WORK, _WORK_RULES = (f"tests/sync/test_find_work{name}.py" for name in ("", "_rules"))
_SETTLED = "tests/sync/test_settled.py"
_ELSEWHERE, _WRITES_OFF = (f"tests/sync/test_{name}.py" for name in ("privacy_elsewhere", "writes_off"))

BUGS = (
    Bug(
        "mark taken after the read",
        "_fetch_all",
        "return FolderRead(True, list((listed | present).values()), gone, page.delta_link)",
        "return FolderRead(True, list((listed | present).values()), gone,"
        " client.fetch_delta(folder.user, folder.folder, None).delta_link)",
        _READING,
    ),
    Bug(
        "mark from the local clock",
        "move_watermark",
        '{"position": read.newest if read.went_back else position}',
        '{"position": at}',
        _READING,
    ),
    Bug(
        "no overlap",
        "fetch_company",
        'plan.listing("changes"), before(cursor.position, plan.overlap)',
        'plan.listing("changes"), cursor.position',
        _READING,
    ),
    Bug(
        "match by e-mail every run",
        "_people",
        "lost = [p.bc for p in self.pairs.values() if p.bc and not p.item and",
        "lost = [p.bc for p in self.pairs.values() if p.bc and",
        _IDENTITY,
    ),
    Bug(
        "create without key",
        "_write_of",
        'return BatchWrite("POST", folder_id=target.folder, body=body, bc_key=key)',
        'return BatchWrite("POST", folder_id=target.folder, body=body)',
        _LOADING,
    ),
    Bug(
        "blind retry of a create after a time-out",
        "repeat",
        'return self.method in ("GET", "PATCH") or',
        'return self.method in ("GET", "PATCH", "POST") or',
        _BATCH,
    ),
    Bug(
        "410 read as empty",
        "fetch_folder",
        'logger.info("the delta link has expired: reading the folder in full")',
        'return FolderRead(True, [], dict.fromkeys(folder.known(None), "deleted"), "")',
        _READING,
    ),
    Bug(
        "empty page read as all deleted",
        "_with_gone",
        "answers = _fetch(client, company_id, sorted(missing), may_be_empty=not count)",
        "answers: dict[str, BcContact | None] = dict.fromkeys(missing)",
        _READING,
    ),
    Bug(
        "missing last page ignored",
        "iter_pages",
        'raise self._malformed(url, "a page has no value")',
        "return",
        "tests/clients/test_session.py",
    ),
    Bug(
        "folder missing, so made anew and all counted as deleted",
        "_bind",
        "outlook_items.mark_all_gone_outlook(conn, key, at=now, reason=FOLDER_DELETED)",
        'outlook_items.mark_all_gone_outlook(conn, key, at=now, reason="deleted")',
        _FOLDERS,
    ),
    Bug(
        "leaving the filter deletes in Business Central",
        "_write_of",
        'return BatchWrite("DELETE", contact_id=first.outlook_id or "", etag=etag)',
        'bc = target.business_central; first.cause == "left_scope" and bc._session.request("DELETE",'
        ' f"{bc._contacts(target.company_key.company_id)}({first.bc_id})", headers={"If-Match": "*"});'
        ' return BatchWrite("DELETE", contact_id=first.outlook_id or "", etag=etag)',
        _POLICIES,
    ),
    Bug(
        "blanks overwrite",
        "WITHOUT_BASELINE",
        '(False, True, False): "fill",',
        '(False, True, False): "to_outlook",',
        _EDITS,
    ),
    Bug(
        "e-mail compared with case",
        "email_key",
        "return address.lower()",
        "return address",
        _FORMS,
    ),
    Bug(
        # The diff knows no stamps to go wrong by: this lets win what was read last, Outlook's.
        "newest stamp wins",
        "WITH_BASELINE",
        '(True, True, False): "conflict",',
        '(True, True, False): "to_bc",',
        _EDITS,
    ),
    Bug(
        "own write returns as an edit",
        "coupled_by",
        "outlook_etag=contact.etag,\n        bc_fingerprint",
        "outlook_etag=coupling.outlook_etag,\n        bc_fingerprint",
        _POLICIES,
    ),
    Bug(
        "normalised phone written back",
        "_of_outlook",
        'return self.verdicts.undone.get(name, self.outlook_fields.get(name, ""))',
        'return self.normal(name, self.verdicts.undone.get(name, self.outlook_fields.get(name, "")))',
        _EDITS,
    ),
    Bug(
        "cut text seen as an edit",
        "_fitting",
        'self._refuse(field, "too_long")\n            return None\n        return text\n',
        "return text[: _LENGTHS[field][0]]\n        return text\n",
        _MAPPING,
    ),
    Bug(
        "unknown country becomes blank",
        "_country",
        'self._refuse("country", "unknown_country")\n            return None',
        'return ""',
        _MAPPING,
    ),
    Bug(
        "batch answers read by position",
        "_by_id",
        'return {str(one.get("id")).lower(): one for one in responses if isinstance(one, dict)}',
        "return {str(n): one for n, one in enumerate(responses, 1) if isinstance(one, dict)}",
        _BATCH,
    ),
    Bug(
        "no If-Match",
        "_to_part",
        'headers = {**PREFER, **({"If-Match": write.etag} if write.etag else {})}',
        "headers = dict(PREFER)",
        _OUTLOOK,
    ),
    Bug(
        "state saved before the write",
        "_save_inputs",
        "diffed_settings=profile_run.settings_digest(),\n        pending=True,",
        "diffed_settings=profile_run.settings_digest(),\n        pending=False,",
        _LOADING,
    ),
    Bug(
        "one bad row fails all",
        "_failure",
        'return Outcome.REJECTED, said(error, "refused_by_outlook")',
        "raise error",
        _LOADING,
    ),
    Bug(
        "token of profile A used for B",
        "_read_folder",
        'cursor = runs.read_cursor(conn, "outlook", profile_run.profile.id)',
        'cursor = runs.read_cursor(conn, "outlook", 1)',
        _RUNS,
    ),
    Bug(
        "guard counted after writing",
        "hold",
        "for change in changes if change.outcome is None]",
        "for change in changes if change.outcome is not None]",
        _SAFETY,
    ),
    Bug(
        "dry run moves the delta link",
        "move_folder_cursor",
        "if not staging.run.dry_run:\n        values",
        "if staging.run is not None:\n        values",
        _SAFETY,
    ),
    Bug(
        "unknown create settled by e-mail alone",
        "_create_in_bc",
        'found = [each for each in looked_up if normal("name", each.values["name"]) in names]',
        "found = looked_up",
        _SETTLING,
    ),
    Bug(
        "oldest item chosen by id",
        "_age",
        "return (self.views.items[item_id].created, item_id)",
        "return (item_id, self.views.items[item_id].created)",
        _IDENTITY,
    ),
    Bug(
        "unknown delete logged as done",
        "_outcome_of_delete",
        'if known and known["gone_since"] is None:',
        "if known is None:",
        _SETTLING,
    ),
    Bug(
        "read before a write that compares nothing",
        "_unchanged_since_read",
        "(now is not None and now.etag == sending.write.etag)",
        "now is not None",
        _LOADING,
    ),
    Bug(
        "unknown create given up after one look",
        "_give_up",
        'if max(row["sent_at"], row["ended_at"] or "") >= self.target.too_late(conn):',
        'if not row["sent_at"]:',
        _TIME,
    ),
    Bug(
        "worker's clock decides what is too late",
        "too_late",
        "return clock.now(conn, -self.longest_request)",
        "return before(self.now(), self.longest_request)",
        _TIME,
    ),
    Bug(
        "held create known by its values",
        "find",
        "in self.by_key.get((change.action, change.guard_class, key), ())",
        "in self.by_key.get((change.action, change.guard_class, key), ()) if each.digest == change.digest",
        _HELD,
    ),
    Bug(
        "full read that trusts stamps",
        "_news",
        "if known != (contact.last_modified, contact.etag, *bc_texts(contact)):",
        "if not known or known[:2] != (contact.last_modified, contact.etag):",
        _LESS_KIND,
    ),
    Bug(
        "plans of others reserve nothing",
        "count_company_writes",
        "or_(reserved, _written_since(since))",
        "_written_since(since)",
        _HELD,
    ),
    Bug(
        "approval of other values than shown",
        "approved",
        "same = known is not None and known.digest == self.change.digest",
        "same = known is not None",
        _APPROVAL,
    ),
    Bug(
        "answer about what was not shown",
        "decide",
        "shown = decision.shown or hold.shown or hold.hash",
        "shown = hold.hash",
        _APPROVAL,
    ),
    Bug(
        "privacy block skips switched-off profiles",
        "remove_blocked",
        "if profile.enabled or not profile.company",
        "if not profile.enabled or not profile.company",
        _ELSEWHERE,
    ),
    Bug(
        "values kept of what a block deletes",
        "delete",
        'before={} if cause == "privacy_blocked" else self.outlook_fields(item),',
        "before=self.outlook_fields(item),",
        _ELSEWHERE,
    ),
    Bug(
        "private flag read once only",
        "_outlook_side",
        'flag_read=row["private"] is not None and row["flag_etag"] == row["etag"],',
        'flag_read=row["private"] is not None,',
        _PRIVATE,
    ),
    Bug(
        "away forgotten when the scope is left",
        "EVENTS",
        '(BcStatus.OUT, "gone", "away"): Event.KEEP,',
        '(BcStatus.OUT, "gone", "away"): Event.END,',
        _LEAVING,
    ),
    Bug(
        "edit lost when its contact leaves",
        "_leave_edited",
        "if pair.coupling.bc_id in self.context.leaving or (is_person and self._merging(pair).carries()):",
        "if pair.coupling.bc_id in self.context.leaving:",
        _LEAVING,
    ),
    Bug(
        "copy taken for a returned item",
        "_returns",
        "return was_ours and made_by_us and",
        "return made_by_us and",
        _IDENTITY,
    ),
    Bug(
        "late create displaces the user's item",
        "_creates_in_outlook",
        "if items and self._has_other_item(conn, row, items[0]):",
        "if items and items[0].etag is None:",
        _TIME,
    ),
    Bug(
        "unreadable entry written over",
        "_sent_back",
        "return dict(entry)",
        'return {"name": "", "address": ""}',
        _MAPPING,
    ),
    Bug(
        "first look forgotten by a one-way run",
        "find_ended",
        "if each.action != Action.CREATE_BC]",
        "if each.action != Action.CREATE_BC or each.reason == HoldReason.FIRST_LOOK]",
        _HELD,
    ),
    Bug(
        "passing refusal remembered as a refused value",
        "_refused_fields",
        "return {name: reasons[name] for name in of_value}",
        "return reasons",
        _REFUSALS,
    ),
    Bug(
        "lease not checked before sending",
        "begin",
        "self.target.check_lease(conn)\n            self.begin_in",
        "self.begin_in",
        _LOADING,
    ),
    Bug(
        "claim dropped after an unknown outcome",
        "_record_create",
        'settle_claim(conn, company, key, run=self.target.run, state="unknown")',
        "drop_claim(conn, company, key)",
        _TIME,
    ),
    Bug(
        "switch for writes not asked at a write",
        "begin",
        "if not self.target.may_write():",
        "if not self.target.may_write:",
        _WRITES_OFF,
    ),
    Bug(
        "unknown update taken for written",
        "_taken",
        "present = self._bc_fields(conn, row) if to_bc else self._outlook_fields(conn, coupling, row[\"after\"])",
        'present = row["after"]',
        _SETTLING,
    ),
    Bug(
        "a profile's last edits not carried to BC",
        "run",
        "self._sync_last_edits(sync)\n",
        "self.result = Result()\n",
        _ENDING,
    ),
    Bug(
        "an end that removes edited items",
        "_goes",
        "return ending.removes and ours and not kept",
        "return ending.removes and ours",
        _ENDING,
    ),
    Bug(
        "left out and made after all",
        "read_view",
        "people = people[~left].reset_index(drop=True)",
        "people = people.reset_index(drop=True)",
        _WISHES,
    ),
    Bug(
        "taken back and never synced",
        "_LEFT_OUT",
        'bindparam("profile"), _L.back_at.is_(None))',
        'bindparam("profile"))',
        _WISHES,
    ),
    Bug(
        "groups of a filter must all hold",
        "mask",
        "mask |= _group_mask(group, frame, me)",
        "mask = _group_mask(group, frame, me) & (mask | (group is self.groups[0]))",
        _GROUPS,
    ),
    Bug("persons wait", "_why", "if self._is_wanted(profile):", "if False:", _WORK),
    Bug("nothing is ever due", "_why", "look.due_at <= self.known.now)", "look.due_at < \"\")", _WORK),
    Bug(
        "full reads wait",
        "_why",
        "if is_full_due(look.cursor, self.run, self.known.now):",
        "if False:",
        _WORK,
    ),
    Bug(
        "settings wait",
        "_why",
        "return Why.SETTINGS if look.cursor.diffed_settings != digest else None",
        "return None",
        _WORK,
    ),
    Bug(
        "a person's run is like any other",
        "read",
        "looking.read_postponed(conn) if is_manual else set(),",
        "set(),",
        _WORK,
    ),
    Bug(
        "who leaves the scope is not missed",
        "_concerns",
        "return not (is_same and contact.id in passing)",
        "return not is_same",
        _WORK,
    ),
    Bug(
        "pairs are always the same",
        "_concerns",
        "is_same = state in _TOGETHER and agreed == contact.fingerprint and plain",
        "is_same = state in _TOGETHER",
        _WORK,
    ),
    Bug(
        "categories come of no field",
        "_concerns",
        "agreed == contact.fingerprint and plain",
        "agreed == contact.fingerprint",
        "tests/sync/test_categories.py",
    ),
    Bug(
        "nobody waits for an address",
        "_concerns",
        '("contact", contact.id), ("address", contact.address), ("company", contact.name)',
        '("contact", contact.id), ("company", contact.name)',
        _WORK,
    ),
    Bug(
        "nobody waits for a contact",
        "_concerns",
        '("contact", contact.id), ("address", contact.address), ("company", contact.name)',
        '("address", contact.address), ("company", contact.name)',
        _WORK,
    ),
    Bug("blocks stay in the folder", "concerns", "if profile.id in self.former:", "if False:", _WORK_RULES),
    Bug("a change is no change", "_take", "or not answer:", "and not answer:", _WORK),
    Bug("items on the page are overlooked", "_next_link", 'body.get("value") == [] and not', "not", _WORK),
    Bug(
        "mapped, and forgotten",
        "_make_due",
        "where(*ours).values(due_at=DUE)",
        "where(*ours).values(due_at=None)",
        _WORK,
    ),
    Bug(
        "a moved profile rests",
        "_rest",
        "if view is None or is_special or not _rests(plan, progress):",
        "if view is None or is_special:",
        _WORK,
    ),
    Bug(
        "a mark that outlives a change in Outlook",
        "_values_of_outlook",
        "row.address_digest,\n        False,",
        "row.address_digest,\n        stored is not None,",
        _SETTLED,
    ),
    Bug(
        "the latest change in BC is not looked at",
        "read_unsettled",
        '"since": generation}',
        '"since": generation + 1}',
        _SETTLED,
    ),
    Bug(
        "who has the address already is not looked up",
        "read_unsettled",
        "reader.contacts_with(emails - {\"\"})",
        "reader.contacts_with(set())",
        _SETTLED,
    ),
    Bug(
        "who is out of every pair is forgotten",
        "read_unsettled",
        "for (key,) in changed} | in_scope | keys",
        "for (key,) in changed} | keys",
        _SETTLED,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """Which test noticed a bug, or "" where none did."""

    name: str
    place: str
    caught_by: str
    seconds: float

    @property
    def as_it_should(self) -> bool:
        """A bug is noticed, and the copy without one passes."""
        return bool(self.caught_by) == (self.name != CONTROL)


def bug(name: str) -> Bug | None:
    """Return the bug of a name; None for the control."""
    return None if name == CONTROL else next(bug for bug in BUGS if bug.name == name)


def judge(name: str) -> Verdict:
    """Plant a bug in a copy, and run the quick part of the tests until one fails."""
    planted, started = bug(name), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="contact-sync-planted-") as folder:
        copy = Path(folder)
        for part in _COPIED:
            _copy(ROOT / part, copy / part)
        if planted:
            planted.plant(copy)
        # First where it should show; a bug that does not show there has the rest of the quick part to do so.
        caught = (planted and _first_failure(copy, (planted.first,))) or _first_failure(copy, QUICK)
    place = planted.place() if planted else ""
    return Verdict(name, place, caught, round(time.monotonic() - started, 1))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _first_failure(copy: Path, tests: tuple[str, ...]) -> str:
    # Warnings may be errors of the patch's style, so they do not count; and a broken import is no catch.
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-W", "default"]
    command += ["-m", "not airflow and not postgres", *(f"--ignore-glob=*/{name}" for name in _SLOW), *tests]
    ran = subprocess.run(
        command,
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ, PYTHONPATH=str(copy)),
    )
    if ran.returncode == 0:
        return ""
    failed = re.search(r"^FAILED (\S+)", ran.stdout, re.MULTILINE)
    if failed is None:
        raise RuntimeError(f"the tests did not run: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return failed.group(1)


def table(verdicts: list[Verdict]) -> str:
    """Return the verdicts as a Markdown table."""
    lines = ["| Planted bug | Where | Caught by | Seconds |", "| --- | --- | --- | --- |"]
    for v in verdicts:
        caught = f"`{v.caught_by}`" if v.caught_by else "-" if v.name == CONTROL else "**nothing**"
        lines.append(f"| {v.name} | {v.place and f'`{v.place}`'} | {caught} | {v.seconds:.0f} |")
    return "\n".join(lines)


def names() -> list[str]:
    """Return what there is to judge: the control first."""
    return [CONTROL, *(bug.name for bug in BUGS)]


def main(arguments: list[str]) -> int:
    """Judge the bugs that are named, or all, and print the table."""
    verdicts = []
    for name in arguments or names():
        verdicts.append(judge(name))
        print(f"{name}: {verdicts[-1].caught_by or 'nothing failed'}", flush=True)  # noqa: T201
    print(table(verdicts))  # noqa: T201
    missed = [v.name for v in verdicts if not v.as_it_should]
    return int(len(missed) > 1 or CONTROL in missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
