"""A Spark in this process and a folder of its own: raw tables in, rows out as in Postgres."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from homes import ROOT, Funnel
from oracle import Raw

from runner.project import Project
from runner.warehouse.opening import open_warehouse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RAW_TABLES: Mapping[str, dict[str, str]] = {
    "activity": {
        "activity_id": "bigint",
        "type": "string",
        "assigned_to_user": "bigint",
        "deal_id": "bigint",
        "done": "boolean",
        "due_to": "timestamp",
    },
    "activity_types": {"id": "bigint", "name": "string", "active": "boolean", "type": "string"},
    "deal_changes": {
        "deal_id": "bigint",
        "change_time": "timestamp",
        "changed_field_key": "string",
        "new_value": "string",
    },
    "fields": {
        "id": "bigint",
        "field_key": "string",
        "name": "string",
        "field_value_options": "string",
    },
    "stages": {"stage_id": "bigint", "stage_name": "string", "pipeline_id": "bigint"},
    "pipelines": {"pipeline_id": "bigint", "name": "string"},
    "users": {"id": "bigint", "name": "string", "email": "string", "modified": "timestamp"},
}


SMALL = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
"""For small data: few partitions, nothing compiled."""


class Lake:
    """The project on Spark."""

    def __init__(self, session: "SparkSession", home: Path) -> None:
        self.session = session
        self.home = home

    def project(self, **overrides: Any) -> Project:  # noqa: ANN401 - dbt vars
        return Project(ROOT, self.home, "spark", overrides)

    def clear(self) -> None:
        """Drop all there is."""
        for row in self.session.sql("show schemas like 'pipedrive_*'").collect():
            self.session.sql(f"drop schema {row.namespace} cascade")

    def stored(self, schema: str, view: str) -> list[str]:
        """Return the tables in which the rows of a view are, or were until the last run."""
        tables = self.session.sql(f"show tables in {schema} like '{view}__*'").collect()
        return [f"{schema}.{row.tableName}" for row in tables]

    def load(self, raw: Raw) -> None:
        """Make the raw tables hold exactly these rows."""
        rows: dict[str, Sequence[Any]] = {
            "activity": raw.activities,
            "activity_types": raw.activity_types,
            "deal_changes": raw.deal_changes,
            "fields": raw.fields,
            "stages": raw.stages,
            "pipelines": raw.pipelines,
        }
        self.session.sql("create schema if not exists pipedrive_raw")
        for table, columns in RAW_TABLES.items():
            self._write(f"pipedrive_raw.{table}", columns, rows.get(table, ()))

    def _write(self, table: str, columns: dict[str, str], rows: Sequence[Any]) -> None:
        texts = [tuple(_as_text(getattr(row, column, None)) for column in columns) for row in rows]
        schema = ", ".join(f"{column} string" for column in columns)
        self.session.createDataFrame(texts, schema).createOrReplaceTempView("texts")
        cells = [f"cast({column} as {kind}) as {column}" for column, kind in columns.items()]
        cells.append("current_timestamp() as _loaded_at")
        self.session.sql(f"drop table if exists {table}")
        query = f"select {', '.join(cells)} from texts"
        self.session.sql(f"create table {table} using parquet as {query}")

    def rows(self, table: str, columns: Sequence[str]) -> Counter[tuple[Any, ...]]:
        """Return the rows of a table, as `comparable` makes those of Postgres."""
        frame = self.session.sql(f"select {', '.join(columns)} from {table}")
        kinds = dict(frame.dtypes)
        cells = [
            f"date_format({column}, 'yyyy-MM-dd HH:mm:ss.SSSSSS') as {column}"
            if kinds[column].startswith("timestamp")
            else column
            for column in columns
        ]
        found = self.session.sql(f"select {', '.join(cells)} from {table}").collect()
        return Counter(comparable(tuple(row)) for row in found)


def _as_text(value: Any) -> str | None:  # noqa: ANN401 - whatever a raw table holds
    return value if value is None or isinstance(value, str) else str(value)


def comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row in which equal values of two databases are equal."""
    return tuple(_comparable(value) for value in row)


def _comparable(value: Any) -> Any:  # noqa: ANN401 - any value of a database
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"
    if isinstance(value, (Decimal, float)):
        return Decimal(str(value)).normalize()
    return str(value) if isinstance(value, date) else value


def compare_counts(spark: Funnel, postgres: Funnel, tables: Mapping[str, str]) -> None:
    """Expect the same rows in a home on Spark and in one on Postgres; tables name their columns."""
    with (
        patch.dict(os.environ, spark.full_environment(), clear=True),
        open_warehouse(Project(ROOT, spark.home, spark.environment["FUNNEL_TARGET"])) as engine,
    ):
        for table, columns in tables.items():
            schema = "pipedrive_reporting" if table == "monthly_stats" else "pipedrive_analytics"
            query = f"select {columns} from {schema}.{table}"
            found, expected = engine.query(query), postgres.query(query)
            assert expected
            assert Counter(map(comparable, found)) == Counter(map(comparable, expected)), table


def need_java() -> None:
    """Skip what needs Java where there is none; where CI runs it, fail."""
    if not shutil.which("java"):
        assert os.environ.get("CI") != "true", ".ci/run installs Java"
        pytest.skip("Java is not installed")


@contextmanager
def running_lake(folder: Path) -> Iterator[Lake]:
    """Start Spark for small data: few partitions, nothing compiled."""
    need_java()
    home = folder / "spark"
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ["FUNNEL_SPARK_HOME"] = str(home)
    os.environ["PYSPARK_PYTHON"] = sys.executable  # else python3, which may be another version
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master("local[2]")
        # Not Hive's catalogue in a Derby database: it costs a second a table.
        .config("spark.sql.catalogImplementation", "in-memory")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.sources.partitionOverwriteMode", "DYNAMIC")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.sql.warehouse.dir", str(home / "warehouse"))
        .config(
            "spark.driver.extraJavaOptions",
            "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m",
        )
        .config("spark.ui.enabled", "false")
    )
    session = builder.config(map=dict(SMALL)).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield Lake(session, folder)
    finally:
        session.stop()
