"""How dbt is called, and how its messages are cut to a line."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from dbt.adapters.base.impl import DEFAULT_BASE_BEHAVIOR_FLAGS
from dbt.cli.main import cli as dbt_cli
from dbt.flags import get_flags
from homes import ROOT, Funnel

from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.transform.dbt_runner import Dbt, dbt_arguments, one_line

PROJECT = Project(Path("/project"), Path("/home"), "dev")


def test_arguments_are_those_of_a_command_line() -> None:
    command = ["build", "--select", "monthly_stats"]
    assert dbt_arguments(PROJECT, command, {"source_dt": "2024-05-01", "months": 3}) == [
        *("build", "--select", "monthly_stats"),
        *("--project-dir", "/project", "--profiles-dir", "/project", "--target", "dev"),
        *("--target-path", "/home/target", "--log-path", "/home/logs"),
        *("--log-level", "none", "--log-level-file", "none", "--no-write-json"),
        *("--vars", '{"months": 3, "source_dt": "2024-05-01"}'),
    ]


def test_the_documentation_needs_the_artefacts() -> None:
    assert "--no-write-json" not in dbt_arguments(PROJECT, ["docs", "generate"], {})


def test_a_message_is_its_sentence() -> None:
    message = (
        "Compilation Error in model daily_deal_stats (models/daily/daily_deal_stats.sql)\n"
        "  var source_dt must be a date\n\n"
        "  > in macro checked_var (macros/vars/checked_var.sql)\n"
        "  > called by macro ref_date (macros/window/ref_date.sql)"
    )
    assert one_line(message) == "var source_dt must be a date"
    assert one_line("Database Error") == "Database Error"


def test_a_message_names_nobody() -> None:
    message = 'Database Error in test t\n  invalid input syntax for type date: "ann@example.com"'
    assert one_line(message) == 'invalid input syntax for type date: "***"'


def test_the_last_command_of_a_process_has_no_more_to_do_than_the_first(demo: Funnel) -> None:
    flag_counts = []
    for _ in range(3):
        demo.done("freshness")
        flag_counts.append(len(DEFAULT_BASE_BEHAVIOR_FLAGS))
    assert flag_counts[1:] == flag_counts[:-1]


def find_variables() -> dict[str, str]:
    """Return dbt's own environment variables, each with a value that its flag would take."""
    commands = [dbt_cli, *dbt_cli.commands.values()]
    found = {}
    for option in (option for command in commands for option in command.params):
        names = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
        kind = option.type
        for name in names:
            if isinstance(kind, click.types.BoolParamType):
                found[name] = "0" if option.default else "1"
            elif hasattr(kind, "choices") or isinstance(kind, click.Choice):
                found[name] = str(list(kind.choices)[-1])
            elif isinstance(kind, (click.IntRange, click.types.IntParamType)):
                found[name] = "7"
            elif isinstance(kind, click.Path):
                found[name] = str(ROOT)
            else:
                found[name] = "model"
    return found


VARIABLES = find_variables()
PARTS = ("months", "models", "tests", "funnel")


def read_flags(project: Project) -> dict[str, Any]:
    """Return the flags with which dbt built nothing."""
    Dbt.open(project)._invoke(["build", "--select", "nothing_of_this_name"])
    changing = {"INVOCATION_COMMAND"}
    return {
        name: str(value)
        for name, value in vars(get_flags()).items()  # type: ignore[no-untyped-call]
        if name.isupper() and name not in changing
    }


def test_the_queries_of_models_come_without_those_of_their_tests(
    demo: Funnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNNEL_LOCAL_HOST", str(LocalPostgres(demo.home).socket_dir))
    with LocalPostgres(demo.home).session():
        queries = Dbt.open(Project(ROOT, demo.home)).compile(["daily_deal_stats", "deal_months"])
    assert sorted(queries) == ["daily_deal_stats", "deal_months"]


def test_dbt_has_the_variables_that_are_known_to_do_harm() -> None:
    assert {"DBT_RESOURCE_TYPES", "DBT_EMPTY", "DBT_FULL_REFRESH", "DBT_FAIL_FAST"} <= set(
        VARIABLES
    )


@pytest.mark.long
def test_no_variable_of_dbt_changes_a_flag(demo: Funnel, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("FUNNEL_LOCAL_HOST", str(LocalPostgres(demo.home).socket_dir))
        project = Project(ROOT, demo.home)
        expected = read_flags(project)
        changed = {}
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
            if (flags := read_flags(project)) != expected:
                changed[name] = flags
            patch.delenv(name)
    assert changed == {}


@pytest.mark.long
def test_a_run_tests_and_fills_whatever_dbt_is_set_to(empty: Funnel) -> None:
    empty.done("demo")
    usual = json.loads(empty.done("run", "--source-dt", "2024-06-30", "--json").stdout)
    set_up = {"DBT_RESOURCE_TYPES": "model", "DBT_EMPTY": "1", "DBT_EXCLUDE_RESOURCE_TYPES": "test"}
    odd = Funnel(empty.home, set_up).done("run", "--source-dt", "2024-06-30", "--json")
    outcome = json.loads(odd.stdout)
    assert {part: outcome[part] for part in PARTS} == {part: usual[part] for part in PARTS}
    assert usual["tests"]["pass"] > 0
