"""About how many raw events a run would read: by statistics, without reading any."""

from collections.abc import Iterable
from datetime import date

from psycopg2 import sql

from runner.project import Project
from runner.warehouse.engine import Engine
from runner.warehouse.raw_contract import EVENT_TIMES


def lies_in(column: str, ranges: Iterable[tuple[date, date]]) -> sql.Composable:
    """Return the condition that a time lies in one of some half-open ranges of days."""
    return sql.SQL(" or ").join(
        sql.SQL("({column} >= {begin} and {column} < {end})").format(
            column=sql.Identifier(column), begin=sql.Literal(str(begin)), end=sql.Literal(str(end))
        )
        for begin, end in ranges
    )


def estimate_rows(
    engine: Engine, project: Project, ranges: Iterable[tuple[date, date]]
) -> dict[str, int]:
    """Return about how many events lie in half-open ranges of days, by raw table.

    Empty where the engine cannot tell.
    """
    days = list(ranges)
    rows = {
        table: engine.estimate_rows(project.raw_schema, table, lies_in(column, days))
        for table, column in EVENT_TIMES.items()
    }
    return {table: count for table, count in rows.items() if count is not None}
