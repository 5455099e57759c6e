"""Seconds that the tests of a run take beside its models: on ten million raw rows, and on the demo.

    .venv/bin/python benchmarks/gate_cost.py [ROWS_PER_TABLE]

Needs about 4 GB of disk and some minutes. Rows are made by the server, from a formula; nothing is
random. All times are by the clock, medians of three; below them the slowest nodes, as dbt measures
them while four run at once.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import psycopg2

from runner.dbt_runner import Dbt
from runner.demo_data import write_demo
from runner.local_postgres import LocalPostgres
from runner.project import Project
from runner.results import NodeResult
from runner.warehouse import open_warehouse

ROOT = Path(__file__).resolve().parent.parent
ROWS = 5_000_000
"""Rows of each of the two tables of events."""

MONTHS = 60
LAST_DAY = date(2024, 12, 31)
REPEATS = 3

# A deal every 20 rows, in order of time over five years of working hours. One of 7 activities is
# of another type than the funnel's, one of 5 is not done; a deal has both activities and changes.
_FILL = """
    truncate pipedrive_raw.activity, pipedrive_raw.deal_changes;
    insert into pipedrive_raw.activity
        (activity_id, type, assigned_to_user, deal_id, done, due_to)
    select n, (array['meeting', 'sc_2', 'after_close_call', 'meeting', 'sc_2', 'meeting', 'sc_2'])
        [n % 7 + 1], n % 12 + 1, 41001 + n / 20, n % 5 > 0,
        timestamp '2020-01-01 08:00' + n / {per_day} * interval '1 day'
        + n % {per_day} * (interval '10 hours' / {per_day})
    from generate_series(1, {rows} - 1) as n;
    insert into pipedrive_raw.deal_changes (deal_id, change_time, changed_field_key, new_value)
    select 41001 + n / 20, timestamp '2020-01-01 08:00' + n / {per_day} * interval '1 day'
        + n % {per_day} * (interval '10 hours' / {per_day}), 'stage_id', n % 9 + 1
    from generate_series(1, {rows} - 1) as n;
    analyze pipedrive_raw.activity; analyze pipedrive_raw.deal_changes
"""


def main() -> None:
    """Fill, build, measure and print."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder:
        home = Path(folder) / "home"
        server = LocalPostgres(home)
        with server.session():
            write_demo(Path(folder) / "export")
            _funnel(home, "load", str(Path(folder) / "export"))
            run = ("run", "--source-dt", str(LAST_DAY))
            _funnel(home, *run)
            with_tests = statistics.median(_funnel(home, *run) for _ in range(REPEATS))
            without = statistics.median(_funnel(home, *run, "--no-tests") for _ in range(REPEATS))
            print(f"demo: a run                    {with_tests:7.2f} s")
            print(f"demo: a run with --no-tests    {without:7.2f} s")
            with closing(psycopg2.connect(server.url())) as connection, connection as transaction:
                with transaction.cursor() as cursor:
                    cursor.execute("drop schema pipedrive_analytics cascade")
                    cursor.execute(_FILL.format(rows=rows, per_day=rows // 1826))
            before = str(LAST_DAY - timedelta(days=REPEATS))
            build = ("run", "--source-dt", before, "--months", str(MONTHS), "--no-tests")
            seconds = _funnel(home, *build, "--no-freshness")
            print(f"{2 * rows:,} rows: first build {seconds:7.1f} s")
            _measure(home)


def _measure(home: Path) -> None:
    """Print what the models of a 30-day run take, and what its tests take."""
    dbt = Dbt(Project(ROOT, home))
    nights = [_night(dbt, LAST_DAY - timedelta(days=day)) for day in reversed(range(REPEATS))]
    again = [nights[-1]] * REPEATS
    with open_warehouse(dbt.project):
        # Each night brings the events of its day, the nights again bring none.
        for what, nights_of in {"a night": nights, "the night again": again}.items():
            costs = [(_clock(_models(night)), _clock(night.test)) for night in nights_of]
            _print(f"{what}: models", [models for models, _ in costs])
            _print(f"{what}: tests", [tests for _, tests in costs])
        everything = dbt.with_vars({**again[0].vars, "full_check": True})
        _print("full check: tests", [_clock(everything.test) for _ in range(REPEATS)])


def _night(dbt: Dbt, day: date) -> Dbt:
    return dbt.with_vars({"source_dt": str(day), "backfill_period": 30})


def _models(dbt: Dbt) -> Callable[[], Sequence[NodeResult]]:
    return lambda: dbt.build(with_tests=False)


def _print(what: str, costs: Sequence[tuple[float, Sequence[NodeResult]]]) -> None:
    """Print the median, and the slowest nodes of the last time."""
    print(f"{what:30} {statistics.median(seconds for seconds, _ in costs):7.2f} s")
    for result in sorted(costs[-1][1], key=lambda result: -result.seconds)[:5]:
        print(f"    {result.name:50} {result.seconds:6.2f} s  {result.status}")


def _clock(process: Callable[[], Sequence[NodeResult]]) -> tuple[float, Sequence[NodeResult]]:
    begin = time.monotonic()
    results = process()
    return time.monotonic() - begin, results


def _funnel(home: Path, *arguments: str) -> float:
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "runner.cli", *arguments],
        check=True,
        cwd=ROOT,
        env={"FUNNEL_HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
