"""How dbt is called, and how its messages are cut to a line."""

from pathlib import Path

from dbt.adapters.base.impl import DEFAULT_BASE_BEHAVIOR_FLAGS
from homes import Funnel

from runner.project import Project
from runner.transform.dbt_runner import dbt_arguments, one_line

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
        "  var source_dt is not a date\n\n"
        "  > in macro date_var (macros/vars/date_var.sql)\n"
        "  > called by macro ref_date (macros/window/ref_date.sql)"
    )
    assert one_line(message) == "var source_dt is not a date"
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
