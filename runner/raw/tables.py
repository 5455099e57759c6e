"""The raw tables: created, locked, indexed."""

from collections.abc import Iterable

from psycopg2 import errors, sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from runner.warehouse.on_postgres import PostgresEngine
from runner.warehouse.raw_contract import RAW_TABLES

_INDEXED_COLUMNS = """
    select class.relname, attribute.attname
    from pg_catalog.pg_index as index
    inner join pg_catalog.pg_class as class on class.oid = index.indrelid
    inner join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    inner join pg_catalog.pg_attribute as attribute
        on attribute.attrelid = class.oid and attribute.attnum = index.indkey[0]
    where namespace.nspname = %s and index.indpred is null and index.indisvalid
"""

# Those of constraints stay; so do those with a tablespace, which their definition does not tell.
_PLAIN_INDEXES = """
    select index.indexrelid::regclass::text, pg_get_indexdef(index.indexrelid)
    from pg_catalog.pg_index as index
    inner join pg_catalog.pg_class as class on class.oid = index.indrelid
    inner join pg_catalog.pg_class as index_class on index_class.oid = index.indexrelid
    inner join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where
        namespace.nspname = %s
        and class.relname = any(%s)
        and pg_has_role(class.relowner, 'usage')
        and class.relkind = 'r'
        and index_class.reltablespace = 0
        and not index.indisreplident
        and not index.indisclustered
        and not exists (select from pg_catalog.pg_constraint where conindid = index.indexrelid)
"""


def create_tables(cursor: Cursor, raw_schema: str, loaded_at_field: str) -> None:
    """Create the schema, the tables and the optional columns that are absent."""
    # What exists is looked up: `create … if not exists` asks for a permission even then.
    warehouse = PostgresEngine(cursor.connection)
    existing = warehouse.find_columns(raw_schema, [table.name for table in RAW_TABLES])
    if existing is None:
        cursor.execute(sql.SQL("create schema {}").format(sql.Identifier(raw_schema)))
    for table in RAW_TABLES:
        name, found = sql.Identifier(raw_schema, table.name), (existing or {}).get(table.name)
        columns = [
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type))
            for column in table.columns
            if found is None or (column.is_optional and column.name not in found)
        ]
        if found is None:
            loaded_at = sql.SQL("{} timestamptz not null default now()").format(
                sql.Identifier(loaded_at_field)
            )
            parts = sql.SQL(", ").join([*columns, loaded_at])
            cursor.execute(sql.SQL("create table {} ({})").format(name, parts))
        for column in columns if found else ():
            cursor.execute(sql.SQL("alter table {} add column {}").format(name, column))


def lock_tables(cursor: Cursor, tables: Iterable[sql.Identifier]) -> None:
    """Take tables from their readers, to the end of the transaction.

    A run reads several of them, beginning with another one than we do. So that the two never wait
    for each other, we wait only while we hold none, and wait next for what was not to be had.
    """
    lock = sql.SQL("lock table {} in access exclusive mode")
    waiting = list(tables)
    cursor.execute("savepoint none_locked")
    while True:
        first, *others = waiting
        cursor.execute(lock.format(first))
        for table in others:
            try:
                cursor.execute(lock.format(table) + sql.SQL(" nowait"))
            except errors.LockNotAvailable:
                cursor.execute("rollback to savepoint none_locked")
                waiting = [table, *(other for other in waiting if other != table)]
                break
        else:
            return


def drop_indexes(cursor: Cursor, raw_schema: str) -> list[str]:
    """Drop the indexes of empty tables; return the statements that make them again.

    To fill an index takes longer than to make it of the filled table. The indexes of tables that
    another role owns stay.
    """
    cursor.execute(_PLAIN_INDEXES, (raw_schema, [table.name for table in RAW_TABLES]))
    found: list[tuple[str, str]] = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f"drop index {name}")  # the server has quoted it
    return [definition for _, definition in found]


def create_indexes(cursor: Cursor, raw_schema: str, loaded_at_field: str) -> None:
    """Create the indexes that a run needs and does not find."""
    cursor.execute(_INDEXED_COLUMNS, (raw_schema,))
    existing = set(cursor.fetchall())
    for table in RAW_TABLES:
        for column in table.indexed_columns(loaded_at_field):
            if (table.name, column) not in existing:
                cursor.execute(
                    sql.SQL("create index on {} ({})").format(
                        sql.Identifier(raw_schema, table.name), sql.Identifier(column)
                    )
                )
