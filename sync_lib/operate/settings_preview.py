"""What saving other settings would do, from what is staged: who would come into a profile's folder, and who leave it.

It follows the sync: its scope (``inputs.read_scope``), its rule for persons who share an address (rules 2.3), its
policies for those who leave (rules 7.3) and its guard. Nothing is read from the services, and nothing is written.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from sync_lib.diff import guard
from sync_lib.fields import categories
from sync_lib.fields.filters import Filter
from sync_lib.model import Action, CouplingState, Direction, Origin, PlannedChange
from sync_lib.run.inputs import Scope, read_scope, with_other_categories
from sync_lib.settings import SyncSettings
from sync_lib.store.changes import read_recent
from sync_lib.store.queries import previews
from sync_lib.store.wishes import read_left_out

_COLUMNS = ("row_id", "email_key", "problem", "name")
#: Categories that the preview names.
MOST_CATEGORIES = 8
_LIVE = (CouplingState.ACTIVE, CouplingState.PINNED)


@dataclass(frozen=True, slots=True)
class Wish:
    """The settings that decide who is in a folder; ``me`` is the salesperson code.

    ``categories`` are the templates of the contacts' categories there, None where they cannot be used.
    """

    filter: Filter
    me: str
    direction: str
    left_scope: str
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose folder it is about.

    Attributes:
        company: Key of the company.
        profile: Id of the profile, None for one that is not stored yet.
        stored: What it says now; None for a new one, and where its filter cannot be understood.
    """

    company: int
    profile: int | None = None
    stored: Wish | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How to look: the guard's limits, and how many names of each list to show."""

    settings: SyncSettings
    first: int = 50


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a list."""

    name: str
    company_name: str
    city: str


@dataclass(frozen=True, slots=True)
class Listing:
    """How many, and the first of them by name."""

    total: int
    first: list[Person]


@dataclass(frozen=True, slots=True)
class CategoryPreview:
    """What the templates of categories come to.

    Attributes:
        counts: The categories that most contacts get, and how many get each.
        others: How many further categories there are.
        written: How many contacts in the folder get other categories by the next run.
    """

    counts: list[tuple[str, int]]
    others: int
    written: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What the wished settings mean.

    Attributes:
        matching: Persons in the scope.
        incomplete: Persons who pass the filter, and stay out without a name or a valid address.
        twins: Persons who pass it, and stay out since another one has their address.
        coming: Who would be synced because of what is wished.
        deleted: Who would be deleted in Outlook because of it.
        released: Who would stay there because of it, and no longer be synced.
        coming_anyway: How many the next run adds whatever is saved.
        leaving_anyway: How many the next run takes out whatever is saved.
        held: Why the guard would hold the deletes.
        read_at: When BC was last read; "" for never: then all else is 0.
        categories: What the templates come to, None where no category is written.
    """

    matching: int
    incomplete: int
    twins: int
    coming: Listing
    deleted: Listing
    released: Listing
    coming_anyway: int
    leaving_anyway: int
    held: list[str]
    read_at: str
    categories: CategoryPreview | None = None

    @property
    def changes_nothing(self) -> bool:
        """Whether the folder stays as it is."""
        return not (self.coming.total or self.deleted.total or self.released.total)


def make_preview(conn: Connection, subject: Subject, wish: Wish, look: Look) -> Preview:
    """Compare what is wished with what is stored and coupled; time grows with both scopes, not with the company."""
    people = _people(conn, subject, wish)
    before = _people_before(conn, subject, wish, people)
    pairs = previews.read_pairs(conn, subject.profile or 0)
    valid = people["problem"].eq("").to_numpy(bool)
    coming, twins = _coming(conn, people, pairs, valid)
    coming_anyway = _among(coming["row_id"], before["row_id"])

    leaving = pairs[pairs["state"].eq(CouplingState.ACTIVE) & pairs["present"]]
    leaving = leaving[~_among(leaving["bc_row"], people["row_id"])]
    by_saving = _among(leaving["bc_row"], before["row_id"])
    # Who is gone or blocked in BC goes for other reasons than the filter.
    others = previews.read_persons(conn, leaving.loc[~by_saving, "bc_row"].tolist())
    leaving = leaving[by_saving | _among(leaving["bc_row"], others["row_id"])]
    names = pd.concat([before[["row_id", "name"]], others])
    leaving = leaving.merge(names, left_on="bc_row", right_on="row_id")
    # A stored filter that cannot be understood takes nobody out: saving another one does.
    anyway = ~_among(leaving["bc_row"], before["row_id"]) if subject.stored else np.zeros(len(leaving), bool)
    deleted = _is_deleted(leaving, wish)
    listing = _Lister(conn, look.first)
    return Preview(
        matching=int(valid.sum()) - len(twins),
        incomplete=int((~valid).sum()),
        twins=len(twins),
        coming=listing(coming[~coming_anyway]),
        deleted=listing(leaving[deleted & ~anyway]),
        released=listing(leaving[~deleted & ~anyway]),
        coming_anyway=int(coming_anyway.sum()),
        leaving_anyway=int(anyway.sum()),
        held=_held(conn, subject, int(deleted.sum()), pairs, look),
        read_at=previews.read_time_of_snapshot(conn, subject.company),
        categories=_categories(conn, subject, wish, people[~_among(people["row_id"], twins)]),
    )


def _people(conn: Connection, subject: Subject, wish: Wish) -> pd.DataFrame:
    scope = Scope(subject.profile or 0, subject.company, wish.filter, wish.me)
    asked = categories.columns_asked(wish.categories or ())
    people = read_scope(conn, scope, columns=(*_COLUMNS, "id", *asked))
    out = read_left_out(conn, subject.profile) if subject.profile else frozenset()
    return people[~people["id"].isin(out)].reset_index(drop=True) if out else people


def _categories(
    conn: Connection, subject: Subject, wish: Wish, people: pd.DataFrame
) -> CategoryPreview | None:
    if wish.categories is None or wish.direction == Direction.TO_BUSINESS_CENTRAL:
        return None
    columns = categories.columns_asked(wish.categories)
    valid = people[people["problem"].eq("")]
    # Contacts of one company get the same categories: each combination of values is looked at once.
    alike = valid.groupby(columns).size().items() if columns else [((), len(valid))]
    counts = Counter[str]()
    for values, count in alike:
        texts = dict(zip(columns, values if isinstance(values, tuple) else (values,), strict=True))
        for category in categories.render(wish.categories, texts):
            counts[category] += int(count)
    scope = Scope(subject.profile or 0, subject.company, wish.filter, wish.me, categories=wish.categories)
    written = with_other_categories(conn, scope, valid) if subject.profile else []
    first = sorted(counts.items(), key=lambda each: (-each[1], each[0].casefold()))[:MOST_CATEGORIES]
    return CategoryPreview(first, len(counts) - len(first), len(written))


def _people_before(conn: Connection, subject: Subject, wish: Wish, people: pd.DataFrame) -> pd.DataFrame:
    """The scope that is stored now: nobody, the same people, or a second read."""
    stored = subject.stored
    if stored is None:
        return people.iloc[:0]
    is_same = (stored.filter, stored.me) == (wish.filter, wish.me)
    return people if is_same else _people(conn, subject, stored)


def _among(row_ids: pd.Series, others: pd.Series) -> np.ndarray:
    return np.isin(row_ids.to_numpy(np.int64), others.to_numpy(np.int64))


def _coming(
    conn: Connection, people: pd.DataFrame, pairs: pd.DataFrame, valid: np.ndarray
) -> tuple[pd.DataFrame, pd.Series]:
    """Who of the scope is not synced yet and will be; and who is not since another has their address."""
    live = pairs["state"].isin(_LIVE) & pairs["present"]
    # What a colleague deleted and what stays away comes back by other rules than the filter's, or not at all.
    returning = pairs["state"].eq(CouplingState.RELEASED) & pairs["present"]
    back = people[valid & _among(people["row_id"], pairs.loc[returning, "bc_row"])]
    new = people[valid & ~_among(people["row_id"], pairs["bc_row"])]
    synced = _among(people["row_id"], pairs.loc[live, "bc_row"])
    taken = new["email_key"].isin(people.loc[synced, "email_key"]).to_numpy(bool)
    rivals = new[~taken & new["email_key"].duplicated(keep=False).to_numpy(bool)]
    # Of several with one address the lowest number is taken (rules 2.3).
    order = previews.read_persons(conn, rivals["row_id"].tolist()).sort_values(["number", "id"])
    second = order.loc[order["email_key"].duplicated(), "row_id"]
    out = taken | _among(new["row_id"], second)
    return pd.concat([new[~out], back]), new.loc[out, "row_id"]


def _held(conn: Connection, subject: Subject, deletes: int, pairs: pd.DataFrame, look: Look) -> list[str]:
    """Ask the guard about so many deletes."""
    if subject.profile is None or not deletes:
        return []
    circumstances = guard.Circumstances(
        live=int(pairs["state"].isin(_LIVE).sum()),
        present=int(pairs["present"].sum()),
        recent=read_recent(conn, subject.profile),
    )
    return why_held(deletes, circumstances, look.settings)


def _is_deleted(leaving: pd.DataFrame, wish: Wish) -> np.ndarray:
    """Who is deleted rather than released (rules 7.3, 7.3b, 7.9)."""
    if wish.left_scope != "delete" or wish.direction == Direction.TO_BUSINESS_CENTRAL:
        return np.zeros(len(leaving), bool)
    made = leaving["origin"].eq(Origin.MADE_BY_SYNC).to_numpy(bool)
    return np.asarray(made & ~leaving["edited"].to_numpy(bool))


def why_held(deletes: int, circumstances: guard.Circumstances, settings: SyncSettings) -> list[str]:
    """Return why the guard would hold so many deletes; [] where it would not."""
    if not deletes:
        return []
    # What holds some of the deletes holds all of them, so the guard need not look at a hundred thousand.
    asked = 1_000
    while not (reasons := _verdict(min(asked, deletes), circumstances, settings)) and asked < deletes:
        asked *= 4
    return reasons


def _verdict(deletes: int, circumstances: guard.Circumstances, settings: SyncSettings) -> list[str]:
    changes = [
        PlannedChange(Action.DELETE_OUTLOOK, "left_scope", bc_id=str(n), guard_class="deletes")
        for n in range(deletes)
    ]
    return guard.hold(changes, circumstances, settings).reasons


@dataclass(frozen=True, slots=True)
class _Lister:
    """Makes lists of names: of thousands of persons only the first are read whole."""

    conn: Connection
    first: int

    def __call__(self, frame: pd.DataFrame) -> Listing:
        names = [name.casefold() for name in frame["name"].to_numpy(object).tolist()]
        chosen = [n for _, n in heapq.nsmallest(self.first, zip(names, range(len(names)), strict=True))]
        rows = frame["row_id"].to_numpy(np.int64)[chosen].tolist()
        found = previews.read_persons(self.conn, rows).set_index("row_id")
        columns = [found.loc[rows, name].tolist() for name in ("name", "company_name", "city")]
        return Listing(len(frame), [Person(*each) for each in zip(*columns, strict=True)])
