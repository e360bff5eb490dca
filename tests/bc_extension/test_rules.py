"""Every rule for the extension, held against it as it is, and against it with a mistake that the rule must find."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sandbox.business_central.metadata import entity_sets
from sandbox.business_central.table import EXTENDED
from sandbox.wire import Call
from sync_lib.clients.business_central import _EXTENDED_API
from sync_lib.fields.bc_body import to_business_central
from sync_lib.fields.bc_columns import BC_COLUMNS
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.table import mapped_fields
from tests.bc_extension import agreement_rules, object_rules, package_rules
from tests.bc_extension.app import App, Complaints, Rule, load, read_files

FILES = read_files()
CONTACTS, SALESPEOPLE, USERS = "src/Contacts.Page.al", "src/Salespeople.Page.al", "src/Users.Page.al"
RIGHTS, MANIFEST = "src/ContactSync.PermissionSet.al", "app.json"
DUTCH = "Translations/Outlook Contact Sync.nl-NL.xlf"


def sandbox_sets() -> dict[str, dict[str, str]]:
    """What the sandbox says of itself at the root of the extended API."""
    call = Call("bc", "GET", [], {}, {}, b"", "")
    call.notes["profile"] = "extended"
    return entity_sets(call)


def sets(app: App) -> Complaints:
    return agreement_rules.sandbox_has_the_same_sets(app, sandbox_sets())


def address(app: App) -> Complaints:
    return agreement_rules.address_is_the_clients(app, _EXTENDED_API)


def planted(file: str, old: str, new: str) -> App:
    """The extension with one thing changed in one of its files, at the first place."""
    assert old in FILES[file], f"{file} does not hold {old!r} any more"
    return load({**FILES, file: FILES[file].replace(old, new, 1)})


def closed(name: str, source: str, caption: str) -> str:
    """A field that the page only shows, as it is written in a file."""
    return (
        f"field({name}; Rec.{source})\n                {{\n"
        f"                    Caption = '{caption}';\n                    Editable = false;\n"
    )


def open_field(name: str, source: str, caption: str) -> str:
    """A field that may be changed, as it is written in a file."""
    return closed(name, source, caption).replace("                    Editable = false;\n", "")


#: Rule, file, what it holds, what a slip would make of it.
MISTAKES: list[tuple[Rule, str, str, str]] = [
    (object_rules.parsed, CONTACTS, "Caption = 'City';", "Caption = 'City'"),
    (object_rules.parsed, MANIFEST, "[]", "["),
    (object_rules.numbers_are_ours, CONTACTS, "page 50000", "page 50100"),
    (object_rules.numbers_are_ours, SALESPEOPLE, "page 50001", "page 50000"),
    (object_rules.names_are_ours, CONTACTS, '"OCS Contacts"', '"Contacts"'),
    (
        object_rules.names_are_ours,
        RIGHTS,
        'permissionset 50000 "OCS Contact Sync"',
        'permissionset 50000 "OCS Contact Sync Rights"',
    ),
    (object_rules.names_are_ours, USERS, '"OCS Users"', '"OCS Salespeople"'),
    (object_rules.names_are_ours, USERS, "namespace OutlookContactSync", "namespace Microsoft.CRM"),
    (object_rules.names_are_ours, USERS, "namespace OutlookContactSync", "namespace SomethingElse"),
    (object_rules.pages_are_apis, CONTACTS, "PageType = API", "PageType = List"),
    (object_rules.pages_are_apis, CONTACTS, "APIPublisher = 'contactSync'", "APIPublisher = 'contact-sync'"),
    (object_rules.pages_are_apis, CONTACTS, "EntityName = 'contact'", "EntityName = 'Contact'"),
    (object_rules.pages_are_apis, CONTACTS, "APIVersion = 'v1.0'", "APIVersion = '1.0'"),
    (object_rules.pages_are_apis, CONTACTS, "    EntityCaption = 'Contact';\n", ""),
    (object_rules.pages_are_apis, CONTACTS, "Extensible = false", "Extensible = true"),
    (object_rules.pages_are_apis, CONTACTS, "    ApplicationArea = All;\n", ""),
    (object_rules.pages_are_apis, CONTACTS, "field(city;", "field(City;"),
    (object_rules.pages_are_apis, CONTACTS, "                    Caption = 'City';\n", ""),
    (object_rules.keys_are_shown, CONTACTS, "ODataKeyFields = SystemId", 'ODataKeyFields = "No."'),
    (object_rules.keys_are_shown, CONTACTS, "field(id; Rec.SystemId)", "field(systemId; Rec.SystemId)"),
    (
        object_rules.keys_are_shown,
        USERS,
        'field(userSecurityId; Rec."User Security ID")',
        "field(userSecurityId; Rec.State)",
    ),
    (object_rules.keys_are_shown, CONTACTS, "EntitySetName = 'contacts'", "EntitySetName = 'people'"),
    (object_rules.sources_are_fields, CONTACTS, 'Rec."E-Mail 2"', 'Rec."Email 2"'),
    (object_rules.sources_are_fields, CONTACTS, "Rec.County", "Contact.County"),
    (object_rules.sources_are_fields, CONTACTS, 'Rec."Address 2"', "Rec.Address"),
    (object_rules.sources_are_fields, CONTACTS, "SourceTable = Contact", "SourceTable = Customer"),
    (object_rules.code_names_what_it_means, CONTACTS, "if Rec.Name", "if Name"),
    (object_rules.code_names_what_it_means, CONTACTS, "if Rec.Name", "if Rec.DisplayName"),
    (object_rules.code_names_what_it_means, CONTACTS, "CheckName();", "LookAtName();"),
    (object_rules.code_names_what_it_means, CONTACTS, "CheckName();", "Rec.Delete();"),
    (object_rules.code_names_what_it_means, CONTACTS, "Error(NameMissingErr)", "Error('x')"),
    (
        object_rules.what_cannot_change_is_shown_only,
        CONTACTS,
        closed("systemRowVersion", "SystemRowVersion", "Row Version"),
        open_field("systemRowVersion", "SystemRowVersion", "Row Version"),
    ),
    (
        object_rules.what_cannot_change_is_shown_only,
        CONTACTS,
        closed("lastInteractionDate", '"Date of Last Interaction"', "Date of Last Interaction"),
        open_field("lastInteractionDate", '"Date of Last Interaction"', "Date of Last Interaction"),
    ),
    (
        object_rules.what_cannot_change_is_shown_only,
        SALESPEOPLE,
        closed("email", '"E-Mail"', "Email"),
        open_field("email", '"E-Mail"', "Email"),
    ),
    (object_rules.what_cannot_change_is_shown_only, USERS, "    ModifyAllowed = false;\n", ""),
    (
        object_rules.what_cannot_change_is_shown_only,
        CONTACTS,
        "DeleteAllowed = false",
        "DeleteAllowed = true",
    ),
    (object_rules.what_cannot_change_is_shown_only, CONTACTS, "    DelayedInsert = true;\n", ""),
    (object_rules.a_name_is_asked_for, CONTACTS, "        CheckName();\n", ""),
    (object_rules.a_name_is_asked_for, CONTACTS, "if Rec.Name = ''", "if Rec.Surname = ''"),
    (object_rules.namespaces_are_used, CONTACTS, "using Microsoft.CRM.Contact;\n", ""),
    (object_rules.namespaces_are_used, RIGHTS, "using Microsoft.CRM.Task;", "using Microsoft.CRM.Campaign;"),
    (address, CONTACTS, "APIGroup = 'contacts'", "APIGroup = 'contact'"),
    (address, USERS, "APIVersion = 'v1.0'", "APIVersion = 'v1.1'"),
    (address, CONTACTS, "EntitySetName = 'contacts'", "EntitySetName = 'people'"),
    (agreement_rules.client_finds_what_it_reads, CONTACTS, "field(email2;", "field(secondEmail;"),
    (
        agreement_rules.client_finds_what_it_reads,
        CONTACTS,
        "field(minor; Rec.Minor)",
        'field(fax; Rec."Fax No.")',
    ),
    (agreement_rules.client_knows_the_fields, CONTACTS, "field(city; Rec.City)", "field(city; Rec.County)"),
    (agreement_rules.client_knows_the_fields, CONTACTS, 'Rec."Salesperson Code"', 'Rec."Territory Code"'),
    (
        agreement_rules.client_knows_the_fields,
        CONTACTS,
        'field(privacyBlocked; Rec."Privacy Blocked")',
        "field(privacyBlocked; Rec.City)",
    ),
    (
        agreement_rules.client_may_write_what_it_writes,
        CONTACTS,
        "Caption = 'Surname';",
        "Caption = 'Surname';\n Editable = false;",
    ),
    (
        agreement_rules.client_may_write_what_it_writes,
        CONTACTS,
        closed("companyName", '"Company Name"', "Company Name"),
        open_field("companyName", '"Company Name"', "Company Name"),
    ),
    (
        agreement_rules.client_may_write_what_it_writes,
        CONTACTS,
        "field(type; Rec.Type)",
        "field(kind; Rec.Type)",
    ),
    (agreement_rules.sandbox_serves_the_page, CONTACTS, "field(minor;", "field(underAge;"),
    (agreement_rules.sandbox_serves_the_page, CONTACTS, 'Rec."Post Code"', 'Rec."Address 2"'),
    (agreement_rules.sandbox_serves_the_page, CONTACTS, "Rec.Minor", "Rec.SystemModifiedAt"),
    (
        agreement_rules.sandbox_serves_the_page,
        CONTACTS,
        "Caption = 'Post Code';",
        "Caption = 'Post Code';\n Editable = false;",
    ),
    (agreement_rules.sandbox_serves_the_page, CONTACTS, "Rec.Initials", 'Rec."Contact Business Relation"'),
    (sets, SALESPEOPLE, "EntitySetName = 'salespeoplePurchasers'", "EntitySetName = 'salespeople'"),
    (sets, SALESPEOPLE, "EntityName = 'salespersonPurchaser'", "EntityName = 'salesperson'"),
    (sets, USERS, "field(authenticationEmail;", "field(email;"),
    (sets, USERS, 'Rec."User Name"', 'Rec."User Security ID"'),
    (package_rules.ranges_are_free, MANIFEST, "50099", "50100"),
    (package_rules.ranges_are_free, MANIFEST, '"from": 50000', '"from": 50100'),
    (package_rules.ranges_are_free, MANIFEST, '"to": 50099', '"until": 50099'),
    (package_rules.ranges_are_free, MANIFEST, '"idRanges": [', '"idRanges": [{"from": 50000, "to": 50001},'),
    (package_rules.rights_are_the_least, RIGHTS, "Assignable = true", "Assignable = false"),
    (package_rules.rights_are_the_least, RIGHTS, '        page "OCS Users" = X,\n', ""),
    (package_rules.rights_are_the_least, RIGHTS, '"OCS Users" = X', '"Contact Card" = X'),
    (package_rules.rights_are_the_least, RIGHTS, "tabledata Contact = RIM", "tabledata Contact = RIMD"),
    (package_rules.rights_are_the_least, RIGHTS, "tabledata Contact = RIM", "tabledata Contact = RiM"),
    (package_rules.rights_are_the_least, RIGHTS, "tabledata User = R,", "tabledata User = RM,"),
    (package_rules.rights_are_the_least, RIGHTS, "        tabledata User = R,\n", ""),
    (package_rules.rights_are_the_least, RIGHTS, 'tabledata "To-do" = rm', 'tabledata "To-do" = rmd'),
    (package_rules.rights_are_the_least, RIGHTS, 'tabledata "To-do" = rm', 'tabledata "To do" = rm'),
    (package_rules.rights_are_the_least, RIGHTS, "}\n", '}\npermissionset 50001 "OCS More" { }\n'),
    (package_rules.texts_are_translated, CONTACTS, "Caption = 'City'", "Caption = 'Town'"),
    (package_rules.texts_are_translated, CONTACTS, "field(city;", "field(town;"),
    (package_rules.texts_are_translated, DUTCH, "<target>Plaats</target>", "<target></target>"),
    (package_rules.texts_are_translated, DUTCH, "<target>Plaats</target>", "<target>City</target>"),
    (package_rules.texts_are_translated, DUTCH, "<source>City</source>", "<source>Town</source>"),
    (package_rules.texts_are_translated, DUTCH, "nl-NL", "nl-BE"),
    (package_rules.texts_are_translated, DUTCH, 'original="Outlook Contact Sync"', 'original="Contact Sync"'),
    (package_rules.texts_are_translated, DUTCH, "Control city - Property", "Control town - Property"),
    (
        package_rules.texts_are_translated,
        DUTCH,
        "<target>Outlook-contactsynchronisatie",
        "<target>Outlook-contactsynchronisatie voor ons",
    ),
    (package_rules.texts_are_translated, DUTCH, "</group>", "</body>"),
    (
        package_rules.texts_are_translated,
        DUTCH,
        "      </group>",
        '<trans-unit id="Page 1"><source>x</source><target>y</target></trans-unit></group>',
    ),
]


def identify(case: Any) -> str:
    return getattr(case, "__name__", "")


@pytest.mark.parametrize(("rule", "file", "old", "new"), MISTAKES, ids=identify)
def test_a_rule_finds_what_it_forbids(rule: Rule, file: str, old: str, new: str) -> None:
    assert rule(load(FILES)) == []
    app = planted(file, old, new)
    assert (app.unread == []) is (rule is not object_rules.parsed), "the slip is to be one that can be read"
    assert rule(app), "the rule does not see it"


def test_fields_in_another_order_than_the_clients_are_found() -> None:
    name, part = (FILES[CONTACTS].index(f"field({each};") for each in ("displayName", "firstName"))
    behind = FILES[CONTACTS].index("field(middleName;")
    text = FILES[CONTACTS]
    app = load({**FILES, CONTACTS: text[:name] + text[part:behind] + text[name:part] + text[behind:]})
    [complaint] = agreement_rules.client_may_write_what_it_writes(app)
    assert "order" in complaint


#: Setting of app.json -> a value with which a tenant would refuse the extension, or take it for another.
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "5C0A1F5E-3A63-4C0E-9D0C-6D1F3F0A7B52"), ("id", "contact-sync"), ("name", "x" * 51), ("name", ""),
        ("publisher", "x" * 51), ("version", "1.0"), ("platform", "26.0.0.0"), ("application", "27.0"),
        ("runtime", "15.0"), ("runtime", "16"), ("target", "OnPrem"), ("dependencies", [{"name": "Base Application"}]),
        ("features", ["TranslationFile"]), ("supportedLocales", ["nl-NL"]), ("brief", None),
    ],
)  # fmt: skip
def test_a_manifest_with_a_wrong_setting_is_found(name: str, value: object) -> None:
    assert package_rules.manifest_is_whole(load(FILES)) == []
    manifest = json.loads(FILES[MANIFEST])
    manifest[name] = value
    if value is None:
        del manifest[name]
    assert package_rules.manifest_is_whole(load({**FILES, MANIFEST: json.dumps(manifest)}))


def test_a_manifest_of_an_older_version_is_found() -> None:
    older = FILES[MANIFEST].replace("27.0.0.0", "26.0.0.0").replace('"16.0"', '"15.0"')
    assert len(package_rules.manifest_is_whole(load({**FILES, MANIFEST: older}))) == 1


def test_a_translation_that_is_missing_or_there_twice_is_found() -> None:
    rule = package_rules.texts_are_translated
    assert rule(load({name: text for name, text in FILES.items() if name != DUTCH}))
    assert rule(load({**FILES, "Translations/Outlook Contact Sync.g.xlf": FILES[DUTCH]}))
    unit = FILES[DUTCH].partition("<trans-unit")[2].partition("</trans-unit>")[0]
    assert rule(planted(DUTCH, "      </group>", f"<trans-unit{unit}</trans-unit></group>"))


#: What Microsoft's compiler made of these names, in translation files that it wrote.
@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("Page MyPage - Property Caption", "Page 2931038265 - Property 2879900210"),
        (
            "Page MyPage - Control GroupName - Property Caption",
            "Page 2931038265 - Control 4105281732 - Property 2879900210",
        ),
        ("Page MyPage - NamedType TestErr", "Page 2931038265 - NamedType 12557645"),
    ],
)
def test_texts_are_numbered_as_the_compiler_does(path: str, number: str) -> None:
    assert package_rules.translation_id(path) == number


# -- the other side moves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        (*BC_COLUMNS, replace(BC_COLUMNS[0], property="faxNumber")),
        tuple(each for each in BC_COLUMNS if each.name != "email2"),
    ],
    ids=["the client reads more", "the client reads less"],
)
def test_a_client_that_reads_something_else_is_found(columns: Any) -> None:
    assert agreement_rules.client_finds_what_it_reads(load(FILES), columns)


@pytest.mark.parametrize("change", [{"caption": "Town"}, {"length": 31}, {"kind": "code"}], ids=str)
def test_a_client_that_takes_a_field_for_another_is_found(change: dict[str, Any]) -> None:
    columns = [replace(each, **change) if each.name == "city" else each for each in BC_COLUMNS]
    assert len(agreement_rules.client_knows_the_fields(load(FILES), columns)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"name": "town"},
        {"length": 31},
        {"kind": "code"},
        {"kind": "date"},
        {"shown": True},
        {"editable": False},
    ],
    ids=str,
)
def test_a_sandbox_that_serves_something_else_is_found(change: dict[str, Any]) -> None:
    fields = [replace(each, **change) if each.name == "city" else each for each in EXTENDED]
    assert agreement_rules.sandbox_serves_the_page(load(FILES), fields)
    assert agreement_rules.sandbox_serves_the_page(load(FILES), EXTENDED[:-1])


def test_a_sandbox_with_other_sets_is_found() -> None:
    rule = partial(agreement_rules.sandbox_has_the_same_sets, load(FILES))
    for name in ("users", "contacts"):
        assert rule({key: value for key, value in sandbox_sets().items() if key != name})
        assert rule({**sandbox_sets(), name: {**sandbox_sets()[name], "more": "Edm.String"}})
        assert rule({**sandbox_sets(), name: dict.fromkeys(sandbox_sets()[name], "Edm.Guid")})
    assert rule({**sandbox_sets(), "territories": {"id": "Edm.Guid"}})


def test_what_the_client_is_said_to_write_is_what_it_writes() -> None:
    fields = {row.name: "x" for row in mapped_fields("extended")}
    fields |= {
        "email": "a@x.example",
        "email2": "b@x.example",
        "phone": "1",
        "mobile_phone": "2",
        "street": "a\nb",
    }
    lookups = Lookups(companies={"x": "CT1"}, countries={"NL": "x"})
    parts, refusals = to_business_central(fields, None, lookups=lookups, field_profile="extended")
    assert refusals == []
    named = {"name": "Jan"}
    name, _ = to_business_central(named, None, lookups=lookups, field_profile="extended")
    written = agreement_rules.written_properties()
    assert set(parts) | set(name) == set(written)
    assert [each for each in written if each in parts] == list(parts)
