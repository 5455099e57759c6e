"""`funnel docs`: the documentation site of dbt."""

from pathlib import Path

import click

from runner.commands.options import Invocation, command_options
from runner.console import write_file


@click.group()
def docs() -> None:
    """Generate and serve the documentation: models, columns, tests and lineage."""


@docs.command()
@click.option(
    "--static",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the whole site into one HTML file that needs no server.",
)
@command_options
def generate(invocation: Invocation, output: Path | None) -> None:
    """Generate the documentation site.

    Example: funnel docs generate --static funnel-docs.html
    """
    from runner.transform.dbt_runner import Dbt
    from runner.warehouse.opening import open_warehouse

    project = invocation.project
    with open_warehouse(project), invocation.console.progress("Documenting") as progress:
        Dbt.open(project).generate_docs(progress, static=output is not None)
    page = project.home / "target" / "index.html"
    if output:
        write_file(output, page.with_name("static_index.html").read_bytes())
        page = output
    invocation.console.show(str(page), {"page": str(page)})


@docs.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--open/--no-open", "browser", default=True, help="Open it in a browser.")
@command_options
def serve(invocation: Invocation, port: int, browser: bool) -> None:
    """Generate the documentation site and serve it on this machine until Ctrl-C.

    Example: funnel docs serve --port 8081
    """
    from runner.transform.dbt_runner import Dbt
    from runner.warehouse.opening import open_warehouse

    project = invocation.project
    with open_warehouse(project), invocation.console.progress("Documenting") as progress:
        dbt = Dbt.open(project)
        dbt.generate_docs(progress)
    invocation.console.say(f"Serving the documentation on http://127.0.0.1:{port} until Ctrl-C")
    dbt.serve_docs(port, browser=browser)
