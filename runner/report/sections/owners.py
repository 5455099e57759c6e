"""Whose deals come how far."""

from dateutil.relativedelta import relativedelta

from runner.report.data import OWNER_MONTHS, ReportData
from runner.report.figures import BarRow, Bars
from runner.report.names import in_sentence, shorten
from runner.report.section import Chart, Section, Table
from runner.report.sentences import leading_owner
from runner.show.opening import part_through
from runner.show.rows import Period
from runner.show.sentences import not_known_yet
from runner.text.words import count

OWNERS_DRAWN = 10
OWNERS_LISTED = 50
NOBODY = "Nobody known"


def make(data: ReportData) -> Section:
    """Return deals by owner over the last year; the finding is who brought most to be won."""
    first, goal = data.steps[0], data.winning_step
    begin = max(data.month - relativedelta(months=OWNER_MONTHS - 1), data.months[0])
    known_through = min(data.trust.reference_date, data.trust.last_day)
    last = min(data.month, known_through.replace(day=1))
    period = Period(begin, last + relativedelta(months=1)).describe(
        part_through(last, known_through)
    )
    note = (
        f"Deals that entered {in_sentence(goal.kpi_name)} · {in_sentence(first.kpi_name)}, "
        f"{period}, by the owner at that time, once a month."
    )
    if unknown := not_known_yet(begin, known_through):
        return Section("owners", unknown, note)
    # Name, deals won, deals begun, deals by step.
    ranked = sorted(
        (
            (
                data.names.get(owner.owner_id) or f"Owner {owner.owner_id}",
                owner.deals.get(goal.step_order, 0),
                owner.deals.get(first.step_order, 0),
                owner,
            )
            for owner in data.owners
            if owner.owner_id is not None
        ),
        key=lambda row: (-row[1], -row[2], row[3].owner_id),
    )
    if not ranked:
        return Section("owners", "No owner of a deal is known", note)
    unowned = [owner for owner in data.owners if owner.owner_id is None]
    title = leading_owner(
        [(name, won) for name, won, _, _ in ranked],
        sum(owner.deals.get(goal.step_order, 0) for owner in unowned),
        goal.kpi_name,
    )
    rows = [
        BarRow(
            name=name,
            value=f"{count(won)} · {count(begun)}",
            lengths=(won, begun),
        )
        for name, won, begun, _ in ranked[:OWNERS_DRAWN]
    ]
    if len(ranked) > OWNERS_DRAWN:
        note += f" The first {OWNERS_DRAWN} of {len(ranked)} owners."
    chart = Chart("owners", Bars(rows), f"Bars of deals per owner. {title}.")
    nobody = [(NOBODY, owner) for owner in unowned]
    table = Table(
        f"Deals that entered a step, by owner, {period}",
        ("Owner", *(step.kpi_name for step in data.steps)),
        [
            (name, *(count(owner.deals.get(step.step_order, 0)) for step in data.steps))
            for name, owner in [(row[0], row[3]) for row in ranked[:OWNERS_LISTED]] + nobody
        ],
    )
    legend = (("accent", shorten(goal.kpi_name)), ("pale", shorten(first.kpi_name)))
    return Section("owners", title, note, (chart,), table, legend=legend)
