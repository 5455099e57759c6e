"""What a run has to process, and why: its window, and what is missing in the warehouse."""

import json
import shlex
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import psycopg2
from dateutil.relativedelta import relativedelta
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import FunnelError
from runner.project import ANALYTICS, Project
from runner.raw_contract import RAW_TABLES
from runner.warehouse import DAILY_TABLES, built_through, table_exists
from runner.window import Window


@dataclass(frozen=True)
class Plan:
    """What a run will process.

    Args:
        window: The window, with the months that healing adds.
        reasons: Why each month is processed, by 'YYYY-MM', oldest first: window, first build, gap.
        rows_to_read: The server's estimate of the raw events in these months, by raw table.
    """

    window: Window
    reasons: Mapping[str, tuple[str, ...]]
    rows_to_read: Mapping[str, int]

    @property
    def months(self) -> tuple[str, ...]:
        """The months processed, as 'YYYY-MM', oldest first."""
        return tuple(self.reasons)

    def describe(self) -> str:
        """Return the plan in a line."""
        text = f"Reference date {self.window.source_dt}: {_name_months(self.months)}"
        if self.window.process_through:
            text += f", through {self.window.process_through}, the last day built"
        gaps = [month for month, reasons in self.reasons.items() if "gap" in reasons]
        if gaps:
            text += f"; {_name_months(gaps)} because days are missing"
        return text

    def draw(self, target: str) -> str:
        """Return the plan as a table, the rows to read, and the command of plain dbt."""
        lines = [f"{month}  {', '.join(reasons)}" for month, reasons in self.reasons.items()]
        rows = [f"about {count:,} rows of {table}" for table, count in self.rows_to_read.items()]
        dbt_vars = json.dumps(self.window.dbt_vars())
        command = f"dbt build --target {target} --vars {shlex.quote(dbt_vars)}"
        return "\n".join([*lines, "", f"Reads {' and '.join(rows)}", command])

    def document(self) -> dict[str, Any]:
        """Return the plan as `--json` prints it."""
        return {
            "source_dt": self.window.source_dt,
            "last_day": self.window.last_day,
            "months": [
                {"month": month, "reasons": list(reasons)}
                for month, reasons in self.reasons.items()
            ],
            "rows_to_read": dict(self.rows_to_read),
            "dbt_vars": self.window.dbt_vars(),
        }


def make_plan(
    connection: Connection, project: Project, window: Window, *, heal: bool = True
) -> Plan:
    """Return what a run over a window has to process, given what is built. Writes nothing.

    Healing adds the months before that of `source_dt` that lack days. Where the month of
    `source_dt` is built further, its later days are processed too: they depend on the earlier ones.

    Raises:
        FunnelError: The warehouse cannot be read.
    """
    schema = project.schema(ANALYTICS)
    first_build = not any(table_exists(connection, schema, table) for table in DAILY_TABLES)
    base = window.processed_months(first_build=first_build)
    missing = find_gaps(connection, schema, window.source_dt) if heal else ()
    gaps = tuple(month for month in missing if month not in base)
    built = built_through(connection, schema, window.source_dt)
    window = replace(
        window,
        process_through=built if built and built > window.source_dt else None,
        reprocess_months=gaps,
    )
    in_base = ("first build",) if first_build else ("window",)
    reasons = {month: in_base if month in base else ("gap",) for month in sorted((*base, *gaps))}
    return Plan(window, reasons, _estimate_rows(connection, project, window, tuple(reasons)))


def find_gaps(connection: Connection, schema: str, source_dt: date) -> tuple[str, ...]:
    """Return the months before that of `source_dt`, as 'YYYY-MM', that lack days.

    A month lacks days where the job was down, or where only one of the daily tables was built.
    Months before the first one built are not missing: history begins there.

    Raises:
        FunnelError: The daily tables cannot be read.
    """
    built = [
        _count_days(connection, schema, table)
        for table in DAILY_TABLES
        if table_exists(connection, schema, table)
    ]
    gaps = []
    month = min((month for days in built for month in days), default=source_dt)
    while month < source_dt.replace(day=1):
        due = monthrange(month.year, month.month)[1]
        if len(built) < len(DAILY_TABLES) or any(days.get(month, 0) < due for days in built):
            gaps.append(f"{month:%Y-%m}")
        month += relativedelta(months=1)
    return tuple(gaps)


def _count_days(connection: Connection, schema: str, table: str) -> dict[date, int]:
    query = sql.SQL(
        "select cast(date_trunc('month', date) as date), count(distinct date) from {} group by 1"
    ).format(sql.Identifier(schema, table))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return dict(cursor.fetchall())
    except psycopg2.Error as error:
        raise FunnelError(
            f"cannot read {schema}.{table}: {error.diag.message_primary}",
            hint="`funnel doctor` looks for what is missing.",
        ) from error


def _estimate_rows(
    connection: Connection, project: Project, window: Window, months: tuple[str, ...]
) -> dict[str, int]:
    """Ask the server's planner, which reads no row, how many raw events the months hold."""
    begins = [date.fromisoformat(f"{month}-01") for month in months]
    ends = [
        min(begin + relativedelta(months=1), window.last_day + timedelta(days=1))
        for begin in begins
    ]
    rows = {}
    for table in RAW_TABLES:
        if table.event_time is None:
            continue
        column = sql.Identifier(table.event_time)
        in_months = sql.SQL(" or ").join(
            sql.SQL("({} >= {} and {} < {})").format(
                column, sql.Literal(begin), column, sql.Literal(end)
            )
            for begin, end in zip(begins, ends, strict=True)
        )
        query = sql.SQL("explain (format json) select from {} where {}").format(
            sql.Identifier(project.raw_schema, table.name), in_months
        )
        with connection.cursor() as cursor:
            cursor.execute(query)
            (plans,) = cursor.fetchone() or ("[]",)
            parsed = json.loads(plans) if isinstance(plans, str) else plans
            rows[table.name] = int(parsed[0]["Plan"]["Plan Rows"])
    return rows


def _name_months(months: tuple[str, ...] | list[str]) -> str:
    count = f"{len(months)} month{'s' if len(months) > 1 else ''}"
    return f"{count}, {months[0]}" if len(months) == 1 else f"{count}, {months[0]} to {months[-1]}"
