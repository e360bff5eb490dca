"""The staging database: bulk writes, re-reads, reads into frames, and one profile's part of a company."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from sync_lib.extract.staging import bc_row
from sync_lib.fields.bc_columns import COLUMN_NAMES
from sync_lib.fields.filters import Filter, parse_filter
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.mapper import FieldMapper
from sync_lib.model import BcContact
from sync_lib.run.inputs import Scope, read_scope
from sync_lib.store import tables as t
from sync_lib.store.bulk import insert_rows
from sync_lib.store.engine import is_postgresql, open_engine
from sync_lib.store.migrate import migrate
from sync_lib.store.snapshots import bc_contacts
from sync_lib.store.snapshots.rows import BcRow
from tests.benchmarks.measuring import Cost, Options, cost_of, median, side_by_side
from tests.benchmarks.report import Table, growth, ratio, seconds
from tests.databases import postgres_server
from tests.web.world import add_company

KINDS = ("SQLite", "PostgreSQL")
NAMES = ("company", "overlay", "id", *bc_contacts._BC.names)
CITIES = 50


@contextmanager
def databases() -> Iterator[dict[str, Callable[[], Engine]]]:
    """Yield, for each kind, what makes a new migrated database."""
    with ExitStack() as running:
        home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="contact-sync-bench-")))
        server = running.enter_context(postgres_server())

        def made(url: str) -> Engine:
            engine = open_engine(url)
            running.callback(engine.dispose)
            migrate(engine)
            return engine

        def sqlite() -> Engine:
            return made(f"sqlite:///{home}/{len(list(home.iterdir()))}.db")

        yield {"SQLite": sqlite, "PostgreSQL": lambda: made(server.create())}


def contacts(count: int, *, changed: int = 0, stamp: str = "2026-03-02T09:00:00Z") -> list[BcRow]:
    """Return staged rows of a company; the first ``changed`` differ from those of another call, and are newer."""
    mapper = FieldMapper.of("standard", Lookups(countries={"NL": "Nederland"}))
    return [bc_row(_contact(n, n < changed, stamp), mapper) for n in range(count)]


def _contact(n: int, is_changed: bool, stamp: str) -> BcContact:
    values = {
        "type": "Person",
        "number": f"C{n:06}",
        "name": f"Jan van der Berg{n}",
        "email": f"p{n}@klant.example",
        "phone": f"020 555 {n % 10_000:04}",
        "mobile": f"+31 6 5550 {n % 10_000:04}",
        "job_title": "Directeur" if is_changed else "Inkoper",
        "address_line_1": f"Kade {n}",
        "city": f"Plaats {n % CITIES}",
        "post_code": "1501 AB",
        "country": "NL",
        "privacy_blocked": "false",
    }
    known = {name: values.get(name, "") for name in COLUMN_NAMES}
    newer = "2026-03-03T09:00:00Z" if is_changed else stamp
    return BcContact(f"{n:08}-0000-0000-0000-000000000000", f"W/{n}{is_changed}", newer, known)


def stage(conn: Connection, company: int, rows: list[BcRow]) -> None:
    """Stage rows as a read of the company does."""
    bc_contacts.stage_business_central(conn, company, rows, generation=1, normaliser=1)


def tuples_of(company: int, rows: list[BcRow]) -> list[tuple[Any, ...]]:
    """Return what the table takes for these rows."""
    return [(company, "", row.contact.id, *bc_contacts._BC.values(row, None), 1, 1) for row in rows]


def plainly(conn: Connection, rows: list[tuple[Any, ...]]) -> None:
    """Write rows in the plainest quick way: a COPY of rows, or ``executemany``."""
    columns = ", ".join(NAMES)
    if not is_postgresql(conn):
        marks = ", ".join("?" * len(NAMES))
        conn.connection.cursor().executemany(f"INSERT INTO bc_contact ({columns}) VALUES ({marks})", rows)
        return
    with conn.connection.cursor().copy(f"COPY bc_contact ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


@dataclass
class Company:
    """A company in a staging database, which is filled anew for each measurement."""

    engine: Engine
    key: int

    @classmethod
    def of(cls, engine: Engine) -> Company:
        """Return a new company."""
        with engine.begin() as conn:
            return cls(engine, add_company(conn))

    def empty(self) -> None:
        """Forget its contacts."""
        with self.engine.begin() as conn:
            conn.execute(t.bc_contact.delete())
        self._vacuum()

    def fill(self, rows: list[BcRow]) -> None:
        """Hold these contacts, and nothing else."""
        self.empty()
        with self.engine.begin() as conn:
            plainly(conn, tuples_of(self.key, rows))
        self._vacuum()

    def _vacuum(self) -> None:
        if self.engine.dialect.name == "postgresql":
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                conn.execute(text("VACUUM ANALYZE bc_contact"))

    def cost(self, act: Callable[[Connection], object]) -> Cost:
        """Return what a transaction costs, with its commit."""

        def whole() -> None:
            with self.engine.begin() as conn:
                act(conn)

        return cost_of(whole)


def _turns(
    company: Company, rounds: int, ways: dict[str, tuple[list[BcRow], Callable[[Connection], object]]]
) -> dict[str, float]:
    """Return the median seconds of each way, each with what has to be there before it."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, (before, act) in ways.items():
            company.fill(before)
            cost = company.cost(act)
            if number:
                costs[name].append(cost)
    return {name: median(found).wall for name, found in costs.items()}


# -- the programs ----------------------------------------------------------------------------------------------------


def write(options: Options) -> list[Table]:
    """Bulk write of contacts into an empty company, beside COPY and ``executemany`` into the same table."""
    rows = []
    with databases() as made:
        for kind, size in _each(options, 10_000, 100_000):
            company = Company.of(made[kind]())
            staged = contacts(size)
            plain = tuples_of(company.key, staged)
            times = _turns(company, options.rounds, {
                "reference": ([], partial(plainly, rows=plain)),
                "bulk": ([], partial(insert_rows, table=t.bc_contact, names=NAMES, rows=plain)),
                "stage": ([], partial(stage, company=company.key, rows=staged)),
            })  # fmt: skip
            floor = times["reference"]
            rows.append((
                kind, str(size), seconds(floor), seconds(times["bulk"]), ratio(times["bulk"], floor),
                seconds(times["stage"]), ratio(times["stage"], floor),
            ))  # fmt: skip
    head = ("database", "contacts", "COPY / executemany", "bulk write", "x", "staged, with judging", "x")
    return [Table("Bulk write into the real table", head, rows, "Reach: bulk write <= 1.3 x.")]


def restage(options: Options) -> list[Table]:
    """Staging of a full re-read in which 1 % differs, and of the 1 % alone, beside a plain write of all."""
    rows = []
    with databases() as made:
        for kind, size in _each(options, 10_000, 100_000):
            company = Company.of(made[kind]())
            old, new = contacts(size), contacts(size, changed=max(1, size // 100))
            delta, plain = new[: max(1, size // 100)], tuples_of(company.key, new)
            times = _turns(company, options.rounds, {
                "reference": ([], partial(plainly, rows=plain)),
                "again": (old, partial(stage, company=company.key, rows=new)),
                "delta": (old, partial(stage, company=company.key, rows=delta)),
            })  # fmt: skip
            floor = times["reference"]
            rows.append((
                kind, str(size), seconds(floor), seconds(times["again"]), ratio(times["again"], floor),
                seconds(times["delta"]), ratio(times["delta"], floor),
            ))  # fmt: skip
    head = ("database", "contacts", "COPY / executemany", "re-read, 1 % differs", "x", "the 1 % alone", "x")
    return [Table("Staging", head, rows, "Reach: re-read <= 1.3 x, the 1 % alone <= 0.1 x.")]


def read(options: Options) -> list[Table]:
    """A company's contacts into a frame, beside ADBC's Arrow table of the same query."""
    rows = []
    with databases() as made:
        for kind, size in _each(options, 10_000, 100_000):
            company = Company.of(made[kind]())
            company.fill(contacts(size))
            with company.engine.connect() as conn:
                acts: dict[str, Callable[[], object]] = {
                    "ours": partial(bc_contacts.read_scope, conn, company.key)
                }
                with ExitStack() as running:
                    if adbc := _adbc(company, running):
                        acts["adbc"] = adbc
                    costs = side_by_side(options.rounds, acts)
            ours, theirs = costs["ours"], costs.get("adbc")
            rows.append((
                kind, str(size), seconds(ours.wall), seconds(theirs.wall if theirs else None),
                ratio(ours.wall, theirs.wall if theirs else None), ratio(ours.cpu, theirs.cpu if theirs else None),
            ))  # fmt: skip
    head = ("database", "contacts", "ours", "ADBC", "x wall", "x CPU of the client")
    return [Table("Read into a frame", head, rows, "Reach: <= 1.1 x ADBC.")]


def _adbc(company: Company, running: ExitStack) -> Callable[[], object] | None:
    """Return what reads the same rows by ADBC, or None where that is not installed."""
    url = company.engine.url
    try:
        if company.engine.dialect.name == "sqlite":
            from adbc_driver_sqlite import dbapi

            connection: Any = dbapi.connect(str(url.database))
        else:
            from adbc_driver_postgresql import dbapi as of_postgresql

            plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
            connection = of_postgresql.connect(plain)
    except ImportError:
        return None
    running.callback(connection.close)
    columns = ", ".join(bc_contacts.SCOPE_COLUMNS)
    query = (
        f"SELECT {columns} FROM bc_contact WHERE company = {company.key} AND overlay = '' "
        "AND gone_since IS NULL AND type = 'Person' AND privacy_blocked <> 'true'"
    )

    def fetch() -> object:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetch_arrow_table()

    return fetch


def scope(options: Options) -> list[Table]:
    """One profile's 2,000 contacts of a company that has more and more of them."""
    part = options.size(2_000, 20)
    sizes = options.sizes(part, 10 * part, 50 * part, small=(20, 200))
    wanted = parse_filter([[("City", "Mijn Plaats")]], field_profile="standard")
    rows = []
    with databases() as made:
        for kind in KINDS:
            base: float | None = None
            company = Company.of(made[kind]())
            for size in sizes:
                company.fill([_moved(row, n < part) for n, row in enumerate(contacts(size))])
                cost = side_by_side(max(options.rounds, 5), {"ours": partial(_read_part, company, wanted)})[
                    "ours"
                ]
                base = base or cost.wall
                rows.append((kind, str(size), str(part), seconds(cost.wall), ratio(cost.wall, base)))
    head = ("database", "contacts in BC", "of the profile", "time", "x of the smallest company")
    note = "Reach: it grows with the profile's contacts, and not with the company's."
    return [Table("Read of one profile's scope", head, rows, note)]


def _moved(row: BcRow, mine: bool) -> BcRow:
    if not mine:
        return row
    contact = row.contact
    values = {**contact.values, "city": "Mijn Plaats"}
    return row._replace(contact=BcContact(contact.id, contact.etag, contact.last_modified, values))


def _read_part(company: Company, wanted: Filter) -> int:
    with company.engine.connect() as conn:
        return len(read_scope(conn, Scope(0, company.key, wanted, "")))


def grow(options: Options) -> list[Table]:
    """How staging and reading grow when there is ten times as much, on both databases."""
    from sync_lib.diff.match import partition
    from tests.benchmarks.frames import make_frames

    sizes = options.sizes(1_000, 10_000, 100_000, many=1_000_000, small=(20, 200))
    rows = []
    diff = {
        n: side_by_side(options.rounds, {"d": partial(partition, *make_frames(n))})["d"].wall for n in sizes
    }
    rows += [("diff", "-", *_grown(step)) for step in growth(diff)]
    with databases() as made:
        for kind in KINDS:
            company = Company.of(made[kind]())
            staged: dict[int, float] = {}
            read_: dict[int, float] = {}
            for size in sizes:
                all_ = contacts(size)
                staged[size] = _turns(company, options.rounds, {
                    "stage": ([], partial(stage, company=company.key, rows=all_))
                })["stage"]  # fmt: skip
                company.fill(all_)
                with company.engine.connect() as conn:
                    act = partial(bc_contacts.read_scope, conn, company.key)
                    read_[size] = side_by_side(options.rounds, {"r": act})["r"].wall
            rows += [("stage", kind, *_grown(step)) for step in growth(staged)]
            rows += [("read", kind, *_grown(step)) for step in growth(read_)]
    head = ("what", "database", "from", "to", "time x")
    return [
        Table(
            "Ten times as much",
            head,
            rows,
            "Reach: <= 12 from 10,000 on; below, fixed costs hide the growth.",
        )
    ]


def _grown(step: tuple[int, int, float]) -> tuple[str, str, str]:
    small, large, times = step
    return str(small), str(large), f"{times:.1f}"


def _each(options: Options, *sizes: int) -> Iterator[tuple[str, int]]:
    for kind in KINDS:
        for size in options.sizes(*sizes):
            yield kind, size
