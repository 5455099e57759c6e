"""A backfill: many months in batches, one after the other, that can be stopped and resumed.

What is left to do is in the ledger, so that also a killed backfill can go on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import uuid4

from dateutil.relativedelta import relativedelta
from psycopg2 import sql

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.months.ledger import has_ledger, record
from runner.months.pipeline import Pipeline, RunOptions, RunReport, open_pipeline
from runner.months.window import Window, window_between
from runner.project import META, Project
from runner.warehouse.connection import DAILY_TABLES, MONTH_TABLES
from runner.warehouse.engine import Engine
from runner.warehouse.meta import EVENTS

HOW_TO_RESUME = "To continue: funnel backfill --resume"
BATCH_MONTHS = {"month": 1, "quarter": 3, "year": 12, "all": None}
"""Sizes of a batch in calendar months; `all` is one batch."""

_BATCH_MODELS = (*DAILY_TABLES, *MONTH_TABLES)
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
        backfill_id, backfill = _begin(opened.engine, schema, backfill)
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
                        batches_from=backfill.first.replace(day=1),
                    )
                    reasons |= report.plan.reasons
                    if report.exit_code is not ExitCode.DONE:
                        break
                    # No second look: what is loaded meanwhile is for the next run.
                    state = pipeline.state.counted(report.plan.months, window.last_day)
                    pipeline = replace(pipeline, state=state)
                    _note(pipeline.engine, schema, backfill_id, window, is_last=is_last)
                    advance(window)
        except BaseException:
            console.say(HOW_TO_RESUME, even_if_quiet=True)
            raise
    plan = replace(report.plan, reasons=dict(sorted(reasons.items())))
    return replace(report, plan=plan, seconds=time.monotonic() - begin)


def _batch_pipeline(pipeline: Pipeline, backfill: Backfill, windows: Sequence[Window]) -> Pipeline:
    """Return the pipeline under the backfill's name; several batches show a bar."""
    console = pipeline.console
    if len(windows) > 1:
        console = replace(console, quiet=True)
    return replace(pipeline, command=backfill.command, console=console)


def _batch_options(window: Window, windows: Sequence[Window], options: RunOptions) -> RunOptions:
    is_first, is_last = window is windows[0], window is windows[-1]
    options = replace(options, with_freshness=options.with_freshness and is_first)
    if is_last:
        return options
    # What they read is made by the first batch, and by the last one, which builds everything.
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


def _begin(engine: Engine, schema: str, backfill: Backfill | None) -> tuple[str, Backfill]:
    """Write a backfill down, or read the last one; return its id in the ledger as well."""
    if backfill is None:
        unfinished = find_unfinished(engine, schema)
        if not unfinished:
            raise FunnelError(
                "there is no backfill to resume",
                hint="Start one: funnel backfill --from 2024-01-01 --to 2024-03-31",
            )
        return unfinished[-1]
    backfill_id = str(uuid4())
    record(
        engine,
        schema,
        backfill_id,
        "backfill_started",
        command=backfill.command,
        first_day=backfill.first,
        last_day=backfill.last,
        batch=backfill.batch,
    )
    return backfill_id, backfill


def find_unfinished(engine: Engine, schema: str) -> list[tuple[str, Backfill]]:
    """Return the backfills that have not come to their end, each with its id, oldest first."""
    if not has_ledger(engine, schema):
        return []
    query = """
        select
            begun.run_id, begun.command, begun.first_day, begun.last_day, begun.batch,
            coalesce(max(done.next_day), begun.first_day)
        from {events} as begun
        left join {events} as done on begun.run_id = done.run_id and done.event = 'batch_ended'
        where
            begun.event = 'backfill_started'
            and begun.run_id not in (select run_id from {events} where event = 'backfill_ended')
        group by
            begun.run_id, begun.command, begun.first_day, begun.last_day, begun.batch,
            begun.happened_at
        order by begun.happened_at
    """
    events = sql.Identifier(schema, EVENTS)
    rows = engine.query(sql.SQL(query).format(events=events))
    return [(row[0], Backfill(*row[1:])) for row in rows]


def _note(engine: Engine, schema: str, backfill_id: str, window: Window, *, is_last: bool) -> None:
    """Write down that a batch is done; the last one also ends older backfills that it contains."""
    with engine.transaction():
        if is_last:
            unfinished = find_unfinished(engine, schema)
            this = dict(unfinished)[backfill_id]
            for one, other in unfinished:
                is_contained = this.first <= other.first and other.last <= this.last
                if is_contained and other.command in (this.command, "backfill"):
                    record(engine, schema, one, "backfill_ended")
        next_day = window.source_dt + timedelta(days=1)
        record(engine, schema, backfill_id, "batch_ended", next_day=next_day)
