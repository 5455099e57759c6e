"""Where deals are lost, and why."""

from collections import Counter

from runner.report.data import ReportData
from runner.report.figures import Grid, GridColumn
from runner.report.names import shorten
from runner.report.section import Chart, Section, Table
from runner.report.sentences import lost_most, most_given_reason
from runner.show.sentences import not_known_yet
from runner.text.words import count

REASONS_DRAWN = 9
NO_REASON = "No reason given"
OTHER_REASONS = "Other reasons"


def make(data: ReportData) -> Section:
    """Return losses by reason and step; the finding is the most frequent of each."""
    note = f"Deals lost in {data.deals_period}, by reason and by the step they were in."
    if unknown := not_known_yet(data.month, data.trust.reference_date):
        return Section("losses", unknown, note)
    if not data.losses:
        return Section("losses", "No deal was lost", note)
    cells: Counter[tuple[str, int]] = Counter()
    by_reason: Counter[str] = Counter()
    by_step: Counter[int] = Counter()
    names: dict[int, str] = {}
    for row in data.losses:
        order, reason = row.step_order or 0, row.lost_reason or NO_REASON
        names[order] = row.kpi_name if order else "Outside the funnel"
        cells[reason, order] += row.deals_count
        by_reason[reason] += row.deals_count
        by_step[order] += row.deals_count
    orders = sorted(names, key=lambda order: (order == 0, order))
    ranked = [name for name, _ in by_reason.most_common()]
    given = [(name, deals) for name, deals in by_reason.items() if name != NO_REASON]
    places = [(names[order], by_step[order]) for order in orders]
    title = "; ".join(filter(None, (lost_most(places), most_given_reason(given))))
    drawn = ranked if len(ranked) <= REASONS_DRAWN + 1 else ranked[:REASONS_DRAWN]
    rest = ranked[len(drawn) :]
    lines = {name: [cells[name, order] for order in orders] for name in drawn}
    if rest:
        lines[OTHER_REASONS] = [sum(cells[name, order] for name in rest) for order in orders]
    grid = Grid(
        columns=[GridColumn(names[order], count(by_step[order])) for order in orders],
        rows=[(f"{shorten(name)} ({count(sum(line))})", line) for name, line in lines.items()],
        is_upright=True,
    )
    said = f"A grid of reasons and steps; numbers are lost deals. {title}."
    table = Table(
        f"Deals lost in {data.deals_period}",
        ("Reason", *(names[order] for order in orders), "All"),
        [
            (name, *(count(cells[name, order]) for order in orders), count(by_reason[name]))
            for name in ranked
        ]
        + [("All", *(count(by_step[order]) for order in orders), count(by_reason.total()))],
    )
    return Section("losses", title, note, (Chart("losses", grid, said),), table)
