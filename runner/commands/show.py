"""`funnel show`."""

import re

import click

from runner.errors import FunnelError
from runner.options import Invocation, command_options
from runner.project import REPORTING


@click.command()
@click.option("--month", metavar="YYYY-MM", help="The month to show; the latest one if not given.")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Show the last N months.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with the columns of monthly_stats.")
@command_options
def show(invocation: Invocation, month: str | None, last: int | None, as_csv: bool) -> None:
    """Show the funnel: a month as bars, or the last months side by side.

    \b
    Example: funnel show --month 2024-05
             funnel show --last 12 --json
    """
    from runner.funnel_table import (
        draw_month,
        draw_months,
        read_funnel,
        require_built,
        write_csv,
    )
    from runner.warehouse import open_warehouse

    if month and last:
        raise FunnelError("--month and --last exclude each other", hint="Give one of the two.")
    if as_csv and invocation.console.as_json:
        raise FunnelError("--csv and --json exclude each other", hint="Give one of the two.")
    if month and not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month):
        raise FunnelError(f"--month {month!r} is not a month", hint="Write it as YYYY-MM.")
    project = invocation.project
    with open_warehouse(project) as connection:
        require_built(connection, project)
        schema = project.schema(REPORTING)
        funnels = read_funnel(connection, schema, month=month, last=last or 1)
    if not funnels:
        raise FunnelError(
            f"{month or 'no month'} is not built",
            hint="`funnel show --last 12` shows which months are.",
        )
    if as_csv:
        text = write_csv(funnels)
    else:
        text = draw_month(funnels[0]) if len(funnels) == 1 else draw_months(funnels)
    invocation.console.show(text, {"months": [funnel.document() for funnel in funnels]})
