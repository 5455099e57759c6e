"""`funnel demo`: generated data, loaded, processed, tested and shown."""

import click

from runner.commands.options import Invocation, command_options, wait_option
from runner.commands.running import print_report
from runner.errors import ExitCode


@click.command()
@wait_option
@command_options
def demo(invocation: Invocation, wait: float) -> ExitCode:
    """Build the funnel from generated data on the embedded Postgres: load, run, test, show.

    The CSV files stay in .funnel/demo, to show what `funnel load` takes.

    Example: funnel demo
    """
    from runner.months.demo import run_demo

    report = run_demo(invocation.project, invocation.console, wait=wait)
    print_report(invocation.console, report)
    invocation.console.say(
        "\nNext: funnel report --open · funnel show --last 12 · funnel run --source-dt 2024-06-30"
    )
    return report.exit_code
