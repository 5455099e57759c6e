"""The raw contract: the six tables that funnel reads, and a check that a database holds them."""

from dataclasses import dataclass
from typing import Literal

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import FunnelError

ColumnType = Literal["bigint", "boolean", "jsonb", "text", "timestamp"]

LONGEST_NAME = 255
"""Characters of a name or key; an index entry of Postgres holds no more than some 2,700 bytes."""


@dataclass(frozen=True)
class RawColumn:
    """One column of a raw table."""

    name: str
    type: ColumnType
    is_personal: bool = False
    """Personal data: never in a message or a log."""

    is_free_text: bool = False
    """Of any length; any other text is a name or a key of at most LONGEST_NAME characters."""


@dataclass(frozen=True)
class RawTable:
    """One raw table; the column that says when a row was loaded is named by a var."""

    name: str
    columns: tuple[RawColumn, ...]
    event_time: str | None = None
    """The timestamp the windows filter on, in tables of events."""

    @property
    def is_personal(self) -> bool:
        """Whether any column holds personal data."""
        return any(column.is_personal for column in self.columns)

    def indexed_columns(self, loaded_at_field: str) -> tuple[str, ...]:
        """Return the columns a run filters on: when, when it was loaded, and what deal it is."""
        return (self.event_time, loaded_at_field, "deal_id") if self.event_time else ()


RAW_TABLES = (
    RawTable(
        "activity",
        (
            RawColumn("activity_id", "bigint"),
            RawColumn("type", "text"),
            RawColumn("assigned_to_user", "bigint"),
            RawColumn("deal_id", "bigint"),
            RawColumn("done", "boolean"),
            RawColumn("due_to", "timestamp"),
        ),
        event_time="due_to",
    ),
    RawTable(
        "activity_types",
        (
            RawColumn("id", "bigint"),
            RawColumn("name", "text"),
            RawColumn("active", "boolean"),
            RawColumn("type", "text"),
        ),
    ),
    RawTable(
        "deal_changes",
        (
            RawColumn("deal_id", "bigint"),
            RawColumn("change_time", "timestamp"),
            RawColumn("changed_field_key", "text"),
            RawColumn("new_value", "text", is_free_text=True),
        ),
        event_time="change_time",
    ),
    RawTable(
        "fields",
        (
            RawColumn("id", "bigint"),
            RawColumn("field_key", "text"),
            RawColumn("name", "text"),
            RawColumn("field_value_options", "jsonb"),
        ),
    ),
    RawTable("stages", (RawColumn("stage_id", "bigint"), RawColumn("stage_name", "text"))),
    RawTable(
        "users",
        (
            RawColumn("id", "bigint"),
            RawColumn("name", "text", is_personal=True),
            RawColumn("email", "text", is_personal=True),
            RawColumn("modified", "timestamp"),
        ),
    ),
)

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


def find_columns(connection: Connection, raw_schema: str) -> dict[str, dict[str, str]] | None:
    """Return the raw tables that exist, each with its columns and their types.

    Returns:
        Types by column name by table name; None when there is no such schema.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, ([table.name for table in RAW_TABLES], raw_schema))
        rows = cursor.fetchall()
    if not rows:
        return None
    found: dict[str, dict[str, str]] = {}
    for table, column, column_type in rows:
        if table is not None:
            found.setdefault(table, {})[column] = column_type
    return found


def check_raw_contract(connection: Connection, raw_schema: str, loaded_at_field: str) -> None:
    """Check that the database holds what the models read.

    Args:
        connection: A connection; what it needs is the catalog, no privilege on the tables.
        raw_schema: The schema of the raw tables (var `raw_schema`).
        loaded_at_field: The column that says when a row was loaded (var `loaded_at_field`).

    Raises:
        FunnelError: The schema, a table or a column is missing, or an event's time is not a
            timestamp without time zone.
    """
    found = find_columns(connection, raw_schema)
    if found is None:
        raise FunnelError(
            f"there is no schema {raw_schema}",
            hint="Load the raw tables with `funnel load DIR`, or set the var raw_schema.",
        )
    missing_tables = [table.name for table in RAW_TABLES if table.name not in found]
    if missing_tables:
        raise FunnelError(
            f"schema {raw_schema} has no table {', '.join(missing_tables)}",
            hint="Load all six raw tables with `funnel load DIR`, or set the var raw_schema.",
        )
    for table in RAW_TABLES:
        _check_columns(table, found[table.name], raw_schema, loaded_at_field)


def _check_columns(
    table: RawTable, types: dict[str, str], raw_schema: str, loaded_at_field: str
) -> None:
    missing = [column.name for column in table.columns if column.name not in types]
    if missing:
        raise FunnelError(
            f"table {raw_schema}.{table.name} has no column {', '.join(missing)}",
            hint="It needs: " + ", ".join(f"{c.name} {c.type}" for c in table.columns) + ".",
        )
    if loaded_at_field not in types:
        raise FunnelError(
            f"table {raw_schema}.{table.name} has no column {loaded_at_field}",
            hint="Set the var loaded_at_field to the column in which your loader writes its time.",
        )
    if table.event_time and types[table.event_time] != "timestamp without time zone":
        raise FunnelError(
            f"column {raw_schema}.{table.name}.{table.event_time} is a "
            f"{types[table.event_time]}, funnel needs a timestamp without time zone, in UTC",
            hint=f"Read it through a view with `{table.event_time} at time zone 'UTC'`.",
        )
