"""A funnel proposed from what an account has: its stages, in their order."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO

from runner.extract import answers
from runner.extract.answers import understood
from runner.extract.api import Api, Row


@dataclass(frozen=True)
class Proposal:
    """What could be written to seeds/funnel_steps.csv.

    Args:
        text: The file.
        steps: How many steps that are.
        types: Types of activities that could be steps too.
    """

    text: str
    steps: int
    types: tuple[str, ...]


def read_proposal(api: Api, columns: Sequence[str]) -> Proposal:
    """Ask the account for its pipelines, stages and types of activities.

    Raises:
        BudgetSpent, NotFound, FunnelError: As `Api.get`.
    """
    pipelines = [row for page in api.pages("/api/v2/pipelines", 5) for row in page]
    stages = [row for page in api.pages("/api/v2/stages", 5) for row in page]
    types = api.rows("/api/v1/activityTypes", 20)
    with understood("/api/v2/stages"):
        return propose(pipelines, stages, types, columns)


def propose(
    pipelines: Iterable[Row], stages: Iterable[Row], types: Iterable[Row], columns: Sequence[str]
) -> Proposal:
    """Return a step for each name of a stage, pipeline after pipeline.

    Args:
        pipelines: As Pipedrive answers.
        stages: As Pipedrive answers.
        types: As Pipedrive answers.
        columns: The header of the file. With a column `pipeline`, each row names its own, where
            there are several.
    """
    names = {row["id"]: answers.read_name(row.get("name")) for row in pipelines if _is_there(row)}
    places = {row["id"]: _place(row) for row in pipelines}
    ordered = sorted(
        (row for row in stages if _is_there(row)),
        key=lambda row: (places.get(row.get("pipeline_id"), (0, 0)), _place(row)),
    )
    by_pipeline = "pipeline" in columns and len(names) > 1
    steps: dict[str, int] = {}
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for row in ordered:
        name = answers.read_name(row.get("name"))
        if not name:
            continue
        pipeline = (names.get(row.get("pipeline_id")) or "") if by_pipeline else ""
        step = steps.setdefault(name.casefold(), len(steps) + 1)
        first = next((each for each in rows.values() if each["step_order"] == step), None)
        rows.setdefault(
            (name.casefold(), pipeline),
            {
                "source_type": "stage",
                "source_name": name,
                "pipeline": pipeline,
                "funnel_step": step,
                "kpi_name": first["kpi_name"] if first else name,
                "step_order": step,
            },
        )
    text = StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    keys = [answers.read_name(row.get("key_string")) for row in types if row.get("active_flag")]
    return Proposal(text.getvalue(), len(steps), tuple(key for key in keys if key))


def _is_there(row: Row) -> bool:
    return not row.get("is_deleted")


def _place(row: Row) -> tuple[int, int]:
    return int(row.get("order_nr") or 0), int(row["id"])
