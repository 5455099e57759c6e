"""How many deals entered each step, month by month."""

from runner.report.data import ReportData
from runner.report.figures import Line, Lines, with_goal
from runner.report.names import numbered, shorten
from runner.report.section import Chart, Section, Table
from runner.report.sentences import year_on_year
from runner.text.words import count, plural, short_month


def make(data: ReportData) -> Section:
    """Return a small chart for each step; the finding compares with a year ago."""
    months, steps = data.months, data.steps
    deals = {
        step.step_order: [data.deals_in(month, step.step_order) for month in months]
        for step in steps
    }
    # A part of a month would look like a fall.
    drawn = months[:-1] if data.part_through else months
    charts = [
        Chart(
            f"trend-{step.step_order}",
            Lines(
                drawn,
                with_goal(
                    Line("Deals", deals[step.step_order][: len(drawn)]),
                    [data.target(step.funnel_step, month) for month in drawn],
                ),
                is_small=True,
            ),
            f"Line of deals that entered {shorten(step.kpi_name)} in each month; "
            f"{count(step.deals_count)} in {data.period}.",
            heading=numbered(step.funnel_step, shorten(step.kpi_name)),
            value=count(step.deals_count),
        )
        for step in steps
        if drawn
    ]
    labels = [*map(short_month, months[:-1]), data.period]
    table = Table(
        "Deals that entered a step, by month",
        ("Month", *(step.kpi_name for step in steps)),
        [
            (label, *map(count, counts))
            for label, *counts in reversed([*zip(labels, *deals.values(), strict=True)])
        ],
    )
    note = f"Deals that entered a step, {plural(len(months), 'month')} to {data.period}."
    if not any(map(any, deals.values())):
        title = f"No deal entered a step in {plural(len(months), 'month')}"
        return Section("trend", title, note, [], table)
    has_goal = any(data.target(step.funnel_step, month) for step in steps for month in drawn)
    legend = (("dotted", "goal"),) if has_goal else ()
    if data.part_through:
        note += f" The lines end with the last whole month, the numbers are of {data.period}."
        return Section("trend", "Month by month", note, charts, table, legend=legend)
    before = [data.deals_in(data.year_before, step.step_order) for step in steps]
    counts = [*zip((step.deals_count for step in steps), before, strict=True)]
    title = year_on_year(counts, data.year_before) or "Month by month"
    return Section("trend", title, note, charts, table, legend=legend)
