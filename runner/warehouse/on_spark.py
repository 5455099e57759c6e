"""Spark, as the engine of a warehouse, over the connection of dbt's own adapter."""

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import available_timezones

from psycopg2 import sql

from runner.errors import FunnelError
from runner.project import META, Project
from runner.settings.environment import environment
from runner.warehouse.engine import Engine, Statement, Values
from runner.warehouse.lock_file import describe_file, hold_file
from runner.warehouse.meta import call_macro

HOME_VARIABLE = "FUNNEL_SPARK_HOME"

_IN_POSTGRES = {
    "int": "integer",
    "string": "text",
    "timestamp": "timestamp without time zone",
    "timestamp_ntz": "timestamp without time zone",
}
"""What Postgres calls a type of Spark, where the names differ."""

_HARMLESS_TYPES = (
    *("boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal"),
    *("date", "timestamp"),
)


class SparkEngine(Engine):
    """A session, or a Thrift server, that is asked no earlier than for the first query.

    There are no transactions, and no locks on tables: each statement stands for itself.

    Args:
        project: Says by its target where Spark is.
        home: Holds the lock, and Spark's tables where it runs on this machine.
    """

    def __init__(self, project: Project, home: Path) -> None:
        """Import the adapter.

        Raises:
            FunnelError: The extra is not installed.
        """
        if not all(map(importlib.util.find_spec, ("dbt.adapters.spark", "pyspark"))):
            raise FunnelError(
                f"target {project.target} needs the extra spark",
                hint="Type `pip install 'pipedrive-funnel[spark]'`.",
            )
        from dbt_common.exceptions import DbtRuntimeError
        from py4j.protocol import Py4JError
        from pyhive.exc import Error
        from pyspark.errors import PySparkException
        from thrift.Thrift import TException

        self.errors = (DbtRuntimeError, Py4JError, Error, PySparkException, TException)
        self.project = project
        self.home = home
        self._handle: Any = None

    def query(self, statement: Statement, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none of a statement that has none."""
        _, rows = self._ask(statement, values)
        return rows

    def _ask(
        self, statement: Statement, values: Values = ()
    ) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        """Return the columns of a query, each with its type, and its rows."""
        if self._handle is None:
            self._handle = _connect(self.project, self.home)
        text = render(statement)
        if values:
            text %= (
                {name: write_literal(value) for name, value in values.items()}
                if isinstance(values, Mapping)
                else tuple(map(write_literal, values))
            )
        cursor = self._handle.handle.cursor()
        cursor.execute(text)
        columns = [
            (name, kind.lower().removesuffix("_type"))
            for name, kind, *_ in cursor.description or ()
        ]
        rows = cursor.fetchall() if columns else []
        convert = [_converter(kind, is_local=self.project.target == "spark") for _, kind in columns]
        return columns, [
            tuple(to(cell) if to else cell for to, cell in zip(convert, row, strict=True))
            for row in rows
        ]

    @contextmanager
    def snapshot(self, timezone: str = "UTC") -> Iterator[None]:
        """Let a block read; a table that is replaced meanwhile may be read half before, half after.

        Raises:
            FunnelError: Times without a zone are in another one than UTC.
        """
        if timezone != "UTC":
            raise FunnelError(
                "on Spark the var loaded_at_timezone must be UTC",
                hint="Make the load times of the raw tables timestamps in UTC.",
            )
        yield

    def transaction(self) -> AbstractContextManager[object]:
        """Let a block write; nothing holds its statements together."""
        return nullcontext()

    @contextmanager
    def scratch(self) -> Iterator[Callable[[str, str], object]]:
        """Yield what keeps the rows of a query in a table of `pipedrive_meta`, for this block."""
        # Not in memory: there a query that reads another one repeats all of it in its plan.
        kept = {}

        def keep(name: str, query: str) -> None:
            table = sql.Identifier(self.project.schema(META), f"{name}__{uuid4().hex[:8]}")
            kept[name] = table
            self.query(sql.SQL("create table {} using parquet as ").format(table) + sql.SQL(query))
            view = sql.SQL("create or replace temporary view {} as select * from {}")
            self.query(view.format(sql.Identifier(name), table))

        try:
            yield keep
        finally:
            for name, table in kept.items():
                self.query(sql.SQL("drop view if exists {}").format(sql.Identifier(name)))
                self.query(sql.SQL("drop table if exists {}").format(table))

    @contextmanager
    def beside(self, project: Project) -> Iterator[Engine]:
        """Yield a second connection."""
        yield SparkEngine(project, self.home)

    def only_writer(
        self, project: Project, purpose: str, *, wait: float = 0, steal: bool = False
    ) -> AbstractContextManager[None]:
        """Be the only writer, by a file in the folder of Spark's tables."""
        return hold_file(self._lock(project), purpose, wait=wait, steal=steal)

    def describe_writer(self, project: Project) -> str:
        """Return who writes and since when, or an empty text."""
        return describe_file(self._lock(project))

    def _lock(self, project: Project) -> Path:
        return self.home / f"{project.schema(META)}.lock"

    def create_ledger(self, schema: str) -> None:
        """Create what is not there yet, by the macro that dbt calls."""
        call_macro("spark", render(sql.Identifier(schema)), self.query)

    def create_schema(self, schema: str) -> None:
        """Create a schema that does not exist yet."""
        self.query(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))

    def drop(self, schema: str, tables: Collection[str]) -> None:
        """Drop those of these tables that are there."""
        for table in self.find_sizes(schema, tables):
            self.query(sql.SQL("drop table {}").format(sql.Identifier(schema, table)))

    def now(self) -> datetime:
        """Return the moment by Spark's clock."""
        [(moment,)] = self.query("select current_timestamp()")
        assert isinstance(moment, datetime)  # noqa: S101 - says Spark
        return moment

    def find_sizes(self, schema: str, tables: Collection[str]) -> dict[str, int]:
        """Return the tables that are there; how many rows they have is not known."""
        if not self._has_schema(schema):
            return {}
        found = self.query(sql.SQL("show tables in {}").format(sql.Identifier(schema)))
        there = {table for _, table, is_temporary in found if not is_temporary}
        return {table: -1 for table in tables if table in there}

    def may_read(self, schema: str, table: str) -> bool:
        """Return whether there is such a table."""
        return self.table_exists(schema, table)

    def find_columns(
        self, schema: str, tables: Collection[str]
    ) -> dict[str, dict[str, str]] | None:
        """Return the type of each column of the tables that are there, by Postgres's names."""
        if not self._has_schema(schema):
            return None
        found = {}
        for table in self.find_sizes(schema, tables):
            columns = self.query(sql.SQL("describe table {}").format(sql.Identifier(schema, table)))
            # Behind the columns come those of the partitions, again, below a heading.
            found[table] = {
                name: self._in_postgres(name, kind)
                for name, kind, *_ in columns
                if name and not name.startswith("#")
            }
        return found

    def _in_postgres(self, column: str, kind: str) -> str:
        # Spark's timestamp is a moment: that of an event is read in UTC.
        if (column, kind) == (self.project.loaded_at_field, "timestamp"):
            return "timestamp with time zone"
        return _IN_POSTGRES.get(kind, kind)

    def _has_schema(self, schema: str) -> bool:
        return bool(self.query(sql.SQL("show schemas like {}").format(sql.Literal(schema))))

    def find_types(self, query: sql.Composable) -> list[tuple[str, bool]]:
        """Return the columns of a query, each with whether its type can hold no text."""
        columns, _ = self._ask(sql.SQL("select * from {} as asked limit 0").format(query))
        return [(name, kind.startswith(_HARMLESS_TYPES)) for name, kind in columns]

    def estimate_rows(self, schema: str, table: str, condition: sql.Composable) -> int | None:
        """Return nothing: Spark would have to read the rows."""
        return None

    def knows_timezone(self, name: str) -> bool:
        """Return whether this is the name of a time zone."""
        return name in available_timezones()

    def local_time(self, moment: sql.Composable, zone: str) -> sql.Composable:
        """Return a time in UTC as the clocks of a zone show it."""
        return sql.SQL("from_utc_timestamp({}, {})").format(moment, sql.Literal(zone))

    def as_number(self, moment: sql.Composable) -> sql.Composable:
        """Return the microseconds since 1970."""
        number = sql.SQL("cast(unix_micros(cast({} as timestamp)) as decimal(20, 0))")
        return number.format(moment)

    def masked(self, value: sql.Composable, pattern: str, mask: str) -> sql.Composable:
        """Return a value as text, with a mask in place of all that matches a pattern."""
        replaced = sql.SQL("regexp_replace(cast({} as string), {}, {})")
        return replaced.format(value, sql.Literal(pattern), sql.Literal(mask))

    def as_json(self, table: str) -> sql.Composable:
        """Return a row as JSON."""
        return sql.SQL("to_json(struct({}.*))").format(sql.Identifier(table))

    @contextmanager
    def reading(self, schema: str, table: str) -> Iterator[None]:
        """Turn what Spark refuses about a table into an error a person can act on."""
        try:
            yield
        except self.errors as error:
            raise FunnelError(
                f"cannot read {schema}.{table}: {_first_line(error)}",
                hint="`funnel doctor` looks for what is missing.",
            ) from error

    def table_exists(self, schema: str, table: str) -> bool:
        """Return whether there is a table or view of this name."""
        with self.reading(schema, table):
            return bool(self.find_sizes(schema, [table]))

    def limit_patience(self, seconds: int) -> None:
        """Do nothing: tables have no locks."""

    def hasten(self) -> None:
        """Do nothing: what makes Spark quicker is set in its profile."""


@contextmanager
def open_spark(project: Project) -> Iterator[SparkEngine]:
    """Yield the engine of a project on Spark; dbt finds the same tables meanwhile.

    Raises:
        FunnelError: The extra or Java is missing, Spark cannot be reached, or a query failed.
    """
    home = Path(os.environ.get(HOME_VARIABLE) or project.home / "spark").expanduser().absolute()
    home.mkdir(parents=True, exist_ok=True)
    engine = SparkEngine(project, home)
    # By this name Spark finds itself; the machine's own may lead elsewhere.
    local = {"SPARK_LOCAL_IP": os.environ.get("SPARK_LOCAL_IP", "127.0.0.1")}
    with environment("(?!)", **{HOME_VARIABLE: str(home), **local}):
        try:
            yield engine
        except engine.errors as error:
            raise FunnelError(_first_line(error), hint="Run it again with --debug.") from error


def render(statement: Statement) -> str:
    """Return a statement as Spark reads it."""
    if isinstance(statement, sql.Composed):
        return "".join(map(render, statement.seq))
    if isinstance(statement, sql.Identifier):
        return ".".join(f"`{name.replace('`', '``')}`" for name in statement.strings)
    if isinstance(statement, sql.Literal):
        return write_literal(statement.wrapped)
    return statement.string if isinstance(statement, sql.SQL) else str(statement)


def write_literal(value: object) -> str:
    """Return a value as Spark reads it."""
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"timestamp '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"date '{value}'"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _connect(project: Project, home: Path) -> Any:  # noqa: ANN401 - one of the adapter's wrappers
    """Return the adapter's connection.

    Raises:
        FunnelError: There is no Java, Spark does not start, or its server cannot be reached.
    """
    from dbt.adapters.contracts.connection import Connection, Identifier
    from dbt.adapters.spark.connections import SparkConnectionManager, SparkCredentials
    from dbt.config.profile import read_profile
    from dbt.config.renderer import ProfileRenderer
    from dbt_common.context import set_invocation_context

    os.environ["PWD"] = str(project.root)
    set_invocation_context(os.environ)
    outputs = read_profile(str(project.root))["funnel"]["outputs"]
    values = ProfileRenderer({}).render_data(outputs[project.target])
    given = {name: value for name, value in values.items() if name not in ("type", "threads")}
    credentials = SparkCredentials.from_dict(given)
    # What these say is in the error as well.
    for name in ("thrift.transport.TSocket", "SQLQueryContextLogger"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    is_local = project.target == "spark"
    if is_local and not _finds_java():
        raise FunnelError("Spark needs Java, which is not installed", hint="Install Java 17.")
    log = home / "spark.log"
    try:
        connection = SparkConnectionManager.open(
            Connection(Identifier("spark"), name="funnel", credentials=credentials)
        )
        if is_local:
            with _stderr_in(log):
                connection.handle.handle.cursor().execute("show schemas")
    except Exception as error:
        if is_local:
            raise FunnelError(
                f"Spark does not start: {_first_line(error)}",
                hint=f"It needs Java 17, and {home} for itself. Its log is {log}.",
            ) from error
        raise FunnelError(
            f"cannot connect to {project.target}: {_first_line(error)}",
            hint="Is the Thrift server up? Check FUNNEL_SPARK_HOST and FUNNEL_SPARK_PORT.",
        ) from error
    return connection.handle


def _finds_java() -> bool:
    home = os.environ.get("JAVA_HOME")
    return bool(shutil.which("java") or (home and shutil.which("java", path=f"{home}/bin")))


@contextmanager
def _stderr_in(path: Path) -> Iterator[None]:
    """Have a process that is started meanwhile write its errors into a file, for good."""
    before = os.dup(2)
    with path.open("a") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _converter(kind: str, *, is_local: bool) -> Callable[[Any], Any] | None:
    """Return what makes a cell what Postgres would give; None where it is that already."""
    if kind == "timestamp":
        # A session gives it in the time zone of this process, a server in that of the session.
        return _from_session if is_local else _from_server
    return _read_date if kind == "date" and not is_local else None


def _from_session(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(timezone.utc)


def _from_server(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=timezone.utc)


def _read_date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _first_line(error: BaseException) -> str:
    # A Thrift server's answer holds what it says beside its own stack.
    answer = getattr(error.args[0] if error.args else None, "status", None)
    text = getattr(answer, "errorMessage", None) or str(error)
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line and not line.endswith("Error")), "no reason given")
