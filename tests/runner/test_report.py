"""The report: in a real browser, against the tables, and with data that nobody hopes for."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import psycopg2
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import Opened, open_page, start_browser
from conftest import ROOT, Funnel
from playwright.sync_api import Browser

from runner.local_postgres import LocalPostgres
from runner.project import Project
from runner.report.data import OwnerTotal, ReportData, read_report
from runner.report.page import render_page
from runner.report.palette import THEMES
from runner.report.sections import make_sections

WIDTHS = (360, 480, 768, 1024, 1280, 1600)
SECTIONS = (
    "funnel",
    "conversion",
    "trend",
    "velocity",
    "losses",
    "owners",
    "stalled",
    "forecast",
)
SCRIPT = "<script>window.pwned = 1</script>"
HANDLER = '<img src="https://example.com/x" onerror="window.pwned = 2">'
END = "</script></style></template><!--<script>"
TEMPLATE = (
    '{{ 7 * 7 }} %{x} <b>bold</b> <a href="javascript:window.pwned = 3">go</a> $\\alpha$ & &lt;'
)
RIGHT_TO_LEFT = "\u202eعرض السعر והצעת מחיר 123"
LONG = "Donaudampfschifffahrtsgesellschaft" * 12
HOSTILE = (
    SCRIPT,
    HANDLER,
    END,
    TEMPLATE,
    RIGHT_TO_LEFT,
    LONG,
    "  \t\n ",
    "\x01\x1b[31m",
    "日本語の段階",
)


def read_demo(demo: Funnel, month: date | None = None, *, with_names: bool = False) -> ReportData:
    with closing(psycopg2.connect(LocalPostgres(demo.home).url())) as connection:
        connection.autocommit = True
        return read_report(connection, Project(ROOT, demo.home), month, with_names=with_names)


def renamed(value: Any, names: Callable[[str], str]) -> Any:  # noqa: ANN401 - data of any kind
    """The same data, every name in it changed."""
    if is_dataclass(value) and not isinstance(value, type):
        named = ("kpi_name", "lost_reason")
        changed = {
            part.name: names(getattr(value, part.name))
            if part.name in named and getattr(value, part.name)
            else renamed(getattr(value, part.name), names)
            for part in fields(value)
        }
        return replace(value, **changed)
    if isinstance(value, list | tuple):
        return [renamed(item, names) for item in value]
    return value


def hostile(data: ReportData) -> ReportData:
    known: dict[str, str] = {}

    def name(old: str) -> str:
        return known.setdefault(old, HOSTILE[len(known) % len(HOSTILE)])

    owners = [owner.owner_id for owner in data.owners if owner.owner_id]
    names = {owner: HOSTILE[number % len(HOSTILE)] for number, owner in enumerate(owners)}
    changed: ReportData = renamed(data, name)
    return replace(changed, names=names)


def empty(data: ReportData) -> ReportData:
    steps = tuple(replace(step, deals_count=0, deal_days_count=0) for step in data.steps)
    return ReportData(data.month, [replace(data.funnels[-1], steps=steps)], data.trust)


def one_month(data: ReportData) -> ReportData:
    return replace(
        data,
        funnels=data.funnels[-1:],
        conversion=[row for row in data.conversion if row.cohort_month == data.month],
        velocity=[row for row in data.velocity if row.month == data.month],
        win_rates=[row for row in data.win_rates if row.month == data.month],
        backtest=[],
    )


def without_a_step(data: ReportData) -> ReportData:
    """Nobody negotiates."""
    gone = "Negotiation"
    funnels = [
        replace(
            funnel,
            steps=tuple(
                replace(step, deals_count=0, deal_days_count=0) if step.kpi_name == gone else step
                for step in funnel.steps
            ),
        )
        for funnel in data.funnels
    ]
    order = next(step.step_order for step in data.steps if step.kpi_name == gone)
    return replace(
        data,
        funnels=funnels,
        conversion=[
            replace(row, entered_deals_count=0, entered_from_previous=0, entered_from_first=0)
            if row.kpi_name == gone
            else row
            for row in data.conversion
        ],
        velocity=[row for row in data.velocity if row.kpi_name != gone],
        losses=[row for row in data.losses if row.kpi_name != gone],
        owners=[
            OwnerTotal(owner.owner_id, {at: n for at, n in owner.deals.items() if at != order})
            for owner in data.owners
        ],
        stalled_steps=[step for step in data.stalled_steps if step.kpi_name != gone],
        stalled_longest=[deal for deal in data.stalled_longest if deal.kpi_name != gone],
        forecast=[row for row in data.forecast if row.kpi_name != gone],
    )


STORIES: Mapping[str, Callable[[ReportData], ReportData]] = {
    "demo": lambda data: data,
    "hostile": hostile,
    "empty": empty,
    "one month": one_month,
    "without a step": without_a_step,
}


@dataclass(frozen=True)
class Report:
    """A report on disk, and the data it was made of."""

    data: ReportData
    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start_browser() as started:
        yield started


@pytest.fixture(scope="module")
def demo_data(demo: Funnel) -> ReportData:
    return read_demo(demo)


@pytest.fixture(scope="module")
def reports(demo_data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    folder = tmp_path_factory.mktemp("reports")
    found = {}
    for story, change in STORIES.items():
        data = change(demo_data)
        path = folder / f"{story}.html"
        path.write_text(render_page(data), encoding="utf-8")
        found[story] = Report(data, path)
    return found


@pytest.fixture(params=STORIES)
def report(request: pytest.FixtureRequest, reports: dict[str, Report]) -> Report:
    return reports[request.param]


def charts_of(data: ReportData) -> dict[str, Any]:
    return {chart.name: chart for section in make_sections(data) for chart in section.charts}


def drawn_marks(opened: Opened, chart: str) -> int:
    """Bars, numbered cells and points of a chart, as they are in the page."""
    place = f"#chart-{chart}"
    return sum(
        opened.count(f"{place} {mark}")
        for mark in (".barlayer .point path", ".heatmap-label", ".scatterlayer .points path.point")
    )


def expected_marks(figure: dict[str, Any]) -> int:
    count = 0
    for trace in figure["data"]:
        if trace["type"] == "bar":
            count += sum(length is not None for length in trace["x"])
        elif trace["type"] == "heatmap":
            count += sum(
                bool(text) and cell is not None
                for cells, texts in zip(trace["z"], trace["text"], strict=True)
                for cell, text in zip(cells, texts, strict=True)
            )
        else:
            count += sum(value is not None for value in trace["y"])
    return count


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_chart_is_drawn_and_nothing_goes_wrong(
    browser: Browser, report: Report, theme: Literal["light", "dark"]
) -> None:
    charts = charts_of(report.data)
    with open_page(browser, report.path, theme=theme) as opened:
        drawn = opened.value("[...document.querySelectorAll('.chart')].map(chart => chart.id)")
        assert drawn == [f"chart-{name}" for name in charts]
        for name, chart in charts.items():
            figure = chart.draw(THEMES[theme])
            assert drawn_marks(opened, name) == expected_marks(figure), name
            shown = f"document.getElementById('chart-{name}')"
            assert opened.value(f"{shown}.layout.paper_bgcolor") == THEMES[theme].paper
        assert opened.value("window.pwned") is None
        assert opened.complaints == []
        assert opened.requests == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_at_any_width(browser: Browser, report: Report, width: int) -> None:
    with open_page(browser, report.path, width=width) as opened:
        opened.value("document.querySelectorAll('details').forEach(part => { part.open = true })")
        assert opened.value("document.documentElement.scrollWidth") <= width
        too_wide = """
            [...document.querySelectorAll('.chart')].filter(
                chart => chart.querySelector('.main-svg').clientWidth > chart.clientWidth
            ).map(chart => chart.id)
        """
        assert opened.value(too_wide) == []


def test_charts_follow_the_window(browser: Browser, reports: dict[str, Report]) -> None:
    with open_page(browser, reports["demo"].path, width=1280) as opened:
        opened.page.set_viewport_size({"width": 360, "height": 700})
        opened.page.wait_for_function(
            "document.querySelector('#chart-funnel .main-svg').clientWidth <= 360"
        )
        assert opened.value("document.documentElement.scrollWidth") <= 360


def test_the_button_changes_the_theme(browser: Browser, reports: dict[str, Report]) -> None:
    def colors(opened: Opened) -> list[str]:
        found: list[str] = opened.value(
            """[
                getComputedStyle(document.documentElement).backgroundColor,
                getComputedStyle(document.querySelector('#chart-funnel .main-svg')).backgroundColor,
            ]"""
        )
        return found

    def rgb(color: str) -> str:
        return f"rgb({', '.join(str(part) for part in bytes.fromhex(color[1:]))})"

    light, dark = (rgb(THEMES[theme].paper) for theme in ("light", "dark"))
    with open_page(browser, reports["demo"].path, theme="light") as opened:
        button = opened.page.get_by_role("button", name="Dark theme")
        assert colors(opened) == [light, light]
        assert button.get_attribute("aria-pressed") == "false"
        button.click()
        assert colors(opened) == [dark, dark]
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
        assert colors(opened) == [light, light]
    with open_page(browser, reports["demo"].path, theme="dark") as opened:
        assert colors(opened) == [dark, dark]
        opened.page.emulate_media(color_scheme="light")
        opened.page.wait_for_function(
            "document.getElementById('theme').getAttribute('aria-pressed') === 'false'"
        )
        assert colors(opened) == [light, light]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(
    browser: Browser, report: Report, theme: Literal["light", "dark"]
) -> None:
    with open_page(browser, report.path, theme=theme) as opened:
        opened.value("document.querySelectorAll('details').forEach(part => { part.open = true })")
        found = Axe().run(opened.page)
        assert found.violations_count == 0, found.generate_report()


def test_the_keyboard_reaches_everything_in_order(
    browser: Browser, reports: dict[str, Report]
) -> None:
    report = reports["demo"]
    with open_page(browser, report.path) as opened:
        focused = """
            (element => element.tagName === 'SUMMARY' || element.getAttribute('role') === 'region'
                ? element.closest('section').id + ' ' + element.tagName.toLowerCase()
                : element.id || element.className)(document.activeElement)
        """
        expected = ["skip", "theme"]
        for section in make_sections(report.data):
            expected += [f"{section.name} div"] * (section.shown is not None)
            expected += [f"{section.name} summary"] * (section.table is not None)
        reached = []
        for _ in expected:
            opened.page.keyboard.press("Tab")
            reached.append(opened.value(focused))
        assert reached == expected
        opened.page.keyboard.press("Enter")
        assert opened.value("document.querySelector('#forecast details').open")
        opened.page.reload()
        opened.page.keyboard.press("Tab")
        opened.page.keyboard.press("Enter")
        assert opened.value("document.activeElement.id") == "report"


@pytest.mark.parametrize("story", ["demo", "hostile", "without a step"])
@pytest.mark.parametrize(("theme", "width"), [("light", 1600), ("dark", 360)])
def test_it_prints_to_two_pages(
    browser: Browser,
    reports: dict[str, Report],
    story: str,
    theme: Literal["light", "dark"],
    width: int,
) -> None:
    with open_page(browser, reports[story].path, theme=theme, width=width) as opened:
        printed = opened.page.pdf(format="A4", prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 2
        # Printing leaves the page on the screen as it was.
        paper = opened.value("document.getElementById('chart-funnel').layout.paper_bgcolor")
        assert paper == THEMES[theme].paper
        assert opened.value("document.documentElement.scrollWidth") <= width
        assert opened.complaints == []


def test_a_page_is_whole_without_scripts(browser: Browser, reports: dict[str, Report]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(reports["demo"].path.as_uri())
    assert page.get_by_text("The charts need JavaScript").is_visible()
    page.locator("#funnel summary").click()
    assert page.locator("#funnel table").is_visible()
    assert not page.locator("#theme").is_visible()
    context.close()


def test_what_would_get_through_can_do_nothing(
    browser: Browser, reports: dict[str, Report]
) -> None:
    with open_page(browser, reports["demo"].path) as opened:
        opened.value(
            """document.body.insertAdjacentHTML('beforeend', `
                <img src="https://example.com/a" onerror="window.pwned = 1">
                <iframe srcdoc="<script>parent.pwned = 2</script>"></iframe>`);
            const script = document.createElement('script');
            script.textContent = 'window.pwned = 3';
            document.body.append(script);"""
        )
        opened.page.wait_for_timeout(200)
        assert opened.value("window.pwned") is None
        assert [url for url in opened.requests if url.startswith("http")] == []
        refused = [said for said in opened.complaints if "Content Security Policy" in said]
        assert len(refused) >= 3


def test_hostile_names_are_shown_as_they_are(browser: Browser, reports: dict[str, Report]) -> None:
    with open_page(browser, reports["hostile"].path) as opened:
        names = [row[1] for row in opened.table("#funnel details table")[1:]]
        assert names[:6] == list(HOSTILE[:6])
        labels: list[str] = opened.page.locator(
            "#chart-funnel .annotation-text"
        ).all_text_contents()
        said = "\n".join(labels)
        assert "<script>window.pwned" in said
        assert "</script></style>" in said
        assert "%{x} <b>bold" in said
        assert opened.count("#chart-funnel a") == 0
        assert opened.count("main b, main img, main script, main a") == 0
        assert opened.count("script") == 3


def test_no_name_is_in_it_unless_asked_for(demo: Funnel, tmp_path: Path) -> None:
    demo.done("report", "-o", str(tmp_path / "numbers.html"))
    demo.done("report", "-o", str(tmp_path / "names.html"), "--by-owner")
    users = demo.query("select name, email from pipedrive_raw.users")
    numbers = (tmp_path / "numbers.html").read_text()
    names = (tmp_path / "names.html").read_text()
    assert not any(str(name) in numbers for name, _ in users)
    assert all(str(name) in names for name, _ in users)
    assert not any(str(email) in numbers + names for _, email in users)


def test_it_is_small_and_has_no_stray_script(reports: dict[str, Report]) -> None:
    for report in reports.values():
        assert len(report.text.encode()) < 6_000_000
        assert report.text.count("</script>") == 3
