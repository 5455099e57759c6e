"""The report: in a real browser, against the tables, and with data that nobody hopes for."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import psycopg2
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import Opened, open_page, start_browser
from homes import ROOT, Funnel
from playwright.sync_api import Browser

from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.report.data import OwnerTotal, ReportData, read_report
from runner.report.figures import Bars, Grid, Lines
from runner.report.names import name_of
from runner.report.page import render_page
from runner.report.palette import THEMES
from runner.report.picture import draw_picture
from runner.report.sections import make_sections
from runner.text.words import signed_percent
from runner.warehouse.on_postgres import PostgresEngine

WIDTHS = (360, 480, 768, 1024, 1280, 1600)
SECTIONS = (
    "funnel",
    "conversion",
    "trend",
    "rates",
    "velocity",
    "losses",
    "owners",
    "stalled",
    "forecast",
)
SCRIPT = "<script>window.pwned = 1</script>"
HANDLER = '<img src="https://example.com/x" onerror="window.pwned = 2">'
END = "</script></style></template><!--<script>"
TEMPLATE = '<b>B</b> %{x} {{ 7 * 7 }} $\\alpha$ & &lt; <a href="javascript:window.pwned = 3">go</a>'
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
        return read_report(
            PostgresEngine(connection), Project(ROOT, demo.home), month, with_names=with_names
        )


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


def nothing(data: ReportData) -> ReportData:
    steps = [replace(step, deals_count=0) for step in data.steps]
    return ReportData(data.month, steps, data.trust)


def one_month(data: ReportData) -> ReportData:
    return replace(
        data,
        funnel=data.steps,
        conversion=[row for row in data.conversion if row.cohort_month == data.month],
        velocity=[row for row in data.velocity if row.month == data.month],
        win_rates=[row for row in data.win_rates if row.month == data.month],
        backtest=[],
    )


def without_a_step(data: ReportData) -> ReportData:
    """Nobody negotiates."""
    gone = "Negotiation"
    funnel = [
        replace(step, deals_count=0) if step.kpi_name == gone else step for step in data.funnel
    ]
    order = next(step.step_order for step in data.steps if step.kpi_name == gone)
    return replace(
        data,
        funnel=funnel,
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
    "empty": nothing,
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


# Labels of an axis, of which one begins before another has ended.
COLLIDING = """
    [...document.querySelectorAll('.plot ul')].flatMap(axis => {
        const upright = axis.className === 'y';
        const labels = [...axis.children].filter(label => label.offsetParent).map(label => {
            const range = document.createRange();
            range.selectNodeContents(label);
            const box = range.getBoundingClientRect();
            return upright ? [box.top, box.bottom] : [box.left, box.right];
        }).sort((one, other) => one[0] - other[0]);
        return labels.slice(1).filter((label, place) => label[0] < labels[place][1])
            .map(() => axis.closest('.chart').id);
    })
"""


def charts_of(data: ReportData) -> dict[str, Any]:
    return {chart.name: chart for section in make_sections(data) for chart in section.charts}


MARKS = {"bars": ".track i", "grid": "tbody td", "lines": "path:not(.rule)"}


def expected_marks(figure: Bars | Grid | Lines) -> int:
    if isinstance(figure, Bars):
        return sum(len(row.lengths) for row in figure.rows)
    return (
        len(figure.lines) if isinstance(figure, Lines) else len(figure.rows) * len(figure.columns)
    )


def test_every_chart_is_drawn_and_nothing_goes_wrong(browser: Browser, report: Report) -> None:
    charts = charts_of(report.data)
    with open_page(browser, report.path) as opened:
        drawn = opened.value("[...document.querySelectorAll('.chart')].map(chart => chart.id)")
        assert drawn == [f"chart-{name}" for name in charts]
        for name, chart in charts.items():
            marks = opened.count(f"#chart-{name} {MARKS[chart.figure.kind]}")
            assert marks == expected_marks(chart.figure), name
        assert opened.value("window.pwned") is None
        assert opened.complaints == []
        assert opened.requests == []


def test_nothing_sticks_out_at_any_width(browser: Browser, report: Report) -> None:
    # What is wider than its place may only be what can be scrolled there.
    too_wide = """
        [...document.querySelectorAll('main *, header *, footer *')].filter(part =>
            !part.closest('.scroll, .unseen, svg, option') && part.clientWidth
            && part.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        ).map(part => part.outerHTML.slice(0, 80))
    """
    with open_page(browser, report.path) as opened:
        opened.open_details()
        for width in WIDTHS:
            opened.resize(width)
            assert opened.value("document.documentElement.scrollWidth") <= width
            assert opened.value(too_wide) == []
            assert opened.value(COLLIDING) == []
            assert opened.value("window.innerWidth") == width


def test_the_button_says_which_theme_comes_next(
    browser: Browser, reports: dict[str, Report]
) -> None:
    def colors(opened: Opened) -> list[str]:
        found: list[str] = opened.value(
            """[
                getComputedStyle(document.documentElement).backgroundColor,
                getComputedStyle(document.querySelector('#chart-funnel .accent')).backgroundColor,
            ]"""
        )
        return found

    def rgb(color: str) -> str:
        return f"rgb({', '.join(str(part) for part in bytes.fromhex(color[1:]))})"

    light, dark = (
        [rgb(THEMES[theme].paper), rgb(THEMES[theme].accent)] for theme in ("light", "dark")
    )
    with open_page(browser, reports["demo"].path, theme="light") as opened:
        assert colors(opened) == light
        opened.page.get_by_role("button", name="Use dark theme").click()
        assert colors(opened) == dark
        opened.page.get_by_role("button", name="Use light theme").click()
        assert colors(opened) == light
    with open_page(browser, reports["demo"].path, theme="dark") as opened:
        assert colors(opened) == dark
        opened.choose("light")
        opened.page.get_by_role("button", name="Use dark theme").wait_for()
        assert colors(opened) == light


@pytest.mark.parametrize(
    "story",
    [
        "demo",
        pytest.param("hostile", marks=pytest.mark.long),
        pytest.param("empty", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing(browser: Browser, reports: dict[str, Report], story: str) -> None:
    with open_page(browser, reports[story].path) as opened:
        opened.open_details()
        for theme, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            opened.choose(theme)
            found = Axe().run(
                opened.page,
                options={"resultTypes": ["violations"], **options},
            )
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
        # "later" is off: no month comes after the one that is shown first.
        expected = ["skip", "earlier", "month", "theme"]
        for section in make_sections(report.data):
            grids = sum(isinstance(chart.figure, Grid) for chart in section.charts)
            expected += [f"{section.name} div"] * (grids + (section.shown is not None))
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


@pytest.mark.parametrize("paper", ["A4", "Letter"])
@pytest.mark.parametrize(
    ("story", "theme", "width"),
    [
        ("demo", "light", 1600),
        ("demo", "dark", 360),
        ("hostile", "dark", 1280),
        ("without a step", "light", 768),
    ],
)
def test_it_prints_on_paper_of_any_format(
    browser: Browser,
    reports: dict[str, Report],
    story: str,
    theme: Literal["light", "dark"],
    width: int,
    paper: str,
) -> None:
    with open_page(browser, reports[story].path, theme=theme, width=width) as opened:
        printed = opened.page.pdf(format=paper)
        pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", printed))
        assert pages <= (4 if story == "hostile" else 3)
        opened.page.set_viewport_size({"width": 700, "height": 900})  # between the margins
        opened.page.emulate_media(media="print")
        background = "getComputedStyle(document.documentElement).backgroundColor"
        assert opened.value(background) == "rgb(255, 255, 255)"
        assert opened.value("document.documentElement.scrollWidth") <= 700
        cut = """
            [...document.querySelectorAll('.scroll')].filter(part =>
                part.scrollWidth > part.clientWidth + 1
            ).map(part => part.ariaLabel)
        """
        assert opened.value(cut) == []
        assert opened.complaints == []


@pytest.mark.long
def test_another_month_can_be_chosen_in_the_page(
    demo: Funnel, browser: Browser, reports: dict[str, Report]
) -> None:
    def steps(month: str) -> list[tuple[object, ...]]:
        return demo.query(
            f"""
            select deals_count, deal_days_count from pipedrive_reporting.monthly_stats
            where month = '{month}-01' order by step_order
            """
        )

    data = reports["demo"].data
    months = [f"{month.month:%Y-%m}" for month in (data, *reversed(data.earlier))]
    assert months == [f"2024-{number:02}" for number in range(12, 0, -1)]
    with open_page(browser, reports["demo"].path) as opened:
        page = opened.page
        for month, found in zip(months, (data, *reversed(data.earlier)), strict=True):
            page.get_by_role("combobox", name="Month").select_option(month)
            opened.open_details()
            assert opened.numbers("funnel", 2, 4) == steps(month)
            assert (
                page.locator("h1").inner_text()
                == page.locator("h2").first.evaluate(
                    "() => document.title.replace('Sales funnel, ', '')"
                )
                == found.period
            )
            titles = [section.title for section in make_sections(found)]
            assert page.locator("main h2").all_inner_texts() == titles
        later = page.get_by_role("button", name="The month after")
        assert page.get_by_role("button", name="The month before").is_disabled()
        later.focus()
        page.keyboard.press("Enter")
        assert page.locator("h1").inner_text() == "February 2024"
        printed = page.pdf()
        assert opened.numbers("funnel", 2, 4) == steps("2024-02")
        assert printed.startswith(b"%PDF")
        assert opened.complaints == []


def test_a_page_is_whole_without_scripts(browser: Browser, reports: dict[str, Report]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(reports["demo"].path.as_uri())
    assert page.get_by_text("Without JavaScript this page shows December 2024 only").is_visible()
    assert page.locator("#chart-funnel .accent").count() == len(reports["demo"].data.steps)
    page.locator("#funnel summary").click()
    assert page.locator("#funnel table").is_visible()
    assert not page.locator("#theme").is_visible()
    context.close()


def test_what_would_get_through_can_do_nothing(
    browser: Browser, reports: dict[str, Report]
) -> None:
    with open_page(browser, reports["demo"].path) as opened:
        failures: list[str | None] = []
        opened.page.on("requestfailed", lambda request: failures.append(request.failure))
        opened.value(
            """document.body.insertAdjacentHTML('beforeend', `
                <img src="https://example.com/a" onerror="window.pwned = 1">
                <iframe srcdoc="<script>parent.pwned = 2</script>"></iframe>`);
            const script = document.createElement('script');
            script.textContent = 'window.pwned = 3';
            document.body.append(script);"""
        )
        opened.page.wait_for_event("requestfailed", lambda _: True) if not failures else None
        assert failures == ["csp"]
        assert opened.value("window.pwned") is None
        deadline = time.monotonic() + 30
        while sum("Content Security Policy" in said for said in opened.complaints) < 3:
            assert time.monotonic() < deadline, opened.complaints
            opened.page.wait_for_timeout(50)
        assert opened.value("window.pwned") is None


def test_hostile_names_are_shown_as_they_are(browser: Browser, reports: dict[str, Report]) -> None:
    with open_page(browser, reports["hostile"].path) as opened:
        names = [row[1] for row in opened.table("#funnel details table")[1:]]
        assert names[:6] == [name_of(name) for name in HOSTILE[:6]]
        assert names[6] == "(no name)"
        labels: list[str] = opened.page.locator("#chart-funnel bdi").all_text_contents()
        said = "\n".join(labels)
        assert "<script>window.pwned" in said
        assert "</\u200bscript></\u200bstyle>" in said
        assert "<b>B</\u200bb> %{x} {{ 7 * 7 }}" in said
        assert opened.count("#chart-funnel a") == 0
        assert opened.count("main b, main img, main script, main a") == 0
        assert opened.count("script") == 1


def test_stalled_deals_link_to_pipedrive_where_its_address_is_set(
    demo: Funnel, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "linked.html"
    address = "https://acme.pipedrive.com"
    demo.done("report", "-o", str(path), "--vars", json.dumps({"pipedrive_url": f"{address}/"}))
    with open_page(browser, path) as opened:
        deals = [row[0] for row in opened.table("#stalled table.shown")[1:]]
        links = opened.page.locator("main a")
        assert deals
        assert [link.get_attribute("href") for link in links.all()] == [
            f"{address}/deal/{deal}" for deal in deals
        ]
        assert links.all_inner_texts() == deals
        assert opened.requests == []
    outcome = demo("report", "--vars", json.dumps({"pipedrive_url": "javascript:alert(1)"}))
    assert outcome.returncode == 2
    assert "var pipedrive_url must be an https address" in outcome.stderr


@pytest.fixture
def goals(demo: Funnel) -> Iterator[str]:
    """Goals in the warehouse for a while, as `dbt seed` would load them."""
    table = "pipedrive_staging.goals"
    demo.query(
        f"""
        insert into {table} values
            ('2024-01-01', '1', 140), ('2024-07-01', '1', 304), ('2024-01-01', 'win_rate', 0.25)
        """
    )
    yield table
    demo.query(f"delete from {table}")


def test_goals_are_drawn_and_said(
    demo: Funnel, browser: Browser, tmp_path: Path, goals: str
) -> None:
    assert demo.query(f"select count(*) from {goals}") == [(3,)]
    path = tmp_path / "goals.html"
    demo.done("report", "-o", str(path))
    with open_page(browser, path) as opened:
        assert opened.page.get_by_text("0 of 1 goal reached").is_visible()
        assert opened.page.get_by_text("goal of 304 missed").is_visible()
        assert opened.page.get_by_text("goal of 25% missed").is_visible()
        widths = opened.page.locator("#chart-funnel .accent, #chart-funnel b").evaluate_all(
            "parts => parts.map(part => part.style.width || part.style.left)"
        )
        assert widths[:2] == ["50%", "100%"]  # 152 deals of a goal of 304
        assert opened.count("#chart-funnel b") == 1
        line = opened.page.locator("#chart-trend-1 .other").get_attribute("d") or ""
        drawn = re.findall(r"([ML])[0-9.]+ ([0-9.]+)h0", line)
        assert drawn == [("M", "65")] + [("L", "65")] * 5 + [("L", "24")] * 6
        assert opened.count("#chart-win-rate .other") == 1
        assert opened.complaints == []


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
        assert len(report.text.encode()) < 1_500_000
        assert report.text.count("</script>") == 1


def test_the_numbers_of_the_page_are_those_of_the_tables(
    demo: Funnel, browser: Browser, reports: dict[str, Report]
) -> None:
    month = "month = '2024-12-01'"
    year = "month >= '2024-01-01'"
    with open_page(browser, reports["demo"].path) as opened:
        opened.open_details()
        assert opened.numbers("funnel", 2, 4) == demo.query(
            f"""
            select deals_count, deal_days_count
            from pipedrive_reporting.monthly_stats where {month} order by step_order
            """
        )
        by_month = demo.query(
            """
            select array_agg(deals_count order by step_order)
            from pipedrive_reporting.monthly_stats group by month order by month desc
            """
        )
        assert [list(row) for row in opened.numbers("trend", *range(1, 12))] == [
            counts for (counts,) in by_month
        ]
        cohorts = demo.query(
            """
            select
                array[max(cohort_deals_count)::text] || array_agg(
                    reached_deals_count || ' (' || entered_deals_count || ')' order by step_order
                ) filter (where step_order > 1)
            from pipedrive_analytics.funnel_conversion
            where cohort_month >= '2024-01-01' group by cohort_month order by cohort_month
            """
        )
        shown = [row[1:] for row in opened.table("#conversion details table")[1:]]
        assert shown == [cells for (cells,) in cohorts]
        assert opened.numbers("velocity", 2, 3, 4, 5) == demo.query(
            f"""
            select
                visits_ended_count, round(median_days, 1)::float, round(p75_days, 1)::float,
                round(p90_days, 1)::float
            from pipedrive_analytics.step_velocity where {month}
            order by step_order = 0, step_order
            """
        )
        lost = demo.query(
            f"""
            select lost_reason, sum(deals_count)::int
            from pipedrive_analytics.losses_monthly where {month} group by 1
            union all
            select 'All', sum(deals_count)::int
            from pipedrive_analytics.losses_monthly where {month}
            """
        )
        rows = opened.table("#losses details table")[1:]
        assert sorted((row[0], int(row[-1])) for row in rows) == sorted(lost)
        cells = demo.query(
            f"""
            select lost_reason, kpi_name, deals_count
            from pipedrive_analytics.losses_monthly where {month}
            """
        )
        head = opened.table("#losses details table")[0]
        assert sorted(cells) == sorted(
            (row[0], step, int(deals))
            for row in rows[:-1]
            for step, deals in zip(head[1:-1], row[1:-1], strict=True)
            if deals != "0"
        )
        owners = demo.query(
            f"""
            select 'Owner ' || owner_id, kpi_name, sum(deals_count)::int
            from pipedrive_analytics.monthly_stats_by_owner
            where {year} and owner_id is not null group by 1, 2
            """
        )
        head, *rows = opened.table("#owners details table")
        assert sorted(owners) == sorted(
            (row[0], step, int(deals))
            for row in rows
            if row[0] != "Nobody known"
            for step, deals in zip(head[1:], row[1:], strict=True)
            if deals != "0"
        )
        assert sorted(opened.numbers("stalled", 2)) == sorted(
            demo.query("select count(*) from pipedrive_analytics.stalled_deals group by kpi_name")
        )
        longest = demo.query(
            """
            select deal_id::text, kpi_name, coalesce(owner_id::text, '–'),
                days_since_last_movement::text
            from pipedrive_analytics.stalled_deals
            order by stalled_deals.days_since_last_movement desc, stalled_deals.deal_id limit 10
            """
        )
        assert opened.table("#stalled table.shown")[1:] == [list(row) for row in longest]
        forecast = demo.query(
            """
            select kpi_name, open_deals_count::text, to_char(win_rate * 100, 'FM990') || '%',
                to_char(median_days_to_win, 'FM9990.0'), to_char(expected_wins, 'FM9990.0')
            from pipedrive_analytics.pipeline_forecast
            where open_deals_count > 0 and expected_wins is not null
            order by step_order
            """
        )
        assert opened.table("#forecast table.shown")[1:] == [list(row) for row in forecast]
        assert opened.numbers("forecast", 1, 3, 4) == demo.query(
            """
            select open_deals_count, actual_wins, horizon_months
            from pipedrive_analytics.pipeline_forecast_backtest
            where is_over and actual_wins is not null order by month desc
            """
        )


def test_the_headline_compares_with_last_month_and_last_year(
    demo: Funnel, browser: Browser, reports: dict[str, Report]
) -> None:
    def deals(month: str) -> int:
        query = f"""
            select deals_count from pipedrive_reporting.monthly_stats
            where step_order = 1 and month = '{month}'
        """
        return int(str(demo.query(query)[0][0]))

    now, before, year_ago = deals("2024-12-01"), deals("2024-11-01"), deals("2023-12-01")
    ((won, rate, open_deals, stalled),) = demo.query(
        """
        select
            (select won_deals_count from pipedrive_analytics.win_rate_monthly
                where month = '2024-12-01'),
            (select round(win_rate * 100) || '%' from pipedrive_analytics.win_rate_monthly
                where month = '2024-12-01'),
            (select count(*) from pipedrive_analytics.deals
                where status = 'open' and current_kpi_name is not null),
            (select count(*) from pipedrive_analytics.stalled_deals)
        """
    )
    with open_page(browser, reports["demo"].path) as opened:
        tiles: list[list[str]] = opened.page.eval_on_selector_all(
            ".tiles:not(.money) .tile",
            "tiles => tiles.map(tile => [...tile.children].map(part => part.innerText))",
        )
    assert tiles[0][1:] == [
        f"{now}",
        f"{signed_percent(now / before - 1)} on Nov 2024",
        f"{signed_percent(now / year_ago - 1)} on Dec 2023",
    ]
    assert [tile[1] for tile in tiles[1:3]] == [str(won), rate]
    assert tiles[4][1:3] == [str(open_deals), f"{stalled} stalled"]


def test_money_stands_on_top_in_each_currency_by_itself(
    demo: Funnel, browser: Browser, reports: dict[str, Report]
) -> None:
    won = demo.query(
        """
        select
            currency, to_char(won_value, 'FM999,999,990'), to_char(average_value, 'FM999,999,990'),
            valued_deals_count
        from pipedrive_analytics.won_value_monthly
        where month = '2024-12-01' and valued_deals_count > 0 order by currency
        """
    )
    worth = demo.query(
        """
        select currency, to_char(sum(value), 'FM999,999,990'), count(value)
        from pipedrive_analytics.deals
        where status = 'open' and current_kpi_name is not null and value is not null
        group by 1 order by 1
        """
    )
    assert [row[0] for row in won] == [row[0] for row in worth] == ["EUR", "USD"]

    def plural(deals: object) -> str:
        return f"{deals} deal{'' if deals == 1 else 's'}"

    with open_page(browser, reports["demo"].path) as opened:
        tiles: list[list[str]] = opened.page.eval_on_selector_all(
            ".money .tile",
            "tiles => tiles.map(tile => [...tile.children].map(part => part.innerText))",
        )
    (_, value, average, deals), (_, other, other_average, other_deals) = won
    assert [tile[:2] for tile in tiles] == [
        [f"Value of {plural(deals)} won", f"EUR {value}"],
        [f"Average of {plural(deals)} won", f"EUR {average}"],
        [f"Value of {plural(worth[0][2])} open", f"EUR {worth[0][1]}"],
    ]
    assert [tile[-1] for tile in tiles] == [
        f"USD {other} of {plural(other_deals)}",
        f"USD {other_average} of {plural(other_deals)}",
        f"USD {worth[1][1]} of {plural(worth[1][2])}",
    ]


def test_the_charts_hold_the_numbers_of_their_tables(
    browser: Browser, reports: dict[str, Report]
) -> None:
    with open_page(browser, reports["demo"].path) as opened:
        opened.open_details()

        def widths(section: str, shade: str = "accent") -> list[float]:
            script = f"#chart-{section} .{shade}"
            found: list[float] = opened.page.eval_on_selector_all(
                script, "bars => bars.map(bar => parseFloat(bar.style.width))"
            )
            return found

        def of_longest(numbers: list[float], longest: float) -> list[float]:
            return [round(number / longest * 100, 1) for number in numbers]

        def column(section: str, at: int) -> list[float]:
            return [number for (number,) in opened.numbers(section, at)]

        deals = column("funnel", 2)
        assert widths("funnel") == of_longest(deals, max(deals))
        stalled = column("stalled", 2)
        assert widths("stalled") == of_longest(stalled, max(stalled))
        longest = max(
            row.p90_days or 0
            for row in reports["demo"].data.velocity
            if row.month == reports["demo"].data.month and row.step_order
        )
        for shade, at in (("accent", 3), ("pale", 4), ("paler", 5)):
            assert widths("velocity", shade) == pytest.approx(
                of_longest(column("velocity", at)[:-1], longest), abs=0.3
            )
        for number in range(1, 12):
            chart = f"#chart-trend-{number}"
            top = float(opened.page.locator(f"{chart} .y li").first.inner_text())
            path = opened.page.locator(f"{chart} .main").get_attribute("d") or ""
            drawn = [float(down) for down in re.findall(r" ([0-9.]+)h0", path)]
            assert drawn == of_longest(
                [top - deals for deals in column("trend", number)[::-1]], top
            )
        rows: list[list[str]] = opened.table("#chart-losses table")[2:]
        reasons = opened.table("#losses details table")[1:-1]
        assert [[cell or "0" for cell in row[1:]] for row in rows] == [row[1:-1] for row in reasons]


def test_the_footer_says_what_the_ledger_says(
    demo: Funnel, browser: Browser, reports: dict[str, Report]
) -> None:
    ((run_id,),) = demo.query(
        """
        select run_id
        from pipedrive_meta.runs
        where outcome = 'success' and is_complete order by started_at desc limit 1
        """
    )
    with open_page(browser, reports["demo"].path) as opened:
        said = opened.page.locator("footer").inner_text()
    assert str(run_id) in said
    assert "31 December 2024. Events after it do not count." in said
    assert "1 January 2023 to 31 December 2024" in said
    assert re.search(r"activity [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{5} UTC", said)


def test_an_unfinished_month_says_so(demo_data: ReportData) -> None:
    trust = replace(demo_data.trust, last_day=date(2024, 12, 10))
    page = render_page(replace(demo_data, trust=trust))
    assert "December 2024 is counted to 10 December only" in page
    assert ">December 2024 (to 10 December)</h1>" in page
    assert "is counted to" not in render_page(demo_data)


def test_the_page_names_the_warnings_of_the_ledger(demo: Funnel, demo_data: ReportData) -> None:
    ((warnings, tests),) = demo.query(
        """
        select warnings, tests from pipedrive_meta.runs
        where outcome = 'success' and is_complete order by started_at desc limit 1
        """
    )
    run = demo_data.trust.run
    assert run
    assert (run.warnings, run.tests) == (str(warnings).split(), tests)
    warned = replace(run, warnings=["dried_up", "late"], tests=96)
    page = render_page(replace(demo_data, trust=replace(demo_data.trust, run=warned)))
    on_top, _, below = page.partition("Deals won")
    assert "2 warnings of the run that counted this are named at the end." in on_top
    assert "2 warnings: dried_up, late. `funnel test` explains." in below


def test_calls_are_steps_that_no_stage_stands_for(demo: Funnel, demo_data: ReportData) -> None:
    steps = demo.query(
        "select step_order from pipedrive_staging.funnel_steps where source_type = 'activity'"
    )
    assert demo_data.parallel_steps == {order for (order,) in steps} == {3, 5}


def test_a_later_run_that_failed_is_mentioned(demo_data: ReportData) -> None:
    run = demo_data.trust.run
    assert run
    failed = replace(run, run_id="later", command="funnel backfill", outcome="failed")
    page = render_page(replace(demo_data, trust=replace(demo_data.trust, last_run=failed)))
    said = "A later run (funnel backfill) has ended as failed: "
    assert page.index(said) < page.index("Deals won")
    assert page.count(said) == 1


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read_on_its_ground(theme: Literal["light", "dark"]) -> None:
    def brightness(color: str) -> float:
        parts = [part / 255 for part in bytes.fromhex(color[1:])]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        dark, light = sorted(map(brightness, (one, other)))
        return (light + 0.05) / (dark + 0.05)

    palette = THEMES[theme]
    for text in (palette.ink, palette.muted, palette.accent):
        assert contrast(text, palette.paper) >= 4.5
    for ground in (palette.pale, palette.paler):
        assert contrast(palette.ink, ground) >= 4.5
    assert contrast(palette.accent, palette.pale) >= 1.9


@pytest.mark.parametrize("month", ["2023-01", "2024-05"])
def test_a_past_month_can_be_chosen(demo: Funnel, tmp_path: Path, month: str) -> None:
    here = Funnel(demo.home, directory=tmp_path)
    said = json.loads(here.done("report", "--month", month, "--json").stdout)
    path = tmp_path / f"funnel-{month}.html"
    assert said == {
        "report": path.name,
        "format": "html",
        "month": month,
        "pipeline": None,
        "bytes": path.stat().st_size,
    }
    assert f"<title>Sales funnel, {date.fromisoformat(f'{month}-01'):%B %Y}</title>" in (
        path.read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "name", "begin"),
    [
        (["--format", "png"], "funnel-2024-12.png", b"\x89PNG"),
        (["--format", "svg"], "funnel-2024-12.svg", b"<svg"),
        (["--format", "pdf"], "funnel-2024-12.pdf", b"%PDF"),
        (["-o", "sales.svg"], "sales.svg", b"<svg"),
        (["-o", "sales.pdf"], "sales.pdf", b"%PDF"),
        (["-o", "sales.PNG"], "sales.PNG", b"\x89PNG"),
        (["-o", "sales.out"], "sales.out", b"<!doctype html>"),
        (["-o", "sales.out", "--format", "png"], "sales.out", b"\x89PNG"),
    ],
)
def test_the_format_is_the_one_asked_for(
    demo: Funnel, tmp_path: Path, arguments: list[str], name: str, begin: bytes
) -> None:
    outcome = Funnel(demo.home, directory=tmp_path).done("report", *arguments)
    assert outcome.stdout == f"{name}\n"
    assert outcome.stderr == ""
    assert (tmp_path / name).read_bytes().startswith(begin)


def test_the_picture_says_what_the_funnel_says(demo_data: ReportData) -> None:
    svg = ElementTree.fromstring(draw_picture(demo_data, "svg"))  # noqa: S314 - our own
    texts = [part.text or "" for part in svg.iter("{http://www.w3.org/2000/svg}text")][2:]
    assert texts[::2] == [f"{step.funnel_step} {step.kpi_name}" for step in demo_data.steps]
    assert [text.split(" ")[0] for text in texts[1::2]] == [
        f"{step.deals_count}" for step in demo_data.steps
    ]


@pytest.mark.parametrize("story", STORIES)
def test_a_picture_can_be_drawn_of_anything(demo_data: ReportData, story: str) -> None:
    data = STORIES[story](demo_data)
    assert draw_picture(data, "png").startswith(b"\x89PNG")
    assert draw_picture(data, "pdf").startswith(b"%PDF")
    ElementTree.fromstring(draw_picture(data, "svg"))  # noqa: S314 - our own


def test_without_the_extra_there_are_pages_and_svg(
    demo: Funnel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    here = Funnel(demo.home, directory=tmp_path)
    for name in ("page.html", "page.svg"):
        here.done("report", "-o", name)
    for name in ("page.png", "page.pdf"):
        outcome = here("report", "-o", name)
        assert outcome.returncode == 2
        assert "needs the extra report. Type `pip install '.[report]'`" in outcome.stderr
        assert len(outcome.stderr.splitlines()) == 1
        assert not (tmp_path / name).exists()


def test_it_is_opened_in_a_browser_if_asked_for(
    demo: Funnel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    path = tmp_path / "page.html"
    demo.done("report", "-o", str(path))
    assert opened == []
    demo.done("report", "-o", str(path), "--open")
    assert opened == [path.as_uri()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--month", "2024-13"], "is not a month"),
        (["--month", "2019-05"], "2019-05 is not built"),
        (["-o", "/nowhere/page.html"], "cannot write /nowhere/page.html: No such file"),
        (["--format", "doc"], "'doc' is not one of"),
    ],
)
def test_a_report_that_cannot_be_is_one_line_and_exit_2(
    demo: Funnel, arguments: list[str], said: str
) -> None:
    outcome = demo("report", *arguments)
    assert outcome.returncode == 2
    assert said in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_before_the_first_run_there_is_nothing_to_report(empty: Funnel) -> None:
    outcome = empty("report")
    assert outcome.returncode == 2
    assert "is not built yet" in outcome.stderr
