"""What a section of the report is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.report.figures import (
    ROW_HEIGHT,
    BarRow,
    Figure,
    HeatMap,
    draw_bars,
    draw_heat_map,
)
from runner.report.palette import Palette

_HEADS_HEIGHT = 24


@dataclass(frozen=True)
class Chart:
    """A chart: how to draw it in the colours of a theme, and what it says to who cannot see it."""

    name: str
    draw: Callable[[Palette], Figure]
    height: int
    said: str
    heading: str = ""
    value: str = ""


@dataclass(frozen=True)
class Table:
    """Cells as text, the first `names` columns being names; an empty number is shown as a dash."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1


@dataclass(frozen=True)
class Section:
    """A finding, its charts and its numbers.

    Args:
        name: Its name in the page.
        title: The finding.
        note: What is counted.
        charts: None where there is nothing to draw.
        table: The numbers behind the charts.
        shown: A table that stands open.
        legend: What the shades mean, the strongest first.
    """

    name: str
    title: str
    note: str
    charts: Sequence[Chart] = ()
    table: Table | None = None
    shown: Table | None = None
    legend: Sequence[tuple[str, str]] = ()


def bar_chart(name: str, rows: Sequence[BarRow], said: str) -> Chart:
    """Return bars below each other."""
    return Chart(name, lambda palette: draw_bars(rows, palette), len(rows) * ROW_HEIGHT, said)


def grid_chart(name: str, grid: HeatMap, row_height: int, said: str) -> Chart:
    """Return a grid of numbers whose rows have a height in pixels."""
    height = _HEADS_HEIGHT + len(grid.rows) * row_height
    return Chart(name, lambda palette: draw_heat_map(grid, palette), height, said)
