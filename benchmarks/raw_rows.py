"""Raw rows by the million, made by the server from a formula: the same ones each time."""

from dataclasses import dataclass
from datetime import date

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
        days = (LAST_DAY - self.first_day).days + 1
        statements = _FILL.format(
            schema=schema,
            numbers=_NUMBERS.format(rows=self.rows),
            begin=f"timestamp '{self.first_day}'",
            step=f"(interval '{days} days' / {self.rows})",
            delivery=DELIVERY,
            spread=max(5, 2 * self.rows // self.months),
        )
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements.split(";"):
                cursor.execute(statement)
