"""Rows that fail a test: kept in `pipedrive_audit`, personal data masked, and shown as samples.

dbt can store them itself, but makes a table for every test, also for one that passes. Here a test
that passes costs nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.console import Console
from runner.errors import FunnelError
from runner.masking import EMAIL, MASK, is_personal, mask_emails
from runner.transform.results import NodeResult
from runner.warehouse.connection import create_schema

MOST_ROWS = 10_000
"""Rows of a test that are kept."""

SAMPLE_SIZE = 3

_HARMLESS_TYPES = frozenset(
    (16, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950)
)
"""Booleans, numbers, dates, times and UUIDs. Anything else may hold an e-mail address."""


def keep_failing_rows(
    connection: Connection, schema: str, results: Sequence[NodeResult], console: Console
) -> tuple[NodeResult, ...]:
    """Write down the rows that fail a test, and remove those of tests that no longer do.

    A role that may not write them hears so, and gets its samples all the same.

    Args:
        connection: A connection in autocommit mode.
        schema: The schema for failing rows, as on the target.
        results: What became of the tests; other results stay as they are.
        console: Where to tell.

    Returns:
        The results; those of failing tests have a sample, and the name of their table.
    """
    stored: set[str] = set()
    try:
        stored.update(_renew(connection, schema, results))
    except (FunnelError, psycopg2.Error) as error:
        reason = mask_emails(str(error).partition("\n")[0])
        console.warn(f"failing rows are not stored in {schema}: {reason}")
    return tuple(
        _with_sample(connection, schema, result, is_stored=result.table in stored)
        if _has_rows(result)
        else result
        for result in results
    )


def _renew(connection: Connection, schema: str, results: Sequence[NodeResult]) -> Iterator[str]:
    """Yield the name of each table once it is written."""
    tested = [result.table for result in results if result.kind == "test" and result.was_run]
    if tested:
        _drop_tables(connection, schema, tested)
    failing = [result for result in results if _has_rows(result)]
    if failing:
        create_schema(connection, schema)
    for test in failing:
        table = sql.Identifier(schema, test.table)
        statement = sql.SQL("create table {} as {} limit {}; comment on table {} is {}").format(
            table,
            _select_masked(connection, test.query),
            sql.Literal(MOST_ROWS),
            table,
            sql.Literal(f"{test.name} on {test.model}. {test.description}"),
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
        yield test.table


def _has_rows(result: NodeResult) -> bool:
    return result.kind == "test" and result.status in ("fail", "warn") and bool(result.query)


def _drop_tables(connection: Connection, schema: str, tables: Sequence[str]) -> None:
    query = """
        select relname, case relkind when 'v' then 'view' else 'table' end
        from pg_catalog.pg_class
        inner join pg_catalog.pg_namespace as namespace on relnamespace = namespace.oid
        where nspname = %s and relname = any(%s) and relkind in ('r', 'v')
    """
    with connection.cursor() as cursor:
        cursor.execute(query, (schema, list(tables)))
        for name, kind in cursor.fetchall():
            drop = sql.SQL("drop {} if exists {}")
            cursor.execute(drop.format(sql.SQL(kind), sql.Identifier(schema, name)))


def _with_sample(
    connection: Connection, schema: str, test: NodeResult, *, is_stored: bool
) -> NodeResult:
    rows: list[dict[str, Any]] = []
    try:
        query: sql.Composable = (
            sql.SQL("select * from {}").format(sql.Identifier(schema, test.table))
            if is_stored
            else _select_masked(connection, test.query)
        )
        # As JSON, because Python knows no infinite date and no year 10000.
        to_json = sql.SQL("select to_json(failing) from ({} limit {}) as failing")
        with connection.cursor() as cursor:
            cursor.execute(to_json.format(query, sql.Literal(SAMPLE_SIZE)))
            rows = [row for (row,) in cursor.fetchall()]
    except psycopg2.Error:
        pass  # the test has said how many rows there are; which ones is more than it owes
    stored_in = f"{schema}.{test.table}" if is_stored else ""
    return replace(test, sample=tuple(rows), stored_in=stored_in)


def _select_masked(connection: Connection, query: str) -> sql.Composable:
    """Return a query for the rows of another, without personal data.

    Columns of one name, which a table cannot have, get numbers.
    """
    rows = sql.SQL("(\n") + sql.SQL(query) + sql.SQL("\n)")
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("select * from {} as failing limit 0").format(rows))
        columns = [(column.name, column.type_code) for column in cursor.description or ()]
    places, selected = [], []
    names: set[str] = set()
    for number, (name, column_type) in enumerate(columns, 1):
        place = sql.Identifier(f"column_{number}")
        places.append(place)
        unique_name = f"{name}_{number}" if name in names else name
        names.add(unique_name)
        value: sql.Composable = place
        if is_personal(name):
            value = sql.SQL("case when {} is not null then {} end").format(place, sql.Literal(MASK))
        elif column_type not in _HARMLESS_TYPES:
            value = sql.SQL("regexp_replace(cast({} as text), {}, {}, 'g')").format(
                place, sql.Literal(EMAIL), sql.Literal(MASK)
            )
        selected.append(sql.SQL("{} as {}").format(value, sql.Identifier(unique_name)))
    return sql.SQL("select {} from {} as failing ({})").format(
        sql.SQL(", ").join(selected), rows, sql.SQL(", ").join(places)
    )
