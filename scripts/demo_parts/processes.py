"""Start a program in a session of its own, wait until it answers, and stop all of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"


class DemoError(Exception):
    """Something that the person at the terminal can understand and fix."""


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def require_free_port(port: int, what: str, option: str) -> None:
    """Raise a sentence that says what to do when the port is taken."""
    if not port_is_free(port):
        raise DemoError(
            f"Port {port} for {what} is taken by another program. Stop that, or choose one: {option} N"
        )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


#: However much progress there is, nobody waits longer than so many times what was thought enough.
LONGEST = 10


def wait_until(
    ready: Callable[[], bool],
    seconds: float,
    what: str,
    *,
    every: float = 0.2,
    progress: Callable[[], object] | None = None,
) -> None:
    """Wait for a condition.

    Args:
        ready: The condition.
        seconds: How long to wait; with ``progress`` how long to wait without any, since machines differ by a lot.
        what: What is waited for, in the error.
        every: Seconds between two looks.
        progress: Something that changes while there is progress.

    Raises:
        DemoError: It did not come true in time.
    """
    began = moved = time.monotonic()
    seen = progress() if progress else None
    while not ready():
        now = time.monotonic()
        if progress and (found := progress()) != seen:
            seen, moved = found, now
        if now > moved + seconds or now > began + LONGEST * seconds:
            raise DemoError(f"{what}: not after {now - began:.0f} seconds.")
        time.sleep(every)


def airflow_free_environment() -> dict[str, str]:
    """Return our environment without what a developer's shell says about Airflow and the sync."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "CONTACT_SYNC_"))
    }


class Program:
    """A started program with all its children, and the file that its output goes to."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            # A session of its own: Ctrl-C at the terminal reaches only us, and we stop all its children with it.
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is the id of the session too."""
        return self._process.pid

    def ended(self) -> int | None:
        """Return the exit code of a program that has ended."""
        return self._process.poll()

    def require_alive(self) -> None:
        """Raise with the end of the program's output when it has stopped by itself."""
        if (code := self._process.poll()) is not None:
            raise DemoError(f"{self.name} stopped with exit code {code}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """Return the end of the program's output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until the program answers.

        Raises:
            DemoError: It stopped, or did not answer in time; with the end of its output.
        """

        def alive_and_ready() -> bool:
            self.require_alive()
            return ready()

        try:
            wait_until(alive_and_ready, seconds, f"{self.name} ready", progress=self._written)
        except DemoError as error:
            raise DemoError(f"{error}\nIts output is in {self.log}. The last lines:\n{self.tail()}") from None

    def _written(self) -> int:
        return self.log.stat().st_size

    def stop(self, *, gently: int = signal.SIGINT, seconds: float = 10) -> None:
        """End the program and all its children: first the way that it knows, then for certain."""
        self._signal_leader(gently)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        self._signal_session(signal.SIGTERM)
        with contextlib.suppress(DemoError):
            wait_until(lambda: not self._members(), seconds, f"{self.name} stopped")
        self._signal_session(signal.SIGKILL)
        self._process.wait()

    def kill(self) -> None:
        """End the program at once, as a crash would."""
        self._signal_session(signal.SIGKILL)
        self._process.wait()

    def _signal_leader(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _signal_session(self, number: int) -> None:
        for pid in self._members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def cpu_seconds(self) -> float:
        """Return what the session's processes have used of the processor, with all children that have ended."""
        ticks = sum(sum(map(int, fields[11:15])) for _, fields in self._stats())
        return ticks / os.sysconf("SC_CLK_TCK")

    def _members(self) -> list[int]:
        """Return the living processes of the session: Airflow's parts make process groups of their own in it."""
        self._process.poll()
        return [pid for pid, (state, *_) in self._stats() if state != "Z"]

    def _stats(self) -> list[tuple[int, list[str]]]:
        """Return what the system says of the session's processes: from the state on, behind the name."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                # The second field, the name, may hold spaces and brackets: the rest is behind the last bracket.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.pid:
                    found.append((int(entry.name), fields))
        return found
