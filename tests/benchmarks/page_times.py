"""How long each page takes where there is much: 1,000 profiles, 200,000 contacts, and as many items and changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from sync_lib.store import tables as t
from sync_lib.store.bulk import insert_rows, parts
from sync_lib.store.days import Arrivals
from sync_lib.store.engine import open_engine
from sync_lib.store.migrate import migrate
from sync_lib.web.app import make_app
from tests.databases import postgres_server
from tests.web.queries import counted
from tests.web.surroundings import EDITOR, seams_of
from tests.web.world import NOON, add_company, add_hold, add_profile, add_result, add_run, at, counters

CITIES = ("Zaandam", "Utrecht", "Haarlem", "Amsterdam", "Rotterdam")
#: Where Airflow has the pages; they lead to each other by it.
MOUNT = "/contact_sync"
#: Runs that the log still holds, and how many contacts of a profile each of them changed.
RUNS, CHANGED = 10, 20
#: Days of figures per day.
DAYS = 90
#: Profile, contact and run that the addresses below name.
PROFILE, RUN = 7, f"manual__{RUNS - 1}"
#: The profile that has no filter: everybody of the company would come into its folder.
UNFILTERED = 8

#: Every kind of page, with what people ask of it.
ADDRESSES = {
    "overview": "/",
    "overview, searched": "/?q=collega77",
    "overview, sorted": "/?sort=rejects&order=down",
    "overview, last part": "/?part=20",
    "run": f"/runs/{RUN}",
    "profile": f"/profiles/{PROFILE}",
    "profile, preview": f"/profiles/{PROFILE}/preview",
    "profile, preview without a filter": f"/profiles/{UNFILTERED}/preview",
    "profile, new": "/profiles/new",
    "plans": "/plans",
    "plan": f"/plans/{PROFILE}/{RUN}",
    "plan, searched": f"/plans/{PROFILE}/{RUN}?q=inkoper",
    "hold": "/holds/1",
    "contacts": "/contacts",
    "contacts, by name": "/contacts?q=Persoon+123456",
    "contacts, by a common word": "/contacts?q=persoon",
    "contacts, by an unknown word": "/contacts?q=niemand",
    "contacts, by letters beyond ASCII": "/contacts?q=%C3%A9%C3%A9n",
    "contacts, by a telephone number": "/contacts?q=06+1234+5678",
    "contact": f"/contacts/of/{PROFILE}/{{contact}}",
    "item": f"/items/{PROFILE}/item-{PROFILE}-3",
    "rejects": "/rejects",
    "rejects, of a profile": f"/rejects?profile={PROFILE}",
    "undo of a run": f"/undo?profile={PROFILE}&run={RUN}",
    "trends": "/trends",
    "trends, of a profile": f"/trends?profile={PROFILE}",
    "progress of a profile": f"/progress?profile={PROFILE}",
}


Figures = dict[str, tuple[float, int]]


def contact_id(n: int) -> str:
    return f"00000000-0000-0000-0000-{n:012}"


def fill(engine: Engine, profiles: int, contacts: int) -> None:
    """Fill the staging database as months of runs leave it: each profile holds its share of the contacts."""
    each = contacts // profiles
    with engine.begin() as conn:
        company = add_company(conn)
        read = {"side": "business_central", "scope": str(company), "updated_at": NOON}
        conn.execute(t.cursor.insert().values(read))
        rows = (
            (company, contact_id(n), "e", NOON, "Person", f"C{n:06}", f"Persoon {n}", f"persoon{n}@klant.example",
             f"persoon{n}@klant.example", CITIES[n % len(CITIES)], f"{n % profiles:05}", n)
            for n in range(contacts)
        )  # fmt: skip
        names = ("company", "id", "etag", "last_modified", "type", "number", "name", "email",
                 "email_key", "city", "post_code", "fingerprint")  # fmt: skip
        for part in parts(rows):
            insert_rows(conn, t.bc_contact, names, part)
        for n in range(RUNS):
            add_run(conn, f"manual__{n}", at(n))
        for n in range(profiles):
            filters = json.dumps([] if n + 1 == UNFILTERED else [["Post Code", f"{n:05}"]])
            key = add_profile(
                conn, f"collega{n}@voorbeeld.example", filter=filters, company=company,
                graph_user_id=f"user-{n}", folder_id=f"folder-{n}",
            )  # fmt: skip
            _fill_profile(conn, key, [n + profiles * m for m in range(each)])
        _fill_days(conn, company, profiles)
        add_hold(conn, profile=PROFILE, plan=1, requested=1)
        conn.exec_driver_sql("UPDATE change SET outcome = 'held', state = 'done' WHERE plan = 1")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("ANALYZE")


def _fill_days(conn: Any, company: int, profiles: int) -> None:
    """What 90 days left of each profile, and of all of them together."""
    today = datetime.now(UTC)
    arrived = Arrivals.of([30.0, 90.0, 400.0]).dump()
    names = ("day", "contacts", "agreed", "rejected", "held", "written_outlook", "arrivals")
    days = [(f"{today - timedelta(days=n):%Y-%m-%d}", 200, 195, 5, 0, 20, arrived) for n in range(DAYS)]
    rows = [(profile, *day) for profile in range(1, profiles + 1) for day in days]
    insert_rows(conn, t.profile_day, ("profile", *names), rows)
    insert_rows(conn, t.company_day, ("company", *names), [(company, *day) for day in days])
    compared = [(profile, RUN, NOON, 200, 195, 5, 0) for profile in range(1, profiles + 1)]
    of_comparisons = ("profile", "run", "compared_at", "contacts", "agreed", "rejected", "held")
    insert_rows(conn, t.comparison, of_comparisons, compared)


def _fill_profile(conn: Any, profile: int, people: list[int]) -> None:
    record = json.dumps({"displayName": "Persoon", "jobTitle": "Inkoper", "emailAddresses": []})
    items = [
        (profile, f"item-{profile}-{m}", "e", NOON, record, f"persoon{n}@klant.example", f"Persoon {n}", n)
        for m, n in enumerate(people)
    ]
    names = ("profile", "id", "etag", "last_modified", "record", "email_key", "name", "fingerprint")
    insert_rows(conn, t.outlook_contact, names, items)
    pairs = [
        (profile, contact_id(n), f"item-{profile}-{m}", "made_by_sync", "active", NOON, NOON)
        for m, n in enumerate(people)
    ]
    of_pairs = ("profile", "bc_id", "outlook_id", "origin", "state", "created_at", "updated_at")
    insert_rows(conn, t.coupling, of_pairs, pairs)
    for run in range(RUNS):
        counts = counters(len(people), unchanged=len(people) - CHANGED, updated=CHANGED)
        add_result(conn, f"manual__{run}", profile, started_at=at(run), counters=counts)
        values = {"profile": profile, "run": f"manual__{run}", "mode": "incremental", "fencing": 1}
        made = t.plan.insert().values(created_at=at(run), **values).returning(t.plan.c.id)
        plan = conn.execute(made).scalar_one()
        before, after = json.dumps({"job_title": "Inkoper"}), json.dumps({"job_title": f"Directeur {run}"})
        changes = [
            (plan, m, profile, "update_outlook", contact_id(n), f"item-{profile}-{m}", before, after,
             "changed_in_bc", "done", "updated", at(run))
            for m, n in enumerate(people[:CHANGED], 1)
        ]  # fmt: skip
        of_changes = ("plan", "n", "profile", "action", "bc_id", "outlook_id", "before", "after",
                 "cause", "state", "outcome", "ended_at")  # fmt: skip
        insert_rows(conn, t.change, of_changes, changes)
    rejects = [
        (profile, "business_central", contact_id(n), "", "rejected", "email_missing", NOON, "manual__0")
        for n in people[-5:]
    ]
    names = ("profile", "side", "contact", "field", "outcome", "reason", "since", "run")
    insert_rows(conn, t.reject, names, rejects)


@contextmanager
def filled(url: str, profiles: int, contacts: int) -> Iterator[tuple[TestClient, Engine]]:
    """Yield the pages over a database that holds so much."""
    engine = open_engine(url)
    migrate(engine)
    fill(engine, profiles, contacts)
    headers = {"x-user": EDITOR, "sec-fetch-site": "same-origin"}
    outer = FastAPI()
    outer.mount(MOUNT, make_app(seams_of(engine)))
    yield TestClient(outer, headers=headers), engine
    engine.dispose()


def statements(url: str, profiles: int) -> dict[str, int]:
    """Return how many statements each page sends, with so many profiles of 20 contacts."""
    with filled(url, profiles, profiles * 20) as (client, engine):
        found = {}
        for page, address in ADDRESSES.items():
            with counted(engine) as sent:
                _get(client, address)
            found[page] = len(sent)
    return found


def seconds(
    url: str, profiles: int, contacts: int, median: Callable[[Callable[[], object]], float]
) -> Figures:
    """Return how long each page takes, and how many statements it sends."""
    found = {}
    with filled(url, profiles, contacts) as (client, engine):
        for page, address in ADDRESSES.items():
            with counted(engine) as sent:
                _get(client, address)
            taken = median(partial(_get, client, address))
            found[page] = (taken, len(sent))
    return found


def _get(client: TestClient, address: str) -> None:
    # The profiles number from 1, so that profile 7 has the contacts 6, 6 + profiles, ...
    answer = client.get(MOUNT + address.format(contact=contact_id(PROFILE - 1)))
    assert answer.status_code == 200, address


def measure(
    home: Path, median: Callable[[Callable[[], object]], float], profiles: int, contacts: int
) -> list[tuple[object, ...]]:
    """Return per page: seconds with SQLite and with PostgreSQL, and statements with 20 and with so many profiles."""
    few = statements(f"sqlite:///{home}/few.db", 20)
    sqlite = seconds(f"sqlite:///{home}/many.db", profiles, contacts, median)
    with postgres_server() as server:
        postgres = seconds(server.create(), profiles, contacts, median)
    return [
        (page, f"{sqlite[page][0]:.3f}", f"{postgres[page][0]:.3f}", few[page], sqlite[page][1])
        for page in ADDRESSES
    ]
