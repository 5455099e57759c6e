"""Backfills in batches, resumed backfills, and history rewritten on purpose."""

import json
import os
import pty
import subprocess
import sys
from datetime import date

import pytest
from homes import Funnel, tables

from runner.months.backfill import Backfill

FIRST_HALF = ("--from", "2024-01-01", "--to", "2024-06-30")


@pytest.mark.parametrize(
    ("batch", "last_days"),
    [
        ("month", ["2023-11-30", "2023-12-31", "2024-01-31", "2024-02-29", "2024-03-05"]),
        ("quarter", ["2023-12-31", "2024-03-05"]),
        ("year", ["2023-12-31", "2024-03-05"]),
        ("all", ["2024-03-05"]),
    ],
)
def test_batches_end_with_the_calendar(batch: str, last_days: list[str]) -> None:
    first = date(2023, 11, 15)
    windows = list(Backfill("backfill", first, date(2024, 3, 5), batch, first).batches())
    assert [str(window.source_dt) for window in windows] == last_days
    months = [month for window in windows for month in window.processed_months()]
    assert months == ["2023-11", "2023-12", "2024-01", "2024-02", "2024-03"]


@pytest.mark.long
def test_batches_give_what_one_build_gives(loaded: Funnel) -> None:
    first = ("--from", "2023-11-01", "--to", "2024-06-30")
    outcome = loaded.done("backfill", *first, "--batch", "quarter", "--json")
    assert "5 of 8 months, through 2024-03-31" in outcome.stderr
    report = json.loads(outcome.stdout)
    months_of_2024 = [f"2024-0{month}" for month in range(1, 7)]
    assert report["months"] == ["2023-11", "2023-12", *months_of_2024]
    assert report["tests"]["pass"] > 0
    batches = loaded.query(
        "select left(months, 7), right(months, 7), tests > 0, models"
        " from pipedrive_meta.runs order by started_at"
    )
    # The models of days and owners; before them, once, what they read; then everything for the last
    # months but the deals, and the deals of all months.
    assert [batch[:3] for batch in batches] == [
        ("2023-11", "2023-12", False),
        ("2024-01", "2024-03", False),
        ("2024-04", "2024-06", True),
        ("", "", True),
    ]
    models = [int(str(batch[3])) for batch in batches]
    assert models[:2] == [12, 4]
    assert sum(models[2:]) == report["models"]["pass"] - 2  # the seeds
    in_batches = tables(loaded)
    for schema in ("pipedrive_analytics", "pipedrive_reporting", "pipedrive_meta"):
        loaded.query(f"drop schema {schema} cascade")
    loaded.done("run", "--source-dt", "2024-06-30", "--months", "8", "--no-tests")
    assert tables(loaded) == in_batches


@pytest.mark.long
def test_a_failed_backfill_goes_on_where_it_stopped(loaded: Funnel) -> None:
    assert loaded("backfill", "--resume").returncode == 2
    loaded.done("run", "--source-dt", "2024-06-30", "--months", "6", "--no-tests")
    clean = tables(loaded)
    loaded.query(
        "alter table pipedrive_analytics.daily_deal_stats"
        " add constraint broken check (date < '2024-04-01') not valid"
    )
    stopped = loaded("backfill", *FIRST_HALF, "--batch", "month", "--no-tests")
    assert stopped.returncode == 1
    assert "ERROR model daily_deal_stats" in stopped.stderr
    assert stopped.stderr.rstrip().endswith("To continue: funnel backfill --resume")
    status = json.loads(loaded.done("status", "--json").stdout)
    assert status["unfinished_backfill"]["next_day"] == "2024-04-01"
    assert "to resume" in loaded.done("status").stdout
    assert loaded("backfill", "--resume", "--no-tests").returncode == 1
    loaded.query("alter table pipedrive_analytics.daily_deal_stats drop constraint broken")
    loaded.done("backfill", "--from", "2024-06-01", "--to", "2024-06-30", "--no-tests")
    resumed = json.loads(loaded.done("backfill", "--resume", "--no-tests", "--json").stdout)
    assert resumed["months"] == ["2024-04", "2024-05", "2024-06"]
    assert tables(loaded) == clean
    assert loaded("backfill", "--resume", "--batch", "month").returncode == 2
    again = loaded("backfill", "--resume")
    assert again.returncode == 2
    assert "there is no backfill to resume" in again.stderr


@pytest.mark.long
def test_rebuild_rewrites_history_only_on_purpose(loaded: Funnel) -> None:
    assert "nothing is built yet" in loaded("rebuild", "--from", "2024-01-01").stderr
    loaded.done("run", "--source-dt", "2024-03-20", "--months", "3", "--no-tests")
    clean = tables(loaded)
    loaded.query(
        "update pipedrive_analytics.daily_deal_stats set deals_count = 9, kpi_name = 'x'||kpi_name"
    )
    wrong = tables(loaded)
    refused = loaded.run("funnel", "rebuild", "--from", "2024-01-01")
    assert refused.returncode == 2
    assert "rebuild would rewrite the counts of 2024-01 to 2024-03" in refused.stderr
    assert "Add --yes" in refused.stderr
    assert answer(loaded, "n\n", "rebuild", "--from", "2024-01-01") == 2
    assert tables(loaded) == wrong
    loaded.done("rebuild", "--from", "2024-01-01", "--yes", "--no-tests")
    assert tables(loaded) == clean


@pytest.mark.long
def test_rebuild_asks_on_a_terminal(loaded: Funnel) -> None:
    loaded.done("run", "--source-dt", "2024-03-20", "--months", "1", "--no-tests")
    options = ("--no-tests", "--no-freshness", "--batch", "all")
    assert answer(loaded, "y\n", "rebuild", "--from", "2024-03-01", *options) == 0
    last = "select command from pipedrive_meta.runs order by started_at desc limit 1"
    assert loaded.query(last) == [("funnel rebuild",)]


def answer(funnel: Funnel, text: str, *arguments: str) -> int:
    """Run a command on a terminal where somebody types this; return its exit code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "runner.cli", *arguments],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=funnel.directory,
        env=funnel.full_environment(),
    ) as process:
        os.write(ours, text.encode())
        code = process.wait(120)
    os.close(ours)
    os.close(theirs)
    return code
