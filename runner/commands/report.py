"""`funnel report`."""

import re
import webbrowser
from pathlib import Path

import click

from runner.commands.options import Invocation, command_options, parse_month
from runner.console import write_file
from runner.text.words import year_month

FORMATS = ("html", "png", "svg", "pdf")


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it; funnel-YYYY-MM.html here if not given.",
)
@click.option(
    "--month", metavar="YYYY-MM", help="The month; the latest complete one with data if not given."
)
@click.option(
    "--pipeline", metavar="NAME", help="What is known of one pipeline, by name or number."
)
@click.option("--by-owner", is_flag=True, help="Call owners by their names, not by numbers.")
@click.option("--open", "browser", is_flag=True, help="Open it in a browser.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="A page with everything, or a picture of the funnel (PNG and PDF need the extra report); "
    "by the ending of FILE if not given.",
)
@command_options
def report(
    invocation: Invocation,
    output: Path | None,
    month: str | None,
    pipeline: str | None,
    by_owner: bool,
    browser: bool,
    file_format: str | None,
) -> None:
    """Write a report about a month, as one file to send: a page, or a picture of the funnel.

    The page needs no network and no other file; the twelve months up to this one can be chosen in
    it, and a browser prints the one that is shown. It names nobody unless --by-owner is given.

    \b
    Example: funnel report --month 2024-05 --open
             funnel report --pipeline Sales
             funnel report --format png
    """
    from runner.report.data import read_report
    from runner.report.page import render_page
    from runner.report.picture import draw_picture
    from runner.show.rows import require_built
    from runner.warehouse.opening import open_warehouse

    project = invocation.project
    wanted = parse_month(month) if month else None
    if file_format is None:
        ending = output.suffix.lower().lstrip(".") if output else ""
        file_format = ending if ending in FORMATS else "html"
    with (
        invocation.console.bar("Reporting", 2) as progress,
        open_warehouse(project) as engine,
    ):
        require_built(engine, project)
        data = read_report(engine, project, wanted, with_names=by_owner, pipeline=pipeline)
        if progress:
            progress(1)
        if file_format == "html":
            content = render_page(data).encode()
        else:
            content = draw_picture(data, file_format)
        if progress:
            progress(1)
    about = re.sub(r"\W+", "-", f" {data.pipeline}".lower())[:40].rstrip("-")
    path = output or Path(f"funnel-{data.month:%Y-%m}{about}.{file_format}")
    write_file(path, content)
    if browser:
        webbrowser.open(path.resolve().as_uri())
    invocation.console.show(
        str(path),
        {
            "report": str(path),
            "format": file_format,
            "month": year_month(data.month),
            "pipeline": data.pipeline,
            "bytes": len(content),
        },
    )
