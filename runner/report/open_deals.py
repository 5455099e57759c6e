"""The open deals as of the reference date: what they are worth, and which are stalled."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2 import sql

from runner.project import ANALYTICS, Project
from runner.show.rows import StalledDeal, plain
from runner.warehouse.engine import Engine

STALLED_LISTED = 10


@dataclass(frozen=True)
class OpenValue:
    """The open deals of one currency, how many of them have a value, and what these come to."""

    currency: str | None
    open_deals_count: int
    valued_deals_count: int
    open_value: float | None


@dataclass(frozen=True)
class StalledStep:
    """How many open deals of a step have not moved for longer than is usual there."""

    kpi_name: str
    funnel_step: str | None
    step_order: int | None
    deals_count: int


def read_open_values(
    engine: Engine, project: Project, pipeline_id: int | None
) -> Sequence[OpenValue]:
    """Return the open deals in a stage, each currency by itself; of all pipelines, or of one."""
    schema = project.schema(ANALYTICS)
    query = sql.SQL(
        """
        select currency, count(*), count(value), sum(value) from {}
        where status = 'open' and current_kpi_name is not null and {}
        group by currency
        """
    ).format(sql.Identifier(schema, "deals"), _are_in(project, pipeline_id))
    with engine.reading(schema, "deals"):
        return [OpenValue(*map(plain, row)) for row in engine.query(query)]


def read_stalled(
    engine: Engine, project: Project, pipeline_id: int | None
) -> tuple[list[StalledStep], list[StalledDeal]]:
    """Return stalled deals per step, and those that have not moved for longest.

    Both of one look at the view, which is not cheap where there are many open deals.
    """
    schema = project.schema(ANALYTICS)
    query = sql.SQL(
        """
        select
            deal_id, owner_id, kpi_name, funnel_step, step_order, last_moved_at,
            days_since_last_movement, stalled_after_days, limit_of,
            step_deals_count, overall_rank <= {listed} as is_listed, step_rank = 1 as is_first
        from (
            select
                *,
                count(*) over (partition by step_order, kpi_name) as step_deals_count,
                row_number() over (order by days_since_last_movement desc, deal_id)
                    as overall_rank,
                row_number() over (partition by step_order, kpi_name order by deal_id) as step_rank
            from {deals}
            where {are_in_pipeline}
        ) as stalled
        where overall_rank <= {listed} or step_rank = 1
        order by days_since_last_movement desc, deal_id
        """
    ).format(
        listed=sql.Literal(STALLED_LISTED),
        deals=sql.Identifier(schema, StalledDeal.model),
        are_in_pipeline=_are_in(project, pipeline_id),
    )
    steps, longest = [], []
    with engine.reading(schema, StalledDeal.model):
        rows = engine.query(query)
    for *values, step_deals, is_listed, is_first in rows:
        deal = StalledDeal(*map(plain, values))
        if is_listed:
            longest.append(deal)
        if is_first:
            steps.append(StalledStep(deal.kpi_name, deal.funnel_step, deal.step_order, step_deals))
    in_order = sorted(steps, key=lambda step: (step.step_order is None, step.step_order or 0))
    return in_order, longest


def _are_in(project: Project, pipeline_id: int | None) -> sql.Composable:
    """Return the condition that open deals are in a pipeline: that of the stage they are in."""
    if pipeline_id is None:
        return sql.SQL("true")
    return sql.SQL(
        "deal_id in (select deal_id from {} where exited_at is null and pipeline_id = {})"
    ).format(
        sql.Identifier(project.schema(ANALYTICS), "deal_stage_visits"), sql.Literal(pipeline_id)
    )
