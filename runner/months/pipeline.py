"""A run: find out what to process, ask whether the sources are fresh, build and test."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from runner import __version__
from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.months.ledger import close_open_runs, find_own_run, record
from runner.months.plan import DEALS, Plan, make_plan
from runner.months.state import State, read_state
from runner.months.window import Window
from runner.project import AUDIT, META, Project
from runner.show.rows import FunnelStep, Period, read_rows
from runner.show.views import nest_in_months
from runner.transform.dbt_runner import Dbt
from runner.transform.failing_rows import keep_failing_rows
from runner.transform.results import NodeResult, count_statuses, exit_code, problems
from runner.warehouse.completeness import Completeness, read_completeness
from runner.warehouse.connection import DAILY_TABLES, DEAL_TABLES, MONTH_TABLES
from runner.warehouse.engine import Engine
from runner.warehouse.lock import LockLost
from runner.warehouse.opening import open_warehouse


@dataclass(frozen=True)
class RunOptions:
    """What a run does beside building the models of its window.

    Args:
        select: Build only these models, in dbt's selection syntax.
        with_tests: Whether to test what was built.
        with_freshness: Whether to build nothing where a source is stale.
        with_healing: Whether to process what is missing or late in other months as well.
        wait: Seconds to wait for another writer.
        lock_timeout: Seconds to wait for a table that somebody else has locked; None is the var.
        steal_lock: Whether to take the lock from a writer that is gone.
    """

    select: Sequence[str] = ()
    with_tests: bool = True
    with_freshness: bool = True
    with_healing: bool = True
    wait: float = 0
    lock_timeout: int | None = None
    steal_lock: bool = False


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Args:
        plan: What it processed, and why.
        results: What became of each source, seed, model and test.
        seconds: Time it took.
        latest: The funnel of the latest month, if the run got that far.
        history: For which time `funnel extract` has brought the history of all deals.
    """

    plan: Plan
    results: tuple[NodeResult, ...]
    seconds: float
    latest: Sequence[FunnelStep]
    history: Completeness | None = None

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
            "history": asdict(self.history) if self.history else None,
            "seconds": round(self.seconds, 2),
            "funnel": next(iter(nest_in_months(step.document() for step in self.latest)), None),
            "exit_code": int(self.exit_code),
        }


@dataclass(frozen=True)
class Pipeline:
    """The only writer of a target's schemas, for one command that may process several windows.

    Args:
        project: What it works on.
        engine: The warehouse, over a connection that is not dbt's.
        console: Where it talks.
        command: Name of the command, for the ledger.
        dbt: The project parsed once.
        state: The target as it was before the command wrote anything.
    """

    project: Project
    engine: Engine
    console: Console
    command: str
    dbt: Dbt
    state: State

    @property
    def recorded_as(self) -> list[str]:
        """What the ledger says of this command's dbt runs."""
        return [f"funnel {self.command}", f"funnel {__version__}"]

    def process(
        self, window: Window, options: RunOptions, *, batches_from: date | None = None
    ) -> RunReport:
        """Process a window and what is to be healed beside it.

        Args:
            window: What to process.
            options: What to do beside.
            batches_from: First day of what earlier windows processed without computing deals.

        Raises:
            FunnelError: It could not run. Failed models, tests and sources are in the report.
        """
        begin = time.monotonic()
        plan = make_plan(
            window,
            self.state,
            with_healing=options.with_healing,
            requested=self.command != "run",
            batches_from=batches_from,
        )
        self.console.say(plan.describe())
        if plan.outdated_months:
            self.console.warn(plan.warning())
        results = self._build(plan, options)
        built = {result.name for result in results if result.status == "pass"}
        if plan.watermark and built.issuperset((*DAILY_TABLES, *DEAL_TABLES, *MONTH_TABLES)):
            meta = self.project.schema(META)
            run_id = find_own_run(self.engine, meta)
            record(self.engine, meta, run_id, "watermark", **asdict(plan.watermark))
        latest: Sequence[FunnelStep] = ()
        if exit_code(results) is ExitCode.DONE:
            latest_month = Period.ending(date.fromisoformat(f"{plan.months[-1]}-01"), 1)
            with suppress(FunnelError):  # --select has left the funnel out
                latest = read_rows(self.engine, self.project, FunnelStep, latest_month)
        history = read_completeness(self.engine, self.project)
        return RunReport(plan, results, time.monotonic() - begin, latest, history)

    def _build(self, plan: Plan, options: RunOptions) -> tuple[NodeResult, ...]:
        # All its months, so that the tests of a first build read its whole history.
        dbt = self._dbt(replace(plan.window, reprocess_months=plan.months), options)
        freshness = dbt.freshness() if options.with_freshness else ()
        if exit_code(freshness) is not ExitCode.DONE:
            self.console.warn(
                "nothing was built, because a source is stale; --no-freshness builds anyway"
            )
            return freshness
        deals_window = None if options.select else plan.deals_window()
        exclude = [DEALS] if deals_window else []
        built = self._build_models(dbt, options, options.select, exclude)
        if deals_window and exit_code(built) is ExitCode.DONE:
            built += self._build_models(self._dbt(deals_window, options), options, [DEALS], [])
        audit = self.project.schema(AUDIT)
        return freshness + keep_failing_rows(self.engine, audit, built, self.console)

    def _build_models(
        self, dbt: Dbt, options: RunOptions, select: Sequence[str], exclude: Sequence[str]
    ) -> tuple[NodeResult, ...]:
        with self.console.progress("Building") as progress:
            return dbt.build(select, exclude, with_tests=options.with_tests, progress=progress)

    def _dbt(self, window: Window, options: RunOptions) -> Dbt:
        dbt_vars: dict[str, Any] = {**window.dbt_vars(), "recorded_as": self.recorded_as}
        if options.select:
            dbt_vars["recorded_as"][0] += " --select"
        if self.command == "rebuild":  # what was counted before is to change
            dbt_vars["min_kept_ratio"] = 0
        if options.lock_timeout is not None:
            dbt_vars["lock_timeout"] = options.lock_timeout
        return self.dbt.with_vars(dbt_vars)


@contextmanager
def open_pipeline(
    project: Project,
    console: Console,
    command: str,
    purpose: str,
    options: RunOptions,
    prepare: Callable[[Engine], None] | None = None,
) -> Iterator[Pipeline]:
    """Become the only writer of the project's target while the block runs.

    Args:
        project: What to work on.
        console: Where to talk.
        command: Name of the command, for the ledger.
        purpose: What it is about, for whoever meets the lock.
        options: How long to wait for others.
        prepare: Called with the lock held, before anything is read.

    Raises:
        FunnelError: Another writer holds the lock, or the warehouse or its raw tables are missing.
    """
    with (
        open_warehouse(project) as engine,
        engine.only_writer(
            project, f"funnel {command} {purpose}", wait=options.wait, steal=options.steal_lock
        ),
    ):
        patience = options.lock_timeout
        engine.limit_patience(project.var("lock_timeout") if patience is None else patience)
        close_open_runs(engine, project.schema(META), "crashed")
        if prepare:
            prepare(engine)
        state = read_state(engine, project)
        try:
            yield Pipeline(project, engine, console, command, Dbt.open(project), state)
        except LockLost:
            raise  # another run may have begun, whose row in the ledger is open
        except KeyboardInterrupt:
            with suppress(*engine.errors):  # else the next run writes down that it crashed
                close_open_runs(engine, project.schema(META), "interrupted")
            raise


def run_window(
    project: Project,
    window: Window,
    options: RunOptions,
    console: Console,
    prepare: Callable[[Engine], None] | None = None,
) -> RunReport:
    """Process a window on the project's target, as its only writer.

    Args:
        project: What to work on.
        window: What to process.
        options: What to do beside.
        console: Where to talk.
        prepare: Called with the lock held, before anything is read.

    Raises:
        FunnelError: It could not run. Failed models, tests and sources are in the report instead.
    """
    purpose = str(window.source_dt)
    with open_pipeline(project, console, "run", purpose, options, prepare) as pipeline:
        return pipeline.process(window, options)
