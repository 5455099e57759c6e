"""Late rows: loaded since the last run, for a month that the window does not reach back to.

Rows are found by the column that says when they were loaded, never by a scan of history. A row can
carry an earlier time than the moment at which others can see it, because its transaction took
long. Each look therefore also notes what the hours before it held; when the next look finds
something else there, it goes back by these hours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from runner.project import Project
from runner.warehouse.raw_contract import RAW_TABLES
from runner.words import plural

OVERLAP = timedelta(hours=6)
"""The longest loading transaction whose rows are sure to be found."""


@dataclass(frozen=True)
class Watermark:
    """Up to when all rows that had been loaded are counted.

    Args:
        seen_until: The moment of the look.
        recent_rows: By raw table, how many rows the OVERLAP before it held and the sum of their
            load times, as text; None where nobody looked.
    """

    seen_until: datetime
    recent_rows: Mapping[str, str] | None


@dataclass(frozen=True)
class LateRows:
    """The late rows of one month.

    Args:
        count: How many there are.
        oldest: Day of the oldest event among them.
    """

    count: int
    oldest: date

    def describe(self) -> str:
        """Return the reason for processing the month again."""
        return f"{plural(self.count, 'late row')} from {self.oldest} on"


def find_late_rows(
    connection: Connection, project: Project, since: Watermark | None, first_month: date
) -> tuple[dict[str, LateRows], Watermark]:
    """Return what was loaded since a watermark, by month as 'YYYY-MM', and the next watermark.

    Args:
        connection: A connection to the warehouse.
        project: Names the raw tables and the reporting time zone.
        since: What an earlier look has returned; without it no row is late.
        first_month: First day of the first month built; earlier events are nobody's.
    """
    found: dict[str, LateRows] = {}
    # One snapshot for all: what it does not see now, the next look will notice.
    with connection, connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        (now,) = cursor.fetchone() or (None,)
    with connection, connection.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read, read only")
        # In which the server compares a load time without a zone with a moment.
        cursor.execute("set local timezone = %s", (project.loaded_at_timezone or "UTC",))
        if since:
            unchanged = _recent_rows(cursor, project, since.seen_until) == since.recent_rows
            begin = since.seen_until if unchanged else since.seen_until - OVERLAP
            for month, rows in _rows_by_month(cursor, project, begin, first_month):
                before = found.get(month)
                found[month] = (
                    LateRows(before.count + rows.count, min(before.oldest, rows.oldest))
                    if before
                    else rows
                )
        return dict(sorted(found.items())), Watermark(now, _recent_rows(cursor, project, now))


def _rows_by_month(
    cursor: Cursor, project: Project, begin: datetime, first_month: date
) -> list[tuple[str, LateRows]]:
    query = """
        select to_char(local_time, 'YYYY-MM'), count(*), cast(min(local_time) as date)
        from (
            select {event_time} at time zone 'UTC' at time zone %(timezone)s as local_time
            from {table}
            where {loaded_at} >= {begin}
        ) as loaded
        where local_time >= %(first_month)s
        group by 1
    """
    found = []
    for table in RAW_TABLES:
        if table.event_time is None:
            continue
        cursor.execute(
            sql.SQL(query).format(
                event_time=sql.Identifier(table.event_time),
                table=sql.Identifier(project.raw_schema, table.name),
                loaded_at=sql.Identifier(project.loaded_at_field),
                begin=sql.Literal(begin),
            ),
            {"timezone": project.var("timezone"), "first_month": first_month},
        )
        found += [(month, LateRows(count, oldest)) for month, count, oldest in cursor.fetchall()]
    return found


def _recent_rows(cursor: Cursor, project: Project, until: datetime) -> dict[str, str]:
    query = """
        select concat(count(*), ' ', sum(extract(epoch from {loaded_at})))
        from {table}
        where {loaded_at} >= {begin} and {loaded_at} < {end}
    """
    recent = {}
    for table in RAW_TABLES:
        if table.event_time is None:
            continue
        cursor.execute(
            sql.SQL(query).format(
                table=sql.Identifier(project.raw_schema, table.name),
                loaded_at=sql.Identifier(project.loaded_at_field),
                begin=sql.Literal(until - OVERLAP),
                end=sql.Literal(until),
            )
        )
        (recent[table.name],) = cursor.fetchone() or ("",)
    return recent
