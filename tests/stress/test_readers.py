"""Many at once: readers see whole months only, and writers wait for each other.

FUNNEL_RUNS=20 has readers read during more runs, and ten runs start together.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg2
import pytest
from homes import ask
from processes import BACKFILL, RUN, ForkServer, Home

from runner.postgres.server import LocalPostgres

pytestmark = pytest.mark.long

pytest_plugins = ["processes"]

RUNS = int(os.environ.get("FUNNEL_RUNS", "1"))
TOGETHER = min(10, RUNS + 3)

_PAUSE = 0.01
"""Seconds between two queries of a reader, so that the runs get on as well."""

TABLES = {
    "pipedrive_reporting.monthly_stats": "month",
    "pipedrive_analytics.monthly_deal_stats": "month",
    "pipedrive_analytics.daily_activity_stats": "date_trunc('month', date)",
    "pipedrive_analytics.daily_deal_stats": "date_trunc('month', date)",
}


@dataclass
class Reader:
    """Somebody who asks for all months of a table again and again, on a connection of their own."""

    home: Home
    table: str
    queries: int = 0
    anomalies: list[str] = field(default_factory=list)

    def months(self, connection: "psycopg2.extensions.connection") -> list[tuple[object, ...]]:
        """Return for each month its rows, counted, summed and hashed."""
        return ask(
            connection,
            f"""
                select
                    cast({TABLES[self.table]} as date), count(*), sum(deals_count),
                    md5(string_agg(cast(stats as text), '|' order by cast(stats as text)))
                from {self.table} as stats
                group by 1
                order by 1
            """,
        )

    def read(self, expected: list[tuple[object, ...]], stop: threading.Event) -> None:
        with closing(self.home.connect()) as connection:
            while not stop.wait(_PAUSE):
                try:
                    found = self.months(connection)
                except psycopg2.Error as error:
                    self.anomalies.append(str(error))
                    return
                self.queries += 1
                if found != expected:
                    self.anomalies.append(f"{self.table}: {found}")


@contextmanager
def reading(home: Home) -> Iterator[list[Reader]]:
    """Have a reader for each table read until the block ends."""
    stop = threading.Event()
    readers = [Reader(home, table) for table in TABLES]
    with closing(home.connect()) as connection:
        expected = {reader.table: reader.months(connection) for reader in readers}
    assert all(len(months) == 3 for months in expected.values())
    assert [count for _, count, _, _ in expected["pipedrive_reporting.monthly_stats"]] == [11] * 3
    threads = [
        threading.Thread(target=reader.read, args=(expected[reader.table], stop))
        for reader in readers
    ]
    for thread in threads:
        thread.start()
    try:
        yield readers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_reader_never_sees_an_error_or_a_month_that_is_not_whole(
    home: Home, processes: ForkServer
) -> None:
    with reading(home) as readers:
        for _ in range(RUNS):
            processes.start(home.funnel, *RUN).done()
        processes.start(home.funnel, *BACKFILL).done()
    queries = sum(reader.queries for reader in readers)
    anomalies = [anomaly for reader in readers for anomaly in reader.anomalies]
    print(f"{queries} queries during {RUNS} runs and a backfill, {len(anomalies)} anomalies")
    assert anomalies == []
    assert all(reader.queries > RUNS for reader in readers)
    assert home.fingerprint() == home.clean


def test_runs_that_start_together_work_one_after_the_other(
    home: Home, processes: ForkServer
) -> None:
    home.spoil()
    begin = home.now()
    # All also find that there is no server yet.
    processes.start(home.funnel, "db", "stop").done()
    assert not LocalPostgres(home.funnel.home).is_running()
    commands = [processes.start(home.funnel, *RUN, "--wait", "300") for _ in range(TOGETHER)]
    try:
        for command in commands:
            command.done()
    finally:
        processes.start(home.funnel, "db", "start").done()
    assert home.outcomes(since=begin) == ["success"] * TOGETHER
    overlaps = f"""
        select earlier.run_id
        from pipedrive_meta.runs as earlier
        inner join pipedrive_meta.runs as later
            on
                earlier.run_id != later.run_id
                and earlier.started_at <= later.started_at
                and earlier.finished_at > later.started_at
        where earlier.started_at > '{begin}'
    """
    assert home.funnel.query(overlaps) == []
    assert home.fingerprint() == home.clean
    home.assert_tidy()


@pytest.mark.parametrize("table", TABLES)
def test_the_reader_here_would_see_a_month_that_is_not_whole(home: Home, table: str) -> None:
    with reading(home) as readers:
        (reader,) = [reader for reader in readers if reader.table == table]
        with closing(home.connect()) as connection:
            ask(connection, f"begin; create temp table kept as table {table}; commit")
            ask(connection, f"delete from {table}")
            before = reader.queries
            while reader.queries < before + 2 and not reader.anomalies:
                pass
            ask(connection, f"insert into {table} table kept")
    assert reader.anomalies
