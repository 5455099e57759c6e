"""`funnel freshness`."""

import click

from runner.commands.options import Invocation, command_options
from runner.errors import ExitCode


@click.command()
@command_options
def freshness(invocation: Invocation) -> ExitCode:
    """Tell when each source was last loaded; fail where that is too long ago.

    Example: funnel freshness
    """
    from runner.transform.dbt_runner import Dbt
    from runner.transform.results import describe_age, exit_code
    from runner.warehouse.connection import open_warehouse
    from runner.warehouse.raw_contract import check_raw_contract

    project = invocation.project
    with open_warehouse(project) as connection:
        check_raw_contract(connection, project.raw_schema, project.loaded_at_field)
        results = Dbt.open(project).freshness()
    text = "\n".join(
        f"{source.status:<6}{source.name:<14}{source.message or describe_age(source)}"
        for source in results
    )
    invocation.console.show(text, {"sources": [result.document() for result in results]})
    return exit_code(results)
