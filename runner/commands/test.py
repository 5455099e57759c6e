"""`funnel test`."""

import time
from pathlib import Path
from typing import Any

import click

from runner.commands.options import Invocation, command_options
from runner.errors import ExitCode
from runner.project import AUDIT, META


@click.command()
@click.option("--allow-future", is_flag=True, help="Accept a reference date in the future.")
@click.option(
    "--source-dt",
    metavar="DATE",
    envvar="FUNNEL_SOURCE_DT",
    help="Reference date: YYYY-MM-DD, today or yesterday.  [default: as the last run]",
)
@click.option(
    "-s", "--select", multiple=True, help="Only tests of these models, in dbt's selection syntax."
)
@click.option("--full", is_flag=True, help="Look at all raw rows, not only at those of the window.")
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the results as JUnit XML, for a CI system.",
)
@command_options
def test(
    invocation: Invocation,
    source_dt: str | None,
    allow_future: bool,
    select: tuple[str, ...],
    full: bool,
    junit: Path | None,
) -> ExitCode:
    """Test what is built, and print what failed: what it means, what to do, and some of the rows.

    All failing rows are in the schema pipedrive_audit, without names and e-mail addresses.

    \b
    Example: funnel test --select monthly_stats
             funnel test --full --junit results.xml
    """
    from runner.months.ledger import find_last_run
    from runner.show.rows import require_built
    from runner.transform.dbt_runner import Dbt
    from runner.transform.failing_rows import keep_failing_rows
    from runner.transform.junit import prepare_junit, write_junit
    from runner.transform.results import count_results, exit_code, explain_problems
    from runner.warehouse.opening import open_warehouse

    console, project = invocation.console, invocation.project
    day = source_dt and invocation.date_option("--source-dt", source_dt, allow_future=allow_future)
    if junit:
        prepare_junit(junit)
    begin = time.monotonic()
    with open_warehouse(project) as engine:
        require_built(engine, project)
        run = None if day else find_last_run(engine, project.schema(META))
        dbt_vars: dict[str, Any] = {"source_dt": str(day or invocation.today())}
        if run:
            window = {"backfill_period": 0, "reprocess_months": run.months}
            dbt_vars = {"source_dt": str(run.source_dt), **window}
        dbt_vars |= {"full_check": True} if full else {}
        with console.progress("Testing") as progress:
            results = Dbt.open(project, dbt_vars).test(select, progress)
        results = keep_failing_rows(engine, project.schema(AUDIT), results, console)
    seconds = time.monotonic() - begin
    if junit:
        write_junit(junit, results, seconds)
    paragraphs = [explain_problems(results), count_results(results, seconds)]
    text = "\n\n".join(filter(None, paragraphs))
    console.show(text, {"tests": [result.document() for result in results]})
    return exit_code(results)
