"""The comparison of all pairs with staged fingerprints and integer links, beside polars on the same rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sync_lib.diff.match import partition
from sync_lib.model import CouplingState
from tests.benchmarks.measuring import Cost, Options, apart, peak_memory, side_by_side
from tests.benchmarks.report import Table, ratio

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
HEAD = ("pairs", "ours ms", "polars ms", "x wall", "x CPU", "gather ms", "s per million", "MiB", "polars MiB")


def run(options: Options) -> list[Table]:
    """Return times with so many pairs, 1 % of them changed; each size in a process of its own."""
    sizes = options.sizes(2_000, 10_000, 100_000, 1_000_000, small=(300,))
    rows = [_row(size, options.rounds) for size in sizes]
    note = (
        "2,000 pairs are a large profile: at most 10 ms. From 10,000 on at most 1.0 x polars in wall, 1.1 x in CPU; "
        "1 M pairs at most 1,536 MiB. `gather` is the floor: two gathers of integers, positions known."
    )
    return [Table("Diff, 1 % changed", HEAD, rows, note)]


def _row(size: int, rounds: int) -> tuple[str, ...]:
    costs = apart(compare, size, rounds)
    ours, theirs, floor = costs["ours"], costs.get("polars"), costs["gather"]
    return (
        str(size),
        f"{ours.wall * 1e3:.1f}",
        f"{theirs.wall * 1e3:.1f}" if theirs else "-",
        ratio(ours.wall, theirs.wall if theirs else None),
        ratio(ours.cpu, theirs.cpu if theirs else None),
        f"{floor.wall * 1e3:.2f}",
        f"{ours.wall / size * 1e6:.3f}",
        str(apart(alone, "ours", size)),
        str(apart(alone, "polars", size)) if theirs else "-",
    )


def compare(size: int, rounds: int) -> dict[str, Cost]:
    """Return what the ways cost; all of them must come to the same."""
    frames = make_frames(size)
    acts: dict[str, Any] = {"ours": partial(partition, *frames), "gather": partial(_gather, *frames)}
    found = partition(*frames)
    try:
        theirs = _in_polars(frames)
    except ImportError:
        return side_by_side(rounds, acts)
    acts["polars"] = partial(with_polars, *theirs)
    same, couplings, bc_ids, outlook_ids = with_polars(*theirs)
    assert (same, sorted(couplings)) == (found.same, sorted(found.couplings))
    assert (sorted(bc_ids), sorted(outlook_ids)) == (sorted(found.bc_ids), sorted(found.outlook_ids))
    return side_by_side(rounds, acts)


def alone(way: str, size: int) -> int:
    """Return the peak memory of one way, in MiB: what makes its frames is in it, and nothing of the other way."""
    frames = make_frames(size)
    if way == "ours":
        partition(*frames)
    else:
        theirs = _in_polars(frames)
        del frames
        with_polars(*theirs)
    return peak_memory()


def make_frames(count: int) -> Frames:
    """Return persons, items and couplings: 1 % changed in BC, some on each side without a coupling."""
    rng = np.random.default_rng(1)
    rows = np.arange(1, count + 1)
    prints = rng.integers(1, 2**62, count)
    ids = pd.array([f"id-{n}" for n in rows], dtype="str")
    etags = pd.array(["v1"] * count, dtype="str")
    persons = pd.DataFrame(
        {"row_id": rows, "id": ids, "fingerprint": prints, "problem": pd.array([""] * count, "str")}
    )
    items = pd.DataFrame({"row_id": rows, "id": ids, "fingerprint": prints, "etag": etags})
    changed = prints.copy()
    changed[::100] += 1
    couplings = pd.DataFrame(
        {
            "id": rows,
            "bc_row": rows,
            "outlook_row": rows,
            "state": pd.array([str(CouplingState.ACTIVE)] * count, dtype="str"),
            "bc_fingerprint": changed,
            "outlook_fingerprint": prints,
            "outlook_etag": etags,
            "attention": np.zeros(count, bool),
        }
    )
    order = rng.permutation(count)
    # The last in a thousand has no coupling yet.
    coupled = couplings.iloc[: count - max(1, count // 1000)].reset_index(drop=True)
    return persons.iloc[order].reset_index(drop=True), items, coupled


def _gather(persons: pd.DataFrame, items: pd.DataFrame, couplings: pd.DataFrame) -> int:
    """The floor: two gathers of integers and their comparison, positions known."""
    where = couplings["bc_row"].to_numpy() - 1
    same = persons["fingerprint"].to_numpy()[where] == couplings["bc_fingerprint"].to_numpy()
    same &= items["fingerprint"].to_numpy()[where] == couplings["outlook_fingerprint"].to_numpy()
    return int(same.sum())


def _in_polars(frames: Frames) -> tuple[Any, Any, Any]:
    import polars

    def frame(table: pd.DataFrame) -> Any:
        return polars.DataFrame({name: table[name].to_numpy().tolist() for name in table.columns})

    persons, items, couplings = frames
    return frame(persons), frame(items), frame(couplings)


def with_polars(persons: Any, items: Any, couplings: Any) -> tuple[int, list[int], list[str], list[str]]:
    """Return what ``partition`` does, in the form that polars is quickest with: light joins by integers."""
    import polars as pl

    scope = persons.select(bc_row="row_id", p="fingerprint", problem="problem")
    folder = items.select(outlook_row="row_id", f="fingerprint", etag="etag")
    joined = couplings.join(scope, on="bc_row", how="left", maintain_order="left").join(
        folder, on="outlook_row", how="left", maintain_order="left"
    )
    agreed = (
        (pl.col("p") == pl.col("bc_fingerprint"))
        & (pl.col("f") == pl.col("outlook_fingerprint"))
        & (pl.col("etag") == pl.col("outlook_etag"))
        & (pl.col("problem") == "")
        & (pl.col("state") == str(CouplingState.ACTIVE))
        & ~pl.col("attention")
    ).fill_null(value=False)
    split = joined.select("id", agreed=agreed)
    others = split.filter(~pl.col("agreed"))["id"].to_list()
    free_persons = persons.join(couplings, left_on="row_id", right_on="bc_row", how="anti")["id"].to_list()
    free_items = items.join(couplings, left_on="row_id", right_on="outlook_row", how="anti")["id"].to_list()
    return int(split["agreed"].sum()), others, free_persons, free_items
