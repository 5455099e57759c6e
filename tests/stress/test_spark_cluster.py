"""On a real cluster two executors share a run; one is killed, and the run still ends right."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import PATIENCE, Cluster, running_cluster
from homes import Funnel
from lake import compare_counts
from processes import ForkServer
from test_counting import TABLES

pytestmark = pytest.mark.long

pytest_plugins = ["processes"]

RUN = ("run", "--source-dt", "2023-02-15", "--months", "2", "--no-tests", "--no-freshness")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_a_run_outlives_an_executor(
    cluster: Cluster, processes: ForkServer, empty: Funnel, export: Path, tmp_path: Path
) -> None:
    for arguments in (("load", str(export)), RUN):
        empty.done(*arguments)
    on_cluster = Funnel(tmp_path, cluster.environment)
    processes.start(on_cluster, "load", str(export)).done()
    before = cluster.executors()
    assert set(before) == {"0", "1"}
    run = processes.start(on_cluster, *RUN)
    deadline = time.monotonic() + PATIENCE
    while any(now.tasks < before[name].tasks + 20 for name, now in cluster.executors().items()):
        assert not run.has_ended, run.said
        assert time.monotonic() < deadline
        time.sleep(0.1)
    cluster.kill_executor("1")
    assert not run.has_ended
    run.done()
    after = cluster.executors()
    assert not after["1"].lives
    assert all(after[name].tasks > before[name].tasks for name in before)
    compare_counts(on_cluster, empty, TABLES)
