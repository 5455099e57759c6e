"""The same project on Spark and on Postgres: the same rows in, the same rows out, run after run.

Postgres is held against the oracles at the same time. FUNNEL_SEED=… makes the same rows again.
"""

import csv
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from random import Random

import pytest
from dateutil.parser import parse
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

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.months.late_rows import LateRows
from runner.months.pipeline import RunOptions, run_window
from runner.months.plan import make_plan
from runner.months.state import read_state
from runner.months.status import read_status
from runner.months.verify import verify
from runner.months.window import Window
from runner.project import Project
from runner.raw.demo_data import write_demo
from runner.raw.directory import load_directory
from runner.transform.dbt_runner import Dbt
from runner.warehouse.opening import open_warehouse

__all__ = ["berlin", "project_under_test", "utc"]

FIRST_DAY = date(2024, 1, 20)
QUIET = Console(quiet=True)
QUICK = RunOptions(with_tests=False, with_freshness=False, with_healing=False)
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


class Both:
    """Postgres, held against the oracles, and Spark, held against Postgres."""

    def __init__(self, funnel: Funnel, lake: Lake) -> None:
        self.funnel = funnel
        self.lake = lake
        self.marts = Marts(funnel)

    @property
    def project(self) -> Project:
        return self.lake.project(timezone=self.funnel.zone, pipelines=list(self.funnel.counted))

    def run(self, raw: Raw, window: Window, *, heals: bool = False) -> None:
        self.run_postgres(raw, window)
        self.lake.load(raw)
        options = replace(QUICK, with_healing=heals)
        report = run_window(self.project, window, options, QUIET)
        assert [result for result in report.results if result.is_bad] == []
        self.compare_tables()

    def run_postgres(self, raw: Raw, window: Window) -> None:
        window = self.marts.plan(window, requested=True)
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

    def compare_tables(self) -> None:
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


def first_build(request: pytest.FixtureRequest, lake: Lake, chance: Random) -> tuple[Both, Raw]:
    """Build the same nasty rows on both engines, in a time zone drawn at random."""
    lake.clear()
    both = Both(request.getfixturevalue(chance.choice(("utc", "berlin"))), lake)
    raw = nasty(chance)._replace(stages=IN_PIPELINES, pipelines=PIPELINES, counted=("sales",))
    both.run(raw, Window(date(2024, 4, 15), 31, 4), heals=True)
    return both, raw


def test_spark_and_postgres_go_the_same_way(request: pytest.FixtureRequest, lake: Lake) -> None:
    both, raw = first_build(request, lake, Random(SEED))  # noqa: S311
    both.look()
    status = read_status(both.project)
    assert (status.first_day, status.last_day) == (date(2024, 1, 1), date(2024, 4, 15))
    assert (status.gaps, status.running, status.outdated_by) == ((), "", ())
    raw = count_a_late_row(both, raw)
    edit_a_month(lake, "pipedrive_analytics.daily_deal_stats", date(2024, 3, 1))
    verdict = verify(both.project, QUIET, None, None, repair=True)
    assert (verdict.repaired_months, verdict.exit_code) == (("2024-03",), ExitCode.DONE)
    both.compare_tables()
    # An old date leaves later months alone.
    both.run(raw, Window(date(2024, 2, 29), 10, 3))
    assert find_nulls(both.project) == ("pass", 0)
    for name in lake.stored("pipedrive_reporting", "monthly_stats"):
        lake.session.sql(
            f"insert into {name} select month, kpi_name, funnel_step, null, step_order,"
            f" deal_days_count from {name} limit 1"
        )
    assert find_nulls(both.project) == ("fail", 1)


def count_a_late_row(both: Both, raw: Raw) -> Raw:
    """Load a row of an old month, have the next run count it, and return all rows."""
    session = both.lake.session
    sold = next(row.stage_id for row in IN_PIPELINES if row.pipeline_id == 1)
    late = DealChange(90001, datetime(2024, 1, 25, 10), "stage_id", str(sold))
    session.sql(
        f"insert into pipedrive_raw.deal_changes select {late.deal_id}, timestamp"
        f" '{late.change_time}', 'stage_id', '{sold}', current_timestamp()"
    )
    window = Window(date(2024, 4, 15), 0)
    with open_warehouse(both.project) as engine:
        state = read_state(engine, both.project)
    assert state.late_rows == {"2024-01": LateRows(1, date(2024, 1, 25))}
    assert make_plan(window, state).reasons == {"2024-01": ("late rows",), "2024-04": ("window",)}
    with (
        reading(both.lake, "select * from pipedrive_reporting.monthly_stats") as answers,
        reading(both.lake, "select deal_id from pipedrive_analytics.deals") as deals,
    ):
        report = run_window(both.project, window, replace(QUICK, with_healing=True), QUIET)
    assert [result for result in report.results if result.is_bad] == []
    raw = raw._replace(deal_changes=[*raw.deal_changes, late])
    both.run_postgres(raw, replace(window, reprocess_months=("2024-01",)))
    both.compare_tables()
    assert len(answers) > 20
    assert set(answers) == {answers[0], answers[-1]}  # the old rows, or the new ones
    assert answers[0] != answers[-1]
    assert [answer for answer in deals if isinstance(answer, str)] == []
    return raw


@contextmanager
def reading(lake: Lake, query: str) -> Iterator[list[object]]:
    """Ask again and again, until the block ends; an answer is all rows, or what was wrong."""
    answers: list[object] = []
    over = threading.Event()

    def read() -> None:
        while not over.wait(0.05):
            try:
                answers.append(frozenset(lake.session.sql(query).collect()))
            except Exception as error:  # noqa: BLE001 - whatever a reader would see
                answers.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def find_nulls(project: Project) -> tuple[str, int | None]:
    """Test what Parquet takes, which a contract of Postgres would have refused."""
    [found] = Dbt.open(project).test(["assert_nothing_is_null_that_must_not_be"])
    return found.status, found.failures


def edit_a_month(lake: Lake, table: str, month: date) -> None:
    """Count one deal too many on each day of a month."""
    frame = lake.session.sql(f"select * from {table} where month = date '{month}'")
    rows = [{**row.asDict(), "deals_count": row["deals_count"] + 1} for row in frame.collect()]
    lake.session.createDataFrame(rows, frame.schema).createOrReplaceTempView("edited")
    lake.session.sql(f"insert overwrite table {table} select * from edited")


def test_a_second_writer_on_spark_is_turned_away(lake: Lake) -> None:
    project = lake.project()
    with open_warehouse(project) as engine, engine.only_writer(project, "funnel run"):
        assert "funnel run of " in read_status(project).running
        with pytest.raises(FunnelError, match="another run holds the lock: funnel run") as refusal:
            run_window(project, Window(date(2024, 3, 31)), RunOptions(), QUIET)
        assert refusal.value.exit_code is ExitCode.LOCKED
    assert read_status(project).running == ""


def utc_time(text: str) -> datetime:
    return parse(text).replace(tzinfo=timezone.utc)


def test_files_are_loaded_into_the_lake(lake: Lake, tmp_path: Path) -> None:
    write_demo(tmp_path)
    project, console = lake.project(), QUIET
    loaded = load_directory(project, tmp_path, console)
    with open_warehouse(project) as engine:
        for table, rows in loaded.rows.items():
            assert engine.query(f"select count(*) from pipedrive_raw.{table}") == [(rows,)]
        [first] = engine.query(
            "select min(due_to), count(case when done then 1 end) from pipedrive_raw.activity"
        )
    with (tmp_path / "activity.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    done = sum(record["DONE"].lower() in ("true", "yes", "t", "1") for record in records)
    assert first == (min(utc_time(record["DUE_TO"]) for record in records), done)
    # One bad cell, and nothing is written.
    path = tmp_path / "stages.csv"
    path.write_text(path.read_text().replace("\n1,", "\none,", 1))
    with pytest.raises(FunnelError, match="stages.csv: 1 of 10 cells of stage_id are no bigint"):
        load_directory(project, tmp_path, console)
    with open_warehouse(project) as engine:
        assert engine.query("select count(*) from pipedrive_raw.stages") == [(10,)]
