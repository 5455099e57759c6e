"""What a person is told who cannot reach Spark, or asks it for what is not there."""

import importlib.util
import sys
from pathlib import Path

import pytest
from homes import ROOT, Funnel

from runner.errors import ExitCode, FunnelError
from runner.project import Project
from runner.warehouse.on_spark import SparkEngine


@pytest.fixture
def lake(tmp_path: Path) -> Funnel:
    return Funnel(tmp_path, {"FUNNEL_TARGET": "spark", "FUNNEL_SPARK_HOME": str(tmp_path / "lake")})


def said(lake: Funnel, *arguments: str) -> str:
    outcome = lake.run(sys.executable, "-m", "runner.cli", *arguments)
    assert (outcome.returncode, outcome.stdout) == (ExitCode.COULD_NOT_RUN, "")
    assert outcome.stderr.count("\n") == 1
    return outcome.stderr


@pytest.mark.parametrize("arguments", [["db", "exec", "true"], ["run", "--extract"]])
def test_what_works_on_postgres_only_says_so(lake: Funnel, arguments: list[str]) -> None:
    assert said(lake, *arguments) == (
        "Error: this works on Postgres only. docs/spark.md says what works on Spark.\n"
    )


def test_java_is_missing(lake: Funnel, tmp_path: Path) -> None:
    without = Funnel(lake.home, {**lake.environment, "PATH": str(tmp_path), "JAVA_HOME": ""})
    assert said(without, "status") == (
        "Error: Spark needs Java, which is not installed. Install Java 17.\n"
    )


def test_spark_does_not_start(lake: Funnel, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'a Java of another time' >&2\nexit 1\n")
    java.chmod(0o755)
    other = {"PATH": f"{java.parent}:/usr/bin:/bin", "JAVA_HOME": ""}
    text = said(Funnel(lake.home, {**lake.environment, **other}), "status")
    assert text.startswith("Error: Spark does not start: ")
    log = tmp_path / "lake" / "spark.log"
    assert text.endswith(f"It needs Java 17, and {log.parent} for itself. Its log is {log}.\n")
    assert "a Java of another time" in log.read_text()


def test_a_server_does_not_answer(lake: Funnel) -> None:
    nowhere = {"FUNNEL_TARGET": "spark_cluster", "FUNNEL_SPARK_PORT": "1"}
    assert said(Funnel(lake.home, {**lake.environment, **nowhere}), "status").endswith(
        "Is the Thrift server up? Check FUNNEL_SPARK_HOST and FUNNEL_SPARK_PORT.\n"
    )


def test_the_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FunnelError, match="target spark needs the extra spark") as refusal:
        SparkEngine(Project(ROOT, tmp_path, "spark"), tmp_path)
    assert refusal.value.hint == "Type `pip install 'pipedrive-funnel[spark]'`."
