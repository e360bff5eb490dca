from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import DBAPIError

from sync_lib.errors import ConfigError, StagingAwayError
from sync_lib.store import tables as t
from sync_lib.store.bulk import insert_rows
from sync_lib.store.engine import is_postgresql, open_engine, read, transaction


def _add_company(conn, key: str) -> None:
    conn.execute(insert(t.company).values(tenant_id="t", environment="e", company_id=key, name=key))


def _companies(engine: Engine) -> int:
    with read(engine) as conn:
        return len(conn.execute(select(t.company.c.id)).all())


def test_a_transaction_is_all_or_nothing(engine):
    with transaction(engine) as conn:
        _add_company(conn, "kept")

    def fail_halfway() -> None:
        with transaction(engine) as conn:
            _add_company(conn, "lost")
            _add_company(conn, "kept")

    with pytest.raises(DBAPIError):
        fail_halfway()
    assert _companies(engine) == 1


def test_a_read_refuses_to_write_and_the_next_transaction_does_not(engine):
    with pytest.raises(DBAPIError, match=r"read-?only"), read(engine) as conn:
        _add_company(conn, "x")
    with transaction(engine) as conn:
        _add_company(conn, "x")
    assert _companies(engine) == 1


def test_a_read_sees_one_picture(engine):
    with read(engine) as conn:
        before = conn.execute(select(t.company.c.id)).all()
        with transaction(engine) as other:
            _add_company(other, "x")
        assert conn.execute(select(t.company.c.id)).all() == before
    assert _companies(engine) == 1


def test_writers_that_read_first_wait_for_each_other(engine):
    """The classic failure of SQLite: both read, one writes, the other is refused at once."""
    rounds, workers = 20, 4
    with transaction(engine) as conn:
        _add_company(conn, "x")
    failures = []

    def count_up() -> None:
        try:
            for _ in range(rounds):
                with transaction(engine) as conn:
                    wanted = select(t.company.c.generation)
                    # PostgreSQL needs a row lock for this; the point here is SQLite.
                    found = conn.execute(wanted.with_for_update()).scalar_one()
                    conn.execute(t.company.update().values(generation=found + 1))
        except DBAPIError as error:
            failures.append(error)

    threads = [threading.Thread(target=count_up) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with read(engine) as conn:
        assert conn.execute(select(t.company.c.generation)).scalar_one() == rounds * workers


def test_foreign_keys_hold(engine):
    with pytest.raises(DBAPIError), transaction(engine) as conn:
        conn.execute(insert(t.run_company).values(run="nobody", company=77, state="planned"))


def test_sqlite_is_set_up(new_database):
    engine = open_engine(new_database("sqlite"))
    with read(engine) as conn:
        settings = [
            conn.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert settings == ["wal", 1, 1, 60_000]
    engine.dispose()


def test_many_may_open_a_new_sqlite_file_at_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    failures = []

    def open_it() -> None:
        try:
            open_engine(url).dispose()
        except ConfigError as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_every_spelling_of_postgresql_means_psycopg_3(new_database, scheme):
    url = new_database("postgresql").replace("postgresql+psycopg", scheme, 1)
    engine = open_engine(url)
    assert is_postgresql(engine)
    assert engine.dialect.driver == "psycopg"
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "cannot be read"),
        ("nonsense", "cannot be read"),
        ("postgresql://user:hunter2@host:port/x", "cannot be read"),
        ("mysql://user:hunter2@host/x", "names 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////no/such/directory/x.db", "does not exist"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url, message):
    with pytest.raises(ConfigError, match=message) as caught:
        open_engine(url)
    assert "hunter2" not in str(caught.value)


def test_nobody_there_is_said_without_a_password():
    """O1: it may pass, so it is no wrong setting."""
    with pytest.raises(StagingAwayError, match="does not answer") as caught:
        open_engine("postgresql://user:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and long enough to be read as a header of one" * 20)
    with pytest.raises(ConfigError, match="not a database"):
        open_engine(f"sqlite:///{path}")


def test_sqlite_waits_as_long_as_it_says(new_database):
    """A second writer gets its turn when the first one is done, not an error."""
    url = new_database("sqlite")
    engine = open_engine(url)
    holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    started = threading.Event()

    def write() -> None:
        started.set()
        with transaction(engine) as conn:
            _add_company(conn, "x")

    writer = threading.Thread(target=write)
    writer.start()
    started.wait()
    holder.execute("COMMIT")
    writer.join()
    holder.close()
    assert _companies(engine) == 1
    engine.dispose()


@pytest.mark.postgres
def test_postgresql_plans_each_statement_with_its_values(new_database):
    """A prepared plan goes through a list of 10,000 ids once per row: minutes in place of milliseconds."""
    engine = open_engine(new_database("postgresql"))
    with read(engine) as conn:
        for _ in range(10):
            conn.execute(text("SELECT :value"), {"value": 1})
        assert conn.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0
    engine.dispose()


def test_an_error_holds_no_parameter(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as caught, transaction(engine) as conn:
        conn.execute(text("INSERT INTO no_such_table VALUES (:value)"), {"value": "geheim@klant.example"})
    assert "geheim" not in str(caught.value)


def test_a_new_staging_file_is_its_owners_alone(tmp_path):
    """O8: also the files that SQLite makes beside it."""
    engine = open_engine(f"sqlite:///{tmp_path / 'staging.db'}")
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE x (y)")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    engine.dispose()
    assert set(modes.values()) == {0o600}
    assert {"staging.db", "staging.db-wal"} <= set(modes)


@pytest.mark.postgres
def test_a_server_that_goes_away_in_the_first_questions_is_asked_again(new_database, monkeypatch):
    lost = ["consuming input failed: server closed the connection unexpectedly"]
    rollback = psycopg.Connection.rollback

    def cut(self) -> None:
        if lost:
            self.close()
            raise psycopg.OperationalError(lost.pop())
        rollback(self)

    monkeypatch.setattr(psycopg.Connection, "rollback", cut)
    engine = open_engine(new_database("postgresql"))
    with read(engine) as conn:
        assert conn.scalar(text("SELECT 1")) == 1
    engine.dispose()
    assert not lost


PERSON = "Liesbethgeheim"
WRONG = {
    "a key that is there already": lambda conn: _add_company(conn, PERSON),
    "a row that a rule refuses": lambda conn: conn.execute(
        insert(t.company).values(tenant_id="t", environment="e", company_id=PERSON, name=None)
    ),
    "a text of another form": lambda conn: conn.execute(
        text("SELECT CAST(:it AS json) #> '{}'" if is_postgresql(conn) else "SELECT json(:it)"),
        {"it": PERSON},
    ).all(),
    "rows in bulk": lambda conn: insert_rows(
        conn, t.company, ("tenant_id", "environment", "company_id", "name"), [("t", "e", PERSON, PERSON)]
    ),
    "a cell in bulk": lambda conn: insert_rows(conn, t.company, ("id", "name"), [(PERSON, PERSON)]),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_of_the_database_holds_no_value(engine, what):
    """Rules 9: PostgreSQL names the row that it refuses, and a traceback stands in a task's log."""
    with transaction(engine) as conn:
        _add_company(conn, PERSON)

    def fail() -> None:
        with transaction(engine) as conn:
            WRONG[what](conn)

    with pytest.raises(Exception) as raised:  # noqa: PT011 - the driver's own, or SQLAlchemy's
        fail()
    error: BaseException | None = raised.value
    while error is not None:
        assert PERSON not in str(error)
        assert PERSON not in repr(error)
        error = error.__cause__ or error.__context__
