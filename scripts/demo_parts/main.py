"""The demo: sandbox and Airflow up, two runs of the sync with a morning of edits between them, and a judgement."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from demo_parts import staging
from demo_parts.agreement import Expected, compare
from demo_parts.airflow import ADMIN, AirflowInstance, airflow_environment
from demo_parts.extended import edit_its_fields, give_second_addresses
from demo_parts.postgres import PostgresInstance
from demo_parts.processes import ROOT, DemoError, require_free_port
from demo_parts.sandbox import SandboxInstance, edit_as_users

DAG = "contact_sync"
#: Field profile -> who sees which contacts.
PROFILES = {
    "standard": ROOT / "scripts" / "demo_profiles.yaml",
    "extended": ROOT / "scripts" / "demo_profiles_extended.yaml",
}
COMPANY = "CRONUS Nederland BV"
FOLDER = "Business Central"
ANNA = "anna.bakker@voorbeeld.example"

JORIS, LIEKE, PIETER = (
    f"{name}@voorbeeld.example" for name in ("joris.visser", "lieke.kok", "pieter.mulder")
)
BAKERY = "Bakkerij De Dageraad"
ANNAS_CODE = "AB"


def _of(salesperson: str) -> dict[str, Any]:
    return {"shows": {"salespersonCode": [salesperson]}, "extended": True}


#: What the files of profiles say, once more, in the demo's own words: the comparison must not ask the product.
EXPECTED = {
    "standard": (
        Expected(ANNA, COMPANY),
        Expected(JORIS, COMPANY, shows={"city": ["Amsterdam", "Utrecht"]}),
        Expected(LIEKE, COMPANY, folder="Klanten", shows={"companyName": ["*bv*"]}),
        Expected(PIETER, BAKERY),
    ),
    "extended": (
        Expected(ANNA, COMPANY, **_of(ANNAS_CODE)),
        Expected(JORIS, COMPANY, **_of("JV")),
        Expected(LIEKE, COMPANY, folder="Klanten", **_of("LK")),
        Expected(PIETER, BAKERY, **_of("PM")),
    ),
}


def logins() -> dict[str, str]:
    """Return the setting that names who may log in: the data team, and a colleague for the page of their own.

    Airflow makes up their passwords. A colleague is named as the mailbox is called, since the page of their own finds
    its profiles by that.
    """
    return {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{ANNA}:viewer"}


def say(text: str = "") -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options; scripts/demo explains them."""
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument(
        "--once", action="store_true", help="stop after the three runs; 0 only if both sides agree"
    )
    parser.add_argument(
        "--postgres", action="store_true", help="PostgreSQL in place of SQLite, for both databases"
    )
    parser.add_argument(
        "--field-profile",
        choices=tuple(PROFILES),
        default="standard",
        help="the fields of Business Central that are synced",
    )
    parser.add_argument("--port", type=int, default=8080, help="of Airflow")
    parser.add_argument("--sandbox-port", type=int, default=9080, help="of the sandbox")
    parser.add_argument("--home", type=Path, default=ROOT / ".demo", help="where everything is kept")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier demo left there")
    return parser.parse_args()


def main() -> int:
    """Run the demo and return its exit code."""
    options = parse_arguments()
    # A shell that starts us in the background has us ignore Ctrl-C's signal; it is still how one stops the demo.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as running:
            demo = Demo(options, running)
            good = demo.run()
            if not options.once:
                demo.stay()
            say("Stopping everything ...")
    except KeyboardInterrupt:
        say("\nStopped.")
        return 130
    except DemoError as error:
        say(f"\nscripts/demo: {error}")
        return 1
    say("Stopped.")
    return 0 if good else 1


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


class Demo:
    """One start of the demo. ``running`` stops what was started, in reverse order, however it ends."""

    def __init__(self, options: argparse.Namespace, running: ExitStack) -> None:
        self.options = options
        self.running = running
        self.home: Path = options.home.resolve()

    def run(self) -> bool:
        """Do the three runs; return whether both sides agree."""
        options = self.options
        require_free_port(options.port, "Airflow", "--port")
        require_free_port(options.sandbox_port, "the sandbox", "--sandbox-port")
        if options.fresh:
            shutil.rmtree(self.home, ignore_errors=True)
        # What is kept holds contacts and passwords. Others may pass through, since PostgreSQL must run as another user.
        os.umask(0o077)
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o711)
        with timed("Sandbox: Entra ID, Microsoft Graph and Business Central"):
            self.sandbox = SandboxInstance(self.home, options.sandbox_port)
            self.running.callback(self.sandbox.stop)
        environment = (
            self._databases()
            | self.sandbox.connections(options.field_profile)
            | self._schedule("none")
            | logins()
        )
        with timed("Airflow"):
            self.airflow = AirflowInstance(self.home / "airflow", options.port, environment)
            self.running.callback(self.airflow.stop)
            self._import_profiles()
            self.airflow.wait_healthy()
            self.airflow.wait_for_dag(DAG)
        self.airflow.pause(DAG, paused=False)
        say(f"Airflow is at {self.airflow.url}: log in as {' with the password '.join(self.airflow.login)}")
        second = self._prepare()
        problems = self._sync("full")
        self._edit(second)
        problems += self._sync("incremental")
        problems += self._sync("incremental", writes=False)
        return self._judge(problems)

    def stay(self) -> None:
        """Leave everything running until Ctrl-C."""
        self._schedule("* * * * *")
        name, password = self.airflow.login
        say()
        say(f"Airflow:  {self.airflow.url}/dags/{DAG}   user {name}, password {password}")
        say(f"Pages:    {self.airflow.url}/contact_sync/   the same login")
        own = self.airflow.password(ANNA)
        say(f"Anna's:   {self.airflow.url}/contact_sync/me   user {ANNA}, password {own}")
        say(f"Outlook:  {self.sandbox.url}/outlook   edit a contact here, and a minute later it is there:")
        say(f"BC:       {self.sandbox.url}/business-central")
        command = ROOT / ".venv" / "bin" / "contact-sync"
        say(f"Profiles: {command} --database {self.staging_url} profiles list")
        say(f"All of it is kept in {self.home}. From now on {DAG} runs every minute.")
        say("Ctrl-C stops everything.")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self.airflow.program.require_alive()
                self.sandbox.program.require_alive()
                time.sleep(1)
        say()

    def _databases(self) -> dict[str, str]:
        if not self.options.postgres:
            path = self.home / "staging.db"
            self.staging_url = f"sqlite:///{path}"
            return {"AIRFLOW_CONN_CONTACT_SYNC_STAGING": self.staging_url}
        with timed("PostgreSQL"):
            server = PostgresInstance(self.home / "postgres")
            self.running.callback(server.stop)
            self.staging_url = server.url("contact_sync")
        return {
            "AIRFLOW_CONN_CONTACT_SYNC_STAGING": self.staging_url,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.url("airflow"),
        }

    def _schedule(self, cron: str) -> dict[str, str]:
        """Write the schedule where Airflow reads it again and again; return the setting that names the file."""
        settings = self.home / "contact_sync.env"
        settings.write_text(f"CONTACT_SYNC_SCHEDULE={cron}\nCONTACT_SYNC_FULL_SCHEDULE=none\n")
        return {"CONTACT_SYNC_SETTINGS_FILE": str(settings)}

    def _import_profiles(self) -> None:
        environment = airflow_environment(self.home / "airflow", self.options.port)
        environment["AIRFLOW_CONN_CONTACT_SYNC_STAGING"] = self.staging_url
        command = [sys.executable, "-m", "sync_lib.cli", "profiles", "import"]
        command += [str(PROFILES[self.options.field_profile]), "--field-profile", self.options.field_profile]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoError(f"The profiles were not imported:\n{done.stdout}{done.stderr}")
        say(done.stdout.strip())

    def _sync(self, mode: str, *, writes: bool = True) -> list[str]:
        """Run the DAG, show what it did, and return where its counts differ from the sandbox's.

        Without ``writes`` nothing is left to do, so that whatever it writes is wrong.
        """
        self.sandbox.control("POST", "counters/reset")
        with timed(f"Run of {DAG}, {mode}"):
            run_id = self.airflow.trigger(DAG, mode=mode)
            state = self.airflow.wait_for_run(DAG, run_id)
        say()
        for line in staging.report_lines(self.staging_url, run_id):
            say(f"  {line}")
        say()
        if state != "success":
            self._show_failures(run_id)
            return [f"the {mode} run ended {state}"]
        counted = self.sandbox.writes()
        if not writes and (extra := sum(counted[service]["writes"] for service in ("graph", "bc"))):
            return [f"the last run wrote {extra} times, and had nothing to write"]
        return staging.uncounted(staging.written(self.staging_url, run_id), counted)

    def _show_failures(self, run_id: str) -> None:
        for task in self.airflow.tasks(DAG, run_id):
            if task["state"] == "failed":
                index, tries = task["map_index"], max(task["try_number"], 1)
                log = self.airflow.log(DAG, run_id, task["task_id"], map_index=index, try_number=tries)
                say(f"  {task['task_id']} {task.get('rendered_map_index') or ''} failed; the end of its log:")
                say("\n".join(f"    {line}" for line in log.splitlines()[-12:]))

    def _prepare(self) -> list[str]:
        """Give Business Central what its seeded world has too little of; return whom it was given to."""
        if self.options.field_profile != "extended":
            return []
        return give_second_addresses(self.sandbox, COMPANY, ANNAS_CODE)

    def _edit(self, second: list[str]) -> None:
        say("Now the colleagues work for a while:")
        done = edit_as_users(self.sandbox, ANNA, COMPANY, FOLDER, salesperson=ANNAS_CODE if second else "")
        if second:
            done += edit_its_fields(self.sandbox, ANNA, COMPANY, FOLDER, second)
        for line in done:
            say(f"  {line}")

    def _judge(self, problems: list[str]) -> bool:
        findings = compare(
            self.sandbox.dump(), EXPECTED[self.options.field_profile], staging.excuses(self.staging_url)
        )
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in sorted(findings.excused.items())) or "none"
        )
        say(f"Compared {findings.compared} contacts in the sandbox's own state. Left aside: {reasons}.")
        problems = [*problems, *findings.problems]
        for problem in problems[:20]:
            say(f"  {problem}")
        say("Both sides agree." if not problems else f"{len(problems)} differences.")
        return not problems


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Say what is being waited for, and how long it took."""
    print(f"{what} ...", end="" if os.isatty(1) else "\n", flush=True)
    started = time.monotonic()
    yield
    say(
        f" {time.monotonic() - started:.0f} s"
        if os.isatty(1)
        else f"{what}: {time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
