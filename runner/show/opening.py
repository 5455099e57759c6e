"""The month that is shown where nobody names one."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from dateutil.relativedelta import relativedelta
from psycopg2 import sql

from runner.errors import FunnelError
from runner.project import ANALYTICS, Project
from runner.show.rows import FunnelStep
from runner.text.words import day_of_year, listed, month_name
from runner.warehouse.connection import DAILY_TABLES
from runner.warehouse.engine import Engine

STRAY = 0.02
"""Up to this share of the busiest month's deals, a month has stray events and no data."""


@dataclass(frozen=True)
class Opening:
    """A month to show, and what is built.

    Args:
        month: The latest complete month with data; where there is none, the latest with data, and
            without any the latest built. A few stray events are no data.
        latest: The latest month built.
        last_day: The last day built; None where this role may not look at days.
        reason: Why it is this month; empty where it is the latest built, and complete.
    """

    month: date
    latest: date
    last_day: date | None
    reason: str


def part_through(month: date, last_day: date | None) -> date | None:
    """Return the last day counted of a month that was not over; None if it was, or is not built."""
    is_part = last_day and month <= last_day < month + relativedelta(months=1, days=-1)
    return last_day if is_part else None


def choose_month(deals: Mapping[date, int], last_day: date | None) -> Opening:
    """Return the month to show, of those built with the deals that entered any step."""
    latest = max(deals)
    part = part_through(latest, last_day)
    with_data = [month for month in deals if deals[month] > STRAY * max(deals.values())]
    complete = [month for month in with_data if not (part and month == latest)]
    if not complete:
        reason = "No complete month has data." if with_data else "No month has data."
        return Opening(max(with_data, default=latest), latest, last_day, reason)
    month = max(complete)
    reasons = []
    without = sorted(at for at in deals if at > month and at not in with_data)
    if empty := [at for at in without if not (part and at == latest and deals[at])]:
        months = " to ".join(map(month_name, sorted({empty[0], empty[-1]})))
        few = "hardly any" if any(deals[at] for at in empty) else "no"
        reasons.append(f"{few} deal entered a step in {months}")
    if part and deals[latest]:
        reasons.append(f"{month_name(latest)} is counted to {day_of_year(part)} only")
    if not reasons:
        return Opening(month, latest, last_day, "")
    said = f"{month_name(month)} is the latest complete month with data: {listed(reasons)}."
    return Opening(month, latest, last_day, said)


def read_opening(engine: Engine, project: Project) -> Opening:
    """Return the month to show where nobody names one.

    Raises:
        FunnelError: No month is built, or monthly_stats cannot be read.
    """
    schema, table = project.schema(FunnelStep.schema), FunnelStep.model
    query = sql.SQL(
        "select cast(month as date), cast(sum(deals_count) as bigint) from {} group by 1"
    ).format(sql.Identifier(schema, table))
    with engine.reading(schema, table):
        deals = dict(engine.query(query))
    if not deals:
        raise FunnelError("no month is built", hint="Type `funnel run` or `funnel demo`.")
    return choose_month(deals, _read_last_day(engine, project))


def _read_last_day(engine: Engine, project: Project) -> date | None:
    days: list[date] = []
    for table in DAILY_TABLES:
        schema = project.schema(ANALYTICS)
        query = sql.SQL("select max(date) from {}").format(sql.Identifier(schema, table))
        # Who may read the result only sees no days.
        with suppress(FunnelError), engine.reading(schema, table):
            days += [day for (day,) in engine.query(query) if day]
    return max(days, default=None)
