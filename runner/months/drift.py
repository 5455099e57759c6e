"""Where stored rows are not what the models count from the raw rows.

The queries are the models' own, so that there is one definition of each number; here their rows are
kept apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from dateutil.relativedelta import relativedelta
from psycopg2 import sql

from runner.months.pipeline import Pipeline
from runner.months.window import EARLIEST, Window, window_between
from runner.project import ANALYTICS, REPORTING
from runner.text.words import year_month
from runner.warehouse.connection import DAILY_TABLES, DEAL_TABLES, MONTH_TABLES
from runner.warehouse.engine import Engine

_KPI_COLUMNS = {
    "daily_activity_stats": ("kpi_name",),
    "daily_deal_stats": ("field", "kpi_name"),
}
MONTHLY = {
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


def compare_deals(pipeline: Pipeline) -> dict[str, int]:
    """Return how many deals differ, by table, as of the day through which they are known."""
    as_of = pipeline.state.ledger.deals_known_through or pipeline.state.last_day
    assert as_of  # noqa: S101 - something is built
    dbt = pipeline.dbt.with_vars(window_between(EARLIEST, as_of).dbt_vars())
    queries = dbt.compile(DEAL_TABLES)
    analytics = pipeline.project.schema(ANALYTICS)
    found = {}
    with pipeline.engine.scratch() as keep:
        for table in DEAL_TABLES:
            model = dbt.manifest.nodes[f"model.funnel.{table}"]
            keep(f"true_{table}", queries[table])
            # What is made of this table is counted from its true rows, not from the stored ones.
            for reader, query in queries.items():
                queries[reader] = query.replace(str(model.relation_name), f"true_{table}")
            parts = {
                "columns": _columns(tuple(model.columns)),
                "true": _true(table),
                "stored": sql.Identifier(analytics, table),
            }
            # Of deal_months a row too many does no harm: it names a deal to compute.
            query = _MISSING_DEALS if table == "deal_months" else _DEAL_DRIFT
            [(number,)] = pipeline.engine.query(sql.SQL(query).format(**parts))
            if number:
                found[table] = number
    return found


_MISSING_DEALS = """
    select count(distinct deal_id)
    from (select {columns} from {true} except select {columns} from {stored}) as missing
"""

_DEAL_DRIFT = """
    select count(distinct deal_id)
    from (
        (select {columns} from {stored} except all select {columns} from {true})
        union all
        (select {columns} from {true} except all select {columns} from {stored})
    ) as differing
"""


def compare_window(pipeline: Pipeline, window: Window) -> list[Drift]:
    """Return what differs in the months of a window."""
    queries = pipeline.dbt.with_vars(window.dbt_vars()).compile((*DAILY_TABLES, *MONTH_TABLES))
    analytics = pipeline.project.schema(ANALYTICS)
    reporting = pipeline.project.schema(REPORTING)
    limits = {
        "first_day": window.first_day(),
        "end_day": window.source_dt.replace(day=1) + relativedelta(months=1),
    }
    found: list[Drift] = []
    engine = pipeline.engine
    with engine.scratch() as keep:
        for table, query in queries.items():
            keep(f"true_{table}", query)
        for daily, kpi_columns in _KPI_COLUMNS.items():
            names = {
                "kpi_columns": _columns(kpi_columns),
                "true_days": _true(daily),
                "daily": sql.Identifier(analytics, daily),
                "monthly": sql.Identifier(analytics, MONTHLY[daily]),
            }
            found += _find_drift(engine, daily, _DAILY_DRIFT, names, limits)
            found += _find_drift(engine, MONTHLY[daily], _MONTHLY_DRIFT, names, limits)
        names = {f"true_{daily}": _true(daily) for daily in DAILY_TABLES}
        names["monthly_stats"] = sql.Identifier(reporting, "monthly_stats")
        found += _find_drift(engine, "monthly_stats", _FUNNEL_DRIFT, names, limits)
        for table, (key, *rest) in zip(MONTH_TABLES, _MONTH_COLUMNS, strict=True):
            names = {
                "stored": sql.Identifier(analytics, table),
                "true": _true(table),
                "key": sql.Identifier(key),
                "count": sql.Identifier(rest[-1]),
                "stored_rest": _columns(rest, "stored"),
                "counted_rest": _columns(rest, "counted"),
            }
            found += _find_drift(engine, table, _MONTH_DRIFT, names, limits)
    return found


_DAILY_DRIFT = """
    select
        cast(date_trunc('month', date) as date),
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
        month,
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
        month,
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
        coalesce(stored.month, counted.month),
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
    engine: Engine,
    table: str,
    query: str,
    names: Mapping[str, sql.Composable],
    limits: Mapping[str, date],
) -> list[Drift]:
    found = engine.query(sql.SQL(query).format(**names), limits)
    return [
        Drift(year_month(month), table, kpi_name, stored, counted, rows)
        for month, kpi_name, stored, counted, rows in found
    ]


def _true(table: str) -> sql.Identifier:
    return sql.Identifier(f"true_{table}")


def _columns(names: Sequence[str], *table: str) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(*table, name) for name in names)
