"""What a person sees of a failure, what is kept of it, and what of it nobody may see."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest
from dbt.cli.main import dbtRunner
from homes import ROOT, Funnel, clear

from runner.console import Console
from runner.masking import mask_emails
from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.raw.demo_data import write_demo
from runner.transform.dbt_runner import Dbt, dbt_arguments
from runner.transform.failing_rows import keep_failing_rows
from runner.transform.results import NodeResult
from runner.warehouse.on_postgres import PostgresEngine

AUDIT = "pipedrive_audit"
DAY = ("--source-dt", "2024-06-30")
SUMS = "assert_monthly_stats_is_the_sum_of_its_branches"
UNKNOWN = "assert_no_event_is_unknown"
ADDRESS = "jane.doe+crm@example.com"


@pytest.fixture(scope="module")
def built(shared_home: Funnel, tmp_path_factory: pytest.TempPathFactory) -> Funnel:
    """May and June 2024, tested once. A test that breaks something mends it."""
    folder = tmp_path_factory.mktemp("export")
    write_demo(folder)
    clear(shared_home)
    shared_home.done("load", str(folder))
    shared_home.done("run", *DAY, "--months", "2")
    return shared_home


@pytest.fixture
def broken(built: Funnel) -> Iterator[Funnel]:
    """One sum is wrong, and the type of an activity that counts nowhere is somebody's address."""
    add_to_counts(built, 1000)
    built.query(
        "insert into pipedrive_raw.activity (activity_id, type, done, due_to, _loaded_at)"
        f" values (77, 'Ask {ADDRESS}', false, '2024-06-15', now())"
    )
    yield built
    built.query("delete from pipedrive_raw.activity where activity_id = 77")
    add_to_counts(built, -1000)


def add_to_counts(funnel: Funnel, number: int) -> None:
    funnel.query(
        "update pipedrive_reporting.monthly_stats set"
        f" deals_count = deals_count + {number}, deal_days_count = deal_days_count + {number}"
    )


@pytest.fixture
def connection(built: Funnel) -> Iterator["psycopg2.extensions.connection"]:
    with closing(psycopg2.connect(LocalPostgres(built.home).url())) as connection:
        connection.autocommit = True
        yield connection


def stored(funnel: Funnel) -> set[str]:
    """Return the names of the tables with failing rows."""
    names = f"select relname from pg_class where relnamespace = '{AUDIT}'::regnamespace"
    return {str(name) for (name,) in funnel.query(f"{names} and relkind = 'r'")}


def dump(funnel: Funnel) -> str:
    """Return every row of every table with failing rows, as text."""
    return "".join(str(funnel.query(f'select * from {AUDIT}."{name}"')) for name in stored(funnel))


def failing(query: str, **facts: Any) -> NodeResult:  # noqa: ANN401 - whatever a result holds
    facts = {"status": "fail", "failures": 1, "table": "a_test", "model": "m", **facts}
    return NodeResult("a_test", "test", query=query, **facts)


@pytest.mark.long
def test_failures_come_first_with_what_they_mean_and_three_rows(broken: Funnel) -> None:
    outcome = broken("test", *DAY)
    assert outcome.returncode == 1
    paragraphs = outcome.stdout.strip().split("\n\n")
    statuses = [paragraph.split()[0] for paragraph in paragraphs[:-1]]
    assert statuses == sorted(statuses)
    assert set(statuses) == {"FAIL", "WARN"}
    [said] = [paragraph for paragraph in paragraphs if paragraph.startswith(f"FAIL {SUMS}:")]
    lines = [line.strip() for line in said.splitlines()]
    assert lines[0] == f"FAIL {SUMS}: 22 rows (monthly_stats)"
    assert " ".join(lines[1:3]) == (
        "A row here means a step whose month in monthly_stats differs from the monthly tables it is"
        " made of. Build monthly_stats again: `funnel run --select monthly_stats`."
    )
    assert lines[3].split() == ["month", "funnel_step", "deals_count", "reported_deals_count"]
    assert [line[:6] for line in lines[4:7]] == ["2024-0"] * 3
    assert lines[7:] == [f"Rows: {AUDIT}.{SUMS}"]
    assert re.fullmatch(r"\d+ tests \(\d+ warn, \d+ fail\) in .* s", paragraphs[-1])
    assert ADDRESS not in outcome.stdout


@pytest.mark.long
def test_a_program_is_told_the_same(broken: Funnel) -> None:
    outcome = broken("test", *DAY, "--json")
    assert outcome.returncode == 1
    tests = {test["name"]: test for test in json.loads(outcome.stdout)["tests"]}
    assert {test["status"] for test in tests.values()} == {"pass", "warn", "fail"}
    assert {test["kind"] for test in tests.values()} == {"test"}
    failed = tests[SUMS]
    assert (failed["model"], failed["severity"], failed["failures"]) == (
        "monthly_stats",
        "error",
        22,
    )
    assert failed["stored_in"] == f"{AUDIT}.{SUMS}"
    assert len(failed["sample"]) == 3
    for row in failed["sample"]:
        assert row["reported_deals_count"] == row["deals_count"] + 1000
    unknown = {row["field_value"] for row in tests[UNKNOWN]["sample"]}
    assert "ask ***" in unknown
    assert "example.com" not in outcome.stdout
    on_source = tests["source_not_null_pipedrive_raw_stages_stage_id"]
    assert on_source["model"] == "pipedrive_raw.stages"
    assert (on_source["sample"], on_source["stored_in"], on_source["failures"]) == ([], None, 0)


@pytest.mark.long
def test_all_failing_rows_are_kept_until_the_test_passes(broken: Funnel) -> None:
    broken("test", *DAY)
    assert broken.query(f"select count(*) from {AUDIT}.{SUMS}") == [(22,)]
    [(comment,)] = broken.query(f"select obj_description('{AUDIT}.{SUMS}'::regclass)")
    assert str(comment).startswith(f"{SUMS} on monthly_stats. A row here means")
    assert "ask ***" in dump(broken)
    assert "example.com" not in dump(broken)
    # A run that mends it leaves no rows that mislead, nor does one of the passing test alone.
    run = broken("run", *DAY, "--months", "2", "--json")
    assert run.returncode == 0
    assert SUMS not in stored(broken)
    assert UNKNOWN in stored(broken)
    [unknown] = [test for test in json.loads(run.stdout)["problems"] if test["name"] == UNKNOWN]
    assert unknown["stored_in"] == f"{AUDIT}.{UNKNOWN}"
    assert "example.com" not in run.stdout + run.stderr
    add_to_counts(broken, 1000)  # which the fixture takes away


@pytest.mark.long
def test_what_was_not_tested_stays(broken: Funnel) -> None:
    broken("test", *DAY)
    before = stored(broken)
    assert broken("test", *DAY, "--select", "daily_activity_stats").returncode == 0
    assert stored(broken) == before


def test_full_is_a_var_of_the_tests(built: Funnel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def test(dbt: Dbt, *_: object) -> tuple[NodeResult, ...]:
        seen.append(dbt.vars)
        return (NodeResult("a_test", "test", "pass"),)

    monkeypatch.setattr(Dbt, "test", test)
    built.done("test", *DAY)
    built.done("test", *DAY, "--full")
    assert seen == [{"source_dt": DAY[1]}, {"source_dt": DAY[1], "full_check": True}]


@pytest.mark.long
def test_plain_dbt_stores_every_test_there_and_no_name(broken: Funnel) -> None:
    folders = ("--target-path", str(broken.home / "t"), "--log-path", str(broken.home / "l"))
    command = ("dbt", "test", "--store-failures", "--exclude-resource-type", "unit_test")
    dbt_vars = ("--vars", '{source_dt: "2024-06-30"}')
    outcome = broken.run("funnel", "db", "exec", "--", *command, *dbt_vars, *folders)
    assert f"Failure in test {SUMS}" in outcome.stdout
    results = json.loads((broken.home / "t" / "run_results.json").read_text())["results"]
    tests = [result for result in results if result["unique_id"].startswith("test.")]
    assert {test["status"] for test in tests} == {"pass", "warn", "fail"}, outcome.stdout
    assert len(stored(broken)) == len(tests)
    for test in tests:
        query = re.sub("'[^']*'", "", test["compiled_code"])
        assert not re.search(r"(?i)email", query), test["unique_id"]
        whole_rows_of_users = r'(?s)\*\s+from\s+(\(select \* from )?"\w+"\."pipedrive_raw"\."users"'
        assert not re.search(whole_rows_of_users, query), test["unique_id"]
    # Empty tables, which only make one look, go with the next test.
    broken("test", *DAY)
    assert stored(broken) >= {SUMS, UNKNOWN}
    for name in stored(broken):
        assert broken.query(f'select 1 from {AUDIT}."{name}" limit 1')


def test_not_null_shows_whole_rows_but_of_users(built: Funnel) -> None:
    project = Project(ROOT, built.home)
    dbt = Dbt.open(project)
    for table, selected in {"users": "select modified\n", "stages": "select *\n"}.items():
        relation = f'"postgres"."pipedrive_raw"."{table}"'
        template = f"{{{{ default__test_not_null({relation!r}, 'modified') }}}}"
        arguments = dbt_arguments(project, ["compile", "--inline", template], {})
        with patch.dict(os.environ, FUNNEL_LOCAL_HOST=str(LocalPostgres(built.home).socket_dir)):
            outcome: Any = dbtRunner(manifest=dbt.manifest).invoke(arguments)
        assert outcome.success, outcome.exception
        assert selected in outcome.result.results[0].node.compiled_code


def test_names_and_addresses_are_masked_in_whatever_column(
    built: Funnel, connection: "psycopg2.extensions.connection"
) -> None:
    query = f"""
        select
            id, name, email, modified,
            id as id,
            json_build_object('who', 'mail to {ADDRESS}') as answer,
            array['{ADDRESS}', 'x'] as several,
            cast('{ADDRESS}' as varchar) as kpi_name,
            'Ann' as owner_name,
            '100 % {{}} {{id}} %s' as harmless
        from pipedrive_raw.users order by id -- the end"""
    [result] = keep_failing_rows(PostgresEngine(connection), AUDIT, [failing(query)], Console())
    [(name, email)] = built.query("select name, email from pipedrive_raw.users where id = 1")
    row = result.sample[0]
    assert (row["id"], row["id_5"], row["name"], row["email"]) == (1, 1, "***", "***")
    assert json.loads(row["answer"]) == {"who": "mail to ***"}
    assert (row["several"], row["kpi_name"], row["owner_name"]) == ("{***,x}", "***", "***")
    assert row["harmless"] == "100 % {} {id} %s"
    for kept in (str(result.sample), str(built.query(f"select * from {AUDIT}.a_test"))):
        assert "example.com" not in kept
        assert str(name) not in kept
        assert str(email) not in kept


def test_the_server_masks_as_messages_are_masked(
    connection: "psycopg2.extensions.connection",
) -> None:
    texts = [
        ADDRESS,
        f"Ann <{ADDRESS}>, bob@x; 3 @ 5",
        f'{{"to":["{ADDRESS}","ö@bücher.example"]}}',
    ]
    for text in texts:
        query = f"select '{text}' as said, cast(null as text) as email"
        [result] = keep_failing_rows(PostgresEngine(connection), AUDIT, [failing(query)], Console())
        assert result.sample == ({"said": mask_emails(text), "email": None},)
        assert "***" in mask_emails(text)


def test_values_that_python_does_not_know_are_shown(
    connection: "psycopg2.extensions.connection",
) -> None:
    query = """
        select cast('infinity' as date) as day, cast('20000-01-01' as timestamp) as moment,
            cast('NaN' as numeric) as number, null as nothing, cast(12 as numeric) as total
    """
    [result] = keep_failing_rows(PostgresEngine(connection), AUDIT, [failing(query)], Console())
    assert result.sample == (
        {
            "day": "infinity",
            "moment": "20000-01-01T00:00:00",
            "number": "NaN",
            "nothing": None,
            "total": 12,
        },
    )


def test_not_all_of_very_many_rows_are_kept(
    built: Funnel, connection: "psycopg2.extensions.connection"
) -> None:
    query = "select generate_series(1, 50000) as number"
    [result] = keep_failing_rows(
        PostgresEngine(connection), AUDIT, [failing(query, failures=50000)], Console()
    )
    assert result.failures == 50000
    assert built.query(f"select count(*) from {AUDIT}.a_test") == [(10000,)]


def test_a_test_that_errs_or_is_skipped_costs_nothing(
    built: Funnel, connection: "psycopg2.extensions.connection"
) -> None:
    keep_failing_rows(PostgresEngine(connection), AUDIT, [failing("select 1 as one")], Console())
    assert "a_test" in stored(built)
    keep_failing_rows(
        PostgresEngine(connection), AUDIT, [failing("nonsense", status="skipped")], Console()
    )
    assert "a_test" in stored(built)
    keep_failing_rows(
        PostgresEngine(connection), AUDIT, [failing("nonsense", status="error")], Console()
    )
    assert "a_test" not in stored(built)


def test_who_may_not_write_sees_rows_all_the_same(
    connection: "psycopg2.extensions.connection", capsys: pytest.CaptureFixture[str]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("create role onlooker in role pg_read_all_data")
        cursor.execute("set role onlooker")
        try:
            [result] = keep_failing_rows(
                PostgresEngine(connection),
                AUDIT,
                [failing("select email from pipedrive_raw.users")],
                Console(),
            )
        finally:
            cursor.execute("reset role")
            cursor.execute("drop role onlooker")
    assert (len(result.sample), result.sample[0], result.stored_in) == (3, {"email": "***"}, "")
    [said] = capsys.readouterr().err.splitlines()
    assert said == (
        "Warning: failing rows are not stored in pipedrive_audit: "
        "permission denied for schema pipedrive_audit"
    )


def test_nobody_else_looks_into_the_schema(built: Funnel) -> None:
    may = f"select has_schema_privilege('public', '{AUDIT}', 'usage')"
    assert built.query(may) == [(False,)]
