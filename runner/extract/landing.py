"""The landing tables: what the account holds, as the last extract has seen it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case
from psycopg2.extras import execute_values

from runner.extract.answers import Change
from runner.warehouse.connection import create_schema, reading, table_exists

_SETTLED_AFTER = timedelta(minutes=1)
"""A deal that changed this shortly before its log was read may have changed again since."""

_SUSPICIOUS_SHARE = 0.2
_SUSPICIOUS_COUNT = 50
"""More than both of them do not vanish in a day: rather the token's user sees less than before."""

_OFTEN = 3
_LATER = timedelta(days=7)
"""A deal that could not be read so often since it changed is asked for again so much later."""

Log = tuple[list[Change], bool]
"""The changes of a deal, oldest first, and whether they are whole."""


class DueDeal(NamedTuple):
    """A deal whose log is to be read, as the sweep has seen it."""

    id: int
    stage_id: int | None
    update_time: datetime
    has_failed: bool = False
    """Whether it could not be read before, as it is."""


@dataclass(frozen=True)
class Entity:
    """A landing table; most have a row for each thing that a sweep sees.

    Args:
        table: Its name.
        columns: Names and types.
        key: The names of the columns that are its key.
        when_gone: What happens to a row that a sweep does not see: it is deleted, marked, or kept
            for its name.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    key: str
    when_gone: str = "delete"

    @property
    def names(self) -> list[sql.Identifier]:
        """The names of its columns."""
        return [sql.Identifier(name) for name, _ in self.columns]

    @property
    def seen(self) -> sql.Identifier:
        """The table of this session with what a sweep has seen."""
        return sql.Identifier("pg_temp", f"seen_{self.table}")


def _columns(text: str) -> tuple[tuple[str, str], ...]:
    name_and_kind = (column.split(maxsplit=1) for column in text.split(", "))
    return tuple((name, kind) for name, kind in name_and_kind)


def _entity(table: str, columns: str, when_gone: str = "delete") -> Entity:
    return Entity(table, _columns(columns), columns.partition(" ")[0], when_gone)


DEALS = _entity(
    "deals",
    "id bigint, add_time timestamp, update_time timestamp, user_id bigint, stage_id bigint, "
    "pipeline_id bigint, status text, value text, currency text, lost_reason text, "
    "won_time timestamp, lost_time timestamp",
    when_gone="mark",
)
ACTIVITIES = _entity(
    "activities",
    "id bigint, type text, user_id bigint, deal_id bigint, done boolean, due_date date, "
    "due_time time",
)
ACTIVITY_TYPES = _entity(
    "activity_types", "id bigint, name text, active boolean, type text", when_gone="keep"
)
STAGES = _entity("stages", "id bigint, name text, pipeline_id bigint", when_gone="keep")
PIPELINES = _entity("pipelines", "id bigint, name text", when_gone="keep")
FIELDS = _entity("fields", "field_key text, name text, options jsonb")
USERS = _entity("users", "id bigint, name text, email text, modified timestamp")
ENTITIES = (PIPELINES, STAGES, FIELDS, ACTIVITY_TYPES, USERS, DEALS, ACTIVITIES)

# The log of a deal is known up to `log_of`; it is due where the deal has changed since.
_MORE_COLUMNS = {DEALS: _columns("log_of timestamp, is_whole boolean")}
_OTHER_TABLES = (
    Entity(
        "deal_changelog",
        _columns(
            "deal_id bigint, place integer, changed_at timestamp not null, "
            "field_key text not null, old_value text, new_value text"
        ),
        key="deal_id, place",
    ),
    # What counts is a failure to read the deal as it is: it has the deal's `update_time`.
    _entity(
        "failed_deals",
        "deal_id bigint, update_time timestamp not null, failures integer not null, "
        "failed_at timestamptz not null",
    ),
    _entity(
        "extracts",
        "started_at timestamptz, finished_at timestamptz, company text not null, "
        "raw_schema text not null, complete_until timestamptz, complete_from timestamptz, "
        "requests integer, tokens integer, waiting_deals integer, unread_deals integer",
    ),
)

_DUE = """
    from {deals} as deals
    left join {failed_deals} as failed
        on failed.deal_id = deals.id and failed.update_time = deals.update_time
    where deals.status <> 'deleted' and deals.log_of is distinct from deals.update_time
"""


@dataclass(frozen=True)
class Landing:
    """The landing schema of one target."""

    connection: Connection
    schema: str

    def name(self, table: str) -> sql.Identifier:
        """Return the name of one of its tables."""
        return sql.Identifier(self.schema, table)

    def find_company(self) -> str | None:
        """Return whose account it holds, if any."""
        if not table_exists(self.connection, self.schema, "extracts"):
            return None
        with reading(self.schema, "extracts"), self.connection.cursor() as cursor:
            cursor.execute(sql.SQL("select max(company) from {}").format(self.name("extracts")))
            row: tuple[str | None] | None = cursor.fetchone()
        return row[0] if row else None

    def has_filled(self, raw_schema: str) -> bool:
        """Return whether an extract has written into these raw tables before."""
        if not table_exists(self.connection, self.schema, "extracts"):
            return False
        query = sql.SQL("select exists (select from {} where raw_schema = %s)")
        with self.connection.cursor() as cursor:
            cursor.execute(query.format(self.name("extracts")), (raw_schema,))
            return cursor.fetchone() == (True,)

    def create(self, entities: Iterable[Entity] = ENTITIES) -> None:
        """Create what is not there yet, in tables of an earlier version the columns too."""
        create_schema(self.connection, self.schema)
        for entity in (*entities, *_OTHER_TABLES):
            table = self.name(entity.table)
            wanted = (*entity.columns, *_MORE_COLUMNS.get(entity, ()))
            present = self._find_columns(entity.table)
            missing = [column for column in wanted if column[0] not in present]
            statement = sql.SQL("create table {} ({}, primary key ({})) ").format(
                table, _declare(wanted), sql.SQL(entity.key)
            )
            if present:
                added = (sql.SQL("add column {}").format(_declare([each])) for each in missing)
                statement = sql.SQL("alter table {} {}").format(table, sql.SQL(", ").join(added))
            if missing:
                with self.connection.cursor() as cursor:
                    cursor.execute(statement)

    def _find_columns(self, table: str) -> set[str]:
        query = """
            select attname from pg_attribute
            where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
        """
        with self.connection.cursor() as cursor:
            cursor.execute(query, (self.name(table).as_string(cursor),))
            return {name for (name,) in cursor.fetchall()}

    def see(self, entity: Entity, pages: Iterable[Iterable[Sequence[object]]]) -> int:
        """Keep what a sweep sees until `merge`; return how many rows that are."""
        count = 0
        with self.connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("create temporary table if not exists {} ({})").format(
                    sql.Identifier(entity.seen.strings[-1]), _declare(entity.columns)
                )
            )
            insert = sql.SQL("insert into {} values %s").format(entity.seen)
            for page in pages:
                rows = list(page)
                execute_values(cursor, insert.as_string(cursor), rows, page_size=len(rows) or 1)
                count += len(rows)
        return count

    def find_vanished_deals(self) -> list[int]:
        """Return the deals that the sweep does not see, and nobody has said to be deleted."""
        if not table_exists(self.connection, self.schema, "deals"):
            return []
        query = sql.SQL("""
            select id from {} as stored where status <> 'deleted'
            and not exists (select from {} as seen where seen.id = stored.id)
        """).format(self.name("deals"), DEALS.seen)
        with self.connection.cursor() as cursor:
            cursor.execute(query)
            return [deal_id for (deal_id,) in cursor.fetchall()]

    def count_suspicious(self, entity: Entity) -> int:
        """Return how many known rows the sweep does not see, if that is too many to be true."""
        if not table_exists(self.connection, self.schema, entity.table):
            return 0
        query = sql.SQL("""
            select count(*) filter (where seen.id is null), count(*) from {} as stored
            left join (select distinct id from {}) as seen on seen.id = stored.id {}
        """).format(
            self.name(entity.table),
            entity.seen,
            sql.SQL("where stored.status <> 'deleted'" if entity is DEALS else ""),
        )
        with self.connection.cursor() as cursor:
            cursor.execute(query)
            gone, known = cursor.fetchone() or (0, 0)
        return gone if is_suspicious(gone, known) else 0

    def merge(self, cursor: Cursor, entity: Entity, *, removes: bool = True) -> None:
        """Make a table what the sweep has seen, touching no row that is as it was.

        Args:
            cursor: Where to write.
            entity: Which table.
            removes: Whether what the sweep does not see is gone.
        """
        key, *others = entity.names
        parts = {
            "table": self.name(entity.table),
            "seen": entity.seen,
            "key": key,
            "columns": sql.SQL(", ").join(entity.names),
            "values": sql.SQL(", ").join(others),
            "excluded": sql.SQL(", ").join(
                sql.SQL("excluded.{}").format(column) for column in others
            ),
            "stored": sql.SQL(", ").join(sql.SQL("stored.{}").format(column) for column in others),
        }
        cursor.execute(sql.SQL("analyze {seen}").format(**parts))
        gone = {
            "delete": "delete from {table} as stored",
            "mark": "update {table} as stored set status = 'deleted'",
        }
        if removes and entity.when_gone in gone:
            where = " where not exists (select from {seen} as seen where seen.{key} = stored.{key})"
            cursor.execute(sql.SQL(gone[entity.when_gone] + where).format(**parts))
        cursor.execute(
            sql.SQL("""
                insert into {table} as stored ({columns})
                select distinct on ({key}) {columns} from {seen} order by {key}
                on conflict ({key}) do update set ({values}) = row({excluded})
                where row({stored}) is distinct from row({excluded})
            """).format(**parts)
        )

    def count_due(self, since: datetime) -> int:
        """Return how many of the deals seen have a log that is due, before anything is written."""
        query = (
            "select count(distinct id) from {seen} as seen "
            "where status <> 'deleted' and update_time >= %(since)s"
        )
        if table_exists(self.connection, self.schema, "deals"):
            query += """ and not exists (
                select from {deals} as stored
                where stored.id = seen.id and stored.log_of is not distinct from seen.update_time
            )"""
        if table_exists(self.connection, self.schema, "failed_deals"):
            query += """ and not exists (
                select from {failed_deals} as failed
                where
                    failed.deal_id = seen.id and failed.update_time = seen.update_time
                    and failures >= %(often)s and failed_at > now() - %(later)s
            )"""
        with self.connection.cursor() as cursor:
            values = {"since": since, "often": _OFTEN, "later": _LATER}
            cursor.execute(self._sql(query, seen=DEALS.seen), values)
            (count,) = cursor.fetchone() or (0,)
            return int(count)

    def find_due(self, since: datetime) -> list[DueDeal]:
        """Return the deals changed since then whose log is due.

        Those changed last come first, and those that could not be read before at the end.
        """
        query = f"""
            select id, stage_id, deals.update_time, failures is not null {_DUE}
            and deals.update_time >= %s
            and not coalesce(failures >= %s and failed_at > now() - %s, false)
            order by failed_at nulls first, deals.update_time desc, id desc
        """  # noqa: S608 - only a part of it, written here
        with self.connection.cursor() as cursor:
            cursor.execute(self._sql(query), (since, _OFTEN, _LATER))
            return [DueDeal(*row) for row in cursor.fetchall()]

    def find_unread(self) -> list[int]:
        """Return the deals whose log is due and could not be read, whenever that was tried last."""
        query = f"select id {_DUE} and failures is not null order by id"  # noqa: S608 - as above
        with self.connection.cursor() as cursor:
            cursor.execute(self._sql(query))
            return [deal_id for (deal_id,) in cursor.fetchall()]

    def _sql(self, query: str, **names: sql.Composable) -> sql.Composed:
        tables = {table: self.name(table) for table in ("deals", "failed_deals")}
        return sql.SQL(query).format(**tables, **names)

    def find_complete(
        self, started_at: datetime, since: datetime
    ) -> tuple[datetime, datetime | None]:
        """Return through when the history of all deals is known, and from when on it is again.

        What happened to a deal whose log is due is unknown from `log_of`, or its creation, to
        `update_time`. A deal left out by `since` has no history, but no event later than that.
        Deals that could not be read are left out: they are named, and may never be readable.
        """
        query = f"""
            select
                least(
                    %(now)s,
                    min(coalesce(log_of, add_time)) filter (where deals.update_time >= %(since)s)
                    at time zone 'UTC'
                ),
                max(deals.update_time) at time zone 'UTC'
            {_DUE} and failures is null
        """  # noqa: S608 - as above
        with self.connection.cursor() as cursor:
            cursor.execute(self._sql(query), {"now": started_at, "since": since})
            until, complete_from = cursor.fetchone() or (started_at, None)
        return until, complete_from

    def count_unproven(self) -> int:
        """Return how many deals have a log that is not whole, whatever was asked."""
        query = "select count(*) from {} where not is_whole and status <> 'deleted'"
        with self.connection.cursor() as cursor:
            cursor.execute(sql.SQL(query).format(self.name("deals")))
            (count,) = cursor.fetchone() or (0,)
            return int(count)

    def write_logs(self, cursor: Cursor, logs: Mapping[int, Log], now: datetime) -> None:
        """Replace the logs of some deals."""
        log = self.name("deal_changelog")
        cursor.execute(sql.SQL("delete from {} where deal_id = any(%s)").format(log), (list(logs),))
        rows = [
            (deal_id, place, *change)
            for deal_id, (changes, _) in logs.items()
            for place, change in enumerate(changes)
        ]
        insert = sql.SQL("insert into {} values %s").format(log)
        execute_values(cursor, insert.as_string(cursor), rows, page_size=1000)
        update = sql.SQL("""
            update {} as deals set
                log_of = least(update_time, {}), is_whole = read.whole
            from (values %s) as read (id, whole) where deals.id = read.id
        """).format(self.name("deals"), sql.Literal(now - _SETTLED_AFTER))
        states = [(deal_id, whole) for deal_id, (_, whole) in logs.items()]
        execute_values(cursor, update.as_string(cursor), states, page_size=1000)
        forget = sql.SQL("delete from {} where deal_id = any(%s)")
        cursor.execute(forget.format(self.name("failed_deals")), (list(logs),))

    def write_failures(self, cursor: Cursor, deals: Iterable[DueDeal]) -> None:
        """Write down deals that could not be read, and how often since they have changed."""
        insert = sql.SQL("""
            insert into {} as failed values %s on conflict (deal_id) do update set
                failures = case
                    when failed.update_time = excluded.update_time then failed.failures + 1 else 1
                end,
                update_time = excluded.update_time, failed_at = excluded.failed_at
        """).format(self.name("failed_deals"))
        rows = [(deal.id, deal.update_time) for deal in deals]
        execute_values(cursor, insert.as_string(cursor), rows, "(%s, %s, 1, clock_timestamp())")

    def record(self, cursor: Cursor, started_at: datetime, **values: object) -> None:
        """Write down what an extract has done so far."""
        columns = {"started_at": started_at, **values}
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        cursor.execute(
            sql.SQL("""
                insert into {} ({}) values ({}) on conflict (started_at)
                do update set ({}) = row({})
            """).format(
                self.name("extracts"),
                names,
                sql.SQL(", ").join(map(sql.Literal, columns.values())),
                names,
                sql.SQL(", ").join(
                    sql.SQL("excluded.{}").format(sql.Identifier(name)) for name in columns
                ),
            )
        )


def is_suspicious(gone: int, known: int) -> bool:
    """Return whether more has vanished than anybody deletes between two looks."""
    return gone > max(_SUSPICIOUS_COUNT, _SUSPICIOUS_SHARE * known)


def _declare(columns: Iterable[tuple[str, str]]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in columns
    )
