"""The life of one deal: what happened to it, what that counts in, and where it was."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from psycopg2 import sql

from runner.errors import FunnelError
from runner.masking import mask_emails
from runner.project import ANALYTICS, STAGING, Project
from runner.show.rows import plain
from runner.text.text_table import TextTable
from runner.text.words import DASH, long_date, rounded, tenths
from runner.warehouse.engine import Engine

_FIELDS = ("add_time", "user_id", "stage_id", "lost_reason")
"""The fields that KPIs count."""

_EVENTS = """
    select change_time as happened_at, date as day, field, new_value, kpi_name, funnel_step
    from {staging}.deal_staging where deal_id = %(deal)s
    union all
    select
        due_to, date, coalesce(activity_type, ''),
        case when is_done then 'done' else 'not done' end, kpi_name, funnel_step
    from {staging}.activity_staging where deal_id = %(deal)s
    order by 1 nulls last, 3, 4
"""

_VISITS = """
    select kpi_name, funnel_step, entered_at, exited_at, days_in_stage, direction, lost_reason
    from {analytics}.deal_stage_visits where deal_id = %(deal)s order by visit_number
"""

_STATE = """
    select status, owner_id, current_kpi_name, value
    from {analytics}.deal_states where deal_id = %(deal)s
"""


@dataclass(frozen=True)
class DealEvent:
    """A raw row of a deal: a change of a field, or an activity.

    Args:
        happened_at: When, in UTC; None where the row does not say.
        day: The day in the reporting time zone.
        field: The field that changed, or the type of the activity.
        new_value: What it changed to; of an activity, whether it was done.
        kpi_name: The KPI that it counts in, if it does.
        funnel_step: The step of that KPI, if it is in the funnel.
        why_not: Why it counts in nothing; empty where it does.
    """

    happened_at: datetime | None
    day: date | None
    field: str
    new_value: str
    kpi_name: str | None
    funnel_step: str | None
    why_not: str = ""


@dataclass(frozen=True)
class DealVisit:
    """A stay of a deal in a stage, as `deal_stage_visits` has it."""

    kpi_name: str
    funnel_step: str | None
    entered_at: datetime
    exited_at: datetime | None
    days_in_stage: float | None
    direction: str
    lost_reason: str | None


@dataclass(frozen=True)
class DealLife:
    """All that is known of one deal.

    Args:
        deal_id: The deal.
        known_through: The last day built; later events do not count yet.
        events: What happened, oldest first.
        visits: Where it was, oldest first.
        state: Status, owner, stage and value; empty where nothing but activities is known.
    """

    deal_id: int
    known_through: date | None
    events: Sequence[DealEvent]
    visits: Sequence[DealVisit]
    state: Sequence[Any]

    def document(self) -> dict[str, Any]:
        """Return the life as `--json` prints it."""
        names = ("status", "owner_id", "current_kpi_name", "value")
        state = dict(zip(names, map(plain, self.state), strict=False))
        return {
            "deal_id": self.deal_id,
            "last_day": self.known_through,
            "state": state or None,
            "events": [_document(event) for event in self.events],
            "visits": [_document(visit) for visit in self.visits],
        }

    def draw(self, width: int) -> str:
        """Return the life as text."""
        as_of = f", as of {long_date(self.known_through)}" if self.known_through else ""
        parts = [f"Deal {self.deal_id}{as_of}: {self._describe_state()}"]
        events = [
            (
                _minute(event.happened_at) or DASH,
                event.field,
                event.new_value,
                " ".join(filter(None, (event.funnel_step, event.kpi_name)))
                if not event.why_not
                else f"nothing: {event.why_not}",
            )
            for event in self.events
        ]
        table = TextTable(("when (UTC)", "what", "to", "counts in"), events, names=3, has_note=True)
        parts.append(table.draw(width))
        visits = [
            (
                visit.funnel_step or DASH,
                visit.kpi_name,
                _minute(visit.entered_at),
                _minute(visit.exited_at),
                tenths(visit.days_in_stage),
                ": ".join(filter(None, (visit.direction, visit.lost_reason))),
            )
            for visit in self.visits
        ]
        if visits:
            head = ("step", "stage", "entered", "left", "days", "then")
            parts.append(TextTable(head, visits, has_note=True).draw(width))
        return "\n\n".join(parts)

    def _describe_state(self) -> str:
        if not self.state:
            return "no change is recorded"
        status, owner_id, stage, value = self.state
        owner = f"owner {owner_id}" if owner_id is not None else ""
        worth = f"value {rounded(float(value))}" if value is not None else ""
        place = f"in {stage}" if stage and status == "open" else ""
        return ", ".join(filter(None, (status, place, owner, worth)))


def _document(part: DealEvent | DealVisit) -> dict[str, Any]:
    return {name: plain(value) for name, value in asdict(part).items()}


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def read_deal(
    engine: Engine, project: Project, deal_id: int, known_through: date | None
) -> DealLife:
    """Return the life of a deal.

    Args:
        engine: The warehouse.
        project: The project.
        deal_id: Pipedrive's number of the deal.
        known_through: The last day built.

    Raises:
        FunnelError: Nothing is known of such a deal, or the tables cannot be read.
    """
    schemas = {
        "staging": sql.Identifier(project.schema(STAGING)),
        "analytics": sql.Identifier(project.schema(ANALYTICS)),
    }

    def ask(query: str, table: str) -> list[tuple[Any, ...]]:
        with engine.reading("funnel", table):
            return engine.query(sql.SQL(query).format(**schemas), {"deal": deal_id})

    events = [
        _explain(row, known_through, bool(project.var("pipelines")))
        for row in ask(_EVENTS, "deal_staging")
    ]
    if not events:
        raise FunnelError(
            f"nothing is known of deal {deal_id}", hint="Its number is in its address in Pipedrive."
        )
    visits = [DealVisit(*row) for row in ask(_VISITS, "deal_stage_visits")]
    states = ask(_STATE, "deal_states")
    return DealLife(deal_id, known_through, events, visits, states[0] if states else ())


def _explain(row: Sequence[Any], known_through: date | None, has_pipelines: bool) -> DealEvent:
    happened_at, day, field, value, kpi_name, funnel_step = row
    value = mask_emails(value or "")
    why_not = ""
    if happened_at is None:
        why_not = "it has no time"
    elif known_through and day > known_through:
        why_not = "it is after the last day built"
    elif value == "not done" and field not in _FIELDS:
        why_not = "it was not done"
    elif kpi_name is None and field in _FIELDS and not value.strip():
        why_not = "the field was emptied"
    elif kpi_name is None and field in _FIELDS and not has_pipelines:
        why_not = "that is no reason"
    elif kpi_name is None:
        why_not = "its pipeline does not count" if has_pipelines else "no KPI counts this field"
    return DealEvent(happened_at, day, field, value, kpi_name, funnel_step, why_not)
