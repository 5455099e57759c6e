"""The funnel of a month as a picture: SVG by a template, PNG and PDF of it by vl-convert."""

from runner.errors import FunnelError
from runner.report.data import ReportData
from runner.report.names import shorten
from runner.report.palette import LIGHT
from runner.report.rendering import render
from runner.report.steps import compare_steps
from runner.text.words import count, percent


def draw_picture(data: ReportData, file_format: str) -> bytes:
    """Return the funnel as `svg`, `png` or `pdf`.

    Raises:
        FunnelError: What draws PNG and PDF is not installed.
    """
    largest = max((step.deals_count for step in data.steps), default=0) or 1
    svg = render(
        "picture.svg",
        title=shorten(f"{data.title}, {data.period}", 60),
        palette=LIGHT,
        rows=[
            {
                "name": shorten(f"{row.step.funnel_step} {row.step.kpi_name}", 60),
                "value": " · ".join(
                    filter(None, (count(row.step.deals_count), percent(row.share)))
                ),
                "share": row.step.deals_count / largest,
            }
            for row in compare_steps(data.steps, data.parallel_steps)
        ],
    )
    if file_format == "svg":
        return svg.encode()
    try:
        import vl_convert
    except ImportError as error:
        raise FunnelError(
            f"a {file_format.upper()} needs the extra report",
            hint="Type `pip install '.[report]'` in the project's folder.",
        ) from error
    convert = vl_convert.svg_to_png if file_format == "png" else vl_convert.svg_to_pdf
    drawn: bytes = convert(svg, scale=2) if file_format == "png" else convert(svg)
    return drawn
