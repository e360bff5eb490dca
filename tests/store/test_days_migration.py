"""Schema 0023 on a database of 0022 with data in it, and the way back."""

from __future__ import annotations

import json

from alembic import command
from sqlalchemy import select, text

from sync_lib.store import days, runs
from sync_lib.store import tables as t
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.migrate import alembic_config, downgrade, migrate

BEFORE = "0022"
#: Statements as the schema before it takes them; :no and :yes are what each database calls so.
ROWS = (
    (
        "INSERT INTO company (id, tenant_id, environment, company_id, name) VALUES (1, 't', 'e', 'c', 'A'),"
        " (2, 't', 'e', 'd', 'B')"
    ),
    (
        "INSERT INTO sync_profile (id, mailbox, company_name, company, enabled, created_at, updated_at)"
        " VALUES (1, 'a@a.example', 'A', 1, :yes, '2026', '2026'), (2, 'b@a.example', 'A', 1, :yes, '2026', '2026')"
    ),
    (
        "INSERT INTO sync_run (id, mode, state, dry_run, started_at, ended_at)"
        " VALUES ('good', 'full', 'success', :no, '2026-03-01', '2026-03-01T10:00:00.000Z'),"
        " ('dry', 'full', 'success', :yes, '2026-03-02', '2026-03-02T10:00:00.000Z'),"
        " ('bad', 'full', 'failed', :no, '2026-03-03', '2026-03-03T10:00:00.000Z'),"
        " ('now', 'full', 'success', :no, '2026-03-04', NULL)"
    ),
    "INSERT INTO run_profile (run, profile, chunk, state) VALUES ('good', 1, '1', 'done')",
    (
        "INSERT INTO plan (id, run, profile, round, mode, dry_run, fencing, created_at)"
        " VALUES (1, 'good', 1, 1, 'full', :no, 1, '2026'), (2, 'good', 2, 1, 'full', :no, 1, '2026')"
    ),
    (
        "INSERT INTO change (plan, n, profile, action, state, outcome, ended_at)"
        " VALUES (1, 1, 1, 'create_outlook', 'done', 'created', '2026-03-01T09:00:00.000Z'),"
        " (1, 2, 1, 'update_business_central', 'done', 'updated', '2026-03-01T09:01:00.000Z'),"
        " (1, 3, 1, 'update_outlook', 'done', 'failed', '2026-03-01T09:01:00.000Z'),"
        " (1, 4, 1, 'update_outlook', 'planned', NULL, NULL),"
        " (2, 1, 2, 'delete_outlook', 'done', 'deleted', '2026-03-01T23:59:59.999Z'),"
        " (2, 2, 2, 'delete_outlook', 'done', 'deleted', '2026-03-02T00:00:00.000Z')"
    ),
    (
        "INSERT INTO reject (profile, side, contact, outcome, reason, since, run)"
        " VALUES (1, 'outlook', 'x', 'rejected', 'r', '2026', 'good')"
    ),
    (
        "INSERT INTO hold (profile, run, hash, state, opened_at) VALUES (1, 'good', 'h', 'open', '2026'),"
        " (2, 'good', 'h', 'rejected', '2026')"
    ),
)


def test_days_are_counted_from_the_change_log_and_the_last_comparisons(empty_url: str) -> None:
    engine = open_engine(empty_url)
    counters = {"read": 9, "outcomes": {"unchanged": 5, "created": 1, "held": 2, "rejected": 1}}
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), BEFORE)
        for statement in ROWS:
            values = {name: name == "yes" for name in ("yes", "no") if f":{name}" in statement}
            conn.execute(text(statement), values)
        insert = "INSERT INTO comparison (profile, run, compared_at, counters) VALUES (:profile, 'good', '2026', :it)"
        for profile, it in ((1, counters), (2, {"outcomes": {}})):
            conn.execute(text(insert), {"profile": profile, "it": json.dumps(it)})
    for _ in range(2):
        migrate(engine)
        with read(engine) as conn:
            stored = conn.execute(select(t.profile_day).order_by(*t.profile_day.primary_key.columns)).all()
            assert [tuple(row) for row in stored] == [
                (1, "2026-03-01", None, None, None, None, 1, 1, "{}"),
                (2, "2026-03-01", None, None, None, None, 1, 0, "{}"),
                (2, "2026-03-02", None, None, None, None, 1, 0, "{}"),
            ]
            stored = conn.execute(select(t.company_day).order_by(t.company_day.c.day)).all()
            assert [tuple(row)[:2] + tuple(row)[6:8] for row in stored] == [
                (1, "2026-03-01", 2, 1),
                (1, "2026-03-02", 1, 0),
            ]
            c = t.comparison.c
            found = conn.execute(select(c.contacts, c.agreed, c.rejected, c.held).order_by(c.profile)).all()
            assert [tuple(row) for row in found] == [(9, 6, 1, 2), (0, 0, 0, 0)]
            assert runs.read_last_good(conn) == "2026-03-01T10:00:00.000Z"
            assert conn.scalars(select(t.change.c.edited_at).distinct()).all() == [None]
            assert conn.scalars(select(t.run_profile.c.progress)).all() == [""]
        downgrade(engine, BEFORE)
        with read(engine) as conn:
            assert conn.execute(text("SELECT count(*) FROM change")).scalar_one() == 6
            assert conn.execute(text("SELECT count(*) FROM fact")).scalar_one() == 0
    migrate(engine)
    with transaction(engine) as conn:
        days.count_all(conn, 1)
        assert days.read_profile_days(conn, 1, 30)[-1].written_outlook == 0
    engine.dispose()
