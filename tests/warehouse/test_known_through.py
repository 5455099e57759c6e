"""Deals that are known of fewer days than are built: what later months say meanwhile."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import psycopg2
import pytest
from homes import ROOT, Funnel, clear
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.months.ledger import find_deals_known_through
from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.report.data import read_report
from runner.warehouse.meta import create_ledger
from runner.warehouse.on_postgres import PostgresEngine

RUN = ("--no-tests", "--no-freshness")
BANNER = (
    "Deals are known through 10 April 2024 only, the steps of the funnel through 30 June 2024. "
    "`funnel run --source-dt 2024-06-30` brings deals forward."
)
OF_DEALS = ("conversion", "velocity", "losses", "owners")
KEYS = {"losses": "month", "win_rates": "month", "conversion": "cohort_month"}


@pytest.fixture(scope="module")
def behind(shared_home: Funnel, export: Path) -> Funnel:
    """Six months to June 2024, whose deals plain dbt has then built as of 10 April."""
    clear(shared_home)
    shared_home.done("load", str(export))
    shared_home.done("run", "--source-dt", "2024-06-30", "--months", "6", *RUN)
    assert shared_home.plain_dbt("build", source_dt="2024-04-10")
    return shared_home


@pytest.fixture
def server(shared_home: Funnel) -> Iterator[Connection]:
    """A connection whose ledger is gone afterwards."""
    with closing(psycopg2.connect(LocalPostgres(shared_home.home).url())) as connection:
        connection.autocommit = True
        yield connection
        with connection.cursor() as cursor:
            cursor.execute("drop schema if exists meta_of_a_test cascade")


@pytest.mark.parametrize("view", OF_DEALS)
def test_later_months_are_not_known_in_any_form(behind: Funnel, view: str) -> None:
    text = behind.done("show", view, "--month", "2024-06").stdout
    assert text.strip() == f"{BANNER}\n\nNot known yet: June 2024."
    text = behind.done("show", view, "--last", "6").stdout
    assert text.startswith(f"{BANNER}\n\n")
    assert text.endswith("\n\nNot known yet: May 2024 to June 2024.\n")
    assert "(to 10 April)" in text
    assert "2024-05" not in text
    document = json.loads(behind.done("show", view, "--last", "6", "--json").stdout)
    assert document["deals_through"] == "2024-04-10"
    assert document["unknown_months"] == ["2024-05", "2024-06"]
    assert document["warning"] == BANNER
    key = KEYS.get(view, "month")
    assert max(row[key] for row in document[view]) == "2024-04"
    printed = behind.done("show", view, "--last", "6", "--csv")
    assert printed.stderr == f"Warning: {BANNER}\n"
    assert max(row[key] for row in csv.DictReader(io.StringIO(printed.stdout))) == "2024-04-01"


def test_the_funnel_itself_is_known(behind: Funnel) -> None:
    document = json.loads(behind.done("show", "--month", "2024-06", "--json").stdout)
    assert document["unknown_months"] == []
    assert document["warning"] is None
    assert "known" not in behind.done("show", "--last", "6").stdout


@pytest.mark.parametrize("view", ["stalled", "forecast"])
def test_what_is_as_of_a_day_names_it(behind: Funnel, view: str) -> None:
    banner, _, first, *_ = behind.done("show", view).stdout.splitlines()
    assert banner == BANNER
    assert "as of 10 April 2024" in first
    document = json.loads(behind.done("show", "forecast", "--json").stdout)
    assert document["backtest"][-1]["month"] == "2024-03"


def shown(path: Path) -> str:
    """The page without the months that it can change to."""
    return re.sub("<template.*?</template>", "", path.read_text(), flags=re.DOTALL)


def test_the_report_of_a_later_month_says_so_once(behind: Funnel, tmp_path: Path) -> None:
    path = tmp_path / "june.html"
    behind.done("report", "-o", str(path), "--month", "2024-06")
    page = shown(path)
    assert page.count("Deals are known through 10 April 2024 only") == 1
    assert page.count("Not known yet: deals are known through 10 April 2024</h2>") == 2
    assert page.count('<dd class="change">not known yet</dd>') == 3
    assert "−100%" not in page
    assert "No deal was lost" not in page
    assert "January 2024 to April 2024 (to 10 April), by the owner at that time" in page


def test_the_report_holds_nothing_of_later_months(behind: Funnel, server: Connection) -> None:
    data = read_report(
        PostgresEngine(server), Project(ROOT, behind.home), date(2024, 6, 1), with_names=False
    )
    assert data.losses == []
    assert max(row.month for row in data.win_rates) == date(2024, 4, 1)
    assert max(row.month for row in data.velocity) == date(2024, 4, 1)
    assert max(row.cohort_month for row in data.conversion) == date(2024, 4, 1)
    assert max(row.month for row in data.backtest) == date(2024, 3, 1)
    shown = sum(sum(owner.deals.values()) for owner in data.owners)
    assert behind.query(
        "select sum(deals_count)::int from pipedrive_analytics.monthly_stats_by_owner"
        " where month < '2024-05-01'"
    ) == [(shown,)]


def test_a_part_of_a_month_of_deals_is_compared_with_nothing(
    behind: Funnel, tmp_path: Path
) -> None:
    path = tmp_path / "april.html"
    behind.done("report", "-o", str(path), "--month", "2024-04")
    page = shown(path)
    assert page.count('<dd class="change">to 10 April</dd>') == 5
    assert "Deals lost in April 2024 (to 10 April), by reason" in page


@pytest.mark.long
def test_the_command_of_the_banner_brings_them_forward(behind: Funnel) -> None:
    behind.done("run", "--source-dt", "2024-06-30", *RUN)
    for view in (*OF_DEALS, "stalled", "forecast"):
        text = behind.done("show", view).stdout
        assert "known through" not in text
        assert "Not known yet" not in text
        assert "June 2024" in text or "2024-06" in text
    assert "as of 30 June 2024" in behind.done("show", "losses").stdout


OURS, PLAIN = "funnel run", "dbt build"
FIRST = (OURS, "2024-03-31", "2024-02 2024-03", True)


@pytest.mark.parametrize(
    ("runs", "known_through"),
    [
        ([], None),
        ([FIRST], date(2024, 3, 31)),
        ([FIRST, (OURS, "2024-04-01", "2024-03 2024-04", True)], date(2024, 4, 1)),
        # An old reference date sets deals back; the runner brings all of them forward.
        ([FIRST, (PLAIN, "2024-01-31", "2024-01", True)], date(2024, 1, 31)),
        (
            [FIRST, (PLAIN, "2024-01-31", "2024-01", True), (OURS, *FIRST[1:])],
            date(2024, 3, 31),
        ),
        # Plain dbt does so where its months begin with what was not known.
        ([FIRST, (PLAIN, "2024-04-30", "2024-04", True)], date(2024, 4, 30)),
        ([FIRST, (PLAIN, "2024-05-31", "2024-05", True)], date(2024, 3, 31)),
        (
            [FIRST, (PLAIN, "2024-01-31", "2024-01", True), (PLAIN, "2024-03-31", "2024-03", True)],
            date(2024, 1, 31),
        ),
        (
            [(PLAIN, "2024-04-10", "2024-04", True), (PLAIN, "2024-04-11", "2024-04", True)],
            date(2024, 4, 11),
        ),
        # A run that failed, or has not ended, has built some tables only.
        ([FIRST, (OURS, "2024-04-30", "2024-04", False)], date(2024, 3, 31)),
        ([FIRST, (OURS, "2024-04-30", "2024-04", None)], date(2024, 3, 31)),
        ([FIRST, (OURS, "2024-02-29", "2024-02", None)], date(2024, 2, 29)),
    ],
)
def test_through_which_day_deals_are_known(
    server: Connection, runs: list[tuple[str, str, str, bool | None]], known_through: date | None
) -> None:
    create_ledger(server, "meta_of_a_test")
    with server.cursor() as cursor:
        for number, (command, as_of, months, has_marts) in enumerate(runs):
            at = f"2024-06-01 {number:02}:00Z"
            cursor.execute(
                """
                insert into meta_of_a_test.run_events
                    (run_id, event, happened_at, command, source_dt, as_of, months)
                values (%s, 'started', %s, %s, %s, %s, %s)
                """,
                (number, at, command, as_of, as_of, months),
            )
            if has_marts is not None:
                cursor.execute(
                    """
                    insert into meta_of_a_test.run_events (run_id, event, happened_at, has_marts)
                    values (%s, 'ended', %s, %s)
                    """,
                    (number, at, has_marts),
                )
    assert find_deals_known_through(PostgresEngine(server), "meta_of_a_test") == known_through


def test_without_a_ledger_the_day_is_not_known(server: Connection) -> None:
    assert find_deals_known_through(PostgresEngine(server), "meta_of_a_test") is None
