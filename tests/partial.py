"""Holds each comparison of what is unsettled against one of everything, on the same data: both plan the same.

Installed around every test, and around the histories of the long run: whatever they do to a profile, a comparison that
leaves out what does not agree is found there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

from sqlalchemy import Connection

from sync_lib.diff import plan
from sync_lib.diff.baselines import is_edited
from sync_lib.diff.context import DiffContext
from sync_lib.diff.match import Matching, Views, match
from sync_lib.model import Plan
from sync_lib.run import compare, inputs
from sync_lib.run.inputs import ProfileView, Scope
from sync_lib.store.settled import Unsettled


class Checks:
    """Compares as a whole beside each comparison of what is unsettled.

    Attributes:
        count: How many were held against each other.
        on: Whether it is done; what is counted must not count this.
    """

    def __init__(self) -> None:
        self.count, self.on = 0, True
        self._read_view, self._plan_changes = inputs.read_view, plan.plan_changes
        # Of each worker: a history may have several at once.
        self._mine = threading.local()

    def read_view(self, conn: Connection, scope: Scope, unsettled: Unsettled | None = None) -> ProfileView:
        """Read what is unsettled, and everything as well."""
        view = self._read_view(conn, scope, unsettled)
        self._mine.whole = None
        if unsettled is not None and self.on:
            whole = self._read_view(conn, scope)
            assert _split(view) == _split(whole), "a comparison leaves out what does not agree"
            assert set(view.agreed) == set(whole.agreed), "a pair in agreement was not marked as settled"
            self._mine.whole = view.views, whole
        return view

    def plan_changes(self, matching: Matching, views: Views, context: DiffContext) -> Plan:
        """Plan for both, and return the plan of what was read."""
        planned = self._plan_changes(matching, views, context)
        both: tuple[Views, ProfileView] | None = getattr(self._mine, "whole", None)
        if both is not None and both[0] is views:
            assert context.company is not None
            everything = both[1].views
            found = match(everything, context.company, partial(is_edited, mapper=context.mapper))
            whole = self._plan_changes(found, everything, context)
            assert matching.found == found.found
            assert _said(planned) == _said(whole), "a comparison of what is unsettled plans something else"
            self.count += 1
        return planned


def _split(view: ProfileView) -> dict[str, Any]:
    split, views = view.partition, view.views
    return {
        "counts": (split.same, split.present, split.live, view.extra),
        "couplings": sorted(split.couplings),
        "contacts": sorted(split.bc_ids),
        "items": sorted(split.outlook_ids),
        "sides": (dict(views.bc), dict(views.items), views.in_filter, sorted(views.left_out)),
        "names": view.company_names,
    }


def _said(plan: Plan) -> dict[str, Any]:
    return {
        "changes": plan.changes,
        "couplings": sorted(plan.couplings, key=lambda each: each.bc_id),
        "ended": sorted(plan.ended, key=lambda each: each.bc_id),
        "rejects": sorted(map(repr, plan.rejects)),
        "outcomes": plan.outcomes,
        "unread": plan.unread,
        "leaving": plan.leaving,
    }


@contextmanager
def checked() -> Iterator[Checks]:
    """Hold each comparison of what is unsettled against one of everything, while the block runs."""
    checks = Checks()
    with (
        mock.patch.object(compare, "read_view", checks.read_view),
        mock.patch.object(compare, "plan_changes", checks.plan_changes),
    ):
        yield checks
