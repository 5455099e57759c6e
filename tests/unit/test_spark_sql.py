"""How a statement is written for Spark; what it does there: tests/stress/test_spark.py."""

from datetime import date, datetime, timezone

import pytest
from psycopg2 import sql

from runner.warehouse.on_spark import render, write_literal


def test_a_statement_is_quoted_as_spark_quotes() -> None:
    statement = sql.SQL("select {}, '100%' from {} where {} = {}").format(
        sql.Identifier("a`b"), sql.Identifier("raw", "users"), sql.Identifier("id"), sql.Literal(7)
    )
    assert render(statement) == "select `a``b`, '100%' from `raw`.`users` where `id` = 7"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (date(2024, 5, 1), "date '2024-05-01'"),
        (
            datetime(2024, 5, 1, 9, 30, tzinfo=timezone.utc),
            "timestamp '2024-05-01 09:30:00+00:00'",
        ),
        ("it's", "'it\\'s'"),
        ("a\\'b", "'a\\\\\\'b'"),
    ],
)
def test_a_value_is_written_as_spark_reads_it(value: object, written: str) -> None:
    assert write_literal(value) == written
