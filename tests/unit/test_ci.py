"""The GitHub workflow, as far as it can be held against what is here."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dbt.cli.main import cli as dbt_cli
from dbt.config.project import package_config_from_data
from dbt.task.deps import _create_sha1_hash
from homes import ROOT

from runner.cli import cli
from runner.doctor.setup import OLDEST_SERVER

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
STEPS = [
    pytest.param(job, step, id=f"{name}-{number}")
    for name, job in JOBS.items()
    for number, step in enumerate(job["steps"], 1)
]
SHELL = {"{", "}", "echo", "mkdir"}
CONTEXTS = {"github.ref", "secrets.GITHUB_TOKEN"}


def commands(script: str) -> list[list[str]]:
    """Return the commands of a script, each as words, without what goes where."""
    lines = re.sub(r"\$\{\{.*?\}\}", "X", script).splitlines()
    return [words for line in lines if (words := shlex.split(line.partition(" >> ")[0]))]


def parse(group: click.Command, words: list[str]) -> None:
    """Parse a command line as the command itself would, and run nothing."""
    arguments = list(words)
    path = group.name or ""
    context: click.Context | None = None
    while isinstance(group, click.Group):
        context = click.Context(group, info_name=path, parent=context)
        name, command, arguments = group.resolve_command(context, arguments)
        assert command, name
        group, path = command, str(name)
    group.make_context(path, arguments, parent=context)


def test_the_workflow_has_the_parts_that_github_knows() -> None:
    # YAML 1.1 reads `on` as true.
    assert set(WORKFLOW) == {"name", True, "permissions", "concurrency", "jobs"}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    for job in JOBS.values():
        known = {"if", "runs-on", "timeout-minutes", "strategy", "services", "env", "steps"}
        assert set(job) <= known
        for step in job["steps"]:
            assert set(step) <= {"name", "uses", "with", "run", "if", "env"}
            assert ("uses" in step) != ("run" in step)


def test_actions_are_pinned_by_commit_and_get_no_credentials() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    used = re.findall(r"uses: (.*)", text)
    assert len(used) == sum("uses" in step for job in JOBS.values() for step in job["steps"])
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action)
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


@pytest.mark.parametrize(
    ("said", "code", "expected", "is_audited"),
    [
        ("No known vulnerabilities found", 0, 0, True),
        ("Found 1 known vulnerability in 1 package", 1, 1, True),
        ("requests.exceptions.ConnectionError: Max retries exceeded", 1, 0, False),
        # A mirror of the index that has no such list answers that it knows no package.
        ("click  Dependency not found on PyPI and could not be audited: click", 0, 0, False),
        (None, 0, 0, False),
    ],
)
def test_an_audit_that_cannot_be_made_passes_and_says_so(
    tmp_path: Path, said: str | None, code: int, expected: int, is_audited: bool
) -> None:
    pipx = tmp_path / "pipx"
    if said is not None:
        pipx.write_text(f'#!/bin/sh\n[ "$5" = --version ] || {{ echo "{said}"; exit {code}; }}\n')
        pipx.chmod(0o755)
    tools = {name: shutil.which(name) for name in ("bash", "dirname", "env", "grep", "sh")}
    for name, program in tools.items():
        (tmp_path / name).symlink_to(str(program))
    outcome = subprocess.run(
        [ROOT / ".ci" / "audit"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
    )
    assert outcome.returncode == expected, outcome.stderr
    assert ("Not audited: " not in outcome.stderr) == is_audited


def test_the_lock_of_dbt_packages_is_that_of_packages_yml() -> None:
    wanted = yaml.safe_load((ROOT / "packages.yml").read_text())
    lock = yaml.safe_load((ROOT / "package-lock.yml").read_text())
    packages = package_config_from_data(wanted, wanted).packages
    # Else `dbt deps` resolves the versions anew.
    assert lock["sha1_hash"] == _create_sha1_hash(packages)
    bundled = yaml.safe_load((ROOT / "packages/dbt_expectations/dbt_project.yml").read_text())
    assert {"name": bundled["name"], "version": bundled["version"]}.items() <= (
        lock["packages"][0].items()
    )
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", package["version"]) for package in lock["packages"])


def test_every_supported_postgres_is_tried() -> None:
    versions = JOBS["warehouse"]["strategy"]["matrix"]["postgres"]
    assert versions == [str(version) for version in range(OLDEST_SERVER, 19)]
    assert JOBS["warehouse"]["services"]["postgres"]["image"] == "postgres:${{ matrix.postgres }}"


@pytest.mark.parametrize(("job", "step"), STEPS)
def test_what_a_step_refers_to_is_there(job: dict[str, Any], step: dict[str, Any]) -> None:
    known = CONTEXTS | {f"matrix.{name}" for name in job["strategy"]["matrix"]}
    text = str({name: value for name, value in step.items() if name != "if"})
    assert set(re.findall(r"\$\{\{ (.*?) \}\}", text)) <= known
    condition = str(step.get("if", "always()"))
    matched = re.fullmatch(r"always\(\)|(matrix\.\w+) == '(\w+)'", condition)
    assert matched, condition
    if matched[1]:
        assert matched[2] in job["strategy"]["matrix"][matched[1].partition(".")[2]]


@pytest.mark.parametrize(("job", "step"), STEPS)
def test_every_command_exists(job: dict[str, Any], step: dict[str, Any]) -> None:
    script = step.get("run", "")
    assert subprocess.run(["/bin/bash", "-n", "-c", script], check=False).returncode == 0
    for program, *arguments in commands(script):
        if program == ".venv/bin/funnel":
            parse(cli, arguments)
        elif program == ".venv/bin/dbt":
            parse(dbt_cli, arguments)
        elif program == "make":
            makefile = (ROOT / "Makefile").read_text()
            assert all(re.search(rf"(?m)^{target}:", makefile) for target in arguments)
        elif program == ".ci/run":
            assert (ROOT / program).stat().st_mode & 0o111
        else:
            assert program in SHELL
            assert program in "{}" or shutil.which(program)


def test_ci_run_is_what_developers_type() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == ["make check", "make test"]


@pytest.mark.parametrize(
    "line", re.findall(r"\.venv/bin/funnel [^`\"\n&]*", (ROOT / "docs" / "ci.md").read_text())
)
def test_what_the_page_says_can_be_typed(line: str) -> None:
    parse(cli, shlex.split(line.replace("{{ ds }}", "2024-05-01"))[1:])


def test_the_page_shows_yaml_that_can_be_added() -> None:
    page = (ROOT / "docs" / "ci.md").read_text()
    jobs = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.S)]
    assert [list(job) for job in jobs] == [["publish"], ["pull-request"]]
    assert jobs[0]["publish"]["needs"] in JOBS
