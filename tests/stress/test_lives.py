"""What becomes of deals: every cell of the tables in docs/measures.md, and the past as it was."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from deal_lives import Cell, tables_of_rules
from hypothesis import given, seed
from hypothesis import strategies as st
from oracle import DealChange, Pipeline, Raw, Row, Stage
from test_counting import FUNNEL, SEED, Funnel, berlin, project_under_test, random_examples, utc
from test_marts import COLUMNS, FIELDS, MAY, TYPES, Marts, change, stories, story

from runner.months.window import Window

pytestmark = pytest.mark.long

__all__ = ["berlin", "project_under_test", "utc"]

EVENT_AT = datetime(2024, 3, 20, 9)
EVENTS = {
    "created again": ("add_time", None),
    "winning stage": ("stage_id", "8"),
    "other stage": ("stage_id", "2"),
    "lost reason": ("lost_reason", "1"),
    "lost reason emptied": ("lost_reason", None),
    **{f"status {status}": ("status", status) for status in ("open", "won", "lost", "deleted")},
}
UNTIL_THEN = {
    "open": (("stage_id", "1"),),
    "won": (("stage_id", "7"),),
    "lost after won": (("stage_id", "7"), ("lost_reason", "2")),
    "lost": (("stage_id", "1"), ("lost_reason", "2")),
    "deleted": (("stage_id", "1"), ("status", "deleted")),
}


def build(funnel: Funnel, raw: Raw, as_of: date, **dbt_vars: Any) -> None:  # noqa: ANN401
    """Build the marts, all deals of them."""
    funnel.load(raw)
    dbt_vars |= {"source_dt": as_of, "backfill_period": 3600}
    funnel.build("lost_reasons", "deal_months+", dbt_vars=dbt_vars)


def read(funnel: Funnel, columns: str, table: str, condition: str = "true") -> list[Row]:
    return sorted(
        funnel.execute(f"select {columns} from pipedrive_analytics.{table} where {condition}"),
        key=str,
    )


@pytest.mark.parametrize("is_recorded", [False, True], ids=["before", "from the first status on"])
def test_every_cell_of_the_tables(utc: Funnel, is_recorded: bool) -> None:  # noqa: FBT001
    table = tables_of_rules()[is_recorded]
    assert {event for event, _ in table} <= EVENTS.keys()
    assert {state for _, state in table} <= UNTIL_THEN.keys()
    changes: list[DealChange] = []
    cells: dict[int, tuple[str, str, Cell]] = {}
    for deal, ((event, state), cell) in enumerate(table.items(), 1):
        cells[deal] = (event, state, cell)
        changes.append(change(deal, "2024-03-01", "add_time", None))
        for day, (field, value) in enumerate(UNTIL_THEN[state], 1):
            at = datetime(2024, 3, 12) if value == "deleted" else datetime(2024, 3, day)
            changes.append(DealChange(deal, at, field, value))
        changes.append(DealChange(deal, EVENT_AT, *EVENTS[event]))
    if is_recorded:
        changes.append(change(999, "2024-03-10", "status", "open"))
    build(utc, story(*changes), date(2024, 3, 31))
    ends = {
        deal: rest
        for deal, *rest in read(
            utc, "deal_id, status, attempt_number, life_number", "deal_events", "is_last"
        )
    }
    visits = read(utc, "deal_id, entered_at, exited_at", "deal_stage_visits")
    for deal, (event, state, cell) in cells.items():
        entered = sum(1 for number, at, _ in visits if number == deal and at == EVENT_AT)
        exited = sum(1 for number, _, at in visits if number == deal and at == EVENT_AT)
        open_visits = sum(1 for number, _, at in visits if number == deal and at is None)
        was_there = state in ("open", "won")
        seen = (*ends[deal], entered, exited, open_visits)
        begins, ends_it = cell.visit in ("begins", "moves on"), cell.visit in ("ends", "moves on")
        ends_it = ends_it or (begins and was_there)
        wanted = (
            cell.state,
            1 + cell.is_new_attempt,
            1 + (event == "created again"),
            int(begins),
            int(ends_it),
            int(begins or (was_there and not ends_it)),
        )
        assert seen == wanted, f"{event} of a deal that is {state}: {seen} instead of {wanted}"


def deals(funnel: Funnel, columns: str) -> list[Row]:
    return read(funnel, f"deal_id, {columns}", "deals")


# Won has one meaning.


def test_a_deal_that_is_won_by_its_step_is_won_everywhere(utc: Funnel) -> None:
    """Nobody records a status, and every deal ends with a reason."""
    changes = [
        row
        for deal in range(1, 6)
        for row in (
            change(deal, "2024-01-10", "stage_id", "1"),
            change(deal, "2024-02-10", "stage_id", "7" if deal > 1 else "2"),
            change(deal, "2024-03-10", "lost_reason", "1"),
        )
    ]
    build(utc, story(*changes), date(2024, 5, 31))
    assert read(utc, "month, won_deals_count, lost_deals_count", "win_rate_monthly") == [
        (date(2024, 2, 1), 4, 0),
        (date(2024, 3, 1), 0, 1),
    ]
    assert read(utc, "kpi_name, deals_count", "losses_monthly") == [("Qualified Lead", 1)]
    ((won, visits),) = read(
        utc,
        "count(distinct case when attempt_outcome = 'won' then deal_id end), count(*)",
        "deal_stage_visits",
        "kpi_name = 'Lead Generation'",
    )
    assert (won, visits) == (4, 5)
    lead = "month = '2024-05-01' and kpi_name = 'Lead Generation'"
    assert read(utc, "won_visits_count, judged_visits_count", "stage_win_rates", lead) == [(4, 5)]


def test_a_customer_who_is_lost_is_no_lost_sale(utc: Funnel) -> None:
    won = change(1, "2024-02-10", "stage_id", "7")
    lost = change(1, "2024-03-10", "lost_reason", "1")
    build(utc, story(won, lost), date(2024, 5, 31))
    assert deals(utc, "status, loss_count, lost_at") == [(1, "won", 0, None)]
    assert read(utc, "month, lost_after_won_deals_count", "win_rate_monthly") == [
        (date(2024, 2, 1), 0),
        (date(2024, 3, 1), 1),
    ]


def test_a_deleted_deal_is_not_open(utc: Funnel) -> None:
    changes = (
        change(1, "2024-01-10", "stage_id", "1"),
        change(1, "2024-01-20", "status", "deleted"),
    )
    build(utc, story(*changes), date(2024, 5, 31), stalled_after_days=3)
    assert deals(utc, "status") == [(1, "deleted")]
    assert read(utc, "deal_id", "stalled_deals") == []
    assert read(utc, "sum(open_deals_count)", "pipeline_forecast") == [(0,)]
    assert read(utc, "direction", "deal_stage_visits") == [("deleted",)]
    assert read(utc, "month", "win_rate_monthly") == []


# Odd lives.


def test_the_first_creation_opens_nothing_however_late_it_comes(utc: Funnel) -> None:
    changes = (
        change(1, "2024-01-10", "stage_id", "1"),
        change(1, "2024-01-20", "lost_reason", "1"),
        change(1, "2024-01-25", "add_time", None),
        change(1, "2024-01-25", "add_time", None),
    )
    build(utc, story(*changes), date(2024, 5, 31))
    assert deals(utc, "status, lives_count, age_days") == [(1, "lost", 1, 10)]


def test_a_status_that_corrects_another_is_of_the_same_attempt(utc: Funnel) -> None:
    changes = (
        change(1, "2024-01-10", "stage_id", "1"),
        change(1, "2024-01-20", "status", "won"),
        change(1, "2024-01-21", "status", "lost"),
    )
    build(utc, story(*changes), date(2024, 5, 31))
    assert deals(utc, "status") == [(1, "lost")]
    assert read(utc, "max(attempt_number)", "deal_events") == [(1,)]


def test_a_second_life_keeps_neither_stage_nor_visit_of_the_first(utc: Funnel) -> None:
    changes = (
        change(1, "2024-01-01", "add_time", None),
        change(1, "2024-01-01", "stage_id", "1"),
        change(1, "2024-02-01", "add_time", None),
        change(1, "2024-02-10", "lost_reason", "1"),
    )
    build(utc, story(*changes), date(2024, 5, 31))
    assert deals(utc, "status, current_kpi_name, lives_count") == [(1, "lost", None, 2)]
    assert read(utc, "direction, days_in_stage", "deal_stage_visits") == [("created again", 31)]
    assert read(utc, "kpi_name", "losses_monthly") == [("No stage",)]


def test_a_reason_does_not_survive_a_reopening(utc: Funnel) -> None:
    changes = (
        change(1, "2024-01-10", "stage_id", "1"),
        change(1, "2024-01-20", "lost_reason", "1"),
        change(1, "2024-01-20", "status", "lost"),
        change(1, "2024-02-01", "status", "open"),
        change(1, "2024-02-10", "status", "lost"),
    )
    build(utc, story(*changes), date(2024, 5, 31))
    assert deals(utc, "lost_reason, loss_count") == [(1, "Unknown", 2)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e3", 1000), ("+2.5E+02", 250), (".5", 0.5), ("1e99", None), ("1,5", None), ("", None)],
)
def test_a_value_is_a_number(utc: Funnel, text: str, value: float | None) -> None:
    build(utc, story(change(1, "2024-01-10", "value", text)), date(2024, 1, 31))
    assert [row[1] for row in deals(utc, "value")] == [value]


def test_a_win_ends_the_visit(utc: Funnel) -> None:
    """A stage in which deals are won by their status is not measured by its losers only."""
    changes = [
        row
        for deal, end in enumerate(("won", "won", "lost"))
        for row in (
            change(deal, "2024-01-01", "stage_id", "6"),
            change(deal, f"2024-01-{11 + deal}", "status", end),
        )
    ]
    build(utc, story(*changes), date(2024, 5, 31))
    assert read(utc, "direction, days_in_stage", "deal_stage_visits") == [
        ("lost", 12),
        ("won", 10),
        ("won", 11),
    ]
    assert read(utc, "visits_ended_count, median_days", "step_velocity", "step_order > 0") == [
        (3, 11)
    ]


# Pipelines.

TWO_PIPELINES = (
    Stage(1, "Lead Generation", 1),
    Stage(2, "Needs Assessment", 1),
    Stage(3, "Lead Generation", 2),
    Stage(4, "Needs Assessment", 2),
)
HANDED_OVER = (
    change(1, "2024-03-01", "stage_id", "2"),
    change(1, "2024-03-05", "stage_id", "4"),
    change(1, "2024-03-06", "status", "lost"),
    change(1, "2024-03-06", "user_id", "8"),
    change(1, "2024-03-07", "stage_id", "1"),
    change(2, "2024-03-01", "stage_id", "2"),
    change(2, "2024-03-02", "status", "won"),
    change(2, "2024-03-05", "stage_id", "3"),
    change(2, "2024-03-06", "status", "lost"),
    change(3, "2024-03-01", "stage_id", "3"),
    change(3, "2024-03-02", "stage_id", "4"),
)


def in_two_pipelines(*counted: str) -> Raw:
    pipelines = (Pipeline(1, "Sales"), Pipeline(2, "Service"))
    return Raw(FUNNEL, (), TYPES, HANDED_OVER, FIELDS, TWO_PIPELINES, pipelines, counted)


def visits_of(funnel: Funnel, deal: int) -> list[Row]:
    columns = "visit_number, pipeline_id, kpi_name, direction"
    return read(funnel, columns, "deal_stage_visits", f"deal_id = {deal}")


def test_a_move_to_another_pipeline_is_no_going_back(utc: Funnel) -> None:
    build(utc, in_two_pipelines(), date(2024, 3, 31))
    assert visits_of(utc, 1) == [
        (1, 1, "Needs Assessment", "moved to another pipeline"),
        (2, 2, "Needs Assessment", "lost"),
    ]
    assert deals_by_status(utc) == {1: "lost", 2: "lost", 3: "open"}


def test_a_pipeline_that_is_left_out_changes_nothing_here(utc: Funnel) -> None:
    build(utc, in_two_pipelines("sales"), date(2024, 3, 31))
    assert visits_of(utc, 1) == [
        (1, 1, "Needs Assessment", "moved to another pipeline"),
        (2, 1, "Lead Generation", "still there"),
    ]
    assert deals_by_status(utc) == {1: "open", 2: "won"}
    # Whose it is, is known wherever it is.
    assert read(utc, "owner_id", "deal_states", "deal_id = 1") == [(8,)]
    build(utc, in_two_pipelines("sales"), date(2024, 3, 6))
    assert deals_by_status(utc) == {1: "elsewhere", 2: "won"}


# The past as it was.


def test_a_later_day_does_not_change_what_was_open(utc: Funnel) -> None:
    """As of March the account records statuses; in January it did not."""
    changes = [change(deal, "2024-01-05", "stage_id", "1") for deal in (1, 2, 3)]
    changes += [
        change(4, "2024-01-10", "stage_id", "7"),
        change(4, "2024-02-20", "status", "won"),
    ]
    rows = []
    for as_of in (date(2024, 1, 31), date(2024, 3, 31)):
        build(utc, story(*changes), as_of)
        rows += read(
            utc,
            "open_deals_count, expected_wins, actual_wins",
            "pipeline_forecast_backtest",
            "month = '2024-01-01'",
        )
    assert rows[0] == rows[1]
    assert rows[0][0] == 3


def test_a_deal_is_one_in_the_sum_of_the_months(utc: Funnel) -> None:
    changes = [
        change(1, "2023-11-10", "stage_id", "1"),
        change(1, "2024-01-10", "stage_id", "7"),
        change(2, "2023-12-10", "stage_id", "1"),
        change(3, "2024-03-10", "stage_id", "1"),
    ]
    build(utc, story(*changes), date(2024, 5, 31))
    rows = read(
        utc,
        "month, open_deals_count, new_deals_count, new_actual_wins, is_over",
        "pipeline_forecast_backtest",
    )
    assert [row[0].month for row in rows] == [11, 12, 1, 2, 3, 4, 5]
    assert sum(row[1] for row in rows) == 11
    assert sum(row[2] for row in rows) == 1
    assert [(row[3], row[4]) for row in rows][-3:] == [(0, True), (None, False), (None, False)]


def test_a_win_that_was_corrected_in_time_is_none(utc: Funnel) -> None:
    changes = [
        row
        for deal in range(1, 11)
        for row in (
            change(deal, "2024-01-10", "stage_id", "1"),
            change(deal, "2024-02-10", "status", "won"),
        )
    ]
    changes += [
        change(deal, at, field, value)
        for deal in (11, 12)
        for at, field, value in (
            ("2024-03-10", "stage_id", "1"),
            ("2024-04-05", "status", "won"),
        )
    ]
    # Nor does March know that one of its wins will be corrected.
    changes += [change(deal, "2024-04-20", "status", "lost") for deal in (1, 11)]
    build(utc, story(*changes), date(2024, 5, 31))
    assert read(
        utc,
        "open_deals_count, expected_wins, actual_wins",
        "pipeline_forecast_backtest",
        "month = '2024-03-01'",
    ) == [(2, 2, 1)]


def past(funnel: Funnel, until: date) -> dict[date, tuple[Any, ...]]:
    columns = COLUMNS["pipeline_forecast_backtest"]
    names = columns.split(", ")
    rows = read(funnel, columns, "pipeline_forecast_backtest", f"month < '{until}'")
    unknown = {"is_over", "actual_wins", "new_actual_wins"}
    return {
        row[0]: tuple(
            value
            for name, value in zip(names, row, strict=True)
            if row[names.index("is_over")] or name not in unknown
        )
        for row in rows
    }


def check_past(funnel: Funnel, raw: Raw, days: Sequence[date], rules: dict[str, Any]) -> None:
    """What is said of a month is the same on both days; the later one may know more of its wins."""
    early, late = sorted(days)
    said, rates = [], []
    for day in (early, late):
        funnel.reset()
        build(funnel, raw, day, **rules)
        month = (early + timedelta(days=1)).replace(day=1)
        said.append(past(funnel, month))
        rates.append(
            read(funnel, COLUMNS["stage_win_rates"], "stage_win_rates", f"month < '{month}'")
        )
    assert rates[0] == rates[1]
    assert said[0].keys() == said[1].keys()
    for month, row in said[0].items():
        later = said[1][month]
        assert row == later or len(row) < len(later)
        if len(row) < len(later):  # its horizon is over by now
            assert [value for value in row if value not in later] == []


@seed(SEED)
@random_examples(0.04)
@given(
    told=stories(),
    days=st.lists(st.dates(date(2024, 1, 1), date(2024, 9, 30)), min_size=2, max_size=2),
)
def test_the_past_is_the_same_whatever_day_it_is_asked_from(
    utc: Funnel, told: tuple[Raw, list[Any], dict[str, Any]], days: list[date]
) -> None:
    check_past(utc, told[0], days, told[2])


# The account's first status is one for all deals.

UNRECORDED = (
    change(1, "2024-01-20", "stage_id", "7"),
    change(2, "2024-02-10", "stage_id", "1"),
    change(2, "2024-02-20", "lost_reason", "1"),
    change(3, "2024-03-10", "stage_id", "7"),
    change(4, "2024-05-10", "stage_id", "1"),
)
FIRST_STATUS = change(9, "2024-02-15", "status", "open")


def test_a_first_status_that_comes_late_changes_all_later_deals(utc: Funnel) -> None:
    marts = Marts(utc)
    marts.run(story(*UNRECORDED), marts.plan(MAY))
    assert deals_by_status(utc) == {1: "won", 2: "lost", 3: "won", 4: "open"}
    late = Window(MAY.source_dt, 0, 1, reprocess_months=("2024-02",))
    marts.run(story(*UNRECORDED, FIRST_STATUS), marts.plan(late))
    assert deals_by_status(utc) == {1: "won", 2: "open", 3: "open", 4: "open", 9: "open"}
    marts.look()


def test_of_two_statuses_of_a_deal_the_first_is_the_first(utc: Funnel) -> None:
    again = change(9, "2024-04-20", "status", "open")
    build(utc, story(*UNRECORDED, FIRST_STATUS, again), MAY.source_dt)
    assert deals_by_status(utc) == {1: "won", 2: "open", 3: "open", 4: "open", 9: "open"}


def test_a_first_status_that_vanishes_changes_all_later_deals_back(utc: Funnel) -> None:
    marts = Marts(utc)
    marts.run(story(*UNRECORDED, FIRST_STATUS), marts.plan(MAY))
    gone = Window(MAY.source_dt, 0, 1, reprocess_months=("2024-02",))
    marts.run(story(*UNRECORDED), marts.plan(gone))
    assert deals_by_status(utc) == {1: "won", 2: "lost", 3: "won", 4: "open"}
    marts.look()


@pytest.mark.parametrize(
    "models", [("deal_first_statuses",), ("deal_first_statuses", "deal_stage_visits")]
)
def test_a_run_that_stopped_after_it_knew_the_first_status_is_ended_by_the_next(
    utc: Funnel, models: tuple[str, ...]
) -> None:
    marts = Marts(utc)
    marts.run(story(*UNRECORDED), marts.plan(MAY))
    utc.load(story(*UNRECORDED, FIRST_STATUS))
    late = Window(MAY.source_dt, 0, 1, reprocess_months=("2024-02",))
    dbt_vars = marts.plan(late).dbt_vars()
    utc.build("deal_months", *models, dbt_vars=dict(dbt_vars))
    marts.run(story(*UNRECORDED, FIRST_STATUS), marts.plan(MAY))
    marts.look()


def deals_by_status(funnel: Funnel) -> dict[int, str]:
    return dict(read(funnel, "deal_id, status", "deal_states"))


# Stalled.


def test_a_stage_with_few_visits_has_the_limit_of_the_funnel(utc: Funnel) -> None:
    changes = [
        row
        for deal in range(1, 101)
        for row in (
            change(deal, "2024-01-01", "stage_id", "1"),
            change(deal, "2024-01-06", *(("stage_id", "2") if deal > 90 else ("lost_reason", "1"))),
        )
    ]
    changes += [change(deal, "2024-01-07", "lost_reason", "1") for deal in range(91, 100)]
    build(utc, story(*changes), date(2024, 1, 12))
    rows = read(utc, "kpi_name, limit_of, stalled_after_days", "stalled_deals")
    assert rows == [("Qualified Lead", "funnel", 5)]


def test_visits_that_go_on_are_long_ones_as_well(utc: Funnel) -> None:
    """Of 40 deals 20 have left after 5 days, the others never: nothing is usual there."""
    changes = [change(deal, "2024-01-01", "stage_id", "1") for deal in range(40)]
    changes += [change(deal, "2024-01-06", "lost_reason", "1") for deal in range(20)]
    build(utc, story(*changes), date(2024, 5, 31))
    assert read(utc, "deal_id", "stalled_deals") == []
