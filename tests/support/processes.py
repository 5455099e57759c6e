"""The command `funnel` in processes of its own, none of which has to import dbt.

A test module gets the fixtures by `pytest_plugins = ["processes"]`, and imports the classes from
here as well, too early for pytest to rewrite the assertions: PYTEST_DONT_REWRITE.

Importing dbt takes a process four seconds. Here one process does, and forks itself for each
command; apart from that the command is a process like any other: it has its own session,
environment and output, and can be killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest
from homes import ROOT, Funnel, copy_database, fingerprint, running_home
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.postgres.server import LocalPostgres
from runner.raw.demo_data import write_demo

PATIENCE = 300
"""Seconds until something is stuck."""

QUICKLY = ("--no-tests", "--no-freshness")
RUN = ("run", "--source-dt", "2024-03-31", "--months", "3", "--backfill-period", "80", *QUICKLY)
"""Processes all that is built in a `Home`."""

BACKFILL = ("backfill", "--from", "2024-01-01", "--to", "2024-03-31", "--batch", "month", *QUICKLY)
"""The same in three batches."""

_DAILY = ("daily_activity_stats", "daily_deal_stats")
_MONTHLY = ("monthly_activity_stats", "monthly_deal_stats")
_DEALS = {
    "deal_stage_visits": "owner_id",
    "deal_steps": "step_order",
    "deal_values": "value",
    "deal_states": "loss_count",
}

_LEFTOVERS = """
    select relname from pg_class
    where
        relnamespace in (select oid from pg_namespace where nspname like 'pipedrive%')
        and strpos(relname, '__dbt_') > 0
        or relpersistence = 't'
"""


@dataclass(frozen=True)
class Command:
    """A command that runs, or has run, in a process of its own."""

    folder: Path
    pid: int

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the process unless it has ended."""
        if not self.has_ended:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:  # it ended meanwhile
                return

    @property
    def has_ended(self) -> bool:
        return (self.folder / "code").exists()

    @property
    def said(self) -> str:
        """What it has written to stderr so far."""
        return (self.folder / "stderr").read_text()

    def wait(self) -> "subprocess.CompletedProcess[str]":
        """Wait for its end; a process that was killed has a negative exit code."""
        deadline = time.monotonic() + PATIENCE
        while not self.has_ended:
            if time.monotonic() > deadline:
                self.send_signal(signal.SIGKILL)
                raise TimeoutError(f"still running: {self.said}")
            time.sleep(0.01)
        code = int((self.folder / "code").read_text())
        return subprocess.CompletedProcess(
            str(self.pid), code, (self.folder / "stdout").read_text(), self.said
        )

    def done(self) -> "subprocess.CompletedProcess[str]":
        """Wait for its end and expect that it succeeds."""
        outcome = self.wait()
        assert outcome.returncode == 0, outcome.stderr + outcome.stdout
        return outcome


class ForkServer:
    """A process that has imported dbt and forks itself for each command."""

    def __init__(self, folder: Path) -> None:
        """Start it; commands started before it has imported everything wait for that."""
        self._folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, funnel: Funnel, *arguments: str) -> Command:
        """Start a command and return without waiting for it."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        request = {
            "arguments": arguments,
            "environment": funnel.full_environment(),
            "directory": str(funnel.directory),
            "folder": str(folder),
        }
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return Command(folder, int(self._process.stdout.readline()))

    def run(self, funnel: Funnel, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return self.start(funnel, *arguments).wait()

    def stop(self) -> None:
        self._process.communicate()


@contextmanager
def fork_server() -> Iterator[ForkServer]:
    with TemporaryDirectory(prefix="funnel-processes-") as folder:
        server = ForkServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@dataclass(frozen=True)
class Home:
    """A home with January to March 2024 built, and what a clean build of them gives."""

    funnel: Funnel
    export: Path
    clean: dict[str, object]

    def connect(self) -> Connection:
        return psycopg2.connect(LocalPostgres(self.funnel.home).url())

    def fingerprint(self) -> dict[str, object]:
        with closing(self.connect()) as connection:
            return fingerprint(connection)

    def spoil(self) -> dict[str, object]:
        """Make every number wrong, so that only what is built again is right."""
        for table in _DAILY:
            self.funnel.query(f"update pipedrive_analytics.{table} set new_deals_count = 1000")
        for table in _MONTHLY:
            self.funnel.query(f"update pipedrive_analytics.{table} set deals_count = 1000")
        self.funnel.query("update pipedrive_reporting.monthly_stats set deals_count = 1000")
        # Of the deals that a run recomputes.
        for table, column in _DEALS.items():
            self.funnel.query(
                f"""
                update pipedrive_analytics.{table} set {column} = 1000 where deal_id in (
                    select deal_id from pipedrive_analytics.deal_months where month >= '2024-01-01'
                )
                """
            )
        return self.fingerprint()

    def drop(self) -> None:
        """Drop all that is built, so that whatever comes next is the first build."""
        for schema in ("staging", "analytics", "reporting"):
            self.funnel.query(f"drop schema if exists pipedrive_{schema} cascade")

    def assert_whole(self, *states: dict[str, object], mixed: Sequence[str] = ()) -> None:
        """Expect that each table is as in one of these states or in the clean one.

        `mixed` are tables that are made of another one and of raw rows, which may differ in age
        where rows were loaded in between.
        """
        for table, found in self.fingerprint().items():
            assert table in mixed or found in [state[table] for state in (self.clean, *states)], (
                f"{table} is neither as before nor as a clean build leaves it"
            )

    def assert_tidy(self) -> None:
        """Expect that no session of dbt is left, and none of its intermediate relations."""
        # A server that was killed leaves temporary tables to autovacuum.
        sessions = "select pid from pg_stat_activity where application_name = 'dbt'"
        temporary = "select oid from pg_class where relpersistence = 't'"
        deadline = time.monotonic() + PATIENCE
        while self.funnel.query(f"{sessions} union all {temporary}"):
            assert time.monotonic() < deadline, "a session or a temporary table stays"
            time.sleep(0.1)
        found = self.funnel.query(_LEFTOVERS)
        assert not found, found

    def outcomes(self, since: str = "-infinity") -> list[str]:
        """Return how the runs ended that began after a moment, oldest first."""
        runs = f"select outcome from pipedrive_meta.runs where started_at > '{since}'"
        return [str(outcome) for (outcome,) in self.funnel.query(f"{runs} order by started_at")]

    def now(self) -> str:
        ((moment,),) = self.funnel.query("select clock_timestamp()")
        return str(moment)


@pytest.fixture(scope="session")
def processes() -> Iterator[ForkServer]:
    """What starts commands as real processes."""
    with fork_server() as server:
        yield server


@pytest.fixture(scope="session")
def built_home(processes: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    export = tmp_path_factory.mktemp("export")
    write_demo(export)
    with running_home() as funnel:
        # What a killed server leaves to autovacuum is waited for.
        funnel.query("alter system set autovacuum_naptime = '1s'")
        funnel.query("select pg_reload_conf()")
        processes.start(funnel, "load", str(export)).done()
        processes.start(funnel, *RUN).done()
        copy_database(funnel.home, "postgres", "clean")
        yield Home(funnel, export, Home(funnel, export, {}).fingerprint())


@pytest.fixture
def home(processes: ForkServer, built_home: Home) -> Home:
    """A built home, also after a test that has failed."""
    try:
        is_clean = built_home.fingerprint() == built_home.clean
    except psycopg2.Error:
        is_clean = False
    if not is_clean:
        processes.start(built_home.funnel, "db", "start").done()
        copy_database(built_home.funnel.home, "clean", "postgres")
    return built_home


def _serve() -> None:
    """Fork a command for each line on stdin, and answer with its process id."""
    import dbt.adapters.postgres  # noqa: F401 - imported once for all
    import dbt.cli.main  # noqa: F401

    import runner.cli  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nobody has to wait for a child
    for line in sys.stdin:
        request = json.loads(line)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _supervise(request)
            os._exit(0)


def _supervise(request: dict[str, object]) -> None:
    """Fork the command itself, and write down how it ends."""
    folder = Path(str(request["folder"]))
    pid = os.fork()
    if pid == 0:
        _become_command(request, folder)
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    new = folder / "code.new"
    new.write_text(str(os.waitstatus_to_exitcode(status)))
    new.rename(folder / "code")


def _become_command(request: dict[str, object], folder: Path) -> None:
    """Be the command to the end of this process, which is that of any Python program."""
    from runner.cli import main

    os.setsid()
    for number, path in ((0, "/dev/null"), (1, folder / "stdout"), (2, folder / "stderr")):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(request["directory"]))
    sys.argv = ["funnel", *arguments]
    main()
    sys.exit()


if __name__ == "__main__":
    _serve()
