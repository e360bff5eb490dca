"""Every benchmark can be run: on a tiny world, for its counts and its tables. No time is looked at."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import latency, staging, worlds
from tests.benchmarks.latency import Edit, Pair
from tests.benchmarks.measuring import Options
from tests.benchmarks.names import BENCHMARKS
from tests.benchmarks.report import Table
from tests.databases import PostgresDatabases

#: Those that start a server, a process or a program each take seconds, however tiny the world is.
IN_PROCESS = ("diff", "page")
ON_POSTGRESQL = ("write", "stage", "read", "scope", "growth")
#: It has what all have that are beside a sandbox in another process.
BESIDE_A_SANDBOX = ("loop",)


def tables(name: str) -> list[Table]:
    return benchmarks.program(name)(Options(rounds=1, small=True))


def assert_filled(found: list[Table]) -> None:
    assert found
    for table in found:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.head)}
        assert all(isinstance(cell, str) and cell for row in table.rows for cell in row)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_has_a_program(name: str) -> None:
    assert callable(benchmarks.program(name))


# What others' packages warn of in a process of their own is not ours.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*IN_PROCESS, *BESIDE_A_SANDBOX])
def test_a_benchmark_fills_its_tables(name: str) -> None:
    assert_filled(tables(name))


@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_a_benchmark_on_both_databases_fills_its_tables(
    name: str, postgres_databases: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests have a server; the benchmarks start one of their own.
    monkeypatch.setattr(staging, "postgres_server", lambda: nullcontext(postgres_databases))
    found = tables(name)
    assert_filled(found)
    assert {"SQLite", "PostgreSQL"} <= {cell for row in found[0].rows for cell in row[:2]}


def test_requests_are_those_that_quality_asks_for_where_nothing_changed() -> None:
    counts, scaled = found = tables("requests")
    assert_filled(found)
    rows = {row[0]: dict(zip(counts.head, row, strict=True)) for row in counts.rows}
    for case in ("nothing changed", "the run behind it (echo)", "5 profiles, nothing changed"):
        assert rows[case]["Graph requests"] == rows[case]["Graph floor"]
        assert rows[case]["writes"] == "0"
    assert {row["answers 429"] for row in rows.values()} == {"0"}
    assert scaled.rows[0][-1] == "0"


def test_an_office_has_as_many_contacts_for_each_profile() -> None:
    world = worlds.office(12, 3)
    cities = [contact["city"] for contact in world["companies"][0]["contacts"]]
    assert [cities.count(worlds.city(n)) for n in range(3)] == [4, 4, 4]
    assert [row["filter"]["City"] for row in worlds.profile_rows(3)] == [worlds.city(n) for n in range(3)]
    assert "filter" not in worlds.profile_rows(1)[0]


# -- how long edits take -----------------------------------------------------------------------------------------------


def edit(*, at: float, arrived: float | None, in_bc: bool = True) -> Edit:
    return Edit(Pair("a@voorbeeld.example", "c", "i"), in_bc, "Functie", at, arrived)


def test_edits_are_counted_by_direction_and_beside_the_next_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency.time, "time", lambda: 700.0)
    edits = [edit(at=610, arrived=665), edit(at=620, arrived=670, in_bc=False), edit(at=640, arrived=None)]
    table = latency.figures(edits, 3, 0, "2 runs.")
    rows = {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}
    assert rows["BC to Outlook"]["edits"] == "2"
    # The one that never came counts for as long as it was waited for.
    assert rows["BC to Outlook"]["not arrived"] == "1"
    assert rows["BC to Outlook"]["longest s"] == "60"
    assert rows["Outlook to BC"]["p50 s"] == "50 (40)"
    assert rows["both"]["p50 s"] == "55 (40)"


def test_nobody_edits_what_somebody_waits_for() -> None:
    class Services:
        """A company of two contacts, whose edits never arrive."""

        def __init__(self) -> None:
            self.info = {"graph_root": "https://graph.example"}
            self.edited: list[tuple[str, str]] = []

        def dump(self) -> dict[str, Any]:
            contacts = [{"email": f"p{n}@klant.example", "id": f"c{n}"} for n in range(2)]
            items = [
                {
                    "immutable_id": f"i{n}",
                    "properties": {"emailAddresses": [{"address": f"p{n}@klant.example"}]},
                }
                for n in range(2)
            ]
            box = {"user_principal_name": "a@voorbeeld.example", "folders": [{"contacts": items}]}
            return {"companies": [{"contacts": contacts}], "mailboxes": [box]}

        def company_url(self, company: str) -> str:
            return "https://bc.example/companies(1)"

        def as_user(self, service: str, method: str, url: str, body: Any = None) -> Any:
            if method == "PATCH":
                self.edited.append((service, url.rstrip(")")[-1]))
            return {"jobTitle": "Inkoper"}

    services = Services()
    users = latency.Users(services)  # type: ignore[arg-type]
    users.edit()
    users.edit()
    # The first in Business Central, the next in Outlook, and of the other contact.
    assert sorted(services.edited) in ([("bc", "0"), ("graph", "1")], [("bc", "1"), ("graph", "0")])
    users.look(users.edits[0])
    assert len(users.pending) == 2
    assert {each.pair.contact for each in users.pending} == {"c0", "c1"}


def test_each_contact_is_in_three_folders_and_one_in_all() -> None:
    made = latency.office(5, 7)
    cities = [row["filter"]["City"].split("|") for row in made.rows]
    shown = Counter(city for chosen in cities for city in chosen)
    contacts = Counter(contact["city"] for contact in made.world["companies"][0]["contacts"])
    assert {shown[worlds.city(n)] for n in range(5)} == {3}
    assert (shown[latency.EVERYWHERE], contacts[latency.EVERYWHERE]) == (5, 1)
    # Those of somebody new are in nobody's folder yet.
    assert (shown[worlds.city(5)], contacts[worlds.city(5)]) == (0, 7)
    addresses = [contact["email"] for contact in made.world["companies"][0]["contacts"]]
    assert len(set(addresses)) == len(addresses)
    assert latency.NEWCOMER in made.world["mailboxes"]


def test_what_happens_beside_the_edits_is_begun_once_and_timed_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(latency.time, "time", lambda: now[0])
    began: list[float] = []
    ended: list[bool] = []
    event = latency.Event("a full sync", 0.5, lambda: began.append(now[0]), lambda: bool(ended))
    for passed, moment in ((0.4, 140.0), (0.5, 150.0), (0.6, 160.0)):
        now[0] = moment
        event.look(passed)
    assert began == [150.0]
    assert not event.is_over
    assert latency.beside([event]).rows == [("a full sync", "-")]
    ended.append(True)
    now[0] = 192.0
    event.look(0.9)
    assert event.is_over
    assert latency.beside([event]).rows == [("a full sync", "42")]
