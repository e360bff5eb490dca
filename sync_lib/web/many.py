"""Many profiles at once: a column of addresses, a CSV or a YAML file, in and out.

Each is looked through first, row by row, and taken over as a whole or not at all; a digest keeps what is taken over to
what was shown. The importer is the one of the command ``contact-sync profiles import``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from sqlalchemy import Connection
from starlette.datastructures import FormData

from sync_lib.store import companies, company_names
from sync_lib.store.profiles import csv_file, lists
from sync_lib.store.profiles import file as profile_file
from sync_lib.store.profiles import rows as stored_rows
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.csv_file import CsvRow
from sync_lib.store.profiles.file import ProfileEntry, ProfileFile
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.importing import (
    ImportPlan,
    ImportReport,
    export_profiles,
    plan_import,
    take_import,
)
from sync_lib.store.profiles.lists import Pasted
from sync_lib.store.profiles.rows import lock_profiles, read_profiles
from sync_lib.store.profiles.values import WrongValue
from sync_lib.store.profiles.wording import ListError
from sync_lib.web import profile_words as words
from sync_lib.web.forms import SentFile, Submitted, text_of
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.spreadsheet import spreadsheet
from sync_lib.web.visit import CurrentVisit, Visit

router = APIRouter()
PAGE = Page("many", "many", msg("Many profiles at once"), router, in_navigation=False)

#: Rows that are shown of each kind.
SHOWN = 200
#: Rows that a list may have and still be open: below a longer one nobody finds the button that confirms it.
UNFOLDED = 20


@dataclass(slots=True)
class Looked:
    """What was looked through.

    Attributes:
        problems: What is wrong, as marked texts with what is put in their places; nothing is taken over then.
        details: The same of a file, each with its place.
        pasted: The addresses that were pasted, in their order.
        plan: What would be done; None where something is wrong.
        known: Pasted addresses that have a profile of this company already.
    """

    problems: list[WrongValue] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    pasted: list[Pasted] = field(default_factory=list)
    plan: ImportPlan | None = None
    known: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """What is the same as long as the same would be done."""
        rows = self.plan.rows if self.plan else []
        shown = [
            [
                row.match.stored.id if row.match.stored else 0,
                row.before and asdict(row.before),
                asdict(row.entry),
            ]
            for row in rows
        ]
        further = [asdict(each) for each in self.plan.content.groups] if self.plan else []
        more = [dict(self.plan.content.regions), self.plan.content.defaults] if self.plan else []
        text = json.dumps([shown, further, more], sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


# -- routes ----------------------------------------------------------------------------------------------------------


@router.get("/many")
def many(visit: CurrentVisit) -> HTMLResponse:
    """Show the ways in and out."""
    with visit.read() as conn:
        known = [each.name for each in companies.read_companies(conn)]
        listed = [each.name for each in company_names.read_listed(conn)]
        mailboxes = [each.mailbox for each in read_profiles(conn, enabled_only=False)]
    names = {name.casefold(): name for name in [*known, *listed]}
    return visit.page(
        "many.html",
        "overview",
        companies=sorted(names.values(), key=str.casefold),
        mailboxes=sorted(set(mailboxes), key=str.casefold)[:1_000],
        columns=list(csv_file.EXPORTED),
    )


@router.post("/many/addresses")
def look_at_addresses(visit: CurrentVisit, form: Submitted) -> HTMLResponse:
    """Show what each pasted address would come to."""
    with visit.read() as conn:
        return _show(visit, _addresses(conn, form), "addresses")


@router.post("/many/addresses/take")
def take_addresses(visit: CurrentVisit, form: Submitted) -> HTMLResponse:
    """Make a profile for each pasted address, for all of them or for none."""
    with visit.transaction() as conn:
        lock_profiles(conn)
        return _take(visit, conn, _addresses(conn, form), "addresses", text_of(form, "digest"))


@router.post("/many/file")
def look_at_file(visit: CurrentVisit, form: Submitted, file: SentFile) -> HTMLResponse:
    """Show what each row of a file would come to."""
    content = _read_file(visit, file)
    with visit.read() as conn:
        return _show(visit, _file(conn, form, content), "file")


@router.post("/many/file/take")
def take_file(visit: CurrentVisit, form: Submitted, file: SentFile) -> HTMLResponse:
    """Take a file over, all of it or nothing."""
    content = _read_file(visit, file)
    with visit.transaction() as conn:
        lock_profiles(conn)
        return _take(visit, conn, _file(conn, form, content), "file", text_of(form, "digest"))


@router.get("/many/profiles.yaml")
def export_yaml(visit: CurrentVisit) -> Response:
    """Hand out all profiles as the file that the command exports."""
    headers = {"Content-Disposition": 'attachment; filename="profiles.yaml"'}
    return Response(export_profiles(visit.engine), media_type="text/yaml; charset=utf-8", headers=headers)


@router.get("/many/profiles.csv")
def export_csv(visit: CurrentVisit) -> StreamingResponse:
    """Hand out all profiles for a spreadsheet; the page takes it back."""
    return spreadsheet(visit, "profiles", _exported(visit))


def _exported(visit: Visit) -> Iterator[Sequence[object]]:
    yield list(csv_file.EXPORTED)
    with visit.read() as conn:
        every = read_profiles(conn, enabled_only=False)
    yield from (csv_file.cells_of(stored_rows.entry_of(each)) for each in every)


# -- what is shown, and done -----------------------------------------------------------------------------------------


def _show(visit: Visit, looked: Looked, what: str, *, is_stale: bool = False) -> HTMLResponse:
    return visit.fragment(
        "many_looked.html",
        looked=looked,
        what=what,
        shown=SHOWN,
        unfolded=UNFOLDED,
        is_stale=is_stale,
        settings=words.SETTINGS,
        title_of=words.title_of,
        differences=_differences,
    )


def _take(visit: Visit, conn: Connection, looked: Looked, what: str, digest: str) -> HTMLResponse:
    if looked.plan is None or looked.digest != digest:
        return _show(visit, looked, what, is_stale=looked.plan is not None)
    report: ImportReport = take_import(conn, looked.plan, Author(visit.user.name, visit.now))
    return visit.fragment("many_taken.html", report=report)


def _differences(before: ProfileEntry, after: ProfileEntry) -> list[tuple[str, object, object]]:
    """Return what changes of a profile: (column, before, after)."""
    names = ("mailbox", *words.SETTINGS)
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names}
    return [(name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]]


# -- addresses -------------------------------------------------------------------------------------------------------


def _addresses(conn: Connection, form: FormData) -> Looked:
    looked = Looked()
    try:
        model = _model(conn, form)
        looked.pasted = lists.parse_addresses(text_of(form, "addresses"))
    except WrongValue as wrong:
        looked.problems.append(wrong)
        return looked
    except ListError as error:
        looked.details = list(error.problems)
        return looked
    if any(each.problem for each in looked.pasted) or not looked.pasted:
        return looked
    _plan_addresses(conn, looked, model)
    return looked


def _plan_addresses(conn: Connection, looked: Looked, model: ProfileEntry) -> None:
    """Leave those alone that have a profile of the company, and plan one for each other."""
    there = lists.have_profile(conn, [each.mailbox for each in looked.pasted], model.company_name)
    new = [each.mailbox for each in looked.pasted if each.mailbox.casefold() not in there]
    looked.known = frozenset(there)
    try:
        looked.plan = plan_import(conn, lists.content_of_addresses(new, model)).only_new()
    except ListError as error:
        looked.details = list(error.problems)


def _model(conn: Connection, form: FormData) -> ProfileEntry:
    """Return what each new profile is to have.

    Raises:
        WrongValue: A setting is wrong, or no profile has the mailbox that is to be the model.
    """
    like, entry = text_of(form, "like").strip(), ProfileEntry("", "")
    if like:
        found = [
            each
            for each in read_profiles(conn, enabled_only=False)
            if each.mailbox.casefold() == like.casefold()
        ]
        if not found:
            raise WrongValue(
                msg("No profile has the mailbox %(mailbox)s, whose settings were wanted."), mailbox=like
            )
        # What is the other colleague's own is not copied.
        entry = replace(stored_rows.entry_of(found[0]), salesperson_code="", enabled=True)
    given = {"company_name": text_of(form, "company_name"), "folder_name": text_of(form, "folder_name")}
    said = {name: profile_values.check(name, text) for name, text in given.items() if text.strip()}
    if "folder_name" in said:
        said["default_folder"] = False
    entry = replace(entry, **said)
    profile_values.check("company_name", entry.company_name)
    return entry


# -- files -----------------------------------------------------------------------------------------------------------


def _read_file(visit: Visit, file: tuple[str, bytes]) -> ProfileFile | list[CsvRow] | Looked:
    """Return what a file says, or what is wrong with it; without the database, which nobody waits for meanwhile."""
    name, content = file
    if not content:
        return Looked([WrongValue(msg("Choose a file first."))])
    try:
        text = content.decode("utf-8-sig")
        if name.casefold().endswith((".yaml", ".yml")):
            return profile_file.parse(text, field_profile=visit.field_profile)
        return csv_file.parse(text, field_profile=visit.field_profile)
    except UnicodeDecodeError:
        return Looked([WrongValue(msg("The file is not UTF-8: save it as CSV UTF-8."))])
    except ListError as error:
        return Looked(details=list(error.problems))


def _file(conn: Connection, form: FormData, content: ProfileFile | list[CsvRow] | Looked) -> Looked:
    if isinstance(content, Looked):
        return content
    try:
        if isinstance(content, list):
            usual = ProfileEntry("", text_of(form, "company_name").strip())
            content = lists.content_of_csv(conn, content, usual)
        return Looked(plan=plan_import(conn, content))
    except ListError as error:
        return Looked(details=list(error.problems))
