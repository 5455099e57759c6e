"""A funnel proposed from what an account has: its pipelines, and their stages in order."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO

from runner.errors import FunnelError
from runner.extract import answers
from runner.extract.answers import understood
from runner.extract.api import Api, Row
from runner.text.words import listed


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


@dataclass(frozen=True)
class Offer:
    """What an account has that can be a funnel.

    Args:
        pipelines: The names of its pipelines by number, in their order.
        stages: Its stages as Pipedrive answers, in the order of their pipelines.
        types: The keys of its types of activities.
    """

    pipelines: dict[int, str]
    stages: tuple[Row, ...]
    types: tuple[str, ...]

    def find_pipelines(self, asked: Iterable[str]) -> list[str]:
        """Return pipelines asked for by name or number, each once and as the account spells it.

        Raises:
            FunnelError: The account has no such pipeline.
        """
        known = {str(number): str(number) for number in self.pipelines}
        known |= {name.casefold(): name for name in self.pipelines.values()}
        keys = [each.strip().casefold() for each in asked]
        if unknown := [key for key in keys if key not in known]:
            raise FunnelError(
                f"the account has no pipeline {unknown[0]}",
                hint=f"It has {listed([*self.pipelines.values()])}." if self.pipelines else "",
            )
        return [known[key] for key in dict.fromkeys(keys)]

    def propose(self, columns: Sequence[str], counted: Iterable[object] = ()) -> Proposal:
        """Return a step for each name of a stage, pipeline after pipeline.

        Args:
            columns: The header of the file. With a column `pipeline`, each row names its own, where
                several count.
            counted: Names or numbers of the pipelines that count; nothing means all.
        """
        chosen = {str(each).strip().casefold() for each in counted}
        names = {
            number: name
            for number, name in self.pipelines.items()
            if not chosen or chosen & {str(number), name.casefold()}
        }
        by_pipeline = "pipeline" in columns and len(names) > 1
        steps: dict[str, tuple[int, str]] = {}
        rows: dict[tuple[str, str], dict[str, object]] = {}
        for row in self.stages:
            name, number = answers.read_name(row.get("name")), int(row.get("pipeline_id") or 0)
            if not name or (chosen and number not in names):
                continue
            step, kpi_name = steps.setdefault(name.casefold(), (len(steps) + 1, name))
            place = names.get(number, "") if by_pipeline else ""
            rows.setdefault(
                (name.casefold(), place),
                {
                    "source_type": "stage",
                    "source_name": name,
                    "pipeline": place,
                    "funnel_step": step,
                    "kpi_name": kpi_name,
                    "step_order": step,
                },
            )
        text = StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())
        return Proposal(text.getvalue(), len(steps), self.types)


def read_offer(api: Api) -> Offer:
    """Ask the account for its pipelines, stages and types of activities.

    Raises:
        BudgetSpent, NotFound, FunnelError: As `Api.get`.
    """
    pipelines = [row for page in api.pages("/api/v2/pipelines", 5) for row in page]
    stages = [row for page in api.pages("/api/v2/stages", 5) for row in page]
    types = api.rows("/api/v1/activityTypes", 20)
    with understood("/api/v2/stages"):
        return make_offer(pipelines, stages, types)


def make_offer(pipelines: Sequence[Row], stages: Iterable[Row], types: Iterable[Row]) -> Offer:
    """Put in order what Pipedrive has answered, without what is deleted."""
    places = {row["id"]: _place(row) for row in pipelines}
    keys = [answers.read_name(row.get("key_string")) for row in types if row.get("active_flag")]
    return Offer(
        {
            int(row["id"]): answers.read_name(row.get("name")) or str(row["id"])
            for row in sorted(filter(_is_there, pipelines), key=_place)
        },
        tuple(
            sorted(
                filter(_is_there, stages),
                key=lambda row: (places.get(row.get("pipeline_id"), (0, 0)), _place(row)),
            )
        ),
        tuple(key for key in keys if key),
    )


def _is_there(row: Row) -> bool:
    return not row.get("is_deleted")


def _place(row: Row) -> tuple[int, int]:
    return int(row.get("order_nr") or 0), int(row["id"])
