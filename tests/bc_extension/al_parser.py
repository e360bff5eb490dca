"""A parser of the part of AL that this extension is written in: API pages and permission sets.

Whatever it does not know is refused, also where Microsoft's compiler would take it: so that a slip never passes as
something that nobody looked at. Which properties there are, and what values they take, is said by
learn.microsoft.com, dynamics365/business-central/dev-itpro/developer/properties (page and permission set).
"""

from __future__ import annotations

from tests.bc_extension.al_code import parse_block, parse_label, parse_variables
from tests.bc_extension.al_cursor import Cursor
from tests.bc_extension.al_model import AlObject, Code, Label, Member, PageField, Permission, Value

#: Property -> what its value is made of, by the place it belongs to.
PROPERTIES: dict[str, dict[str, str]] = {
    "page": {
        "PageType": "name", "APIPublisher": "text", "APIGroup": "text", "APIVersion": "text",
        "EntityName": "text", "EntitySetName": "text", "EntityCaption": "label", "EntitySetCaption": "label",
        "Caption": "label", "SourceTable": "name", "ODataKeyFields": "names", "DelayedInsert": "flag",
        "Editable": "flag", "InsertAllowed": "flag", "ModifyAllowed": "flag", "DeleteAllowed": "flag",
        "Extensible": "flag", "ApplicationArea": "names",
    },
    "field": {"Caption": "label", "Editable": "flag", "ShowMandatory": "flag"},
    "permissionset": {"Access": "name", "Assignable": "flag", "Caption": "label", "Permissions": "permissions"},
}  # fmt: skip
_OBJECTS_OF_PERMISSIONS = ("tabledata", "page")
_TRIGGERS = {"OnInsertRecord": 1, "OnModifyRecord": 0}


def parse(source: str, file: str) -> list[AlObject]:
    """Return the objects of a file.

    Raises:
        AlSyntaxError: It is no AL, or more of it than this extension needs; with the line.
    """
    cursor = Cursor(source)
    namespace = ""
    if cursor.take_word("namespace"):
        namespace = _dotted(cursor)
    uses = []
    while cursor.take_word("using"):
        uses.append(_dotted(cursor))
    if len(set(uses)) < len(uses):
        raise cursor.wrong("a namespace is used once")
    objects = []
    while cursor.here.kind != "end":
        objects.append(_object(cursor, file, namespace, frozenset(uses)))
    if not objects:
        raise cursor.wrong("a file declares an object")
    return objects


def _dotted(cursor: Cursor) -> str:
    parts = [cursor.name()]
    while cursor.take_sign("."):
        parts.append(cursor.name())
    cursor.sign(";")
    return ".".join(parts)


def _object(cursor: Cursor, file: str, namespace: str, uses: frozenset[str]) -> AlObject:
    kind = cursor.name().lower()
    if kind not in ("page", "permissionset"):
        raise cursor.wrong(f"this extension declares no {kind}")
    number = cursor.number()
    made = AlObject(kind, number, cursor.any_name(), file, uses=uses, namespace=namespace)
    cursor.sign("{")
    while not cursor.take_sign("}"):
        _member(cursor, made)
    return made


def _member(cursor: Cursor, made: AlObject) -> None:
    if made.kind == "page" and cursor.take_word("layout"):
        _layout(cursor, made)
    elif made.kind == "page" and cursor.take_word("trigger"):
        _routine(cursor, made, trigger=True)
    elif made.kind == "page" and cursor.take_word("local"):
        cursor.word("procedure")
        _routine(cursor, made, trigger=False)
    elif made.kind == "page" and cursor.take_word("var"):
        made.labels |= parse_variables(cursor)
    else:
        _property(cursor, made.kind, made.properties)


def _layout(cursor: Cursor, made: AlObject) -> None:
    """``layout { area(Content) { repeater(Name) { field ... } } }``: the one shape that an API page has."""
    if made.fields:
        raise cursor.wrong("a page has one layout")
    cursor.sign("{")
    cursor.word("area")
    cursor.sign("(")
    cursor.word("content")
    cursor.sign(")")
    cursor.sign("{")
    cursor.word("repeater")
    cursor.sign("(")
    cursor.any_name()
    cursor.sign(")")
    cursor.sign("{")
    while not cursor.take_sign("}"):
        made.fields.append(_field(cursor))
    cursor.sign("}")
    cursor.sign("}")
    names = [each.name for each in made.fields]
    if len(set(names)) < len(names) or not names:
        raise cursor.wrong("a page shows fields, each under a name of its own")


def _field(cursor: Cursor) -> PageField:
    line = cursor.here.line
    cursor.word("field")
    cursor.sign("(")
    name = cursor.any_name()
    cursor.sign(";")
    record = cursor.name()
    cursor.sign(".")
    source = Member(record, cursor.any_name())
    cursor.sign(")")
    cursor.sign("{")
    properties: dict[str, Value] = {}
    while not cursor.take_sign("}"):
        _property(cursor, "field", properties)
    return PageField(name, source, properties, line)


def _property(cursor: Cursor, place: str, properties: dict[str, Value]) -> None:
    name = cursor.name()
    kind = PROPERTIES[place].get(name)
    if kind is None:
        raise cursor.wrong(f"a {place} has no property {name}")
    if name in properties:
        raise cursor.wrong(f"{name} is set twice")
    cursor.sign("=")
    properties[name] = _value(cursor, kind)
    cursor.sign(";")


def _value(cursor: Cursor, kind: str) -> Value:
    if kind == "flag":
        return cursor.flag()
    if kind == "label":
        return parse_label(cursor)
    if kind == "text":
        return Label(cursor.text())
    if kind == "permissions":
        return _permissions(cursor)
    names = [cursor.any_name()]
    while kind == "names" and cursor.take_sign(","):
        names.append(cursor.any_name())
    return tuple(names)


def _permissions(cursor: Cursor) -> tuple[Permission, ...]:
    found = [_permission(cursor)]
    while cursor.take_sign(","):
        found.append(_permission(cursor))
    names = [(each.kind, each.name) for each in found]
    if len(set(names)) < len(names):
        raise cursor.wrong("rights to one object are in one line")
    return tuple(found)


def _permission(cursor: Cursor) -> Permission:
    kind = cursor.name()
    if kind not in _OBJECTS_OF_PERMISSIONS:
        raise cursor.wrong(f"no rights are given to a {kind}")
    name = cursor.any_name()
    cursor.sign("=")
    rights = cursor.name()
    allowed = "X" if kind == "page" else "RIMD"
    if any(right.upper() not in allowed for right in rights) or len(set(rights.upper())) < len(rights):
        raise cursor.wrong(f"{rights} are no rights to a {kind}")
    return Permission(kind, name, rights)


def _routine(cursor: Cursor, made: AlObject, *, trigger: bool) -> None:
    name = cursor.name()
    parameters = _parameters(cursor)
    if trigger and _TRIGGERS.get(name) != len(parameters):
        raise cursor.wrong(f"a page of this extension has no trigger {name} like this one")
    returns = ""
    if cursor.take_sign(":"):
        returns = cursor.name()
    if trigger and returns != "Boolean":
        raise cursor.wrong(f"{name} says whether to go on: Boolean")
    if name in made.routines:
        raise cursor.wrong(f"{name} is written twice")
    cursor.take_sign(";")
    code = Code()
    parse_block(cursor, code, ending=True)
    code.names = [each for each in code.names if each not in parameters]
    made.routines[name] = code


def _parameters(cursor: Cursor) -> list[str]:
    names: list[str] = []
    cursor.sign("(")
    while not cursor.take_sign(")"):
        if names:
            cursor.sign(";")
        names.append(cursor.name())
        cursor.sign(":")
        cursor.name()
    return names
