"""The ledger: `pipedrive_meta.run_events`, to which runs only ever add, and its view `runs`.

dbt's own hooks add the beginning and the end of each dbt run (the macros record_run_start and
record_run_end), so that plain dbt is in it too. The runner adds what only it knows: how a run ended
that could not say so itself, up to when it has looked for late rows, which months were verified,
and how far a backfill has come.
"""

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

from psycopg2 import sql

from runner.errors import FunnelError
from runner.months.late_rows import Watermark
from runner.months.window import months_between
from runner.project import Project
from runner.warehouse.engine import Engine
from runner.warehouse.meta import EVENTS

_OF_EARLIER_VERSIONS = ("runs", "verified_months", "backfills")


@dataclass(frozen=True)
class RecordedRun:
    """One run of dbt.

    Args:
        run_id: dbt's invocation_id.
        command: What was typed: 'funnel run', 'dbt build'.
        version: The version of what ran.
        source_dt: The reference date.
        months: The months it processed, as 'YYYY-MM'.
        started_at: When it began.
        finished_at: When it ended, if it did.
        outcome: running, success, failed, interrupted or crashed.
        is_complete: Whether both daily tables were built.
        models: Number of models built.
        tests: Number of tests run.
        rows_written: Rows that the models wrote.
        warnings: Names of the tests that warned; None where an earlier version kept none.
    """

    run_id: str
    command: str
    version: str
    source_dt: date
    months: list[str]
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    is_complete: bool
    models: int | None
    tests: int | None
    rows_written: int | None
    warnings: list[str] | None = None


@dataclass(frozen=True)
class Ledger:
    """What the runs so far have left on record. Months are 'YYYY-MM'.

    Args:
        last_run: The run that began last, of those that build daily tables.
        last_good_run: The last one that succeeded and built both of them.
        watermark: Up to when all loaded rows are counted; before any run has said so, the moment
            at which the first of all began.
        definitions: The hashes of the definitions under which each month was counted: one, unless
            a run that failed has counted one daily table of the month under another.
        deals_known_through: The day through which the marts know all events; None where no run
            has said so.
        deals_definitions: The definitions under which deals were computed: one, unless a run did
            not come to its end, or plain dbt ran.
    """

    last_run: RecordedRun | None = None
    last_good_run: RecordedRun | None = None
    watermark: Watermark | None = None
    definitions: Mapping[str, Collection[str]] = field(default_factory=dict)
    deals_known_through: date | None = None
    deals_definitions: Collection[str] = ()


@dataclass(frozen=True)
class VerifiedMonth:
    """When a month was last verified, and whether it was wrong and not processed since."""

    verified_at: datetime
    has_drifted: bool


def read_definition(project: Project) -> str:
    """Return what defines stored rows, as the macro record_run_start writes it down.

    The hash that dbt has of `seeds/funnel_steps.csv`, and the vars `timezone`, `pipelines` (a hash
    of them, where any are named) and `won_step`.
    """
    text = (project.root / "seeds" / "funnel_steps.csv").read_text(encoding="utf-8")
    seed = hashlib.sha256(text.strip().encode()).hexdigest()
    pipelines = "\n".join(map(str, project.var("pipelines"))).lower()
    # As dbt's own local_md5.
    named = f",{hashlib.md5(pipelines.encode()).hexdigest()}" if pipelines else ""  # noqa: S324
    return f"{seed} {project.var('timezone')}{named} {project.var('won_step')}"


def find_changes(before: str, now: str) -> tuple[str, ...]:
    """Return what differs between two definitions. Earlier versions noted the seed's hash only."""
    names = ("seeds/funnel_steps.csv", "timezone", "pipelines", "won_step")
    return tuple(
        name
        for name, old, new in zip(names, _parts(before), _parts(now), strict=False)
        if old != new
    )


def _parts(definition: str) -> list[str]:
    seed, *rest = definition.split(" ", 2)
    if not rest:
        return [seed]
    zone, _, pipelines = rest[0].partition(",")
    return [seed, zone, pipelines, *rest[1:]]


def has_ledger(engine: Engine, schema: str) -> bool:
    """Return whether there is a ledger; that of an earlier version is taken over."""
    if engine.table_exists(schema, EVENTS):
        return True
    if not any(engine.table_exists(schema, table) for table in _OF_EARLIER_VERSIONS):
        return False
    engine.create_ledger(schema)
    return True


def record(engine: Engine, schema: str, run_id: str, event: str, **columns: object) -> None:
    """Add an event of the present moment; the ledger has to be there.

    Args:
        engine: The warehouse.
        schema: The schema of the ledger, as on the target.
        run_id: The run or the backfill that it is about.
        event: ended, watermark, verified, backfill_started, batch_ended or backfill_ended.
        columns: What there is to say, by column.
    """
    row = {"run_id": run_id, "event": event, **columns}
    query = sql.SQL("insert into {} ({}, happened_at) values ({}, current_timestamp)").format(
        sql.Identifier(schema, EVENTS),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Literal, row.values())),
    )
    engine.query(query)


def close_open_runs(
    engine: Engine, schema: str, outcome: Literal["interrupted", "crashed"]
) -> None:
    """Write down how runs ended that did not live to do so; for the holder of the lock.

    They held the lock. A run of plain dbt may still be running.
    """
    if has_ledger(engine, schema):
        query = "select run_id from {} where outcome = 'running' and command like 'funnel %'"
        for (run_id,) in _ask(engine, schema, query):
            record(engine, schema, run_id, "ended", outcome=outcome)


def find_own_run(engine: Engine, schema: str) -> str:
    """Return the run_id of the dbt run that ended last; for the holder of the lock."""
    query = """
        select run_id from {} where command like 'funnel %' order by started_at desc limit 1
    """
    [(run_id,)] = _ask(engine, schema, query)
    return str(run_id)


def read_ledger(engine: Engine, schema: str) -> Ledger:
    """Return what the runs so far have left on record; the ledger has to be there."""
    [(seen_until, recent_rows)] = _ask(engine, schema, _WATERMARK, EVENTS)
    return Ledger(
        _read_last_run(engine, schema, "months <> '' or as_of is not null"),
        _read_last_run(engine, schema, "outcome = 'success' and is_complete"),
        Watermark(seen_until, recent_rows) if seen_until else None,
        _read_definitions(engine, schema),
        _read_deals_known_through(engine, schema),
        {definition for *_, definition in _ask(engine, schema, _RUNS_OF_DEALS)},
    )


def find_deals_known_through(engine: Engine, schema: str) -> date | None:
    """Return the day through which the marts know all events, for who only reads.

    None where no run has said so, or where this role may not read the ledger.
    """
    with suppress(FunnelError), engine.reading(schema, "runs"):
        return _read_deals_known_through(engine, schema)
    return None


def find_last_run(engine: Engine, schema: str) -> RecordedRun | None:
    """Return the run that began last, of those that process months; None if that is not known."""
    with suppress(FunnelError), engine.reading(schema, "runs"):
        return _read_last_run(engine, schema, "months <> ''")
    return None


_WATERMARK = """
    select
        coalesce(
            (select max(seen_until) from {1} where event = 'watermark'),
            (select min(started_at) from {0} where months <> '')
        ),
        (
            select recent_rows from {1}
            where event = 'watermark' order by seen_until desc limit 1
        )
"""

# The last run of funnel that has computed all deals it had to, and those after it: one that did not
# come to its end has computed some deals, and so has plain dbt or a selection, which know no plan.
_RUNS_OF_DEALS = """
    select
        has_marts and command like 'funnel %' and command not like '%--select' as has_learned,
        has_marts and as_of = source_dt as has_window,
        as_of,
        months,
        definition
    from {0}
    where as_of is not null and started_at >= (
        select
            coalesce(
                max(
                    case
                        when has_marts and command like 'funnel %' and command not like '%--select'
                            then started_at
                    end
                ),
                min(started_at)
            )
        from {0}
    )
    order by started_at
"""


def _read_deals_known_through(engine: Engine, schema: str) -> date | None:
    """Return the day through which the marts know all events; None where no run has said so.

    Plain dbt learns what its months hold, which is all where they reach back to what was known. A
    run that did not come to its end may have set some tables back.
    """
    known: date | None = None
    runs = _ask(engine, schema, _RUNS_OF_DEALS)
    for has_learned, has_window, as_of, months, _ in runs:
        unknown = months_between(known + timedelta(days=1), as_of) if known else ()
        if known is None or has_learned or (has_window and set(unknown) <= set(months.split())):
            known = as_of
        known = min(known, as_of)
    return known


def _read_definitions(engine: Engine, schema: str) -> dict[str, set[str]]:
    query = """
        select months, definition, is_complete from {}
        group by months, definition, is_complete order by max(started_at)
    """
    hashes: dict[str, set[str]] = {}
    for months, definition, is_complete in _ask(engine, schema, query):
        for month in months.split():
            # A run that failed may have counted the month in one of the two daily tables.
            before = set() if is_complete else hashes.get(month, set())
            hashes[month] = before | {definition}
    return hashes


def _read_last_run(engine: Engine, schema: str, condition: str) -> RecordedRun | None:
    fields: dict[str, Any] = RecordedRun.__dataclass_fields__
    query = sql.SQL("select {} from {} where {} order by started_at desc limit 1").format(
        sql.SQL(", ").join(map(sql.Identifier, fields)),
        sql.Identifier(schema, "runs"),
        sql.SQL(condition),
    )
    rows = engine.query(query)
    if not rows:
        return None
    row = dict(zip(fields, rows[0], strict=True))
    names = ("months", "warnings")
    lists = {name: row[name].split() for name in names if row[name] is not None}
    return RecordedRun(**{**row, **lists})


def read_verified_months(engine: Engine, schema: str) -> dict[str, VerifiedMonth]:
    """Return what the last verification of each month ('YYYY-MM') has found."""
    if not has_ledger(engine, schema):
        return {}
    verified = """
        select months, outcome, max(happened_at) from {1} where event = 'verified'
        group by months, outcome order by max(happened_at)
    """
    processed = "select months, max(started_at) from {} where is_complete group by months"
    found = {
        month: VerifiedMonth(moment, outcome == "drifted")
        for months, outcome, moment in _ask(engine, schema, verified, EVENTS)
        for month in months.split()
    }
    for months, moment in _ask(engine, schema, processed):
        for month in months.split():
            if month in found and found[month].verified_at <= moment:
                found[month] = VerifiedMonth(found[month].verified_at, has_drifted=False)
    return found


def _ask(engine: Engine, schema: str, query: str, *tables: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query about the view `runs`, and more tables of the ledger."""
    names = [sql.Identifier(schema, table) for table in ("runs", *tables)]
    return engine.query(sql.SQL(query).format(*names))
