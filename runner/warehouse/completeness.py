"""How far the history goes that `funnel extract` has brought."""

from dataclasses import dataclass
from datetime import datetime, timezone

from psycopg2 import sql

from runner.project import LANDING, Project
from runner.text.words import minute, plural
from runner.warehouse.engine import Engine


@dataclass(frozen=True)
class Completeness:
    """For which time the history of all deals is known.

    Args:
        until: Through when it is.
        begin: From when on it is again, where something is missing before.
        unread_deals: How many deals are left out, which could not be read.
    """

    until: datetime
    begin: datetime | None
    unread_deals: int = 0

    def describe(self) -> str:
        """Return that as the end of a sentence that begins with 'history complete'."""
        unread = plural(self.unread_deals, "deal")
        without = f", without {unread} that could not be read" if self.unread_deals else ""
        return self._describe_time() + without

    def _describe_time(self) -> str:
        until = minute(self.until.astimezone(timezone.utc))
        if self.begin is None:
            return f"through {until}"
        begin = minute(self.begin.astimezone(timezone.utc))
        if self.until > self.begin:
            return f"from {begin} through {until}"
        return f"through {until}, and from {begin} on"


def read_completeness(engine: Engine, project: Project) -> Completeness | None:
    """Return what the last extract has written down; nothing where there is none to be read."""
    schema = project.schema(LANDING)
    name = sql.Identifier(schema, "extracts")
    with engine.reading(schema, "extracts"):
        if not engine.may_read(schema, "extracts"):
            return None
        rows = engine.query(
            sql.SQL("""
                select
                    complete_until,
                    cast(to_jsonb(extracts) ->> 'complete_from' as timestamptz),
                    coalesce(cast(to_jsonb(extracts) ->> 'unread_deals' as integer), 0)
                from {} as extracts
                where raw_schema = %s and complete_until is not null and finished_at is not null
                order by started_at desc limit 1
            """).format(name),  # as JSON: an earlier version has written neither
            (project.raw_schema,),
        )
    return Completeness(*rows[0]) if rows else None
