"""What became of the nodes of a dbt project, and what people and programs see of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from textwrap import wrap
from typing import Any

from runner.errors import ExitCode
from runner.text.text_table import TextTable
from runner.text.words import plural

KINDS = {"models": ("model", "seed"), "tests": ("test",), "sources": ("source",)}
"""dbt's resource types, by what people call them."""

_LINE = 96
"""Characters of an explanation's line."""

_VALUE = 32
"""Characters of a row's value."""


@dataclass(frozen=True)
class NodeResult:
    """What became of one node of the project.

    Args:
        name: Name of the model, seed, test or source table.
        kind: dbt's resource type: model, seed, test or source; operation is a failed hook.
        status: pass, warn, fail, error or skipped.
        seconds: Time the node took.
        failures: Number of failing rows of a test.
        message: dbt's message, on one line.
        description: What the test's author says a failure means.
        max_loaded_at: Age of a source: when its newest row was loaded.
        model: What a test is about: a model, several, or a source table.
        severity: What a test that fails is: error or warn.
        query: The query of a test, which returns the failing rows.
        table: Name of the table for a test's failing rows.
        stored_in: That table with its schema, if the failing rows are there.
        sample: Some of the failing rows, without personal data.
    """

    name: str
    kind: str
    status: str
    seconds: float = 0.0
    failures: int | None = None
    message: str = ""
    description: str = ""
    max_loaded_at: datetime | None = None
    model: str = ""
    severity: str = ""
    query: str = field(default="", repr=False)
    table: str = ""
    stored_in: str = ""
    sample: tuple[dict[str, Any], ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the result as `--json` prints it."""
        document: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "status": self.status,
            "failures": self.failures,
            "message": self.message,
            "description": self.description,
            "max_loaded_at": self.max_loaded_at,
        }
        if self.kind in ("test", "operation"):
            document |= {
                "model": self.model,
                "severity": self.severity,
                "seconds": round(self.seconds, 3),
                "sample": list(self.sample),
                "stored_in": self.stored_in,
            }
        return document

    @property
    def is_bad(self) -> bool:
        """Whether the command that ran this node has failed because of it."""
        return self.status in ("fail", "error")

    @property
    def was_run(self) -> bool:
        """Whether anything is known about it: a test after a failure is not run."""
        return self.status != "skipped"


def exit_code(results: Sequence[NodeResult]) -> ExitCode:
    """Return how a command ends that had these results."""
    bad = [result for result in results if result.is_bad]
    if any(
        "permission denied" in result.message or (result.kind, result.status) == ("source", "error")
        for result in bad
    ):
        return ExitCode.COULD_NOT_RUN
    return ExitCode.DATA_FAILED if bad else ExitCode.DONE


def count_statuses(results: Sequence[NodeResult], label: str) -> dict[str, int]:
    """Return how many models, tests or sources ended in each status."""
    statuses = [result.status for result in results if result.kind in KINDS[label]]
    return {
        status: statuses.count(status) for status in ("pass", "warn", "fail", "error", "skipped")
    }


def problems(results: Sequence[NodeResult]) -> list[NodeResult]:
    """Return what did not pass, failures before warnings."""
    order = {"error": 0, "fail": 1, "warn": 2}
    return sorted(
        (result for result in results if result.status in order),
        key=lambda result: (order[result.status], result.kind, result.name),
    )


def describe_problems(
    results: Sequence[NodeResult], *, with_failures: bool = True, with_warnings: bool = True
) -> str:
    """Return a line for each problem: of a failure with what it means, of a warning without."""
    return "\n".join(
        ". ".join(filter(None, (_head(result), _meaning(result) if result.is_bad else "")))
        for result in problems(results)
        if (with_failures if result.is_bad else with_warnings)
    )


def explain_problems(results: Sequence[NodeResult]) -> str:
    """Return a paragraph for each problem: what, what it means, some rows, and where all are."""
    paragraphs = []
    for result in problems(results):
        details = [*wrap(_meaning(result), _LINE), *_draw_rows(result)]
        model = f" ({result.model})" if result.kind == "test" else ""
        head = f"{_head(result)}{model}"
        paragraphs.append("\n".join([head, *(f"    {line}" for line in details)]))
    return "\n\n".join(paragraphs)


def count_results(results: Sequence[NodeResult], seconds: float) -> str:
    """Return a line that counts models, tests and sources, and how many did not pass."""
    parts = []
    for label in KINDS:
        counts = count_statuses(results, label)
        total = sum(counts.values())
        said = ", ".join(f"{n} {status}" for status, n in counts.items() if n and status != "pass")
        if total:
            parts.append(f"{total} {label}" + (f" ({said})" if said else ""))
    return f"{', '.join(parts)} in {seconds:.1f} s"


def describe_age(source: NodeResult) -> str:
    """Return when a source was last loaded."""
    if source.max_loaded_at is None:
        return "never loaded"
    return f"last loaded {source.max_loaded_at:%Y-%m-%d %H:%M} UTC"


def _head(result: NodeResult) -> str:
    if result.kind == "source" and not result.message:
        what = f"source {result.name} is stale: {describe_age(result)}"
    elif result.kind == "test":
        said = plural(result.failures, "row") if result.failures else result.message
        what = f"{result.name}: {said}"
    else:
        what = f"{result.kind} {result.name}: {result.message}"
    return f"{result.status.upper()} {what}"


def _meaning(result: NodeResult) -> str:
    return result.description if result.kind == "test" else ""


def _draw_rows(test: NodeResult) -> list[str]:
    """Return the sample as lines of a table, cut to the width of a page, and where all rows are."""
    header = list(test.sample[0]) if test.sample else []
    rows = [[_cut(row[name]) for name in header] for row in test.sample]
    lines = TextTable(header, rows, names=len(header)).draw().splitlines()
    lines = [f"{line[: _LINE - 2]} …" if len(line) > _LINE else line for line in lines]
    return [*lines, f"Rows: {test.stored_in}"] if test.stored_in else lines


def _cut(value: object) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else json.dumps(value)
    return f"{text[: _VALUE - 1]}…" if len(text) > _VALUE else text
