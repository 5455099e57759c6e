"""Which deals a run recomputes: those with an event in its months, and those left behind."""

import json
from pathlib import Path

import pytest
from homes import Funnel, build_once, tables

RUN = ("run", "--source-dt", "2024-06-30", "--no-tests", "--no-freshness")


@pytest.fixture
def built(shared_home: Funnel, export: Path) -> Funnel:
    """Two years to June 2024."""

    def build(home: Funnel) -> None:
        home.done("load", str(export))
        home.done(*RUN)

    return build_once(shared_home, "two_years", build)


def mark_all(funnel: Funnel) -> None:
    funnel.query("update pipedrive_analytics.deal_states set owner_id = -1")
    funnel.query("update pipedrive_analytics.deal_stage_visits set owner_id = -1")


def marked(funnel: Funnel) -> tuple[set[object], set[object]]:
    """Return the deals of both tables that are as `mark_all` has left them."""
    states, visits = (
        {deal for (deal,) in funnel.query(f"select deal_id from {table} where owner_id = -1")}
        for table in ("pipedrive_analytics.deal_states", "pipedrive_analytics.deal_stage_visits")
    )
    return states, visits


def change_one(funnel: Funnel, condition: str) -> object:
    """Move the event of a deal by an hour, within its day, and return the deal."""
    ((deal,),) = funnel.query(
        f"""
        update pipedrive_raw.deal_changes set change_time = change_time + interval '1 hour'
        where ctid = (
            select ctid from pipedrive_raw.deal_changes
            where changed_field_key = 'stage_id' and change_time::time < '22:00' and {condition}
            order by change_time limit 1
        )
        returning deal_id
        """
    )
    return deal


def test_a_run_computes_only_deals_that_have_an_event_in_its_months(built: Funnel) -> None:
    mark_all(built)
    states, visits = marked(built)
    of_may_and_june = {
        deal
        for (deal,) in built.query(
            """
            select deal_id from pipedrive_staging.deal_staging
            where change_time >= '2024-05-01' and change_time < '2024-07-01'
            union
            select deal_id from pipedrive_staging.activity_staging
            where is_done and funnel_step <> '' and due_to >= '2024-05-01' and due_to < '2024-07-01'
            """
        )
    }
    built.done(*RUN)
    assert states & of_may_and_june
    assert states - of_may_and_june
    assert marked(built) == (states - of_may_and_june, visits - of_may_and_june)


@pytest.mark.long
@pytest.mark.parametrize(
    "table", ["deal_months", "deal_stage_visits", "deal_steps", "deal_values", "deal_states"]
)
def test_a_table_that_is_gone_is_built_whole(built: Funnel, table: str) -> None:
    clean = tables(built)
    built.query(f"drop table pipedrive_analytics.{table} cascade")
    built.done(*RUN, "--backfill-period", "0")
    assert tables(built) == clean


@pytest.mark.long
def test_a_vanished_deal_goes(built: Funnel) -> None:
    ((deal,),) = built.query(
        "select max(deal_id) from pipedrive_analytics.deal_states as deal"
        " where (select min(month) from pipedrive_analytics.deal_months as months"
        " where months.deal_id = deal.deal_id) = '2024-06-01'"
    )
    built.query(f"delete from pipedrive_raw.deal_changes where deal_id = {deal}")
    built.done(*RUN)
    for table in ("deal_states", "deal_stage_visits", "deal_steps", "deal_values"):
        query = f"select deal_id from pipedrive_analytics.{table} where deal_id = {deal}"
        assert built.query(query) == []


@pytest.mark.long
def test_visits_that_are_built_whole_on_their_own_are_not_trusted(built: Funnel) -> None:
    clean = tables(built)
    models = ("deal_events", "deal_stage_visits")
    assert built.plain_dbt("run", "--full-refresh", "--select", *models, source_dt="2024-05-31")
    assert tables(built)["deal_stage_visits"] != clean["deal_stage_visits"]
    built.done(*RUN)
    assert tables(built)["deal_stage_visits"] == clean["deal_stage_visits"]


@pytest.mark.long
def test_a_full_refresh_mends_what_no_run_can_read(built: Funnel) -> None:
    clean = tables(built)
    built.query("alter table pipedrive_analytics.deal_months drop column month cascade")
    assert "ERROR model deal_months" in built(*RUN).stderr
    again = ("run", "--full-refresh", "--select", "deal_months+")
    assert built.plain_dbt(*again, source_dt="2024-06-30")
    assert tables(built) == clean


@pytest.mark.long
def test_a_stopped_rebuild_is_not_ended_by_a_shorter_one(built: Funnel) -> None:
    built.query(
        "alter table pipedrive_analytics.daily_deal_stats"
        " add constraint broken check (date < '2024-01-01') not valid"
    )
    quickly = ("--yes", "--no-tests", "--no-freshness")
    assert built("rebuild", "--from", "2023-06-01", *quickly).returncode == 1
    built.query("alter table pipedrive_analytics.daily_deal_stats drop constraint broken")
    built.done("rebuild", "--from", "2024-01-01", *quickly)
    status = json.loads(built.done("status", "--json").stdout)
    assert status["unfinished_backfill"]["next_day"] == "2024-01-01"
    built.done("backfill", "--from", "2023-06-01", "--to", "2024-06-30", *quickly[1:])
    assert json.loads(built.done("status", "--json").stdout)["unfinished_backfill"]
    built.done("rebuild", "--from", "2023-06-01", *quickly)
    assert not json.loads(built.done("status", "--json").stdout)["unfinished_backfill"]


@pytest.mark.long
def test_rebuild_computes_all_deals(built: Funnel) -> None:
    clean = tables(built)
    mark_all(built)
    built.done("rebuild", "--from", "2022-07-01", "--yes", "--no-tests", "--no-freshness")
    assert tables(built) == clean


def test_another_name_of_a_stage_changes_every_deal_of_the_window(built: Funnel) -> None:
    mark_all(built)
    built.query(
        "update pipedrive_raw.stages set stage_name = 'Parked' where stage_name = 'On Hold'"
    )
    built.done(*RUN, "--backfill-period", "0")
    left, _ = marked(built)
    query = "select deal_id from pipedrive_analytics.deal_months where month = '2024-06-01'"
    june = {deal for (deal,) in built.query(query)}
    assert june
    assert left
    assert not left & june


@pytest.mark.long
@pytest.mark.parametrize(
    ("changed", "dbt_vars"),
    [
        ("won_step", "{won_step: '6'}"),
        ("timezone", "{timezone: Asia/Tokyo}"),
    ],
)
def test_another_definition_changes_every_deal(built: Funnel, changed: str, dbt_vars: str) -> None:
    options = ("--vars", dbt_vars)
    mark_all(built)
    expected = f"all deals, because {changed} has changed"
    assert expected in built.done("plan", "--source-dt", "2024-06-30", *options).stderr
    assert changed in built.done("status", *options).stdout
    said = built.done(*RUN, "--backfill-period", "0", *options).stderr
    assert expected in said
    assert marked(built) == (set(), set())
    after = tables(built)
    said = built.done(*RUN, "--backfill-period", "0", *options).stderr
    assert "all deals" not in said
    assert tables(built) == after


@pytest.mark.long
def test_what_a_stopped_run_left_is_computed_by_the_next_one_whatever_its_window(
    built: Funnel,
) -> None:
    clean = tables(built)
    # Plain dbt with an old date sets deals back; it gets as far as the visits.
    built.query(
        "alter table pipedrive_analytics.deal_states"
        " add constraint shut check (loss_count < 0) not valid"
    )
    models = ("deal_events", "deal_months+")
    assert not built.plain_dbt("run", "--select", *models, source_dt="2024-03-31")
    assert tables(built)["deal_stage_visits"] != clean["deal_stage_visits"]
    assert tables(built)["deal_states"] == clean["deal_states"]
    built.query("alter table pipedrive_analytics.deal_states drop constraint shut")
    built.done(*RUN, "--backfill-period", "0")
    assert tables(built) == clean


@pytest.mark.long
def test_batches_compute_the_deals_of_all_of_them_at_the_end(built: Funnel) -> None:
    """Also of a batch that was done before the backfill stopped."""
    changed = change_one(built, "change_time >= '2023-07-01'")
    built.query(
        "alter table pipedrive_analytics.daily_deal_stats"
        " add constraint broken check (date < '2024-01-01') not valid"
    )
    stopped = built("backfill", "--from", "2023-06-15", "--to", "2024-06-30", "--batch", "quarter")
    assert "through 2023-12-31" in stopped.stderr
    built.query("alter table pipedrive_analytics.daily_deal_stats drop constraint broken")
    mark_all(built)
    report = json.loads(built.done("backfill", "--resume", "--no-tests", "--json").stdout)
    assert report["months"] == [f"2024-0{month}" for month in range(1, 7)]
    assert changed not in marked(built)[0]
