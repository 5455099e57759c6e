"""Why a run is slow on somebody's database: plans, indexes, statistics and settings.

Nothing is executed: the server is asked how it would read the window, and what it knows.
"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.doctor.setup import Finding, has_leading_index
from runner.errors import FunnelError
from runner.months.window import Window, today_in
from runner.project import ANALYTICS, Project
from runner.warehouse.connection import find_built_range, open_warehouse
from runner.warehouse.raw_contract import RAW_TABLES, RawTable, check_raw_tables

BYTES_PER_DEAL = 150
"""What the group of a deal and KPI takes in memory while a month is counted."""

_INDEX_NODES = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")


def examine_performance(project: Project) -> Iterator[Finding]:
    """Yield findings about how fast the project's target answers the queries of a run.

    The window is that of a run as of the last day built, or of today where nothing is.
    """
    try:
        with open_warehouse(project) as connection:
            check_raw_tables(connection, project)
            _, last_day = find_built_range(connection, project.schema(ANALYTICS))
            window = Window(
                last_day or today_in(str(project.var("timezone"))),
                backfill_period=int(project.var("backfill_period")),
            )
            rows_a_month = 0
            for table in RAW_TABLES:
                if table.event_time:
                    found, rows = _examine_table(connection, project, table, window)
                    yield from found
                    rows_a_month = max(rows_a_month, rows // len(window.processed_months()))
            yield _examine_memory(connection, int(project.var("work_mem")), rows_a_month)
            yield _examine_compilation(connection)
    except FunnelError as error:
        yield Finding("connection", "fail", error.message, error.hint)


def _examine_table(
    connection: Connection, project: Project, table: RawTable, window: Window
) -> tuple[list[Finding], int]:
    """Return what there is to say about a table, and how many rows the window is thought to hold.

    A run filters on the time of the event and, for late rows, on the time of loading.
    """
    name = f"{project.raw_schema}.{table.name}"
    findings = []
    if not _is_analyzed(connection, project.raw_schema, table.name):
        findings.append(
            Finding(
                f"statistics of {name}",
                "warn",
                "never gathered, so the server guesses how many rows a window holds",
                f"analyze {name};",
            )
        )
    plans = []
    for column in table.indexed_columns(project.loaded_at_field):
        if column == "deal_id":
            reading = "a deal"
            condition: sql.Composable = sql.SQL("{} = 0").format(sql.Identifier(column))
        elif column == table.event_time:
            reading = "the window"
            condition = _between(column, window.first_day(), window.last_day)
        else:
            reading = "what was loaded in a day"
            condition = _between(column, window.last_day, window.last_day)
        plan = _explain(connection, project, table, condition)
        plans.append(plan)
        detail = f"reads {reading} through {_describe(plan)}"
        if has_leading_index(connection, project.raw_schema, table.name, column):
            findings.append(Finding(f"index on {name} ({column})", "ok", detail))
        else:
            findings.append(
                Finding(
                    f"index on {name} ({column})",
                    "warn",
                    f"missing, so a run {detail}",
                    f"create index concurrently on {name} ({column});",
                )
            )
    return findings, int(plans[0]["Plan Rows"])


def _between(column: str, begin: date, last_day: date) -> sql.Composable:
    """Return the condition that a time lies on one day through another."""
    return sql.SQL("{column} >= {begin} and {column} < {end}").format(
        column=sql.Identifier(column),
        begin=sql.Literal(str(begin)),
        end=sql.Literal(str(last_day + timedelta(days=1))),
    )


def _explain(
    connection: Connection, project: Project, table: RawTable, condition: sql.Composable
) -> dict[str, Any]:
    """Return the server's plan for the rows of a table that meet a condition."""
    query = sql.SQL("explain (format json) select from {} where {}").format(
        sql.Identifier(project.raw_schema, table.name), condition
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        (plans,) = cursor.fetchone() or ("[]",)
    parsed = json.loads(plans) if isinstance(plans, str) else plans
    plan: dict[str, Any] = parsed[0]["Plan"]
    return plan


def _describe(plan: dict[str, Any]) -> str:
    """Say in some words how a plan reads a table."""
    rows = f"about {plan['Plan Rows']:,} rows"
    for node in _nodes(plan):
        if node["Node Type"] in _INDEX_NODES:
            return f"{node['Index Name']}, {rows}"
    return f"the whole table, for {rows}"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _is_analyzed(connection: Connection, schema: str, table: str) -> bool:
    """Return whether the server has ever counted a table; of a view it cannot."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select reltuples >= 0 or relkind not in ('r', 'p', 'm') from pg_catalog.pg_class"
            " where oid = to_regclass(%s)",
            (sql.Identifier(schema, table).as_string(connection),),
        )
        return cursor.fetchone() == (True,)


def _examine_memory(connection: Connection, megabytes: int, rows_a_month: int) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_size_bytes(current_setting('work_mem')) / 1048576,"
            " cast(current_setting('hash_mem_multiplier') as float)"
        )
        server, multiplier = cursor.fetchone() or (0, 1.0)
    whose = "var work_mem" if megabytes else "the server's work_mem"
    given = megabytes or server
    needed = rows_a_month * BYTES_PER_DEAL // 2**20 + 1
    detail = f"{given} MB a step of the daily models ({whose}); a month takes about {needed} MB"
    if needed > given * multiplier:
        enough = int(needed / multiplier) + 1
        return Finding(
            "work_mem",
            "warn",
            f"{detail}, so it is grouped on disk",
            f"Set the var work_mem to {enough} in dbt_project.yml if the server has that memory.",
        )
    return Finding("work_mem", "ok", detail)


def _examine_compilation(connection: Connection) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('jit'), current_user")
        jit, role = cursor.fetchone() or ("off", "")
    if jit == "on":
        return Finding(
            "jit",
            "warn",
            "on, but in the daily models: tests and reports are compiled longer than they run",
            f'alter role "{role}" set jit = off;',
        )
    return Finding("jit", "ok", "off")
