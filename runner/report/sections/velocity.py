"""How long deals stay in a step."""

from runner.report.data import ReportData
from runner.report.figures import BarRow
from runner.report.names import in_sentence, numbered
from runner.report.section import Section, Table, bar_chart
from runner.show.rows import WHOLE_FUNNEL
from runner.words import DASH, count, month_name, tenths

_LEGEND = (("accent", "half of the visits"), ("pale", "three quarters"), ("paler", "nine of ten"))


def make(data: ReportData) -> Section:
    """Return the days per step of the month; the finding is the slowest step."""
    month = month_name(data.month)
    note = f"Days from entering a step to leaving it, of visits that ended in {month}."
    found = [row for row in data.velocity if row.month == data.month]
    steps = [row for row in found if row.step_order != WHOLE_FUNNEL]
    if not steps:
        return Section("velocity", "No deal left a step", note)
    slowest = max(steps, key=lambda row: row.median_days or 0)
    title = (
        f"Deals stay longest in {in_sentence(slowest.kpi_name)}: "
        f"half of them more than {slowest.median_days or 0:.0f} days"
    )
    rows = [
        BarRow(
            name=numbered(row.funnel_step, row.kpi_name),
            value=f"{tenths(row.median_days)} days",
            lengths=(row.median_days, row.p75_days, row.p90_days),
            hover=f"{tenths(row.median_days)} days, three quarters within {tenths(row.p75_days)}, "
            f"nine of ten within {tenths(row.p90_days)}",
        )
        for row in steps
    ]
    chart = bar_chart("velocity", rows, f"Bars of days per step. {title}.")
    table = Table(
        f"Days in a step, visits ended in {month}",
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
