"""Measure the counts on Spark, from one core to a cluster, beside Postgres; print a table.

    PYTHONPATH=tests/support python -m benchmarks.spark --rows 10000000 30000000

Rows are those of both tables of events together, spread over 36 months. Spark writes down what each
task took: its events are read, not a clock around a process that has to start Java first.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from cluster import running_cluster

from benchmarks.raw_rows import LAST_DAY, History
from benchmarks.stage import DBT_VARS, ROOT, open_stage
from benchmarks.subjects import MONTHS, NIGHT
from runner.project import Project
from runner.raw.demo_data import write_demo
from runner.warehouse.opening import open_warehouse

WINDOWS = {
    "36 months": ("--months", str(MONTHS), "--backfill-period", "0"),
    "one month": ("--backfill-period", "0"),
}
"""What is processed: first all of it, then a night."""

NAMES = {"1": "one core", "2": "two cores", "cluster": "two workers of one core"}

COUNTS_ONLY = ("--no-freshness", "--no-tests", "--select", "+monthly_stats")

_MEMORY = "4g"

# As benchmarks/raw_rows.py makes them on Postgres; months are those in which a deal has events.
_FILL = {
    "activity": """
        select
            id as activity_id,
            element_at(
                array('meeting', 'sc_2', 'follow_up', 'after_close_call'),
                1 + shiftright(chance, 8) % 4
            ) as type,
            id % 50 as assigned_to_user,
            cast(floor((id + chance % {spread}) / 5) as bigint) as deal_id,
            id % 20 > 0 as done,
            timestamp_micros({begin} + id * {step}) as due_to,
            timestamp '2025-01-01 03:00:00' as _loaded_at
        from {numbers}
    """,
    "deal_changes": """
        select
            cast(floor((id + chance % {spread}) / 5) as bigint) as deal_id,
            timestamp_micros({begin} + id * {step}) as change_time,
            element_at(
                array('stage_id', 'stage_id', 'stage_id', 'user_id', 'add_time', 'lost_reason'),
                1 + shiftright(chance, 8) % 6
            ) as changed_field_key,
            case shiftright(chance, 8) % 6
                when 3 then cast(id % 50 as string)
                when 4 then cast(timestamp_micros({begin} + id * {step}) as string)
                when 5 then cast(1 + id % 7 as string)
                else cast(1 + shiftright(chance, 12) % 11 as string)
            end as new_value,
            timestamp '2025-01-01 03:00:00' as _loaded_at
        from {numbers}
    """,
}


@dataclass(frozen=True)
class Work:
    """What a run took.

    Args:
        seconds: From the start of its first job to the end of its last.
        core_seconds: In which a core worked on a task.
        shuffled: Megabytes written for other tasks to read.
        spilled: Megabytes that did not fit into memory.
    """

    seconds: float
    core_seconds: float
    shuffled: float
    spilled: float


class EventLog:
    """The folder into which Spark writes what its tasks took."""

    def __init__(self, folder: Path, *, ends_with_run: bool) -> None:
        """Create it; say whether Spark ends with each command, and its log with it."""
        folder.mkdir()
        self.folder = folder
        self._ends_with_run = ends_with_run
        self._read: dict[Path, int] = {}

    @property
    def settings(self) -> dict[str, str]:
        """What makes Spark write it."""
        return {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": self.folder.as_uri(),
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
        }

    def read(self) -> Work:
        """Return what has been done since the last look."""
        while self._ends_with_run and any(self.folder.rglob("*.inprogress")):
            time.sleep(0.1)
        times, core_seconds, shuffled, spilled = [], 0.0, 0, 0
        for event in self._events():
            kind = event["Event"]
            if kind == "SparkListenerJobStart":
                times.append(event["Submission Time"])
            elif kind == "SparkListenerJobEnd":
                times.append(event["Completion Time"])
            elif kind == "SparkListenerTaskEnd" and "Task Metrics" in event:
                metrics = event["Task Metrics"]
                core_seconds += metrics["Executor Run Time"] / 1000
                shuffled += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
                spilled += metrics["Disk Bytes Spilled"]
        return Work((max(times) - min(times)) / 1000, core_seconds, shuffled / 1e6, spilled / 1e6)

    def _events(self) -> Iterator[dict[str, Any]]:
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            with path.open() as lines:
                lines.seek(self._read.get(path, 0))
                while line := lines.readline():
                    if line.startswith("{") and line.endswith("\n"):
                        yield json.loads(line)
                self._read[path] = lines.tell()


def generate(environment: Mapping[str, str], rows: int) -> None:
    """Make the raw tables on the target that the environment names: half of the rows each."""
    with patch.dict(os.environ, environment), TemporaryDirectory() as folder:
        project = Project(ROOT, Path(folder), environment["FUNNEL_TARGET"])
        history = History(rows // 2, MONTHS)
        days = (LAST_DAY - history.first_day).days + 1
        chance = f"(select id, hash(id) & 2147483647 as chance from range({rows // 2}))"
        with open_warehouse(project) as engine:
            for table, query in _FILL.items():
                engine.query(f"drop table if exists {project.raw_schema}.{table}")
                engine.query(
                    f"create table {project.raw_schema}.{table} using parquet as "
                    + query.format(
                        numbers=chance,
                        begin=f"unix_micros(timestamp '{history.first_day}')",
                        step=days * 86_400_000_000 // (rows // 2),
                        spread=max(5, rows // MONTHS),
                    )
                )


def measure(environment: Mapping[str, str], rows: int, log: EventLog) -> Iterator[tuple[str, Work]]:
    """Generate rows and process each window of them."""
    with TemporaryDirectory(prefix="funnel-bench-") as folder:
        environment = {**environment, "FUNNEL_HOME": folder, "FUNNEL_QUIET": "1"}
        environment |= {"FUNNEL_VARS": json.dumps(DBT_VARS), "PYTHONPATH": str(ROOT)}
        write_demo(Path(folder) / "export")
        funnel(environment, "load", str(Path(folder) / "export"))
        # In a process of its own: Spark's catalogue is one process's at a time.
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=generate, args=(environment, rows))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError("the rows were not generated")
        log.read()
        for window, options in WINDOWS.items():
            funnel(environment, "run", *NIGHT, *COUNTS_ONLY, *options)
            yield window, log.read()


def funnel(environment: Mapping[str, str], *arguments: str) -> float:
    """Run funnel as a process of its own; return its seconds."""
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "runner.cli", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.monotonic() - begin


@contextmanager
def on_one_machine(cores: int) -> Iterator[tuple[Mapping[str, str], EventLog]]:
    """Yield the environment by which a process of funnel has so many cores for Spark."""
    with TemporaryDirectory(prefix="funnel-bench-") as folder:
        log = EventLog(Path(folder) / "events", ends_with_run=True)
        settings = {**log.settings, "spark.driver.memory": _MEMORY}
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        (Path(folder) / "spark-defaults.conf").write_text(lines)
        yield (
            {
                "FUNNEL_TARGET": "spark",
                "FUNNEL_SPARK_MASTER": f"local[{cores}]",
                "FUNNEL_SPARK_HOME": f"{folder}/spark",
                "SPARK_CONF_DIR": folder,
                "SPARK_LOCAL_IP": "127.0.0.1",
            },
            log,
        )


@contextmanager
def on_a_cluster() -> Iterator[tuple[Mapping[str, str], EventLog]]:
    """Yield the environment of a cluster of two workers with a core each."""
    with TemporaryDirectory(prefix="funnel-bench-") as folder:
        log = EventLog(Path(folder) / "events", ends_with_run=False)
        settings = {**log.settings, "spark.executor.memory": _MEMORY, "spark.executor.cores": "1"}
        with running_cluster(Path(folder), settings, memory=_MEMORY) as cluster:
            yield cluster.environment, log


def on_postgres(rows: int) -> Iterator[tuple[str, float]]:
    """Yield the seconds of whole processes on the embedded Postgres."""
    with open_stage(History(rows // 2, MONTHS), build=False) as stage:
        for window, options in WINDOWS.items():
            yield window, stage.funnel("run", *NIGHT, *COUNTS_ONLY, *options).seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000_000])
    parser.add_argument("--postgres", type=int, nargs="*", default=[])
    parser.add_argument("--places", nargs="+", default=["1", "2", "cluster"])
    options = parser.parse_args()
    places: dict[str, Callable[[], AbstractContextManager[tuple[Mapping[str, str], EventLog]]]] = {
        "1": lambda: on_one_machine(1),
        "2": lambda: on_one_machine(2),
        "cluster": on_a_cluster,
    }
    head = ("million rows", "where", "window", "seconds", "core seconds", "rows/s per core")
    print(f"| {' | '.join((*head, 'shuffled, MB', 'spilled, MB'))} |", flush=True)
    print("|" + "---|" * 8, flush=True)
    for rows in options.rows:
        for place in options.places:
            with places[place]() as (environment, log):
                for window, work in measure(environment, rows, log):
                    speed = f"{rows / work.core_seconds:,.0f}" if window == "36 months" else ""
                    print(
                        f"| {rows / 1e6:g} | {NAMES[place]} | {window} | {work.seconds:.1f} "
                        f"| {work.core_seconds:.1f} | {speed} | {work.shuffled:,.0f} "
                        f"| {work.spilled:,.0f} |",
                        flush=True,
                    )
    for rows in options.postgres:
        for window, seconds in on_postgres(rows):
            print(
                f"| {rows / 1e6:g} | Postgres | {window} | {seconds:.1f} |  |  |  |  |", flush=True
            )


if __name__ == "__main__":
    main()
