"""The files of the extension are AL, by a grammar that nobody here wrote and that knows the whole language.

It was made for Python 3.12 and Linux on x86-64, and is installed only there (requirements-test.txt). It knows no
tables: whether a name means anything is asked by the rules beside it.
"""

from __future__ import annotations

import platform
import sys

import pytest

from tests.bc_extension.app import read_files

if sys.version_info < (3, 12) or (sys.platform, platform.machine()) != ("linux", "x86_64"):
    pytest.skip("tree-sitter-al has no wheel for this machine", allow_module_level=True)

import tree_sitter
import tree_sitter_al

SOURCES = {name: text for name, text in read_files().items() if name.endswith(".al")}
CONTACTS, RIGHTS = "src/Contacts.Page.al", "src/ContactSync.PermissionSet.al"


def faults(source: str) -> int:
    """How many places are no AL."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_al.language()))
    pending = [parser.parse(source.encode()).root_node]
    found = 0
    while pending:
        node = pending.pop()
        found += node.is_error or node.is_missing
        pending += node.children
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_another_parser_reads_every_file(name: str) -> None:
    assert faults(SOURCES[name]) == 0


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (CONTACTS, "    layout\n    {\n", "    layout\n"),
        (CONTACTS, "SourceTable = Contact;", "SourceTable Contact;"),
        (CONTACTS, "EntityName = 'contact';", "EntityName = 'contact;"),
        (CONTACTS, "field(city; Rec.City)", "field(city, Rec.City)"),
        (CONTACTS, "if Rec.Name = '' then", "if Rec.Name == '' then"),
        (CONTACTS, "Error(NameMissingErr);", "Error(NameMissingErr;"),
        (RIGHTS, "tabledata Contact = RIM,", "tabledata Contact RIM,"),
    ],
)
def test_another_parser_finds_what_is_no_al(file: str, old: str, new: str) -> None:
    assert old in SOURCES[file]
    assert faults(SOURCES[file].replace(old, new, 1)) > 0
