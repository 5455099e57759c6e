"""A standalone Spark cluster on this machine: a master, two workers, a Thrift server.

Each is a process of its own, as each of the two executors is that the workers start.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from lake import SMALL, need_java
from servers import HOST, find_free_port

PATIENCE = 120
"""Seconds until something is stuck."""

_SMALL = {
    **SMALL,
    "spark.executor.cores": "1",
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.locality.wait": "0",
}

_DEPLOY = "org.apache.spark.deploy"
_THRIFT = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"


@dataclass(frozen=True)
class Executor:
    """How many tasks it has done, and whether it still runs."""

    tasks: int
    lives: bool


@dataclass(frozen=True)
class Cluster:
    """What runs, and where."""

    port: int
    monitor: int
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the target spark_cluster finds it."""
        return {
            "FUNNEL_TARGET": "spark_cluster",
            "FUNNEL_SPARK_HOST": HOST,
            "FUNNEL_SPARK_PORT": str(self.port),
            "FUNNEL_SPARK_HOME": str(self.folder / "lock"),
        }

    def executors(self) -> dict[str, Executor]:
        """Return the executors by their number, those that have ended as well."""
        api = f"http://{HOST}:{self.monitor}/api/v1/applications"
        with urlopen(api) as answer:  # noqa: S310 - of this machine
            [application] = json.load(answer)
        with urlopen(f"{api}/{application['id']}/allexecutors") as answer:  # noqa: S310
            found = json.load(answer)
        return {
            each["id"]: Executor(each["totalTasks"], each["isActive"])
            for each in found
            if each["id"] != "driver"
        }

    def kill_executor(self, number: str) -> None:
        """End an executor as a machine that is switched off would."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_text().split("\0")
                is_ours = (process / "cwd").resolve().is_relative_to(self.folder)
            except OSError:  # it has ended meanwhile
                continue
            if (
                is_ours
                and "--executor-id" in words
                and words[words.index("--executor-id") + 1] == number
            ):
                os.kill(int(process.name), signal.SIGKILL)
                return
        raise AssertionError(f"executor {number} does not run")


@contextmanager
def running_cluster(
    folder: Path, settings: Mapping[str, str] = _SMALL, *, memory: str = "1g"
) -> Iterator[Cluster]:
    """Start all of it, and stop it in the end; each worker has a core and so much memory."""
    need_java()
    master, monitor, port = find_free_port(), find_free_port(), find_free_port()
    address = f"spark://{HOST}:{master}"
    settings = {
        **settings,
        "spark.ui.port": str(monitor),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.bindAddress": HOST,
        "spark.driver.host": HOST,
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={folder} -XX:TieredStopAtLevel=1",
    }
    with ExitStack() as running:

        def start(name: str, *command: str) -> "subprocess.Popen[bytes]":
            return running.enter_context(_process(folder, name, command))

        where = ("--host", HOST, "--webui-port", "0")
        start("master", "spark-class", f"{_DEPLOY}.master.Master", *where, "--port", str(master))
        _wait_for(master)
        for name in ("worker-1", "worker-2"):
            start(
                name,
                *("spark-class", f"{_DEPLOY}.worker.Worker", *where, "--cores", "1"),
                *("--memory", memory, "--work-dir", str(folder / name), address),
            )
        server = start(
            "thrift",
            *("spark-submit", "--class", _THRIFT, "--master", address),
            *(part for name, value in settings.items() for part in ("--conf", f"{name}={value}")),
            *("spark-internal", "--hiveconf", f"hive.server2.thrift.bind.host={HOST}"),
            *("--hiveconf", f"hive.server2.thrift.port={port}"),
        )
        _wait_for(port, server)
        yield Cluster(port, monitor, folder)


@contextmanager
def _process(
    folder: Path, name: str, command: tuple[str, ...]
) -> "Iterator[subprocess.Popen[bytes]]":
    import pyspark

    home = Path(pyspark.__file__).parent
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1",
    }
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [home / "bin" / command[0], *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Wait until somebody listens on a port of this machine."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on port {port}"
            assert process is None or process.poll() is None, "the process has ended"
            time.sleep(0.1)
