"""Graph contacts and users: points 4, 6, 7, 8, 10 and 13."""

from __future__ import annotations

import pytest

IMMUTABLE = {"Prefer": 'IdType="ImmutableId"'}
SANNE = {
    "givenName": "Sanne",
    "surname": "de Vries",
    "emailAddresses": [{"name": "Sanne de Vries", "address": "s.devries@molenzicht.example"}],
    "businessPhones": ["+31 20 555 01 10"],
    "businessAddress": {"street": "Kade 4\r\nUnit B", "city": "Zaandam", "state": "NH"},
}


def test_a_contact_reads_back_as_written_with_blanks_in_their_own_form(graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    read = graph.ok("GET", f"{graph.user}/contacts/{made['id']}")
    assert {name: read[name] for name in SANNE} == SANNE
    assert read == made
    assert (read["displayName"], read["fileAs"]) == ("Sanne de Vries", "de Vries, Sanne")
    assert (read["homeAddress"], read["homePhones"], read["personalNotes"]) == ({}, [], None)
    assert read["primaryEmailAddress"] == SANNE["emailAddresses"][0]
    assert read["@odata.etag"] == f'W/"{read["changeKey"]}"'
    assert len(read["id"]) == 152
    assert read["createdDateTime"].endswith("Z")
    assert "." not in read["createdDateTime"]


def test_patch_keeps_what_is_absent_clears_nulls_and_replaces_arrays(graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    url = f"{graph.user}/contacts/{made['id']}"
    emails = [{"address": "a@x.example"}, {"address": "b@x.example"}]
    body = graph.ok("PATCH", url, {"businessPhones": [], "jobTitle": "Inkoper", "emailAddresses": emails})
    assert body["businessPhones"] == []
    assert [item["address"] for item in body["emailAddresses"]] == ["a@x.example", "b@x.example"]
    assert body["businessAddress"]["city"] == "Zaandam"
    assert body["changeKey"] != made["changeKey"]
    cleared = graph.ok("PATCH", url, {"jobTitle": None, "businessAddress": None, "emailAddresses": []})
    assert (cleared["jobTitle"], cleared["businessAddress"], cleared["emailAddresses"]) == (None, {}, [])


def test_the_display_name_is_made_anew_unless_it_is_sent(graph):
    made = graph.ok("POST", f"{graph.user}/contacts", {**SANNE, "displayName": "Sanne van Molenzicht"})
    assert made["displayName"] == "Sanne van Molenzicht"
    url = f"{graph.user}/contacts/{made['id']}"
    assert graph.ok("PATCH", url, {"jobTitle": "x"})["displayName"] == "Sanne van Molenzicht"
    assert graph.ok("PATCH", url, {"surname": "Jansen"})["displayName"] == "Sanne Jansen"
    assert graph.ok("PATCH", url, {"surname": "Bos", "displayName": "S. Bos"})["displayName"] == "S. Bos"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"fax": "1"}, "RequestBodyRead"),
        ({"givenName": 5}, "RequestBodyRead"),
        ({"businessAddress": {"country": "NL"}}, "RequestBodyRead"),
        (
            {"emailAddresses": [{"address": f"{n}@x.example"} for n in range(4)]},
            "ErrorPropertyValidationFailure",
        ),
        ({"businessPhones": ["1", "2", "3"]}, "ErrorPropertyValidationFailure"),
        ({"homePhones": ["1", "2", "3"]}, "ErrorPropertyValidationFailure"),
        ({"imAddresses": ["1", "2", "3", "4"]}, "ErrorPropertyValidationFailure"),
        ({"singleValueExtendedProperties": [{"id": "x", "value": "y"}]}, "ErrorInvalidProperty"),
    ],
)
def test_what_a_contact_cannot_hold_is_refused(graph, body, code):
    assert graph.refused("POST", f"{graph.user}/contacts", body) == (400, code)


def test_an_address_with_a_comma_is_lost(graph):
    made = graph.ok(
        "POST", f"{graph.user}/contacts", {"emailAddresses": [{"name": "A", "address": "a@x.example,"}]}
    )
    assert made["emailAddresses"] == [{"name": "A"}]


@pytest.mark.parametrize("value", ["take", "400"])
def test_switch_graph_email_without_address(sim, graph, value):
    """F32: the entry as it came back, sent once more."""
    body = {
        "emailAddresses": [{"name": "A", "address": "a@x,example"}, {"name": "B", "address": "b@x.example"}]
    }
    made = graph.ok("POST", f"{graph.user}/contacts", body)
    sim.set(graph_email_without_address=value)
    url, entries = f"{graph.user}/contacts/{made['id']}", {"emailAddresses": made["emailAddresses"]}
    if value == "400":
        assert graph.refused("PATCH", url, entries) == (400, "ErrorInvalidRecipients")
        assert graph.ok("PATCH", url, {"jobTitle": "x"})["emailAddresses"] == made["emailAddresses"]
    else:
        assert graph.ok("PATCH", url, entries)["emailAddresses"] == [{"name": "A"}, body["emailAddresses"][1]]


@pytest.mark.parametrize(
    ("value", "expected"), [("merge", {"city": "A", "street": "S"}), ("replace", {"city": "A"})]
)
def test_switch_graph_address_patch(sim, graph, value, expected):
    sim.set(graph_address_patch=value)
    made = graph.ok("POST", f"{graph.user}/contacts", {"homeAddress": {"street": "S", "city": "B"}})
    url = f"{graph.user}/contacts/{made['id']}"
    assert graph.ok("PATCH", url, {"homeAddress": {"city": "A"}})["homeAddress"] == expected


@pytest.mark.parametrize(("value", "status"), [("ignore", 200), ("400", 400)])
def test_switch_graph_readonly_in_patch(sim, graph, value, status):
    sim.set(graph_readonly_in_patch=value)
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    response = graph.send("PATCH", f"{graph.user}/contacts/{made['id']}", {"id": "x", "jobTitle": "y"})
    assert response.status_code == status


@pytest.mark.parametrize(("value", "status"), [("enforce", 412), ("ignore", 200)])
def test_switch_graph_if_match(sim, graph, value, status):
    sim.set(graph_if_match=value)
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    url = f"{graph.user}/contacts/{made['id']}"
    graph.ok("PATCH", url, {"jobTitle": "a"}, If_Match=made["@odata.etag"])
    stale = graph.send("PATCH", url, {"jobTitle": "b"}, If_Match=made["@odata.etag"])
    assert stale.status_code == status
    if status == 412:
        assert stale.json()["error"]["code"] == "ErrorIrresolvableConflict"
        assert graph.refused("DELETE", url, If_Match=made["@odata.etag"])[0] == 412


@pytest.mark.parametrize(("value", "is_new"), [("bump", True), ("keep", False)])
def test_switch_graph_noop_patch(sim, graph, value, is_new):
    sim.set(graph_noop_patch=value)
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    after = graph.ok("PATCH", f"{graph.user}/contacts/{made['id']}", {"surname": "de Vries"})
    assert (after["changeKey"] != made["changeKey"]) is is_new


def test_the_default_id_changes_with_a_move_and_the_immutable_one_does_not(sim, graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    fixed = graph.ok("GET", f"{graph.user}/contacts/{made['id']}", **IMMUTABLE)["id"]
    assert fixed != made["id"]
    graph.folder("Elders")
    moved = sim.control(
        "POST", "graph/move", {"mailbox": "sanne@voorbeeld.example", "contact": fixed, "to": "Elders"}
    )
    assert moved["immutable_id"] == fixed
    assert moved["id"] != made["id"]
    assert graph.refused("GET", f"{graph.user}/contacts/{made['id']}") == (404, "ErrorItemNotFound")
    response = graph.get(f"{graph.user}/contacts/{fixed}", **IMMUTABLE)
    assert response.json()["id"] == fixed
    assert response.headers["Preference-Applied"] == 'IdType="ImmutableId"'
    pairs = graph.ok(
        "POST", f"{graph.user}/translateExchangeIds", {"inputIds": [fixed], "targetIdType": "restId"}
    )["value"]
    assert pairs == [{"sourceId": fixed, "targetId": moved["id"]}]


def test_ids_are_case_sensitive(graph):
    ids = [graph.ok("POST", f"{graph.user}/contacts", {"givenName": str(n)})["id"] for n in range(30)]
    assert len({item.lower() for item in ids}) < len(ids)
    for number, item in enumerate(ids):
        assert graph.ok("GET", f"{graph.user}/contacts/{item}")["givenName"] == str(number)


@pytest.mark.parametrize("place", ["", "folder", "deleted"])
def test_a_contact_deleted_for_good_lies_nowhere(graph, place):
    folder = graph.folder()
    made = graph.ok("POST", f"{folder}/contacts", {"givenName": "A"}, Prefer='IdType="ImmutableId"')
    link = graph.ok("GET", f"{folder}/contacts/delta", Prefer='IdType="ImmutableId"')["@odata.deltaLink"]
    url = f"{folder if place == 'folder' else graph.user}/contacts/{made['id']}"
    if place == "deleted":
        graph.ok("DELETE", url)
    response = graph.send("POST", f"{url}/permanentDelete")
    assert (response.status_code, response.content) == (204, b"")
    assert graph.refused("GET", f"{graph.user}/contacts/{made['id']}") == (404, "ErrorItemNotFound")
    assert graph.refused("POST", f"{url}/permanentDelete") == (404, "ErrorItemNotFound")
    for each in ("deleteditems", "contacts"):
        assert graph.ok("GET", f"{graph.user}/contactFolders/{each}/contacts")["value"] == []
    changed = graph.ok("GET", link, Prefer='IdType="ImmutableId"')["value"]
    assert [item["id"] for item in changed if "@removed" in item] == [made["id"]]


def test_a_deleted_contact_lies_in_deleted_items_until_it_is_purged(sim, graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE, **IMMUTABLE)
    url = f"{graph.user}/contacts/{made['id']}"
    graph.ok("DELETE", url)
    deleted = graph.ok("GET", f"{graph.user}/contactFolders/deleteditems")["id"]
    assert graph.ok("GET", url)["parentFolderId"] == deleted
    assert graph.pages(f"{graph.user}/contacts")[0]["value"] == []
    sim.control(
        "POST", "graph/move", {"mailbox": "sanne@voorbeeld.example", "contact": made["id"], "to": "Contacts"}
    )
    assert len(graph.pages(f"{graph.user}/contacts")[0]["value"]) == 1
    graph.ok("DELETE", url)
    sim.control("POST", "graph/purge", {"mailbox": "sanne@voorbeeld.example"})
    assert graph.refused("GET", url) == (404, "ErrorItemNotFound")


def test_extended_properties_show_only_when_expanded_and_others_stay(graph, contact_key):
    other = contact_key.replace("BcContactKey", "Other")
    item = {"id": contact_key, "value": "CO-1|9f0d"}
    made = graph.ok("POST", f"{graph.user}/contacts", {**SANNE, "singleValueExtendedProperties": [item]})
    url = f"{graph.user}/contacts/{made['id']}"
    assert "singleValueExtendedProperties" not in made
    graph.ok("PATCH", url, {"singleValueExtendedProperties": [{"id": other, "value": "x"}]})
    assert "singleValueExtendedProperties" not in graph.ok("GET", url)
    expand = f"?$expand=singleValueExtendedProperties($filter=id eq '{contact_key}')"
    assert graph.ok("GET", url + expand)["singleValueExtendedProperties"] == [item]
    both = f"?$expand=singleValueExtendedProperties($filter=id eq '{contact_key}' or id eq '{other}')"
    assert (
        len(graph.ok("GET", f"{graph.user}/contacts{both}")["value"][0]["singleValueExtendedProperties"]) == 2
    )


@pytest.mark.parametrize(
    ("key", "test", "found"),
    [
        ("BcContactKey", "ep/value eq 'co-1|9f0d'", 1),
        ("bccontactkey", "ep/value eq 'co-1|9f0d'", 0),
        ("BcContactKey", "ep/value ne 'co-1|9f0d'", 0),
        ("BcContactKey", "contains(ep/value, '|9F')", 1),
        ("BcContactKey", "startswith(ep/value, 'co-2')", 0),
    ],
)
def test_contacts_are_found_by_extended_property(graph, contact_key, key, test, found):
    item = {"id": contact_key, "value": "CO-1|9f0d"}
    graph.ok("POST", f"{graph.user}/contacts", {"singleValueExtendedProperties": [item]})
    graph.ok("POST", f"{graph.user}/contacts", SANNE)
    name = contact_key.replace("BcContactKey", key)
    text = f"singleValueExtendedProperties/Any(ep: ep/id eq '{name}' and {test})"
    response = graph.session.get(f"{graph.user}/contacts", params={"$filter": text}, timeout=20)
    assert len(response.json()["value"]) == found


def test_contacts_are_found_by_e_mail_address_and_by_nothing_else(graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    url = f"{graph.user}/contacts?$filter="
    found = graph.ok("GET", f"{url}emailAddresses/any(a:a/address eq 'S.devries@molenzicht.example')")[
        "value"
    ]
    assert [item["id"] for item in found] == [made["id"]]
    graph.ok("POST", f"{graph.user}/contacts", {"emailAddresses": [{"address": "JAN@X.example"}]})
    assert len(graph.ok("GET", f"{url}emailAddresses/any(a:a/address eq 'jan@x.example')")["value"]) == 1
    for text in ("startswith(displayName,'S')", "displayName eq 'S'", "emailAddresses/any(a:a/name eq 'S')"):
        assert graph.refused("GET", url + text) == (400, "ErrorInvalidUrlQueryFilter")
    assert graph.refused("GET", f"{graph.user}/contacts?$search=x") == (400, "ErrorInvalidUrlQuery")
    assert graph.refused("GET", f"{graph.user}/contacts?$expand=photo") == (400, "ErrorInvalidUrlQuery")


def test_lists_come_in_pages_of_ten_unless_asked_otherwise(sim, graph):
    sim.set(graph_list_page=20)
    for number in range(25):
        graph.ok("POST", f"{graph.user}/contacts", {"givenName": f"{number:02d}"})
    url = f"{graph.user}/contacts"
    assert [len(p["value"]) for p in graph.pages(url)] == [10, 10, 5]
    assert [len(p["value"]) for p in graph.pages(f"{url}?$top=8")] == [8, 8, 8, 1]
    assert [len(p["value"]) for p in graph.pages(url, Prefer="odata.maxpagesize=999")] == [20, 5]
    pages = graph.pages(f"{url}?$select=givenName&$orderby=givenName desc&$count=true&$top=20")
    assert pages[0]["@odata.count"] == 25
    assert "$skip=20" in pages[0]["@odata.nextLink"]
    assert [c["givenName"] for p in pages for c in p["value"]] == [f"{n:02d}" for n in range(24, -1, -1)]
    assert set(pages[0]["value"][0]) == {"@odata.etag", "id", "givenName"}
    assert pages[0]["@odata.nextLink"].startswith(sim.base_url)


def test_lists_shorten_notes(graph):
    graph.ok("POST", f"{graph.user}/contacts", {"personalNotes": "\n" + "x" * 300})
    assert graph.ok("GET", f"{graph.user}/contacts")["value"][0]["personalNotes"] == "x" * 256


def test_errors_carry_code_and_request_ids(graph):
    response = graph.get(f"{graph.user}/contacts/{'A' * 152}", client_request_id="my-own-id")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (404, "ErrorItemNotFound")
    assert error["innerError"]["client-request-id"] == response.headers["client-request-id"] == "my-own-id"
    assert error["innerError"]["request-id"] == response.headers["request-id"]
    assert graph.refused("GET", f"{graph.graph}/me/contacts") == (400, "BadRequest")
    assert graph.refused("PATCH", f"{graph.user}/contacts", {}) == (405, "ErrorInvalidRequest")


@pytest.mark.parametrize(
    ("state", "directory", "contacts", "code"),
    [
        ("normal", 200, 200, None),
        ("no_mailbox", 200, 404, "MailboxNotEnabledForRESTAPI"),
        ("disabled", 200, 200, None),
        ("policy_denied", 200, 403, "ErrorAccessDenied"),
        ("removed", 404, 404, "ErrorInvalidUser"),
    ],
)
def test_states_of_a_mailbox(sim, graph, state, directory, contacts, code):
    sim.control("POST", "graph/mailbox", {"mailbox": "sanne@voorbeeld.example", "state": state})
    assert graph.get(graph.user).status_code == directory
    response = graph.get(f"{graph.user}/contacts")
    assert response.status_code == contacts
    if code:
        assert response.json()["error"]["code"] == code
    if state == "disabled":
        assert graph.ok("GET", f"{graph.user}?$select=accountEnabled") == {
            "@odata.context": f"{graph.graph}/$metadata#users/$entity",
            "accountEnabled": False,
        }


def test_users_come_in_pages_and_by_name(sim, graph):
    pages = graph.pages(f"{graph.graph}/users?$select=userPrincipalName&$top=1")
    assert [p["value"] for p in pages] == [
        [{"userPrincipalName": "sanne@voorbeeld.example"}],
        [{"userPrincipalName": "daan@voorbeeld.example"}],
    ]
    found = graph.ok("GET", f"{graph.graph}/users?$filter=mail eq 'Daan@voorbeeld.example'")["value"]
    assert [item["mail"] for item in found] == ["daan@voorbeeld.example"]
    assert graph.refused("GET", f"{graph.graph}/users/nobody@x.example") == (404, "Request_ResourceNotFound")


def test_a_migrated_mailbox_has_new_ids(sim, graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE, **IMMUTABLE)
    sim.control("POST", "graph/mailbox", {"mailbox": "sanne@voorbeeld.example", "migrate": True})
    assert graph.refused("GET", f"{graph.user}/contacts/{made['id']}") == (404, "ErrorItemNotFound")
    assert graph.ok("GET", f"{graph.user}/contacts", **IMMUTABLE)["value"][0]["id"] != made["id"]


def test_a_renamed_user_keeps_the_id(sim, graph):
    user_id = graph.ok("GET", graph.user)["id"]
    body = {"mailbox": "sanne@voorbeeld.example", "rename": "s.devries@voorbeeld.example"}
    sim.control("POST", "graph/mailbox", body)
    assert graph.get(graph.user).status_code == 404
    assert graph.ok("GET", f"{graph.graph}/users/{user_id}")["userPrincipalName"] == body["rename"]


def test_the_private_flag_is_shown_where_it_is_expanded_and_never_by_delta(sim, graph, graph_user):
    """F31: a user sets and clears it by its extended property; lists and single reads show it, a copy keeps it."""
    flag = {"id": "Integer 0x36", "value": "2"}
    body = {"displayName": "Els", "singleValueExtendedProperties": [flag]}
    made = graph_user.ok("POST", f"{graph.user}/contacts", body)
    url = f"{graph.user}/contacts/{made['id']}"
    expand = "$expand=singleValueExtendedProperties($filter=id eq 'Integer 0x36')"
    assert graph.get(f"{url}?{expand}").json()["singleValueExtendedProperties"] == [flag]
    listed = graph.get(f"{graph.user}/contacts?{expand}").json()["value"]
    assert flag in [each for row in listed for each in row.get("singleValueExtendedProperties", [])]
    assert "singleValueExtendedProperties" not in graph.get(url).json()
    assert graph.get(f"{graph.user}/contacts/delta?{expand}").status_code >= 400
    before = graph.get(url).json()["@odata.etag"]
    zero = {"singleValueExtendedProperties": [flag | {"value": "0"}]}
    assert graph_user.ok("PATCH", url, zero)["@odata.etag"] != before
    wrong = {"singleValueExtendedProperties": [flag | {"value": "x"}]}
    assert graph_user.refused("PATCH", url, wrong) == (400, "ErrorInvalidProperty")
    upn = sim.info()["mailboxes"][0]["user_principal_name"]
    sim.control("POST", "graph/sensitivity", {"mailbox": upn, "contact": made["id"], "value": 3})
    copy = sim.control("POST", "graph/copy", {"mailbox": upn, "contact": made["id"]})
    shown = graph.get(f"{graph.user}/contacts/{copy['id']}?{expand}").json()
    assert shown["singleValueExtendedProperties"] == [flag | {"value": "3"}]
