"""`funnel db`: the embedded Postgres."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace

import click

from runner.commands.options import Invocation, command_options
from runner.errors import FunnelError
from runner.settings.environment import environment


@click.group()
def db() -> None:
    """Start, stop and open the embedded Postgres of the target local."""


@db.command()
@command_options
def start(invocation: Invocation) -> None:
    """Start the embedded Postgres and keep it up until `funnel db stop`.

    Example: funnel db start
    """
    from runner.postgres.server import LocalPostgres

    server = LocalPostgres(invocation.project.home)
    server.keep_running()
    socket_dir = str(server.socket_dir)
    invocation.console.say(
        f"The embedded Postgres is up. For plain dbt: export FUNNEL_LOCAL_HOST={socket_dir}"
    )
    if invocation.console.as_json:
        invocation.console.show("", {"socket_dir": socket_dir, "url": server.url()})


@db.command()
@command_options
def stop(invocation: Invocation) -> None:
    """Stop the embedded Postgres; the data stay.

    Example: funnel db stop
    """
    from runner.postgres.server import LocalPostgres

    stopped = LocalPostgres(invocation.project.home).stop()
    invocation.console.say(
        "The embedded Postgres is down."
        if stopped
        else "Another command still uses the embedded Postgres, which stops when that ends."
    )
    if invocation.console.as_json:
        invocation.console.show("", {"stopped": stopped})


@db.command()
@command_options
def url(invocation: Invocation) -> None:
    """Print a libpq URL of the embedded Postgres and nothing else, starting it if need be.

    A server that this starts stays up until `funnel db stop`.

    Example: psql "$(funnel db url)"
    """
    from runner.postgres.server import LocalPostgres

    server = LocalPostgres(invocation.project.home)
    server.keep_running()
    invocation.console.show(server.url(), {"url": server.url()})


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("psql_arguments", nargs=-1, type=click.UNPROCESSED)
@command_options
def psql(invocation: Invocation, psql_arguments: tuple[str, ...]) -> None:
    """Open psql on the embedded Postgres; what follows `--` are psql's own arguments.

    Example: funnel db psql -- -c 'select * from pipedrive_reporting.monthly_stats'
    """
    from runner.postgres.server import LocalPostgres
    from runner.warehouse.connection import open_postgres

    server = LocalPostgres(invocation.project.home)
    local = replace(invocation.project, target="local")
    with environment("FUNNEL_LOCAL_HOST"), open_postgres(local):
        code = _run([*server.psql_command(), *psql_arguments])
    if code != 0:
        raise FunnelError(f"psql ended with exit code {code}")


@db.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@command_options
def exec_(invocation: Invocation, command: tuple[str, ...]) -> int:
    """Run a command while the embedded Postgres is up, where dbt's profile finds it.

    Example: funnel db exec -- dbt build --vars '{source_dt: "2024-05-01"}'
    """
    from runner.warehouse.connection import open_postgres

    with open_postgres(invocation.project):
        return _run(command)


def _run(command: Sequence[str]) -> int:
    """Run a program to its end, which comes early where this process has to stop."""
    try:
        child = subprocess.Popen(command)  # noqa: S603 - the bundled psql, or the user's own
    except OSError as error:
        raise FunnelError(f"cannot run {command[0]}: {error.strerror}") from error
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
