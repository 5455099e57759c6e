"""How many deals entered each step, month by month."""

from functools import partial

from runner.report.data import ReportData
from runner.report.figures import LINE_HEIGHT, Line, draw_lines
from runner.report.names import numbered, shorten
from runner.report.section import Chart, Section, Table
from runner.words import count, month_name, plural, short_month


def make(data: ReportData) -> Section:
    """Return a small chart for each step; the finding compares with a year ago."""
    months, steps = data.months, data.steps
    deals = {
        step.step_order: [data.deals_in(month, step.step_order) for month in months]
        for step in steps
    }
    charts = [
        Chart(
            f"trend-{step.step_order}",
            partial(draw_lines, months, [Line("Deals", deals[step.step_order])], is_small=True),
            LINE_HEIGHT,
            f"Line of deals that entered {shorten(step.kpi_name)} in each month; "
            f"{count(step.deals_count)} in {month_name(data.month)}.",
            heading=numbered(step.funnel_step, shorten(step.kpi_name)),
            value=count(step.deals_count),
        )
        for step in steps
    ]
    table = Table(
        "Deals that entered a step, by month",
        ("Month", *(step.kpi_name for step in steps)),
        [
            (short_month(month), *map(count, counts))
            for month, *counts in reversed([*zip(months, *deals.values(), strict=True)])
        ],
    )
    note = f"Deals that entered a step, {plural(len(months), 'month')} to {month_name(data.month)}."
    return Section("trend", _find(data), note, charts, table)


def _find(data: ReportData) -> str:
    pairs = [
        (step.deals_count, before)
        for step in data.steps
        if (before := data.deals_in(data.year_before, step.step_order)) is not None
    ]
    if not pairs:
        return "Month by month"
    more = sum(now > before for now, before in pairs)
    fewer = sum(now < before for now, before in pairs)
    steps = f"{max(more, fewer)} of {plural(len(pairs), 'step')}"
    if max(more, fewer) == len(pairs):
        steps = "Every step"
    return f"{steps} saw {'more' if more >= fewer else 'fewer'} deals than a year ago"
