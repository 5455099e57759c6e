"""`funnel extract`."""

from dataclasses import asdict

import click

from runner.commands.options import Invocation, command_options, extract_options, wait_option
from runner.errors import ExitCode


@click.command()
@extract_options
@click.option(
    "--probe",
    type=click.IntRange(1),
    metavar="DEAL_ID",
    help="Only compare the log of a deal with its flow, and show what the account gives.",
)
@click.option("--dry-run", is_flag=True, help="Only see what has changed, and what it would cost.")
@wait_option
@command_options
def extract(
    invocation: Invocation,
    max_tokens: int | None,
    burst: int,
    probe: int | None,
    dry_run: bool,
    since: str | None,
    remove_vanished: bool,
    wait: float,
) -> ExitCode:
    """Bring a Pipedrive account into the raw tables, reading only what has changed.

    PIPEDRIVE_COMPANY names the account; PIPEDRIVE_API_TOKEN, or PIPEDRIVE_ACCESS_TOKEN (OAuth), is
    the key to it. If the tokens run out, the next extract continues.

    Example: funnel extract && funnel run
    """
    if probe:
        from runner.extract.account import find_account
        from runner.extract.probe import probe_deal

        found = probe_deal(find_account(), probe, burst)
        invocation.console.show(found.draw(), found.document())
        return ExitCode.DONE
    from runner.extract.extract import ExtractOptions
    from runner.extract.extract import extract as run_extract

    first_day = invocation.date_option("--since", since) if since else None
    options = ExtractOptions(burst, max_tokens, dry_run, wait, remove_vanished, first_day)
    summary = run_extract(invocation.project, options, invocation.console)
    invocation.console.show(summary.describe(dry_run=dry_run), asdict(summary))
    invocation.console.say(summary.describe_failures(), even_if_quiet=True)
    return summary.exit_code
