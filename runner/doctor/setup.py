"""What is missing for a run, and how to fix it."""

import importlib.metadata
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from runner.errors import FunnelError
from runner.extract.layouts import Layout, find_layout, find_missing
from runner.project import ANALYTICS, AUDIT, BUILT_SCHEMAS, REPORTING, Project
from runner.settings.var_rules import parse_var
from runner.transform.packages import is_installed
from runner.warehouse.connection import DAILY_TABLES
from runner.warehouse.engine import Engine
from runner.warehouse.on_postgres import PostgresEngine
from runner.warehouse.opening import open_warehouse
from runner.warehouse.raw_contract import RAW_TABLES, check_raw_tables

OLDEST_SERVER = 14
REPORT_READER_VARIABLE = "FUNNEL_REPORT_READER"


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
        with open_warehouse(project) as engine:
            engine.now()
            yield Finding("connection", "ok", f"target {project.target}")
            yield from _examine_warehouse(project, engine)
    except FunnelError as error:
        yield Finding("connection", "fail", error.message, error.hint)


def _examine_warehouse(project: Project, engine: Engine) -> Iterator[Finding]:
    server = engine if isinstance(engine, PostgresEngine) else None
    if server:
        yield _examine_server(server)
    if server and (layout := find_layout(project)):
        yield _examine_layout(project, server, layout)
    try:
        check_raw_tables(engine, project)
        yield Finding("raw tables", "ok", project.raw_schema)
        if server:
            yield from _examine_raw_tables(server, project.raw_schema, project.loaded_at_field)
    except FunnelError as error:
        yield Finding("raw tables", "fail", error.message, error.hint)
    if server:
        permissions = list(_examine_permissions(project, server))
        yield from permissions
        if any(finding.status == "fail" for finding in permissions):
            return
    analytics = project.schema(ANALYTICS)
    if all(engine.table_exists(analytics, table) for table in DAILY_TABLES):
        yield Finding("daily tables", "ok", "built")
    else:
        yield Finding("daily tables", "warn", "not built yet", "Type `funnel run`.")


def _examine_permissions(project: Project, engine: PostgresEngine) -> Iterator[Finding]:
    if project.target == "prod":
        yield _examine_excess(engine, project.raw_schema)
    missing = list(_examine_built_schemas(project, engine))
    yield from missing
    if any(finding.status == "fail" for finding in missing):
        return
    if project.target == "prod" and (reader := os.environ.get(REPORT_READER_VARIABLE)):
        yield _examine_report_reader(engine, project.schema(REPORTING), reader)


def _examine_layout(project: Project, engine: PostgresEngine, layout: Layout) -> Finding:
    name, schema = project.var("raw_layout"), project.var("landing_schema")
    if missing := find_missing(engine.connection, project, layout):
        detail = f"schema {schema} has no table {', '.join(missing)}"
        return Finding("raw layout", "fail", detail, "Check the vars landing_schema, raw_layout.")
    return Finding("raw layout", "ok", f"{name}; it does not give: {layout.cannot_give}")


def _examine_server(engine: PostgresEngine) -> Finding:
    major = engine.connection.server_version // 10000
    if major < OLDEST_SERVER:
        return Finding(
            "server", "fail", f"Postgres {major}", f"Use Postgres {OLDEST_SERVER} or newer."
        )
    return Finding("server", "ok", f"Postgres {major}")


def _examine_raw_tables(
    engine: PostgresEngine, raw_schema: str, loaded_at_field: str
) -> Iterator[Finding]:
    found = engine.find_columns(raw_schema, [table.name for table in RAW_TABLES]) or {}
    for table in RAW_TABLES:
        if table.name not in found:
            continue
        name = f"{raw_schema}.{table.name}"
        needed = [
            column.name
            for column in table.columns
            if not column.is_personal and column.name in found[table.name]
        ]
        needed.append(loaded_at_field)
        readable = _find_readable(engine, raw_schema, table.name, needed)
        if len(readable) < len(needed):
            unreadable = ", ".join(column for column in needed if column not in readable)
            yield Finding(
                f"permission on {name}",
                "fail",
                f"your role cannot read {unreadable}",
                f"grant usage on schema {raw_schema} to your role; "
                f"grant select ({', '.join(needed)}) on {name} to your role; or docs/roles.sql",
            )
            continue
        for column in table.indexed_columns(loaded_at_field):
            if not has_leading_index(engine, raw_schema, table.name, column):
                yield Finding(
                    f"index on {name} ({column})",
                    "warn",
                    "missing, so a run reads the whole table",
                    f"create index on {name} ({column});",
                )


def has_leading_index(engine: PostgresEngine, schema: str, table: str, column: str) -> bool:
    """Return whether an index of a table begins with a column; of a view, always."""
    return bool(engine.query(_LEADING_INDEX, {"table": f'"{schema}"."{table}"', "column": column}))


_LEADING_INDEX = """
    select 1
    from pg_catalog.pg_index as index
    inner join pg_catalog.pg_attribute as attribute
        on attribute.attrelid = index.indrelid and attribute.attnum = index.indkey[0]
    where index.indrelid = cast(%(table)s as regclass) and attribute.attname = %(column)s
    union all
    -- A view has no index; that of the table behind it is its owner's matter.
    select 1 from pg_catalog.pg_class where oid = cast(%(table)s as regclass) and relkind = 'v'
"""


def _find_readable(
    engine: PostgresEngine, schema: str, table: str, columns: list[str]
) -> list[str]:
    """Return which of the columns this role may select."""
    found = {name for (name,) in engine.query(_READABLE, (schema, table, columns))}
    return [column for column in columns if column in found]


_READABLE = """
    select attribute.attname
    from pg_catalog.pg_namespace as namespace
    inner join pg_catalog.pg_class as class on class.relnamespace = namespace.oid
    inner join pg_catalog.pg_attribute as attribute on attribute.attrelid = class.oid
    where
        namespace.nspname = %s
        and class.relname = %s
        and attribute.attname = any(%s)
        and has_schema_privilege(namespace.oid, 'usage')
        and has_column_privilege(class.oid, attribute.attnum, 'select')
"""


def _examine_excess(engine: PostgresEngine, raw_schema: str) -> Finding:
    """Look for rights without which the damage of a mistake or a theft would be smaller."""
    excess = []
    for table in RAW_TABLES:
        personal = [column.name for column in table.columns if column.is_personal]
        readable = _find_readable(engine, raw_schema, table.name, personal)
        if readable:
            excess.append(f"read {', '.join(readable)} in {raw_schema}.{table.name}")
    may_create = "select has_schema_privilege(to_regnamespace(%s), 'create')"
    if engine.query(may_create, (f'"{raw_schema}"',)) == [(True,)]:
        excess.append(f"create tables in {raw_schema}")
    if excess:
        return Finding(
            "rights",
            "warn",
            f"more than a run needs: your role can {' and '.join(excess)}",
            "Run as a member of funnel_writer, which docs/roles.sql makes.",
        )
    return Finding("rights", "ok", "no more than a run needs")


def _examine_report_reader(engine: PostgresEngine, schema: str, reader: str) -> Finding:
    try:
        parse_var(REPORT_READER_VARIABLE, reader)
    except FunnelError as error:
        return Finding("report reader", "fail", error.message, error.hint)
    # Null before it is built.
    may_read = engine.query(
        "select has_schema_privilege(oid, to_regnamespace(%s), 'usage')"
        " and has_table_privilege(oid, to_regclass(%s), 'select')"
        " from pg_catalog.pg_roles where rolname = %s",
        (f'"{schema}"', f'"{schema}".monthly_stats', reader),
    )
    if not may_read:
        return Finding(
            "report reader",
            "fail",
            f"there is no role {reader}, which {REPORT_READER_VARIABLE} names",
            "Set it to funnel_report_reader, which docs/roles.sql makes, or unset it.",
        )
    if may_read == [(False,)]:
        return Finding(
            "report reader",
            "warn",
            f"role {reader} cannot read {schema}.monthly_stats",
            f"grant usage on schema {schema} to {reader}; "
            f"grant select on {schema}.monthly_stats to {reader};",
        )
    return Finding("report reader", "ok", reader)


def _examine_built_schemas(project: Project, engine: PostgresEngine) -> Iterator[Finding]:
    for custom_schema in BUILT_SCHEMAS:
        schema = project.schema(custom_schema)
        # Rows that fail a test are a help, not a result: without them a run warns.
        status: Literal["warn", "fail"] = "warn" if custom_schema == AUDIT else "fail"
        [(may_create, others)] = engine.query(_MAY_BUILD, {"schema": f'"{schema}"'})
        if not may_create:
            yield Finding(
                f"permission on schema {schema}",
                status,
                "your role cannot create tables in it",
                f"create schema if not exists {schema}; grant all on schema {schema} to your role; "
                "or docs/roles.sql",
            )
        elif others:
            yield Finding(
                f"permission on schema {schema}",
                status,
                f"your role cannot replace what belongs to another: {', '.join(others)}",
                "Run docs/roles.sql as a superuser: it hands them over to funnel_writer.",
            )


# Several privileges in one text would ask for any of them.
_MAY_BUILD = """
    select
        case
            when to_regnamespace(%(schema)s) is null
                then has_database_privilege(current_database(), 'create')
            else
                has_schema_privilege(to_regnamespace(%(schema)s), 'create')
                and has_schema_privilege(to_regnamespace(%(schema)s), 'usage')
        end,
        (
            select array_agg(class.relname order by class.relname)
            from pg_catalog.pg_class as class
            where
                class.relnamespace = to_regnamespace(%(schema)s)
                and class.relkind in ('r', 'p', 'v', 'm')
                and not pg_has_role(class.relowner, 'usage')
        )
"""
