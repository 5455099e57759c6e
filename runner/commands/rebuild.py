"""`funnel rebuild`."""

import sys
from datetime import date
from typing import Any

import click

from runner.commands.options import Invocation, batch_option, command_options, writing_options
from runner.commands.running import run_batches
from runner.errors import ExitCode, FunnelError
from runner.project import Project
from runner.text.words import year_month


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
    """Rewrite history on purpose: recount months from today's raw rows.

    For a changed funnel definition or time zone, or corrected raw data. It asks first.

    Example: funnel rebuild --from 2023-01-01 --yes
    """
    begin = invocation.date_option("--from", first)
    if last:
        end = invocation.date_option("--to", last)
    else:
        end = _last_day_built(invocation.project)
    if begin > end:
        raise FunnelError(f"--from {begin} is after {end}", hint="Give an earlier date.")
    months = " to ".join(sorted({year_month(begin), year_month(end)}))
    if not yes and not options["dry_run"]:
        if not sys.stdin.isatty():
            raise FunnelError(
                f"rebuild would rewrite the counts of {months}", hint="Add --yes if you mean it."
            )
        question = f"Rewrite the counts of {months} from the raw rows of today?"
        if not click.confirm(question, err=True):
            raise FunnelError("nothing was rewritten")
    return run_batches(invocation, ("rebuild", begin, end, batch), **options)


def _last_day_built(project: Project) -> date:
    from runner.months.state import read_state
    from runner.warehouse.opening import open_warehouse

    with open_warehouse(project) as engine:
        last_day = read_state(engine, project).last_day
    if last_day is None:
        raise FunnelError("nothing is built yet", hint="Type `funnel run`.")
    return last_day
