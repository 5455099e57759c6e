"""`funnel run`."""

from typing import Any

import click

from runner.commands.options import Invocation, command_options, window_options, writing_options
from runner.commands.running import print_report, read_window, run_options, show_plan
from runner.errors import ExitCode


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
    dry_run: bool,
    select: tuple[str, ...],
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Process the months up to a reference date: freshness, models, tests.

    Months before the window that lack days, because the job was down, and months for which rows
    were loaded since the last run are processed too.

    Example: funnel run --source-dt 2024-05-01
    """
    window = read_window(invocation, source_dt, allow_future, backfill_period, months)
    if dry_run:
        show_plan(invocation, window, heal=not options["no_heal"])
        return ExitCode.DONE
    from runner.months.pipeline import run_window

    report = run_window(
        invocation.project, window, run_options(select, **options), invocation.console
    )
    print_report(invocation.console, report)
    return report.exit_code
