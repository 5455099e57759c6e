"""`funnel run`, `funnel backfill` and `funnel plan`."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.options import Function, Invocation, command_options, source_dt_option
from runner.window import LONGEST_BACKFILL, LONGEST_HISTORY, Window, window_between

if TYPE_CHECKING:
    from runner.pipeline import RunReport


def window_options(function: Function) -> Function:
    """Add the reference date and the size of the window to a command."""
    for option in (
        click.option(
            "--months",
            type=click.IntRange(1, LONGEST_HISTORY),
            help="Months of history that a first build makes.",
        ),
        click.option(
            "--backfill-period",
            type=click.IntRange(0, LONGEST_BACKFILL),
            metavar="DAYS",
            help="Days before the reference date whose months are processed again.",
        ),
        source_dt_option,
    ):
        function = option(function)
    return function


def writing_options(function: Function) -> Function:
    """Add what a command that writes has in common with its sisters."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only say what would be processed."),
        click.option(
            "--wait",
            type=click.FloatRange(0),
            default=0,
            metavar="SECONDS",
            help="Wait so long for another run to end.",
        ),
        click.option("--no-heal", is_flag=True, help="Leave months that lack days as they are."),
        click.option("--no-freshness", is_flag=True, help="Build also from stale sources."),
        click.option("--no-tests", is_flag=True, help="Build without testing."),
    ):
        function = option(function)
    return function


@click.command()
@window_options
@click.option(
    "-s", "--select", multiple=True, help="Build only these models, in dbt's selection syntax."
)
@writing_options
@command_options
def run(
    invocation: Invocation,
    source_dt: str,
    allow_future: bool,
    backfill_period: int | None,
    months: int | None,
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Process the months up to a reference date: freshness, models, tests.

    Months before the window that lack days, because the job was down, are processed too.

    Example: funnel run --source-dt 2024-05-01
    """
    window = _window(invocation, source_dt, allow_future, backfill_period, months)
    return _run(invocation, window, "run", **options)


@click.command()
@window_options
@click.option("--no-heal", is_flag=True, help="Leave months that lack days out of the plan.")
@command_options
def plan(
    invocation: Invocation,
    source_dt: str,
    allow_future: bool,
    backfill_period: int | None,
    months: int | None,
    no_heal: bool,
) -> None:
    """Say which months a run would process, and why. Writes nothing.

    Example: funnel plan --source-dt 2024-05-01
    """
    window = _window(invocation, source_dt, allow_future, backfill_period, months)
    _show_plan(invocation, window, heal=not no_heal)


@click.command()
@click.option(
    "--days",
    type=click.IntRange(1, LONGEST_BACKFILL),
    help="Process the months touched by this many days before the reference date.",
)
@click.option("--from", "first", metavar="DATE", help="First day; its whole month is processed.")
@click.option("--to", "last", metavar="DATE", help="Last day, included; the reference date.")
@source_dt_option
@writing_options
@command_options
def backfill(
    invocation: Invocation,
    days: int | None,
    first: str | None,
    last: str | None,
    source_dt: str,
    allow_future: bool,
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Process past months again: so many days back, or from one date to another.

    Dates are inclusive, and whole months are replaced. A month before the first one built
    extends the history.

    \b
    Example: funnel backfill --days 90
             funnel backfill --from 2024-01-01 --to 2024-03-31
    """
    origin = click.get_current_context().get_parameter_source("source_dt")
    if (first or last) and origin is ParameterSource.COMMANDLINE:
        raise FunnelError("--to is the reference date", hint="Leave --source-dt out.")
    if days is not None and not (first or last):
        to = invocation.date_option("--source-dt", source_dt, allow_future=allow_future)
        window = window_between(to - timedelta(days=days), to)
    elif first and last and days is None:
        window = window_between(
            invocation.date_option("--from", first, allow_future=allow_future),
            invocation.date_option("--to", last, allow_future=allow_future),
        )
    else:
        raise FunnelError(
            "backfill needs either --days or both --from and --to",
            hint="For example: funnel backfill --days 90",
        )
    return _run(invocation, window, "backfill", **options)


def print_report(console: Console, report: "RunReport") -> None:
    """Print what a run did, and the funnel of its latest month."""
    from runner.funnel_table import draw_month
    from runner.results import count_results, describe_problems

    console.say(describe_problems(report.results, with_warnings=False), even_if_quiet=True)
    console.say(describe_problems(report.results, with_failures=False))
    console.say(count_results(report.results, report.seconds))
    wants_table = report.latest and not console.quiet
    text = f"\n{draw_month(report.latest)}" if report.latest and wants_table else ""
    console.show(text, report.document())


def _window(
    invocation: Invocation,
    source_dt: str,
    allow_future: bool,
    backfill_period: int | None,
    months: int | None,
) -> Window:
    project = invocation.project
    return Window(
        invocation.date_option("--source-dt", source_dt, allow_future=allow_future),
        project.var("backfill_period") if backfill_period is None else backfill_period,
        project.var("months") if months is None else months,
    )


def _run(
    invocation: Invocation,
    window: Window,
    command: str,
    *,
    no_tests: bool,
    no_freshness: bool,
    no_heal: bool,
    wait: float,
    dry_run: bool,
    select: tuple[str, ...] = (),
) -> ExitCode:
    from runner.pipeline import RunOptions, run_window

    if dry_run:
        _show_plan(invocation, window, heal=not no_heal)
        return ExitCode.DONE
    options = RunOptions(
        select,
        with_tests=not no_tests,
        with_freshness=not no_freshness,
        with_healing=not no_heal,
        wait=wait,
    )
    report = run_window(invocation.project, window, options, invocation.console, command)
    print_report(invocation.console, report)
    return report.exit_code


def _show_plan(invocation: Invocation, window: Window, *, heal: bool) -> None:
    from runner.plan import make_plan
    from runner.raw_contract import check_raw_contract
    from runner.warehouse import open_warehouse

    project = invocation.project
    with open_warehouse(project) as connection:
        check_raw_contract(connection, project.raw_schema, project.loaded_at_field)
        found = make_plan(connection, project, window, heal=heal)
    invocation.console.say(found.describe())
    invocation.console.show(found.draw(project.target), found.document())
