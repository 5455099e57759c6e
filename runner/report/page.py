"""The report as one HTML file: everything it needs is in it, and it asks nobody for anything."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

from runner import words
from runner.months.ledger import RecordedRun
from runner.report import names
from runner.report.data import ReportData, Trust
from runner.report.figures import Figure
from runner.report.palette import THEMES
from runner.report.section import Section
from runner.report.sections import make_sections
from runner.show.rows import WHOLE_FUNNEL


@dataclass(frozen=True)
class Tile:
    """A headline number: what it is, and how it compares."""

    label: str
    value: str
    changes: Sequence[str]


def render_page(data: ReportData) -> str:
    """Return the report as HTML.

    Scripts run only if they are the two that are written here, by their hash; the page may load
    nothing at all. So even what would get through the escaping could do nothing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    templates = Environment(
        loader=PackageLoader("runner.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = make_sections(data)
    plotly, script = get_plotlyjs(), _read("page.js")
    return templates.get_template("page.html").render(
        data=data,
        names=names,
        words=words,
        title=f"Sales funnel, {words.month_name(data.month)}",
        tiles=make_tiles(data),
        sections=sections,
        figures=_draw(sections),
        themes=THEMES,
        style=_read("page.css"),
        plotly=plotly,
        script=script,
        hashes=[_hash(plotly), _hash(script)],
        sources=_describe_sources(data),
    )


def make_tiles(data: ReportData) -> list[Tile]:
    """Return the headline numbers of the month, compared with last month and a year ago."""
    first = data.steps[0]
    rates = {row.month: row for row in data.win_rates}
    cycle = {row.month: row.median_days for row in data.velocity if row.step_order == WHOLE_FUNNEL}
    found = rates.get(data.month)
    compared = (data.previous_month, data.year_before)
    open_deals = sum(row.open_deals_count for row in data.forecast)
    stalled = sum(step.deals_count for step in data.stalled_steps)
    return [
        Tile(
            names.in_sentence(first.kpi_name),
            words.count(first.deals_count),
            [
                _change(first.deals_count, data.deals_in(month, first.step_order), month)
                for month in compared
            ],
        ),
        Tile(
            "Deals won",
            words.count(found.won_deals_count if found else 0),
            [
                _change(
                    found.won_deals_count if found else 0,
                    rates[month].won_deals_count if month in rates else None,
                    month,
                )
                for month in compared
            ],
        ),
        Tile(
            "Win rate",
            words.percent(found.win_rate if found else None),
            [
                _difference(
                    *(
                        _hundredfold(rates[at].win_rate if at in rates else None)
                        for at in (data.month, month)
                    ),
                    unit="point",
                    month=month,
                )
                for month in compared
            ],
        ),
        Tile(
            "Days to win, median",
            words.tenths(cycle.get(data.month)),
            [
                _difference(cycle.get(data.month), cycle.get(month), unit="day", month=month)
                for month in compared
            ],
        ),
        Tile(
            "Open deals",
            words.count(open_deals),
            [
                f"{words.count(stalled)} stalled",
                f"as of {words.long_date(data.trust.reference_date)}",
            ],
        ),
    ]


def _change(now: float, before: float | None, month: date) -> str:
    """Return a change in per cent against another month."""
    rate = words.share(None if before is None else now - before, before)
    return _against(None if rate is None else words.signed_percent(rate), month)


def _difference(now: float | None, before: float | None, *, unit: str, month: date) -> str:
    """Return a change in units against another month."""
    return _against(
        None if now is None or before is None else words.signed(now - before, unit), month
    )


def _against(change: str | None, month: date) -> str:
    """Return a change with the month it is measured against."""
    if change is None:
        return f"not known for {words.short_month(month)}"
    return f"{change} on {words.short_month(month)}"


def _hundredfold(rate: float | None) -> float | None:
    return None if rate is None else rate * 100


def _draw(sections: Sequence[Section]) -> dict[str, dict[str, Figure]]:
    """Return every chart in the colours of every theme."""
    charts = [chart for section in sections for chart in section.charts]
    return {
        theme: {chart.name: chart.draw(palette) for chart in charts}
        for theme, palette in THEMES.items()
    }


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
    run, last = trust.run, trust.last_run
    if run is None:
        return "No run is recorded that built everything."
    said = "That run tested nothing."
    if run.tests:
        said = f"{words.plural(run.tests, 'test')} ran with it, and none failed."
    if last and last.run_id != run.run_id:
        said += f" A later run ({last.command}) has ended as {last.outcome}."
    return said


def _describe_run(run: RecordedRun | None) -> str:
    if run is None:
        return words.DASH
    return f"{run.run_id}, {run.command}, {run.version}, began {words.minute(run.started_at)}"


def _read(name: str) -> str:
    return (files("runner.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return what the page's security policy knows a script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
