"""`funnel show` and its views: the rows of the models, as text, JSON and CSV."""

import csv
import io
import json
import re
from collections.abc import Iterator

import pytest
from homes import Funnel

from runner.commands.show import NAMES
from runner.show import views
from runner.text.text_table import Bar, TextTable, text_width
from runner.text.words import signed_count

VIEWS = {
    "funnel": ("pipedrive_reporting.monthly_stats", "month"),
    "conversion": ("pipedrive_analytics.funnel_conversion", "cohort_month"),
    "velocity": ("pipedrive_analytics.step_velocity", "month"),
    "losses": ("pipedrive_analytics.losses_monthly", "month"),
    "owners": ("pipedrive_analytics.monthly_stats_by_owner", "month"),
    "stalled": ("pipedrive_analytics.stalled_deals", None),
    "forecast": ("pipedrive_analytics.pipeline_forecast", None),
}


@pytest.fixture(scope="module")
def named(demo: Funnel) -> Iterator[Funnel]:
    """The demo, one of whose owners has a name that would steer a terminal."""
    before = demo.query("select name from pipedrive_raw.users where id = 3")[0][0]
    demo.query("update pipedrive_raw.users set name = E'\\x1b[31m名前\\u202e' where id = 3")
    yield demo
    demo.query(f"update pipedrive_raw.users set name = '{before}' where id = 3")


def rows_of(demo: Funnel, view: str, columns: list[str], where: str) -> list[tuple[str, ...]]:
    """The rows of a view's model as CSV has them."""
    model, _ = VIEWS[view]
    cells = ", ".join(f"coalesce({column}::text, '')" for column in columns)
    return [
        tuple(str(cell) for cell in row)
        for row in demo.query(f"select {cells} from {model} where {where}")
    ]


def same(cells: tuple[str, ...]) -> tuple[object, ...]:
    """Cells without what differs between Python's and Postgres' writing of one value."""

    def plain(cell: str) -> object:
        if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", cell):
            return round(float(cell), 4)
        return cell.lower()

    return tuple(plain(cell) for cell in cells)


def test_the_command_knows_every_view() -> None:
    assert set(NAMES) == set(views.VIEWS) == set(VIEWS)


@pytest.mark.parametrize("view", VIEWS)
def test_csv_has_the_rows_of_the_model(demo: Funnel, view: str) -> None:
    _, month = VIEWS[view]
    options = ["--last", "3"] if month else []
    printed = demo.done("show", view, "--csv", *options).stdout
    columns, *rows = csv.reader(io.StringIO(printed))
    where = f"{month} >= '2024-10-01'" if month else "true"
    stored = rows_of(demo, view, columns, where)
    assert len(rows) == len(stored) > 0
    assert sorted(map(str, map(same, map(tuple, rows)))) == sorted(map(str, map(same, stored)))


@pytest.mark.parametrize("view", VIEWS)
def test_json_has_the_same_rows(demo: Funnel, view: str) -> None:
    _, month = VIEWS[view]
    options = ["--month", "2024-05"] if month else []
    document = json.loads(demo.done("show", view, "--json", *options).stdout)
    printed = demo.done("show", view, "--csv", *options).stdout
    lines = list(csv.DictReader(io.StringIO(printed)))
    rows = document.get(view) or [
        {"month": month["month"], **step} for month in document["months"] for step in month["steps"]
    ]
    assert len(rows) == len(lines) > 0
    for row, line in zip(rows, lines, strict=True):
        assert list(row) == list(line)
        for name, value in row.items():
            if "month" in name:
                assert value == "2024-05"
                assert line[name] == "2024-05-01"
            elif isinstance(value, bool) or value is None or isinstance(value, int):
                assert str("" if value is None else value) == line[name]
            elif isinstance(value, float):
                assert value == float(line[name])
            else:
                assert value.replace("T", " ") == line[name]


def test_losses_and_forecast_carry_what_stands_beside_them(demo: Funnel) -> None:
    losses = json.loads(demo.done("show", "losses", "--last", "2", "--json").stdout)
    assert [row["month"] for row in losses["win_rates"]] == ["2024-11", "2024-12"]
    assert demo.query(
        """
        select won_deals_count, lost_deals_count from pipedrive_analytics.win_rate_monthly
        where month >= '2024-11-01' order by month
        """
    ) == [(row["won_deals_count"], row["lost_deals_count"]) for row in losses["win_rates"]]
    forecast = json.loads(demo.done("show", "forecast", "--json").stdout)
    count = demo.query("select count(*) from pipedrive_analytics.pipeline_forecast_backtest")
    assert [(len(forecast["backtest"]),)] == count
    # A month that ends today is reckoned alike in both.
    assert forecast["backtest"][-1]["month"] == "2024-12"
    expected = sum(step["expected_wins"] or 0 for step in forecast["forecast"])
    # Each of ten stages is rounded to four places, or all of them at once.
    assert abs(expected - forecast["backtest"][-1]["expected_wins"]) < 0.0006
    assert expected > 0


def test_without_a_month_it_is_the_latest_one(demo: Funnel) -> None:
    for view in ("funnel", "velocity", "losses", "owners"):
        latest = demo.done("show", view).stdout
        assert latest == demo.done("show", view, "--month", "2024-12").stdout
        assert "December 2024" in latest
    six = demo.done("show", "conversion").stdout
    assert six == demo.done("show", "conversion", "--last", "6").stdout
    assert "2024-07" in six
    assert "2024-06" not in six


def test_months_are_shown_from_one_to_another(demo: Funnel) -> None:
    for view in ("funnel", "velocity", "conversion"):
        text = demo.done("show", view, "--from", "2024-02", "--to", "2024-04").stdout
        assert re.findall(r"2024-\d\d", text) == ["2024-02", "2024-03", "2024-04"]
    latest = demo.done("show", "--from", "2024-10").stdout
    assert latest == demo.done("show", "--last", "3").stdout


def test_a_month_stands_beside_the_month_before(demo: Funnel) -> None:
    text = demo.done("show", "--month", "2024-04").stdout
    assert text.startswith("April 2024, with the change against March 2024\n")
    rows = demo.query(
        """
        select april.funnel_step, april.deals_count, april.deals_count - march.deals_count
        from pipedrive_reporting.monthly_stats as april
        inner join pipedrive_reporting.monthly_stats as march using (funnel_step)
        where april.month = '2024-04-01' and march.month = '2024-03-01'
        """
    )
    for step, deals, change in rows:
        assert re.search(
            rf"^{step} .* {deals} +{re.escape(signed_count(int(str(change))))}( |$)",
            text,
            flags=re.M,
        )
    first = demo.done("show", "--month", "2023-01").stdout
    assert first.startswith("January 2023\n")
    assert "change" not in first


def test_of_many_owners_the_first_are_drawn(demo: Funnel) -> None:
    demo.query(
        """
        insert into pipedrive_analytics.monthly_stats_by_owner
        select month, 1000 + number, kpi_name, funnel_step, step_order, 1, 1
        from pipedrive_analytics.monthly_stats_by_owner
        cross join generate_series(1, 30) as numbers (number)
        where month = '2023-02-01' and funnel_step = '1' and owner_id = 3
        """
    )
    try:
        text = demo.done("show", "owners", "--month", "2023-02").stdout
        assert re.search(r"\nand \d+ more: --csv prints all$", text.rstrip())
        assert len([line for line in text.splitlines() if re.match(r"\d", line)]) == 20
    finally:
        demo.query("delete from pipedrive_analytics.monthly_stats_by_owner where owner_id > 1000")


def test_a_view_says_what_is_in_the_model(demo: Funnel) -> None:
    text = demo.done("show", "conversion", "--month", "2024-04").stdout
    rows = demo.query(
        """
        select funnel_step, kpi_name, reached_deals_count, entered_deals_count
        from pipedrive_analytics.funnel_conversion where cohort_month = '2024-04-01'
        """
    )
    for step, name, reached, entered in rows:
        assert re.search(rf"^{step} +{name} +{reached} .* {entered} ", text, flags=re.M)
    stalled = demo.done("show", "stalled").stdout
    assert demo.query("select count(*) - 20 from pipedrive_analytics.stalled_deals") == [
        (int(re.findall(r"and (\d+) more", stalled)[0]),)
    ]


def test_young_cohorts_are_marked(demo: Funnel) -> None:
    young = demo.query(
        """
        select distinct to_char(cohort_month, 'YYYY-MM') from pipedrive_analytics.funnel_conversion
        where not is_mature
        """
    )
    text = demo.done("show", "conversion", "--last", "24").stdout
    assert sorted(re.findall(r"(\d{4}-\d{2})\*", text)) == sorted(str(month) for (month,) in young)


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("view", VIEWS)
def test_text_fits_the_terminal(demo: Funnel, view: str, width: int) -> None:
    narrow = Funnel(demo.home, {"COLUMNS": str(width)})
    _, month = VIEWS[view]
    for options in ([], ["--last", "12"]) if month else ([],):
        text = narrow.done("show", view, *options).stdout
        assert "\x1b" not in text
        tables = [line for line in text.splitlines() if re.search(r"\S {2,}\S", line)]
        needed = {"owners": 60, "stalled": 60, "conversion": 74, "forecast": 88}.get(view, 50)
        assert max(map(text_width, tables)) <= max(width, needed)


def test_owners_are_numbers_unless_names_are_asked_for(named: Funnel) -> None:
    for view in ("owners", "stalled"):
        for form in ([], ["--json"], ["--csv"]):
            assert "User " not in named.done("show", view, *form).stdout
            assert "User 02" in named.done("show", view, "--names", *form).stdout
    text = named.done("show", "owners", "--names").stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "�[31m名前�" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sales"], "there is no view sales. There are funnel, conversion"),
        (["loses"], "there is no view loses. Did you mean losses?"),
        (["stalled", "--month", "2024-05"], "stalled is as of the reference date"),
        (["forecast", "--last", "2"], "forecast is as of the reference date"),
        (["velocity", "--names"], "velocity has no owners"),
        (["--names"], "funnel has no owners"),
        (["losses", "--month", "2024-05", "--last", "2"], "exclude each other"),
        (["--from", "2024-05", "--last", "2"], "exclude each other"),
        (["--to", "2024-05"], "--to needs --from"),
        (["--from", "2024-05", "--to", "2024-04"], "--from is after --to"),
        (["--from", "May"], "--from 'May' is not a month"),
        (["stalled", "--from", "2024-05"], "stalled is as of the reference date"),
        (["losses", "--month", "0000-05"], "is not a month"),
        (["losses", "--last", "1201"], "1201 is not in the range 1<=x<=1200"),
        (["--month", "2019-05"], "2019-05 is not built"),
    ],
)
def test_wrong_usage_of_a_view(demo: Funnel, arguments: list[str], said: str) -> None:
    outcome = demo("show", *arguments)
    assert outcome.returncode == 2
    assert said in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


@pytest.mark.parametrize("view", ["conversion", "velocity", "losses", "owners"])
def test_a_month_without_anything_is_a_sentence(demo: Funnel, view: str) -> None:
    outcome = demo.done("show", view, "--month", "2019-05")
    assert "May 2019" in outcome.stdout
    assert json.loads(demo.done("show", view, "--month", "2019-05", "--json").stdout)[view] == []


def test_a_model_that_is_not_there_is_named(demo: Funnel) -> None:
    demo.query("alter view pipedrive_analytics.step_velocity rename to hidden")
    try:
        outcome = demo("show", "velocity")
    finally:
        demo.query("alter view pipedrive_analytics.hidden rename to step_velocity")
    assert outcome.returncode == 2
    assert "pipedrive_analytics.step_velocity is not built yet" in outcome.stderr
    assert "funnel run" in outcome.stderr


def test_a_printer_without_blocks_gets_signs(demo: Funnel) -> None:
    latin = Funnel(demo.home, {"PYTHONIOENCODING": "latin-1"})
    outcome = latin.run("funnel", "show", "velocity")
    assert outcome.returncode == 0
    assert "#" in outcome.stdout
    assert "█" not in outcome.stdout


def test_a_table_cuts_names_and_never_numbers() -> None:
    table = TextTable(
        ("step", "", "deals"), [("1", "日本語" * 20, "123456789012")], bars=[Bar(1)]
    ).draw(40)
    assert "123456789012" in table
    assert "…" in table
    assert all(text_width(line) <= 40 for line in table.splitlines())


def test_a_name_of_a_million_letters_is_cut_as_any_other() -> None:
    table = TextTable((), [("ü" * 10**6, "7")], names=1).draw(30)
    assert table == f"{'ü' * 26}…  7"


def test_a_table_without_a_width_is_not_cut() -> None:
    rows = [("a", "12", "why " * 30), ("long name " * 6, "3", "")]
    first, second = TextTable((), rows, names=1, has_note=True).draw().splitlines()
    assert first == f"a{' ' * 59}  12  {'why ' * 30}".rstrip()
    assert second == f"{'long name ' * 6}   3"
    assert TextTable((), [], names=1).draw() == ""


def test_a_bar_has_paler_ones_behind_it() -> None:
    assert Bar(0.5, (0.75, 1)).draw(8) == "████▒▒░░"
    assert Bar(0, (0.5,)).draw(8) == "▒▒▒▒"
    assert Bar(0.0001).draw(8) == "▏"
    assert Bar(0).draw(8) == ""
