"""The benchmarks by name: what each is about, what it has to reach, and which module has it. Imports none of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        about: What it measures, and beside what.
        reach: What is good enough.
        where: Module and function.
        in_airflow: Whether it starts an Airflow, and wants a machine of its own.
        minutes: About how long it takes on two cores.
    """

    about: str
    reach: str
    where: str
    in_airflow: bool = False
    minutes: int = 1


BENCHMARKS: dict[str, Benchmark] = {
    "requests": Benchmark(
        "requests of each case, exact, beside the floor",
        "the floor where nothing changed, and at most one or two requests more elsewhere; no answer 429",
        "requests_made:run",
        minutes=3,
    ),
    "window": Benchmark(
        "a first sync of 10,000 contacts under the real window of 600 s",
        "at most 1.05 x the window, no answer 429",
        "whole_runs:window",
        minutes=11,
    ),
    "diff": Benchmark(
        "the comparison of all pairs, beside polars",
        "at most 1.0 x polars in wall and 1.1 x in CPU; a million pairs in 1.5 GiB; 2,000 pairs in 10 ms",
        "frames:run",
        minutes=2,
    ),
    "write": Benchmark(
        "bulk write of contacts, beside COPY and executemany", "at most 1.3 x", "staging:write", minutes=4
    ),
    "stage": Benchmark(
        "staging of a re-read and of a delta, beside COPY and executemany",
        "at most 1.3 x and 0.1 x",
        "staging:restage",
        minutes=4,
    ),
    "read": Benchmark(
        "reading staging into a frame, beside ADBC", "at most 1.1 x", "staging:read", minutes=2
    ),
    "scope": Benchmark(
        "reading one profile's contacts of a large company, beside a small one",
        "as long as the profile has contacts, whatever the company has",
        "staging:scope",
        minutes=2,
    ),
    "page": Benchmark(
        "parsing, mapping and fingerprints of a page of contacts, beside json.loads",
        "at most 3 x",
        "programs:page",
    ),
    "runs": Benchmark(
        "local work of whole runs with 10,000 contacts, beside a bare loop of the same batches",
        "first sync 4 s of CPU and 250 MiB; nothing changed 50 ms; 1 % changed 150 ms",
        "whole_runs:runs",
        minutes=5,
    ),
    "loop": Benchmark(
        "a first sync at 20 ms latency, beside a bare loop of its batches",
        "at most 1.1 x, and 0.3 ms of CPU per contact",
        "whole_runs:loop",
        minutes=2,
    ),
    "peers": Benchmark(
        "vdirsyncer, dlt, O365 and a plain script on the same contacts",
        "faster than each in every case",
        "peers:run",
        minutes=8,
    ),
    "growth": Benchmark(
        "diff, staging and reading with ten times as much", "at most 12 x", "staging:grow", minutes=3
    ),
    "contacts": Benchmark(
        "whole runs with 1,000 to 100,000 contacts, beside ten times fewer",
        "grows with what changed, not with what exists",
        "whole_runs:contacts",
        minutes=12,
    ),
    "profiles": Benchmark(
        "runs over 10 to 1,000 profiles without Airflow, beside ten times fewer",
        "in proportion at most",
        "whole_runs:profiles",
        minutes=6,
    ),
    "quiet": Benchmark(
        "a run of Airflow in which nothing changed, beside an empty DAG of as many tasks",
        "1,000 profiles: 15 s wall, 12 CPU s beyond the empty DAG, 6 tasks started",
        "in_airflow:quiet",
        in_airflow=True,
        minutes=20,
    ),
    "change": Benchmark(
        "a task for a profile with one change, beside an empty mapped task",
        "at most 1.5 x its CPU",
        "in_airflow:change",
        in_airflow=True,
        minutes=5,
    ),
    "minute": Benchmark(
        "how long an edit takes to the other side, with a run a minute, beside the minute itself",
        "p50 45 s, p95 75 s, p99 120 s, no answer 429",
        "latency:run",
        in_airflow=True,
        minutes=65,
    ),
    "dag_files": Benchmark(
        "parsing of the DAG files, beside the import of Airflow's SDK",
        "at most 0.5 s beyond it; no pandas, requests or SQLAlchemy",
        "programs:dag_files",
    ),
    "demo": Benchmark(
        "scripts/demo, second start, beside the first",
        "the first synced contact after at most 60 s",
        "programs:demo",
        in_airflow=True,
        minutes=5,
    ),
    "pages": Benchmark(
        "every page with 200,000 contacts in staging, beside the statements with 20 profiles",
        "each below a second",
        "programs:pages",
        minutes=8,
    ),
}
