"""The runner's window: the arithmetic, and that dbt's macros agree with it."""

from datetime import date

import pytest

from runner.errors import FunnelError
from runner.months.window import Window, parse_date, today_in, window_between

TODAY = date(2024, 5, 15)


def test_a_window_is_the_months_it_touches() -> None:
    window = Window(date(2024, 3, 1), backfill_period=30)
    assert window.processed_months() == ("2024-01", "2024-02", "2024-03")
    assert Window(date(2024, 3, 31), backfill_period=30).processed_months() == ("2024-03",)
    assert Window(date(2024, 1, 1), backfill_period=1).processed_months() == ("2023-12", "2024-01")


def test_a_first_build_goes_back_so_many_months() -> None:
    window = Window(date(2024, 5, 15), backfill_period=30, months=24)
    months = window.processed_months(first_build=True)
    assert (months[0], months[-1], len(months)) == ("2022-06", "2024-05", 24)
    wider = Window(date(2024, 5, 15), backfill_period=60, months=1)
    assert wider.processed_months(first_build=True) == ("2024-03", "2024-04", "2024-05")


def test_from_and_to_are_inclusive() -> None:
    window = window_between(date(2024, 1, 31), date(2024, 3, 1))
    assert window.processed_months() == ("2024-01", "2024-02", "2024-03")
    assert window.processed_months(first_build=True) == ("2024-01", "2024-02", "2024-03")
    assert window_between(TODAY, TODAY).processed_months() == ("2024-05",)
    with pytest.raises(FunnelError, match="is after"):
        window_between(date(2024, 1, 2), date(2024, 1, 1))


def test_named_dates() -> None:
    assert parse_date("--source-dt", "today", TODAY) == TODAY
    assert parse_date("--source-dt", "yesterday", TODAY) == date(2024, 5, 14)
    assert parse_date("--source-dt", "2024-02-29", TODAY) == date(2024, 2, 29)


def test_the_future_has_to_be_allowed() -> None:
    with pytest.raises(FunnelError, match="in the future"):
        parse_date("--source-dt", "2024-05-16", TODAY)
    assert parse_date("--source-dt", "2024-05-16", TODAY, allow_future=True) == date(2024, 5, 16)


def test_today_depends_on_the_time_zone() -> None:
    # They are 25 hours apart.
    assert (today_in("Pacific/Kiritimati") - today_in("Pacific/Niue")).days in (1, 2)
    with pytest.raises(FunnelError, match="must be a name of the tz database"):
        today_in("Mars/Olympus")


def test_vars_are_plain_text_and_numbers() -> None:
    window = Window(date(2024, 5, 15), 7, 3, process_through=date(2024, 5, 31))
    assert window.dbt_vars() == {
        "source_dt": "2024-05-15",
        "backfill_period": 7,
        "months": 3,
        "process_through": "2024-05-31",
    }
    assert "process_through" not in Window(date(2024, 5, 15)).dbt_vars()
