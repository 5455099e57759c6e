"""The same project on Spark and on Postgres: the same rows in, the same rows out, run after run.

Postgres is held against the oracles at the same time. FUNNEL_SEED=… makes the same rows again.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from random import Random

import pytest
from lake import Lake, comparable, running_lake
from oracle import Activity, DealChange, Month, Raw
from test_counting import (  # the fixtures as well
    ACTIVITY_TYPES,
    DEAL_VALUES,
    FUNNEL,
    SEED,
    Funnel,
    Run,
    berlin,
    project_under_test,
    utc,
)
from test_counting import TABLES as COUNTS
from test_marts import CHANGES, COLUMNS, FIELDS, IN_PIPELINES, PIPELINES, TYPES, VIEWS, Marts
from test_marts import STAGES as MART_STAGES
from test_marts import TABLES as MART_TABLES

from runner.months.window import Window

__all__ = ["berlin", "project_under_test", "utc"]

FIRST_DAY = date(2024, 1, 20)
TIMES = (time(0, 0), time(9, 30), time(22, 30), time(23, 59, 59, 999999))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with running_lake(tmp_path_factory.mktemp("lake")) as running:
        yield running


def nasty(chance: Random, deals: int = 60) -> Raw:
    """Rows with all that the random stories of one engine draw from."""

    def moment() -> datetime:
        return datetime.combine(FIRST_DAY + timedelta(chance.randrange(100)), chance.choice(TIMES))

    changes, activities = [], []
    for number in range(deals):
        deal = chance.choice((number, number, number, 2**53 + number, None))
        for _ in range(chance.randrange(1, 14)):
            at = None if chance.random() < 0.02 else moment()
            key, value = chance.choice(CHANGES if number % 3 else DEAL_VALUES)
            changes.append(DealChange(deal, at, key, value))
        for _ in range(chance.randrange(4)):
            done = chance.choice((True, True, True, False, None))
            kind = chance.choice(ACTIVITY_TYPES)
            owner = chance.choice((7, 8, None))
            activities.append(Activity(chance.randrange(1, 9), kind, deal, done, moment(), owner))
    return Raw(FUNNEL, activities, TYPES, changes, FIELDS, MART_STAGES)


def some_later(raw: Raw, chance: Random) -> Raw:
    """Rows come late, and some are gone."""
    late = nasty(chance, 15)
    return raw._replace(
        activities=[row for row in raw.activities if chance.random() < 0.95]
        + list(late.activities),
        deal_changes=[row for row in raw.deal_changes if chance.random() < 0.95]
        + list(late.deal_changes),
    )


class Both:
    """Postgres, held against the oracles, and Spark, held against Postgres."""

    def __init__(self, funnel: Funnel, lake: Lake) -> None:
        self.funnel = funnel
        self.lake = lake
        self.marts = Marts(funnel)

    def run(self, raw: Raw, window: Window) -> None:
        window = self.marts.plan(window)
        self.marts.run(raw, window)
        self.funnel.run(
            Run(
                window.source_dt,
                window.backfill_period,
                window.months,
                tuple(Month(*map(int, text.split("-"))) for text in window.reprocess_months),
                window.process_through,
            )
        )
        self.lake.load(raw)
        own = {"timezone": self.funnel.zone, "pipelines": list(raw.counted)}
        layers = ("staging", "daily", "monthly", "reporting", "marts")
        self.lake.build(*layers, dbt_vars={**window.dbt_vars(), **own})
        marts = {table: COLUMNS[table] for table in MART_TABLES if table in COLUMNS}
        self.compare({**COUNTS, **marts})

    def look(self) -> None:
        """Compare the views as well."""
        self.marts.look()
        self.compare({view: COLUMNS[view] for view in VIEWS})

    def compare(self, tables: Mapping[str, str]) -> None:
        different = {}
        for table, columns in tables.items():
            schema = "pipedrive_reporting" if table == "monthly_stats" else "pipedrive_analytics"
            name, names = f"{schema}.{table}", columns.split(", ")
            ours = self.lake.rows(name, names)
            query = f"select {columns} from {name}"
            theirs = type(ours)(comparable(row) for row in self.funnel.execute(query))
            if ours != theirs:
                different[table] = (
                    sorted(ours - theirs, key=str)[:3],
                    sorted(theirs - ours, key=str)[:3],
                )
        assert not different, f"Spark has, and Postgres has instead: {different}"


def test_spark_and_postgres_hold_the_same_rows(utc: Funnel, lake: Lake) -> None:
    chance = Random(SEED)  # noqa: S311
    both = Both(utc, lake)
    raw = nasty(chance)
    both.run(raw, Window(date(2024, 3, 31), 31, 3))
    raw = some_later(raw, chance)
    all_months = ("2024-01", "2024-02", "2024-03")
    both.run(raw, Window(date(2024, 4, 10), 0, 3, reprocess_months=all_months))
    # An old date again, which leaves the months after it alone.
    both.run(raw, Window(date(2024, 2, 29), 10, 3))
    both.look()


def test_spark_and_postgres_agree_in_berlin_on_several_pipelines(
    berlin: Funnel, lake: Lake
) -> None:
    raw = nasty(Random(SEED + 1))  # noqa: S311
    raw = raw._replace(stages=IN_PIPELINES, pipelines=PIPELINES, counted=("sales",))
    lake.session.sql("drop schema if exists pipedrive_analytics cascade")
    both = Both(berlin, lake)
    both.run(raw, Window(date(2024, 4, 15), 31, 4))
    both.look()


def test_an_empty_column_is_found_where_parquet_takes_it(berlin: Funnel, lake: Lake) -> None:
    raw = nasty(Random(SEED + 2), deals=5)  # noqa: S311
    window = Window(date(2024, 3, 31), 0, 1)
    lake.load(raw)
    own = {**window.dbt_vars(), "timezone": berlin.zone}
    lake.build("staging", "daily", "monthly", "reporting", "marts", dbt_vars=own)
    found = lake.dbt.with_vars(own).test(["assert_nothing_is_null_that_must_not_be"])
    assert [result.status for result in found] == ["pass"]
    table = "pipedrive_reporting.monthly_stats"
    lake.session.sql(
        f"insert into {table} select month, kpi_name, funnel_step, null, step_order,"
        f" deal_days_count from {table} limit 1"
    )
    found = lake.dbt.with_vars(own).test(["assert_nothing_is_null_that_must_not_be"])
    assert [(result.status, result.failures) for result in found] == [("fail", 1)]
