"""The ledger of runs: `pipedrive_meta.runs`, one row per dbt run, which dbt's own hooks write.

The macros record_run_start and record_run_end write a row's beginning and end, so that plain dbt
runs are in it too. The runner adds what only it knows: how a run ended that could not say so
itself, and up to when a run has looked for late rows.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from psycopg2.extras import Json, RealDictCursor

from runner.months.late_rows import Watermark
from runner.warehouse.connection import table_exists

RUNS = "runs"

_OURS = sql.SQL("starts_with(command, 'funnel ')")
"""Runs that held the lock; a run of plain dbt may still be running while we hold it."""


@dataclass(frozen=True)
class RecordedRun:
    """One row of the ledger.

    Args:
        run_id: dbt's invocation_id.
        command: What was typed: 'funnel run', 'dbt build'.
        version: The version of what ran.
        source_dt: The reference date.
        months: The months it processed, as 'YYYY-MM'.
        started_at: When it began.
        finished_at: When it ended, if it did.
        outcome: running, success, failed, interrupted or crashed.
        is_complete: Whether both daily tables were built.
        models: Number of models built.
        tests: Number of tests run.
        rows_written: Rows that the models wrote.
    """

    run_id: str
    command: str
    version: str
    source_dt: date
    months: list[str]
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    is_complete: bool
    models: int | None
    tests: int | None
    rows_written: int | None


def hash_definition(root: Path) -> str:
    """Return the hash of `seeds/funnel_steps.csv` as dbt and so the ledger has it."""
    text = (root / "seeds" / "funnel_steps.csv").read_text(encoding="utf-8")
    return hashlib.sha256(text.strip().encode()).hexdigest()


def close_open_runs(
    connection: Connection, schema: str, outcome: Literal["interrupted", "crashed"]
) -> None:
    """Write down how runs ended that did not live to do so; for the holder of the lock."""
    if table_exists(connection, schema, RUNS):
        query = "update {} set outcome = %s, finished_at = {} where outcome = 'running' and {}"
        # Nobody saw when an earlier run crashed.
        end = sql.SQL("clock_timestamp()" if outcome == "interrupted" else "null")
        with connection.cursor() as cursor:
            cursor.execute(_about_runs(query, schema, end, _OURS), (outcome,))


def read_watermark(connection: Connection, schema: str) -> Watermark | None:
    """Return up to when all loaded rows are in the daily tables, if any run has said so.

    Before the first such run it is the moment at which the first run of all began.
    """
    query = """
        select seen_until, recent_rows from (
            select seen_until, recent_rows from {} where seen_until is not null
            union all
            select min(started_at), null from {} where months <> '{{}}'
        ) as watermarks
        where seen_until is not null
        order by recent_rows is null, seen_until desc
        limit 1
    """
    table = sql.Identifier(schema, RUNS)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(query).format(table, table))
        row = cursor.fetchone()
    return Watermark(row[0], row[1]) if row else None


def read_deals_known_through(connection: Connection, schema: str) -> date | None:
    """Return the day through which the tables of deals surely know all events, if any.

    A run that did not come to its end may have set some of them back; one of plain dbt was not
    told what they knew before.
    """
    # Through JSON, because a ledger of an earlier version lacks the two columns.
    query = """
        with
        builds as (
            select
                started_at,
                cast(to_jsonb(runs) ->> 'as_of' as date) as as_of,
                cast(to_jsonb(runs) ->> 'has_insight' as boolean) and {ours} as is_complete
            from {runs} as runs
        )
        select min(as_of) from builds
        where started_at >= coalesce(
            (select max(started_at) from builds where is_complete), '-infinity'
        )
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(query).format(runs=sql.Identifier(schema, RUNS), ours=_OURS))
        row: tuple[date | None] | None = cursor.fetchone()
    return row[0] if row else None


def record_watermark(connection: Connection, schema: str, watermark: Watermark) -> None:
    """Add to the run that just ended up to when it has looked; for the holder of the lock."""
    query = """
        update {} set seen_until = %s, recent_rows = %s
        where is_complete and run_id = (
            select run_id from {} where {} order by started_at desc limit 1
        )
    """
    table = sql.Identifier(schema, RUNS)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(query).format(table, table, _OURS),
            (watermark.seen_until, Json(watermark.recent_rows)),
        )


def read_definitions(connection: Connection, schema: str) -> dict[str, set[str]]:
    """Return the hashes of the definitions under which each month ('YYYY-MM') was counted.

    A run that failed may have counted a month in one of the two daily tables.
    """
    query = """
        select months, definition, is_complete from {}
        group by months, definition, is_complete order by max(started_at)
    """
    hashes: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_about_runs(query, schema))
        for months, definition, is_complete in cursor.fetchall():
            for month in months:
                before = set() if is_complete else hashes.get(month, set())
                hashes[month] = before | {definition}
    return hashes


def read_last_run(connection: Connection, schema: str, *, good: bool = False) -> RecordedRun | None:
    """Return the run that began last, if any, of those that build daily tables.

    Args:
        connection: A connection to the warehouse.
        schema: The schema of the ledger, as on the target.
        good: Whether only runs count that succeeded and built both daily tables.
    """
    if not table_exists(connection, schema, RUNS):
        return None
    fields: dict[str, Any] = RecordedRun.__dataclass_fields__
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in fields)
    query = """
        select {columns} from {table}
        where months <> '{{}}' and (not %s or (outcome = 'success' and is_complete))
        order by started_at desc limit 1
    """
    table = sql.Identifier(schema, RUNS)
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql.SQL(query).format(columns=columns, table=table), (good,))
        row = cursor.fetchone()
    return RecordedRun(**row) if row else None


def _about_runs(query: str, schema: str, *parts: sql.Composable) -> sql.Composed:
    return sql.SQL(query).format(sql.Identifier(schema, RUNS), *parts)
