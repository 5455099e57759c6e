"""What goes wrong during a run: said in one line, nothing half-written, mended by the next run.

Each test makes every number wrong first, so that a table is either untouched, or built again.
"""

import csv
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from homes import ROOT
from processes import PATIENCE, RUN, ForkServer, Home

from runner.postgres.server import LocalPostgres
from runner.warehouse.connection import DEAL_TABLES

pytestmark = pytest.mark.long

pytest_plugins = ["processes"]

ACTIVITY_STATS = "pipedrive_analytics.daily_activity_stats"
DEAL_STATS = "pipedrive_analytics.daily_deal_stats"
VISITS = "pipedrive_analytics.deal_stage_visits"
SEGMENT = 16 * 1024 * 1024
"""Bytes of a file of the write-ahead log, which no limit may hit: that would end the server."""


@contextmanager
def locked(home: Home, table: str, mode: str) -> Iterator[None]:
    """Somebody's open transaction with a lock on a table."""
    with closing(home.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"lock table {table} in {mode} mode")
        yield


@contextmanager
def halfway(home: Home, table: str = DEAL_STATS) -> Iterator[None]:
    """Whoever has deleted a table's old rows waits before inserting the new ones."""
    wait = "begin lock table public.gate in share mode; return null; end"
    home.funnel.query(
        f"""
        create table public.gate ();
        create function public.wait() returns trigger language plpgsql as '{wait}';
        create trigger wait before insert on {table} execute function public.wait();
        """
    )
    try:
        with locked(home, "public.gate", "access exclusive"):
            yield
    finally:
        home.funnel.query("drop function public.wait cascade; drop table public.gate")


def wait_until_dbt_waits(home: Home, table: str = "public.gate") -> int:
    """Wait until a statement of dbt waits for the lock of a table; return its process id."""
    query = f"""
        select pid from pg_locks inner join pg_stat_activity using (pid)
        where application_name = 'dbt' and not granted and relation = to_regclass('{table}')
    """
    deadline = time.monotonic() + PATIENCE
    while not (rows := home.funnel.query(query)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(str(rows[0][0]))


def problem_lines(outcome: "subprocess.CompletedProcess[str]") -> list[str]:
    assert "Traceback" not in outcome.stderr
    assert "Error: unexpected" not in outcome.stderr
    lines = outcome.stderr.splitlines()
    return [line for line in lines if line.startswith(("ERROR ", "FAIL ", "Error: "))]


def assert_next_run_repairs(home: Home, processes: ForkServer) -> None:
    processes.start(home.funnel, *RUN).done()
    assert home.fingerprint() == home.clean
    home.assert_tidy()
    assert "running" not in home.outcomes()
    assert home.outcomes()[-1] == "success"


@contextmanager
def file_size_limit(home: Home) -> Iterator[None]:
    """No file of a new session can grow beyond a size that one table has reached."""
    rows = f"from generate_series(1, {SEGMENT // 48}) as number"
    filler = f"select '1999-01-01', 'x', 'x' || number, null, 0, 0 {rows}"
    home.funnel.query(f"insert into {DEAL_STATS} {filler}")
    home.funnel.query(f"delete from {DEAL_STATS} where date = '1999-01-01'")
    assert home.funnel.query(f"select pg_relation_size('{DEAL_STATS}') > {SEGMENT}") == [(True,)]
    limit_file_size(home, SEGMENT)
    try:
        yield
    finally:
        limit_file_size(home, resource.RLIM_INFINITY)


def limit_file_size(home: Home, size: int) -> None:
    """Limit the files of sessions that begin from now on; to do so takes the server's own user."""
    data_directory = LocalPostgres(home.funnel.home).data_directory
    owner = data_directory.stat()
    postmaster = int((data_directory / "postmaster.pid").read_text().splitlines()[0])

    def become_owner_and_limit() -> None:
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        _, most = resource.prlimit(postmaster, resource.RLIMIT_FSIZE)
        soft = most if size == resource.RLIM_INFINITY else size
        resource.prlimit(postmaster, resource.RLIMIT_FSIZE, (soft, most))

    subprocess.run(["true"], check=True, preexec_fn=become_owner_and_limit)  # noqa: PLW1509, S607


def test_a_full_disk_leaves_every_table_whole(home: Home, processes: ForkServer) -> None:
    before = home.spoil()
    # No room is left by rows of earlier runs.
    home.funnel.query(f"alter table {DEAL_STATS} set (autovacuum_enabled = off)")
    home.funnel.query(f"vacuum full {DEAL_STATS}")
    with file_size_limit(home):
        outcome = processes.run(home.funnel, *RUN)
        (line,) = problem_lines(outcome)
        assert line.startswith("ERROR model daily_deal_stats: could not extend file")
        assert "File too large" in line
        assert outcome.returncode == 1
        home.assert_whole(before)
        assert home.outcomes()[-1] == "failed"
    home.funnel.query(f"alter table {DEAL_STATS} reset (autovacuum_enabled)")
    home.funnel.query(f"vacuum full {DEAL_STATS}")
    assert_next_run_repairs(home, processes)


def test_a_connection_cut_in_a_statement_leaves_every_table_whole(
    home: Home, processes: ForkServer
) -> None:
    before = home.spoil()
    with halfway(home):
        command = processes.start(home.funnel, *RUN)
        pid = wait_until_dbt_waits(home)
        home.funnel.query(f"select pg_terminate_backend({pid})")
        outcome = command.wait()
    (line,) = problem_lines(outcome)
    assert line.startswith("ERROR model daily_deal_stats: ")
    assert "connection" in line
    assert outcome.returncode == 1
    home.assert_whole(before)
    assert_next_run_repairs(home, processes)


def test_the_runners_own_connection_cut_is_said_as_such(home: Home, processes: ForkServer) -> None:
    before = home.spoil()
    with halfway(home):
        command = processes.start(home.funnel, *RUN)
        wait_until_dbt_waits(home)
        cut = "select pg_terminate_backend(pid) from pg_stat_activity"
        home.funnel.query(f"{cut} where application_name like 'funnel run %'")
        outcome = command.wait()  # while dbt's statement could still go on
    (line,) = problem_lines(outcome)
    assert line.startswith("Error: the connection to local was lost: ")
    assert outcome.returncode == 2
    home.assert_whole(before)
    assert_next_run_repairs(home, processes)


def test_a_statement_timeout_leaves_every_table_whole(home: Home, processes: ForkServer) -> None:
    before = home.spoil()
    home.funnel.query("alter role postgres set statement_timeout = '8s'")
    try:
        with halfway(home):
            outcome = processes.run(home.funnel, *RUN)
    finally:
        home.funnel.query("alter role postgres reset statement_timeout")
    (line,) = problem_lines(outcome)
    assert line.startswith("ERROR model daily_deal_stats: canceling statement due to statement")
    assert outcome.returncode == 1
    home.assert_whole(before)
    assert_next_run_repairs(home, processes)


@pytest.mark.parametrize(
    ("table", "mode", "said", "code"),
    [
        (DEAL_STATS, "share", "ERROR model daily_deal_stats: canceling statement due", 1),
        (DEAL_STATS, "access exclusive", f"Error: cannot read {DEAL_STATS}: canceling", 2),
        (
            "pipedrive_reporting.monthly_stats",
            "access share",
            "ERROR model monthly_stats: canceling statement due",
            1,
        ),
        (
            "pipedrive_staging.funnel_steps",
            "access share",
            "ERROR seed funnel_steps: canceling statement due",
            1,
        ),
    ],
)
def test_a_run_does_not_wait_for_somebodys_lock_for_ever(
    home: Home, processes: ForkServer, table: str, mode: str, said: str, code: int
) -> None:
    before = home.spoil()
    with locked(home, table, mode):
        outcome = processes.run(home.funnel, *RUN, "--lock-timeout", "2")
    (line,) = problem_lines(outcome)
    assert line.startswith(said)
    assert "lock timeout" in line
    assert outcome.returncode == code
    home.assert_whole(before)
    assert_next_run_repairs(home, processes)


@pytest.fixture
def other_export(home: Home, tmp_path: Path) -> Path:
    """The export with every second event."""
    shutil.copytree(home.export, tmp_path / "other")
    for name in ("activity", "deal_changes"):
        file = tmp_path / "other" / f"{name}.csv"
        with file.open(newline="") as lines:
            rows = list(csv.reader(lines))
        with file.open("w", newline="") as lines:
            csv.writer(lines).writerows([rows[0], *rows[1::2]])
    return tmp_path / "other"


def visits_of_deals(home: Home) -> set[tuple[object, ...]]:
    """All visits of each deal as one text."""
    visits = "select deal_id, string_agg(v::text, '|' order by visit_number)"
    return set(home.funnel.query(f"{visits} from {VISITS} as v group by deal_id"))


@pytest.mark.parametrize("table", [DEAL_STATS, "pipedrive_analytics.deal_months"])
def test_a_load_during_a_run_is_counted_wholly_or_by_the_next_run(
    home: Home, processes: ForkServer, other_export: Path, table: str
) -> None:
    visits = visits_of_deals(home)
    processes.start(home.funnel, "load", str(other_export)).done()
    processes.start(home.funnel, *RUN).done()
    other = home.fingerprint()
    assert all(other[name] != clean for name, clean in home.clean.items())
    other_visits = visits_of_deals(home)
    home.spoil()
    with halfway(home, table):
        run = processes.start(home.funnel, *RUN)
        wait_until_dbt_waits(home)
        for other_table in {DEAL_STATS, ACTIVITY_STATS} - {table}:
            wait_until_counted(home, other_table)
        load = processes.start(home.funnel, "load", str(home.export))
        wait_until_load_waits(home)
    run.done()
    load.done()
    deals = [table for table in DEAL_TABLES if table != "deal_months"]
    home.assert_whole(other, mixed=deals)
    found = visits_of_deals(home)
    assert found <= visits | other_visits
    assert {deal for deal, _ in other_visits} <= {deal for deal, _ in found}
    assert_next_run_repairs(home, processes)


@pytest.mark.parametrize(
    ("model", "raw_table"),
    [
        ("daily_activity_stats", "activity"),
        ("daily_deal_stats", "deal_changes"),
        ("monthly_stats_by_owner", "activity"),
        ("deal_months+", "deal_changes"),
    ],
)
def test_a_model_that_waits_for_a_load_counts_what_was_loaded(
    home: Home, model: str, raw_table: str
) -> None:
    """A statement that began before a table was emptied would find it empty."""
    home.spoil()
    dbt_vars = '{"source_dt": "2024-03-31", "months": 3, "backfill_period": 80}'
    dbt = f"dbt run --select {model} --vars '{dbt_vars}' --target-path"
    with closing(home.connect()) as loader, loader.cursor() as load:
        load.execute(f"create temporary table kept as table pipedrive_raw.{raw_table}")
        load.execute(f"truncate pipedrive_raw.{raw_table}")
        load.execute(f"insert into pipedrive_raw.{raw_table} table kept")
        run = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "runner.cli",
                "db",
                "exec",
                "--",
                *shlex.split(dbt),
                home.funnel.home / "plain",
            ],
            cwd=ROOT,
            env=home.funnel.full_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_until_dbt_waits(home, f"pipedrive_raw.{raw_table}")
        loader.commit()
    said, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    found = home.fingerprint()
    for table in ("deal_stage_visits", "deal_states") if "months" in model else (model,):
        assert found[table] == home.clean[table]


def wait_until_counted(home: Home, table: str) -> None:
    """Wait until a daily table is no longer as `Home.spoil` has left it."""
    deadline = time.monotonic() + PATIENCE
    while home.funnel.query(f"select from {table} where new_deals_count = 1000 limit 1"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_load_waits(home: Home) -> None:
    """Wait until the load waits for a transaction that still reads the old rows."""
    waits = "select pid from pg_locks where not granted and mode = 'AccessExclusiveLock'"
    deadline = time.monotonic() + PATIENCE
    while not home.funnel.query(waits):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_raw_table_replaced_during_a_run_breaks_that_run_only(
    home: Home, processes: ForkServer
) -> None:
    before = home.spoil()
    seed = "pipedrive_staging.funnel_steps"
    with locked(home, seed, "share"):
        command = processes.start(home.funnel, *RUN)
        wait_until_dbt_waits(home, seed)
        home.funnel.query("create table public.kept as table pipedrive_raw.deal_changes")
        home.funnel.query("drop table pipedrive_raw.deal_changes cascade")
    outcome = command.wait()
    lines = problem_lines(outcome)
    assert lines
    assert all("deal_changes" in line for line in lines)
    assert outcome.returncode == 1
    home.assert_whole(before)
    home.funnel.query("alter table public.kept rename to deal_changes")
    home.funnel.query("alter table public.deal_changes set schema pipedrive_raw")
    assert_next_run_repairs(home, processes)


def test_ctrl_c_ends_the_statement_that_runs_on_the_server(
    home: Home, processes: ForkServer
) -> None:
    before = home.spoil()
    with halfway(home):
        process = subprocess.Popen(
            [sys.executable, "-m", "runner.cli", *RUN],
            cwd=ROOT,
            env=home.funnel.full_environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until_dbt_waits(home)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        print(f"ended after {time.monotonic() - begin:.2f} s")
        assert process.returncode == 130
        assert said.splitlines()[-1] == "Error: interrupted"
        assert "Traceback" not in said
        # The lock is still held: a statement that nobody had ended would wait for it.
        deadline = time.monotonic() + PATIENCE
        sessions = "select query from pg_stat_activity where application_name = 'dbt'"
        while home.funnel.query(sessions):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert home.outcomes()[-1] == "interrupted"
        home.assert_whole(before)
    assert_next_run_repairs(home, processes)
