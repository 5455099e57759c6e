"""What to expect of the open deals, and how far off that has been."""

from collections.abc import Sequence

from runner.report.data import ReportData
from runner.report.figures import Line, Lines
from runner.report.names import shorten
from runner.report.section import Chart, Section, Table
from runner.report.sentences import expected_then, forecast_error, forecast_trial
from runner.show.rows import ForecastBacktest
from runner.show.sentences import expected_wins
from runner.text.words import count, long_date, percent, rounded, short_month, tenths


def make(data: ReportData) -> Section:
    """Return the forecast and its back-test; the finding is how many deals should be won."""
    past = [row for row in data.backtest if row.actual_wins is not None and row.month <= data.month]
    if data.is_past:
        title = expected_then(data.open_then, data.month)
        note, shown = "Open deals at the end of the month, weighted by ", None
    else:
        title = expected_wins(data.forecast)
        note = f"Open deals of each step as of {long_date(data.trust.reference_date)}, weighted by "
        shown = _list_steps(data) if any(row.open_deals_count for row in data.forecast) else None
    note += (
        "the share of past deals in that step that were won. A deal that has been there for longer "
        "than nine in ten wins took is expected to be lost. "
    )
    last = past[-12:]
    note += forecast_trial(last)
    if not past:
        return Section("forecast", title, note, shown=shown)
    title = "; ".join(filter(None, (title, forecast_error(last))))
    lines = [
        Line("expected", [row.expected_wins for row in past], is_main=False),
        Line("won", [row.actual_wins for row in past]),
    ]
    chart = Chart(
        "forecast",
        Lines([row.month for row in past], lines),
        f"Two lines over past months: wins expected of the deals then open, and deals won. {note}",
    )
    legend = (("accent", "won"), ("dotted", "expected"))
    return Section("forecast", title, note, (chart,), _list_past(past), shown, legend)


def _list_steps(data: ReportData) -> Table:
    # Amounts of several currencies cannot be added up; on top of the page each stands by itself.
    currencies = [value.currency for value in data.open_values if value.valued_deals_count]
    has_value = len(currencies) == 1
    unit = f", {currencies[0]}" if has_value and currencies[0] else ""
    return Table(
        "What to expect of the open deals",
        (
            *("Step", "Open", "Win rate", "Days to win", "Expected wins"),
            *((f"Open value{unit}", f"Expected value{unit}") if has_value else ()),
        ),
        [
            (
                shorten(row.kpi_name),
                count(row.open_deals_count),
                percent(row.win_rate),
                tenths(row.median_days_to_win),
                tenths(row.expected_wins),
                *((rounded(row.open_value), rounded(row.expected_value)) if has_value else ()),
            )
            for row in data.forecast
            if row.open_deals_count and row.expected_wins is not None
        ],
    )


def _list_past(past: Sequence[ForecastBacktest]) -> Table:
    return Table(
        "Open deals at the end of past months, and wins within the horizon: a deal is in several",
        ("Month", "Open", "Expected wins", "Won", "Months"),
        [
            (
                short_month(row.month),
                count(row.open_deals_count),
                tenths(row.expected_wins),
                count(row.actual_wins),
                count(row.horizon_months),
            )
            for row in reversed(past)
        ],
    )
