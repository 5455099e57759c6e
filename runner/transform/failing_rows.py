"""Rows that fail a test: kept in `pipedrive_audit`, personal data masked, and shown as samples.

dbt can store them itself, but makes a table for every test, also for one that passes. Here a test
that passes costs nothing.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from psycopg2 import sql

from runner.console import Console
from runner.errors import FunnelError
from runner.masking import EMAIL, MASK, is_personal, mask_emails
from runner.transform.results import NodeResult
from runner.warehouse.engine import Engine

MOST_ROWS = 10_000
"""Rows of a test that are kept."""

SAMPLE_SIZE = 3


def keep_failing_rows(
    engine: Engine, schema: str, results: Sequence[NodeResult], console: Console
) -> tuple[NodeResult, ...]:
    """Write down the rows that fail a test, and remove those of tests that no longer do.

    A role that may not write them hears so, and gets its samples all the same.

    Args:
        engine: The warehouse.
        schema: The schema for failing rows, as on the target.
        results: What became of the tests; other results stay as they are.
        console: Where to tell.

    Returns:
        The results; those of failing tests have a sample, and the name of their table.
    """
    stored: set[str] = set()
    refusals: tuple[type[Exception], ...] = (FunnelError, *engine.errors)
    try:
        stored.update(_renew(engine, schema, results))
    except refusals as error:
        reason = mask_emails(str(error).partition("\n")[0])
        console.warn(f"failing rows are not stored in {schema}: {reason}")
    return tuple(
        _with_sample(engine, schema, result, is_stored=result.table in stored)
        if _has_rows(result)
        else result
        for result in results
    )


def _renew(engine: Engine, schema: str, results: Sequence[NodeResult]) -> Iterator[str]:
    """Yield the name of each table once it is written."""
    tested = [result.table for result in results if result.kind == "test" and result.was_run]
    if tested:
        engine.drop(schema, tested)
    failing = [result for result in results if _has_rows(result)]
    if failing:
        engine.create_schema(schema)
    for test in failing:
        table = sql.Identifier(schema, test.table)
        rows = _select_masked(engine, test.query)
        meaning = sql.Literal(f"{test.name} on {test.model}. {test.description}")
        with engine.transaction():
            create = sql.SQL("create table {} as {} limit {}")
            engine.query(create.format(table, rows, sql.Literal(MOST_ROWS)))
            engine.query(sql.SQL("comment on table {} is {}").format(table, meaning))
        yield test.table


def _has_rows(result: NodeResult) -> bool:
    return result.kind == "test" and result.status in ("fail", "warn") and bool(result.query)


def _with_sample(engine: Engine, schema: str, test: NodeResult, *, is_stored: bool) -> NodeResult:
    rows: list[dict[str, Any]] = []
    try:
        query: sql.Composable = (
            sql.SQL("select * from {}").format(sql.Identifier(schema, test.table))
            if is_stored
            else _select_masked(engine, test.query)
        )
        # As JSON, because Python knows no infinite date and no year 10000.
        to_json = sql.SQL("select {} from ({} limit {}) as failing")
        parts = (engine.as_json("failing"), query, sql.Literal(SAMPLE_SIZE))
        rows = [json.loads(row) for (row,) in engine.query(to_json.format(*parts))]
    except engine.errors:
        pass  # the test has said how many rows there are; which ones is more than it owes
    stored_in = f"{schema}.{test.table}" if is_stored else ""
    return replace(test, sample=tuple(rows), stored_in=stored_in)


def _select_masked(engine: Engine, query: str) -> sql.Composable:
    """Return a query for the rows of another, without personal data.

    Columns of one name, which a table cannot have, get numbers.
    """
    rows = sql.SQL("(\n") + sql.SQL(query) + sql.SQL("\n)")
    places, selected = [], []
    names: set[str] = set()
    for number, (name, is_harmless) in enumerate(engine.find_types(rows), 1):
        place = sql.Identifier(f"column_{number}")
        places.append(place)
        unique_name = f"{name}_{number}" if name in names else name
        names.add(unique_name)
        value: sql.Composable = place
        if is_personal(name):
            value = sql.SQL("case when {} is not null then {} end").format(place, sql.Literal(MASK))
        elif not is_harmless:
            value = engine.masked(place, EMAIL, MASK)
        selected.append(sql.SQL("{} as {}").format(value, sql.Identifier(unique_name)))
    return sql.SQL("select {} from {} as failing ({})").format(
        sql.SQL(", ").join(selected), rows, sql.SQL(", ").join(places)
    )
