"""Seconds that the tests of a run take beside its models: on ten million raw rows, and on the demo.

    .venv/bin/python -m benchmarks.gate_cost [ROWS_PER_TABLE]

Needs about 4 GB of disk and some minutes. All times are by the clock, medians of three; below them
the slowest nodes, as dbt measures them while four run at once.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.raw_rows import LAST_DAY, History
from benchmarks.stage import ROOT, Stage
from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.raw.demo_data import write_demo
from runner.transform.dbt_runner import Dbt
from runner.transform.results import NodeResult
from runner.warehouse.connection import open_postgres

ROWS = 5_000_000
"""Rows of each of the two tables of events."""

MONTHS = 60
REPEATS = 3

NIGHTS = [LAST_DAY - timedelta(days=day) for day in range(2 * REPEATS, 0, -1)]
"""Reference dates whose 30 days touch two months, one after the other."""


def main() -> None:
    """Fill, build, measure and print."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with TemporaryDirectory(prefix="funnel-") as folder:
        home = Path(folder) / "home"
        stage = Stage(home, LocalPostgres(home), History(rows, MONTHS))
        with stage.server.session():
            _measure_demo(stage)
            stage.execute("drop schema pipedrive_analytics cascade")
            with closing(stage.connect()) as connection:
                stage.history.fill(connection)
            before = str(NIGHTS[0] - timedelta(days=1))
            build = ("run", "--source-dt", before, "--months", str(MONTHS), "--no-tests")
            print(f"{2 * rows:,} rows: first build {stage.funnel(*build).seconds:7.1f} s")
            _measure(home)


def _measure_demo(stage: Stage) -> None:
    """Print what a warm run of one month takes, with its tests and without."""
    write_demo(stage.export)
    stage.funnel("load", str(stage.export))
    run = ("run", "--source-dt", str(LAST_DAY))
    stage.funnel(*run)
    for options in ((), ("--no-tests",)):
        costs = [stage.funnel(*run, *options) for _ in range(REPEATS)]
        seconds = statistics.median(cost.seconds for cost in costs)
        print(f"{'demo: run ' + ' '.join(options):30} {seconds:7.2f} s")


def _measure(home: Path) -> None:
    """Print what a 30-day run takes with its tests and without, and the tests alone."""
    dbt = Dbt(Project(ROOT, home))
    nights = [dbt.with_vars({"source_dt": str(day), "backfill_period": 30}) for day in NIGHTS]
    with open_postgres(dbt.project):
        # Each night brings the events of its day; the last one again and again brings none.
        for what, runs in {"a night": nights, "no news": nights[-1:] * len(nights)}.items():
            models = [_clock(partial(night.build, with_tests=False)) for night in runs[::2]]
            both = [_clock(night.build) for night in runs[1::2]]
            _print(f"{what}: models", models)
            _print(f"{what}: models and tests", both)
        _print("tests alone", [_clock(nights[-1].test) for _ in range(REPEATS)])
        everything = dbt.with_vars({**nights[-1].vars, "full_check": True})
        _print("full check: tests alone", [_clock(everything.test) for _ in range(REPEATS)])


def _print(what: str, costs: Sequence[tuple[float, Sequence[NodeResult]]]) -> None:
    """Print the median, and the slowest nodes of the last time."""
    print(f"{what:30} {statistics.median(seconds for seconds, _ in costs):7.2f} s")
    for result in sorted(costs[-1][1], key=lambda result: -result.seconds)[:5]:
        print(f"    {result.name:50} {result.seconds:6.2f} s  {result.status}")


def _clock(process: Callable[[], Sequence[NodeResult]]) -> tuple[float, Sequence[NodeResult]]:
    begin = time.monotonic()
    results = process()
    return time.monotonic() - begin, results


if __name__ == "__main__":
    main()
