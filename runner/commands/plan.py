"""`funnel plan`."""

import click

from runner.commands.options import Invocation, command_options, window_options
from runner.commands.running import read_window, show_plan


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
    """Show which months a run would process, and why. Writes nothing.

    Example: funnel plan --source-dt 2024-05-01
    """
    window = read_window(invocation, source_dt, allow_future, backfill_period, months)
    show_plan(invocation, window, heal=not no_heal)
