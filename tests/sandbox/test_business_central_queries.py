"""Lists and batches of Business Central: points 16, 17 and 19."""

from __future__ import annotations

import pytest

ROWS = [
    {
        "displayName": "Alfa BV",
        "type": "Company",
        "country": "NL",
        "lastModifiedDateTime": "2024-01-01T08:00:00Z",
    },
    {"displayName": "Jan d'Arc", "email": "Jan@x.example", "privacyBlocked": True},
    {"displayName": "Piet Bos", "email": "piet@x.example", "country": "BE"},
    {"displayName": "Anna Vos", "email": "anna@y.example", "country": "NL"},
]
for number, row in enumerate(ROWS[1:]):
    row["lastModifiedDateTime"] = f"2024-01-0{number + 2}T08:00:00.333Z"


@pytest.fixture
def rows(sim):
    ids = sim.control("POST", "bc/set", {"contacts": ROWS})["ids"]
    return dict(zip(ids, ROWS, strict=True))


def names(page):
    return [row["displayName"] for row in page["value"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type eq 'Person'", "Jan Piet Anna"),
        ("type eq Microsoft.NAV.contactType'Company'", "Alfa"),
        ("displayName eq 'Jan d''Arc'", "Jan"),
        ("displayName eq 'jan d''arc'", ""),
        ("tolower(displayName) eq 'jan d''arc'", "Jan"),
        ("toupper(email) eq 'JAN@X.EXAMPLE'", "Jan"),
        ("country eq 'nl'", "Alfa Anna"),
        ("country ne 'NL' and type eq 'Person'", "Jan Piet"),
        ("country eq 'NL' or country eq 'BE'", "Alfa Piet Anna"),
        ("(country eq 'NL' or country eq 'BE') and type eq 'Person'", "Piet Anna"),
        ("not startswith(displayName,'A')", "Jan Piet"),
        ("startswith(displayName,'A') and endswith(displayName,'Vos')", "Anna"),
        ("contains(email,'@y.')", "Anna"),
        ("contains(email,'@y.') eq true", "Anna"),
        ("privacyBlocked eq true", "Jan"),
        ("lastModifiedDateTime gt 2024-01-02T08:00:00.333Z", "Piet Anna"),
        ("lastModifiedDateTime ge 2024-01-02T08:00:00.333Z", "Jan Piet Anna"),
        ("lastModifiedDateTime ge 2024-01-02T08:00:00.334Z", "Piet Anna"),
        ("lastModifiedDateTime lt 2024-01-02T09:00:00.333+01:00", "Alfa"),
        ("lastModifiedDateTime le 2024-01-01T08:00:00Z", "Alfa"),
    ],
)
def test_filters(bc, rows, text, expected):
    page = bc.session.get(f"{bc.company}/contacts", params={"$filter": text}, timeout=20).json()
    assert [name.split()[0] for name in names(page)] == expected.split()


def test_filters_on_ids_and_row_versions(bc, rows):
    wanted = list(rows)[2]
    assert names(bc.ok("GET", f"{bc.company}/contacts?$filter=id eq {wanted}")) == ["Piet Bos"]
    version = bc.ok("GET", f"{bc.extended}/contacts({wanted})")["systemRowVersion"]
    assert names(bc.ok("GET", f"{bc.extended}/contacts?$filter=systemRowVersion gt {version}")) == [
        "Anna Vos"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "displayName eq 'a' or email eq 'b'",
        "nonsense eq 'a'",
        "surname eq 'a'",
        "displayName eq",
        "displayName eq 'a' and",
        "displayName like 'a'",
        "emails/any(e:e eq 'a')",
        "lastModifiedDateTime gt 'yesterday'",
        "privacyBlocked eq 'true'",
        "(displayName eq 'a'",
        "contains(privacyBlocked,'a')",
    ],
)
def test_other_filters_are_refused(bc, rows, text):
    assert bc.refused("GET", f"{bc.company}/contacts?$filter={text}") == (400, "BadRequest")


def test_order_select_count_top_and_skip(bc, rows):
    url = f"{bc.company}/contacts"
    assert names(bc.ok("GET", f"{url}?$orderby=country desc,displayName")) == [
        "Alfa BV",
        "Anna Vos",
        "Piet Bos",
        "Jan d'Arc",
    ]
    page = bc.ok("GET", f"{url}?$select=id,displayName&$count=true&$top=1&$skip=1")
    assert (page["@odata.count"], names(page), len(page["value"][0])) == (4, ["Jan d'Arc"], 3)
    assert bc.get(f"{url}/$count").text == "4"
    for query in ("$select=surname", "$orderby=surname", "$search=a", "$top=x"):
        assert bc.refused("GET", f"{url}?{query}")[0] == 400


def test_pages_follow_the_key_and_top_has_no_link(sim, bc, rows):
    sim.set(bc_max_page=3)
    url = f"{bc.company}/contacts"
    pages = bc.pages(url)
    assert [len(page["value"]) for page in pages] == [3, 1]
    assert pages[0]["@odata.nextLink"].startswith(f"{sim.base_url}/bc/v2.0/")
    assert [len(page["value"]) for page in bc.pages(url, Prefer="odata.maxpagesize=2")] == [2, 2]
    assert [len(page["value"]) for page in bc.pages(f"{url}?$top=2")] == [2]
    assert bc.refused("GET", url, Prefer="odata.maxpagesize=20001")[0] == 413


@pytest.mark.parametrize("order", ["", "&$orderby=lastModifiedDateTime,number", "&$orderby=country desc"])
def test_rows_that_come_and_go_during_paging_move_no_others(bc, rows, order):
    url = f"{bc.company}/contacts?$filter=type eq 'Person'{order}"
    first = bc.ok("GET", url, Prefer="odata.maxpagesize=1")
    bc.ok("DELETE", f"{bc.company}/contacts({first['value'][0]['id']})", If_Match="*")
    bc.ok("POST", f"{bc.company}/contacts", {"type": "Person", "displayName": "Late", "country": "AT"})
    rest = [
        n for page in bc.pages(first["@odata.nextLink"], Prefer="odata.maxpagesize=1") for n in names(page)
    ]
    assert sorted(names(first) + [n for n in rest if n != "Late"]) == ["Anna Vos", "Jan d'Arc", "Piet Bos"]
    assert len(rest) == len(set(rest))


def part(number, method, url, body=None, **headers):
    return {
        "id": number,
        "method": method,
        "url": url,
        "headers": {"Content-Type": "application/json", **headers},
        "body": body,
    }


def run(bc, *parts, **headers):
    return bc.ok("POST", f"{bc.api}/$batch", {"requests": list(parts)}, **headers)["responses"]


def test_parts_of_a_batch_are_independent(bc, rows):
    place = bc.company.partition("/api/v2.0/")[2]
    wanted = list(rows)[1]
    answers = run(
        bc,
        part("1", "PATCH", f"{place}/contacts({wanted})", {"jobTitle": "x"}, **{"If-Match": "*"}),
        part("2", "POST", f"{place}/contacts", {"country": "XX"}),
        part("3", "POST", f"{place}/contacts", {"displayName": "New"}),
        part("4", "GET", f"{bc.company}/contacts({wanted})"),
    )
    assert [(a["id"], a["status"]) for a in answers] == [("1", 200), ("2", 400), ("3", 201), ("4", 200)]
    assert answers[3]["body"]["jobTitle"] == "x"


def test_the_extended_page_has_batches_of_its_own(bc, rows):
    place = bc.extended.partition("/contacts/v1.0/")[2]
    url = bc.extended.partition("/companies")[0]
    body = {"requests": [part("1", "GET", f"{place}/contacts({list(rows)[1]})")]}
    answer = bc.ok("POST", f"{url}/$batch", body)["responses"][0]
    assert answer["body"]["surname"] == "d'Arc"


@pytest.mark.parametrize(("value", "count"), [("continue", 2), ("stop", 1)])
def test_switch_bc_batch_after_error(sim, bc, value, count):
    sim.set(bc_batch_after_error=value)
    place = bc.company.partition("/api/v2.0/")[2]
    parts = [
        part("1", "POST", f"{place}/contacts", {}),
        part("2", "POST", f"{place}/contacts", {"displayName": "A"}),
    ]
    assert len(run(bc, *parts)) == count
    assert len(run(bc, *parts, Prefer="odata.continue-on-error")) == 2


def test_a_batch_with_snapshot_isolation_is_rolled_back_whole(sim, bc, rows):
    place = bc.company.partition("/api/v2.0/")[2]
    good = part("1", "POST", f"{place}/contacts", {"displayName": "New"})
    answers = run(
        bc, good, part("2", "POST", f"{place}/contacts", {}), good | {"id": "3"}, Isolation="snapshot"
    )
    assert [a["status"] for a in answers] == [201, 400]
    assert bc.get(f"{bc.company}/contacts/$count").text == "4"
    assert sim.counters()["app"]["bc"]["writes"] == 0
    run(bc, good, Isolation="snapshot")
    assert bc.get(f"{bc.company}/contacts/$count").text == "5"


def test_a_batch_has_a_largest_size_and_parts_without_ids_keep_their_order(bc, rows):
    place = bc.company.partition("/api/v2.0/")[2]
    one = part(None, "GET", f"{place}/contacts/$count")
    del one["id"]
    assert [a["id"] for a in run(bc, one, one)] == [None, None]
    assert bc.refused("POST", f"{bc.api}/$batch", {"requests": [one] * 101}) == (400, "BadRequest")
