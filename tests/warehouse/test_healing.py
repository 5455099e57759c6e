"""Runs that heal: late rows, gaps and changed definitions; and what the ledger knows of them."""

import json
import shutil
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg2
import pytest
from homes import ROOT, Funnel, build_once

from runner.postgres.server import LocalPostgres

LATE_ROW = (
    "insert into pipedrive_raw.deal_changes"
    " (deal_id, change_time, changed_field_key, new_value, _loaded_at)"
    " values (777, '{time}', 'stage_id', '6', {loaded_at})"
)


@pytest.fixture
def built(shared_home: Funnel, export: Path) -> Funnel:
    """January to June 2024, built by one run."""

    def build(home: Funnel) -> None:
        home.done("load", str(export))
        home.done("run", "--source-dt", "2024-06-30", "--months", "6", "--no-tests")

    return build_once(shared_home, "half_a_year", build)


def plan(funnel: Funnel, *options: str) -> dict[str, list[str]]:
    document = json.loads(funnel.done("plan", "--json", *options).stdout)
    return {month["month"]: month["reasons"] for month in document["months"]}


def closings(funnel: Funnel, month: str) -> object:
    [(count,)] = funnel.query(
        "select deals_count from pipedrive_reporting.monthly_stats"
        f" where month = '{month}-01' and kpi_name = 'Closing'"
    )
    return count


def test_late_rows_are_processed_once(built: Funnel) -> None:
    june = ("--source-dt", "2024-06-30")
    assert plan(built, *june) == {"2024-05": ["window"], "2024-06": ["window"]}
    before = closings(built, "2024-02")
    built.query(LATE_ROW.format(time="2024-02-10 12:00", loaded_at="now()"))
    built.query(LATE_ROW.format(time="2023-02-10 12:00", loaded_at="now()"))  # before history
    found = json.loads(built.done("plan", *june, "--json").stdout)["months"]
    assert found[0] == {
        "month": "2024-02",
        "reasons": ["late rows"],
        "late_rows": {"count": 1, "oldest": "2024-02-10"},
    }
    assert [month["month"] for month in found] == ["2024-02", "2024-05", "2024-06"]
    assert "2024-02  1 late row from 2024-02-10 on" in built.done("plan", *june).stdout
    assert "2024-02" not in plan(built, *june, "--no-heal")
    said = built.done("run", *june, "--no-tests").stderr
    assert "1 month, 2024-02 because of 1 late row" in said
    assert closings(built, "2024-02") == int(str(before)) + 1
    assert plan(built, *june) == {"2024-05": ["window"], "2024-06": ["window"]}


@pytest.mark.long
def test_rows_of_a_slow_transaction_are_not_missed(built: Funnel) -> None:
    with closing(psycopg2.connect(LocalPostgres(built.home).url())) as slow:
        with slow.cursor() as cursor:
            cursor.execute(LATE_ROW.format(time="2024-02-10 12:00", loaded_at="clock_timestamp()"))
        built.done("run", "--source-dt", "2024-06-30", "--no-tests")  # cannot see it yet
        assert "2024-02" not in plan(built, "--source-dt", "2024-06-30")
        slow.commit()
    assert plan(built, "--source-dt", "2024-06-30")["2024-02"] == ["late rows"]
    before = closings(built, "2024-02")
    built.done("run", "--source-dt", "2024-06-30", "--no-tests")
    assert closings(built, "2024-02") == int(str(before)) + 1


@pytest.mark.long
def test_only_a_run_that_looked_everywhere_ends_the_wait_of_late_rows(built: Funnel) -> None:
    built.query(LATE_ROW.format(time="2024-03-10 12:00", loaded_at="now()"))
    june = ("--source-dt", "2024-06-30")
    # An old reference date leaves later months alone,
    built.done("run", "--source-dt", "2024-02-10", "--backfill-period", "0", "--no-tests")
    assert plan(built, *june)["2024-03"] == ["late rows"]
    # other runs do not look for late rows at all,
    built.done("run", *june, "--no-heal", "--no-tests")
    built.done("run", *june, "--select", "monthly_stats", "--no-tests")
    assert plan(built, *june)["2024-03"] == ["late rows"]
    # and plain dbt knows nothing of them.
    assert built.plain_dbt("build", source_dt="2024-06-30")
    assert plan(built, *june)["2024-03"] == ["late rows"]
    built.done("run", *june, "--no-tests")
    assert "2024-03" not in plan(built, *june)
    assert built.query(
        "select command, string_to_array(months, ' '), outcome, is_complete,"
        " finished_at > started_at, source_dt::text from pipedrive_meta.runs order by started_at"
    ) == [
        (command, months, "success", bool(months), True, source_dt)
        for command, months, source_dt in (
            ("funnel run", [f"2024-0{month}" for month in range(1, 7)], "2024-06-30"),
            ("funnel run", ["2024-02"], "2024-02-10"),
            ("funnel run", ["2024-05", "2024-06"], "2024-06-30"),
            ("funnel run --select", [], "2024-06-30"),
            ("dbt build", ["2024-05", "2024-06"], "2024-06-30"),
            ("funnel run", ["2024-03", "2024-05", "2024-06"], "2024-06-30"),
        )
    ]


@pytest.mark.long
def test_the_ledger_tells_of_a_failed_run(built: Funnel) -> None:
    built.query(
        "alter table pipedrive_analytics.daily_deal_stats add check (date < '2024-06-15') not valid"
    )
    assert built("run", "--source-dt", "2024-06-30", "--no-tests").returncode == 1
    last = "select outcome, is_complete from pipedrive_meta.runs order by started_at desc limit 1"
    assert built.query(last) == [("failed", False)]


@pytest.mark.long
def test_a_changed_funnel_is_noticed_and_rebuilt(built: Funnel, tmp_path: Path) -> None:
    project = tmp_path / "project"
    folders = ("models", "macros", "tests", "seeds", "packages", "dbt_packages")
    for name in folders:
        shutil.copytree(ROOT / name, project / name)
    for name in ("dbt_project.yml", "profiles.yml", "packages.yml"):
        shutil.copy(ROOT / name, project / name)
    changed = Funnel(built.home, directory=project)
    june = ("--source-dt", "2024-06-30", "--backfill-period", "0")
    assert "Warning" not in changed.done("plan", *june).stderr
    definition = project / "seeds" / "funnel_steps.csv"
    definition.write_text(definition.read_text().replace("Closing,8", "Signing,8"))
    assert "Signing" in definition.read_text()
    outdated = json.loads(changed.done("plan", *june, "--json").stdout)["outdated_months"]
    assert outdated == ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"]
    warned = changed.done("run", *june, "--no-tests").stderr
    assert "funnel_steps.csv has changed since 5 months, 2024-01 to 2024-05" in warned
    assert "funnel rebuild --from 2024-01-01" in warned
    assert "all deals, because seeds/funnel_steps.csv has changed" in warned
    assert changed("test").returncode == 1  # never a silent mixture of names
    assert json.loads(changed.done("status", "--json").stdout)["outdated_months"] == outdated
    changed.done("rebuild", "--from", "2024-01-01", "--yes", "--no-freshness")
    assert "Warning" not in changed.done("plan", *june).stderr
    assert changed.query(
        "select distinct kpi_name from pipedrive_analytics.daily_deal_stats where funnel_step = '6'"
    ) == [("Signing",)]


@pytest.mark.long
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_a_load_time_without_a_zone_is_in_the_declared_one(loaded: Funnel, zone: str) -> None:
    local = f"at time zone '{zone}'"
    for table in ("activity", "deal_changes"):
        loaded.query(
            f"alter table pipedrive_raw.{table} alter _loaded_at drop default, alter _loaded_at"
            f" type timestamp using (_loaded_at - interval '8 hours') {local}"
        )
    tokyo = Funnel(loaded.home, {"PGTZ": "Asia/Tokyo"})
    refused = tokyo("run", "--source-dt", "2024-06-30")
    assert refused.returncode == 2
    assert "column pipedrive_raw.activity._loaded_at has no time zone. Set the" in refused.stderr
    declared = ("--vars", f"{{loaded_at_timezone: {zone}}}")
    june = ("--source-dt", "2024-06-30", *declared)
    tokyo.done("run", *june, "--months", "6", "--no-tests", "--no-freshness")
    assert "2024-02" not in plan(tokyo, *june)
    loaded.query(LATE_ROW.format(time="2024-02-10 12:00", loaded_at=f"clock_timestamp() {local}"))
    assert plan(tokyo, *june)["2024-02"] == ["late rows"]
    status = json.loads(tokyo.done("status", *declared, "--json").stdout)["last_loaded_at"]
    sources = json.loads(tokyo("freshness", *declared, "--json").stdout)["sources"]
    found = {source["name"]: source["max_loaded_at"] for source in sources}
    for table, hours in (("activity", 8), ("deal_changes", 0)):
        for moment in (status[table], found[table]):
            age = datetime.now(timezone.utc) - datetime.fromisoformat(moment)
            assert timedelta(0) < age - timedelta(hours=hours) < timedelta(minutes=30)


def test_a_run_that_the_ledger_cannot_record_builds_nothing(built: Funnel) -> None:
    built.query(
        "alter table pipedrive_meta.run_events add constraint full_up check (false) not valid"
    )
    built.query("update pipedrive_reporting.monthly_stats set deals_count = 0")
    outcome = built("run", "--source-dt", "2024-06-30", "--no-tests")
    assert outcome.returncode == 2
    assert "full_up" in outcome.stderr
    assert closings(built, "2024-06") == 0


@pytest.mark.long
def test_the_ledger_has_the_definition_that_counted(built: Funnel) -> None:
    definitions = "select definition from pipedrive_meta.runs order by started_at desc limit 1"
    [(loaded,)] = built.query(definitions)
    built.query(
        "update pipedrive_meta.run_events set definition = 'old UTC 7' where event = 'started'"
    )
    daily = ("--select", "daily_activity_stats", "--select", "daily_deal_stats")
    built.done("run", "--source-dt", "2024-06-30", *daily, "--no-tests")  # without the seed
    assert built.query(definitions) == [("old UTC 7",)]
    assert len(json.loads(built.done("status", "--json").stdout)["outdated_months"]) == 6
    built.done("rebuild", "--from", "2024-01-01", "--yes", "--no-tests")
    assert built.query(definitions) == [(loaded,)]
    # A run under another definition that did not come to its end counted half of its months.
    built.query(
        "insert into pipedrive_meta.run_events"
        " (run_id, event, happened_at, command, version, source_dt, months, definition)"
        " values ('1', 'started', now(), 'funnel run', '', '2024-06-30', '2024-03', 'another')"
    )
    assert json.loads(built.done("status", "--json").stdout)["outdated_months"] == ["2024-03"]


@pytest.mark.long
def test_a_schema_of_any_name_has_a_ledger(built: Funnel) -> None:
    dev = Funnel(
        built.home,
        {
            "FUNNEL_DEV_SCHEMA": "Anna_1",
            "PGHOST": str(LocalPostgres(built.home).socket_dir),
            "PGUSER": "postgres",
            "PGDATABASE": "postgres",
        },
    )
    dev.done("run", "-t", "dev", "--source-dt", "2024-06-30", "--months", "1", "--no-tests")
    assert built.query('select outcome from "Anna_1_pipedrive_meta".runs') == [("success",)]
    for schema in ("staging", "analytics", "reporting", "meta"):
        built.query(f'drop schema "Anna_1_pipedrive_{schema}" cascade')


@pytest.mark.long
def test_only_plain_dbt_sets_deals_back_and_the_next_run_brings_them_forward(built: Funnel) -> None:
    ledger = "select source_dt::text, as_of::text, has_marts from pipedrive_meta.runs"
    last = f"{ledger} order by started_at desc limit 1"
    deals = "select count(*), max(last_moved_at) from pipedrive_analytics.deals"
    june = built.query(deals)
    assert built.query(last) == [("2024-06-30", "2024-06-30", True)]
    # As a version without marts left it.
    built.query(
        """
        create table pipedrive_meta.old as
        select
            run_id, command, version, source_dt, string_to_array(months, ' ') as months,
            definition, started_at, finished_at, outcome, is_complete, models, tests,
            rows_written, cast(null as timestamptz) as seen_until, jsonb '{}' as recent_rows
        from pipedrive_meta.runs;
        drop table pipedrive_meta.run_events cascade;
        alter table pipedrive_meta.old rename to runs;
        """
    )
    assert built.plain_dbt("build", source_dt="2024-03-31")
    assert built.query(last) == [("2024-03-31", "2024-03-31", True)]
    assert built.query(f"{deals} where last_moved_at >= '2024-04-01'") == [(0, None)]
    # A run for June looks back to what plain dbt left, and to the first event: all rows count as
    # late where the ledger does not know when it last looked.
    june_plan = ("plan", "--source-dt", "2024-06-30", "--json")
    assert json.loads(built.done(*june_plan).stdout)["deals_from"] == "2023-01-01"
    built.done("run", "--source-dt", "2024-06-30", "--no-tests")
    assert built.query(deals) == june
    assert json.loads(built.done(*june_plan).stdout)["deals_from"] is None
    # Processing history again sets nothing back.
    for command in (
        ("run", "--source-dt", "2024-03-31"),
        ("backfill", "--from", "2024-01-01", "--to", "2024-03-31"),
    ):
        built.done(*command, "--no-tests")
        assert built.query(last) == [("2024-03-31", "2024-06-30", True)]
        assert built.query(deals) == june
