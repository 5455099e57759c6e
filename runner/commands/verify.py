"""`funnel verify`."""

import click

from runner.commands.options import Invocation, command_options, steal_lock_option, wait_option
from runner.errors import ExitCode


@click.command()
@click.option("--from", "first", metavar="DATE", help="First day.  [default: first day built]")
@click.option("--to", "last", metavar="DATE", help="Last day, included.  [default: last day built]")
@click.option("--repair", is_flag=True, help="Process exactly the months that drifted again.")
@steal_lock_option
@wait_option
@command_options
def verify(
    invocation: Invocation,
    first: str | None,
    last: str | None,
    repair: bool,
    wait: float,
    steal_lock: bool,
) -> ExitCode:
    """Recompute everything from the raw rows, and compare it with what is stored.

    Finds what a run cannot notice: rows deleted long ago, events moved out of an old month in
    place, hand edits, a changed funnel. Whole months are compared, and all deals; drift ends with
    exit code 1.
    Rows loaded since the last run count as drift too: verify right after `funnel run`.

    Example: funnel verify --from 2023-01-01 --repair
    """
    from runner.months.pipeline import RunOptions
    from runner.months.verify import verify as compare

    console = invocation.console
    begin = invocation.date_option("--from", first, allow_future=True) if first else None
    end = invocation.date_option("--to", last, allow_future=True) if last else None
    options = RunOptions(wait=wait, steal_lock=steal_lock)
    found = compare(invocation.project, console, begin, end, options, repair=repair)
    console.show(found.draw(), found.document())
    said = f"{found.first_day} to {found.last_day}: "
    if found.is_right:
        console.say(f"{said}every count and every deal matches the raw rows")
    elif repair:
        verdict = "repaired" if found.exit_code is ExitCode.DONE else "NOT repaired"
        console.say(f"{said}{found.what_drifted} drifted, {verdict}", even_if_quiet=True)
    else:
        console.say(
            f"{said}{found.what_drifted} drifted. To repair: funnel verify --repair",
            even_if_quiet=True,
        )
    return found.exit_code
