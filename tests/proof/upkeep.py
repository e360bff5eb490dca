"""What those who run the sync change about it, and what is forgotten; and more contacts than one request takes."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from sync_lib.errors import ConfigError
from sync_lib.operate import housekeeping
from sync_lib.store import erasure
from sync_lib.store.erasure import Wanted
from sync_lib.store.profiles import rows as stored_profiles
from tests.proof import mapped, oracle
from tests.proof.verdict import check

if TYPE_CHECKING:
    from tests.proof.histories import History, Step
    from tests.proof.player import Player

STEPS = {
    "region": 3, "language": 3, "field_profile": 3, "older_version": 2, "retention": 2, "erase": 3, "twins": 3,
    "many": 2,
}  # fmt: skip
#: The part of the histories that begin with more contacts than a batch, and often a page, takes.
CROWDS = 0.04
LANGUAGES = ("nl", "en")
#: Longer than anything is kept, in hours.
RETENTION = 100 * 24.0
#: More than one batch takes.
MANY = 22


def extend(history: History) -> History:
    """Return a history with perhaps some upkeep, and perhaps with many contacts."""
    rng = random.Random(f"upkeep {history.seed}")
    steps = list(history.steps)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        [name] = rng.choices(list(STEPS), list(STEPS.values()))
        step: Step = (name, rng.randrange(1000), rng.randrange(1000))
        steps.insert(rng.randint(1, len(steps)), step)
    people = rng.randint(21, 45) if rng.random() < CROWDS else history.people
    return replace(history, steps=tuple(steps), people=people)


class Upkeep:
    """Carries out what those do who run the sync."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.oracle = player.oracle

    # -- settings --------------------------------------------------------------------------------------------------

    def do_region(self, a: int, b: int) -> None:
        """A company gets another phone region: numbers without a country are others now."""
        profile, regions = self.player._profile(a), tuple(mapped.REGIONS)
        self.oracle.regions.setdefault(profile.company, ["NL"]).append(regions[b % len(regions)])
        self.set_region(profile)

    def set_region(self, profile: oracle.Setup) -> None:
        """Let the staging database know the region of a profile's company."""
        region = self.oracle.regions.get(profile.company, ["NL"])[-1]
        name = self.player.fleet.staged_name(profile)
        with self.player.h.edges.engine.begin() as conn:
            stored_profiles.write_phone_region(conn, name, region)

    def do_language(self, a: int, b: int) -> None:
        """A profile gets another language: what is written from now on names countries in it."""
        profile = self.player._profile(a)
        profile.language = LANGUAGES[b % 2]
        self.player._import(profile)

    def do_field_profile(self, _a: int, _b: int) -> None:
        """The other page of Business Central is read from now on."""
        was_extended = self.player.field_profile == "extended"
        if was_extended:
            self.player.wanted.drop_salespeople()
            # What belongs to that page alone is no longer synced, and not kept apart either.
            self.oracle.tokens = {
                key: token for key, token in self.oracle.tokens.items() if token.field not in mapped.BC_PARTS
            }
        # Where parts are read, each side makes whole names of them.
        self.oracle.parts_typed = True
        self.player.field_profile = "standard" if was_extended else "extended"
        self.player._reopen()

    def do_older_version(self, _a: int, _b: int) -> None:
        """A version with other normal forms made what is staged: other digests of the same values (rules 6)."""
        with self.player.h.edges.engine.begin() as conn:
            for table in ("bc_contact", "outlook_contact"):
                conn.execute(text(f"UPDATE {table} SET fingerprint = -fingerprint, normaliser = 2"))
            conn.execute(
                text(
                    "UPDATE coupling SET bc_fingerprint = -bc_fingerprint,"
                    " outlook_fingerprint = -outlook_fingerprint"
                )
            )
            conn.execute(text("UPDATE cursor SET version = 2, diffed_settings = 'of an earlier version'"))

    # -- what is forgotten -----------------------------------------------------------------------------------------

    def do_retention(self, _a: int, _b: int) -> None:
        """Months pass, and what is old is removed."""
        self.player.troubles.do_carry_out(0, 0)
        self.player.troubles.set_hours(self.player.hours + RETENTION)
        self.oracle.log = self.oracle.read_log(self.player.h.edges.engine)
        housekeeping.remove_old(self.player.h.edges)

    def do_erase(self, a: int, b: int) -> bool:
        """A person is erased from the staging database; the services keep what they have (rules 9)."""
        contact, edges = self.player.bc._contact(a), self.player.h.edges
        if contact is None:
            return False
        of_company = [p for p in self.oracle.profiles if p.company == contact[mapped.IN_COMPANY]]
        company = next(filter(None, (self.player._staged(p).get("company") for p in of_company)), None)
        if company is None:
            return False
        wanted = Wanted(company, contact["id"]) if b % 3 else Wanted(company, address=contact["email"])
        longest = edges.settings.longest_request
        try:
            erasure.erase(edges.engine, wanted, lease_seconds=60.0, longest_request=longest)
        except ConfigError:
            # Several have the address, none has one, or a write of it has no outcome yet.
            return False
        self.oracle.pairs.forget()
        self.oracle.erased(self.player.scene(), contact["id"])
        self.oracle.ends.forget_items(edges.engine)
        for profile in of_company:
            self.player.wanted.read_left_out(profile)
        return True

    # -- many, and in an odd order ---------------------------------------------------------------------------------

    def do_many(self, a: int, b: int) -> None:
        """More contacts are added, or edited, than a batch takes."""
        if b % 2:
            for _ in range(MANY):
                self.player.bc.do_bc_add(self.player._next(), 0)
            return
        for number in range(len(self.player.scene().contacts)):
            name = ("job", "mobile")[a % 2]
            self.player.bc._edit_bc(number, name, self.player._value(name, 0))

    def do_twins(self, a: int, b: int) -> bool:
        """Two items get one address, and the one that was made last is the older one (rules 2.3)."""
        profile = self.player._profile(a)
        folder = self.player._folder(profile)
        if folder is None:
            return False
        n = self.player._next()
        younger = self._twin(profile, folder, n)
        self.player.sim.clock(advance_seconds=-7200)
        older = self._twin(profile, folder, n)
        self.player.sim.clock(advance_seconds=7200)
        self.player.do_run(("incremental", "full")[b % 2])
        found = oracle.rows(
            self.player.h.edges.engine, "SELECT outlook_id FROM coupling WHERE profile = :p", p=profile.key
        )
        coupled = {row["outlook_id"] for row in found}
        message = f"the younger of two items of {profile.mailbox} was taken, and the older one left"
        check(younger not in coupled or older in coupled, "I3", message)
        return True

    def _twin(self, profile: oracle.Setup, folder: str, n: int) -> str:
        body: dict[str, Any] = {
            "displayName": f"Tweeling q{n}q",
            "emailAddresses": [{"address": f"q{n}q@tweeling.example", "name": "x"}],
        }
        made = self.player._in_outlook("POST", f"contactFolders/{folder}/contacts", body, profile.mailbox)
        self.oracle.users_items.add(made["id"])
        self.oracle.typed |= {mapped.normal(name, value) for name, value in mapped.item_values(made).items()}
        return str(made["id"])
