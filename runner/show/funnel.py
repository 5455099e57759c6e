"""The funnel as people see it: rows of monthly_stats, and a table with bars."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import FunnelError
from runner.project import REPORTING, Project
from runner.show.text_table import draw_bar
from runner.warehouse.connection import table_exists

MONTHS_PER_BLOCK = 6
COLUMNS = ("month", "kpi_name", "funnel_step", "deals_count", "step_order", "deal_days_count")


@dataclass(frozen=True)
class FunnelStep:
    """One row of monthly_stats."""

    month: date
    kpi_name: str
    funnel_step: str
    deals_count: int
    step_order: int
    deal_days_count: int


@dataclass(frozen=True)
class FunnelMonth:
    """The funnel of one month, steps in order."""

    month: date
    steps: tuple[FunnelStep, ...]

    def document(self) -> dict[str, Any]:
        """Return the month as `--json` prints it."""
        return {
            "month": f"{self.month:%Y-%m}",
            "steps": [
                {name: getattr(step, name) for name in COLUMNS if name != "month"}
                for step in self.steps
            ],
        }


def read_funnel(
    connection: Connection, schema: str, *, month: str | None = None, last: int = 1
) -> list[FunnelMonth]:
    """Return one month of the funnel ('YYYY-MM'), or the `last` ones, oldest first.

    Raises:
        FunnelError: monthly_stats is not there or cannot be read.
    """
    table = sql.Identifier(schema, "monthly_stats")
    if month:
        months = sql.SQL("select cast({} as date)").format(sql.Literal(f"{month}-01"))
    else:
        months = sql.SQL("select month from {} group by month order by month desc limit {}").format(
            table, sql.Literal(last)
        )
    query = sql.SQL("select {} from {} where month in ({}) order by month, step_order").format(
        sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), table, months
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            steps = [FunnelStep(*row) for row in cursor.fetchall()]
    except psycopg2.Error as error:
        raise FunnelError(
            f"cannot read {schema}.monthly_stats: {error.diag.message_primary}",
            hint="`funnel doctor` looks for what is missing.",
        ) from error
    found = sorted({step.month for step in steps})
    return [FunnelMonth(day, tuple(step for step in steps if step.month == day)) for day in found]


def require_built(connection: Connection, project: Project) -> None:
    """Raise a FunnelError unless there is a funnel to look at."""
    schema = project.schema(REPORTING)
    if not table_exists(connection, schema, "monthly_stats"):
        raise FunnelError(
            f"{schema}.monthly_stats is not built yet", hint="Type `funnel run` or `funnel demo`."
        )


def draw_month(funnel: FunnelMonth) -> str:
    """Return a month as a table with bars, the longest bar for the largest step."""
    largest = max((step.deals_count for step in funnel.steps), default=0)
    name_width = max(len(step.kpi_name) for step in funnel.steps)
    lines = [f"{funnel.month:%B %Y}", "", f"step  {'':<{name_width}}  deals"]
    for step in funnel.steps:
        bar = draw_bar(step.deals_count / largest) if largest else ""
        line = f"{step.funnel_step:<4}  {step.kpi_name:<{name_width}}  {step.deals_count:>5}  {bar}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def draw_months(funnels: Sequence[FunnelMonth]) -> str:
    """Return several months side by side, a column each, six months to a block."""
    blocks = [
        _draw_block(funnels[begin : begin + MONTHS_PER_BLOCK])
        for begin in range(0, len(funnels), MONTHS_PER_BLOCK)
    ]
    return "\n\n".join(blocks)


def write_csv(funnels: Sequence[FunnelMonth]) -> str:
    """Return months as CSV with the columns of monthly_stats."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for funnel in funnels:
        writer.writerows([getattr(step, name) for name in COLUMNS] for step in funnel.steps)
    return text.getvalue().rstrip("\n")


def _draw_block(funnels: Sequence[FunnelMonth]) -> str:
    steps = {step.step_order: step for funnel in funnels for step in funnel.steps}
    name_width = max(len(step.kpi_name) for step in steps.values())
    months = "".join(f"{funnel.month:%Y-%m}".rjust(9) for funnel in funnels)
    lines = [f"step  {'':<{name_width}}{months}"]
    for order in sorted(steps):
        counts = [
            next((step.deals_count for step in funnel.steps if step.step_order == order), None)
            for funnel in funnels
        ]
        cells = "".join(("" if count is None else str(count)).rjust(9) for count in counts)
        step = steps[order]
        lines.append(f"{step.funnel_step:<4}  {step.kpi_name:<{name_width}}{cells}")
    return "\n".join(lines)
