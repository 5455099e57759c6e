"""The colours of the report: one accent and its paler shades, for paper and for a dark screen.

All differ in lightness, not only in hue: nobody has to see colours to distinguish them. Text on
`paper` keeps a contrast of at least 4.5.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours as CSS and SVG write them."""

    paper: str
    ink: str
    muted: str
    line: str
    accent: str
    pale: str
    paler: str


LIGHT = Palette(
    paper="#ffffff",
    ink="#16202a",
    muted="#596673",
    line="#dfe4e8",
    accent="#0b6b75",
    pale="#8fc3c6",
    paler="#d5e7e8",
)
DARK = Palette(
    paper="#12181d",
    ink="#e8edf1",
    muted="#9aa8b4",
    line="#2b363f",
    accent="#54c5cb",
    pale="#276f76",
    paler="#1d444a",
)
THEMES = {"light": LIGHT, "dark": DARK}
SHADES = ("accent", "pale", "paler")
"""Of bars behind each other, the one that matters first."""
