"""The charts, as the plain JSON that Plotly draws.

They are dicts, not objects of plotly.graph_objects: those cost seconds to import and build, and a
test holds every dict against them. Axes are numeric and names are ticks or annotations, so that
two names that look the same stay two marks. Every name goes through `for_chart`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from runner.report.names import for_chart
from runner.report.palette import Palette, blend

Figure = dict[str, Any]

ROW_HEIGHT = 38
CELL_HEIGHT = 26
LINE_HEIGHT = 64

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_NARROW = 0.3  # of a row: the bar
_LABEL = 0.2  # of a row: how far above the bar's middle the box of its label ends
_HIDDEN_AXIS = {
    "visible": False,
    "fixedrange": True,
    "zeroline": False,
}


@dataclass(frozen=True)
class BarRow:
    """A row of a bar chart.

    Args:
        name: What it is called.
        value: What is written on the right.
        lengths: The bars, the one that matters first, then longer and paler ones behind it.
        hover: What is said about it under the pointer.
    """

    name: str
    value: str
    lengths: tuple[float | None, ...]
    hover: str


def draw_bars(rows: Sequence[BarRow], palette: Palette) -> Figure:
    """Return bars below each other, each with its label above it, which fits any width."""
    places = list(range(len(rows)))
    shades = (palette.accent, palette.pale, palette.paler)
    layers = len(rows[0].lengths)
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [row.lengths[layer] for row in rows],
            "y": places,
            "width": _NARROW,
            "marker": {"color": shades[layer], "line": {"width": 0}},
            "customdata": [for_chart(f"{row.name}: {row.hover}", 120) for row in rows],
            "hovertemplate": "%{customdata}<extra></extra>",
        }
        for layer in reversed(range(layers))
    ]
    longest = max((length or 0 for row in rows for length in row.lengths), default=0) or 1
    label = {
        "yref": "y",
        "yanchor": "bottom",
        "showarrow": False,
        "borderpad": 0,
        "borderwidth": 0,
        "xref": "paper",
    }
    annotations = [
        {
            **label,
            "x": side,
            "y": place - _LABEL,
            "text": text,
            "xanchor": anchor,
            "font": {"color": color},
        }
        for place, row in zip(places, rows, strict=True)
        for side, anchor, text, color in (
            (0, "left", for_chart(row.name), palette.ink),
            (1, "right", for_chart(row.value), palette.muted),
        )
    ]
    return {
        "data": traces,
        "layout": _layout(palette)
        | {
            "barmode": "overlay",
            "annotations": annotations,
            "xaxis": {**_HIDDEN_AXIS, "range": [0, longest]},
            "yaxis": {**_HIDDEN_AXIS, "range": [len(rows) - 0.75, -0.75]},
        },
    }


@dataclass(frozen=True)
class HeatMap:
    """A grid of numbers.

    Args:
        rows: Names of the rows.
        columns: Names of the columns, short.
        cells: A list per row.
        texts: What is written into the cells.
        hovers: What is said about a cell under the pointer.
        faded: Rows whose numbers are not final.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[float | None]]
    texts: Sequence[Sequence[str]]
    hovers: Sequence[Sequence[str]]
    faded: Sequence[bool]


def draw_heat_map(grid: HeatMap, palette: Palette) -> Figure:
    """Return a grid whose larger numbers are darker; rows that are not final are pale."""
    largest = max((cell or 0 for row in grid.cells for cell in row), default=0) or 1
    traces = []
    for is_faded in sorted(set(grid.faded)):
        blank = [None] * len(grid.columns)
        rows = [
            row if faded is is_faded else blank
            for row, faded in zip(grid.cells, grid.faded, strict=True)
        ]
        shades = [palette.paper, palette.paler, palette.pale]
        if is_faded:
            shades = [blend(shade, palette.paper) for shade in shades]
        traces.append(
            {
                "type": "heatmap",
                "x": list(range(len(grid.columns))),
                "y": list(range(len(grid.rows))),
                "z": [list(row) for row in rows],
                "text": [
                    list(texts) if faded is is_faded else [""] * len(texts)
                    for texts, faded in zip(grid.texts, grid.faded, strict=True)
                ],
                "texttemplate": "%{text}",
                "textfont": {"color": palette.ink},
                "customdata": [[for_chart(hover, 120) for hover in row] for row in grid.hovers],
                "hovertemplate": "%{customdata}<extra></extra>",
                "hoverongaps": False,
                "zmin": 0,
                "zmax": largest,
                "colorscale": list(zip((0, 0.001, 1), shades, strict=True)),
                "showscale": False,
                "xgap": 2,
                "ygap": 2,
            }
        )
    return {
        "data": traces,
        "layout": _layout(palette)
        | {
            "margin": {"l": 0, "r": 0, "t": 24, "b": 0},
            "xaxis": {
                **_ticks(grid.columns, palette),
                "side": "top",
                "range": [-0.5, len(grid.columns) - 0.5],
            },
            "yaxis": {
                **_ticks(grid.rows, palette),
                "range": [len(grid.rows) - 0.5, -0.5],
                "automargin": True,
            },
        },
    }


@dataclass(frozen=True)
class Line:
    """A line through months: solid and strong, or pale and dashed to compare with."""

    name: str
    values: Sequence[float | None]
    is_main: bool = True


def draw_lines(
    months: Sequence[date], lines: Sequence[Line], palette: Palette, *, is_small: bool = False
) -> Figure:
    """Return lines over months from zero on, the last month marked; a small one without axes."""
    dates = [month.isoformat() for month in months]
    traces = []
    for line in lines:
        known = [place for place, value in enumerate(line.values) if value is not None]
        last = known[-1] if known else None
        color = palette.accent if line.is_main else palette.muted
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": dates,
                "y": list(line.values),
                "line": {
                    "color": color,
                    "width": 2 if line.is_main else 1.5,
                    "dash": "solid" if line.is_main else "dot",
                },
                "marker": {
                    "color": color,
                    "size": [
                        7 if place == last and line.is_main else 0 for place in range(len(dates))
                    ],
                },
                "cliponaxis": False,
                "name": for_chart(line.name),
                "hovertemplate": "%{x|%B %Y}: %{y:,.5~r}<extra>" + for_chart(line.name) + "</extra>"
                if len(lines) > 1
                else "%{x|%B %Y}: %{y:,.5~r}<extra></extra>",
            }
        )
    highest = max((value or 0 for line in lines for value in line.values), default=0) or 1
    axis = {
        "fixedrange": True,
        "color": palette.muted,
        "showgrid": False,
        "zeroline": False,
    }
    x_axis = {**axis, "type": "date", "tickformat": "%b\n%Y", "nticks": 6}
    if len(months) > 1:  # else there would be no room to the left and right of the one month
        x_axis["range"] = [dates[0], dates[-1]]
    y_axis = {**axis, "range": [0, highest * 1.1], "nticks": 5, "gridcolor": palette.line}
    small = {"visible": not is_small}
    return {
        "data": traces,
        "layout": _layout(palette)
        | {
            "margin": {"l": 2, "r": 6, "t": 6, "b": 4}
            if is_small
            else {"l": 36, "r": 12, "t": 8, "b": 36},
            "xaxis": {**x_axis, **small},
            "yaxis": {**y_axis, **small, "showgrid": True},
            "hovermode": "x",
        },
    }


def _layout(palette: Palette) -> dict[str, Any]:
    return {
        "paper_bgcolor": palette.paper,
        "plot_bgcolor": palette.paper,
        "font": {"family": _FONT, "color": palette.ink},
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {
            "bgcolor": palette.ink,
            "bordercolor": palette.ink,
            "font": {"family": _FONT, "color": palette.paper},
        },
    }


def _ticks(names: Sequence[str], palette: Palette) -> dict[str, Any]:
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [for_chart(name, 24) for name in names],
        "tickfont": {"color": palette.ink},
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }
