"""Verification: compute again straight from the raw rows, and compare with what is stored.

The queries are the models' own, so that there is one definition of each number; here they go to
temporary tables, over all months and deals instead of a window. This finds what no watermark can:
rows deleted long ago, an event moved in place out of an old month, hand edits, a changed funnel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from dateutil.relativedelta import relativedelta
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.months.backfill import Backfill
from runner.months.ledger import find_own_run, record
from runner.months.pipeline import Pipeline, RunOptions, open_pipeline
from runner.months.window import EARLIEST, Window, days_of, window_between
from runner.project import ANALYTICS, META, REPORTING, Project
from runner.text_table import TextTable
from runner.transform.results import describe_problems, exit_code
from runner.warehouse.connection import DAILY_TABLES, DEAL_TABLES, MONTH_TABLES, table_exists
from runner.words import count, plural

_STAGING = ("funnel_steps", "path:models/staging")
_KPI_COLUMNS = {
    "daily_activity_stats": ("kpi_name",),
    "daily_deal_stats": ("field", "kpi_name"),
}
_MONTHLY = {
    "daily_activity_stats": "monthly_activity_stats",
    "daily_deal_stats": "monthly_deal_stats",
}


@dataclass(frozen=True)
class Drift:
    """A KPI of a month whose stored numbers are not the true ones.

    Args:
        month: As 'YYYY-MM'.
        table: The table that is wrong.
        kpi_name: The KPI.
        stored_deals_count: Distinct deals of the month as stored; None where no row is.
        true_deals_count: Distinct deals of the month as counted; None where no row should be.
        rows: Number of rows that differ: days in a daily table.
    """

    month: str
    table: str
    kpi_name: str
    stored_deals_count: int | None
    true_deals_count: int | None
    rows: int


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Args:
        first_day: First day compared.
        last_day: Last day compared.
        drift: What differed in a month, oldest first.
        deals: How many deals differed, by table.
        repaired_months: Months that were processed again because of it, as 'YYYY-MM'.
        exit_code: Done, or the data failed: there is drift now.
    """

    first_day: date
    last_day: date
    drift: tuple[Drift, ...]
    deals: Mapping[str, int]
    repaired_months: tuple[str, ...] = ()
    exit_code: ExitCode = ExitCode.DONE

    @property
    def is_right(self) -> bool:
        """Whether nothing differed."""
        return not self.drift and not self.deals

    @property
    def what_drifted(self) -> str:
        """What differed, in a few words."""
        months = len({drift.month for drift in self.drift})
        words = [plural(months, "month")] if months else []
        words += [plural(max(self.deals.values()), "deal")] if self.deals else []
        return " and ".join(words)

    def document(self) -> dict[str, Any]:
        """Return the verification as `--json` prints it."""
        return {
            "first_day": self.first_day,
            "last_day": self.last_day,
            "drift": [asdict(drift) for drift in self.drift],
            "deals": dict(self.deals),
            "repaired_months": list(self.repaired_months),
            "exit_code": int(self.exit_code),
        }

    def draw(self) -> str:
        """Return the drift as a table; tables that are wrong in the same way share a line."""
        tables: dict[tuple[str, str, str, str], list[str]] = {}
        for drift in self.drift:
            numbers = (drift.stored_deals_count, drift.true_deals_count)
            stored, counted = (count(number) or "-" for number in numbers)
            days = f"{plural(drift.rows, 'day')} of " if drift.table in DAILY_TABLES else ""
            place = days + drift.table
            tables.setdefault((drift.month, drift.kpi_name, stored, counted), []).append(place)
        rows = [(*numbers, ", ".join(places)) for numbers, places in tables.items()]
        header = ("month", "KPI", "stored", "true", "in") if rows else ()
        counts = TextTable(header, rows, has_note=True).draw() if rows else ""
        deals = [f"{plural(number, 'deal')} of {table}" for table, number in self.deals.items()]
        return "\n".join(line for line in [counts, *deals] if line)


def verify(
    project: Project,
    console: Console,
    first: date | None,
    last: date | None,
    *,
    repair: bool = False,
    wait: float = 0,
) -> Verification:
    """Compare the stored counts with those of the raw rows, month by month.

    Args:
        project: What to verify.
        console: Where to talk.
        first: First day; its whole month is compared. None is the first day built.
        last: Last day; its month is compared as far as it is built. None is the last day built.
        repair: Whether to process the months that drifted again.
        wait: Seconds to wait for another writer.

    Raises:
        FunnelError: Nothing is built, or it could not run.
    """
    with open_pipeline(project, console, "verify", "", RunOptions(wait=wait)) as pipeline:
        everything = _find_range(pipeline, first, last)
        results = pipeline.dbt.with_vars({"recorded_as": pipeline.recorded_as}).build(
            _STAGING, with_tests=False
        )
        if exit_code(results) is not ExitCode.DONE:
            raise FunnelError(
                f"cannot read the raw tables: {describe_problems(results)}",
                hint="`funnel doctor` looks for what is missing.",
            )
        found = _compare(pipeline, everything)
        if found.is_right:
            return found
        if not repair:
            return replace(found, exit_code=ExitCode.DATA_FAILED)
        return _repair(pipeline, everything, found)


def _find_range(pipeline: Pipeline, first: date | None, last: date | None) -> Backfill:
    schema = pipeline.project.schema(ANALYTICS)
    first_built, last_built = pipeline.state.first_day, pipeline.state.last_day
    if first_built is None or last_built is None:
        raise FunnelError("nothing is built yet", hint="Type `funnel run`.")
    tables = [(schema, table) for pair in _MONTHLY.items() for table in pair]
    for place, table in [*tables, (pipeline.project.schema(REPORTING), "monthly_stats")]:
        if not table_exists(pipeline.connection, place, table):
            raise FunnelError(f"{place}.{table} is not built", hint="Type `funnel run`.")
    begin = max(first or first_built, first_built).replace(day=1)
    end = min(last or last_built, last_built)
    if begin > end:
        raise FunnelError(
            f"nothing is built from {first or first_built} to {last or last_built}",
            hint=f"Days are built from {first_built} to {last_built}.",
        )
    month = f"{end:%Y-%m}"
    built = pipeline.state.built_through(month) or max(days_of(month))
    return Backfill("verify", begin, max(end, built), "year", next_day=begin)


def _repair(pipeline: Pipeline, everything: Backfill, found: Verification) -> Verification:
    months = tuple(sorted({drift.month for drift in found.drift}))
    *others, latest = months or (f"{everything.last:%Y-%m}",)
    window = Window(
        min(max(days_of(latest)), everything.last),
        backfill_period=0,
        reprocess_months=tuple(others),
    )
    options = RunOptions(with_tests=False, with_freshness=False, with_healing=False)
    report = pipeline.process(window, options, batches_from=EARLIEST if found.deals else None)
    code = report.exit_code
    pipeline.console.say(describe_problems(report.results, with_warnings=False))
    if code is ExitCode.DONE and not _compare(pipeline, everything).is_right:
        code = ExitCode.DATA_FAILED
    return replace(found, repaired_months=months, exit_code=code)


def _compare(pipeline: Pipeline, everything: Backfill) -> Verification:
    found: list[Drift] = []
    windows = list(everything.batches())
    total = sum(window.months for window in windows)
    with pipeline.console.bar("Verifying", total) as advance:
        for window in windows:
            drift = _compare_window(pipeline, window)
            _remember(pipeline, window, drift)
            found += drift
            if advance:
                advance(window.months)
        deals = _compare_deals(pipeline)
    found.sort(key=lambda drift: (drift.month, drift.table, drift.kpi_name))
    return Verification(everything.first, everything.last, tuple(found), deals)


def _compare_deals(pipeline: Pipeline) -> dict[str, int]:
    """Return how many deals differ, by table, as of the day through which they are known."""
    as_of = pipeline.state.ledger.deals_known_through or pipeline.state.last_day
    assert as_of  # noqa: S101 - see _find_range
    dbt = pipeline.dbt.with_vars(window_between(EARLIEST, as_of).dbt_vars())
    queries = dbt.compile(DEAL_TABLES)
    analytics = pipeline.project.schema(ANALYTICS)
    found = {}
    with pipeline.connection as connection, connection.cursor() as cursor:
        cursor.execute("set local enable_nestloop = off; set local jit = off")
        for table in DEAL_TABLES:
            true = _true(table)
            cursor.execute(_keep(true, queries[table]))
            parts = {
                "columns": _columns(tuple(dbt.manifest.nodes[f"model.funnel.{table}"].columns)),
                "true": true,
                "stored": sql.Identifier(analytics, table),
            }
            # The query of deal_months returns what its table lacks.
            query = _MISSING_DEALS if table == "deal_months" else _DEAL_DRIFT
            cursor.execute(sql.SQL(query).format(**parts))
            (number,) = cursor.fetchone() or (0,)
            if number:
                found[table] = number
    return found


_MISSING_DEALS = "select count(distinct deal_id) from {true}"

_DEAL_DRIFT = """
    select count(distinct deal_id)
    from (
        (select {columns} from {stored} except all select {columns} from {true})
        union all
        (select {columns} from {true} except all select {columns} from {stored})
    ) as differing
"""


def _compare_window(pipeline: Pipeline, window: Window) -> list[Drift]:
    queries = pipeline.dbt.with_vars(window.dbt_vars()).compile((*DAILY_TABLES, *MONTH_TABLES))
    analytics = pipeline.project.schema(ANALYTICS)
    reporting = pipeline.project.schema(REPORTING)
    limits = {
        "first_day": window.first_day(),
        "end_day": window.source_dt.replace(day=1) + relativedelta(months=1),
    }
    found: list[Drift] = []
    with pipeline.connection as connection, connection.cursor() as cursor:
        for table, query in queries.items():
            cursor.execute(_keep(_true(table), query))
        for daily, kpi_columns in _KPI_COLUMNS.items():
            names = {
                "kpi_columns": _columns(kpi_columns),
                "true_days": _true(daily),
                "daily": sql.Identifier(analytics, daily),
                "monthly": sql.Identifier(analytics, _MONTHLY[daily]),
            }
            found += _find_drift(cursor, daily, _DAILY_DRIFT, names, limits)
            found += _find_drift(cursor, _MONTHLY[daily], _MONTHLY_DRIFT, names, limits)
        names = {f"true_{daily}": _true(daily) for daily in DAILY_TABLES}
        names["monthly_stats"] = sql.Identifier(reporting, "monthly_stats")
        found += _find_drift(cursor, "monthly_stats", _FUNNEL_DRIFT, names, limits)
        for table, (key, *rest) in zip(MONTH_TABLES, _MONTH_COLUMNS, strict=True):
            names = {
                "stored": sql.Identifier(analytics, table),
                "true": _true(table),
                "key": sql.Identifier(key),
                "count": sql.Identifier(rest[-1]),
                "stored_rest": _columns(rest, "stored"),
                "counted_rest": _columns(rest, "counted"),
            }
            found += _find_drift(cursor, table, _MONTH_DRIFT, names, limits)
    return found


_DAILY_DRIFT = """
    select
        to_char(date_trunc('month', date), 'YYYY-MM'),
        kpi_name,
        cast(sum(stored.new_deals_count) as bigint),
        cast(sum(counted.new_deals_count) as bigint),
        count(*) filter (
            where (stored.funnel_step, stored.deals_count, stored.new_deals_count)
            is distinct from (counted.funnel_step, counted.deals_count, counted.new_deals_count)
        )
    from {true_days} as counted
    full outer join (
        select * from {daily} where date >= %(first_day)s and date < %(end_day)s
    ) as stored
        using (date, {kpi_columns})
    group by date_trunc('month', date), {kpi_columns}
    having bool_or(
        (stored.funnel_step, stored.deals_count, stored.new_deals_count)
        is distinct from (counted.funnel_step, counted.deals_count, counted.new_deals_count)
    )
    -- A KPI that was not there yet, or is no longer, when the month was processed: zeros or no row.
    and (
        sum(stored.deals_count) > 0
        or sum(counted.deals_count) > 0
        or count(stored.date) > 0 and count(counted.date) > 0
    )
"""

_MONTHLY_DRIFT = """
    select
        to_char(month, 'YYYY-MM'),
        kpi_name,
        stored.deals_count,
        cast(counted.deals_count as bigint),
        1
    from (
        select
            cast(date_trunc('month', date) as date) as month,
            {kpi_columns},
            funnel_step,
            sum(new_deals_count) as deals_count,
            sum(deals_count) as deal_days_count
        from {true_days}
        group by date_trunc('month', date), {kpi_columns}, funnel_step
    ) as counted
    full outer join (
        select * from {monthly} where month >= %(first_day)s and month < %(end_day)s
    ) as stored
        using (month, {kpi_columns})
    where
        (stored.funnel_step, stored.deals_count, stored.deal_days_count)
        is distinct from (counted.funnel_step, counted.deals_count, counted.deal_days_count)
        and (
            stored.deals_count > 0
            or counted.deals_count > 0
            or stored.month is not null and counted.month is not null
        )
"""

_FUNNEL_DRIFT = """
    select
        to_char(month, 'YYYY-MM'),
        coalesce(stored.kpi_name, counted.kpi_name),
        stored.deals_count,
        cast(counted.deals_count as bigint),
        1
    from (
        select
            cast(date_trunc('month', date) as date) as month,
            funnel_step,
            min(kpi_name) as kpi_name,
            sum(new_deals_count) as deals_count,
            sum(deals_count) as deal_days_count
        from (
            select date, funnel_step, kpi_name, new_deals_count, deals_count
            from {true_daily_activity_stats}
            union all
            select date, funnel_step, kpi_name, new_deals_count, deals_count
            from {true_daily_deal_stats}
        ) as counted_days
        where funnel_step is not null
        group by date_trunc('month', date), funnel_step
    ) as counted
    full outer join (
        select * from {monthly_stats} where month >= %(first_day)s and month < %(end_day)s
    ) as stored
        using (month, funnel_step)
    where
        (stored.kpi_name, stored.deals_count, stored.deal_days_count)
        is distinct from (counted.kpi_name, counted.deals_count, counted.deal_days_count)
"""


_MONTH_COLUMNS = (
    ("owner_id", "kpi_name", "step_order", "deals_count", "owner_deals_count"),
    ("pipeline_id", "kpi_name", "step_order", "pipeline_name", "deals_count"),
)
"""Of each table of MONTH_TABLES its key, beside month and step, and what is compared."""

_MONTH_DRIFT = """
    select
        to_char(coalesce(stored.month, counted.month), 'YYYY-MM'),
        coalesce(stored.kpi_name, counted.kpi_name),
        cast(sum(stored.deals_count) as bigint),
        cast(sum(counted.deals_count) as bigint),
        count(*) filter (where ({stored_rest}) is distinct from ({counted_rest}))
    from {true} as counted
    full outer join (
        select * from {stored} where month >= %(first_day)s and month < %(end_day)s
    ) as stored
        on counted.month = stored.month
        and counted.funnel_step = stored.funnel_step
        and coalesce(counted.{key}, -1) = coalesce(stored.{key}, -1)
    -- A pipeline that was not there yet when the month was processed: zeros or no row.
    where
        stored.{count} > 0
        or counted.{count} > 0
        or stored.month is not null and counted.month is not null
    group by 1, 2
    having bool_or(({stored_rest}) is distinct from ({counted_rest}))
"""


def _find_drift(
    cursor: Cursor,
    table: str,
    query: str,
    names: Mapping[str, sql.Composable],
    limits: Mapping[str, date],
) -> list[Drift]:
    cursor.execute(sql.SQL(query).format(**names), limits)
    return [
        Drift(month, table, kpi_name, stored, counted, rows)
        for month, kpi_name, stored, counted, rows in cursor.fetchall()
    ]


def _remember(pipeline: Pipeline, window: Window, drift: Sequence[Drift]) -> None:
    """Write down which months were verified, for `funnel status`."""
    connection, meta = pipeline.connection, pipeline.project.schema(META)
    run_id = find_own_run(connection, meta)
    drifted = {found.month for found in drift}
    right = set(window.processed_months()) - drifted
    for outcome, months in {"right": right, "drifted": drifted}.items():
        if months:
            said = {"months": " ".join(sorted(months)), "outcome": outcome}
            record(connection, meta, run_id, "verified", **said)


def _true(table: str) -> sql.Identifier:
    return sql.Identifier(f"true_{table}")


def _keep(table: sql.Identifier, query: str) -> sql.Composable:
    """Return a statement that keeps the rows of a model's query until the transaction ends."""
    return (
        sql.SQL("create temporary table {} on commit drop as ").format(table)
        + sql.SQL(query.replace("{", "{{").replace("}", "}}")).format()
    )


def _columns(names: Sequence[str], *table: str) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(*table, name) for name in names)
