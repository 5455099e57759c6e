"""`funnel run`, `funnel plan`, `funnel backfill` and `funnel rebuild`."""

import sys
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.options import Function, Invocation, command_options, source_dt_option
from runner.project import ANALYTICS, Project
from runner.window import LONGEST_BACKFILL, LONGEST_HISTORY, Window, window_between

if TYPE_CHECKING:
    from runner.pipeline import RunOptions, RunReport


LONGEST_LOCK_TIMEOUT = 86400


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
        click.option(
            "--lock-timeout",
            type=click.IntRange(0, LONGEST_LOCK_TIMEOUT),
            metavar="SECONDS",
            help="Wait so long for a table that somebody has locked.  [default: the var]",
        ),
        click.option(
            "--no-heal",
            is_flag=True,
            help="Leave months that lack days, or got late rows, as they are.",
        ),
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

    Months before the window that lack days, because the job was down, and months for which rows
    were loaded since the last run are processed too.

    Example: funnel run --source-dt 2024-05-01
    """
    window = _window(invocation, source_dt, allow_future, backfill_period, months)
    return _run(invocation, window, **options)


@click.command()
@window_options
@click.option("--no-heal", is_flag=True, help="Leave gaps and late rows out of the plan.")
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


batch_option = click.option(
    "--batch",
    type=click.Choice(["month", "quarter", "year", "all"]),
    default="year",
    show_default=True,
    help="How much to process at a time.",
)


@click.command()
@click.option(
    "--days",
    type=click.IntRange(1, LONGEST_BACKFILL),
    help="Process the months touched by this many days before the reference date.",
)
@click.option("--from", "first", metavar="DATE", help="First day; its whole month is processed.")
@click.option("--to", "last", metavar="DATE", help="Last day, included; the reference date.")
@click.option("--resume", is_flag=True, help="Go on where the last one stopped.")
@batch_option
@source_dt_option
@writing_options
@command_options
def backfill(
    invocation: Invocation,
    days: int | None,
    first: str | None,
    last: str | None,
    resume: bool,
    batch: str,
    source_dt: str,
    allow_future: bool,
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Process past months again: so many days back, or from one date to another.

    Dates are inclusive, and whole months are replaced. A month before the first one built
    extends the history. Years are processed in batches; --resume goes on after a failure.

    \b
    Example: funnel backfill --days 90
             funnel backfill --from 2024-01-01 --to 2024-03-31
             funnel backfill --resume
    """
    origin = click.get_current_context().get_parameter_source("source_dt")
    if (first or last) and origin is ParameterSource.COMMANDLINE:
        raise FunnelError("--to is the reference date", hint="Leave --source-dt out.")
    if resume and not (first or last or days):
        batch_origin = click.get_current_context().get_parameter_source("batch")
        if ParameterSource.COMMANDLINE in (origin, batch_origin):
            raise FunnelError(
                "--resume goes on as begun", hint="Leave --batch and --source-dt out."
            )
        return _run_batches(invocation, None, **options)
    if days is not None and not (first or last or resume):
        end = invocation.date_option("--source-dt", source_dt, allow_future=allow_future)
        begin = end - timedelta(days=days)
    elif first and last and days is None and not resume:
        begin = invocation.date_option("--from", first, allow_future=allow_future)
        end = invocation.date_option("--to", last, allow_future=allow_future)
    else:
        raise FunnelError(
            "backfill needs either --days, or both --from and --to, or --resume",
            hint="For example: funnel backfill --days 90",
        )
    return _run_batches(invocation, ("backfill", begin, end, batch), **options)


@click.command()
@click.option(
    "--from",
    "first",
    required=True,
    metavar="DATE",
    help="First day; its whole month is rewritten.",
)
@click.option("--to", "last", metavar="DATE", help="Last day, included.  [default: last day built]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@batch_option
@writing_options
@command_options
def rebuild(
    invocation: Invocation,
    first: str,
    last: str | None,
    yes: bool,
    batch: str,
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Rewrite history on purpose: count months again from the raw rows of today.

    After a changed funnel definition or time zone, or corrected raw data. It asks before it begins.

    Example: funnel rebuild --from 2023-01-01 --yes
    """
    begin = invocation.date_option("--from", first)
    if last:
        end = invocation.date_option("--to", last)
    else:
        end = _last_day_built(invocation.project)
    if begin > end:
        raise FunnelError(f"--from {begin} is after {end}", hint="Give an earlier date.")
    months = " to ".join(sorted({f"{begin:%Y-%m}", f"{end:%Y-%m}"}))
    if not yes and not options["dry_run"]:
        if not sys.stdin.isatty():
            raise FunnelError(
                f"rebuild would rewrite the counts of {months}", hint="Add --yes if you mean it."
            )
        question = f"Rewrite the counts of {months} from the raw rows of today?"
        if not click.confirm(question, err=True):
            raise FunnelError("nothing was rewritten")
    return _run_batches(invocation, ("rebuild", begin, end, batch), **options)


def print_report(console: Console, report: "RunReport") -> None:
    """Print what a run did, and the funnel of its latest month."""
    from runner.funnel_table import draw_month
    from runner.results import count_results, describe_problems

    console.say(describe_problems(report.results, with_warnings=False), even_if_quiet=True)
    console.say(describe_problems(report.results, with_failures=False))
    if any(result.stored_in for result in report.results):
        console.say("The rows are in the schema pipedrive_audit; `funnel test` shows some of them.")
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


def _last_day_built(project: Project) -> date:
    from runner.warehouse import find_built_range, open_warehouse

    with open_warehouse(project) as connection:
        _, last_day = find_built_range(connection, project.schema(ANALYTICS))
    if last_day is None:
        raise FunnelError("nothing is built yet", hint="Type `funnel run`.")
    return last_day


def _run(
    invocation: Invocation,
    window: Window,
    *,
    dry_run: bool,
    select: tuple[str, ...] = (),
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    from runner.pipeline import run_window

    run_options = _run_options(select, **options)
    if dry_run:
        _show_plan(invocation, window, heal=run_options.with_healing)
        return ExitCode.DONE
    report = run_window(invocation.project, window, run_options, invocation.console)
    print_report(invocation.console, report)
    return report.exit_code


def _run_batches(
    invocation: Invocation,
    request: tuple[str, date, date, str] | None,
    *,
    dry_run: bool,
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Process what was requested (command, first day, last day, batch), or what was left undone."""
    from runner.backfill import HOW_TO_RESUME, Backfill, run_backfill

    if request is None and dry_run:
        raise FunnelError("--resume has no --dry-run", hint="`funnel status` shows what is left.")
    asked = None
    if request:
        command, first, last, batch = request
        window = window_between(first, last)
        if dry_run:
            _show_plan(invocation, window, heal=not options["no_heal"], requested=True)
            return ExitCode.DONE
        asked = Backfill(command, first, last, batch, next_day=first)
    run_options = _run_options(**options)
    report = run_backfill(invocation.project, asked, run_options, invocation.console)
    print_report(invocation.console, report)
    if report.exit_code is not ExitCode.DONE:
        invocation.console.say(HOW_TO_RESUME, even_if_quiet=True)
    return report.exit_code


def _run_options(  # noqa: PLR0913 - the options of writing_options
    select: tuple[str, ...] = (),
    *,
    no_tests: bool,
    no_freshness: bool,
    no_heal: bool,
    wait: float,
    lock_timeout: int | None,
) -> "RunOptions":
    from runner.pipeline import RunOptions

    return RunOptions(
        select,
        with_tests=not no_tests,
        with_freshness=not no_freshness,
        with_healing=not no_heal,
        wait=wait,
        lock_timeout=lock_timeout,
    )


def _show_plan(
    invocation: Invocation, window: Window, *, heal: bool, requested: bool = False
) -> None:
    from runner.plan import Findings, find_what_to_heal, make_plan
    from runner.raw_contract import check_raw_contract
    from runner.warehouse import open_warehouse

    project = invocation.project
    with open_warehouse(project) as connection:
        check_raw_contract(connection, project.raw_schema, project.loaded_at_field)
        found = find_what_to_heal(connection, project, window) if heal else Findings()
        planned = make_plan(connection, project, window, found, requested=requested)
    invocation.console.say(planned.describe())
    if planned.outdated_months:
        invocation.console.warn(planned.warning())
    invocation.console.show(planned.draw(project.target), planned.document())
