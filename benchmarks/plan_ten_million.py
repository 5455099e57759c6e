"""Seconds of `funnel plan` on ten million raw rows, with and without late rows.

    .venv/bin/python benchmarks/plan_ten_million.py

Needs about 4 GB of disk and some minutes. Rows are made by the server, from a formula; nothing is
random. Beside each figure stands what it is measured against: the same look-up as a scan of all
rows.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg2

from runner.postgres.server import LocalPostgres
from runner.raw.demo_data import write_demo

ROOT = Path(__file__).resolve().parent.parent
ROWS = 5_000_000
"""Rows of each of the two tables of events."""

MONTHS = 60
LAST_DAY = "2024-12-31"
REPEATS = 5

# A deal every 2 rows; the rows of a table are spread evenly over the months, in order of time.
_FILL = f"""
    truncate pipedrive_raw.activity, pipedrive_raw.deal_changes;
    insert into pipedrive_raw.activity
        (activity_id, type, assigned_to_user, deal_id, done, due_to, _loaded_at)
    select n, (array['meeting', 'sc_2', 'after_close_call'])[n % 3 + 1], n % 50, n / 2, n % 5 > 0,
        timestamp '2020-01-01' + n * (interval '1826 days' / {ROWS}),
        timestamptz '2020-01-02 00:00+00' + n * (interval '1826 days' / {ROWS})
    from generate_series(1, {ROWS} - 1) as n;
    insert into pipedrive_raw.deal_changes
        (deal_id, change_time, changed_field_key, new_value, _loaded_at)
    select n / 2, timestamp '2020-01-01' + n * (interval '1826 days' / {ROWS}), 'stage_id',
        n % 9 + 1, timestamptz '2020-01-02 00:00+00' + n * (interval '1826 days' / {ROWS})
    from generate_series(1, {ROWS} - 1) as n;
    analyze pipedrive_raw.activity; analyze pipedrive_raw.deal_changes
"""
_LATE = """
    insert into pipedrive_raw.deal_changes (deal_id, change_time, changed_field_key, new_value)
    select n, timestamp '2020-02-01' + n * interval '1 day', 'stage_id', 6
    from generate_series(1, 1000) as n
"""
_SCAN = """
    select to_char(change_time, 'YYYY-MM'), count(*), min(change_time)
    from pipedrive_raw.deal_changes where _loaded_at + interval '0' >= now() - interval '1 day'
    group by 1
"""


def main() -> None:
    """Fill, build, measure and print."""
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder:
        home = Path(folder) / "home"
        server = LocalPostgres(home)
        with server.session(), closing(psycopg2.connect(server.url())) as connection:
            connection.autocommit = True
            write_demo(Path(folder) / "export")
            _funnel(home, "load", str(Path(folder) / "export"))
            _execute(connection, _FILL)
            begin = time.monotonic()
            build = ("run", "--source-dt", LAST_DAY, "--months", str(MONTHS))
            _funnel(home, *build, "--no-tests", "--no-freshness")
            print(f"first build of {MONTHS} months  {time.monotonic() - begin:8.1f} s")
            print(f"plan without late rows     {_measure(home):8.2f} s")
            _execute(connection, _LATE)
            print(f"plan with 1,000 late rows  {_measure(home):8.2f} s")
            times = [_execute(connection, _SCAN) for _ in range(REPEATS)]
            print(f"a scan of one raw table    {statistics.median(times):8.2f} s")


def _measure(home: Path) -> float:
    return statistics.median(_funnel(home, "plan", "--source-dt", LAST_DAY) for _ in range(REPEATS))


def _funnel(home: Path, *arguments: str) -> float:
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "runner.cli", *arguments],
        check=True,
        cwd=ROOT,
        env={"FUNNEL_HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - begin


def _execute(connection: "psycopg2.extensions.connection", statement: str) -> float:
    begin = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
