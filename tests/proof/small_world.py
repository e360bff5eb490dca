"""The small world, complete: one contact, two fields, up to three edits a side, and all crash points.

The contact's two fields are of different kinds: *job* is one plain property on both sides, *phone* is the first entry
of an array in Outlook. The sync sees states, never edits, so sequences of edits that leave the same state between two
runs are one case. What is enumerated is, for each state in which a run can find the pair:

* ``STARTS``, what earlier runs leave behind: a pair in agreement (with both fields, without one, without both), an
  item that was adopted, a contact that was made of a user's item, an item whose contact is gone, and nothing at all.
  Each is reached by edits and runs, which count. Every case checks that the runs end in one of these again, so there
  are no other ones. Where a start differs from an agreed pair in its fields only, the cases are those of fields; where
  it differs in the origin only, those of deletes.
* The edits of both sides since: per field, what either side did (nothing, an own value, blank, or both the same new
  value: 10 ways, 5 where the field was blank before); deleted, deleted and made again, and edited and put back on one
  side, beside everything that the other side may have done. No side has more than three edits in all.
* The crash points of the run that finds them: before and after each call, before each commit, as groups of places
  between two effects (``crashes.py``).
* For the cases of one single edit, each of four edits of a user between the crash and the next run.

Judged by the oracle after every run, and at the end by the state of the same case without a crash. An edit behind the
crash may rightly end otherwise (what was written is a value, what was not is a conflict), so there the oracle judges
alone. ``len(cases())`` is 382, which a test holds.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import Sandbox
from tests.proof import mapped, oracle
from tests.proof.crashes import Start, killed_everywhere, recover, state
from tests.proof.oracle import Oracle, Scene, Setup
from tests.proof.verdict import check
from tests.sync.harness import FOLDER, Harness, person, world

Edits = tuple[str, ...]
NAME, EMAIL, MAILBOX = "Jan Jansen", "jan@klant.example", "anna@voorbeeld.example"
FIELDS = ("job", "phone")
MOST = 3

#: What leads to a state that a run may find: edits of Business Central's users, of Outlook's, then runs; repeated.
STARTS: dict[str, tuple[tuple[Edits, Edits], ...]] = {
    "agreed": (),
    "job blank": ((("job blank",), ()),),
    "phone blank": ((("phone blank",), ()),),
    "both blank": ((("job blank",), ("phone blank",)),),
    "adopted": (((), ("delete", "add first first")),),
    "made by a user": ((("delete",), ()), ((), ("add own own",))),
    "contact gone": ((("delete",), ("job own",)),),
    "nothing": ((("delete",), ()),),
}

# One field, (Business Central, Outlook): what either side did to it since the last run.
_FIELD = (
    ("", ""), ("own", ""), ("", "own"), ("own", "own"), ("same", "same"),
    ("blank", ""), ("", "blank"), ("blank", "blank"), ("own", "blank"), ("blank", "own"),
)  # fmt: skip
_BLANK_FIELD = _FIELD[:5]
_ALONE = ("", "own", "blank")
# Both sides new: (a value, none), in Business Central and in Outlook, per field.
_NEW = (("own", "own"), ("own", "blank"), ("blank", "own"), ("same", "same"), ("blank", "blank"))
_AGAIN = ("delete", "add own own")
_PUT_BACK = ("job own", "job back")
_BEHIND = (("bc", "job own"), ("ol", "job own"), ("bc", "delete"), ("ol", "delete"))


@dataclass(frozen=True)
class Case:
    """One state that a run finds, and perhaps an edit between its crash and the next run."""

    start: str
    bc: Edits
    ol: Edits
    behind: tuple[str, str] | None = None

    def __str__(self) -> str:
        """Return the case as a failure prints it, and as the long run remembers it."""
        text = f"{self.start}; BC: {', '.join(self.bc) or '-'}; Outlook: {', '.join(self.ol) or '-'}"
        return f"{text}; behind the crash: {' '.join(self.behind)}" if self.behind else text


# -- enumeration -------------------------------------------------------------------------------------------------


def cases() -> list[Case]:
    """Return the small world, complete."""
    found = [case for case in dict.fromkeys(_all()) if _affordable(case)]
    single = [case for case in found if case.start == "agreed" and len(case.bc) + len(case.ol) == 1]
    return found + [
        Case("agreed", c.bc, c.ol, edit) for c in single for edit in _BEHIND if _possible(c, edit)
    ]


def _all() -> Iterator[Case]:
    yield from _of_fields("agreed", _FIELD, _FIELD)
    yield from _of_fields("job blank", _BLANK_FIELD, _FIELD)
    yield from _of_fields("phone blank", _FIELD, _BLANK_FIELD)
    yield from _of_fields("both blank", _BLANK_FIELD, _BLANK_FIELD)
    alone = [_edits(job, phone) for job, phone in itertools.product(_ALONE, repeat=2)]
    whole = [("delete",), _AGAIN]
    for start in ("agreed", "adopted", "made by a user"):
        yield from (Case(start, bc, ol) for bc in whole for ol in [*alone, *whole, _PUT_BACK])
    yield from (Case("agreed", bc, ol) for bc in alone for ol in [*whole, _PUT_BACK])
    for ol in ((), ("job own",), ("delete",), _AGAIN, _PUT_BACK):
        yield from (Case("contact gone", bc, ol) for bc in ((), ("add own own",)) if bc or ol)
    yield from (Case("nothing", bc, ol) for bc, ol in ((("add own own",), ()), ((), ("add own own",))))
    for (bc_job, ol_job), (bc_phone, ol_phone) in itertools.product(_NEW, repeat=2):
        yield Case("nothing", (f"add {bc_job} {bc_phone}",), (f"add {ol_job} {ol_phone}",))


def _of_fields(start: str, job: Any, phone: Any) -> Iterator[Case]:
    for (bc_job, ol_job), (bc_phone, ol_phone) in itertools.product(job, phone):
        yield Case(start, _edits(bc_job, bc_phone), _edits(ol_job, ol_phone))


def _edits(*kinds: str) -> Edits:
    return tuple(f"{name} {kind}" for name, kind in zip(FIELDS, kinds, strict=True) if kind)


def _affordable(case: Case) -> bool:
    before = STARTS[case.start]
    bc = len(case.bc) + sum(len(edits) for edits, _ in before)
    return bc <= MOST and len(case.ol) + sum(len(edits) for _, edits in before) <= MOST


def _possible(case: Case, edit: tuple[str, str]) -> bool:
    """Whether somebody can still edit there: what was deleted is gone, and a run deletes what has lost its contact."""
    return ("delete",) not in (case.bc, case.ol) or (edit[0] == "bc" and case.bc != ("delete",))


# -- playing -----------------------------------------------------------------------------------------------------


@dataclass
class Small:
    """Plays cases, one after the other, in one sandbox; starts are made once."""

    home: Path
    database: str
    kept: dict[str, tuple[Start, Oracle]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        contact = person(NAME, EMAIL, jobTitle="Baan firstq", phoneNumber="+31 20 5000000")
        # Nobody syncs companies. With them the only person's end is not "less than half of what was there" (8.3).
        others = [{"type": "Company", "displayName": f"Firma {n}"} for n in range(2)]
        self.sim = Sandbox(world=world(contact, *others, mailboxes=[MAILBOX])).start()
        loose = {"guard_few_deletes": 10**6, "guard_creates": 10**6, "guard_deletes": 10**6}
        self.h = Harness(self.sim, self.database, retry_cap=1.0, longest_request=0.0, **loose)
        self.numbers = itertools.count(1)
        self.oracle = Oracle([Setup(MAILBOX, key=1)])
        self.h.add_profiles(MAILBOX)
        scene = self.scene()
        self.oracle.typed_there(scene)
        self.oracle.saw(scene)
        self.oracle.users_contacts |= scene.contacts.keys()
        self.h.full()
        self.h.run()
        self._keep("agreed")

    def close(self) -> None:
        self.h.close()
        self.sim.stop()

    def play(self, case: Case) -> Counter[str]:
        """Carry out a case with all its crash points; raise a ``Violation`` where an invariant breaks."""
        self._go_to(case.start)
        self._edit(case.bc, case.ol)
        moment, known = self._moment("case"), self.oracle
        self.h = moment.again()
        self._run_on(self.scene())
        wanted = state(self.h)
        self._is_a_start()
        before = self._scene_of(moment)

        def judge(what: str) -> None:
            self.oracle = copy.deepcopy(known)
            self._judge_run(before)
            if case.behind:
                self._edit_if_there(*case.behind)
            self._run_on(self.scene())
            if not case.behind:
                check(state(self.h) == wanted, "I7", f"{what}: {state(self.h)} in place of {wanted}")

        try:
            return killed_everywhere(moment, lambda: self.h.run(run_id="killed"), judge)
        except AssertionError as error:
            raise type(error)(f"{error}\n  {case}") from error

    # -- states ----------------------------------------------------------------------------------------------------

    def _go_to(self, start: str) -> None:
        if start not in self.kept:
            self._go_to("agreed")
            for bc, ol in STARTS[start]:
                self._edit(bc, ol)
                self._run_on(self.scene())
            self._keep(start)
        moment, known = self.kept[start]
        self.h = moment.again()
        self.oracle = copy.deepcopy(known)

    def _keep(self, name: str) -> None:
        self.kept[name] = (self._moment(name), copy.deepcopy(self.oracle))

    def _moment(self, name: str) -> Start:
        home = self.home / name.replace(" ", "_")
        home.mkdir(exist_ok=True)
        return Start(self.h, home)

    @staticmethod
    def _scene_of(moment: Start) -> Scene:
        return Scene.of(moment.world)

    def scene(self) -> Scene:
        return Scene.of(self.sim.dump())

    def _people(self) -> dict[str, dict[str, Any]]:
        return {key: c for key, c in self.scene().contacts.items() if c["type"] == "Person"}

    def _run_on(self, before: Scene) -> None:
        recover(self.h)
        self._judge_run(before)
        self.oracle.judge_end(self.scene(), self.h.edges.engine)

    def _judge_run(self, before: Scene) -> None:
        after = self.scene()
        self.oracle.judge_run(before, after, users_acted=False)
        self.oracle.saw(after)

    def _is_a_start(self) -> None:
        """What runs leave behind is one of ``STARTS``: an agreed pair, an item without contact, or nothing."""
        people, items = self._people(), self.h.items(MAILBOX)
        couplings = oracle.rows(self.h.edges.engine, "SELECT state, attention FROM coupling")
        active = couplings == [{"state": "active", "attention": 0}] or couplings == [
            {"state": "active", "attention": False}
        ]
        pair = active and len(people) == len(items) == 1
        alone = not people and len(items) == 1 and all(c["state"] == "released" for c in couplings)
        nothing = not people and not items and not couplings
        check(pair or alone or nothing, "I5", f"no start: {len(people)} {len(items)} {couplings}")

    # -- edits -----------------------------------------------------------------------------------------------------

    def _edit(self, bc: Edits, ol: Edits) -> None:
        number = next(self.numbers)
        for side, edits in (("bc", bc), ("ol", ol)):
            for edit in edits:
                self._edit_one(side, edit, number)
        self.oracle.saw(self.scene())

    def _edit_if_there(self, side: str, edit: str) -> None:
        there = self._people() if side == "bc" else self.h.items(MAILBOX)
        if there:
            self._edit((edit,) if side == "bc" else (), (edit,) if side == "ol" else ())

    def _edit_one(self, side: str, edit: str, number: int) -> None:
        what, *kinds = edit.split()
        if what == "delete":
            self._delete(side)
        elif what == "add":
            self._add(side, [self._value(f, k, side, number) for f, k in zip(FIELDS, kinds, strict=True)])
        else:
            self._set(side, what, self._value(what, kinds[0], side, number), back=kinds == ["back"])

    def _value(self, name: str, kind: str, side: str, number: int) -> str:
        own = {"own": 2 * number + (side == "ol"), "same": 10**5 + number, "first": 0, "back": 0}
        if kind == "blank":
            return ""
        if kind == "back":
            return self.put_back
        if name == "phone":
            return f"+31 20 5{own[kind]:06}"
        return "Baan firstq" if kind == "first" else f"Baan q{own[kind]}q"

    def _present(self, side: str) -> tuple[str, dict[str, str]]:
        if side == "bc":
            ((key, contact),) = self._people().items()
            return key, mapped.bc_values(contact)
        item = next(i for i in self.scene().items[MAILBOX].values() if i.folder == FOLDER)
        return item.id, item.values

    def _set(self, side: str, name: str, value: str, *, back: bool) -> None:
        key, old = self._present(side)
        self.put_back = old[name]
        if side == "bc":
            self.h.in_bc("PATCH", f"contacts({key})", {mapped.BC_PROPERTIES[name]: value})
        else:
            job, phones = {"jobTitle": value or None}, {"businessPhones": [value] if value else []}
            self.h.in_outlook("PATCH", f"contacts/{key}", job if name == "job" else phones, MAILBOX)
        self.oracle.typed_over([old[name]])
        if not back:
            # What is put back is what it was: nothing is lost where the other side has a new value.
            self.oracle.typed_value(0, f"{side} {name}", name, value)

    def _delete(self, side: str) -> None:
        key, old = self._present(side)
        if side == "bc":
            self.h.in_bc("DELETE", f"contacts({key})")
        else:
            self.oracle.users_deletes.add(key)
            self.h.in_outlook("DELETE", f"contacts/{key}", None, MAILBOX)
        self.oracle.typed_over(list(old.values()))
        self.oracle.saw(self.scene())

    def _add(self, side: str, values: list[str]) -> None:
        job, phone = values
        if side == "bc":
            made = self.h.add_contact(NAME, EMAIL, jobTitle=job, phoneNumber=phone)
            self.oracle.users_contacts.add(made["id"])
        else:
            numbers = {"businessPhones": [phone]} if phone else {}
            address = {"emailAddresses": [{"address": EMAIL, "name": NAME}]}
            made = self.h.add_item(MAILBOX, displayName=NAME, jobTitle=job or None, **address, **numbers)
            self.oracle.users_items.add(made["id"])
        for name, value in zip(FIELDS, values, strict=True):
            self.oracle.typed_value(0, f"{side} new {name}", name, value)
