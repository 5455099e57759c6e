"""`funnel backfill`."""

from datetime import timedelta
from typing import Any

import click
from click.core import ParameterSource

from runner.commands.options import (
    Invocation,
    batch_option,
    command_options,
    range_of,
    source_dt_option,
    writing_options,
)
from runner.commands.running import run_batches
from runner.errors import ExitCode, FunnelError


@click.command()
@click.option(
    "--days",
    type=range_of("backfill_period", at_least=1),
    help="Process the months touched by this many days before the reference date.",
)
@click.option("--from", "first", metavar="DATE", help="First day; its whole month is processed.")
@click.option("--to", "last", metavar="DATE", help="Last day, included; the reference date.")
@click.option("--resume", is_flag=True, help="Go on where the last one stopped.")
@batch_option
@source_dt_option
@writing_options
@command_options
def backfill(
    invocation: Invocation,
    days: int | None,
    first: str | None,
    last: str | None,
    resume: bool,
    batch: str,
    source_dt: str,
    allow_future: bool,
    **options: Any,  # noqa: ANN401 - those of writing_options
) -> ExitCode:
    """Reprocess past months: a number of days back, or a range of dates.

    Dates are inclusive, and whole months are replaced. A month before the first one built
    extends the history. Quarters are processed one after another; --resume continues after a
    failure.

    \b
    Example: funnel backfill --days 90
             funnel backfill --from 2024-01-01 --to 2024-03-31
             funnel backfill --resume
    """
    origin = click.get_current_context().get_parameter_source("source_dt")
    if (first or last) and origin is ParameterSource.COMMANDLINE:
        raise FunnelError("--to is the reference date", hint="Leave --source-dt out.")
    if resume and not (first or last or days):
        batch_origin = click.get_current_context().get_parameter_source("batch")
        if ParameterSource.COMMANDLINE in (origin, batch_origin):
            raise FunnelError(
                "--resume keeps the options it began with",
                hint="Leave --batch and --source-dt out.",
            )
        return run_batches(invocation, None, **options)
    if days is not None and not (first or last or resume):
        end = invocation.date_option("--source-dt", source_dt, allow_future=allow_future)
        begin = end - timedelta(days=days)
    elif first and last and days is None and not resume:
        begin = invocation.date_option("--from", first, allow_future=allow_future)
        end = invocation.date_option("--to", last, allow_future=allow_future)
    else:
        raise FunnelError(
            "backfill needs either --days, or both --from and --to, or --resume",
            hint="For example: funnel backfill --days 90",
        )
    return run_batches(invocation, ("backfill", begin, end, batch), **options)
