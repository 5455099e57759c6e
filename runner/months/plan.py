"""What a run has to process, and why: its window, and what is missing in the warehouse.

Nothing here asks the warehouse: see `state`.
"""

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

from runner.months.late_rows import LateRows, Watermark
from runner.months.state import State
from runner.months.window import Window, months_between

GAP, LATE = "gap", "late rows"


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
        outdated_months: Months that stay as they were counted under another definition.
    """

    window: Window
    reasons: Mapping[str, tuple[str, ...]]
    late_rows: Mapping[str, LateRows]
    watermark: Watermark | None
    outdated_months: tuple[str, ...]

    @property
    def months(self) -> tuple[str, ...]:
        """The months processed, as 'YYYY-MM', oldest first."""
        return tuple(self.reasons)

    def describe(self) -> str:
        """Return the plan in a line."""
        text = f"Reference date {self.window.source_dt}: {_name_months(self.months)}"
        if self.window.process_through:
            text += f", through {self.window.process_through}, the last day built"
        gaps = [month for month, reasons in self.reasons.items() if GAP in reasons]
        if gaps:
            text += f"; {_name_months(gaps)} because days are missing"
        if self.late_rows:
            count = sum(rows.count for rows in self.late_rows.values())
            rows = f"{count:,} late row{'s' if count > 1 else ''}"
            text += f"; {_name_months(list(self.late_rows))} because of {rows}"
        return text

    def warning(self) -> str:
        """Return what history no longer matches the funnel's definition, or nothing."""
        if not self.outdated_months:
            return ""
        return (
            f"seeds/funnel_steps.csv has changed since {_name_months(self.outdated_months)}, were "
            f"counted. Count them again: funnel rebuild --from {self.outdated_months[0]}-01"
        )

    def ranges(self) -> list[tuple[date, date]]:
        """Return the days processed as half-open ranges, one for each month."""
        end = self.window.last_day + timedelta(days=1)
        begins = [date.fromisoformat(f"{month}-01") for month in self.months]
        return [(begin, min(begin + relativedelta(months=1), end)) for begin in begins]

    def draw(self, target: str, rows_to_read: Mapping[str, int]) -> str:
        """Return the plan as a table, the rows to read, and the command of plain dbt.

        Args:
            target: Where the command works.
            rows_to_read: About how many rows of each raw table the months hold.
        """
        lines = []
        for month, reasons in self.reasons.items():
            late = self.late_rows.get(month)
            said = (late.describe() if late and name == LATE else name for name in reasons)
            lines.append(f"{month}  {', '.join(said)}")
        rows = [f"about {count:,} rows of {table}" for table, count in rows_to_read.items()]
        dbt_vars = json.dumps(self.window.dbt_vars())
        command = f"dbt build --target {target} --vars {shlex.quote(dbt_vars)}"
        return "\n".join([*lines, "", f"Reads {' and '.join(rows)}", command])

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
            "dbt_vars": self.window.dbt_vars(),
        }


def make_plan(
    window: Window,
    state: State,
    *,
    with_healing: bool = True,
    requested: bool = False,
    deals_from: date | None = None,
) -> Plan:
    """Return what a run over a window has to process, given what is known of the warehouse.

    Beside the window that is, none of it after the window, what lacks days or got late rows. Where
    the month of `source_dt` is built further, its later days are processed too: they depend on the
    earlier ones. Months that a person chose are history: processing them does not set the marts
    back to that time.

    Args:
        window: The window before healing.
        state: What is built, and what has been loaded since the last run.
        with_healing: Whether to process other months than those of the window.
        requested: Whether a person chose these months.
        deals_from: First day of what earlier windows processed without computing deals.
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
    as_of = max(last_day or window.source_dt, window.source_dt) if requested else window.source_dt
    known_through = state.ledger.deals_known_through
    if deals_from and deals_from < window.first_day():
        known_through = min(known_through or as_of, deals_from - timedelta(days=1))
    looks_everywhere = with_healing and (
        last_day is None or last_day.replace(day=1) <= window.source_dt
    )
    return Plan(
        replace(
            window,
            process_through=built if built and built > window.source_dt else None,
            reprocess_months=tuple(sorted({*window.reprocess_months, *gaps, *late_rows})),
            as_of=as_of if as_of > window.source_dt else None,
            deals_known_through=find_unknown(window, as_of, known_through),
        ),
        dict(sorted(reasons.items())),
        late_rows,
        # Late rows of months after an old reference date are left to a later run.
        state.watermark if looks_everywhere else None,
        tuple(month for month in state.outdated_months if month not in reasons),
    )


def find_unknown(window: Window, as_of: date, known_through: date | None) -> date | None:
    """Return the day after which the marts have to learn events that the window does not hold."""
    if known_through is None or known_through >= as_of:
        return None
    is_in_window = (
        window.first_day() <= known_through + timedelta(days=1) and as_of == window.source_dt
    )
    return None if is_in_window else known_through


def _name_months(months: tuple[str, ...] | list[str]) -> str:
    count = f"{len(months)} month{'s' if len(months) > 1 else ''}"
    if len(months) == 1:
        return f"{count}, {months[0]}"
    first, last = (date.fromisoformat(f"{month}-01") for month in (months[0], months[-1]))
    span = (last.year - first.year) * 12 + last.month - first.month + 1
    ends = "{} to {}" if span == len(months) else "between {} and {}"
    return f"{count}, {ends.format(months[0], months[-1])}"
