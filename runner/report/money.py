"""What the deals of a month brought, and what the open ones are worth, each currency by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.project import ANALYTICS, Project
from runner.show.rows import plain
from runner.warehouse.connection import reading


@dataclass(frozen=True)
class OpenValue:
    """What the open deals of one currency are worth: those of them with a value."""

    currency: str | None
    valued_deals_count: int
    open_value: float


def read_open_values(connection: Connection, project: Project) -> Sequence[OpenValue]:
    """Return what the open deals in a stage are worth, as of the reference date."""
    schema = project.schema(ANALYTICS)
    query = sql.SQL(
        """
        select currency, count(value), sum(value) from {}
        where status = 'open' and current_kpi_name is not null
        group by currency having count(value) > 0
        """
    ).format(sql.Identifier(schema, "deals"))
    with reading(schema, "deals"), connection.cursor() as cursor:
        cursor.execute(query)
        return [OpenValue(*map(plain, row)) for row in cursor.fetchall()]
