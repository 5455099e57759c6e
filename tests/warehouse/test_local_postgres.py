"""The embedded server: real processes that share it, die on it, and find it again."""

import os
import pwd
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest

from runner.errors import ExitCode, FunnelError
from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.warehouse.connection import connect, open_postgres

ROOT = Path(__file__).parents[2]

# Run as: python -c HOLDER <home> [<system user to become>]
HOLDER = """
import os, pwd, sys
from pathlib import Path
from runner.postgres.server import LocalPostgres

if len(sys.argv) > 2:
    user = pwd.getpwnam(sys.argv[2])
    os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
server = LocalPostgres(Path(sys.argv[1]))
print("joining", flush=True)
with server.session():
    print((server.data_directory / "postmaster.pid").read_text().split()[0], flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process in a session of the server, until told to leave."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(home), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )

    def wait_until_joining(self) -> None:
        """Wait until the session is the next thing it does."""
        assert self.process.stdout
        assert self.process.stdout.readline() == b"joining\n"

    def wait_until_in(self) -> int:
        """Return the process id of the server it found or started."""
        self.wait_until_joining()
        assert self.process.stdout
        return int(self.process.stdout.readline())

    def leave(self) -> int:
        """Let the session end; return the exit code."""
        self.process.communicate()
        return self.process.returncode

    def kill(self) -> None:
        """Kill the whole process group, as `kill -9` and an out-of-memory killer do."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@contextmanager
def holding(home: Path, *arguments: str) -> Iterator[Holder]:
    holder = Holder(home, *arguments)
    try:
        yield holder
    finally:
        if holder.process.poll() is None:
            holder.kill()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user reaches: every pytest that starts closes its tmp_path."""
    with TemporaryDirectory(prefix="funnel-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Path]:
    """One data directory for all tests that leave it as it was."""
    with TemporaryDirectory(prefix="funnel-") as name:
        yield Path(name)


@pytest.fixture
def server(shared_home: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(shared_home)
    yield server
    assert server.stop()
    assert not server.is_running()


@pytest.fixture
def new_server(folder: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(folder / "home")
    yield server
    assert server.stop()
    assert not server.is_running()


def psql(server: LocalPostgres, query: str) -> str:
    command = [*server.psql_command(), "-X", "-A", "-t", "-c", query]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def find_postmaster(server: LocalPostgres) -> int:
    return int((server.data_directory / "postmaster.pid").read_text().split()[0])


def wait_until_gone(server: LocalPostgres) -> None:
    deadline = time.monotonic() + 30
    while server.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_runs_for_as_long_as_a_session(server: LocalPostgres) -> None:
    assert not server.is_running()
    with server.session():
        assert server.is_running()
        assert psql(server, "show server_version").startswith("18.")
        with server.session():
            pass
        assert server.is_running()
    assert not server.is_running()


def test_it_stops_when_the_session_fails(server: LocalPostgres) -> None:
    with pytest.raises(ZeroDivisionError), server.session():
        raise ZeroDivisionError
    assert not server.is_running()


def test_its_settings_and_its_order_do_not_depend_on_the_machine(
    server: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGPORT", "PGDATA"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with server.session():
        monkeypatch.delenv("PGCLIENTENCODING")
        assert psql(server, "show client_encoding") == "UTF8"
        names = ["fsync", "jit", "timezone", "work_mem", "server_encoding", "listen_addresses"]
        settings = [psql(server, f"show {name}") for name in names]
        assert settings == ["on", "off", "UTC", "64MB", "UTF8", ""]
        words = "select string_agg(word, ' ' order by word) from unnest(array[{}]) as word"
        assert psql(server, words.format("'a', 'B', 'é', 'z', '_'")) == "B _ a z é"
        assert psql(server, "select lower('ÉİZ')").startswith("é")


def test_processes_that_start_at_once_share_one_server(new_server: LocalPostgres) -> None:
    with (
        holding(new_server.home) as first,
        holding(new_server.home) as second,
        holding(new_server.home) as third,
    ):
        holders = [first, second, third]
        assert len({holder.wait_until_in() for holder in holders}) == 1
        for holder in holders:
            assert new_server.is_running()
            assert holder.leave() == 0
        assert not new_server.is_running()
    assert list(new_server.home.glob("postgres.new-*")) == []


def test_sessions_that_come_and_go_never_lose_the_server(server: LocalPostgres) -> None:
    loop = """
import sys
from pathlib import Path
import psycopg2
from runner.postgres.server import LocalPostgres

server = LocalPostgres(Path(sys.argv[1]))
for _ in range(10):
    with server.session():
        psycopg2.connect(server.url()).close()
"""
    command = [sys.executable, "-c", loop, str(server.home)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert not server.is_running()


def test_it_stays_when_it_is_to_be_kept(server: LocalPostgres) -> None:
    keep = "import sys; from pathlib import Path; from runner.postgres.server import LocalPostgres;"
    keep += "LocalPostgres(Path(sys.argv[1])).keep_running()"
    command = [sys.executable, "-c", keep, str(server.home)]
    subprocess.run(command, cwd=ROOT, check=True)
    with server.session():
        pass
    assert server.is_running()
    assert server.stop()
    assert not server.is_running()
    with server.session():
        pass
    assert not server.is_running()


def test_keeping_it_is_possible_while_it_is_used(server: LocalPostgres) -> None:
    with server.session():
        server.keep_running()
    assert server.is_running()


def test_stop_leaves_a_server_in_use_to_its_last_user(server: LocalPostgres) -> None:
    server.keep_running()
    with holding(server.home) as holder:
        holder.wait_until_in()
        assert not server.stop()
        assert server.is_running()
        assert holder.leave() == 0
    assert not server.is_running()


def test_stop_without_a_server_makes_nothing(tmp_path: Path) -> None:
    assert LocalPostgres(tmp_path / "home").stop()
    assert not LocalPostgres(tmp_path / "home").is_running()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_user_does_not_keep_it_alive(server: LocalPostgres) -> None:
    with holding(server.home) as killed, holding(server.home) as last:
        assert killed.wait_until_in() == last.wait_until_in()
        killed.kill()
        assert server.is_running()
        assert last.leave() == 0
    assert not server.is_running()


def test_a_server_whose_only_user_was_killed_is_stopped_by_the_next(
    server: LocalPostgres,
) -> None:
    with holding(server.home) as holder:
        postmaster = holder.wait_until_in()
        holder.kill()
    assert server.is_running()
    with server.session():
        assert find_postmaster(server) == postmaster
    assert not server.is_running()


def test_no_child_inherits_a_lock(server: LocalPostgres) -> None:
    with server.session():
        child = subprocess.Popen(["/bin/sleep", "60"], close_fds=False)
    try:
        with holding(server.home) as holder:
            holder.wait_until_in()
            assert holder.leave() == 0
        assert not server.is_running()
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_killed_server_starts_again_with_its_data(server: LocalPostgres) -> None:
    with server.session():
        psql(server, "drop table if exists kept; create table kept as select 42 as answer")
        os.kill(find_postmaster(server), signal.SIGKILL)
        wait_until_gone(server)
        with server.session():
            assert psql(server, "select answer from kept") == "42"


def test_a_pid_file_that_names_another_process_is_no_server(server: LocalPostgres) -> None:
    with server.session():
        owner = server.data_directory.stat().st_uid
        postmaster = find_postmaster(server)
        os.kill(postmaster, signal.SIGKILL)
        wait_until_gone(server)
        with subprocess.Popen(["/bin/sleep", "60"], user=owner) as innocent:
            pid_file = server.data_directory / "postmaster.pid"
            socket_lock = server.socket_dir / ".s.PGSQL.5432.lock"
            for file in (pid_file, socket_lock):
                text = file.read_text()
                file.write_text(text.replace(str(postmaster), str(innocent.pid), 1))
            with server.session():
                assert psql(server, "select 1") == "1"
                assert find_postmaster(server) != innocent.pid
            assert innocent.poll() is None
            innocent.kill()


def test_a_server_that_does_not_listen_yet_is_waited_for(server: LocalPostgres) -> None:
    with server.session():
        owner = server.data_directory.stat().st_uid
        pid_file = server.data_directory / "postmaster.pid"
        text = pid_file.read_text()
    # As when pg_ctl was killed: a process at work in the data directory, and no socket.
    with subprocess.Popen(["/bin/sleep", "1"], user=owner, cwd=server.data_directory) as starting:
        first_line, rest = text.split("\n", 1)
        assert first_line.isdigit()
        pid_file.write_text(f"{starting.pid}\n{rest.replace('ready   ', 'starting')}")
        with server.session():
            assert starting.poll() is not None
            assert psql(server, "select 1") == "1"


def test_a_killed_initdb_leaves_nothing_half(new_server: LocalPostgres) -> None:
    with holding(new_server.home) as holder:
        while not list(new_server.home.glob("postgres.new-*/base")):
            assert holder.process.poll() is None
            assert not new_server.data_directory.exists(), "initdb was faster than this test"
            time.sleep(0.005)
        holder.kill()
    assert not new_server.data_directory.exists()
    with new_server.session():
        assert psql(new_server, "select 1") == "1"
    deadline = time.monotonic() + 60
    while list(new_server.home.glob("postgres.new-*")):  # the orphan may have written since
        assert time.monotonic() < deadline
        with new_server.session():
            pass


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.08, 0.12, 0.3], ids="{}s".format)
def test_ctrl_c_leaves_no_server(server: LocalPostgres, delay: float) -> None:
    with server.session():
        pass
    with holding(server.home) as holder:
        holder.wait_until_joining()
        time.sleep(delay)
        os.killpg(holder.process.pid, signal.SIGINT)
        holder.process.wait(30)
    assert not (server.data_directory / "postmaster.pid").exists()


@pytest.mark.parametrize(
    "name",
    ["two words", """it's "$HOME" `x` \\ 100%""", "a,b", "é?host=x&port=1#", "long" * 40],
    ids=["spaces", "quotes", "comma", "url", "long"],
)
def test_any_path_will_do(folder: Path, name: str) -> None:
    server = LocalPostgres(folder / name)
    with server.session():
        assert psql(server, "show data_directory") == str(server.data_directory)
        psycopg2.connect(server.url()).close()
        psycopg2.connect(host=str(server.socket_dir), port=5432, user="postgres").close()
        assert server.socket_dir.stat().st_mode & 0o077 == 0
    assert not server.is_running()
    assert server.socket_dir == server.data_directory or not server.socket_dir.exists()


def test_the_socket_is_beside_the_data_when_it_fits(tmp_path: Path) -> None:
    rest = len("/postgres/.s.PGSQL.5432")
    longest = LocalPostgres(Path("/") / ("x" * (107 - rest - 1)))
    assert longest.socket_dir == longest.data_directory
    too_long = LocalPostgres(Path("/") / ("x" * (107 - rest)))
    assert len(str(too_long.socket_dir / ".s.PGSQL.5432")) < 50
    assert too_long.socket_dir == LocalPostgres(too_long.home).socket_dir


def test_a_socket_folder_of_someone_else_is_refused(folder: Path) -> None:
    server = LocalPostgres(folder / ("long" * 40))
    server.socket_dir.symlink_to(folder)
    try:
        with pytest.raises(FunnelError, match="is not a private folder"), server.session():
            pass
    finally:
        server.socket_dir.unlink()


# Run as another user: python3 -c IMPOSTOR <folder> makes the socket, says so, and prints what it is
# sent; python3 -c IMPOSTOR <folder> <user> makes it first, and becomes that user before it listens.
IMPOSTOR = """
import os, pwd, socket, sys

os.makedirs(sys.argv[1], mode=0o700, exist_ok=True)
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1] + "/.s.PGSQL.5432")
if len(sys.argv) > 2:
    os.chmod(sys.argv[1] + "/.s.PGSQL.5432", 0o777)
    user = pwd.getpwnam(sys.argv[2])
    os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
server.listen()
print("listening", flush=True)
while True:
    client, _ = server.accept()
    print("received", len(client.recv(1000)), flush=True)
"""


def start_as_nobody(script: str, *arguments: str) -> "subprocess.Popen[str]":
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n", "-u", "nobody"]
    is_able = not sudo or (
        shutil.which("sudo") and subprocess.run([*sudo, "true"], check=False).returncode == 0
    )
    if python is None or not is_able:
        pytest.skip("there is no second user without root or sudo")
    return subprocess.Popen(
        [*sudo, python, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        user=None if sudo else "nobody",
        extra_groups=None if sudo else [],
    )


def test_another_user_who_takes_the_place_of_the_socket_gets_nothing(folder: Path) -> None:
    """A long home, a server that was killed, a temporary folder that was cleared."""
    server = LocalPostgres(folder / ("long" * 40))
    project = Project(ROOT, server.home)
    with server.session():
        os.kill(find_postmaster(server), signal.SIGKILL)
        wait_until_gone(server)
        shutil.rmtree(server.socket_dir)
    with start_as_nobody(IMPOSTOR, str(server.socket_dir)) as impostor:
        assert impostor.stdout
        assert impostor.stdout.readline() == "listening\n"
        status = server.data_directory / "postmaster.pid"
        status.write_text("\n" * 7 + "ready")
        refusal = "is not a private folder of the embedded Postgres"
        for use in (server.is_running, server.keep_running, lambda: connect(project)):
            with pytest.raises(FunnelError, match=refusal):
                use()
        with pytest.raises(FunnelError, match=refusal), open_postgres(project):
            pass
        status.unlink()
        impostor.terminate()
        assert impostor.communicate()[0] == ""
    shutil.rmtree(server.socket_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand a process to another user")
def test_a_server_of_another_user_in_the_right_folder_gets_nothing(
    server: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.session():
        pass
    command = [sys.executable, "-c", IMPOSTOR, str(server.data_directory), "nobody"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as impostor:
        assert impostor.stdout
        assert impostor.stdout.readline() == "listening\n"
        with pytest.raises(FunnelError, match="requirepeer specifies"):
            connect(Project(ROOT, server.home))
        monkeypatch.setenv("FUNNEL_LOCAL_HOST", str(server.data_directory))
        with pytest.raises(FunnelError, match="requirepeer specifies"):
            connect(Project(ROOT, server.home / "other"))
        impostor.terminate()
        assert impostor.communicate()[0].replace("received 0\n", "") == ""
    (server.data_directory / ".s.PGSQL.5432").unlink()


def test_only_the_owner_of_the_home_can_hold_its_locks(server: LocalPostgres) -> None:
    lock = server.home / "postgres.lock"
    lock.touch()
    lock.chmod(0o644)
    with server.session():
        for name in ("postgres.lock", "postgres.users"):
            found = (server.home / name).stat()
            assert stat.S_IMODE(found.st_mode) == 0o600
            assert found.st_uid == server.home.stat().st_uid
    hold = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX)"
    with start_as_nobody(hold, str(lock)) as other:
        assert "PermissionError" in other.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_stops_the_server_and_says_so(
    server: LocalPostgres, number: signal.Signals
) -> None:
    command = [
        "db",
        "exec",
        "--",
        sys.executable,
        "-c",
        "import time; print('up', flush=True); time.sleep(600)",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "runner.cli", *command],
        cwd=ROOT,
        env={**os.environ, "FUNNEL_HOME": str(server.home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Under nohup, which CI may use, a command would rightly go on.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509 - no threads
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        assert server.is_running()
        process.send_signal(number)
        assert process.communicate(timeout=60)[1] == f"Error: interrupted by {number.name}\n"
        assert process.returncode == ExitCode.INTERRUPTED
    assert not server.is_running()


def test_a_failure_to_start_is_one_line_that_names_the_log(new_server: LocalPostgres) -> None:
    with new_server.session():
        pass
    settings = new_server.data_directory / "postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "\nnonsense = 1\n")
    with pytest.raises(FunnelError) as caught, new_server.session():
        pass
    assert str(new_server.log_file) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == ExitCode.COULD_NOT_RUN
    assert "nonsense" in new_server.log_file.read_text()
    assert not new_server.is_running()
    settings.write_text(good)
    with new_server.session():
        assert new_server.is_running()


def test_a_disk_without_room_for_a_server_is_the_reason(new_server: LocalPostgres) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(FunnelError) as caught, new_server.session():
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "did not start: could not write" in caught.value.message
    assert "File too large (log: " in caught.value.message
    assert "\n" not in caught.value.message
    assert not new_server.data_directory.exists()
    with new_server.session():
        assert new_server.is_running()


def test_a_home_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    server = LocalPostgres(tmp_path / "home")
    with pytest.raises(FunnelError, match="File exists"), server.session():
        pass
    with pytest.raises(FunnelError, match="File exists"):
        server.keep_running()
    assert not server.is_running()


@pytest.mark.long
def test_a_deleted_home_takes_nobody_elses_server_along(folder: Path) -> None:
    server = LocalPostgres(folder / "home")
    with server.session():
        orphan = find_postmaster(server)
        server.home.rename(folder / "deleted")
        # Had it been deleted, it would notice by itself, within a minute.
        os.kill(orphan, signal.SIGTERM)
        holder = Holder(server.home)
        assert holder.wait_until_in() != orphan
    assert server.is_running()
    assert holder.leave() == 0
    assert not server.is_running()
    with server.session():
        os.kill(find_postmaster(server), signal.SIGTERM)
        server.home.rename(folder / "deleted too")
    assert not server.home.exists()


def test_rows_of_failed_queries_are_not_logged(server: LocalPostgres) -> None:
    with server.session():
        connection = psycopg2.connect(server.url())
        with pytest.raises(psycopg2.DataError), connection.cursor() as cursor:
            cursor.execute("select 'ada@example.com'::integer")
        connection.close()
    assert "ada@example.com" not in server.log_file.read_text()
    assert "ready to accept connections" in server.log_file.read_text()


def test_a_normal_user_needs_no_root_and_root_takes_nothing_away(folder: Path) -> None:
    """As root: a normal user, root and that user again on one home; else one user thrice."""
    server = LocalPostgres(folder / "home")
    user = pwd.getpwuid(os.geteuid())
    arguments = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        arguments = [user.pw_name]
        os.chown(folder, user.pw_uid, user.pw_gid)
    for names in (arguments, [], arguments):
        with holding(server.home, *names) as holder:
            holder.wait_until_in()
            assert psql(server, "select 1") == "1"
            assert holder.leave() == 0
        assert not server.is_running()
    assert {path.stat().st_uid for path in server.data_directory.rglob("*")} == {user.pw_uid}
