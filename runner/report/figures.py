"""The charts as plain values, which templates/charts.html draws in HTML and SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, floor, log10
from typing import ClassVar

from runner.text.words import count, percent, short_month

TICKS = 4


@dataclass(frozen=True)
class BarRow:
    """A row of a bar chart.

    Args:
        name: What it is called.
        value: What is written on the right.
        lengths: The bars, the one that matters first, then longer and paler ones behind it.
        goal: How long the first one was meant to be.
    """

    name: str
    value: str
    lengths: Sequence[float | None]
    goal: float | None = None


@dataclass(frozen=True)
class Bars:
    """Bars below each other, each under its name."""

    kind: ClassVar[str] = "bars"

    rows: Sequence[BarRow]

    def width(self, length: float | None) -> str:
        """Return the width of a bar: a share of the longest."""
        lengths = [length or 0 for row in self.rows for length in (*row.lengths, row.goal)]
        longest = max(lengths, default=0)
        return _of_hundred((length or 0) / (longest or 1)) + "%"


@dataclass(frozen=True)
class GridColumn:
    """A column of a grid; the numbers of a faded one are not final."""

    name: str
    note: str = ""
    is_faded: bool = False


@dataclass(frozen=True)
class Grid:
    """A grid of numbers, the larger the darker.

    Args:
        columns: What stands above.
        rows: The names of the rows, and their cells.
        is_rate: Whether the cells are rates of 0 to 1; else counts.
        is_upright: Whether the names of the columns are long.
    """

    kind: ClassVar[str] = "grid"

    columns: Sequence[GridColumn]
    rows: Sequence[tuple[str, Sequence[float | None]]]
    is_rate: bool = False
    is_upright: bool = False

    @property
    def largest(self) -> float:
        """The number of the darkest cell."""
        return max((cell or 0 for _, cells in self.rows for cell in cells), default=0)

    def shade(self, cell: float | None) -> str:
        """Return how dark a cell is."""
        return _of_hundred((cell or 0) / (self.largest or 1)) + "%"

    def say(self, cell: float | None) -> str:
        """Return what is written into a cell."""
        return percent(cell) if self.is_rate else str(int(cell)) if cell else ""


@dataclass(frozen=True)
class Line:
    """A line through months: solid and strong, or pale and dotted to compare with."""

    name: str
    values: Sequence[float | None]
    is_main: bool = True


def with_goal(line: Line, goals: Sequence[float | None]) -> list[Line]:
    """Return a line, and one through the goals of its months if there are any."""
    is_set = any(goal is not None for goal in goals)
    return [line, Line("Goal", goals, is_main=False)] if is_set else [line]


@dataclass(frozen=True)
class Lines:
    """Lines over months, from zero on; a small one without a scale."""

    kind: ClassVar[str] = "lines"

    months: Sequence[date]
    lines: Sequence[Line]
    is_small: bool = False
    is_rate: bool = False

    @property
    def top(self) -> float:
        """The upper end of the scale: 1, 2, 4, 5 or 10 times a power of ten."""
        highest = max((value or 0 for line in self.lines for value in line.values), default=0)
        if not highest:
            return 1
        power: float = 10 ** floor(log10(highest))
        return next(power * step for step in (1, 2, 4, 5, 10) if power * step >= highest)

    def scale(self) -> list[tuple[str, str]]:
        """Return the numbers beside the lines, and how far down they stand."""
        say = percent if self.is_rate else _plain
        return [(say(self.top * share), _of_hundred(1 - share)) for share in (1, 0.5, 0)]

    def ticks(self) -> list[tuple[str, str]]:
        """Return months, the last one first, and how far right they stand."""
        apart = ceil(len(self.months) / TICKS)
        places = range(len(self.months) - 1, -1, -apart)
        return [(short_month(self.months[place]), self._across(place)) for place in places]

    def path(self, line: Line) -> str:
        """Return a line in a square of 100 by 100, as SVG writes it; gaps stay open."""
        said = ""
        is_open = False
        for place, value in enumerate(line.values):
            if value is not None:
                said += f"{'L' if is_open else 'M'}{self._across(place)} {self._down(value)}h0"
            is_open = value is not None
        return said

    def end(self, line: Line) -> tuple[str, str] | None:
        """Return where the last known point of a line is, from the left and from above."""
        known = [(at, value) for at, value in enumerate(line.values) if value is not None]
        return (self._across(known[-1][0]), self._down(known[-1][1])) if known else None

    def _across(self, place: int) -> str:
        return _of_hundred(place / (len(self.months) - 1) if len(self.months) > 1 else 1)

    def _down(self, value: float) -> str:
        return _of_hundred(1 - value / self.top)


def _of_hundred(share: float) -> str:
    return f"{share * 100:.1f}".removesuffix(".0")


def _plain(number: float) -> str:
    return count(int(number)) if number == int(number) else f"{number:g}"
