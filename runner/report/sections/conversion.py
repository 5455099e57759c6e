"""What became of the deals created in a month."""

from collections.abc import Mapping
from datetime import date

from runner.report.data import COHORTS, ReportData
from runner.report.figures import Grid, GridColumn
from runner.report.names import shorten
from runner.report.section import Chart, Section, Table
from runner.report.sentences import got_through
from runner.show.rows import Period, StepConversion
from runner.text.words import count, short_month

Cohort = Mapping[int, StepConversion]
"""What became of the deals of a month, by step_order."""


def make(data: ReportData) -> Section:
    """Return the cohorts of the last year; the finding is how many deals get through."""
    note = (
        "Deals by the month of their creation, and the share of them that reached a step or a "
        "later one."
    )
    shown = Period.ending(data.month, COHORTS)
    rows = [row for row in data.conversion if shown.first <= row.cohort_month]
    if not rows:
        return Section("conversion", "No deal was created in the last twelve months", note)
    cohorts: dict[date, dict[int, StepConversion]] = {}
    for row in rows:
        cohorts.setdefault(row.cohort_month, {})[row.step_order] = row
    steps = {row.step_order: row for row in rows}
    later = sorted(steps)[1:]
    names = {month: short_month(month) + "*" * _is_young(found) for month, found in cohorts.items()}
    if any(map(_is_young, cohorts.values())):
        note += " Months in pale, with an asterisk, have many deals still on their way."
    rates = {
        month: [found[order].reached_from_first if order in found else None for order in later]
        for month, found in cohorts.items()
    }
    grid = Grid(
        columns=[
            GridColumn(
                f"{month:%b}{'*' * _is_young(found)} ’{month:%y}",
                count(_created(found)),
                is_faded=_is_young(found),
            )
            for month, found in cohorts.items()
        ],
        rows=[
            (shorten(steps[order].kpi_name), [rates[month][place] for month in cohorts])
            for place, order in enumerate(later)
        ],
        is_rate=True,
    )
    title = _find(data, [found for found in cohorts.values() if not _is_young(found)])
    said = f"A grid of steps and creation months; numbers are per cent. {title}."
    table = Table(
        "Deals of a creation month that reached a step, and in brackets those that entered it",
        ("Created", "Deals", *(steps[order].kpi_name for order in later)),
        [
            (
                names[month],
                count(_created(found)),
                *(
                    f"{count(found[order].reached_deals_count)} "
                    f"({count(found[order].entered_deals_count)})"
                    if order in found
                    else ""
                    for order in later
                ),
            )
            for month, found in cohorts.items()
        ],
    )
    return Section("conversion", title, note, (Chart("conversion", grid, said),), table)


def _find(data: ReportData, mature: list[Cohort]) -> str:
    goal = data.winning_step
    known = [found[goal.step_order] for found in mature if goal.step_order in found]
    reached = sum(row.reached_deals_count for row in known)
    created = sum(row.cohort_deals_count for row in known)
    return (
        got_through(reached, created, goal.kpi_name)
        or "It is too early to say how many deals get through"
    )


def _is_young(cohort: Cohort) -> bool:
    return not next(iter(cohort.values())).is_mature


def _created(cohort: Cohort) -> int:
    return next(iter(cohort.values())).cohort_deals_count
