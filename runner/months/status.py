"""Where the warehouse stands: last run, days built, gaps, drift, and who is at work."""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg2 import sql

from runner.months.backfill import Backfill, find_unfinished
from runner.months.ledger import RecordedRun, read_verified_months
from runner.months.plan import have_changed
from runner.months.state import read_state
from runner.months.window import months_between
from runner.project import META, Project
from runner.text.text_table import TextTable
from runner.text.words import minute
from runner.warehouse.completeness import Completeness, read_completeness
from runner.warehouse.engine import Engine
from runner.warehouse.opening import open_warehouse
from runner.warehouse.raw_contract import EVENT_TIMES


@dataclass(frozen=True)
class Status:
    """The state of a target.

    Args:
        last_run: The run that began last.
        last_good_run: The last one that succeeded and built both daily tables.
        first_day: First day built.
        last_day: Last day built.
        gaps: Months that lack days, as 'YYYY-MM'.
        drifted_months: Months that were wrong when last verified, and not processed since.
        verified_at: When the month was verified whose verification is the oldest; None where any
            month built was never verified.
        outdated_months: Months counted under another definition.
        outdated_by: What has changed since these months were counted, or deals computed.
        unfinished_backfill: What `funnel backfill --resume` would go on with.
        last_loaded_at: When the newest row of each raw table of events was loaded.
        history: For which time `funnel extract` has brought the history of all deals.
        running: Who holds the lock and since when, or nothing.
    """

    last_run: RecordedRun | None
    last_good_run: RecordedRun | None
    first_day: date | None
    last_day: date | None
    gaps: tuple[str, ...]
    drifted_months: tuple[str, ...]
    verified_at: datetime | None
    outdated_months: tuple[str, ...]
    outdated_by: tuple[str, ...]
    unfinished_backfill: Backfill | None
    last_loaded_at: dict[str, datetime | None]
    history: Completeness | None
    running: str

    def document(self) -> dict[str, Any]:
        """Return the status as `--json` prints it."""
        return asdict(self)

    def draw(self) -> str:
        """Return the status, a line for each thing there is to say."""
        left = self.unfinished_backfill
        lines = {
            "last good run": _describe_run(self.last_good_run),
            "last run": _describe_run(self.last_run) if self.last_run != self.last_good_run else "",
            "running now": self.running or "nothing",
            "built": f"{self.first_day} to {self.last_day}" if self.first_day else "nothing yet",
            "gaps": ", ".join(self.gaps) or ("none" if self.first_day else ""),
            "drift": self._describe_drift() if self.first_day else "",
            "old definition": self._describe_outdated(),
            "to resume": f"{left.command} {left.next_day} to {left.last}" if left else "",
        }
        if self.history:
            lines["history"] = f"complete {self.history.describe()}"
        for table, moment in self.last_loaded_at.items():
            lines[f"{table} loaded"] = minute(moment)
        rows = [line for line in lines.items() if line[1]]
        return TextTable((), rows, names=1, has_note=True).draw()

    def _describe_outdated(self) -> str:
        if not self.outdated_by:
            return ""
        changed = have_changed(self.outdated_by)
        if not self.outdated_months:
            return f"deals: {changed}; funnel run computes them again"
        begin = f"funnel rebuild --from {self.outdated_months[0]}-01"
        return f"{', '.join(self.outdated_months)}: {changed}; count them again: {begin}"

    def _describe_drift(self) -> str:
        if self.drifted_months:
            return f"{', '.join(self.drifted_months)}: repair with funnel verify --repair"
        if self.verified_at:
            return f"none, verified {minute(self.verified_at)}"
        return "not known: funnel verify"


def read_status(project: Project) -> Status:
    """Return the state of the project's target. Writes nothing.

    Raises:
        FunnelError: The warehouse cannot be read.
    """
    meta = project.schema(META)
    with open_warehouse(project) as engine:
        state = read_state(engine, project)
        first_day, last_day = state.first_day, state.last_day
        built = months_between(first_day, last_day) if first_day and last_day else ()
        verified = read_verified_months(engine, meta)
        moments = [verified[month].verified_at for month in built if month in verified]
        unfinished = find_unfinished(engine, meta)
        return Status(
            last_run=state.ledger.last_run,
            last_good_run=state.ledger.last_good_run,
            first_day=first_day,
            last_day=last_day,
            gaps=state.find_gaps(last_day) if last_day else (),
            drifted_months=tuple(
                month for month in built if month in verified and verified[month].has_drifted
            ),
            verified_at=min(moments) if moments and len(moments) == len(built) else None,
            outdated_months=tuple(state.outdated_months),
            outdated_by=state.changes,
            unfinished_backfill=unfinished[-1][1] if unfinished else None,
            last_loaded_at=read_load_times(engine, project),
            history=read_completeness(engine, project),
            running=engine.describe_writer(project),
        )


def _describe_run(run: RecordedRun | None) -> str:
    if run is None:
        return "none"
    months = f"{run.months[0]} to {run.months[-1]}" if run.months else "deals"
    return f"{run.command}, {run.outcome}, {months}, began {minute(run.started_at)}"


def read_load_times(engine: Engine, project: Project) -> dict[str, datetime | None]:
    """Return when the newest row of each raw table of events was loaded."""
    found = {}
    for table in EVENT_TIMES:
        query = sql.SQL("select max({}) from {}").format(
            sql.Identifier(project.loaded_at_field), sql.Identifier(project.raw_schema, table)
        )
        [(moment,)] = engine.query(query)
        if moment and moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(project.loaded_at_timezone or "UTC"))
        found[table] = moment
    return found
