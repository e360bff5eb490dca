"""Schema 0024 on a database of 0023 with profiles in it, and the way back."""

from __future__ import annotations

from alembic import command
from sqlalchemy import text

from sync_lib.store import weekly_mail
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.migrate import alembic_config, downgrade, migrate
from sync_lib.store.weekly_mail import Choice

BEFORE = "0023"
ROWS = (
    (
        "INSERT INTO sync_profile (id, mailbox, company_name, folder_name, graph_user_id, created_at, updated_at)"
        " VALUES (7, 'a@a.example', 'A', 'Mine', 'U-1', '2026', '2026'),"
        " (8, 'b@a.example', 'A', 'Mine', NULL, '2026', '2026')"
    ),
    (
        "INSERT INTO reject (profile, side, contact, outcome, reason, since, run)"
        " VALUES (7, 'outlook', 'x', 'rejected', 'name_missing', '2026', 'r')"
    ),
)
NEXT_WEEK = "9999-01-04T00:00:00.000Z"


def test_nobody_has_asked_for_the_mail_before_and_the_way_back_keeps_the_profiles(empty_url: str) -> None:
    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), BEFORE)
        for statement in ROWS:
            conn.execute(text(statement))
    for _ in range(2):
        migrate(engine)
        with transaction(engine) as conn:
            assert weekly_mail.read_choice(conn, 7) == Choice(False, "", None)
            assert weekly_mail.read_due(conn, NEXT_WEEK) == {}
            for profile in (7, 8):
                weekly_mail.choose(conn, profile, "nl", wanted=True)
            assert weekly_mail.read_choice(conn, 7) == Choice(True, "nl", None)
            assert weekly_mail.read_due(conn, NEXT_WEEK) == {"u-1": [7]}, "8 has never synced"
        downgrade(engine, BEFORE)
        with read(engine) as conn:
            assert (
                conn.execute(text("SELECT folder_name FROM sync_profile WHERE id = 7")).scalar_one() == "Mine"
            )
            assert conn.execute(text("SELECT count(*) FROM reject")).scalar_one() == 1
    migrate(engine)
    engine.dispose()
