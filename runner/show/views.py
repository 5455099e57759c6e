"""The views of `funnel show` over the marts: what each reads, and how it looks as text."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.project import Project
from runner.show.marts import (
    WHOLE_FUNNEL,
    ForecastBacktest,
    InsightRow,
    LossCount,
    OwnerCount,
    Period,
    StalledDeal,
    StepConversion,
    StepForecast,
    StepVelocity,
    WinRate,
    read_latest_month,
    read_rows,
)
from runner.show.text_table import Bar, TextTable

NOBODY = "nobody"
NO_REASON = "no reason given"
OUTSIDE = "–"
STALLED_SHOWN = 20

_MONTH_WIDTH = 9
_STEP_WIDTH = 38


@dataclass(frozen=True)
class Seen:
    """What a view shows.

    Args:
        period: The months it is about.
        rows: The rows it read, by the name that `--json` gives them.
        names: The names of owners, where asked for.
    """

    period: Period
    rows: Mapping[str, Sequence[Any]]
    names: Mapping[int, str]

    def owner(self, owner_id: int | None) -> str:
        """Return how an owner is called: by id, and by name where asked for."""
        if owner_id is None:
            return NOBODY
        return self.names.get(owner_id) or str(owner_id)


@dataclass(frozen=True)
class View:
    """A view: the models it reads, by the name that `--json` gives them, and how it is drawn.

    Args:
        models: The rows it reads; `--csv` prints the first.
        draw: Returns the view as text, for a width in columns.
        default_months: How many months it shows if nothing is said; None where it has no months
            to choose from but is as of the reference date.
    """

    models: Mapping[str, type[InsightRow]]
    draw: Callable[[Seen, int], str]
    default_months: int | None = 1


def read_view(
    connection: Connection,
    project: Project,
    view: View,
    *,
    month: date | None = None,
    last: int | None = None,
    names: Mapping[int, str] | None = None,
) -> Seen:
    """Read what a view shows, of one month or of the `last` ones.

    Raises:
        FunnelError: A model is not built, or cannot be read.
    """
    latest = month or read_latest_month(connection, project)
    period = Period.ending(latest, 1 if month else last or view.default_months or 1)
    rows = {
        name: read_rows(connection, project, row, period if view.default_months else None)
        for name, row in view.models.items()
    }
    return Seen(period, rows, names or {})


def document_view(seen: Seen) -> dict[str, Any]:
    """Return a view as `--json` prints it; the owner's name only where asked for."""
    return {
        name: [_with_owner_name(row.document(), seen) for row in rows]
        for name, rows in seen.rows.items()
    }


def csv_view(view: View, seen: Seen) -> str:
    """Return a view's first model as CSV, with the columns of the model."""
    name, row = next(iter(view.models.items()))
    columns = [field.name for field in fields(row)]
    if seen.names:
        columns.append("owner_name")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for line in seen.rows[name]:
        found = _with_owner_name(vars(line), seen)
        writer.writerow([found[column] for column in columns])
    return text.getvalue().rstrip("\n")


def _with_owner_name(document: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    found = dict(document)
    if seen.names:
        found["owner_name"] = seen.names.get(found["owner_id"])
    return found


def _draw_conversion(seen: Seen, width: int) -> str:
    rows: Sequence[StepConversion] = seen.rows["conversion"]
    if not rows:
        return f"No deals were created in {seen.period.describe()}."
    cohorts = sorted({row.cohort_month for row in rows})
    young = {row.cohort_month for row in rows if not row.is_mature}
    if len(cohorts) == 1:
        table = TextTable(
            ("step", "", "reached", "of previous", "of first", "entered", "of first"),
            [
                (
                    row.funnel_step,
                    row.kpi_name,
                    str(row.reached_deals_count),
                    percent(row.reached_from_previous),
                    percent(row.reached_from_first),
                    str(row.entered_deals_count),
                    percent(row.entered_from_first),
                )
                for row in rows
            ],
            bars=[Bar(row.reached_from_first or 0) for row in rows],
        )
        text = f"Deals created in {cohorts[0]:%B %Y}\n\n{table.draw(width)}"
    else:
        cells = {(row.kpi_name, row.cohort_month): row for row in rows}
        heads = {month: f"{month:%Y-%m}{'*' if month in young else ''}" for month in cohorts}
        text = "Share of the deals created in a month that reached a step or a later one\n\n"
        text += _draw_months(
            _steps(rows),
            heads,
            lambda name, month: percent(_rate(cells.get((name, month)))),
            width,
        )
    return f"{text}\n\n* Many of its deals are still on their way." if young else text


def _draw_velocity(seen: Seen, width: int) -> str:
    rows: Sequence[StepVelocity] = seen.rows["velocity"]
    if not rows:
        return f"No deal left a step in {seen.period.describe()}."
    months = sorted({row.month for row in rows})
    if len(months) > 1:
        cells = {(row.kpi_name, row.month): row.median_days for row in rows}
        table = _draw_months(
            _steps(rows),
            {month: f"{month:%Y-%m}" for month in months},
            lambda name, month: days(cells.get((name, month))),
            width,
        )
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
                str(row.visits_ended_count),
                days(row.median_days),
                days(row.p75_days),
                days(row.p90_days),
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
    return f"Days in a step, of visits that ended in {seen.period.describe()}\n\n{table}"


def _draw_losses(seen: Seen, width: int) -> str:
    rows: Sequence[LossCount] = seen.rows["losses"]
    closed: Sequence[WinRate] = seen.rows["win_rates"]
    won = sum(row.won_deals_count for row in closed)
    lost = sum(row.lost_deals_count for row in closed)
    rate = f", {percent(won / (won + lost))} won" if won + lost else ""
    title = f"Deals closed in {seen.period.describe()}: {won} won, {lost} lost{rate}"
    if not rows:
        return title
    by_step: Counter[tuple[str, str]] = Counter()
    by_reason: Counter[tuple[str]] = Counter()
    for row in rows:
        by_step[row.funnel_step or OUTSIDE, row.kpi_name] += row.deals_count
        by_reason[(row.lost_reason or NO_REASON,)] += row.deals_count
    order = {
        (row.funnel_step or OUTSIDE, row.kpi_name): row.step_order or len(rows) for row in rows
    }
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
        return f"No deal entered a step in {seen.period.describe()}."
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
            (seen.owner(owner_id), *(str(found[order]) for order in sorted(steps)))
            for owner_id, found in largest_first
        ],
        names=1,
    ).draw(width)
    return f"Deals that entered a step in {seen.period.describe()}, by owner\n\n{table}"


def _draw_stalled(seen: Seen, width: int) -> str:
    rows: Sequence[StalledDeal] = seen.rows["stalled"]
    if not rows:
        return "No open deal is stalled."
    by_step: Counter[tuple[str, str]] = Counter()
    for row in rows:
        by_step[row.funnel_step or OUTSIDE, row.kpi_name] += 1
    longest = sorted(rows, key=lambda row: (-row.days_since_last_movement, row.deal_id))
    table = TextTable(
        ("step", "", "deal", "owner", "days", "usual"),
        [
            (
                row.funnel_step or OUTSIDE,
                row.kpi_name,
                str(row.deal_id),
                seen.owner(row.owner_id),
                str(row.days_since_last_movement),
                days(row.stalled_after_days),
            )
            for row in longest[:STALLED_SHOWN]
        ],
    ).draw(width)
    left = len(rows) - STALLED_SHOWN
    more = f"\n\nand {left} more: --csv prints all" if left > 0 else ""
    return (
        "Open deals without movement for longer than is usual in their step\n\n"
        f"{_draw_counts(('step', '', 'deals'), by_step.items(), width)}\n\n{table}{more}"
    )


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
                row.funnel_step or OUTSIDE,
                row.kpi_name,
                str(row.open_deals_count),
                percent(row.win_rate),
                days(row.median_days_to_win),
                number(row.expected_wins),
                *((amount(row.open_value), amount(row.expected_value)) if has_value else ()),
            )
            for row in rows
        ],
        bars=[Bar((row.expected_wins or 0) / largest) for row in rows],
    ).draw(width)
    expected = sum(row.expected_wins or 0 for row in rows)
    open_deals = sum(row.open_deals_count for row in rows)
    text = (
        f"{open_deals} open deals, {number(expected)} of them expected to be won; "
        f"days: from the step to winning\n\n{table}"
    )
    if not past:
        return text
    check = TextTable(
        ("month", "open", "expected wins", "won", "open still"),
        [
            (
                f"{row.month:%Y-%m}",
                str(row.open_deals_count),
                number(row.expected_wins),
                str(row.actual_wins or 0),
                str(row.still_open_deals_count),
            )
            for row in past[-12:]
        ],
        names=1,
    ).draw(width)
    return f"{text}\n\nThe same reckoning at the end of past months, and what came of it\n\n{check}"


VIEWS: Mapping[str, View] = {
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


def percent(rate: float | None) -> str:
    """Return a rate of 0 to 1 in per cent, or nothing where there is none."""
    return "" if rate is None else f"{rate:.0%}"


def days(count: float | None) -> str:
    """Return a number of days."""
    return "" if count is None else f"{count:.1f}"


def number(count: float | None) -> str:
    """Return an expected number of deals."""
    return "" if count is None else f"{count:.1f}"


def amount(value: float | None) -> str:
    """Return a sum of money, without a currency: none is recorded."""
    return "" if value is None else f"{value:,.0f}"


def _rate(row: StepConversion | None) -> float | None:
    return row.reached_from_first if row else None


def _steps(rows: Iterable[StepConversion | StepVelocity]) -> dict[str, tuple[str, str]]:
    """Return step and name by name: in order, what is outside the funnel and it as a whole last."""
    last = {None: 1, WHOLE_FUNNEL: 2}
    ordered = sorted(rows, key=lambda row: (last.get(row.step_order, 0), row.step_order or 0))
    return {row.kpi_name: (row.funnel_step or "", row.kpi_name) for row in ordered}


def _draw_months(
    steps: Mapping[str, tuple[str, str]],
    heads: Mapping[date, str],
    cell: Callable[[str, date], str],
    width: int,
) -> str:
    """Return months side by side, as many to a block as fit."""
    months = list(heads)
    per_block = max(1, (width - _STEP_WIDTH) // _MONTH_WIDTH)
    blocks = []
    for begin in range(0, len(months), per_block):
        block = months[begin : begin + per_block]
        table = TextTable(
            ("step", "", *(heads[month].rjust(_MONTH_WIDTH - 2) for month in block)),
            [(*step, *(cell(name, month) for month in block)) for name, step in steps.items()],
        )
        blocks.append(table.draw(width))
    return "\n\n".join(blocks)


def _draw_counts(
    header: Sequence[str], counts: Iterable[tuple[tuple[str, ...], int]], width: int
) -> str:
    found = list(counts)
    largest = max(count for _, count in found)
    return TextTable(
        header,
        [(*names, str(count)) for names, count in found],
        names=len(header) - 1,
        bars=[Bar(count / largest) for _, count in found],
    ).draw(width)
