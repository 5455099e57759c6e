"""Numbers and dates as people read them; where there is none, an empty text."""

from collections.abc import Sequence
from datetime import date, datetime

DASH = "–"
"""Stands in a table where there is nothing to name or to count."""


def count(number: int | None) -> str:
    """Return a count: '12,345'."""
    return "" if number is None else f"{number:,}"


def plural(number: int, singular: str) -> str:
    """Return a number of things: '1 deal', '2 deals'."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def tenths(number: float | None) -> str:
    """Return days, or deals to expect, with one decimal place: '12.5'."""
    return "" if number is None else f"{number:,.1f}"


def percent(rate: float | None) -> str:
    """Return a rate of 0 to 1 in per cent: '34%'."""
    return "" if rate is None else f"{rate:.0%}"


def money(amount: float | None, currency: str | None) -> str:
    """Return an amount in its currency, if one is recorded: 'EUR 12,345'."""
    return " ".join(filter(None, (currency, rounded(amount)))) if amount is not None else ""


def rounded(number: float | None) -> str:
    """Return an expectation, or money whose currency is not known: '12,345'."""
    return "" if number is None else f"{number:,.0f}"


def share(part: float | None, whole: float | None) -> float | None:
    """Return part / whole, or None where there is nothing to divide by."""
    return part / whole if part is not None and whole else None


def signed(number: float, unit: str) -> str:
    """Return a difference: '+1 point', '−2.5 days', '±0 days'."""
    rounded = round(number, 1)
    size = f"{abs(rounded):.1f}".removesuffix(".0")
    return f"{_sign(rounded)}{size} {unit}{'' if size == '1' else 's'}"


def signed_count(number: int) -> str:
    """Return a change of a count: '+1,234', '−3', '±0'."""
    return f"{_sign(number)}{abs(number):,}"


def signed_percent(rate: float) -> str:
    """Return a change in per cent: '+12%'."""
    rounded = round(rate * 100)
    return f"{_sign(rounded)}{abs(rounded)}%"


def year_month(day: date) -> str:
    """Return the month of a day as '2024-12', as options, CSV and JSON have it."""
    return f"{day:%Y-%m}"


def month_name(month: date) -> str:
    """Return 'December 2024'."""
    return f"{month:%B %Y}"


def short_month(month: date) -> str:
    """Return 'Dec 2024'."""
    return f"{month:%b %Y}"


def long_date(day: date) -> str:
    """Return '31 December 2024'."""
    return f"{day.day} {day:%B %Y}"


def part_of_month(month: date, through: date | None) -> str:
    """Return 'March 2024 (to 11 March)', or 'March 2024' where no last day is given."""
    return month_name(month) + (f" (to {day_of_year(through)})" if through else "")


def day_of_year(day: date) -> str:
    """Return '31 December'."""
    return f"{day.day} {day:%B}"


def listed(names: Sequence[str]) -> str:
    """Return 'one', 'one and two', 'one, two and three'."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def minute(moment: datetime | None) -> str:
    """Return '2024-12-31 10:15 UTC', or 'never'."""
    return f"{moment:%Y-%m-%d %H:%M %Z}" if moment else "never"


def _sign(number: float) -> str:
    return "+" if number > 0 else "−" if number < 0 else "±"
