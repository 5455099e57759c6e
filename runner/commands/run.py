"""`funnel run`."""

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from runner.commands.options import (
    Invocation,
    command_options,
    extract_options,
    window_options,
    writing_options,
)
from runner.commands.running import print_report, read_window, run_options, show_plan
from runner.errors import ExitCode, FunnelError
from runner.project import is_on_spark

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.extract.account import Account
    from runner.warehouse.engine import Engine


@click.command()
@window_options
@click.option(
    "-s", "--select", multiple=True, help="Build only these models, in dbt's selection syntax."
)
@click.option("--extract", is_flag=True, help="First read the Pipedrive account: funnel extract.")
@extract_options
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
    extract: bool,
    max_tokens: int | None,
    burst: int,
    since: str | None,
    remove_vanished: bool,
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Process the months up to a reference date: freshness, models, tests.

    Months before the window that lack days, because the job was down, and months for which rows
    were loaded since the last run are processed too.

    Example: funnel run --source-dt 2024-05-01
    """
    from runner.extract.layouts import find_layout
    from runner.warehouse.connection import only_on_postgres

    project, console = invocation.project, invocation.console
    if dry_run and extract:
        raise FunnelError("--dry-run reads no account", hint="Type `funnel extract --dry-run`.")
    if not extract and (since or max_tokens is not None):
        raise FunnelError("--since and --max-tokens are for --extract", hint="Add --extract.")
    layout = find_layout(project)
    if (extract or layout) and is_on_spark(project):
        raise only_on_postgres()
    if layout and extract:
        raise FunnelError(
            "--extract and the var raw_layout exclude each other", hint="Leave out one of them."
        )
    window = read_window(invocation, source_dt, allow_future, backfill_period, months)
    if dry_run:
        show_plan(invocation, window, heal=not options["no_heal"])
        return ExitCode.DONE
    from runner.extract.extract import ExtractOptions, Summary, extract_into, use_account
    from runner.extract.layouts import fill_raw_tables
    from runner.months.pipeline import run_window
    from runner.warehouse.on_postgres import connection_of

    summaries: list[Summary] = []
    first_day = invocation.date_option("--since", since) if since else None
    wanted = ExtractOptions(burst, max_tokens, remove_vanished=remove_vanished, since=first_day)

    def read_account(account: "Account", engine: "Engine") -> None:
        summaries.append(extract_into(connection_of(engine), project, account, wanted, console))
        console.say(summaries[0].describe())

    def read_layout(engine: "Engine") -> None:
        filled = fill_raw_tables(connection_of(engine), project, remove_vanished=remove_vanished)
        console.say(filled.describe(project))

    with ExitStack() as stack:
        prepare: Callable[[Engine], None] | None = read_layout if layout else None
        if extract:
            prepare = partial(read_account, stack.enter_context(use_account(project)))
        report = run_window(project, window, run_options(select, **options), console, prepare)
    print_report(console, report)
    for summary in summaries:
        console.say(summary.describe_failures(), even_if_quiet=True)
    return max(report.exit_code, *(summary.exit_code for summary in summaries), ExitCode.DONE)
