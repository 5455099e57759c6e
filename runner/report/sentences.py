"""The sentences of the report, a function each: rows and numbers in, a sentence or nothing out.

A sentence names the number that it speaks of. A superlative needs `FEWEST` deals, and one that
stands out from all others as the page shows them: what looks like a tie is one.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta

from runner.months.ledger import RecordedRun
from runner.report.names import in_sentence
from runner.report.steps import ComparedStep
from runner.show.rows import ForecastBacktest, FunnelStep, PipelineStep, StepVelocity
from runner.text.words import (
    count,
    day_of_year,
    listed,
    long_date,
    month_name,
    percent,
    plural,
    rounded,
    share,
    short_month,
    signed,
    signed_percent,
    tenths,
)

FEWEST = 5
"""From so many deals on, a superlative or a rate says something."""

NOTABLE_ERROR = 0.15

Measure = tuple[float | None, int]
"""A rate or a median, and of how many it is."""

Share = tuple[int, int]
"""How many deals, and of how many."""


def only_largest(values: Sequence[float]) -> int | None:
    """Return the place of what is larger than all others, if there are others."""
    largest = max(values, default=0)
    is_alone = len(values) > 1 and values.count(largest) == 1
    return values.index(largest) if is_alone else None


def narrowing(steps: Sequence[ComparedStep]) -> str | None:
    """Return where the funnel narrows most, of the shares that the page shows."""
    known = [(step, step.share) for step in steps if step.share is not None]
    place = only_largest([-round(rate * 100) for _, rate in known])
    if place is None:
        return None
    found, rate = known[place]
    if (found.above or 0) < FEWEST or rate == 1:
        return None
    return (
        f"The funnel narrows most at {in_sentence(found.step.kpi_name)}: "
        f"{plural(found.step.deals_count, 'deal')} after {count(found.above)}"
    )


def entered(first: FunnelStep | PipelineStep, goal: FunnelStep | PipelineStep) -> str:
    """Return how many deals entered the first step, and the one that wins."""
    said = f"{plural(first.deals_count, 'deal')} entered {in_sentence(first.kpi_name)}"
    if goal.step_order != first.step_order:
        said += f", {count(goal.deals_count)} {in_sentence(goal.kpi_name)}"
    return said


def got_through(reached: int, created: int, goal: str) -> str | None:
    """Return how many of the deals created came to the step that wins."""
    if not created:
        return None
    rate = f" ({percent(reached / created)})" if created >= FEWEST else ""
    return (
        f"{count(reached)} of {plural(created, 'deal')} created reached {in_sentence(goal)}{rate}"
    )


def year_on_year(counts: Sequence[tuple[int, int | None]], year_before: date) -> str | None:
    """Return how many steps saw more and fewer deals (now, before) than a year ago."""
    known = [(now, before) for now, before in counts if before is not None]
    if not known:
        return None
    more = sum(now > before for now, before in known)
    fewer = sum(now < before for now, before in known)
    kinds = (
        (more, "more", "than"),
        (fewer, "fewer", "than"),
        (len(known) - more - fewer, "as many", "as"),
    )
    (first, what, than), *rest = [kind for kind in kinds if kind[0]]
    said = f"{count(first)} of {plural(len(known), 'step')} saw {what} deals {than} in "
    return ", ".join([said + month_name(year_before), *(f"{n} {what}" for n, what, _ in rest)])


def goals_reached(steps: Sequence[tuple[str, int, float]]) -> str | None:
    """Return how many steps (name, deals, goal) reached their goals, and which fell short most."""
    if not steps:
        return None
    short = [(deals / goal, name, deals, goal) for name, deals, goal in steps if deals < goal]
    if not short:
        return f"{plural(len(steps), 'goal')} set, all reached"
    _, name, deals, goal = min(short)
    said = f"{count(len(steps) - len(short))} of {plural(len(steps), 'goal')} reached"
    return f"{said}; furthest below is {in_sentence(name)}: {count(deals)} of {rounded(goal)}"


def against_goal(value: float | None, goal: float | None, say: Callable[[float], str]) -> list[str]:
    """Return whether a number came to its goal, if it has one."""
    if value is None or goal is None:
        return []
    return [f"goal of {say(goal)} {'reached' if value >= goal else 'missed'}"]


def unknown_goals(measures: Sequence[str]) -> str | None:
    """Return which goals are about nothing that is measured."""
    if not measures:
        return None
    return (
        f"seeds/goals.csv sets goals for {listed(measures)}: no step of the funnel, nor win_rate."
    )


def won_of_closed(now: Share, before: Share, months: int) -> str | None:
    """Return how many of the deals closed in the last months were won, and in those before."""
    won, closed = now
    if closed < FEWEST:
        verb = "was" if won == 1 else "were"
        return f"{count(won)} of {plural(closed, 'closed deal')} {verb} won" if closed else None
    rate = percent(won / closed)
    said = f"{rate} of {count(closed)} deals closed in {plural(months, 'month')} were won"
    if before[1] < FEWEST:
        return said
    return f"{said}, {percent(before[0] / before[1])} of {count(before[1])} in the year before"


def slowest_step(rows: Sequence[StepVelocity]) -> str | None:
    """Return in which step deals stay longest, of the visits that ended in a month."""
    known = [(row, row.median_days) for row in rows if row.median_days is not None]
    place = only_largest([round(days, 1) for _, days in known])
    if place is None:
        return None
    row, days = known[place]
    if row.visits_ended_count < FEWEST:
        return None
    return (
        f"Deals stay longest in {in_sentence(row.kpi_name)}: "
        f"half of {count(row.visits_ended_count)} visits took {tenths(days)} days or more"
    )


def visits_ended(rows: Sequence[StepVelocity]) -> str:
    """Return how many visits ended, to how many steps."""
    visits = sum(row.visits_ended_count for row in rows)
    return f"{plural(visits, 'visit')} to {plural(len(rows), 'step')} ended"


def lost_most(by_step: Sequence[tuple[str, int]]) -> str:
    """Return in which step more deals are lost than in any other; else how many are lost."""
    lost = sum(deals for _, deals in by_step)
    place = only_largest([deals for _, deals in by_step])
    if place is None or lost < FEWEST:
        return f"{plural(lost, 'deal')} {'was' if lost == 1 else 'were'} lost"
    step, deals = by_step[place]
    of = f"{count(deals)} of {count(lost)}"
    return f"More deals were lost in {in_sentence(step)} than elsewhere: {of}"


def most_given_reason(by_reason: Sequence[tuple[str, int]]) -> str | None:
    """Return the most frequent reason of the deals lost for a reason."""
    given = sum(deals for _, deals in by_reason)
    place = only_largest([deals for _, deals in by_reason])
    if place is None or given < FEWEST:
        return None
    reason, deals = by_reason[place]
    return f"the most common reason is {in_sentence(reason)}: {count(deals)} of {count(given)}"


def leading_owner(by_owner: Sequence[tuple[str, int]], unowned: int, goal: str) -> str:
    """Return who brought most deals to a step; else how many came, and by how many owners."""
    brought = sum(deals for _, deals in by_owner)
    place = only_largest([deals for _, deals in by_owner])
    if not brought:
        return f"No owner brought a deal to {in_sentence(goal)}"
    if place is None or brought < FEWEST or by_owner[place][1] <= unowned:
        owners = sum(deals > 0 for _, deals in by_owner)
        return f"{plural(owners, 'owner')} brought {plural(brought, 'deal')} to {in_sentence(goal)}"
    name, deals = by_owner[place]
    return (
        f"{in_sentence(name)} brought most deals to {in_sentence(goal)}: "
        f"{count(deals)} of {count(brought + unowned)}"
    )


def stalled_deals(stalled: int, open_deals: int) -> str:
    """Return how many of the open deals are stalled."""
    if not open_deals:
        return "No deal is open"
    some = count(stalled) if stalled else "None"
    are = "are" if stalled > 1 else "is"
    return f"{some} of {plural(open_deals, 'open deal')} {are} stalled"


def stalled_since(said: str, month: date, as_of: date) -> str:
    """Return the sentence about stalled deals in the report of a month that was over by then."""
    return f"Not known for {month_name(month)}. On {long_date(as_of)}: {said}"


def expected_then(row: ForecastBacktest | None, month: date) -> str:
    """Return what was to be expected of the deals that were open at the end of a past month."""
    end = f"at the end of {month_name(month)}"
    if row is None:
        return f"Which deals were open {end} is not known"
    if row.expected_wins is None:
        deals = f"{plural(row.open_deals_count, 'deal')} open {end}"
        return f"How many of {deals} would be won is not known"
    deals = f"{plural(row.rated_deals_count, 'deal')} open {end}"
    return f"About {rounded(row.expected_wins)} of {deals} were expected to be won"


def forecast_error(past: Sequence[ForecastBacktest]) -> str | None:
    """Return by how much the forecasts of past months were off, if that is worth a word."""
    expected, came = _add_up(past)
    off = share(expected - came, came)
    if off is None or came < FEWEST or abs(off) < NOTABLE_ERROR:
        return None
    way = "high" if off > 0 else "low"
    return f"past forecasts were {percent(abs(off))} too {way}, with {plural(came, 'win')}"


def forecast_trial(past: Sequence[ForecastBacktest]) -> str:
    """Return on what the forecast was tried, and how it came out, each deal counted once."""
    tried = [row for row in past if row.new_actual_wins is not None]
    deals = sum(row.new_deals_count for row in tried)
    if not deals:
        return "No past month is old enough to check this forecast."
    expected, came = _add_up(tried)
    return (
        f"Checked against {plural(deals, 'deal')} open at the end of "
        f"{plural(len(tried), 'past month')}, each counted once: {rounded(expected)} wins were "
        f"expected within the horizon, {count(came)} came."
    )


def _add_up(past: Sequence[ForecastBacktest]) -> tuple[float, int]:
    """Return the wins expected and those that came, of the deals that each month adds."""
    known = [
        (row.new_expected_wins, row.new_actual_wins)
        for row in past
        if row.new_expected_wins is not None and row.new_actual_wins is not None
    ]
    return sum(expected for expected, _ in known), sum(came for _, came in known)


def count_against(now: int | None, before: int | None, month: date) -> str:
    """Return how a count compares with that of another month, in per cent if that is of enough."""
    if now is None or before is None:
        return f"not known for {short_month(month)}"
    if before < FEWEST:
        return f"{count(before)} in {short_month(month)}"
    return f"{signed_percent((now - before) / before)} on {short_month(month)}"


def value_against(now: Measure, before: Measure, month: date) -> str:
    """Return how an amount compares with that of another month, in per cent if it is of enough."""
    if now[0] is None or before[0] is None:
        return f"none to compare with in {short_month(month)}"
    if min(now[1], before[1]) < FEWEST or not before[0]:
        return f"{rounded(before[0])} in {short_month(month)}"
    return f"{signed_percent((now[0] - before[0]) / before[0])} on {short_month(month)}"


def measure_against(now: Measure, before: Measure, unit: str, month: date) -> str:
    """Return how a measure in some unit compares with that of another month."""
    if now[0] is None or before[0] is None:
        return f"not known for {short_month(month)}"
    if min(now[1], before[1]) < FEWEST:
        return f"too few to compare with {short_month(month)}"
    return f"{signed(now[0] - before[0], unit)} on {short_month(month)}"


def one_pipeline(pipeline: str) -> str | None:
    """Return what a report does not say because it is about one pipeline, if it is."""
    if not pipeline:
        return None
    return (
        f"This is the pipeline {in_sentence(pipeline)} alone. Deals won, conversion, days in a "
        "step, losses, owners, the forecast and goals are known of all pipelines together only; "
        "the report of all pipelines has them."
    )


def part_counted(month: date, last_day: date) -> str:
    """Return that a month is counted in part."""
    return (
        f"{month_name(month)} is counted to {day_of_year(last_day)} only, "
        "so nothing compares it with whole months."
    )


def old_data(*reasons: str | None) -> str | None:
    """Return that the data are old, and all that shows it."""
    known = [reason for reason in reasons if reason]
    return f"The data are old: {'; '.join(known)}." if known else None


def old_loads(loaded: Mapping[str, datetime | None], now: datetime, hours: float) -> str | None:
    """Return which raw tables got their newest row so long ago that the numbers are old."""
    old = {
        table: at
        for table, at in loaded.items()
        if at is not None and now - at > timedelta(hours=hours)
    }
    if not old:
        return None
    said = listed([f"{plural((now - at).days, 'day')} ago ({table})" for table, at in old.items()])
    return f"the newest rows were loaded {said}"


def old_days(
    newest: Mapping[str, date | None], last_day: date, today: date | None, quiet_days: int
) -> str | None:
    """Return which events stopped long before the last day counted, or that it is long ago."""
    stopped: dict[date, list[str]] = {}
    for events, day in newest.items():
        if day is not None and last_day - day > timedelta(days=quiet_days):
            stopped.setdefault(day, []).append(f"no {events}")
    quiet = [f"{listed(events)} after {long_date(day)}" for day, events in stopped.items()]
    days = (today - last_day).days if today else 0
    if not quiet and days <= quiet_days:
        return None
    ago = f", {count(days)} days ago" if days > quiet_days else ""
    said = [listed(quiet)] if quiet else []
    return "; ".join([*said, f"the last day counted is {long_date(last_day)}{ago}"])


def tests_of_run(tests: int, warnings: Sequence[str] | None) -> str:
    """Return how the tests of a run ended that succeeded."""
    if not tests:
        return "That run tested nothing."
    if warnings is None:
        return f"{plural(tests, 'test')} ran with it: no failure; its warnings are not known."
    ran = f"{plural(tests, 'test')} ran with it: no failure"
    if not warnings:
        return f"{ran}, no warning."
    warned = f"{plural(len(warnings), 'warning')}: {', '.join(warnings)}"
    return f"{ran}, {warned}. `funnel test` explains."


def warnings_of_run(warnings: Sequence[str]) -> str | None:
    """Return of how much the tests of the run warn; what they are called stands with the tests."""
    if not warnings:
        return None
    are = "is" if len(warnings) == 1 else "are"
    return (
        f"{plural(len(warnings), 'warning')} of the run that counted this {are} named at the end."
    )


def later_run(run: RecordedRun | None, last: RecordedRun | None) -> str | None:
    """Return that a run has begun since the last good one and did not come to a good end, if so."""
    if last is None or last.outcome == "success" or (run and last.run_id == run.run_id):
        return None
    ended = "is running" if last.outcome == "running" else f"has ended as {last.outcome}"
    months = f"the months {last.months[0]} to {last.months[-1]}" if last.months else "what it wrote"
    return (
        f"A later run ({last.command}) {ended}: {months} may be wrong. `funnel status` says more."
    )
