"""How the pages read a long history: by index, whatever the database makes of its statistics."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert

from sync_lib.store import tables as t
from sync_lib.store.engine import is_postgresql
from sync_lib.web.app import make_app
from tests.web.surroundings import open_seams
from tests.web.world import add_company, add_hold, add_person, add_plan, add_profile, add_result, add_run, at

PROFILES, RUNS = 200, 200
ADDRESSES = (
    "/", "/?q=collega7", "/?sort=rejects&order=down", "/?state=done", "/runs/run199", "/profiles/7", "/plans",
    "/history", "/plans/7/run199", "/holds/1", "/contacts", "/contacts/1/b1", "/rejects", "/undo?profile=7&run=run199",
    "/trends", "/trends?profile=7", "/progress?profile=7",
    "/profiles/7/status", "/bulk", "/bulk?state=done&q=collega", "/bulk/profiles?state=done", "/many",
)  # fmt: skip


@pytest.fixture
def history(engine: Engine) -> Engine:
    """So many runs of so many profiles that reading all of them would be the wrong plan."""
    with engine.begin() as conn:
        company = add_company(conn)
        add_person(conn, company, "b1", name="Piet")
        ids = [
            add_profile(conn, f"collega{n}@a.example", company=company, graph_user_id=f"u{n}")
            for n in range(PROFILES)
        ]
        rows = []
        for n in range(RUNS):
            add_run(conn, f"run{n}", at(n), ended_at=None if n == RUNS - 1 else at(n))
            rows += [
                {"run": f"run{n}", "profile": key, "chunk": str(key), "state": "done", "started_at": at(n)}
                for key in ids
            ]
        conn.execute(insert(t.run_profile), rows)
        change = {"action": "update_outlook", "bc_id": "b1", "outlook_id": "o", "outcome": "updated"}
        plan = add_plan(conn, 7, "run199", change)
        add_hold(conn, profile=7, plan=plan)
        new = add_profile(conn, "nieuw@a.example")
        add_result(conn, f"run{RUNS - 1}", new, "running", started_at=at(RUNS))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("ANALYZE")
    return engine


def whole_reads(engine: Engine, statement: str, parameters: Any) -> list[str]:
    """The lines of a plan in which all rows of ``run_profile`` are gone through."""
    names = {"run_profile", *re.findall(r"run_profile AS (\w+)", statement)}
    prefix = "EXPLAIN" if is_postgresql(engine) else "EXPLAIN QUERY PLAN"
    with engine.connect() as conn:
        cursor = conn.connection.cursor()
        cursor.execute(f"{prefix} {statement}", parameters)
        lines = [str(row[-1]) for row in cursor.fetchall()]
    whole = (
        re.compile(r"Seq Scan on (run_profile)\b")
        if is_postgresql(engine)
        else re.compile(r"^SCAN (\w+)(?!.*USING (?:COVERING )?INDEX)")
    )
    return [line for line in lines if (found := whole.search(line)) and found[1] in names]


def test_no_page_reads_the_whole_history(history: Engine) -> None:
    """O4: the last run of each profile, and its chart, are looked up; one query plan that is wrong is enough."""
    from fastapi.testclient import TestClient

    client = TestClient(make_app(open_seams(history)))
    sent: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            sent.append((statement, parameters))

    event.listen(history, "before_cursor_execute", note)
    for address in ADDRESSES:
        assert client.get(address).status_code == 200, address
    event.remove(history, "before_cursor_execute", note)
    named = [statement for statement, _ in sent if "run_profile" in statement]
    assert len(named) > len(ADDRESSES) - 3, "the pages do ask for runs"
    wrong = {statement for statement, parameters in sent if whole_reads(history, statement, parameters)}
    assert wrong == set()


def test_a_plan_that_reads_everything_would_be_noticed(history: Engine) -> None:
    """O4: the test above sees what it looks for."""
    assert whole_reads(history, "SELECT count(*) FROM run_profile AS x WHERE x.message <> ''", ())
