"""Rules by which page, client, sandbox and BC's own tables agree, property by property and in both directions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sandbox.business_central.metadata import EDM, ENTITIES
from sandbox.business_central.table import EXTENDED, Field
from sync_lib.clients.business_central_records import to_select
from sync_lib.fields.bc_columns import BC_COLUMNS, BcColumn
from sync_lib.fields.table import BC_PROPERTIES, written_to_bc
from tests.bc_extension.al_model import AlObject, PageField
from tests.bc_extension.app import App, Complaints, fields_of

#: What the page shows beyond what the client reads, and why.
SHOWN_FOR = {
    "languageCode": "a filter in a tool of the customer's own",
    "minor": "whoever asks why a contact is blocked: BC blocks a minor without consent",
    "systemModifiedBy": "whoever asks who wrote last: the app, or one of the users",
    "systemRowVersion": "a reader that goes by versions in place of times",
}
#: Types of BC's tables -> kinds of the client's columns.
_KINDS = {"Code": "code", "Text": "text", "Enum": "option", "Boolean": "boolean", "Date": "date"}
#: Types of BC's tables -> types of OData.
_ODATA = {
    "Guid": "Edm.Guid", "Boolean": "Edm.Boolean", "Date": "Edm.Date", "DateTime": "Edm.DateTimeOffset",
    "BigInteger": "Edm.Int64",
}  # fmt: skip


def type_of(facts: dict[str, object]) -> tuple[str, int]:
    """Return the type of a table field and its length: ``Text[30]`` -> ``("Text", 30)``."""
    match = re.match(r"(\w+)(?:\[(\d+)\])?", str(facts["type"]))
    assert match
    return match[1], int(match[2] or 0)


def _by_name(page: AlObject | None) -> dict[str, PageField]:
    return {each.name: each for each in page.fields} if page else {}


def _facts(app: App) -> dict[str, dict[str, object]]:
    """Return what BC's table knows of each property of the page of contacts."""
    known = fields_of("Contact")
    shown = _by_name(app.page("contacts"))
    return {name: known[each.source.name] for name, each in shown.items() if each.source.name in known}


def _difference(here: set[str], there: set[str], of: str) -> Complaints:
    found = [f"the page lacks {name}, which {of}" for name in sorted(there - here)]
    return found + [f"the page shows {name}, which not {of}" for name in sorted(here - there)]


def address_is_the_clients(app: App, api: str = "/api/contactSync/contacts/v1.0") -> Complaints:
    """All pages are served where the client asks, contacts under the name by which it asks."""
    found = []
    for page in app.pages():
        parts = (page.text("APIPublisher"), page.text("APIGroup"), page.text("APIVersion"))
        if "/".join(("/api", *parts)) != api:
            found.append(f"{page.name}: {parts} is not where the client asks")
    if app.page("contacts") is None:
        found.append("nothing serves contacts")
    return found


def client_finds_what_it_reads(app: App, columns: Sequence[BcColumn] = BC_COLUMNS) -> Complaints:
    """What the client selects is shown, and what is shown beyond that has a reason."""
    asked = set(to_select(columns).split(","))
    return _difference(set(_by_name(app.page("contacts"))), asked | set(SHOWN_FOR), "the client reads")


def client_knows_the_fields(app: App, columns: Sequence[BcColumn] = BC_COLUMNS) -> Complaints:
    """A column of the client is the same field as the property of the page: caption, kind, length."""
    shown, facts, found = _by_name(app.page("contacts")), _facts(app), []
    for column in columns:
        if column.property not in facts:
            continue
        kind, length = type_of(facts[column.property])
        if shown[column.property].source.name != column.caption:
            found.append(f"{column.property} is {shown[column.property].source.name}, not {column.caption}")
        if _KINDS.get(kind) != column.kind:
            found.append(f"{column.property} is of type {kind}, not {column.kind}")
        if length != column.length:
            found.append(f"{column.property} holds {length} characters, not {column.length}")
    return found


def written_properties() -> list[str]:
    """Return what the client writes to a contact, in its order: the company by its number, not its name."""
    columns = [name for row in written_to_bc("extended") for name in row.bc_columns]
    names = [BC_PROPERTIES["company_number" if name == "company_name" else name] for name in columns]
    return ["type", *names]


def client_may_write_what_it_writes(app: App) -> Complaints:
    """The page takes what the client writes, nothing else, and shows it in that order."""
    open_ = [each.name for each in _by_name(app.page("contacts")).values() if each.editable]
    written = written_properties()
    found = [f"the client writes {name}, which the page only shows" for name in written if name not in open_]
    found += [
        f"the page lets {name} be changed, which the client never does"
        for name in open_
        if name not in written
    ]
    if not found and open_ != written:
        found.append(f"the page shows them in the order {open_}, the client sends them as {written}")
    return found


def sandbox_serves_the_page(app: App, fields: Sequence[Field] = EXTENDED) -> Complaints:
    """The sandbox serves the same properties, each of the same type and length, and takes the same ones."""
    shown, facts = _by_name(app.page("contacts")), _facts(app)
    served = {each.name: each for each in fields}
    found = _difference(set(shown), set(served), "the sandbox serves")
    for name in sorted(served.keys() & facts.keys()):
        field = served[name]
        kind, length = type_of(facts[name])
        if _ODATA.get(kind, "Edm.String") != EDM.get(field.kind, "Edm.String"):
            found.append(f"{name} is of type {kind}, in the sandbox of kind {field.kind}")
        if (kind == "Code") != (field.kind == "code"):
            found.append(f"{name} is of type {kind}, in the sandbox of kind {field.kind}")
        if length != field.length:
            found.append(f"{name} holds {length} characters, in the sandbox {field.length}")
        if shown[name].editable != field.takes("app"):
            found.append(f"page and sandbox disagree on whether the app may change {name}")
        if facts[name].get("editable", True) != field.editable:
            found.append(f"table and sandbox disagree on whether anybody may change {name}")
    return found


def sandbox_has_the_same_sets(app: App, sets: dict[str, dict[str, str]]) -> Complaints:
    """The sandbox names the same entity sets, entities, properties and types; ``companies`` is the platform's."""
    pages = {page.text("EntitySetName"): page for page in app.pages()}
    found = _difference(set(pages), set(sets) - {"companies"}, "the sandbox serves")
    for name in sorted(pages.keys() & sets.keys()):
        page = pages[name]
        known = fields_of(page.text("SourceTable"))
        found += _difference(
            {each.name for each in page.fields}, set(sets[name]), f"the sandbox serves in {name}"
        )
        for each in page.fields:
            kind, _ = (
                type_of(known.get(each.source.name, {"type": "?"})) if each.source.name in known else ("", 0)
            )
            if sets[name].get(each.name, "") != _ODATA.get(kind, "Edm.String"):
                found.append(
                    f"{name}: {each.name} is of type {kind}, in the sandbox {sets[name].get(each.name)}"
                )
        if page.text("EntityName") != ENTITIES.get(name, name.removesuffix("s")):
            found.append(f"{name}: the sandbox does not call one of them {page.text('EntityName')}")
    return found
