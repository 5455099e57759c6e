"""A run: find out what to process, ask whether the sources are fresh, build and test."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.console import Console
from runner.dbt_runner import Dbt
from runner.errors import ExitCode
from runner.funnel_table import FunnelMonth, read_funnel
from runner.lock import hold_lock
from runner.plan import Plan, make_plan
from runner.project import ANALYTICS, REPORTING, Project
from runner.raw_contract import check_raw_contract
from runner.results import NodeResult, count_statuses, exit_code, problems
from runner.warehouse import open_warehouse, table_exists
from runner.window import Window


@dataclass(frozen=True)
class RunOptions:
    """What a run does beside building the models of its window."""

    select: Sequence[str] = ()
    with_tests: bool = True
    with_freshness: bool = True
    with_healing: bool = True
    wait: float = 0


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Args:
        plan: What it processed, and why.
        results: What became of each source, seed, model and test.
        seconds: Time it took.
        latest: The funnel of the latest month, if the run got that far.
    """

    plan: Plan
    results: tuple[NodeResult, ...]
    seconds: float
    latest: FunnelMonth | None

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends."""
        return exit_code(self.results)

    def document(self) -> dict[str, Any]:
        """Return the report as `--json` prints it."""
        return {
            "source_dt": self.plan.window.source_dt,
            "first_day": f"{self.plan.months[0]}-01",
            "last_day": self.plan.window.last_day,
            "months": list(self.plan.months),
            "models": count_statuses(self.results, "models"),
            "tests": count_statuses(self.results, "tests"),
            "sources": count_statuses(self.results, "sources"),
            "problems": [result.document() for result in problems(self.results)],
            "seconds": round(self.seconds, 2),
            "funnel": self.latest.document() if self.latest else None,
            "exit_code": int(self.exit_code),
        }


def run_window(
    project: Project,
    window: Window,
    options: RunOptions,
    console: Console,
    command: str = "run",
) -> RunReport:
    """Process a window on the project's target, as its only writer.

    Raises:
        FunnelError: It could not run. Failed models, tests and sources are in the report instead.
    """
    begin = time.monotonic()
    schema = project.schema(ANALYTICS)
    purpose = f"funnel {command} {window.source_dt}"
    with (
        open_warehouse(project) as connection,
        hold_lock(connection, schema, purpose, wait=options.wait),
    ):
        check_raw_contract(connection, project.raw_schema, project.loaded_at_field)
        plan = make_plan(connection, project, window, heal=options.with_healing)
        console.say(plan.describe())
        results = _process(Dbt(project, plan.window.dbt_vars()), options, console)
        latest = None
        if exit_code(results) is ExitCode.DONE:
            latest = _read_latest(connection, project.schema(REPORTING), plan.months[-1])
    return RunReport(plan, results, time.monotonic() - begin, latest)


def _read_latest(connection: Connection, schema: str, month: str) -> FunnelMonth | None:
    if not table_exists(connection, schema, "monthly_stats"):
        return None
    return next(iter(read_funnel(connection, schema, month=month)), None)


def _process(dbt: Dbt, options: RunOptions, console: Console) -> tuple[NodeResult, ...]:
    freshness = dbt.freshness() if options.with_freshness else ()
    if exit_code(freshness) is not ExitCode.DONE:
        console.warn("nothing was built, because a source is stale; --no-freshness builds anyway")
        return freshness
    with console.progress("Building") as progress:
        built = dbt.build(options.select, with_tests=options.with_tests, progress=progress)
    return freshness + built
