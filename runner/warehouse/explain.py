"""How the server would read raw events: asked of its planner, which reads no row."""

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.project import Project
from runner.warehouse.raw_contract import EVENT_TIMES


def explain(
    connection: Connection, project: Project, table: str, condition: sql.Composable
) -> dict[str, Any]:
    """Return the server's plan for the rows of a raw table that meet a condition."""
    query = sql.SQL("explain (format json) select from {} where {}").format(
        sql.Identifier(project.raw_schema, table), condition
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        (plans,) = cursor.fetchone() or ("[]",)
    parsed = json.loads(plans) if isinstance(plans, str) else plans
    plan: dict[str, Any] = parsed[0]["Plan"]
    return plan


def lies_in(column: str, ranges: Iterable[tuple[date, date]]) -> sql.Composable:
    """Return the condition that a time lies in one of some half-open ranges of days."""
    return sql.SQL(" or ").join(
        sql.SQL("({column} >= {begin} and {column} < {end})").format(
            column=sql.Identifier(column), begin=sql.Literal(str(begin)), end=sql.Literal(str(end))
        )
        for begin, end in ranges
    )


def estimate_rows(
    connection: Connection, project: Project, ranges: Iterable[tuple[date, date]]
) -> dict[str, int]:
    """Return about how many events lie in half-open ranges of days, by raw table."""
    days = list(ranges)
    return {
        table: int(explain(connection, project, table, lies_in(column, days))["Plan Rows"])
        for table, column in EVENT_TIMES.items()
    }
