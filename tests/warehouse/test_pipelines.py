"""An account with several pipelines, from CSV files to what is shown."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from homes import ROOT, Funnel

from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.report.data import ReportData, read_report
from runner.warehouse.on_postgres import PostgresEngine

ACTIVITIES = """activity_id,type,assigned_to_user,deal_id,done,due_to
1,meeting,7,1,True,2024-05-06T09:00:00
2,meeting,7,2,True,2024-05-06T09:00:00
"""
CHANGES = """deal_id,change_time,changed_field_key,new_value
1,2024-05-02T09:00:00,stage_id,1
1,2024-05-05T09:00:00,stage_id,3
2,2024-05-03T09:00:00,stage_id,1
3,2024-05-04T09:00:00,stage_id,3
"""
FILES = {
    "activity.csv": ACTIVITIES,
    "activity_types.csv": "id,name,active,type\n1,Meeting,True,meeting\n",
    "deal_changes.csv": CHANGES,
    "fields.csv": "id,field_key,name,field_value_options\n",
    "pipelines.csv": "pipeline_id,name\n1,Sales\n2,Service\n",
    "stages.csv": "stage_id,stage_name,pipeline_id\n1,Lead Generation,1\n3,Lead generation,2\n",
    "users.csv": "id,name,email,modified\n",
}
QUICKLY = ("--no-tests", "--no-freshness")
RUN = ("run", "--source-dt", "2024-05-31", "--months", "1", *QUICKLY)


def write(folder: Path, **changed: "str | None") -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in {**FILES, **changed}.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Funnel]:
    folder = tmp_path_factory.mktemp("pipelines")
    funnel = Funnel(folder / "home")
    funnel.done("db", "start")
    funnel.done("load", str(write(folder / "csv")))
    funnel.done(*RUN)
    yield funnel
    funnel.done("db", "stop")


def steps(funnel: Funnel, *options: str) -> dict[str, int]:
    document = json.loads(funnel.done("show", "--month", "2024-05", "--json", *options).stdout)
    [month] = document["months"]
    return {row["funnel_step"]: row["deals_count"] for row in month["steps"] if row["deals_count"]}


def test_each_pipeline_has_its_funnel(built: Funnel) -> None:
    assert steps(built) == {"1": 3, "2.1": 2}
    assert steps(built, "--pipeline", "sales") == {"1": 2, "2.1": 1}
    assert steps(built, "--pipeline", "2") == {"1": 2, "2.1": 1}


def read(funnel: Funnel, pipeline: str) -> ReportData:
    with closing(psycopg2.connect(LocalPostgres(funnel.home).url())) as connection:
        connection.autocommit = True
        project = Project(ROOT, funnel.home)
        return read_report(
            PostgresEngine(connection), project, None, with_names=False, pipeline=pipeline
        )


def test_each_pipeline_has_its_report(built: Funnel, tmp_path: Path) -> None:
    sales, service = read(built, "sales"), read(built, "2")
    assert [(data.pipeline, data.open_deals_count) for data in (sales, service)] == [
        ("Sales", 1),
        ("Service", 2),
    ]
    assert {step.kpi_name: step.deals_count for step in service.steps if step.deals_count} == {
        "Lead Generation": 2,
        "Sales Call 1": 1,
    }
    here = Funnel(built.home, directory=tmp_path)
    said = json.loads(here.done("report", "--pipeline", "SALES", "--json").stdout)
    assert (said["report"], said["pipeline"]) == ("funnel-2024-05-sales.html", "Sales")
    page = (tmp_path / said["report"]).read_text(encoding="utf-8")
    assert "<title>Sales funnel: Sales, May 2024 (to 6 May)</title>" in page
    here.done("report", "--pipeline", "1", "-o", "sales.svg")
    assert "Sales funnel: Sales, May 2024" in (tmp_path / "sales.svg").read_text(encoding="utf-8")


@pytest.mark.long
def test_stalled_deals_are_those_of_the_pipeline(built: Funnel) -> None:
    assert not read(built, "1").stalled_steps
    days = ("--vars", "{stalled_after_days: 26}")
    built.done(*RUN, *days)
    assert [deal.deal_id for deal in read(built, "Service").stalled_longest] == [3]
    assert [deal.deal_id for deal in read(built, "Sales").stalled_longest] == [2]
    built.done(*RUN)


def test_a_deal_that_left_the_pipelines_that_count_fails_no_test(built: Funnel) -> None:
    only = ("--vars", "{pipelines: [Sales]}")
    built.done(*RUN, *only)
    states = "select deal_id, status from pipedrive_analytics.deal_states order by deal_id"
    assert built.query(states) == [(1, "elsewhere"), (2, "open")]
    name = "assert_deals_are_where_their_visits_lead"
    built.done("test", "--source-dt", "2024-05-31", "--select", name, *only)
    built.done(*RUN)


def test_pipelines_of_one_name_need_the_number(built: Funnel) -> None:
    rename = "update pipedrive_analytics.monthly_stats_by_pipeline set pipeline_name = "
    built.query(rename + "'Both'")
    for command in ("show", "report"):
        outcome = built(command, "--pipeline", "both")
        assert outcome.returncode == 2
        assert "the pipelines 1 and 2 are called both. Give the number of one." in outcome.stderr
    assert steps(built, "--pipeline", "2") == {"1": 2, "2.1": 1}
    built.query(rename + "case pipeline_id when 1 then 'Sales' else 'Service' end")


def test_a_pipeline_that_is_none_is_named_with_those_there_are(built: Funnel) -> None:
    for command in ("show", "report"):
        outcome = built(command, "--pipeline", "Slaes")
        assert outcome.returncode == 2
        assert "there is no pipeline Slaes. There are Sales and Service." in outcome.stderr


@pytest.mark.long
def test_two_pipelines_of_one_step_are_said(built: Funnel) -> None:
    outcome = built("test", "--source-dt", "2024-05-31")
    assert "WARN assert_pipelines_share_no_step: 1 row" in outcome.stdout


@pytest.mark.long
def test_a_var_that_names_no_pipeline_fails(built: Funnel) -> None:
    outcome = built("test", "--source-dt", "2024-05-31", "--vars", "{pipelines: [Slaes]}")
    assert "FAIL assert_pipelines_are_known: 1 row" in outcome.stdout


@pytest.mark.long
def test_a_deal_says_what_it_counts_in_and_why_not(built: Funnel) -> None:
    built.query(
        """
        insert into pipedrive_raw.deal_changes (deal_id, change_time, changed_field_key, new_value)
        values
            (2, '2024-05-20', 'lost_reason', 'Too dear'),
            (2, '2024-05-21', 'lost_reason', ''),
            (2, '2024-05-22', 'value', '5'),
            (2, '2024-06-01', 'user_id', '7')
        """
    )
    built.query("update pipedrive_raw.activity set done = false where deal_id = 1")
    built.done(*RUN)
    text = built.done("show", "deal", "2").stdout
    assert text.startswith("Deal 2, as of 31 May 2024: open, in Lead Generation")
    for line in (
        "2024-05-03 09:00  stage_id     1         1 Lead Generation",
        "2024-05-06 09:00  meeting      done      2.1 Sales Call 1",
        "2024-05-20 00:00  lost_reason  Too dear  Too dear",
        "2024-05-21 00:00  lost_reason            nothing: the field was emptied",
        "2024-05-22 00:00  value        5         nothing: no KPI counts this field",
        "2024-06-01 00:00  user_id      7         nothing: it is after the last day built",
        "1     Lead Generation  2024-05-03 09:00  2024-05-20 00:00  16.6  lost: Too dear",
    ):
        assert line in text
    document = json.loads(built.done("show", "deal", "1", "--json").stdout)
    assert [event["why_not"] for event in document["events"]] == [None, None, "it was not done"]
    assert [visit["direction"] for visit in document["visits"]] == [
        "moved to another pipeline",
        "still there",
    ]
    assert built("show", "deal", "99").returncode == 2
    built.query(
        "delete from pipedrive_raw.deal_changes where deal_id = 2 and change_time > '2024-05-10'"
    )
    built.query("update pipedrive_raw.activity set done = true where deal_id = 1")
    built.done(*RUN)


@pytest.mark.long
def test_verify_sees_the_pipelines_of_a_month_mixed_up(built: Funnel) -> None:
    mixed = "update pipedrive_analytics.monthly_stats_by_pipeline set pipeline_id = 3 - pipeline_id"
    built.query(mixed + " where funnel_step = '2.1'")
    built.query(
        "update pipedrive_analytics.monthly_stats_by_pipeline set deals_count = deals_count + 1"
        " where funnel_step = '1' and pipeline_id = 1"
    )
    outcome = built("verify", "--json")
    assert outcome.returncode == 1
    assert {row["table"] for row in json.loads(outcome.stdout)["drift"]} == {
        "monthly_stats_by_pipeline"
    }
    built("verify", "--repair")
    assert steps(built, "--pipeline", "Sales") == {"1": 2, "2.1": 1}


@pytest.mark.long
def test_what_counts_is_part_of_the_definition(built: Funnel) -> None:
    sales = ("--vars", "{pipelines: [Sales]}")
    said = "because pipelines has changed"
    assert said in built.done("plan", "--source-dt", "2024-05-31", *sales).stderr
    built.done(*RUN, *sales)
    assert steps(built) == {"1": 2, "2.1": 1}
    assert said not in built.done("plan", "--source-dt", "2024-05-31", *sales).stderr
    built.done(*RUN)
    assert steps(built) == {"1": 3, "2.1": 2}


@pytest.mark.long
def test_raw_tables_without_pipelines_will_do(built: Funnel, tmp_path: Path) -> None:
    stages = "stage_id,stage_name\n1,Lead Generation\n3,Lead generation\n"
    folder = write(tmp_path / "csv", **{"stages.csv": stages, "pipelines.csv": None})
    built.done("load", str(folder))
    built.query(
        "drop table pipedrive_raw.pipelines cascade;"
        "alter table pipedrive_raw.stages drop column pipeline_id cascade"
    )
    try:
        outcome = built(*RUN[:-2])
        assert "has_declared_types" not in outcome.stderr
        assert outcome.returncode == 0, outcome.stderr
        assert steps(built) == {"1": 3, "2.1": 2}
        outcome = built("show", "--pipeline", "Sales")
        assert "there is no pipeline Sales. The raw tables" in outcome.stderr
        built.done("doctor")
    finally:
        built.done("load", str(write(tmp_path / "all")))
        built.done(*RUN)
    assert steps(built, "--pipeline", "sales") == {"1": 2, "2.1": 1}
