"""What was meant to be reached: the rows of seeds/goals.csv, as the warehouse has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from psycopg2 import sql

from runner.project import STAGING, Project
from runner.show.rows import plain
from runner.warehouse.engine import Engine

WIN_RATE = "win_rate"


@dataclass(frozen=True)
class Goal:
    """What a measure, a step or `win_rate`, should come to from a month on; None ends the goal."""

    month: date
    measure: str
    target: float | None


def find_target(goals: Sequence[Goal], measure: str, month: date) -> float | None:
    """Return what a measure should come to in a month: the last target set until then."""
    held = [goal for goal in goals if goal.measure == measure and goal.month <= month]
    return max(held, key=lambda goal: goal.month).target if held else None


def read_goals(engine: Engine, project: Project) -> list[Goal]:
    """Return all goals; none where the seed is not loaded yet."""
    schema, seed = project.schema(STAGING), "goals"
    if not engine.table_exists(schema, seed):
        return []
    query = sql.SQL("select month, trim(measure), target from {}").format(
        sql.Identifier(schema, seed)
    )
    with engine.reading(schema, seed):
        return [Goal(*map(plain, row)) for row in engine.query(query)]
