"""Why a run is slow on somebody's database: plans, indexes, statistics and settings.

No model is executed: the server is asked how it would read the window, and what it knows.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from psycopg2 import sql

from runner.doctor.setup import Finding, has_leading_index
from runner.errors import FunnelError
from runner.months.state import read_state
from runner.months.window import Window, today_in
from runner.project import Project
from runner.warehouse.connection import open_postgres
from runner.warehouse.explain import lies_in
from runner.warehouse.on_postgres import PostgresEngine
from runner.warehouse.raw_contract import RAW_TABLES, RawTable

BYTES_PER_DEAL = 150
"""What the group of a deal and KPI takes in memory while a month is counted."""

_INDEX_NODES = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")


def examine_performance(project: Project) -> Iterator[Finding]:
    """Yield findings about how fast the project's target answers the queries of a run.

    The window is that of a run as of the last day built, or of today where nothing is.
    """
    try:
        with open_postgres(project) as connection:
            engine = PostgresEngine(connection)
            state = read_state(engine, project)
            window = Window(
                state.last_day or today_in(str(project.var("timezone"))),
                backfill_period=int(project.var("backfill_period")),
            )
            rows_a_month = 0
            for table in RAW_TABLES:
                if table.event_time:
                    if state.estimated_rows[table.name] < 0:
                        yield _advise_analysis(f"{project.raw_schema}.{table.name}")
                    found, rows = _examine_table(engine, project, table, window)
                    yield from found
                    rows_a_month = max(rows_a_month, rows // len(window.processed_months()))
            yield _examine_memory(engine, int(project.var("work_mem")), rows_a_month)
            yield _examine_compilation(engine)
    except FunnelError as error:
        yield Finding("connection", "fail", error.message, error.hint)


def _examine_table(
    engine: PostgresEngine, project: Project, table: RawTable, window: Window
) -> tuple[list[Finding], int]:
    """Return what there is to say about a table, and how many rows the window is thought to hold.

    A run filters on the time of the event and, for late rows, on the time of loading.
    """
    name = f"{project.raw_schema}.{table.name}"
    findings = []
    plans = []
    end = window.last_day + timedelta(days=1)
    for column in table.indexed_columns(project.loaded_at_field):
        if column == "deal_id":
            reading = "a deal"
            condition: sql.Composable = sql.SQL("{} = 0").format(sql.Identifier(column))
        elif column == table.event_time:
            reading = "the window"
            condition = lies_in(column, [(window.first_day(), end)])
        else:
            reading = "what was loaded in a day"
            condition = lies_in(column, [(window.last_day, end)])
        plan = engine.explain(project.raw_schema, table.name, condition)
        plans.append(plan)
        detail = f"reads {reading} through {_describe(plan)}"
        if has_leading_index(engine, project.raw_schema, table.name, column):
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


def _advise_analysis(table: str) -> Finding:
    return Finding(
        f"statistics of {table}",
        "warn",
        "never gathered, so the server guesses how many rows a window holds",
        f"analyze {table};",
    )


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


def _examine_memory(engine: PostgresEngine, megabytes: int, rows_a_month: int) -> Finding:
    [(server, multiplier)] = engine.query(
        "select pg_size_bytes(current_setting('work_mem')) / 1048576,"
        " cast(current_setting('hash_mem_multiplier') as float)"
    )
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


def _examine_compilation(engine: PostgresEngine) -> Finding:
    [(jit, role)] = engine.query("select current_setting('jit'), current_user")
    if jit == "on":
        return Finding(
            "jit",
            "warn",
            "on, except in the daily models: tests and reports take longer to compile than to run",
            f'alter role "{role}" set jit = off;',
        )
    return Finding("jit", "ok", "off")
