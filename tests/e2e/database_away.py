"""The staging database goes away for a minute, in the middle of a run of a real Airflow: does the run end green?

    python -m tests.e2e.database_away [--profiles 40] [--people 45] [--away 60]

Starts the sandbox, a PostgreSQL server that has nothing but the staging database, and Airflow with its own database.
After a first run users add contacts on both sides. When the first profiles of the next run are done, others run, and
one of them has made a part of its contacts, the server is stopped as a crash would (``pg_ctl -m immediate stop``), and
started again after a minute. What the sandbox holds in the end is compared with what was put into it; nothing of the
sync is asked for that. But for schedules, all settings are the defaults.

It takes about ten minutes on two cores. The exit code is 0 when all is as it should be; else what is wrong is printed,
and the logs stay where the last line says.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Pytest finds them by its settings; a program of its own has to load them.
for _folder in (str(ROOT / "scripts"), str(ROOT)):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)

import yaml  # noqa: E402
from demo_parts import staging  # noqa: E402
from demo_parts.airflow import AirflowInstance  # noqa: E402
from demo_parts.postgres import PostgresInstance  # noqa: E402
from demo_parts.processes import DemoError, free_port, wait_until  # noqa: E402
from demo_parts.sandbox import SandboxInstance  # noqa: E402

DAG, COMPANY, FOLDER, CITY = "contact_sync", "Molenzicht BV", "Business Central", "Utrecht"
#: So many profiles are done before the database goes.
DONE_BEFORE = 5
#: Of each operation of Microsoft Graph: with it a profile has a middle that one can wait for.
LATENCY_MS = 300


def say(text: str) -> None:
    """Print with the time of day, at once."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)  # noqa: T201


# -- what is put into the sandbox, and what must be there in the end -------------------------------------------------


@dataclass(frozen=True)
class Office:
    """Contacts that all colleagues see, and one in each mailbox that only its owner has typed and sees."""

    profiles: int
    people: int

    @property
    def mailboxes(self) -> list[str]:
        return [f"collega{n:02}@voorbeeld.example" for n in range(self.profiles)]

    @property
    def shared(self) -> list[str]:
        return [f"persoon{n:02}@klant.example" for n in range(self.people)]

    @staticmethod
    def own(mailbox: str) -> str:
        return mailbox.replace("@voorbeeld", "@eigen")

    def world(self) -> dict[str, Any]:
        """Return what is there before the first run, in the form that the sandbox takes: one contact."""
        contacts = [self.contacts()[0]]
        return {"companies": [{"name": COMPANY, "contacts": contacts}], "mailboxes": self.mailboxes}

    def contacts(self) -> list[dict[str, Any]]:
        """Return the contacts of Business Central that all colleagues see."""
        return [
            {"type": "Person", "displayName": f"Persoon {n:02}", "email": address, "city": CITY}
            for n, address in enumerate(self.shared)
        ]

    def typed(self, mailbox: str) -> dict[str, Any]:
        """Return the item that a colleague types in Outlook."""
        n = self.mailboxes.index(mailbox)
        name, address = f"Eigen {n:02}", self.own(mailbox)
        return {
            "displayName": name,
            "givenName": "Eigen",
            "surname": f"{n:02}",
            "emailAddresses": [{"name": name, "address": address}],
            "businessAddress": {"city": f"Plaats {n:02}"},
        }

    def file(self) -> str:
        """Return the profiles, as a file to import."""
        rows = [
            {"mailbox": mailbox, "company": COMPANY, "filter": {"City": f"{CITY}|Plaats {n:02}"}}
            for n, mailbox in enumerate(self.mailboxes)
        ]
        return yaml.safe_dump({"profiles": rows})

    def problems(self, world: dict[str, Any]) -> list[str]:
        """Return what a dump of the sandbox has twice, has not, or has without a reason, on either side."""
        found = []
        for box in world["mailboxes"]:
            mailbox = box["user_principal_name"]
            items = [
                item["properties"]["emailAddresses"][0]["address"]
                for folder in box["folders"]
                for item in folder["contacts"]
            ]
            found += _differing(mailbox, Counter(items), [*self.shared, self.own(mailbox)])
        [company] = world["companies"]
        contacts = Counter(contact["email"] for contact in company["contacts"])
        return found + _differing(COMPANY, contacts, [*self.shared, *map(self.own, self.mailboxes)])

    def import_profiles(self, home: Path, environment: Mapping[str, str]) -> None:
        """Import the profiles into the staging database of an environment, as a person would.

        Raises:
            DemoError: They were refused.
        """
        path = home / "profiles.yaml"
        path.write_text(self.file())
        command = [sys.executable, "-m", "sync_lib.cli", "profiles", "import", str(path)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoError(f"The profiles were not imported:\n{done.stdout}{done.stderr}")

    def edit(self, sandbox: SandboxInstance) -> None:
        """Let users add the other contacts: most in Business Central, and one in each Outlook."""
        contacts = f"{sandbox.company_url(COMPANY)}/contacts"
        for person in self.contacts()[1:]:
            sandbox.as_user("bc", "POST", contacts, person)
        for box in sandbox.dump()["mailboxes"]:
            mailbox = box["user_principal_name"]
            [folder] = [each["id"] for each in box["folders"] if each["name"] == FOLDER]
            items = f"{sandbox.info['graph_root']}/users/{mailbox}/contactFolders/{folder}/contacts"
            sandbox.as_user("graph", "POST", items, self.typed(mailbox))


def _differing(place: str, found: Counter[str], expected: list[str]) -> list[str]:
    wanted = Counter(expected)
    return [
        f"{place} has {address} {found[address]} times, and not {wanted[address]}"
        for address in sorted(found.keys() | wanted.keys())
        if found[address] != wanted[address]
    ]


# -- the run ---------------------------------------------------------------------------------------------------------


class Stage:
    """Everything that runs; ``running`` stops it, however it ends."""

    def __init__(self, home: Path, office: Office, running: ExitStack) -> None:
        self.home, self.office = home, office
        self.sandbox = SandboxInstance(home, free_port())
        running.callback(self.sandbox.stop)
        self.sandbox.control("POST", "reset", {"world": office.world()})
        self.sandbox.info = self.sandbox.control("GET", "info")
        self.server = PostgresInstance(home / "postgres")
        running.callback(self.server.stop)
        self.url = self.server.url("staging")
        schedules = (
            "CONTACT_SYNC_SCHEDULE",
            "CONTACT_SYNC_FULL_SCHEDULE",
            "CONTACT_SYNC_HOUSEKEEPING_SCHEDULE",
        )
        settings = {
            **self.sandbox.connections(),
            **dict.fromkeys(schedules, "none"),
            "AIRFLOW_CONN_CONTACT_SYNC_STAGING": self.url,
        }
        self.airflow = AirflowInstance(home / "airflow", free_port(), settings)
        running.callback(self.airflow.stop)
        office.import_profiles(home, self.airflow.environment)
        self.airflow.wait_healthy()
        self.airflow.wait_for_dag(DAG)
        self.airflow.pause(DAG, paused=False)

    def sync(self, mode: str) -> list[str]:
        """Run the sync; return whatever did not end well."""
        self.sandbox.control("POST", "counters/reset")
        run = self.airflow.trigger(DAG, mode=mode)
        state = self.airflow.wait_for_run(DAG, run)
        say(f"a {mode} run ended {state}, with {self.written()} writes")
        return self.not_good(run, state)

    def not_good(self, run: str, state: str) -> list[str]:
        """Return how a run did not end well, and which profiles have no good outcome in it."""
        states = {result.mailbox: result.state for result in staging.profile_results(self.url, run)}
        return [f"the run ended {state}"] * (state != "success") + [
            f"{mailbox} ended {states.get(mailbox, 'without an outcome')}"
            for mailbox in self.office.mailboxes
            if states.get(mailbox) != "done"
        ]

    def profile_states(self, run: str) -> Counter[str]:
        """Return how many tasks of profiles are in which state."""
        tasks = self.airflow.tasks(DAG, run)
        return Counter(str(task["state"]) for task in tasks if task["task_id"] == "sync_profile")

    def wait_for_the_middle(self, run: str) -> dict[str, int]:
        """Wait until some profiles are done, others run, and one of them has made a part of its contacts."""

        def in_the_middle() -> bool:
            states.clear()
            states.update(self.profile_states(run))
            return states["success"] >= DONE_BEFORE and states["running"] > 1 and bool(self.half_made())

        states: Counter[str] = Counter()
        wait_until(in_the_middle, 300, "middle of the run", progress=self.written)
        return dict(states)

    def half_made(self) -> list[str]:
        """Return the mailboxes in which a part of the contacts was made."""
        counted = self.sandbox.writes()["graph"]["mailboxes"]
        return [
            mailbox
            for mailbox, counts in counted.items()
            if 0 < counts["contacts_created"] < self.office.people - 1
        ]

    @contextmanager
    def database_away(self) -> Iterator[None]:
        """Have the server away while the block runs."""
        self.server.crash()
        say("the staging database is away")
        try:
            yield
        finally:
            self.server.start()
            say("the staging database is back")

    def written(self) -> int:
        counted = self.sandbox.writes()
        return int(counted["graph"]["writes"]) + int(counted["bc"]["writes"])

    def waits(self, run: str) -> tuple[int, int]:
        """Return how many tries of tasks waited for the database, and how many it broke off."""
        folder = self.home / "airflow" / "logs" / f"dag_id={DAG}" / f"run_id={run}"
        own = [path.read_text(errors="replace") for path in folder.rglob("*.log")]
        return sum("does not answer: waiting" in log for log in own), sum(
            "broke off a transaction" in log for log in own
        )


def prove(stage: Stage, away: float) -> list[str]:
    """Run the sync, take the database away, and return what is not as it should be."""
    if problems := stage.sync("full"):
        return problems
    stage.office.edit(stage.sandbox)
    stage.sandbox.control("POST", "switches", {"graph_latency_ms": LATENCY_MS})
    stage.sandbox.control("POST", "counters/reset")
    run = stage.airflow.trigger(DAG)
    states = stage.wait_for_the_middle(run)
    with stage.database_away():
        say(f"profiles when it went: {states}")
        # How long it is away is what is tried: nothing happens that one could wait for.
        time.sleep(away)
        half = len(stage.half_made())
        say(
            f"profiles before it comes back: {dict(stage.profile_states(run))}; {half} have a part of their contacts"
        )
    state = stage.airflow.wait_for_run(DAG, run)
    stage.sandbox.control("POST", "switches", {"graph_latency_ms": 0})
    waited, broken = stage.waits(run)
    say(
        f"the run ended {state}; {waited} tries of tasks waited for the database, and {broken} were broken off"
    )
    if not (waited and half):
        problems.append("no profile was in its writes when the database went: this run shows nothing")
    problems += stage.not_good(run, state) + stage.office.problems(stage.sandbox.dump())
    problems += stage.sync("full")
    if writes := stage.written():
        problems.append(f"the run after it wrote {writes} times")
    return problems + stage.office.problems(stage.sandbox.dump())


def main(arguments: list[str]) -> int:
    """Set the stage, prove it, and say what was found."""
    about = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.database_away", description=about)
    parser.add_argument("--profiles", type=int, default=40, help="mailboxes, with a profile each (40)")
    parser.add_argument("--people", type=int, default=45, help="contacts that all of them see (45)")
    parser.add_argument("--away", type=float, default=60, help="seconds that the database is away (60)")
    chosen = parser.parse_args(arguments)
    # A shell that ends us has to end all that we started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="contact-sync-database-away-"))
    try:
        with ExitStack() as running:
            stage = Stage(home, Office(chosen.profiles, chosen.people), running)
            say(f"{chosen.profiles} profiles, {chosen.people} contacts for each; everything is in {home}")
            problems = prove(stage, chosen.away)
    except DemoError as error:
        problems = [str(error)]
    for problem in problems:
        say(problem)
    say(f"FAILED: see {home}" if problems else "All is as it should be.")
    if not problems:
        shutil.rmtree(home, ignore_errors=True)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
