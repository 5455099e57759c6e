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

from runner.months.window import EARLIEST, LATEST
from runner.project import META, Project
from runner.text.words import plural, year_month
from runner.warehouse.engine import Engine
from runner.warehouse.meta import EVENTS
from runner.warehouse.raw_contract import EVENT_TIMES

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
    engine: Engine, project: Project, since: Watermark | None, now: datetime
) -> tuple[dict[str, LateRows], Watermark]:
    """Return what was loaded since a watermark, by month as 'YYYY-MM', and the next watermark.

    Args:
        engine: Asks within one snapshot.
        project: Names the raw tables and the reporting time zone.
        since: What an earlier look has returned; without it no row is late.
        now: The moment of this look, before that of the snapshot.
    """
    recent_rows = _recent_rows(engine, project, now)
    if since is None:
        return {}, Watermark(now, recent_rows)
    unchanged = _recent_rows(engine, project, since.seen_until) == since.recent_rows
    begin = since.seen_until if unchanged else since.seen_until - OVERLAP
    late_rows = _rows_by_month(engine, project, begin)
    for month, removed in _removed_by_month(engine, project, since.seen_until).items():
        loaded = late_rows.get(month, LateRows(0, removed.oldest))
        oldest = min(loaded.oldest, removed.oldest)
        late_rows[month] = LateRows(loaded.count + removed.count, oldest)
    return late_rows, Watermark(now, recent_rows)


def _rows_by_month(engine: Engine, project: Project, begin: datetime) -> dict[str, LateRows]:
    query = """
        select {local_time} as local_time
        from {table}
        where {loaded_at} >= {begin}
    """
    loaded = _of_each_table(query, engine, project, begin=sql.Literal(begin))
    months = """
        select cast(date_trunc('month', local_time) as date), count(*),
            cast(min(local_time) as date)
        from ({}) as loaded
        where local_time >= %s and local_time < %s
        group by 1
        order by 1
    """
    # No run has a window beyond these.
    found = engine.query(sql.SQL(months).format(loaded), (EARLIEST, LATEST))
    return {year_month(month): LateRows(count, oldest) for month, count, oldest in found}


def _removed_by_month(engine: Engine, project: Project, begin: datetime) -> dict[str, LateRows]:
    """Return what was deleted since a moment; under the lock, so that no look can pass it."""
    query = """
        select months, sum(rows_written), min(first_day) from {}
        where event = 'removed' and happened_at >= %s and first_day >= %s and first_day < %s
        group by months
    """
    events = sql.Identifier(project.schema(META), EVENTS)
    found = engine.query(sql.SQL(query).format(events), (begin, EARLIEST, LATEST))
    return {month: LateRows(int(count), oldest) for month, count, oldest in found}


def _recent_rows(engine: Engine, project: Project, until: datetime) -> str:
    query = """
        select {name} as name, count(*), sum({loaded_at_number})
        from {table}
        where {loaded_at} >= {begin} and {loaded_at} < {end}
    """
    limits = {"begin": sql.Literal(until - OVERLAP), "end": sql.Literal(until)}
    found = sorted(engine.query(_of_each_table(query, engine, project, **limits)))
    return ", ".join(
        f"{name} {count} {'' if total is None else total}" for name, count, total in found
    )


def _of_each_table(
    query: str, engine: Engine, project: Project, **parts: sql.Composable
) -> sql.Composed:
    """Return a query of all raw tables of events."""
    loaded_at = sql.Identifier(project.loaded_at_field)
    return sql.SQL(" union all ").join(
        sql.SQL(query).format(
            name=sql.Literal(table),
            table=sql.Identifier(project.raw_schema, table),
            local_time=engine.local_time(sql.Identifier(event_time), project.var("timezone")),
            loaded_at=loaded_at,
            loaded_at_number=engine.as_number(loaded_at),
            **parts,
        )
        for table, event_time in EVENT_TIMES.items()
    )
