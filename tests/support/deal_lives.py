"""The lives of deals, event by event, in plain Python: what the marts are made of.

Written from docs/measures.md alone, whose two tables of events and states it carries out as they
stand there. Lists, sets and loops over raw rows; no SQL, and nothing of the runner or the macros.
What a change counts as is said in `oracle`.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from oracle import (
    Raw,
    Step,
    activity_kpi,
    clean,
    counted_deal_kpi,
    counts_here,
    entered_pipeline,
    local_day,
    pipeline_counts,
    pipelines_of,
    remembered,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "measures.md"

FIELDS = ("add_time", "user_id", "value", "stage_id", "lost_reason", "status")
"""The fields that matter, in their order at one moment."""

STATUSES = ("open", "won", "lost", "deleted")


class Rules(NamedTuple):
    """What can be set: the day known, the time zone and some vars."""

    as_of: date
    zone: str = "UTC"
    won_step: str = "7"
    stalled_after_days: int | None = None
    mature_after_days: int = 180
    min_visits: int = 20


class Cell(NamedTuple):
    """What an event does to a deal in a state."""

    state: str
    is_new_attempt: bool
    visit: str | None
    """What becomes of the visit: ends, begins or moves on."""


@cache
def tables_of_rules() -> tuple[Mapping[tuple[str, str], Cell], Mapping[tuple[str, str], Cell]]:
    """Read the two tables of the page: before the account's first status, and from then on."""
    found: list[dict[tuple[str, str], Cell]] = []
    states: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        event, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| event | open |"):
            states = cells
            found.append({})
        elif states and not line.startswith("|"):
            states = []
        elif states and not line.startswith("|--"):
            for state, cell in zip(states, cells, strict=True):
                after, *rest = cell.split(", ")
                visits = [part.removeprefix("visit ") for part in rest if part.startswith("visit ")]
                found[-1][event, state] = Cell(
                    state if after == "–" else after,  # noqa: RUF001 - as on the page
                    "new attempt" in rest,
                    visits[0] if visits else None,
                )
    before, after_it = found
    return before, after_it


class Event(NamedTuple):
    """A change of one deal."""

    at: datetime
    day: date
    field: str
    value: str
    kpi_name: str | None
    """The stage or the reason; None where the field was emptied, or is another."""
    step: Step | None
    user_id: int | None
    pipeline_id: int | None = None
    """That of the stage, if it is one, and has a pipeline."""
    is_here: bool | None = None
    """Whether that pipeline counts."""


class Visit:
    """A deal in a stage."""

    def __init__(self, deal: "Deal", stage: Event, at: datetime) -> None:
        """Begin."""
        self.stage = stage
        self.entered_at = at
        self.owner_id = deal.owner_id
        self.life = deal.life
        self.attempt = deal.attempt
        self.is_customer = deal.state == "won"
        self.exited_at: datetime | None = None
        self.ending: str | None = None
        self.closing: Closing | None = None

    @property
    def counts(self) -> bool:
        """Whether it says something about selling."""
        return not self.is_customer and self.exited_at != self.entered_at


class Closing:
    """A deal is won, lost or deleted."""

    def __init__(self, deal: "Deal", outcome: str, at: datetime) -> None:
        """Begin."""
        self.attempt = deal.attempt
        self.outcome = outcome
        self.at = at
        self.owner_id = deal.owner_id
        self.corrected_at: datetime | None = None
        self.lost_reason = "Unknown"


class Attempt:
    """From the moment when a deal is open to its being closed."""

    def __init__(self, number: int) -> None:
        """Begin."""
        self.number = number
        self.outcome: str | None = None
        self.ended_at: datetime | None = None
        self.reason: str | None = None


class Deal:
    """A deal, as its events made it."""

    def __init__(self, deal_id: int) -> None:
        """Begin with nothing."""
        self.deal_id = deal_id
        self.events: list[Event] = []
        self.state = "open"
        self.is_away = False
        self.was_here = False
        self.life = 1
        self.stage: Event | None = None
        self.attempts = [Attempt(1)]
        self.visits: list[Visit] = []
        self.closings: list[Closing] = []
        self.owner_id: int | None = None
        self.created_last_at: datetime | None = None
        self.lost_after_won_at: datetime | None = None
        self.values: list[tuple[date, Decimal | None]] = []
        self.first_entered_at: dict[str, datetime] = {}
        self.moved_at: list[datetime] = []

    @property
    def attempt(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1]

    @property
    def status(self) -> str:
        """Open, won, lost or deleted. A customer who is lost again was won."""
        return "won" if self.state == "lost after won" else self.state

    @property
    def open_visit(self) -> Visit | None:
        """The visit that goes on."""
        last = self.visits[-1] if self.visits else None
        return last if last and last.exited_at is None else None

    @property
    def position(self) -> Visit | None:
        """Where it is, or was when it was closed, in its last life."""
        last = self.visits[-1] if self.visits else None
        return last if last and last.life == self.life else None

    @property
    def created_at(self) -> datetime:
        """The first event."""
        return self.events[0].at

    @property
    def value(self) -> Decimal | None:
        """The last value."""
        return self.values[-1][1] if self.values else None


_known: dict[Rules, tuple[Raw, list[Deal]]] = {}  # all deals, also those that were never here
_KEPT = 40
"""Answers to keep: each month of the demo is asked for again and again; all are 200 MB."""


def deals_known(raw: Raw, rules: Rules) -> list[Deal]:
    """All deals that were in a pipeline that counts; each with its life; not to be changed."""
    return [deal for deal in deals_recorded(raw, rules) if deal.was_here]


def deals_recorded(raw: Raw, rules: Rules) -> list[Deal]:
    """All deals with a change up to the day `as_of`, wherever they were."""
    if rules not in _known or _known[rules][0] is not raw:
        _known.pop(rules, None)
        if len(_known) == _KEPT:
            del _known[next(iter(_known))]
        _known[rules] = (raw, _live_through(raw, rules))
    return _known[rules][1]


@remembered
def _events(raw: Raw, zone: str) -> dict[int, list[Event]]:
    """By deal, all that ever happens to it, in order."""
    found: dict[int, list[Event]] = {}
    for row in raw.deal_changes:
        field = clean(row.changed_field_key)
        if row.deal_id is None or row.change_time is None or field not in FIELDS:
            continue
        kpi = counted_deal_kpi(raw, row)
        pipeline = entered_pipeline(raw, row)
        steps = [
            step
            for step in raw.steps
            if kpi and step.source_type == "stage" and step.funnel_step == kpi.funnel_step
        ]
        value = clean(row.new_value)
        event = Event(
            row.change_time,
            local_day(row.change_time, zone),
            field,
            value,
            kpi.kpi_name if kpi and field in ("stage_id", "lost_reason") else None,
            steps[0] if steps else None,
            int(value) if field == "user_id" and re.fullmatch("[0-9]{1,18}", value) else None,
            pipeline,
            None if pipeline is None else pipeline_counts(raw, pipeline),
        )
        found.setdefault(row.deal_id, []).append(event)
    for events in found.values():
        events.sort(key=order_at_one_moment)
    return found


def _live_through(raw: Raw, rules: Rules) -> list[Deal]:
    deals: dict[int, Deal] = {}
    for deal_id, events in _events(raw, rules.zone).items():
        known = [event for event in events if event.day <= rules.as_of]
        if known:
            deals[deal_id] = Deal(deal_id)
            deals[deal_id].events = known
    first_status = min(
        (status_at for deal in deals.values() for status_at in status_times(deal)), default=None
    )
    for deal in deals.values():
        deal.was_here = not raw.counted or any(
            pipeline_counts(raw, pipeline) and local_day(at, rules.zone) <= rules.as_of
            for at, pipeline in pipelines_of(raw, deal.deal_id)
        )
        live(deal, winning_order(raw, rules), first_status)
    for activity in raw.activities:
        its_deal = deals.get(activity.deal_id) if activity.deal_id is not None else None
        if its_deal and counts_here(raw, activity) and activity.due_to is not None:
            step = activity_kpi(raw, activity.type).funnel_step
            if step and local_day(activity.due_to, rules.zone) <= rules.as_of:
                enter_step(its_deal, step, activity.due_to)
    return list(deals.values())


def order_at_one_moment(event: Event) -> tuple[Any, ...]:
    """Sort by time; at one moment by field, by step, by what remains."""
    return (
        event.at,
        FIELDS.index(event.field),
        event.step.step_order if event.step else 0,
        event.user_id if event.user_id is not None else -1,
        event.kpi_name or "",
        event.value,
    )


def status_times(deal: Deal) -> list[datetime]:
    """When somebody recorded a status of the deal."""
    return [e.at for e in deal.events if e.field == "status" and e.value in STATUSES]


def winning_order(raw: Raw, rules: Rules) -> int | None:
    """The position of the step that wins a deal."""
    orders = [step.step_order for step in raw.steps if step.funnel_step == rules.won_step]
    return min(orders, default=None)


def live(deal: Deal, winning: int | None, first_status: datetime | None) -> None:
    """Let one event after the other happen to a deal."""
    before, from_then_on = tables_of_rules()
    for event in deal.events:
        note_values(deal, event)
        name = name_of(deal, event, winning)
        is_recorded = first_status is not None and event.at >= first_status
        if event.is_here is not None:
            deal.is_away = not event.is_here
        if deal.is_away:
            if deal.state == "open":
                leave(deal, event.at)
            continue
        if deal.state == "elsewhere":
            state = "won" if name == "winning stage" and not is_recorded else "open"
            happen(deal, event, name, Cell(state, is_new_attempt=True, visit="begins"))
            continue
        cell = (from_then_on if is_recorded else before).get((name, deal.state))
        happen(deal, event, name, cell or Cell(deal.state, is_new_attempt=False, visit=None))


def leave(deal: Deal, at: datetime) -> None:
    """Let an open deal go to a pipeline that does not count."""
    deal.state = "elsewhere"
    deal.moved_at.append(at)
    close(deal, at)
    end_visit(deal, at, "moved to another pipeline")


def note_values(deal: Deal, event: Event) -> None:
    """Remember the owner, the value and the step that an event names."""
    if event.user_id is not None:
        deal.owner_id = event.user_id
    if event.field == "value":
        deal.values.append((event.day, amount(event.value)))
    if event.field == "stage_id" and event.step:
        enter_step(deal, event.step.funnel_step, event.at)


def name_of(deal: Deal, event: Event, winning: int | None) -> str:
    """What the tables call an event; those that they do not have change nothing."""
    if event.field == "add_time":
        last, deal.created_last_at = deal.created_last_at, event.at
        return "created again" if last and last < event.at else "created"
    if event.field == "status":
        return f"status {event.value}"
    if event.field == "lost_reason":
        return "lost reason" if event.kpi_name else "lost reason emptied"
    if event.field == "stage_id" and event.kpi_name:
        wins = winning is not None and event.step and event.step.step_order >= winning
        return "winning stage" if wins else "other stage"
    return "nothing"


def happen(deal: Deal, event: Event, name: str, cell: Cell) -> None:
    """Change the state, the attempt and the visit of a deal as a cell of the tables says."""
    was, deal.state = deal.state, cell.state
    was_in = deal.stage
    if cell.is_new_attempt:
        begin_attempt(deal, event.at)
    if name == "created again":
        deal.life += 1
        deal.stage = None
    if name in ("winning stage", "other stage"):
        deal.stage = event
    if event.field == "lost_reason":
        deal.attempt.reason = event.kpi_name
    if cell.is_new_attempt or deal.state != was:
        deal.moved_at.append(event.at)
        close(deal, event.at)
    if deal.state == "lost":
        deal.closings[-1].lost_reason = deal.attempt.reason or "Unknown"
    if cell.visit == "ends":
        end_visit(deal, event.at, ending_of(name, deal.state))
    is_elsewhere = deal.stage and not (was_in and is_same_place(was_in, deal.stage))
    if deal.stage and (cell.visit == "begins" or (cell.visit == "moves on" and is_elsewhere)):
        end_visit(deal, event.at, "re-opened" if cell.is_new_attempt else None)
        deal.visits.append(Visit(deal, deal.stage, event.at))
        deal.moved_at.append(event.at)


def is_same_place(one: Event, other: Event) -> bool:
    """Whether two stages are one step of one pipeline, as far as pipelines are known."""
    return one.kpi_name == other.kpi_name and not is_other_pipeline(one, other)


def is_other_pipeline(one: Event, other: Event) -> bool:
    """Whether two stages are known to be of two pipelines."""
    return None not in (one.pipeline_id, other.pipeline_id) and one.pipeline_id != other.pipeline_id


def begin_attempt(deal: Deal, at: datetime) -> None:
    """Begin a new attempt; one that was not closed is left."""
    if deal.attempt.outcome is None:
        deal.attempt.outcome, deal.attempt.ended_at = "created again", at
    deal.attempts.append(Attempt(deal.attempt.number + 1))


def ending_of(name: str, state: str) -> str:
    """How a visit is said to end."""
    if name == "created again":
        return name
    return "customer lost" if state == "lost after won" else state


def end_visit(deal: Deal, at: datetime, ending: str | None) -> None:
    """End the visit that goes on, if any; who is won on arrival arrives as a customer."""
    visit = deal.open_visit
    if visit and ending == "won" and visit.entered_at == at:
        visit.is_customer = True
    elif visit:
        visit.exited_at, visit.ending = at, ending
        visit.closing = deal.closings[-1] if ending == "lost" else None


def close(deal: Deal, at: datetime) -> None:
    """Note that the deal was closed, or that the last closing was a mistake, or a customer lost."""
    if deal.state == "lost after won":
        deal.lost_after_won_at = at
    if deal.status in ("open", deal.attempt.outcome):
        return
    if deal.attempt.outcome is not None:
        deal.closings[-1].corrected_at = at
    deal.attempt.outcome, deal.attempt.ended_at = deal.status, at
    deal.closings.append(Closing(deal, deal.status, at))


def amount(text: str) -> Decimal | None:
    """A value as money: digits, perhaps a sign, a point, an exponent; less than 10 ** 12."""
    is_number = re.fullmatch(
        r"[+-]?([0-9]{1,12}(\.[0-9]{0,15})?|\.[0-9]{1,15})(e[+-]?0?[0-9])?", text
    )
    if not is_number or abs(Decimal(text)) >= 10**12:
        return None
    return Decimal(text).quantize(Decimal("0.01"), ROUND_HALF_UP)


def enter_step(deal: Deal, step: str, at: datetime) -> None:
    """Remember the first entry of a step."""
    deal.first_entered_at[step] = min(at, deal.first_entered_at.get(step, at))
