"""Least privilege: what the roles of docs/roles.sql can do, and what they cannot."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from homes import ROOT, Funnel, ask
from servers import TcpPostgres

from runner.postgres.installation import clean_environment, find_binaries
from runner.project import Project
from runner.raw.demo_data import write_demo
from runner.transform.dbt_runner import Dbt

DATABASE = "crm"
LOGINS = """
    create role nightly login in role funnel_writer;
    alter default privileges for role nightly in schema pipedrive_reporting
        grant select on tables to funnel_report_reader;
    create role dashboard login in role funnel_report_reader;
    create role partner login;
"""
"""As the comment of docs/roles.sql has it; `partner` is a member of nothing."""


@dataclass(frozen=True)
class Warehouse:
    """A database with the demo's raw tables; who asks or runs is named by a role."""

    server: TcpPostgres
    home: Path

    def environment(self, role: str) -> dict[str, str]:
        return {**self.server.environment, "PGUSER": role, "PGDATABASE": DATABASE}

    def funnel(self, role: str, **variables: str) -> Funnel:
        given = {**self.environment(role), "FUNNEL_TARGET": "prod", **variables}
        return Funnel(self.home, given)

    def ask(self, role: str, statement: str, database: str = DATABASE) -> list[tuple[object, ...]]:
        with self.server.connect(role, database) as connection:
            return ask(connection, statement)

    def set_password(self, role: str) -> None:
        self.ask("postgres", f"alter role {role} password '{self.server.password}'")

    def run_roles_script(self, role: str) -> None:
        subprocess.run(
            [find_binaries() / "psql", "-X", "-q", "-f", ROOT / "docs" / "roles.sql"],
            check=True,
            env={**clean_environment(), **self.environment(role)},
        )

    def findings(self, role: str, **variables: str) -> dict[str, dict[str, str]]:
        """Return what doctor says as a role, by name, without what has to do with other things."""
        outcome = self.funnel(role, **variables)("doctor", "--json")
        found = {finding["name"]: finding for finding in json.loads(outcome.stdout)["findings"]}
        failed = any(finding["status"] == "fail" for finding in found.values())
        assert outcome.returncode == (2 if failed else 0)
        return found


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Raw tables, the roles and a first run of `nightly`.

    Raw tables belong to the database's owner, who is no superuser, as on a hosted Postgres.
    """
    folder = tmp_path_factory.mktemp("roles")
    write_demo(folder / "export")
    with TcpPostgres() as server:
        warehouse = Warehouse(server, folder / "home")
        warehouse.ask("postgres", "create role owner login createrole", "postgres")
        warehouse.ask("postgres", f"create database {DATABASE} owner owner", "postgres")
        warehouse.set_password("owner")
        warehouse.funnel("owner").done("load", str(folder / "export"))
        for role in ("owner", "owner", "postgres"):
            warehouse.run_roles_script(role)
        warehouse.ask("postgres", LOGINS)
        for role in ("nightly", "dashboard", "partner"):
            warehouse.set_password(role)
        warehouse.funnel("nightly").done("run", "--source-dt", "2024-06-30", "--months", "2")
        yield warehouse


def refuses(warehouse: Warehouse, role: str, statement: str) -> bool:
    try:
        warehouse.ask(role, statement)
    except psycopg2.errors.InsufficientPrivilege:
        return True
    return False


def test_the_writer_does_all_of_its_work(warehouse: Warehouse) -> None:
    nightly = warehouse.funnel("nightly")
    planned = json.loads(nightly.done("plan", "--source-dt", "2024-06-30", "--json").stdout)
    assert planned["months"][-1]["month"] == "2024-06"
    nightly.done("test", "--source-dt", "2024-06-30")
    assert "June 2024" in nightly.done("show").stdout
    outcome = nightly.done(
        "backfill",
        *("--from", "2024-05-01", "--to", "2024-06-30"),
        *("--batch", "month", "--no-tests"),
    )
    assert "2 batches" in outcome.stderr


def test_doctor_has_nothing_to_say_about_the_writer(warehouse: Warehouse) -> None:
    found = warehouse.findings("nightly", FUNNEL_REPORT_READER="funnel_report_reader")
    assert {finding["status"] for finding in found.values()} == {"ok"}
    assert {"rights", "report reader"} <= set(found)


@pytest.mark.parametrize(
    "statement",
    [
        "select email from pipedrive_raw.users",
        "select name from pipedrive_raw.users",
        "select * from pipedrive_raw.users",
        "create table pipedrive_raw.x ()",
        "truncate pipedrive_raw.stages",
        "create schema x",
        "drop schema pipedrive_meta cascade",
    ],
)
def test_the_writer_can_do_no_more(warehouse: Warehouse, statement: str) -> None:
    assert refuses(warehouse, "nightly", statement)


def test_the_writer_reads_who_did_it_without_a_name(warehouse: Warehouse) -> None:
    users = warehouse.ask("nightly", "select id, modified, _loaded_at from pipedrive_raw.users")
    assert users


@pytest.mark.long
def test_each_new_report_can_be_read(warehouse: Warehouse) -> None:
    table = "select cast('pipedrive_reporting.monthly_stats' as regclass)::oid"
    count = "select count(*) from pipedrive_reporting.monthly_stats"
    partner_may = (
        "select has_table_privilege('partner', 'pipedrive_reporting.monthly_stats', 'select')"
    )
    before = warehouse.ask("nightly", table)
    assert warehouse.ask("dashboard", count) == [(22,)]
    assert warehouse.ask("nightly", partner_may) == [(False,)]
    # `dashboard` has it by default privileges, `partner` by dbt's grant.
    granting = warehouse.funnel("nightly", FUNNEL_REPORT_READER="partner")
    granting.done(
        "run",
        *("--source-dt", "2024-06-30", "--backfill-period", "0"),
        *("--select", "monthly_stats", "--no-tests", "--no-freshness"),
    )
    assert warehouse.ask("nightly", table) != before
    assert warehouse.ask("dashboard", count) == [(22,)]
    assert warehouse.ask("nightly", partner_may) == [(True,)]
    found = warehouse.findings("nightly", FUNNEL_REPORT_READER="partner")["report reader"]
    assert found["status"] == "warn"
    assert "grant usage on schema pipedrive_reporting to partner" in found["remedy"]


def test_the_report_reader_reads_nothing_else(warehouse: Warehouse) -> None:
    others = """
        select format('%I.%I', relnamespace::regnamespace, relname) from pg_class
        where relnamespace::regnamespace::text ~ '^pipedrive_' and relkind in ('r', 'v')
            and relname <> 'monthly_stats'
    """
    names = [str(name) for (name,) in warehouse.ask("postgres", others)]
    assert {"pipedrive_raw.stages", "pipedrive_staging.deal_staging"} < set(names)
    assert any(name.startswith("pipedrive_audit.") for name in names)
    for name in names:
        assert refuses(warehouse, "dashboard", f"select from {name}"), name
    assert refuses(warehouse, "dashboard", "delete from pipedrive_reporting.monthly_stats")


def test_other_targets_do_not_mind_the_variable(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The role is one of production's server.
    for name, value in warehouse.environment("nightly").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FUNNEL_REPORT_READER", "partner")
    project = Project(ROOT, warehouse.home / "other", target="dev")
    model = Dbt.open(project).manifest.nodes["model.funnel.monthly_stats"]
    assert model.to_dict()["config"]["grants"] == {}


def test_doctor_says_when_a_role_has_too_many_rights(warehouse: Warehouse) -> None:
    for role in ("postgres", "owner"):
        rights = warehouse.findings(role)["rights"]
        assert rights["status"] == "warn"
        assert "read name, email in pipedrive_raw.users" in rights["detail"]
        assert "create tables in pipedrive_raw" in rights["detail"]
        assert "docs/roles.sql" in rights["remedy"]


def test_doctor_names_a_report_reader_that_is_not_there(warehouse: Warehouse) -> None:
    found = warehouse.findings("nightly", FUNNEL_REPORT_READER="nobody")["report reader"]
    assert (found["status"], "no role nobody" in found["detail"]) == ("fail", True)


def test_doctor_names_what_a_role_lacks(warehouse: Warehouse) -> None:
    found = warehouse.findings("partner")
    assert (
        "cannot read stage_id, stage_name, pipeline_id, _loaded_at"
        in (found["permission on pipedrive_raw.stages"]["detail"])
    )
    assert found["permission on schema pipedrive_meta"]["status"] == "fail"
    # Without it a run works, and warns where rows fail a test.
    assert found["permission on schema pipedrive_audit"]["status"] == "warn"
    # Looking into a schema is not creating in it.
    warehouse.ask("postgres", "grant usage on schema pipedrive_meta to partner")
    meta = warehouse.findings("partner")["permission on schema pipedrive_meta"]
    assert meta["detail"] == "your role cannot create tables in it"
    warehouse.ask("postgres", "grant create on schema pipedrive_meta to partner")
    meta = warehouse.findings("partner")["permission on schema pipedrive_meta"]
    assert "belongs to another: " in meta["detail"]
    assert "runs" in meta["detail"]


@pytest.mark.long
def test_pull_requests_build_beside_production(warehouse: Warehouse) -> None:
    # As docs/ci.md has it.
    warehouse.ask("postgres", "create role ci login in role funnel_raw_reader")
    warehouse.ask("postgres", f"grant create on database {DATABASE} to ci")
    warehouse.set_password("ci")
    ci = warehouse.funnel("ci", FUNNEL_TARGET="dev", FUNNEL_DEV_SCHEMA="pr_7")
    ci.done("run", "--source-dt", "2024-06-30", "--months", "2", "--no-tests", "--no-freshness")
    outcome = ci.done("test", "--source-dt", "2024-06-30")
    assert "Rows: pr_7_pipedrive_audit." in outcome.stdout
    assert outcome.stderr == ""
    assert refuses(warehouse, "ci", "select from pipedrive_reporting.monthly_stats")
    assert refuses(warehouse, "ci", "select email from pipedrive_raw.users")


def test_a_new_login_takes_over(warehouse: Warehouse) -> None:
    warehouse.ask("postgres", "create role successor login in role funnel_writer")
    warehouse.set_password("successor")
    report = warehouse.findings("successor")["permission on schema pipedrive_reporting"]
    assert report["detail"].endswith("belongs to another: monthly_stats")
    assert "docs/roles.sql" in report["remedy"]
    warehouse.run_roles_script("owner")  # who may not, and leaves them
    assert "permission on schema pipedrive_reporting" in warehouse.findings("successor")
    warehouse.run_roles_script("postgres")
    for role in ("successor", "nightly"):
        assert {finding["status"] for finding in warehouse.findings(role).values()} == {"ok"}
    assert warehouse.ask("dashboard", "select count(*) from pipedrive_reporting.monthly_stats")


@pytest.mark.long
def test_a_bi_tool_reads_the_marts_and_nothing_else(warehouse: Warehouse) -> None:
    page = (ROOT / "docs" / "bi.md").read_text(encoding="utf-8")
    statements = page.partition("```sql\n")[2].partition("```")[0].replace("\\password bi\n", "")
    warehouse.ask("postgres", statements)
    warehouse.set_password("bi")
    for _ in range(2):
        [(months,)] = warehouse.ask("bi", "select count(*) from pipedrive_reporting.monthly_stats")
        assert months
        warehouse.ask("bi", "select * from pipedrive_analytics.funnel_conversion")
        warehouse.ask("bi", "select * from pipedrive_analytics.monthly_deal_stats")
        warehouse.funnel("nightly").done("run", "--source-dt", "2024-06-30", "--no-tests")
    for relation in ("pipedrive_raw.users", "pipedrive_staging.deal_staging"):
        assert refuses(warehouse, "bi", f"select * from {relation}")
    assert refuses(warehouse, "bi", "delete from pipedrive_analytics.deal_states")
