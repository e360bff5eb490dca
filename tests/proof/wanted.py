"""What persons want beside edits: profiles that end, single contacts left out or synced at once, groups of a filter."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sync_lib.errors import ConfigError
from sync_lib.store import wishes
from sync_lib.store.profiles import endings, rows
from sync_lib.store.profiles.history import Author
from tests.proof import filters, oracle

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proof.histories import History, Step
    from tests.proof.oracle import Setup
    from tests.proof.player import Player

STEPS = {
    "end": 3, "anew": 3, "leave_out": 5, "take_back": 3, "sync_now": 3, "groups": 4, "salesperson": 2,
}  # fmt: skip
#: How many of them a history draws.
AMOUNTS = (0, 0, 0, 1, 1, 2, 3, 5)
#: The parts of the histories in which a profile begins with groups, and in which a step is taken while a run works.
GROUPED, MEANWHILE = 0.12, 0.2


# -- drawing ---------------------------------------------------------------------------------------------------------


def extend(history: History) -> History:
    """Return a history with perhaps some of these steps, and perhaps filters of several groups."""
    rng = random.Random(f"wanted {history.seed}")
    extended = history.field_profile == "extended"
    steps = list(history.steps)
    for _ in range(rng.choice(AMOUNTS)):
        [name] = rng.choices(list(STEPS), list(STEPS.values()))
        step: Step = (name, rng.randrange(1000), rng.randrange(1000))
        if rng.random() < MEANWHILE:
            where = rng.choice(("call", "page"))
            step = ("during", rng.choice(("incremental", "full")), where, rng.randrange(15), (step,))
        steps.insert(rng.randint(1, len(steps)), step)
    profiles = tuple(_grouped(rng, profile, extended=extended) for profile in history.profiles)
    return replace(history, steps=tuple(steps), profiles=profiles)


def _grouped(rng: random.Random, profile: Setup, *, extended: bool) -> Setup:
    if rng.random() >= GROUPED:
        return profile
    groups = rng.choice((*filters.DRAWN[1:], *(filters.OF_SALESPEOPLE * 2 if extended else ())))
    return replace(profile, groups=groups, salesperson=rng.choice(filters.SALESPEOPLE))


# -- playing ---------------------------------------------------------------------------------------------------------


class Wanted:
    """Carries out what persons want of profiles and of single contacts."""

    def __init__(self, player: Player) -> None:
        self.player = player

    # -- profiles that end -----------------------------------------------------------------------------------------

    def do_end(self, a: int, b: int) -> bool:
        """A person ends a profile; the next run that may write carries it out (rules 1)."""
        profile, how = self.player._profile(a), (endings.KEEP, endings.REMOVE)[b % 2]
        done = self._say(profile, lambda conn, stored, by: endings.ask_end(conn, stored, how, by))
        if done:
            profile.ending = how
        return done

    def do_anew(self, a: int, _b: int) -> bool:
        """One that has ended is set up anew: its folder and its name are free."""
        found = [profile for profile in self.player.oracle.profiles if profile.ended]
        if found:
            self.set_up_anew(found[a % len(found)])
        return bool(found)

    def set_up_anew(self, profile: Setup) -> None:
        """Import a profile that has ended once more, as a new one."""
        profile.key, profile.ended, profile.ending = 0, "", ""
        profile.left_out = frozenset()
        self.player._import(profile)

    def leave_somebody(self) -> None:
        """Let no history stop with nobody left who syncs."""
        profiles = self.player.oracle.profiles
        if all(profile.ended for profile in profiles):
            self.set_up_anew(profiles[0])

    # -- single contacts -------------------------------------------------------------------------------------------

    def do_leave_out(self, a: int, b: int) -> bool:
        """A person leaves a contact out of a folder."""
        profile = self.player._profile(a)
        found = self._contacts(profile)
        if not found:
            return False
        contact = found[b % len(found)]
        done = self._say(profile, lambda conn, stored, by: wishes.leave_out(conn, stored, contact, by))
        if done:
            profile.left_out |= {contact}
            self.player.oracle.saw(self.player.scene())
        return done

    def do_take_back(self, a: int, b: int) -> bool:
        """A person takes a contact back that was left out."""
        profile = self.player._profile(a)
        found = [each for each in self._contacts(profile) if each in profile.left_out]
        if not found:
            return False
        contact = found[b % len(found)]
        done = self._say(profile, lambda conn, stored, by: wishes.take_back(conn, stored, contact, by))
        if done:
            profile.left_out -= {contact}
        return done

    def do_sync_now(self, a: int, b: int) -> bool:
        """A person wants a contact, or an item, synced at once."""
        profile = self.player._profile(a)
        items = [] if b % 3 else [item.id for item in self.player.outlook._items(profile)]
        found = items or self._contacts(profile)
        if not found:
            return False
        contact = found[b % len(found)]
        done = self._say(profile, lambda conn, stored, by: wishes.ask_sync(conn, stored, contact, by))
        if done:
            self.player.oracle.pairs.wish((profile.key, contact))
        return done

    def _contacts(self, profile: Setup) -> list[str]:
        """The contacts of a profile's company that the staging database knows."""
        company = self.player._staged(profile).get("company")
        known = oracle.rows(
            self.player.h.edges.engine,
            "SELECT id FROM bc_contact WHERE company = :c AND overlay = '' AND gone_since IS NULL",
            c=company,
        )
        ids = {row["id"] for row in known}
        return [contact["id"] for contact in self.player.bc.contacts() if contact["id"] in ids]

    def _say(self, profile: Setup, what: Callable[[Any, rows.Profile, Author], None]) -> bool:
        """Let a person say something of a profile; whether it was taken."""
        if profile.ended:
            return False
        edges = self.player.h.edges
        try:
            with edges.engine.begin() as conn:
                what(conn, rows.read_profile(conn, profile.key), Author("person", edges.now()))
        except ConfigError:
            return False
        return True

    # -- filters ---------------------------------------------------------------------------------------------------

    def do_groups(self, a: int, b: int) -> None:
        """A profile gets other groups, and perhaps another salesperson."""
        extended = self.player.field_profile == "extended"
        drawn = filters.DRAWN + (filters.OF_SALESPEOPLE if extended else ())
        profile = self.player._profile(a)
        profile.groups = drawn[b % len(drawn)]
        profile.salesperson = filters.SALESPEOPLE[a % len(filters.SALESPEOPLE)]
        self.player._import(profile)

    def drop_salespeople(self) -> None:
        """Before the standard page is read, no filter may name what it lacks."""
        for profile in self.player.oracle.profiles:
            if filters.names_salesperson(profile.groups):
                profile.groups = ()
                self.player._import(profile)

    def do_salesperson(self, a: int, b: int) -> bool:
        """A contact gets another salesperson, or none."""
        contact = self.player.bc._contact(a)
        if contact:
            self.player.bc._patch_contact(
                contact, {"salespersonCode": filters.SALESPEOPLE[b % len(filters.SALESPEOPLE)]}
            )
        return contact is not None

    # -- what a database forgets -----------------------------------------------------------------------------------

    def forget_all(self) -> None:
        """The staging database is lost, and all that persons had said with it."""
        for profile in self.player.oracle.profiles:
            profile.ending, profile.left_out = "", frozenset()

    def read_again(self) -> None:
        """Another state of the staging database takes its place: what persons had said until then holds again."""
        for profile in self.player.oracle.profiles:
            self.read_left_out(profile)
            if staged := self.player._staged(profile):
                profile.ending = "" if staged["ended_at"] else staged["ending"]
                profile.ended = staged["ending"] if staged["ended_at"] else ""

    def read_left_out(self, profile: Setup) -> None:
        """What is left out of a folder, after something was forgotten that this may be part of."""
        found = oracle.rows(
            self.player.h.edges.engine,
            "SELECT bc_id FROM left_out WHERE profile = :p AND back_at IS NULL",
            p=profile.key,
        )
        profile.left_out = frozenset(row["bc_id"] for row in found)
