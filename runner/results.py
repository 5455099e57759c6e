"""What became of the nodes of a dbt project, and how people and programs are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runner.errors import ExitCode

KINDS = {"models": ("model", "seed"), "tests": ("test",), "sources": ("source",)}
"""dbt's resource types, by what people call them."""


@dataclass(frozen=True)
class NodeResult:
    """What became of one node of the project.

    Args:
        name: Name of the model, seed, test or source table.
        kind: dbt's resource type: model, seed, test, unit_test or source.
        status: pass, warn, fail, error or skipped.
        seconds: Time the node took.
        failures: Number of failing rows of a test.
        message: dbt's message, on one line.
        description: What the test's author says a failure means.
        max_loaded_at: Age of a source: when its newest row was loaded.
    """

    name: str
    kind: str
    status: str
    seconds: float = 0.0
    failures: int | None = None
    message: str = ""
    description: str = ""
    max_loaded_at: datetime | None = None

    def document(self) -> dict[str, Any]:
        """Return the result as `--json` prints it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "status": self.status,
            "failures": self.failures,
            "message": self.message,
            "description": self.description,
            "max_loaded_at": self.max_loaded_at,
        }

    @property
    def is_bad(self) -> bool:
        """Whether the command that ran this node has failed because of it."""
        return self.status in ("fail", "error")


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
    """Return a line for each problem."""
    return "\n".join(
        _describe_problem(result)
        for result in problems(results)
        if (with_failures if result.is_bad else with_warnings)
    )


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


def _describe_problem(result: NodeResult) -> str:
    if result.kind == "source" and not result.message:
        what = f"source {result.name} is stale: {describe_age(result)}"
    elif result.kind == "test" and result.failures:
        what = f"{result.name}: {result.failures} row{'s' if result.failures > 1 else ''}"
    else:
        what = f"{result.kind} {result.name}: {result.message}"
    meaning = f". {result.description}" if result.description and result.kind == "test" else ""
    return f"{result.status.upper()} {what}{meaning}"
