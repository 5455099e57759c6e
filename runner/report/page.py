"""The report as one HTML file: everything it needs is in it, and it asks nobody for anything."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from runner.months.ledger import RecordedRun
from runner.report import names, sentences
from runner.report.data import ReportData, Trust
from runner.report.goals import WIN_RATE
from runner.report.palette import SHADES, THEMES
from runner.report.rendering import read_part, render
from runner.report.sections import make_sections
from runner.show.rows import WHOLE_FUNNEL, FunnelStep, PipelineStep
from runner.show.sentences import deals_behind
from runner.text import words


@dataclass(frozen=True)
class Tile:
    """A headline number: what it is, and how it compares."""

    label: str
    value: str
    changes: Sequence[str]


@dataclass(frozen=True)
class Month:
    """A month of the page: its data, and what the page shows of it."""

    data: ReportData
    content: str


def render_page(data: ReportData) -> str:
    """Return the report as HTML, with the months before to choose from.

    A script runs only if it is the one that is written here, by its hash; the page may load
    nothing at all. So even what would get through the escaping could do nothing.
    """
    script = read_part("page.js")
    return render(
        "page.html",
        data=data,
        months=[Month(month, _render_month(month)) for month in (*data.earlier, data)],
        themes=THEMES,
        style=read_part("page.css"),
        script=script,
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        sources=_describe_sources(data),
    )


def _render_month(data: ReportData) -> str:
    return render(
        "month.html",
        notices=make_notices(data),
        tiles=make_tiles(data),
        money=make_money(data),
        sections=make_sections(data),
        shades=SHADES,
    )


def make_tiles(data: ReportData) -> list[Tile]:
    """Return the headline numbers of the month, compared with last month and a year ago.

    A part of a month is compared with nothing, and the open deals are those at its end.
    """
    if data.pipeline:
        steps = sorted(
            {step.step_order: step for step in (data.steps[0], data.winning_step)}.items()
        )
        return [*(_make_step_tile(data, step) for _, step in steps), _make_open_tile(data)]
    won = data.won_in(data.month)
    rates: dict[date, sentences.Measure] = {
        row.month: (
            None if row.win_rate is None else row.win_rate * 100,
            row.won_deals_count + row.lost_deals_count,
        )
        for row in data.win_rates
    }
    days: dict[date, sentences.Measure] = {
        row.month: (row.median_days, row.visits_ended_count)
        for row in data.velocity
        if row.step_order == WHOLE_FUNNEL
    }
    nothing: sentences.Measure = (None, 0)
    rate, closed = rates.get(data.month, nothing)
    median, wins = days.get(data.month, nothing)
    compared = () if data.part_through else (data.previous_month, data.year_before)
    # Deals may be known of less than the steps are.
    deals_compared = () if data.deals_through or won is None else compared
    deals_to = ["not known yet"] if won is None else _to(data.deals_through)
    return [
        _make_step_tile(data, data.steps[0]),
        Tile(
            "Deals won",
            words.count(won),
            [
                *deals_to,
                *(
                    sentences.count_against(won, data.won_in(month), month)
                    for month in deals_compared
                ),
            ],
        ),
        Tile(
            "Win rate" + _of(closed),
            words.percent(None if rate is None else rate / 100),
            [
                *deals_to,
                *sentences.against_goal(
                    None if rate is None or data.deals_through else rate / 100,
                    data.target(WIN_RATE),
                    words.percent,
                ),
                *(
                    sentences.measure_against(
                        (rate, closed), rates.get(month, nothing), "point", month
                    )
                    for month in deals_compared
                ),
            ],
        ),
        Tile(
            "Days to win, median" + _of(wins),
            words.tenths(median),
            [
                *deals_to,
                *(
                    sentences.measure_against(
                        (median, wins), days.get(month, nothing), "day", month
                    )
                    for month in deals_compared
                ),
            ],
        ),
        _make_open_tile(data),
    ]


def _make_step_tile(data: ReportData, step: FunnelStep | PipelineStep) -> Tile:
    goal = None if data.part_through else data.target(step.funnel_step)
    compared = () if data.part_through else (data.previous_month, data.year_before)
    return Tile(
        names.in_sentence(step.kpi_name),
        words.count(step.deals_count),
        [
            *_to(data.part_through),
            *sentences.against_goal(step.deals_count, goal, words.rounded),
            *(
                sentences.count_against(
                    step.deals_count, data.deals_in(month, step.step_order), month
                )
                for month in compared
            ),
        ],
    )


def make_money(data: ReportData) -> list[Tile]:
    """Return what deals brought, and what the open ones are worth, in each currency by itself.

    The currency of most deals comes first and is compared; deals without a currency come last.
    """
    deals: Counter[str | None] = Counter()
    for won in data.won_values:
        deals[won.currency] += won.valued_deals_count
    for found in data.open_values:
        deals[found.currency] += found.valued_deals_count
    currencies = [currency for currency in deals if deals[currency]]
    currencies.sort(key=lambda currency: (currency is None, -deals[currency], currency))
    if not currencies:
        return []
    rows = {(row.currency, row.month): row for row in data.won_values}
    months = (data.month, data.previous_month, data.year_before)
    is_compared = data.deals_through is None and data.won_in(data.month) is not None
    tiles = []
    about_won = (("Value of {} won", "won_value"), ("Average of {} won", "average_value"))
    for label, column in () if data.pipeline else about_won:
        found_in = {
            key: (getattr(row, column), row.valued_deals_count)
            for key, row in rows.items()
            if row.valued_deals_count
        }
        now, *before = [found_in.get((currencies[0], month), (None, 0)) for month in months]
        changes = [
            sentences.value_against(now, then, month)
            for then, month in zip(before, months[1:], strict=True)
        ]
        amounts = [(at, *found_in.get((at, data.month), (None, 0))) for at in currencies]
        tiles.append(
            _make_amounts(label, amounts, changes if is_compared else _to(data.deals_through))
        )
    if not data.is_past:
        worth = {row.currency: (row.open_value, row.valued_deals_count) for row in data.open_values}
        amounts = [(at, *worth.get(at, (None, 0))) for at in currencies]
        as_of = f"as of {words.long_date(data.trust.reference_date)}"
        tiles.append(_make_amounts("Value of {} open", amounts, [as_of]))
    return tiles


def _make_amounts(
    label: str,
    amounts: Sequence[tuple[str | None, float | None, int]],
    changes: Sequence[str],
) -> Tile:
    """Return a tile of one amount, its deals put into the label, and those in other currencies."""
    (first, value, deals), *others = amounts
    more = [
        f"{words.money(amount, currency)}{_of(number)}"
        for currency, amount, number in others
        if number
    ]
    return Tile(
        label.format(words.plural(deals, "deal")), words.money(value, first), [*changes, *more]
    )


def _make_open_tile(data: ReportData) -> Tile:
    label = "Open deals"
    if data.is_past:
        then = data.open_then
        end = f"at the end of {words.short_month(data.month)}"
        said = end if then else f"not known for the end of {words.short_month(data.month)}"
        return Tile(label, words.count(then.open_deals_count if then else None), [said])
    stalled = sum(step.deals_count for step in data.stalled_steps)
    as_of = f"as of {words.long_date(data.trust.reference_date)}"
    return Tile(
        label, words.count(data.open_deals_count), [f"{words.count(stalled)} stalled", as_of]
    )


def _to(day: date | None) -> list[str]:
    """Return to which day a part of a month is counted."""
    return [f"to {words.day_of_year(day)}"] if day else []


def _of(deals: int) -> str:
    """Return of how many deals a rate or a median is."""
    return f" of {words.plural(deals, 'deal')}" if deals else ""


def make_notices(data: ReportData) -> list[str]:
    """Return what a reader has to know before any number, the gravest first."""
    trust, now = data.trust, data.trust.read_at
    said = [
        sentences.old_data(
            sentences.old_loads(trust.last_loaded_at, now, trust.hours_until_old) if now else None,
            sentences.old_days(
                trust.newest_events, trust.last_day, now.date() if now else None, trust.quiet_days
            ),
        ),
        deals_behind(trust.reference_date, trust.last_day),
        sentences.later_run(trust.run, trust.last_run),
        sentences.warnings_of_run((trust.run and trust.run.warnings) or ()),
        data.part_through and sentences.part_counted(data.month, data.part_through),
        data.reason,
        sentences.one_pipeline(data.pipeline),
        sentences.unknown_goals(
            sorted(
                {goal.measure for goal in data.goals}
                - {step.funnel_step for step in data.steps}
                - {WIN_RATE}
            )
        ),
    ]
    return [sentence for sentence in said if sentence]


def _describe_sources(data: ReportData) -> list[tuple[str, str]]:
    trust = data.trust
    loaded = [f"{table} {words.minute(at)}" for table, at in trust.last_loaded_at.items()]
    return [
        (
            "Reference date",
            f"{words.long_date(trust.reference_date)}. Events after it do not count.",
        ),
        (
            "Days built",
            f"{words.long_date(trust.first_day)} to {words.long_date(trust.last_day)}, "
            f"in the time zone {trust.timezone}.",
        ),
        ("Newest rows loaded", ", ".join(loaded) or "not known"),
        *([("History of deals", f"Complete {trust.history.describe()}.")] if trust.history else []),
        *([("Not known to the loader", f"{trust.cannot_give}.")] if trust.cannot_give else []),
        ("Tests", _describe_tests(trust)),
        ("Run", _describe_run(trust.run)),
        (
            "Counted once",
            "A deal counts once per step and month, however often it enters the step; its deal "
            "days say on how many days it did.",
        ),
        (
            "What is an event",
            "A deal enters a step when it is moved there, or when a call is done that stands for "
            "the step, on the day the call was due.",
        ),
        (
            "Reached and entered",
            "A deal has reached a step when it was in it or in a later one, and entered it only "
            "when it was in it.",
        ),
        (
            "Personal data",
            "Names of owners, because they were asked for."
            if data.names
            else "None: owners are numbers.",
        ),
    ]


def _describe_tests(trust: Trust) -> str:
    if trust.run is None:
        return "No recorded run built everything."
    return sentences.tests_of_run(trust.run.tests or 0, trust.run.warnings)


def _describe_run(run: RecordedRun | None) -> str:
    if run is None:
        return words.DASH
    return f"{run.run_id}, {run.command}, {run.version}, began {words.minute(run.started_at)}"
