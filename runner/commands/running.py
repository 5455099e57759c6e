"""What the commands that process months share: their plan, their batches, their report."""

from datetime import date
from typing import TYPE_CHECKING, Any

from runner.commands.options import Invocation
from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.months.window import Window, window_between

if TYPE_CHECKING:
    from runner.months.pipeline import RunOptions, RunReport


def print_report(console: Console, report: "RunReport") -> None:
    """Print what a run did, and the funnel of its latest month."""
    from runner.show.views import draw_month
    from runner.text.text_table import terminal_width
    from runner.transform.results import count_results, describe_problems

    console.say(describe_problems(report.results, with_warnings=False), even_if_quiet=True)
    console.say(describe_problems(report.results, with_failures=False))
    if any(result.stored_in for result in report.results):
        console.say("`funnel test` says what that means. All rows are in pipedrive_audit.")
    console.say(count_results(report.results, report.seconds))
    if report.history:
        console.say(f"The history of deals is complete {report.history.describe()}.")
    wants_table = report.latest and not console.quiet
    last_day = report.plan.window.last_day
    text = f"\n{draw_month(report.latest, terminal_width(), last_day)}" if wants_table else ""
    console.show(text, report.document())


def read_window(
    invocation: Invocation,
    source_dt: str,
    allow_future: bool,
    backfill_period: int | None,
    months: int | None,
) -> Window:
    """Return the window that the options of a command describe."""
    project = invocation.project
    return Window(
        invocation.date_option("--source-dt", source_dt, allow_future=allow_future),
        project.var("backfill_period") if backfill_period is None else backfill_period,
        project.var("months") if months is None else months,
    )


def run_batches(
    invocation: Invocation,
    request: tuple[str, date, date, str] | None,
    *,
    dry_run: bool,
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Process what was requested (command, first day, last day, batch), or what was left undone."""
    from runner.months.backfill import HOW_TO_RESUME, Backfill, run_backfill

    if request is None and dry_run:
        raise FunnelError("--resume has no --dry-run", hint="`funnel status` shows what is left.")
    asked = None
    if request:
        command, first, last, batch = request
        window = window_between(first, last)
        if dry_run:
            show_plan(invocation, window, heal=not options["no_heal"], requested=True)
            return ExitCode.DONE
        asked = Backfill(command, first, last, batch, next_day=first)
    report = run_backfill(invocation.project, asked, run_options(**options), invocation.console)
    print_report(invocation.console, report)
    if report.exit_code is not ExitCode.DONE:
        invocation.console.say(HOW_TO_RESUME, even_if_quiet=True)
    return report.exit_code


def run_options(  # noqa: PLR0913 - the options of writing_options
    select: tuple[str, ...] = (),
    *,
    no_tests: bool,
    no_freshness: bool,
    no_heal: bool,
    wait: float,
    steal_lock: bool,
    lock_timeout: int | None,
) -> "RunOptions":
    """Return the values of `writing_options`, and of --select, for the domain."""
    from runner.months.pipeline import RunOptions

    return RunOptions(
        select,
        with_tests=not no_tests,
        with_freshness=not no_freshness,
        with_healing=not no_heal,
        wait=wait,
        steal_lock=steal_lock,
        lock_timeout=lock_timeout,
    )


def show_plan(
    invocation: Invocation, window: Window, *, heal: bool, requested: bool = False
) -> None:
    """Print which months a run would process, and why."""
    from runner.months.plan import make_plan
    from runner.months.state import read_state
    from runner.warehouse.explain import estimate_rows
    from runner.warehouse.opening import open_warehouse

    project = invocation.project
    with open_warehouse(project) as engine:
        state = read_state(engine, project)
        planned = make_plan(window, state, with_healing=heal, requested=requested)
        rows = estimate_rows(engine, project, planned.ranges())
    invocation.console.say(planned.describe())
    if planned.outdated_months:
        invocation.console.warn(planned.warning())
    invocation.console.show(planned.draw(project.target, rows), planned.document(rows))
