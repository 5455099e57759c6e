"""One writer at a time: who may hold the lock, what ends it, and what does not."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from homes import ROOT, Funnel, ask
from pooler import pooling
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from servers import TcpPostgres

from runner.errors import ExitCode, FunnelError
from runner.project import META, Project
from runner.raw.demo_data import write_demo
from runner.warehouse import lock
from runner.warehouse.connection import connect, open_postgres
from runner.warehouse.lock import LockLost, describe_holder, hold_lock

IDLE = ("idle_session_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture(scope="module")
def server() -> Iterator[TcpPostgres]:
    with TcpPostgres() as running:
        yield running


@pytest.fixture
def prod(
    server: TcpPostgres, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Project:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Project(ROOT, tmp_path_factory.mktemp("lock"), target="prod")


@contextmanager
def writing(project: Project, purpose: str = "funnel run", wait: float = 0) -> Iterator[None]:
    with closing(connect(project)) as connection:
        with hold_lock(project, connection, purpose, wait=wait):
            yield


def is_locked(project: Project) -> bool:
    try:
        with writing(project):
            return False
    except FunnelError as error:
        assert error.exit_code is ExitCode.LOCKED
        return True


def ask_server(project: Project, statement: str) -> list[tuple[object, ...]]:
    with closing(connect(project)) as connection:
        return ask(connection, statement)


def test_the_second_writer_learns_who_the_first_one_is(prod: Project) -> None:
    with writing(prod, "funnel backfill 2024-05-01"):
        said = "funnel backfill 2024-05-01 of postgres, since"
        with pytest.raises(FunnelError, match=said) as refusal, writing(prod):
            pass
        assert refusal.value.exit_code is ExitCode.LOCKED
        with writing(Project(ROOT, prod.home, "dev")):  # another set of schemas
            pass
    with writing(prod, wait=1):
        pass


HOLDER = """
import sys, time
from contextlib import closing
from pathlib import Path
from runner.project import Project
from runner.warehouse.connection import connect, open_postgres
from runner.warehouse.lock import hold_lock

project = Project(Path.cwd(), Path(sys.argv[1]), "prod")
with closing(connect(project)) as connection:
    print("connected", flush=True)
    with hold_lock(project, connection, "killed", wait=60):
        print("held", flush=True)
        time.sleep(600)
"""


@contextmanager
def another_writer(project: Project) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLDER, str(project.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "connected\n"
            yield process
        finally:
            process.kill()


def test_the_demo_drops_nothing_under_a_run(empty: Funnel) -> None:
    project = Project(ROOT, empty.home)
    empty.query("alter database postgres set lock_timeout = '5s'")  # what waits is no success
    with (
        open_postgres(project) as connection,
        hold_lock(project, connection, "funnel run", wait=0),
    ):
        outcome = empty("demo", "--wait", "0.5")
    empty.query("alter database postgres reset lock_timeout")
    assert outcome.returncode == ExitCode.LOCKED
    assert "another run holds the lock: funnel run" in outcome.stderr


def test_a_lock_ends_with_its_process(prod: Project) -> None:
    with another_writer(prod) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        assert is_locked(prod)
        process.kill()
        with writing(prod, wait=30):
            pass


def test_since_is_when_the_lock_was_got(prod: Project) -> None:
    first = writing(prod)
    first.__enter__()
    with another_writer(prod) as process:
        time.sleep(2)
        [(released_at,)] = ask_server(prod, "select date_trunc('second', now())::text")
        first.__exit__(None, None, None)
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        with closing(connect(prod)) as connection:
            _, since = describe_holder(connection, prod.schema(META)).split(", since ")
        assert since.removesuffix(" UTC") >= str(released_at).removesuffix("+00")


def test_a_table_that_readers_may_read_is_not_theirs_to_lock(prod: Project) -> None:
    with writing(prod):
        pass
    ask_server(
        prod,
        "create role reader login; grant usage on schema pipedrive_meta to reader;"
        "grant select on all tables in schema pipedrive_meta to reader",
    )
    with closing(connect(prod)) as connection:
        ask(connection, "set session authorization reader")
        # The lock of an earlier version, which was anybody's.
        ask(
            connection,
            "select pg_advisory_lock(hashtextextended('funnel pipedrive_analytics', 0))",
        )
        for mode in ("row exclusive", "exclusive", "access exclusive"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                ask(connection, f"begin; lock table pipedrive_meta.run_lock in {mode} mode")
            ask(connection, "rollback")
        ask(connection, "begin; lock table pipedrive_meta.run_lock in access share mode")
        assert not is_locked(prod)
        with (
            pytest.raises(FunnelError, match="cannot take the lock: permission denied for table"),
            patch_user("reader"),
            writing(prod),
        ):
            pass


@contextmanager
def patch_user(user: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "connect", lambda project: become(connect(project), user))
        yield


def become(connection: Connection, user: str) -> Connection:
    ask(connection, f"set session authorization {user}")
    return connection


@contextmanager
def limits(prod: Project, limit: str, *names: str) -> Iterator[None]:
    for name in names:
        ask_server(prod, f"alter database postgres set {name} = '{limit}'")
    try:
        yield
    finally:
        for name in names:
            ask_server(prod, f"alter database postgres reset {name}")


def test_no_limit_of_the_server_ends_the_lock(prod: Project) -> None:
    with (
        limits(prod, "500ms", *IDLE, "transaction_timeout"),
        closing(connect(prod)) as connection,
        hold_lock(prod, connection, "funnel run"),
    ):
        time.sleep(2)
        assert ask(connection, "select 1") == [(1,)]
        assert is_locked(prod)


@pytest.mark.long
def test_a_run_outlasts_the_limits_for_idle_sessions(prod: Project, tmp_path: Path) -> None:
    write_demo(tmp_path)
    funnel = Funnel(prod.home, {"FUNNEL_TARGET": "prod", **libpq_variables()})
    funnel.done("load", str(tmp_path))
    with limits(prod, "2s", *IDLE):
        funnel.done("run", "--source-dt", "2024-06-30", "--months", "1", "--no-tests")


def libpq_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PG")}


def test_a_run_that_loses_the_lock_stops(prod: Project) -> None:
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mine'"
    reached = []
    begin = time.monotonic()
    with pytest.raises(FunnelError) as loss, writing(prod, "mine"):
        try:
            ask_server(prod, cut)
            threading.Event().wait(60)  # as for dbt's threads
        except LockLost:
            reached.append("interrupted")
            raise
    assert reached == ["interrupted"]
    assert time.monotonic() - begin < 50
    assert loss.value.message.startswith("the connection to prod was lost: ")
    assert loss.value.exit_code is ExitCode.COULD_NOT_RUN
    assert not is_locked(prod)


def test_the_lock_keeps_nothing_from_being_vacuumed(prod: Project) -> None:
    with writing(prod, "mine"):
        held = "select backend_xid, backend_xmin from pg_stat_activity"
        assert ask_server(prod, f"{held} where application_name = 'mine'") == [(None, None)]


def test_a_pooler_in_transaction_mode_is_refused(
    server: TcpPostgres, prod: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pooling(server, "transaction") as variables:
        funnel = Funnel(prod.home, {**variables, "FUNNEL_TARGET": "prod"})
        outcome = funnel("run", "--source-dt", "2024-06-30")
        assert outcome.returncode == ExitCode.COULD_NOT_RUN
        assert outcome.stderr == (
            "Error: there is a pooler in transaction mode before the database. "
            "Set PGHOST and PGPORT to the server itself, or to a pool in session mode.\n"
        )
        # Where busy neighbours hide the pooler, the lock holds all the same.
        monkeypatch.setenv("PGPORT", variables["PGPORT"])
        monkeypatch.setattr(lock, "_refuse_shared_session", lambda *_: None)
        with writing(prod):
            assert is_locked(prod)
        assert not is_locked(prod)


def test_a_pooler_in_session_mode_will_do(
    server: TcpPostgres, prod: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pooling(server, "session") as variables:
        monkeypatch.setenv("PGPORT", variables["PGPORT"])
        with writing(prod):
            assert is_locked(prod)
        assert not is_locked(prod)
