"""The views of `funnel show`: what each reads, and how it looks as text."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

from runner.show.opening import part_through
from runner.show.rows import (
    WHOLE_FUNNEL,
    ForecastBacktest,
    FunnelStep,
    LossCount,
    OwnerCount,
    PipelineStep,
    StalledDeal,
    StepConversion,
    StepForecast,
    StepVelocity,
    WinRate,
)
from runner.show.sentences import expected_wins, several_currencies, value_of_step
from runner.show.view import Seen, View
from runner.text.text_table import Bar, TextTable
from runner.text.words import (
    DASH,
    count,
    month_name,
    part_of_month,
    percent,
    plural,
    signed_count,
    tenths,
    year_month,
)

NO_REASON = "no reason given"
STALLED_SHOWN = OWNERS_SHOWN = 20

_MONTH_WIDTH = 9
_STEP_WIDTH = 38


def nest_in_months(steps: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents of the funnel's steps as one for each month, which has its steps."""
    return [
        {
            "month": month,
            "steps": [
                {name: value for name, value in step.items() if name != "month"} for step in found
            ],
        }
        for month, found in groupby(steps, itemgetter("month"))
    ]


def draw_month(
    steps: Sequence[FunnelStep | PipelineStep],
    width: int,
    last_day: date | None,
    before: Sequence[FunnelStep | PipelineStep] = (),
) -> str:
    """Return the funnel of one month, marked as a part where it was not over on the last day.

    Beside it stands the change against the month before, if that is given.
    """
    largest = max(step.deals_count for step in steps) or 1
    earlier = {step.funnel_step: step.deals_count for step in before}
    changes = [
        signed_count(step.deals_count - earlier[step.funnel_step])
        if step.funnel_step in earlier
        else ""
        for step in steps
    ]
    table = TextTable(
        ("step", "", "deals", *(("change",) if before else ())),
        [
            (
                step.funnel_step,
                step.kpi_name,
                count(step.deals_count),
                *((change,) if before else ()),
            )
            for step, change in zip(steps, changes, strict=True)
        ],
        bars=[Bar(step.deals_count / largest) for step in steps],
    ).draw(width)
    title = part_of_month(steps[0].month, part_through(steps[0].month, last_day))
    against = f", with the change against {month_name(before[0].month)}" if before else ""
    return f"{title}{against}\n\n{table}"


def _draw_funnel(seen: Seen, width: int) -> str:
    rows: Sequence[FunnelStep | PipelineStep] = seen.rows["months"]
    if len({row.month for row in rows}) == 1:
        return draw_month(rows, width, seen.last_counted, seen.before)
    return _draw_months(rows, lambda row: count(row.deals_count), width, seen)


def _draw_conversion(seen: Seen, width: int) -> str:
    rows: Sequence[StepConversion] = seen.rows["conversion"]
    if not rows:
        return f"No deals were created in {seen.describe()}."
    young = {row.cohort_month for row in rows if not row.is_mature}
    if len({row.cohort_month for row in rows}) == 1:
        table = TextTable(
            ("step", "", "reached", "of previous", "of first", "entered", "of first"),
            [
                (
                    row.funnel_step,
                    row.kpi_name,
                    count(row.reached_deals_count),
                    percent(row.reached_from_previous),
                    percent(row.reached_from_first),
                    count(row.entered_deals_count),
                    percent(row.entered_from_first),
                )
                for row in rows
            ],
            bars=[Bar(row.reached_from_first or 0) for row in rows],
        )
        month = rows[0].cohort_month
        created = part_of_month(month, part_through(month, seen.last_counted))
        text = f"Deals created in {created}\n\n{table.draw(width)}"
    else:
        text = "Share of the deals created in a month that reached a step or a later one\n\n"
        text += _draw_months(rows, lambda row: percent(row.reached_from_first), width, seen, young)
    return f"{text}\n\n* Many of its deals are still on their way." if young else text


def _draw_velocity(seen: Seen, width: int) -> str:
    rows: Sequence[StepVelocity] = seen.rows["velocity"]
    if not rows:
        return f"No deal left a step in {seen.describe()}."
    if len({row.month for row in rows}) > 1:
        table = _draw_months(rows, lambda row: tenths(row.median_days), width, seen)
        return f"Median days in a step, by the month of leaving it\n\n{table}"
    ordered = sorted(rows, key=lambda row: row.step_order == WHOLE_FUNNEL)
    steps = [row for row in rows if row.step_order != WHOLE_FUNNEL]
    longest = max((row.p90_days or 0 for row in steps), default=0) or 1
    table = TextTable(
        ("step", "", "left", "median", "p75", "p90"),
        [
            (
                row.funnel_step or "",
                row.kpi_name,
                count(row.visits_ended_count),
                tenths(row.median_days),
                tenths(row.p75_days),
                tenths(row.p90_days),
            )
            for row in ordered
        ],
        bars=[
            Bar(
                (row.median_days or 0) / longest,
                ((row.p75_days or 0) / longest, (row.p90_days or 0) / longest),
            )
            if row.step_order != WHOLE_FUNNEL
            else Bar(0)
            for row in ordered
        ],
    ).draw(width)
    return f"Days in a step, of visits that ended in {seen.describe()}\n\n{table}"


def _draw_losses(seen: Seen, width: int) -> str:
    rows: Sequence[LossCount] = seen.rows["losses"]
    closed: Sequence[WinRate] = seen.rows["win_rates"]
    won = sum(row.won_deals_count for row in closed)
    lost = sum(row.lost_deals_count for row in closed)
    rate = f", {percent(won / (won + lost))} won" if won + lost else ""
    again = sum(row.lost_after_won_deals_count for row in closed)
    as_of = f" ({seen.as_of})" if seen.as_of else ""
    title = f"Deals closed in {seen.describe()}: {count(won)} won, {count(lost)} lost{rate}{as_of}"
    if again:
        title += f"; {plural(again, 'customer')} lost again"
    if not rows:
        return title
    by_step: Counter[tuple[str, str]] = Counter()
    by_reason: Counter[tuple[str]] = Counter()
    for row in rows:
        by_step[row.funnel_step or DASH, row.kpi_name] += row.deals_count
        by_reason[(row.lost_reason or NO_REASON,)] += row.deals_count
    order = {(row.funnel_step or DASH, row.kpi_name): row.step_order or len(rows) for row in rows}
    steps = sorted(by_step.items(), key=lambda step: order[step[0]])
    return "\n\n".join(
        (
            title,
            _draw_counts(("lost in", "", "deals"), steps, width),
            _draw_counts(("because of", "deals"), by_reason.most_common(), width),
        )
    )


def _draw_owners(seen: Seen, width: int) -> str:
    rows: Sequence[OwnerCount] = seen.rows["owners"]
    if not rows:
        return f"No deal entered a step in {seen.describe()}."
    steps = {row.step_order: row.funnel_step for row in rows}
    counts: dict[int | None, Counter[int]] = {}
    for row in rows:
        counts.setdefault(row.owner_id, Counter())[row.step_order] += row.deals_count
    largest_first = sorted(
        counts.items(), key=lambda owner: (owner[0] is None, -owner[1][min(steps)], owner[0] or 0)
    )
    table = TextTable(
        ("owner", *(steps[order] for order in sorted(steps))),
        [
            (seen.owner(owner_id), *(count(found[order]) for order in sorted(steps)))
            for owner_id, found in largest_first[:OWNERS_SHOWN]
        ],
        names=1,
    ).draw(width)
    more = _say_more(len(largest_first) - OWNERS_SHOWN)
    return f"Deals that entered a step in {seen.describe()}, by owner\n\n{table}{more}"


def _draw_stalled(seen: Seen, width: int) -> str:
    rows: Sequence[StalledDeal] = seen.rows["stalled"]
    if not rows:
        return " ".join(("No open deal is stalled", seen.as_of)).rstrip() + "."
    by_step: Counter[tuple[str, str]] = Counter()
    for row in rows:
        by_step[row.funnel_step or DASH, row.kpi_name] += 1
    longest = sorted(rows, key=lambda row: (-row.days_since_last_movement, row.deal_id))
    table = TextTable(
        ("step", "", "deal", "owner", "days", "usual"),
        [
            (
                row.funnel_step or DASH,
                row.kpi_name,
                str(row.deal_id),
                seen.owner(row.owner_id),
                count(row.days_since_last_movement),
                tenths(row.stalled_after_days),
            )
            for row in longest[:STALLED_SHOWN]
        ],
    ).draw(width)
    more = _say_more(len(rows) - STALLED_SHOWN)
    as_of = f", {seen.as_of}" if seen.as_of else ""
    return (
        f"Open deals without movement for longer than is usual in their step{as_of}\n\n"
        f"{_draw_counts(('step', '', 'deals'), by_step.items(), width)}\n\n{table}{more}"
    )


def _say_more(left: int) -> str:
    return f"\n\nand {count(left)} more: --csv prints all" if left > 0 else ""


def _draw_forecast(seen: Seen, width: int) -> str:
    rows: Sequence[StepForecast] = seen.rows["forecast"]
    past: Sequence[ForecastBacktest] = seen.rows["backtest"]
    has_value = any(row.open_value is not None for row in rows)
    largest = max((row.expected_wins or 0 for row in rows), default=0) or 1
    table = TextTable(
        (
            *("step", "", "open", "win rate", "days", "exp. wins"),
            *(("open value", "expected value") if has_value else ()),
        ),
        [
            (
                row.funnel_step or DASH,
                row.kpi_name,
                count(row.open_deals_count),
                percent(row.win_rate),
                tenths(row.median_days_to_win),
                tenths(row.expected_wins),
                *(
                    (value_of_step(row, row.open_value), value_of_step(row, row.expected_value))
                    if has_value
                    else ()
                ),
            )
            for row in rows
        ],
        bars=[Bar((row.expected_wins or 0) / largest) for row in rows],
    ).draw(width)
    as_of = f", {seen.as_of}" if seen.as_of else ""
    text = f"{expected_wins(rows)}{as_of}; days: from the step to winning\n\n{table}"
    if currencies := several_currencies(rows):
        text += f"\n\n{currencies}"
    if not past:
        return text
    check = TextTable(
        ("month", "open", "expected wins", "won", "in months"),
        [
            (
                year_month(row.month),
                count(row.open_deals_count),
                tenths(row.expected_wins),
                count(row.actual_wins),
                count(row.horizon_months),
            )
            for row in past[-12:]
        ],
        names=1,
    ).draw(width)
    return (
        f"{text}\n\nThe same forecast at the end of past months, and how it turned out\n\n{check}"
    )


PIPELINE = View({"months": PipelineStep}, _draw_funnel, arrange=nest_in_months, compares=True)
"""The funnel of one pipeline."""

VIEWS: Mapping[str, View] = {
    "funnel": View({"months": FunnelStep}, _draw_funnel, arrange=nest_in_months, compares=True),
    "conversion": View({"conversion": StepConversion}, _draw_conversion, default_months=6),
    "velocity": View({"velocity": StepVelocity}, _draw_velocity),
    "losses": View({"losses": LossCount, "win_rates": WinRate}, _draw_losses),
    "owners": View({"owners": OwnerCount}, _draw_owners),
    "stalled": View({"stalled": StalledDeal}, _draw_stalled, default_months=None),
    "forecast": View(
        {"forecast": StepForecast, "backtest": ForecastBacktest},
        _draw_forecast,
        default_months=None,
    ),
}


def _draw_months(
    rows: Sequence[Any],
    cell: Callable[[Any], str],
    width: int,
    seen: Seen,
    marked: Container[date] = (),
) -> str:
    """Return months side by side, as many to a block as fit; what is outside the funnel last.

    Below them stands to which day the last one is counted, if that was not over.
    """
    last = {None: 1, WHOLE_FUNNEL: 2}
    cells, steps = {}, {}
    for row in rows:
        order = row.step_order
        place = (last.get(order, 0), order or 0, row.kpi_name if order is None else "")
        cells[place, row.about_month] = cell(row)
        steps[place] = (row.funnel_step or "", row.kpi_name)
    months = sorted({month for _, month in cells})
    heads = [year_month(month) + ("*" if month in marked else "") for month in months]
    per_block = max(1, (width - _STEP_WIDTH) // _MONTH_WIDTH)
    blocks = []
    for begin in range(0, len(months), per_block):
        block = slice(begin, begin + per_block)
        table = TextTable(
            ("step", "", *(head.rjust(_MONTH_WIDTH - 2) for head in heads[block])),
            [
                (*steps[place], *(cells.get((place, month), "") for month in months[block]))
                for place in sorted(steps)
            ],
        )
        blocks.append(table.draw(width))
    if seen.part_through:
        blocks.append(part_of_month(seen.known_period.last_month, seen.part_through))
    return "\n\n".join(blocks)


def _draw_counts(
    header: Sequence[str], counts: Iterable[tuple[tuple[str, ...], int]], width: int
) -> str:
    found = list(counts)
    largest = max(number for _, number in found) or 1
    return TextTable(
        header,
        [(*names, count(number)) for names, number in found],
        names=len(header) - 1,
        bars=[Bar(number / largest) for _, number in found],
    ).draw(width)
