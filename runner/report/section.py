"""What a section of the report is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from runner.report.figures import Bars, Grid, Lines


@dataclass(frozen=True)
class Chart:
    """A chart, what it says to who cannot see it, and what stands above it."""

    name: str
    figure: Bars | Grid | Lines
    said: str
    heading: str = ""
    value: str = ""


@dataclass(frozen=True)
class Table:
    """Cells as text; an empty number is shown as a dash.

    Args:
        caption: What the table is about.
        header: A name for each column.
        rows: The cells.
        names: How many columns hold names, the others numbers.
        links: Where the first cell of each row leads; nowhere if there are none.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    links: Sequence[str] = ()


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
