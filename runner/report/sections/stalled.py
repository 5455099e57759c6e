"""Which open deals are stalled."""

from runner.report.data import ReportData
from runner.report.figures import BarRow, Bars
from runner.report.names import numbered, shorten
from runner.report.section import Chart, Section, Table
from runner.report.sentences import stalled_deals, stalled_since
from runner.text.words import DASH, count, long_date


def make(data: ReportData) -> Section:
    """Return stalled deals per step, and those that have stood still for longest."""
    as_of = data.trust.reference_date
    note = (
        "Open deals that have not moved for longer than nine in ten visits to their step take, "
        f"as of {long_date(as_of)}."
    )
    stalled = sum(step.deals_count for step in data.stalled_steps)
    title = stalled_deals(stalled, data.open_deals_count)
    if data.is_past:
        title = stalled_since(title, data.month, as_of)
    if not stalled:
        return Section("stalled", title, note)
    rows = [
        BarRow(
            name=numbered(step.funnel_step, step.kpi_name),
            value=count(step.deals_count),
            lengths=(step.deals_count,),
        )
        for step in data.stalled_steps
    ]
    chart = Chart("stalled", Bars(rows), f"Bars of stalled deals per step. {title}.")
    table = Table(
        "Stalled deals per step",
        ("Step", "Name", "Deals"),
        [
            (step.funnel_step or DASH, step.kpi_name, count(step.deals_count))
            for step in data.stalled_steps
        ],
        names=2,
    )
    shown = Table(
        "Stalled for longest",
        ("Deal", "Step", "Owner", "Days"),
        [
            (
                str(deal.deal_id),
                shorten(deal.kpi_name),
                DASH
                if deal.owner_id is None
                else shorten(data.names.get(deal.owner_id) or str(deal.owner_id)),
                count(deal.days_since_last_movement),
            )
            for deal in data.stalled_longest
        ],
        names=3,
        links=[
            f"{data.pipedrive_url.rstrip('/')}/deal/{deal.deal_id}" for deal in data.stalled_longest
        ]
        if data.pipedrive_url
        else (),
    )
    return Section("stalled", title, note, (chart,), table, shown)
