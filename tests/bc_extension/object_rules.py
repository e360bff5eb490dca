"""Rules for the objects of the extension by themselves: numbers, names, the shape of API pages, what they show."""

from __future__ import annotations

import re
from collections import Counter

from tests.bc_extension.al_model import AlObject, Member
from tests.bc_extension.app import App, Complaints, fields_of, tables

AFFIX = "OCS "
#: Numbers that a customer's own extensions may take, of which this one takes a hundred
#: (learn.microsoft.com, dynamics365/business-central/dev-itpro/developer/devenv-object-ranges).
NUMBERS = range(50000, 50100)
#: What an object of a kind may be called: AL0305 for permission sets that can be assigned.
_NAME_LENGTH = {"page": 30, "permissionset": 20}
_BUILT_IN = frozenset(("Error",))
_CAMEL = re.compile(r"[a-z][A-Za-z0-9]*")


def parsed(app: App) -> Complaints:
    """Every file is read to its end."""
    return [*app.unread, *([] if app.objects else ["there are no objects"])]


def numbers_are_ours(app: App) -> Complaints:
    """Numbers lie in the ranges of the manifest, once per kind."""
    ours = {n for each in app.manifest.get("idRanges", []) for n in range(each["from"], each["to"] + 1)}
    found = [f"{each.name}: {each.id} is not ours" for each in app.objects if each.id not in ours]
    counted = Counter((each.kind, each.id) for each in app.objects)
    return found + [f"{kind} {number} is there twice" for (kind, number), n in counted.items() if n > 1]


def names_are_ours(app: App) -> Complaints:
    """Names carry the affix, are short enough, and are there once; all objects share one namespace of ours."""
    found = [f"{each.name}: no affix" for each in app.objects if not each.name.startswith(AFFIX)]
    found += [f"{e.name}: too long" for e in app.objects if len(e.name) > _NAME_LENGTH[e.kind]]
    counted = Counter((each.kind, each.name.lower()) for each in app.objects)
    found += [f"{kind} {name} is there twice" for (kind, name), n in counted.items() if n > 1]
    namespaces = {each.namespace for each in app.objects}
    if len(namespaces) != 1 or any(re.match(r"(?i)(|microsoft|system)(\.|$)", each) for each in namespaces):
        found.append(f"namespaces {sorted(namespaces)}: one of our own")
    return found


def pages_are_apis(app: App) -> Complaints:
    """What every page of an API says, in the spelling that the compiler asks for."""
    return [f"{page.name}: {wrong}" for page in app.pages() for wrong in _page_problems(page)]


def _page_problems(page: AlObject) -> Complaints:
    found = []
    if page.text("PageType") != "API":
        found.append("is no API page")
    named = ("APIPublisher", "APIGroup", "EntityName", "EntitySetName")
    found += [f"{name} is not in camel case" for name in named if not _CAMEL.fullmatch(page.text(name))]
    if not re.fullmatch(r"v\d+\.\d+", page.text("APIVersion")):
        found.append("APIVersion is no version")
    if not (page.text("EntityCaption") and page.text("EntitySetCaption")):
        found.append("has no captions")
    if page.flag("Extensible", default=True):
        found.append("can be extended, which API pages cannot")
    if page.text("ApplicationArea") != "All":
        found.append("is in no application area")
    found += [f"{f.name} is not in camel case" for f in page.fields if not _CAMEL.fullmatch(f.name)]
    return found + [f"{f.name} has no caption" for f in page.fields if "Caption" not in f.properties]


def keys_are_shown(app: App) -> Complaints:
    """The key of a page is a field that it shows; a contact's is its system id, under the name ``id``."""
    found = []
    for page in app.pages():
        key = page.text("ODataKeyFields")
        if key not in [each.source.name for each in page.fields]:
            found.append(f"{page.name}: does not show its key {key!r}")
    contacts = app.page("contacts")
    if contacts is None or contacts.text("ODataKeyFields") != "SystemId":
        found.append("contacts are not found by their system id")
    elif contacts.fields[0].name != "id" or contacts.fields[0].source.name != "SystemId":
        found.append("the system id of a contact is not called id")
    return found


def sources_are_fields(app: App) -> Complaints:
    """What a page shows is a field of its table, shown once, and the table's namespace is used."""
    found = []
    for page in app.pages():
        table = page.text("SourceTable")
        known = fields_of(table)
        if not known:
            found.append(f"{page.name}: nothing is known of table {table!r}")
        shown = [each.source for each in page.fields]
        found += [
            f"{page.name}: {each.name} is no field of {table}" for each in shown if not _is_field(each, known)
        ]
        counted = Counter(each.name for each in shown)
        found += [f"{page.name}: shows {name} twice" for name, n in counted.items() if n > 1]
    return found


def _is_field(member: Member, known: dict[str, dict[str, object]]) -> bool:
    return member.record == "Rec" and member.name in known


def code_names_what_it_means(app: App) -> Complaints:
    """Code says ``Rec.`` before a field (NoImplicitWith), and calls and reads only what there is."""
    found = []
    for page in app.pages():
        known = fields_of(page.text("SourceTable"))
        names = _BUILT_IN | page.labels.keys() | page.routines.keys()
        for routine, code in page.routines.items():
            place = f"{page.name}, {routine}"
            found += [f"{place}: what is {name}?" for name in code.names if name not in names]
            members = [each for each in code.members if each.called or not _is_field(each, known)]
            found += [f"{place}: what is {each.record}.{each.name}?" for each in members]
        used = {name for code in page.routines.values() for name in code.names}
        idle = [name for name in page.labels if name not in used]
        found += [f"{page.name}: nobody says {name}" for name in idle]
    return found


def what_cannot_change_is_shown_only(app: App) -> Complaints:
    """A field that a table or the platform keeps to itself is not editable; on a page for reading nothing is."""
    found = []
    for page in app.pages():
        known = fields_of(page.text("SourceTable"))
        for each in page.fields:
            facts = known.get(each.source.name, {})
            kept = facts.get("editable") is False or facts.get("class") == "FlowField"
            if each.editable and (kept or not page.flag("Editable", default=True)):
                found.append(f"{page.name}: {each.name} can't be changed")
        closed = all(not page.flag(name, default=True) for name in _WRITES)
        if not page.flag("Editable", default=True) and not closed:
            found.append(f"{page.name}: is for reading, and says so of each kind of write")
        if page.flag("DeleteAllowed", default=True):
            found.append(f"{page.name}: the sync deletes nothing in BC")
    contacts = app.page("contacts")
    if contacts is not None and not contacts.flag("DelayedInsert", default=False):
        found.append("a contact is inserted before it has its name")
    return found


_WRITES = ("InsertAllowed", "ModifyAllowed", "DeleteAllowed")


def a_name_is_asked_for(app: App) -> Complaints:
    """A contact is neither inserted nor modified without its name being looked at."""
    contacts = app.page("contacts")
    routines = contacts.routines if contacts else {}
    found = []
    for trigger in ("OnInsertRecord", "OnModifyRecord"):
        called = (
            {name for name in routines[trigger].names if name in routines} if trigger in routines else set()
        )
        if not any(Member("Rec", "Name") in routines[name].members for name in called):
            found.append(f"{trigger} does not look at the name")
    return found


def namespaces_are_used(app: App) -> Complaints:
    """A file uses the namespaces of the tables that it names, and no others."""
    found = []
    for file in sorted({each.file for each in app.objects}):
        objects = [each for each in app.objects if each.file == file]
        named = {each.text("SourceTable") for each in objects if each.kind == "page"}
        named |= {line.name for each in objects for line in each.permissions() if line.kind == "tabledata"}
        needed = {tables()[name]["namespace"] for name in named if name in tables()}
        used = {name for each in objects for name in each.uses}
        found += [f"{file}: {name} is not used" for name in sorted(needed - used)]
        found += [f"{file}: {name} is used for nothing" for name in sorted(used - needed)]
    return found
