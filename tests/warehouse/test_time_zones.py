"""Days, months and their borders in all time zones, on the oldest and the newest server."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from servers import TcpPostgres, find_all_binaries

from macros import Macros

# Each of these macros, evaluated for one zone and month, gets columns in the place of both.
ZONE, MONTH = "'Europe/Berlin'", "cast('2024-05-01' as timestamp)"
MACROS = "{{ tojson([local_date('moment'), postgres__day_start('2024-05-01', 'Europe/Berlin')]) }}"
MOMENTS = """
with borders as materialized (
    select zone, month, {border} as border
    from (
        -- Debian lists each zone twice.
        select name as zone from pg_timezone_names where name not like 'posix/%'
    ) as zones
    cross join generate_series(
        timestamp '2012-01-01', timestamp '2036-01-01', interval '1 month'
    ) as months (month)
),

moments as (
    select zone, month, border, border + interval '30 minutes' * half_hours as moment
    from borders
    cross join generate_series(-6, 6) as numbers (half_hours)
    union all
    select zone, month, border, border - interval '1 microsecond' from borders
)
"""
DAY_STARTS = """
{%- set starts = [] -%}
{%- for day in var('days') -%}
    {%- do starts.append(day_start(modules.datetime.date.fromisoformat(day))) -%}
{%- endfor -%}
{{ tojson(starts) }}
"""


@pytest.fixture(scope="module", params=find_all_binaries())
def server(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection to a server of each version, which has a table of time zones of its own."""
    with TcpPostgres(find_all_binaries()[request.param]) as running:
        url = f"postgresql://{running.user}:{running.password}@{running.host}:{running.port}/"
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            yield connection


@pytest.mark.long
def test_every_event_is_in_the_month_of_its_local_day(macros: Macros, server: Connection) -> None:
    texts = macros.evaluate(MACROS, json.dumps({"timezone": "Europe/Berlin"}))
    local_date, border = (text.replace(ZONE, "zone").replace(MONTH, "month") for text in texts)
    assert "'Europe" not in local_date + border
    assert "'2024" not in border
    is_wrong = f"({local_date} >= cast(month as date)) <> (moment >= border)"
    with server.cursor() as cursor:
        cursor.execute(
            f"{MOMENTS.format(border=border)} select count(distinct zone), count(*),"
            f" array_agg(zone || ' ' || moment) filter (where {is_wrong}) from moments"
        )
        zones, tried, wrong = cursor.fetchone() or (0, 0, None)
    assert zones > 400
    assert tried == zones * (24 * 12 + 1) * 14
    assert wrong is None


def first_moment(day: date, zone: str) -> datetime:
    """The first UTC moment when a clock in the zone shows this day or, if it has none, a later."""
    moment = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) - timedelta(hours=30)
    while moment.astimezone(ZoneInfo(zone)).date() < day:
        moment += timedelta(minutes=1)
    return moment


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("UTC", ["2024-02-29", "2024-03-31", "2025-01-01"]),
        # Clocks change at 02:00 or 03:00.
        ("Europe/Berlin", ["2024-03-30", "2024-03-31", "2024-04-01", "2024-10-27", "2024-10-28"]),
        ("America/New_York", ["2024-03-10", "2024-03-11", "2024-11-03", "2024-11-04"]),
        # Midnight does not come: clocks go from 00:00 to 01:00.
        ("America/Havana", ["2024-03-09", "2024-03-10", "2024-03-11"]),
        ("Asia/Beirut", ["2024-03-30", "2024-03-31", "2024-04-01"]),
        ("America/Santiago", ["2024-09-07", "2024-09-08", "2024-09-09"]),
        ("Africa/Cairo", ["2024-04-25", "2024-04-26", "2024-04-27"]),
        ("America/Sao_Paulo", ["2018-11-03", "2018-11-04", "2018-11-05"]),
        # Midnight comes twice: clocks go from 01:00 back to 00:00.
        ("America/Havana", ["2024-11-02", "2024-11-03", "2024-11-04"]),
        ("Atlantic/Azores", ["2024-10-26", "2024-10-27", "2024-10-28", "2024-03-31"]),
        # At midnight clocks go back to 23:00 of the day before.
        ("Asia/Beirut", ["2024-10-26", "2024-10-27", "2024-10-28"]),
        ("America/Santiago", ["2024-04-06", "2024-04-07", "2024-04-08"]),
        ("America/Sao_Paulo", ["2019-02-16", "2019-02-17", "2019-02-18"]),
        # Odd offsets; half an hour of summer time; no summer time.
        ("Asia/Kathmandu", ["2024-05-01"]),
        ("Australia/Lord_Howe", ["2024-04-07", "2024-10-06"]),
        ("Pacific/Chatham", ["2024-04-07", "2024-09-29"]),
        ("Pacific/Kiritimati", ["2024-05-01"]),
        ("Pacific/Pago_Pago", ["2024-05-01"]),
        # A day that the zone skipped begins with the next one.
        ("Pacific/Apia", ["2011-12-29", "2011-12-30", "2011-12-31"]),
        # The limits of the window.
        ("Europe/Berlin", ["1970-01-01", "2037-07-01"]),
    ],
)
def test_a_day_starts_with_its_first_moment(macros: Macros, zone: str, days: list[str]) -> None:
    starts = macros.evaluate(DAY_STARTS, json.dumps({"timezone": zone, "days": days}))
    [found] = macros.execute(f"select {', '.join(starts)}")
    expected = [first_moment(date.fromisoformat(day), zone) for day in days]
    assert list(found) == [moment.replace(tzinfo=None) for moment in expected]


def test_a_border_is_a_constant_to_the_planner(macros: Macros) -> None:
    # Else it could not tell how many rows a month has, and would read them in another way.
    window = {"source_dt": "2026-11-20", "months": 1, "timezone": "America/Havana"}
    template = "{{ config(materialized='incremental') }}{{ tojson(in_window('due_to')) }}"
    condition = macros.evaluate(template, json.dumps(window))
    macros.execute(
        "create temporary table events as select timestamp '2012-01-01' + interval '1 hour' * hour"
        " as due_to from generate_series(1, 200000) as hours (hour);"
        " create index on events (due_to); analyze events"
    )
    plan = "\n".join(
        line for (line,) in macros.execute(f"explain select due_to from events where {condition}")
    )
    macros.execute("drop table events")
    assert "Index" in plan
    assert "due_to >= '2026-10-01 04:00:00'" in plan
    assert "due_to < '2026-11-21 05:00:00'" in plan
