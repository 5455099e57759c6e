"""Verification: compute again straight from the raw rows, and compare with what is stored.

Over all months and deals instead of a window. This finds what no watermark can: rows deleted long
ago, an event moved in place out of an old month, hand edits, a changed funnel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.months.backfill import Backfill
from runner.months.drift import MONTHLY, Drift, compare_deals, compare_window
from runner.months.ledger import find_own_run, record
from runner.months.pipeline import Pipeline, RunOptions, open_pipeline
from runner.months.window import EARLIEST, Window, days_of
from runner.project import ANALYTICS, META, REPORTING, Project
from runner.text.text_table import TextTable
from runner.text.words import count, plural
from runner.transform.results import describe_problems, exit_code
from runner.warehouse.connection import DAILY_TABLES

_STAGING = ("funnel_steps", "path:models/staging")


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Args:
        first_day: First day compared.
        last_day: Last day compared.
        drift: What differed in a month, oldest first.
        deals: How many deals differed, by table.
        repaired_months: Months that were processed again because of it, as 'YYYY-MM'.
        exit_code: Done, or the data failed: there is drift now.
    """

    first_day: date
    last_day: date
    drift: tuple[Drift, ...]
    deals: Mapping[str, int]
    repaired_months: tuple[str, ...] = ()
    exit_code: ExitCode = ExitCode.DONE

    @property
    def is_right(self) -> bool:
        """Whether nothing differed."""
        return not self.drift and not self.deals

    @property
    def what_drifted(self) -> str:
        """What differed, in a few words."""
        months = len({drift.month for drift in self.drift})
        words = [plural(months, "month")] if months else []
        words += [plural(max(self.deals.values()), "deal")] if self.deals else []
        return " and ".join(words)

    def document(self) -> dict[str, Any]:
        """Return the verification as `--json` prints it."""
        return {
            "first_day": self.first_day,
            "last_day": self.last_day,
            "drift": [asdict(drift) for drift in self.drift],
            "deals": dict(self.deals),
            "repaired_months": list(self.repaired_months),
            "exit_code": int(self.exit_code),
        }

    def draw(self) -> str:
        """Return the drift as a table; tables that are wrong in the same way share a line."""
        tables: dict[tuple[str, str, str, str], list[str]] = {}
        for drift in self.drift:
            numbers = (drift.stored_deals_count, drift.true_deals_count)
            stored, counted = (count(number) or "-" for number in numbers)
            days = f"{plural(drift.rows, 'day')} of " if drift.table in DAILY_TABLES else ""
            place = days + drift.table
            tables.setdefault((drift.month, drift.kpi_name, stored, counted), []).append(place)
        rows = [(*numbers, ", ".join(places)) for numbers, places in tables.items()]
        header = ("month", "KPI", "stored", "true", "in") if rows else ()
        counts = TextTable(header, rows, has_note=True).draw() if rows else ""
        deals = [f"{plural(number, 'deal')} of {table}" for table, number in self.deals.items()]
        return "\n".join(line for line in [counts, *deals] if line)


def verify(
    project: Project,
    console: Console,
    first: date | None,
    last: date | None,
    options: RunOptions | None = None,
    *,
    repair: bool = False,
) -> Verification:
    """Compare the stored counts with those of the raw rows, month by month.

    Args:
        project: What to verify.
        console: Where to talk.
        first: First day; its whole month is compared. None is the first day built.
        last: Last day; its month is compared as far as it is built. None is the last day built.
        options: How to deal with another writer.
        repair: Whether to process the months that drifted again.

    Raises:
        FunnelError: Nothing is built, or it could not run.
    """
    with open_pipeline(project, console, "verify", "", options or RunOptions()) as pipeline:
        everything = _find_range(pipeline, first, last)
        results = pipeline.dbt.with_vars({"recorded_as": pipeline.recorded_as}).build(
            _STAGING, with_tests=False
        )
        if exit_code(results) is not ExitCode.DONE:
            raise FunnelError(
                f"cannot read the raw tables: {describe_problems(results)}",
                hint="`funnel doctor` looks for what is missing.",
            )
        found = _compare(pipeline, everything)
        if found.is_right:
            return found
        if not repair:
            return replace(found, exit_code=ExitCode.DATA_FAILED)
        return _repair(pipeline, everything, found)


def _find_range(pipeline: Pipeline, first: date | None, last: date | None) -> Backfill:
    schema = pipeline.project.schema(ANALYTICS)
    first_built, last_built = pipeline.state.first_day, pipeline.state.last_day
    if first_built is None or last_built is None:
        raise FunnelError("nothing is built yet", hint="Type `funnel run`.")
    tables = [(schema, table) for pair in MONTHLY.items() for table in pair]
    for place, table in [*tables, (pipeline.project.schema(REPORTING), "monthly_stats")]:
        if not pipeline.engine.table_exists(place, table):
            raise FunnelError(f"{place}.{table} is not built", hint="Type `funnel run`.")
    begin = max(first or first_built, first_built).replace(day=1)
    end = min(last or last_built, last_built)
    if begin > end:
        raise FunnelError(
            f"nothing is built from {first or first_built} to {last or last_built}",
            hint=f"Days are built from {first_built} to {last_built}.",
        )
    month = f"{end:%Y-%m}"
    built = pipeline.state.built_through(month) or max(days_of(month))
    return Backfill("verify", begin, max(end, built), "year", next_day=begin)


def _repair(pipeline: Pipeline, everything: Backfill, found: Verification) -> Verification:
    months = tuple(sorted({drift.month for drift in found.drift}))
    *others, latest = months or (f"{everything.last:%Y-%m}",)
    window = Window(
        min(max(days_of(latest)), everything.last),
        backfill_period=0,
        reprocess_months=tuple(others),
    )
    options = RunOptions(with_tests=False, with_freshness=False, with_healing=False)
    report = pipeline.process(window, options, batches_from=EARLIEST if found.deals else None)
    code = report.exit_code
    pipeline.console.say(describe_problems(report.results, with_warnings=False))
    if code is ExitCode.DONE and not _compare(pipeline, everything).is_right:
        code = ExitCode.DATA_FAILED
    return replace(found, repaired_months=months, exit_code=code)


def _compare(pipeline: Pipeline, everything: Backfill) -> Verification:
    found: list[Drift] = []
    windows = list(everything.batches())
    total = sum(window.months for window in windows)
    with pipeline.console.bar("Verifying", total) as advance:
        for window in windows:
            drift = compare_window(pipeline, window)
            _remember(pipeline, window, drift)
            found += drift
            if advance:
                advance(window.months)
        deals = compare_deals(pipeline)
    found.sort(key=lambda drift: (drift.month, drift.table, drift.kpi_name))
    return Verification(everything.first, everything.last, tuple(found), deals)


def _remember(pipeline: Pipeline, window: Window, drift: Sequence[Drift]) -> None:
    """Write down which months were verified, for `funnel status`."""
    engine, meta = pipeline.engine, pipeline.project.schema(META)
    run_id = find_own_run(engine, meta)
    drifted = {found.month for found in drift}
    right = set(window.processed_months()) - drifted
    for outcome, months in {"right": right, "drifted": drifted}.items():
        if months:
            said = {"months": " ".join(sorted(months)), "outcome": outcome}
            record(engine, meta, run_id, "verified", **said)
