"""What users and those who run the sync do beside the plainest: odd values, contacts made again, profiles, answers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from sync_lib.model import Decision
from sync_lib.store import holds
from sync_lib.store.holds import HoldState
from tests.proof import mapped, odd_values, oracle
from tests.sync.harness import person

if TYPE_CHECKING:
    from tests.proof.histories import Step
    from tests.proof.player import Player

#: Fields that both sides hold in every field profile, and those of the ``extended`` one.
EDITED = (
    "name", "email", "phone", "mobile", "job", "street", "city", "county", "post", "country", "home", "company",
)  # fmt: skip
EXTENDED = ("first", "middle", "surname", "initials", "email2")
STEPS = {
    "bc_value": 9, "ol_value": 9, "bc_again": 2, "ol_again": 2, "bc_company": 2, "switch": 2, "decide": 3,
    "ask_again": 1, "run": 3,
}  # fmt: skip

#: The part of the histories in which limits are tight, and in which every profile is given a task in every run.
TIGHT, MAPPED = 0.2, 0.25


def steps(seed: int, field_profile: str) -> list[tuple[float, Step]]:
    """Return the further steps of a seed's history, each with where it comes in it, from 0 to 1."""
    rng = random.Random(f"users {seed}")
    drawn = []
    for _ in range(rng.choice((0, 0, 1, 3, 6, 12))):
        [name] = rng.choices(list(STEPS), list(STEPS.values()))
        drawn.append((rng.random(), _step(rng, name, field_profile)))
    return drawn


def settings(seed: int) -> dict[str, int | float]:
    """Return limits of the guard so tight that a person is asked about nearly all, for some seeds."""
    rng = random.Random(f"guard {seed}")
    if rng.random() > TIGHT:
        return {}
    names = rng.sample(("deletes", "few_deletes", "overwrites", "creates"), rng.choice((1, 2, 4)))
    limits: dict[str, int | float] = {}
    for name in names:
        limits |= {f"guard_{name}": rng.choice((0, 1)), f"guard_{name}_percent": 0.0}
    return limits


def quiet(seed: int) -> dict[str, bool]:
    """Return whether every profile is given a task in every run, as it is for some seeds (I21)."""
    return {"map_quiet": True} if random.Random(f"quiet {seed}").random() < MAPPED else {}


def _step(rng: random.Random, name: str, field_profile: str) -> Step:
    if name == "run":
        return ("run", rng.choice(("incremental", "incremental", "full")))
    a, b = rng.randrange(1000), rng.randrange(1000)
    if name in ("bc_value", "ol_value"):
        fields = EDITED + (EXTENDED if field_profile == "extended" else ())
        return (name, a, b, rng.choice(fields), rng.choice(odd_values.KINDS))
    return (name, a, b)


class Users:
    """Carries out further steps of a history."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.oracle = player.oracle

    # -- values ----------------------------------------------------------------------------------------------------

    def do_bc_value(self, a: int, _b: int, name: str, kind: str) -> bool:
        """A user of Business Central types a value; what it refuses stays as it was."""
        contact = self.player.bc._contact(a)
        if contact is None:
            return False
        old = mapped.bc_values(contact)[name]
        if name == "company":
            value = self._company_name(a)
        else:
            value = odd_values.value(name, kind, self.player._next(), old)
        if name == "country":
            value = mapped.normal(name, value).upper()
        return self._attempt(lambda: self.player.bc._edit_contact(contact, name, value))

    def do_ol_value(self, a: int, b: int, name: str, kind: str) -> bool:
        """A user of Outlook types a value, which Business Central may refuse."""
        profile, item = self.player.outlook._item(a, b)
        if item is None:
            return False
        old, n = item.values[name], self.player._next()
        if name == "company":
            value = f"Nergens q{n}q" if kind == "odd" else self._company_name(a)
        else:
            value = odd_values.value(name, kind, n, old)
        return self._attempt(lambda: self.player.outlook._edit_item(profile, item, name, value))

    @staticmethod
    def _attempt(edit: Any) -> bool:
        """Carry an edit out; what a service refuses was not typed."""
        try:
            edit()
        except AssertionError as refused:
            if " 400 " not in str(refused):
                raise
            return False
        return True

    def _company_name(self, a: int) -> str:
        contacts = self.player.scene().contacts.values()
        companies = sorted({c["displayName"] for c in contacts if c["type"] == "Company"})
        return companies[a % len(companies)] if companies else ""

    def do_bc_company(self, a: int, b: int) -> None:
        """A company contact is added; at times with the name of another one."""
        n = self.player._next()
        twin = self._company_name(a) if b % 4 == 0 else ""
        company = person(twin or f"Bedrijf q{n}q", f"q{n}q@bedrijf.example", type="Company")
        self.player.bc._add_contact(a, company)

    # -- contacts that are made again ------------------------------------------------------------------------------

    def do_bc_again(self, a: int, b: int) -> bool:
        """A contact is deleted and made again under its address, before the sync knows; or right behind a run."""
        contact = self.player.bc._contact(a)
        if contact is None:
            return False
        self.player.bc.do_bc_delete(a, b)
        if b % 3 == 0:
            self.player.do_run("incremental")
        n = self.player._next()
        name = contact["displayName"] if b % 2 else f"Opnieuw q{n}q"
        again = person(name, contact["email"], jobTitle=f"Baan q{n}q")
        made = self.player.bc._add_contact(contact[mapped.IN_COMPANY], again)
        self.player._typed("made again in BC", "name", name, ("bc", made))
        return True

    def do_ol_again(self, a: int, b: int) -> bool:
        """An item is deleted and made again with its address."""
        profile, item = self.player.outlook._item(a, b)
        folder = self.player._folder(profile)
        if item is None or folder is None:
            return False
        self.player.outlook.do_ol_delete(a, b)
        if b % 3 == 0:
            self.player.do_run("incremental")
            folder = self.player._folder(profile)
        if folder is None:
            return True
        n = self.player._next()
        name = item.properties.get("displayName") if b % 2 else f"Opnieuw q{n}q"
        body = {
            "displayName": name,
            "emailAddresses": (item.properties.get("emailAddresses") or [])[:1],
            "jobTitle": f"Baan q{n}q",
        }
        self._made(profile, folder, body)
        return True

    def _made(self, profile: oracle.Setup, folder: str, body: dict[str, Any]) -> None:
        made = self.player._in_outlook("POST", f"contactFolders/{folder}/contacts", body, profile.mailbox)
        self.oracle.users_items.add(made["id"])
        place = (profile.mailbox, made["id"])
        self.player._typed("made again in Outlook", "job", body["jobTitle"], place)
        self.oracle.typed |= {mapped.normal(name, value) for name, value in mapped.item_values(made).items()}

    # -- those who run the sync ------------------------------------------------------------------------------------

    def do_switch(self, a: int, _b: int) -> None:
        """A profile is switched off, or on again."""
        profile = self.player._profile(a)
        profile.enabled = not profile.enabled
        self.player._import(profile)

    def switch_on(self) -> None:
        """Every profile is switched on."""
        for profile in self.oracle.profiles:
            if not profile.enabled:
                profile.enabled = True
                self.player._import(profile)

    def do_decide(self, a: int, b: int) -> bool:
        """A person answers a question about what is held, as it was last shown."""
        with self.player.h.edges.engine.begin() as conn:
            found = [hold for hold in holds.read_holds(conn, HoldState.OPEN) if hold.profile is not None]
            if not found:
                return False
            hold = found[a % len(found)]
            decision = Decision(bool(b % 3), "user", "person", self.player.h.edges.now())
            if decision.approved:
                self.oracle.approvals.approve(conn, hold.id)
            return holds.decide(conn, hold, decision)

    def do_ask_again(self, a: int, _b: int) -> bool:
        """A person wants to be asked once more about what was rejected."""
        with self.player.h.edges.engine.begin() as conn:
            found = [hold for hold in holds.read_holds(conn, HoldState.REJECTED) if hold.profile is not None]
            return bool(found) and holds.ask_again(conn, found[a % len(found)].id) is not None
