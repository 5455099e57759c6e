"""The command line as people use it, on a home of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import (
    closing,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import psycopg2
import pytest
from dbt_common.behavior_flags import BehaviorFlagRendered
from psycopg2 import sql

from runner.cli import run_command_line
from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.transform import dbt_runner
from runner.transform.dbt_runner import Dbt, dbt_arguments
from runner.transform.manifest_cache import hash_project, keep_manifest, read_manifest

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Funnel:
    """The command `funnel`, with an environment of its own.

    Called, it runs in this process, which has imported dbt already; `run` starts a real process.
    """

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = ROOT

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        if arguments[:1] == ("db",):  # some of these start processes, which print for themselves
            return self.run(sys.executable, "-m", "runner.cli", *arguments)
        stdout, stderr = StringIO(), StringIO()
        with (
            patch.dict(os.environ, self.full_environment(), clear=True),
            patch.object(sys, "argv", ["funnel", *arguments]),
            working_directory(self.directory),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
        ):
            try:
                run_command_line()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        if "--json" in arguments:
            check_document(json.loads(stdout.getvalue()))
        return subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue())

    def full_environment(self) -> dict[str, str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FUNNEL_", "DBT_", "PG")) and name != "COLUMNS"
        }
        # Not the .env of whoever runs the tests.
        environment |= {"FUNNEL_HOME": str(self.home), "FUNNEL_ENV_FILE": ""}
        environment |= {"PYTHONPATH": str(ROOT), **self.environment}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        return environment

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run any command in a process of its own."""
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env=self.full_environment(),
            timeout=300,
        )

    def done(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run it and expect that it succeeds."""
        outcome = self(*arguments)
        assert outcome.returncode == 0, outcome.stderr + outcome.stdout
        return outcome

    def plain_dbt(self, *arguments: str, **dbt_vars: object) -> bool:
        """Run plain dbt, which knows these vars only, while the server is up; say if it succeeds.

        Neither tests nor unit tests are run. The project is parsed already; all else is dbt's.
        """
        from dbt.cli.main import dbtRunner

        socket = {"FUNNEL_LOCAL_HOST": str(LocalPostgres(self.home).socket_dir)}
        project = Project(ROOT, self.home)
        types = ("test", "unit_test") if arguments[0] == "build" else ()
        left_out = [part for name in types for part in ("--exclude-resource-type", name)]
        with (
            patch.dict(os.environ, {**self.full_environment(), **socket}, clear=True),
            working_directory(ROOT),
        ):
            dbt = dbtRunner(manifest=Dbt.open(project).manifest)
            return dbt.invoke(dbt_arguments(project, [*arguments, *left_out], dbt_vars)).success

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Ask the embedded server, which has to be up."""
        with closing(psycopg2.connect(LocalPostgres(self.home).url())) as connection:
            return ask(connection, statement)


def check_document(value: object) -> None:
    """Times are in ISO 8601 and nothing is an empty text, wherever a command prints JSON."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            check_document(part)
    assert value != ""
    if isinstance(value, str):
        assert not re.match(r"\d{4}-\d\d-\d\d \d", value), value


_parse = Dbt._parse
_WHERE_A_SERVER_IS = ("FUNNEL_LOCAL_HOST", "FUNNEL_SPARK_HOME", "PGHOST", "PGPORT")


def parse_once(dbt: Dbt, project_hash: str) -> "Manifest":
    """Parse a project, unless a test of this run did so, for whatever server.

    `Dbt` itself parses anew for another server, and a home keeps only the last one.
    """
    with patch.dict(os.environ, dict.fromkeys(_WHERE_A_SERVER_IS, "")):
        kept = Path(os.environ["PARSED_PROJECTS"]) / hash_project(dbt.project)
    if kept.exists():
        keep_manifest(dbt.project, project_hash, kept.read_bytes())
        return dbt_runner._restore(kept.read_bytes()) or _parse(dbt, project_hash)
    manifest = _parse(dbt, project_hash)
    if encoded := read_manifest(dbt.project, project_hash):
        unfinished = kept.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(encoded)
        unfinished.replace(kept)  # another worker may read it meanwhile
    return manifest


def tables(funnel: Funnel) -> dict[str, object]:
    """Every built table of a home as one hash over its rows in order."""
    with closing(psycopg2.connect(LocalPostgres(funnel.home).url())) as connection:
        return fingerprint(connection)


def ask(connection: "psycopg2.extensions.connection", statement: str) -> list[tuple[object, ...]]:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description is not None else []


def fingerprint(
    connection: "psycopg2.extensions.connection", prefix: str = ""
) -> dict[str, object]:
    """Every built table as one hash over its rows in order."""
    tables = {
        "pipedrive_analytics": (
            "daily_activity_stats",
            "daily_deal_stats",
            "monthly_activity_stats",
            "monthly_deal_stats",
            "deal_first_statuses",
            "deal_events",
            "deal_stage_visits",
            "deal_closings",
            "deal_steps",
            "deal_values",
            "deal_states",
            "monthly_stats_by_owner",
        ),
        "pipedrive_reporting": ("monthly_stats",),
    }
    connection.autocommit = True
    found: dict[str, object] = {}
    with connection.cursor() as cursor:
        for schema, names in tables.items():
            for name in names:
                table = sql.Identifier(prefix + schema, name)
                query = "select md5(string_agg(t::text, '|' order by t::text)), count(*) from {} t"
                cursor.execute(sql.SQL(query).format(table))
                found[name] = cursor.fetchone()
    return found


@contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def running_home() -> Iterator[Funnel]:
    """A home with nothing in it and the server up.

    Not below pytest's own temporary folder: every pytest that starts closes that to other users,
    and the server runs as one when the tests run as root.
    """
    with TemporaryDirectory(prefix="funnel-") as folder:
        funnel = Funnel(Path(folder) / "home")
        funnel.done("db", "start")
        forget_power_cuts(LocalPostgres(funnel.home))
        try:
            yield funnel
        finally:
            funnel("db", "stop")


@contextmanager
def dbt_server() -> Iterator[LocalPostgres]:
    """A server with nothing on it, which dbt in this process finds."""
    with (
        TemporaryDirectory(prefix="funnel-") as folder,
        pytest.MonkeyPatch.context() as patch,
        (server := LocalPostgres(Path(folder) / "home")).session(),
    ):
        forget_power_cuts(server)
        patch.setenv("FUNNEL_LOCAL_HOST", str(server.socket_dir))
        # Half the time of a small command goes into these two.
        patch.setenv("DBT_WRITE_JSON", "false")
        patch.setattr(BehaviorFlagRendered, "_default_source", lambda _: "", raising=False)
        yield server


def forget_power_cuts(server: LocalPostgres) -> None:
    """Let a server write without waiting for the disk."""
    with closing(psycopg2.connect(server.url())) as connection:
        ask(connection, "alter system set fsync = off")
        ask(connection, "select pg_reload_conf()")


def build_once(funnel: Funnel, name: str, build: Callable[[Funnel], object]) -> Funnel:
    """Build something in a home that is emptied first; from the second time on, restore a copy."""
    if funnel.query(f"select from pg_database where datname = '{name}'"):
        copy_database(funnel.home, name, "postgres")
    else:
        clear(funnel)
        build(funnel)
        copy_database(funnel.home, "postgres", name)
    return funnel


def copy_database(home: Path, source: str, target: str) -> None:
    """Make a database a copy of another one, whoever is connected to either."""
    with closing(psycopg2.connect(LocalPostgres(home).url(), dbname="template1")) as connection:
        others = f"from pg_stat_activity where datname = '{source}'"
        ask(connection, f"select pg_terminate_backend(pid) {others}")
        ask(connection, f"drop database if exists {target} with (force)")
        ask(connection, f"create database {target} template {source}")


def clear(funnel: Funnel) -> None:
    """Drop all that funnel has made in a home."""
    schemas = "select nspname from pg_namespace where nspname ~ '^(test_)?pipedrive_'"
    for (schema,) in funnel.query(schemas):
        funnel.query(f"drop schema {schema} cascade")
