"""Bodies of AL code: blocks, conditions, calls and assignments. Loops and cases are refused: there are none."""

from __future__ import annotations

from tests.bc_extension.al_cursor import Cursor
from tests.bc_extension.al_model import Code, Label, Member

_COMPARE = ("=", "<>", "<", ">", "<=", ">=")
_ADD = ("+", "-")
_RESERVED = frozenset(("begin", "end", "if", "then", "else", "exit", "var", "trigger", "procedure", "local"))


def parse_label(cursor: Cursor) -> Label:
    """Read ``'text', Comment = '...', Locked = true, MaxLength = 30``."""
    text, locked, most = cursor.text(), False, None
    seen: set[str] = set()
    while cursor.take_sign(","):
        name = cursor.name()
        cursor.sign("=")
        if name in seen or name not in ("Comment", "Locked", "MaxLength"):
            raise cursor.wrong(f"{name} is nothing that a label says once")
        seen.add(name)
        if name == "Comment":
            cursor.text()
        elif name == "Locked":
            locked = cursor.flag()
        else:
            most = cursor.number()
    return Label(text, locked, most)


def parse_variables(cursor: Cursor) -> dict[str, Label]:
    """Read ``Name: Label 'text';`` until something else comes; this extension keeps nothing else."""
    found: dict[str, Label] = {}
    while cursor.here.kind == "name" and not cursor.here.is_word(*_RESERVED):
        name = cursor.name()
        cursor.sign(":")
        cursor.word("label")
        if name in found:
            raise cursor.wrong(f"{name} is declared twice")
        found[name] = parse_label(cursor)
        cursor.sign(";")
    if not found:
        raise cursor.wrong("a variable is missing")
    return found


def parse_block(cursor: Cursor, code: Code, *, ending: bool) -> None:
    """Read ``begin ... end``; with ``ending`` the semicolon behind it, too."""
    cursor.word("begin")
    while not cursor.take_word("end"):
        _statement(cursor, code)
        if not cursor.here.is_word("end"):
            cursor.sign(";")
    if ending:
        cursor.sign(";")


def _statement(cursor: Cursor, code: Code) -> None:
    if cursor.take_sign(";"):
        raise cursor.wrong("a statement is missing")
    if cursor.here.is_word("begin"):
        parse_block(cursor, code, ending=False)
    elif cursor.take_word("if"):
        _expression(cursor, code)
        cursor.word("then")
        _statement(cursor, code)
        if cursor.take_word("else"):
            _statement(cursor, code)
    elif cursor.take_word("exit"):
        if cursor.take_sign("("):
            _expression(cursor, code)
            cursor.sign(")")
    else:
        called = _reference(cursor, code)
        if cursor.take_sign(":="):
            _expression(cursor, code)
        elif not called:
            raise cursor.wrong("a name alone does nothing")
    if not (cursor.here.is_sign(";") or cursor.here.is_word("end", "else")):
        raise cursor.wrong("a statement does not end here")


def _expression(cursor: Cursor, code: Code) -> None:
    _sum(cursor, code)
    if cursor.here.is_sign(*_COMPARE):
        cursor.step()
        _sum(cursor, code)
    if cursor.take_word("and", "or"):
        _expression(cursor, code)


def _sum(cursor: Cursor, code: Code) -> None:
    _operand(cursor, code)
    while cursor.here.is_sign(*_ADD):
        cursor.step()
        _operand(cursor, code)


def _operand(cursor: Cursor, code: Code) -> None:
    if cursor.take_word("not"):
        _operand(cursor, code)
    elif cursor.take_sign("("):
        _expression(cursor, code)
        cursor.sign(")")
    elif cursor.here.kind in ("text", "number") or cursor.here.is_word("true", "false"):
        cursor.step()
    else:
        _reference(cursor, code)


def _reference(cursor: Cursor, code: Code) -> bool:
    """Read ``Name``, ``Name(...)``, ``Rec.Name`` or ``Rec.Name(...)``; return whether it is a call."""
    if cursor.here.is_word(*_RESERVED):
        raise cursor.wrong("a name is missing")
    first = cursor.any_name()
    member = cursor.any_name() if cursor.take_sign(".") else ""
    called = cursor.take_sign("(")
    if called:
        _arguments(cursor, code)
    if member:
        code.members.append(Member(first, member, called))
    else:
        code.names.append(first)
    return called


def _arguments(cursor: Cursor, code: Code) -> None:
    if cursor.take_sign(")"):
        return
    _expression(cursor, code)
    while cursor.take_sign(","):
        _expression(cursor, code)
    cursor.sign(")")
