"""The window of a run: the reference date and the months that it processes.

The same arithmetic as the macros window_months and last_day_to_process, which decide; here it is
for planning and for telling people. Dates are inclusive.
"""

import functools
import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from dateutil import tz
from dateutil.relativedelta import relativedelta

from runner.errors import FunnelError
from runner.settings.var_rules import find_rule, parse_var, refuse_var

EARLIEST = date.fromisoformat(find_rule("source_dt").at_least)
LATEST = date.fromisoformat(find_rule("source_dt").at_most)


@dataclass(frozen=True)
class Window:
    """What a run processes.

    Args:
        source_dt: The reference date; later events never count.
        backfill_period: Days before source_dt whose months are processed again.
        months: Months of history that a first build makes.
        process_through: The last day to process where source_dt's month is built further.
        reprocess_months: More months to process, as 'YYYY-MM', none after that of source_dt.
        as_of: The day through which the marts know events, where that is after source_dt.
    """

    source_dt: date
    backfill_period: int = 30
    months: int = 24
    process_through: date | None = None
    reprocess_months: tuple[str, ...] = ()
    as_of: date | None = None

    def __post_init__(self) -> None:
        """Refuse what the macros would refuse, before anything starts."""
        parse_var("backfill_period", self.backfill_period)
        parse_var("months", self.months)
        if self.first_day(first_build=True) < EARLIEST or self.source_dt > LATEST:
            raise FunnelError(
                f"the window would begin before {EARLIEST} or end after {LATEST}",
                hint="Choose another --source-dt, or a smaller --backfill-period or --months.",
            )

    @property
    def last_day(self) -> date:
        """The last day processed."""
        return self.process_through or self.source_dt

    def first_day(self, *, first_build: bool = False) -> date:
        """Return the first day processed: the first day of a month."""
        first_month = (self.source_dt - timedelta(days=self.backfill_period)).replace(day=1)
        if first_build:
            history = self.source_dt.replace(day=1) - relativedelta(months=self.months - 1)
            first_month = min(first_month, history)
        return first_month

    def processed_months(self, *, first_build: bool = False) -> tuple[str, ...]:
        """Return the months processed, as 'YYYY-MM', oldest first."""
        base = months_between(self.first_day(first_build=first_build), self.source_dt)
        return tuple(sorted({*base, *self.reprocess_months}))

    def dbt_vars(self) -> Mapping[str, Any]:
        """Return the window as dbt vars."""
        dbt_vars: dict[str, Any] = {
            "source_dt": self.source_dt.isoformat(),
            "backfill_period": self.backfill_period,
            "months": self.months,
        }
        if self.process_through:
            dbt_vars["process_through"] = self.process_through.isoformat()
        if self.reprocess_months:
            dbt_vars["reprocess_months"] = list(self.reprocess_months)
        if self.as_of:
            dbt_vars["as_of"] = self.as_of.isoformat()
        return dbt_vars


def window_between(first: date, last: date) -> Window:
    """Return the window of all months touched by `first` to `last`, also on an empty warehouse.

    Raises:
        FunnelError: `first` is after `last`.
    """
    if first > last:
        raise FunnelError(
            f"--from {first} is after --to {last}", hint="Put the earlier date first."
        )
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    return Window(last, backfill_period=(last - first).days, months=months)


def months_between(first: date, last: date) -> tuple[str, ...]:
    """Return the months from that of one day to that of another as 'YYYY-MM', both included."""
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return tuple(f"{number // 12:04}-{number % 12 + 1:02}" for number in numbers)


@functools.cache
def days_of(month: str) -> frozenset[date]:
    """Return the days of a month, which is written 'YYYY-MM'."""
    year, number = int(month[:4]), int(month[5:])
    return frozenset(date(year, number, day) for day in range(1, monthrange(year, number)[1] + 1))


def today_in(timezone_name: str) -> date:
    """Return the present day in a time zone of the tz database.

    Raises:
        FunnelError: There is no such time zone.
    """
    zone = tz.gettz(timezone_name)
    if zone is None:
        raise refuse_var("timezone", timezone_name)
    return datetime.now(timezone.utc).astimezone(zone).date()


def parse_date(option: str, text: str, today: date, *, allow_future: bool = False) -> date:
    """Return the date that a person wrote: YYYY-MM-DD, `today` or `yesterday`.

    Args:
        option: Name of the option, for the message.
        text: What the person wrote.
        today: The present day in the reporting time zone.
        allow_future: Whether a day after today will do.

    Raises:
        FunnelError: It is no such date.
    """
    day = _named_or_iso_date(text, today)
    if day is None or not EARLIEST <= day <= LATEST:
        raise FunnelError(
            f"{option} {text!r} is not a date",
            hint="Write it as YYYY-MM-DD, or today or yesterday.",
        )
    if day > today and not allow_future:
        raise FunnelError(
            f"{option} {day} is in the future; today is {today}",
            hint="Give an earlier date, or --allow-future if you mean it.",
        )
    return day


def _named_or_iso_date(text: str, today: date) -> date | None:
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    if text in named:
        return named[text]
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, flags=re.ASCII):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
