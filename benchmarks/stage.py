"""Where measurements take place: a server with raw rows, and processes with a clock beside them."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from benchmarks.raw_rows import LAST_DAY, History
from runner.postgres.server import LocalPostgres
from runner.raw.demo_data import write_demo

ROOT = Path(__file__).resolve().parent.parent

DBT_VARS = {"freshness_warn_hours": 100000, "freshness_error_hours": 100000}
"""The rows are old on purpose, and have to pass for fresh."""

_LONGEST = 1800
"""Seconds after which a process has hung, and the benchmark ends."""

_DURATION = re.compile(r"duration: ([0-9.]+) ms  statement: (.*)")


@dataclass(frozen=True)
class Cost:
    """What a process took.

    Args:
        seconds: From its start to its end.
        megabytes: The most memory it held at a time.
        server_megabytes: The most that all processes of the server held, shared buffers once.
    """

    seconds: float
    megabytes: float
    server_megabytes: float


@dataclass(frozen=True)
class Stage:
    """A warehouse with a history of raw rows, and what was built of it."""

    home: Path
    server: LocalPostgres
    history: History

    @property
    def export(self) -> Path:
        """The folder of the CSV files."""
        return self.home / "export"

    def connect(self) -> Connection:
        """Connect to the server, in autocommit mode."""
        connection: Connection = psycopg2.connect(self.server.url())
        connection.autocommit = True
        return connection

    def execute(self, statement: str) -> float:
        """Return the seconds that a statement takes."""
        begin = time.monotonic()
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
        return time.monotonic() - begin

    def funnel(self, *arguments: str) -> Cost:
        """Run funnel as a process of its own."""
        return self.run([sys.executable, "-m", "runner.cli", *arguments])

    def dbt(self, *arguments: str, project: Path = ROOT) -> Cost:
        """Run plain dbt as a process of its own."""
        dbt = str(Path(sys.executable).with_name("dbt"))
        where = ("--project-dir", str(project), "--profiles-dir", str(project))
        return self.run([dbt, *arguments, *where, "--target-path", str(self.home / project.name)])

    def psql(self, command: str) -> Cost:
        """Run a command of psql as a process of its own."""
        return self.run([*self.server.psql_command(), "--quiet", "--command", command])

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
        """Run a command to its end.

        Raises:
            RuntimeError: It failed.
        """
        log = self.home / "command.log"
        with log.open("w") as output, _server_memory(self.server) as server_peak:
            begin = time.monotonic()
            process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment(environment or {}), stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
            timer = threading.Timer(_LONGEST, process.kill)
            timer.start()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begin
            timer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
        return Cost(seconds, usage.ru_maxrss / 1024, server_peak[0])

    @contextmanager
    def statements(self) -> Iterator[dict[str, float]]:
        """Collect the seconds of the server's statements by the dbt node they belong to."""
        found: dict[str, float] = {}
        self.execute("alter system set log_min_duration_statement = 0")
        self.execute("select pg_reload_conf()")
        time.sleep(0.2)
        begin = self.server.log_file.stat().st_size
        try:
            yield found
        finally:
            self.execute("alter system reset log_min_duration_statement")
            self.execute("select pg_reload_conf()")
        with self.server.log_file.open(encoding="utf-8", errors="replace") as log:
            log.seek(begin)
            for line in log:
                logged = _DURATION.search(line)
                node = logged and re.search(r'"node_id": "([^"]+)"', logged[2])
                if logged and node:
                    found[node[1]] = found.get(node[1], 0) + float(logged[1]) / 1000

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {
            "FUNNEL_HOME": str(self.home),
            "FUNNEL_LOCAL_HOST": str(self.server.socket_dir),
            "FUNNEL_VARS": json.dumps(DBT_VARS),
            "FUNNEL_QUIET": "1",
            "PYTHONPATH": str(ROOT),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            **more,
        }


@contextmanager
def open_stage(history: History, *, build: bool = True) -> Iterator[Stage]:
    """Start a server, fill its raw tables, build all months, and throw everything away at the end.

    Args:
        history: The raw rows.
        build: Whether to build the models through LAST_DAY.
    """
    with TemporaryDirectory(prefix="funnel-bench-") as folder:
        home = Path(folder) / "home"
        server = LocalPostgres(home)
        with server.session():
            stage = Stage(home, server, history)
            write_demo(stage.export)
            stage.funnel("load", str(stage.export))
            with closing(stage.connect()) as connection:
                history.fill(connection)
            stage.execute("checkpoint")
            if build:
                months = ("--months", str(history.months))
                stage.funnel("run", "--source-dt", str(LAST_DAY), *months, "--no-tests")
                stage.execute("vacuum analyze")
            yield stage


@contextmanager
def _server_memory(server: LocalPostgres) -> Iterator[list[float]]:
    """Sample the memory of the server's processes in a thread; the peak is the list's first."""
    peak, over = [0.0], threading.Event()
    postmaster = int((server.data_directory / "postmaster.pid").read_text().split()[0])

    def sample() -> None:
        while not over.wait(0.1):
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
            if not children.exists():  # not Linux
                return
            private, shared = 0, 0
            for pid in (str(postmaster), *children.read_text().split()):
                anonymous, mapped = _resident(pid)
                private, shared = private + anonymous, max(shared, mapped)
            peak[0] = max(peak[0], (private + shared) / 1024)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _resident(pid: str) -> tuple[int, int]:
    """Return kilobytes of a process's own memory and of the shared buffers it has touched."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return 0, 0
    values = dict(re.findall(r"(RssAnon|RssShmem):\s+(\d+)", text))
    return int(values.get("RssAnon", 0)), int(values.get("RssShmem", 0))
