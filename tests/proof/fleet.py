"""Several profiles in a mailbox, several companies, and what becomes of their names and places."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sync_lib.model import Decision
from sync_lib.store import companies as stored_companies
from sync_lib.store import holds
from sync_lib.store.companies import MOVED
from sync_lib.store.holds import HoldState
from sync_lib.store.profiles.settings import correct_profile, remove_profile, rename_folder
from tests.proof import mapped
from tests.proof.oracle import Setup
from tests.sync.harness import COMPANY, person

if TYPE_CHECKING:
    from tests.proof.histories import History, Step
    from tests.proof.player import Player

#: The company beside the one that every history has.
OTHER = "Waterzicht BV"
#: Folder of the second profile of a mailbox.
FOLDER = "Relaties"
#: The parts of the histories in which a mailbox has two profiles, and in which there are two companies.
IN_ONE_MAILBOX, OF_TWO_COMPANIES = 0.15, 0.12
CITIES = ("Zaandam", "Utrecht", "Haarlem")
STEPS = {
    "name_folder": 3, "rename_company": 3, "environment": 2, "accept_move": 2, "correct": 1, "remove_profile": 2,
}  # fmt: skip


# -- drawing ---------------------------------------------------------------------------------------------------------


def extend(history: History) -> History:
    """Return a history with perhaps a second profile in a mailbox, a second company, and what becomes of them."""
    rng = random.Random(f"fleet {history.seed}")
    more: list[Setup] = []
    if rng.random() < IN_ONE_MAILBOX:
        more.append(_profile(rng, history, 0))
    two = rng.random() < OF_TWO_COMPANIES
    if two:
        more.append(replace(_profile(rng, history, 1), folder=f"{OTHER} contacten"))
    steps = list(history.steps)
    for _ in range(rng.choice((0, 0, 0, 0, 1, 2)) + 2 * bool(more)):
        [name] = rng.choices(list(STEPS), list(STEPS.values()))
        step: Step = (name, rng.randrange(1000), rng.randrange(1000))
        steps.insert(rng.randint(1, len(steps)), step)
    return replace(history, companies=1 + two, profiles=(*history.profiles, *more), steps=tuple(steps))


def _profile(rng: random.Random, history: History, company: int) -> Setup:
    """A profile beside another one in its mailbox; at times it is switched on later."""
    beside = rng.choice(history.profiles)
    return Setup(
        beside.mailbox,
        FOLDER,
        city=rng.choice(("", "Zaandam", "Utrecht|Haarlem")),
        direction=rng.choice(("both", "both", "both", "to_outlook", "to_business_central")),
        deleted_in_outlook=rng.choice(("recreate", "recreate", "stay_away")),
        enabled=rng.random() < 0.75,
        company=company,
    )


def companies(number: int) -> list[dict[str, Any]]:
    """The companies beside the first one: persons of their own, and one who is a person of the first one too."""
    people = [person(f"Ander q{500 + n}q", f"ander{n}@klant.example", city=CITIES[n % 3]) for n in range(3)]
    return [{"name": OTHER, "contacts": [*people, person("Persoon q0q", "start0@klant.example")]}][
        : number - 1
    ]


# -- playing ---------------------------------------------------------------------------------------------------------


class Fleet:
    """Carries out what becomes of profiles and companies."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.oracle = player.oracle
        #: Today's names of the companies, by their number.
        self.names = [COMPANY, OTHER][: player.history.companies]
        #: The environment was moved to another name.
        self.has_moved = False

    def staged_name(self, profile: Setup) -> str:
        """The name by which the staging database knows a profile's company."""
        return str(self.player._staged(profile).get("company_name") or self.names[profile.company])

    def company_id(self, contact: dict[str, Any]) -> str:
        """The id of a contact's company."""
        return str(self.player.sim.info()["companies"][contact[mapped.IN_COMPANY]]["id"])

    def do_name_folder(self, a: int, _b: int) -> None:
        """The folder of a profile gets another name on the profile's page, and so in Outlook (rules 1)."""
        profile = self.player._profile(a)
        profile.folder = f"Map {self.player._next()}"
        self.name_folder(profile)

    def name_folder(self, profile: Setup) -> None:
        """Let the staging database know a folder by the name that was asked for last."""
        staged = self.player._staged(profile)
        if not profile.ended and staged["folder_asked"] != profile.folder:
            edges = self.player.h.edges
            rename_folder(edges.engine, staged["id"], profile.folder, now=edges.now())

    def do_rename_company(self, a: int, _b: int) -> None:
        """A company gets another name in Business Central; it is known by its id (rules 1)."""
        number, name = a % len(self.names), f"Bedrijf {self.player._next()} BV"
        self.names[number] = name

        def rename(world: Any) -> None:
            company = list(world.companies.values())[number]
            company.name = company.display_name = name

        self.player.sim.call(rename)

    def do_environment(self, a: int, _b: int) -> None:
        """The environment moves to another name, and the Connection with it; a person has to accept that."""
        self.has_moved = True
        name = "Production" if a % 4 == 0 else f"Omgeving{self.player._next()}"
        self.player.sim.call(lambda world: setattr(world, "environment", name))
        self.player._reopen()

    def do_accept_move(self, _a: int, _b: int) -> None:
        """A person accepts where the companies have moved to."""
        self.accept_moves()

    def accept_moves(self) -> bool:
        """Accept every move that a run has seen; whether there was one."""
        edges = self.player.h.edges
        with edges.engine.begin() as conn:
            moved = [
                company for company in stored_companies.read_companies(conn) if company.offered_environment
            ]
            for company in moved:
                stored_companies.accept_move(conn, company, company.offered_environment, now=edges.now())
        return bool(moved)

    def approve_moved(self) -> bool:
        """A person approves what is held since a company moved, in every second history; whether there was any."""
        edges = self.player.h.edges
        with edges.engine.begin() as conn:
            waiting = [hold for hold in holds.read_holds(conn, HoldState.OPEN) if MOVED in hold.reasons]
            if self.player.history.seed % 2:
                return False
            for hold in waiting:
                self.oracle.approvals.approve(conn, hold.id)
                holds.decide(conn, hold, Decision(True, "user", "person", edges.now()))
            return bool(waiting)

    def do_correct(self, _a: int, _b: int) -> None:
        """A person corrects profiles."""
        self.correct()

    def correct(self) -> None:
        """Correct profiles that never synced and name an address or a company that is no more (rules 1)."""
        edges = self.player.h.edges
        for profile in [each for each in self.oracle.profiles if not each.ended]:
            staged = self.player._staged(profile)
            today = {"mailbox": self.player.today[profile.mailbox], "company": self.names[profile.company]}
            is_today = (staged["mailbox"], staged["company_name"]) == (today["mailbox"], today["company"])
            if not (staged["graph_user_id"] or staged["folder_id"] or is_today):
                correct_profile(edges.engine, staged["id"], now=edges.now(), **today)

    def do_remove_profile(self, a: int, _b: int) -> bool:
        """A profile that never synced is removed, and set up anew."""
        profile = self.player._profile(a)
        staged = self.player._staged(profile)
        if profile.ended or staged["graph_user_id"] or staged["folder_id"]:
            return False
        with self.player.h.edges.engine.begin() as conn:
            remove_profile(conn, staged["id"])
        profile.key = 0
        self.player._import(profile)
        return True
