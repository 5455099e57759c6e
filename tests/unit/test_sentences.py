"""What the report says, sentence by sentence, and page by page of data that nobody hopes for."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest

from runner.months.ledger import RecordedRun
from runner.report import sentences
from runner.report.data import OwnerTotal, ReportData, Trust
from runner.report.figures import Bars
from runner.report.goals import Goal, find_target
from runner.report.open_deals import OpenValue, StalledStep
from runner.report.page import make_money, make_notices, make_tiles
from runner.report.sections import make_sections
from runner.report.steps import compare_steps
from runner.show.rows import (
    ForecastBacktest,
    FunnelStep,
    LossCount,
    PipelineStep,
    StepForecast,
    StepVelocity,
    WinRate,
    WonValue,
)
from runner.show.sentences import (
    deals_behind,
    expected_wins,
    not_known_yet,
    several_currencies,
    value_of_step,
)

MARCH, YEAR_BEFORE = date(2024, 3, 1), date(2023, 3, 1)
END = date(2024, 3, 31)
LABELS = ("1", "2", "2.1", "3", "7")
NAMES = ("Lead", "Qualified", "Call", "Needs", "Won")
CALL = frozenset({3})


def funnel(*deals: int, month: date = MARCH) -> list[FunnelStep]:
    named = zip(NAMES, LABELS, deals, strict=False)
    return [
        FunnelStep(month, name, label, count, order, count)
        for order, (name, label, count) in enumerate(named, start=1)
    ]


def plain(text: str | None) -> str | None:
    """A text without the marks around names that keep their writing direction."""
    return None if text is None else text.replace("\u2068", "").replace("\u2069", "")


def report(
    *deals: int, last_day: date = END, reference: date = END, run_warnings: Sequence[str] = ()
) -> ReportData:
    at = datetime(2024, 4, 1, 2, tzinfo=timezone.utc)
    run = RecordedRun(
        *("1", "funnel run", "1", reference, ["2024-03"], at, at, "success"),
        *(True, 20, 96, 1000, [*run_warnings]),
    )
    trust = Trust(reference, date(2023, 1, 1), last_day, run=run, last_run=run)
    return ReportData(MARCH, funnel(*(deals or (40, 20, 61, 15, 5))), trust, parallel_steps=CALL)


def with_changes(data: ReportData, **changes: object) -> ReportData:
    return ReportData(**{**vars(data), **changes})


def title_of(data: ReportData, name: str) -> str:
    section = next(section for section in make_sections(data) if section.name == name)
    return str(plain(section.title))


@pytest.mark.parametrize(
    ("deals", "shares"),
    [
        # A call is no stage: no share of the one above, and the next stage skips it.
        ((40, 20, 61, 15, 5), (None, 0.5, None, 0.75, 1 / 3)),
        ((20, 40, 61, 0, 5), (None, None, None, 0, None)),
        ((0, 0, 0, 0, 0), (None, None, None, None, None)),
    ],
)
def test_shares_of_the_stage_above(deals: Sequence[int], shares: Sequence[float | None]) -> None:
    assert tuple(row.share for row in compare_steps(funnel(*deals), CALL)) == shares


@pytest.mark.parametrize(
    ("deals", "said"),
    [
        ((40, 20, 61, 15, 5), "The funnel narrows most at Won: 5 deals after 15"),
        ((40, 10, 61, 9, 9), "The funnel narrows most at Qualified: 10 deals after 40"),
        ((40, 20, 61, 10, 10), None),  # a tie
        ((1000, 501, 61, 250, 250), None),  # 50 % and 50 %: a tie as it is shown
        ((8, 8, 3, 4, 1), None),  # one of four
        ((8, 8, 3, 8, 8), None),
        ((8, 9, 3, 10, 11), None),
        ((40, 20), None),  # nothing to stand out from
        ((0, 0, 0, 0, 0), None),
    ],
)
def test_where_the_funnel_narrows_most(deals: Sequence[int], said: str | None) -> None:
    assert plain(sentences.narrowing(compare_steps(funnel(*deals), CALL))) == said


@pytest.mark.parametrize(
    ("place", "said"),
    [(4, "40 deals entered Lead, 5 Won"), (0, "40 deals entered Lead")],
)
def test_how_many_entered(place: int, said: str) -> None:
    steps = funnel(40, 20, 61, 15, 5)
    assert plain(sentences.entered(steps[0], steps[place])) == said


@pytest.mark.parametrize(
    ("reached", "created", "said"),
    [
        (140, 412, "140 of 412 deals created reached Won (34%)"),
        (0, 5, "0 of 5 deals created reached Won (0%)"),
        (1, 4, "1 of 4 deals created reached Won"),
        (1, 1, "1 of 1 deal created reached Won"),
        (0, 0, None),
    ],
)
def test_how_many_got_through(reached: int, created: int, said: str | None) -> None:
    assert plain(sentences.got_through(reached, created, "Won")) == said


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            [(5, 3), (5, 7), (4, 4), (9, 7)],
            "2 of 4 steps saw more deals than in March 2023, 1 fewer, 1 as many",
        ),
        ([(5, 3), (9, 7)], "2 of 2 steps saw more deals than in March 2023"),
        ([(0, 0), (0, 0)], "2 of 2 steps saw as many deals as in March 2023"),
        ([(0, 2), (3, None)], "1 of 1 step saw fewer deals than in March 2023"),
        ([(3, None)], None),
        ([], None),
    ],
)
def test_a_year_ago(counts: Sequence[tuple[int, int | None]], said: str | None) -> None:
    assert sentences.year_on_year(counts, YEAR_BEFORE) == said


def visits(*rows: tuple[int, float | None]) -> list[StepVelocity]:
    return [
        StepVelocity(MARCH, name, label, order, ended, days, days, days)
        for order, (name, label, (ended, days)) in enumerate(
            zip(NAMES, LABELS, rows, strict=False), start=1
        )
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            visits((9, 2.5), (34, 12.54)),
            "Deals stay longest in Qualified: half of 34 visits took 12.5 days or more",
        ),
        (visits((9, 12.51), (34, 12.54)), None),  # a tie as it is shown
        (visits((9, 2.5), (4, 12.5)), None),
        (visits((9, 2.5), (40, None)), None),
        (visits((9, 0.0), (40, 0.0)), None),
        (visits((9, 2.5)), None),
        ([], None),
    ],
)
def test_the_slowest_step(rows: Sequence[StepVelocity], said: str | None) -> None:
    assert plain(sentences.slowest_step(rows)) == said


def test_visits_that_ended() -> None:
    assert sentences.visits_ended(visits((9, 2.5), (4, 1))) == "13 visits to 2 steps ended"
    assert sentences.visits_ended(visits((1, 2.5))) == "1 visit to 1 step ended"


@pytest.mark.parametrize(
    ("by_step", "said"),
    [
        ([("A", 12), ("B", 3)], "More deals were lost in A than elsewhere: 12 of 15"),
        ([("A", 6), ("B", 6)], "12 deals were lost"),
        ([("A", 3), ("B", 1)], "4 deals were lost"),
        ([("A", 1)], "1 deal was lost"),
        ([("A", 15)], "15 deals were lost"),
    ],
)
def test_where_most_are_lost(by_step: Sequence[tuple[str, int]], said: str) -> None:
    assert plain(sentences.lost_most(by_step)) == said


@pytest.mark.parametrize(
    ("by_reason", "said"),
    [
        ([("Price", 12), ("Time", 3)], "the most common reason is Price: 12 of 15"),
        ([("Price", 6), ("Time", 6)], None),
        ([("Price", 3), ("Time", 1)], None),
        ([("Price", 15)], None),
        ([], None),
    ],
)
def test_the_reason_given_most(by_reason: Sequence[tuple[str, int]], said: str | None) -> None:
    assert plain(sentences.most_given_reason(by_reason)) == said


@pytest.mark.parametrize(
    ("by_owner", "unowned", "said"),
    [
        ([("Ann", 12), ("Bo", 3)], 0, "Ann brought most deals to Won: 12 of 15"),
        ([("Ann", 12), ("Bo", 3)], 5, "Ann brought most deals to Won: 12 of 20"),
        ([("Ann", 12), ("Bo", 3)], 12, "2 owners brought 15 deals to Won"),
        ([("Ann", 6), ("Bo", 6), ("Cy", 0)], 0, "2 owners brought 12 deals to Won"),
        ([("Ann", 2), ("Bo", 1)], 0, "2 owners brought 3 deals to Won"),
        ([("Ann", 1)], 0, "1 owner brought 1 deal to Won"),
        ([("Ann", 0), ("Bo", 0)], 7, "No owner brought a deal to Won"),
    ],
)
def test_the_leading_owner(by_owner: Sequence[tuple[str, int]], unowned: int, said: str) -> None:
    assert plain(sentences.leading_owner(by_owner, unowned, "Won")) == said


@pytest.mark.parametrize(
    ("stalled", "open_deals", "said"),
    [
        (275, 423, "275 of 423 open deals are stalled"),
        (1, 3, "1 of 3 open deals is stalled"),
        (0, 3, "None of 3 open deals is stalled"),
        (0, 0, "No deal is open"),
    ],
)
def test_stalled_deals(stalled: int, open_deals: int, said: str) -> None:
    assert sentences.stalled_deals(stalled, open_deals) == said


def forecast(*rows: tuple[int, float | None]) -> list[StepForecast]:
    return [
        StepForecast(name, label, order, deals, 0, None, None, 0, None, None, wins, None)
        for order, (name, label, (deals, wins)) in enumerate(
            zip(NAMES, LABELS, rows, strict=False), start=1
        )
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (forecast((20, 4.4), (3, 1.2)), "About 6 of 23 open deals should be won"),
        (
            forecast((20, 4.4), (3, None)),
            "About 4 of 20 open deals should be won; for 3 more it is not known",
        ),
        (forecast((3, None)), "How many of 3 open deals should be won is not known"),
        (forecast((20, 0.0)), "About 0 of 20 open deals should be won"),
        (forecast((0, 0.0)), "No open deal to forecast"),
        ([], "No open deal to forecast"),
    ],
)
def test_expected_wins(rows: Sequence[StepForecast], said: str) -> None:
    assert expected_wins(rows) == said


def past(expected: float | None, came: int | None, deals: int = 50) -> ForecastBacktest:
    """Of the deals that were open, 40 are in no earlier month."""
    rated = 0 if expected is None else deals
    known = (deals, rated, 2 if rated else None, True, expected, came if rated else None)
    new = (min(rated, 40), expected, came if rated else None)
    return ForecastBacktest(MARCH, *known, *new)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            past(12.4, 10),
            "About 12 of 50 deals open at the end of March 2024 were expected to be won",
        ),
        (
            past(None, 10),
            "How many of 50 deals open at the end of March 2024 would be won is not known",
        ),
        (None, "Which deals were open at the end of March 2024 is not known"),
    ],
)
def test_expected_wins_of_a_past_month(row: ForecastBacktest | None, said: str) -> None:
    assert sentences.expected_then(row, MARCH) == said


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([past(12, 10)], "past forecasts were 20% too high, with 10 wins"),
        ([past(5, 10), past(2, 0)], "past forecasts were 30% too low, with 10 wins"),
        ([past(10, 10)], None),
        ([past(8, 4)], None),
        ([past(12, 10), past(None, 90)], "past forecasts were 20% too high, with 10 wins"),
        ([past(None, 10)], None),
        ([], None),
    ],
)
def test_forecast_error(rows: Sequence[ForecastBacktest], said: str | None) -> None:
    assert sentences.forecast_error(rows) == said


def test_forecast_trial() -> None:
    said = sentences.forecast_trial([past(12, 10), past(5.6, 9), past(None, 3)])
    assert said.startswith(
        "Checked against 80 deals open at the end of 2 past months, each counted once"
    )
    assert "18 wins were expected within the horizon, 19 came." in said
    assert "old enough" in sentences.forecast_trial([past(None, 3)])


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (12, 10, "+20% on Mar 2023"),
        (0, 10, "−100% on Mar 2023"),
        (10, 10, "±0% on Mar 2023"),
        (0, 0, "0 in Mar 2023"),
        (6, 2, "2 in Mar 2023"),
        (None, 10, "not known for Mar 2023"),
        (0, None, "not known for Mar 2023"),
    ],
)
def test_counts_compared(now: int | None, before: int | None, said: str) -> None:
    assert sentences.count_against(now, before, YEAR_BEFORE) == said


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        ((12.5, 5), (10.0, 5), "+2.5 days on Mar 2023"),
        ((0.0, 9), (0.0, 9), "±0 days on Mar 2023"),
        ((None, 0), (10.0, 9), "not known for Mar 2023"),
        ((10.0, 9), (None, 0), "not known for Mar 2023"),
        ((12.5, 9), (10.0, 4), "too few to compare with Mar 2023"),
        ((12.5, 1), (10.0, 9), "too few to compare with Mar 2023"),
    ],
)
def test_measures_compared(now: sentences.Measure, before: sentences.Measure, said: str) -> None:
    assert sentences.measure_against(now, before, "day", YEAR_BEFORE) == said


@pytest.mark.parametrize(
    ("known_through", "last_day", "said"),
    [
        (END, END, None),
        (None, END, None),
        (END, None, None),
        (
            date(2024, 1, 31),
            END,
            "Deals are known through 31 January 2024 only, the steps of the funnel through "
            "31 March 2024. `funnel run --source-dt 2024-03-31` brings deals forward.",
        ),
    ],
)
def test_deals_behind(known_through: date | None, last_day: date | None, said: str | None) -> None:
    assert deals_behind(known_through, last_day) == said


@pytest.mark.parametrize(
    ("known_through", "said"),
    [
        (date(2024, 2, 29), "Not known yet: deals are known through 29 February 2024"),
        (date(2024, 3, 1), None),
        (None, None),
    ],
)
def test_not_known_yet(known_through: date | None, said: str | None) -> None:
    assert not_known_yet(MARCH, known_through) == said


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2024, 4, 7), None),
        (
            date(2024, 4, 8),
            "the last day counted is 31 March 2024, 8 days ago",
        ),
    ],
)
def test_old_days(today: date, said: str | None) -> None:
    assert sentences.old_days({}, END, today, 7) == said


NOW = datetime(2024, 4, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        ({"activity": 23, "deal_changes": 24}, None),
        (
            {"activity": 23, "deal_changes": 50},
            "the newest rows were loaded 2 days ago (deal_changes)",
        ),
        ({"activity": None}, None),
        ({}, None),
    ],
)
def test_old_loads(hours: dict[str, int | None], said: str | None) -> None:
    loaded = {
        table: None if age is None else NOW - timedelta(hours=age) for table, age in hours.items()
    }
    assert sentences.old_loads(loaded, NOW, 24) == said


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ({"activity": 0, "deal change": 7}, None),
        (
            {"activity": 20, "deal change": 0},
            "no activity after 11 March 2024; the last day counted is 31 March 2024",
        ),
        (
            {"activity": 20, "deal change": 10},
            "no activity after 11 March 2024 and no deal change after 21 March 2024; "
            "the last day counted is 31 March 2024",
        ),
        (
            {"activity": 20, "deal change": 20},
            "no activity and no deal change after 11 March 2024; "
            "the last day counted is 31 March 2024",
        ),
        ({"activity": None}, None),
    ],
)
def test_events_that_stopped(days: dict[str, int | None], said: str | None) -> None:
    newest = {name: None if age is None else END - timedelta(age) for name, age in days.items()}
    assert sentences.old_days(newest, END, None, 7) == said


def test_data_are_old_for_all_that_shows_it() -> None:
    assert sentences.old_data(None, None) is None
    assert sentences.old_data("one", None, "two") == "The data are old: one; two."
    newest = {"activity": END - timedelta(20), "deal change": END}
    assert sentences.old_days(newest, END, date(2024, 4, 8), 7) == (
        "no activity after 11 March 2024; the last day counted is 31 March 2024, 8 days ago"
    )


@pytest.mark.parametrize(
    ("warnings", "tests", "said"),
    [
        ((), 0, "That run tested nothing."),
        (None, 96, "96 tests ran with it: no failure; its warnings are not known."),
        ((), 96, "96 tests ran with it: no failure, no warning."),
        (
            ("dry", "late"),
            96,
            "96 tests ran with it: no failure, 2 warnings: dry, late. `funnel test` explains.",
        ),
        (("dry",), 1, "1 test ran with it: no failure, 1 warning: dry. `funnel test` explains."),
    ],
)
def test_tests_of_the_run(warnings: Sequence[str] | None, tests: int, said: str) -> None:
    assert sentences.tests_of_run(tests, warnings) == said


@pytest.mark.parametrize(
    ("outcome", "months", "said"),
    [
        ("success", ["2024-03"], None),
        (
            "failed",
            ["2024-02", "2024-03"],
            "A later run (funnel run) has ended as failed: the months 2024-02 to 2024-03 may be "
            "wrong. `funnel status` says more.",
        ),
        (
            "running",
            [],
            "A later run (funnel run) is running: what it wrote may be wrong. "
            "`funnel status` says more.",
        ),
    ],
)
def test_a_later_run(outcome: str, months: list[str], said: str | None) -> None:
    run = report().trust.run
    assert run
    last = replace(run, run_id="later", outcome=outcome, months=months)
    assert sentences.later_run(run, last) == said
    assert sentences.later_run(run, run) is None
    assert sentences.later_run(None, None) is None


# The pages that these sentences make, each a fault that was on one.


def test_a_call_has_no_share_of_the_stage_above() -> None:
    section = make_sections(report(40, 20, 61, 15, 5))[0]
    assert section.table
    assert [row[3] for row in section.table.rows] == ["", "50%", "", "75%", "33%"]


def test_the_funnel_narrows_where_the_page_shows_it() -> None:
    later = report(40, 30, 61, 20, 10)
    steps = [*later.funnel, FunnelStep(MARCH, "Renewal", "9", 1, 6, 1)]
    assert title_of(with_changes(later, funnel=steps), "funnel") == (
        "The funnel narrows most at Renewal: 1 deal after 10"
    )


@pytest.mark.parametrize("last_day", [date(2024, 3, 11), END])
def test_a_part_of_a_month_is_compared_with_nothing(last_day: date) -> None:
    part = report(last_day=last_day, reference=last_day)
    # Built further, it holds no event after that day.
    newest = {"deal change": date(2024, 3, 11)}
    part = with_changes(part, trust=replace(part.trust, newest_events=newest))
    year_before = funnel(80, 40, 61, 30, 10, month=YEAR_BEFORE)
    part = with_changes(
        part,
        funnel=[*year_before, *part.funnel],
        win_rates=[WinRate(MARCH, 5, 5, 0, 0.5), WinRate(YEAR_BEFORE, 20, 5, 0, 0.8)],
    )
    assert title_of(part, "trend") == "Month by month"
    for tile in make_tiles(part)[:4]:
        assert not any(" on " in said or "2023" in said for said in tile.changes)
        assert "to 11 March" in tile.changes
    assert any("March 2024 is counted to 11 March only" in said for said in make_notices(part))
    charts = next(section for section in make_sections(part) if section.name == "trend").charts
    assert all("March 2024 (to 11 March)" in chart.said for chart in charts)


def test_what_is_not_known_is_not_0() -> None:
    behind = report(reference=date(2024, 1, 31))
    tiles = {tile.label: tile for tile in make_tiles(behind)}
    assert tiles["Deals won"].value == ""
    assert tiles["Deals won"].changes == ["not known yet"]
    for name in ("losses", "velocity", "owners"):
        assert title_of(behind, name) == ("Not known yet: deals are known through 31 January 2024")
    assert any("through 31 January 2024 only" in said for said in make_notices(behind))
    known = {tile.label: tile for tile in make_tiles(report())}
    assert known["Deals won"].value == "0"
    assert title_of(report(), "losses") == "No deal was lost"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], None),
        ([("Lead", 10, 10.0), ("Won", 4, 3.0)], "2 goals set, all reached"),
        ([("Lead", 9, 10.0)], "0 of 1 goal reached; furthest below is Lead: 9 of 10"),
        (
            [("Lead", 90, 100.0), ("Won", 4, 8.0), ("Needs", 20, 20.0)],
            "1 of 3 goals reached; furthest below is Won: 4 of 8",
        ),
    ],
)
def test_goals_reached(steps: list[tuple[str, int, float]], said: str | None) -> None:
    assert plain(sentences.goals_reached(steps)) == said


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        ((0, 0), (9, 9), None),
        ((1, 4), (9, 9), "1 of 4 closed deals was won"),
        ((2, 3), (0, 0), "2 of 3 closed deals were won"),
        ((2, 8), (1, 4), "25% of 8 deals closed in 12 months were won"),
        (
            (200, 1_000),
            (3, 10),
            "20% of 1,000 deals closed in 12 months were won, 30% of 10 in the year before",
        ),
    ],
)
def test_won_of_closed(now: tuple[int, int], before: tuple[int, int], said: str | None) -> None:
    assert sentences.won_of_closed(now, before, 12) == said


def test_a_goal_holds_until_the_next() -> None:
    goals = [
        Goal(date(2024, 4, 1), "1", None),
        Goal(date(2024, 1, 1), "1", 20.0),
        Goal(date(2024, 3, 1), "1", 30.0),
        Goal(date(2024, 1, 1), "win_rate", 0.5),
    ]
    months = [date(2024, month, 1) for month in range(1, 5)]
    assert [find_target(goals, "1", month) for month in months] == [20, 20, 30, None]
    assert find_target(goals, "1", date(2023, 12, 1)) is None
    assert find_target(goals, "2", months[0]) is None


def test_goals_are_said_beside_the_numbers() -> None:
    goals = [Goal(MARCH, "1", 1_000.0), Goal(MARCH, "win_rate", 0.0), Goal(MARCH, "wins", 3.0)]
    data = with_changes(report(), goals=goals)
    assert "goal of 1,000 missed" in make_tiles(data)[0].changes
    notices = make_notices(data)
    assert "seeds/goals.csv sets goals for wins: no step of the funnel, nor win_rate." in notices
    part = with_changes(report(last_day=date(2024, 3, 10)), goals=goals)
    assert not [said for said in make_tiles(part)[0].changes if "goal" in said]


def won(month: date, currency: str | None, deals: int, value: float | None) -> WonValue:
    average = value / deals if value and deals else None
    return WonValue(month, currency, deals, deals if value else 0, value, average)


def test_a_value_of_a_step_is_in_its_currency_or_not_said() -> None:
    (row,) = forecast((4, 1.0))
    euros = replace(row, open_value=1_000.0, currency="EUR", currencies_count=1)
    several = replace(row, currencies_count=2)
    said = [value_of_step(step, step.open_value) for step in (row, euros, several)]
    assert said == ["", "EUR 1,000", "several"]
    assert several_currencies([row, euros]) is None
    assert several_currencies([euros, several]) == "Values in several currencies are not added up."


@pytest.mark.parametrize(("currencies", "shown"), [(("EUR",), True), (("EUR", "USD"), False)])
def test_the_forecast_has_values_where_there_is_one_currency(
    currencies: Sequence[str], shown: bool
) -> None:
    (row,) = forecast((4, 1.0))
    row = replace(row, open_value=1_000.0, currency="EUR", currencies_count=1)
    values = [OpenValue(currency, 4, 4, 1_000.0) for currency in currencies]
    data = with_changes(
        report(), forecast=[row], open_values=[*values, OpenValue("CHF", 1, 0, None)]
    )
    section = next(part for part in make_sections(data) if part.name == "forecast")
    assert section.shown
    assert ("Open value, EUR" in section.shown.header) is shown
    assert ("1,000" in section.shown.rows[0]) is shown


def test_money_is_never_added_across_currencies() -> None:
    rows = [
        won(MARCH, "EUR", 10, 1_000.0),
        won(date(2024, 2, 1), "EUR", 5, 800.0),
        won(MARCH, "USD", 2, 50.0),
        won(MARCH, None, 1, 7.0),
        won(MARCH, "CHF", 3, None),
    ]
    data = with_changes(report(), won_values=rows, open_values=[OpenValue("USD", 6, 4, 90.0)])
    assert [(tile.label, tile.value, *tile.changes) for tile in make_money(data)] == [
        (
            "Value of 10 deals won",
            "EUR 1,000",
            "+25% on Feb 2024",
            "none to compare with in Mar 2023",
            "USD 50 of 2 deals",
            "7 of 1 deal",
        ),
        (
            "Average of 10 deals won",
            "EUR 100",
            "−38% on Feb 2024",
            "none to compare with in Mar 2023",
            "USD 25 of 2 deals",
            "7 of 1 deal",
        ),
        ("Value of 0 deals open", "", "as of 31 March 2024", "USD 90 of 4 deals"),
    ]
    past = with_changes(data, trust=replace(data.trust, reference_date=date(2024, 6, 30)))
    assert [tile.label for tile in make_money(past)] == [
        "Value of 10 deals won",
        "Average of 10 deals won",
    ]
    assert make_money(report()) == []


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        ((110.0, 9), (100.0, 9), "+10% on Mar 2024"),
        ((110.0, 9), (100.0, 4), "100 in Mar 2024"),
        ((None, 0), (100.0, 9), "none to compare with in Mar 2024"),
        ((110.0, 9), (0.0, 9), "0 in Mar 2024"),
    ],
)
def test_value_against(now: sentences.Measure, before: sentences.Measure, said: str) -> None:
    assert sentences.value_against(now, before, MARCH) == said


def test_a_report_about_one_pipeline_says_only_what_is_known_of_it() -> None:
    steps = [
        PipelineStep(
            *(row.month, 2, "Service", row.kpi_name, row.funnel_step, row.step_order),
            deals_count=row.deals_count,
        )
        for row in funnel(40, 20, 61, 15, 5)
    ]
    data = with_changes(
        report(),
        funnel=steps,
        pipeline="Service",
        open_values=[OpenValue("EUR", 30, 20, 90.0)],
        stalled_steps=[StalledStep("Lead", "1", 1, 3)],
    )
    assert data.title == "Sales funnel: Service"
    sections = make_sections(data)
    assert [section.name for section in sections] == ["funnel", "stalled", "trend"]
    assert sections[0].table
    assert sections[0].table.header == ("Step", "Name", "Deals", "Of the stage above")
    assert {len(row) for row in sections[0].table.rows} == {4}
    assert title_of(data, "stalled") == "3 of 30 open deals are stalled"
    tiles = [(plain(tile.label), tile.value) for tile in make_tiles(data)]
    assert tiles == [("Lead", "40"), ("Won", "5"), ("Open deals", "30")]
    assert [tile.label for tile in make_money(data)] == ["Value of 20 deals open"]
    (notice,) = make_notices(data)
    assert str(plain(notice)).startswith("This is the pipeline Service alone.")


def test_no_steps_saw_more_or_fewer() -> None:
    year_before = funnel(5, 4, 3, 2, 1, month=YEAR_BEFORE)
    data = report(5, 4, 3, 2, 1)
    assert title_of(with_changes(data, funnel=[*year_before, *data.funnel]), "trend") == (
        "5 of 5 steps saw as many deals as in March 2023"
    )


def test_no_lines_are_drawn_of_nothing() -> None:
    data = report(0, 0, 0, 0, 0)
    year_before = funnel(0, 0, 0, 0, 0, month=YEAR_BEFORE)
    sections = make_sections(with_changes(data, funnel=[*year_before, *data.funnel]))
    trend = next(section for section in sections if section.name == "trend")
    assert (trend.title, trend.charts) == ("No deal entered a step in 2 months", [])


def test_owners_are_no_share() -> None:
    owner = OwnerTotal(4, {1: 2, 5: 3})
    section = next(
        section
        for section in make_sections(with_changes(report(), owners=[owner]))
        if section.name == "owners"
    )
    (chart,) = section.charts
    assert isinstance(chart.figure, Bars)
    assert [(row.name, row.value) for row in chart.figure.rows] == [("Owner 4", "3 · 2")]


def test_a_past_month_shows_its_own_open_deals() -> None:
    later = report(reference=date(2024, 6, 30), last_day=date(2024, 6, 30))
    stalled = [StalledStep("Lead", "1", 1, 90)]
    open_deals = [OpenValue("EUR", 60, 0, None), OpenValue(None, 40, 0, None)]
    later = with_changes(later, open_values=open_deals, stalled_steps=stalled)
    tile = make_tiles(later)[-1]
    assert (tile.value, tile.changes) == ("", ["not known for the end of Mar 2024"])
    assert title_of(later, "forecast") == (
        "Which deals were open at the end of March 2024 is not known"
    )
    assert title_of(later, "stalled") == (
        "Not known for March 2024. On 30 June 2024: 90 of 100 open deals are stalled"
    )
    unsettled = replace(past(12.4, None), is_over=False)
    known = with_changes(later, backtest=[unsettled])
    tile = make_tiles(known)[-1]
    assert (tile.value, tile.changes) == ("50", ["at the end of Mar 2024"])
    assert title_of(known, "forecast") == (
        "About 12 of 50 deals open at the end of March 2024 were expected to be won"
    )


def test_a_lost_deal_without_reason_is_no_reason() -> None:
    lost = [
        LossCount(MARCH, "Needs", "3", 4, None, 20),
        LossCount(MARCH, "Won", "7", 5, "Price", 7),
    ]
    assert title_of(with_changes(report(), losses=lost), "losses") == (
        "More deals were lost in Needs than elsewhere: 20 of 27"
    )


def test_warnings_are_counted_on_top() -> None:
    assert make_notices(report()) == []
    assert make_notices(report(run_warnings=["dried_up", "late"])) == [
        "2 warnings of the run that counted this are named at the end."
    ]
