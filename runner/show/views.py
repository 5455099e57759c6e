"""The views of `funnel show`: what each reads, and how it looks as text, JSON and CSV."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.project import Project
from runner.show.rows import (
    WHOLE_FUNNEL,
    ForecastBacktest,
    FunnelStep,
    LossCount,
    ModelRow,
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
from runner.text_table import Bar, TextTable
from runner.words import DASH, amount, count, month_name, percent, plural, tenths, year_month

NOBODY = "nobody"
NO_REASON = "no reason given"
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
        arrange: How `--json` arranges the rows; a list of them if nothing is said.
    """

    models: Mapping[str, type[ModelRow]]
    draw: Callable[[Seen, int], str]
    default_months: int | None = 1
    arrange: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list

    @property
    def has_owners(self) -> bool:
        """Whether its rows are about owners."""
        return any(
            column.name == "owner_id" for row in self.models.values() for column in fields(row)
        )


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
        FunnelError: A model or a month is not built, or cannot be read.
    """
    latest = month or read_latest_month(connection, project)
    period = Period.ending(latest, 1 if month else last or view.default_months or 1)
    rows = {
        name: read_rows(connection, project, row, period if view.default_months else None)
        for name, row in view.models.items()
    }
    return Seen(period, rows, names or {})


def document_view(view: View, seen: Seen) -> dict[str, Any]:
    """Return a view as `--json` prints it; the owner's name only where asked for."""
    return {
        name: view.arrange([_with_owner_name(row.document(), seen) for row in rows])
        for name, rows in seen.rows.items()
    }


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


def csv_view(view: View, seen: Seen, *, raw: bool = False) -> str:
    """Return a view's first model as CSV, with the columns of the model.

    A text that a spreadsheet would compute gets an apostrophe before it, unless `raw`.
    """
    name, row = next(iter(view.models.items()))
    columns = [field.name for field in fields(row)]
    if seen.names:
        columns.append("owner_name")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for line in seen.rows[name]:
        found = _with_owner_name(vars(line), seen)
        cells = [found[column] for column in columns]
        writer.writerow(cells if raw else map(_without_formula, cells))
    return text.getvalue().rstrip("\n")


def _without_formula(cell: object) -> object:
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{cell}" if is_formula else cell


def _with_owner_name(document: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    found = dict(document)
    if seen.names:
        found["owner_name"] = seen.names.get(found["owner_id"])
    return found


def draw_month(steps: Sequence[FunnelStep], width: int) -> str:
    """Return the funnel of one month, the longest bar for the largest step."""
    counts = [((step.funnel_step, step.kpi_name), step.deals_count) for step in steps]
    title = month_name(steps[0].month)
    return f"{title}\n\n{_draw_counts(('step', '', 'deals'), counts, width)}"


def _draw_funnel(seen: Seen, width: int) -> str:
    rows: Sequence[FunnelStep] = seen.rows["months"]
    if len({row.month for row in rows}) == 1:
        return draw_month(rows, width)
    return _draw_months(rows, lambda row: count(row.deals_count), width)


def _draw_conversion(seen: Seen, width: int) -> str:
    rows: Sequence[StepConversion] = seen.rows["conversion"]
    if not rows:
        return f"No deals were created in {seen.period.describe()}."
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
        text = f"Deals created in {month_name(rows[0].cohort_month)}\n\n{table.draw(width)}"
    else:
        text = "Share of the deals created in a month that reached a step or a later one\n\n"
        text += _draw_months(rows, lambda row: percent(row.reached_from_first), width, young)
    return f"{text}\n\n* Many of its deals are still on their way." if young else text


def _draw_velocity(seen: Seen, width: int) -> str:
    rows: Sequence[StepVelocity] = seen.rows["velocity"]
    if not rows:
        return f"No deal left a step in {seen.period.describe()}."
    if len({row.month for row in rows}) > 1:
        table = _draw_months(rows, lambda row: tenths(row.median_days), width)
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
    return f"Days in a step, of visits that ended in {seen.period.describe()}\n\n{table}"


def _draw_losses(seen: Seen, width: int) -> str:
    rows: Sequence[LossCount] = seen.rows["losses"]
    closed: Sequence[WinRate] = seen.rows["win_rates"]
    won = sum(row.won_deals_count for row in closed)
    lost = sum(row.lost_deals_count for row in closed)
    rate = f", {percent(won / (won + lost))} won" if won + lost else ""
    title = f"Deals closed in {seen.period.describe()}: {count(won)} won, {count(lost)} lost{rate}"
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
            (seen.owner(owner_id), *(count(found[order]) for order in sorted(steps)))
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
    left = len(rows) - STALLED_SHOWN
    more = f"\n\nand {count(left)} more: --csv prints all" if left > 0 else ""
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
                row.funnel_step or DASH,
                row.kpi_name,
                count(row.open_deals_count),
                percent(row.win_rate),
                tenths(row.median_days_to_win),
                tenths(row.expected_wins),
                *((amount(row.open_value), amount(row.expected_value)) if has_value else ()),
            )
            for row in rows
        ],
        bars=[Bar((row.expected_wins or 0) / largest) for row in rows],
    ).draw(width)
    expected = sum(row.expected_wins or 0 for row in rows)
    open_deals = sum(row.open_deals_count for row in rows)
    text = (
        f"{plural(open_deals, 'open deal')}, {tenths(expected)} of them expected to be won; "
        f"days: from the step to winning\n\n{table}"
    )
    if not past:
        return text
    check = TextTable(
        ("month", "open", "expected wins", "won", "open still"),
        [
            (
                year_month(row.month),
                count(row.open_deals_count),
                tenths(row.expected_wins),
                count(row.actual_wins or 0),
                count(row.still_open_deals_count),
            )
            for row in past[-12:]
        ],
        names=1,
    ).draw(width)
    return f"{text}\n\nThe same reckoning at the end of past months, and what came of it\n\n{check}"


VIEWS: Mapping[str, View] = {
    "funnel": View({"months": FunnelStep}, _draw_funnel, arrange=nest_in_months),
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
    rows: Sequence[Any], cell: Callable[[Any], str], width: int, marked: Container[date] = ()
) -> str:
    """Return months side by side, as many to a block as fit; what is outside the funnel last."""
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
