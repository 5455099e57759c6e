"""Spark is killed while it writes: the same command once more gives what a clean run gives.

The moment is random; FUNNEL_SEED=… is the same one again.
"""

import os
import signal
import time
from pathlib import Path
from random import Random

import pytest
from homes import Funnel
from lake import SMALL, compare_counts, need_java
from processes import PATIENCE, ForkServer
from test_counting import SEED, TABLES

pytestmark = pytest.mark.long

pytest_plugins = ["processes"]

RUN = ("run", "--source-dt", "2023-02-15", "--months", "2", "--no-tests", "--no-freshness")


def test_after_a_crash_one_more_run_gives_what_a_clean_one_gives(
    processes: ForkServer, empty: Funnel, export: Path, tmp_path: Path
) -> None:
    need_java()
    for arguments in (("load", str(export)), RUN):
        empty.done(*arguments)
    warehouse = tmp_path / "spark" / "warehouse"
    settings = "".join(f"{name} {value}\n" for name, value in SMALL.items())
    (tmp_path / "spark-defaults.conf").write_text(settings)
    on_spark = Funnel(
        tmp_path,
        {
            "FUNNEL_TARGET": "spark",
            "FUNNEL_SPARK_HOME": str(tmp_path / "spark"),
            "SPARK_CONF_DIR": str(tmp_path),
        },
    )
    processes.start(on_spark, "load", str(export)).done()
    processes.start(on_spark, *RUN).done()
    before = set(warehouse.glob("*/*"))
    run = processes.start(on_spark, *RUN)
    deadline = time.monotonic() + PATIENCE
    while set(warehouse.glob("*/*")) <= before:
        assert not run.has_ended, run.said
        assert time.monotonic() < deadline
        time.sleep(0.1)
    pause = Random(SEED).uniform(0, 20)  # noqa: S311
    print(f"FUNNEL_SEED={SEED} kills again {pause:.1f} s after the first table was begun.")
    time.sleep(pause)
    assert not run.has_ended
    os.killpg(run.pid, signal.SIGKILL)  # Python, and the Java that it has started
    run.wait()
    refused = processes.run(on_spark, *RUN)
    assert refused.returncode == 3
    assert "--steal-lock" in refused.stderr
    processes.start(on_spark, *RUN, "--steal-lock").done()
    compare_counts(on_spark, empty, TABLES)
