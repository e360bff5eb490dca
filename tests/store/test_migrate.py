from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text

from sync_lib.errors import ConfigError, SyncError
from sync_lib.fields import categories
from sync_lib.fields.contact_keys import email_key_digest, item_key
from sync_lib.store import tables as t
from sync_lib.store.engine import is_postgresql, open_engine, read, transaction
from sync_lib.store.migrate import (
    OLDEST,
    VERSION_TABLE,
    alembic_config,
    downgrade,
    head,
    migrate,
    require_schema,
)


def _differences(engine):
    # SQLite keeps defaults as they were typed, so that equal ones look different.
    options = {"compare_type": True, "compare_server_default": is_postgresql(engine)}
    with read(engine) as conn:
        context = MigrationContext.configure(conn, opts=options | {"version_table": VERSION_TABLE})
        return compare_metadata(context, t.metadata)


def test_the_migrations_make_what_the_tables_say(engine):
    """After a change of tables.py: python -m sync_lib.store.migrate "what changed"."""
    assert _differences(engine) == []


def test_the_comparison_would_notice(engine):
    with transaction(engine) as conn:
        conn.execute(text("ALTER TABLE fact ADD COLUMN surplus TEXT"))
        conn.execute(text("DROP INDEX ix_bc_contact_company_overlay_salesperson"))
    assert len(_differences(engine)) == 2


def test_indexes_without_persons_stay_small(engine):
    """Alembic does not compare the conditions of indexes."""
    catalogue = (
        "SELECT indexdef FROM pg_indexes WHERE indexname = :name"
        if is_postgresql(engine)
        else "SELECT sql FROM sqlite_master WHERE name = :name"
    )
    with read(engine) as conn:
        made = conn.execute(
            text(catalogue), {"name": "ix_bc_contact_company_overlay_company_key"}
        ).scalar_one()
    assert "WHERE" in made


def test_head_by_file_name_is_head_by_alembic(engine):
    with read(engine) as conn:
        assert ScriptDirectory.from_config(alembic_config(conn)).get_heads() == [head()]


def test_migrating_again_changes_nothing_and_needs_no_alembic(database_url):
    program = (
        "import sys\n"
        "from sync_lib.store.engine import open_engine\n"
        "from sync_lib.store.migrate import migrate\n"
        "engine = open_engine(sys.argv[1])\n"
        "migrate(engine)\n"
        "engine.dispose()\n"
        "assert 'alembic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, database_url], check=True)


def test_many_may_migrate_at_once(empty_url):
    failures = []

    def migrate_it() -> None:
        engine = open_engine(empty_url)
        try:
            migrate(engine)
        except SyncError as error:
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=migrate_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    engine = open_engine(empty_url)
    assert _differences(engine) == []
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing_behind(empty_url):
    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        # The last table by name: all others are made before it gets in the way.
        conn.execute(text("CREATE TABLE run_profile (x INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        migrate(engine)
    with transaction(engine) as conn:
        conn.execute(text("DROP TABLE run_profile"))
    migrate(engine)
    assert _differences(engine) == []
    engine.dispose()


def test_a_database_of_a_newer_program_is_left_alone(engine):
    with transaction(engine) as conn:
        conn.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer than this program"):
        migrate(engine)


def test_an_upgrade_keeps_what_is_stored(engine):
    with transaction(engine) as conn:
        conn.execute(
            insert(t.company).values(tenant_id="t", environment="e", company_id="c", name="Jansen & Zn.")
        )
    migrate(engine)
    with read(engine) as conn:
        assert conn.execute(select(t.company.c.name)).scalars().all() == ["Jansen & Zn."]


def test_holds_of_the_first_schema_are_kept(empty_url):
    from alembic import command

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0001")
        conn.execute(
            text(
                "INSERT INTO sync_profile (id, mailbox, company_name, created_at, updated_at)"
                " VALUES (1, 'a@a.example', 'A', '2026', '2026')"
            )
        )
        for key, state, by in ((5, "open", None), (6, "rejected", "eva"), (7, "", None)):
            conn.execute(
                text(
                    "INSERT INTO plan (id, run, profile, mode, fencing, created_at, hold_hash, hold_state, decided_by)"
                    " VALUES (:id, 'r', 1, 'full', 1, '2026', 'h', :state, :by)"
                ),
                {"id": key, "state": state, "by": by},
            )
            conn.execute(
                text(
                    "INSERT INTO change (plan, n, profile, action, state) VALUES (:id, 1, 1, 'couple', 'done')"
                ),
                {"id": key},
            )
    migrate(engine)
    with read(engine) as conn:
        kept = conn.execute(select(t.hold.c.plan, t.hold.c.state, t.hold.c.decided_by, t.hold.c.decided_how))
        assert sorted(map(tuple, kept)) == [(5, "open", "", ""), (6, "rejected", "eva", "person")]
        assert list(conn.scalars(select(t.change.c.plan).order_by(t.change.c.plan))) == [5, 6, 7]
    engine.dispose()


def version_of(engine):
    with read(engine) as conn:
        return conn.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()


def test_only_an_empty_database_gets_a_schema_by_being_looked_at(empty_url):
    """O10: a page would else change the schema under workers of the version before."""
    engine = open_engine(empty_url)
    require_schema(engine)
    assert version_of(engine) == head()
    require_schema(engine)
    with transaction(engine) as conn:
        conn.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{OLDEST[:-1]}0'"))
    with pytest.raises(ConfigError, match=r"older schema 0000; .*contact-sync db migrate"):
        require_schema(engine)
    with transaction(engine) as conn:
        conn.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"schema 9999, which is newer"):
        require_schema(engine)
    assert version_of(engine) == "9999"
    engine.dispose()


def test_there_is_a_way_back(empty_url):
    """O10: down to the oldest program that knew of one, with what it stored, and up again."""
    engine = open_engine(empty_url)
    migrate(engine)
    with transaction(engine) as conn:
        profile = "INSERT INTO sync_profile (id, mailbox, company_name, created_at, updated_at) VALUES "
        conn.execute(text(profile + "(1, 'a@a.example', 'A', '2026', '2026')"))
    downgrade(engine, OLDEST)
    assert version_of(engine) == OLDEST
    with read(engine) as conn:
        assert conn.execute(text("SELECT mailbox FROM sync_profile")).scalars().all() == ["a@a.example"]
    migrate(engine)
    assert _differences(engine) == []
    with read(engine) as conn:
        assert conn.execute(text("SELECT mailbox FROM sync_profile")).scalars().all() == ["a@a.example"]
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "9999", "head", "0008x", ""])
def test_a_way_back_that_there_is_not(engine, revision):
    """O10: said before anything changes."""
    with pytest.raises(ConfigError, match="There is no way from schema"):
        downgrade(engine, revision)
    assert version_of(engine) == head()


def test_the_last_comparison_of_each_profile_is_found_in_its_runs(empty_url):
    """P1: a quiet run of the old kind said that all agree; what the run before it had compared is carried over."""
    from alembic import command

    def run(conn, name, at, counters, *, dry=False, profile=1):
        values = {"run": name, "at": at, "no": dry, "profile": profile, "counters": counters}
        names = "id, mode, dry_run, state, started_at, ended_at"
        conn.execute(
            text(f"INSERT INTO sync_run ({names}) VALUES (:run, 'full', :no, 'success', :at, :at)"), values
        )
        names = "run, profile, chunk, state, counters, started_at, ended_at"
        conn.execute(
            text(
                f"INSERT INTO run_profile ({names}) VALUES (:run, :profile, '1', 'done', :counters, :at, :at)"
            ),
            values,
        )

    compared = '{"read": 9, "outcomes": {"rejected": 5, "unchanged": 4}, "planned": {}, "reasons": {"x": 5}}'
    quiet = '{"read": 9, "unbalanced": 0, "outcomes": {"unchanged": 9}, "writes": {}, "reasons": {}}'
    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0008")
        for key in (1, 2):
            conn.execute(
                text(
                    "INSERT INTO sync_profile (id, mailbox, company_name, created_at, updated_at)"
                    f" VALUES ({key}, 'm{key}@a.example', 'A', '2026', '2026')"
                )
            )
        run(conn, "first", "2026-03-01", '{"read": 9, "outcomes": {}, "planned": {}}')
        run(conn, "compared", "2026-03-02", compared)
        run(conn, "dry", "2026-03-03", '{"outcomes": {}, "planned": {"created_outlook": 1}}', dry=True)
        run(conn, "quiet", "2026-03-04", quiet)
        run(conn, "other", "2026-03-04T1", quiet, profile=2)
    migrate(engine)
    with read(engine) as conn:
        [row] = conn.execute(select(t.comparison)).all()
        assert (row.profile, row.run, row.compared_at) == (1, "compared", "2026-03-02")
        assert json.loads(row.counters)["outcomes"] == {"rejected": 5, "unchanged": 4}
        assert conn.scalar(select(t.sync_run.c.reason).where(t.sync_run.c.id == "quiet")) == ""
    with transaction(engine) as conn:
        command.downgrade(alembic_config(conn), "0008")
    with transaction(engine) as conn:
        assert conn.scalar(text("SELECT count(*) FROM run_profile")) == 5
    migrate(engine)
    engine.dispose()


def test_what_was_refused_for_a_passing_reason_is_tried_again(empty_url):
    """R1: of the remembered refusals only those stay that speak of the value."""
    from alembic import command

    def refused(**reasons):
        return json.dumps({name: {"digest": "d", "reason": reason} for name, reason in reasons.items()})

    before = {
        1: refused(title="Application_DialogException", phone="Application_StringExceededLength"),
        2: refused(country="Internal_InvalidTableRelation"),
        3: "{}",
        4: refused(title="refused_by_business_central"),
    }
    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0010")
        for key, stored in before.items():
            conn.execute(
                text(
                    "INSERT INTO sync_profile (id, mailbox, company_name, created_at, updated_at)"
                    f" VALUES ({key}, 'm{key}@a.example', 'A', '2026', '2026')"
                )
            )
            conn.execute(
                text(
                    "INSERT INTO coupling (id, profile, bc_id, origin, state, refused, created_at, updated_at)"
                    f" VALUES ({key}, {key}, 'x', 'adopted', 'active', :stored, '2026', '2026')"
                ),
                {"stored": stored},
            )
            conn.execute(
                text(
                    "INSERT INTO cursor (side, scope, pending, updated_at)"
                    f" VALUES ('outlook', '{key}', :no, '2026')"
                ),
                {"no": False},
            )
    migrate(engine)
    with read(engine) as conn:
        c = t.coupling.c
        rows = conn.execute(select(c.id, c.refused, c.attention).order_by(c.id)).all()
        assert [list(json.loads(row.refused)) for row in rows] == [["phone"], ["country"], [], []]
        assert [row.attention for row in rows] == [True, False, False, True]
        pending = select(t.cursor.c.pending).order_by(t.cursor.c.scope)
        assert list(conn.scalars(pending)) == [True, False, False, True]
    with transaction(engine) as conn:
        command.downgrade(alembic_config(conn), "0010")
        assert conn.execute(text("SELECT count(*) FROM coupling")).scalar_one() == 4
    migrate(engine)
    engine.dispose()


def test_colleagues_start_runs_for_profiles_that_are_there(empty_url: str) -> None:
    """0021 to 0022, and back: nobody has started one, and nothing of the profiles changes."""
    from alembic import command

    from sync_lib.store import own_runs

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0021")
        values = "(id, mailbox, company_name, folder_name, created_at, updated_at)"
        conn.execute(
            text(f"INSERT INTO sync_profile {values} VALUES (7, 'a@a.example', 'A', 'Mine', '2026', '2026')")
        )
    migrate(engine)
    with transaction(engine) as conn:
        assert own_runs.read_last(conn, 7, "contact_sync") is None
        assert own_runs.take_turn(conn, 7, "contact_sync", "a@a.example")
        own_runs.write_run(conn, 7, "contact_sync", "manual__1")
        last = own_runs.read_last(conn, 7, "contact_sync")
        assert last is not None
        assert (last.asked_by, last.run) == ("a@a.example", "manual__1")
    with transaction(engine) as conn:
        command.downgrade(alembic_config(conn), "0021")
    with transaction(engine) as conn:
        assert conn.execute(text("SELECT folder_name FROM sync_profile")).scalar_one() == "Mine"
    migrate(engine)
    engine.dispose()


def test_profiles_are_due_and_tasks_keep_their_places(empty_url: str) -> None:
    """0019 to 0020, and back: nobody is left out before it has compared; links into logs go on leading there."""
    from alembic import command

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0019")
        for key in (2, 9, 10, 11):
            values = "(id, mailbox, company_name, created_at, updated_at)"
            row = f"({key}, 'm{key}@a.example', 'A', '2026', '2026')"
            conn.execute(text(f"INSERT INTO sync_profile {values} VALUES {row}"))
        columns = "(side, scope, position, diffed_generation, pending, last_good_at, updated_at)"
        good = "('outlook', '2', 'link', 7, :no, '2026-03-02', '2026')"
        conn.execute(text(f"INSERT INTO cursor {columns} VALUES {good}"), {"no": False})
        for run in ("r1", "r2"):
            conn.execute(
                text(
                    f"INSERT INTO sync_run (id, mode, state, started_at) VALUES ('{run}', 'full', 'success', '2026')"
                )
            )
            for key, chunk in ((2, "2"), (9, "9"), (10, "10"), (11, "10")):
                values = f"('{run}', {key}, '{chunk}', 'done')"
                conn.execute(text(f"INSERT INTO run_profile (run, profile, chunk, state) VALUES {values}"))
    migrate(engine)
    with read(engine) as conn:
        k, own, r = t.cursor.c, t.run_profile.c, t.sync_run.c
        seen = (k.position, k.due_at, k.looked_generation, k.linked_at, k.ask_failures, k.ask_due)
        assert conn.execute(select(*seen)).one() == ("link", "", None, None, 0, None)
        places = conn.execute(select(own.profile, own.map_index, own.why).where(own.run == "r2"))
        assert sorted(map(tuple, places)) == [(2, 0, ""), (9, 1, ""), (10, 2, ""), (11, 2, "")]
        assert set(conn.execute(select(r.finds_work, r.found_at, r.quiet))) == {(False, None, None)}
        assert conn.execute(select(t.awaited)).all() == []
    with transaction(engine) as conn:
        command.downgrade(alembic_config(conn), "0019")
    with transaction(engine) as conn:
        assert conn.execute(text("SELECT count(*) FROM run_profile")).scalar_one() == 8
        assert conn.execute(text("SELECT position, diffed_generation FROM cursor")).one() == ("link", 7)
    migrate(engine)
    engine.dispose()


def test_cursors_and_runs_go_on_where_they_are(empty_url: str) -> None:
    """O3: 0011 to 0012, and back: a last full read that was written by its end counts as one that began then."""
    from alembic import command

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0011")
        conn.execute(
            text(
                "INSERT INTO cursor (side, scope, position, last_full_at, updated_at)"
                " VALUES ('outlook', '7', 'link', '2026-03-02T02:01:00.000Z', '2026')"
            )
        )
        conn.execute(
            text(
                "INSERT INTO sync_run (id, mode, state, started_at) VALUES ('r', 'full', 'success', '2026-03-02')"
            )
        )
    migrate(engine)
    with read(engine) as conn:
        row = conn.execute(select(t.cursor)).mappings().one()
        assert (row["position"], row["last_full_at"]) == ("link", "2026-03-02T02:01:00.000Z")
        assert (row["full_tried_at"], row["full_failures"]) == (None, 0)
        assert conn.scalar(select(t.sync_run.c.full_slot)) is None
    with transaction(engine) as conn:
        command.downgrade(alembic_config(conn), "0011")
    with transaction(engine) as conn:
        assert conn.scalar(text("SELECT position FROM cursor")) == "link"
    migrate(engine)
    engine.dispose()


def test_what_is_held_is_carried_over_by_contact(empty_url):
    """G1: open, rejected and approved holds keep their decisions; a folder that only went to Outlook is looked at."""
    from alembic import command

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0012")
        conn.execute(
            text(
                "INSERT INTO sync_profile (id, mailbox, company_name, folder_id, direction, created_at, updated_at)"
                " VALUES (1, 'a@a.example', 'A', 'f1', 'both', '2026', '2026'),"
                " (2, 'b@a.example', 'A', 'f2', 'to_outlook', '2026', '2026')"
            )
        )
        conn.execute(
            text(
                "INSERT INTO cursor (side, scope, diffed_generation, updated_at)"
                " VALUES ('outlook', '1', 1, '2026'), ('outlook', '2', 1, '2026')"
            )
        )
        for key, state in ((1, "open"), (2, "rejected"), (3, "approved"), (4, "superseded")):
            values = {"key": key, "state": state, "hash": f"h{key}"}
            conn.execute(
                text(
                    "INSERT INTO plan (id, run, profile, mode, fencing, created_at)"
                    " VALUES (:key, 'r', 1, 'full', 1, '2026')"
                ),
                values,
            )
            conn.execute(
                text(
                    "INSERT INTO change (plan, n, profile, action, state, outcome, outlook_id, email_key, digest,"
                    " guard_class, reason) VALUES (:key, 1, 1, 'create_business_central', 'done', 'held', 'o',"
                    " 'a@b.example', 'd', 'creates', 'too_many_creates')"
                ),
                values,
            )
            conn.execute(
                text(
                    "INSERT INTO hold (id, profile, plan, run, hash, state, opened_at, requested)"
                    " VALUES (:key, 1, :key, 'r', :hash, :state, '2026', 1)"
                ),
                values,
            )
    migrate(engine)
    with read(engine) as conn:
        a = t.held_action.c
        kept = conn.execute(select(a.hold, a.state, a.digest, a.guard_class, a.known_by).order_by(a.id)).all()
        known = json.dumps(sorted([item_key("o"), email_key_digest("a@b.example")]))
        assert [tuple(row) for row in kept] == [
            (key, state, "d", "creates", known)
            for key, state in ((1, "open"), (2, "rejected"), (3, "approved"))
        ]
        assert conn.execute(select(t.hold.c.asked_hash, t.hold.c.shown).where(t.hold.c.id == 2)).one() == (
            "h2",
            "h2",
        )
        assert conn.scalar(select(t.plan.c.hash).where(t.plan.c.id == 1)) == "h1"
        assert list(conn.scalars(select(t.sync_profile.c.looked_at).order_by(t.sync_profile.c.id))) == [
            "f1",
            "",
        ]
    with transaction(engine) as conn:
        command.downgrade(alembic_config(conn), "0012")
        assert conn.execute(text("SELECT count(*) FROM hold")).scalar_one() == 4
    engine.dispose()


def test_companies_and_profiles_stay_bound_as_they_are(empty_url):
    """I1: what an earlier program had synced is bound to what it was synced from; and there is a way back."""
    from alembic import command

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0009")
        conn.execute(
            text(
                "INSERT INTO company (id, tenant_id, environment, company_id, name)"
                " VALUES (1, 'firm.example', 'Production', 'c', 'Cronus')"
            )
        )
        conn.execute(
            text(
                "INSERT INTO sync_profile (id, mailbox, company_name, company, graph_user_id, folder_id, created_at,"
                " updated_at) VALUES (1, 'a@a.example', 'Cronus', 1, 'u', 'f', '2026', '2026')"
            )
        )
    migrate(engine)
    bound = text("SELECT tenant_id, environment, company_id, offered_environment FROM company")
    with read(engine) as conn:
        assert tuple(conn.execute(bound).one()) == ("firm.example", "Production", "c", "")
        kept = conn.execute(text("SELECT graph_user_id, folder_id, successor FROM sync_profile")).one()
        assert tuple(kept) == ("u", "f", "")
    downgrade(engine, "0009")
    with read(engine) as conn:
        assert conn.execute(text("SELECT folder_id FROM sync_profile")).scalar_one() == "f"
    engine.dispose()


def test_items_of_couplings_that_ended_are_taken_over_from_the_change_log(empty_url):
    """I8: a privacy block finds them after the upgrade; what is coupled, its coupling knows. There is a way back."""
    from alembic import command

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0014")
        conn.execute(
            text(
                "INSERT INTO sync_profile (id, mailbox, company_name, created_at, updated_at)"
                " VALUES (1, 'a@a.example', 'A', '2026', '2026')"
            )
        )
        conn.execute(
            text(
                "INSERT INTO plan (id, run, profile, mode, fencing, created_at)"
                " VALUES (1, 'r', 1, 'full', 1, '2026'), (2, 'r', 1, 'full', 1, '2026')"
            )
        )
        for plan, n, bc_id, item in (
            (1, 1, "b1", "ended"),
            (2, 1, "b1", "ended"),
            (1, 2, "b2", "coupled"),
            (1, 3, None, "new"),
        ):
            conn.execute(
                text(
                    "INSERT INTO change (plan, n, profile, action, state, bc_id, outlook_id)"
                    " VALUES (:plan, :n, 1, 'update_outlook', 'done', :bc, :item)"
                ),
                {"plan": plan, "n": n, "bc": bc_id, "item": item},
            )
        conn.execute(
            text(
                "INSERT INTO coupling (profile, bc_id, outlook_id, origin, state, created_at, updated_at)"
                " VALUES (1, 'b2', 'coupled', 'adopted', 'active', '2026', '2026')"
            )
        )
    migrate(engine)
    with read(engine) as conn:
        row = conn.execute(select(t.former_item)).mappings().one()
        assert dict(row) == {
            "profile": 1,
            "outlook_id": "ended",
            "bc_id": "b1",
            "origin": "",
            "settled": False,
            "categories": json.dumps([*categories.digests(categories.DEFAULT)]),
        }
    downgrade(engine, "0014")
    with read(engine) as conn:
        assert conn.execute(text("SELECT count(*) FROM coupling")).scalar_one() == 1
    migrate(engine)
    engine.dispose()


def test_profiles_go_on_as_they_were_before_they_could_end(empty_url):
    """Synced, switched off, never synced: none of them has ended, nobody is left out; and there is a way back."""
    from alembic import command

    from sync_lib.store import wishes
    from sync_lib.store.profiles import endings, rows
    from sync_lib.store.profiles.history import Author

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0015")
        conn.execute(
            text(
                "INSERT INTO sync_profile (id, mailbox, company_name, enabled, graph_user_id, folder_id, created_at,"
                " updated_at) VALUES (1, 'a@a.example', 'A', :yes, 'u', 'f', '2026', '2026'),"
                " (2, 'b@a.example', 'A', :no, 'v', 'g', '2026', '2026'),"
                " (3, 'c@a.example', 'A', :yes, NULL, NULL, '2026', '2026')"
            ),
            {"yes": True, "no": False},
        )
        conn.execute(
            text(
                "INSERT INTO coupling (profile, bc_id, outlook_id, origin, state, created_at, updated_at)"
                " VALUES (1, 'b1', 'o1', 'made_by_sync', 'active', '2026', '2026')"
            )
        )
    migrate(engine)
    with transaction(engine) as conn:
        assert [each.id for each in rows.read_profiles(conn)] == [1, 3]
        every = rows.read_profiles(conn, enabled_only=False)
        assert [(each.id, each.ending, each.ended_at) for each in every] == [(n, "", None) for n in (1, 2, 3)]
        endings.ask_end(conn, every[0], endings.KEEP, Author("a", "2026"))
        endings.end_profile(conn, rows.read_profile(conn, 1), None, {})
        assert wishes.read_wishes(conn, 2) == wishes.Wishes()
        wishes.leave_out(conn, every[1], "b1", Author("a", "2026"))
        wishes.leave_out(conn, every[1], "b1", Author("b", "2026"))
        wishes.ask_sync(conn, every[2], "b1", Author("a", "2026"))
        assert wishes.read_left_out(conn, 2) == {"b1"}
    downgrade(engine, "0015")
    with read(engine) as conn:
        assert conn.execute(text("SELECT bc_id FROM former_item WHERE profile = 1")).scalar_one() == "b1"
        kept = conn.execute(text("SELECT enabled, folder_id FROM sync_profile WHERE id = 1")).one()
        assert tuple(kept) == (False, None)
    migrate(engine)
    engine.dispose()


def test_the_category_that_the_sync_put_on_items_stays_known_as_its_own(empty_url):
    """Nothing is written because of it, and the fixed category is the template of every profile; and a way back."""
    from alembic import command

    from sync_lib.store import couplings, former_items
    from sync_lib.store.profiles import groups, rows

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0018")
        for statement in (
            (
                "INSERT INTO sync_profile (id, mailbox, company_name, created_at, updated_at)"
                " VALUES (1, 'a@a.example', 'A', '2026', '2026')"
            ),
            (
                "INSERT INTO profile_group (group_name, company_name, created_at, updated_at)"
                " VALUES ('Sales', 'A', '2026', '2026')"
            ),
            (
                "INSERT INTO coupling (profile, bc_id, bc_row, outlook_id, origin, state, created_at, updated_at)"
                " VALUES (1, 'b1', 7, 'o1', 'adopted', 'active', '2026', '2026'),"
                " (1, 'b2', 8, NULL, 'made_by_sync', 'away', '2026', '2026')"
            ),
            "INSERT INTO former_item (profile, outlook_id, bc_id, origin) VALUES (1, 'o3', 'b3', 'adopted')",
            (
                "INSERT INTO plan (id, run, profile, round, mode, dry_run, fencing, created_at)"
                " VALUES (1, 'r', 1, 1, 'full', :no, 1, '2026')"
            ),
            "INSERT INTO change (plan, n, profile, action, state) VALUES (1, 1, 1, 'couple', 'done')",
        ):
            conn.execute(text(statement), {"no": False} if ":no" in statement else {})
    migrate(engine)
    with read(engine) as conn:
        assert rows.read_profile(conn, 1).categories == categories.DEFAULT
        assert [each.entry.categories for each in groups.read_groups(conn)] == [categories.DEFAULT]
        own = {"asked": ["Business Central"], "own": ["Business Central"]}
        known = {each: couplings.find_coupling(conn, 1, bc_id=each) for each in ("b1", "b2")}
        assert {key: each.categories for key, each in known.items() if each} == {"b1": own, "b2": {}}
        assert couplings.read_categories(conn, 1, ["Business Central"]) == []
        assert [key for _, key, _ in couplings.read_categories(conn, 1, ["business central"])] == [7]
        [former] = former_items.read_former(conn, 1, ["b3"])
        assert former.categories == categories.digests(["Business Central"])
    downgrade(engine, "0018")
    with read(engine) as conn:
        assert conn.execute(text("SELECT outlook_id FROM coupling WHERE bc_id = 'b1'")).scalar_one() == "o1"
    migrate(engine)
    engine.dispose()


def test_profiles_of_a_mailbox_are_found_by_its_address_after_the_upgrade(empty_url):
    """Whatever case it was written in; and a way back that keeps them."""
    from alembic import command

    from sync_lib.store.profiles import rows

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0020")
        for key, mailbox in ((1, "Anna.Élise@A.example"), (2, "anna.élise@a.example"), (3, "b@a.example")):
            conn.execute(
                text(
                    "INSERT INTO sync_profile (id, mailbox, company_name, folder_name, created_at, updated_at)"
                    f" VALUES ({key}, '{mailbox}', 'A', 'F{key}', '2026', '2026')"
                )
            )
    migrate(engine)
    with transaction(engine) as conn:
        assert [each.id for each in rows.of_mailbox(conn, "ANNA.ÉLISE@a.example")] == [1, 2]
        rows.follow_mailbox(conn, rows.read_profile(conn, 2), "B@a.example", now="2026")
        assert [each.id for each in rows.of_mailbox(conn, "b@A.example")] == [2, 3]
    downgrade(engine, "0020")
    with read(engine) as conn:
        found = conn.execute(text("SELECT mailbox FROM sync_profile ORDER BY id")).scalars().all()
    assert found == ["Anna.Élise@A.example", "B@a.example", "b@a.example"]
    migrate(engine)
    with read(engine) as conn:
        assert [each.id for each in rows.of_mailbox(conn, "b@a.example")] == [2, 3]
    engine.dispose()
