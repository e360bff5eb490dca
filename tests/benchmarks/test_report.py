"""What the benchmarks make of figures, and how they keep a page: no figure is measured here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import report
from tests.benchmarks.measuring import Options
from tests.benchmarks.names import BENCHMARKS
from tests.benchmarks.report import Machine, Section, Table

QUIET = Machine("abc1234567", "2026-03-02 09:00", 2, "2 cores, 8 GiB, Python 3.11.7", (0.4, 1.9))
TABLE = Table("Figures", ("case", "x"), [("a|b", "1.00"), ("long name", "12.50")], "Reach: 1.")


def test_a_ratio_needs_something_to_compare_with() -> None:
    assert report.ratio(3.0, 2.0) == "1.50"
    assert report.ratio(3.0, None) == "-"
    assert report.ratio(3.0, 0.0) == "-"


def test_seconds_have_the_unit_that_suits_them() -> None:
    assert [report.seconds(each) for each in (None, 0.0123, 1.0, 75.5)] == [
        "-",
        "12.3 ms",
        "1.00 s",
        "75.50 s",
    ]


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 5), (51, 6), (95, 10), (99, 10), (100, 10)])
def test_percentiles_are_values_that_were_measured(percent: float, expected: int) -> None:
    assert report.percentile([10, 1, 9, 2, 8, 3, 7, 4, 6, 5], percent) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        report.percentile([], 50)


def test_growth_is_between_tenfold_sizes_alone() -> None:
    assert report.growth({1_000: 1.0, 10_000: 8.0, 50_000: 30.0, 100_000: 96.0}) == [(1_000, 10_000, 8.0)]
    assert report.growth({20: 2.0, 200: 5.0, 2_000: 10.0}) == [(20, 200, 2.5), (200, 2_000, 2.0)]


def test_a_table_on_a_terminal_has_columns_that_fit() -> None:
    lines = report.as_text(TABLE).splitlines()
    assert lines[1:] == [
        "Figures",
        "  case      | x",
        "  a|b       | 1.00",
        "  long name | 12.50",
        "  Reach: 1.",
    ]


def test_a_table_in_the_page_is_markdown() -> None:
    assert report.as_markdown(TABLE) == (
        "**Figures**\n\n| case | x |\n| --- | --- |\n| a\\|b | 1.00 |\n| long name | 12.50 |\n\nReach: 1."
    )


@pytest.mark.parametrize(
    ("others", "loaded"),
    [((0.1, 0.4), False), ((0.5, 0.0), False), ((0.6, 0.0), True), ((0.0, 1.8), True)],
)
def test_a_machine_that_others_use_is_said_to_be_loaded(others: tuple[float, float], loaded: bool) -> None:
    # Our own benchmark before this one may have left any load average.
    machine = replace(QUIET, load=(5.0, 6.0), others=others)
    assert machine.was_loaded is loaded
    assert ("LOADED" in machine.line()) is loaded
    assert "load 5.0 at the start, 6.0 at the end" in machine.line()
    assert f"{others[0]} and {others[1]} cores busy" in machine.line()


def section(name: str, machine: Machine | None = None, *tables: Table) -> Section:
    return Section(name, f"about {name}", "1 x", machine, tables)


def test_a_page_keeps_old_figures_and_says_what_was_never_measured() -> None:
    first = report.new_page("# Performance", [section("one", QUIET, TABLE), section("two")], "")
    assert report.names_in(first) == ["one", "two"]
    assert first.count(report.NOT_MEASURED) == 1
    assert QUIET.line() in first
    later = replace(QUIET, commit="def7654321")
    sections = [section("three"), section("one"), section("two", later, TABLE)]
    second = report.new_page("# Performance", sections, first)
    assert report.names_in(second) == ["three", "one", "two"]
    assert f"*{report.NOT_MEASURED}*" in second.split("## `one`")[0]
    assert QUIET.line() in second.split("## `one`")[1].split("## `two`")[0]
    assert later.line() in second.split("## `two`")[1]
    assert report.new_page("# Performance", sections, second) == second


def test_a_benchmark_that_is_gone_leaves_the_page() -> None:
    page = report.new_page("# Performance", [section("one", QUIET, TABLE), section("two", QUIET, TABLE)], "")
    assert report.names_in(report.new_page("# Performance", [section("two")], page)) == ["two"]


# -- the command line ------------------------------------------------------------------------------------------------


def test_benchmarks_run_in_their_order_and_once() -> None:
    assert benchmarks.chosen(["read", "diff", "read"]) == ["diff", "read"]
    assert benchmarks.chosen(["all", "diff"]) == list(BENCHMARKS)


def test_without_a_name_all_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed and each.about in listed for name, each in BENCHMARKS.items())


@pytest.mark.parametrize(
    "words", [["nothing"], ["diff", "--rounds", "0"], ["--small", "--write", "page.md", "diff"]]
)
def test_what_cannot_be_measured_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmarks.main(words)
    assert ended.value.code == 2


def test_sizes_follow_the_options() -> None:
    assert Options().sizes(10, 100, many=1000) == [10, 100]
    assert Options(many=True).sizes(10, 100, many=1000) == [10, 100, 1000]
    assert Options(many=True, small=True).sizes(10, 100, many=1000, small=(1, 2)) == [1, 2]


def test_a_page_without_a_measurement_says_so_of_each(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    assert benchmarks.main(["--write", str(page)]) == 0
    assert report.names_in(page.read_text()) == list(BENCHMARKS)
    assert page.read_text().count(f"*{report.NOT_MEASURED}*") == len(BENCHMARKS)


def test_one_that_fails_keeps_the_others_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def program(name: str):
        def run(options: Options) -> list[Table]:
            if name == "diff":
                raise RuntimeError("no luck")
            return [TABLE]

        return run

    monkeypatch.setattr(benchmarks, "program", program)
    monkeypatch.setattr(benchmarks, "machine", lambda: QUIET)
    monkeypatch.setattr(benchmarks, "busy_cores", lambda: 0.0)
    page = tmp_path / "performance.md"
    assert benchmarks.main(["diff", "read", "--write", str(page)]) == 1
    assert "FAILED: diff" in capsys.readouterr().out
    assert page.read_text().count("| long name | 12.50 |") == 1
