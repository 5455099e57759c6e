"""What all commands share: their common options, and how they end."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import click

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.masking import mask_emails
from runner.months.window import parse_date, today_in
from runner.project import TARGETS, Project
from runner.settings.var_rules import find_rule

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Invocation:
    """One command as it was typed: the project it is about, and where its words go."""

    project: Project
    console: Console

    def today(self) -> date:
        """Return the present day in the reporting time zone."""
        return today_in(self.project.var("timezone"))

    def date_option(self, option: str, text: str, *, allow_future: bool = False) -> date:
        """Return the date that an option holds.

        Raises:
            FunnelError: It is no date, or in the future.
        """
        return parse_date(option, text, self.today(), allow_future=allow_future)


def command_options(function: Callable[..., int | None]) -> Callable[..., None]:
    """Add the common options to a command, which receives an `Invocation` in their place.

    The command's errors end the process with their exit code and one line on stderr.
    """

    @click.option(
        "-t",
        "--target",
        type=click.Choice(TARGETS),
        default="local",
        show_default=True,
        envvar="FUNNEL_TARGET",
        help="Where to work: the embedded Postgres, yours as dev or prod, or Spark.",
    )
    @click.option(
        "--vars",
        "vars_text",
        metavar="YAML",
        default="{}",
        envvar="FUNNEL_VARS",
        help="More dbt vars, as dbt's own --vars.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    @click.option(
        "--quiet", is_flag=True, envvar="FUNNEL_QUIET", help="Print only data and errors."
    )
    @click.option(
        "--debug",
        is_flag=True,
        envvar="FUNNEL_DEBUG",
        help="Show tracebacks; have dbt write FUNNEL_HOME/logs/dbt.log.",
    )
    @functools.wraps(function)
    def command(
        target: str, vars_text: str, as_json: bool, quiet: bool, debug: bool, **options: object
    ) -> None:
        console = Console(as_json, quiet, debug)
        try:
            project = Project.find(target, _parse_vars(vars_text), debug=debug)
            code = function(Invocation(project, console), **options)
        except FunnelError as error:
            console.trace()
            console.fail(error)
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort) as error:
            said = f"interrupted {error}".strip()
            console.fail(FunnelError(said, exit_code=ExitCode.INTERRUPTED))
            code = ExitCode.INTERRUPTED
        except Exception as error:
            console.trace()
            said = mask_emails(str(error).strip().partition("\n")[0])
            console.fail(
                FunnelError(
                    f"unexpected {type(error).__name__}: {said}",
                    hint="Run it again with --debug and report the traceback.",
                )
            )
            code = ExitCode.COULD_NOT_RUN
        raise SystemExit(int(code or ExitCode.DONE))

    return command


def range_of(name: str, at_least: int | None = None) -> click.IntRange:
    """Return the range of an option that takes the place of an integer var."""
    rule = find_rule(name)
    return click.IntRange(rule.at_least if at_least is None else at_least, rule.at_most)


def source_dt_option(function: Function) -> Function:
    """Add the reference date to a command."""
    for option in (
        click.option("--allow-future", is_flag=True, help="Accept a reference date in the future."),
        click.option(
            "--source-dt",
            default="today",
            show_default=True,
            metavar="DATE",
            envvar="FUNNEL_SOURCE_DT",
            help="Reference date: YYYY-MM-DD, today or yesterday. Later events never count.",
        ),
    ):
        function = option(function)
    return function


def window_options(function: Function) -> Function:
    """Add the reference date and the size of the window to a command."""
    for option in (
        click.option(
            "--months",
            type=range_of("months"),
            help="Months of history that a first build makes.",
        ),
        click.option(
            "--backfill-period",
            type=range_of("backfill_period"),
            metavar="DAYS",
            help="Days before the reference date whose months are processed again.",
        ),
        source_dt_option,
    ):
        function = option(function)
    return function


wait_option = click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Seconds to wait for another run to end.",
)


steal_lock_option = click.option(
    "--steal-lock", is_flag=True, help="On Spark: take the lock of a run that is gone."
)


def writing_options(function: Function) -> Function:
    """Add what a command that writes has in common with its sisters."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only say what would be processed."),
        steal_lock_option,
        wait_option,
        click.option(
            "--lock-timeout",
            type=range_of("lock_timeout"),
            metavar="SECONDS",
            help="Seconds to wait for a table that somebody has locked.  [default: the var]",
        ),
        click.option(
            "--no-heal",
            is_flag=True,
            help="Leave months that lack days, or got late rows, as they are.",
        ),
        click.option("--no-freshness", is_flag=True, help="Build also from stale sources."),
        click.option("--no-tests", is_flag=True, help="Build without testing."),
    ):
        function = option(function)
    return function


def extract_options(function: Function) -> Function:
    """Add what an extract may spend and bring."""
    for option in (
        click.option(
            "--remove-vanished",
            is_flag=True,
            help="Remove what is no longer in the account, even if that is over a fifth of it.",
        ),
        click.option(
            "--since",
            metavar="DATE",
            help="Leave out the history of deals that have not changed since that day.",
        ),
        click.option(
            "--burst",
            type=click.IntRange(1, 500),
            default=20,
            show_default=True,
            envvar="PIPEDRIVE_BURST",
            help="Requests in two seconds that your plan allows: 20 on Lite, 40, 100, 120 on"
            " Ultimate.",
        ),
        click.option(
            "--max-tokens",
            type=click.IntRange(0),
            help="Spend at most this many tokens.  [default: half of what is left of the day, if"
            " known]",
        ),
    ):
        function = option(function)
    return function


batch_option = click.option(
    "--batch",
    type=click.Choice(["month", "quarter", "year", "all"]),
    default="quarter",
    show_default=True,
    help="How much to process at a time.",
)


def parse_month(text: str, option: str = "--month") -> date:
    """Return the first day of the month that a person wrote as YYYY-MM.

    Raises:
        FunnelError: It is no month.
    """
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text) or text.startswith("0000"):
        raise FunnelError(f"{option} {text!r} is not a month", hint="Write it as YYYY-MM.")
    return date(int(text[:4]), int(text[5:]), 1)


def _parse_vars(text: str) -> dict[str, Any]:
    import yaml

    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FunnelError(
            "--vars is not YAML", hint="Write it as '{timezone: Europe/Berlin}'."
        ) from error
    if not isinstance(parsed, dict):
        raise FunnelError(
            "--vars is not a mapping", hint="Write it as '{timezone: Europe/Berlin}'."
        )
    for name in ("source_dt", "backfill_period", "months", "process_through", "reprocess_months"):
        if name in parsed:
            raise FunnelError(
                f"--vars holds {name}, which is part of the window",
                hint="Use --source-dt, --backfill-period and --months, or `funnel backfill`.",
            )
    return parsed
