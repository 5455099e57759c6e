"""A Postgres over TCP with a password, as the targets dev and prod meet it."""

import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.doctor.setup import OLDEST_SERVER
from runner.postgres.installation import (
    clean_environment,
    find_binaries,
    find_server_account,
    open_installation,
)

HOST = "127.0.0.1"
_PATIENCE = 60
"""Seconds until a start has failed."""


class TcpPostgres:
    """A server of its own on a free port of 127.0.0.1, with the binaries of the embedded one.

    Use it in a `with` block, or call `start` and `stop`. What it holds is gone afterwards.
    """

    host = HOST
    user = "postgres"
    database = "postgres"

    def __init__(self, binaries: Path | None = None) -> None:
        """Choose a password, and the embedded server's programs or others; nothing is started."""
        self.password = secrets.token_urlsafe()
        self._binaries = binaries or find_binaries()
        self.port = 0
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "TcpPostgres":
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the targets dev and prod find it."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
        }

    def connect(self, user: str = user, database: str = database) -> "closing[Connection]":
        """Connect, until the end of a `with` block; every role has the same password here."""
        return closing(
            psycopg2.connect(
                host=self.host, port=self.port, user=user, password=self.password, dbname=database
            )
        )

    def start(self) -> None:
        """Make a data directory and start the server on it; both take about a second."""
        # Not pytest's folder: every pytest that starts closes that to the server's user.
        self._folder = Path(tempfile.mkdtemp(prefix="funnel-tcp-"))
        self._account = find_server_account(self._folder)
        password_file = self._folder / "password"
        password_file.write_text(self.password)
        if self._account:
            open_installation()
            for path in (self._folder, password_file):
                self._account.own(path)
        options = ["-D", "data", "-U", self.user, "--encoding=UTF8", "--locale=C", "--no-sync"]
        initdb = self._popen("initdb", *options, "--auth=scram-sha-256", "--pwfile=password")
        if initdb.wait() != 0:
            raise RuntimeError(self._log)
        deadline = time.monotonic() + _PATIENCE
        while not self._process:
            if time.monotonic() > deadline:
                raise RuntimeError(self._log)
            self.port = find_free_port()
            settings = ["-c", "fsync=off", "-c", "timezone=UTC"]
            socketless = ["-h", self.host, "-p", str(self.port), "-k", ""]
            process = self._popen("postgres", "-D", "data", *socketless, *settings)
            while process.poll() is None and "ready" not in self._status:
                if time.monotonic() > deadline:
                    process.kill()
                    raise RuntimeError(self._log)
                time.sleep(0.02)
            if process.poll() is None:  # else someone was faster on that port
                self._process = process

    def stop(self) -> None:
        """Stop the server and remove its data."""
        if self._process:
            self._process.send_signal(signal.SIGINT)  # whatever connection was left open
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self._folder)

    @property
    def _status(self) -> str:
        pid_file = self._folder / "data" / "postmaster.pid"
        return pid_file.read_text() if pid_file.exists() else ""

    @property
    def _log(self) -> str:
        return (self._folder / "log").read_text()

    def _popen(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._binaries / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=clean_environment(),
                user=self._account.user_id if self._account else None,
                group=self._account.group_id if self._account else None,
                extra_groups=[] if self._account else None,
            )


def find_all_binaries() -> dict[str, Path]:
    """Return the programs of each Postgres on this machine by version; 18 is the embedded one."""
    installed = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    others = {file.parents[1].name: file.parent for file in installed}
    return {
        **{version: folder for version, folder in others.items() if int(version) >= OLDEST_SERVER},
        "18": find_binaries(),
    }


def find_free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
