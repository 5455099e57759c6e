"""The funnel of a month as a picture, for a chat: Matplotlib, which brings its own fonts."""

import io
import logging
import warnings
from typing import Any

from runner.report.data import ReportData
from runner.report.names import shorten
from runner.report.palette import LIGHT
from runner.report.steps import compare_steps
from runner.words import count, percent

_WIDTH = 8.0
_ROW = 0.5


def draw_picture(data: ReportData, file_format: str) -> bytes:
    """Return the funnel as `png` or `svg`; the same data give the same bytes."""
    # Of fonts that it looks for once, which says nothing to who wants a picture.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = data.steps
    height = 1.25 + _ROW * len(steps)
    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "funnel", "font.family": "sans-serif"}):
        figure = Figure(figsize=(_WIDTH, height), facecolor=LIGHT.paper)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.05, 0.04, 0.9, 1 - 1.15 / height))
        axes.set_axis_off()
        largest = max((step.deals_count for step in steps), default=0) or 1
        axes.set_xlim(0, largest)
        axes.set_ylim(len(steps) - 0.3, -0.7)
        text: dict[str, Any] = {"parse_math": False, "va": "center"}
        figure.text(
            *(0.05, 1 - 0.42 / height),
            f"Sales funnel, {data.period}",
            fontsize=17,
            fontweight="bold",
            color=LIGHT.ink,
            **text,
        )
        figure.text(
            *(0.05, 1 - 0.72 / height),
            "Deals that entered a step, and their share of those that entered the stage above",
            fontsize=9,
            color=LIGHT.muted,
            **text,
        )
        for place, row in enumerate(compare_steps(steps, data.parallel_steps)):
            step = row.step
            axes.barh(place + 0.16, step.deals_count, height=0.28, color=LIGHT.accent)
            label = f"{step.funnel_step} {shorten(step.kpi_name, 60)}"
            value = " · ".join(filter(None, (count(step.deals_count), percent(row.share))))
            axes.text(0, place - 0.2, label, fontsize=10.5, color=LIGHT.ink, **text)
            axes.text(
                *(largest, place - 0.2, value),
                fontsize=10.5,
                color=LIGHT.muted,
                ha="right",
                **text,
            )
        with warnings.catch_warnings():
            # A name in a script that the bundled font lacks is drawn as boxes.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(
                picture,
                format=file_format,
                dpi=160,
                facecolor=LIGHT.paper,
                metadata={"Date": None} if file_format == "svg" else {"Software": None},
            )
    return picture.getvalue()
