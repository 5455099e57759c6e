"""`funnel extract`."""

from dataclasses import asdict

import click

from runner.commands.options import Invocation, command_options, wait_option


@click.command()
@click.option(
    "--max-tokens",
    type=click.IntRange(0),
    help="Spend at most so many tokens.  [default: half of what is left of the day, if known]",
)
@click.option(
    "--burst",
    type=click.IntRange(1, 500),
    default=20,
    show_default=True,
    help="Requests in two seconds that your plan allows: 20 on Lite, 40, 100, 120 on Ultimate.",
)
@click.option("--dry-run", is_flag=True, help="Only see what has changed, and what it would cost.")
@wait_option
@command_options
def extract(
    invocation: Invocation, max_tokens: int | None, burst: int, dry_run: bool, wait: float
) -> None:
    """Bring a Pipedrive account into the raw tables, reading only what has changed.

    PIPEDRIVE_COMPANY names the account; PIPEDRIVE_API_TOKEN, or PIPEDRIVE_ACCESS_TOKEN (OAuth), is
    the key to it. If the tokens run out, the next extract continues.

    Example: funnel extract && funnel run
    """
    from runner.extract.extract import ExtractOptions
    from runner.extract.extract import extract as run_extract

    options = ExtractOptions(burst, max_tokens, dry_run, wait)
    summary = run_extract(invocation.project, options, invocation.console)
    invocation.console.show(summary.describe(dry_run=dry_run), asdict(summary))
