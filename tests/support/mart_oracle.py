"""What the marts say, once more in plain Python: the lives of deals, event by event.

Lists, sets and loops over raw rows; no SQL, and nothing of the runner or the macros. What a change
counts as is said in `oracle`.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

from oracle import (
    Month,
    Raw,
    Row,
    Step,
    activity_kpi,
    clean,
    deal_kpi,
    local_day,
    month_of,
)

FIELDS = ("add_time", "user_id", "value", "stage_id", "lost_reason", "status")
"""The fields that matter, in their order at one moment."""

STATUSES = ("open", "won", "lost")


class Rules(NamedTuple):
    """What can be set: the day known, the time zone and three vars."""

    as_of: date
    zone: str = "UTC"
    won_step: str = "7"
    stalled_after_days: int | None = None
    mature_after_days: int = 180


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


class Visit:
    """A deal in a stage."""

    def __init__(self, deal: "Deal", stage: Event, at: datetime) -> None:
        """Begin."""
        self.stage = stage
        self.entered_at = at
        self.owner_id = deal.owner_id
        self.attempt = deal.attempt
        self.exited_at: datetime | None = None
        self.lost_in: Attempt | None = None


class Attempt:
    """From the moment when a deal is open to its being won or lost."""

    def __init__(self, number: int) -> None:
        """Begin."""
        self.number = number
        self.outcome: str | None = None
        self.ended_at: datetime | None = None
        self.lost_reason: str | None = None


class Deal:
    """A deal, as its events made it."""

    def __init__(self, deal_id: int) -> None:
        """Begin with nothing."""
        self.deal_id = deal_id
        self.events: list[Event] = []
        self.attempts = [Attempt(1)]
        self.visits: list[Visit] = []
        self.owner_id: int | None = None
        self.values: list[tuple[date, Decimal | None]] = []
        self.first_entered_at: dict[str, datetime] = {}
        self.loss_count = 0
        self.moved_at: list[datetime] = []

    @property
    def attempt(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1]

    @property
    def status(self) -> str:
        """Open, won or lost."""
        return self.attempt.outcome or "open"

    @property
    def position(self) -> Visit | None:
        """Where it is, or was when it was closed; nowhere yet where it is open anew."""
        last = self.visits[-1] if self.visits else None
        return last if last and (self.status != "open" or last.attempt is self.attempt) else None

    @property
    def created_at(self) -> datetime:
        """The first creation, else the first event."""
        created = [event.at for event in self.events if event.field == "add_time"]
        return min(created or [event.at for event in self.events])

    @property
    def value(self) -> Decimal | None:
        """The last value."""
        return self.values[-1][1] if self.values else None


def deals_known(raw: Raw, rules: Rules) -> list[Deal]:
    """All deals with a change up to the day `as_of`, each with its life."""
    deals: dict[int, Deal] = {}
    for row in raw.deal_changes:
        field = clean(row.changed_field_key)
        if row.deal_id is None or row.change_time is None or field not in FIELDS:
            continue
        day = local_day(row.change_time, rules.zone)
        if day <= rules.as_of:
            kpi = deal_kpi(raw, field, row.new_value)
            steps = [
                step
                for step in raw.steps
                if kpi and step.source_type == "stage" and step.funnel_step == kpi.funnel_step
            ]
            value = clean(row.new_value)
            event = Event(
                row.change_time,
                day,
                field,
                value,
                kpi.kpi_name if kpi and field in ("stage_id", "lost_reason") else None,
                steps[0] if steps else None,
                int(value) if field == "user_id" and re.fullmatch("[0-9]{1,18}", value) else None,
            )
            deals.setdefault(row.deal_id, Deal(row.deal_id)).events.append(event)
    for deal in deals.values():
        deal.events.sort(key=order_at_one_moment)
        live(deal, winning_order(raw, rules))
    for activity in raw.activities:
        known = deals.get(activity.deal_id) if activity.deal_id is not None else None
        if known and activity.done and activity.due_to is not None:
            step = activity_kpi(raw, activity.type).funnel_step
            if step and local_day(activity.due_to, rules.zone) <= rules.as_of:
                enter_step(known, step, activity.due_to)
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


def winning_order(raw: Raw, rules: Rules) -> int | None:
    """The position of the step that wins a deal."""
    orders = [step.step_order for step in raw.steps if step.funnel_step == rules.won_step]
    return min(orders, default=None)


def live(deal: Deal, winning: int | None) -> None:
    """Let one event after the other happen to a deal."""
    if any(event.field == "status" and event.value in STATUSES for event in deal.events):
        winning = None  # somebody records what is won
    stage: Event | None = None
    reason: str | None = None
    for event in deal.events:
        note_values(deal, event)
        before = deal.status
        after = status_after(before, event, winning)
        change_status(deal, event, before, after)
        if event.field == "lost_reason":
            reason = event.kpi_name
        if deal.status == "lost":
            deal.attempt.lost_reason = reason or "Unknown"
        if event.field == "stage_id" and event.kpi_name:
            stage = event
            arrive(deal, stage, event.at)
        elif stage and event.field != "add_time" and begins_anew(before, after):
            arrive(deal, stage, event.at)


def note_values(deal: Deal, event: Event) -> None:
    """Remember the owner, the value and the step that an event names."""
    if event.user_id is not None:
        deal.owner_id = event.user_id
    if event.field == "value":
        deal.values.append((event.day, amount(event.value)))
    if event.field == "stage_id" and event.step:
        enter_step(deal, event.step.funnel_step, event.at)


def status_after(before: str, event: Event, winning: int | None) -> str:
    """What a deal is after an event."""
    if event.field == "add_time":
        return "open"
    if event.field == "status" and event.value in STATUSES:
        return event.value
    if event.field == "lost_reason":
        return "lost" if event.kpi_name else reopened(before)
    if event.field == "stage_id" and event.kpi_name:
        reached = winning is not None and event.step and event.step.step_order >= winning
        return "won" if reached else reopened(before)
    return before


def begins_anew(before: str, after: str) -> bool:
    """A closed deal is in its stage again; one created anew is in none yet."""
    return before != "open" and after not in ("lost", before)


def reopened(status: str) -> str:
    """A lost deal is open again."""
    return "open" if status == "lost" else status


def amount(text: str) -> Decimal | None:
    """A value as money."""
    if not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,6})?", text):
        return None
    return Decimal(text).quantize(Decimal("0.01"), ROUND_HALF_UP)


def change_status(deal: Deal, event: Event, before: str, after: str) -> None:
    """Begin a new attempt where a closed deal changes; end the attempt where it is closed."""
    if before == after:
        return
    deal.moved_at.append(event.at)
    if before != "open":
        deal.attempts.append(Attempt(deal.attempt.number + 1))
    if after != "open":
        deal.attempt.outcome, deal.attempt.ended_at = after, event.at
    if after == "lost":
        deal.loss_count += 1
        if deal.visits and deal.visits[-1].exited_at is None:
            deal.visits[-1].exited_at = event.at
            deal.visits[-1].lost_in = deal.attempt


def arrive(deal: Deal, stage: Event, at: datetime) -> None:
    """Begin a visit, unless the deal is in that stage already."""
    if deal.visits and deal.visits[-1].exited_at is None:
        if deal.visits[-1].stage.kpi_name == stage.kpi_name and (
            deal.visits[-1].attempt is deal.attempt
        ):
            return
        deal.visits[-1].exited_at = at
    deal.visits.append(Visit(deal, stage, at))
    deal.moved_at.append(at)


def enter_step(deal: Deal, step: str, at: datetime) -> None:
    """Remember the first entry of a step."""
    deal.first_entered_at[step] = min(at, deal.first_entered_at.get(step, at))


# Numbers.


def rounded(number: Fraction | int, places: int = 4) -> Decimal:
    """Round as Postgres does, halves away from zero."""
    number = Fraction(number)
    size = floor(abs(number) * 10**places + Fraction(1, 2))
    return Decimal(size if number >= 0 else -size).scaleb(-places)


def ratio(part: int, whole: int) -> Decimal | None:
    """A share, unknown where there is no whole."""
    return rounded(Fraction(part, whole)) if whole else None


def days_between(begin: datetime, end: datetime) -> Decimal:
    """Days and parts of them."""
    return rounded(Fraction((end - begin) // timedelta(microseconds=1), 86_400_000_000))


def percentile(numbers: Iterable[Decimal], share: str) -> Decimal | None:
    """Between the two nearest numbers, in proportion."""
    ordered = sorted(Fraction(number) for number in numbers)
    if not ordered:
        return None
    place = Fraction(share) * (len(ordered) - 1)
    low = ordered[floor(place)]
    high = ordered[min(floor(place) + 1, len(ordered) - 1)]
    return rounded(low + (place - floor(place)) * (high - low))


def local_month(moment: datetime, rules: Rules) -> Month:
    """The calendar month of a moment."""
    return month_of(local_day(moment, rules.zone))


# The tables.


def deal_stage_visits(raw: Raw, rules: Rules) -> list[Row]:
    """One row per visit."""
    ranks = sorted({step.step_order for step in raw.steps if step.source_type == "stage"})
    rows: list[Row] = []
    for deal in deals_known(raw, rules):
        place = 0
        places = []
        for visit in deal.visits:
            step = visit.stage.step
            place = ranks.index(step.step_order) + 1 if step else place
            places.append(place)
        for number, visit in enumerate(deal.visits):
            following = None
            if visit.exited_at is None:
                direction = "still there"
            elif visit.lost_in:
                direction = "lost"
            else:
                following = deal.visits[number + 1]
                ahead = places[number + 1] - places[number]
                direction = "moved back"
                if ahead > 0:
                    direction = "advanced" if ahead == 1 else "skipped ahead"
            rows.append(
                (
                    deal.deal_id,
                    number + 1,
                    *named(visit.stage),
                    visit.entered_at,
                    visit.exited_at,
                    days_between(visit.entered_at, visit.exited_at) if visit.exited_at else None,
                    *(named(following.stage)[:2] if following else (None, None)),
                    direction,
                    visit.lost_in.lost_reason if visit.lost_in else None,
                    visit.owner_id,
                    visit.attempt.number,
                    visit.attempt.outcome,
                    visit.attempt.ended_at,
                )
            )
    return rows


def named(stage: Event | None) -> tuple[str | None, str | None, int | None]:
    """A stage's name, step and order."""
    if stage is None:
        return None, None, None
    step = stage.step
    return stage.kpi_name, step.funnel_step if step else None, step.step_order if step else None


def deal_steps(raw: Raw, rules: Rules) -> list[Row]:
    """One row per deal and step that it entered."""
    names = {step.funnel_step: (step.kpi_name, step.step_order) for step in raw.steps}
    rows: list[Row] = []
    for deal in deals_known(raw, rules):
        entered = sorted(deal.first_entered_at, key=lambda step: names[step][1])
        for number, step in enumerate(entered):
            previous = entered[number - 1] if number else None
            at, is_last = deal.first_entered_at[step], step == entered[-1]
            rows.append((deal.deal_id, step, *names[step], at, previous, entered[0], is_last))
    return rows


def deal_values(raw: Raw, rules: Rules) -> list[Row]:
    """One row per value recorded, and how long it stayed."""
    rows: list[Row] = []
    for deal in deals_known(raw, rules):
        recorded = [event for event in deal.events if event.field == "value"]
        for number, event in enumerate(recorded, 1):
            end = recorded[number].at if number < len(recorded) else None
            rows.append((deal.deal_id, number, event.at, end, amount(event.value)))
    return rows


def furthest_step(raw: Raw, deal: Deal) -> Step | None:
    """The last step that the deal entered."""
    entered = [step for step in raw.steps if step.funnel_step in deal.first_entered_at]
    return max(entered, key=lambda step: step.step_order, default=None)


def deals(raw: Raw, rules: Rules) -> list[Row]:
    """One row per deal."""
    rows: list[Row] = []
    for deal in deals_known(raw, rules):
        last = deal.position
        furthest = furthest_step(raw, deal)
        ended_at = deal.attempt.ended_at
        last_day = local_day(ended_at, rules.zone) if ended_at else rules.as_of
        moved_at = max([deal.created_at, *deal.moved_at])
        creations = {event.at for event in deal.events if event.field == "add_time"}
        rows.append(
            (
                deal.deal_id,
                deal.created_at,
                deal.owner_id,
                deal.status,
                *named(last.stage if last else None),
                last.entered_at if last else None,
                furthest.kpi_name if furthest else None,
                furthest.funnel_step if furthest else None,
                furthest.step_order if furthest else None,
                ended_at if deal.status == "lost" else None,
                deal.attempt.lost_reason if deal.status == "lost" else None,
                ended_at if deal.status == "won" else None,
                deal.value,
                max(len(creations), 1),
                deal.loss_count,
                moved_at,
                (last_day - local_day(deal.created_at, rules.zone)).days,
                (rules.as_of - local_day(moved_at, rules.zone)).days,
            )
        )
    return rows


def funnel_conversion(raw: Raw, rules: Rules) -> list[Row]:
    """Each month of creation and each step: how many came so far."""
    steps = sorted(
        {step.step_order: (step.kpi_name, step.funnel_step) for step in raw.steps}.items()
    )
    cohorts: dict[Month, list[Deal]] = {}
    for deal in deals_known(raw, rules):
        cohorts.setdefault(local_month(deal.created_at, rules), []).append(deal)
    rows: list[Row] = []
    for month, cohort in cohorts.items():
        everybody = {deal.deal_id for deal in cohort}
        entered = [
            {deal.deal_id for deal in cohort if step in deal.first_entered_at}
            for _, (_, step) in steps
        ]
        reached = [set().union(*entered[number:]) for number in range(len(steps))]
        mature_on = month.next.first_day + timedelta(days=rules.mature_after_days - 1)
        for number, (order, (kpi_name, step)) in enumerate(steps):
            previous = entered[number - 1] if number else everybody
            rows.append(
                (
                    month.first_day,
                    kpi_name,
                    step,
                    order,
                    len(cohort),
                    len(reached[number]),
                    len(entered[number]),
                    ratio(len(reached[number]), len(reached[number - 1] if number else everybody)),
                    ratio(len(reached[number]), len(reached[0])),
                    ratio(len(entered[number] & previous), len(previous)),
                    ratio(len(entered[number] & entered[0]), len(entered[0])),
                    mature_on <= rules.as_of,
                )
            )
    return rows


def step_velocity(raw: Raw, rules: Rules) -> list[Row]:
    """How long the visits took that ended in a month, and the deals that were won in it."""
    stays: dict[tuple[Any, ...], list[Decimal]] = {}
    for deal in deals_known(raw, rules):
        for visit in deal.visits:
            if visit.exited_at and visit.stage.step:
                key = (local_month(visit.exited_at, rules).first_day, *named(visit.stage))
                stays.setdefault(key, []).append(days_between(visit.entered_at, visit.exited_at))
        if deal.status == "won" and deal.attempt.ended_at:
            month = local_month(deal.attempt.ended_at, rules).first_day
            days = days_between(deal.created_at, deal.attempt.ended_at)
            stays.setdefault((month, "Whole funnel", None, 0), []).append(days)
    return [
        (*key, len(days), *(percentile(days, share) for share in ("0.5", "0.75", "0.9")))
        for key, days in stays.items()
    ]


def losses_monthly(raw: Raw, rules: Rules) -> list[Row]:
    """Deals that are lost now, by month, stage and reason."""
    counts: dict[tuple[Any, ...], int] = {}
    for deal in deals_known(raw, rules):
        if deal.status == "lost" and deal.attempt.ended_at:
            stage = named(deal.visits[-1].stage) if deal.visits else ("No stage", None, None)
            month = local_month(deal.attempt.ended_at, rules).first_day
            key = (month, *stage, deal.attempt.lost_reason)
            counts[key] = counts.get(key, 0) + 1
    return [(*key, count) for key, count in counts.items()]


def win_rate_monthly(raw: Raw, rules: Rules) -> list[Row]:
    """Deals that are closed now, by month."""
    closed: dict[date, list[str]] = {}
    for deal in deals_known(raw, rules):
        if deal.attempt.ended_at:
            month = local_month(deal.attempt.ended_at, rules).first_day
            closed.setdefault(month, []).append(deal.status)
    return [
        (month, ends.count("won"), ends.count("lost"), ratio(ends.count("won"), len(ends)))
        for month, ends in closed.items()
    ]


def tries(found: Sequence[Deal]) -> dict[str, list[tuple[datetime, Attempt]]]:
    """By stage, since when deals were in it, before the end of which attempt."""
    by_stage: dict[str, list[tuple[datetime, Attempt]]] = {}
    for deal in found:
        for visit in deal.visits:
            ended_at = visit.attempt.ended_at
            if not ended_at or visit.entered_at <= ended_at:
                by_stage.setdefault(str(visit.stage.kpi_name), []).append(
                    (visit.entered_at, visit.attempt)
                )
    return by_stage


def stage_win_rates(raw: Raw, rules: Rules) -> list[Row]:
    """From the month of a stage's first win on, what was known of it at the end of each month."""
    rows: list[Row] = []
    for kpi_name, past in tries(deals_known(raw, rules)).items():
        ends = [try_.ended_at for _, try_ in past if try_.outcome == "won" and try_.ended_at]
        if ends:
            month = local_month(min(ends), rules)
            while month <= month_of(rules.as_of):
                rows.append((month.first_day, kpi_name, *prospect(past, month, rules)))
                month = month.next
    return rows


def pipeline_forecast(raw: Raw, rules: Rules) -> list[Row]:
    """What is open, and what of it will be won as in the past."""
    found = deals_known(raw, rules)
    history = tries(found)
    places = {
        (step.kpi_name, step.funnel_step, step.step_order)
        for step in raw.steps
        if step.source_type == "stage"
    }
    open_deals: dict[tuple[Any, ...], list[Deal]] = {}
    for deal in found:
        if deal.status == "open" and deal.position:
            open_deals.setdefault(named(deal.position.stage), []).append(deal)
    rows: list[Row] = []
    for place in places | set(open_deals):
        there = open_deals.get(place, [])
        values = [deal.value for deal in there if deal.value is not None]
        past = history.get(str(place[0]), [])
        won = [
            days_between(entered_at, attempt.ended_at)
            for entered_at, attempt in past
            if attempt.outcome == "won" and attempt.ended_at
        ]
        horizon, rate = prospect(past, month_of(rules.as_of), rules)
        hopeful = [
            deal
            for deal in there
            if deal.position
            and age_in_months(deal.position.entered_at, month_of(rules.as_of), rules) <= horizon
        ]
        hopeful_value = sum(deal.value for deal in hopeful if deal.value is not None)
        rows.append(
            (
                *place,
                len(there),
                sum(values) if values else None,
                rate,
                percentile(won, "0.5"),
                None if rate is None else len(hopeful) * rate,
                rounded(Fraction(hopeful_value) * Fraction(rate), 2)
                if values and rate is not None
                else None,
            )
        )
    return rows


def pipeline_forecast_backtest(raw: Raw, rules: Rules) -> list[Row]:
    """For the end of each month: the forecast of that day, and what became of it."""
    now = deals_known(raw, rules)
    months = {local_month(visit.entered_at, rules) for deal in now for visit in deal.visits}
    rows: list[Row] = []
    month = min(months, default=month_of(rules.as_of + timedelta(days=1)))
    while month.last_day <= rules.as_of:
        expected, expected_value, actual_value = Decimal(0), Decimal(0), Decimal(0)
        counts = {"won": 0, "lost": 0, "open": 0}
        has_rate, has_value, has_actual_value = False, False, False
        for deal in now:
            visit = visit_on(deal, month.last_day, rules)
            if visit is None:
                continue
            outcome = visit.attempt.outcome or "open"
            counts[outcome] += 1
            past = tries(now).get(str(visit.stage.kpi_name), [])
            horizon, rate = prospect(past, month, rules)
            if rate is not None:
                has_rate = True
                if age_in_months(visit.entered_at, month, rules) > horizon:
                    rate = Decimal(0)
            values = [value for day, value in deal.values if day <= month.last_day]
            if rate is not None:
                expected += rate
                if values and values[-1] is not None:
                    expected_value += rate * values[-1]
                    has_value = True
            if outcome == "won" and deal.value is not None:
                actual_value += deal.value
                has_actual_value = True
        total = sum(counts.values())
        if total:
            rows.append(
                (
                    month.first_day,
                    total,
                    expected if has_rate else None,
                    counts["won"],
                    counts["open"],
                    rounded(Fraction(expected_value), 2) if has_value else None,
                    actual_value if has_actual_value else None,
                )
            )
        month = month.next
    return rows


def visit_on(deal: Deal, last_day: date, rules: Rules) -> Visit | None:
    """Where the deal was, open, when that day ended."""
    for visit in deal.visits:
        ends = [at for at in (visit.exited_at, visit.attempt.ended_at) if at]
        if local_day(visit.entered_at, rules.zone) <= last_day and all(
            local_day(at, rules.zone) > last_day for at in ends
        ):
            return visit
    return None


def age_in_months(entered_at: datetime, month: Month, rules: Rules) -> int:
    """Calendar months since a moment."""
    entered = local_day(entered_at, rules.zone)
    return 12 * (month.first_day.year - entered.year) + month.first_day.month - entered.month


def prospect(
    past: Sequence[tuple[datetime, Attempt]], month: Month, rules: Rules
) -> tuple[int, Decimal | None]:
    """In how many months nine of ten wins came, and the share won in them of what is older.

    Both as known when the month ended.
    """
    visits: list[tuple[int, int | None]] = []
    for entered_at, attempt in past:
        won_in = None
        if attempt.outcome == "won" and attempt.ended_at:
            won_month = local_month(attempt.ended_at, rules)
            if won_month <= month:
                won_in = age_in_months(entered_at, won_month, rules)
        visits.append((age_in_months(entered_at, month, rules), won_in))
    wins = sorted(won_in for _, won_in in visits if won_in is not None)
    if not wins:
        return 0, None
    horizon = wins[ceil(Fraction(9, 10) * len(wins)) - 1]
    judged = [won_in for age, won_in in visits if age > horizon]
    won = [won_in for won_in in judged if won_in is not None and won_in <= horizon]
    return horizon, ratio(len(won), len(judged))


def stalled_deals(raw: Raw, rules: Rules) -> list[Row]:
    """Open deals that have not moved for longer than is usual in their stage."""
    found = deals_known(raw, rules)
    rows: list[Row] = []
    for deal in found:
        if deal.status != "open" or not deal.position:
            continue
        stage = deal.position.stage
        stays = [
            days_between(visit.entered_at, visit.exited_at)
            for other in found
            for visit in other.visits
            if visit.stage.kpi_name == stage.kpi_name and visit.exited_at
        ]
        limit = percentile(stays, "0.9")
        if rules.stalled_after_days is not None:
            limit = rounded(rules.stalled_after_days)
        moved_at = max([deal.created_at, *deal.moved_at])
        days = (rules.as_of - local_day(moved_at, rules.zone)).days
        if limit is not None and days > limit:
            rows.append((deal.deal_id, deal.owner_id, *named(stage), moved_at, days, limit))
    return rows


def stats_by_owner(raw: Raw, month: Month, last_day: date, zone: str) -> list[Row]:
    """The rows of monthly_stats_by_owner for one month, up to a day."""
    owners = sorted(
        (
            (row.deal_id, row.change_time, int(clean(row.new_value)))
            for row in raw.deal_changes
            if clean(row.changed_field_key) == "user_id"
            and row.change_time is not None
            and re.fullmatch("[0-9]{1,18}", clean(row.new_value))
        ),
        key=lambda change: change[1:],
    )
    events: list[tuple[str, int, datetime, int | None]] = []
    for row in raw.deal_changes:
        kpi = deal_kpi(raw, row.changed_field_key, row.new_value)
        if kpi and kpi.funnel_step and row.deal_id is not None and row.change_time is not None:
            at = row.change_time
            before = [o for deal, since, o in owners if deal == row.deal_id and since <= at]
            events.append((kpi.funnel_step, row.deal_id, at, before[-1] if before else None))
    for activity in raw.activities:
        step = activity_kpi(raw, activity.type).funnel_step
        if step and activity.done and activity.deal_id is not None and activity.due_to:
            events.append((step, activity.deal_id, activity.due_to, activity.assigned_to_user))
    counted = [
        event
        for event in events
        if month.first_day <= local_day(event[2], zone) <= min(month.last_day, last_day)
    ]
    # Nobody comes last at one moment.
    counted.sort(key=lambda event: (event[2], event[3] is None, event[3] or 0))
    names = {step.funnel_step: (step.kpi_name, step.step_order) for step in raw.steps}
    firsts: dict[tuple[str, int], int | None] = {}
    for step, deal_id, _, owner in counted:
        firsts.setdefault((step, deal_id), owner)
    rows: list[Row] = []
    for step, owner in {(step, owner) for step, _, _, owner in counted}:
        kpi_name, order = names[step]
        deals_count = sum(1 for (s, _), o in firsts.items() if s == step and o == owner)
        owned = {deal_id for s, deal_id, _, o in counted if s == step and o == owner}
        rows.append((month.first_day, owner, kpi_name, step, order, deals_count, len(owned)))
    return rows
