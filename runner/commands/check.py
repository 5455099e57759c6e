"""`funnel test` and `funnel freshness`."""

import time

import click

from runner.errors import ExitCode
from runner.options import Invocation, command_options, source_dt_option


@click.command()
@source_dt_option
@click.option(
    "-s", "--select", multiple=True, help="Only tests of these models, in dbt's selection syntax."
)
@command_options
def test(
    invocation: Invocation, source_dt: str, allow_future: bool, select: tuple[str, ...]
) -> ExitCode:
    """Test what is built, and print what failed with what it means.

    Example: funnel test --select monthly_stats
    """
    from runner.dbt_runner import Dbt
    from runner.funnel_table import require_built
    from runner.results import count_results, describe_problems, exit_code
    from runner.warehouse import open_warehouse

    console, project = invocation.console, invocation.project
    day = invocation.date_option("--source-dt", source_dt, allow_future=allow_future)
    begin = time.monotonic()
    with open_warehouse(project) as connection, console.progress("Testing") as progress:
        require_built(connection, project)
        results = Dbt(project, {"source_dt": str(day)}).test(select, progress)
    lines = [describe_problems(results), count_results(results, time.monotonic() - begin)]
    text = "\n".join(filter(None, lines))
    console.show(text, {"tests": [result.document() for result in results]})
    return exit_code(results)


@click.command()
@command_options
def freshness(invocation: Invocation) -> ExitCode:
    """Tell when each source was last loaded; fail where that is too long ago.

    Example: funnel freshness
    """
    from runner.dbt_runner import Dbt
    from runner.raw_contract import check_raw_contract
    from runner.results import describe_age, exit_code
    from runner.warehouse import open_warehouse

    project = invocation.project
    with open_warehouse(project) as connection:
        check_raw_contract(connection, project.raw_schema, project.loaded_at_field)
        results = Dbt(project).freshness()
    text = "\n".join(
        f"{source.status:<6}{source.name:<14}{source.message or describe_age(source)}"
        for source in results
    )
    invocation.console.show(text, {"sources": [result.document() for result in results]})
    return exit_code(results)
