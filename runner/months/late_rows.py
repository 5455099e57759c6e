"""Late rows: loaded or deleted since the last run, for a month before the window.

Rows are found by the column that says when they were loaded, never by a scan of history. A row can
carry an earlier time than the moment at which others can see it, because its transaction took
long. Each look therefore also notes what the hours before it held; when the next look finds
something else there, it goes back by these hours.

Rows that `funnel extract` has deleted leave no row to be found: it writes the event `removed` into
the ledger, which makes their months late in the same way.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case

from runner.months.window import EARLIEST, LATEST
from runner.project import META, Project
from runner.warehouse.meta import EVENTS
from runner.warehouse.raw_contract import EVENT_TIMES
from runner.words import plural

OVERLAP = timedelta(hours=6)
"""The longest loading transaction whose rows are sure to be found."""


@dataclass(frozen=True)
class Watermark:
    """Up to when all rows that had been loaded are counted.

    Args:
        seen_until: The moment of the look.
        recent_rows: For each raw table, how many rows the OVERLAP before it held and the sum of
            their load times, in one text; None where nobody looked.
    """

    seen_until: datetime
    recent_rows: str | None


@dataclass(frozen=True)
class LateRows:
    """The late rows of one month, those that were deleted among them.

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
    cursor: Cursor, project: Project, since: Watermark | None, now: datetime
) -> tuple[dict[str, LateRows], Watermark]:
    """Return what was loaded since a watermark, by month as 'YYYY-MM', and the next watermark.

    Args:
        cursor: Asks within one snapshot.
        project: Names the raw tables and the reporting time zone.
        since: What an earlier look has returned; without it no row is late.
        now: The moment of this look, before that of the snapshot.
    """
    # In which the server compares a load time without a zone with a moment.
    cursor.execute("set local timezone = %s", (project.loaded_at_timezone or "UTC",))
    recent_rows = _recent_rows(cursor, project, now)
    if since is None:
        return {}, Watermark(now, recent_rows)
    unchanged = _recent_rows(cursor, project, since.seen_until) == since.recent_rows
    begin = since.seen_until if unchanged else since.seen_until - OVERLAP
    late_rows = _rows_by_month(cursor, project, begin)
    for month, removed in _removed_by_month(cursor, project, since.seen_until).items():
        loaded = late_rows.get(month, LateRows(0, removed.oldest))
        oldest = min(loaded.oldest, removed.oldest)
        late_rows[month] = LateRows(loaded.count + removed.count, oldest)
    return late_rows, Watermark(now, recent_rows)


def _rows_by_month(cursor: Cursor, project: Project, begin: datetime) -> dict[str, LateRows]:
    query = """
        select {event_time} at time zone 'UTC' at time zone {timezone} as local_time
        from {table}
        where {loaded_at} >= {begin}
    """
    loaded = _of_each_table(
        query, project, begin=sql.Literal(begin), timezone=sql.Literal(project.var("timezone"))
    )
    months = """
        select to_char(local_time, 'YYYY-MM'), count(*), cast(min(local_time) as date)
        from ({}) as loaded
        where local_time >= %s and local_time < %s
        group by 1
        order by 1
    """
    # No run has a window beyond these.
    cursor.execute(sql.SQL(months).format(loaded), (EARLIEST, LATEST))
    return {month: LateRows(count, oldest) for month, count, oldest in cursor.fetchall()}


def _removed_by_month(cursor: Cursor, project: Project, begin: datetime) -> dict[str, LateRows]:
    """Return what was deleted since a moment; under the lock, so that no look can pass it."""
    query = """
        select months, sum(rows_written), min(first_day) from {}
        where event = 'removed' and happened_at >= %s and first_day >= %s and first_day < %s
        group by months
    """
    events = sql.Identifier(project.schema(META), EVENTS)
    cursor.execute(sql.SQL(query).format(events), (begin, EARLIEST, LATEST))
    return {month: LateRows(int(count), oldest) for month, count, oldest in cursor.fetchall()}


def _recent_rows(cursor: Cursor, project: Project, until: datetime) -> str:
    query = """
        select concat({name}, ' ', count(*), ' ', sum(extract(epoch from {loaded_at})))
        from {table}
        where {loaded_at} >= {begin} and {loaded_at} < {end}
    """
    limits = {"begin": sql.Literal(until - OVERLAP), "end": sql.Literal(until)}
    cursor.execute(_of_each_table(query, project, **limits))
    return ", ".join(sorted(said for (said,) in cursor.fetchall()))


def _of_each_table(query: str, project: Project, **parts: sql.Composable) -> sql.Composed:
    """Return a query of all raw tables of events."""
    return sql.SQL(" union all ").join(
        sql.SQL(query).format(
            name=sql.Literal(table),
            table=sql.Identifier(project.raw_schema, table),
            event_time=sql.Identifier(event_time),
            loaded_at=sql.Identifier(project.loaded_at_field),
            **parts,
        )
        for table, event_time in EVENT_TIMES.items()
    )
