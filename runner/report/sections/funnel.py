"""How many deals entered each step in the month."""

from runner.report.data import ReportData
from runner.report.figures import BarRow, Bars
from runner.report.names import numbered
from runner.report.section import Chart, Section, Table
from runner.report.sentences import entered, goals_reached, narrowing
from runner.report.steps import compare_steps
from runner.show.rows import FunnelStep
from runner.text.words import count, percent


def make(data: ReportData) -> Section:
    """Return the funnel of the month; the finding is where it narrows most."""
    steps = compare_steps(data.steps, data.parallel_steps)
    note = (
        f"Deals that entered a step in {data.period}, and their share of those that entered the "
        "stage above in the same month; a call is no stage."
    )
    said = goals_reached(
        [
            (row.step.kpi_name, row.step.deals_count, goal)
            for row in steps
            if (goal := data.target(row.step.funnel_step)) is not None
        ]
    )
    if said and not data.part_through:
        note += f" {said}."
    table = Table(
        f"Deals per step, {data.period}",
        (
            *("Step", "Name", "Deals", "Of the stage above"),
            *(() if data.pipeline else ("Deal days",)),
        ),
        [
            (
                row.step.funnel_step,
                row.step.kpi_name,
                count(row.step.deals_count),
                percent(row.share),
                *((count(row.step.deal_days_count),) if isinstance(row.step, FunnelStep) else ()),
            )
            for row in steps
        ],
        names=2,
    )
    if not any(row.step.deals_count for row in steps):
        return Section("funnel", "No deal entered the funnel", note, table=table)
    title = narrowing(steps) or entered(data.steps[0], data.winning_step)
    rows = [
        BarRow(
            name=numbered(row.step.funnel_step, row.step.kpi_name),
            value=" · ".join(filter(None, (count(row.step.deals_count), percent(row.share)))),
            lengths=(row.step.deals_count,),
            goal=data.target(row.step.funnel_step),
        )
        for row in steps
    ]
    chart = Chart("funnel", Bars(rows), f"Bars of deals per step in {data.period}. {title}.")
    legend = (("mark", "goal"),) if any(row.goal is not None for row in rows) else ()
    return Section("funnel", title, note, (chart,), table, legend=legend)
