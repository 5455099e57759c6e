"""Raw rows by the million, made by the server from a formula: the same ones each time."""

from dataclasses import dataclass
from datetime import date, timedelta

from dateutil.relativedelta import relativedelta
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

LAST_DAY = date(2024, 12, 31)
"""The reference date of all measurements."""

DELIVERY = "timestamp '2025-01-01 03:00'"
"""When all rows were loaded, so that no row is late."""

# In order of time, as rows arrive. About five events a deal and table, spread over two months, so
# that deals come back to a step within a month.
_FILL = """
    truncate {schema}.activity, {schema}.deal_changes;
    insert into {schema}.activity
        (activity_id, type, assigned_to_user, deal_id, done, due_to, _loaded_at)
    select
        n,
        (array['meeting', 'sc_2', 'follow_up', 'after_close_call'])[1 + (chance >> 8) % 4],
        n % 50,
        (n + chance % {spread}) / 5,
        n % 20 > 0,
        {begin} + n * {step},
        {delivery} at time zone 'UTC'
    from {numbers};
    insert into {schema}.deal_changes
        (deal_id, change_time, changed_field_key, new_value, _loaded_at)
    select
        (n + chance % {spread}) / 5,
        {begin} + n * {step},
        (array['stage_id', 'stage_id', 'stage_id', 'user_id', 'add_time', 'lost_reason'])
            [1 + (chance >> 8) % 6],
        case (chance >> 8) % 6
            when 3 then cast(n % 50 as text)
            when 4 then cast({begin} + n * {step} as text)
            when 5 then cast(1 + n % 7 as text)
            else cast(1 + (chance >> 12) % 11 as text)
        end,
        {delivery} at time zone 'UTC'
    from {numbers};
    vacuum analyze {schema}.activity;
    vacuum analyze {schema}.deal_changes
"""
_NUMBERS = """(
    select n, hashint8(n) & 2147483647 as chance
    from generate_series(cast(0 as bigint), {rows} - 1) as n
) as numbers"""


@dataclass(frozen=True)
class History:
    """How much there is in each of the two tables of events.

    Args:
        rows: Rows of each table, spread evenly over the months.
        months: Whole months, the last of them that of LAST_DAY.
    """

    rows: int
    months: int

    @property
    def first_day(self) -> date:
        """The first day with an event."""
        return LAST_DAY.replace(day=1) - relativedelta(months=self.months - 1)

    def fill(self, connection: Connection, schema: str = "pipedrive_raw") -> None:
        """Replace the events of a loaded raw schema; types, stages and fields stay."""
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in self._statements(schema).split(";"):
                cursor.execute(statement)

    def _statements(self, schema: str) -> str:
        days = (LAST_DAY - self.first_day).days + 1
        return _FILL.format(
            schema=schema,
            numbers=_NUMBERS.format(rows=self.rows),
            begin=f"timestamp '{self.first_day}'",
            step=f"(interval '{days} days' / {self.rows})",
            delivery=DELIVERY,
            spread=max(5, 2 * self.rows // self.months),
        )


# Deals in the order of their creation. Each has its own pace and gets as far as chance will; most
# that are not won are lost, one in twenty of these comes back, and half of those are lost again.
# Every other deal has its status recorded, four of five a value, three of ten another one later.
_LIVES = """
    truncate {schema}.activity, {schema}.deal_changes;
    create temporary table lives as
    select
        *,
        depth < 7 and chance % 100 < 88 as is_lost,
        created_at + depth * pace as settled_at
    from (
        select
            deal_id,
            created_at,
            chance >> 5 as chance,
            (1 + chance % 17) * interval '1 day' as pace,
            9 - width_bucket(luck, array[80, 150, 200, 250, 350, 450, 600, 780]) as depth
        from (
            select
                n as deal_id,
                {begin} + n * (interval '{days} days' / {deals}) as created_at,
                hashint8(n) & 2147483647 as chance,
                (hashint8(n + 1000000000) & 2147483647) % 1000 as luck
            from generate_series(cast(0 as bigint), {deals} - 1) as n
        ) as created
    ) as paced;
    insert into {schema}.deal_changes
        (deal_id, change_time, changed_field_key, new_value, _loaded_at)
    select deal_id, at, field, new_value, {delivery} at time zone 'UTC'
    from (
        select deal_id, created_at as at, 'add_time' as field, cast(created_at as text) as new_value
        from lives
        union all
        select deal_id, created_at, 'user_id', cast(1 + chance % 50 as text) from lives
        union all
        select
            deal_id,
            created_at + change * pace,
            'value',
            cast(100 * (chance % 700 + change) as text)
        from lives, (values (0, 8), (2, 3)) as changes (change, tenths)
        where chance % 10 < tenths
        union all
        select
            deal_id,
            created_at + interval '1 minute' + (stage - 1)
            * (pace + (hashint8(deal_id * 16 + stage) & 65535) * interval '3 seconds'),
            'stage_id',
            cast(stage as text)
        from lives, generate_series(1, depth) as stage
        union all
        select deal_id, settled_at + (10 + chance % 30) * interval '1 day', field, new_value
        from lives, lateral (
            values ('lost_reason', cast(1 + chance % 7 as text), 1), ('status', 'lost', 2)
        ) as ends (field, new_value, every)
        where is_lost and deal_id % every = 0
        union all
        select deal_id, settled_at + interval '20 days', 'status', 'won'
        from lives
        where depth >= 7 and deal_id % 2 = 0
        union all
        select deal_id, settled_at + (60 + chance % 90) * interval '1 day', field, new_value
        from lives, lateral (
            values ('stage_id', cast(depth as text), 1), ('status', 'open', 2)
        ) as returns (field, new_value, every)
        where is_lost and chance % 20 = 3 and deal_id % every = 0
        union all
        select deal_id, settled_at + (170 + chance % 30) * interval '1 day', field, new_value
        from lives, lateral (
            values ('lost_reason', cast(1 + chance % 6 as text), 1), ('status', 'lost', 2)
        ) as ends (field, new_value, every)
        where is_lost and chance % 40 = 3 and deal_id % every = 0
    ) as changes
    where at < {end}
    order by at;
    insert into {schema}.activity
        (activity_id, type, assigned_to_user, deal_id, done, due_to, _loaded_at)
    select
        row_number() over (order by at), type, 1 + chance % 50, deal_id, chance % 20 > 0, at,
        {delivery} at time zone 'UTC'
    from (
        select *, created_at + call * pace + interval '1 hour' as at
        from lives, (
            values ('meeting', 1, 2, 8), ('follow_up', 2, 1, 3), ('sc_2', 3, 4, 8)
        ) as calls (type, call, min_depth, tenths)
        where depth >= min_depth and chance % 10 < tenths
    ) as calls
    where at < {end}
    order by at;
    drop table lives;
    vacuum analyze {schema}.activity;
    vacuum analyze {schema}.deal_changes
"""


@dataclass(frozen=True)
class DealHistory(History):
    """Deals with whole lives: about eight changes each, where History is about rows.

    Args:
        rows: How many deals.
        months: Whole months, the last of them that of LAST_DAY.
    """

    def _statements(self, schema: str) -> str:
        return _LIVES.format(
            schema=schema,
            deals=self.rows,
            begin=f"timestamp '{self.first_day} 08:00'",
            end=f"timestamp '{LAST_DAY + timedelta(days=1)}'",
            days=(LAST_DAY - self.first_day).days + 1,
            delivery=DELIVERY,
        )
