"""How the shares of deals won change: of those closed in a month, and of those created in it."""

from collections.abc import Sequence
from datetime import date

from runner.report.data import ReportData
from runner.report.figures import Line, Lines, with_goal
from runner.report.goals import WIN_RATE
from runner.report.names import in_sentence
from runner.report.section import Chart, Section, Table
from runner.report.sentences import Share, won_of_closed
from runner.text.words import count, percent, share, short_month

_YEAR = 12


def make(data: ReportData) -> Section:
    """Return the win rate and the conversion by month; the finding compares two years."""
    goal = data.winning_step
    closed = {
        row.month: (row.won_deals_count, row.won_deals_count + row.lost_deals_count)
        for row in data.win_rates
    }
    created = {
        row.cohort_month: (row.reached_deals_count, row.cohort_deals_count)
        for row in data.conversion
        if row.step_order == goal.step_order and row.is_mature
    }
    months = data.months
    year = [closed.get(month, (0, 0)) for month in months[-_YEAR:]]
    before = [closed.get(month, (0, 0)) for month in months[:-_YEAR]]
    whole_year = before if len(before) == _YEAR else []
    title = won_of_closed(_add_up(year), _add_up(whole_year), len(year))
    note = (
        "Win rate: the share of the deals closed in a month that were won. Conversion: the share "
        f"of those created in it that have reached {in_sentence(goal.kpi_name)}; later months are "
        "too young to judge."
    )
    charts = [
        _draw(name, heading, months, shares, goals)
        for name, heading, shares, goals in (
            ("win-rate", "Win rate", closed, [data.target(WIN_RATE, month) for month in months]),
            ("conversion-rate", "Conversion", created, []),
        )
        if any(shares.get(month, (0, 0))[1] for month in months)
    ]
    table = Table(
        "Deals won of those closed, and of those created, by month",
        ("Month", "Closed", "Won", "Win rate", "Created", "Reached", "Conversion"),
        [
            (short_month(month), *_describe(closed.get(month)), *_describe(created.get(month)))
            for month in reversed(months)
        ],
    )
    has_goal = any(data.target(WIN_RATE, month) is not None for month in months)
    return Section(
        "rates",
        title or "No deal was closed",
        note,
        charts,
        table if charts else None,
        legend=(("dotted", "goal"),) if has_goal else (),
    )


def _draw(
    name: str,
    heading: str,
    months: Sequence[date],
    shares: dict[date, Share],
    goals: Sequence[float | None],
) -> Chart:
    rates = [share(*shares.get(month, (0, 0))) for month in months]
    known = [place for place, rate in enumerate(rates) if rate is not None]
    value, of = shares[months[known[-1]]]
    said = f"{percent(share(value, of))} of {count(of)} in {short_month(months[known[-1]])}"
    return Chart(
        name,
        Lines(months, with_goal(Line(heading, rates), goals), is_rate=True),
        f"Line of the {heading.lower()} by month; {said}.",
        heading=heading,
        value=said,
    )


def _add_up(shares: Sequence[Share]) -> Share:
    return sum(part for part, _ in shares), sum(of for _, of in shares)


def _describe(found: Share | None) -> tuple[str, str, str]:
    part, of = found or (None, None)
    return count(of), count(part), percent(share(part, of))
