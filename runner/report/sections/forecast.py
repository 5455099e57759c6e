"""What to expect of the open deals, and how far off that has been."""

from collections.abc import Sequence
from functools import partial

from runner.report.data import ReportData
from runner.report.figures import Line, draw_lines
from runner.report.names import shorten
from runner.report.section import Chart, Section, Table
from runner.show.rows import ForecastBacktest
from runner.words import amount, count, long_date, percent, plural, share, short_month, tenths

NOTABLE_ERROR = 0.15


def make(data: ReportData) -> Section:
    """Return the forecast and its back-test; the finding is how many deals should be won."""
    note = (
        "Open deals of each step, weighted with the share of deals in that step that were won in "
        "the past; nothing is expected of deals there for longer than nine of ten wins took, as of "
        f"{long_date(data.trust.reference_date)}."
    )
    open_deals = sum(row.open_deals_count for row in data.forecast)
    if not open_deals:
        return Section("forecast", "There is no open deal to expect anything of", note)
    expected = sum(row.expected_wins or 0 for row in data.forecast)
    title = f"About {expected:.0f} of the {plural(open_deals, 'open deal')} should be won"
    shown = _list_steps(data)
    past = [row for row in data.backtest if data.is_settled(row.month)]
    if not past:
        note += " No month is long enough ago to try this on the past."
        return Section("forecast", title, note, shown=shown)
    last = past[-12:]
    hoped = sum(row.expected_wins or 0 for row in last)
    came = sum(row.actual_wins or 0 for row in last)
    off = share(hoped - came, came)
    if off is not None and abs(off) >= NOTABLE_ERROR:
        way = "high" if off > 0 else "low"
        title += f", by a reckoning that was {percent(abs(off))} too {way} so far"
    note += (
        f" Tried on {plural(len(last), 'past month')}, whose deals have had at least "
        f"{data.mature_after_days} days since: {hoped:,.0f} wins expected, {count(came)} came."
    )
    lines = [
        Line("expected", [row.expected_wins for row in past], is_main=False),
        Line("won", [row.actual_wins for row in past]),
    ]
    chart = Chart(
        "forecast",
        partial(draw_lines, [row.month for row in past], lines),
        200,
        f"Two lines over past months: wins expected of the deals then open, and deals won. {note}",
    )
    legend = (("accent", "won"), ("dotted", "expected"))
    return Section("forecast", title, note, (chart,), _list_past(past), shown, legend)


def _list_steps(data: ReportData) -> Table:
    has_value = any(row.open_value is not None for row in data.forecast)
    return Table(
        "What to expect of the open deals",
        (
            *("Step", "Open", "Win rate", "Days to win", "Expected wins"),
            *(("Open value", "Expected value") if has_value else ()),
        ),
        [
            (
                shorten(row.kpi_name),
                count(row.open_deals_count),
                percent(row.win_rate),
                tenths(row.median_days_to_win),
                tenths(row.expected_wins),
                *((amount(row.open_value), amount(row.expected_value)) if has_value else ()),
            )
            for row in data.forecast
            if row.open_deals_count
        ],
    )


def _list_past(past: Sequence[ForecastBacktest]) -> Table:
    return Table(
        "Open deals at the end of past months, wins expected of them and wins since",
        ("Month", "Open", "Expected wins", "Won", "Open still"),
        [
            (
                short_month(row.month),
                count(row.open_deals_count),
                tenths(row.expected_wins),
                count(row.actual_wins),
                count(row.still_open_deals_count),
            )
            for row in reversed(past)
        ],
    )
