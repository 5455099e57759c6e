"""Verification against the raw rows: what no watermark can see."""

import json
from pathlib import Path

import pytest
from homes import Funnel, build_once, tables

from runner.raw.demo_data import write_demo
from runner.warehouse.connection import DEAL_TABLES

DAILY = "pipedrive_analytics.daily_deal_stats"


@pytest.fixture
def built(shared_home: Funnel, export: Path) -> Funnel:
    """January to 20 June 2024, built by one run."""

    def build(home: Funnel) -> None:
        home.done("load", str(export))
        for table in ("activity", "deal_changes"):  # by a transaction that ended long ago
            home.query(
                f"update pipedrive_raw.{table} set _loaded_at = _loaded_at - interval '8 hours'"
            )
        home.done("run", "--source-dt", "2024-06-20", "--months", "6", "--no-tests")

    return build_once(shared_home, "to_mid_june", build)


def verify(funnel: Funnel, code: int, *options: str) -> dict[str, set[str]]:
    """Return the tables that drifted, by month."""
    outcome = funnel("verify", "--json", *options)
    assert outcome.returncode == code, outcome.stderr
    found: dict[str, set[str]] = {}
    for drift in json.loads(outcome.stdout)["drift"]:
        found.setdefault(drift["month"], set()).add(drift["table"])
    return found


def test_nothing_drifts_by_itself(built: Funnel) -> None:
    before = tables(built)
    assert verify(built, 0) == {}
    assert verify(built, 0, "--from", "2024-02-10", "--to", "2024-06-02") == {}
    assert tables(built) == before
    outside = built("verify", "--from", "2023-01-01", "--to", "2023-12-31")
    assert outside.returncode == 2
    assert "Days are built from 2024-01-01 to 2024-06-20" in outside.stderr


@pytest.mark.long
def test_a_reason_that_comes_or_goes_is_no_drift_of_other_months(built: Funnel) -> None:
    built.query(
        "insert into pipedrive_raw.deal_changes"
        " (deal_id, change_time, changed_field_key, new_value)"
        " select deal_id, '2024-06-20 10:00', 'lost_reason', 'Bad weather'"
        " from pipedrive_raw.deal_changes limit 1"
    )
    built.done("run", "--source-dt", "2024-06-20", "--no-tests")
    days = f"select distinct to_char(date, 'YYYY-MM') from {DAILY} where kpi_name = 'Bad weather'"
    assert sorted(built.query(days)) == [("2024-05",), ("2024-06",)]
    assert verify(built, 0) == {}
    built.query("delete from pipedrive_raw.deal_changes where new_value = 'Bad weather'")
    assert verify(built, 1).keys() == {"2024-06"}


@pytest.mark.long
def test_what_no_watermark_sees_is_found_and_repaired(built: Funnel) -> None:
    raw = "pipedrive_raw.deal_changes"
    closing_in = "changed_field_key = 'stage_id' and new_value = '6' and change_time"
    # A deletion long ago, an event moved in place out of an old month, and a hand edit.
    built.query(
        f"delete from {raw} where {closing_in} >= '2024-01-01' and change_time < '2024-01-20'"
    )
    built.query(
        "update pipedrive_raw.activity set due_to = due_to + interval '1 month'"
        " where type = 'meeting' and done and due_to >= '2024-03-01' and due_to < '2024-03-15'"
    )
    built.query(f"update {DAILY} set deals_count = deals_count + 1 where date = '2024-05-05'")
    built.query(
        "update pipedrive_reporting.monthly_stats set deals_count = 0 where month = '2024-02-01'"
    )
    assert "late" not in built.done("plan", "--source-dt", "2024-06-20").stdout
    stats = {"monthly_stats", "monthly_stats_by_owner"}
    found = verify(built, 1)
    assert found.keys() == {"2024-01", "2024-02", "2024-03", "2024-04", "2024-05"}
    assert found["2024-01"] == {"daily_deal_stats", "monthly_deal_stats"} | stats
    assert found["2024-02"] == {"monthly_stats"}
    assert found["2024-03"] == {"daily_activity_stats", "monthly_activity_stats"} | stats
    assert found["2024-05"] == {"daily_deal_stats"}
    status = json.loads(built.done("status", "--json").stdout)
    assert status["drifted_months"] == sorted(found)
    shown = built("verify", "--from", "2024-01-01", "--to", "2024-01-31")
    [(stored,)] = built.query(
        "select deals_count from pipedrive_reporting.monthly_stats"
        " where month = '2024-01-01' and funnel_step = '6'"
    )
    [(counted,)] = built.query(
        f"select count(distinct deal_id) from {raw}"
        f" where {closing_in} >= '2024-01-01' and change_time < '2024-02-01'"
    )
    [line] = [line for line in shown.stdout.splitlines() if "Closing" in line]
    assert line.split()[:4] == ["2024-01", "Closing", str(stored), str(counted)]
    repaired = json.loads(built.done("verify", "--repair", "--json").stdout)
    assert repaired["repaired_months"] == sorted(found)
    processed = "select months from pipedrive_meta.runs where is_complete order by started_at desc"
    assert built.query(f"{processed} limit 1") == [(" ".join(sorted(found)),)]
    assert verify(built, 0) == {}
    assert json.loads(built.done("status", "--json").stdout)["drifted_months"] == []
    after_repair = tables(built)
    for schema in ("pipedrive_analytics", "pipedrive_reporting"):
        built.query(f"drop schema {schema} cascade")
    built.done("run", "--source-dt", "2024-06-20", "--months", "6", "--no-tests")
    assert tables(built) == after_repair


@pytest.mark.long
def test_deals_that_differ_are_found_and_repaired(built: Funnel) -> None:
    built.query(
        """
        delete from pipedrive_raw.deal_changes
        where changed_field_key in ('status', 'value') and change_time < '2024-03-01';
        delete from pipedrive_analytics.deal_stage_visits where visit_number > 1;
        update pipedrive_analytics.deal_steps set first_entered_at = '2024-01-01'
        where deal_id % 7 = 0;
        update pipedrive_analytics.deal_states set owner_id = -1 where deal_id % 7 = 0;
        delete from pipedrive_analytics.deal_months where month < '2024-03-01';
        """
    )
    found = built("verify", "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout)["deals"].keys() == set(DEAL_TABLES)
    assert "deals drifted. To repair: funnel verify --repair" in found.stderr
    assert "repaired" in built.done("verify", "--repair").stderr
    repaired = tables(built)
    built.done("rebuild", "--from", "2024-01-01", "--to", "2024-06-20", "--yes", "--no-tests")
    assert tables(built) == repaired


@pytest.mark.long
def test_one_wrong_value_of_one_deal_is_found(built: Funnel) -> None:
    built.query(
        "delete from pipedrive_raw.deal_changes where ctid = (select min(ctid)"
        " from pipedrive_raw.deal_changes where changed_field_key = 'value')"
    )
    assert json.loads(built("verify", "--json").stdout)["deals"] == {
        "deal_events": 1,
        "deal_values": 1,
        "deal_states": 1,
    }


@pytest.mark.long
def test_owners_of_a_month_that_differ_are_found_and_repaired(built: Funnel) -> None:
    clean = tables(built)
    built.query(
        "update pipedrive_analytics.monthly_stats_by_owner set owner_id = null"
        " where month = '2024-02-01'"
    )
    assert verify(built, 1) == {"2024-02": {"monthly_stats_by_owner"}}
    built.done("verify", "--repair")
    assert tables(built) == clean


@pytest.mark.long
def test_missing_and_surplus_days_are_drift(built: Funnel) -> None:
    built.query(f"delete from {DAILY} where date = '2024-03-03'")
    built.query(
        f"insert into {DAILY} select date, field, 'x' || kpi_name, null, 1, 1 from {DAILY}"
        " where date = '2024-04-04'"
    )
    assert verify(built, 1) == {"2024-03": {"daily_deal_stats"}, "2024-04": {"daily_deal_stats"}}
    status = json.loads(built.done("status", "--json").stdout)
    assert (status["first_day"], status["last_day"]) == ("2024-01-01", "2024-06-20")
    assert status["gaps"] == ["2024-03"]
    built.done("verify", "--repair")
    assert verify(built, 0) == {}


def test_a_table_that_is_not_there_is_named(built: Funnel) -> None:
    built.query("drop table pipedrive_reporting.monthly_stats")
    outcome = built("verify")
    assert outcome.returncode == 2
    assert "pipedrive_reporting.monthly_stats is not built. Type `funnel run`" in outcome.stderr


def test_a_warehouse_that_is_not_built_has_nothing_to_verify(empty: Funnel, tmp_path: Path) -> None:
    write_demo(tmp_path)
    empty.done("load", str(tmp_path))
    outcome = empty("verify")
    assert outcome.returncode == 2
    assert "nothing is built yet" in outcome.stderr
    status = empty.done("status").stdout
    assert "nothing yet" in status
