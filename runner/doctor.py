"""What is missing for a run, and how to mend it."""

import importlib.metadata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import FunnelError
from runner.packages import is_installed
from runner.project import ANALYTICS, BUILT_SCHEMAS, Project
from runner.raw_contract import RAW_TABLES, check_raw_contract
from runner.warehouse import DAILY_TABLES, open_warehouse, table_exists

OLDEST_SERVER = 14


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: What it is.
        status: ok, warn (a run works, but) or fail (a run does not work).
        detail: What was found.
        remedy: What to type or change.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """Return the finding as `--json` prints it."""
        return asdict(self)


def examine(project: Project) -> Iterator[Finding]:
    """Yield a finding for everything that a run needs on the project's target."""
    versions = (
        f"{name} {importlib.metadata.version(name)}" for name in ("dbt-core", "dbt-postgres")
    )
    yield Finding("dbt", "ok", ", ".join(versions))
    if is_installed(project):
        yield Finding("dbt packages", "ok", "installed")
    else:
        yield Finding("dbt packages", "warn", "not installed", "The next run installs them.")
    try:
        with open_warehouse(project) as connection:
            yield Finding("connection", "ok", f"target {project.target}")
            yield from _examine_warehouse(project, connection)
    except FunnelError as error:
        yield Finding("connection", "fail", error.message, error.hint)


def _examine_warehouse(project: Project, connection: Connection) -> Iterator[Finding]:
    yield _examine_server(connection)
    raw_schema, loaded_at_field = project.raw_schema, project.loaded_at_field
    try:
        check_raw_contract(connection, raw_schema, loaded_at_field)
        yield Finding("raw tables", "ok", raw_schema)
        yield from _examine_raw_tables(connection, raw_schema, loaded_at_field)
    except FunnelError as error:
        yield Finding("raw tables", "fail", error.message, error.hint)
    yield from _examine_built_schemas(project, connection)
    analytics = project.schema(ANALYTICS)
    if all(table_exists(connection, analytics, table) for table in DAILY_TABLES):
        yield Finding("daily tables", "ok", "built")
    else:
        yield Finding("daily tables", "warn", "not built yet", "Type `funnel run`.")


def _examine_server(connection: Connection) -> Finding:
    major = connection.server_version // 10000
    if major < OLDEST_SERVER:
        return Finding(
            "server", "fail", f"Postgres {major}", f"Use Postgres {OLDEST_SERVER} or newer."
        )
    return Finding("server", "ok", f"Postgres {major}")


def _examine_raw_tables(
    connection: Connection, raw_schema: str, loaded_at_field: str
) -> Iterator[Finding]:
    for table in RAW_TABLES:
        name = f"{raw_schema}.{table.name}"
        needed = [column.name for column in table.columns if not column.is_personal]
        with connection.cursor() as cursor:
            cursor.execute(
                "select bool_and(has_column_privilege(cast(%s as regclass), column_name, 'select'))"
                " from unnest(%s) as needed (column_name)",
                (name, [*needed, loaded_at_field] if table.event_time else needed),
            )
            if cursor.fetchone() != (True,):
                yield Finding(
                    f"permission on {name}",
                    "fail",
                    "a column cannot be read",
                    f"grant select ({', '.join(needed)}) on {name} to your role;",
                )
                continue
            for column in table.indexed_columns(loaded_at_field):
                cursor.execute(_LEADING_INDEX, (name, column))
                if cursor.fetchone() is None:
                    yield Finding(
                        f"index on {name} ({column})",
                        "warn",
                        "missing, so a run reads the whole table",
                        f"create index on {name} ({column});",
                    )


_LEADING_INDEX = """
    select
    from pg_catalog.pg_index as index
    inner join pg_catalog.pg_attribute as attribute
        on attribute.attrelid = index.indrelid and attribute.attnum = index.indkey[0]
    where index.indrelid = cast(%s as regclass) and attribute.attname = %s
"""


def _examine_built_schemas(project: Project, connection: Connection) -> Iterator[Finding]:
    for custom_schema in BUILT_SCHEMAS:
        schema = project.schema(custom_schema)
        with connection.cursor() as cursor:
            cursor.execute(
                "select case"
                " when to_regnamespace(%s) is null"
                " then has_database_privilege(current_database(), 'create')"
                " else has_schema_privilege(to_regnamespace(%s), 'create, usage') end",
                (f'"{schema}"', f'"{schema}"'),
            )
            allowed = cursor.fetchone() == (True,)
        if not allowed:
            yield Finding(
                f"permission on schema {schema}",
                "fail",
                "your role cannot create tables in it",
                f"create schema if not exists {schema}; grant all on schema {schema} to your role;",
            )
