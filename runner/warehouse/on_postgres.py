"""Postgres, as the engine of a warehouse."""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.project import META, Project
from runner.warehouse import meta
from runner.warehouse.connection import (
    connect,
    create_schema,
    only_on_postgres,
    reading,
    table_exists,
)
from runner.warehouse.engine import Engine, Statement, Values
from runner.warehouse.lock import describe_holder, hold_lock

_HARMLESS_TYPES = frozenset(
    (16, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950)
)
"""Booleans, numbers, dates, times and UUIDs. Anything else may hold an e-mail address."""

# pg_catalog, not information_schema: that one hides columns the role may not read.
_COLUMNS = """
    select class.relname, attribute.attname, format_type(attribute.atttypid, null)
    from pg_catalog.pg_namespace as namespace
    left join pg_catalog.pg_class as class
        on class.relnamespace = namespace.oid
        and class.relkind in ('r', 'p', 'v', 'm', 'f')
        and class.relname = any(%s)
    left join pg_catalog.pg_attribute as attribute
        on attribute.attrelid = class.oid
        and attribute.attnum > 0
        and not attribute.attisdropped
    where namespace.nspname = %s
"""

_SIZES = """
    select name, cast(case when relkind in ('r', 'p', 'm') then reltuples else 0 end as bigint)
    from unnest(%s, %s) as named (name, relation)
    inner join pg_catalog.pg_class as class on class.oid = to_regclass(relation)
"""

_KINDS = """
    select relname, case relkind when 'v' then 'view' else 'table' end
    from pg_catalog.pg_class
    inner join pg_catalog.pg_namespace as namespace on relnamespace = namespace.oid
    where nspname = %s and relname = any(%s) and relkind in ('r', 'v')
"""


def connection_of(engine: Engine) -> Connection:
    """Return the connection of an engine, for what only Postgres can do.

    Raises:
        FunnelError: It is another engine.
    """
    if not isinstance(engine, PostgresEngine):
        raise only_on_postgres()
    return engine.connection


class PostgresEngine(Engine):
    """A connection in autocommit mode.

    A query so leaves no transaction open, which would keep dbt from replacing what it read.

    Args:
        connection: Not dbt's, nor that of the lock. Its owner closes it.
    """

    errors = (psycopg2.Error,)

    def __init__(self, connection: Connection) -> None:
        """Keep the connection."""
        self.connection = connection

    def query(self, statement: Statement, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none of a statement that has none."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description is not None else []

    @contextmanager
    def snapshot(self, timezone: str = "UTC") -> Iterator[None]:
        """Let a block read one moment, and compare times without a zone in the zone given."""
        with self.connection:
            self.query("set transaction isolation level repeatable read, read only")
            self.query("set local timezone = %s", (timezone,))
            yield

    def transaction(self) -> AbstractContextManager[object]:
        """Let a block write all or nothing."""
        return self.connection

    @contextmanager
    def scratch(self) -> Iterator[Callable[[str, str], object]]:
        """Yield what keeps the rows of a query in a temporary table, until the block ends."""

        def keep(name: str, query: str) -> None:
            create = sql.SQL("create temporary table {} on commit drop as ")
            with self.connection.cursor() as cursor:
                cursor.execute(create.format(sql.Identifier(name)) + sql.SQL(query))

        with self.connection:
            self.query("set local enable_nestloop = off; set local jit = off")
            yield keep

    @contextmanager
    def beside(self, project: Project) -> Iterator[Engine]:
        """Yield a second connection."""
        with closing(connect(project)) as second:
            yield PostgresEngine(second)

    def only_writer(
        self, project: Project, purpose: str, *, wait: float = 0, steal: bool = False
    ) -> AbstractContextManager[None]:
        """Be the only writer, by a lock that ends with its process: there is none to steal."""
        return hold_lock(project, self.connection, purpose, wait=wait)

    def describe_writer(self, project: Project) -> str:
        """Return who writes and since when, or an empty text."""
        return describe_holder(self.connection, project.schema(META))

    def create_ledger(self, schema: str) -> None:
        """Create what is not there yet, with what an earlier version has recorded."""
        meta.create_ledger(self.connection, schema)

    def create_schema(self, schema: str) -> None:
        """Create a schema that does not exist yet."""
        create_schema(self.connection, schema)

    def drop(self, schema: str, tables: Collection[str]) -> None:
        """Drop those of these tables and views that are there."""
        for name, kind in self.query(_KINDS, (schema, list(tables))):
            drop = sql.SQL("drop {} if exists {}")
            self.query(drop.format(sql.SQL(kind), sql.Identifier(schema, name)))

    def find_sizes(self, schema: str, tables: Collection[str]) -> dict[str, int]:
        """Return the tables that are there, with the rows they have by the statistics."""
        relations = [sql.Identifier(schema, table).as_string(self.connection) for table in tables]
        return dict(self.query(_SIZES, (list(tables), relations)))

    def may_read(self, schema: str, table: str) -> bool:
        """Return whether there is such a table, and this role may read it."""
        query = """
            select case when has_schema_privilege(to_regnamespace(%s), 'usage')
                then has_table_privilege(to_regclass(%s), 'select') end
        """
        places = (sql.Identifier(schema), sql.Identifier(schema, table))
        return self.query(query, [place.as_string(self.connection) for place in places]) == [
            (True,)
        ]

    def find_columns(
        self, schema: str, tables: Collection[str]
    ) -> dict[str, dict[str, str]] | None:
        """Return the type of each column, from the catalogue, which needs no permission."""
        rows = self.query(_COLUMNS, (list(tables), schema))
        found: dict[str, dict[str, str]] = {}
        for table, column, column_type in rows:
            if table is not None:
                found.setdefault(table, {})[column] = column_type
        return found if rows else None

    def find_types(self, query: sql.Composable) -> list[tuple[str, bool]]:
        """Return the columns of a query, each with whether its type can hold no text."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql.SQL("select * from {} as asked limit 0").format(query))
            columns = cursor.description or ()
        return [(column.name, column.type_code in _HARMLESS_TYPES) for column in columns]

    def estimate_rows(self, schema: str, table: str, condition: sql.Composable) -> int | None:
        """Return how many rows the planner thinks there are."""
        return int(self.explain(schema, table, condition)["Plan Rows"])

    def explain(self, schema: str, table: str, condition: sql.Composable) -> dict[str, Any]:
        """Return the server's plan for the rows of a table that meet a condition."""
        query = sql.SQL("explain (format json) select from {} where {}")
        [(plans,)] = self.query(query.format(sql.Identifier(schema, table), condition))
        parsed = json.loads(plans) if isinstance(plans, str) else plans
        plan: dict[str, Any] = parsed[0]["Plan"]
        return plan

    def knows_timezone(self, name: str) -> bool:
        """Return whether the server has a time zone of this name."""
        query = "select name from pg_catalog.pg_timezone_names where name = %s"
        return bool(self.query(query, (name,)))

    def local_time(self, moment: sql.Composable, zone: str) -> sql.Composable:
        """Return a time in UTC as the clocks of a zone show it."""
        local = sql.SQL("{} at time zone 'UTC' at time zone {}")
        return local.format(moment, sql.Literal(zone))

    def as_number(self, moment: sql.Composable) -> sql.Composable:
        """Return the seconds since 1970."""
        return sql.SQL("extract(epoch from {})").format(moment)

    def masked(self, value: sql.Composable, pattern: str, mask: str) -> sql.Composable:
        """Return a value as text, with a mask in place of all that matches a pattern."""
        replaced = sql.SQL("regexp_replace(cast({} as text), {}, {}, 'g')")
        return replaced.format(value, sql.Literal(pattern), sql.Literal(mask))

    def as_json(self, table: str) -> sql.Composable:
        """Return a row as JSON."""
        return sql.SQL("cast(to_json({}) as text)").format(sql.Identifier(table))

    def reading(self, schema: str, table: str) -> AbstractContextManager[None]:
        """Turn what the server refuses about a table into an error a person can act on."""
        return reading(schema, table)

    def table_exists(self, schema: str, table: str) -> bool:
        """Return whether there is a table or view of this name."""
        return table_exists(self.connection, schema, table)

    def limit_patience(self, seconds: int) -> None:
        """Wait no longer than this for a table that somebody has locked."""
        self.query("select set_config('lock_timeout', %s, false)", (f"{seconds}s",))

    def hasten(self) -> None:
        """Give a sort more memory, and compile nothing."""
        self.query("set work_mem = '32MB'; set max_parallel_workers_per_gather = 0; set jit = off")

    def now(self) -> datetime:
        """Return the moment by the server's clock."""
        [(moment,)] = self.query("select clock_timestamp()")
        assert isinstance(moment, datetime)  # noqa: S101 - says the server
        return moment
