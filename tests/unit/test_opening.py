"""Which month `show` and `report` open on, and how a part of one is marked."""

from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from runner.show.documents import document_view
from runner.show.opening import choose_month, counted_through, part_through
from runner.show.rows import FunnelStep, Period
from runner.show.view import Seen, draw_view
from runner.show.views import VIEWS, draw_month

JANUARY, FEBRUARY, MARCH, APRIL = (date(2024, month, 1) for month in range(1, 5))


@pytest.mark.parametrize(
    ("deals", "last_day", "month", "reason"),
    [
        ({FEBRUARY: 9, MARCH: 9}, date(2024, 3, 31), MARCH, ""),
        (
            {FEBRUARY: 9, MARCH: 9},
            date(2024, 3, 11),
            FEBRUARY,
            "February 2024 is the latest complete month with data: "
            "March 2024 is counted to 11 March only.",
        ),
        (
            {JANUARY: 9, FEBRUARY: 0, MARCH: 0},
            date(2024, 3, 31),
            JANUARY,
            "January 2024 is the latest complete month with data: "
            "no deal entered a step in February 2024 to March 2024.",
        ),
        (
            {JANUARY: 9, FEBRUARY: 0, MARCH: 4},
            date(2024, 3, 11),
            JANUARY,
            "January 2024 is the latest complete month with data: no deal entered a step in "
            "February 2024 and March 2024 is counted to 11 March only.",
        ),
        (
            {FEBRUARY: 9, MARCH: 0},
            date(2024, 3, 11),
            FEBRUARY,
            "February 2024 is the latest complete month with data: "
            "no deal entered a step in March 2024.",
        ),
        (
            {JANUARY: 900, FEBRUARY: 1, MARCH: 0},
            date(2024, 3, 31),
            JANUARY,
            "January 2024 is the latest complete month with data: "
            "hardly any deal entered a step in February 2024 to March 2024.",
        ),
        ({MARCH: 4}, date(2024, 3, 11), MARCH, "No complete month has data."),
        ({MARCH: 0}, date(2024, 3, 31), MARCH, "No month has data."),
        # Who may read the result only does not know up to which day it is counted.
        ({FEBRUARY: 9, MARCH: 9}, None, MARCH, ""),
    ],
)
def test_the_month_that_is_shown(
    deals: Mapping[date, int], last_day: date | None, month: date, reason: str
) -> None:
    found = choose_month(deals, last_day, last_day)
    assert (found.month, found.reason) == (month, reason)
    assert found.latest == max(deals)


@pytest.mark.parametrize(
    ("newest_events", "through"),
    [
        ((date(2024, 2, 11), date(2024, 2, 9)), date(2024, 2, 11)),
        # The rest of the month is no longer than what is nothing unusual.
        ((date(2024, 2, 22), None), date(2024, 3, 31)),
        ((date(2024, 2, 21), None), date(2024, 2, 21)),
        ((date(2024, 3, 24), date(2024, 2, 9)), date(2024, 3, 31)),
        ((date(2024, 3, 23), date(2024, 2, 9)), date(2024, 3, 23)),
        ((None, None), date(2024, 3, 31)),
    ],
)
def test_data_that_end_early(newest_events: Sequence[date | None], through: date) -> None:
    assert counted_through(date(2024, 3, 31), newest_events, quiet_days=7) == through


def test_a_month_in_which_the_data_end_is_a_part() -> None:
    found = choose_month({JANUARY: 9, FEBRUARY: 4, MARCH: 0}, date(2024, 3, 31), date(2024, 2, 11))
    assert (found.month, found.latest) == (JANUARY, MARCH)
    assert found.reason == (
        "January 2024 is the latest complete month with data: no deal entered a step in "
        "March 2024 and February 2024 is counted to 11 February only."
    )


@pytest.mark.parametrize(
    ("month", "last_day", "through"),
    [
        (MARCH, date(2024, 3, 11), date(2024, 3, 11)),
        (MARCH, date(2024, 3, 1), date(2024, 3, 1)),
        (MARCH, date(2024, 3, 31), None),
        (FEBRUARY, date(2024, 3, 11), None),
        (APRIL, date(2024, 3, 11), None),
        (MARCH, None, None),
    ],
)
def test_a_part_of_a_month(month: date, last_day: date | None, through: date | None) -> None:
    assert part_through(month, last_day) == through


def steps(*months: date) -> list[FunnelStep]:
    return [FunnelStep(month, "Lead", "1", 4, 1, 4) for month in months]


def test_a_part_of_a_month_is_marked() -> None:
    part, whole = date(2024, 3, 11), date(2024, 3, 31)
    assert draw_month(steps(MARCH), 80, part).startswith("March 2024 (to 11 March)\n")
    assert draw_month(steps(MARCH), 80, whole).startswith("March 2024\n")
    seen = Seen(Period.ending(MARCH, 2), {"months": steps(FEBRUARY, MARCH)}, {}, part)
    assert draw_view(VIEWS["funnel"], seen, 80).endswith("\n\nMarch 2024 (to 11 March)")
    seen = Seen(Period.ending(MARCH, 2), {"owners": []}, {}, part)
    assert draw_view(VIEWS["owners"], seen, 80) == (
        "No deal entered a step in February 2024 to March 2024 (to 11 March)."
    )


def test_the_first_line_says_why() -> None:
    rows, last_day = {"months": steps(FEBRUARY)}, date(2024, 3, 11)
    seen = Seen(Period.ending(FEBRUARY, 1), rows, last_day=last_day, reason="Why it is February.")
    text = draw_view(VIEWS["funnel"], seen, 80)
    assert text.startswith("Why it is February.\n\nFebruary 2024\n")
    document = document_view(VIEWS["funnel"], seen)
    assert {name: document[name] for name in ("last_day", "reason")} == {
        "last_day": last_day,
        "reason": "Why it is February.",
    }
