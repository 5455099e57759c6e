"""`funnel load`."""

from pathlib import Path

import click

from runner.commands.options import Invocation, command_options


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--append", is_flag=True, help="Add to the rows that are there, replacing none.")
@command_options
def load(invocation: Invocation, directory: Path, append: bool) -> None:
    """Load CSV files into the raw tables: all of them, or none if a row is bad.

    DIRECTORY holds activity.csv, activity_types.csv, deal_changes.csv, fields.csv, stages.csv,
    users.csv and, for several pipelines, pipelines.csv. Headers in any case, columns in any order,
    further columns ignored.

    Example: funnel load exports/2024-05-01
    """
    from runner.raw.directory import load_directory
    from runner.text.text_table import TextTable
    from runner.text.words import count

    console = invocation.console
    result = load_directory(invocation.project, directory, console, append=append)
    console.say(f"Loaded {count(sum(result.rows.values()))} rows in {result.seconds:.1f} s")
    table = TextTable((), [(name, count(rows)) for name, rows in result.rows.items()], names=1)
    console.show(table.draw(), {"rows": dict(result.rows), "seconds": round(result.seconds, 2)})
