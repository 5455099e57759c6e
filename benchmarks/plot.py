"""Draw bars from JSON on stdin into an SVG file; run by the environment that has matplotlib."""

import json
import sys
from typing import Any

import matplotlib  # type: ignore[import-not-found,unused-ignore]

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "funnel", "svg.fonttype": "none", "font.size": 9})

from matplotlib import pyplot  # type: ignore[import-not-found,unused-ignore]  # noqa: E402


def main(path: str, panels: list[dict[str, Any]]) -> None:
    """Draw one panel for each subject, its bars labelled with their seconds."""
    heights = [len(panel["bars"]) + 1.5 for panel in panels]
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(9, sum(heights) * 0.32), height_ratios=heights, squeeze=False
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        names, values = list(panel["bars"]), list(panel["bars"].values())
        ours = ["funnel" in name or "models" in name for name in names]
        colours = ["#2b6cb0" if is_ours else "#b8c2cc" for is_ours in ours]
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, fmt="%.2f s", padding=3)
        axis.invert_yaxis()
        axis.set_title(panel["title"], loc="left", fontsize=10, fontweight="bold")
        axis.set_xlim(0, max(values) * 1.15)
        axis.xaxis.set_visible(False)
        for side in ("top", "right", "bottom"):
            axis.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1], json.load(sys.stdin))
