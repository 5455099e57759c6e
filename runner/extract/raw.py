"""From the landing tables to the raw ones, by difference: what is as it was keeps its load time."""

from collections.abc import Collection
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case

from runner.errors import FunnelError
from runner.extract.landing import Landing
from runner.project import META, Project
from runner.raw.tables import create_indexes, create_tables
from runner.warehouse.meta import EVENTS
from runner.warehouse.on_postgres import PostgresEngine
from runner.warehouse.raw_contract import EVENT_TIMES, RAW_TABLES, check_raw_tables

# An activity of a whole day is a date, not a moment: noon of the reporting zone is on that day.
_ACTIVITY = """
    select
        activities.id, activities.type, activities.user_id, activities.deal_id, activities.done,
        case
            when activities.due_time is null
                then (activities.due_date + time '12:00') at time zone {timezone} at time zone 'UTC'
            else activities.due_date + activities.due_time
        end
    from {activities} as activities
    left join {deals} as deals on activities.deal_id = deals.id
    where deals.status is distinct from 'deleted'
"""

# A log has no row for what a deal began with: that is the old value of a field's first change, or
# the value of today where it has never changed. Nor has it one of a deal that was imported as won
# or lost.
_DEAL_CHANGES = """
    with deals as (
        select
            *,
            case status
                when 'won' then coalesce(won_time, add_time)
                when 'lost' then coalesce(lost_time, add_time)
            end as closed_at
        from {deals} where id in ({deals_to_write}) and status <> 'deleted'
    ),
    changes as (select * from {deal_changelog} where deal_id in (select id from deals)),
    first_changes as (
        select distinct on (deal_id, field_key) deal_id, field_key, old_value
        from changes order by deal_id, field_key, place
    ),
    today as (
        select deals.id as deal_id, deals.add_time, fields.field_key, fields.field_value
        from deals cross join lateral (values
            ('user_id', cast(user_id as text)), ('stage_id', cast(stage_id as text)),
            ('pipeline_id', cast(pipeline_id as text)), ('value', value), ('currency', currency),
            ('status', case when closed_at <= add_time then status else 'open' end),
            (
                'lost_reason',
                case when status = 'lost' and closed_at <= add_time then lost_reason end
            )
        ) as fields (field_key, field_value)
    ),
    silent_closings as (
        select deals.id as deal_id, deals.closed_at, closings.field_key, closings.field_value
        from deals cross join lateral (values
            ('status', status), ('lost_reason', case status when 'lost' then lost_reason end)
        ) as closings (field_key, field_value)
        where deals.closed_at > deals.add_time and closings.field_value is not null and not exists (
            select from changes
            where changes.deal_id = deals.id and changes.field_key = closings.field_key
        )
    ),
    every as (
        select deal_id, changed_at, field_key, new_value from changes where field_key <> 'add_time'
        union
        select id, add_time, 'add_time', to_char(add_time, 'YYYY-MM-DD HH24:MI:SS') from deals
        union
        select
            today.deal_id, today.add_time, today.field_key,
            case
                when first_changes.deal_id is null then today.field_value
                else first_changes.old_value
            end as first_value
        from today
        left join first_changes
            on
                today.deal_id = first_changes.deal_id
                and today.field_key = first_changes.field_key
        where first_changes.deal_id is null and today.field_value is not null
            or first_changes.old_value is not null
        union
        select deal_id, closed_at, field_key, field_value from silent_closings
    )
    select deal_id, changed_at, field_key, new_value from every where changed_at is not null
"""

# A run finds the months of loaded rows by itself; those of deleted rows have to be written down.
_DELETE = """
    with gone as (
        delete from {table} as stored where {condition} returning {moment} as local_time
    ),
    recorded as (
        insert into {events} (run_id, event, happened_at, months, rows_written, first_day)
        select
            '', 'removed', current_timestamp, to_char(local_time, 'YYYY-MM'), count(*),
            cast(min(local_time) as date)
        from gone where local_time is not null group by 4
    )
    select count(*) from gone
"""

_SELECTS = {
    "activity": _ACTIVITY,
    "activity_types": "select id, name, active, type from {activity_types}",
    "deal_changes": _DEAL_CHANGES,
    "fields": "select cast(null as bigint), field_key, name, options from {fields}",
    "stages": "select id, name, pipeline_id from {stages}",
    "pipelines": "select id, name from {pipelines}",
    "users": "select id, name, email, modified from {users}",
}
_COLUMNS = {table.name: tuple(column.name for column in table.columns) for table in RAW_TABLES}


@dataclass
class RawTables:
    """The raw tables of one target, and how many of their rows changed."""

    project: Project
    landing: Landing
    added: int = 0
    removed: int = 0

    @property
    def connection(self) -> Connection:
        """The connection of the landing tables."""
        return self.landing.connection

    def check_free(self) -> None:
        """Check that no rows are there which another loader has brought: they would be deleted.

        Raises:
            FunnelError: There are.
        """
        with self.connection.cursor() as cursor:
            for table in EVENT_TIMES:
                name = sql.Identifier(self.project.raw_schema, table)
                cursor.execute(
                    "select to_regclass(%s) is not null", (name.as_string(self.connection),)
                )
                if cursor.fetchone() != (True,):
                    continue
                cursor.execute(sql.SQL("select exists (select from {})").format(name))
                if cursor.fetchone() == (True,):
                    raise FunnelError(
                        f"{self.project.raw_schema}.{table} holds rows that `funnel extract` "
                        "did not load",
                        hint="Use another FUNNEL_HOME or database: extract deletes what is not in "
                        "the account.",
                    )

    def create(self) -> None:
        """Create what is not there yet, and check that all is as funnel reads it.

        Raises:
            FunnelError: A column has another type.
        """
        schema, loaded_at = self.project.raw_schema, self.project.loaded_at_field
        with self.connection, self.connection.cursor() as cursor:
            create_tables(cursor, schema, loaded_at)
            create_indexes(cursor, schema, loaded_at)
        check_raw_tables(PostgresEngine(self.connection), self.project)

    def write_all(self, cursor: Cursor) -> None:
        """Make all tables what the landing tables say, but for deals whose log is due."""
        deals = self.landing.name("deals")
        for table in _SELECTS:
            if table != "deal_changes":
                self._write(cursor, table)
        query = sql.SQL("select id from {} where log_of = update_time").format(deals)
        self._write(cursor, "deal_changes", query)
        gone = """not exists (
            select from {} as deals where deals.id = stored.deal_id and deals.status <> 'deleted'
        )"""
        self._delete(cursor, "deal_changes", sql.SQL(gone).format(deals))

    def analyze(self) -> None:
        """Have the server look at tables of events that have changed, before a run reads them."""
        with self.connection.cursor() as cursor:
            for table in EVENT_TIMES if self.added or self.removed else ():
                name = sql.Identifier(self.project.raw_schema, table)
                cursor.execute(sql.SQL("analyze {}").format(name))

    def write_changes(self, cursor: Cursor, deals: Collection[int]) -> None:
        """Make the changes of some deals what the landing tables say."""
        self._write(
            cursor, "deal_changes", sql.SQL("select unnest({})").format(sql.Literal(list(deals)))
        )

    def _write(self, cursor: Cursor, table: str, deals: sql.Composable | None = None) -> None:
        columns = [sql.Identifier(name) for name in _COLUMNS[table]]
        landing = {name: self.landing.name(name) for name in _LANDING}
        no_deals = sql.SQL("null")
        select = sql.SQL(_SELECTS[table]).format(
            timezone=sql.Literal(self.project.var("timezone")),
            deals_to_write=deals or no_deals,
            **landing,
        )
        scope = sql.SQL("stored.deal_id in ({})").format(deals) if deals else sql.SQL("true")
        # In the types of the table, which may be others than our own.
        parts = {
            "table": sql.Identifier(self.project.raw_schema, table),
            "columns": sql.SQL(", ").join(columns),
            "stored": sql.SQL(", ").join(sql.SQL("stored.{}").format(each) for each in columns),
            "wanted": sql.SQL(", ").join(sql.SQL("wanted.{}").format(each) for each in columns),
            "loaded_at": sql.Identifier(self.project.loaded_at_field),
            "scope": scope,
        }
        cursor.execute(
            sql.SQL(
                "create temporary table wanted on commit drop as select {columns} from {table} "
                "limit 0"
            ).format(**parts)
        )
        cursor.execute(sql.SQL("insert into wanted {}").format(select))
        cursor.execute("analyze wanted")
        is_same = sql.SQL("row({wanted})::text = row({stored})::text").format(**parts)
        self._delete(
            cursor,
            table,
            sql.SQL("{} and not exists (select from wanted where {})").format(scope, is_same),
        )
        cursor.execute(
            sql.SQL("""
                insert into {table} ({columns}, {loaded_at})
                select {wanted}, clock_timestamp() from wanted
                where not exists (select from {table} as stored where {scope} and {is_same})
            """).format(is_same=is_same, **parts)
        )
        self.added += cursor.rowcount
        cursor.execute("drop table wanted")

    def _delete(self, cursor: Cursor, table: str, condition: sql.Composable) -> None:
        """Delete rows, and write their months down, which the next run has to process again."""
        event_time = EVENT_TIMES.get(table)
        moment = sql.SQL("{} at time zone 'UTC' at time zone {}").format(
            sql.Identifier(event_time or ""), sql.Literal(self.project.var("timezone"))
        )
        cursor.execute(
            sql.SQL(_DELETE).format(
                table=sql.Identifier(self.project.raw_schema, table),
                condition=condition,
                moment=moment if event_time else sql.SQL("cast(null as timestamp)"),
                events=sql.Identifier(self.project.schema(META), EVENTS),
            )
        )
        (count,) = cursor.fetchone() or (0,)
        self.removed += count


_LANDING = (
    *("activities", "activity_types", "deal_changelog", "deals"),
    *("fields", "pipelines", "stages", "users"),
)
