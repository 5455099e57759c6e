"""What a run has to process, and why: its window, and what is missing in the warehouse.

Nothing here asks the warehouse: see `state`.
"""

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

from runner.months.late_rows import LateRows, Watermark
from runner.months.state import State
from runner.months.window import EARLIEST, Window, months_between, window_between

GAP, LATE = "gap", "late rows"
DEALS = "deal_months+"
"""The tables of deals and what is made of them, in dbt's selection syntax."""


@dataclass(frozen=True)
class Plan:
    """What a run will process.

    Args:
        window: The window, with the months that healing adds.
        reasons: Why each month is processed, by 'YYYY-MM', oldest first: window, requested, first
            build, gap, late rows.
        late_rows: Rows loaded since the last run for months before the window, by 'YYYY-MM'.
        watermark: Up to when all rows are counted once this plan is carried out; None where it
            leaves something out.
        outdated_months: Months that stay as they were counted under another definition, each with
            what has changed since.
        deals_from: The first day from which all deals are to be computed that have an event there;
            None where those of the months processed are enough.
        deals_because: What has changed that defines a deal, where that is the reason.
    """

    window: Window
    reasons: Mapping[str, tuple[str, ...]]
    late_rows: Mapping[str, LateRows]
    watermark: Watermark | None
    outdated_months: Mapping[str, Collection[str]]
    deals_from: date | None = None
    deals_because: tuple[str, ...] = ()

    @property
    def months(self) -> tuple[str, ...]:
        """The months processed, as 'YYYY-MM', oldest first."""
        return tuple(self.reasons)

    def describe(self) -> str:
        """Return the plan in a line."""
        text = f"Reference date {self.window.source_dt}: {_name_months(self.months)}"
        if self.window.process_through:
            text += f", through {self.window.process_through}, the last day built of that month"
        gaps = [month for month, reasons in self.reasons.items() if GAP in reasons]
        if gaps:
            text += f"; {_name_months(gaps)} because days are missing"
        if self.late_rows:
            count = sum(rows.count for rows in self.late_rows.values())
            rows = f"{count:,} late row{'s' if count > 1 else ''}"
            text += f"; {_name_months(list(self.late_rows))} because of {rows}"
        if self.deals_because:
            text += f"; all deals, because {have_changed(self.deals_because)}"
        elif self.deals_from:
            text += f"; deals from {self.deals_from:%Y-%m} on"
        return text

    def warning(self) -> str:
        """Return what history no longer matches the funnel's definition, or nothing."""
        if not self.outdated_months:
            return ""
        months = tuple(self.outdated_months)
        changes = {name for names in self.outdated_months.values() for name in names}
        return (
            f"{have_changed(sorted(changes))} since {_name_months(months)}, were counted. "
            f"Count them again: funnel rebuild --from {months[0]}-01"
        )

    def deals_window(self) -> Window | None:
        """Return the window in which dbt computes deals, where that of the plan is too small."""
        if self.deals_from is None:
            return None
        return window_between(self.deals_from, self.window.as_of or self.window.source_dt)

    def ranges(self) -> list[tuple[date, date]]:
        """Return the days processed as half-open ranges, one for each month."""
        end = self.window.last_day + timedelta(days=1)
        begins = [date.fromisoformat(f"{month}-01") for month in self.months]
        return [(begin, min(begin + relativedelta(months=1), end)) for begin in begins]

    def draw(self, target: str, rows_to_read: Mapping[str, int]) -> str:
        """Return the plan as a table, the rows to read, and the command of plain dbt.

        Args:
            target: Where the command works.
            rows_to_read: About how many rows of each raw table the months hold, if that is known.
        """
        lines = []
        for month, reasons in self.reasons.items():
            late = self.late_rows.get(month)
            said = (late.describe() if late and name == LATE else name for name in reasons)
            lines.append(f"{month}  {', '.join(said)}")
        rows = [f"about {count:,} rows of {table}" for table, count in rows_to_read.items()]
        commands = [
            f"dbt build --target {target}{choice} --vars {shlex.quote(json.dumps(dbt_vars))}"
            for choice, dbt_vars in self._dbt_runs()
        ]
        reads = [f"Reads {' and '.join(rows)}"] if rows else []
        return "\n".join([*lines, "", *reads, *commands])

    def _dbt_runs(self) -> list[tuple[str, Mapping[str, Any]]]:
        deals = self.deals_window()
        if deals is None:
            return [("", self.window.dbt_vars())]
        return [
            (f" --exclude {DEALS}", self.window.dbt_vars()),
            (f" --select {DEALS}", deals.dbt_vars()),
        ]

    def document(self, rows_to_read: Mapping[str, int]) -> dict[str, Any]:
        """Return the plan as `--json` prints it, with the rows to read as in `draw`."""
        return {
            "source_dt": self.window.source_dt,
            "last_day": self.window.last_day,
            "months": [
                {"month": month, "reasons": list(reasons)}
                | ({"late_rows": asdict(self.late_rows[month])} if LATE in reasons else {})
                for month, reasons in self.reasons.items()
            ],
            "outdated_months": list(self.outdated_months),
            "rows_to_read": dict(rows_to_read),
            "deals_from": self.deals_from,
            "dbt_vars": self.window.dbt_vars(),
        }


def make_plan(
    window: Window,
    state: State,
    *,
    with_healing: bool = True,
    requested: bool = False,
    batches_from: date | None = None,
) -> Plan:
    """Return what a run over a window has to process, given what is known of the warehouse.

    Beside the window that is, none of it after the window, what lacks days or got late rows. Where
    the month of `source_dt` is built further, its later days are processed too: they depend on the
    earlier ones. Deals are computed as of the last day built: to process history again does not set
    them back to that time.

    Args:
        window: The window before healing.
        state: What is built, and what has been loaded since the last run.
        with_healing: Whether to process other months than those of the window.
        requested: Whether a person chose these months.
        batches_from: First day of what earlier windows processed without computing deals.
    """
    first_day, last_day = state.first_day, state.last_day
    first_build = not state.built
    base = window.processed_months(first_build=first_build)
    gaps: Collection[str] = ()
    late_rows: dict[str, LateRows] = {}
    if with_healing and first_day:
        gaps = set(state.find_gaps(window.source_dt)).difference(base)
        # What happened before the first month built is nobody's.
        older = set(months_between(first_day, window.source_dt)).difference(base)
        late_rows = {month: rows for month, rows in state.late_rows.items() if month in older}
    in_base = "requested" if requested else "first build" if first_build else "window"
    reasons: dict[str, tuple[str, ...]] = {month: (in_base,) for month in base}
    for month in {*gaps, *late_rows}:
        why = {GAP: month in gaps, LATE: month in late_rows}
        reasons[month] = tuple(name for name, holds in why.items() if holds)
    built = state.built_through(f"{window.source_dt:%Y-%m}")
    as_of = max(last_day or window.source_dt, window.source_dt)
    unknown = find_unknown(state, window, as_of, batches_from)
    deals_from = None
    if not unknown <= reasons.keys():
        deals_from = date.fromisoformat(f"{min(unknown | reasons.keys())}-01")
    looks_everywhere = with_healing and (
        last_day is None or last_day.replace(day=1) <= window.source_dt
    )
    return Plan(
        replace(
            window,
            process_through=built if built and built > window.source_dt else None,
            reprocess_months=tuple(sorted({*window.reprocess_months, *gaps, *late_rows})),
            as_of=as_of if as_of > window.source_dt else None,
        ),
        dict(sorted(reasons.items())),
        late_rows,
        # Late rows of months after an old reference date are left to a later run.
        state.watermark if looks_everywhere else None,
        {month: why for month, why in state.outdated_months.items() if month not in reasons},
        deals_from,
        state.changes_for_deals if deals_from else (),
    )


def find_unknown(
    state: State, window: Window, as_of: date, batches_from: date | None = None
) -> set[str]:
    """Return the months ('YYYY-MM') in which deals may have events that their tables do not know.

    Args:
        state: What is built, and what has been loaded since the last run.
        window: What is to be processed.
        as_of: The day through which deals are to be known.
        batches_from: First day of what earlier windows processed without computing deals.
    """
    if state.changes_for_deals:
        return set(months_between(EARLIEST, as_of))
    months: set[str] = set()
    if batches_from:
        months.update(months_between(batches_from, window.source_dt))
    known_through = state.ledger.deals_known_through
    if known_through and known_through < as_of:
        months.update(months_between(known_through + timedelta(days=1), as_of))
    # A deal has its whole life, also before the first month built.
    if state.first_day:
        first_month = f"{state.first_day:%Y-%m}"
        months.update(month for month in state.late_rows if month < first_month)
    return months


def have_changed(names: Sequence[str]) -> str:
    """Say that parts of a definition have changed."""
    return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} changed"


def _name_months(months: tuple[str, ...] | list[str]) -> str:
    count = f"{len(months)} month{'s' if len(months) > 1 else ''}"
    if len(months) == 1:
        return f"{count}, {months[0]}"
    first, last = (date.fromisoformat(f"{month}-01") for month in (months[0], months[-1]))
    span = (last.year - first.year) * 12 + last.month - first.month + 1
    ends = "{} to {}" if span == len(months) else "between {} and {}"
    return f"{count}, {ends.format(months[0], months[-1])}"
