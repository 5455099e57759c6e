"""Measure funnel beside plain dbt, SQL by hand and other tools, and write down the ratios.

    python -m benchmarks.bench                              all subjects, into results.md and .svg
    python -m benchmarks.bench --only load --rows 1000000   one subject, printed

It needs the package index once, for the peers, and some GB of disk for a while. Contenders take
turns and medians are compared, so that ratios stand also where seconds vary.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import peers, subjects
from benchmarks.raw_rows import History
from benchmarks.stage import Stage, open_stage
from benchmarks.subjects import Goal, Outcome

FOLDER = Path(__file__).resolve().parent

_ON_A_STAGE: dict[str, Callable[[Stage, int], Outcome]] = {
    "window": subjects.measure_window,
    "sql": subjects.measure_sql,
    "backfill": subjects.measure_backfill,
    "memory": subjects.measure_memory,
    "commands": subjects.measure_commands,
    "load": subjects.measure_load,  # last: it makes every row late
}
SUBJECTS = (*_ON_A_STAGE, "growth")
ON_REQUEST = ("report",)
"""Not part of all: it builds a warehouse of its own for one command."""


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument(
        "--only", choices=(*SUBJECTS, *ON_REQUEST), action="append", help="Measure only this."
    )
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="Rows of each large table; deals for report."
    )
    parser.add_argument("--repeats", type=int, default=3, help="Turns of each contender.")
    parser.add_argument("--name", default="results", help="Of the files written.")
    options = parser.parse_args()

    begin = time.monotonic()
    outcomes = measure(options.only or SUBJECTS, options.rows, options.repeats)
    text = describe(outcomes, options.rows, options.repeats)
    print(text)
    print(f"{time.monotonic() - begin:.0f} s in all")
    if not options.only:
        picture = f"\n![Seconds of all contenders]({options.name}.svg)\n"
        (FOLDER / f"{options.name}.md").write_text(text + picture)
        draw(outcomes, FOLDER / f"{options.name}.svg")


def measure(names: Sequence[str], rows: int, repeats: int) -> list[Outcome]:
    """Measure subjects, those that share a stage on the same one."""
    outcomes = []
    if "backfill" in names:
        peers.install()
    on_a_stage = [name for name in _ON_A_STAGE if name in names]
    if on_a_stage:
        with open_stage(History(rows, subjects.MONTHS)) as stage:
            for name in on_a_stage:
                outcomes.append(_ON_A_STAGE[name](stage, repeats))
                print(f"{outcomes[-1].title} …", flush=True)
    if "growth" in names:
        outcomes.append(subjects.measure_growth(rows, repeats))
    if "report" in names:
        outcomes.append(subjects.measure_report(rows, repeats))
    return sorted(outcomes, key=lambda outcome: outcome.title)


def describe(outcomes: Sequence[Outcome], rows: int, repeats: int) -> str:
    """Return the outcomes as Markdown."""
    lines = [
        "# What takes how long",
        "",
        f"`python -m benchmarks.bench --rows {rows}` on {os.cpu_count()} cores, Linux "
        f"{platform.machine()}, the embedded Postgres: {rows:,} rows in each of the two tables of",
        f"events, {subjects.MONTHS} months. Medians of {repeats} turns, lowest and highest beside "
        "them. Seconds depend on the machine; ratios less so.",
        "",
        "| goal | reached | at most | |",
        "|---|---|---|---|",
    ]
    for outcome in outcomes:
        lines += [_describe_goal(goal) for goal in outcome.goals]
    for outcome in outcomes:
        lines += ["", f"## {outcome.title}", "", "| | median | lowest | highest |"]
        lines.append("|---|---|---|---|")
        for figure in outcome.figures:
            values = (figure.median, min(figure.values), max(figure.values))
            numbers = (f"{value:,.{0 if figure.unit == 'MB' else 2}f}" for value in values)
            said = (f"{number} {figure.unit}" for number in numbers)
            lines.append(f"| {figure.name} | {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def _describe_goal(goal: Goal) -> str:
    digits = 0 if goal.unit else 2
    unit = f" {goal.unit}" if goal.unit else ""
    verdict = "yes" if goal.value <= goal.at_most else "**no**"
    numbers = f"{goal.value:.{digits}f}{unit} | {goal.at_most:.{digits}f}{unit}"
    return f"| {goal.name} | {numbers} | {verdict} |"


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw the seconds of all contenders, in the peers' environment, which has matplotlib."""
    panels = [
        {"title": outcome.title, "bars": {f.name: f.median for f in outcome.figures}}
        for outcome in outcomes
        if all(figure.unit == "s" for figure in outcome.figures)
    ]
    python = str(peers.install() / "python")
    command = [python, str(FOLDER / "plot.py"), str(path)]
    subprocess.run(command, input=json.dumps(panels), text=True, check=True, timeout=120)


if __name__ == "__main__":
    main()
