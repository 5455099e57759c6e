"""The raw contract: the tables that funnel reads, and a check that a database holds them."""

from dataclasses import dataclass
from typing import Literal

from runner.errors import FunnelError
from runner.project import Project
from runner.settings.var_rules import refuse_var
from runner.warehouse.engine import Engine

ColumnType = Literal["bigint", "boolean", "jsonb", "text", "timestamp"]

LONGEST_NAME = 255
"""Characters of a name or key; an index entry of Postgres holds no more than some 2,700 bytes."""


ACCEPTED_TYPES: dict[ColumnType, tuple[str, ...]] = {
    "bigint": ("bigint", "integer", "smallint"),
    "boolean": ("boolean",),
    "jsonb": ("jsonb", "json", "text", "character varying"),
    "text": ("text", "character varying"),
    "timestamp": ("timestamp without time zone",),
}
"""What a column may be, the best first; the macro stored_types says the same to dbt."""


@dataclass(frozen=True)
class RawColumn:
    """One column of a raw table."""

    name: str
    type: ColumnType
    is_personal: bool = False
    """Personal data: never in a message or a log."""

    is_free_text: bool = False
    """Of any length; any other text is a name or a key of at most LONGEST_NAME characters."""

    is_optional: bool = False
    """Accounts with one pipeline do without."""


@dataclass(frozen=True)
class RawTable:
    """One raw table; the column that says when a row was loaded is named by a var."""

    name: str
    columns: tuple[RawColumn, ...]
    event_time: str | None = None
    """The timestamp the windows filter on, in tables of events."""

    is_optional: bool = False
    """Accounts with one pipeline do without."""

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
    RawTable(
        "pipelines",
        (RawColumn("pipeline_id", "bigint"), RawColumn("name", "text")),
        is_optional=True,
    ),
    RawTable(
        "stages",
        (
            RawColumn("stage_id", "bigint"),
            RawColumn("stage_name", "text"),
            RawColumn("pipeline_id", "bigint", is_optional=True),
        ),
    ),
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

EVENT_TIMES = {table.name: table.event_time for table in RAW_TABLES if table.event_time}
"""The tables of events, each with the column of their time."""


def check_raw_tables(engine: Engine, project: Project) -> None:
    """Check that the project's raw tables are what its models read.

    Raises:
        FunnelError: As `check_raw_contract`.
    """
    check_raw_contract(
        engine, project.raw_schema, project.loaded_at_field, project.loaded_at_timezone
    )


def check_raw_contract(
    engine: Engine,
    raw_schema: str,
    loaded_at_field: str,
    loaded_at_timezone: str | None = None,
) -> None:
    """Check that the database holds what the models read, in types that build every model.

    Args:
        engine: The database; what is needed is the catalog, no privilege on the tables.
        raw_schema: The schema of the raw tables (var `raw_schema`).
        loaded_at_field: The column that says when a row was loaded (var `loaded_at_field`).
        loaded_at_timezone: The zone of load times that have none (var `loaded_at_timezone`).

    Raises:
        FunnelError: The schema, a table or a column is missing, or a column has another type.
    """
    found = engine.find_columns(raw_schema, [table.name for table in RAW_TABLES])
    if found is None:
        raise FunnelError(
            f"there is no schema {raw_schema}",
            hint="Load the raw tables with `funnel load DIR`, or set the var raw_schema.",
        )
    missing_tables = [
        table.name for table in RAW_TABLES if table.name not in found and not table.is_optional
    ]
    if missing_tables:
        raise FunnelError(
            f"schema {raw_schema} has no table {', '.join(missing_tables)}",
            hint="Load the raw tables with `funnel load DIR`, or set the var raw_schema.",
        )
    for table in RAW_TABLES:
        if table.name not in found:
            continue
        name, types = f"{raw_schema}.{table.name}", found[table.name]
        _check_columns(table, name, types)
        _check_load_time(name, types, loaded_at_field, loaded_at_timezone)
    if loaded_at_timezone and not engine.knows_timezone(loaded_at_timezone):
        raise refuse_var("loaded_at_timezone", loaded_at_timezone)


def _check_columns(table: RawTable, name: str, types: dict[str, str]) -> None:
    missing = [c.name for c in table.columns if c.name not in types and not c.is_optional]
    if missing:
        raise FunnelError(
            f"table {name} has no column {', '.join(missing)}",
            hint="It needs: " + ", ".join(f"{c.name} {c.type}" for c in table.columns) + ".",
        )
    for column in table.columns:
        needed, *others = ACCEPTED_TYPES[column.type]
        if types.get(column.name, needed) in (needed, *others):
            continue
        is_time = column.type == "timestamp"
        cast = (
            f"{column.name} at time zone 'UTC'" if is_time else f"cast({column.name} as {needed})"
        )
        raise FunnelError(
            f"column {name}.{column.name} is a {types[column.name]}, funnel needs a {needed}"
            + (", in UTC" if is_time else ""),
            hint=f"Read it through a view with `{cast}`, and set the var raw_schema to its schema.",
        )


def _check_load_time(
    name: str, types: dict[str, str], loaded_at_field: str, loaded_at_timezone: str | None
) -> None:
    found = types.get(loaded_at_field)
    if found is None:
        raise FunnelError(
            f"table {name} has no column {loaded_at_field}",
            hint="Set the var loaded_at_field to the column in which your loader writes its time.",
        )
    if found == "timestamp without time zone" and loaded_at_timezone is None:
        raise FunnelError(
            f"column {name}.{loaded_at_field} has no time zone",
            hint="Set the var loaded_at_timezone to the zone your loader writes, such as UTC.",
        )
    if not found.startswith("timestamp"):
        raise FunnelError(
            f"column {name}.{loaded_at_field} is a {found}, funnel needs a timestamp",
            hint="Read it through a view that makes it one; where it counts seconds,"
            f" with `to_timestamp(cast({loaded_at_field} as double precision))`.",
        )
