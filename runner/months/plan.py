"""What a run has to process, and why: its window, and what is missing in the warehouse."""

import json
import shlex
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import psycopg2
from dateutil.relativedelta import relativedelta
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import FunnelError
from runner.months.late_rows import LateRows, Watermark, find_late_rows
from runner.months.ledger import (
    find_outdated_months,
    hash_definition,
    read_deals_known_through,
    read_watermark,
)
from runner.months.window import Window
from runner.project import ANALYTICS, META, Project
from runner.warehouse.connection import DAILY_TABLES, built_through, find_built_range, table_exists
from runner.warehouse.raw_contract import RAW_TABLES

LATE = "late rows"


@dataclass(frozen=True)
class Plan:
    """What a run will process.

    Args:
        window: The window, with the months that healing adds.
        reasons: Why each month is processed, by 'YYYY-MM', oldest first: window, requested, first
            build, gap, late rows.
        rows_to_read: The server's estimate of the raw events in these months, by raw table.
        late_rows: Rows loaded since the last run for months before the window, by 'YYYY-MM'.
        watermark: Up to when all rows are counted once this plan is carried out; None where it
            leaves something out.
        outdated_months: Months that stay as they were counted under another definition.
    """

    window: Window
    reasons: Mapping[str, tuple[str, ...]]
    rows_to_read: Mapping[str, int]
    late_rows: Mapping[str, LateRows]
    watermark: Watermark | None
    outdated_months: tuple[str, ...]

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
        if self.late_rows:
            count = sum(rows.count for rows in self.late_rows.values())
            rows = f"{count:,} late row{'s' if count > 1 else ''}"
            text += f"; {_name_months(list(self.late_rows))} because of {rows}"
        return text

    def warning(self) -> str:
        """Return what history no longer matches the funnel's definition, or nothing."""
        if not self.outdated_months:
            return ""
        return (
            f"seeds/funnel_steps.csv has changed since {_name_months(self.outdated_months)}, were "
            f"counted. Count them again: funnel rebuild --from {self.outdated_months[0]}-01"
        )

    def draw(self, target: str) -> str:
        """Return the plan as a table, the rows to read, and the command of plain dbt."""
        lines = []
        for month, reasons in self.reasons.items():
            late = self.late_rows.get(month)
            said = (late.describe() if late and name == LATE else name for name in reasons)
            lines.append(f"{month}  {', '.join(said)}")
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
                | ({"late_rows": asdict(self.late_rows[month])} if LATE in reasons else {})
                for month, reasons in self.reasons.items()
            ],
            "outdated_months": list(self.outdated_months),
            "rows_to_read": dict(self.rows_to_read),
            "dbt_vars": self.window.dbt_vars(),
        }


@dataclass(frozen=True)
class Findings:
    """What there is to heal outside of a window, and up to when that has been looked for.

    Args:
        gaps: Months that lack days, as 'YYYY-MM'.
        late_rows: Rows loaded since the last run that looked for them, by month.
        watermark: For the next look; None where this one has left something out.
    """

    gaps: tuple[str, ...] = ()
    late_rows: Mapping[str, LateRows] = field(default_factory=dict)
    watermark: Watermark | None = None


def find_what_to_heal(connection: Connection, project: Project, window: Window) -> Findings:
    """Return the months outside of a window, none after it, that lack days or got late rows.

    Raises:
        FunnelError: The warehouse cannot be read.
    """
    schema = project.schema(ANALYTICS)
    first_day, last_day = find_built_range(connection, schema)
    base = window.processed_months(first_build=first_day is None)
    late_rows, watermark = find_late_rows(
        connection,
        project,
        read_watermark(connection, project.schema(META)),
        (first_day or window.source_dt).replace(day=1),
    )
    gaps = find_gaps(connection, schema, window.source_dt)
    return Findings(
        tuple(month for month in gaps if month not in base),
        {
            month: rows
            for month, rows in late_rows.items()
            if month not in base and month <= f"{window.source_dt:%Y-%m}"
        },
        # Late rows of months after an old reference date are left to a later run.
        watermark if last_day is None or last_day.replace(day=1) <= window.source_dt else None,
    )


def make_plan(
    connection: Connection,
    project: Project,
    window: Window,
    found: Findings,
    *,
    requested: bool = False,
    deals_from: date | None = None,
) -> Plan:
    """Return what a run over a window has to process, given what is built. Writes nothing.

    Where the month of `source_dt` is built further, its later days are processed too: they depend
    on the earlier ones. Months that a person chose are history: processing them does not set the
    marts back to that time.

    Args:
        connection: A connection to the warehouse.
        project: Names the schemas and the raw tables.
        window: The window before healing.
        found: What to heal beside it.
        requested: Whether a person chose these months.
        deals_from: First day of what earlier windows processed without computing deals.

    Raises:
        FunnelError: The warehouse cannot be read.
    """
    schema = project.schema(ANALYTICS)
    first_build = not any(table_exists(connection, schema, table) for table in DAILY_TABLES)
    base = window.processed_months(first_build=first_build)
    built = built_through(connection, schema, window.source_dt)
    healed = {*found.gaps, *found.late_rows}
    _, last_day = find_built_range(connection, schema) if requested else (None, None)
    as_of = max(last_day or window.source_dt, window.source_dt)
    known_through = read_deals_known_through(connection, project.schema(META))
    if deals_from and deals_from < window.first_day():
        known_through = min(known_through or as_of, deals_from - timedelta(days=1))
    window = replace(
        window,
        process_through=built if built and built > window.source_dt else None,
        reprocess_months=tuple(sorted({*window.reprocess_months, *healed})),
        as_of=as_of if as_of > window.source_dt else None,
        deals_known_through=find_unknown(window, as_of, known_through),
    )
    in_base = "requested" if requested else "first build" if first_build else "window"
    reasons: dict[str, tuple[str, ...]] = {month: (in_base,) for month in base}
    for month in healed:
        named = {"gap": found.gaps, LATE: found.late_rows}
        reasons[month] = tuple(name for name, months in named.items() if month in months)
    definition = hash_definition(project.root)
    outdated = find_outdated_months(connection, project.schema(META), definition)
    return Plan(
        window,
        dict(sorted(reasons.items())),
        _estimate_rows(connection, project, window, tuple(sorted(reasons))),
        found.late_rows,
        found.watermark,
        tuple(month for month in outdated if month not in reasons),
    )


def find_unknown(window: Window, as_of: date, known_through: date | None) -> date | None:
    """Return the day after which the marts have to learn events that the window does not hold."""
    if known_through is None or known_through >= as_of:
        return None
    is_in_window = (
        window.first_day() <= known_through + timedelta(days=1) and as_of == window.source_dt
    )
    return None if is_in_window else known_through


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
        "select cast(date_trunc('month', cast(date as timestamp)) as date), count(*)"
        " from (select date from {} group by date) as days group by 1"
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
    if len(months) == 1:
        return f"{count}, {months[0]}"
    first, last = (date.fromisoformat(f"{month}-01") for month in (months[0], months[-1]))
    span = (last.year - first.year) * 12 + last.month - first.month + 1
    ends = "{} to {}" if span == len(months) else "between {} and {}"
    return f"{count}, {ends.format(months[0], months[-1])}"
