"""The whole way, from CSV files to the funnel, on real servers."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import ROOT, Funnel, ask, fingerprint, tables
from servers import TcpPostgres, find_all_binaries

from runner.warehouse.raw_contract import ACCEPTED_TYPES, RAW_TABLES

STEPS = ["1", "2", "2.1", "3", "3.1", "4", "5", "6", "7", "8", "9"]


def test_load_run_show(empty: Funnel, export: Path) -> None:
    loaded = json.loads(empty.done("load", str(export), "--json").stdout)
    assert loaded["rows"]["stages"] == 10
    run = json.loads(
        empty.done("run", "--source-dt", "2024-12-31", "--months", "24", "--json").stdout
    )
    assert (run["first_day"], run["last_day"]) == ("2023-01-01", "2024-12-31")
    assert len(run["months"]) == 24
    assert run["models"]["error"] == run["tests"]["fail"] == run["tests"]["error"] == 0
    assert run["exit_code"] == 0
    shown = json.loads(empty.done("show", "--last", "12", "--json").stdout)["months"]
    assert [month["month"] for month in shown] == [f"2024-{n:02}" for n in range(1, 13)]
    assert shown[-1] == run["funnel"]
    for month in shown:
        assert [step["funnel_step"] for step in month["steps"]] == STEPS
    # December's closings, counted from the files by hand.
    deals = set()
    for line in (export / "deal_changes.csv").read_text().splitlines()[1:]:
        deal_id, change_time, field, value = line.split(",")[:4]
        if field == "stage_id" and value == "6" and change_time.startswith("2024-12"):
            deals.add(deal_id)
    assert shown[-1]["steps"][7]["deals_count"] == len(deals) > 0


@pytest.mark.long
def test_the_same_command_twice_gives_the_same_tables(loaded: Funnel) -> None:
    loaded.done("run", "--source-dt", "2024-12-31", "--no-tests")
    first = tables(loaded)
    loaded.done("run", "--source-dt", "2024-12-31", "--no-tests")
    assert tables(loaded) == first
    loaded.done("backfill", "--from", "2023-01-01", "--to", "2024-12-31", "--no-tests")
    assert tables(loaded) == first


@pytest.mark.long
@pytest.mark.parametrize("choice", [1, -1])
def test_whatever_type_the_contract_accepts_builds_everything(
    empty: Funnel, export: Path, choice: int
) -> None:
    run = ("run", "--source-dt", "2024-06-30", "--months", "2", "--json")
    empty.done("load", str(export))
    usual = json.loads(empty.done(*run).stdout)
    before = tables(empty)
    for schema in ("staging", "analytics", "reporting", "meta"):
        empty.query(f"drop schema pipedrive_{schema} cascade")
    changed = []
    for table in RAW_TABLES:
        for column in table.columns:
            accepted = ACCEPTED_TYPES[column.type]
            is_large = column.name in ("activity_id", "deal_id")  # for a smallint
            name = "integer" if is_large else accepted[choice % len(accepted)]
            change = f"alter column {column.name} type {name} using {column.name}::{name}"
            empty.query(f"alter table pipedrive_raw.{table.name} {change}")
            changed.append(name)
    assert set(changed) > {"smallint" if choice == -1 else "integer", "character varying"}
    outcome = json.loads(empty.done(*run).stdout)
    assert tables(empty) == before
    assert {part: outcome[part] for part in ("models", "tests")} == {
        part: usual[part] for part in ("models", "tests")
    }


@pytest.mark.long
def test_an_old_reference_date_builds_its_own_past(loaded: Funnel) -> None:
    loaded.done("run", "--source-dt", "2023-05-15", "--months", "3", "--no-tests")
    days = "select min(date)::text, max(date)::text from pipedrive_analytics.daily_deal_stats"
    assert loaded.query(days) == [("2023-03-01", "2023-05-15")]
    counted = (
        "select count(distinct date) from pipedrive_analytics.daily_deal_stats"
        " where deals_count > 0 and date >= '2023-05-01'"
    )
    [(days_with_deals,)] = loaded.query(counted)
    assert isinstance(days_with_deals, int)
    assert days_with_deals > 10


@pytest.mark.long
def test_an_old_date_after_a_new_one_leaves_nothing_wrong_behind(
    empty: Funnel, export: Path
) -> None:
    empty.done("load", str(export))
    empty.done("run", "--source-dt", "2024-06-30", "--no-tests")
    truth = tables(empty)
    event = (
        "select deal_id, change_time from pipedrive_raw.deal_changes where new_value = '5'"
        " and changed_field_key = 'stage_id' and change_time >= '2024-05-20'"
        " and change_time < '2024-06-01' order by change_time limit 1"
    )
    [(deal_id, change_time)] = empty.query(event)
    early = f"(({deal_id}), '2024-05-03', 'stage_id', '5')"
    empty.query(f"insert into pipedrive_raw.deal_changes values {early}")
    told = empty.done("run", "--source-dt", "2024-05-10", "--backfill-period", "0", "--no-tests")
    assert "2024-05, through 2024-05-31, the last day built of that month" in told.stderr
    later = (
        "select sum(new_deals_count) from pipedrive_analytics.daily_deal_stats"
        f" where kpi_name = 'Negotiation' and date = '{str(change_time)[:10]}'"
    )
    [(still_new,)] = empty.query(later)
    empty.query(
        f"delete from pipedrive_raw.deal_changes where deal_id = {deal_id}"
        " and change_time = '2024-05-03'"
    )
    empty.done("run", "--source-dt", "2024-05-10", "--backfill-period", "0", "--no-tests")
    [(new_again,)] = empty.query(later)
    assert int(str(new_again)) == int(str(still_new)) + 1
    # The deals stay as of the last day built.
    assert tables(empty) == truth


@pytest.mark.long
def test_an_outage_heals_itself(loaded: Funnel) -> None:
    loaded.done("run", "--source-dt", "2024-09-10", "--months", "9", "--no-tests")
    truth = tables(loaded)
    for schema in ("analytics", "reporting", "staging"):
        loaded.query(f"drop schema pipedrive_{schema} cascade")
    loaded.done("run", "--source-dt", "2024-02-05", "--months", "2", "--no-tests")
    told = loaded.done("run", "--source-dt", "2024-09-10", "--no-tests").stderr
    assert "8 months, 2024-02 to 2024-09; 6 months, 2024-02 to 2024-07 because days" in told
    assert tables(loaded) == truth


@pytest.mark.long
def test_a_branch_that_is_missing_is_built_as_far_back_as_the_other(
    empty: Funnel, export: Path
) -> None:
    empty.done("load", str(export))
    empty.done("run", "--source-dt", "2024-09-10", "--months", "9", "--no-tests")
    truth = tables(empty)
    empty.query("drop table pipedrive_analytics.daily_activity_stats cascade")
    empty.done("run", "--source-dt", "2024-09-10", "--months", "1", "--no-tests")
    assert tables(empty) == truth


@pytest.mark.long
def test_what_no_run_has_counted_right_fails_a_test(loaded: Funnel) -> None:
    loaded.done("run", "--source-dt", "2024-06-30", "--months", "6", "--no-tests")
    # An old date with plain dbt, without process_through: a deal is new twice in June.
    loaded.query(
        "insert into pipedrive_raw.deal_changes select deal_id, '2024-06-02', 'stage_id', '5'"
        " from pipedrive_raw.deal_changes where changed_field_key = 'stage_id'"
        " and new_value = '5' and change_time >= '2024-06-20' and change_time < '2024-07-01'"
    )
    assert loaded.plain_dbt("run", source_dt="2024-06-10", backfill_period=0)
    outcome = loaded("test", "--source-dt", "2024-06-30")
    assert outcome.returncode == 1
    assert "FAIL assert_processed_months_are_counted_exactly" in outcome.stdout
    loaded.done("run", "--source-dt", "2024-06-10", "--backfill-period", "0", "--no-tests")
    # History that was counted under another definition of the funnel.
    loaded.query(
        "update pipedrive_analytics.daily_deal_stats set funnel_step = '6'"
        " where kpi_name = 'Negotiation' and date < '2024-02-01'"
    )
    outcome = loaded("test", "--source-dt", "2024-06-30")
    assert outcome.returncode == 1
    assert "FAIL assert_steps_are_those_of_the_definition" in outcome.stdout
    loaded.query("delete from pipedrive_analytics.daily_deal_stats where date = '2024-03-03'")
    outcome = loaded("test")
    assert outcome.returncode == 1
    assert "WARN daily_deal_stats_has_every_day: 1 row" in outcome.stdout
    assert "FAIL assert_both_branches_have_the_same_days: 1 row" in outcome.stdout
    loaded.query(
        "update pipedrive_staging.funnel_steps set source_type = 'Stage' where step_order = 1"
    )
    assert "FAIL assert_the_definition_is_complete: 1 row" in loaded("test").stdout


@pytest.mark.long
def test_the_bundled_expectations_see_what_they_are_for(loaded: Funnel) -> None:
    table = "pipedrive_reporting.monthly_stats"
    for statement, expectation in {
        f"insert into {table} select * from {table} limit 1": "monthly_stats_is_unique",
        f"update {table} set deals_count = -1": "monthly_stats_deals_count_is_in_range",
        f"alter table {table} alter deals_count type integer": "assert_the_report_keeps_its_types",
        f"alter table {table} add column extra text": "monthly_stats_columns_are_in_order",
    }.items():
        loaded.done("run", "--source-dt", "2024-06-30", "--months", "2", "--no-tests")
        loaded.query(statement)
        outcome = loaded("test", "--select", "monthly_stats", "--json")
        failed = {
            test["name"] for test in json.loads(outcome.stdout)["tests"] if test["status"] == "fail"
        }
        assert outcome.returncode == 1
        assert expectation in failed


@pytest.mark.long
def test_a_day_whose_events_vanished_becomes_zero(loaded: Funnel) -> None:
    loaded.done("run", "--source-dt", "2024-06-30", "--no-tests")
    loaded.query("delete from pipedrive_raw.deal_changes where change_time >= '2024-06-01'")
    loaded.done("run", "--source-dt", "2024-06-30", "--no-tests")
    june = (
        "select sum(deals_count), count(distinct date)"
        " from pipedrive_analytics.daily_deal_stats where date >= '2024-06-01'"
    )
    assert [tuple(map(int, map(str, row))) for row in loaded.query(june)] == [(0, 30)]


@pytest.mark.long
def test_full_refresh_keeps_history(loaded: Funnel) -> None:
    loaded.done("run", "--source-dt", "2024-06-30", "--no-tests")
    before = tables(loaded)
    assert loaded.plain_dbt("build", "--full-refresh", source_dt="2024-06-30", months=1)
    assert tables(loaded) == before


def test_a_failed_test_is_exit_1_and_says_what_it_means(demo: Funnel) -> None:
    changed = (
        "update pipedrive_reporting.monthly_stats set deals_count = {}"
        " where month = '2024-12-01' and funnel_step = '9'"
    )
    [(before,)] = demo.query(
        "select deals_count from pipedrive_reporting.monthly_stats"
        " where month = '2024-12-01' and funnel_step = '9'"
    )
    demo.query(changed.format(99999))
    try:
        outcome = demo("test", "--select", "monthly_stats", "--source-dt", "2024-12-31")
    finally:
        demo.query(changed.format(before))
    assert outcome.returncode == 1
    assert outcome.stdout.startswith(
        "FAIL assert_monthly_stats_is_the_sum_of_its_branches: 1 row (monthly_stats)\n"
        "    A row here means"
    )


@pytest.mark.long
def test_tests_are_as_of_the_last_run(demo: Funnel) -> None:
    said = demo.done("run", "--source-dt", "2024-12-31").stderr
    announced = set(re.findall(r"WARN (\w+): \d+ rows?$", said, flags=re.M))
    assert announced
    shown = demo.done("test").stdout
    assert set(re.findall(r"^WARN (\w+): \d+ rows? ", shown, flags=re.M)) == announced
    today = demo("test", "--source-dt", "today").stdout
    assert "activity_is_recent" in today
    assert "activity_is_recent" not in shown


def test_a_stale_source_is_exit_1_and_builds_nothing(loaded: Funnel) -> None:
    loaded.query("update pipedrive_raw.activity set _loaded_at = now() - interval '3 days'")
    outcome = loaded("freshness")
    assert outcome.returncode == 1
    stale, fresh = outcome.stdout.splitlines()
    assert stale.startswith("fail  activity      last loaded")
    assert fresh.startswith("pass  deal_changes  last loaded")
    outcome = loaded("run", "--source-dt", "2024-06-30")
    assert outcome.returncode == 1
    assert "source activity is stale" in outcome.stderr
    assert loaded.query("select to_regclass('pipedrive_analytics.daily_deal_stats')") == [(None,)]
    loaded.done("run", "--source-dt", "2024-06-30", "--no-tests", "--no-freshness")


@pytest.mark.long
def test_a_run_needs_less_than_300_megabytes(demo: Funnel) -> None:
    measured = (
        "import re, runpy, sys; sys.argv = ['funnel', 'run', '--source-dt', '2024-12-31']\n"
        "try: runpy.run_module('runner.cli', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        # Not getrusage, which begins with the size of the process that started this one.
        "print('KIB', re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    outcome = demo.run("python", "-c", measured)
    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout.rpartition("KIB ")[2]) < 300 * 1024


def test_it_works_from_a_folder_below_the_project(demo: Funnel) -> None:
    below = Funnel(demo.home, directory=ROOT / "models" / "daily")
    assert "December 2024" in below.done("show").stdout
    doctor = json.loads(below.done("doctor", "--json").stdout)
    assert {finding["status"] for finding in doctor["findings"]} == {"ok"}


def test_show_speaks_csv_and_ascii(demo: Funnel) -> None:
    lines = demo.done("show", "--last", "2", "--csv").stdout.splitlines()
    assert lines[0] == "month,kpi_name,funnel_step,deals_count,step_order,deal_days_count"
    assert len(lines) == 1 + 2 * 11
    plain = Funnel(demo.home, {"PYTHONIOENCODING": "ascii"})
    assert "####" in plain.run("funnel", "show").stdout


def test_docs_are_one_file_with_our_words(demo: Funnel, tmp_path: Path) -> None:
    page = tmp_path / "docs.html"
    demo.done("docs", "generate", "--static", str(page))
    text = page.read_text()
    assert "One row per calendar month and funnel step: the sales funnel." in text
    assert "a sales funnel from Pipedrive data" in text
    # In the lineage there would be a node for each of these.
    assert "test.funnel.not_null_activity_staging_deal_id" in text
    assert "test.funnel.assert_" not in text
    assert "unit_test.funnel." not in text


@pytest.mark.long
def test_the_demo_does_not_replace_your_data(loaded: Funnel) -> None:
    outcome = loaded("demo")
    assert outcome.returncode == 2
    assert "holds data that is not the demo's" in outcome.stderr


@pytest.mark.long
def test_rows_added_to_the_demo_are_yours(empty: Funnel, export: Path) -> None:
    empty.done("demo")
    empty.done("load", str(export), "--append")
    outcome = empty("demo")
    assert outcome.returncode == 2
    assert "holds data that is not the demo's" in outcome.stderr


@pytest.mark.long
def test_your_data_replaces_the_demo(empty: Funnel, export: Path) -> None:
    empty.done("demo")
    assert "Dropped the tables built from the demo" in empty.done("load", str(export)).stderr
    built = "select to_regclass('pipedrive_reporting.monthly_stats')"
    assert empty.query(built) == [(None,)]


@pytest.fixture(params=find_all_binaries())
def server(request: pytest.FixtureRequest) -> Iterator[TcpPostgres]:
    """A plain Postgres over TCP with a password, of each version that is here."""
    with TcpPostgres(find_all_binaries()[request.param]) as running:
        yield running


@pytest.mark.long
def test_prod_and_dev_over_tcp(server: TcpPostgres, tmp_path: Path, export: Path) -> None:
    prod = Funnel(tmp_path / "home", {**server.environment, "FUNNEL_TARGET": "prod"})
    dev = Funnel(tmp_path / "home", {**server.environment, "FUNNEL_TARGET": "dev"})
    prod.done("load", str(export))
    prod.done("run", "--source-dt", "2024-06-30", "--months", "2")
    dev.done("run", "--source-dt", "2024-06-30", "--months", "2")
    schemas = {f"{part}" for part in ("staging", "analytics", "reporting", "audit")}
    with server.connect() as connection:
        found = {str(name) for (name,) in ask(connection, "select nspname from pg_namespace")}
        assert {f"pipedrive_{name}" for name in schemas} <= found
        assert {f"test_pipedrive_{name}" for name in schemas} <= found
        production = fingerprint(connection)
        assert fingerprint(connection, "test_") == production

        # A dev profile that aims at production is refused, and production stays as it is.
        ask(connection, "delete from pipedrive_raw.deal_changes")
        for schema in ("pipedrive", "pipedrive_reporting", ""):
            aimed = Funnel(tmp_path / "other", {**dev.environment, "FUNNEL_DEV_SCHEMA": schema})
            outcome = aimed("run", "--source-dt", "2024-06-30")
            assert outcome.returncode == 2
            assert "FUNNEL_DEV_SCHEMA must be a name" in outcome.stderr
            assert outcome.stderr.splitlines()[-1].startswith("Error: ")
        assert fingerprint(connection) == production
        # Nor does it load over raw tables that others read, whatever their name.
        for raw_schema in ("pipedrive_raw", "crm", "test_crm"):
            outcome = dev("load", str(export), "--vars", f"{{raw_schema: {raw_schema}}}")
            assert outcome.returncode == 2
            assert f"does not load into {raw_schema}" in outcome.stderr
        dev.done("load", str(export), "--vars", "{raw_schema: test_pipedrive_raw}")
    assert "December 2024" not in dev.done("show").stdout
    shutil.rmtree(tmp_path / "home")


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1, 4])
def test_ctrl_c_is_130_and_the_next_run_is_clean(
    empty: Funnel, export: Path, seconds: float
) -> None:
    empty.done("load", str(export))
    process = subprocess.Popen(
        [sys.executable, "-m", "runner.cli", "run", "--source-dt", "2024-06-30", "--months", "3"],
        cwd=ROOT,
        env=empty.full_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert process.stderr.readline().startswith("Reference date")
    time.sleep(seconds)  # wherever it is by then, on a slow machine or a fast one
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told.splitlines()[-1:]) in [
        (130, ["Error: interrupted"]),
        (0, told.splitlines()[-1:]),  # it was done already
    ]
    assert "Traceback" not in told
    empty.done("run", "--source-dt", "2024-06-30", "--months", "3", "--no-tests")
    deadline = time.monotonic() + 60
    while empty.query("select from pg_stat_activity where application_name = 'dbt'"):
        assert time.monotonic() < deadline  # a session ends a moment after its process
        time.sleep(0.02)
