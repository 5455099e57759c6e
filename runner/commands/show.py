"""`funnel show`."""

from datetime import date

import click

from runner.commands.options import Invocation, command_options, parse_month
from runner.errors import FunnelError
from runner.project import REPORTING

FUNNEL = "funnel"
NAMES = (FUNNEL, "conversion", "velocity", "losses", "owners", "stalled", "forecast")


@click.command()
@click.argument("view", type=click.Choice(NAMES), default=FUNNEL)
@click.option("--month", metavar="YYYY-MM", help="The month to show; the latest one if not given.")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Show the last N months.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with the columns of the model.")
@click.option("--names", is_flag=True, help="Show the names of owners, not their ids.")
@command_options
def show(
    invocation: Invocation,
    view: str,
    month: str | None,
    last: int | None,
    as_csv: bool,
    names: bool,
) -> None:
    """Show the funnel: a month as bars, or the last months side by side.

    \b
    VIEW is what to show:
      funnel      deals that entered a step in a month (if none is given)
      conversion  how many of the deals created in a month came to a step
      velocity    days in a step
      losses      where and why deals were lost, and the share won
      owners      deals that entered a step, by owner
      stalled     open deals that have not moved for long, as of the reference date
      forecast    wins to expect of the open deals, and how that came out in the past

    \b
    Example: funnel show --month 2024-05
             funnel show --last 12 --json
             funnel show conversion --last 6
    """
    if month and last:
        raise FunnelError("--month and --last exclude each other", hint="Give one of the two.")
    if as_csv and invocation.console.as_json:
        raise FunnelError("--csv and --json exclude each other", hint="Give one of the two.")
    if view in ("stalled", "forecast") and (month or last):
        raise FunnelError(
            f"{view} is as of the reference date", hint="Leave --month and --last out."
        )
    if names and view not in ("owners", "stalled"):
        raise FunnelError(f"{view} has no owners", hint="--names is for owners and stalled.")
    first_day = parse_month(month) if month else None
    if view == FUNNEL:
        _show_funnel(invocation, month, last or 1, as_csv)
    else:
        _show_view(invocation, view, first_day, last, as_csv, names)


def _show_funnel(invocation: Invocation, month: str | None, last: int, as_csv: bool) -> None:
    from runner.show.funnel import (
        draw_month,
        draw_months,
        read_funnel,
        require_built,
        write_csv,
    )
    from runner.warehouse.connection import open_warehouse

    project = invocation.project
    with open_warehouse(project) as connection:
        require_built(connection, project)
        schema = project.schema(REPORTING)
        funnels = read_funnel(connection, schema, month=month, last=last)
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


def _show_view(
    invocation: Invocation,
    name: str,
    month: date | None,
    last: int | None,
    as_csv: bool,
    names: bool,
) -> None:
    from runner.show.funnel import require_built
    from runner.show.marts import read_owner_names
    from runner.show.text_table import terminal_width
    from runner.show.views import VIEWS, csv_view, document_view, read_view
    from runner.warehouse.connection import open_warehouse

    project, view = invocation.project, VIEWS[name]
    with open_warehouse(project) as connection:
        require_built(connection, project)
        owners = read_owner_names(connection, project) if names else {}
        seen = read_view(connection, project, view, month=month, last=last, names=owners)
    text = csv_view(view, seen) if as_csv else view.draw(seen, terminal_width())
    invocation.console.show(text, document_view(seen))
