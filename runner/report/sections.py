"""The sections of the report: what each one found, its charts, and the numbers behind them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from dateutil.relativedelta import relativedelta

from runner.report import text
from runner.report.data import OWNER_MONTHS, ReportData
from runner.report.figures import (
    CELL_HEIGHT,
    LINE_HEIGHT,
    ROW_HEIGHT,
    BarRow,
    Figure,
    HeatMap,
    Line,
    draw_bars,
    draw_heat_map,
    draw_lines,
)
from runner.report.palette import Palette
from runner.report.text import (
    count,
    days,
    isolate,
    month_name,
    name_of,
    percent,
    plural,
    share,
    shorten,
)
from runner.show.marts import WHOLE_FUNNEL, StepConversion

OWNERS_DRAWN = 10
OWNERS_LISTED = 50
REASONS_DRAWN = 9
NOTABLE_ERROR = 0.15
NOBODY = "Nobody known"
NO_REASON = "No reason given"
OTHER_REASONS = "Other reasons"
OUTSIDE = "–"


@dataclass(frozen=True)
class Chart:
    """A chart: how to draw it in the colours of a theme, and what it says to who cannot see it."""

    name: str
    draw: Callable[[Palette], Figure]
    height: int
    said: str
    heading: str = ""
    value: str = ""


@dataclass(frozen=True)
class Table:
    """Numbers as text, the first `names` columns being names."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1


@dataclass(frozen=True)
class Section:
    """A finding, its charts and its numbers.

    Args:
        name: Its name in the page.
        title: The finding.
        note: What is counted.
        charts: None where there is nothing to draw.
        table: The numbers behind the charts.
        shown: A table that stands open.
        legend: What the shades mean, the strongest first.
    """

    name: str
    title: str
    note: str
    charts: Sequence[Chart] = ()
    table: Table | None = None
    shown: Table | None = None
    legend: Sequence[tuple[str, str]] = ()


def make_sections(data: ReportData) -> list[Section]:
    """Return the sections of a report, in reading order."""
    return [
        _make_funnel(data),
        _make_conversion(data),
        _make_trend(data),
        _make_velocity(data),
        _make_losses(data),
        _make_owners(data),
        _make_stalled(data),
        _make_forecast(data),
    ]


def _make_funnel(data: ReportData) -> Section:
    steps = data.steps
    rates = [
        share(step.deals_count, before.deals_count if before else None)
        for before, step in zip([None, *steps], steps, strict=False)
    ]
    note = (
        f"Deals that entered a step in {month_name(data.month)}, and their share of those that "
        "entered the step above in the same month."
    )
    if not any(step.deals_count for step in steps):
        return Section(
            "funnel", "No deal entered the funnel", note, table=_funnel_table(data, rates)
        )
    drops = [
        (rate, before, step)
        for rate, before, step in zip(rates[1:], steps, steps[1:], strict=False)
        if rate is not None and step.step_order <= data.winning_step.step_order
    ]
    title = "The funnel of the month"
    if drops:
        rate, before, step = min(drops, key=lambda drop: drop[0])
        title = (
            f"The funnel narrows most at {_name(step.kpi_name)}: "
            f"{plural(step.deals_count, 'deal')} after {count(before.deals_count)}"
        )
    rows = [
        BarRow(
            name=_numbered(step.funnel_step, step.kpi_name),
            value=count(step.deals_count) + (f" · {percent(rate)}" if rate is not None else ""),
            lengths=(step.deals_count,),
            hover=plural(step.deals_count, "deal"),
        )
        for step, rate in zip(steps, rates, strict=True)
    ]
    chart = Chart(
        "funnel",
        lambda palette: draw_bars(rows, palette),
        len(rows) * ROW_HEIGHT,
        f"Bars of deals per step in {month_name(data.month)}. {title}.",
    )
    return Section("funnel", title, note, (chart,), _funnel_table(data, rates))


def _funnel_table(data: ReportData, rates: Sequence[float | None]) -> Table:
    return Table(
        f"Deals per step, {month_name(data.month)}",
        ("Step", "Name", "Deals", "Of the step above", "Deal days"),
        [
            (
                step.funnel_step,
                step.kpi_name,
                count(step.deals_count),
                percent(rate),
                count(step.deal_days_count),
            )
            for step, rate in zip(data.steps, rates, strict=True)
        ],
        names=2,
    )


def _make_conversion(data: ReportData) -> Section:
    note = (
        "Deals by the month of their creation, and the share of them that reached a step or a "
        "later one. Steps by number, as in the funnel."
    )
    if not data.conversion:
        return Section("conversion", "No deal was created in the last twelve months", note)
    first = min(row.step_order for row in data.conversion)
    cohorts: dict[date, dict[int, StepConversion]] = {}
    for row in data.conversion:
        cohorts.setdefault(row.cohort_month, {})[row.step_order] = row
    steps = {row.step_order: row for row in data.conversion}
    later = [order for order in sorted(steps) if order != first]
    is_young = {month: not next(iter(found.values())).is_mature for month, found in cohorts.items()}
    if any(is_young.values()):
        note += " An asterisk marks months many of whose deals are still on their way."

    def rate(month: date, order: int) -> float | None:
        found = cohorts[month].get(order)
        return found.reached_from_first if found else None

    grid = HeatMap(
        rows=[text.short_month(month) + ("*" if is_young[month] else "") for month in cohorts],
        columns=[steps[order].funnel_step for order in later],
        cells=[[rate(month, order) for order in later] for month in cohorts],
        texts=[[_per_hundred(rate(month, order)) for order in later] for month in cohorts],
        hovers=[
            [
                f"{month_name(month)}: {percent(rate(month, order))} reached "
                f"{shorten(steps[order].kpi_name)}"
                for order in later
            ]
            for month in cohorts
        ],
        faded=list(is_young.values()),
    )
    title = _conversion_title(data, cohorts, is_young)
    chart = Chart(
        "conversion",
        lambda palette: draw_heat_map(grid, palette),
        24 + len(cohorts) * CELL_HEIGHT,
        f"A grid of creation months and steps; numbers are per cent. {title}.",
    )
    table = Table(
        "Deals of a creation month that reached a step, and in brackets those that entered it",
        ("Created", "Deals", *(steps[order].kpi_name for order in later)),
        [
            (
                text.short_month(month) + ("*" if is_young[month] else ""),
                count(next(iter(found.values())).cohort_deals_count),
                *(
                    f"{count(found[order].reached_deals_count)} "
                    f"({count(found[order].entered_deals_count)})"
                    if order in found
                    else "–"
                    for order in later
                ),
            )
            for month, found in cohorts.items()
        ],
    )
    return Section("conversion", title, note, (chart,), table)


def _conversion_title(
    data: ReportData,
    cohorts: Mapping[date, Mapping[int, StepConversion]],
    is_young: Mapping[date, bool],
) -> str:
    goal = data.winning_step
    known = [
        cohorts[month][goal.step_order]
        for month in cohorts
        if not is_young[month] and goal.step_order in cohorts[month]
    ]
    reached = sum(row.reached_deals_count for row in known)
    per_hundred = share(reached, sum(row.cohort_deals_count for row in known))
    if per_hundred is None:
        return "It is too early to say how many deals get through"
    return f"Of 100 deals created, {per_hundred * 100:.0f} reach {_name(goal.kpi_name)}"


def _make_trend(data: ReportData) -> Section:
    months = [funnel.month for funnel in data.funnels]
    charts = []
    for step in data.steps:
        values = [data.deals_in(month, step.step_order) for month in months]
        charts.append(
            Chart(
                f"trend-{step.step_order}",
                _trend(months, values),
                LINE_HEIGHT,
                f"Line of deals that entered {shorten(step.kpi_name)} in each month; "
                f"{count(step.deals_count)} in {month_name(data.month)}.",
                heading=_numbered(step.funnel_step, shorten(step.kpi_name)),
                value=count(step.deals_count),
            )
        )
    table = Table(
        "Deals that entered a step, by month",
        ("Month", *(step.kpi_name for step in data.steps)),
        [
            (
                text.short_month(month),
                *(count(data.deals_in(month, step.step_order)) for step in data.steps),
            )
            for month in reversed(months)
        ],
    )
    note = f"Deals that entered a step, {plural(len(months), 'month')} to {month_name(data.month)}."
    return Section("trend", _trend_title(data), note, charts, table)


def _trend(months: Sequence[date], values: Sequence[float | None]) -> Callable[[Palette], Figure]:
    return lambda palette: draw_lines(months, [Line("Deals", values)], palette, is_small=True)


def _trend_title(data: ReportData) -> str:
    pairs = [
        (step.deals_count, before)
        for step in data.steps
        if (before := data.deals_in(data.year_before, step.step_order)) is not None
    ]
    if not pairs:
        return "Month by month"
    more = sum(now > before for now, before in pairs)
    fewer = sum(now < before for now, before in pairs)
    steps = f"{max(more, fewer)} of {plural(len(pairs), 'step')}"
    if max(more, fewer) == len(pairs):
        steps = "Every step"
    return f"{steps} saw {'more' if more >= fewer else 'fewer'} deals than a year ago"


def _make_velocity(data: ReportData) -> Section:
    note = (
        "Days from entering a step to leaving it, of visits that ended in "
        f"{month_name(data.month)}."
    )
    found = [row for row in data.velocity if row.month == data.month]
    steps = [row for row in found if row.step_order != WHOLE_FUNNEL]
    if not steps:
        return Section("velocity", "No deal left a step", note)
    slowest = max(steps, key=lambda row: row.median_days or 0)
    title = (
        f"Deals stay longest in {_name(slowest.kpi_name)}: "
        f"half of them more than {slowest.median_days or 0:.0f} days"
    )
    rows = [
        BarRow(
            name=_numbered(row.funnel_step, row.kpi_name),
            value=f"{days(row.median_days)} days",
            lengths=(row.median_days, row.p75_days, row.p90_days),
            hover=f"{days(row.median_days)} days, three quarters within {days(row.p75_days)}, "
            f"nine of ten within {days(row.p90_days)}",
        )
        for row in steps
    ]
    chart = Chart(
        "velocity",
        lambda palette: draw_bars(rows, palette),
        len(rows) * ROW_HEIGHT,
        f"Bars of days per step. {title}.",
    )
    table = Table(
        f"Days in a step, visits ended in {month_name(data.month)}",
        ("Step", "Name", "Visits ended", "Median", "75 %", "90 %"),
        [
            (
                row.funnel_step or OUTSIDE,
                row.kpi_name,
                count(row.visits_ended_count),
                days(row.median_days),
                days(row.p75_days),
                days(row.p90_days),
            )
            for row in sorted(found, key=lambda row: row.step_order == WHOLE_FUNNEL)
        ],
        names=2,
    )
    legend = (
        ("accent", "half of the visits"),
        ("pale", "three quarters"),
        ("paler", "nine of ten"),
    )
    return Section("velocity", title, note, (chart,), table, legend=legend)


def _make_losses(data: ReportData) -> Section:
    note = f"Deals lost in {month_name(data.month)}, by reason and by the step they were in."
    if not data.losses:
        return Section("losses", "No deal was lost", note)
    cells: Counter[tuple[str, int]] = Counter()
    by_reason: Counter[str] = Counter()
    by_step: Counter[int] = Counter()
    steps: dict[int, tuple[str, str]] = {}
    for row in data.losses:
        order, reason = row.step_order or 0, row.lost_reason or NO_REASON
        steps[order] = (row.funnel_step or OUTSIDE, row.kpi_name if order else "Outside the funnel")
        cells[reason, order] += row.deals_count
        by_reason[reason] += row.deals_count
        by_step[order] += row.deals_count
    orders = sorted(steps, key=lambda order: (order == 0, order))
    worst = max(orders, key=lambda order: by_step[order])
    reason, _ = by_reason.most_common(1)[0]
    title = (
        f"Most deals are lost in {_name(steps[worst][1])}; "
        f"the most frequent reason is {_name(reason)}"
    )
    ranked = [name for name, _ in by_reason.most_common()]
    drawn = ranked if len(ranked) <= REASONS_DRAWN + 1 else ranked[:REASONS_DRAWN]
    rest = ranked[len(drawn) :]
    lines = [[cells[name, order] for order in orders] for name in drawn]
    if rest:
        lines.append([sum(cells[name, order] for name in rest) for order in orders])
    names = [*drawn, *([OTHER_REASONS] if rest else [])]
    grid = HeatMap(
        rows=[f"{shorten(name, 22)}  {sum(line)}" for name, line in zip(names, lines, strict=True)],
        columns=[steps[order][0] for order in orders],
        cells=lines,
        texts=[[str(deals) if deals else "" for deals in line] for line in lines],
        hovers=[
            [
                f"{plural(deals, 'deal')} lost in {shorten(steps[order][1])}: {shorten(name, 40)}"
                for order, deals in zip(orders, line, strict=True)
            ]
            for name, line in zip(names, lines, strict=True)
        ],
        faded=[False] * len(names),
    )
    chart = Chart(
        "losses",
        lambda palette: draw_heat_map(grid, palette),
        24 + len(names) * (CELL_HEIGHT + 6),
        f"A grid of reasons and steps; numbers are lost deals. {title}.",
    )
    table = Table(
        f"Deals lost in {month_name(data.month)}",
        ("Reason", *(steps[order][1] for order in orders), "All"),
        [
            (name, *(count(cells[name, order]) for order in orders), count(by_reason[name]))
            for name in ranked
        ]
        + [("All", *(count(by_step[order]) for order in orders), count(by_reason.total()))],
    )
    return Section("losses", title, note, (chart,), table)


def _make_owners(data: ReportData) -> Section:
    first, goal = data.steps[0], data.winning_step
    begin = data.month - relativedelta(months=OWNER_MONTHS - 1)
    period = f"{text.short_month(begin)} to {text.short_month(data.month)}"
    note = (
        f"Deals that entered {_name(goal.kpi_name)} and {_name(first.kpi_name)}, {period}, "
        "by the owner at that time."
    )
    ranked = sorted(
        (owner for owner in data.owners if owner.owner_id is not None),
        key=lambda owner: (
            -owner.deals.get(goal.step_order, 0),
            -owner.deals.get(first.step_order, 0),
            owner.owner_id,
        ),
    )
    nobody = [owner for owner in data.owners if owner.owner_id is None]
    if not ranked:
        return Section("owners", "No owner of a deal is known", note)

    def called(owner_id: int | None) -> str:
        if owner_id is None:
            return NOBODY
        return data.names.get(owner_id) or f"Owner {owner_id}"

    best = ranked[0]
    title = (
        f"{_name(called(best.owner_id))} brought most deals to {_name(goal.kpi_name)}: "
        f"{count(best.deals.get(goal.step_order, 0))}"
    )
    if not best.deals.get(goal.step_order):
        title = f"No owner brought a deal to {_name(goal.kpi_name)}"
    rows = [
        BarRow(
            name=called(owner.owner_id),
            value=f"{count(owner.deals.get(goal.step_order, 0))} of "
            f"{count(owner.deals.get(first.step_order, 0))}",
            lengths=(owner.deals.get(goal.step_order, 0), owner.deals.get(first.step_order, 0)),
            hover=f"{count(owner.deals.get(goal.step_order, 0))} entered "
            f"{shorten(goal.kpi_name)}, {count(owner.deals.get(first.step_order, 0))} "
            f"{shorten(first.kpi_name)}",
        )
        for owner in ranked[:OWNERS_DRAWN]
    ]
    if len(ranked) > OWNERS_DRAWN:
        note += f" The first {OWNERS_DRAWN} of {len(ranked)} owners."
    chart = Chart(
        "owners",
        lambda palette: draw_bars(rows, palette),
        len(rows) * ROW_HEIGHT,
        f"Bars of deals per owner. {title}.",
    )
    listed = [*ranked[:OWNERS_LISTED], *nobody]
    table = Table(
        f"Deals that entered a step, by owner, {period}",
        ("Owner", *(step.kpi_name for step in data.steps)),
        [
            (
                called(owner.owner_id),
                *(count(owner.deals.get(step.step_order, 0)) for step in data.steps),
            )
            for owner in listed
        ],
    )
    legend = (("accent", shorten(goal.kpi_name)), ("pale", shorten(first.kpi_name)))
    return Section("owners", title, note, (chart,), table, legend=legend)


def _make_stalled(data: ReportData) -> Section:
    note = (
        "Open deals without movement for longer than nine of ten visits to their step take, "
        f"as of {text.day(data.trust.reference_date)}."
    )
    stalled = sum(step.deals_count for step in data.stalled_steps)
    if not stalled:
        return Section("stalled", "No open deal is stalled", note)
    open_deals = sum(row.open_deals_count for row in data.forecast)
    title = f"{plural(stalled, 'open deal')} {'has' if stalled == 1 else 'have'} come to a halt"
    if open_deals >= stalled:
        title = f"{count(stalled)} of {plural(open_deals, 'open deal')} have come to a halt"
    rows = [
        BarRow(
            name=_numbered(step.funnel_step, step.kpi_name),
            value=count(step.deals_count),
            lengths=(step.deals_count,),
            hover=plural(step.deals_count, "stalled deal"),
        )
        for step in data.stalled_steps
    ]
    chart = Chart(
        "stalled",
        lambda palette: draw_bars(rows, palette),
        len(rows) * ROW_HEIGHT,
        f"Bars of stalled deals per step. {title}.",
    )
    table = Table(
        "Stalled deals per step",
        ("Step", "Name", "Deals"),
        [
            (step.funnel_step or OUTSIDE, step.kpi_name, count(step.deals_count))
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
                OUTSIDE
                if deal.owner_id is None
                else shorten(data.names.get(deal.owner_id) or str(deal.owner_id)),
                count(deal.days_since_last_movement),
            )
            for deal in data.stalled_longest
        ],
        names=3,
    )
    return Section("stalled", title, note, (chart,), table, shown)


def _make_forecast(data: ReportData) -> Section:
    note = (
        "Open deals of each step, weighted with the share of deals in that step that were won in "
        "the past; nothing is expected of deals there for longer than nine of ten wins took, as of "
        f"{text.day(data.trust.reference_date)}."
    )
    open_deals = sum(row.open_deals_count for row in data.forecast)
    if not open_deals:
        return Section("forecast", "There is no open deal to expect anything of", note)
    expected = sum(row.expected_wins or 0 for row in data.forecast)
    title = f"About {expected:.0f} of the {plural(open_deals, 'open deal')} should be won"
    has_value = any(row.open_value is not None for row in data.forecast)
    shown = Table(
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
                days(row.median_days_to_win),
                days(row.expected_wins),
                *(
                    (text.amount(row.open_value), text.amount(row.expected_value))
                    if has_value
                    else ()
                ),
            )
            for row in data.forecast
            if row.open_deals_count
        ],
    )
    past = [row for row in data.backtest if data.is_settled(row.month)]
    if not past:
        note += " No month is long enough ago to try this on the past."
        return Section("forecast", title, note, shown=shown)
    last = past[-12:]
    hoped = sum(row.expected_wins or 0 for row in last)
    came = sum(row.actual_wins or 0 for row in last)
    off = share(hoped - came, came)
    if off is not None and abs(off) >= NOTABLE_ERROR:
        title += (
            f", by a reckoning that was {abs(off):.0%} too {'high' if off > 0 else 'low'} so far"
        )
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
        lambda palette: draw_lines([row.month for row in past], lines, palette),
        200,
        f"Two lines over past months: wins expected of the deals then open, and deals won. {note}",
    )
    table = Table(
        "Open deals at the end of past months, wins expected of them and wins since",
        ("Month", "Open", "Expected wins", "Won", "Open still"),
        [
            (
                text.short_month(row.month),
                count(row.open_deals_count),
                days(row.expected_wins),
                count(row.actual_wins),
                count(row.still_open_deals_count),
            )
            for row in reversed(past)
        ],
    )
    legend = (("accent", "won"), ("dotted", "expected"))
    return Section("forecast", title, note, (chart,), table, shown, legend)


def _name(name: str) -> str:
    """Return a name within a sentence."""
    return isolate(shorten(name))


def _numbered(step: str | None, name: str) -> str:
    """Return a step's name behind its number, if it has one."""
    return f"{step or ''} {name_of(name)}".strip()


def _per_hundred(rate: float | None) -> str:
    return "" if rate is None else f"{rate * 100:.0f}"
