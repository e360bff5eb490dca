"""The files of the extension are AL, by our own parser; ``test_al_by_others.py`` asks another one."""

from __future__ import annotations

import pytest

from tests.bc_extension.al_parser import parse
from tests.bc_extension.al_tokens import AlSyntaxError
from tests.bc_extension.app import read_files

SOURCES = {name: text for name, text in read_files().items() if name.endswith(".al")}
CONTACTS, RIGHTS = "src/Contacts.Page.al", "src/ContactSync.PermissionSet.al"

#: File, what it holds, a slip that makes it no AL, or AL that this extension has no use for.
SLIPS = [
    (CONTACTS, "    layout\n    {\n", "    layout\n"),
    (CONTACTS, "    trigger OnInsertRecord", "}\n    trigger OnInsertRecord"),
    (CONTACTS, "SourceTable = Contact;", "SourceTable = Contact"),
    (CONTACTS, "SourceTable = Contact;", "SourceTable Contact;"),
    (CONTACTS, "SourceTable = Contact;", "SourceTable = 'Contact';"),
    (CONTACTS, "SourceTable = Contact;", "SourceTabel = Contact;"),
    (CONTACTS, "SourceTable = Contact;", "SourceTable = Contact; SourceTable = Contact;"),
    (CONTACTS, "DelayedInsert = true;", "DelayedInsert = yes;"),
    (CONTACTS, "EntityName = 'contact';", "EntityName = contact;"),
    (CONTACTS, "EntityName = 'contact';", "EntityName = 'contact;"),
    (CONTACTS, 'page 50000 "OCS Contacts"', 'page "OCS Contacts"'),
    (CONTACTS, 'page 50000 "OCS Contacts"', 'page 50000.5 "OCS Contacts"'),
    (CONTACTS, 'page 50000 "OCS Contacts"', 'page 50000 "OCS Contacts'),
    (CONTACTS, 'page 50000 "OCS Contacts"', "page 50000 OCS Contacts"),
    (CONTACTS, 'page 50000 "OCS Contacts"', 'table 50000 "OCS Contacts"'),
    (CONTACTS, "using Microsoft.CRM.Contact;", "using Microsoft.CRM.;"),
    (CONTACTS, "using Microsoft.CRM.Contact;", "using Microsoft.CRM.Contact; using Microsoft.CRM.Contact;"),
    (CONTACTS, "area(Content)", "area(Contents)"),
    (CONTACTS, "repeater(Records)", "group(Records)"),
    (CONTACTS, "field(city; Rec.City)", "field(city, Rec.City)"),
    (CONTACTS, "field(city; Rec.City)", "field(city; City)"),
    (CONTACTS, "field(city; Rec.City)", "field(state; Rec.City)"),
    (CONTACTS, "field(city; Rec.City)", "fields(city; Rec.City)"),
    (CONTACTS, "Caption = 'City';", "Caption = 'City', Lock = true;"),
    (CONTACTS, "Caption = 'City';", "Caption = 'City', Locked = true, Locked = true;"),
    (CONTACTS, "Caption = 'City';", "Length = 30;"),
    (CONTACTS, "trigger OnInsertRecord(BelowxRec: Boolean): Boolean", "trigger OnInsertRecord(): Boolean"),
    (
        CONTACTS,
        "trigger OnInsertRecord(BelowxRec: Boolean): Boolean",
        "trigger OnInsertRecord(BelowxRec: Boolean)",
    ),
    (CONTACTS, "trigger OnModifyRecord", "trigger OnChangeRecord"),
    (CONTACTS, "trigger OnModifyRecord(): Boolean", "trigger OnInsertRecord(BelowxRec: Boolean): Boolean"),
    (CONTACTS, "        exit(true);\n    end;", "        exit(true);\n"),
    (CONTACTS, "        exit(true);\n    end;", "        exit(true)\n    end"),
    (CONTACTS, "        CheckName();\n", "        CheckName()\n"),
    (CONTACTS, "        CheckName();\n", "        CheckName;\n"),
    (CONTACTS, "        CheckName();\n", "        ;\n"),
    (CONTACTS, "        CheckName();\n", "        while true do CheckName();\n"),
    (CONTACTS, "if Rec.Name = '' then", "if Rec.Name == '' then"),
    (CONTACTS, "if Rec.Name = '' then", "if Rec.Name = ''"),
    (CONTACTS, "if Rec.Name = '' then", "if then"),
    (CONTACTS, "Error(NameMissingErr);", "Error(NameMissingErr;"),
    (CONTACTS, "Error(NameMissingErr);", "Error(NameMissingErr,);"),
    (CONTACTS, "NameMissingErr: Label", "NameMissingErr Label"),
    (CONTACTS, "NameMissingErr: Label", "NameMissingErr: Text"),
    (CONTACTS, "    var\n", "    var\n        NameMissingErr: Label 'x';\n"),
    (CONTACTS, "local procedure CheckName()", "local procedure OnModifyRecord()"),
    (CONTACTS, "local procedure CheckName()", "local function CheckName()"),
    (RIGHTS, "tabledata Contact = RIM,", "tabledata Contact = RIM"),
    (RIGHTS, "tabledata Contact = RIM,", "tabledata Contact = RIMX,"),
    (RIGHTS, "tabledata Contact = RIM,", "tabledata Contact = Rr,"),
    (RIGHTS, "tabledata Contact = RIM,", "tabledata * = RIM,"),
    (RIGHTS, "tabledata Contact = RIM,", "tabledata Contact = RIM, tabledata Contact = R,"),
    (RIGHTS, 'page "OCS Contacts" = X', 'page "OCS Contacts" = R'),
    (RIGHTS, 'page "OCS Contacts" = X', 'codeunit "OCS Contacts" = X'),
    (RIGHTS, "MaxLength = 30", "MaxLength = 'x'"),
    (RIGHTS, "    Access = Public;", "    layout { }"),
    (RIGHTS, "namespace OutlookContactSync;", "namespace OutlookContactSync; #pragma"),
]


def slipped(file: str, old: str, new: str) -> str:
    assert SOURCES[file].count(old), f"{file} does not hold {old!r} any more"
    return SOURCES[file].replace(old, new, 1)


@pytest.mark.parametrize("name", SOURCES)
def test_every_file_is_read_to_its_end(name: str) -> None:
    [made] = parse(SOURCES[name], name)
    assert made.name.startswith("OCS ")
    assert bool(made.fields) is name.endswith(".Page.al")
    assert bool(made.permissions()) is name.endswith(".PermissionSet.al")


@pytest.mark.parametrize(("file", "old", "new"), SLIPS)
def test_a_slip_is_found_with_its_line(file: str, old: str, new: str) -> None:
    with pytest.raises(AlSyntaxError, match=r"^line \d+"):
        parse(slipped(file, old, new), file)


def test_a_file_without_an_object_is_none() -> None:
    with pytest.raises(AlSyntaxError, match="declares an object"):
        parse("namespace A; // nothing more", "x.al")


def test_what_code_names_is_noted() -> None:
    source = """page 1 X { local procedure F(A: Text)
    begin
        if not (A = 'it''s') and (Rec."No." <> '') then begin B := A + 1; end else exit;
        Rec.Modify(true)
    end; }"""
    [made] = parse(source, "x.al")
    code = made.routines["F"]
    assert (code.names, [each.name for each in code.members]) == (["B"], ["No.", "Modify"])
