"""The command `funnel`."""

import signal
import sys

import click

from runner import __version__
from runner.commands.backfill import backfill
from runner.commands.db import db
from runner.commands.demo import demo
from runner.commands.docs import docs
from runner.commands.doctor import doctor
from runner.commands.extract import extract
from runner.commands.freshness import freshness
from runner.commands.init import init
from runner.commands.load import load
from runner.commands.plan import plan
from runner.commands.rebuild import rebuild
from runner.commands.report import report
from runner.commands.run import run
from runner.commands.show import show
from runner.commands.status import status
from runner.commands.test import test
from runner.commands.verify import verify
from runner.console import Console, give_up
from runner.errors import ExitCode, FunnelError
from runner.project import find_root
from runner.settings.env_file import find_env_file, load_env_file


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="funnel %(version)s")
def cli() -> None:
    """Turn Pipedrive data into a sales funnel you can trust.

    \b
    Try it on generated data:        funnel demo
    Connect a Pipedrive account:     funnel init
    Read and process it:             funnel run --extract
    Load and process an export:      funnel load DIR && funnel run --source-dt 2024-05-01
    See the funnel:                  funnel show

    Exit codes: 0 done, 1 the data failed, 2 could not run, 3 another run holds the lock,
    130 interrupted.
    """


_COMMANDS = (
    *(run, plan, backfill, rebuild, verify, status, show, report),
    *(init, extract, load, demo, test, freshness, docs, doctor, db),
)
for command in _COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line, and ignore Ctrl-C while Python leaves."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores one of them
            signal.signal(number, _interrupt)
    try:
        run_command_line()
    finally:
        # How it ends is decided and said; a Ctrl-C would only change the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, _: object) -> None:
    """End as after Ctrl-C, which stops the embedded Postgres and dbt's queries, but only once."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt(f"by {signal.Signals(number).name}")


def run_command_line() -> None:
    """Run the command line; every error is one line on stderr."""
    try:
        _load_variables()
        cli(prog_name="funnel", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.ctx.get_help())
    except click.ClickException as error:
        # A wrong option ends before the command knows its options.
        Console(as_json="--json" in sys.argv).fail(FunnelError(error.format_message()))
        sys.exit(ExitCode.COULD_NOT_RUN)
    except FunnelError as error:
        Console(as_json="--json" in sys.argv).fail(error)
        sys.exit(error.exit_code)
    except OSError as error:  # the help, which Click itself prints
        Console().fail(give_up(sys.stdout, error))
        sys.exit(ExitCode.COULD_NOT_RUN)
    except (click.Abort, KeyboardInterrupt):
        Console().fail(FunnelError("interrupted"))
        sys.exit(ExitCode.INTERRUPTED)
    except SystemExit as end:
        if end.code == ExitCode.INTERRUPTED:
            # A Ctrl-C within code that dbt runs from a string marks the interpreter, which would
            # end by the signal instead of our exit code; running other code so takes the mark away.
            exec("")  # noqa: S102
        raise


def _load_variables() -> None:
    try:
        root = find_root()
    except FunnelError:  # a command says so; the help needs no project
        return
    load_env_file(find_env_file(root))


if __name__ == "__main__":
    main()
