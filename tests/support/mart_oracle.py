"""What the marts say, once more in plain Python, from docs/measures.md alone.

How a deal lives is said in `deal_lives`. A question about the past is answered by playing its
events again up to that day, so that nothing can be known before it happened.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

from deal_lives import (
    Deal,
    Event,
    Rules,
    Visit,
    amount,
    deals_known,
    deals_recorded,
    is_other_pipeline,
    status_times,
)
from oracle import (
    Month,
    Raw,
    Row,
    Step,
    activity_kpi,
    clean,
    counted_deal_kpi,
    counts_here,
    entered_pipeline,
    local_day,
    month_of,
    pipeline_at,
    pipeline_counts,
    pipeline_name,
)

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


def deal_first_statuses(raw: Raw, rules: Rules) -> list[Row]:
    """One row per deal whose status somebody recorded."""
    return [
        (deal.deal_id, min(times))
        for deal in deals_recorded(raw, rules)
        if (times := status_times(deal))
    ]


def deal_closings(raw: Raw, rules: Rules) -> list[Row]:
    """One row per closing."""
    return [
        (
            deal.deal_id,
            number,
            closing.attempt.number,
            closing.outcome,
            closing.at,
            closing.corrected_at,
            closing.owner_id,
        )
        for deal in deals_known(raw, rules)
        for number, closing in enumerate(deal.closings, 1)
    ]


def places(deal: Deal, raw: Raw) -> list[int]:
    """The place of each visit among the steps; outside the funnel that of the step before."""
    ranks = sorted({step.step_order for step in raw.steps if step.source_type == "stage"})
    place, life, found = 0, 0, []
    for visit in deal.visits:
        place = place if visit.life == life else 0
        step, life = visit.stage.step, visit.life
        place = ranks.index(step.step_order) + 1 if step else place
        found.append(place)
    return found


def deal_stage_visits(raw: Raw, rules: Rules) -> list[Row]:
    """One row per visit."""
    rows: list[Row] = []
    for deal in deals_known(raw, rules):
        place = places(deal, raw)
        for number, visit in enumerate(deal.visits):
            following = None
            direction = visit.ending
            if visit.exited_at is None:
                direction = "customer" if visit.is_customer else "still there"
            elif direction is None:
                following = deal.visits[number + 1]
                ahead = place[number + 1] - place[number]
                direction = "moved back"
                if ahead > 0:
                    direction = "advanced" if ahead == 1 else "skipped ahead"
                if is_other_pipeline(visit.stage, following.stage):
                    direction = "moved to another pipeline"
            rows.append(
                (
                    deal.deal_id,
                    number + 1,
                    visit.stage.pipeline_id,
                    *named(visit.stage),
                    visit.entered_at,
                    visit.exited_at,
                    days_between(visit.entered_at, visit.exited_at) if visit.exited_at else None,
                    *(named(following.stage)[:2] if following else (None, None)),
                    direction,
                    visit.closing.lost_reason if visit.closing else None,
                    visit.owner_id,
                    visit.life,
                    visit.attempt.number,
                    visit.attempt.outcome,
                    visit.attempt.ended_at,
                    visit.is_customer,
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
    for deal in deals_recorded(raw, rules):
        entered = sorted(deal.first_entered_at, key=lambda step: names[step][1])
        for number, step in enumerate(entered):
            previous = entered[number - 1] if number else None
            at, is_last = deal.first_entered_at[step], step == entered[-1]
            rows.append((deal.deal_id, step, *names[step], at, previous, entered[0], is_last))
    return rows


def deal_values(raw: Raw, rules: Rules) -> list[Row]:
    """One row per value recorded, and how long it stayed."""
    rows: list[Row] = []
    for deal in deals_recorded(raw, rules):
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
    known = currencies(raw, rules)
    rows: list[Row] = []
    for deal in deals_known(raw, rules):
        last = deal.position
        furthest = furthest_step(raw, deal)
        ended_at = deal.attempt.ended_at
        is_closed = ended_at and deal.status != "elsewhere"
        last_day = local_day(ended_at, rules.zone) if ended_at and is_closed else rules.as_of
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
                deal.closings[-1].lost_reason if deal.status == "lost" else None,
                ended_at if deal.status == "won" else None,
                deal.lost_after_won_at if deal.state == "lost after won" else None,
                ended_at if deal.status == "deleted" else None,
                deal.value,
                known.get(deal.deal_id),
                deal.life,
                [closing.outcome for closing in deal.closings].count("lost"),
                moved_at(deal),
                (last_day - local_day(deal.created_at, rules.zone)).days,
                (rules.as_of - local_day(moved_at(deal), rules.zone)).days,
            )
        )
    return rows


def currencies(raw: Raw, rules: Rules) -> dict[int, str | None]:
    """The last currency recorded of each deal; of two at one moment the later in the alphabet."""
    recorded: dict[int, list[tuple[datetime, str]]] = {}
    for row in raw.deal_changes:
        if (
            row.deal_id is not None
            and row.change_time
            and clean(row.changed_field_key) == "currency"
        ):
            if local_day(row.change_time, rules.zone) <= rules.as_of:
                change = (row.change_time, clean(row.new_value).upper())
                recorded.setdefault(row.deal_id, []).append(change)
    return {
        deal_id: max(
            (
                code
                for at, code in changes
                if at == max(changes)[0] and re.fullmatch("[A-Z]{3}", code)
            ),
            default=None,
        )
        for deal_id, changes in recorded.items()
    }


def moved_at(deal: Deal) -> datetime:
    """When the deal last moved, or else was created."""
    return max(deal.moved_at, default=deal.created_at)


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
            stage = named(deal.position.stage) if deal.position else ("No stage", None, None)
            month = local_month(deal.attempt.ended_at, rules).first_day
            key = (month, *stage, deal.closings[-1].lost_reason)
            counts[key] = counts.get(key, 0) + 1
    return [(*key, count) for key, count in counts.items()]


def win_rate_monthly(raw: Raw, rules: Rules) -> list[Row]:
    """Deals that are won or lost now, and customers who are lost again, by month."""
    months: dict[date, list[str]] = {}
    for deal in deals_known(raw, rules):
        if deal.status in ("won", "lost") and deal.attempt.ended_at:
            month = local_month(deal.attempt.ended_at, rules).first_day
            months.setdefault(month, []).append(deal.status)
        if deal.state == "lost after won" and deal.lost_after_won_at:
            month = local_month(deal.lost_after_won_at, rules).first_day
            months.setdefault(month, []).append(deal.state)
    rows: list[Row] = []
    for month, ends in months.items():
        won, lost = ends.count("won"), ends.count("lost")
        rows.append((month, won, lost, ends.count("lost after won"), ratio(won, won + lost)))
    return rows


def won_value_monthly(raw: Raw, rules: Rules) -> list[Row]:
    """What the deals that are won now brought, by month and currency."""
    known = currencies(raw, rules)
    months: dict[tuple[date, str | None], list[Decimal | None]] = {}
    for deal in deals_known(raw, rules):
        if deal.status == "won" and deal.attempt.ended_at:
            month = local_month(deal.attempt.ended_at, rules).first_day
            months.setdefault((month, known.get(deal.deal_id)), []).append(deal.value)
    rows: list[Row] = []
    for key, found in months.items():
        values = [value for value in found if value is not None]
        won = sum(values, Decimal()) if values else None
        average = None if won is None else rounded(Fraction(won) / len(values), 2)
        rows.append((*key, len(found), len(values), won, average))
    return rows


@dataclass(frozen=True)
class Prospect:
    """What the visits to a stage say of the next ones."""

    horizon: int
    judged: int
    won: int

    @property
    def rate(self) -> Fraction | None:
        """The share won, not rounded."""
        return Fraction(self.won, self.judged) if self.judged else None


def prospects(found: Sequence[Deal], month: Month, rules: Rules) -> dict[str, Prospect]:
    """By stage, from deals as they were known when the month ended: if any was won."""
    stages: dict[str, list[tuple[int, int | None]]] = {}
    for deal in found:
        for visit in deal.visits:
            if visit.counts:
                won_in = None
                if visit.attempt.outcome == "won" and visit.attempt.ended_at:
                    won_month = local_month(visit.attempt.ended_at, rules)
                    won_in = age_in_months(visit.entered_at, won_month, rules)
                age = age_in_months(visit.entered_at, month, rules)
                stages.setdefault(str(visit.stage.kpi_name), []).append((age, won_in))
    known: dict[str, Prospect] = {}
    for stage, visits in stages.items():
        wins = sorted(won_in for _, won_in in visits if won_in is not None)
        if wins:
            horizon = wins[ceil(Fraction(9, 10) * len(wins)) - 1]
            judged = [won_in for age, won_in in visits if age > horizon]
            won = [won_in for won_in in judged if won_in is not None and won_in <= horizon]
            known[stage] = Prospect(horizon, len(judged), len(won))
    return known


def is_given_up(known: dict[str, Prospect], visit: Visit, month: Month, rules: Rules) -> bool:
    """Whether a deal is in its stage for too long, by the horizon of it, or the longest of all."""
    own = known.get(str(visit.stage.kpi_name))
    horizons = [own.horizon] if own else [prospect.horizon for prospect in known.values()]
    return bool(horizons) and age_in_months(visit.entered_at, month, rules) > max(horizons)


def months_known(raw: Raw, rules: Rules) -> list[Month]:
    """From the first visit to the day known."""
    entered = [visit.entered_at for deal in deals_known(raw, rules) for visit in deal.visits]
    months: list[Month] = []
    month = local_month(min(entered), rules) if entered else month_of(rules.as_of).next
    while month.first_day <= rules.as_of:
        months.append(month)
        month = month.next
    return months


def as_of(day: date, rules: Rules) -> Rules:
    """The same rules on an earlier day."""
    return rules._replace(as_of=min(day, rules.as_of))


def stage_win_rates(raw: Raw, rules: Rules) -> list[Row]:
    """For each month and stage, what was known at the end of the month."""
    rows: list[Row] = []
    for month in months_known(raw, rules):
        found = deals_known(raw, as_of(month.last_day, rules))
        for stage, prospect in prospects(found, month, rules).items():
            rate = ratio(prospect.won, prospect.judged)
            counts = (prospect.horizon, prospect.judged, prospect.won)
            rows.append((month.first_day, stage, *counts, rate))
    return rows


def pipeline_forecast(raw: Raw, rules: Rules) -> list[Row]:
    """What is open, and what of it will be won as in the past."""
    found = deals_known(raw, rules)
    recorded = currencies(raw, rules)
    today = month_of(rules.as_of)
    known = prospects(found, today, rules)
    stages = {
        (step.kpi_name, step.funnel_step, step.step_order)
        for step in raw.steps
        if step.source_type == "stage"
    }
    open_deals: dict[tuple[Any, ...], list[tuple[Deal, Visit]]] = {}
    for deal in found:
        if deal.status == "open" and deal.position:
            at = named(deal.position.stage)
            open_deals.setdefault(at, []).append((deal, deal.position))
    rows: list[Row] = []
    for stage in stages | set(open_deals):
        there = open_deals.get(stage, [])
        prospect = known.get(str(stage[0]))
        hopeful = [deal for deal, visit in there if not is_given_up(known, visit, today, rules)]
        values = [deal.value for deal, _ in there if deal.value is not None]
        of = {recorded.get(deal.deal_id) for deal, _ in there if deal.value is not None}
        is_sum = len(of) == 1
        hoped = sum(
            (Fraction(deal.value) for deal in hopeful if deal.value is not None), Fraction()
        )
        rate = prospect.rate if prospect else None
        rows.append(
            (
                *stage,
                len(there),
                len(there) - len(hopeful),
                sum(values) if is_sum else None,
                *(of if is_sum else (None,)),
                len(of),
                ratio(prospect.won, prospect.judged) if prospect else None,
                percentile(days_to_win(found, str(stage[0])), "0.5"),
                None if rate is None else rounded(len(hopeful) * rate),
                rounded(hoped * rate, 2) if is_sum and rate is not None else None,
            )
        )
    return rows


def days_to_win(found: Sequence[Deal], stage: str) -> list[Decimal]:
    """How long before the winning the visits began after which a deal was won."""
    return [
        days_between(visit.entered_at, visit.attempt.ended_at)
        for deal in found
        for visit in deal.visits
        if visit.counts and visit.stage.kpi_name == stage
        if visit.attempt.outcome == "won" and visit.attempt.ended_at
    ]


class Hope:
    """An open deal of a past month: what was expected of it."""

    def __init__(self, deal: Deal, visit: Visit, prospect: Prospect, month: Month) -> None:
        """Begin."""
        self.deal_id, self.attempt = deal.deal_id, visit.attempt.number
        self.share = prospect.rate or Fraction()
        self.horizon, self.month = prospect.horizon, month

    def has_won(self, raw: Raw, rules: Rules) -> bool:
        """Whether its attempt was won, as known when the horizon was over."""
        end = self.month
        for _ in range(self.horizon):
            end = end.next
        then = deals_known(raw, as_of(end.last_day, rules))
        (deal,) = [deal for deal in then if deal.deal_id == self.deal_id]
        return deal.attempts[self.attempt - 1].outcome == "won"


def pipeline_forecast_backtest(raw: Raw, rules: Rules) -> list[Row]:
    """For the end of each month: the forecast of that day, and what became of it."""
    rows: list[Row] = []
    seen: set[int] = set()
    for month in months_known(raw, rules):
        if month.last_day > rules.as_of:
            continue
        found = deals_known(raw, as_of(month.last_day, rules))
        known = prospects(found, month, rules)
        hopes: list[Hope] = []
        open_deals = [deal for deal in found if deal.status == "open" and deal.position]
        for deal in open_deals:
            prospect = known.get(str(deal.position.stage.kpi_name)) if deal.position else None
            if deal.position and prospect and prospect.rate is not None:
                hope = Hope(deal, deal.position, prospect, month)
                if is_given_up(known, deal.position, month, rules):
                    hope.share = Fraction()
                hopes.append(hope)
        horizon = max((hope.horizon for hope in hopes), default=None)
        end = month
        for _ in range(horizon or 0):
            end = end.next
        is_over = end.last_day <= rules.as_of
        new = [hope for hope in hopes if hope.deal_id not in seen]
        seen |= {deal.deal_id for deal in open_deals}
        is_rated = bool(hopes) or not open_deals
        won = [hope for hope in hopes if is_over and hope.has_won(raw, rules)]
        rows.append(
            (
                month.first_day,
                len(open_deals),
                len(hopes),
                horizon,
                is_over,
                rounded(sum(hope.share for hope in hopes)) if is_rated else None,
                len(won) if is_rated and is_over else None,
                len(new),
                rounded(sum(hope.share for hope in new)) if is_rated else None,
                len([hope for hope in won if hope in new]) if is_rated and is_over else None,
            )
        )
    return rows


def age_in_months(entered_at: datetime, month: Month, rules: Rules) -> int:
    """Calendar months since a moment."""
    entered = local_day(entered_at, rules.zone)
    return 12 * (month.first_day.year - entered.year) + month.first_day.month - entered.month


def limit_in_days(durations: Sequence[tuple[int, bool]], rules: Rules) -> int | None:
    """The days within which nine of ten visits are over, by Kaplan and Meier."""
    if sum(is_over for _, is_over in durations) < rules.min_visits:
        return None
    left = Fraction(1)
    for days in sorted({days for days, _ in durations}):
        at_risk = sum(1 for other, _ in durations if other >= days)
        ended = sum(1 for other, is_over in durations if other == days and is_over)
        left *= 1 - Fraction(ended, at_risk)
        if left <= Fraction(1, 10):
            return days
    return None


def stalled_deals(raw: Raw, rules: Rules) -> list[Row]:
    """Open deals that have not moved for longer than is usual in their stage."""
    found = deals_known(raw, rules)
    today = month_of(rules.as_of)
    known = prospects(found, today, rules)
    stays: dict[str, list[tuple[int, bool]]] = {}
    for deal in found:
        for visit in deal.visits:
            if visit.counts:
                end = local_day(visit.exited_at, rules.zone) if visit.exited_at else rules.as_of
                days = (end - local_day(visit.entered_at, rules.zone)).days
                stay = (days, visit.exited_at is not None)
                stays.setdefault(str(visit.stage.kpi_name), []).append(stay)
    of_funnel = limit_in_days([stay for stage in stays.values() for stay in stage], rules)
    rows: list[Row] = []
    for deal in found:
        visit_now = deal.position
        if deal.status != "open" or not visit_now:
            continue
        if is_given_up(known, visit_now, today, rules):
            continue
        limit = limit_in_days(stays.get(str(visit_now.stage.kpi_name), []), rules)
        limit, limit_of = (of_funnel, "funnel") if limit is None else (limit, "stage")
        if rules.stalled_after_days is not None:
            limit, limit_of = rules.stalled_after_days, "var"
        days = (rules.as_of - local_day(moved_at(deal), rules.zone)).days
        if limit is not None and days > limit:
            rows.append(
                (
                    deal.deal_id,
                    deal.owner_id,
                    *named(visit_now.stage),
                    moved_at(deal),
                    days,
                    Decimal(limit),
                    limit_of,
                )
            )
    return rows


def owners_recorded(raw: Raw) -> dict[int | None, list[tuple[datetime, int]]]:
    """When a deal was given to whom."""
    owners: dict[int | None, list[tuple[datetime, int]]] = {}
    for row in raw.deal_changes:
        if clean(row.changed_field_key) == "user_id" and row.change_time is not None:
            if re.fullmatch("[0-9]{1,18}", clean(row.new_value)):
                change = (row.change_time, int(clean(row.new_value)))
                owners.setdefault(row.deal_id, []).append(change)
    return owners


def stats_by_owner(raw: Raw, month: Month, last_day: date, zone: str) -> list[Row]:
    """The rows of monthly_stats_by_owner for one month, up to a day."""
    owners = owners_recorded(raw)
    events: list[tuple[str, int, datetime, int | None]] = []
    for row in raw.deal_changes:
        kpi = counted_deal_kpi(raw, row)
        if kpi and kpi.funnel_step and row.deal_id is not None and row.change_time is not None:
            at = row.change_time
            before = [change for change in owners.get(row.deal_id, []) if change[0] <= at]
            owner = max(before)[1] if before else None
            events.append((kpi.funnel_step, row.deal_id, at, owner))
    for activity in raw.activities:
        step = activity_kpi(raw, activity.type).funnel_step
        if not counts_here(raw, activity):
            continue
        if step and activity.deal_id is not None and activity.due_to:
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


def stats_by_pipeline(raw: Raw, month: Month, last_day: date, zone: str) -> list[Row]:
    """The rows of monthly_stats_by_pipeline for one month, up to a day."""
    events: list[tuple[str, int | None, int | None, datetime | None]] = []
    for row in raw.deal_changes:
        kpi = counted_deal_kpi(raw, row)
        if kpi and kpi.field == "stage_id":
            pipeline = entered_pipeline(raw, row)
            events.append((kpi.funnel_step or "", pipeline, row.deal_id, row.change_time))
    for activity in raw.activities:
        if counts_here(raw, activity):
            step = activity_kpi(raw, activity.type).funnel_step or ""
            pipeline = pipeline_at(raw, activity.deal_id, activity.due_to)
            events.append((step, pipeline, activity.deal_id, activity.due_to))
    rows: list[Row] = []
    steps = {(step.funnel_step, step.kpi_name, step.step_order) for step in raw.steps}
    for pipeline in {row.pipeline_id for row in raw.stages if row.pipeline_id is not None}:
        for step, kpi_name, order in steps if pipeline_counts(raw, pipeline) else ():
            deals = {
                deal
                for entered, place, deal, at in events
                if (entered, place) == (step, pipeline)
                and deal is not None
                and at is not None
                and month.first_day <= local_day(at, zone) <= min(month.last_day, last_day)
            }
            name = pipeline_name(raw, pipeline)
            rows.append((month.first_day, pipeline, name, kpi_name, step, order, len(deals)))
    return rows
