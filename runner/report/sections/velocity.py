"""How long deals stay in a step."""

from runner.report.data import ReportData
from runner.report.figures import BarRow, Bars
from runner.report.names import numbered
from runner.report.section import Chart, Section, Table
from runner.report.sentences import slowest_step, visits_ended
from runner.show.rows import WHOLE_FUNNEL
from runner.show.sentences import not_known_yet
from runner.text.words import DASH, count, tenths

_LEGEND = (("accent", "half of the visits"), ("pale", "three quarters"), ("paler", "nine in ten"))


def make(data: ReportData) -> Section:
    """Return the days per step of the month; the finding is the slowest step."""
    note = f"Days from entering a step to leaving it, of visits that ended in {data.deals_period}."
    if unknown := not_known_yet(data.month, data.trust.reference_date):
        return Section("velocity", unknown, note)
    found = [row for row in data.velocity if row.month == data.month]
    steps = [row for row in found if row.step_order != WHOLE_FUNNEL]
    if not steps:
        return Section("velocity", "No deal left a step", note)
    title = slowest_step(steps) or visits_ended(steps)
    rows = [
        BarRow(
            name=numbered(row.funnel_step, row.kpi_name),
            value=f"{tenths(row.median_days)} days",
            lengths=(row.median_days, row.p75_days, row.p90_days),
        )
        for row in steps
    ]
    chart = Chart("velocity", Bars(rows), f"Bars of days per step. {title}.")
    table = Table(
        f"Days in a step, visits ended in {data.deals_period}",
        ("Step", "Name", "Visits ended", "Median", "75 %", "90 %"),
        [
            (
                row.funnel_step or DASH,
                row.kpi_name,
                count(row.visits_ended_count),
                tenths(row.median_days),
                tenths(row.p75_days),
                tenths(row.p90_days),
            )
            for row in sorted(found, key=lambda row: row.step_order == WHOLE_FUNNEL)
        ],
        names=2,
    )
    return Section("velocity", title, note, (chart,), table, legend=_LEGEND)
