"""How many deals entered each step in the month."""

from runner.report.data import ReportData
from runner.report.figures import BarRow
from runner.report.names import in_sentence, numbered
from runner.report.section import Section, Table, bar_chart
from runner.words import count, month_name, percent, plural, share


def make(data: ReportData) -> Section:
    """Return the funnel of the month; the finding is where it narrows most."""
    steps, month = data.steps, month_name(data.month)
    rates = [
        share(step.deals_count, before.deals_count if before else None)
        for before, step in zip([None, *steps], steps, strict=False)
    ]
    note = (
        f"Deals that entered a step in {month}, and their share of those that entered the step "
        "above in the same month."
    )
    table = Table(
        f"Deals per step, {month}",
        ("Step", "Name", "Deals", "Of the step above", "Deal days"),
        [
            (
                step.funnel_step,
                step.kpi_name,
                count(step.deals_count),
                percent(rate),
                count(step.deal_days_count),
            )
            for step, rate in zip(steps, rates, strict=True)
        ],
        names=2,
    )
    if not any(step.deals_count for step in steps):
        return Section("funnel", "No deal entered the funnel", note, table=table)
    drops = [
        (rate, before, step)
        for rate, before, step in zip(rates[1:], steps, steps[1:], strict=False)
        if rate is not None and step.step_order <= data.winning_step.step_order
    ]
    title = "The funnel of the month"
    if drops:
        _, before, step = min(drops, key=lambda drop: drop[0])
        title = (
            f"The funnel narrows most at {in_sentence(step.kpi_name)}: "
            f"{plural(step.deals_count, 'deal')} after {count(before.deals_count)}"
        )
    rows = [
        BarRow(
            name=numbered(step.funnel_step, step.kpi_name),
            value=" · ".join(filter(None, (count(step.deals_count), percent(rate)))),
            lengths=(step.deals_count,),
            hover=plural(step.deals_count, "deal"),
        )
        for step, rate in zip(steps, rates, strict=True)
    ]
    chart = bar_chart("funnel", rows, f"Bars of deals per step in {month}. {title}.")
    return Section("funnel", title, note, (chart,), table)
