"""`funnel init`, by options and on a terminal, and the file .env that it writes."""

import csv
import json
import os
import pty
import secrets
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from homes import ROOT, Funnel
from pipedrive import API_TOKEN, COMPANY, STAGES, Account, Server, serve
from servers import TcpPostgres

from runner.settings.env_file import load_env_file

QUICK = ("--burst", "500")
QUICKLY = ("--no-tests", "--no-freshness")


@pytest.fixture
def server() -> Iterator[Server]:
    seed = secrets.randbits(32)
    print("seed", seed)
    with serve(Account(seed, deals=5)) as running:
        yield running


@pytest.fixture
def fresh(empty: Funnel, server: Server, tmp_path: Path) -> Funnel:
    """A project in a folder of its own; the environment says only where the test server is."""
    shutil.copytree(ROOT / "seeds", tmp_path / "seeds")
    shutil.copy(ROOT / "dbt_project.yml", tmp_path)
    (tmp_path / "token").write_text(f"{API_TOKEN}\n")
    variables = {
        "PIPEDRIVE_API_URL": server.environment["PIPEDRIVE_API_URL"],
        "FUNNEL_ENV_FILE": str(tmp_path / ".env"),
    }
    return replace(empty, directory=tmp_path, environment=variables)


def steps(fresh: Funnel) -> list[dict[str, str]]:
    with (fresh.directory / "seeds" / "funnel_steps.csv").open() as file:
        return list(csv.DictReader(file))


def declared(fresh: Funnel) -> str:
    return (fresh.directory / "dbt_project.yml").read_text()


OPTIONS = ("--company", COMPANY, "--token-file", "token")


def test_without_a_terminal_it_takes_options_and_replaces_nothing(
    fresh: Funnel, server: Server
) -> None:
    before = steps(fresh)
    outcome = fresh.done("init", *OPTIONS, "--json")
    document = json.loads(outcome.stdout)
    assert not document["steps_written"]
    assert steps(fresh) == before
    assert document["pipelines"] == ["Sales", "Renewals"]
    assert "Pipelines of the account: Sales, Renewals; all count." in outcome.stderr
    assert declared(fresh) == (ROOT / "dbt_project.yml").read_text()
    assert document["types"] == ["call", "meeting", "sc_2", "email"]
    assert document["extract"]["waiting_deals"] == 5
    env_file = fresh.directory / ".env"
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert API_TOKEN not in outcome.stdout + outcome.stderr
    assert not any(API_TOKEN in url for url in server.urls)

    # From now on funnel reads the file, and the environment wins.
    assert json.loads(fresh.done("extract", "--json", *QUICK).stdout)["waiting_deals"] == 0
    others = replace(fresh, environment={**fresh.environment, "PIPEDRIVE_ACCESS_TOKEN": "wrong"})
    refused = others("extract", *QUICK)
    assert "does not accept the token" in refused.stderr  # not: both are set
    env_file.chmod(0o640)
    assert f"chmod 600 {env_file}" in fresh("extract").stderr


def test_the_stages_of_the_account_become_steps(fresh: Funnel) -> None:
    fresh.done("init", *OPTIONS, "--replace-steps")
    written = steps(fresh)
    names = list(dict.fromkeys(name for name, _ in STAGES.values()))
    assert list(dict.fromkeys(row["kpi_name"] for row in written)) == names
    by_name = {row["kpi_name"]: int(row["step_order"]) for row in written}
    assert by_name == {name: place for place, name in enumerate(names, start=1)}
    if "pipeline" in written[0]:
        named = {(row["source_name"], row["pipeline"]) for row in written}
        assert ("Lead Generation", "Sales") in named
        assert ("Lead Generation", "Renewals") in named
    env_file = fresh.directory / ".env"
    env_file.write_text(f"OTHER='of another tool'\n{env_file.read_text()}")
    fresh.done("init", "--token-file", "token")  # the company is known by now
    assert env_file.read_text().startswith("OTHER='of another tool'\n")
    assert env_file.read_text().count("PIPEDRIVE_COMPANY") == 1


@pytest.mark.long
def test_pipelines_that_are_chosen_are_all_that_the_next_run_counts(
    fresh: Funnel, server: Server
) -> None:
    packages = ("packages", "packages.yml", "dbt_packages")
    for part in ("macros", "models", "tests", "profiles.yml", *packages):
        (fresh.directory / part).symlink_to(ROOT / part)
    for deal, stage in zip(server.account.deals.values(), (1, 1, 11, 11, 11), strict=True):
        pipeline = STAGES[stage][1]
        moment = datetime(2024, 6, 20, deal.id)
        deal.change(moment, stage_id=5, pipeline_id=1)
        deal.change(moment, stage_id=stage, pipeline_id=pipeline)
    fresh.done("init", *OPTIONS, "--pipeline", "renewals", "--pipeline", "2", "--replace-steps")
    changed = 'pipelines: ["Renewals", "2"]  # names or numbers'
    assert declared(fresh) == (ROOT / "dbt_project.yml").read_text().replace(
        "pipelines: []  # names or numbers", changed
    )
    assert [row["source_name"] for row in steps(fresh)] == ["Lead Generation", "Renewal/Expansion"]
    fresh.done("run", "--extract", *QUICK, "--source-dt", "2024-06-30", "--months", "1", *QUICKLY)
    counted = "select cast(month as date), deals_count from pipedrive_reporting.monthly_stats"
    assert fresh.query(f"{counted} where funnel_step = '1' order by 1")[-1] == (date(2024, 6, 1), 3)
    # Once more: what is chosen is kept until somebody chooses otherwise.
    document = json.loads(fresh.done("init", *OPTIONS, "--json").stdout)
    assert document["counted_pipelines"] == ["Renewals", "2"]
    assert document["steps_written"]  # they are there already
    refused = fresh("init", *OPTIONS, "--pipeline", "Nowhere")
    assert (refused.returncode, "no pipeline nowhere" in refused.stderr) == (2, True)
    assert changed in declared(fresh)


def test_what_is_wrong_is_said_before_anything_is_written(fresh: Funnel) -> None:
    (fresh.directory / "token").write_text("wrong")
    refused = fresh("init", *OPTIONS)
    assert (refused.returncode, "does not accept the token" in refused.stderr) == (2, True)
    (fresh.directory / "token").write_text(API_TOKEN)
    refused = fresh("init", "--company", "other", "--token-file", "token")
    assert "the token is for company sandbox, not other" in refused.stderr
    assert not (fresh.directory / ".env").exists()
    missing = fresh("init", "--token-file", "token")
    assert "PIPEDRIVE_COMPANY is not set" in missing.stderr
    nowhere = {**fresh.environment, "PGHOST": "127.0.0.1", "PGPORT": "1", "PGUSER": "a"}
    prod = replace(fresh, environment={**nowhere, "PGDATABASE": "b"})
    refused = prod("init", *OPTIONS, "-t", "prod")
    assert (refused.returncode, "cannot connect to prod" in refused.stderr) == (2, True)
    assert not (fresh.directory / ".env").exists()


def test_a_line_that_is_no_variable_is_named(fresh: Funnel) -> None:
    env_file = fresh.directory / ".env"
    env_file.touch(0o600)
    env_file.write_text("# a comment\n\nPIPEDRIVE_COMPANY\n")
    refused = fresh("status")
    assert (refused.returncode, "line 3 of" in refused.stderr) == (2, True)
    env_file.write_text("export PIPEDRIVE_COMPANY='other'\nPYTHONPATH=/nowhere\nPATH=/nowhere\n")
    assert "PIPEDRIVE_API_TOKEN is not set" in fresh("extract").stderr


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.touch(0o600)
    env_file.write_text("OTHER_TOOL=1\nPIPEDRIVE_COMPANY=acme\nPGUSER=other\n")
    with patch.dict(os.environ, {"PGUSER": "me"}, clear=True):
        load_env_file(env_file)
        assert dict(os.environ) == {"PIPEDRIVE_COMPANY": "acme", "PGUSER": "me"}


def test_a_terminal_is_asked(fresh: Funnel) -> None:
    master, slave = pty.openpty()
    answers = iter(["local", COMPANY, API_TOKEN, "sale", "sales, 1", "y"])
    command = subprocess.Popen(
        [sys.executable, "-m", "runner.cli", "init"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=fresh.directory,
        env=fresh.full_environment(),
        start_new_session=True,
    )
    os.close(slave)
    said = ""
    deadline = time.monotonic() + 120
    questions = [
        *("Database: local", "Company", "API token", "Pipelines that count, of Sales, Renewals"),
        *("the account has no pipeline sale. It has Sales and Renewals.", "Replace seeds/funnel"),
    ]
    try:
        while time.monotonic() < deadline:
            try:
                said += os.read(master, 4096).decode()
            except OSError:  # it has ended
                break
            if questions and questions[0] in said and said.rstrip("\r\n").endswith(": "):
                questions.pop(0)
                os.write(master, f"{next(answers)}\n".encode())
        assert command.wait(timeout=30) == 0, said
    finally:
        command.kill()
        os.close(master)
    assert not questions
    assert API_TOKEN not in said
    assert API_TOKEN in (fresh.directory / ".env").read_text()
    assert steps(fresh)[0]["kpi_name"] == "Lead Generation"
    assert len({row["kpi_name"] for row in steps(fresh)}) == 7  # without those of Renewals
    assert 'pipelines: ["Sales", "1"]' in declared(fresh)


def test_a_database_of_ones_own_is_kept_too(fresh: Funnel) -> None:
    with TcpPostgres() as postgres:
        own = replace(fresh, environment={**fresh.environment, **postgres.environment})
        own.done("init", *OPTIONS, "-t", "prod")
        text = (fresh.directory / ".env").read_text()
        assert "FUNNEL_TARGET=prod" in text
        assert f"PGPASSWORD={postgres.password}" in text
        extract = json.loads(fresh.done("extract", "--json", *QUICK).stdout)
        assert extract["added"] > 0
        assert fresh.query("select nspname from pg_namespace where nspname ~ '^pipedrive'") == []
