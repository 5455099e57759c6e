# ruff: noqa: S608 - only names of columns, written here, are put into the SQL
"""The tables of other loaders, read as if `funnel extract` had landed them: one mapping for all.

Each row is read as JSON, so that a column which a loader has left out, because it was always null,
is null, and a value is read whatever type the loader has guessed for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from runner.errors import FunnelError
from runner.extract.answers import KEYS
from runner.extract.landing import Landing, is_suspicious
from runner.extract.raw import RawTables
from runner.project import LANDING, Project
from runner.text.words import plural


@dataclass(frozen=True)
class Layout:
    """How a loader lands a Pipedrive account.

    Args:
        changes: Its table of the changes of deals.
        deals: Its tables of deals.
        loaded_at: When it has loaded a row, as SQL over `landed`, a row as JSON.
        cannot_give: What no row of it says.
    """

    changes: str
    deals: tuple[str, ...]
    loaded_at: str
    cannot_give: str


LAYOUTS = {
    "dlt": Layout(
        "deals_flow_deal_change",
        ("deals",),
        "to_timestamp(cast(landed ->> '_dlt_load_id' as double precision))",
        "what happened more than a month before the first load; archived deals; the names of lost "
        "reasons that have ids",
    ),
    "singer": Layout(
        "dealflow",
        ("deals",),
        "cast(landed ->> '_sdc_batched_at' as timestamptz)",
        "changes of owner, value and pipeline; losses and re-openings before the last; archived "
        "deals",
    ),
    "airbyte": Layout(
        "deal_flow",
        ("deals", "deals_archived"),
        "cast(landed ->> '_airbyte_extracted_at' as timestamptz)",
        "that an activity was deleted; deals that were deleted more than 30 days before the first "
        "load",
    ),
}

_NEEDED = ("activities", "activity_types", "stages")


def _text(*names: str) -> str:
    """Return the first of these fields that has a value; an object by what it is called."""
    return "coalesce({})".format(
        ", ".join(
            f"nullif(case jsonb_typeof(landed -> '{name}') when 'object' then coalesce("
            f"landed -> '{name}' ->> 'label', landed -> '{name}' ->> 'id', "
            f"landed -> '{name}' ->> 'value') else landed ->> '{name}' end, '')"
            for name in names
        )
    )


def _number(text: str) -> str:
    """Return a number as text, without trailing zeros, where it was taken for a time too."""
    return rf"""
        case
            when {text} ~ '^-?\d+([.]\d*)?([eE][+-]?\d+)?$'
                then cast(trim_scale(cast({text} as numeric)) as text)
            when {text} ~ '^\d\d\d\d-\d\d-\d\d[T ]'
                then cast(trim_scale(extract(epoch from cast({text} as timestamptz))) as text)
            else {text}
        end
    """


def _id(*names: str) -> str:
    return f"cast({_number(_text(*names))} as bigint)"


def _moment(*names: str) -> str:
    return f"cast({_text(*names)} as timestamptz) at time zone 'UTC'"


def _is(*names: str) -> str:
    return f"coalesce(cast({_text(*names)} as boolean), false)"


_USER = ("owner_id", "owner_id__id", "user_id", "user_id__id", "user_id__value")
_VALUES = ("{}", "{}__v_text", "{}__v_bigint", "{}__v_double", "{}__v_timestamp", "{}__v_bool")
_OLD, _NEW = ([form.format(name) for form in _VALUES] for name in ("old_value", "new_value"))
_VALUE = [form.format("value") for form in _VALUES]
_IS_DELETED = f"({_is('is_deleted', 'deleted')} or {_text('status')} = 'deleted')"
_NUMERIC_KEYS = "('user_id', 'stage_id', 'pipeline_id', 'value')"

# In the shape of the landing tables; `{rows}` has two columns, `landed` and `loaded_at`. Of a row
# that was landed twice the later one counts. A common table expression that is materialized reads a
# value once, however often the next step names it.
_SELECTS = {
    "deals": f"""
        with every as materialized (
            select
                {_id("id")} as id, {_moment("add_time")} as add_time,
                {_moment("update_time", "add_time")} as update_time, {_id(*_USER)} as user_id,
                {_id("stage_id", "stage_id__id")} as stage_id,
                {_id("pipeline_id", "pipeline_id__id")} as pipeline_id,
                case when {_IS_DELETED} then 'deleted' else {_text("status")} end as status,
                {_text(*_VALUE)} as value, {_text("currency")} as currency,
                {_text("lost_reason")} as lost_reason, {_moment("won_time")} as won_time,
                {_moment("lost_time")} as lost_time, loaded_at
            from {{rows}}
        )
        select distinct on (id)
            id, add_time, update_time, user_id, stage_id, pipeline_id, status,
            {_number("value")} as value, currency, lost_reason, won_time, lost_time,
            update_time as log_of, true as is_whole
        from every order by id, update_time desc nulls last, loaded_at desc
    """,
    "deal_changelog": f"""
        with every as materialized (
            select
                {_id("item_id", "deal_id")} as deal_id, {_id("id")} as number,
                {_moment("log_time", "time")} as changed_at,
                case landed ->> 'field_key' when 'owner_id' then 'user_id'
                    else landed ->> 'field_key' end as field_key,
                {_text(*_OLD)} as old_value, {_text(*_NEW)} as new_value
            from {{rows}} where landed ->> 'field_key' = any({{keys}} || array['owner_id'])
        ),
        plain as (
            select
                deal_id, number, changed_at, field_key,
                case when field_key in {_NUMERIC_KEYS} then {_number("old_value")}
                    else old_value end as old_value,
                case when field_key in {_NUMERIC_KEYS} then {_number("new_value")}
                    else new_value end as new_value
            from every
        )
        select
            deal_id,
            row_number() over (partition by deal_id order by changed_at, number) as place,
            changed_at, field_key, old_value, new_value
        from plain
    """,
    "activities": f"""
        select id, type, user_id, deal_id, done, due_date, due_time from (
            select distinct on ({_id("id")})
                {_id("id")} as id, {_text("type")} as type,
                {_id("owner_id", "user_id", "assigned_to_user_id")} as user_id,
                {_id("deal_id")} as deal_id, {_is("done")} as done,
                cast({_text("due_date")} as date) as due_date,
                cast({_text("due_time")} as time) as due_time,
                {_is("is_deleted", "deleted")}
                or not coalesce(cast({_text("active_flag")} as boolean), true) as is_gone
            from {{rows}}
            order by {_id("id")}, {_moment("update_time")} desc nulls last, loaded_at desc
        ) as latest where not is_gone
    """,
    "activity_types": f"""
        select distinct on ({_id("id")})
            {_id("id")} as id, {_text("name")} as name, {_is("active_flag")} as active,
            {_text("key_string")} as type
        from {{rows}} order by {_id("id")}, loaded_at desc
    """,
    "stages": f"""
        select distinct on ({_id("id")})
            {_id("id")} as id, {_text("name")} as name, {_id("pipeline_id")} as pipeline_id
        from {{rows}} order by {_id("id")}, loaded_at desc
    """,
    "pipelines": f"""
        select distinct on ({_id("id")}) {_id("id")} as id, {_text("name")} as name
        from {{rows}} order by {_id("id")}, loaded_at desc
    """,
    "users": f"""
        select distinct on ({_id("id")})
            {_id("id")} as id, {_text("name")} as name, {_text("email")} as email,
            {_moment("modified")} as modified
        from {{rows}} order by {_id("id")}, loaded_at desc
    """,
    "fields": f"""
        select distinct on ({_text("field_code", "key")})
            {_text("field_code", "key")} as field_key, {_text("field_name", "name")} as name,
            case jsonb_typeof(landed -> 'options') when 'string'
                then cast(landed ->> 'options' as jsonb) else landed -> 'options' end as options
        from {{rows}} where {_text("field_code", "key")} = any({{keys}})
        order by {_text("field_code", "key")}, loaded_at desc
    """,
}


@dataclass(frozen=True)
class Filled:
    """What has changed in the raw tables, and when the loader loaded last."""

    added: int
    removed: int
    loaded_at: datetime | None

    def describe(self, project: Project) -> str:
        """Return it in a sentence."""
        rows = f"{plural(self.added, 'row')} added, {self.removed:,} removed"
        return f"Raw tables filled from {project.var('landing_schema')}: {rows}."


def find_layout(project: Project) -> Layout | None:
    """Return the layout that the var `raw_layout` names; nothing where raw tables are loaded."""
    return LAYOUTS.get(str(project.var("raw_layout")))


def find_missing(connection: Connection, project: Project, layout: Layout) -> list[str]:
    """Return the tables of the loader that are not there."""
    schema = str(project.var("landing_schema"))
    tables = (layout.changes, layout.deals[0], *_NEEDED)
    return [table for table in tables if not _exists(connection, schema, table)]


def fill_raw_tables(
    connection: Connection, project: Project, *, remove_vanished: bool = False
) -> Filled:
    """Make the raw tables what a loader's tables say, touching no row that is as it was.

    The lock of the target has to be held.

    Raises:
        FunnelError: A table is missing or not as the loader writes it, the raw tables hold rows of
            another origin, or deals have vanished in great number.
    """
    name, schema = str(project.var("raw_layout")), str(project.var("landing_schema"))
    layout = LAYOUTS[name]
    project.check_may_load()
    if schema == project.raw_schema:
        raise FunnelError(
            f"the vars landing_schema and raw_schema are both {schema}",
            hint="Let funnel fill a raw schema of its own.",
        )
    if missing := find_missing(connection, project, layout):
        raise FunnelError(
            f"schema {schema} has no table {', '.join(missing)}",
            hint=f"Check the vars landing_schema and raw_layout, which is {name}.",
        )
    record = Landing(connection, project.schema(LANDING))
    raw = RawTables(project, Landing(connection, "pg_temp"))
    origin = f"{schema} by {name}"
    if record.find_company() not in (None, origin):
        raise FunnelError(
            f"this database holds the account {record.find_company()}, not {origin}",
            hint="Use another database or FUNNEL_HOME.",
        )
    if not record.has_filled(project.raw_schema):
        raw.check_free()
    record.create(())
    raw.create()
    with connection, connection.cursor() as cursor:
        cursor.execute("set local timezone = 'UTC'")
        try:
            loaded_at = _read_tables(cursor, schema, layout)
        except (psycopg2.DataError, psycopg2.ProgrammingError) as error:
            reason = (error.diag.message_primary or "").partition(":")[0]
            raise FunnelError(
                f"the tables in {schema} are not as {name} writes them: {reason}",
                hint="Check the vars landing_schema and raw_layout.",
            ) from error
        if not remove_vanished:
            _refuse_vanished(cursor, project)
        raw.write_all(cursor)
        if loaded_at:
            written = {"company": origin, "raw_schema": project.raw_schema}
            record.record(cursor, loaded_at, complete_until=loaded_at, **written)
    raw.analyze()
    return Filled(raw.added, raw.removed, loaded_at)


def _read_tables(cursor: Cursor, schema: str, layout: Layout) -> datetime | None:
    """Make temporary tables in the shape of the landing tables; return the last load."""
    sources = {
        "deals": layout.deals,
        "deal_changelog": (layout.changes,),
        "fields": ("deal_fields",),
        **{table: (table,) for table in (*_NEEDED, "pipelines", "users")},
    }
    for table, names in sources.items():
        there = [each for each in names if _exists(cursor.connection, schema, each)]
        cursor.execute(
            sql.SQL("create temporary table {} on commit drop as " + _SELECTS[table]).format(
                sql.Identifier(table),
                rows=_rows(schema, there, layout),
                keys=sql.Literal(list(KEYS)),
            )
        )
        cursor.execute(sql.SQL("analyze {}").format(sql.Identifier("pg_temp", table)))
    landed = _rows(schema, [layout.changes, *layout.deals[:1], "activities"], layout)
    cursor.execute(sql.SQL("select max(loaded_at) from {}").format(landed))
    (loaded_at,) = cursor.fetchone() or (None,)
    return loaded_at  # type: ignore[no-any-return]


def _rows(schema: str, tables: Sequence[str], layout: Layout) -> sql.Composable:
    selects = [
        sql.SQL("select to_jsonb(source) as landed from {} as source").format(
            sql.Identifier(schema, table)
        )
        for table in tables
    ]
    nothing = sql.SQL("select cast(null as jsonb) as landed where false")
    return sql.SQL("(select landed, {} as loaded_at from ({}) as every) as rows").format(
        sql.SQL(layout.loaded_at), sql.SQL(" union all ").join(selects or [nothing])
    )


def _refuse_vanished(cursor: Cursor, project: Project) -> None:
    cursor.execute(
        sql.SQL("""
            select count(*) filter (where deals.id is null), count(*)
            from (select distinct deal_id from {}) as known
            left join pg_temp.deals as deals on known.deal_id = deals.id
        """).format(sql.Identifier(project.raw_schema, "deal_changes"))
    )
    gone, known = cursor.fetchone() or (0, 0)
    if is_suspicious(gone, known):
        raise FunnelError(
            f"{gone:,} of {known:,} deals are no longer in {project.var('landing_schema')}; "
            "nothing was changed",
            hint="Load again; if they were deleted, add --remove-vanished.",
        )


def _exists(connection: Connection, schema: str, table: str) -> bool:
    with connection.cursor() as cursor:
        name = sql.Identifier(schema, table).as_string(cursor)
        cursor.execute("select to_regclass(%s) is not null", (name,))
        return cursor.fetchone() == (True,)
