"""`funnel freshness`."""

import click

from runner.commands.options import Invocation, command_options
from runner.errors import ExitCode


@click.command()
@command_options
def freshness(invocation: Invocation) -> ExitCode:
    """Show when each source was last loaded; fail if that is too long ago.

    Example: funnel freshness
    """
    from runner.text.text_table import TextTable
    from runner.transform.dbt_runner import Dbt
    from runner.transform.results import describe_age, exit_code
    from runner.warehouse.opening import open_warehouse
    from runner.warehouse.raw_contract import check_raw_tables

    project = invocation.project
    with open_warehouse(project) as engine:
        check_raw_tables(engine, project)
        with invocation.console.progress("Asking") as progress:
            results = Dbt.open(project).freshness(progress)
    # dbt tells of its hooks as well, which are of interest only where one has failed.
    shown = [result for result in results if result.kind == "source" or result.is_bad]
    sources = sorted(shown, key=lambda result: result.name)
    lines = [(each.status, each.name, each.message or describe_age(each)) for each in sources]
    table = TextTable((), lines, has_note=True)
    invocation.console.show(table.draw(), {"sources": [each.document() for each in sources]})
    return exit_code(results)
