"""`funnel status`."""

import click

from runner.commands.options import Invocation, command_options


@click.command()
@command_options
def status(invocation: Invocation) -> None:
    """Show the state of the warehouse: last run, days built, gaps, drift, who is at work.

    Example: funnel status --json
    """
    from runner.months.status import read_status

    found = read_status(invocation.project)
    invocation.console.show(found.draw(), found.document())
