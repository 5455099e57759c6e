"""The rules for vars: one table has them all, and nothing reads a var past it."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml
from homes import ROOT

from runner.errors import FunnelError
from runner.months.window import Window
from runner.project import Project
from runner.settings.declared_vars import replace_list
from runner.settings.var_rules import find_rule, parse_var, read_table

DECLARED = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
VAR_CALL = re.compile(r"(?<!\w)var\s*\(")
READER = "macros/vars/checked_var.sql"
# dbt offers no macro there; check_vars looks at these four before anything reads a source.
SOURCES = "models/staging/_sources.yml"


def test_the_table_has_every_var_and_no_other() -> None:
    assert list(read_table()["vars"]) == list(DECLARED)


def test_every_type_is_used() -> None:
    table = read_table()
    rules = [*table["vars"].values(), *table["environment"].values()]
    assert {rule["type"] for rule in rules} == set(table["types"])


def find_reads(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Yield file and line of every call of dbt's var in the project."""
    for folder in ("macros", "models", "tests/data", "seeds"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes:
                for line in path.read_text().splitlines():
                    if VAR_CALL.search(line):
                        yield str(path.relative_to(ROOT)), line.strip()


def test_nothing_reads_a_var_past_the_table() -> None:
    assert {file for file, _ in find_reads(".sql", ".md", ".csv")} == {READER}
    assert VAR_CALL.findall((ROOT / "dbt_project.yml").read_text()) == []


def test_the_yaml_of_the_sources_reads_only_checked_vars() -> None:
    reads = list(find_reads(".yml"))
    assert {file for file, _ in reads} == {SOURCES}
    names = [re.findall(r"var\('(\w+)'\)", line) for _, line in reads]
    assert sorted(name for [name] in names) == [
        "freshness_error_hours",
        "freshness_warn_hours",
        "loaded_at_field",
        "raw_schema",
    ]
    hooks = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["on-run-start"]
    assert hooks[0] == "{{ check_vars() }}"


def test_limits_stand_in_the_table_alone() -> None:
    limits = {rule.get("at_most") for rule in read_table()["vars"].values()} - {None, 1, 12}
    limits |= {rule["at_most"] for rule in read_table()["types"].values() if "at_most" in rule}
    number = re.compile("|".join(rf"(?<![\w.]){limit}(?![\w.])" for limit in limits))
    files = [*(ROOT / "macros").rglob("*.sql"), *(ROOT / "runner" / "months").rglob("*.py")]
    files += (ROOT / "runner" / "commands").rglob("*.py")
    found = {str(path.relative_to(ROOT)) for path in files if number.search(path.read_text())}
    assert found == {"macros/vars/var_rules.sql"}


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("months", 1, 1),
        ("months", "1200", 1200),
        ("timezone", "Europe/Berlin", "Europe/Berlin"),
        ("won_step", 7, "7"),
        ("pipelines", [], []),
        ("pipelines", ["Sales", 2], ["Sales", "2"]),
        ("raw_schema", "crm_2", "crm_2"),
        ("anomaly_threshold", "3.50", 3.5),
    ],
)
def test_reads_a_value_as_dbt_does(name: str, value: object, parsed: object) -> None:
    assert parse_var(name, value) == parsed
    assert Project(ROOT, Path("/home"), "local", {name: value}).var(name) == parsed


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("months", 0, 'var months must be an integer from 1 to 1200: "0"'),
        ("months", True, 'var months must be an integer from 1 to 1200: "True"'),
        ("months", None, 'var months must be an integer from 1 to 1200: "None"'),
        ("work_mem", "64\n", 'var work_mem must be an integer from 0 to 100000: "64\\n"'),
        ("raw_schema", None, 'var raw_schema must be a name of letters, digits and underscores: "'),
        ("raw_schema", 'x"; drop', "var raw_schema must be a name of letters"),
        ("pipelines", "Sales", "var pipelines must be a list of texts"),
        ("pipelines", ["a\nb"], "var pipelines must be a list of texts"),
        ("won_step", "7'", "var won_step must be a step of seeds/funnel_steps.csv"),
        ("timezone", "/etc/passwd", "var timezone must be a name of the tz database"),
    ],
)
def test_refuses_a_value_as_dbt_does(name: str, value: object, message: str) -> None:
    with pytest.raises(FunnelError) as refusal:
        Project(ROOT, Path("/home"), "local", {name: value}).var(name)
    assert refusal.value.message.startswith(message)
    assert refusal.value.hint == "Change it in dbt_project.yml or in --vars."


def test_the_window_has_the_same_limits() -> None:
    source_dt = date(2024, 5, 15)
    for name in ("months", "backfill_period"):
        rule = find_rule(name)
        for limit in (rule.at_least, rule.at_most):
            Window(date(8000, 1, 1), **{name: limit})
        for outside in (rule.at_least - 1, rule.at_most + 1):
            with pytest.raises(FunnelError, match=f"var {name} must be an integer from"):
                Window(source_dt, **{name: outside})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[]  # names", '["A \\"b\\"", "7"]  # names'),
        ("['x]', y]", '["A \\"b\\"", "7"]'),
        ('["x\\"]#", "y"] # names', '["A \\"b\\"", "7"] # names'),
    ],
)
def test_a_list_is_replaced_in_its_line(before: str, after: str) -> None:
    text = "name: funnel\nvars:\n    months: 3  # pipelines: []\n    pipelines: {}\n\n# the end\n"
    replaced = replace_list(text.replace("{}", before), "pipelines", ['A "b"', "7"])
    assert replaced == text.replace("{}", after)


def test_a_list_in_another_form_is_left_to_a_person() -> None:
    for text in ("vars:\n    pipelines:\n        - x\n", "vars: {pipelines: []}\n"):
        with pytest.raises(FunnelError, match="cannot write the var pipelines"):
            replace_list(text, "pipelines", ["y"])
    with pytest.raises(FunnelError, match="must be a list of texts"):
        replace_list("vars:\n    pipelines: []\n", "pipelines", ["two\nlines"])
