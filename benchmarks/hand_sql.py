"""The best SQL that is known here for the rows of the models, as one would write it by hand.

Against the models it saves what serves others: nothing is looked up in views, no row goes through a
temporary table, no vars, no grid of days that vanish. The two branches can run beside each other,
as dbt's threads run the models; months are grouped one by one, so that each fits into memory. Tried
and slower: one aggregate over all months, window functions, two aggregates by day and by month,
names instead of numbers of KPIs, and parallel workers within a branch.
"""

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import date

from dateutil.relativedelta import relativedelta

from benchmarks.stage import Stage

SCHEMA = "by_hand"

_SET_UP = """
    drop schema if exists by_hand cascade;
    create schema by_hand;
    create table by_hand.daily_activity_stats
        (like pipedrive_analytics.daily_activity_stats including all);
    create table by_hand.daily_deal_stats
        (like pipedrive_analytics.daily_deal_stats including all);
    insert into by_hand.daily_activity_stats table pipedrive_analytics.daily_activity_stats;
    insert into by_hand.daily_deal_stats table pipedrive_analytics.daily_deal_stats;
    vacuum analyze by_hand.daily_activity_stats;
    vacuum analyze by_hand.daily_deal_stats
"""
_SETTINGS = """
    set jit = off; set work_mem = '64MB'; set max_parallel_workers_per_gather = 0;
    drop table if exists pg_temp.kpis
"""


@dataclass(frozen=True)
class _Branch:
    """What differs between the two branches.

    Args:
        name: activity or deal.
        kpis: A query for the KPIs: what their events are, and what they are called.
        columns: What tells one KPI from another.
        month: A query for the bits of each deal's days in one month, by number of the KPI.
    """

    name: str
    kpis: str
    columns: str
    month: str

    def statements(self, months: list[date], until: date) -> list[str]:
        """Return what counts whole months, the last one until a day."""
        daily, monthly = (f"by_hand.{period}_{self.name}_stats" for period in ("daily", "monthly"))
        ends = [min(month + relativedelta(months=1), until) for month in months]
        patterns = " union all ".join(
            f"select date '{month}' as month, kpi, days, count(*) as deals from ("
            + self.month.format(begin=month, end=end)
            + ") as deals group by kpi, days"
            for month, end in zip(months, ends, strict=True)
        )
        return [
            f"create temp table kpis as {self.kpis}",
            "analyze kpis",
            f"delete from {daily} where date >= '{months[0]}' and date < '{until}'",
            f"""
            insert into {daily}
            select calendar.date, {_prefix("steps", self.columns)}, steps.funnel_step,
                coalesce(counts.deals, 0), coalesce(counts.new_deals, 0)
            from (
                select cast(day as date) as date from generate_series(
                    timestamp '{months[0]}', timestamp '{until}' - interval '1 day', '1 day') as day
            ) as calendar
            cross join (select distinct kpi, {self.columns}, funnel_step from kpis) as steps
            left join (
                select month + day as date, kpi, sum(deals) as deals,
                    sum(deals) filter (where days & ((1 << day) - 1) = 0) as new_deals
                from ({patterns}) as patterns
                inner join generate_series(0, 30) as day on days & (1 << day) <> 0
                group by month + day, kpi
            ) as counts on calendar.date = counts.date and steps.kpi = counts.kpi
            """,
            f"drop table if exists {monthly}",
            f"""
            create table {monthly} as
            select cast(date_trunc('month', cast(date as timestamp)) as date) as month,
                {self.columns}, funnel_step, cast(sum(new_deals_count) as bigint) as deals_count,
                cast(sum(deals_count) as bigint) as deal_days_count
            from {daily} group by 1, {self.columns}, funnel_step
            """,
        ]


_ACTIVITY = _Branch(
    "activity",
    """
    select activity_type, kpi_name, funnel_step, kpi_number as kpi
    from pipedrive_staging.activity_kpis
    """,
    "kpi_name",
    """
    select coalesce(kpis.kpi, (select kpi from kpis where activity_type is null)) as kpi, deal_id,
        bit_or(1 << (cast(due_to as date) - date '{begin}')) as days
    from pipedrive_raw.activity
    left join kpis on kpis.activity_type = lower(trim(activity.type))
    where done and deal_id is not null and due_to >= '{begin}' and due_to < '{end}'
    group by 1, deal_id
    """,
)
_DEALS = _Branch(
    "deal",
    """
    select field, field_value, kpi_name, funnel_step, kpi_number as kpi
    from pipedrive_staging.deal_kpis
    """,
    "field, kpi_name",
    """
    select coalesce(named.kpi, other.kpi) as kpi, deal_id,
        bit_or(1 << (cast(change_time as date) - date '{begin}')) as days
    from pipedrive_raw.deal_changes
    inner join kpis as other on other.field = lower(trim(changed_field_key))
        and other.field_value is null
    left join kpis as named on named.field = other.field
        and named.field_value = lower(trim(new_value))
    where deal_id is not null and change_time >= '{begin}' and change_time < '{end}'
        and (named.kpi is not null or other.field = 'add_time' or trim(new_value) <> '')
    group by 1, deal_id
    """,
)
_RESULT = """
    drop table if exists by_hand.monthly_stats;
    create table by_hand.monthly_stats as
    with steps as (
        select distinct funnel_step, kpi_name, step_order from pipedrive_staging.funnel_steps
    ), counts as (
        select month, funnel_step, deals_count, deal_days_count from by_hand.monthly_activity_stats
        union all
        select month, funnel_step, deals_count, deal_days_count from by_hand.monthly_deal_stats
    )
    select months.month, steps.kpi_name, steps.funnel_step,
        cast(coalesce(sum(deals_count), 0) as bigint) as deals_count, steps.step_order,
        cast(coalesce(sum(deal_days_count), 0) as bigint) as deal_days_count
    from (select distinct month from counts) as months cross join steps
    left join counts on counts.month = months.month and counts.funnel_step = steps.funnel_step
    group by months.month, steps.kpi_name, steps.funnel_step, steps.step_order
"""


@dataclass(frozen=True)
class HandSql:
    """The SQL by hand, on a stage of its own schema.

    Args:
        stage: Holds the raw rows and the built models.
        first_month: First day of the first month to count.
        until: The day after the last one to count.
    """

    stage: Stage
    first_month: date
    until: date

    def set_up(self) -> None:
        """Make tables of our own that hold what the models' tables hold."""
        for statement in _SET_UP.split(";"):
            self.stage.execute(statement)

    def run(self, *, at_once: bool = True) -> tuple[float, float]:
        """Return the seconds from begin to end, and those of all statements added up.

        Args:
            at_once: Whether the branches run beside each other.
        """
        months = []
        month = self.first_month
        while month < self.until:
            months.append(month)
            month += relativedelta(months=1)
        spent: list[float] = []
        failures: list[Exception] = []

        def count(branch: _Branch) -> None:
            try:
                spent.append(self._execute(branch.statements(months, self.until)))
            except Exception as error:  # of another thread: raised below
                failures.append(error)

        begin = time.monotonic()
        threads = [threading.Thread(target=count, args=[branch]) for branch in (_ACTIVITY, _DEALS)]
        for thread in threads:
            thread.start()
            if not at_once:
                thread.join()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        spent.append(self._execute(_RESULT.split(";")))
        return time.monotonic() - begin, sum(spent)

    def check(self) -> None:
        """Compare with the models' tables.

        Raises:
            RuntimeError: They differ, so that the comparison would be none.
        """
        tables = {
            "daily_activity_stats": "pipedrive_analytics",
            "daily_deal_stats": "pipedrive_analytics",
            "monthly_activity_stats": "pipedrive_analytics",
            "monthly_deal_stats": "pipedrive_analytics",
            "monthly_stats": "pipedrive_reporting",
        }
        with closing(self.stage.connect()) as connection, connection.cursor() as cursor:
            for table, schema in tables.items():
                ours, theirs = f"table by_hand.{table}", f"table {schema}.{table}"
                cursor.execute(
                    f"({ours} except all {theirs}) union all ({theirs} except all {ours})"
                )
                if row := cursor.fetchone():
                    raise RuntimeError(f"{table} by hand differs from the model's: {row}")

    def _execute(self, statements: list[str]) -> float:
        """Return the seconds of statements in one transaction, without its commit."""
        with closing(self.stage.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(_SETTINGS)
            begin = time.monotonic()
            connection.autocommit = False
            for statement in statements:
                cursor.execute(statement)
            seconds = time.monotonic() - begin
            connection.commit()
            return seconds


def _prefix(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))
