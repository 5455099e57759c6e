"""A backfill: many months in batches, one after the other, that can be stopped and resumed.

What is left to do is kept in `pipedrive_meta.backfills`, so that also a killed backfill can go on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import date, timedelta

from dateutil.relativedelta import relativedelta
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.months.pipeline import Pipeline, RunOptions, RunReport, open_pipeline
from runner.months.window import Window, window_between
from runner.project import META, Project
from runner.warehouse.connection import DAILY_TABLES, create_schema, table_exists

BACKFILLS = "backfills"
HOW_TO_RESUME = "To go on from here: funnel backfill --resume"
BATCH_MONTHS = {"month": 1, "quarter": 3, "year": 12, "all": None}
"""Sizes of a batch in calendar months; `all` is one batch."""

_BATCH_MODELS = (*DAILY_TABLES, "monthly_stats_by_owner")
"""What all batches but the last one build: what is made month by month.

A deal lives through many months, so deals are computed once, by the last batch, for all months.
"""


@dataclass(frozen=True)
class Backfill:
    """Months to process in batches.

    Args:
        command: backfill or rebuild.
        first: First day; its whole month is processed.
        last: Last day, included.
        batch: One of BATCH_MONTHS.
        next_day: First day of the batch that comes next.
    """

    command: str
    first: date
    last: date
    batch: str
    next_day: date

    def batches(self) -> Iterator[Window]:
        """Yield the windows that are still to be processed, oldest first."""
        size = BATCH_MONTHS[self.batch]
        begin = self.next_day
        while begin <= self.last:
            end = self.last
            if size is not None:
                # Batches end where quarters and years end, wherever the backfill begins.
                first_month = (begin.month - 1) // size * size + 1
                next_batch = date(begin.year, first_month, 1) + relativedelta(months=size)
                end = min(end, next_batch - timedelta(days=1))
            yield window_between(begin, end)
            begin = end + timedelta(days=1)


def run_backfill(
    project: Project,
    backfill: Backfill | None,
    options: RunOptions,
    console: Console,
) -> RunReport:
    """Process a backfill to its end, or to the first batch that fails.

    Args:
        project: What to work on.
        backfill: What to process; None resumes the last one, unless that has come to its end.
        options: What to do beside; only the last batch tests and heals.
        console: Where to talk.

    Returns:
        The report of the last batch, with the months and seconds of all.

    Raises:
        FunnelError: A batch could not run, or there is nothing to resume.
    """
    begin = time.monotonic()
    command = backfill.command if backfill else "backfill"
    purpose = f"{backfill.first} to {backfill.last}" if backfill else "--resume"
    with open_pipeline(project, console, command, purpose, options) as opened:
        schema = project.schema(META)
        number, backfill = _begin(opened.connection, schema, backfill)
        windows = list(backfill.batches())
        pipeline = _batch_pipeline(opened, backfill, windows)
        reasons: dict[str, tuple[str, ...]] = {}
        try:
            with _progress(console, backfill, windows) as advance:
                for window in windows:
                    is_last = window is windows[-1]
                    report = pipeline.process(
                        window,
                        _batch_options(window, windows, options),
                        deals_from=backfill.first.replace(day=1),
                    )
                    reasons |= report.plan.reasons
                    if report.exit_code is not ExitCode.DONE:
                        break
                    # No second look: what is loaded meanwhile is for the next run.
                    state = pipeline.state.counted(report.plan.months, window.last_day)
                    pipeline = replace(pipeline, state=state)
                    _note(pipeline.connection, schema, number, window, is_last=is_last)
                    advance(window)
        except BaseException:
            console.say(HOW_TO_RESUME, even_if_quiet=True)
            raise
    plan = replace(report.plan, reasons=dict(sorted(reasons.items())))
    return replace(report, plan=plan, seconds=time.monotonic() - begin)


def _batch_pipeline(pipeline: Pipeline, backfill: Backfill, windows: Sequence[Window]) -> Pipeline:
    """Return the pipeline under the backfill's name; several batches are told of in a bar."""
    console = pipeline.console
    if len(windows) > 1:
        console = replace(console, quiet=True)
    return replace(pipeline, command=backfill.command, console=console)


def _batch_options(window: Window, windows: Sequence[Window], options: RunOptions) -> RunOptions:
    is_first, is_last = window is windows[0], window is windows[-1]
    options = replace(options, with_freshness=options.with_freshness and is_first)
    if is_last:
        return options
    # What they read is made anew by the first batch, and by the last one, which builds everything.
    select = tuple(f"+{model}" if is_first else model for model in _BATCH_MODELS)
    return replace(options, select=select, with_tests=False, with_healing=False)


@contextmanager
def _progress(
    console: Console, backfill: Backfill, windows: Sequence[Window]
) -> Iterator[Callable[[Window], None]]:
    """Yield what is called with each finished batch: a bar on a terminal, else a line for each."""
    begin = time.monotonic()
    done = 0
    total = sum(window.months for window in windows)
    several = len(windows) > 1
    if several:
        console.say(f"{total} months in {len(windows)} batches, {windows[0].first_day():%Y-%m} on")
    with console.bar(backfill.command.capitalize(), total) if several else nullcontext() as bar:

        def advance(window: Window) -> None:
            nonlocal done
            done += window.months
            rate = f"{done / (time.monotonic() - begin):.1f} months/s"
            if bar:
                bar(window.months, rate)
            elif several:
                console.say(f"{done} of {total} months, through {window.source_dt}, {rate}")

        yield advance


_CREATE = """
    create table if not exists {} (
        backfill_id bigint generated always as identity primary key,
        command text not null,
        first_day date not null,
        last_day date not null,
        batch text not null,
        next_day date not null,
        started_at timestamptz not null default clock_timestamp(),
        finished_at timestamptz
    )
"""


def _begin(connection: Connection, schema: str, backfill: Backfill | None) -> tuple[int, Backfill]:
    """Write a backfill down, or read the last one; return its number as well."""
    table = sql.Identifier(schema, BACKFILLS)
    with connection, connection.cursor() as cursor:
        if backfill is None:
            unfinished = find_unfinished(connection, schema)
            if unfinished is None:
                raise FunnelError(
                    "there is no backfill to resume",
                    hint="Start one: funnel backfill --from 2024-01-01 --to 2024-03-31",
                )
            return unfinished
        if not table_exists(connection, schema, BACKFILLS):
            create_schema(connection, schema)
            cursor.execute(sql.SQL(_CREATE).format(table))
        cursor.execute(
            sql.SQL(
                "insert into {} (command, first_day, last_day, batch, next_day)"
                " values (%s, %s, %s, %s, %s) returning backfill_id"
            ).format(table),
            (backfill.command, backfill.first, backfill.last, backfill.batch, backfill.next_day),
        )
        (number,) = cursor.fetchone() or (0,)
        return number, backfill


def find_unfinished(connection: Connection, schema: str) -> tuple[int, Backfill] | None:
    """Return the last backfill that has not come to its end, and its number."""
    if not table_exists(connection, schema, BACKFILLS):
        return None
    query = """
        select backfill_id, command, first_day, last_day, batch, next_day
        from {} where finished_at is null order by backfill_id desc limit 1
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(query).format(sql.Identifier(schema, BACKFILLS)))
        row = cursor.fetchone()
    return (row[0], Backfill(*row[1:])) if row else None


def _note(
    connection: Connection, schema: str, number: int, window: Window, *, is_last: bool
) -> None:
    """Write down that a batch is done; the last one also ends older backfills that it contains."""
    table = sql.Identifier(schema, BACKFILLS)
    done = sql.SQL("update {} set next_day = %s where backfill_id = %s").format(table)
    end = sql.SQL(
        "update {} as older set finished_at = clock_timestamp() from {} as this"
        " where this.backfill_id = %s and older.finished_at is null"
        " and older.command in (this.command, 'backfill')"
        " and older.first_day >= this.first_day and older.last_day <= this.last_day"
        " or older.backfill_id = %s and this.backfill_id = %s"
    ).format(table, table)
    with connection, connection.cursor() as cursor:
        cursor.execute(done, (window.source_dt + timedelta(days=1), number))
        if is_last:
            cursor.execute(end, (number, number, number))
