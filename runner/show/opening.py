"""The month that is shown where nobody names one."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta

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
        counted_through: The same day, unless the data end before.
        reason: Why it is this month; empty where it is the latest built, and complete.
    """

    month: date
    latest: date
    last_day: date | None
    counted_through: date | None
    reason: str


def counted_through(last_day: date, newest_events: Iterable[date | None], quiet_days: int) -> date:
    """Return the last day built; where the data end before, in the midst of a month, that day.

    Args:
        last_day: The last day built.
        newest_events: The day of the newest event of each kind, if there is one.
        quiet_days: How many days without any event are nothing unusual.
    """
    newest = max(filter(None, newest_events), default=last_day)
    end = min(newest + relativedelta(day=31), last_day)
    return newest if end - newest > timedelta(days=quiet_days) else last_day


def part_through(month: date, last_day: date | None) -> date | None:
    """Return the last day counted of a month that was not over; None if it was, or is not built."""
    is_part = last_day and month <= last_day < month + relativedelta(months=1, days=-1)
    return last_day if is_part else None


def choose_month(
    deals: Mapping[date, int], last_day: date | None, last_counted: date | None
) -> Opening:
    """Return the month to show, of those built with the deals that entered any step."""
    latest = max(deals)
    part_of = {month: part_through(month, last_counted) for month in deals}
    with_data = [month for month in deals if deals[month] > STRAY * max(deals.values())]
    complete = [month for month in with_data if not part_of[month]]
    if not complete:
        reason = "No complete month has data." if with_data else "No month has data."
        return Opening(max(with_data, default=latest), latest, last_day, last_counted, reason)
    month = max(complete)
    reasons = []
    without = sorted(at for at in deals if at > month and at not in with_data)
    if empty := [at for at in without if not (part_of[at] and deals[at])]:
        months = " to ".join(map(month_name, sorted({empty[0], empty[-1]})))
        few = "hardly any" if any(deals[at] for at in empty) else "no"
        reasons.append(f"{few} deal entered a step in {months}")
    reasons += [
        f"{month_name(at)} is counted to {day_of_year(part)} only"
        for at, part in part_of.items()
        if part and at > month and deals[at]
    ]
    said = reasons and (
        f"{month_name(month)} is the latest complete month with data: {listed(reasons)}."
    )
    return Opening(month, latest, last_day, last_counted, said or "")


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
    built: Mapping[str, date | None] = {}
    newest_events: Mapping[str, date | None] = {}
    with suppress(FunnelError):  # who may read the result only sees no days
        built = _read_last_days(engine, project, fewest=0)
        newest_events = read_newest_events(engine, project)
    last_day = max(filter(None, built.values()), default=None)
    quiet_days = int(project.var("quiet_days"))
    last_counted = last_day and counted_through(last_day, newest_events.values(), quiet_days)
    return choose_month(deals, last_day, last_counted)


def read_newest_events(engine: Engine, project: Project) -> dict[str, date | None]:
    """Return the newest day on which a deal was counted, by kind of event."""
    return _read_last_days(engine, project, fewest=1)


def _read_last_days(engine: Engine, project: Project, *, fewest: int) -> dict[str, date | None]:
    """Return the last day on which so many deals were counted, by kind of event."""
    schema = project.schema(ANALYTICS)
    found = {}
    for table, events in zip(DAILY_TABLES, ("activity", "deal change"), strict=True):
        query = sql.SQL("select max(date) from {} where deals_count >= %s").format(
            sql.Identifier(schema, table)
        )
        with engine.reading(schema, table):
            [(found[events],)] = engine.query(query, (fewest,))
    return found
