"""Tables for a terminal: columns that fit its width, and bars of eighths of a block."""

import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

LONGEST_BAR = 30
SHORTEST_BAR = 8
WIDTH_WHEN_PIPED = 100

_GAP = 2
_LONGEST_NAME = 40
_SHORTEST_NAME = 12


@dataclass(frozen=True)
class TextTable:
    """A table of texts, its last column a bar if there are any.

    Args:
        header: The names of the columns; empty for a table without a header.
        rows: The cells; a name may be cut to fit, a number never is.
        names: How many columns, from the left, hold names: they begin on the left.
        bars: A bar for each row, made for a given width; or nothing.
        has_note: Whether the last column is prose: it begins on the left, and is not cut.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 2
    bars: Sequence["Bar"] = ()
    has_note: bool = False

    def draw(self, width: int | None = None) -> str:
        """Return the table, no line longer than `width` unless its numbers or notes alone are.

        Without a width nothing is cut.
        """
        heads = [self.header] if self.header else []
        cells = [*heads, *([clean(cell) for cell in row] for row in self.rows)]
        widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
        bar_width = LONGEST_BAR
        if width is not None and cells:
            name = self.names - 1
            room = width - sum(widths) - _GAP * (len(widths) - 1) + widths[name]
            widths[name] = min(widths[name], max(_SHORTEST_NAME, min(_LONGEST_NAME, room)))
            bar_width = min(LONGEST_BAR, width - sum(widths) - _GAP * len(widths))
        on_left = [*range(self.names), *([len(widths) - 1] if self.has_note else [])]
        lines = []
        for number, row in enumerate(cells):
            parts = [
                _fit(cell, size, on_left=column in on_left)
                for column, (cell, size) in enumerate(zip(row, widths, strict=True))
            ]
            if self.bars and number >= len(heads) and bar_width >= SHORTEST_BAR:
                parts.append(self.bars[number - len(heads)].draw(bar_width))
            lines.append((" " * _GAP).join(parts).rstrip())
        return "\n".join(lines)


@dataclass(frozen=True)
class Bar:
    """A bar, perhaps with longer, paler ones behind it: shares of the longest bar, 0 to 1."""

    share: float
    paler: tuple[float, ...] = ()

    def draw(self, width: int) -> str:
        """Return the bar, at most `width` long."""
        text = draw_bar(self.share, width)
        for shade, share in zip("▒░", self.paler, strict=False):
            text += shade * (round(share * width) - len(text))
        return text


def draw_bar(share: float, width: int = LONGEST_BAR) -> str:
    """Return a bar of eighths of a block, at least a sliver for a share above 0."""
    if share <= 0:
        return ""
    whole, rest = divmod(max(1, round(share * width * 8)), 8)
    return "█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def terminal_width() -> int:
    """Return the width of the terminal, or a fixed one where the output goes elsewhere."""
    return shutil.get_terminal_size((WIDTH_WHEN_PIPED, 24)).columns


def text_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(map(_sign_width, text))


def _sign_width(sign: str) -> int:
    return 0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF")


def clean(text: str) -> str:
    """Return a text without what would steer a terminal: it may be anybody's."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _fit(text: str, width: int, *, on_left: bool) -> str:
    if text_width(text) > width:
        ends = accumulate(map(_sign_width, text))
        text = text[: sum(1 for _ in takewhile(lambda end: end < width, ends))] + "…"
    padding = " " * (width - text_width(text))
    return text + padding if on_left else padding + text
