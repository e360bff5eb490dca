"""Plays a history, and leaves out what does not matter for its failure.

    python -m tests.proof.shrinking SEED [--steps N]

Plays the history of a seed again, as a failure's last line says it, and shrinks it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import replace

from tests.proof.databases import Databases
from tests.proof.histories import STEPS, History, draw
from tests.proof.oracle import Setup
from tests.proof.player import Player
from tests.proof.tracing import Trace


def attempt(
    history: History,
    new_database: Callable[[str], str],
    fired: dict[str, int] | None = None,
    trace: Trace | None = None,
) -> Exception | None:
    """Play a history; return what went wrong, or None."""
    player = Player(history, new_database, fired if fired is not None else {}, trace)
    try:
        player.play()
    except Exception as error:  # noqa: BLE001 - whatever a history ends with is what it found
        return error
    return None


def kind(error: Exception) -> str:
    """What makes two failures the same one."""
    return str(error)[:12] if isinstance(error, AssertionError) else type(error).__name__


def shrink(
    history: History, error: Exception, again: Callable[[History], Exception | None], tries: int = 150
) -> tuple[History, Exception]:
    """Leave out steps, contacts, switches and profiles for as long as the same invariant breaks."""
    wanted, budget = kind(error), iter(range(tries))
    best = history

    def fails(candidate: History) -> bool:
        nonlocal best, error
        if next(budget, None) is None:
            return False
        found = again(candidate)
        if found is None or kind(found) != wanted:
            return False
        best, error = candidate, found
        return True

    size = max(len(best.steps) // 2, 1)
    while size:
        start = 0
        while start < len(best.steps):
            if not fails(replace(best, steps=best.steps[:start] + best.steps[start + size :])):
                start += size
        size //= 2
    for name in list(best.sandbox):
        fails(replace(best, sandbox={k: v for k, v in best.sandbox.items() if k != name}))
    while len(best.profiles) > 1 and fails(replace(best, profiles=best.profiles[:-1])):
        pass
    for people in (0, 1, 2, 3):
        if people < best.people and fails(replace(best, people=people)):
            break
    for profile in range(len(best.profiles)):
        plain = (*best.profiles[:profile], _plain(best.profiles[profile]), *best.profiles[profile + 1 :])
        if plain != best.profiles:
            fails(replace(best, profiles=plain))
    if best.database != "sqlite":
        fails(replace(best, database="sqlite"))
    if best.field_profile != "standard":
        fails(replace(best, field_profile="standard"))
    return best, error


def _plain(profile: Setup) -> Setup:
    """Return a profile with nothing but its place."""
    return Setup(profile.mailbox, profile.folder, company=profile.company)


def report(history: History, databases: Databases, fired: dict[str, int], *, tries: int) -> str:
    """Play a history; return "", or what went wrong, what is left of the history, and how it is played again."""

    def again(candidate: History) -> Exception | None:
        try:
            return attempt(candidate, databases.new)
        finally:
            databases.drop()

    trace = Trace()
    error = attempt(history, databases.new, fired, trace)
    databases.drop()
    if error is None:
        return ""
    shrunk, found = shrink(history, error, again, tries)
    return (
        f"{type(found).__name__} {found}\n{shrunk}\nfirst seen: {error}\ntrace {trace.digest()}\n"
        f"again: python -m tests.proof.shrinking {history.seed} --steps {history.length}"
    )


def main(arguments: list[str]) -> int:
    """Play a seed, and print what went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof.shrinking", description="Plays a seed again."
    )
    parser.add_argument("seed", type=int)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"that it was drawn with, at most ({STEPS})")
    parser.add_argument("--tries", type=int, default=150, help="of shrinking it (150)")
    chosen = parser.parse_args(arguments)
    with Databases() as databases:
        found = report(draw(chosen.seed, steps=chosen.steps), databases, {}, tries=chosen.tries)
    print(found or f"seed {chosen.seed} passes")  # noqa: T201
    return int(bool(found))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main(sys.argv[1:]))
