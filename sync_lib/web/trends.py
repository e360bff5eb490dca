"""Trends: how the last 30 days went, of all profiles or of one, as small charts and as a table.

Other pages show the same as a part of theirs: they ask for it once they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from babel.dates import format_date
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from sync_lib.store import days as store
from sync_lib.store.companies import read_companies
from sync_lib.store.days import Arrivals, Day
from sync_lib.store.progress import read_of_profile
from sync_lib.store.queries import plans
from sync_lib.web import charts, language
from sync_lib.web.charts import Axis, Chart, Series
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.visit import CurrentVisit, Visit

router = APIRouter()
PAGE = Page("trends", "trends", msg("Last 30 days"), router, in_navigation=False)

DAYS = 30
#: Where the axis of agreement may begin: one per cent is much where nearly all agrees.
_FLOORS = (0.99, 0.95, 0.9, 0.8, 0.5, 0.0)

ProfileKey = Annotated[int | None, Query(ge=1, lt=2**31)]


@dataclass(frozen=True, slots=True)
class ArrivalLine:
    """How long edits took in 30 days: of a company, or of the one profile ("")."""

    company: str
    arrivals: Arrivals
    within: float | None


@router.get("/trends")
def trends(visit: CurrentVisit, profile: ProfileKey = None) -> HTMLResponse:
    """Show the last 30 days of all profiles together, or of one."""
    with visit.read() as conn:
        if profile is not None:
            head = plans.read_head(conn, profile, "")
            if head is None:
                raise HTTPException(404)
            whose, by_company = head.mailbox, {"": store.read_profile_days(conn, profile, DAYS)}
        else:
            names = {each.id: each.name for each in read_companies(conn)}
            found = store.read_company_days(conn, DAYS)
            whose, by_company = "", {names[key]: days for key, days in found.items()}
    all_days = store.together(list(by_company.values()))
    interval = visit.seams.surroundings().interval
    values: dict[str, Any] = {
        "profile": profile,
        "whose": whose,
        "days": all_days,
        "charts": draw(visit, all_days),
        "size": (charts.WIDTH, charts.HEIGHT, charts.LEFT, charts.RIGHT),
        "arrivals": _arrivals(by_company, interval),
        "interval": interval,
    }
    if visit.wants_fragment("trends"):
        return visit.fragment("trends_charts.html", is_page=False, **values)
    return visit.page("trends.html", "trends", is_page=True, **values)


@router.get("/progress")
def progress(visit: CurrentVisit, profile: Annotated[int, Query(ge=1, lt=2**31)]) -> HTMLResponse:
    """Show how far the run is that works on a profile now: a part of its page, which fetches itself again."""
    with visit.read() as conn:
        found = read_of_profile(conn, profile)
    return visit.fragment("trends_progress.html", profile=profile, found=found)


def _arrivals(by_company: dict[str, list[Day]], interval: float | None) -> list[ArrivalLine]:
    found = []
    for name, days in by_company.items():
        whole = sum((day.arrivals for day in days), Arrivals())
        if whole.total:
            found.append(ArrivalLine(name, whole, whole.share_within(interval) if interval else None))
    return found


# -- charts ----------------------------------------------------------------------------------------------------------


def draw(visit: Visit, days: Sequence[Day]) -> list[Chart]:
    """Return the charts of some days; none where there are no days."""
    if not days:
        return []
    return [_agreement(visit, days), _written(visit, days), *_counted(visit, days), _arrived(visit, days)]


def _agreement(visit: Visit, days: Sequence[Day]) -> Chart:
    values = [day.agreement for day in days]
    known = [value for value in values if value is not None]
    floor = next(each for each in _FLOORS if each <= min(known, default=1.0))
    axis = Axis(floor, 1.0, [(each, _percent(visit, each)) for each in (floor, (floor + 1) / 2, 1.0)])
    return _curves(
        visit, days, msg("In agreement"), axis, [("agreed", msg("In agreement"), values)], _percent
    )


def _written(visit: Visit, days: Sequence[Day]) -> Chart:
    rows = [
        ("outlook", msg("To Outlook"), [float(day.written_outlook) for day in days]),
        ("bc", msg("To Business Central"), [float(day.written_business_central) for day in days]),
    ]
    axis = _from_zero(visit, [sum(each) for each in zip(*(values for _, _, values in rows), strict=True)])
    series = [Series(visit.text(name), kind, values) for kind, name, values in rows]
    texts = [_texts(visit, days, one.name, one.values, _number) for one in series]
    bars = charts.stacked(series, [day.day for day in days], axis, texts)
    title = visit.text(msg("Written per day"))
    total = [sum(one.values[n] or 0 for one in series) for n in range(len(days))]
    return Chart(title, _said(visit, title, total, _number), series, axis.ticks, _days(visit, days), bars)


def _counted(visit: Visit, days: Sequence[Day]) -> list[Chart]:
    found = []
    for kind, name, values in (
        ("rejected", msg("Not synced"), [day.rejected for day in days]),
        ("held", msg("Held"), [day.held for day in days]),
    ):
        axis = _from_zero(visit, values)
        found.append(_curves(visit, days, name, axis, [(kind, name, values)], _number))
    return found


def _arrived(visit: Visit, days: Sequence[Day]) -> Chart:
    rows = [
        ("half", msg("half of the edits"), [day.arrivals.percentile(50) for day in days]),
        ("most", msg("95 of 100"), [day.arrivals.percentile(95) for day in days]),
    ]
    known = [value for _, _, values in rows for value in values if value is not None]
    highest = next(
        (float(each) for each in store.LIMITS if each >= max(known, default=60)), max(known, default=60.0)
    )
    axis = Axis(0, highest, [(each, _short(visit, each)) for each in (0, highest / 2, highest)])
    return _curves(visit, days, msg("From edit to write, within"), axis, rows, _span)


def _curves(  # noqa: PLR0913 - what a chart is made of
    visit: Visit,
    days: Sequence[Day],
    title: str,
    axis: Axis,
    rows: Sequence[tuple[str, str, Sequence[float | None]]],
    write: Callable[[Visit, float], str],
) -> Chart:
    series = [Series(visit.text(name), kind, values) for kind, name, values in rows]
    names = [day.day for day in days]
    drawn = [line for one in series for line in charts.lines(one, names, axis)]
    marks = [
        dot
        for one in series
        for dot in charts.dots(one, names, axis, _texts(visit, days, one.name, one.values, write))
    ]
    said = _said(visit, visit.text(title), series[0].values, write)
    return Chart(visit.text(title), said, series, axis.ticks, _days(visit, days), (), drawn, marks)


def _from_zero(visit: Visit, values: Sequence[float | None]) -> Axis:
    highest = charts.nice(max((value for value in values if value is not None), default=1.0))
    middle = [highest / 2] if highest > 1 else []
    return Axis(0, highest, [(each, _number(visit, each)) for each in (0, *middle, highest)])


def _texts(
    visit: Visit,
    days: Sequence[Day],
    name: str,
    values: Sequence[float | None],
    write: Callable[[Visit, float], str],
) -> list[str]:
    """What each day of a series says by itself."""
    pairs = zip(days, values, strict=True)
    return [
        "" if value is None else f"{_day(visit, day)}: {name} {write(visit, value)}" for day, value in pairs
    ]


def _said(
    visit: Visit, title: str, values: Sequence[float | None], write: Callable[[Visit, float], str]
) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return f"{title}: {visit.text(msg('nothing yet'))}"
    text = msg("%(title)s: %(last)s now, between %(low)s and %(high)s in 30 days")
    low, high, last = (write(visit, each) for each in (min(known), max(known), known[-1]))
    return visit.text(text, title=title, last=last, low=low, high=high)


def _days(visit: Visit, days: Sequence[Day]) -> list[charts.Tick]:
    names = [day.day for day in days]
    places = ((0, "start"), (len(days) // 2, "middle"), (len(days) - 1, "end"))
    return [charts.Tick(charts.x(n, names), _day(visit, days[n]), anchor) for n, anchor in places]


def _day(visit: Visit, day: Day) -> str:
    return str(format_date(date.fromisoformat(day.day), "d MMM", locale=visit.language))


def _percent(visit: Visit, value: float) -> str:
    return language.percent(value, visit.language)


def _number(visit: Visit, value: float) -> str:
    return language.number(round(value, 1), visit.language)


def _span(visit: Visit, value: float) -> str:
    return language.span(value, visit.language)


def _short(visit: Visit, value: float) -> str:
    return language.span(value, visit.language, short=True)
