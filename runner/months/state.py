"""What planning knows of a warehouse: read once, in one snapshot."""

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import date

from psycopg2 import sql

from runner.months.late_rows import LateRows, Watermark, find_late_rows
from runner.months.ledger import Ledger, find_changes, has_ledger, read_definition, read_ledger
from runner.months.window import days_of, months_between
from runner.project import ANALYTICS, META, Project
from runner.warehouse.connection import DAILY_TABLES
from runner.warehouse.engine import Engine
from runner.warehouse.raw_contract import EVENT_TIMES, check_raw_tables


@dataclass(frozen=True)
class State:
    """A warehouse as one look has found it. Months are 'YYYY-MM'.

    Args:
        built: The days that a daily table holds, by its name; a table that is not there is absent.
        late_rows: Rows loaded since the last run that counted all that was loaded, by the month of
            their event, whichever that is.
        watermark: The moment of this look: up to then all is counted once the late rows are.
        definition: What defines stored rows, as it is now.
        ledger: What the runs so far have left on record.
        estimated_rows: Rows of each raw table of events by the server's statistics; -1 where it
            has never gathered any, 0 for a view.
    """

    built: Mapping[str, Set[date]] = field(default_factory=dict)
    late_rows: Mapping[str, LateRows] = field(default_factory=dict)
    watermark: Watermark | None = None
    definition: str = ""
    ledger: Ledger = Ledger()
    estimated_rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def first_day(self) -> date | None:
        """The first day that either daily table holds."""
        return min((min(days) for days in self.built.values() if days), default=None)

    @property
    def last_day(self) -> date | None:
        """The last day that either daily table holds."""
        return max((max(days) for days in self.built.values() if days), default=None)

    @property
    def outdated_months(self) -> dict[str, set[str]]:
        """The months counted under another definition, oldest first, each with what has changed."""
        found = {}
        for month, definitions in sorted(self.ledger.definitions.items()):
            # Which step wins says nothing of how many deals reach it.
            changes = self._find_changes(definitions) - {"won_step"}
            if changes:
                found[month] = changes
        return found

    @property
    def changes(self) -> tuple[str, ...]:
        """What has changed since the months built were counted, or the deals computed."""
        of_months = {name for names in self.outdated_months.values() for name in names}
        return tuple(sorted(of_months.union(self.changes_for_deals)))

    @property
    def changes_for_deals(self) -> tuple[str, ...]:
        """What has changed since the deals were computed."""
        return tuple(sorted(self._find_changes(self.ledger.deals_definitions)))

    def _find_changes(self, definitions: Collection[str]) -> set[str]:
        return {name for one in definitions for name in find_changes(one, self.definition)}

    def built_through(self, month: str) -> date | None:
        """Return the last day of a month that either daily table holds."""
        due = days_of(month)
        return max((day for days in self.built.values() for day in due & days), default=None)

    def find_gaps(self, day: date) -> tuple[str, ...]:
        """Return the months before that of a day that lack days in either daily table.

        History begins with the first month built: earlier ones lack nothing.
        """
        return tuple(
            month
            for month in months_between(self.first_day or day, day)[:-1]
            if not all(days_of(month) <= self.built.get(table, set()) for table in DAILY_TABLES)
        )

    def counted(self, months: Collection[str], last_day: date) -> "State":
        """Return the state once months are counted through a day, without another look."""
        hashes = {**self.ledger.definitions, **dict.fromkeys(months, (self.definition,))}
        days = {day for month in months for day in days_of(month) if day <= last_day}
        return replace(
            self,
            built={table: days | self.built.get(table, set()) for table in DAILY_TABLES},
            late_rows={
                month: rows for month, rows in self.late_rows.items() if month not in months
            },
            ledger=replace(self.ledger, definitions=hashes),
        )


def read_state(engine: Engine, project: Project) -> State:
    """Look at the project's target. Writes nothing, but takes over an old ledger.

    Raises:
        FunnelError: A raw table is missing, or something cannot be read.
    """
    analytics, meta = project.schema(ANALYTICS), project.schema(META)
    check_raw_tables(engine, project)
    is_recorded = has_ledger(engine, meta)
    # Before the snapshot: what that does not see, the next look will find.
    now = engine.now()
    with engine.snapshot(project.loaded_at_timezone or "UTC"):
        with engine.reading(analytics, DAILY_TABLES[0]):
            daily = engine.find_sizes(analytics, DAILY_TABLES)
        built = _read_days(engine, analytics, daily)
        ledger = read_ledger(engine, meta) if is_recorded else Ledger()
        late_rows, watermark = find_late_rows(engine, project, ledger.watermark, now)
        return State(
            built=built,
            late_rows=late_rows,
            watermark=watermark,
            definition=read_definition(project),
            ledger=ledger,
            estimated_rows=engine.find_sizes(project.raw_schema, EVENT_TIMES),
        )


def _read_days(engine: Engine, schema: str, tables: Collection[str]) -> dict[str, set[date]]:
    """Return the days that each table holds."""
    days = {}
    for table in tables:
        query = sql.SQL("select distinct date from {}").format(sql.Identifier(schema, table))
        with engine.reading(schema, table):
            days[table] = {day for (day,) in engine.query(query)}
    return days
